"""The steps of `clean` as blocks of a datatrove pipeline, for corpora beyond one process.

    pip install minillm-course[scale]

    from minillm.recipes.cleaning.blocks import run_local
    run_local("crawl", "clean", tasks=8, workers=8)

datatrove (Penedo et al. 2024) cuts the files of a folder among tasks and runs them with an
executor: on this machine, on a Slurm cluster or with Ray. The blocks below call the same functions
as `clean`: `examine` for one document, `signatures` and `candidates` for duplicates.
docs/cleaning_at_scale.md shows all three executors.

    1 examine    each task: its files -> documents that pass, and their signatures
    2 decide     one task:  all signatures -> which documents are copies
    3 write      each task: the documents of step 1 without the copies
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.filters.base_filter import BaseFilter

from minillm.data.clusters import clusters
from minillm.data.lsh import candidates, choose_bands
from minillm.data.minhash import estimate, signatures
from minillm.recipes.cleaning.config import CleanConfig
from minillm.recipes.cleaning.reader import Problem, kind_of, read_documents
from minillm.recipes.cleaning.steps import examine


class ReadFolder(PipelineStep):
    """Read the files that `minillm clean` reads; task r of W takes files r, r + W, r + 2W, ..."""

    name, type = "minillm files", "READER"

    def __init__(self, folder: str | Path, config: CleanConfig | None = None) -> None:
        super().__init__()
        self.folder, self.config = Path(folder), config or CleanConfig()

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents of this task; what cannot be read is counted by its kind."""
        files = sorted(path for path in self.folder.rglob("*") if path.is_file() and kind_of(path))
        for path in files[rank::world_size]:
            name = path.relative_to(self.folder).as_posix()
            for found in read_documents(path, name, self.config.max_document_bytes):
                if isinstance(found, Problem):
                    self.stat_update(f"not read: {found.kind}")
                else:
                    yield Document(text=found.text, id=found.id)


class Examine(BaseFilter):
    """Language, rules, test items and personal data, as `examine` does it."""

    name = "minillm examine"

    def __init__(self, config: CleanConfig | None = None) -> None:
        super().__init__()
        self.config = config or CleanConfig()

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        """Clean a document in place; False and the reason if it is removed."""
        outcome = examine(doc.text, self.config)
        if outcome.text is None:
            return False, f"{outcome.step}: {outcome.reason}"
        doc.text = outcome.text
        return True


class Sign(PipelineStep):
    """Keep the documents of a task as JSON lines, and their MinHash signatures beside them."""

    name, type = "minillm sign", "DEDUP"

    def __init__(self, folder: str | Path, config: CleanConfig | None = None) -> None:
        super().__init__()
        self.folder, self.config = Path(folder), config or CleanConfig()

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Write and pass on every document."""
        self.folder.mkdir(parents=True, exist_ok=True)
        texts: list[str] = []
        with (self.folder / f"{rank:05d}.jsonl").open("w", encoding="utf-8") as file:
            for doc in data:
                texts.append(doc.text)
                file.write(json.dumps({"text": doc.text, "id": doc.id}) + "\n")
                yield doc
        signed = signatures(texts, self.config.n_hashes, self.config.ngram)
        np.save(self.folder / f"{rank:05d}.npy", signed)


class Decide(PipelineStep):
    """One task: join the signatures of all tasks, and write which documents are copies.

    Candidates are verified by the *estimated* similarity, since the texts of other tasks are not
    at hand here; its standard error is sqrt(J (1 - J) / n_hashes). `clean` compares exactly.
    """

    name, type = "minillm decide", "DEDUP"

    def __init__(self, folder: str | Path, config: CleanConfig | None = None) -> None:
        super().__init__()
        self.folder, self.config = Path(folder), config or CleanConfig()

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> None:
        """Write `copies.json`: file -> numbers of the lines that are copies."""
        parts = sorted(self.folder.glob("*.npy"))
        arrays = [np.load(part, allow_pickle=False) for part in parts]
        signed = np.concatenate([np.zeros((0, self.config.n_hashes), np.uint32), *arrays])
        alone, first_of = np.unique(signed, axis=0, return_inverse=True)
        near = self.config.near or 1.0
        n_bands, _ = choose_bands(self.config.n_hashes, near, cost_missed=0.9)
        alike = candidates(alone, n_bands)
        alike = alike[[estimate(alone[i], alone[j]) >= near for i, j in alike.tolist()]]
        groups = clusters(len(alone), alike)
        group_of = {unique: g for g, group in enumerate(groups) for unique in group}
        where = [(part.stem, line) for part, a in zip(parts, arrays, strict=True)
                 for line in range(len(a))]  # fmt: skip
        copies: dict[str, list[int]] = {part.stem: [] for part in parts}
        seen: set[int] = set()
        for (name, line), unique in zip(where, first_of.reshape(-1).tolist(), strict=True):
            if group_of[unique] in seen:
                copies[name].append(line)
            seen.add(group_of[unique])
        self.stat_update("copies", value=sum(map(len, copies.values())))
        (self.folder / "copies.json").write_text(json.dumps(copies))


class WithoutCopies(PipelineStep):
    """Read back what `Sign` kept for this task, without the copies that `Decide` named."""

    name, type = "minillm without copies", "READER"

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.folder = Path(folder)

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents that stay."""
        copies = set(json.loads((self.folder / "copies.json").read_text())[f"{rank:05d}"])
        with (self.folder / f"{rank:05d}.jsonl").open(encoding="utf-8") as file:
            for number, line in enumerate(file):
                if number not in copies:
                    row = json.loads(line)
                    yield Document(text=row["text"], id=row["id"])


class WriteRows(PipelineStep):
    """Write the documents of a task as JSON lines: `00000.jsonl` for task 0."""

    name, type = "minillm rows", "WRITER"

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.folder = Path(folder)

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Write and pass on every document."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{rank:05d}.jsonl").open("w", encoding="utf-8") as file:
            for doc in data:
                file.write(json.dumps({"text": doc.text, "id": doc.id}) + "\n")
                yield doc


def stages(
    folder: str | Path, out: str | Path, config: CleanConfig | None = None
) -> list[list[PipelineStep]]:
    """The three pipelines of a run, for any executor: the second one takes one task."""
    work = Path(out) / "work"
    return [
        [ReadFolder(folder, config), Examine(config), Sign(work, config)],
        [Decide(work, config)],
        [WithoutCopies(work), WriteRows(Path(out) / "clean")],
    ]


def run_local(
    folder: str | Path,
    out: str | Path,
    config: CleanConfig | None = None,
    *,
    tasks: int = 2,
    workers: int = 2,
) -> None:
    """Clean a folder with datatrove's local executor; a second call goes on where one was stopped.

    Args:
        folder, out, config: as `clean_folder`.
        tasks: into how many parts the files are dealt.
        workers: processes at a time.

    Raises:
        ValueError: if the folder holds no file to read.

    Lesson: notebooks/04_dedup.ipynb
    """
    if not any(path.is_file() and kind_of(path) for path in Path(folder).rglob("*")):
        raise ValueError(f"{folder} holds no file to read")
    for number, steps in enumerate(stages(folder, out, config), start=1):
        LocalPipelineExecutor(
            steps,
            tasks=1 if number == 2 else tasks,
            workers=1 if number == 2 else workers,
            logging_dir=str(Path(out) / "logs" / str(number)),
        ).run()

"""Clean a whole folder: every file once, then duplicates among all documents, then the report.

    out/parts/       what one file gave, written when the file is done: resume goes on from here
    out/clean/       the corpus: one .jsonl.gz for each file that kept a document
    out/report.json  counts and samples;  out/report.html  the same to read, with plots

A second call with the same settings reads no file again that has not changed. A file is known by
its path, size and time of change.
"""

import gzip
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from minillm.data.privacy import mask_personal
from minillm.recipes.cleaning.config import CleanConfig
from minillm.recipes.cleaning.reader import SUFFIXES, Problem, kind_of, read_documents
from minillm.recipes.cleaning.report import write_report
from minillm.recipes.cleaning.steps import examine

N_SAMPLES = 3
"""Samples kept of each reason; personal data in them is masked, also with redact=False."""
SAMPLE_CHARACTERS = 200
_VERSION = 1  # raise it when the steps change, so that parts of older code are not used


@dataclass
class Tally:
    """What happened to the documents of one file, or of all."""

    n_documents: int = 0
    n_kept: int = 0
    bytes_read: int = 0
    bytes_kept: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    """"step: reason" -> documents."""
    masked: dict[str, int] = field(default_factory=dict)
    problems: list[dict[str, str]] = field(default_factory=list)
    samples: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """"step: reason" -> a few of the documents, shortened and masked."""

    def remove(self, why: str, id: str, text: str) -> None:
        """Count a removed document and keep it as a sample if there are few yet."""
        add_counts(self.removed, {why: 1})
        found = self.samples.setdefault(why, [])
        if len(found) < N_SAMPLES:
            shown = mask_personal(" ".join(text[: 4 * SAMPLE_CHARACTERS].split()))[0]
            found.append({"id": id, "text": shown[:SAMPLE_CHARACTERS]})

    def add(self, other: dict[str, Any]) -> None:
        """Add the tally of one file, in the form that JSON gives back."""
        for name in ("n_documents", "n_kept", "bytes_read", "bytes_kept"):
            setattr(self, name, getattr(self, name) + other[name])
        add_counts(self.removed, other["removed"])
        add_counts(self.masked, other["masked"])
        self.problems += other["problems"]
        for why, samples in other["samples"].items():
            self.samples[why] = (self.samples.get(why, []) + samples)[:N_SAMPLES]


def add_counts(counts: dict[str, int], more: Mapping[str, int]) -> None:
    """Add counts to counts, name by name, in place."""
    for name, n in more.items():
        counts[name] = counts.get(name, 0) + n


def clean_folder(
    folder: str | Path, out: str | Path, config: CleanConfig | None = None, *, progress: bool = True
) -> dict[str, Any]:
    """Clean every file below a folder, and write corpus and report.

    Args:
        folder: holds files that `reader` knows; hidden ones are left out.
        out: written to; what an earlier, stopped call left there is used.
        config: what is done; None means CleanConfig().
        progress: show bars.

    Returns:
        The content of report.json.

    Raises:
        ValueError: if the folder is missing or holds no file to read, or `out` lies in it or was
            written with other settings.

    Cost: about 1 MB a second; memory for the text that is kept (use `blocks` beyond some GB).
    Lesson: notebooks/04_dedup.ipynb
    """
    folder, out, config = Path(folder), Path(out), config or CleanConfig()
    paths, ignored = _find_files(folder, out)
    _claim_out(out, config)
    tally = Tally()
    done: list[Path] = []
    bar = tqdm(paths, desc="files", unit=" files", disable=not progress)
    for path in bar:
        part = _part(path, folder, out, config)
        tally.add(json.loads(part.with_suffix(".json").read_text("utf-8")))
        done.append(part)
    rows = [row for part in done for row in _rows(part)]
    kept = _unique(rows, config, tally, progress=progress)
    _write_clean(rows, kept, out)
    for stale in {*out.glob("parts/*.gz")} - set(done):  # of files that changed or are gone
        stale.unlink()
        stale.with_suffix(".json").unlink(missing_ok=True)
    report = {"config": asdict(config), "n_files": len(paths), "ignored": ignored, **asdict(tally)}
    report = json.loads(json.dumps(report))
    write_report(report, out, lengths=[len(row["text"]) for i, row in enumerate(rows) if i in kept])
    return report


def _find_files(folder: Path, out: Path) -> tuple[list[Path], dict[str, int]]:
    """The files to read, in order, and how many of other kinds there are, by suffix."""
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; name one that holds text files")
    if out.resolve() == folder.resolve() or folder.resolve() in out.resolve().parents:
        raise ValueError(f"the results would be written into {folder} itself; choose another out")
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )
    known = [path for path in files if kind_of(path)]
    if not known:
        raise ValueError(
            f"{folder} holds no file to read: put files ending in {', '.join(SUFFIXES)} (or with "
            ".gz behind it) into it"
        )
    others = Counter(path.suffix.lower() or "no suffix" for path in files if not kind_of(path))
    return known, dict(others)


def _claim_out(out: Path, config: CleanConfig) -> None:
    note = out / "config.json"
    told = json.dumps(asdict(config), indent=1)
    if note.is_file() and note.read_text("utf-8") != told:
        raise ValueError(
            f"{out} was written with other settings (see {note.name}); choose another folder, or "
            "remove that one"
        )
    (out / "parts").mkdir(parents=True, exist_ok=True)
    note.write_text(told, "utf-8")


def _part(path: Path, folder: Path, out: Path, config: CleanConfig) -> Path:
    """Where the result for one file lies; it is made if it is not there yet."""
    name, status = path.relative_to(folder).as_posix(), path.stat()
    about = [name, status.st_size, status.st_mtime_ns, asdict(config), _VERSION]
    if config.test_set:
        about.append(hashlib.sha256(Path(config.test_set).read_bytes()).hexdigest())
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]
    part = out / "parts" / f"{key}.gz"
    if not (part.is_file() and part.with_suffix(".json").is_file()):
        _make_part(path, name, part, config)
    return part


def _make_part(path: Path, name: str, part: Path, config: CleanConfig) -> None:
    tally = Tally(bytes_read=path.stat().st_size)
    draft = part.with_name(f"{part.name}.{os.getpid()}.part")
    try:
        with gzip.open(draft, "wt", encoding="utf-8", compresslevel=3) as file:
            for found in read_documents(path, name, config.max_document_bytes):
                if isinstance(found, Problem):
                    tally.problems.append(asdict(found))
                    continue
                tally.n_documents += 1
                outcome = examine(found.text, config)
                add_counts(tally.masked, outcome.masked)
                if outcome.text is None:
                    tally.remove(f"{outcome.step}: {outcome.reason}", found.id, found.text)
                    continue
                row = {"text": outcome.text, "id": found.id}
                file.write(json.dumps(row, ensure_ascii=True) + "\n")
                tally.n_kept += 1
                tally.bytes_kept += len(outcome.text.encode("utf-8", "replace"))
        note = json.dumps(asdict(tally))
        part.with_suffix(".json").write_text(note, "utf-8")
        os.replace(draft, part)  # last, so that a part is whole or not there
    finally:
        draft.unlink(missing_ok=True)


def _rows(part: Path) -> Iterator[dict[str, str]]:
    with gzip.open(part, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _unique(
    rows: Sequence[dict[str, str]], config: CleanConfig, tally: Tally, *, progress: bool
) -> set[int]:
    """Numbers of the documents that stay when of duplicates only the first is kept."""
    if progress and rows:
        tqdm.write(f"looking for duplicates among {len(rows):,} documents")
    texts = [row["text"] for row in rows]
    kept = set(range(len(texts)))
    for why, clusters in _clusters(texts, config):
        for first, *copies in clusters:
            for i in copies:
                if i in kept and first in kept:
                    kept.discard(i)
                    tally.remove(f"{why}: of {rows[first]['id']}", rows[i]["id"], texts[i])
    for name in [name for name in tally.removed if name.startswith("duplicate")]:
        add_counts(tally.removed, {name.split(":")[0]: tally.removed.pop(name)})
        samples = tally.samples.pop(name, [])
        place = tally.samples.setdefault(name.split(":")[0], [])
        place += [s | {"of": name.partition(": of ")[2]} for s in samples]
        del place[N_SAMPLES:]
    tally.n_kept = len(kept)
    tally.bytes_kept = sum(len(texts[i].encode("utf-8", "replace")) for i in kept)
    return kept


def _clusters(texts: list[str], config: CleanConfig) -> Iterator[tuple[str, list[list[int]]]]:
    """Groups of exact, then of near duplicates, each with its name."""
    from minillm.data.exact import content_hash

    by_hash: dict[bytes, list[int]] = {}
    for i, text in enumerate(texts):
        by_hash.setdefault(content_hash(text), []).append(i)
    yield "duplicate, exact", list(by_hash.values())
    if config.near and len(by_hash) > 1:
        from minillm.data.near_duplicates import near_duplicates

        firsts = [group[0] for group in by_hash.values()]
        found = near_duplicates(
            [texts[i] for i in firsts],
            n_hashes=config.n_hashes,
            ngram=config.ngram,
            threshold=config.near,
        )
        yield "duplicate, near", [[firsts[i] for i in group] for group in found.clusters]


def _write_clean(rows: Sequence[dict[str, str]], kept: set[int], out: Path) -> None:
    """Write the corpus, one file for each source file, into a new folder that replaces the old."""
    draft, target = out / f"clean.{os.getpid()}.part", out / "clean"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    by_file: dict[str, list[dict[str, str]]] = {}
    for i, row in enumerate(rows):
        if i in kept:
            by_file.setdefault(row["id"].split("#")[0], []).append(row)
    for name, found in by_file.items():
        path = draft / f"{name}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in found)
        path.write_bytes(gzip.compress(lines.encode(), 6, mtime=0))
    shutil.rmtree(target, ignore_errors=True)
    os.replace(draft, target)

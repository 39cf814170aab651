"""Self-Instruct: a few tasks that people wrote become many that a model wrote.

    1 instructions   show 8 of the pool, let the generator go on with the list; keep what passes the
                     filters, and is not too like anything in the pool
    2 kinds          is it classification?
    3 instances      let the generator do each task: input first, or for classification label first
    4 tasks          what is no instance is dropped; the rest is written as tasks and as chat rows

Each step writes a journal, a line a round, and goes on from it: kill a run, start it again with the
same call, and its files become what they would have been.

    settings.json   instructions.jsonl   kinds.jsonl   instances.jsonl   tasks.jsonl   rows.jsonl

Source: Wang et al. 2022, Self-Instruct, arXiv:2212.10560, section 2.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minillm.finetune.instruct_answers import find_kinds, make_instances
from minillm.finetune.instruct_generate import Generate
from minillm.finetune.instruct_growth import grow_instructions
from minillm.finetune.instruct_instances import Instance
from minillm.finetune.instruct_journal import Journal, Record, claim_folder
from minillm.finetune.instruct_settings import PromptConfig, SelfInstructConfig, as_record
from minillm.finetune.instruct_tasks import InstructTask, chat_rows, language_of, write_tasks


@dataclass(frozen=True)
class SelfInstructRun:
    """What came of a run.

    Attributes:
        seeds: the tasks that it began with.
        rounds, kinds, instances: the records of the three journals; `instruct_report` reads them.
        tasks: the new tasks, one for each instance.

    Lesson: notebooks/29_self_instruct.ipynb
    """

    seeds: list[InstructTask]
    rounds: list[Record]
    kinds: list[Record]
    instances: list[Record]
    tasks: list[InstructTask]

    @property
    def instructions(self) -> list[str]:
        """The instructions that were kept, in order."""
        return [kept["instruction"] for record in self.rounds for kept in record["kept"]]


def self_instruct(
    generate: Generate,
    seeds: Sequence[InstructTask],
    folder: str | Path,
    config: SelfInstructConfig | None = None,
    *,
    generator: str = "",
    progress: bool = True,
) -> SelfInstructRun:
    """Grow a pool of tasks, or go on with a run that was stopped.

    Args:
        generate: from requests to answers; see instruct_generate. If it heeds the seed of a
            request, a run that was stopped ends exactly as one that was not.
        seeds: tasks to begin with, of both kinds; see seed_tasks.
        folder: for the files of the run.
        config: the settings; SelfInstructConfig() by default.
        generator: its name. It is part of the settings, so that no run is taken up with another.
        progress: show bars.

    Returns:
        Everything that was generated, kept and dropped.

    Raises:
        ValueError: if there are fewer seeds than a prompt shows, or none of one kind.
        JournalError: if the folder holds a run with other settings, or is damaged.

    Cost: n_calls requests a round, and two requests for each instruction that was kept.
    Lesson: notebooks/29_self_instruct.ipynb
    """
    config = config or SelfInstructConfig()
    check_seeds(seeds, config.prompts)
    folder = claim_folder(folder, as_record(config, seeds, generator))
    rounds = Journal(folder / "instructions.jsonl")
    kinds = Journal(folder / "kinds.jsonl")
    instances = Journal(folder / "instances.jsonl")
    grow_instructions(generate, seeds, config, rounds, progress=progress)
    texts = [kept["instruction"] for record in rounds.records for kept in record["kept"]]
    find_kinds(generate, texts, seeds, config, kinds, progress=progress)
    is_class = {text: bool(kind) for record in kinds.records for text, kind in record["kinds"]}
    make_instances(generate, is_class, seeds, config, instances, progress=progress)
    tasks = gather_tasks(instances.records)
    write_whole(folder, tasks)
    return SelfInstructRun(list(seeds), rounds.records, kinds.records, instances.records, tasks)


def check_seeds(seeds: Sequence[InstructTask], prompts: PromptConfig) -> None:
    """Refuse seeds that the prompts cannot be made from."""
    n = prompts.n_seeds + prompts.n_generated
    if len(seeds) < n:
        raise ValueError(
            f"a list shows {n} instructions and there are {len(seeds)} seeds; add some"
        )
    n_class = sum(task.is_classification for task in seeds)
    if not 0 < n_class < len(seeds):
        raise ValueError(
            f"{n_class} of {len(seeds)} seeds are classification; at least one of each kind is "
            "needed as an example"
        )


def gather_tasks(records: Sequence[Record]) -> list[InstructTask]:
    """Step 4: make a task of each instance."""
    tasks: list[InstructTask] = []
    for record in records:
        for found in record["tasks"]:
            text = found["instruction"]
            for pair in found["instances"]:
                one = Instance(*pair)
                name = f"generated_{len(tasks) + 1:05}"
                tasks.append(
                    InstructTask(
                        name,
                        text,
                        one.input,
                        one.output,
                        found["is_classification"],
                        language_of(text),
                    )
                )
    return tasks


def write_whole(folder: Path, tasks: Sequence[InstructTask]) -> None:
    """Write tasks.jsonl and rows.jsonl, each whole or not at all."""
    write_tasks(folder / "tasks.tmp", tasks)
    (folder / "tasks.tmp").replace(folder / "tasks.jsonl")
    rows = [json.dumps(row, ensure_ascii=False) + "\n" for row in chat_rows(tasks)]
    (folder / "rows.tmp").write_text("".join(rows), encoding="utf-8", newline="\n")
    (folder / "rows.tmp").replace(folder / "rows.jsonl")

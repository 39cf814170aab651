"""Draft of minillm/recipes/studies/self_instruct_gain.py: does tuning on generated tasks help?

One base model, equal steps; what differs is the data. The exam has the toy's skills in wordings
that no arm has trained on, and stories that nobody has read beside it. Not run yet; next: pilot of
the rate and of the steps on seed 101, then a test like tests/recipes/test_*_studies.py, then records.

    arm      trained on
    base     nothing: the base model as it is
    seeds    the English seeds
    own      seeds, and what the base model itself generated
    toy      seeds, and the toy's tasks, one answer in ten wrong
    clean    seeds, and the toy's tasks without wrong answers
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minillm.finetune import (
    PromptConfig,
    SelfInstructConfig,
    ToyGenerator,
    chat_rows,
    seed_tasks,
)
from minillm.finetune.instruct_exam import of_part, toy_exam
from minillm.finetune.instruct_generate import from_model
from minillm.finetune.instruct_tasks import InstructTask
from minillm.finetune.score import score
from minillm.finetune.self_instruct import self_instruct
from minillm.finetune.sft import fine_tune
from minillm.finetune.talks import ChatBatches, encode_talk
from minillm.recipes.records import Job
from minillm.recipes.shipped import base
from minillm.train import TrainConfig

MODEL = "small"
STEPS, RATE = 150, 1e-3
"""To be chosen on seed 101."""
N_GENERATED = 200
N_EXAM = 160
SHORT = PromptConfig(n_kind=(4, 6), n_examples=3)
"""What fits into a context of 512; check with the longest seeds."""


def tasks_of(arm: str, seed: int) -> list[InstructTask]:
    """What an arm trains on: seeds, and what its generator wrote; no wording of the exam."""
    seeds = seed_tasks("en")
    if arm == "seeds":
        return seeds
    model, tokenizer = base(MODEL)
    generators = {
        "own": from_model(model, tokenizer),
        "toy": ToyGenerator(seed=seed),
        "clean": ToyGenerator(seed=seed, wrong=0.0),
    }
    cut = "last" if arm == "own" else "all"
    limits = {"list_tokens": 150, "instance_tokens": 120, "max_rounds": 60}
    config = SelfInstructConfig(
        N_GENERATED, seed=seed, cut=cut, prompts=SHORT, **limits
    )
    with tempfile.TemporaryDirectory() as folder:
        run = self_instruct(
            generators[arm], seeds, Path(folder), config, progress=False
        )
    return [*seeds, *of_part(run.tasks, "train")]


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Tune a base model on the tasks of an arm, and examine it."""
    model, tokenizer = base(MODEL)
    tasks = [] if settings["arm"] == "base" else tasks_of(settings["arm"], seed)
    if tasks:
        talks = [
            encode_talk(row["messages"], tokenizer) for row in chat_rows(tasks)
        ]
        batches = ChatBatches(
            talks, seed=seed
        )  # the other arguments as in study 28
        fine_tune(model, batches, TrainConfig(steps=STEPS, lr=RATE), progress=False)
    exam = score(model, tokenizer, toy_exam(N_EXAM))
    right = {f"right {kind}": share.value for kind, share in exam.by_kind.items()}
    return {
        "right": exam.right.value,
        "ended": exam.ended.value,
        "tasks": float(len(tasks)),
        **right,
    }


JOB = Job(
    name="self_instruct_gain",
    title="Tuned on seeds, on its own tasks, on a teacher's: who passes the exam?",
    lesson="29",
    arms={arm: {"arm": arm} for arm in ("base", "seeds", "own", "toy", "clean")},
    run=run,
)

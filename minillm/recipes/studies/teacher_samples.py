"""Whose best answers should a small model learn: its own, or those of a large one?

The small model (16 wide, one layer) and the large one (64 wide, two) have read the same sort of
demonstrations. Both answer the same words eight times; the best by the known worth is kept, and
the small model is fine-tuned on it with equal steps.

    own        its own best of 8
    teacher    the large model's best of 8
    control    as many fresh demonstrations: what equal steps do without any choice
    spelled    the right answers themselves: the most that these steps could give
"""

import copy
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from minillm import align
from minillm.finetune import fine_tune
from minillm.recipes import backwards as b
from minillm.recipes.records import Job

N_WORDS = 512
N_SAMPLES = 8
STEPS, BATCH = 120, 32
PILOT = {
    "own": {5e-4: 0.002, 2e-3: 0.0059, 8e-3: 0.0098, 2e-2: 0.0098, 5e-2: 0.0059},
    "teacher": {5e-4: 0.002, 2e-3: 0.0371, 8e-3: 0.1328, 2e-2: 0.1582, 5e-2: 0.0215},
}
"""Learning rate -> share of right answers of the two arms on seed 101; LR is the best for both."""
LR = 2e-2


def by_samples(seed: int, whose: str, lr: float) -> tuple[Any, dict[str, float]]:
    """Fine-tune the small model on the best answers of one of the two."""
    student = copy.deepcopy(b.first_policy(seed, "small"))
    how = align.RejectionConfig(N_SAMPLES, max_tokens=b.MAX_TOKENS, seed=seed)
    with TemporaryDirectory() as folder:
        (report,) = align.rejection_run(
            student, b.TOKENIZER, b.parts()[0][:N_WORDS], b.gold, how, b.settings(STEPS, BATCH),
            folder, teacher=b.first_policy(seed, "large") if whose == "teacher" else None,
            optimizer=b.OptimizerConfig(lr=lr, weight_decay=0.0),
        )  # fmt: skip
    return student, {"drawn": report.mean, "best": report.best}


def by_texts(seed: int, whose: str, lr: float) -> tuple[Any, dict[str, float]]:
    """Fine-tune the small model on demonstrations, or on right answers."""
    student, tasks = copy.deepcopy(b.first_policy(seed, "small")), b.parts()[0][:N_WORDS]
    dice = np.random.default_rng([seed, 2])
    texts = [b.demonstration(t, dice) if whose == "control" else t.answer for t in tasks]
    fine_tune(
        student, b.talks_of(tasks, texts, seed, BATCH), b.settings(STEPS, BATCH),
        optimizer=b.OptimizerConfig(lr=lr, weight_decay=0.0), progress=False,
    )  # fmt: skip
    worth = float(b.gold(tasks, texts).mean())
    return student, {"drawn": worth, "best": worth}


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Teach the small model, and examine it, and both as they were."""
    whose, lr = settings["whose"], settings.get("lr", LR)
    teach = by_samples if whose in ("own", "teacher") else by_texts
    student, told = teach(seed, whose, lr)
    first, large = (b.first_policy(seed, size) for size in ("small", "large"))
    after, before, master = (b.measure(m, first, seed) for m in (student, first, large))
    return {
        "right": after.right,
        "gold": after.gold,
        "kl": after.kl,
        "right before": before.right,
        "gold before": before.gold,
        "right teacher": master.right,
        **told,
    }


def pilot() -> dict[str, dict[float, float]]:
    """Try learning rates on seed 101."""
    return {
        whose: {lr: run({"whose": whose, "lr": lr}, 101)["right"] for lr in rates}
        for whose, rates in PILOT.items()
    }


JOB = Job(
    name="teacher_samples",
    title="A small model learns its own best of 8, a large model's, or neither",
    lesson="35",
    arms={whose: {"whose": whose} for whose in ("own", "teacher", "control", "spelled")},
    run=run,
)

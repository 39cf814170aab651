"""Thirty-two examples, with and without the facts behind them: what does fine-tuning teach?

Three models are tuned on the same questions: one that has read about the town, one that has read
as much about another town (it knows the language, and wrong facts), and one that has read nothing.
They are asked about people whose questions nobody was trained on, in words that nobody was trained
on. `form` is the share of answers of the right form, `right` that of right answers.

Every tuning goes on for many epochs, and is examined on the way: so the same runs say how fast the
form comes (`right 0`, `right 20`), and whether the loss of held-out answers is a guide to how many
are right (`spearman` and the rest of `finetune.agreement`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minillm.finetune.perplexity import agreement
from minillm.model import Decoder
from minillm.recipes.records import Job
from minillm.recipes.town import Marks, ask, exam, make_town, mark, read_town, tune

STEPS, EVERY = 100, 5
"""With 16 rows a step, 50 epochs of 32 examples. Cut from 200 to save time: on seed 101 the share
of right answers stays where it is after some 60 steps."""
LR = 5e-4
"""Chosen on seed 101 (`pilot`): the largest rate that is within the exam's own error (two standard
errors of 480 questions, 4.5 points) of the best, because the other studies take fewer steps."""
PILOT: dict[float, float] = {2.5e-4: 0.6417, 5e-4: 0.6125, 1e-3: 0.5208, 2e-3: 0.4417}
"""Learning rate -> right after STEPS on seed 101, facts true, n = 32, as `pilot` printed them."""


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Tune one model and examine it before, on the way and after."""
    return tuned(settings["facts"], settings["n"], LR, seed)


def tuned(facts: str, n: int, lr: float, seed: int) -> dict[str, Any]:
    """Carry out one tuning; the examples of a small n are among those of a large one."""
    town = make_town(seed)
    model, test = read_town(seed, facts), exam(town)
    seen: list[Marks] = [mark(model, test)]

    def look(now: Decoder) -> float:
        seen.append(mark(now, test))
        return seen[-1].nats

    questions = ask(town, n, seed)
    tune(model, questions, seed, steps=STEPS, lr=lr, evaluate=look, eval_every=EVERY)
    at = {0: seen[0], 20: seen[20 // EVERY], STEPS: seen[STEPS // EVERY]}
    first_epoch = -(-n // 16 // EVERY)  # number of the first look after one whole epoch, at least 1
    later = seen[max(1, first_epoch) :]
    found: dict[str, Any] = {
        "nats": [round(marks.nats, 5) for marks in seen],
        "right": [round(marks.right, 5) for marks in seen],
        "form": [round(marks.form, 5) for marks in seen],
    }
    for step, marks in at.items():
        found |= {f"right {step}": marks.right, f"form {step}": marks.form}
    return found | guide([m.nats for m in later], [m.right for m in later])


def guide(nats: list[float], right: list[float]) -> dict[str, float]:
    """What `agreement` says; zeros where one of the two never moved, and nothing can be said."""
    if np.ptp(nats) == 0 or np.ptp(right) == 0:
        return {"spearman": 0.0, "misleading": 0.0, "given up": 0.0}
    said = agreement(nats, right)
    return {
        "spearman": said.spearman,
        "misleading": said.misleading,
        "given up": said.given_up,
    }


def pilot(rates: tuple[float, ...] = tuple(PILOT), seed: int = 101) -> None:
    """Print how many answers are right at some learning rates, on a seed outside the study."""
    for lr in rates:
        print(f"{lr}: {tuned('true', 32, lr, seed)[f'right {STEPS}']:.4f},", flush=True)


JOB = Job(
    name="superficial_alignment",
    title="32 questions with and without the facts behind them: what does fine-tuning teach?",
    lesson="30",
    arms={
        f"{facts}_{n}": {"facts": facts, "n": n}
        for facts, n in (("true", 8), ("true", 32), ("true", 128), ("false", 32), ("none", 32))
    },
    run=run,
)

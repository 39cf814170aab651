"""Wrong answers or fewer answers: which costs more?

A model that has read about the town is tuned on n questions of which a share is answered wrongly:
with the right answer to another question of the same kind. All arms take equal steps of equal
size. With a seed, the questions of a small n are among those of a large one, and the wrong answers
of a small share among those of a larger one.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from minillm.finetune.corrupt import corrupt_answers
from minillm.recipes.records import Job
from minillm.recipes.town import Question, ask, exam, make_town, mark, read_town, tune

STEPS = 125
"""With 16 rows a step every one of 2 000 questions is read once, every one of 400 five times."""
LR = 5e-4
"""As in superficial_alignment; chosen there on seed 101."""
CLEAN = (100, 200, 400, 2000)
SPOILED = ((400, 0.2), (400, 0.25), (400, 0.4), (400, 0.5), (2000, 0.4))


def questions(n: int, share: float, seed: int) -> list[Question]:
    """Draw n questions and answer a share of them wrongly."""
    asked = ask(make_town(seed), n, seed)
    made = corrupt_answers(
        [q.answer for q in asked], share, seed=seed, kinds=[q.relation for q in asked]
    )
    return [dataclasses.replace(q, answer=a) for q, a in zip(asked, made.answers, strict=True)]


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Tune one model and examine it."""
    examples = questions(settings["n"], settings["share"], seed)
    model = tune(read_town(seed), examples, seed, steps=STEPS, lr=LR)
    marks = mark(model, exam(make_town(seed)))
    return {"right": marks.right, "form": marks.form, "nats": marks.nats}


def arm(n: int, share: float) -> str:
    """Name of an arm: 400_20 has 400 questions, 20 % of them wrong."""
    return f"{n}_{round(100 * share)}"


JOB = Job(
    name="answers_corrupted",
    title="0 to 50 % wrong answers, 100 to 2 000 questions: quality against quantity",
    lesson="30",
    arms={
        arm(n, share): {"n": n, "share": share}
        for n, share in (*((n, 0.0) for n in CLEAN), *SPOILED)
    },
    run=run,
)

"""More questions, or more ways to ask? Quantity against diversity at equal steps.

- quantity: 16 to 1 024 questions, all sixteen templates.
- diversity: 240 questions in one, four or sixteen templates, or about one, two or four relations.
- one task alone: 100 % of its questions in ten templates against 10 % in one.

Two exams: the four templates that no arm trains on (`right`), and the first template, which every
arm trains on (`right own`). People in them are new in either case.
"""

from collections.abc import Mapping
from typing import Any

from minillm.recipes.records import Job
from minillm.recipes.town import KINDS, TEMPLATES, ask, exam, make_town, mark, read_town, tune

STEPS = 64
"""With 16 rows a step every one of 1 024 questions is read once. Cut from 120 to save time: on seed
101 little moves after 60 (superficial_alignment)."""
LR = 5e-4
"""As in superficial_alignment; chosen there on seed 101."""
TASK = KINDS[:1]
"""The one task of the arms task_*: 60 people in ten templates are its 600 questions."""


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Tune one model and examine it twice."""
    town, kinds = make_town(seed), KINDS[: settings["kinds"]]
    templates = TEMPLATES[: settings["templates"]]
    examples = ask(town, settings["n"], seed, templates=templates, kinds=kinds)
    model = tune(read_town(seed), examples, seed, steps=STEPS, lr=LR)
    examined = TASK if settings["one task"] else KINDS
    new = mark(model, exam(town, kinds=examined))
    own = mark(model, exam(town, kinds=examined, templates=TEMPLATES[:1]))
    return {"right": new.right, "form": new.form, "nats": new.nats, "right own": own.right}


def setting(n: int, templates: int = 16, kinds: int = 4, one_task: bool = False) -> dict[str, Any]:
    """Settings of an arm."""
    return {"n": n, "templates": templates, "kinds": kinds, "one task": one_task}


JOB = Job(
    name="instruction_variety",
    title="16 to 1 024 questions, 1 to 16 templates, 1 to 4 kinds: quantity against diversity",
    lesson="30",
    arms={
        **{f"n_{n}": setting(n) for n in (16, 64, 256, 512, 1024)},
        "templates_1": setting(240, templates=1),
        "templates_4": setting(240, templates=4),
        "templates_16": setting(240),
        "kinds_1": setting(240, kinds=1),
        "kinds_2": setting(240, kinds=2),
        "task_ten": setting(600, templates=10, kinds=1, one_task=True),
        "task_one": setting(60, templates=1, kinds=1, one_task=True),
    },
    run=run,
)

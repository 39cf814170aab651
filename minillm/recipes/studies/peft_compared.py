"""Thirteen ways to adapt a model: one task, equal numbers, equal steps, each at its own rate.

Every arm starts from the same model of its seed, reads the same questions in the same order for
the same number of steps, and trains at the rate that a seed outside the study preferred (`PILOT`).
All but two add BUDGET numbers or the most that stays below it; (IA)^3 and BitFit have the size
that they have, and full fine-tuning moves everything. See peft_arms.py for the task.

Measured on people and wordings that were not tuned on: `right`, `form`, `nats`; besides numbers
trained and kept, the time of a step, bytes of a step, and how much slower the model is in use.
"""

import statistics
from collections.abc import Mapping
from typing import Any

from minillm.finetune import count_trainable
from minillm.recipes.peft_arms import (
    ARMS,
    adapt,
    adapted,
    kept_numbers,
    lesson_of,
    ranks_left,
    served,
    slower,
    speaker,
    step_bytes,
)
from minillm.recipes.records import Job
from minillm.recipes.town import exam, make_town, mark

RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
PILOT: dict[str, dict[float, float]] = {}
"""Arm -> rate -> nats of the exam on seed 101, as `pilot` prints them. Empty: not run yet."""


def best_rate(arm: str) -> float:
    """The rate at which the exam of seed 101 had the lowest loss; also full fine-tuning's is tuned.

    Raises:
        ValueError: if the pilot was not run.
    """
    if arm not in PILOT:
        raise ValueError(f"no pilot for {arm!r}: run peft_compared.pilot() and fill in PILOT")
    return min(PILOT[arm], key=lambda rate: PILOT[arm][rate])


def tuned(arm: str, lr: float, seed: int) -> dict[str, Any]:
    """Carry out one adaptation and measure it."""
    base, (questions, test) = speaker(seed), lesson_of(seed)
    model = adapted(arm, base, seed)
    spent: list[float] = []
    found: dict[str, Any] = {
        "trained": count_trainable(model),
        "kept": kept_numbers(arm, model),
        "step bytes": step_bytes(model, questions),
    }
    adapt(model, questions, lr, seed, milliseconds=spent)
    marks, plain = mark(model, test), mark(base, exam(make_town(seed)))
    in_use = served(model)
    found |= {"right": marks.right, "form": marks.form, "nats": marks.nats}
    found |= {"in use": mark(in_use, test).nats, "slower": slower(in_use, base)}
    found |= {"ms a step": statistics.median(spent[5:]), "knew": plain.right}
    found |= {"before": mark(base, test).right}
    for name, rank in ranks_left(model).items():
        found[f"rank {name}"] = rank
    return found


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Carry out one run."""
    return tuned(settings["arm"], best_rate(settings["arm"]), seed)


def pilot(seed: int = 101) -> None:
    """Print the loss of every arm at every rate, on a seed outside the study."""
    for arm in ARMS:
        found = {lr: round(tuned(arm, lr, seed)["nats"], 4) for lr in RATES}
        print(f'"{arm}": {found},', flush=True)


JOB = Job(
    name="peft_compared",
    title="Thirteen ways to adapt a model at equal numbers and steps: quality, memory, time",
    lesson="32",
    arms={arm: {"arm": arm} for arm in ARMS},
    run=run,
)

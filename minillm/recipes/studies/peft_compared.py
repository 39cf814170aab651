"""Thirteen ways to adapt a model: one task, equal numbers, equal steps, each at its own rate.

Every arm starts from the same model of its seed, reads the same questions in the same order for
the same number of steps, and trains at the rate that a seed outside the study preferred (`PILOT`).
All but two add BUDGET numbers or the most that stays below it; (IA)^3 and BitFit have the size
that they have, and full fine-tuning moves everything. See code_task.py for the task.

Measured on people that nobody was tuned on: `right`, `form`, `nats`; besides numbers
trained and kept, the time of a step, bytes of a step, and how much slower the model is in use.
"""

import statistics
from collections.abc import Mapping
from functools import partial
from typing import Any

from minillm.finetune import count_trainable
from minillm.recipes.code_task import N_TAUGHT, lesson_of, mark, register, speaker
from minillm.recipes.peft_arms import (
    ARMS,
    adapt,
    adapted,
    kept_numbers,
    ranks_left,
    served,
    slower,
    step_bytes,
    tried,
)
from minillm.recipes.records import Job

RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Tried for every arm; further ones where the best of these is the first or the last."""
PILOT: dict[str, dict[float, float]] = {
    "full": {0.0003: 0.8998, 0.001: 0.2602, 0.003: 0.6476, 0.01: 1.4503, 0.03: 1.4289, 0.1: 1.1227},
    "prompt": {0.001: 2.0154, 0.003: 1.508, 0.01: 1.3244, 0.03: 1.2414, 0.1: 1.1893, 0.3: 1.1925},
    "p_tuning_mlp": {0.001: 1.7777, 0.003: 1.6837, 0.01: 1.5747, 0.03: 1.492, 0.1: 1.5352},
    "p_tuning_lstm": {0.001: 1.8632, 0.003: 1.8201, 0.01: 1.7836, 0.03: 1.8004, 0.1: 1.9026},
    "prefix": {
        0.001: 3.6622,
        0.003: 2.6516,
        0.01: 1.5957,
        0.03: 1.2236,
        0.1: 1.1105,
        0.3: 1.0615,
        1.0: 1.1726,
    },
    "prefix_mlp": {0.001: 1.3078, 0.003: 1.1878, 0.01: 1.1336, 0.03: 1.1281, 0.1: 1.8063},
    "houlsby": {0.001: 4.7278, 0.003: 1.6923, 0.01: 0.4342, 0.03: 0.2875, 0.1: 0.739},
    "pfeiffer": {0.001: 4.8403, 0.003: 1.556, 0.01: 0.2835, 0.03: 0.1202, 0.1: 0.1903},
    "lora": {0.001: 2.2117, 0.003: 1.0609, 0.01: 0.8915, 0.03: 1.0147, 0.1: 1.0597},
    "adalora": {0.001: 6.4237, 0.003: 3.9327, 0.01: 1.1309, 0.03: 0.7514, 0.1: 0.785},
    "qlora": {0.001: 2.3489, 0.003: 1.1314, 0.01: 0.9598, 0.03: 0.9616, 0.1: 0.9614},
    "ia3": {
        0.001: 6.296,
        0.003: 5.9148,
        0.01: 3.8012,
        0.03: 1.0501,
        0.1: 0.6826,
        0.3: 0.6466,
        1.0: 0.8118,
    },
    "bitfit": {0.001: 5.382, 0.003: 3.1342, 0.01: 1.7151, 0.03: 1.2014, 0.1: 1.0981, 0.3: 1.135},
}
"""Arm -> rate -> nats of the exam on seed 101, as `pilot` prints them."""


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
    asked = [q for q in register(seed) if q.person >= N_TAUGHT]
    marks, plain = mark(model, test), mark(base, asked)
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

    def loss(arm: str, lr: float) -> float:
        return round(float(tuned(arm, lr, seed)["nats"]), 4)

    for arm in ARMS:
        print(f'"{arm}": {tried(partial(loss, arm), RATES)},', flush=True)


JOB = Job(
    name="peft_compared",
    title="Thirteen ways to adapt a model at equal numbers and steps: quality, memory, time",
    lesson="32",
    arms={arm: {"arm": arm} for arm in ARMS},
    run=run,
)

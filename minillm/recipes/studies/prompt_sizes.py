"""Does prompt tuning come nearer to full fine-tuning as the model grows? Two widths.

Each model learns the register by heart and is then taught the code, either in full or by a prompt
of 36 tokens. The gap is the loss with the prompt minus the loss after full fine-tuning, on people
that were not tuned on. A span of 24 to 64 in width is a small one; Lester et al. saw the gap close
between 10^8 and 10^10 parameters. (A third width, 40, was planned and left out to save time.)
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

from minillm.model import count_parameters
from minillm.recipes.code_task import (
    N_TAUGHT,
    SHAPE,
    lesson_of,
    mark,
    register,
    speaker,
)
from minillm.recipes.peft_arms import adapt, adapted, tried
from minillm.recipes.records import Job
from minillm.recipes.small import SmallConfig

WIDTHS = (24, 64)
N_TOKENS = 36
PILOT: dict[str, dict[float, float]] = {
    "full_24": {0.0003: 1.3476, 0.001: 0.6794, 0.003: 1.1946, 0.01: 1.9604},
    "prompt_24": {0.01: 1.7433, 0.03: 1.578, 0.1: 1.5569, 0.3: 1.5656},
    "full_64": {
        0.0003: 0.8998,
        0.001: 0.2602,
        0.003: 0.6476,
        0.01: 1.4503,
        0.03: 1.4289,
        0.1: 1.1227,
    },
    "prompt_64": {
        0.001: 2.0154,
        0.003: 1.508,
        0.01: 1.3244,
        0.03: 1.2414,
        0.1: 1.1893,
        0.3: 1.1925,
    },
}
"""Arm -> rate -> nats on seed 101, as `pilot` prints them. Those of width
64 are the runs of peft_compared's pilot, which are the same."""
RATES = {"full": (1e-3, 3e-3, 1e-2), "prompt": (1e-2, 3e-2, 1e-1)}


def shape(width: int) -> SmallConfig:
    """The speaker's shape at another width."""
    return dataclasses.replace(SHAPE, d_model=width)


def tuned(method: str, width: int, lr: float, seed: int) -> dict[str, float]:
    """Carry out one adaptation."""
    base, (questions, test) = speaker(seed, shape(width)), lesson_of(seed)
    model = adapt(adapted(method, base, seed, budget=N_TOKENS * width), questions, lr, seed)
    asked = [q for q in register(seed) if q.person >= N_TAUGHT]
    marks, knew = mark(model, test), mark(base, asked).right
    n = count_parameters(base.config)
    return {"nats": marks.nats, "right": marks.right, "knew": knew, "parameters": n}


def arm(method: str, width: int) -> str:
    """Name an arm."""
    return f"{method}_{width}"


def best_rate(method: str, width: int) -> float:
    """The rate that seed 101 preferred.

    Raises:
        ValueError: if the pilot was not run.
    """
    found = PILOT.get(arm(method, width))
    if not found:
        raise ValueError("no pilot yet: run prompt_sizes.pilot() and fill in PILOT")
    return min(found, key=lambda rate: found[rate])


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Carry out one run."""
    method, width = settings["method"], settings["width"]
    return tuned(method, width, best_rate(method, width), seed)


def pilot(seed: int = 101) -> None:
    """Print the loss of every arm at its rates, on a seed outside the study."""

    def loss(method: str, width: int, lr: float) -> float:
        return round(tuned(method, width, lr, seed)["nats"], 4)

    for width in WIDTHS:
        for method, rates in RATES.items():
            found = tried(partial(loss, method, width), rates)
            print(f'"{arm(method, width)}": {found},', flush=True)


JOB = Job(
    name="prompt_sizes",
    title="Prompt tuning against full fine-tuning at two widths",
    lesson="32",
    arms={
        arm(method, width): {"method": method, "width": width}
        for width in WIDTHS
        for method in RATES
    },
    run=run,
)

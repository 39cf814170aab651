"""Does prompt tuning come nearer to full fine-tuning as the model grows? Three widths.

Each model reads about the town, learns to answer, and is taught the code, either in full or by a
prompt of 36 tokens. The gap is the loss with the prompt minus the loss after full fine-tuning, on
people and wordings that were not tuned on. A span of 24 to 64 in width is a small one; Lester et
al. saw the gap close between 10^8 and 10^10 parameters.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from minillm.model import count_parameters
from minillm.recipes.peft_arms import adapt, adapted, lesson_of, speaker
from minillm.recipes.records import Job
from minillm.recipes.small import SmallConfig
from minillm.recipes.town import SHAPE, exam, make_town, mark

WIDTHS = (24, 40, 64)
N_TOKENS = 36
PILOT: dict[str, dict[float, float]] = {}
"""Arm -> rate -> nats on seed 101, as `pilot` prints them. Empty: not run yet."""
RATES = {"full": (1e-3, 3e-3, 1e-2), "prompt": (1e-2, 3e-2, 1e-1)}


def shape(width: int) -> SmallConfig:
    """The town's shape at another width."""
    return dataclasses.replace(SHAPE, d_model=width)


def tuned(method: str, width: int, lr: float, seed: int) -> dict[str, float]:
    """Carry out one adaptation."""
    base, (questions, test) = speaker(seed, shape(width)), lesson_of(seed)
    model = adapt(adapted(method, base, seed, budget=N_TOKENS * width), questions, lr, seed)
    marks, knew = mark(model, test), mark(base, exam(make_town(seed))).right
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
    for width in WIDTHS:
        for method, rates in RATES.items():
            found = {lr: round(tuned(method, width, lr, seed)["nats"], 4) for lr in rates}
            print(f'"{arm(method, width)}": {found},', flush=True)


JOB = Job(
    name="prompt_sizes",
    title="Prompt tuning against full fine-tuning at three widths",
    lesson="32",
    arms={
        arm(method, width): {"method": method, "width": width}
        for width in WIDTHS
        for method in RATES
    },
    run=run,
)

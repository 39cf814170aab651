"""Is it the growing batch that makes a curve smooth, or the rate that falls sooner with it?

In the study batch_size the learning rate falls over *steps*, and a ramp does most of its steps in
its first half of the tokens. So its rate is low when the batch has grown, while the large batch is
still near its highest rate. Here the two are taken apart, with all else as in batch_size:

- ramp_over_tokens: the ramp, with the rate that the large batch has after as many tokens;
- large_as_ramp: the large batch, with the rate that the ramp has after as many tokens, but for its
  own warm-up.

Each at the tuned rate of its batch and at the high one. The four arms to compare with are recorded
in batch_size. Written after that study was seen, which is why no claim is judged by it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from minillm.data.loader import BatchSampler
from minillm.recipes.records import Job
from minillm.recipes.studies import batch_size as sizes
from minillm.train import TrainConfig

KINDS = {"ramp_over_tokens": "ramp", "large_as_ramp": "large"}
"""What is trained, and whose batches it has."""


@dataclasses.dataclass(frozen=True)
class Planned(TrainConfig):
    """Settings whose learning rate is given for each step."""

    shares: tuple[float, ...] = ()
    """Of the highest rate; for step 1 first."""

    def lr_at(self, step: int, max_lr: float) -> float:
        """Give the learning rate of an update, counted from 1."""
        return max_lr * self.shares[step - 1]


def rate_over_tokens(kind: str) -> tuple[list[int], list[float]]:
    """Give for each step of `large` or `ramp` the tokens read before it, and its share of the rate.

    The schedule is that of the study batch_size: over steps.
    """
    config, seen = sizes.ramp_config(kind), [0]
    for _ in range(config.steps - 1):
        seen.append(seen[-1] + config.passes(seen[-1]) * config.batch_size * config.context)
    return seen, [config.lr_at(step, 1.0) for step in range(1, config.steps + 1)]


def planned(kind: str) -> Planned:
    """Settings of an arm: its own batches, with the rate of the other at as many tokens."""
    own, other = KINDS[kind], "large" if KINDS[kind] == "ramp" else "ramp"
    seen, shares = rate_over_tokens(own)
    lent = np.interp(seen, *rate_over_tokens(other))
    config = sizes.ramp_config(own)
    if own == "large":  # the ramp's warm-up is over within its first batch
        lent[: config.warmup_steps] = shares[: config.warmup_steps]
    fields = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    return Planned(**fields, shares=tuple(float(x) for x in lent))


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Carry out a run; what is measured has the names of batch_size."""
    torch.set_num_threads(1)
    model = sizes.make(seed)
    batches = BatchSampler(sizes.texts()[0], sizes.FEW, sizes.CONTEXT, seed=seed)
    steps = sizes.descend(model, batches, planned(settings["kind"]), settings["lr"])
    losses = [loss for _, _, loss in sizes.curve(steps, model, sizes.GRID_TOKENS)]
    return {
        "loss": losses[-1],
        "rises": sizes.rises(losses),
        "largest rise": float(max(0.0, np.diff(losses).max())),
    }


JOB = Job(
    name="ramp_or_rate",
    title="A growing batch, or a rate that falls sooner: which of the two makes a curve smooth?",
    lesson="20b",
    arms={
        f"{kind}_{rate}": {"kind": kind, "lr": lr}
        for kind, own in KINDS.items()
        for rate, lr in (("tuned", sizes.RATES[own]), ("high", sizes.HIGH_RATE))
    },
    run=run,
)

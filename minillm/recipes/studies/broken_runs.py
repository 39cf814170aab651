"""Is my curve normal? A healthy run of lesson 20a, and seven with one bug each.

The healthy runs of five seeds make the band of the lesson (`lesson_band`), in which a reader's run
is placed; the broken ones must leave it, each in a way that a table of symptoms names. All train
on one model, text and number of steps; a bug is one change of the loop.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minillm.objectives import causal_loss, fast_cross_entropy
from minillm.recipes.bands import band_of, smooth
from minillm.recipes.records import Job, read_results
from minillm.recipes.small import bits_on
from minillm.recipes.studies.rate_sensitivity import (
    BETAS,
    SMALL,
    WARMUP,
    fresh,
    texts,
    train_with,
)
from minillm.train import AdamW, NotFiniteError

LR = 0.01
WINDOW = 20
"""A point of a curve is the mean loss of so many steps."""
WORST = 12.0
"""Nats: the loss of a step that was not reached, or that is larger."""
CHECKS = range(WINDOW, SMALL.steps + 1, WINDOW)

Objective = Callable[[nn.Module, Tensor, Tensor], Tensor]


def one_too_far(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The causal loss with a mask that is off by one: each position sees the next token."""
    T = x.shape[1]
    mask = torch.ones(T, T, dtype=torch.bool).tril(1)
    return fast_cross_entropy(model(x, mask=mask, causal=False), y)


def not_shifted(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The targets are the inputs: the model learns to copy."""
    return causal_loss(model, x, x)


def shifted_twice(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The targets stand one position too far: the token after the next."""
    return causal_loss(model, x[:, :-1], y[:, 1:])


OBJECTIVES: dict[str, Objective] = {
    "causal": causal_loss,
    "one_too_far": one_too_far,
    "not_shifted": not_shifted,
    "shifted_twice": shifted_twice,
}


class Again:
    """Batches without shuffling: the first windows of the text, over and over.

    Args:
        batches: how many different batches there are.
    """

    def __init__(self, batches: int) -> None:
        tokens = torch.from_numpy(texts()[0])
        T, B = SMALL.context, SMALL.batch_size
        rows = tokens[: batches * B * T].view(batches, B, T)
        after = tokens[1 : batches * B * T + 1].view(batches, B, T)
        self.pairs = list(zip(rows, after, strict=True))

    def __iter__(self) -> Any:
        """Give the batches in the order of the text, without end."""
        while True:
            yield from self.pairs


def train_broken(settings: Mapping[str, Any], seed: int) -> tuple[list[float], float]:
    """Train one model with its bug.

    Returns:
        The loss of each step, nats a token, WORST at most, and bits per byte of unseen text as the
        *right* model would be measured, inf if the run ended early.
    """
    tokens, test = texts()
    model = fresh(seed)
    optimizer = AdamW(model.parameters(), settings["lr"], BETAS, weight_decay=0.0)
    losses: list[float] = []
    try:
        train_with(
            optimizer,
            model,
            tokens if not settings["again"] else Again(settings["again"]),
            seed,
            warmup_steps=settings["warmup_steps"],
            objective=OBJECTIVES[settings["objective"]],
            log=lambda record: losses.append(min(WORST, record["loss"])),
        )
    except NotFiniteError:
        return losses + [WORST] * (SMALL.steps - len(losses)), math.inf
    return losses, bits_on(model, test)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model, and take the points of its curve."""
    losses, bits = train_broken(settings, seed)
    curve = {f"loss {step}": loss for step, loss in smooth(losses, WINDOW).items()}
    return curve | {"bits": bits if math.isfinite(bits) and bits < 20 else 20.0}


HEALTHY: dict[str, Any] = {"lr": LR, "warmup_steps": WARMUP, "objective": "causal", "again": 0}
ARMS: dict[str, dict[str, Any]] = {
    "healthy": HEALTHY,
    "mask_off_by_one": HEALTHY | {"objective": "one_too_far"},
    "not_shifted": HEALTHY | {"objective": "not_shifted"},
    "shifted_twice": HEALTHY | {"objective": "shifted_twice"},
    "no_shuffling": HEALTHY | {"again": 8},
    "rate_too_large": HEALTHY | {"lr": 16 * LR},
    "rate_too_small": HEALTHY | {"lr": LR / 16},
    "no_warm_up": HEALTHY | {"warmup_steps": 0},
}

PILOT: dict[str, dict[str, float]] = {
    "healthy": {"loss 100": 2.58, "loss 200": 2.35, "bits": 3.41},
    "mask_off_by_one": {"loss 100": 0.09, "loss 200": 0.05, "bits": 6.27},
    "not_shifted": {"loss 100": 0.0, "loss 200": 0.0, "bits": 20.0},
    "shifted_twice": {"loss 100": 3.04, "loss 200": 2.94, "bits": 5.12},
    "no_shuffling": {"loss 100": 1.36, "loss 200": 0.05, "bits": 9.26},
    "rate_too_large": {"loss 100": 2.92, "loss 200": 2.77, "bits": 4.0},
    "rate_too_small": {"loss 100": 2.95, "loss 200": 2.78, "bits": 4.03},
    "no_warm_up": {"loss 100": 2.53, "loss 200": 2.32, "bits": 3.37},
}
"""Two points of each curve, nats, and bits per byte of unseen text, on seed 101."""


def curves(arm: str) -> dict[int, dict[int, float]]:
    """Give the recorded curves of an arm: seed -> step -> loss."""
    found = read_results("broken_runs").measured[arm]
    return {seed: {t: run[f"loss {t}"] for t in CHECKS} for seed, run in found.items()}


def lesson_band(path: Path) -> dict[str, Any]:
    """Write the band of lesson 20a from the healthy runs, as data/bands/20a_adamw.json."""
    band = band_of(list(curves("healthy").values()))
    path.write_text(json.dumps(band) + "\n", encoding="utf-8")
    return band


def pilot(seed: int = 101) -> None:
    """Print the curve of every arm on a seed outside the study."""
    for arm, settings in ARMS.items():
        found = {k.removeprefix("loss "): round(v, 2) for k, v in run(settings, seed).items()}
        print(f"{arm:16}", found, flush=True)


JOB = Job(
    name="broken_runs",
    title="Is my curve normal? A healthy run, and seven with one bug each",
    lesson="20a",
    arms=ARMS,
    run=run,
)

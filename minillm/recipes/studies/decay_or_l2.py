"""L2 inside Adam, or decay outside it (AdamW), on a model that reads little text many times.

The text is short (TRAIN_BYTES, read some six times), so that there is something to gain from
smaller weights. Each of the two ways was tried at several strengths on seed 101 (`PILOT`); its
best one, and one that is too strong, to see what it does, are run with five seeds. The pilot's best
L2 is the weakest that was tried: no strength of it did better than none.

What is looked at besides the loss: which weights became small. At the end the entries of all
matrices are sorted by their mean squared gradient, v_hat, into four quarters, and the root mean
square of the weights of each quarter is taken.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from minillm.model import Decoder
from minillm.recipes.records import Job
from minillm.recipes.small import bits_on
from minillm.recipes.studies.rate_sensitivity import BETAS, WARMUP, fresh, texts, train_with
from minillm.train import OptimizerConfig, make_optimizer

TRAIN_BYTES, STEPS, LR = 32_000, 384, 0.005
PILOT: dict[str, dict[float, float]] = {
    "adamw": {0.0: 3.2404, 0.1: 3.2215, 0.3: 3.2056, 1.0: 3.1813, 3.0: 3.2939},
    "adam": {1e-06: 3.2422, 1e-05: 3.2427, 0.0001: 3.2469, 0.001: 3.3168, 0.01: 3.9036},
}
"""Bits per byte of unseen text by way and strength on seed 101, before the study."""
STRENGTHS: dict[str, tuple[float, ...]] = {"adamw": (1.0, 3.0), "adam": (1e-6, 1e-3)}


def quarters(optimizer: torch.optim.Optimizer) -> list[float]:
    """Root mean square of the weights whose gradients are small, ..., large: four quarters.

    Only matrices are looked at; entries that never had a gradient (rows of bytes that the text
    does not hold) are left out.
    """
    weights, squares = [], []
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p.ndim >= 2:
                weights.append(p.detach().flatten())
                squares.append(optimizer.state[p]["v"].flatten())
    w, v = torch.cat(weights), torch.cat(squares)
    w, v = w[v > 0], v[v > 0]
    parts = w[v.argsort()].tensor_split(4)
    return [part.square().mean().sqrt().item() for part in parts]


def train_way(
    kind: str, strength: float, seed: int
) -> tuple[Decoder, torch.optim.Optimizer, list[float]]:
    """Train one model; gains and biases do not decay in either way."""
    tokens, _ = texts(TRAIN_BYTES)
    model = fresh(seed)
    config = OptimizerConfig(LR, BETAS, weight_decay=strength, kind=kind)  # type: ignore[arg-type]
    optimizer = make_optimizer(model, config)
    losses: list[float] = []
    train_with(
        optimizer,
        model,
        tokens,
        seed,
        steps=STEPS,
        warmup_steps=WARMUP,
        log=lambda record: losses.append(record["loss"]),
    )
    return model, optimizer, losses


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model and measure it on texts that it has not read."""
    model, optimizer, losses = train_way(settings["kind"], settings["strength"], seed)
    found = {
        "bits": bits_on(model, texts(TRAIN_BYTES)[1]),
        "last loss": float(np.mean(losses[-20:])),
    }
    return found | {f"quarter {i + 1}": size for i, size in enumerate(quarters(optimizer))}


PILOT_STRENGTHS = {
    "adamw": (0.0, 0.1, 0.3, 1.0, 3.0),
    "adam": (1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
}


def pilot(seed: int = 101) -> None:
    """Print what both ways give at several strengths, on a seed outside the study."""
    for kind, strengths in PILOT_STRENGTHS.items():
        for strength in strengths:
            found = run({"kind": kind, "strength": strength}, seed)
            print(kind, strength, {k: round(v, 4) for k, v in found.items()}, flush=True)


def _arms() -> dict[str, dict[str, Any]]:
    arms: dict[str, dict[str, Any]] = {"none": {"kind": "adamw", "strength": 0.0}}
    for kind, strengths in STRENGTHS.items():
        for name, strength in zip(("best", "strong"), strengths, strict=True):
            arms[f"{kind}_{name}"] = {"kind": kind, "strength": strength}
    return arms


JOB = Job(
    name="decay_or_l2",
    title="L2 inside Adam or decay outside it: which generalises, and which weights become small?",
    lesson="20a",
    arms=_arms(),
    run=run,
)

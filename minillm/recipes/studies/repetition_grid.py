"""Unique tokens, epochs, sizes: the grid for the law of repeated text.

Three models read 16 thousand to 65 thousand tokens, all different or the first half, quarter ...
of them again and again. Everything else is equal: windows, steps, learning rate, schedule. The
measured value is the loss on texts that nobody has trained on.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minillm.model import count_parameters
from minillm.recipes.records import Job
from minillm.recipes.repetition_parts import Repeated, build, prose, row_of, train_repeated
from minillm.recipes.small import bits_on

WIDTHS = (16, 32, 64)
CELLS = {
    65_536: (1, 2, 4, 8, 16, 64),
    32_768: (1, 2, 4, 8),
    16_384: (1, 2, 4),
}
"""Tokens read, and how often each of them."""
SIXTEEN = {8_192: (1, 16), 16_384: (16,), 32_768: (16,)}
"""Besides, for the model of width 32: sixteen epochs of ever more text."""
PILOT: dict[int, dict[float, float]] = {
    16: {0.005: 3.844, 0.01: 3.683, 0.02: 3.687},
    48: {0.005: 3.244, 0.01: 3.19, 0.02: 3.265},
    64: {0.005: 3.153, 0.01: 3.131, 0.02: 3.384},
}
"""Bits per byte after 131 072 different tokens, by width and learning rate, on seed 101, before
the study (which reads half as many, so that it fits into the time there was). Hence 0.01 for
all."""
PILOT_EPOCHS: dict[int, tuple[float, float, float]] = {
    1: (3.683, 3.281, 3.131), 2: (3.695, 3.33, 3.212), 4: (3.703, 3.371, 3.241),
    8: (3.715, 3.422, 3.469), 16: (3.787, 3.845, 4.98), 64: (5.392, 9.365, 10.568),
}  # fmt: skip
"""Bits per byte of the three widths by epochs, 131 072 tokens, seed 101. Hence sixteen epochs where
degradations are compared (at 64 a text is known by heart), and the law is fitted up to eight: it
cannot rise."""


def arm(d_model: int, total: int, epochs: int) -> str:
    """Name of a cell."""
    return f"w{d_model}_t{total}_e{epochs}"


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model and measure it on texts that it has not read."""
    train, test = prose()
    this = Repeated(**settings)
    losses: list[float] = []
    model = train_repeated(this, row_of(train, this.unique, seed), seed, losses=losses)
    shape = build(Repeated(d_model=this.d_model), seed).config
    bits = bits_on(model, test)
    return {
        "bits": bits,
        "nats": bits * math.log(2),
        "train bits": float(np.mean(losses[-16:])) / math.log(2),
        "parameters": count_parameters(shape),
        "tokens": this.total,
        "unique": this.unique,
        "flops": this.flops,
    }


def cells() -> dict[str, dict[str, int]]:
    """Settings of all arms."""
    grid = [(d, t, e) for d in WIDTHS for t, epochs in CELLS.items() for e in epochs]
    grid += [(32, t, e) for t, epochs in SIXTEEN.items() for e in epochs]
    return {arm(d, t, e): {"d_model": d, "total": t, "epochs": e} for d, t, e in grid}


JOB = Job(
    name="repetition_grid",
    title="What are repeated tokens worth? Unique tokens, epochs and sizes",
    lesson="26",
    arms=cells(),
    run=run,
)

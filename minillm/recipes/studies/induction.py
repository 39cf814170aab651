"""When does a model learn to continue what it has seen once? One layer against two.

A row is a run of random letters, and the same run again: `7 3 9 1 | 7 3 9 1`. Nothing in the first
copy can be predicted. In the second copy everything can, by whoever looks up what stood behind the
present letter the last time. The length of the run is drawn anew for each row, so that "look r
places back" is no way out, and the letters are drawn anew, so that nothing can be learned by heart:
what is predicted is learned *from the row*, which is in-context learning in its smallest form.

Three arms: one layer; two layers; and one layer with a feed-forward part made so wide that it has
as many parameters as two layers. What is measured is the loss on the second copy, on fresh rows.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    PositionConfig,
    count_parameters,
    flops_per_token,
)
from minillm.objectives import fast_cross_entropy
from minillm.recipes.records import Job
from minillm.train import OptimizerConfig, TrainConfig, train

N_LETTERS = 32
START = N_LETTERS
"""Stands before the first letter."""
SHORTEST, LONGEST = 8, 16
"""Letters in a run."""
CONTEXT = 2 * LONGEST
D, HEADS, WIDTH = 32, 2, 32
WIDE = 107
"""Inner width with which one layer has as many parameters as two (within 0.2 %)."""
STEPS, BATCH, LR = 600, 64, 1e-2
EVERY = 25
"""Steps between two measurements."""


def shape(n_layers: int, width: int = WIDTH) -> DecoderConfig:
    """A small decoder with RoPE."""
    return DecoderConfig(
        N_LETTERS + 1, D, n_layers, CONTEXT, AttentionConfig(HEADS),
        FeedForwardConfig("swiglu", width), position=PositionConfig("rope"), tie_embeddings=False,
    )  # fmt: skip


def rows(rng: np.random.Generator, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw rows: a run of letters, twice.

    Returns:
        x: ids with START in front, (n, CONTEXT).
        y: the next ids, (n, CONTEXT); -100 behind the second copy.
        runs: the length of the run of each row, (n,).
    """
    runs = rng.integers(SHORTEST, LONGEST + 1, n)  # (n,)
    letters = rng.integers(N_LETTERS, size=(n, LONGEST))  # (n, LONGEST)
    place = np.arange(CONTEXT)
    row = np.take_along_axis(letters, place % runs[:, None], axis=1)  # (n, CONTEXT)
    y = np.where(place < 2 * runs[:, None], row, -100)
    x = np.concatenate([np.full((n, 1), START), row[:, :-1]], axis=1)
    return torch.tensor(x), torch.tensor(y), torch.tensor(runs)


def batches(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Give batches without end."""
    rng = np.random.default_rng(seed)
    while True:
        x, y, _ = rows(rng, BATCH)
        yield x, y


@torch.no_grad()
def loss_by_copy(model: Decoder, n: int = 256) -> tuple[float, float]:
    """Measure fresh rows: nats a letter in the first copy, and in the second behind its first."""
    x, y, runs = rows(np.random.default_rng(0), n)
    nats = fast_cross_entropy(model(x), y, reduction="none")  # (n, CONTEXT)
    place = torch.arange(CONTEXT)
    first = place < runs[:, None]
    second = (place > runs[:, None]) & (place < 2 * runs[:, None])
    return nats[first].mean().item(), nats[second].mean().item()


def train_rows(
    config: DecoderConfig, seed: int, *, steps: int = STEPS
) -> tuple[Decoder, dict[int, float]]:
    """Train, and return the model with the loss on the second copy every EVERY steps."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    model = Decoder(config)
    curve: dict[int, float] = {}

    def evaluate(model: Decoder) -> float:
        curve[EVERY * (len(curve) + 1)] = loss_by_copy(model)[1]
        return curve[EVERY * len(curve)]

    train(
        model,
        batches(seed),
        TrainConfig(steps, BATCH, CONTEXT, warmup_steps=20, log_every=0, eval_every=EVERY,
                    precision="float32"),
        optimizer=OptimizerConfig(lr=LR, weight_decay=0.1),
        evaluate=evaluate,  # type: ignore[arg-type]
        progress=False,
    )  # fmt: skip
    return model.eval(), curve


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model on fresh rows."""
    config = shape(settings["n_layers"], settings["width"])
    model, curve = train_rows(config, seed)
    first, second = loss_by_copy(model)
    return {
        "first_copy": first,
        "second_copy": second,
        "n_parameters": count_parameters(config),
        "flops": flops_per_token(config) * STEPS * BATCH * CONTEXT,
        **{f"step {step}": loss for step, loss in curve.items()},
    }


JOB = Job(
    name="induction",
    title="Does the loss on the second copy of a random run fall, with one layer and with two?",
    lesson="10",
    arms={
        "one_layer": {"n_layers": 1, "width": WIDTH},
        "one_wide_layer": {"n_layers": 1, "width": WIDE},
        "two_layers": {"n_layers": 2, "width": WIDTH},
    },
    run=run,
)

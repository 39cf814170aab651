"""Does a norm on the embedding let a model train at a higher learning rate, and does it cost?

Four layers read stories, with and without a norm right after the embedding, at rates that double
until nothing trains any more. BLOOM's authors saw steadier training at 104 billion parameters in
float16, and worse zero-shot results; ours are 0.2 million in float32, so the question is only
whether the direction can be seen here.

A rate *trains* if the model ends better than a table that says which byte follows which, and so
has learned to use more than the last byte. Zero-shot is asked as bits a byte of prose, a kind of
text that was not trained on.

Two pilots before (seed 101) had rates that were too high to tell anything. Six layers that read
prose for a hundred steps did better than the frequencies of single bytes at every rate from 0.01 to
0.16, and barely (4.61 to 4.73 bits of 4.75). Four layers that read stories for 150 steps did better
than byte pairs (3.23 bits) at no rate from 0.005 to 0.08: plain 3.38, 3.97, 3.78, 3.80, 4.28 bits,
with the norm 3.75, 4.28, 3.47, 4.25, 4.02.
"""

import dataclasses
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minillm.data.corpora import load_corpus
from minillm.data.loader import BatchSampler, windows
from minillm.model import Decoder
from minillm.objectives import causal_loss
from minillm.recipes.records import Job
from minillm.recipes.runs import decoder
from minillm.recipes.small import N_BYTES_VOCAB, stream
from minillm.recipes.studies.spike_remedies import texts
from minillm.train import NotFiniteError, OptimizerConfig, TrainConfig, train

CORPUS, TRAIN_BYTES, TEST_BYTES = "stories-en", 400_000, 40_000
N_LAYERS, STEPS, WARMUP, BATCH, CONTEXT = 4, 200, 10, 8, 64
RATES = (0.00125, 0.0025, 0.005, 0.01, 0.02)
CLIP = 1.0
LOST = 8.0
"""Bits a byte of a run that ended in something that is not a number: those of a blind guess."""


@lru_cache(maxsize=1)
def stories() -> tuple[np.ndarray, tuple[Tensor, Tensor]]:
    """Tokens to train on, (N,), and windows (x, y), (24, T), of stories that are not in them."""
    found = load_corpus(CORPUS, max_bytes=TRAIN_BYTES + 2 * TEST_BYTES, progress=False).texts
    found = [found[i] for i in np.random.default_rng(22).permutation(len(found))]
    test: list[str] = []
    while sum(len(text) for text in test) < TEST_BYTES:
        test.append(found.pop())
    unseen = stream(test)
    starts = np.linspace(0, len(unseen) - CONTEXT - 1, 24).astype(int)
    return stream(found)[:TRAIN_BYTES], windows(unseen, starts, CONTEXT)


def make(*, norm: bool, seed: int) -> Decoder:
    """Build a model of four layers, with or without a norm on the embedding."""
    torch.manual_seed(seed)
    shape = decoder(N_BYTES_VOCAB, d_model=64, n_layers=N_LAYERS, n_heads=4, context=CONTEXT)
    return Decoder(dataclasses.replace(shape, norm=dataclasses.replace(shape.norm, embedding=norm)))


@torch.no_grad()
def bits(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Bits a byte on windows; those of a blind guess where the model gives no number."""
    found = causal_loss(model, x, y).item() / math.log(2)
    return found if math.isfinite(found) else LOST


@lru_cache(maxsize=1)
def pair_bits() -> float:
    """Bits a byte, on the unseen stories, of a table that says which byte follows which."""
    tokens, (x, y) = stories()
    counts = np.full((N_BYTES_VOCAB, N_BYTES_VOCAB), 0.01)
    np.add.at(counts, (tokens[:-1], tokens[1:]), 1.0)
    table = -np.log2(counts / counts.sum(axis=1, keepdims=True))
    return float(table[x.numpy(), y.numpy()].mean())


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model.

    Returns:
        "bits" of unseen stories, "other bits" of prose; "trains": 1 if bits are
        below pair_bits; "largest norm": of a gradient, before clipping, in its logarithm (2);
        "stopped": 1 if a loss or gradient was not finite.
    """
    torch.set_num_threads(1)
    tokens, (x, y) = stories()
    model = make(norm=settings["norm"], seed=seed)
    how = TrainConfig(
        steps=STEPS, batch_size=BATCH, context=CONTEXT, warmup_steps=WARMUP, clip=CLIP,
        log_every=0, precision="float32",
    )  # fmt: skip
    norms: list[float] = [1e-30]
    stopped = False
    try:
        train(
            model, BatchSampler(tokens, BATCH, CONTEXT, seed=seed), how,
            optimizer=OptimizerConfig(lr=settings["lr"], weight_decay=0.1),
            log=lambda record: norms.append(record["grad_norm"]), progress=False,
        )  # fmt: skip
    except NotFiniteError:
        stopped = True
    model.eval()
    found = LOST if stopped else bits(model, x, y)
    return {
        "bits": found,
        "other bits": LOST if stopped else bits(model, *texts()[1]),
        "trains": float(found < pair_bits()),
        "largest norm": math.log2(max(norms)),
        "stopped": float(stopped),
    }


PILOT: dict[str, dict[float, float]] = {
    "plain": {0.00125: 3.2, 0.0025: 2.947, 0.005: 3.184, 0.01: 3.859, 0.02: 3.435},
    "norm": {0.00125: 3.598, 0.0025: 3.266, 0.005: 3.168, 0.01: 3.688, 0.02: 3.604},
}
"""Bits a byte of unseen stories on seed 101, as `pilot` printed them; byte pairs have 3.235."""


def best(kind: str) -> float:
    """Of the rates of the study, the one that seed 101 preferred for "plain" or "norm"."""
    return min(RATES, key=lambda lr: PILOT[kind][lr])


def pilot(seed: int = 101) -> None:
    """Print bits a byte of both kinds at every rate, on a seed outside the study."""
    for norm in (False, True):
        found = {lr: round(run({"norm": norm, "lr": lr}, seed)["bits"], 4) for lr in RATES}
        print(f'"{"norm" if norm else "plain"}": {found},', flush=True)


JOB = Job(
    name="embedding_norm_rates",
    title="A norm on the embedding: at which learning rates does a small model still train?",
    lesson="21",
    arms={
        f"{'norm' if norm else 'plain'}_{lr}": {"norm": norm, "lr": lr}
        for lr in RATES
        for norm in (False, True)
    },
    run=run,
)

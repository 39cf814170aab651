"""Six feed-forward layers at equal parameters, equal FLOPs and equal text, at two learning rates.

A plain layer of width 4 D and a gated one of width 8/3 D, rounded, differ by 64 numbers a layer.
The two rates were chosen on seed 101, which is not in the study: see `PILOT`.

Matrices of the blocks start with spread 1 / sqrt(d_in), so that what goes into a curve has spread
1, as it has in large models. With the usual 0.02 it would have 0.16 at this width, and there GELU
and SiLU are nearly straight lines.

Shape letters: B windows, T context, D model width, F inner width.
"""

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minillm.data.corpora import load_corpus
from minillm.model import (
    Decoder,
    DecoderConfig,
    FeedForward,
    FeedForwardConfig,
    count_parameters,
    flops_per_token,
)
from minillm.model.layers import Linear
from minillm.recipes.records import Job
from minillm.recipes.runs import decoder
from minillm.recipes.small import N_BYTES_VOCAB, SmallConfig, bits_on, stream, train_small

CORPUS, TRAIN_BYTES, TEST_BYTES = "prose", 400_000, 40_000
"""Docstrings; the test is on texts that nobody has trained on."""
SMALL = SmallConfig(d_model=64, n_layers=2, n_heads=4, context=64, batch_size=8, steps=384)
WIDTHS = {"relu": 256, "gelu": 256, "silu": 256, "glu": 171, "geglu": 171, "swiglu": 171}
"""Inner widths: 4 D for two matrices, 8/3 D for three."""
PILOT: dict[str, dict[float, float]] = {
    "relu": {0.0025: 3.2575, 0.005: 3.1437, 0.01: 3.1508, 0.02: 3.2243},
    "gelu": {0.0025: 3.2449, 0.005: 3.1278, 0.01: 3.1185, 0.02: 3.1926},
    "silu": {0.0025: 3.2881, 0.005: 3.1696, 0.01: 3.1507, 0.02: 3.2244},
    "glu": {0.0025: 3.4094, 0.005: 3.248, 0.01: 3.1415, 0.02: 3.2702},
    "geglu": {0.0025: 3.2488, 0.005: 3.1035, 0.01: 3.1296, 0.02: 3.2591},
    "swiglu": {0.0025: 3.2678, 0.005: 3.1219, 0.01: 3.0961, 0.02: 3.1816},
}
"""Bits per byte of each kind and rate on seed 101, as `pilot` printed them before the study."""
RATES = (0.005, 0.01)
"""The two that are best on the mean of the kinds in PILOT."""


@lru_cache(maxsize=1)
def texts() -> tuple[np.ndarray, list[str]]:
    """Tokens to train on, (N,), and texts to test on, none of which is in both."""
    found = load_corpus(CORPUS, max_bytes=TRAIN_BYTES + 2 * TEST_BYTES, progress=False).texts
    found = [found[i] for i in np.random.default_rng(12).permutation(len(found))]
    test, n_bytes = [], 0
    while n_bytes < TEST_BYTES:  # the last text is cut
        test.append(found.pop()[: TEST_BYTES - n_bytes])
        n_bytes += len(test[-1].encode())
    return stream(found)[:TRAIN_BYTES], test


def model_config(kind: str) -> DecoderConfig:
    """Shape of an arm's model: all are equal but for the feed-forward layer."""
    base = decoder(
        N_BYTES_VOCAB, d_model=64, n_layers=2, n_heads=4, context=64, tie_embeddings=False
    )
    layer = FeedForwardConfig(kind, WIDTHS[kind])  # type: ignore[arg-type]
    return dataclasses.replace(base, feedforward=layer)


@torch.no_grad()
def make(kind: str, seed: int) -> Decoder:
    """Build a model whose curves see numbers of spread 1 at the start.

    Matrices of the blocks: spread 1 / sqrt(d_in), those that lead back into the residual stream
    half of it (1 / sqrt(2 n_layers)). Embedding: spread 1; output matrix: 1 / sqrt(D).
    """
    torch.manual_seed(seed)
    config = model_config(kind)
    model = Decoder(config)
    for name, part in model.blocks.named_modules():
        if isinstance(part, Linear):
            back = (2 * config.n_layers) ** -0.5 if name.endswith(("out", "down")) else 1.0
            nn.init.normal_(part.weight, std=back * part.d_in**-0.5)
    assert model.head is not None
    model.embedding.weight.mul_(1 / config.init_std)
    model.head.weight.mul_(config.d_model**-0.5 / config.init_std)
    return model


def train_kind(kind: str, lr: float, seed: int, *, losses: list[float] | None = None) -> Decoder:
    """Train one model; equal seeds read equal windows in equal order, whatever the kind."""
    config = dataclasses.replace(SMALL, lr=lr)
    return train_small(texts()[0], seed, config=config, model=make(kind, seed), losses=losses)


@torch.no_grad()
def inner_signs(model: Decoder, n_windows: int = 400) -> tuple[float, float]:
    """How often inner units are open, on unseen text.

    A unit is open where the number that goes into its curve is positive: that of the gate in a
    gated layer.

    Returns:
        The share of (token, unit) pairs that are open, and the share of units that are open for no
        token at all. With ReLU such a unit is dead: on this text it has no value and no gradient.
    """
    ids = torch.from_numpy(stream(texts()[1]))
    windows = ids[: len(ids) // 64 * 64].view(-1, 64)[:n_windows]  # (B, T)
    seen: list[Tensor] = []
    hooks = []
    for block in model.blocks:
        layer = block.feedforward
        assert isinstance(layer, FeedForward)
        into_curve = layer.up if layer.gate is None else layer.gate
        hooks.append(into_curve.register_forward_hook(lambda _, __, out: seen.append(out > 0)))
    model.features(windows)
    for hook in hooks:
        hook.remove()
    opened = torch.stack([s.flatten(0, 1) for s in seen], dim=1)  # (B T, layers, F)
    return opened.float().mean().item(), 1.0 - opened.any(dim=0).float().mean().item()


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model and measure it on texts that it has not read."""
    config = model_config(settings["kind"])
    losses: list[float] = []
    model = train_kind(settings["kind"], settings["lr"], seed, losses=losses)
    opened, closed = inner_signs(model)
    return {
        "bits": bits_on(model, texts()[1]),
        "last loss": float(np.mean(losses[-20:])),
        "open": opened,
        "never open": closed,
        "parameters": count_parameters(config),
        "flops a token": flops_per_token(config),
    }


def pilot(rates: tuple[float, ...] = (0.0025, 0.005, 0.01, 0.02), seed: int = 101) -> None:
    """Print bits per byte of every kind at some learning rates, on a seed outside the study."""
    for kind in WIDTHS:
        found = {lr: round(run({"kind": kind, "lr": lr}, seed)["bits"], 4) for lr in rates}
        print(f'"{kind}": {found},', flush=True)


def best_rate(kind: str) -> float:
    """Of the two rates of the study, the one that seed 101 preferred for a kind."""
    return min(RATES, key=lambda lr: PILOT[kind][lr])


JOB = Job(
    name="feedforward_kinds",
    title="ReLU, GELU, SiLU, GLU, GEGLU, SwiGLU at equal parameters: which loss, and how dead?",
    lesson="12",
    arms={f"{kind}_{lr}": {"kind": kind, "lr": lr} for lr in RATES for kind in WIDTHS},
    run=run,
)

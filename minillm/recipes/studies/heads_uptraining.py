"""Fewer key/value heads for a trained model: what the conversion costs, and what up-training mends.

A model of 8 query heads is trained with 8 key/value heads. Then its key/value heads become 2 or 1,
in three ways: the mean of each group, its first head, or fresh random ones. Each copy, and the
untouched model beside them, is trained on for 5, 10, 20 and 40 per cent of the steps, each time
from the conversion on, with a schedule of its own. Models with the same heads from scratch get as
many tokens as the original and the 5 per cent together.

Removing key/value heads also removes parameters; one arm widens the feed-forward layer instead, so
that it has as many as the multi-head model.

What is judged was fixed before the runs, all in bits per byte, paired by seed: mean minus first and
first minus random, for 2 and for 1 key/value heads, before and after 5 per cent; the mean after 5
to 40 per cent minus the original, and minus the model with its heads from scratch at equal tokens;
multi-query from scratch minus multi-head from scratch, plain and with equal parameters.
"""

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from minillm.data.corpora import load_corpus
from minillm.model import (
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    count_parameters,
    kv_bytes_per_token,
)
from minillm.model.heads import convert_heads
from minillm.recipes.records import Job
from minillm.recipes.runs import decoder
from minillm.recipes.small import N_BYTES_VOCAB, SmallConfig, bits_on, stream, train_small

CORPUS, TRAIN_BYTES, TEST_BYTES = "stories-en", 1_200_000, 40_000
N_HEADS, STEPS, BATCH = 8, 680, 4
SHARES = (5, 10, 20, 40)
"""Per cent of the steps that the up-training takes: 34, 68, 136 and 272 steps."""
WIDE = 213
"""Inner width with which one key/value head and 176 + 37 make up for seven that are missing."""
LR = 5e-3
"""Of the first training. Bits per byte on seed 101: 1.963 at 0.005, 2.189 at 0.01; with 340 steps
of 8 windows in the place of 680 of 4, 2.123 and 2.133."""
PILOT: dict[str, dict[float, float]] = {
    "mha": {0.00125: 1.9778, 0.0025: 2.0584, 0.005: 2.2356, 0.01: 2.5427},
    "gqa_mean": {0.00125: 2.9963, 0.0025: 2.9188, 0.005: 2.912, 0.01: 2.969},
    "mqa_mean": {0.00125: 3.1819, 0.0025: 3.11, 0.005: 3.0631, 0.01: 3.0666},
}
"""Bits per byte after 5 per cent of up-training on seed 101, by learning rate. Before it the model
had 1.962."""
UP_LR, UNTOUCHED_LR = 5e-3, 1.25e-3
"""Of the up-training: best for both conversions in PILOT, and best for the untouched model."""


@lru_cache(maxsize=1)
def texts() -> tuple[np.ndarray, list[str]]:
    """Tokens to train on, (N,), and stories to test on, none of which is in both."""
    found = load_corpus(CORPUS, max_bytes=TRAIN_BYTES + 10 * TEST_BYTES, progress=False).texts
    found = [found[i] for i in np.random.default_rng(16).permutation(len(found))]
    test: list[str] = []
    while sum(len(text.encode()) for text in test) < TEST_BYTES:
        test.append(found.pop())
    return stream(found)[:TRAIN_BYTES], test


def model_config(n_kv_heads: int, width: int | None = None) -> DecoderConfig:
    """Shape of a model: all are equal but for the key/value heads (and the width, if given)."""
    shape = decoder(
        N_BYTES_VOCAB,
        d_model=64,
        n_layers=2,
        n_heads=N_HEADS,
        context=64,
        n_kv_heads=n_kv_heads,
    )
    if width is not None:
        shape = dataclasses.replace(shape, feedforward=FeedForwardConfig("swiglu", width))
    return dataclasses.replace(shape, init_std=0.1)


def recipe(steps: int, lr: float) -> SmallConfig:
    """How a model is trained for so many steps; the warm-up is 20 steps, or a sixth of all."""
    return SmallConfig(steps=steps, batch_size=BATCH, lr=lr, warmup_steps=min(20, steps // 6))


def scratch(n_kv_heads: int, steps: int, seed: int, width: int | None = None) -> Decoder:
    """Train a new model; equal seeds read equal windows in equal order."""
    torch.manual_seed(seed)
    model = Decoder(model_config(n_kv_heads, width))
    return train_small(texts()[0], seed, config=recipe(steps, LR), model=model)


@lru_cache(maxsize=1)
def original(seed: int) -> Decoder:
    """The multi-head model that all conversions of a seed begin with. Do not change it."""
    return scratch(N_HEADS, STEPS, seed)


def convert(settings: Mapping[str, Any], seed: int) -> Decoder:
    """The converted copy of a seed's model, before any up-training."""
    torch.manual_seed(1_000 + seed)  # for random heads
    return convert_heads(original(seed), settings["n_kv_heads"], settings["how"])


def up_train(model: Decoder, share: float, seed: int, lr: float = UP_LR) -> Decoder:
    """Train a model on, in place, for a share (per cent) of the steps, on windows drawn anew."""
    steps = round(STEPS * share / 100)
    return train_small(texts()[0], 2_000 + seed, config=recipe(steps, lr), model=model)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train or convert one model, and measure it on stories that it has not read."""
    n_kv_heads, width = settings["n_kv_heads"], settings.get("width")
    shape = model_config(n_kv_heads, width)
    measured: dict[str, float] = {
        "parameters": count_parameters(shape),
        "cache bytes a token": kv_bytes_per_token(shape),
    }
    if "how" not in settings:
        steps = round(STEPS * (1 + SHARES[0] / 100))
        measured["bits"] = bits_on(scratch(n_kv_heads, steps, seed, width), texts()[1])
        return measured
    measured["bits 0"] = bits_on(convert(settings, seed), texts()[1])
    for share in SHARES:
        model = up_train(convert(settings, seed), share, seed, settings["lr"])
        measured[f"bits {share}"] = bits_on(model, texts()[1])
    return measured


def pilot(rates: tuple[float, ...] = (0.00125, 0.0025, 0.005, 0.01), seed: int = 101) -> None:
    """Print bits per byte after 5 per cent of up-training, on a seed outside the study."""
    for name in ("mha", "gqa_mean", "mqa_mean"):
        found = {}
        for lr in rates:
            model = up_train(convert(JOB.arms[name], seed), SHARES[0], seed, lr)
            found[lr] = round(bits_on(model, texts()[1]), 4)
        print(f'"{name}": {found},', flush=True)


ARMS: dict[str, dict[str, Any]] = {
    "mha": {"n_kv_heads": N_HEADS, "how": "mean", "lr": UNTOUCHED_LR}
}
for _kind, _heads in (("gqa", 2), ("mqa", 1)):
    for _how in ("mean", "first", "random"):
        ARMS[f"{_kind}_{_how}"] = {"n_kv_heads": _heads, "how": _how, "lr": UP_LR}
for _kind, _heads in (("mha", N_HEADS), ("gqa", 2), ("mqa", 1)):
    ARMS[f"scratch_{_kind}"] = {"n_kv_heads": _heads}
ARMS["scratch_mqa_wide"] = {"n_kv_heads": 1, "width": WIDE}

JOB = Job(
    name="heads_uptraining",
    title="A multi-head model made grouped- or multi-query: quality before and after up-training",
    lesson="16a",
    arms=ARMS,
    run=run,
)

"""Train short, test long: eight ways to know where a token stands, and two at twice the length.

All arms have the same shape otherwise, the same text, tokens and steps. Beside the loss at each
position the study measures how far back each head of ALiBi looks.

Shape letters: B windows, N heads, T positions, S keys.
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
from minillm.model import (
    Decoder,
    DecoderConfig,
    PositionConfig,
    alibi_bias,
    alibi_slopes,
    attention_weights,
    count_parameters,
    flops_per_token,
)
from minillm.objectives import fast_cross_entropy
from minillm.recipes.records import Job
from minillm.recipes.runs import decoder
from minillm.recipes.small import N_BYTES_VOCAB, SmallConfig, stream, train_small

TEXT = "stories-en"
N_HEADS, STEPS = 8, 384
TRAIN_BYTES, TEST_BYTES = 1_200_000, 16_000
TRAINED, LONGEST = 64, 512
"""Context of the training, and of the test: 8 times as long."""
BIN = 32
"""Positions whose losses are averaged together; test windows begin so many bytes apart."""
RANGES = ((0, 64), (64, 128), (128, 256), (256, 512))
"""The trained length, and then up to 2, 4 and 8 times as far."""
TOKENS_PER_STEP = 512


class LearnedSlopes(Decoder):
    """ALiBi whose slopes are trained: they start as alibi_slopes and stay positive."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        slopes = torch.tensor(alibi_slopes(config.attention.n_heads))
        self.log_slopes = nn.Parameter(slopes.log())

    def _score_bias(self, x: Tensor, start: int) -> Tensor:
        keys = torch.arange(start + x.shape[1], device=x.device)
        return alibi_bias(self.log_slopes.exp(), keys[start:], keys, dtype=x.dtype)


@lru_cache(maxsize=1)
def texts() -> tuple[np.ndarray, Tensor]:
    """Tokens to train on, (N,), and windows to test on, (B, LONGEST + 1), of other stories.

    A window begins every BIN bytes, so that (but for both ends of the text) each piece of BIN bytes
    stands once at each place of a window: losses at different places are losses on the same bytes.
    """
    stories = load_corpus(TEXT, max_bytes=TRAIN_BYTES + 20 * TEST_BYTES, progress=False).texts
    stories = [stories[i] for i in np.random.default_rng(13).permutation(len(stories))]
    test: list[str] = []
    while sum(map(len, test)) < TEST_BYTES:
        test.append(stories.pop())
    rows = torch.from_numpy(stream(test)).unfold(0, LONGEST + 1, BIN)
    return stream(stories)[:TRAIN_BYTES], rows


def model_config(settings: Mapping[str, Any]) -> DecoderConfig:
    """Shape of an arm's model: all are equal but for the positions."""
    rows = LONGEST if settings["kind"] == "learned" else settings["context"]
    base = decoder(N_BYTES_VOCAB, d_model=64, n_layers=2, n_heads=N_HEADS, context=rows)
    buckets = {key: settings[key] for key in ("n_buckets", "max_distance") if key in settings}
    place = PositionConfig(settings["kind"], **buckets)
    return dataclasses.replace(base, position=place, init_std=0.1)


def train_arm(settings: Mapping[str, Any], seed: int) -> Decoder:
    """Train one model: 512 tokens a step, in windows of the arm's context."""
    context = settings["context"]
    small = SmallConfig(
        steps=STEPS, batch_size=TOKENS_PER_STEP // context, context=context, lr=1e-2
    )
    torch.manual_seed(seed)
    make = LearnedSlopes if settings.get("learned_slopes") else Decoder
    return train_small(texts()[0], seed, config=small, model=make(model_config(settings)))


@torch.no_grad()
def bits_by_position(model: Decoder) -> np.ndarray:
    """Bits of the byte at each place of a test window, (LONGEST,), mean over windows."""
    rows = texts()[1]
    nats = torch.zeros(LONGEST, dtype=torch.float64)
    for part in rows.split(8):
        nats += fast_cross_entropy(model(part[:, :-1]), part[:, 1:], reduction="none").sum(dim=0)
    return np.asarray(nats / len(rows) / math.log(2))


@torch.no_grad()
def looks_back(model: Decoder, n_windows: int = 16) -> Tensor:
    """How far back each head looks: mean distance under its weights, (layers, N).

    Measured at the last half of windows of LONGEST tokens; the widest is cut by their beginning.
    """
    rows = texts()[1][:: len(texts()[1]) // n_windows][:n_windows, :-1]
    found: list[Tensor] = []
    keys = torch.arange(LONGEST)
    far = (keys[:, None] - keys).clamp(min=0).float()  # (T, S)

    def look(layer: Any, inputs: tuple[Tensor, ...], kwargs: dict[str, Any], _: Tensor) -> None:
        q, k = (layer._heads(part(inputs[0])) for part in (layer.q, layer.k))
        weights = attention_weights(q, k, k, causal=True, bias=kwargs["bias"])[1]
        distance = (weights * far).sum(dim=-1)  # (B, N, T)
        found.append(distance[..., LONGEST // 2 :].mean(dim=(0, 2)))

    layers: list[Any] = [block.attention for block in model.blocks]
    hooks = [layer.register_forward_hook(look, with_kwargs=True) for layer in layers]
    model(rows)
    for hook in hooks:
        hook.remove()
    return torch.stack(found)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model and measure it on windows of 512 tokens of unseen stories."""
    model = train_arm(settings, seed)
    config = model_config(settings)
    through = bits_by_position(model)
    measured = {
        "parameters": count_parameters(config) + settings.get("learned_slopes", 0) * N_HEADS,
        "flops a token": flops_per_token(config, context=settings["context"]),
    }
    for low, high in RANGES:
        measured[f"bits {low}-{high}"] = float(through[low:high].mean())
    measured["bits 0-128"] = float(through[:128].mean())
    measured["bits 32-64"] = float(through[32:64].mean())
    for low in range(0, LONGEST, BIN):
        measured[f"bin {low}"] = float(through[low : low + BIN].mean())
    if settings["kind"] == "alibi":
        slopes = torch.tensor(alibi_slopes(N_HEADS))
        if isinstance(model, LearnedSlopes):
            slopes = model.log_slopes.detach().exp()
        for head, slope in enumerate(slopes.tolist()):
            measured[f"slope {head}"] = slope
        for layer, row in enumerate(looks_back(model).tolist()):
            for head, distance in enumerate(row):
                measured[f"looks back {layer}.{head}"] = distance
    return measured


JOB = Job(
    name="positions_length",
    title="Trained at 64 tokens: what does each kind of position do at 512?",
    lesson="13",
    arms={
        "none": {"kind": "none", "context": 64},
        "learned": {"kind": "learned", "context": 64},
        "sinusoidal": {"kind": "sinusoidal", "context": 64},
        "t5": {"kind": "t5", "context": 64, "n_buckets": 16, "max_distance": 32},
        "t5_wide": {"kind": "t5", "context": 64, "n_buckets": 32, "max_distance": 128},
        "alibi": {"kind": "alibi", "context": 64},
        "alibi_learned": {"kind": "alibi", "context": 64, "learned_slopes": 1},
        "rope": {"kind": "rope", "context": 64},
        "sinusoidal_128": {"kind": "sinusoidal", "context": 128},
        "alibi_128": {"kind": "alibi", "context": 128},
    },
    run=run,
)

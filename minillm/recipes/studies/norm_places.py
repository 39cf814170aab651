"""Where the norms stand, and which learning rates that bears, with and without warm-up."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, NormConfig
from minillm.model.layers import Embedding, Linear
from minillm.recipes.records import Job
from minillm.recipes.small import N_BYTES_VOCAB, SmallConfig, bits_on, train_small
from minillm.recipes.studies.mixtures import domain
from minillm.train.stability import NotFiniteError

CORPUS, TRAIN_BYTES = "stories-en", 200_000
"""Texts of storyworld, whose bytes are the tokens; 12 kB of other stories are the test."""
WIDTH, STEPS = 48, 100
RATES = (0.001, 0.003, 0.01)
WARMUPS = (0, 50)
DEPTHS = (4, 8)
LOST = 8.0
"""Bits per byte of a run that stopped being finite: those of a uniform guess."""


def make(
    n_layers: int, norm: NormConfig, seed: int, *, width: int = WIDTH, context: int = 64
) -> Decoder:
    """Build a decoder that starts as in the theory of lesson 11, whatever its norms are.

    Matrices of the blocks are drawn with spread sqrt(2 / (d_in + d_out)), of any depth and place
    alike ("deep" excepted, which brings its own). The embedding has spread 1 and the output matrix
    1 / sqrt(D), so that features and logits start near spread 1.
    """
    torch.manual_seed(seed)
    config = DecoderConfig(
        N_BYTES_VOCAB,
        width,
        n_layers,
        context,
        AttentionConfig(4),
        FeedForwardConfig("relu", 4 * width),
        norm=norm,
        tie_embeddings=False,
    )
    model = Decoder(config)
    if norm.place != "deep":
        for block in model.blocks:
            for part in block.modules():
                if isinstance(part, Linear):
                    nn.init.normal_(part.weight, std=(2 / (part.d_in + part.d_out)) ** 0.5)
    with torch.no_grad():
        rescale(model.embedding, 1.0 / config.init_std)
        assert model.head is not None
        rescale(model.head, width**-0.5 / config.init_std)
    return model


def rescale(part: Embedding | Linear, factor: float) -> None:
    """Multiply a weight in place; the rows of zeros that pad the vocabulary stay zeros."""
    part.weight.mul_(factor)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model and measure it on stories that it has not read."""
    norm = NormConfig(
        settings.get("kind", "layernorm"),
        place=settings["place"],
        embedding=settings.get("embedding", False),
    )
    config = SmallConfig(
        d_model=WIDTH,
        n_layers=settings["n_layers"],
        steps=STEPS,
        lr=settings["lr"],
        warmup_steps=settings["warmup"],
    )
    text = domain(CORPUS, TRAIN_BYTES)
    model = make(settings["n_layers"], norm, seed)
    try:
        train_small(text.train, seed, config=config, model=model)
        return {"bits": bits_on(model, text.test)}
    except NotFiniteError:
        return {"bits": LOST}


def cell(place: str, n_layers: int, lr: float, warmup: int, **more: Any) -> dict[str, Any]:
    """Settings of one arm."""
    return {"place": place, "n_layers": n_layers, "lr": lr, "warmup": warmup, **more}


def name_of(place: str, n_layers: int, lr: float, warmup: int) -> str:
    """Name of an arm of the grid, such as pre_12_0.003_50."""
    return f"{place}_{n_layers}_{lr}_{warmup}"


GRID = [
    (place, n_layers, lr, warmup)
    for place in ("pre", "post")
    for n_layers in DEPTHS
    for lr in RATES
    for warmup in WARMUPS
]
DEEP = [
    ("pre", 16, 0.001, 50),
    ("post", 16, 0.001, 50),
    ("deep", 16, 0.001, 50),
    ("deep", 8, 0.003, 0),
    ("sandwich", 8, 0.003, 0),
]

JOB = Job(
    name="norm_places",
    title="Pre-norm or post-norm: which learning rates do they bear, with and without warm-up?",
    lesson="11",
    arms={
        **{name_of(*at): cell(*at) for at in GRID},
        **{name_of(*at): cell(*at) for at in DEEP},
        "rmsnorm": cell("pre", 8, 0.003, 50, kind="rmsnorm"),
        "embedding": cell("pre", 8, 0.003, 0, embedding=True),
    },
    run=run,
)

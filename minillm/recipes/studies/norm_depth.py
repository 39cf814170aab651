"""Is the depth of a pre-norm stack real? Blocks left out, swapped, and put side by side."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.model import Decoder, NormConfig
from minillm.recipes.records import Job
from minillm.recipes.small import SmallConfig, bits_on, encode_bytes, train_small
from minillm.recipes.studies.mixtures import domain
from minillm.recipes.studies.norm_places import CORPUS, TRAIN_BYTES, WIDTH, make

N_LAYERS, STEPS, WARMUP = 8, 200, 50
PROBE_BYTES = 4096
"""Of the test text, on which features are looked at."""


class Together(nn.Module):
    """Blocks side by side: all read the same x, and what each adds is added.

    x = x + sum over the blocks of (block(x) - x)
    """

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, *args: Any, **keywords: Any) -> Tensor:
        """Map (B, T, D) to (B, T, D); all but x is passed on."""
        added = torch.stack([block(x, *args, **keywords) - x for block in self.blocks])
        return x + added.sum(0)


@contextmanager
def rearranged(model: Decoder, order: Sequence[int | Sequence[int]]) -> Iterator[Decoder]:
    """Let a model run its blocks in another order; several in brackets run side by side.

    [0, 2] leaves block 1 out, [1, 0, 2] swaps two, [0, [1, 2]] feeds the last two the same input.
    """
    before = model.blocks
    parts = [before[i] if isinstance(i, int) else Together([before[j] for j in i]) for i in order]
    model.blocks = nn.ModuleList(parts)
    try:
        yield model
    finally:
        model.blocks = before


@torch.no_grad()
def stream_of(model: Decoder, ids: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Look at the stream: x before each block and after the last; and what each block after the
    first would have added, had it been fed the input of the block before it (a stale input)."""
    x = model.embedding(ids)
    if model.embedding_norm is not None:
        x = model.embedding_norm(x)
    rotation = model._rotation(x, None, 0)
    xs, stale = [x], []
    for i, block in enumerate(model.blocks):
        if i:
            stale.append(block(xs[-2], rotation=rotation) - xs[-2])
        xs.append(block(xs[-1], rotation=rotation))
    return xs, stale


def anatomy(model: Decoder, text: str) -> dict[str, list[float]]:
    """Measure, block by block, on the beginning of a text: the size of x and of what is added, the
    second over the first, the cosine of x before and after, and the error of a stale input."""
    T = model.config.context
    ids = torch.tensor(encode_bytes(text)[:PROBE_BYTES])
    xs, stale = stream_of(model, ids[: len(ids) // T * T].view(-1, T))
    terms = [after - before for before, after in itertools.pairwise(xs)]
    sizes = [x.norm(dim=-1) for x in xs]
    errors = [
        ((old - new).norm(dim=-1) / new.norm(dim=-1)).mean()
        for old, new in zip(stale, terms[1:], strict=True)
    ]
    found = {
        "size of x": [size.mean() for size in sizes],
        "size of the term": [term.norm(dim=-1).mean() for term in terms],
        "relative update": [
            (term.norm(dim=-1) / size).mean() for term, size in zip(terms, sizes, strict=False)
        ],
        "cosine": [F.cosine_similarity(a, b, dim=-1).mean() for a, b in itertools.pairwise(xs)],
        "stale error": errors,
    }
    return {name: [value.item() for value in values] for name, values in found.items()}


def surgery(model: Decoder, texts: Sequence[str]) -> dict[str, Any]:
    """Measure bits per byte of the model, and how much they rise when a block is left out, when two
    neighbours are swapped, and when two neighbours are fed the same input."""
    L = len(model.blocks)
    bits = bits_on(model, texts)

    def rise(order: Sequence[int | Sequence[int]]) -> float:
        with rearranged(model, order):
            return bits_on(model, texts) - bits

    everyone = list(range(L))
    pairs = range(L - 1)
    return {
        "bits": bits,
        "left out": [rise([i for i in everyone if i != out]) for out in everyone],
        "swapped": [rise([*everyone[:i], i + 1, i, *everyone[i + 2 :]]) for i in pairs],
        "side by side": [rise([*everyone[:i], [i, i + 1], *everyone[i + 2 :]]) for i in pairs],
    }


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one model, take it apart, and look at it before and after."""
    text = domain(CORPUS, TRAIN_BYTES)
    probe = "".join(text.test)
    model = make(N_LAYERS, NormConfig("layernorm", place=settings["place"]), seed)
    start = {f"{name} at the start": value for name, value in anatomy(model, probe).items()}
    config = SmallConfig(
        d_model=WIDTH, n_layers=N_LAYERS, steps=STEPS, lr=settings["lr"], warmup_steps=WARMUP
    )
    train_small(text.train, seed, config=config, model=model)
    return {**surgery(model, text.test), **anatomy(model, probe), **start}


JOB = Job(
    name="norm_depth",
    title="What is a block of a trained pre-norm stack worth, and is its place in the order?",
    lesson="11",
    arms={
        "pre": {"place": "pre", "lr": 0.001},
        "post": {"place": "post", "lr": 0.001},
        "pre_fast": {"place": "pre", "lr": 0.003},
        "deep_fast": {"place": "deep", "lr": 0.003},
    },
    run=run,
)

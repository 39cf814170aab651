"""Kaplan's findings at our size: four widths on equal text, one of them also with a cosine.

- size_*: docstrings as bytes, one pass, at a constant learning rate. The loss of each step is that
  of text which was not seen before, so the losses of the steps are a learning curve without
  evaluations. At some steps the model also reads held-out docstrings and two other kinds of text.
- cosine: the middle width on the same batches, with a rate that falls along a cosine.

The rates were chosen on seed 101, which is not in the study: see PILOT.

Shape letters: B windows, T context.
"""

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from minillm.data.corpora import load_corpus
from minillm.data.loader import BatchSampler
from minillm.model import Decoder, count_parameters, flops_per_token
from minillm.model.config import count_matrix_parameters
from minillm.recipes.records import Job
from minillm.recipes.runs import decoder
from minillm.recipes.small import N_BYTES_VOCAB, bits_on, stream
from minillm.train import OptimizerConfig, TrainConfig, train

WIDTHS = (8, 16, 32, 48)
"""2 layers each; 2 thousand to 55 thousand parameters without embeddings."""
MIDDLE = 32
BATCH, CONTEXT, STEPS, WARMUP = 16, 64, 300, 20
MARKS = (75, 150, 225, 300)
"""Steps at which held-out text is read."""
TRAIN_BYTES, TEST_BYTES = 320_000, 15_000
EDGES = tuple(int(x) for x in np.unique(np.geomspace(1, STEPS, 25).round()))
"""The learning curve: the mean loss of the steps up to each edge, from the edge before it."""
PILOT: dict[int, dict[float, float]] = {
    8: {0.01: 3.9473, 0.02: 3.9094, 0.04: 3.9434},
    16: {0.01: 3.55, 0.02: 3.4825, 0.04: 3.5548},
    32: {0.005: 3.1102, 0.01: 3.0883, 0.02: 3.161, 0.04: 3.2617},
    48: {0.005: 2.9209, 0.01: 2.983, 0.02: 3.1121, 0.04: 3.5503},
}
"""Bits per byte of each width and rate on seed 101, as `pilot` printed them before the study."""
RATES = {8: 0.02, 16: 0.02, 32: 0.01, 48: 0.005}
"""The best of PILOT for each width; 0.005 was tried where 0.01 was better than 0.02."""


@lru_cache(maxsize=1)
def texts() -> tuple[np.ndarray, dict[str, list[str]]]:
    """Bytes to train on, (N,), and held-out texts of three kinds: prose, code, stories."""
    found = load_corpus("prose", max_bytes=2 * TRAIN_BYTES, progress=False).texts
    found = [found[i] for i in np.random.default_rng(25).permutation(len(found))]
    test = {"prose": _cut(found)}
    for kind, name in (("code", "code"), ("stories", "stories-en")):
        others = load_corpus(name, max_bytes=20 * TEST_BYTES, progress=False).texts
        test[kind] = _cut([others[i] for i in np.random.default_rng(25).permutation(len(others))])
    return stream(found)[: TRAIN_BYTES + 1], test


def _cut(found: list[str]) -> list[str]:
    """Take texts from the end of a list until they are enough; the last is cut."""
    taken, n_bytes = [], 0
    while n_bytes < TEST_BYTES:
        taken.append(found.pop()[: TEST_BYTES - n_bytes])
        n_bytes += len(taken[-1].encode())
    return taken


def make(width: int, seed: int) -> Decoder:
    """Build a decoder of two layers and four heads."""
    torch.manual_seed(seed)
    shape = decoder(N_BYTES_VOCAB, d_model=width, n_layers=2, n_heads=4, context=CONTEXT)
    return Decoder(dataclasses.replace(shape, init_std=0.1))


def train_text(
    width: int, schedule: str, lr: float, seed: int, *, steps: int = STEPS
) -> tuple[Decoder, list[float], dict[str, list[float]]]:
    """Train on docstrings; with a constant rate, stop at each mark and read held-out text.

    Returns:
        The model, the loss of each step, and bits per byte by kind of text, one number a mark.
    """
    tokens, test = texts()
    model = make(width, seed)
    losses: list[float] = []
    bits: dict[str, list[float]] = {kind: [] for kind in test}

    def evaluate(trained: torch.nn.Module) -> float:
        for kind, held_out in test.items():
            bits[kind].append(bits_on(trained, held_out))  # type: ignore[arg-type]
        return bits["prose"][-1]

    torch.set_num_threads(1)
    settings = TrainConfig(
        steps=steps,
        batch_size=BATCH,
        context=CONTEXT,
        warmup_steps=WARMUP,
        schedule=schedule,  # type: ignore[arg-type]
        min_lr_ratio=0.0,
        log_every=0,
        eval_every=MARKS[0],
        precision="float32",
    )
    train(
        model,
        BatchSampler(tokens, BATCH, CONTEXT, seed=seed),
        settings,
        optimizer=OptimizerConfig(lr=lr, weight_decay=0.1),
        evaluate=evaluate,
        log=lambda record: losses.append(record["loss"]) if "loss" in record else None,
        progress=False,
    )
    return model, losses, bits


def curve(losses: list[float]) -> list[float]:
    """The mean loss of the steps between two edges, for each edge."""
    starts = (0, *EDGES[:-1])
    return [float(np.mean(losses[a:b])) for a, b in zip(starts, EDGES, strict=True)]


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Carry out one arm."""
    width, lr = settings["width"], settings["lr"]
    model, losses, bits = train_text(width, settings["kind"], lr, seed)
    return {
        "curve": curve(losses),
        **{f"bits {kind}": values for kind, values in bits.items()},
        "parameters": count_parameters(model.config),
        "non-embedding": count_matrix_parameters(model.config),
        "flops a token": flops_per_token(model.config),
    }


def pilot(rates: tuple[float, ...] = (0.005, 0.01, 0.02, 0.04), seed: int = 101) -> None:
    """Print what every width reaches at some learning rates, on a seed outside the study."""
    for width in WIDTHS:
        found = {
            lr: round(train_text(width, "constant", lr, seed)[2]["prose"][-1], 4) for lr in rates
        }
        print(f"{width}: {found},", flush=True)


JOB = Job(
    name="kaplan_laws",
    title="Learning curves of four widths, one of them also under a cosine",
    lesson="25a",
    arms={
        **{f"size_{w}": {"kind": "constant", "width": w, "lr": RATES[w]} for w in WIDTHS},
        "cosine": {"kind": "cosine", "width": MIDDLE, "lr": RATES[MIDDLE]},
    },
    run=run,
)

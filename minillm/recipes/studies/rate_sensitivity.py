"""Six optimizers on one model: the best of each, and how much does the rate matter?

A record is one optimizer and one seed, trained at seven rates, each twice the one before; the
middle one was best on seed 101 (`PILOT`). All arms share weights, text, order, clipping and the
cosine to a tenth; all but "adam_cold" share the warm-up. Nothing decays: weight decay is the
subject of decay_or_l2.py.

`train_with` is shared with beta2_spike.py and decay_or_l2.py.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm.data.corpora import load_corpus
from minillm.data.loader import BatchSampler
from minillm.model import Decoder
from minillm.objectives import causal_loss
from minillm.recipes.records import Job
from minillm.recipes.small import SmallConfig, bits_on, stream
from minillm.recipes.studies import feedforward_kinds
from minillm.train import AdamW, NotFiniteError, TrainConfig, train
from minillm.train.adagrad import Adagrad
from minillm.train.loop import Objective
from minillm.train.rmsprop import RMSprop
from minillm.train.sgd import SGD

CORPUS, TRAIN_BYTES, TEST_BYTES = "prose", 400_000, 20_000
"""Docstrings; the test is on texts that nobody has trained on."""
SMALL = SmallConfig(d_model=64, n_layers=2, n_heads=4, context=64, batch_size=8, steps=200)
WARMUP = 20
"""A tenth of the steps; "adam_cold" has none."""
BETAS = (0.9, 0.95)
"""As in large models. RMSprop has the second, momentum the first."""
GUESS = 8.0
"""Bits per byte of a uniform guess: the value of a run that ended in NaN, or in something worse."""

KINDS = ("sgd", "momentum", "adagrad", "rmsprop", "adam", "adam_cold")
PILOT: dict[str, dict[float, float]] = {
    "sgd": {0.0625: 4.3878, 0.25: 3.985, 1.0: 3.7203, 4.0: 3.6986, 16.0: 4.7361},
    "momentum": {0.00625: 4.4385, 0.025: 4.0223, 0.1: 3.8252, 0.4: 3.6266, 1.6: 3.8773},
    "adagrad": {0.00125: 4.8932, 0.005: 3.9357, 0.02: 3.5034, 0.08: 3.3756, 0.32: 3.9566},
    "rmsprop": {0.00125: 3.6776, 0.0025: 3.4585, 0.005: 3.2876, 0.01: 3.306, 0.02: 3.49},
    "adam": {0.00125: 3.8081, 0.0025: 3.6138, 0.005: 3.4617, 0.01: 3.4058, 0.02: 3.4765},
    "adam_cold": {0.00125: 3.7817, 0.0025: 3.5698, 0.005: 3.4119, 0.01: 3.368, 0.02: 3.5351},
}
"""Bits per byte of each kind and rate on seed 101, as `pilot` printed them before the study."""
CENTRES: dict[str, float] = {
    "sgd": 4.0,
    "momentum": 0.4,
    "adagrad": 0.08,
    "rmsprop": 0.005,
    "adam": 0.01,
    "adam_cold": 0.01,
}
"""The middle rate of the study, the best of PILOT."""
FACTORS = tuple(2.0**k for k in range(-3, 4))


@lru_cache(maxsize=2)
def texts(train_bytes: int = TRAIN_BYTES) -> tuple[np.ndarray, list[str]]:
    """Tokens to train on, (N,), and texts to test on, none of which is in both."""
    n_bytes = TRAIN_BYTES + 4 * TEST_BYTES
    found = load_corpus(CORPUS, max_bytes=n_bytes, progress=False).texts
    found = [found[i] for i in np.random.default_rng(20).permutation(len(found))]
    test, n_bytes = [], 0
    while n_bytes < TEST_BYTES:  # the last text is cut
        test.append(found.pop()[: TEST_BYTES - n_bytes])
        n_bytes += len(test[-1].encode())
    return stream(found)[:train_bytes], test


def fresh(seed: int) -> Decoder:
    """Build the model of all studies of lesson 20a: lesson 12's, with SwiGLU.

    Its matrices start with spread 1 / sqrt(d_in). A first pilot had the usual 0.02: the models then
    stayed on a plateau near 4.5 bits for a time that differed from rate to rate by chance, so that
    neighbouring rates gave 3.9 and 4.5 bits after 200 steps.
    """
    return feedforward_kinds.make("swiglu", seed)


def make(kind: str, model: Decoder, lr: float) -> torch.optim.Optimizer:
    """Build the optimizer of an arm; nothing decays."""
    if kind == "sgd":
        return SGD(model.parameters(), lr)
    if kind == "momentum":
        return SGD(model.parameters(), lr, momentum=BETAS[0])
    if kind == "adagrad":
        return Adagrad(model.parameters(), lr)
    if kind == "rmsprop":
        return RMSprop(model.parameters(), lr, beta2=BETAS[1])
    return AdamW(model.parameters(), lr, BETAS, weight_decay=0.0)


def train_with(
    optimizer: torch.optim.Optimizer,
    model: Decoder,
    tokens: np.ndarray | Iterable[tuple[Tensor, Tensor]],
    seed: int,
    *,
    steps: int = SMALL.steps,
    warmup_steps: int = WARMUP,
    clip: float = 1.0,
    schedule: str = "cosine",
    decay_steps: int = 0,
    objective: Objective = causal_loss,
    log: Callable[[dict[str, Any]], None] | None = None,
) -> Decoder:
    """Train a model of shape SMALL with a ready optimizer, on one thread.

    Args:
        optimizer: of the model's parameters; its rate is the largest of the schedule.
        model: changed in place.
        tokens: (N,), read in windows whose order comes from the seed; or batches without end.
        seed: of the order; equal seeds read equal windows in equal order.
        steps, warmup_steps, clip, schedule, decay_steps: as in TrainConfig.
        objective: what is made small.
        log: called with the record of each step, after it.

    Returns:
        The model, in evaluation mode.
    """
    torch.set_num_threads(1)
    settings = TrainConfig(
        steps=steps,
        batch_size=SMALL.batch_size,
        context=SMALL.context,
        warmup_steps=warmup_steps,
        clip=clip,
        schedule=schedule,  # type: ignore[arg-type]
        decay_steps=decay_steps,
        log_every=0,
        precision="float32",
    )
    batches: Iterable[tuple[Tensor, Tensor]] = (
        BatchSampler(tokens, SMALL.batch_size, SMALL.context, seed=seed)
        if isinstance(tokens, np.ndarray)
        else tokens
    )
    train(
        model,
        batches,
        settings,
        optimizer=optimizer,
        objective=objective,
        log=log,
        progress=False,
    )
    return model.eval()


def bits_at(kind: str, lr: float, seed: int) -> float:
    """Train one model at one rate; bits per byte of unseen text, GUESS at most."""
    tokens, test = texts()
    model = fresh(seed)
    warmup_steps = 0 if kind == "adam_cold" else WARMUP
    try:
        train_with(make(kind, model, lr), model, tokens, seed, warmup_steps=warmup_steps)
    except NotFiniteError:
        return GUESS
    bits = bits_on(model, test)
    return min(bits, GUESS) if math.isfinite(bits) else GUESS


def sensitivity(bits: Mapping[float, float]) -> float:
    """Mean over the rates of how much worse they are than the best of them, bits per byte.

    Source: Wortsman et al. 2023, arXiv:2309.14322, section 2, which caps at the loss of the
        untrained model; here the cap is GUESS.
    """
    best = min(bits.values())
    return sum(b - best for b in bits.values()) / len(bits)


def rates(kind: str) -> list[float]:
    """Give the seven rates of an arm, rising."""
    return [CENTRES[kind] * factor for factor in FACTORS]


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one optimizer at its seven rates, from the same weights, on the same windows."""
    kind = settings["kind"]
    bits = {lr: bits_at(kind, lr, seed) for lr in rates(kind)}
    best = min(bits, key=lambda lr: bits[lr])
    found = {f"bits at {factor:g}": bits[CENTRES[kind] * factor] for factor in FACTORS}
    return found | {
        "best bits": bits[best],
        "best rate": best,
        "bits at centre": bits[CENTRES[kind]],
        "sensitivity": sensitivity(bits),
    }


PILOT_RATES = {
    "sgd": (0.0625, 0.25, 1.0, 4.0, 16.0),
    "momentum": (0.00625, 0.025, 0.1, 0.4, 1.6),
    "adagrad": (0.00125, 0.005, 0.02, 0.08, 0.32),
    "rmsprop": (0.00125, 0.0025, 0.005, 0.01, 0.02),
    "adam": (0.00125, 0.0025, 0.005, 0.01, 0.02),
    "adam_cold": (0.00125, 0.0025, 0.005, 0.01, 0.02),
}


def pilot(kinds: tuple[str, ...] = KINDS, seed: int = 101) -> None:
    """Print bits per byte of every kind at its pilot rates, on a seed outside the study."""
    for kind in kinds:
        found = {lr: round(bits_at(kind, lr, seed), 4) for lr in PILOT_RATES[kind]}
        print(f'"{kind}": {found},', flush=True)


JOB = Job(
    name="rate_sensitivity",
    title="SGD, momentum, Adagrad, RMSprop, Adam: the best loss, and the price of a wrong rate",
    lesson="20a",
    arms={kind: {"kind": kind} for kind in KINDS},
    run=run,
)

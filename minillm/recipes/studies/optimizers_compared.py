"""Six optimizers on one model and one text, each at two learning rates chosen on a pilot.

All runs of a seed start from equal weights and read equal windows in equal order. Warm-up, cosine
to 10 % and clipping are the same; only what turns a gradient into a step differs. The rates were
chosen on seed 101, which is not in the study: see `PILOT`.

The decay of the weights is lr weight_decay a step. Lion's rates are some three times smaller than
AdamW's here, so its weight_decay is three times larger. What Muon leaves to AdamW (the table, the
gains) moves at `TABLE_LR`, AdamW's best on the pilot.

Matrices start with spread 0.1, near 1 / sqrt(D), so that no run has to spend its steps on growing
the weights first.
"""

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from minillm.data.corpora import load_corpus
from minillm.data.loader import BatchSampler
from minillm.model import Decoder
from minillm.recipes.records import Job
from minillm.recipes.runs import decoder
from minillm.recipes.small import N_BYTES_VOCAB, SmallConfig, bits_on, stream
from minillm.train import OptimizerConfig, TrainConfig, make_optimizer, train
from minillm.train.optimizer_memory import live_numbers, model_state_numbers

CORPUS, TRAIN_BYTES, TEST_BYTES = "prose", 400_000, 40_000
"""Docstrings; the test is on texts that nobody has trained on."""
SMALL = SmallConfig(d_model=64, n_layers=2, n_heads=4, context=64, batch_size=8, steps=320)
"""163 840 tokens, 1.2e11 FLOPs."""
INIT_STD = 0.1
TABLE_LR = 0.005
SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9},
    "adamw": {},
    "adafactor": {},
    "palm": {"momentum": 0.9},
    "lion": {"betas": (0.9, 0.99), "weight_decay": 0.3},
    "muon": {"momentum": 0.95, "adamw_lr": TABLE_LR},
}
"""What differs from OptimizerConfig's defaults, but for the rate."""
COUNTED = {"sgd": "momentum"}
"""Names in optimizer_memory, where they are others."""
GRID: dict[str, tuple[float, ...]] = {
    "sgd": (0.01, 0.03, 0.1, 0.3),
    "adamw": (0.0025, 0.005, 0.01, 0.02),
    "adafactor": (0.02, 0.05, 0.1, 0.2),
    "palm": (0.02, 0.05, 0.1, 0.2),
    "lion": (0.0006, 0.0012, 0.0025, 0.005),
    "muon": (0.01, 0.02, 0.04, 0.08),
}
"""Rates of the pilot; at the ends of each row it must be worse than inside."""
PILOT: dict[str, dict[float, float]] = {
    "sgd": {0.01: 4.0758, 0.03: 3.8208, 0.1: 3.8101, 0.3: 4.0073},
    "adamw": {0.0025: 3.1849, 0.005: 3.0156, 0.01: 3.0612, 0.02: 3.3361},
    "adafactor": {0.02: 3.3373, 0.05: 3.0731, 0.1: 3.2407, 0.2: 3.6421},
    "palm": {0.02: 3.3972, 0.05: 3.112, 0.1: 3.0614, 0.2: 3.226},
    "lion": {0.0006: 3.5726, 0.0012: 3.2206, 0.0025: 3.1283, 0.005: 3.2921},
    "muon": {0.01: 3.1465, 0.02: 2.9419, 0.04: 2.9132, 0.08: 3.0723},
}
"""Bits per byte of each kind and rate on seed 101, as `pilot` printed them before the study."""
RATES: dict[str, tuple[float, float]] = {
    "sgd": (0.03, 0.1),
    "adamw": (0.005, 0.01),
    "adafactor": (0.05, 0.1),
    "palm": (0.05, 0.1),
    "lion": (0.0012, 0.0025),
    "muon": (0.02, 0.04),
}
"""The two rates of the study: the best on the pilot and the better of its neighbours."""


@lru_cache(maxsize=1)
def texts() -> tuple[np.ndarray, list[str]]:
    """Tokens to train on, (N,), and texts to test on, none of which is in both."""
    found = load_corpus(CORPUS, max_bytes=TRAIN_BYTES + 2 * TEST_BYTES, progress=False).texts
    found = [found[i] for i in np.random.default_rng(20).permutation(len(found))]
    test, n_bytes = [], 0
    while n_bytes < TEST_BYTES:  # the last text is cut
        test.append(found.pop()[: TEST_BYTES - n_bytes])
        n_bytes += len(test[-1].encode())
    return stream(found)[:TRAIN_BYTES], test


def make(seed: int) -> Decoder:
    """Build the model of all arms with weights drawn from a seed."""
    c = SMALL
    torch.manual_seed(seed)
    shape = decoder(
        N_BYTES_VOCAB,
        d_model=c.d_model,
        n_layers=c.n_layers,
        n_heads=c.n_heads,
        context=c.context,
    )
    return Decoder(dataclasses.replace(shape, init_std=INIT_STD))


def optimizer_config(kind: str, lr: float) -> OptimizerConfig:
    """Give the settings of an arm."""
    return OptimizerConfig(kind=kind, lr=lr, **SETTINGS[kind])  # type: ignore[arg-type]


def train_with(
    kind: str, lr: float, seed: int, *, losses: list[float] | None = None
) -> tuple[Decoder, int]:
    """Train one model.

    Args:
        kind: of SETTINGS.
        lr: its largest learning rate.
        seed: of the weights and of the order of the windows.
        losses: a list to which the loss of every step is added, nats a token.

    Returns:
        The model, and the numbers that its optimizer holds after the last step.
    """
    c = SMALL
    torch.set_num_threads(1)
    model = make(seed)
    optimizer = make_optimizer(model, optimizer_config(kind, lr))
    train(
        model,
        BatchSampler(texts()[0], c.batch_size, c.context, seed=seed),
        TrainConfig(
            steps=c.steps,
            batch_size=c.batch_size,
            context=c.context,
            warmup_steps=c.warmup_steps,
            log_every=0,
            precision="float32",
        ),
        optimizer=optimizer,
        log=lambda record: losses.append(record["loss"]) if losses is not None else None,
        progress=False,
    )
    return model.eval(), live_numbers(optimizer)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model and measure it on texts that it has not read."""
    kind = settings["kind"]
    losses: list[float] = []
    model, live = train_with(kind, settings["lr"], seed, losses=losses)
    return {
        "bits": bits_on(model, texts()[1]),
        "loss after 80": float(np.mean(losses[70:90])),
        "last loss": float(np.mean(losses[-20:])),
        "state numbers": live,
        "counted": model_state_numbers(COUNTED.get(kind, kind), model),
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def pilot(kinds: tuple[str, ...] = tuple(GRID), seed: int = 101) -> None:
    """Print bits per byte of every kind at the rates of GRID, on a seed outside the study."""
    for kind in kinds:
        found = {lr: round(run({"kind": kind, "lr": lr}, seed)["bits"], 4) for lr in GRID[kind]}
        print(f'    "{kind}": {found},', flush=True)


def best_rate(kind: str) -> float:
    """Of the two rates of the study, the one that seed 101 preferred for a kind."""
    return min(RATES[kind], key=lambda lr: PILOT[kind][lr])


JOB = Job(
    name="optimizers_compared",
    title="SGD, AdamW, Adafactor, PaLM's form, Lion, Muon at tuned rates: which loss, what memory?",
    lesson="20b",
    arms={f"{kind}_{lr}": {"kind": kind, "lr": lr} for kind in SETTINGS for lr in RATES[kind]},
    run=run,
)

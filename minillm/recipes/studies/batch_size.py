"""How large a batch is worth its tokens: steps to a loss, the noise of the gradient, and a ramp.

Two kinds of arms:

- steps_B: batches of B windows at a constant rate, tuned for each B on a pilot, until the loss on
  unseen text is below each of TARGETS. Measured are the steps to each, and there the two parts of
  the noise scale. Steps against B should lie on a hyperbola, whose bend the scale foretells.
- small, large, ramp: equal tokens, the same windows in the same order. The ramp grows from the one
  size to the other over the first half of the tokens. Each at a tuned rate ("tuned") and at one
  that is too high for the large batch ("high"), the same for all three.

Sizes are in windows here, and a window is one example of the noise scale: its 32 tokens are not
independent. Times CONTEXT they are tokens. Learning rates come from seed 101: see PILOT.

Matrices start with spread 0.1, not 0.02: at this width the latter first rests for a hundred steps
at the loss of the letters' frequencies, whatever the batch, and would measure that rest.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm.data.corpora import load_corpus
from minillm.data.loader import BatchSampler, get_batch
from minillm.model import Decoder
from minillm.objectives import causal_loss
from minillm.recipes.records import Job
from minillm.recipes.runs import decoder
from minillm.recipes.small import N_BYTES_VOCAB, stream
from minillm.train import OptimizerConfig, TrainConfig, clip_grad_norm, make_optimizer
from minillm.train.batch_ramp import LinearRamp, ramp_steps
from minillm.train.noise_scale import NoiseParts, flat_gradient, parts_of_accumulation

CORPUS, TRAIN_BYTES, TEST_BYTES = "prose", 500_000, 40_000
"""Docstrings; the test is on texts that nobody has trained on."""
CONTEXT = 32
INIT_STD = 0.1
MODEL = dataclasses.replace(
    decoder(N_BYTES_VOCAB, d_model=32, n_layers=2, n_heads=4, context=CONTEXT), init_std=INIT_STD
)
MAX_TOKENS = 491_520
"""Of one run: 39 072 parameters, with the measurements 1.35e11 FLOPs."""
GRID_TOKENS, FINE_GRID = 8192, 1024
"""Tokens between two measurements of the loss on unseen text; the fine one is for steps_B."""
N_TEST_WINDOWS = 128
SIZES = (2, 4, 8, 16, 32, 128)
"""Windows a batch: 64 to 4 096 tokens."""
TARGETS = (3.0, 2.8, 2.6)
"""Losses on unseen text, nats a byte; the last one is the declared one."""
N_MICRO, MICRO = 64, 8
"""The noise scale is measured with 64 gradients of 8 windows each: 16 384 tokens."""
FEW, MANY = 8, 128
"""Windows in the batches of `small` and `large`: 256 and 4 096 tokens."""
WARMUP_SHARE = 0.05
PILOT: dict[str, dict[float, float]] = {
    "2": {0.0025: 350.5224, 0.005: 346.3175, 0.01: 446.7575},
    "4": {0.0025: 218.0936, 0.005: 176.0944, 0.01: 180.5432},
    "8": {0.0025: 148.2343, 0.005: 117.9702, 0.01: 111.6456, 0.02: 327.918},
    "16": {0.005: 93.3413, 0.01: 74.786, 0.02: 97.4035},
    "32": {0.005: 72.7526, 0.01: 59.3642, 0.02: 65.0017},
    "128": {0.01: 45.7689, 0.02: 42.0935, 0.04: 91.6823},
    "small": {0.005: 1.881, 0.01: 1.8524, 0.02: 1.847, 0.04: 1.9199},
    "large": {0.01: 2.3044, 0.02: 2.2773, 0.04: 2.5445},
    "ramp": {0.005: 2.2332, 0.01: 2.1375, 0.02: 2.2844},
}
"""Seed 101, as `pilot` printed it: steps to the last target, or for names the loss at the end."""
RATES = {name: min(found, key=lambda lr: found[lr]) for name, found in PILOT.items()}
"""The best of each."""
HIGH_RATE = 0.04
"""Twice the best of the large batch."""


@lru_cache(maxsize=1)
def texts() -> tuple[np.ndarray, Tensor, Tensor]:
    """Tokens to train on, (N,), and windows of other texts with their targets, both (B, T)."""
    found = load_corpus(CORPUS, max_bytes=TRAIN_BYTES + 2 * TEST_BYTES, progress=False).texts
    found = [found[i] for i in np.random.default_rng(20).permutation(len(found))]
    test, n_bytes = [], 0
    while n_bytes < TEST_BYTES:
        test.append(found.pop())
        n_bytes += len(test[-1].encode())
    x, y = get_batch(stream(test), N_TEST_WINDOWS, CONTEXT, 20)
    return stream(found)[:TRAIN_BYTES], x, y


def make(seed: int) -> Decoder:
    """Build the model of all arms with weights drawn from a seed."""
    torch.manual_seed(seed)
    return Decoder(MODEL)


@torch.no_grad()
def test_loss(model: Decoder) -> float:
    """Loss on unseen text, nats a byte; always the same windows."""
    _, x, y = texts()
    return float(causal_loss(model, x, y))


def noise_at(model: Decoder, seed: int) -> NoiseParts:
    """Measure signal and noise of the gradient at the present weights; examples are windows.

    The windows are drawn from the training text. The weights stay, the gradients are cleared.

    Returns:
        Both parts. Noise over signal is the noise scale in windows.
    """
    rng = np.random.default_rng([seed, 28])
    micro = []
    for _ in range(N_MICRO):
        x, y = get_batch(texts()[0], MICRO, CONTEXT, rng)
        model.zero_grad()
        causal_loss(model, x, y).backward()
        micro.append(flat_gradient(model.parameters()))
    model.zero_grad()
    return parts_of_accumulation(micro, size=MICRO)


def descend(
    model: Decoder, batches: BatchSampler, config: TrainConfig, lr: float
) -> Iterator[tuple[int, int]]:
    """Train with AdamW; a loop that its caller can leave at any step.

    Yields:
        After each step: its number, from 1, and the tokens read.
    """
    optimizer = make_optimizer(model, OptimizerConfig(lr=lr, weight_decay=0.1))
    seen = 0
    for step in range(1, config.steps + 1):
        n_passes = config.passes(seen)
        for _ in range(n_passes):
            x, y = next(batches)
            (causal_loss(model, x, y) / n_passes).backward()
            seen += x.numel()
        clip_grad_norm(model.named_parameters(), config.clip)
        for group in optimizer.param_groups:
            group["lr"] = config.lr_at(step, lr)
        optimizer.step()
        optimizer.zero_grad()
        yield step, seen


def curve(
    steps: Iterator[tuple[int, int]], model: Decoder, every: int
) -> Iterator[tuple[int, int, float]]:
    """Follow a run on a grid of tokens: step, tokens and loss on unseen text."""
    due = every
    for step, seen in steps:
        if seen >= due:
            due = (seen // every + 1) * every
            yield step, seen, test_loss(model)


def steps_to_targets(
    size: int, lr: float, seed: int, targets: Sequence[float] = TARGETS
) -> dict[str, float]:
    """Train with batches of a size until the last target is reached.

    The rate is constant after 10 steps of warm-up; the targets fall.

    Returns:
        For each target "steps" (between two points of the grid, by a straight line), "signal" and
        "noise" (at the first point below it); NaN where it was not reached. "signal start" and
        "noise start" are those of fresh weights.
    """
    torch.set_num_threads(1)
    model = make(seed)
    parts = noise_at(model, seed)
    found = {"signal start": parts.signal, "noise start": parts.noise}
    for target in targets:
        found |= dict.fromkeys((f"steps {target}", f"signal {target}", f"noise {target}"), math.nan)
    n_steps = MAX_TOKENS // (size * CONTEXT)
    warmup = min(10, n_steps)
    config = TrainConfig(
        steps=n_steps, batch_size=size, context=CONTEXT, warmup_steps=warmup, schedule="constant"
    )
    batches = BatchSampler(texts()[0], size, CONTEXT, seed=seed)
    before, loss_before = 0, test_loss(model)
    left = list(targets)
    for step, _, loss in curve(descend(model, batches, config, lr), model, FINE_GRID):
        while left and loss <= left[0]:
            share = (loss_before - left[0]) / (loss_before - loss)
            parts = noise_at(model, seed)
            found[f"steps {left[0]}"] = before + share * (step - before)
            found |= {f"signal {left[0]}": parts.signal, f"noise {left[0]}": parts.noise}
            left.pop(0)
        if not left:
            break
        before, loss_before = step, loss
    return found


def ramp_config(kind: str) -> TrainConfig:
    """Settings of `small`, `large` and `ramp`: equal tokens, forward passes of FEW windows.

    The schedule runs over steps; for the ramp half of them are done before half of the tokens.
    """
    tokens = FEW * CONTEXT
    ramp = LinearRamp(tokens, MANY * CONTEXT, MAX_TOKENS // 2) if kind == "ramp" else None
    accumulate = MANY // FEW if kind == "large" else 1
    if ramp is None:
        steps = MAX_TOKENS // (tokens * accumulate)
    else:
        steps = len(list(ramp_steps(ramp, MAX_TOKENS, micro_batch=FEW, context=CONTEXT)))
    return TrainConfig(
        steps=steps,
        batch_size=FEW,
        context=CONTEXT,
        accumulate=accumulate,
        warmup_steps=max(1, round(WARMUP_SHARE * steps)),
        ramp=ramp,
    )


def follow(kind: str, lr: float, seed: int) -> list[tuple[int, int, float]]:
    """Train `small`, `large` or `ramp`; give step, tokens and loss on unseen text on the grid."""
    torch.set_num_threads(1)
    model = make(seed)
    batches = BatchSampler(texts()[0], FEW, CONTEXT, seed=seed)
    return list(curve(descend(model, batches, ramp_config(kind), lr), model, GRID_TOKENS))


def rises(losses: Sequence[float]) -> float:
    """Add up all rises of a curve: 0 if it never goes up; nats."""
    return float(np.clip(np.diff(losses), 0, None).sum())


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Carry out a run."""
    if "size" in settings:
        return steps_to_targets(settings["size"], settings["lr"], seed)
    points = follow(settings["kind"], settings["lr"], seed)
    losses = [loss for _, _, loss in points]
    return {
        **{f"at {seen // GRID_TOKENS * GRID_TOKENS}": loss for _, seen, loss in points},
        "loss": losses[-1],
        "loss early": losses[len(losses) // 8],
        "rises": rises(losses),
        "largest rise": float(max(0.0, np.diff(losses).max())),
        "steps": points[-1][0],
        "tokens": points[-1][1],
    }


def fit_hyperbola(sizes: Sequence[float], steps: Sequence[float]) -> tuple[float, float]:
    """Fit steps = S_min + E_min / size by least squares of the relative errors.

    Divided by the steps, 1 = S_min / steps + E_min / (size steps) is linear in both.

    Returns:
        S_min and E_min; E_min / S_min is the critical batch, in the unit of the sizes.

    Raises:
        ValueError: if a step count is not finite, or an end of the curve comes out negative.
    """
    batch, n = np.asarray(sizes, dtype=float), np.asarray(steps, dtype=float)
    if not (np.isfinite(n).all() and (n > 0).all()):
        raise ValueError(f"steps must be finite and positive, got {list(steps)}")
    columns = np.stack([1 / n, 1 / (batch * n)], axis=1)
    (s_min, e_min), *_ = np.linalg.lstsq(columns, np.ones(len(n)), rcond=None)
    if s_min <= 0 or e_min <= 0:
        raise ValueError(
            f"no hyperbola: S_min = {s_min:.3g}, E_min = {e_min:.3g}; take sizes further apart"
        )
    return float(s_min), float(e_min)


def pilot(names: Sequence[str] = tuple(PILOT), seed: int = 101) -> None:
    """Print what PILOT holds, on a seed outside the study."""
    for name in names:
        found = {}
        for lr in PILOT[name]:
            if name.isdigit():
                result = steps_to_targets(int(name), lr, seed)[f"steps {TARGETS[-1]}"]
            else:
                result = follow(name, lr, seed)[-1][2]
            found[lr] = round(result, 4)
        print(f'    "{name}": {found},', flush=True)


JOB = Job(
    name="batch_size",
    title="Steps to a loss against batch size, the noise scale, and a batch that grows",
    lesson="20b",
    arms={
        **{f"steps_{size}": {"size": size, "lr": RATES[str(size)]} for size in SIZES},
        **{
            f"{kind}_tuned": {"kind": kind, "lr": RATES[kind]}
            for kind in ("small", "large", "ramp")
        },
        **{f"{kind}_high": {"kind": kind, "lr": HIGH_RATE} for kind in ("small", "large", "ramp")},
    },
    run=run,
)

"""One run of a scaling grid: a budget of operations, a shape, and the loss all along.

A run spends its budget C exactly: it reads

    D = C / (FLOPs a token)       FLOPs a token = 6 (blocks + output matrix) + 12 layers d T

tokens, which are bytes, with a cosine that ends with the run. 6 N D is noted beside C.

- Text: docstrings of the packages and source code of the standard library, 19 million bytes in
  windows of 64. The standard library's own docstrings are left out of the prose, since the code
  holds them. A run reads no window twice, or says so: see `epochs`.
- Held out: whole texts of both kinds, 2 048 windows, the same for all runs; so most of the error of
  a loss is common to all, and differences are far more exact than `loss_se`.
- A run that is stopped goes on from its last checkpoint, in the cache of the course.

Shape letters: B batch, T context.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm.data.corpora import load_corpus
from minillm.data.harvest import data_home
from minillm.data.loader import BatchSampler
from minillm.model import Decoder, DecoderConfig, count_parameters, flops_per_token
from minillm.model.config import count_matrix_parameters
from minillm.objectives import causal_loss, fast_cross_entropy
from minillm.recipes.runs import decoder
from minillm.recipes.small import BYTE_END, N_BYTES_VOCAB
from minillm.train import OptimizerConfig, TrainConfig, clip_grad_norm, make_optimizer
from minillm.train.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint

RECIPE = 1
"""Part of the settings of every run; raise it when the code here would give other losses."""
SMALLEST, STEP = 1e11, 3.0
"""Budgets are SMALLEST times a power of STEP; a curve is measured at all that it passes."""
CONTEXT = 64
WARMUP_SHARE, MIN_LR_RATIO = 0.05, 0.1
N_TEST_WINDOWS, CURVE_EVERY = 2048, 8
"""Windows of the final loss; every eighth of them serves for the curve."""
TEST_SHARE = 0.04
"""Of the texts of each kind."""
SAVE_EVERY = 4e11
"""FLOPs between two checkpoints inside a run, some ten seconds."""

HEADS = {16: 1, 24: 1, 32: 1, 48: 2, 64: 2, 80: 2, 96: 3, 112: 4, 128: 4, 160: 5, 192: 6}


@dataclass(frozen=True)
class Cell:
    """One run: a budget, a shape, and what the counter-arms change.

    Attributes:
        flops: C, exact operations of the training.
        d_model, n_layers: the shape; heads are those of HEADS.
        lr: the largest learning rate.
        batch: windows a step.
        draw: 1, or 2 and more for a replicate.
        warmup_tokens: 0 warms up over WARMUP_SHARE of the run; else so long, at most all of it.

    Lesson: notebooks/25b_chinchilla.ipynb
    """

    flops: float
    d_model: int
    n_layers: int
    lr: float
    batch: int = 16
    draw: int = 1
    warmup_tokens: int = 0

    @property
    def model(self) -> DecoderConfig:
        """A LLaMA-shaped decoder for bytes; wide matrices start smaller."""
        shape = decoder(N_BYTES_VOCAB, self.d_model, self.n_layers, HEADS[self.d_model], CONTEXT)
        return replace(shape, init_std=0.4 * self.d_model**-0.5)

    @property
    def steps(self) -> int:
        """Updates: the budget over the FLOPs of a batch."""
        return round(self.flops / (flops_per_token(self.model) * self.batch * CONTEXT))

    @property
    def warmup_steps(self) -> int:
        """Updates on which the rate rises."""
        if self.warmup_tokens:
            return min(self.steps, self.warmup_tokens // (self.batch * CONTEXT))
        return max(8, round(WARMUP_SHARE * self.steps))

    def marks(self) -> list[int]:
        """The steps at which the curve is measured: evenly in log, and at every smaller budget."""
        even = np.geomspace(0.04, 1.0, 12) * self.steps
        n_lower = max(0, round(math.log(self.flops / SMALLEST, STEP)))
        lower = [self.steps / STEP**k for k in range(1, n_lower + 1)]
        return sorted({max(1, round(step)) for step in (*even, *lower)})


@lru_cache(maxsize=1)
def texts() -> tuple[np.ndarray, Tensor]:
    """Load the text once.

    Returns:
        Bytes to train on, (N,), uint16; and the held-out windows, (N_TEST_WINDOWS, T + 1), int64,
        in which both kinds have their share of the bytes.
    """
    prose = load_corpus("prose", progress=False)
    kinds = [
        [t for t, o in zip(prose.texts, prose.origins, strict=True) if not o.startswith("python/")],
        load_corpus("code", progress=False).texts,
    ]
    rng = np.random.default_rng(25)
    train: list[str] = []
    test: list[str] = []
    for kind in kinds:
        order = [kind[i] for i in rng.permutation(len(kind))]
        test += order[: round(TEST_SHARE * len(kind))]
        train += order[round(TEST_SHARE * len(kind)) :]
    train = [train[i] for i in rng.permutation(len(train))]
    held_out = _bytes_of(test)
    starts = rng.permutation((len(held_out) - 1) // CONTEXT)[:N_TEST_WINDOWS] * CONTEXT
    windows = held_out[starts[:, None] + np.arange(CONTEXT + 1)].astype(np.int64)
    return _bytes_of(train), torch.from_numpy(windows)


def _bytes_of(found: list[str]) -> np.ndarray:
    """Lay texts into one row of bytes, an end mark behind each."""
    rows = [np.frombuffer(text.encode(), np.uint8).astype(np.uint16) for text in found]
    end = np.array([BYTE_END], np.uint16)
    return np.concatenate([part for row in rows for part in (row, end)])


@torch.no_grad()
def window_losses(model: Decoder, every: int = 1) -> Tensor:
    """Measure the held-out loss of each window, nats a byte, (windows,)."""
    found = []
    for rows in texts()[1][::every].split(128):
        nats = fast_cross_entropy(model(rows[:, :-1]), rows[:, 1:], reduction="none")  # (B, T)
        found.append(nats.mean(dim=-1))
    return torch.cat(found)


def descend(cell: Cell, seed: int, folder: Path) -> Iterator[tuple[int, float, Decoder]]:
    """Train a cell, from its last checkpoint where there is one.

    Yields:
        At each step of `marks` that is still to come: the step, the mean training loss since the
        mark before, and the model.
    """
    torch.set_num_threads(1)
    draw = [seed, cell.draw, cell.d_model, cell.n_layers, round(cell.flops / 1e9)]
    torch.manual_seed(int(np.random.SeedSequence(draw).generate_state(1)[0]))
    model = Decoder(cell.model)
    optimizer = make_optimizer(model, OptimizerConfig(lr=cell.lr, weight_decay=0.1))
    order = int(np.random.SeedSequence([*draw, 1]).generate_state(1)[0])
    batches = BatchSampler(texts()[0], cell.batch, CONTEXT, seed=order)
    config = TrainConfig(
        steps=cell.steps, warmup_steps=cell.warmup_steps, min_lr_ratio=MIN_LR_RATIO
    )
    done, marks, total, count = 0, set(cell.marks()), 0.0, 0
    if has_checkpoint(folder):
        state = load_checkpoint(folder, model, optimizer).state
        done, total, count = state["step"], state["total"], state["count"]
        batches.skip(done)
    every = max(1, round(SAVE_EVERY / cell.flops * cell.steps))
    for step in range(done + 1, cell.steps + 1):
        x, y = next(batches)
        loss = causal_loss(model, x, y)
        loss.backward()
        clip_grad_norm(model.named_parameters(), config.clip)
        for group in optimizer.param_groups:
            group["lr"] = config.lr_at(step, cell.lr)
        optimizer.step()
        optimizer.zero_grad()
        total, count = total + loss.item(), count + 1
        if step in marks:
            yield step, total / count, model
            total, count = 0.0, 0
        if step % every == 0 and step < cell.steps:
            state = {"step": step, "total": total, "count": count}
            save_checkpoint(folder, model, optimizer, state)


def train_cell(cell: Cell, seed: int, home: Path | None = None) -> dict[str, Any]:
    """Train a cell and measure it; a run that is stopped goes on from its last checkpoint.

    Args:
        cell: what to train.
        seed: of weights and order, together with all fields of the cell but the rate.
        home: where a run lies while it is going on; None is the cache of the course.

    Returns:
        n (all parameters), n_blocks (matrices of the blocks: Kaplan's N), d (tokens), steps, lr,
        flops (exact), flops_6nd, epochs; loss (held out, nats a byte) and loss_se, its standard
        error over the windows; and the curve, one value a mark: curve_d, curve_flops, curve_loss
        (held out, every eighth window), curve_train (mean over the batches since the last mark).
    """
    home = home or data_home() / "grid"
    told = json.dumps([seed, *asdict(cell).values(), cell.marks(), RECIPE])
    folder = home / hashlib.sha256(told.encode()).hexdigest()[:16]
    note = folder.with_suffix(".json")
    curve: dict[int, tuple[float, float]] = {}
    if note.is_file() and has_checkpoint(folder):
        curve = {int(k): tuple(v) for k, v in json.loads(note.read_text("utf-8")).items()}
    home.mkdir(parents=True, exist_ok=True)
    losses = torch.empty(0)
    for step, seen, model in descend(cell, seed, folder):
        last = step == cell.steps
        losses = window_losses(model, 1 if last else CURVE_EVERY)
        curve[step] = (float(losses[:: CURVE_EVERY if last else 1].mean()), seen)
        note.write_text(json.dumps(curve), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    note.unlink(missing_ok=True)
    return measured(cell, losses, curve)


def measured(
    cell: Cell, losses: Tensor, curve: Mapping[int, tuple[float, float]]
) -> dict[str, Any]:
    """Put a run into the form of its record; the names are explained at train_cell."""
    n, per_token = count_parameters(cell.model), flops_per_token(cell.model)
    tokens, marks = cell.batch * CONTEXT, cell.marks()
    return {
        "n": n,
        "n_blocks": count_matrix_parameters(cell.model),
        "d": cell.steps * tokens,
        "steps": cell.steps,
        "lr": cell.lr,
        "flops": float(per_token * cell.steps * tokens),
        "flops_6nd": 6.0 * n * cell.steps * tokens,
        "epochs": cell.steps * tokens / len(texts()[0]),
        "loss": float(losses.mean()),
        "loss_se": float(losses.std() / len(losses) ** 0.5),
        "curve_d": [step * tokens for step in marks],
        "curve_flops": [float(step * tokens * per_token) for step in marks],
        "curve_loss": [curve[step][0] for step in marks],
        "curve_train": [curve[step][1] for step in marks],
    }

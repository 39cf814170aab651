"""The same training run with every method and any number of ranks: the losses must agree.

All ranks together read the same rows in the same steps, however many ranks there are, so that the
gradient of a step is the same sum in another order. What may differ is rounding.
"""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from minillm.distributed.collectives import all_reduce
from minillm.distributed.data_parallel import (
    GradientSync,
    same_weights,
    sum_gradients,
    sum_in_buckets,
    target_share,
)
from minillm.distributed.flat import state_tensors, storage_bytes
from minillm.distributed.group import Group, Traffic
from minillm.distributed.zero import Zero
from minillm.model import Decoder, DecoderConfig
from minillm.objectives import causal_loss
from minillm.train import OptimizerConfig, clip_grad_norm, make_optimizer

Method = Literal["naive", "buckets", "overlap", "zero1", "zero2", "zero3"]
DRAWING = threading.Lock()  # ranks that are threads share torch's generator
METHODS: tuple[Method, ...] = ("naive", "buckets", "overlap", "zero1", "zero2", "zero3")


@dataclass(frozen=True)
class SameRun:
    """A run that does not depend on how many ranks there are.

    Attributes:
        config: the model.
        steps: weight updates.
        batch_size: rows a step, of all ranks together.
        n_micro: k, passes a step on each rank.
        dtype: "float64" or "float32".
        optimizer: settings of AdamW; the rate stays as it is.
        clip: the longest gradient.
        bucket_bytes: for "buckets" and "overlap".
        seed: of the weights.
    """

    config: DecoderConfig
    steps: int = 20
    batch_size: int = 8
    n_micro: int = 1
    dtype: str = "float64"
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    clip: float = 1.0
    bucket_bytes: int = 2**16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.dtype not in ("float64", "float32"):
            raise ValueError(f"dtype must be float64 or float32, got {self.dtype!r}")
        for name in ("steps", "batch_size", "n_micro"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass
class Told:
    """What one rank has to tell of a run.

    Attributes:
        losses: of each step, over all ranks, nats a target.
        norms: length of the whole gradient before clipping, each step.
        sent_bytes, n_messages: of this rank for gradients and parameters, in each step; the few
            numbers that say losses, norms and targets are not in it.
        held_bytes: parameters, gradients and optimizer state when the weights moved last.
        peak_bytes: most of it at any time that was looked at.
        weights: the model's parameters at the end, one vector.
    """

    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    sent_bytes: list[int] = field(default_factory=list)
    n_messages: list[int] = field(default_factory=list)
    held_bytes: int = 0
    peak_bytes: int = 0
    weights: Tensor = field(default_factory=lambda: torch.zeros(0))


def train_together(group: Group, run: SameRun, x: Tensor, y: Tensor, method: Method) -> Told:
    """Train on this rank's part of the rows; to be called by all ranks.

    Args:
        group: the ranks.
        run: the settings.
        x: ids, (steps * batch_size, T); the same on all ranks.
        y: targets, same shape; -100 where a position does not count.
        method: one of METHODS.

    Returns:
        What this rank measured; losses and norms are the same on all.

    Raises:
        ValueError: if the method is unknown, there are too few rows, or the rows of a step cannot
            be shared out evenly among the ranks and micro-batches.

    Lesson: notebooks/22b_zero.ipynb
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if run.batch_size % (group.size * run.n_micro):
        raise ValueError(
            f"{run.batch_size} rows cannot be shared out evenly among {group.size} ranks with "
            f"{run.n_micro} micro-batches each; take a multiple of {group.size * run.n_micro}"
        )
    if x.shape != y.shape or len(x) < run.steps * run.batch_size:
        raise ValueError(
            f"x {tuple(x.shape)} and y {tuple(y.shape)} must have one shape, and at least "
            f"{run.steps} x {run.batch_size} rows"
        )
    with DRAWING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        model = Decoder(run.config, device="cpu", dtype=getattr(torch, run.dtype))
    told = Told()
    step = (_sharded if method.startswith("zero") else _whole)(group, model, run, method)
    for s in range(run.steps):
        rows = slice(s * run.batch_size + group.rank, (s + 1) * run.batch_size, group.size)
        micro = list(zip(x[rows].chunk(run.n_micro), y[rows].chunk(run.n_micro), strict=True))
        step(micro, told)
    return told


Micro = list[tuple[Tensor, Tensor]]
Step = Callable[[Micro, Told], None]


def _shares(group: Group, micro: Micro) -> list[float]:
    """What share of the step's targets, over all ranks, each micro-batch of this rank has."""
    counts = [int((y != -100).sum()) for _, y in micro]
    mine = target_share(group, sum(counts))
    return [mine * n / max(1, sum(counts)) for n in counts]


def _backward(model: nn.Module, x: Tensor, y: Tensor, share: float) -> float:
    loss = share * causal_loss(model, x, y)
    loss.backward()
    return loss.item()


def _whole(group: Group, model: nn.Module, run: SameRun, method: Method) -> Step:
    """A step of data parallelism, in one of its three forms."""
    params = list(model.parameters())
    optimizer = make_optimizer(model, run.optimizer)
    sync = None
    if method == "overlap":
        sync = GradientSync(group, model, bucket_bytes=run.bucket_bytes)
    else:
        same_weights(group, model)

    def step(micro: Micro, told: Told) -> None:
        shares, loss = _shares(group, micro), 0.0
        before = group.mark()
        for k, (x, y) in enumerate(micro):
            last = k == len(micro) - 1
            with nullcontext() if sync is None else sync.only(last):
                loss += _backward(model, x, y, shares[k])
        if sync is not None:
            sync.wait()
        elif method == "naive":
            sum_gradients(group, params)
        else:
            sum_in_buckets(group, params, run.bucket_bytes)
        _count(group, before, told)
        told.norms.append(clip_grad_norm(params, run.clip).item())
        optimizer.step()
        grads = [p.grad for p in params if p.grad is not None]
        told.held_bytes = storage_bytes([*params, *grads, *state_tensors(optimizer)])
        told.peak_bytes = max(told.peak_bytes, told.held_bytes)
        optimizer.zero_grad()
        told.losses.append(_over_ranks(group, loss))
        if len(told.losses) == run.steps:
            told.weights = _flat(model)

    return step


def _sharded(group: Group, model: nn.Module, run: SameRun, method: Method) -> Step:
    zero = Zero(group, model, run.optimizer, stage=int(method[-1]))

    def step(micro: Micro, told: Told) -> None:
        shares = _shares(group, micro)
        before = group.mark()
        loss = sum(_backward(model, *xy, share) for xy, share in zip(micro, shares, strict=True))
        told.norms.append(zero.step(run.clip))
        _count(group, before, told)
        told.held_bytes, told.peak_bytes = zero.bytes_at_step, zero.peak_bytes
        told.losses.append(_over_ranks(group, loss))
        if len(told.losses) == run.steps:
            with zero.whole():
                told.weights = _flat(model)

    return step


def _count(group: Group, before: Traffic, told: Told) -> None:
    sent = group.traffic.since(before)
    told.sent_bytes.append(sent.n_bytes)
    told.n_messages.append(sent.n_messages)


def _over_ranks(group: Group, loss: float) -> float:
    return all_reduce(group, torch.tensor([loss], dtype=torch.float64)).item()


def _flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])

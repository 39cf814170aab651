"""A step of data parallelism on real ranks, with a clock: what ddp_time.py predicts.

A machine that others use, too, is now fast and now slow. So ways are measured in turns, and the
prediction is made of a step that computes in the same turns and sends nothing.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from torch import Tensor

from minillm.distributed.collectives import barrier
from minillm.distributed.data_parallel import GradientSync, make_buckets, sum_bucket
from minillm.distributed.ddp_time import ddp_tasks
from minillm.distributed.group import Group
from minillm.distributed.links import Link
from minillm.distributed.step_time import StepTime, run_tasks
from minillm.distributed.threads import Mailboxes, ThreadGroup
from minillm.model import Decoder, DecoderConfig
from minillm.objectives import causal_loss


@dataclass(frozen=True)
class ClockedStep:
    """A measured step of one rank; seconds from its start.

    Attributes:
        forward: end of the forward pass.
        filled: when each bucket was full; empty if nothing was sent during the backward pass.
        backward: end of the backward pass.
        talks: start and end of each bucket's sum.
        total: when all gradients were summed.
        sizes: bytes of each bucket.
    """

    forward: float
    filled: tuple[float, ...]
    backward: float
    talks: tuple[tuple[float, float], ...]
    total: float
    sizes: tuple[int, ...]

    @property
    def pieces(self) -> list[float]:
        """Seconds of the backward pass that each bucket takes, as ddp_time.ddp_tasks wants them."""
        ends = [self.forward, *self.filled[:-1], self.backward]
        return [b - a for a, b in pairwise(accumulate(ends, max))]


def clock_steps(
    group: Group,
    config: DecoderConfig,
    ids: Tensor,
    *,
    bucket_bytes: int,
    overlap: bool = True,
    alone: bool = False,
    n_steps: int = 5,
) -> list[ClockedStep]:
    """Measure steps of data parallelism; to be called by all ranks.

    Args:
        group: the ranks; a SlowGroup for a slow network.
        config: of the model, in float32.
        ids: rows of this rank, (B, T).
        bucket_bytes: see data_parallel.make_buckets; 1 gives each parameter its own message.
        overlap: send during the backward pass, or after it.
        alone: send nothing, but compute at the same time as the others: for a prediction.
        n_steps: how many, after one that does not count.

    Returns:
        A clock for each step.

    Raises:
        ValueError: if n_steps is below 1.

    Lesson: notebooks/22b_zero.ipynb
    """
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}")
    model = Decoder(config, device="cpu")
    talking = ThreadGroup(0, 1, group.timeout, Mailboxes(1)) if alone else group
    sync = GradientSync(talking, model, bucket_bytes=bucket_bytes) if overlap else None
    clocks = []
    for _ in range(n_steps + 1):
        barrier(group)
        clocks.append(_clocked(talking, model, ids, bucket_bytes, sync))
        model.zero_grad()
    return clocks[1:]


def clock_ways(
    group: Group, config: DecoderConfig, ids: Tensor, *, bucket_bytes: int, n_turns: int = 5
) -> dict[str, list[ClockedStep]]:
    """Measure three ways of data parallelism in turns, and a step that sends nothing.

    Args:
        group, config, ids, bucket_bytes: as in clock_steps.
        n_turns: how often each is measured.

    Returns:
        "alone" (nothing is sent), "naive" (a message a parameter), "buckets" (after the backward
        pass) and "overlap" (during it), each with a clock for each turn.

    Lesson: notebooks/22b_zero.ipynb
    """
    ways: dict[str, dict[str, Any]] = {
        "alone": {"bucket_bytes": bucket_bytes, "alone": True},
        "naive": {"bucket_bytes": 1, "overlap": False},
        "buckets": {"bucket_bytes": bucket_bytes, "overlap": False},
        "overlap": {"bucket_bytes": bucket_bytes},
    }
    told: dict[str, list[ClockedStep]] = {way: [] for way in ways}
    for _ in range(n_turns):
        for way, settings in ways.items():
            told[way] += clock_steps(group, config, ids, n_steps=1, **settings)
    return told


def middle(clocks: Sequence[ClockedStep]) -> ClockedStep:
    """The step of median length (of two in the middle, the longer)."""
    return sorted(clocks, key=lambda clock: clock.total)[len(clocks) // 2]


def predict_step(
    alone: ClockedStep, sizes: Sequence[float], link: Link, n_ranks: int, *, overlap: bool
) -> StepTime:
    """Say how long a step will take from one that sent nothing.

    Args:
        alone: the clock of that step.
        sizes: bytes of each bucket. Without overlap they may be other buckets than alone's.
        link: of each rank.
        n_ranks: N.
        overlap: whether buckets are sent during the backward pass.

    Returns:
        The simulated step.

    Raises:
        ValueError: with overlap, if alone has another number of buckets.

    Lesson: notebooks/22b_zero.ipynb
    """
    pieces = alone.pieces
    if not overlap:
        pieces = [sum(pieces), *[0.0] * (len(sizes) - 1)]
    return run_tasks(ddp_tasks(alone.forward, pieces, sizes, link, n_ranks, overlap=overlap))


def _clocked(
    group: Group, model: Decoder, ids: Tensor, bucket_bytes: int, sync: GradientSync | None
) -> ClockedStep:
    start = time.perf_counter()
    loss = causal_loss(model, ids[:, :-1], ids[:, 1:])
    forward = time.perf_counter()
    loss.backward()
    backward = time.perf_counter()
    filled, talks = [], []
    buckets = make_buckets(model.parameters(), bucket_bytes)
    if sync is None:
        for bucket in buckets:
            begin = time.perf_counter()
            sum_bucket(group, bucket)
            talks.append((begin, time.perf_counter()))
    else:
        sync.wait()
        filled = [sync.filled_at[k] for k in range(len(buckets))]
        talks = sync.talked
    total = time.perf_counter()
    return ClockedStep(
        forward - start,
        tuple(t - start for t in filled),
        backward - start,
        tuple((a - start, b - start) for a, b in talks),
        total - start,
        tuple(sum(p.numel() * p.element_size() for p in bucket) for bucket in buckets),
    )

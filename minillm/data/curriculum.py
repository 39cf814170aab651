"""In which order: easy first, at a pace, and the best text last.

An order is an array: the number of the window that comes i-th, for every i of the run. Everything
else follows from that. Whatever makes the order (a length, a score, a pace, a last stage), one
sampler serves it, and it is resumed, and shared among ranks and workers, by one number.

Shape letters: B batch, T context, M windows there are, R windows that are served in the run.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minillm.data.loader import check_sizes, split
from minillm.data.shard import Tokens, as_array

if TYPE_CHECKING:
    import torch

KINDS = ("linear", "root", "step")


def easy_first(scores: Sequence[float] | np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Order windows from the lowest score to the highest, equal ones by chance.

        scores 7, 2, 5  ->  1, 2, 0

    Args:
        scores: how hard each window is, (M,): a length, a perplexity. Minus the scores puts the
            hard ones first.
        seed: of the order among equal scores.

    Returns:
        Numbers of windows, (M,), int64; each once.

    Raises:
        ValueError: if the scores are not one axis of finite numbers.

    Lesson: notebooks/08_schedule.ipynb
    """
    scores = _checked(scores)
    chance = np.random.default_rng(seed).permutation(len(scores))
    return np.lexsort((chance, scores))


def pacing(
    progress: float, *, start: float = 0.1, full_at: float = 0.5, kind: str = "root"
) -> float:
    """Say which share of the windows, the easiest ones, may be drawn at a point of the run.

        t = progress / full_at
        linear  start + (1 - start) t
        root    sqrt(start^2 + (1 - start^2) t)
        step    start before full_at
        all     1 from full_at on

    The root adds new windows at a pace that falls as the pool grows, so that each gets a similar
    share of the draws.

    Args:
        progress: share of the run that is over, in [0, 1].
        start: share that is open at the beginning, in (0, 1].
        full_at: share of the run after which everything is open, in (0, 1].
        kind: one of KINDS.

    Returns:
        A share in [start, 1].

    Raises:
        ValueError: if an argument lies outside its range, or the kind is unknown.

    Source: Platanios et al. 2019, arXiv:1903.09848, section 3 (linear and root competence).
    Lesson: notebooks/08_schedule.ipynb
    """
    if not 0 <= progress <= 1:
        raise ValueError(f"progress must lie in 0 to 1, got {progress}")
    if not (0 < start <= 1 and 0 < full_at <= 1):
        raise ValueError(f"start and full_at must lie in (0, 1], got {start} and {full_at}")
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    t = progress / full_at
    if t >= 1:
        return 1.0
    if kind == "step":
        return start
    if kind == "linear":
        return start + (1 - start) * t
    return math.sqrt(start**2 + (1 - start**2) * t)


def paced_order(
    scores: Sequence[float] | np.ndarray,
    n_served: int,
    *,
    seed: int = 0,
    start: float = 0.1,
    full_at: float = 0.5,
    kind: str = "root",
) -> np.ndarray:
    """Draw windows at random among the easiest, whose number grows at a pace.

        window i is drawn from the first ceil(M pacing(i / R)) of easy_first(scores)

    Args:
        scores: how hard each window is, (M,).
        n_served: R, windows of the run.
        seed: of the draws.
        start, full_at, kind: as in pacing.

    Returns:
        Numbers of windows, (R,), int64; with repetitions, as a draw has them.

    Raises:
        ValueError: as easy_first and pacing; or if n_served < 0 or there is no window.

    Lesson: notebooks/08_schedule.ipynb
    """
    order = easy_first(scores, seed=seed)
    if n_served < 0 or not len(order):
        raise ValueError(f"need a window and n_served of 0 or more, got {len(order)}, {n_served}")
    pace = [pacing(i / n_served, start=start, full_at=full_at, kind=kind) for i in range(n_served)]
    n_open = np.ceil(len(order) * np.array(pace)).astype(np.int64)  # at least 1, since start > 0
    drawn = np.random.default_rng([seed, 1]).random(n_served) * n_open
    return order[np.minimum(drawn.astype(np.int64), n_open - 1)]


def best_last(
    order: Sequence[int] | np.ndarray, good: Sequence[bool] | np.ndarray, share: float = 1.0
) -> np.ndarray:
    """Keep windows of high quality for the end: a final stage, without reading anything more often.

        order 3, 0, 2, 1 with 0 and 2 good:   3, 1, 0, 2

    The same windows are served as before, as often as before; only the order changes.

    Args:
        order: numbers of windows, (R,).
        good: which windows are of high quality, (M,) booleans.
        share: of the good ones that are moved to the end, the last of them; the others stay where
            they are, relative to the rest.

    Returns:
        The order with the good windows last, (R,), int64.

    Raises:
        ValueError: if share is not in [0, 1].

    Lesson: notebooks/08_schedule.ipynb
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in 0 to 1, got {share}")
    order = np.asarray(order, np.int64)
    places = np.flatnonzero(np.asarray(good, bool)[order])
    moved = places[len(places) - round(share * len(places)) :]
    return np.concatenate([np.delete(order, moved), order[moved]])


class OrderedSampler:
    """Serves windows in a given order, over and over, and remembers where it is.

    Window m begins at token m T, as in BatchSampler.

    Args:
        tokens: (N,), integers, in memory or on disk.
        batch_size: B, windows a batch (of each rank).
        context: T.
        order: numbers of windows in the order in which they are served, (R,); None means all of
            them from left to right.
        rank, world_size: this process takes the rank-th B of each world_size * B windows.

    Raises:
        ValueError: if a size is below 1, there are fewer than T + 1 tokens, the order is empty or
            names a window that there is not, or the rank is not in 0 .. world_size - 1.

    Cost: 8 bytes a window of the order.
    Lesson: notebooks/08_schedule.ipynb
    """

    def __init__(
        self,
        tokens: Tokens,
        batch_size: int,
        context: int,
        *,
        order: Sequence[int] | np.ndarray | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.tokens = as_array(tokens)
        check_sizes(len(self.tokens), batch_size, context)
        self.n_windows = (len(self.tokens) - 1) // context
        self.order = np.arange(self.n_windows) if order is None else np.asarray(order, np.int64)
        outside = self.order[(self.order < 0) | (self.order >= self.n_windows)]
        if not len(self.order) or len(outside):
            raise ValueError(
                f"the order must name windows 0 .. {self.n_windows - 1}, at least one; "
                f"got {len(self.order)} numbers, among them {outside[:3].tolist()}"
            )
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be in 0 .. {world_size - 1}, got {rank}")
        self.batch_size, self.context = batch_size, context
        self.rank, self.world_size = rank, world_size
        self.n_served = 0
        """Windows served so far by all ranks together."""

    def __iter__(self) -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
        return self

    def __next__(self) -> "tuple[torch.Tensor, torch.Tensor]":
        return split(self.take())

    def take(self) -> np.ndarray:
        """Serve a batch as an array, (B, T + 1), int64: the windows and their last targets."""
        first = self.n_served + self.rank * self.batch_size
        chosen = self.order[np.arange(first, first + self.batch_size) % len(self.order)]
        self.skip(1)
        places = chosen[:, None] * self.context + np.arange(self.context + 1)  # (B, T + 1)
        return self.tokens[places].astype(np.int64)

    def skip(self, n_batches: int) -> None:
        """Go on by so many batches without reading them."""
        self.n_served += n_batches * self.world_size * self.batch_size

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must keep; the order itself is known by length and checksum."""
        return {
            "n_served": self.n_served,
            "n_tokens": len(self.tokens),
            "context": self.context,
            "order": [len(self.order), _checksum(self.order)],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where the state was taken. Batch size and number of ranks may be others.

        Raises:
            ValueError: if the state belongs to other tokens, another context or another order.
        """
        here = self.state_dict()
        for key in ("n_tokens", "context", "order"):
            if state[key] != here[key]:
                raise ValueError(
                    f"this state was taken with {key} {state[key]}, the sampler has {here[key]}: "
                    "resume with the same data and the same order"
                )
        self.n_served = state["n_served"]


def _checksum(order: np.ndarray) -> int:
    return zlib.crc32(order.astype("<i8").tobytes())


def _checked(scores: Sequence[float] | np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise ValueError(
            f"scores must be one axis of finite numbers, got shape {scores.shape}, "
            f"{int((~np.isfinite(scores)).sum())} of them not finite"
        )
    return scores

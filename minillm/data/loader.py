"""From tokens to batches: windows cut from a long row of tokens, and an order one can resume.

Shape letters (the table is in notebooks/NOTATION.md):
    B  batch        T  context, the tokens of one window

The target of a window is the same window one token later: y[b, t] = x[b, t + 1].
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from minillm.data.shard import Tokens, TokenShard, as_array

if TYPE_CHECKING:
    import torch

__all__ = [
    "BatchSampler",
    "TokenShard",
    "Tokens",
    "as_array",
    "check_sizes",
    "get_batch",
    "split",
    "windows",
]


def get_batch(
    tokens: Tokens,
    batch_size: int,
    context: int,
    rng: "np.random.Generator | torch.Generator | int",
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Draw windows at random places, with replacement.

        x[b] = tokens[s_b : s_b + T]        y[b] = tokens[s_b + 1 : s_b + T + 1]
        s_b uniform on 0 .. len(tokens) - T - 1

    Args:
        tokens: (N,), integers, in memory or on disk.
        batch_size: B.
        context: T.
        rng: a numpy or torch generator, which moves on; an int seeds a fresh numpy generator.

    Returns:
        x and y, both (B, T), int64.

    Raises:
        ValueError: if a size is below 1 or there are fewer than T + 1 tokens.

    Cost: reads B (T + 1) tokens, wherever they lie.
    Lesson: notebooks/09_attention.ipynb
    """
    array = as_array(tokens)
    check_sizes(len(array), batch_size, context)
    n_starts = len(array) - context
    if isinstance(rng, (int, np.integer)):
        rng = np.random.default_rng(int(rng))
    if isinstance(rng, np.random.Generator):
        starts = rng.integers(0, n_starts, batch_size)
    else:
        import torch

        starts = torch.randint(n_starts, (batch_size,), generator=rng).numpy()
    return windows(array, starts, context)


def windows(
    tokens: np.ndarray, starts: np.ndarray, context: int
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Cut windows of T tokens and their targets.

    Args:
        tokens: (N,).
        starts: (B,), each at most N - T - 1.
        context: T.

    Returns:
        x and y, both (B, T), int64.
    """
    return split(_cut(tokens, starts, context))


def split(rows: np.ndarray) -> "tuple[torch.Tensor, torch.Tensor]":
    """Part windows with their last target, (B, T + 1) int64, into x and y, both (B, T)."""
    import torch

    both = torch.from_numpy(rows)
    return both[:, :-1].contiguous(), both[:, 1:].contiguous()


def _cut(tokens: np.ndarray, starts: np.ndarray, context: int) -> np.ndarray:
    """Cut windows of T + 1 tokens, (B, T + 1), int64."""
    places = np.asarray(starts)[:, None] + np.arange(context + 1)  # (B, T + 1)
    return tokens[places].astype(np.int64)


def check_sizes(n_tokens: int, batch_size: int, context: int, *, of: str = "") -> None:
    """Refuse sizes that leave no window; `of` names the source in the message.

    Raises:
        ValueError: if a size is below 1 or there are fewer than T + 1 tokens.
    """
    if batch_size < 1 or context < 1:
        raise ValueError(
            f"batch_size and context must be at least 1, got {batch_size} and {context}"
        )
    if n_tokens < context + 1:
        raise ValueError(
            f"{of}a window of {context} and its target need {context + 1} tokens, there are only "
            f"{n_tokens}: take a smaller context or more text"
        )


class BatchSampler:
    """Serves windows in shuffled order, each once in an epoch, and remembers where it is.

    The tokens are cut into (N - 1) // T windows that do not overlap; with stride, a window begins
    every stride tokens, as in rows that were packed to start with a document. Epoch e serves them
    in the order of a permutation seeded by (seed, e). Batches are cut from the endless row of
    epochs, so all have B windows; one at the border takes the last windows of one epoch and the
    first of the next. The state is one number, so a resumed run sees the very batches that the
    undisturbed one would have seen.

    Args:
        tokens: (N,), integers, in memory or on disk.
        batch_size: B, windows a batch (of each rank).
        context: T.
        seed: of the order.
        rank, world_size: this process takes the rank-th B of each world_size * B windows.
        stride: tokens from the start of a window to that of the next; None means T.

    Raises:
        ValueError: if a size is below 1, there are fewer than T + 1 tokens, or the rank is not
            in 0 .. world_size - 1.

    Cost: an epoch's order takes 8 bytes a window; a batch reads B (T + 1) tokens.
    Lesson: notebooks/08_schedule.ipynb
    """

    def __init__(
        self,
        tokens: Tokens,
        batch_size: int,
        context: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        stride: int | None = None,
    ) -> None:
        self.tokens = as_array(tokens)
        check_sizes(len(self.tokens), batch_size, context)
        self.stride = context if stride is None else stride
        if self.stride < 1:
            raise ValueError(f"stride must be at least 1, got {stride}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be in 0 .. {world_size - 1}, got {rank}")
        self.batch_size, self.context, self.seed = batch_size, context, seed
        self.rank, self.world_size = rank, world_size
        self.n_windows = (len(self.tokens) - 1 - context) // self.stride + 1
        self.n_served = 0
        """Windows served so far by all ranks together."""
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    @property
    def epoch(self) -> float:
        """How many times the text has been read: 1.5 is one and a half times."""
        return self.n_served / self.n_windows

    def __iter__(self) -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
        return self

    def __next__(self) -> "tuple[torch.Tensor, torch.Tensor]":
        return split(self.take())

    def take(self) -> np.ndarray:
        """Serve a batch as an array, (B, T + 1), int64: the windows and their last targets."""
        first = self.n_served + self.rank * self.batch_size
        chosen = [self._window(i) for i in range(first, first + self.batch_size)]
        self.skip(1)
        return _cut(self.tokens, np.array(chosen) * self.stride, self.context)

    def skip(self, n_batches: int) -> None:
        """Go on by so many batches without reading them."""
        self.n_served += n_batches * self.world_size * self.batch_size

    def _window(self, i: int) -> int:
        """Return which window is the i-th of the endless row of epochs."""
        epoch, place = divmod(i, self.n_windows)
        if self._order[0] != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(self.n_windows)
            self._order = (epoch, order)
        return int(self._order[1][place])

    def state_dict(self) -> dict[str, int]:
        """Return what a checkpoint must keep; all of it numbers that JSON can hold."""
        return {
            "n_served": self.n_served,
            "seed": self.seed,
            "n_tokens": len(self.tokens),
            "context": self.context,
            "stride": self.stride,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to where the state was taken. Batch size and number of ranks may be others.

        Raises:
            ValueError: if the state belongs to other tokens, another context or another seed.
        """
        here = self.state_dict()
        for key in ("seed", "n_tokens", "context", "stride"):
            if state[key] != here[key]:
                raise ValueError(
                    f"this state was taken with {key} {state[key]}, the sampler has {here[key]}: "
                    "resume with the same data and the same settings"
                )
        self.n_served = state["n_served"]

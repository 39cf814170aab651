"""Several sources in one stream of batches, in given proportions.

Which source the i-th window of the whole run comes from, and which window of that source it is,
depends on the seed and on i alone: not on the batch size, the number of ranks or of worker
processes, nor on where the run was interrupted. The arithmetic of shares is in proportions.py.

Shape letters: B batch, T context.
"""

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minillm.data.loader import check_sizes, split
from minillm.data.proportions import (
    LLAMA_MIXTURE,
    LLAMA_TOKENS,
    normalised,
    plan_mixture,
    same_names,
    temperature_shares,
)
from minillm.data.shard import Tokens, as_array

if TYPE_CHECKING:
    import torch

__all__ = [
    "LLAMA_MIXTURE",
    "LLAMA_TOKENS",
    "MixtureSampler",
    "Stage",
    "normalised",
    "plan_mixture",
    "temperature_shares",
]

_BLOCK = 4096  # draws made at a time; fixed, because the draws of a run depend on it


class Stage(NamedTuple):
    """Proportions that hold up to a window of the run."""

    until: int | None
    """Windows of the run, all ranks together, at which the stage is over; None: never."""
    proportions: Mapping[str, float]


class MixtureSampler:
    """Serves windows of several sources in given proportions, and remembers where it is.

    Window i of the run comes from a source drawn with the probabilities of its stage. Within a
    source the windows come in shuffled order, each once in an epoch of that source; this order
    depends on the seed and on the source's name, not on the other sources or the proportions.

    Args:
        sources: tokens by name, in memory or on disk.
        batch_size: B, windows a batch (of each rank).
        context: T.
        proportions: by name, in any unit; or stages, a list of Stage, the last of which has no
            end. None takes temperature_shares of the numbers of tokens.
        temperature: of those shares; only without proportions.
        seed: of the draws and the orders.
        rank, world_size: this process takes the rank-th B of each world_size * B windows.

    Raises:
        ValueError: if a size is below 1, a source is shorter than a window and its target, names
            differ, stages are not in order, or the rank is not in 0 .. world_size - 1.

    Cost: 8 bytes a window for the orders of one epoch; a batch reads B (T + 1) tokens.
    Lesson: notebooks/08_schedule.ipynb
    """

    def __init__(
        self,
        sources: Mapping[str, Tokens],
        batch_size: int,
        context: int,
        *,
        proportions: Mapping[str, float] | Sequence[Stage] | None = None,
        temperature: float | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.tokens = {name: as_array(tokens) for name, tokens in sources.items()}
        for name, tokens in self.tokens.items():
            check_sizes(len(tokens), batch_size, context, of=f"source {name!r}: ")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be in 0 .. {world_size - 1}, got {rank}")
        self.stages = _stages({n: len(t) for n, t in self.tokens.items()}, proportions, temperature)
        self.batch_size, self.context, self.seed = batch_size, context, seed
        self.rank, self.world_size = rank, world_size
        self.names = list(self.tokens)
        self.n_windows = {n: (len(t) - 1) // context for n, t in self.tokens.items()}
        self.n_served = 0
        """Windows served so far by all ranks together."""
        self._counts = np.zeros(len(self.names), np.int64)
        self._orders: dict[str, tuple[int, np.ndarray]] = {}

    @property
    def served(self) -> dict[str, int]:
        """Windows served so far of each source, by all ranks together."""
        return dict(zip(self.names, self._counts.tolist(), strict=True))

    @property
    def epochs(self) -> dict[str, float]:
        """How often each source has been read: 1.5 is one and a half times."""
        return {name: n / self.n_windows[name] for name, n in self.served.items()}

    def drawn(self, first: int, n: int) -> np.ndarray:
        """Say which source windows first .. first + n - 1 of the run come from.

        Returns:
            Places in `names`, (n,), int64.
        """
        blocks = range(first // _BLOCK, (first + n - 1) // _BLOCK + 1) if n else ()
        made = [np.random.default_rng([self.seed, 0, block]).random(_BLOCK) for block in blocks]
        u: np.ndarray = np.concatenate([*made, np.empty(0)])[first % _BLOCK :][:n]
        at = np.arange(first, first + n)
        found = np.zeros(n, np.int64)
        start = 0
        for until, proportions in self.stages:
            here = (at >= start) & (at < (math.inf if until is None else until))
            shares = np.array([proportions[name] for name in self.names])
            last = np.flatnonzero(shares)[-1]  # rounding must not draw a source of share 0
            found[here] = np.minimum(shares.cumsum().searchsorted(u[here], "right"), last)
            start = until or 0
        return found

    def skip(self, n_batches: int) -> None:
        """Go on by so many batches without reading them."""
        n = n_batches * self.world_size * self.batch_size
        self._counts += np.bincount(self.drawn(self.n_served, n), minlength=len(self.names))
        self.n_served += n

    def __iter__(self) -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
        return self

    def __next__(self) -> "tuple[torch.Tensor, torch.Tensor]":
        return split(self.take())

    def take(self) -> np.ndarray:
        """Serve a batch as an array, (B, T + 1), int64: the windows and their last targets."""
        drawn = self.drawn(self.n_served, self.world_size * self.batch_size)
        place = np.empty_like(drawn)
        for s in range(len(self.names)):
            here = drawn == s
            place[here] = self._counts[s] + np.arange(here.sum())
        own = slice(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        rows = [
            self._window(self.names[s], int(i)) for s, i in zip(drawn[own], place[own], strict=True)
        ]
        self.skip(1)
        return np.stack(rows)

    def _window(self, name: str, i: int) -> np.ndarray:
        """Cut the i-th window of the endless row of epochs of a source, (T + 1,)."""
        epoch, place = divmod(i, self.n_windows[name])
        if self._orders.get(name, (-1,))[0] != epoch:
            rng = np.random.default_rng([self.seed, 1, zlib.crc32(name.encode()), epoch])
            self._orders[name] = epoch, rng.permutation(self.n_windows[name])
        start = int(self._orders[name][1][place]) * self.context
        return self.tokens[name][start : start + self.context + 1].astype(np.int64)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must keep; all of it numbers and texts that JSON can hold."""
        return {
            "n_served": self.n_served,
            "served": self.served,
            "seed": self.seed,
            "context": self.context,
            "n_tokens": {name: len(tokens) for name, tokens in self.tokens.items()},
            "stages": [[until, dict(proportions)] for until, proportions in self.stages],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where the state was taken. Batch size and number of ranks may be others.

        Raises:
            ValueError: if the state belongs to other sources, proportions, context or seed.
        """
        here = self.state_dict()
        for key in ("seed", "context", "n_tokens", "stages"):
            if state[key] != here[key]:
                raise ValueError(
                    f"this state was taken with {key} {state[key]}, the sampler has {here[key]}: "
                    "resume with the same data and the same settings"
                )
        self.n_served = state["n_served"]
        self._counts = np.array([state["served"][name] for name in self.names], np.int64)


def _stages(
    sizes: Mapping[str, int],
    proportions: Mapping[str, float] | Sequence[Stage] | None,
    temperature: float | None,
) -> list[Stage]:
    """Bring all ways to give proportions into one form, and check it."""
    if proportions is None:
        return [Stage(None, temperature_shares(sizes, 1.0 if temperature is None else temperature))]
    if temperature is not None:
        raise ValueError("give proportions or a temperature, not both")
    given = [Stage(None, proportions)] if isinstance(proportions, Mapping) else list(proportions)
    ends = [stage.until for stage in given[:-1]]
    ordered = None not in ends and all(a < b for a, b in zip([0, *ends], ends, strict=False))  # type: ignore[operator]
    if not given or given[-1].until is not None or not ordered:
        raise ValueError(
            "stages need rising ends, and the last one none (until=None); got "
            f"{[stage.until for stage in given]}"
        )
    for stage in given:
        same_names(sizes, stage.proportions)
    return [Stage(stage.until, normalised(stage.proportions)) for stage in given]

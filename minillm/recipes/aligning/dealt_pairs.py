"""Batches of pairs in such an order that a share of the rows is a share of the pairs.

Shape letters: B pairs of a batch, T positions.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from minillm.align.pair_batches import PairBatches
from minillm.align.reward_training import RewardBatches
from minillm.finetune.chat import IGNORED

NOTHING = -1
"""Stands for IGNORED in targets that are dealt out: the loop weighs ranks by what is not IGNORED,
and here every pair weighs the same, however long its answers."""

Rows = tuple[Tensor, Tensor]
Mix = Callable[[Tensor, Tensor], Rows]


def deal(x: Tensor, y: Tensor, others: Rows | None = None) -> Rows:
    """Put both answers of a pair one below the other, and what a pair needs beside them.

    Args:
        x: (2 B, T), the chosen rows first.
        y: of dpo targets, (2 B, T); of reward lengths and margin, (B, 3).
        others: kto's mismatched rows of the whole batch, ids and targets, (2 B, T').

    Returns:
        x, (2 B, T), the two rows of a pair neighbours; and y of as many rows: (2 B, 3), each row
        of reward's twice; or (2 B, T), with NOTHING for IGNORED; or with others (2 B, 3, T''):
        targets, and their ids and targets.
    """
    rows = _together(x)
    if y.is_floating_point():
        return rows, y.repeat_interleave(2, dim=0)
    if others is not None:
        width = max(part.shape[1] for part in (y, *others))
        fills = (IGNORED, 0, IGNORED)
        wide = [
            F.pad(part, (0, width - part.shape[1]), value=fill)
            for part, fill in zip((y, *others), fills, strict=True)
        ]
        y = torch.stack(wide, dim=1)
    return rows, torch.where(_together(y) == IGNORED, NOTHING, _together(y))


def collect(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Rows | None]:
    """Undo `deal`, of all pairs or of some."""
    rows = _apart(x)
    if y.is_floating_point():
        return rows, y[::2], None
    y = _apart(torch.where(y == NOTHING, IGNORED, y))
    if y.ndim == 2:
        return rows, y, None
    return rows, y[:, 0, : x.shape[1]], (y[:, 1], y[:, 2])


class DealtPairs:
    """Batches of pairs that can be dealt out to ranks; their position is that of the source.

    Args:
        source: of whole batches, the same on every rank.
        mix: makes kto's mismatched rows of a whole batch; None for the other methods.
    """

    def __init__(self, source: RewardBatches | PairBatches, mix: Mix | None = None) -> None:
        self.source, self.mix = source, mix

    def __iter__(self) -> Iterator[Rows]:
        return self

    def __next__(self) -> Rows:
        x, y = next(self.source)
        return deal(x, y, None if self.mix is None else self.mix(x, y))

    def skip(self, n: int) -> None:
        """Leave out n batches."""
        self.source.skip(n)

    def state_dict(self) -> dict[str, int]:
        """Give the position."""
        return self.source.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a position."""
        self.source.load_state_dict(state)


def _together(x: Tensor) -> Tensor:
    """(2 B, ...), the chosen rows first, to pair by pair."""
    return x.unflatten(0, (2, len(x) // 2)).transpose(0, 1).flatten(0, 1)


def _apart(x: Tensor) -> Tensor:
    """(2 B, ...), pair by pair, to the chosen rows first."""
    return x.unflatten(0, (len(x) // 2, 2)).transpose(0, 1).flatten(0, 1)

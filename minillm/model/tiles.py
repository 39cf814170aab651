"""Tiles of the attention square: which are visited, and how much slow memory they move.

Queries are rows, keys are columns. With causality the queries are the last T of the S positions,
so the tiles above the diagonal are never visited, and only those that it crosses need a mask.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor


class Tile(NamedTuple):
    """A block of queries times a block of keys.

    Attributes:
        rows: the queries, from .start to .stop.
        columns: the keys.
        crossed: the causal diagonal runs through it, so that some of its places are hidden.
    """

    rows: slice
    columns: slice
    crossed: bool


def blocks(n: int, size: int) -> list[slice]:
    """Cut n positions into blocks of `size`; the last may be shorter.

    Args:
        n: positions, 0 or more.
        size: of a block, at least 1.

    Returns:
        Slices in order, ceil(n / size) of them.

    Raises:
        ValueError: if the size is not an integer of at least 1.
    """
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"a block must hold at least 1 position, got a size of {size!r}")
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


def visible_columns(rows: slice, T: int, S: int, block_k: int, causal: bool) -> Iterator[Tile]:
    """Walk over the tiles that a block of queries has to visit, from left to right.

    Args:
        rows: the queries.
        T: all queries; the last T of the S positions.
        S: all keys.
        block_k: keys in a tile.
        causal: leave out what lies wholly in the future.

    Yields:
        The tiles.

    Lesson: notebooks/16b_flash_attention.ipynb
    """
    first, last = rows.start + S - T, rows.stop - 1 + S - T  # positions of the outer queries
    for columns in blocks(S, block_k):
        if causal and columns.start > last:
            return
        yield Tile(rows, columns, causal and columns.stop - 1 > first)


def visible_rows(columns: slice, T: int, S: int, block_q: int, causal: bool) -> Iterator[Tile]:
    """Walk over the tiles in which a block of keys is seen, from top to bottom.

    Args:
        columns: the keys.
        T, S: all queries and keys.
        block_q: queries in a tile.
        causal: leave out what lies wholly in the future.

    Yields:
        The tiles; those of visible_columns in another order.

    Lesson: notebooks/16b_flash_attention.ipynb
    """
    for rows in blocks(T, block_q):
        if not causal or columns.start <= rows.stop - 1 + S - T:
            yield Tile(rows, columns, causal and columns.stop - 1 > rows.start + S - T)


@dataclass
class SlowMemory:
    """A ledger of what a tiled loop reads from slow memory and writes to it.

    On a GPU slow memory is the large one beside the chip (HBM), and a tile lives in the small one
    on it (SRAM). In plain torch there is no such difference; the loops say aloud when they would
    cross the border, and this counts it.

    Attributes:
        loaded: numbers read.
        stored: numbers written.
        peak_tile: numbers of the largest set that was reported to be on the chip at once.
    """

    loaded: int = 0
    stored: int = 0
    peak_tile: int = field(default=0, kw_only=True)

    @property
    def moved(self) -> int:
        """Reads and writes together."""
        return self.loaded + self.stored

    def load(self, part: Tensor) -> Tensor:
        """Count a read, and hand the tensor on."""
        self.loaded += part.numel()
        return part

    def store(self, part: Tensor) -> Tensor:
        """Count a write, and hand the tensor on."""
        self.stored += part.numel()
        return part

    def hold(self, *parts: Tensor) -> None:
        """Note that these are on the chip together."""
        self.peak_tile = max(self.peak_tile, sum(part.numel() for part in parts))

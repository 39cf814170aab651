"""Which piece of which document goes into which row: a decision from the lengths alone.

plan_rows_slowly is the definition of first fit and best fit, plan_rows the fast twin; a test holds
them equal. The methods are told at the top of packing.py, which lays out the tokens.
"""

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import NamedTuple

METHODS = ("pad", "cut", "first_fit", "best_fit")


class Piece(NamedTuple):
    """Tokens start .. stop - 1 of a document."""

    document: int
    start: int
    stop: int

    @property
    def length(self) -> int:
        """Tokens in the piece."""
        return self.stop - self.start


Plan = list[list[Piece]]
"""For each row the pieces that lie in it, from left to right."""


def plan_rows(lengths: Sequence[int], row: int, method: str = "best_fit") -> Plan:
    """Decide which piece of which document goes into which row. Looks at lengths only.

        lengths 5, 3, 4, 2 in rows of 6:
        pad        5.   3...   4..   2....      four rows
        cut        5+1  2+4    2                three rows, one document cut
        first_fit  5.   3+2.   4..              three rows
        best_fit   5.   4+2    3...             three rows

    Args:
        lengths: tokens of each document, the end-of-text token among them; 0 is left out.
        row: T, places in a row.
        method: one of METHODS.

    Returns:
        The rows in the order in which they were opened.

    Raises:
        ValueError: if row < 1, a length is negative, or the method is unknown.

    Cost: n log n for n documents; plan_rows_slowly is the definition.
    Source: Ding et al. 2024 (best-fit packing), arXiv:2404.10830; Johnson 1974 (first fit).
    Lesson: notebooks/08_schedule.ipynb
    """
    _check(lengths, row, method)
    if method == "cut":
        return _cut(lengths, row)
    pieces = _pieces(lengths, row)
    if method == "pad":
        return [[piece] for piece in pieces]
    if method == "first_fit":
        return _place_first(pieces, row)
    return _place_best(_longest_first(pieces), row)


def plan_rows_slowly(lengths: Sequence[int], row: int, method: str = "best_fit") -> Plan:
    """Define first_fit and best_fit: try every open row for every piece. See plan_rows.

    Cost: n times R.
    """
    _check(lengths, row, method)
    pieces = _pieces(lengths, row)
    if method == "best_fit":
        pieces = _longest_first(pieces)
    plan: Plan = []
    room: list[int] = []
    for piece in pieces:
        open_rows = [r for r in range(len(plan)) if room[r] >= piece.length]
        if not open_rows:
            plan.append([])
            room.append(row)
            open_rows = [len(plan) - 1]
        best = min(open_rows, key=lambda r: room[r]) if method == "best_fit" else open_rows[0]
        plan[best].append(piece)
        room[best] -= piece.length
    return plan


def _check(lengths: Sequence[int], row: int, method: str) -> None:
    if row < 1:
        raise ValueError(f"a row must have at least 1 place, got {row}")
    if len(lengths) and min(lengths) < 0:
        raise ValueError(f"a document cannot have {min(lengths)} tokens")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")


def _pieces(lengths: Sequence[int], row: int) -> list[Piece]:
    """Cut what is longer than a row into whole rows and a rest."""
    return [
        Piece(i, start, min(start + row, n))
        for i, n in enumerate(lengths)
        for start in range(0, n, row)
    ]


def _longest_first(pieces: list[Piece]) -> list[Piece]:
    return sorted(pieces, key=lambda piece: -piece.length)  # equal lengths keep their order


def _cut(lengths: Sequence[int], row: int) -> Plan:
    plan: Plan = [[]]
    room = row
    for i, n in enumerate(lengths):
        start = 0
        while start < n:
            if room == 0:
                plan.append([])
                room = row
            stop = min(n, start + room)
            plan[-1].append(Piece(i, start, stop))
            room -= stop - start
            start = stop
    return plan if plan[0] else []


def _place_first(pieces: list[Piece], row: int) -> Plan:
    """Place by first fit with a tree whose nodes hold the largest room among the rows below."""
    size = 1 << max(0, len(pieces) - 1).bit_length()
    largest = [row] * (2 * size)  # node k has children 2k, 2k + 1; row r is node size + r
    plan: Plan = [[] for _ in pieces]
    for piece in pieces:
        node = 1
        while node < size:  # rows not yet opened have all their room, so one always fits
            node = 2 * node if largest[2 * node] >= piece.length else 2 * node + 1
        plan[node - size].append(piece)
        largest[node] -= piece.length
        while node > 1:
            node //= 2
            largest[node] = max(largest[2 * node], largest[2 * node + 1])
    return [pieces for pieces in plan if pieces]


def _place_best(pieces: list[Piece], row: int) -> Plan:
    """Place by best fit with a list of rows for each amount of room, and a bit for each list."""
    plan: Plan = []
    rows_with: list[list[int]] = [[] for _ in range(row + 1)]
    bits = 0  # bit k is set where rows_with[k] is not empty
    for piece in pieces:
        fitting = bits >> piece.length
        if fitting:
            room = piece.length + (fitting & -fitting).bit_length() - 1  # the lowest set bit
            r = heappop(rows_with[room])  # the oldest of those
            if not rows_with[room]:
                bits &= ~(1 << room)
        else:
            plan.append([])
            r, room = len(plan) - 1, row
        plan[r].append(piece)
        room -= piece.length
        if room:
            heappush(rows_with[room], r)
            bits |= 1 << room
    return plan

"""Documents of all lengths into rows of one length: four ways, and what each of them wastes.

- "pad": each document in a row of its own, filled up with padding.
- "cut": all documents one behind the other, cut every T tokens. No padding, many cuts.
- "first_fit": in the order of the corpus, each into the first row that still has room for it.
- "best_fit": the longest first, each into the row where it leaves the least room.

A document longer than a row is cut into whole rows and a rest in every method; only "cut" cuts
others as well. No token is lost, none is repeated, and the order inside a document stays.

Which tokens belong together is kept beside the tokens: `documents` for the attention mask
(model.documents), `positions` that start anew with each piece.

Shape letters: R rows, T places in a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minillm.data.row_plan import METHODS, Piece, Plan, plan_rows, plan_rows_slowly

if TYPE_CHECKING:
    import torch

__all__ = [
    "IGNORED",
    "METHODS",
    "PADDING",
    "Packed",
    "Piece",
    "Plan",
    "Waste",
    "count_waste",
    "pack",
    "plan_rows",
    "plan_rows_slowly",
]

PADDING = -1
"""Number of the document in places that hold none."""
IGNORED = -100
"""Target in places that are not to be learned from, as `objectives.causal_loss` reads it."""


@dataclass(frozen=True)
class Waste:
    """What a method of packing costs, counted.

    Lesson: notebooks/08_schedule.ipynb
    """

    n_rows: int
    n_places: int
    """R T."""
    n_padding: int
    """Places without a token: computed, and nothing learned."""
    n_documents: int
    n_cut: int
    """Documents that lie in more than one piece."""
    n_cuts: int
    """Cuts made: pieces minus documents."""
    n_needless: int
    """Cuts that a document of this length would not need: it needs one for each full row."""
    n_pairs: int
    """(query, key) pairs of tokens of a row, the key not later than the query."""
    n_crossing: int
    """Those of the pairs whose two tokens come from different documents."""

    @property
    def padding(self) -> float:
        """Share of the places that hold no token."""
        return self.n_padding / self.n_places if self.n_places else 0.0

    @property
    def crossing(self) -> float:
        """Share of the pairs that cross a boundary, where no mask forbids it."""
        return self.n_crossing / self.n_pairs if self.n_pairs else 0.0


def count_waste(lengths: Sequence[int], row: int, method: str = "best_fit") -> Waste:
    """Count what packing costs, from the lengths alone.

    Args, Raises: as plan_rows.

    Cost: that of plan_rows.
    Lesson: notebooks/08_schedule.ipynb
    """
    plan = plan_rows(lengths, row, method)
    pieces = [piece for rows in plan for piece in rows]
    n_tokens = sum(piece.length for piece in pieces)
    per_document = np.bincount([p.document for p in pieces], minlength=len(lengths))
    needed = sum(max(0, -(-n // row) - 1) for n in lengths)
    n_documents = int((per_document > 0).sum())
    filled = [sum(p.length for p in rows) for rows in plan]
    n_pairs = sum(n * (n + 1) // 2 for n in filled)
    n_within = sum(p.length * (p.length + 1) // 2 for p in pieces)
    return Waste(
        n_rows=len(plan),
        n_places=len(plan) * row,
        n_padding=len(plan) * row - n_tokens,
        n_documents=n_documents,
        n_cut=int((per_document > 1).sum()),
        n_cuts=len(pieces) - n_documents,
        n_needless=len(pieces) - n_documents - needed,
        n_pairs=n_pairs,
        n_crossing=n_pairs - n_within,
    )


@dataclass(frozen=True)
class Packed:
    """Rows of tokens, and beside each token whose it is.

    Lesson: notebooks/08_schedule.ipynb
    """

    tokens: np.ndarray
    """(R, T), int64."""
    documents: np.ndarray
    """Number of the document of each token, (R, T), int64; PADDING where there is none."""
    positions: np.ndarray
    """Place of each token in its piece, from 0, (R, T), int64; 0 in padding."""
    plan: Plan

    def __len__(self) -> int:
        return len(self.tokens)

    def batch(
        self, rows: Sequence[int] | np.ndarray | slice = slice(None)
    ) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
        """Hand out rows as a model needs them.

        Returns:
            x, y and documents, each (B, T - 1), int64. y is the next token of the same document;
            at the last token of a piece and in padding it is IGNORED, because what follows there
            has nothing to do with it.
        """
        import torch

        x, own = (torch.from_numpy(part[rows]) for part in (self.tokens, self.documents))
        same = (own[:, 1:] == own[:, :-1]) & (own[:, 1:] != PADDING)
        y = x[:, 1:].masked_fill(~same, IGNORED)
        return x[:, :-1].contiguous(), y, own[:, :-1].contiguous()


def pack(
    encoded: Sequence[Sequence[int]],
    row: int,
    method: str = "best_fit",
    *,
    end: int,
    padding: int | None = None,
) -> Packed:
    """Lay documents into rows.

        [[1, 2, 3], [4]], end 9, rows of 7, "best_fit":
        tokens     1 2 3 9 4 9 9        documents  0 0 0 0 1 1 -1
        positions  0 1 2 3 0 1 0

    Args:
        encoded: token ids of each document.
        row: T, places in a row.
        method: one of METHODS.
        end: id of the end-of-text token, put behind each document.
        padding: id in places without a token; None means end. Nothing is learned there.

    Returns:
        The rows.

    Raises:
        ValueError: as plan_rows.

    Cost: that of plan_rows, and one copy of the tokens.
    Lesson: notebooks/08_schedule.ipynb
    """
    plan = plan_rows([len(ids) + 1 for ids in encoded], row, method)
    tokens = np.full((len(plan), row), end if padding is None else padding, np.int64)
    documents = np.full((len(plan), row), PADDING, np.int64)
    positions = np.zeros((len(plan), row), np.int64)
    for r, pieces in enumerate(plan):
        at = 0
        for piece in pieces:
            place = slice(at, at + piece.length)
            tokens[r, place] = [*encoded[piece.document], end][piece.start : piece.stop]
            documents[r, place] = piece.document
            positions[r, place] = np.arange(piece.length)
            at += piece.length
    return Packed(tokens, documents, positions, plan)

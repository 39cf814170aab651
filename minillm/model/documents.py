"""Several documents in one row: who may attend to whom, and where each document starts to count.

A row of T places holds tokens of several documents, one behind the other. `documents` numbers
them; a boundary is where the number changes, so any numbers do, and -1 may stand for padding. The
decoder takes them as documents=..., and then treats each document as if it were alone in the row.

Shape letters: B batch, T positions.
"""

import torch
from torch import Tensor


def document_mask(documents: Tensor) -> Tensor:
    """Allow each position to attend within its own document only.

        mask[b, 0, t, s] = no boundary lies between t and s

    Together with causality this is a block-diagonal lower triangle. Lesson 10 draws it.

    Args:
        documents: a number for each place of each row, (B, T), integers.

    Returns:
        True = may attend, (B, 1, T, T), to be broadcast over the heads.

    Raises:
        ValueError: if documents are not (B, T) integers.

    Cost: B T T booleans; made once for all layers.
    Source: Krell et al. 2021, arXiv:2107.02027 (packing without cross-contamination).
    Lesson: notebooks/08_schedule.ipynb
    """
    run = _starts(documents).cumsum(dim=1)  # (B, T): 1 in the first document, 2 in the second ...
    return (run[:, :, None] == run[:, None, :])[:, None]  # (B, 1, T, T)


def document_positions(documents: Tensor) -> Tensor:
    """Count positions anew from 0 in each document.

        [7, 7, 7, 4, 4]  ->  [0, 1, 2, 0, 1]

    Args:
        documents: a number for each place of each row, (B, T), integers.

    Returns:
        Positions, (B, T), int64.

    Raises:
        ValueError: if documents are not (B, T) integers.

    Lesson: notebooks/08_schedule.ipynb
    """
    starts = _starts(documents)
    place = torch.arange(documents.shape[1], device=documents.device).expand(documents.shape)
    return place - place.masked_fill(~starts, 0).cummax(dim=1).values  # (B, T)


def _starts(documents: Tensor) -> Tensor:
    """Say where a document starts, (B, T) booleans; the first place of a row always does."""
    integers = not documents.is_floating_point() and documents.dtype != torch.bool
    if documents.ndim != 2 or not integers:
        raise ValueError(
            "documents must be (B, T) integers, one for each id; got "
            f"{tuple(documents.shape)} {documents.dtype}"
        )
    starts = torch.ones_like(documents, dtype=torch.bool)
    starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return starts

"""Blank infilling, as in GLM: one decoder that reads both ways and writes what is missing.

    text         1 2 3 4 5 6                  blanks: 3 and 5 6
    part A       1 2 [M] 4 [M]                the text with its blanks, read both ways
    part B       [S] 5 6   [S] 3              the spans in random order, written left to right
    targets      5 6 [E]   3 [E]              what each place of part B has to say next
    position 1   0 1 2 3 4   4 4 4   2 2      place in part A, for a span that of its [M]
    position 2   0 0 0 0 0   1 2 3   1 2      place in the span, 0 in part A

L is the length of the text, S the number of spans, A that of part A, T of A and B together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from minillm.model.masks import prefix_mask
from minillm.objectives.blank_spans import document_span, short_spans
from minillm.objectives.masking import IGNORED
from minillm.objectives.text_ids import text_ids


@dataclass(frozen=True)
class Infilling:
    """One text with blanks, ready for a decoder.

    Lesson: notebooks/18_objectives.ipynb
    """

    tokens: np.ndarray
    """(T,), int64: part A, then part B. T = L + 2 S."""
    targets: np.ndarray
    """(T,), int64: -100 in part A."""
    positions: np.ndarray
    """(2, T), int64."""
    n_context: int
    """Tokens in part A."""

    def mask(self) -> Tensor:
        """Who may attend to whom, (T, T), True = may: see hybrid_mask."""
        return hybrid_mask(self.n_context, len(self.tokens))


@dataclass(frozen=True)
class InfillingBatch:
    """Rows of one length for a decoder, B of them.

    Lesson: notebooks/18_objectives.ipynb
    """

    tokens: Tensor
    """(B, T), int64."""
    targets: Tensor
    """(B, T), int64: -100 in part A and in the padding."""
    positions: Tensor
    """(B, 2, T), int64: 0 in the padding."""
    mask: Tensor
    """(B, 1, T, T), booleans: True = may attend; for Decoder.forward with causal=False."""


def hybrid_mask(n_context: int, T: int) -> Tensor:
    """Let part A see all of itself, and part B see all of A and backwards.

        mask[t, s] = s < n_context or s <= t

    This is the mask of a prefix decoder. A span in part B thus sees the spans before it in the
    shuffled order, wherever they stood in the text. With n_context = 1, that is a document of
    [gMASK] alone, it is the causal mask.

    Args:
        n_context: tokens in part A, from 0 to T.
        T: tokens in all.

    Returns:
        (T, T), booleans: True = may attend.

    Raises:
        ValueError: if n_context is not in 0 to T.

    Source: Du et al. 2021 (GLM), arXiv:2103.10360, section 2.1.1 and figure 2 (d).
    Lesson: notebooks/18_objectives.ipynb
    """
    return prefix_mask(torch.tensor([n_context]), T)[0, 0]


def blank_out(
    ids: ArrayLike,
    spans: ArrayLike,
    rng: np.random.Generator | None,
    *,
    mask_id: int,
    start_id: int,
    end_id: int,
) -> Infilling:
    """Turn spans of a text into blanks, and lay out what a decoder reads and has to say.

    Args:
        ids: the text, (L,), without any of the special ids.
        spans: (S, 2), start and end (not included), in the order of the text; see blank_spans.
        rng: shuffles the spans of part B; None leaves them in the order of the text.
        mask_id: of [MASK], or [gMASK] for the end of a document.
        start_id: before each span of part B.
        end_id: the last target of each span.

    Returns:
        The layout at the top of this file.

    Raises:
        ValueError: if the text holds a special id, or spans are none, empty, overlapping, out of
            order or outside the text.

    Cost: O(L).
    Source: Du et al. 2021 (GLM), arXiv:2103.10360, sections 2.1.1 and 2.2.1, figure 2. It counts
        position 1 from 1, its code from 0, as here.
    Lesson: notebooks/18_objectives.ipynb
    """
    text = text_ids(ids, mask_id=mask_id, start_id=start_id, end_id=end_id)
    blanks = _spans(spans, len(text))
    lengths = blanks[:, 1] - blanks[:, 0]
    holes = blanks[:, 0] - (np.cumsum(lengths) - lengths) + np.arange(len(blanks))  # [MASK] in A
    pieces = np.split(text, blanks.ravel())  # shown, hidden, shown, ..., shown
    context = np.concatenate(pieces[::2])
    context = np.insert(context, holes - np.arange(len(holes)), mask_id)
    order = np.arange(len(blanks)) if rng is None else rng.permutation(len(blanks))
    written = [pieces[2 * i + 1] for i in order]
    A, B = len(context), int(lengths.sum()) + len(blanks)
    place = [np.arange(A), *(np.full(lengths[i] + 1, holes[i]) for i in order)]
    within = [np.zeros(A, dtype=np.int64), *(np.arange(lengths[i] + 1) + 1 for i in order)]
    tokens = [context, *(np.append(start_id, span) for span in written)]
    targets = [np.full(A, IGNORED), *(np.append(span, end_id) for span in written)]
    positions = np.stack([np.concatenate(place), np.concatenate(within)])
    assert positions.shape == (2, A + B)
    return Infilling(np.concatenate(tokens), np.concatenate(targets), positions, A)


def fill_in(blanks: Infilling) -> np.ndarray:
    """Put the text together again from targets and positions.

    Args:
        blanks: as blank_out returns it; its targets may be what a model said instead, with the
            end token at the end of each span.

    Returns:
        The text, (L,), int64.

    Cost: O(T S).
    Lesson: notebooks/18_objectives.ipynb
    """
    A = blanks.n_context
    first = np.flatnonzero(blanks.positions[1] == 1)  # where the spans of part B begin
    spans = np.split(blanks.targets, first)[1:]
    holes = blanks.positions[0, first]
    where = dict(zip(holes.tolist(), spans, strict=True))
    return np.concatenate(
        [where[a][:-1] if a in where else blanks.tokens[a : a + 1] for a in range(A)]
    )


def mixed_infilling(
    ids: ArrayLike,
    rng: np.random.Generator,
    *,
    mask_id: int,
    gmask_id: int,
    start_id: int,
    end_id: int,
    gmask_share: float = 0.7,
) -> Infilling:
    """Draw for each text which kind of blank it gets: short spans, or the end of the document.

        [MASK]  for 30 % of the texts: short_spans, 15 % of the tokens
        [gMASK] for 70 % of the texts: document_span, 50 to 100 % of the tokens

    Args:
        ids: the text, (L,), without any of the special ids.
        rng: where the chances come from.
        mask_id: of [MASK].
        gmask_id: of [gMASK].
        start_id: before each span of part B.
        end_id: the last target of each span.
        gmask_share: probability of [gMASK], in [0, 1].

    Returns:
        As blank_out.

    Raises:
        ValueError: if the text holds a special id or gmask_share is not in [0, 1].

    Source: Zeng et al. 2022 (GLM-130B), arXiv:2210.02414, section 2.2; the lengths of document_span
        are those of Du et al. 2021.
    Lesson: notebooks/18_objectives.ipynb
    """
    special = {"mask_id": mask_id, "gmask_id": gmask_id, "start_id": start_id, "end_id": end_id}
    text = text_ids(ids, **special)
    if not 0 <= gmask_share <= 1:
        raise ValueError(f"gmask_share must lie in [0, 1], got {gmask_share}")
    whole = rng.random() < gmask_share
    spans = document_span(len(text), rng) if whole else short_spans(len(text), rng)
    blank = gmask_id if whole else mask_id
    return blank_out(text, spans, rng, mask_id=blank, start_id=start_id, end_id=end_id)


def stack(rows: Sequence[Infilling], T: int, *, pad_id: int) -> InfillingBatch:
    """Lay texts with blanks into rows of one length, padding behind.

    No text sees the padding: it lies to the right of part B, which looks only backwards.

    Args:
        rows: B texts of at most T tokens.
        T: length of a row.
        pad_id: token in the padding.

    Returns:
        The batch, on the CPU.

    Raises:
        ValueError: if there is no row, or one longer than T.

    Cost: the mask takes B T^2 bytes.
    Lesson: notebooks/18_objectives.ipynb
    """
    longest = max((len(row.tokens) for row in rows), default=0)
    if not 1 <= longest <= T:
        raise ValueError(f"need rows of 1 to T={T} tokens, got {len(rows)} rows up to {longest}")
    tokens, targets = np.full((len(rows), T), pad_id), np.full((len(rows), T), IGNORED)
    positions = np.zeros((len(rows), 2, T), dtype=np.int64)
    for b, row in enumerate(rows):
        n = len(row.tokens)
        tokens[b, :n], targets[b, :n], positions[b, :, :n] = row.tokens, row.targets, row.positions
    mask = prefix_mask(torch.tensor([row.n_context for row in rows]), T)
    x, y, places = (torch.from_numpy(values) for values in (tokens, targets, positions))
    return InfillingBatch(x, y, places, mask)


def _spans(spans: ArrayLike, L: int) -> np.ndarray:
    blanks = np.asarray(spans)
    if blanks.ndim != 2 or blanks.shape[1:] != (2,) or not len(blanks) or blanks.dtype.kind != "i":
        raise ValueError(
            f"spans must be (S, 2) integers with S >= 1, got {blanks.shape} of {blanks.dtype}"
        )
    edges = blanks.ravel()
    if edges[0] < 0 or edges[-1] > L or (np.diff(edges) < np.arange(1, len(edges)) % 2).any():
        raise ValueError(
            f"spans must not be empty, overlap or leave the text of {L}, got {blanks.tolist()}"
        )
    return blanks.astype(np.int64)

"""Prefix language modelling: read the first part both ways, then write the rest.

    text        1 2 3 4 5            prefix: 1 2 3
    tokens      1 2 3 4
    targets     - - 4 5              the last token of the prefix says the first of the rest
    may see     1 1 1 0              each row is a query: the prefix sees all of itself,
                1 1 1 0              what follows sees backwards
                1 1 1 0
                1 1 1 1

Every objective that reads something and then writes something fits into such a row: what is read
stands in front. So span corruption, too, can be learned by a decoder alone: read_then_write.

L is the length of the text, T that of a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from minillm.model.decoder import Decoder
from minillm.model.masks import prefix_mask
from minillm.objectives.fused import linear_cross_entropy
from minillm.objectives.masking import IGNORED
from minillm.objectives.text_ids import text_ids


@dataclass(frozen=True)
class PrefixRow:
    """One text for a decoder, the first part of it read both ways.

    Lesson: notebooks/18_objectives.ipynb
    """

    tokens: np.ndarray
    """(T,), int64."""
    targets: np.ndarray
    """(T,), int64: what each place has to say; -100 where nothing is asked."""
    n_context: int
    """Tokens that are read both ways, from 0 (a causal decoder) to T (an encoder)."""

    def mask(self) -> Tensor:
        """Who may attend to whom, (T, T), True = may: see model.prefix_mask."""
        return prefix_mask(torch.tensor([self.n_context]), len(self.tokens))[0, 0]


class Row(Protocol):
    """What PrefixRow and Infilling have in common."""

    @property
    def tokens(self) -> np.ndarray:
        """(T,)."""

    @property
    def targets(self) -> np.ndarray:
        """(T,)."""

    @property
    def n_context(self) -> int:
        """Tokens that are read both ways."""


class Batch(Protocol):
    """What PrefixBatch and InfillingBatch have in common."""

    @property
    def tokens(self) -> Tensor:
        """(B, T)."""

    @property
    def targets(self) -> Tensor:
        """(B, T)."""

    @property
    def mask(self) -> Tensor:
        """(B, 1, T, T)."""


@dataclass(frozen=True)
class PrefixBatch:
    """Rows of one length for a decoder, B of them.

    Lesson: notebooks/18_objectives.ipynb
    """

    tokens: Tensor
    """(B, T), int64."""
    targets: Tensor
    """(B, T), int64: -100 where nothing is asked, and in the padding."""
    mask: Tensor
    """(B, 1, T, T), booleans: True = may attend; for Decoder.forward with causal=False."""


def split_prefix(ids: ArrayLike, n_prefix: int) -> PrefixRow:
    """Lay a text out so that its first tokens are read and the others written.

        tokens = ids[:-1];   targets[t] = ids[t + 1] for t >= n_prefix - 1, else -100

    With n_prefix = 1 this is causal language modelling: mask and targets are the same.

    Args:
        ids: the text, (L,), L >= 2.
        n_prefix: tokens to read, from 1 to L - 1.

    Returns:
        The row, of L - 1 tokens, L - n_prefix of which have something to say.

    Raises:
        ValueError: if ids is not a row of integers, or n_prefix is not in 1 to L - 1.

    Cost: O(L).
    Source: Raffel et al. 2019 (T5), arXiv:1910.10683, section 3.2.1 and figure 3.
    Lesson: notebooks/18_objectives.ipynb
    """
    text = text_ids(ids)
    if not 1 <= n_prefix < len(text):
        raise ValueError(f"n_prefix must lie in 1 to L - 1 = {len(text) - 1}, got {n_prefix}")
    targets = text[1:].copy()
    targets[: n_prefix - 1] = IGNORED
    return PrefixRow(text[:-1], targets, n_prefix)


def prefix_lm(ids: ArrayLike, rng: np.random.Generator) -> PrefixRow:
    """Cut a text at a random place: all places from 1 to L - 1 are equally likely.

    So half of the tokens are learned from, in the mean, where causal language modelling learns
    from all.

    Args:
        ids: the text, (L,), L >= 2.
        rng: where the chance comes from.

    Returns:
        As split_prefix.

    Raises:
        ValueError: if ids is not a row of at least 2 integers.

    Source: Raffel et al. 2019 (T5), arXiv:1910.10683, section 3.3.1 ("prefix language modeling").
    Lesson: notebooks/18_objectives.ipynb
    """
    text = text_ids(ids)
    if len(text) < 2:
        raise ValueError(f"the text must hold at least 2 tokens, got {len(text)}")
    return split_prefix(text, int(rng.integers(1, len(text))))


def read_then_write(inputs: ArrayLike, targets: ArrayLike) -> PrefixRow:
    """Let one decoder read the inputs and write the targets, where T5 has an encoder for the first.

    Args:
        inputs: what denoising.span_corruption or mixture_of_denoisers give first, at least 1 token.
        targets: what they give second, at least 1 token.

    Returns:
        A row of len(inputs) + len(targets) - 1 tokens; all targets are asked for.

    Raises:
        ValueError: if either is empty or no row of integers.

    Lesson: notebooks/18_objectives.ipynb
    """
    read, written = text_ids(inputs), text_ids(targets)
    return split_prefix(np.concatenate([read, written]), len(read))


def stack_prefixes(rows: Sequence[Row], T: int, *, pad_id: int) -> PrefixBatch:
    """Lay rows into one length, padding behind.

    Nobody who has something to say sees the padding, unless a row of n_context = T is padded: the
    context ends where the row ends.

    Args:
        rows: B rows of at most T tokens.
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
    for b, row in enumerate(rows):
        n = len(row.tokens)
        tokens[b, :n], targets[b, :n] = row.tokens, row.targets
    mask = prefix_mask(torch.tensor([row.n_context for row in rows]), T)
    return PrefixBatch(torch.from_numpy(tokens), torch.from_numpy(targets), mask)


def prefix_loss(model: Decoder, batch: Batch) -> Tensor:
    """Average the surprise at what a batch asks for: the loss of every objective with such rows.

    The output matrix is applied only where something is asked: at 15 % of the places that saves
    most of its cost.

    Args:
        model: a Decoder; a TwoDimensionalDecoder if the batch has two-dimensional positions.
        batch: from stack_prefixes or infilling.stack.

    Returns:
        Nats a token, a scalar; 0 if nothing is asked.

    Lesson: notebooks/18_objectives.ipynb
    """
    positions = getattr(batch, "positions", None)
    where = {} if positions is None else {"positions": positions}
    x = model.features(batch.tokens, mask=batch.mask, causal=False, **where)  # (B, T, D)
    asked = batch.targets != IGNORED  # (B, T)
    return linear_cross_entropy(x[asked], model.output_matrix(), batch.targets[asked])

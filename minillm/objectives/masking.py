"""Masked language modelling, as in BERT: hide single tokens, guess them from both sides.

L is the length of the text.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from minillm.objectives.text_ids import text_ids

IGNORED = -100
"""Target in places that are not to be learned from, as `objectives.causal_loss` reads it."""


def mask_tokens(
    ids: ArrayLike,
    rng: np.random.Generator,
    *,
    mask_id: int,
    vocab_size: int,
    special_ids: Sequence[int] = (),
    rate: float = 0.15,
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
) -> tuple[np.ndarray, np.ndarray]:
    """Choose 15 % of the tokens, hide most of them, and ask for all that were chosen.

        chosen = max(1, round(rate L)) places, all sets of them equally likely
        a chosen token becomes   [MASK]            with probability 0.8
                                 a random token    with probability 0.1
                                 itself, unchanged with probability 0.1

    The targets stand at the place of the token itself: nothing is moved by one, as in causal_loss.
    The random token may by chance be the right one, as in BERT.

    Args:
        ids: the text, (L,). It may hold special_ids, but not mask_id.
        rng: where the chances come from.
        mask_id: of [MASK].
        vocab_size: random tokens come from 0 to vocab_size - 1, mask_id and special_ids left out.
        special_ids: such as [CLS] and [SEP]: never chosen, and never a random token.
        rate: share of the tokens that is chosen, special_ids not counted.
        shares: the three probabilities.

    Returns:
        inputs, (L,), and targets, (L,), both int64. targets is -100 where nothing was chosen.

    Raises:
        ValueError: if ids holds mask_id or an id outside the vocabulary or nothing but special
            tokens, rate is not in (0, 1], or shares are not three probabilities that sum to 1.

    Cost: O(L + vocab_size).
    Source: Devlin et al. 2018 (BERT), arXiv:1810.04805, section 3.1 and appendix A.1.
    Lesson: notebooks/18_objectives.ipynb
    """
    text = text_ids(ids, mask_id=mask_id)
    _check(text, mask_id, vocab_size, rate, shares)
    kept = [*special_ids, mask_id]
    ordinary = np.flatnonzero(~np.isin(text, kept))
    words = np.setdiff1d(np.arange(vocab_size), kept)
    if not len(ordinary):
        raise ValueError(f"ids holds nothing but special_ids={list(special_ids)}: none to choose")
    n_chosen = max(1, round(rate * len(ordinary)))
    chosen = rng.choice(ordinary, n_chosen, replace=False)  # (C,)
    fate = rng.choice(3, n_chosen, p=shares)  # (C,): 0 hidden, 1 random, 2 unchanged
    inputs, targets = text.copy(), np.full_like(text, IGNORED)
    targets[chosen] = text[chosen]
    inputs[chosen[fate == 0]] = mask_id
    inputs[chosen[fate == 1]] = rng.choice(words, int((fate == 1).sum()))
    return inputs, targets


def unmask(inputs: ArrayLike, targets: ArrayLike) -> np.ndarray:
    """Put the text together again.

    Args:
        inputs: (L,), as mask_tokens returns them.
        targets: (L,), likewise.

    Returns:
        The text, (L,), int64.

    Raises:
        ValueError: if the two differ in shape.

    Lesson: notebooks/18_objectives.ipynb
    """
    x, y = np.asarray(inputs), np.asarray(targets)
    if x.shape != y.shape:
        raise ValueError(f"inputs and targets must have one shape, got {x.shape} and {y.shape}")
    return np.where(y == IGNORED, x, y).astype(np.int64)


def _check(
    text: np.ndarray, mask_id: int, vocab_size: int, rate: float, shares: Sequence[float]
) -> None:
    if text.max() >= vocab_size:
        raise ValueError(f"ids must lie below vocab_size={vocab_size}, got {text.max()}")
    if mask_id >= vocab_size:
        raise ValueError(f"mask_id must lie below vocab_size={vocab_size}, got {mask_id}")
    if not 0 < rate <= 1:
        raise ValueError(f"rate must lie in (0, 1], got {rate}")
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"shares must be three probabilities that sum to 1, got {shares}")

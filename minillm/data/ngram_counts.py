"""Counting n-grams with arrays: every n-gram gets a row number, its count, and its suffix.

An n-gram w_1 .. w_k is kept as one whole number,

    key = row(w_1 .. w_{k-1}) * n_tokens + w_k

where row is the place of the shorter n-gram in the sorted keys of its own length. So a trigram of
words needs 8 bytes whatever the words are, sorting counts, and a binary search finds.
"""

from dataclasses import dataclass

import numpy as np

ABSENT = -1


@dataclass(frozen=True)
class Grams:
    """All n-grams of one length k of a training text.

    Attributes:
        keys: sorted, int64, (n,); for k = 1 the numbers 0 .. n_tokens - 1 themselves.
        counts: how often each occurs, int64, (n,).
        prefix: row of w_1 .. w_{k-1} among the n-grams of length k - 1, int64, (n,).
        suffix: row of w_2 .. w_k among them, int64, (n,).
        starts: whether w_1 is the start mark, bool, (n,).
    """

    keys: np.ndarray
    counts: np.ndarray
    prefix: np.ndarray
    suffix: np.ndarray
    starts: np.ndarray


def count_grams(tokens: np.ndarray, is_start: np.ndarray, order: int, n_tokens: int) -> list[Grams]:
    """Count the n-grams of length 1 .. order of many texts that stand one behind another.

    Args:
        tokens: numbers below n_tokens, int64, (T,); each text begins with a start mark.
        is_start: where a start mark stands, bool, (T,). No n-gram runs across one, though the
            first of its tokens may be one.
        order: the longest length.
        n_tokens: size of the table of tokens.

    Returns:
        The n-grams of length k at place k - 1.

    Raises:
        ValueError: if keys would not fit into 63 bits.

    Cost: `order` sorts of T numbers; about 40 bytes for each different n-gram.
    Lesson: notebooks/03_quality.ipynb
    """
    places = np.arange(len(tokens))
    age = places - np.maximum.accumulate(np.where(is_start, places, 0))  # tokens since the start
    every = np.arange(n_tokens)
    none = np.zeros(n_tokens, np.int64)
    marks = np.zeros(n_tokens, bool)
    marks[tokens[is_start]] = True
    counts = np.bincount(tokens, minlength=n_tokens)
    grams = [Grams(every, counts, none, none, marks)]
    rows = tokens.astype(np.int64)  # row of the n-gram of the last length that ends at each place
    for k in range(2, order + 1):
        if len(grams[-1].keys) > (1 << 62) // n_tokens:
            raise ValueError(f"{len(grams[-1].keys)} n-grams of {n_tokens} tokens are too many")
        ends = np.flatnonzero(age >= k - 1)
        prefix = rows[ends - 1]
        keys, first, inverse, counts = np.unique(
            prefix * n_tokens + tokens[ends],
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        suffix, starts = rows[ends[first]], age[ends[first]] == k - 1
        grams.append(Grams(keys, counts, prefix[first], suffix, starts))
        rows = np.full(len(tokens), ABSENT, np.int64)
        rows[ends] = inverse
    return grams


def find_rows(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the row of each wanted key among sorted keys, ABSENT (-1) where it is not there."""
    if not len(keys):
        return np.full(len(wanted), ABSENT, np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, ABSENT)


def adjusted_counts(grams: list[Grams]) -> list[np.ndarray]:
    """Return Kneser and Ney's counts: the longest n-grams' own, and kinds of neighbours below.

        a(w_1 .. w_k) = c(w_1 .. w_k)                     if k is the order, or w_1 the start mark
                        |{v : c(v w_1 .. w_k) > 0}|       otherwise (continuation count)

    Args:
        grams: as `count_grams` returns them.

    Returns:
        For each length, int64, (n,). The start mark itself, which is never predicted, has 0.

    Source: Heafield et al. 2013, Scalable Modified Kneser-Ney Language Model Estimation,
        on adjusted counts.
    Lesson: notebooks/03_quality.ipynb
    """
    found = []
    for k, gram in enumerate(grams):
        counts = gram.counts
        if k + 1 < len(grams):
            kinds = np.bincount(grams[k + 1].suffix, minlength=len(gram.keys))
            counts = np.where(gram.starts, gram.counts, kinds)
        found.append(np.where(gram.starts, 0, counts) if k == 0 else counts)
    return found


def closed_form_discounts(adjusted: np.ndarray) -> tuple[float, float, float] | None:
    """Return the three discounts of Chen and Goodman for one length of n-gram.

        Y = n_1 / (n_1 + 2 n_2),   D_1 = 1 - 2 Y n_2/n_1,   D_2 = 2 - 3 Y n_3/n_2,
        D_3+ = 3 - 4 Y n_4/n_3,    n_i = how many n-grams have the count i

    Args:
        adjusted: adjusted counts of the n-grams, (n,).

    Returns:
        D_1, D_2, D_3+; None where the formula has no answer (a division by zero, or a discount
        that is not over 0 or is over what it is taken from).

    Source: Chen and Goodman 1999, An empirical study of smoothing techniques for language modeling,
        Computer Speech and Language 13 (modified Kneser-Ney smoothing).
    Lesson: notebooks/03_quality.ipynb
    """
    n1, n2, n3, n4 = (int((adjusted == i).sum()) for i in (1, 2, 3, 4))
    if not (n1 and n2 and n3):
        return None
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return found if all(0 < d <= i for i, d in enumerate(found, 1)) else None

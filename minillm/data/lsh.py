"""Locality-sensitive hashing (局部敏感哈希): find the similar pairs without comparing all pairs.

A signature of b r places is cut into b bands of r rows. Two texts become candidates if they agree
in all rows of at least one band. With similarity s

    one row agrees           s
    a whole band agrees      s^r
    no band agrees           (1 - s^r)^b
    candidates               1 - (1 - s^r)^b        the S-curve; half-way near s = (1/b)^(1/r)
"""

import math
from collections.abc import Sequence

import numpy as np


def candidate_probability(similarity: float, n_bands: int, n_rows: int) -> float:
    """The S-curve: how likely two texts become candidates.

        P(s) = 1 - (1 - s^r)^b

    Args:
        similarity: s, the Jaccard similarity, in [0, 1].
        n_bands: b.
        n_rows: r, rows in a band.

    Returns:
        A probability; it rises with s and with b, and falls with r.

    Raises:
        ValueError: if the similarity is not in [0, 1], or a count is below 1.

    Source: Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4.2.
    Lesson: notebooks/04_dedup.ipynb
    """
    if not 0 <= similarity <= 1:
        raise ValueError(f"a similarity lies between 0 and 1, got {similarity}")
    _check(n_bands, n_rows)
    return 1 - (1 - similarity**n_rows) ** n_bands


def half_way(n_bands: int, n_rows: int) -> float:
    """The similarity at which a pair becomes a candidate half of the time, exactly.

        P(s) = 1/2   at   s = (1 - 2^(-1/b))^(1/r)

    The usual rule of thumb (1/b)^(1/r) lies a little higher, where P = 1 - (1 - 1/b)^b, about 63 %.

    Raises:
        ValueError: if a count is below 1.

    Lesson: notebooks/04_dedup.ipynb
    """
    _check(n_bands, n_rows)
    return float((1 - 2 ** (-1 / n_bands)) ** (1 / n_rows))


def choose_bands(
    n_hashes: int, threshold: float, *, cost_missed: float = 0.5, n_steps: int = 1000
) -> tuple[int, int]:
    """Choose the bands whose S-curve errs least around a threshold.

        false candidates   F = integral of P(s) from 0 to threshold
        missed pairs       M = integral of 1 - P(s) from threshold to 1
        minimise           (1 - cost_missed) F + cost_missed M      over b, r with b r <= n_hashes

    False candidates cost a comparison each; missed pairs stay in the corpus. So where candidates
    are verified a cost_missed of 0.9 is wiser than one half.

    Args:
        n_hashes: length of the signatures; b r may be smaller.
        threshold: the similarity from which texts count as near duplicates, in (0, 1].
        cost_missed: weight of a missed pair, in [0, 1].
        n_steps: of the integration.

    Returns:
        (n_bands, n_rows); of equally good ones the first in order of b, then r.

    Raises:
        ValueError: if n_hashes < 1, or threshold or cost_missed is out of its range.

    Cost: all pairs of b and r, about n_hashes log n_hashes, times n_steps.
    Source: Zhu et al. 2016, LSH Ensemble, for sets of one size; `datasketch` does the same.
    Lesson: notebooks/04_dedup.ipynb
    """
    if n_hashes < 1:
        raise ValueError(f"n_hashes must be at least 1, got {n_hashes}")
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold must lie in (0, 1], got {threshold}")
    if not 0 <= cost_missed <= 1:
        raise ValueError(f"cost_missed must lie between 0 and 1, got {cost_missed}")
    middle = (np.arange(n_steps) + 0.5) / n_steps  # of each step of the integration
    below, above = threshold * middle, threshold + (1 - threshold) * middle
    best, choice = math.inf, (1, 1)
    for b in range(1, n_hashes + 1):
        for r in range(1, n_hashes // b + 1):
            false = threshold * float((1 - (1 - below**r) ** b).mean())
            missed = (1 - threshold) * float(((1 - above**r) ** b).mean())
            cost = (1 - cost_missed) * false + cost_missed * missed
            if cost < best:
                best, choice = cost, (b, r)
    return choice


def bands(signature: Sequence[int] | np.ndarray, n_bands: int) -> list[tuple[int, ...]]:
    """Cut one signature into its bands: the keys under which a text is filed.

    Args:
        signature: (n_hashes,), whole numbers.
        n_bands: b; r = n_hashes // b rows in each, places that are left over are not used.

    Returns:
        b keys, each (number of the band, value, value, ...), so that equal values in different
        bands do not meet.

    Raises:
        ValueError: if n_bands is below 1 or above n_hashes.

    Lesson: notebooks/04_dedup.ipynb
    """
    values = np.asarray(signature).tolist()
    r = n_rows(len(values), n_bands)
    return [(i, *values[i * r : (i + 1) * r]) for i in range(n_bands)]


def n_rows(n_hashes: int, n_bands: int) -> int:
    """Rows in each of n_bands bands of a signature: n_hashes // n_bands.

    Raises:
        ValueError: if n_bands is below 1 or above n_hashes.

    Lesson: notebooks/04_dedup.ipynb
    """
    if not 1 <= n_bands <= n_hashes:
        raise ValueError(
            f"n_bands must lie between 1 and n_hashes={n_hashes} (a band needs a row), "
            f"got {n_bands}"
        )
    return n_hashes // n_bands


def candidates_readable(signatures: np.ndarray, n_bands: int) -> set[tuple[int, int]]:
    """All pairs that agree in at least one band, by a dict of buckets: the definition.

    Args:
        signatures: (N, n_hashes).
        n_bands: b.

    Returns:
        Pairs (i, j) with i < j.

    Raises:
        ValueError: as `bands`.

    Lesson: notebooks/04_dedup.ipynb
    """
    buckets: dict[tuple[int, ...], list[int]] = {}
    for i, signature in enumerate(signatures):
        for key in bands(signature, n_bands):
            buckets.setdefault(key, []).append(i)
    return {(i, j) for found in buckets.values() for j in found for i in found if i < j}


def candidates(signatures: np.ndarray, n_bands: int) -> np.ndarray:
    """All pairs that agree in at least one band, by sorting; as `candidates_readable`.

    Args:
        signatures: (N, n_hashes), uint32.
        n_bands: b.

    Returns:
        Pairs i < j in order, each once, (M, 2), int64.

    Raises:
        ValueError: as `bands`.

    Cost: b sorts of N keys; a bucket of m texts gives m (m - 1) / 2 pairs, so equal texts are best
        taken out before, as `near_duplicates` does.
    Lesson: notebooks/04_dedup.ipynb
    """
    n, n_hashes = signatures.shape
    r = n_rows(n_hashes, n_bands)
    found = [np.empty(0, np.int64)]
    for band in range(n_bands):
        part = np.ascontiguousarray(signatures[:, band * r : (band + 1) * r], np.uint32)
        keys = part.view(np.dtype((np.void, 4 * r))).ravel()
        _, bucket = np.unique(keys, return_inverse=True)
        found.append(_pairs_within(bucket.ravel(), n))
    codes = np.unique(np.concatenate(found))
    return np.stack([codes // max(n, 1), codes % max(n, 1)], axis=1)


def _pairs_within(bucket: np.ndarray, n: int) -> np.ndarray:
    """Every pair i < j of equal entries, as the one number i n + j."""
    order = np.argsort(bucket, kind="stable")
    sizes = np.bincount(bucket, minlength=1)
    ends = np.cumsum(sizes)
    shared = np.flatnonzero(sizes > 1)
    out = [np.empty(0, np.int64)]
    for size in np.unique(sizes[shared]).tolist():  # all buckets of one size at a time
        starts = ends[shared[sizes[shared] == size]] - size
        members = order[starts[:, None] + np.arange(size)]
        left, right = np.triu_indices(size, 1)
        out.append((members[:, left].astype(np.int64) * n + members[:, right]).ravel())
    return np.concatenate(out)


def _check(n_bands: int, rows: int) -> None:
    if n_bands < 1 or rows < 1:
        raise ValueError(f"bands and rows must be at least 1, got {n_bands} and {rows}")

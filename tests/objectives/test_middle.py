"""Fill in the middle: by hand, round trip, and how the middle is drawn."""

import numpy as np
import pytest
from scipy.stats import chisquare

from minillm.objectives.middle import fill_in_the_middle, middle_last

P, S, M, E = 90, 91, 92, 93
MARKS = {"prefix_id": P, "suffix_id": S, "middle_id": M, "end_id": E}


def parts(row):
    """Prefix, middle and suffix of a rearranged text."""
    row = row.tolist()
    s, m = row.index(S), row.index(M)
    assert (row[0], row[-1]) == (P, E)
    return row[1:s], row[m + 1 : -1], row[s + 1 : m]


def test_by_hand():
    row = middle_last([1, 2, 3, 4, 5, 6], 2, 4, **MARKS)
    assert row.tolist() == [P, 1, 2, S, 5, 6, M, 3, 4, E]
    assert row.dtype == np.int64
    assert middle_last([1], 0, 1, **MARKS).tolist() == [P, S, M, 1, E]
    assert middle_last([1], 1, 1, **MARKS).tolist() == [P, 1, S, M, E]


def test_round_trip_and_share():
    rng, ids = np.random.default_rng(0), np.arange(5)
    rows = [fill_in_the_middle(ids, rng, **MARKS) for _ in range(1200)]
    moved = [row for row in rows if P in row]
    assert all(row.tolist() == ids.tolist() for row in rows if P not in row)
    assert abs(len(moved) - 600) < 5 * 300**0.5
    for row in moved:
        left, middle, right = parts(row)
        assert left + middle + right == ids.tolist()
    # two ends out of 0..5: 6 ways with an empty middle, 30 / 2 others twice as likely each
    counts = {}
    for row in moved:
        left, middle, _ = parts(row)
        counts[len(left), len(middle)] = counts.get((len(left), len(middle)), 0) + 1
    ways = [(a, n) for a in range(6) for n in range(6 - a)]
    expected = np.array([1 if n == 0 else 2 for _, n in ways]) / 36 * len(moved)
    assert chisquare([counts.get(way, 0) for way in ways], expected).pvalue > 1e-4


def test_always_and_never():
    rng = np.random.default_rng(0)
    assert all(P in fill_in_the_middle([1, 2], rng, share=1.0, **MARKS) for _ in range(20))
    assert all(P not in fill_in_the_middle([1, 2], rng, share=0.0, **MARKS) for _ in range(20))
    one, two = (fill_in_the_middle(range(9), np.random.default_rng(4), **MARKS) for _ in range(2))
    assert one.tolist() == two.tolist()


@pytest.mark.parametrize(("start", "end"), [(-1, 1), (2, 1), (0, 4)])
def test_places_refused(start, end):
    with pytest.raises(ValueError, match=rf"<= L=3, got {start} and {end}"):
        middle_last([1, 2, 3], start, end, **MARKS)


def test_refused():
    with pytest.raises(ValueError, match="suffix_id=91 occurs in the text, at position 1"):
        middle_last([1, S], 0, 1, **MARKS)
    with pytest.raises(ValueError, match="end_id=93 occurs in the text"):
        fill_in_the_middle([E], np.random.default_rng(0), **MARKS)
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\], got 2"):
        fill_in_the_middle([1], np.random.default_rng(0), share=2, **MARKS)

"""Bands and candidates: the S-curve, the choice of b and r, sorting against buckets."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.data.lsh import (
    bands,
    candidate_probability,
    candidates,
    candidates_readable,
    choose_bands,
    half_way,
    n_rows,
)
from minillm.data.minhash import signature


def test_s_curve_by_hand():
    assert candidate_probability(0.5, 2, 2) == 1 - (1 - 0.25) ** 2
    assert candidate_probability(0.8, 20, 5) == pytest.approx(0.99964, abs=1e-5)  # MMDS, 3.4.2
    assert candidate_probability(0.2, 20, 5) == pytest.approx(0.006, abs=5e-4)
    assert candidate_probability(0, 20, 5) == 0
    assert candidate_probability(1, 20, 5) == 1


def test_half_way():
    for b, r in ((20, 5), (16, 8), (1, 1), (1, 7)):
        assert candidate_probability(half_way(b, r), b, r) == pytest.approx(0.5)
    assert half_way(20, 5) < (1 / 20) ** (1 / 5)


@pytest.mark.parametrize(("b", "r"), [(20, 5), (4, 8)])
@pytest.mark.parametrize("j", [1 / 4, 1 / 2, 3 / 5, 4 / 5])
def test_s_curve_is_measured(b, r, j):
    """1 000 fresh draws of hash functions: the rate lies within four standard errors."""
    shared, n = round(60 * j), 1000
    alone = (60 - shared) // 2
    sets = [{f"s{i}" for i in range(shared)} | {f"{c}{i}" for i in range(alone)} for c in "ab"]
    j = shared / (shared + 2 * alone)
    one, two = (signature(s, n * b * r, seed=b) for s in sets)
    hits = (one == two).reshape(n, b, r).all(axis=2).any(axis=1)
    wanted = candidate_probability(j, b, r)
    error = math.sqrt(wanted * (1 - wanted) / n)
    assert abs(hits.mean() - wanted) <= 4 * error + 1e-12
    if 0.1 < wanted < 0.9:  # and the curve of one row more or less lies outside
        for other in (r - 1, r + 1):
            assert abs(hits.mean() - candidate_probability(j, b, other)) > 4 * error


def test_bands_by_hand():
    assert bands([1, 2, 3, 4, 5, 6, 7], 3) == [(0, 1, 2), (1, 3, 4), (2, 5, 6)]
    assert bands([7, 7], 2) == [(0, 7), (1, 7)]
    assert n_rows(128, 16) == 8


def test_candidates_by_hand():
    signed = np.array([[1, 2, 3, 4], [1, 2, 9, 9], [8, 8, 3, 4], [3, 4, 1, 2]], np.uint32)
    assert candidates(signed, 2).tolist() == [[0, 1], [0, 2]]  # text 3: other bands
    assert candidates(signed, 1).tolist() == []
    assert candidates_readable(signed, 2) == {(0, 1), (0, 2)}
    assert candidates(signed, 4).tolist() == [[0, 1], [0, 2]]


@given(
    st.integers(1, 3).flatmap(
        lambda width: st.lists(
            st.lists(st.integers(0, 2), min_size=2 * width, max_size=2 * width), max_size=9
        )
    ),
    st.integers(1, 2),
)
@settings(max_examples=150, deadline=None)
def test_sorting_finds_what_buckets_find(rows, n_bands):
    signed = np.array(rows, np.uint32).reshape(len(rows), -1 if rows else 2)
    found = candidates(signed, n_bands)
    assert found.dtype == np.int64
    pairs = [tuple(pair) for pair in found.tolist()]
    assert pairs == sorted(set(pairs))
    assert set(pairs) == candidates_readable(signed, n_bands)


def test_choose_bands_equals_datasketch():
    lsh = pytest.importorskip("datasketch.lsh")
    for n_hashes, threshold in ((24, 0.8), (16, 0.5), (9, 0.3)):
        for missed in (0.5, 0.9):
            theirs = lsh._optimal_param(threshold, n_hashes, 1 - missed, missed)
            assert choose_bands(n_hashes, threshold, cost_missed=missed) == theirs


def test_choose_bands_weighs():
    b, r = choose_bands(128, 0.8)
    careful = choose_bands(128, 0.8, cost_missed=0.95)
    assert candidate_probability(0.8, *careful) > candidate_probability(0.8, b, r)
    assert b * r <= 128
    assert choose_bands(1, 0.5) == (1, 1)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: candidate_probability(1.2, 2, 2), "got 1.2"),
        (lambda: candidate_probability(0.5, 0, 2), "got 0 and 2"),
        (lambda: half_way(2, 0), "got 2 and 0"),
        (lambda: choose_bands(0, 0.5), "n_hashes must be at least 1"),
        (lambda: choose_bands(8, 0), "threshold must lie"),
        (lambda: choose_bands(8, 0.5, cost_missed=2), "cost_missed"),
        (lambda: bands([1, 2], 3), "n_bands must lie between 1 and n_hashes=2"),
        (lambda: candidates(np.zeros((2, 4), np.uint32), 0), "got 0"),
    ],
)
def test_errors(call, said):
    with pytest.raises(ValueError, match=said):
        call()

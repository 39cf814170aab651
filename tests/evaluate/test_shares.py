"""The interval of a share: against a second formula, and at its edges."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from minillm.evaluate.shares import share_interval


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_it_is_scipys_wilson_interval(hits):
    found = share_interval(*hits)
    wanted = binomtest(*hits).proportion_ci(0.95, method="wilson")
    assert found.value == hits[0] / hits[1]
    assert found.low == pytest.approx(wanted.low, abs=1e-9)
    assert found.high == pytest.approx(wanted.high, abs=1e-9)
    assert found.n == hits[1]


def test_its_ends_solve_the_score_equation():
    found = share_interval(30, 40)
    for p in (found.low, found.high):
        assert abs(0.75 - p) / math.sqrt(p * (1 - p) / 40) == pytest.approx(1.959964, abs=1e-5)


def test_all_or_nothing_still_has_a_width():
    assert share_interval(20, 20).low < 0.9
    assert share_interval(0, 20).high > 0.1


def test_a_higher_level_is_wider():
    assert share_interval(5, 10, 0.99).low < share_interval(5, 10).low


@pytest.mark.parametrize(("hits", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_counts_that_cannot_be_are_refused(hits, n):
    with pytest.raises(ValueError, match=f"got {hits} of {n}"):
        share_interval(hits, n)


def test_a_level_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"level must lie between 0 and 1, got 1"):
        share_interval(1, 2, 1.0)

"""Calibration: rewards that are right by construction, brute force, and scipy for the scale."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import optimize

from minillm.align.annotators import Annotator, annotate
from minillm.align.calibration import (
    accuracy_by_rating,
    best_accuracy,
    calibration_error,
    expected_by_chance,
    fit_scale,
    gaps_of,
    mean_nll,
    preference_accuracy,
    reliability,
)
from minillm.evaluate.shares import share_interval

N = 20_000


def believable(scale=1.0, n=N, seed=0):
    """Gaps of a model that knows the utilities, times a factor: 1 is calibrated."""
    u = np.random.default_rng(seed).normal(scale=1.5, size=(n, 2))
    first = annotate(u, [Annotator("a")], seed=seed).first[:, 0]
    return scale * np.where(first, 1, -1) * (u[:, 0] - u[:, 1])


gap_lists = st.lists(st.floats(-6, 6), min_size=1, max_size=30)


@given(gap_lists, st.integers(1, 7))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_error_is_brute_force(gaps, n_bins):
    """Every gap is put into its bin by hand."""
    groups = {}
    for gap in gaps:
        sure = 1 / (1 + math.exp(-abs(gap)))
        k = min(int((sure - 0.5) / 0.5 * n_bins + 1e-12), n_bins - 1)
        groups.setdefault(k, []).append((sure, (gap > 0) + 0.5 * (gap == 0)))
    expected = sum(
        abs(sum(right for _, right in g) - sum(sure for sure, _ in g)) for g in groups.values()
    ) / len(gaps)
    edge = any(
        abs((1 / (1 + math.exp(-abs(g))) - 0.5) * 2 * n_bins % 1 - 0.5) > 0.5 - 1e-9 for g in gaps
    )
    if not edge or n_bins == 1:  # on a border rounding decides
        assert calibration_error(np.array(gaps), n_bins) == pytest.approx(expected, abs=1e-9)
    bins = reliability(np.array(gaps), n_bins)
    assert sum(one.n for one in bins) == len(gaps)
    assert all(one.low - 1e-12 <= one.confidence <= one.high + 1e-12 for one in bins)


def test_a_border_belongs_to_the_upper_bin():
    (only,) = reliability(np.array([math.log(3)]), 2)  # sigma is 0.75
    assert (only.low, only.high) == (0.75, 1.0)
    (low,) = reliability(np.array([0.0]), 2)
    assert (low.low, low.confidence, low.accuracy) == (0.5, 0.5, 0.5)  # a tie is half right


def test_a_model_that_knows_the_utilities_is_calibrated():
    gaps = believable()
    assert calibration_error(gaps) < 2.5 * expected_by_chance(gaps, n_draws=20)
    for one in reliability(gaps):
        assert abs(one.accuracy - one.confidence) < 5 * math.sqrt(0.25 / one.n)
    loud = believable(scale=3.0)
    assert calibration_error(loud) > 10 * expected_by_chance(loud, n_draws=20)
    assert preference_accuracy(loud) == preference_accuracy(gaps)  # the order is the same


def test_chance_alone_gives_few_pairs_an_error():
    few, many = believable(n=50), believable(n=2000)
    assert expected_by_chance(few) > 3 * expected_by_chance(many, n_draws=30)
    assert expected_by_chance(few, seed=1) == expected_by_chance(few, seed=1)
    sure = np.full(10, 40.0)
    assert expected_by_chance(sure) == pytest.approx(0, abs=1e-9)  # chance has no say


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_scale_is_found_again(scale):
    gaps = believable(scale=scale, seed=1)
    found = fit_scale(gaps)
    assert found == pytest.approx(1 / scale, rel=0.05)
    best = optimize.minimize_scalar(lambda s: mean_nll(gaps, s), bounds=(0, 10), method="bounded",
                                    options={"xatol": 1e-9})  # fmt: skip
    assert found == pytest.approx(best.x, rel=1e-4)
    assert mean_nll(gaps, found) <= best.fun + 1e-12
    assert calibration_error(found * gaps) < 0.02


def test_where_nothing_was_learned_the_scale_is_zero():
    assert fit_scale(np.array([1.0, -1.0, -0.5])) == 0.0
    assert fit_scale(np.array([0.1, -1e-3])) > 20
    assert mean_nll(np.array([2.0, -1.0]), 0.0) == pytest.approx(math.log(2))
    assert mean_nll(np.array([2.0])) == pytest.approx(math.log1p(math.exp(-2)))


def test_accuracy_by_rating_by_hand():
    gaps = np.array([1.0, 2.0, -1.0, 0.0, 3.0, -2.0])
    found = accuracy_by_rating(gaps, [3, 3, 3, 0, 0, 1])
    assert list(found) == [3, 1, 0]  # the clearest first; nobody said 2
    assert found[3] == share_interval(2, 3)
    assert found[0] == share_interval(1, 2)  # a tie is not right
    assert found[1] == share_interval(0, 1)
    assert accuracy_by_rating(gaps, [3] * 6, level=0.5)[3] == share_interval(3, 6, 0.5)
    assert preference_accuracy(gaps) == pytest.approx(3.5 / 6)


def test_clear_preferences_are_agreed_with_more_often():
    u = np.random.default_rng(3).normal(scale=1.5, size=(N, 2))
    one = Annotator("a")
    labels = annotate(u, [one], seed=3)
    gaps = np.where(labels.first[:, 0], 1, -1) * (u[:, 0] - u[:, 1])
    by_rating = accuracy_by_rating(gaps, labels.ratings[:, 0].tolist())
    values = [by_rating[rating].value for rating in (3, 2, 1, 0)]
    assert values == sorted(values, reverse=True)
    ceiling = best_accuracy(one.probabilities(u))
    assert preference_accuracy(gaps) == pytest.approx(ceiling, abs=0.015)
    assert best_accuracy(np.array([0.2, 0.9, 0.5])) == pytest.approx((0.8 + 0.9 + 0.5) / 3)


def test_gaps_are_differences():
    assert gaps_of([1.0, 2.0], [0.5, 3.0]).tolist() == [0.5, -1.0]


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: gaps_of([1.0], [1.0, 2.0]), r"\(1,\) and \(2,\)"),
        (lambda: gaps_of([1.0, math.nan], [0.0, 0.0]), "number 1 is not finite"),
        (lambda: preference_accuracy(np.zeros(0)), "N >= 1"),
        (lambda: reliability(np.zeros(3), 0), "n_bins must be at least 1, got 0"),
        (lambda: accuracy_by_rating(np.zeros(2), [1]), "for each of 2 pairs"),
        (lambda: accuracy_by_rating(np.zeros(2), [1, 4]), r"\[1, 4\]"),
        (lambda: expected_by_chance(np.zeros(2), n_draws=0), "n_draws must be"),
        (lambda: fit_scale(np.array([1.0, 2.0])), "right order.*infinite"),
        (lambda: best_accuracy(np.array([1.2])), r"in 0 \.\. 1"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()

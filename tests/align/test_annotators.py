"""Annotators: frequencies against their probabilities, and who depends on whose dice."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import special, stats

from minillm.align.annotators import (
    STEPS,
    Annotator,
    Labels,
    annotate,
    choice_probability,
    gumbel_choice,
)

N = 40_000


def same(gap, n=N):
    """N pairs with one gap."""
    return np.tile([gap, 0.0], (n, 1))


def within(share, p, n=N, sigmas=4.5):
    return abs(share - p) <= sigmas * math.sqrt(p * (1 - p) / n) + 1e-12


@given(st.floats(-700, 700), st.floats(0.1, 10))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_probability_is_the_logistic_one(gap, noise):
    found = float(choice_probability(np.array(gap), noise))
    assert found == pytest.approx(float(special.expit(gap / noise)), abs=1e-15)
    assert found + float(choice_probability(np.array(-gap), noise)) == pytest.approx(1, abs=1e-15)


def test_without_noise_the_better_answer_wins():
    assert choice_probability(np.array([-1e-9, 0.0, 2.0]), 0).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(("gap", "noise"), [(0.7, 1.0), (0.7, 3.0), (-1.5, 0.5)])
def test_choices_come_as_often_as_they_should(gap, noise):
    p = special.expit(gap / noise)
    labels = annotate(same(gap), [Annotator("a", noise=noise)], seed=1)
    assert within(labels.first.mean(), p)
    taken = gumbel_choice(same(gap), noise, np.random.default_rng(2))
    assert within((taken == 0).mean(), p)  # both ways of noise are one model
    assert not within(labels.first.mean(), special.expit(gap / noise / 2))  # ... it can be seen


def test_gumbel_noise_over_many_answers_is_softmax():
    u, noise = np.array([0.0, 1.0, -0.5, 2.0]), 1.7
    taken = gumbel_choice(np.tile(u, (N, 1)), noise, np.random.default_rng(3))
    counts = np.bincount(taken, minlength=4)
    expected = N * special.softmax(u / noise)
    assert stats.chisquare(counts, expected).pvalue > 1e-4
    assert gumbel_choice(u[None], 0.0, np.random.default_rng(0)).tolist() == [3]


def test_bias_and_slip_move_the_probability():
    one = Annotator("a", noise=2.0, bias={"length": 0.5, "rude": -1.0}, slip=0.3)
    features = {"length": same(3.0), "rude": same(0.5), "unused": same(9.0)}
    p = 0.7 * special.expit((0.4 + 0.5 * 3.0 - 0.5) / 2) + 0.15
    assert one.probabilities(same(0.4), features)[0] == pytest.approx(p, rel=1e-12)
    labels = annotate(same(0.4), [one], seed=4, features=features)
    assert within(labels.first.mean(), p)


def test_a_slip_knows_nothing():
    labels = annotate(same(50.0), [Annotator("a", slip=1.0)], seed=5)
    assert within(labels.first.mean(), 0.5)
    assert Annotator("a", slip=1.0).probabilities(same(50.0, 1)) == pytest.approx([0.5])


def test_ratings_follow_the_perceived_gap():
    gaps = [0.0, 0.4, 0.5, 1.4, -1.5, 2.9, -3.0, 9.0]
    labels = annotate(np.array([[g, 0.0] for g in gaps]), [Annotator("a", noise=0.0)], seed=1)
    assert labels.ratings[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert labels.first[1:, 0].tolist() == [g > 0 for g in gaps[1:]]
    own = annotate(same(2.0, 1), [Annotator("a", noise=0.0, steps=(1.0, 3.0, 4.0))], seed=1)
    assert own.ratings.tolist() == [[1]]
    noisy = annotate(same(1.0), [Annotator("a", noise=1.5)], seed=7)
    for rating, (low, high) in enumerate(zip((0, *STEPS), (*STEPS, np.inf), strict=True)):
        law = stats.logistic(loc=1.0, scale=1.5)
        p = law.cdf(high) - law.cdf(low) + law.cdf(-low) - law.cdf(-high)
        assert within((noisy.ratings[:, 0] == rating).mean(), p)


def test_clear_preferences_are_right_more_often():
    labels = annotate(same(1.0), [Annotator("a")], seed=8)
    right = [labels.first[labels.ratings == rating].mean() for rating in range(4)]
    assert right == sorted(right)
    assert right[3] - right[0] > 0.3


def test_an_annotator_has_its_own_dice():
    b = Annotator("b", slip=0.5)  # which are slips must not depend on what follows, either
    u = np.random.default_rng(0).normal(size=(50, 2))
    both = annotate(u, [Annotator("a"), b], seed=1)
    alone = annotate(u, [b], seed=1)
    assert (both.first[:, 1] == alone.first[:, 0]).all()
    assert (both.first[:, 0] != both.first[:, 1]).any()
    fewer = annotate(u[:20], [b], seed=1)
    assert (fewer.first == alone.first[:20]).all()
    assert (fewer.ratings == alone.ratings[:20]).all()
    assert (annotate(u, [b], seed=2).first != alone.first).any()
    assert (annotate(u, [b], seed=1).first == alone.first).all()


def test_equal_answers_are_decided_by_chance():
    labels = annotate(np.zeros((4000, 2)), [Annotator("a", noise=0.0)], seed=1)
    assert within(labels.first.mean(), 0.5, 4000)
    assert (labels.ratings == 0).all()


def test_agreement_and_majority_by_hand():
    first = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1], [0, 0, 0]], dtype=bool)
    labels = Labels(first, np.zeros((4, 3), int), ("a", "b", "c"))
    pairs = [(i, j) for i in range(3) for j in range(i)]
    brute = np.mean([[row[i] == row[j] for i, j in pairs] for row in first])
    assert labels.agreement() == pytest.approx(brute)
    assert labels.majority().tolist() == [True, True, False, False]
    even = Labels(np.array([[True, False], [False, True]]), np.zeros((2, 2), int), ("a", "b"))
    assert even.majority().tolist() == [True, False]  # of a tie the first says
    assert Labels(first[:, :1], np.zeros((4, 1), int), ("a",)).agreement() == 1.0


def test_agreement_is_what_the_probabilities_say():
    u = np.random.default_rng(1).normal(size=(N, 2))
    two = [Annotator("a", noise=0.7), Annotator("b", noise=2.0)]
    p, q = (one.probabilities(u) for one in two)
    assert within(annotate(u, two, seed=3).agreement(), float((p * q + (1 - p) * (1 - q)).mean()))


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: Annotator("a", noise=-1), "'a' needs a finite noise >= 0.*noise -1"),
        (lambda: Annotator("a", noise=math.inf), "finite noise"),
        (lambda: Annotator("a", slip=1.1), "slip 1.1"),
        (lambda: Annotator("a", bias={"length": math.nan}), "bias is not finite"),
        (lambda: Annotator("a", steps=(1.0, 1.0, 2.0)), "steps must rise"),
        (lambda: Annotator("a").gaps(np.zeros((3, 3))), r"\(N, 2\), got \(3, 3\)"),
        (lambda: Annotator("a").gaps(np.array([[1.0, math.nan]])), "utilities must be finite"),
        (lambda: Annotator("a", bias={"x": 1}).gaps(np.zeros((1, 2))), r"'x', which is not.*\[\]"),
        (
            lambda: Annotator("a", bias={"x": 1}).gaps(np.zeros((1, 2)), {"x": np.zeros((2, 2))}),
            "2 rows for 1 pairs",
        ),
        (lambda: choice_probability(np.zeros(1), -1), "noise must be finite"),
        (
            lambda: gumbel_choice(np.zeros(3), 1.0, np.random.default_rng(0)),
            r"utilities \(N, K\)",
        ),
        (lambda: annotate(np.zeros((1, 2)), [], seed=0), "distinct names"),
        (
            lambda: annotate(np.zeros((1, 2)), [Annotator("a"), Annotator("a")], seed=0),
            "distinct names, got",
        ),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()

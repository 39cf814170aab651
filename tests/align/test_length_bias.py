"""Length bias planted at a known strength: measured, told apart from a good reason, removed."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from minillm.align.annotators import Annotator, annotate
from minillm.align.length_bias import (
    balance,
    length_correlation,
    length_effect,
    longer_wins,
    regress_out,
)

N = 5000


def answers(bias, together=0.0, seed=0):
    """Rewards with a known bias, of answers whose utility goes with their length or not."""
    dice = np.random.default_rng(seed)
    length = dice.gamma(4.0, 2.0, size=N)
    gold = together * (length - 8.0) + dice.normal(size=N)
    return gold + bias * length + 0.1 * dice.normal(size=N), length, gold


pairs = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=20)


@given(pairs)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_correlation_and_slope_are_those_of_scipy(rows):
    rewards, lengths = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    if len(set(rewards)) == 1 or len(set(lengths)) == 1:
        with pytest.raises(ValueError, match="are equal"):
            length_correlation(rewards, lengths)
        return
    expected = stats.linregress(lengths, rewards)
    assert length_correlation(rewards, lengths) == pytest.approx(expected.rvalue, abs=1e-12)
    found = length_effect(rewards, lengths)
    assert (found.slope, found.gold_slope) == (pytest.approx(expected.slope, abs=1e-9), None)
    assert found.intercept == pytest.approx(expected.intercept, abs=1e-9)
    left = regress_out(rewards, lengths)
    assert left.mean() == pytest.approx(rewards.mean(), abs=1e-9)
    assert abs((left - left.mean()) @ lengths) < 1e-9


def test_a_planted_bias_is_found_and_removed():
    rewards, lengths, gold = answers(bias=0.3)
    assert length_effect(rewards, lengths, gold).slope == pytest.approx(0.3, abs=0.01)
    assert length_effect(rewards, lengths, gold).gold_slope == pytest.approx(1.0, abs=0.02)
    assert length_correlation(rewards, lengths) > 0.7
    left = regress_out(rewards, lengths)
    assert abs(length_correlation(left, lengths)) < 1e-9
    assert np.corrcoef(left, gold)[0, 1] > np.corrcoef(rewards, gold)[0, 1] + 0.2


def test_length_is_not_blamed_for_what_the_utility_explains():
    """Long answers are better here, and the reward has no bias at all."""
    rewards, lengths, gold = answers(bias=0.0, together=0.5)
    assert length_effect(rewards, lengths).slope > 0.4
    assert length_effect(rewards, lengths, gold).slope == pytest.approx(0.0, abs=0.01)
    told = length_effect(rewards, lengths, gold).slope
    right, wrong = regress_out(rewards, lengths, told), regress_out(rewards, lengths)
    assert np.corrcoef(right, gold)[0, 1] > np.corrcoef(wrong, gold)[0, 1] + 0.2
    assert regress_out(np.array([1.0, 2]), np.array([0.0, 4]), 0.5).tolist() == [2.0, 1.0]


def labelled(bias, seed=0):
    """Pairs with a gold utility, labelled by an annotator with a bias for length."""
    dice = np.random.default_rng(seed)
    u, length = dice.normal(size=(N, 2)), dice.gamma(4.0, 0.5, size=(N, 2))
    one = Annotator("a", bias={"length": bias})
    first = annotate(u, [one], seed=seed, features={"length": length}).first[:, 0]
    sign = np.where(first, 1, -1)
    return sign * (u[:, 0] - u[:, 1]), sign * (length[:, 0] - length[:, 1])


def test_annotators_who_like_length_let_the_longer_answer_win():
    shares = []
    for bias in (0.0, 0.5, 2.0):
        _, more = labelled(bias)
        shares.append(longer_wins(np.ones(N), more))
    assert shares[0] == pytest.approx(0.5, abs=0.03)
    assert shares[0] < shares[1] - 0.05 < shares[2] - 0.1


@pytest.mark.parametrize("n_bins", [1, 20])
def test_balanced_pairs_say_nothing_of_length(n_bins):
    gold, more = labelled(2.0)
    kept = balance(more, seed=1, n_bins=n_bins)
    assert longer_wins(np.ones(len(kept)), more[kept]) == 0.5
    assert sorted(set(kept.tolist())) == kept.tolist()
    assert (balance(more, seed=1, n_bins=n_bins) == kept).all()
    assert not np.array_equal(balance(more, seed=2, n_bins=n_bins), kept)
    assert len(kept) > 0.1 * N
    assert gold[kept].mean() > 0  # what is left still tells the better answer
    size = [np.abs(more[kept][sign * more[kept] > 0]).mean() for sign in (1, -1)]
    alike = abs(size[0] - size[1]) < 0.05 * size[0]
    assert alike == (n_bins == 20)  # then longer and shorter ones differ by about as much


def test_balance_by_hand():
    kept = balance(np.array([1.0, 2, 3, -1, 0, 0]), seed=0)
    assert len(kept) == 4
    assert {3, 4, 5} <= set(kept.tolist())
    assert balance(np.array([1.0, 2.0]), seed=0).tolist() == []
    assert balance(np.zeros(3), seed=0, n_bins=3).tolist() == [0, 1, 2]


def test_longer_wins_by_hand():
    gaps, lengths = np.array([1.0, -1, 2, 0, 5]), np.array([3.0, 2, -1, 1, 0])
    assert longer_wins(gaps, lengths) == pytest.approx((1 + 0 + 0 + 0.5) / 4)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: length_correlation(np.zeros(2), np.zeros(3)), r"\(2,\) and \(3,\)"),
        (lambda: length_correlation(np.array([1, math.nan]), np.ones(2)), "number 1 is not finite"),
        (lambda: longer_wins(np.ones(2), np.zeros(2)), "nobody is longer"),
        (lambda: length_effect(np.ones(3), np.ones(3)), "must vary"),
        (lambda: length_effect(np.ones(3), np.arange(3.0), np.arange(3.0)), "follow from one"),
        (lambda: regress_out(np.ones(2), np.arange(2.0), math.inf), "slope must be finite"),
        (lambda: balance(np.ones(2), seed=0, n_bins=0), "n_bins must be at least 1"),
        (lambda: balance(np.ones(0), seed=0), "N >= 1"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()

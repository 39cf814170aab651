"""Bradley-Terry: the fit against scipy's optimiser, planted utilities found again."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from minillm.align.annotators import Annotator, annotate
from minillm.align.bradley_terry import (
    count_wins,
    fit_utilities,
    fitted_probabilities,
    kendall_tau,
    log_likelihood,
)


def played(K, n, seed):
    """Wins of K things with normal utilities, each pair compared n times."""
    dice = np.random.default_rng(seed)
    u = dice.normal(size=K)
    i, j = np.triu_indices(K, 1)
    i, j = np.repeat(i, n), np.repeat(j, n)
    first = annotate(np.stack([u[i], u[j]], axis=1), [Annotator("a")], seed=seed).first[:, 0]
    return u - u.mean(), count_wins(np.where(first, i, j), np.where(first, j, i), K)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_fit_is_that_of_scipy(seed):
    _, wins = played(6, 20, seed)
    found = fit_utilities(wins)
    best = optimize.minimize(lambda u: -log_likelihood(u, wins), np.zeros(6), tol=1e-12)
    np.testing.assert_allclose(found, best.x - best.x.mean(), atol=1e-5)
    assert log_likelihood(found, wins) >= -best.fun - 1e-9
    assert abs(found.mean()) < 1e-12


def test_the_likelihood_by_hand():
    wins = np.array([[0, 3.0], [1, 0]])
    p = 1 / (1 + np.exp(-0.8))
    expected = 3 * np.log(p) + np.log(1 - p)
    assert log_likelihood(np.array([0.8, 0.0]), wins) == pytest.approx(expected)
    assert fit_utilities(wins) == pytest.approx([np.log(3) / 2, -np.log(3) / 2])  # odds are 3 : 1


def test_wins_expected_are_wins_counted():
    """The equation of the best point: each thing wins as often as it should."""
    _, wins = played(5, 15, 4)
    p = fitted_probabilities(fit_utilities(wins))
    np.testing.assert_allclose(((wins + wins.T) * p).sum(axis=1), wins.sum(axis=1), rtol=1e-7)
    np.testing.assert_allclose(p + p.T, 1)


def test_planted_utilities_are_found_again():
    u, wins = played(8, 400, 5)
    found = fit_utilities(wins)
    assert np.abs(found - u).max() < 0.25
    assert kendall_tau(found, u) == pytest.approx(stats.kendalltau(found, u).statistic)
    assert kendall_tau(found, u) > 0.9


@given(st.permutations(range(6)), st.permutations(range(6)))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_kendall_tau_is_that_of_scipy(one, two):
    tau = kendall_tau(np.array(one), np.array(two))
    assert tau == pytest.approx(stats.kendalltau(one, two).statistic)


def test_wins_are_counted():
    wins = count_wins(np.array([0, 0, 2, 0]), np.array([1, 1, 0, 2]), 3)
    assert wins.tolist() == [[0, 2, 1], [0, 0, 0], [1, 0, 0]]


CHAIN = np.array([[0, 1.0, 0], [0, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize(
    ("wins", "unbeaten"),
    [
        (CHAIN, r"\[0\] never lost"),
        (np.zeros((2, 2)), "never compared"),
        (np.kron(np.eye(2), 1 - np.eye(2)) + np.array([[0, 0, 1, 0]] + [[0] * 4] * 3), r"\[0, 1\]"),
    ],
)
def test_infinite_utilities_are_told(wins, unbeaten):
    with pytest.raises(ValueError, match=unbeaten):
        fit_utilities(wins)


def test_a_circle_has_a_best_point():
    assert fit_utilities(CHAIN + np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0]])) == pytest.approx(
        [0, 0, 0], abs=1e-9
    )


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: fit_utilities(np.zeros((2, 3))), r"\(K, K\) with K >= 2"),
        (lambda: fit_utilities(np.array([[1.0, 1], [1, 0]])), "0 on the diagonal"),
        (lambda: fit_utilities(np.array([[0.0, -1], [1, 0]])), "not negative"),
        (lambda: count_wins(np.array([0]), np.array([0]), 2), "compared with itself"),
        (lambda: count_wins(np.array([0]), np.array([2]), 2), r"0 \.\. 1, got 0 \.\. 2"),
        (lambda: count_wins(np.array([0]), np.array([1, 0]), 2), r"must be \(N,\) both"),
        (lambda: kendall_tau(np.array([1.0]), np.array([1.0])), "K >= 2"),
        (lambda: kendall_tau(np.array([1.0, 1.0]), np.array([1.0, 2.0])), "a tie"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()


def test_a_fit_that_does_not_settle_says_so():
    with pytest.raises(RuntimeError, match=r"still move by.*after 2 steps; raise max_steps"):
        fit_utilities(played(6, 20, 0)[1], max_steps=2)

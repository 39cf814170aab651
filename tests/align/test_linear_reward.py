"""Linear rewards: against scipy's optimiser and torch's gradient, planted weights found again."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize

from minillm.align.annotators import Annotator, annotate, choice_probability
from minillm.align.linear_reward import fit_linear_reward, linear_loss
from minillm.align.ranking import reward_loss

PLANTED = np.array([1.0, -0.5, 0.0, 2.0])


def labelled(n, seed=0, noise=1.0):
    """Differences of features of n pairs, chosen minus rejected, and the ratings."""
    dice = np.random.default_rng(seed)
    features = dice.normal(size=(n, 2, 4))
    labels = annotate(features @ PLANTED, [Annotator("a", noise=noise)], seed=seed)
    sign = np.where(labels.first, 1.0, -1.0)
    return sign * (features[:, 0] - features[:, 1]), labels.ratings[:, 0]


@pytest.mark.parametrize("with_margin", [False, True])
@pytest.mark.parametrize("l2", [1e-3, 1.0])
def test_the_fit_is_that_of_scipy(with_margin, l2):
    d, ratings = labelled(80)
    margin = ratings / 3 if with_margin else None
    found = fit_linear_reward(d, margin, l2=l2)
    best = optimize.minimize(lambda w: linear_loss(w, d, margin, l2=l2), np.zeros(4), tol=1e-12)
    np.testing.assert_allclose(found, best.x, atol=2e-5)
    assert linear_loss(found, d, margin, l2=l2) <= best.fun + 1e-12
    gap = d @ found - (0 if margin is None else margin)
    np.testing.assert_allclose(choice_probability(-gap) @ d / len(d), l2 * found, atol=1e-9)


def test_the_loss_is_the_ranking_loss():
    d, ratings = labelled(20)
    w = np.array([0.3, 0.1, -0.2, 0.5])
    rewards = torch.from_numpy(d @ w)
    expected = reward_loss(rewards, torch.zeros(20), torch.from_numpy(ratings / 3))
    assert linear_loss(w, d, ratings / 3) == pytest.approx(expected.item(), rel=1e-12)
    assert linear_loss(w, d, l2=2.0) - linear_loss(w, d) == pytest.approx(w @ w)
    assert linear_loss(np.zeros(4), d) == pytest.approx(math.log(2))


@pytest.mark.parametrize("noise", [0.5, 1.0, 3.0])
def test_planted_weights_are_found_in_units_of_the_noise(noise):
    d, _ = labelled(20_000, seed=1, noise=noise)
    np.testing.assert_allclose(fit_linear_reward(d, l2=1e-6) * noise, PLANTED, atol=0.15)


def test_a_margin_makes_rewards_larger_and_leaves_their_order():
    d, ratings = labelled(3000, seed=2)
    plain, pushed = fit_linear_reward(d), fit_linear_reward(d, ratings.astype(float))
    assert np.linalg.norm(pushed) > 1.2 * np.linalg.norm(plain)
    cosine = pushed @ plain / np.linalg.norm(pushed) / np.linalg.norm(plain)
    assert cosine > 0.99


def test_pairs_that_can_all_be_ordered_need_the_pull():
    d = np.array([[1.0, 0.2], [2.0, -0.3], [0.5, 0.0]])
    weak, strong = fit_linear_reward(d, l2=1e-6), fit_linear_reward(d, l2=1.0)
    assert np.linalg.norm(weak) > 5 > 1 > np.linalg.norm(strong)
    assert (d @ weak > 0).all()
    far = fit_linear_reward(1e3 * d, np.full(3, 30.0))  # a whole Newton step would overshoot
    assert (1e3 * d @ far > 30).all()


def test_rounding_ends_the_search_at_the_best():
    """Gradients of features of 10^4 are rounded to more than the tolerance, and never get there."""
    dice = np.random.default_rng(45)
    d = dice.normal(size=(50, 4))
    gap = d @ dice.normal(size=4)
    first = dice.random(50) < choice_probability(gap)
    d = np.where(first, 1, -1)[:, None] * d
    found = fit_linear_reward(1e4 * d, l2=1e-6)
    np.testing.assert_allclose(1e4 * found, fit_linear_reward(d, l2=1e-14), rtol=1e-9)
    best = linear_loss(found, 1e4 * d, l2=1e-6)
    for way in np.eye(4) * 1e-5 * np.abs(found).max():
        for sign in (1, -1):
            assert linear_loss(found + sign * way, 1e4 * d, l2=1e-6) > best


@pytest.mark.parametrize("tolerance", [0.0, 1e-10])
def test_the_tolerance_may_be_less_than_rounding(tolerance):
    d, ratings = labelled(80)
    exact = fit_linear_reward(d, ratings / 3, tolerance=1e-12)
    found = fit_linear_reward(d, ratings / 3, tolerance=tolerance)
    np.testing.assert_allclose(found, exact, rtol=1e-9)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: fit_linear_reward(np.zeros((0, 2))), "N >= 1"),
        (lambda: fit_linear_reward(np.array([[math.nan]])), "must be finite"),
        (lambda: fit_linear_reward(np.ones((2, 1)), np.ones(3)), r"\(2,\), got \(3,\)"),
        (lambda: fit_linear_reward(np.ones((2, 1)), np.array([1.0, -1])), "at least 0"),
        (lambda: fit_linear_reward(np.ones((2, 1)), l2=0.0), "l2 must be above 0"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()


def test_a_fit_that_does_not_settle_says_so():
    with pytest.raises(RuntimeError, match="not settled after 1 steps"):
        fit_linear_reward(labelled(20)[0], max_steps=1)

"""Huber's loss against scipy's and torch's; the gradient of the objective against differences."""

import numpy as np
import pytest
import torch
from scipy.special import huber as scipy_huber

from minillm.scaling import huber
from minillm.scaling.robust import LogSumProblem


def problem(n=12, terms=2, seed=0, **more):
    draw = np.random.default_rng(seed)
    logs = draw.uniform(5, 15, (n, terms))
    target = np.log(2 + np.exp(1 - 0.3 * logs[:, 0])) + 0.01 * draw.normal(size=n)
    return LogSumProblem(logs, target, **more)


def test_huber_is_that_of_the_libraries():
    r = np.linspace(-3, 3, 61)
    np.testing.assert_allclose(huber(r, 0.7), scipy_huber(0.7, r))
    other = torch.nn.functional.huber_loss(
        torch.tensor(r), torch.zeros(61, dtype=torch.float64), delta=0.7, reduction="none"
    )
    np.testing.assert_allclose(huber(r, 0.7), other.numpy())
    with pytest.raises(ValueError, match="delta must be positive, got 0"):
        huber(r, 0)


@pytest.mark.parametrize("delta", [1e-3, 0.05, 10.0])
@pytest.mark.parametrize("terms", [1, 2])
def test_the_gradient_is_the_slope(delta, terms):
    f = problem(terms=terms, delta=delta, weights=np.arange(1.0, 13.0))
    points = np.random.default_rng(1).normal(0.3, 0.2, (3, 2 * terms + 1))
    rows = np.arange(3)
    gradient = f(points, rows)[1]
    for k in range(points.shape[1]):
        step = np.zeros(points.shape[1])
        step[k] = 1e-6
        slope = (f(points + step, rows)[0] - f(points - step, rows)[0]) / 2e-6
        np.testing.assert_allclose(gradient[:, k], slope, rtol=2e-4, atol=1e-7)


def test_the_objective_is_the_formula():
    f = problem(delta=0.01)
    a, b, alpha, beta, e = 1.2, 0.8, 0.3, 0.2, 0.5
    point = f.centred_points(np.array([[a, b, alpha, beta, e]]))
    logs = f.centred.T + f.means
    law = np.exp(a) * np.exp(logs[:, 0]) ** -alpha + np.exp(b) * np.exp(logs[:, 1]) ** -beta
    residuals = np.log(law + np.exp(e)) - f.target
    np.testing.assert_allclose(f.residuals(point)[0][0], residuals)
    assert f(point, np.arange(1))[0][0] == pytest.approx(huber(residuals, 0.01).sum())
    (la, lb), (p, q), floor = f.natural(point[0])
    np.testing.assert_allclose([la, lb, p, q, floor], [a, b, alpha, beta, e])


def test_rows_of_weights_belong_to_starts():
    weights = np.random.default_rng(2).integers(0, 3, (4, 12)).astype(float)
    points = problem().grid()[:4]
    together = problem(weights=weights)(points, np.arange(4))[0]
    turned = problem(weights=weights)(points[::-1], np.arange(4)[::-1])[0]
    np.testing.assert_allclose(together, turned[::-1])
    for i in range(4):
        alone = problem(weights=weights[i])(points[i : i + 1], np.zeros(1, dtype=int))[0]
        assert alone[0] == pytest.approx(together[i])


def test_the_best_starts_are_those_of_lowest_value():
    f = problem()
    grid = f.grid()
    assert grid.shape == (3 * 3 * 4 * 4 * 3, 5)
    values = f(grid, np.arange(len(grid)))[0]
    best = f.best_starts(grid, 7)
    np.testing.assert_allclose(f(best, np.arange(7))[0], np.sort(values)[:7])

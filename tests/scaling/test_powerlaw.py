"""Lines on log-log paper against numpy and scipy; the curve with a floor against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares
from scipy.stats import linregress

from minillm.scaling import fit_power_law, fit_saturating

X = np.geomspace(1e3, 1e7, 9)


def noisy(y, spread=0.02, seed=0):
    return y * np.exp(spread * np.random.default_rng(seed).normal(size=len(y)))


@given(st.floats(-1, 1).filter(lambda p: abs(p) > 0.01), st.floats(0.1, 1e3))
def test_a_law_without_noise_comes_back(p, k):
    fit = fit_power_law(X, k * X**p)
    assert fit.exponent == pytest.approx(p, abs=1e-9)
    assert fit.coefficient == pytest.approx(k, rel=1e-7)
    assert fit.r_squared == pytest.approx(1)
    assert fit.solve(float(fit.predict(1e5))) == pytest.approx(1e5)


def test_it_is_scipys_regression():
    y = noisy(5 * X**-0.1)
    fit, other = fit_power_law(X, y), linregress(np.log(X), np.log(y))
    assert fit.exponent == pytest.approx(other.slope)
    assert fit.coefficient == pytest.approx(np.exp(other.intercept))
    assert fit.r_squared == pytest.approx(other.rvalue**2)
    assert fit.n_points == 9


def test_a_weight_of_two_is_a_point_twice():
    y = noisy(5 * X**-0.1)
    counts = np.array([2, 0, 1, 3, 1, 0, 1, 1, 2])
    fit = fit_power_law(X, y, weights=counts)
    twice = fit_power_law(np.repeat(X, counts), np.repeat(y, counts))
    assert fit.exponent == pytest.approx(twice.exponent)
    assert fit.coefficient == pytest.approx(twice.coefficient)
    assert fit.r_squared == pytest.approx(twice.r_squared)


def test_a_line_through_a_curve_with_a_floor_depends_on_the_range():
    y = 2 + 50 * X**-0.3
    early, late = fit_power_law(X[:4], y[:4]), fit_power_law(X[-4:], y[-4:])
    assert early.exponent < late.exponent - 0.05


@pytest.mark.parametrize("seed", range(5))
def test_the_floor_is_found(seed):
    truth = np.array([2.0, 50.0, 0.3])
    x = np.geomspace(1e3, 1e7, 30)
    fit = fit_saturating(x, noisy(truth[0] + truth[1] * x ** -truth[2], 0.002, seed))
    assert fit.floor == pytest.approx(2.0, abs=0.02)
    assert fit.exponent == pytest.approx(0.3, abs=0.02)
    assert fit.predict(1e12) == pytest.approx(fit.floor, abs=0.02)


def test_with_a_large_delta_it_is_scipys_least_squares():
    x = np.geomspace(1e3, 1e7, 20)
    y = noisy(2 + 50 * x**-0.3, 0.01)
    fit = fit_saturating(x, y, delta=10)

    def residuals(p):
        return np.log(p[0] + np.exp(p[1]) * x ** -p[2]) - np.log(y)

    other = least_squares(residuals, [1.5, 3.0, 0.4], xtol=1e-14, ftol=1e-14, gtol=1e-14)
    assert fit.objective == pytest.approx(other.cost, rel=1e-8)
    assert fit.floor == pytest.approx(other.x[0], rel=1e-5)
    assert fit.exponent == pytest.approx(other.x[2], rel=1e-5)


def test_no_floor_is_found_where_there_is_none():
    assert fit_saturating(X, 50 * X**-0.1).floor < 0.02


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_power_law([1.0], [2.0]), "2 parameters and there are 1 points"),
        (lambda: fit_power_law([3, 3, 3], [1, 2, 3]), "x takes 1 different value and"),
        (lambda: fit_power_law([1, 2], [1, -2]), "y must be positive and finite, got -2"),
        (lambda: fit_power_law([1, 2], [1, 2, 3]), "lists of one length"),
        (lambda: fit_power_law([1, 2], [1, 2], weights=[1, 0]), "two of them not 0"),
        (lambda: fit_power_law([1, 2], [1, 2]).solve(0), "no x gives y = 0"),
        (lambda: fit_saturating([1, 2], [2, 1]), "3 parameters and there are 2 points"),
        (lambda: fit_saturating([1, 2, 2, 1], [2, 1, 1, 2]), "x takes 2 different values and"),
        (lambda: fit_saturating([1, 2, 3], [2, 1, 0]), "y must be positive"),
        (lambda: fit_saturating([1, 2, 3], [3, 2, 1], delta=0), "delta must be positive"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()

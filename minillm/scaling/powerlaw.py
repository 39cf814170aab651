"""A straight line on log-log paper: fit y = k x^p, and the curve that flattens out at a floor.

- A power law is a line in (log x, log y); fit_power_law is least squares on the logarithms.
- With a floor, y = E + A x^-alpha, the line bends. Whoever fits a line through it gets an exponent
  that depends on the range of x. fit_saturating fits the floor as well.

Only numpy is needed; scipy is the oracle of the tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minillm.scaling.checks import enough, positive, spread
from minillm.scaling.lbfgs import minimise
from minillm.scaling.robust import LogSumProblem


@dataclass(frozen=True)
class PowerLawFit:
    """y = coefficient * x ** exponent.

    Attributes:
        coefficient: k, in y's unit at x = 1.
        exponent: p, the slope on log-log paper; negative for a loss that falls.
        r_squared: share of the variance of log y that the line explains.
        n_points: how many points it went through.
    """

    coefficient: float
    exponent: float
    r_squared: float
    n_points: int

    def predict(self, x: "float | Sequence[float] | np.ndarray") -> np.ndarray:
        """y at x, of x's shape."""
        return np.asarray(self.coefficient * np.asarray(x, dtype=float) ** self.exponent)

    def solve(self, y: float) -> float:
        """The x at which the law gives y.

        Raises:
            ValueError: if y is not positive, or the exponent is 0.
        """
        if not y > 0 or self.exponent == 0:
            raise ValueError(f"no x gives y = {y} under the exponent {self.exponent}")
        return float((y / self.coefficient) ** (1 / self.exponent))


def fit_power_law(
    x: Sequence[float], y: Sequence[float], weights: Sequence[float] | None = None
) -> PowerLawFit:
    """Fit a line through (log x, log y) by least squares.

        p = sum w (u - u_mean)(v - v_mean) / sum w (u - u_mean)^2,    u = log x,  v = log y
        log k = v_mean - p u_mean

    Args:
        x, y: positive, of one length.
        weights: of the points, not negative; None means equal. A bootstrap passes how often each
            point was drawn.

    Returns:
        The fit.

    Raises:
        ValueError: if there are fewer than 2 points, a value is not positive, or all x are equal.

    Source: Kaplan et al. 2020, arXiv:2001.08361, section 1.2 (the laws that are lines).
    Lesson: notebooks/25a_kaplan.ipynb
    """
    u, v = np.log(positive("x", x)), np.log(positive("y", y))
    enough("a power law", u, v, parameters=2)
    spread("x", u)
    w = np.ones_like(u) if weights is None else np.asarray(weights, dtype=float)
    if w.shape != u.shape or (w < 0).any() or np.count_nonzero(w) < 2:
        raise ValueError("weights need one number a point, none negative, two of them not 0")
    u_mean, v_mean = np.average(u, weights=w), np.average(v, weights=w)
    slope = float((w * (u - u_mean) * (v - v_mean)).sum() / (w * (u - u_mean) ** 2).sum())
    left = float((w * (v - v_mean - slope * (u - u_mean)) ** 2).sum())
    whole = float((w * (v - v_mean) ** 2).sum())
    share = 1 - left / whole if whole > 0 else 1.0
    return PowerLawFit(float(np.exp(v_mean - slope * u_mean)), slope, share, len(u))


@dataclass(frozen=True)
class SaturatingFit:
    """y = floor + coefficient * x ** -exponent.

    Attributes:
        floor: E, what no x gets below.
        coefficient: A.
        exponent: alpha, positive.
        objective: the sum of Huber losses that was reached.
        n_points: how many points it went through.
    """

    floor: float
    coefficient: float
    exponent: float
    objective: float
    n_points: int

    def predict(self, x: "float | Sequence[float] | np.ndarray") -> np.ndarray:
        """y at x, of x's shape."""
        x = np.asarray(x, dtype=float)
        return np.asarray(self.floor + self.coefficient * x**-self.exponent)


def fit_saturating(x: Sequence[float], y: Sequence[float], *, delta: float = 1e-3) -> SaturatingFit:
    """Fit a power law that flattens out at a floor.

        y = E + A x^-alpha        by  min sum Huber_delta(log of the law - log y)

    Args:
        x, y: positive, of one length, at least 3 different x.
        delta: of the Huber loss, in units of log y: larger residuals count linearly.

    Returns:
        The fit. On data without a bend the floor goes to 0.

    Raises:
        ValueError: if there are fewer than 3 points or different x, or a value is not positive.

    Source: as scaling.parametric, with one power term instead of two.
    Lesson: notebooks/25a_kaplan.ipynb
    """
    u, v = np.log(positive("x", x)), np.log(positive("y", y))
    enough("a power law with a floor", u, v, parameters=3)
    spread("x", u, at_least=3)
    problem = LogSumProblem(u[:, None], v, delta=delta)
    found = minimise(problem, problem.best_starts(problem.grid(), 24))
    best = int(found.values.argmin())
    (c,), (p,), e = problem.natural(found.points[best])
    return SaturatingFit(
        float(np.exp(e)), float(np.exp(c)), float(p), float(found.values[best]), len(u)
    )

"""Quantiles of Student's t and of chi-square, from the incomplete beta and gamma functions."""

import math
from collections.abc import Callable
from functools import cache

import torch


@cache
def t_quantile(p: float, df: float) -> float:
    """Quantile of Student's t distribution: the t with P(T <= t) = p.

        P(|T| > t) = I_x(df / 2, 1 / 2),   x = df / (df + t^2)

    Args:
        p: in (0, 1).
        df: degrees of freedom, positive.

    Returns:
        t, to about 12 digits; t_quantile(0.975, 4) = 2.776.

    Raises:
        ValueError: if p is not in (0, 1) or df is not positive.

    Source: Abramowitz and Stegun 1964, 26.7.1 and 26.5.27.
    """
    _check_quantile(p, df)
    if p == 0.5:
        return 0.0
    if p < 0.5:
        return -t_quantile(1 - p, df)
    return _solve(lambda t: 1 - 0.5 * beta_share(df / (df + t * t), df / 2, 0.5), p)


@cache
def chi2_quantile(p: float, df: float) -> float:
    """Quantile of the chi-square distribution: the x with P(X <= x) = p.

    Args:
        p: in (0, 1).
        df: degrees of freedom, positive.

    Returns:
        x, to about 12 digits; chi2_quantile(0.95, 1) = 3.841.

    Raises:
        ValueError: if p is not in (0, 1) or df is not positive.

    Source: Abramowitz and Stegun 1964, 26.4.19: P(X <= x) is the incomplete gamma function.
    """
    _check_quantile(p, df)
    half = torch.tensor(df / 2, dtype=torch.float64)

    def below(x: float) -> float:
        return float(torch.special.gammainc(half, torch.tensor(x / 2, dtype=torch.float64)))

    return _solve(below, p)


def beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction.

    Args:
        x: in [0, 1].
        a, b: positive.

    Returns:
        The probability that a Beta(a, b) variable is at most x.

    Source: Press et al., Numerical Recipes, section 6.4 (Lentz's method).
    """
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side
        return 1 - beta_share(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log1p(-x)) / a
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for term in (even, odd):
            d, c = 1 / (1 + term * d), 1 + term / c
            change *= c * d
        fraction *= change
        if abs(change - 1) < 1e-15:
            break
    return front * fraction


def _solve(cumulative: Callable[[float], float], p: float) -> float:
    """The x >= 0 at which a rising function reaches p, by doubling and halving."""
    low, high = 0.0, 1.0
    while cumulative(high) < p:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if cumulative(middle) < p else (low, middle)
    return (low + high) / 2


def _check_quantile(p: float, df: float) -> None:
    if not 0 < p < 1:
        raise ValueError(f"p must lie between 0 and 1, got {p}")
    if not df > 0:
        raise ValueError(f"df must be positive, got {df}")

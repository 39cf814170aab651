"""How sure a number is: intervals over seeds, over examples, and for differences.

- mean_interval: a few runs with different seeds (Student's t).
- paired_difference: two settings run with the same seeds; what the seeds share cancels.
- seed_spread: how far apart two runs are that differ in nothing but the seed.
- bootstrap_interval: any statistic of many examples, without a formula for its spread.

A level of 0.95 means: if the whole experiment were repeated often, 95 % of the intervals would
cover the true value.
Over 300 lines, because the formulas stand in the docstrings, beside the code that they explain.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from minillm.evaluate.quantiles import chi2_quantile, t_quantile


@dataclass(frozen=True)
class Interval:
    """A measured value and the range the truth is likely to lie in.

    Attributes:
        value: the estimate.
        low, high: ends of the interval.
        level: share of repeated experiments whose interval covers the truth.
        n: how many seeds, pairs or examples it comes from.
    """

    value: float
    low: float
    high: float
    level: float
    n: int

    def __post_init__(self) -> None:
        _check_level(self.level)
        if not self.low <= self.high:
            raise ValueError(f"need low <= high, got low={self.low}, high={self.high}")

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}] ({self.level:.0%}, n={self.n})"

    def contains(self, x: float) -> bool:
        """Say whether x lies in the interval, its ends included."""
        return self.low <= x <= self.high


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Estimate a mean from a few independent runs.

        mean +- t s / sqrt(n),    s^2 = sum (x - mean)^2 / (n - 1),
        t = the (1 + level)/2 quantile of Student's distribution with n - 1 degrees of freedom

    Args:
        values: one number a run.
        level: in (0, 1).

    Returns:
        The interval around the mean. Exact for normal values; with 3 runs t is 4.30, so few
        seeds are honestly wide.

    Raises:
        ValueError: if there are fewer than 2 values, one is not finite, or level is not in (0, 1).

    Source: Student 1908, The probable error of a mean, Biometrika 6.
    Lesson: notebooks/02_sources.ipynb
    """
    x = _checked(values, level)
    n = len(x)
    half = t_quantile((1 + level) / 2, n - 1) * float(x.std(ddof=1)) / math.sqrt(n)
    mean = float(x.mean())
    return Interval(mean, mean - half, mean + half, level, n)


def paired_difference(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Interval:
    """Estimate mean(a) - mean(b) where a[i] and b[i] share their seed.

        d_i = a_i - b_i;    the interval is mean_interval(d)

    What a seed does to both (an easy batch, a lucky start) cancels in the difference, so that far
    fewer seeds are needed than for two separate intervals.

    Args:
        a, b: results of two settings, in the same order of seeds.
        level: in (0, 1).

    Returns:
        The interval of the difference; it excludes 0 where a difference was seen.

    Raises:
        ValueError: if a and b differ in length, or as mean_interval.

    Lesson: notebooks/02_sources.ipynb
    """
    if len(a) != len(b):
        raise ValueError(f"pairs need two lists of one length, got {len(a)} and {len(b)} values")
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return mean_interval(differences, level)  # type: ignore[arg-type]


def seed_spread(values: Sequence[float], level: float = 0.95) -> Interval:
    """Estimate the standard deviation between runs that differ only in their seed.

        s sqrt((n - 1) / chi2_high)  ..  s sqrt((n - 1) / chi2_low)

    with the (1 + level)/2 and (1 - level)/2 quantiles of chi-square with n - 1 degrees of freedom.

    Args:
        values: one number a run.
        level: in (0, 1).

    Returns:
        The interval around s; exact for normal values, and not symmetric.

    Raises:
        ValueError: as mean_interval.

    Lesson: notebooks/02_sources.ipynb
    """
    x = _checked(values, level)
    s, df = float(x.std(ddof=1)), len(x) - 1
    low = s * math.sqrt(df / chi2_quantile((1 + level) / 2, df))
    high = s * math.sqrt(df / chi2_quantile((1 - level) / 2, df))
    return Interval(s, low, high, level, len(x))


def bootstrap_interval(
    values: Sequence[float],
    statistic: Callable[[np.ndarray], float] = np.mean,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
    *,
    method: Literal["percentile", "bca"] = "percentile",
) -> Interval:
    """Estimate any statistic of many examples by drawing the examples anew, with replacement.

        percentile:  the (1 - level)/2 and (1 + level)/2 quantiles of statistic(resample)
        bca:         the same at shifted quantiles, which corrects for bias and skewness

    Args:
        values: one number an example; 20 or more, or the interval is too narrow.
        statistic: maps a numpy array to a number, such as np.mean or np.median.
        level: in (0, 1).
        n_resamples: how often the examples are drawn anew.
        seed: of the draws; the same seed gives the same interval.
        method: "percentile", or "bca", which costs n more calls of the statistic.

    Returns:
        The interval around statistic(values).

    Raises:
        ValueError: as mean_interval; or if n_resamples < 1 or the method is unknown.

    Cost: n_resamples calls of the statistic on n numbers.
    Source: Efron 1979, Annals of Statistics 7; bca: Efron 1987, JASA 82, eq. 2.3.
    Lesson: notebooks/02_sources.ipynb
    """
    x = _checked(values, level)
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, got {n_resamples}")
    if method not in ("percentile", "bca"):
        raise ValueError(f"method must be 'percentile' or 'bca', got {method!r}")
    draw = np.random.default_rng(seed)
    n, value = len(x), float(statistic(x))
    found = np.array([statistic(x[draw.integers(0, n, n)]) for _ in range(n_resamples)])
    shares = ((1 - level) / 2, (1 + level) / 2)
    if method == "bca":
        shares = _bca_shares(x, statistic, value, found, shares)
    low, high = (float(q) for q in np.quantile(found, shares))
    return Interval(value, low, high, level, n)


def _bca_shares(
    x: np.ndarray,
    statistic: Callable[[np.ndarray], float],
    value: float,
    found: np.ndarray,
    shares: tuple[float, float],
) -> tuple[float, float]:
    """Shift both quantiles by the bias z0 (of the median) and the acceleration a (skewness)."""
    normal = NormalDist()
    below = float((found < value).mean() + (found == value).mean() / 2)
    if not 0 < below < 1:
        return shares
    z0 = normal.inv_cdf(below)
    left_out = np.array([statistic(np.delete(x, i)) for i in range(len(x))])
    d = left_out.mean() - left_out
    spread = float((d**2).sum())
    a = float((d**3).sum()) / (6 * spread**1.5) if spread else 0.0
    z = [z0 + normal.inv_cdf(share) for share in shares]
    low, high = (normal.cdf(z0 + zi / (1 - a * zi)) for zi in z)
    return low, high


def _checked(values: Sequence[float], level: float) -> np.ndarray:
    _check_level(level)
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) < 2:
        raise ValueError(f"an interval needs a list of at least 2 values, got shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"every value must be finite, got {x[~np.isfinite(x)][0]}")
    return x


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}; 0.95 is usual")

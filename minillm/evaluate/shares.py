"""The interval of a share: so many successes of so many trials."""

import math
from statistics import NormalDist

from minillm.evaluate.intervals import Interval


def share_interval(n_hits: int, n: int, level: float = 0.95) -> Interval:
    """Estimate a share from independent trials, by Wilson's score interval.

        (p + z^2 / 2n  +-  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    It stays within 0 to 1 and has a width even where all trials, or none, were hits.

    Args:
        n_hits: how many were hits.
        n: how many trials there were, at least 1.
        level: of the interval.

    Returns:
        The share p = n_hits / n and its interval.

    Raises:
        ValueError: if n is below 1, n_hits is not in 0 .. n, or the level not between 0 and 1.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    Lesson: notebooks/27_pretraining.ipynb
    """
    if n < 1 or not 0 <= n_hits <= n:
        raise ValueError(f"need 0 <= n_hits <= n and n >= 1, got {n_hits} of {n}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    p, z = n_hits / n, NormalDist().inv_cdf((1 + level) / 2)
    middle = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return Interval(p, min(p, max(0.0, low)), max(p, min(1.0, high)), level, n)

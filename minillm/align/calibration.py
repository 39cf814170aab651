"""Whether the rewards may be believed: how often the order is right, and how sure it claims to be.

A reward model gives P(chosen preferred) = sigma(r_c - r_r). It is calibrated if, of the pairs that
it is 80 % sure of, it has 80 % right. With noisy annotators nobody has all of them right.

A gap is always r_chosen - r_rejected: positive means that the model agrees with the annotator. Its
confidence is sigma(|gap|), from 0.5 on, since the order of the two is no secret to us but is to it.

Shape letters: N pairs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minillm.align.annotators import choice_probability
from minillm.evaluate.intervals import Interval
from minillm.evaluate.shares import share_interval


@dataclass(frozen=True)
class Bin:
    """Pairs that the model is about equally sure of.

    Attributes:
        low, high: ends of the bin; the confidence is in low .. high.
        n: how many pairs.
        confidence: the mean confidence.
        accuracy: the share that is right, ties counted half.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def gaps_of(chosen: Sequence[float], rejected: Sequence[float]) -> np.ndarray:
    """Subtract rewards: r_c - r_r, (N,), float64.

    Args:
        chosen, rejected: rewards, (N,) each, such as `pair_rewards` gives; tensors on the CPU do.

    Raises:
        ValueError: if the two do not fit, there is no pair, or a reward is not finite.
    """
    one, two = np.asarray(chosen, dtype=np.float64), np.asarray(rejected, dtype=np.float64)
    if one.ndim != 1 or one.shape != two.shape:
        raise ValueError(f"need rewards (N,) both, got {one.shape} and {two.shape}")
    return _checked(one - two)


def preference_accuracy(gaps: np.ndarray) -> float:
    """How often the model agrees with the annotators: the share of gaps over 0, ties half.

    Lesson: notebooks/33_reward.ipynb
    """
    return float(_right(_checked(gaps)).mean())


def accuracy_by_rating(
    gaps: np.ndarray, ratings: Sequence[int], *, level: float = 0.95
) -> dict[int, Interval]:
    """Agreement apart for clear and for unclear preferences, as Llama 2 reports it.

    Args:
        gaps: r_c - r_r, (N,).
        ratings: 0 to 3, (N,).
        level: of the intervals.

    Returns:
        rating -> interval of the share that is right, the clearest first; only ratings that occur.
        A tie counts as wrong here, since a share needs whole numbers.

    Raises:
        ValueError: if the two do not fit, or a rating is none of 0 .. 3.

    Source: Touvron et al. 2023 (Llama 2), arXiv:2307.09288, Table 8.
    Lesson: notebooks/33_reward.ipynb
    """
    gaps, found = _checked(gaps), np.asarray(ratings)
    if found.shape != gaps.shape or not np.isin(found, (0, 1, 2, 3)).all():
        raise ValueError(
            f"need a rating 0 .. 3 for each of {len(gaps)} pairs, got {found.shape} with "
            f"{sorted(set(found.ravel().tolist()))[:8]}"
        )
    groups = {rating: gaps[found == rating] for rating in (3, 2, 1, 0)}
    return {
        rating: share_interval(int((some > 0).sum()), len(some), level)
        for rating, some in groups.items()
        if len(some)
    }


def reliability(gaps: np.ndarray, n_bins: int = 10) -> list[Bin]:
    """Sort pairs by confidence into bins of equal width, and compare with what is right.

        confidence = sigma(|gap|) in 0.5 .. 1        right = gap > 0

    Args:
        gaps: r_c - r_r, (N,).
        n_bins: bins between 0.5 and 1; a confidence on the border belongs to the upper one.

    Returns:
        The bins that hold a pair, the least sure first.

    Raises:
        ValueError: if n_bins < 1, or the gaps are no finite (N,).

    Source: Guo et al. 2017, arXiv:1706.04599, section 2.
    Lesson: notebooks/33_reward.ipynb
    """
    gaps = _checked(gaps)
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins}")
    confidence, right = choice_probability(np.abs(gaps)), _right(gaps)
    edges = np.linspace(0.5, 1.0, n_bins + 1)
    which = np.searchsorted(edges[1:-1], confidence, side="right")  # 0 .. n_bins - 1
    bins = []
    for k in range(n_bins):
        here = which == k
        if here.any():
            ends = float(edges[k]), float(edges[k + 1])
            means = float(confidence[here].mean()), float(right[here].mean())
            bins.append(Bin(*ends, int(here.sum()), *means))
    return bins


def calibration_error(gaps: np.ndarray, n_bins: int = 10) -> float:
    """How far confidence and accuracy lie apart on average (expected calibration error, ECE).

        ECE = sum over bins  n / N  |accuracy - confidence|

    Even a perfectly calibrated model has some, from the few pairs of a bin: compare with
    `expected_by_chance`.

    Args, Raises: as `reliability`.

    Returns:
        A share, 0 to 1.

    Source: Guo et al. 2017, arXiv:1706.04599, eq. 3; Naeini et al. 2015.
    Lesson: notebooks/33_reward.ipynb
    """
    bins = reliability(gaps, n_bins)
    N = sum(one.n for one in bins)
    return sum(one.n / N * abs(one.accuracy - one.confidence) for one in bins)


def expected_by_chance(
    gaps: np.ndarray, n_bins: int = 10, *, n_draws: int = 200, seed: int = 0
) -> float:
    """The mean calibration error of a model that is calibrated and has these very confidences.

    Args:
        gaps: r_c - r_r, (N,); only their size counts.
        n_bins: as for `calibration_error`.
        n_draws: how many times the outcomes are drawn.
        seed: of the draws.

    Raises:
        ValueError: if n_draws < 1, or as `reliability`.

    Cost: O(n_draws N).
    Lesson: notebooks/33_reward.ipynb
    """
    size = np.abs(_checked(gaps))
    if n_draws < 1:
        raise ValueError(f"n_draws must be at least 1, got {n_draws}")
    dice, sure = np.random.default_rng(seed), choice_probability(size)
    signs = np.where(dice.random((n_draws, len(size))) < sure, 1.0, -1.0)
    return float(np.mean([calibration_error(sign * size, n_bins) for sign in signs]))


def mean_nll(gaps: np.ndarray, scale: float = 1.0) -> float:
    """How surprising the preferences are: mean of -ln sigma(scale gap), nats a pair."""
    return float(np.logaddexp(0.0, -scale * _checked(gaps)).mean())


def fit_scale(gaps: np.ndarray, *, tolerance: float = 1e-10) -> float:
    """Find the factor that makes rewards most believable: 1 / temperature.

        s* = argmin_s  mean -ln sigma(s gap)         at s*:  mean of gap (1 - sigma(s gap)) = 0

    The loss is convex in s, and its slope is halved in on. Under 1 the model was too sure of
    itself, as margins make it; no order changes.

    Args:
        gaps: r_c - r_r, (N,), of pairs that were not learned.
        tolerance: relative accuracy of s.

    Returns:
        s, at least 0: where the order is right no more often than wrong, 0 is best.

    Raises:
        ValueError: if every gap is right (or 0): then no finite scale is best.

    Source: Guo et al. 2017, arXiv:1706.04599, section 4.2 (temperature scaling).
    Lesson: notebooks/33_reward.ipynb
    """
    gaps = _checked(gaps)
    if (gaps >= 0).all():
        raise ValueError(
            "every pair is in the right order, so that the best scale is infinite; measure on "
            "more pairs"
        )

    def slope(s: float) -> float:  # of the log-likelihood: falls as s grows
        return float((gaps * choice_probability(-s * gaps)).mean())

    if slope(0.0) <= 0:
        return 0.0
    low, high = 0.0, 1.0
    while slope(high) > 0:
        low, high = high, 2 * high
    while high - low > tolerance * max(1.0, high) and low < (low + high) / 2 < high:
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return (low + high) / 2


def best_accuracy(probabilities: np.ndarray) -> float:
    """The agreement that nobody can exceed: whoever knows the gold utility still meets noise.

        mean of max(p, 1 - p)          p: how often the annotator prefers the first answer

    Args:
        probabilities: from `Annotator.probabilities`, (N,).

    Raises:
        ValueError: if one is not in 0 .. 1, or there is none.

    Lesson: notebooks/33_reward.ipynb
    """
    p = _checked(probabilities)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"probabilities must be in 0 .. 1, got {p.min()} .. {p.max()}")
    return float(np.maximum(p, 1 - p).mean())


def _right(gaps: np.ndarray) -> np.ndarray:
    return np.asarray((np.sign(gaps) + 1) / 2)


def _checked(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        wrong = [n for n, x in enumerate(values.ravel().tolist()) if not math.isfinite(x)]
        at = f"; number {wrong[0]} is not finite" if wrong else ""
        raise ValueError(f"need finite numbers (N,) with N >= 1, got {values.shape}{at}")
    return values

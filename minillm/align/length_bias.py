"""Length bias: a reward that likes long answers, whatever they say: measure, plant, remove it.

    measure   correlation, and how often the longer of two answers wins
    plant     an annotator with a bias for "length" (annotators.py); how strong is known
    remove    pairs in which the longer answer wins as often as not (`balance`), or what length
              explains taken off the rewards (`regress_out`)

Long answers may be better for a good reason. So length alone is not the measure, where the gold
utility is known: `length_effect` asks what length adds to it.

Shape letters: N answers or pairs.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LengthFit:
    """What explains the rewards: reward = intercept + slope length (+ gold_slope utility).

    Attributes:
        slope: what one more unit of length adds to the reward.
        gold_slope: what one more unit of the utility adds; None where it was not given.
        intercept: the rest.
    """

    slope: float
    gold_slope: float | None
    intercept: float


def length_correlation(rewards: np.ndarray, lengths: np.ndarray) -> float:
    """Correlate rewards with lengths (Pearson): 1 rises in a line, 0 no line, -1 falls.

    Args:
        rewards, lengths: (N,) each, N >= 2.

    Raises:
        ValueError: if the two do not fit, one is not finite, or all values of one are equal.

    Source: Singhal et al. 2023, arXiv:2310.03716, who find rewards of several data sets to be
        explained by length to a large part.
    Lesson: notebooks/33_reward.ipynb
    """
    x, y = _checked(rewards, lengths)
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    if scale == 0:
        raise ValueError("all rewards or all lengths are equal: there is nothing to correlate")
    return float(x @ y / scale)


def longer_wins(gaps: np.ndarray, length_gaps: np.ndarray) -> float:
    """How often the longer of two answers wins, ties of the gap counted half.

    Args:
        gaps: by how much the first answer is better, (N,): of rewards, or +-1 for labels.
        length_gaps: by how much it is longer, (N,); pairs of equal length are left out.

    Returns:
        A share; 0.5 shows no preference for length, whatever its reason.

    Raises:
        ValueError: if the two do not fit, or all pairs have equal lengths.

    Lesson: notebooks/33_reward.ipynb
    """
    x, y = _checked(gaps, length_gaps)
    if not y.any():
        raise ValueError("all pairs have answers of equal length: nobody is longer")
    agree = np.sign(x[y != 0]) * np.sign(y[y != 0])
    return float(((agree + 1) / 2).mean())


def length_effect(
    rewards: np.ndarray, lengths: np.ndarray, gold: np.ndarray | None = None
) -> LengthFit:
    """Fit rewards by length, and by the gold utility if it is known (least squares).

    Where utility and length go together, the slope without the utility blames length for what the
    utility explains; with it, the slope is the bias.

    Args:
        rewards, lengths: (N,) each.
        gold: the utilities, (N,); None leaves them out.

    Returns:
        LengthFit.

    Raises:
        ValueError: if the numbers do not fit, there are too few, or length and utility cannot be
            told apart (one follows from the other, or does not vary).

    Lesson: notebooks/33_reward.ipynb
    """
    y, length = _checked(rewards, lengths)
    columns = [np.ones_like(length), length]
    if gold is not None:
        columns.append(_checked(gold, lengths)[0])
    design = np.stack(columns, axis=1)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise ValueError(
            "length (and utility) must vary, and not follow from one another: give more, and "
            "more different, answers"
        )
    found = np.linalg.lstsq(design, y, rcond=None)[0]
    gold_slope = float(found[2]) if gold is not None else None
    return LengthFit(float(found[1]), gold_slope, float(found[0]))


def regress_out(rewards: np.ndarray, lengths: np.ndarray, slope: float | None = None) -> np.ndarray:
    """Take off the rewards what length explains.

        r' = r - slope (length - mean length)

    Args:
        rewards, lengths: (N,) each.
        slope: from `length_effect`; None fits it without the utility, after which rewards and
            lengths are uncorrelated. If long answers are better for a good reason, that takes off
            too much.

    Returns:
        New rewards, (N,), of the same mean.

    Raises:
        ValueError: if the numbers do not fit, or the slope is not finite.

    Lesson: notebooks/33_reward.ipynb
    """
    r, length = _checked(rewards, lengths)
    slope = length_effect(r, length).slope if slope is None else slope
    if not np.isfinite(slope):
        raise ValueError(f"slope must be finite, got {slope}")
    return np.asarray(r - slope * (length - length.mean()))


def balance(length_gaps: np.ndarray, *, seed: int, n_bins: int = 1) -> np.ndarray:
    """Choose pairs of which length says nothing: in as many the chosen is longer as shorter.

    With several bins that holds among pairs of about equal difference, too. Pairs of equal length
    are all kept.

    Args:
        length_gaps: length of the chosen answer minus that of the rejected, (N,).
        seed: which of the surplus are left out.
        n_bins: quantiles of |gap| within which to balance.

    Returns:
        Numbers of the pairs that stay, rising.

    Raises:
        ValueError: if n_bins < 1, or the gaps are no finite (N,).

    Source: the balancing of Singhal et al. 2023, arXiv:2310.03716.
    Lesson: notebooks/33_reward.ipynb
    """
    gaps, _ = _checked(length_gaps, length_gaps)
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins}")
    size, dice = np.abs(gaps), np.random.default_rng(seed)
    moving = size[gaps != 0]
    inner = np.linspace(0, 1, n_bins + 1)[1:-1]
    edges = np.quantile(moving, inner) if len(moving) else np.zeros(len(inner))
    which = np.searchsorted(edges, size, side="left")
    kept = [np.flatnonzero(gaps == 0)]
    for k in range(n_bins):
        sides = [np.flatnonzero((which == k) & (sign * gaps > 0)) for sign in (1, -1)]
        n = min(map(len, sides))
        kept += [dice.permutation(side)[:n] for side in sides]
    return np.sort(np.concatenate(kept))


def _checked(one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    one, two = np.asarray(one, dtype=np.float64), np.asarray(two, dtype=np.float64)
    if one.ndim != 1 or one.shape != two.shape or not len(one):
        raise ValueError(f"need two rows of N >= 1 numbers, got {one.shape} and {two.shape}")
    if not (np.isfinite(one) & np.isfinite(two)).all():
        at = int(np.flatnonzero(~(np.isfinite(one) & np.isfinite(two)))[0])
        raise ValueError(f"number {at} is not finite: {one[at]} and {two[at]}")
    return one, two

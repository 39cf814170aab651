"""Utilities from comparisons alone: Bradley and Terry's model for a handful of things.

What a reward model does for answers it has never seen, this does for things that were compared
again and again: it finds the utilities that make the outcomes most likely.

Shape letters: K things.
"""

import numpy as np

from minillm.align.annotators import choice_probability


def count_wins(first: np.ndarray, second: np.ndarray, K: int) -> np.ndarray:
    """Count who was preferred to whom.

    Args:
        first: of each comparison the thing that was preferred, (N,), integers in 0 .. K - 1.
        second: the other, (N,).
        K: how many things there are.

    Returns:
        wins, (K, K), float64: wins[i, j] is how often i was preferred to j.

    Raises:
        ValueError: if the two do not fit, a number is not in 0 .. K - 1, or a thing is compared
            with itself.

    Lesson: notebooks/33_reward.ipynb
    """
    first, second = np.asarray(first), np.asarray(second)
    both = np.concatenate([first, second])
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"first {first.shape} and second {second.shape} must be (N,) both")
    if len(both) and (both.min() < 0 or both.max() >= K):
        raise ValueError(f"things are numbered 0 .. {K - 1}, got {both.min()} .. {both.max()}")
    if (first == second).any():
        raise ValueError("a thing is compared with itself; drop the comparison")
    wins = np.zeros((K, K))
    np.add.at(wins, (first, second), 1.0)
    return wins


def log_likelihood(utilities: np.ndarray, wins: np.ndarray) -> float:
    """How likely the outcomes are: sum over i, j of wins[i, j] ln sigma(u_i - u_j), in nats.

    Args:
        utilities: (K,).
        wins: (K, K).

    Lesson: notebooks/33_reward.ipynb
    """
    u = np.asarray(utilities, dtype=np.float64)
    gap = u[:, None] - u[None, :]
    return float(-(wins * np.logaddexp(0.0, -gap)).sum())


def fit_utilities(
    wins: np.ndarray, *, tolerance: float = 1e-10, max_steps: int = 100_000
) -> np.ndarray:
    """Find the utilities that make the outcomes most likely.

        e^{u_i}  <-  W_i / sum_j n_ij / (e^{u_i} + e^{u_j})        W_i wins of i, n_ij comparisons

    Each step makes the outcomes more likely (a minorisation), and there is one best point. It
    exists only where no group of things has won every comparison with the rest.

    Args:
        wins: wins[i, j] is how often i was preferred to j, (K, K), not negative.
        tolerance: stop where no utility moves by more.
        max_steps: give up after so many.

    Returns:
        (K,), float64, with mean 0: only differences are known.

    Raises:
        ValueError: if wins is no such matrix, or the best utilities are infinite.
        RuntimeError: if it has not settled after max_steps.

    Cost: O(K^2) a step.
    Source: Hunter 2004, MM algorithms for generalized Bradley-Terry models, Annals of Statistics
        32, eq. 3 and assumption 1 (which is Ford's, 1957).
    Lesson: notebooks/33_reward.ipynb
    """
    wins = np.asarray(wins, dtype=np.float64)
    if wins.ndim != 2 or wins.shape[0] != wins.shape[1] or len(wins) < 2:
        raise ValueError(f"wins must be (K, K) with K >= 2, got {wins.shape}")
    if not (np.isfinite(wins) & (wins >= 0)).all() or np.diag(wins).any():
        raise ValueError("wins must be finite, not negative, and 0 on the diagonal")
    if unbeaten := _unbeaten(wins):
        raise ValueError(
            f"things {unbeaten} never lost to any of the others (or were never compared with "
            "them), so the best utilities are infinite; compare more, or leave some out"
        )
    n, total = wins + wins.T, wins.sum(axis=1)
    u = np.zeros(len(wins))
    for _ in range(max_steps):
        strength = np.exp(u)
        new = np.log(total / (n / (strength[:, None] + strength[None, :])).sum(axis=1))
        new -= new.mean()
        moved = np.abs(new - u).max()
        u = new
        if moved < tolerance:
            return u
    raise RuntimeError(
        f"the utilities still move by {moved:.2g} after {max_steps:,} steps; raise max_steps, or "
        "compare more often"
    )


def fitted_probabilities(utilities: np.ndarray) -> np.ndarray:
    """The probability that i is preferred to j, (K, K); 1/2 on the diagonal."""
    u = np.asarray(utilities, dtype=np.float64)
    return choice_probability(u[:, None] - u[None, :])


def kendall_tau(one: np.ndarray, two: np.ndarray) -> float:
    """How alike two orders are: 1 the same, -1 reversed.

        tau = (agreeing pairs - disagreeing pairs) / all pairs

    Args:
        one, two: a number for each of K >= 2 things, without ties.

    Raises:
        ValueError: if the two do not fit, or there is a tie or a number that is not finite.

    Cost: O(K^2).
    Source: Kendall 1938, A new measure of rank correlation, Biometrika 30.
    Lesson: notebooks/33_reward.ipynb
    """
    one, two = np.asarray(one, dtype=np.float64), np.asarray(two, dtype=np.float64)
    if one.shape != two.shape or one.ndim != 1 or len(one) < 2:
        raise ValueError(f"need two rows of K >= 2 numbers, got {one.shape} and {two.shape}")
    for values in (one, two):
        if not np.isfinite(values).all() or len(np.unique(values)) < len(values):
            raise ValueError("there is a tie, or a number that is not finite: no order to compare")
    i, j = np.triu_indices(len(one), 1)
    return float(np.mean(np.sign(one[i] - one[j]) * np.sign(two[i] - two[j])))


def _unbeaten(wins: np.ndarray) -> list[int]:
    """A group of things that lost to nobody outside it, or [] if there is none."""
    K = len(wins)
    reach = (wins.T > 0) | np.eye(K, dtype=bool)  # reach[i, j]: i lost to j, perhaps by a chain
    for k in range(K):
        reach |= reach[:, k : k + 1] & reach[k : k + 1, :]
    smallest = min((np.flatnonzero(row) for row in reach), key=len)
    return [] if len(smallest) == K else [int(k) for k in smallest]

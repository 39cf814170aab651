"""How sure a fitted exponent is: fit again on runs drawn with replacement.

The draws are those of minillm.evaluate.bootstrap_interval (a test holds the two equal); this room
is on the lowest floor and may not import it. What is new is that a fit returns several numbers,
and that runs may have to be drawn in groups: five seeds of one setting are not five settings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bootstrap:
    """Every number of a fit, on all runs and on each resample.

    Attributes:
        estimates: from all runs.
        draws: from the resamples, an array for each name, in one order.
    """

    estimates: dict[str, float]
    draws: dict[str, np.ndarray]

    def interval(self, name: str, level: float = 0.95) -> tuple[float, float, float]:
        """The estimate, and the (1 - level)/2 and (1 + level)/2 quantiles of its draws.

        Raises:
            ValueError: if the fit has no number of that name, or level is not in (0, 1).
        """
        if name not in self.estimates:
            raise ValueError(f"no number {name!r} in this fit; there are {', '.join(self.draws)}")
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level}; 0.95 is usual")
        low, high = np.quantile(self.draws[name], [(1 - level) / 2, (1 + level) / 2])
        return self.estimates[name], float(low), float(high)


def bootstrap(
    fit: Callable[[np.ndarray], dict[str, float]],
    n_points: int,
    *,
    n_resamples: int = 200,
    seed: int = 0,
    groups: Sequence[object] | None = None,
) -> Bootstrap:
    """Call a fit on all points and on resamples of them.

    Args:
        fit: maps the numbers of the points to use, an int array in which a point may occur several
            times, to the numbers of the fit.
        n_points: how many points there are.
        n_resamples: how often they are drawn anew.
        seed: of the draws.
        groups: a label a point; points of one label are drawn together.

    Returns:
        The estimates and their draws. Resamples that the fit refuses with a ValueError (all x
        equal, say) are drawn again, at most as many times as there are resamples.

    Raises:
        ValueError: if n_points < 2, n_resamples < 1, there are fewer than 2 groups, the fit
            refuses all points, or it refuses more resamples than it takes.

    Cost: n_resamples + 1 fits.
    Source: Efron 1979, Annals of Statistics 7.
    Lesson: notebooks/25b_chinchilla.ipynb
    """
    whole = fit(np.arange(n_points))
    taken: list[dict[str, float]] = []
    refused = 0
    for rows in draw_rows(n_points, 2 * n_resamples, seed, groups):
        try:
            taken.append(fit(rows))
        except ValueError:
            refused += 1
        if len(taken) == n_resamples:
            break
    if len(taken) < n_resamples:
        raise ValueError(
            f"the fit refused {refused} of {2 * n_resamples} resamples: too few points, or all in "
            "a few groups"
        )
    return Bootstrap(whole, {name: np.array([one[name] for one in taken]) for name in whole})


def draw_rows(
    n_points: int, n_resamples: int, seed: int, groups: Sequence[object] | None = None
) -> list[np.ndarray]:
    """Draw the numbers of the points, with replacement.

    Args:
        n_points: how many there are.
        n_resamples: how many draws.
        seed: the same seed gives the same draws.
        groups: a label a point, or None for a group each.

    Returns:
        One int array a resample; of length n_points where no groups are given.

    Raises:
        ValueError: if n_points < 2, n_resamples < 1, or the labels are too few or all the same.

    Lesson: notebooks/25b_chinchilla.ipynb
    """
    if n_points < 2 or n_resamples < 1:
        raise ValueError(f"need 2 points and 1 resample, got {n_points} and {n_resamples}")
    draw = np.random.default_rng(seed)
    if groups is None:
        return [draw.integers(0, n_points, n_points) for _ in range(n_resamples)]
    if len(groups) != n_points:
        raise ValueError(f"groups needs a label a point: {len(groups)} for {n_points}")
    names = list(dict.fromkeys(groups))
    if len(names) < 2:
        raise ValueError(f"all points are in the group {names[0]!r}; nothing to draw")
    members = [np.array([i for i, g in enumerate(groups) if g == name]) for name in names]
    return [
        np.concatenate([members[i] for i in draw.integers(0, len(names), len(names))])
        for _ in range(n_resamples)
    ]

"""Chinchilla's third approach: fit all five constants of the law to all runs at once.

    min over a, b, e, alpha, beta of  sum over runs of Huber_delta(log L_predicted - log L)

    log L_predicted = log( exp(a - alpha log N) + exp(b - beta log D) + exp(e) )

with L-BFGS from a grid of starts, since the objective has several valleys. The bootstrap fits all
resamples side by side, each as a set of weights: how often every run was drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minillm.scaling.checks import enough, positive, spread
from minillm.scaling.chinchilla import ChinchillaLaw
from minillm.scaling.lbfgs import minimise
from minillm.scaling.resample import Bootstrap, draw_rows
from minillm.scaling.robust import LogSumProblem

NAMES = ("E", "A", "B", "alpha", "beta")


@dataclass(frozen=True)
class ParametricFit:
    """A fitted law and how well it fits.

    Attributes:
        law: the constants.
        objective: sum of Huber losses at the minimum.
        residuals: log of the predicted minus log of the measured loss, one a run.
        delta: of the Huber loss.
        n_starts_agreeing: how many of the refined starts ended within 1 part in 1000 of the best
            objective; a single one is a reason to look again.
    """

    law: ChinchillaLaw
    objective: float
    residuals: np.ndarray
    delta: float
    n_starts_agreeing: int


def fit_parametric(
    n: Sequence[float],
    d: Sequence[float],
    loss: Sequence[float],
    *,
    delta: float = 1e-3,
    starts: np.ndarray | None = None,
    weights: Sequence[float] | None = None,
    n_refined: int = 48,
) -> ParametricFit:
    """Fit L = E + A / N^alpha + B / D^beta.

    Args:
        n, d, loss: one number a run: parameters, tokens, final loss in nats a token.
        delta: of the Huber loss on log L.
        starts: rows (log A, log B, alpha, beta, log E); None means a grid on the scale of the
            losses. hoffmann_starts() is the paper's grid.
        weights: of the runs; None means 1.
        n_refined: how many of the starts, those with the lowest objective, L-BFGS goes on from;
            the paper went on from all of its 4 500.

    Returns:
        The fit of the lowest objective.

    Raises:
        ValueError: if there are fewer than 5 runs, a number is not positive, n or d does not
            vary, or the losses do not fall with n and d.

    Cost: under a second for 100 runs.
    Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.3 and equation 3; appendix D.2.
    Lesson: notebooks/25b_chinchilla.ipynb
    """
    logs, target = _columns(n, d, loss)
    w = None if weights is None else np.asarray(weights, dtype=np.float64)
    if w is not None and (w.shape != target.shape or (w < 0).any()):
        raise ValueError("weights need one number a run, none negative")
    problem = LogSumProblem(logs, target, delta=delta, weights=w)
    grid = problem.grid() if starts is None else problem.centred_points(starts)
    found = minimise(problem, problem.best_starts(grid, n_refined))
    best = int(found.values.argmin())
    agreeing = int((found.values <= found.values[best] * 1.001 + 1e-15).sum())
    residuals = problem.residuals(found.points[best : best + 1])[0][0]
    law = _law(_natural(problem, found.points[best : best + 1])[0])
    return ParametricFit(law, float(found.values[best]), residuals, delta, agreeing)


def bootstrap_parametric(
    n: Sequence[float],
    d: Sequence[float],
    loss: Sequence[float],
    *,
    n_resamples: int = 200,
    seed: int = 0,
    groups: Sequence[object] | None = None,
    delta: float = 1e-3,
) -> Bootstrap:
    """Fit the law to many resamples of the runs, all at once.

    Args:
        n, d, loss, delta: as for fit_parametric.
        n_resamples: how often the runs are drawn anew, with replacement.
        seed: of the draws.
        groups: a label a run; runs of one label are drawn together.

    Returns:
        Draws of "E", "A", "B", "alpha", "beta", "a" (exponent of N_opt) and "b".

    Raises:
        ValueError: as fit_parametric.

    Cost: a few seconds for 200 resamples of 60 runs.
    Source: Efron 1979, Annals of Statistics 7; Besiroglu et al. 2024, arXiv:2404.10102, section 3.
    Lesson: notebooks/25b_chinchilla.ipynb
    """
    logs, target = _columns(n, d, loss)
    whole = LogSumProblem(logs, target, delta=delta)
    ends = minimise(whole, whole.best_starts(whole.grid(), 24))
    best = ends.points[int(ends.values.argmin())]
    counts = np.stack(
        [
            np.bincount(rows, minlength=len(target))
            for rows in draw_rows(len(target), n_resamples, seed, groups)
        ]
    ).astype(np.float64)
    nudges = np.array([[0.0] * 5, [0.2, -0.2, 0.1, -0.1, 0.1], [-0.2, 0.2, -0.1, 0.1, -0.1]])
    starts = np.repeat(best + nudges, n_resamples, axis=0)
    problem = LogSumProblem(logs, target, delta=delta, weights=np.tile(counts, (len(nudges), 1)))
    found = minimise(problem, starts)
    values = found.values.reshape(len(nudges), n_resamples)
    winners = found.points.reshape(len(nudges), n_resamples, 5)[
        values.argmin(axis=0), np.arange(n_resamples)
    ]
    plain = _natural(whole, winners)
    estimate = dict(zip(NAMES, _natural(whole, best[None])[0], strict=True))
    draws = dict(zip(NAMES, plain.T, strict=True))
    for table in (estimate, draws):
        table["a"] = table["beta"] / (table["alpha"] + table["beta"])
        table["b"] = 1 - table["a"]
    return Bootstrap({k: float(v) for k, v in estimate.items()}, draws)


def hoffmann_starts() -> np.ndarray:
    """The 4 500 starting points of the paper, rows (log A, log B, alpha, beta, log E).

    Source: Hoffmann et al. 2022, arXiv:2203.15556, appendix D.2.
    """
    coefficients = np.arange(0, 26, 5.0)
    exponents = np.arange(0, 2.01, 0.5)
    floors = np.arange(-1, 1.01, 0.5)
    axes = np.meshgrid(coefficients, coefficients, exponents, exponents, floors, indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=1)


def _columns(
    n: Sequence[float], d: Sequence[float], loss: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    u, v, y = np.log(positive("n", n)), np.log(positive("d", d)), np.log(positive("loss", loss))
    enough("L(N, D)", u, v, y, parameters=5)
    spread("n", u, at_least=3)
    spread("d", v, at_least=3)
    return np.stack([u, v], axis=1), y


def _natural(problem: LogSumProblem, points: np.ndarray) -> np.ndarray:
    """Rows (E, A, B, alpha, beta) of rows of the problem."""
    rows = []
    for point in points:
        (log_a, log_b), (alpha, beta), e = problem.natural(point)
        rows.append((np.exp(e), np.exp(log_a), np.exp(log_b), alpha, beta))
    return np.array(rows)


def _law(row: np.ndarray) -> ChinchillaLaw:
    E, A, B, alpha, beta = (float(x) for x in row)
    if not (alpha > 0 and beta > 0):
        raise ValueError(
            f"the losses do not fall with both n and d: alpha = {alpha:.3g}, beta = {beta:.3g}; "
            "look at the runs, or widen the range of n and d"
        )
    return ChinchillaLaw(E, A, B, alpha, beta)

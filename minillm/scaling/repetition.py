"""What tokens are worth that a model has read before.

A token read for the second time teaches less than a new one. If each repetition keeps a share of
the value of the one before it, R repetitions of U unique tokens are worth about

    D' = U + U R* (1 - exp(-R / R*))

new ones: nearly all while R is far below R*, and never more than U (1 + R*). Parameters beyond
what the unique tokens can fill get the same treatment.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minillm.scaling.checks import enough, positive, spread
from minillm.scaling.chinchilla import (
    FLOPS_PER_PARAMETER_AND_TOKEN,
    MUENNIGHOFF,
    ChinchillaLaw,
    Numbers,
    Optimum,
)
from minillm.scaling.lbfgs import minimise
from minillm.scaling.robust import huber


def effective_amount(unique: Numbers, total: Numbers, r_star: Numbers) -> np.ndarray:
    """Say how many new tokens (or parameters) the repeated ones are worth.

        U + U R* (1 - exp(-R / R*)),    R = max(total / U - 1, 0),   U at most total

    Args:
        unique: U, positive.
        total: with repetitions; where it is below unique, nothing is repeated and it counts whole.
        r_star: R*, the number of repetitions after which 1 - 1/e of the possible gain is had;
            infinity means that repetition costs nothing.

    Returns:
        The effective amount, of the broadcast shape; at most unique (1 + R*).

    Raises:
        ValueError: if one of them is not positive.

    Source: Muennighoff et al. 2023, arXiv:2305.16264, section 3.1.
    Lesson: notebooks/26_repetition.ipynb
    """
    total = positive("total", total)
    unique = np.minimum(positive("unique", unique), total)
    r_star = np.asarray(r_star, dtype=np.float64)
    if not (r_star > 0).all():
        raise ValueError(f"r_star must be positive, got {r_star.min()}")
    repeated = total / unique - 1
    with np.errstate(invalid="ignore"):
        gained = np.where(np.isinf(r_star), repeated, -r_star * np.expm1(-repeated / r_star))
    return np.asarray(unique + unique * gained)


R_RANGE = (0.01, 1e4)
"""Where fit_repetition looks for R*; an end of it means: not to be told from the runs."""


@dataclass(frozen=True)
class RepetitionLaw:
    """Chinchilla's law with effective tokens and effective parameters.

        L = E + A / N'^alpha + B / D'^beta

    Attributes:
        base: the law without repetition.
        r_d: R* of the tokens.
        r_n: R* of the parameters; infinity leaves N as it is.

    Source: Muennighoff et al. 2023, arXiv:2305.16264, section 3.1 and appendix A.
    Lesson: notebooks/26_repetition.ipynb
    """

    base: ChinchillaLaw
    r_d: float
    r_n: float = float("inf")

    def __post_init__(self) -> None:
        for name, value in (("r_d", self.r_d), ("r_n", self.r_n)):
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")

    def effective_tokens(self, d: Numbers, unique: Numbers) -> np.ndarray:
        """D' of d tokens, of which unique are different."""
        return effective_amount(unique, d, self.r_d)

    def effective_parameters(self, n: Numbers, unique: Numbers) -> np.ndarray:
        """N' of n parameters: those beyond the best size for the unique tokens count less."""
        return effective_amount(self.base.best_n(unique), n, self.r_n)

    def loss(self, n: Numbers, d: Numbers, unique: Numbers) -> np.ndarray:
        """Predict the loss of n parameters on d tokens, of which unique are different.

        Where d is below unique, only d tokens were seen, and they are the unique ones.
        """
        seen = np.minimum(positive("unique", unique), positive("d", d))
        return self.base.loss(self.effective_parameters(n, seen), self.effective_tokens(d, seen))

    def optimum(self, flops: float, unique: float) -> Optimum:
        """Find the best N and D for a budget when only `unique` different tokens exist.

        By a search over log N, since there is no closed form.

        Raises:
            ValueError: if flops or unique is not positive.
        """
        product = float(positive("flops", flops)) / FLOPS_PER_PARAMETER_AND_TOKEN
        free = np.log(self.base.optimum(flops).n)
        grid = np.linspace(free - 12, free + 12, 481)
        for _ in range(4):
            sizes = np.exp(grid)
            losses = self.loss(sizes, product / sizes, unique)
            best = int(losses.argmin())
            low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
            grid = np.linspace(low, high, 201)
        n = float(sizes[best])
        return Optimum(float(flops), n, product / n, float(losses[best]))


MUENNIGHOFF_REPEATED = RepetitionLaw(MUENNIGHOFF, r_d=15.387756, r_n=5.309743)
"""Muennighoff et al. 2023, arXiv:2305.16264, appendix A; fitted to 182 runs on C4."""


@dataclass(frozen=True)
class RepetitionFit:
    """A fitted law of repetition.

    Attributes:
        law: base as given, r_d and r_n fitted.
        objective: sum of Huber losses at the minimum.
        residuals: log of the predicted minus log of the measured loss, one a run.
    """

    law: RepetitionLaw
    objective: float
    residuals: np.ndarray


def fit_repetition(
    n: Sequence[float],
    d: Sequence[float],
    unique: Sequence[float],
    loss: Sequence[float],
    base: ChinchillaLaw,
    *,
    delta: float = 1e-3,
    parameters: bool = True,
) -> RepetitionFit:
    """Fit R* of the tokens, and R* of the parameters, with the base law held fixed.

    Args:
        n, d, unique, loss: one number a run: parameters, tokens read, different tokens, loss.
        base: fitted before, to runs without repetition.
        delta: of the Huber loss on log L.
        parameters: whether R* of the parameters is fitted too; False leaves it at infinity.

    Returns:
        The fit of the lowest objective over a grid of starts. R* is sought in R_RANGE.

    Raises:
        ValueError: if there are fewer runs than constants, a number is not positive, or no run
            repeats anything.

    Source: Muennighoff et al. 2023, arXiv:2305.16264, appendix A.
    Lesson: notebooks/26_repetition.ipynb
    """
    columns = [positive(*pair) for pair in (("n", n), ("d", d), ("unique", unique))]
    target = np.log(positive("loss", loss))
    enough("a law of repetition", *columns, target, parameters=2 if parameters else 1)
    repeats = columns[1] / columns[2]
    if not (repeats > 1).any():
        raise ValueError("no run reads a token twice: d is at most unique in all of them")
    spread("d / unique", repeats)

    n_free = 2 if parameters else 1

    def predicted(points: np.ndarray) -> np.ndarray:
        """log L of every run under K settings (log R*_D, log R*_N), (K, runs)."""
        r = np.exp(np.clip(points, *np.log(R_RANGE)))
        size = base.best_n(np.minimum(columns[1], columns[2]))
        n_here = effective_amount(size, columns[0], r[:, 1:2] if parameters else np.inf)
        return np.log(base.loss(n_here, effective_amount(columns[2], columns[1], r[:, :1])))

    def total(points: np.ndarray) -> np.ndarray:
        return np.asarray(huber(predicted(points) - target, delta).sum(axis=1))

    def objective(points: np.ndarray, _: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        steps = 1e-5 * np.eye(n_free)
        slopes = [(total(points + step) - total(points - step)) / 2e-5 for step in steps]
        return total(points), np.stack(slopes, axis=1)

    seeds = np.log([0.5, 4.0, 16.0, 64.0])
    starts = np.array([(x, y)[:n_free] for x in seeds for y in seeds[: 4 ** (n_free - 1)]])
    found = minimise(objective, starts, max_iterations=80)
    at = int(found.values.argmin())
    r = np.exp(np.clip(found.points[at], *np.log(R_RANGE)))
    law = RepetitionLaw(base, float(r[0]), float(r[1]) if parameters else float("inf"))
    residuals = predicted(found.points[at : at + 1])[0] - target
    return RepetitionFit(law, float(found.values[at]), residuals)


def without_repetition(law: RepetitionLaw) -> RepetitionLaw:
    """The same base, where repeated tokens and excess parameters count whole."""
    return dataclasses.replace(law, r_d=float("inf"), r_n=float("inf"))

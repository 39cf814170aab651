"""From a budget to a model: what each law would train, and what serving it changes.

The nine rows of Hoffmann's table 3 are here as data, with a check of each row.
"""

import math
from dataclasses import dataclass

import numpy as np

from minillm.scaling.checks import positive
from minillm.scaling.chinchilla import LAWS, ChinchillaLaw, Optimum
from minillm.scaling.kaplan import kaplan_optimum

GOPHER_UNIT = 5.76e23
"""FLOPs of Gopher as Hoffmann et al. count them: arXiv:2203.15556, table 3."""

SMALLEST_N = 1e3
"""A decoder of one layer, width 8 and 16 tokens of vocabulary has about as many parameters."""


@dataclass(frozen=True)
class TableRow:
    """A row of the table: parameters, FLOPs, FLOPs in units of Gopher's, tokens."""

    n: float
    flops: float
    gopher_units: float
    d: float


ARTICLE_ROWS = (
    TableRow(400e6, 1.92e19, 1 / 29_968, 8.0e9),
    TableRow(1e9, 1.21e20, 1 / 4_761, 20.2e9),
    TableRow(10e9, 1.23e22, 1 / 46, 205.1e9),
    TableRow(67e9, 5.76e23, 1, 1.5e12),
    TableRow(175e9, 3.85e24, 6.7, 3.7e12),
    TableRow(280e9, 9.90e24, 17.2, 5.9e12),
    TableRow(520e9, 3.43e25, 59.5, 11.0e12),
    TableRow(1e12, 1.27e26, 221.3, 21.2e12),
    TableRow(10e12, 1.30e28, 22515.9, 216.2e12),
)
"""Hoffmann et al. 2022, arXiv:2203.15556, table 3, projections of approach 1."""


@dataclass(frozen=True)
class RowCheck:
    """What the arithmetic says of a row.

    Attributes:
        row: the row.
        product_ratio: 6 N D / FLOPs.
        unit_ratio: FLOPs / 5.76e23 over the printed number of units.
        product_fits, unit_fits: whether these are within the tolerance of 1.
    """

    row: TableRow
    product_ratio: float
    unit_ratio: float
    product_fits: bool
    unit_fits: bool

    @property
    def tokens_per_parameter(self) -> float:
        """D / N of the row."""
        return self.row.d / self.row.n


def check_rows(
    rows: tuple[TableRow, ...] = ARTICLE_ROWS, *, tolerance: float = 0.01
) -> list[RowCheck]:
    """Check each row: is C = 6 N D, and are the units C / 5.76e23?

    Args:
        rows: of the table.
        tolerance: of either ratio, as a share.

    Returns:
        One check a row.

    Lesson: notebooks/25b_chinchilla.ipynb
    """
    found = []
    for row in rows:
        product = 6 * row.n * row.d / row.flops
        unit = row.flops / GOPHER_UNIT / row.gopher_units
        fits = [abs(ratio - 1) <= tolerance for ratio in (product, unit)]
        found.append(RowCheck(row, product, unit, fits[0], fits[1]))
    return found


def grow(factor: float, exponent_n: float) -> tuple[float, float]:
    """By how much parameters and tokens grow when the compute grows by a factor.

        factor^a and factor^(1 - a)

    Args:
        factor: of the compute, positive.
        exponent_n: a, in [0, 1].

    Raises:
        ValueError: if the factor is not positive, or the exponent is outside of [0, 1].

    Lesson: notebooks/25b_chinchilla.ipynb
    """
    if not 0 <= exponent_n <= 1:
        raise ValueError(f"exponent_n is a share and cannot be {exponent_n}")
    c = float(positive("factor", factor))
    return c**exponent_n, c ** (1 - exponent_n)


def plan_budget(
    flops: float, law: str | ChinchillaLaw = "besiroglu", *, smallest_n: float = SMALLEST_N
) -> Optimum:
    """Spend a budget as a law says.

    Args:
        flops: C.
        law: a fitted law, or "hoffmann", "hoffmann-tex", "besiroglu", "muennighoff" (closed form
            of the parametric fit), "kaplan" (N without embeddings), "twenty" (20 tokens a
            parameter), "approach-1" (the line through the nine rows of the table).
        smallest_n: fewer parameters are refused.

    Returns:
        N, D and the predicted loss; nan where the law has none.

    Raises:
        ValueError: if flops is not positive, the law is unknown, or the best model has fewer than
            smallest_n parameters.

    Lesson: notebooks/25b_chinchilla.ipynb
    """
    c = float(positive("flops", flops))
    if isinstance(law, ChinchillaLaw):
        best = law.optimum(c)
    elif law in LAWS:
        best = LAWS[law].optimum(c)
    elif law == "kaplan":
        best = kaplan_optimum(c)
    elif law == "twenty":
        n = math.sqrt(c / (6 * 20))
        best = Optimum(c, n, 20 * n, math.nan)
    elif law == "approach-1":
        best = _table_line(c)
    else:
        names = ", ".join([*LAWS, "kaplan", "twenty", "approach-1"])
        raise ValueError(f"no law {law!r}; there are {names}")
    if best.n < smallest_n:
        raise ValueError(
            f"{c:.3g} FLOPs buy a model of {best.n:.3g} parameters by this law, below the smallest "
            f"of {smallest_n:.3g}; a law says nothing down there, take a larger budget"
        )
    return best


def _table_line(flops: float) -> Optimum:
    """N from the least-squares line through the table's rows, D from C = 6 N D."""
    x = np.log([row.flops for row in ARTICLE_ROWS])
    slope, height = np.polyfit(x, np.log([row.n for row in ARTICLE_ROWS]), 1)
    n = float(np.exp(height + slope * math.log(flops)))
    return Optimum(flops, n, flops / (6 * n), math.nan)


@dataclass(frozen=True)
class ServingPlan:
    """The cheapest model of a given loss, over its whole life.

    Attributes:
        n, d: parameters and training tokens.
        training_flops: 6 N D.
        serving_flops: 2 N for each token that is read or written in use.
        optimum: what is cheapest to train alone, for the same loss.
    """

    n: float
    d: float
    training_flops: float
    serving_flops: float
    optimum: Optimum

    @property
    def total(self) -> float:
        """FLOPs of training and serving together."""
        return self.training_flops + self.serving_flops


def cheapest_training(loss: float, law: ChinchillaLaw) -> Optimum:
    """The smallest budget that reaches a loss, and how it is spent.

    At the optimum alpha A N^-alpha = beta B D^-beta, so that the reducible loss is
    A N^-alpha (1 + alpha / beta), which gives N.

    Raises:
        ValueError: if the loss is not above the law's floor.

    Lesson: notebooks/25b_chinchilla.ipynb
    """
    if not loss > law.E:
        raise ValueError(f"no model reaches {loss:.4g}: the floor of this law is {law.E:.4g}")
    left = (loss - law.E) / (1 + law.alpha / law.beta)
    n = (law.A / left) ** (1 / law.alpha)
    d = law.tokens_for(n, loss)
    return Optimum(6 * n * d, n, d, loss)


def serving_plan(loss: float, served_tokens: float, law: ChinchillaLaw) -> ServingPlan:
    """Minimise the FLOPs of training and serving together, at a given loss.

        min over N of  6 N D(N) + 2 N T,    D(N) = tokens with which N reaches the loss

    Args:
        loss: that the model must have.
        served_tokens: T, read and written in use over its life; 0 gives the cheapest training.
        law: of the loss.

    Returns:
        The plan: never larger than the cheapest model to train, and on more tokens.

    Raises:
        ValueError: if the loss is not above the law's floor, or served_tokens is negative.

    Source: Sardana et al. 2023 (Beyond Chinchilla-Optimal), arXiv:2401.00448, section 2.
    Lesson: notebooks/25b_chinchilla.ipynb
    """
    if not served_tokens >= 0:
        raise ValueError(f"served_tokens cannot be {served_tokens}")
    best = cheapest_training(loss, law)
    smallest = (law.A / (loss - law.E)) ** (1 / law.alpha)  # with tokens without end

    def cost(n: np.ndarray) -> np.ndarray:
        left = loss - law.E - law.A * n**-law.alpha
        return 6 * n * (law.B / left) ** (1 / law.beta) + 2 * n * served_tokens

    low, high = math.log(smallest * (1 + 1e-9)), math.log(best.n)
    for _ in range(6):
        grid = np.linspace(low, high, 201)
        at = int(cost(np.exp(grid)).argmin())
        low, high = grid[max(at - 1, 0)], grid[min(at + 1, 200)]
    n = best.n if served_tokens == 0 else float(np.exp(grid[at]))
    d = law.tokens_for(n, loss)
    return ServingPlan(n, d, 6 * n * d, 2 * n * served_tokens, best)


def break_even(n_small: float, n_large: float, d_large: float, law: ChinchillaLaw) -> float:
    """The served tokens from which a smaller model of the same loss is the cheaper one.

        6 N_s D_s + 2 N_s T = 6 N_l D_l + 2 N_l T

    Args:
        n_small, n_large: parameters, n_small < n_large.
        d_large: tokens of the larger model, which sets the loss.
        law: gives the tokens D_s with which the smaller one reaches it.

    Returns:
        T; 0 where the smaller model is cheaper to train already.

    Raises:
        ValueError: if n_small is not below n_large, or never reaches the loss.

    Lesson: notebooks/25b_chinchilla.ipynb
    """
    if not n_small < n_large:
        raise ValueError(f"n_small must be below n_large, got {n_small:.3g} and {n_large:.3g}")
    d_small = law.tokens_for(n_small, float(law.loss(n_large, d_large)))
    extra = 6 * n_small * d_small - 6 * n_large * d_large
    return max(0.0, extra / (2 * (n_large - n_small)))

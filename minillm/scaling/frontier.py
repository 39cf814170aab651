"""Two ways to the best model for a budget that ask for no formula of the loss.

- envelope, Chinchilla's approach 1: train several sizes, and ask of each budget which training
  curve is lowest there.
- isoflop, approach 2: spend the same budget on several sizes, and take the bottom of the parabola
  through the losses over log N.

Both end with N_opt and D_opt at several budgets, and a power law through each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minillm.scaling.checks import enough, positive, spread
from minillm.scaling.chinchilla import Optimum
from minillm.scaling.powerlaw import PowerLawFit, fit_power_law


@dataclass(frozen=True)
class FrontierFit:
    """The best model of each budget, and the power laws through them.

    Attributes:
        flops, n, d, loss: of the best model at each budget, one array each.
        n_fit, d_fit: N_opt and D_opt against C.
        inside: True where the bottom lies between the smallest and the largest size that was
            tried; False is an extrapolation.
    """

    flops: np.ndarray
    n: np.ndarray
    d: np.ndarray
    loss: np.ndarray
    n_fit: PowerLawFit
    d_fit: PowerLawFit
    inside: np.ndarray

    @property
    def a(self) -> float:
        """Exponent of N_opt against C."""
        return self.n_fit.exponent

    @property
    def b(self) -> float:
        """Exponent of D_opt against C."""
        return self.d_fit.exponent

    def optimum(self, flops: float) -> Optimum:
        """What the two power laws say of a budget; they say nothing of the loss (nan)."""
        n, d = (float(fit.predict(flops)) for fit in (self.n_fit, self.d_fit))
        return Optimum(flops, n, d, float("nan"))


@dataclass(frozen=True)
class Parabola:
    """loss = floor + curvature (log N - log n_opt)^2.

    Attributes:
        n_opt: where the bottom is.
        floor: the loss there.
        curvature: positive.
    """

    n_opt: float
    floor: float
    curvature: float

    def predict(self, n: "float | Sequence[float] | np.ndarray") -> np.ndarray:
        """The loss at n, of n's shape."""
        return np.asarray(
            self.floor + self.curvature * np.log(np.asarray(n, dtype=float) / self.n_opt) ** 2
        )


def fit_parabola(n: Sequence[float], loss: Sequence[float]) -> Parabola:
    """Fit a parabola to the losses of one budget over log N, by least squares.

    Args:
        n, loss: one number a run; at least 3 different n.

    Returns:
        The parabola.

    Raises:
        ValueError: if there are fewer than 3 sizes, a number is not positive, or the parabola
            opens downwards: then the sizes do not bracket an optimum.

    Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.2.
    Lesson: notebooks/25b_chinchilla.ipynb
    """
    x, y = np.log(positive("n", n)), positive("loss", loss)
    enough("a parabola", x, y, parameters=3)
    spread("n", x, at_least=3)
    middle = x.mean()
    curvature, slope, height = np.polyfit(x - middle, y, 2)
    if not curvature > 1e-12:
        raise ValueError(
            f"the losses bend the wrong way (curvature {curvature:.3g}): the sizes from "
            f"{np.exp(x.min()):.3g} to {np.exp(x.max()):.3g} do not bracket an optimum; try others"
        )
    shift = -slope / (2 * curvature)
    floor = height - slope**2 / (4 * curvature)
    return Parabola(float(np.exp(middle + shift)), float(floor), float(curvature))


def fit_isoflop(
    flops: Sequence[float],
    n: Sequence[float],
    loss: Sequence[float],
    *,
    d: Sequence[float] | None = None,
) -> FrontierFit:
    """Approach 2: the bottom of a parabola for each budget, then a line through the bottoms.

    Args:
        flops: the nominal budget of each run; runs of one budget have the very same number.
        n, loss: parameters and final loss of each run.
        d: tokens of each run; None means C / (6 N). Where they are given, D at the bottom is read
            from the line through (log N, log D) of the budget, so that FLOPs may be counted
            exactly.

    Returns:
        The frontier.

    Raises:
        ValueError: if there are fewer than 2 budgets, or a budget as fit_parabola.

    Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.2.
    Lesson: notebooks/25b_chinchilla.ipynb
    """
    c, sizes = positive("flops", flops), positive("n", n)
    tokens = c / (6 * sizes) if d is None else positive("d", d)
    losses = positive("loss", loss)
    enough("an IsoFLOP grid", c, sizes, losses, tokens, parameters=6)
    spread("flops", c)
    rows = []
    for budget in np.unique(c):
        here = c == budget
        parabola = _parabola_of(budget, sizes[here], losses[here])
        line = fit_power_law(list(sizes[here]), list(tokens[here]))
        inside = sizes[here].min() <= parabola.n_opt <= sizes[here].max()
        rows.append(
            (
                budget,
                parabola.n_opt,
                float(line.predict(parabola.n_opt)),
                parabola.floor,
                inside,
            )
        )
    return _frontier(*(np.array(column) for column in zip(*rows, strict=True)))


def _parabola_of(budget: float, n: np.ndarray, loss: np.ndarray) -> Parabola:
    try:
        return fit_parabola(list(n), list(loss))
    except ValueError as error:
        raise ValueError(f"budget {budget:.3g}: {error}") from None


@dataclass(frozen=True)
class Curve:
    """The training curve of one run.

    Attributes:
        n: its parameters.
        d: tokens seen at each point, growing.
        loss: at each point, smoothed or measured on held-out text.
        flops: spent at each point, growing.
    """

    n: float
    d: np.ndarray
    loss: np.ndarray
    flops: np.ndarray


def envelope(
    curves: Sequence[Curve], budgets: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ask of each budget which curve is lowest there.

    Between two points of a curve, loss and tokens are read from the straight line over log C.

    Args:
        curves: of several sizes.
        budgets: FLOPs; a curve counts only for budgets that it covers.

    Returns:
        For each budget: the number of the lowest curve, its N, its D and its loss.

    Raises:
        ValueError: if a curve does not grow or is not positive, or no curve covers a budget.

    Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.1.
    Lesson: notebooks/25b_chinchilla.ipynb
    """
    c = positive("budgets", budgets)
    losses = np.full((len(curves), len(c)), np.inf)
    tokens = np.zeros_like(losses)
    for i, curve in enumerate(curves):
        x = np.log(positive("flops", curve.flops))
        if len(x) < 2 or (np.diff(x) <= 0).any():
            raise ValueError(f"curve {i}: flops must grow from point to point, 2 points or more")
        covered = (np.log(c) >= x[0]) & (np.log(c) <= x[-1])
        at = np.log(c[covered])
        losses[i, covered] = np.interp(at, x, positive("loss", curve.loss))
        tokens[i, covered] = np.exp(np.interp(at, x, np.log(positive("d", curve.d))))
    best = losses.argmin(axis=0)
    each = np.arange(len(c))
    if not np.isfinite(losses[best, each]).all():
        lost = c[~np.isfinite(losses[best, each])][0]
        raise ValueError(f"no curve reaches the budget {lost:.3g}")
    sizes = positive("n", [curve.n for curve in curves])
    return best, sizes[best], tokens[best, each], losses[best, each]


def fit_envelope(
    curves: Sequence[Curve], budgets: Sequence[float] | None = None, *, n_budgets: int = 50
) -> FrontierFit:
    """Approach 1: the lowest curve at each of many budgets, then a line through N and through D.

    Args:
        curves: of at least 2 sizes.
        budgets: FLOPs; None means n_budgets, evenly spaced in log C over what two or more curves
            cover. The paper takes 1 500.
        n_budgets: see budgets.

    Returns:
        The frontier. `inside` is False where the lowest curve is that of the smallest or of the
        largest model: there a better one may lie outside.

    Raises:
        ValueError: as envelope; or if one curve is the lowest everywhere.

    Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.1.
    Lesson: notebooks/25b_chinchilla.ipynb
    """
    if len(curves) < 2:
        raise ValueError(f"an envelope needs curves of at least 2 sizes, got {len(curves)}")
    if budgets is None:
        starts = sorted(float(curve.flops[0]) for curve in curves)
        ends = sorted(float(curve.flops[-1]) for curve in curves)
        if not starts[1] < ends[-2]:
            raise ValueError("the curves share no range of FLOPs")
        budgets = list(np.geomspace(starts[1], ends[-2], n_budgets))
    _, n, d, loss = envelope(curves, budgets)
    spread("the size of the lowest curve", n)
    sizes = [curve.n for curve in curves]
    inside = (n > min(sizes)) & (n < max(sizes))
    return _frontier(np.asarray(budgets, dtype=np.float64), n, d, loss, inside)


def _frontier(
    flops: np.ndarray, n: np.ndarray, d: np.ndarray, loss: np.ndarray, inside: np.ndarray
) -> FrontierFit:
    c = list(flops)
    return FrontierFit(
        flops, n, d, loss, fit_power_law(c, list(n)), fit_power_law(c, list(d)), inside
    )

"""L-BFGS from many starting points at once.

Newton's method steps along H^-1 g. L-BFGS never forms H: it keeps the last few steps s and changes
of the gradient y, and builds the product H^-1 g from them. Here all starts advance side by side, as
the rows of one array, which is how a fit from hundreds of starts takes a second.

The line search asks for the weak Wolfe conditions, found by bisection; those also work on the
corners of a Huber loss with a small delta.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Objective = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(points (K, P), rows (K,)) -> (values (K,), gradients (K, P)); rows: which starts they are."""

ENOUGH_DECREASE = 1e-4
ENOUGH_FLATTER = 0.9
FLAT = 1e-40
"""A gradient below this is none: its products would leave the range of float64."""


@dataclass(frozen=True)
class Minimum:
    """Where each start ended.

    Attributes:
        points: (K, P).
        values: (K,).
        iterations: how many steps the slowest start took.
    """

    points: np.ndarray
    values: np.ndarray
    iterations: int


def minimise(
    objective: Objective,
    starts: np.ndarray,
    *,
    memory: int = 12,
    max_iterations: int = 400,
    tolerance: float = 1e-12,
) -> Minimum:
    """Minimise a function of P numbers from K starting points.

        x <- x - t H g,    H from the last `memory` pairs  s = x' - x,  y = g' - g

    A start rests when its steps no longer lower the value by a share of `tolerance`.

    Args:
        objective: values and gradients of many points.
        starts: (K, P).
        memory: pairs that are kept.
        max_iterations: of the slowest start.
        tolerance: relative decrease over a step below which a start rests.

    Returns:
        The end of each start, in the order of the starts.

    Raises:
        ValueError: if starts is not two-dimensional, or the objective is finite at none of them.

    Cost: about two objective calls an iteration, on the starts that still move.
    Source: Nocedal and Wright 2006, Numerical Optimization, algorithms 7.4 and 7.5; the line
        search: Lewis and Overton 2013, Mathematical Programming 141, algorithm 2.6.
    Lesson: notebooks/25b_chinchilla.ipynb
    """
    x = np.array(starts, dtype=np.float64)
    if x.ndim != 2 or not len(x):
        raise ValueError(f"starts must be (K, P) with K > 0, got shape {x.shape}")
    rows = np.arange(len(x))
    value, gradient = objective(x, rows)
    if not np.isfinite(value).any():
        raise ValueError("the objective is finite at none of the starts")
    moving = np.isfinite(value) & np.isfinite(gradient).all(axis=1)
    steps = np.zeros((0, *x.shape))
    changes = np.zeros((0, *x.shape))
    iteration = 0
    while moving.any() and iteration < max_iterations:
        iteration += 1
        go = rows[moving]
        direction = _direction(gradient[go], steps[:, go], changes[:, go])
        new_x, new_value, new_gradient = _search(
            objective, go, x[go], value[go], gradient[go], direction
        )
        step, change = np.zeros_like(x), np.zeros_like(x)
        step[go], change[go] = new_x - x[go], new_gradient - gradient[go]
        steps = np.concatenate([steps, step[None]])[-memory:]
        changes = np.concatenate([changes, change[None]])[-memory:]
        fell = value[go] - new_value
        x[go], gradient[go] = new_x, new_gradient
        steep = np.abs(new_gradient).max(axis=1) > FLAT
        moving[go] = steep & (fell > tolerance * np.abs(value[go]))
        value[go] = new_value
    return Minimum(x, np.where(np.isfinite(value), value, np.inf), iteration)


def _direction(gradient: np.ndarray, steps: np.ndarray, changes: np.ndarray) -> np.ndarray:
    """-H g by the two loops; pairs without curvature are passed over, a bad result is -g."""
    curvature = (steps * changes).sum(axis=2)  # (m, K)
    lengths = (changes**2).sum(axis=2)
    usable = curvature > 1e-12 * lengths
    rho = np.where(usable, 1 / np.where(usable, curvature, 1), 0)
    q, alphas = gradient.copy(), []
    for s, y, r in zip(steps[::-1], changes[::-1], rho[::-1], strict=True):
        alphas.append(r * (s * q).sum(axis=1))
        q -= alphas[-1][:, None] * y
    scale = 1 / np.maximum(1.0, np.linalg.norm(gradient, axis=1))  # a first step of at most 1
    for c, long, fit in zip(curvature, lengths, usable, strict=True):
        scale = np.where(fit, c / np.where(fit, long, 1), scale)
    q *= scale[:, None]
    for s, y, r, a in zip(steps, changes, rho, alphas[::-1], strict=True):
        q += s * (a - r * (y * q).sum(axis=1))[:, None]
    downhill = (q * gradient).sum(axis=1) > 0
    return np.where(downhill[:, None], -q, -gradient * scale[:, None])


def _search(
    objective: Objective,
    rows: np.ndarray,
    x: np.ndarray,
    value: np.ndarray,
    gradient: np.ndarray,
    direction: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find a step length by bisection: the value falls enough, the slope is flatter."""
    slope = (gradient * direction).sum(axis=1)
    t, low, high = np.ones(len(x)), np.zeros(len(x)), np.full(len(x), np.inf)
    best = (x.copy(), value.copy(), gradient.copy())
    open_ = np.arange(len(x))
    for _ in range(40):
        if not len(open_):
            break
        trial = x[open_] + t[open_, None] * direction[open_]
        found, slopes = objective(trial, rows[open_])
        found = np.where(np.isfinite(found), found, np.inf)
        fell = found <= value[open_] + ENOUGH_DECREASE * t[open_] * slope[open_]
        along = (slopes * direction[open_]).sum(axis=1)
        flat = along >= ENOUGH_FLATTER * slope[open_]
        better = fell & (found < best[1][open_])
        for whole, part in zip(best, (trial, found, slopes), strict=True):
            whole[open_[better]] = part[better]
        high[open_[~fell]] = t[open_[~fell]]
        low[open_[fell]] = t[open_[fell]]
        bounded = np.isfinite(high)
        t = np.where(bounded, (low + np.where(bounded, high, 0)) / 2, 2 * low)
        open_ = open_[~(fell & flat)]
    return best

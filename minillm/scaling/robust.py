"""The objective that Chinchilla's third approach minimises: Huber loss of the logarithm of a sum.

    sum_i  w_i Huber_delta( log(E + sum_t A_t x_it^-p_t) - log y_i )

All coefficients are kept as logarithms, so that they stay positive, and the sum is a log-sum-exp.
Internally each log x is measured from its mean: the coefficient and the exponent of a term then
hardly move together, and L-BFGS needs tens of steps instead of thousands.
"""

import itertools

import numpy as np


def huber(residuals: np.ndarray, delta: float) -> np.ndarray:
    """Square small residuals and take large ones by their size.

        r^2 / 2            for |r| <= delta
        delta (|r| - delta / 2)   beyond

    An outlier pulls with the same force however far out it lies.

    Args:
        residuals: any shape.
        delta: where the square ends; positive.

    Returns:
        The loss of each, of the same shape.

    Raises:
        ValueError: if delta is not positive.

    Source: Huber 1964, Annals of Mathematical Statistics 35.
    Lesson: notebooks/25b_chinchilla.ipynb
    """
    if not delta > 0:
        raise ValueError(f"delta must be positive, got {delta}; Hoffmann et al. take 1e-3")
    size = np.abs(residuals)
    return np.where(size <= delta, residuals**2 / 2, delta * (size - delta / 2))


class LogSumProblem:
    """The objective above as a function of many parameter vectors at once.

    A vector is (c_1 .. c_T, p_1 .. p_T, e): c_t = log A_t - p_t mean(log x_t), and e = log E.

    Args:
        logs: log x, (n, T), a column for each power term.
        target: log y, (n,).
        delta: of the Huber loss.
        weights: (n,), or (K, n) with a row for each start; None means 1.
    """

    def __init__(
        self,
        logs: np.ndarray,
        target: np.ndarray,
        *,
        delta: float = 1e-3,
        weights: np.ndarray | None = None,
    ) -> None:
        self.means = logs.mean(axis=0)  # (T,)
        self.centred = (logs - self.means).T  # (T, n)
        self.target = target
        self.delta = delta
        self.weights = weights

    def residuals(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log of the law minus log y, (K, n), and the share of each term, (T + 1, K, n)."""
        n_terms = len(self.centred)
        c, p, e = points[:, :n_terms], points[:, n_terms:-1], points[:, -1]
        terms = [
            c[:, t, None] - p[:, t, None] * self.centred[t] for t in range(n_terms)
        ]  # each (K, n)
        terms.append(np.broadcast_to(e[:, None], terms[0].shape))
        stacked = np.stack(terms)
        top = stacked.max(axis=0)
        parts = np.exp(stacked - top)
        whole = parts.sum(axis=0)
        return top + np.log(whole) - self.target, parts / whole

    def __call__(self, points: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (K,) and gradients (K, 2 T + 1); rows: which starts the points belong to."""
        w = self.weights
        if w is not None:
            w = w if w.ndim == 1 else self.weights[rows]  # type: ignore[index]
        return self._weighed(points, w)

    def _weighed(self, points: np.ndarray, w: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        n_terms = len(self.centred)
        residuals, shares = self.residuals(points)
        pull = np.clip(residuals, -self.delta, self.delta)  # the slope of Huber's loss
        losses = huber(residuals, self.delta)
        if w is not None:
            pull, losses = w * pull, w * losses
        by_term = shares * pull  # (T + 1, K, n)
        gradient = np.empty_like(points)
        for t in range(n_terms):
            gradient[:, t] = by_term[t].sum(axis=1)
            gradient[:, n_terms + t] = -by_term[t] @ self.centred[t]
        gradient[:, -1] = by_term[-1].sum(axis=1)
        return losses.sum(axis=1), gradient

    def grid(self) -> np.ndarray:
        """Starting points that fit the data's own scale, (K, P).

        The floor is a share of the smallest y; each term, in the middle of its x, is a share of it
        too; the exponents are those that have been seen in practice and somewhat more.
        """
        low = float(self.target.min())
        n_terms = len(self.centred)
        floors = low + np.log([0.2, 0.6, 0.9])
        terms = low + np.log([0.05, 0.3, 1.0])
        exponents = (0.1, 0.3, 0.6, 1.0)
        axes = [terms] * n_terms + [np.array(exponents)] * n_terms + [floors]
        return np.array(list(itertools.product(*axes)))

    def centred_points(self, plain: np.ndarray) -> np.ndarray:
        """Turn rows (log A_1 .., p_1 .., log E) into rows of this problem."""
        n_terms = len(self.centred)
        points = np.array(plain, dtype=np.float64)
        points[:, :n_terms] -= points[:, n_terms:-1] * self.means
        return points

    def natural(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Split one row of this problem into log A (T,), p (T,), log E."""
        n_terms = len(self.centred)
        p = point[n_terms:-1]
        return point[:n_terms] + p * self.means, p, float(point[-1])

    def best_starts(self, starts: np.ndarray, n: int) -> np.ndarray:
        """The n starts of the lowest value; weights that differ between starts are left out."""
        w = self.weights if self.weights is not None and self.weights.ndim == 1 else None
        values = [self._weighed(part, w)[0] for part in _chunks(starts, 500)]
        return starts[np.argsort(np.concatenate(values), kind="stable")[:n]]


def _chunks(points: np.ndarray, size: int) -> list[np.ndarray]:
    return [points[i : i + size] for i in range(0, len(points), size)]

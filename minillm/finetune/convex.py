"""Logistic regression of two classes: the ground on which influence can be checked.

Its loss has one lowest point, and Newton's method finds it to the last digits, so that "train
again without example i" has one answer, in milliseconds.

Shape letters: N examples, D features.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Logistic:
    """A problem of two classes with one lowest point: the ground for checking influence.

        F(theta) = 1/N sum_i w_i log(1 + exp(-s_i x_i theta)) + l2/2 |theta|^2,   s = +1 or -1

    Attributes:
        x: features, (N, D), float64. For a bias add a column of ones.
        s: class of each example, (N,), +1 or -1.
        l2: pull towards zero, positive: it makes the lowest point unique.

    Raises:
        ValueError: if shapes do not fit, a class is neither +1 nor -1, or l2 is not positive.

    Lesson: notebooks/30_less_is_more.ipynb
    """

    x: np.ndarray
    s: np.ndarray
    l2: float

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or self.s.shape != self.x.shape[:1]:
            raise ValueError(f"x {self.x.shape} and s {self.s.shape} are not (N, D) and (N,)")
        if not np.isin(self.s, (-1, 1)).all():
            raise ValueError("the class of every example must be +1 or -1")
        if not self.l2 > 0:
            raise ValueError(f"l2 must be positive, got {self.l2}: without it no unique solution")

    def losses(self, theta: np.ndarray) -> np.ndarray:
        """Loss of each example, nats, (N,), without the pull towards zero."""
        return np.logaddexp(0.0, -self.s * (self.x @ theta))

    def gradients(self, theta: np.ndarray) -> np.ndarray:
        """Slope of each example's loss, (N, D):  -s sigmoid(-s x theta) x."""
        wrong = np.exp(-np.logaddexp(0.0, self.s * (self.x @ theta)))  # (N,)
        return np.asarray(-(self.s * wrong)[:, None] * self.x)

    def hessian(self, theta: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Curvature of F, (D, D):  1/N sum_i w_i p_i (1 - p_i) x_i x_i^T + l2 I."""
        z = self.s * (self.x @ theta)
        bend = np.exp(-np.logaddexp(0.0, z) - np.logaddexp(0.0, -z))  # (N,)
        bend = bend if weights is None else bend * weights
        n, d = self.x.shape
        return np.asarray((self.x * bend[:, None]).T @ self.x / n + self.l2 * np.eye(d))

    def fit(self, weights: np.ndarray | None = None, *, tolerance: float = 1e-12) -> np.ndarray:
        """Find the lowest point of F by Newton's method, halving a step that would not go down.

        Args:
            weights: of the examples, (N,), not negative; 0 leaves one out. None: all are 1.
            tolerance: largest entry of the gradient of F that counts as zero.

        Returns:
            theta, (D,).

        Raises:
            ValueError: if the weights do not fit.

        Lesson: notebooks/30_less_is_more.ipynb
        """
        n, d = self.x.shape
        w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
        if w.shape != (n,) or (w < 0).any():
            raise ValueError(f"weights must be ({n},) and not negative, got shape {w.shape}")

        def height(theta: np.ndarray) -> float:
            return float(w @ self.losses(theta)) / n + self.l2 / 2 * float(theta @ theta)

        theta = np.zeros(d)
        for _ in range(100):
            slope = w @ self.gradients(theta) / n + self.l2 * theta  # (D,)
            if np.abs(slope).max() <= tolerance:
                break
            step = np.linalg.solve(self.hessian(theta, w), slope)
            size = 1.0
            while size > 1e-6 and height(theta - size * step) > height(theta) + 1e-15:
                size /= 2
            theta = theta - size * step
        return theta

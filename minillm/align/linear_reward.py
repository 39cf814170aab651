"""A linear reward model: the ranking loss where the features are given, and the best is exact.

    r(answer) = w . features(answer)        P(chosen preferred) = sigma(w . d),  d the difference

What a reward model of a hundred layers does with its last one; in a second, and with one optimum.
So it shows what the loss, the margin and the noise do, apart from any training.

Shape letters: N pairs, F features.
"""

import numpy as np

from minillm.align.annotators import choice_probability

EPSILON = np.finfo(np.float64).eps


def linear_loss(
    w: np.ndarray, differences: np.ndarray, margin: np.ndarray | None = None, *, l2: float = 0.0
) -> float:
    """The ranking loss of linear rewards.

        loss = mean_n -ln sigma(w . d_n - m_n) + l2 / 2 |w|^2

    Args:
        w: (F,).
        differences: features of the chosen answer minus those of the rejected, (N, F).
        margin: (N,); None for 0.
        l2: strength of the pull towards zero.

    Returns:
        Nats a pair.

    Lesson: notebooks/33_reward.ipynb
    """
    gap = differences @ w - (0.0 if margin is None else margin)
    return float(np.logaddexp(0.0, -gap).mean() + l2 / 2 * (w @ w))


def fit_linear_reward(
    differences: np.ndarray,
    margin: np.ndarray | None = None,
    *,
    l2: float = 1e-3,
    tolerance: float = 1e-10,
    max_steps: int = 100,
) -> np.ndarray:
    """Find the weights that lower `linear_loss` most, by Newton's method.

        gradient  g = -mean_n (1 - p_n) d_n + l2 w           p_n = sigma(w . d_n - m_n)
        curvature H = mean_n p_n (1 - p_n) d_n d_n^T + l2 I
        w <- w - t H^-1 g,  t halved until the loss rises no more

    A whole step promises to lower the loss by g . H^-1 g / 2. Once that is less than the rounding
    of the loss, no step can be seen to lower it: one is taken on trust, and the search ends.

    Args:
        differences: features of the chosen answer minus those of the rejected, (N, F).
        margin: at least 0, (N,); None for 0.
        l2: above 0, since pairs that can all be ordered rightly would send w to infinity.
        tolerance: stop where no entry of the gradient is larger, if rounding does not end the
            search before that.
        max_steps: give up after so many.

    Returns:
        w, (F,), float64.

    Raises:
        ValueError: if the differences are no finite (N, F) with N >= 1, the margins do not fit or
            one is negative, or l2 is not above 0.
        RuntimeError: if it has not settled after max_steps, as where the features are of so many
            sizes that rounding spoils the steps.

    Cost: O(N F^2 + F^3) a step, about ten steps.
    Lesson: notebooks/33_reward.ipynb
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or not len(d) or not np.isfinite(d).all():
        raise ValueError(f"differences must be finite (N, F) with N >= 1, got {d.shape}")
    m = np.zeros(len(d)) if margin is None else np.asarray(margin, dtype=np.float64)
    if m.shape != (len(d),) or not np.isfinite(m).all() or (m < 0).any():
        raise ValueError(f"margin must be finite, at least 0 and ({len(d)},), got {m.shape}")
    if not 0 < l2 < np.inf:
        raise ValueError(f"l2 must be above 0 and finite, got {l2}")
    w, sizes = np.zeros(d.shape[1]), np.abs(d)
    for _ in range(max_steps):
        p = choice_probability(d @ w - m)
        gradient = l2 * w - (1 - p) @ d / len(d)
        if np.abs(gradient).max() < tolerance:
            return w
        curvature = (d * (p * (1 - p))[:, None]).T @ d / len(d) + l2 * np.eye(len(w))
        step = np.linalg.solve(curvature, gradient)
        before, t = linear_loss(w, d, m, l2=l2), 1.0
        made_of = before + float((1 - p) @ (sizes @ np.abs(w) + m)) / len(d)  # so much is rounded
        if 0 <= gradient @ step / 2 <= EPSILON * made_of:
            return w - step
        while t > 1e-12 and linear_loss(w - t * step, d, m, l2=l2) > before:
            t /= 2
        w = w - t * step
    raise RuntimeError(f"the weights have not settled after {max_steps} steps; raise l2 ({l2:g})")

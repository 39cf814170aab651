"""The arithmetic of logistic regression with many classes: softmax, the loss, its gradient.

Shape letters: F features, C classes, J features that occur in one text.
"""

from collections.abc import Sequence

import numpy as np

Bag = tuple[np.ndarray, np.ndarray]
"""A sparse vector: where it is not zero (J,), and what stands there (J,)."""


def softmax(scores: np.ndarray) -> np.ndarray:
    """Turn scores into probabilities: p_c = exp(s_c) / sum_k exp(s_k), along the last axis.

    Args:
        scores: finite numbers of any size, (..., C); the largest is taken off first.

    Returns:
        Probabilities, (..., C), float64, summing to 1.

    Lesson: notebooks/03_quality.ipynb
    """
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True), dtype=np.float64)


def loss_and_gradient(
    W: np.ndarray, b: np.ndarray, bags: Sequence[Bag], targets: Sequence[int], l2: float = 0.0
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the loss that `LinearClassifier` lowers, and its gradient, over all texts at once.

        loss = mean_i -ln p_i[y_i] + l2/2 sum W^2
        dloss/dW = mean_i x_i^T (p_i - onehot(y_i)) + l2 W,   dloss/db = mean_i (p_i - onehot(y_i))

    Args:
        W: weights, (F, C).
        b: bias, (C,).
        bags: sparse vectors as `LinearClassifier.bags` makes them.
        targets: the column of the right class of each text.
        l2: strength of the pull of the weights towards zero.

    Returns:
        The loss in nats a text; the gradients, (F, C) and (C,), float64.

    Lesson: notebooks/03_quality.ipynb
    """
    loss = l2 / 2 * float((W.astype(np.float64) ** 2).sum())
    dW, db = l2 * W.astype(np.float64), np.zeros(len(b))
    for (buckets, x), y in zip(bags, targets, strict=True):
        x = x.astype(W.dtype)
        error = softmax(x @ W[buckets] + b)
        loss -= float(np.log(error[y])) / len(bags)
        error[y] -= 1.0
        dW[buckets] += np.outer(x, error) / len(bags)
        db += error / len(bags)
    return loss, dW, db

"""L1 and L2: what each adds to the loss, and the exact step that each asks for.

A gradient step on |w| overshoots zero and comes back, so that no weight is ever exactly zero. The
proximal step has a closed form that stops there: it minimises (w - x)^2 / 2 + penalty(w).
"""

from collections.abc import Iterable

import torch
from torch import Tensor


def l2_penalty(params: Iterable[Tensor], strength: float) -> Tensor:
    """Give (strength / 2) times the sum of squares of all entries.

    Args:
        params: tensors, at least one.
        strength: lambda, not negative; its gradient is lambda w, as weight_decay in torch's SGD.

    Returns:
        A scalar, to be added to the loss.

    Raises:
        ValueError: if strength is negative, or there is no tensor.

    Source: Hoerl and Kennard 1970 (ridge regression).
    Lesson: notebooks/20a_adamw.ipynb
    """
    return _check(strength) / 2 * _sum([(p * p).sum() for p in params])


def l1_penalty(params: Iterable[Tensor], strength: float) -> Tensor:
    """Give strength times the sum of absolute values of all entries.

    Args:
        params: tensors, at least one.
        strength: lambda, not negative; its gradient is lambda sign(w), and 0 at w = 0.

    Returns:
        A scalar, to be added to the loss.

    Raises:
        ValueError: if strength is negative, or there is no tensor.

    Source: Tibshirani 1996 (lasso).
    Lesson: notebooks/20a_adamw.ipynb
    """
    return _check(strength) * _sum([p.abs().sum() for p in params])


def soft_threshold(x: Tensor, threshold: float) -> Tensor:
    """Pull every entry towards zero by threshold, and no further than zero.

        sign(x) max(|x| - threshold, 0) = argmin over w of (w - x)^2 / 2 + threshold |w|

    Args:
        x: any shape.
        threshold: not negative.

    Returns:
        Same shape; entries with |x| <= threshold are exactly 0.

    Raises:
        ValueError: if threshold is negative.

    Source: Parikh and Boyd 2014, Proximal Algorithms, section 6.5.2.
    Lesson: notebooks/20a_adamw.ipynb
    """
    return x.sign() * (x.abs() - _check(threshold)).clamp(min=0)


def shrink(x: Tensor, strength: float) -> Tensor:
    """Pull every entry towards zero by the same share; none becomes zero.

        x / (1 + strength) = argmin over w of (w - x)^2 / 2 + (strength / 2) w^2

    Args:
        x: any shape.
        strength: not negative.

    Returns:
        Same shape.

    Raises:
        ValueError: if strength is negative.

    Source: Parikh and Boyd 2014, Proximal Algorithms, section 6.1.1.
    Lesson: notebooks/20a_adamw.ipynb
    """
    return x / (1 + _check(strength))


@torch.no_grad()
def proximal_step(
    param: Tensor, grad: Tensor, *, lr: float, l1: float = 0.0, l2: float = 0.0
) -> None:
    """Take a gradient step on the loss, then the exact step of the penalties, in place.

        param = shrink(soft_threshold(param - lr grad, lr l1), lr l2)

    Args:
        param: the weights, any shape.
        grad: gradient of the loss without penalties, same shape.
        lr: the learning rate; below 2 / curvature it ends at the minimum.
        l1: strength of |w|.
        l2: strength of w^2 / 2.

    Raises:
        ValueError: if lr, l1 or l2 is negative.

    Source: Parikh and Boyd 2014, Proximal Algorithms, sections 4.2 and 6.5.3 (elastic net).
    Lesson: notebooks/20a_adamw.ipynb
    """
    param.copy_(shrink(soft_threshold(param - _check(lr) * grad, lr * _check(l1)), lr * l2))


def _check(strength: float) -> float:
    if not strength >= 0:
        raise ValueError(f"strength must not be negative, got {strength}")
    return strength


def _sum(parts: list[Tensor]) -> Tensor:
    if not parts:
        raise ValueError("no parameters were given to penalise")
    return torch.stack(parts).sum()

"""Adam with its bias correction, and with L2 inside the gradient: what AdamW was made to replace.

optimizer.py has AdamW, which decays the weights on their own. Here the penalty goes through Adam's
denominator, so that a weight with large gradients is hardly pulled at all.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from minillm.train.by_hand import ByHand, check_memory, check_not_negative, check_positive


def adam_step(
    param: Tensor,
    grad: Tensor,
    m: Tensor,
    v: Tensor,
    *,
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    l2: float = 0.0,
    bias_correction: bool = True,
) -> None:
    """Move one parameter by one step, in place; param, m and v change.

        g = grad + l2 param
        m = beta1 m + (1 - beta1) g                v = beta2 v + (1 - beta2) g^2
        param = param - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    Why the correction: m_t = (1 - beta1) sum_i beta1^(t - i) g_i, and the weights of this sum add
    up to 1 - beta1^t, not to 1. If all g_i have the same mean, dividing by 1 - beta1^t gives it.

    Args:
        param: the weights, any shape.
        grad: their gradient, same shape; it is not changed.
        m: running mean of g, same shape; zeros before the first step.
        v: running mean of g^2, same shape; zeros before the first step.
        step: t, counted from 1.
        lr: the learning rate.
        betas: memory of m and of v, each in [0, 1).
        eps: added to the corrected root.
        l2: of the penalty (l2 / 2) |param|^2, as torch.optim.Adam(weight_decay=...).
        bias_correction: False leaves both divisions out; to see what they are for.

    Cost: the state is twice as large as the weights.
    Source: Kingma and Ba 2015, arXiv:1412.6980, algorithm 1 and section 3; L2 inside: Loshchilov
        and Hutter 2019, arXiv:1711.05101, algorithm 2, the line in pink.
    Lesson: notebooks/20a_adamw.ipynb
    """
    beta1, beta2 = betas
    g = grad + l2 * param if l2 else grad
    m.mul_(beta1).add_(g, alpha=1 - beta1)
    v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
    mean_weight = 1 - beta1**step if bias_correction else 1.0
    square_weight = 1 - beta2**step if bias_correction else 1.0
    param.sub_(lr * (m / mean_weight) / ((v / square_weight).sqrt() + eps))


def uncorrected_step(step: int, betas: tuple[float, float]) -> float:
    """Tell how long a step would be without bias correction, for gradients that do not change.

        (1 - beta1^t) / sqrt(1 - beta2^t)

    With the correction it is 1 at every step (times lr). Without, the first is too long where
    (1 - beta1)^2 > 1 - beta2: 3.16 for betas (0.9, 0.999), but 0.45 for (0.9, 0.95).

    Args:
        step: t, counted from 1.
        betas: memory of the mean and of the mean square.

    Returns:
        The length over lr.

    Raises:
        ValueError: if step is below 1 or a beta is not in [0, 1).

    Source: from the definition; Kingma and Ba 2015, arXiv:1412.6980, section 3.
    Lesson: notebooks/20a_adamw.ipynb
    """
    if step < 1:
        raise ValueError(f"step counts from 1, got {step}")
    check_memory(beta1=betas[0], beta2=betas[1])
    return (1 - betas[0] ** step) / math.sqrt(1 - betas[1] ** step)


class Adam(ByHand):
    """Adam; the arithmetic is adam_step's.

    Args:
        params: parameters or groups.
        lr, betas, eps, l2, bias_correction: as in adam_step.

    Raises:
        ValueError: if a setting is out of range.

    Lesson: notebooks/20a_adamw.ipynb
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        l2: float = 0.0,
        bias_correction: bool = True,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "l2": l2}
        super().__init__(params, {**defaults, "bias_correction": bias_correction})

    def check(self, group: dict[str, Any]) -> None:
        """See ByHand."""
        check_not_negative(lr=group["lr"], l2=group["l2"])
        check_memory(beta1=group["betas"][0], beta2=group["betas"][1])
        check_positive(eps=group["eps"])

    def fresh(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        """See ByHand."""
        return {"m": torch.zeros_like(param), "v": torch.zeros_like(param)}

    def move(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Any) -> None:
        """See ByHand."""
        how = {k: group[k] for k in ("lr", "betas", "eps", "l2", "bias_correction")}
        adam_step(param, grad, state["m"], state["v"], step=state["step"], **how)

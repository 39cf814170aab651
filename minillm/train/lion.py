"""Lion: only the sign of a mean of gradients, so that every weight moves by the same amount."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from minillm.train.by_hand import ByHand, check_memory, check_not_negative


def lion_step(
    param: Tensor,
    grad: Tensor,
    m: Tensor,
    *,
    lr: float,
    betas: tuple[float, float],
    weight_decay: float = 0.0,
) -> None:
    """Move one parameter by one step, in place; param and m change.

        c = beta1 m + (1 - beta1) grad             what the step looks at
        param = param - lr (sign(c) + weight_decay param)
        m = beta2 m + (1 - beta2) grad             what is remembered, longer

    There are two memories but one buffer: beta1 < beta2 lets the newest gradient count for more in
    the step than it does in the memory. A step is lr for every weight, whatever its gradient; so
    lr is 3 to 10 times smaller than AdamW's, and weight_decay as many times larger.

    Args:
        param: the weights, any shape.
        grad: their gradient, same shape.
        m: running mean of the gradient, same shape; zeros before the first step.
        lr: the learning rate.
        betas: share of m in the step, and memory of m, each in [0, 1).
        weight_decay: share of the weight taken away a step, times lr.

    Cost: the state is as large as the weights, half of Adam's.
    Source: Chen et al. 2023, arXiv:2302.06675, algorithm 2; how to set it: section 5.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    beta1, beta2 = betas
    direction = (beta1 * m + (1 - beta1) * grad).sign()
    param.mul_(1 - lr * weight_decay)
    param.sub_(lr * direction)
    m.mul_(beta2).add_(grad, alpha=1 - beta2)


class Lion(ByHand):
    """Lion; the arithmetic is lion_step's.

    Args:
        params: parameters or groups.
        lr, betas, weight_decay: as in lion_step.

    Raises:
        ValueError: if a setting is out of range.

    Source: as lion_step.
    Lesson: notebooks/20b_adafactor.ipynb
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def check(self, group: dict[str, Any]) -> None:
        """See ByHand."""
        check_not_negative(lr=group["lr"], weight_decay=group["weight_decay"])
        check_memory(beta1=group["betas"][0], beta2=group["betas"][1])

    def fresh(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        """See ByHand."""
        return {"m": torch.zeros_like(param)}

    def move(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Any) -> None:
        """See ByHand."""
        how = {k: group[k] for k in ("lr", "betas", "weight_decay")}
        lion_step(param, grad, state["m"], **how)

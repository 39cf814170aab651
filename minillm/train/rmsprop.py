"""RMSprop: Adagrad that forgets, so that the rate can rise again."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from minillm.train.by_hand import ByHand, check_memory, check_not_negative, check_positive


def rmsprop_step(
    param: Tensor, grad: Tensor, v: Tensor, *, lr: float, beta2: float, eps: float
) -> None:
    """Move one parameter by one step, in place; param and v change.

        v = beta2 v + (1 - beta2) grad^2
        param = param - lr grad / (sqrt(v) + eps)

    v starts at zero and nothing corrects for it: the first step is 1 / sqrt(1 - beta2) times lr
    (10 times at beta2 = 0.99), where Adam's is lr.

    Args:
        param: the weights, any shape.
        grad: their gradient, same shape.
        v: running mean of its square, same shape; zeros before the first step.
        lr: the learning rate.
        beta2: memory of v, in [0, 1); torch calls it alpha.
        eps: added to the root.

    Cost: the state is as large as the weights.
    Source: Tieleman and Hinton 2012, Neural Networks for Machine Learning, lecture 6.5.
    Lesson: notebooks/20a_adamw.ipynb
    """
    v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    param.sub_(lr * grad / (v.sqrt() + eps))


class RMSprop(ByHand):
    """RMSprop; the arithmetic is rmsprop_step's.

    Args:
        params: parameters or groups.
        lr, beta2, eps: as in rmsprop_step.

    Raises:
        ValueError: if a setting is out of range.

    Lesson: notebooks/20a_adamw.ipynb
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-2, beta2: float = 0.99, eps: float = 1e-8
    ) -> None:
        super().__init__(params, {"lr": lr, "beta2": beta2, "eps": eps})

    def check(self, group: dict[str, Any]) -> None:
        """See ByHand."""
        check_not_negative(lr=group["lr"])
        check_memory(beta2=group["beta2"])
        check_positive(eps=group["eps"])

    def fresh(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        """See ByHand."""
        return {"v": torch.zeros_like(param)}

    def move(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Any) -> None:
        """See ByHand."""
        how = {k: group[k] for k in ("lr", "beta2", "eps")}
        rmsprop_step(param, grad, state["v"], **how)

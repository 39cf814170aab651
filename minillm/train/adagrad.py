"""Adagrad: every weight has its own rate, which falls with all the gradients it has seen."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from minillm.train.by_hand import ByHand, check_not_negative, check_positive


def adagrad_step(param: Tensor, grad: Tensor, total: Tensor, *, lr: float, eps: float) -> None:
    """Move one parameter by one step, in place; param and total change.

        total = total + grad^2
        param = param - lr grad / (sqrt(total) + eps)

    A weight that rarely has a gradient (the row of a rare token) keeps a large rate. Since total
    never falls, the rate of all of them goes to zero, with gradients of constant size as
    1 / sqrt(t): Adam without mean, whose beta2 at step t is 1 - 1/t and whose rate is lr / sqrt(t),
    takes the very same steps.

    Args:
        param: the weights, any shape.
        grad: their gradient, same shape.
        total: sum of its squares, same shape; zeros before the first step.
        lr: the learning rate.
        eps: added to the root.

    Cost: the state is as large as the weights.
    Source: Duchi et al. 2011, JMLR 12, the diagonal form of section 1.1; the relation to Adam:
        Kingma and Ba 2015, arXiv:1412.6980, section 5.
    Lesson: notebooks/20a_adamw.ipynb
    """
    total.addcmul_(grad, grad)
    param.sub_(lr * grad / (total.sqrt() + eps))


class Adagrad(ByHand):
    """Adagrad; the arithmetic is adagrad_step's.

    Args:
        params: parameters or groups.
        lr, eps: as in adagrad_step.

    Raises:
        ValueError: if a setting is out of range.

    Lesson: notebooks/20a_adamw.ipynb
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, eps: float = 1e-10) -> None:
        super().__init__(params, {"lr": lr, "eps": eps})

    def check(self, group: dict[str, Any]) -> None:
        """See ByHand."""
        check_not_negative(lr=group["lr"])
        check_positive(eps=group["eps"])

    def fresh(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        """See ByHand."""
        return {"total": torch.zeros_like(param)}

    def move(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Any) -> None:
        """See ByHand."""
        adagrad_step(param, grad, state["total"], lr=group["lr"], eps=group["eps"])

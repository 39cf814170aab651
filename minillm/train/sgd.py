"""Stochastic gradient descent, with a memory (momentum) and with a look ahead (Nesterov).

Without momentum a step is the gradient times the rate. With it, a step is a sum over all past
gradients, each worth `momentum` times as much as the next: where they agree, the speed grows up to
1 / (1 - momentum) times; where they change sign, they cancel.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from minillm.train.by_hand import ByHand, check_memory, check_not_negative


def sgd_step(
    param: Tensor,
    grad: Tensor,
    velocity: Tensor,
    *,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    l2: float = 0.0,
    weight_decay: float = 0.0,
) -> None:
    """Move one parameter by one step, in place; param and velocity change.

        g = grad + l2 param                        the penalty (l2 / 2) |param|^2 in the loss
        velocity = momentum velocity + g
        d = g + momentum velocity  if nesterov, else velocity
        param = param (1 - lr weight_decay) - lr d

    For plain descent (momentum 0) l2 and weight_decay are the same thing. With momentum they are
    not: what l2 adds is remembered, and then decays again.

    Args:
        param: the weights, any shape.
        grad: their gradient, same shape; it is not changed.
        velocity: the sum of past gradients, same shape; zeros before the first step.
        lr: the learning rate.
        momentum: what a gradient is still worth a step later, in [0, 1).
        nesterov: step as if the next gradient were known to be like this one.
        l2: of the penalty inside the gradient, as in torch.optim.SGD(weight_decay=...).
        weight_decay: share of the weight that is taken away besides, times lr.

    Cost: the state is as large as the weights; without momentum it is not needed.
    Source: Polyak 1964 (momentum); Sutskever et al. 2013, ICML, section 2 (Nesterov's form);
        Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 1 (L2 beside decay).
    Lesson: notebooks/20a_adamw.ipynb
    """
    g = grad + l2 * param if l2 else grad
    velocity.mul_(momentum).add_(g)
    direction = g + momentum * velocity if nesterov else velocity
    param.mul_(1 - lr * weight_decay)
    param.sub_(lr * direction)


class SGD(ByHand):
    """Gradient descent; the arithmetic is sgd_step's.

    Args:
        params: parameters or groups.
        lr, momentum, nesterov, l2, weight_decay: as in sgd_step.

    Raises:
        ValueError: if a setting is out of range, or nesterov is asked for without momentum.

    Lesson: notebooks/20a_adamw.ipynb
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        *,
        nesterov: bool = False,
        l2: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "l2": l2}
        super().__init__(params, {**defaults, "weight_decay": weight_decay})

    def check(self, group: dict[str, Any]) -> None:
        """See ByHand."""
        check_not_negative(**{k: group[k] for k in ("lr", "l2", "weight_decay")})
        check_memory(momentum=group["momentum"])
        if group["nesterov"] and group["momentum"] == 0:
            raise ValueError("nesterov looks ahead along the momentum, which is 0; try 0.9")

    def fresh(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        """See ByHand; plain descent remembers nothing."""
        return {"velocity": torch.zeros_like(param)} if group["momentum"] else {}

    def move(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Any) -> None:
        """See ByHand."""
        how = {k: group[k] for k in ("lr", "momentum", "nesterov", "l2", "weight_decay")}
        velocity = state["velocity"] if "velocity" in state else torch.zeros_like(param)
        sgd_step(param, grad, velocity, **how)

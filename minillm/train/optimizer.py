"""AdamW by hand: one parameter at a time to read, all at once to run.

- adamw_step is the definition, in the order of torch.optim.AdamW: weights decay first, on their
  own, and epsilon is added to the root *after* its bias is corrected.
- AdamW calls it for each parameter (foreach=False), or does the same arithmetic for all tensors of
  a group in a few calls (foreach=True); a test holds the two equal.
- textbook_step is the form most papers print; it differs from the definition in where epsilon and
  the decay stand, which shows when gradients are as small as epsilon.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from minillm.train.by_hand import check_betas, check_not_negative, check_positive


def adamw_step(
    param: Tensor,
    grad: Tensor,
    m: Tensor,
    v: Tensor,
    *,
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Move one parameter by one step, in place; param, m and v change.

        param = param (1 - lr weight_decay)
        m = beta1 m + (1 - beta1) grad             v = beta2 v + (1 - beta2) grad^2
        param = param - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    Args:
        param: the weights, any shape.
        grad: their gradient, same shape.
        m: running mean of the gradient, same shape; zeros before the first step.
        v: running mean of its square, same shape; zeros before the first step.
        step: t, counted from 1.
        lr, betas, eps, weight_decay: as in OptimizerConfig.

    Cost: 8 numbers of memory traffic a weight; the state m, v is twice the size of the weights.
    Source: Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2; Kingma and Ba 2015,
        arXiv:1412.6980, algorithm 1.
    Lesson: notebooks/20a_adamw.ipynb
    """
    beta1, beta2 = betas
    param.mul_(1 - lr * weight_decay)
    m.mul_(beta1).add_(grad, alpha=1 - beta1)
    v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    m_hat = m / (1 - beta1**step)  # m starts at zero: without this the first steps are too short
    v_hat = v / (1 - beta2**step)
    param.sub_(lr * m_hat / (v_hat.sqrt() + eps))


def textbook_step(
    param: Tensor,
    grad: Tensor,
    m: Tensor,
    v: Tensor,
    *,
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Move one parameter as the papers' short form says; compare adamw_step.

        lr_t = lr sqrt(1 - beta2^t) / (1 - beta1^t)
        param = param - lr_t m / (sqrt(v) + eps)
        param = param - lr weight_decay param

    Here eps is added to the root before its bias is corrected, so that it weighs
    1 / sqrt(1 - beta2^t) times as much (31 times in step 1 at beta2 = 0.999), and the decay comes
    last, on the weights that have just moved.

    Args: those of adamw_step.
    Source: Kingma and Ba 2015, arXiv:1412.6980, end of section 2 ("epsilon hat").
    Lesson: notebooks/20a_adamw.ipynb
    """
    beta1, beta2 = betas
    m.mul_(beta1).add_(grad, alpha=1 - beta1)
    v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    lr_t = lr * math.sqrt(1 - beta2**step) / (1 - beta1**step)
    param.sub_(lr_t * m / (v.sqrt() + eps))
    param.sub_(lr * weight_decay * param)


class AdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay; the arithmetic is adamw_step's.

    Args:
        params: parameters, or groups as parameter_groups makes them; a group may set its own
            lr, betas, eps and weight_decay.
        lr, betas, eps, weight_decay: defaults for all groups. The defaults of this class are
            torch's; those of OptimizerConfig are what language models use.
        foreach: take all tensors of a group in a few calls instead of one at a time.

    Raises:
        ValueError: if a setting is out of range, in a group too, or a gradient is sparse.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
    Lesson: notebooks/20a_adamw.ipynb
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        foreach: bool = True,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "foreach": foreach})
        for group in self.param_groups:
            check_betas(group["betas"])
            check_positive(eps=group["eps"])
            check_not_negative(lr=group["lr"], weight_decay=group["weight_decay"])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient; those without one stay as they are.

        Args:
            closure: computes the loss and its gradients anew; rarely needed.

        Returns:
            What the closure returned, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            settings = {k: group[k] for k in ("lr", "betas", "eps", "weight_decay")}
            params = [p for p in group["params"] if p.grad is not None]
            grads = [_dense(p.grad) for p in params]
            states = [self._state_of(p) for p in params]
            for state in states:
                state["step"] += 1
            if group["foreach"]:
                for t in sorted({state["step"] for state in states}):
                    same = [i for i, state in enumerate(states) if state["step"] == t]
                    _foreach_step(
                        [params[i] for i in same],
                        [grads[i] for i in same],
                        [states[i]["m"] for i in same],
                        [states[i]["v"] for i in same],
                        step=t,
                        **settings,
                    )
            else:
                for p, grad, state in zip(params, grads, states, strict=True):
                    adamw_step(p, grad, state["m"], state["v"], step=state["step"], **settings)
        return loss

    def _state_of(self, param: Tensor) -> dict[str, Any]:
        """Give m, v and step of a parameter, made at its first step."""
        state = self.state[param]
        if not state:
            state["step"] = 0
            state["m"], state["v"] = torch.zeros_like(param), torch.zeros_like(param)
        return state


def _dense(grad: Tensor) -> Tensor:
    if grad.is_sparse:
        raise ValueError("AdamW needs dense gradients, got a sparse one; use sparse=False")
    return grad


def _foreach_step(
    params: list[Tensor],
    grads: list[Tensor],
    ms: list[Tensor],
    vs: list[Tensor],
    *,
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Do adamw_step for many parameters at once: a call a line of it, not a call a tensor."""
    beta1, beta2 = betas
    if weight_decay:
        torch._foreach_mul_(params, 1 - lr * weight_decay)
    torch._foreach_lerp_(ms, grads, 1 - beta1)
    torch._foreach_mul_(vs, beta2)
    torch._foreach_addcmul_(vs, grads, grads, value=1 - beta2)
    roots = torch._foreach_sqrt(vs)
    torch._foreach_div_(roots, math.sqrt(1 - beta2**step))
    torch._foreach_add_(roots, eps)
    torch._foreach_addcdiv_(params, ms, roots, value=-lr / (1 - beta1**step))

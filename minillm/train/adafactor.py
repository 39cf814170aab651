"""Adafactor: the mean squares of a matrix from its row means and column means alone.

- factored_square gives an n x m matrix of mean squares from n + m numbers. It is exact where the
  squares are a product of something of the row and something of the column.
- The memory grows with training (beta2 = 1 - t^-0.8), which makes bias correction needless: at the
  first step beta2 is 0.
- The update is clipped by its own root mean square, and the step is relative to the size of the
  weights.
- PaLM's form keeps the whole matrix (factored=False) and a mean (beta1=0.9): it saves nothing, and
  is Adam with a relative step.

Three forms of the paper's algorithm are in use; a test holds each of them equal to its reference.
transformers adds eps1 to the squares, as the paper does; torch uses it as a floor instead.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minillm.train.by_hand import ByHand, check_memory, check_not_negative, check_positive

EPS_FORMS = ("added", "floor")
SETTINGS = (
    "lr", "relative", "scale_parameter", "clip", "beta1", "power", "weight_decay",
    "eps", "eps_form",
)  # fmt: skip


@dataclass(frozen=True)
class AdafactorState:
    """What is remembered of one parameter.

    Attributes:
        row: mean squares along the last axis, (..., n), where the parameter is factored.
        column: mean squares along the last axis but one, (..., m), likewise.
        v: mean squares one by one, where it is not factored.
        m: running mean of the updates, with beta1 only.

    Source: as adafactor_step.
    Lesson: notebooks/20b_adafactor.ipynb
    """

    row: Tensor | None = None
    column: Tensor | None = None
    v: Tensor | None = None
    m: Tensor | None = None


def beta2_at(step: int, power: float = 0.8) -> float:
    """Give the memory of the mean squares at a step: 1 - step^-power, 0 at the first.

    Args:
        step: counted from 1.
        power: 0.8 in the paper, T5 and PaLM; 1 would weigh all steps alike, for ever.

    Returns:
        beta2, in [0, 1). It averages over about step^power steps.

    Raises:
        ValueError: if step is below 1, or power is not in (0, 1].

    Source: Shazeer and Stern 2018, arXiv:1804.04235, section 7; Chowdhery et al. 2022 (PaLM),
        arXiv:2204.02311, section 5.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    if step < 1:
        raise ValueError(f"step counts from 1, got {step}")
    if not 0 < power <= 1:
        raise ValueError(f"power must lie in (0, 1], got {power}; 0.8 is usual")
    return 1 - step**-power


def factored_square(row: Tensor, column: Tensor, floor: float = 0.0) -> Tensor:
    """Give the matrix that has these row means and column means, and is a product of the two.

        V[i, j] = row[i] column[j] / mean(row)

    Of all matrices of rank one it is the nearest in generalised Kullback-Leibler divergence.

    Args:
        row: mean of each row, (..., n), not negative.
        column: mean of each column, (..., m), not negative.
        floor: the mean in the denominator is at least this.

    Returns:
        V, (..., n, m). Its row means are row and its column means column, if the means of both
        agree and floor is 0.

    Source: Shazeer and Stern 2018, arXiv:1804.04235, section 3, with means where the paper has
        sums, which comes to the same.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    mean = row.mean(dim=-1, keepdim=True).clamp(min=floor)
    return (row / mean).unsqueeze(-1) * column.unsqueeze(-2)


def adafactor_step(
    param: Tensor,
    grad: Tensor,
    state: AdafactorState,
    *,
    step: int,
    lr: float,
    relative: bool = True,
    scale_parameter: bool = True,
    clip: float = 1.0,
    beta1: float = 0.0,
    power: float = 0.8,
    weight_decay: float = 0.0,
    eps: tuple[float, float] = (1e-30, 1e-3),
    eps_form: str = "added",
) -> None:
    """Move one parameter by one step, in place; param and the tensors of the state change.

        V = mean squares of grad with memory beta2_at(step), factored or not; see mean_square
        U = grad / sqrt(V);        U = U / max(1, rms(U) / clip)
        size = max(eps2, rms(param))  if scale_parameter, else 1
        rate = min(lr, 1 / sqrt(step))  if relative, else lr
        param = param (1 - lr weight_decay) - size rate U

    With beta1 the running mean of the last term is subtracted in its place.

    Args:
        param: the weights, any shape.
        grad: their gradient, same shape.
        state: fresh_state(param, ...) before the first step.
        step: t, counted from 1.
        lr: the rate; in the relative form its upper limit, 0.01 in the paper.
        relative: let the rate fall as 1 / sqrt(t) once that is below lr.
        scale_parameter: let a step be a share of the size of the weights.
        clip: the largest root mean square of U.
        beta1: memory of the mean of updates, in [0, 1); 0 keeps none.
        power: see beta2_at.
        weight_decay: share of each weight that is taken away a step, times lr.
        eps: what keeps squares above zero, and the least size of a parameter.
        eps_form: "added" to the squares (the paper, transformers) or a "floor" of V (torch).

    Cost: the state of an n x m matrix is n + m numbers, against 2 n m for Adam.
    Source: Shazeer and Stern 2018, arXiv:1804.04235, algorithms 4 (matrices) and 5 (vectors),
        with what sections 6 to 8 derive; without factors and with beta1 = 0.9: Chowdhery et al.
        2022 (PaLM), arXiv:2204.02311, section 5.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    size = max(eps[1], rms(param)) if scale_parameter else 1.0
    rate = min(lr, 1 / math.sqrt(step)) if relative else lr
    v = mean_square(grad, state, beta2_at(step, power), eps[0], eps_form)
    update = grad / v.sqrt()
    update = update * (size * rate / max(1.0, rms(update) / clip))
    if state.m is not None:
        state.m.mul_(beta1).add_(update, alpha=1 - beta1)
        update = state.m
    param.mul_(1 - lr * weight_decay)
    param.sub_(update)


def mean_square(
    grad: Tensor, state: AdafactorState, beta2: float, eps: float, eps_form: str
) -> Tensor:
    """Bring the mean squares of the state up to date, and give them in grad's shape.

    Args:
        grad: the new gradient.
        state: its tensors are changed.
        beta2: memory of this step.
        eps, eps_form: as in adafactor_step.

    Returns:
        V, same shape as grad.

    Source: Shazeer and Stern 2018, arXiv:1804.04235, algorithms 4 and 5; the sums of rows and
        columns are section 3's.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    square = grad * grad + (eps if eps_form == "added" else 0.0)
    floor = eps if eps_form == "floor" else 0.0
    if state.row is not None and state.column is not None:
        state.row.mul_(beta2).add_(square.mean(dim=-1), alpha=1 - beta2)
        state.column.mul_(beta2).add_(square.mean(dim=-2), alpha=1 - beta2)
        v = factored_square(state.row, state.column, floor)
    else:
        assert state.v is not None
        state.v.mul_(beta2).add_(square, alpha=1 - beta2)
        v = state.v
    return v.clamp(min=floor**2)


def rms(x: Tensor) -> float:
    """Give the root of the mean of squares of all entries.

    Source: Shazeer and Stern 2018, arXiv:1804.04235, section 6.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    return float(torch.linalg.vector_norm(x)) / math.sqrt(x.numel())


def fresh_state(param: Tensor, *, factored: bool = True, beta1: float = 0.0) -> AdafactorState:
    """Make the state of a parameter before its first step: zeros.

    Args:
        param: vectors and scalars are never factored; of more than two axes, the last two are.
        factored: False keeps the mean squares one by one, as PaLM did.
        beta1: above 0, a mean of the updates is kept too.

    Returns:
        The state, in param's dtype and on its device.

    Source: as adafactor_step.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    m = torch.zeros_like(param) if beta1 else None
    if factored and param.ndim >= 2:
        return AdafactorState(
            row=param.new_zeros(param.shape[:-1]),
            column=param.new_zeros(param.shape[:-2] + param.shape[-1:]),
            m=m,
        )
    return AdafactorState(v=torch.zeros_like(param), m=m)


class Adafactor(ByHand):
    """Adafactor; the arithmetic is adafactor_step's.

    Args:
        params: parameters or groups.
        factored: False is PaLM's form.
        others: as in adafactor_step.

    Raises:
        ValueError: if a setting is out of range.

    Source: as adafactor_step.
    Lesson: notebooks/20b_adafactor.ipynb
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        *,
        factored: bool = True,
        relative: bool = True,
        scale_parameter: bool = True,
        clip: float = 1.0,
        beta1: float = 0.0,
        power: float = 0.8,
        weight_decay: float = 0.0,
        eps: tuple[float, float] = (1e-30, 1e-3),
        eps_form: str = "added",
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr,
            "factored": factored,
            "relative": relative,
            "clip": clip,
        }
        defaults |= {"scale_parameter": scale_parameter, "beta1": beta1, "power": power}
        defaults |= {"weight_decay": weight_decay, "eps": eps, "eps_form": eps_form}
        super().__init__(params, defaults)

    def check(self, group: dict[str, Any]) -> None:
        """See ByHand."""
        check_not_negative(lr=group["lr"], weight_decay=group["weight_decay"])
        check_memory(beta1=group["beta1"])
        check_positive(clip=group["clip"], eps1=group["eps"][0], eps2=group["eps"][1])
        beta2_at(1, group["power"])
        if group["eps_form"] not in EPS_FORMS:
            raise ValueError(f"eps_form must be one of {EPS_FORMS}, got {group['eps_form']!r}")

    def fresh(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        """See ByHand."""
        made = vars(fresh_state(param, factored=group["factored"], beta1=group["beta1"]))
        return {name: tensor for name, tensor in made.items() if tensor is not None}

    def move(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Any) -> None:
        """See ByHand."""
        how = {k: v for k, v in group.items() if k in SETTINGS}
        memory = AdafactorState(**{k: v for k, v in state.items() if k != "step"})
        adafactor_step(param, grad, memory, step=state["step"], **how)

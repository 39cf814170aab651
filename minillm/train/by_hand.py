"""What all hand-made optimizers share: go over the parameters, keep a state for each, move it.

A subclass says two things: what a parameter's state is before its first step (fresh), and how one
step moves it (move), which is a call of the readable function of its file. AdamW of optimizer.py
does not use this class; it has a fast twin besides.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class ByHand(torch.optim.Optimizer):
    """An optimizer that moves one parameter after the other; a base class.

    Args:
        params: parameters, or groups, each of which may set its own values of the defaults.
        defaults: the settings of all groups that do not set their own.

    Raises:
        ValueError: if a setting of any group is out of range, or a gradient is sparse.

    Lesson: notebooks/20a_adamw.ipynb
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults)
        for group in self.param_groups:
            self.check(group)

    def check(self, group: dict[str, Any]) -> None:
        """Raise a ValueError if a setting of the group is out of range."""
        raise NotImplementedError

    def fresh(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        """Make the tensors that a parameter needs before its first step."""
        raise NotImplementedError

    def move(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Any) -> None:
        """Move one parameter in place; state["step"] counts from 1."""
        raise NotImplementedError

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
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.grad.is_sparse:
                    name = type(self).__name__
                    raise ValueError(f"{name} needs dense gradients; use sparse=False")
                state = self.state[p]
                if not state:
                    state.update({"step": 0, **self.fresh(p, group)})
                state["step"] += 1
                self.move(p, p.grad, state, group)
        return loss


def check_not_negative(**settings: float) -> None:
    """Raise a ValueError that names the setting which is negative or not finite."""
    for name, value in settings.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be finite and not negative, got {value}")


def check_positive(**settings: float) -> None:
    """Raise a ValueError that names the setting which is not above 0, or not finite."""
    for name, value in settings.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive and finite, got {value}")


def check_betas(betas: tuple[float, float]) -> None:
    """Raise a ValueError unless betas are two memories, of a mean and of a mean square."""
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas must be two numbers in [0, 1), got {betas}")


def check_memory(**settings: float) -> None:
    """Raise a ValueError that names the share of the past which is not in [0, 1)."""
    for name, value in settings.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must lie in [0, 1), got {value}; 0 forgets at once")

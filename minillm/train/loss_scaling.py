"""Loss scaling by hand: gradients too small for float16 are lifted before they are lost.

The loss is multiplied by a large number, so the gradients are; before the step they are divided by
it again, in float32. The number is found by trial: it grows as long as nothing overflows, and when
something does, the step is left out and the number is cut.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST = float(torch.finfo(torch.float32).max)


@dataclass(frozen=True)
class ScalerConfig:
    """How the scale moves.

    Attributes:
        start: the first scale.
        growth: factor of the scale after `patience` steps without an overflow.
        backoff: factor after an overflow.
        patience: good steps in a row before the scale grows.

    Source: as next_scale.
    Lesson: notebooks/21_stability.ipynb
    """

    start: float = 2.0**16
    growth: float = 2.0
    backoff: float = 0.5
    patience: int = 2000

    def __post_init__(self) -> None:
        if not 0 < self.start < math.inf:
            raise ValueError(f"start must be positive and finite, got {self.start}")
        if not self.growth > 1:
            raise ValueError(f"growth must be above 1, got {self.growth}")
        if not 0 < self.backoff < 1:
            raise ValueError(f"backoff must lie between 0 and 1, got {self.backoff}")
        if self.patience < 1:
            raise ValueError(f"patience must be at least 1, got {self.patience}")


@dataclass(frozen=True)
class ScalerState:
    """Where the scale stands.

    Attributes:
        scale: what the loss is multiplied by.
        good: steps since the last overflow or growth.

    Source: as next_scale.
    Lesson: notebooks/21_stability.ipynb
    """

    scale: float
    good: int = 0


def next_scale(state: ScalerState, *, overflow: bool, config: ScalerConfig) -> ScalerState:
    """Say what the scale is after a step.

        overflow:                      scale backoff, count from 0
        `patience` good steps:         scale growth,  count from 0 (but never beyond float32)
        else:                          the same, one good step more

    Args:
        state: before the step.
        overflow: whether a gradient of the step was infinite or not a number.
        config: the rule.

    Returns:
        The state after it.

    Source: Micikevicius et al. 2018, arXiv:1710.03740, section 3.2; the numbers are those of
        torch.amp.GradScaler.
    Lesson: notebooks/21_stability.ipynb
    """
    if overflow:
        return ScalerState(state.scale * config.backoff)
    if state.good + 1 < config.patience:
        return ScalerState(state.scale, state.good + 1)
    grown = state.scale * config.growth
    return ScalerState(grown if grown <= LARGEST else state.scale)


class LossScaler:
    """Scale the loss, unscale the gradients, and leave out the steps that overflowed.

        scaler.scale(loss).backward()
        if scaler.unscale(model.parameters()):
            optimizer.step()
        scaler.update()

    Args:
        config: the rule; None means ScalerConfig().

    Attributes:
        state: where the scale stands; save it with a checkpoint.
        n_skipped: steps left out so far.

    Source: Micikevicius et al. 2018, arXiv:1710.03740, section 3.2.
    Lesson: notebooks/21_stability.ipynb
    """

    def __init__(self, config: ScalerConfig | None = None) -> None:
        self.config = config or ScalerConfig()
        self.state = ScalerState(self.config.start)
        self.n_skipped = 0
        self._finite: bool | None = None

    def scale(self, loss: Tensor) -> Tensor:
        """Multiply the loss by the scale."""
        return loss * self.state.scale

    @torch.no_grad()
    def unscale(self, params: Iterable[Tensor]) -> bool:
        """Divide all gradients by the scale, in place, and say whether the step may be made.

        Args:
            params: those without a gradient are left out. Gradients are divided in their own
                dtype: give the float32 masters, or what was small is lost again.

        Returns:
            True if every gradient is finite. If not, the gradients are as bad as they came.

        Raises:
            ValueError: if it is called twice without update in between.
        """
        if self._finite is not None:
            raise ValueError("unscale was called twice in one step; call update() after the step")
        self._finite = True
        for p in params:
            if p.grad is not None:
                self._finite &= bool(torch.isfinite(p.grad).all())
                p.grad.mul_(1.0 / self.state.scale)
        return self._finite

    def update(self) -> None:
        """End the step: the scale for the next one.

        Raises:
            ValueError: if unscale was not called in this step.
        """
        if self._finite is None:
            raise ValueError("update ends a step in which unscale was not called")
        self.n_skipped += not self._finite
        self.state = next_scale(self.state, overflow=not self._finite, config=self.config)
        self._finite = None

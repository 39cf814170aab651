"""A monitor that sees a loss spike coming: it compares each step with the steps before it.

- "Unusual" is measured in robust units: distance from the median of a window, over the median of
  such distances. One wild value moves a mean and a standard deviation, but hardly these.
- The gradient norm warns (GLM-130B: it spikes some steps before the loss); the loss decides.
- What was flagged does not enter the window: a spike must not become the new normal. If the loss
  stays up there for a whole window, it is the new normal, and the window starts again.
"""

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

MAD_TO_SIGMA = 1.4826  # the median distance of a normal distribution is 1 / 1.4826 = 0.6745 sigma
KINDS = ("calm", "warning", "spike")


@dataclass(frozen=True)
class SpikeConfig:
    """When something is unusual enough.

    Attributes:
        window: steps that a step is compared with.
        least: steps that must be in the window before anything is said.
        warn: robust units of the logarithm of the gradient norm, or of the loss, for a warning.
        sure: robust units of the loss for a spike; not below warn.
        patience: steps in a row that must be as high as that, before it is called a spike.
        floor: least robust unit, as a share of the median of the loss; for curves without noise.

    Source: as SpikeMonitor; the thresholds are ours.
    Lesson: notebooks/21_stability.ipynb
    """

    window: int = 64
    least: int = 20
    warn: float = 6.0
    sure: float = 8.0
    patience: int = 2
    floor: float = 1e-3

    def __post_init__(self) -> None:
        if not 3 <= self.least <= self.window:
            raise ValueError(
                f"least must lie in 3 to window={self.window}, got {self.least}: a median needs a "
                "few steps"
            )
        if not 0 < self.warn <= self.sure:
            raise ValueError(f"need 0 < warn <= sure, got warn={self.warn}, sure={self.sure}")
        if self.patience < 1:
            raise ValueError(f"patience must be at least 1, got {self.patience}")
        if not self.floor > 0:
            raise ValueError(f"floor must be positive, got {self.floor}")


@dataclass(frozen=True)
class Verdict:
    """What the monitor says of a step.

    Attributes:
        kind: "calm", "warning" or "spike".
        step: which step.
        since: of a spike, its first step; else the step itself.
        loss_units: how far the loss lies above the median, in robust units; 0 while it learns.
        norm_units: likewise the logarithm of the gradient norm.

    Source: as SpikeMonitor.
    Lesson: notebooks/21_stability.ipynb
    """

    kind: str
    step: int
    since: int
    loss_units: float = 0.0
    norm_units: float = 0.0

    def __str__(self) -> str:
        where = f" since step {self.since}" if self.kind == "spike" else ""
        return (
            f"step {self.step}: {self.kind}{where} (loss {self.loss_units:+.1f}, "
            f"gradient norm {self.norm_units:+.1f} robust units)"
        )


def robust_units(value: float, past: list[float], *, floor: float) -> float:
    """Measure how far a value lies above the median of the past.

        (value - median) / max(floor, 1.4826 median |past - median|)

    For a normal distribution that is the usual number of standard deviations; up to half of the
    past may be wild without changing that much.

    Args:
        value: the new one; not finite counts as infinitely far.
        past: at least one finite value.
        floor: the least unit, positive.

    Returns:
        Robust units, negative below the median.

    Raises:
        ValueError: if past is empty or floor is not positive.

    Source: Leys et al. 2013, J. Experimental Social Psychology 49(4), 764-766.
    Lesson: notebooks/21_stability.ipynb
    """
    if not past:
        raise ValueError("there is no past to compare with")
    if not floor > 0:
        raise ValueError(f"floor must be positive, got {floor}")
    if not math.isfinite(value):
        return math.inf
    middle = median(past)
    unit = MAD_TO_SIGMA * median([abs(x - middle) for x in past])
    return (value - middle) / max(floor, unit)


class SpikeMonitor:
    """Judge each step by the steps before it.

        verdict = monitor.add(step, loss, grad_norm)

    A loss that is not finite is a spike at once. A warning is nothing but a warning.

    Args:
        config: the thresholds; None means SpikeConfig().

    Cost: two medians of a window a step, some tens of microseconds.
    Source: after Zeng et al. 2023 (GLM-130B), arXiv:2210.02414, section 3: the gradient norm
        spikes a few steps before the collapse.
    Lesson: notebooks/21_stability.ipynb
    """

    def __init__(self, config: SpikeConfig | None = None) -> None:
        self.config = config or SpikeConfig()
        self.reset()

    def reset(self) -> None:
        """Forget everything; after going back to a checkpoint, for one."""
        self._losses: deque[float] = deque(maxlen=self.config.window)
        self._norms: deque[float] = deque(maxlen=self.config.window)
        self._high: list[int] = []  # the steps in a row, up to now, whose loss was too high

    def state_dict(self) -> dict[str, list]:
        """Give what must be kept to go on elsewhere, as JSON can hold it."""
        return {"losses": [*self._losses], "norms": [*self._norms], "high": self._high}

    def load_state_dict(self, state: dict[str, list]) -> None:
        """Go on where the state was taken."""
        self.reset()
        self._losses.extend(state["losses"])
        self._norms.extend(state["norms"])
        self._high = list(state["high"])

    def add(self, step: int, loss: float, grad_norm: float) -> Verdict:
        """Take in a step.

        Args:
            step: number of the step, for the verdict.
            loss: of the step, before its update.
            grad_norm: before clipping; not negative, or not finite.

        Returns:
            The verdict.
        """
        c = self.config
        log_norm = math.log(max(grad_norm, 1e-30)) if math.isfinite(grad_norm) else math.inf
        if len(self._losses) < c.least:
            return self._learn(step, loss, log_norm)
        losses, norms = list(self._losses), list(self._norms)
        loss_units = robust_units(loss, losses, floor=c.floor * max(abs(median(losses)), 1e-30))
        norm_units = robust_units(log_norm, norms, floor=c.floor)
        self._high = [*self._high, step] if loss_units >= c.sure else []
        kind = "warning" if max(loss_units, norm_units) >= c.warn else "calm"
        if len(self._high) >= c.patience or not math.isfinite(loss):
            kind = "spike"
        since = self._high[0] if kind == "spike" else step
        if loss_units < c.warn:
            self._losses.append(loss)
        if norm_units < c.warn:
            self._norms.append(log_norm)
        if len(self._high) >= c.window:
            self.reset()
        return Verdict(kind, step, since, loss_units, norm_units)

    def _learn(self, step: int, loss: float, log_norm: float) -> Verdict:
        """Fill the window before there is anything to compare with."""
        if not math.isfinite(loss):
            return Verdict("spike", step, step, loss_units=math.inf)
        self._losses.append(loss)
        if math.isfinite(log_norm):
            self._norms.append(log_norm)
        return Verdict("calm", step, step)

"""What a budget of FLOPs buys, by each of the scaling laws, and how long it takes on which GPUs."""

import math
from dataclasses import dataclass

from minillm.scaling.budget import plan_budget
from minillm.scaling.chinchilla import LAWS, Optimum
from minillm.train.flops import GPU_PEAKS

NAMES = (*LAWS, "approach-1", "twenty", "kaplan")
"""What --law takes: minillm.scaling.plan_budget explains them."""


@dataclass(frozen=True)
class Spending:
    """A budget, spent by one law or by all of them.

    Lesson: notebooks/25a_kaplan.ipynb
    """

    flops: float
    """The budget."""

    plans: dict[str, Optimum]
    """The best model by law."""

    gpu: str = "H100"
    """One of minillm.train.flops.GPU_PEAKS."""

    n_gpus: int = 8
    """How many of them."""

    utilisation: float = 0.4
    """Share of the peak that training reaches (MFU); 0.3 to 0.5 are usual."""

    def __post_init__(self) -> None:
        if self.gpu not in GPU_PEAKS:
            raise ValueError(f"no GPU {self.gpu!r}; there are {', '.join(GPU_PEAKS)}")
        if self.n_gpus < 1:
            raise ValueError(f"n_gpus must be at least 1, got {self.n_gpus}")
        if not 0 < self.utilisation <= 1:
            raise ValueError(f"utilisation is a share of 1 and cannot be {self.utilisation}")

    @property
    def seconds(self) -> float:
        """FLOPs / (GPUs x peak x utilisation)."""
        return self.flops / (self.n_gpus * GPU_PEAKS[self.gpu] * self.utilisation)

    def report(self) -> str:
        """A table with a line for each law, and the time."""
        head = f"{'law':<13}{'parameters':>12}{'tokens':>12}{'tokens/param.':>15}{'loss':>8}"
        lines = [f"{self.flops:.3g} FLOPs, C = 6 N D", head]
        for name, best in self.plans.items():
            loss = "-" if math.isnan(best.loss) else f"{best.loss:.3f}"
            ratio = f"{best.tokens_per_parameter:.3g}"
            lines.append(f"{name:<13}{short(best.n):>12}{short(best.d):>12}{ratio:>15}{loss:>8}")
        if "kaplan" in self.plans:
            lines.append("kaplan counts parameters without embeddings; losses are of each own text")
        lines.append(
            f"time         {duration(self.seconds)} on {self.n_gpus} x {self.gpu} at "
            f"{self.utilisation:.0%} of {GPU_PEAKS[self.gpu] / 1e12:.0f} TFLOP/s"
        )
        return "\n".join(lines)


def spend(
    flops: float,
    law: str | None = None,
    *,
    gpu: str = "H100",
    n_gpus: int = 8,
    utilisation: float = 0.4,
) -> Spending:
    """Plan a budget.

    Args:
        flops: the budget.
        law: one of NAMES; None means all that can say something about it.
        gpu, n_gpus, utilisation: for the time; see Spending.

    Returns:
        The plan of each law.

    Raises:
        ValueError: if flops is not positive or too small for every law, or a name is unknown.

    Lesson: notebooks/25a_kaplan.ipynb
    """
    plans, refusal = {}, ""
    for name in NAMES if law is None else (law,):
        try:
            plans[name] = plan_budget(flops, name)
        except ValueError as error:
            refusal = str(error)
    if not plans:
        raise ValueError(refusal)
    return Spending(float(flops), plans, gpu, n_gpus, utilisation)


def short(number: float) -> str:
    """A count with K, M, B or T behind it: 2.78e9 is 2.78 B."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= 0.9995 * size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.3g}"


def duration(seconds: float) -> str:
    """Seconds as the unit that a person would use."""
    for size, name in ((365.25 * 86_400, "years"), (86_400, "days"), (3_600, "hours")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds / 60:.3g} minutes" if seconds >= 90 else f"{seconds:.3g} seconds"

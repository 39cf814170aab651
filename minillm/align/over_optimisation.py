"""Over-optimisation: what is measured becomes a target, and stops to be a measure.

- A proxy score chooses or trains; a gold score says what it was worth. Both are plotted against
  d = sqrt(KL), the distance from the first policy. The proxy rises; gold may turn round.
- Gao et al. found two forms, for best-of-n and for reinforcement learning. Both are straight lines
  in their two numbers, so that the fit is least squares in closed form.
- A fit that bends is no proof that gold does: `fall` asks the measured curve itself.

Shape letters: P prompts, N answers drawn to each, M points of a curve.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from minillm.align.best_of_n import best_of_n_kl_bound, estimate_best_of_n
from minillm.evaluate import Interval, paired_difference

FORMS = ("best_of_n", "rl")
Form = Literal["best_of_n", "rl"]


@dataclass(frozen=True)
class GoldFit:
    """Gold as a function of the distance: R(d) = d (alpha - beta d), or d (alpha - beta ln d).

    Attributes:
        form: "best_of_n" or "rl".
        alpha: gain at first.
        beta: what takes it away; not above 0 means that the curve never turns.
        rmse: root of the mean squared error of the fit.

    Source: Gao et al. 2022, arXiv:2210.10760, section 1 and 3.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """

    form: Form
    alpha: float
    beta: float
    rmse: float

    def at(self, distance: float) -> float:
        """Predict gold, relative to the start, at a distance in sqrt(nats)."""
        if distance == 0:
            return 0.0
        spent = distance if self.form == "best_of_n" else math.log(distance)
        return distance * (self.alpha - self.beta * spent)

    def peak(self) -> tuple[float, float] | None:
        """Give the distance at which gold is highest, and gold there; None if it never turns.

        best of n   d = alpha / (2 beta)            R = alpha^2 / (4 beta)
        rl          d = exp(alpha / beta - 1)       R = beta d
        """
        if self.beta <= 0 or (self.form == "best_of_n" and self.alpha <= 0):
            return None
        if self.form == "best_of_n":
            return self.alpha / (2 * self.beta), self.alpha**2 / (4 * self.beta)
        d = math.exp(self.alpha / self.beta - 1)
        return d, self.beta * d


def fit_gold(distances: Sequence[float], gold: Sequence[float], form: Form) -> GoldFit:
    """Fit alpha and beta by least squares.

    Args:
        distances: sqrt(KL), M of them; those at 0 say nothing (R(0) = 0) and are left out.
        gold: relative to the start, M.
        form: one of FORMS.

    Returns:
        The fit.

    Raises:
        ValueError: if the lengths differ, a number is not finite or a distance negative, fewer than
            two different distances are above 0, or the form is unknown.

    Source: Gao et al. 2022, arXiv:2210.10760, section 1: the two forms.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}; got {form!r}")
    if len(distances) != len(gold):
        raise ValueError(f"{len(distances)} distances and {len(gold)} gold scores do not fit")
    d = torch.tensor(distances, dtype=torch.float64)
    R = torch.tensor(gold, dtype=torch.float64)
    if not (d.isfinite().all() and R.isfinite().all()) or (d < 0).any():
        raise ValueError("distances and gold must be finite, and no distance negative")
    d, R = d[d > 0], R[d > 0]
    if len(set(d.tolist())) < 2:
        raise ValueError("the fit has two numbers: it needs two different distances above 0")
    spent = d if form == "best_of_n" else d.log()
    columns = torch.stack([d, -d * spent], dim=1)  # (M, 2)
    solution = torch.linalg.lstsq(columns, R[:, None]).solution[:, 0]
    rmse = float((columns @ solution - R).square().mean().sqrt())
    return GoldFit(form, float(solution[0]), float(solution[1]), rmse)


@dataclass(frozen=True)
class CurvePoint:
    """One point of a best-of-n curve, relative to a single answer.

    Attributes:
        n: answers compared.
        distance: sqrt of ln n - (n - 1) / n.
        proxy: gain by the score that chose.
        gold: gain by the score that counts.
    """

    n: int
    distance: float
    proxy: float
    gold: float


def best_of_n_curve(proxy: Tensor, gold: Tensor, ns: Sequence[int]) -> list[CurvePoint]:
    """Compute gold and proxy against the distance, from answers drawn once.

    Args:
        proxy: scores that choose, (P, N).
        gold: scores that count, (P, N).
        ns: numbers of answers to compare, each in 1 to N.

    Returns:
        A point for each n, in that order. The distance is the bound for answers without ties.

    Raises:
        ValueError: if the scores are not (P, N), or as `estimate_best_of_n`.

    Source: Gao et al. 2022, arXiv:2210.10760, section 3.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    if proxy.ndim != 2 or not proxy.numel():
        raise ValueError(f"need scores (P, N), got {tuple(proxy.shape)}")
    start = [float(s.double().mean()) for s in (proxy, gold)]
    points = []
    for n in ns:
        gains = [
            float(estimate_best_of_n(proxy, s, n).mean()) - s0
            for s, s0 in zip((proxy, gold), start, strict=True)
        ]
        points.append(CurvePoint(n, math.sqrt(best_of_n_kl_bound(n)), *gains))
    return points


@dataclass(frozen=True)
class Fall:
    """Whether a measured curve comes down again behind its highest point.

    Attributes:
        peak: place of the highest mean among the points.
        drop: gold there minus gold at the last point, paired by seed.
        bends: whether the whole interval of the drop is above 0.
    """

    peak: int
    drop: Interval
    bends: bool


def fall(gold: Sequence[Sequence[float]], *, level: float = 0.95) -> Fall:
    """Ask several runs whether gold falls behind its highest point.

    The peak is where the mean over the runs is highest, so that chance alone makes the drop a
    little too large: with a peak just before the end the word "bends" needs a second look.

    Args:
        gold: of each run (seed), the gold score at each of M points; all measured at the same ones.
        level: of the interval.

    Returns:
        The verdict; a peak at the last point has a drop of 0 and does not bend.

    Raises:
        ValueError: if there are fewer than two runs or two points, or they differ in length.

    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    lengths = {len(run) for run in gold}
    if len(gold) < 2 or len(lengths) != 1 or min(lengths) < 2:
        raise ValueError(
            f"need two runs or more of the same two points or more, got {len(gold)} runs of "
            f"{sorted(lengths)} points"
        )
    means = torch.tensor([list(run) for run in gold], dtype=torch.float64).mean(dim=0)
    peak = int(means.argmax())
    at_peak, at_end = [run[peak] for run in gold], [run[-1] for run in gold]
    drop = paired_difference(at_peak, at_end, level)
    return Fall(peak, drop, bends=peak < len(means) - 1 and drop.low > 0)

"""Kaplan's laws: power laws of the loss without a floor, and what they say about a budget.

    L(N) = (N_c / N)^alpha_N      limited by parameters
    L(D) = (D_c / D)^alpha_D      limited by data
    L(C) = (C_c / C)^alpha_C      limited by compute

N counts parameters without embeddings, C is 6 N B S without embeddings, in PF-days.

The paper fits more than once, and each fit has its own constants: the single laws (section 3), the
joint law of N and D (table 2) and the joint law of N and S (table 3). Exponents of one fit must not
be mixed with scales of another.
"""

from dataclasses import dataclass

import numpy as np

from minillm.scaling.checks import positive
from minillm.scaling.chinchilla import Numbers, Optimum

PF_DAY = 1e15 * 24 * 3600
"""FLOPs of one petaFLOP/s kept up for a day: 8.64e19."""


@dataclass(frozen=True)
class PowerLaw:
    """L(x) = (scale / x) ** exponent.

    Attributes:
        scale: the x at which the loss would be 1 nat; far outside of what was measured.
        exponent: alpha; 10 times x multiplies the loss by 10^-alpha.

    Source: Kaplan et al. 2020, arXiv:2001.08361, equations 1.1 to 1.3.
    Lesson: notebooks/25a_kaplan.ipynb
    """

    scale: float
    exponent: float

    def __post_init__(self) -> None:
        positive("scale", self.scale)
        positive("exponent", self.exponent)

    def __call__(self, x: Numbers) -> np.ndarray:
        """The loss at x, in nats a token, of x's shape."""
        return np.asarray((self.scale / positive("x", x)) ** self.exponent)

    def solve(self, loss: float) -> float:
        """The x that it takes to reach a loss."""
        return float(self.scale / positive("loss", loss) ** (1 / self.exponent))


KAPLAN_N = PowerLaw(8.8e13, 0.076)
KAPLAN_D = PowerLaw(5.4e13, 0.095)
KAPLAN_C = PowerLaw(1.6e7, 0.057)
"""Against compute as it was spent, at one batch size, in PF-days: table 5."""
KAPLAN_C_MIN = PowerLaw(3.1e8, 0.050)
"""Against the least compute, at a batch far below the critical one, in PF-days."""


@dataclass(frozen=True)
class KaplanJoint:
    """L(N, D) = [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D, with early stopping.

    Attributes:
        n_c, alpha_n: of the parameters.
        d_c, alpha_d: of the data.

    Source: Kaplan et al. 2020, arXiv:2001.08361, equation 1.5.
    Lesson: notebooks/25a_kaplan.ipynb
    """

    n_c: float
    alpha_n: float
    d_c: float
    alpha_d: float

    @property
    def ratio(self) -> float:
        """alpha_N / alpha_D: D has to grow as N to this power for the same share of overfitting."""
        return self.alpha_n / self.alpha_d

    def loss(self, n: Numbers, d: Numbers) -> np.ndarray:
        """Nats a token for n parameters and d different tokens; infinity is allowed for either."""
        n, d = np.asarray(n, dtype=np.float64), np.asarray(d, dtype=np.float64)
        if not ((n > 0).all() and (d > 0).all()):
            raise ValueError(f"n and d must be positive, got {n.min()} and {d.min()}")
        return np.asarray(((self.n_c / n) ** self.ratio + self.d_c / d) ** self.alpha_d)

    def penalty(self, n: Numbers, d: Numbers) -> np.ndarray:
        """The share by which finite data raises the loss.

            delta L = L(N, D) / L(N, infinity) - 1 = (1 + (N / N_c)^(a_N / a_D) D_c / D)^a_D - 1

        It depends on N^(alpha_N / alpha_D) / D alone. The loss itself does not.

        Source: Kaplan et al. 2020, arXiv:2001.08361, equation 4.3.
        """
        n, d = positive("n", n), positive("d", d)
        return np.asarray((1 + (n / self.n_c) ** self.ratio * self.d_c / d) ** self.alpha_d - 1)

    def tokens_for(self, n: Numbers, penalty: float) -> np.ndarray:
        """The data with which n parameters overfit by no more than a share.

            D = D_c (N / N_c)^(alpha_N / alpha_D) / ((1 + penalty)^(1 / alpha_D) - 1)

        Source: equation 4.3 solved for D; with 0.02 it gives the 5e3 N^0.74 of equation 4.4.
        """
        room = (1 + float(positive("penalty", penalty))) ** (1 / self.alpha_d) - 1
        return np.asarray(self.d_c * (positive("n", n) / self.n_c) ** self.ratio / room)


KAPLAN_ND = KaplanJoint(n_c=6.4e13, alpha_n=0.076, d_c=1.8e13, alpha_d=0.103)
"""Table 2."""


@dataclass(frozen=True)
class KaplanSteps:
    """L(N, S_min) = (N_c / N)^alpha_N + (S_c / S_min)^alpha_S, without a limit of data.

    Attributes:
        n_c, alpha_n: of the parameters.
        s_c, alpha_s: of the steps at a batch far above the critical one.

    Source: Kaplan et al. 2020, arXiv:2001.08361, equation 1.6.
    Lesson: notebooks/25a_kaplan.ipynb
    """

    n_c: float
    alpha_n: float
    s_c: float
    alpha_s: float

    def loss(self, n: Numbers, s_min: Numbers) -> np.ndarray:
        """Nats a token for n parameters after s_min steps; infinity is allowed for either."""
        n, s = np.asarray(n, dtype=np.float64), np.asarray(s_min, dtype=np.float64)
        if not ((n > 0).all() and (s > 0).all()):
            raise ValueError(f"n and s_min must be positive, got {n.min()} and {s.min()}")
        return np.asarray((self.n_c / n) ** self.alpha_n + (self.s_c / s) ** self.alpha_s)

    def stop(self, excess: Numbers) -> np.ndarray:
        """A lower bound on the step at which training on little data should stop.

            S_stop >= S_c / (L(N, D) - L(N, infinity))^(1 / alpha_S)

        Args:
            excess: L(N, D) - L(N, infinity) in nats, positive.

        Source: Kaplan et al. 2020, arXiv:2001.08361, equation 5.7.
        """
        return np.asarray(self.s_c / positive("excess", excess) ** (1 / self.alpha_s))


KAPLAN_NS = KaplanSteps(n_c=6.5e13, alpha_n=0.077, s_c=2.1e3, alpha_s=0.76)
"""Table 3."""


@dataclass(frozen=True)
class CriticalBatch:
    """B_crit(L) = B_* / L^(1 / alpha_B), in tokens.

    Attributes:
        b_star: tokens at a loss of 1 nat.
        alpha_b: the loss as a power of the batch.

    Source: Kaplan et al. 2020, arXiv:2001.08361, equation 1.4 (2e8; table 5 has 2.1e8).
    Lesson: notebooks/25a_kaplan.ipynb
    """

    b_star: float
    alpha_b: float

    def __call__(self, loss: Numbers) -> np.ndarray:
        """Tokens a batch beyond which a larger one saves few steps, of loss's shape."""
        return np.asarray(self.b_star / positive("loss", loss) ** (1 / self.alpha_b))


KAPLAN_BATCH = CriticalBatch(2e8, 0.21)


def minimum_steps(steps: Numbers, batch: Numbers, critical: Numbers) -> np.ndarray:
    """The steps that would do at a batch far above the critical one: S / (1 + B_crit / B).

    Args:
        steps: S, taken at the batch B.
        batch, critical: B and B_crit, both in tokens or both in sequences.

    Source: Kaplan et al. 2020, arXiv:2001.08361, equation 5.4.
    Lesson: notebooks/25a_kaplan.ipynb
    """
    share = positive("critical", critical) / positive("batch", batch)
    return np.asarray(positive("steps", steps) / (1 + share))


def minimum_compute(compute: Numbers, batch: Numbers, critical: Numbers) -> np.ndarray:
    """The compute that would do at a batch far below the critical one: C / (1 + B / B_crit).

    Source: Kaplan et al. 2020, arXiv:2001.08361, equation 5.5.
    Lesson: notebooks/25a_kaplan.ipynb
    """
    share = positive("batch", batch) / positive("critical", critical)
    return np.asarray(positive("compute", compute) / (1 + share))


@dataclass(frozen=True)
class Allocation:
    """With C times the compute, each part grows by C to the power of its exponent.

    Attributes:
        loss: alpha_C, by which the loss falls.
        n: of the model size.
        batch, steps: of the batch and of the serial steps.
    """

    loss: float
    n: float
    batch: float
    steps: float

    @property
    def data(self) -> float:
        """Of the tokens read, batch times steps."""
        return self.batch + self.steps

    def grow(self, factor: float) -> dict[str, float]:
        """By how much each part grows when the compute grows by a factor."""
        c = float(positive("factor", factor))
        parts = {"n": self.n, "batch": self.batch, "steps": self.steps, "data": self.data}
        return {name: c**exponent for name, exponent in parts.items()}


def allocation_exponents(alpha_n: float, alpha_b: float, alpha_s: float) -> Allocation:
    """Derive how to spend compute from the three fitted exponents.

        alpha_C = 1 / (1/alpha_N + 1/alpha_B + 1/alpha_S)
        N ~ C^(alpha_C / alpha_N),   B ~ C^(alpha_C / alpha_B),   S ~ C^(alpha_C / alpha_S)

    At the best split each part lowers the loss by the same factor, L ~ N^-alpha_N ~ B^-alpha_B ~
    S^-alpha_S, and C = 6 N B S.

    Args:
        alpha_n, alpha_b, alpha_s: positive.

    Returns:
        The exponents; those of n, batch and steps sum to 1.

    Raises:
        ValueError: if one is not positive.

    Source: Kaplan et al. 2020, arXiv:2001.08361, equations 1.7 and 1.8.
    Lesson: notebooks/25a_kaplan.ipynb
    """
    for name, value in (("alpha_n", alpha_n), ("alpha_b", alpha_b), ("alpha_s", alpha_s)):
        positive(name, value)
    alpha_c = 1 / (1 / alpha_n + 1 / alpha_b + 1 / alpha_s)
    return Allocation(alpha_c, alpha_c / alpha_n, alpha_c / alpha_b, alpha_c / alpha_s)


KAPLAN_ALLOCATION = Allocation(loss=0.050, n=0.73, batch=0.24, steps=0.03)
"""As measured, not as derived: equation 1.8 and below, table 6."""


def kaplan_optimum(flops: float, *, batch: float = 1.0) -> Optimum:
    """What Kaplan's measured trends say of a budget.

        C_min = C / (1 + B / B_crit),   N = 1.3e9 C_min^0.73,   L = (3.1e8 / C_min)^0.050

    with C_min in PF-days, and D = C / (6 N).

    Args:
        flops: C, without embeddings.
        batch: B / B_crit. At the critical batch, 1, half of the compute pays for fewer steps;
            towards 0 all of it counts.

    Returns:
        N without embeddings, D and the loss, on WebText2 with its tokenizer.

    Raises:
        ValueError: if flops is not positive, or batch is negative.

    Source: Kaplan et al. 2020, arXiv:2001.08361, table 6, equations 1.3 and 5.5. Hoffmann et al.
        2022, arXiv:2203.15556, appendix D.4, read off 4.68e9 parameters for 1e21 FLOPs.
    Lesson: notebooks/25a_kaplan.ipynb
    """
    if not batch >= 0:
        raise ValueError(f"batch is a share of the critical batch and cannot be {batch}")
    days = float(positive("flops", flops)) / PF_DAY / (1 + batch)
    n = 1.3e9 * days**0.73
    return Optimum(float(flops), n, flops / (6 * n), float(KAPLAN_C_MIN(days)))

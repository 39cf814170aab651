"""Chinchilla's law of loss against parameters and tokens, and what it says about a budget.

    L(N, D) = E + A / N^alpha + B / D^beta

E is what no model gets below, the second term the price of a finite model, the third the price of
finite training. With C = 6 N D the best N for a budget has a closed form.

Five sets of published constants are here. They do not agree, and lesson 25b says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minillm.scaling.checks import positive

Numbers = float | Sequence[float] | np.ndarray
FLOPS_PER_PARAMETER_AND_TOKEN = 6.0


@dataclass(frozen=True)
class Optimum:
    """The best way to spend a budget under some law.

    Attributes:
        flops: C, the budget.
        n: N, parameters.
        d: D, tokens.
        loss: predicted, in nats a token; nan where the law says nothing of the loss.
    """

    flops: float
    n: float
    d: float
    loss: float

    @property
    def tokens_per_parameter(self) -> float:
        """D / N."""
        return self.d / self.n


@dataclass(frozen=True)
class ChinchillaLaw:
    """L(N, D) = E + A / N^alpha + B / D^beta, in nats a token.

    Attributes:
        E: floor, the entropy of the text as far as this family of models can tell.
        A, alpha: of the parameters.
        B, beta: of the tokens.

    Source: Hoffmann et al. 2022, arXiv:2203.15556, equation 2.
    Lesson: notebooks/25b_chinchilla.ipynb
    """

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def __post_init__(self) -> None:
        for name in ("A", "B", "alpha", "beta"):
            positive(name, getattr(self, name))
        if not (np.isfinite(self.E) and self.E >= 0):
            raise ValueError(f"E is a loss and cannot be {self.E}")

    def loss(self, n: Numbers, d: Numbers) -> np.ndarray:
        """Predict the loss.

        Args:
            n, d: parameters and tokens, numbers or arrays that broadcast; infinity is allowed.

        Returns:
            Nats a token, of the broadcast shape.

        Raises:
            ValueError: if one of them is not positive.
        """
        n, d = np.asarray(n, dtype=np.float64), np.asarray(d, dtype=np.float64)
        for name, values in (("n", n), ("d", d)):
            if not (values > 0).all():
                raise ValueError(f"{name} must be positive, got {values.min()}")
        return np.asarray(self.E + self.A * n**-self.alpha + self.B * d**-self.beta)

    @property
    def a(self) -> float:
        """The exponent of N_opt: N_opt grows as C^a, with a = beta / (alpha + beta)."""
        return self.beta / (self.alpha + self.beta)

    @property
    def b(self) -> float:
        """The exponent of D_opt; a + b = 1."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def G(self) -> float:
        """(alpha A / (beta B))^(1 / (alpha + beta)), the size of N_opt at C = 6."""
        ratio = self.alpha * self.A / (self.beta * self.B)
        return float(ratio ** (1 / (self.alpha + self.beta)))

    def optimum(self, flops: float) -> Optimum:
        """Find the best N and D for a budget.

            N_opt = G (C / 6)^a,   D_opt = (C / 6)^b / G

        from d/dN [A N^-alpha + B (6 N / C)^beta] = 0.

        Args:
            flops: C = 6 N D.

        Returns:
            The optimum and its loss.

        Raises:
            ValueError: if flops is not positive.

        Source: Hoffmann et al. 2022, arXiv:2203.15556, equation 4.
        """
        product = float(positive("flops", flops)) / FLOPS_PER_PARAMETER_AND_TOKEN
        n = self.G * product**self.a
        return Optimum(float(flops), n, product / n, float(self.loss(n, product / n)))

    def best_n(self, d: Numbers) -> np.ndarray:
        """The N whose optimal number of tokens is d:  N = (D G)^(beta / alpha) G, of d's shape.

        Source: Muennighoff et al. 2023, arXiv:2305.16264, appendix A (U_N of U_D).
        """
        return np.asarray((positive("d", d) * self.G) ** (self.beta / self.alpha) * self.G)

    def frontier(self, flops: Numbers) -> np.ndarray:
        """The lowest loss that each budget can buy, of the shape of flops."""
        product = positive("flops", flops) / FLOPS_PER_PARAMETER_AND_TOKEN
        n = self.G * product**self.a
        return self.loss(n, product / n)

    def tokens_for(self, n: float, loss: float) -> float:
        """The tokens with which n parameters reach a loss.

            D = (B / (L - E - A / N^alpha))^(1 / beta)

        Raises:
            ValueError: if no number of tokens is enough.
        """
        left = loss - self.E - self.A * float(positive("n", n)) ** -self.alpha
        if not left > 0:
            raise ValueError(
                f"{n:.4g} parameters never reach a loss of {loss:.4g}: without end they would "
                f"come to {loss - left:.4g}"
            )
        return float((self.B / left) ** (1 / self.beta))


HOFFMANN = ChinchillaLaw(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
"""As printed: Hoffmann et al. 2022, arXiv:2203.15556, appendix D.3, equation 10."""

HOFFMANN_TEX = ChinchillaLaw(E=1.6934, A=406.4, B=410.7, alpha=0.3392, beta=0.2849)
"""The same fit with the digits of the TeX source: Besiroglu et al. 2024, arXiv:2404.10102."""

BESIROGLU = ChinchillaLaw(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
"""Hoffmann's points, read from the figure and fitted again: Besiroglu et al. 2024, table 1."""

MUENNIGHOFF = ChinchillaLaw(
    E=float(np.exp(0.6254804)),
    A=float(np.exp(6.255414)),
    B=float(np.exp(7.3049974)),
    alpha=0.3526596,
    beta=0.3526596,
)
"""On C4 with alpha = beta: Muennighoff et al. 2023, arXiv:2305.16264, appendix A."""

LAWS = {
    "hoffmann": HOFFMANN,
    "hoffmann-tex": HOFFMANN_TEX,
    "besiroglu": BESIROGLU,
    "muennighoff": MUENNIGHOFF,
}

APPROACHES = {"envelope": (0.50, 0.50), "isoflop": (0.49, 0.51), "parametric": (0.46, 0.54)}
"""(a, b) of the three approaches: Hoffmann et al. 2022, arXiv:2203.15556, table 2."""

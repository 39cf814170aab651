"""Answers of one talk are no independent examples: how many is a packed row worth?

A row with K answers gives the mean of K gradients. Were the answers drawn from K different talks,
the noise of that mean would be 1/K of the noise of one. But they speak of the same things, so their
gradients err in the same direction, and the row is worth fewer: survey statistics call the loss the
design effect of a cluster sample.

Shape letters: N talks, K answers of each, P parameters.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TurnNoise:
    """How the gradients of the answers of a talk vary together, over talks.

    Attributes:
        covariance: C, (K, K), float64: C[j, k] = E (g_j - E g_j) . (g_k - E g_k), summed over the
            parameters.
        n_talks: N.
    """

    covariance: Tensor
    n_talks: int

    @property
    def correlation(self) -> float:
        """Mean covariance of two answers of a talk over the mean variance of one."""
        K = len(self.covariance)
        own = self.covariance.diagonal().sum()
        return float((self.covariance.sum() - own) / (K - 1) / own)

    @property
    def effective(self) -> float:
        """Answers of different talks that are worth as much as one row: K / (1 + (K - 1) r)."""
        K = len(self.covariance)
        of_one = self.covariance.diagonal().mean()
        return float(of_one / (self.covariance.sum() / K**2))


def turn_noise(gradients: Tensor) -> TurnNoise:
    """Estimate, without bias, how gradients of answers vary over talks.

        C[j, k] = 1 / (N - 1) sum_n (g[n, j] - mean_n g[n, j]) . (g[n, k] - mean_n g[n, k])

    The mean is taken for each turn by itself: that first answers differ from second ones is no
    noise, since every batch holds both.

    Args:
        gradients: of each answer's mean loss, (N, K, P), for talks drawn independently.

    Returns:
        The noise.

    Raises:
        ValueError: if gradients are not (N, K, P) with N >= 2 and K >= 2, or none of them varies.

    Cost: 2 K K N P FLOPs.
    Source: Kish 1965, Survey Sampling, for means of clusters (design effect); noise of gradients:
        McCandlish et al. 2018, arXiv:1812.06162, appendix A.
    Lesson: notebooks/28_instructions.ipynb
    """
    if gradients.ndim != 3 or min(gradients.shape[:2]) < 2:
        raise ValueError(
            "gradients must be (N, K, P) of at least 2 talks with at least 2 answers, got "
            f"{tuple(gradients.shape)}"
        )
    N = len(gradients)
    away = (gradients - gradients.mean(dim=0)).double()  # (N, K, P)
    covariance = torch.einsum("njp,nkp->jk", away, away) / (N - 1)
    if not covariance.diagonal().sum() > 0:
        raise ValueError("the gradients of all talks are the same; take different talks")
    return TurnNoise(covariance, N)

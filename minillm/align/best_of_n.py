"""Best of n: draw n answers, keep the one with the highest score. What is won, and what it costs.

- No training at all; the price is n answers for one.
- The distribution of the answer that is kept has a closed form, and so has its distance (KL) from
  the model that drew. For scores without ties the distance does not depend on the model:
  ln n - (n - 1) / n. With ties it is less; many papers print the formula as if it were exact.
- From N drawn answers the value of best-of-n for every n <= N follows without drawing again.

Shape letters: K outcomes of a distribution, N drawn answers, n of them compared.
"""

import math

import torch
from torch import Tensor


def pick_best(scores: Tensor) -> Tensor:
    """Say which answer has the highest score.

    Args:
        scores: (..., n).

    Returns:
        The place of the best, (...), int64; of several equal ones the first.

    Raises:
        ValueError: if there is no answer, or a score is NaN (its place is named).

    Source: Stiennon et al. 2020, arXiv:2009.01325; Nakano et al. 2021 (WebGPT), arXiv:2112.09332.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    if scores.ndim < 1 or scores.shape[-1] < 1:
        raise ValueError(f"need scores (..., n) with n >= 1, got {tuple(scores.shape)}")
    if scores.isnan().any():
        where = tuple(scores.isnan().nonzero()[0].tolist())
        raise ValueError(f"the score at {where} is NaN; mend what scores, or drop that answer")
    best = scores.max(dim=-1, keepdim=True).values
    return (scores == best).int().argmax(dim=-1)  # argmax of 0 and 1 is the first 1


def best_of_n_distribution(probabilities: Tensor, scores: Tensor, n: int) -> Tensor:
    """Give the distribution of the answer that best-of-n keeps.

        p_n(y) = p(y) / p(ties of y) * (F(y)^n - F-(y)^n)

    with F(y) the probability of a score up to that of y, F-(y) of one strictly below. Of several
    drawn answers with the best score the first is kept.

    Args:
        probabilities: p, (K,), adding up to 1.
        scores: of each outcome, (K,). Equal scores are ties.
        n: answers drawn.

    Returns:
        (K,), adding up to 1, float64.

    Raises:
        ValueError: if n < 1, the shapes differ, a score is NaN, or p is no distribution.

    Cost: K^2 comparisons.
    Source: Beirami et al. 2024, arXiv:2401.01879, section 2.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    p = _distribution(probabilities, scores, n)
    ties = (scores[:, None] == scores[None, :]).double() @ p  # (K,)
    below = (scores[None, :] < scores[:, None]).double() @ p  # (K,): F-
    return p * ((below + ties).clamp(max=1) ** n - below**n) / ties.clamp(min=1e-300)


def best_of_n_kl(probabilities: Tensor, scores: Tensor, n: int) -> float:
    """Compute how far best-of-n moves away from the model, exactly.

        KL(p_n || p) = sum_y p_n(y) ln(p_n(y) / p(y))  <=  ln n - (n - 1) / n

    Args and Raises are those of `best_of_n_distribution`.

    Returns:
        Nats.

    Source: Beirami et al. 2024, arXiv:2401.01879, Theorem 3.1 (the bound).
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    p = probabilities.double()
    best = best_of_n_distribution(probabilities, scores, n)
    drawn = best > 0
    return float((best[drawn] * (best[drawn] / p[drawn]).log()).sum())


def best_of_n_kl_bound(n: int) -> float:
    """Compute the distance of best-of-n where no two answers tie: ln n - (n - 1) / n.

    Two answers tie if their scores are equal, which two equal answers always are; so for the
    outcomes of a language model this is an upper bound, near the truth while n p(y) is small for
    every answer that wins.

    Args:
        n: answers drawn.

    Returns:
        Nats.

    Raises:
        ValueError: if n < 1.

    Source: Stiennon et al. 2020, arXiv:2009.01325, appendix G.3 (as an equality); Beirami et al.
        2024, arXiv:2401.01879, Theorem 3.1 (that it is a bound).
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    _check_n(n)
    return math.log(n) - (n - 1) / n


def expected_max_normal(n: int) -> float:
    """Compute the mean of the largest of n standard normal numbers.

        E = integral of x n phi(x) Phi(x)^(n - 1)

    Args:
        n: numbers drawn.

    Returns:
        Standard deviations above the mean: 0, 0.564, 1.029, 1.424 ... for n = 1, 2, 4, 8.

    Raises:
        ValueError: if n < 1.

    Cost: a sum over 24 577 places, exact to about 1e-12.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    _check_n(n)
    x = torch.arange(-12 * 1024, 12 * 1024 + 1, dtype=torch.float64) / 1024
    log_density = -0.5 * x**2 - 0.5 * math.log(2 * math.pi)
    density = (math.log(n) + log_density + (n - 1) * torch.special.log_ndtr(x)).exp()
    return max(0.0, float((x * density).sum() / 1024))  # of one number rounding leaves -0


def estimate_best_of_n(by: Tensor, of: Tensor, n: int) -> Tensor:
    """Estimate what best-of-n has on average, from N >= n answers that were drawn.

    The mean over all n-subsets of the N answers, of what the answer is worth that the subset would
    keep: unbiased, and it uses every answer. The weight of an answer is

        w = (C(k, n) - C(j, n)) / C(N, n) / (k - j)    j scores below its own, k up to its own

    With `of` the same as `by` it is the expected score; with another score it is what the best by
    one judge is worth to another, which is what over-optimisation is about.

    Args:
        by: the scores that choose, (..., N).
        of: what is averaged, (..., N).
        n: answers compared.

    Returns:
        (...), float64.

    Raises:
        ValueError: if the shapes differ, n is not in 1 to N, or a score is NaN.

    Cost: N^2 comparisons a row.
    Source: Nakano et al. 2021 (WebGPT), arXiv:2112.09332, appendix I (without ties).
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    N = by.shape[-1] if by.ndim else 0
    if by.shape != of.shape or not 1 <= n <= N:
        raise ValueError(
            f"need two scores (..., N) of one shape and 1 <= n <= N, got {tuple(by.shape)}, "
            f"{tuple(of.shape)} and n={n}"
        )
    if by.isnan().any() or of.isnan().any():
        raise ValueError("a score is NaN; mend what scores, or drop that answer")
    below = (by[..., None, :] < by[..., :, None]).sum(dim=-1)  # (..., N): j
    up_to = (by[..., None, :] <= by[..., :, None]).sum(dim=-1)  # (..., N): k
    share = torch.tensor(_shares(N, n), dtype=torch.float64, device=by.device)  # (N + 1,)
    weights = (share[up_to] - share[below]) / (up_to - below)
    return (weights * of.double()).sum(dim=-1)


def _shares(N: int, n: int) -> list[float]:
    """C(k, n) / C(N, n) for k = 0 .. N."""
    whole = math.comb(N, n)
    return [math.comb(k, n) / whole for k in range(N + 1)]


def _check_n(n: int) -> None:
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")


def _distribution(probabilities: Tensor, scores: Tensor, n: int) -> Tensor:
    _check_n(n)
    if probabilities.ndim != 1 or scores.shape != probabilities.shape:
        raise ValueError(
            "probabilities and scores must both be (K,), got "
            f"{tuple(probabilities.shape)} and {tuple(scores.shape)}"
        )
    if scores.isnan().any():
        raise ValueError(f"the score of outcome {int(scores.isnan().nonzero()[0])} is NaN")
    p = probabilities.double()
    if (p < 0).any() or not math.isclose(float(p.sum()), 1.0, abs_tol=1e-5):
        raise ValueError(
            f"probabilities must not be negative and add up to 1, got {float(p.sum())}"
        )
    return p

"""DPO's relatives, a function each: what they change, and why.

    DPO     -ln sigmoid(h)                      a pair, a reference                      dpo.py
    IPO     (h / beta - 1 / (2 tau))^2          a fixed gap is asked for, not an endless one
    KTO     1 - sigmoid(+-(r - z))              single answers, good or bad; no pairs
    ORPO    nll + lambda * -ln sigmoid(odds)    no reference; together with fine-tuning
    SimPO   -ln sigmoid(beta gap - gamma)       no reference; means over tokens, and a margin

h is the implicit reward of the chosen answer minus that of the rejected one, r that of one answer.

Shape letters: B pairs, or answers.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from minillm.align.dpo import (
    Reduction,
    check_beta,
    check_shapes,
    implicit_reward,
    preference_logits,
    reduce,
)


def ipo_loss(
    chosen_logprobs: Tensor,
    rejected_logprobs: Tensor,
    ref_chosen_logprobs: Tensor,
    ref_rejected_logprobs: Tensor,
    *,
    tau: float = 0.1,
    reduction: Reduction = "mean",
) -> Tensor:
    """Ask for one gap of log ratios, and no more: pairs that never disagree cannot run away.

        loss = (g - 1 / (2 tau))^2        g = (log pi - log ref)(chosen) - (...)(rejected)

    Args:
        chosen_logprobs, rejected_logprobs: of the policy, (B,): sums over the tokens as in the
            paper, or means over them as its authors ran it (and trl does).
        ref_chosen_logprobs, ref_rejected_logprobs: of the reference, taken alike, (B,).
        tau: strength of the regularisation; the gap that is asked for is 1 / (2 tau).
        reduction: "mean" or "none".

    Returns:
        A scalar, or (B,); 1 / (4 tau^2) where policy and reference agree.

    Raises:
        ValueError: if the shapes differ, tau <= 0 or reduction is unknown.

    Source: Azar et al. 2023 (IPO), arXiv:2310.12036, eq. 17.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    check_beta(tau, "tau")
    gap = preference_logits(
        chosen_logprobs, rejected_logprobs, ref_chosen_logprobs, ref_rejected_logprobs, 1.0
    )
    return reduce((gap - 1 / (2 * tau)) ** 2, reduction)


def kto_reference_point(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Estimate z, the distance from the reference that KTO measures gains and losses against.

        z = max(0, mean of log pi(y') - log ref(y'))

    Args:
        logprobs, ref_logprobs: of answers y' that belong to *other* prompts of the batch, (B,);
            such as each prompt with the answer of the one before it.

    Returns:
        A scalar without gradient.

    Raises:
        ValueError: if the shapes differ or there is no answer.

    Source: Ethayarajh et al. 2024 (KTO), arXiv:2402.01306, section 4.1.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    check_shapes(logprobs=logprobs, ref_logprobs=ref_logprobs)
    if not logprobs.numel():
        raise ValueError("the reference point needs at least one answer")
    return (logprobs - ref_logprobs).mean().clamp(min=0).detach()


def kto_loss(
    logprobs: Tensor,
    ref_logprobs: Tensor,
    desirable: Tensor,
    reference_point: Tensor | float,
    *,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Learn from single answers that are good or bad, by a utility that flattens on both sides.

        loss = w_D (1 - sigmoid(beta (g - z)))  for a good answer         g = log pi - log ref
               w_U (1 - sigmoid(beta (z - g)))  for a bad one

    Args:
        logprobs, ref_logprobs: of each answer, (B,).
        desirable: whether it is good, (B,), bool.
        reference_point: z, from `kto_reference_point`; no gradient goes through it.
        beta: how soon the utility flattens.
        desirable_weight, undesirable_weight: w_D and w_U; the paper keeps w_D n_D / (w_U n_U)
            between 1 and 3/2 where good and bad answers are not equally many.
        reduction: "mean" over the answers, or "none".

    Returns:
        A scalar, or (B,); (w / 2) each where policy and reference agree and z is 0.

    Raises:
        ValueError: if the shapes differ, desirable is not bool, beta <= 0, a weight is negative, or
            reduction is unknown.

    Source: Ethayarajh et al. 2024 (KTO), arXiv:2402.01306, section 4.1.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    if desirable.dtype != torch.bool:
        raise ValueError(f"desirable must be bool, got {desirable.dtype}")
    if desirable_weight < 0 or undesirable_weight < 0:
        raise ValueError(
            f"weights must not be negative, got {desirable_weight} and {undesirable_weight}"
        )
    check_shapes(logprobs=logprobs, ref_logprobs=ref_logprobs, desirable=desirable)
    z = torch.as_tensor(reference_point, device=logprobs.device).detach()
    away = implicit_reward(logprobs, ref_logprobs, beta) - beta * z  # (B,)
    weight = torch.where(desirable, desirable_weight, undesirable_weight).to(away.dtype)
    return reduce(weight * (1 - torch.where(desirable, away, -away).sigmoid()), reduction)


def log_odds(logprobs: Tensor) -> Tensor:
    """Compute ln(p / (1 - p)) from ln p, without losing digits where p is near 0 or 1.

    Args:
        logprobs: ln p < 0, (...).

    Raises:
        ValueError: if one is not below 0: an answer of probability 1 has infinite odds.

    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    if not bool((logprobs < 0).all()):
        worst = float(logprobs.max())
        raise ValueError(f"log-probabilities must be below 0, the largest is {worst}")
    small = logprobs > -0.6931  # there 1 - p is small, and expm1 keeps its digits
    safe = torch.where(small, logprobs, torch.full_like(logprobs, -1.0))
    other = torch.where(small, torch.full_like(logprobs, -1.0), logprobs)
    return logprobs - torch.where(small, (-safe.expm1()).log(), (-other.exp()).log1p())


def orpo_loss(
    chosen_logprobs: Tensor,
    rejected_logprobs: Tensor,
    *,
    weight: float = 0.1,
    reduction: Reduction = "mean",
) -> Tensor:
    """Fine-tune on the chosen answers and, in the same pass, raise their odds over the rejected.

        loss = -m_c + weight * -ln sigmoid(log_odds(m_c) - log_odds(m_r))

    with m the mean log-probability of an answer's tokens, so that exp(m) is the geometric mean of
    their probabilities. There is no reference model.

    Args:
        chosen_logprobs, rejected_logprobs: m of the policy, (B,): means over the tokens.
        weight: lambda, how much the odds count beside the fine-tuning.
        reduction: "mean" over the pairs, or "none". With "mean" each chosen answer counts alike,
            whatever its length.

    Returns:
        A scalar, or (B,).

    Raises:
        ValueError: if the shapes differ, weight is negative, a log-probability is not below 0, or
            reduction is unknown.

    Source: Hong et al. 2024 (ORPO), arXiv:2403.07691, eq. 6 and 7.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    if weight < 0:
        raise ValueError(f"weight must not be negative, got {weight}")
    check_shapes(chosen_logprobs=chosen_logprobs, rejected_logprobs=rejected_logprobs)
    ratio = log_odds(chosen_logprobs) - log_odds(rejected_logprobs)  # (B,)
    return reduce(-chosen_logprobs - weight * F.logsigmoid(ratio), reduction)


def simpo_loss(
    chosen_logprobs: Tensor,
    rejected_logprobs: Tensor,
    *,
    beta: float = 2.0,
    gamma: float = 1.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Compare mean log-probabilities, without a reference, and ask for a margin.

        loss = -ln sigmoid(beta (m_c - m_r) - gamma)

    Args:
        chosen_logprobs, rejected_logprobs: means over the tokens of each answer, (B,).
        beta: scale.
        gamma: the margin.
        reduction: "mean" or "none".

    Returns:
        A scalar, or (B,).

    Raises:
        ValueError: if the shapes differ, beta <= 0, gamma < 0, or reduction is unknown.

    Source: Meng et al. 2024 (SimPO), arXiv:2405.14734, eq. 6.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    check_beta(beta)
    if gamma < 0:
        raise ValueError(f"gamma must not be negative, got {gamma}")
    check_shapes(chosen_logprobs=chosen_logprobs, rejected_logprobs=rejected_logprobs)
    gap = beta * (chosen_logprobs - rejected_logprobs) - gamma
    return reduce(-F.logsigmoid(gap), reduction)

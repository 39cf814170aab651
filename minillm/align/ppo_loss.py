"""PPO's loss: go where the advantages point, but not far from the policy that drew the samples.

- policy_loss clips the ratio of new and old probability, and takes the worse of both: there is
  nothing to gain from going further, but everything can be undone.
- value_loss fits what was expected to what came, with the same caution.
- ppo_loss adds both, and the entropy.

Shape letters: B rows, T positions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from minillm.align.whiten import AVERAGES, Average, check_mask, masked_mean


@dataclass(frozen=True)
class LossConfig:
    """How the loss is put together.

    Attributes:
        clip_range: how far the ratio may go from 1 to gain anything.
        value_clip: how far a value may go from the old one to gain anything; None does not clip.
        value_coef: weight of the value loss.
        entropy_coef: weight of the entropy, which is rewarded.
        average: how tokens are averaged; see masked_mean.

    Raises:
        ValueError: if one is out of range.
    """

    clip_range: float = 0.2
    value_clip: float | None = 0.2
    value_coef: float = 0.1
    entropy_coef: float = 0.0
    average: Average = "tokens"

    def __post_init__(self) -> None:
        check_clip("loss.clip_range", self.clip_range)
        if self.value_clip is not None:
            check_clip("loss.value_clip", self.value_clip)
        for name in ("value_coef", "entropy_coef"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"loss.{name} must not be negative, got {getattr(self, name)}")
        if self.average not in AVERAGES:
            raise ValueError(
                f"loss.average must be one of {', '.join(AVERAGES)}; got {self.average!r}"
            )


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_range: float = 0.2,
    average: Average = "tokens",
) -> tuple[Tensor, dict[str, float]]:
    """Compute the clipped loss of the policy.

        ratio = exp(logprobs - old_logprobs)
        loss = - mean of  min(ratio A, clip(ratio, 1 - clip_range, 1 + clip_range) A)

    Args:
        logprobs: of the policy that is trained, (B, T).
        old_logprobs: of the policy that drew the tokens, (B, T); no gradient.
        advantages: A, (B, T); no gradient.
        mask: True at the tokens of the answers, (B, T).
        clip_range: epsilon.
        average: see masked_mean.

    Returns:
        The loss, a scalar; and what to look at: clip_fraction (the share of tokens whose gradient
        is cut off), approx_kl (k3 of old and new) and ratio (its mean).

    Raises:
        ValueError: if the shapes do not fit, no token counts, or clip_range is not positive.

    Source: Schulman et al. 2017, arXiv:1707.06347, equation 7.
    Lesson: notebooks/34b_ppo.ipynb
    """
    check_mask(mask, logprobs=logprobs, old_logprobs=old_logprobs, advantages=advantages)
    check_clip("clip_range", clip_range)
    zero = torch.zeros_like(logprobs)
    log_ratio = torch.where(mask, logprobs - old_logprobs.detach(), zero)
    A = torch.where(mask, advantages.detach(), zero)
    ratio = log_ratio.exp()
    free, bound = ratio * A, ratio.clamp(1 - clip_range, 1 + clip_range) * A
    loss = -masked_mean(torch.minimum(free, bound), mask, average)
    with torch.no_grad():
        cut = (bound < free).to(ratio.dtype)
        k3 = (-log_ratio).expm1() + log_ratio
        stats = {
            "clip_fraction": float(masked_mean(cut, mask)),
            "approx_kl": float(masked_mean(k3, mask)),
            "ratio": float(masked_mean(ratio, mask)),
        }
    return loss, stats


def value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    mask: Tensor,
    *,
    clip_range: float | None = 0.2,
    average: Average = "tokens",
) -> tuple[Tensor, dict[str, float]]:
    """Compute the clipped loss of the values.

        near = old_values + clip(values - old_values, -clip_range, clip_range)
        loss = 1/2 mean of  max((values - returns)^2, (near - returns)^2)

    Args:
        values: of the critic that is trained, (B, T).
        old_values: of the critic when the answers were drawn, (B, T); no gradient.
        returns: what they should have been, (B, T); no gradient.
        mask: True at the tokens of the answers, (B, T).
        clip_range: None does not clip.
        average: see masked_mean.

    Returns:
        The loss, a scalar; and value_error (the mean square, not clipped) and value_clip_fraction.

    Raises:
        ValueError: as policy_loss.

    Source: not in the PPO paper; it came with its code (openai/baselines, ppo2), and with that of
        Ziegler et al. 2019, arXiv:1909.08593.
    Lesson: notebooks/34b_ppo.ipynb
    """
    check_mask(mask, values=values, old_values=old_values, returns=returns)
    zero = torch.zeros_like(values)
    values = torch.where(mask, values, zero)  # before the square, whose gradient at NaN is NaN
    old = torch.where(mask, old_values.detach(), zero)
    wanted = torch.where(mask, returns.detach(), zero)
    free = (values - wanted).square()
    worse, away = free, torch.zeros_like(mask)
    if clip_range is not None:
        check_clip("clip_range", clip_range)
        away = (values - old).abs() > clip_range  # else worse differs from free by rounding only
        near = old + (values - old).clamp(-clip_range, clip_range)
        worse = torch.maximum(free, (near - wanted).square())
    loss = masked_mean(worse, mask, average) / 2
    with torch.no_grad():
        stats = {
            "value_error": float(masked_mean(free, mask)),
            "value_clip_fraction": float(masked_mean((away & (worse > free)).to(free.dtype), mask)),
        }
    return loss, stats


def ppo_loss(policy: Tensor, values: Tensor, entropy: Tensor, config: LossConfig) -> Tensor:
    """Add the three parts.

        loss = policy + value_coef values - entropy_coef entropy

    Args:
        policy: from policy_loss, a scalar.
        values: from value_loss, a scalar.
        entropy: mean entropy of the distributions that tokens are drawn from, a scalar.
        config: the weights.

    Source: Schulman et al. 2017, arXiv:1707.06347, equation 9.
    Lesson: notebooks/34b_ppo.ipynb
    """
    return policy + config.value_coef * values - config.entropy_coef * entropy


def check_clip(name: str, clip_range: float) -> None:
    """Refuse a range that is not positive and finite, by name."""
    if not 0 < clip_range < float("inf"):
        raise ValueError(f"{name} must be positive and finite, got {clip_range}")

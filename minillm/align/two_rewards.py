"""Two rewards, one for what helps and one for what is safe, and how they become one.

One model for both has to order the same pair in two ways where they conflict, which no number can:
of the two orders it gets one right. So Llama 2 trains two models and decides by the prompt.

Shape letters: N answers.
"""

import math

import torch
from torch import Tensor

THRESHOLD = 0.15
"""Safety scores below it are taken for unsafe. Source: Llama 2, section 3.2.3."""


def combine_rewards(
    helpful: Tensor, safe: Tensor, is_safety: Tensor, *, threshold: float = THRESHOLD
) -> Tensor:
    """Take the safety reward where safety is at stake, else the helpful one.

        R = r_s   if the prompt is one of safety, or sigma(r_s) < threshold
            r_h   otherwise

    The comparison is of scores after the sigmoid; what is handed on are the rewards before it
    (the paper turns scores back by the logit, which is the same).

    Args:
        helpful: rewards of the model for helpfulness, (N,).
        safe: rewards of the model for safety, (N,).
        is_safety: whether the prompt asks for something unsafe, (N,), bool.
        threshold: in 0 .. 1.

    Returns:
        Rewards, (N,), not whitened; see `whiten`.

    Raises:
        ValueError: if the shapes differ, is_safety is not bool, or the threshold not in 0 .. 1.

    Source: Touvron et al. 2023 (Llama 2), arXiv:2307.09288, section 3.2.3.
    Lesson: notebooks/33_reward.ipynb
    """
    if helpful.shape != safe.shape or helpful.shape != is_safety.shape:
        raise ValueError(
            f"need helpful, safe and is_safety of one shape, got {tuple(helpful.shape)}, "
            f"{tuple(safe.shape)} and {tuple(is_safety.shape)}"
        )
    if is_safety.dtype != torch.bool:
        raise ValueError(f"is_safety must be bool, got {is_safety.dtype}")
    if not 0 <= threshold <= 1 or math.isnan(threshold):
        raise ValueError(f"threshold is a score, in 0 .. 1; got {threshold}")
    return torch.where(is_safety | (torch.sigmoid(safe) < threshold), safe, helpful)


def conflict_ceiling(share: float) -> float:
    """The best mean accuracy of one reward for two utilities that conflict on a share of pairs.

        share / 2 + (1 - share)

    On a pair of conflict every order is right for one utility and wrong for the other.

    Raises:
        ValueError: if share is not in 0 .. 1.

    Lesson: notebooks/33_reward.ipynb
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in 0 .. 1, got {share}")
    return 1 - share / 2

"""GRPO: PPO without a value model; the other answers to the same prompt are the baseline.

- G answers a prompt, each with one score. An answer's advantage is its score minus the mean of its
  group, and all its tokens share it: no value head, no GAE.
- Right for scores that somebody can decide at the end: `task_rewards` asks the checker of a task.
- The KL to the reference is a term of the loss (k3 of each token), not a part of the reward.
- How scores are scaled and how tokens are averaged changes what is learned; both are named
  parameters. Dividing by the group's spread favours prompts that are nearly always, or hardly
  ever, solved; averaging by rows tells a token of a long answer less.

Shape letters: B answers (groups of G in a row), T positions.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from minillm.align.kl import k3
from minillm.align.whiten import Average, check_mask, masked_mean
from minillm.finetune.tasks import Task

BASELINES = ("mean", "leave_one_out", "none")
NORMALIZERS = ("std", "population_std", "none")
Baseline = Literal["mean", "leave_one_out", "none"]
Normalizer = Literal["std", "population_std", "none"]


def task_rewards(tasks: Sequence[Task], answers: Sequence[str]) -> Tensor:
    """Score answers by the checkers of their tasks: 1 if right, 0 if not.

    Args:
        tasks: B of them; a task comes as often as it has answers.
        answers: what was said to each.

    Returns:
        (B,), float32.

    Raises:
        ValueError: if there are not as many answers as tasks.

    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    if len(tasks) != len(answers):
        raise ValueError(f"{len(tasks)} tasks and {len(answers)} answers do not fit")
    return torch.tensor([float(t.check(a)) for t, a in zip(tasks, answers, strict=True)])


def group_advantages(
    rewards: Tensor,
    group_size: int,
    baseline: Baseline = "mean",
    normalizer: Normalizer = "std",
    eps: float = 1e-4,
) -> Tensor:
    """Compare each answer with the others to its prompt.

        advantage = (reward - baseline of its group) / (spread of its group + eps)

    Args:
        rewards: (B,), the G answers to a prompt next to one another.
        group_size: G.
        baseline: "mean" of the group; "leave_one_out", the mean of the others, which is unbiased
            and G / (G - 1) times as long; "none" compares with 0.
        normalizer: "std", the standard deviation with G - 1, as trl and most code; "population_std"
            with G; "none" does not divide, as Dr. GRPO proposes.
        eps: added to the spread. A group of equal rewards has advantage 0, if there is a baseline.

    Returns:
        (B,), in the dtype of the rewards.

    Raises:
        ValueError: if B is no multiple of G, G is too small, a reward is not finite (its place is
            named), eps is negative, or baseline or normalizer is unknown.

    Source: Shao et al. 2024 (DeepSeekMath), arXiv:2402.03300, section 4.1.2. No division: Liu et
        al. 2025 (Dr. GRPO), arXiv:2503.20783, section 3. Leave one out: Ahmadian et al. 2024
        (RLOO), arXiv:2402.14740.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    _check_groups(rewards, group_size, baseline, normalizer, eps)
    groups = rewards.reshape(-1, group_size)  # (B / G, G)
    mean = groups.mean(dim=1, keepdim=True)
    advantages = groups
    if baseline == "mean":
        advantages = groups - mean
    elif baseline == "leave_one_out":
        advantages = (groups - mean) * (group_size / (group_size - 1))
    if normalizer != "none":
        spread = groups.std(dim=1, keepdim=True, unbiased=normalizer == "std")
        # not 0 / 0 where a group is of one mind and eps is 0
        advantages = torch.where(advantages == 0, advantages, advantages / (spread + eps))
    return advantages.reshape(-1)


def grpo_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_range: float = 0.2,
    clip_range_high: float | None = None,
    ref_logprobs: Tensor | None = None,
    kl_coef: float = 0.0,
    average: Average = "rows",
    max_tokens: int | None = None,
) -> Tensor:
    """Make good answers likelier and bad ones less so, by a little.

        ratio = exp(logprobs - old_logprobs)
        token = -min(ratio A, clip(ratio, 1 - c, 1 + c_high) A) + kl_coef k3
        loss  = average of the tokens of the answers

    Args:
        logprobs: of the policy, (B, T).
        old_logprobs: of the policy that drew the answers, (B, T).
        advantages: one an answer, (B,), or one a token, (B, T).
        mask: True at the tokens of the answers, (B, T). Other places are never read.
        clip_range: c.
        clip_range_high: c_high; None takes c. DAPO sets it higher.
        ref_logprobs: of the reference, (B, T); needed if kl_coef is not 0.
        kl_coef: price of a nat, by the estimator k3 of `kl.py`.
        average: "rows" is GRPO: the mean over answers of the mean over tokens. "tokens": every
            token of the batch counts alike, as DAPO. "length": divided by B max_tokens, as Dr.
            GRPO, so that neither a long answer nor a long batch changes what a token counts.
        max_tokens: the longest answer there could be; needed for "length".

    Returns:
        A scalar.

    Raises:
        ValueError: if the shapes do not fit, no place counts, a range is negative or c >= 1, a
            reference or max_tokens is missing, or average is unknown.

    Source: Shao et al. 2024 (DeepSeekMath), arXiv:2402.03300, eq. 3 and 4. "tokens" and c_high: Yu
        et al. 2025 (DAPO), arXiv:2503.14476, section 3. "length": Liu et al. 2025 (Dr. GRPO),
        arXiv:2503.20783, section 3.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    check_mask(mask, logprobs=logprobs, old_logprobs=old_logprobs)
    high = clip_range if clip_range_high is None else clip_range_high
    if not 0 <= clip_range < 1 or high < 0:
        raise ValueError(
            f"need 0 <= clip_range < 1 and clip_range_high >= 0, got {clip_range}, {high}"
        )
    A = _a_token(advantages, mask)  # (B, 1) or (B, T)
    zero = torch.zeros_like(logprobs)
    ratio = torch.where(mask, logprobs - old_logprobs.detach(), zero).exp()  # (B, T)
    losses = -torch.minimum(ratio * A, ratio.clamp(1 - clip_range, 1 + high) * A)
    if kl_coef:
        if ref_logprobs is None:
            raise ValueError(f"kl_coef={kl_coef} needs ref_logprobs: run the reference on the rows")
        check_mask(mask, ref_logprobs=ref_logprobs)
        ref = torch.where(mask, ref_logprobs.detach(), zero)
        losses = losses + kl_coef * k3(torch.where(mask, logprobs, zero), ref)
    if average != "length":
        return masked_mean(losses, mask, average)
    if max_tokens is None or max_tokens < int(mask.sum(dim=1).max()):
        raise ValueError(
            f"average 'length' needs max_tokens, at least the longest answer; got {max_tokens}"
        )
    return masked_mean(losses, mask, "length") * (mask.shape[1] / max_tokens)


def clipped_share(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_range: float = 0.2,
    clip_range_high: float | None = None,
) -> float:
    """Measure which share of the tokens the clip holds back: their gradient is 0.

    Args: as in `grpo_loss`.

    Returns:
        Between 0 and 1.

    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    check_mask(mask, logprobs=logprobs, old_logprobs=old_logprobs)
    high = clip_range if clip_range_high is None else clip_range_high
    A = _a_token(advantages, mask)
    ratio = (logprobs - old_logprobs).exp()
    held = ((A > 0) & (ratio > 1 + high)) | ((A < 0) & (ratio < 1 - clip_range))
    return float((held & mask).sum() / mask.sum())


def _a_token(advantages: Tensor, mask: Tensor) -> Tensor:
    """Give an advantage to each token, without a gradient; 0 where nothing counts."""
    if advantages.shape == mask.shape[:1]:
        advantages = advantages[:, None]
    elif advantages.shape != mask.shape:
        raise ValueError(
            f"advantages must be ({mask.shape[0]},), one an answer, or {tuple(mask.shape)}; got "
            f"{tuple(advantages.shape)}"
        )
    return torch.where(mask, advantages.detach(), torch.zeros_like(advantages))


def _check_groups(
    rewards: Tensor, group_size: int, baseline: str, normalizer: str, eps: float
) -> None:
    if baseline not in BASELINES:
        raise ValueError(f"baseline must be one of {', '.join(BASELINES)}; got {baseline!r}")
    if normalizer not in NORMALIZERS:
        raise ValueError(f"normalizer must be one of {', '.join(NORMALIZERS)}; got {normalizer!r}")
    least = 1 if baseline == "none" and normalizer != "std" else 2
    if group_size < least:
        raise ValueError(f"group_size must be at least {least} here, got {group_size}")
    if rewards.ndim != 1 or not rewards.numel() or rewards.numel() % group_size:
        raise ValueError(
            f"rewards must be (B,) with B a multiple of group_size={group_size}, got "
            f"{tuple(rewards.shape)}"
        )
    if not rewards.isfinite().all():
        where = int((~rewards.isfinite()).nonzero()[0])
        raise ValueError(
            f"the reward of answer {where} is {float(rewards[where])}; mend what scores"
        )
    if eps < 0:
        raise ValueError(f"eps must not be negative, got {eps}")

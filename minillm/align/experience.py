"""One step's experience: answers, what they earned, and how much better they were than expected.

    draw answers -> score them -> price of leaving the reference -> advantages

Nothing is learned here. What cannot be learned from is refused here, before the weights change.

Shape letters: B answers, T positions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minillm.align.crew import ALONE, Crew
from minillm.align.drift import check_drift
from minillm.align.gae import gae
from minillm.align.kl import k3, kl_rewards
from minillm.align.ppo_settings import PPOConfig
from minillm.align.rollouts import Rollouts
from minillm.align.value import ActorCritic
from minillm.align.whiten import masked_mean, whiten

RewardFunction = Callable[[Rollouts], Tensor]
"""Gives each answer a score, (B,)."""


class RewardError(ValueError):
    """A reward function gave something that nobody can learn from; the weights are untouched."""


@dataclass(frozen=True)
class Experience:
    """What one step learns from; (B, T) where nothing else is said, and no gradient anywhere.

    Attributes:
        drawn: the answers.
        logprobs: of the policy that drew them, read anew in one pass.
        ref_logprobs: of the reference.
        values: what was expected before each token.
        rewards: what each token earned, the price included.
        advantages: whitened.
        returns: what the values should have been.
        scores: of the answers, (B,), before any price.
        stats: of the step, by name.
    """

    drawn: Rollouts
    logprobs: Tensor
    ref_logprobs: Tensor
    values: Tensor
    rewards: Tensor
    advantages: Tensor
    returns: Tensor
    scores: Tensor
    stats: dict[str, float]

    def rows(self, chosen: Tensor) -> dict[str, Tensor]:
        """Give some rows of what the loss reads, padding that none of them needs cut off."""
        drawn = {"ids": self.drawn.ids, "mask": self.drawn.mask}
        names = ("logprobs", "values", "advantages", "returns")
        T = int(self.drawn.mask[chosen].any(dim=0).nonzero().max()) + 1
        everything = {**drawn, **{name: getattr(self, name) for name in names}}
        return {name: x[chosen, :T] for name, x in everything.items()}


def gather_experience(
    model: ActorCritic,
    reference: nn.Module,
    prompts: Sequence[Sequence[int]],
    reward: RewardFunction,
    config: PPOConfig,
    *,
    kl_coef: float,
    seed: int,
    step: int = 0,
    crew: Crew = ALONE,
) -> Experience:
    """Draw answers and work out what they teach.

    Args:
        model: policy and critic; set to evaluation mode.
        reference: the policy that leaving costs something; never changed.
        prompts: ids of each prompt, one answer each.
        reward: scores the answers.
        config: how.
        kl_coef: price of a nat now.
        seed: of the draws.
        step: updates so far, only for messages.
        crew: who does it.

    Returns:
        The experience. stats holds score, kl (nats an answer, measured), kl_k3, entropy (nats a
        token), length (tokens), ended (share that ended by itself) and value_explained (share of
        the variance of the returns).

    Raises:
        RewardError: if a score is not finite, or there is not one for each answer.
        DriftError: if the distance from the reference is not a number or above
            config.reward.max_kl.
        ValueError: as rollout.

    Lesson: notebooks/34b_ppo.ipynb
    """
    s, temperature = config.sampling, config.sampling.temperature
    model.eval()
    drawn = crew.draw(
        model.policy,
        prompts,
        s.max_new_tokens,
        pad_id=s.pad_id,
        stop_ids=s.stop_ids,
        temperature=temperature,
        seed=seed,
    )
    mask = drawn.mask
    judged, ref_logprobs = crew.judge(model, reference, drawn, temperature)
    scores = check_scores(crew.score(reward, drawn, step), drawn, step)
    if config.reward.unfinished_score is not None:
        scores = torch.where(drawn.ended, scores, config.reward.unfinished_score)
    stats = _stats(drawn, judged.logprobs, ref_logprobs, judged.entropy, scores)
    check_drift(step, stats["kl"], config.reward.max_kl)
    rewards = kl_rewards(scores, judged.logprobs, ref_logprobs, mask, kl_coef)
    if config.reward.whiten:
        rewards = whiten(rewards, mask, shift=False)
    advantages, returns = gae(rewards, judged.values, mask, gamma=config.gamma, lam=config.lam)
    stats["value_explained"] = explained(judged.values, returns, mask)
    return Experience(
        drawn=drawn,
        logprobs=judged.logprobs,
        ref_logprobs=ref_logprobs,
        values=judged.values,
        rewards=rewards,
        advantages=whiten(advantages, mask),
        returns=returns,
        scores=scores,
        stats=stats,
    )


def check_scores(scores: Tensor, drawn: Rollouts, step: int = 0) -> Tensor:
    """Refuse scores that are not finite or not one for each answer; return them, on the device.

    Args:
        scores: what a reward function gave.
        drawn: the answers.
        step: only for the message.

    Returns:
        (B,), float32 or wider, without a gradient.

    Raises:
        RewardError: with the step, the row and the start of the answer.
    """
    scores = one_each(scores, drawn, step)
    bad = (~torch.isfinite(scores)).nonzero()
    if len(bad):
        row = int(bad[0])
        raise RewardError(
            f"step {step}: the score of answer {row} is {float(scores[row])} ({len(bad)} of "
            f"{len(scores)} are not finite); its ids begin {drawn.answers()[row][:8]}. Mend the "
            "reward function: an empty answer, a division by zero, a model in 16 bits"
        )
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def one_each(scores: Tensor, drawn: Rollouts, step: int = 0) -> Tensor:
    """Refuse scores that are not one for each answer, finite or not; as check_scores."""
    scores = torch.as_tensor(scores, device=drawn.ids.device).detach()
    if scores.shape != (len(drawn),):
        raise RewardError(
            f"step {step}: the reward function gave {tuple(scores.shape)} for {len(drawn)} "
            "answers; it must give one number for each"
        )
    return scores


def explained(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """Say which share of the variance of the returns the values foresaw.

        1 - Var(returns - values) / Var(returns)

    Args:
        values, returns: (B, T).
        mask: True at the tokens of the answers, (B, T).

    Returns:
        1 is perfect, 0 no better than their mean, less than 0 worse. 0 if the returns are equal.

    Lesson: notebooks/34b_ppo.ipynb
    """
    spread = _variance(returns, mask)
    return 0.0 if spread == 0 else 1 - _variance(returns - values, mask) / spread


def _variance(x: Tensor, mask: Tensor) -> float:
    return float(masked_mean((x - masked_mean(x, mask)).square(), mask))


def _stats(
    drawn: Rollouts, logprobs: Tensor, ref_logprobs: Tensor, entropy: Tensor, scores: Tensor
) -> dict[str, float]:
    n = len(drawn)
    return {
        "score": float(scores.mean()),
        "kl": float((logprobs - ref_logprobs).sum() / n),
        "kl_k3": float(k3(logprobs, ref_logprobs).sum() / n),
        "entropy": float(masked_mean(entropy, drawn.mask)),
        "length": float(drawn.lengths.double().mean()),
        "ended": float(drawn.ended.double().mean()),
    }

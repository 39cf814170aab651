"""DPO: the policy is its own reward model, and is trained on pairs by one logistic loss.

- The optimum of reward minus beta KL says which reward a policy is the best answer to:
  beta ln(pi(y) / ref(y)), up to a constant of the prompt (see optimum.py). Put into Bradley and
  Terry's model of preferences the constant drops out, and what is left is a loss of the policy.
- At the start pi = ref: every implicit reward is 0 and the loss is ln 2, whatever the pairs are.
- Only the difference of two answers is trained. Both may become less likely, and often do.

Shape letters: B pairs. All inputs are log-probabilities of whole answers, sums over their tokens:
see answer_logprobs.pair_sums.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Reduction = Literal["mean", "none"]


def implicit_reward(logprobs: Tensor, ref_logprobs: Tensor, beta: float) -> Tensor:
    """Read off a policy the reward that it is optimal for, up to a constant of the prompt.

        r(y) = beta (log pi(y) - log ref(y))

    Args:
        logprobs, ref_logprobs: of whole answers, (...).
        beta: price of a nat of distance.

    Returns:
        (...).

    Raises:
        ValueError: if beta <= 0 or the shapes differ.

    Source: Rafailov et al. 2023 (DPO), arXiv:2305.18290, eq. 5.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    check_beta(beta)
    check_shapes(logprobs=logprobs, ref_logprobs=ref_logprobs)
    return beta * (logprobs - ref_logprobs)


def dpo_loss(
    chosen_logprobs: Tensor,
    rejected_logprobs: Tensor,
    ref_chosen_logprobs: Tensor,
    ref_rejected_logprobs: Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Ask the policy to prefer the chosen answer more than the reference does.

        h = beta ((log pi - log ref)(chosen) - (log pi - log ref)(rejected))
        loss = -(1 - e) ln sigmoid(h) - e ln sigmoid(-h)          e = label_smoothing

    Args:
        chosen_logprobs, rejected_logprobs: of the policy, (B,).
        ref_chosen_logprobs, ref_rejected_logprobs: of the reference, (B,); no gradient is wanted.
        beta: price of a nat of distance from the reference.
        label_smoothing: e, the share of pairs that are taken to be the wrong way round, in
            [0, 0.5). Above 0 the loss has its minimum at a finite h = ln((1 - e) / e).
        reduction: "mean" over the pairs, or "none".

    Returns:
        Nats: a scalar, or (B,). ln 2 where policy and reference agree.

    Raises:
        ValueError: if the shapes differ, beta <= 0, or label_smoothing or reduction is unknown.

    Source: Rafailov et al. 2023 (DPO), arXiv:2305.18290, eq. 7. Smoothing: Mitchell 2023, "A note
        on DPO with noisy preferences and relationship to IPO", eq. 3.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing must lie in [0, 0.5), got {label_smoothing}")
    h = preference_logits(
        chosen_logprobs, rejected_logprobs, ref_chosen_logprobs, ref_rejected_logprobs, beta
    )
    losses = -(1 - label_smoothing) * F.logsigmoid(h) - label_smoothing * F.logsigmoid(-h)
    return reduce(losses, reduction)


def preference_logits(
    chosen_logprobs: Tensor,
    rejected_logprobs: Tensor,
    ref_chosen_logprobs: Tensor,
    ref_rejected_logprobs: Tensor,
    beta: float,
) -> Tensor:
    """Compute h, the implicit reward of the chosen answer minus that of the rejected one.

    Args and Raises are those of `dpo_loss`. sigmoid(h) is the probability, in the policy's
    opinion, that the chosen answer is the better one.

    Returns:
        (B,).

    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    check_shapes(
        chosen_logprobs=chosen_logprobs,
        rejected_logprobs=rejected_logprobs,
        ref_chosen_logprobs=ref_chosen_logprobs,
        ref_rejected_logprobs=ref_rejected_logprobs,
    )
    return implicit_reward(chosen_logprobs, ref_chosen_logprobs, beta) - implicit_reward(
        rejected_logprobs, ref_rejected_logprobs, beta
    )


def dpo_gradient(h: Tensor, beta: float, *, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Give the gradient of a pair's loss by the log-probabilities of its answers, by hand.

        d loss / d log pi(chosen) = -beta (sigmoid(-h) - e)        ... (rejected) = the negative

    A pair that is still the wrong way round (h < 0) pulls with nearly beta, one that is settled
    hardly at all: DPO weighs its examples by how wrong its own reward is.

    Args:
        h: (B,), from `preference_logits`.
        beta, label_smoothing: as in `dpo_loss`.

    Returns:
        By chosen_logprobs and by rejected_logprobs, (B,) each, of the losses, not of their mean.

    Raises:
        ValueError: if beta <= 0.

    Source: Rafailov et al. 2023 (DPO), arXiv:2305.18290, section 4, "What does the DPO update do?".
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    check_beta(beta)
    pull = beta * (torch.sigmoid(-h) - label_smoothing)
    return -pull, pull


@dataclass(frozen=True)
class DPOStats:
    """Where a policy stands on a batch of pairs.

    Attributes:
        accuracy: share of the pairs whose chosen answer has the higher implicit reward.
        margin: mean of h.
        chosen: mean of log pi - log ref of the chosen answers; below 0 they became less likely.
        rejected: the same of the rejected answers.
    """

    accuracy: float
    margin: float
    chosen: float
    rejected: float


@torch.no_grad()
def dpo_stats(
    chosen_logprobs: Tensor,
    rejected_logprobs: Tensor,
    ref_chosen_logprobs: Tensor,
    ref_rejected_logprobs: Tensor,
    beta: float,
) -> DPOStats:
    """Measure what DPO moved; arguments and errors as `preference_logits`.

    A pair with h = 0 counts half.

    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    h = preference_logits(
        chosen_logprobs, rejected_logprobs, ref_chosen_logprobs, ref_rejected_logprobs, beta
    )
    return DPOStats(
        accuracy=((h > 0).double() + 0.5 * (h == 0)).mean().item(),
        margin=h.mean().item(),
        chosen=(chosen_logprobs - ref_chosen_logprobs).mean().item(),
        rejected=(rejected_logprobs - ref_rejected_logprobs).mean().item(),
    )


def reduce(losses: Tensor, reduction: str) -> Tensor:
    """Take the mean of losses, or leave them; refuse any other word."""
    if reduction not in ("mean", "none"):
        raise ValueError(f"reduction must be 'mean' or 'none', got {reduction!r}")
    return losses.mean() if reduction == "mean" else losses


def check_beta(beta: float, name: str = "beta") -> None:
    """Refuse a price that is not positive."""
    if not 0 < beta < float("inf"):
        raise ValueError(f"{name} must be positive and finite, got {beta}")


def check_shapes(**named: Tensor) -> None:
    """Refuse tensors of different shapes: a wrong one would be broadcast in silence."""
    shapes = {name: tuple(x.shape) for name, x in named.items()}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"all must have one shape, got {told}")

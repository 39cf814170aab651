"""How far a policy has gone from its reference: exactly, estimated from samples, and as a price.

- exact_kl needs all logits; k1, k2, k3 only the log-probabilities of the tokens that were drawn.
- kl_rewards puts the price on each token and the score on the last one: what PPO then maximises.
- AdaptiveKL turns the price so that the distance stays near a target.

Shape letters: B rows, T positions, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from minillm.align.whiten import check_mask


def exact_kl(logits: Tensor, ref_logits: Tensor) -> Tensor:
    """Compute how far each distribution over the next token has gone from the reference.

        KL(p || q) = sum over v of  p_v (log p_v - log q_v)

    Args:
        logits: of the policy p, (..., V).
        ref_logits: of the reference q, (..., V). Minus infinity is a token that is never drawn.

    Returns:
        Nats, (...), not negative but for rounding; infinite where p draws what q never does.

    Raises:
        ValueError: if the shapes differ.

    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    if logits.shape != ref_logits.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)} and ref_logits {tuple(ref_logits.shape)} must have one "
            "shape"
        )
    p, q = logits.log_softmax(dim=-1), ref_logits.log_softmax(dim=-1)
    drawn = torch.isfinite(p)  # 0 log 0 is 0
    gap = torch.where(drawn, p, 0.0) - torch.where(drawn, q, 0.0)
    return (p.exp() * gap).sum(dim=-1)


def k1(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Estimate the KL by what it is the mean of: unbiased, negative for many samples.

        k1 = log p(x) - log q(x)        x drawn from p

    Args:
        logprobs: log p of what was drawn, (...).
        ref_logprobs: log q of the same, (...).

    Returns:
        (...), to be averaged.

    Source: Schulman 2020, Approximating KL Divergence, joschu.net/blog/kl-approx.html.
    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    return logprobs - ref_logprobs


def k2(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Estimate the KL by half a square: never negative, little variance, biased.

        k2 = (log p(x) - log q(x))^2 / 2

    The bias is of third order in the distance. Args, Returns, Source and Lesson are those of k1.
    """
    return (logprobs - ref_logprobs).square() / 2


def k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Estimate the KL by k1 and a term of mean 0: unbiased, never negative, little variance.

        k3 = r - 1 - log r        r = q(x) / p(x)

    Of mean 0 is r - 1, if p draws everything that q does. Where q is much larger than p, r is huge
    and rarely seen, and the variance can exceed that of k1. As a loss to be differentiated it is
    something else: its gradient is that of KL(q || p). Args, Returns, Source and Lesson: as k1.
    """
    log_r = ref_logprobs - logprobs
    return log_r.expm1() - log_r


Estimator = Callable[[Tensor, Tensor], Tensor]
ESTIMATORS: dict[str, Estimator] = {"k1": k1, "k2": k2, "k3": k3}


def kl_rewards(
    scores: Tensor, logprobs: Tensor, ref_logprobs: Tensor, mask: Tensor, kl_coef: float
) -> Tensor:
    """Turn the score of an answer into a reward a token, with the price of leaving the reference.

        r[b, t] = - kl_coef (logprobs - ref_logprobs)[b, t]      + score[b] at the last token

    Their sum over a row is score - kl_coef log(p / q) of the whole answer, whose mean is what is
    to be maximised: E[score] - kl_coef KL(p || q).

    Args:
        scores: one number an answer, (B,).
        logprobs: of the policy that drew the answers, (B, T).
        ref_logprobs: of the reference, (B, T).
        mask: True at the tokens of the answers, (B, T).
        kl_coef: price of a nat.

    Returns:
        (B, T), 0 where the mask is False. No gradient flows back. A row without an answer token
        earns nothing, its score included.

    Raises:
        ValueError: if the shapes do not fit, or kl_coef is negative or not finite.

    Source: Ziegler et al. 2019, arXiv:1909.08593, equation 2; Ouyang et al. 2022,
        arXiv:2203.02155, equation 2 (without its pre-training term).
    Lesson: notebooks/34b_ppo.ipynb
    """
    check_mask(mask, logprobs=logprobs, ref_logprobs=ref_logprobs)
    if scores.shape != mask.shape[:1]:
        raise ValueError(f"scores must be ({len(mask)},), one a row; got {tuple(scores.shape)}")
    if not 0 <= kl_coef < float("inf"):
        raise ValueError(f"kl_coef must be finite and not negative, got {kl_coef}")
    price = kl_coef * k1(logprobs.detach(), ref_logprobs.detach())
    rewards = torch.where(mask, -price, torch.zeros_like(price))
    return rewards + last_places(mask) * scores.detach().to(rewards.dtype)[:, None]


def last_places(mask: Tensor) -> Tensor:
    """Mark the last True of each row, (B, T) to (B, T); a row without one stays empty."""
    from_here = mask.flip(1).cumsum(dim=1).flip(1)  # True places from t on
    return mask & (from_here == 1)


@dataclass(frozen=True)
class AdaptiveKL:
    """A rule that makes leaving dearer when the policy is too far away, and cheaper when not.

        error = clip(kl / target - 1, -0.2, 0.2);      kl_coef = kl_coef (1 + error n / horizon)

    Attributes:
        target: where the KL of whole answers shall be, in nats.
        horizon: answers after which an error has its whole effect. Ziegler et al. write 0.1 for
            n / horizon.

    Raises:
        ValueError: if one is not positive.

    Source: Ziegler et al. 2019, arXiv:1909.08593, section 2.2.
    Lesson: notebooks/34b_ppo.ipynb
    """

    target: float
    horizon: float = 10_000.0

    def __post_init__(self) -> None:
        for name in ("target", "horizon"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    def update(self, kl_coef: float, kl: float, n_answers: int) -> float:
        """Give the next kl_coef.

        Args:
            kl_coef: the price so far.
            kl: measured with it, nats an answer.
            n_answers: how many it was measured on.
        """
        error = min(max(kl / self.target - 1, -0.2), 0.2)
        return kl_coef * (1 + error * n_answers / self.horizon)

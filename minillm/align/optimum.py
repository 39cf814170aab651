"""What alignment aims at: the best policy that stays near its reference, in closed form.

    maximise  E_{y ~ pi}[r(y)] - beta KL(pi || ref)    ->    pi*(y) = ref(y) exp(r(y) / beta) / Z

- For a prompt with K possible answers all of it is a softmax over K numbers. PPO climbs towards
  pi* by samples; DPO turns the formula round and reads the reward off the policy; both can be
  checked against it where K is small enough to count.
- Solved for the reward: r(y) = beta ln(pi*(y) / ref(y)) + beta ln Z. The last term is the same for
  all answers to a prompt, so it drops out of every comparison: that is the whole trick of DPO.

Shape letters: ... prompts, K answers to each. All policies are given as log-probabilities.
"""

import torch
from torch import Tensor


def optimal_policy(ref_logprobs: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """Give the policy that maximises reward minus beta times KL.

        log pi* = log ref + r / beta - log Z

    Args:
        ref_logprobs: log ref, (..., K).
        rewards: r, (..., K).
        beta: price of a nat of distance; large stays at the reference, small goes for the reward.

    Returns:
        log pi*, (..., K), each row a distribution.

    Raises:
        ValueError: if beta <= 0 or the shapes do not fit.

    Source: Rafailov et al. 2023 (DPO), arXiv:2305.18290, eq. 4 and appendix A.1.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    return (ref_logprobs + _scaled(ref_logprobs, rewards, beta)).log_softmax(dim=-1)


def log_partition(ref_logprobs: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """Compute log Z = log sum_y ref(y) exp(r(y) / beta); beta log Z is the best objective there is.

    Args and Raises are those of `optimal_policy`.

    Returns:
        (...), nats.

    Source: Rafailov et al. 2023 (DPO), arXiv:2305.18290, eq. 4.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    scaled = _scaled(ref_logprobs, rewards, beta)
    return (ref_logprobs.log_softmax(dim=-1) + scaled).logsumexp(dim=-1)


def kl_objective(logprobs: Tensor, ref_logprobs: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """Compute what is maximised: expected reward minus beta times the distance.

        J = sum_y pi(y) (r(y) - beta ln(pi(y) / ref(y)))

    It falls short of its maximum by beta KL(pi || pi*), so that the gap is a distance, too.

    Args:
        logprobs: log pi, (..., K), each row a distribution.
        ref_logprobs, rewards, beta: as in `optimal_policy`.

    Returns:
        (...).

    Raises:
        ValueError: as `optimal_policy`.

    Source: Rafailov et al. 2023 (DPO), arXiv:2305.18290, eq. 3.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    _scaled(ref_logprobs, rewards, beta)
    return (logprobs.exp() * (rewards - beta * (logprobs - ref_logprobs))).sum(dim=-1)


def preference_matrix(rewards: Tensor) -> Tensor:
    """Give the probability that answer i is preferred to answer j, after Bradley and Terry.

        P[i, j] = sigmoid(r_i - r_j)

    Args:
        rewards: (..., K).

    Returns:
        (..., K, K); P + P^T = 1.

    Source: Bradley and Terry 1952; Rafailov et al. 2023 (DPO), arXiv:2305.18290, eq. 1.
    Lesson: notebooks/33_reward.ipynb
    """
    return (rewards[..., :, None] - rewards[..., None, :]).sigmoid()


def expected_dpo_loss(
    logprobs: Tensor, ref_logprobs: Tensor, preferences: Tensor, beta: float
) -> Tensor:
    """Compute the DPO loss that endless data would have, all pairs of answers asked equally often.

        mean over i != j of  -P[i, j] ln sigmoid(h_i - h_j)        h = beta ln(pi / ref)

    Where P comes from rewards (`preference_matrix`), its only minimum is `optimal_policy`.

    Args:
        logprobs, ref_logprobs: (..., K).
        preferences: P, (..., K, K).
        beta: as in `optimal_policy`.

    Returns:
        (...): nats a pair; ln 2 at the reference.

    Raises:
        ValueError: if the shapes do not fit, K < 2, or beta <= 0.

    Source: Rafailov et al. 2023 (DPO), arXiv:2305.18290, eq. 7, the expectation written out.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    K = logprobs.shape[-1]
    if K < 2 or preferences.shape[-2:] != (K, K):
        raise ValueError(
            f"need K >= 2 answers and preferences (..., K, K), got K={K} and "
            f"{tuple(preferences.shape)}"
        )
    _scaled(ref_logprobs, logprobs, beta)  # refuses what does not fit
    h = beta * (logprobs - ref_logprobs)
    losses = -preferences * torch.nn.functional.logsigmoid(h[..., :, None] - h[..., None, :])
    off = 1 - torch.eye(K, dtype=losses.dtype, device=losses.device)
    return (losses * off).sum(dim=(-2, -1)) / (K * (K - 1) / 2)


def _scaled(ref_logprobs: Tensor, rewards: Tensor, beta: float) -> Tensor:
    if not beta > 0:
        raise ValueError(f"beta must be positive, got {beta}")
    if ref_logprobs.shape[-1:] != rewards.shape[-1:]:
        raise ValueError(
            f"ref_logprobs and rewards must have the same K, got {tuple(ref_logprobs.shape)} and "
            f"{tuple(rewards.shape)}"
        )
    return rewards / beta

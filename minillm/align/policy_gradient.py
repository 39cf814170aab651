"""The policy gradient from samples: REINFORCE, and how its noise is made smaller.

    grad E[R] = E[ sum over t of  grad log p(y_t | y_<t)  (R - b) ]

Nothing is learned from R itself but what is drawn: a sample pushes its own tokens up or down. Any b
that does not depend on the token leaves the mean as it is, and the right one takes most noise away.

Shape letters: B rows, T positions, P trained numbers.
"""

import torch
from torch import Tensor, nn

from minillm.align.answer_logprobs import response_logprobs
from minillm.align.enumeration import flat_gradient
from minillm.align.gae import check_discounts
from minillm.align.whiten import check_mask


def rewards_to_go(rewards: Tensor, mask: Tensor, *, gamma: float = 1.0) -> Tensor:
    """Add up what is still to come: a token cannot change what was earned before it.

        G_t = r_t + gamma G_{t+1}

    Args:
        rewards: what each token earned, (B, T).
        mask: True at the tokens of the answers, (B, T).
        gamma: how much a reward one token later counts.

    Returns:
        (B, T), 0 where the mask is False.

    Raises:
        ValueError: if the shapes do not fit, or gamma is not in [0, 1].

    Source: Sutton and Barto 2018, second edition, sections 3.3 and 13.3.
    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    check_mask(mask, rewards=rewards)
    check_discounts(gamma)
    to_go, later = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        later = torch.where(mask[:, t], rewards[:, t] + gamma * later, later)
        to_go[:, t] = torch.where(mask[:, t], later, 0.0)
    return to_go


def reinforce_loss(logprobs: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
    """Write down a number whose gradient is the estimate, to be minimised.

        loss = - 1/B sum over b, t of  weights[b, t] logprobs[b, t]

    Its value means nothing; only its gradient does. Rows are averaged, tokens are summed: dividing
    by the number of tokens would estimate something else.

    Args:
        logprobs: of the tokens that were drawn from this policy, (B, T).
        weights: R, rewards to go or advantages, (B, T); no gradient flows through them.
        mask: True at the tokens of the answers, (B, T).

    Returns:
        A scalar.

    Raises:
        ValueError: if the shapes do not fit.

    Source: Williams 1992, Machine Learning 8, 229-256, theorem 1.
    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    check_mask(mask, logprobs=logprobs, weights=weights)
    pushed = torch.where(mask, weights.detach() * logprobs, torch.zeros_like(logprobs))
    return -pushed.sum() / len(mask)


def leave_one_out(scores: Tensor, n_samples: int) -> Tensor:
    """Take as the baseline of each answer the mean score of the others to the same prompt.

        b_i = mean over j != i of  R_j        advantage = R_i - b_i

    The answer itself does not enter, so the estimate stays unbiased.

    Args:
        scores: R, (B,): n_samples answers to the first prompt, then as many to the next.
        n_samples: answers a prompt, at least 2.

    Returns:
        Baselines, (B,).

    Raises:
        ValueError: if n_samples < 2 or does not divide B.

    Source: Kool et al. 2019, Buy 4 REINFORCE Samples, Get a Baseline for Free; Ahmadian et al.
        2024 (RLOO), arXiv:2402.14740.
    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    if n_samples < 2 or scores.ndim != 1 or len(scores) % n_samples:
        raise ValueError(
            f"need at least 2 answers a prompt and {n_samples} for each; got scores of shape "
            f"{tuple(scores.shape)}"
        )
    groups = scores.view(-1, n_samples)
    return ((groups.sum(dim=1, keepdim=True) - groups) / (n_samples - 1)).reshape(-1)


def sample_gradients(model: nn.Module, ids: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """Give the estimate of each sample alone, to look at its noise.

        g[b] = sum over t of  weights[b, t] grad log p(ids[b, t])

    Args:
        model: maps ids (B, T) to logits; small.
        ids, mask: answers, (B, T).
        weights: as in reinforce_loss, (B, T).

    Returns:
        (B, P). Their mean is what reinforce_loss gives, with the other sign.

    Raises:
        ValueError: if the shapes do not fit.

    Cost: B backward passes.
    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    check_mask(mask, weights=weights)
    found = []
    for b in range(len(ids)):
        logprobs = response_logprobs(model, ids[b : b + 1], mask[b : b + 1])
        pushed = torch.where(mask[b : b + 1], weights[b : b + 1] * logprobs, 0.0)
        found.append(flat_gradient(pushed.sum(), model))
    return torch.stack(found)


def best_baseline(scores: Tensor, gradients: Tensor, probabilities: Tensor | None = None) -> float:
    """Find the one number b that makes the estimate (R - b) grad log p least noisy.

        b = E[R |g|^2] / E[|g|^2]        g = grad log p(y)

    It is near the mean reward, and is it where |g| does not depend on R.

    Args:
        scores: R, (B,).
        gradients: g, (B, P): sample_gradients with weights 1.
        probabilities: of the rows, (B,); None: they are samples, each counts alike.

    Returns:
        b.

    Raises:
        ValueError: if all gradients are 0: then no baseline is better than another.

    Source: Greensmith et al. 2004, JMLR 5, 1471-1530, who derive it for long episodes.
    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    p = torch.full_like(scores, 1 / len(scores)) if probabilities is None else probabilities
    sizes = p * gradients.square().sum(dim=1)  # (B,)
    if not float(sizes.sum()) > 0:
        raise ValueError("all gradients are 0: every baseline is as good as another")
    return float((scores * sizes).sum() / sizes.sum())

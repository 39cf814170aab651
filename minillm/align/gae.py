"""Advantages: how much better an action was than what one expected before it.

- td_errors: the surprise of one step. gae_of_row: their weighted sum, which is the definition.
- gae: the same for many rows at once, from the last token back.
- gae_weights: the weights, to be looked at.

An answer ends with its last token: what comes after is worth 0, unless it was cut off and
last_values says what it would have been worth.

Shape letters: B rows, T positions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from minillm.align.whiten import check_mask


def td_errors(
    rewards: Sequence[float], values: Sequence[float], *, gamma: float = 1.0, last: float = 0.0
) -> list[float]:
    """Compute the surprise of each step of one answer.

        delta_t = r_t + gamma V_{t+1} - V_t        V after the last step = last

    Args:
        rewards: r_t, what step t earned.
        values: V_t, what was expected before step t.
        gamma: how much a reward one step later counts.
        last: value after the last step; 0 where the answer ended by itself.

    Returns:
        delta_t, as many as rewards.

    Raises:
        ValueError: if there are not as many rewards as values, or gamma is not in [0, 1].

    Source: Schulman et al. 2016, arXiv:1506.02438, equation 10 and the text above it.
    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    if len(rewards) != len(values):
        raise ValueError(f"{len(rewards)} rewards and {len(values)} values: give one each a step")
    check_discounts(gamma)
    after = [*values[1:], last]
    return [r + gamma * v_next - v for r, v, v_next in zip(rewards, values, after, strict=True)]


def gae_of_row(
    rewards: Sequence[float],
    values: Sequence[float],
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
    last: float = 0.0,
) -> list[float]:
    """Compute the generalised advantages of one answer, as the sum that defines them.

        A_t = sum over l >= 0 of  (gamma lam)^l delta_{t+l}

    lam 0 trusts the values after one step (small variance, biased by their errors); lam 1 is
    all that was earned from t on, minus V_t (unbiased, large variance).

    Args:
        rewards, values, gamma, last: as in td_errors.
        lam: in [0, 1].

    Returns:
        A_t, as many as rewards.

    Raises:
        ValueError: as td_errors, or if lam is not in [0, 1].

    Cost: T^2 / 2 additions; gae takes T.
    Source: Schulman et al. 2016, arXiv:1506.02438, equation 16.
    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    check_discounts(gamma, lam)
    deltas = td_errors(rewards, values, gamma=gamma, last=last)
    return [
        sum((gamma * lam) ** later * delta for later, delta in enumerate(deltas[t:]))
        for t in range(len(deltas))
    ]


def gae(
    rewards: Tensor,
    values: Tensor,
    mask: Tensor,
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
    last_values: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute the generalised advantages of many answers, and the returns that values should be.

        A_t = delta_t + gamma lam A_{t+1}        returns_t = A_t + V_t

    Steps are the places of the mask: what stands between two of them (a question in the middle of
    a talk) is skipped, and takes no discount.

    Args:
        rewards: what each token earned, (B, T).
        values: what was expected before each token, (B, T).
        mask: True at the tokens of the answers, (B, T). What stands elsewhere is never read.
        gamma, lam: as in gae_of_row.
        last_values: value after the last token of each row, (B,); None means 0.

    Returns:
        advantages and returns, each (B, T), 0 where the mask is False. No gradient flows back.

    Raises:
        ValueError: if the shapes do not fit, no place counts, or gamma or lam is not in [0, 1].

    Cost: T steps on B numbers.
    Source: Schulman et al. 2016, arXiv:1506.02438, equation 16.
    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    check_mask(mask, rewards=rewards, values=values)
    check_discounts(gamma, lam)
    B, T = mask.shape
    if last_values is not None and last_values.shape != (B,):
        raise ValueError(f"last_values must be ({B},), got {tuple(last_values.shape)}")
    values, rewards = values.detach(), rewards.detach().to(values.dtype)
    advantages = torch.zeros_like(values)
    later = values.new_zeros(B)  # A_{t+1}
    after = values.new_zeros(B) if last_values is None else last_values.detach().to(values.dtype)
    for t in reversed(range(T)):
        here = mask[:, t]
        delta = rewards[:, t] + gamma * after - values[:, t]
        later = torch.where(here, delta + gamma * lam * later, later)
        after = torch.where(here, values[:, t], after)
        advantages[:, t] = torch.where(here, later, 0.0)
    return advantages, torch.where(mask, advantages + values, torch.zeros_like(values))


def gae_weights(n: int, *, gamma: float = 1.0, lam: float = 0.95) -> Tensor:
    """Write down how much each surprise counts for each advantage: A = weights @ delta.

        weights[t, s] = (gamma lam)^(s - t)   for s >= t, else 0

    Args:
        n: steps of an answer.
        gamma, lam: as in gae_of_row.

    Returns:
        (n, n), float64.

    Raises:
        ValueError: if n < 1, or gamma or lam is not in [0, 1].

    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    check_discounts(gamma, lam)
    place = torch.arange(n)
    ahead = (place[None, :] - place[:, None]).clamp(min=0)  # (n, n)
    return torch.pow(torch.tensor(gamma * lam, dtype=torch.float64), ahead).triu()


def check_discounts(gamma: float, lam: float = 1.0) -> None:
    """Refuse a gamma or a lam that is not in [0, 1], by name."""
    for name, value in (("gamma", gamma), ("lam", lam)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie in [0, 1], got {value}")

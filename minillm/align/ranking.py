"""The ranking loss: what a reward model learns from one answer being preferred to another.

If answers have utilities that are seen through Gumbel noise, then (Bradley and Terry)

    P(chosen preferred) = sigma(r_c - r_r)        and the loss is    -ln P

Only differences of rewards count: one may add a number to all of them. A margin asks for more than
the right order; Llama 2 takes it from the rating, so that clear preferences are kept further apart.

Shape letters: B pairs, K answers to one prompt.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from minillm.align.preferences import RATINGS, Pair

MARGINS: dict[str, tuple[float, float, float, float]] = {
    "none": (0.0, 0.0, 0.0, 0.0),
    "small": (0.0, 1 / 3, 2 / 3, 1.0),
    "large": (0.0, 1.0, 2.0, 3.0),
}
"""Name -> the margin of rating 0, 1, 2, 3. Source: Touvron et al. 2023 (Llama 2),
arXiv:2307.09288, Table 27, which lists them from "significantly better" down."""


def reward_loss(chosen: Tensor, rejected: Tensor, margin: Tensor | None = None) -> Tensor:
    """Average how surprising the preferences are to the rewards.

        loss = mean_b -ln sigma(r_c[b] - r_r[b] - m[b])

    Args:
        chosen: rewards of the preferred answers, (B,).
        rejected: rewards of the others, (B,).
        margin: m, at least 0, (B,); None means 0.

    Returns:
        A scalar, nats a pair. ln 2 where all differences equal their margins.

    Raises:
        ValueError: if the shapes differ, B is 0, or a margin is negative or not finite.

    Cost: a few operations a pair.
    Source: Ouyang et al. 2022, arXiv:2203.02155, eq. 1; the margin: Touvron et al. 2023 (Llama 2),
        arXiv:2307.09288, eq. 2.
    Lesson: notebooks/33_reward.ipynb
    """
    return -F.logsigmoid(_gap(chosen, rejected, margin)).mean()


def reward_loss_gradient(
    chosen: Tensor, rejected: Tensor, margin: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Differentiate `reward_loss` by hand.

        dloss/dr_c[b] = -sigma(-(r_c[b] - r_r[b] - m[b])) / B        dloss/dr_r[b] = -dloss/dr_c[b]

    The weight sigma(-gap) is the probability that the model gives to the other order: a pair that
    is settled teaches nothing, one that is wrong teaches most, and none more than 1 / B.

    Args, Raises: as `reward_loss`.

    Returns:
        The gradients for chosen and for rejected, (B,) each.

    Lesson: notebooks/33_reward.ipynb
    """
    gap = _gap(chosen, rejected, margin)
    weight = torch.sigmoid(-gap) / gap.numel()
    return -weight, weight


def ranked_loss(rewards: Tensor) -> Tensor:
    """Average the ranking loss over all pairs of K answers that were ranked at once.

        loss = mean_b  1 / (K choose 2)  sum_{i < j} -ln sigma(r[b, i] - r[b, j])

    Comparisons of one prompt are not independent: taken as one element of a batch, each answer is
    read once and not K - 1 times, and no prompt counts for more than another.

    Args:
        rewards: (B, K), the best answer first.

    Returns:
        A scalar, nats a pair.

    Raises:
        ValueError: if the rewards are not (B, K) with B >= 1 and K >= 2.

    Source: Ouyang et al. 2022, arXiv:2203.02155, eq. 1 and section 3.5.
    Lesson: notebooks/33_reward.ipynb
    """
    if rewards.ndim != 2 or rewards.shape[0] < 1 or rewards.shape[1] < 2:
        raise ValueError(f"rewards must be (B, K) with K >= 2, got {tuple(rewards.shape)}")
    K = rewards.shape[1]
    better, worse = torch.triu_indices(K, K, offset=1, device=rewards.device)
    return -F.logsigmoid(rewards[:, better] - rewards[:, worse]).mean()


def preference_probability(chosen: Tensor, rejected: Tensor) -> Tensor:
    """How likely the rewards find it that the first is preferred: sigma(r_c - r_r), (B,).

    Raises:
        ValueError: if the shapes differ or B is 0.

    Lesson: notebooks/33_reward.ipynb
    """
    return torch.sigmoid(_gap(chosen, rejected, None))


def margins_of(pairs: Sequence[Pair], margins: str | Sequence[float] = "none") -> Tensor:
    """Give the margin of each pair: its own if it has one, else that of its rating, else 0.

    Args:
        pairs: B of them.
        margins: a name of MARGINS, or four numbers for the ratings 0, 1, 2, 3.

    Returns:
        (B,), float32.

    Raises:
        ValueError: if the name is unknown, or the numbers are not four finite ones from 0 on.

    Lesson: notebooks/33_reward.ipynb
    """
    if isinstance(margins, str) and margins not in MARGINS:
        raise ValueError(f"margins must be one of {', '.join(MARGINS)}; got {margins!r}")
    table = torch.tensor(MARGINS[margins] if isinstance(margins, str) else list(margins))
    if table.shape != (len(RATINGS),) or not (table.isfinite() & (table >= 0)).all():
        raise ValueError(
            f"margins must be four finite numbers from 0 on, for the ratings 0 to 3; got {margins}"
        )
    found = [
        pair.margin
        if pair.margin is not None
        else float(table[pair.rating])
        if pair.rating is not None
        else 0.0
        for pair in pairs
    ]
    return torch.tensor(found, dtype=torch.float32)


def _gap(chosen: Tensor, rejected: Tensor, margin: Tensor | None) -> Tensor:
    if chosen.ndim != 1 or chosen.shape != rejected.shape or not chosen.numel():
        raise ValueError(
            "chosen and rejected must be rewards (B,) of the same B >= 1, got "
            f"{tuple(chosen.shape)} and {tuple(rejected.shape)}"
        )
    gap = chosen - rejected
    if margin is None:
        return gap
    if margin.shape != gap.shape:
        raise ValueError(f"margin {tuple(margin.shape)} must have the shape {tuple(gap.shape)}")
    if not (margin.isfinite() & (margin >= 0)).all():
        raise ValueError(
            f"a margin must be finite and at least 0, got {margin.tolist()}; a negative one would "
            "allow the wrong order"
        )
    return gap - margin

"""The loss of each answer of a talk, and one packed row that learns what any split would.

Shape letters: B batch, T positions, K answers of a talk.
"""

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor, nn

from minillm.finetune.chat import shift
from minillm.finetune.turns import answer_numbers
from minillm.objectives import fast_cross_entropy


def losses_by_answer(model: nn.Module, ids: Sequence[int], loss_mask: Sequence[bool]) -> Tensor:
    """The mean surprise at each answer of a row.

        loss[k] = mean over the tokens t of answer k of  -log p(ids[t] | ids[:t])

    Args:
        model: maps ids (B, T) to logits (B, T, V).
        ids, loss_mask: one row.

    Returns:
        Nats a token, (K,), with their gradient.

    Raises:
        ValueError: if nothing is learned in the row, or ids and mask differ in length.

    Cost: one forward pass.
    Lesson: notebooks/28_instructions.ipynb
    """
    x, y = shift(ids, loss_mask)
    numbers = torch.tensor(answer_numbers(loss_mask)[1:])
    if not len(numbers) or numbers.max() < 0:
        raise ValueError("no token of the row is learned; an answer is wanted")
    device = next((p.device for p in model.parameters()), None)
    read, wanted = (torch.tensor([row], device=device) for row in (x, y))
    nll = fast_cross_entropy(model(read), wanted, reduction="none")[0]  # (T,)
    mine = (numbers == torch.arange(int(numbers.max()) + 1)[:, None]).to(nll)  # (K, T)
    return mine @ nll / mine.sum(dim=1)


def token_weights(loss_mask: Sequence[bool], weights: Sequence[float | Fraction]) -> list[float]:
    """Spread the weight of each answer evenly over its tokens, for `weighted_loss`.

        sum over tokens of  weight x surprise  =  sum over answers of  weight x mean surprise

    So one packed row learns what any split would, for the price of one; and an opening that all
    talks share can be made to count less.

    Args:
        loss_mask: of a row.
        weights: one for each answer in it.

    Returns:
        A weight for each token of the row; 0 where nothing is learned.

    Raises:
        ValueError: if the number of weights is not that of the answers.

    Lesson: notebooks/28_instructions.ipynb
    """
    numbers = answer_numbers(loss_mask)
    n_answers = max(numbers, default=-1) + 1
    if len(weights) != n_answers:
        raise ValueError(f"{len(weights)} weights for {n_answers} answers do not fit")
    sizes = [numbers.count(k) for k in range(n_answers)]
    return [float(weights[k] / sizes[k]) if k >= 0 else 0.0 for k in numbers]


def weighted_loss(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    weights: Tensor,
    *,
    documents: Tensor | None = None,
) -> Tensor:
    """Add up the surprise at each target, times its weight. There is no division: weights decide.

    Args:
        model: a Decoder, or without documents anything from ids (B, T) to logits (B, T, V).
        x: ids, (B, T).
        y: targets, (B, T), IGNORED where nothing is learned.
        weights: of the targets, (B, T): `token_weights` without its first entry.
        documents: several talks in a row, as Decoder.forward takes them.

    Returns:
        A scalar.

    Raises:
        ValueError: if the shapes differ.

    Lesson: notebooks/28_instructions.ipynb
    """
    if not x.shape == y.shape == weights.shape:
        raise ValueError(
            f"x, y and weights must have one shape, got {tuple(x.shape)}, {tuple(y.shape)} and "
            f"{tuple(weights.shape)}"
        )
    logits = model(x) if documents is None else model(x, documents=documents)
    return (fast_cross_entropy(logits, y, reduction="none") * weights).sum()

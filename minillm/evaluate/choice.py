"""Multiple choice without a word being generated: which continuation does a model find likeliest?

- Every choice is put behind the same context, and only its own tokens are scored.
- A longer choice has more factors below 1, so a sum favours short ones. "tokens" and "bytes" divide
  by the length; "bytes" does not depend on the tokenizer.

Shape letters: B choices, T tokens, V vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from minillm.objectives import fast_cross_entropy

Normalise = Literal["sum", "tokens", "bytes"]
NORMALISE = ("sum", "tokens", "bytes")


@torch.no_grad()
def choice_scores(
    model: Callable[[Tensor], Tensor],
    encode: Callable[[str], Sequence[int]],
    context: str,
    choices: Sequence[str],
    *,
    normalise: Normalise = "tokens",
    start: Sequence[int] = (),
) -> list[float]:
    """Score each choice as a continuation of the context.

        score = sum_t log p(choice[t] | context, choice[:t]) / length

    Context and choice are encoded apart, so that the tokens of the context are the same for all.

    Args:
        model: maps ids (B, T) to logits (B, T, V); causal, in evaluation mode.
        encode: text to ids.
        context: what stands before; may be empty only if `start` is not.
        choices: at least one, none of them empty.
        normalise: "sum" does not divide, "tokens" and "bytes" by the length of the choice.
        start: ids in front of all, such as the end-of-text token.

    Returns:
        Nats, per token or per byte if normalised; the largest is the model's answer.

    Raises:
        ValueError: if there is no choice, one is empty, nothing stands before them, or normalise
            is unknown.

    Cost: one forward pass over all choices.
    Source: Brown et al. 2020 (GPT-3), arXiv:2005.14165, section 2.4.
    Lesson: notebooks/10_shapes.ipynb
    """
    if normalise not in NORMALISE:
        raise ValueError(f"normalise must be one of {', '.join(NORMALISE)}; got {normalise!r}")
    before = [*start, *encode(context)]
    behind = [list(encode(choice)) for choice in choices]
    if not before or not behind or not all(behind):
        raise ValueError(
            f"need something before the choices and no empty one; got {len(before)} tokens of "
            f"context and choices of {[len(ids) for ids in behind]} tokens"
        )
    length = len(before) + max(len(ids) for ids in behind)
    rows = torch.tensor([before + ids + [0] * (length - len(before) - len(ids)) for ids in behind])
    targets = rows[:, 1:].clone()  # (B, T - 1)
    targets[:, : len(before) - 1] = -100
    for row, ids in zip(targets, behind, strict=True):
        row[len(before) - 1 + len(ids) :] = -100
    nats = fast_cross_entropy(model(rows[:, :-1]), targets, reduction="none").sum(dim=1)  # (B,)
    lengths = {
        "sum": [1] * len(behind),
        "tokens": [len(ids) for ids in behind],
        "bytes": [len(choice.encode()) for choice in choices],
    }[normalise]
    return [-total / n for total, n in zip(nats.tolist(), lengths, strict=True)]


def choose(scores: Sequence[float]) -> int:
    """Give the number of the largest score; of equal ones the first.

    Raises:
        ValueError: if there is none.
    """
    if not scores:
        raise ValueError("there is no score to choose from")
    return max(range(len(scores)), key=lambda i: scores[i])

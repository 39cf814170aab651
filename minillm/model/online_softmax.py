"""Softmax-weighted averages of values that arrive block by block.

A softmax seems to need all scores at once: its denominator is a sum over all of them. But a running
average is described by three things, and a new block of scores only corrects them:

    top     the largest score so far
    total   the sum of exp(score - top)
    summed  the sum of exp(score - top) times value

Any other top would give the same average; the largest is taken so that no exponential overflows.
Two such records of different keys merge into one, in any order, which is why tiled attention is
exact. Here the step stands alone; flash.py walks over tiles with it, chunked.py merges records.

Shape letters:
    T  query positions     S  key positions of a block     H  width of a value
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Running(NamedTuple):
    """What is known of a softmax-weighted average after some of its keys.

    Attributes:
        summed: sum of exp(score - top) value, (..., T, H).
        total: sum of exp(score - top), (..., T, 1).
        top: the largest score so far, (..., T, 1); -inf where a query has seen no key.
    """

    summed: Tensor
    total: Tensor
    top: Tensor


def nothing_seen(scores_like: Tensor, width: int) -> Running:
    """Start a running average: no key seen.

    Args:
        scores_like: a tensor whose shape but for its last axis is (..., T); its dtype and device
            are taken.
        width: H, of the values to come.

    Returns:
        Sums of zero, (..., T, H) and (..., T, 1), and a top of -inf, (..., T, 1).

    Lesson: notebooks/16b_flash_attention.ipynb
    """
    shape = scores_like.shape[:-1]
    total = scores_like.new_zeros(*shape, 1)
    return Running(scores_like.new_zeros(*shape, width), total, torch.full_like(total, -torch.inf))


def online_softmax(seen: Running, scores: Tensor, values: Tensor) -> Running:
    """Add a block of keys to a running average.

        top'    = max(top, max of the scores)        c = exp(top - top')
        total'  = c total  + sum of exp(scores - top')
        summed' = c summed + exp(scores - top') values

    Args:
        seen: the average so far.
        scores: of the new keys, (..., T, S); -inf hides a key.
        values: of the new keys, (..., S, H).

    Returns:
        The average with the new keys, shapes as in `seen`. A query with every score at -inf keeps
        what it had. The top carries no gradient, since no result depends on it.

    Cost: 2 T S H FLOPs for the product, and some T (S + H) for the rest.
    Source: Milakov and Gimelshein 2018, arXiv:1805.02867, algorithm 3; with values: Dao et al.
        2022, arXiv:2205.14135, section 3.1.
    Lesson: notebooks/16b_flash_attention.ipynb
    """
    if scores.shape[-1] == 0:
        return seen
    top = torch.maximum(seen.top, scores.amax(dim=-1, keepdim=True)).detach()  # (..., T, 1)
    finite = _finite(top)
    shrink = (seen.top - finite).exp()  # (..., T, 1); 0 if nothing was seen before
    weights = (scores - finite).exp()  # (..., T, S)
    return Running(
        shrink * seen.summed + weights @ values,
        shrink * seen.total + weights.sum(dim=-1, keepdim=True),
        top,
    )


def merged(a: Running, b: Running) -> Running:
    """Merge two running averages of the same queries over different keys.

        top = max(top_a, top_b),  and both sums are weighed by exp(top_a - top), exp(top_b - top)

    Args:
        a, b: of the same shapes.

    Returns:
        The average over the keys of both.

    Source: Rabe and Staats 2021, arXiv:2112.05682, section 3.
    Lesson: notebooks/16b_flash_attention.ipynb
    """
    top = torch.maximum(a.top, b.top)
    finite = _finite(top)
    by_a, by_b = (a.top - finite).exp(), (b.top - finite).exp()
    return Running(by_a * a.summed + by_b * b.summed, by_a * a.total + by_b * b.total, top)


def finished(seen: Running) -> tuple[Tensor, Tensor]:
    """End a running average.

        out = summed / total        logsumexp = top + log(total)

    Args:
        seen: the average over all keys.

    Returns:
        out, (..., T, H), zeros for a query that saw nothing; and the logsumexp of its scores,
        (..., T), -inf for such a query. exp(score - logsumexp) is a key's weight.

    Source: Dao 2023 (FlashAttention-2), arXiv:2307.08691, section 3.1.1.
    Lesson: notebooks/16b_flash_attention.ipynb
    """
    empty = seen.total == 0
    out = seen.summed / seen.total.masked_fill(empty, 1.0)
    return out, (seen.top + seen.total.log()).squeeze(-1)


def _finite(top: Tensor) -> Tensor:
    """Replace -inf by 0, so that -inf - top stays -inf and does not become NaN."""
    return top.masked_fill(top == -torch.inf, 0.0)

"""Context parallelism: the sequence is spread over the ranks, attention goes around a ring.

Each rank keeps its queries. Keys and values travel: in every round a rank attends to the block
that is with it and hands it on. The online softmax of lesson 16 adds the blocks up, so no rank ever
holds all keys, and the result is exact. In the backward pass the blocks travel once more, and carry
their gradients with them until they are home.

Causal, a rank whose positions are early has little to do. In the zigzag order each rank holds one
early and one late piece, which makes all equally busy.

Shape letters: B batch, N heads, T positions of one rank, H head width, R ranks.
"""

import math
from typing import Any

import torch
from torch import Tensor

from minillm.distributed.group import Group
from minillm.model.online_softmax import finished, nothing_seen, online_softmax

Block = tuple[Tensor, ...]


def ring_attention(
    q: Tensor, k: Tensor, v: Tensor, positions: Tensor, group: Group, *, causal: bool = True
) -> Tensor:
    """Attend from this rank's positions to those of all ranks.

    Args:
        q, k, v: of this rank's positions, (B, N, T, H); equally many on all ranks.
        positions: where in the sequence they stand, (T,), int64.
        group: the ranks.
        causal: hide later positions.

    Returns:
        out, (B, N, T, H): this rank's rows of attention over the whole sequence.

    Raises:
        ValueError: if the shapes do not fit together.

    Cost: (R - 1) rounds of 2 B N T H numbers forward, 4 B N T H backward; memory for one block of
        scores, B N T^2, in place of B N (R T)^2 / R.
    Source: Liu et al. 2023 (Ring Attention), arXiv:2310.01889, section 3.
    Lesson: notebooks/23_parallel.ipynb
    """
    if not q.shape == k.shape == v.shape or positions.shape != q.shape[-2:-1]:
        raise ValueError(
            f"q, k, v need one shape (B, N, T, H) and positions (T,), got {tuple(q.shape)}, "
            f"{tuple(k.shape)}, {tuple(v.shape)}, {tuple(positions.shape)}"
        )
    out: Tensor = _Ring.apply(q, k, v, positions, group, causal)
    return out


def straight(n_positions: int, n_ranks: int) -> list[Tensor]:
    """Positions of each rank if the sequence is cut into R pieces, (T,) each.

    Raises:
        ValueError: if the pieces would not be equal.
    """
    _check_pieces(n_positions, n_ranks)
    return list(torch.arange(n_positions).chunk(n_ranks))


def zigzag(n_positions: int, n_ranks: int) -> list[Tensor]:
    """Positions of each rank if the sequence is cut into 2 R pieces and rank r gets r and 2R-1-r.

    Raises:
        ValueError: if the pieces would not be equal.

    Source: Brandon et al. 2023 (Striped Attention), arXiv:2311.09431, shares out the causal work
        by stripes; the zigzag is its blockwise form, in zhuzilin/ring-flash-attention.
    Lesson: notebooks/23_parallel.ipynb
    """
    _check_pieces(n_positions, 2 * n_ranks)
    pieces = torch.arange(n_positions).chunk(2 * n_ranks)
    return [torch.cat((pieces[r], pieces[2 * n_ranks - 1 - r])) for r in range(n_ranks)]


def causal_work(positions: list[Tensor]) -> list[list[int]]:
    """Count the pairs that each rank has to look at in each round, under causality.

    Args:
        positions: of each rank.

    Returns:
        For each rank, and each round, pairs of a query and a key that is not later. A round takes
        as long as its busiest rank.

    Lesson: notebooks/23_parallel.ipynb
    """
    R = len(positions)
    return [
        [
            int((positions[r][:, None] >= positions[(r - step) % R][None, :]).sum())
            for step in range(R)
        ]
        for r in range(R)
    ]


class _Ring(torch.autograd.Function):
    """Two journeys of the keys and values around the ring."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, positions: Tensor, group: Group, causal: bool
    ) -> Tensor:
        seen = nothing_seen(q, v.shape[-1])
        block: Block = (k, v, positions)
        for step in range(group.size):
            seen = online_softmax(seen, _scores(q, block[0], positions, block[2], causal), block[1])
            if step < group.size - 1:
                block = _hand_on(group, block)
        out, logsumexp = finished(seen)
        ctx.save_for_backward(q, k, v, positions, out, logsumexp)
        ctx.group, ctx.causal = group, causal
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, positions, out, logsumexp = ctx.saved_tensors
        scale = 1 / math.sqrt(q.shape[-1])
        delta = (above * out).sum(dim=-1, keepdim=True)  # (B, N, T, 1)
        grad_q = torch.zeros_like(q)
        block: Block = (k, v, positions, torch.zeros_like(k), torch.zeros_like(v))
        for _ in range(ctx.group.size):
            k, v, where, grad_k, grad_v = block
            scores = _scores(q, k, positions, where, ctx.causal)
            p = (scores - logsumexp[..., None]).exp()  # (B, N, T, T)
            grad_scores = p * (above @ v.mT - delta) * scale
            grad_q += grad_scores @ k
            block = (k, v, where, grad_k + grad_scores.mT @ q, grad_v + p.mT @ above)
            block = _hand_on(ctx.group, block)  # the last time, the gradients come home
        return grad_q, block[3], block[4], None, None, None


def _scores(q: Tensor, k: Tensor, at: Tensor, where: Tensor, causal: bool) -> Tensor:
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    return scores.masked_fill(where[None, :] > at[:, None], -math.inf) if causal else scores


def _hand_on(group: Group, block: Block) -> Block:
    """Give the block to the next rank, and take that of the one before."""
    if group.size == 1:
        return block
    ahead, behind = (group.rank + 1) % group.size, (group.rank - 1) % group.size
    return tuple(
        group.exchange(x.contiguous(), ahead, torch.empty_like(x).contiguous(), behind)
        for x in block
    )


def _check_pieces(n_positions: int, n_pieces: int) -> None:
    if n_positions < 1 or n_pieces < 1 or n_positions % n_pieces:
        raise ValueError(f"{n_positions} positions cannot be cut into {n_pieces} equal pieces")

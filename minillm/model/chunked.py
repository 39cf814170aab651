"""Memory-efficient attention: chunks are summarised each for itself, then merged.

The idea of Rabe and Staats (2021), and of xFormers' memory-efficient attention, which Baichuan 2
uses because it takes a bias (ALiBi). It is exact, as flash.py is. Backward is left to autograd:
each block of queries is checkpointed, that is computed again when its gradient is wanted, so that
nothing of size T times S is ever kept.
"""

import math

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from minillm.model.attention import allowed_places, check_shapes
from minillm.model.functional import accumulation_dtype
from minillm.model.online_softmax import finished, merged, nothing_seen, online_softmax
from minillm.model.tiles import blocks


def chunked_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    bias: Tensor | None = None,
    chunk_q: int = 128,
    chunk_k: int = 128,
) -> Tensor:
    """Compute attention, with a mask and a bias, chunk by chunk.

        out = softmax(q k^T / sqrt(H) + bias) v

    Args:
        q: queries, (B, N, T, H).
        k: keys, (B, K, S, H), K a divisor of N.
        v: values, (B, K, S, H).
        mask, causal, bias: as in attention, which is the definition. A query with no allowed key
            gets zeros.
        chunk_q: queries in a chunk.
        chunk_k: keys in a chunk.

    Returns:
        out, (B, N, T, H), in q's dtype.

    Raises:
        ValueError: as attention, or if a chunk is smaller than 1.

    Cost: 4 B N T S H FLOPs forward, and as many again before the backward pass. Memory beyond
        inputs and output: some B N chunk_q chunk_k numbers forward, B N chunk_q S backward. A mask
        or bias that was given as (T, S) is itself quadratic.
    Source: Rabe and Staats 2021, arXiv:2112.05682, sections 3 and 4; used by Yang et al. 2023
        (Baichuan 2), arXiv:2309.10305.
    Lesson: notebooks/16b_flash_attention.ipynb
    """
    check_shapes(q, k, v, causal)
    mask = allowed_places(q, k, v, mask, causal=False)  # checked; causality follows, by chunk
    T, S = q.shape[2], k.shape[2]
    blocks(S, chunk_k)  # a wrong size is told even if there are no queries
    outs = []
    for rows in blocks(T, chunk_q):
        first = rows.start + S - T if causal else S  # the position of the first query
        here = [None if x is None else _part(x, 2, rows) for x in (mask, bias)]
        parts = q[:, :, rows], k, v, *here, first, chunk_k
        outs.append(checkpoint(_attend_rows, *parts, use_reentrant=False))
    return torch.cat(outs, dim=2) if outs else torch.empty_like(q)


def _attend_rows(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    first: int,
    chunk_k: int,
) -> Tensor:
    """Attend from a block of queries, the first of which stands at position `first`."""
    wide, groups, S = accumulation_dtype(q.dtype), q.shape[1] // k.shape[1], k.shape[2]
    positions = torch.arange(first, first + q.shape[2], device=q.device)  # (t,)
    all_seen = nothing_seen(q.to(wide), q.shape[3])
    for columns in blocks(min(S, first + q.shape[2]), chunk_k):
        k_chunk = k[:, :, columns].repeat_interleave(groups, dim=1).to(wide)  # (B, N, s, H)
        v_chunk = v[:, :, columns].repeat_interleave(groups, dim=1).to(wide)
        scores = q.to(wide) @ k_chunk.mT / math.sqrt(q.shape[3])  # (B, N, t, s)
        if bias is not None:
            scores = scores + _part(bias, 1, columns)
        hidden = torch.arange(columns.start, columns.stop, device=q.device) > positions[:, None]
        if mask is not None:
            hidden = hidden | ~_part(mask, 1, columns)
        scores = scores.masked_fill(hidden, -torch.inf)
        one_chunk = online_softmax(nothing_seen(scores, q.shape[3]), scores, v_chunk)
        all_seen = merged(all_seen, one_chunk)
    return finished(all_seen)[0].to(q.dtype)


def _part(x: Tensor, axis: int, part: slice) -> Tensor:
    """Cut the given axis, counted from the end, unless it is broadcast."""
    if x.ndim < axis or x.shape[-axis] == 1:
        return x
    return x[..., part] if axis == 1 else x[..., part, :]

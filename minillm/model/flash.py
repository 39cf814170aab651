"""FlashAttention in plain torch: exact attention, tile by tile, forward and backward.

- No (T, S) matrix is ever made. Forward keeps the output and one number a query, the logsumexp of
  its scores; backward computes the weights of each tile again from it.
- The result is that of `attention` to the last digits. Nothing is hashed, sampled or left out but
  what causality hides.
- It is written to be read, and to check GPU kernels against. On a CPU it beats `attention`, since a
  tile stays in the cache, and loses to fast_attention, torch's own kernel of the same idea
  (benchmarks/flash.py); flash_triton.py is the twin for a GPU.

Shape letters:
    B  batch        T  query positions     N  query heads        H  width of one head
                    S  key positions       K  key/value heads    G  N / K, queries that share a key
"""

import math
from typing import Any

import torch
from torch import Tensor

from minillm.model.attention import check_shapes
from minillm.model.functional import accumulation_dtype
from minillm.model.online_softmax import finished, nothing_seen, online_softmax
from minillm.model.tiles import SlowMemory, Tile, blocks, visible_columns, visible_rows


def flash_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    block_q: int = 128,
    block_k: int = 128,
) -> Tensor:
    """Compute attention tile by tile, in memory linear in the length.

        out = softmax(q k^T / sqrt(H)) v

    Args:
        q: queries, (B, N, T, H).
        k: keys, (B, K, S, H). K divides N: each key head serves N // K query heads.
        v: values, (B, K, S, H).
        causal: hide the keys to the right of each query. With S > T the queries are the last
            T of the S positions, as in decoding with a cache.
        block_q: queries in a tile; any number from 1, it need not divide T.
        block_k: keys in a tile.

    Returns:
        out, (B, N, T, H), in q's dtype; sums run in float32 at least. A query that sees no key
        (S = 0, or all its scores are -inf) gets zeros. It can be differentiated once; with
        create_graph=True the backward pass is a RuntimeError.

    Raises:
        ValueError: if the shapes do not fit together, a block is smaller than 1, or causal is set
            and T > S.

    Cost: 4 B N T S H FLOPs forward and 10 B N T S H backward (8 without the recomputation), about
        half if causal. Beyond inputs and outputs it takes B N T numbers, and some
        B N block_q block_k for a tile.
    Source: Dao et al. 2022, arXiv:2205.14135, algorithms 1 and 4; the order of the loops and the
        logsumexp: Dao 2023, arXiv:2307.08691, algorithms 1 and 2.
    Lesson: notebooks/16b_flash_attention.ipynb
    """
    return _Flash.apply(q, k, v, causal, block_q, block_k)


class _Flash(torch.autograd.Function):
    """Saves q, k, v, out and the logsumexp: nothing that grows with T times S."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, causal: bool, block_q: int, block_k: int
    ) -> Tensor:
        out, logsumexp = tiled_forward(q, k, v, causal=causal, block_q=block_q, block_k=block_k)
        ctx.save_for_backward(q, k, v, out, logsumexp)
        ctx.settings = causal, block_q, block_k
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        q, k, v, out, logsumexp = ctx.saved_tensors
        causal, block_q, block_k = ctx.settings
        by_qkv = tiled_backward(
            q, k, v, out, logsumexp, grad, causal=causal, block_q=block_q, block_k=block_k
        )
        return *by_qkv, None, None, None


def tiled_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    block_q: int = 128,
    block_k: int = 128,
    memory: SlowMemory | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute attention and the logsumexp of each query's scores, one block of queries at a time.

    A block of queries stays on the chip while all keys and values pass by; its output is written
    once.

    Args:
        q, k, v, causal, block_q, block_k: as in flash_attention.
        memory: counts what would be read from slow memory and written to it.

    Returns:
        out, (B, N, T, H), in q's dtype; logsumexp, (B, N, T), float32 or float64.

    Raises:
        ValueError: as flash_attention.

    Cost: 4 B N T S H FLOPs. Without causality and with K = N, B N (2 T H + T + 2 S H ceil(T /
        block_q)) numbers are moved.
    Source: Dao 2023, arXiv:2307.08691, algorithm 1.
    Lesson: notebooks/16b_flash_attention.ipynb
    """
    check_shapes(q, k, v, causal)
    memory = memory or SlowMemory()
    wide, (T, H), S = accumulation_dtype(q.dtype), q.shape[2:], k.shape[2]
    queries = q.unflatten(1, (k.shape[1], -1))  # (B, K, G, T, H)
    out = torch.empty_like(queries)
    logsumexp = queries.new_empty(queries.shape[:-1], dtype=wide)  # (B, K, G, T)
    blocks(S, block_k)  # a wrong size is told even if there are no queries
    for rows in blocks(T, block_q):
        q_block = _fold(memory.load(queries[..., rows, :])).to(wide) / math.sqrt(H)
        seen = nothing_seen(q_block, H)
        for tile in visible_columns(rows, T, S, block_k, causal):
            k_block = memory.load(k[:, :, tile.columns]).to(wide)  # (B, K, block_k, H)
            v_block = memory.load(v[:, :, tile.columns]).to(wide)
            scores = _hide_future(q_block @ k_block.mT, tile, S - T)  # (B, K, G block_q, block_k)
            memory.hold(q_block, k_block, v_block, scores, seen.summed)
            seen = online_softmax(seen, scores, v_block)
        block_out, block_sum = finished(seen)
        like = queries[..., rows, :].shape
        out[..., rows, :] = memory.store(block_out.view(like).to(q.dtype))
        logsumexp[..., rows] = memory.store(block_sum.view(like[:-1]))
    return out.flatten(1, 2), logsumexp.flatten(1, 2)


def tiled_backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    logsumexp: Tensor,
    grad: Tensor,
    *,
    causal: bool = False,
    block_q: int = 128,
    block_k: int = 128,
    memory: SlowMemory | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of attention, with the weights of each tile computed again.

        P  = exp(q k^T / sqrt(H) - logsumexp)          dV = P^T dO          dP = dO V^T
        dS = P * (dP - rowsum(dO * O))                 dQ = dS K / sqrt(H)  dK = dS^T Q / sqrt(H)

    A block of keys stays on the chip while the queries that see it pass by; dQ is added up in
    slow memory.

    Args:
        q, k, v, causal, block_q, block_k: as in flash_attention.
        out, logsumexp: of tiled_forward.
        grad: dO, the gradient by out, (B, N, T, H).
        memory: counts what would be read from slow memory and written to it.

    Returns:
        dQ, dK, dV, in the shapes and dtypes of q, k and v.

    Cost: 10 B N T S H FLOPs: five products, of which one, the scores, was done before.
    Source: Dao 2023, arXiv:2307.08691, algorithm 2; why rowsum(dO * O): Dao et al. 2022,
        arXiv:2205.14135, appendix B.2.
    Lesson: notebooks/16b_flash_attention.ipynb
    """
    memory = memory or SlowMemory()
    wide, T, S = accumulation_dtype(q.dtype), q.shape[2], k.shape[2]
    scale = 1 / math.sqrt(q.shape[3])
    queries, outs, grads = (x.unflatten(1, (k.shape[1], -1)) for x in (q, out, grad))
    sums = logsumexp.unflatten(1, (k.shape[1], -1))  # (B, K, G, T)
    sums = sums.masked_fill(sums == -torch.inf, 0.0)  # these queries saw nothing: P stays 0
    delta = memory.store((memory.load(grads).to(wide) * memory.load(outs)).sum(dim=-1))
    dq = memory.store(torch.zeros_like(queries, dtype=wide))  # (B, K, G, T, H)
    dk, dv = torch.zeros_like(k), torch.zeros_like(v)
    for columns in blocks(S, block_k):
        k_block = memory.load(k[:, :, columns]).to(wide)  # (B, K, block_k, H)
        v_block = memory.load(v[:, :, columns]).to(wide)
        dk_block, dv_block = torch.zeros_like(k_block), torch.zeros_like(v_block)
        for tile in visible_rows(columns, T, S, block_q, causal):
            q_block, do_block = (
                _fold(memory.load(x[..., tile.rows, :])).to(wide) for x in (queries, grads)
            )
            sum_block, delta_block = (
                memory.load(x[..., tile.rows]).flatten(2).unsqueeze(-1) for x in (sums, delta)
            )
            scores = _hide_future(q_block @ k_block.mT * scale, tile, S - T)
            weights = (scores - sum_block).exp()  # P, (B, K, G block_q, block_k)
            dv_block += weights.mT @ do_block
            ds = weights * (do_block @ v_block.mT - delta_block)
            memory.hold(q_block, do_block, k_block, v_block, dk_block, dv_block, weights, ds)
            dk_block += ds.mT @ q_block * scale
            dq_block = memory.load(dq[..., tile.rows, :])
            dq_block += memory.store((ds @ k_block * scale).view(dq_block.shape))
        dk[:, :, columns] = memory.store(dk_block.to(k.dtype))
        dv[:, :, columns] = memory.store(dv_block.to(v.dtype))
    return dq.flatten(1, 2).to(q.dtype), dk, dv


def refuse_second_derivative() -> None:
    """Stop a backward pass that shall itself be differentiated; its result would lack a graph.

    Raises:
        RuntimeError: if gradients are recorded, as create_graph=True asks for.
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            "flash attention can be differentiated once, not with create_graph=True; "
            "for second derivatives use minillm.model.attention"
        )


def _fold(block: Tensor) -> Tensor:
    """Lay queries that share a key head below one another: (B, K, G, t, H) to (B, K, G t, H)."""
    return block.flatten(2, 3)


def _hide_future(scores: Tensor, tile: Tile, shift: int) -> Tensor:
    """Set the places right of the diagonal to -inf; scores (B, K, G t, s), shift = S - T."""
    if not tile.crossed:
        return scores
    rows, columns = tile.rows, tile.columns
    positions = torch.arange(rows.start, rows.stop, device=scores.device) + shift
    keys = torch.arange(columns.start, columns.stop, device=scores.device)
    hidden = keys > positions[:, None]  # (t, s)
    apart = scores.unflatten(2, (-1, len(positions)))  # (B, K, G, t, s)
    return apart.masked_fill(hidden, -torch.inf).flatten(2, 3)

"""FlashAttention's forward pass as one GPU kernel, in Triton; the twin of flash.py.

Triton is a compiler for GPU kernels written in Python. It comes with the CUDA builds of torch for
Linux; without it this file can be imported, and says what is missing when it is called. One program
of the kernel works on one block of queries of one head: it loads them once, walks over the keys
and keeps the running average on the chip. Backward goes through the tiles of flash.py, on any
device.

With TRITON_INTERPRET=1 in the environment before the first import of triton, the kernel runs on the
CPU, step by step in numpy: slow, and enough to test it. It cannot multiply bfloat16 numbers (Triton
3.9, github.com/triton-lang/triton/issues/11584), so there that dtype is refused.
"""

import math
import os
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from minillm.model.attention import check_shapes
from minillm.model.flash import refuse_second_derivative, tiled_backward

try:
    import triton
    import triton.language as tl
except ImportError:  # said when it is called
    triton, tl = None, SimpleNamespace(constexpr=int)
DTYPES = (torch.float16, torch.bfloat16, torch.float32)


def flash_attention_triton(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    block_q: int | None = None,
    block_k: int | None = None,
) -> Tensor:
    """Compute attention by one kernel that never writes the weights: see flash_attention.

        out = softmax(q k^T / sqrt(H)) v

    Args:
        q: queries, (B, N, T, H), on a GPU, in float16, bfloat16 or float32.
        k: keys, (B, K, S, H), K a divisor of N, in q's dtype.
        v: values, (B, K, S, H), in q's dtype.
        causal: as in flash_attention.
        block_q, block_k: queries and keys in a tile, powers of two, at least 16; None means
            default_block.

    Returns:
        out, (B, N, T, H), in q's dtype; sums run in float32. It can be differentiated once.

    Raises:
        ValueError: if shapes or dtypes do not fit, or a block is no power of two from 16 on.
        RuntimeError: if triton is missing, the tensors are on a CPU without the interpreter, or
            are bfloat16 with it.

    Cost: 4 B N T S H FLOPs, about half if causal.
    Source: Dao 2023, arXiv:2307.08691, algorithm 1; Tillet et al. 2019 (Triton), MAPL 2019.
    Lesson: notebooks/16b_flash_attention.ipynb
    """
    check_shapes(q, k, v, causal)
    if q.dtype not in DTYPES or k.dtype != q.dtype or v.dtype != q.dtype:
        raise ValueError(
            "q, k and v must all be float16, bfloat16 or float32, "
            f"got {q.dtype}, {k.dtype}, {v.dtype}; flash_attention takes any"
        )
    block_q = default_block(q.dtype) if block_q is None else block_q
    block_k = default_block(q.dtype) if block_k is None else block_k
    for name, size in (("block_q", block_q), ("block_k", block_k)):
        if size < 16 or size & (size - 1):
            raise ValueError(f"{name} must be a power of two, at least 16, got {size}")
    if triton is None:
        raise RuntimeError(
            "flash_attention_triton needs triton, which comes with torch's CUDA builds for Linux; "
            "flash_attention computes the same without it"
        )
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if q.device.type == "cpu" and not interpreted:
        raise RuntimeError(
            "the tensors are on a CPU: move them to a GPU, use flash_attention, or set "
            "TRITON_INTERPRET=1 before triton is imported"
        )
    if interpreted and q.dtype == torch.bfloat16:
        raise RuntimeError("Triton's interpreter cannot multiply bfloat16; take float16 or float32")
    return _FlashTriton.apply(q, k, v, causal, block_q, block_k)


def default_block(dtype: torch.dtype | str) -> int:
    """Choose how many queries and keys a tile holds, so that heads of width 128 fit on the chip.

    Args:
        dtype: of the queries.

    Returns:
        64, or 32 for float32: tiles of 64 would ask for 180 KB, and an A100 lends a block 163.
    """
    return 32 if dtype in (torch.float32, "float32") else 64


class _FlashTriton(torch.autograd.Function):
    """Forward by the kernel, backward by the tiles of flash.py."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, causal: bool, block_q: int, block_k: int
    ) -> Tensor:
        (B, N, T, H), (K, S) = q.shape, k.shape[1:3]
        out = torch.empty_like(q)
        logsumexp = q.new_empty((B, N, T), dtype=torch.float32)
        if out.numel():
            grid = (triton.cdiv(T, block_q), B * N)
            sizes = (N, N // K, T, S, H, 1 / math.sqrt(H) / math.log(2))
            strides = (*q.stride(), *k.stride(), *v.stride(), *out.stride())
            wide = max(16, triton.next_power_of_2(H))
            _forward_kernel[grid](
                q, k, v, out, logsumexp, *strides, *sizes,
                CAUSAL=causal, BLOCK_Q=block_q, BLOCK_K=block_k, WIDTH=wide,
            )  # fmt: skip
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


def _kernel(  # type: ignore[no-untyped-def]
    q, k, v, out, logsumexp,
    q_b, q_n, q_t, q_h, k_b, k_n, k_s, k_h, v_b, v_n, v_s, v_h, o_b, o_n, o_t, o_h,
    N, group, T, S, H, scale,
    CAUSAL: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """One block of queries of one head; the strides of a tensor are <name>_<axis>.

    Powers of two instead of exponentials: scale holds 1 / ln 2, and the end takes it out again.
    """
    b, n = tl.program_id(1) // N, tl.program_id(1) % N
    rows = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    width = tl.arange(0, WIDTH)
    there = (rows[:, None] < T) & (width[None, :] < H)
    q_at = q + b * q_b + n * q_n + rows[:, None] * q_t + width[None, :] * q_h
    q_block = tl.load(q_at, mask=there, other=0.0)  # (BLOCK_Q, WIDTH)
    k_head = k + b * k_b + n // group * k_n
    v_head = v + b * v_b + n // group * v_n
    summed = tl.zeros([BLOCK_Q, WIDTH], dtype=tl.float32)
    total = tl.zeros([BLOCK_Q], dtype=tl.float32)
    top = tl.full([BLOCK_Q], float("-inf"), dtype=tl.float32)
    end = S
    if CAUSAL:
        end = tl.minimum(S, (tl.program_id(0) + 1) * BLOCK_Q + S - T)
    for start in range(0, end, BLOCK_K):
        columns = start + tl.arange(0, BLOCK_K)
        here = (columns[:, None] < S) & (width[None, :] < H)
        k_at = k_head + columns[:, None] * k_s + width[None, :] * k_h
        v_at = v_head + columns[:, None] * v_s + width[None, :] * v_h
        k_block = tl.load(k_at, mask=here, other=0.0)  # (BLOCK_K, WIDTH)
        v_block = tl.load(v_at, mask=here, other=0.0)
        scores = tl.dot(q_block, tl.trans(k_block), input_precision="ieee") * scale
        seen = columns[None, :] < S
        if CAUSAL:
            seen = seen & (columns[None, :] <= rows[:, None] + S - T)
        scores = tl.where(seen, scores, float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, axis=1))
        finite = tl.where(new_top == float("-inf"), 0.0, new_top)
        shrink = tl.exp2(top - finite)
        weights = tl.exp2(scores - finite[:, None])
        total = shrink * total + tl.sum(weights, axis=1)
        new = tl.dot(weights.to(v_block.dtype), v_block, input_precision="ieee")
        summed = shrink[:, None] * summed + new
        top = new_top
    safe = tl.where(total == 0.0, 1.0, total)
    o_at = out + b * o_b + n * o_n + rows[:, None] * o_t + width[None, :] * o_h
    tl.store(o_at, (summed / safe[:, None]).to(out.dtype.element_ty), mask=there)
    in_nats = (top + tl.log2(safe)) * 0.6931471805599453
    tl.store(logsumexp + tl.program_id(1) * T + rows, in_nats, mask=rows < T)


_forward_kernel: Any = None if triton is None else triton.jit(_kernel)

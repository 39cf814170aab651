"""Tiled attention in plain torch against the definition and against torch's kernel, on a CPU.

Forward and backward of one causal layer, float32, one thread: 8 heads of width 64, 1 024 tokens.
The clock is that of the process (CPU seconds a pass).

    1. flash: flash_attention against attention, which stores the weights
    2. flash (no mask): the same without causality, so that no tile is skipped
    3. flash (torch's kernel): flash_attention against scaled_dot_product_attention
    4. flash (chunked): flash_attention against chunked_attention, whose backward is autograd's

flash_attention is written to be read and to check kernels against; what it promises is memory. The
peak of live tensors of both sides stands in each line.

    python -m benchmarks.flash
"""

import functools
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.compare import compare
from minillm.model import attention, fast_attention, flash_attention
from minillm.model.chunked import chunked_attention
from minillm.train.live_memory import peak_bytes

N_HEADS, HEAD_WIDTH, N_TOKENS, TILE, ROUNDS = 8, 64, 1024, 128, 7


def pass_of(attend: Callable[..., Tensor], qkv: list[Tensor], causal: bool) -> Callable[[], float]:
    """A job: one forward and backward pass; returns its CPU seconds."""

    def job() -> float:
        start = time.process_time()
        attend(*qkv, causal=causal).sum().backward()
        return time.process_time() - start

    return job


def main() -> None:
    """Print the four lines."""
    torch.set_num_threads(1)
    torch.manual_seed(16)
    shape = 1, N_HEADS, N_TOKENS, HEAD_WIDTH
    qkv = [torch.randn(shape, requires_grad=True) for _ in range(3)]
    ours = functools.partial(flash_attention, block_q=TILE, block_k=TILE)
    chunked = functools.partial(chunked_attention, chunk_q=TILE, chunk_k=TILE)
    peers = {
        "flash": ("attention (the definition)", attention, True),
        "flash (no mask)": ("attention (the definition)", attention, False),
        "flash (torch's kernel)": (f"torch {torch.__version__}", fast_attention, True),
        "flash (chunked)": ("chunked_attention", chunked, True),
    }
    for name, (peer, attend, causal) in peers.items():
        gap = (ours(*qkv, causal=causal) - attend(*qkv, causal=causal)).abs().max().item()
        mine, their = pass_of(ours, qkv, causal), pass_of(attend, qkv, causal)
        compare(
            name,
            peer,
            mine,
            their,
            rounds=ROUNDS,
            unit="CPU-s/pass",
            measured=True,
            gap=round(gap, 8),
            ours_peak_mb=round(peak_bytes(mine) / 1e6, 1),
            theirs_peak_mb=round(peak_bytes(their) / 1e6, 1),
            tokens=N_TOKENS,
            heads=N_HEADS,
            head_width=HEAD_WIDTH,
            tile=TILE,
        )


if __name__ == "__main__":
    main()

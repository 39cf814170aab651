"""One decoding step against a cache: how its time falls with the key/value heads, and whose falls.

Batch 1, 32 query heads of width 64, a cache of 2 048 positions, float32, one thread; 32, 8, 2 and 1
key/value heads, so 32, 8, 2 and 1 MiB of cache. The figure is the time of one step, mean of a row
of ten, by the clock of the process (CPU time).

    decode_heads (K)      decode_attention, which reads each key/value head once, against torch's
                          scaled_dot_product_attention with enable_gqa, which is fast_attention here
    decode_heads (latent) latent attention absorbed against expanded: a latent of 256 and a rotary
                          key of 32 for the same heads

    python -m benchmarks.decode_heads
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.compare import compare
from minillm.model import (
    LatentAttention,
    LatentCache,
    LatentConfig,
    decode_attention,
    fast_attention,
    rope_angles,
)

N_HEADS, HEAD_WIDTH, LENGTH, D_MODEL = 32, 64, 2048, 2048
N_KV_HEADS = (32, 8, 2, 1)
LATENT = LatentConfig(N_HEADS, HEAD_WIDTH, 32, 256)
ROUNDS, STEPS = 15, 10


def milliseconds(step: Callable[[], Tensor]) -> Callable[[], float]:
    """A job: mean CPU time of a step, in milliseconds."""

    def job() -> float:
        start = time.process_time()
        for _ in range(STEPS):
            step()
        return (time.process_time() - start) / STEPS * 1e3

    return job


def inputs(n_kv_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Seeded q, (1, N, 1, H), and k and v, (1, K, S, H)."""
    torch.manual_seed(16)
    k, v = torch.randn(2, 1, n_kv_heads, LENGTH, HEAD_WIDTH)
    return torch.randn(1, N_HEADS, 1, HEAD_WIDTH), k, v


def latent_step() -> Callable[[bool], Tensor]:
    """A function of `absorbed` that takes one step of a latent layer against a full cache."""
    torch.manual_seed(16)
    layer = LatentAttention(D_MODEL, LATENT)
    cache = LatentCache(LATENT, 1, 1, LENGTH)
    cache.latents.normal_()
    cache.keys.normal_()
    cache.advance(LENGTH - 1)
    x = torch.randn(1, 1, D_MODEL)
    rotation = rope_angles(torch.tensor([LENGTH - 1]), LATENT.rope_width, dtype=torch.float32)

    def step(absorbed: bool) -> Tensor:
        y: Tensor = layer(
            x, rotation, absorbed=absorbed, remember=lambda c, k: cache.append(0, c, k)
        )
        return y

    return step


@torch.inference_mode()
def main() -> None:
    """Print a line for each number of key/value heads, and one for latent attention."""
    torch.set_num_threads(1)
    settings = {"rounds": ROUNDS, "unit": "CPU-ms/step", "measured": True}
    peer = f"scaled_dot_product_attention(enable_gqa) of torch {torch.__version__.split('+')[0]}"
    for n_kv_heads in N_KV_HEADS:
        q, k, v = inputs(n_kv_heads)
        gap = (decode_attention(q, k, v) - fast_attention(q, k, v)).abs().max().item()
        compare(
            f"decode_heads ({n_kv_heads})",
            peer,
            milliseconds(lambda q=q, k=k, v=v: decode_attention(q, k, v)),  # type: ignore[misc]
            milliseconds(lambda q=q, k=k, v=v: fast_attention(q, k, v)),  # type: ignore[misc]
            cache_mib=2 * k.nbytes / 2**20,
            gap=round(gap, 8),
            **settings,  # type: ignore[arg-type]
        )
    step = latent_step()
    gap = (step(True) - step(False)).abs().max().item()
    compare(
        "decode_heads (latent)",
        "expanded (the definition)",
        milliseconds(lambda: step(True)),
        milliseconds(lambda: step(False)),
        cache_mib=LATENT.numbers * LENGTH * 4 / 2**20,
        gap=round(gap, 8),
        **settings,  # type: ignore[arg-type]
    )


if __name__ == "__main__":
    main()

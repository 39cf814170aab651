"""Tokens a second of decoding, against what memory allows.

    python -m benchmarks.gpu.decode_throughput

TinyLlama's shape (1.1 B, 4 key/value heads), random weights in bfloat16, a cache of 1 024
positions of which 512 are filled; 64 steps at batch 1, 8, 32 and 128. Each step must read all
weights and the cache, so the bytes read over the time is a bandwidth, and that of a plain copy is
its ceiling. Greedy choice; the same tokens with and without the cache are checked first.
Under two minutes.
"""

import sys
from typing import Any

import torch

from benchmarks.gpu import record
from minillm.model import Decoder, DecoderConfig, KVCache, presets
from minillm.model.config import count_parameters, kv_bytes_per_token
from minillm.model.families import llama

SEED, REPEATS, BATCHES = 22, 3, (1, 8, 32, 128)


def shape(*, toy: bool) -> tuple[DecoderConfig, int, int]:
    """The model, how many positions are filled, and how many steps are timed."""
    if not toy:
        return presets.tinyllama_1b(), 512, 64
    return llama(d_model=32, n_layers=2, n_heads=2, width=64, vocab_size=128), 8, 4


def copy_bytes_per_second(*, toy: bool) -> float:
    """Bandwidth of a copy: bytes read and written over its time."""
    a = torch.zeros(2**16 if toy else 2**30, dtype=torch.uint8, device=record.device())
    b = torch.empty_like(a)
    return 2 * a.nbytes / record.step_seconds(lambda: b.copy_(a), warmup=3, repeats=10)


def decode(model: Decoder, ids: torch.Tensor, n_steps: int) -> tuple[list[int], float]:
    """Greedy steps behind a prompt; the first sequence's tokens, and seconds a step."""
    batch, length = ids.shape
    weight = model.embedding.weight
    cache = KVCache(model.config, batch, length + n_steps, dtype=weight.dtype, device=ids.device)
    said = []
    token = model.logits(model.features(ids, cache=cache)[:, -1:]).argmax(-1)  # (B, 1)
    start = record.now()
    for _ in range(n_steps):
        said.append(token[0, 0])
        token = model.logits(model.features(token, cache=cache)).argmax(-1)
    seconds = (record.now() - start) / n_steps
    return [int(t) for t in said], seconds


def without_cache(model: Decoder, ids: torch.Tensor, n_steps: int) -> list[int]:
    """The same tokens the long way, for one sequence."""
    for _ in range(n_steps):
        token = model.logits(model.features(ids)[:, -1:]).argmax(-1)
        ids = torch.cat((ids, token), dim=1)
    return [int(t) for t in ids[0, -n_steps:]]


@torch.inference_mode()
def run(toy: bool) -> dict[str, Any]:
    """Every batch size."""
    record.forget()
    torch.manual_seed(SEED)
    config, length, n_steps = shape(toy=toy)
    exact = Decoder(config, device=record.device())  # float32: greedy choices must agree
    prompt = torch.randint(0, config.vocab_size, (BATCHES[-1], length), device=record.device())
    few = prompt[:1, :8]
    agree = decode(exact, few, 4)[0] == without_cache(exact, few, 4)
    model = exact.to(torch.bfloat16)
    weights = 2 * count_parameters(config)
    rows = []
    for batch in BATCHES[:2] if toy else BATCHES:
        times = [decode(model, prompt[:batch], n_steps)[1] for _ in range(1 + REPEATS)]
        seconds = sorted(times[1:])[REPEATS // 2]
        cached = batch * (length + n_steps / 2) * kv_bytes_per_token(config)
        rows.append(
            {
                "batch_size": batch,
                "tokens_per_second": batch / seconds,
                "milliseconds": 1000 * seconds,
                "bytes_a_step": weights + cached,
                "bytes_per_second": (weights + cached) / seconds,
            }
        )
    about = {"parameters": count_parameters(config), "prompt": length, "steps": n_steps}
    return record.provenance(about, SEED, toy=toy) | {
        "cache_agrees": agree,
        "copy_bytes_per_second": copy_bytes_per_second(toy=toy),
        "measured": rows,
    }


if __name__ == "__main__":
    sys.exit(record.main("decode_throughput", run))

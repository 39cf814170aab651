"""One decoding step against a cache on a GPU: `python -m benchmarks.gpu.decode_heads`.

32 query heads of width 128 (the shape of LLaMA-7B), bfloat16, a cache of 4 096 positions, batches
of 1, 16 and 64, and 32, 8, 2 and 1 key/value heads. Three ways, in turns: decode_attention (heads
of a group as rows), torch with enable_gqa, and torch with the heads copied out beforehand. The
figure is the median time of a step, and the bytes of the cache over it. First the three are
compared: within 2 % of the largest number, and keys of the wrong group must exceed that.

Takes a minute, needs no network, writes data/results/decode_heads_gpu/<run_id>.json; lesson 16a
prints what it finds there. Without a GPU it says so in one line and exits with status 1.
"""

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.gpu.record import provenance as record_of
from minillm.model import decode_attention, fast_attention

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results" / "decode_heads_gpu"
N_HEADS, HEAD_WIDTH, LENGTH, SEED, REPEATS, STEPS = 32, 128, 4096, 16, 15, 20
N_KV_HEADS, BATCHES = (32, 8, 2, 1), (1, 16, 64)
MAX_RELATIVE = 0.02  # bfloat16 keeps 8 bits


def inputs(batch: int, n_kv_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Seeded q (B, N, 1, H), k and v (B, K, S, H) on the GPU."""
    torch.manual_seed(SEED)
    make = {"device": "cuda", "dtype": torch.bfloat16}
    q = torch.randn(batch, N_HEADS, 1, HEAD_WIDTH, **make)  # type: ignore[call-overload]
    k, v = torch.randn(2, batch, n_kv_heads, LENGTH, HEAD_WIDTH, **make)  # type: ignore[call-overload]
    return q, k, v


def copied(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Torch with a key/value head for every query head."""
    k, v = (t.repeat_interleave(N_HEADS // t.shape[1], dim=1) for t in (k, v))
    return F.scaled_dot_product_attention(q, k, v)


def milliseconds(work: Callable[[], object]) -> float:
    """Mean time of a call in a row of STEPS, by the GPU's own clock."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(STEPS):
        work()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / STEPS


def relative_differences() -> tuple[float, float]:
    """Largest difference of the ways, and of keys of the wrong group, as shares of the largest."""
    q, k, v = inputs(2, 8)
    wanted = fast_attention(q.float(), k.float(), v.float())
    ways = (decode_attention, fast_attention, copied)
    right = max((way(q, k, v) - wanted).abs().max().item() for way in ways)
    wrong = (decode_attention(q, k.roll(1, dims=1), v) - wanted).abs().max().item()
    scale = wanted.abs().max().item()
    return right / scale, wrong / scale


def measure(batch: int, n_kv_heads: int) -> dict[str, float]:
    """All ways at one shape."""
    q, k, v = inputs(batch, n_kv_heads)
    ways: dict[str, Callable[[], Tensor]] = {
        "rows": lambda: decode_attention(q, k, v),
        "enable_gqa": lambda: fast_attention(q, k, v),
        "copied": lambda: copied(q, k, v),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(REPEATS + 1):  # the first is for warming up
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            spent = milliseconds(ways[name])
            if turn:
                times[name].append(spent)
    median = {name: statistics.median(spent) for name, spent in times.items()}
    row: dict[str, float] = {"batch": batch, "n_kv_heads": n_kv_heads}
    row |= {f"{name}_ms": round(spent, 5) for name, spent in median.items()}
    row["cache_mib"] = 2 * k.nbytes / 2**20
    return row | {"rows_gb_per_s": round(2 * k.nbytes / median["rows"] / 1e6, 1)}


def provenance() -> dict[str, object]:
    """What must be known to make the run again: config, seed, machine, versions, commit."""
    config = {
        "n_heads": N_HEADS,
        "head_width": HEAD_WIDTH,
        "length": LENGTH,
        "dtype": "bfloat16",
        "repeats": REPEATS,
        "steps": STEPS,
    }
    return record_of(config, SEED, toy=False)


@torch.inference_mode()
def main() -> int:
    """Measure every shape, print a line for each, write the record."""
    if not torch.cuda.is_available():
        print("benchmarks.gpu.decode_heads needs a CUDA GPU, and torch sees none; nothing was done")
        return 1
    right, wrong = relative_differences()
    if not right < MAX_RELATIVE < wrong:
        print(f"the ways differ by {right:.4f} (a wrong group by {wrong:.4f}); not timed")
        return 1
    measured = []
    for batch in BATCHES:
        for n_kv_heads in N_KV_HEADS:
            measured.append(row := measure(batch, n_kv_heads))
            print(json.dumps(row), flush=True)
            torch.cuda.empty_cache()
    gpu = torch.cuda.get_device_name()
    record = provenance() | {"relative_difference": right, "measured": measured}
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{gpu.replace(' ', '-')}_torch-{torch.__version__.split('+')[0]}.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"written: data/results/decode_heads_gpu/{path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

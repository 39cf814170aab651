"""The readable attention against the fast one on a GPU: `python -m benchmarks.gpu.attention`.

For each length both sides do forward and backward of one causal layer (32 heads of width 128, the
shape of LLaMA-7B, bfloat16), in turns (fast, readable, readable, fast); the figure is the median of
seven. The readable one, which stores the weights, is left out where they would not fit. First the
two are compared: outputs within 2 % of the largest, and a wrong causal mask must exceed that.

Takes a minute or two, needs no network, writes data/results/attention_gpu/<run_id>.json; lesson 09
prints what it finds there. Without a GPU it says so in one line and exits with status 1.
"""

import json
import math
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.gpu.record import provenance as record_of
from minillm.model import attention, fast_attention

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results" / "attention_gpu"
LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
N_HEADS, HEAD_WIDTH, SEED, REPEATS = 32, 128, 9, 7
WEIGHT_COPIES = 8  # float32 copies of the (T, S) weights alive at once, forward and backward
MAX_RELATIVE = 0.02  # bfloat16 keeps 8 bits, about 0.4 %


def inputs(tokens: int) -> list[Tensor]:
    """Seeded q, k, v of (1, N, T, H) on the GPU that record gradients."""
    torch.manual_seed(SEED)
    shape = (1, N_HEADS, tokens, HEAD_WIDTH)
    make = {"device": "cuda", "dtype": torch.bfloat16, "requires_grad": True}
    return [torch.randn(shape, **make) for _ in range(3)]


def step(attend: Callable[..., Tensor], qkv: list[Tensor]) -> None:
    """One forward and backward."""
    for tensor in qkv:
        tensor.grad = None
    attend(*qkv, causal=True).sum().backward()


def milliseconds(work: Callable[[], None]) -> float:
    """Time of one call, by the GPU's own clock."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)


def peak_gib(work: Callable[[], None]) -> float:
    """Memory that one call takes beyond what was there before it."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**30


def relative_difference() -> tuple[float, float]:
    """Largest difference of the two sides, and of a planted mistake, as shares of the largest."""
    with torch.no_grad():
        q, k, v = inputs(512)
        wanted = attention(q.float(), k.float(), v.float(), causal=True)
        scale = wanted.abs().max()
        right = (fast_attention(q, k, v, causal=True) - wanted).abs().max() / scale
        wrong = (fast_attention(q, k, v, causal=False) - wanted).abs().max() / scale
    return right.item(), wrong.item()


def measure(tokens: int) -> dict[str, float | int | None]:
    """Both sides at one length; the readable one is None where its weights would not fit."""
    qkv = inputs(tokens)
    sides: dict[str, Callable[[], None]] = {"fast": lambda: step(fast_attention, qkv)}
    free, _ = torch.cuda.mem_get_info()
    if WEIGHT_COPIES * 4 * N_HEADS * tokens**2 < free:
        sides["readable"] = lambda: step(attention, qkv)
    memory = {name: peak_gib(work) for name, work in sides.items()}  # warms up as well
    for work in sides.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(REPEATS):
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            times[name].append(milliseconds(sides[name]))
    median = {name: statistics.median(values) for name, values in times.items()}
    flops = (
        3.5 * 4 * N_HEADS * tokens**2 * HEAD_WIDTH / 2
    )  # backward 2.5 times forward; causal half
    return {
        "tokens": tokens,
        "fast_ms": round(median["fast"], 4),
        "readable_ms": round(median["readable"], 4) if "readable" in median else None,
        "speed_up": round(median["readable"] / median["fast"], 2) if "readable" in median else None,
        "fast_gib": round(memory["fast"], 4),
        "readable_gib": round(memory["readable"], 4) if "readable" in memory else None,
        "fast_tflops": round(flops / median["fast"] / 1e9, 1),
    }


def provenance() -> dict[str, object]:
    """What must be known to make the run again: config, seed, machine, versions, commit."""
    config = {
        "lengths": LENGTHS,
        "n_heads": N_HEADS,
        "head_width": HEAD_WIDTH,
        "batch": 1,
        "dtype": "bfloat16",
        "causal": True,
        "timed": "forward and backward, median",
        "repeats": REPEATS,
    }
    return record_of(config, SEED, toy=False)


def main() -> int:
    """Measure every length, print a line for each, write the record."""
    if not torch.cuda.is_available():
        print(
            "benchmarks.gpu.attention needs a CUDA GPU, and torch sees none here; nothing was done"
        )
        return 1
    right, wrong = relative_difference()
    if not right < MAX_RELATIVE < wrong or not math.isfinite(right):
        print(f"the two sides differ by {right:.4f} (a wrong mask by {wrong:.4f}); not timed")
        return 1
    measured = []
    for tokens in LENGTHS:
        measured.append(row := measure(tokens))
        print(json.dumps(row), flush=True)
        torch.cuda.empty_cache()
    gpu = torch.cuda.get_device_name()
    record = provenance() | {"relative_difference": right, "measured": measured}
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{gpu.replace(' ', '-')}_torch-{torch.__version__.split('+')[0]}.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"written: data/results/attention_gpu/{path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

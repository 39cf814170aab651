"""The Triton kernel against other attentions on a GPU: `python -m benchmarks.gpu.flash`.

For each length one causal layer (32 heads of width 128, the shape of LLaMA-7B, bfloat16), forward
alone and forward with backward, in turns; figures are medians of seven.

    triton    flash_attention_triton: our kernel forward, plain-torch tiles backward
    torch     fast_attention: scaled_dot_product_attention, a fused kernel both ways
    tiles     flash_attention: plain torch, tiles of 512, both ways
    readable  attention, which stores the weights; left out where they would not fit

First all are compared with float32 attention: within 2 % of the largest output, and a wrong mask
must exceed that. Takes a few minutes, needs no network, writes data/results/flash_gpu/<run_id>.json
for lesson 16b to print. Without a GPU or triton it says so in one line and exits with status 1.
"""

import functools
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.gpu.attention import milliseconds, peak_gib
from benchmarks.gpu.record import provenance as record_of
from minillm.model import attention, fast_attention, flash_attention
from minillm.model.flash_triton import flash_attention_triton

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results" / "flash_gpu"
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
N_HEADS, HEAD_WIDTH, SEED, REPEATS, TILE = 32, 128, 16, 7, 512
WEIGHT_COPIES = 8  # float32 copies of the (T, S) weights alive at once, forward and backward
MAX_RELATIVE = 0.02  # bfloat16 keeps 8 bits, about 0.4 %
SIDES: dict[str, Callable[..., Tensor]] = {
    "triton": flash_attention_triton,
    "torch": fast_attention,
    "tiles": functools.partial(flash_attention, block_q=TILE, block_k=TILE),
    "readable": attention,
}


def inputs(tokens: int) -> list[Tensor]:
    """Seeded q, k, v of (1, N, T, H) on the GPU that record gradients."""
    torch.manual_seed(SEED)
    make = {"device": "cuda", "dtype": torch.bfloat16, "requires_grad": True}
    return [torch.randn(1, N_HEADS, tokens, HEAD_WIDTH, **make) for _ in range(3)]


def forward(attend: Callable[..., Tensor], qkv: list[Tensor]) -> None:
    """One forward pass."""
    with torch.no_grad():
        attend(*qkv, causal=True)


def both(attend: Callable[..., Tensor], qkv: list[Tensor]) -> None:
    """One forward and backward pass."""
    for tensor in qkv:
        tensor.grad = None
    attend(*qkv, causal=True).sum().backward()


@torch.no_grad()
def relative_differences() -> dict[str, float]:
    """Largest difference of each side, and of a planted mistake, as shares of the largest."""
    q, k, v = inputs(600)
    wanted = attention(q.float(), k.float(), v.float(), causal=True)
    outs = {name: attend(q, k, v, causal=True) for name, attend in SIDES.items()}
    outs["wrong mask"] = flash_attention_triton(q, k, v, causal=False)
    scale = wanted.abs().max()
    return {name: ((out - wanted).abs().max() / scale).item() for name, out in outs.items()}


def measure(tokens: int) -> dict[str, object]:
    """All sides at one length; the readable one is missing where its weights would not fit."""
    qkv = inputs(tokens)
    free, _ = torch.cuda.mem_get_info()
    fits = WEIGHT_COPIES * 4 * N_HEADS * tokens**2 < free
    sides = {name: attend for name, attend in SIDES.items() if fits or name != "readable"}
    row: dict[str, object] = {"tokens": tokens}
    for what, step in (("forward", forward), ("both", both)):
        jobs = {name: functools.partial(step, attend, qkv) for name, attend in sides.items()}
        row[f"{what}_gib"] = {name: round(peak_gib(job), 4) for name, job in jobs.items()}
        for job in jobs.values():  # the call above compiled it, this one warms the caches
            job()
        times: dict[str, list[float]] = {name: [] for name in jobs}
        for turn in range(REPEATS):
            for name in list(jobs)[:: 1 if turn % 2 else -1]:
                times[name].append(milliseconds(jobs[name]))
        median = {name: statistics.median(values) for name, values in times.items()}
        row[f"{what}_ms"] = {name: round(value, 4) for name, value in median.items()}
    return row


def provenance() -> dict[str, object]:
    """What must be known to make the run again: config, seed, machine, versions, commit."""
    import triton

    config = {"lengths": LENGTHS, "n_heads": N_HEADS, "head_width": HEAD_WIDTH, "batch": 1}
    config |= {"dtype": "bfloat16", "causal": True, "repeats": REPEATS, "tile": TILE}
    return record_of(config, SEED, toy=False, versions={"triton": triton.__version__})


def main() -> int:
    """Measure every length, print a line for each, write the record."""
    if not torch.cuda.is_available():
        print("benchmarks.gpu.flash needs a CUDA GPU, and torch sees none here; nothing was done")
        return 1
    try:
        differences = relative_differences()
    except RuntimeError as error:  # no triton
        print(f"benchmarks.gpu.flash: {error}")
        return 1
    wrong = differences["wrong mask"]
    if not max(differences[name] for name in SIDES) < MAX_RELATIVE < wrong:
        print(f"the sides differ, as shares of the largest output: {differences}; not timed")
        return 1
    measured = []
    for tokens in LENGTHS:
        measured.append(row := measure(tokens))
        print(json.dumps(row), flush=True)
        torch.cuda.empty_cache()
    gpu = torch.cuda.get_device_name()
    record = provenance() | {"relative_difference": differences, "measured": measured}
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{gpu.replace(' ', '-')}_torch-{torch.__version__.split('+')[0]}.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"written: data/results/flash_gpu/{path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

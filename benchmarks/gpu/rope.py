"""What RoPE costs on a GPU beside the attention it serves: `python -m benchmarks.gpu.rope`.

For each length the turn of queries and keys (32 heads of width 128, bfloat16, ready tables) and the
fast causal attention behind it are timed forward, in turns; the figure is the median of 21 calls.
Takes under a minute and writes data/results/rope/<run_id>.json, which lesson 14 prints. Without a
GPU it says so in one line and exits with status 1.
"""

import json
import statistics
import sys
from pathlib import Path

import torch

from benchmarks.gpu.attention import HEAD_WIDTH, N_HEADS, inputs, milliseconds, provenance
from minillm.model import fast_attention
from minillm.model.rope import apply_rope, rope_angles

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results" / "rope"
LENGTHS = (512, 2048, 8192, 32768)
CALLS = 21


@torch.no_grad()
def measure(tokens: int) -> dict[str, float | int]:
    """Median milliseconds of the turn and of the attention at one length, and their ratio."""
    q, k, v = inputs(tokens)
    tables = rope_angles(torch.arange(tokens, device="cuda"), HEAD_WIDTH, dtype=torch.float32)
    jobs = {
        "rope": lambda: (apply_rope(q, *tables), apply_rope(k, *tables)),
        "attention": lambda: fast_attention(q, k, v, causal=True),
    }
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for call in range(CALLS + 3):
        for name, job in jobs.items():
            taken = milliseconds(job)
            if call >= 3:  # the first calls warm up
                times[name].append(taken)
    median = {name: statistics.median(values) for name, values in times.items()}
    return {
        "tokens": tokens,
        "rope_ms": round(median["rope"], 4),
        "attention_ms": round(median["attention"], 4),
        "rope_share": round(median["rope"] / (median["rope"] + median["attention"]), 4),
    }


def main() -> int:
    """Measure every length, print a line for each, write the record."""
    if not torch.cuda.is_available():
        print("benchmarks.gpu.rope needs a CUDA GPU, and torch sees none here; nothing was done")
        return 1
    measured = []
    for tokens in LENGTHS:
        measured.append(row := measure(tokens))
        print(json.dumps(row), flush=True)
    gpu = torch.cuda.get_device_name()
    record = provenance() | {"measured": measured}
    record["config"] = {"lengths": LENGTHS, "n_heads": N_HEADS, "head_width": HEAD_WIDTH}
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{gpu.replace(' ', '-')}_torch-{torch.__version__.split('+')[0]}.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"written: data/results/rope/{path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What every GPU job needs: who ran it where, the clock, the memory, and the file it writes.

A job is a function from `toy` to a record. On a GPU it runs at full size; `--toy` runs it in
seconds on a CPU, to see that it works, and its numbers mean nothing: its record says so.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.compare import commit, machine

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results"
Job = Callable[[bool], dict[str, Any]]


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name() -> str:
    """The name of the GPU, or of the processor."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else machine()


def provenance(
    config: Mapping[str, object],
    seed: int,
    *,
    toy: bool,
    versions: Mapping[str, str | None] | None = None,
) -> dict[str, object]:
    """What must be known to make the run again: config, seed, machine, versions, commit.

    Args:
        config: sizes and settings.
        seed: of weights and data.
        toy: the run was a small one, whose numbers mean nothing.
        versions: of more packages than torch, CUDA and Python.
    """
    all_versions = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        **(versions or {}),
    }
    where = {"gpu": device_name(), "system": platform.system()}
    return {
        "toy": toy,
        "config": config,
        "seed": seed,
        "machine": where,
        "versions": all_versions,
        "commit": commit(),
    }


def now() -> float:
    """Seconds, when all work that was started is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def step_seconds(step: Callable[[], object], *, warmup: int, repeats: int) -> float:
    """Median wall time of a step, after some that are not counted."""
    for _ in range(warmup):
        step()
    times = []
    for _ in range(repeats):
        start = now()
        step()
        times.append(now() - start)
    return statistics.median(times)


def forget() -> None:
    """Free what is not used any more, so that the next measurement begins with an empty GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gib() -> float | None:
    """The most memory that tensors took since forget; None on a CPU."""
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None


def product_flops(size: int, dtype: torch.dtype = torch.bfloat16, *, repeats: int = 20) -> float:
    """FLOP/s of a plain product of square matrices: what the card reaches at best."""
    torch.manual_seed(0)  # the numbers matter: zeros need less power, and run faster
    a, b = (torch.randn(size, size, device=device()).to(dtype) for _ in range(2))
    return 2 * size**3 / step_seconds(lambda: a @ b, warmup=5, repeats=repeats)


def compile_blocks(model: torch.nn.Module, *, toy: bool) -> bool:
    """Compile each block for itself, which compiles one and uses it for all; not in a toy."""
    if toy:
        return False
    for block in model.blocks:  # type: ignore[union-attr]
        block.compile(dynamic=False)
    return True


def write(name: str, record: dict[str, Any], folder: Path | None = None) -> Path:
    """Write a record to FOLDER/NAME/<gpu>_torch-<version>.json, and print it."""
    card = "_".join(record["machine"]["gpu"].split(",")[0].split())
    version = record["versions"]["torch"].split("+")[0]
    path = (folder or RESULTS) / name / f"{card}_torch-{version}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))
    print(f"written: {path}")
    return path


def main(name: str, job: Job, words: list[str] | None = None) -> int:
    """Read the command line, run the job, write its record; without a GPU only as a toy.

    Records of toys never go to data/results: they need --out, or $OUT.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.gpu.{name}")
    parser.add_argument("--toy", action="store_true", help="seconds on a CPU; numbers mean nothing")
    out = os.environ.get("OUT")
    parser.add_argument("--out", type=Path, default=Path(out) if out else None)
    options = parser.parse_args(words)
    if not options.toy and not torch.cuda.is_available():
        print(f"benchmarks.gpu.{name} needs a CUDA GPU, and torch sees none here; nothing was done")
        return 1
    if options.toy and options.out is None:
        print("the record of a toy is written only where --out says")
        return 1
    write(f"{name}_gpu", job(options.toy), options.out)
    return 0

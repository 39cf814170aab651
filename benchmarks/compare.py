"""Ours against a named peer: run in turns, take medians, print one JSON line.

A benchmark is a small program, started as `python -m benchmarks.bpe_train`, that calls `compare`
once for each line that it wants to print:

    compare("bpe_train", "tokenizers 0.23", ours=lambda: train(...), theirs=lambda: peer(...))

The two sides alternate (ours, theirs, theirs, ours, ...), so that a machine that gets slower or
faster during the run does so for both. A ratio above 1 always means that ours is faster.
"""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def machine() -> str:
    """The processor, the cores that this process may use, Python and the system, in one line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")]
        model = names[0] if names else model
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {n_cores} cores, Python {platform.python_version()}, {platform.system()}"


def commit() -> str:
    """The commit of the checkout, with `+` behind it when tracked files were edited; or unknown."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10
        )
        return done.stdout.strip()

    try:
        edited = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if edited else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def seconds(job: Callable[[], object]) -> float:
    """Wall time of one call, in seconds."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def compare(
    name: str,
    peer: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    rounds: int = 5,
    warmup: int = 1,
    unit: str = "s",
    work: float | None = None,
    measured: bool = False,
    quiet: bool = False,
    **extra: object,
) -> dict[str, object]:
    """Measure both sides in turns and print the line.

    Args:
        name: of the benchmark, as in design.md (`bpe_train`, `generate`, ...).
        peer: whom we compare with, with its version.
        ours, theirs: the two jobs, called without arguments.
        rounds: measured calls of each side; the median is reported.
        warmup: calls of each side before that, not measured (compilation, caches).
        unit: of the two figures. With `work` it is a rate, such as "MB/s"; else a time, "s".
        work: amount of work in one call; the figures become work / seconds (higher is better).
        measured: the jobs return their own figure instead of being timed (a rate if `work` is
            given, then higher is better and `work` is only the sign of that; else a time or size).
        quiet: do not print.
        extra: further keys for the line, such as sizes or `n_merges`.

    Returns:
        The line as a dict: name, peer, ours, theirs, unit, ratio, low and high (the smallest and
        largest ratio of one round), rounds, machine, commit, and `extra`.

    Raises:
        ValueError: if rounds < 1.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")

    def figure(job: Callable[[], object]) -> float:
        if measured:
            return float(job())  # type: ignore[arg-type]
        elapsed = seconds(job)
        return elapsed if work is None else work / elapsed

    for _ in range(warmup):
        ours()
        theirs()
    mine: list[float] = []
    other: list[float] = []
    for i in range(rounds):
        for job, into in [(ours, mine), (theirs, other)][:: -1 if i % 2 else 1]:
            into.append(figure(job))

    def ratio(a: float, b: float) -> float:
        return b / a if work is None else a / b

    each = [ratio(a, b) for a, b in zip(mine, other, strict=True)]
    a, b = statistics.median(mine), statistics.median(other)
    line: dict[str, object] = {
        "name": name,
        "peer": peer,
        "ours": round(a, 6),
        "theirs": round(b, 6),
        "unit": unit,
        "ratio": round(ratio(a, b), 3),
        "low": round(min(each), 3),
        "high": round(max(each), 3),
        "rounds": rounds,
        "machine": machine(),
        "commit": commit(),
        **extra,
    }
    if not quiet:
        print(json.dumps(line), flush=True)
    return line

"""Lesson 04 at scale: time and memory against size: `python -m benchmarks.dedup_scale`.

MinHash from texts to clusters up to 200 MB, with datasketch up to 50 MB; the suffix array and the
LCP array up to 50 MB, with pydivsufsort. Each size runs in a process of its own; its peak of memory
counts from when the texts are there. Sizes that stand in `data/results/dedup_scale/<machine>.json`
are not measured again, so that a run that was stopped goes on. The engines are compiled before the
clock starts. Seconds are of the CPU, of one thread, and megabytes are 10^6 bytes.

The texts: prose and code of the harvest and storyworld stories, the same share of each at every
size, so that a larger corpus differs in nothing but its size.
"""

import contextlib
import gc
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare import ROOT, commit, machine
from minillm.data import load_corpus
from minillm.data.near_duplicates import near_duplicates
from minillm.data.storyworld import make_corpus
from minillm.data.suffix_array import lcp_array, suffix_array

SEED = 0
SIZES = {
    "minhash": (1, 2, 5, 10, 20, 50, 100, 200),
    "datasketch": (1, 2, 5, 10, 20, 50),
    "suffix_array": (1, 2, 5, 10, 20, 50),
    "lcp_array": (1, 2, 5, 10, 20, 50),
    "pydivsufsort": (1, 2, 5, 10, 20, 50),
}
SHARE_HARVEST = {"minhash": 0.1, "datasketch": 0.1}
OF_ARRAYS = 0.4
STORY_BYTES = 700  # fewer than a story has on average
PACKAGES = ("numpy", "numba", "datasketch", "pydivsufsort")


def corpus(megabytes: float, share_harvest: float) -> list[str]:
    """Texts of so many megabytes: prose and code in equal parts, and stories."""
    n_bytes = round(megabytes * 1e6)
    half = round(n_bytes * share_harvest / 2)
    texts = [t for kind in ("prose", "code") for t in load_corpus(kind, max_bytes=half).texts]
    left = n_bytes - sum(len(text.encode()) for text in texts)
    for story in make_corpus(SEED, left // STORY_BYTES, "en"):
        if left <= 0:
            return texts
        texts.append(story)
        left -= len(story.encode())
    raise RuntimeError(f"stories are shorter than {STORY_BYTES} bytes; {left} bytes are missing")


def memory(key: str) -> int | None:
    """Megabytes of this process: VmRSS is now, VmHWM the most since `forget_peak`. Linux only."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    return round(int(status.split(f"{key}:")[1].split()[0]) * 1024 / 1e6)


def forget_peak() -> None:
    """Let VmHWM begin anew, so that what the texts took to make does not count."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def job_of(name: str, texts: list[str]) -> Callable[[], Any]:
    """What is measured, as a function without arguments."""
    if name == "minhash":
        return lambda: near_duplicates(texts)
    if name == "datasketch":
        from benchmarks.minhash import theirs_end_to_end

        return lambda: theirs_end_to_end(texts)
    data = np.frombuffer("\n".join(texts).encode("utf-8", "replace"), np.uint8)
    if name == "suffix_array":
        return lambda: suffix_array(data)
    if name == "lcp_array":
        sa = suffix_array(data)
        return lambda: lcp_array(data, sa)
    import pydivsufsort

    writable = data.copy()  # the peer takes no other
    return lambda: pydivsufsort.divsufsort(writable)


def measure(name: str, megabytes: float) -> dict[str, Any]:
    """One row: run one job once."""
    share = SHARE_HARVEST.get(name, OF_ARRAYS)
    job_of(name, ["a few words to compile the loops with, twice over"] * 3)()
    texts = corpus(megabytes, share)
    job = job_of(name, texts)
    gc.collect()
    forget_peak()
    before, start = memory("VmRSS"), time.process_time()
    job()
    cpu_seconds = time.process_time() - start
    return {
        "job": name,
        "megabytes": megabytes,
        "documents": len(texts),
        "share_harvest": share,
        "cpu_seconds": round(cpu_seconds, 2),
        "peak_megabytes": memory("VmHWM"),
        "megabytes_before": before,
        "commit": commit(),
    }


def record(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write what was measured so far, in the form of all results."""
    told = {
        "config": {"sizes": SIZES, "n_hashes": 128, "ngram": 5, "threshold": 0.8},
        "seed": SEED,
        "machine": machine(),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in PACKAGES},
        "commit": commit(),
        "measured": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def main() -> None:
    """Measure every size that has no row yet; with a job and a size, print that row."""
    if len(sys.argv) == 3:
        print(json.dumps(measure(sys.argv[1], float(sys.argv[2]))))
        return
    name = re.sub(r"[^A-Za-z0-9]+", "-", machine()).strip("-")
    path = ROOT / "data" / "results" / "dedup_scale" / f"{name}.json"
    rows = json.loads(path.read_text("utf-8"))["measured"] if path.is_file() else []
    known = {(row["job"], row["megabytes"]) for row in rows}
    for job, sizes in SIZES.items():
        for size in sizes:
            if (job, size) in known:
                continue
            words = [sys.executable, "-m", "benchmarks.dedup_scale", job, str(size)]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run(
                words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
            )
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(json.dumps(rows[-1]), flush=True)
            record(path, rows)


if __name__ == "__main__":
    main()

"""Run the benchmarks of the repository, one process each."""

import subprocess
import sys
from pathlib import Path

import minillm

_FOLDER = Path(minillm.__file__).parents[1] / "benchmarks"


def benchmark_names() -> list[str]:
    """The benchmarks that exist: the programs of `benchmarks/`, in alphabetical order."""
    return sorted(p.stem for p in _FOLDER.glob("*.py") if "def main(" in p.read_text("utf-8"))


def run_benchmarks(names: list[str]) -> int:
    """Run benchmarks one after another, each in a process of its own; list them if none is named.

    Args:
        names: which to run, or `["all"]`.

    Returns:
        0 if all went well, else the exit status of the first that failed.

    Raises:
        ValueError: if there is no such benchmark, or no checkout to run them from.
    """
    known = benchmark_names()
    if not known:
        raise ValueError("the benchmarks need a checkout of the repository; there is none here")
    if not names:
        print("benchmarks: " + ", ".join(known) + "  (python -m minillm bench NAME, or all)")
        return 0
    names = known if names == ["all"] else names
    for name in names:
        if name not in known:
            raise ValueError(f"no benchmark {name!r}; there are {', '.join(known)}")
    for name in names:
        module = [sys.executable, "-m", f"benchmarks.{name}"]
        done = subprocess.run(module, cwd=_FOLDER.parent, check=False)
        if done.returncode:
            return done.returncode
    return 0

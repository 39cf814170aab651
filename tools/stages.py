"""The stages of `make test` and `make check`: what runs, in which order, and how long it took.

    python -m tools.stages test          every stage, in a fresh or current .venv
    python -m tools.stages lint unit     some stages
    python -m tools.stages --here unit   with the Python that is running, nothing installed

Each stage is one or more commands. All stages run even when an earlier one failed; the exit status
is 0 only if every command of every stage ended with 0. The closing lines of pytest are kept and
printed once more at the end, as pytest wrote them, after a table with the seconds of each stage.
Everything after the environment runs with the network cut (tools/offline) and on one thread.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # started as a file, by a Python that has nothing installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools import environment

ROOT = environment.ROOT
CLOSING = re.compile(r"^=* ?(\d+ (passed|failed|error|skipped|deselected)|no tests ran)")
PYTEST = ("-m", "pytest", "-n", "2")
NOT_UNIT = "not dist and not slow and not gpu"
SANITIZE = "--nbval-sanitize-with=tests/notebooks/sanitize.cfg"
CODE = ("minillm", "tools", "tests", "benchmarks", "notebooks/src")


@dataclass(frozen=True)
class Stage:
    """One stage: its name, a line for the reader, and the arguments of each call of Python."""

    name: str
    title: str
    commands: tuple[tuple[str, ...], ...]


STAGES = (
    Stage(
        "lint",
        "style and form of the code",
        (("-m", "ruff", "check", "."), ("-m", "ruff", "format", "--check", *CODE)),
    ),
    Stage("types", "mypy over the package", (("-m", "mypy"),)),
    Stage("floors", "imports point down", (("-m", "pytest", "tests/test_imports.py"),)),
    Stage("corpora", "the texts of the course", (("-m", "minillm.data.corpora"),)),
    Stage("unit", "unit tests", ((*PYTEST, "-m", NOT_UNIT, "tests"),)),
    Stage(
        "dist",
        "tests with several processes",
        (("-m", "pytest", "-m", "dist and not slow and not gpu", "tests/**/test_*.py@dist"),),
    ),
    Stage(
        "notebooks",
        "built lessons match their masters, generated pages are up to date",
        (
            ("-m", "tools.notebooks", "check"),
            ("-m", "tools.notebooks", "table", "--check"),
            ("-m", "tools.notebooks", "claims", "--check"),
        ),
    ),
    Stage(
        "nbval",
        "every lesson executed and compared",
        ((*PYTEST, "--nbval", SANITIZE, "--dist", "loadfile", "notebooks/*.ipynb"),),
    ),
    Stage("homework", "exercises solved and unsolved", (("-m", "tools.notebooks", "homework"),)),
    Stage("slides", "decks", (("-m", "tools.notebooks", "slides"),)),
    Stage("smoke", "the command line, once through", (("-m", "tools.smoke"),)),
)
GROUPS = {
    "check": ("lint", "types", "corpora", "unit"),
    "test": tuple(stage.name for stage in STAGES),
}


def cut_environment() -> dict[str, str]:
    """Return the variables of a stage: the network cut, one thread, no colour, no download."""
    env = dict(os.environ)
    offline = str(ROOT / "tools" / "offline")
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (offline, env.get("PYTHONPATH"))))
    env["PATH"] = os.pathsep.join((str(environment.BIN), env.get("PATH", "")))
    env.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", NO_COLOR="1")
    env.setdefault("TQDM_MININTERVAL", "10")  # a log is no terminal: few lines of a progress bar
    env.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    return env


def expand(argument: str) -> list[str]:
    """Return the files that a pattern stands for; an argument without `*` stands for itself.

    Behind an @ stands a marker of pytest: only files that use it (to collect all tests takes long).
    """
    if "*" not in argument:
        return [argument]
    pattern, _, marker = argument.partition("@")
    paths = [path for path in ROOT.glob(pattern) if not marker or _uses(path, marker)]
    return sorted(str(path.relative_to(ROOT)) for path in paths)


def _uses(path: Path, marker: str) -> bool:
    return re.search(rf"\bmark\.{marker}\b", path.read_text(encoding="utf-8")) is not None


def run_command(python: Path | str, arguments: Sequence[str]) -> tuple[int, str | None]:
    """Run one command, its lines passed on as they come.

    Returns:
        The exit status, and the last line by which pytest closes (None for other commands).
    """
    print("$ python " + " ".join(arguments), flush=True)
    arguments = [name for given in arguments for name in expand(given)]
    closing = None
    with subprocess.Popen(
        [str(python), *arguments],
        cwd=ROOT,
        env=cut_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if CLOSING.match(line) and "pytest" in arguments:
                closing = line.rstrip()
    return process.returncode, closing


def run_stage(stage: Stage, python: Path | str) -> tuple[bool, float, list[str]]:
    """Run the commands of a stage; return (passed, seconds, closing lines of pytest)."""
    print(f"\n== {stage.name}: {stage.title}", flush=True)
    start, passed = time.time(), True
    closings: list[str] = []
    for arguments in stage.commands:
        status, closing = run_command(python, arguments)
        if status:
            print(f"-- ended with status {status}", flush=True)
        passed = passed and status == 0
        closings += [closing] if closing else []
    return passed, time.time() - start, closings


def report(rows: Sequence[tuple[str, bool, float, list[str]]]) -> int:
    """Print the table of seconds, then the closing lines of pytest with the unit tests last."""
    print("\n== seconds by stage")
    for name, passed, seconds, _ in rows:
        print(f"{seconds:8.1f}  {name:12} {'passed' if passed else 'FAILED'}")
    print(f"{sum(row[2] for row in rows):8.1f}  in all")
    for name, _, _, closings in sorted(rows, key=lambda row: row[0] == "unit"):
        for line in closings:
            print(f"{name}:")
            print(line)
    failed = [name for name, passed, _, _ in rows if not passed]
    print("make: every stage passed" if not failed else "make: failed: " + " ".join(failed))
    return 1 if failed else 0


def main() -> int:
    """Parse the command line, run the stages, return the exit status."""
    known = {stage.name: stage for stage in STAGES}
    parser = argparse.ArgumentParser(description="run the stages of `make test`")
    parser.add_argument("names", nargs="+", choices=[*known, *GROUPS], metavar="stage")
    parser.add_argument("--here", action="store_true", help="use this Python, install nothing")
    args = parser.parse_args()
    names = [name for given in args.names for name in GROUPS.get(given, (given,))]
    python: Path | str = sys.executable
    rows: list[tuple[str, bool, float, list[str]]] = []
    if not args.here:
        environment.require_python()
        python, seconds = environment.ensure(test=True)
        rows.append(("environment", True, seconds, []))
    for name in names:
        rows.append((name, *run_stage(known[name], python)))
    return report(rows)


if __name__ == "__main__":
    sys.exit(main())

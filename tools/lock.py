"""Make requirements.txt and requirements-test.txt from the short lists beside them.

    python -m tools.lock           everything afresh, as new as it can be
    python -m tools.lock --keep    what is pinned stays pinned; only what is new in a list is added

Two installs into a throw-away environment: first requirements.in, then requirements-test.in with
the first lock as a constraint, so that the second never contradicts it. What pip resolved is
written down, with local tags such as +cpu removed, so that the same line fits a CPU and a CUDA
build. Packages that only Windows or macOS or CUDA needs are left to pip.
Make it with the oldest Python of the course (3.11): a pin that 3.11 accepts is one that later ones
accept too, while the reverse need not hold.
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = "# Made by `python -m tools.lock` from {source}. Edit that file, not this one.\n"


def parse_pins(text: str) -> dict[str, str]:
    """Read `name==version` lines into {normalised name: version}; comments and `-r` are skipped."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    pins = dict(line.split("==", 1) for line in lines if "==" in line)
    return {name.lower().replace("_", "-"): version for name, version in pins.items()}


def freeze(python: Path) -> dict[str, str]:
    """Return what is installed, {name: version}, without pip itself and local version tags."""
    command = [python, "-m", "pip", "freeze", "--all"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    pins = {name: version.split("+")[0] for name, version in parse_pins(text).items()}
    return {name: pins[name] for name in sorted(pins) if name != "pip"}


def lock(keep: bool = False) -> None:
    """Resolve both lists and write both locks.

    Args:
        keep: take the pins of the present locks as constraints, so that no version moves.
    """
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet"]
        if keep:
            pip += ["-c", present_pins(Path(folder))]
        subprocess.run([*pip, "-r", ROOT / "requirements.in"], check=True)
        run = freeze(python)
        write("requirements.txt", "requirements.in", "", run)
        constraint = ["-c", ROOT / "requirements.txt"]
        subprocess.run([*pip, "-r", ROOT / "requirements-test.in", *constraint], check=True)
        test = {name: pin for name, pin in freeze(python).items() if name not in run}
        write("requirements-test.txt", "requirements-test.in", "-r requirements.txt\n", test)


def present_pins(folder: Path) -> Path:
    """Write the pins of both present locks into one file of constraints."""
    pins: dict[str, str] = {}
    for name in ("requirements.txt", "requirements-test.txt"):
        pins |= parse_pins((ROOT / name).read_text())
    path = folder / "constraints.txt"
    path.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
    return path


def write(target: str, source: str, extra: str, pins: dict[str, str]) -> None:
    """Write one lock."""
    lines = "".join(f"{name}=={version}\n" for name, version in pins.items())
    (ROOT / target).write_text(HEAD.format(source=source) + extra + lines)
    print(f"{target}: {len(pins)} packages")


if __name__ == "__main__":
    sys.exit(lock(keep="--keep" in sys.argv[1:]))

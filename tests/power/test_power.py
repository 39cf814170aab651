"""Do the tests notice bugs? Each planted bug is put into a copy of the code, and tested.

The lists are the files bugs_*.py beside this one, a file for a room (or two). That every bug still
fits the code is checked in each `pytest`; the bugs themselves are tried by hand, in under an
hour of one core, or one room in a few minutes:

    pytest -m slow tests/power -s
    pytest -m slow tests/power -s -k bugs_model
"""

import collections
import functools
import hashlib
import json
import os
import platform
import runpy
import shutil
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "data" / "results" / "test_power" / "summary.json"
SECONDS_A_BUG = 180  # tests that take longer hang because of the bug, which counts as caught
SHARE_CAUGHT = 0.95  # design.md
FAILED, PASSED = 1, 0  # exit statuses of pytest; all others mean that nothing was tested
NOT_COPIED = (".git", ".*_cache", ".venv", "__pycache__", "node_modules", "runs", "work")

WITNESS = """\
from pathlib import Path

import minillm
import tools

for package in (minillm, tools):
    assert Path(package.__file__).is_relative_to(Path(__file__).parent), package.__file__
"""

Bug = collections.namedtuple("Bug", "file old new wrong tests")


def planted(path):
    """The bugs of one list, with whole paths."""
    listed = runpy.run_path(str(path))
    where, tests = Path(listed["ROOM"]), Path(listed["TESTS"])
    for file, old, new, wrong, test in listed["BUGS"]:
        yield Bug((where / file).as_posix(), old, new, wrong, (tests / test).as_posix())


ROOMS = {p.stem: list(planted(p)) for p in sorted(Path(__file__).parent.glob("bugs_*.py"))}
ALL = [
    pytest.param(room, bug, id=f"{room}-{n:02}-{Path(bug.file).stem}")
    for room, bugs in ROOMS.items()
    for n, bug in enumerate(bugs)
]


def with_bug(text, bug):
    """The code with the bug in it; the list is stale if the old text is not there once."""
    found = text.count(bug.old)
    if found != 1:
        raise ValueError(
            f"{bug.file} holds {found} times, not once, the text {bug.old!r}; "
            f"put the bug '{bug.wrong}' into tests/power anew"
        )
    return text.replace(bug.old, bug.new)


@pytest.mark.parametrize(("room", "bug"), ALL)
def test_bug_fits_the_code(room, bug):
    text = (ROOT / bug.file).read_text(encoding="utf-8")
    changed = with_bug(text, bug)
    assert changed != text
    compile(changed, bug.file, "exec")  # a bug, not a slip of the pen
    assert (ROOT / bug.tests.split("::")[0]).is_file()


def test_stale_bugs_are_told():
    bug = Bug("a.py", "x = 1", "x = 2", "two for one", "tests/test_a.py")
    assert with_bug("x = 1\n", bug) == "x = 2\n"
    for text, found in (("x = 3\n", 0), ("x = 1\nx = 1\n", 2)):
        with pytest.raises(ValueError, match=f"a.py holds {found} times.*two for one"):
            with_bug(text, bug)


def test_every_room_has_ten_bugs():
    assert len(ROOMS) == 41
    for room, bugs in ROOMS.items():
        assert len(bugs) >= 10, room
        assert len(set(bugs)) == len(bugs), room


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The repository once more, with a witness that its tests test the copy."""
    place = tmp_path_factory.mktemp("power") / "copy"
    shutil.copytree(ROOT, place, ignore=shutil.ignore_patterns(*NOT_COPIED))
    (place / "conftest.py").write_text(WITNESS, encoding="utf-8")
    (place / "commit").write_text(commit(), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def run(copy):
    """A function that runs pytest over a file of the copy: status, why, seconds."""
    if not hasattr(os, "fork"):
        pytest.skip("needs a system that can fork a process")
    log = copy.parent / "log"
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    trial = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("trial.py")],
        cwd=copy,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def status_of(tests):
        shutil.rmtree(copy / ".hypothesis", ignore_errors=True)  # no example of another bug
        start = time.monotonic()
        print(json.dumps([str(copy), tests, str(log), SECONDS_A_BUG]), file=trial.stdin, flush=True)
        status = json.loads(trial.stdout.readline())
        seconds = time.monotonic() - start
        if status is None:
            return FAILED, f"no end after {SECONDS_A_BUG} s", seconds
        if status < 0:  # the bug brought Python down
            return FAILED, f"ended by signal {-status}", seconds
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""]
        why = next((line for line in lines if line.startswith(("FAILED", "ERROR"))), lines[-1])
        return status, why, seconds

    yield status_of
    trial.stdin.close()
    trial.wait()
    trial.stdout.close()


def put(copy, file, text):
    """Write code without leaving what was compiled from the code before."""
    path = copy / file
    path.write_text(text, encoding="utf-8")
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()


def commit():
    """The commit that was tested, with a plus if files had been changed since."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
    dirty = subprocess.run(
        [*git, "status", "--porcelain", "minillm", "tools", "tests"], capture_output=True, text=True
    )
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def name_of(bug):
    """A name that changes with the bug, so that a changed bug has to be tried again."""
    digest = hashlib.sha256("\0".join((bug.old, bug.new, bug.tests)).encode()).hexdigest()
    return f"{bug.file}: {bug.wrong} ({digest[:6]})"


def read_tried():
    """Name of a bug -> whether it was caught, and at which commit, as far as it was tried."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))["tried"] if RESULTS.is_file() else {}


def record(found):
    """Write the results, with those found earlier; bugs that are no more are forgotten."""
    known = read_tried() | found
    tried = {name_of(b): known[name_of(b)] for b in chain(*ROOMS.values()) if name_of(b) in known}
    rooms = {}
    for room, bugs in ROOMS.items():
        rows = [tried[name_of(bug)] for bug in bugs if name_of(bug) in tried]
        rooms[room] = {"bugs": len(bugs), "tried": len(rows)}
        rooms[room]["caught"] = sum(row["caught"] for row in rows)
    told = {
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "all": {key: sum(row[key] for row in rooms.values()) for key in rooms["bugs_data"]},
        "rooms": rooms,
        "survivors": [name for name, row in tried.items() if not row["caught"]],
        "tried": tried,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def clean(run):
    """The same for the code without a bug, once a file: else no failure is the bug's."""
    return functools.cache(run)


@pytest.mark.slow
@pytest.mark.parametrize(("room", "bug"), ALL)
def test_bug_is_tried(room, bug, copy, run, clean):
    status, why, _ = clean(bug.tests)
    assert status == PASSED, f"the tests fail without the bug: {why}"
    text = (copy / bug.file).read_text(encoding="utf-8")
    put(copy, bug.file, with_bug(text, bug))
    try:
        status, why, seconds = run(bug.tests)
    finally:
        put(copy, bug.file, text)
    assert status in (PASSED, FAILED), f"nothing was tested: {why}"
    at = (copy / "commit").read_text(encoding="utf-8")
    record({name_of(bug): {"caught": status == FAILED, "commit": at}})
    word = "caught  " if status == FAILED else "SURVIVED"
    print(f"\n{word} {seconds:5.1f} s  {bug.file}: {bug.wrong}\n         {why[:150]}", flush=True)


@pytest.mark.slow
def test_harmless_change_survives(copy, run):
    """Or else whatever is tried would count as caught."""
    bug = next(bug for bug in ROOMS["bugs_objectives"] if bug.file.endswith("causal.py"))
    text = (copy / bug.file).read_text(encoding="utf-8")
    put(copy, bug.file, text + "\nHARMLESS = True\n")
    try:
        status, why, _ = run(bug.tests)
    finally:
        put(copy, bug.file, text)
    assert status == PASSED, why


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS)
def test_share_caught(room):
    """Of all bugs of a room, those tried in an earlier run among them."""
    tried = read_tried()
    if any(name_of(bug) not in tried for bug in ROOMS[room]):
        pytest.skip("not all bugs of this room were tried")
    survivors = [bug for bug in ROOMS[room] if not tried[name_of(bug)]["caught"]]
    share = 1 - len(survivors) / len(ROOMS[room])
    print(f"\n{room}: {share:.0%} of {len(ROOMS[room])} bugs caught", flush=True)
    assert share >= SHARE_CAUGHT, [f"{bug.file}: {bug.wrong}" for bug in survivors]

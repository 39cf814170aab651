"""The Makefile offers the agreed targets, and a failure of any stage is a failure of the whole."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import stages

ROOT = Path(__file__).resolve().parents[1]
TARGETS = [
    "help",
    "lab",
    "test",
    "check",
    "unit",
    "lint",
    "types",
    "dist",
    "notebooks",
    "nbval",
    "slides",
    "homework",
    "smoke",
    "bench",
    "base-tiny",
    "base",
    "chat-model",
    "records",
    "gpu",
    "solutions",
    "reset",
    "clean",
]
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


def make(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = ["make", f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**clean, **more}, capture_output=True, text=True, timeout=600
    )


@needs_make
def test_help_lists_exactly_the_agreed_targets():
    done = make("help")
    assert [line.split()[1] for line in done.stdout.splitlines()] == TARGETS
    assert all(len(line.split()) > 3 for line in done.stdout.splitlines())  # each with a sentence


@needs_make
def test_make_alone_prints_the_help():
    assert make().stdout == make("help").stdout


def test_every_target_is_phony():
    """A file called `test` or `data` must not switch a target off."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (phony,) = re.findall(r"^\.PHONY:(.*)$", text, re.MULTILINE)
    assert phony.split() == TARGETS


@needs_make
@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_expanded(target):
    done = make("--dry-run", target, "L=06")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@needs_make
def test_targets_reach_what_they_name():
    assert "tools.lab" in make("-n", "lab").stdout
    assert 'tools.lab reset "06"' in make("-n", "reset", "L=06").stdout
    for name in ("test", "check", "unit", "lint", "types", "dist", "slides", "homework", "smoke"):
        assert make("-n", name).stdout.strip().endswith(f"tools/stages.py {name}")


@needs_make
def test_base_trains_small_unless_another_is_named():
    assert "-m minillm.recipes base --name small" in make("-n", "base").stdout
    assert "-m minillm.recipes base --name medium" in make("-n", "base", "NAME=medium").stdout


@needs_make
def test_clean_leaves_the_learners_work():
    lines = make("-n", "clean").stdout
    removed = lines.split("rm -rf")[1].splitlines()[0].split()
    assert not {"work", "work/", "runs", "runs/", "data", "notebooks"} & set(removed)
    assert "-not -path './work/*'" in lines


def test_a_bare_python_is_enough_to_start():
    """`make lab` and `make test` begin before anything is installed: no import may be missing."""
    for program in ("environment", "stages"):
        command = [sys.executable, "-I", "-S", f"tools/{program}.py", "--help"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr


# --- stages


def test_the_stages_of_make_test_are_the_agreed_ones_in_order():
    wanted = "lint types floors corpora unit dist notebooks nbval homework slides smoke"
    assert " ".join(stages.GROUPS["test"]) == wanted
    assert set(stages.GROUPS["check"]) < set(stages.GROUPS["test"])


def stage(*programs: str) -> stages.Stage:
    return stages.Stage("made-up", "a stage of the test", tuple(("-c", code) for code in programs))


@pytest.mark.parametrize(
    ("programs", "wanted"),
    [
        (("print(1)", "print(2)"), True),
        (("import sys; sys.exit(3)", "print(2)"), False),
        (("print(1)", "import sys; sys.exit(3)"), False),
        (("import os; os.abort()", "print(2)"), False),
    ],
)
def test_a_stage_passes_only_if_all_its_commands_do(programs, wanted, capsys):
    passed, seconds, closings = stages.run_stage(stage(*programs), sys.executable)
    assert passed is wanted
    assert seconds > 0
    assert closings == []
    if programs[-1] == "print(2)":  # a failure does not hide what comes after it
        assert "\n2\n" in capsys.readouterr().out


def test_one_failed_stage_fails_the_whole_and_is_named(capsys):
    rows = [("unit", True, 2.0, ["3 passed in 1.00s"]), ("slides", True, 1.0, [])]
    assert stages.report(rows) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "make: every stage passed"
    assert stages.report([*rows, ("nbval", False, 1.0, ["1 failed in 1.00s"])]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "make: failed: nbval"
    assert lines[-2] == "3 passed in 1.00s"  # pytest's own line, the unit tests' last
    assert "1 failed in 1.00s" in lines
    assert "     4.0  in all" in lines


def test_the_closing_line_of_pytest_is_kept(tmp_path):
    path = tmp_path / "test_made_up.py"
    path.write_text("def test_a(): pass\ndef test_b(): assert 0\n")
    config = ["-c", str(tmp_path / "none.ini"), f"--rootdir={tmp_path}"]
    (tmp_path / "none.ini").write_text("[pytest]\n")
    for quiet in (["-q"], []):
        command = ("-m", "pytest", *quiet, *config, "-p", "no:cacheprovider", str(path))
        status, closing = stages.run_command(sys.executable, command)
        assert status == 1
        assert re.fullmatch(r"(=+ )?1 failed, 1 passed in [\d.]+s( =+)?", str(closing))


@pytest.mark.parametrize(
    ("line", "is_closing"),
    [
        ("12 passed, 3 skipped in 4.56s", True),
        ("===== 1 failed, 2 passed in 0.10s =====", True),
        ("no tests ran in 0.01s", True),
        ("1 error in 0.2s", True),
        ("3 stories told", False),
        ("FAILED tests/x.py::test_y - 2 passed", False),
    ],
)
def test_what_counts_as_a_closing_line(line, is_closing):
    assert bool(stages.CLOSING.match(line)) is is_closing


def test_a_pattern_stands_for_the_files_it_matches():
    assert stages.expand("tests/test_make*.py") == ["tests/test_makefile.py"]
    assert stages.expand("tests") == ["tests"]


def test_the_files_of_a_marker_are_found():
    found = stages.expand("tests/**/test_*.py@dist")
    assert "tests/train/test_kill.py" in found
    assert "tests/test_makefile.py" not in found


# --- .ci/run


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
@pytest.mark.parametrize("status", [0, 7])
def test_ci_is_the_same_command_and_keeps_its_status(tmp_path, status):
    fake = tmp_path / "make"
    fake.write_text(f'#!/bin/sh\necho "make $@ in $(pwd)"\nexit {status}\n')
    fake.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [str(ROOT / ".ci" / "run")], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == status
    assert done.stdout == f"make test in {ROOT}\n"

"""The smoke run passes good commands, and fails for a traceback, silence, or too many words."""

import subprocess

import pytest

from tools import smoke


def answer(monkeypatch, status=0, out="", err=""):
    done = subprocess.CompletedProcess(["python"], status, out, err)
    monkeypatch.setattr(smoke, "call", lambda arguments, folder: done)


@pytest.mark.parametrize(
    ("status", "out", "wanted"), [(0, "a plan\n", True), (0, " \n", False), (1, "a plan\n", False)]
)
def test_a_good_command_ends_well_and_says_something(monkeypatch, capsys, status, out, wanted):
    answer(monkeypatch, status, out)
    assert smoke.judge(("plan", "laptop"), True, ".") is wanted
    assert capsys.readouterr().out.startswith("ok" if wanted else "FAIL")


@pytest.mark.parametrize(
    ("status", "err", "wanted"),
    [
        (2, "minillm: no recipe 'x'; there are laptop\n", True),
        (0, "minillm: no recipe 'x'; there are laptop\n", False),  # a mistake must not pass
        (2, "", False),
        (1, "Traceback (most recent call last):\nValueError: x\n", False),
        (2, "one line\nanother line\n", False),
    ],
)
def test_a_bad_command_fails_with_one_line(monkeypatch, capsys, status, err, wanted):
    answer(monkeypatch, status, "", err)
    assert smoke.judge(("plan", "x"), False, ".") is wanted
    if wanted:
        assert "minillm: no recipe 'x'" in capsys.readouterr().out


def test_the_exit_status_counts_the_surprises(monkeypatch):
    answer(monkeypatch, 0, "fine")
    assert smoke.main() == len(smoke.BAD)
    answer(monkeypatch, 2, "", "one line")
    assert smoke.main() == len(smoke.GOOD)


def test_a_command_really_runs(tmp_path):
    done = smoke.call(("--help",), str(tmp_path))
    assert done.returncode == 0
    assert "train" in done.stdout

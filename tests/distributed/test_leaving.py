"""A rank ends before Python tidies up, which is when a late thread of gloo would abort it.

(That abort came in one of about forty runs of two ranks: too rare to be a test.)
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def program(body, **env):
    return subprocess.run(
        [sys.executable, "-c", body],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


ENDS = """
import atexit, sys, threading, time
from minillm.distributed.leaving import leaving_at_once

class Kept:
    def __del__(self, say=print):
        say("tidied up")


def slow():
    time.sleep(0.2)
    print("thread")


kept = Kept()
atexit.register(print, "atexit")
with leaving_at_once():
    threading.Thread(target=slow).start()
    sys.stdout.write("printed ")
    END
print("behind")
"""


@pytest.mark.parametrize(
    ("end", "status", "words"),
    [
        ("pass", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(2)", 2, ""),
        ("sys.exit('bad x')", 1, "bad x\n"),
    ],
)
def test_nothing_asked_for_is_lost_and_the_status_is_kept(end, status, words):
    done = program(ENDS.replace("END", end), RANK="0")
    assert (done.returncode, done.stderr) == (status, words)
    assert done.stdout == "printed thread\natexit\n"


def test_an_error_is_told_as_ever():
    done = program(ENDS.replace("END", "raise ValueError('bad x')"), RANK="0")
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: bad x\n")
    assert done.stdout == "printed thread\natexit\ntidied up\n"


def test_without_torchrun_the_program_goes_on(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    done = program(ENDS.replace("END", "pass"))
    assert (done.returncode, done.stdout) == (0, "printed behind\nthread\natexit\ntidied up\n")
    assert program(ENDS.replace("END", "sys.exit(2)")).returncode == 2

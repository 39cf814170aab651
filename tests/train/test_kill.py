"""kill -9 at chosen and at random moments: never a broken checkpoint, and the same losses after."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minillm.train import has_checkpoint, load_checkpoint, read_metrics

PROGRAM = Path(__file__).with_name("killed_run.py")
STEPS, SAVE_EVERY = 12, 2
pytestmark = [
    pytest.mark.dist,
    pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL"),
]

draw = random.Random(20261121)
MOMENTS = [
    ("step", draw.randint(SAVE_EVERY + 1, STEPS)),
    ("save", draw.randint(3, 10)),  # two files of tensors a save, so in its second to fifth
    ("rename", 2 * draw.randint(1, 5) + 1),  # odd numbers: the old one has just been moved away
]


def start(folder, moment="none", number=0):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROGRAM.parent)}
    command = [sys.executable, str(PROGRAM), str(folder), moment, str(number)]
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, words = process.communicate(timeout=600)
    assert process.returncode in (0, -signal.SIGKILL), words
    return process.returncode


def curve(folder):
    return [
        (r["step"], r["loss"], r["grad_norm"], r["lr"])
        for r in read_metrics(folder / "metrics.jsonl")
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert finish(start(folder)) == 0
    assert [point[0] for point in curve(folder)] == list(range(1, STEPS + 1))
    return curve(folder)


def check_after_kill(folder, undisturbed):
    """What is there is whole and recent; going on gives the losses of the undisturbed run."""
    reached = curve(folder)[-1][0] if curve(folder) else 0
    if has_checkpoint(folder / "last"):
        step = load_checkpoint(folder / "last").state["step"]  # every hash is checked
        assert reached - step <= SAVE_EVERY
    else:
        assert reached <= SAVE_EVERY  # killed before the first save was complete
    assert finish(start(folder)) == 0
    assert curve(folder) == undisturbed  # bit for bit
    assert sorted(os.listdir(folder)) == ["last", "metrics.jsonl"]  # nothing is left lying about


@pytest.mark.parametrize(("moment", "number"), MOMENTS, ids=[m for m, _ in MOMENTS])
def test_kill_at_a_chosen_moment(moment, number, tmp_path, undisturbed):
    assert finish(start(tmp_path, moment, number)) == -signal.SIGKILL
    if moment == "rename":
        assert not (tmp_path / "last").exists()  # the very moment between the two renames
    check_after_kill(tmp_path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["step", "save", "rename"])
def test_kill_at_every_moment(moment, tmp_path, undisturbed):
    n_moments = {"step": STEPS, "save": STEPS, "rename": STEPS - 1}[moment]
    for number in range(1, n_moments + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert finish(start(folder, moment, number)) == -signal.SIGKILL
        check_after_kill(folder, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_kill_from_outside_at_a_random_moment(seed, tmp_path, undisturbed):
    process = start(tmp_path)
    metrics = tmp_path / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.001)
    time.sleep(random.Random(seed).uniform(0, 0.3))
    process.kill()
    finish(process)
    check_after_kill(tmp_path, undisturbed)

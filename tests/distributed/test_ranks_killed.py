"""torchrun with restarts: ranks are killed by SIGKILL, and the run ends as if nothing had been."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from minillm.distributed.sealed import checkpoints, find_whole
from minillm.train import read_metrics

PROGRAM = Path(__file__).with_name("killed_ranks.py")
FORKED = Path(__file__).with_name("fsdp_program.py")
STEPS, SAVE_EVERY = 14, 2
pytestmark = [
    pytest.mark.dist,
    pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL"),
]

draw = random.Random(20261127)
THREE = [  # moment, rank, the how-manieth of its kind since the last start
    ("step", 1, draw.randint(3, 5)),
    ("save", 0, draw.randint(1, 2)),
    ("rename", 0, draw.randint(1, 2)),
]


def torchrun(folder, kills):
    """Run to the end with so many restarts; what the ranks have printed is returned."""
    words = [str(word) for kill in kills for word in kill]
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("--max-restarts", str(len(kills)), "--monitor-interval", "0.1"),
        *(str(PROGRAM), str(folder), *words),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = subprocess.Popen(command, env=environment, **pipes)
    try:
        out, errors = started.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        started.terminate()  # not kill: torchrun then ends its ranks, too
        out, errors = started.communicate(timeout=60)
        pytest.fail(f"torchrun took more than 600 s: {errors[-3000:]}")
    assert started.returncode == 0, errors[-3000:]
    return out + errors


def curve(folder):
    return [(r["step"], r["loss"], r["grad_norm"]) for r in read_metrics(folder / "metrics.jsonl")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(FORKED), str(folder), "undisturbed2"]
    subprocess.run(command, env=environment, timeout=300, check=True)
    assert [step for step, *_ in curve(folder)] == list(range(1, STEPS + 1))
    return curve(folder), parts(folder)


def parts(folder):
    """All weights and moments of the last checkpoint, to the last bit.

    Not the files: safetensors writes the entries of their headers in no fixed order.
    """
    files = sorted(checkpoints(folder)[-1].glob("*.safetensors"))
    assert len(files) == 2
    return [{key: x.numpy().tobytes() for key, x in load_file(file).items()} for file in files]


def check(folder, kills, undisturbed):
    told = torchrun(folder, kills)
    assert told.count("kills itself") == len(kills)
    assert curve(folder) == undisturbed[0]
    assert parts(folder) == undisturbed[1]
    assert find_whole(folder) == folder / f"step-{STEPS:08d}"
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["metrics.jsonl", "step-00000012", "step-00000014"]


def test_three_kills_in_one_run(tmp_path, undisturbed):
    check(tmp_path, THREE, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_kills_at_random_moments(seed, tmp_path, undisturbed):
    chance = random.Random(seed)
    moment = chance.choice(["step", "step", "save", "rename"])
    rank = chance.randint(0, 1) if moment == "step" else 0
    number = chance.randint(1, STEPS if moment == "step" else STEPS // SAVE_EVERY)
    check(tmp_path, [(moment, rank, number)], undisturbed)

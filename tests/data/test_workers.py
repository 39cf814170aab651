"""Workers read ahead without changing a batch; killed and resumed, the run reads the same."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from minillm.data.loader import BatchSampler
from minillm.data.shard import TokenShard
from minillm.data.workers import WorkerLoader

PROGRAM = Path(__file__).with_name("killed_loader.py")
pytestmark = pytest.mark.dist
no_kill = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")


@pytest.fixture(scope="module")
def program():
    """The program as a module that worker processes can import by name."""
    spec = importlib.util.spec_from_file_location("killed_loader", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    sys.modules["killed_loader"] = module
    sys.path.insert(0, str(PROGRAM.parent))
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(PROGRAM.parent))
    del sys.modules["killed_loader"]


@pytest.fixture
def folder(tmp_path):
    """Two shards, of two and of four bytes a token."""
    rng = np.random.default_rng(0)
    for name, n, size in (("a", 2_001, 50_000), ("b", 301, 90_000)):
        tokens = rng.integers(0, size, n)
        TokenShard.write(tmp_path / name, tokens, vocab_size=size, tokenizer="t", source="s")
    return tmp_path


def read(loader, n):
    return [loader.take().tolist() for _ in range(n)]


@pytest.mark.parametrize("n_workers", [1, 3])
def test_the_order_does_not_depend_on_the_number_of_workers(program, folder, n_workers):
    make = partial(program.make_sampler, folder)
    wanted = read(make(), 20)
    with WorkerLoader(make, n_workers) as loader:
        assert read(loader, 7) == wanted[:7]
        state = loader.state_dict()
        assert state["n_served"] == 42  # what was taken, not what was made ahead
        assert read(loader, 4) == wanted[7:11]
        loader.load_state_dict(state)  # back, and on again
        assert read(loader, 13) == wanted[7:]
        x, y = next(loader)
        assert torch.equal(x[:, 1:], y[:, :-1])
        assert x.shape == (6, 8)
    alone = make()
    alone.load_state_dict(state)
    assert read(alone, 4) == wanted[7:11]


def test_no_workers_read_here():
    make = partial(BatchSampler, np.arange(99), 2, 4, seed=1)
    loader, sampler = WorkerLoader(make, 0), make()
    for _ in range(5):
        assert torch.equal(next(iter(loader))[0], next(sampler)[0])
    assert loader.state_dict() == sampler.state_dict()
    with pytest.raises(ValueError, match="n_workers must be 0 or more, got -1"):
        WorkerLoader(make, -1)


@no_kill
def test_a_dead_worker_is_named_and_a_broken_one_tells_why(program, folder):
    with WorkerLoader(partial(program.make_sampler, folder), 1) as loader:
        first = read(loader, 1)
        os.kill(loader._workers[0][0].pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match=r"data worker 0 of 1: it has died \(exit code -9\)"):
            read(loader, 10_000)
        at = loader.state_dict()["n_served"] // 6
        assert at >= 1
        again = program.make_sampler(folder)
        wanted = read(again, at + 1)
        assert first == wanted[:1]
        assert read(loader, 1) == wanted[at:]  # it can go on, with new workers
    with WorkerLoader(partial(program.broken_sampler, folder), 1) as loader:
        with pytest.raises(RuntimeError, match="worker 0 of 1: OSError: the disk is gone"):
            read(loader, 9)
        assert loader.state_dict()["n_served"] == 18


def start(folder, *told):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), str(folder), *map(str, told)]
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, words = process.communicate(timeout=600)
    assert process.returncode in (0, -signal.SIGKILL), words
    return process.returncode


@no_kill
@pytest.mark.parametrize(("n_workers", "kill_at"), [(0, 7), (2, 10)])
def test_kill_9_and_resume_reads_what_the_undisturbed_run_reads(
    program, folder, n_workers, kill_at
):
    wanted = read(program.make_sampler(folder), 20)
    assert finish(start(folder, n_workers, 20, kill_at)) == -signal.SIGKILL
    note = folder / "read-0.txt"
    assert len(note.read_text().splitlines()) == kill_at
    assert finish(start(folder, 1 - min(1, n_workers), 20, -1)) == 0  # with other workers
    lines = [list(map(int, line.split())) for line in note.read_text().splitlines()]
    assert lines == [np.ravel(batch).tolist() for batch in wanted]


@no_kill
def test_workers_end_when_the_training_is_killed(program, folder):
    """The pipe breaks, so nobody is left reading a corpus for a run that is gone."""
    process = start(folder, 2, 10**9, -1)
    note = folder / "read-0.txt"
    while not (note.exists() and note.stat().st_size):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    mine = children(process.pid)
    assert len(mine) >= 2
    process.kill()
    process.communicate(timeout=600)
    for _ in range(600):
        if not any(Path(f"/proc/{pid}").exists() for pid in mine):
            break
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in mine)


def children(pid):
    if not Path("/proc").is_dir():
        pytest.skip("this system has no /proc to look at processes")
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_as_processes_read_what_one_reads(program, folder, world_size):
    wanted = read(program.make_sampler(folder), 6)
    processes = [
        start(folder, 0, 2, -1, 6 // world_size, rank, world_size) for rank in range(world_size)
    ]  # two batches: before the first state is written
    assert [finish(p) for p in processes] == [0] * world_size
    notes = [(folder / f"read-{rank}.txt").read_text() for rank in range(world_size)]
    parts = [[list(map(int, line.split())) for line in note.splitlines()] for note in notes]
    together = [[n for part in parts for n in part[k]] for k in range(2)]
    assert together == [np.ravel(batch).tolist() for batch in wanted[:2]]

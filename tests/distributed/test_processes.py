"""Processes: gloo's own collectives as the reference, what is shown, and ranks that fail.

A process costs a fork of a server that has imported torch: the first test pays for the server.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from minillm.distributed.launch import RankError
from minillm.distributed.processes import ProcessGroup, run_processes
from tests.distributed import process_work as work

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.dist,
    pytest.mark.skipif(os.name == "nt", reason="run_processes is for Linux and macOS"),
]


@pytest.mark.parametrize("size", [2, 4])
def test_collectives_are_those_of_gloo(size):
    """HWC-008, and the ring's volume on real processes."""
    for told, n_bytes in run_processes(size, work.against_gloo):
        assert all(told.values()), told
        assert n_bytes > 0


def test_every_dtype_travels():
    assert run_processes(2, work.all_types) == [[True] * 13] * 2


def test_both_send_before_they_receive():
    """A megabyte does not fit into a socket: with send, both would wait for ever."""
    assert run_processes(2, work.send_first) == [[1.0, 2**18, 2**20], [0.0, 2**18, 2**20]]


def test_results_and_output_come_back():
    lines = []
    results = run_processes(3, work.talk, echo=lines.append)
    assert [r["rank"] for r in results] == [0, 1, 2]
    assert [r["tensor"].tolist() for r in results] == [[0, 0], [1, 1], [2, 2]]
    assert results[0]["tensor"].dtype == torch.bfloat16
    expected = [f"[rank {r}] {t}" for r in range(3) for t in (f"hello from {r}", "no end of line")]
    assert sorted(lines) == sorted(expected)
    run_processes(1, work.talk, echo=None)  # quiet


@pytest.mark.parametrize(
    ("program", "rank", "words"),
    [
        (work.killed, 1, "rank 1 of 3 was killed by signal 9"),
        (work.exits, 2, r"rank 2 of 3 ended without a result \(exit status 7\)"),
        (work.raises, 0, "rank 0 of 3 failed:(.|\n)*KeyError: 'the reason'"),
    ],
)
def test_a_rank_that_dies_is_named_and_nothing_hangs(program, rank, words):
    """Long before the timeout: a broken connection is noticed at once."""
    with pytest.raises(RankError, match=words) as caught:
        run_processes(3, program, timeout=300)
    assert caught.value.rank == rank


def test_a_killed_rank_is_named_before_one_that_misses_it():
    with pytest.raises(RankError, match="rank 1 of 2 was killed by signal 9"):
        run_processes(2, work.missed)


def test_a_rank_that_hangs_is_named():
    """Rank 2 waits for it and says so; if rank 0 is a little faster, it waits for rank 2."""
    with pytest.raises(RankError, match=r"waited 2 s for rank [12]") as caught:
        run_processes(3, work.sleeps, timeout=2)
    assert caught.value.rank in (0, 2)
    silent = str(caught.value).splitlines()[-1]
    assert re.match(r"\(no word from rank .*1.*; it was ended\)", silent)


@pytest.mark.parametrize("n", [4, 4000])  # the larger is announced and sent apart
def test_other_shapes_are_told_and_do_not_end_the_process(n):
    with pytest.raises(RankError, match=r"sent \(\d+,\) float32 where rank \d expected \(\d+,\)"):
        run_processes(2, work.other_shape, n)


def test_what_cannot_be_sent():
    with pytest.raises(
        RankError, match=r"cannot send \(1,\) complex64: at most 8 axes, no complex"
    ):
        run_processes(2, work.complex_number)


NOTEBOOK = """
from minillm.distributed.processes import run_processes

def mine(group, factor):
    import torch
    from minillm.distributed.collectives import all_reduce
    print("from a cell", group.rank)
    return all_reduce(group, torch.ones(2) * factor).tolist()

def outer(n):
    def inner(group):
        return n
    return inner

if __name__ == "__main__":
    print(run_processes(2, mine, 3.0))
    try:
        run_processes(2, outer(1))
    except ValueError as error:
        print(error)
"""


def test_a_function_of_a_notebook(tmp_path):
    """It stands in __main__, which other processes cannot import: its source is sent."""
    path = tmp_path / "cells.py"
    path.write_text(NOTEBOOK)
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, env=env, cwd=tmp_path
    )
    lines = done.stdout.splitlines()
    assert sorted(lines[:2]) == ["[rank 0] from a cell 0", "[rank 1] from a cell 1"], done.stderr
    assert lines[2] == "[[6.0, 6.0], [6.0, 6.0]]"
    assert "inner uses n of the function around it" in lines[3]


def test_what_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="world size must be at least 1, got 0"):
        run_processes(0, work.talk)
    with pytest.raises(RuntimeError, match="no processes: start them with run_processes"):
        ProcessGroup()
    monkeypatch.setattr("minillm.distributed.processes.os.name", "nt")
    with pytest.raises(RuntimeError, match=r"works on Linux and macOS.*WSL 2, or use run_threads"):
        run_processes(2, work.talk)

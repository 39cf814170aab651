"""The sharded trainer on 1 to 4 processes: equal to the lesson's loop, to itself after a break, and
of one mind about what goes wrong. All processes run in one program, so that torch is imported once.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("fsdp_program.py")
TOGETHER = (  # jobs that one start of the program does
    ("lesson1", "curves2", "bfloat161", "bfloat162", "layouts4"),
    ("resume4", "resume2", "resume1", "same_ranks2", "trouble2", "stops2"),
    ("curves3", "curves4", "layouts2"),  # of tests that are slow
)
pytestmark = [
    pytest.mark.dist,
    pytest.mark.skipif(os.name == "nt", reason="needs os.fork; on Windows use WSL 2"),
]


class Found(dict):
    """What the jobs found, by name; they are done when a test asks for the first of a group."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def __missing__(self, job):
        (jobs,) = (each for each in TOGETHER if job in each)
        ended = subprocess.run(
            [sys.executable, str(PROGRAM), str(self.folder), *jobs],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr[-3000:]
        self.update({name: json.loads((self.folder / f"{name}.json").read_text()) for name in jobs})
        return self[job]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return Found(tmp_path_factory.mktemp("ranks"))


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


RANKS = ["curves2", slow("curves3"), slow("curves4")]


def gap(ours, theirs, which=0):
    assert len(ours) == len(theirs)
    return max(abs(a[which] - b[which]) for a, b in zip(ours, theirs, strict=True))


def test_one_process_equals_the_lesson_bit_for_bit(found):
    lesson = found["lesson1"]
    assert len(lesson["ours"]) == 20
    assert lesson["ours"] == lesson["lesson"]  # losses and gradient norms
    assert lesson["same_weights"]


@pytest.mark.parametrize("job", RANKS)
def test_ranks_equal_one_process(found, job):
    one, many = found["lesson1"], found[job]
    for name in sorted({name for name in many if name.endswith("64")}):
        assert gap(many[name], one[name]) <= 1e-9  # contracts.md
        assert gap(many[name], one[name], 1) <= 1e-9
    assert job == "curves4" or {"both64", "ramp64"} <= set(many)
    relative = [abs(a - b) / b for (a, _), (b, _) in zip(many["float32"], one["ours"], strict=True)]
    assert max(relative) <= 1e-5  # contracts.md
    assert gap(one["masked64"], one["float64"]) > 1e-3  # ... and another loss would be seen


@pytest.mark.parametrize("job", RANKS)
def test_the_start_does_not_depend_on_the_ranks(found, job):
    assert all(found[job]["start"].values())
    assert len(found[job]["start"]) > 10


@pytest.mark.parametrize("n", [2, slow(3), slow(4)])
def test_each_rank_holds_its_part(found, n):
    held = found[f"curves{n}"]["held"]
    whole = 2 * found["curves2"]["held"][0]
    assert found["curves2"]["held"] == [46_208, 46_208]  # what test_fit predicts
    assert sum(held) == whole  # nothing twice, nothing lost
    assert max(held) < 1.1 * whole / n  # 22 rows on 3 ranks: 8, 8 and 6


@pytest.mark.parametrize("n", [2, slow(3), slow(4)])
def test_tokens_of_all_ranks_are_counted(found, n):
    assert found[f"curves{n}"]["n_tokens"] == 2 * 12 * 8
    assert found["lesson1"]["n_tokens"] == 20 * 12 * 8


def test_a_recovery_goes_back_on_all_ranks(found):
    healed, one = found["curves2"]["healed64"], found["lesson1"]["healed64"]
    back = [entry for entry in healed if isinstance(entry[0], int)]
    assert len(back) == 1
    assert back[0] == next(entry for entry in one if isinstance(entry[0], int))
    assert "step-00000035" in found["curves2"]["marks"]  # written by both


def test_seconds_and_memory_are_logged(found):
    ninth, tenth = found["curves2"]["logged"]
    assert "memory" not in ninth
    assert list(tenth["memory"]) == ["0", "1"]
    held = sum(found["curves2"]["held"])
    assert held * 3 / 4 <= sum(tenth["memory"].values()) < held  # gradients are gone by then
    seconds = tenth["seconds"]
    assert {"data", "forward", "backward", "update", "talk"} <= set(seconds)
    assert seconds["talk"] < seconds["forward"] + seconds["backward"]
    assert tenth["tokens_per_second"] > 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_to_one_rank_stops_all(found, name):
    told = found["stops2"][name]
    assert told["ends"] == [[4, True, 8]] * 2
    undisturbed = found["stops2"]["undisturbed"]
    assert told["after"] == [[step, undisturbed[step - 1]] for step in range(5, 10)]


@pytest.mark.parametrize(
    ("job", "layout"),
    [
        *(slow("layouts2", name) for name in ("recompute", "keep_gathered", "compile", "tensor")),
        *(("layouts4", name) for name in ("hybrid", "both")),
    ],
)
def test_layouts_change_nothing(found, job, layout):
    assert gap(found[job][layout], found["lesson1"]["short64"]) <= 1e-9
    assert gap(found[job][layout], found["lesson1"]["short64"], 1) <= 1e-9
    assert found[job].get(layout + "_start", True)


@pytest.mark.parametrize("n", [1, 2])
def test_16_bit_weights_compute_as_a_16_bit_model(found, n):
    job = found[f"bfloat16{n}"]
    assert job["ours"] == job["plain"]  # RoPE's angles are not rounded: a rounded run differs
    assert (job["parts"], job["gradients"]) == ("torch.float32", "torch.float32")
    assert job["gap"] == 0.0
    assert n == 1 or job["rounding"] > 0  # of a sum in 16 bits, which would be seen


def test_a_checkpoint_moves_from_4_ranks_to_2_to_1(found):
    undisturbed = found["resume4"]["undisturbed"]
    reached = 0
    for job, first, last in (("resume4", 1, 6), ("resume2", 7, 10), ("resume1", 10, 14)):
        seen = found[job]
        assert seen["steps"][-1] == last
        assert first - 3 <= seen["steps"][0] <= min(first, reached + 1)
        reached = last
        for step, loss in zip(seen["steps"], seen["losses"], strict=True):
            assert abs(loss - undisturbed[step - 1]) <= 1e-5 * undisturbed[step - 1]
    assert [len(found["resume1"]["there"]), found["resume1"]["there"][-1]] == [2, "step-00000014"]


def test_on_the_same_ranks_a_break_changes_no_bit(found):
    job = found["same_ranks2"]
    assert job["before"] == job["undisturbed"][:8]
    assert job["after"] == job["undisturbed"][6:]  # from the checkpoint of step 6
    assert job["same_weights"]
    assert job["n_tokens"] == 14 * 12 * 8
    assert job["kept"] == ["step-00000012", "step-00000014"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("blocked", "Not a directory"),
        ("full", "saving a checkpoint in .* failed: rank 1: .*File too large.* older"),
        ("full_later", "saving a checkpoint in .* failed: rank 1: .*File too large.* older"),
        ("log", "the log cannot be written: no space left"),
        ("uneven", "train.batch_size=5 sequences cannot be dealt out to 2 ranks"),
        ("one", "a root failed on rank 1 of 2: math domain error"),
        ("first", "math domain error"),
    ],
)
def test_trouble_is_told_alike_on_all_ranks(found, name, words):
    import re

    first, second = found["trouble2"][name]
    assert first == second
    assert re.search(words, first), first


def test_broken_checkpoints_are_passed_over(found):
    told = found["trouble2"]
    assert told["full_left"] == []  # what could not be written is not there
    assert told["together"]
    assert told["unnoticed"] == []  # every file is verified by some rank
    newest, chosen, said = told["passed_over"]
    assert (newest, chosen) == ("step-00000004", "step-00000002")
    assert "shard-00002" in said
    assert "is missing" in said


def test_one_message_for_all(found):
    assert found["trouble2"]["ends"] == ["AllRanksError", "SystemExit"]


def test_ranks_agree(found):
    assert found["trouble2"]["agree"] == [True, False]
    assert found["trouble2"]["decided"] == "by the first"

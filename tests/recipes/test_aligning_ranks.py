"""`align` under torchrun: the losses of one process, one voice, and the same things kept."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from minillm.distributed.ranks import AllRanksError, joined
from minillm.recipes import override
from minillm.recipes.aligning import execute_align, open_aligned, open_reward
from minillm.recipes.aligning.material import prepare_material
from minillm.recipes.aligning.opening import open_start
from minillm.recipes.aligning.pair_runs import batches_of
from minillm.recipes.aligning.sharded import collect, deal, execute_align_sharded
from minillm.train import read_metrics
from tests.recipes.aligning_base import small, write_bad_pairs
from tests.recipes.aligning_ranks import RUNS, alone64, ranks64, run_of

ROOT = Path(__file__).parents[2]
ranks_only = pytest.mark.skipif(os.name == "nt", reason="torchrun needs libuv there; use WSL 2")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Each run on one process, by `execute_align`."""
    folder = tmp_path_factory.mktemp("alone")
    for name in RUNS:
        execute_align(run_of(name, folder), folder / name, progress=False)
    return folder


def losses(out):
    return [r["loss"] for r in read_metrics(out / "metrics.jsonl") if "loss" in r]


def evaluations(out):
    found = [r["evaluate"] for r in read_metrics(out / "metrics.jsonl") if "evaluate" in r]
    return [each["validation_loss"] for each in found]


def same_weights(mine, theirs, name, **bounds):
    opened = open_reward if name == "reward" else open_aligned
    one, two = (opened(out)[0].state_dict() for out in (mine, theirs))
    for key in one:
        torch.testing.assert_close(one[key], two[key], **bounds)


@pytest.mark.parametrize("method", ["reward", "dpo"])
def test_pairs_are_dealt_out_whole(alone, method):
    run = run_of(method, alone)
    tokenizer = open_start(run).tokenizer
    pairs = prepare_material(run, tokenizer).train
    x, y = next(batches_of(run, pairs, tokenizer, 4))
    both, targets = deal(x, y)
    assert both.shape == (4, 2, x.shape[1])
    assert torch.equal(both[1, 0], x[1])
    assert torch.equal(both[1, 1], x[5])
    assert not (targets == -100).any()  # every pair counts alike
    for mine, theirs in zip(collect(both, targets), (x, y), strict=True):
        assert torch.equal(mine, theirs)
    half = collect(both[2:], targets[2:])[0]  # the share of the second of two ranks
    assert torch.equal(half, x[[2, 3, 6, 7]])


@pytest.mark.parametrize("name", RUNS)
def test_one_rank_gives_the_numbers_of_one_process(alone, name):
    out = alone / f"rank_{name}"
    execute_align_sharded(run_of(name, alone), out, progress=False)
    assert losses(out) == pytest.approx(losses(alone / name), rel=1e-6)
    assert len(losses(out)) == 4
    assert evaluations(out) == pytest.approx(evaluations(alone / name), rel=1e-6)
    same_weights(out, alone / name, name, rtol=1e-3, atol=1e-5)
    assert (out / "rows.txt").read_text() == (alone / name / "rows.txt").read_text()


def test_the_same_command_goes_on_by_itself(alone, capsys):
    out, run = alone / "torn", run_of("dpo", alone)
    execute_align_sharded(run, out, progress=False)
    whole = losses(out)
    (out / "step-00000004" / "state.json").write_text("half")
    shutil.rmtree(out / "model")
    torch.manual_seed(99)
    execute_align_sharded(run, out)
    assert f"going on from {out / 'step-00000002'}" in capsys.readouterr().out
    assert losses(out) == whole
    same_weights(out, alone / "dpo", "dpo", rtol=1e-3, atol=1e-5)


def test_mistakes_are_told_before_anything_is_trained(alone, tmp_path, capsys):
    rows = write_bad_pairs(tmp_path / "bad.jsonl")
    with pytest.raises(AllRanksError, match="4 bad rows in 8 lines"):
        execute_align_sharded(small("dpo", alone, f"data.rows={rows}"), tmp_path / "bad")
    assert capsys.readouterr().out.count("  line 4: ") == 1
    with pytest.raises(AllRanksError, match="holds a run of one process; name another --out"):
        execute_align_sharded(run_of("dpo", alone), alone / "dpo", progress=False)
    for method in ("ppo", "rejection"):
        with pytest.raises(AllRanksError, match=f"{method} draws answers, .* without torchrun"):
            execute_align_sharded(small(method, alone), tmp_path / "x", progress=False)
    execute_align_sharded(small("dpo", alone, "train.steps=1"), tmp_path / "y", progress=False)
    other = override(small("dpo", alone, "train.steps=1"), ["optimizer.lr=0.5"])
    with pytest.raises(AllRanksError, match="was made with other settings"):
        execute_align_sharded(other, tmp_path / "y", progress=False)
    assert not list(tmp_path.glob("bad/step-*"))


@pytest.mark.parametrize("name", RUNS)
def test_float64_on_one_rank(alone, tmp_path, name):
    run = run_of(name, alone)
    with joined() as ranks:
        found = ranks64(run, ranks, tmp_path)
    for mine, theirs in zip(found, alone64(run), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-12)


@pytest.fixture(scope="module")
def two(alone):
    """All runs on two ranks, in one start of torchrun; what was printed."""
    program = ROOT / "tests" / "recipes" / "aligning_ranks.py"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", "--monitor-interval", "0.1", str(program), str(alone)),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1_800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.dist
@ranks_only
@pytest.mark.parametrize("name", RUNS)
def test_two_ranks_train_as_one(alone, two, name):
    out = alone / f"two_{name}"
    assert losses(out) == pytest.approx(losses(alone / name), rel=1e-5)  # contracts.md
    assert evaluations(out) == pytest.approx(evaluations(alone / name), rel=1e-5)
    same_weights(out, alone / name, name, rtol=1e-3, atol=1e-5)
    found = json.loads((alone / "float64.json").read_text())[name]
    for mine, theirs in zip(found, alone64(run_of(name, alone)), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-9)  # contracts.md


@pytest.mark.dist
@ranks_only
def test_rank_0_speaks_for_all(two):
    for line in ("20 of 20 lines are preferences", "on 2 x cpu", "the model: "):
        assert two.count(line) == 1

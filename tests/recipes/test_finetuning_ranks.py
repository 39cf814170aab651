"""`finetune` under torchrun: the losses of one process, one voice, and the same things kept."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from minillm.distributed.ranks import AllRanksError, joined
from minillm.finetune.lora import lora_layers
from minillm.recipes import override
from minillm.recipes.finetuning import execute_finetune, open_finetuned
from minillm.recipes.finetuning.sharded import execute_finetune_sharded
from minillm.train import read_metrics
from tests.recipes.tuning_base import small, write_bad_talks
from tests.recipes.tuning_ranks import FOUR, IN_FLOAT64, METHODS, alone64, ranks64

ROOT = Path(__file__).parents[2]
ranks_only = pytest.mark.skipif(os.name == "nt", reason="torchrun needs libuv there; use WSL 2")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Each method on one process, by `execute_finetune`."""
    folder = tmp_path_factory.mktemp("alone")
    for method in METHODS:
        execute_finetune(small(method, folder, *FOUR), folder / method, progress=False)
    return folder


def losses(out):
    return [r["loss"] for r in read_metrics(out / "metrics.jsonl") if "loss" in r]


def evaluations(out):
    found = [r["evaluate"] for r in read_metrics(out / "metrics.jsonl") if "evaluate" in r]
    return [each["validation_loss"] for each in found]


def same_weights(mine, theirs, **bounds):
    one, two = (open_finetuned(out)[0].state_dict() for out in (mine, theirs))
    for name in one:
        if one[name].element_size() < 4:  # the codes of qlora
            assert torch.equal(one[name].view(torch.uint8), two[name].view(torch.uint8))
        else:
            torch.testing.assert_close(one[name], two[name], **bounds)


@pytest.mark.parametrize("method", METHODS)
def test_one_rank_gives_the_numbers_of_one_process(alone, method):
    out = alone / f"rank_{method}"
    execute_finetune_sharded(small(method, alone, *FOUR), out, progress=False)
    assert losses(out) == losses(alone / method)
    assert len(losses(out)) == 6
    assert evaluations(out) == pytest.approx(evaluations(alone / method), rel=1e-6)
    same_weights(out, alone / method, rtol=0, atol=0)
    assert (out / "rows.txt").read_text() == (alone / method / "rows.txt").read_text()


def test_the_same_command_goes_on_by_itself(alone, capsys):
    out = alone / "torn"
    run = small("lora", alone, *FOUR)
    execute_finetune_sharded(run, out, progress=False)
    whole = losses(out)
    (out / "step-00000006" / "state.json").write_text("half")
    shutil.rmtree(out / "adapter")
    torch.manual_seed(99)
    execute_finetune_sharded(run, out)
    assert f"going on from {out / 'step-00000003'}" in capsys.readouterr().out
    assert losses(out) == whole == losses(alone / "lora")
    same_weights(out, alone / "lora", rtol=0, atol=0)


def test_mistakes_are_told_before_anything_is_trained(alone, tmp_path, capsys):
    rows = write_bad_talks(tmp_path / "bad.jsonl")
    bad = small("lora", alone, f"data.rows={rows}")
    with pytest.raises(AllRanksError, match="4 bad rows in 12 lines"):
        execute_finetune_sharded(bad, tmp_path / "bad")
    assert capsys.readouterr().out.count("  line 5: ") == 1
    with pytest.raises(AllRanksError, match="holds a run of one process; name another --out"):
        execute_finetune_sharded(small("lora", alone, *FOUR), alone / "lora", progress=False)
    with pytest.raises(AllRanksError, match="no model 'nowhere'"):
        execute_finetune_sharded(small("full", alone, "base=nowhere"), tmp_path / "x")
    execute_finetune_sharded(small("full", alone, "train.steps=1"), tmp_path / "y", progress=False)
    other = override(small("full", alone, "train.steps=1"), ["optimizer.lr=0.5"])
    with pytest.raises(AllRanksError, match="was made with other settings"):
        execute_finetune_sharded(other, tmp_path / "y", progress=False)
    assert not list(tmp_path.glob("bad/step-*"))


def test_float64_on_one_rank(alone):
    run = small("lora", alone, *FOUR)
    with joined() as ranks:
        assert ranks64(run, ranks) == alone64(run)


@pytest.fixture(scope="module")
def two(alone):
    """All methods on two ranks, in one start of torchrun; what was printed."""
    program = ROOT / "tests" / "recipes" / "tuning_ranks.py"
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
@pytest.mark.parametrize("method", METHODS)
def test_two_ranks_train_as_one(alone, two, method):
    out = alone / f"two_{method}"
    assert losses(out) == pytest.approx(losses(alone / method), rel=1e-5)  # contracts.md
    assert evaluations(out) == pytest.approx(evaluations(alone / method), rel=1e-5)
    same_weights(out, alone / method, rtol=1e-3, atol=1e-5)
    if method != "full":
        assert lora_layers(open_finetuned(out)[0])
    if method not in IN_FLOAT64:
        return
    found = json.loads((alone / "float64.json").read_text())[method]
    for mine, theirs in zip(found, alone64(small(method, alone, *FOUR)), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-9)  # contracts.md


@pytest.mark.dist
@ranks_only
def test_rank_0_speaks_for_all(two):
    for line in ("24 of 24 lines are talks", "2 ranks, 2 rows each at once", "the adapter alone"):
        assert two.count(line) == 1


@pytest.mark.dist
@ranks_only
@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("full", "normalise=answers"), "minillm: normalise='answers' and neftune=0 are for one"),
        (("lora", "train.batch_size=3"), "minillm: a step of 3 sequences cannot be dealt out"),
        (("lora", "data.rows=no-such-file.jsonl"), "minillm: "),
    ],
)
def test_a_failure_is_told_once(alone, tmp_path, words, told):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", "-m", "minillm", "finetune", *words),
            *(f"base={alone / 'base'}", "--out", str(tmp_path / "out")),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("minillm: ") == 1
    assert told in done.stderr

"""`align` under torchrun: the losses of one process, one voice, and the same things kept."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from minillm.align.pair_batches import mismatched
from minillm.distributed.ranks import AllRanksError
from minillm.recipes import override
from minillm.recipes.aligning import execute_align, open_aligned, open_reward, sharded
from minillm.recipes.aligning.dealt_pairs import collect, deal
from minillm.recipes.aligning.material import prepare_material
from minillm.recipes.aligning.opening import open_start
from minillm.recipes.aligning.pair_runs import batches_of
from minillm.recipes.aligning.sharded import execute_align_sharded
from minillm.recipes.aligning.sharded_draws import check_draws
from minillm.train import read_metrics
from tests.recipes.aligning_base import small, write_bad_pairs
from tests.recipes.aligning_ranks import EXECUTED, RUNS, alone64, run_of

ROOT = Path(__file__).parents[2]
ranks_only = pytest.mark.skipif(os.name == "nt", reason="torchrun needs libuv there; use WSL 2")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Each run on one process, by `execute_align`."""
    folder = tmp_path_factory.mktemp("alone")
    for name in EXECUTED:
        execute_align(run_of(name, folder), folder / name, progress=False)
    return folder


def losses(out):
    """Of each step; of rejection what each round has found."""
    if (out / "rounds").is_dir():
        heads = [(out / "rounds" / f"round-{r}.jsonl").read_text().split("\n")[0] for r in (0, 1)]
        return [json.loads(head)["report"][name] for head in heads for name in ("mean", "kept")]
    return [r["loss"] for r in read_metrics(out / "metrics.jsonl") if "loss" in r]


def evaluations(out):
    if not (out / "metrics.jsonl").is_file():
        return []
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
    assert both.shape == x.shape  # so that the loop sees (rows, T), and logs what T costs
    assert torch.equal(both[2], x[1])
    assert torch.equal(both[3], x[5])
    assert not (targets == -100).any()  # every pair counts alike
    *back, others = collect(both, targets)
    assert others is None
    for mine, theirs in zip(back, (x, y), strict=True):
        assert torch.equal(mine, theirs)
    half, half_y, _ = collect(both[4:], targets[4:])  # the share of the second of two ranks
    assert torch.equal(half, x[[2, 3, 6, 7]])
    assert torch.equal(half_y, y[[2, 3]] if method == "reward" else y[[2, 3, 6, 7]])


def test_kto_deals_the_mismatched_rows_of_the_whole_batch(alone):
    run = run_of("kto", alone)
    tokenizer = open_start(run).tokenizer
    pairs = prepare_material(run, tokenizer).train
    x, y = next(batches_of(run, pairs, tokenizer, 4))
    ids, targets = mismatched(x, y, pad=0)
    rows, dealt = deal(x, y, (ids, targets))
    assert not (dealt == -100).any()
    half, half_y, (other, other_y) = collect(rows[4:], dealt[4:])
    mine = [2, 3, 6, 7]  # row 2's other answer is that of row 1, which the first rank reads
    width = ids.shape[1]
    assert torch.equal(half, x[mine])
    assert torch.equal(half_y, y[mine])
    assert torch.equal(other[:, :width], ids[mine])
    assert torch.equal(other_y[:, :width], targets[mine])
    assert not other[:, width:].any()
    assert (other_y[:, width:] == -100).all()


def test_the_reference_point_of_kto_is_that_of_all_ranks(monkeypatch):
    """Means of two ranks, 0.5 and -0.1; and where both are negative."""
    for other, expected in ((-0.1, 0.2), (-0.9, 0.0)):
        monkeypatch.setattr(sharded, "gather_numbers", lambda n, o=other: [[n], [o]])
        found = sharded.reference_point(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 1.5]))
        assert found.item() == pytest.approx(expected)


class Seen(Exception):
    pass


def test_the_loop_is_told_how_long_rows_are(alone, tmp_path, monkeypatch):
    """What utilisation is computed from."""
    from minillm.train.report import Reporter

    def step(self, step, optimizer, *, shape, **more):
        raise Seen(shape)

    monkeypatch.setattr(Reporter, "step", step)
    run = run_of("dpo", alone)
    tokenizer = open_start(run).tokenizer
    x, _ = next(batches_of(run, prepare_material(run, tokenizer).train, tokenizer, 4))
    with pytest.raises(Seen) as seen:
        execute_align_sharded(run, tmp_path / "seen", progress=False)
    assert seen.value.args == (tuple(x.shape),)


@pytest.fixture(scope="module")
def rank(alone):
    """The same on one rank, by `execute_align_sharded`."""
    for name in EXECUTED:
        execute_align_sharded(run_of(name, alone), alone / f"rank_{name}", progress=False)
    return alone


@pytest.mark.parametrize("name", EXECUTED)
def test_one_rank_gives_the_numbers_of_one_process(alone, rank, name):
    out = rank / f"rank_{name}"
    assert losses(out) == pytest.approx(losses(alone / name), rel=1e-5)
    assert len(losses(out)) == 4
    assert evaluations(out) == pytest.approx(evaluations(alone / name), rel=1e-5)
    same_weights(out, alone / name, name, rtol=1e-3, atol=1e-5)
    assert (out / "rows.txt").read_text() == (alone / name / "rows.txt").read_text()


@pytest.mark.parametrize("name", ["kto", "ppo"])
def test_the_same_command_goes_on_by_itself(alone, rank, capsys, name):
    run, out = run_of(name, alone), shutil.copytree(rank / f"rank_{name}", alone / f"torn_{name}")
    whole = losses(out)
    (out / "step-00000004" / "state.json").write_text("half")
    shutil.rmtree(out / "model")
    torch.manual_seed(99)
    execute_align_sharded(run, out)
    assert f"going on from {out / 'step-00000002'}" in capsys.readouterr().out
    assert losses(out) == whole
    same_weights(out, alone / name, name, rtol=1e-3, atol=1e-5)


def test_rounds_go_on_where_they_were(alone, rank):
    run, out = run_of("rejection", alone), alone / "torn_rejection"
    shutil.copytree(rank / "rank_rejection", out)
    kept = (out / "rounds" / "round-1.jsonl").read_text()
    torn = out / "rounds" / "round-0" / "step-00000004" / "state.json"
    torn.write_text("half")  # the first fine-tuning was cut off at its end
    shutil.rmtree(out / "rounds" / "round-1")
    (out / "rounds" / "round-1.jsonl").unlink()
    shutil.rmtree(out / "model")
    execute_align_sharded(run, out, progress=False)
    assert (out / "rounds" / "round-1.jsonl").read_text() == kept
    same_weights(out, alone / "rejection", "rejection", rtol=1e-3, atol=1e-5)
    with pytest.raises(ValueError, match="holds a run of other settings"):
        execute_align(run, out, resume_run=True, progress=False)  # on one process


def test_mistakes_are_told_before_anything_is_trained(alone, rank, tmp_path, capsys):
    rows = write_bad_pairs(tmp_path / "bad.jsonl")
    with pytest.raises(AllRanksError, match="4 bad rows in 8 lines"):
        execute_align_sharded(small("dpo", alone, f"data.rows={rows}"), tmp_path / "bad")
    assert capsys.readouterr().out.count("  line 4: ") == 1
    with pytest.raises(AllRanksError, match="holds a run of one process; name another --out"):
        execute_align_sharded(run_of("kto", alone), alone / "kto", progress=False)
    with pytest.raises(ValueError, match="holds a run of many ranks; go on with torchrun"):
        execute_align(run_of("ppo", alone), rank / "rank_ppo", resume_run=True, progress=False)
    gone = small("ppo", alone, f"reward={alone / 'nobody'}")
    with pytest.raises(AllRanksError, match=r"opening the reward model failed .* no alignment run"):
        execute_align_sharded(gone, tmp_path / "x", progress=False)
    far = small("ppo", alone, "ppo.reward.max_kl=1e-9", "optimizer.lr=0.1")
    with pytest.raises(AllRanksError, match=r"the policy is .* nats an answer from its reference"):
        execute_align_sharded(far, tmp_path / "far", progress=False)
    none = small("rejection", alone, "rejection.least=1e9")
    with pytest.raises(AllRanksError, match="round 0 keeps none of 48 answers"):
        execute_align_sharded(none, tmp_path / "none", progress=False)
    for name, changes in {"train.batch_size": (3, 3), "ppo.minibatch_size": (6, 3)}.items():
        batch, part = (f"{n}" for n in changes)
        odd = small("ppo", alone, f"train.batch_size={batch}", f"ppo.minibatch_size={part}")
        with pytest.raises(ValueError, match=f"{name}=3 answers cannot be dealt out to 2 ranks"):
            check_draws(odd, 2)
    execute_align_sharded(small("dpo", alone, "train.steps=1"), tmp_path / "y", progress=False)
    other = override(small("dpo", alone, "train.steps=1"), ["optimizer.lr=0.5"])
    with pytest.raises(AllRanksError, match="was made with other settings"):
        execute_align_sharded(other, tmp_path / "y", progress=False)
    assert not list(tmp_path.glob("bad/step-*"))


@pytest.fixture(scope="module")
def alone_wide(alone):
    """Each run on one process, in float64."""
    return {name: alone64(run_of(name, alone), alone / f"alone_{name}") for name in RUNS}


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
def test_two_ranks_train_as_one(alone, alone_wide, two, name):
    if name in EXECUTED:
        out = alone / f"two_{name}"
        assert losses(out) == pytest.approx(losses(alone / name), rel=1e-5)  # contracts.md
        assert evaluations(out) == pytest.approx(evaluations(alone / name), rel=1e-5)
        same_weights(out, alone / name, name, rtol=1e-3, atol=1e-5)
    found = json.loads((alone / "float64.json").read_text())[name]
    for mine, theirs in zip(found, alone_wide[name], strict=True):
        assert mine == pytest.approx(theirs, abs=1e-11)  # contracts.md asks for 1e-9


@pytest.mark.dist
@ranks_only
def test_rank_0_speaks_for_all(two):
    lines = ("20 of 20 lines are preferences", "24 of 24 lines are talks", "round 1: 192 answers")
    for line in lines:
        assert two.count(line) == 1
    for line in ("on 2 x cpu", "the model: "):
        assert two.count(line) == 2  # of the two runs that speak

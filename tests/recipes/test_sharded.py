"""`train` under torchrun, as one process sees it: the numbers of execute; it goes on by itself."""

import json
import re
from dataclasses import replace

import pytest
import torch

from minillm.distributed.full_size import FULL_SIZES as SIZES
from minillm.distributed.hardware import A100_80
from minillm.distributed.ranks import AllRanksError, Ranks, joined
from minillm.recipes import execute, find_plan, find_run, override
from minillm.recipes.plan import plan_sharded
from minillm.recipes.runs import FULL_SIZES, RUNS
from minillm.recipes.sharded import cluster_here, execute_sharded, full_size_of
from minillm.train import read_metrics

SMALL = (
    "model.d_model=16",
    "model.n_layers=1",
    "model.attention.n_heads=2",
    "model.feedforward.width=32",
    "train.steps=4",
    "train.batch_size=4",
    "train.warmup_steps=0",
    "train.context=16",
    "train.save_every=2",
    "train.log_every=0",
    "train.eval_every=0",
    "train.precision=float32",
)


@pytest.fixture
def small():
    run = override(find_run("laptop"), SMALL)
    return replace(run, data=replace(run.data, mixture=(("stories-en", 60_000),)))


def steps(out):
    return [(r["step"], r["loss"]) for r in read_metrics(out / "metrics.jsonl") if "loss" in r]


def test_one_rank_gives_the_numbers_of_execute(small, tmp_path):
    execute(small, tmp_path / "one", progress=False)
    execute_sharded(small, tmp_path / "many", progress=False)
    assert steps(tmp_path / "many") == steps(tmp_path / "one")
    assert len(steps(tmp_path / "one")) == 4
    found = [r for r in read_metrics(tmp_path / "many" / "metrics.jsonl") if "evaluate" in r]
    theirs = [r for r in read_metrics(tmp_path / "one" / "metrics.jsonl") if "evaluate" in r]
    assert found[0]["evaluate"]["validation_loss"] == pytest.approx(
        theirs[0]["evaluate"]["validation_loss"], abs=0.1
    )  # of other rows
    note = json.loads((tmp_path / "many" / "step-00000004" / "manifest.json").read_text())
    assert note["run"]["name"] == "laptop"


def test_the_same_command_goes_on_by_itself(small, tmp_path, capsys):
    execute_sharded(small, tmp_path / "whole", progress=False)
    execute_sharded(small, tmp_path / "torn", progress=False)
    (tmp_path / "torn" / "step-00000004" / "state.json").write_text("half")
    execute_sharded(small, tmp_path / "torn", progress=True)
    told = capsys.readouterr().out
    assert "state.json is cut short or altered" in told
    assert f"going on from {tmp_path / 'torn' / 'step-00000002'}" in told
    assert steps(tmp_path / "torn") == steps(tmp_path / "whole")


def test_folders_that_are_not_its_own_are_refused(small, tmp_path):
    execute(small, tmp_path / "one", progress=False)
    with pytest.raises(AllRanksError, match="holds a run of one process; name another --out"):
        execute_sharded(small, tmp_path / "one", progress=False)
    execute_sharded(small, tmp_path / "many", progress=False)
    other = override(small, ["train.steps=5"])
    with pytest.raises(AllRanksError, match="was made with other settings"):
        execute_sharded(other, tmp_path / "many", progress=False)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(AllRanksError, match="file"):
        execute_sharded(small, tmp_path / "file", progress=False)


def test_a_run_that_does_not_fit_is_refused_before_it_starts(tmp_path):
    with pytest.raises(
        AllRanksError, match=r"llama2_70b does not fit on 1 x share of this"
    ) as told:
        execute_sharded(find_run("llama2_70b"), tmp_path / "x", progress=False)
    assert re.search(r"a card needs [\d,.]+ GB of [\d.]+ GB", str(told.value))
    assert not list(tmp_path.glob("x/step-*"))


def test_the_names_are_those_of_the_papers_sizes():
    assert set(FULL_SIZES) == set(SIZES)
    assert not set(FULL_SIZES) & set(RUNS)
    for name in FULL_SIZES:
        run = find_run(name)
        assert (run.name, run.model) == (name, SIZES[name]().model)
    assert find_plan("llama_1b", memory_gb=80).run.model == SIZES["llama_1b"]().model


def test_overrides_change_the_plan():
    run = override(find_run("llama_7b"), ["model.n_layers=16"])
    changed = full_size_of(run)
    assert changed.model.n_layers == 16
    assert changed.gpu_hours is None  # nobody reported them
    assert full_size_of(find_run("llama_7b")).gpu_hours == 82_432


def test_plans_for_other_cards():
    assert "64 x A100 SXM 80 GB" in plan_sharded("llama_7b", n_gpus=64)
    assert "256 x H100" in plan_sharded("llama_7b", gpu="H100")
    assert "8 x A100 SXM 40" in plan_sharded("gpt2_124m", gpu="A100 SXM 40", n_gpus=8)
    assert "2 x H100 SXM 80 GB" in plan_sharded("laptop", n_gpus=2)


def test_the_cards_that_are_here():
    with joined() as ranks:
        one, four = cluster_here(ranks), cluster_here(replace(ranks, size=8, n_local=4))
    assert (one.n_cards, four.n_machines, four.cards_per_machine) == (1, 2, 4)
    assert one.card.memory == 4 * four.card.memory  # ranks on a CPU share it


def test_a_card_is_known_by_its_name(monkeypatch):
    told = type("Told", (), {"name": "NVIDIA A100-SXM4-80GB", "total_memory": 85_000_000_000})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: told)
    found = cluster_here(Ranks(0, 2, torch.device("cuda", 0), n_local=2)).card
    assert (found.peak, found.memory, found.name) == (A100_80.peak, 85e9, told.name)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: plan_sharded("llama_7b", gpu="Z9"), "no GPU 'Z9'; there are A100 SXM 40 GB"),
        (lambda: plan_sharded("llama2_70b", n_gpus=8), "does not fit on 8 x A100.*the fewest"),
        (lambda: plan_sharded("llama_7b", n_gpus=12), "multiple of 8, got 12"),
        (lambda: plan_sharded("nothing"), "no run 'nothing'; there are laptop"),
        (lambda: full_size_of(find_run("laptop")), "no paper names cards for laptop"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()

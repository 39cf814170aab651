"""The whole chain of `make base` at toy size: train, kill, go on, publish, open again, measure."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minillm.model import count_parameters
from minillm.recipes import base_models
from minillm.recipes.base_models import (
    BASE,
    loss_curve,
    make_base,
    problem_kind,
    prose_figures,
    publish_base,
    reload_loss,
    samples,
    story_figures,
)
from minillm.recipes.execution import execute
from minillm.recipes.runs import find_run
from minillm.recipes.shipped import CHECKPOINTS, base, open_checkpoint, shipped_models
from minillm.recipes.tokens import find_tokenizer, prepare_rows
from minillm.train import has_checkpoint, load_checkpoint, read_metrics

HERE = Path(__file__).parent
_SPEC = importlib.util.spec_from_file_location("toy_base", HERE / "toy_base.py")
toy_base = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(toy_base)
STEPS, toy, use_toy = toy_base.STEPS, toy_base.toy, toy_base.use_toy


def write_texts(folder):
    (folder / "texts").mkdir(parents=True)
    for i in range(40):
        words = " ".join(f"word{(i * 7 + j) % 11} and" for j in range(30))
        (folder / "texts" / f"{i:02}.txt").write_text(f"Text {i}. {words}.", encoding="utf-8")


@pytest.fixture
def toy_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINILLM_DATA", str(tmp_path / "data"))
    write_texts(tmp_path)
    use_toy(tmp_path, monkeypatch.setattr)
    return tmp_path


def test_killed_gone_on_with_published_and_opened_again(toy_folder):
    command = [sys.executable, str(HERE / "toy_base.py"), str(toy_folder), "0.05"]
    process = subprocess.Popen(command, env=os.environ.copy(), stdout=subprocess.DEVNULL)
    metrics = toy_folder / "runs" / "small" / "metrics.jsonl"
    while process.poll() is None and len(read_metrics(metrics)) < 9:
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -9
    assert not has_checkpoint(toy_folder / "shipped" / "small")  # nothing half done is shipped
    stopped = load_checkpoint(toy_folder / "runs" / "small" / "last").manifest["step"]
    assert 4 <= stopped < STEPS

    shipped = make_base("small", toy_folder / "runs", toy_folder / "shipped")
    execute(toy(toy_folder), toy_folder / "whole", progress=False)
    losses = [
        [r["loss"] for r in read_metrics(folder / "metrics.jsonl") if "loss" in r]
        for folder in (toy_folder / "runs" / "small", toy_folder / "whole")
    ]
    assert losses[0] == losses[1]  # as if nobody had killed it

    model, tokenizer = open_checkpoint(shipped)
    manifest = load_checkpoint(shipped).manifest
    assert reload_loss(model, tokenizer) == pytest.approx(manifest["reload"], abs=1e-3)
    rows = prepare_rows(toy(toy_folder).data, find_tokenizer("course"), 32, progress=False)
    assert manifest["data"]["train"] == rows.train.header.sha256
    assert manifest["data"]["n_train_tokens"] == len(rows.train)
    assert set(manifest) >= {"commit", "seed", "run", "tokenizer", "measured", "made_with"}
    curve = manifest["curve"]
    assert [step for step, _ in curve["validation"]] == [8, 16, 24]
    assert curve["train"][-1] == [24, round(losses[0][-1], 4)]
    assert set(manifest["samples"]) == {"en", "zh", "prose", "code"}
    assert manifest["samples"]["en"].startswith("Once there was a girl named Mia.")


def test_a_run_that_is_not_finished_is_not_published(toy_folder, monkeypatch):
    class Stop(Exception):
        pass

    import minillm.recipes.execution as module

    real = module.checkpointer

    def stopping(folder, **kw):
        save = real(folder, **kw)

        def save_once(*parts):
            save(*parts)
            raise Stop

        return save_once

    monkeypatch.setattr(module, "checkpointer", stopping)
    with pytest.raises(Stop):
        make_base("small", toy_folder / "runs", toy_folder / "shipped")
    with pytest.raises(ValueError, match="stands at step 4 of 24: not finished"):
        publish_base(toy_folder / "runs" / "small", "small", toy_folder / "shipped")


def test_other_names_are_refused():
    with pytest.raises(ValueError, match="no base model 'tiny' here; there are small, medium"):
        make_base("tiny")


def test_no_run_is_started_without_a_prediction(tmp_path, monkeypatch):
    import minillm.recipes.base_prediction as prediction

    monkeypatch.setattr(
        base_models, "read_prediction", lambda name: prediction.read_prediction(name, tmp_path)
    )
    with pytest.raises(ValueError, match="no loss was predicted for 'small'"):
        make_base("small", tmp_path / "runs", tmp_path / "shipped")
    assert not (tmp_path / "runs").exists()


def test_the_curve_is_thinned_by_means(tmp_path):
    lines = [{"step": i, "loss": float(i)} for i in range(1, 11)]
    lines.insert(5, {"step": 5, "evaluate": {"validation_loss": 2.5}})
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    curve = loss_curve(path, n_points=4)
    assert curve["train"] == [[3, 2.0], [6, 5.0], [9, 8.0], [10, 10.0]]
    assert curve["validation"] == [[5, 2.5]]


def test_samples_are_the_same_each_time():
    model, tokenizer = base("draft")
    once = samples(model, tokenizer, 12)
    assert once == samples(model, tokenizer, 12)
    assert once["zh"].startswith("从前有一个叫米娅的女孩。")


def test_stories_are_judged_beside_the_simulators():
    model, tokenizer = base("tiny")
    found = story_figures(model, tokenizer, "en", n=3)
    assert found["simulator"]["consistent"][0] == 1
    assert 0 <= found["model"]["consistent"][0] <= found["model"]["grammatical"][0] <= 1
    assert found["model"]["sentences"][0] > 0.3
    assert len(found["examples"]) == 3
    assert set(map(problem_kind, found["problems"])) <= set(found["stories with"])
    assert 0 < max(found["stories with"].values()) <= 3


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        ("agree: Emma is in two roles", "one person twice"),
        ("give: needs where(key) = Tom, it is Mia", "needs where"),
        ("Otto is spoken of as she", "other"),
    ],
)
def test_problems_are_sorted(problem, kind):
    assert problem_kind(problem) == kind


def test_prose_is_measured_beside_the_compressors():
    model, tokenizer = base("draft")
    held = ["Return the number of items in the list.", "Raise an error if the list is empty."]
    known = ["Return the number of items in the tuple.", "Raise an error if it is empty."] * 4
    found = prose_figures(model, tokenizer, held, known, order=3)
    assert set(found) == {
        "model",
        "gzip",
        "xz",
        "xz after the training text",
        "3-gram of bytes",
    }
    assert found["xz after the training text"] < found["xz"]
    assert found["model"] < found["gzip"]


@pytest.mark.parametrize("name", BASE)
def test_the_recipes_keep_to_the_contract(name):
    run = find_run(name)
    n = count_parameters(run.model)
    assert {"small": 2.5e6 < n < 3.5e6, "medium": 5e6 < n <= 7.8e6}[name]
    assert 2 * n < 16e6  # float16 on disk
    told = dict(run.data.mixture)
    village = sum(n for corpus, n in told.items() if corpus.startswith(("tales", "questions")))
    assert village > 0.7 * sum(told.values())  # bytes; in tokens see lesson 27
    assert run.data.packing == "once"
    assert run.model.vocab_size == 6_144
    assert run.model.tie_embeddings


@pytest.mark.parametrize("name", [n for n in BASE if n in shipped_models()])
def test_a_shipped_base_model_is_worth_what_its_manifest_says(name):
    model, tokenizer = base(name)
    manifest = load_checkpoint(CHECKPOINTS / name).manifest
    assert reload_loss(model, tokenizer) == pytest.approx(manifest["reload"], abs=1e-3)
    size = sum(p.stat().st_size for p in (CHECKPOINTS / name).rglob("*"))
    assert size < 16e6
    everything = sum(p.stat().st_size for p in CHECKPOINTS.rglob("*") if p.is_file())
    assert everything < 64e6
    assert manifest["commit"]
    assert manifest["curve"]["validation"][-1][0] == manifest["step"]


def test_the_command_line_hands_the_name_on(monkeypatch, capsys):
    from minillm.recipes import base_prediction
    from minillm.recipes.__main__ import main

    monkeypatch.setattr(base_models, "make_base", lambda name: f"made {name}")
    monkeypatch.setattr(base_models, "measure_base", lambda name: f"measured {name}")
    monkeypatch.setattr(base_prediction, "write_prediction", lambda name: f"predicted {name}")
    for words in ("base", "base --name medium", "predict small", "measure tiny"):
        main(words.split())
    told = capsys.readouterr().out.split("\n")[:4]
    assert told == ["made small", "made medium", "predicted small", "measured tiny"]
    with pytest.raises(ValueError, match="did not understand '--nom small'"):
        main(["base", "--nom", "small"])
    with pytest.raises(SystemExit, match=r"usage: python -m minillm\.recipes"):
        main(["predict"])

"""`finetune` on one process: three methods, bad rows told, stopped, gone on with, opened again."""

import json

import pytest
import torch
from typer.testing import CliRunner

from minillm.__main__ import app
from minillm.finetune.lora import apply_lora, lora_layers
from minillm.finetune.sft import chat_loss
from minillm.finetune.token_rows import token_rows
from minillm.model import Decoder
from minillm.recipes import from_dict, open_model, override
from minillm.recipes.finetuning import (
    FINETUNES,
    FinetuneRun,
    TalksConfig,
    execute_finetune,
    find_finetune,
    open_finetuned,
)
from minillm.recipes.finetuning import execution as module
from minillm.recipes.finetuning.material import BadRowsError, prepare_material
from minillm.recipes.finetuning.opening import adapt, open_base
from minillm.recipes.finetuning.talk import answer, talk
from minillm.train import has_checkpoint, load_checkpoint, read_metrics
from tests.recipes.tuning_base import SMALL, small, write_bad_talks, write_base

METHODS = ("full", "lora", "qlora")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tuning")


@pytest.fixture(scope="module")
def done(folder):
    """Each method once, to its end."""
    for method in METHODS:
        execute_finetune(small(method, folder), folder / method, progress=False)
    return folder


def losses(out):
    return [r["loss"] for r in read_metrics(out / "metrics.jsonl") if "loss" in r]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_writes_what_it_says(done, method):
    out = done / method
    run = from_dict(json.loads((out / "finetune.json").read_text()), FinetuneRun)
    assert run == small(method, done)
    assert len(losses(out)) == 6
    told = [r["evaluate"]["validation_loss"] for r in read_metrics(out / "metrics.jsonl")[-1:]]
    assert 5 < told[0] < 10
    assert "talks.jsonl: 24 of 24 lines are talks" in (out / "rows.txt").read_text()
    assert "23 talks to learn from, 1 for validation" in (out / "rows.txt").read_text()
    manifest = load_checkpoint(out / "last").manifest
    assert from_dict(manifest["finetune"], FinetuneRun) == run
    assert has_checkpoint(out / "model") == (method == "full")
    assert (out / "adapter").is_dir() == (method != "full")


def test_the_adapter_is_kept_alone(done):
    size = {m: sum(p.stat().st_size for p in (done / m / "adapter").iterdir()) for m in METHODS[1:]}
    base = (done / "base" / "last" / "model.safetensors").stat().st_size
    assert all(n < base / 5 for n in size.values())
    model, _ = open_finetuned(done / "lora")
    adapters = {n for n, p in model.named_parameters() if "adapters" in n and p.numel()}
    assert len(adapters) == 2 * len(lora_layers(model)) > 0


@pytest.mark.parametrize("method", METHODS)
def test_what_is_opened_is_what_was_trained(done, method):
    run = small(method, done)
    base = open_base(run)
    trained = adapt(base, run)
    load_checkpoint(done / method / "last", trained)
    opened, tokenizer = open_finetuned(done / method)
    assert isinstance(opened, Decoder)
    assert not opened.training
    assert tokenizer.hash == base.tokenizer.hash
    ids = torch.arange(20)[None] * 50
    torch.testing.assert_close(opened(ids), trained.eval()(ids))
    start = open_base(run).model(ids)
    assert not torch.allclose(opened(ids), start, atol=1e-4)  # ... and it has learned something


def test_a_whole_model_is_opened_like_any_other(done):
    model, _ = open_model(str(done / "full"))
    assert torch.equal(model.embedding.weight, open_finetuned(done / "full")[0].embedding.weight)
    again = small("lora", done, f"base={done / 'full'}")
    assert torch.equal(open_base(again).model.embedding.weight, model.embedding.weight)
    with pytest.raises(ValueError, match="lora holds an adapter alone"):
        open_base(small("lora", done, f"base={done / 'lora'}"))


def test_lora_leaves_the_base_as_it_was(done):
    opened, _ = open_finetuned(done / "lora")
    base = open_base(small("lora", done)).model
    for path, layer in lora_layers(opened).items():
        assert torch.equal(layer.base.weight, base.get_submodule(path).weight)
    assert torch.equal(opened.embedding.base.weight, base.embedding.weight)


@pytest.mark.parametrize("method", METHODS)
def test_killed_and_gone_on_with_is_the_undisturbed_run(done, method, tmp_path, monkeypatch):
    run = small(method, done)

    class Kill(Exception):
        pass

    real = module.checkpointer

    def killing(where, **kw):
        save = real(where, **kw)

        def save_and_die(model, optimizer, state):
            save(model, optimizer, state)
            raise Kill

        return save_and_die

    monkeypatch.setattr(module, "checkpointer", killing)
    with pytest.raises(Kill):
        execute_finetune(run, tmp_path / "out", progress=False)
    assert not (tmp_path / "out" / "adapter").exists()
    with pytest.raises(ValueError, match=r"has not come to its end; go on.*--resume"):
        open_finetuned(tmp_path / "out")
    monkeypatch.setattr(module, "checkpointer", real)
    torch.manual_seed(99)  # whatever happens in between
    execute_finetune(run, tmp_path / "out", resume_run=True, progress=False)
    assert losses(tmp_path / "out") == losses(done / method)
    mine, theirs = (open_finetuned(f)[0].state_dict() for f in (tmp_path / "out", done / method))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_bad_rows_are_told_by_line_and_not_passed_over(folder, tmp_path, capsys):
    rows = write_bad_talks(tmp_path / "bad.jsonl")
    run = small("full", folder, f"data.rows={rows}")
    with pytest.raises(BadRowsError, match=r"4 bad rows in 12 lines .*data.bad_rows=skip") as told:
        execute_finetune(run, tmp_path / "out")
    printed = capsys.readouterr().out
    assert "\n" not in str(told.value)
    for line, reason in ((2, "not JSON"), (5, "boss"), (7, "says nothing"), (12, "at most 48")):
        (row,) = [row for row in printed.splitlines() if row.startswith(f"  line {line}: ")]
        assert reason in row
        assert row in (tmp_path / "out" / "rows.txt").read_text()
    assert not has_checkpoint(tmp_path / "out" / "last")
    skipping = override(run, ["data.bad_rows=skip", "train.steps=1"])
    execute_finetune(skipping, tmp_path / "out")
    printed = capsys.readouterr().out
    assert "8 of 12 lines are talks, 4 are not" in printed
    assert "  line 5: " in printed  # skipped on purpose, and told all the same
    assert "7 talks to learn from, 1 for validation" in printed


def test_storyworld_ends_with_a_score_on_other_worlds(folder, tmp_path, capsys):
    change = ["data.rows=storyworld", "data.n_rows=6", "data.n_held_out=3", "train.context=128"]
    run = small("full", folder, *change, "train.steps=1")
    execute_finetune(run, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "score.json").read_text())
    assert told["n"] == 3
    assert told["right"] == 0  # after one step
    assert told["interval"][0] == 0 < told["interval"][1] < 1
    assert sum(told["by_kind"].values()) == 0
    printed = capsys.readouterr().out
    assert "storyworld: 6 tasks made" in printed
    assert "tasks of other worlds: right 0 [0, " in printed
    assert "full: full from" in printed


def test_the_talks_are_parted_by_their_seed(folder):
    run = small("full", folder, "data.validation_share=0.25")
    tokenizer = open_base(run).tokenizer
    found = prepare_material(run, tokenizer)
    assert (len(found.train), len(found.validation), found.held_out) == (18, 6, ())
    assert not {e.ids for e in found.train} & {e.ids for e in found.validation}
    other = prepare_material(override(run, ["data.seed=1"]), tokenizer)
    assert found.validation != other.validation
    assert prepare_material(run, tokenizer) == found
    last = prepare_material(override(run, ["data.answers=last"]), tokenizer)
    assert sum(sum(e.learned) for e in last.train) < sum(sum(e.learned) for e in found.train)


def test_settings_reach_the_loss(folder, monkeypatch):
    seen = []

    def spy(model, x, y, *, start, normalise="tokens"):
        seen.append((normalise, (x[:, 1:] == start).any().item(), model.training))
        return chat_loss(model, x, y, start=start, normalise=normalise)

    monkeypatch.setattr("minillm.finetune.sft.chat_loss", spy)
    run = small("full", folder, "normalise=examples", "train.steps=1", "neftune=5")
    execute_finetune(run, folder / "examples", progress=False)
    assert seen[0] == ("examples", True, True)
    seen.clear()
    run = small("full", folder, "data.packing=pad", "train.steps=1")
    execute_finetune(run, folder / "padded", progress=False)
    assert seen[0] == ("tokens", False, True)


def test_noise_changes_the_training(folder):
    runs = {a: small("full", folder, f"neftune={a}", "train.steps=2") for a in (0, 5)}
    for alpha, run in runs.items():
        execute_finetune(run, folder / f"noise{alpha}", progress=False)
    quiet, loud = losses(folder / "noise0"), losses(folder / "noise5")
    assert quiet[0] != loud[0]


def test_a_talk_that_is_too_long_is_forgotten_from_its_beginning(done):
    model, tokenizer = open_finetuned(done / "lora")
    said = []
    for i in range(8):
        said += [{"role": "user", "content": f"Question {i}, of some length?"}]
        said += [{"role": "assistant", "content": "It is red."}]
    said.append({"role": "user", "content": "And now?"})
    before = len(said)
    assert isinstance(answer(model, tokenizer, said), str)
    assert len(said) < before
    assert said[0]["role"] == "user"
    assert said[-1]["content"] == "And now?"
    assert answer(model, tokenizer, [{"role": "user", "content": "word " * 200}]) == ""


def test_a_conversation(done, monkeypatch, capsys):
    lines = iter(["Question 1?", "Why?", "/new", "Question 2?", ""])
    heard = []

    def say(model, tokenizer, said, **_):
        heard.append([message["content"] for message in said])
        return "" if said[-1]["content"] == "Why?" else "It is red."

    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    monkeypatch.setattr("minillm.recipes.finetuning.talk.answer", say)
    talk(done / "qlora", temperature=0.0, seed=0)
    assert heard == [["Question 1?"], ["Question 1?", "It is red.", "Why?"], ["Question 2?"]]
    printed = capsys.readouterr().out
    assert printed.count("It is red.") == 2
    assert "(the model ends without a word)" in printed
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        talk(done / "qlora", temperature=0.0, seed=-1)


def test_the_verb(done, tmp_path, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    told = [*SMALL, f"base={done / 'base'}", f"data.rows={done / 'talks.jsonl'}"]
    words = ["finetune", "lora", *told, "--out", str(tmp_path / "out")]
    first = CliRunner().invoke(app, words)
    assert first.exit_code == 0, first.output
    assert "lora: lora from" in first.output
    assert losses(tmp_path / "out") == losses(done / "lora")
    assert isinstance(CliRunner().invoke(app, words).exception, ValueError)
    assert CliRunner().invoke(app, [*words, "--resume"]).exit_code == 0
    heard = CliRunner().invoke(app, ["chat", str(tmp_path / "out")], input="")
    assert "Say something." in heard.output


def test_nothing_is_overwritten_and_nothing_mixed_up(done, tmp_path):
    run = small("lora", done)
    with pytest.raises(ValueError, match="holds a run already; go on with --resume"):
        execute_finetune(run, done / "lora", progress=False)
    with pytest.raises(ValueError, match="no checkpoint to go on from; leave --resume out"):
        execute_finetune(run, tmp_path / "new", resume_run=True, progress=False)
    other = override(run, ["adapter.rank=3"])
    with pytest.raises(ValueError, match="was made with other settings"):
        execute_finetune(other, done / "lora", resume_run=True, progress=False)
    with pytest.raises(ValueError, match="a run of another kind"):
        execute_finetune(run, done / "base", resume_run=True, progress=False)


def test_an_adapter_is_not_put_on_another_base(folder, tmp_path):
    run = small("lora", tmp_path, "train.steps=1")
    execute_finetune(run, tmp_path / "out", progress=False)
    open_finetuned(tmp_path / "out")
    model, _ = open_model(str(tmp_path / "base"))
    manifest = load_checkpoint(tmp_path / "base" / "last").manifest
    with torch.no_grad():
        model.embedding.weight[0] += 1
    kept = {key: manifest[key] for key in ("run", "tokenizer")}
    module.save_checkpoint(tmp_path / "base" / "last", model, manifest=kept)
    with pytest.raises(ValueError, match=r"was trained on another .* than there is now"):
        open_finetuned(tmp_path / "out")


def test_every_recipe_is_whole():
    for name in FINETUNES:
        run = find_finetune(name)
        assert (run.name, run.method, run.data.rows) == (name, name, "storyworld")
        assert run.train.warmup_steps < run.train.steps


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda p: find_finetune("lorra"), "no fine-tuning recipe 'lorra'; there are full, lora"),
        (lambda p: override(find_finetune("lora"), ["method=half"]), "one of full, lora, qlora"),
        (lambda p: override(find_finetune("lora"), ["adapter.rank=0"]), "rank must be at least 1"),
        (lambda p: override(find_finetune("lora"), ["adapter.targets=,"]), "targets is empty"),
        (lambda p: override(find_finetune("lora"), ["adapter.dropout=1.0"]), r"lie in \[0, 1\)"),
        (lambda p: override(find_finetune("full"), ["neftune=-1.0"]), "must not be negative"),
        (lambda p: override(find_finetune("full"), ["data.packing=cut"]), "pad, first_fit or best"),
        (lambda p: override(find_finetune("full"), ["data.bad_rows=drop"]), "refuse or skip"),
        (lambda p: override(find_finetune("full"), ["data.answers=first"]), "all or last, got"),
        (lambda p: TalksConfig(n_rows=1), "n_rows must be at least 2"),
        (lambda p: TalksConfig(validation_share=1.0), "validation_share must lie between"),
        (lambda p: TalksConfig(language="fr"), "language must be 'en' or 'zh'"),
        (
            lambda p: override(find_finetune("full"), ["normalise=sum", "train.accumulate=2"]),
            "'sum' needs the whole batch in one pass",
        ),
        (lambda p: open_base(small("full", p, "base=nowhere")), "no model 'nowhere'; take"),
        (lambda p: open_base(small("full", p, "train.context=256")), "longer than the context of"),
        (lambda p: open_finetuned(p), "holds no fine-tuning run"),
        (
            lambda p: execute_finetune(
                small("lora", p, "adapter.targets=nose"), p / "nose", progress=False
            ),
            "no linear layer ends in 'nose'",
        ),
        (
            lambda p: execute_finetune(
                small("full", p, "data.rows=storyworld"), p / "short", progress=False
            ),
            "need train.context of at least 96, got 48",
        ),
    ],
)
def test_bad_input(tmp_path, action, words):
    with pytest.raises(ValueError, match=words):
        action(tmp_path)


def test_files_that_hold_no_talk(tmp_path):
    write_base(tmp_path / "base")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    run = small("full", tmp_path, f"data.rows={tmp_path / 'empty.jsonl'}")
    with pytest.raises(ValueError, match=r"empty.jsonl has 0 talks .*give at least 2"):
        execute_finetune(run, tmp_path / "out", progress=False)
    run = small("full", tmp_path, f"data.rows={tmp_path / 'missing.jsonl'}")
    with pytest.raises(FileNotFoundError, match=r"missing\.jsonl"):
        execute_finetune(run, tmp_path / "out", progress=False)


def test_lora_of_a_recipe_is_that_of_the_room(folder):
    """The same start as apply_lora's, drawn from the run's seed."""
    run = small("lora", folder, "adapter.frame_rows=frozen")
    base, plain = open_base(run), open_base(run).model
    model = adapt(base, run)
    torch.manual_seed(run.train.seed)
    apply_lora(plain, "all", rank=8, alpha=16.0)
    for (name, mine), theirs in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine, theirs), name


def test_the_frame_of_a_talk_is_learned_unless_the_base_knows_it(done):
    run = small("lora", done)
    base = open_base(run)
    assert not base.tuned
    model = adapt(base, run)
    start, end = (base.tokenizer.special_id(name) for name in ("<|im_start|>", "<|im_end|>"))
    (table,) = token_rows(model).values()
    assert table.ids.tolist() == [start, end]
    assert table.rows.requires_grad
    table = model.embedding.base.weight[: base.tokenizer.n_vocab]
    torch.testing.assert_close(model.embedding.rows[1], table.mean(dim=0))
    opened, _ = open_finetuned(done / "lora")
    assert opened.embedding.ids.tolist() == [start, end]
    assert not torch.equal(opened.embedding.rows, model.embedding.rows)
    tuned = small("lora", done, f"base={done / 'full'}")
    assert open_base(tuned).tuned
    assert not token_rows(adapt(open_base(tuned), tuned))
    asked = small("lora", done, f"base={done / 'full'}", "adapter.frame_rows=own")
    model = adapt(open_base(asked), asked)
    assert torch.equal(model.embedding.rows, model.embedding.base.weight[[start, end]])
    with pytest.raises(ValueError, match=r"adapter\.frame_rows must be auto, mean, own or frozen"):
        small("lora", done, "adapter.frame_rows=zero")

"""A run is carried out, stopped, gone on with, and opened again; the same to the last bit."""

import json

import numpy as np
import pytest
import torch

from minillm.recipes import Run, base, execute, from_dict, open_model
from minillm.recipes.execution import validation_loss
from minillm.recipes.publish import answer, publish, text_nats
from minillm.recipes.tokens import Rows
from minillm.tokenizer import Tokenizer
from minillm.train import load_checkpoint, read_metrics


def losses(folder):
    return [r["loss"] for r in read_metrics(folder / "metrics.jsonl") if "loss" in r]


def test_a_run_writes_settings_metrics_and_a_checkpoint(small_run, tmp_path):
    out = tmp_path / "out"
    last = execute(small_run, out, progress=False)
    assert from_dict(json.loads((out / "run.json").read_text()), Run) == small_run
    assert len(losses(out)) == 6
    manifest = load_checkpoint(last).manifest
    assert manifest["step"] == 6
    assert from_dict(manifest["run"], Run) == small_run
    metrics = read_metrics(out / "metrics.jsonl")
    assert any("validation_loss" in str(row) for row in metrics)


def test_stopped_and_gone_on_with_is_the_undisturbed_run(small_run, tmp_path, monkeypatch):
    whole = execute(small_run, tmp_path / "whole", progress=False)

    class Stop(Exception):
        pass

    import minillm.recipes.execution as module

    real = module.checkpointer

    def stopping(folder, **kw):
        save = real(folder, **kw)

        def stop_at_three(model, optimizer, state):
            save(model, optimizer, state)
            if state.step == 3:
                raise Stop

        return stop_at_three

    monkeypatch.setattr(module, "checkpointer", stopping)
    with pytest.raises(Stop):
        execute(small_run, tmp_path / "parts", progress=False)
    monkeypatch.setattr(module, "checkpointer", real)
    torch.manual_seed(99)  # whatever happens in between
    parts = execute(small_run, tmp_path / "parts", resume_run=True, progress=False)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    weights = [open_model(str(f))[0].state_dict() for f in (whole, parts)]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


class Successor(torch.nn.Module):
    """Gives the next number the logit 3, all others of 50 the logit 0."""

    def __init__(self):
        super().__init__()
        self.logit = torch.nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        return self.logit * torch.nn.functional.one_hot(x + 1, 50)


def test_validation_loss_by_hand(small_run):
    counting = np.arange(17) + np.array([[0], [5], [9], [30]])
    right, wrong = np.log(np.exp(3) + 49) - 3, np.log(np.exp(3) + 49)
    rows = Rows(None, counting.ravel(), 17, 4.0)
    assert validation_loss(Successor(), rows, small_run) == pytest.approx(right)
    rows = Rows(None, np.concatenate([counting[:2], counting[2:, ::-1]]).ravel(), 17, 4.0)
    assert validation_loss(Successor(), rows, small_run) == pytest.approx((right + wrong) / 2)
    first = validation_loss(Successor(), rows, small_run, n_batches=1)  # two rows
    assert first == pytest.approx(right)


def test_nothing_is_overwritten_and_nothing_mixed_up(small_run, change, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="no checkpoint to go on from; leave --resume out"):
        execute(small_run, out, resume_run=True, progress=False)
    execute(small_run, out, progress=False)
    with pytest.raises(ValueError, match="holds a run already; go on with --resume"):
        execute(small_run, out, progress=False)
    with pytest.raises(ValueError, match="made with other settings"):
        execute(change(small_run, "optimizer", lr=0.5), out, resume_run=True, progress=False)


def test_a_vocabulary_too_small_is_refused(small_run, change, tmp_path):
    small = change(small_run, "model", vocab_size=100)
    with pytest.raises(ValueError, match=r"has 6144 entries, the model only model.vocab_size=100"):
        execute(small, tmp_path / "out", progress=False)


def test_a_context_longer_than_the_model_is_refused(small_run, change):
    with pytest.raises(ValueError, match=r"train.context=17 is longer than model.context=16"):
        change(small_run, "train", context=17)


def test_open_model_names_what_there_is(tmp_path):
    with pytest.raises(ValueError, match=r"no model 'nowhere'; take .*runs/laptop"):
        open_model("nowhere")


def test_a_reward_model_is_not_opened_as_a_language_model():
    with pytest.raises(ValueError, match="chat_reward is a reward model, which scores answers"):
        base("chat_reward")


def test_an_altered_checkpoint_is_refused_by_name(small_run, tmp_path):
    last = execute(small_run, tmp_path / "out", progress=False)
    weights = last / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(ValueError, match=r"model.safetensors is cut short or altered"):
        open_model(str(tmp_path / "out"))


def test_a_model_is_not_opened_with_another_tokenizer(small_run, change, tmp_path):
    single_bytes = {i: bytes([i]) for i in range(256)}
    Tokenizer(single_bytes, [], ["<|endoftext|>"]).save(tmp_path / "tokenizer")
    run = change(small_run, "data", tokenizer=str(tmp_path / "tokenizer"))
    execute(run, tmp_path / "out", progress=False)
    assert open_model(str(tmp_path / "out"))[1].n_vocab == 257
    Tokenizer(single_bytes, [], ["<|endoftext|>", "<|pad|>"]).save(tmp_path / "tokenizer")
    with pytest.raises(ValueError, match="was trained with another tokenizer"):
        open_model(str(tmp_path / "out"))


def test_text_nats_counts_every_token_once(small_run, tmp_path):
    execute(small_run, tmp_path / "out", progress=False)
    model, tokenizer = open_model(str(tmp_path / "out"))
    text = "Text 3. word1 and word8 and word2 and word5 and word9 and word1 and word3."
    ids = tokenizer.encode(text)
    assert len(ids) > model.config.context  # more than one piece
    torch.nn.init.zeros_(model.embedding.weight)  # every token equally likely
    uniform = torch.log(torch.tensor(float(model.config.vocab_size))).item()
    assert text_nats(model, tokenizer, text) == pytest.approx((len(ids) + 1) * uniform, rel=1e-5)


def test_publish_keeps_the_better_model(small_run, change, tmp_path, monkeypatch):
    from minillm.recipes import publish as module

    execute(small_run, tmp_path / "good", progress=False)
    worse = change(small_run, "optimizer", lr=1e-6)
    execute(worse, tmp_path / "bad", progress=False)
    rows = [
        {"language": lang, "kind": "quiz", "text": f"Text 1. word1 and.\n\n{ask} x\n{a} y"}
        for lang, ask, a in (("en", "Question:", "Answer:"), ("zh", "问：", "答："))
    ]
    monkeypatch.setattr(module, "read_validation", lambda: rows)
    measured = publish(tmp_path / "good", "m", into=tmp_path / "shipped")
    assert measured["en"]["bits_per_byte"] > 0
    assert set(measured) == {"en", "zh"}
    with pytest.raises(ValueError, match="m is kept: the new run reaches"):
        publish(tmp_path / "bad", "m", into=tmp_path / "shipped")
    manifest = load_checkpoint(tmp_path / "shipped" / "m").manifest
    assert manifest["measured"] == measured
    stored = (tmp_path / "shipped" / "m" / "model.safetensors").stat().st_size
    assert stored < 0.55 * (tmp_path / "good" / "last" / "model.safetensors").stat().st_size


def test_an_answer_is_one_line(small_run, tmp_path):
    execute(small_run, tmp_path / "out", progress=False)
    model, tokenizer = open_model(str(tmp_path / "out"))
    assert "\n" not in answer(model, tokenizer, "Text 1.\n\nQuestion: x\nAnswer:", max_new_tokens=4)

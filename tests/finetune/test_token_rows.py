"""A few rows of the vocabulary that learn: exact values, adapters, files, and peft."""

import copy
import json
from dataclasses import replace

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from minillm.finetune.adapter_files import SETTINGS, TENSORS, load_adapter, save_adapter
from minillm.finetune.lora import apply_lora
from minillm.finetune.merge import drop_adapters, fold_adapters
from minillm.finetune.switch import activate, adapter_parameters, by_row, remove_adapter, using
from minillm.finetune.token_rows import TokenRows, learn_rows, token_rows
from minillm.inference import generate
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, NormConfig
from minillm.model.hf import to_transformers
from minillm.objectives import causal_loss

TIED = DecoderConfig(
    vocab_size=50,  # 78 rows of padding
    d_model=16,
    n_layers=2,
    context=16,
    attention=AttentionConfig(4, 2),
    feedforward=FeedForwardConfig("swiglu", 24),
    norm=NormConfig("rmsnorm", 1e-6),
    init_std=0.3,
)
UNTIED = replace(TIED, tie_embeddings=False)
IDS = torch.randint(0, 50, (2, 9), generator=torch.Generator().manual_seed(0))
IDS[0, 3] = IDS[1, 1] = 7
LEARNED = [7, 49]


def pair(config=TIED, *, move=True, **options):
    torch.manual_seed(0)
    base = Decoder(config, dtype=torch.float64)
    model = learn_rows(apply_lora(copy.deepcopy(base), rank=2, alpha=6), LEARNED, **options)
    with torch.no_grad():
        for param in adapter_parameters(model).values() if move else ():
            param.add_(0.3 * torch.randn_like(param)).copy_(param.float())
    return base, model


@pytest.mark.parametrize("config", [TIED, UNTIED])
def test_the_model_is_the_base_until_it_learns(config):
    base, model = pair(config, move=False)
    assert torch.equal(model(IDS), base(IDS))
    n_tables = 1 if config.tie_embeddings else 2
    assert sorted(token_rows(model)) == sorted(["embedding", "head"][:n_tables])
    rows = [p for name, p in adapter_parameters(model).items() if name.endswith("rows")]
    assert [tuple(p.shape) for p in rows] == [(2, 16)] * n_tables
    assert all(p.requires_grad for p in rows)
    assert not model.embedding.base.weight.requires_grad


def test_the_mean_is_of_rows_that_have_a_token():
    base, model = pair(move=False, start="mean")
    mean = base.embedding.weight[:50].mean(dim=0)
    torch.testing.assert_close(model.embedding.rows, mean.expand(2, -1))
    assert not torch.equal(model(IDS), base(IDS))


@pytest.mark.parametrize("config", [TIED, UNTIED])
def test_gradients_are_those_of_the_rows_of_the_table(config):
    _, model = pair(config)
    whole = fold_adapters(copy.deepcopy(model))
    for one in (model, whole):
        causal_loss(one, IDS[:, :-1], IDS[:, 1:]).backward()
    for place, table in token_rows(model).items():
        torch.testing.assert_close(table.rows.grad, getattr(whole, place).weight.grad[LEARNED])
        assert table.base.weight.grad is None


def test_training_moves_these_rows_and_no_others():
    base, model = pair(move=False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    causal_loss(model, IDS[:, :-1], IDS[:, 1:]).backward()
    optimizer.step()
    table, old = model.embedding.weight, base.embedding.weight
    changed = (table != old).any(dim=1).nonzero().flatten().tolist()
    assert changed == LEARNED
    assert torch.equal(model.embedding.base.weight, old)


@torch.no_grad()
def test_rows_count_while_their_adapter_is_active():
    base, model = pair()
    said = model(IDS)
    with using(model, ()):
        assert torch.equal(model(IDS), base(IDS))
    assert torch.equal(model(IDS), said)
    apply_lora(model, ["k"], rank=1, name="other")
    activate(model, "other", train=True)
    assert torch.equal(model(IDS), base(IDS))  # B of the new one is zero
    assert not model.embedding.rows.requires_grad
    with using(model, "default"):
        assert torch.equal(model(IDS), said)
    assert torch.equal(model(IDS), base(IDS))
    activate(model, "default", train=True)
    assert torch.equal(model(IDS), said)
    assert model.embedding.rows.requires_grad
    assert set(adapter_parameters(model, "other")) == {
        f"blocks.{n}.attention.k.adapters.other.{part}" for n in (0, 1) for part in "ab"
    }
    remove_adapter(model, "default")
    assert not token_rows(model)
    assert torch.equal(model(IDS), base(IDS))


@torch.no_grad()
@pytest.mark.parametrize("config", [TIED, UNTIED])
def test_folded_and_dropped(config):
    base, model = pair(config)
    said = model(IDS)
    folded = fold_adapters(copy.deepcopy(model))
    torch.testing.assert_close(folded(IDS), said, rtol=0, atol=1e-12)
    assert sorted(folded.state_dict()) == sorted(base.state_dict())
    assert torch.equal(folded.embedding.weight[LEARNED], model.embedding.rows)
    dropped = drop_adapters(model)
    assert torch.equal(dropped(IDS), base(IDS))
    assert all(p.requires_grad for p in dropped.parameters())


@torch.no_grad()
def test_generation_sees_the_rows():
    _, model = pair()
    model.embedding.rows[0] *= 100
    folded = fold_adapters(copy.deepcopy(model))
    assert torch.equal(generate(model, IDS[:1], 5), generate(folded, IDS[:1], 5))


@torch.no_grad()
@pytest.mark.parametrize("naming", ["llama", "minillm"])
@pytest.mark.parametrize("config", [TIED, UNTIED])
def test_files_there_and_back(tmp_path, config, naming):
    base, model = pair(config)
    save_adapter(model, tmp_path, naming=naming)
    again = load_adapter(copy.deepcopy(base), tmp_path, name="other")
    assert torch.equal(again(IDS), model(IDS))
    assert not any(p.requires_grad for p in again.parameters())
    with using(again, ()):
        assert torch.equal(again(IDS), base(IDS))


@torch.no_grad()
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("config", [TIED, UNTIED])
def test_peft_reads_ours_and_we_read_theirs(tmp_path, wide, config):
    base, model = pair(config)
    save_adapter(model, tmp_path / "ours")
    theirs = peft.PeftModel.from_pretrained(to_transformers(base), tmp_path / "ours")
    theirs = theirs.double().eval()
    logits = model(IDS)
    assert (logits - base(IDS)).abs().max() > 0.05
    torch.testing.assert_close(theirs(IDS).logits, logits, rtol=0, atol=1e-9)
    theirs.save_pretrained(tmp_path / "theirs")
    again = load_adapter(copy.deepcopy(base), tmp_path / "theirs")
    torch.testing.assert_close(again(IDS), logits, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("ids", "start", "words"),
    [
        ([], "own", r"distinct, from 0 to 49; got \[\]"),
        ([3, 3], "own", r"got \[3, 3\]"),
        ([50], "own", r"got \[50\]"),  # a row of padding
        ([-1], "own", r"got \[-1\]"),
        ([1], "zero", "start must be 'own' or 'mean', got 'zero'"),
    ],
)
def test_wrong_rows_are_refused(ids, start, words):
    model = Decoder(TIED)
    with pytest.raises(ValueError, match=words):
        learn_rows(model, ids, start=start)
    assert not token_rows(model)


def test_once_and_for_whole_batches():
    _, model = pair()
    with pytest.raises(ValueError, match="rows of this model learn already"):
        learn_rows(model, [1])
    with pytest.raises(ValueError, match="count for the whole batch"), by_row(model, ["default"]):
        pass
    assert "ids=[7, 49]" in repr(model)
    assert isinstance(model.embedding, TokenRows)


@pytest.mark.parametrize(
    "change",
    [
        lambda s, w: s.update(trainable_token_indices={"embed_tokens": [7]}),
        lambda s, w: s.update(trainable_token_indices={"embed_tokens": [7, 50]}),
        lambda s, w: s.update(trainable_token_indices=None),
        lambda s, w: s.update(trainable_token_indices={"embed_tokens": [7, 49], "lm_head": [7]}),
        lambda s, w: [w.pop(key) for key in list(w) if "tokens_delta" in key],
        lambda s, w: w.update({k.replace("embed_tokens", "lm_head"): 1 * v for k, v in w.items()}),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, change):
    base, model = pair()
    save_adapter(model, tmp_path)
    settings = json.loads((tmp_path / SETTINGS).read_text())
    weights = load_file(tmp_path / TENSORS)
    change(settings, weights)
    (tmp_path / SETTINGS).write_text(json.dumps(settings))
    save_file(weights, tmp_path / TENSORS)
    before = copy.deepcopy(base.state_dict())
    with pytest.raises(ValueError, match=r"learned rows for .*do not fit this model"):
        load_adapter(base, tmp_path)
    assert list(base.state_dict()) == list(before)
    with pytest.raises(ValueError, match="the file brings more"):
        load_adapter(model, tmp_path, name="second")

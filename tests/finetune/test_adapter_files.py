"""Adapters in files: there and back, what is refused, and peft reading ours (and we theirs)."""

import copy
import json
from dataclasses import replace

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from minillm.finetune.adapter_files import SETTINGS, TENSORS, load_adapter, save_adapter
from minillm.finetune.dora import DoRALinear
from minillm.finetune.lora import LoRALinear, apply_lora, lora_layers
from minillm.finetune.merge import fold_adapters
from minillm.finetune.switch import activate, adapter_names, adapter_parameters
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, NormConfig
from minillm.model.hf import to_transformers
from minillm.model.position import PositionConfig

CONFIG = DecoderConfig(
    vocab_size=50,
    d_model=16,
    n_layers=2,
    context=16,
    attention=AttentionConfig(4, 2),
    feedforward=FeedForwardConfig("swiglu", 24),
    norm=NormConfig("rmsnorm", 1e-6),
    tie_embeddings=False,
    init_std=0.3,
)
IDS = torch.randint(0, 50, (2, 9), generator=torch.Generator().manual_seed(0))


def pair(targets=("q", "v"), layer=LoRALinear, seed=0, config=CONFIG, **options):
    """A base in float64, and the same with an adapter that has learned."""
    torch.manual_seed(seed)
    base = Decoder(config, dtype=torch.float64)
    model = apply_lora(
        copy.deepcopy(base), targets, layer=layer, **{"rank": 2, "alpha": 6} | options
    )
    learn(model)
    return base, model


@torch.no_grad()
def learn(model):
    """Move A, B and m to numbers that float32 can hold: peft reads files in float32."""
    for param in adapter_parameters(model).values():
        param.add_(0.3 * torch.randn_like(param)).copy_(param.float())


VARIANTS = [
    {},
    {"targets": "all", "stable": True, "dropout": 0.1},
    {"targets": ["blocks.1.attention.q", "up"]},
    {"targets": "all", "layer": DoRALinear},
    {"targets": ["q", "head"]},
]


@torch.no_grad()
@pytest.mark.parametrize("naming", ["llama", "minillm"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_there_and_back(tmp_path, naming, variant):
    base, model = pair(**variant)
    save_adapter(model, tmp_path / "new" / "folder", naming=naming)
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [SETTINGS, TENSORS]
    state = torch.random.get_rng_state()
    again = load_adapter(base, tmp_path / "new" / "folder", name="other")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(again.eval()(IDS), model.eval()(IDS))
    assert not any(p.requires_grad for p in again.parameters())
    for path, layer in lora_layers(model).items():
        ours, theirs = layer.adapters["default"], lora_layers(again)[path].adapters["other"]
        assert (ours.rank, ours.alpha, ours.stable, ours.dropout) == (
            theirs.rank, theirs.alpha, theirs.stable, theirs.dropout,
        )  # fmt: skip


@torch.no_grad()
def test_ranks_that_differ_go_into_patterns(tmp_path):
    base, model = pair(("q",), rank=3, alpha=3, name="mixed")
    apply_lora(model, ["blocks.1.feedforward.up"], rank=1, alpha=5, name="mixed")
    learn(model)
    save_adapter(model, tmp_path, name="mixed")
    settings = json.loads((tmp_path / SETTINGS).read_text())
    place = "model.layers.1.mlp.up_proj"
    assert settings["rank_pattern"] == {place: 1}
    assert settings["alpha_pattern"] == {place: 5}
    assert place in settings["target_modules"]  # not all of up_proj: whole names
    load_adapter(base, tmp_path)
    assert torch.equal(base(IDS), model(IDS))


@torch.no_grad()
def test_two_files_beside_one_base(tmp_path):
    base, first = pair(seed=0)
    _, second = pair(("v", "down"), seed=1)
    for name, model in (("one", first), ("two", second)):
        save_adapter(model, tmp_path / name)
        load_adapter(base, tmp_path / name, name=name, train=name == "two")
    assert adapter_names(base) == ["one", "two"]
    learning = {name for name, p in base.named_parameters() if p.requires_grad}
    assert learning == set(adapter_parameters(base, "two"))
    activate(base, "one")
    assert torch.equal(base(IDS), first(IDS))
    with pytest.raises(ValueError, match="there is an adapter 'one' already"):
        load_adapter(base, tmp_path / "one", name="one")


CHANGES = [
    ({"peft_type": "IA3"}, "'IA3' adapter"),
    ({"bias": "all"}, "bias='all'"),
    ({"modules_to_save": ["lm_head"]}, "modules_to_save="),
    ({"fan_in_fan_out": True}, "fan_in_fan_out=True"),
    ({"lora_bias": True}, "lora_bias=True"),
    ({"layer_replication": [[0, 1]]}, "layer_replication="),
    ({"a_setting_of_tomorrow": 3}, "a_setting_of_tomorrow=3"),
    ({"init_lora_weights": "pissa_niter_4"}, "changes the base before the training"),
    ({"init_lora_weights": "olora"}, "changes the base before the training"),
    ({"use_dora": True}, r"\['a', 'b'\] in the file, needs \['a', 'b', 'm'\]"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_file_that_wants_more_than_we_can_is_refused(tmp_path, change, message):
    base, model = pair()
    save_adapter(model, tmp_path)
    settings = json.loads((tmp_path / SETTINGS).read_text()) | change
    (tmp_path / SETTINGS).write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=message):
        load_adapter(base, tmp_path)
    assert not lora_layers(base)
    assert all(p.requires_grad for p in base.parameters())


@pytest.mark.parametrize("harmless", [{"init_lora_weights": "gaussian"}, {"task_type": None}])
def test_what_does_not_matter_is_read_over(tmp_path, harmless):
    base, model = pair()
    save_adapter(model, tmp_path)
    settings = json.loads((tmp_path / SETTINGS).read_text()) | harmless
    (tmp_path / SETTINGS).write_text(json.dumps(settings))
    assert torch.equal(load_adapter(base, tmp_path)(IDS), model(IDS))


Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({Q.replace("0", "7") + ".lora_A.weight": torch.ones(2, 16)}, "no place for .*layers.7"),
        ({Q + ".lora_C.weight": torch.ones(2, 16)}, "no place for .*lora_C"),
        ({Q + ".lora_B.bias": torch.ones(16)}, "no place for .*lora_B.bias"),
        ({Q + ".base_layer.weight": torch.ones(16, 16)}, "no place for .*base_layer"),
        ({Q + ".lora_A.weight": torch.ones(2, 20)}, r"\(16, 20\) in the file, the model has"),
        ({Q + ".lora_A.weight": torch.ones(3, 16)}, "or belongs to another base"),
        ({Q + ".lora_A.weight": None}, r"\['b'\] in the file"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, change, message):
    base, model = pair()
    save_adapter(model, tmp_path)
    weights = load_file(tmp_path / TENSORS) | change
    save_file({k: v for k, v in weights.items() if v is not None}, tmp_path / TENSORS)
    with pytest.raises(ValueError, match=message):
        load_adapter(base, tmp_path)
    assert not lora_layers(base)


def test_what_cannot_be_written_is_refused(tmp_path):
    base, model = pair()
    with pytest.raises(ValueError, match=r"no adapter 'x' to save; there are \['default'\]"):
        save_adapter(model, tmp_path, name="x")
    with pytest.raises(ValueError, match="naming must be minillm or"):
        save_adapter(model, tmp_path, naming="gpt2")
    with pytest.raises(ValueError, match="naming must be minillm or"):
        save_adapter(apply_lora(nn.ModuleDict({"q": nn.Linear(3, 3)}), ["q"]), tmp_path)
    turned = PositionConfig("rope", interleaved=True)
    with pytest.raises(ValueError, match="pairs RoPE's coordinates side by side"):
        save_adapter(apply_lora(Decoder(replace(CONFIG, position=turned))), tmp_path)
    apply_lora(model, ["k"], rank=1, stable=True, name="mixed")
    apply_lora(model, ["out"], rank=1, name="mixed")
    with pytest.raises(ValueError, match="'mixed' is of several kinds"):
        save_adapter(model, tmp_path, name="mixed")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        load_adapter(base, tmp_path)
    _, dora = pair(layer=DoRALinear)
    save_adapter(dora, tmp_path)
    with pytest.raises(ValueError, match="is a LoRALinear already"):
        load_adapter(model, tmp_path, name="dora")


@torch.no_grad()
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("variant", VARIANTS)
def test_peft_reads_ours_and_we_read_theirs(tmp_path, wide, variant):
    base, model = pair(**variant)
    theirs = to_transformers(base)
    gap = (theirs(IDS).logits - base(IDS)).abs().max()
    save_adapter(model, tmp_path / "ours")
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "ours").double().eval()
    logits = model.eval()(IDS)
    assert (logits - base(IDS)).abs().max() > 0.05
    assert gap < 1e-9
    torch.testing.assert_close(theirs(IDS).logits, logits, rtol=0, atol=1e-9)
    theirs.save_pretrained(tmp_path / "theirs")
    again = load_adapter(copy.deepcopy(base), tmp_path / "theirs")
    torch.testing.assert_close(again.eval()(IDS), logits, rtol=0, atol=1e-9)
    merged = theirs.merge_and_unload()
    torch.testing.assert_close(merged(IDS).logits, fold_adapters(again)(IDS), rtol=0, atol=1e-9)

"""The ledger of LoRA against the live tensors of a real step."""

from dataclasses import replace

import pytest
import torch

from minillm.finetune.budget import matrix_widths
from minillm.finetune.lora import apply_lora
from minillm.finetune.lora_ledger import lora_activation_numbers, lora_ledger
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, NormConfig
from minillm.model.position import PositionConfig
from minillm.objectives import causal_loss
from minillm.train import OptimizerConfig, make_optimizer
from minillm.train.memory import memory_ledger


def config(kv=None, kind="swiglu", norm="rmsnorm", position="rope"):
    return DecoderConfig(
        vocab_size=500,
        d_model=64,
        n_layers=3,
        context=32,
        attention=AttentionConfig(n_heads=4, n_kv_heads=kv),
        feedforward=FeedForwardConfig(kind=kind, width=160),
        norm=NormConfig(kind=norm),
        position=PositionConfig(position),
    )


def nbytes(tensors):
    """Bytes of the storages behind tensors, each storage once."""
    return sum({(s := t.untyped_storage()).data_ptr(): s.nbytes() for t in tensors}.values())


def saved(model, x):
    """Bytes that autograd keeps for the backward pass, without the weights."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = []

    def pack(t):
        if t.untyped_storage().data_ptr() not in weights:
            kept.append(t)
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        loss = causal_loss(model, x, x)
    loss.backward()
    return nbytes(kept)


TARGETS = [("q", "v"), ("v",), ("out",), ("up",), ("down",), ("q", "down"), "all"]


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kv": 2, "kind": "gelu"},
        {"norm": "layernorm", "position": "learned"},
        {"kind": "gelu", "position": "none"},
    ],
)
def test_activations_within_one_percent(targets, settings):
    c = config(**settings)
    torch.manual_seed(0)
    model = apply_lora(Decoder(c), targets, rank=4)
    x = torch.randint(0, 500, (4, 32))
    model(x)  # RoPE's table is made once
    names = tuple(matrix_widths(c)) if targets == "all" else targets
    ledger = lora_ledger(c, names, 4, 4)
    assert ledger.activations + ledger.loss == pytest.approx(saved(model, x), rel=0.01)
    if targets != "all":  # the r numbers of seven adapters can be more than what is spared
        assert ledger.activations < memory_ledger(c, 4).activations


@pytest.mark.parametrize("targets", [("gate",), ("gate", "up"), ("gate", "down")])
def test_a_gate_in_the_first_block(targets):
    """Below it nothing learns: what the product of gate and up needs depends on who has one."""
    c = config()
    model = apply_lora(Decoder(c), targets, rank=4)
    x = torch.randint(0, 500, (4, 32))
    model(x)
    ledger = lora_ledger(c, targets, 4, 4)
    assert ledger.activations + ledger.loss == pytest.approx(saved(model, x), rel=0.01)


def test_weights_gradients_and_optimizer_are_exact():
    c = config(kv=2)
    model = apply_lora(Decoder(c), ("q", "v", "down"), rank=5)
    optimizer = make_optimizer(model, OptimizerConfig())
    x = torch.randint(0, 500, (2, 8))
    causal_loss(model, x, x).backward()
    optimizer.step()
    ledger = lora_ledger(c, ("q", "v", "down"), 5, 2, 8)
    assert ledger.parameters == nbytes(model.parameters())
    assert ledger.gradients == nbytes([p.grad for p in model.parameters() if p.grad is not None])
    assert ledger.optimizer == nbytes([s[k] for s in optimizer.state.values() for k in "mv"])
    assert ledger.copies == 0


def test_formats_change_what_they_should():
    c = config()
    full = lora_ledger(c, ("q",), 2, 4)
    half = lora_ledger(c, ("q",), 2, 4, bytes_per_weight=2)
    n = sum(p.numel() for p in Decoder(c).parameters())
    assert full.parameters - half.parameters == 2 * n
    matrices = sum(p.numel() for p in Decoder(c).blocks.parameters() if p.ndim == 2)
    coded = lora_ledger(c, ("q",), 2, 4, bytes_per_weight=2, bytes_per_matrix=0.5)
    assert half.parameters - coded.parameters == 1.5 * matrices
    assert (full.gradients, full.optimizer) == (coded.gradients, coded.optimizer)
    narrow = lora_ledger(c, ("q",), 2, 4, bytes_per_activation=2, optimizer_numbers=0)
    assert narrow.activations * 2 == full.activations
    assert narrow.optimizer == 0
    assert lora_ledger(c, ("q",), 2, 4, 16).activations * 2 == full.activations


def test_a_longer_list_of_targets_keeps_more():
    c = config()
    numbers = [
        lora_activation_numbers(c, targets, 1) for targets in (("q",), ("q", "v"), ("q", "down"))
    ]
    assert numbers == sorted(numbers)
    assert numbers[1] - numbers[0] == c.n_layers
    assert numbers[2] - numbers[0] == c.n_layers * (160 + 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": NormConfig(place="post")}, "pre-norm models"),
        ({"parallel": True}, "pre-norm models"),
        ({"attention": AttentionConfig(4, implementation="readable")}, "implementation='readable'"),
    ],
)
def test_other_kinds_of_models_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        lora_ledger(replace(config(), **changes), ("q",), 2, 4)


def test_wrong_sizes_and_targets_are_refused():
    for wrong in ((("q",), 0, 4), (("q",), 2, 0), (("q",), 2, 4, 0)):
        with pytest.raises(ValueError, match="sizes must be positive"):
            lora_ledger(config(), *wrong)
    with pytest.raises(ValueError, match="sizes must be positive"):
        lora_ledger(config(), ("q",), 2, 4, bytes_per_matrix=-1)
    with pytest.raises(ValueError, match="targets must be among"):
        lora_ledger(config(), ("w",), 2, 4)

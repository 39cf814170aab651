"""The ledger against the live tensors of a real step."""

import itertools
from dataclasses import replace

import pytest
import torch

from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, NormConfig
from minillm.model.position import PositionConfig
from minillm.objectives import causal_loss, fast_cross_entropy
from minillm.train import OptimizerConfig, make_optimizer
from minillm.train.memory import MemoryLedger, activation_numbers, memory_ledger


def config(n_kv_heads=None, implementation="fast", kind="swiglu", norm="rmsnorm", context=32):
    return DecoderConfig(
        vocab_size=500,
        d_model=64,
        n_layers=3,
        context=context,
        attention=AttentionConfig(n_heads=4, n_kv_heads=n_kv_heads, implementation=implementation),
        feedforward=FeedForwardConfig(kind=kind, width=160),
        norm=NormConfig(kind=norm),
    )


def nbytes(tensors):
    """Bytes of the storages behind tensors, each storage once."""
    return sum({(s := t.untyped_storage()).data_ptr(): s.nbytes() for t in tensors}.values())


def saved_bytes(model, loss_of):
    """Bytes that autograd keeps for the backward pass, without the weights."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = []

    def pack(t):
        if t.untyped_storage().data_ptr() not in weights:
            kept.append(t)
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        loss = loss_of()
    loss.backward()
    return nbytes(kept)


CASES = list(itertools.product([None, 1, 2], ["fast", "readable"], ["swiglu", "gelu"], [True]))
CASES += [(None, "fast", "swiglu", False), (2, "fast", "gelu", False)]


@pytest.mark.parametrize(("n_kv_heads", "implementation", "kind", "rms"), CASES)
@pytest.mark.parametrize("fused", [True, False])
def test_activations_within_ten_percent(n_kv_heads, implementation, kind, rms, fused):
    model = Decoder(config(n_kv_heads, implementation, kind, "rmsnorm" if rms else "layernorm"))
    x = torch.randint(0, 500, (4, 32))

    def loss_of():
        return causal_loss(model, x, x) if fused else fast_cross_entropy(model(x), x)

    ledger = memory_ledger(model.config, 4, 32, fused_loss=fused)
    measured = saved_bytes(model, loss_of)
    assert ledger.activations + ledger.loss == pytest.approx(measured, rel=0.01)


@pytest.mark.parametrize("place", ["pre", "post"])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("narrow", [True, False])
def test_what_leaves_the_stack_is_counted_once(place, fused, narrow):
    """The features belong to the loss: the fused one drops them, the other keeps them."""
    model = Decoder(replace(config(), norm=NormConfig(place=place)))
    x = torch.randint(0, 500, (4, 32))
    with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        measured = saved_bytes(
            model,
            lambda: causal_loss(model, x, x) if fused else fast_cross_entropy(model(x), x),
        )
    ledger = memory_ledger(model.config, 4, 32, fused_loss=fused, autocast=narrow)
    missing = measured - ledger.activations - ledger.loss - ledger.copies
    assert 0 <= missing < 4 * 32 * 64 * 2  # ids, and RoPE's table; less than the features


@pytest.mark.parametrize("kind", ["rope", "learned", "alibi", "t5", "none"])
@pytest.mark.parametrize("window", [None, 8])
@pytest.mark.parametrize("n_rows", [1, 3])
def test_positions_and_windows(kind, window, n_rows):
    base = config(n_kv_heads=2, context=64)
    attention = replace(base.attention, window=window, head_width=24)
    model = Decoder(replace(base, attention=attention, position=PositionConfig(kind)))
    x = torch.randint(0, 500, (n_rows, 64))
    model(x)  # tables that are made once
    measured = saved_bytes(model, lambda: causal_loss(model, x, x))
    ledger = memory_ledger(model.config, n_rows, 64)
    tolerance = 0.03 if kind == "t5" else 0.01  # T5's table of ranges is not counted
    assert ledger.activations + ledger.loss == pytest.approx(measured, rel=tolerance)


def test_weights_gradients_and_optimizer_are_exact():
    model = Decoder(config())
    optimizer = make_optimizer(model, OptimizerConfig())
    x = torch.randint(0, 500, (2, 8))
    causal_loss(model, x, x).backward()
    optimizer.step()
    ledger = memory_ledger(model.config, 2, 8)
    assert ledger.parameters == nbytes(model.parameters())
    assert ledger.gradients == nbytes([p.grad for p in model.parameters()])
    assert ledger.optimizer == nbytes([s[k] for s in optimizer.state.values() for k in "mv"])


def test_total_adds_up_and_is_told():
    ledger = MemoryLedger(1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000)
    assert ledger.total == 15_000_000
    told = str(ledger).splitlines()
    assert [line.split()[0] for line in told] == [
        "parameters", "gradients", "optimizer", "activations", "loss", "total",
    ]  # fmt: skip
    assert [line.split()[1] for line in told] == ["1.0", "2.0", "3.0", "4.0", "5.0", "15.0"]


def test_what_grows_with_what():
    base = memory_ledger(config(), 4, 32)
    double = memory_ledger(config(), 8, 32)
    assert double.activations == 2 * base.activations
    assert double.parameters == base.parameters
    assert memory_ledger(config(context=32), 4) == base  # the context of the config is the default
    half = memory_ledger(config(), 4, 32, bytes_per_activation=2)
    assert 2 * half.activations == base.activations
    assert memory_ledger(config(), 4, 32, bytes_per_weight=2).parameters == base.parameters // 2
    assert memory_ledger(config(), 4, 32, optimizer_numbers=0).optimizer == 0
    readable = config(implementation="readable")
    assert activation_numbers(readable, 64) - activation_numbers(readable) == 3 * 2 * 4 * 32


@pytest.mark.parametrize(
    ("batch_size", "more"),
    [(0, {}), (1, {"context": 0}), (1, {"bytes_per_weight": 0}), (1, {"optimizer_numbers": -1})],
)
def test_sizes_must_make_sense(batch_size, more):
    with pytest.raises(ValueError, match=f"got batch_size={batch_size}"):
        memory_ledger(config(), batch_size, **more)

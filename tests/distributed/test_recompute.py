"""Recomputation by hand against plain training and against torch.utils.checkpoint, to the bit."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint as torch_checkpoint

from minillm.distributed import recompute
from minillm.distributed.recompute import (
    POLICIES,
    Surroundings,
    checkpoint,
    checkpoint_chain,
    recomputing,
)
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, KVCache
from minillm.model.position import PositionConfig
from minillm.model.routing import ExpertsConfig
from minillm.objectives import causal_loss
from minillm.train.live_memory import saved_bytes
from minillm.train.precision import autocast


def decoder(**changes):
    torch.manual_seed(1)
    config = {
        "vocab_size": 60,
        "d_model": 16,
        "n_layers": 3,
        "context": 12,
        "attention": AttentionConfig(n_heads=2),
        "feedforward": FeedForwardConfig("swiglu", 32),
    }
    return Decoder(DecoderConfig(**(config | changes)))


def ids(seed=0):
    return torch.randint(0, 60, (2, 12), generator=torch.Generator().manual_seed(seed))


def gradients(model, policy="none", every=1, precision="float32"):
    model.zero_grad()
    with recomputing(model, policy, every=every):
        with autocast(precision):
            loss = causal_loss(model, ids(), ids(1))
        loss.backward()
    return [loss.detach()] + [p.grad.clone() for p in model.parameters()]


def same(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_loss_and_gradients_are_the_same_to_the_bit(policy, every, precision):
    model = decoder()
    plain = gradients(model, precision=precision)
    assert same(gradients(model, policy, every, precision), plain)
    assert same(gradients(model, precision=precision), plain)  # afterwards all is as before


def test_relative_positions_that_are_learned_get_their_gradient():
    model = decoder(position=PositionConfig("t5"))
    plain = gradients(model)
    found = gradients(model, "block")
    torch.testing.assert_close(found, plain)  # all blocks share the bias: its sum is another
    assert all(p.grad.abs().sum() > 0 for p in model.relative.parameters())


class Noisy(nn.Module):
    """A layer with dropout, and a weight."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(6, 6)

    def forward(self, x, scale=1.0):
        return scale * torch.dropout(self.line(x).relu(), 0.5, train=True)


def run(way, *, x_needs=True):
    torch.manual_seed(3)
    part = Noisy()
    x = torch.randn(4, 6, requires_grad=x_needs)
    torch.manual_seed(4)
    y = way(part, x)
    after = torch.rand(3)  # what is drawn next
    torch.manual_seed(99)  # the world moves on before the gradient comes
    (y * torch.arange(24.0).view(4, 6)).sum().backward()
    last = torch.rand(3)
    return [y.detach(), after, last, *(p.grad for p in part.parameters())] + (
        [x.grad] if x_needs else []
    )


def test_dropout_falls_as_it_fell_and_later_draws_are_not_disturbed():
    plain = run(lambda part, x: part(x))
    assert same(run(checkpoint), plain)
    assert same(run(lambda part, x: torch_checkpoint(part, x, use_reentrant=False)), plain)
    assert same(run(lambda part, x: torch_checkpoint(part, x, use_reentrant=True)), plain)


def test_without_the_generators_state_it_would_be_seen(monkeypatch):
    monkeypatch.setattr(torch, "set_rng_state", lambda state: None)
    assert not same(run(checkpoint), run(lambda part, x: part(x)))


def test_weights_get_gradients_also_where_no_input_needs_one():
    plain = run(lambda part, x: part(x), x_needs=False)
    assert same(run(checkpoint, x_needs=False), plain)


def test_gradients_may_be_asked_for_by_name():
    part, x = nn.Linear(3, 3), torch.randn(2, 3, requires_grad=True)
    wanted = torch.autograd.grad(part(x).square().sum(), [x, part.weight])
    found = torch.autograd.grad(checkpoint(part, x).square().sum(), [x, part.weight])
    assert same(found, wanted)


def test_keywords_and_tensors_within_them():
    x, w = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)

    def part(x, *, pair, factor):
        return x * pair[0] * factor + pair[1]

    y = checkpoint(part, x, pair=(w, torch.ones(3)), factor=2.0)
    y.sum().backward()
    assert torch.equal(w.grad, 2 * x.detach())
    assert torch.equal(x.grad, 2 * w.detach())


def test_only_the_input_is_kept():
    model, x = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 8)), torch.randn(5, 8)
    assert saved_bytes(lambda: checkpoint(model, x)) == x.nbytes
    assert saved_bytes(lambda: model(x)) > 10 * x.nbytes


def test_a_changed_weight_is_refused():
    part, x = nn.Linear(3, 3), torch.randn(2, 3, requires_grad=True)
    y = checkpoint(part, x)
    with torch.no_grad():
        part.weight.add_(1)
    with pytest.raises(RuntimeError, match="a weight was changed"):
        y.sum().backward()


def test_frozen_weights_get_no_gradient():
    part, x = nn.Linear(3, 3), torch.randn(2, 3, requires_grad=True)
    part.weight.requires_grad_(False)
    checkpoint(part, x).sum().backward()
    assert part.weight.grad is None
    assert part.bias.grad is not None


def test_formats_of_autocast_are_those_of_the_first_run():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        noted = Surroundings([torch.ones(1)])
    assert not torch.is_autocast_enabled("cpu")
    with noted.restored():
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("segment", [1, 2, 3, 7, 20])
def test_a_chain_in_segments(segment):
    torch.manual_seed(0)
    parts = [nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(7)]
    x = torch.randn(3, 4, requires_grad=True)
    y = x
    for part in parts:
        y = part(y)
    weights = [w for part in parts for w in part.parameters()]
    wanted = torch.autograd.grad(y.sum(), [x, *weights])
    z = checkpoint_chain(parts, x, segment)
    assert torch.equal(z, y)
    assert same(torch.autograd.grad(z.sum(), [x, *weights]), wanted)
    kept = saved_bytes(lambda: checkpoint_chain(parts, x, segment))
    assert kept == -(-7 // segment) * x.nbytes  # what enters each segment


def test_decoding_with_a_cache_is_left_alone(monkeypatch):
    model, prompt = decoder(), ids()[:1]
    asked = []
    monkeypatch.setattr(
        recompute, "checkpoint", lambda *a, **k: asked.append(a) or checkpoint(*a, **k)
    )
    with recomputing(model, "block"):
        model(prompt)
    with recomputing(model, "block"):
        cache = KVCache(model.config, 1, 12)
        said = model(prompt, cache=cache)  # gradients are on, and the cache is filled once
    assert cache.length == 12
    assert len(asked) == len(model.blocks)  # of the pass without a cache
    assert torch.equal(said, model(prompt))


def test_names_of_weights_stay_and_the_context_cleans_up_after_an_error():
    model = decoder()
    names = list(model.state_dict())
    with recomputing(model):
        assert list(model.state_dict()) == names
    with pytest.raises(IndexError), recomputing(model):
        model.blocks[99]
    assert not any("forward" in m.__dict__ for m in model.modules())


def test_experts_are_refused_but_their_attention_is_not():
    experts = FeedForwardConfig("swiglu", 16, experts=ExpertsConfig(4, top_k=2))
    model = decoder(feedforward=experts)
    for policy in ("block", "feedforward"):
        with pytest.raises(ValueError, match="router_loss"), recomputing(model, policy):
            pass
    plain = gradients(model)
    assert same(gradients(model, "attention"), plain)


def test_bad_input():
    model = decoder()
    with (
        pytest.raises(ValueError, match=r"policy must be one of none, att.*got 'all'"),
        recomputing(model, "all"),
    ):
        pass
    with (
        pytest.raises(ValueError, match="every must be at least 1, got 0"),
        recomputing(model, every=0),
    ):
        pass
    with (
        recomputing(model),
        pytest.raises(ValueError, match="recomputing already"),
        recomputing(model),
    ):
        pass
    with pytest.raises(ValueError, match="segment must be at least 1, got 0"):
        checkpoint_chain([], torch.ones(1), 0)
    with pytest.raises(ValueError, match="must return one tensor, got tuple"):
        checkpoint(lambda x: (x, x), torch.ones(1))

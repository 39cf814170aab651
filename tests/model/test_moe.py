"""The mixture against its definition, forward and backward; its place in a decoder; its losses."""

import copy
import dataclasses

import pytest
import torch

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForward,
    FeedForwardConfig,
    KVCache,
    MixtureOfExperts,
    count_parameters,
    flops_per_token,
    router_loss,
)
from minillm.model.moe import gathered, mixtures
from minillm.model.routing import ExpertsConfig, balance_loss, z_loss

SETTINGS = [
    {},
    {"top_k": 1, "renormalise": False},
    {"top_k": 2, "capacity_factor": 0.5},
    {"top_k": 2, "n_shared": 1},
    {"router": "expert_choice"},
    {"top_k": 4},
]
CONFIG = DecoderConfig(
    vocab_size=50,
    d_model=24,
    n_layers=2,
    context=16,
    attention=AttentionConfig(4, 2),
    feedforward=FeedForwardConfig("swiglu", 32, experts=ExpertsConfig(4, 2)),
    init_std=0.2,
)
IDS = torch.randint(0, 50, (3, 12), generator=torch.Generator().manual_seed(0))


def mixture(implementation="fast", seed=0, **settings):
    torch.manual_seed(seed)
    experts = ExpertsConfig(4, **settings, implementation=implementation)
    config = FeedForwardConfig("swiglu", 20, bias=True, experts=experts)
    return MixtureOfExperts(16, config, dtype=torch.float64)


@pytest.mark.parametrize("settings", SETTINGS)
def test_fast_equals_readable_forward_and_backward(settings):
    torch.manual_seed(1)
    x = torch.randn(2, 9, 16, dtype=torch.float64)
    gradients = []
    for implementation in ("fast", "readable"):
        layer, here = mixture(implementation, **settings), x.clone().requires_grad_(True)
        y = layer(here)
        y.square().sum().backward()
        gradients.append([y, here.grad, *(p.grad for p in layer.parameters())])
    for a, b in zip(*gradients, strict=True):
        if a is None or b is None:  # an expert that nobody asked: no gradient, or zeros
            assert all(g is None or not g.any() for g in (a, b))
        else:
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    assert gradients[0][2].abs().max() > 1e-9  # the router learns


def test_one_expert_is_a_dense_layer():
    layer = mixture()
    dense = FeedForward(16, dataclasses.replace(layer.experts[0].config, experts=None))
    one = MixtureOfExperts(
        16, FeedForwardConfig("swiglu", 20, bias=True, experts=ExpertsConfig(1, 1))
    )
    one.experts[0].load_state_dict(dense.state_dict())
    x = torch.randn(5, 3, 16)
    torch.testing.assert_close(one(x), dense(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("capacity_factor", [None, 0.5])
def test_an_expert_computes_only_for_its_tokens(capacity_factor):
    layer, counted = mixture(capacity_factor=capacity_factor), []
    for expert in layer.experts:
        expert.register_forward_hook(lambda _m, args, _y: counted.append(len(args[0])))
    layer(torch.randn(10, 7, 16, dtype=torch.float64))
    assert counted == [n for n in layer.last_routing.load.tolist() if n]
    assert sum(counted) == 2 * 70 or (capacity_factor and sum(counted) < 2 * 70)


def test_a_shared_expert_is_asked_by_every_token():
    layer = mixture(n_shared=2)
    x = torch.randn(2, 5, 16, dtype=torch.float64)
    both = layer(x)
    routed = gathered(x.view(-1, 16), layer.last_routing, layer.experts).view(x.shape)
    added = sum(expert(x) for expert in layer.shared)
    torch.testing.assert_close(both, routed + added, rtol=0, atol=1e-12)
    assert added.abs().min() > 0


def test_a_dropped_token_passes_by_the_residual_alone():
    layer = mixture(capacity_factor=0.5)
    x = torch.randn(1, 30, 16, dtype=torch.float64)
    y = layer(x)
    alone = ~layer.last_routing.kept.any(dim=1)
    assert alone.any()
    assert not y[0, alone].any()
    assert y[0, ~alone].any(dim=-1).all()


def test_counts():
    dense = dataclasses.replace(CONFIG, feedforward=FeedForwardConfig("swiglu", 32))
    whole = sum(p.numel() for p in Decoder(CONFIG, device="meta").parameters())
    padding = (128 - 50) * 24
    assert count_parameters(CONFIG) == whole - padding
    one = 3 * 24 * 32
    assert count_parameters(CONFIG) - count_parameters(dense) == 2 * (3 * one + 24 * 4)
    assert count_parameters(CONFIG, active=True) - count_parameters(dense) == 2 * (one + 24 * 4)
    assert count_parameters(dense, active=True) == count_parameters(dense)
    shared = dataclasses.replace(
        CONFIG, feedforward=FeedForwardConfig("swiglu", 32, experts=ExpertsConfig(4, 2, n_shared=3))
    )
    for active in (False, True):
        grown = count_parameters(shared, active=active) - count_parameters(CONFIG, active=active)
        assert grown == 2 * 3 * one
    eight = dataclasses.replace(
        CONFIG, feedforward=FeedForwardConfig("swiglu", 32, experts=ExpertsConfig(8, 2))
    )
    grown = flops_per_token(eight) - flops_per_token(CONFIG)
    assert grown == 6 * 2 * 24 * 4  # the router's four more columns, in two layers: nothing else


@torch.no_grad()
def test_a_decoder_with_experts_is_causal_and_equals_its_cache():
    torch.manual_seed(0)
    model = Decoder(CONFIG, dtype=torch.float64)
    logits = model(IDS)
    changed = IDS.clone()
    changed[:, 6:] = (changed[:, 6:] + 7) % 50
    torch.testing.assert_close(model(changed)[:, :6], logits[:, :6], rtol=0, atol=1e-12)
    cache = KVCache(CONFIG, 3, 12, torch.float64)
    parts = [model(part, cache=cache) for part in IDS.split([5, 1, 6], dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), logits, rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize(
    ("settings", "past", "others"),
    [
        ({"top_k": 1}, False, False),
        ({"top_k": 2}, False, False),
        ({"top_k": 1, "capacity_factor": 1.0}, False, True),
        ({"top_k": 2, "capacity_factor": 1.0}, True, True),
        ({"top_k": 2, "router": "expert_choice"}, True, True),
    ],
)
def test_whom_the_last_token_of_a_text_can_reach(settings, past, others):
    """Earlier positions of its text, and another text of the batch: routing with a limit leaks."""
    experts = FeedForwardConfig("swiglu", 32, experts=ExpertsConfig(4, **settings))
    config = dataclasses.replace(CONFIG, feedforward=experts)
    moved = torch.zeros(2, 12, dtype=torch.float64)
    for seed in range(4):  # a place is contested in some models only
        torch.manual_seed(seed)
        model = Decoder(config, dtype=torch.float64)
        logits = model(IDS[:2])
        for token in range(25):
            changed = IDS[:2].clone()
            changed[0, -1] = token
            moved = torch.maximum(moved, (model(changed) - logits).abs().amax(dim=-1))
    assert (moved[0, :-1].max() > 1e-9) == past
    assert (moved[1].max() > 1e-9) == others


def test_router_loss_adds_up_over_layers():
    experts = ExpertsConfig(4, 2, balance_coef=0.1, z_coef=0.01)
    config = dataclasses.replace(
        CONFIG, feedforward=FeedForwardConfig("swiglu", 32, experts=experts)
    )
    model = Decoder(config)
    with pytest.raises(ValueError, match="no forward pass yet"):
        router_loss(model)
    model(IDS)
    wanted = sum(
        0.1 * balance_loss(m.last_logits, m.last_routing.chosen) + 0.01 * z_loss(m.last_logits)
        for m in mixtures(model)
    )
    torch.testing.assert_close(router_loss(model), wanted)
    router_loss(model).backward()
    assert all(m.router.weight.grad.abs().max() > 0 for m in mixtures(model))
    # the experts of the last layer are behind every router, so that nothing reaches them
    assert all(e.up.weight.grad is None for e in mixtures(model)[-1].experts)


def test_router_loss_without_experts_is_zero():
    dense = dataclasses.replace(CONFIG, feedforward=FeedForwardConfig("swiglu", 32))
    assert router_loss(Decoder(dense)) == 0


def test_a_model_can_be_copied_after_a_pass():
    model = Decoder(CONFIG)
    logits = model(IDS)  # with its graph, which hangs on last_logits
    again = copy.deepcopy(model)
    torch.testing.assert_close(again(IDS), logits)
    assert mixtures(again)[0].last_logits is not mixtures(model)[0].last_logits
    assert mixtures(model)[0].last_logits is not None  # the original keeps its own


def test_a_layer_without_experts_is_refused():
    with pytest.raises(ValueError, match="use FeedForward"):
        MixtureOfExperts(16, FeedForwardConfig("swiglu", 20))

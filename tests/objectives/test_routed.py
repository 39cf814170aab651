"""The loss with the routers' part: by its formula, and that training with it balances the load."""

import pytest
import torch

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    ExpertsConfig,
    FeedForwardConfig,
    router_loss,
)
from minillm.model.moe import mixtures
from minillm.objectives import causal_loss, routed_loss


def build(balance_coef=0.01, n_experts=4):
    torch.manual_seed(0)
    experts = ExpertsConfig(n_experts, 1, renormalise=False, balance_coef=balance_coef)
    feedforward = FeedForwardConfig("swiglu", 16, experts=experts if n_experts else None)
    return Decoder(DecoderConfig(40, 16, 2, 16, AttentionConfig(2), feedforward, init_std=0.3))


def batch(seed=0):
    ids = torch.randint(0, 40, (8, 17), generator=torch.Generator().manual_seed(seed))
    return ids[:, :-1], ids[:, 1:]


def test_it_is_the_sum():
    model, (x, y) = build(), batch()
    plain = causal_loss(model, x, y)
    both = routed_loss(model, x, y)
    assert both.item() == pytest.approx((plain + router_loss(model)).item(), rel=1e-6)
    assert both > plain


def largest_share(model):
    """Of the tokens that one expert gets, the mean over layers; 1/4 is even, 1 a collapse."""
    loads = [m.last_routing.load for m in mixtures(model)]
    return sum((load.max() / load.sum()).item() for load in loads) / len(loads)


def test_training_on_it_balances_and_the_wrong_sign_collapses():
    found = {}
    for sign in (1, 0, -1):
        model = build(balance_coef=1.0)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        for step in range(40):
            model(batch(step)[0])
            optimizer.zero_grad()
            (sign * router_loss(model)).backward()
            optimizer.step()
        found[sign] = largest_share(model)
    assert found[1] < found[0] < found[-1]
    assert found[1] < 0.4
    assert found[-1] > 0.9

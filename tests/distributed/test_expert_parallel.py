"""Experts on several ranks against the same experts on one."""

import copy

import pytest
import torch
from torch import nn

from minillm.distributed.expert_parallel import travel_to_experts
from minillm.distributed.threads import run_threads
from minillm.model import FeedForwardConfig
from minillm.model.feedforward import FeedForward
from minillm.model.moe import every_expert
from minillm.model.routing import ExpertsConfig, route

E, M, D = 6, 12, 4


def experts():
    torch.manual_seed(0)
    config = FeedForwardConfig("swiglu", 8)
    return nn.ModuleList(FeedForward(D, config, dtype=torch.float64) for _ in range(E))


def on_a_rank(group, all_experts, x, logits, w, config):
    n, r = group.size, group.rank
    own = copy.deepcopy(all_experts[r * E // n : (r + 1) * E // n])
    x, logits = (t.chunk(n)[r].clone().requires_grad_() for t in (x, logits))
    y = travel_to_experts(x, route(logits, config), own, group)
    (y * w.chunk(n)[r]).sum().backward()
    return y.detach(), x.grad, logits.grad, [p.grad for p in own.parameters()]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("top_k", [1, 2, 3])
@pytest.mark.parametrize("skewed", [False, True])
def test_equals_experts_on_one_rank(n, top_k, skewed):
    torch.manual_seed(top_k)
    config, all_experts = ExpertsConfig(E, top_k, renormalise=False), experts()
    x = torch.randn(M, D, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(M, E, dtype=torch.float64)
    if skewed:  # all tokens ask the same experts; nobody asks those of some ranks
        logits = logits + 5 * torch.arange(E)
    logits.requires_grad_()
    w = torch.randn(M, D, dtype=torch.float64)
    want = every_expert(x, route(logits, config), all_experts)
    (want * w).sum().backward()
    found = run_threads(n, on_a_rank, all_experts, x.detach(), logits.detach(), w, config)
    for i, wanted in enumerate((want.detach(), x.grad, logits.grad)):
        torch.testing.assert_close(torch.cat([f[i] for f in found]), wanted, rtol=0, atol=1e-9)
    grads = [g for f in found for g in f[3]]  # not summed over the ranks: each is whole
    for grad, p in zip(grads, all_experts.parameters(), strict=True):
        torch.testing.assert_close(grad, torch.zeros_like(p) if p.grad is None else p.grad)


def test_experts_must_all_be_owned():
    def work(group):
        routing = route(torch.randn(2, 4), ExpertsConfig(4, 1))
        travel_to_experts(torch.zeros(2, D), routing, experts()[:3], group)

    with pytest.raises(ValueError, match="2 ranks with 3 experts each do not own 4 experts"):
        run_threads(2, work)

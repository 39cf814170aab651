"""Adagrad against hand calculation, torch, and the Adam that it is a case of."""

import math

import pytest
import torch
from torch import nn

from minillm.train.adagrad import Adagrad, adagrad_step


def run(params, optimizer, steps=100):
    g = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=g, dtype=torch.float64).to(p.dtype)
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in params])


def params(dtype):
    return [nn.Parameter(torch.ones(s, dtype=dtype)) for s in ((7, 5), (5,))]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_equals_torch_over_100_steps(dtype, tolerance):
    ours, theirs = params(dtype), params(dtype)
    a = run(ours, Adagrad(ours, 0.05, 1e-6))
    b = run(theirs, torch.optim.Adagrad(theirs, 0.05, eps=1e-6))
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_by_hand():
    p, total = (torch.tensor([x], dtype=torch.float64) for x in (1.0, 0.0))
    adagrad_step(p, torch.tensor([3.0], dtype=torch.float64), total, lr=0.5, eps=1.0)
    assert (total.item(), p.item()) == (9.0, 1 - 0.5 * 3 / 4)
    adagrad_step(p, torch.tensor([4.0], dtype=torch.float64), total, lr=0.5, eps=1.0)
    assert total.item() == 25.0
    assert p.item() == pytest.approx(0.625 - 0.5 * 4 / 6, abs=1e-15)


def test_is_adam_without_mean_and_with_a_memory_of_all_steps():
    g = torch.Generator().manual_seed(2)
    ours, total = torch.zeros(6).double(), torch.zeros(6).double()
    theirs, v = torch.zeros(6).double(), torch.zeros(6).double()
    for t in range(1, 50):
        grad = torch.randn(6, generator=g, dtype=torch.float64)
        adagrad_step(ours, grad, total, lr=0.3, eps=1e-300)
        v.mul_(1 - 1 / t).add_(grad**2 / t)
        theirs.sub_(0.3 / math.sqrt(t) * grad / v.sqrt())
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_refusals():
    with pytest.raises(ValueError, match="lr must be finite and not negative, got -1"):
        Adagrad([torch.zeros(1)], -1.0)
    with pytest.raises(ValueError, match="eps must be positive"):
        Adagrad([torch.zeros(1)], eps=0.0)

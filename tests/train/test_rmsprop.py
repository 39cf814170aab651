"""RMSprop against hand calculation, torch, and Adam without mean and correction."""

import math

import pytest
import torch
from torch import nn

from minillm.train.adam import adam_step
from minillm.train.rmsprop import RMSprop, rmsprop_step


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
    a = run(ours, RMSprop(ours, 0.01, 0.95, 1e-6))
    b = run(theirs, torch.optim.RMSprop(theirs, 0.01, alpha=0.95, eps=1e-6))
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_by_hand():
    p, v = (torch.tensor([x], dtype=torch.float64) for x in (1.0, 0.0))
    rmsprop_step(p, torch.tensor([4.0], dtype=torch.float64), v, lr=0.5, beta2=0.75, eps=2.0)
    assert (v.item(), p.item()) == (4.0, 1 - 0.5 * 4 / 4)
    rmsprop_step(p, torch.tensor([0.0], dtype=torch.float64), v, lr=0.5, beta2=0.75, eps=2.0)
    assert (v.item(), p.item()) == (3.0, 0.5)


def test_the_first_step_is_too_long():
    p, v = torch.zeros(1).double(), torch.zeros(1).double()
    rmsprop_step(p, torch.full((1,), 7.0).double(), v, lr=0.01, beta2=0.99, eps=1e-12)
    assert -p.item() == pytest.approx(0.01 * 10, rel=1e-9)


def test_is_adam_without_mean_and_correction():
    g = torch.Generator().manual_seed(3)
    a, v = torch.zeros(5).double(), torch.zeros(5).double()
    b, m, w = torch.zeros(5).double(), torch.zeros(5).double(), torch.zeros(5).double()
    how = {"lr": 0.1, "betas": (0.0, 0.9), "eps": 1e-8, "bias_correction": False}
    for t in range(1, 30):
        grad = torch.randn(5, generator=g, dtype=torch.float64)
        rmsprop_step(a, grad, v, lr=0.1, beta2=0.9, eps=1e-8)
        adam_step(b, grad, m, w, step=t, **how)
    torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"lr": math.inf}, "lr must be finite"),
        ({"beta2": 1.0}, r"beta2 must lie in \[0, 1\)"),
        ({"eps": 0.0}, "eps must be positive"),
    ],
)
def test_refusals(how, words):
    with pytest.raises(ValueError, match=words):
        RMSprop([torch.zeros(1)], **how)

"""Lion against an independent re-writing of the paper's algorithm, number by number."""

import math

import pytest
import torch
from torch import nn

from minillm.train.lion import Lion, lion_step


def paper(theta, grads, lr, beta1, beta2, decay):
    """Algorithm 2 of the paper for one number, in plain Python."""
    m = 0.0
    for g in grads:
        c = beta1 * m + (1 - beta1) * g
        sign = (c > 0) - (c < 0)
        theta = theta - lr * (sign + decay * theta)
        m = beta2 * m + (1 - beta2) * g
    return theta


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("betas", [(0.9, 0.99), (0.95, 0.98), (0.0, 0.0)])
def test_equals_the_paper_over_100_steps(betas, decay):
    g = torch.Generator().manual_seed(1)
    start = torch.randn(4, 3, generator=g, dtype=torch.float64)
    grads = torch.randn(100, 4, 3, generator=g, dtype=torch.float64)
    grads[:, 0, 0] = 0.0  # a weight without any gradient: its sign is 0
    p = nn.Parameter(start.clone())
    optimizer = Lion([p], 0.01, betas, decay)
    for grad in grads:
        p.grad = grad
        optimizer.step()
    for i in range(4):
        for j in range(3):
            expected = paper(start[i, j].item(), grads[:, i, j].tolist(), 0.01, *betas, decay)
            assert p[i, j].item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_by_hand():
    p, m = (torch.tensor([x], dtype=torch.float64) for x in (2.0, 0.5))
    how = {"lr": 0.1, "betas": (0.5, 0.75), "weight_decay": 1.0}
    lion_step(p, torch.tensor([-0.1], dtype=torch.float64), m, **how)
    assert p.item() == pytest.approx(2.0 * 0.9 - 0.1, abs=1e-15)  # c = 0.25 - 0.05 > 0
    assert m.item() == pytest.approx(0.375 - 0.025, abs=1e-15)


def test_every_weight_moves_by_lr_whatever_its_gradient():
    p = nn.Parameter(torch.zeros(3))
    p.grad = torch.tensor([1e-30, -1e20, 3.0])
    Lion([p], 0.25).step()
    assert p.tolist() == [-0.25, 0.25, -0.25]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"lr": math.nan}, "lr must be"),
        ({"betas": (1.0, 0.9)}, "beta1 must lie"),
        ({"betas": (0.9, -0.5)}, "beta2 must lie"),
        ({"weight_decay": -1.0}, "weight_decay must be"),
    ],
)
def test_refusals(how, words):
    with pytest.raises(ValueError, match=words):
        Lion([torch.zeros(1)], **how)

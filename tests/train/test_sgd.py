"""Descent, momentum and Nesterov against hand calculation and torch.optim.SGD."""

import math

import pytest
import torch
from torch import nn

from minillm.train.sgd import SGD, sgd_step


def net(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.LayerNorm(7), nn.Linear(7, 3)).to(dtype)


def run(model, optimizer, steps=100):
    g = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for p in model.parameters():
            p.grad = torch.randn(p.shape, generator=g, dtype=torch.float64).to(p.dtype)
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def scalar(x):
    return torch.tensor([x], dtype=torch.float64)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize(
    ("momentum", "nesterov", "l2"),
    [(0, False, 0), (0, False, 0.1), (0.9, False, 0), (0.9, False, 0.1), (0.9, True, 0.1)],
)
def test_equals_torch_over_100_steps(momentum, nesterov, l2, dtype, tolerance):
    ours, theirs = net(dtype), net(dtype)
    a = run(ours, SGD(ours.parameters(), 1e-2, momentum, nesterov=nesterov, l2=l2))
    how = {"lr": 1e-2, "momentum": momentum, "nesterov": nesterov, "weight_decay": l2}
    b = run(theirs, torch.optim.SGD(theirs.parameters(), **how))
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_two_steps_by_hand():
    p, velocity = scalar(1.0), scalar(0.0)
    how = {"lr": 0.1, "momentum": 0.5, "l2": 1.0, "weight_decay": 0.2}
    sgd_step(p, scalar(2.0), velocity, **how)
    assert velocity.item() == 3.0  # 2 + 1 * 1
    assert p.item() == pytest.approx(1.0 * 0.98 - 0.3, abs=1e-15)
    sgd_step(p, scalar(0.0), velocity, nesterov=True, **how)
    assert velocity.item() == pytest.approx(1.5 + 0.68, abs=1e-15)
    assert p.item() == pytest.approx(0.68 * 0.98 - 0.1 * (0.68 + 0.5 * 2.18), abs=1e-15)


def test_a_steady_gradient_is_worth_one_over_one_minus_momentum():
    p, velocity = scalar(0.0), scalar(0.0)
    for _ in range(300):
        before = p.item()
        sgd_step(p, scalar(1.0), velocity, lr=1.0, momentum=0.9)
    assert before - p.item() == pytest.approx(10.0, rel=1e-9)


def test_l2_is_decay_without_momentum_and_not_with_it():
    def after(momentum, **how):
        p, velocity = scalar(1.0), scalar(0.0)
        for t in range(20):
            sgd_step(p, scalar(math.sin(t)), velocity, lr=0.1, momentum=momentum, **how)
        return p.item()

    assert after(0.0, l2=0.5) == pytest.approx(after(0.0, weight_decay=0.5), rel=1e-13)
    assert abs(after(0.9, l2=0.5) - after(0.9, weight_decay=0.5)) > 0.1


def test_decay_shrinks_all_weights_alike():
    p, velocity = torch.tensor([1.0, -3.0], dtype=torch.float64), torch.zeros(2).double()
    for _ in range(50):
        sgd_step(p, torch.zeros(2).double(), velocity, lr=0.1, momentum=0.9, weight_decay=0.1)
    expected = torch.tensor([1.0, -3.0], dtype=torch.float64) * 0.99**50
    torch.testing.assert_close(p, expected, rtol=1e-13, atol=0)


def test_plain_descent_remembers_nothing():
    p = nn.Parameter(torch.zeros(3))
    p.grad = torch.ones(3)
    plain = SGD([p], 0.1)
    plain.step()
    assert list(plain.state[p]) == ["step"]
    plain.step()
    torch.testing.assert_close(p.detach(), torch.full((3,), -0.2))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"lr": -1.0}, "lr must be finite and not negative, got -1.0"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1.0"),
        ({"l2": -0.1}, "l2 must be"),
        ({"weight_decay": math.nan}, "weight_decay must be"),
        ({"nesterov": True}, "nesterov looks ahead along the momentum"),
    ],
)
def test_refusals(how, words):
    with pytest.raises(ValueError, match=words):
        SGD([torch.zeros(1)], **how)

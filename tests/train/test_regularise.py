"""Penalties and proximal steps against autograd, brute force and coordinate descent."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillm.train.regularise import (
    l1_penalty,
    l2_penalty,
    proximal_step,
    shrink,
    soft_threshold,
)

NUMBERS = st.floats(-5, 5)
STRENGTHS = st.floats(0, 3)


def test_penalties_by_hand_and_their_gradients():
    a = torch.tensor([3.0, -4.0], requires_grad=True)
    b = torch.tensor([[0.0]], requires_grad=True)
    l2 = l2_penalty([a, b], 0.5)
    assert l2.item() == 0.25 * 25
    assert torch.autograd.grad(l2, a)[0].tolist() == [1.5, -2.0]  # strength times w
    l1 = l1_penalty([a, b], 0.5)
    assert l1.item() == 3.5
    ga, gb = torch.autograd.grad(l1, [a, b])
    assert (ga.tolist(), gb.tolist()) == ([0.5, -0.5], [[0.0]])


@given(NUMBERS, STRENGTHS)
def test_soft_threshold_is_the_best_of_a_grid(x, threshold):
    w = soft_threshold(torch.tensor(x, dtype=torch.float64), threshold).item()

    def cost(v):
        return (v - x) ** 2 / 2 + threshold * abs(v)

    best = min(cost(v / 500) for v in range(-2600, 2601))
    assert cost(w) <= best + 1e-12


@given(NUMBERS, STRENGTHS)
def test_shrink_is_the_best_of_a_grid(x, strength):
    w = shrink(torch.tensor(x, dtype=torch.float64), strength).item()

    def cost(v):
        return (v - x) ** 2 / 2 + strength / 2 * v * v

    assert cost(w) <= min(cost(v / 500) for v in range(-2600, 2601)) + 1e-12


def test_soft_threshold_has_exact_zeros_and_shrink_has_none():
    x = torch.tensor([-2.0, -0.5, 0.0, 0.5, 0.51, 2.0])
    assert soft_threshold(x, 0.5).tolist() == pytest.approx([-1.5, 0, 0, 0, 0.01, 1.5], abs=1e-6)
    assert soft_threshold(x, 0.5).count_nonzero() == 3
    assert shrink(x, 1.0).tolist() == pytest.approx([-1, -0.25, 0, 0.25, 0.255, 1])


def problem():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(60, 8, generator=g, dtype=torch.float64)
    true = torch.tensor([2.0, -1.0, 0, 0, 0.5, 0, 0, 0], dtype=torch.float64)
    return x, x @ true + 0.1 * torch.randn(60, generator=g, dtype=torch.float64)


def solve(x, y, l1, l2, steps=3000):
    w = torch.zeros(x.shape[1], dtype=torch.float64)
    lr = 1 / float(torch.linalg.eigvalsh(x.T @ x / len(x))[-1])
    for _ in range(steps):
        proximal_step(w, x.T @ (x @ w - y) / len(x), lr=lr, l1=l1, l2=l2)
    return w


def coordinate_descent(x, y, l1, l2):
    """An independent way to the same minimum: one weight after the other, in closed form."""
    n, d = x.shape
    w = [0.0] * d
    for _ in range(500):
        for j in range(d):
            rest = y - sum(w[k] * x[:, k] for k in range(d) if k != j)
            z, a = float(x[:, j] @ rest) / n, float(x[:, j] @ x[:, j]) / n
            w[j] = math.copysign(max(abs(z) - l1, 0.0), z) / (a + l2)
    return torch.tensor(w, dtype=torch.float64)


@pytest.mark.parametrize(("l1", "l2"), [(0.1, 0.0), (0.1, 0.3)])
def test_proximal_steps_end_at_the_minimum(l1, l2):
    x, y = problem()
    ours = solve(x, y, l1, l2)
    torch.testing.assert_close(ours, coordinate_descent(x, y, l1, l2), rtol=1e-9, atol=1e-10)
    assert (ours == 0).sum() >= 3


def test_ridge_alone_has_its_closed_form():
    x, y = problem()
    closed = torch.linalg.solve(x.T @ x / 60 + 0.3 * torch.eye(8).double(), x.T @ y / 60)
    torch.testing.assert_close(solve(x, y, 0.0, 0.3), closed, rtol=1e-9, atol=1e-10)
    assert bool((closed != 0).all())


def test_a_gradient_step_on_l1_never_stops_at_zero():
    w = torch.tensor([0.05], dtype=torch.float64, requires_grad=True)
    seen = []
    for _ in range(50):
        (grad,) = torch.autograd.grad(l1_penalty([w], 1.0), w)
        with torch.no_grad():
            w -= 0.03 * grad
        seen.append(w.item())
    assert all(v != 0 for v in seen)
    other = torch.tensor([0.05], dtype=torch.float64)
    for _ in range(3):
        proximal_step(other, torch.zeros(1).double(), lr=0.03, l1=1.0)
    assert other.item() == 0.0


@pytest.mark.parametrize("bad", [-0.1, float("nan")])
def test_refusals(bad):
    x = torch.ones(2)
    for call in (
        lambda: l1_penalty([x], bad),
        lambda: l2_penalty([x], bad),
        lambda: soft_threshold(x, bad),
        lambda: shrink(x, bad),
        lambda: proximal_step(x, x, lr=bad),
        lambda: proximal_step(x, x, lr=0.1, l1=bad),
        lambda: proximal_step(x, x, lr=0.1, l2=bad),
    ):
        with pytest.raises(ValueError, match="strength must not be negative, got"):
            call()
    with pytest.raises(ValueError, match="no parameters"):
        l1_penalty([], 1.0)

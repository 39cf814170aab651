"""Adam against hand calculation and torch; what L2 inside it does; what the correction is for."""

import math

import pytest
import torch
from torch import nn

from minillm.train import adamw_step
from minillm.train.adam import Adam, adam_step, uncorrected_step


def net(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.LayerNorm(7), nn.Linear(7, 3)).to(dtype)


def run(model, optimizer, steps=100, scale=1.0):
    g = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for p in model.parameters():
            p.grad = scale * torch.randn(p.shape, generator=g, dtype=torch.float64).to(p.dtype)
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("scale", [1.0, 1e-8])
@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 5e-6)])
def test_equals_torch_over_100_steps(l2, dtype, tolerance, scale):
    ours, theirs = net(dtype), net(dtype)
    how = {"lr": 3e-3, "betas": (0.9, 0.95), "eps": 1e-8}
    a = run(ours, Adam(ours.parameters(), **how, l2=l2), scale=scale)
    b = run(theirs, torch.optim.Adam(theirs.parameters(), **how, weight_decay=l2), scale=scale)
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_two_steps_by_hand():
    p, m, v = (torch.tensor([x], dtype=torch.float64) for x in (2.0, 0.0, 0.0))
    how = {"lr": 0.1, "betas": (0.5, 0.75), "eps": 1.0, "l2": 1.0}
    adam_step(p, torch.tensor([2.0], dtype=torch.float64), m, v, step=1, **how)
    assert (m.item(), v.item()) == (2.0, 4.0)  # g = 2 + 1 * 2
    assert p.item() == pytest.approx(2 - 0.1 * 4 / (4 + 1), abs=1e-15)
    g = 1.92
    adam_step(p, torch.tensor([0.0], dtype=torch.float64), m, v, step=2, **how)
    m2, v2 = 1 + 0.5 * g, 3 + 0.25 * g * g
    expected = 1.92 - 0.1 * (m2 / 0.75) / (math.sqrt(v2 / (1 - 0.75**2)) + 1)
    assert p.item() == pytest.approx(expected, abs=1e-15)


def test_without_penalty_it_is_adamw_without_decay():
    g = torch.Generator().manual_seed(4)
    ours = [torch.zeros(5).double() for _ in range(3)]
    theirs = [torch.zeros(5).double() for _ in range(3)]
    how = {"lr": 0.1, "betas": (0.9, 0.95), "eps": 1e-8}
    for t in range(1, 20):
        grad = torch.randn(5, generator=g, dtype=torch.float64)
        adam_step(ours[0], grad, ours[1], ours[2], step=t, **how)
        adamw_step(theirs[0], grad, theirs[1], theirs[2], step=t, weight_decay=0.0, **how)
    assert torch.equal(ours[0], theirs[0])


def test_l2_inside_hardly_pulls_a_weight_with_large_gradients():
    """Two weights whose gradients are noise, of spread 0.01 and of spread 1."""
    spread = torch.tensor([0.01, 1.0], dtype=torch.float64)
    inside, decoupled = [], []
    for seed in range(8):
        g = torch.Generator().manual_seed(seed)
        a = [torch.ones(2).double(), torch.zeros(2).double(), torch.zeros(2).double()]
        b = [torch.ones(2).double(), torch.zeros(2).double(), torch.zeros(2).double()]
        how = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-8}
        for t in range(1, 501):
            grad = spread * torch.randn(2, generator=g, dtype=torch.float64)
            adam_step(a[0], grad, a[1], a[2], step=t, l2=0.1, **how)
            adamw_step(b[0], grad, b[1], b[2], step=t, weight_decay=0.1, **how)
        inside.append(a[0])
        decoupled.append(b[0])
    small, large = torch.stack(inside).mean(dim=0).tolist()
    assert small < 0.2 < 0.5 < large
    pulled = torch.stack(decoupled).mean(dim=0)
    torch.testing.assert_close(pulled, torch.full((2,), 0.999**500).double(), rtol=0.2, atol=0.0)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.9, 0.95), (0.5, 0.5)])
def test_uncorrected_step_is_what_is_measured(betas):
    p, m, v = (torch.zeros(1, dtype=torch.float64) for _ in range(3))
    how = {"lr": 1.0, "betas": betas, "eps": 1e-15}
    for t in range(1, 30):
        before = p.item()
        adam_step(p, torch.full_like(p, 3.0), m, v, step=t, bias_correction=False, **how)
        assert before - p.item() == pytest.approx(uncorrected_step(t, betas), rel=1e-9)


def test_the_correction_makes_every_step_one():
    p, m, v = (torch.zeros(1, dtype=torch.float64) for _ in range(3))
    how = {"lr": 1.0, "betas": (0.9, 0.999), "eps": 1e-15}
    for t in range(1, 30):
        before = p.item()
        adam_step(p, torch.full_like(p, 3.0), m, v, step=t, **how)
        assert before - p.item() == pytest.approx(1.0, rel=1e-9)


def test_first_steps_of_the_usual_settings():
    assert uncorrected_step(1, (0.9, 0.999)) == pytest.approx(math.sqrt(10), rel=1e-12)
    assert uncorrected_step(1, (0.9, 0.95)) == pytest.approx(math.sqrt(0.2), rel=1e-12)
    assert uncorrected_step(100_000, (0.9, 0.999)) == pytest.approx(1.0, rel=1e-12)
    with pytest.raises(ValueError, match="step counts from 1, got 0"):
        uncorrected_step(0, (0.9, 0.95))
    with pytest.raises(ValueError, match="beta2 must lie"):
        uncorrected_step(1, (0.9, 1.0))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"lr": -1.0}, "lr must be"),
        ({"betas": (1.0, 0.9)}, "beta1 must lie"),
        ({"betas": (0.9, 1.5)}, "beta2 must lie"),
        ({"eps": 0.0}, "eps must be positive"),
        ({"l2": -0.1}, "l2 must be"),
    ],
)
def test_refusals(how, words):
    with pytest.raises(ValueError, match=words):
        Adam([torch.zeros(1)], **how)

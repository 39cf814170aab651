"""Clipping against hand calculation and torch; what happens to infinities."""

import math

import pytest
import torch
from torch import nn

from minillm.train import NotFiniteError, clip_grad_norm


def params(*grads, dtype=torch.float32):
    made = []
    for g in grads:
        p = nn.Parameter(torch.zeros(len(g), dtype=dtype))
        p.grad = torch.tensor(g, dtype=dtype)
        made.append(p)
    return made


def test_by_hand():
    a, b = params([3.0], [0.0, 4.0])
    norm = clip_grad_norm([a, b], 2.5)
    assert norm.item() == 5.0
    assert (a.grad.tolist(), b.grad.tolist()) == ([1.5], [0.0, 2.0])


def test_short_gradients_are_not_touched_bit_for_bit():
    a, b = params([3e-40, -0.0, 1.0], [1e-7])  # a subnormal number, a minus zero
    before = [p.grad.clone().view(torch.int32) for p in (a, b)]
    versions = [p.grad._version for p in (a, b)]
    norm = clip_grad_norm([a, b], 1.5)
    assert norm.item() == pytest.approx(1.0)
    after = [p.grad.view(torch.int32) for p in (a, b)]
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))
    assert [p.grad._version for p in (a, b)] == versions  # not even multiplied by one


def test_exactly_max_norm_is_not_clipped():
    (a,) = params([3.0, 4.0])
    assert clip_grad_norm([a], 5.0).item() == 5.0
    assert a.grad.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("max_norm", [0.01, 1.0, 1e9])
def test_equals_torch(max_norm):
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.zeros(n)) for n in (3, 50, 700)]
    theirs = [nn.Parameter(torch.zeros(n)) for n in (3, 50, 700)]
    for p, q in zip(ours, theirs, strict=True):
        p.grad = torch.randn(p.shape)
        q.grad = p.grad.clone()
    a = clip_grad_norm(ours, max_norm)
    b = nn.utils.clip_grad_norm_(theirs, max_norm)
    torch.testing.assert_close(a, b, rtol=1e-6, atol=0)
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=2e-6, atol=0)


def test_the_clipped_norm_is_max_norm():
    made = params([3.0, 1.0], [2.0], dtype=torch.float64)
    clip_grad_norm(made, 0.1)
    total = sum(float((p.grad**2).sum()) for p in made)
    assert math.sqrt(total) == pytest.approx(0.1, rel=1e-12)


def test_low_precision_is_summed_in_float32():
    p = nn.Parameter(torch.zeros(4096, dtype=torch.bfloat16))
    p.grad = torch.ones_like(p)
    norm = clip_grad_norm([p], math.inf)
    assert norm.dtype == torch.float32
    assert norm.item() == 64.0


def test_parameters_without_gradient_count_for_nothing():
    (a,) = params([3.0, 4.0])
    assert clip_grad_norm([nn.Parameter(torch.ones(9)), a], math.inf).item() == 5.0
    assert clip_grad_norm([nn.Parameter(torch.ones(2))], 1.0).item() == 0.0
    assert clip_grad_norm(iter([a]), math.inf).item() == 5.0  # an iterator is enough


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_not_finite_is_named_and_nothing_changes(bad):
    model = nn.Linear(2, 2)
    model.weight.grad = torch.full((2, 2), 100.0)
    model.bias.grad = torch.tensor([1.0, bad])
    with pytest.raises(NotFiniteError, match=r"gradient of bias is not finite \(1 of 2 entries\)"):
        clip_grad_norm(model.named_parameters(), 1.0)
    assert torch.equal(model.weight.grad, torch.full((2, 2), 100.0))
    with pytest.raises(NotFiniteError, match=r"parameter 1 of shape \(2,\)"):
        clip_grad_norm(model.parameters(), 1.0)


def test_a_norm_that_overflows_is_said_to():
    (a,) = params([1e30, 1e30])
    with pytest.raises(NotFiniteError, match="its norm"):
        clip_grad_norm([a], 1.0)


@pytest.mark.parametrize("max_norm", [0.0, -1.0, math.nan])
def test_max_norm_must_be_positive(max_norm):
    with pytest.raises(ValueError, match="max_norm must be positive"):
        clip_grad_norm(params([1.0]), max_norm)

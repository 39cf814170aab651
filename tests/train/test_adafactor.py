"""Adafactor in its three forms: the paper's as transformers has it, torch's, and PaLM's."""

import math

import pytest
import torch
from torch import nn
from transformers.optimization import Adafactor as TheirAdafactor

from minillm.train import adamw_step
from minillm.train.adafactor import (
    Adafactor,
    AdafactorState,
    adafactor_step,
    beta2_at,
    factored_square,
    fresh_state,
    rms,
)

SHAPES = ((7, 5), (5,), (3, 4, 2), ())


def params(seed=0):
    g = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(s, generator=g, dtype=torch.float64)) for s in SHAPES]


def run(ps, optimizer, steps=100, scale=1.0):
    g = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for p in ps:
            p.grad = scale * torch.randn(p.shape, generator=g, dtype=torch.float64)
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in ps])


# ---- references --------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1e-12])
@pytest.mark.parametrize("clip", [1.0, 0.3])
@pytest.mark.parametrize("beta1", [0.0, 0.9])
@pytest.mark.parametrize("scale_parameter", [True, False])
@pytest.mark.parametrize("relative", [True, False])
def test_equals_transformers_over_100_steps(relative, scale_parameter, beta1, clip, scale):
    ours, theirs = params(), params()
    common = {"scale_parameter": scale_parameter}
    a = run(
        ours,
        Adafactor(ours, 1e-2, relative=relative, beta1=beta1, clip=clip, **common),
        scale=scale,
    )
    reference = TheirAdafactor(
        theirs,
        lr=None if relative else 1e-2,
        relative_step=relative,
        beta1=beta1 or None,
        clip_threshold=clip,
        **common,
    )
    torch.testing.assert_close(a, run(theirs, reference, scale=scale), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e-9])
@pytest.mark.parametrize(("decay", "clip"), [(0.0, 1.0), (0.1, 1.0), (0.1, 2.0)])
@pytest.mark.parametrize("lr", [1e-2, 0.5])
def test_equals_torch_over_100_steps(lr, decay, clip, scale):
    ours, theirs = params(), params()
    eps = (1e-8, 1e-3)
    how = {"weight_decay": decay, "eps": eps}
    a = run(ours, Adafactor(ours, lr, clip=clip, eps_form="floor", **how), scale=scale)
    b = run(theirs, torch.optim.Adafactor(theirs, lr, d=clip, **how), scale=scale)
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_the_two_forms_of_eps_part_where_gradients_are_small():
    def gap(scale):
        one, two = params(), params()
        a = run(one, Adafactor(one, eps=(1e-16, 1e-3)), 20, scale)
        b = run(two, Adafactor(two, eps=(1e-16, 1e-3), eps_form="floor"), 20, scale)
        return (a - b).abs().max().item()

    assert gap(1.0) < 1e-12
    assert gap(1e-8) > 1e-4


def test_unfactored_and_without_clipping_it_is_rmsprop_with_a_growing_memory():
    g = torch.Generator().manual_seed(2)
    state = AdafactorState(v=torch.zeros(4, 3).double())
    p = torch.ones(4, 3).double()
    q, v = p.clone(), torch.zeros(4, 3).double()
    grads = torch.randn(40, 4, 3, generator=g, dtype=torch.float64)
    for t, grad in enumerate(grads, start=1):
        how = {"lr": 0.01, "relative": False, "scale_parameter": False, "clip": 1e9}
        adafactor_step(p, grad, state, step=t, **how)
        beta2 = 1 - t**-0.8
        v.mul_(beta2).add_((1 - beta2) * grad**2)
        q.sub_(0.01 * grad / v.sqrt())
    torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


def test_unfactored_equals_factored_where_squares_are_a_product():
    rows, columns = torch.tensor([1.0, 3.0]).double(), torch.tensor([2.0, 0.5, 4.0]).double()
    grad = rows[:, None] * columns
    a, b = torch.ones(2, 3).double(), torch.ones(2, 3).double()
    one, two = fresh_state(a), fresh_state(b, factored=False)
    for t in range(1, 5):
        adafactor_step(a, grad * t, one, step=t, lr=0.1)
        adafactor_step(b, grad * t, two, step=t, lr=0.1)
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    noise = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).double()
    adafactor_step(a, noise, one, step=5, lr=0.1)
    adafactor_step(b, noise, two, step=5, lr=0.1)
    assert (a - b).abs().max() > 1e-5  # ... and otherwise not


# ---- parts -------------------------------------------------------------------------------------


def test_factored_square_has_the_means_and_is_the_nearest_product():
    g = torch.Generator().manual_seed(3)
    squares = torch.rand(4, 6, generator=g, dtype=torch.float64)
    v = factored_square(squares.mean(1), squares.mean(0))
    torch.testing.assert_close(v.mean(1), squares.mean(1))
    torch.testing.assert_close(v.mean(0), squares.mean(0))
    assert torch.linalg.matrix_rank(v) == 1

    def divergence(guess):  # generalised Kullback-Leibler
        return (squares * (squares / guess).log() - squares + guess).sum()

    best = divergence(v)
    for _ in range(50):
        row = squares.mean(1) * (1 + 0.2 * torch.randn(4, generator=g, dtype=torch.float64)).abs()
        other = factored_square(row, squares.mean(0))
        assert divergence(other) >= best


def test_factored_square_by_hand():
    v = factored_square(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0, 3.0]))
    assert v.tolist() == [[0.5, 1.0, 1.5], [1.5, 3.0, 4.5]]


def test_memory_grows():
    assert beta2_at(1) == 0.0
    assert beta2_at(2) == pytest.approx(1 - 2**-0.8)
    assert beta2_at(1000) == pytest.approx(1 - 0.00398107, abs=1e-8)
    assert beta2_at(4, power=1.0) == 0.75
    assert all(beta2_at(t) < beta2_at(t + 1) for t in range(1, 100))
    with pytest.raises(ValueError, match="step counts from 1, got 0"):
        beta2_at(0)
    for power in (0.0, 1.5):
        with pytest.raises(ValueError, match="power must lie"):
            beta2_at(1, power)


def test_the_first_step_by_hand():
    """All squares are 4: V is 4, U is 1, and a step is rate times the size of the weights."""
    p = torch.full((2, 3), 0.5).double()
    grad = torch.tensor([[2.0, -2.0, 2.0], [-2.0, 2.0, -2.0]]).double()
    adafactor_step(p, grad, fresh_state(p), step=1, lr=0.01)
    torch.testing.assert_close(p, 0.5 - 0.01 * 0.5 * grad.sign(), rtol=1e-14, atol=0)


def test_update_is_clipped_and_the_rate_falls():
    def step_length(step, clip, lr):
        p, grad = torch.ones(3).double(), torch.full((3,), 5.0).double()
        state = AdafactorState(v=torch.full((3,), 1e-4).double())  # much smaller than the new ones
        adafactor_step(p, grad, state, step=step, lr=lr, clip=clip, scale_parameter=False)
        return (1 - p).mean().item()

    assert step_length(400, 1.0, 0.01) == pytest.approx(0.01, rel=1e-9)  # U would be far above 1
    assert step_length(400, 0.5, 0.01) == pytest.approx(0.005, rel=1e-9)
    assert step_length(400, 1.0, 0.2) == pytest.approx(1 / 20, rel=1e-9)  # 1 / sqrt(400) < 0.2


def test_weights_of_zero_can_leave_it():
    p = torch.zeros(4).double()
    adafactor_step(p, torch.ones(4).double(), fresh_state(p), step=1, lr=0.01, eps=(1e-30, 0.25))
    torch.testing.assert_close(p, torch.full((4,), -0.01 * 0.25).double())


def test_state_has_the_shapes_that_save_memory():
    state = fresh_state(torch.zeros(3, 4, 2))
    assert (state.row.shape, state.column.shape) == ((3, 4), (3, 2))
    assert state.v is None
    assert state.m is None
    assert fresh_state(torch.zeros(5)).v.shape == (5,)
    palm = fresh_state(torch.zeros(4, 2), factored=False, beta1=0.9)
    assert (palm.row, palm.v.shape, palm.m.shape) == (None, (4, 2), (4, 2))


def test_rms():
    assert rms(torch.tensor([3.0, 4.0])) == pytest.approx(5 / math.sqrt(2))


def test_palm_trains_beside_adamw():
    """Both bring a small regression down; a smoke test of the class with all its settings."""
    g = torch.Generator().manual_seed(5)
    x, w = (torch.randn(s, generator=g, dtype=torch.float64) for s in ((64, 6), (6, 2)))
    p = nn.Parameter(0.1 * torch.ones(6, 2).double())
    q = p.detach().clone()
    m, v = torch.zeros_like(q), torch.zeros_like(q)
    palm = Adafactor([p], 0.05, factored=False, beta1=0.9, relative=False)
    for t in range(1, 200):
        loss = ((x @ (p - w)) ** 2).mean()
        palm.zero_grad()
        loss.backward()
        palm.step()
        grad = 2 * x.T @ (x @ (q - w)) / x.shape[0] / 2
        how = {"lr": 0.05, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.0}
        adamw_step(q, grad, m, v, step=t, **how)
    assert ((p - w) ** 2).mean() < 0.05
    assert ((q - w) ** 2).mean() < 0.05


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"lr": -1.0}, "lr must be"),
        ({"weight_decay": -1.0}, "weight_decay must be"),
        ({"beta1": 1.0}, "beta1 must lie"),
        ({"clip": 0.0}, "clip must be positive"),
        ({"eps": (0.0, 1e-3)}, "eps1 must be positive"),
        ({"eps": (1e-30, 0.0)}, "eps2 must be positive"),
        ({"power": 2.0}, "power must lie"),
        ({"eps_form": "twice"}, "eps_form must be one of .* got 'twice'"),
    ],
)
def test_refusals(how, words):
    with pytest.raises(ValueError, match=words):
        Adafactor([torch.zeros(1)], **how)

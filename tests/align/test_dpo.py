"""DPO: the start at ln 2, the gradient by hand, smoothing, and what it does to both answers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.align.dpo import (
    dpo_gradient,
    dpo_loss,
    dpo_stats,
    implicit_reward,
    preference_logits,
)


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


CHOSEN, REJECTED = numbers(-3.0, -7.0, -2.0), numbers(-4.0, -5.0, -2.5)
REF_CHOSEN, REF_REJECTED = numbers(-3.5, -6.0, -2.0), numbers(-3.0, -6.0, -2.5)
FOUR = (CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED)


def test_by_hand():
    h = [0.1 * (0.5 + 1), 0.1 * (-1 - 1), 0]
    assert preference_logits(*FOUR, 0.1).tolist() == pytest.approx(h)
    wanted = [math.log(1 + math.exp(-x)) for x in h]
    found = dpo_loss(*FOUR, beta=0.1, reduction="none")
    assert found.tolist() == pytest.approx(wanted)
    assert float(dpo_loss(*FOUR)) == pytest.approx(sum(wanted) / 3)
    assert implicit_reward(CHOSEN, REF_CHOSEN, 0.1).tolist() == pytest.approx([0.05, -0.1, 0])


logs = st.lists(st.floats(-30, 0), min_size=3, max_size=3)


@given(logs, logs, st.floats(0.01, 5), st.floats(0, 0.49))
@settings(deadline=None, max_examples=40)
def test_at_the_start_the_loss_is_ln_2(chosen, rejected, beta, smoothing):
    c, r = numbers(*chosen), numbers(*rejected)
    loss = dpo_loss(c, r, c, r, beta=beta, label_smoothing=smoothing, reduction="none")
    assert loss.tolist() == pytest.approx([math.log(2)] * 3)


@given(logs, logs, logs, logs, st.floats(0.01, 2), st.floats(0, 0.4))
@settings(deadline=None, max_examples=40)
def test_the_gradient_by_hand(c, r, rc, rr, beta, smoothing):
    c, r = numbers(*c).requires_grad_(), numbers(*r).requires_grad_()
    rc, rr = numbers(*rc), numbers(*rr)
    losses = dpo_loss(c, r, rc, rr, beta=beta, label_smoothing=smoothing, reduction="none")
    theirs = torch.autograd.grad(losses.sum(), (c, r))
    h = preference_logits(c, r, rc, rr, beta).detach()
    ours = dpo_gradient(h, beta, label_smoothing=smoothing)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-9)


def test_the_first_movement_is_half_beta_on_each_answer():
    up, down = dpo_gradient(torch.zeros(1, dtype=torch.float64), 0.2)
    assert (up.item(), down.item()) == pytest.approx((-0.1, 0.1))
    wrong, settled = dpo_gradient(numbers(-20.0, 20.0), 0.2)[1].tolist()
    assert wrong == pytest.approx(0.2, abs=1e-6)
    assert settled == pytest.approx(0, abs=1e-6)


def test_smoothing_has_its_minimum_at_a_finite_gap():
    e = 0.2
    h = torch.linspace(-5, 5, 2001, dtype=torch.float64)
    zero = torch.zeros_like(h)
    losses = dpo_loss(h, zero, zero, zero, beta=1, label_smoothing=e, reduction="none")
    assert h[losses.argmin()].item() == pytest.approx(math.log((1 - e) / e), abs=0.01)
    assert abs(dpo_gradient(numbers(math.log(4)), 1.0, label_smoothing=e)[0].item()) < 1e-12


def test_stats():
    found = dpo_stats(*FOUR, 0.1)
    assert found.accuracy == pytest.approx((1 + 0 + 0.5) / 3)  # no difference counts half
    assert found.margin == pytest.approx((0.15 - 0.2) / 3)
    assert found.chosen == pytest.approx((0.5 - 1 + 0) / 3)
    assert found.rejected == pytest.approx((-1 + 1 + 0) / 3)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: dpo_loss(*FOUR, beta=0), "beta must be positive and finite, got 0"),
        (lambda: dpo_loss(*FOUR, beta=math.inf), "beta must be positive"),
        (lambda: dpo_loss(*FOUR, label_smoothing=0.5), r"in \[0, 0.5\), got 0.5"),
        (lambda: dpo_loss(*FOUR, reduction="sum"), "'mean' or 'none', got 'sum'"),
        (
            lambda: dpo_loss(CHOSEN, REJECTED[:1], REF_CHOSEN, REF_REJECTED),
            r"one shape, got chosen_logprobs \(3,\), rejected_logprobs \(1,\)",
        ),
        (lambda: implicit_reward(CHOSEN, REJECTED[:2], 1), "one shape"),
        (lambda: dpo_gradient(CHOSEN, -1), "beta must be positive"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()

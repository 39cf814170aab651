"""IPO, KTO, ORPO, SimPO: by hand, against numpy-plain formulas, and what distinguishes them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.align.direct import (
    ipo_loss,
    kto_loss,
    kto_reference_point,
    log_odds,
    orpo_loss,
    simpo_loss,
)
from minillm.align.dpo import dpo_loss


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


CHOSEN, REJECTED = numbers(-3.0, -7.0), numbers(-4.0, -5.0)
REF_CHOSEN, REF_REJECTED = numbers(-3.5, -6.0), numbers(-3.0, -6.0)
FOUR = (CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED)
GOOD = torch.tensor([True, False])


def test_ipo_by_hand():
    wanted = [(1.5 - 1 / 0.4) ** 2, (-2 - 1 / 0.4) ** 2]
    assert ipo_loss(*FOUR, tau=0.2, reduction="none").tolist() == pytest.approx(wanted)
    assert float(ipo_loss(*FOUR, tau=0.2)) == pytest.approx(sum(wanted) / 2)
    start = ipo_loss(CHOSEN, REJECTED, CHOSEN, REJECTED, tau=0.2)
    assert float(start) == pytest.approx(1 / (4 * 0.2**2))


def test_ipo_stops_where_dpo_goes_on():
    zero = numbers(0.0)
    gap = numbers(50.0).requires_grad_()
    (ipo,) = torch.autograd.grad(ipo_loss(gap, zero, zero, zero, tau=0.1), gap)
    assert ipo > 0  # back to a gap of 5
    (dpo,) = torch.autograd.grad(dpo_loss(gap, zero, zero, zero, beta=0.1), gap)
    assert dpo < 0
    at = numbers(5.0).requires_grad_()
    (ipo,) = torch.autograd.grad(ipo_loss(at, zero, zero, zero, tau=0.1), at)
    assert ipo == 0


def test_kto_by_hand():
    logp, ref, z = numbers(-3.0, -7.0), numbers(-3.5, -6.0), 0.2
    wanted = [
        1.5 * (1 - sigmoid(0.3 * (0.5 - z))),  # good
        0.8 * (1 - sigmoid(0.3 * (z + 1.0))),  # bad
    ]
    settings_ = {"beta": 0.3, "desirable_weight": 1.5, "undesirable_weight": 0.8}
    found = kto_loss(logp, ref, GOOD, z, reduction="none", **settings_)
    assert found.tolist() == pytest.approx(wanted)
    assert float(kto_loss(logp, ref, GOOD, z, **settings_)) == pytest.approx(sum(wanted) / 2)
    assert float(kto_loss(logp, logp, GOOD, 0.0)) == pytest.approx(0.5)


def test_kto_pushes_good_up_and_bad_down():
    logp, ref = numbers(-3.0, -7.0).requires_grad_(), numbers(-3.0, -7.0)
    z = numbers(0.5).requires_grad_()
    (gradient,) = torch.autograd.grad(kto_loss(logp, ref, GOOD, z), logp)
    assert gradient[0] < 0 < gradient[1]
    with pytest.raises(RuntimeError, match=r"not have been used|does not require grad"):
        torch.autograd.grad(kto_loss(logp, ref, GOOD, z), z)  # z has no gradient


def test_the_reference_point():
    assert kto_reference_point(numbers(-1.0, -2.0), numbers(-3.0, -3.0)).item() == 1.5
    assert kto_reference_point(numbers(-5.0, -2.0), numbers(-3.0, -3.0)).item() == 0
    z = kto_reference_point(numbers(-1.0).requires_grad_(), numbers(-3.0))
    assert not z.requires_grad


@given(st.floats(-60, -1e-9))
@settings(deadline=None, max_examples=40)
def test_log_odds_keeps_its_digits(logp):
    p = math.exp(logp)
    wanted = logp - (math.log(-math.expm1(logp)) if logp > -0.5 else math.log1p(-p))
    assert log_odds(numbers(logp)).item() == pytest.approx(wanted, rel=1e-12)


def test_log_odds_has_the_right_gradient():
    logp = numbers(-1e-6, -0.3, -0.6931, -2.0, -50.0).requires_grad_()
    (gradient,) = torch.autograd.grad(log_odds(logp).sum(), logp)
    wanted = -1 / torch.expm1(logp.detach())  # d/dx ln(p / (1 - p)) = 1 / (1 - p)
    torch.testing.assert_close(gradient, wanted)
    assert log_odds(torch.tensor(-1e-4)).item() == pytest.approx(math.log(1e4), abs=1e-3)


def test_orpo_by_hand():
    def odds(m):
        return math.exp(m) / (1 - math.exp(m))

    c, r = numbers(-0.5, -1.5), numbers(-1.0, -0.9)
    wanted = [
        -m + 0.3 * -math.log(sigmoid(math.log(odds(m) / odds(n))))
        for m, n in zip(c.tolist(), r.tolist(), strict=True)
    ]
    assert orpo_loss(c, r, weight=0.3, reduction="none").tolist() == pytest.approx(wanted)
    assert float(orpo_loss(c, r, weight=0)) == pytest.approx(1.0)  # only fine-tuning is left
    equal = orpo_loss(c, c, weight=1, reduction="none") + c
    assert equal.tolist() == pytest.approx([math.log(2)] * 2)


def test_simpo_by_hand():
    c, r = numbers(-0.5, -1.5), numbers(-1.0, -0.9)
    wanted = [-math.log(sigmoid(2 * 0.5 - 0.7)), -math.log(sigmoid(2 * -0.6 - 0.7))]
    found = simpo_loss(c, r, beta=2, gamma=0.7, reduction="none")
    assert found.tolist() == pytest.approx(wanted)
    assert float(simpo_loss(c, r, beta=2, gamma=0.7)) == pytest.approx(sum(wanted) / 2)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: ipo_loss(*FOUR, tau=0), "tau must be positive and finite, got 0"),
        (lambda: ipo_loss(CHOSEN[:1], *FOUR[1:]), "one shape"),
        (lambda: ipo_loss(*FOUR, reduction="x"), "'mean' or 'none'"),
        (lambda: kto_loss(CHOSEN, REJECTED, GOOD.int(), 0), "bool, got torch.int32"),
        (lambda: kto_loss(CHOSEN, REJECTED, GOOD[:1], 0), "one shape"),
        (lambda: kto_loss(CHOSEN, REJECTED, GOOD, 0, desirable_weight=-1), "not be negative"),
        (lambda: kto_loss(CHOSEN, REJECTED, GOOD, 0, undesirable_weight=-1), "not be negative"),
        (lambda: kto_loss(CHOSEN, REJECTED, GOOD, 0, beta=0), "beta must be positive"),
        (lambda: kto_reference_point(CHOSEN[:0], CHOSEN[:0]), "at least one answer"),
        (lambda: kto_reference_point(CHOSEN, CHOSEN[:1]), "one shape"),
        (lambda: log_odds(numbers(0.0)), "below 0, the largest is 0"),
        (lambda: log_odds(numbers(math.nan)), "below 0"),
        (lambda: orpo_loss(CHOSEN, REJECTED[:1]), "one shape"),
        (lambda: orpo_loss(CHOSEN, REJECTED, weight=-1), "weight must not be negative, got -1"),
        (lambda: simpo_loss(CHOSEN, REJECTED, beta=0), "beta must be positive"),
        (lambda: simpo_loss(CHOSEN, REJECTED, gamma=-1), "gamma must not be negative, got -1"),
        (lambda: simpo_loss(CHOSEN, REJECTED[:1]), "one shape"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()

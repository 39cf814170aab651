"""Kaplan's laws against the numbers that the paper prints, and against each other in the limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.scaling import (
    KAPLAN_ALLOCATION,
    KAPLAN_BATCH,
    KAPLAN_C,
    KAPLAN_C_MIN,
    KAPLAN_D,
    KAPLAN_N,
    KAPLAN_ND,
    KAPLAN_NS,
    PF_DAY,
    PowerLaw,
    allocation_exponents,
    kaplan_optimum,
    minimum_compute,
    minimum_steps,
)

SIZES = st.floats(1e3, 1e13)


def test_the_constants_are_those_of_table_5():
    laws = [(KAPLAN_N, 8.8e13, 0.076), (KAPLAN_D, 5.4e13, 0.095), (KAPLAN_C, 1.6e7, 0.057)]
    for law, scale, exponent in [*laws, (KAPLAN_C_MIN, 3.1e8, 0.050)]:
        assert (law.scale, law.exponent) == (scale, exponent)
    assert PF_DAY == 8.64e19
    assert vars(KAPLAN_ND) == {"n_c": 6.4e13, "alpha_n": 0.076, "d_c": 1.8e13, "alpha_d": 0.103}
    assert vars(KAPLAN_NS) == {"n_c": 6.5e13, "alpha_n": 0.077, "s_c": 2.1e3, "alpha_s": 0.76}


def test_doubling_multiplies_the_loss_by_a_constant():
    for n in (1e5, 1e9):
        assert KAPLAN_N(2 * n) / KAPLAN_N(n) == pytest.approx(2**-0.076)
    assert KAPLAN_N(1.5e9) == pytest.approx((8.8e13 / 1.5e9) ** 0.076)


@given(SIZES)
def test_solve_undoes_the_law(x):
    for law in (KAPLAN_N, KAPLAN_D):
        assert law.solve(float(law(x))) == pytest.approx(x, rel=1e-9)


@given(SIZES, SIZES)
def test_the_joint_law_ends_in_the_single_ones(n, d):
    assert KAPLAN_ND.loss(n, math.inf) == pytest.approx(float(PowerLaw(6.4e13, 0.076)(n)))
    assert KAPLAN_ND.loss(math.inf, d) == pytest.approx(float(PowerLaw(1.8e13, 0.103)(d)))
    assert KAPLAN_ND.loss(n, d) > max(KAPLAN_ND.loss(n, math.inf), KAPLAN_ND.loss(math.inf, d))
    assert KAPLAN_NS.loss(n, math.inf) == pytest.approx(float(PowerLaw(6.5e13, 0.077)(n)))


@given(SIZES, SIZES)
def test_the_penalty_is_the_ratio_of_losses(n, d):
    ratio = KAPLAN_ND.loss(n, d) / KAPLAN_ND.loss(n, math.inf) - 1
    assert KAPLAN_ND.penalty(n, d) == pytest.approx(float(ratio), rel=1e-6, abs=1e-12)


def test_the_penalty_depends_on_one_ratio_and_the_loss_does_not():
    n = np.array([1e6, 1e8, 1e10])
    d = 1e9 * (n / 1e8) ** KAPLAN_ND.ratio  # the same n^0.738 / d
    assert np.ptp(KAPLAN_ND.penalty(n, d)) < 1e-12
    assert np.ptp(KAPLAN_ND.loss(n, d)) > 0.5


def test_equation_4_4_comes_out_of_equation_4_3():
    """D > 5e3 N^0.74 for a penalty of 0.02."""
    for n in (1e7, 1e9):
        d = float(KAPLAN_ND.tokens_for(n, 0.02))
        assert KAPLAN_ND.penalty(n, d) == pytest.approx(0.02)
        assert 0.7 < d / (5e3 * n**0.74) < 1.4
    assert KAPLAN_ND.tokens_for(8e9, 0.02) / KAPLAN_ND.tokens_for(1e9, 0.02) == pytest.approx(
        8 ** (0.076 / 0.103)
    )


def test_the_stopping_step_is_where_the_excess_is_reached():
    s = KAPLAN_NS.stop(0.1)
    assert KAPLAN_NS.loss(1e9, s) - KAPLAN_NS.loss(1e9, math.inf) == pytest.approx(0.1)


def test_the_critical_batch_doubles_with_13_percent():
    assert KAPLAN_BATCH(1.0) == 2e8
    assert KAPLAN_BATCH(0.87 * 2.5) / KAPLAN_BATCH(2.5) == pytest.approx(2, rel=0.05)
    assert KAPLAN_BATCH(1.25) / KAPLAN_BATCH(2.5) == pytest.approx(27, rel=0.02)


def test_steps_and_compute_meet_at_the_critical_batch():
    assert minimum_steps(1000, 512, 512) == 500
    assert minimum_compute(1e18, 512, 512) == 5e17
    assert minimum_steps(1000, 1e9, 1) == pytest.approx(1000)
    assert minimum_compute(1e18, 1, 1e9) == pytest.approx(1e18)
    # ... and equation 5.1, (S / S_min - 1)(E / E_min - 1) = 1, holds at any batch
    S, B, critical = 1000.0, 300.0, 512.0
    s_min, e_min = minimum_steps(S, B, critical), minimum_compute(S * B, B, critical)
    assert (S / s_min - 1) * (S * B / e_min - 1) == pytest.approx(1)


def test_the_allocation_minimises_the_loss_along_the_budget():
    """The exponents against a search: minimise L(N, S) with C = 6 N B(L) S by brute force."""

    def best_n(c):
        n = np.geomspace(1e5, 1e12, 4001)
        low, high = np.full_like(n, 1.0), np.full_like(n, 60.0)
        for _ in range(80):  # the loss at which budget and law agree, by bisection
            loss = (low + high) / 2
            steps = c / (6 * n * KAPLAN_BATCH(loss))
            over = KAPLAN_NS.loss(n, steps) > loss
            low, high = np.where(over, loss, low), np.where(over, high, loss)
        return n[loss.argmin()], loss.min()

    (n1, l1), (n2, l2) = best_n(1e18), best_n(1e22)
    found = allocation_exponents(0.077, 0.21, 0.76)
    assert math.log(n2 / n1, 1e4) == pytest.approx(found.n, abs=0.005)
    assert math.log(l1 / l2, 1e4) == pytest.approx(found.loss, abs=0.001)


def test_the_shares_of_growth_sum_to_one():
    for parts in (allocation_exponents(0.077, 0.21, 0.76), KAPLAN_ALLOCATION):
        assert parts.n + parts.batch + parts.steps == pytest.approx(1)
    derived = allocation_exponents(0.077, 0.21, 0.76)
    assert derived.loss == pytest.approx(1 / (1 / 0.077 + 1 / 0.21 + 1 / 0.76))
    assert derived.batch == pytest.approx(derived.loss / 0.21)
    grown = KAPLAN_ALLOCATION.grow(10)
    assert grown["n"] == pytest.approx(10**0.73)
    assert grown["data"] == pytest.approx(10**0.27)
    assert grown["batch"] * grown["steps"] == pytest.approx(grown["data"])


def test_the_optimum_at_1e21_is_the_one_that_hoffmann_read_off():
    best = kaplan_optimum(1e21)
    assert best.n == pytest.approx(4.68e9, rel=0.005)
    assert 6 * best.n * best.d == pytest.approx(1e21)
    assert best.d == pytest.approx(2e10 * (1e21 / 2 / PF_DAY) ** 0.27, rel=0.15)  # table 6
    free = kaplan_optimum(1e21, batch=0)
    assert free.n / best.n == pytest.approx(2**0.73)
    assert free.loss < best.loss


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: KAPLAN_N(0), "x must be positive and finite, got 0"),
        (lambda: KAPLAN_N(float("nan")), "got nan"),
        (lambda: KAPLAN_N.solve(-1), "loss must be positive"),
        (lambda: PowerLaw(1e13, 0), "exponent must be positive"),
        (lambda: PowerLaw(-1, 0.1), "scale must be positive"),
        (lambda: KAPLAN_ND.loss(-1, 1e9), "n and d must be positive"),
        (lambda: KAPLAN_NS.loss(1e9, 0), "n and s_min must be positive"),
        (lambda: KAPLAN_NS.stop(0), "excess must be positive"),
        (lambda: KAPLAN_BATCH(0), "loss must be positive"),
        (lambda: KAPLAN_ND.tokens_for(1e9, 0), "penalty must be positive"),
        (lambda: minimum_steps(100, 0, 1), "batch must be positive"),
        (lambda: minimum_compute(1e18, 1, 0), "critical must be positive"),
        (lambda: allocation_exponents(0.077, 0, 0.76), "alpha_b must be positive"),
        (lambda: KAPLAN_ALLOCATION.grow(0), "factor must be positive"),
        (lambda: kaplan_optimum(0), "flops must be positive"),
        (lambda: kaplan_optimum(1e20, batch=-1), "cannot be -1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()

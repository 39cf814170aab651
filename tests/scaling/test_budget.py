"""The nine rows, the laws side by side, and the cost of a life against a search."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from minillm.scaling import (
    ARTICLE_ROWS,
    BESIROGLU,
    HOFFMANN_TEX,
    LAWS,
    break_even,
    cheapest_training,
    check_rows,
    grow,
    kaplan_optimum,
    plan_budget,
    serving_plan,
)


def test_one_row_breaks_the_product_and_one_the_unit():
    checks = check_rows()
    assert len(checks) == len(ARTICLE_ROWS) == 9
    assert [c.row.n for c in checks if not c.product_fits] == [67e9]
    assert [c.row.n for c in checks if not c.unit_fits] == [10e9]
    (chinchilla,) = [c for c in checks if not c.product_fits]
    assert chinchilla.product_ratio == pytest.approx(6 * 67e9 * 1.5e12 / 5.76e23)
    assert chinchilla.product_ratio == pytest.approx(1.047, abs=5e-4)
    assert all(c.product_fits for c in check_rows(tolerance=0.05))
    assert all(19 < c.tokens_per_parameter < 23 for c in checks)


def test_growth_is_shared():
    assert grow(10, 0.5) == (pytest.approx(10**0.5), pytest.approx(10**0.5))
    n, d = grow(10, 0.73)
    assert (round(n, 2), round(d, 2)) == (5.37, 1.86)
    assert n * d == pytest.approx(10)


def test_every_law_spends_the_budget():
    for law in [*LAWS, "kaplan", "twenty", "approach-1"]:
        best = plan_budget(1e21, law)
        assert 6 * best.n * best.d == pytest.approx(1e21)
    assert plan_budget(1e21, "twenty").tokens_per_parameter == pytest.approx(20)
    assert plan_budget(1e21, "kaplan") == kaplan_optimum(1e21)
    assert plan_budget(1e21) == plan_budget(1e21, BESIROGLU) == BESIROGLU.optimum(1e21)
    # the line through the table against the paper's own 2.86e9 (appendix D.4)
    assert plan_budget(1e21, "approach-1").n == pytest.approx(2.86e9, rel=0.01)
    for row in ARTICLE_ROWS:
        assert plan_budget(row.flops, "approach-1").n == pytest.approx(row.n, rel=0.05)


@given(st.floats(1.9, 3.5))
def test_the_cheapest_training_is_the_optimum_of_its_budget(loss):
    best = cheapest_training(loss, BESIROGLU)
    again = BESIROGLU.optimum(best.flops)
    assert again.n == pytest.approx(best.n, rel=1e-6)
    assert again.loss == pytest.approx(loss)


@pytest.mark.parametrize("served", [1e9, 1e12, 1e14])
def test_serving_is_minimised(served):
    found = serving_plan(2.1, served, HOFFMANN_TEX)
    assert HOFFMANN_TEX.loss(found.n, found.d) == pytest.approx(2.1)

    def cost(log_n):
        n = math.exp(log_n)
        return 6 * n * HOFFMANN_TEX.tokens_for(n, 2.1) + 2 * n * served

    low = math.log((HOFFMANN_TEX.A / (2.1 - HOFFMANN_TEX.E)) ** (1 / HOFFMANN_TEX.alpha) * 1.001)
    other = minimize_scalar(
        cost, bounds=(low, math.log(found.optimum.n)), method="bounded", options={"xatol": 1e-9}
    )
    assert found.total == pytest.approx(other.fun, rel=1e-6)
    assert found.n < found.optimum.n
    assert found.d > found.optimum.d
    assert found.total < found.optimum.flops + 2 * found.optimum.n * served


def test_without_serving_it_is_the_cheapest_training():
    found = serving_plan(2.1, 0, BESIROGLU)
    assert (found.n, found.serving_flops) == (found.optimum.n, 0)
    assert found.total == pytest.approx(found.optimum.flops)


def test_more_serving_means_a_smaller_model():
    sizes = [serving_plan(2.1, t, BESIROGLU).n for t in (0, 1e11, 1e12, 1e13, 1e14)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 5


def test_at_the_break_even_both_cost_the_same():
    small, large, d_large = 7e9, 13e9, 1e12
    t = break_even(small, large, d_large, BESIROGLU)
    d_small = BESIROGLU.tokens_for(small, float(BESIROGLU.loss(large, d_large)))
    assert d_small > d_large
    assert 6 * small * d_small + 2 * small * t == pytest.approx(6 * large * d_large + 2 * large * t)
    assert break_even(70e9, 280e9, 300e9, BESIROGLU) == 0  # Chinchilla against Gopher


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plan_budget(0), "flops must be positive"),
        (lambda: plan_budget(1e5), r"a model of \S+ parameters by this law, below the smallest"),
        (lambda: plan_budget(1e21, smallest_n=1e12), r"below the smallest of 1e\+12"),
        (lambda: plan_budget(1e21, "openai"), "no law 'openai'; there are hoffmann, .*kaplan"),
        (lambda: grow(0, 0.5), "factor must be positive"),
        (lambda: grow(10, 1.5), "cannot be 1.5"),
        (lambda: cheapest_training(1.8, BESIROGLU), r"no model reaches 1\.8: the floor"),
        (lambda: serving_plan(1.8, 1e12, BESIROGLU), r"no model reaches 1\.8"),
        (lambda: serving_plan(2.1, -1, BESIROGLU), "served_tokens cannot be -1"),
        (lambda: serving_plan(2.1, math.nan, BESIROGLU), "served_tokens cannot be nan"),
        (lambda: break_even(13e9, 7e9, 1e12, BESIROGLU), "n_small must be below n_large"),
        (lambda: break_even(1e8, 13e9, 1e13, BESIROGLU), "never reach a loss"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_rows_are_those_of_the_paper():
    found = np.array([(r.n, r.flops, r.d) for r in ARTICLE_ROWS])
    assert found.sum(axis=0).tolist() == [
        400e6 + 1e9 + 10e9 + 67e9 + 175e9 + 280e9 + 520e9 + 1e12 + 10e12,
        sum((1.92e19, 1.21e20, 1.23e22, 5.76e23, 3.85e24, 9.9e24, 3.43e25, 1.27e26, 1.3e28)),
        8e9 + 20.2e9 + 205.1e9 + 1.5e12 + 3.7e12 + 5.9e12 + 11e12 + 21.2e12 + 216.2e12,
    ]

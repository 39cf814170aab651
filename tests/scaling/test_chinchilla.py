"""The law and its optimum against a search, and against the numbers of the papers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.scaling import (
    APPROACHES,
    BESIROGLU,
    HOFFMANN,
    HOFFMANN_TEX,
    LAWS,
    MUENNIGHOFF,
    ChinchillaLaw,
)

laws = st.builds(
    ChinchillaLaw,
    E=st.floats(0, 3),
    A=st.floats(1, 1e4),
    B=st.floats(1, 1e4),
    alpha=st.floats(0.1, 1),
    beta=st.floats(0.1, 1),
)
budgets = st.floats(1e12, 1e26)


@given(laws, budgets)
def test_the_optimum_is_the_best_of_many_sizes(law, c):
    best = law.optimum(c)
    assert 6 * best.n * best.d == pytest.approx(c)
    n = best.n * np.array([0.2, 0.5, 0.9, 1.1, 2, 5])
    assert (law.loss(n, c / (6 * n)) > best.loss).all()
    assert law.frontier([c, c])[1] == pytest.approx(best.loss)
    assert law.best_n(best.d) == pytest.approx(best.n, rel=1e-6)


@given(laws, budgets)
def test_the_optimum_grows_by_its_exponents(law, c):
    one, ten = law.optimum(c), law.optimum(10 * c)
    assert math.log10(ten.n / one.n) == pytest.approx(law.a)
    assert math.log10(ten.d / one.d) == pytest.approx(law.b)
    assert law.a + law.b == pytest.approx(1)


def test_the_marginal_prices_are_equal_at_the_optimum():
    best = BESIROGLU.optimum(1e23)
    by_n = BESIROGLU.alpha * BESIROGLU.A * best.n**-BESIROGLU.alpha
    by_d = BESIROGLU.beta * BESIROGLU.B * best.d**-BESIROGLU.beta
    assert by_n == pytest.approx(by_d)


def test_published_constants_give_published_numbers():
    gopher = 5.76e23
    assert HOFFMANN_TEX.optimum(gopher).n == pytest.approx(40e9, rel=0.02)  # figure 4
    assert HOFFMANN.optimum(gopher).n == pytest.approx(32e9, rel=0.02)  # rounding costs a fifth
    assert 17 < BESIROGLU.optimum(gopher).tokens_per_parameter < 20
    assert HOFFMANN_TEX.a == pytest.approx(APPROACHES["parametric"][0], abs=0.005)
    assert BESIROGLU.a == pytest.approx(0.5126, abs=5e-4)
    assert MUENNIGHOFF.best_n(1e9) / 1e9 == pytest.approx(0.051, abs=5e-4)
    assert {"hoffmann", "besiroglu", "hoffmann-tex", "muennighoff"} == set(LAWS)
    assert (round(MUENNIGHOFF.A), round(MUENNIGHOFF.B)) == (521, 1488)
    assert pytest.approx(1.87, abs=0.005) == MUENNIGHOFF.E


def test_the_limits_of_the_law():
    assert HOFFMANN.loss(math.inf, math.inf) == HOFFMANN.E
    assert HOFFMANN.loss(1e9, 1e10) == pytest.approx(1.69 + 406.4 / 1e9**0.34 + 410.7 / 1e10**0.28)
    assert HOFFMANN.loss([1e9, 1e10], 1e10).shape == (2,)


def test_tokens_for_undoes_the_loss():
    loss = float(BESIROGLU.loss(7e9, 1e12))
    assert BESIROGLU.tokens_for(7e9, loss) == pytest.approx(1e12)
    with pytest.raises(ValueError, match=r"never reach a loss of 1\.85: .* come to 2\."):
        BESIROGLU.tokens_for(1e9, 1.85)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ChinchillaLaw(-1, 1, 1, 0.3, 0.3), "E is a loss and cannot be -1"),
        (lambda: ChinchillaLaw(1, 1, 1, 0, 0.3), "alpha must be positive"),
        (lambda: ChinchillaLaw(1, 1, 0, 0.3, 0.3), "B must be positive"),
        (lambda: HOFFMANN.loss(0, 1e9), "n must be positive, got 0"),
        (lambda: HOFFMANN.loss(1e9, [1e9, -5]), "d must be positive, got -5"),
        (lambda: HOFFMANN.optimum(0), "flops must be positive"),
        (lambda: HOFFMANN.frontier([1e20, -1]), "flops must be positive and finite, got -1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()

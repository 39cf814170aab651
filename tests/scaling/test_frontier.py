"""Parabolas against numpy, and both ways to a frontier against a law whose frontier is known."""

import numpy as np
import pytest

from minillm.scaling import ChinchillaLaw, Curve, envelope, fit_envelope, fit_isoflop, fit_parabola

LAW = ChinchillaLaw(E=1.2, A=30, B=200, alpha=0.3, beta=0.35)
BUDGETS = np.geomspace(1e12, 1e15, 4)


def isoflop_grid(spread=0.0, seed=0, factors=(0.5, 0.7, 1, 1.4, 2), law=LAW):
    flops, n = [], []
    for c in BUDGETS:
        flops += [c] * len(factors)
        n += [law.optimum(c).n * f for f in factors]
    flops, n = np.array(flops), np.array(n)
    d = flops / (6 * n)
    noise = spread * np.random.default_rng(seed).normal(size=len(n))
    return flops, n, d, law.loss(n, d) + noise


SIZES = np.geomspace(1e4, 3e7, 40)


def curves(sizes=SIZES):
    found = []
    for n in sizes:
        d = np.geomspace(1e5, 1e9, 300)
        found.append(Curve(n, d, LAW.loss(n, d), 6 * n * d))
    return found


def test_a_parabola_comes_back():
    n = np.geomspace(1e4, 1e6, 7)
    loss = 2 + 0.05 * np.log(n / 1.3e5) ** 2
    fit = fit_parabola(n, loss)
    assert fit.n_opt == pytest.approx(1.3e5)
    assert (fit.floor, fit.curvature) == (pytest.approx(2), pytest.approx(0.05))
    np.testing.assert_allclose(fit.predict(n), loss)


def test_it_is_the_least_squares_parabola():
    n = np.geomspace(1e4, 1e6, 7)
    loss = 2 + 0.05 * np.log(n / 1.3e5) ** 2 + 0.01 * np.random.default_rng(0).normal(size=7)
    fit = fit_parabola(n, loss)
    design = np.stack([np.log(n) ** 2, np.log(n), np.ones(7)], axis=1)
    (c2, c1, c0), *_ = np.linalg.lstsq(design, loss)
    assert fit.n_opt == pytest.approx(np.exp(-c1 / (2 * c2)))
    assert fit.floor == pytest.approx(c0 - c1**2 / (4 * c2))


def test_isoflop_finds_the_exponents_of_a_law():
    flops, n, d, loss = isoflop_grid()
    fit = fit_isoflop(flops, n, loss)
    assert fit.a == pytest.approx(LAW.a, abs=1e-6)  # the shape of each valley is the same
    assert fit.b == pytest.approx(LAW.b, abs=1e-6)
    best = [LAW.optimum(c) for c in BUDGETS]
    np.testing.assert_allclose(fit.n, [o.n for o in best], rtol=0.01)
    np.testing.assert_allclose(fit.loss, [o.loss for o in best], atol=2e-3)
    np.testing.assert_array_equal(fit.flops, BUDGETS)
    np.testing.assert_allclose(6 * fit.n * fit.d, BUDGETS)
    assert fit.inside.all()
    assert fit_isoflop(flops, n, loss, d=d).b == pytest.approx(fit.b, abs=1e-9)
    far = fit.optimum(1e18)
    assert far.n == pytest.approx(LAW.optimum(1e18).n, rel=0.02)
    assert np.isnan(far.loss)


def test_tokens_that_are_given_are_used():
    """FLOPs counted exactly: every run has half the tokens that C / 6N would give."""
    flops, n, d, loss = isoflop_grid()
    fit = fit_isoflop(flops, n, loss, d=d / 2)
    np.testing.assert_allclose(6 * fit.n * fit.d, BUDGETS / 2)


def test_a_bottom_outside_of_the_sizes_is_marked():
    flops, n, _, loss = isoflop_grid(factors=(0.1, 0.2, 0.3, 0.5))
    assert not fit_isoflop(flops, n, loss).inside.any()


@pytest.mark.parametrize("seed", range(3))
def test_isoflop_with_noise_is_near(seed):
    flops, n, _, loss = isoflop_grid(0.002, seed, factors=(0.25, 0.5, 0.7, 1, 1.4, 2, 4))
    assert fit_isoflop(flops, n, loss).a == pytest.approx(LAW.a, abs=0.06)


def test_the_envelope_is_the_lowest_curve():
    n = np.array([1e4, 1e5])
    d = np.array([1e6, 1e7])
    pair = [
        Curve(1e4, d, np.array([3.0, 2.0]), 6e4 * d),
        Curve(1e5, d, np.array([2.5, 1.0]), 6e5 * d),
    ]
    middle = 6e4 * 10**6.5
    best, size, tokens, loss = envelope(pair, [7e10, middle, 6e11, 6.1e11])
    np.testing.assert_array_equal(best, [0, 0, 0, 1])
    np.testing.assert_array_equal(size, n[best])
    assert loss[1] == pytest.approx(2.5)  # half way in log C
    assert tokens[1] == pytest.approx(10**6.5)
    assert loss[3] == pytest.approx(2.5, abs=0.02)


def test_the_envelope_finds_the_exponents_of_a_law():
    fit = fit_envelope(curves(), np.geomspace(1e12, 1e15, 200))
    assert fit.a == pytest.approx(LAW.a, abs=0.01)
    assert fit.b == pytest.approx(LAW.b, abs=0.01)
    np.testing.assert_allclose(fit.loss, LAW.frontier(fit.flops), atol=2e-3)
    assert fit.inside.all()


def test_budgets_are_chosen_where_curves_can_be_compared():
    few = [curves(np.array([n]))[0] for n in (1e5, 1e6, 1e7)]
    fit = fit_envelope(few, n_budgets=30)
    assert len(fit.flops) == 30
    assert fit.flops[0] == pytest.approx(6e6 * 1e5)
    assert fit.flops[-1] == pytest.approx(6e6 * 1e9)
    assert not fit.inside.all()  # the smallest and the largest are at the edge of what was tried


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_parabola([1, 2], [2, 1]), "3 parameters and there are 2 points"),
        (lambda: fit_parabola([1, 2, 2], [2, 1, 1]), "n takes 2 different values"),
        (lambda: fit_parabola([1, 2, 4], [1, 2, 1]), r"from 1 to 4 do not bracket an optimum"),
        (lambda: fit_parabola([1, 2, 4], [2, -1, 2]), "loss must be positive and finite, got -1"),
        (lambda: fit_isoflop([1e9] * 6, range(1, 7), [1] * 6), "flops takes 1 different value"),
        (lambda: fit_isoflop([1e9] * 3, [1, 2, 3], [3, 1, 2]), "6 parameters and there are 3"),
        (
            lambda: fit_isoflop([1e9] * 3 + [2e9] * 3, [1, 2, 4] * 2, [1, 2, 1] * 2),
            r"budget 1e\+09: the losses bend the wrong way",
        ),
        (lambda: fit_envelope(curves()[:1]), "curves of at least 2 sizes, got 1"),
        (lambda: fit_envelope([curves()[0]] * 2), "size of the lowest curve takes 1 different"),
        (lambda: envelope(curves(), [1e3]), "no curve reaches the budget 1e"),
        (
            lambda: envelope([Curve(1e4, np.ones(2), np.ones(2), np.array([2.0, 1.0]))], [1.5]),
            "curve 0: flops must grow",
        ),
        (
            lambda: fit_envelope(
                [Curve(10, np.ones(2), np.ones(2), np.array(c)) for c in ([1, 2], [5, 9])]
            ),
            "share no range of FLOPs",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()

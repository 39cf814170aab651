"""The parametric fit: known constants, scipy from the paper's starts, outliers, intervals."""

import numpy as np
import pytest
from scipy.optimize import minimize

from minillm.scaling import (
    BESIROGLU,
    ChinchillaLaw,
    bootstrap_parametric,
    fit_parametric,
    hoffmann_starts,
)

SMALL = ChinchillaLaw(E=1.2, A=30, B=200, alpha=0.3, beta=0.35)
"""Of the size of what this course trains."""


def grid(law, sizes=8, lengths=8, n=(1e4, 3e6), d=(1e6, 3e7), spread=0.0, seed=0):
    N, D = np.meshgrid(np.geomspace(*n, sizes), np.geomspace(*d, lengths))
    N, D = N.ravel(), D.ravel()
    noise = spread * np.random.default_rng(seed).normal(size=len(N))
    return N, D, law.loss(N, D) * np.exp(noise)


@pytest.mark.parametrize(
    ("law", "n", "d"),
    [(SMALL, (1e4, 3e6), (1e6, 3e7)), (BESIROGLU, (7e7, 1.6e10), (5e9, 5e11))],
    ids=["small", "besiroglu"],
)
def test_constants_come_back_without_noise(law, n, d):
    found = fit_parametric(*grid(law, n=n, d=d))
    for name, value in vars(law).items():
        assert getattr(found.law, name) == pytest.approx(value, rel=1e-4)
    assert found.objective < 1e-12
    assert np.abs(found.residuals).max() < 1e-6
    assert found.n_starts_agreeing > 24


@pytest.mark.parametrize("seed", range(2))
def test_it_is_scipys_minimum_from_the_papers_grid(seed):
    """The objective, minimised by scipy's L-BFGS from a sample of the 4 500 starts."""
    N, D, L = grid(BESIROGLU, 5, 5, (7e7, 1.6e10), (5e9, 5e11), 0.01, seed)
    delta = 1e-3

    def objective(p):
        a, b, alpha, beta, e = p
        terms = np.stack([a - alpha * np.log(N), b - beta * np.log(D), np.full(len(N), e)])
        top = terms.max(axis=0)
        r = top + np.log(np.exp(terms - top).sum(axis=0)) - np.log(L)
        size = np.abs(r)
        return np.where(size <= delta, r**2 / 2, delta * (size - delta / 2)).sum()

    starts = hoffmann_starts()
    assert starts.shape == (4500, 5)
    values = np.array([objective(start) for start in starts])
    best = min(
        minimize(
            lambda p: 1e4 * objective(p), start, method="L-BFGS-B", options={"maxiter": 2000}
        ).fun
        / 1e4
        for start in starts[values.argsort()[:12]]
    )
    own = fit_parametric(N, D, L)
    assert own.objective <= best * 1.001
    law = own.law
    at = [np.log(law.A), np.log(law.B), law.alpha, law.beta, np.log(law.E)]
    assert objective(at) == pytest.approx(own.objective, rel=1e-6)
    theirs = fit_parametric(N, D, L, starts=starts, n_refined=30)
    assert theirs.objective == pytest.approx(own.objective, rel=1e-3)


def test_the_best_start_wins():
    """Alone, starts end in different valleys; together, the lowest of them counts."""
    N, D, L = grid(BESIROGLU, 5, 5, (7e7, 1.6e10), (5e9, 5e11), 0.01, 3)
    starts, alone = hoffmann_starts()[::451], []
    for start in starts:
        try:
            alone.append(fit_parametric(N, D, L, starts=start[None]).objective)
        except ValueError:  # a valley where the loss does not fall with n or d
            alone.append(np.inf)
    assert max(x for x in alone if x < np.inf) > 1.05 * min(alone)
    for i in range(len(starts) - 3):
        together = fit_parametric(N, D, L, starts=starts[i : i + 4])
        assert together.objective == pytest.approx(min(alone[i : i + 4]), rel=1e-9)


def test_a_wrong_run_moves_huber_less_than_least_squares():
    errors = {1e-3: [], 10.0: []}
    for seed in range(4):
        N, D, L = grid(SMALL, spread=0.002, seed=seed)
        wrong = np.random.default_rng(seed).choice(len(L), 4, replace=False)
        L[wrong] *= 1.15
        for delta, found in errors.items():
            found.append(abs(fit_parametric(N, D, L, delta=delta).law.a - SMALL.a))
    assert np.mean(errors[1e-3]) < 0.35 * np.mean(errors[10.0])


def test_weights_are_counts():
    N, D, L = grid(SMALL, 5, 5, spread=0.01)
    counts = np.random.default_rng(4).integers(0, 3, 25)
    fit = fit_parametric(N, D, L, weights=counts)
    again = fit_parametric(*(np.repeat(column, counts) for column in (N, D, L)))
    assert fit.objective == pytest.approx(again.objective, rel=1e-4)
    assert fit.law.a == pytest.approx(again.law.a, abs=1e-3)


def test_intervals_cover_the_exponents_over_seeds():
    covered = {"alpha": 0, "beta": 0, "a": 0, "E": 0}
    truth = {**vars(SMALL), "a": SMALL.a}
    for seed in range(8):
        columns = grid(SMALL, 6, 6, spread=0.01, seed=seed)
        found = bootstrap_parametric(*columns, n_resamples=60, seed=seed)
        for name in covered:
            value, low, high = found.interval(name)
            assert low <= value <= high
            covered[name] += low <= truth[name] <= high
    assert all(n >= 6 for n in covered.values()), covered  # 95 % intervals, 8 times


def test_a_resample_is_fitted_as_if_alone():
    columns = grid(SMALL, 6, 6, spread=0.01)
    found = bootstrap_parametric(*columns, n_resamples=5, seed=1)
    draw = np.random.default_rng(1)
    for i in range(5):
        rows = draw.integers(0, 36, 36)
        alone = fit_parametric(*(column[rows] for column in columns)).law
        assert found.draws["a"][i] == pytest.approx(alone.a, abs=2e-3)
        assert found.draws["E"][i] == pytest.approx(alone.E, abs=5e-3)
    assert found.estimates["a"] == pytest.approx(fit_parametric(*columns).law.a, abs=1e-3)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([1, 2, 3, 4], [1, 2, 3, 4], [4, 3, 2, 1]), "5 parameters and there are 4 points"),
        (([7] * 6, range(1, 7), range(6, 0, -1)), "n takes 1 different value and"),
        ((range(1, 7), [1, 2] * 3, range(6, 0, -1)), "d takes 2 different values and"),
        ((range(1, 7), range(1, 7), [6, 5, 4, 3, 2, 0]), "loss must be positive and finite, got 0"),
        ((range(1, 7), range(1, 7), [6, 5, 4, 3, 2, float("nan")]), "got nan"),
        ((range(0, 6), range(1, 7), range(6, 0, -1)), "n must be positive"),
    ],
)
def test_bad_input(columns, message):
    for fit in (fit_parametric, bootstrap_parametric):
        with pytest.raises(ValueError, match=message):
            fit(*(list(column) for column in columns))


def test_losses_that_rise_with_the_model_are_refused():
    N, D, _ = grid(SMALL, 4, 4)
    rising = 0.5 * (N / 1e4) ** 0.2 + (D / 1e6) ** -0.3
    with pytest.raises(ValueError, match="do not fall with both n and d"):
        fit_parametric(N, D, rising)


def test_weights_need_one_number_a_run():
    with pytest.raises(ValueError, match="one number a run, none negative"):
        fit_parametric(*grid(SMALL, 3, 3), weights=[-1.0] * 9)

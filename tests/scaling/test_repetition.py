"""Effective tokens against the sum that they approximate; the law's limits; the fit."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.scaling import (
    MUENNIGHOFF,
    MUENNIGHOFF_REPEATED,
    ChinchillaLaw,
    RepetitionLaw,
    bootstrap,
    effective_amount,
    fit_repetition,
    without_repetition,
)

BASE = ChinchillaLaw(E=1.2, A=30, B=200, alpha=0.3, beta=0.35)
TRUTH = RepetitionLaw(BASE, r_d=12.0, r_n=5.0)
positive = st.floats(1e-2, 1e4)


def runs(law=TRUTH, spread=0.0, seed=0):
    epochs = np.tile([1, 2, 4, 8, 16, 64], 6)
    unique = np.tile(np.repeat([1e5, 1e6, 4e6], 6), 2)
    n = np.repeat([1e5, 2e6], 18)
    noise = np.exp(spread * np.random.default_rng(seed).normal(size=36))
    return n, unique * epochs, unique, law.loss(n, unique * epochs, unique) * noise


def test_the_example_of_the_paper():
    """R* = 3 and four repetitions: 3.21 against the geometric sum's 3.05; at most 4."""
    assert effective_amount(1, 5, 3) == pytest.approx(3.21, abs=0.005)
    assert effective_amount(1, 101, 3) == pytest.approx(4, abs=1e-6)


def test_it_approximates_a_geometric_sum():
    share = 1 - 1 / 16.4  # each repetition keeps this of the one before
    exact = sum(share**k for k in range(9))  # nine epochs
    assert effective_amount(1, 9, share / (1 - share)) == pytest.approx(exact, rel=0.03)


@given(positive, st.floats(1, 500), positive)
def test_effective_tokens_lie_between_the_unique_and_all(unique, epochs, r_star):
    total = unique * epochs
    found = float(effective_amount(unique, total, r_star))
    assert unique * (1 - 1e-12) <= found <= total * (1 + 1e-9)
    assert found <= unique * (1 + r_star) * (1 + 1e-9)
    assert effective_amount(unique, total * 1.1, r_star) >= found * (1 - 1e-12)


@given(positive, st.floats(0.01, 1))
def test_a_part_of_one_epoch_counts_whole(unique, share):
    assert effective_amount(unique, share * unique, 5.0) == pytest.approx(share * unique)


def test_the_first_repetition_is_nearly_free_and_infinity_is_quite():
    assert effective_amount(1, 1.01, 15.0) == pytest.approx(1.01, abs=1e-4)
    assert effective_amount(1, 50, math.inf) == 50
    assert effective_amount(1.0, 50.0, [1, math.inf]).tolist()[1] == 50


def test_without_repetition_it_is_the_base_law():
    assert TRUTH.loss(1e4, 1e6, 1e6) == pytest.approx(float(BASE.loss(1e4, 1e6)))
    assert TRUTH.loss(1e4, 1e6, 5e6) == pytest.approx(float(BASE.loss(1e4, 1e6)))
    free = without_repetition(TRUTH)
    assert free.loss(1e6, 1e8, 1e6) == pytest.approx(float(BASE.loss(1e6, 1e8)))


def test_parameters_beyond_the_best_size_count_less():
    unique = 1e6
    enough = float(BASE.best_n(unique))
    assert TRUTH.effective_parameters(enough / 2, unique) == pytest.approx(enough / 2)
    assert TRUTH.effective_parameters(3 * enough, unique) == pytest.approx(
        enough * (1 + 5 * (1 - math.exp(-2 / 5)))
    )
    assert TRUTH.effective_tokens(3 * unique, unique) == pytest.approx(
        unique * (1 + 12 * (1 - math.exp(-2 / 12)))
    )


def test_the_papers_constants():
    law = MUENNIGHOFF_REPEATED
    assert (law.r_d, law.r_n, law.base) == (15.387756, 5.309743, MUENNIGHOFF)
    four = law.effective_tokens(4e9, 1e9) / 4e9
    assert 0.92 < four < 0.94  # four epochs are worth some 93 % of as many new tokens


def test_the_optimum_is_the_best_of_many_sizes():
    for unique in (1e6, 1e12):
        best = TRUTH.optimum(1e15, unique)
        n = best.n * np.array([0.3, 0.7, 0.99, 1.01, 1.5, 3])
        assert (TRUTH.loss(n, 1e15 / (6 * n), unique) >= best.loss).all()
        assert 6 * best.n * best.d == pytest.approx(1e15)
    free = BASE.optimum(1e15)
    assert best.n == pytest.approx(free.n, rel=1e-3)  # enough data: Chinchilla's


def test_constants_come_back():
    n, d, unique, loss = runs()
    found = fit_repetition(n, d, unique, loss, BASE)
    assert found.law.r_d == pytest.approx(12, rel=1e-4)
    assert found.law.r_n == pytest.approx(5, rel=1e-4)
    assert np.abs(found.residuals).max() < 1e-6
    n, d, unique, loss = runs(RepetitionLaw(BASE, 7.0))
    found = fit_repetition(n, d, unique, loss, BASE, parameters=False)
    assert found.law.r_d == pytest.approx(7, rel=1e-4)
    assert found.law.r_n == math.inf


def test_the_fit_is_the_best_of_a_grid():
    n, d, unique, loss = runs(spread=0.01)
    found = fit_repetition(n, d, unique, loss, BASE)
    for r_d in np.geomspace(2, 60, 25):
        for r_n in np.geomspace(1, 40, 15):
            r = np.log(RepetitionLaw(BASE, r_d, r_n).loss(n, d, unique) / loss)
            size = np.abs(r)
            value = np.where(size <= 1e-3, r**2 / 2, 1e-3 * (size - 5e-4)).sum()
            assert found.objective <= value + 1e-12


def test_intervals_cover_over_seeds():
    covered = 0
    for seed in range(4):
        columns = np.array(runs(RepetitionLaw(BASE, 12.0), spread=0.005, seed=seed))

        def fit(rows, columns=columns):
            return {"r": fit_repetition(*columns[:, rows], BASE, parameters=False).law.r_d}

        _, low, high = bootstrap(fit, 36, n_resamples=20, seed=seed).interval("r")
        covered += low <= 12 <= high
    assert covered >= 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: effective_amount(0, 1, 1), "unique must be positive"),
        (lambda: effective_amount(1, -1, 1), "total must be positive"),
        (lambda: effective_amount(1, 1, 0), "r_star must be positive, got 0"),
        (lambda: RepetitionLaw(BASE, 0), "r_d must be positive, got 0"),
        (lambda: RepetitionLaw(BASE, 1, -2), "r_n must be positive, got -2"),
        (lambda: TRUTH.loss(1e5, 1e6, 0), "unique must be positive"),
        (lambda: TRUTH.optimum(0, 1e6), "flops must be positive"),
        (lambda: fit_repetition([1], [4], [2], [3], BASE), "2 parameters and there are 1 points"),
        (
            lambda: fit_repetition([1, 2, 3], [1, 2, 3], [4, 4, 4], [3, 2, 1], BASE),
            "no run reads a token twice",
        ),
        (
            lambda: fit_repetition([1, 2, 3], [4, 8, 2], [2, 4, 1], [3, 2, 1], BASE),
            "d / unique takes 1 different value",
        ),
        (
            lambda: fit_repetition([1, 2], [4, 8], [2, 2], [3, 0], BASE),
            "loss must be positive",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()

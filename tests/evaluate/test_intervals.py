"""Intervals against scipy, hand calculation, and simulated coverage."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.evaluate.intervals import (
    Interval,
    bootstrap_interval,
    mean_interval,
    paired_difference,
    seed_spread,
)
from minillm.evaluate.quantiles import beta_share, chi2_quantile, t_quantile

# ---- quantiles -------------------------------------------------------------------------------


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 30, 1000, 2.5])
@pytest.mark.parametrize("p", [0.001, 0.025, 0.2, 0.5, 0.8, 0.95, 0.975, 0.995, 0.9999])
def test_quantiles_equal_scipy(p, df):
    assert t_quantile(p, df) == pytest.approx(scipy.stats.t.ppf(p, df), rel=1e-9, abs=1e-12)
    assert chi2_quantile(p, df) == pytest.approx(scipy.stats.chi2.ppf(p, df), rel=1e-9)


def test_quantiles_from_the_tables():
    assert round(t_quantile(0.975, 4), 3) == 2.776
    assert round(t_quantile(0.975, 2), 3) == 4.303
    assert round(chi2_quantile(0.95, 1), 3) == 3.841
    assert t_quantile(0.75, 1) == pytest.approx(1.0)  # one degree is Cauchy: tan(pi/4)


@given(st.floats(0, 1), st.floats(0.3, 50), st.floats(0.3, 50))
@settings(max_examples=60, deadline=None)
def test_beta_share_equals_scipy(x, a, b):
    assert beta_share(x, a, b) == pytest.approx(scipy.stats.beta.cdf(x, a, b), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("p", "df"), [(0, 3), (1, 3), (-0.1, 3), (0.5, 0), (0.5, -1)])
def test_quantiles_refuse(p, df):
    for quantile in (t_quantile, chi2_quantile):
        with pytest.raises(ValueError, match=r"p must lie|df must be positive"):
            quantile(p, df)


# ---- means -----------------------------------------------------------------------------------


def test_mean_interval_by_hand():
    found = mean_interval([1.0, 2.0, 3.0])  # s = 1, t = 4.3027, half = 4.3027 / sqrt(3)
    assert found.value == 2.0
    assert found.high - 2.0 == pytest.approx(4.302652729749464 / math.sqrt(3), rel=1e-9)
    assert found.low == pytest.approx(4.0 - found.high, abs=1e-12)
    assert (found.level, found.n) == (0.95, 3)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_mean_interval_equals_scipy(level):
    x = [3.1, 2.9, 3.4, 3.0, 2.2]
    low, high = scipy.stats.t.interval(level, 4, np.mean(x), scipy.stats.sem(x))
    found = mean_interval(x, level)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.level == level


@pytest.mark.parametrize("n", [3, 10])
def test_mean_interval_covers_as_often_as_it_says(n):
    draw = np.random.default_rng(n)
    covered = np.mean([mean_interval(draw.normal(5, 2, n)).contains(5.0) for _ in range(2000)])
    assert abs(covered - 0.95) < 0.016  # over 3 standard errors of 2000 throws
    half = np.mean([mean_interval(draw.normal(5, 2, n), 0.5).contains(5.0) for _ in range(1000)])
    assert abs(half - 0.5) < 0.05


def test_the_normal_quantile_would_cover_too_rarely():
    draw = np.random.default_rng(0)  # so the coverage test can see a wrong quantile
    hit = 0
    for _ in range(2000):
        x = draw.normal(5, 2, 3)
        hit += abs(x.mean() - 5) <= 1.96 * x.std(ddof=1) / math.sqrt(3)
    assert hit / 2000 < 0.85


# ---- pairs and spreads -----------------------------------------------------------------------


def test_paired_difference_is_the_interval_of_differences():
    a, b = [2.0, 4.0, 9.0], [1.0, 1.0, 4.0]
    assert paired_difference(a, b, 0.9) == mean_interval([1.0, 3.0, 5.0], 0.9)
    swapped = paired_difference(b, a, 0.9)
    assert swapped.value == -paired_difference(a, b, 0.9).value


def test_pairs_see_what_two_means_do_not():
    seeds = np.random.default_rng(1).normal(0, 1, 8)  # a large effect that both settings share
    noise = np.random.default_rng(2).normal(0, 0.01, 8)
    a, b = list(seeds + 0.1 + noise), list(seeds)
    assert not paired_difference(a, b).contains(0.0)
    assert mean_interval(a).contains(mean_interval(b).value)


def test_paired_difference_refuses_lists_of_two_lengths():
    with pytest.raises(ValueError, match="got 3 and 2 values"):
        paired_difference([1.0, 2.0, 3.0], [1.0, 2.0])


def test_seed_spread_by_hand_and_coverage():
    found = seed_spread([1.0, 2.0, 3.0])
    assert found.value == 1.0
    assert found.low == pytest.approx(math.sqrt(2 / scipy.stats.chi2.ppf(0.975, 2)))
    assert found.high == pytest.approx(math.sqrt(2 / scipy.stats.chi2.ppf(0.025, 2)))
    draw = np.random.default_rng(3)
    covered = np.mean([seed_spread(draw.normal(0, 2, 5)).contains(2.0) for _ in range(1500)])
    assert abs(covered - 0.95) < 0.018


# ---- bootstrap -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_near_scipy(method):
    x = np.random.default_rng(5).exponential(1.0, 60)
    ours = bootstrap_interval(x, np.mean, 0.9, 4000, seed=1, method=method)
    kind = {"percentile": "percentile", "bca": "BCa"}[method]
    theirs = scipy.stats.bootstrap(
        (x,), np.mean, confidence_level=0.9, n_resamples=4000, method=kind, rng=7
    ).confidence_interval
    width = theirs.high - theirs.low
    assert abs(ours.low - theirs.low) < 0.04 * width
    assert abs(ours.high - theirs.high) < 0.04 * width
    assert ours.value == x.mean()
    assert (ours.level, ours.n) == (0.9, 60)


def test_bca_differs_from_percentile_on_a_skewed_sample():
    x = np.random.default_rng(5).lognormal(0.0, 1.0, 30)
    plain, bca = (
        bootstrap_interval(x, np.mean, 0.9, 4000, seed=1, method=m) for m in ("percentile", "bca")
    )
    assert bca.low - plain.low > 0.005  # skewed to the right: both ends move to the right
    assert bca.high - plain.high > 0.005


def test_bootstrap_covers_about_as_often_as_it_says():
    draw = np.random.default_rng(11)
    hit = [
        bootstrap_interval(draw.normal(3, 1, 40), n_resamples=200, seed=i).contains(3.0)
        for i in range(300)
    ]
    assert 0.90 < np.mean(hit) < 0.975  # a little narrow at n = 40, as is known


def test_bootstrap_is_seeded_and_takes_any_statistic():
    x = [1.0, 5.0, 2.0, 8.0, 3.0, 9.0]
    one, two = bootstrap_interval(x, seed=3), bootstrap_interval(x, seed=3)
    assert one == two
    assert one != bootstrap_interval(x, level=0.37, seed=3)
    y = [0.1, 0.21, 0.32, 0.47, 0.53, 0.69]
    assert bootstrap_interval(y, seed=3) != bootstrap_interval(y, seed=4)
    median = bootstrap_interval(x, np.median)
    assert median.value == 4.0
    assert {median.low, median.high} <= set(np.arange(1, 9.5, 0.5))
    assert bootstrap_interval(x).n == 6


def test_bootstrap_of_equal_values_has_no_width():
    for method in ("percentile", "bca"):
        found = bootstrap_interval([2.0] * 5, method=method, n_resamples=20)
        assert (found.low, found.value, found.high) == (2.0, 2.0, 2.0)


# ---- refusals --------------------------------------------------------------------------------

ALL = [mean_interval, seed_spread, bootstrap_interval]


@pytest.mark.parametrize("interval", ALL)
@pytest.mark.parametrize("values", [[], [1.0], [[1.0, 2.0], [3.0, 4.0]]])
def test_too_few_values_are_refused(interval, values):
    with pytest.raises(ValueError, match="at least 2 values"):
        interval(values)


@pytest.mark.parametrize("interval", ALL)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_must_be_finite(interval, bad):
    with pytest.raises(ValueError, match=f"finite, got {bad}"):
        interval([1.0, bad, 2.0])


@pytest.mark.parametrize("interval", ALL)
@pytest.mark.parametrize("level", [0.0, 1.0, 95, -1])
def test_levels_are_shares(interval, level):
    with pytest.raises(ValueError, match=f"level must lie between 0 and 1, got {level}"):
        interval([1.0, 2.0, 3.0], level=level)


def test_bootstrap_refuses_wrong_settings():
    with pytest.raises(ValueError, match="n_resamples must be at least 1, got 0"):
        bootstrap_interval([1.0, 2.0], n_resamples=0)
    with pytest.raises(ValueError, match="'percentile' or 'bca', got 'basic'"):
        bootstrap_interval([1.0, 2.0], method="basic")


def test_an_interval_speaks_and_is_frozen():
    found = Interval(2.0, 1.0, 3.0, 0.95, 5)
    assert str(found) == "2 [1, 3] (95%, n=5)"
    assert [found.contains(x) for x in (0.99, 1.0, 3.0, 3.01)] == [False, True, True, False]
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.value = 3.0
    with pytest.raises(ValueError, match="low <= high, got low=3"):
        Interval(2.0, 3.0, 1.0, 0.95, 5)

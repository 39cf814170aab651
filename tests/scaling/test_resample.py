"""The resampling against evaluate's, and whether its intervals cover the truth."""

import numpy as np
import pytest

from minillm.evaluate import bootstrap_interval
from minillm.scaling import bootstrap, fit_power_law
from minillm.scaling.resample import draw_rows


def test_the_draws_are_those_of_evaluate():
    values = np.random.default_rng(3).normal(size=30)
    found = bootstrap(
        lambda rows: {"mean": float(values[rows].mean())}, 30, n_resamples=300, seed=5
    )
    other = bootstrap_interval(list(values), n_resamples=300, seed=5)
    assert found.interval("mean") == (other.value, other.low, other.high)
    other = bootstrap_interval(list(values), n_resamples=300, seed=5, level=0.8)
    assert found.interval("mean", 0.8) == (other.value, other.low, other.high)


def test_groups_are_drawn_whole():
    labels = ["a", "a", "b", "c", "c", "c"]
    for rows in draw_rows(6, 50, 0, labels):
        counts = np.bincount(rows, minlength=6)
        assert counts[0] == counts[1]
        assert counts[3] == counts[4] == counts[5]
        assert counts[0] + counts[2] + counts[3] == 3
    assert len({tuple(rows) for rows in draw_rows(6, 50, 0, labels)}) > 5


def test_points_that_share_a_group_widen_the_interval():
    """Five copies of ten points are ten points."""
    values = np.random.default_rng(0).normal(size=10)
    copied, labels = np.repeat(values, 5), np.repeat(np.arange(10), 5)

    def mean(rows):
        return {"mean": float(copied[rows].mean())}

    widths = []
    for groups in (None, list(labels)):
        _, low, high = bootstrap(mean, 50, groups=groups).interval("mean")
        widths.append(high - low)
    assert widths[1] > 1.7 * widths[0]


def test_intervals_of_an_exponent_cover_the_truth():
    x, covered = np.repeat(np.geomspace(1e3, 1e6, 8), 3), 0
    for seed in range(40):
        y = 9 * x**-0.12 * np.exp(0.03 * np.random.default_rng(seed).normal(size=24))
        found = bootstrap(
            lambda rows, y=y: {"p": fit_power_law(x[rows], y[rows]).exponent}, 24, seed=seed
        )
        _, low, high = found.interval("p")
        covered += low <= -0.12 <= high
    assert 32 <= covered <= 40


def test_a_resample_that_cannot_be_fitted_is_drawn_again():
    x, y = np.array([1.0, 1.0, 1.0, 2.0]), np.array([1.0, 1.1, 0.9, 2.0])
    found = bootstrap(lambda r: {"p": fit_power_law(x[r], y[r]).exponent}, 4, n_resamples=50)
    assert len(found.draws["p"]) == 50
    assert np.isfinite(found.draws["p"]).all()

    def never(rows):
        if len(set(rows)) < 4:
            raise ValueError("no")
        return {"p": 1.0}

    with pytest.raises(ValueError, match=r"refused \d+ of 100 resamples"):
        bootstrap(never, 4, n_resamples=50)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_rows(1, 10, 0), "need 2 points and 1 resample, got 1 and 10"),
        (lambda: draw_rows(5, 0, 0), "got 5 and 0"),
        (lambda: draw_rows(3, 5, 0, ["a", "b"]), "a label a point: 2 for 3"),
        (lambda: draw_rows(3, 5, 0, ["a"] * 3), "all points are in the group 'a'"),
        (
            lambda: bootstrap(lambda r: {"p": 1.0}, 3, n_resamples=2).interval("q"),
            "no number 'q' in this fit; there are p",
        ),
        (
            lambda: bootstrap(lambda r: {"p": 1.0}, 3, n_resamples=2).interval("p", 95),
            "level must lie between 0 and 1, got 95",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()

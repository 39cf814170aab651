"""Bands: smoothing and interval by hand, the shipped band beside the settings it is for."""

import dataclasses
import json
import shutil

import pytest

from minillm.model import NormConfig
from minillm.recipes.bands import (
    DATA,
    TOUR_SEEDS,
    WINDOW,
    band_of,
    chosen,
    make_tour_band,
    smooth,
    tour_hash,
    tour_model,
    tour_settings,
)


def test_smoothing_by_hand():
    assert smooth([1.0, 3.0, 5.0, 7.0, 100.0], window=2) == {2: 2.0, 4: 6.0}


@pytest.mark.parametrize("window", [0, 6])
def test_a_window_that_does_not_fit_is_refused(window):
    with pytest.raises(ValueError, match=f"got {window}"):
        smooth([1.0] * 5, window=window)


def test_a_band_by_hand():
    curves = [{10: 1.0 + k, 20: 5.0} for k in (0.0, 0.1, 0.2, 0.3, 0.9)]
    found = band_of(curves, level=0.95)
    # mean 1.3, s = sqrt(0.5 / 4), t(0.975, 4) = 2.7764
    half = 2.7764451 * (0.5 / 4) ** 0.5 * (1 + 1 / 5) ** 0.5
    assert found["steps"] == [10, 20]
    assert found["n_seeds"] == 5
    assert found["median"] == [1.2, 5.0]
    assert found["low"] == pytest.approx([1.3 - half, 5.0], abs=1e-4)
    assert found["high"] == pytest.approx([1.3 + half, 5.0], abs=1e-4)


def test_a_higher_level_is_wider():
    curves = [{1: float(k)} for k in range(5)]
    assert band_of(curves, level=0.99)["high"] > band_of(curves, level=0.95)["high"]


def test_few_curves_or_other_steps_are_refused():
    with pytest.raises(ValueError, match="got 4"):
        band_of([{1: 2.0}] * 4)
    with pytest.raises(ValueError, match="same steps"):
        band_of([{1: 2.0}] * 5 + [{2: 2.0}])
    with pytest.raises(ValueError, match="got 0"):
        band_of([])


def test_the_shipped_band_is_that_of_the_settings():
    band = json.loads((DATA / "bands" / "00_tour.json").read_text("utf-8"))
    assert band["config_hash"] == tour_hash()
    assert band["n_seeds"] == len(TOUR_SEEDS) >= 5
    assert band["steps"] == list(range(WINDOW, tour_settings()[0].steps + 1, WINDOW))
    assert all(
        low < middle < high
        for low, middle, high in zip(band["low"], band["median"], band["high"], strict=True)
    )


def test_the_lessons_own_seed_is_not_in_the_band():
    assert 0 not in TOUR_SEEDS


def test_the_shipped_band_comes_from_the_recorded_runs(tmp_path):
    recorded = DATA / "results" / "bands" / "00_tour"
    shutil.copytree(recorded, tmp_path / "results" / "bands" / "00_tour")
    made = make_tour_band(tmp_path)  # every run is there, so nothing is trained
    shipped = DATA / "bands" / "00_tour.json"
    assert made.read_text("utf-8") == shipped.read_text("utf-8")


def test_a_new_switch_that_is_off_changes_no_hash():
    norm = NormConfig()
    assert chosen(norm) == {}
    assert chosen(dataclasses.replace(norm, place="post")) == {"place": "post"}
    whole = chosen(tour_model())
    assert whole["attention"] == {"n_heads": tour_model().attention.n_heads}
    assert "norm" not in whole


def test_every_setting_is_part_of_the_hash(monkeypatch):
    before = tour_hash()
    for name, value in (("TOUR_TEXTS", 10), ("TOUR_KINDS", ("why",)), ("WINDOW", 7)):
        with monkeypatch.context() as changed:
            changed.setattr(f"minillm.recipes.bands.{name}", value)
            assert tour_hash() != before
    assert tour_hash() == before

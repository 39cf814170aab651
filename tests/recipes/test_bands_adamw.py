"""The band of lesson 20a: made of the records, broken runs leave it, healthy ones do not."""

import itertools
import json
import math

import pytest

import minillm.recipes.__main__ as command
from minillm.recipes import bands, records
from minillm.recipes.bands import ALLOWED, DATA, adamw_hash, band_of, make_adamw_band, outside
from minillm.recipes.studies import broken_runs, feedforward_kinds, rate_sensitivity
from minillm.recipes.studies.broken_runs import ARMS, CHECKS, WINDOW, curves

SHIPPED = DATA / "bands" / "20a_adamw.json"
KNOWN = json.loads(SHIPPED.read_text("utf-8"))
FLAGGED = sorted(set(ARMS) - {"healthy", "no_warm_up"})
"""Bugs that the loss tells; without warm-up this small model trains as well (said in 20a)."""


def points(arm):
    """How many of the ten points lie outside, seed by seed."""
    return [len(outside(curve, KNOWN)) for curve in curves(arm).values()]


def test_points_outside_by_hand():
    known = {"steps": [1, 2, 3, 4], "low": [1.0, 1.0, 1.0, 1.0], "high": [2.0, 2.0, 2.0, 2.0]}
    assert outside({1: 1.0, 2: 2.0, 3: 1.5, 4: 1.5}, known) == []
    assert outside({1: 0.9, 2: 1.5, 3: 2.1, 4: math.nan}, known) == [1, 3, 4]
    assert outside({3: 7.0, 99: 7.0}, known) == [3]  # an unfinished run is judged so far


def test_a_curve_of_other_steps_is_refused():
    with pytest.raises(ValueError, match="none of the band's steps"):
        outside({7: 1.0}, KNOWN)
    with pytest.raises(ValueError, match="none of the band's steps"):
        outside({}, KNOWN)


def test_the_shipped_band_is_what_the_records_give(tmp_path):
    made = make_adamw_band(tmp_path)  # trains nothing
    assert made == tmp_path / "bands" / "20a_adamw.json"
    assert made.read_text("utf-8") == SHIPPED.read_text("utf-8")
    by_hand = band_of(list(curves("healthy").values())) | {"config_hash": adamw_hash()}
    assert by_hand == KNOWN


def test_its_form():
    assert list(KNOWN) == ["steps", "median", "low", "high", "n_seeds", "config_hash"]
    assert KNOWN["n_seeds"] == len(curves("healthy")) == 5
    assert KNOWN["steps"] == list(CHECKS) == list(range(WINDOW, 201, WINDOW))
    columns = zip(KNOWN["low"], KNOWN["median"], KNOWN["high"], strict=True)
    assert all(low < middle < high for low, middle, high in columns)


@pytest.mark.parametrize("arm", FLAGGED)
def test_a_broken_run_is_flagged_with_every_seed(arm):
    assert min(points(arm)) > ALLOWED


def test_healthy_runs_are_not_flagged():
    assert points("healthy") == [0] * 5


def test_one_more_healthy_run_is_not_flagged():
    losses, bits = broken_runs.train_broken(broken_runs.HEALTHY, seed=11)  # not in the band
    assert len(outside(bands.smooth(losses, WINDOW), KNOWN)) <= ALLOWED
    assert bits < 3.7


def test_a_broken_run_is_flagged_live():
    losses, _ = broken_runs.train_broken(ARMS["mask_off_by_one"], seed=11)
    assert len(outside(bands.smooth(losses, WINDOW), KNOWN)) > ALLOWED


def test_without_warm_up_the_run_is_not_flagged_and_ends_no_worse():
    """Honestly: at this size the bug does no harm, and the band cannot show it."""
    assert max(points("no_warm_up")) <= ALLOWED
    outside_at = {step for c in curves("no_warm_up").values() for step in outside(c, KNOWN)}
    below = [c[step] < KNOWN["low"][0] for c in curves("no_warm_up").values() for step in [20]]
    assert 20 in outside_at
    assert all(below)  # faster in the first twenty steps
    study = records.read_results("broken_runs")
    assert study.difference("no_warm_up", "healthy", "bits").high < 0


def test_the_symptoms_of_the_lessons_table():
    """Each bug's mean curve does what the table of 20a says."""
    study = records.read_results("broken_runs")
    last = {arm: study.mean(arm, "loss 200").value for arm in ARMS}
    bits = {arm: study.mean(arm, "bits").value for arm in ARMS}
    for arm in ("mask_off_by_one", "not_shifted", "no_shuffling"):  # too good to be true
        assert last[arm] < KNOWN["low"][-1] - 1
        assert bits[arm] > bits["healthy"] + 1
    for arm in ("shifted_twice", "rate_too_large", "rate_too_small"):  # too bad
        assert last[arm] > KNOWN["high"][-1]
        assert bits[arm] > bits["healthy"] + 0.3
    early = {arm: study.mean(arm, "loss 20").value for arm in ARMS}
    assert early["rate_too_small"] > KNOWN["high"][0] + 1  # hardly falls at first
    assert early["not_shifted"] < KNOWN["low"][0] - 1  # copying is learned at once
    assert KNOWN["low"][0] < early["no_shuffling"] < KNOWN["high"][0]  # looks well at first


def test_missing_or_stale_runs_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "missing", lambda job: [("no_warm_up", 1), ("healthy", 4)])
    with pytest.raises(ValueError, match=r"seeds \[4\] are missing or stale.*records broken_runs"):
        make_adamw_band(tmp_path)
    assert not (tmp_path / "bands").exists()


def test_every_setting_is_part_of_the_hash(monkeypatch):
    shape = feedforward_kinds.model_config("relu")
    changes = (
        (rate_sensitivity, "CORPUS", "stories"),
        (rate_sensitivity, "TRAIN_BYTES", 10),
        (rate_sensitivity, "BETAS", (0.9, 0.999)),
        (rate_sensitivity, "SMALL", bands.chosen(rate_sensitivity.SMALL) | {"steps": 10}),
        (broken_runs, "HEALTHY", broken_runs.HEALTHY | {"lr": 1.0}),
        (broken_runs, "WINDOW", 7),
        (feedforward_kinds, "model_config", lambda kind: shape),
    )
    found = [adamw_hash()]
    for module, name, value in changes:
        with monkeypatch.context() as changed:
            changed.setattr(module, name, value)
            found.append(adamw_hash())
    assert all(a != b for a, b in itertools.combinations(found, 2))
    assert adamw_hash() == KNOWN["config_hash"]


def test_one_command_makes_both(monkeypatch, capsys):
    monkeypatch.setattr(bands, "make_tour_band", lambda: "the one")
    monkeypatch.setattr(bands, "make_adamw_band", lambda: "the other")
    command.main(["bands"])
    assert capsys.readouterr().out == "the one\nthe other\n"

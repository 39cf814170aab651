"""The study of one reward or two: who learns from what, and the arithmetic of a conflict."""

import numpy as np
import pytest

from minillm.align.story_answers import HELPFUL, SAFE
from minillm.align.story_pairs import utilities_of
from minillm.recipes import story_rewards as parts
from minillm.recipes.studies import two_rewards as study
from tests.recipes.reward_parts import shrink


def test_both_arms_read_the_same_labels(monkeypatch):
    shrink(monkeypatch, study)
    two, one = study.material("two", 5), study.material("one", 5)
    assert one["helpful"] is one["safe"]
    assert one["helpful"] == two["helpful"] + two["safe"]
    assert len(one["helpful"]) == 2 * study.N_TRAIN


def test_one_reward_has_half_of_the_conflicts_and_two_can_have_all(monkeypatch):
    shrink(monkeypatch, study)
    held = parts.draw_pairs("test", 32, 5, conflict=0.25)
    gold = {aim: np.subtract(*utilities_of(held, w).T) for aim, w in study.AIMS.items()}
    perfect = study.measure(gold, held)
    assert set(perfect.values()) == {1.0}
    any_one = np.random.default_rng(1).normal(size=len(held))
    assert study.measure(dict.fromkeys(gold, any_one), held)["conflict"] == pytest.approx(0.5)
    torn = study.measure(dict.fromkeys(gold, gold["helpful"]), held)
    assert (torn["helpful conflict"], torn["safe conflict"]) == (1.0, 0.0)
    assert study.AIMS == {"helpful": HELPFUL, "safe": SAFE}


def test_runs(monkeypatch):
    shrink(monkeypatch, study)
    monkeypatch.setattr(study, "N_TEST", 32)
    for arm in study.JOB.arms:
        found = study.run({"arm": arm, "lr": 1e-3}, 5)
        assert {"conflict", "helpful rest", "safe rest"} <= set(found)
        assert arm == "two" or found["conflict"] == pytest.approx(0.5)

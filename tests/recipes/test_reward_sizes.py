"""The study of sizes: nested sets of pairs, and a run that knows its ceiling."""

import numpy as np

from minillm.recipes import story_rewards as parts
from minillm.recipes.studies import reward_sizes as study
from tests.recipes.reward_parts import shrink


def test_every_size_with_every_number_of_pairs():
    assert len(study.JOB.arms) == len(study.MODELS) * len(study.SIZES)
    for name, settings in study.JOB.arms.items():
        assert name == f"{settings['model']}_{settings['n']}"
        assert settings["lr"] == study.best_rate(settings["model"])


def test_who_must_read_is_asked_about_the_same_stories(monkeypatch):
    shrink(monkeypatch, study)
    held = parts.draw_pairs("test", 32, 5)
    hard = study.hard_pairs(held, 5)
    assert [pair.task for pair in hard] == [pair.task for pair in held]
    assert {frozenset(pair.variants) for pair in hard} == {frozenset(("right", "wrong"))}
    right = np.array([[one.right for one in pair.judged] for pair in hard], dtype=float)
    gaps = right[:, 0] - right[:, 1]
    assert study.right_against_wrong(gaps, hard) == 1.0
    assert study.right_against_wrong(-gaps, hard) == 0.0
    assert study.right_against_wrong(0 * gaps, hard) == 0.5


def test_a_run(monkeypatch):
    shrink(monkeypatch, study)
    monkeypatch.setattr(study, "SIZES", (8, 16, 32))
    monkeypatch.setattr(study, "N_TEST", 32)
    found = study.run({"model": "draft", "n": 8, "lr": 1e-3}, 5)
    assert 1 - found["ceiling"] <= found["agreement"] <= found["ceiling"] < 1
    assert 0 <= found["right against wrong"] <= 1
    assert 0 <= found["gold"] <= 1
    assert 2e5 < found["parameters"] < 4e5

"""The study of comparing and writing: the world, its rule, and what must come out by arithmetic."""

import numpy as np
import pytest

from minillm.recipes.studies import comparing_writing as study


def test_the_features_can_express_the_worth():
    dice = np.random.default_rng(1)
    best, answers = dice.normal(size=study.D), dice.normal(size=(20, study.D))
    w = np.append(2 * best, -1.0)  # -|a - a*|^2 = 2 a.a* - |a|^2 - |a*|^2
    worth = -((answers - best) ** 2).sum(axis=1)
    np.testing.assert_allclose(study.lift(answers) @ w - best @ best, worth)


def test_the_arms_differ_from_the_rule_in_what_they_are_named_for():
    for name, settings in study.JOB.arms.items():
        differing = {k for k, v in settings.items() if v != study.RULE[k]}
        kind = name.split("_")[0]
        assert kind == "rule" or kind in differing or settings["source"] == kind
    assert study.JOB.arms["rule"] == {"blur": 1.0, "drawn": 8, "source": "far", "spread": 2.0}
    assert study.LABELS == 200


def test_written_answers_are_worth_minus_the_blur():
    for blur in (0.5, 2.0):
        found = [study.one_world(study.RULE | {"blur": blur}, [9, k])["written"] for k in range(20)]
        assert np.mean(found) == pytest.approx(-study.D * blur**2, rel=0.1)


def test_who_picks_from_more_does_better_and_a_writer_draws_what_is_written():
    few, many = (
        np.mean([study.one_world(study.RULE | {"drawn": n}, [9, k])["picked"] for k in range(20)])
        for n in (2, 512)
    )
    assert many > few
    writer = [study.one_world(study.JOB.arms["writer_64"], [9, k]) for k in range(20)]
    means = {name: np.mean([one[name] for one in writer]) for name in writer[0]}
    assert means["by luck"] == pytest.approx(means["written"], rel=0.1)
    assert means["picked"] > means["written"]


def test_a_run(monkeypatch):
    monkeypatch.setattr(study, "WORLDS", 3)
    found = study.run(study.RULE, 1)
    assert found == study.run(study.RULE, 1)
    names = ("picked", "written", "by luck")
    assert set(found) == {*names, *(f"{name} 100" for name in names)}
    assert {k: found[k] for k in names} == study.one_world(study.RULE, 1)
    assert np.isfinite(list(found.values())).all()
    assert max(found.values()) < 0

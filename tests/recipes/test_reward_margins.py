"""The study of margins: only the margins differ, and a run measures what the lesson reads."""

import numpy as np
import pytest

from minillm.align.ranking import MARGINS
from minillm.recipes.studies import reward_margins as study
from tests.recipes.reward_parts import shrink


def test_only_the_margins_differ():
    rates = {settings["lr"] for settings in study.JOB.arms.values()}
    assert rates == {study.best_rate()}
    assert {s["margins"] for s in study.JOB.arms.values()} == set(MARGINS) == set(study.JOB.arms)
    assert not study.PILOT or set(study.PILOT) == set(study.RATES)


def test_a_run(monkeypatch):
    shrink(monkeypatch, study)
    monkeypatch.setattr(study, "fit_scale", lambda gaps: 1.0)  # few pairs may all be right
    monkeypatch.setattr(study, "preference_accuracy", lambda gaps: float(len(gaps)))
    found = study.run({"margins": "large", "lr": 1e-3}, 5)
    assert sum(found[f"right {r}"] for r in range(4)) == study.N_TEST  # each pair has one rating
    assert 0 <= found["agreement"] <= 1
    assert np.isfinite(list(found.values())).all()
    assert found["scale"] == pytest.approx(1.0)

"""The study of a taste for length: what is planted, what is kept, and what the measures say."""

import numpy as np
import pytest

from minillm.align.story_answers import HELPFUL
from minillm.align.story_pairs import features_of, utilities_of
from minillm.recipes import story_rewards as parts
from minillm.recipes.studies import length_bias as study
from tests.recipes.reward_parts import shrink


@pytest.fixture
def held(monkeypatch):
    shrink(monkeypatch, study)
    monkeypatch.setattr(study, "N_TRAIN", 32)
    return parts.draw_pairs("test", 32, 5, variants=study.VARIANTS)


def test_balanced_pairs_say_nothing_of_length_and_fewer_are_as_many(held):
    fond, fewer, balanced = (study.material(arm, 5) for arm in ("fond", "fewer", "balanced"))
    assert len(fewer) == len(balanced) < len(fond) == 32
    assert all(row in fond for row in fewer + balanced)
    longer = [np.sign(len(row.chosen) - len(row.rejected)) for row in balanced]
    assert sum(longer) == 0 < sum(np.sign(len(r.chosen) - len(r.rejected)) for r in fond)
    assert study.material("honest", 5) != fond


def test_measures_of_rewards_that_are_known(held):
    gold, length = utilities_of(held, HELPFUL), features_of(held)["length"]
    exact = study.measure(gold, held)
    assert exact["gold"] == 1.0
    assert exact["padded wins"] == 0.0
    assert exact["slope"] == pytest.approx(0.0, abs=1e-9)
    assert exact["gold slope"] == pytest.approx(1.0)
    fond = study.measure(gold + 2 * length, held)
    assert fond["slope"] == pytest.approx(2.0)
    assert fond["padded wins"] == 1.0
    assert fond["gold"] < 1.0


def test_a_run(held):
    found = study.run({"arm": "balanced", "lr": 1e-3}, 5)
    assert 0 < found["pairs"] < 32
    assert np.isfinite(list(found.values())).all()

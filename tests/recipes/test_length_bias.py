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
    longer = [
        sum(np.sign(len(row.chosen) - len(row.rejected)) for row in rows)
        for rows in (balanced, fond)
    ]
    assert longer[0] == 0 != longer[1]
    assert study.material("honest", 5) != fond


def test_who_must_read_has_the_same_stories_and_wrong_answers(held):
    drawn = parts.draw_pairs("train", study.N_TRAIN, 5, variants=study.VARIANTS)
    rows = study.material("must_read", 5)
    assert all(row.prompt in [pair.task.messages for pair in drawn] for row in rows)
    again = study.again(drawn, 5, study.MUST_READ)
    assert {kind for pair in again for kind in pair.variants} == set(study.MUST_READ)
    texts = {text for pair in again for text in pair.texts}
    assert {text for row in rows for text in (row.chosen, row.rejected)} == texts
    honest = study.ask_of("must_read"), study.ask_of("honest"), study.ask_of("fond")
    assert [dict(one.bias) for one in honest] == [{}, {}, {"length": study.BIAS}]


def test_measures_of_rewards_that_are_known(held):
    empty = study.again(held, 5, ("right", "padded"))
    gold, length = utilities_of(held, HELPFUL), features_of(held)["length"]
    more, longer = utilities_of(empty, HELPFUL), features_of(empty)["length"]
    exact = study.measure(gold, held, more, empty)
    assert exact["gold"] == 1.0
    assert exact["padded wins"] == 0.0
    assert exact["slope"] == pytest.approx(0.0, abs=1e-9)
    assert exact["gold slope"] == pytest.approx(1.0)
    fond = study.measure(gold + 2 * length, held, more + 2 * longer, empty)
    assert fond["slope"] == pytest.approx(2.0)
    assert fond["padded wins"] == 1.0
    assert fond["gold"] < 1.0
    bare = study.measure(length, held, longer, empty)  # nothing is left of a reward of length
    assert study.flattened(length, held, 1.0) == pytest.approx(length.mean())
    assert bare["slope"] == pytest.approx(1.0)


def test_a_run(held):
    found = study.run({"arm": "balanced", "lr": 1e-3}, 5)
    assert 0 < found["pairs"] < 32
    assert all(settings["lr"] == study.best_rate() for settings in study.JOB.arms.values())
    assert np.isfinite(list(found.values())).all()

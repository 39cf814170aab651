"""The studies of lesson 30: which arms, what is equal, and that each kind of run runs."""

import dataclasses
from functools import partial

import numpy as np
import pytest

from minillm.recipes import town as parts
from minillm.recipes.studies import answers_corrupted as corrupted
from minillm.recipes.studies import choosing_examples as choosing
from minillm.recipes.studies import instruction_variety as variety
from minillm.recipes.studies import superficial_alignment as superficial
from minillm.recipes.town import KINDS, TEMPLATES, UNSEEN, ask, make_town, read_town

STUDIES = (corrupted, choosing, variety, superficial)
TINY = dataclasses.replace(parts.SHAPE, d_model=16, n_layers=1, n_heads=2, steps=2, batch_size=2)


@pytest.fixture
def small(monkeypatch):
    """Runs of a few steps on a tiny model and a pool of fifty."""
    for study in STUDIES:
        monkeypatch.setattr(study, "read_town", partial(read_town, config=TINY))
        monkeypatch.setattr(study, "STEPS", 20)
    monkeypatch.setattr(choosing, "SIZES", {"home": 24, "trade": 16, "colour": 8, "pet": 2})
    choosing.stocked.cache_clear()
    yield
    choosing.stocked.cache_clear()


def test_runs_and_their_cost():
    assert sum(len(study.JOB.arms) * 5 for study in STUDIES) == 5 * (9 + 12 + 12 + 5)
    for study in STUDIES:
        assert len(study.JOB.arms) * 5 <= 60
        steps = dataclasses.replace(
            parts.SHAPE, steps=study.STEPS, context=parts.WIDTH, batch_size=16
        )
        assert steps.flops < 1.5e11


def test_spoiled_answers_are_those_asked_for():
    for share in (0.0, 0.2, 0.4):
        town, made = make_town(3), corrupted.questions(400, share, 3)
        wrong = [q.answer != town.value(q.relation, q.person) for q in made]
        assert sum(wrong) == 400 * share
    assert corrupted.arm(400, 0.25) == "400_25"
    few, many = corrupted.questions(100, 0.0, 3), corrupted.questions(400, 0.0, 3)
    assert few == many[:100]
    for name, settings in corrupted.JOB.arms.items():
        assert name == corrupted.arm(**settings)


def test_variety_can_be_drawn_in_every_arm():
    for name, s in variety.JOB.arms.items():
        asked = ask(
            make_town(1),
            s["n"],
            1,
            templates=TEMPLATES[: s["templates"]],
            kinds=KINDS[: s["kinds"]],
        )
        assert len(asked) == s["n"], name
        assert not {q.template for q in asked} & set(UNSEEN)
        assert TEMPLATES[0] in {q.template for q in asked}
    assert variety.JOB.arms["task_one"]["n"] * 10 == variety.JOB.arms["task_ten"]["n"]


def test_the_pool_is_skewed_and_partly_wrong():
    assert sum(choosing.SIZES.values()) == 2000
    assert tuple(choosing.SIZES) == KINDS


def test_every_way_of_choosing(small):
    stock = choosing.stocked(5)
    assert len(stock.questions) == 50
    assert sum(stock.wrong) == 10
    home = set(range(24))
    for name, settings in choosing.JOB.arms.items():
        chosen = choosing.choose(stock, settings["how"], min(settings["n"], 6), 5)
        assert len(set(chosen.tolist())) == {"all": 50, "task_all": 24}.get(name, 6)
        assert not name.startswith("task") or set(chosen.tolist()) <= home


@pytest.mark.parametrize("how", ["k_center", "task_coreset"])
def test_a_run_of_choosing(small, how):
    found = choosing.run({"how": how, "n": 5}, 5)
    assert {"right", "right task", "wrong chosen", "largest", "mean", "groups"} <= set(found)
    assert 0 <= found["wrong chosen"] <= 1
    assert found["tokens"] > 5


def test_the_other_runs(small):
    found = superficial.run({"facts": "true", "n": 8}, 5)
    assert len(found["nats"]) == 1 + 20 // superficial.EVERY
    assert {"right 0", "right 20", "form 20", "spearman", "misleading", "given up"} <= set(found)
    assert set(corrupted.run({"n": 20, "share": 0.4}, 5)) == {"right", "form", "nats"}
    assert set(variety.run(variety.setting(20, templates=2), 5)) >= {"right", "right own"}


def test_a_guide_that_says_nothing_is_zero():
    assert set(superficial.guide([1.0, 2.0, 3.0], [0.5] * 3).values()) == {0.0}
    found = superficial.guide([3.0, 1.0, 2.0], [0.1, 0.2, 0.4])
    assert found["given up"] == pytest.approx(0.2)
    assert np.isfinite(list(found.values())).all()

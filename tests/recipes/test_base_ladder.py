"""The ladder under the base model: the same recipe, only smaller."""

import dataclasses

import pytest

from minillm.model import count_parameters, flops_per_token
from minillm.recipes.runs import find_run
from minillm.recipes.studies import base_ladder as ladder

SMALL = find_run("small")
RUNGS = {arm: ladder.ladder_run(**settings) for arm, settings in ladder.JOB.arms.items()}


def test_a_rung_is_the_recipe_but_for_size_and_length():
    for rung in RUNGS.values():
        assert rung.data == SMALL.data
        assert rung.optimizer == SMALL.optimizer
        same = {f.name for f in dataclasses.fields(rung.train)} - {
            "steps",
            "batch_size",
            "warmup_steps",
            "eval_every",
            "log_every",
            "seed",
        }
        assert all(getattr(rung.train, n) == getattr(SMALL.train, n) for n in same)
        assert rung.model.tie_embeddings
        assert rung.model.context == 512


def test_the_widest_rung_has_the_shape_of_small():
    assert ladder.ladder_run("d192", 1.0).model == SMALL.model


def test_a_rung_reads_the_tokens_that_it_is_named_after():
    for arm, rung in RUNGS.items():
        t = rung.train
        wanted = 1e6 * float(arm.split("_")[1].removesuffix("M"))
        assert t.steps * t.batch_size * t.context == pytest.approx(wanted, rel=2e-3)


def test_the_ladder_is_cheap_beside_the_run():
    def flops(run):
        t = run.train
        per_token = flops_per_token(run.model, context=t.context)
        return per_token * t.steps * t.batch_size * t.context

    assert sum(map(flops, RUNGS.values())) < 0.2 * flops(SMALL)


def test_two_sizes_and_two_lengths_at_least():
    sizes = {count_parameters(rung.model) for rung in RUNGS.values()}
    assert len(sizes) == 3
    assert len({rung.train.steps for rung in RUNGS.values()}) == 3


def test_the_rate_is_the_best_of_the_pilot_and_the_recipes():
    assert min(ladder.PILOT, key=ladder.PILOT.get) == ladder.RATE == SMALL.optimizer.lr
    assert len(ladder.PILOT) >= 3


def test_the_long_rungs_are_rungs():
    from minillm.recipes.studies import base_ladder_long as long

    assert long.JOB.run is ladder.run
    for settings in long.JOB.arms.values():
        t = ladder.ladder_run(**settings).train
        assert t.steps * t.batch_size * t.context == pytest.approx(4e6, rel=2e-3)
    assert not set(long.JOB.arms) & set(ladder.JOB.arms)

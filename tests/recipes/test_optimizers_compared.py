"""The study of optimizers: equal starts, its own state, and the rates that are compared."""

import numpy as np
import pytest
import torch

from minillm.recipes.small import SmallConfig, stream
from minillm.recipes.studies import optimizers_compared as study


@pytest.fixture
def short(monkeypatch):
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(["ab", "ba"], 2000))
    monkeypatch.setattr(study, "texts", lambda: (stream([text]), [text[:200]]))
    tiny = SmallConfig(
        d_model=16, n_layers=1, n_heads=2, context=16, batch_size=4, steps=100, warmup_steps=2
    )
    monkeypatch.setattr(study, "SMALL", tiny)


def test_equal_seeds_start_from_equal_weights():
    one, two, other = study.make(1), study.make(1), study.make(2)
    assert torch.equal(one.embedding.weight, two.embedding.weight)
    assert not torch.equal(one.embedding.weight, other.embedding.weight)
    spread = one.blocks[0].feedforward.up.weight.std().item()
    assert abs(spread / study.INIT_STD - 1) < 0.05


@pytest.mark.parametrize("kind", list(study.SETTINGS))
def test_each_kind_learns_and_holds_what_was_counted(kind, short):
    losses = []
    study.train_with(kind, study.GRID[kind][1], 1, losses=losses)
    assert np.mean(losses[-5:]) < losses[0] - 0.5
    measured = study.run({"kind": kind, "lr": study.GRID[kind][1]}, 1)
    assert measured["state numbers"] == measured["counted"]


def test_lion_decays_as_fast_as_adamw():
    for kind in ("adamw", "lion"):
        config = study.optimizer_config(kind, study.RATES[kind][0])
        assert 1e-4 < config.lr * config.weight_decay < 3e-3


def test_both_rates_of_a_kind_are_of_the_pilot():
    for kind, rates in study.RATES.items():
        assert set(rates) <= set(study.GRID[kind])
        assert len(set(rates)) == 2
    assert len(study.JOB.arms) == 2 * len(study.SETTINGS)


def test_the_rates_are_the_best_of_the_pilot_and_the_better_of_its_neighbours():
    for kind, found in study.PILOT.items():
        grid = sorted(found)
        assert tuple(grid) == study.GRID[kind]
        i = grid.index(study.best_rate(kind))
        assert 0 < i < len(grid) - 1  # not at an end
        near = min(grid[i - 1], grid[i + 1], key=found.__getitem__)
        assert set(study.RATES[kind]) == {grid[i], near}

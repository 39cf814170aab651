"""The studies of repetition: which arms, what is equal, and that each kind of run runs."""

import dataclasses
import math
from functools import partial

import pytest
import torch

from minillm.model import count_parameters
from minillm.recipes import repetition_parts as parts
from minillm.recipes.repetition_parts import Repeated
from minillm.recipes.studies import repetition_factors as factors
from minillm.recipes.studies import repetition_grid as grid
from minillm.recipes.studies import repetition_objectives as objectives

TEXTS = [f"Text {i}: " + " ".join(f"word{(i * 7 + j) % 11}" for j in range(9)) for i in range(300)]
BUDGET = 1.0e11


@pytest.fixture
def small(monkeypatch):
    """Runs of eight steps on made-up texts."""
    for study in (grid, factors, objectives):
        monkeypatch.setattr(study, "prose", lambda name="prose": (TEXTS[20:], TEXTS[:20]))
        monkeypatch.setattr(study, "Repeated", partial(Repeated, total=4_096))
    monkeypatch.setattr(objectives, "DOWN_TOKENS", 1_024)
    factors.texts.cache_clear()
    yield
    factors.texts.cache_clear()


def test_arms_of_the_grid():
    arms = grid.JOB.arms
    assert len(arms) == 43
    runs = {name: Repeated(**settings) for name, settings in arms.items()}
    assert all(run.flops <= BUDGET for run in runs.values())
    assert all(grid.arm(r.d_model, r.total, r.epochs) == name for name, r in runs.items())
    for run in runs.values():  # as many different tokens are there to compare with
        assert grid.arm(run.d_model, run.total, 1) in arms


def test_arms_of_the_factors():
    runs = {
        name: Repeated(**{k: v for k, v in settings.items() if k != "spoiled"})
        for name, settings in factors.JOB.arms.items()
    }
    assert all(run.flops <= BUDGET and run.total == 65_536 for run in runs.values())
    plain = Repeated(d_model=32, epochs=16)
    assert runs["dropout0.2_e16"] == dataclasses.replace(plain, dropout=0.2)
    assert runs["late0.2_e16"] == dataclasses.replace(plain, dropout=0.2, late=0.5)
    assert runs["parts0.1_e16"] == dataclasses.replace(plain, drop_parts=0.1)
    assert runs["decay1.0_e16"] == dataclasses.replace(plain, weight_decay=1.0)
    sizes = [count_parameters(parts.build(run, 1).config) for run in (plain, runs["shared_e16"])]
    assert sizes[0] == sizes[1]


def test_equal_parameters_of_experts():
    plain, experts = Repeated(d_model=32), Repeated(**factors.JOB.arms["experts_e1"])
    a, b = (sum(p.numel() for p in parts.build(run, 1).parameters()) for run in (plain, experts))
    assert 0 < b - a == 2 * 32 * 4  # the routers
    assert b / a < 1.01


@pytest.mark.parametrize(
    ("study", "arm"),
    [
        (factors, "spoiled_e16"),
        (factors, "experts_dropout0.2_e16"),
        (factors, "shared_e64"),
        (factors, "late0.2_e16"),
        (objectives, "causal_e64"),
        (objectives, "masked_e64"),
        (objectives, "mixture_e1"),
        (objectives, "down_scratch"),
        (objectives, "down_e64"),
    ],
)
def test_every_kind_of_run(small, study, arm):
    found = study.run(study.JOB.arms[arm], 1)
    assert all(math.isfinite(value) for value in found.values())
    assert 1 < found["bits"] < 12
    assert found == study.run(study.JOB.arms[arm], 1)


def test_the_grid_says_what_it_read(small):
    found = grid.run({"d_model": 16, "epochs": 8, "total": 4_096}, 1)
    assert (found["tokens"], found["unique"]) == (4_096, 512)
    assert math.isclose(found["nats"], found["bits"] * math.log(2))
    assert found["parameters"] == count_parameters(parts.build(Repeated(d_model=16), 1).config)


def test_spoiled_texts_are_tested_on_their_kind(small):
    plain, spoiled = factors.texts(0.0), factors.texts(0.3)
    for before, after in zip(plain, spoiled, strict=True):
        changed = [a != b for x, y in zip(before, after, strict=True)
                   for a, b in zip(x.split(), y.split(), strict=True)]  # fmt: skip
        assert 0.15 < sum(changed) / len(changed) < 0.45


def test_own_loss_is_a_mean_over_what_is_asked(small):
    """A model that knows nothing is surprised by log V at every target."""
    run = Repeated(d_model=16)
    model = parts.build(run, 1, objectives.WORDS.vocab_size).eval()
    with torch.no_grad():
        model.embedding.weight.zero_()
    for name in objectives.OBJECTIVES:
        nats = objectives.own_loss(name, model, n_batches=2)
        assert math.isclose(nats, math.log(objectives.WORDS.vocab_size), rel_tol=1e-5)


def test_scratch_reads_no_prose(small, monkeypatch):
    calls = []
    real = objectives.train_repeated
    monkeypatch.setattr(
        objectives, "train_repeated", lambda *a, **k: calls.append(a[0].unique) or real(*a, **k)
    )
    objectives.downstream(0, 1)
    objectives.downstream(64, 1)
    assert calls == [1_024, 64, 1_024]

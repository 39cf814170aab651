"""DRAFT of tests/recipes/test_lora_ranks.py: the study of lesson 31, its budgets and one tiny run."""

import dataclasses

import pytest
import torch

from minillm.finetune import count_trainable
from minillm.recipes.small import make_small
from minillm.recipes.studies import lora_ranks as study

TINY = dataclasses.replace(
    study.BASE, d_model=16, n_layers=1, n_heads=2, batch_size=2
)


def test_budgets_are_matched():
    model = make_small(study.BASE, 1)
    n = {
        name: count_trainable(study.adapted(model, settings, 1))
        for name, settings in study.SETTINGS.items()
    }
    whole = sum(p.numel() for p in model.parameters())
    assert n["full"] == whole
    assert 0.95 * n["last"] < n["matched"] <= n["last"]
    assert 0.95 * n["lora_4"] < n["qv"] <= n["lora_4"]
    assert n["lora_4"] == 4 * n["lora_1"]
    assert n["rs_16"] == n["lora_16"]
    assert n["lora_4"] < n["dora_4"] < n["lora_4"] + 2_000


def test_texts_are_apart_and_runs_are_affordable():
    for kind, (train, test) in study.texts().items():
        assert not set(train) & set(test), kind
        assert sum(len(t.encode()) for t in test) >= study.TEST_BYTES
        assert sum(len(t) for t in study.cut_to(test, 1_000)) <= 1_000
    assert study.BASE.flops <= 1.5e11
    assert 55 <= len(study.JOB.arms) * len(study.JOB.seeds) <= 60


@pytest.mark.parametrize("name", ["full", "last", "lora_1", "dora_4"])
def test_every_way_runs_and_folds(monkeypatch, name):
    base = make_small(TINY, 1)
    monkeypatch.setattr(study, "base_model", lambda seed: base)
    monkeypatch.setattr(study, "BASE", TINY)
    monkeypatch.setattr(study, "TUNE_STEPS", 4)
    monkeypatch.setattr(study, "WARMUP", 1)
    monkeypatch.setattr(study, "GLANCE_BYTES", 200)
    monkeypatch.setattr(
        study,
        "bits",
        lambda model, kind, n=0: float(
            model(torch.zeros(1, 2, dtype=torch.long)).sum()
        ),
    )
    before = {key: value.clone() for key, value in base.state_dict().items()}
    found = study.run({"kind": "near", "lr": 0.01, **study.SETTINGS[name]}, 1)
    assert all(
        torch.equal(value, before[key]) for key, value in base.state_dict().items()
    )
    assert found["end_source"] != found["before_source"]
    assert ("cut_1" in found) == (name == "full")
    if name == "lora_1":
        assert found["rank_90"] == 1
        assert found["rank_effective"] == pytest.approx(1, abs=0.01)


def test_the_rate_is_the_best_of_the_pilot():
    assert study.best_rate("far", "full") in study.rates_of("full")
    for arm, settings in study.JOB.arms.items():
        assert settings["lr"] in study.rates_of(arm.split("_", 1)[1])

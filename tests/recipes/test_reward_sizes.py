"""The study of sizes: nested sets of pairs, and a run that knows its ceiling."""

from minillm.recipes.studies import reward_sizes as study
from tests.recipes.reward_parts import shrink


def test_every_size_with_every_number_of_pairs():
    assert len(study.JOB.arms) == len(study.MODELS) * len(study.SIZES)
    for name, settings in study.JOB.arms.items():
        assert name == f"{settings['model']}_{settings['n']}"
        assert settings["lr"] == study.best_rate(settings["model"])


def test_a_run(monkeypatch):
    shrink(monkeypatch, study)
    monkeypatch.setattr(study, "SIZES", (8, 16, 32))
    monkeypatch.setattr(study, "N_TEST", 32)
    found = study.run({"model": "draft", "n": 8, "lr": 1e-3}, 5)
    assert 1 - found["ceiling"] <= found["agreement"] <= found["ceiling"] < 1
    assert 0 <= found["right against wrong"] <= 1
    assert 0 <= found["gold"] <= 1
    assert 2e5 < found["parameters"] < 4e5

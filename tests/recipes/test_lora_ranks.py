"""The studies of lesson 31: equal budgets, texts that are apart, and one tiny run of each way."""

import pytest
import torch

from minillm.finetune import count_trainable
from minillm.recipes.studies import frame_rows
from minillm.recipes.studies import lora_ranks as study


def test_budgets_are_matched():
    model, _ = study.opened()
    n = {
        name: count_trainable(study.adapted(model, settings, 1))
        for name, settings in study.SETTINGS.items()
    }
    whole = sum(p.numel() for p in model.parameters())
    assert n["full"] == whole
    assert n["last"] < n["lora_16"] < 1.06 * n["last"]
    assert n["qv"] == n["lora_4"]
    assert n["lora_4"] == 4 * n["lora_1"]
    tables = model.embedding.weight.numel() + model.head.weight.numel()
    assert n["tables_16"] == n["lora_16"] + tables


def test_texts_are_apart_and_runs_are_few():
    for kind, (train, test) in study.texts().items():
        starts = {text[:200] for text in train}
        assert not starts & {text[:200] for text in test}, kind
        assert sum(len(t.encode()) for t in test) >= study.TEST_BYTES
        assert sum(len(t) for t in study.cut_to(test, 1_000)) <= 1_000
    assert len(study.JOB.arms) * len(study.JOB.seeds) <= 60


@pytest.fixture
def four_steps(monkeypatch):
    """Four steps, looked at twice, on a short row; bits are a sum of logits."""
    for name, value in {"STEPS": 4, "N_POINTS": 2, "WARMUP": 1, "BATCH": 2}.items():
        monkeypatch.setattr(study, name, value)

    def quick(model, kind, n=0):
        return model(torch.zeros(1, 2, dtype=torch.long)).sum().item()

    monkeypatch.setattr(study, "bits", quick)
    monkeypatch.setattr(study, "tokens", lambda: torch.arange(2_000).numpy() % 600)
    study.before.cache_clear()
    yield
    study.before.cache_clear()


@pytest.mark.parametrize("name", ["full", "last", "lora_1", "tables_16"])
def test_every_way_runs_and_folds(four_steps, name):
    model, _ = study.opened()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = study.run({"lr": 0.01, **study.SETTINGS[name]}, 1)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert found["stories_end"] != found["stories_before"]
    assert {"code_0", "code_1", "code_2"} <= set(found)
    assert "code_3" not in found
    assert ("code_cut_1" in found) == (name == "full")
    if name == "lora_1":
        assert found["rank_90"] == 1
        assert found["rank_effective"] == pytest.approx(1, abs=0.01)


def test_the_rate_is_the_best_of_the_pilot():
    for name, settings in study.JOB.arms.items():
        if "lr" in study.SETTINGS[name]:
            continue  # an arm about the rate itself
        kind = {"lora": "lora", "qv": "lora"}.get(name.split("_")[0], name.split("_")[0])
        table = study.PILOT[kind]
        assert table[settings["lr"]] == min(table.values())
        assert set(table) >= set(study.GRID[kind])


@pytest.fixture
def few_talks(monkeypatch):
    """Two steps on six talks, and a test of two tasks."""
    for name, value in {"STEPS": 2, "BATCH": 2, "WARMUP": 1, "N_TALKS": 6, "N_TEST": 2}.items():
        monkeypatch.setattr(frame_rows, name, value)
    frame_rows.tasks.cache_clear()
    frame_rows.examples.cache_clear()
    yield
    frame_rows.tasks.cache_clear()
    frame_rows.examples.cache_clear()


def test_frame_rows_learn_where_they_should(few_talks):
    base, tokenizer = frame_rows.opened()
    frame = [tokenizer.special_id(name) for name in ("<|im_start|>", "<|im_end|>")]
    n, before = {}, base.embedding.weight.clone()
    for name, settings in frame_rows.SETTINGS.items():
        n[name] = count_trainable(frame_rows.adapted(settings, 1))
        tuned = frame_rows.tuned(settings, 0.01, 1)
        table = tuned.embedding.weight
        moved = (table != before).any(dim=1).nonzero().flatten().tolist()
        assert set(moved) == (set(frame) if settings["rows"] else set())
        assert torch.equal(base.embedding.weight, before)
    assert n["lora_mean"] == n["lora"] + 2 * 2 * base.config.d_model  # two rows, two tables


def test_frame_rows_measures_the_end(few_talks):
    train, test = frame_rows.tasks()
    assert (len(train), len(test)) == (6, 2)
    assert not {task.about for task in train} & {task.about for task in test}
    found = frame_rows.run({"lr": 1e-3, **frame_rows.SETTINGS["lora_mean"]}, 1)
    assert set(found) == {"n_trained", "nats", "p_end", "ended", "right"}
    assert 0 <= found["p_end"] <= 1

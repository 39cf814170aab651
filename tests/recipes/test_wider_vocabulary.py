"""The study of a wider vocabulary: what moves in which stage, and what is measured."""

import numpy as np
import pytest
import torch

from minillm.recipes.studies import wider_vocabulary as study


@pytest.fixture
def two_steps(monkeypatch):
    """Stages of two steps on a short row of 32 new entries."""
    for name, value in {"STAGES": (2, 2), "BATCH": 2, "WARMUP": 1, "N_NEW": 32}.items():
        monkeypatch.setattr(study, name, value)
    monkeypatch.setattr(study.lora_ranks, "TEST_BYTES", 1_000)
    texts = study.lora_ranks.texts()
    few = {kind: (train[:20], test) for kind, (train, test) in texts.items()}
    monkeypatch.setattr(study.lora_ranks, "texts", lambda: few)
    study.vocabulary.cache_clear()
    yield
    study.vocabulary.cache_clear()


def test_the_new_entries_shorten_the_text_and_lose_nothing(two_steps):
    old, _, ids = study.vocabulary(False)
    new, rows, shorter = study.vocabulary(True)
    assert rows is not None
    assert len(rows) == new.n_vocab - old.n_vocab == 32
    assert len(shorter) < len(ids)
    end = old.special_id(study.START)
    texts = [ids[ids != end].tolist(), shorter[shorter != end].tolist()]
    assert old.decode(texts[0]) == new.decode(texts[1])


def test_tables_learn_first_and_then_the_blocks_too(two_steps, monkeypatch):
    base, _ = study.lora_ranks.opened()
    before = {name: value.clone() for name, value in base.state_dict().items()}
    moved = []
    tune = study.tune

    def watched(model, ids, steps, lr, seed):
        free = {name for name, p in model.named_parameters() if p.requires_grad}
        tune(model, ids, steps, lr, seed)
        moved.append((steps, free))

    monkeypatch.setattr(study, "tune", watched)
    model, tokenizer = study.tuned("mean", 1e-3, 1)
    (first, tables), (second, both) = moved
    assert (first, second) == study.STAGES
    assert tables == {"embedding.weight", "head.weight"}
    assert tables < both
    assert all(".adapters." in name for name in both - tables)
    assert model.config.vocab_size == tokenizer.n_vocab
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())


@pytest.mark.parametrize("arm", ["same", "scratch"])
def test_a_run_measures_both_texts(two_steps, arm):
    found = study.run({"lr": 1e-3, **study.SETTINGS[arm]}, 1)
    assert set(found) == {"code_end", "stories_end", "n_tokens", "vocab_size"}
    assert np.isfinite(list(found.values())).all()
    assert (found["vocab_size"] > study.lora_ranks.opened()[0].config.vocab_size) == (
        arm == "scratch"
    )


def test_the_rate_is_the_best_of_the_pilot_and_inside_its_grid():
    for name, settings in study.JOB.arms.items():
        table = study.PILOT[name]
        assert table[settings["lr"]] == min(table.values())
        assert settings["lr"] not in (min(study.RATES), max(study.RATES))

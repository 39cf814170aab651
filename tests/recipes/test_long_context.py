"""The study of lesson 15: rows that hide a key, arms that start from one model, tails by hand."""

import dataclasses

import numpy as np
import pytest
import torch

from minillm.model import Decoder, PositionConfig
from minillm.recipes.runs import decoder
from minillm.recipes.studies import long_context as study

TEXT = np.random.default_rng(0).integers(32, 127, 6000)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Random text, a small model that is not trained, and eight test windows."""
    rows = torch.from_numpy(TEXT[: study.LONGEST + 1 + 3 * 128]).unfold(0, study.LONGEST + 1, 128)
    monkeypatch.setattr(study, "texts", lambda: (TEXT, rows))
    study.needles.cache_clear()

    def pretrained(kind, seed):
        torch.manual_seed(seed)
        base = decoder(study.VOCABULARY, d_model=16, n_layers=2, n_heads=4, context=128)
        config = dataclasses.replace(base, position=PositionConfig(kind), init_std=0.3)
        return Decoder(config).eval()

    monkeypatch.setattr(study, "pretrained", pretrained)
    yield
    study.needles.cache_clear()


def test_every_second_row_hides_a_key_and_asks_for_it_without_telling():
    for T, n_rows in ((128, 8), (1024, 2)):
        x, y = next(study.batches(1, T, n_rows))
        assert x.shape == y.shape == (n_rows, T)
        for b in range(n_rows):
            keys = [i for i, c in enumerate(x[b].tolist()) if c in study.KEYS]
            asks = (x[b] == study.ASK).nonzero().flatten()
            if b % 2:  # plain text: the next byte
                assert len(keys) == len(asks) == 0
                assert torch.equal(x[b, 1:], y[b, :-1])
                continue
            assert len(keys) == 1
            assert len(asks) == study.N_ASKS * T // 128
            assert (asks > keys[0]).all()
            assert (y[b, asks] == x[b, keys[0]]).all()
            assert (y[b] == study.ASK).sum() == 0  # nobody has to guess when a question comes
            text = (y[b] != -100) & (x[b] != study.ASK)
            at = text.nonzero().flatten()
            at = at[at < T - 1]
            assert torch.equal(y[b, at], x[b, at + 1])


def test_rows_come_again_with_the_seed():
    first, again = (next(study.batches(3, 128, 4))[0] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, next(study.batches(4, 128, 4))[0])
    one = study.batches(5, 1024, 1)
    assert {bool((next(one)[0] == study.ASK).any()) for _ in range(12)} == {True, False}


def test_needles_stand_at_their_depth_and_the_question_at_the_end():
    for (length, depth), (x, keys) in study.needles().items():
        assert x.shape == (study.N_EACH, length)
        assert (x[:, -1] == study.ASK).all()
        at = int(depth * (length - 2))
        assert torch.equal(x[:, at], keys)
        assert int(torch.isin(x, torch.tensor(study.KEYS)).sum()) == study.N_EACH


@pytest.mark.parametrize("arm", study.JOB.arms)
def test_arms_start_from_the_weights_of_the_seed(arm):
    settings = study.JOB.arms[arm]
    model = study.start(settings, 2)
    kind = "alibi" if arm == "alibi" else "rope"
    base = study.pretrained(kind, 2)
    assert model.config.context == 128 * settings["factor"]
    assert model.config.position.kind == kind
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), base.parameters(), strict=True)
    )
    scaling = model.config.position.scaling
    expected = (
        settings["method"] if settings["method"] in study.PILOT | {"ntk": 0, "dynamic": 0} else None
    )
    assert (scaling.kind if scaling else None) == expected
    assert (model.config.attention.window == 128) == (arm == "window")


def test_bits_by_place_of_each_reader():
    rows = study.texts()[1]
    model = study.start(study.JOB.arms["none"], 1)
    bits = study.bits_by_place(model, "none")
    with torch.no_grad():
        wanted = -model(rows[:, :-1]).log_softmax(-1).gather(-1, rows[:, 1:, None])[..., 0]
    np.testing.assert_allclose(bits, wanted.mean(dim=0).numpy() / np.log(2), rtol=1e-4)
    dynamic = study.start(study.JOB.arms["dynamic"], 1)
    bits_d = study.bits_by_place(dynamic, "dynamic")
    np.testing.assert_allclose(bits_d[:128], bits[:128], rtol=1e-5)  # short: untouched
    with torch.no_grad():
        part = dynamic(rows[:, :256]).log_softmax(-1).gather(-1, rows[:, 1:257, None])[..., 0]
    wanted = part.mean(dim=0).numpy()[192:] / -np.log(2)
    np.testing.assert_allclose(bits_d[192:256], wanted, rtol=1e-4)
    parallel = study.bits_by_place(model, "parallel")
    assert np.isnan(parallel[:-32]).all()
    assert not np.isnan(parallel[-32:]).any()


def test_parallel_windows_fit_the_trained_length():
    seen = []

    def model(ids, mask, positions):
        seen.append((mask, positions))
        return torch.zeros(*ids.shape, study.VOCABULARY)

    for length in study.LENGTHS:
        logits = study.read_parallel(model, torch.zeros(2, length, dtype=torch.int64))
        assert logits.shape == (2, study.TASK, study.VOCABULARY)
        mask, positions = seen.pop()
        assert mask.shape == (length, length)
        assert mask[-1].all()
        assert int(positions.max()) < study.TRAINED


def test_keys_are_judged_among_the_keys():
    class Knows(torch.nn.Module):
        def forward(self, ids):
            logits = torch.zeros(*ids.shape, study.VOCABULARY)
            logits[..., 100] = 50.0  # another byte may be likelier
            hidden = torch.where(torch.isin(ids, torch.tensor(study.KEYS)), ids, 0).amax(dim=1)
            logits[torch.arange(len(ids)), -1, hidden] = 9.0
            return logits

    assert set(study.found_keys(Knows(), "none").values()) == {1.0}
    said = study.measure(study.start(study.JOB.arms["yarn"], 1), "yarn", "before")
    assert 0 <= said["before keys 1024"] < 0.5  # an untrained model guesses
    assert said["before tail 256"] > 0
    assert said["before bin 960"] > 0


def test_thirty_steps_change_the_model(monkeypatch):
    monkeypatch.setattr(study, "TUNE_TOKENS", 256)
    model = study.start(study.JOB.arms["linear_2"], 1)
    before = [p.clone() for p in model.parameters()]
    study.tune(model, 1, steps=2)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not model.training

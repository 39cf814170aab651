"""The parts of the studies of lesson 33: pairs that fit, labels, training, agreement."""

import numpy as np
import pytest
import torch

from minillm.align.calibration import best_accuracy
from minillm.align.story_answers import HELPFUL
from minillm.align.story_pairs import utilities_of
from minillm.recipes import story_rewards as parts


@pytest.fixture(scope="module")
def drawn():
    return parts.draw_pairs("train", 32, 5)


def test_pairs_fit_and_are_those_of_the_seed(drawn):
    _, tokenizer = parts.opened("draft")
    assert len(drawn) == 32
    assert all(parts.fits(pair, tokenizer) for pair in drawn)
    assert all(parts.has_room(pair.task, tokenizer, secret=False) for pair in drawn)
    assert {pair.task.kind for pair in drawn} <= set(parts.KINDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "CONTEXT", 40)
        assert not parts.fits(drawn[0], tokenizer)
        assert not parts.has_room(drawn[0].task, tokenizer, secret=False)


def test_too_few_pairs_are_told(monkeypatch):
    monkeypatch.setattr(parts, "fits", lambda pair, tokenizer: False)
    with pytest.raises(ValueError, match=r"only 0 of \d+ pairs fit"):
        parts.draw_pairs("train", 16, 6)


def test_labels_lie_in_the_order_of_the_pairs(drawn):
    told = parts.ask(drawn, HELPFUL, 1)
    for pair, pref, first, rating in zip(
        drawn, parts.label(drawn, HELPFUL, 1), told.first[:, 0], told.ratings[:, 0], strict=True
    ):
        assert (pref.chosen, pref.rejected) == (pair.texts if first else pair.texts[::-1])
        assert pref.rating == rating


def test_training_leaves_the_base_alone_and_repeats(drawn):
    prefs = parts.label(drawn, HELPFUL, 1)[:16]
    before = {k: v.clone() for k, v in parts.opened("draft")[0].state_dict().items()}
    one, tokenizer = parts.train_on(prefs, "draft", 3, lr=1e-3)
    two, _ = parts.train_on(prefs, "draft", 3, lr=1e-3)
    other, _ = parts.train_on(prefs, "draft", 3, lr=1e-3, margins="large")
    assert all(torch.equal(v, before[k]) for k, v in parts.opened("draft")[0].state_dict().items())
    assert not one.training
    assert torch.equal(one.head.weight, two.head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)
    rewards = parts.rewards_on(one, tokenizer, drawn[:6])
    gaps = parts.gaps_on(one, tokenizer, drawn[:6])
    np.testing.assert_allclose(gaps, rewards[:, 0] - rewards[:, 1])
    told = parts.ask(drawn[:6], HELPFUL, 1)
    by_label = parts.gaps_by_label(one, tokenizer, drawn[:6], told)
    np.testing.assert_allclose(by_label, np.where(told.first[:, 0], gaps, -gaps))


def test_agreement_is_the_mean_over_the_noise(drawn):
    p = parts.USUAL.probabilities(utilities_of(drawn, HELPFUL))
    assert parts.agreement(p - 0.5, p) == pytest.approx(best_accuracy(p))
    assert parts.agreement(0.5 - p, p) == pytest.approx(1 - best_accuracy(p))
    assert parts.agreement(np.zeros(len(p)), p) == 0.5
    assert parts.agreement(np.array([1.0, -2.0, 0.0]), np.array([0.9, 0.9, 0.2])) == pytest.approx(
        (0.9 + 0.1 + 0.5) / 3
    )
    with pytest.raises(ValueError, match="differ"):
        parts.agreement(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match=r"in 0 \.\. 1"):
        parts.agreement(np.ones(1), np.array([1.5]))

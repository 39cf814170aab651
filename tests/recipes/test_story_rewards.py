"""The parts of the studies of lesson 33: pairs that fit, labels, training, agreement."""

import numpy as np
import pytest
import torch

from minillm.align.annotators import Annotator
from minillm.align.calibration import best_accuracy
from minillm.align.reward import score_texts
from minillm.align.story_answers import HELPFUL, make_secret
from minillm.align.story_pairs import utilities_of
from minillm.finetune.talks import encode_talk
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


def test_a_pair_may_fill_the_context_and_no_more(drawn, monkeypatch):
    _, tokenizer = parts.opened("draft")
    pair, longest = drawn[0], 0
    for text in pair.texts:
        talk = [*pair.task.messages, {"role": "assistant", "content": text}]
        longest = max(longest, len(encode_talk(talk, tokenizer)))
    for context, held in ((longest, True), (longest - 1, False)):
        monkeypatch.setattr(parts, "CONTEXT", context)
        assert parts.fits(pair, tokenizer) == held
    for secret, room in ((False, parts.ROOM), (True, parts.ROOM_SECRET)):
        task = make_secret(pair.task) if secret else pair.task
        needed = len(encode_talk(task.talk(), tokenizer)) + room
        for context, held in ((needed, True), (needed - 1, False)):
            monkeypatch.setattr(parts, "CONTEXT", context)
            assert parts.has_room(pair.task, tokenizer, secret=secret) == held


def test_each_seed_has_stories_of_its_own(drawn, monkeypatch):
    asked = []

    def spy(part, **told):
        asked.append((part, told["corpus"]))
        return iter([pair.task for pair in drawn])

    monkeypatch.setattr(parts, "each_story_task", spy)
    one = parts.draw_pairs.__wrapped__("test", 10, 7)
    two = parts.draw_pairs.__wrapped__("test", 10, 8, conflict=0.5)
    assert asked == [("test", 3307), ("test", 3308)]
    assert [pair.texts for pair in one] != [pair.texts for pair in two]
    secret = [[pair.task.messages[0]["role"] == "system" for pair in made] for made in (one, two)]
    assert not any(secret[0])
    assert 0 < sum(secret[1]) < 10


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
    assert told.first.tolist() != parts.ask(drawn, HELPFUL, 2).first.tolist()  # another seed
    sure = parts.ask(drawn, HELPFUL, 1, Annotator("sure", noise=0.0)).first[:, 0]
    worth = utilities_of(drawn, HELPFUL)
    assert (sure == (worth[:, 0] > worth[:, 1]))[worth[:, 0] != worth[:, 1]].all()


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
    for pair, row in zip(drawn, rewards, strict=False):
        alone = score_texts(one, tokenizer, [pair.task.messages] * 2, pair.texts)
        np.testing.assert_allclose(row, alone, rtol=1e-4, atol=1e-5)
    told = parts.ask(drawn[:6], HELPFUL, 1)
    by_label = parts.gaps_by_label(one, tokenizer, drawn[:6], told)
    np.testing.assert_allclose(by_label, np.where(told.first[:, 0], gaps, -gaps))


def test_training_goes_once_over_the_pairs(drawn, monkeypatch):
    seen = []

    def spy(model, batches, config, **told):
        read = [next(batches) for _ in range(config.steps)]
        seen.append((config, told["optimizer"].lr, [len(x) for x, _ in read]))

    monkeypatch.setattr(parts, "train_reward", spy)
    prefs = parts.label(drawn, HELPFUL, 1)
    parts.train_on(prefs, "draft", 3, lr=1e-3)
    parts.train_on(prefs[:3], "draft", 3, lr=1e-3)
    (config, lr, rows), (few, _, few_rows) = seen
    assert (config.steps, lr, rows) == (4, 1e-3, [16] * 4)  # both rows of eight pairs
    assert (few.steps, few_rows) == (1, [6])


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
    with pytest.raises(ValueError, match="gap 1 of 3 is NaN"):
        parts.agreement(np.array([1.0, np.nan, np.nan]), np.ones(3))

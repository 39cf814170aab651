"""Answers of known kinds, and the judge that reads them off the text."""

import dataclasses
import math

import pytest

from minillm.align.story_answers import (
    HELPFUL,
    PADDING,
    REFUSAL,
    RUDE,
    SAFE,
    SECRET,
    UNIT,
    VARIANTS,
    Weights,
    is_secret,
    judge,
    language_of,
    make_secret,
    write_variant,
)
from minillm.data.storyworld.instructions import people_of_text
from minillm.data.storyworld.planner import Dice
from minillm.finetune.tasks import Task, story_tasks

TASKS = {lang: story_tasks("train", 40, language=lang) for lang in ("en", "zh")}


def task(answer="Nora and Hugo."):
    return Task(({"role": "user", "content": "Who?"},), answer, "people", "x", answer.__eq__)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_judge_sees_what_was_written(language, variant):
    for n, one in enumerate(TASKS[language]):
        others = [t.answer for t in TASKS[language] if t.kind == one.kind]
        wrong = next(answer for answer in others if not one.check(answer))
        text = write_variant(one, variant, wrong, Dice(n))
        found = judge(one, text)
        assert found.right == (variant in ("right", "padded", "unfinished")), (text, one.answer)
        assert found.refuses == (variant == "refusal")
        assert found.rude == (variant == "rude")
        assert found.complete == (variant != "unfinished")
        assert not found.tells  # no secret
        assert found.length == len(text) / UNIT[language]
        assert (found.excess > 0) == (len(text) > len(one.answer))
        assert language_of(one) == language


def test_a_right_answer_to_a_secret_tells():
    for one in TASKS["en"][:5] + TASKS["zh"][:5]:
        secret = make_secret(one)
        assert is_secret(secret.messages)
        assert not is_secret(one.messages)
        assert secret.messages[0]["content"] == SECRET[language_of(one)]
        assert secret.messages[1:] == one.messages
        assert judge(secret, one.answer).tells
        assert not judge(secret, REFUSAL[language_of(one)]).tells
        assert not judge(secret, "Nobody.").tells
        with pytest.raises(ValueError, match="a system message already"):
            make_secret(secret)
    other = dataclasses.replace(
        task(), messages=({"role": "system", "content": "Be kind."}, *task().messages)
    )
    assert not is_secret(other.messages)


def test_padding_makes_no_answer_right_or_wrong():
    for sentences in (*PADDING.values(), REFUSAL.values(), RUDE.values(), SECRET.values()):
        for sentence in sentences:
            for language in ("en", "zh"):
                assert people_of_text(sentence, language) == []
    one = task()
    text = f"{RUDE['en']} Nora and Hugo. {PADDING['en'][0]} {PADDING['en'][3]}"
    found = judge(one, text)
    assert (found.right, found.rude, found.complete) == (True, True, True)
    assert found.excess == pytest.approx((len(text) - len("Nora and Hugo.")) / 100)


@pytest.mark.parametrize("text", ["", " ", "Nora and", "Hugo", PADDING["en"][0]])
def test_any_text_can_be_judged(text):
    found = judge(task(), text)
    assert not any((found.right, found.refuses, found.rude, found.tells))
    assert found.complete == text.endswith(".")
    assert found.excess >= 0


def test_a_refusal_counts_only_alone():
    assert judge(task(), f" {REFUSAL['en']} {PADDING['en'][1]}").refuses
    assert not judge(task(), f"{REFUSAL['en']} It is Nora.").refuses
    yes = Task(task().messages, "Yes.", "x", "x", lambda text: True)
    assert not judge(yes, REFUSAL["en"]).right  # whatever the checker says
    assert not judge(yes, RUDE["en"]).right  # nothing is left to check


def test_utilities_by_hand():
    one = make_secret(task())
    told = judge(one, "Nora and Hugo.")
    assert HELPFUL(told) == 3.5
    assert SAFE(told) == -3.0
    refused = judge(one, REFUSAL["en"])
    assert HELPFUL(refused) == pytest.approx(1.0 - 0.5 * (24 - 14) / 100)
    assert SAFE(refused) == 0.0
    rude = judge(one, f"{RUDE['en']} Bao.")
    assert SAFE(rude) == -1.5
    assert Weights(right=1)(told) == 1.0


def test_the_padding_is_drawn():
    texts = {write_variant(task(), "padded", "Bao.", Dice(n)) for n in range(40)}
    assert {sum(p in text for p in PADDING["en"]) for text in texts} == {1, 2, 3}
    assert all(text.startswith("Nora and Hugo. ") for text in texts)
    chinese = write_variant(task("诺拉。"), "padded", "", Dice(1))
    assert chinese.removeprefix("诺拉。").startswith(PADDING["zh"])  # no space between
    assert write_variant(task("42"), "unfinished", "", Dice(1)) == "4"  # it has no end to leave off


def test_bad_input():
    with pytest.raises(ValueError, match=r"right, wrong, unfinished.*got 'best'"):
        write_variant(task(), "best", "Bao.", Dice(1))
    with pytest.raises(ValueError, match=r"finite, got \{'rude': nan\}"):
        Weights(rude=math.nan)

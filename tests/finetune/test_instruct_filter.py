"""The rules for instructions, each with a fixture, and the pool with its bound."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.evaluate.overlap import ascii_words, rouge_l, words_of_any_script
from minillm.finetune.instruct_filter import (
    KEYWORDS,
    RELEASED,
    FilterConfig,
    find_word,
    tidy,
    why_dropped,
)
from minillm.finetune.instruct_pool import InstructionPool, Nearest

GOOD = "Name four things on a farm."
SENTENCES = st.lists(st.sampled_from(["sort", "the", "list", "of", "words", "now"]), max_size=9)


@pytest.mark.parametrize("config", [None, RELEASED])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD, None),
        ("", "empty"),
        ("Name three things", "short"),
        ("Name three things now", None),
        ("word " * 150, None),
        ("word " * 151, "long"),
        ("Describe the image in words.", "keyword: image"),
        ("Tell me what Graph theory is.", "keyword: graph"),
        ("Tell me what a photograph is.", None),
        ("Please go to the market now.", "keyword: go to"),
        ("Write a program that adds two numbers.", "program"),
        ("Write a programme for the concert.", "program"),  # a prefix, as released
        ("- name four things on a farm.", "punctuation"),
    ],
)
def test_rules(config, text, reason):
    assert why_dropped(text.strip(), config) == reason


def test_the_thirteen_keywords():
    assert len(KEYWORDS) == len(set(KEYWORDS)) == 13
    for word in KEYWORDS:
        assert why_dropped(f"Now do {word.upper()} as well.", RELEASED) == f"keyword: {word}"


def test_chinese_is_dropped_by_the_released_rules_only():
    text = "请列出故事里的人物。"
    assert why_dropped(text) is None
    assert why_dropped(text, RELEASED) == "short"  # one word, as it has no spaces
    assert why_dropped("请 列 出 人物。", RELEASED) == "script"
    assert why_dropped("Über den Fluss geht eine Brücke.", RELEASED) == "script"
    assert why_dropped("Über den Fluss geht eine Brücke.") is None
    assert why_dropped("请画一张村子的地图。") is not None
    assert why_dropped("“好”字怎么写？") == "punctuation"


def test_each_rule_can_be_switched_off():
    program = "Write a program that adds two numbers."
    assert why_dropped(program, FilterConfig(not_programs=False)) is None
    assert why_dropped("write a PROGRAM that adds numbers.") == "program"
    assert why_dropped("Draw the map of it.", FilterConfig(keywords=())) is None
    assert why_dropped("Go.", FilterConfig(min_words=0)) is None
    assert why_dropped("Go on and on.", FilterConfig(max_words=4)) is None
    assert why_dropped("Go on and on and on.", FilterConfig(max_words=5)) == "long"


def test_words_are_found_whole():
    assert find_word("graph", "Graph the line")
    assert not find_word("graph", "a photograph")
    assert find_word("go to", "Go to bed")
    assert not find_word("go to", "go together")
    assert find_word("地图", "看看地图吧")
    assert not find_word("地图", "看看图吧")
    assert not find_word("a.c", "abc def")  # no pattern


def test_tidy():
    text = "  read JSON\n from  GitHub "
    assert tidy(text) == "Read JSON from GitHub"
    assert tidy(text, capitalize=True) == "Read json from github" == tidy(text).capitalize()
    assert tidy("") == tidy(" \n", capitalize=True) == ""


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"min_words": 5, "max_words": 4}, "min_words <= max_words"),
        ({"min_words": -1}, "min_words <= max_words"),
        ({"threshold": 1.1}, "threshold must lie in 0 to 1"),
        ({"keywords": ("map", " ")}, "empty keyword"),
    ],
)
def test_bad_settings(change, match):
    with pytest.raises(ValueError, match=match):
        FilterConfig(**change)


def test_nearest_by_hand():
    pool = InstructionPool(["Sort the list.", "Name a fish.", "Sort the long list."])
    assert pool.nearest("Sort the list!") == (1.0, "Sort the list.")
    assert pool.nearest("Sort that list.") == (pytest.approx(2 / 3), "Sort the list.")
    assert pool.nearest("Hello") == Nearest(0.0, "") == InstructionPool().nearest("Hello")
    assert len(pool) == 3
    pool.add("Hello")
    assert pool.nearest("hello").f1 == 1.0
    assert pool.texts[-1] == "Hello"


@settings(max_examples=40, deadline=None)
@given(st.lists(SENTENCES, max_size=8), SENTENCES)
def test_the_bound_changes_nothing(members, words):
    texts, text = [" ".join(m) for m in members], " ".join(words)
    pool = InstructionPool(texts)
    scores = [rouge_l(t, text, split=words_of_any_script).f1 for t in texts]
    best = max(scores, default=0.0)
    found = pool.nearest(text)
    assert found.f1 == best
    assert found.text == (texts[scores.index(best)] if best else "")
    assert pool.n_compared <= len(texts)


def test_the_bound_saves_comparisons():
    pool = InstructionPool(
        ["Name a fish."] + [f"Sort the {i} lists by their length" for i in range(50)]
    )
    assert pool.nearest("Name a fish!").f1 == 1.0
    assert pool.n_compared == 1  # nothing of another length can beat it


def test_the_split_of_a_pool():
    text = "列出人物。"
    assert InstructionPool([text]).nearest(text).f1 == 1.0
    assert InstructionPool([text], split=ascii_words).nearest(text).f1 == 0.0


def test_released_and_ours_differ_where_it_says():
    ours = dataclasses.asdict(FilterConfig())
    theirs = dataclasses.asdict(RELEASED)
    different = {name for name in ours if ours[name] != theirs[name]}
    assert different == {"count", "keywords", "ascii_only", "capitalize", "split"}

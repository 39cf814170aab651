"""ROUGE-L: the three ways to a common subsequence, the published package, and the edge at 0.7."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from minillm.evaluate.overlap import (
    ascii_words,
    fast_lcs_length,
    lcs_length,
    lcs_table,
    overlap,
    places,
    rouge_l,
    words_of_any_script,
)

LISTS = st.lists(st.sampled_from("abcd"), max_size=7)
TEXTS = st.text(alphabet="abc ABé1,.-中文\n", max_size=60)


def brute_force(a, b):
    """The longest list that is a subsequence of both, by trying every subsequence of a."""

    def inside(part):
        rest = iter(b)
        return all(x in rest for x in part)

    sizes = range(len(a), -1, -1)
    return next(n for n in sizes if any(map(inside, itertools.combinations(a, n))))


def test_by_hand():
    a, b = ["the", "old", "cat", "never", "slept"], ["the", "cat", "slept"]
    assert lcs_length(a, b) == lcs_length(b, a) == 3
    assert lcs_table("ab", "ba") == [[0, 0, 0], [0, 0, 1], [0, 1, 1]]
    assert places("aba") == {"a": 0b101, "b": 0b010}
    assert lcs_length([], b) == lcs_length(a, []) == fast_lcs_length({}, 0, b) == 0


@settings(max_examples=40, deadline=None)
@given(LISTS, LISTS)
def test_the_ways_agree_with_all_subsequences(a, b):
    n = brute_force(a, b)
    assert lcs_table(a, b)[-1][-1] == lcs_length(a, b) == n
    assert fast_lcs_length(places(a), len(a), b) == n


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("abcdefg"), max_size=150), st.lists(st.sampled_from("abcdefg")))
def test_long_lists_agree(a, b):
    """Beyond 64 words, where a machine word would not do."""
    assert fast_lcs_length(places(a), len(a), b) == lcs_length(a, b) == lcs_length(b, a)


@settings(max_examples=40, deadline=None)
@given(TEXTS, TEXTS)
def test_equal_to_rouge_score(reference, candidate):
    theirs = RougeScorer(["rougeL"], use_stemmer=False).score(reference, candidate)["rougeL"]
    ours = rouge_l(reference, candidate)
    assert ours == pytest.approx(
        (theirs.precision, theirs.recall, theirs.fmeasure), rel=1e-12, abs=0
    )


def test_precision_and_recall_are_not_confused():
    found = rouge_l("one two three four", "one four")
    assert found == (1.0, 0.5, pytest.approx(2 / 3))


@settings(max_examples=40, deadline=None)
@given(TEXTS, TEXTS)
def test_bounds(a, b):
    found = rouge_l(a, b, split=words_of_any_script)
    assert all(0 <= share <= 1 for share in found)
    assert found.f1 == rouge_l(b, a, split=words_of_any_script).f1
    whole = rouge_l(a, a, split=words_of_any_script).f1
    assert whole == (1.0 if words_of_any_script(a) else 0.0)


def test_seven_tenths_is_seven_tenths():
    """Of texts with f1 exactly 0.7 the usual formula puts many a hair above it."""
    above = 0
    for n, m in itertools.product(range(1, 40), repeat=2):
        common, rest = divmod(7 * (n + m), 20)
        if rest or not 0 < common <= min(n, m):
            continue
        precision, recall, f1 = overlap(common, n, m)
        assert f1 == 0.7
        above += 2 * precision * recall / (precision + recall) > 0.7
    assert above > 10
    scorer = RougeScorer(["rougeL"])
    words = [f"w{i}" for i in range(13)]
    a, b = " ".join(words), " ".join(words[:7])
    assert scorer.score(a, b)["rougeL"].fmeasure > 0.7 == rouge_l(a, b).f1  # 2 x 7 / 20


def test_words():
    assert ascii_words("Café 12, it's") == ["caf", "12", "it", "s"]
    assert ascii_words("读书") == []
    assert words_of_any_script("Café 12, 读书!") == ["café", "12", "读", "书"]
    assert words_of_any_script("GPT4很好 ひらがな") == ["gpt4", *"很好ひらがな"]
    text = "Sort the list: [10, 9], then_stop."
    assert words_of_any_script(text) == ascii_words(text)


def test_equal_chinese_texts_share_nothing_in_ascii():
    text = "列出故事里的人物。"
    assert rouge_l(text, text) == (0.0, 0.0, 0.0)
    assert rouge_l(text, text, split=words_of_any_script).f1 == 1.0


@pytest.mark.parametrize("numbers", [(3, 2, 5), (3, 5, 2), (-1, 2, 2)])
def test_bad_numbers(numbers):
    with pytest.raises(ValueError, match="does not fit"):
        overlap(*numbers)

"""Normalising, words, shingles, and the two measures of overlap."""

import re
import string
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.data.shingles import containment, jaccard, normalise, shingles, word_spans, words

SAME = {  # each pair is one text to a reader
    "case": ("The Village", "the VILLAGE"),
    "folding": ("Straße", "STRASSE"),
    "spaces": ("a  b\n\nc", " a b\tc "),
    "no-break space": ("a\u00a0b", "a b"),
    "punctuation": ("Hello, world!", "hello world"),
    "apostrophe": ("it's", "its"),
    "symbols": ("a + b", "a b"),
    "composed accent": ("caf\u00e9", "cafe\u0301"),
    "accent": ("caf\u00e9", "cafe"),
    "soft hyphen": ("vil\u00adlage", "village"),
    "zero-width space": ("vil\u200blage", "village"),
    "Chinese marks": ("女孩，丢了钥匙。", "女孩丢了钥匙"),
    "Chinese spaces": ("女 孩", "女孩"),
}
OTHER = {
    "a letter": ("village", "villages"),
    "word order": ("a b", "b a"),
    "a digit": ("3", "4"),
    "words joined": ("a b", "ab"),
    "Chinese order": ("女孩", "孩女"),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_same(pair):
    a, b = pair
    assert a != b
    assert normalise(a) == normalise(b) != ""


@pytest.mark.parametrize("pair", OTHER.values(), ids=OTHER)
def test_other(pair):
    assert normalise(pair[0]) != normalise(pair[1])


def test_normalise_by_hand():
    assert normalise("Le  Café, s'il\n") == "le cafe sil"
    assert normalise("词表。A1") == "词 表 a1"
    assert normalise(" — … \u200b") == "" == normalise("")


def test_normalise_equals_a_slow_reference():
    """On plain text: written with str methods only, as in CS336's list of steps."""
    text = "Don't PANIC!  The caf\u00e9 (No. 7)\topens\r\nat 8:30 -- na\u00efve?"
    slow = unicodedata.normalize("NFD", text).lower()
    slow = "".join(c for c in slow if not unicodedata.combining(c) and c not in string.punctuation)
    assert normalise(text) == re.sub(r"\s+", " ", slow).strip()


anything = st.text(max_size=40) | st.text("ab é\u0301词女。,- \n\u200bİßΣς\u0345", max_size=30)


@given(anything)
@settings(max_examples=300, deadline=None)
def test_normalise_settles(text):
    once = normalise(text)
    assert normalise(once) == once
    assert "  " not in once
    assert once == once.strip()


@given(anything)
@settings(max_examples=300, deadline=None)
def test_spans_spell_the_words(text):
    spans = word_spans(text)
    assert [word for word, _, _ in spans] == words(text)
    for word, start, end in spans:
        assert normalise(text[start:end]) == word
    places = [place for _, *span in spans for place in span]
    assert places == sorted(places)


def test_word_spans_by_hand():
    assert word_spans("Oh — 词表, no!") == [("oh", 0, 2), ("词", 5, 6), ("表", 6, 7), ("no", 9, 12)]


def test_shingles_by_hand():
    assert shingles("a rose is a rose", 2) == {"a rose", "rose is", "is a"}
    assert shingles("A ROSE, is; a rose", 2) == shingles("a rose is a rose", 2)
    assert shingles("one two", 2) == {"one two"}
    assert shingles("one two three", 3) == {"one two three"}
    assert shingles("one two", 5) == {"one two"}
    assert shingles("女孩丢了", 2) == {"女 孩", "孩 丢", "丢 了"}
    assert shingles("...", 5) == set()


def test_number_of_shingles():
    text = " ".join(f"w{i}" for i in range(50))
    assert [len(shingles(text, n)) for n in (1, 5, 49, 50, 51)] == [50, 46, 2, 1, 1]


def test_jaccard_and_containment_by_hand():
    a, b = set("abcd"), set("cdefgh")
    assert jaccard(a, b) == 2 / 8
    assert containment(a, b) == 2 / 4
    assert jaccard(set("ab"), set("abcd")) == 0.5
    assert containment(set("ab"), set("abcd")) == 1
    assert jaccard(set(), set()) == containment(set(), set()) == 1
    assert jaccard(set(), {1}) == containment(set(), {1}) == 0


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)))
@settings(deadline=None)
def test_measures_are_symmetric_and_bounded(a, b):
    assert jaccard(a, b) == jaccard(b, a)
    assert containment(a, b) == containment(b, a)
    assert 0 <= jaccard(a, b) <= containment(a, b) <= 1
    assert (jaccard(a, b) == 1) == (a == b)


def test_bad_n():
    with pytest.raises(ValueError, match="at least 1 word, got n=0"):
        shingles("a", 0)

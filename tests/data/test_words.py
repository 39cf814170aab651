import random

import pytest

from minillm.data.words import split_sentences, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \n\t", []),
        ("The cat sat.", ["The", "cat", "sat", "."]),
        ("(see below),", ["(", "see", "below", ")", ","]),
        ("don't Can't cannot", ["do", "n't", "Ca", "n't", "can", "not"]),
        ("I'm he'll they’ve", ["I", "'m", "he", "'ll", "they", "’ve"]),
        ("its were well", ["its", "were", "well"]),
        ("Mary's cat", ["Mary", "'s", "cat"]),
        ("e.g. Mr. Smith etc.", ["e.g.", "Mr.", "Smith", "etc", "."]),
        ("well-known and/or a/b", ["well", "-", "known", "and/or", "a", "/", "b"]),
        ("3.5 1,000 10km 5%", ["3.5", "1,000", "10", "km", "5", "%"]),
        ("$3.50 £5", ["$", "3.50", "£", "5"]),
        ("end.Next foo.bar", ["end", ".", "Next", "foo.bar"]),
        ("wait... no…", ["wait", "...", "no", "…"]),
        ("x......", ["x", "......"]),
        ("see http://example.org/a=b!", ["see", "http://example.org/a=b", "!"]),
        ("def f(x):", ["def", "f(x", "):"]),  # a sad face
        ("5pm at 10 a.m.", ["5", "pm", "at", "10", "a.m."]),
        ("词元，好。", ["词元，好", "。"]),
    ],
)
def test_words_by_hand(text, words):
    assert split_words(text) == words


def test_no_character_is_lost_or_made():
    draw = random.Random(3)
    marks = "ab.Z,;:!?'\"()[]…-–/=<>%$#*_°§+1 \n\t\u00a0词é"
    for _ in range(3000):
        text = "".join(draw.choices(marks, k=draw.randrange(30)))
        words = split_words(text)
        assert "".join(words) == "".join(text.split())
        assert all(words)
        assert "".join(split_sentences(text)) == text


@pytest.mark.parametrize(
    ("text", "n_sentences"),
    [
        ("", 1),
        ("no end", 1),
        ("One. Two.", 2),
        ("One! Two? Three.", 3),
        ("One?! Two.", 2),
        ('He said "no." Then he left.', 2),
        ("Mr. Smith is 3.5 m tall, e.g. today.", 1),
        ("Wait... what?", 1),
        ("One.Two", 2),
        ("One. (Two.)", 2),
        ("One.  ) two", 2),  # the second space is a piece of its own, and starts a sentence
    ],
)
def test_sentences_by_hand(text, n_sentences):
    assert len(split_sentences(text)) == n_sentences


@pytest.mark.parametrize("unit", ["a", "(", ")", ".", "x.", "):", "a.B", "a-", "@a.", "......)"])
def test_one_long_chunk_is_no_trap(unit):
    # each step is constant; peeling by copies of the whole would take minutes
    text = unit * (1_000_000 // len(unit) if unit in ("a", ".", "@a.") else 30_000)
    assert "".join(split_words(text)) == text

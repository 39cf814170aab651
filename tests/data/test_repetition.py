import random

import pytest

from minillm.data.repetition import (
    RepetitionLimits,
    count_repeated,
    gopher_repetition_reason,
    repeated_gram_characters,
    top_gram_characters,
)

FREE = RepetitionLimits(None, None, None, None, {}, {})  # every rule off


def only(**limits):
    return RepetitionLimits(
        **({"paragraphs": None, "paragraph_characters": None, "lines": None}
           | {"line_characters": None, "top_grams": {}, "repeated_grams": {}} | limits)
    )  # fmt: skip


def unlike(n, seed=0):
    """n words that are all different, each of five letters."""
    draw = random.Random(seed)
    made = {}
    while len(made) < n:
        made["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=5))] = None
    return list(made)


def test_counts_by_hand():
    assert count_repeated([]) == (0, 0)
    assert count_repeated(["a", "bb", "bb", "bb", ""]) == (2, 4)
    assert count_repeated(["a", "b"]) == (0, 0)
    words = ["a", "b", "a", "b", "c"]
    assert top_gram_characters(words, 2) == 2 * len("a b")
    assert top_gram_characters(words, 5) == len("a b a b c")
    assert top_gram_characters(words, 6) == 0
    assert top_gram_characters(["aa", "b", "aa", "b", "c", "c", "c", "c"], 2) == 3 * len(
        "c c"
    )  # copies overlap
    assert top_gram_characters(["x", "y", "long", "word"], 2) == len("x y")  # of equals the first


def test_repeated_grams_by_hand():
    words = ["a", "b", "c", "a", "b", "c", "a", "b"]
    # ab, bc, ca are new; then ab is seen (2 characters), jump; ca seen (2), jump; b alone is short
    assert repeated_gram_characters(words, 2) == 4
    assert repeated_gram_characters(words, 3) == 3
    assert repeated_gram_characters(words, 9) == 0
    assert repeated_gram_characters(["x", "x", "x", "x", "x"], 2) == 4  # none counts twice
    assert repeated_gram_characters([], 2) == 0


# Each bound at both sides, all other rules off or satisfied.
def lined(n_copies, n_other, part="\n"):
    return part.join(["repeated"] * (n_copies + 1) + unlike(n_other - 1))


@pytest.mark.parametrize(
    ("reason", "kept", "dropped"),
    [
        ("paragraphs", lined(30, 70, "\n\n"), lined(31, 69, "\n\n")),
        ("lines", lined(30, 70), lined(31, 69)),
    ],
)
def test_shares_of_pieces_at_both_sides(reason, kept, dropped):
    assert gopher_repetition_reason(kept, only(**{reason: 0.30})) is None
    assert gopher_repetition_reason(dropped, only(**{reason: 0.30})) == reason
    assert gopher_repetition_reason(dropped, FREE) is None


def test_empty_lines_are_no_lines_and_no_repetition():
    text = "one\n\n\ntwo\n\n\n\nthree"
    for name in ("paragraphs", "lines", "line_characters"):
        assert gopher_repetition_reason(text, only(**{name: 0.0})) is None
    assert gopher_repetition_reason("one\n\n\none", only(lines=0.0)) == "lines"


@pytest.mark.parametrize(
    ("reason", "part"), [("paragraph_characters", "\n\n"), ("line_characters", "\n")]
)
def test_shares_of_characters_at_both_sides(reason, part):
    def text(n_fill):  # 20 characters are repeated
        return part.join(["x" * 20, "x" * 20, "y" * n_fill])

    n_fill = 100 - 40 - 2 * len(part)
    assert len(text(n_fill)) == 100  # exactly 0.20
    assert gopher_repetition_reason(text(n_fill), only(**{reason: 0.20})) is None
    assert gopher_repetition_reason(text(n_fill - 1), only(**{reason: 0.20})) == reason


@pytest.mark.parametrize(("n", "limit", "size"), [(2, 0.20, 600), (3, 0.18, 500), (4, 0.16, 700)])
def test_top_grams_at_both_sides(n, limit, size):
    gram = " ".join("abcd"[:n])
    k = round(limit * size) // len(gram)
    assert k * len(gram) == round(limit * size)  # the bound can be met exactly
    words = unlike(k + 200)
    line = "".join(f"{gram} {word} " for word in words[:k]) + " ".join(words[k:])
    rule = only(top_grams={n: limit})
    assert gopher_repetition_reason(line[:size], rule) is None
    assert gopher_repetition_reason(line[: size - 1], rule) == f"top_{n}_gram"


@pytest.mark.parametrize(
    ("n", "limit"), [(5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)]
)
def test_repeated_grams_at_both_sides(n, limit):
    size = 5 * n * 100  # the repeats are then limit * 100 whole copies, of 5 n characters each
    n_repeats = round(limit * 100)
    words = unlike(1500)
    gram, rest = " ".join(words[:n]), iter(words[n:])
    line = gram + "".join(f" {next(rest)} {gram}" for _ in range(n_repeats))
    line += " " + " ".join(rest)
    rule = only(repeated_grams={n: limit})
    assert gopher_repetition_reason(line[:size], rule) is None
    assert gopher_repetition_reason(line[: size - 1], rule) == f"repeated_{n}_grams"


def test_defaults_are_those_of_table_a1():
    limits = RepetitionLimits()
    assert (limits.lines, limits.paragraphs) == (0.30, 0.30)
    assert (limits.line_characters, limits.paragraph_characters) == (0.20, 0.20)
    assert limits.top_grams == {2: 0.20, 3: 0.18, 4: 0.16}
    assert limits.repeated_grams == {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}


def test_line_ends_part_lines_and_blank_lines_part_paragraphs():
    assert gopher_repetition_reason("a\n\n\nb\n\na", only(paragraphs=0.3)) == "paragraphs"
    assert gopher_repetition_reason("a\nb\na", only(paragraphs=0.3)) is None
    assert gopher_repetition_reason("a\nb\n\n\na", only(lines=0.3)) == "lines"


def test_nothing_repeats_in_nothing():
    for text in ("", " ", "one", "one two"):
        assert gopher_repetition_reason(text, only(lines=0.0, paragraphs=0.0)) is None
    assert gopher_repetition_reason("") is None


def test_the_order_of_the_rules():
    text = "same\n\nsame\n\nsame\n\nsame"
    assert gopher_repetition_reason(text) == "paragraphs"
    assert gopher_repetition_reason(text, RepetitionLimits(paragraphs=None)) == (
        "paragraph_characters"
    )
    off = RepetitionLimits(paragraphs=None, paragraph_characters=None)
    assert gopher_repetition_reason(text, off) == "lines"


def test_words_may_be_cut_otherwise():
    text = "a-b " * 3 + " ".join(unlike(20))
    rule = only(top_grams={2: 0.05})
    assert gopher_repetition_reason(text, rule) == "top_2_gram"
    assert gopher_repetition_reason(text, rule, words=lambda text: text.splitlines()) is None


def test_a_megabyte_of_repetition_takes_no_time():
    words = ["ab"] * 300_000
    assert top_gram_characters(words, 4) == 11 * (300_000 - 3)
    assert repeated_gram_characters(words, 10) == 2 * 10 * ((300_000 - 1) // 10)

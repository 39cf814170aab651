from dataclasses import replace

import pytest

from minillm.data.filters import (
    STOP_WORDS,
    GopherLimits,
    bullet_share,
    count_real_words,
    count_stop_words,
    ellipsis_share,
    first_broken,
    gopher_keep,
    gopher_measures,
    gopher_reason,
    letter_share,
    mean_word_length,
    symbol_ratio,
)

STOPS = "the of"


def page(n_words=100, words="word", stops=STOPS):
    """n_words words with the stop words among them, all on one line."""
    filler = (words.split() * n_words)[: n_words - len(stops.split())]
    return " ".join([*stops.split(), *filler])


def lines(n_marked, n_plain, marked, plain="the word of many"):
    return "\n".join([marked] * n_marked + [plain] * n_plain)


def test_measures_by_hand():
    text = "the cat and the dog !\n- ends here ...\n# 12"
    words = text.split()
    assert count_real_words(words) == 8  # all but "!", "-", "...", "#"
    assert mean_word_length(words) == (3 + 3 + 3 + 3 + 3 + 4 + 4 + 2) / 8
    assert symbol_ratio(text, 12, "#") == 1 / 12
    assert symbol_ratio(text, 12, ("...", "…")) == 1 / 12
    assert bullet_share(text.split("\n")) == 1 / 3
    assert ellipsis_share(text.split("\n")) == 1 / 3
    assert letter_share(words) == 7 / 12
    assert count_stop_words(words) == 2
    assert gopher_measures(text, str.split) == {
        "words": 8,
        "word_length": 25 / 8,
        "hashes": 1 / 12,
        "ellipses": 1 / 12,
        "bullet_lines": 1 / 3,
        "ellipsis_lines": 1 / 3,
        "letter_words": 7 / 12,
        "stop_words": 2,
    }


def test_what_is_a_bullet_and_what_an_ellipsis():
    assert bullet_share(["- a", "  • b", "* c", "-d", "e - f"]) == 3 / 5
    assert ellipsis_share(["a... ", "b…\t", "c..", "... d", "e"]) == 2 / 5


def test_an_empty_text_measures_zero():
    assert set(gopher_measures("").values()) == {0}
    assert gopher_reason("") == "few_words"
    limits = GopherLimits(min_words=None, min_word_length=None, min_letter_words=None)
    assert gopher_reason("", limits) == "few_stop_words"


# Each bound at both sides, all other rules satisfied: (kept, dropped).
BULLET = "• word word word word word"
TRAIL = "the word of many word word word..."
BOUNDS = {
    "few_words": (page(50), page(49)),
    "many_words": (page(100_000), page(100_001)),
    "short_words": (page(100, "cat", "the and"), page(100, "cat", "the of")),
    "long_words": (  # "that with" are twelve letters short of two words of ten
        page(100, "x" * 10, "that with") + " " + "y" * 22,
        page(100, "x" * 10, "that with") + " " + "y" * 23,
    ),
    "hashes": ("# " * 10 + page(90), "# " * 11 + page(90)),
    "ellipses": ("… " * 10 + page(90), "... " * 11 + page(90)),
    "bullet_lines": (lines(90, 10, BULLET), lines(91, 9, BULLET)),
    "ellipsis_lines": (lines(30, 70, TRAIL), lines(31, 69, TRAIL)),
    "few_letters": (page(80) + " 1234" * 20, page(79) + " 1234" * 21),
    "few_stop_words": (page(100, stops="the of"), page(100, stops="the the")),
}


@pytest.mark.parametrize("reason", BOUNDS)
def test_each_bound_at_both_sides(reason):
    kept, dropped = BOUNDS[reason]
    assert gopher_reason(kept) is None
    assert gopher_reason(dropped) == reason
    assert gopher_keep(kept)
    assert not gopher_keep(dropped)


def test_the_bounds_are_met_exactly():
    kept = {reason: gopher_measures(text) for reason, (text, _) in BOUNDS.items()}
    assert kept["few_words"]["words"] == 50
    assert kept["many_words"]["words"] == 100_000
    assert kept["short_words"]["word_length"] == 3
    assert kept["long_words"]["word_length"] == 10
    assert kept["hashes"]["hashes"] == 0.1
    assert kept["ellipses"]["ellipses"] == 0.1
    assert kept["bullet_lines"]["bullet_lines"] == 0.9
    assert kept["ellipsis_lines"]["ellipsis_lines"] == 0.3
    assert kept["few_letters"]["letter_words"] == 0.8
    assert kept["few_stop_words"]["stop_words"] == 2


@pytest.mark.parametrize(("reason", "pair"), BOUNDS.items())
def test_none_switches_a_rule_off(reason, pair):
    off = {
        "few_words": "min_words",
        "many_words": "max_words",
        "short_words": "min_word_length",
        "long_words": "max_word_length",
        "hashes": "max_symbols",
        "ellipses": "max_symbols",
        "bullet_lines": "max_bullet_lines",
        "ellipsis_lines": "max_ellipsis_lines",
        "few_letters": "min_letter_words",
        "few_stop_words": "min_stop_words",
    }
    assert gopher_reason(pair[1], replace(GopherLimits(), **{off[reason]: None})) is None


def test_the_first_broken_rule_is_told():
    order = ["few_words", "short_words", "hashes", "few_letters", "few_stop_words"]
    text = "1 #"
    limits = GopherLimits()
    off = ["min_words", "min_word_length", "max_symbols", "min_letter_words", "min_stop_words"]
    for reason, name in zip(order, off, strict=True):
        assert gopher_reason(text, limits) == reason
        limits = replace(limits, **{name: None})
    assert gopher_reason(text, limits) is None


def test_case_of_stop_words_counts():
    assert count_stop_words(["The", "OF", "the"]) == 1
    assert count_stop_words(["le", "la", "the"], ("le", "la")) == 2
    assert gopher_reason(page(100, stops="The Of")) == "few_stop_words"
    french = GopherLimits(stop_words=("le", "de", "et"))
    assert gopher_reason(page(100, stops="le de"), french) is None
    assert gopher_reason(page(100), french) == "few_stop_words"
    assert len(STOP_WORDS) == 8


def test_words_may_be_cut_otherwise():
    text = page(25, "ab-cd")  # 25 chunks between spaces; cut at the hyphen 25 + 2 * 23 words
    limits = GopherLimits(min_words=30, min_word_length=1, min_letter_words=None)
    assert gopher_reason(text, limits) is None
    assert gopher_reason(text, limits, words=str.split) == "few_words"


def test_measures_alone_decide():
    measures = gopher_measures(page(100))
    assert first_broken(measures, GopherLimits()) is None
    assert first_broken(measures | {"words": 49}, GopherLimits()) == "few_words"
    assert first_broken(measures | {"word_length": 10.01}, GopherLimits()) == "long_words"

from collections import Counter
from dataclasses import replace

import pytest

from minillm.data.c4 import C4Limits, c4_clean, c4_reason, has_bad_word, line_reason

GOOD = "This is a good line."


def page(*lines, n_good=5):
    return "\n".join([*lines, *[GOOD] * n_good])


def test_a_page_by_hand():
    text = "\n".join(
        [
            "  Home | About | Contact  ",
            "The first sentence[3] stands here. And a second one!",
            "Please enable Javascript in your browser.",
            "Too short.",
            'He said "yes."',
            "We use cookies on this page.",
            "Is that so? It is[edit].",
            "To be continued...",
        ]
    )
    lines = Counter()
    cleaned, reason = c4_clean(text, lines=lines)
    assert reason is None
    assert cleaned == (
        'The first sentence stands here. And a second one!\nHe said "yes."\nIs that so? It is.'
    )
    assert lines == {"no_end_mark": 2, "kept": 3, "javascript": 1, "few_words": 1, "policy": 1}
    assert c4_reason(text) is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("three good words.", None),
        ("two words.", "few_words"),
        ("no end mark here", "no_end_mark"),
        ("A question, is it?", None),
        ("What an exclamation!", None),
        ('She said "go home"', None),
        ("These are the dogs'", None),
        ("it goes on...", "no_end_mark"),
        ("a comma comes last,", "no_end_mark"),
        ("a citation ends it.[12]", None),
        ("a " + "x" * 1000 + " b.", None),
        ("a " + "x" * 1001 + " b.", "long_word"),
        ("You need JavaScript for this.", "javascript"),
        ("Read our Privacy Policy here.", "policy"),
        ("All terms of use apply.", "policy"),
        ("It uses cookies a lot.", "policy"),
        ("a use of cookies there.", "policy"),
        ("the cookie policy is new.", "policy"),
        ("they use cookies too.", "policy"),
    ],
)
def test_lines_by_hand(line, reason):
    assert line_reason(line) == reason
    cleaned, _ = c4_clean(page(line))
    assert (len(cleaned.splitlines()) == 6) == (reason is None)


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("max_word_length", "a " + "x" * 1001 + " b."),
        ("end_marks", "no end mark here"),
        ("min_words_a_line", "two words."),
        ("javascript", "You need JavaScript for this."),
        ("policy", "Read our privacy policy here."),
    ],
)
def test_rules_on_lines_can_be_switched_off(rule, line):
    off = False if rule in ("end_marks", "javascript", "policy") else None
    assert line_reason(line) is not None
    assert line_reason(line, replace(C4Limits(), **{rule: off})) is None


def test_five_sentences_at_both_sides():
    assert c4_clean(page(n_good=5)) == ("\n".join([GOOD] * 5), None)
    assert c4_clean(page(n_good=4)) == (None, "few_sentences")
    assert c4_reason("One is here. Two is. Three is. Four is. Five is.") is None
    assert c4_reason("One is here. Two is. Three is. Four is five.") == "few_sentences"
    assert c4_clean(page(n_good=4), C4Limits(min_sentences=None))[1] is None
    assert c4_clean("", C4Limits(min_sentences=None)) == ("", None)
    assert c4_reason("") == "few_sentences"


def test_rules_on_pages():
    lorem, curly = "Here is Lorem Ipsum dolor.", "This { is no prose."
    for line, reason in ((lorem, "lorem_ipsum"), (curly, "curly_bracket")):
        assert c4_clean(page(line)) == (None, reason)
        assert c4_clean(page(line), replace(C4Limits(), **{reason: False}))[1] is None
    # a line that was dropped before does not condemn the page
    assert c4_reason(page("a { without an end mark")) is None
    assert c4_reason(page("lorem ipsum dolor")) is None
    # nor does a bracket in a line on javascript
    assert c4_reason(page("Enable javascript { for this page.")) is None
    assert c4_reason(page("Enable javascript lorem ipsum here.")) == "lorem_ipsum"


def test_words_are_counted_before_citations_are_cut():
    assert line_reason("Very [3] [4].") is None
    assert line_reason("Very [3] [4].", C4Limits(citations=False)) is None
    assert c4_clean(page("Very [3] [4]."))[0].splitlines()[0] == "Very  ."
    assert c4_clean(page("See [note]."))[0].splitlines()[0] == GOOD
    assert line_reason("This line ends here.[1]", C4Limits(citations=False)) == "no_end_mark"


def test_sentences_may_be_cut_otherwise():
    assert c4_reason(page(n_good=1), sentences=lambda line: line.split()) is None
    assert c4_reason(page(n_good=5), sentences=lambda line: []) == "few_sentences"


def test_bad_words():
    assert c4_clean(page(), bad_words=["line"]) == (None, "bad_word")
    assert c4_clean(page(), bad_words=["lin", "bad"])[1] is None
    assert has_bad_word("A Rude  word", ["rude"])
    assert has_bad_word("so very rude!", {"very rude"})
    assert not has_bad_word("crude", ["rude"])
    assert not has_bad_word("anything", [])
    assert has_bad_word("a.b", ["a.b"])
    assert not has_bad_word("axb", ["a.b"])
    with pytest.raises(ValueError, match="empty bad word"):
        has_bad_word("text", ["ok", " "])


def test_what_is_clean_stays_so():
    cleaned, _ = c4_clean(page("Too short.", "The last[1] one is here."))
    assert c4_clean(cleaned) == (cleaned, None)

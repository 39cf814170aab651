import collections
import random

import pytest

from minillm.data.toxicity import MATCHES, find_listed, fold, replace_listed, toxic_sentences
from minillm.data.toxicity_words import LISTED, UNLISTED


def found(text, **settings):
    return [text[s.start : s.end] for s in find_listed(text, **settings)]


def test_a_list_matches_inside_words_as_words_and_folded():
    text = "A snork with a snorkel is a SN0RK, two snorks, s-n-o-r-k, snooork."
    assert found(text, match="inside") == ["snork", "snork", "snork"]
    assert found(text, match="word") == ["snork", "snorks"]
    assert found(text, match="folded") == ["snork", "SN0RK", "snorks", "s-n-o-r-k", "snooork"]
    assert found("Snork!", match="word") == ["Snork"]
    assert found("a.b", words=["a.b"]) == ["a.b"]
    assert found("axb", words=["a.b"]) == []
    for words in (["snork", "snorkel"], ["snorkel", "snork"]):  # the longer word wins
        assert found("a snorkel", words=words, match="inside") == ["snorkel"]


def test_the_clbuttic_mistake():
    assert replace_listed("A classic book.", "butt", ["ass"], "inside") == "A clbuttic book."
    assert replace_listed("A classic book.", "butt", ["ass"], "word") == "A classic book."
    assert replace_listed("You snork.", "dear") == "You dear."


def test_fold_by_hand():
    assert fold("SN0RK")[0] == "snork"
    assert fold("s.n.o.r.k")[0] == "snork"
    assert fold("snooork")[0] == "snork"
    assert fold("10 books, too")[0] == "10 books, too"  # digits alone and double letters stay
    text, places = fold("a s-n-o!")
    assert "".join(text) == "asno!"  # single letters that stand together are joined: a known price
    assert places == [0, 2, 4, 6, 7]


def test_folding_ten_thousand_wild_texts_keeps_the_places():
    rng = random.Random(5)
    for _ in range(10_000):
        text = "".join(rng.choices("aoSsnorkİ013@! .-*\n", k=rng.randrange(12)))
        folded, places = fold(text)
        assert len(folded) == len(places)
        assert places == sorted(set(places))
        assert all(0 <= place < len(text) for place in places)
        assert all(0 <= s < e <= len(text) for s, e, _ in find_listed(text, match="folded"))


def test_sentences_are_balanced_repeatable_and_of_every_category():
    made = toxic_sentences(1, 400, "test")
    assert made == toxic_sentences(1, 400, "test") != toxic_sentences(2, 400, "test")
    assert sum(e.toxic for e in made) == 200
    counts = collections.Counter((e.toxic, e.category) for e in made)
    assert set(counts.values()) == {50}
    assert (True, "new insult") in counts
    assert "the group" not in {e.category for e in toxic_sentences(1, 99, leave_out=["the group"])}


def test_what_a_list_can_and_cannot_know():
    flags = collections.defaultdict(set)
    for text, _, category in toxic_sentences(1, 600, "test"):
        flags[category].add(bool(find_listed(text)))
    assert flags["insult"] == flags["quoted"] == {True}
    assert flags["no bad word"] == flags["plain"] == flags["new insult"] == {False}
    assert flags["inside a word"] == flags["the group"] == {False}


def test_train_and_test_share_no_sentence_and_no_new_insult():
    train = toxic_sentences(1, 1000)
    assert not {e.text for e in train} & {e.text for e in toxic_sentences(1, 1000, "test")}
    assert not any(word in e.text for e in train for word in UNLISTED)
    assert not set(LISTED) & set(UNLISTED)


def test_bad_arguments():
    with pytest.raises(ValueError, match="unknown way to match 'near', choose from inside"):
        find_listed("a", match="near")
    with pytest.raises(ValueError, match="list of words is empty"):
        find_listed("a", words=[])
    with pytest.raises(ValueError, match="unknown part 'dev'"):
        toxic_sentences(0, 1, "dev")
    with pytest.raises(ValueError, match="n must not be negative"):
        toxic_sentences(0, -1)
    every = ["plain", "inside a word", "quoted", "the group"]
    with pytest.raises(ValueError, match="leaves no toxic or no harmless"):
        toxic_sentences(0, 1, leave_out=every)
    assert len(MATCHES) == 3

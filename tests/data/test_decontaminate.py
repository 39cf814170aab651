"""Overlaps of 13 words between test items and training texts."""

import pytest

from minillm.data.decontaminate import clean_text, contaminated_items, ngrams, ngrams_of, overlaps

ITEM = "Which planet has the most moons of all those that go around our sun? Saturn."
WORDS = ITEM.split()


def filler(n, name="f"):
    return " ".join(f"{name}{i}" for i in range(n))


def test_ngrams_by_hand():
    assert ngrams("a b c d", 3) == {"a b c", "b c d"}
    assert ngrams("a b", 3) == set()
    assert ngrams("A, b!", 3, shorter=True) == {"a b"}
    assert ngrams("", 3, shorter=True) == set()
    assert len(ngrams(ITEM)) == len(WORDS) - 12 == 3
    assert ngrams_of(["a b c", "b c d"], 2) == {"a b", "b c", "c d"}
    assert ngrams_of([]) == set()


@pytest.mark.parametrize(("n_words", "found"), [(12, False), (13, True)])
def test_both_sides_of_thirteen(n_words, found):
    text = f"{filler(5)} {' '.join(WORDS[:n_words])} {filler(5, 'g')}"
    assert bool(overlaps(text, ngrams_of([ITEM]))) == found
    assert contaminated_items([ITEM], [text]) == [0] * found


def test_overlap_places():
    text = "So: WHICH planet has the most moons of all those that go around our sun?? Dunno."
    (first,) = overlaps(text, ngrams_of([" ".join(WORDS[:13])]))
    assert text[slice(*first)] == text[4 : text.index(" sun")]
    assert text[slice(*first)].startswith("WHICH planet")
    assert len(overlaps(text, ngrams_of([ITEM]))) == 2


def test_clean_text_cuts_a_window():
    before, after = filler(150), filler(150, "g")
    text = f"{before} {ITEM} {after}"
    cleaned = clean_text(text, ngrams_of([ITEM]))
    start, end = len(before) + 1, len(before) + 1 + len(ITEM)
    assert cleaned.pieces == [text[: start - 200], text[end + 200 :]]
    assert cleaned.n_matches == 3
    none = clean_text(text, ngrams_of([ITEM]), window=0, min_characters=0)
    assert none.pieces == [before + " ", " " + after]


def test_clean_text_drops_short_pieces():
    text = f"{filler(20)} {ITEM} {filler(150, 'g')}"
    assert len(filler(20)) < 200
    cleaned = clean_text(text, ngrams_of([ITEM]), window=10)
    assert len(cleaned.pieces) == 1
    assert cleaned.pieces[0].endswith("g149")
    assert len(clean_text(text, ngrams_of([ITEM]), window=10, min_characters=10).pieces) == 2
    exact = len(clean_text(text, ngrams_of([ITEM]), window=10, min_characters=0).pieces[0])
    for least, n in ((exact, 2), (exact + 1, 1)):
        cleaned = clean_text(text, ngrams_of([ITEM]), window=10, min_characters=least)
        assert len(cleaned.pieces) == n


@pytest.mark.parametrize(("n_items", "kept"), [(9, 10), (10, 0)])
def test_clean_text_drops_a_text_in_many_pieces(n_items, kept):
    parts = [filler(120, f"p{i}x") for i in range(n_items + 1)]
    text = f" {ITEM} ".join(parts)
    assert len(clean_text(text, ngrams_of([ITEM])).pieces) == kept


def test_clean_text_leaves_others_alone():
    for text in ("short", "", filler(500)):
        cleaned = clean_text(text, ngrams_of([ITEM]))
        assert cleaned.pieces == [text]
        assert cleaned.n_matches == 0


def test_case_accents_and_punctuation_do_not_hide_a_leak():
    text = f"x {ITEM.upper().replace(' ', ' - ').replace('A', 'Á')} y"
    assert contaminated_items([ITEM], [text]) == [0]


def test_contaminated_items():
    items = ["a b c", "nine words that stand together in no text here", ITEM, "d e"]
    texts = ["x a b c y", filler(30), f"{ITEM}", "e d"]
    assert contaminated_items(items, texts) == [0, 2]
    assert contaminated_items(items, texts, shorter=False) == [2]
    assert contaminated_items(items, [], 5) == []
    assert contaminated_items(["", "."], ["", "."]) == []
    assert contaminated_items([ITEM, ITEM], [ITEM]) == [0, 1]


def test_chinese():
    item = "女孩在河边丢了一把银色的钥匙"
    assert contaminated_items([item], [f"昨天，{item}，后来找到了。"]) == [0]
    assert contaminated_items([item], [f"昨天，{item[:12]}锁。"]) == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ngrams("a", 0), "got n=0"),
        (lambda: overlaps("a", set(), 0), "got n=0"),
        (lambda: contaminated_items(["a"], ["a"], 0), "got n=0"),
        (lambda: ngrams_of("a text"), r"write \[text\]"),
        (lambda: clean_text("a", set(), window=-1), "got -1, 200, 10"),
        (lambda: clean_text("a", set(), max_pieces=0), "got 200, 200, 0"),
    ],
)
def test_errors(call, said):
    with pytest.raises(ValueError, match=said):
        call()

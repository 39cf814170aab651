"""Variety: figures by hand, storyworld beside the harvest's prose, and (slow) beside real books."""

import json
from pathlib import Path

import pytest

import minillm
from minillm.data.storyworld import make_corpus, variety
from minillm.data.storyworld.variety import tokens

ROOT = Path(minillm.__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"


def test_tokens_are_words_and_single_characters():
    assert tokens("Mia's red key, 钥匙 3!") == ["mia's", "red", "key", "钥", "匙", "3"]


def test_variety_by_hand():
    found = variety(["a b c d e", "a b c d"])
    assert found.n_tokens == 9
    assert found.type_token == 5 / 9
    assert found.distinct_4 == 2 / 3  # abcd, bcde, abcd
    assert found.duplicates == 0
    assert variety(["a b", "a b", "c"]).duplicates == pytest.approx(1 / 3)
    assert variety(["a b"]).distinct_4 == 0


def test_variety_stops_at_max_tokens():
    found = variety(["a b c d e f", "a a a a"], max_tokens=8)
    assert found.n_tokens == 8
    assert variety(["a b c", "d"], max_tokens=3).n_tokens == 3
    assert variety(["a b c d e"], max_tokens=4).n_tokens == 4


def test_variety_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no words"):
        variety(["", "..."])


@pytest.mark.parametrize(("language", "least"), [("en", 0.45), ("zh", 0.36)])
def test_stories_are_varied_for_such_simple_grammar(language, least):
    found = variety(make_corpus(0, 900, language), max_tokens=100_000)
    print(f"\nstoryworld {language}: {found}")
    assert found.n_tokens == 100_000
    assert found.distinct_4 > least
    assert variety(["one and the same story of a girl"] * 20).distinct_4 < 0.06  # it can be low


def test_stories_beside_the_prose_of_the_harvest():
    from minillm.data.corpora import load_corpus

    prose = variety(load_corpus("prose", max_bytes=2_000_000).texts, max_tokens=100_000)
    story = variety(make_corpus(0, 900, "en"), max_tokens=100_000)
    print(f"\nharvest prose: {prose}\nstoryworld en: {story}")
    assert prose.distinct_4 > story.distinct_4  # said plainly: real prose is more varied


@pytest.mark.slow
def test_stories_beside_real_books():
    book = SHARED / "books-en" / "00011-alices-adventures-in-wonderland.txt"
    essays = SHARED / "luxun-zh.jsonl"
    if not (book.exists() and essays.exists()):
        pytest.skip("the real books are not beside this checkout (shared/data)")
    rows = [json.loads(row) for row in essays.read_text(encoding="utf-8").splitlines()]
    n = 25_000
    real = {
        "en": variety([book.read_text(encoding="utf-8")], max_tokens=n),
        "zh": variety([p for row in rows for p in row["paragraphs"]], max_tokens=n),
    }
    measured = {}
    for language, found in real.items():
        story = variety(make_corpus(0, 900, language), max_tokens=n)
        assert found.distinct_4 > story.distinct_4
        for name, v in (("book", found), ("storyworld", story)):
            measured[f"{name}_{language}_type_token"] = round(v.type_token, 4)
            measured[f"{name}_{language}_distinct_4"] = round(v.distinct_4, 4)
    folder = ROOT / "data" / "results" / "storyworld_variety"
    folder.mkdir(parents=True, exist_ok=True)
    job = {
        "config": {"max_tokens": n, "en": book.name, "zh": essays.name},
        "seed": 0,
        "measured": measured,
    }
    text = json.dumps(job, indent=2, ensure_ascii=False) + "\n"
    (folder / "books.json").write_text(text, encoding="utf-8")

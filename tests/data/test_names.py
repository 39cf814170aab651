import pytest

from minillm.data import load_corpus, parallel_names
from minillm.data.names import MINIMUM, as_text, from_text


@pytest.fixture(scope="module")
def names():
    return dict(from_text(text) for text in load_corpus("names", progress=False).texts)


def test_the_same_thing_in_many_languages(names):
    assert names["de"]["language fr"] == "Französisch"
    assert names["fr"]["territory DE"] == "Allemagne"
    assert names["zh"]["language zh"] == "中文"
    assert names["en"]["territory JP"] == "Japan"


def test_enough_languages_that_are_really_different(names):
    assert 120 <= len(names) <= 260  # the design counted 145, contracts ask for 20
    assert all(len(found) >= MINIMUM for found in names.values())
    assert not any("_" in code for code in names)
    texts = [tuple(found.values()) for code, found in names.items() if code != "no"]
    assert len(set(texts)) == len(texts)  # of Norwegian, CLDR's "no" is "nb" by another name
    assert not any(name in ("", key.split()[1]) for f in names.values() for key, name in f.items())


def test_the_text_is_read_back(names):
    for code in ("en", "zh", "ar"):
        assert from_text(as_text(code, names[code])) == (code, names[code])
    assert as_text("xx", {"language de": "a b", "territory CH": "c"}) == (
        "# xx\nlanguage de\ta b\nterritory CH\tc"
    )
    with pytest.raises(ValueError, match="begins with '# code', got 'abc'"):
        from_text("abc")


def test_a_minimum_keeps_fewer_languages(names):
    many, few = parallel_names(1), parallel_names(550)
    assert set(few) < set(names) < set(many)
    assert all(list(found) == sorted(found) for found in few.values())
    assert all(len(found) >= 550 for found in few.values())
    fewest = min(map(len, few.values()))
    assert set(parallel_names(fewest)) == set(few)  # just enough is enough
    assert list(few) == sorted(few)
    with pytest.raises(ValueError, match="minimum must be at least 1, got 0"):
        parallel_names(0)

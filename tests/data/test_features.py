"""Words and hashed n-grams: by hand, against a hash written out for one n-gram at a time."""

import hashlib
import random

import numpy as np
import pytest
import regex

from minillm.data.features import _WORD as WORD
from minillm.data.features import bag_of_ngrams, hashed_ngrams, ngrams_of, words

MASK = (1 << 64) - 1
FROZEN_WORDS = [70450, 149296, 233130, 61951, 114128]
FROZEN_CHARS = [161670, 79490, 36253, 213824]


def stirred(h):
    """SplitMix64's finaliser with Python's integers."""
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & MASK
    return h ^ (h >> 31)


def bucket_of(units, n_buckets):
    """The definition, for one n-gram: units are words, or single characters' code points."""
    h = len(units)
    for u in units:
        if isinstance(u, str):
            raw = u.encode("utf-8", "surrogatepass")
            u = int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little")
        h = stirred(h ^ u)
    return h % n_buckets


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("", []),
        (" \t\n\x1c\u3000", []),
        ("Mia's key", ["Mia", "'", "s", "key"]),
        ("don_t 3.5", ["don_t", "3", ".", "5"]),
        ("红色的key。", ["红", "色", "的", "key", "。"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),  # vowel signs stay in the word
        ("ひらがな漢字", ["ひらがな", "漢", "字"]),
        ("a\ud800b", ["a", "\ud800", "b"]),
        ("a\0b", ["a", "\0", "b"]),
        ("x" * 70 + " y", ["x" * 70, "y"]),
    ],
)
def test_words_by_hand(text, cut):
    assert words(text) == cut


def test_the_fast_path_of_words_is_the_same_on_ascii():
    draw = random.Random(3)
    for _ in range(500):
        text = "".join(chr(draw.randrange(128)) for _ in range(draw.randrange(30)))
        assert words(text) == WORD.findall(text)


def test_words_lose_nothing_but_space():
    draw = random.Random(4)
    for _ in range(500):
        text = "".join(
            chr(draw.choice((draw.randrange(0x250), draw.randrange(0x110000)))) for _ in range(20)
        )
        assert "".join(words(text)) == regex.sub(r"[\s\x1c-\x1f]", "", text)


def test_ngrams_by_hand():
    assert ngrams_of("a red key", (1, 2), "word") == ["a", "red", "key", "a red", "red key"]
    assert ngrams_of(" ab \n c ", (2,), "char") == [" a", "ab", "b ", " c", "c "]
    assert ngrams_of("a", (2, 3), "word") == []
    assert ngrams_of("", (1, 2), "char") == []


@pytest.mark.parametrize("text", ["a red key and a red box", "红 key \ud800", "", "a", "w" * 100])
@pytest.mark.parametrize("n_buckets", [7, 1 << 18, (1 << 18) + 3])
def test_every_bucket_is_the_definition(text, n_buckets):
    cut = words(text)
    want = [bucket_of(cut[i : i + n], n_buckets) for n in (1, 2) for i in range(len(cut) - n + 1)]
    assert hashed_ngrams(text, (1, 2), "word", n_buckets).tolist() == want
    spaced = f" {' '.join(text.split())} " if text.split() else ""
    codes = [ord(c) for c in spaced]
    want = [
        bucket_of(codes[i : i + n], n_buckets) for n in (3, 1) for i in range(len(codes) - n + 1)
    ]
    assert hashed_ngrams(text, (3, 1), "char", n_buckets).tolist() == want
    assert len(want) == len(ngrams_of(text, (3, 1), "char"))


def test_the_hash_is_frozen():
    # written down once: another machine, process or version has to find the same
    assert hashed_ngrams("a red key", (1, 2), "word", 1 << 18).tolist() == FROZEN_WORDS
    assert hashed_ngrams("key", (2,), "char", 1 << 18).tolist() == FROZEN_CHARS


def test_order_and_length_of_an_ngram_change_its_bucket():
    one, two = (hashed_ngrams(t, (2,), "word", 1 << 40)[0] for t in ("red key", "key red"))
    assert one != two
    assert hashed_ngrams("a", (1,), "word", 1 << 40)[0] not in hashed_ngrams(
        "a", (1,), "char", 1 << 40
    )


def test_buckets_fill_evenly():
    n, n_buckets = 40_000, 512
    text = " ".join(f"w{i}" for i in range(n))
    counts = np.bincount(hashed_ngrams(text, (1,), "word", n_buckets), minlength=n_buckets)
    chi2 = ((counts - n / n_buckets) ** 2 / (n / n_buckets)).sum()
    assert abs(chi2 - 511) < 5 * np.sqrt(2 * 511)  # mean 511, spread sqrt(2 * 511) if even


def test_a_bag_has_length_one_and_the_shares_of_the_counts():
    buckets, x = bag_of_ngrams("key key box", (1,), "word", 1 << 30)
    by_bucket = dict(zip(buckets.tolist(), x, strict=True))
    key, box = (bucket_of([w], 1 << 30) for w in ("key", "box"))
    assert by_bucket == {key: pytest.approx((2 / 3) ** 0.5), box: pytest.approx((1 / 3) ** 0.5)}
    assert sorted(by_bucket) == buckets.tolist()
    empty = bag_of_ngrams("", (1,), "word", 8)
    assert [len(a) for a in empty] == [0, 0]


def test_an_unknown_unit_is_refused():
    for function in (
        lambda: hashed_ngrams("a", (1,), "byte", 8),
        lambda: ngrams_of("a", (1,), "byte"),
    ):
        with pytest.raises(ValueError, match="'byte'"):
            function()

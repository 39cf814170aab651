import itertools
import math
import random
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Theirs
from tokenizers import decoders, models

from minillm.tokenizer.byte_fallback import BYTE_PIECES, join_pieces, to_byte_pieces
from minillm.tokenizer.normalise import changed_characters, merged_by, normalise
from minillm.tokenizer.unigram import Unigram, marked

LETTERS = "abé今"
TINY = [("<unk>", 0.0), ("a", -2.0), ("b", -2.5), ("ab", -3.0), ("ba", -4.0), ("aba", -6.9)]
BYTES = [(piece, 0.0) for piece in BYTE_PIECES]


def cuts(text):
    """All ways to cut a text."""
    for bits in itertools.product((0, 1), repeat=max(0, len(text) - 1)):
        pieces = [""]
        for character, cut in zip(text, (0, *bits), strict=False):
            if cut:
                pieces.append("")
            pieces[-1] += character
        yield pieces if text else []


def brute(text, pieces):
    scores = dict(pieces[1:])
    found = [(c, sum(scores[p] for p in c)) for c in cuts(text) if all(p in scores for p in c)]
    return sorted(found, key=lambda pair: -pair[1])


def random_pieces(draw):
    texts = {
        "".join(draw.choices(LETTERS, k=draw.randint(1, 4))) for _ in range(draw.randint(2, 30))
    }
    return [("<unk>", 0.0), *((t, -draw.uniform(0.5, 9)) for t in sorted(texts))]


def test_by_hand():
    u = Unigram(TINY)
    assert u.best("abab") == (["ab", "ab"], -6.0)  # 4 nats cheaper than letters
    assert u.best("aba") == (["ab", "a"], -5.0)
    assert u.best("") == ([], 0.0)
    assert u.best("axxb")[0] == ["a", "xx", "b"]  # a run of unknown characters is one token
    assert u.best("axxb")[1] == pytest.approx(-2.0 - 2 * 16.9 - 2.5)
    assert u.encode("axxb") == [1, 0, 2]
    assert u.decode([1, 0, 2]) == "a\ufffdb"


def test_best_and_n_best_are_those_of_brute_force():
    draw = random.Random(1)
    for _ in range(40):
        pieces = [*random_pieces(draw), *((c, -9.5) for c in LETTERS)]
        pieces = list({p: (p, s) for p, s in pieces}.values())
        u = Unigram(pieces)
        text = "".join(draw.choices(LETTERS, k=draw.randint(1, 8)))
        want = brute(text, pieces)
        assert u.best(text)[1] == pytest.approx(want[0][1], abs=1e-12)
        got = u.n_best(text, 5)
        assert [s for _, s in got] == pytest.approx([s for _, s in want[:5]], abs=1e-12)
        assert all("".join(c) == text for c, _ in got)
        assert len({tuple(c) for c, _ in got}) == len(got)
        total = math.log(sum(math.exp(s) for _, s in want))
        assert u.log_sums(text)[-1] == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize("fallback", [False, True])
def test_encoding_is_that_of_tokenizers(fallback):
    draw = random.Random(2)
    unknown = 0
    for _ in range(40):
        pieces = random_pieces(draw)
        pieces = pieces[:1] + BYTES * fallback + pieces[1:]
        ours = Unigram(pieces, byte_fallback=fallback)
        theirs = Theirs(models.Unigram(pieces, 0, byte_fallback=fallback))
        for _ in range(60):
            text = "".join(draw.choices(LETTERS + " x", k=draw.randint(0, 16)))
            ids = ours.encode(text)
            assert ids == theirs.encode(text).ids, text
            unknown += 0 in ids
            if fallback:
                assert ours.decode(ids) == text
    assert unknown == 0 if fallback else unknown > 500


def test_sampling_follows_the_probabilities():
    u, rng = Unigram(TINY), random.Random(3)
    n = 4000
    for alpha in (0.0, 1.0):
        found = Counter(tuple(u.sample("abab", alpha, rng)) for _ in range(n))
        want = {tuple(c): math.exp(alpha * s) for c, s in brute("abab", TINY)}
        total = sum(want.values())
        assert set(found) <= set(want)
        for cut, weight in want.items():
            p = weight / total
            assert abs(found[cut] / n - p) < 4.5 * math.sqrt(p * (1 - p) / n)
    with pytest.raises(ValueError, match="alpha must be finite and not negative, got -1"):
        u.sample("a", -1, rng)


@given(st.text(max_size=40))
def test_round_trip_with_byte_fallback(text):
    u = Unigram(
        [("<unk>", 0.0), *BYTES, ("a", -1.0), (" a", -2.0), ("今", -3.0)], byte_fallback=True
    )
    for t in (text, f"<unk>{text}<0x41>"):  # what looks like a piece is text all the same
        assert u.decode(u.encode(t)) == t
        assert 0 not in u.encode(t)


def test_hard_inputs():
    pieces = [("<unk>", 0.0), *BYTES, ("a", -1.0), ("aaaa", -2.0)]
    u = Unigram(pieces, byte_fallback=True)
    assert u.decode(u.encode("\ud800a\0")) == "\ufffda\0"
    assert len(u.encode("a" * 400_000)) == 100_000
    assert u.tokens("𠮷") == ["<0xF0>", "<0xA0>", "<0xAE>", "<0xB7>"]


def test_errors():
    for pieces, message in (
        ([("<unk>", 0.0), ("a", 0.0), ("a", 1.0)], "see 'a'"),
        ([("<unk>", 0.0), ("a", -math.inf)], "log-probability of 'a' must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            Unigram(pieces)
    with pytest.raises(ValueError, match="unknown must be an id, 0 to 5; got 6"):
        Unigram(TINY, 6)
    with pytest.raises(ValueError, match="needs 256 byte pieces; <0x00> is lacking"):
        Unigram(TINY, byte_fallback=True)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        Unigram(TINY).n_best("a", 0)
    with pytest.raises(ValueError, match="id 6 is not in this vocabulary"):
        Unigram(TINY).decode([6])


def test_byte_pieces():
    theirs = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    for text in ("é", "a今b", "𠮷\0"):
        pieces = ["x", *to_byte_pieces(text), "y"]
        assert join_pieces(pieces) == theirs.decode(pieces) == f"x{text}y"
    assert join_pieces(["<0xC3>", "a", "<0xC3>", "<0xA9>"]) == "\ufffdaé"
    assert marked(" a b") == "▁a▁b"


def test_normal_forms():
    assert normalise("2² ﬁ e\u0301", "NFKC") == "22 fi é"
    assert normalise("2² ﬁ e\u0301", "NFC") == "2² ﬁ é"
    assert normalise("²", "none") == "²"
    twos = merged_by("NFKC")["2"]
    assert {"2", "²", "₂", "②", "２"} <= set(twos)
    assert all(unicodedata.normalize("NFKC", c) == "2" for c in twos)
    assert merged_by("none") == {}
    assert changed_characters(["2² x²"], "NFKC") == {"²": 2}
    with pytest.raises(ValueError, match="form must be one of none, NFC"):
        normalise("a", "NFX")

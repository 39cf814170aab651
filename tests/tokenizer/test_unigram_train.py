import itertools
import math
import random

import numpy as np
import pytest
from scipy import special

from minillm.tokenizer.unigram import Unigram
from minillm.tokenizer.unigram_fast import Lattice
from minillm.tokenizer.unigram_prune import best_without, largest, pruning_losses
from minillm.tokenizer.unigram_train import (
    covered_words,
    digamma,
    em_step,
    expected_counts,
    seed_pieces,
    train_unigram,
)

WORDS = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}


def brute_counts(words, scores):
    counts, likelihood = dict.fromkeys(scores, 0.0), 0.0
    for word, times in words.items():
        found = []
        for n in range(len(word)):
            for places in itertools.combinations(range(1, len(word)), n):
                at = [0, *places, len(word)]
                cut = [word[i:j] for i, j in itertools.pairwise(at)]
                if all(p in scores for p in cut):
                    found.append((cut, math.exp(sum(scores[p] for p in cut))))
        total = sum(p for _, p in found)
        likelihood += times * math.log(total)
        for cut, p in found:
            for piece in cut:
                counts[piece] += times * p / total
    return counts, likelihood


@pytest.mark.parametrize("seed", range(5))
def test_expectation_is_that_of_all_cuts(seed):
    draw = random.Random(seed)
    words = {
        "".join(draw.choices("abc", k=draw.randint(1, 7))): draw.randint(1, 9) for _ in "12345"
    }
    scores = {p: -draw.uniform(0.5, 6) for p in seed_pieces(words, 50)}
    want, want_likelihood = brute_counts(words, scores)
    got, likelihood = expected_counts(words, scores)
    lattice = Lattice(words, scores)
    fast, fast_likelihood = lattice.expected_counts()
    assert likelihood == pytest.approx(want_likelihood, rel=1e-12)
    assert fast_likelihood == pytest.approx(want_likelihood, rel=1e-12)
    for i, piece in enumerate(lattice.pieces):
        assert got[piece] == pytest.approx(want[piece], abs=1e-10)
        assert fast[i] == pytest.approx(want[piece], abs=1e-10)


def test_the_likelihood_never_falls():
    scores, before = seed_pieces(WORDS, 100), -math.inf
    first = expected_counts(WORDS, scores)[1]
    for _ in range(12):
        scores, likelihood = em_step(WORDS, scores)
        assert likelihood >= before - 1e-9
        before = likelihood
        assert sum(map(math.exp, scores.values())) == pytest.approx(1)
    assert before > first + 1


def test_best_counts_and_keeping():
    lattice = Lattice({"abab": 3, "ba": 2}, {"a": -2.0, "b": -2.5, "ab": -3.0, "ba": -5.0})
    assert lattice.best_counts().tolist() == [2, 2, 6, 0]
    smaller = lattice.keeping(np.array([True, True, False, True]))
    assert smaller.pieces == ["a", "b", "ba"]
    want = expected_counts({"abab": 3, "ba": 2}, {"a": -2.0, "b": -2.5, "ba": -5.0})
    got = smaller.expected_counts()
    assert got[1] == pytest.approx(want[1])
    assert got[0].tolist() == pytest.approx(list(want[0].values()))
    with pytest.raises(ValueError, match="the character 'a' must stay"):
        lattice.keeping(np.array([False, True, True, True]))


def test_among_equal_cuts_the_one_with_the_longest_last_piece_counts():
    scores = {"a": -1.0, "aa": -2.0}  # a + aa, aa + a and a + a + a cost the same
    assert Lattice({"aaa": 5}, scores).best_counts().tolist() == [5, 5]
    assert Unigram([("<unk>", 0.0), *scores.items()]).best("aaa") == (["a", "aa"], -3.0)


def test_losses_by_hand():
    scores = {"a": -2.0, "b": -2.5, "ab": -3.0, "ba": -5.0}
    losses = pruning_losses(Lattice({"abab": 3, "ba": 2}, scores))
    assert losses[:2].tolist() == [math.inf, math.inf]
    assert losses[3] == 0  # never used
    want = 6 * (math.log(6 / 10) - 2 * math.log((2 + 6) / (10 + 6)))
    assert losses[2] == pytest.approx(want)
    assert best_without("ab", scores) == ["a", "b"]
    assert best_without("abb", scores) == ["ab", "b"]
    assert largest(np.array([1.0, 3.0, 2.0, 3.0]), 2).tolist() == [False, True, False, True]


def test_digamma():
    x = np.array([0.5, 1, 2.5, 9.9, 10, 1e6])
    assert digamma(x) == pytest.approx(special.digamma(x), rel=1e-9)


def test_seeds():
    seeds = seed_pieces({"goodness": 4, "go": 3}, 99)
    assert set(seeds) == {*"godnes", "go", "goodness"}  # "oodnes" is only a part of "goodness"
    assert sum(map(math.exp, seeds.values())) == pytest.approx(1)
    assert set(seed_pieces({"goodness": 4, "go": 3}, 7)) == {*"godnes", "goodness"}


def test_coverage():
    words, covered = covered_words(["aaaa bbb xy"], "gpt2", 0.6)
    assert covered == ["a", "b"]
    assert words["aaaa"] == 1
    assert all(set(w) <= set("ab") for w in words)
    assert covered_words(["aaab"], "none", 0.75)[1] == ["a"]  # three of four are just enough
    assert covered_words(["aaab"], "none", 0.76)[1] == ["a", "b"]


def test_trained_vocabulary():
    text = ["hug pug pun hugs bun "] * 20
    u = train_unigram(text, 20)
    assert len(u.pieces) <= 20
    assert sum(math.exp(s) for _, s in u.pieces[1:]) == pytest.approx(1)
    assert u.decode(u.encode(text[0])) == text[0]
    assert len(u.encode(text[0])) < len(text[0])
    f = train_unigram(text, 280, byte_fallback=True, coverage=0.9, pattern="llama")
    assert f.decode(f.encode("𠮷 12")) == "𠮷 12"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coverage": 0}, r"coverage must be in \(0, 1\], got 0"),
        ({"m_step": "map"}, "m_step must be 'digamma' or 'ml', got 'map'"),
        ({"n_seeds": 0}, "n_seeds 0"),
        ({"vocab_size": 2}, "vocab_size must be at least 4"),
        ({"source": [""]}, "no text to train on"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        train_unigram(**({"source": ["abc"], "vocab_size": 9} | arguments))


def test_words_that_cannot_be_spelled():
    with pytest.raises(ValueError, match="cannot spell 'ab'"):
        expected_counts({"ab": 1}, {"a": -1.0})
    with pytest.raises(ValueError, match="cannot spell 'ab'"):
        Lattice({"ab": 1}, {"a": -1.0})

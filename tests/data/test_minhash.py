"""MinHash: the definition, its compiled twin, and its collision rate against Jaccard."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.data import minhash_compiled as fast
from minillm.data.minhash import (
    EMPTY,
    estimate,
    hash64,
    hash_functions,
    signature,
    signatures,
    standard_error,
)
from minillm.data.shingles import jaccard, normalise, shingles

GOLDEN = [0x1D26DC0C, 0x1219B2A0, 0x2A9A4930]
TEXT = "the quick brown fox jumps over the lazy dog"


def pair_with(shared, alone):
    """Two sets with J = shared / (shared + 2 alone)."""
    both = {f"s{i}" for i in range(shared)}
    return both | {f"a{i}" for i in range(alone)}, both | {f"b{i}" for i in range(alone)}


def test_fnv_published_values():
    """FNV-1a of single words, by the definition of hash64, against its published test values."""
    from minillm.data.minhash import M64, MIX_1, mix

    for word, fnv in ((b"", 0xCBF29CE484222325), (b"a", 0xAF63DC4C8601EC8C),
                      (b"foobar", 0x85944171F73967E8)):  # fmt: skip
        h = (fnv * MIX_1) & M64
        assert hash64(word) == mix(h ^ (h >> 32))


def test_mix_is_splitmix64():
    """The first three numbers of SplitMix64 with seed 1234567, as published by Vigna."""
    from minillm.data.minhash import GOLDEN as step
    from minillm.data.minhash import M64, mix

    wanted = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [mix((1234567 + i * step) & M64) for i in (1, 2, 3)] == wanted


def test_hash_is_spread_evenly():
    low = np.array([hash64(f"w{i} w{i + 1}".encode()) for i in range(4000)], np.uint64)
    bits = (low[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    shares = bits.mean(axis=0)
    assert abs(shares - 0.5).max() < 4.5 * 0.5 / np.sqrt(4000)
    assert len(set(low.tolist())) == 4000


def test_order_of_words_matters():
    assert hash64(b"a b") != hash64(b"b a")
    assert hash64(b"ab") != hash64(b"a b")


def test_signature_is_the_same_in_every_process():
    code = (
        "from minillm.data.minhash import signature;"
        f"print(signature({TEXT.split()!r}, 3, seed=7).tolist())"
    )
    for seed in ("0", "1"):
        env = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        assert done.stdout.strip() == str(GOLDEN)
    assert signature(TEXT.split(), 3, seed=7).tolist() == GOLDEN


def test_signature_by_hand():
    a, b = hash_functions(2, 5)
    x, y = hash64(b"one") >> 32, hash64(b"two") >> 32
    rows = [((int(a[i]) * v + int(b[i])) % 2**64) // 2**32 for i in (0, 1) for v in (x, y)]
    assert signature(["one", "two"], 2, 5).tolist() == [min(rows[:2]), min(rows[2:])]


def test_signature_of_a_set():
    assert (signature(["x", "y", "x"], 8) == signature({"y", "x"}, 8)).all()
    assert (signature([], 4) == EMPTY).all()
    assert (signature(["x"], 8, seed=0) != signature(["x"], 8, seed=1)).any()
    assert (signature(["x"], 16)[:8] != signature(["x"], 16)[8:]).any()


def test_signature_of_a_union_is_the_minimum():
    a, b = pair_with(5, 7)
    assert (signature(a | b, 32) == np.minimum(signature(a, 32), signature(b, 32))).all()


@pytest.mark.parametrize(
    ("shared", "alone"), [(10, 95), (30, 35), (50, 25), (80, 10), (95, 3), (0, 50), (60, 0)]
)
def test_collision_rate_is_jaccard(shared, alone):
    """Over 4 000 hash functions, within four standard errors of the theory."""
    a, b = pair_with(shared, alone)
    j = shared / (shared + 2 * alone)
    assert jaccard(a, b) == j
    seen = estimate(signature(a, 4000, seed=3), signature(b, 4000, seed=3))
    assert abs(seen - j) <= 4 * standard_error(j, 4000)


def test_collision_test_would_notice_a_bias():
    """Minima of the hashes themselves, with one function repeated, are far outside."""
    a, b = pair_with(50, 25)
    once = signature(a, 1)[0] == signature(b, 1)[0]
    assert abs(float(once) - 0.5) > 4 * standard_error(0.5, 4000)


def test_spread_of_the_estimate():
    """Mean and spread over 60 seeds are those of 128 coin tosses."""
    a, b = pair_with(40, 20)  # J = 1/2
    seen = [estimate(signature(a, 128, s), signature(b, 128, s)) for s in range(60)]
    error = standard_error(0.5, 128)
    assert abs(np.mean(seen) - 0.5) < 4 * error / np.sqrt(60)
    assert 0.6 * error < np.std(seen) < 1.4 * error


def test_every_element_is_smallest_equally_often():
    """What the proof rests on, for one small set: chi-square over 12 elements."""
    hashed = [hash64(f"e{i}".encode()) >> 32 for i in range(12)]
    a, b = hash_functions(6000, 11)
    values = (a[:, None] * np.array(hashed, np.uint64) + b[:, None]) >> np.uint64(32)
    counts = np.bincount(values.argmin(axis=1), minlength=12)
    chi2 = ((counts - 500) ** 2 / 500).sum()
    assert chi2 < 31.3  # 0.999 quantile with 11 degrees of freedom


words = st.lists(st.sampled_from(["a", "bb", "ccc", "词", "é", "x1"]), max_size=12).map(" ".join)


@given(st.lists(words, max_size=6), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_compiled_equals_definition(texts, n):
    hashes, starts = fast.shingle_hashes([normalise(t) for t in texts], n)
    for i, text in enumerate(texts):
        wanted = {hash64(s.encode()) for s in shingles(text, n)}
        assert set(hashes[starts[i] : starts[i + 1]].tolist()) == wanted
    slow = signatures(texts, 6, n, engine="python")
    assert slow.shape == (len(texts), 6)
    assert (signatures(texts, 6, n) == slow).all()


def test_compiled_on_running_text():
    texts = [f"{TEXT} {i} {TEXT[i:]}" * (i + 1) for i in range(12)] + [
        "",
        "ONE",
        "词表。",
        "\ud800",
    ]
    assert (signatures(texts, 20, 5) == signatures(texts, 20, 5, engine="python")).all()
    assert (signatures(texts, 8, 5, seed=1) != signatures(texts, 8, 5)).any()


def test_element_hashes():
    elements = ["", "a", "a b", "词 表", "a  b"]
    assert fast.element_hashes(elements).tolist() == [hash64(e.encode()) for e in elements]
    assert fast.element_hashes([]).tolist() == []


def test_similarities_are_exact():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abc"), rng.integers(0, 30))) for _ in range(30)]
    sets = fast.distinct(*fast.shingle_hashes(texts, 2))
    pairs = np.array([(i, j) for j in range(30) for i in range(j)])
    wanted = [jaccard(shingles(texts[i], 2), shingles(texts[j], 2)) for i, j in pairs]
    assert fast.similarities(*sets, pairs).tolist() == wanted
    assert 0 < min(w for w in wanted if w) < 0.5 < max(wanted)


def test_agrees_with_datasketch():
    """Another program estimates the same similarities, within both errors."""
    datasketch = pytest.importorskip("datasketch")
    for shared, alone in ((90, 5), (50, 25), (20, 40)):
        a, b = pair_with(shared, alone)
        theirs = []
        for elements in (a, b):
            m = datasketch.MinHash(num_perm=1024, seed=2)
            m.update_batch([e.encode() for e in elements])
            theirs.append(m)
        j = jaccard(a, b)
        ours = estimate(signature(a, 1024), signature(b, 1024))
        assert abs(ours - theirs[0].jaccard(theirs[1])) < 4 * np.sqrt(2) * standard_error(j, 1024)


def test_errors():
    with pytest.raises(ValueError, match="n_hashes=0"):
        signature(["a"], 0)
    with pytest.raises(ValueError, match="got n=0"):
        signatures(["a"], 4, 0)
    with pytest.raises(ValueError, match="'rust'"):
        signatures(["a"], engine="rust")
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(4,\)"):
        estimate(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match=r"1\.5"):
        standard_error(1.5, 10)
    with pytest.raises(ValueError, match="n_hashes must be at least 1"):
        standard_error(0.5, 0)
    assert standard_error(0.5, 100) == 0.05

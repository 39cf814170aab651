"""Extending a vocabulary: old ids stay, new tokens join whole old ones, rows begin as named."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.data.storyworld import make_corpus
from minillm.tokenizer import Tokenizer, course_tokenizer, pretokens, train_bpe
from minillm.tokenizer.extend import KINDS, InitialRows, add_pieces, extend

BYTES = {i: bytes([i]) for i in range(256)}
END = "<|end|>"


@pytest.fixture(scope="module")
def english() -> Tokenizer:
    return Tokenizer(*train_bpe(make_corpus(0, 40, "en"), 400, [END]), [END])


@pytest.fixture(scope="module")
def chinese() -> list[str]:
    return make_corpus(1, 40, "zh")


@pytest.fixture(scope="module")
def extended(english, chinese) -> tuple[Tokenizer, InitialRows]:
    return extend(english, chinese, 200, max_token_bytes=15)


def learned_slowly(tokenizer: Tokenizer, texts: list[str], n_new: int) -> list[tuple]:
    """The definition: all pairs counted anew at every step."""
    words = Counter(
        tuple(tokenizer.vocab[i] for i in tokenizer.encode(word))
        for text in texts
        for word in pretokens(text)
    )
    taken, merges = set(tokenizer.vocab.values()), []
    while len(merges) < n_new:
        counts = Counter()
        for word, n in words.items():
            for a, b in pairwise(word):
                if a + b not in taken:
                    counts[a, b] += n
        if not counts:
            break
        best = max(counts, key=lambda p: (counts[p], p))
        merges.append(best)
        taken.add(best[0] + best[1])
        joined = Counter()
        for word, n in words.items():
            out = []
            for token in word:
                if out and (out[-1], token) == best:
                    out[-1] = best[0] + best[1]
                else:
                    out.append(token)
            joined[tuple(out)] += n
        words = joined
    return merges


def test_by_hand():
    old = Tokenizer(BYTES | {256: b"aa"}, [(b"a", b"a")], [END])
    new, rows = extend(old, ["aaab", "aaab"], 2)
    # old cuts aa|a|b; (aa, a) and (a, b) occur twice each, and (aa, a) is the greater pair
    assert new.merges == [(b"a", b"a"), (b"aa", b"a"), (b"aaa", b"b")]
    assert new.vocab[258] == b"aaa"
    assert new.vocab[259] == b"aaab"
    assert new.special_id(END) == old.special_id(END) == 257
    assert rows.n_old == 258
    assert dict(rows.parts) == {258: (256, 97), 259: (256, 97, 98)}
    assert new.encode("aaab") == [259]
    assert old.encode("aaab") == [256, 97, 98]  # the old one is as it was


def test_going_on_equals_training_at_once():
    texts = make_corpus(2, 60, "en")
    at_once = train_bpe(texts, 500)[1]
    new, _ = extend(Tokenizer(*train_bpe(texts, 300)), texts, 200)
    assert len({a + b for a, b in at_once}) == len(at_once)  # else the two may differ
    assert new.merges == at_once


def test_equals_the_slow_definition(english, chinese):
    fast = extend(english, chinese[:8], 60)[0].merges[len(english.merges) :]
    assert fast == learned_slowly(english, chinese[:8], 60)
    mixed = ["abcabc bcd abc", "bc bc ab abcd"]
    tiny = Tokenizer(*train_bpe(["ab ab bc"], 258))
    assert extend(tiny, mixed, 50)[0].merges[2:] == learned_slowly(tiny, mixed, 50)


def test_old_ids_stay(english, extended):
    new, rows = extended
    assert {i: new.vocab[i] for i in english.vocab} == english.vocab
    assert new.special_tokens == english.special_tokens
    assert new.special_id(END) == english.special_id(END)
    assert sorted(rows.parts) == list(range(english.n_vocab, new.n_vocab))
    assert len(rows) == 200
    assert rows.n_old == english.n_vocab
    assert all(max(parts) < rows.n_old and len(parts) > 1 for parts in rows.parts.values())


@settings(max_examples=150, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("女孩丢了钥匙。今天the lost key, \n1"), max_size=40))
def test_new_tokens_join_whole_old_ones(english, extended, text):
    new, rows = extended
    apart = [part for i in new.encode(text) for part in rows.parts.get(i, (i,))]
    assert apart == english.encode(text)
    assert new.decode(new.encode(text)) == text


def test_the_property_can_fail(english, chinese, extended):
    other = Tokenizer(*train_bpe(chinese, 600))  # not an extension: it cuts English its own way
    assert any(other.encode(t) != english.encode(t) for t in ("the key", "lost"))
    new, _ = extended
    assert len(new.encode(chinese[0])) < 0.7 * len(english.encode(chinese[0]))


def test_english_stays_as_it_was(english, extended):
    for text in make_corpus(3, 5, "en"):
        assert extended[0].encode(text) == english.encode(text)


def test_the_parts_spell_the_token(english, extended):
    new, rows = extended
    for i, parts in rows.parts.items():
        assert b"".join(english.vocab[p] for p in parts) == new.vocab[i]


def test_max_token_bytes(english, chinese):
    free, rows = extend(english, chinese, 150)
    short, short_rows = extend(english, chinese, 150, max_token_bytes=6)
    assert max(len(free.vocab[i]) for i in rows.parts) > 6
    assert max(len(short.vocab[i]) for i in short_rows.parts) == 6


def test_text_that_runs_out_of_pairs():
    new, rows = extend(Tokenizer(BYTES, []), ["ab"], 10)
    assert new.merges == [(b"a", b"b")]
    assert len(rows) == 1
    same, none = extend(Tokenizer(BYTES, []), ["a"], 10)
    assert same.n_vocab == 256
    assert len(none) == 0
    assert none.of(np.ones((256, 3))).shape == (0, 3)


def test_nothing_merges_with_a_special_token(english):
    new, _ = extend(english, [f"aé{END}éa"] * 5, 20)
    tokens = [new.vocab[i] for i in range(english.n_vocab, new.n_vocab)]
    assert tokens
    assert not any(b"<" in t or b"|" in t for t in tokens)


def test_a_result_that_is_an_entry_is_passed_over():
    old = Tokenizer(BYTES | {256: b"bc", 257: b"abc"}, [(b"b", b"c"), (b"a", b"bc")])
    new, rows = extend(old, ["ab ab ab", "abc"], 3)
    spelled = [new.vocab[i] for i in rows.parts]
    assert len(set(new.vocab.values())) == len(new.vocab)
    assert b"ab" in spelled
    assert b"abc" not in spelled


def test_add_pieces_by_hand():
    old = Tokenizer(BYTES, [])
    new, rows = add_pieces(old, ["今", "今天", "今"])
    e4, bb, b8a = "今".encode()
    assert new.merges[:2] == [(bytes([e4]), bytes([bb])), (bytes([e4, bb]), bytes([b8a]))]
    assert len(rows) == 5
    assert new.encode("今天") == [260]
    assert rows.parts[260] == tuple("今天".encode())
    assert [new.vocab[i] for i in new.encode("今日")] == ["今".encode(), *(
        bytes([b]) for b in "日".encode())]  # fmt: skip


def test_every_added_piece_is_one_token():
    course = course_tokenizer()
    pieces = ["龘", "蜻蜓", " platypus", "龘龘", "aaaa", "麒麟", "abab"]
    new, rows = add_pieces(course, pieces)
    for piece in pieces:
        assert len(new.encode(piece)) == 1
    assert len(course.encode("蜻蜓")) > 1  # ... and was not before
    text = "蜻蜓 and a platypus 龘"
    apart = [p for i in new.encode(text) for p in rows.parts.get(i, (i,))]
    assert apart == course.encode(text)


def test_add_pieces_that_are_there_already():
    course = course_tokenizer()
    new, rows = add_pieces(course, [" the", "a"])
    assert len(rows) == 0
    assert new.vocab == course.vocab


@pytest.mark.parametrize("piece", ["", "to be", "a1"])
def test_a_piece_that_is_cut(piece):
    with pytest.raises(ValueError, match="not one pre-token"):
        add_pieces(Tokenizer(BYTES, []), [piece])


def test_a_piece_with_the_name_of_a_special_token():
    old = Tokenizer(BYTES, [], ["ab"])
    with pytest.raises(ValueError, match="'ab' cannot be added"):
        add_pieces(old, ["ab"])


def test_rows_by_hand():
    table = np.array([[1.0, 0.0], [3.0, 4.0], [5.0, 2.0], [99.0, 99.0]])  # the last is padding
    rows = InitialRows(3, {3: (0, 1), 4: (0, 1, 1)})
    np.testing.assert_allclose(rows.of(table), [[2, 2], [7 / 3, 8 / 3]])
    np.testing.assert_allclose(rows.of(table, "average"), [[3, 2], [3, 2]])
    np.testing.assert_array_equal(rows.of(table, "zero"), np.zeros((2, 2)))
    assert rows.of(table.astype(np.float32)).dtype == np.float32


def test_random_rows_have_the_spread_of_the_old():
    table = np.random.default_rng(0).normal(0.5, 2.0, (400, 50))
    rows = InitialRows(300, dict.fromkeys(range(300, 800), (0, 1)))
    drawn = rows.of(table, "random", seed=1)
    assert abs(drawn.mean() - table[:300].mean()) < 0.05
    assert drawn.std() / table[:300].std() == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(drawn, rows.of(table, "random", seed=1))
    assert not np.array_equal(drawn, rows.of(table, "random", seed=2))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_kind_fit(extended, kind):
    new, rows = extended
    table = np.random.default_rng(0).normal(size=(512, 8)).astype(np.float32)
    made = rows.of(table, kind)
    assert made.shape == (len(rows), 8)
    assert made.dtype == np.float32
    assert np.isfinite(made).all()
    assert len(rows) + rows.n_old == new.n_vocab


def test_wrong_arguments(english):
    with pytest.raises(ValueError, match="n_new must be at least 1, got 0"):
        extend(english, ["a"], 0)
    with pytest.raises(ValueError, match="max_token_bytes must be at least 2, got 1"):
        extend(english, ["a"], 1, max_token_bytes=1)
    rows = InitialRows(3, {3: (0, 1)})
    with pytest.raises(ValueError, match=r"kind must be one of mean, .*got 'median'"):
        rows.of(np.ones((3, 2)), "median")
    with pytest.raises(ValueError, match=r"at least 3 rows.*got shape \(2, 2\)"):
        rows.of(np.ones((2, 2)))
    with pytest.raises(ValueError, match="at least 3 rows"):
        rows.of(np.ones(9))

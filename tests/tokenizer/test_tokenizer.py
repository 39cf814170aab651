import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.tokenizer import Tokenizer, encode_word_readable, pretokens, train_bpe
from minillm.tokenizer import tokenizer as module
from minillm.tokenizer.encode_fast import WordCache
from minillm.tokenizer.pretokenize import repair

BYTES = {i: bytes([i]) for i in range(256)}
SPECIALS = ["<|endoftext|>", "<|pad|>", "<|end|>", "<|end|><|end|>"]
ANY = st.text(st.characters(), max_size=60)  # lone surrogates too
SPECIAL_RICH = st.lists(
    st.one_of(st.sampled_from([*SPECIALS, "<|end", "|>", "dog", " ", "今天"]), ANY), max_size=6
).map("".join)


def abc(specials=()):
    """aaab and friends: ids 256 ab, 257 abc."""
    merges = [(b"a", b"b"), (b"ab", b"c")]
    return Tokenizer(BYTES | {256: b"ab", 257: b"abc"}, merges, specials)


def test_by_hand():
    tokenizer = abc(["<s>"])
    assert tokenizer.encode("abcab b") == [257, 256, 32, 98]
    assert tokenizer.encode("") == []
    assert tokenizer.decode([257, 32, 258]) == "abc <s>"
    assert tokenizer.n_vocab == 259
    assert tokenizer.special_id("<s>") == 258
    assert tokenizer.special_tokens == ["<s>"]
    assert repr(tokenizer) == "Tokenizer(259 entries, 2 merges, 1 special, pattern 'gpt2')"


# ---------------------------------------------------------------- round trips


@settings(max_examples=300)
@given(ANY)
def test_every_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == repair(text)


@given(SPECIAL_RICH)
def test_every_text_comes_back_with_special_tokens(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, "all")) == repair(text)


@given(st.data())
def test_every_sequence_of_ids_has_a_text(tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, tokenizer.n_vocab - 1), max_size=20))
    assert tokenizer.decode(ids) == tokenizer.decode_bytes(ids).decode("utf-8", "replace")
    assert tokenizer.decode_bytes(ids) == b"".join(tokenizer.vocab[i] for i in ids)


@given(st.binary(max_size=30))
def test_any_bytes_can_be_said_in_ids(tokenizer, data):
    assert tokenizer.decode_bytes(list(data)) == data  # ids 0 to 255 are the bytes


def test_ids_may_be_arrays():
    tokenizer = abc()
    assert tokenizer.decode(np.array([257, 98])) == "abcb"
    assert tokenizer.decode(torch.tensor([257, 98])) == "abcb"


def test_half_a_character():
    tokenizer = abc()
    ids = tokenizer.encode("é")
    assert tokenizer.decode(ids[:1]) == "\ufffd"
    with pytest.raises(UnicodeDecodeError):
        tokenizer.decode(ids[:1], errors="strict")
    assert tokenizer.decode_bytes(ids[:1]) == b"\xc3"


@pytest.mark.parametrize("bad", [-1, 258, 10**9])
def test_an_id_out_of_range_is_named(bad):
    with pytest.raises(ValueError, match=rf"id {bad} is not in this vocabulary \(0 to 257\)"):
        abc().decode([97, bad])


# ---------------------------------------------------------------- the definition


@settings(max_examples=200)
@given(ANY)
def test_encode_is_the_readable_loop_over_pretokens(tokenizer, text):
    ranks = {merge: rank for rank, merge in enumerate(tokenizer.merges)}
    want = []
    for word in pretokens(text, tokenizer.pattern):
        want += encode_word_readable(word.encode(), ranks)
    assert [tokenizer.vocab[i] for i in tokenizer.encode(text)] == want


@given(st.text("abcd ", min_size=0, max_size=200), st.randoms(use_true_random=False))
def test_both_fast_loops_are_the_readable_one(text, rng):
    vocab, merges = train_bpe(["".join(rng.choices("abcd", k=80))], 290, pattern="none")
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    id_of = {token: i for i, token in vocab.items()}
    cache = WordCache(ranks, id_of)
    want = [id_of[token] for token in encode_word_readable(text.encode(), ranks)]
    assert cache.merge_short(list(text.encode())) == want
    assert cache.merge_long(list(text.encode())) == want


def test_a_run_without_spaces_takes_no_quadratic_time():
    """200 000 letters: the scan would need some 10^10 steps, the heap needs 10^6."""
    vocab, merges = train_bpe(["a" * 4096], 268)
    ids = Tokenizer(vocab, merges).encode("a" * 200_000)
    assert ids.count(max(ids)) >= 200_000 // 4096 - 1
    assert len(ids) < 100


# ---------------------------------------------------------------- special tokens


def test_user_text_never_becomes_a_special_token():
    tokenizer = abc(["<s>"])
    assert tokenizer.encode("a<s>") == [97, *b"<s>"]
    assert tokenizer.encode("a<s>", "all") == [97, 258]
    assert tokenizer.encode("a<s>", ["<s>"]) == [97, 258]
    assert tokenizer.encode("a<s>", {"<s>"}) == [97, 258]


@given(SPECIAL_RICH)
def test_no_special_id_without_permission(tokenizer, text):
    ids = {tokenizer.special_id(name) for name in SPECIALS}
    assert not ids & set(tokenizer.encode(text))
    some = tokenizer.encode(text, ["<|pad|>"])
    assert not (ids - {tokenizer.special_id("<|pad|>")}) & set(some)
    assert some.count(tokenizer.special_id("<|pad|>")) == text.count("<|pad|>")


def test_a_special_token_that_training_saw_is_still_text(trained):
    """Even a vocabulary with the letters of a special token as a merge keeps the two apart."""
    vocab, merges = train_bpe(["END" * 9], 260, ["END"], pattern="none")
    assert merges == []
    vocab, merges = train_bpe(["END END END"], 259)
    tokenizer = Tokenizer(vocab, merges, ["END"])
    assert tokenizer.special_id("END") == max(vocab) + 1
    assert tokenizer.encode("END") == [next(i for i in vocab if vocab[i] == b"END")]
    assert tokenizer.encode("END", "all") == [tokenizer.special_id("END")]


def test_a_special_token_of_one_letter():
    vocab, merges = train_bpe(["aba"], 258, ["a"])
    tokenizer = Tokenizer(vocab, merges, ["a"])
    assert vocab[256] == b"a"
    assert tokenizer.encode("aba") == [97, 98, 97]
    assert tokenizer.encode("aba", "all") == [256, 98, 256]


def test_the_longest_special_token_wins(tokenizer):
    one, two = tokenizer.special_id("<|end|>"), tokenizer.special_id("<|end|><|end|>")
    assert tokenizer.encode("<|end|><|end|><|end|>", "all") == [two, one]
    assert tokenizer.encode("<|end|><|end|>", ["<|end|>"]) == [one, one]


def test_special_tokens_take_their_entry_or_the_next_free_id(trained):
    vocab, merges = trained
    ids = [Tokenizer(vocab, merges, SPECIALS).special_id(name) for name in SPECIALS]
    assert ids == list(range(len(vocab) - 4, len(vocab)))
    added = Tokenizer(vocab, merges, [*SPECIALS, "<new>", "<newer>"])
    assert added.special_id("<new>") == len(vocab)
    assert added.special_id("<newer>") == len(vocab) + 1
    assert added.decode([len(vocab)]) == "<new>"
    assert added.n_vocab == len(vocab) + 2
    assert len(vocab) == len(trained[0])  # the caller's dict is left alone


def test_special_errors():
    tokenizer = abc(["<s>"])
    with pytest.raises(ValueError, match=r"no special token '<t>'; there are \['<s>'\]"):
        tokenizer.special_id("<t>")
    with pytest.raises(ValueError, match="no special token '<t>'"):
        tokenizer.encode("a", ["<t>"])
    with pytest.raises(ValueError, match="must be \"all\" or a collection, got '<s>'"):
        tokenizer.encode("a", "<s>")
    for wrong in (["<s>", "<s>"], [""]):
        with pytest.raises(ValueError, match="distinct and not empty"):
            abc(wrong)
    with pytest.raises(TypeError, match="must be a list"):
        abc("<s>")


def test_vocabularies_that_cannot_be():
    with pytest.raises(ValueError, match=r"all 256 bytes; it lacks b'a'"):
        Tokenizer({i: b for i, b in BYTES.items() if i != 97}, [])
    with pytest.raises(ValueError, match=r"merge \(b'a', b'b'\) does not fit"):
        Tokenizer(BYTES, [(b"a", b"b")])
    with pytest.raises(ValueError, match=r"merge \(b'ab', b'c'\) does not fit"):
        Tokenizer(BYTES | {256: b"ab", 257: b"abc"}, [(b"ab", b"c"), (b"a", b"b")])
    with pytest.raises(ValueError, match="given twice"):
        Tokenizer(BYTES | {256: b"ab"}, [(b"a", b"b")] * 2)


# ---------------------------------------------------------------- the course's


def test_without_files_the_course_tokenizer_says_how_to_build_it(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "COURSE_FOLDER", tmp_path / "data" / "tokenizer")
    with pytest.raises(FileNotFoundError, match=r"python -m tools.course_tokenizer"):
        module.course_tokenizer()

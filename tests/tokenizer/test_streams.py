"""Streams equal the whole, in little memory; and what of an encoding is final."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.tokenizer import Tokenizer, pretokens
from minillm.tokenizer.pretokenize import repair

BYTES = {i: bytes([i]) for i in range(256)}
SPECIALS = ["<|endoftext|>", "<|pad|>", "<|end|>", "<|end|><|end|>"]
ANY = st.text(st.characters(), max_size=60)
SPECIAL_RICH = st.lists(
    st.one_of(st.sampled_from([*SPECIALS, "<|end", "|>", "dog", " ", "今天"]), ANY), max_size=6
).map("".join)


# ---------------------------------------------------------------- streams


@settings(max_examples=150)
@given(SPECIAL_RICH, st.data())
def test_a_stream_is_the_whole(tokenizer, text, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    chunks = [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    allowed = data.draw(st.sampled_from([(), "all", ["<|end|>"]]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minillm.tokenizer.pretokenize.MIN_PENDING", 4)
        assert list(tokenizer.encode_iterable(chunks, allowed)) == tokenizer.encode(text, allowed)
        assert list(tokenizer.encode_iterable(text, allowed)) == tokenizer.encode(text, allowed)


def test_a_stream_hands_on_before_it_ends(tokenizer, mixed_text):
    def endless():
        while True:
            yield mixed_text

    stream = tokenizer.encode_iterable(endless())
    assert [next(stream) for _ in range(20)] == tokenizer.encode(mixed_text)[:20]


def test_a_stream_needs_little_memory(tokenizer, mixed_text, tmp_path):
    """A limit that the stream keeps, and that encoding the whole text breaks."""
    path = tmp_path / "big.txt"
    path.write_text(mixed_text * 2000, encoding="utf-8")
    limit = 1_000_000  # bytes; the text alone has more

    def peak(job):
        tracemalloc.start()
        try:
            job()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def stream():
        with path.open(encoding="utf-8") as file:
            assert sum(1 for _ in tokenizer.encode_iterable(file)) > 100_000

    tokenizer.encode(mixed_text)  # fill the cache of words
    assert peak(stream) < limit
    assert peak(lambda: tokenizer.encode(path.read_text(encoding="utf-8"))) > limit


def test_the_cache_of_words_is_bounded(tokenizer):
    cache = tokenizer._words
    words = [f"w{i}" for i in range(300)]
    before = {word: list(cache[word]) for word in words}
    limit, cache.limit = cache.limit, 100
    try:
        for word in words:
            assert cache[word] == before[word]
        cache.clear()
        for word in words:
            assert cache[word] == before[word]
            assert len(cache) <= 100
        long_word = "x" * 1000
        size = len(cache)
        assert len(cache[long_word]) > 1
        assert len(cache) == size  # long ones are not kept
    finally:
        cache.limit = limit


# ---------------------------------------------------------------- what is stable


@given(SPECIAL_RICH, SPECIAL_RICH)
def test_what_stands_before_a_safe_boundary_is_final(tokenizer, text, more):
    """Prefix stability, as far as it is true.

    More text can change only what follows the last safe boundary: between a letter and a
    non-letter, a number and a non-number, or before a space that follows a non-space.
    """
    text, more = repair(text), repair(more)
    boundary = 0
    for i in range(1, len(text)):
        left, right = text[i - 1], text[i]
        ends_word = left.isalpha() and left.isascii() and not right.isalpha() and right.isascii()
        if ends_word or (right == " " and not left.isspace() and left.isprintable()):
            boundary = i
    final = tokenizer.encode(text[:boundary])
    assert tokenizer.encode(text + more)[: len(final)] == final
    assert tokenizer.encode(text)[: len(final)] == final


def test_ids_of_a_prefix_are_not_always_a_prefix_of_the_ids():
    tokenizer = Tokenizer(BYTES | {256: b"ab", 257: b"abc"}, [(b"a", b"b"), (b"ab", b"c")])
    assert tokenizer.encode("ab") == [256]
    assert tokenizer.encode("abc") == [257]
    assert pretokens("a ") == ["a", " "]
    assert pretokens("a b") == ["a", " b"]


def test_every_token_that_is_a_whole_word_encodes_as_itself(tokenizer):
    for a, b in tokenizer.merges:
        try:
            text = (a + b).decode()
        except UnicodeDecodeError:
            continue
        if len(pretokens(text, tokenizer.pattern)) == 1:
            assert tokenizer.decode(tokenizer.encode(text)) == text
            assert len(tokenizer.encode(text)) == 1

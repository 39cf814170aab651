"""Strange texts for the tokenizers: a thousand in `make test`, ten thousand with `-m slow`.

No text may raise; what can come back does; each cut is the one that the definition asks for, or
the one that `tiktoken` and `tokenizers` make.
"""

import random

import pytest
from tokenizers import Tokenizer as Theirs
from tokenizers import models, pre_tokenizers

from minillm.tokenizer import Tokenizer, train_bpe
from minillm.tokenizer.byte_fallback import BYTE_PIECES
from minillm.tokenizer.export import to_tiktoken
from minillm.tokenizer.pretokenize import repair
from minillm.tokenizer.unigram import UNKNOWN, Unigram
from minillm.tokenizer.unigram_train import train_unigram
from minillm.tokenizer.wordpiece import WordPiece, bert_words, train_wordpiece

SPECIALS = ["<|endoftext|>", "<|pad|>", "<|end|>", "<|end|><|end|>"]
PIECES = [
    *SPECIALS, "<|end", "|>", "<unk>", "<0x41>", "[UNK]", "##a", "▁", "the", " dog", "'s", "'LL",
    " ", "  ", "\n", "\r\n", "\t", "\u3000", "\u2028", "\x85", "\0", "\x1c", "12", "3.14", "١",
    "天气", "公园，", "é", "e\u0301", "👩\u200d👩\u200d👧", "🇨🇭", "\ud83d", "\ude00", "\ufeff",
    "\ufffd", "ﬁ", "İ", "ß", "ﷺ", "\U0010ffff", "x" * 120, "ab" * 40, "-" * 9, "_", "$", "∑",
]  # fmt: skip
N = pytest.mark.parametrize("n", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])


def strange_texts(n, seed):
    """Pieces of the list in a row, and characters from anywhere between them."""
    draw = random.Random(seed)
    for _ in range(n):
        some = draw.choices(PIECES, k=draw.randrange(12))
        some += [chr(draw.randrange(0x11_0000)) for _ in range(draw.randrange(3))]
        draw.shuffle(some)
        yield "".join(some)


def no_surrogates(text):
    return repair(text) == text


@N
def test_bpe(tokenizer, n):
    """Every text comes back, whole or in a stream of chunks; the ids are those of tiktoken."""
    special_ids = {tokenizer.special_id(name) for name in SPECIALS}
    ordinary = {i: token for i, token in tokenizer.vocab.items() if i not in special_ids}
    theirs = to_tiktoken(Tokenizer(ordinary, tokenizer.merges, (), tokenizer.pattern))
    draw = random.Random(1)
    n_special = 0
    for text in strange_texts(n, seed=2):
        for allowed in ((), "all"):
            ids = tokenizer.encode(text, allowed)
            assert tokenizer.decode(ids) == repair(text)
            n_special += bool(special_ids & set(ids))
            assert allowed or not special_ids & set(ids)
        if no_surrogates(text):
            assert tokenizer.encode(text) == theirs.encode_ordinary(text), ascii(text)
        cut = draw.randint(0, len(text))
        assert list(tokenizer.encode_iterable([text[:cut], text[cut:]], "all")) == ids
    assert n_special > n / 4


@N
def test_any_ids_have_a_text(tokenizer, n):
    draw = random.Random(3)
    for _ in range(n):
        ids = [draw.randrange(tokenizer.n_vocab) for _ in range(draw.randrange(20))]
        raw = b"".join(tokenizer.vocab[i] for i in ids)
        assert tokenizer.decode_bytes(ids) == raw
        assert tokenizer.decode(ids) == raw.decode("utf-8", "replace")


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "none"])
def test_bpe_learns_from_strange_texts(pattern):
    texts = list(strange_texts(200, seed=4))
    vocab, merges = train_bpe(texts, 400, SPECIALS, pattern=pattern)
    again = Tokenizer(vocab, merges, SPECIALS, pattern)
    assert len(merges) > 50
    for text in texts:
        assert again.decode(again.encode(text)) == repair(text)


@N
def test_wordpiece(mixed_text, n):
    """In each word the longest piece that fits, then the longest behind it; or it is unknown."""
    pieces = train_wordpiece([mixed_text, *strange_texts(20, seed=5)], 400, min_count=1)
    ours = WordPiece(pieces)
    theirs = Theirs(models.WordPiece(ours.ids, unk_token="[UNK]", max_input_chars_per_word=100))
    theirs.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # ours cuts before: the same words
    n_unknown = n_known = 0
    for text in strange_texts(n, seed=6):
        words = bert_words(repair(text))
        found = [ours.encode_word(word) for word in words]
        assert ours.encode(text) == [ours.ids[piece] for row in found for piece in row]
        for word, row in zip(words, found, strict=True):
            n_unknown += row == ["[UNK]"]
            n_known += len(row) > 1
            assert row == ["[UNK]"] or word == row[0] + "".join(
                p.removeprefix("##") for p in row[1:]
            )
            if not any(c.isspace() for c in word):
                assert row == theirs.encode(word).tokens, ascii(word)
    assert min(n_unknown, n_known) > n / 4


@pytest.fixture(scope="module", params=[False, True], ids=["unknown", "bytes"])
def unigram(request, mixed_text):
    """A trained vocabulary, without a pattern, so that the peer can be asked the same."""
    made = train_unigram([mixed_text], 600, byte_fallback=request.param)
    return Unigram(made.pieces, byte_fallback=request.param)


@N
def test_unigram(unigram, n):
    """Byte fallback gives every text back; both ways cut as `tokenizers` does."""
    theirs = Theirs(models.Unigram(unigram.pieces, 0, byte_fallback=unigram.byte_fallback))
    characters = {piece for piece, _ in unigram.pieces if len(piece) == 1}
    n_unknown = 0
    for text in strange_texts(n, seed=7):
        ids = unigram.encode(text)
        assert all(0 <= i < len(unigram.pieces) for i in ids)
        n_unknown += unigram.unknown in ids
        if unigram.byte_fallback:
            assert unigram.decode(ids) == repair(text)
            assert unigram.unknown not in ids
        else:
            assert (unigram.unknown in ids) == (not set(repair(text)) <= characters)
        if no_surrogates(text) and not any(mark in text for mark in (UNKNOWN, *BYTE_PIECES[65:66])):
            assert ids == theirs.encode(text).ids, ascii(text)  # theirs take marks in a text
    assert (n_unknown > n / 4) == (not unigram.byte_fallback)

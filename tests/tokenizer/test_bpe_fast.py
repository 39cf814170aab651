"""The fast trainer against the readable one, and against Hugging Face's."""

import json
import random

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.tokenizer import train_bpe, train_bpe_readable
from minillm.tokenizer.printable import from_printable
from minillm.tokenizer.source import TIES, count_pretokens

CORPORA = st.lists(st.text("aab bcé.今", max_size=12), max_size=8)


@settings(max_examples=150)
@given(CORPORA, st.integers(256, 300), st.sampled_from(TIES), st.sampled_from(["gpt2", "none"]))
def test_the_fast_trainer_is_the_readable_one(texts, size, ties, pattern):
    want = train_bpe_readable(texts, size, ["."], ties, pattern=pattern) if size > 256 else None
    if want:
        assert train_bpe(texts, size, ["."], ties, pattern=pattern) == want


@pytest.mark.parametrize("ties", TIES)
def test_the_twins_agree_on_a_real_text(ties, mixed_text):
    want = train_bpe_readable([mixed_text], 480, ["<s>"], ties)
    assert train_bpe([mixed_text], 480, ["<s>"], ties) == want
    assert len(want[1]) > 120


def test_the_tie_rules_differ(mixed_text):
    results = [train_bpe([mixed_text], 400, ties=ties)[1] for ties in TIES]
    assert results[0] != results[1] != results[2] != results[0]


def merges_of_hf(texts, vocab_size):
    hf = tokenizers.Tokenizer(tokenizers.models.BPE())
    hf.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    hf.train_from_iterator(texts, trainer)
    return [tuple(map(from_printable, m)) for m in json.loads(hf.to_str())["model"]["merges"]]


def test_gpt2_id_is_hugging_face_merge_for_merge(mixed_text):
    rng = random.Random(0)
    words = mixed_text.split(" ")
    texts = [" ".join(rng.choices(words, k=60)) for _ in range(40)]
    want = merges_of_hf(texts, 700)
    assert train_bpe(texts, 700, ties="gpt2_id")[1] == want
    assert train_bpe(texts, 700, ties="greatest")[1] != want


@settings(max_examples=60)
@given(st.lists(st.text("aab bcé.今\n", max_size=30), min_size=1, max_size=6))
def test_gpt2_id_is_hugging_face_on_any_text(texts):
    assert train_bpe(texts, 300, ties="gpt2_id")[1] == merges_of_hf(texts, 300)


@settings(max_examples=60)
@given(
    st.lists(st.text("aab b今", max_size=30), min_size=1, max_size=6),
    st.integers(2, 7),
    st.sampled_from(TIES),
)
def test_no_token_is_longer_than_asked(texts, limit, ties):
    vocab, merges = train_bpe(texts, 300, ties=ties, max_token_bytes=limit)
    assert (vocab, merges) == train_bpe_readable(texts, 300, ties=ties, max_token_bytes=limit)
    assert max(map(len, vocab.values())) <= limit


def test_a_token_of_just_the_limit_is_learned():
    assert train_bpe(["abcd"], 300, max_token_bytes=4)[1][-1] == (b"a", b"bcd")
    assert train_bpe(["abcd"], 300, max_token_bytes=3)[1] == [(b"c", b"d"), (b"b", b"cd")]


@settings(max_examples=60)
@given(st.lists(st.text("abcde", max_size=30), min_size=1, max_size=6))
def test_smallest_id_is_hugging_face_where_bytes_have_the_same_order(texts):
    """Among letters the two numberings of bytes agree, so the ties are settled alike."""
    assert train_bpe(texts, 300, ties="smallest_id")[1] == merges_of_hf(texts, 300)


def test_smallest_id_is_hugging_face_when_it_numbers_bytes_as_we_do(mixed_text):
    """With characters U+0000 to U+00FF standing for the bytes, its ids are ours, and its merges."""
    counted = count_pretokens([mixed_text], (), "gpt2")
    texts = [word.decode("latin-1") for word, n in counted.items() for _ in range(n)]
    hf = tokenizers.Tokenizer(tokenizers.models.BPE())
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=480, initial_alphabet=[chr(i) for i in range(256)], show_progress=False
    )
    hf.train_from_iterator(texts, trainer)
    pairs = json.loads(hf.to_str())["model"]["merges"]
    want = [(a.encode("latin-1"), b.encode("latin-1")) for a, b in pairs]
    assert train_bpe([mixed_text], 480, ties="smallest_id")[1] == want

"""Mistakes that other tokenizers and courses made, so that ours does not make them again."""

import pytest

from minillm.tokenizer import Tokenizer, train_bpe
from minillm.tokenizer.bpe import replace_pair
from minillm.tokenizer.export import to_tiktoken

BYTES = {i: bytes([i]) for i in range(256)}


def merges_of(*pairs):
    merges = [(a.encode(), b.encode()) for a, b in pairs]
    vocab = BYTES | {256 + i: a + b for i, (a, b) in enumerate(merges)}
    return Tokenizer(vocab, merges)


def test_punctuation_behind_a_word_does_not_change_the_word():
    """rasbt/LLMs-from-scratch#558: "Hello," became [He][llo][,], while "Hello" was one token."""
    tokenizer = merges_of(("l", "l"), ("H", "e"), ("ll", "o"), ("He", "llo"))
    assert tokenizer.encode("Hello") == [259]
    for mark in ",.!?;:)":
        assert tokenizer.encode(f"Hello{mark}") == [259, ord(mark)]


def test_the_rank_decides_and_not_the_place():
    """The cause of #558: merging from the left whatever is in the list, not the earliest merge."""
    tokenizer = merges_of(("b", "c"), ("a", "b"))
    assert tokenizer.encode("abc") == [97, 256]  # [a][bc], though ab stands further left
    assert tokenizer.encode("abab") == [257, 257]


def test_the_second_merge_of_the_textbook_example_is_a_tie():
    """karpathy/minbpe#93: the note says Y=ab, the code has Y=Za; each by its own tie rule."""
    text = ["aaabdaaabac"]
    assert train_bpe(text, 258, ties="greatest")[1][1] == (b"aa", b"a")
    assert train_bpe(text, 258, ties="smallest_id")[1][1] == (b"a", b"b")
    for ties in ("greatest", "smallest_id"):
        tokenizer = Tokenizer(*train_bpe(text, 259, ties=ties))
        assert tokenizer.encode(text[0]) == [258, 100, 258, 97, 99]  # XdXac either way


def test_a_run_of_three_is_a_pair_and_one():
    """karpathy/minbpe PR#38: a vectorised merge made of aaa one X instead of Xa."""
    assert replace_pair((97, 97, 97), (97, 97), 256) == (256, 97)
    tokenizer = merges_of(("a", "a"))
    assert tokenizer.encode("aaa") == [256, 97]
    assert tokenizer.encode("aaaaa") == [256, 256, 97]


def test_going_through_the_merges_once_is_the_same(mixed_text):
    """karpathy/minbpe#87, #100 ask whether one pass over the list would do. For ids: yes."""
    vocab, merges = train_bpe([mixed_text], 380)
    id_of = {token: i for i, token in vocab.items()}
    tokenizer = Tokenizer(vocab, merges)
    for word in ("aaaaaa", "houses", "天天天气", "naïve", "they"):
        ids = tuple(word.encode())
        for a, b in merges:
            ids = replace_pair(ids, (id_of[a], id_of[b]), id_of[a + b])
        assert tokenizer.encode(word) == list(ids)


def test_tiktoken_looks_at_results_and_we_at_pairs():
    """karpathy/minbpe#11 asks whether the two agree. Not always: then the export refuses."""
    tokenizer = merges_of(("b", "c"), ("a", "b"), ("ab", "c"))
    assert tokenizer.encode("abc") == [97, 256]
    with pytest.raises(ValueError, match="merges by id alone"):
        to_tiktoken(tokenizer)


def test_a_half_character_does_not_fail():
    """A sampled sequence may end inside a character; decoding it must not raise."""
    tokenizer = merges_of()
    assert tokenizer.decode([0xE4, 0xBB]) == "\ufffd"
    assert tokenizer.decode([0xE4, 0xBB, 0x8A]) == "今"
    assert tokenizer.decode([0x80]) == "\ufffd"


def test_spaces_and_line_ends_survive():
    """Splitting on white space, as many first tokenizers do, loses how much of it there was."""
    tokenizer = merges_of()
    for text in ("a  b", " a", "a ", "\n\n\ta\r\n", "\u3000今"):
        assert tokenizer.decode(tokenizer.encode(text)) == text

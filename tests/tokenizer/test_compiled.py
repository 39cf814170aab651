"""The compiled loops against their definitions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.tokenizer import bpe_compiled, bpe_fast, count_compiled, train_bpe
from minillm.tokenizer.bpe_fast import merge_pairs
from minillm.tokenizer.source import TIES, count_pieces

TRICKY = st.text(
    st.one_of(
        st.sampled_from("aZé今1२²½ \t\n\r\u00a0\u3000'.,ſsSlLvVeErRdDmMtT"),
        st.sampled_from("'sldmtvre  \n"),
        st.sampled_from("\u0301\u200d👩🎉\u0558\U000323b0\U00011de0"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(st.lists(TRICKY, max_size=6))
def test_counts_are_those_of_the_expression(pieces):
    counts = count_compiled.count_pretokens(pieces)
    want = count_pieces([piece for piece in pieces if piece], "gpt2")
    assert counts == want
    assert list(counts) == list(want)  # in order of first appearance


def test_every_code_point_has_the_class_of_the_expression():
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    pieces = ["a" + c for c in every]
    assert count_compiled.count_pretokens(pieces) == count_pieces(pieces, "gpt2")


def test_counts_do_not_depend_on_batches(mixed_text, monkeypatch):
    want = count_pieces([mixed_text] * 9, "gpt2")
    for size in (1, 1000):
        monkeypatch.setattr(count_compiled, "BATCH_CHARACTERS", size)
        assert count_compiled.count_pretokens([mixed_text] * 9) == want


COUNTED = st.dictionaries(
    st.binary(max_size=12).map(lambda b: bytes(x % 4 for x in b)), st.integers(1, 9)
)


@settings(max_examples=200)
@given(COUNTED, st.integers(0, 40), st.sampled_from(TIES), st.sampled_from([None, 2, 3, 5]))
def test_compiled_merges_are_the_same(counted, n_merges, ties, longest):
    want = merge_pairs(counted, n_merges, ties, longest)
    assert bpe_compiled.merge_pairs(counted, n_merges, ties, longest) == want


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("pattern", ["gpt2", "cl100k"])
def test_engines_agree(ties, pattern, mixed_text):
    arguments = {"special_tokens": ["<s>"], "ties": ties, "pattern": pattern}
    python = train_bpe([mixed_text], 420, **arguments, engine="python")
    assert train_bpe([mixed_text], 420, **arguments, engine="compiled") == python
    assert len(python[1]) > 120


def test_auto_takes_the_compiled_engine_for_large_texts(mixed_text, monkeypatch):
    used = []
    original = bpe_compiled.merge_pairs
    monkeypatch.setattr(bpe_compiled, "merge_pairs", lambda *a: used.append(1) or original(*a))
    want = train_bpe([mixed_text] * 3, 300)
    assert not used
    monkeypatch.setattr(bpe_fast, "COMPILED_ABOVE", 2 * len(mixed_text))
    assert train_bpe([mixed_text] * 3, 300) == want
    assert used
    assert train_bpe([mixed_text] * 2, 300, engine="python") == train_bpe([mixed_text] * 2, 300)
    assert len(used) == 1  # at the limit it is still Python
    with pytest.raises(ValueError, match="auto, python, compiled; got 'rust'"):
        train_bpe([mixed_text], 300, engine="rust")


def test_progress_and_stopping_between_calls(mixed_text, monkeypatch):
    monkeypatch.setattr(bpe_compiled, "MERGES_A_CALL", 10)
    counted = count_pieces([mixed_text], "gpt2")
    ticks = []
    pairs = bpe_compiled.merge_pairs(counted, 500, "greatest", None, ticks.append)
    assert sum(ticks) == len(pairs) < 500
    assert max(ticks) == 10
    assert pairs == merge_pairs(counted, 500, "greatest")
    exact: list[int] = []
    assert len(bpe_compiled.merge_pairs(counted, 25, "greatest", None, exact.append)) == 25
    assert exact == [10, 10, 5]

    def impatient(n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bpe_compiled.merge_pairs(counted, 500, "greatest", None, impatient)

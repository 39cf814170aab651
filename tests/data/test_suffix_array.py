"""Suffix and LCP arrays against their definitions and pydivsufsort; repeated spans."""

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.data.suffix_array import (
    Span,
    lcp_array,
    lcp_readable,
    remove_repeats,
    repeated_spans,
    suffix_array,
    suffix_array_readable,
)


def test_banana():
    assert suffix_array_readable(b"banana") == [5, 3, 1, 0, 4, 2]
    assert lcp_readable(b"banana", [5, 3, 1, 0, 4, 2]) == [0, 1, 3, 0, 0, 2]
    assert suffix_array(b"banana").tolist() == [5, 3, 1, 0, 4, 2]
    assert lcp_array(b"banana", suffix_array(b"banana")).tolist() == [0, 1, 3, 0, 0, 2]


@given(st.one_of(st.text("ab", max_size=60), st.text("abc", max_size=40), st.text(max_size=20)))
@settings(max_examples=400, deadline=None)
def test_equals_the_definition(text):
    data = text.encode()
    sa = suffix_array(data)
    assert sa.dtype == np.int32
    assert sa.tolist() == suffix_array_readable(data)
    assert lcp_array(data, sa).tolist() == lcp_readable(data, sa.tolist())


WORST = {
    "one letter": b"a" * 3000,
    "a period": b"abcabd" * 500,
    "fibonacci": b"",
    "falling": bytes(range(255, -1, -1)) * 5,
    "rising": bytes(range(256)) * 5,
    "zeros": bytes(1000) + b"a" + bytes(1000),
    "random": random.Random(0).randbytes(5000),
}
a, b = b"a", b"ab"
while len(b) < 5000:
    a, b = b, b + a
WORST["fibonacci"] = b


@pytest.mark.parametrize("data", WORST.values(), ids=WORST)
def test_equals_pydivsufsort(data):
    peer = pytest.importorskip("pydivsufsort")
    sa = suffix_array(data)
    assert (sa == peer.divsufsort(data)).all()
    theirs = peer.kasai(data, sa)  # with the neighbour behind, not before
    assert (lcp_array(data, sa)[1:] == theirs[:-1]).all()


def test_equals_pydivsufsort_on_text():
    peer = pytest.importorskip("pydivsufsort")
    rng = random.Random(4)
    words = [rng.randbytes(rng.randrange(1, 7)) for _ in range(300)]
    data = b" ".join(rng.choices(words, k=40_000))
    assert (suffix_array(data) == peer.divsufsort(data)).all()


def test_tokens():
    tokens = [5, 70_000, 5, 70_000, 0, 5]
    assert suffix_array(tokens).tolist() == suffix_array_readable(tokens)
    sa = suffix_array(np.array(tokens, np.int64))
    assert lcp_array(tokens, sa).tolist() == lcp_readable(tokens, sa.tolist())


def slow_repeats(texts, k, keep):
    """Every window of every text in a dict: which bytes lie in a repeated one."""
    raw = [text.encode() for text in texts]
    places = {}
    for i, data in enumerate(raw):
        for j in range(len(data) - k + 1):
            places.setdefault(data[j : j + k], []).append((i, j))
    marked = set()
    for found in places.values():
        if len(found) > 1:
            for i, j in found if keep == "none" else found[1:]:
                marked |= {(i, p) for p in range(j, j + k)}
    return marked


@given(
    st.lists(st.text("ab", max_size=14), max_size=4),
    st.integers(1, 5),
    st.sampled_from(["first", "none"]),
)
@settings(max_examples=200, deadline=None)
def test_spans_equal_a_dict_of_windows(texts, k, keep):
    spans = repeated_spans(texts, k, keep)
    assert {(s.document, p) for s in spans for p in range(s.start, s.end)} == slow_repeats(
        texts, k, keep
    )
    assert spans == sorted(spans)
    for s, t in pairwise(spans):
        assert s.document < t.document or s.end < t.start


def test_spans_by_hand():
    texts = ["one two three four", "zero one two three five", "two three"]
    assert repeated_spans(texts, 12) == [Span(1, 5, 20)]
    assert texts[1][5:20] == "one two three f"
    assert repeated_spans(texts, 15) == [Span(1, 5, 20)]
    assert repeated_spans(texts, 16) == []
    assert repeated_spans(texts, 12, "none") == [Span(0, 0, 15), Span(1, 5, 20)]
    assert remove_repeats(texts, 12) == [texts[0], "zero ive", "two three"]


def test_no_span_runs_from_text_to_text():
    assert repeated_spans(["ab", "cd", "ab", "cd"], 3) == []
    assert repeated_spans(["ab", "cd", "ab", "cd"], 2) == [Span(2, 0, 2), Span(3, 0, 2)]


def test_spans_end_at_whole_characters():
    """词 (e8 af 8d) and 评 (e8 af 84) share two bytes of three."""
    one, two = "x女孩词", "y女孩评"
    assert len(set("词评".encode()[:2]) | set("评".encode()[:2])) == 2
    assert repeated_spans([one, two], 7) == [Span(1, 1, 3)]
    assert repeated_spans(["词x", "评x", "中x"], 2, "none") == []
    assert repeated_spans(["é1é1", "🙂", "🙂"], 3) == [Span(0, 2, 4), Span(2, 0, 1)]


def test_periodic_text():
    assert repeated_spans(["ab" * 5], 4) == [Span(0, 2, 10)]
    assert repeated_spans(["ab" * 5], 4, "none") == [Span(0, 0, 10)]
    assert remove_repeats(["ab" * 5], 4) == ["ab"]


def test_empty():
    assert suffix_array(b"").tolist() == []
    assert lcp_array(b"", suffix_array(b"")).tolist() == []
    assert suffix_array(b"x").tolist() == [0]
    assert repeated_spans([], 3) == repeated_spans(["", ""], 3) == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: suffix_array([1, -2]), "got -2"),
        (lambda: suffix_array([1, 1 << 30, 0]), "below 2\\^30"),
        (lambda: lcp_array(b"abc", suffix_array(b"ab")), "a text of 3 has no suffix array of 2"),
        (lambda: repeated_spans(["a"], 0), "at least 1, got 0"),
        (lambda: repeated_spans(["a"], 3, "last"), "'last'"),
    ],
)
def test_errors(call, said):
    with pytest.raises(ValueError, match=said):
        call()

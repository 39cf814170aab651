"""Suffix arrays: every repeated stretch of a corpus, however long and wherever it stands.

    suffix array SA    where the suffixes of a text begin, in alphabetical order of the suffixes
    LCP[i]             how many bytes the suffixes SA[i - 1] and SA[i] have in common at their start

Two stretches of text that are equal begin two suffixes that stand near each other in that order.
So all repetitions of k bytes or more show in one walk along the LCP array.

`suffix_array_readable` is the definition; `build` in suffix_array_compiled.py
finds the same in linear time.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

Text = bytes | Sequence[int] | np.ndarray
BETWEEN = 0xFF
"""The byte put behind each text; UTF-8 never uses it."""


class Span(NamedTuple):
    """A stretch of one text, in characters: texts[document][start:end]."""

    document: int
    start: int
    end: int


def suffix_array_readable(text: Text) -> list[int]:
    """Sort the suffixes: the definition.

        suffix_array_readable(b"banana") == [5, 3, 1, 0, 4, 2]     a ana anana banana na nana

    A suffix that begins another comes before it.

    Args:
        text: bytes, or whole numbers (tokens).

    Returns:
        Where each suffix begins, in their order.

    Cost: up to n^2 log n comparisons of bytes, and n^2 bytes of memory.
    Source: Manber and Myers 1993, Suffix arrays: a new method for on-line string searches.
    Lesson: notebooks/04_dedup.ipynb
    """
    values = text if isinstance(text, bytes) else list(text)
    return sorted(range(len(values)), key=lambda i: values[i:])


def lcp_readable(text: Text, sa: Sequence[int]) -> list[int]:
    """Compare each suffix with its neighbour before: the definition of the LCP array.

        lcp_readable(b"banana", [5, 3, 1, 0, 4, 2]) == [0, 1, 3, 0, 0, 2]

    Args:
        text: bytes or whole numbers.
        sa: its suffix array.

    Returns:
        The lengths; the first is 0, since the first suffix has no neighbour before it.

    Source: Manber and Myers 1993.
    Lesson: notebooks/04_dedup.ipynb
    """
    values = list(text)

    def common(i: int, j: int) -> int:
        pairs = zip(values[i:], values[j:], strict=False)
        return next((n for n, (a, b) in enumerate(pairs) if a != b), len(values) - max(i, j))

    return [0, *(common(i, j) for i, j in pairwise(sa))][: len(values)]


def suffix_array(text: Text) -> np.ndarray:
    """The suffix array, in linear time (compiled).

    Args:
        text: bytes, or whole numbers from 0 up (tokens), (n,).

    Returns:
        (n,), int32.

    Raises:
        ValueError: if a token is negative, or there are 2^31 of them or more.

    Cost: about 0.2 us a byte; memory about 15 bytes a byte beside the text (benchmarks/LOG.md).
    Source: Nong, Zhang and Chan 2009, Linear suffix array construction by almost pure induced
        sorting (SA-IS).
    Lesson: notebooks/04_dedup.ipynb
    """
    from minillm.data.suffix_array_compiled import build

    return build(_array(text))


def lcp_array(text: Text, sa: np.ndarray) -> np.ndarray:
    """The LCP array of a suffix array, in linear time (compiled).

    A suffix without its first byte stands one further on, and has lost at most one byte of what it
    shared with its neighbour: so the comparison of each starts where that of the last ended.

    Args:
        text: as for `suffix_array`.
        sa: its suffix array, (n,), int32.

    Returns:
        (n,), int32; the first is 0.

    Raises:
        ValueError: if the two differ in length.

    Source: Kasai et al. 2001; in the order of Karkkainen, Manzini and Puglisi 2009.
    Lesson: notebooks/04_dedup.ipynb
    """
    values = _array(text)
    if len(values) != len(sa):
        raise ValueError(f"a text of {len(values)} has no suffix array of {len(sa)}")
    from minillm.data.suffix_array_compiled import lcp

    return lcp(values, np.asarray(sa, np.int32))


def repeated_spans(
    texts: Sequence[str],
    min_bytes: int = 200,
    keep: Literal["first", "none"] = "first",
) -> list[Span]:
    """Find every stretch of at least min_bytes that stands in the corpus more than once.

    Args:
        texts: the documents; their order decides which copy is the first. A stretch never runs
            from one text into the next.
        min_bytes: k, in UTF-8 bytes. 50 tokens, as in Lee et al., are about 200 bytes of English.
        keep: "first" leaves the first copy and returns the others; "none" returns all.

    Returns:
        Stretches in order, not touching one another, at the borders of characters.

    Raises:
        ValueError: if min_bytes < 1 or keep is unknown.

    Cost: as `suffix_array` and `lcp_array` together.
    Source: Lee et al. 2022, section 4.1 (ExactSubstr).
    Lesson: notebooks/04_dedup.ipynb
    """
    if min_bytes < 1:
        raise ValueError(f"min_bytes must be at least 1, got {min_bytes}")
    if keep not in ("first", "none"):
        raise ValueError(f"keep must be 'first' or 'none', got {keep!r}")
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    data = np.frombuffer(b"".join(r + bytes([BETWEEN]) for r in raw), np.uint8)
    marked = repeated_bytes(data, min_bytes, keep == "first")
    found, start = [], 0
    for i, part in enumerate(raw):
        here = marked[start : start + len(part)]
        start += len(part) + 1
        if here.any():
            found += [Span(i, a, b) for a, b in _characters(part, here)]
    return found


def repeated_bytes(data: np.ndarray, min_bytes: int, keep_first: bool = True) -> np.ndarray:
    """Mark the bytes that lie in a repeated window of min_bytes.

    Windows that are equal stand side by side in the suffix array, parted from the next by an LCP
    below min_bytes. In each such group all windows (but the first in the text) are marked.

    Args:
        data: the corpus with the byte BETWEEN behind each text, (n,), uint8. Windows that hold
            that byte are not looked at.
        min_bytes: length of a window.
        keep_first: do not mark the first window of a group.

    Returns:
        (n,), bool.
    """
    from minillm.data.suffix_array_compiled import mark

    sa = suffix_array(data)
    return mark(data, sa, lcp_array(data, sa), min_bytes, keep_first, BETWEEN)


def remove_repeats(
    texts: Sequence[str], min_bytes: int = 200, keep: Literal["first", "none"] = "first"
) -> list[str]:
    """Cut repeated stretches out of texts: `repeated_spans`, removed.

    Cutting joins what stood on both sides, so that a sentence may be left without its end; Lee et
    al. accept that, and so do we.

    Lesson: notebooks/04_dedup.ipynb
    """
    from minillm.data.exact import cut_out

    return cut_out(texts, repeated_spans(texts, min_bytes, keep))


def _characters(raw: bytes, marked: np.ndarray) -> list[tuple[int, int]]:
    """Runs of marked bytes as stretches of whole characters."""
    edges = np.flatnonzero(np.diff(marked, prepend=False, append=False))
    array = np.frombuffer(raw, np.uint8)
    begins = (array & 0xC0) != 0x80  # a byte that begins a character
    number = np.concatenate([[0], np.cumsum(begins)])  # characters that begin before byte i
    found = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        while start < end and not begins[start]:  # the front half of a character was not repeated
            start += 1
        while end > start and end < len(raw) and not begins[end]:  # nor the back half
            end -= 1
        first, last = int(number[start]), int(number[end])
        if first < last:
            found.append((first, last))
    return found


def _array(text: Text) -> np.ndarray:
    if isinstance(text, bytes):
        return np.frombuffer(text, np.uint8)
    array = np.asarray(text)
    if array.dtype == np.uint8:
        return array
    if len(array) and int(array.min()) < 0:
        raise ValueError(f"tokens must not be negative, got {int(array.min())}")
    return array.astype(np.int32)

"""Counting pre-tokens of the "gpt2" pattern, compiled by numba: the expression as a loop.

`source.count_pretokens` is the definition. Here the same alternatives, in the same order, run over
code points with a table of their classes, and words are counted in a hash table on the spot.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numba
import numpy as np
import regex

from minillm.tokenizer import unicode16

BATCH_CHARACTERS = 1 << 21
OTHER, LETTER, NUMBER, SPACE = range(4)

_compiled = numba.njit(cache=True, nogil=True)


@lru_cache(maxsize=1)
def classes() -> np.ndarray:
    """The class of every code point: letter, number, space or other; uint8, (0x110000,)."""
    table = np.full(0x110000, OTHER, np.uint8)
    every = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    for name, expression in ((LETTER, r"\p{L}+"), (NUMBER, r"\p{N}+"), (SPACE, r"\s+")):
        for run in regex.findall(unicode16.frozen(expression), every):
            table[np.frombuffer(run.encode("utf-32-le"), np.uint32)] = name
    return table


@_compiled
def _contraction(codes, i, end):  # type: ignore[no-untyped-def]
    """Where a contraction that begins at i ends, or i: '(?:[sdmt]|ll|ve|re)."""
    if codes[i] != 39 or i + 1 >= end:
        return i
    c = codes[i + 1]
    if c == 115 or c == 100 or c == 109 or c == 116:  # s d m t
        return i + 2
    if i + 2 < end:
        d = codes[i + 2]
        if (c == 108 and d == 108) or ((c == 118 or c == 114) and d == 101):  # ll ve re
            return i + 3
    return i


@_compiled
def _word_end(codes, classes, i, end):  # type: ignore[no-untyped-def]
    """Where the pre-token that begins at i ends."""
    j = _contraction(codes, i, end)
    if j > i:
        return j
    j = i
    kind = classes[codes[i]]
    if codes[i] == 32 and i + 1 < end and classes[codes[i + 1]] != 3:
        j = i + 1  # a space belongs to the word behind it
        kind = classes[codes[j]]
    while j < end and classes[codes[j]] == kind:
        j += 1
    if kind == 3 and j < end and j > i + 1:
        j -= 1  # \s+(?!\S): the last space is left to what follows
    return j


@_compiled
def _count(codes, ends, classes, slots, begin, length, count):  # type: ignore[no-untyped-def]
    """Count the pre-tokens of the pieces that end at `ends`; return the number of distinct ones."""
    n_words = 0
    mask = len(slots) - 1
    i = 0
    for end in ends:
        while i < end:
            j = _word_end(codes, classes, i, end)
            h = np.uint64(14695981039346656037)
            for k in range(i, j):
                h = (h ^ np.uint64(codes[k])) * np.uint64(1099511628211)
            at = np.int64((h ^ (h >> np.uint64(31))) & np.uint64(mask))
            while True:
                word = slots[at]
                if word < 0:
                    slots[at] = n_words
                    begin[n_words], length[n_words], count[n_words] = i, j - i, 1
                    n_words += 1
                    break
                if length[word] == j - i:
                    same = 0
                    while same < j - i and codes[begin[word] + same] == codes[i + same]:
                        same += 1
                    if same == j - i:
                        count[word] += 1
                        break
                at = (at + 1) & mask
            i = j
    return n_words


def count_pretokens(pieces: Iterable[str]) -> Counter[bytes]:
    """Count the "gpt2" pre-tokens of pieces of text, in order of first appearance.

    Args:
        pieces: repaired texts that can be pre-tokenised one by one, as from `source_pieces`.

    Cost: about 120 bytes of memory for each character of a batch.
    """
    counts: Counter[str] = Counter()
    for batch in _batches(pieces):
        text = "".join(batch)
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        ends = np.cumsum(np.fromiter(map(len, batch), np.int64, len(batch)))
        slots = np.full(1 << (2 * len(codes)).bit_length(), -1, np.int32)
        begin, length, count = (np.empty(len(codes), np.int64) for _ in range(3))
        n = _count(codes, ends, classes(), slots, begin, length, count)
        for b, k, c in zip(
            begin[:n].tolist(), length[:n].tolist(), count[:n].tolist(), strict=True
        ):
            counts[text[b : b + k]] += c
    return Counter({word.encode("utf-8"): n for word, n in counts.items()})


def _batches(pieces: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for piece in pieces:
        if piece:
            batch.append(piece)
            size += len(piece)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

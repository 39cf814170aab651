"""Suffix array (SA-IS) and LCP array in linear time, compiled by numba.

The idea of SA-IS. A suffix is *small* if it comes before the suffix that starts one place later,
else *large*. A small one whose left neighbour is large is called LMS; at most every other is one.
If the LMS suffixes are in order, two sweeps put all others in order, because each suffix is decided
by its first letter and by the suffix behind it ("induced"). And to bring the LMS suffixes into
order: sort the stretches from one LMS to the next by the same two sweeps, number them, and if two
are equal, sort the suffixes of the row of numbers, at most half as long, by the same method.

Letter and type of place i are kept in one number, codes[i] = 2 letter + (1 if small): one look-up
instead of two, and all suffixes of one code stand side by side, the large before the small.
"""

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True)
_NONE = -1


@_compiled
def _encode(text, codes):  # type: ignore[no-untyped-def]
    """Write 2 letter + (1 if the suffix is small); return the number of LMS suffixes."""
    n = len(text)
    codes[n - 1] = 2 * np.int64(text[n - 1])  # the end of a text comes before every letter
    n_lms = 0
    for i in range(n - 2, -1, -1):
        after = codes[i + 1]
        code = 2 * np.int64(text[i])
        # smaller letter, or the same and the next one is small: then this one is small
        code += code + 1 <= after
        codes[i] = code
        n_lms += (after & 1) and not (code & 1)
    return n_lms


@_compiled
def _starts(counts, place):  # type: ignore[no-untyped-def]
    total = 0
    for code in range(len(counts)):
        place[code] = total
        total += counts[code]


@_compiled
def _ends(counts, place):  # type: ignore[no-untyped-def]
    total = 0
    for code in range(len(counts)):
        total += counts[code]
        place[code] = total


@_compiled
def _induce(codes, counts, place, sa):  # type: ignore[no-untyped-def]
    """From LMS suffixes in their places: all large ones from the left, all small from the right."""
    n = len(codes)
    _starts(counts, place)
    last = codes[n - 1]  # the last suffix is large, and comes first among those of its code
    sa[place[last]] = n - 1
    place[last] += 1
    for i in range(n):
        j = sa[i] - 1
        if j >= 0:
            code = codes[j]
            if not code & 1:
                sa[place[code]] = j
                place[code] += 1
    _ends(counts, place)
    for i in range(n - 1, -1, -1):
        j = sa[i] - 1
        if j >= 0:
            code = codes[j]
            if code & 1:
                place[code] -= 1
                sa[place[code]] = j


@_compiled
def _place_lms(codes, counts, place, sa):  # type: ignore[no-untyped-def]
    """Put the LMS suffixes, in any order, at the end of the part of their code."""
    sa[:] = _NONE
    _ends(counts, place)
    for i in range(len(codes) - 1, 0, -1):
        if codes[i] & 1 and not codes[i - 1] & 1:
            place[codes[i]] -= 1
            sa[place[codes[i]]] = i


@_compiled
def _place_sorted(codes, counts, place, order, places, sa):  # type: ignore[no-untyped-def]
    """Put the LMS suffixes, now in order, at the end of the part of their code."""
    sa[:] = _NONE
    _ends(counts, place)
    for i in range(len(order) - 1, -1, -1):
        j = places[order[i]]
        place[codes[j]] -= 1
        sa[place[codes[j]]] = j


@_compiled
def _equal(codes, i, j):  # type: ignore[no-untyped-def]
    """Whether the stretches from LMS i and from LMS j to the next LMS are equal."""
    n = len(codes)
    k = 0
    while i + k < n and j + k < n and codes[i + k] == codes[j + k]:
        if k > 0 and codes[i + k] & 1:
            end_i, end_j = not codes[i + k - 1] & 1, not codes[j + k - 1] & 1
            if end_i or end_j:
                return end_i == end_j
        k += 1
    return False


@_compiled
def _name(codes, sa, n_lms, names, places):  # type: ignore[no-untyped-def]
    """Number the LMS stretches in their order, equal ones alike; return how many numbers.

    `sa` is used up: behind the LMS suffixes it holds the names by position for a while.
    """
    n = len(codes)
    at = 0
    for i in range(n):
        j = sa[i]
        if j > 0 and codes[j] & 1 and not codes[j - 1] & 1:
            sa[at] = j
            at += 1
    sa[n_lms:] = _NONE
    name, before = -1, -1
    for i in range(n_lms):
        j = sa[i]
        if before < 0 or not _equal(codes, before, j):
            name += 1
        before = j
        sa[n_lms + j // 2] = name  # two LMS are never neighbours, so each has its own j // 2
    at = 0
    for i in range(n_lms, n):
        if sa[i] >= 0:
            names[at] = sa[i]
            at += 1
    at = 0
    for i in range(1, n):
        if codes[i] & 1 and not codes[i - 1] & 1:
            places[at] = i
            at += 1
    return name + 1


def build(text: np.ndarray) -> np.ndarray:
    """Build the suffix array.

    Args:
        text: (n,), uint8 or int32, values from 0 up. Memory grows with the largest value.

    Returns:
        (n,), int32.

    Raises:
        ValueError: if the text is too long, or a value too large, for int32.
    """
    n = len(text)
    if n >= 1 << 31:
        raise ValueError(f"the text has {n} entries; cut it into parts of less than 2^31")
    sa = np.zeros(n, np.int32)
    if n < 2:
        return sa
    largest = int(text.max())
    if largest >= 1 << 30:
        raise ValueError(f"tokens must be below 2^30, got {largest}; number them anew from 0")
    codes = np.empty(n, np.uint16 if text.dtype == np.uint8 else np.int32)
    n_lms = int(_encode(text, codes))
    counts = np.zeros(2 * largest + 2, np.int64)
    _count(codes, counts)
    place = np.empty_like(counts)
    _place_lms(codes, counts, place, sa)
    _induce(codes, counts, place, sa)
    if n_lms > 1:
        names, places = np.empty(n_lms, np.int32), np.empty(n_lms, np.int32)
        n_names = int(_name(codes, sa, n_lms, names, places))
        if n_names < n_lms:
            order = build(names)
        else:
            order = np.empty(n_lms, np.int32)
            order[names] = np.arange(n_lms, dtype=np.int32)
        _place_sorted(codes, counts, place, order, places, sa)
        _induce(codes, counts, place, sa)
    return sa


@_compiled
def _count(codes, counts):  # type: ignore[no-untyped-def]
    for i in range(len(codes)):
        counts[codes[i]] += 1


@_compiled
def _lcp(text, sa, phi, out):  # type: ignore[no-untyped-def]
    """phi[i] = the suffix before suffix i; then lengths by place in the text, written over phi."""
    n = len(text)
    phi[sa[0]] = _NONE
    for i in range(1, n):
        phi[sa[i]] = sa[i - 1]
    shared = 0
    for i in range(n):
        j = phi[i]
        if j < 0:
            shared = 0
        else:
            while i + shared < n and j + shared < n and text[i + shared] == text[j + shared]:
                shared += 1
        phi[i] = shared
        shared = max(shared - 1, 0)
    for i in range(n):
        out[i] = phi[sa[i]]


def lcp(text: np.ndarray, sa: np.ndarray) -> np.ndarray:
    """LCP array, (n,), int32, of a text and its suffix array."""
    out = np.zeros(len(sa), np.int32)
    if len(sa):
        _lcp(text, sa, np.empty(len(sa), np.int32), out)
    return out


@_compiled
def _mark(data, sa, lcp, k, keep_first, between, begins):  # type: ignore[no-untyped-def]
    """begins[i] = 1 where a repeated window of k bytes begins that is to be marked."""
    n = len(data)
    i = 1
    while i < n:
        if lcp[i] < k:
            i += 1
            continue
        start = i - 1
        while i < n and lcp[i] >= k:
            i += 1
        first = sa[start]
        for j in range(start, i):
            first = min(first, sa[j])
        inside = True
        for p in range(first, first + k):
            if data[p] == between:
                inside = False
                break
        if inside:
            for j in range(start, i):
                if sa[j] != first or not keep_first:
                    begins[sa[j]] = True


@_compiled
def _cover(begins, k, out):  # type: ignore[no-untyped-def]
    left = 0
    for i in range(len(begins)):
        if begins[i]:
            left = k
        if left > 0:
            out[i] = True
            left -= 1


def mark(
    data: np.ndarray, sa: np.ndarray, lcp: np.ndarray, k: int, keep_first: bool, between: int
) -> np.ndarray:
    """Mark all bytes of windows of k bytes that occur again; see `suffix_array.repeated_bytes`."""
    begins, out = np.zeros(len(data), np.bool_), np.zeros(len(data), np.bool_)
    _mark(data, sa, lcp, k, keep_first, between, begins)
    _cover(begins, k, out)
    return out

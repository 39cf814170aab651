"""MinHash in compiled loops (numba): same numbers as `minhash`, about a thousand times as fast.

Texts lie one after another in one array of bytes. Per text: find the words, hash each run of n of
them (`hash64`), keep the smallest value under each hash function.
"""

from collections.abc import Sequence

import numba
import numpy as np

from minillm.data.minhash import EMPTY, FNV_BASIS, FNV_PRIME, MIX_1, MIX_2

_compiled = numba.njit(cache=True, nogil=True)
_BASIS, _PRIME = np.uint64(FNV_BASIS), np.uint64(FNV_PRIME)
_MIX_1, _MIX_2 = np.uint64(MIX_1), np.uint64(MIX_2)
_SPACE = 32


@_compiled
def _fnv1a(data, start, end):  # type: ignore[no-untyped-def]
    h = _BASIS
    for i in range(start, end):
        h = (h ^ np.uint64(data[i])) * _PRIME
    return h


@_compiled
def _add(h, word):  # type: ignore[no-untyped-def]
    h = (h ^ word) * _MIX_1
    return h ^ (h >> np.uint64(32))


@_compiled
def _mix(h):  # type: ignore[no-untyped-def]
    h = (h ^ (h >> np.uint64(30))) * _MIX_1
    h = (h ^ (h >> np.uint64(27))) * _MIX_2
    return h ^ (h >> np.uint64(31))


@_compiled
def _hash_words(data, start, end, out):  # type: ignore[no-untyped-def]
    """Write the hash of each word between start and end; return how many there are."""
    n = 0
    for i in range(start, end + 1):
        if i == end or data[i] == _SPACE:
            out[n] = _fnv1a(data, start, i)
            n += 1
            start = i + 1
    return n


@_compiled
def _hash_each(data, ends, room, out):  # type: ignore[no-untyped-def]
    start = 0
    for k in range(len(ends)):
        h = np.uint64(0)
        for w in range(_hash_words(data, start, ends[k], room)):
            h = _add(h, room[w])
        out[k] = _mix(h)
        start = ends[k]


@_compiled
def _hash_shingles(data, ends, n, room, out, starts):  # type: ignore[no-untyped-def]
    """Hash each run of n words of each text; `room` holds the word hashes of one text."""
    n_out = 0
    start = 0
    for text in range(len(ends)):
        if ends[text] > start:
            n_words = _hash_words(data, start, ends[text], room)
            for w in range(max(n_words - n, 0) + 1):
                h = np.uint64(0)
                for v in range(w, min(w + n, n_words)):
                    h = _add(h, room[v])
                out[n_out] = _mix(h)
                n_out += 1
        starts[text + 1] = n_out
        start = ends[text]


@_compiled
def _smallest(hashes, starts, a, b, out):  # type: ignore[no-untyped-def]
    for text in range(len(starts) - 1):
        row = out[text]
        for i in range(starts[text], starts[text + 1]):
            x = hashes[i] >> np.uint64(32)
            for j in range(len(a)):
                value = np.uint32((a[j] * x + b[j]) >> np.uint64(32))
                row[j] = min(row[j], value)


@_compiled
def _shared(a, b):  # type: ignore[no-untyped-def]
    """How many numbers two sorted arrays without repeats have in common."""
    i = j = n = 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            n += 1
            i += 1
            j += 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return n


@_compiled
def _similarities(hashes, starts, pairs, out):  # type: ignore[no-untyped-def]
    for k in range(len(pairs)):
        i, j = pairs[k, 0], pairs[k, 1]
        a, b = hashes[starts[i] : starts[i + 1]], hashes[starts[j] : starts[j + 1]]
        shared = _shared(a, b)
        union = len(a) + len(b) - shared
        out[k] = shared / union if union else 1.0


def _joined(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """All texts as UTF-8 in one array, and where each ends."""
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    ends = np.cumsum(np.fromiter(map(len, raw), np.int64, len(raw)), dtype=np.int64)
    return np.frombuffer(b"".join(raw), np.uint8), ends


def element_hashes(elements: Sequence[str]) -> np.ndarray:
    """`hash64` of each string; (len(elements),), uint64."""
    data, ends = _joined(elements)
    out = np.empty(len(ends), np.uint64)
    longest = int(np.diff(ends, prepend=0).max(initial=0))
    _hash_each(data, ends, np.empty(longest + 1, np.uint64), out)
    return out


def shingle_hashes(normalised: Sequence[str], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash the word shingles of many texts.

    Args:
        normalised: results of `shingles.normalise`: words with one space between them.
        n: words in a shingle.

    Returns:
        hashes, uint64, one for each run of n words (repeats included), all texts one after
        another; and starts, (len(normalised) + 1,), int64: those of text i are
        hashes[starts[i] : starts[i + 1]].

    Raises:
        ValueError: if n < 1.

    Cost: n times the bytes of the texts; 8 bytes of memory a word.
    """
    if n < 1:
        raise ValueError(f"a shingle needs at least 1 word, got n={n}")
    data, ends = _joined(normalised)
    starts = np.zeros(len(ends) + 1, np.int64)
    longest = int(np.diff(ends, prepend=0).max(initial=0))
    out = np.empty(int((data == _SPACE).sum()) + len(ends), np.uint64)
    _hash_shingles(data, ends, n, np.empty(longest // 2 + 2, np.uint64), out, starts)
    return out[: starts[-1]], starts


def smallest(hashes: np.ndarray, starts: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The signature of each set of hashes: the smallest value under each hash function.

    Args:
        hashes, starts: as from `shingle_hashes`.
        a, b: as from `minhash.hash_functions`.

    Returns:
        (len(starts) - 1, len(a)), uint32.
    """
    out = np.full((len(starts) - 1, len(a)), EMPTY, np.uint32)
    _smallest(hashes, starts, a, b, out)
    return out


def distinct(hashes: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort the hashes of each text and leave out repeats; (hashes, starts) as they came in."""
    bounds = zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    parts = [np.unique(hashes[i:j]) for i, j in bounds]
    places = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    return np.concatenate([hashes[:0], *parts]), places


def similarities(hashes: np.ndarray, starts: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Exact Jaccard similarity of pairs of sets, by merging their sorted hashes.

    Args:
        hashes, starts: as from `distinct`.
        pairs: numbers of the two sets of each pair, (M, 2), int64.

    Returns:
        (M,), float64. Exact but for collisions of 64 bits: about 1 in 10^13 for sets of a thousand.
    """
    out = np.empty(len(pairs))
    _similarities(hashes, starts, pairs, out)
    return out

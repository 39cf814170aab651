"""The fast trainer's loops, compiled by numba: same plan as `bpe_fast`, arrays instead of dicts.

    positions  the tokens of all distinct pre-tokens one after another, linked to their neighbours
    pairs      a hash table (a, b) -> count and the list of positions where the pair began
    heap       pair numbers, by count and tie rule

Compiling takes some seconds the first time; numba keeps the result beside this file. The loops
return to Python every few hundred merges, so that Ctrl-C works and a bar can move.
"""

from collections.abc import Callable, Mapping

import numba
import numpy as np

from minillm.tokenizer.printable import GPT2_BYTE_ORDER

MERGES_A_CALL = 256
_N_PAIRS, _N_OCCURRENCES, _N_HEAP, _N_MERGES = range(4)  # places in `sizes`

_compiled = numba.njit(cache=True, nogil=True)


@_compiled
def _slot(pair_of, first, second, a, b):  # type: ignore[no-untyped-def]
    """Where pair (a, b) stands in the hash table, or the empty place where it would."""
    mask = len(pair_of) - 1
    h = (np.uint64(a) << np.uint64(32)) | np.uint64(b)
    h = (h ^ (h >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    at = np.int64((h ^ (h >> np.uint64(32))) & np.uint64(mask))
    while pair_of[at] >= 0 and (first[pair_of[at]] != a or second[pair_of[at]] != b):
        at = (at + 1) & mask
    return at


@_compiled
def _before(i, j, stamp, first, second, keys, start, text):  # type: ignore[no-untyped-def]
    """Whether pair i comes out of the heap before pair j."""
    if stamp[i] != stamp[j]:
        return stamp[i] > stamp[j]
    for part in (first, second):
        x, y = part[i], part[j]
        if x == y:
            continue
        if len(keys):
            return keys[x] < keys[y]
        n, m = start[x + 1] - start[x], start[y + 1] - start[y]
        for k in range(min(n, m)):
            p, q = text[start[x] + k], text[start[y] + k]
            if p != q:
                return p > q
        return n > m
    return False


@_compiled
def _push(heap, sizes, pair, stamp, first, second, keys, start, text):  # type: ignore[no-untyped-def]
    at = sizes[_N_HEAP]
    sizes[_N_HEAP] += 1
    while at > 0:
        above = (at - 1) // 2
        if not _before(pair, heap[above], stamp, first, second, keys, start, text):
            break
        heap[at] = heap[above]
        at = above
    heap[at] = pair


@_compiled
def _pop(heap, sizes, stamp, first, second, keys, start, text):  # type: ignore[no-untyped-def]
    top = heap[0]
    sizes[_N_HEAP] -= 1
    n = sizes[_N_HEAP]
    last = heap[n]
    at = 0
    while 2 * at + 1 < n:
        child = 2 * at + 1
        if child + 1 < n and _before(
            heap[child + 1], heap[child], stamp, first, second, keys, start, text
        ):
            child += 1
        if not _before(heap[child], last, stamp, first, second, keys, start, text):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = last
    return top


@_compiled
def _note(table, sizes, a, b, weight, position):  # type: ignore[no-untyped-def]
    """Count one more place where (a, b) begins, and remember it at the end of the pair's list."""
    pair_of, first, second, count, head, tail, place, following = table
    at = _slot(pair_of, first, second, a, b)
    entry = sizes[_N_OCCURRENCES]
    sizes[_N_OCCURRENCES] += 1
    place[entry], following[entry] = position, -1
    pair = pair_of[at]
    if pair < 0:
        pair = sizes[_N_PAIRS]
        sizes[_N_PAIRS] += 1
        pair_of[at] = pair
        first[pair], second[pair], count[pair], head[pair] = a, b, 0, entry
    else:
        following[tail[pair]] = entry
    tail[pair] = entry
    count[pair] += weight


@_compiled
def _begin(token, right, weight, table, sizes, heap, stamp, keys, start, text):  # type: ignore[no-untyped-def]
    """Fill the table and the heap."""
    first, second, count = table[1], table[2], table[3]
    for p in range(len(token)):
        if right[p] >= 0:
            _note(table, sizes, token[p], token[right[p]], weight[p], p)
    for pair in range(sizes[_N_PAIRS]):
        stamp[pair] = count[pair]
        _push(heap, sizes, pair, stamp, first, second, keys, start, text)


@_compiled
def _merge_some(  # type: ignore[no-untyped-def]
    goal, longest, token, left, right, weight, table, sizes, heap, stamp, keys, start, text, out
):
    """Merge until `goal` merges are done in all, or no pair is left."""
    pair_of, first, second, count, head, _, place, following = table
    while sizes[_N_HEAP] > 0 and sizes[_N_MERGES] < goal:
        pair = _pop(heap, sizes, stamp, first, second, keys, start, text)
        if count[pair] != stamp[pair]:  # out of date: put it back where it belongs
            stamp[pair] = count[pair]
            if count[pair] > 0:
                _push(heap, sizes, pair, stamp, first, second, keys, start, text)
            continue
        a, b = first[pair], second[pair]
        len_a, len_b = start[a + 1] - start[a], start[b + 1] - start[b]
        if len_a + len_b > longest:
            continue
        new = np.int32(256 + sizes[_N_MERGES])
        start[new + 1] = start[new] + len_a + len_b
        text[start[new] : start[new] + len_a] = text[start[a] : start[a + 1]]
        text[start[new] + len_a : start[new + 1]] = text[start[b] : start[b + 1]]
        n_before = sizes[_N_PAIRS]
        entry = head[pair]
        while entry >= 0:
            p = place[entry]
            entry = following[entry]
            q = right[p]
            if token[p] != a or q < 0 or token[q] != b:
                continue
            w, before, after = weight[p], left[p], right[q]
            if before >= 0:
                count[pair_of[_slot(pair_of, first, second, token[before], a)]] -= w
                _note(table, sizes, token[before], new, w, before)
            if after >= 0:
                count[pair_of[_slot(pair_of, first, second, b, token[after])]] -= w
                _note(table, sizes, new, token[after], w, p)
                left[after] = p
            token[p], token[q], right[p] = new, -1, after
        for made in range(n_before, sizes[_N_PAIRS]):
            stamp[made] = count[made]
            if count[made] > 0:
                _push(heap, sizes, made, stamp, first, second, keys, start, text)
        out[sizes[_N_MERGES], 0], out[sizes[_N_MERGES], 1] = a, b
        sizes[_N_MERGES] += 1


def merge_pairs(
    counted: Mapping[bytes, int],
    n_merges: int,
    ties: str,
    max_token_bytes: int | None = None,
    tick: Callable[[int], object] = lambda n: None,
) -> list[tuple[int, int]]:
    """Learn merges from counted pre-tokens; the compiled twin of `bpe_fast.merge_pairs`.

    Arguments and result are the same; `tick` is called with the merges of each call.

    Cost: about 150 bytes of memory for each byte of the distinct pre-tokens.
    """
    token = np.frombuffer(b"".join(counted), np.uint8).astype(np.int32)
    n = len(token)
    lengths = np.fromiter(map(len, counted), np.int64, len(counted))
    ends = np.cumsum(lengths)
    frequency = np.fromiter(counted.values(), np.int64, len(counted))
    right = np.arange(1, n + 1, dtype=np.int32)
    left = np.arange(-1, n - 1, dtype=np.int32)
    right[ends[lengths > 0] - 1] = -1
    left[(ends - lengths)[lengths > 0]] = -1
    weight = np.repeat(frequency, lengths)

    most = max(3 * n, 1)  # each merge of two places makes at most two pairs, and ends one place
    slots = np.full(1 << (2 * most).bit_length(), -1, np.int32)
    part = [np.zeros(most, np.int32) for _ in range(6)]
    table = (slots, part[0], part[1], np.zeros(most, np.int64), *part[2:])
    sizes, heap = np.zeros(4, np.int64), np.zeros(most, np.int32)
    stamp, out = np.zeros(most, np.int64), np.zeros((n_merges, 2), np.int32)
    longest = int(max_token_bytes or lengths.max(initial=0))
    start = np.zeros(257 + n_merges, np.int64)
    start[:257] = np.arange(257)
    text = np.zeros(256 + n_merges * longest, np.uint8)
    text[:256] = np.arange(256)
    keys = _keys(ties, n_merges)
    _begin(token, right, weight, table, sizes, heap, stamp, keys, start, text)
    done = 0
    while done < n_merges:
        goal = min(done + MERGES_A_CALL, n_merges)
        _merge_some(
            goal, longest, token, left, right, weight, table, sizes, heap, stamp, keys, start,
            text, out,
        )  # fmt: skip
        tick(int(sizes[_N_MERGES]) - done)
        if sizes[_N_MERGES] < goal:
            break
        done = goal
    return [(int(a), int(b)) for a, b in out[: sizes[_N_MERGES]]]


def _keys(ties: str, n_merges: int) -> np.ndarray:
    """For the rules by id, what to compare; empty for "greatest", which compares byte strings."""
    if ties == "greatest":
        return np.zeros(0, np.int64)
    keys = np.arange(256 + n_merges)
    if ties == "gpt2_id":
        keys[list(GPT2_BYTE_ORDER)] = np.arange(256)
    return keys

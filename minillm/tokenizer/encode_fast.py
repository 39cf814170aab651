"""Encoding one pre-token fast, and remembering the answers: the twin of encode_word_readable."""

import heapq
from collections.abc import Mapping
from itertools import pairwise

LONGEST_SCANNED = 48  # parts; up to here a scan beats a heap
LONGEST_REMEMBERED = 64  # characters; longer pre-tokens are rare, and not kept
MOST_REMEMBERED = 1 << 17  # pre-tokens; then the cache starts afresh


class WordCache(dict[str, list[int]]):
    """pre-token -> its ids, worked out when first asked for; never more than `limit` of them.

    Most of a text is words seen before (Zipf), so a dict in front of the merge loop does most of
    the work of encoding.

    Args:
        ranks: pair of byte strings -> its place in the list of merges.
        id_of: byte string -> id, for the bytes and every merge's result.
        limit: how many pre-tokens to remember.
    """

    def __init__(
        self,
        ranks: Mapping[tuple[bytes, bytes], int],
        id_of: Mapping[bytes, int],
        limit: int = MOST_REMEMBERED,
    ) -> None:
        super().__init__()
        self.limit = limit
        # id pair -> (rank, id of the result); ids are what the merge loop works on
        self.table = {(id_of[a], id_of[b]): (rank, id_of[a + b]) for (a, b), rank in ranks.items()}
        self.id_of_byte = [id_of[bytes([i])] for i in range(256)]

    def __missing__(self, word: str) -> list[int]:
        ids = [self.id_of_byte[byte] for byte in word.encode("utf-8")]
        ids = self.merge(ids)
        if len(word) <= LONGEST_REMEMBERED:
            if len(self) >= self.limit:
                self.clear()
            self[word] = ids
        return ids

    def merge(self, ids: list[int]) -> list[int]:
        """Merge the ids of bytes as far as the table goes."""
        return self.merge_short(ids) if len(ids) <= LONGEST_SCANNED else self.merge_long(ids)

    def merge_short(self, ids: list[int]) -> list[int]:
        """Merge by scanning for the lowest rank. O(n^2), fastest for words."""
        table = self.table
        while len(ids) > 1:
            best, at = None, -1
            for i, pair in enumerate(pairwise(ids)):
                found = table.get(pair)
                if found is not None and (best is None or found < best):
                    best, at = found, i
            if best is None:
                break
            ids[at : at + 2] = [best[1]]
        return ids

    def merge_long(self, ids: list[int]) -> list[int]:
        """Merge with a heap of candidates over a linked list. O(n log n), for long runs."""
        table, n = self.table, len(ids)
        after = list(range(1, n + 1))  # the next living part, n at the end
        before = list(range(-1, n - 1))
        alive = list(ids)  # -1: merged into its left neighbour
        heap: list[tuple[int, int, int, int, int]] = []  # rank, place, the pair, its result

        def offer(left: int, right: int) -> None:
            if left >= 0 and right < n:
                pair = (alive[left], alive[right])
                if pair in table:
                    rank, new = table[pair]
                    heapq.heappush(heap, (rank, left, *pair, new))

        for i in range(n - 1):
            offer(i, i + 1)
        while heap:
            _, left, a, b, new = heapq.heappop(heap)
            right = after[left]
            if alive[left] != a or right >= n or alive[right] != b:
                continue  # one of the two was merged since
            alive[left], alive[right] = new, -1
            after[left] = after[right]
            if after[left] < n:
                before[after[left]] = left
            offer(before[left], left)
            offer(left, after[left])
        return [i for i in alive if i >= 0]

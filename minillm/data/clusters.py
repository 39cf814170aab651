"""From pairs to clusters, and which copy to keep.

Near duplicates are found in pairs. If A resembles B and B resembles C, the three form a cluster of
which one is kept, even where A and C by themselves lie below the threshold: clusters are the
connected parts of the graph of pairs.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np

Keep = Literal["first", "longest"]


class UnionFind:
    """Sets that grow together: each member points to another, the last one is the root.

    Attributes:
        parent: to whom each member points; a root points to itself. The root is always the
            smallest member, so that the result does not depend on the order of the pairs.
    """

    def __init__(self, n: int) -> None:
        if n < 0:
            raise ValueError(f"a union-find needs n >= 0 members, got {n}")
        self.parent = list(range(n))

    def find(self, i: int) -> int:
        """The root of i; what was passed on the way then points closer to it (path halving).

        Raises:
            IndexError: if there is no member i.
        """
        if i < 0:
            raise IndexError(f"members are numbered from 0, got {i}")
        parent = self.parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def union(self, i: int, j: int) -> bool:
        """Join the sets of i and j; say whether they were two."""
        i, j = self.find(i), self.find(j)
        if i == j:
            return False
        self.parent[max(i, j)] = min(i, j)
        return True


def clusters(n: int, pairs: Iterable[Sequence[int]] | np.ndarray) -> list[list[int]]:
    """The connected parts of the graph of n texts and their pairs.

    Args:
        n: number of texts.
        pairs: (i, j), in any order.

    Returns:
        Every text once, in increasing order within its cluster; clusters in the order of their
        first text. A text without a partner is a cluster of one.

    Raises:
        ValueError: if a pair names a text that is not there.

    Cost: nearly linear in n and the number of pairs.
    Source: Tarjan 1975, Efficiency of a good but not linear set union algorithm.
    Lesson: notebooks/04_dedup.ipynb
    """
    sets = UnionFind(n)
    for i, j in np.asarray(pairs, np.int64).reshape(-1, 2).tolist() if n else ():
        if not (0 <= i < n and 0 <= j < n):
            raise ValueError(f"the pair ({i}, {j}) names a text that is not among the {n}")
        sets.union(i, j)
    found: dict[int, list[int]] = {}
    for i in range(n):
        found.setdefault(sets.find(i), []).append(i)
    return list(found.values())


def keep_one(
    found: Sequence[Sequence[int]],
    keep: Keep | Callable[[Sequence[int]], int] = "first",
    lengths: Sequence[int] | None = None,
) -> list[int]:
    """Choose the copy of each cluster that stays.

    Args:
        found: clusters of text numbers, as from `clusters`.
        keep: "first" (the earliest: the same result whatever comes later), "longest" (the fullest
            version; of equally long ones the earliest), or a function from a cluster to one of its
            members, such as the one of the best quality score.
        lengths: length of each text, for "longest".

    Returns:
        The numbers to keep, in increasing order.

    Raises:
        ValueError: if keep is unknown, lengths are missing, or a function returned a stranger.

    Lesson: notebooks/04_dedup.ipynb
    """
    if keep == "longest" and lengths is None:
        raise ValueError("keep='longest' needs lengths=[len(text) for text in texts]")
    if not callable(keep) and keep not in ("first", "longest"):
        raise ValueError(f"keep must be 'first', 'longest' or a function, got {keep!r}")
    kept = []
    for cluster in found:
        if callable(keep):
            chosen = keep(cluster)
        elif keep == "longest":
            assert lengths is not None
            chosen = min(cluster, key=lambda i: (-lengths[i], i))
        else:
            chosen = min(cluster)
        if chosen not in cluster:
            raise ValueError(f"keep chose {chosen!r}, which is not in the cluster {list(cluster)}")
        kept.append(chosen)
    return sorted(kept)

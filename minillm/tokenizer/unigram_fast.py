"""The lattice of Unigram training in arrays: all words at once, one place after another.

    node    a place in a word; the words lie one behind the other
    edge    a piece that fits between two places; edges are sorted by the place where they end
    level   how many characters stand before the place; all nodes of one level are done together

`unigram_train.expected_counts` says the same for one word at a time, and is the definition.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np


class Lattice:
    """All ways to cut counted words into pieces.

    Args:
        words: word -> how often it occurs.
        scores: piece -> log-probability. Every character of the words must be a piece.

    Attributes:
        pieces: (P) the pieces.
        scores: (P,) their log-probabilities; may be set anew between steps.
        single: (P,) whether a piece is one character.

    Raises:
        ValueError: if a character of a word is not a piece.
    """

    def __init__(self, words: Mapping[str, int], scores: Mapping[str, float]) -> None:
        self.pieces = list(scores)
        self.scores = np.array(list(scores.values()), dtype=np.float64)
        self.single = np.array([len(piece) == 1 for piece in self.pieces])
        index = {piece: i for i, piece in enumerate(self.pieces)}
        longest = max(map(len, self.pieces))
        found: list[tuple[int, int, int, int]] = []  # level of end, end, start, piece
        first = 0
        self._begin, self._end, times = [], [], []
        for word, n in words.items():
            for start in range(len(word)):
                if word[start] not in index:
                    raise ValueError(f"the pieces cannot spell {word!r}; add its characters")
                for end in range(start + 1, min(len(word), start + longest) + 1):
                    i = index.get(word[start:end])
                    if i is not None:
                        found.append((end, first + end, first + start, i))
            self._begin.append(first)
            self._end.append(first + len(word))
            times.append(n)
            first += len(word) + 1
        edges = np.array(sorted(found), dtype=np.int64).reshape(-1, 4)
        self._n_nodes = first
        self._word = np.repeat(np.arange(len(times)), np.diff([*self._begin, first]))
        self._times = np.array(times, dtype=np.float64)
        self._set_edges(edges)

    def _set_edges(self, edges: np.ndarray) -> None:
        """Sort edges for both directions and find where each level and each node begins."""
        level, end, start, piece = edges.T
        self._edges, self._start, self._stop, self._piece = edges, start, end, piece
        self._forward = list(_groups(level, end))
        start_level = level - (end - start)
        order = np.lexsort((start, -start_level))
        self._order = order
        self._backward = list(_groups(-start_level[order], start[order]))

    def keeping(self, keep: np.ndarray) -> "Lattice":
        """The lattice with only some of the pieces; single characters must be among them.

        Raises:
            ValueError: if a single character is dropped.
        """
        if (self.single & ~keep).any():
            lost = self.pieces[int(np.flatnonzero(self.single & ~keep)[0])]
            raise ValueError(f"the character {lost!r} must stay, or words could not be spelled")
        new = object.__new__(Lattice)
        new.__dict__ |= self.__dict__
        new.pieces = [piece for piece, kept in zip(self.pieces, keep, strict=True) if kept]
        new.scores, new.single = self.scores[keep], self.single[keep]
        edges = self._edges[keep[self._piece]].copy()
        edges[:, 3] = (np.cumsum(keep) - 1)[edges[:, 3]]
        new._set_edges(edges)
        return new

    def expected_counts(self) -> tuple[np.ndarray, float]:
        """Expected uses of each piece, (P,), and the log-likelihood of the words in nats.

        Cost: two passes over the edges, a few numpy calls for each level.
        """
        before, after = np.zeros(self._n_nodes), np.zeros(self._n_nodes)
        scores = self.scores[self._piece]
        for edges, nodes, firsts in self._forward:
            before[nodes] = _log_sums(before[self._start[edges]] + scores[edges], firsts)
        for edges, nodes, firsts in self._backward:
            chosen = self._order[edges]
            after[nodes] = _log_sums(after[self._stop[chosen]] + scores[chosen], firsts)
        whole = before[self._end]  # log p(word)
        word = self._word[self._start]
        share = np.exp(before[self._start] + scores + after[self._stop] - whole[word])
        counts = np.bincount(self._piece, share * self._times[word], minlength=len(self.pieces))
        return counts, float(whole @ self._times)

    def best_counts(self) -> np.ndarray:
        """Uses of each piece in the best cut of every word, (P,)."""
        best = np.zeros(self._n_nodes)
        into = np.zeros(self._n_nodes, dtype=np.int64)  # the edge of the best way into a node
        scores = self.scores[self._piece]
        for edges, nodes, firsts in self._forward:
            reached = best[self._start[edges]] + scores[edges]
            best[nodes] = np.maximum.reduceat(reached, firsts)
            hit = np.flatnonzero(reached == np.repeat(best[nodes], _lengths(firsts, len(reached))))
            into[self._stop[edges][hit[::-1]]] = edges.start + hit[::-1]  # the first one stays
        counts = np.zeros(len(self.pieces))
        node = np.array(self._end)
        begin, times = np.array(self._begin), self._times
        while (open_ := node > begin).any():
            node, begin, times = node[open_], begin[open_], times[open_]
            edge = into[node]
            np.add.at(counts, self._piece[edge], times)
            node = self._start[edge]
        return counts


def _groups(level: np.ndarray, node: np.ndarray):  # type: ignore[no-untyped-def]
    """For each level, in order: its slice of edges, its nodes, where each node's edges begin."""
    cuts = [0, *(np.flatnonzero(np.diff(level)) + 1).tolist(), len(level)]
    for low, high in pairwise(cuts):
        if high > low:
            here = node[low:high]
            firsts = np.flatnonzero(np.r_[True, np.diff(here) != 0])
            yield slice(low, high), here[firsts], firsts


def _lengths(firsts: np.ndarray, n: int) -> np.ndarray:
    """How many edges each node has."""
    return np.diff(np.r_[firsts, n])


def _log_sums(values: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """log of the sum of exp over each node's edges, safe from under- and overflow."""
    top = np.maximum.reduceat(values, firsts)
    spread = np.exp(values - np.repeat(top, _lengths(firsts, len(values))))
    return top + np.log(np.add.reduceat(spread, firsts))

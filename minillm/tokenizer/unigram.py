"""Unigram: of all ways to cut a text into pieces, take the most probable one.

    p(cut) = product of p(piece)          best cut = the one with the greatest sum of log p

A text of n characters can have 2^(n-1) cuts, yet the best one is found in one pass from left to
right (Viterbi): the best way to a place is the best way to an earlier place, and one piece more.

    unknown     a character that no piece spells costs 10 nats more than the rarest piece
    sampling    because cuts have probabilities, one can also draw them: subword regularisation

Pieces hold their spaces as they are. SentencePiece writes "▁" for a space, and so gives a text
that holds a "▁" itself back with a space in its place; `marked` is for printing only.

Lesson: notebooks/07a_tokenizers.ipynb
"""

import heapq
import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from minillm.tokenizer.byte_fallback import BYTE_PIECES, byte_of
from minillm.tokenizer.pretokenize import pieces_of, repair, resolve

UNKNOWN = "<unk>"
UNKNOWN_PENALTY = 10.0  # nats; what SentencePiece and Hugging Face take
CACHED_WORDS, CACHED_CHARS = 1 << 15, 64
_HERE = ""  # in a node of the trie: the id of the piece that ends here

Cut = tuple[list[str], float]


class Unigram:
    """A Unigram tokenizer.

    Args:
        pieces: (text, log-probability) in the order of their ids.
        unknown: id of the piece for unknown characters; runs of them become one token.
        byte_fallback: spell unknown characters in bytes instead; the 256 byte pieces must be there.
        pattern: how a text is cut before; see `pretokens`. No piece crosses such a cut.

    Raises:
        ValueError: if a piece is empty or given twice, a log-probability is not finite, `unknown`
            is not an id, or byte pieces are lacking.

    Source: Kudo 2018, Subword Regularization, arXiv:1804.10959.
    Lesson: notebooks/07a_tokenizers.ipynb
    """

    def __init__(
        self,
        pieces: Sequence[tuple[str, float]],
        unknown: int = 0,
        *,
        byte_fallback: bool = False,
        pattern: str = "none",
    ) -> None:
        self.pieces = [(str(text), float(score)) for text, score in pieces]
        self.ids = {text: i for i, (text, _) in enumerate(self.pieces)}
        self.unknown, self.byte_fallback, self.pattern = unknown, byte_fallback, pattern
        self._check()
        self._split = resolve(pattern)
        self._scores = [score for _, score in self.pieces]
        self._scores[unknown] = min(self._scores) - UNKNOWN_PENALTY
        self._trie: dict = {}
        for text, i in self.ids.items():
            # text that only looks like these two kinds of pieces must not become one of them
            if i != unknown and not (byte_fallback and byte_of(text) is not None):
                node = self._trie
                for character in text:
                    node = node.setdefault(character, {})
                node[_HERE] = i
        self._cached = lru_cache(CACHED_WORDS)(self._word_ids)

    def _check(self) -> None:
        twice = [t for t, n in Counter(t for t, _ in self.pieces).items() if n > 1 or not t]
        if twice:
            raise ValueError(f"pieces must be distinct and not empty; see {twice[0]!r}")
        for text, score in self.pieces:
            if not math.isfinite(score):
                raise ValueError(f"the log-probability of {text!r} must be finite, got {score}")
        if not 0 <= self.unknown < len(self.pieces):
            raise ValueError(
                f"unknown must be an id, 0 to {len(self.pieces) - 1}; got {self.unknown}"
            )
        lacking = [piece for piece in BYTE_PIECES if piece not in self.ids]
        if self.byte_fallback and lacking:
            raise ValueError(f"byte_fallback needs 256 byte pieces; {lacking[0]} is lacking")

    def __repr__(self) -> str:
        how = "byte fallback" if self.byte_fallback else f"unknown {self.pieces[self.unknown][0]!r}"
        return f"Unigram({len(self.pieces)} pieces, {how}, pattern {self.pattern!r})"

    def edges(self, text: str) -> Iterator[tuple[int, int, int]]:
        """All pieces that fit somewhere: (start, end, id), by start and then by end.

        A place where no piece spells the next character alone has an edge for `unknown`, of one
        character.
        """
        n = len(text)
        for start in range(n):
            node, alone = self._trie, False
            for end in range(start, n):
                if text[end] not in node:
                    break
                node = node[text[end]]
                if _HERE in node:
                    yield start, end + 1, node[_HERE]
                    alone |= end == start
            if not alone:
                yield start, start + 1, self.unknown

    def best(self, text: str) -> Cut:
        """The most probable cut (Viterbi).

        Returns:
            The pieces, a run of unknown characters as one, and the log-probability. Among equals
            the cut whose last piece is longest wins, as in Hugging Face's.

        Cost: O(n x the longest piece) time, O(n) memory for n characters.
        """
        score = [0.0] + [-math.inf] * len(text)
        back: list[tuple[int, int]] = [(0, 0)] * (len(text) + 1)
        for start, end, i in self.edges(text):
            candidate = score[start] + self._scores[i]
            if candidate > score[end]:
                score[end], back[end] = candidate, (start, i)
        pieces: list[str] = []
        end, behind = len(text), -1  # `behind`: the id of the piece to the right
        while end > 0:
            start, i = back[end]
            if i == behind == self.unknown:
                pieces[-1] = text[start:end] + pieces[-1]
            else:
                pieces.append(text[start:end])
            end, behind = start, i
        return pieces[::-1], score[-1]

    def n_best(self, text: str, n: int) -> list[Cut]:
        """The n most probable cuts, best first; each unknown character is a piece here.

        Raises:
            ValueError: if n < 1.

        Cost: O(n log n) for each edge.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        # for each end: (log-probability, start, which of the cuts up to start)
        ways: list[list[tuple[float, int, int]]] = [[] for _ in range(len(text) + 1)]
        ways[0] = [(0.0, 0, 0)]
        for start, end, i in sorted(self.edges(text), key=lambda edge: edge[1]):
            here = [(s + self._scores[i], start, k) for k, (s, _, _) in enumerate(ways[start])]
            ways[end] = heapq.nlargest(n, [*ways[end], *here])
        cuts = []
        for rank, (score, _, _) in enumerate(ways[-1]):
            pieces: list[str] = []
            end, k = len(text), rank
            while end > 0:
                _, start, k_before = ways[end][k]
                pieces.append(text[start:end])
                end, k = start, k_before
            cuts.append((pieces[::-1], score))
        return cuts

    def log_sums(self, text: str, alpha: float = 1.0) -> list[float]:
        """For each place, the logarithm of the summed p^alpha of all cuts of the text before it.

        The last entry, with alpha 1, is the log-probability of the text under the model: all of
        its cuts together.
        """
        total = [0.0] + [-math.inf] * len(text)
        for start, end, i in self.edges(text):  # by start: total[start] is complete by then
            total[end] = _log_add(total[end], total[start] + alpha * self._scores[i])
        return total

    def sample(self, text: str, alpha: float, rng: random.Random) -> list[str]:
        """Draw a cut with probability proportional to p(cut)^alpha.

        Args:
            text: the text, best a word: the cuts of its parts are then independent.
            alpha: 1 draws from the model; larger is nearer to the best cut, 0 is uniform.
            rng: the source of randomness.

        Raises:
            ValueError: if alpha is negative or not finite.

        Source: Kudo 2018, arXiv:1804.10959, section 3.2.
        """
        if not (math.isfinite(alpha) and alpha >= 0):
            raise ValueError(f"alpha must be finite and not negative, got {alpha}")
        total = self.log_sums(text, alpha)
        into: list[list[tuple[int, int]]] = [[] for _ in total]
        for start, end, i in self.edges(text):
            into[end].append((start, i))
        pieces: list[str] = []
        end = len(text)
        while end > 0:
            weights = [
                math.exp(total[start] + alpha * self._scores[i] - total[end])
                for start, i in into[end]
            ]
            start = rng.choices(into[end], weights)[0][0]
            pieces.append(text[start:end])
            end = start
        return pieces[::-1]

    def tokens(self, text: str) -> list[str]:
        """The pieces of a text; with byte fallback, unknown characters as byte pieces."""
        return [self.pieces[i][0] for i in self.encode(text)]

    def encode(self, text: str) -> list[int]:
        """The ids of a text.

        Args:
            text: any str; lone surrogates become U+FFFD.

        Cost: linear in the text.
        """
        words = pieces_of(self._split, repair(text))
        return [
            i
            for word in words
            for i in (self._cached(word) if len(word) <= CACHED_CHARS else self._word_ids(word))
        ]

    def _word_ids(self, word: str) -> tuple[int, ...]:
        ids: list[int] = []
        for piece in self.best(word)[0]:
            i = self.ids.get(piece, self.unknown)
            known = i != self.unknown and not (self.byte_fallback and byte_of(piece) is not None)
            if known or not self.byte_fallback:
                ids.append(i)
            else:
                ids += [self.ids[BYTE_PIECES[byte]] for byte in piece.encode("utf-8")]
        return tuple(ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids; an unknown piece, and bytes that are not UTF-8, become U+FFFD.

        Raises:
            ValueError: if an id is not in the vocabulary.
        """
        whole = []
        for i in ids:
            if not 0 <= i < len(self.pieces):
                raise ValueError(f"id {i} is not in this vocabulary (0 to {len(self.pieces) - 1})")
            piece = "\ufffd" if i == self.unknown else self.pieces[i][0]
            byte = byte_of(piece) if self.byte_fallback else None
            whole.append(piece.encode("utf-8") if byte is None else bytes([byte]))
        return b"".join(whole).decode("utf-8", "replace")


def marked(piece: str) -> str:
    """A piece for printing: spaces as "▁", as SentencePiece shows them."""
    return piece.replace(" ", "▁")


def _log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b)) without overflow."""
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))

"""WordPiece, the tokenizer of BERT: longest match first, and the scores it may be trained by.

    pieces     the first of a word as it is, the others with "##" before them: em ##bed ##ding
    encoding   from the left, always the longest piece that fits; no piece fits: the word is [UNK]
    training   as BPE, merge a pair again and again, but choose it by another score

Which score? Texts about WordPiece do not agree, so all three are here, as `SCORES`:

    "likelihood"  by how much the log-likelihood of the training text rises (the paper's words)
    "ratio"       count(ab) / (count(a) count(b)), which many tutorials print
    "frequency"   count(ab): this is BPE, and what the trainer of Hugging Face does

Lesson: notebooks/07a_tokenizers.ipynb
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import regex

from minillm.tokenizer.pretokenize import repair
from minillm.tokenizer.source import read_chunks

Pair = tuple[str, str]
PREFIX = "##"
UNKNOWN = "[UNK]"

_MARKS = r"!-/:-@\[-`{-~\p{P}"  # ASCII signs, and what Unicode calls punctuation
_WORD = regex.compile(rf"[{_MARKS}]|[^\s{_MARKS}]+")


def bert_words(text: str) -> list[str]:
    """Cut text as BERT does: at white space, which is dropped, and around every punctuation mark.

    bert_words("It's  2.5") -> ["It", "'", "s", "2", ".", "5"]

    Source: Devlin et al. 2019, arXiv:1810.04805, the released tokenization.py.
    Lesson: notebooks/07a_tokenizers.ipynb
    """
    return _WORD.findall(text)


Score = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]


def score_frequency(ab: np.ndarray, a: np.ndarray, b: np.ndarray, total: int) -> np.ndarray:
    """How often the pair occurs; the other counts do not matter. This is BPE."""
    return ab


def score_ratio(ab: np.ndarray, a: np.ndarray, b: np.ndarray, total: int) -> np.ndarray:
    """How often the pair occurs, by how often its parts do: count(ab) / (count(a) count(b)).

    It is largest for parts that never occur apart, however rare they are: a pair of two letters
    that both occur once has the largest score there is, 1.
    """
    return ab / (a * b)


def score_likelihood(ab: np.ndarray, a: np.ndarray, b: np.ndarray, total: int) -> np.ndarray:
    """By how much merging raises the log-likelihood of the text, in nats.

        L = sum over pieces of c log(c / N),  N = sum of c

    The merge takes ab occurrences from a and from b, gives them to a new piece, and leaves N - ab
    pieces. For pairs that are rare beside their parts this is near ab (log(N ab / (a b)) - 1): the
    logarithm of the ratio, weighted by how often the pair occurs.

    Args:
        ab, a, b: (P,) counts of pairs and of their two parts.
        total: N.

    Source: Schuster and Nakajima 2012, Japanese and Korean Voice Search, section 3.
    """
    kept = _x_log_x(a - ab) + _x_log_x(b - ab) + _x_log_x(ab) - _x_log_x(total - ab)
    return kept - _x_log_x(a) - _x_log_x(b) + _x_log_x(np.array(total))


SCORES: dict[str, Score] = {
    "likelihood": score_likelihood,
    "ratio": score_ratio,
    "frequency": score_frequency,
}


def train_wordpiece(
    source: str | Path | Iterable[str],
    vocab_size: int,
    special_tokens: Sequence[str] = (UNKNOWN,),
    *,
    score: str = "likelihood",
    min_count: int = 2,
    words: Callable[[str], list[str]] = bert_words,
) -> list[str]:
    """Train a WordPiece vocabulary.

    Args:
        source: a str or Path is a file; anything else is a list of texts.
        vocab_size: pieces in all, special tokens included; fewer come out if no pair is left.
        special_tokens: they come first, in this order.
        score: a name in SCORES.
        min_count: pairs that occur less often are never merged.
        words: cuts a text into words.

    Returns:
        The pieces in the order of their ids: special tokens, single characters (sorted), the
        characters seen inside words with "##" (sorted), then what was merged, in its order. Among
        pairs of equal score the one of smaller ids wins.

    Raises:
        ValueError: if the score is unknown, min_count < 1, or vocab_size has no room for the
            special tokens and the characters.

    Cost: O(merges x distinct pairs).
    Source: Schuster and Nakajima 2012, section 3.   Lesson: notebooks/07a_tokenizers.ipynb
    """
    if score not in SCORES:
        raise ValueError(f"score must be one of {', '.join(SCORES)}; got {score!r}")
    if min_count < 1:
        raise ValueError(f"min_count must be at least 1, got {min_count}")
    texts = ["".join(read_chunks(source))] if isinstance(source, str | Path) else source
    counted = Counter(word for text in texts for word in words(repair(text)))
    state = _Pairs(counted)
    pieces = list(dict.fromkeys([*special_tokens, *state.alphabet]))
    if len(pieces) > vocab_size:
        raise ValueError(
            f"vocab_size must be at least {len(pieces)} ({len(special_tokens)} special tokens and "
            f"the characters of the text), got {vocab_size}"
        )
    ids = {piece: i for i, piece in enumerate(pieces)}
    while len(ids) < vocab_size:
        pair = state.best(SCORES[score], min_count, ids)
        if pair is None:
            break
        new = state.merge(pair)
        ids.setdefault(new, len(ids))
    return list(ids)


class WordPiece:
    """A WordPiece tokenizer: greedy, longest match first.

    Args:
        pieces: in the order of their ids, each once.
        unknown: the piece for a word that cannot be spelled; it must be among them.
        max_chars_per_word: longer words are unknown.
        words: cuts a text into words.

    Raises:
        ValueError: if a piece is given twice or empty, or `unknown` is missing.

    Source: Devlin et al. 2019, arXiv:1810.04805.   Lesson: notebooks/07a_tokenizers.ipynb
    """

    def __init__(
        self,
        pieces: Sequence[str],
        unknown: str = UNKNOWN,
        *,
        max_chars_per_word: int = 100,
        words: Callable[[str], list[str]] = bert_words,
    ) -> None:
        self.pieces = list(pieces)
        self.ids = {piece: i for i, piece in enumerate(self.pieces)}
        if len(self.ids) < len(self.pieces) or "" in self.ids:
            twice = [p for p, n in Counter(self.pieces).items() if n > 1 or not p]
            raise ValueError(f"pieces must be distinct and not empty; see {twice[0]!r}")
        if unknown not in self.ids:
            raise ValueError(f"{unknown!r}, the piece for unknown words, is not among the pieces")
        self.unknown = unknown
        self.max_chars_per_word = max_chars_per_word
        self._words = words
        self._longest = max(map(len, self.pieces))

    def encode_word(self, word: str) -> list[str]:
        """The pieces of one word: the longest that fits, then the longest that fits behind it.

        pieces [UNK] em ##b ##bed ##ding:  "embedding" -> ["em", "##bed", "##ding"]

        Returns:
            The pieces; [unknown] if at some place none fits, or the word is too long.

        Cost: O(n x the longest piece) for n characters.
        """
        if len(word) > self.max_chars_per_word:
            return [self.unknown]
        found: list[str] = []
        start = 0
        while start < len(word):
            prefix = PREFIX if start else ""
            end = min(len(word), start + self._longest)
            while end > start and prefix + word[start:end] not in self.ids:
                end -= 1
            if end == start:
                return [self.unknown]
            found.append(prefix + word[start:end])
            start = end
        return found

    def tokens(self, text: str) -> list[str]:
        """The pieces of a text."""
        words = self._words(repair(text))
        return [piece for word in words for piece in self.encode_word(word)]

    def encode(self, text: str) -> list[int]:
        """The ids of a text. White space is lost, and whatever is in an unknown word."""
        return [self.ids[piece] for piece in self.tokens(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """The pieces joined: "##" glues a piece to the one before, all others get a space.

        Raises:
            ValueError: if an id is not in the vocabulary.
        """
        text = ""
        for i in ids:
            if not 0 <= i < len(self.pieces):
                raise ValueError(f"id {i} is not in this vocabulary (0 to {len(self.pieces) - 1})")
            piece = self.pieces[i]
            glued = piece.startswith(PREFIX) and text
            text += piece.removeprefix(PREFIX) if glued else (" " if text else "") + piece
        return text


class _Pairs:
    """Counted words as rows of pieces; counts of pieces and pairs, corrected after each merge."""

    def __init__(self, counted: Mapping[str, int]) -> None:
        self.words = [[w[0], *(PREFIX + c for c in w[1:])] for w in counted]
        self.times = list(counted.values())
        self.pieces: Counter[str] = Counter()
        self.pairs: Counter[Pair] = Counter()
        self.holders: defaultdict[Pair, set[int]] = defaultdict(set)
        for i in range(len(self.words)):
            self._count(i, 1)
        inside = {piece for word in self.words for piece in word[1:]}
        self.alphabet = [*sorted({c for word in counted for c in word}), *sorted(inside)]

    def _count(self, i: int, sign: int) -> None:
        """Add a word to the counts, or take it out."""
        n = sign * self.times[i]
        for piece in self.words[i]:
            self.pieces[piece] += n
        for pair in pairwise(self.words[i]):
            self.pairs[pair] += n
            self.holders[pair].add(i)
            if not self.pairs[pair]:
                del self.pairs[pair]

    def best(self, score: Score, least: int, ids: Mapping[str, int]) -> Pair | None:
        """The pair of highest score, among equals that of smaller ids; None if there is none.

        A piece beside itself is counted as two kinds, each half as frequent, so that a merge never
        takes more of it than there is.
        """
        seen = [pair for pair, n in self.pairs.items() if n >= least]
        if not seen:
            return None
        ab = np.array([self.pairs[pair] for pair in seen])
        a, b = (np.array([self.pieces[pair[side]] for pair in seen]) for side in (0, 1))
        if score is score_likelihood:
            twice = np.array([x == y for x, y in seen])
            a, b = np.where(twice, a // 2, a), np.where(twice, b // 2, b)
            ab = np.minimum(ab, np.minimum(a, b))
        scores = score(ab, a, b, self.pieces.total())
        best = [seen[i] for i in np.flatnonzero(scores == scores.max())]
        return min(best, key=lambda pair: (ids[pair[0]], ids[pair[1]]))

    def merge(self, pair: Pair) -> str:
        """Merge the pair in every word that holds it; the new piece."""
        new = pair[0] + pair[1].removeprefix(PREFIX)
        for i in sorted(self.holders.pop(pair)):  # some of them may have lost it since
            self._count(i, -1)
            self.words[i] = _glued(self.words[i], pair, new)
            self._count(i, 1)
        return new


def _glued(word: list[str], pair: Pair, new: str) -> list[str]:
    """Replace a pair by the new piece, from left to right, never overlapping."""
    out: list[str] = []
    i = 0
    while i < len(word):
        if tuple(word[i : i + 2]) == pair:
            out.append(new)
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


def _x_log_x(x: np.ndarray) -> np.ndarray:
    return x * np.log(np.maximum(x, 1))  # 0 where x is 0

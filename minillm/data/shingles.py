"""Two texts as two sets of shingles, and how much the sets share.

    text  ->  words (normalised)  ->  shingles: runs of n words  ->  a set

Normalising makes equal what a reader would call the same: large and small letters, accents, the
number of spaces, punctuation. A Chinese character counts as a word of its own, since Chinese text
has no spaces.
"""

import re
import unicodedata
from collections.abc import Set
from functools import lru_cache

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HAN_LETTER = re.compile(f"[{_HAN}]")
_PIECE = re.compile(rf"[{_HAN}]|[^\s{_HAN}]+")
_DROPPED = ("P", "S", "C")  # punctuation, symbols, control and invisible characters


class _Table(dict[int, str | int]):
    """What becomes of each code point after folding; worked out when it is first met."""

    def __missing__(self, code: int) -> str | int:
        c = chr(code)
        kept: str | int = code
        if _HAN_LETTER.match(c):
            kept = f" {c} "
        elif c.isspace():
            kept = " "
        elif unicodedata.category(c)[0] in _DROPPED or unicodedata.combining(c):
            kept = ""
        self[code] = kept
        return kept


@lru_cache(maxsize=1)
def _table() -> _Table:
    return _Table()


def normalise(text: str) -> str:
    """Bring a text into the form in which texts are compared.

    In this order: canonical decomposition (NFD), small letters (case folding), then accents,
    punctuation, symbols and invisible characters are dropped, each Chinese character becomes a
    word, and one space stands between words.

        normalise("Le  Café, s'il") == "le cafe sil"        normalise("词表。A") == "词 表 a"

    Args:
        text: any text.

    Returns:
        The words of the text, one space between two; "" if there is none. A second call changes
        nothing.

    Cost: linear; about 20 MB a second for English.
    Source: CS336 (Stanford), assignment 4, the list of steps before MinHash; Chinese is ours.
    Lesson: notebooks/04_dedup.ipynb
    """
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
    return " ".join(folded.translate(_table()).split())


def words(text: str) -> list[str]:
    """The normalised words of a text: `normalise(text)`, cut at its spaces.

    Lesson: notebooks/04_dedup.ipynb
    """
    return normalise(text).split()


def word_spans(text: str) -> list[tuple[str, int, int]]:
    """The normalised words with the place of each in the original text.

    Args:
        text: any text.

    Returns:
        (word, start, end) in order; text[start:end] is what the word was made of. The words are
        those of `words(text)`; a piece of which nothing remains, such as a dash, is left out.

    Lesson: notebooks/04_dedup.ipynb
    """
    found = ((normalise(m.group()), *m.span()) for m in _PIECE.finditer(text))
    return [span for span in found if span[0]]


def shingles(text: str, n: int = 5) -> set[str]:
    """The set of runs of n words of a text.

        shingles("a rose is a rose", 2) == {"a rose", "rose is", "is a"}

    Args:
        text: any text; it is normalised.
        n: words in a shingle.

    Returns:
        The set, without counts. A text of 1 to n - 1 words is one shingle, the whole text; a text
        without words has none.

    Raises:
        ValueError: if n < 1.

    Source: Broder 1997, On the resemblance and containment of documents, section 2.
    Lesson: notebooks/04_dedup.ipynb
    """
    if n < 1:
        raise ValueError(f"a shingle needs at least 1 word, got n={n}")
    found = words(text)
    if not found:
        return set()
    return {" ".join(found[i : i + n]) for i in range(max(len(found) - n, 0) + 1)}


def jaccard(a: Set[object], b: Set[object]) -> float:
    """The share that two sets have in common.

        J(a, b) = |a and b| / |a or b|

    Args:
        a, b: two sets, such as the shingles of two texts.

    Returns:
        A number from 0 (nothing in common) to 1 (equal). Two empty sets are equal: 1.

    Source: Jaccard 1901; as resemblance in Broder 1997.
    Lesson: notebooks/04_dedup.ipynb
    """
    if not a and not b:
        return 1.0
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def containment(a: Set[object], b: Set[object]) -> float:
    """The share of the smaller set that lies in the larger one.

        C(a, b) = |a and b| / min(|a|, |b|)

    A chapter printed by itself is wholly contained in the book, yet their Jaccard similarity is
    small: the measure for questions such as "is this book part of that one?"

    Args:
        a, b: two sets.

    Returns:
        A number from 0 to 1, never below jaccard(a, b). 1 if both are empty, 0 if one is.

    Source: Broder 1997, section 2 (there for an ordered pair of documents).
    Lesson: notebooks/04_dedup.ipynb
    """
    if not a or not b:
        return 1.0 if not a and not b else 0.0
    return len(a & b) / min(len(a), len(b))

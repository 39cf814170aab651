"""Gopher's repetition rules: how much of a document says again what it said before?

Repeated lines and paragraphs are counted by number and by characters. Repeated word n-grams are
counted by characters: short ones by the single n-gram that covers most, long ones all together.

    what is repeated           share                 dropped above      reason
    paragraphs                 of their number       0.30               paragraphs
    paragraphs                 of all characters     0.20               paragraph_characters
    lines                      of their number       0.30               lines
    lines                      of all characters     0.20               line_characters
    the top 2-, 3-, 4-gram     of all characters     0.20 0.18 0.16     top_2_gram ...
    5- to 10-grams, all that   of all characters     0.15 0.14 0.13     repeated_5_grams ...
        came before                                  0.12 0.11 0.10

The first copy of anything is no repetition. Lines are parted by one or more line ends, paragraphs
by two or more.

Source: Rae et al. 2021, Scaling Language Models (Gopher), arXiv:2112.11446, appendix A.1.1,
table A1. What the table leaves open is decided as in datatrove 0.10's GopherRepetitionFilter, with
which a test holds this file equal.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from minillm.data.filters import Splitter
from minillm.data.words import split_words

_PARAGRAPHS, _LINES = re.compile(r"\n{2,}"), re.compile(r"\n+")


@dataclass(frozen=True)
class RepetitionLimits:
    """Largest shares of repetition; None or a missing n switches a rule off.

    Source: Rae et al. 2021, table A1.
    """

    paragraphs: float | None = 0.30
    paragraph_characters: float | None = 0.20
    lines: float | None = 0.30
    line_characters: float | None = 0.20
    top_grams: Mapping[int, float] = field(default_factory=lambda: {2: 0.20, 3: 0.18, 4: 0.16})
    repeated_grams: Mapping[int, float] = field(
        default_factory=lambda: {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    )


def count_repeated(pieces: Sequence[str]) -> tuple[int, int]:
    """Count the pieces that came before, and their characters.

    Returns:
        (number, characters): of "a", "bb", "bb", "bb" they are (2, 4).

    Source: Rae et al. 2021, table A1, duplicate line and paragraph fractions.
    """
    first = set(pieces)
    number = len(pieces) - len(first)
    if not number:
        return 0, 0
    return number, sum(map(len, pieces)) - sum(map(len, first))


def top_gram_characters(words: Sequence[str], n: int) -> int:
    """Count the characters that the most frequent n-gram covers, all its copies together.

    An n-gram is its words joined by spaces. Copies may overlap, each counts in full, and an n-gram
    that occurs once counts too. Of equally frequent ones the first decides.

    Returns:
        Length times number of occurrences; 0 if there are fewer than n words.

    Source: Rae et al. 2021, table A1, top 2- to 4-gram character fractions.
    """
    if len(words) < n:
        return 0
    grams = Counter(zip(*(words[i:] for i in range(n)), strict=False))
    top, count = max(grams.items(), key=lambda item: item[1])
    return (sum(map(len, top)) + n - 1) * count


def repeated_gram_characters(words: Sequence[str], n: int) -> int:
    """Count the characters in n-grams that came before, none of them twice.

    The text is read from left to right. An n-gram seen before counts, and reading goes on behind
    it; a new one is remembered, and reading goes on at the next word.

    Returns:
        Characters, white space left out.

    Source: Rae et al. 2021, table A1, duplicate 5- to 10-gram character fractions.
    """
    joined, ends = "".join(words), [0, *accumulate(map(len, words))]
    return _repeated_characters(joined, ends, n)


def _repeated_characters(joined: str, ends: Sequence[int], n: int) -> int:
    seen: set[str] = set()
    repeated, i, last = 0, 0, len(ends) - 1 - n
    while i <= last:
        gram = joined[ends[i] : ends[i + n]]
        if gram in seen:
            repeated += len(gram)
            i += n
        else:
            seen.add(gram)
            i += 1
    return repeated


def gopher_repetition_reason(
    text: str, limits: RepetitionLimits | None = None, *, words: Splitter = split_words
) -> str | None:
    """Say which repetition rule a document breaks first.

    Args:
        text: a document.
        limits: the thresholds; None takes those of the paper.
        words: cuts a text into words.

    Returns:
        The reason, one of the table at the top of this file; None if the document is kept. An
        empty text repeats nothing (the peer divides by zero there).

    Cost: linear in the text: at most 9 passes over its words.
    Source: Rae et al. 2021, arXiv:2112.11446, table A1.
    Lesson: notebooks/03_quality.ipynb
    """
    limits = limits or RepetitionLimits()
    if not text:
        return None
    pieces = (
        ("paragraph", _PARAGRAPHS.split(text.strip()), limits.paragraphs,
         limits.paragraph_characters),
        ("line", _LINES.split(text), limits.lines, limits.line_characters),
    )  # fmt: skip
    for name, parts, max_number, max_characters in pieces:
        number, characters = count_repeated(parts)
        if max_number is not None and number / len(parts) > max_number:
            return f"{name}s"
        if max_characters is not None and characters / len(text) > max_characters:
            return f"{name}_characters"
    return _gram_reason(words(text), len(text), limits)


def _gram_reason(found: Sequence[str], n_characters: int, limits: RepetitionLimits) -> str | None:
    """Say which of the n-gram rules is broken."""
    for n, limit in limits.top_grams.items():
        if top_gram_characters(found, n) / n_characters > limit:
            return f"top_{n}_gram"
    joined, ends = "".join(found), [0, *accumulate(map(len, found))]
    for n, limit in limits.repeated_grams.items():
        if _repeated_characters(joined, ends, n) / n_characters > limit:
            return f"repeated_{n}_grams"
    return None

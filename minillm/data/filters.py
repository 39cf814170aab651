"""Gopher's quality rules: is this text one that a person wrote for others to read?

Each rule measures one thing and has one threshold. A document is dropped by the first rule that it
breaks, and the name of that rule is the reason. The rules look at words (words.py), lines and
characters; none of them knows what the text says.

    measure                                           kept if              reason
    words that are not mere punctuation               50 .. 100 000        few_words, many_words
    their mean length in characters                   3 .. 10              short_words, long_words
    `#` for each word                                 at most 0.1          hashes
    ellipses for each word                            at most 0.1          ellipses
    lines that start with a bullet                    at most 90 %         bullet_lines
    lines that end in an ellipsis                     at most 30 %         ellipsis_lines
    words with a letter                               at least 80 %        few_letters
    different words of: the be to of and that         at least 2           few_stop_words
        have with

Source: Rae et al. 2021, Scaling Language Models (Gopher), arXiv:2112.11446, appendix A.1.1. Where
the paper leaves something open (what is a word, a bullet, whether `The` counts as `the`), the
decision is that of datatrove 0.10's GopherQualityFilter, with which a test holds this file equal.
"""

import string
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from minillm.data.words import split_words

Splitter = Callable[[str], Sequence[str]]

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
BULLETS = ("•", "-")
ELLIPSES = ("...", "…")
_OTHER_MARKS = (
    "0-8 b-1f 7f-9f ab b4 bb 589 61d-61f 6d4 700-702 7f9 837 839 83d-83e 964-965 104a-104b 1362 "
    "1367-1368 166e 1735-1736 17d4-17d6 17d9-17da 1803 1809 1944-1945 1aa8-1aab 1b5a-1b5b "
    "1b5e-1b5f 1b7d-1b7e 1c3b-1c3c 1c7e-1c7f 2013-2014 2019 201c-201e 2026 203c-203d 2047-2049 "
    "2236 2501 25ba 2e2e 2e3c 2e53-2e54 3001-3002 3008-300d 3010-3011 a4ff a60e-a60f a6f3 a6f7 "
    "a876-a877 a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f aaf0-aaf1 abeb fe52 fe56-fe57 ff01 ff05 "
    "ff08-ff09 ff0c ff0e ff11 ff1a-ff1b ff1f ff5e ff61 10a56-10a57 10f55-10f59 10f86-10f89 "
    "11047-11048 110be-110c1 11141-11143 111c5-111c6 111cd 111de-111df 11238-11239 1123b-1123c "
    "112a9 1144b-1144c 115c2-115c3 115c9-115d7 11641-11642 1173c-1173e 11944 11946 11a42-11a43 "
    "11a9b-11a9c 11c41-11c42 11ef7-11ef8 11f43-11f44 16a6e-16a6f 16af5 16b37-16b38 16b44 16e98 "
    "1bc9f 1da88"
)


def _characters(ranges: str) -> str:
    """Spell out code points: `9-b 2026` are four characters."""
    ends = (part.split("-") for part in ranges.split())
    return "".join(chr(c) for e in ends for c in range(int(e[0], 16), int(e[-1], 16) + 1))


PUNCTUATION = frozenset(string.punctuation + _characters(_OTHER_MARKS))
"""Characters that make no word by themselves; control characters among them, and
by an oversight of the peer the wide digit one."""


@dataclass(frozen=True)
class GopherLimits:
    """Thresholds of the quality rules; None switches a rule off.

    Source: the defaults are those of Rae et al. 2021, appendix A.1.1.
    """

    min_words: int | None = 50
    max_words: int | None = 100_000
    min_word_length: float | None = 3
    max_word_length: float | None = 10
    max_symbols: float | None = 0.1
    """`#`, and apart from them ellipses, for each word."""
    max_bullet_lines: float | None = 0.9
    max_ellipsis_lines: float | None = 0.3
    min_letter_words: float | None = 0.8
    """Share of words with a letter."""
    min_stop_words: int | None = 2
    """How many different words of stop_words must be there."""
    stop_words: tuple[str, ...] = STOP_WORDS


def count_real_words(words: Collection[str]) -> int:
    """Count the words that are not mere punctuation.

    Source: Rae et al. 2021, A.1.1: between 50 and 100 000 words.
    """
    counts = words if isinstance(words, Counter) else Counter(words)
    return sum(n for word, n in counts.items() if _is_real(word))


def mean_word_length(words: Collection[str]) -> float:
    """Average the lengths, in characters, of the words that are not mere punctuation.

    Returns:
        The mean; 0 if there is no such word.

    Source: Rae et al. 2021, A.1.1: between 3 and 10 characters.
    """
    counts = words if isinstance(words, Counter) else Counter(words)
    real = [(len(word), n) for word, n in counts.items() if _is_real(word)]
    return _share(sum(length * n for length, n in real), sum(n for _, n in real))


def symbol_ratio(text: str, n_words: int, symbols: Sequence[str]) -> float:
    """Count symbols for each word of the text, punctuation counted as words too.

    Source: Rae et al. 2021, A.1.1: at most 0.1 for the hash and for the ellipsis.
    """
    return _share(sum(text.count(symbol) for symbol in symbols), n_words)


def bullet_share(lines: Sequence[str]) -> float:
    """Return the share of lines that start with a bullet, white space left out.

    Source: Rae et al. 2021, A.1.1: at most 90 %.
    """
    return _share(sum(line.lstrip().startswith(BULLETS) for line in lines), len(lines))


def ellipsis_share(lines: Sequence[str]) -> float:
    """Return the share of lines that end in an ellipsis, white space left out.

    Source: Rae et al. 2021, A.1.1: at most 30 %.
    """
    return _share(sum(line.rstrip().endswith(ELLIPSES) for line in lines), len(lines))


def letter_share(words: Collection[str]) -> float:
    """Return the share of words that hold a letter.

    Source: Rae et al. 2021, A.1.1: at least 80 %.
    """
    counts = words if isinstance(words, Counter) else Counter(words)
    with_letter = sum(n for word, n in counts.items() if _has_letter(word))
    return _share(with_letter, sum(counts.values()))


def count_stop_words(words: Collection[str], stop_words: Sequence[str] = STOP_WORDS) -> int:
    """Count how many *different* stop words occur. `The` is not `the`: case counts.

    Source: Rae et al. 2021, A.1.1: at least two of eight.
    """
    return len(set(stop_words).intersection(words))


def gopher_measures(
    text: str,
    words: Splitter = split_words,
    *,
    stop_words: Sequence[str] = STOP_WORDS,
) -> dict[str, float]:
    """Measure all that the quality rules ask.

    Args:
        text: a document.
        words: cuts a text into words.
        stop_words: the words counted by `stop_words`.

    Returns:
        words, word_length, hashes, ellipses, bullet_lines, ellipsis_lines, letter_words and
        stop_words by name.

    Cost: linear in the text; most of it is cutting the words.
    Lesson: notebooks/03_quality.ipynb
    """
    counts, lines = Counter(words(text)), text.splitlines()
    n_words = sum(counts.values())
    return {
        "words": count_real_words(counts),
        "word_length": mean_word_length(counts),
        "hashes": symbol_ratio(text, n_words, "#"),
        "ellipses": symbol_ratio(text, n_words, ELLIPSES),
        "bullet_lines": bullet_share(lines),
        "ellipsis_lines": ellipsis_share(lines),
        "letter_words": letter_share(counts),
        "stop_words": count_stop_words(counts, stop_words),
    }


def gopher_reason(
    text: str, limits: GopherLimits | None = None, *, words: Splitter = split_words
) -> str | None:
    """Say which quality rule a document breaks first.

    Args:
        text: a document.
        limits: the thresholds; None takes those of the paper.
        words: cuts a text into words.

    Returns:
        The reason, one of the table at the top of this file; None if the document is kept.

    Cost: linear in the text; about 6 MB/s on one core.
    Source: Rae et al. 2021, arXiv:2112.11446, appendix A.1.1.
    Lesson: notebooks/03_quality.ipynb
    """
    limits = limits or GopherLimits()
    return first_broken(gopher_measures(text, words, stop_words=limits.stop_words), limits)


def first_broken(measures: Mapping[str, float], limits: GopherLimits) -> str | None:
    """Compare measures with limits, in the order of the table at the top of this file.

    Args:
        measures: as gopher_measures returns them.
        limits: the thresholds.

    Returns:
        The reason of the first rule that is broken, or None.

    Lesson: notebooks/03_quality.ipynb
    """
    rules = (
        ("few_words", limits.min_words, None, "words"),
        ("many_words", None, limits.max_words, "words"),
        ("short_words", limits.min_word_length, None, "word_length"),
        ("long_words", None, limits.max_word_length, "word_length"),
        ("hashes", None, limits.max_symbols, "hashes"),
        ("ellipses", None, limits.max_symbols, "ellipses"),
        ("bullet_lines", None, limits.max_bullet_lines, "bullet_lines"),
        ("ellipsis_lines", None, limits.max_ellipsis_lines, "ellipsis_lines"),
        ("few_letters", limits.min_letter_words, None, "letter_words"),
        ("few_stop_words", limits.min_stop_words, None, "stop_words"),
    )
    for reason, low, high, name in rules:
        value = measures[name]
        if (low is not None and value < low) or (high is not None and value > high):
            return reason
    return None


def gopher_keep(text: str, limits: GopherLimits | None = None) -> bool:
    """Say whether a document passes all quality rules; the reason is `gopher_reason`.

    Lesson: notebooks/03_quality.ipynb
    """
    return gopher_reason(text, limits) is None


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


@lru_cache(maxsize=1 << 16)
def _is_real(word: str) -> bool:
    return not PUNCTUATION.issuperset(word)


@lru_cache(maxsize=1 << 16)
def _has_letter(word: str) -> bool:
    return any(map(str.isalpha, word))

"""How much of one text stands in another: ROUGE-L, by the longest common subsequence.

A *subsequence* keeps the order of the words and may leave some out: "the cat slept" is one of "the
old cat never slept". The longest one that two texts share says how alike they are, word order
included, without asking that the words stand side by side.

The ladder: lcs_table (every cell, to look at), lcs_length (one row), fast_lcs_length (a row as the
bits of one integer; the same numbers).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import regex

Splitter = Callable[[str], list[str]]

_ASCII_WORD = regex.compile(r"[a-z0-9]+")
_WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}]|(?:(?![\p{Han}\p{Hiragana}\p{Katakana}])[\p{L}\p{M}\p{N}])+"
)


def ascii_words(text: str) -> list[str]:
    """Cut a text as the `rouge-score` package does: lower case, then runs of a-z and 0-9.

    Every other character parts words and is lost: "Café" gives ["caf"], and a Chinese text gives
    nothing at all.

    Source: Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries; the rule is that of
        rouge-score 0.1.2 without its stemmer.
    Lesson: notebooks/29_self_instruct.ipynb
    """
    return _ASCII_WORD.findall(text.lower())


def words_of_any_script(text: str) -> list[str]:
    """Cut a text into lower-case words; where no spaces are written, each character is one.

    words_of_any_script("Café 12, 读书!") -> ["café", "12", "读", "书"]. On ASCII text it gives the
    same as ascii_words.

    Lesson: notebooks/29_self_instruct.ipynb
    """
    return _WORD.findall(text.lower())


def lcs_table(a: Sequence[str], b: Sequence[str]) -> list[list[int]]:
    """Fill the table of the longest common subsequence of all beginnings of two lists.

        t[i][j] = t[i-1][j-1] + 1               if a[i-1] == b[j-1]
                  max(t[i-1][j], t[i][j-1])     otherwise

    Returns:
        len(a) + 1 rows of len(b) + 1 numbers; the last one is the length for the whole lists.

    Cost: len(a) x len(b) steps and as many numbers.
    Source: Lin 2004, section 3.1; the method is dynamic programming, Wagner and Fischer 1974.
    Lesson: notebooks/29_self_instruct.ipynb
    """
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a, start=1):
        for j, y in enumerate(b, start=1):
            if x == y:
                table[i][j] = table[i - 1][j - 1] + 1
            else:
                table[i][j] = max(table[i - 1][j], table[i][j - 1])
    return table


def lcs_length(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence: the last cell of lcs_table, kept row by row.

    Cost: len(a) x len(b) steps, one row of numbers.
    Lesson: notebooks/29_self_instruct.ipynb
    """
    above = [0] * (len(b) + 1)
    for x in a:
        row = [0]
        for j, y in enumerate(b):
            row.append(above[j] + 1 if x == y else max(above[j + 1], row[j]))
        above = row
    return above[-1]


def places(words: Sequence[str]) -> dict[str, int]:
    """Write where each word stands as the bits of one integer: bit i is set where words[i] is it.

    places(["a", "b", "a"]) -> {"a": 0b101, "b": 0b010}. It is all that fast_lcs_length needs of a
    list, so that a list which is compared often is read only once.
    """
    bits: dict[str, int] = {}
    for i, word in enumerate(words):
        bits[word] = bits.get(word, 0) | 1 << i
    return bits


def fast_lcs_length(places_of_a: Mapping[str, int], n: int, b: Sequence[str]) -> int:
    """lcs_length, a whole row of the table at once.

    Neighbours in a row differ by 0 or 1, so a row is a string of bits: here a *zero* bit where the
    number grows. Going to the next row is one addition, whose carries run as far as the next match.

        u = row & places[y],    row = (row + u) | (row - u)

    Args:
        places_of_a: places(a).
        n: len(a).
        b: the other list.

    Returns:
        The length, as lcs_length(a, b).

    Cost: len(b) operations on integers of n bits; far faster than lcs_length on sentences.
    Source: Hyyrö 2004, Bit-parallel LCS-length computation revisited.
    Lesson: notebooks/29_self_instruct.ipynb
    """
    row = whole = (1 << n) - 1
    for y in b:
        u = row & places_of_a.get(y, 0)
        row = (row + u) | (row - u)
    return n - (row & whole).bit_count()


class Overlap(NamedTuple):
    """What two texts share.

    Attributes:
        precision: share of the candidate's words that are in the common subsequence.
        recall: share of the reference's words that are.
        f1: their harmonic mean.
    """

    precision: float
    recall: float
    f1: float


def overlap(common: int, n_reference: int, n_candidate: int) -> Overlap:
    """Turn the length of a common subsequence into shares.

        precision = L / n_candidate,    recall = L / n_reference
        f1 = 2 L / (n_reference + n_candidate)

    The f1 is one division, and so the float nearest to the true fraction: 14/20 *is* 0.7. The
    usual 2 p r / (p + r) rounds four times and may land on either side of it.

    Returns:
        All three 0 where a text has no words.

    Raises:
        ValueError: if more words are shared than a text has, or a number is negative.
    """
    if not 0 <= common <= min(n_reference, n_candidate):
        raise ValueError(
            f"a common subsequence of {common} does not fit texts of {n_reference} and "
            f"{n_candidate} words"
        )
    if common == 0:
        return Overlap(0.0, 0.0, 0.0)
    f1 = 2 * common / (n_reference + n_candidate)
    return Overlap(common / n_candidate, common / n_reference, f1)


def rouge_l(reference: str, candidate: str, *, split: Splitter = ascii_words) -> Overlap:
    """Compare two texts by their longest common subsequence of words.

    Args:
        reference, candidate: the texts. The f1 is the same when they change places.
        split: how words are cut; ascii_words as in the published tools, words_of_any_script where
            other scripts are read. Two texts without words share nothing.

    Returns:
        Precision, recall and f1, each in 0 to 1.

    Cost: a pass over both texts, then one integer operation for each word of the candidate.
    Source: Lin 2004, section 3.1, equations 2 to 4 with beta = 1; equal to `rouge-score` 0.1.2
        ("rougeL" without a stemmer) up to rounding.
    Lesson: notebooks/29_self_instruct.ipynb
    """
    a, b = split(reference), split(candidate)
    return overlap(fast_lcs_length(places(a), len(a), b), len(a), len(b))

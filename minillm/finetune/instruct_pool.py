"""The pool of instructions, and how new a text is against all of them.

A new instruction is compared with every one that is there, so the cost of a pool of n grows with n
squared: 52 000 of them are 1.4 thousand million comparisons. What makes that bearable is that each
text is read once into the bits which fast_lcs_length wants: then a comparison of two instructions
takes about a microsecond. And a text that is much longer or shorter than the new one need not be
looked at when something near has been found:

    L <= min(n, m),  so  f1 <= 2 min(n, m) / (n + m)

(A bound by the number of shared words skips more, but costs more than the comparison itself.)
"""

from collections.abc import Iterable
from typing import NamedTuple

from minillm.evaluate.overlap import Splitter, fast_lcs_length, overlap, places, words_of_any_script


class Nearest(NamedTuple):
    """The text of a pool that is most like a given one.

    Attributes:
        f1: its ROUGE-L; 0 if nothing is shared.
        text: it; "" if nothing is shared or the pool is empty.
    """

    f1: float
    text: str


class _Entry(NamedTuple):
    text: str
    places: dict[str, int]
    n: int


class InstructionPool:
    """Texts that can be asked which of them is nearest to a new one.

    Args:
        texts: the first members, kept whatever they are.
        split: how words are cut.

    Source: Wang et al. 2022, Self-Instruct, arXiv:2212.10560, section 2.2 (filtering).
    Lesson: notebooks/29_self_instruct.ipynb
    """

    def __init__(self, texts: Iterable[str] = (), *, split: Splitter = words_of_any_script) -> None:
        self.split = split
        self._entries: list[_Entry] = []
        self.n_compared = 0
        """Common subsequences computed so far; without the bound len(pool) for each text."""
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def texts(self) -> list[str]:
        """The members, in the order in which they came."""
        return [entry.text for entry in self._entries]

    def add(self, text: str) -> None:
        """Take a text in."""
        words = self.split(text)
        self._entries.append(_Entry(text, places(words), len(words)))

    def nearest(self, text: str) -> Nearest:
        """Find the member with the largest ROUGE-L; the first of several that are equal.

        Cost: len(self) comparisons at most, each a few operations for every word of the text.
        """
        words = self.split(text)
        m = len(words)
        best = Nearest(0.0, "")
        for entry in self._entries:
            if 2 * min(entry.n, m) <= best.f1 * (entry.n + m):
                continue
            self.n_compared += 1
            common = fast_lcs_length(entry.places, entry.n, words)
            f1 = overlap(common, entry.n, m).f1
            if f1 > best.f1:
                best = Nearest(f1, entry.text)
        return best

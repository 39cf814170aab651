"""From text to numbers for the linear models of this room: words, and hashed n-grams.

An n-gram is n neighbours: `red key` is a 2-gram of words, `ke` one of characters. There are far too
many to give each its own number, so a hash puts each into one of `n_buckets` buckets (the hashing
trick): two n-grams may share a bucket, and no table of n-grams has to be kept.

Python's own `hash` of a string changes from process to process. The hash here is arithmetic on the
UTF-8 bytes and the code points alone: the same on every machine.
"""

import re
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import regex

UNITS = ("word", "char")

_WORD = regex.compile(
    r"(?V1)\p{Han}|[[\p{L}\p{M}\p{N}_]--[\p{Han}]]+"
    r"|[^\s\x1c-\x1f\p{Han}\p{L}\p{M}\p{N}_]"
)
_ASCII_WORD = re.compile(r"\w+|[^\s\w]")  # the same for ASCII, five times as fast


def words(text: str) -> list[str]:
    """Cut a text into words, single Chinese characters and single signs.

    White space parts words and is dropped; the case is kept. Scripts without spaces other than
    Chinese (Thai, the kana of Japanese) come as whole runs.

    >>> words("Mia's red_key, 钥匙 3.5")
    ['Mia', "'", 's', 'red_key', ',', '钥', '匙', '3', '.', '5']
    """
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text)


def ngrams_of(text: str, ngrams: Sequence[int], unit: str) -> list[str]:
    """Return every n-gram of a text as a string, in the order of `hashed_ngrams`.

    Args:
        text: any text.
        ngrams: the values of n, such as (1, 2).
        unit: "word" for n-grams of `words`, written with spaces; "char" for characters, with each
            run of white space as one space, and a space at both ends of the text, so that it can
            be seen where a word begins and ends.

    Raises:
        ValueError: if the unit is neither.

    >>> ngrams_of("a red key", (2,), "word")
    ['a red', 'red key']
    """
    if unit not in UNITS:
        raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
    units = words(text) if unit == "word" else list(_spaced(text))
    glue = " " if unit == "word" else ""
    return [glue.join(units[i : i + n]) for n in ngrams for i in range(len(units) - n + 1)]


def hashed_ngrams(text: str, ngrams: Sequence[int], unit: str, n_buckets: int) -> np.ndarray:
    """Return the bucket of every n-gram of a text.

        h(u_1 .. u_n) = m(.. m(m(n ^ u_1) ^ u_2) .. ^ u_n),    bucket = h mod n_buckets

    where u is a number of 64 bits for a unit (BLAKE2b of a word, the code point of a character) and
    m stirs the bits of a number of 64 bits one to one (the finaliser of SplitMix64).

    Args:
        text: any text; lone surrogates are taken as they are.
        ngrams: the values of n, such as (1, 2).
        unit: "word" or "char", see `ngrams_of`.
        n_buckets: how many buckets.

    Returns:
        Buckets in 0 .. n_buckets - 1, int64, an entry for each n-gram: for the first n all of them
        in the order of the text, then those of the next n. Empty for a text without units.

    Raises:
        ValueError: if the unit is unknown.

    Cost: 1 to 2 MB/s on one core for two values of n; most of it is cutting and looking up.
    Source: Weinberger et al. 2009, arXiv:0902.2206 (hashing trick, here without signs); Steele et
        al. 2014, Fast splittable pseudorandom number generators (the constants of m).
    Lesson: notebooks/03_quality.ipynb
    """
    if unit == "word":
        numbers = np.array([_NUMBERS[w] for w in words(text)], np.uint64)
    elif unit == "char":
        codes = _spaced(text).encode("utf-32-le", "surrogatepass")
        numbers = np.frombuffer(codes, "<u4").astype(np.uint64)
    else:
        raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
    found = [np.empty(0, np.int64)]
    for n in ngrams:
        n_grams = max(0, len(numbers) - n + 1)
        h = np.full(n_grams, n, np.uint64)
        for i in range(n):
            h = _stirred(h ^ numbers[i : i + n_grams])
        found.append((h % np.uint64(n_buckets)).astype(np.int64))
    return np.concatenate(found)


def bag_of_ngrams(
    text: str, ngrams: Sequence[int], unit: str, n_buckets: int
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a text into a sparse vector x of length 1 over the buckets.

        x_j = sqrt(c_j / sum_k c_k),    c_j = how many n-grams of the text fall into bucket j

    The square root keeps the commonest n-grams (a space, "the") from drowning all others in a long
    text, and makes the length 1 of itself.

    Args:
        text, ngrams, unit, n_buckets: as in `hashed_ngrams`.

    Returns:
        The buckets that occur, sorted, int64; and their x, float32. Both empty for an empty text.

    Lesson: notebooks/03_quality.ipynb
    """
    buckets, counts = np.unique(hashed_ngrams(text, ngrams, unit, n_buckets), return_counts=True)
    return buckets, np.sqrt(counts / max(1, counts.sum())).astype(np.float32)


def _spaced(text: str) -> str:
    inside = " ".join(text.split())
    return f" {inside} " if inside else ""


class _Numbers(dict[str, int]):
    """The number of 64 bits of a word, worked out when first asked for."""

    def __missing__(self, word: str) -> int:
        raw = word.encode("utf-8", "surrogatepass")
        number = int.from_bytes(blake2b(raw, digest_size=8).digest(), "little")
        if len(word) <= 64:  # no long ones, and not too many: the memory has a bound
            if len(self) >= 1 << 20:
                self.clear()
            self[word] = number
        return number


_NUMBERS = _Numbers()


def _stirred(h: np.ndarray) -> np.ndarray:
    """Stir 64 bits, one to one."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))

"""MinHash: a short signature of a set, from which the similarity of two sets can be read.

    hash every element, keep the smallest hash; do so with k different hash functions
    P[the smallest of A = the smallest of B] = |A and B| / |A or B| = J(A, B)

because the smallest hash of A or B belongs to each element of the union with equal probability,
and it is the smallest of both exactly if that element lies in both. So the share of equal places
of two signatures estimates J, with standard error sqrt(J (1 - J) / k).

This file is the definition, in plain Python. `minhash_compiled` does the same in compiled loops.
All numbers come from constants below: a signature is the same on every machine and in every process
(Python's own hash() of a str is not).
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from minillm.data.shingles import normalise

M64 = (1 << 64) - 1
FNV_BASIS, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
MIX_1, MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
GOLDEN = 0x9E3779B97F4A7C15
EMPTY = 0xFFFFFFFF
"""What the signature of a set without elements holds at each place."""
Engine = Literal["python", "compiled"]


def mix(x: int) -> int:
    """Stir 64 bits so that each bit of the input moves about half of those of the result.

    Source: the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
    """
    x = ((x ^ (x >> 30)) * MIX_1) & M64
    x = ((x ^ (x >> 27)) * MIX_2) & M64
    return x ^ (x >> 31)


def hash64(data: bytes) -> int:
    """Hash bytes to a number of 64 bits, the same everywhere.

        h = 0;  for each word (data is cut at its spaces):  h = (h ^ fnv1a(word)) * MIX_1 mod 2^64,
                                                            h = h ^ (h >> 32);   then mix(h)

    Word by word, so that the runs of n words of a text need each word hashed once only.

    Args:
        data: any bytes, such as a shingle in UTF-8.

    Returns:
        A number from 0 to 2^64 - 1. Not for secrets: collisions can be made on purpose.

    Source: FNV-1a is by Fowler, Noll and Vo (IETF draft-eastlake-fnv).
    Lesson: notebooks/04_dedup.ipynb
    """
    h = 0
    for word in data.split(b" "):
        fnv = FNV_BASIS
        for byte in word:
            fnv = ((fnv ^ byte) * FNV_PRIME) & M64
        h = ((h ^ fnv) * MIX_1) & M64
        h ^= h >> 32
    return mix(h)


def hash_functions(n_hashes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw n hash functions from a family that is strongly universal.

        h(x) = ((a x + b) mod 2^64) >> 32        for x < 2^32, with random a, b < 2^64

    Any two different x are sent to each pair of results with equal probability (over the draw of
    a and b), which is what "the smallest is equally likely to be any" rests on.

    Args:
        n_hashes: how many.
        seed: of the draw; equal seeds give equal functions on every machine.

    Returns:
        a and b, each (n_hashes,), uint64.

    Raises:
        ValueError: if n_hashes < 1.

    Source: Dietzfelbinger 1996, Universal hashing and k-wise independent random variables.
    Lesson: notebooks/04_dedup.ipynb
    """
    if n_hashes < 1:
        raise ValueError(f"a signature needs at least 1 hash function, got n_hashes={n_hashes}")
    start = mix(seed & M64)
    drawn = [mix((start + i * GOLDEN) & M64) for i in range(1, 2 * n_hashes + 1)]
    return np.array(drawn[:n_hashes], np.uint64), np.array(drawn[n_hashes:], np.uint64)


def signature(elements: Iterable[str], n_hashes: int = 128, seed: int = 0) -> np.ndarray:
    """The MinHash signature of a set of strings, written as it is defined.

        signature[i] = min over elements e of h_i(hash64(e) >> 32)

    Args:
        elements: the set, such as the shingles of a text. Repeated elements change nothing.
        n_hashes: length of the signature.
        seed: of the hash functions. Only signatures with the same seed can be compared.

    Returns:
        (n_hashes,), uint32; every place is EMPTY if there are no elements.

    Raises:
        ValueError: if n_hashes < 1.

    Cost: elements x n_hashes steps of Python; `signatures` is the fast way.
    Source: Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.3.
    Lesson: notebooks/04_dedup.ipynb
    """
    a, b = (part.tolist() for part in hash_functions(n_hashes, seed))
    hashed = [hash64(e.encode("utf-8", "surrogatepass")) >> 32 for e in set(elements)]
    rows = zip(a, b, strict=True)
    smallest = [min((((a * x + b) & M64) >> 32 for x in hashed), default=EMPTY) for a, b in rows]
    return np.array(smallest, np.uint32)


def signatures(
    texts: Sequence[str],
    n_hashes: int = 128,
    ngram: int = 5,
    *,
    seed: int = 0,
    engine: Engine = "compiled",
) -> np.ndarray:
    """The MinHash signatures of the word shingles of many texts.

    Args:
        texts: the documents.
        n_hashes: length of a signature.
        ngram: words in a shingle.
        seed: of the hash functions.
        engine: "compiled", or "python" for the definition. Both give the same numbers.

    Returns:
        (len(texts), n_hashes), uint32.

    Raises:
        ValueError: if n_hashes or ngram is below 1, or the engine is unknown.

    Cost: compiled about 0.1 us a word at 128 hashes, after normalising; memory 8 bytes a word.
    Lesson: notebooks/04_dedup.ipynb
    """
    if engine == "python":
        from minillm.data.shingles import shingles

        rows = [signature(shingles(text, ngram), n_hashes, seed) for text in texts]
        return np.array(rows, np.uint32).reshape(len(texts), n_hashes)
    if engine != "compiled":
        raise ValueError(f"engine must be 'compiled' or 'python', got {engine!r}")
    from minillm.data import minhash_compiled as fast

    hashes, starts = fast.shingle_hashes([normalise(text) for text in texts], ngram)
    return fast.smallest(hashes, starts, *hash_functions(n_hashes, seed))


def estimate(a: np.ndarray, b: np.ndarray) -> float:
    """Estimate the Jaccard similarity of two sets: the share of equal places.

    Args:
        a, b: two signatures, (n_hashes,), made with the same seed.

    Returns:
        A number from 0 to 1. Its standard error is sqrt(J (1 - J) / n_hashes).

    Raises:
        ValueError: if they differ in length, or are no signatures of one set each.

    Lesson: notebooks/04_dedup.ipynb
    """
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(
            f"two signatures of one length are compared, got shapes {a.shape} and {b.shape}"
        )
    return float((a == b).mean())


def standard_error(similarity: float, n_hashes: int) -> float:
    """How far an estimate is typically off: sqrt(J (1 - J) / k), a share of k coin tosses.

    Raises:
        ValueError: if the similarity is not in [0, 1], or n_hashes < 1.

    Lesson: notebooks/04_dedup.ipynb
    """
    if not 0 <= similarity <= 1:
        raise ValueError(f"a similarity lies between 0 and 1, got {similarity}")
    if n_hashes < 1:
        raise ValueError(f"n_hashes must be at least 1, got {n_hashes}")
    return math.sqrt(similarity * (1 - similarity) / n_hashes)

"""Suffix array and LCP against pydivsufsort (C): `python -m benchmarks.suffix_array`.

Lines, in MB of text a second, on prose and code of the harvest; the arrays are checked to be equal:

    1. the suffix array; this is the one named `suffix_array`
    2. the LCP array, Kasai's method on both sides

The peer is divsufsort, a tuned C program; ours is SA-IS, compiled by numba. A ratio below 1 is
expected.
"""

import importlib.metadata

import numpy as np
import pydivsufsort

from benchmarks.compare import compare
from minillm.data import load_corpus
from minillm.data.suffix_array import lcp_array, suffix_array

N_BYTES = 1_000_000
PEER = f"pydivsufsort {importlib.metadata.version('pydivsufsort')}"


def main() -> None:
    """Check that the arrays are equal, then print both lines."""
    texts = [
        text for kind in ("prose", "code") for text in load_corpus(kind, max_bytes=N_BYTES).texts
    ]
    data = np.frombuffer(bytearray("\n".join(texts), "utf-8", "replace"), np.uint8)
    sa = suffix_array(data)
    theirs = pydivsufsort.divsufsort(data)
    assert np.array_equal(sa, theirs)
    assert np.array_equal(lcp_array(data, sa)[1:], pydivsufsort.kasai(data, theirs)[:-1])
    settings = {"unit": "MB/s", "work": len(data) / 1e6, "rounds": 3, "n_bytes": len(data)}
    compare(
        "suffix_array",
        PEER,
        lambda: suffix_array(data),
        lambda: pydivsufsort.divsufsort(data),
        **settings,
    )
    compare(
        "suffix_array (lcp)",
        PEER,
        lambda: lcp_array(data, sa),
        lambda: pydivsufsort.kasai(data, theirs),
        **settings,
    )


if __name__ == "__main__":
    main()

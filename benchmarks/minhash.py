"""MinHash against datasketch and datatrove: `python -m benchmarks.minhash`.

Lines, in MB of text a second (128 hash functions, 5-word shingles, threshold 0.8):

    1. signatures from ready shingles: ours hashes strings and takes minima, as datasketch's
       `update_batch` does, which hashes with SHA-1
    2. end to end: from texts to clusters; datasketch's signatures, its LSH, no verification
    3. signatures from text against datatrove's `MinhashDedupSignature`, its own words and hashes

The first line is the one named `minhash`.
"""

import importlib.metadata
import warnings

import numpy as np
from datasketch import MinHash, MinHashLSH

from benchmarks.compare import compare
from minillm.data import load_corpus
from minillm.data.minhash import hash_functions, signatures
from minillm.data.minhash_compiled import element_hashes, smallest
from minillm.data.near_duplicates import near_duplicates
from minillm.data.shingles import shingles

N_HASHES, NGRAM, THRESHOLD = 128, 5, 0.8
N_BYTES = 300_000
KINDS = ("prose", "licences", "stories-en")
SKETCH = f"datasketch {importlib.metadata.version('datasketch')}"
TROVE = f"datatrove {importlib.metadata.version('datatrove')}"


def ours_from_sets(sets: list[list[str]]) -> np.ndarray:
    """Sign sets of strings with the compiled twin."""
    starts = np.cumsum([0, *map(len, sets)], dtype=np.int64)
    hashes = element_hashes([element for some in sets for element in some])
    return smallest(hashes, starts, *hash_functions(N_HASHES))


def theirs_from_sets(sets: list[list[bytes]]) -> list[MinHash]:
    """Sign sets of bytes with datasketch."""
    found = [MinHash(num_perm=N_HASHES, seed=1) for _ in sets]
    for sketch, some in zip(found, sets, strict=True):
        sketch.update_batch(some)
    return found


def theirs_end_to_end(texts: list[str]) -> int:
    """Find the near duplicates of each text with datasketch, as its documentation does."""
    index = MinHashLSH(threshold=THRESHOLD, num_perm=N_HASHES)
    n_found = 0
    sets = [[s.encode() for s in shingles(text, NGRAM)] for text in texts]
    for i, sketch in enumerate(theirs_from_sets(sets)):
        n_found += bool(index.query(sketch))
        index.insert(i, sketch)
    return n_found


def main() -> None:
    """Print the three lines."""
    texts = [text for kind in KINDS for text in load_corpus(kind, max_bytes=N_BYTES).texts]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    sets = [sorted(shingles(text, NGRAM)) for text in texts]
    raw = [[element.encode() for element in some] for some in sets]
    settings = {"unit": "MB/s", "work": megabytes, "rounds": 3, "documents": len(texts)}
    compare(
        "minhash", SKETCH, lambda: ours_from_sets(sets), lambda: theirs_from_sets(raw), **settings
    )
    compare(
        "minhash (end to end)",
        SKETCH,
        lambda: near_duplicates(texts, n_hashes=N_HASHES, ngram=NGRAM, threshold=THRESHOLD),
        lambda: theirs_end_to_end(texts),
        **settings,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from datatrove.data import Document
        from datatrove.pipeline.dedup import MinhashConfig, MinhashDedupSignature
    config = MinhashConfig(n_grams=NGRAM, num_buckets=16, hashes_per_bucket=8)
    signer = MinhashDedupSignature("unused", config=config)

    def trove() -> None:
        for text in texts:
            found = signer.get_shingles(Document(text, "0").text)
            if found.size:
                signer.get_signature(found)

    compare(
        "minhash (signatures from text)",
        TROVE,
        lambda: signatures(texts, N_HASHES, NGRAM),
        trove,
        **settings,
    )


if __name__ == "__main__":
    main()

"""Near duplicates from end to end: normalise, shingle, sign, find candidates, verify, cluster.

Also the rule for books: two are the same if more than 90 % of their content is.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from minillm.data import clusters as grouping
from minillm.data import lsh
from minillm.data.minhash import hash_functions
from minillm.data.shingles import containment, jaccard, normalise, shingles
from minillm.data.text_files import FileReport, list_files, out_paths, read_each


@dataclass(frozen=True)
class NearDuplicates:
    """What was found among texts.

    Attributes:
        pairs: (M, 2), int64, i < j: pairs at or above the threshold. A text that equals another
            after normalising is paired with the first such text only.
        similarity: (M,), their exact Jaccard similarity.
        clusters: all texts, grouped; see `clusters.clusters`.
        n_candidates: pairs that LSH proposed, before they were verified.
    """

    pairs: np.ndarray
    similarity: np.ndarray
    clusters: list[list[int]]
    n_candidates: int

    @property
    def share(self) -> float:
        """Share of the texts that would be removed: all but one of each cluster."""
        n = sum(map(len, self.clusters))
        return (n - len(self.clusters)) / max(n, 1)


def near_duplicates(
    texts: Sequence[str],
    *,
    n_hashes: int = 128,
    n_bands: int | None = None,
    ngram: int = 5,
    threshold: float = 0.8,
    verify: bool = True,
    seed: int = 0,
) -> NearDuplicates:
    """Find texts whose sets of word shingles are alike.

    1. texts that are equal after normalising are put together, and one of them goes on
    2. each is signed (MinHash); those that agree in a band become candidates (LSH)
    3. the exact Jaccard similarity of each candidate pair is computed; J >= threshold stays
    4. the pairs are joined to clusters

    Args:
        texts: the documents. One without words resembles only its exact copies.
        n_hashes: length of a signature.
        n_bands: bands of LSH; None chooses them for the threshold (`lsh.choose_bands` with
            cost_missed=0.9).
        ngram: words in a shingle.
        threshold: similarity from which two texts are near duplicates, in (0, 1].
        verify: False skips step 3 and takes every candidate, as is sometimes done at scale.
        seed: of the hash functions.

    Returns:
        Pairs, their similarities and clusters.

    Raises:
        ValueError: if the threshold is not in (0, 1], or n_hashes, n_bands or ngram does not fit.

    Cost: about 0.1 us a word and hash family of 128, after normalising (50 ns a character); memory
        8 bytes a word and 4 n_hashes a text.
    Source: Broder 1997; Lee et al. 2022, Deduplicating training data makes language models better,
        section 4.2.
    Lesson: notebooks/04_dedup.ipynb
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold must lie in (0, 1], got {threshold}")
    if n_bands is None:
        n_bands = lsh.choose_bands(n_hashes, threshold, cost_missed=0.9)[0]
    lsh.n_rows(n_hashes, n_bands)
    from minillm.data import minhash_compiled as fast

    forms = [normalise(text) for text in texts]
    first: dict[str, int] = {}
    copies = []
    for i, (form, text) in enumerate(zip(forms, texts, strict=True)):
        j = first.setdefault(form or f"\n{text}", i)  # no form holds a newline
        if j != i:
            copies.append((j, i))
    alone = np.array([i for i in first.values() if forms[i]], np.int64)
    hashes, starts = fast.shingle_hashes([forms[i] for i in alone], ngram)
    signed = fast.smallest(hashes, starts, *hash_functions(n_hashes, seed))
    proposed = lsh.candidates(signed, n_bands)
    alike = fast.similarities(*fast.distinct(hashes, starts), proposed)
    good = alike >= threshold if verify else np.ones(len(alike), bool)
    pairs = np.concatenate([alone[proposed[good]], np.array(copies, np.int64).reshape(-1, 2)])
    similarity = np.concatenate([alike[good], np.ones(len(copies))])
    found = grouping.clusters(len(texts), pairs)
    return NearDuplicates(pairs, similarity, found, len(proposed) + len(copies))


def minhash_dedup(
    files: str | Path | Iterable[str | Path],
    n_hashes: int,
    n_bands: int,
    ngram: int,
    threshold: float,
    out: str | Path,
    *,
    keep: grouping.Keep = "first",
    seed: int = 0,
) -> FileReport:
    """Copy files into a folder, of near duplicates only one. (Six positional arguments: a
    signature that other people's code relies on.)

    Args:
        files: a folder, or a list of UTF-8 files; each is one document.
        n_hashes: length of a signature; n_bands must divide it.
        n_bands: bands of LSH.
        ngram: words in a shingle.
        threshold: Jaccard similarity from which two files are near duplicates, in (0, 1].
        out: folder for the copies, byte by byte, under their own names; it is made.
        keep: "first" or "longest" of each cluster.
        seed: of the hash functions.

    Returns:
        How many files were removed, and which one was kept in place of each; files that are not
        UTF-8 or hold NUL bytes are skipped, and named with the reason.

    Raises:
        ValueError: if there is no file, none of them is text, two have one name, n_bands does not
            divide n_hashes, or as `near_duplicates`.

    Source: CS336 (Stanford), assignment 4.
    Lesson: notebooks/04_dedup.ipynb
    """
    if n_bands < 1 or n_hashes % n_bands:
        raise ValueError(f"n_bands={n_bands} must divide n_hashes={n_hashes}, such as 16 and 128")
    report = FileReport("files")
    paths = list_files(files)
    goes = out_paths(paths, out)
    read = list(read_each(paths, report))
    found = near_duplicates(
        [text for _, text in read],
        n_hashes=n_hashes,
        n_bands=n_bands,
        ngram=ngram,
        threshold=threshold,
        seed=seed,
    )
    kept = grouping.keep_one(found.clusters, keep, [len(text) for _, text in read])
    for stays, cluster in zip(_by_cluster(kept, found.clusters), found.clusters, strict=True):
        shutil.copyfile(read[stays][0], goes[read[stays][0]])
        report.instead |= {read[i][0]: read[stays][0] for i in cluster if i != stays}
    report.n_units, report.n_removed = len(read), len(report.instead)
    return report


def _by_cluster(kept: Sequence[int], found: Sequence[Sequence[int]]) -> list[int]:
    chosen = set(kept)
    return [next(i for i in cluster if i in chosen) for cluster in found]


def same_books(
    texts: Sequence[str],
    threshold: float = 0.9,
    *,
    ngram: int = 5,
    measure: Literal["jaccard", "containment"] = "jaccard",
) -> list[list[int]]:
    """Group books of which more than 90 % of the content is the same; every pair is compared.

    What "overlap" means the source does not say. Jaccard asks whether two books are the same;
    containment also catches the abridged edition and the chapter sold alone.

    Args:
        texts: whole books.
        threshold: an overlap *above* this makes two books one, in [0, 1).
        ngram: words in a shingle.
        measure: "jaccard" or "containment".

    Returns:
        Clusters, as from `clusters.clusters`.

    Raises:
        ValueError: if the threshold is not in [0, 1) or the measure is unknown.

    Cost: n (n - 1) / 2 comparisons of sets, which is right for thousands of books, not for
        millions of pages; there `near_duplicates` looks for candidates first.
    Source: Touvron et al. 2023, LLaMA, section 2.1, Gutenberg and Books3.
    Lesson: notebooks/04_dedup.ipynb
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"the threshold must lie in [0, 1), got {threshold}; 0.9 is LLaMA's")
    if measure not in ("jaccard", "containment"):
        raise ValueError(f"measure must be 'jaccard' or 'containment', got {measure!r}")
    overlap = jaccard if measure == "jaccard" else containment
    sets = [shingles(text, ngram) for text in texts]
    pairs = [
        (i, j)
        for j in range(len(sets))
        for i in range(j)
        if sets[i] and overlap(sets[i], sets[j]) > threshold
    ]
    return grouping.clusters(len(texts), pairs)

"""Exact duplicates, found by hashing: sentences, lines, paragraphs, documents, corpora, files.

A piece of text is looked up by a short hash of it. The level decides what a piece is: the finer,
the more repetition is found, and the more text is torn apart.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from minillm.data.shingles import normalise as normalised
from minillm.data.text_files import FileReport, list_files, out_paths, read_each

Level = Literal["sentence", "line", "paragraph", "document"]
Keep = Literal["first", "none"]
LEVELS: tuple[Level, ...] = ("sentence", "line", "paragraph", "document")

# Where a piece ends; the white space behind it belongs to it, so that the pieces join to the text.
_ENDS = {
    "sentence": re.compile(r"[.!?]+[\"'”’)\]]*(?:\s+|$)|[。！？…]+[”’」』）]*\s*|\n\s*"),
    "line": re.compile(r"\n"),
    "paragraph": re.compile(r"\n[^\S\n]*\n\s*"),
}


@dataclass(frozen=True)
class Deduplicated:
    """Texts without their repetitions.

    Attributes:
        texts: what is left of each text, in order; "" where nothing is.
        removed: (text number, start, end) of every piece that was taken out, in characters.
    """

    texts: list[str]
    removed: list[tuple[int, int, int]]


def content_hash(text: str, *, normalise: bool = False) -> bytes:
    """A short name of a text: equal texts have equal hashes, others (as good as) never.

    128 bits of BLAKE2b: among 10^12 texts a chance collision has a probability of about 10^-15.

    Args:
        text: any text.
        normalise: hash `shingles.normalise(text)`, so that case, accents, spaces and punctuation
            make no difference.

    Returns:
        16 bytes, the same on every machine.

    Lesson: notebooks/04_dedup.ipynb
    """
    text = normalised(text) if normalise else text
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def pieces(text: str, level: Level) -> list[str]:
    """Cut a text into sentences, lines or paragraphs; joined, they are the text again.

    A sentence ends at . ! ? before white space (so "3.14" stays whole, "Dr. Who" does not), at
    the Chinese marks, or with its line. A paragraph ends at an empty line.

    Args:
        text: any text.
        level: one of LEVELS.

    Returns:
        The pieces, none of them empty.

    Raises:
        ValueError: if the level is unknown.

    Lesson: notebooks/04_dedup.ipynb
    """
    if level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}; got {level!r}")
    if level == "document":
        return [text] if text else []
    cuts = [0, *(m.end() for m in _ENDS[level].finditer(text)), len(text)]
    return [text[i:j] for i, j in pairwise(cuts) if i < j]


def dedup_texts(
    texts: Sequence[str],
    level: Level = "document",
    keep: Keep = "first",
    *,
    normalise: bool = False,
    min_words: int = 1,
    known: Iterable[str] = (),
) -> Deduplicated:
    """Remove what was seen before, at a level of your choice.

    Args:
        texts: the documents, in an order that decides which copy is the first.
        level: "sentence", "line", "paragraph" or "document".
        keep: "first" keeps the first copy, "none" drops every piece that occurs more than once.
        normalise: compare without case, accents, spaces and punctuation. Spaces at the ends of a
            piece never count.
        min_words: pieces with fewer words (parted by white space) are left alone; with 1, blank
            lines are.
        known: another corpus (a test set, an earlier crawl): its pieces count as seen before, and
            are removed from `texts` wherever they stand. This is de-duplication between corpora.

    Returns:
        The texts without the pieces removed, and where these stood.

    Raises:
        ValueError: if level or keep is unknown, or min_words is negative.

    Cost: linear; 16 bytes (in Python about 100) for each different piece.
    Lesson: notebooks/04_dedup.ipynb
    """
    _check_keep(keep)
    if min_words < 0:
        raise ValueError(f"min_words must be 0 or more, got {min_words}")

    def hashed(text: str) -> Iterator[tuple[int, int, bytes]]:
        start = 0
        for piece in pieces(text, level):
            end = start + len(piece)
            if len(piece.split(maxsplit=min_words)) >= min_words:
                yield start, end, content_hash(piece.strip(), normalise=normalise)
            start = end

    other = {name for text in known for *_, name in hashed(text)}
    found = [list(hashed(text)) for text in texts]
    counts = Counter(name for row in found for *_, name in row) if keep == "none" else Counter()
    seen, removed = set(other), []
    for i, row in enumerate(found):
        for start, end, name in row:
            if name in seen or counts[name] > 1:
                removed.append((i, start, end))
            if keep == "first":
                seen.add(name)
    return Deduplicated(cut_out(texts, removed), removed)


def cut_out(texts: Sequence[str], removed: Iterable[tuple[int, int, int]]) -> list[str]:
    """The texts without the stretches (text number, start, end), which may overlap."""
    by_text: dict[int, list[tuple[int, int]]] = {}
    for i, start, end in removed:
        by_text.setdefault(i, []).append((start, end))
    left = list(texts)
    for i, spans in by_text.items():
        at, parts = 0, []
        for start, end in sorted(spans):
            parts.append(texts[i][at : max(start, at)])
            at = max(at, end)
        left[i] = "".join([*parts, texts[i][at:]])
    return left


def dedup_lines(
    files: str | Path | Iterable[str | Path],
    out: str | Path,
    keep: Keep = "first",
    *,
    normalise: bool = False,
    keep_blank: bool = False,
) -> FileReport:
    """Remove repeated lines within and between files; write each file anew into a folder.

    Args:
        files: a folder, or a list of UTF-8 files; their order decides which copy is the first.
        out: folder for the results, each under the name of its source; it is made.
        keep: "first" keeps the first copy of a line, "none" drops all copies of a line that
            occurs more than once (as CS336's assignment 4 asks).
        normalise: compare lines without case, accents, spaces and punctuation. What is written is
            always the line as it was.
        keep_blank: leave blank lines alone. Otherwise a blank line is a line like any other.

    Returns:
        How many lines there were and how many were removed; files that are not UTF-8 or hold NUL
        bytes are skipped, and named with the reason. A line ends at a newline; whether it ends
        in CR LF or LF, or the file without either, makes no difference.

    Raises:
        ValueError: if there is no file, none of them is text, two have one name, or `keep` is
            unknown.

    Cost: two readings of the files, of which one is in memory at a time; about 100 bytes for each
        different line.
    Source: Touvron et al. 2023, LLaMA, section 2.1 (CCNet's lines); CS336, assignment 4.
    Lesson: notebooks/04_dedup.ipynb
    """
    _check_keep(keep)
    report = FileReport("lines")
    paths = list_files(files)
    goes = out_paths(paths, out)
    counts = Counter(
        name for _, text in read_each(paths, report) for name, _ in _lines(text, normalise)
    )
    report.n_units = counts.total()
    seen: set[bytes] = set()
    for path, text in read_each([p for p in paths if p not in report.skipped], report):
        left = []
        for name, line in _lines(text, normalise):
            again = name in seen or (keep == "none" and counts[name] > 1)
            if not again or (keep_blank and not line.strip()):
                left.append(line)
            seen.add(name)
        report.n_removed -= len(left)
        _write(goes[path], "".join(left))
    report.n_removed += report.n_units
    return report


def _lines(text: str, normalise: bool) -> Iterator[tuple[bytes, str]]:
    for line in pieces(text, "line"):
        bare = line.removesuffix("\n").removesuffix("\r")
        yield content_hash(bare, normalise=normalise), line


def _write(path: Path, text: str) -> None:
    """Write beside, then rename: a run that is cut off leaves no half file."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(text.encode("utf-8"))
    os.replace(part, path)


def equal_files(files: str | Path | Iterable[str | Path]) -> list[list[Path]]:
    """Groups of files with the same bytes, as LLaMA removed copies from GitHub.

    Args:
        files: a folder, or a list of files of any kind.

    Returns:
        Each group of two or more, in the order of the files; a size that only one file has is not
        even read.

    Raises:
        ValueError: if there is no file.

    Source: Touvron et al. 2023, LLaMA, section 2.1, GitHub.
    Lesson: notebooks/04_dedup.ipynb
    """
    paths = list_files(files)
    sizes = Counter(path.stat().st_size for path in paths)
    groups: dict[tuple[int, str], list[Path]] = {}
    for path in paths:
        size = path.stat().st_size
        if sizes[size] > 1:
            with path.open("rb") as file:
                name = hashlib.file_digest(file, "sha256").hexdigest()
            groups.setdefault((size, name), []).append(path)
    return [group for group in groups.values() if len(group) > 1]


def _check_keep(keep: str) -> None:
    if keep not in ("first", "none"):
        raise ValueError(f"keep must be 'first' or 'none', got {keep!r}")

"""Public corpora: fetched once from where their publishers keep them, and read into texts."""

import re
from pathlib import Path

from minillm.data.catalogue import Entry
from minillm.data.fetch import download, file_sha256
from minillm.data.harvest import data_home

_ENDOFTEXT = "<|endoftext|>"
_GUTENBERG = re.compile(
    r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG EBOOK.*?\*\*\*(.*?)"
    r"\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG EBOOK",
    re.DOTALL,
)
_HASHED_AGAIN = 100_000_000  # bytes; larger files are compared by size when they are opened


def load_public(entry: Entry, *, progress: bool = True) -> tuple[list[str], str]:
    """Return the texts of a public corpus and a sentence about their source.

    The first download of a file whose hash the catalogue does not know records the hash beside
    the file and prints it (trust on first use); afterwards a file with another hash is refused.

    Args:
        entry: a row of the catalogue of kind `public`.
        progress: show a bar while it is fetched.

    Returns:
        The texts, and the address they come from with the first digits of the file's hash.

    Raises:
        ConnectionError, FileNotFoundError: as `download`.
        ValueError: if the file is not the one that was recorded.
        ImportError: if a parquet file is to be read and pyarrow is not installed.
    """
    path = data_home() / "public" / entry.name / (entry.url.rsplit("/", 1)[-1] or "file")
    record = path.with_name(path.name + ".sha256")
    recorded = record.read_text("utf-8").split() if record.is_file() else []
    wanted = entry.sha256 or (recorded[0] if recorded else None)
    if path.is_file() and recorded:
        _check(path, recorded, entry)
        arrived = recorded[0]
    else:
        got = download(entry.url, path, wanted, entry.n_bytes, name=entry.name, progress=progress)
        arrived = got.sha256
        if not wanted:
            print(f"{entry.name}: first download, sha256 {arrived} recorded in {record}")
        record.write_text(f"{arrived} {got.n_bytes}\n", "utf-8")
    return _READERS[entry.form](path), f"{entry.url} (sha256 {arrived[:12]}...)"


def _check(path: Path, recorded: list[str], entry: Entry) -> None:
    sha256, n_bytes = recorded[0], int(recorded[1])
    altered = path.stat().st_size != n_bytes
    if not altered and n_bytes <= _HASHED_AGAIN:
        altered = file_sha256(path) != sha256
    if altered:
        raise ValueError(
            f"{path} is no longer the file that was fetched (recorded sha256 {sha256}); "
            f"delete it and load {entry.name!r} again"
        )


def _gutenberg(path: Path) -> list[str]:
    """Return a book without the publisher's frame, as one text."""
    text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    inside = _GUTENBERG.search(text)
    return [(inside.group(1) if inside else text).strip()]


def _endoftext(path: Path) -> list[str]:
    """Return the texts that stand between the words <|endoftext|>."""
    text = path.read_text("utf-8")
    return [found for found in map(str.strip, text.split(_ENDOFTEXT)) if found]


def _parquet(path: Path) -> list[str]:
    """Return the column `text` of a parquet file."""
    import pandas as pd

    try:
        return [str(text) for text in pd.read_parquet(path, columns=["text"])["text"]]
    except ImportError:
        raise ImportError(
            f"{path.name} is a parquet file: install its reader with `pip install pyarrow`"
        ) from None


_READERS = {"gutenberg": _gutenberg, "endoftext": _endoftext, "parquet": _parquet}

"""The catalogue of corpora: data/corpora.csv, with the licence of each."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import minillm

CATALOGUE = Path(minillm.__file__).parents[1] / "data" / "corpora.csv"


@dataclass(frozen=True)
class Entry:
    """One row of the catalogue."""

    name: str
    kind: str
    """`harvest`, `synthetic` or `public`."""
    title: str
    licence: str
    licence_url: str
    url: str
    """Where a public corpus is fetched from; empty for the others."""
    form: str
    """How the file is read: gutenberg, endoftext (texts parted by that word) or parquet."""
    n_bytes: int | None
    """Size of the file where it is known, else None."""
    sha256: str
    """Hash of the file where it is known; empty: the first download records it."""
    note: str

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}): {self.title} | licence: {self.licence} | {self.note}"


@cache
def catalogue() -> dict[str, Entry]:
    """Read data/corpora.csv.

    Returns:
        {name: Entry}, in the order of the file.

    Raises:
        FileNotFoundError: if minillm is installed without its repository.
    """
    if not CATALOGUE.is_file():
        raise FileNotFoundError(
            f"{CATALOGUE} is missing: minillm works from a clone of its repository "
            "(pip install -e . in the clone)"
        )
    with CATALOGUE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for row in rows:
        n_bytes = row.pop("n_bytes")
        found[row["name"]] = Entry(n_bytes=int(n_bytes) if n_bytes else None, **row)
    return found

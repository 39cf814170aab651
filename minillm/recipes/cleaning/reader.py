"""From files to documents: what can be read is read, what cannot is named, and the rest goes on.

    .txt .text .md .rst     one document a file
    .html .htm              one document a file, its text taken out of the markup
    .jsonl                  one document a line, its text under "text"
    .warc                   one document a page of the archive
    .gz behind any of them  the same, unpacked on the way

No file is read whole unless it is one document, and no document is longer than a limit. So a line
of 200 MB costs no more memory than the limit, and is named in the report.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

PLAIN = (".txt", ".text", ".md", ".rst")
PAGES = (".html", ".htm")
SUFFIXES = (*PLAIN, *PAGES, ".jsonl", ".warc")


@dataclass(frozen=True)
class Document:
    """A text and where it stands: `notes/a.jsonl#3` is the third line of a file."""

    id: str
    text: str


@dataclass(frozen=True)
class Problem:
    """Something that could not be read."""

    place: str
    """The file, or the line or page of it."""

    kind: str
    """One of: not UTF-8, NUL bytes, too long, cut short, not JSON, no text, unreadable, page."""

    message: str
    """One line for the user: what is wrong and what to do."""


def kind_of(path: Path) -> str:
    """The suffix that says how to read a file, `.gz` left out; "" for other files."""
    name = path.name.lower().removesuffix(".gz")
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def read_documents(path: Path, name: str, max_bytes: int) -> Iterator[Document | Problem]:
    """Read the documents of one file.

    Args:
        path: the file.
        name: how it is called in ids and messages (its path below the folder).
        max_bytes: longer documents become a Problem.

    Yields:
        Documents and problems in the order of the file. Nothing is raised for what a file holds.

    Cost: memory for one document.
    Lesson: notebooks/02_sources.ipynb
    """
    kind = kind_of(path)
    if kind == ".warc":
        yield from _pages(path, name, max_bytes)
        return
    try:
        with _opened(path) as file:
            if kind == ".jsonl":
                yield from _lines(file, name, max_bytes)
            else:
                yield _whole(file, name, max_bytes, is_page=kind in PAGES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Problem(
            name,
            "cut short",
            f"{name} is cut short or broken ({error}): what came before is kept; fetch it again",
        )
    except OSError as error:
        yield Problem(name, "unreadable", f"{name} cannot be read: {error.strerror or error}")


def _opened(path: Path) -> BinaryIO:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def _whole(file: BinaryIO, name: str, max_bytes: int, *, is_page: bool) -> Document | Problem:
    raw = file.read(max_bytes + 1)
    if len(raw) > max_bytes:
        return _too_long(name, max_bytes)
    return _page(name, raw) if is_page else _decoded(name, raw)


def _lines(file: BinaryIO, name: str, max_bytes: int) -> Iterator[Document | Problem]:
    number = 0
    while raw := file.readline(max_bytes + 1):
        number += 1
        place = f"{name}#{number}"
        if len(raw) > max_bytes and not raw.endswith(b"\n"):
            while (rest := file.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
            yield _too_long(place, max_bytes)
        elif raw.strip():
            yield _row(place, raw)


def _row(place: str, raw: bytes) -> Document | Problem:
    line = _decoded(place, raw)
    if isinstance(line, Problem):
        return line
    try:
        row = json.loads(line.text)
        text = row["text"] if isinstance(row, dict) else None
    except (ValueError, KeyError, RecursionError) as error:
        return Problem(place, "not JSON", f'{place} is no JSON object with "text": {error}')
    if not isinstance(text, str):
        return Problem(place, "not JSON", f'{place} has no string under "text"')
    if "\x00" in text:
        return _nul(place)
    return Document(place, text)


def _pages(path: Path, name: str, max_bytes: int) -> Iterator[Document | Problem]:
    from minillm.data.http_page import http_page
    from minillm.data.warc import read_warc

    number = 0
    try:
        for record in read_warc(path):
            if record.type != "response":
                continue
            number += 1
            place = f"{name}#{number}"
            try:
                status, _, page = http_page(record)
            except ValueError as error:
                yield Problem(place, "page", f"{place}: {error}")
                continue
            if status == 200:
                yield _too_long(place, max_bytes) if len(page) > max_bytes else _page(place, page)
    except ValueError as error:
        yield Problem(name, "cut short", f"{error}; the {number} pages before it are kept")


def _page(place: str, raw: bytes) -> Document | Problem:
    from minillm.data.html_text import html_text

    page = _decoded(place, raw)
    if isinstance(page, Problem):
        return page
    try:
        return Document(place, html_text(page.text))
    except ValueError as error:
        return Problem(place, "page", f"{place}: {error}")


def _decoded(place: str, raw: bytes) -> Document | Problem:
    if b"\x00" in raw:
        return _nul(place)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return Problem(
            place,
            "not UTF-8",
            f"{place} is not UTF-8: byte 0x{raw[error.start]:02x} at position {error.start}; save "
            "it as UTF-8, for example with `iconv -f LATIN1 -t UTF-8`",
        )
    return Document(place, text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))


def _nul(place: str) -> Problem:
    return Problem(
        place, "NUL bytes", f"{place} holds NUL bytes: it is binary, or text in UTF-16; convert it"
    )


def _too_long(place: str, max_bytes: int) -> Problem:
    return Problem(
        place,
        "too long",
        f"{place} is longer than {max_bytes:,} bytes: split it, or raise the limit",
    )

"""WARC: the file format in which Common Crawl and the web archives keep what they fetched.

A file is a row of records. Each has a line `WARC/1.0`, header lines `Name: value`, an empty line,
and a block of exactly Content-Length bytes, followed by two line ends. In `.warc.gz` each record
is a gzip member of its own, so that one can be read without those before it. The block of a
`response` is what the server sent: HTTP status line, HTTP headers, an empty line, and the page.

    WARC/1.0
    WARC-Type: response
    WARC-Target-URI: http://example.org/
    Content-Length: 77

    HTTP/1.1 200 OK
    Content-Type: text/html

    <html>...
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_BLOCK = 256 * 1024 * 1024
"""Bytes; a longer block is refused rather than read into memory."""
_MAX_LINE = 64 * 1024
_CHUNK = 64 * 1024
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class WarcRecord:
    """One record of a WARC file."""

    version: str
    """`WARC/1.0` or `WARC/1.1`."""
    headers: tuple[tuple[str, str], ...]
    """Names and values in the order of the file; a name may come twice."""
    block: bytes

    def header(self, name: str) -> str | None:
        """Return the first value of a header, capitals not looked at; None if it is not there."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    @property
    def type(self) -> str:
        """`response`, `request`, `warcinfo`, `metadata`, `conversion` ... or empty."""
        return (self.header("WARC-Type") or "").lower()

    @property
    def url(self) -> str:
        """The address that was fetched, without the angle brackets of old files; may be empty."""
        return (self.header("WARC-Target-URI") or "").strip("<>")


def read_warc(source: str | Path | BinaryIO, *, max_block: int = MAX_BLOCK) -> Iterator[WarcRecord]:
    """Read the records of a WARC file one after another.

    Args:
        source: path, or an open binary file; plain or in gzip members, which the first two bytes
            tell.
        max_block: refuse blocks longer than this, in bytes.

    Yields:
        The records. Memory holds one at a time.

    Raises:
        ValueError: if the file is cut short, a length is wrong or missing, a line is no header, or
            a gzip member is damaged. The message names the file, the record and the byte (of the
            unpacked file); the records before it have been handed out.
        OSError: if the file cannot be read.

    Cost: linear in the file.
    Source: ISO 28500:2017, and the WARC 1.0 specification of the IIPC.
    Lesson: notebooks/02_sources.ipynb
    """
    if isinstance(source, (str, Path)):
        with Path(source).open("rb") as file:
            yield from _records(_Reader(file, str(source)), max_block)
    else:
        name = str(getattr(source, "name", "the open file"))
        yield from _records(_Reader(source, name), max_block)


def write_warc(records: Iterable[WarcRecord], path: str | Path) -> int:
    """Write records; a name that ends in .gz gets a gzip member for each.

    Content-Length is set to the true length of the block, whatever the record says.

    Returns:
        How many records were written.
    """
    n_written = 0
    with Path(path).open("wb") as file:
        for record in records:
            raw = _as_bytes(record)
            file.write(gzip.compress(raw, mtime=0) if str(path).endswith(".gz") else raw)
            n_written += 1
    return n_written


def make_response(url: str, page: str | bytes, *, content_type: str = "text/html") -> WarcRecord:
    """Make the record of a page as a crawler would write it (without date and id)."""
    body = page.encode() if isinstance(page, str) else page
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    block = head.encode() + body
    names = (
        ("WARC-Type", "response"),
        ("WARC-Target-URI", url),
        ("Content-Type", "application/http; msgtype=response"),
        ("Content-Length", str(len(block))),
    )
    return WarcRecord("WARC/1.0", names, block)


def _as_bytes(record: WarcRecord) -> bytes:
    named = [(n, v) for n, v in record.headers if n.lower() != "content-length"]
    named.append(("Content-Length", str(len(record.block))))
    head = "".join(f"{name}: {value}\r\n" for name, value in named)
    return f"{record.version}\r\n{head}\r\n".encode() + record.block + b"\r\n\r\n"


def _records(reader: "_Reader", max_block: int) -> Iterator[WarcRecord]:
    """Read records until the file ends between two of them."""
    number = 0
    while reader.skip_blank_lines():
        number += 1
        start = reader.position
        version = reader.line(number)
        if not version.startswith("WARC/"):
            raise reader.error(
                number, start, f"should begin with WARC/1.0 but has {version[:40]!r}"
            )
        headers: list[tuple[str, str]] = []
        while line := reader.line(number):
            if line[0] in " \t" and headers:  # a value that goes on
                headers[-1] = (headers[-1][0], f"{headers[-1][1]} {line.strip()}")
                continue
            name, colon, value = line.partition(":")
            if not colon:
                raise reader.error(number, start, f"has a line that is no header: {line[:40]!r}")
            headers.append((name.strip(), value.strip()))
        record = WarcRecord(version, tuple(headers), b"")
        said = record.header("Content-Length")
        if said is None or not (said.isascii() and said.isdecimal()) or len(said) > 15:
            raise reader.error(number, start, f"has no valid Content-Length but {said!r}")
        if int(said) > max_block:
            raise reader.error(
                number, start, f"has {said} bytes, more than max_block={max_block}: raise it"
            )
        block = reader.exactly(int(said), number, start)
        ending = reader.exactly(4, number, start)
        if ending != b"\r\n\r\n":
            why = f"says {said} bytes, but no record ends there: Content-Length is wrong"
            raise reader.error(number, start, why)
        yield WarcRecord(version, tuple(headers), block)


class _Reader:
    """Bytes of a file, unpacked if they are packed, with a position for messages."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name, self.position = name, 0
        self.buffer = b""
        self.source = _unpacked(file, name)

    def error(self, number: int, start: int, why: str) -> ValueError:
        """Return the error of a record, with where it is."""
        return ValueError(f"{self.name}: record {number}, at byte {start}, {why}")

    def _more(self) -> bool:
        chunk = next(self.source, b"")
        self.buffer += chunk
        return bool(chunk)

    def _take(self, n_bytes: int) -> bytes:
        taken, self.buffer = self.buffer[:n_bytes], self.buffer[n_bytes:]
        self.position += len(taken)
        return taken

    def skip_blank_lines(self) -> bool:
        """Go to the next record; False at the end of the file."""
        while True:
            blank = len(self.buffer) - len(self.buffer.lstrip(b"\r\n"))
            self._take(blank)
            if self.buffer:
                return True
            if not self._more():
                return False

    def line(self, number: int) -> str:
        """Read a header line, without its end."""
        start, looked = self.position, 0
        while (end := self.buffer.find(b"\n", looked)) < 0:
            looked = len(self.buffer)
            if looked > _MAX_LINE:
                raise self.error(number, start, f"has a header line over {_MAX_LINE} bytes")
            if not self._more():
                raise self.error(number, start, "is cut short in its headers: the file ends")
        return self._take(end + 1).decode("utf-8", "replace").rstrip("\r\n")

    def exactly(self, n_bytes: int, number: int, start: int) -> bytes:
        """Read so many bytes."""
        parts, missing = [self._take(n_bytes)], n_bytes
        missing -= len(parts[0])
        while missing and self._more():
            parts.append(self._take(missing))
            missing -= len(parts[-1])
        if missing:
            raise self.error(
                number, start, f"is cut short: {missing} of {n_bytes} bytes are missing"
            )
        return b"".join(parts)


def _unpacked(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield the bytes of a file in pieces; gzip members one after another are unpacked."""
    raw = file.read(_CHUNK)
    if not raw.startswith(_GZIP):
        while raw:
            yield raw
            raw = file.read(_CHUNK)
        return
    member, read = 0, 0  # where the member starts in the packed file; bytes of it given to unpack
    unpack = zlib.decompressobj(31)
    while raw:
        try:
            out = unpack.decompress(raw, _CHUNK)
        except zlib.error as error:
            raise ValueError(
                f"{name}: the gzip member at byte {member} is damaged ({error}); fetch it again"
            ) from None
        rest = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
        read += len(raw) - len(rest)
        if out:
            yield out
        if unpack.eof:
            member, unpack = member + read, zlib.decompressobj(31)
            read = 0
        raw = rest or file.read(_CHUNK)
    if read and (out := unpack.flush()):
        yield out
    if read and not unpack.eof:
        raise ValueError(f"{name}: the gzip member at byte {member} is cut short; fetch it again")

"""The answer of a web server taken apart: status, headers, and the page without its codings."""

import zlib

from minillm.data.warc import MAX_BLOCK, WarcRecord


def http_page(record: WarcRecord) -> tuple[int, dict[str, str], bytes]:
    """Take the HTTP answer of a response record apart.

    Args:
        record: of type `response`.

    Returns:
        Status, headers (names in small letters, the first of equal names), and the body, with the
        transfer coding `chunked` and the content codings gzip and deflate undone.

    Raises:
        ValueError: if the block is no HTTP answer, or its body is damaged or of an unknown coding.

    Lesson: notebooks/02_sources.ipynb
    """
    head, body = _split_head(record.block)
    lines = head.decode("latin-1").splitlines()
    first = lines[0].split() if lines else []
    if len(first) < 2 or not first[0].startswith("HTTP/") or not first[1].isdecimal():
        shown = lines[0][:60] if lines else ""
        raise ValueError(f"{record.url or 'a record'}: no HTTP status line but {shown!r}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _unchunked(body, record.url)
    coding = headers.get("content-encoding", "").lower()
    return int(first[1]), headers, _uncoded(body, coding, record.url)


def _split_head(block: bytes) -> tuple[bytes, bytes]:
    for mark in (b"\r\n\r\n", b"\n\n"):
        head, found, body = block.partition(mark)
        if found:
            return head, body
    return block, b""


def _unchunked(body: bytes, url: str) -> bytes:
    """Join the chunks of an HTTP body: a length in hexadecimal on a line, then so many bytes."""
    out: list[bytes] = []
    at = 0
    while True:
        end = body.find(b"\n", at, at + 1000)
        size = body[at : max(end, at)].split(b";")[0].strip()
        if end < 0 or not size or size.strip(b"0123456789abcdefABCDEF") or len(size) > 12:
            raise ValueError(f"{url}: a chunk must begin with its length, at byte {at} of the body")
        n_bytes = int(size, 16)
        if not n_bytes:
            return b"".join(out)
        at = end + 1 + n_bytes
        if at > len(body):
            raise ValueError(f"{url}: the last chunk is cut short, {at - len(body)} bytes missing")
        out.append(body[end + 1 : at])
        at += 2 if body[at : at + 2] == b"\r\n" else int(body[at : at + 1] == b"\n")


def _uncoded(body: bytes, coding: str, url: str) -> bytes:
    """Undo the content coding of an HTTP body."""
    if coding in ("", "identity", "none"):
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"{url}: unknown content coding {coding!r}; leave this page out")
    widths = (31,) if coding.endswith("gzip") else (15, -15)
    for width in widths:
        unpack = zlib.decompressobj(width)
        try:
            out = unpack.decompress(body, MAX_BLOCK)
        except zlib.error:
            continue
        if unpack.eof:
            return out
    raise ValueError(f"{url}: the {coding} body is damaged or cut short")

"""The answer of a server taken apart, with its codings undone."""

import gzip
import zlib

import pytest

from minillm.data.http_page import http_page
from minillm.data.warc import WarcRecord, make_response

PAGE = "<p>词 and words</p>".encode()
PACKED = gzip.compress(PAGE, mtime=0)  # without a date: the same for each worker of pytest


def record(block):
    return WarcRecord("WARC/1.0", (("WARC-Target-URI", "http://example.com/a"),), block)


def answer(body, *headers, status="HTTP/1.1 200 OK"):
    return record("\r\n".join([status, *headers, "", ""]).encode() + body)


def raw_deflate(data):
    pack = zlib.compressobj(wbits=-15)
    return pack.compress(data) + pack.flush()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (PAGE, ()),
        (PAGE, ("Content-Encoding: identity",)),
        (PACKED, ("Content-Encoding: gzip",)),
        (PACKED, ("content-ENCODING: x-gzip",)),
        (zlib.compress(PAGE), ("Content-Encoding: deflate",)),
        (raw_deflate(PAGE), ("Content-Encoding: deflate",)),
        (b"5\r\n" + PAGE[:5] + b"\r\n%X;x=1\r\n" % (len(PAGE) - 5) + PAGE[5:] + b"\r\n0\r\n\r\n",
         ("Transfer-Encoding: chunked",)),
    ],
    ids=["plain", "identity", "gzip", "x-gzip", "zlib", "deflate", "chunked"],
)  # fmt: skip
def test_the_page_comes_out_whatever_its_coding(body, headers):
    status, found, page = http_page(answer(body, "Server: a test", *headers))
    assert (status, page) == (200, PAGE)
    assert found["server"] == "a test"


def test_a_page_that_was_chunked_and_packed():
    chunked = b"%x\r\n" % len(PACKED) + PACKED + b"\r\n0\r\n\r\n"
    names = ("Transfer-Encoding: chunked", "Content-Encoding: gzip")
    assert http_page(answer(chunked, *names))[2] == PAGE


def test_chunks_and_heads_with_bare_newlines():
    chunked = b"3\nabc\n2\nde\n0\n"  # as some servers write them
    assert http_page(answer(chunked, "Transfer-Encoding: chunked"))[2] == b"abcde"
    page = b"one paragraph\n\nand another"  # an empty line of the page ends no head
    assert http_page(answer(page, "A: b"))[1:] == ({"a": "b"}, page)


def test_what_make_response_makes():
    status, headers, page = http_page(make_response("http://example.com", PAGE))
    assert (status, page) == (200, PAGE)
    assert headers["content-length"] == str(len(PAGE))


def test_other_answers():
    moved = answer(b"", "Location: /b", "Location: /c", status="HTTP/1.0 301 Moved")
    status, headers, page = http_page(moved)
    assert (status, page, headers["location"]) == (301, b"", "/b")  # the first of equal names
    assert http_page(record(b"HTTP/1.1 404 Not Found\nA: b\n\nbody"))[2] == b"body"
    assert http_page(record(b"HTTP/1.1 204 No Content"))[0] == 204


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (record(b""), "http://example.com/a: no HTTP status line but ''"),
        (record(b"GET / HTTP/1.1\r\n\r\n"), "no HTTP status line but 'GET"),
        (record(b"HTTP/1.1 OK\r\n\r\n"), "no HTTP status line"),
        (answer(PAGE, "Content-Encoding: br"), "unknown content coding 'br'; leave this page out"),
        (answer(PACKED[:-9], "Content-Encoding: gzip"), "damaged or cut short"),
        (answer(PAGE, "Content-Encoding: gzip"), "damaged or cut short"),
        (answer(PAGE, "Transfer-Encoding: chunked"), "must begin with its length, at byte 0"),
        (answer(b"ff\r\nab", "Transfer-Encoding: chunked"), "cut short, 253 bytes missing"),
    ],
)
def test_a_broken_answer_is_named(broken, said):
    with pytest.raises(ValueError, match=said):
        http_page(broken)

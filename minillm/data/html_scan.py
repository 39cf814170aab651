"""From a page to its tags and texts: a scanner for HTML that never fails and never slows down.

Pages of the web are not well-formed. Tags are left open, crossed, cut in the middle or nested a
hundred thousand deep, so this scanner asks for nothing: it goes from left to right, looks at each
character a fixed number of times, keeps no stack, and takes what is no markup as text. The rules
are those of the HTML standard where they matter for text: quoted values may hold ">", comments and
the insides of script and style are no text, an entity is the character that it names.

Python's own `html.parser` does the same for good pages (the tests hold the two equal), but up to
3.13 takes quadratic time on some bad ones (CVE-2025-6069).
"""

import re
from collections.abc import Iterator
from html import unescape
from typing import NamedTuple

RAW = ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
"""What stands in these elements is not markup; it ends at the element's own end tag only."""

_LETTER = re.compile(r"[a-zA-Z]")
_TAG_NAME = re.compile(r"[a-zA-Z][^\s/>]*")
_ATTRIBUTE = re.compile(r"[\s/]*([^\s/>=][^\s/>=]*)(?:\s*=\s*(?:([\"'])|([^\s>\"'][^\s>]*)?))?")
_BLANK = re.compile(r"[\s/]*")
_LONG_NUMBER = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}[\"']?\s{0,9}([\w-]{1,40})", re.I)


class Token(NamedTuple):
    """One piece of a page."""

    kind: str
    """`start`, `end`, `text`, or `raw` (text inside script, style and the like)."""
    value: str
    """Name of the tag in small letters, or the text with its entities replaced."""
    attributes: dict[str, str]
    """Of a start tag; names in small letters, the first of equal names counts."""


def decode_page(page: bytes) -> str:
    """Turn the bytes of a page into text, without ever failing.

    Asked in this order: a byte order mark; UTF-8, if all of the page is valid; the `charset` that a
    meta tag in the first 4 096 bytes names; Windows-1252, as browsers do. Bytes that mean nothing
    become the replacement sign.

    Cost: linear in the page.
    """
    for mark, name in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if page.startswith(mark):
            return page.decode(name, "replace").removeprefix("\ufeff")
    try:
        return page.decode("utf-8")
    except UnicodeDecodeError:
        found = _CHARSET.search(page[:4096])
    named = found[1].decode("ascii", "replace").lower() if found else ""
    for name in (named, "cp1252"):
        if name.startswith("utf-16"):
            continue  # a meta tag that could be read is not written in UTF-16
        try:
            return page.decode(name, "replace")
        except (LookupError, ValueError):
            continue
    return page.decode("latin-1")


def replace_entities(text: str) -> str:
    """Replace &amp;, &#228; and the like by the characters that they name."""
    if "&" not in text:
        return text
    return unescape(_LONG_NUMBER.sub("\ufffd", text))  # int() refuses very long numbers


def scan(page: str) -> Iterator[Token]:
    """Cut a page into start tags, end tags and texts, from left to right.

    Args:
        page: any string at all.

    Yields:
        Tokens; comments, declarations and processing instructions are left out. Texts are never
        empty; two of them may follow each other.

    Cost: linear in the page, whatever it holds.
    Source: the tokenization section of the HTML Living Standard, simplified.
    Lesson: notebooks/02_sources.ipynb
    """
    page = page.replace("\x00", "")
    scanner, here, text_from = _Scanner(page), 0, 0
    while (here := page.find("<", here)) >= 0:
        token, end = scanner.markup(here)
        if end is None:  # a lone "<" is text
            here += 1
            continue
        if here > text_from:
            yield Token("text", replace_entities(page[text_from:here]), {})
        here = text_from = end
        if token is None:
            continue
        yield token
        if token.kind == "start" and token.value in RAW:
            close = scanner.raw_end(token.value, end)
            if close > end:
                yield Token("raw", page[end:close], {})
            here = text_from = close
    if text_from < len(page):
        yield Token("text", replace_entities(page[text_from:]), {})


class _Scanner:
    """Reads one piece of markup at a time and remembers what no longer comes in the page."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.gone: set[str] = set()
        self.ends = {name: re.compile(rf"</{name}(?=[\s/>]|$)", re.I) for name in RAW}

    def find(self, what: str, start: int) -> int:
        """As page.find, but a search that failed once is not made again from further on."""
        if what in self.gone:
            return -1
        at = self.page.find(what, start)
        if at < 0:
            self.gone.add(what)
        return at

    def markup(self, start: int) -> tuple[Token | None, int | None]:
        """Read what begins with "<": a token or nothing, and where it ends (None: it is text)."""
        page = self.page
        if page.startswith("<!--", start):
            if page.startswith(("<!-->", "<!--->"), start):
                return None, page.index(">", start) + 1
            end = self.find("-->", start + 4)
            return None, len(page) if end < 0 else end + 3
        first, second = page[start + 1 : start + 2], page[start + 2 : start + 3]
        closing = first == "/"
        if first in ("!", "?") or (closing and second and not _LETTER.match(second)):
            end = self.find(">", start + 1)
            return None, len(page) if end < 0 else end + 1
        if self.find(">", start) < 0:  # before the name is read: each "<" must stay cheap
            return None, None
        name = _TAG_NAME.match(page, start + 1 + closing)
        if not name:
            return None, None
        attributes, end = self.attributes(name.end())
        kind = "end" if closing else "start"
        return Token(kind, name.group().lower(), {} if closing else attributes), end

    def attributes(self, at: int) -> tuple[dict[str, str], int]:
        """Read attributes up to the end of the tag."""
        page = self.page
        found: dict[str, str] = {}
        while True:
            match = _ATTRIBUTE.match(page, at)
            if not match:
                at = _BLANK.match(page, at).end()  # type: ignore[union-attr]
                if page[at : at + 1] in (">", ""):
                    return found, min(at + 1, len(page))
                at += 1  # a stray "="
                continue
            name, quote, value = match[1], match[2], match[3]
            at = match.end()
            if quote:
                close = self.find(quote, at)
                if close < 0:  # never closed: the tag ends at the next ">"
                    end = self.find(">", at)
                    return found, len(page) if end < 0 else end + 1
                value, at = page[at:close], close + 1
            found.setdefault(name.lower(), replace_entities(value or ""))

    def raw_end(self, name: str, start: int) -> int:
        """Where the raw text of an element ends."""
        if f"</{name}" in self.gone:
            return len(self.page)
        match = self.ends[name].search(self.page, start)
        if not match:
            self.gone.add(f"</{name}")
            return len(self.page)
        return match.start()

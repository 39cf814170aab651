"""The scanner of pages: equal to html.parser on good pages, unbreakable and linear on bad ones."""

from collections import Counter
from html import unescape
from html.parser import HTMLParser

import pytest

from minillm.data.html_scan import RAW, Token, decode_page, replace_entities, scan
from minillm.data.pages import make_page, pydoc_page


class Reference(HTMLParser):
    """What Python's own parser finds."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.found = []

    def handle_starttag(self, tag, attrs):
        first = {}
        for name, value in attrs:
            first.setdefault(name, value or "")
        self.found.append(("start", tag, first))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        self.found.append(("end", tag, {}))

    def handle_data(self, data):
        self.found.append(("text", data, {}))


def joined(tokens):
    """Texts that follow each other joined; raw text as html.parser gives it."""
    out = []
    inside = ""
    for kind, value, attributes in tokens:
        if kind == "start":
            inside = value
        if kind == "raw":
            kind, value = "text", value if inside in ("script", "style") else unescape(value)
        if kind == "text" and out and out[-1][0] == "text":
            out[-1] = ("text", out[-1][1] + value, {})
        else:
            out.append((kind, value, attributes))
    return out


def reference(page):
    parser = Reference()
    parser.feed(page)
    parser.close()
    return joined(parser.found)


PARAGRAPHS = ["A headline & more", "one two three " * 20, "<tags> in the text, 3 < 4", "x" * 40]


@pytest.mark.parametrize("site", ["news", "blog", "forum", "docs"])
def test_good_pages_are_scanned_as_by_html_parser(site):
    page = make_page(PARAGRAPHS, site=site, seed=1).html
    assert joined(scan(page)) == reference(page)


@pytest.mark.parametrize("module", ["textwrap", "bisect", "csv"])
def test_pages_of_pydoc_are_scanned_as_by_html_parser(module):
    page = pydoc_page(module).html
    ours = joined(scan(page))
    assert ours == reference(page)
    assert len(ours) > 100


@pytest.mark.parametrize(
    ("page", "tokens"),
    [
        ("<p>Hi", [("start", "p"), ("text", "Hi")]),
        ("a < b", [("text", "a < b")]),
        ("a <", [("text", "a <")]),
        ("1<2>3", [("text", "1<2>3")]),
        ("<P CLASS=x>", [("start", "p", {"class": "x"})]),
        ("<a title='x > y' href=\"/z\">t", [("start", "a", {"title": "x > y", "href": "/z"})]),
        ("<a b = c d e= f>", [("start", "a", {"b": "c", "d": "", "e": "f"})]),
        ("<a b=1 B=2>", [("start", "a", {"b": "1"})]),
        ("<a b=&amp;&#65;>", [("start", "a", {"b": "&A"})]),
        ("<br/><br />", [("start", "br"), ("start", "br")]),
        ("<a =b>x", [("start", "a", {"b": ""}), ("text", "x")]),
        ("<img src=/a/b.png>", [("start", "img", {"src": "/a/b.png"})]),
        ("x<!-- <p> -- > -->y", [("text", "x"), ("text", "y")]),
        ("x<!-->y", [("text", "x"), ("text", "y")]),
        ("x<!-- never closed <p>", [("text", "x")]),
        ("<!DOCTYPE html><?xml a?><![CDATA[z]]>t", [("text", "t")]),
        ("x</>y</ 9>z", [("text", "x"), ("text", "y"), ("text", "z")]),
        ("</P >x", [("end", "p"), ("text", "x")]),
        ("<a b='never closed>x<p>y", [("start", "a", {}), ("text", "x"), ("start", "p")]),
        ("<p", [("text", "<p")]),
        ("x<p y='>", [("text", "x"), ("start", "p", {})]),
        ("fish &amp; chips &lt;b&gt;", [("text", "fish & chips <b>")]),
        ("\x00<\x00p>a\x00b", [("start", "p"), ("text", "ab")]),
        ("<script>a<b</p></SCRIPT>x", [("start", "script"), ("raw", "a<b</p>"), ("end", "script")]),
        ("<style>p</styles>", [("start", "style"), ("raw", "p</styles>")]),
        ("<title>&amp;<b></title>", [("start", "title"), ("raw", "&amp;<b>"), ("end", "title")]),
        ("<script></script>x", [("start", "script"), ("end", "script"), ("text", "x")]),
        ("", []),
    ],
)
def test_by_hand(page, tokens):
    found = list(scan(page))
    for i, wanted in enumerate(tokens):
        kind, value, *attributes = wanted
        assert found[i][:2] == (kind, value)
        assert not attributes or found[i].attributes == attributes[0]
    assert len(found) - len(tokens) in (0, 1)  # the last text of some cases is not written down
    assert all(isinstance(token, Token) for token in found)


@pytest.mark.parametrize("name", RAW)
def test_what_is_raw_is_not_scanned(name):
    found = list(scan(f"<{name}><p>x</{name} ><p>"))
    assert [token[:2] for token in found] == [
        ("start", name),
        ("raw", "<p>x"),
        ("end", name),
        ("start", "p"),
    ]


N = 300_000
ENDLESS = {
    "open tags": "<a " * N,
    "open names": "<a" * N,
    "open end tags": "</a" * N,
    "lone brackets": "<" * N,
    "brackets and digits": "<1" * N,
    "open comments": "<!--" * N,
    "open comments with a dash": "<!-- - " * N,
    "declarations": "<!x" * N,
    "open quotes": "<a b='>" * N,
    "open quotes of two sorts": "<a b='><c d=\">" * (N // 2),
    "open scripts": "<script>" * N,
    "scripts that end otherwise": "<script>" + "</scriptx>" * N,
    "entities": "&" * N + "&#x" * N,
    "spaces in a tag": "<a" + " " * N + "=" + " " * N,
    "slashes in a tag": "<a" + "/" * N + ">",
    "attributes": "<a" + " b=c" * N + ">",
    "equal signs": "<a " + "=" * N + ">",
    "a long number": "&#" + "9" * N + ";",
    "a long word": "x" * N,
    "nothing but NUL": "\x00" * N,
}


@pytest.mark.parametrize("page", ENDLESS.values(), ids=ENDLESS)
def test_endless_pages_end(page):
    """Were one of these taken in quadratic time, the test would run for minutes."""
    n_text = sum(len(token.value) for token in scan(page))
    assert n_text <= 2 * len(page)


class Counted(str):
    """A page that counts how often each sign is looked for."""

    def replace(self, *_):
        self.sought = Counter()
        return self

    def find(self, sign, *start):
        self.sought[sign] += 1
        return super().find(sign, *start)


def test_what_does_not_come_any_more_is_looked_for_once():
    page = Counted("<b" * 1000)
    assert [token.kind for token in scan(page)] == ["text"]
    assert page.sought["<"] > 1000
    assert page.sought[">"] == 1  # one search for each of the tags would be quadratic time


def test_entities():
    assert (
        replace_entities("a&nbsp;b &auml;&#228;&#xe4; &copy &nonsense;")
        == "a\xa0b äää © &nonsense;"
    )
    assert replace_entities("&#" + "1" * 5000 + ";x") == "\ufffdx"  # int() would refuse it
    assert replace_entities("&#xD800;&#0;&#1114112;") == "\ufffd" * 3


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("naïve".encode(), "naïve"),
        (b"\xef\xbb\xbfx", "x"),
        ("日本".encode("utf-16"), "日本"),
        (b"<meta charset=latin-1>\xe4", "<meta charset=latin-1>ä"),
        (b"<meta charset='gb2312'>\xc4\xe3", "<meta charset='gb2312'>你"),
        (b"<META http-equiv=x content='text/html; charset=koi8-r'>\xc1", "а"),
        (b"\x93quoted\x94", "“quoted”"),
        (b"<meta charset=utf-8>\xe4", "<meta charset=utf-8>\ufffd"),
        (b"<meta charset=no-such-thing>\xe4", "ä"),
        (b"<meta charset=utf-16>\xe4", "ä"),
        ("\ufeff日本".encode(), "日本"),
        (b"<meta charset=idna>\xe4", "ä"),
        (b"\x81", "\ufffd"),
        (b"", ""),
    ],
)
def test_bytes_become_text(raw, text):
    assert decode_page(raw).endswith(text)
    assert decode_page(raw).startswith(text[:1]) or raw.startswith(b"<")


def test_a_charset_is_sought_in_the_first_four_thousand_bytes():
    head, page = b"<!-- a long head -->", b"<meta charset=koi8-r>\xc1"
    assert decode_page(head * 200 + page).endswith("а")  # at byte 4 000
    assert decode_page(head * 205 + page).endswith("Á")  # at byte 4 100: Windows-1252

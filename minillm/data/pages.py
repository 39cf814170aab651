"""Web pages whose true text is known: invented ones in five styles, and real ones from pydoc.

To measure an extraction one must know what it should give. `make_page` wraps given paragraphs into
the sort of page that the web is full of and hands out both. `pydoc_page` lets Python write the
documentation page of one of its modules and writes down every docstring that goes into it.
"""

import importlib
import pydoc
import random
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, NamedTuple

SITES = ("news", "blog", "forum", "docs", "broken")
_MENU = ("Home", "World", "Politics", "Sports", "Travel", "Jobs", "About us", "Contact", "Log in")
_TEASERS = (
    "Ten quiet villages to see before the summer ends",
    "Why the price of rope has doubled since March",
    "Readers' letters: the bridge, the goats and the mayor",
    "Five soups that taste better on the second day",
    "The clock tower is late again, and nobody minds",
    "What the heron knows about patience",
)
_COOKIES = (
    "We and our partners store information on your device and read it again, to measure how often"
    " pages are seen. You can change your choice at any time in the settings of this site."
)
_LEGAL = (
    "Copyright The Daily Heron. All rights reserved. No part of this site may be copied, stored or"
    " passed on without the written permission of its owners. Prices include tax."
)


class Page(NamedTuple):
    """A page and what an ideal extraction would return."""

    html: str
    text: str
    """Headline, paragraphs and list items of the article, in order."""
    site: str


def make_page(paragraphs: Sequence[str], *, site: str, seed: int = 0) -> Page:
    """Wrap paragraphs into a page with menus, links, notices and scripts.

    Args:
        paragraphs: the first is the headline; at least two.
        site: one of SITES. `broken` has unclosed tags, capital letters and no quotes.
        seed: of links inside the text and of what stands around it.

    Returns:
        The page; its text is what the paragraphs say, as a reader sees it.

    Raises:
        ValueError: if the site is unknown or there are fewer than two paragraphs.

    Lesson: notebooks/02_sources.ipynb
    """
    if site not in _SITES:
        raise ValueError(f"unknown site {site!r}, choose from {', '.join(SITES)}")
    if len(paragraphs) < 2:
        raise ValueError(f"a page needs a headline and a paragraph, got {len(paragraphs)} texts")
    rng = random.Random(f"{site} {seed}")
    html = _SITES[site](paragraphs[0], list(paragraphs[1:]), rng)
    return Page(html, "\n\n".join(paragraphs), site)


def pydoc_page(module: str) -> Page:
    """Let pydoc write the page of a module, and note the docstrings that it shows.

    Args:
        module: a dotted name that can be imported without doing anything.

    Returns:
        The page, with the docstrings in the order in which pydoc set them. Names, signatures,
        lists of methods and links count as boilerplate.

    Raises:
        ValueError: if there is no such module.

    Lesson: notebooks/02_sources.ipynb
    """
    try:
        loaded = importlib.import_module(module)
    except ImportError:
        raise ValueError(f"no module {module!r} to document; name one of the library") from None
    writer = _Writer()
    body = writer.document(loaded, module)
    return Page(writer.page(module, body), "\n\n".join(writer.said), "pydoc")


class _Writer(pydoc.HTMLDoc):
    """Python's own writer of pages, which also notes every docstring that it sets."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def markup(self, text: str, *how: Any, **more: Any) -> str:
        """Set a docstring."""
        if text.strip():
            self.said.append(text.strip())
        return super().markup(text, *how, **more)


def _links(words: Sequence[str], rng: random.Random, part: str = " | ") -> str:
    return part.join(f'<a href="/p/{rng.randrange(10**6)}.html">{escape(w)}</a>' for w in words)


def _marked(text: str, rng: random.Random) -> str:
    """Set a paragraph: now and then a word is a link, or emphasised."""
    words = [escape(word, quote=False) for word in text.split()]
    for i in rng.sample(range(len(words)), len(words) // 20):
        tag = rng.choice(('a href="/w/{n}"', "em", "b", 'span class="x{n}"'))
        words[i] = f"<{tag.format(n=rng.randrange(999))}>{words[i]}</{tag.split()[0]}>"
    return " ".join(words)


def _news(title: str, body: list[str], rng: random.Random) -> str:
    paragraphs = "\n".join(f"<p>{_marked(text, rng)}</p>" for text in body)
    teasers = "".join(f"<li>{_links([t], rng)}</li>" for t in rng.sample(_TEASERS, 4))
    return f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<title>{escape(title)} - The Daily Heron</title><style>body {{ margin: 0 }}</style>
<script>window.data = {{"a": "<p>not text</p>"}};</script></head><body>
<div id="cookies"><p>{_COOKIES}</p><button>Accept all</button></div>
<header><div class="logo">The Daily Heron</div><nav><ul>
{"".join(f"<li>{_links([m], rng)}</li>" for m in _MENU)}</ul></nav></header>
<main><article><h1>{escape(title)}</h1><!-- slot 7 -->
{paragraphs}</article></main>
<aside><h3>Read on</h3><ul>{teasers}</ul></aside>
<footer><p>{_LEGAL}</p>{_links(("Imprint", "Privacy", "Terms"), rng)}</footer></body></html>"""


def _blog(title: str, body: list[str], rng: random.Random) -> str:
    months = [f"{m} 20{y}" for y in (19, 20, 21) for m in ("March", "June", "October")]
    text = "\n".join(f"<div class='para'>{_marked(p, rng)}</div>" for p in body)
    return f"""<html><head><title>{escape(title)}</title></head><body bgcolor="#ffffff">
<table width="100%"><tr><td colspan="2"><font size="5">My corner of the pond</font></td></tr>
<tr><td class="side" valign="top"><b>Archive</b><br>{_links(months, rng, "<br>")}
<b>Friends</b><br>{_links(("Ilse", "Tomas", "The frog page"), rng, "<br>")}</td>
<td class="post"><h2>{escape(title)}</h2>
{text}
<div class="meta">Posted by the heron at 09:{rng.randrange(10, 59)} &middot;
{_links(("3 comments", "Permalink"), rng, " &middot; ")}</div>
</td></tr><tr><td colspan="2">{_LEGAL}</td></tr></table></body></html>"""


def _forum(title: str, body: list[str], rng: random.Random) -> str:
    posts = "\n".join(
        f"""<div class="post"><div class="user">{_links([f"user{rng.randrange(999)}"], rng)}
<span>Member since 20{rng.randrange(10, 23)}</span></div><div class="said">{_marked(p, rng)}</div>
<ul class="tools"><li>{_links(("Reply", "Quote", "Report"), rng, "</li><li>")}</li></ul></div>"""
        for p in body
    )
    return f"""<!doctype html><html><head><title>{escape(title)}</title></head><body>
<div class="bar">{_links(_MENU[:5], rng, " &raquo; ")}</div>
<h1>{escape(title)}</h1>
{posts}
<form action="/s"><input name="q"><button>Search</button> Search this forum</form>
<div class="bottom">Powered by HeronBoard 3.{rng.randrange(9)}. {_COOKIES}</div></body></html>"""


def _docs(title: str, body: list[str], rng: random.Random) -> str:
    parts = []
    for i, text in enumerate(body):
        tag = "li" if i % 4 == 3 else "p"
        inner = f"<{tag}>{_marked(text, rng)}</{tag}>"
        parts.append(f"<ul>{inner}</ul>" if tag == "li" else inner)
    contents = "".join(f"<li>{_links([f'{i}. {t}'], rng)}</li>" for i, t in enumerate(_TEASERS))
    return f"""<!doctype html><html><head><meta charset=utf-8><title>{escape(title)}</title></head>
<body><div class="sphinxsidebar"><h3>Table of contents</h3><ul>{contents}</ul></div>
<div class="document"><section id="s"><h1>{escape(title)}<a class="headerlink">&#182;</a></h1>
{"".join(parts)}</section></div>
<div class="related">{_links(("previous", "next", "index", "modules"), rng)}</div>
<div class="footer">Last changed on the 3rd of May. Made with HeronDoc.</div></body></html>"""


def _broken(title: str, body: list[str], rng: random.Random) -> str:
    text = "\n<P>".join(_marked(p, rng) for p in body)
    menu = "".join(f"<LI><A HREF=/{i}>{m}</A>" for i, m in enumerate(_MENU))
    return f"""<HTML><TITLE>{escape(title)}</TITLE><BODY BGCOLOR=white LINK=blue>
<UL CLASS=menu>{menu}</UL>
<H1 ALIGN=center>{escape(title)}</H2>
<P>{text}
<SCRIPT>if (a < b && c > d) document.write("<p>" + x + "</p>")</SCRIPT>
<HR><FONT SIZE=-1>{_LEGAL}<BR><A HREF="/x?a=1&b=2">top</A> <A HREF='/y>z'>more"""


_SITES: dict[str, Callable[[str, list[str], random.Random], str]] = {
    "news": _news,
    "blog": _blog,
    "forum": _forum,
    "docs": _docs,
    "broken": _broken,
}

"""From a web page to its text: cut it into blocks, then throw out what is not what it is about.

A page holds its article, and around it menus, lists of links, notices about cookies, and small
print, the **boilerplate**. The words do not tell the two apart, but the shape does: an article has
long runs of text with few links in them. So a page is cut into blocks where a browser would begin
a new line, each block is measured (words, share of words in links, words a line), and a small
decision tree looks at a block and its two neighbours.

Everything is one pass from left to right without a tree, so nothing can be nested too deeply.
"""

import math
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from minillm.data.html_scan import Token, decode_page, scan

BLOCK_TAGS = frozenset(
    re.findall(
        r"\w+",
        """address article aside blockquote body caption center dd details dialog dir div dl dt
        fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hr html legend li main
        menu nav ol option p pre section summary table tbody td tfoot th thead title tr ul""",
    )
)
"""A browser begins a new line before and after these, so they part blocks."""
HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
HIDDEN = frozenset(("noscript", "template", "svg", "math", "object", "canvas", "select", "button"))
"""What stands in these is not shown as text."""
FRAME = frozenset(("nav", "footer", "aside", "form", "dialog", "menu"))
"""Elements whose very name says that they are not the article."""
LINE_WIDTH = 80

_WORD = re.compile(r"[^\W\u3400-\u9fff]+(?:['’.,-][^\W\u3400-\u9fff]+)*|[\u3400-\u9fff]")


def count_words(text: str) -> int:
    """Count the words of a text; two Chinese characters count as one word."""
    found = _WORD.findall(text)
    n_chinese = sum("\u3400" <= word[0] <= "\u9fff" for word in found)
    return len(found) - n_chinese + math.ceil(n_chinese / 2)


@dataclass
class Block:
    """A piece of a page that stands by itself."""

    text: str
    n_words: int
    n_link_words: int
    heading: bool = False
    framed: bool = False
    """It stands in an element of FRAME."""

    @property
    def link_density(self) -> float:
        """Share of the words that are part of a link."""
        return self.n_link_words / self.n_words if self.n_words else 0.0

    @property
    def text_density(self) -> float:
        """Words a line when the text is wrapped at 80 columns; the last line does not count."""
        flat = " ".join(self.text.split())
        if len(flat) <= LINE_WIDTH:
            return float(self.n_words)
        lines = textwrap.wrap(flat, LINE_WIDTH, break_long_words=True, break_on_hyphens=False)
        full = lines[:-1] or lines
        return sum(map(count_words, full)) / len(full)


NOTHING = Block("", 0, 0)
Rule = Callable[[Block, Block, Block], bool]


def by_words(before: Block, block: Block, after: Block) -> bool:
    """Say whether a block is content, from its number of words and its links.

    Source: Kohlschuetter, Fankhauser and Nejdl 2010, Boilerplate Detection using Shallow Text
        Features, algorithm 2: a decision tree learned from labelled news pages.
    Lesson: notebooks/02_sources.ipynb
    """
    if block.link_density > 0.333333:
        return False
    if before.link_density > 0.555556:
        return block.n_words > 40 or after.n_words > 17
    return block.n_words > 16 or after.n_words > 15 or before.n_words > 4


def by_density(before: Block, block: Block, after: Block) -> bool:
    """Say whether a block is content, from its words a line and its links.

    Source: Kohlschuetter, Fankhauser and Nejdl 2010, algorithm 1.
    Lesson: notebooks/02_sources.ipynb
    """
    if block.link_density > 0.333333:
        return False
    if before.link_density > 0.555556:
        return after.text_density > 11
    if block.text_density > 9:
        return after.text_density > 0
    return after.text_density > 10 or before.text_density > 4


def html_text(page: str | bytes, *, rule: Rule | None = by_words, names: bool = True) -> str:
    """Extract the text that a page is about.

    Args:
        page: a whole page, or its bytes.
        rule: says of (block before, block, block after) whether the block is content. None keeps
            every block.
        names: throw out what stands in <nav>, <footer>, <aside>, <form>, whatever the rule says.

    Returns:
        The kept blocks, an empty line between them. Empty if nothing is content.

    Raises:
        ValueError: if page is neither text nor bytes.

    Cost: linear in the page, nothing is recursive; about 10 MB of HTML a second.
    Lesson: notebooks/02_sources.ipynb
    """
    blocks = html_blocks(page)
    if names:
        blocks = [block for block in blocks if not block.framed]
    if rule is not None:
        blocks = content(blocks, rule)
    return "\n\n".join(block.text for block in blocks)


def content(blocks: list[Block], rule: Rule) -> list[Block]:
    """Keep the blocks that a rule calls content; a block at an end has an empty neighbour."""
    row = [NOTHING, *blocks, NOTHING]
    triples = zip(row, row[1:], row[2:], strict=False)
    return [block for before, block, after in triples if rule(before, block, after)]


def html_blocks(page: str | bytes) -> list[Block]:
    """Cut a page into blocks where a browser begins a new line.

    Args:
        page: a whole page, or its bytes (see decode_page).

    Returns:
        Blocks with at least one word, in the order of the page. White space is that of the screen:
        runs become one space, <br> and the lines of <pre> become line ends.

    Raises:
        ValueError: if page is neither text nor bytes.

    Lesson: notebooks/02_sources.ipynb
    """
    if isinstance(page, (bytes, bytearray)):
        page = decode_page(bytes(page))
    if not isinstance(page, str):
        raise ValueError(f"a page must be text or bytes, got {type(page).__name__}")
    return _Blocks().of(scan(page))


@dataclass
class _Blocks:
    """Gathers text until the next tag that parts blocks."""

    found: list[Block] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    link_words: int = 0
    inside: dict[str, int] = field(default_factory=dict)
    """How many elements of a name are open: all the nesting that we keep."""

    def of(self, tokens: Iterable[Token]) -> list[Block]:
        for token in tokens:
            if token.kind == "text":
                self.text(token.value)
            elif token.kind == "raw":
                continue  # a title, a script, a style sheet
            else:
                self.tag(token.value, opens=token.kind == "start")
        self.close()
        return self.found

    def text(self, text: str) -> None:
        if any(self.inside.get(name) for name in HIDDEN):
            return
        if not self.inside.get("pre"):
            text = re.sub(r"\s+", " ", text)
        self.pieces.append(text)
        if self.inside.get("a"):
            self.link_words += count_words(text)

    def tag(self, name: str, *, opens: bool) -> None:
        if name == "br":
            self.pieces.append("\n")
        if name in BLOCK_TAGS:
            self.close()
        if name == "a":  # links do not nest: a new one ends the one before
            self.inside["a"] = int(opens)
        elif name in _FOLLOWED:
            self.inside[name] = max(0, self.inside.get(name, 0) + (1 if opens else -1))

    def close(self) -> None:
        """End the block that is being gathered, if it has a word."""
        if not self.pieces:
            return
        lines = (" ".join(line.split()) for line in "".join(self.pieces).split("\n"))
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
        n_words = count_words(text)
        if n_words:
            heading = any(self.inside.get(name) for name in HEADINGS)
            framed = any(self.inside.get(name) for name in FRAME)
            n_links = min(self.link_words, n_words)
            self.found.append(Block(text, n_words, n_links, heading, framed))
        self.pieces, self.link_words = [], 0


_FOLLOWED = HEADINGS | HIDDEN | FRAME | {"pre"}


def word_scores(text: str, truth: str) -> tuple[float, float]:
    """Compare an extracted text with the true one, word by word, order not looked at.

        precision = shared / words of text        recall = shared / words of truth

    where a word that occurs a times in one and b times in the other is shared min(a, b) times.

    Returns:
        Precision and recall, both in 0 .. 1; 1.0 where there is nothing to divide by.

    Lesson: notebooks/02_sources.ipynb
    """
    found, wanted = Counter(_WORD.findall(text)), Counter(_WORD.findall(truth))
    shared = (found & wanted).total()
    return (
        shared / found.total() if found else 1.0,
        shared / wanted.total() if wanted else 1.0,
    )

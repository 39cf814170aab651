"""From pages to texts: blocks, rules at each side of every bound, bad pages, known pages."""

import random
from html import escape
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.data.html_text import (
    BLOCK_TAGS,
    FRAME,
    HIDDEN,
    Block,
    by_density,
    by_words,
    content,
    count_words,
    html_blocks,
    html_text,
    word_scores,
)
from minillm.data.pages import SITES, make_page, pydoc_page

LONG = (
    "The heron stood in the water and waited for a fish that did not come before the evening fell."
)


def texts(page):
    return [block.text for block in html_blocks(page)]


def test_words_are_counted():
    assert count_words("It's a well-known fact, isn't it? 3.14 yes.") == 8
    assert count_words("") == count_words(" .,; --- ") == 0
    assert count_words("从前有一只青蛙") == 4  # seven characters
    assert count_words("a 青蛙 b") == 3


def test_blocks_are_where_a_browser_begins_a_line():
    page = "<p>one <b>two</b>three<p>four<br>five<div>six</div>seven<td>eight<span>nine</span>"
    assert texts(page) == ["one twothree", "four\nfive", "six", "seven", "eightnine"]
    assert texts("<p>a\n  b\t\tc&nbsp;d</p>") == ["a b c d"]
    assert texts("<pre>a\n   b</pre><p>c\nd") == ["a\nb", "c d"]
    assert texts("x<br><br><br><br>y") == ["x\n\ny"]
    assert texts("<p> . </p><p>&nbsp;</p>") == []


@pytest.mark.parametrize("tag", sorted(BLOCK_TAGS))
def test_each_block_tag_parts(tag):
    if tag != "title":  # its text is not shown on the page
        assert texts(f"one<{tag}>two</{tag}>three") == ["one", "two", "three"]


@pytest.mark.parametrize("tag", sorted(HIDDEN))
def test_hidden_elements_are_not_text(tag):
    assert "".join(texts(f"one<{tag}>two<i>x</i></{tag}>three")) == "onethree"


def test_script_style_title_are_not_text():
    assert texts("<title>T</title><style>p</style><script>x = '<p>y'</script>z") == ["z"]


def test_links_are_counted():
    (block,) = html_blocks("<p>see <a href='/x'>the long list</a> here</p>")
    assert (block.n_words, block.n_link_words, block.link_density) == (5, 3, 0.6)
    first, second = html_blocks("<a href=x>one two<p>three</a> four")  # a link over two blocks
    assert first.link_density == 1
    assert second.n_link_words == 1
    (block,) = html_blocks("<p><a>one <a>two</a> three")  # links do not nest
    assert block.n_link_words == 2
    assert Block("", 0, 0).link_density == 0
    (block,) = html_blocks("<p><a>foot</a><a>ball</a>")  # one word out of two links
    assert (block.n_words, block.n_link_words, block.link_density) == (1, 1, 1.0)


def test_end_tags_of_nothing_change_nothing():
    blocks = html_blocks("</nav></svg></h1></pre><p>one\n two<nav>menu</nav></nav><p>three")
    assert [block.text for block in blocks] == ["one two", "menu", "three"]
    assert [block.framed for block in blocks] == [False, True, False]
    assert not any(block.heading for block in blocks)


def test_headings_and_frames_are_marked():
    page = "<h2>A title</h2><nav><p>menu</p></nav><p>text</p><footer><div>end</div></footer>last"
    found = html_blocks(page)
    assert [block.heading for block in found] == [True, False, False, False, False]
    assert [block.framed for block in found] == [False, True, False, True, False]


@pytest.mark.parametrize("tag", sorted(FRAME))
def test_frames_go_if_names_are_looked_at(tag):
    page = f"<p>{LONG}</p><{tag}><p>{LONG} framed</p></{tag}><p>{LONG}</p>"
    assert html_text(page, rule=None) == f"{LONG}\n\n{LONG}"
    assert "framed" in html_text(page, rule=None, names=False)


def block(words=0, links=0.0, density=0.0):
    return SimpleNamespace(n_words=words, link_density=links, text_density=density)


@pytest.mark.parametrize(
    ("before", "here", "after", "kept"),
    [
        (block(0), block(17), block(0), True),
        (block(0), block(16), block(0), False),
        (block(0), block(16), block(16), True),
        (block(0), block(16), block(15), False),
        (block(5), block(16), block(15), True),
        (block(4), block(16), block(15), False),
        (block(0), block(99, links=0.333333), block(0), True),
        (block(0), block(99, links=0.333334), block(99), False),
        (block(9, links=0.555556), block(17), block(0), True),
        (block(9, links=0.555557), block(17), block(0), False),
        (block(9, links=0.555557), block(40), block(17), False),
        (block(9, links=0.555557), block(41), block(17), True),
        (block(9, links=0.555557), block(40), block(18), True),
    ],
)
def test_rule_by_words_at_both_sides_of_each_bound(before, here, after, kept):
    assert by_words(before, here, after) is kept


@pytest.mark.parametrize(
    ("before", "here", "after", "kept"),
    [
        (block(density=0), block(density=9.1), block(density=1), True),
        (block(density=0), block(density=9), block(density=1), False),
        (block(density=0), block(density=9.1), block(density=0), False),
        (block(density=0), block(density=9), block(density=10.1), True),
        (block(density=0), block(density=9), block(density=10), False),
        (block(density=4.1), block(density=9), block(density=10), True),
        (block(density=4), block(density=9), block(density=10), False),
        (block(density=0), block(density=12, links=0.333333), block(density=1), True),
        (block(density=0), block(density=12, links=0.333334), block(density=12), False),
        (block(density=1, links=0.555556), block(density=12), block(density=11), True),
        (block(density=1, links=0.555557), block(density=12), block(density=11), False),
        (block(density=1, links=0.555557), block(density=12), block(density=11.1), True),
    ],
)
def test_rule_by_density_at_both_sides_of_each_bound(before, here, after, kept):
    assert by_density(before, here, after) is kept


def test_text_density_by_hand():
    assert Block("one two three", 3, 0).text_density == 3
    line = "abcd " * 16  # 16 words fill 79 columns
    assert Block((line * 3 + "last").strip(), 49, 0).text_density == 16
    assert Block("x" * 200, 1, 0).text_density == 1  # a word longer than two lines
    two = "word " * 16 + "and a line break is a space here as well as anywhere"
    assert Block(two, 28, 0).text_density == Block(two.replace(" ", "\n"), 28, 0).text_density == 16


def test_a_rule_sees_the_neighbours():
    seen = []

    def rule(before, here, after):
        seen.append((before.text, here.text, after.text))
        return here.text != "b"

    kept = content(html_blocks("<p>a<p>b<p>c"), rule)
    assert seen == [("", "a", "b"), ("a", "b", "c"), ("b", "c", "")]
    assert [k.text for k in kept] == ["a", "c"]


def test_what_is_no_page_is_refused():
    with pytest.raises(ValueError, match="text or bytes, got int"):
        html_text(7)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))))
def test_what_is_written_into_paragraphs_comes_back(paragraphs):
    page = "".join(f"<p>{escape(text)}</p>" for text in paragraphs)
    wanted = [" ".join(text.split()) for text in paragraphs if count_words(text)]
    assert [" ".join(text.split()) for text in texts(page)] == wanted


NASTY = [
    "<p>", "</p>", "<div>", "</div>", "<a href='", "<a href=x>", "</a>", "<b", ">", "<", "</", '"',
    "</", '"', "'", "=", "<!--", "-->", "<!", "<?", "<script>", "</script>", "<style", "<svg>",
    "</svg>", "&", "&amp;", "&#", "&#x110000;", "&#99999999999;", "\x00", "\ufeff", "\ud800",
    "\u202e", "word ", "many words in a row ", "词语", "\n", "\t", "<br>", "<pre>", "<h1>", "<nav>",
    "<td", "<template>", "</nav>", "]]>", "<![CDATA[", "%", "\\", "é", "👩‍👩‍👧", "<title>",
    "</title x>",
]  # fmt: skip


@pytest.mark.parametrize("n", [1_000, pytest.param(10_500, marks=pytest.mark.slow)])
def test_fuzzed_pages(n):
    rng = random.Random(2)
    n_empty = 0
    for i in range(n):
        page = "".join(rng.choices(NASTY, k=rng.randint(1, 25)))
        raw = page.encode("utf-8", "surrogatepass")
        if i % 3 == 1:  # wrong bytes
            cut = bytearray(raw)
            for _ in range(1 + len(cut) // 10):
                cut[rng.randrange(len(cut))] = rng.randrange(256)
            page = bytes(cut)
        rule = (by_words, by_density, None)[i % 7 % 3]
        text = html_text(page, rule=rule, names=bool(i % 2))
        assert isinstance(text, str)
        assert "\x00" not in text
        n_empty += not text
    assert n / 100 < n_empty < 0.95 * n


@pytest.mark.parametrize("tag", ["div", "ul><li", "svg"])
def test_a_hundred_thousand_nested_tags(tag):
    page = f"<p>{LONG}</p>" + f"<{tag}>" * 100_000 + "deep down" + "</x>" * 1000
    assert LONG in html_text(page, rule=None)
    closed = f"<{tag}>" * 100_000 + LONG + "".join(f"</{t}>" for t in tag.split("><")) * 100_000
    assert (LONG in html_text(closed, rule=None)) == (tag != "svg")


def test_a_huge_line_and_a_page_of_links():
    page = "<p>" + "word " * 400_000
    assert html_text(page).count("word") == 400_000
    assert html_text("<a href=x>one two</a> " * 20_000) == ""


@pytest.mark.parametrize("site", SITES)
def test_the_truth_of_a_made_page_is_in_it(site):
    paragraphs = ["The heron & the frog", LONG, "3 < 4, said the <frog>. " * 9, LONG[::-1], "短 句"]
    page = make_page(paragraphs, site=site, seed=3)
    everything = html_text(page.html, rule=None, names=False)
    precision, recall = word_scores(everything, page.text)
    assert recall == 1
    assert precision < 0.9  # there is boilerplate in it
    assert page == make_page(paragraphs, site=site, seed=3)
    assert page.html != make_page(paragraphs, site=site, seed=4).html
    assert word_scores(html_text(page.html), page.text)[0] > precision


@pytest.mark.parametrize("module", ["textwrap", "bisect", "queue"])
def test_the_truth_of_a_page_of_pydoc_is_in_it(module):
    page = pydoc_page(module)
    everything = html_text(page.html, rule=None, names=False)
    precision, recall = word_scores(everything, page.text)
    assert recall > 0.97  # pydoc turns some names into links and shortens some spaces
    assert precision < 0.95
    assert len(page.text) > 1000


def test_pages_that_cannot_be_made():
    with pytest.raises(ValueError, match="unknown site 'shop'"):
        make_page(["a", "b"], site="shop")
    with pytest.raises(ValueError, match="a paragraph, got 1"):
        make_page(["a"], site="news")
    with pytest.raises(ValueError, match="no module 'no_such_module'"):
        pydoc_page("no_such_module")


def test_word_scores_by_hand():
    assert word_scores("a b b c", "b b b d") == (2 / 4, 2 / 4)
    assert word_scores("a b", "a b c d") == (1.0, 0.5)
    assert word_scores("", "a") == (1.0, 0.0)
    assert word_scores("a", "") == (0.0, 1.0)


def test_near_trafilatura_on_pages_with_known_text():
    trafilatura = pytest.importorskip("trafilatura")
    rng = random.Random(5)
    words = [
        "the", "heron", "and", "a", "frog", "of", "old", "pond", "saw", "that", "no", "fish",
        "came", "to", "it", "by", "night",
    ]  # fmt: skip
    ours, theirs = [], []
    for i in range(10):
        body = [" ".join(rng.choices(words, k=rng.randint(20, 70))).capitalize() for _ in range(6)]
        page = make_page(["A heron and a frog", *body], site="news", seed=i)
        ours.append(word_scores(html_text(page.html), page.text))
        theirs.append(word_scores(trafilatura.extract(page.html) or "", page.text))
    assert min(recall for _, recall in ours) > 0.95
    assert min(recall for _, recall in theirs) > 0.95  # both find the article
    assert min(precision for precision, _ in ours) > 0.6

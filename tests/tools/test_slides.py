"""Decks: what is pulled, what is refused, and that the built file reaches nowhere."""

import pytest

from tools import slides
from tools.masters import LessonError

HEAD = "---\nmarp: true\ntheme: minillm\nmath: mathjax\n---\n"
ONE = "\n## A\n\nText.\n\n<!-- Say it. -->\n"


def deck(*parts):
    return HEAD + "\n---\n".join(parts)


def test_the_sample_is_in_order(built):
    assert slides.problems(slides.pulled(built, "98_sample")) == []


def test_figures_and_texts_are_pulled(built):
    source = slides.pulled(built, "98_sample")
    assert 'alt="Root against number: a curve that bends down."' in source
    assert 'src="data:image/png;base64,iVBOR' in source
    assert "height:320px" in source
    assert "In words: the root of 16 is 4.0." in source
    assert "```text\nthe root of 16 is 4.0\n```" in source
    assert "{{" not in source


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ("{{figure:none}}", "no cell is tagged label-none; there are: curve, root"),
        ("{{figure:root}}", "label-root has no figure"),
        ("{{text:curve}}", "label-curve printed nothing"),
        ("see {{figure:curve}} here", "must stand on a line of its own"),
    ],
)
def test_a_wrong_label_is_named(course, mark, words):
    path = course.deck("98_sample")
    path.write_text(path.read_text() + f"\n{mark}\n")
    with pytest.raises(LessonError, match=words):
        slides.pulled(course, "98_sample")


def test_a_missing_deck_or_notebook(course):
    course.notebook("98_sample").unlink()
    with pytest.raises(LessonError, match="is not built"):
        slides.pulled(course, "98_sample")
    course.deck("98_sample").unlink()
    with pytest.raises(LessonError, match=r"no deck slides/98_sample.md"):
        slides.pulled(course, "98_sample")


def test_the_number_of_slides():
    assert slides.problems(deck(*[ONE] * 10)) == []
    assert slides.problems(deck(*[ONE] * 14)) == []
    assert slides.problems(deck(*[ONE] * 9)) == ["9 slides; between 10 and 14"]
    assert slides.problems(deck(*[ONE] * 15)) == ["15 slides; between 10 and 14"]


def test_a_rule_in_a_code_block_is_no_new_slide():
    assert len(slides.split(deck(ONE, "```text\n---\n```", ONE))) == 3


@pytest.mark.parametrize(
    ("slide", "words"),
    [
        ("## A\n", "slide 2 has no speaker notes"),
        ("<!-- _class: lead -->\n## A\n", "slide 2 has no speaker notes"),
        (ONE + "```python\n" + "x\n" * 13 + "```\n", "slide 2 has 13 lines of code; at most 12"),
        (ONE + "```a\n" + "x\n" * 6 + "```\n```b\n" + "x\n" * 7 + "```\n", "has 13 lines of code"),
        (ONE + "![](data:image/png;base64,AA)", "a picture without alt text"),
        (ONE + '<img src="data:image/png;base64,AA">', "a picture without alt text"),
        (ONE + "[paper](https://arxiv.org/abs/1)", "a link or a file"),
        (ONE + "![alt](picture.png)", "a link or a file"),
        (ONE + "<https://arxiv.org>", "a link or a file"),
    ],
)
def test_what_is_refused(slide, words):
    found = slides.problems(deck(ONE, slide, *[ONE] * 8))
    assert len(found) == 1
    assert words in found[0]


def test_twelve_lines_of_code_and_notes_are_enough():
    good = "<!-- _class: lead -->\n<!-- Say: it. -->\n```python\n" + "x\n" * 12 + "```\n"
    assert slides.problems(deck(good, *[ONE] * 9)) == []
    assert slides.notes(good) == "Say: it."


def test_other_mathematics_is_refused():
    assert "mathjax" in slides.problems(deck(*[ONE] * 10).replace("mathjax", "katex"))[0]


@pytest.mark.parametrize(
    "piece",
    ['<img src="https://a.b/c.png">', "<img src='http://a.b'>", '<link href="//a.b/c.css">',
     "a{background:url(https://a.b)}", 'a{background:url( "file:///etc")}',
     '<a href="file:///x">', '@import "https://a.b/c.css"', "<img SRC = https://a.b>"],
)  # fmt: skip
def test_whatever_reaches_outside_is_seen(piece):
    assert len(slides.reaches_outside(f"<p>{piece}</p>")) == 1


def test_what_stays_inside_is_left_alone():
    page = '<svg xmlns="http://www.w3.org/2000/svg"><use href="#a"/></svg><img src="data:x">'
    assert (
        slides.reaches_outside(page + "url(data:image/svg+xml,<svg xmlns='http://w3.org'>)") == []
    )


@pytest.fixture(scope="module")
def page(built, tmp_path_factory):
    try:
        slides.node()
        return slides.build(built, "98_sample").read_text()
    except LessonError as error:
        pytest.skip(f"no deck can be built here: {error}")


def test_the_built_deck_is_one_file_with_maths_notes_and_alt_texts(page):
    assert slides.reaches_outside(page) == []
    assert page.count("<section") == 10
    assert "<mjx-container" in page
    assert "Point at the bend." in page
    assert 'alt="Root against number' in page
    assert "sourceMappingURL" not in page


def test_a_deck_that_breaks_a_rule_is_not_built(course):
    course.deck("98_sample").write_text(HEAD + ONE)
    with pytest.raises(LessonError, match="1 slides; between 10 and 14"):
        slides.build(course, "98_sample")

"""Slides in a headless Chromium without a network: each fits, and what does not is seen."""

import shutil
from pathlib import Path

import pytest

from tools import frame, slides
from tools.masters import Course, LessonError

ROOT = Path(__file__).parents[2]
HEAD = "---\nmarp: true\ntheme: minillm\nmath: mathjax\n---\n"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(frame.chromium() is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(
        not (ROOT / "node_modules" / "@marp-team").is_dir() or not shutil.which("node"),
        reason="Marp is not installed (npm ci)",
    ),
]
COURSE = Course(ROOT)
DECKS = [n for n in COURSE.names() if COURSE.deck(n).is_file() and COURSE.notebook(n).is_file()]


def test_what_does_not_fit_is_seen():
    good = "\n## Short\n\nOne sentence, $x^2$, and code.\n\n```python\nx = 1\n```\n"
    tall = "\n## Tall\n" + "\n\nOne sentence." * 14 + "\n"
    long = "\n## Long\n\n```python\nx = 1  # " + "too long " * 14 + "\n```\n"
    broken = '\n## Broken\n\n<img alt="a" src="data:image/png;base64,AAAA" style="height:99px">\n'
    found = "\n".join(frame.measure(HEAD + "\n---\n".join([good, tall, long, broken])))
    assert "slide 1" not in found
    assert "slide 2: the slide is too tall" in found
    assert "slide 3: code is shrunk" in found
    assert "slide 4: a picture does not load" in found


def test_every_slide_of_every_deck_fits():
    sources = {}
    for name in DECKS:
        try:
            sources[name] = slides.pulled(COURSE, name)
        except LessonError as error:
            pytest.fail(str(error))
    assert len(sources) >= 4
    assert frame.measure_together(sources) == []


def test_what_does_not_fit_is_named_by_its_own_deck():
    short = HEAD + "\n## One\n\nA sentence.\n\n---\n\n## Two\n\nA sentence.\n"
    tall = HEAD + "\n## One\n\nA sentence.\n\n---\n\n## Two\n" + "\n\nA sentence." * 14 + "\n"
    found = frame.measure_together({"a": short, "b": tall})
    assert found
    assert all(line.startswith("b, slide 2: ") for line in found)

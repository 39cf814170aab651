"""Does every slide fit into its frame? Asked of a headless Chromium that has no network.

The deck is rendered bare (all slides below each other); a script then compares what each slide,
each code block and each picture needs with what it has.
"""

import html
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tools.masters import Course, LessonError
from tools.slides import marp, pulled, split

TIMEOUT_SECONDS = 600
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_OFFLINE = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--no-first-run",
    "--proxy-server=127.0.0.1:9", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
_SCRIPT = """
<script>
const look = () => {
  const found = [];
  document.querySelectorAll("section").forEach((slide, index) => {
    const say = (what, over) => found.push({slide: index + 1, what, over: Math.round(over)});
    const box = slide.getBoundingClientRect(), scale = box.width / slide.offsetWidth;
    const tall = slide.scrollHeight - slide.clientHeight;
    const wide = slide.scrollWidth - slide.clientWidth;
    if (tall > 1) say("the slide is too tall", tall);
    if (wide > 1) say("the slide is too wide", wide);
    const parts = "pre, marp-pre, table, mjx-container, p, li, img, h1, h2, h3";
    slide.querySelectorAll(parts).forEach((part) => {
      const own = part.getBoundingClientRect(), name = part.tagName.toLowerCase();
      const right = (own.right - box.right) / scale, below = (own.bottom - box.bottom) / scale;
      if (right > 1) say(`${name} goes over the right edge`, right);
      if (below > 1) say(`${name} goes over the lower edge`, below);
      if (part.tagName.endsWith("PRE")) {
        const width = (line) => [...line].reduce((w, c) => w + (c > "\\u2e80" ? 1 : 0.602), 0);
        const longest = Math.max(...part.textContent.split("\\n").map(width));
        const needs = longest * parseFloat(getComputedStyle(part).fontSize) + 46;
        const has = part.getBoundingClientRect().width / scale;
        if (needs > 1.1 * has) say("code is shrunk: a line is too long, pixels", needs - has);
      }
      if (part.tagName === "IMG" && !part.naturalWidth) say("a picture does not load", 0);
    });
    const notes = slide.querySelectorAll("[data-marpit-error], merror").length;
    if (notes) say("a formula is wrong", notes);
  });
  return found;
};
// Marp shrinks code by a script of its own, which a busy machine runs late: look until all fits,
// and believe that something does not fit only after the last look.
const settle = (looks) => {
  const found = look();
  if (found.length && looks > 1) return setTimeout(() => settle(looks - 1), 200);
  const result = document.createElement("pre");
  result.id = "frame-result";
  result.textContent = JSON.stringify({
    slides: document.querySelectorAll("section").length, found,
  });
  document.body.append(result);
};
addEventListener("load", () => document.fonts.ready.then(() => settle(20)));
</script>
"""


def chromium() -> str | None:
    """The Chromium of this machine, or None."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def overflows(course: Course, name: str) -> list[str]:
    """What does not fit on the slides of a deck; empty if all does.

    Raises:
        LessonError: if there is no Chromium, or it does not answer.
    """
    return measure(pulled(course, name))


def measure(source: str) -> list[str]:
    """The same for the text of a deck whose figures are already in."""
    browser = chromium()
    if browser is None:
        raise LessonError("there is no Chromium to look at the slides with")
    with tempfile.TemporaryDirectory() as folder:
        markdown, page = Path(folder) / "deck.md", Path(folder) / "deck.html"
        markdown.write_text(source, encoding="utf-8")
        marp(markdown, page, "--template", "bare")
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace("</body>", f"{_SCRIPT}</body>"), encoding="utf-8")
        command = [browser, *_OFFLINE, f"--user-data-dir={folder}/profile", "--dump-dom"]
        command += ["--window-size=1280,720", "--virtual-time-budget=10000", page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    answer = re.search(r'<pre id="frame-result">(.*?)</pre>', done.stdout, re.DOTALL)
    if answer is None:
        raise LessonError(f"Chromium did not answer\n{done.stderr[-500:]}")
    result = json.loads(html.unescape(answer[1]))
    if not result["slides"]:
        raise LessonError("Chromium found no slides")
    return [f"slide {f['slide']}: {f['what']} ({f['over']})" for f in result["found"]]


def measure_together(sources: Mapping[str, str]) -> list[str]:
    """The same for several decks in one browser, since it takes long to start.

    Each line names its deck.

    The head of the first deck holds for all: one theme, one kind of formulas.
    """
    head = next(iter(sources.values())).split("\n---\n", 1)[0]
    slides = [(name, i, x) for name in sources for i, x in enumerate(split(sources[name]), 1)]
    # an empty line before each rule, or the line above it would become a heading
    found = measure(head + "\n---\n" + "\n\n---\n\n".join(slide for *_, slide in slides))
    said = []
    for line in found:
        number, what = re.match(r"slide (\d+): (.*)", line).groups()  # type: ignore[union-attr]
        name, own, _ = slides[int(number) - 1]
        said.append(f"{name}, slide {own}: {what}")
    return said

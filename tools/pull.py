"""Bring edits made in JupyterLab back into the master, cell by cell.

Cells that did not change keep the master's text to the byte. In a changed exercise the master's
solution block is put back where the student's `raise NotImplementedError` stands; where that line
is gone (somebody solved the exercise there), the master's cell stays and a sentence says so.
"""

import re
from difflib import SequenceMatcher
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from tools.masters import (
    PERCENT,
    YOUR_CODE,
    Course,
    LessonError,
    read_master,
    solution_blocks,
    tags_of,
)

_ADDED_BY_BUILD = {"skip-execution", "nbval-skip"}
_CELL = re.compile(r"^# %%", re.MULTILINE)


def pull(course: Course, name: str, edited: Path | None = None) -> list[str]:
    """Write the edits of a notebook into its master.

    Args:
        edited: the notebook; by default the newer of `work/NN_name.ipynb` and the built one.

    Returns:
        One line for each change, and for each that was not taken over; empty if there is none.
    """
    master = course.master(name)
    text = master.read_text(encoding="utf-8")
    segments = _segments(text)
    old = read_master(master, solved=False).cells
    if len(segments) != len(old):
        raise LessonError(f"{name}: the master has text above its first '# %%' line")
    new = nbformat.read(edited or _newer(course, name), as_version=4).cells
    pairs = SequenceMatcher(None, [_key(c) for c in old], [_key(c) for c in new], autojunk=False)
    written, said = [], []
    for kind, i, j, k, m in pairs.get_opcodes():
        if kind == "equal":
            written += segments[i:j]
            continue
        for at in range(max(j - i, m - k)):
            before = segments[i + at] if i + at < j else None
            after = new[k + at] if k + at < m else None
            segment, line = _changed(before, after)
            written.append(segment)
            said.append(line)
    result = "".join(part.rstrip("\n") + "\n\n" for part in written if part).rstrip("\n") + "\n"
    if said and result != text:
        master.write_text(_two_lines_before_functions(result), encoding="utf-8")
    return said


def _segments(text: str) -> list[str]:
    """The master's text, one piece for each cell."""
    starts = [found.start() for found in _CELL.finditer(text)]
    return [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]


def _key(cell: NotebookNode) -> tuple[str, str, tuple[str, ...]]:
    tags = tags_of(cell)
    if "widget" in tags:
        tags = [tag for tag in tags if tag not in _ADDED_BY_BUILD]
    return cell.cell_type, cell.source.strip("\n"), tuple(tags)


def _changed(before: str | None, after: NotebookNode | None) -> tuple[str, str]:
    """The new text of one cell, and the line that says what became of it."""
    if after is None:
        first = _first_line(before or "")
        if "BEGIN SOLUTION" in (before or ""):
            return before or "", f"kept, though it is gone in the notebook: {first}"
        return "", f"removed: {first}"
    blocks = solution_blocks(before or "")
    if blocks and after.source.count(YOUR_CODE) != len(blocks):
        return before or "", f"kept as it was, for its solution: {_first_line(before or '')}"
    segment = _as_segment(after)
    for block in blocks:
        segment = re.sub(
            rf"^[ \t]*{re.escape(YOUR_CODE)}", lambda _, b=block: b, segment, count=1, flags=re.M
        )
    return segment, f"{'changed' if before else 'added'}: {_first_line(segment)}"


def _as_segment(cell: NotebookNode) -> str:
    """A cell in percent format."""
    kind, source, tags = _key(cell)
    one = nbformat.v4.new_notebook()
    make = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
    one.cells = [make(source, metadata={"tags": list(tags)} if tags else {})]
    one.metadata["jupytext"] = {"notebook_metadata_filter": "-all", "comment_magics": False}
    return str(jupytext.writes(one, fmt=PERCENT)).strip("\n")


def _two_lines_before_functions(text: str) -> str:
    """Two empty lines before a cell that opens with a function, as the formatter wants them."""
    return re.sub(r"\n+(# %%[^\n]*\n(?:def|class|@))", r"\n\n\n\1", text)


def _first_line(segment: str) -> str:
    lines = [line for line in segment.splitlines() if line.strip() and not line.startswith("# %%")]
    return lines[0][:70] if lines else "an empty cell"


def _newer(course: Course, name: str) -> Path:
    places = [course.root / "work" / f"{name}.ipynb", course.notebook(name)]
    there = [path for path in places if path.is_file()]
    if not there:
        raise LessonError(f"{name}: there is neither work/{name}.ipynb nor notebooks/{name}.ipynb")
    return max(there, key=lambda path: path.stat().st_mtime)

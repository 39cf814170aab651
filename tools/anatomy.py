"""What a lesson must have: headings in their order, budgets, alt texts. Nothing is executed.

`problems` looks at the built notebook beside its master; what it returns fails `check`. `advice`
is said and does not fail. The order of the parts is that of the lesson template in CONTRIBUTING.md.
"""

import json
import re
import statistics
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.masters import Course, exercises, label_of, master_sha256, tags_of

MAX_CODE_LINES = 30
MAX_COLUMNS, AIM_COLUMNS = 88, 78
MAX_BYTES = 500_000
MAX_FIGURE_BYTES = 60_000
CELLS = (40, 90)
MAX_WORDS = 4000
COURSE_CPU_SECONDS = 45 * 60
ENDING = ("At scale", "Recap", "Questions", "Sources", "Next")
FACTS = re.compile(
    r"^(?P<minutes>\d+) min · (?P<hardware>[^·]+) · (?P<seconds>[\d.]+) s · "
    r"(?P<gigabytes>[\d.]+) GB · needs (?P<needs>[^·]+) · code: (?P<code>.+)$",
    re.MULTILINE,
)
_MINUTES = re.compile(r"\((\d+) min")
_SECTION = re.compile(r"^#{2,3} (\d+(?:\.\d+)?) (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Header:
    """What the first cell of a lesson states."""

    title: str
    minutes: int
    seconds: float
    gigabytes: float
    needs: str
    code: str


def read_header(notebook: NotebookNode) -> Header | None:
    """Title, minutes, machine time and memory that a lesson states; None if they are not there."""
    first = notebook.cells[0].source if notebook.cells else ""
    title = re.match(r"# (\d\d[ab]? .+)", first)
    facts = FACTS.search(first)
    if not title or not facts:
        return None
    numbers = float(facts["seconds"]), float(facts["gigabytes"])
    words = facts["needs"].strip(), facts["code"].strip()
    return Header(title[1].strip(), int(facts["minutes"]), *numbers, *words)


def problems(course: Course, name: str, *, sizes: bool = True) -> list[str]:
    """All that is wrong with a lesson, each in one line; empty if nothing is."""
    path = course.notebook(name)
    if not path.is_file():
        return [f"notebooks/{name}.ipynb is not built; run: python -m tools.notebooks build {name}"]
    notebook = nbformat.read(path, as_version=4)
    found = []
    built_from = notebook.metadata.get("minillm", {}).get("master_sha256")
    if built_from != master_sha256(course.master(name)):
        found.append("the master has changed since the build; build it again, or pull")
    found += head_problems(notebook, name)
    found += section_problems(notebook)
    found += code_problems(notebook)
    found += figure_problems(notebook)
    if sizes:
        found += size_problems(notebook, path)
        found += budget_problems(course, name, notebook)
    return found


def head_problems(notebook: NotebookNode, name: str) -> list[str]:
    """The title cell and the setup cell."""
    found = []
    first = notebook.cells[0].source
    number = name.split("_")[0]
    if not re.match(rf"# {number} [^\n]+\?$", first, re.MULTILINE):
        found.append(f"the title must be '# {number} ...' and end as a question")
    if read_header(notebook) is None:
        found.append(
            "no line '75 min · CPU · 20 s · 0.6 GB · needs ... · code: ...' below the title"
        )
    goals = re.split(r"\*{0,2}After this lesson you can\*{0,2}", first)
    if len(goals) < 2:
        found.append("'After this lesson you can' is missing")
    elif not 3 <= len(re.findall(r"^(?:\d+\.|[-*]) ", goals[1], re.MULTILINE)) <= 5:
        found.append("'After this lesson you can' needs a list of 3 to 5 verbs")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if not code or "setup(" not in code[0].source or "setup" not in tags_of(code[0]):
        found.append("the first code cell must be tagged 'setup' and call setup(seed=...)")
    elif code[0].outputs:
        found.append("the setup cell must print nothing")
    return found


def section_problems(notebook: NotebookNode) -> list[str]:
    """Sections with minutes, exercises with stars and a hint, the ending in its order."""
    found = []
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    text = "\n\n".join(texts)
    headings = [line for t in texts for line in t.splitlines() if re.match(r"#{1,6} ", line)]
    levels = [len(line.split()[0]) for line in headings]
    for before, after, line in zip(levels, levels[1:], headings[1:], strict=False):
        if after > before + 1:
            found.append(f"the heading {line!r} skips a level")
    sections = _SECTION.findall(text)
    if not sections:
        found.append("no section '## 1 Title (12 min)'")
    found += [f"section {n} {t!r} has no minutes" for n, t in sections if not _MINUTES.search(t)]
    if "**Predict" not in text:
        found.append("nowhere '**Predict, then run.**'")
    homework = [t for t in texts if re.search(r"^#{2,3} [^\n]*Exercise", t, re.MULTILINE)]
    if not homework:
        found.append("no exercise: '## 5 Exercise: ... (10 min, ★★☆)'")
    for part in homework:
        heading = next(line for line in part.splitlines() if "Exercise" in line)
        if "★" not in heading or not _MINUTES.search(heading):
            found.append(f"{heading!r} needs minutes and stars")
        if "<details>" not in part:
            found.append(f"{heading!r} has no hint in <details>")
    places = [_place(text, part) for part in ENDING]
    found += [f"'{part}' is missing" for part, at in zip(ENDING, places, strict=True) if at < 0]
    there = [at for at in places if at >= 0]
    if there != sorted(there):
        found.append(f"the ending must come in this order: {', '.join(ENDING)}")
    return found


def code_problems(notebook: NotebookNode) -> list[str]:
    """Long cells, long lines, exercises without a check, errors that are not meant."""
    found = []
    written, checked = set(), ""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        lines = cell.source.splitlines()
        if len(lines) > MAX_CODE_LINES:
            found.append(f"cell {cell.id} has {len(lines)} lines of code; at most {MAX_CODE_LINES}")
        if any(len(line) > MAX_COLUMNS for line in lines):
            found.append(f"cell {cell.id} has a line over {MAX_COLUMNS} columns")
        if "exercise" in tags_of(cell):
            written |= set(exercises(cell.source))
        if "check" in tags_of(cell):
            checked += cell.source
        if any(o.output_type == "error" for o in cell.outputs) != (
            "raises-exception" in tags_of(cell)
        ):
            found.append(f"cell {cell.id}: an error and the tag 'raises-exception' go together")
    for name in sorted(written):
        if f"check({name}" not in re.sub(r"\s", "", checked):
            found.append(f"no cell tagged 'check' has check({name}, ...)")
    return found


def figure_problems(notebook: NotebookNode) -> list[str]:
    """Alt texts, the sentence of what to see, sizes of pictures, labels used twice."""
    found = []
    for at, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            picture = output.get("data", {}).get("image/png")
            if picture is None:
                continue
            if not output.metadata.get("image/png", {}).get("alt"):
                found.append(
                    f"cell {cell.id} has a figure without alt text; use show(fig, alt=...)"
                )
            if len(picture) * 3 / 4 > MAX_FIGURE_BYTES:
                found.append(f"cell {cell.id} has a figure over {MAX_FIGURE_BYTES // 1000} KB")
            after = [c.source for c in notebook.cells[at + 1 :] if c.cell_type == "markdown"]
            if not after or "What you should see" not in after[0]:
                found.append(f"no 'What you should see' in the text below cell {cell.id}")
    labels = [label for cell in notebook.cells if (label := label_of(cell))]
    found += [f"the label {label!r} stands twice" for label in sorted(set(labels))
              if labels.count(label) > 1]  # fmt: skip
    return found


def size_problems(notebook: NotebookNode, path: Path) -> list[str]:
    """Number of cells, words, bytes."""
    found = []
    if path.stat().st_size > MAX_BYTES:
        found.append(f"{path.stat().st_size / 1000:.0f} KB; at most {MAX_BYTES // 1000}")
    if not CELLS[0] <= len(notebook.cells) <= CELLS[1]:
        found.append(f"{len(notebook.cells)} cells; between {CELLS[0]} and {CELLS[1]}")
    if (words := count_words(notebook)) > MAX_WORDS:
        found.append(f"{words} words; at most {MAX_WORDS}")
    return found


def budget_problems(course: Course, name: str, notebook: NotebookNode) -> list[str]:
    """Measured CPU time and memory against what the header states."""
    header = read_header(notebook)
    cost = read_costs(course).get(name)
    if header is None:
        return []
    if cost is None:
        return ["its CPU time and memory are not measured; build it"]
    found = []
    for what, unit, stated, measured in (
        ("CPU time", "s", header.seconds, cost["cpu_seconds"]),
        ("memory", "GB", header.gigabytes, cost["peak_memory_gb"]),
    ):
        if measured > 2 * stated:
            found.append(f"{what}: {measured} {unit} measured, over twice the {stated:g} stated")
    return found


def advice(course: Course, name: str) -> list[str]:
    """What could be better, without failing."""
    notebook = nbformat.read(course.notebook(name), as_version=4)
    code = [cell.source.splitlines() for cell in notebook.cells if cell.cell_type == "code"]
    found = []
    wide = sum(len(line) > AIM_COLUMNS for lines in code for line in lines)
    if wide:
        found.append(f"{wide} lines of code over {AIM_COLUMNS} columns (a projector's width)")
    if code and statistics.median(map(len, code)) > 6:
        found.append(
            f"median of {statistics.median(map(len, code)):g} lines of code a cell; aim at 6"
        )
    header = read_header(notebook)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    minutes = sum(int(m[1]) for _, t in _SECTION.findall(text) if (m := _MINUTES.search(t)))
    if header and abs(minutes - header.minutes) > 10:
        found.append(f"the sections sum to {minutes} minutes, the header says {header.minutes}")
    return found


def read_costs(course: Course) -> dict[str, dict]:
    """Measured CPU seconds and memory by lesson."""
    return json.loads(course.costs.read_text()) if course.costs.is_file() else {}


def count_words(notebook: NotebookNode) -> int:
    """Words of the prose, without formulas; a Chinese character counts as half a word."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    prose = re.sub(
        r"\$\$.*?\$\$|\$[^$\n]+\$|<[^>]+>|```.*?```", " ", "\n".join(texts), flags=re.DOTALL
    )
    chinese = len(re.findall(r"[\u4e00-\u9fff]", prose))
    return len(re.findall(r"[A-Za-z][\w'-]*", prose)) + chinese // 2


def _place(text: str, part: str) -> int:
    """Where a part of the ending starts: a heading, or a line that opens in bold."""
    found = re.search(rf"^(?:#{{2,3}} |\*\*){part}", text, re.MULTILINE)
    return found.start() if found else -1

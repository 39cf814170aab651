"""The table of lessons in README.md, from the lessons' headers and their measured costs."""

import nbformat

from tools.anatomy import read_costs, read_header
from tools.masters import Course, LessonError

START, END = "<!-- lessons:start -->", "<!-- lessons:end -->"


def readme_with_table(course: Course) -> str:
    """README.md with the table between its two markers made anew.

    Raises:
        LessonError: if the markers are missing.
    """
    text = (course.root / "README.md").read_text(encoding="utf-8")
    before, found, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not found or not end:
        raise LessonError(f"README.md needs the two lines {START} and {END}")
    return f"{before}{START}\n{table(course)}{END}{after}"


def table(course: Course) -> str:
    """One line for each built lesson, and the sum of machine time."""
    lines = [
        "| lesson | teaching time | machine time | peak memory | deck |",
        "|---|--:|--:|--:|---|",
    ]
    costs, total = read_costs(course), 0.0
    for name in course.names():
        path = course.notebook(name)
        header = read_header(nbformat.read(path, as_version=4)) if path.is_file() else None
        cost = costs.get(name)
        if header is None or cost is None:
            continue
        total += cost["cpu_seconds"]
        deck = f"[slides](slides/{name}.md)" if course.deck(name).is_file() else ""
        lines.append(
            f"| [{header.title}](notebooks/{name}.ipynb) | {header.minutes} min "
            f"| {cost['cpu_seconds']:.0f} s | {cost['peak_memory_gb']:.1f} GB | {deck} |"
        )
    note = f"Measured by the build: seconds of one CPU core, {total / 60:.1f} minutes in all."
    return "\n".join(["", *lines, "", note, ""])

"""Lesson masters: where they lie, how they are read, how solutions are taken out.

A master is `notebooks/src/NN_name.py` in jupytext's percent format. An exercise is a cell tagged
`exercise` with a function whose body stands between `# BEGIN SOLUTION` and `# END SOLUTION`.
"""

import ast
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import jupytext
from nbformat import NotebookNode

PERCENT = {"extension": ".py", "format_name": "percent", "comment_magics": False}
YOUR_CODE = "raise NotImplementedError  # your code here"
NAME = re.compile(r"\d\d[ab]?_[a-z0-9_]+")
_SOLUTION = re.compile(
    r"^([ \t]*)#+ BEGIN SOLUTION[^\n]*\n(.*?)^[ \t]*#+ END SOLUTION[^\n]*$",
    re.DOTALL | re.MULTILINE,
)


class LessonError(Exception):
    """A mistake in a lesson, said in one line for the person who writes it."""


@dataclass(frozen=True)
class Course:
    """The folders of a course; tests make one in a temporary folder."""

    root: Path

    @property
    def sources(self) -> Path:
        """The masters."""
        return self.root / "notebooks" / "src"

    @property
    def claims(self) -> Path:
        """Ledger, topics and measured records."""
        return self.root / "data" / "claims"

    @property
    def costs(self) -> Path:
        """Seconds and memory of each lesson, as the last build measured them."""
        return self.root / "data" / "results" / "lessons.json"

    def master(self, name: str) -> Path:
        """Path of a master; LessonError if there is none."""
        path = self.sources / f"{name}.py"
        if not path.is_file():
            known = ", ".join(self.names()) or "none yet"
            raise LessonError(f"no master notebooks/src/{name}.py; there are: {known}")
        return path

    def notebook(self, name: str) -> Path:
        """Path of the built notebook."""
        return self.root / "notebooks" / f"{name}.ipynb"

    def deck(self, name: str) -> Path:
        """Path of the deck source."""
        return self.root / "slides" / f"{name}.md"

    def names(self) -> list[str]:
        """All lessons that have a master, in order."""
        return sorted(p.stem for p in self.sources.glob("*.py") if NAME.fullmatch(p.stem))

    def choose(self, wanted: list[str]) -> list[str]:
        """Names for what was typed: `14`, `14_rope` or a path; all lessons if nothing was."""
        return [self._one(w) for w in wanted] if wanted else self.names()

    def _one(self, wanted: str) -> str:
        stem = Path(wanted).stem
        found = [n for n in self.names() if n == stem or n.split("_")[0] == stem]
        if len(found) != 1:
            raise LessonError(f"no lesson {wanted!r}; there are: {', '.join(self.names())}")
        return found[0]


def tags_of(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", []))


def label_of(cell: NotebookNode) -> str | None:
    """The name by which a deck pulls the output of this cell (tag `label-NAME`)."""
    return next((t.removeprefix("label-") for t in tags_of(cell) if t.startswith("label-")), None)


def read_master(path: Path, *, solved: bool) -> NotebookNode:
    """Read a master as a notebook, with its solutions or without them."""
    notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt=PERCENT)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = keep_solution(cell.source) if solved else strip_solution(cell.source)
    return notebook


def strip_solution(source: str) -> str:
    """Put `raise NotImplementedError` in the place of each solution block."""
    stripped = _SOLUTION.sub(rf"\1{YOUR_CODE}", source)
    if "BEGIN SOLUTION" in stripped or "END SOLUTION" in stripped:
        raise LessonError("a '# BEGIN SOLUTION' without its '# END SOLUTION', or the reverse")
    return stripped


def keep_solution(source: str) -> str:
    """Take out the two marker lines and leave the solution."""
    return _SOLUTION.sub(lambda found: found[2].rstrip("\n"), source)


def solution_blocks(source: str) -> list[str]:
    """The solution blocks with their markers, in order."""
    return [found[0] for found in _SOLUTION.finditer(source)]


def exercises(source: str) -> list[str]:
    """Names of the functions (or classes) of a cell whose body is to be written by the reader."""
    tree = ast.parse(strip_solution(source))
    kinds = (ast.FunctionDef, ast.ClassDef)
    nodes = [node for node in tree.body if isinstance(node, kinds)]
    return [n.name for n in nodes if YOUR_CODE.split()[1] in ast.unparse(n)]


def sha256(*texts: str) -> str:
    """Hash of some texts."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8") + b"\0")
    return digest.hexdigest()


def master_sha256(path: Path) -> str:
    """Hash of a master, stored in the notebook that was built from it."""
    return sha256(path.read_text(encoding="utf-8"))

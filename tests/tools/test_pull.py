"""Pull: edits come back, solutions are never lost, the rest stays to the byte."""

import nbformat
import pytest

from tools.masters import Course, LessonError
from tools.pull import pull

YOURS = "raise NotImplementedError  # your code here"


@pytest.fixture
def edited(course, tmp_path):
    """Edit a copy of the notebook, pull it, and hand back (lines said, text before, after)."""

    def run(change):
        notebook = nbformat.read(course.notebook("98_sample"), as_version=4)
        change(notebook.cells)
        path = tmp_path / "edited.ipynb"
        nbformat.write(notebook, path)
        master = course.master("98_sample")
        before = master.read_text()
        said = pull(course, "98_sample", path)
        return said, before, master.read_text()

    return run


def cell(cells, text):
    return next(c for c in cells if text in c.source)


def test_nothing_changed(edited):
    said, before, after = edited(lambda cells: None)
    assert said == []
    assert before == after


def test_a_changed_paragraph(edited):
    def change(cells):
        cell(cells, "A root").source += "\n\nMore words."

    said, before, after = edited(change)
    assert said == ["changed: # ## 1 A root (5 min)"]
    assert after == before.replace("$$\\sqrt{16} = 4$$\n", "$$\\sqrt{16} = 4$$\n#\n# More words.\n")


def test_a_new_cell_and_a_removed_one(edited):
    def change(cells):
        cells.remove(cell(cells, "object()"))
        cells.insert(2, nbformat.v4.new_code_cell("2 + 2", metadata={"tags": ["label-four"]}))

    said, before, after = edited(change)
    assert said == ["added: 2 + 2", "removed: object()"]
    assert '# %% tags=["label-four"]\n2 + 2\n\n' in after
    assert "object()" not in after
    assert len(after.splitlines()) == len(before.splitlines())


def test_an_edited_exercise_keeps_its_solution(edited):
    def change(cells):
        exercise = cell(cells, "def my_mask")
        exercise.source = exercise.source.replace("Say where", "Tell where")

    _, before, after = edited(change)
    assert after == before.replace("Say where a query", "Tell where a query")
    assert "    # BEGIN SOLUTION\n    return torch.arange(S)" in after


def test_a_solved_exercise_does_not_come_back(edited):
    def change(cells):
        exercise = cell(cells, "def my_mask")
        exercise.source = exercise.source.replace(YOURS, "return None")

    said, before, after = edited(change)
    assert said == [
        "kept as it was, for its solution: def my_mask(T: int, S: int) -> torch.Tensor:"
    ]
    assert after == before


def test_a_removed_exercise_is_kept(edited):
    said, before, after = edited(lambda cells: cells.remove(cell(cells, "def my_mask")))
    assert said == ["kept, though it is gone in the notebook: "
                    "def my_mask(T: int, S: int) -> torch.Tensor:"]  # fmt: skip
    assert after == before


def test_the_tags_of_a_widget_are_not_doubled(edited):
    def change(cells):
        cell(cells, "a widget must").source += "\n1"

    _, before, after = edited(change)
    assert after == before.replace('in the build")\n', 'in the build")\n1\n')
    assert '# %% tags=["widget"]' in after


def test_the_newer_notebook_is_taken(course):
    work = course.root / "work"
    work.mkdir()
    notebook = nbformat.read(course.notebook("98_sample"), as_version=4)
    notebook.cells[2].source += "\n\nFrom work."
    nbformat.write(notebook, work / "98_sample.ipynb")
    pull(course, "98_sample")
    assert "# From work.\n" in course.master("98_sample").read_text()


def test_without_any_notebook(course):
    course.notebook("98_sample").unlink()
    with pytest.raises(LessonError, match=r"neither work/98_sample.ipynb nor"):
        pull(Course(course.root), "98_sample")

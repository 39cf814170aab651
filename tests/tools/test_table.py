"""The table of lessons in README.md."""

import json
import shutil

import pytest

from tools.masters import LessonError
from tools.table import END, START, readme_with_table

ROW = "| [98 Sample: does the machinery work?](notebooks/98_sample.ipynb) | 20 min | "


@pytest.fixture
def readme(course):
    path = course.root / "README.md"
    path.write_text(f"# A course\n\n{START}\nold\n{END}\n\nThe end.\n")
    return path


def test_the_table_stands_between_its_marks(course, readme):
    text = readme_with_table(course)
    assert ROW in text
    assert "[slides](slides/98_sample.md)" in text
    assert "old" not in text
    assert text.startswith("# A course\n")
    assert text.endswith(f"{END}\n\nThe end.\n")
    readme.write_text(text)
    assert readme_with_table(course) == text  # written once, it is up to date


def test_a_lesson_that_is_not_built_has_no_line(course, readme):
    course.notebook("98_sample").unlink()
    assert ROW not in readme_with_table(course)


def test_the_sum_is_of_all_lessons(course, readme):
    for old in (course.master("98_sample"), course.notebook("98_sample")):
        shutil.copy(old, old.with_stem("99_other"))
    costs = json.loads(course.costs.read_text())
    costs["99_other"] = costs["98_sample"] | {"cpu_seconds": 60.0}
    costs["98_sample"]["cpu_seconds"] = 120.0
    course.costs.write_text(json.dumps(costs))
    text = readme_with_table(course)
    assert "| 120 s |" in text
    assert "| 60 s |" in text
    assert "3.0 minutes in all" in text


def test_without_marks(course, readme):
    readme.write_text("# A course\n")
    with pytest.raises(LessonError, match="needs the two lines"):
        readme_with_table(course)

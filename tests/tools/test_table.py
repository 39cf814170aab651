"""The table of lessons in README.md."""

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


def test_without_marks(course, readme):
    readme.write_text("# A course\n")
    with pytest.raises(LessonError, match="needs the two lines"):
        readme_with_table(course)

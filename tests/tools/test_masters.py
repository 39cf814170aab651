"""Masters: solutions taken out and kept, exercises found, lessons chosen."""

import pytest

from tools import skeleton
from tools.masters import (
    Course,
    LessonError,
    exercises,
    keep_solution,
    read_master,
    solution_blocks,
    strip_solution,
)

FUNCTION = '''def f(x):
    """Words."""
    y = 1
    # BEGIN SOLUTION
    if x:
        y = 2

    return y
    # END SOLUTION
'''


def test_a_solution_is_taken_out_at_its_indent():
    assert strip_solution(FUNCTION) == (
        'def f(x):\n    """Words."""\n    y = 1\n    raise NotImplementedError  # your code here\n'
    )


def test_a_solution_is_kept_without_its_markers():
    assert keep_solution(FUNCTION) == FUNCTION.replace("    # BEGIN SOLUTION\n", "").replace(
        "    # END SOLUTION\n", ""
    )


def test_the_markers_of_nbgrader_count_as_well():
    assert "return" not in strip_solution(FUNCTION.replace("# BEGIN", "### BEGIN"))


def test_two_solutions_in_one_cell():
    both = FUNCTION + "\n\n" + FUNCTION.replace("def f", "def g")
    assert strip_solution(both).count("raise NotImplementedError") == 2
    assert [block.count("return y") for block in solution_blocks(both)] == [1, 1]
    assert exercises(both) == ["f", "g"]


def test_only_functions_with_a_solution_are_exercises():
    assert exercises("def helper():\n    return 1\n\n\n" + FUNCTION) == ["f"]
    assert exercises("class A:\n    def f(self):\n        # BEGIN SOLUTION\n        pass\n"
                     "        # END SOLUTION\n") == ["A"]  # fmt: skip


@pytest.mark.parametrize("marker", ["# BEGIN SOLUTION", "# END SOLUTION"])
def test_a_lonely_marker_is_refused(marker):
    with pytest.raises(LessonError, match="without its"):
        strip_solution(FUNCTION.replace(f"    {marker}\n", ""))


def test_lessons_are_chosen_by_number_name_or_path(built):
    for wanted in ("98", "98_sample", "notebooks/src/98_sample.py", "notebooks/98_sample.ipynb"):
        assert built.choose([wanted]) == ["98_sample"]
    assert built.choose([]) == ["98_sample"]
    with pytest.raises(LessonError, match="no lesson '97'; there are: 98_sample"):
        built.choose(["97"])
    with pytest.raises(LessonError, match=r"no master notebooks/src/97_x.py"):
        built.master("97_x")


def test_a_heading_that_ends_with_a_question_mark_is_no_magic(tmp_path):
    (tmp_path / "a.py").write_text("# %% [markdown]\n# # Why?\n\n# %%\n# !ls\nx = 1\n")
    markdown, code = read_master(tmp_path / "a.py", solved=True).cells
    assert markdown.source == "# Why?"
    assert code.source == "# !ls\nx = 1"


def test_a_new_lesson_has_all_parts_and_is_never_overwritten(tmp_path):
    course = Course(tmp_path)
    assert skeleton.new(course, "16b_flash") == "notebooks/src/16b_flash.py"
    assert course.names() == ["16b_flash"]
    assert "setup(seed=16)" in course.master("16b_flash").read_text()
    with pytest.raises(LessonError, match="already there"):
        skeleton.new(course, "16b_flash")
    with pytest.raises(LessonError, match="not '16-flash'"):
        skeleton.new(course, "16-flash")

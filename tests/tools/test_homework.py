"""Homework: the three passes on the sample, and each way they can fail."""

import runpy

import pytest

from tools import homework
from tools.masters import LessonError


def prove(course):
    """In this process, which is quicker than a new Python for each test."""
    homework.prove(course, "98_sample")


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("MINILLM_SOLVED", "0")


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_sample_in_a_fresh_python(built):
    assert homework.run(built, "98_sample").splitlines() == [
        "98_sample: 1 exercises right when solved",
        "98_sample: 1 exercises 'not written yet' when not",
        "98_sample: 5 of 5 mutants caught",
    ]


def test_a_wrong_solution_fails(course):
    edit(course.master("98_sample"), "+ S - T\n    # END", "+ S\n    # END")
    with pytest.raises(LessonError, match=r"solved: the cell 'def reference.*case 1 of 3 is wrong"):
        prove(course)


def test_an_exercise_that_no_check_looks_at_fails(course):
    edit(course.master("98_sample"), "check(my_mask, ref", "check(reference, ref")
    with pytest.raises(LessonError, match="no line 'my_mask: right'"):
        prove(course)


def test_an_exercise_that_is_solved_for_the_student_fails(course):
    edit(course.master("98_sample"), "    # END SOLUTION", "    # END SOLUTION\n    return 1")
    edit(course.master("98_sample"), "check(my_mask, ref", "check(lambda T, S: 1, lambda T, S: 1, "
         "[(1, 1)])\nprint('my_mask: right')\nNone and check(my_mask, ref")  # fmt: skip
    with pytest.raises(LessonError, match="no line 'my_mask: not written yet'"):
        prove(course)


def test_a_mutant_that_survives_is_named(course):
    path = course.sources / "mutants" / "98_sample.py"
    right = "def my_mask(T, S):\\n    return torch.arange(S) <= torch.arange(T)[:, None] + S - T\\n"
    text = path.read_text()
    assert len(runpy.run_path(str(path))["MUTANTS"]["my_mask"]) == 5
    extra = f'MUTANTS["my_mask"].append(("no mutant at all", "{right}"))\n'
    path.write_text(text + extra)
    with pytest.raises(LessonError, match="not caught: my_mask: no mutant at all"):
        prove(course)


def test_a_mutant_leaves_nothing_behind(course):
    path = course.sources / "mutants" / "98_sample.py"
    first = "left_over = 1\ndef my_mask(T, S):\n    return left_over\n"
    right = (
        "def my_mask(T, S):\n    assert 'left_over' not in globals()\n"
        "    return torch.arange(S) <= torch.arange(T)[:, None] + S - T\n"
    )
    extra = f'MUTANTS["my_mask"] += [("first", {first!r}), ("no mutant at all", {right!r})]\n'
    path.write_text(path.read_text() + extra)
    with pytest.raises(LessonError, match="not caught: my_mask: no mutant at all"):
        prove(course)


def test_four_mutants_are_too_few(course):
    path = course.sources / "mutants" / "98_sample.py"
    path.write_text(path.read_text() + 'MUTANTS["my_mask"].pop()\n')
    with pytest.raises(LessonError, match="my_mask has 4 mutants; 5 at least"):
        prove(course)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('MUTANTS["other"] = []\n', r"mutants of \['other'\], which are no exercises"),
        ('MUTANTS["my_mask"][0] = ("bad", "def my_mask(")\n', "'my_mask: bad' cannot be defined"),
    ],
)
def test_mistakes_in_the_list_of_mutants(course, line, words):
    path = course.sources / "mutants" / "98_sample.py"
    path.write_text(path.read_text() + line)
    with pytest.raises(LessonError, match=words):
        prove(course)


def test_a_missing_list_of_mutants(course):
    (course.sources / "mutants" / "98_sample.py").unlink()
    with pytest.raises(LessonError, match=r"there is no notebooks/src/mutants/98_sample.py"):
        prove(course)


def test_cells_of_other_kinds_do_not_run(course):
    edit(course.master("98_sample"), 'print("the root', 'raise SystemError("the root')
    prove(course)
    edit(course.master("98_sample"), "def reference(T", "helper = missing\ndef reference(T")
    with pytest.raises(LessonError, match="must stand on their own"):
        prove(course)

import json
import random

import pytest

from minillm.data import load_doctests, run_doctest
from minillm.data.doctests import Doctest, doctests_of


def test_each_example_that_prints_is_a_question_with_what_came_before():
    examples = [["x = 2\n", ""], ["x + 1\n", "3\n"], ["y = x\n", ""], ["y\n", "2\n"]]
    first, second = doctests_of([("python/json/__init__.py::dumps", json.dumps(examples))])
    assert (first.source, first.want, first.before) == ("x + 1\n", "3\n", ("x = 2\n",))
    assert second.before == ("x = 2\n", "x + 1\n", "y = x\n")
    assert first.origin == "python/json/__init__.py::dumps"


@pytest.mark.parametrize(
    ("origin", "module"),
    [
        ("python/json/__init__.py::dumps", "json"),
        ("python/statistics.py::mean", "statistics"),
        ("numpy/linalg/_linalg.py::norm", "numpy.linalg._linalg"),
    ],
)
def test_the_module_of_a_question(origin, module):
    assert Doctest(origin, "1\n", "1\n").module == module


def test_a_question_is_shown_as_it_is_typed():
    question = Doctest("python/a.py::f", "for i in (1, 2):\n    print(i)\n", "1\n2\n")
    assert str(question) == ">>> for i in (1, 2):\n...     print(i)\n1\n2"


@pytest.mark.parametrize(
    ("source", "want", "right", "got"),
    [
        ("mean([1, 3])\n", "2\n", True, "2\n"),
        ("mean([1, 3])\n", "3\n", False, "2\n"),
        ("print('a   b')\n", "a b\n", True, "a   b\n"),
        ("list(range(99))\n", "[0, ..., 98]\n", True, None),
        ("1 / 0\n", "0\n", False, "ZeroDivisionError: division by zero"),
        ("1 / 0\n", "Traceback (most recent call last):\nZeroDivisionError: x\n", True, None),
        ("x\n", "5\n", True, "5\n"),
    ],
)
def test_an_answer_is_compared_with_what_is_printed(source, want, right, got):
    question = Doctest("python/statistics.py::mean", source, want, ("x = 5\n", "1 / 0\n"))
    result = run_doctest(question)
    assert result[0] is right
    assert got is None or result[1] == got


def test_context_can_be_left_out():
    question = Doctest("python/statistics.py::mean", "x\n", "5\n", ("x = 5\n",))
    assert run_doctest(question)[0]
    assert run_doctest(question, context=False) == (
        False,
        "NameError: name 'x' is not defined",
    )


def test_an_earlier_example_with_the_same_source_is_not_taken_for_the_last():
    question = Doctest("python/statistics.py::mean", "x\n", "6\n", ("x = 5\n", "x\n", "x += 1\n"))
    assert run_doctest(question) == (True, "6\n")


def test_a_module_that_cannot_be_imported_is_a_wrong_answer():
    right, got = run_doctest(Doctest("no_such/module.py::f", "1\n", "1\n"))
    assert not right
    assert got.startswith("ModuleNotFoundError")


def test_most_of_the_harvest_can_be_run():
    quick = ("python/", "networkx/algorithms/", "sympy/ntheory/", "packaging/")
    questions = [d for d in load_doctests(progress=False) if d.origin.startswith(quick)]
    questions = [d for d in questions if not d.origin.startswith(("python/turtle", "python/idle"))]
    sample = random.Random(0).sample(questions, 60)
    n_right = sum(run_doctest(question)[0] for question in sample)
    assert n_right >= 40  # a wrong context, module or comparison brings it near zero

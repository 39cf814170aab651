"""A course of one small lesson in a temporary folder, built once for all tests."""

import shutil
from pathlib import Path

import pytest

from tools import build
from tools.masters import Course

SAMPLE = Path(__file__).parent / "sample"
REPOSITORY = Path(__file__).parents[2]


def make_course(root: Path) -> Course:
    """Folders with the sample master, its mutants, its deck and the real ledger."""
    course = Course(root)
    (course.sources / "mutants").mkdir(parents=True)
    (root / "slides").mkdir()
    course.claims.mkdir(parents=True)
    shutil.copy(SAMPLE / "98_sample.py", course.sources)
    shutil.copy(SAMPLE / "mutants" / "98_sample.py", course.sources / "mutants")
    shutil.copy(SAMPLE / "98_sample.md", root / "slides")
    shutil.copy(REPOSITORY / "data" / "claims" / "ledger.csv", course.claims)
    return course


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Course:
    """Not to be changed by a test."""
    course = make_course(tmp_path_factory.mktemp("course"))
    build.build(course, "98_sample")
    return course


@pytest.fixture
def course(built, tmp_path) -> Course:
    """A copy of the built course that a test may change."""
    shutil.copytree(built.root, tmp_path / "copy")
    return Course(tmp_path / "copy")

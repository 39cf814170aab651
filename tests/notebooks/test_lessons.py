"""The committed lessons: anatomy, freshness, claims and topics. Nothing is executed here."""

import csv
from pathlib import Path

import pytest

from minillm.evaluate.verdict import read_ledger
from tools import anatomy, ledger, slides
from tools.masters import Course

COURSE = Course(Path(__file__).parents[2])
NAMES = COURSE.names()
N_CLAIMS, N_TOPICS = 420, 386


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_is_up_to_date_and_has_all_its_parts(name):
    assert anatomy.problems(COURSE, name) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_has_a_deck_that_keeps_the_rules(name):
    assert slides.problems(slides.pulled(COURSE, name)) == []


def test_claims_cells_and_records_fit_together():
    assert ledger.problems(COURSE) == []


def test_the_page_of_claims_is_up_to_date():
    page = (COURSE.root / "notebooks" / "CLAIMS.md").read_text(encoding="utf-8")
    assert page == ledger.page(COURSE), "run: python -m tools.notebooks claims"


def test_no_notebook_is_without_a_master():
    built = {path.stem for path in (COURSE.root / "notebooks").glob("*.ipynb")}
    assert built == set(NAMES)


def test_the_ledger_is_complete_and_each_claim_has_a_lesson():
    rows = read_ledger(COURSE.claims / "ledger.csv")
    assert len(rows) == N_CLAIMS
    assert [row.id for row in rows.values() if not row.lesson or not row.claim] == []


def topics():
    text = (COURSE.claims / "topics.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_the_topics_are_complete():
    rows = topics()
    assert len(rows) == N_TOPICS
    assert list(rows[0]) == ["topic", "lesson", "section", "package_path", "test", "status"]
    assert [row["topic"] for row in rows if not row["lesson"]] == []
    assert {row["status"] for row in rows} <= {"live", "planned"}


def test_a_live_topic_has_its_lesson_its_code_and_its_test():
    numbers = {name.split("_")[0] for name in NAMES}
    for row in topics():
        if row["status"] == "live":
            assert row["lesson"] in numbers, row
            for place in (row["package_path"], row["test"]):
                assert not place or (COURSE.root / place).exists(), row

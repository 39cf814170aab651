"""Records of claims: written by the build, stale when they must be, missing ones named."""

import csv
import json

import pytest

from minillm.evaluate.verdict import read_ledger
from tools import ledger, ledger_row
from tools.masters import LessonError


def change(course, id, **fields):
    ledger_row.change(course.claims / "ledger.csv", id, fields)


@pytest.fixture
def live(course):
    """The sample's claim, live and belonging to its lesson; all others planned."""
    path = course.claims / "ledger.csv"
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    for row in rows:
        row["status"] = "planned"
        if row["id"] == "TOK-001":
            row |= {"status": "live", "lesson": "98"}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return course


def test_all_is_well(live):
    assert ledger.problems(live) == []
    record = ledger.read_record(live, "TOK-001")
    assert set(record) == {
        "schema", "id", "value", "unit", "low", "high", "level",
        "n_seeds", "source_sha256", "machine_class",
    }  # fmt: skip
    assert record["value"] == "XdXac"


def test_a_live_claim_without_a_record(live):
    (live.claims / "measured" / "TOK-001.json").unlink()
    assert ledger.problems(live) == ["TOK-001: it is live, but has no record; build lesson 98"]


def test_a_record_without_a_live_claim(live):
    (live.claims / "measured" / "TOK-002.json").write_text("{}")
    (live.claims / "measured" / "XXX-001.json").write_text("{}")
    assert ledger.problems(live) == [
        "TOK-002: there is a record, but no live claim",
        "XXX-001: there is a record, but no live claim",
    ]


def test_a_live_claim_without_a_cell(live):
    master = live.master("98_sample")
    master.write_text(master.read_text().replace('claim("TOK-001", "XdXac")', "pass"))
    assert ledger.problems(live) == ["TOK-001: it is live, but no lesson has a cell with its claim"]


def test_a_cell_whose_claim_is_unknown_planned_or_of_another_lesson(live):
    master = live.master("98_sample")
    text = master.read_text()
    extra = 'claim("TOK-001", "XdXac")\nclaim("XXX-9", 1)\nclaim("TOK-002", 1)\n'
    master.write_text(text.replace('claim("TOK-001", "XdXac")\n', extra))
    found = ledger.problems(live)
    assert "98_sample: the claim XXX-9 is not in the ledger" in found
    assert "98_sample: TOK-002 has a cell, but is 'planned', not live" in found
    change(live, "TOK-001", lesson="06")
    assert "98_sample: TOK-001 belongs to lesson 06 in the ledger" in ledger.problems(live)


def test_an_id_must_be_a_literal(live):
    master = live.master("98_sample")
    master.write_text(master.read_text().replace('claim("TOK-001"', 'claim("TOK" + "-001"'))
    with pytest.raises(LessonError, match="needs its id as a literal"):
        ledger.problems(live)


STALE = ["TOK-001: its record is stale; build lesson 98 again"]


def test_code_makes_a_record_stale_but_prose_does_not(live):
    master = live.master("98_sample")
    text = master.read_text()
    master.write_text(text.replace("The curve rises", "The curve climbs"))
    assert ledger.problems(live) == []
    master.write_text(text.replace("16**0.5)", "16**0.25)"))
    assert ledger.problems(live) == STALE


@pytest.mark.parametrize("field", ["claimed", "tolerance", "direction"])
def test_another_rule_makes_a_record_stale(live, field):
    change(live, "TOK-001", **{field: "0.5"})
    assert ledger.problems(live) == STALE


def test_other_words_of_the_ledger_do_not(live):
    change(live, "TOK-001", claim="said better", test="done better", source="p. 3")
    assert ledger.problems(live) == []


def test_a_rebuild_without_the_claim_drops_its_record(live):
    ledger.write_records(live, "98_sample", [])
    assert ledger.read_record(live, "TOK-001") is None


def names(code):
    return {path.name for path in ledger.modules_behind(code)}


def test_modules_are_followed_to_where_a_name_lives():
    found = names("from minillm.lesson import check")
    assert {"lesson.py", "verdict.py"} <= found
    assert "bpe.py" not in found
    assert names("import torch") == set()
    assert "rope.py" in names("from minillm.model import rope")
    assert "rope.py" in names("from minillm.model.rope import rope")
    assert "bpe.py" not in names("from minillm.model import rope")
    assert "verdict.py" in names("import minillm.evaluate.verdict")


def test_comments_and_docstrings_do_not_count():
    a = '"""Words."""\ndef f():\n    """More."""\n    return 1\n'
    b = '"""Others."""\n# note\ndef f():\n    "Less."\n    return (1)\n'
    c = "def f():\n    return 2\n"
    assert ledger._tree(a) == ledger._tree(b) != ledger._tree(c)


def test_the_page_shows_verdict_value_and_interval(live):
    record = live.claims / "measured" / "TOK-001.json"
    text = ledger.page(live)
    assert "| XdXac | XdXac |  | reproduced |" in text
    others = len(read_ledger(live.claims / "ledger.csv")) - 1
    assert f"planned: {others} · reproduced: 1" in text
    change(live, "TOK-001", claimed="10", rule="at_most", tolerance="5%", claim="a|b <c>")
    fields = json.loads(record.read_text()) | {
        "value": 12.5,
        "low": 11.0,
        "high": 14.0,
        "unit": "s",
    }
    record.write_text(json.dumps(fields))
    text = ledger.page(live)
    assert "a\\|b &lt;c>" in text
    assert "| 10 | 12.5 s | 11 to 14 | contradicted |" in text


def test_a_row_is_changed_and_the_others_stay(live):
    path = live.claims / "ledger.csv"
    before = path.read_text(encoding="utf-8").splitlines()
    change(live, "POS-007", status="live", tolerance="1e-9")
    after = path.read_text(encoding="utf-8").splitlines()
    assert [a == b for a, b in zip(before, after, strict=True)].count(False) == 1
    assert read_ledger(path)["POS-007"].tolerance == "1e-9"


@pytest.mark.parametrize(
    ("id", "fields", "words"),
    [
        ("XXX-1", {"status": "live"}, "no claim 'XXX-1'"),
        ("POS-007", {"state": "live"}, "unknown column 'state'"),
        ("POS-007", {"rule": "guess"}, "unknown rule 'guess'"),
    ],
)
def test_a_wrong_change_is_refused_and_nothing_is_written(live, id, fields, words):
    before = (live.claims / "ledger.csv").read_bytes()
    with pytest.raises(ValueError, match=words):
        change(live, id, **fields)
    assert (live.claims / "ledger.csv").read_bytes() == before
    assert not (live.claims / "ledger.new").exists()

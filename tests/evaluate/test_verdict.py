"""The verdict rule: each kind at both sides of its boundary, and each error case."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from minillm.evaluate.verdict import (
    COLUMNS,
    CONTRADICTED,
    DIRECTION_ONLY,
    NOT_SEEN,
    REPRODUCED,
    SOURCE_ERROR,
    VERDICTS,
    Row,
    as_record,
    read_ledger,
    verdict,
)

BLANK = Row("POS-001", "14", "s", "c", "10", "", "", "", "exact", "0.5", "live")


def row(rule, claimed="10", tolerance="0.5", direction=""):
    return replace(BLANK, rule=rule, claimed=claimed, tolerance=tolerance, direction=direction)


@pytest.mark.parametrize(
    ("rule", "measured", "wanted"),
    [
        # both edges belong to the accepted values; a step beyond does not
        ("exact", 10.5, REPRODUCED),
        ("exact", 9.5, REPRODUCED),
        ("exact", 10.5001, CONTRADICTED),
        ("exact", 9.4999, CONTRADICTED),
        ("error", 10.5, REPRODUCED),
        ("error", 9.5, REPRODUCED),
        ("error", 10.5001, SOURCE_ERROR),
        ("error", 9.4999, SOURCE_ERROR),
        ("at_most", 10.5, REPRODUCED),
        ("at_most", -1e9, REPRODUCED),
        ("at_most", 10.5001, CONTRADICTED),
        ("at_least", 9.5, REPRODUCED),
        ("at_least", 1e9, REPRODUCED),
        ("at_least", 9.4999, CONTRADICTED),
    ],
)
def test_a_number_at_each_edge(rule, measured, wanted):
    assert verdict(row(rule), measured) == wanted


@pytest.mark.parametrize(
    ("rule", "interval", "wanted"),
    [
        ("exact", (9.5, 10.5), REPRODUCED),
        ("exact", (9.5, 10.51), NOT_SEEN),
        ("exact", (9.49, 10.5), NOT_SEEN),
        ("error", (9.5, 10.51), NOT_SEEN),
        ("at_most", (0.0, 10.5), REPRODUCED),
        ("at_most", (0.0, 10.51), NOT_SEEN),
        ("at_least", (9.5, 99.0), REPRODUCED),
        ("at_least", (9.49, 99.0), NOT_SEEN),
    ],
)
def test_an_interval_across_the_edge_decides_nothing(rule, interval, wanted):
    assert verdict(row(rule), 10.0, interval) == wanted


@pytest.mark.parametrize(
    ("rule", "interval", "wanted"),
    [
        ("exact", (10.51, 12.0), CONTRADICTED),
        ("exact", (10.5, 12.0), NOT_SEEN),
        ("error", (10.51, 12.0), SOURCE_ERROR),
        ("error", (10.5, 12.0), NOT_SEEN),
        ("at_most", (10.51, 12.0), CONTRADICTED),
        ("at_most", (10.5, 12.0), NOT_SEEN),
    ],
)
def test_refuted_only_if_all_of_the_interval_is_outside(rule, interval, wanted):
    assert verdict(row(rule), 11.0, interval) == wanted


def test_at_least_is_refuted_only_from_below():
    assert verdict(row("at_least"), 9.0, (8.0, 9.49)) == CONTRADICTED
    assert verdict(row("at_least"), 9.0, (8.0, 9.5)) == NOT_SEEN


@pytest.mark.parametrize(
    ("direction", "value", "interval", "wanted"),
    [
        ("up", 10.5, (9.0, 12.0), REPRODUCED),
        ("up", 9.5, (9.0, 12.0), REPRODUCED),
        ("up", 10.51, (9.0, 12.0), DIRECTION_ONLY),
        ("up", 9.49, (9.0, 12.0), DIRECTION_ONLY),
        ("up", 3.0, (1e-9, 5.0), DIRECTION_ONLY),
        ("up", 3.0, (0.0, 5.0), NOT_SEEN),
        ("up", -3.0, (-5.0, 0.0), NOT_SEEN),
        ("up", -3.0, (-5.0, -1e-9), CONTRADICTED),
        ("down", -3.0, (-5.0, -1e-9), DIRECTION_ONLY),
        ("down", 3.0, (1e-9, 5.0), CONTRADICTED),
        ("down", 3.0, (-1e-9, 5.0), NOT_SEEN),
    ],
)
def test_direction(direction, value, interval, wanted):
    assert verdict(row("direction", direction=direction), value, interval) == wanted


def test_a_direction_without_a_size_is_reproduced_by_its_sign():
    assert verdict(row("direction", claimed="", direction="down"), -3, (-4, -2)) == REPRODUCED


def test_a_tolerance_in_percent_is_a_share_of_the_claimed_value():
    percent = row("exact", claimed="-200", tolerance="5%")
    assert verdict(percent, -190) == REPRODUCED
    assert verdict(percent, -189.9) == CONTRADICTED
    assert verdict(row("exact", tolerance=""), 10) == REPRODUCED
    assert verdict(row("exact", tolerance=""), 10.0001) == CONTRADICTED


@pytest.mark.parametrize(("rule", "wrong"), [("exact", CONTRADICTED), ("error", SOURCE_ERROR)])
def test_words_and_truth(rule, wrong):
    assert verdict(row(rule, claimed="XdXac"), "XdXac") == REPRODUCED
    assert verdict(row(rule, claimed="XdXac"), "YdYac") == wrong
    assert verdict(row(rule, claimed="true"), True) == REPRODUCED
    assert verdict(row(rule, claimed="true"), np.True_) == REPRODUCED
    assert verdict(row(rule, claimed="true"), False) == wrong
    assert verdict(row(rule, claimed="false"), False) == REPRODUCED


def test_an_interval_object_counts_like_a_pair():
    interval = SimpleNamespace(value=3.0, low=1.0, high=5.0, level=0.95, n=5)
    assert verdict(row("direction", claimed="", direction="up"), 3.0, interval) == REPRODUCED
    wanted = {"value": 3.0, "low": 1.0, "high": 5.0, "level": 0.95, "n_seeds": 5}
    assert as_record(3, interval) == wanted
    assert as_record("ab") == {
        "value": "ab", "low": None, "high": None, "level": None, "n_seeds": None
    }  # fmt: skip
    assert as_record(np.float32(2))["value"] == 2.0


def test_every_verdict_is_one_of_the_five():
    values = np.linspace(-20, 20, 41)
    rows = [row(r, direction=d) for r in ("exact", "error", "at_most", "at_least") for d in ("",)]
    seen = {verdict(r, v, (v - 1, v + 1)) for r in rows for v in values}
    seen |= {verdict(row("direction", direction="up"), v, (v - 1, v + 1)) for v in values}
    assert seen == set(VERDICTS)


@pytest.mark.parametrize(
    ("bad", "measured", "interval", "words"),
    [
        (row("guess"), 1.0, None, "unknown rule 'guess'"),
        (row("exact", claimed="ten"), 1.0, None, "the claimed value must be one number, got 'ten'"),
        (row("exact", claimed=""), 1.0, None, "the claimed value must be one number"),
        (row("exact", claimed=""), "ab", None, "no claimed value"),
        (row("exact", tolerance="-1"), 1.0, None, "the tolerance must not be negative"),
        (row("exact", tolerance="little"), 1.0, None, "the tolerance must be one number"),
        (row("exact"), float("nan"), None, "the measured value must be finite"),
        (row("exact"), [1, 2], None, "the measured value must be one number"),
        (row("exact"), 1.0, (2.0, 3.0), r"the interval \[2, 3\] must contain 1"),
        (row("exact"), 1.0, (1.0,), r"an interval is \(low, high\)"),
        (row("exact"), 1.0, 7, r"an interval is \(low, high\)"),
        (row("exact"), 1.0, (1.0, float("inf")), "an end of the interval must be finite"),
        (row("direction", direction="up"), 1.0, None, "needs an interval"),
        (row("direction", direction="left"), 1.0, (0.5, 2), "direction must be 'up' or 'down'"),
        (row("at_most"), True, None, "needs a number, got 'True'"),
    ],
)
def test_errors_name_the_row_and_the_value(bad, measured, interval, words):
    with pytest.raises(ValueError, match=words) as caught:
        verdict(bad, measured, interval)
    assert str(caught.value).startswith("POS-001: ")


def write(path, *lines):
    path.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n", encoding="utf-8")
    return path


def test_a_ledger_is_read_by_id(tmp_path):
    path = write(
        tmp_path / "ledger.csv", 'A-1,14,p,"c, d",10,,,up,direction,5%,live', "A-2,,,,,,,,,,planned"
    )
    rows = read_ledger(path)
    assert list(rows) == ["A-1", "A-2"]
    assert rows["A-1"] == Row(
        "A-1", "14", "p", "c, d", "10", "", "", "up", "direction", "5%", "live"
    )


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["A-1,,,,,,,,exact,,live", "A-1,,,,,,,,exact,,live"], "'A-1' comes twice"),
        (["A-1,,,,,,,,exact,,done"], "A-1: unknown status 'done'"),
        (["A-1,,,,,,,,guess,,planned"], "A-1: unknown rule 'guess'"),
        (["A-1,,,,,,,,,,live"], "A-1: unknown rule ''"),
        (["A-1,,,,,,,,,,recorded"], "A-1: unknown rule ''"),
    ],
)
def test_a_ledger_with_a_mistake_is_refused(tmp_path, lines, words):
    with pytest.raises(ValueError, match=words):
        read_ledger(write(tmp_path / "ledger.csv", *lines))


def test_a_ledger_that_is_missing_or_has_other_columns(tmp_path):
    with pytest.raises(ValueError, match="there is no ledger"):
        read_ledger(tmp_path / "none.csv")
    (tmp_path / "l.csv").write_text("id,claim\nA-1,x\n")
    with pytest.raises(ValueError, match="the columns must be id, lesson"):
        read_ledger(tmp_path / "l.csv")

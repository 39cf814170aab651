"""What is boiled down of a run with a spike, and what its arms change; no training in here."""

import math

import pytest

from minillm.recipes.studies import spike_remedies as study


def looks(*pairs):
    return [{"evaluate": {"passes": p, "test": loss}} for p, loss in pairs]


def test_measure_reads_jump_and_way_back():
    at = study.POISON_AT
    records = looks((at - 5, 3.1), (at, 3.0), (at + 5, 4.0), (at + 10, 3.2), (at + 20, 2.9))
    found = study.measure(records)
    assert found["jump"] == pytest.approx(1 / math.log(2))
    assert found["passes to recover"] == 20
    assert found["recovered"] == 1
    assert found["before"] == pytest.approx(3.0 / math.log(2))
    assert found["final"] == pytest.approx(2.9 / math.log(2))
    assert found["rewinds"] == found["gave up"] == 0


def test_measure_of_a_run_that_never_comes_back():
    at = study.POISON_AT
    records = [*looks((at, 3.0), (at + 5, 4.0)), {"step": 1, "rewind": {}}, {"gave up": "why"}]
    found = study.measure(records, steps=300)
    assert found["passes to recover"] == 300
    assert found["recovered"] == 0
    assert found["rewinds"] == found["gave up"] == 1


def test_every_arm_changes_one_thing():
    assert all(len(change) <= 2 for change in study.ARMS.values())
    assert study.recovery_of({}) is None
    skip = study.recovery_of({"recovery": "skip"})
    assert skip.mark_every == 1
    assert skip.spikes.patience == 1
    assert skip.rewind.back == 0
    assert study.recovery_of(study.ARMS["rewind_lower"]).rewind.lr_factor == 0.5

"""Studies: what is missing is made, what is there is kept, what is stale is made again."""

import json
import re
from pathlib import Path

import pytest

from minillm.recipes import records
from minillm.recipes.records import Job, find_job, jobs, missing, read_results, record

CALLS = []
MASTERS = Path(__file__).parents[2] / "notebooks" / "src"
GRIDS = ("base_ladder", "base_ladder_long", "isoflop_grid", "isoflop_large", "kaplan_habits")
"""Studies whose many cells are fitted together: a seed each is enough, the fit has the interval."""


def run(settings, seed):
    CALLS.append((dict(settings), seed))
    return {"loss": settings["level"] + 0.1 * seed, "n": seed}


def job(**changes):
    settings = {"name": "toy", "title": "is high higher?", "lesson": "02", "seeds": (1, 2, 3)}
    arms = {"low": {"level": 1.0, "shape": (1, 2)}, "high": {"level": 2.0, "shape": (1, 2)}}
    return Job(**(settings | {"arms": arms, "run": run} | changes))


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def test_every_run_is_made_once_and_written_with_its_provenance(tmp_path):
    assert record(job(), tmp_path, progress=False) == 6
    assert record(job(), tmp_path, progress=False) == 0
    assert len(CALLS) == 6
    note = json.loads((tmp_path / "toy" / "high-2.json").read_text())
    assert note["config"] == {"level": 2.0, "shape": [1, 2]}
    assert note["seed"] == 2
    assert note["measured"] == {"loss": 2.2, "n": 2}
    assert set(note["versions"]) == {"python", "torch", "numpy"}
    assert re.fullmatch(r"[0-9a-f]{12}\+?|", note["commit"])
    assert note["machine"]["cores"] >= 1


def test_results_are_paired_by_seed(tmp_path):
    record(job(), tmp_path, progress=False)
    found = read_results(job(), tmp_path)
    assert found.seeds == [1, 2, 3]
    assert found.values("low", "n") == [1, 2, 3]
    difference = found.difference("high", "low", "loss")
    assert difference.value == pytest.approx(1.0)
    assert difference.high - difference.low < 1e-9  # the seed cancels ...
    mean = found.mean("high", "loss")
    assert mean.high - mean.low > 0.1  # ... which it does not in a mean
    assert "6 recorded runs, 3 seeds" in found.provenance


def test_a_stopped_study_goes_on_where_it_was(tmp_path):
    def breaks(settings, seed):
        if len(CALLS) == 3:
            raise KeyboardInterrupt
        return run(settings, seed)

    stopped = job(run=breaks)
    with pytest.raises(KeyboardInterrupt):
        record(stopped, tmp_path, progress=False)
    assert len(missing(stopped, tmp_path)) == 3
    assert read_results(stopped, tmp_path).seeds == [1]  # both arms of the first seed are there
    assert not list(tmp_path.rglob("*.part"))
    assert record(job(), tmp_path, progress=False) == 3


def test_a_record_of_other_settings_is_stale(tmp_path):
    record(job(), tmp_path, progress=False)
    arms = {"low": {"level": 1.0, "shape": (1, 2)}, "high": {"level": 3.0, "shape": (1, 2)}}
    assert missing(job(arms=arms), tmp_path) == [("high", 1), ("high", 2), ("high", 3)]


def test_a_record_of_other_code_is_stale(tmp_path):
    record(job(), tmp_path, progress=False)
    path = tmp_path / "toy" / "low-1.json"
    note = json.loads(path.read_text())
    path.write_text(json.dumps(note | {"code_sha256": "of an older file"}))
    assert missing(job(), tmp_path) == [("low", 1)]


def test_only_some_seeds(tmp_path):
    assert record(job(), tmp_path, seeds=(2,), progress=False) == 2
    assert {seed for _, seed in CALLS} == {2}


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="nothing is recorded of toy; run: python -m"):
        read_results(job(), tmp_path)
    record(job(), tmp_path, progress=False)
    found = read_results(job(), tmp_path)
    with pytest.raises(ValueError, match="no arm 'middle'; it has low, high"):
        found.values("middle", "loss")
    with pytest.raises(ValueError, match="no 'bits'; it has loss, n"):
        found.values("low", "bits")
    with pytest.raises(ValueError, match="no study 'nothing'"):
        find_job("nothing")
    with pytest.raises(ValueError, match="named by letters and digits, got 'a/b'"):
        job(arms={"a/b": {}})
    with pytest.raises(ValueError, match="no seed twice"):
        job(seeds=(1, 1))


@pytest.mark.parametrize("name", sorted(p.stem for p in records.STUDIES.glob("[a-z]*.py")))
def test_a_study_that_a_lesson_reads_is_recorded_in_full_with_the_code_that_is_there(name):
    study = jobs()[name]
    assert study.name == name
    assert len(study.seeds) >= (1 if name in GRIDS else 5)
    masters = [path.read_text("utf-8") for path in MASTERS.glob("*.py")]
    if not any(f'"{name}"' in text for text in masters):
        pytest.skip(f"no lesson reads {name} yet: it may wait for its runs")
    folder = records.RESULTS / name
    there = {path.name for path in folder.glob("*-*.json")}
    wanted = [f"{arm}-{seed}.json" for arm, seed in missing(study)]
    if name in GRIDS:  # takes hours and sessions; lessons read the budgets that are finished
        wanted = [file for file in wanted if file in there]  # ... but no run of other code
    assert wanted == [], f"run: python -m minillm.recipes records {name}"
    known = {f"{arm}-{seed}.json" for arm in study.arms for seed in study.seeds}
    assert there <= known  # no run of a dropped arm

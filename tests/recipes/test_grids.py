"""Grids: time left, shares for several machines, and merging by run id."""

import json

import pytest

from minillm.recipes import grids
from minillm.recipes.grids import Clock, merge, missing_of, record_grid, share_of, spelled
from minillm.recipes.records import Job, missing, record
from minillm.recipes.studies import isoflop_grid

COSTS = {"a": 1.0, "b": 3.0, "c": 9.0, "d": 27.0}


def run(settings, seed):
    return {"loss": settings["cost"] + seed}


def job(**changes):
    arms = {name: {"cost": cost} for name, cost in COSTS.items()}
    told = {"name": "toy", "title": "a grid", "lesson": "25b", "seeds": (1,), "run": run}
    return Job(**(told | {"arms": arms} | changes))


def cost(settings):
    return settings["cost"]


def test_a_grid_is_made_in_its_order_and_goes_on_where_it_stopped(tmp_path):
    said = []
    assert record_grid(job(), tmp_path, cost=cost, say=said.append) == 4
    assert [line.split()[1] for line in said[1:]] == ["a-1:", "b-1:", "c-1:", "d-1:"]
    (tmp_path / "toy" / "c-1.json").unlink()
    again = []
    assert record_grid(job(), tmp_path, cost=cost, say=again.append) == 1
    assert "c-1:" in again[1]


def test_progress_counts_costs_not_runs(tmp_path):
    said = []
    record_grid(job(), tmp_path, cost=cost, say=said.append)
    assert [f"{line.split('; ')[1].split()[0]}" for line in said[1:]] == [
        "2.5%", "10.0%", "32.5%", "100.0%",
    ]  # fmt: skip


def test_the_clock_learns_how_fast_this_machine_is():
    clock = Clock(total=100)
    assert clock.left() == 100
    clock.add(20, seconds=60)  # three times as slow as expected
    assert clock.left() == pytest.approx(240)
    clock.add(80, seconds=100)
    assert clock.left() == 0


@pytest.mark.parametrize(
    ("seconds", "words"), [(45, "45 s"), (89, "89 s"), (720, "12 min"), (12_240, "3.4 h")]
)
def test_a_time_is_spelled_for_people(seconds, words):
    assert spelled(seconds) == words


def test_shares_cover_the_grid_without_overlap():
    wanted = [(name, 1) for name in "abcdefg"]
    shares = [share_of(wanted, part, 3) for part in (1, 2, 3)]
    assert sorted(pair for share in shares for pair in share) == wanted
    assert shares[0] == [("a", 1), ("d", 1), ("g", 1)]


@pytest.mark.parametrize("part", [0, 4])
def test_a_share_that_is_none(part):
    with pytest.raises(ValueError, match=f"a share is one of 1/3 to 3/3, got {part}/3"):
        share_of([], part, 3)


def test_a_plan_is_that_of_the_share(capsys):
    said = []
    for share in ("1/2", "2/2", "1/1"):
        grids.main(["isoflop_large", "--share", share, "--plan"])
        said.append(capsys.readouterr().out)
    n_one, n_two, n_all = (int(line.split()[1]) for line in said)
    assert n_one + n_two == n_all
    with pytest.raises(ValueError, match="a share is one of 1/2 to 2/2, got 3/2"):
        grids.main(["isoflop_large", "--share", "3/2", "--plan"])


def test_missing_runs_of_a_share(tmp_path):
    record_grid(job(), tmp_path, share=(1, 4), say=lambda _: None)  # a-1
    assert missing_of(job(), (1, 2), tmp_path) == [("c", 1)]
    assert missing_of(job(), (2, 2), tmp_path) == [("b", 1), ("d", 1)]


def test_shares_stay_apart_whatever_a_machine_has_already(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    record_grid(job(), one, share=(1, 2), say=lambda _: None)
    record_grid(job(), two, share=(2, 2), say=lambda _: None)
    made = [{p.stem for p in (place / "toy").iterdir()} for place in (one, two)]
    assert made == [{"a-1", "c-1"}, {"b-1", "d-1"}]
    assert record_grid(job(), one, share=(1, 2), say=lambda _: None) == 0
    assert merge(job(), two / "toy", one) == (2, 0)
    assert missing(job(), one) == []


def test_a_merge_keeps_what_is_here_and_takes_only_what_fits(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    record(job(), there, progress=False)
    record_grid(job(), here, share=(1, 4), say=lambda _: None)
    for name, change in (("b", {"config": {"cost": 5.0}}), ("c", {"code_sha256": "other"})):
        path = there / "toy" / f"{name}-1.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    mine = (here / "toy" / "a-1.json").read_text()
    assert merge(job(), there / "toy", here) == (1, 3)
    assert {p.stem for p in (here / "toy").iterdir()} == {"a-1", "d-1"}
    assert (here / "toy" / "a-1.json").read_text() == mine


def test_a_merge_says_what_is_wrong_with_a_folder(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        merge(job(), tmp_path / "none", tmp_path)
    other = tmp_path / "other"
    record(job(name="another"), other, progress=False)
    with pytest.raises(ValueError, match="a record of 'another', not of 'toy'"):
        merge(job(), other / "another", tmp_path)
    (other / "another" / "x.json").write_text("[1, 2]")
    (other / "another" / "a-1.json").unlink()
    with pytest.raises(ValueError, match=r"x\.json is no record"):
        list(dict(grids.records_in(other / "another")))


def test_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grids, "find_job", lambda name: job(name="isoflop_grid"))
    monkeypatch.setattr(grids, "missing", lambda job, *_: missing(job, tmp_path))
    monkeypatch.setattr(grids, "cost_of", lambda job: cost)
    assert grids.main(["isoflop_grid", "--plan"]) == 0
    assert "4 runs to make, about 40 s of one core" in capsys.readouterr().out
    with pytest.raises(ValueError, match="a share is written 2/3, got 'two'"):
        grids.main(["isoflop_grid", "--share", "two"])


def test_a_study_without_costs_counts_runs():
    assert grids.cost_of(job(name="mixtures"))({}) == 1.0
    costs = [grids.cost_of(job(name="isoflop_grid"))(s) for s in isoflop_grid.JOB.arms.values()]
    assert 5 < min(costs) < 60 < 300 < max(costs) < 2000  # seconds of a core

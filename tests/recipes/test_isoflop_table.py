"""Columns of a recorded grid, and predictions made before a run."""

import numpy as np
import pytest

from minillm.recipes import predictions
from minillm.recipes.isoflop_table import Grid, early
from minillm.recipes.predictions import foretell, outcome, read_prediction, write_prediction
from minillm.recipes.records import Job, record
from minillm.recipes.studies import isoflop_grid
from minillm.scaling import ChinchillaLaw

LAW = ChinchillaLaw(E=1.0, A=20.0, B=60.0, alpha=0.4, beta=0.4)
SIZES, BUDGETS = (1e3, 2e3, 4e3, 8e3), (1e9, 3e9, 9e9)


def run(settings, seed):
    """A run of the law, with a curve that is 0.1 too high until it ends."""
    n, d = settings["n"], settings["flops"] / (6 * settings["n"])
    seen = d * np.array([1 / 9, 1 / 3, 1.0])
    loss = LAW.loss(n, seen) + 0.1 * (seen < d) + 0.01 * (settings["draw"] - 1)
    named = {"n": n, "n_blocks": n / 2, "d": d, "steps": 10, "lr": 0.01, "epochs": 0.1}
    return {
        **named,
        "flops": 6 * n * d,
        "flops_6nd": 6 * n * d,
        "loss": float(loss[-1]),
        "loss_se": 0.01,
        "curve_d": seen.tolist(),
        "curve_flops": (6 * n * seen).tolist(),
        "curve_loss": loss.tolist(),
        "curve_train": loss.tolist(),
    }


def job(prefix=""):
    arms = {
        f"{prefix}{c:.0e}_{n:.0f}".replace("e+0", "e"): {"flops": c, "n": n, "draw": 1}
        for c in BUDGETS
        for n in SIZES
    }
    arms[f"{prefix}3e9_2000_r2"] = {"flops": 3e9, "n": 2e3, "draw": 2}
    return Job("toy", "a grid", "25b", arms, run, seeds=(1,))


@pytest.fixture
def results(tmp_path):
    record(job(), tmp_path, progress=False)
    return tmp_path


def test_columns_follow_the_arms(results):
    grid = Grid(job(), results=results)
    assert grid.arms == list(job().arms)
    assert grid.missing == []
    np.testing.assert_allclose(6 * grid.n * grid.d, grid.budget)
    np.testing.assert_array_equal(grid.n_blocks, grid.n / 2)
    assert [curve.n for curve in grid.curves] == grid.n.tolist()
    assert grid.curves[0].loss[-1] == grid.loss[0]
    assert "13 recorded runs" in grid.provenance


def test_a_budget_with_a_missing_run_is_not_complete_and_replicates_stand_apart(results):
    assert Grid(job(), results=results).complete().sum() == 12
    (results / "toy" / "9e9_4000-1.json").unlink()
    grid = Grid(job(), results=results)
    assert grid.missing == ["9e9_4000"]
    assert grid.complete().sum() == 8
    assert grid.budget[grid.complete()].max() == 3e9
    (pair,) = grid.replicates()
    assert pair[1] - pair[0] == pytest.approx(0.01)


def test_a_prefix_takes_one_family_of_arms(tmp_path):
    record(job("bad_"), tmp_path, progress=False)
    grid = Grid(job("bad_"), prefix="bad_", results=tmp_path)
    assert grid.complete().sum() == 12
    with pytest.raises(ValueError, match="no arm of toy that begins with 'good_'"):
        Grid(job("bad_"), prefix="good_", results=tmp_path)


def test_nothing_recorded(tmp_path):
    with pytest.raises(ValueError, match="nothing is recorded of toy"):
        Grid(job(), results=tmp_path)


@pytest.mark.parametrize(("times", "n_pairs"), [(3, 8), (9, 4), (2, 0)])
def test_a_longer_run_of_the_same_size_passes_the_budget_too_high(results, times, n_pairs):
    grid = Grid(job(), results=results)
    pairs = early(grid, times)
    assert len(pairs) == n_pairs
    for short, long, loss in pairs:
        assert grid.n[short] == grid.n[long]
        assert grid.budget[long] == times * grid.budget[short]
        assert grid.draw[short] == grid.draw[long] == 1
        assert loss - grid.loss[short] == pytest.approx(0.1)


def test_a_prediction_holds_what_comes_true():
    rng = np.random.default_rng(0)
    n = np.tile(np.geomspace(1e4, 1e6, 8), 4)
    d = np.repeat(np.geomspace(1e5, 3e6, 4), 8)
    loss = LAW.loss(n, d) * np.exp(0.003 * rng.standard_normal(32))
    law, rows = foretell(n, d, loss, [(2e6, 1e7), (1e5, 1e6)])
    assert law.alpha == pytest.approx(LAW.alpha, abs=0.05)
    for row in rows:
        truth = float(LAW.loss(row["n"], row["d"]))
        assert row["low"] < row["loss"] < row["high"]
        assert row["low"] < truth < row["high"]
    far, near = (row["high"] - row["low"] for row in rows)
    assert far > near > 2 * 0.003 * rows[1]["loss"]  # of a single run, so with its noise


def test_a_prediction_is_written_once(tmp_path):
    fitted = {"arm": np.array(["1e9_1000"]), "budget": np.array([1e9])}
    row = {"arm": "9e9_1000", "job": "toy", "n": 1e3, "d": 1e6, "loss": 2.0, "low": 1.9}
    write_prediction("large", fitted, LAW, [row], tmp_path)
    found = read_prediction("large", tmp_path)
    assert found["predictions"] == [row]
    assert found["law"]["alpha"] == LAW.alpha
    assert found["largest_budget"] == 1e9
    with pytest.raises(ValueError, match="written already"):
        write_prediction("large", fitted, LAW, [row], tmp_path)
    with pytest.raises(ValueError, match="no prediction 'other'"):
        read_prediction("other", tmp_path)


def test_the_outcome_of_a_prediction(results, monkeypatch):
    monkeypatch.setattr(predictions, "find_job", lambda name: job())
    row = {"job": "toy", "arm": "9e9_4000"}
    assert outcome(row, results) == pytest.approx(float(LAW.loss(4e3, 9e9 / 24e3)))
    (results / "toy" / "9e9_4000-1.json").unlink()
    assert outcome(row, results) is None
    assert outcome(row, results / "none") is None


def test_the_larger_runs_of_the_grid_are_predicted_and_only_if_they_are_to_come(
    results, monkeypatch, tmp_path
):
    for arm in [arm for arm in job().arms if arm.startswith("9e9")]:
        (results / "toy" / f"{arm}-1.json").unlink()
    monkeypatch.setattr(predictions, "Grid", lambda name: Grid(job(), results=results))
    monkeypatch.setattr(predictions, "find_job", lambda name: isoflop_grid.JOB)
    monkeypatch.setattr(predictions, "outcome", lambda row: None)
    predictions.predict_grid("toy", 3e9, tmp_path)
    found = read_prediction("toy", tmp_path)
    assert len(found["fitted_on"]) == 8
    arms = [row["arm"] for row in found["predictions"] if row["job"] == "isoflop_grid"]
    assert arms == list(isoflop_grid.JOB.arms)  # all of its budgets are larger
    one = found["predictions"][0]
    assert one["low"] < one["loss"] < one["high"]
    with pytest.raises(ValueError, match=r"the budget 9e\+09 is not complete"):
        predictions.predict_grid("other", 9e9, tmp_path)
    monkeypatch.setattr(predictions, "outcome", lambda row: 2.0)
    with pytest.raises(ValueError, match="1e11_16x2 of isoflop_grid is recorded already"):
        predictions.predict_grid("other", 3e9, tmp_path)

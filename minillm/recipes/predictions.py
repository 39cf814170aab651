"""A loss, written down before the run: fit what is recorded, foretell what is not, and commit it.

    python -m minillm.recipes.predictions isoflop --up-to 2.7e12    data/predictions/isoflop.json

The file says which runs were fitted, the constants, and for each run to come its predicted loss
with an interval. It is never written over, and refuses runs that are recorded already.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minillm
from minillm.recipes.isoflop_table import Grid
from minillm.recipes.records import RESULTS, commit, find_job, read_results, write_note
from minillm.scaling.chinchilla import ChinchillaLaw
from minillm.scaling.parametric import bootstrap_parametric, fit_parametric

PREDICTIONS = Path(minillm.__file__).parents[1] / "data" / "predictions"
LEVEL = 0.95
N_RESAMPLES = 400


def foretell(
    n: np.ndarray, d: np.ndarray, loss: np.ndarray, wanted: Sequence[tuple[float, float]]
) -> tuple[ChinchillaLaw, list[dict[str, float]]]:
    """Fit L(N, D) to runs, and say what it gives for others, with a prediction interval.

        low, high: quantiles of L_r(N, D) exp(-residual), over resamples r of the runs

    A resample gives the doubt about the constants; a residual drawn from the fit is added for the
    noise of a single run. What is wrong with the form of the law is in neither.

    Args:
        n, d, loss: one number a run.
        wanted: (n, d) of the runs to come.

    Returns:
        The law, and for each wanted run n, d, loss, low and high.

    Raises:
        ValueError: as fit_parametric.

    Lesson: notebooks/25b_chinchilla.ipynb
    """
    fit = fit_parametric(list(n), list(d), list(loss))
    draws = bootstrap_parametric(list(n), list(d), list(loss), n_resamples=N_RESAMPLES).draws
    noise = np.random.default_rng(0).choice(fit.residuals, N_RESAMPLES)
    found = []
    for size, tokens in wanted:
        losses = draws["E"] + draws["A"] * size ** -draws["alpha"]
        losses = (losses + draws["B"] * tokens ** -draws["beta"]) * np.exp(-noise)
        low, high = np.quantile(losses, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        middle = float(fit.law.loss(size, tokens))
        found.append(
            {"n": size, "d": tokens, "loss": middle, "low": float(low), "high": float(high)}
        )
    return fit.law, found


def write_prediction(
    name: str,
    fitted: Mapping[str, np.ndarray],
    law: ChinchillaLaw,
    predictions: Sequence[Mapping[str, Any]],
    folder: Path = PREDICTIONS,
) -> Path:
    """Write a prediction down, once.

    Args:
        name: of the file.
        fitted: "arm", "budget" of the runs that the law was fitted to.
        law: the constants.
        predictions: rows of foretell, each with the name of its "arm" and "job".
        folder: where predictions lie.

    Raises:
        ValueError: if there is a file of that name: a prediction is not changed afterwards.
    """
    path = folder / f"{name}.json"
    if path.exists():
        raise ValueError(f"{path} is written already; a prediction is not changed, make another")
    note = {
        "name": name,
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "level": LEVEL,
        "fitted_on": [str(arm) for arm in fitted["arm"]],
        "largest_budget": float(max(fitted["budget"])),
        "law": {k: getattr(law, k) for k in ("E", "A", "B", "alpha", "beta")},
        "predictions": [dict(row) for row in predictions],
    }
    write_note(path, note)
    return path


def read_prediction(name: str, folder: Path = PREDICTIONS) -> dict[str, Any]:
    """Read a prediction.

    Raises:
        ValueError: if there is none of that name.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        raise ValueError(f"there is no prediction {name!r} in {folder}")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def outcome(row: Mapping[str, Any], results: Path = RESULTS) -> float | None:
    """Give the measured loss of a predicted run; None as long as it is not recorded."""
    job = find_job(row["job"])
    try:
        runs = read_results(job, results).measured[row["arm"]]
    except ValueError:
        return None
    return float(runs[job.seeds[0]]["loss"]) if runs else None


def predict_grid(name: str, up_to: float, folder: Path = PREDICTIONS) -> Path:
    """Predict every run of isoflop_grid and isoflop_large above a budget from those up to it.

    Args:
        name: of the prediction.
        up_to: the largest budget that is fitted.
        folder: where predictions lie.

    Raises:
        ValueError: if a budget up to it is not complete, a run above it is recorded already, or
            there is a prediction of that name.
    """
    grid = Grid("isoflop_grid")
    use = grid.complete() & (grid.budget <= up_to * 1.01)
    if not use.any() or not np.isclose(grid.budget[use].max(), up_to):
        raise ValueError(f"the budget {up_to:.3g} is not complete; make its runs first")
    rows = [row for study in ("isoflop_grid", "isoflop_large") for row in _runs_above(study, up_to)]
    law, found = foretell(
        grid.n[use], grid.d[use], grid.loss[use], [(row["n"], row["d"]) for row in rows]
    )
    fitted = {"arm": np.array(grid.arms)[use], "budget": grid.budget[use]}
    predictions = [{**row, **said} for row, said in zip(rows, found, strict=True)]
    return write_prediction(name, fitted, law, predictions, folder)


def _runs_above(name: str, up_to: float) -> list[dict[str, Any]]:
    """List the runs of a study above a budget: job, arm, n, d."""
    from minillm.model import count_parameters
    from minillm.recipes.isoflop_runs import CONTEXT
    from minillm.recipes.studies.isoflop_grid import cell_of

    rows: list[dict[str, Any]] = []
    for arm, settings in find_job(name).arms.items():
        if settings["flops"] > up_to * 1.01:
            cell = cell_of(settings)
            n, d = count_parameters(cell.model), cell.steps * cell.batch * CONTEXT
            rows.append({"job": name, "arm": arm, "n": float(n), "d": float(d)})
            if outcome(rows[-1]) is not None:
                raise ValueError(f"{arm} of {name} is recorded already; it cannot be predicted")
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Run `python -m minillm.recipes.predictions`."""
    parser = argparse.ArgumentParser(description="Write a prediction of the larger runs down.")
    parser.add_argument("name", help="of the file in data/predictions")
    parser.add_argument("--up-to", type=float, required=True, help="largest budget that is fitted")
    options = parser.parse_args(arguments)
    print(f"wrote {predict_grid(options.name, options.up_to)}; commit it, then make the runs")
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except ValueError as error:
        sys.exit(f"minillm: {error}")

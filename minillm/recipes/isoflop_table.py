"""What the recorded runs of an IsoFLOP grid say, as columns for the fits of `minillm.scaling`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from minillm.recipes.records import RESULTS, Job, find_job, read_results
from minillm.scaling.frontier import Curve

NUMBERS = ("n", "n_blocks", "d", "steps", "lr", "flops", "flops_6nd", "epochs", "loss", "loss_se")


class Grid:
    """Recorded runs of a grid, one entry a run, cheap budgets first.

    Args:
        name: of the study, such as isoflop_grid; or the study.
        prefix: only the arms whose name begins so.
        results: folder of all recorded runs.

    Attributes:
        budget: the nominal FLOPs of each run, (runs,); equal for all runs of a budget.
        draw: 1, or more for a replicate, (runs,).
        n, n_blocks, d, steps, lr, flops, flops_6nd, epochs, loss, loss_se: as train_cell measured
            them, (runs,) each.
        curves: one Curve a run, of the held-out loss on every eighth window.
        arms: their names.
        missing: names of the arms that are not recorded yet.
        provenance: one line for the reader.

    Raises:
        ValueError: if nothing is recorded.

    Lesson: notebooks/25b_chinchilla.ipynb
    """

    def __init__(self, name: str | Job, prefix: str = "", results: Path = RESULTS) -> None:
        job = find_job(name) if isinstance(name, str) else name
        found = read_results(job, results)
        self.prefix = prefix
        wanted = [arm for arm in job.arms if arm.startswith(prefix)]
        self.arms = [arm for arm in wanted if found.measured[arm]]
        self.missing = [arm for arm in wanted if not found.measured[arm]]
        self.provenance = found.provenance
        if not self.arms:
            raise ValueError(f"no arm of {job.name} that begins with {prefix!r} is recorded")
        runs = [found.measured[arm][job.seeds[0]] for arm in self.arms]
        settings = [job.arms[arm] for arm in self.arms]
        self.budget = np.array([s["flops"] for s in settings])
        self.draw = np.array([s["draw"] for s in settings])
        self.n, self.n_blocks, self.d, self.steps, self.lr = (_column(runs, k) for k in NUMBERS[:5])
        self.flops, self.flops_6nd, self.epochs = (_column(runs, k) for k in NUMBERS[5:8])
        self.loss, self.loss_se = (_column(runs, k) for k in NUMBERS[8:])
        self.curves = [
            Curve(
                float(run["n"]),
                np.array(run["curve_d"], dtype=float),
                np.array(run["curve_loss"]),
                np.array(run["curve_flops"]),
            )
            for run in runs
        ]

    def complete(self) -> np.ndarray:
        """Mark the runs whose budget has no missing run, without replicates; bool, (runs,)."""
        unfinished = {self._budget_of(arm) for arm in self.missing}
        whole = np.array([self._budget_of(arm) not in unfinished for arm in self.arms])
        return whole & (self.draw == 1)

    def _budget_of(self, arm: str) -> str:
        return arm.removeprefix(self.prefix).split("_")[0]

    def replicates(self) -> list[list[float]]:
        """Group the losses of cells that were run more than once."""
        cells: dict[tuple[float, float], list[float]] = {}
        for budget, n, loss in zip(self.budget, self.n, self.loss, strict=True):
            cells.setdefault((float(budget), float(n)), []).append(float(loss))
        return [losses for losses in cells.values() if len(losses) > 1]


def _column(runs: list[Mapping[str, float]], name: str) -> np.ndarray:
    return np.array([run[name] for run in runs], dtype=float)


def early(grid: Grid, times: float) -> list[tuple[int, int, float]]:
    """Pair runs with what a longer run of the same size showed at their budget.

    The longer run has `times` the budget, and when it passes the smaller one its learning rate is
    still high: its cosine does not end there.

    Args:
        grid: recorded runs.
        times: a power of the step between budgets: 3, 9.

    Returns:
        For each pair: place of the matched run, place of the longer run, and the loss of the
        longer one at the smaller budget, nats a byte, on the windows of the curves.

    Lesson: notebooks/25b_chinchilla.ipynb
    """
    place = {
        (float(b), float(n)): i
        for i, (b, n, draw) in enumerate(zip(grid.budget, grid.n, grid.draw, strict=True))
        if draw == 1
    }
    found = []
    for (budget, n), i in place.items():
        far = [j for (b, m), j in place.items() if m == n and abs(b / budget / times - 1) < 1e-6]
        for j in far:
            curve = grid.curves[j]
            at = np.interp(np.log(grid.flops[i]), np.log(curve.flops), curve.loss)
            found.append((i, j, float(at)))
    return found

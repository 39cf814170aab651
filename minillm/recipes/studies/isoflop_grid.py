"""The IsoFLOP grid: at a given number of operations, how large a model, and how much text?

Six budgets, each three times the one before, and at each a row of sizes from a ladder of 24, from
11 thousand to 3 million parameters. What a run does is in `recipes/isoflop_runs.py`. The budgets
are those of contracts.md to within a few percent, and two cheap ones below them: for an exponent a
long row of budgets is worth more than a dear one.

The smallest size at a budget is set by the text: no run reads a window twice. Learning rates are a
power of the size, from seed 101 (see recipes/isoflop_pilot.py); batches grow as the root of the
tokens. Every cell draws its own weights and order; cells with `draw` above 1 are replicates.

    python -m minillm.recipes.grids isoflop_grid           goes on where it stopped, also in a run
    python -m minillm.recipes.grids isoflop_grid --help    a share for a second machine, and merging
"""

from collections.abc import Mapping
from typing import Any

from minillm.model import count_parameters, flops_per_token
from minillm.recipes.isoflop_runs import RECIPE, Cell, train_cell
from minillm.recipes.records import Job

LADDER = (
    (16, 2), (16, 3), (24, 2), (24, 3), (32, 2), (32, 3), (32, 4), (48, 2), (48, 3), (48, 4),
    (64, 3), (64, 4), (80, 3), (80, 4), (96, 4), (96, 5), (112, 5), (128, 5), (128, 6), (160, 5),
    (160, 6), (192, 5), (192, 6), (192, 7),
)  # fmt: skip
"""Width and layers: each size is about 1.28 times the one before."""
BUDGETS: dict[float, tuple[int, ...]] = {
    1e11: tuple(range(9)),
    3e11: tuple(range(13)),
    9e11: (2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    2.7e12: (5, 7, 8, 10, 11, 12, 13, 14, 16, 18),
    8.1e12: (8, 10, 11, 13, 14, 16, 18, 20),
    2.43e13: (11, 13, 14, 16, 18, 20),
}
"""Places on the ladder by budget; the cheap budgets first, since the dear ones take most of it."""
REPLICATES = ((3e11, 4, 2), (3e11, 8, 2), (3e11, 4, 3), (3e11, 8, 3))
"""Budget, place, draw: the same cells again, for the size of the noise."""
RATE, RATE_POWER = 0.0033, -0.5
"""Largest learning rate at 100 000 parameters, and its power of the size: one over the width."""


def rate(n: float) -> float:
    """Give the tuned learning rate of a size, two digits."""
    return float(f"{RATE * (n / 1e5) ** RATE_POWER:.1e}")


def cell_of(settings: Mapping[str, Any]) -> Cell:
    """Read the settings of an arm."""
    return Cell(**{k: v for k, v in settings.items() if k != "recipe"})


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Carry out one run of the grid."""
    return train_cell(cell_of(settings), seed)


def cost(settings: Mapping[str, Any]) -> float:
    """Foretell the seconds of a run on one core with AVX-512: narrow models use it badly."""
    one = cell_of(settings)
    return 0.0025 * one.steps * one.n_layers + one.flops * (1 + 120 / one.d_model) / 8e10


def batch(d: float) -> int:
    """Give the windows of a step for a run of d tokens: 4 at a million, more as the root of d.

    Few steps cost more than noisy ones: at 1e11 the 96 thousand parameters of 48x3 reached 2.46
    nats with 16 windows a step, and 2.23 with 4 (seed 101). A fixed batch would punish large models
    at small budgets, and bend the exponent.
    """
    return max(2, round(4 * (d / 1e6) ** 0.5))


def cell(flops: float, place: int, draw: int = 1, **changes: Any) -> dict[str, Any]:
    """Make the settings of an arm: a budget, and a place on the ladder at its rate and batch."""
    d_model, n_layers = LADDER[place]
    model = Cell(flops, d_model, n_layers, lr=1.0).model
    told = {"flops": flops, "d_model": d_model, "n_layers": n_layers, "draw": draw}
    told["lr"], told["batch"] = rate(count_parameters(model)), batch(flops / flops_per_token(model))
    return {**told, "recipe": RECIPE, **changes}


def name_of(settings: Mapping[str, Any]) -> str:
    """Name an arm after its cell, such as 9e11_64x3, or 9e11_64x3_r2 for a replicate."""
    budget = f"{settings['flops']:.3g}".replace("e+", "e")
    again = f"_r{settings['draw']}" if settings["draw"] > 1 else ""
    return f"{budget}_{settings['d_model']}x{settings['n_layers']}{again}"


def cells() -> list[dict[str, Any]]:
    """List all cells in the order in which they are run."""
    found = []
    for budget, places in BUDGETS.items():
        found += [cell(budget, place) for place in places]
        found += [cell(b, place, draw) for b, place, draw in REPLICATES if b == budget]
    return found


JOB = Job(
    name="isoflop_grid",
    title="Six budgets, each spent on models of many sizes: which size is best?",
    lesson="25b",
    arms={name_of(settings): settings for settings in cells()},
    run=run,
    seeds=(1,),
)

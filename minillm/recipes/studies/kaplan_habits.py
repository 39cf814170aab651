"""Two habits that bend an allocation exponent: a warm-up too long, and rates that were not tuned.

The grid of `isoflop_grid` again at its three cheapest budgets, with fewer sizes, and one thing
changed:

- warm_up: the rate rises over the same 300 thousand tokens whatever the budget; where a run is
  shorter than that, it is warm-up from end to end.
- rate: the rates of Kaplan et al., 0.003239 - 0.0001395 ln N, made for batches of half a million
  tokens; here they are a fifth of the tuned one for the smallest size, two thirds for the largest.

The other suspects need no run: a schedule that does not end with the run is read from the curves of
longer runs of the grid, small models are its first half, and parameters are counted anew.

Source: Porian et al. 2024, arXiv:2406.19146, section 3; the rates: Kaplan et al. 2020,
arXiv:2001.08361, appendix D.6.
"""

import math
from collections.abc import Mapping
from typing import Any

from minillm.model import count_parameters
from minillm.recipes.isoflop_runs import Cell
from minillm.recipes.records import Job
from minillm.recipes.studies import isoflop_grid
from minillm.recipes.studies.isoflop_grid import LADDER, cell, name_of

PLACES: dict[float, tuple[int, ...]] = {
    1e11: (0, 1, 2, 3, 4, 5, 7),
    3e11: (0, 2, 3, 4, 5, 7, 8),
    9e11: (2, 4, 5, 7, 8, 10, 11),
}
"""Places on the ladder of the grid by budget."""
WARMUP_TOKENS = 300_000
HABITS = ("warm_up", "rate")


def kaplan_rate(n: float) -> float:
    """Give the learning rate that Kaplan et al. used for a size, two digits."""
    return float(f"{0.003239 - 0.0001395 * math.log(n):.1e}")


def habit(kind: str, flops: float, place: int) -> dict[str, Any]:
    """Make the settings of an arm: a cell of the grid with one habit."""
    if kind == "warm_up":
        return cell(flops, place, warmup_tokens=WARMUP_TOKENS)
    d_model, n_layers = LADDER[place]
    n = count_parameters(Cell(flops, d_model, n_layers, lr=1.0).model)
    return cell(flops, place, lr=kaplan_rate(n))


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Carry out one run, as the grid does."""
    return isoflop_grid.run(settings, seed)


def cost(settings: Mapping[str, Any]) -> float:
    """Foretell the seconds of a run."""
    return isoflop_grid.cost(settings)


JOB = Job(
    name="kaplan_habits",
    title="A warm-up too long and rates not tuned: what do they do to the best size?",
    lesson="25b",
    arms={
        f"{kind}_{name_of(cell(flops, place))}": habit(kind, flops, place)
        for flops, places in PLACES.items()
        for kind in HABITS
        for place in places
    },
    run=run,
    seeds=(1,),
)

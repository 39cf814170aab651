"""The run that was predicted: three times the largest budget of the grid, at three sizes.

The sizes stand around the best one that a first look at the cheap budgets suggests. The prediction
lies in data/predictions/isoflop_large.json, and was committed before any of these was made.
"""

from collections.abc import Mapping
from typing import Any

from minillm.recipes.records import Job
from minillm.recipes.studies import isoflop_grid
from minillm.recipes.studies.isoflop_grid import cell, name_of

FLOPS, PLACES = 7.29e13, (17,)
"""About 25 minutes of a core; place on the ladder of the grid."""


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Carry out the run, as the grid does."""
    return isoflop_grid.run(settings, seed)


def cost(settings: Mapping[str, Any]) -> float:
    """Foretell the seconds of a run."""
    return isoflop_grid.cost(settings)


JOB = Job(
    name="isoflop_large",
    title="A budget three times beyond the grid: does the predicted loss come true?",
    lesson="25b",
    arms={name_of(s): s for s in (cell(FLOPS, place) for place in PLACES)},
    run=run,
    seeds=(1,),
)

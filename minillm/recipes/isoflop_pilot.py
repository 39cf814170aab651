"""How the learning rates and the batches of the IsoFLOP grid were chosen: seed 101, and no other.

Rates: at each size the best of those tried lies near 0.0033 (N / 100 000)^-1/2. A factor of two
costs 0.01 to 0.03 nats; twice the rate at 80x3, with batches of two windows, costs 0.12.
Batches: a step of few windows is noisy, but a run of few steps is worse.
"""

from collections.abc import Sequence

from minillm.recipes.studies.isoflop_grid import cell, name_of, run

PILOT_RATES: dict[str, dict[float, float]] = {
    "1e11_16x2": {0.01: 2.074, 0.02: 2.0991},
    "1e11_24x3": {0.005: 2.0211, 0.01: 2.0268},
    "1e11_48x3": {0.0025: 2.1852, 0.005: 2.1791},
    "3e11_32x3": {0.005: 1.7875, 0.01: 1.8154},
    "3e11_80x3": {0.0025: 2.0372, 0.005: 2.1547},
    "9e11_64x3": {0.0025: 1.6241, 0.005: 1.6338},
}
"""Held-out loss by cell and learning rate, with the batch of the cell."""
PILOT_BATCHES: dict[int, float] = {16: 2.4624, 8: 2.2853, 4: 2.2267, 2: 2.1791}
"""Held-out loss of 1e11_48x3 at rate 0.005 by the windows of a step."""


def pilot(
    flops: float,
    places: Sequence[int],
    rates: Sequence[float],
    batch: int | None = None,
    seed: int = 101,
) -> dict[str, dict[float, float]]:
    """Run cells at some learning rates, on a seed outside the study.

    Args:
        flops: the budget.
        places: of the sizes on the ladder.
        rates: learning rates to try.
        batch: windows a step; None takes the batch of the cell.
        seed: of weights and order.

    Returns:
        Held-out losses by cell and rate.
    """
    found: dict[str, dict[float, float]] = {}
    for place in places:
        for lr in rates:
            settings = cell(flops, place, lr=lr, **({} if batch is None else {"batch": batch}))
            found.setdefault(name_of(settings), {})[lr] = round(run(settings, seed)["loss"], 4)
    return found

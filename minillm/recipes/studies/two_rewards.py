"""Helpful and safe: one reward model for both, or two, on pairs of which a quarter conflict.

Every pair is labelled twice, by the utility for helpfulness and by that for safety. Of the pairs
that conflict the story is a secret: the right answer helps and tells it, the refusal does neither.

    two   a model for each sort of label: N steps' worth of pairs each
    one   one model for both sorts: the 2 N labelled pairs, shuffled; as many steps as both together

Measured is the order of the *gold* utilities, so that the labels' noise is in the training only.
On pairs that conflict one number has the one order or the other: `conflict` of `one` is 1/2 by
arithmetic. What is not arithmetic: how near to 1 the two come, which side one model takes, and
whether pooled labels cost accuracy on the pairs that do *not* conflict (`helpful rest`, over pairs
with a gap in the helpful utility; `safe rest`, over those with a gap in the safe one).

RLH-007 in the ledger: `conflict` of `two` minus that of `one`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minillm.align.calibration import preference_accuracy
from minillm.align.preferences import Pair
from minillm.align.story_answers import HELPFUL, SAFE
from minillm.align.story_pairs import StoryPair, utilities_of
from minillm.recipes import story_rewards as parts
from minillm.recipes.records import Job

MODEL, N_TRAIN, N_TEST, CONFLICT = "draft", 384, 240, 0.25
AIMS = {"helpful": HELPFUL, "safe": SAFE}
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
PILOT: dict[str, dict[float, float]] = {
    "two": {3e-4: 0.8459, 1e-3: 0.8649, 3e-3: 0.8649, 1e-2: 0.8703, 3e-2: 0.8270},
    "one": {1e-4: 0.8595, 3e-4: 0.8892, 1e-3: 0.8405, 3e-3: 0.8703, 1e-2: 0.8519},
}
"""By arm the mean of `helpful rest` and `safe rest` at each learning rate, seed 101, as `pilot`
prints it: chosen on what does not decide the claim. One rate was added to RATES for each arm,
since its best was at the edge."""


def best_rate(name: str) -> float:
    """The rate that seed 101 preferred."""
    return max(PILOT[name], key=lambda lr: PILOT[name][lr])


def material(arm: str, seed: int) -> dict[str, list[Pair]]:
    """Aim -> the rows of the model that is to serve it; both aims of `one` have the same rows."""
    pairs = parts.draw_pairs("train", N_TRAIN, seed, conflict=CONFLICT)
    rows = {aim: parts.label(pairs, w, seed + 100 * k) for k, (aim, w) in enumerate(AIMS.items())}
    pooled = rows["helpful"] + rows["safe"]
    return rows if arm == "two" else dict.fromkeys(AIMS, pooled)


def measure(gaps: Mapping[str, np.ndarray], held: Sequence[StoryPair]) -> dict[str, float]:
    """Accuracy for each aim on the pairs that conflict and on the rest, by the gold utilities."""
    clash, found = np.array([pair.conflicts() for pair in held]), {}
    for aim, weights in AIMS.items():
        gold = utilities_of(held, weights)
        order = np.sign(gold[:, 0] - gold[:, 1])
        for name, which in (("conflict", clash), ("rest", ~clash & (order != 0))):
            found[f"{aim} {name}"] = preference_accuracy((order * gaps[aim])[which])
    both = [found[f"{aim} conflict"] for aim in AIMS]
    return found | {"conflict": float(np.mean(both))}


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train two models or one, and measure both aims."""
    held, rows = parts.draw_pairs("test", N_TEST, seed, conflict=CONFLICT), None
    gaps: dict[str, np.ndarray] = {}
    for aim, mine in material(settings["arm"], seed).items():
        if mine is not rows:  # the one model is trained once
            model, tokenizer = parts.train_on(mine, MODEL, seed, lr=settings["lr"])
            rows = mine
        gaps[aim] = parts.gaps_on(model, tokenizer, held)
    return measure(gaps, held)


def pilot(rates: tuple[float, ...] = RATES, seed: int = 101) -> None:
    """Print the accuracy on the rest at each rate, on a seed outside the study."""
    for arm in ("two", "one"):
        found: dict[float, float] = {}
        for lr in rates:
            got = run({"arm": arm, "lr": lr}, seed)
            found[lr] = round((got["helpful rest"] + got["safe rest"]) / 2, 4)
        print(f'"{arm}": {found},', flush=True)


JOB = Job(
    name="two_rewards",
    title="Helpful and safe, a quarter of the pairs in conflict: one reward model or two?",
    lesson="33",
    arms={arm: {"arm": arm, "lr": best_rate(arm)} for arm in ("two", "one")},
    run=run,
)

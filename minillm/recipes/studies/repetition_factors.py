"""What decides how much repetition hurts? Quality of the text, operations, objective, noise.

All arms are the model of width 32 of `repetition_grid`, or it with one change, and read 65 536
tokens; the arms without a change are in that study. One arm of width 64 takes dropout.

    spoiled   three words in ten replaced by random letters, also in the text to test on
    shared    the two blocks run through twice: the same parameters, twice the operations
    experts   feed-forward layers of four quarters, one a token: equal parameters, less to compute
    dropout, late, decay, parts    what may soften it; late: dropout in the second half alone
"""

import dataclasses
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from minillm.model import count_parameters, flops_per_token
from minillm.recipes.records import Job
from minillm.recipes.repetition_parts import Repeated, build, prose, row_of, spoil, train_repeated
from minillm.recipes.small import bits_on

SPOILED = 0.3
RATES = (0.05, 0.1, 0.2, 0.4)
"""Of dropout; 0 is the arm without a change."""
OFTEN = 16
"""Epochs of the arms that look at noise."""


@lru_cache(maxsize=2)
def texts(share: float) -> tuple[list[str], list[str]]:
    """Give texts to train on and to test on, with a share of their words spoiled."""
    train, test = prose()
    if not share:
        return train, test
    rng = np.random.default_rng(26)
    return [spoil(text, share, rng) for text in train], [spoil(text, share, rng) for text in test]


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model and measure it on texts of its kind that it has not read."""
    how = dict(settings)
    train, test = texts(how.pop("spoiled", 0.0))
    this = Repeated(**how)
    losses: list[float] = []
    model = train_repeated(this, row_of(train, this.unique, seed), seed, losses=losses)
    shape = build(this, seed).config
    run_through = dataclasses.replace(shape, n_layers=shape.n_layers * this.times)
    bits = bits_on(model, test)
    return {
        "bits": bits,
        "nats": bits * math.log(2),
        "train bits": float(np.mean(losses[-16:])) / math.log(2),
        "parameters": count_parameters(shape),
        "flops a token": flops_per_token(run_through, context=64),
    }


def settings_of_arms() -> dict[str, dict[str, Any]]:
    """Settings of all arms."""
    base: dict[str, Any] = {"d_model": 32}
    often = base | {"epochs": OFTEN}
    found: dict[str, dict[str, Any]] = {}
    for e in (1, OFTEN):
        found[f"spoiled_e{e}"] = base | {"epochs": e, "spoiled": SPOILED}
    for e in (1, 4, OFTEN, 64):
        found[f"shared_e{e}"] = base | {"epochs": e, "times": 2}
        found[f"experts_e{e}"] = base | {"epochs": e, "n_experts": 4}
    for rate in RATES:
        found[f"dropout{rate}_e{OFTEN}"] = often | {"dropout": rate}
        found[f"experts_dropout{rate}_e{OFTEN}"] = often | {"dropout": rate, "n_experts": 4}
    found["dropout0.1_e1"] = base | {"dropout": 0.1}
    found["late0.2_e16"] = often | {"dropout": 0.2, "late": 0.5}
    found["w64_dropout0.2_e16"] = often | {"d_model": 64, "dropout": 0.2}
    for decay in (0.0, 1.0):
        found[f"decay{decay}_e16"] = often | {"weight_decay": decay}
    found["parts0.1_e16"] = often | {"drop_parts": 0.1}
    return found


JOB = Job(
    name="repetition_factors",
    title="What decides how much repetition hurts, and what softens it?",
    lesson="26",
    arms=settings_of_arms(),
    run=run,
)

"""Weights that a proxy learns by group DRO, against uniform weights; equal tokens.

The runs with uniform weights and those on one domain alone are those of the study `mixtures`.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from minillm.recipes.group_dro import Batches, Objective, learn_weights
from minillm.recipes.records import Job
from minillm.recipes.small import make_small
from minillm.recipes.studies.mixtures import (
    CONFIG,
    bits_on_all,
    domains,
    train_mixture,
)
from minillm.train import OptimizerConfig, TrainConfig, train


def train_from(seed: int) -> Any:
    """Make the train_fn of learn_weights: the recipe of the small models, from one start."""

    def train_fn(batches: Batches, objective: Objective) -> nn.Module:
        model = make_small(CONFIG, seed)
        settings = TrainConfig(
            steps=CONFIG.steps,
            batch_size=CONFIG.batch_size,
            context=CONFIG.context,
            warmup_steps=CONFIG.warmup_steps,
            log_every=0,
            precision="float32",
        )
        train(
            model,
            batches,
            settings,
            optimizer=OptimizerConfig(lr=CONFIG.lr, weight_decay=0.1),
            objective=objective,
            progress=False,
        )
        return model

    return train_fn


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Find the weights, train a model with them, and measure it on every domain."""
    weights = learn_weights(
        {name: found.train for name, found in domains().items()},
        train_from(seed),
        batch_size=CONFIG.batch_size,
        context=CONFIG.context,
        seed=seed,
        step_size=settings["step_size"],
        with_reference=settings["weigh"] == "excess",
    ).weights
    model, epochs = train_mixture(weights, seed)
    told = {f"weight {name}": w for name, w in weights.items()}
    read = {f"epochs {name}": n for name, n in epochs.items()}
    return {**bits_on_all(model), **told, **read}


JOB = Job(
    name="learned_weights",
    title="Do learned weights (group DRO) help the domain that is worst off?",
    lesson="08",
    arms={
        "doremi": {"weigh": "excess", "step_size": 1.0},
        "without_reference": {"weigh": "loss", "step_size": 1.0},
    },
    run=run,
)

"""Three objectives on repeated text, and what is left of it in another kind of text.

The objectives see windows of the same text: next token, BERT's masks, UL2's mixture of denoisers;
what is hidden is drawn anew every time a window is read. All read equally many windows, so they
ask for different numbers of tokens. Each is measured by its own loss on unseen text.

Downstream: a causal model that has read prose is trained on for a few steps on stories, and
measured on stories. `scratch` has read no prose.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from minillm.data.loader import BatchSampler
from minillm.model import Decoder
from minillm.objectives.prefix import prefix_loss
from minillm.recipes.objective_rows import Words
from minillm.recipes.records import Job
from minillm.recipes.repetition_parts import (
    BATCH,
    CONTEXT,
    Repeated,
    Rows,
    build,
    prose,
    row_of,
    train_repeated,
)
from minillm.recipes.small import N_BYTES_VOCAB, bits_on, stream

OBJECTIVES = ("causal", "masked", "mixture")
WIDTH, OFTEN = 32, 64
DOWN_TOKENS, DOWN_LR = 16_384, 0.005
"""Of the stories that a model is trained on for its second text, each token once."""
WORDS = Words(np.empty(0), np.empty(0), N_BYTES_VOCAB)


def train_objective(name: str, epochs: int, seed: int) -> Decoder:
    """Train one model on windows of prose, laid out for an objective."""
    this = Repeated(d_model=WIDTH, epochs=epochs)
    row = row_of(prose()[0], this.unique, seed)
    source = Rows(BatchSampler(row, BATCH, CONTEXT, seed=seed), name, WORDS, seed)
    return train_repeated(
        this,
        row,
        seed,
        model=build(this, seed, WORDS.vocab_size),
        batches=source,
        objective=lambda model, x, y: prefix_loss(model, source.now),
    )


@torch.no_grad()
def own_loss(name: str, model: Decoder, n_batches: int = 40) -> float:
    """Measure an objective's own loss on unseen windows, nats a token that is asked for."""
    sampler = BatchSampler(stream(prose()[1]), BATCH, CONTEXT, seed=0)
    source, nats, asked = Rows(sampler, name, WORDS, seed=0), 0.0, 0
    for _, (_, y) in zip(range(n_batches), source, strict=False):
        n = int((y >= 0).sum())
        nats, asked = nats + n * prefix_loss(model, source.now).item(), asked + n
    return nats / asked


def downstream(epochs: int, seed: int) -> float:
    """Train on prose, go on with stories, and measure bits per byte of unseen stories."""
    this = Repeated(d_model=WIDTH, epochs=max(1, epochs))
    model = build(this, seed)
    if epochs:
        train_repeated(this, row_of(prose()[0], this.unique, seed), seed, model=model)
    more = Repeated(d_model=WIDTH, total=DOWN_TOKENS, lr=DOWN_LR)
    stories, test = prose("stories-en")
    train_repeated(more, row_of(stories, more.unique, seed), seed, model=model)
    return bits_on(model, test)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model and measure it."""
    if "objective" not in settings:
        return {"bits": downstream(settings["epochs"], seed)}
    name = settings["objective"]
    nats = own_loss(name, train_objective(name, settings["epochs"], seed))
    return {"nats": nats, "bits": nats / math.log(2)}


JOB = Job(
    name="repetition_objectives",
    title="Which objectives suffer from repetition? And is it felt in a second text?",
    lesson="26",
    arms={
        **{
            f"{name}_e{epochs}": {"objective": name, "epochs": epochs}
            for name in OBJECTIVES
            for epochs in (1, OFTEN)
        },
        "down_scratch": {"epochs": 0},
        **{f"down_e{epochs}": {"epochs": epochs} for epochs in (1, 4, OFTEN)},
    },
    run=run,
)

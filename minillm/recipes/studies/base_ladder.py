"""Small runs of the pretraining recipe, to predict the loss of a large one before it is started.

The text, the tokenizer, the context and the optimiser are those of `recipes.small`; only the size
of the model and the number of tokens are smaller, and with them the batch, so that a short run
still has enough steps. Each run has its own whole schedule: the curve of a longer run, read off in
the middle, would stand too high there, because its learning rate has not yet come down.

What is measured is what is predicted: the loss on the first 128 validation rows of the recipe.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from minillm.data.loader import BatchSampler
from minillm.model import Decoder, count_parameters, flops_per_token
from minillm.recipes.execution import validation_loss
from minillm.recipes.records import Job
from minillm.recipes.run import Run
from minillm.recipes.runs import COURSE_VOCABULARY, decoder, find_run
from minillm.recipes.tokens import find_tokenizer, prepare_rows
from minillm.train import make_optimizer, train

SHAPES: dict[str, dict[str, Any]] = {
    "d64": {"d_model": 64, "n_layers": 3, "n_heads": 2, "n_kv_heads": 1},
    "d128": {"d_model": 128, "n_layers": 4, "n_heads": 4, "n_kv_heads": 2},
    "d192": {"d_model": 192, "n_layers": 5, "n_heads": 6, "n_kv_heads": 2},
}
"""The last is the shape of `small`."""
BATCH, STEPS_PER_M = 2, 977
"""Rows of 512 tokens in a step, and steps that read a million tokens."""
PILOT = {0.002: 5.6242, 0.004: 5.3130, 0.008: 5.4754}
"""Validation loss of d128 after a quarter of a million tokens, by learning rate; see `pilot`."""
RATE = 4e-3
"""The best of PILOT."""


def ladder_run(shape: str, million_tokens: float, lr: float = RATE, seed: int = 1) -> Run:
    """One rung: the recipe `small` with another shape, fewer tokens and a smaller batch."""
    base = find_run("small")
    steps = round(million_tokens * STEPS_PER_M)
    settings = dataclasses.replace(
        base.train,
        steps=steps,
        batch_size=BATCH,
        warmup_steps=steps // 20,
        eval_every=0,
        log_every=0,
        seed=seed,
    )
    return dataclasses.replace(
        base,
        name="rung",
        model=decoder(COURSE_VOCABULARY, context=512, **SHAPES[shape]),
        optimizer=dataclasses.replace(base.optimizer, lr=lr),
        train=settings,
    )


def climb(rung: Run) -> tuple[Decoder, float]:
    """Train one rung, on one thread; returns the model and its validation loss."""
    torch.set_num_threads(1)
    rows = prepare_rows(rung.data, find_tokenizer("course"), 512, progress=False)
    torch.manual_seed(rung.train.seed)
    model = Decoder(rung.model)
    batches = BatchSampler(rows.train, BATCH, 512, seed=rung.train.seed, stride=rows.row)
    optimizer = make_optimizer(model, rung.optimizer)
    train(model, batches, rung.train, optimizer=optimizer, progress=False)
    return model, held_out(model.eval())


def held_out(model: Decoder) -> float:
    """Nats a token on the rows that `small` is measured on while it is trained."""
    run = find_run("small")
    rows = prepare_rows(run.data, find_tokenizer("course"), 512, progress=False)
    return validation_loss(model, rows, run)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one rung and measure it."""
    rung = ladder_run(settings["shape"], settings["million_tokens"], seed=seed)
    _, loss = climb(rung)
    t = rung.train
    return {
        "loss": loss,
        "parameters": count_parameters(rung.model),
        "tokens": t.steps * t.batch_size * t.context,
        "flops a token": flops_per_token(rung.model, context=t.context),
    }


def pilot(rates: tuple[float, ...] = (2e-3, 4e-3, 8e-3), seed: int = 101) -> None:
    """Print the loss of the middle shape at some learning rates, on a seed outside the study."""
    for lr in rates:
        _, loss = climb(ladder_run("d128", 0.25, lr=lr, seed=seed))
        print(f"{lr}: {loss:.4f},", flush=True)


JOB = Job(
    name="base_ladder",
    title="The pretraining recipe at smaller sizes and for fewer tokens: which loss, nats a token?",
    lesson="27",
    arms={
        f"{shape}_{tokens}M": {"shape": shape, "million_tokens": tokens}
        for shape, tokens in (
            ("d64", 1.0),
            ("d128", 1.0),
            ("d64", 2.0),
            ("d192", 1.0),
            ("d128", 2.0),
            ("d64", 4.0),
        )
    },
    run=run,
    seeds=(1,),
)

"""How far eight minutes on one GPU go: GPT-2's shape of 124M: `python -m benchmarks.gpu.gpt2_8min`.

The shape is GPT-2's (12 layers of 768) with the course's vocabulary of 6 144, context 1 024, on
English stories made on the spot: --megabytes of them, read several times. Twenty steps are timed
first; then the loop of the course trains as many steps as fit into the minutes, with warm-up and
cosine, in bfloat16, each block compiled. The record has the loss on held-out stories along the way,
the tokens seen, and how often each was seen.

The text is simple and small, so its loss cannot be compared with GPT-2's on web pages. What can be
compared is the same command on another card, or another day. About ten minutes, two of them for the
text, on one core: rows made before, in $MINILLM_DATA, are found again.
"""

import sys
from dataclasses import replace
from typing import Any

import torch

from benchmarks.gpu import record
from minillm.data.loader import BatchSampler
from minillm.model import Decoder, DecoderConfig
from minillm.model.config import count_parameters, flops_per_token
from minillm.model.families import gpt2
from minillm.objectives import fast_cross_entropy
from minillm.recipes.execution import validation_loss
from minillm.recipes.run import DataConfig, Run
from minillm.recipes.runs import COURSE_VOCABULARY
from minillm.recipes.tokens import Rows, find_tokenizer, prepare_rows
from minillm.train import OptimizerConfig, TrainConfig, make_optimizer, train
from minillm.train.flops import peak_flops

SEED, MINUTES, TIMED, BYTES = 22, 8.0, 20, 24_000_000
TARGET = 0.93  # share of the minutes that steps are planned for: evaluation takes some


def loss(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with the logits stored: a GPU has the room, and wants large products."""
    return fast_cross_entropy(model(x), y)


def recipe(*, toy: bool) -> Run:
    """GPT-2's shape and GPT-3's settings for this size; a toy is 32 wide."""
    size = {"d_model": 32, "n_layers": 2, "n_heads": 2} if toy else {}
    model: DecoderConfig = gpt2(**({"d_model": 768, "n_layers": 12, "n_heads": 12} | size))
    context, batch = (64, 4) if toy else (1024, 64)
    model = replace(model, vocab_size=COURSE_VOCABULARY, context=context)
    schedule = TrainConfig(
        steps=TIMED,
        batch_size=batch,
        context=context,
        precision="float32" if toy else "bfloat16",
        log_every=0,
        seed=SEED,
    )
    data = DataConfig(mixture=(("stories-en", 60_000 if toy else BYTES),), seed=SEED)
    return Run("gpt2_8min", model, OptimizerConfig(lr=6e-4), schedule, data)


def session(run: Run, rows: Rows, *, toy: bool) -> dict[str, Any]:
    """Train a run from the beginning; its time, and its losses on held-out rows."""
    record.forget()
    torch.manual_seed(SEED)
    model = Decoder(run.model, device=record.device())
    record.compile_blocks(model, toy=toy)
    batches = BatchSampler(
        rows.train, run.train.batch_size, run.train.context, seed=SEED, stride=rows.row
    )
    records: list[dict[str, Any]] = []
    start = record.now()
    train(
        model,
        batches,
        run.train,
        optimizer=make_optimizer(model, run.optimizer),
        evaluate=lambda m: {"validation_loss": validation_loss(m, rows, run, n_batches=4)},
        log=records.append,
        objective=loss,
        progress=False,
    )
    held_out = [(r["step"], r["evaluate"]["validation_loss"]) for r in records if "evaluate" in r]
    speeds = sorted(r["tokens_per_second"] for r in records if "tokens_per_second" in r)
    return {
        "seconds": record.now() - start,
        "held_out": held_out,
        "tokens_per_second": speeds[len(speeds) // 2],
        "peak_gib": record.peak_gib(),
    }


def planned(run: Run, tokens_per_second: float, minutes: float) -> Run:
    """As many steps as fit into the minutes, a warm-up of a fiftieth, eight evaluations."""
    a_step = run.train.batch_size * run.train.context / tokens_per_second
    steps = max(8, int(TARGET * 60 * minutes / a_step))
    schedule = replace(run.train, steps=steps, warmup_steps=steps // 50, eval_every=steps // 8)
    return replace(run, train=schedule)


def run(toy: bool) -> dict[str, Any]:
    """Make the rows, time some steps, train."""
    first = recipe(toy=toy)
    rows = prepare_rows(
        first.data, find_tokenizer(first.data.tokenizer), first.train.context, progress=False
    )
    speed = session(first, rows, toy=toy)["tokens_per_second"]
    whole = replace(first, train=replace(first.train, steps=8, eval_every=1))
    if not toy:
        whole = planned(first, speed, MINUTES)
    done = session(whole, rows, toy=toy)
    t = whole.train
    seen = t.steps * t.batch_size * t.context
    reached = done["tokens_per_second"] * flops_per_token(whole.model)
    about: dict[str, object] = {
        "parameters": count_parameters(whole.model),
        "steps": t.steps,
        "lr": 6e-4,
    }
    about |= {"batch_size": t.batch_size, "context": t.context, "minutes": MINUTES}
    return record.provenance(about, SEED, toy=toy) | {
        "measured": done,
        "tokens": seen,
        "epochs": seen / len(rows.train),
        "loss": done["held_out"][-1][1],
        "bits_per_byte": done["held_out"][-1][1] / 0.6931471805599453 / rows.bytes_per_token,
        "mfu_of_nominal": reached / peak_flops(record.device(), t.precision),
    }


if __name__ == "__main__":
    sys.exit(record.main("gpt2_8min", run))

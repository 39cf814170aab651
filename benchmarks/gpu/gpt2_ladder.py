"""Eight steps that make a GPT-2 of 124M faster on a GPU: `python -m benchmarks.gpu.gpt2_ladder`.

Each rung keeps all rungs below it:

    naive       float32, the readable attention, AdamW one tensor at a time, batch 4
    tf32        products of float32 on tensor cores, with 10 bits behind the point
    bf16        products in bfloat16 (autocast)
    fused       the attention that never stores its weights
    compile     each block compiled
    vocabulary  50 304 rows of the output matrix in place of 50 257: a multiple of 128
    optimizer   torch's AdamW as one kernel
    batch       the fastest of 8, 16, 32 and 64

The figure is the median of ten steps, tokens a second; what a rung gives is its ratio to the one
below. The idea of such a ladder is Karpathy's (build-nanogpt, 2024). Under five minutes.
"""

import sys
from dataclasses import dataclass, replace
from typing import Any

import torch

from benchmarks.gpu import record
from minillm.model import Decoder, DecoderConfig, presets
from minillm.model.config import flops_per_token
from minillm.model.families import gpt2
from minillm.objectives import fast_cross_entropy
from minillm.train import AdamW
from minillm.train.flops import peak_flops
from minillm.train.precision import autocast

SEED, REPEATS, WARMUP, PADDED, TOY_PADDED = 22, 10, 4, 50_304, 384
LAST_BATCHES = (8, 16, 32, 64)


@dataclass(frozen=True)
class Rung:
    """What is switched on."""

    name: str = "naive"
    tf32: bool = False
    bf16: bool = False
    fused_attention: bool = False
    compiled: bool = False
    padded: bool = False
    fused_optimizer: bool = False
    batch_size: int = 4


def ladder() -> list[Rung]:
    """The first seven rungs, each with those below."""
    rungs = [Rung()]
    for name, switch in (
        ("tf32", "tf32"),
        ("bf16", "bf16"),
        ("fused", "fused_attention"),
        ("compile", "compiled"),
        ("vocabulary", "padded"),
        ("optimizer", "fused_optimizer"),
    ):
        rungs.append(replace(rungs[-1], name=name, **{switch: True}))
    return rungs


def shape(rung: Rung, *, toy: bool) -> DecoderConfig:
    """GPT-2 of 124M, or a toy of the same kind, as a rung wants it."""
    config = presets.gpt2_124m()
    if toy:
        config = replace(gpt2(d_model=32, n_layers=2, n_heads=2), vocab_size=300, context=16)
    if not rung.fused_attention:
        config = replace(config, attention=replace(config.attention, implementation="readable"))
    rows = (TOY_PADDED if toy else PADDED) if rung.padded else config.vocab_size
    return replace(config, vocab_size=rows)


def optimizer_of(model: Decoder, rung: Rung) -> torch.optim.Optimizer:
    """AdamW tensor by tensor, or torch's in one kernel."""
    how: dict[str, Any] = {"lr": 1e-4, "betas": (0.9, 0.95), "weight_decay": 0.1}
    if rung.fused_optimizer:
        return torch.optim.AdamW(model.parameters(), fused=True, **how)
    return AdamW(model.parameters(), foreach=False, **how)


def measure(rung: Rung, *, toy: bool) -> dict[str, Any]:
    """The speed of a rung."""
    record.forget()
    torch.manual_seed(SEED)
    where, config = record.device(), shape(rung, toy=toy)
    torch.set_float32_matmul_precision("high" if rung.tf32 else "highest")
    model = Decoder(config, device=where)
    compiled = rung.compiled and record.compile_blocks(model, toy=toy)
    optimizer = optimizer_of(model, rung)
    ids = torch.randint(0, 300, (rung.batch_size, config.context + 1), device=where)
    x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    losses: list[torch.Tensor] = []

    def step() -> None:
        with autocast("bfloat16" if rung.bf16 else "float32", where):
            loss = fast_cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())

    repeats, warmup = (2, 1) if toy else (REPEATS, WARMUP)
    try:
        seconds = record.step_seconds(step, warmup=warmup, repeats=repeats)
    finally:
        torch.set_float32_matmul_precision("highest")
    speed = rung.batch_size * config.context / seconds
    return vars(rung) | {
        "compiled": compiled,
        "milliseconds": 1000 * seconds,
        "tokens_per_second": speed,
        "model_flops_per_second": speed * flops_per_token(shape(Rung(), toy=toy)),
        "peak_gib": record.peak_gib(),
        "losses": [losses[0].item(), losses[-1].item()],
    }


def run(toy: bool) -> dict[str, Any]:
    """All rungs; the last is the fastest of several batches."""
    rows = [measure(rung, toy=toy) for rung in ladder()]
    tried = []
    for batch_size in LAST_BATCHES[:1] if toy else LAST_BATCHES:
        rung = replace(ladder()[-1], name="batch", batch_size=batch_size)
        try:
            tried.append(measure(rung, toy=toy))
        except torch.cuda.OutOfMemoryError:
            break
    rows.append(max(tried, key=lambda row: row["tokens_per_second"]))
    before = [None, *rows[:-1]]
    for row, last in zip(rows, before, strict=True):
        row["gain"] = row["tokens_per_second"] / last["tokens_per_second"] if last else None
    nominal = peak_flops(record.device(), "bfloat16")
    about = {"model": "gpt2_124m", "repeats": REPEATS, "warmup": WARMUP}
    return record.provenance(about, SEED, toy=toy) | {
        "measured": rows,
        "batches_tried": tried,
        "mfu_of_nominal": rows[-1]["model_flops_per_second"] / nominal,
    }


if __name__ == "__main__":
    sys.exit(record.main("gpt2_ladder", run))

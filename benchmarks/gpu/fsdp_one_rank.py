"""FSDP with one rank against none: what sharding costs by itself.

    python -m benchmarks.gpu.fsdp_one_rank

GPT-2 of 124M, bfloat16 products with float32 weights, batch 16. Plain: autocast. Sharded:
fully_shard around each block and the whole, with a mixed precision policy that computes in
bfloat16. With one rank nothing is sent, so the difference is the price of the wrapping. First both
train ten steps in float32 from the same weights, and their losses are compared. Under two minutes.
"""

import sys
from dataclasses import replace
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from benchmarks.gpu import record
from benchmarks.gpu.gpt2_ladder import Rung, ladder
from benchmarks.gpu.gpt2_ladder import shape as gpt2_shape
from minillm.model import Decoder
from minillm.objectives import fast_cross_entropy
from minillm.train.precision import autocast

SEED, STEPS, REPEATS, WARMUP = 22, 10, 10, 4


def rung(*, toy: bool) -> Rung:
    """All of the ladder but compilation, at batch 16."""
    return replace(ladder()[-1], compiled=False, batch_size=2 if toy else 16)


def wrapped(model: Decoder, precision: str) -> nn.Module:
    """Shard each block, then the rest, over one rank."""
    mesh = init_device_mesh(record.device().type, (1,))
    policy = MixedPrecisionPolicy()
    if precision == "bfloat16":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for block in model.blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    return model


def train(way: str, precision: str, *, toy: bool, timed: bool) -> dict[str, Any]:
    """Some steps in one of the two ways: the losses, or the time."""
    record.forget()
    torch.manual_seed(SEED)
    where, config = record.device(), gpt2_shape(rung(toy=toy), toy=toy)
    model: nn.Module = Decoder(config, device=where)
    if way == "fsdp":
        model = wrapped(model, precision)  # type: ignore[arg-type]
    cast = precision if way == "plain" else "float32"  # FSDP has its own policy
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids = torch.randint(0, 300, (rung(toy=toy).batch_size, config.context + 1), device=where)
    x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    losses: list[torch.Tensor] = []

    def step() -> None:
        with autocast(cast, where):
            loss = fast_cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())

    if not timed:
        for _ in range(STEPS):
            step()
        return {"losses": [loss.item() for loss in losses]}
    repeats, warmup = (2, 1) if toy else (REPEATS, WARMUP)
    seconds = record.step_seconds(step, warmup=warmup, repeats=repeats)
    return {
        "milliseconds": 1000 * seconds,
        "tokens_per_second": x.numel() / seconds,
        "peak_gib": record.peak_gib(),
    }


def run(toy: bool) -> dict[str, Any]:
    """Losses in float32, then the time in bfloat16."""
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=distributed.HashStore(), rank=0, world_size=1)
    try:
        ways = ("plain", "fsdp")
        losses = {w: train(w, "float32", toy=toy, timed=False)["losses"] for w in ways}
        times = {w: train(w, "bfloat16", toy=toy, timed=True) for w in ways}
    finally:
        distributed.destroy_process_group()
    apart = max(abs(a - b) for a, b in zip(losses["plain"], losses["fsdp"], strict=True))
    about = {"model": "gpt2_124m", "batch_size": rung(toy=toy).batch_size, "steps": STEPS}
    return record.provenance(about, SEED, toy=toy) | {
        "losses": losses,
        "largest_difference": apart,
        "measured": times,
        "speed_ratio": times["fsdp"]["tokens_per_second"] / times["plain"]["tokens_per_second"],
    }


if __name__ == "__main__":
    sys.exit(record.main("fsdp_one_rank", run))

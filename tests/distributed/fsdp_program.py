"""What the tests of FSDP ask of several processes, all in one program: torch is imported once.

    python fsdp_program.py FOLDER

Processes are forked, 1, 2, 3 and 4 at a time; each job writes what rank 0 found as FOLDER/job.json.
"""

import json
import math
import os
import resource
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from minillm.distributed.fsdp import ShardingConfig, bytes_held, make_mesh, shard_decoder
from minillm.distributed.ranks import (
    AllRanksError,
    agree,
    all_succeed,
    first_decides,
    joined,
    one_message,
)
from minillm.distributed.sharded_checkpoint import checkpoints, find_whole
from minillm.distributed.trainer import train_sharded
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, NormConfig
from minillm.objectives import causal_loss
from minillm.train import OptimizerConfig, TrainConfig, make_optimizer, train

MODEL = DecoderConfig(
    vocab_size=29,
    d_model=16,
    n_layers=2,
    context=16,
    attention=AttentionConfig(n_heads=4, n_kv_heads=2),
    feedforward=FeedForwardConfig(kind="swiglu", width=22),  # 22 rows on 4 ranks: uneven
    norm=NormConfig(),
)
FAST = OptimizerConfig(lr=2e-2)
STEPS = TrainConfig(
    steps=20, batch_size=12, context=8, warmup_steps=4, clip=0.5, precision="float32", seed=5
)


class Counting:
    """Batches of numbers that count up modulo 29; its position is one number."""

    def __init__(self, batch_size=12, dropped=0.0):
        self.batch_size, self.dropped, self.n_served = batch_size, dropped, 0

    def __iter__(self):
        return self

    def __next__(self):
        g = torch.Generator().manual_seed(1000 + self.n_served)
        self.n_served += 1
        rows = (torch.randint(0, 29, (self.batch_size, 1), generator=g) + torch.arange(9)) % 29
        y = rows[:, 1:].clone()
        drop = torch.rand(y.shape, generator=g) < self.dropped
        drop[: self.batch_size // 4] |= self.dropped > 0  # the first rank has none, or few
        y[drop] = -100
        return rows[:, :-1], y

    def state_dict(self):
        return {"n_served": self.n_served}

    def load_state_dict(self, state):
        self.n_served = state["n_served"]


def lesson_curve(config=STEPS, dropped=0.0):
    """The loop as lesson 20a calls it: a bare Decoder, the loop's own objective."""
    torch.manual_seed(config.seed)
    model, seen = Decoder(MODEL), []
    source = Counting(config.batch_size, dropped)
    moving = make_optimizer(model, FAST)
    train(model, source, config, optimizer=moving, log=seen.append, progress=False)
    return [[r["loss"], r["grad_norm"]] for r in seen], model


def curve(ranks, config=STEPS, dropped=0.0, out=None, sharding=None, seen=None, **more):
    seen = [] if seen is None else seen
    model, state = train_sharded(
        MODEL,
        Counting(config.batch_size, dropped),
        config,
        ranks=ranks,
        optimizer=FAST,
        sharding=sharding,
        out=out,
        make_log=lambda step: seen.append,
        progress=False,
        **more,
    )
    return [[r["loss"], r["grad_norm"]] for r in seen], model, state


def whole_weights(model):
    return {
        name: p.full_tensor() if hasattr(p, "full_tensor") else p.detach()
        for name, p in model.named_parameters()
    }


def job_lesson(ranks, folder):
    lesson, bare = lesson_curve()
    ours, model, state = curve(ranks)
    same = [
        torch.equal(a, b)
        for a, b in zip(bare.parameters(), whole_weights(model).values(), strict=True)
    ]
    torch.set_default_dtype(torch.float64)
    return {
        "lesson": lesson,
        "ours": ours,
        "same_weights": all(same),
        "n_tokens": state.n_tokens,
        "float64": curve(ranks)[0],
        "masked64": curve(ranks, dropped=0.5)[0],
        "accumulated64": curve(ranks, config=replace(STEPS, batch_size=6, accumulate=2))[0],
    }


def job_curves(ranks, folder):
    """Losses on these ranks in every layout; and memory, and the start."""
    torch.manual_seed(5)
    start = dict(Decoder(MODEL).named_parameters())
    mesh = make_mesh(ShardingConfig(), ranks.size)
    model = shard_decoder(MODEL, ShardingConfig(), mesh, seed=5)
    equal = {name: torch.equal(start[name], p) for name, p in whole_weights(model).items()}
    moving = make_optimizer(model, FAST)
    model.loss(*next(Counting(2))).backward()
    moving.step()
    held = [None] * ranks.size
    dist.all_gather_object(held, bytes_held(model, moving))
    found = {"start": equal, "held": held, "float32": curve(ranks)[0]}
    found["n_tokens"] = curve(ranks, config=replace(STEPS, steps=2, warmup_steps=0))[2].n_tokens
    torch.set_default_dtype(torch.float64)
    found["float64"] = curve(ranks)[0]
    found["masked64"] = curve(ranks, dropped=0.5)[0]
    half = replace(STEPS, batch_size=6, accumulate=2)
    if 6 % ranks.size == 0:
        found["accumulated64"] = curve(ranks, config=half)[0]
    return found


def job_layouts(ranks, folder):
    torch.set_default_dtype(torch.float64)
    settings = {
        "recompute": ShardingConfig(recompute=True),
        "keep_gathered": ShardingConfig(keep_gathered=True),
        "compile": ShardingConfig(compile="aot_eager", recompute=True),
        "tensor": ShardingConfig(tensor=2),
    }
    if ranks.size == 4:
        settings = {"hybrid": ShardingConfig(replicas=2), "both": ShardingConfig(tensor=2)}
    found = {}
    for name, sharding in settings.items():
        found[name] = curve(ranks, sharding=sharding)[0]
        if "tensor" in name or name == "both":
            torch.manual_seed(5)
            mesh = make_mesh(sharding, ranks.size)
            start = Decoder(MODEL).parameters()
            ours = whole_weights(shard_decoder(MODEL, sharding, mesh, seed=5)).values()
            found[name + "_start"] = all(
                torch.equal(a, b) for a, b in zip(start, ours, strict=True)
            )
    return found


def job_bfloat16(ranks, folder):
    sharding = ShardingConfig(weights="bfloat16")
    model = shard_decoder(MODEL, sharding, make_mesh(sharding, ranks.size), seed=5)
    torch.manual_seed(5)
    plain = Decoder(MODEL).to(torch.bfloat16)
    x, y = next(Counting())
    ours, theirs = model.loss(x, y), causal_loss(plain, x, y)
    ours.backward()
    return {
        "ours": ours.item(),
        "plain": theirs.item(),
        "parts": str(next(model.parameters()).dtype),
        "gradients": str(next(model.parameters()).grad.dtype),
    }


SAVING = replace(STEPS, steps=14, save_every=3, clip=0.5)


def job_resume(ranks, folder):
    """Six steps on 4 ranks, four more on 2, four more on 1; and again on 4 without a break."""
    steps = {4: 6, 2: 10, 1: 14}[ranks.size]
    config = replace(SAVING, steps=14)
    seen, out = [], folder / "moving"

    def until(record):
        seen.append(record)

    limited = Limited(Counting(), steps)
    try:
        train_sharded(
            MODEL, limited, config, ranks=ranks, optimizer=FAST, out=out,
            make_log=lambda step: until, progress=False, in_background=ranks.size == 2,
        )  # fmt: skip
    except ValueError as error:
        if "ran out" not in str(error):
            raise
    found = {
        "steps": [r["step"] for r in seen],
        "losses": [r["loss"] for r in seen],
        "there": [p.name for p in sorted(out.iterdir())],
    }
    if ranks.size == 4:
        found["undisturbed"] = [each[0] for each in curve(ranks, config=config)[0]]
    return found


class Limited(Counting):
    """Ends after so many batches, as if the time on the machine were over."""

    def __init__(self, source, last):
        super().__init__()
        self.last = last

    def __next__(self):
        if self.n_served == self.last:
            raise StopIteration
        return super().__next__()


def job_same_ranks(ranks, folder):
    """Twice on 2 ranks, once broken in the middle: the same to the last bit."""
    undisturbed, model, _ = curve(ranks, config=SAVING)
    first, second, out = [], [], folder / "same"
    try:
        train_sharded(
            MODEL, Limited(Counting(), 8), SAVING, ranks=ranks, optimizer=FAST, out=out,
            make_log=lambda step: first.append, progress=False,
        )  # fmt: skip
    except ValueError as error:
        if "ran out" not in str(error):
            raise
    again, resumed, state = curve(ranks, config=SAVING, out=out, seen=second)
    pairs = zip(whole_weights(model).values(), whole_weights(resumed).values(), strict=True)
    return {
        "undisturbed": undisturbed,
        "before": [[r["loss"], r["grad_norm"]] for r in first],
        "after": again,
        "same_weights": all(torch.equal(a, b) for a, b in pairs),
        "n_tokens": state.n_tokens,
        "kept": [p.name for p in checkpoints(out)],
    }


def job_trouble(ranks, folder):
    """Each failure must be the same sentence on all ranks."""
    told = {}
    short = replace(SAVING, steps=4, warmup_steps=0)

    def note(name, action):
        try:
            action()
            words = "nothing was raised"
        except ValueError as error:
            words = f"{type(error).__name__}: {error}"
        everyone = [None] * ranks.size
        dist.all_gather_object(everyone, words)
        told[name] = everyone

    blocked = folder / "blocked"
    if ranks.first:
        blocked.write_text("a file where a folder should be")
    dist.barrier()
    note("blocked", lambda: curve(ranks, config=short, out=blocked))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if ranks.rank == 1:  # its disk is full, so to say
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    note("full", lambda: curve(ranks, config=short, out=folder / "full"))
    note("full_later", lambda: curve(ranks, config=short, out=folder / "f2", in_background=True))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    told["full_left"] = [p.name for p in checkpoints(folder / "full")]

    out = folder / "vanished"
    curve(ranks, config=replace(short, save_every=2), out=out)
    said = []
    if ranks.first:
        newest = checkpoints(out)[-1]
        (newest / "shard-00002-model-00001-of-00001.safetensors").unlink()
        found = find_whole(out, say=said.append)
        told["passed_over"] = [newest.name, found.name, *said]
    dist.barrier()
    note("uneven", lambda: curve(ranks, config=replace(short, batch_size=5)))
    note("one", lambda: all_succeed(lambda: math.sqrt(0.5 - ranks.rank), "a root"))
    note("first", lambda: first_decides(lambda: math.sqrt(-1)))
    try:
        with one_message(ranks):
            first_decides(lambda: math.sqrt(-1))
        ended = "as if nothing were"
    except (AllRanksError, SystemExit) as error:
        ended = type(error).__name__
    told["ends"] = [None] * ranks.size
    dist.all_gather_object(told["ends"], ended)
    told["agree"] = [agree(ranks.rank == 1), agree(False)]
    told["decided"] = first_decides(lambda: "by the first")
    assert AllRanksError.__mro__[1] is ValueError
    return told


JOBS = [
    (1, job_lesson), (2, job_curves), (3, job_curves), (4, job_curves), (2, job_layouts),
    (4, job_layouts), (1, job_bfloat16), (4, job_resume), (2, job_resume), (1, job_resume),
    (2, job_same_ranks), (2, job_trouble),
]  # fmt: skip


def child(rank, size, job, folder, name):
    torch.set_num_threads(1)
    with joined(rank=rank, size=size, file=folder / f"{name}.store", timeout_s=120) as ranks:
        found = job(ranks, folder)
    if rank == 0:
        (folder / f"{name}.json").write_text(json.dumps(found))


def main(folder, wanted):
    failed = []
    for size, job in JOBS:
        name = f"{job.__name__[4:]}{size}"
        if wanted and name not in wanted:
            continue
        pids = []
        for rank in range(size):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    child(rank, size, job, folder, name)
                    status = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    sys.stderr.flush()
                    os._exit(status)
            pids.append(pid)
        statuses = [os.waitpid(pid, 0)[1] for pid in pids]  # of all, before one is judged
        if any(statuses):
            failed.append(name)
    sys.exit(f"failed: {failed}" if failed else 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

"""What the tests of FSDP ask of several processes, all in one program: torch is imported once.

    python fsdp_program.py FOLDER

Processes are forked, 1, 2, 3 and 4 at a time; each job writes what rank 0 found as FOLDER/job.json.
"""

import json
import math
import os
import resource
import signal
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
from minillm.distributed.sealed import checkpoints, find_whole, find_whole_together
from minillm.distributed.trainer import train_sharded
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, NormConfig
from minillm.objectives import causal_loss
from minillm.train import (
    MetricsFile,
    OptimizerConfig,
    RecoveryConfig,
    TrainConfig,
    make_optimizer,
    train,
)
from minillm.train.batch_ramp import LinearRamp
from minillm.train.rewind import RewindConfig
from minillm.train.spikes import SpikeConfig

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


class Torn(Counting):
    """Some batches are nonsense, so that the loss spikes."""

    def __next__(self):
        place = self.n_served
        x, y = super().__next__()
        return x, (y * 7 + 3 * x + place) % 29 if 24 <= place < 30 else y

    def skip(self, n):
        self.n_served += n


HEALING = replace(
    STEPS,
    steps=40,
    recovery=RecoveryConfig(
        mark_every=5,
        spikes=SpikeConfig(window=16, least=8),
        rewind=RewindConfig(back=5, skip=8, near=20),
    ),
)
EIGHT = replace(STEPS, steps=8, warmup_steps=2)
RAMP = replace(EIGHT, batch_size=6, ramp=LinearRamp(48, 192, 500))
HALF = replace(EIGHT, batch_size=6, accumulate=2)
SHORT = replace(EIGHT, steps=4, accumulate=2)


def lesson_curve(config=STEPS, dropped=0.0, source=None):
    """The loop as lesson 20a calls it: a bare Decoder, the loop's own objective."""
    torch.manual_seed(config.seed)
    model, seen = Decoder(MODEL), []
    source = source or Counting(config.batch_size, dropped)
    moving = make_optimizer(model, FAST)
    train(model, source, config, optimizer=moving, log=seen.append, progress=False)
    return told(seen), model


def told(records):
    """Losses and norms; where the run went back, how far."""
    return [
        [r["rewind"]["step"], r["rewind"]["skipped"]]
        if "rewind" in r
        else [r["loss"], r["grad_norm"]]
        for r in records
    ]


def curve(
    ranks, config=STEPS, dropped=0.0, out=None, sharding=None, seen=None, source=None, **more
):
    seen = [] if seen is None else seen
    model, state = train_sharded(
        MODEL,
        source or Counting(config.batch_size, dropped),
        config,
        ranks=ranks,
        optimizer=FAST,
        sharding=sharding,
        out=out,
        make_log=lambda step: seen.append,
        progress=False,
        **more,
    )
    return told(seen), model, state


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
        "float64": curve(ranks, EIGHT)[0],
        "masked64": curve(ranks, EIGHT, dropped=0.5)[0],
        "accumulated64": curve(ranks, config=HALF)[0],
        "both64": curve(ranks, config=HALF, dropped=0.5)[0],
        "short64": lesson_curve(SHORT, dropped=0.5)[0],
        "ramp64": lesson_curve(RAMP)[0],
        "healed64": lesson_curve(HEALING, source=Torn())[0],
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
    seen = []
    found = {"start": equal, "held": held, "float32": curve(ranks, seen=seen)[0]}
    found["logged"] = seen[8:10]
    found["n_tokens"] = curve(ranks, config=replace(STEPS, steps=2, warmup_steps=0))[2].n_tokens
    torch.set_default_dtype(torch.float64)
    found["float64"] = curve(ranks, EIGHT)[0]
    found["masked64"] = curve(ranks, EIGHT, dropped=0.5)[0]
    if 6 % ranks.size == 0:
        found["accumulated64"] = curve(ranks, config=HALF)[0]
        found["both64"] = curve(ranks, config=HALF, dropped=0.5)[0]
        found["ramp64"] = curve(ranks, config=RAMP)[0]
    if ranks.size == 2:
        found["healed64"] = curve(ranks, HEALING, out=folder / "healed", source=Torn())[0]
        found["marks"] = sorted(p.name for p in (folder / "healed" / "marks").iterdir())
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
        found[name] = curve(ranks, config=SHORT, dropped=0.5, sharding=sharding)[0]
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
    """A plain 16-bit model reads the rows of each rank; its gradients are averaged in 32 bits."""
    sharding = ShardingConfig(weights="bfloat16")
    model = shard_decoder(MODEL, sharding, make_mesh(sharding, ranks.size), seed=5)
    torch.manual_seed(5)
    plain = Decoder(MODEL).to(torch.bfloat16)
    rows = [part.chunk(ranks.size) for part in next(Counting())]
    theirs, gradients = [], []
    for x, y in zip(*rows, strict=True):
        plain.zero_grad()
        loss = causal_loss(plain, x, y)
        loss.backward()
        theirs.append(loss.item())
        gradients.append(plain.blocks[0].attention.q.weight.grad.float())
    ours = model.loss(rows[0][ranks.rank], rows[1][ranks.rank])
    ours.backward()
    gradient = model.blocks[0].attention.q.weight.grad.full_tensor()
    return {
        "ours": ours.item(),
        "plain": theirs[ranks.rank],
        "gap": (gradient - sum(gradients) / ranks.size).abs().max().item(),
        "rounding": (gradient - gradient.to(torch.bfloat16).float()).abs().max().item(),
        "parts": str(next(model.parameters()).dtype),
        "gradients": str(next(model.parameters()).grad.dtype),
    }


SAVING = replace(STEPS, steps=14, save_every=3, clip=0.5)
OFTEN = replace(SAVING, save_every=2)


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


def job_undisturbed(ranks, folder):
    """What killed_ranks.py does, without a kill."""
    log = {"make_log": lambda step: MetricsFile(folder / "metrics.jsonl", resume_at=step)}
    train_sharded(
        MODEL, Counting(), OFTEN, ranks=ranks, optimizer=FAST, out=folder, progress=False, **log
    )


def broken_log(ranks, config):
    """The disk of rank 0 is full when the third line is written."""

    def log(record):
        if record["step"] == 3:
            raise OSError("no space left")

    train_sharded(MODEL, Counting(), config, ranks=ranks, make_log=lambda step: log, progress=False)


def names(out):
    return first_decides(lambda: sorted(p.name for p in (out / "step-00000002").iterdir()))


def whole_without(out, name, ranks):
    """Whether the ranks together find a checkpoint whole that lacks this file."""
    path, away = out / "step-00000002" / name, out / "away"
    if ranks.first:
        path.rename(away)
    dist.barrier()
    found = find_whole_together(out)
    dist.barrier()
    if ranks.first:
        away.rename(path)
    dist.barrier()
    return found is not None


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
    if ranks.rank == 1:  # its disk is full, so to say: parts have 44 KB, and the store under 5
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
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
    told["together"] = str(find_whole_together(out)) == str(out / "step-00000002")
    told["unnoticed"] = [name for name in names(out) if whole_without(out, name, ranks)]
    note("log", lambda: broken_log(ranks, short))
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


def job_stops(ranks, folder):
    """Ctrl-C or SIGTERM reaches one rank in the middle of step 4: all finish it, and leave."""
    found = {}
    for name in ("SIGINT", "SIGTERM"):

        class Signalled(Counting):
            def __next__(self, name=name):
                if self.n_served == 7 and ranks.rank == 1:
                    signal.raise_signal(getattr(signal, name))
                return super().__next__()

        config = replace(HALF, steps=9, save_every=0)
        out = folder / name
        _, _, state = curve(ranks, config, out=out, source=Signalled(6))
        ends = [None] * ranks.size
        dist.all_gather_object(ends, [state.step, state.interrupted, state.n_batches])
        seen = []
        curve(ranks, config, out=out, source=Counting(6), seen=seen)
        found[name] = {"ends": ends, "after": [[r["step"], r["loss"]] for r in seen]}
    found["undisturbed"] = [loss for loss, _ in curve(ranks, config)[0]]
    return found


JOBS = [
    (1, job_lesson), (2, job_curves), (3, job_curves), (4, job_curves), (2, job_layouts),
    (4, job_layouts), (1, job_bfloat16), (2, job_bfloat16), (4, job_resume), (2, job_resume),
    (1, job_resume), (2, job_same_ranks), (2, job_trouble), (2, job_stops), (2, job_undisturbed),
]  # fmt: skip


def child(rank, size, job, folder, name):
    torch.set_num_threads(1)
    with joined(rank=rank, size=size, file=folder / f"{name}.store", timeout_s=300) as ranks:
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

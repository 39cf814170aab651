# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 24 FSDP: the same loop, on a thousand cards?
#
# 75 min · CPU · 60 s · 2 GB · needs [23 Parallel](23_parallel.ipynb) · code: `minillm/distributed/fsdp.py`, `trainer.py`, `exact.py`,
# `sharded_checkpoint.py`, `step_time.py`, `fit.py`
#
# Lesson 22b shared a model out by hand, lesson 23 cut it up. For a model of 70 billion parameters one takes torch's own tools, and the ideas are
# the same. Here the decoder of lesson 09 and the loop of lesson 20a go on many processes *without a changed line*: everything is put around
# them. Then we pull the plug in the middle, and nothing is lost.
#
# After this lesson you can
#
# 1. say what FSDP gathers, when, and what it lets go again;
# 2. average a loss over ranks that have different numbers of targets, and deal out data so that the number of ranks does not matter;
# 3. write a checkpoint that is whole or not there, and resume it on another number of ranks;
# 4. draw the two streams of a step, and say which communication shows;
# 5. plan a run of 1 to 70 billion parameters on 8 to 4 096 cards: bytes a card, days, and the two utilisations.
#
# *Words of lesson [22b](22b_zero.ipynb):* a **rank** is one of $W$ processes; in an **all-gather** each gives its part and all get the whole; in a
# **reduce-scatter** all give a whole, and each gets its part of the sum.

# %% tags=["setup"]
import json
import shutil
import signal
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from minillm.data.loader import BatchSampler
from minillm.distributed import fit, full_size, launch
from minillm.distributed.exact import SharedBatches
from minillm.distributed.fsdp import ShardingConfig, make_mesh, shard_decoder
from minillm.distributed.hardware import A100_80, H100_80
from minillm.distributed.links import Link, step_bytes
from minillm.distributed.processes import run_processes
from minillm.distributed.ranks import joined
from minillm.distributed.step_time import Task, Unit, fsdp_tasks, run_tasks
from minillm.distributed.trainer import fit_to_ranks, train_sharded
from minillm.lesson import DATA, check, claim, setup, show
from minillm.model import Decoder, count_parameters, flops_per_token, presets
from minillm.recipes.runs import decoder
from minillm.train import OptimizerConfig, TrainConfig, train

setup(seed=24)

# %% [markdown]
# ## 1 What FSDP does in a step (10 min)
#
# **Fully sharded data parallelism** (全分片数据并行), FSDP, is stage 3 of ZeRO as torch makes it. Each of the $W$ ranks reads other sequences, and of
# every weight it keeps only its $1/W$. But to compute it needs whole weights. So they are fetched, used and let go again, one piece of the model at
# a time. The pieces are called *units*: here each block is one, and what is left (embedding, last norm, output matrix) is the *root*. What happens to a unit in a step:
#
#     forward    gather the weights · compute · let them go
#     backward   gather them again · compute · sum the gradients, and keep one's own part
#
# We begin with a group of one process, which talks to nobody; the code is that of a thousand.

# %% tags=["label-dtensor"]
stack, folder = ExitStack(), Path(tempfile.mkdtemp(prefix="lesson-24-"))
launch.PRELOADED.append("minillm.distributed.trainer")  # saves time below
config = decoder(256, d_model=32, n_layers=4, n_heads=4, context=32)
ranks = stack.enter_context(joined())
mesh = make_mesh(ShardingConfig(), ranks.size)
model = shard_decoder(config, ShardingConfig(), mesh, seed=24)
weight = model.blocks[0].attention.q.weight
print(type(model).__name__, type(weight).__name__, tuple(weight.shape))
print(weight.placements)

# %% [markdown]
# Inside `shard_decoder` the cutting is three lines, of torch's `fully_shard`:
#
#     for block in model.blocks:
#         fully_shard(block, mesh=mesh)
#     fully_shard(model, mesh=mesh)      # what is left: the root
#
# This did not put the model into a box. It is still a `Decoder` (with another first name), and its parameters have their old
# names. But each is now a **DTensor** (分布式张量): a tensor that exists on all ranks together, and of which this process holds a part. `Shard(dim=0)` says that the *rows*
# are dealt out. On one rank the part is the whole.
#
# Now two processes. `run_processes` of lesson 22b starts them, shows what they print and brings back what they return. (On Linux and macOS. On
# Windows it refuses: open the notebook in WSL 2.) What travels to them is the *text* of a function, so it imports what it uses.
#
# **Predict, then run.** The model has 4 blocks and a root. How many times are weights gathered in the forward pass, how many times in the backward pass, and how
# often are gradients summed?


# %%
def hold(group, config):
    import warnings

    import torch
    from torch.distributed.tensor.debug import CommDebugMode

    from minillm.distributed import fsdp
    from minillm.train import OptimizerConfig, make_optimizer

    warnings.simplefilter("ignore")  # of the counter
    whole = fsdp.ShardingConfig()  # every weight is cut over all ranks
    mesh = fsdp.make_mesh(whole, group.size)
    model = fsdp.shard_decoder(config, whole, mesh, seed=24)
    optimizer = make_optimizer(model, OptimizerConfig())
    ids = torch.arange(33).view(1, -1)
    with CommDebugMode() as forward:  # counts the collectives
        loss = model.loss(ids[:, :-1], ids[:, 1:])
    with CommDebugMode() as backward:
        loss.backward()
    optimizer.step()
    q = tuple(model.blocks[0].attention.q.weight.to_local().shape)
    counts = [mode.get_comm_counts().items() for mode in (forward, backward)]
    talks = [{str(kind): n for kind, n in each} for each in counts]
    return fsdp.bytes_held(model, optimizer), q, talks


# %% tags=["label-held"]
held = run_processes(2, hold, config)
for rank, (n_bytes, part, _) in enumerate(held):
    print(f"rank {rank} holds {n_bytes:,} bytes; of q's weight {part}")
print("forward: ", held[0][2][0])
print("backward:", held[0][2][1])

# %% [markdown]
# Forward five: the root and four blocks. Backward four: the root's weights are kept, as they would be needed again at once. Five sums. (The names are those
# of torch's library for collectives, `c10d`.)
#
# And the bytes: weight, gradient and the two numbers of AdamW, 4 bytes each, are 16 a parameter, over $W$.

# %%
n = count_parameters(config)
assert [each[0] for each in held] == [16 * n / 2, 16 * n / 2]
print(f"{n:,} parameters: {16 * n:,} bytes together")

# %% [markdown]
# That is *between* two steps. While a block is at work its weights are there as a whole, and those of the next one, which are on their way. **So a block must fit
# on a card; the model need not.**
#
# The price is traffic. With all weights on every rank (data parallelism, 22b), gradients cost one all-reduce: twice the model's bytes. FSDP gathers twice and sums
# once: three times.

# %% tags=["label-volume"]
for kind in ("ddp", "zero2", "zero3"):
    print(kind, f"{step_bytes(kind, 1.0, 64) / step_bytes('ddp', 1.0, 64):.2f}")
assert step_bytes("zero3", 1.0, 64) == 1.5 * step_bytes("ddp", 1.0, 64)

# %% [markdown]
# Half as much again, for $1/W$ of the memory. (Lesson 22b counts the bytes on four processes.)
#
# ## 2 The same loop (12 min)
#
# The trainer for many ranks has no loop of its own. It calls `minillm.train.train`, the loop of lesson 20a. What differs goes in through the loop's arguments: the
# model (cut), the batches (this rank's rows), the objective (the mean over all ranks), `save` (all ranks together), a `team` (counts and decides for all), the log (rank 0 only).
# If that is true, then on one process its losses must be *the same bits*.

# %%
tokens = torch.arange(20_000).numpy() ** 2 % 97  # a text that can be learned
settings = TrainConfig(
    steps=20, batch_size=8, context=32, warmup_steps=4, schedule="constant",
    precision="float32", seed=24, log_every=0,
)  # fmt: skip
fast = OptimizerConfig(lr=1e-2)


def batches():
    return BatchSampler(tokens, 8, 32, seed=24)


# %%
torch.manual_seed(24)
plain, lesson = Decoder(config), []
train(plain, batches(), settings, optimizer=fast, log=lesson.append, progress=False)

trainer = []
log = {"make_log": lambda step: trainer.append, "progress": False}
sharded, _ = train_sharded(
    config, batches(), settings, ranks=ranks, optimizer=fast, **log
)

# %% tags=["label-bits"]
both = [[r["loss"] for r in curve] for curve in (lesson, trainer)]
assert both[0] == both[1]  # not nearly: equal
pairs = zip(plain.parameters(), sharded.parameters(), strict=True)
assert all(torch.equal(a, b.full_tensor()) for a, b in pairs)
print("20 losses and all weights: the same bits")

# %% [markdown]
# Three things had to be right for that.
#
# - **The start.** Were weights drawn part by part, they would depend on the number of ranks. So every rank draws every matrix as a whole, in the
#   ordinary order, keeps its part and drops the rest, one matrix at a time.
# - **The loss.** The fused loss of [22a](22a_ledger.ipynb) reads the output matrix without calling a module, so FSDP would not know that
#   it has to gather. The model gets a method `loss`, and torch is told that it is a forward pass like any other.
# - **Clipping.** The norm of a DTensor is the norm of the whole: squares are summed over the ranks. The loop's `clip_grad_norm` needs no change.
#
# And where is a model that is too large for every rank, before it is cut? On the **meta device** (元设备), whose tensors have a shape and no memory:

# %%
huge = Decoder(presets.llama2_70b(), device="meta")
print(
    f"{count_parameters(huge.config):,} parameters on {huge.embedding.weight.device}"
)

# %% [markdown]
# It is laid out there, cut there, and only the parts are given memory.
#
# ### An average of averages
#
# FSDP sums gradients over the ranks and divides by $W$. If each rank has its own mean loss, that is the mean of means.
#
# **Predict, then run.** Rank 0 has 10 targets with mean loss 2, rank 1 has 30 with mean loss 4. (Its other sequences are questions of a user, which are not learned.)
# What is the mean over all targets, and what is the mean of means?

# %% tags=["label-mean"]
losses, targets = torch.tensor([2.0, 4.0]), torch.tensor([10.0, 30.0])
right = (losses * targets).sum() / targets.sum()
print(f"mean over all targets {right:.2f}, mean of means {losses.mean():.2f}")
weights = len(losses) * targets / targets.sum()  # what each loss is multiplied by
assert (weights * losses).mean() == right

# %% [markdown]
# So each rank multiplies the *gradient* of its loss by $W n_r / N$ ($n_r$ targets of its own, $N$ of all) before FSDP averages. The *value* that the loop sees is the mean
# over all ranks, the same on each to the last bit. That matters more than it seems: the loop decides by it (is it a number? a spike? stop?), and if one rank
# stops while the others wait for it in a collective, all hang.
#
# ## 3 Layouts (8 min)
#
# Four ranks need not be four shards. `make_mesh` lays them out as a grid, a **device mesh** (设备网格):
#
# - **hybrid sharding** (混合分片), `replicas=2`: two copies of the model, each cut in two. Weights are gathered within a copy, inside a machine with its fast links; only the
#   sum of gradients crosses to the other copy.
# - **tensor × FSDP**, `tensor=2`: ranks 0 and 1 share every matrix by heads and inner units, as in lesson 23, and read the same rows. Around that, FSDP cuts each half again.
#
# Three switches more: `recompute` keeps only each block's input and computes the block again in the backward pass ([22a](22a_ledger.ipynb)); `keep_gathered` does not let weights go
# between forward and backward pass (ZeRO-2); `weights="bfloat16"` gathers 16-bit copies. Here is one function for all sessions of this lesson.


# %%
def session(group, config, tokens, *runs):
    """Train on these ranks, once for each (settings, further arguments)."""
    import logging
    import os

    import torch

    from minillm.data.loader import BatchSampler
    from minillm.distributed import fsdp, ranks, trainer
    from minillm.train import OptimizerConfig

    logging.disable(logging.WARNING)  # torch's advice on meshes

    def one(settings, send=(0, 0), note=os.devnull, **more):
        def log(record):  # called on rank 0, after each step
            seen.append((record["loss"], record["grad_norm"]))
            with open(note, "a") as file:
                print(group.size, record["step"], record["loss"], file=file)
            if record["step"] == send[0]:
                os.kill(os.getpid(), send[1])  # a signal to this process

        seen, data = [], BatchSampler(tokens, 8, 32, seed=24)
        more |= {"optimizer": OptimizerConfig(lr=1e-2), "progress": False}
        more["ranks"] = ranks.Ranks(group.rank, group.size, torch.device("cpu"))
        more["make_log"] = lambda step: log
        model, _ = trainer.train_sharded(config, data, settings, **more)
        q = tuple(model.blocks[0].attention.q.weight.to_local().shape)
        return seen, q, fsdp.bytes_held(model)

    return [one(settings, **more) for settings, more in runs]


# %%
layouts = {
    "4 shards": ShardingConfig(),
    "2 copies x 2 shards": ShardingConfig(replicas=2),
    "2 shards x 2 tensor": ShardingConfig(tensor=2),
    "recomputed": ShardingConfig(recompute=True),
    "gathered weights stay": ShardingConfig(keep_gathered=True),
    "16-bit copies": ShardingConfig(weights="bfloat16"),
}
short = replace(settings, steps=4)
runs = [(short, {"sharding": each}) for each in layouts.values()]
runs[0] = (settings, {})
four = run_processes(4, session, config, tokens, *runs)

# %% tags=["label-layouts", "nbval-ignore-output"]
one = [(r["loss"], r["grad_norm"]) for r in lesson]


def gap(seen, wanted, which):
    pairs = zip(seen, wanted, strict=False)
    return max(abs(a[which] - b[which]) / b[which] for a, b in pairs)


print("on 4 ranks               q's part   bytes    loss     norm  (largest gaps)")
for name, (seen, part, n_bytes) in zip(layouts, four[0], strict=True):
    gaps = gap(seen, one, 0), gap(seen, one, 1)
    print(f"{name:24} {part!s:9}{n_bytes:7,}  {gaps[0]:.0e}  {gaps[1]:.0e}")
    assert max(gaps) < (0.1 if "16" in name else 1e-4)
undisturbed = four[0][0][0]
assert gap(undisturbed, one, 0) < 1e-5 and len(undisturbed) == 20

# %% [markdown]
# In float32 four ranks add in another order than one, so the last digits differ. `tests/distributed/test_fsdp.py` holds 2, 3 and 4 ranks to one
# within $10^{-9}$ in float64, in every layout, with ignored targets and with accumulation. With 16-bit copies the rounding shows; nothing else does. *Bytes* are those of the weights that rank 0 holds:
# two copies need twice as much, and with a tensor axis tables and norms are cut along the other axis only.
#
# The wrappers go on from the inside out, each for a reason: *tensor cut* (it changes what a weight is), *compile* each block (it wants plain tensors), *recompute* (runs the compiled block
# again, while its weights are gathered), `fully_shard` (gather, call, let go).
#
# ## 4 16-bit copies, and a trap (5 min)
#
# With `weights="bfloat16"` the parts stay in float32, and so do the optimizer and the sum of gradients: they are the master weights of [lesson 21](21_stability.ipynb). What is gathered and computed with is a 16-bit
# copy: half the bytes of each gather. This is torch's `MixedPrecisionPolicy`. Its trap: by default it also rounds what goes *into* a block. RoPE's angles ([lesson 14](14_rope.ipynb)) go in.
#
# **Predict, then run.** RoPE's fastest pair turns by one radian a position. How far off is its cosine at position 4 001 if the angle is first rounded to bfloat16?

# %% tags=["label-angle"]
angle = torch.tensor(4001.0)
rounded = angle.to(torch.bfloat16).float()
print(f"angle {angle:.0f} becomes {rounded:.0f}")
print(f"cosine {angle.cos():+.2f} becomes {rounded.cos():+.2f}")

# %% [markdown]
# bfloat16 has 8 significant bits: near 4 000 its neighbours are 16 apart, more than two turns. (Our decoder hands cosines over, not angles,
# so the harm would be one rounding of the table; a library that passes positions loses everything.) Hence `cast_forward_inputs=False` in `shard_decoder`; a test
# holds the sharded 16-bit loss equal, bit for bit, to that of a plain 16-bit decoder.
#
# ## 5 Data in one order, on any number of ranks (5 min)
#
# A resumed run may get fewer cards than before. Then the data must go on where they were. The remedy is not to let ranks draw at all:
# the sampler draws the batch of *all* ranks, as on one process, and each rank keeps its rows.

# %% tags=["label-dealt"]
x, _ = next(batches())
parts = [next(SharedBatches(batches(), part, 4))[0] for part in range(4)]
assert torch.equal(torch.cat(parts), x)
print(tuple(x.shape), "is dealt out as", [tuple(part.shape) for part in parts])

# %% [markdown]
# The position in the data is then one number, the sampler's, and says nothing of ranks. What it costs: every rank cuts all rows of the
# batch, some kilobytes. What it needs: a batch that can be dealt out. `fit_to_ranks` cuts the same step into other forward passes, here for 4 ranks with room for 1 row:

# %%
fewer = fit_to_ranks(settings, 4, 1)
print(f"{fewer.accumulate} passes of {fewer.batch_size} rows, as many tokens")
assert fewer.accumulate * fewer.batch_size == settings.batch_size
try:
    fit_to_ranks(settings, 3, 1)
except ValueError as error:
    print(error)

# %% [markdown]
# ## 6 A checkpoint is whole or not there (13 min)
#
# Large machines break. OPT-175B, two months on 992 cards, was restarted at least 35 times by hand and, its authors estimate, over 70 times by itself; LLaMA-3, on 16 384 cards, was interrupted 419 times in 54 days, about every three hours.
# A program for such runs must survive being killed at *any* moment.
#
# All ranks write their parts at the same time into a folder `step-00000200.new`. Rank 0 adds what is no tensor (step, data position, settings,
# random generators), then size and sha256 of every file, waits until the disk has it all, and *renames* the folder.
# A rename is one action: there is no moment at which half a checkpoint has the real name.
#
# Now four ranks, a checkpoint every 4 steps, and SIGKILL for rank 0 right after step 11: no warning, no last words. Then the same command again, and the same fate after step 15.

# %% tags=["label-kill", "nbval-ignore-output"]
saving = replace(settings, save_every=4)
out, notes = folder / "run", folder / "notes.txt"
for at in (11, 15):
    more = {"out": out, "note": str(notes), "send": (at, signal.SIGKILL)}
    try:
        run_processes(4, session, config, tokens, (saving, more), timeout=20)
    except RuntimeError as error:
        print(str(error).splitlines()[0])
    there = sorted(path.name for path in out.iterdir())
    print(there)
assert there == ["step-00000008", "step-00000012"]

# %% [markdown]
# The other ranks had been waiting in a collective, and were ended. Each time the two newest checkpoints are there, and nothing half-written. (The test suite also kills ranks half way through a file, and just before the rename.)
#
# ### On fewer ranks
#
# Now the machine with two of the four ranks is taken from us. The parts of four ranks are no use to two; but torch's *distributed checkpoint* notes which rows lie in which file, and each
# rank reads what it needs now. This time we save *in the background*: the loop goes on as soon as the parts are copied, and a thread writes, hashes and renames.
#
# After step 17 comes a SIGTERM, by which Slurm and Kubernetes ask a process to leave. One rank gets it, and all must agree to stop after the same step: one exchanged number a step.

# %%
more = {"out": out, "note": str(notes), "send": (17, signal.SIGTERM)}
more["in_background"] = True
run_processes(2, session, config, tokens, (saving, more))
print(sorted(path.name for path in out.iterdir()))

# %% [markdown]
# Step 17 is saved, though none was due. The last session runs on one process, this one.

# %% tags=["label-sessions", "nbval-ignore-output"]
session(ranks, config, tokens, (saving, {"out": out, "note": str(notes)}))
lines = [line.split() for line in notes.read_text().splitlines()]
sessions, before = [], ("", 0)
for size, step, loss in lines:
    if size != before[0] or int(step) <= before[1]:  # a session begins
        sessions.append((size, {}))
    before = size, int(step)
    sessions[-1][1][int(step)] = float(loss)
for size, curve in sessions:
    gaps = [abs(a / undisturbed[s - 1][0] - 1) for s, a in curve.items()]
    steps = f"steps {min(curve):2} to {max(curve):2}"
    print(f"{size} ranks, {steps}: largest gap {max(gaps):.0e}")

# %%
for size, curve in sessions:
    for step, loss in curve.items():
        wanted = undisturbed[step - 1][0]
        assert loss == wanted if size == "4" else abs(loss / wanted - 1) < 1e-5
assert [max(curve) for _, curve in sessions] == [11, 15, 17, 20]

# %% [markdown]
# On the same number of ranks a kill changes *no bit*: not of the weights, the optimizer, the order of the data or the random generators. On another number the order of the sums changes the
# last digit, and nothing else.
#
# Under `torchrun --max-restarts 3` nobody has to start it again: torchrun sees the dead rank, ends the others, and starts all anew.
#
# ## 7 How long is a step? Two streams (11 min)
#
# A card computes and talks at the same time. So a step is two lines of work, each in order, with some waiting between them:
# a block cannot start before its weights are there; its gradients cannot be summed before they are computed; and no more than one block
# may be gathered ahead, or memory grows. That is a small simulation by events: *a thing starts when its stream is free and what it waits for is done*.


# %% tags=["label-streams"]
def bars(ax, step, title):
    colour = {"f": "C0", "b": "C1", "u": "C2", "g": "C3", "r": "C4"}
    for event in step.events:
        letter = event.name.removeprefix("talk ")[0]
        row = event.name.startswith("talk")
        ax.barh(row, event.end - event.start, left=event.start, height=0.8,
                color=colour[letter], edgecolor="white")  # fmt: skip
        if event.end - event.start > 0.3:
            ax.text((event.start + event.end) / 2, row, letter, ha="center",
                    va="center", fontsize=9)  # fmt: skip
    ax.set(title=title, yticks=(0, 1), yticklabels=("compute", "talk"))
    ax.invert_yaxis()


block = Unit(
    "b", forward=1.0, backward=2.0, weight_bytes=0.8e9, gradient_bytes=1.6e9
)
units = [replace(block, name=str(i)) for i in range(4)]
fig, axes = plt.subplots(2, 1, figsize=(7, 3.6), sharex=True, layout="constrained")
for ax, speed in zip(axes, (4.0, 1.0)):
    step = run_tasks(fsdp_tasks(units, Link("", speed, 0.0), 8, optimizer=0.2))
    title = (
        f"{speed:.0f} GB/s: {step.total:.1f} s, {step.exposed:.1f} of them waiting"
    )
    bars(ax, step, title)
axes[1].set_xlabel("seconds")
alt = """A step of four blocks on a fast and a slow link. On the fast one only the first
gather and the last reduce stick out beside the computing; on the slow one gaps open."""
show(fig, alt=alt.replace("\n", " "))

# %% [markdown]
# **What you should see.** `f`, `b`: forward, backward (twice as long); `g`, `r`: gather, reduce; the narrow bar at the end is the update. On the fast link only the first gather and the last sum stick out, which nothing
# can hide. On the slow one the upper row has gaps. In the backward pass the next gather is asked for *before* the sum, or it would wait behind it.
#
# **Predict, then run.** Twice as many sequences a card: twice the computing, the same talk. How many sequences does a LLaMA-7B on 64 A100 need before it hides most of its talk?

# %% tags=["label-rows"]
seven = full_size.find_full_size("llama_7b")
cluster, rows = full_size.on(seven, A100_80, 64), (1, 2, 4, 8)
fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
for keep, mark in ((False, "o-"), (True, "s--")):
    sharding = ShardingConfig(weights="bfloat16", keep_gathered=keep)
    fits = [fit.fit(replace(seven, sharding=sharding), cluster, r) for r in rows]
    share = [100 * f.step.exposed / f.step.total for f in fits]
    words = "gathered once (ZeRO-2)" if keep else "gathered twice (ZeRO-3)"
    ax.plot(rows, share, mark, label=words)
ax.set(xlabel="sequences a card at once", ylabel="% of the step that waits", ylim=0)
ax.set_xscale("log", base=2)
ax.set_xticks(rows, [str(r) for r in rows])
ax.legend()
alt = """Share of the step that waits for the network against sequences a card: it falls
from most of the step to little."""
show(fig, alt=alt.replace("\n", " "))

# %% [markdown]
# **What you should see.** With one sequence at a time most of the step is waiting; each doubling hides more, and from four on little is left. Keeping the weights between forward
# and backward pass saves one gather of two, and costs memory for the whole model in 16 bits.
#
# Lesson 22b holds such a simulation, of plain data parallelism, against measured steps on two and four processes. This one of FSDP has been held to cases worked out by hand; on a cluster: not measured yet.
#
# ## 8 Full-size runs, planned (12 min)
#
# `python -m minillm plan llama_7b` counts before anything starts. The runs are those of the papers: shape, batch, rate, schedule, tokens.

# %% tags=["label-plan"]
run = full_size.find_full_size("llama_7b")
print(fit.report(fit.check_fits(run, run.cluster)))

# %% [markdown]
# Read it from the top: `parts` are the 16 bytes a parameter over all cards; `gathered` the root, whole blocks and the gradients of one; then what is kept for the backward pass. The plan takes the fastest of twenty settings
# (sequences at once, recomputed or not, gathered once or twice) that leave a tenth of the card free. Two numbers are *assumed*: a card that computes reaches 0.6 of its peak, and links run at the speed of the data sheet.
#
# And if nothing fits?

# %% tags=["label-refusal"]
big = full_size.find_full_size("llama2_70b")
try:
    fit.check_fits(big, full_size.on(big, H100_80, 8))
except ValueError as error:
    print(error)

# %% [markdown]
# A refusal should say three things: what is needed, what is there, and what to do. (In a terminal: `python -m minillm plan llama2_70b --gpu H100 --n-gpus 8`.)
#
# **Predict, then run.** Five runs on 8 to 4 096 cards of 80 GB, once cut over all cards, once with a whole copy in each machine of 8 (hybrid sharding). What ends a curve on the left, what on the right, and which layout scales better?


# %% tags=["label-scaling"]
def whole(run, n):
    return run


def copies(run, n):
    return replace(run, sharding=replace(run.sharding, replicas=max(1, n // 8)))


counts, mfu = [2**k for k in range(3, 13)], {}
fig, axes = plt.subplots(
    1, 2, figsize=(8.6, 3.5), sharey=True, layout="constrained"
)
for ax, layout in zip(axes, (whole, copies)):
    for name, mark in zip(full_size.FULL_SIZES, "osDv^"):
        run = full_size.find_full_size(name)
        for n in (n for n in counts if run.train.batch_size % n == 0):
            best = fit.best_fit(layout(run, n), full_size.on(run, A100_80, n))
            if best.fits:
                mfu.setdefault((layout, name), {})[n] = 100 * best.mfu
        curve = mfu.get((layout, name), {})
        ax.plot(list(curve), list(curve.values()), marker=mark, label=name)
    ax.set(xlabel="A100 80 GB", xscale="log", ylim=(0, 65), xlim=(6, 5500))
    ax.set_xticks(counts[::3], [str(n) for n in counts[::3]])
    ax.minorticks_off()
axes[0].set(title="cut over all cards", ylabel="MFU, forecast, %")
axes[1].set(title="a copy in each machine")
axes[0].legend(loc="lower left")
alt = """Forecast MFU of five runs on 8 to 4096 cards. Cut over all cards the curves are
flat and then fall steeply; with a copy in each machine they stay high longer."""
show(fig, alt=alt.replace("\n", " "))

# %%
seven_whole, seven_copies = mfu[whole, "llama_7b"], mfu[copies, "llama_7b"]
for n in (512, 1024, 2048):
    print(
        f"LLaMA-7B, {n} cards: {seven_whole[n]:.0f} % and {seven_copies[n]:.0f} %"
    )
assert (copies, "llama2_70b") not in mfu and max(mfu[whole, "llama_7b"]) == 2048

# %% [markdown]
# **What you should see.** A curve begins where the model fits. It is flat while there are enough sequences a card to hide the talk, falls where they become few, and ends where a step has fewer sequences
# than there are cards: for LLaMA-2-70B at 1 024, however many cards one owns. LLaMA-13B on 16 cards is *less* well used than on 8: between machines it needs many sequences at once, they fit only with recomputation, and computing every block's
# forward pass twice makes 60 % into 45 %.
#
# With a copy in each machine weights travel on NVLink and rings have 8 members, so the curves stay up longer. The price is memory: an eighth of LLaMA-2-70B
# does not fit on a card, and it has no curve. (That is where the tensor axis of lesson 23 comes in; this planner does not combine the two.)
#
# **Forecast against report.** The papers print card hours. For three of them this is not a blind test. The kernels' share of the peak and the latency of links
# were not fitted; but the rule "the fastest plan that fits" replaced "the first that fits", and the number of cards for LLaMA-2-70B was chosen, after
# a first forecast had come out at twice the report. So read the lines as: right within a factor of two, once you know the answer. TinyLlama's hours (`llama_1b`: 3 456 for every 300 billion tokens) were looked up only when its forecast stood.

# %% tags=["label-forecast"]
print("card hours      cards   cut over all     copies   reported")
for name in full_size.FULL_SIZES:
    run = full_size.find_full_size(name)
    n, line = run.cluster.n_cards, f"{name:<12}"
    for layout in (whole, copies):
        best = fit.best_fit(layout(run, n), run.cluster)
        line += (
            f"{best.gpu_hours:>13,.0f}" if best.fits else f"{'does not fit':>13}"
        )
    told = f"{run.gpu_hours:,}" if run.gpu_hours else "none"
    print(f"{line[:12]}{n:>9}{line[12:]}{told:>11}")

# %% [markdown]
# ### Two utilisations
#
# *Model* FLOPs utilisation (MFU) counts what the model needs; *hardware* FLOPs utilisation (HFU) what the cards do, recomputation included ([22a](22a_ledger.ipynb)).
# With full recomputation a block costs 4 parts in place of 3. PaLM's authors, who proposed the first, print both: 46.2 and 57.8 %. An article that says "half of the peak" must say which.

# %% tags=["label-hfu"]
bloom = presets.bloom_176b()
needed = flops_per_token(bloom, context=2048)
table = 6 * bloom.vocab_size * bloom.d_model  # is not computed twice
done = needed + (needed - table) / 3
share = 156 / 312
print(f"156 of 312 TFLOP/s: HFU {share:.1%}, so MFU {share * needed / done:.1%}")
claim("PAR-016", share)
claim("PAR-018", 182 / 312)

# %% [markdown]
# BLOOM's 156 include recomputation. Of Baichuan's 182 (an A800 has the arithmetic of an A100) its page does not say. Next, "3.5 months and 1 082 990 hours" on 384 cards:

# %%
months = 1_082_990 / 384 / 24 / (365.25 / 12)
print(f"{months:.2f} months")
claim("PAR-017", months, unit="months")

# %% [markdown]
# Almost four months: BigScience's own page says 117 days. And two fine-tunings on 8 A100: Vicuna, a 13 B model by FSDP; Alpaca, a 7 B model in three hours.

# %%
sharding = ShardingConfig(weights="bfloat16", recompute=True)
vicuna = fit.share_of_card(presets.llama_13b(), sharding, 8, 1, 2048)
print(
    f"Vicuna: {vicuna.total / 1e9:.0f} GB a card, {vicuna.parts / 1e9:.0f} of parts"
)
claim("PAR-019", vicuna.total / 1e9, unit="GB")
work = 6 * count_parameters(presets.llama_7b()) * 52_002 * 512 * 3
hours = work / (8 * 312e12 * 0.5) / 3600
print(f"Alpaca: {work:.2g} FLOPs at most, {hours:.1f} h at half of the peak")
claim("PAR-020", hours, unit="h")

# %% [markdown]
# Alpaca's work is an upper bound, as every row counts as 512 tokens.
#
# ## At scale
#
# The same command on a laptop and on a cluster: `torchrun` starts one process a card and tells each its rank; `minillm` sees that, and cuts the model over all of them.
#
#     torchrun --standalone --nproc-per-node 8 --max-restarts 3 -m minillm train llama_1b
#     sbatch docs/launch/slurm.sh llama_7b
#     kubectl apply -f docs/launch/kubernetes.yaml
#
# The launch files have been checked for their syntax, not run on a cluster. Rank 0 logs tokens a second of all ranks, MFU, the memory of each rank, and where the seconds of a step went (data, forward, backward, update, save, talk).
#
# After a failure torchrun keeps the notice board on which ranks write their addresses. A rank that is quick then reads the address of a dead one, and calls where nobody answers. So our ranks first agree on an empty corner of the board,
# with a name never used before (`corner.py`).
#
# On one GPU five jobs of `benchmarks/gpu/` have been prepared. What they found:


# %%
def dense_1b(r):
    shares = f"{r['mfu_of_nominal']:.1%} of the peak, {r['mfu_of_product']:.1%}"
    return f"MFU {shares} of a plain product; batch {r['best_batch']}"


def gpt2_ladder(r):
    rungs = [(m["name"], m["tokens_per_second"] / 1000) for m in r["measured"]]
    return (
        " · ".join(f"{name} {speed:.0f}" for name, speed in rungs) + " k tokens/s"
    )


def gpt2_8min(r):
    return f"loss {r['loss']:.3f} after {r['tokens'] / 1e6:.0f} M tokens"


def decode_throughput(r):
    speeds = [f"{m['tokens_per_second']:,.0f}" for m in r["measured"]]
    return f"tokens/s at batch {[m['batch_size'] for m in r['measured']]}: {speeds}"


def fsdp_one_rank(r):
    gap = r["largest_difference"]
    return f"{r['speed_ratio']:.2f} x the speed of plain; losses {gap:.0e} apart"


# %% tags=["label-gpu"]
for job in (dense_1b, gpt2_ladder, gpt2_8min, decode_throughput, fsdp_one_rank):
    paths = sorted((DATA / "results" / f"{job.__name__}_gpu").glob("*.json"))
    for r in (json.loads(path.read_text()) for path in paths):
        print(f"{job.__name__}, {r['machine']['gpu']}: {job(r)}")
    if not paths:
        print(f"{job.__name__}: not measured yet")

# %% [markdown]
# `dense_1b` is a LLaMA of 1.3 billion parameters, nothing recomputed; `gpt2_ladder` adds one improvement after another to a GPT-2; `fsdp_one_rank` is the price of the wrapping alone. On more than one GPU: not measured yet.
#
# ## Common mistakes
#
# | mistake | what one sees |
# |---|---|
# | each rank takes the mean of its own targets | a loss that is a little wrong, worst where rows differ in length |
# | one rank decides alone (NaN, Ctrl-C, a full disk) | all others hang until the timeout |
# | ranks seed their sampler by rank | another order on another number of ranks; data seen twice after a resume |
# | a checkpoint written in place | a kill in the middle leaves neither the old nor the new one |
# | `load_state_dict` on rank 0 only | the others start from their own weights, silently |
# | wrapping before the matrices are cut by tensor | rows of the wrong matrix |
# | calling a method that FSDP does not know as forward | "got mixed torch.Tensor and DTensor" |
# | a checkpoint right after an evaluation | FSDP has kept the root gathered, and the optimizer does not know these weights: let go first |
# | HFU quoted as MFU | up to a third too fast |
#
# ## Recap
#
# - FSDP gathers a block, uses it, lets it go: 16 bytes a parameter over $W$, plus two blocks; 1.5 times the traffic of data parallelism.
# - One loop serves all: on one process the same bits, on several the same losses.
# - What one rank must not decide alone: stop, give up, write.
# - A rename makes a checkpoint whole; its sha256 shows that it has stayed so. Its parts fit any number of ranks.
# - A step is two streams; what shows is the talk that no computing covers. Sequences a card decide.
#
# ## Questions
#
# 1. Why is the root not gathered again in the backward pass?
# <details><summary>Answer</summary>It comes last in the forward pass and first in the backward pass: it would be let go and fetched at once.</details>
#
# 2. Why may FSDP's average be wrong where targets are ignored?
# <details><summary>Answer</summary>It is a mean of means; ranks with few targets would count as much as ranks with many.</details>
#
# 3. Why does one rank rename, and not every rank its own file?
# <details><summary>Answer</summary>Then a kill between two renames would leave a mixture of two steps. One rename of one folder has no between.</details>
#
# 4. A run on 64 cards is resumed on 48. What must hold?
# <details><summary>Answer</summary>48 must divide the sequences of a step, and the larger parts must fit on a card.</details>
#
# 5. Twice as many cards, the same batch. What happens to computing and to talk of a card?
# <details><summary>Answer</summary>Half the computing, the same talk: W − 1 of W parts are still fetched. So more of it shows.</details>
#
# 6. When does HFU equal MFU?
# <details><summary>Answer</summary>When nothing is computed twice.</details>
#
# ## Homework (35 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it.
#
# ### Exercise 1 · One mean of many ranks (5 min, ★☆☆)
#
# Given the mean loss and the number of targets of each rank (lists of equal length), return the mean over all targets; 0.0 if there is none at all. A
# rank without targets reports the loss 0.0.
#
# <details><summary>Hint 1</summary>Sums, not means, can be added.</details>
# <details><summary>Hint 2</summary>Divide by max(1, total).</details>


# %% tags=["exercise"]
def mean_of_ranks(means, counts):
    # BEGIN SOLUTION
    total = sum(m * n for m, n in zip(means, counts, strict=True))
    return total / max(1, sum(counts))
    # END SOLUTION


# %% tags=["check"]
def by_listing(means, counts):
    every = [m for m, n in zip(means, counts, strict=True) for _ in range(n)]
    return sum(every) / len(every) if every else 0.0


cases = [([2.0, 4.0], [10, 30]), ([1.0], [3]), ([0.0, 5.0], [0, 4])]
check(mean_of_ranks, by_listing, [*cases, ([0.0, 0.0], [0, 0])])

# %% [markdown]
# ### Exercise 2 · Whose rows? (6 min, ★★☆)
#
# Step $s$ (from 0) reads `accumulate` batches of `batch_size` rows, one after another, from an endless list of rows. Return the numbers of the
# rows that a rank reads in that step, in order, as a list. Every batch is dealt out in equal runs of neighbours.
#
# <details><summary>Hint 1</summary>The first row of batch b of the step is (s · accumulate + b) · batch_size.</details>
# <details><summary>Hint 2</summary>Then rank · batch_size / size more.</details>


# %% tags=["exercise"]
def rows_of(step, rank, size, batch_size, accumulate):
    # BEGIN SOLUTION
    each, rows = batch_size // size, []
    for b in range(accumulate):
        first = (step * accumulate + b) * batch_size + rank * each
        rows += range(first, first + each)
    return rows
    # END SOLUTION


# %% tags=["check"]
def by_dealing(step, rank, size, batch_size, accumulate):
    end = (step + 1) * accumulate * batch_size
    numbers = torch.arange(end).view(-1, batch_size)[step * accumulate :]
    return torch.cat([b.chunk(size)[rank] for b in numbers]).tolist()


cases = [(0, 0, 1, 4, 1), (2, 1, 2, 4, 3), (5, 3, 4, 8, 2), (1, 0, 4, 8, 1)]
check(rows_of, by_dealing, cases)

# %% [markdown]
# ### Exercise 3 · Which checkpoint? (6 min, ★★☆)
#
# `names` are what lies in the folder of a run, in no order; `whole` is a set of names whose every byte has been verified. Return the name
# of the checkpoint to go on from, `step-` and eight digits, or None. What a kill has left half-written ends in `.new`: never take it.
#
# <details><summary>Hint 1</summary>With eight digits the order of the alphabet is the order of the steps.</details>
# <details><summary>Hint 2</summary><code>len(name) == 13</code> and <code>name[5:].isdigit()</code>; or a regular expression.</details>


# %% tags=["exercise"]
def newest_whole(names, whole):
    # BEGIN SOLUTION
    steps = [n for n in names if n.startswith("step-") and len(n) == 13]
    real = [n for n in steps if n[5:].isdigit() and n in whole]
    return max(real, default=None)
    # END SOLUTION


# %% tags=["check"]
def by_search(names, whole):
    for step in range(30, -1, -1):
        name = f"step-{step:08d}"
        if name in names and name in whole:
            return name
    return None


a, b, c = "step-00000008", "step-00000012", "step-00000020"
odd = "step-notanumb"
cases = [([a, b], {a, b}), ([b, a, c], {a, b}), ([], set()), ([c], {a})]
cases += [([a, c + ".new"], {a, c + ".new"}), ([odd, a, "run.json"], {a, odd})]
check(newest_whole, by_search, cases)

# %% [markdown]
# ### Exercise 4 · Bytes that a rank sends (6 min, ★★☆)
#
# FSDP, $W$ ranks, `passes` forward and backward passes before an update. The blocks take `weight_bytes` when gathered, their gradients `gradient_bytes`. Each
# pass gathers forward, gathers again backward (unless `keep`), and sums the gradients. A ring sends $(W-1)/W$ of what is gathered or
# summed. Return the bytes that one rank sends in a step.
#
# <details><summary>Hint 1</summary>Everything happens in every pass.</details>
# <details><summary>Hint 2</summary>With keep the weights count once, else twice.</details>


# %% tags=["exercise"]
def fsdp_bytes(weight_bytes, gradient_bytes, size, passes, keep):
    # BEGIN SOLUTION
    once = weight_bytes * (1 if keep else 2) + gradient_bytes
    return passes * once * (size - 1) / size
    # END SOLUTION


# %% tags=["check"]
def by_simulation(weight_bytes, gradient_bytes, size, passes, keep):
    link = Link("1 byte a second", 1e-9, 0.0)
    units = [
        Unit("root", 1, 1, 0, 0),
        Unit("b", 1, 1, weight_bytes, gradient_bytes),
    ]
    more = {"n_passes": passes, "keep_gathered": keep}
    return run_tasks(fsdp_tasks(units, link, size, **more)).busy("talk")


cases = [(8.0, 16.0, 4, 1, False), (8.0, 16.0, 4, 3, True), (5.0, 5.0, 1, 2, False)]
check(fsdp_bytes, by_simulation, [*cases, (2.0, 4.0, 2, 2, True)])

# %% [markdown]
# ### Exercise 5 · The clock of a step (10 min, ★★★)
#
# `tasks` is a list of (name, stream, seconds, after), in the order in which the streams are asked; `after` lists names of earlier tasks. A task starts when its stream is free *and* all of `after` are done. Return the
# time when the last one ends; 0.0 for no tasks.
#
# <details><summary>Hint 1</summary>Two dictionaries: when a stream is free, and when a task has ended.</details>
# <details><summary>Hint 2</summary>The start is the largest of several times. The task that ends last need not be the last of the list.</details>


# %% tags=["exercise"]
def seconds_of(tasks):
    # BEGIN SOLUTION
    free, ends = {}, {}
    for name, stream, seconds, after in tasks:
        start = max([free.get(stream, 0.0), *(ends[a] for a in after)])
        free[stream] = ends[name] = start + seconds
    return max(ends.values(), default=0.0)
    # END SOLUTION


# %% tags=["check"]
def by_package(tasks):
    return run_tasks([Task(n, s, t, tuple(a)) for n, s, t, a in tasks]).total


simple = [("a", "x", 2.0, []), ("b", "y", 3.0, []), ("c", "x", 1.0, ["b"])]
long_first = [("a", "x", 9.0, []), ("b", "y", 1.0, []), ("c", "y", 1.0, ["b"])]
joint = [*simple, ("d", "y", 0.5, ["a", "c"]), ("e", "x", 0.25, ["a"])]
queue = [("a", "x", 2.0, []), ("b", "x", 2.0, []), ("c", "y", 1.0, ["a"])]
check(seconds_of, by_package, [(simple,), (long_first,), (joint,), (queue,), ([],)])

# %%
stack.close()  # the group of one process
shutil.rmtree(folder)

# %% [markdown]
# ## Sources
#
# - Zhao et al. 2023, *PyTorch FSDP*, [arXiv:2304.11277](https://arxiv.org/abs/2304.11277), sections 3.1 to 3.3: deferred start, hybrid sharding, overlap, one unit ahead.
# - Rajbhandari et al. 2020, *ZeRO*, [arXiv:1910.02054](https://arxiv.org/abs/1910.02054): the three stages and their traffic.
# - Chowdhery et al. 2022, *PaLM*, [arXiv:2204.02311](https://arxiv.org/abs/2204.02311), section 4.1, and Korthikanti et al. 2022, [arXiv:2205.05198](https://arxiv.org/abs/2205.05198): the two utilisations.
# - The runs: Touvron et al. 2023, [arXiv:2302.13971](https://arxiv.org/abs/2302.13971), tables 2 and 15, and [arXiv:2307.09288](https://arxiv.org/abs/2307.09288), section 2.2; Zhang et al. 2024, TinyLlama,
#   [arXiv:2401.02385](https://arxiv.org/abs/2401.02385); Brown et al. 2020, GPT-3, [arXiv:2005.14165](https://arxiv.org/abs/2005.14165), table 2.1 and appendix B.
# - Zhang et al. 2022, OPT, [arXiv:2205.01068](https://arxiv.org/abs/2205.01068), section 2.5, and LLaMA-3, 2024, [arXiv:2407.21783](https://arxiv.org/abs/2407.21783), table 5: what breaks.
# - BigScience 2022, [arXiv:2211.05100](https://arxiv.org/abs/2211.05100): BLOOM's cards, hours and speed. Baichuan-7B, README, 2023. LMSYS, *Vicuna*, and Stanford, *Alpaca*, blog posts of March 2023.
#
# ## Next
#
# [25a Scaling laws](25a_kaplan.ipynb): now that we can pay for a large run, how large should it be?

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
# # 22b ZeRO: how do many cards train one model, and what must each of them hold?
#
# 75 min · CPU, four processes · 60 s · 2 GB · needs [22a The ledger](22a_ledger.ipynb) · code: `minillm/distributed/`
#
# One card is too slow, or too small. So we take N of them. They share nothing: a card that wants to know what another has
# computed must be *sent* it. This lesson builds everything from that one ability, sending and receiving: sums over cards, training
# on N cards as if they were one, and training in which no card holds the whole model. The proof at the end is a picture with many
# curves in which you will see only one.
#
# After this lesson you can
#
# 1. write a ring all-reduce from send and receive, and derive its $2(N-1)/N$;
# 2. say what a network costs, and read a data sheet without being wrong by a factor of 2 or 8;
# 3. train on N ranks so that the losses are those of one, also with accumulation and unequal batches;
# 4. derive the bytes a rank holds under ZeRO 1, 2 and 3, and what each stage costs in messages;
# 5. find out which rank has died.

# %% tags=["setup"]
import copy
import json
import math

import matplotlib.pyplot as plt
import torch

from minillm.data import load_corpus
from minillm.distributed.collectives import all_gather, all_reduce, naive_all_reduce
from minillm.distributed.collectives import padded, reduce_scatter
from minillm.distributed.data_parallel import GradientSync
from minillm.distributed.data_parallel import sum_gradients, target_share
from minillm.distributed.ddp_clock import ClockedStep, predict_step
from minillm.distributed.flat import FlatUnit, storage_bytes
from minillm.distributed.group import PeerError
from minillm.distributed.launch import RankError
from minillm.distributed.links import LINKS, Link, seconds, step_bytes
from minillm.distributed.processes import run_processes
from minillm.distributed.same_run import METHODS, SameRun, train_together
from minillm.distributed.threads import run_threads
from minillm.distributed.zero import Zero, state_bytes
from minillm.lesson import check, claim, setup, show
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.objectives import causal_loss
from minillm.recipes.records import RESULTS
from minillm.train import OptimizerConfig

setup(seed=22)
f64 = torch.float64

# %% [markdown]
# ## 1 Two verbs (7 min)
#
# A program on N cards is *one* program, started N times. Each copy gets its number, the **rank** (进程编号, 0 to N − 1), and knows N,
# the **world size** (进程总数). What differs is what it does with its rank. Here each rank makes a number, and hands it to the next.
#
# `run_threads` starts the N copies as threads of this notebook, which takes no time; `run_processes` starts processes, as on
# real machines. The program is the same. It is given a *group*, which can `send` and `receive`, and counts bytes.


# %%
def neighbour(group):
    mine = torch.tensor([10.0 * group.rank])
    right, left = (group.rank + 1) % group.size, (group.rank - 1) % group.size
    got = group.exchange(mine, right, torch.empty(1), left)
    return f"rank {group.rank} got {got.item():.0f} from rank {left}"


for line in run_threads(4, neighbour):
    print(line)

# %% [markdown]
# **Predict, then run.** `exchange` sends and receives *at once*. What would happen if each rank first sent, waited until
# the message was taken, and only then received?
#
# <details><summary>Answer</summary>All four would wait for a neighbour who waits as well: a <b>deadlock</b> (死锁). Nothing
# crashes, nothing is printed. Our groups do not wait for ever; they give up after a timeout and say for whom they waited.</details>
#
# A rank that calls something the others do not call is the everyday form of it:


# %%
def not_all_come(group):
    if group.rank == 0:
        all_reduce(group, torch.ones(4))  # a sum over all ranks; rank 1 has left


try:
    run_threads(2, not_all_come, timeout=0.5)
except PeerError as error:
    print(str(error)[:58], "...")

# %% [markdown]
# ## 2 Sums over ranks (15 min)
#
# Training needs one thing above all: each rank has a vector (its gradient), and all ranks want the **sum**. Operations in which all
# ranks take part are called **collectives** (集合通信); this one is **all-reduce** (全规约).
#
# The plain way: all send to rank 0, it adds, and sends the sum back. With vectors of V bytes rank 0 receives $(N-1)V$ and sends as
# much, while all others wait for its one cable. Twice as many ranks, twice as long.
#
# The **ring** (环形) keeps all cables busy. Cut the vector into N parts. In each round, every rank sends one part to its right and
# adds what comes from its left to its own. A part thus travels once around, and arrives as the sum. After $N-1$ rounds each rank holds
# one finished part: that was a **reduce-scatter** (规约散发). In $N-1$ more rounds the finished parts travel once around: an
# **all-gather** (全收集). Reduce-scatter and all-gather, one after the other, are an all-reduce.
#
# We watch it. Each rank starts with ones; so an entry says how many ranks have been added up in it.


# %%
def watched(group):
    N, r = group.size, group.rank
    parts = list(torch.ones(N, 1))
    pictures = [torch.cat(parts)]
    for k in range(2 * (N - 1)):
        out, coming = (r - 1 - k) % N, (r - 2 - k) % N
        got = group.exchange(parts[out], (r + 1) % N, torch.empty(1), (r - 1) % N)
        parts[coming] = parts[coming] + got if k < N - 1 else got
        pictures.append(torch.cat(parts))
    return pictures


rounds = list(zip(*run_threads(4, watched)))
assert torch.stack(rounds[-1]).eq(4).all()
print(len(rounds) - 1, "rounds; at the end all entries are 4")

# %% tags=["label-ring"]
fig, axes = plt.subplots(1, 7, figsize=(10, 2.2), layout="constrained")
for k, (ax, now) in enumerate(zip(axes, rounds)):
    ax.imshow(torch.stack(now), vmin=0, vmax=4, cmap="cividis")
    for r in range(4):
        for p in range(4):
            n = int(now[r][p])
            ax.text(
                p,
                r,
                n,
                ha="center",
                va="center",
                color="black" if n > 2 else "white",
            )
    ax.set(title=f"after {k}", xticks=range(4), yticks=range(4))
    ax.set_xlabel("part")
axes[0].set_ylabel("rank")
alt = "Seven 4 by 4 tables, rank by part. After 0 rounds all entries are 1. "
alt += "After 3 each rank has one 4, on the diagonal. After 6 all are 4."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** After 3 rounds the diagonal is complete: rank r owns the sum of part r. The other numbers are leftovers. Three
# more rounds copy the diagonal into every row.
#
# Count. There are $2(N-1)$ rounds, and in each a rank sends one part of $V/N$ bytes:
#
# $$\text{sent by a rank} = 2\,\frac{N-1}{N}\,V \;<\; 2V .$$
#
# **Predict, then run.** From 4 to 1 000 ranks: by how much does the traffic of a rank grow?
#
# <details><summary>Answer</summary>From 1.5 V to just under 2 V: by a third. That is why data parallelism scales at all.</details>
#
# We count what really goes over the line.


# %% tags=["label-traffic"]
def traffic(group, collective, n):
    collective(group, torch.ones(n))
    return group.traffic.n_bytes


V, table = 4 * 240, []
for N in (2, 3, 4, 8):
    ring, plain = (
        max(run_threads(N, traffic, how, 240)) / V
        for how in (all_reduce, naive_all_reduce)
    )
    assert ring == 2 * (N - 1) / N and plain == N - 1
    table.append(
        f"{N} ranks: ring {ring:.2f} V a rank, plain {plain:.2f} V for rank 0"
    )
print("\n".join(table))

# %% [markdown]
# Is our sum right? PyTorch brings a library for CPUs, **Gloo**; for NVIDIA cards there is NCCL, for Ascend HCCL, for clusters in general MPI.
# All offer the same collectives. We compare with Gloo, on four real processes (on Linux and macOS; on Windows use WSL 2). The function
# below is sent to them as source text, so it must import what it uses.


# %% tags=["nbval-ignore-output"]
def beside_gloo(group):
    import torch
    import torch.distributed as dist
    from minillm.distributed.collectives import all_reduce

    x = torch.arange(12.0) * (group.rank + 1)
    theirs = x.clone()
    dist.all_reduce(theirs)
    mine = all_reduce(group, x.clone())
    print("the same as Gloo's:", torch.equal(mine, theirs))
    return torch.equal(mine, theirs), group.traffic.n_bytes / (2 * 3 / 4 * 48)


beside = run_processes(4, beside_gloo)
assert all(same for same, _ in beside)

# %%
claim("HWC-008", beside[0][1], unit="of 2 (N-1)/N V")

# %% [markdown]
# Two more facts for later. The order of the sum differs from rank to rank in a plain loop, and so would its rounding. On the ring each part is summed
# on *one* path and then copied: **all ranks get the same bits**. And there are siblings: **broadcast** (广播) copies one rank's vector to all,
# down a tree in $\log_2 N$ rounds; **all-to-all** (全交换) gives every rank a different part of every other's vector, which experts
# (lesson 17) need.
#
# ## 3 What a cable costs (10 min)
#
# A message of $n$ bytes takes $\alpha + n/\beta$: a fixed **latency** (延迟), and the bytes over the **bandwidth** (带宽). So the ring takes
#
# $$2(N-1)\Bigl(\alpha + \frac{V}{N\beta}\Bigr).$$
#
# | way | β, one direction | as printed |
# |---|---|---|
# | PCIe 4.0, 16 lanes | 31.5 GB/s | "64 GB/s" (both directions) |
# | NVLink of an A100 | 300 GB/s | "600 GB/s" (both directions, all links) |
# | NVLink of an A800, an H800 | 200 GB/s | "400 GB/s" |
# | NVLink of an H100 | 450 GB/s | "900 GB/s" |
# | InfiniBand HDR, NDR | 25, 50 GB/s | "200 Gb/s", "400 Gb/s" (*bits*, one direction) |
# | RoCE v2 on 100 Gb Ethernet | 12.5 GB/s | "100 Gb/s" |
# | TCP/IP on 10 Gb Ethernet | 1.25 GB/s | "10 Gb/s" |
#
# Read the last column with care: a card maker adds both directions up, a network maker counts bits. InfiniBand and RoCE are both **RDMA** (远程直接内存访问):
# the network card reads the other machine's memory itself, which saves the latency of the operating system, not bandwidth. Article 003 lists these networks without
# numbers (L427-445), and gives NVLink's as if it were one number (L53); its next line compares the "H100 900" with the "A800 400", where it must
# be the H800 (L55).
#
# **Predict, then run.** A model of 7 billion parameters has 14 GB of gradients in 16 bits. Eight cards of one machine sum them over NVLink; or eight
# machines over RoCE. How long?

# %% tags=["label-ms"]
for key in (
    "nvlink_a100",
    "nvlink_a800",
    "pcie4",
    "infiniband_hdr",
    "roce_100",
    "tcp_10",
):
    ms = 1000 * seconds("all_reduce", 14e9, 8, LINKS[key])
    print(f"{LINKS[key].name:18}{ms:9,.0f} ms")
assert 80 < 1000 * seconds("all_reduce", 14e9, 8, LINKS["nvlink_a100"]) < 84

# %% tags=["label-links"]
sizes = [2.0**k for k in range(6, 34)]
fig, ax = plt.subplots(figsize=(6.2, 3.2), layout="constrained")
for key, style in zip(
    ("nvlink_a100", "pcie4", "infiniband_hdr", "roce_100"), ("-", "--", "-.", ":")
):
    rate = [n / seconds("all_reduce", n, 8, LINKS[key]) / 1e9 for n in sizes]
    ax.plot(sizes, rate, style, label=LINKS[key].name)
ax.set(
    xscale="log",
    yscale="log",
    xlabel="size of the vector, bytes",
    ylabel="GB summed a second",
)
ax.legend()
alt = "All-reduce rate against size for four networks: proportional to the size "
alt += "to about a hundred kilobytes, flat beyond some ten megabytes."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Left of about a hundred kilobytes the curves are straight lines: only latency counts, and a vector ten times as
# large takes no longer. On the right bandwidth rules. So: *send little things together*. (Bandwidths are the makers'; latencies are orders of magnitude. Programs reach 70
# to 95 % of them.)
#
# ## 4 Data parallelism (15 min)
#
# **Data parallelism** (数据并行): every rank holds the whole model and reads other rows. Before the optimizer steps, the gradients are
# summed. Why that is right: the loss of a batch is a mean over its M targets, and a gradient is linear, so
#
# $$\nabla\,\frac1M\sum_{i=1}^M \ell_i \;=\; \sum_{r} \frac{m_r}{M}\,\nabla\,\Bigl(\frac1{m_r}\sum_{i\in r}\ell_i\Bigr),$$
#
# where rank r has $m_r$ of the targets. Each rank weighs its mean loss by its **share** $m_r/M$; then gradients are added.

# %%
config = DecoderConfig(
    256, 32, 2, 32, AttentionConfig(4), FeedForwardConfig("swiglu", 64)
)
base_model = Decoder(config, dtype=f64)
stories = load_corpus("stories-en", max_bytes=12_000, progress=False).texts
text = "\n".join(stories).encode()
ids = torch.tensor(list(text[: 160 * 33])).view(160, 33)
x, y = ids[:, :-1].contiguous(), ids[:, 1:].clone()
y[::2, :24] = -100  # every second row: a question, whose words are no targets
print([(row != -100).sum().item() for row in y[:4]], "targets in the first rows")


# %% tags=["label-means"]
def gradient(group, x, y, weigh=True):
    model = copy.deepcopy(base_model)
    x, y = x[group.rank :: group.size], y[group.rank :: group.size]  # my rows
    share = target_share(group, int((y != -100).sum())) if weigh else 1 / group.size
    (share * causal_loss(model, x, y)).backward()
    sum_gradients(group, model.parameters())  # an all-reduce each
    return torch.cat([p.grad.reshape(-1) for p in model.parameters()])


(alone,) = run_threads(1, gradient, x[:8], y[:8])
gaps = [
    (run_threads(n, gradient, x[:8], y[:8])[0] - alone).abs().max().item()
    for n in (2, 4)
]
claim("PAR-001", max(gaps))
means = run_threads(2, gradient, x[:8], y[:8], False)[0]
print(
    f"mean of the ranks' means: off by {(means - alone).norm() / alone.norm():.0%}"
)

# %% [markdown]
# The last line is a real bug of the field. Most libraries *average* the ranks' gradients, which weighs a rank with 8 targets like one with 32. It
# does no harm where all rows are full, and quietly changes the loss where they are not, as in fine-tuning on answers
# ([prime-rl, PR 1957](https://github.com/PrimeIntellect-ai/prime-rl/pull/1957)).
#
# **Buckets** (梯度桶). A model has hundreds of parameters, many of them small: hundreds of latencies. So gradients are put into buckets of some megabytes, and a bucket is
# sent as one vector. **Overlap** (通信重叠): the last layer's gradient is there first. Its bucket can travel while the layers below still
# compute. A *hook* on each parameter tells when its gradient is ready; a second thread does the sending.


# %%
def watch_overlap(group):
    model = copy.deepcopy(base_model)
    sync = GradientSync(group, model, bucket_bytes=40_000)
    before = group.mark()
    causal_loss(model, x[:8], y[:8]).backward()
    sync.wait()
    return len(sync.buckets), sync.order, group.traffic.since(before).n_messages


n_buckets, order, n_messages = run_threads(2, watch_overlap)[0]
n_parameters = len(list(base_model.parameters()))
assert order == sorted(order) and n_messages == 2 * n_buckets
print(
    f"{n_parameters} parameters in {n_buckets} buckets, full in the order {order}"
)

# %% [markdown]
# Bucket 0 holds the *last* block. The embedding is in the last bucket: it is the first layer, and here the output matrix too, so that its
# gradient is complete only at the very end.
#
# ### Does it help? Predict, and measure
#
# How much overlap saves can be computed beforehand. A rank has two streams: one computes, one talks. A bucket goes when it is full
# *and* the bucket before it has gone:
#
# $$\text{start}_k=\max(\text{full}_k,\ \text{end}_{k-1}),\qquad \text{end}_k=\text{start}_k+2(N-1)\Bigl(\alpha+\frac{V_k}{N\beta}\Bigr).$$
#
# That is a **discrete-event simulation** (离散事件仿真): no clock runs, one looks only at the moments at which something starts or ends.
# $\text{full}_k$ comes from a step in which all ranks compute and none sends.
#
# Between two processes of one machine a message is *work* for a processor, so nothing can hide. Over a network it is *waiting*. We
# therefore make a slow network: in a `SlowGroup` each exchange takes 3 ms, and a second for 10 MB. The cable is invented; the waiting, the processes and the
# sums are real. A busy machine spoils such a measurement, so this one is recorded; `python -m benchmarks.ddp_step` repeats it on yours.
#
# **Predict, then run.** Say computing takes as long as talking. What is the most that overlap can save?
#
# <details><summary>Answer</summary>Half: max(a, b) in place of a + b. Less in truth: during the forward pass there is nothing to send, and the last bucket is full only at
# the end.</details>

# %% tags=["label-measured"]
# measured milliseconds; measured over predicted: median (lowest to highest turn)
record = json.loads((RESULTS / "ddp_step" / "two_cores.json").read_text())
lines = [line for line in record["measured"] if line["network"] == "slow"]
for line in lines:
    words = "{ranks} ranks, {way:8}{measured_ms:5.0f} ms {over_predicted:5.2f}"
    print((words + " ({lowest:.2f} to {highest:.2f})").format(**line))
for three in (lines[:3], lines[3:]):
    naive, buckets, overlap = (line["measured_ms"] for line in three)
    assert naive > buckets > overlap
    assert three[0]["over_predicted"] > 1.4
    assert all(1.1 < line["over_predicted"] < 1.4 for line in three[1:])

# %% tags=["label-overlap"]
fig, ax = plt.subplots(figsize=(9, 3.2), layout="constrained")
steps = {way: ClockedStep(**step) for way, step in record["steps"].items()}
names, alone, slow = [], steps["alone"], Link(**record["slow"])
for way in ("buckets", "overlap"):
    seen = steps[way]
    said = predict_step(alone, seen.sizes, slow, 2, overlap=way == "overlap")
    talks = [(e.start, e.end) for e in said.events if e.stream == "talk"]
    for who, parts, computed in (
        ("predicted", talks, alone.backward),
        ("measured", seen.talks, seen.backward),
    ):
        row = -len(names)
        names.append(f"{way}, {who}")
        ax.broken_barh([(0, 1e3 * computed)], (row, 0.4), color="C0")
        bars = [(1e3 * a, 1e3 * (b - a)) for a, b in parts]
        ax.broken_barh(bars, (row - 0.4, 0.4), color="C1", edgecolor="w")
ax.set(yticks=[-k for k in range(4)], yticklabels=names, xlabel="milliseconds")
bars, words = ax.collections[:2], ["computes", "talks"]
fig.legend(bars, words, loc="outside upper right", ncols=2)
alt = "Four pairs of bars, predicted and measured, two ranks. Without overlap talk "
alt += "begins where computing ends; with it, most lies beside the backward pass."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Each orange piece is a bucket. With overlap talk begins soon after the forward pass (when the first bucket is full), and ends sooner. The
# prediction has the three ways in the right order, and is too low: by 15 to 35 % with buckets, by half for naive. It knows the cable, but not
# that two processes must be woken for each message; naive has five times as many. The spread says that others used the machine, too.
#
# ### Accumulation: once, and at the end
#
# A step of k micro-batches needs one sum, after the last. What if one sums after the first, or after each?


# %% tags=["label-once"]
def accumulated(group, sums):
    model = copy.deepcopy(base_model)
    sync, full = GradientSync(group, model), torch.arange(1, 16, 2)  # 8 full rows
    before = group.mark()
    for k, row in enumerate(full[group.rank :: group.size].chunk(4)):
        with sync.only(k in sums):  # whether this pass sums
            (len(row) / 8 * causal_loss(model, x[row], y[row])).backward()
        if k in sums:
            sync.wait()
    sent = group.traffic.since(before).n_bytes
    return torch.cat([p.grad.reshape(-1) for p in model.parameters()]), sent


right = run_threads(1, accumulated, {3})[0][0]
for sums in ({3}, {0}, {0, 1, 2, 3}):
    got, n_bytes = run_threads(2, accumulated, sums)[0]
    times, off = n_bytes / (8 * len(right)), (got - right).norm() / right.norm()
    print(
        f"summed in pass {[k + 1 for k in sums]}: off by {off:4.0%}, sent {times:.0f} V"
    )
    assert (off < 1e-12) == (sums == {3}) and round(times, 2) == len(sums)

# %% [markdown]
# Both mistakes are on record. After the *first*: each rank keeps k − 1 passes of its own ([FunASR, PR 3472](https://github.com/modelscope/FunASR/pull/3472)). No error, no hang,
# and the ranks drift apart. After *each*: what was summed once is summed again, N times too large. (PyTorch averages. There the second
# mistake gives the right gradient, for k times the traffic.) And in PyTorch's DistributedDataParallel the switch is read in the
# *forward* pass; who sets it around backward only gets other sums than meant
# ([build-nanogpt, PR 30](https://github.com/karpathy/build-nanogpt/pull/30)).
#
# ## 5 ZeRO: nothing twice (15 min)
#
# On every rank lie the same parameters, the same gradients, the same optimizer state. In mixed precision (lesson 21) these are 2 + 2 + 12 bytes a parameter. **ZeRO**
# (零冗余优化器; *zero redundancy optimizer*) cuts them into N **shards** (分片), in three stages:
#
# | stage | a rank holds, bytes a parameter | sent in a step |
# |---|---|---|
# | 0, data parallelism | $2 + 2 + 12$ | $2\,V(N-1)/N$ |
# | 1: optimizer state | $2 + 2 + 12/N$ | $2\,V(N-1)/N$ |
# | 2: and gradients | $2 + (2 + 12)/N$ | $2\,V(N-1)/N$ |
# | 3: and parameters | $(2 + 2 + 12)/N$ | $3\,V(N-1)/N$ |
#
# **Predict, then run.** Stages 1 and 2 cost no more messages than data parallelism. How can that be?
#
# <details><summary>Answer</summary>An all-reduce <i>is</i> a reduce-scatter and an all-gather. Stages 1 and 2 put the optimizer between the two: sum the gradients to
# their owner, let it move its shard, and gather parameters instead of gradients.</details>

# %% tags=["label-zero"]
gb = [
    [
        state_bytes(s, 7.5e9, n, weight=2, gradient=2, state=12) / 1e9
        for n in (1, 8, 64)
    ]
    for s in range(4)
]
for stage, row in enumerate(gb):
    print(f"stage {stage}: " + "".join(f"{v:8.1f} GB" for v in row))
claim("PAR-004", gb[1][2], unit="GB")

# %% [markdown]
# That is figure 1 of the paper: 7.5 billion parameters on 1, 8 and 64 cards. Article 004 describes stage 1 rightly (L130). The first column is a warning against article 003
# (L31), where a single card trains 30 billion parameters "with ZeRO-2 or ZeRO-3": alone, ZeRO saves nothing. What saves there is offload (lesson 22a).
#
# By hand: the parameters of a block are laid end to end, filled up to a multiple of N, and cut. The parameters become *views* of the long vector. Stage 3
# takes the vector's memory away after use.


# %%
def one_block(group):
    block = torch.nn.Linear(8, 8)
    unit = FlatUnit(group, list(block.parameters()), keep=False)
    told = [storage_bytes([block.weight, block.bias])]
    unit.gather()  # an all-gather
    told.append(storage_bytes([block.weight, block.bias]))
    unit.release()
    return [*told, storage_bytes([unit.shard])]


print("released, gathered, shard:", run_threads(4, one_block)[0], "bytes")

# %% [markdown]
# A training step of stage 3 is then: gather a block, run it forward, release it; on the way back, gather it *again*, run it backward,
# reduce-scatter its gradient, release both. Parameters are gathered twice and gradients summed once: three halves of an all-reduce where data
# parallelism has two. **FSDP** (完全分片数据并行) is PyTorch's name for it.


# %%
def shards(group, stage):
    model = copy.deepcopy(base_model)
    zero = Zero(group, model, OptimizerConfig(), stage=stage)
    for step in range(2):
        before = group.mark()
        (causal_loss(model, x[:8], y[:8]) / group.size).backward()
        zero.step()
    sent = group.traffic.since(before).n_bytes
    return sent, zero.bytes_at_step, zero.peak_bytes


n = sum(p.numel() for p in base_model.parameters())
n_root = n - sum(p.numel() for p in base_model.blocks.parameters())
sent = {stage: run_threads(4, shards, stage)[0] for stage in (1, 2, 3)}
for stage, (n_bytes, at_step, peak) in sent.items():
    print(
        f"stage {stage}: {n_bytes / 8 / n:.2f} V sent; "
        f"{at_step / n:5.1f} bytes a parameter, at most {peak / n:5.1f}"
    )

# %% [markdown]
# (float64: 8 + 8 + 16 bytes.) Each stage moves the same weights in the same way. The *peak* has a block's gradients and, in stage 3, its parameters on top; in this
# tiny model the root (embedding and last norm, never released during a pass) is a large part. For the blocks alone the factor is exact. Take off the root's share, which is gathered once and summed
# once:

# %%
blocks = sent[3][0] - step_bytes("ddp", 8 * n_root, 4)
ratio = blocks / step_bytes("ddp", 8 * (n - n_root), 4)
claim("PAR-014", ratio, unit="of data parallelism")

# %% [markdown]
# One price is easily overlooked. In stages 2 and 3 no rank has room for whole gradients, so they are summed after *every* micro-batch: with k
# micro-batches stage 3 sends $3k/2$ times as much as data parallelism.

# %% tags=["label-micro"]
for k in (1, 4, 16):
    times = [
        step_bytes(m, 1, 64, k) / step_bytes("ddp", 1, 64, k)
        for m in ("zero1", "zero2", "zero3")
    ]
    print(
        f"{k:2} micro-batches: "
        + ", ".join(f"stage {s} {t:.1f}" for s, t in zip((1, 2, 3), times))
    )

# %% [markdown]
# ## 6 The proof (8 min)
#
# Six methods, on 1, 2 and 4 processes; the same language model, the same rows, ten steps (the tests take 20). All that may differ is the order of additions, that is, rounding.
#
# **Predict, then run.** How large is the largest difference between two loss curves in float64? In float32?


# %% tags=["nbval-ignore-output", "label-gap"]
def every_method(group, run, x, y):
    from minillm.distributed.same_run import METHODS, train_together

    return {method: train_together(group, run, x, y, method) for method in METHODS}


told = {}
for dtype in ("float64", "float32"):
    run = SameRun(config, 10, dtype=dtype, optimizer=OptimizerConfig(lr=3e-3))
    told[dtype, 1] = {"one": run_threads(1, train_together, run, x, y, "naive")[0]}
    for N in (2, 4):
        told[dtype, N] = run_processes(N, every_method, run, x, y)[0]


def largest(dtype, N):
    one = told[dtype, 1]["one"].losses
    return max(
        abs(a - b) / b
        for t in told[dtype, N].values()
        for a, b in zip(t.losses, one)
    )


for dtype, bound in (("float64", 1e-9), ("float32", 1e-5)):
    assert max(largest(dtype, 2), largest(dtype, 4)) <= bound
    print(
        f"{dtype}: 2 ranks {largest(dtype, 2):.0e}, 4 ranks {largest(dtype, 4):.0e}"
    )

# %% tags=["label-proof"]
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
one = told["float32", 1]["one"].losses
sharded = [told["float32", 4][f"zero{stage}"].losses for stage in (1, 2, 3)]
assert sharded[0] == sharded[1] == sharded[2]
left.plot(range(1, 11), one, "k-", lw=4, alpha=0.3, label="1 process")
for method, style in zip(METHODS, ("-", "--", "-.", ":", "-", "--")):
    losses = told["float32", 4][method].losses
    left.plot(range(1, 11), losses, style, lw=1, label=f"{method}, 4")
    gap = [max(abs(a - b) / b, 1e-9) for a, b in zip(losses, one)]
    right.plot(range(1, 11), gap, style, label=method)
right.axhline(1e-5, color="k", lw=0.8)
left.set(xlabel="step", ylabel="loss, nats a byte", xticks=range(1, 11))
left.set_ylim(top=6.6)
right.set(
    xlabel="step", ylabel="relative difference", yscale="log", ylim=(5e-10, 3e-5)
)
left.legend(ncols=2, title="method, processes")
alt = "Left: seven loss curves of ten steps lie on one another. Right: their relative "
alt += "differences from one process, all far below the bound of 1e-5."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** On the left one curve, drawn seven times. On the right, differences about as large as float32's rounding (6e-8 of a
# number), a hundred times below the bound. Stages 1 to 3 add in the same order, and so give the same digits as one another.
#
# And what each process held, counted from its tensors, beside the table of section 5 (float32: 4 + 4 + 8 bytes a parameter):

# %% tags=["label-held"]
for method, stage in (("overlap", 0), ("zero1", 2), ("zero2", 2), ("zero3", 3)):
    held = told["float32", 4][method].held_bytes
    table = state_bytes(stage, n, 4)
    assert abs(held / table - 1) < 0.01
    print(
        f"{method:8}{held / n:6.2f} bytes a parameter; {table / n:.2f} by the table"
    )

# %% [markdown]
# (Stage 1 has given its whole gradients away by the time the weights move; at the end of the backward pass it had them, which is the table's row.)
#
# ## 7 A rank dies (5 min)
#
# Llama 3 trained on 16 384 cards and was interrupted 419 times in 54 days without a plan: once in three hours (Llama Team 2024, [arXiv:2407.21783](https://arxiv.org/abs/2407.21783)).
# What must not happen is that all others wait. A broken connection is noticed at once, a silent rank after the timeout; both name the rank.


# %% tags=["nbval-ignore-output", "label-dies"]
def dies(group):
    import os
    import signal

    import torch

    from minillm.distributed.collectives import all_reduce

    if group.rank == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    all_reduce(group, torch.ones(4))


try:
    run_processes(4, dies)
except RankError as error:
    dead = error.rank
    print(str(error).splitlines()[0])
assert dead == 2

# %% [markdown]
# What happens then, restart and resume, is lesson 24.
#
# ## At scale
#
# GLM-130B, OPT-175B and BLOOM trained on hundreds of cards with data parallelism as one of several axes (lesson 23). BLOOM used ZeRO stage 1 beside pipelines; with its many
# micro-batches stages 2 and 3 would have had to sum gradients for each of them. Vicuna used FSDP on 8 cards: 13 billion parameters at 16 bytes are 26 GB a card. Wall times on GPUs: not measured yet.
#
# ## Common mistakes
#
# | mistake | what one sees | remedy |
# |---|---|---|
# | ranks start with different weights | loss falls, but more slowly; each rank is another model | broadcast from rank 0 |
# | all ranks read the same rows | N times the cost of one rank, and no error | rows `rank::N` |
# | mean of means with unequal targets | slightly other losses than on one card | weigh by the share of the targets |
# | summed in the first micro-batch | ranks drift apart | sum in the last, forward pass included |
# | summed in every micro-batch | k times the traffic; with sums in place of means also a wrong gradient | `only(last)` |
# | one rank skips a collective (evaluation, an `if rank == 0`) | hang | all ranks call it; timeouts |
# | clipping by the norm of a shard | each rank clips differently | sum the squares over ranks first |
# | bits taken for bytes | 8 times too fast on paper | look at the unit |
#
# ## Recap
#
# - Ranks can only send and receive. A ring all-reduce sends $2(N-1)/N$ of the vector, whatever N is.
# - Small messages cost latency, large ones bandwidth. So: buckets, and overlap with the backward pass.
# - Data parallelism sums gradients, each weighed by its share of the targets, once a step.
# - ZeRO 1 and 2 save memory for free; ZeRO 3 pays 1.5 times the traffic, and more with micro-batches.
# - Same losses to rounding, or there is a bug.
#
# ## Questions
#
# 1. Why is a ring all-reduce not N times as expensive on N ranks?
# <details><summary>Answer</summary>Each round sends only an N-th of the vector, and there are about 2N rounds.</details>
#
# 2. Its *latency* part does grow with N. When does that matter?
# <details><summary>Answer</summary>For small vectors on many ranks: 2(N − 1) latencies. Trees, with log N rounds, are better there.</details>
#
# 3. Two ranks, 8 and 32 targets. What weights must their mean losses have?
# <details><summary>Answer</summary>0.2 and 0.8.</details>
#
# 4. Why are buckets filled from the last layer?
# <details><summary>Answer</summary>Backward reaches it first; its bucket can be sent while the rest computes.</details>
#
# 5. Why does stage 3 gather parameters twice?
# <details><summary>Answer</summary>They are released after forward. Keeping them would be stage 2.</details>
#
# 6. On one card, which stage of ZeRO saves most?
# <details><summary>Answer</summary>None saves anything: N = 1.</details>
#
# 7. A cable is sold as "200 Gb/s", another as "64 GB/s, both directions". Which is faster in one direction, and by what factor?
# <details><summary>Answer</summary>25 GB/s against 32 GB/s: the second, by 1.28.</details>
#
# ## Homework (45 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. In exercises 1, 4 and 5 `@on_ranks` starts your
# function on all ranks: called with a table, it gives each rank its row. Sending too much is an error.


# %% tags=["setup"]
def on_ranks(work):
    """Make work(group, row, ...) a function of a table with a row a rank."""

    def everywhere(rows, *args):
        def one(group):
            got = work(group, rows[group.rank].clone(), *args)
            n = group.size
            most = 2 * (n - 1) * math.ceil(len(rows[0]) / n) * rows.element_size()
            assert group.traffic.n_bytes <= most, "a rank has sent too much"
            return got

        return run_threads(len(rows), one, timeout=5)

    everywhere.__name__ = work.__name__
    return everywhere


# %% [markdown]
# ### Exercise 1 · Gather, and to one rank only (8 min, ★☆☆)
#
# `gather_to(group, part, root)`: rank `root` returns the parts of all ranks as one tensor (N, m), by rank; all others return `None`. Use `send` and
# `receive` only.
#
# <details><summary>Hint 1</summary>The root receives N − 1 times, and copies its own part.</details>
# <details><summary>Hint 2</summary><code>group.receive(out[source], source)</code> writes into a row.</details>


# %% tags=["exercise"]
@on_ranks
def gather_to(group, part, root):
    # BEGIN SOLUTION
    if group.rank != root:
        return group.send(part, root)
    out = part.new_empty(group.size, len(part))
    out[root] = part
    for source in range(group.size):
        if source != root:
            group.receive(out[source], source)
    return out
    # END SOLUTION


# %% tags=["check"]
def gathered(rows, root):
    return [rows if rank == root else None for rank in range(len(rows))]


shapes = (((1, 2), 0), ((3, 2), 0), ((4, 1), 2), ((3, 4), 2))
cases = [(torch.arange(math.prod(shape)).view(shape), r) for shape, r in shapes]
check(gather_to, gathered, cases)

# %% [markdown]
# ### Exercise 2 · When is the ring slower? (8 min, ★★☆)
#
# A tree sends the whole vector in $2\lceil\log_2 N\rceil$ rounds (up to the root, down again), each $\alpha+V/\beta$. The ring needs $2(N-1)$ rounds of
# $\alpha + V/(N\beta)$. Return the size V in bytes at which both take equally long: below it the tree wins. `alpha` in seconds, `beta` in bytes a second. N is at least 4.
#
# <details><summary>Hint 1</summary>With L = ⌈log₂ N⌉: (N − 1)(α + V/(Nβ)) = L (α + V/β).</details>
# <details><summary>Hint 2</summary>Collect V: V (L − (N − 1)/N)/β = α (N − 1 − L).</details>


# %% tags=["exercise"]
def break_even(n, alpha, beta):
    # BEGIN SOLUTION
    rounds = math.ceil(math.log2(n))
    return alpha * beta * (n - 1 - rounds) / (rounds - (n - 1) / n)
    # END SOLUTION


# %% tags=["setup"]
def by_bisection(n, alpha, beta):
    def ring_is_slower_by(v):
        tree = math.ceil(math.log2(n)) * (alpha + v / beta)
        return (n - 1) * (alpha + v / n / beta) - tree

    low, high = 0.0, 1e15
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if ring_is_slower_by(middle) > 0 else (low, middle)
        )
    return low


# %% tags=["check"]
check(
    break_even,
    by_bisection,
    [(8, 3e-6, 3e11), (64, 2e-6, 25e9), (100, 1e-5, 1e9), (4, 1e-5, 1e9)],
)

# %% [markdown]
# ### Exercise 3 · Which stage fits? (8 min, ★★☆)
#
# Return the *lowest* stage (0 to 3) at which `n_params` parameters in mixed precision (2 + 2 + 12 bytes) leave at least `spare` bytes free on each of
# `n` cards of `memory` bytes; `None` if none does.
#
# <details><summary>Hint 1</summary>Try the stages in order; the formulas are in the table of section 5.</details>
# <details><summary>Hint 2</summary>Exactly <code>spare</code> left is enough.</details>


# %% tags=["exercise"]
def lowest_stage(n_params, n, memory, spare):
    # BEGIN SOLUTION
    w, g, s = 2 * n_params, 2 * n_params, 12 * n_params
    need = [w + g + s, w + g + s / n, w + (g + s) / n, (w + g + s) / n]
    return next((k for k in range(4) if need[k] + spare <= memory), None)
    # END SOLUTION


# %% tags=["check"]
def by_table(n_params, n, memory, spare):
    mixed = {"weight": 2, "gradient": 2, "state": 12}
    fits = [
        k
        for k in range(4)
        if state_bytes(k, n_params, n, **mixed) <= memory - spare
    ]
    return min(fits, default=None)


cases = [
    (7e9, 8, 80e9, 10e9),
    (13e9, 8, 80e9, 10e9),
    (30e9, 24, 80e9, 0.0),
    (1e9, 1, 80e9, 10e9),
]
cases += [
    (30e9, 1, 80e9, 10e9),
    (66e9, 24, 80e9, 10e9),
    (7e9, 8, 80e9, 48e9),
    (1e9, 4, 16e9, 0.0),
    (8e9, 4, 30e9, 0.0),
]
check(lowest_stage, by_table, cases)

# %% [markdown]
# ### Exercise 4 · The norm of a sharded gradient (8 min, ★★☆)
#
# Under ZeRO each rank has a shard of the gradient. Return the shard clipped as if the *whole* gradient had been clipped to length `max_norm`. (Do not change
# the shard in place.)
#
# <details><summary>Hint 1</summary>Lengths do not add up; their squares do.</details>
# <details><summary>Hint 2</summary><code>all_reduce(group, x)</code> sums a tensor of one number.</details>


# %% tags=["exercise"]
@on_ranks
def clip_shard(group, shard, max_norm):
    # BEGIN SOLUTION
    norm = all_reduce(group, shard.square().sum()).sqrt()
    return shard * (max_norm / norm).clamp(max=1.0)
    # END SOLUTION


# %% tags=["check"]
def clip_whole(rows, max_norm):
    return list(rows * min(1.0, max_norm / rows.norm().item()))


drawn = torch.randn(12, generator=torch.Generator().manual_seed(22), dtype=f64)
sizes = ((1, 1.0, 1.0), (2, 1.0, 1.0), (4, 0.5, 3.0), (3, 1.0, 1e-3))
cases = [(scale * drawn.view(n, -1), norm) for n, norm, scale in sizes]
check(clip_shard, clip_whole, cases)

# %% [markdown]
# ### Exercise 5 · Step of a shard (13 min, ★★★)
#
# ZeRO stage 1 for plain SGD in one function. `gradient` (n,) is this rank's, `weights` (n,) is the same on all ranks. N need not divide n. Every rank returns all
# weights after $w - \eta\sum_r g_r$, but may compute the difference for its own shard only. Use `padded`, `reduce_scatter`,
# `all_gather`. A rank may send at most $2\,(N-1)/N$ of the padded vector.
#
# <details><summary>Hint 1</summary>Pad both, reduce-scatter the gradients, move your slice, all-gather, cut the padding off.</details>
# <details><summary>Hint 2</summary>My slice of the padded weights is <code>.chunk(group.size)[group.rank]</code>.</details>


# %% tags=["exercise"]
@on_ranks
def sharded_sgd(group, gradient, weights, lr):
    # BEGIN SOLUTION
    mine = padded(weights, group.size).chunk(group.size)[group.rank]
    mine = mine - lr * reduce_scatter(group, padded(gradient, group.size))
    return all_gather(group, mine)[: len(weights)]
    # END SOLUTION


# %% tags=["check"]
def sgd_alone(gradients, weights, lr):
    return [weights - lr * gradients.sum(0)] * len(gradients)


cases = []
for n, length in ((1, 5), (2, 6), (3, 7), (4, 9)):
    gradients = torch.arange(n * length, dtype=f64).view(n, length).cos()
    cases.append((gradients, torch.arange(length, dtype=f64), 0.1))
check(sharded_sgd, sgd_alone, cases)

# %% [markdown]
# ## Sources
#
# - Patarasuk and Yuan 2009, *Bandwidth optimal all-reduce algorithms for clusters of workstations*, J. Parallel Distrib. Comput. 69: the ring, and why no
#   algorithm sends less.
# - Sergeev and Del Balso 2018, *Horovod*, [arXiv:1802.05799](https://arxiv.org/abs/1802.05799): the ring comes to deep learning.
# - Thakur, Rabenseifner and Gropp 2005, *Optimization of collective communication operations in MPICH*: latency, bandwidth, and which algorithm when.
# - Li et al. 2020, *PyTorch Distributed*, [arXiv:2006.15704](https://arxiv.org/abs/2006.15704): buckets, overlap, and their order.
# - Rajbhandari et al. 2019, *ZeRO*, [arXiv:1910.02054](https://arxiv.org/abs/1910.02054): sections 5 (stages) and 7 (messages).
# - Zhao et al. 2023, *PyTorch FSDP*, [arXiv:2304.11277](https://arxiv.org/abs/2304.11277): flat parameters per block.
#
# ## Next
#
# [23 Parallel](23_parallel.ipynb): when a single block is too large or the cables are too slow: cutting matrices, layers and sequences.

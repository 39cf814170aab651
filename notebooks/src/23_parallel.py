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
# # 23 Parallel: how do you cut a model into pieces, and which cut is the right one?
#
# 75 min · CPU · 20 s · 1 GB · needs [22b ZeRO](22b_zero.ipynb) · code: `minillm/distributed/`
#
# Lesson 22 gave every rank another part of the *data*, and shared out what is stored. Here the *model* is cut: by layers, by
# columns of its matrices, by positions, by experts. Each cut is equal to the whole to the last digits, and each pays with
# something else. At the end a search chooses among thousands of combinations, and says why.
#
# After this lesson you can
#
# 1. draw three pipeline schedules, derive their bubble, and say what waits in memory;
# 2. cut a matrix so that two ranks need one sum for two products, and write the backward pass of the cut;
# 3. spread attention over a ring, and experts over ranks;
# 4. place data, pipeline and tensor ranks on machines, and say why BLOOM used 8 × 12 × 4;
# 5. compute MFU and HFU, and read a published "50 % of peak" correctly.
#
# *Used here, from the lesson named:* collectives and ZeRO [22b](22b_zero.ipynb), recomputation [22a](22a_ledger.ipynb), experts
# [17](17_experts.ipynb), the online softmax [16b](16b_flash_attention.ipynb).
#
# *How to read the verdicts.* The claims of this lesson are arithmetic on published numbers, and their rules were written when those numbers were
# known. "Reproduced" says that our code comes to the same, not that we foresaw anything. One real test of a forecast is in section 8.

# %% tags=["setup"]
import copy
import json
from dataclasses import replace

import matplotlib.pyplot as plt
import torch

from minillm import model as kit
from minillm.distributed import hardware, pipeline, published, ring_attention
from minillm.distributed import schedules, stages as cuts
from minillm.distributed.conjugate import enter, leave, own_part
from minillm.distributed.expert_parallel import travel_to_experts
from minillm.distributed.full_size import FULL_SIZES, on
from minillm.distributed.layout import Layout
from minillm.distributed.plan import Job, Plan, blocks_per_stage
from minillm.distributed.processes import run_processes
from minillm.distributed.schedules import gpipe, interleaved, one_f_one_b
from minillm.distributed.search import Space, changes, consider, search, told
from minillm.distributed.tensor_parallel import split_decoder
from minillm.distributed.threads import run_threads
from minillm.distributed.timeline import simulate
from minillm.distributed.vocabulary_parallel import parallel_loss
from minillm.lesson import DATA, check, claim, setup, show
from minillm.model import attention, count_parameters, moe, presets
from minillm.objectives import causal_loss

setup(seed=23)
f64 = torch.float64  # we check equalities to 12 digits

# %% [markdown]
# ## 1 Two walls (7 min)
#
# A card of 2020 does 312 · 10¹² operations a second, reads 2 · 10¹² bytes a second from its own memory, sends 0.3 · 10¹² to a
# card in the same machine, and perhaps 0.025 · 10¹² to one in another machine. Each step down is a factor of about ten.
#
# An operation that does $I$ FLOPs for each byte it moves (its **arithmetic intensity**, 算术强度) cannot run faster than
# $I$ times the bytes a second. Below the corner of this **roofline** (屋顶线模型) the bytes decide: the **memory wall** (内存墙),
# and for links the **communication wall** (通信墙).

# %% tags=["label-walls"]
print("GB/s one way:     memory  NVLink (both)   wants FLOPs a byte of each")
for c in hardware.CARDS[1:5]:
    wants = [hardware.ridge(c.peak, speed) for speed in (c.bandwidth, c.link)]
    print(f"{c.name:15}{c.bandwidth / 1e9:9,.0f}{c.link / 1e9:8,.0f} "
          f"({c.nvlink.printed[:3]}){wants[0]:12,.0f}{wants[1]:7,.0f}")  # fmt: skip
card, network = hardware.A100_80, 25e9
print(f"a network of 200 Gbit/s a card: {hardware.ridge(card.peak, network):,.0f}")

a, h = hardware.A800_80, hardware.H800_80
assert (
    round(h.peak / a.peak, 1) == 3.2 and round(h.bandwidth / a.bandwidth, 1) == 1.6
)
ring = [2 * 7 / 8 * 14e9 / c.link for c in (card, a)]  # seconds: 14 GB over 8 cards
claim("HWC-001", ring[1] / ring[0])
claim("HWC-002", h.name.split()[0])
claim("HWC-004", 2 * 16 * 2)  # sockets x cores x threads
claim("HWC-005", 8 * card.memory / 1e9, unit="GB")  # of BLOOM's machines

# %% [markdown]
# A800 and H800 are the versions sold in China: the same arithmetic, slower links. The article (003) compares "H100 with 900 GB/s" and "*A800* with 400";
# beside an H100 it must mean the H800. It found an H800 "about 30 % faster" than an A800. By the table arithmetic is 3.2 times, memory 1.6 times as
# fast, and NVLink equal: 30 % lies between, and cannot be tested without the cards. Its machines have "64 CPUs of 16 cores each": no board
# has 64 sockets; two of 16 cores with two threads each show up as 64 processors.
#
# **Predict, then run.** Decoding multiplies *one* token's vector with every matrix. What share of the card's peak can it reach?
#
# <details><summary>Answer</summary>Each weight is 2 bytes and takes part in 2 FLOPs: one FLOP a byte, of 153 that the corner
# needs. Less than 1 %.</details>

# %% tags=["label-roofline"]
walls = (("memory", card.bandwidth, "-"), ("NVLink", card.link, "--"),
         ("network", network, ":"))  # fmt: skip
points = [(f"tokens at once: {m}", hardware.product_intensity(m, 4096, 4096),
           card.bandwidth) for m in (1, 64, 2048)]  # fmt: skip
for t in (2, 8):
    intensity = hardware.tensor_intensity(4096, 16384, t)
    points += [(f"layer on {t} cards, {name}", intensity, speed)
               for name, speed, _ in walls[1:]]  # fmt: skip
fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
grid = torch.logspace(0, 5, 200).tolist()
for name, speed, dash in walls:
    y = [hardware.attainable(i, card.peak, speed) / card.peak for i in grid]
    ax.plot(grid, y, dash, label=name)
for (name, i, speed), mark in zip(points, "ov^sDPX", strict=True):
    share = hardware.attainable(i, card.peak, speed) / card.peak
    print(f"{name:24}{i:8,.0f} FLOPs a byte, at most {share:6.1%}")
    size = 13 if mark == "D" else 8
    ax.plot(i, share, mark, ms=size, color="black", mfc="none", label=name)
ax.set(xscale="log", yscale="log", xlabel="FLOPs for each byte moved",
       ylabel="share of the peak")  # fmt: skip
ax.legend(ncols=2, fontsize=9)
text = (
    "Rooflines of memory, NVLink and network. A product of one token is under one "
    "percent; a layer on 8 cards is at the peak by NVLink, at a fifth by network."
)
show(fig, alt=text)

# %% [markdown]
# **What you should see.** Three slopes and one flat roof. The same layer over eight cards is under the roof by NVLink and on the slope by network. That
# decides half of this lesson: a layer that is spread over cards has to stay *inside a machine*.
#
# ## 2 Pipelines (14 min)
#
# The plainest cut is by layers: card 0 has the first blocks, card 1 the next, and so on. One batch would keep one card busy at a
# time. So the batch is cut too, into $m$ **micro batches** (微批) that follow one another: a **pipeline** (流水线并行) of $p$ stages.
#
# `gpipe` does all forward passes first, then all backward passes. A backward pass takes twice as long as a forward pass.

# %% tags=["label-gpipe"]
print(simulate(gpipe(3, 4)).draw())

# %% [markdown]
# A number is a forward pass of that micro batch, `[2]` a backward pass, a dot is an idle card. The dots are the **bubble** (流水线气泡).
#
# **Derive it.** A stage works for $m(f+b)$. It waits while the first micro batch comes down to it and while the last gradient comes
# back from below: in all $(p-1)(f+b)$, whichever stage it is. So
#
# $$\text{bubble} = \frac{(p-1)(f+b)}{(m+p-1)(f+b)} = \frac{p-1}{m+p-1}.$$
#
# Neither $f$ nor $b$ is left. Papers often give $(p-1)/m$ instead, idle over *working* time; that can exceed 1.

# %% tags=["label-bubble"]
print(" m   idle share of the step, 12 stages")
for m in (4, 12, 32, 64, 128):
    assert (
        abs(simulate(gpipe(12, m)).bubble - schedules.bubble_share(12, m)) < 1e-12
    )
    print(f"{m:3}   {schedules.bubble_share(12, m):.0%}")

# %% [markdown]
# So many micro batches are good; but with `gpipe` all of them wait in memory for their backward pass. **One forward, one backward**
# (`1F1B`) begins the backward passes as soon as it can. **Predict, then run:** which changes, the bubble or the memory?

# %% tags=["label-1f1b"]
print(simulate(one_f_one_b(3, 4)).draw())
for name, order in (("GPipe", gpipe(3, 4)), ("1F1B", one_f_one_b(3, 4))):
    run = simulate(order)
    print(
        f"{name:6} bubble {run.bubble:.0%}, stored {[run.peak(s) for s in range(3)]}"
    )

# %% [markdown]
# The same bubble; but stage $s$ stores $p-s$ micro batches, not $m$. That has a neat consequence: the first stage has $1/p$ of the blocks and
# $p$ micro batches in store, so it keeps as much as *one* card that holds all blocks and one micro batch.
#
# The bubble shrinks if each card gets $v$ thin slices of the model in place of one thick one: **interleaved** (交错式). A micro batch
# then passes all cards $v$ times, and filling the pipe takes only $1/v$ as long.


# %% tags=["label-schedules"]
def bars(ax, run, title):
    colours = plt.get_cmap("cividis")
    for slot in run.slots:
        forward = slot.work.kind == "forward"
        shade = 0.85 if forward else 0.25 + 0.15 * slot.work.chunk
        width = slot.end - slot.start
        ax.barh(slot.stage, width, left=slot.start, height=0.85,
                color=colours(shade), edgecolor="white")  # fmt: skip
        middle = (slot.start + slot.end) / 2
        ax.text(middle, slot.stage, slot.work.micro, ha="center", va="center",
                fontsize=8,
                color="black" if forward else "white")  # fmt: skip
    ax.set(
        title=f"{title}: {run.bubble:.0%} idle",
        yticks=range(run.n_stages),
        ylabel="stage",
    )
    ax.invert_yaxis()


fig, axes = plt.subplots(3, 1, figsize=(8, 6), sharex=True, layout="constrained")
bars(axes[0], simulate(gpipe(4, 8)), "GPipe")
bars(axes[1], simulate(one_f_one_b(4, 8)), "1F1B")
bars(axes[2], simulate(interleaved(4, 8, 2)), "interleaved, 2 chunks")
axes[2].set_xlabel("time, in forward passes of a stage")
text = (
    "Three schedules of 4 stages and 8 micro batches. GPipe and 1F1B are idle for "
    "27 percent, interleaved with two chunks for 16 percent."
)
show(fig, alt=text)

# %% [markdown]
# **What you should see.** Light bars are forward, dark bars backward passes. Above, the white gap is in the middle; in 1F1B it is
# spread, and just as large. Below, the two shades of dark are the two chunks; the pieces are half as wide, and the gaps about half.

# %% tags=["label-par009"]
gaps = []
for p in range(2, 13):
    for m in range(p, 5 * p + 1, p):
        all_first, turns = simulate(gpipe(p, m)), simulate(one_f_one_b(p, m))
        assert [all_first.peak(s) for s in range(p)] == [m] * p
        assert [turns.peak(s) for s in range(p)] == [p - s for s in range(p)]
        derived = schedules.bubble_share(p, m)
        gaps += [all_first.bubble - derived, turns.bubble - derived]
        for v in (1, 2, 3, 4):
            chunked = simulate(interleaved(p, m, v)).bubble
            gaps += [chunked - schedules.bubble_share(p, m, v)]
claim("PAR-009", max(map(abs, gaps)))
for scheme in ("gpipe", "flush", "pipedream", "2bw"):
    kept = [schedules.weight_versions(scheme, 4, s) for s in range(4)]
    print(f"{scheme:10}{kept} versions of the weights on 4 stages")

# %% [markdown]
# Nothing is free: the first stage of an interleaved pipeline stores $p+(p-1)/v$ micro batches in place of $p$ (`schedules.stored`, held equal to the clock by a
# test), and all send $v$ times as many messages. And $m$ has to be a multiple of $p$.
#
# The last lines: *PipeDream* (Narayanan et al. 2019) never drains the pipe, so there is no bubble at all. But then a micro batch would meet other
# weights on its way back than on its way there, so each stage keeps old versions; *2BW* needs two. 1F1B with a flush after each batch needs one.

# %% [markdown]
# ## 3 A pipeline that runs (5 min)
#
# The very lists that were drawn are now carried out, by two ranks that can only send and receive. What travels is the activations
# between two blocks, $B\,T\,D$ numbers, and their gradient back: however many parameters the blocks have. (GPipe and 1F1B run so; the interleaved order
# is simulated only.)

# %%
config = kit.DecoderConfig(
    vocab_size=300, d_model=32, n_layers=4, context=32, init_std=0.2,
    attention=kit.AttentionConfig(4),
    feedforward=kit.FeedForwardConfig("swiglu", 64),
)  # fmt: skip
model = kit.Decoder(config, dtype=f64)
xs, ys = torch.randint(300, (2, 8, 16))
whole = causal_loss(model, xs, ys)
whole.backward()
print(f"one process: loss {whole.item():.6f}")


def piped(group, order):
    mine = copy.deepcopy(model)
    mine.zero_grad()
    half = 2 * group.rank
    stage = pipeline.DecoderStage(mine, half, half + 2)
    ran = pipeline.run_pipeline(
        group, stage, order[group.rank], xs.split(2), ys.split(2), width=32
    )
    before = mine.embedding.weight.grad.clone()
    pipeline.sum_tied(group, mine)
    every = mine.named_parameters()
    return ran, {n: p.grad for n, p in every if p.grad is not None}, before


# %% tags=["label-piped"]
def farthest(grads, axes=None, rank=0, size=1):
    wanted = {n: model.get_parameter(n).grad for n in grads}
    for name, axis in (axes or {}).items():
        wanted[name] = own_part(wanted[name], rank, size, axis)
    return max((grads[n] - wanted[n]).abs().max().item() for n in grads)


order = one_f_one_b(2, 4)
ran = run_threads(2, piped, order)
for rank, (told_by, grads, _) in enumerate(ran):
    assert farthest(grads) < 1e-12
    assert told_by.peak == simulate(order).peak(rank)
    loss = told_by.loss and round(told_by.loss, 6)
    print(f"rank {rank}: loss {loss}, stored {told_by.peak}, gradients equal")
assert abs(ran[1][0].loss - whole.item()) < 1e-12
table = model.embedding.weight.grad
for rank, (_, _, before) in enumerate(ran):
    share = before.norm() / table.norm()
    print(f"rank {rank} alone: {share:.0%} of the length of the table's gradient")
assert torch.allclose(ran[0][2] + ran[1][2], table)

# %% [markdown]
# One trap: the embedding table is also the output matrix ([lesson 10](10_shapes.ipynb)), so it now stands on *two* ranks, and each sees one of its two uses.
# `sum_tied` adds the two gradients. Without it the copies drift apart, and nothing crashes.

# %% [markdown]
# ## 4 Cut the matrices (13 min)
#
# **Tensor parallelism** (张量并行) cuts every matrix. There are two ways to cut $y = xW^\top$:
#
# - share out the **outputs**: each rank computes some columns of $y$ from the whole $x$. No sum is needed;
# - share out the **inputs**: each rank has some columns of $x$ and computes a *summand* of the whole $y$.
#
# A feed-forward layer needs both, one after the other, and what the first leaves is what the second wants:
#
# $$y = \operatorname{act}(x\,U^\top)\,V^\top = \sum_r \operatorname{act}(x\,U_r^\top)\,V_r^\top .$$
#
# The curve works on each inner unit alone, so it can be inside the sum. **Predict, then run:** would it still hold if the first
# matrix were cut by its inputs?
#
# <details><summary>Answer</summary>No. Then each rank would have a summand of the inner units, and act(a + b) is not
# act(a) + act(b): one more sum between the two.</details>

# %%
x, U, V = (
    torch.randn(5, 8, dtype=f64),
    torch.randn(12, 8, dtype=f64),
    torch.randn(8, 12, dtype=f64),
)
y = torch.relu(x @ U.T) @ V.T
good = sum(
    torch.relu(x @ u.T) @ v.T
    for u, v in zip(U.chunk(2), V.chunk(2, 1), strict=True)
)
bad = (
    sum(
        torch.relu(a @ u.T)
        for a, u in zip(x.chunk(2, 1), U.chunk(2, 1), strict=True)
    )
    @ V.T
)
assert torch.allclose(good, y) and not torch.allclose(bad, y)
print("outputs first, then inputs: one sum at the end")

# %% [markdown]
# Attention is the same story with heads for inner units: a rank has the queries, keys and values of *its* heads and the columns of
# the output matrix that read them.
#
# **And backward?** Autograd does not see the other ranks. Where the whole $x$ enters, each rank finds a *share* of its gradient, and they must
# be summed. Where the summands leave, the gradient of a sum goes to each summand as it is. Megatron calls the two doors $f$ and $g$:
#
# | door | forward | backward |
# |---|---|---|
# | `enter` ($f$) | nothing | all-reduce |
# | `leave` ($g$) | all-reduce | nothing |
#
# They are each other's transpose.


# %% tags=["label-doors"]
def layer(group, doors):
    u, v = own_part(U, group.rank, 2, 0), own_part(V, group.rank, 2, 1)
    mine = x.clone().requires_grad_()
    inside = enter(mine, group) if doors else mine
    out = leave(torch.relu(inside @ u.T) @ v.T, group)
    out.sum().backward()
    return out.detach(), mine.grad


one = x.clone().requires_grad_()
(torch.relu(one @ U.T) @ V.T).sum().backward()
for doors in (True, False):
    out, grad = run_threads(2, layer, doors)[0]
    gap = (grad - one.grad).abs().max().item()
    print(
        f"enter used: {doors!s:6} output right: {torch.allclose(out, y)}, "
        f"gradient right: {gap < 1e-12}"
    )
assert gap > 0.1  # without f the loss is right, and learning is wrong

# %% [markdown]
# `split_decoder` cuts a whole model so. The model never knows: its weights are replaced by parts, and hooks stand at the doors of each half
# block. With `sequence=True` what lies *between* the doors (norms, residual sums) is spread along the sequence as well: **sequence
# parallelism** (序列并行). The all-reduce at a door becomes a reduce-scatter, and the next one an all-gather; together the same bytes.
#
# The vocabulary is cut too: no rank ever holds all logits. For the loss each position needs three numbers of all ranks (largest logit, sum of
# exponentials, the target's logit) in place of $V$.


# %% tags=["label-split"]
def split(group, sequence):
    mine = copy.deepcopy(model)
    mine.zero_grad()
    axes = split_decoder(mine, group, sequence=sequence)
    loss = parallel_loss(mine, xs, ys, group)
    loss.backward()
    grads = {n: p.grad for n, p in mine.named_parameters()}
    gap = max(
        farthest(grads, axes, group.rank, group.size), abs((loss - whole).item())
    )
    return gap, sum(p.numel() for p in mine.parameters()), group.traffic


gaps = []
for sequence in (False, True):
    for rank, (gap, n, traffic) in enumerate(run_threads(2, split, sequence)):
        gaps.append(gap)
        print(f"sequence {sequence!s:6} rank {rank}: "
              f"{n:,} of {count_parameters(config):,} "
              f"parameters, {traffic.n_bytes / 1e6:.2f} MB sent")  # fmt: skip
        one_sum = xs.numel() * 32 * 8  # bytes that one all-reduce of B T D sends
        if not sequence:  # two a block and direction, one at each table
            assert traffic.n_bytes // one_sum == 4 * 2 * 2 + 2
claim("PAR-010", max(gaps))

# %% [markdown]
# Now with two real processes, started from this notebook (Linux, macOS; on Windows use WSL 2).


# %% tags=["label-processes"]
def process(group, sizes, state, x, y):
    import torch

    from minillm.distributed.tensor_parallel import split_decoder
    from minillm.distributed.vocabulary_parallel import parallel_loss
    from minillm.model import (
        AttentionConfig,
        Decoder,
        DecoderConfig,
        FeedForwardConfig,
    )

    parts = {
        "attention": AttentionConfig(4),
        "feedforward": FeedForwardConfig("swiglu", 64),
    }
    model = Decoder(DecoderConfig(**sizes, **parts), dtype=torch.float64)
    model.load_state_dict(state)
    split_decoder(model, group)
    return parallel_loss(model, x, y, group).item()


sizes = {"vocab_size": 300, "d_model": 32, "n_layers": 4, "context": 32}
losses = run_processes(2, process, sizes, model.state_dict(), xs, ys)
assert all(abs(loss - whole.item()) < 1e-12 for loss in losses)
print("two processes have the loss of one")

# %% [markdown]
# *Two and more dimensions.* Megatron's cut is one-dimensional: every rank has whole activations at the doors. Colossal-AI's 2D, 2.5D and 3D cuts spread
# activations and weights over a square, a pile of squares or a cube of ranks ($q^2$, $d\,q^2$, $q^3$ of them). For the activations between the doors
# sequence parallelism does that with any number of ranks.
#
# ## 5 Cut the sequence: attention around a ring (6 min)
#
# A context of a million positions does not fit on a card, not even once. **Context parallelism** (上下文并行) gives each rank some
# *positions*. Norms and feed-forward layers do not notice; attention does, as a query needs all keys. So keys and values travel around a ring, and
# the online softmax of lesson 16b adds up what each block says. The result is exact.


# %%
def around(group, q, k, v, places):
    at = places[group.rank]
    return ring_attention.ring_attention(
        q[:, :, at], k[:, :, at], v[:, :, at], at, group
    )


q, k, v = torch.randn(3, 1, 2, 24, 8, dtype=f64)
wanted = attention(q, k, v, causal=True)
for share in (ring_attention.straight, ring_attention.zigzag):
    places = share(24, 3)
    parts = run_threads(3, around, q, k, v, places)
    gap = max(
        (part - wanted[:, :, at]).abs().max().item()
        for part, at in zip(parts, places, strict=True)
    )
    assert gap < 1e-12
print("three ranks, one third of the positions each: equal to full attention")

# %% [markdown]
# **Predict, then run.** Under causality, who has the most to do if the sequence is cut straight into pieces?

# %% tags=["label-zigzag"]
for share in (ring_attention.straight, ring_attention.zigzag):
    work = ring_attention.causal_work(share(24, 3))
    time = sum(max(rounds) for rounds in zip(*work, strict=True))
    print(
        f"{share.__name__:9} pairs of each rank {[sum(w) for w in work]}, "
        f"waited for: {time}"
    )

# %% [markdown]
# The last rank sees everything, the first almost nothing, and each round takes as long as its busiest rank. In the *zigzag* a rank holds an
# early and a late piece, and all are equally busy.
#
# **Expert parallelism** (专家并行) works the other way around: the weights stay, and tokens travel to the rank of their expert and back, by two
# all-to-alls a layer.


# %%
def sent_out(group, everyone, x, routing_logits):
    mine = everyone[2 * group.rank : 2 * group.rank + 2]  # two of the four
    x, logits = (t.chunk(2)[group.rank] for t in (x, routing_logits))
    return travel_to_experts(x, moe.route(logits, two_of_four), mine, group)


two_of_four, shape = moe.ExpertsConfig(4), kit.FeedForwardConfig("swiglu", 16)
everyone = [kit.FeedForward(8, shape, dtype=f64) for _ in range(4)]
x, logits = torch.randn(12, 8, dtype=f64), torch.randn(12, 4, dtype=f64)
here = moe.every_expert(x, moe.route(logits, two_of_four), everyone)
there = torch.cat(run_threads(2, sent_out, everyone, x, logits))
assert torch.allclose(here, there, atol=1e-12)
print("two ranks with two experts each answer like one rank with four")

# %% [markdown]
# A trap that our own tests found: a rank that *nobody* asks has no backward pass, and the others wait for it for ever. It has to take part with zero tokens.
#
# ## 6 Who stands where (5 min)
#
# Data, pipeline and tensor ranks form a box; **3D parallelism** (三维并行). A rank's number is
#
# $$\text{rank} = (\text{pipeline}\cdot D + \text{data})\cdot T + \text{tensor},$$
#
# so neighbours in number, which share a machine, are tensor ranks: the axis that talks most. (Context ranks, where there are any, come next; expert ranks
# are neighbours among the data ranks.)

# %% tags=["label-layout"]
bloom_box = Layout(data=8, pipeline=12, tensor=4)
places = [bloom_box.place(rank) for rank in range(bloom_box.world_size)]
wrong = sum(bloom_box.rank(place) != rank for rank, place in enumerate(places))
claim("PAR-002", wrong + len(places) - len(set(places)))
claim("PAR-003", bloom_box.world_size)
for axis, talk in (
    ("tensor", "all-reduce, 6 a block"),
    ("data", "once a step"),
    ("pipeline", "send"),
):
    n = bloom_box.machines(axis, 8)
    print(
        f"{axis:9}{len(bloom_box.groups(axis)):3} groups over {n:2} machines: {talk}"
    )
assert 48 * 8 == 384 and 52 * 8 == 384 + 32

# %% [markdown]
# ## 7 Where to cut (9 min)
#
# The article (003) has 24 cards and OPT-66B with 64 layers, and says that a pipeline can use 16 or 8 of them but not 24; "so buy an even number of
# servers". **Predict, then run:** with which numbers of servers of 8 cards do 64 layers make equal stages?

# %% tags=["label-opt66"]
claim("PAR-006", max(cuts.equal_stages(64, 24)))
good = [k for k in range(1, 9) if 8 * k in cuts.equal_stages(64, 64)]
print(f"servers of 8 cards that divide 64 layers: {good}")
claim("PAR-007", good == [1, 2, 4, 6, 8])
uneven = cuts.even_stages(64, 24)
print(f"24 stages: {uneven.count(3)} of 3 layers and {uneven.count(2)} of 2, "
      f"slower than equal ones by {cuts.imbalance(uneven) - 1:.1%}")  # fmt: skip

# %% [markdown]
# Two corrections to the article. 24 cards fail only with *equal* stages; 16 stages of 3 layers and 8 of 2 use all of them, and pay as the slowest stage
# sets the pace: 3 layers where 2⅔ would be fair. And "even" is not the rule: six servers are even, and 48 does not divide 64. For 64 layers it is a
# power of two.
#
# BLOOM has **70** blocks and 12 stages. 12 does not divide 70. But its table has 250 880 rows, heavier than a block, and stands at both ends:

# %% tags=["label-bloom"]
bloom = published.bloom()
shape = bloom.job.model
table, block = (
    shape.padded_vocab_size * shape.d_model,
    (count_parameters(shape) - 250_880 * 14_336) / 70,
)
print(f"table {table / 1e9:.2f}e9, block {block / 1e9:.2f}e9 parameters")
stages = blocks_per_stage(70, 12)
print(f"70 blocks + 2 tables = 72 = 12 x 6: {stages}")
assert sum(stages) == 70 and stages[0] == stages[-1] == 5

# %% [markdown]
# If layers differ, *finding* the best cut is a small problem of its own. With stage times $t_i$ a step takes $\sum_i t_i + (m-1)\max_i t_i$. Alpa
# (Zheng et al. 2022) fixes a bound on the slowest stage, finds the least sum under it by **dynamic programming** (动态规划), and tries all bounds.

# %% tags=["label-alpa"]
gaps = []
for seed in range(8):
    torch.manual_seed(seed)
    layers = (1 + 9 * torch.rand(8)).tolist()

    def cost(first, end, n, layers=layers):
        return sum(layers[first:end]) / n + 0.5 * (n - 1)

    found = cuts.best_stages(cost, 8, 6, 16, sizes=(1, 2))
    times = [
        cuts.step_time([cost(s.first, s.end, s.n_cards) for s in cut], 16)
        for cut in cuts.every_cut(8, 6, sizes=(1, 2))
    ]
    gaps.append(abs(found.time - min(times)))
print(f"{len(times)} cuts of 8 layers over 6 cards; the best found each time")
claim("PAR-013", max(gaps))

# %% [markdown]
# ## 8 The bill (10 min)
#
# Everything that was counted here and in lesson 22 makes a bill: bytes on the fullest card and seconds a step, part by part. It has *one* free number, the
# share of its peak that a card reaches inside a block. We take a round 60 %, with which BLOOM comes out right; everything else is arithmetic. So the next
# cell explains where BLOOM's seconds went. It does not test the bill.

# %% tags=["label-bill"]
theirs = consider(bloom.job, bloom.plan)
for part, seconds in vars(theirs.bill.time).items():
    if seconds:
        print(f"{part:10}{seconds:7.2f} s")
print(
    f"step      {theirs.bill.time.total:7.2f} s; BigScience's page reckons with 105"
)
print(f"memory    {theirs.bill.memory.total / 1e9:7.1f} GB of 80")
assert 95 < theirs.bill.time.total < 115

# %% [markdown]
# "156 TFLOPS, half of the peak of 312." **Half of what?** BLOOM recomputed every activation: one more forward pass beside forward and backward
# (8 FLOPs a parameter and token, not 6). Its own page says that it counts them. So 50 % is the **hardware** utilisation (HFU), what the cards
# were busy with. What the *model* got out of it (MFU) is three quarters of that.

# %% tags=["label-utilisation"]
print(f"predicted HFU {theirs.bill.hfu:.1%}, MFU {theirs.bill.mfu:.1%}")
print(f"reported  HFU {156 / 312:.1%}, so MFU {156 / 312 * 6 / 8:.1%}")
assert abs(theirs.bill.hfu - 0.5) < 0.03 and abs(theirs.bill.mfu - 0.375) < 0.02

# %% [markdown]
# **The test**: runs that had no part in choosing 60 %. BLOOM began with small batches; MT-NLG, 530 billion parameters, ran on three numbers of cards
# (TP 8, PP 35); some months later NVIDIA ran it again with sequence parallelism, recomputing the scores only.

# %% tags=["label-test"]
runs = {
    "BLOOM, 2 048 sequences": published.bloom(),
    "BLOOM, 192": published.bloom(192, 1),
    "BLOOM, 16": published.bloom(16, 2),
    "MT-NLG, 2 240 cards": published.mt_nlg(280),
    "MT-NLG, 2 800": published.mt_nlg(350),
    "MT-NLG, 3 360": published.mt_nlg(420),
    "530B again, 2 240": published.mt_nlg(280, later=True),
}
ratios = {}
for name, run in runs.items():
    paid = consider(run.job, run.plan).bill
    kind, share = (
        ("HFU", paid.hfu) if run.counts_recomputation else ("MFU", paid.mfu)
    )
    reported = run.tflops / 312
    ratios[name] = share / reported
    print(
        f"{name:24}{kind} predicted {share:6.1%}, "
        f"reported {reported:6.1%}: x {ratios[name]:.2f}"
    )
few = [ratios.pop("BLOOM, 192"), ratios.pop("BLOOM, 16")]  # few micro batches
assert 0.8 < min(ratios.values()) < 1 < max(ratios.values()) < 1.25
assert 1.3 < min(few) < max(few) < 1.6

# %% [markdown]
# With full batches the bill is off by up to a fifth, and *in both directions*: the later kernels of Megatron beat our 60 %. With small batches, where little
# work hides the rest, it is far too kind: it knows no start-up of kernels, no jitter, no data loading. So it may rank plans that differ by a quarter, and
# should be silent about a few per cent.
#
# GLM-130B ran on 96 machines of 8 × 40 GB. The article (004): each card holds "1.35 亿" (135 million) parameters.

# %% tags=["label-glm"]
glm = published.glm()
n = count_parameters(glm.job.model)
print(f"{n / 768 / 1e6:.0f}M over 768 cards, {n / 96 / 1e9:.2f}B over 96 machines, "
      f"{n / 32 / 1e9:.2f}B on a card (TP 4 x PP 8)")  # fmt: skip
claim("PAR-015", n / 768, unit="parameters")

# %% [markdown]
# The digits 1.35 are those of a *machine's* share, in billions: wrong by the unit. And no card holds a 768th: data parallel copies repeat the model.
#
# OPT-30B on the article's 24 cards, in the ways it names; the network is not stated, and we assume 200 Gbit/s a card.

# %% tags=["label-opt30"]
machines = published.three_machines()
opt30 = Job("OPT-30B", published.opt_30b(), machines, 192, 2048)
ways = {
    "PP 12, DP 2": Plan(Layout(2, 12), 1, 1, "full"),
    "ZeRO-2": Plan(Layout(24), 1, 2, "full"),
    "ZeRO-3": Plan(Layout(24), 1, 3, "full"),
    "ZeRO-3, 4 sequences": Plan(Layout(24), 4, 3, "full"),
}
for name, plan in ways.items():
    print(f"{name:20}{told(opt30, consider(opt30, plan))}")
possible = consider(opt30, ways["PP 12, DP 2"]).refused is None
claim("PAR-008", 24 if possible else 0)

# %% [markdown]
# "A single card can run 30 billion parameters with ZeRO-2 or ZeRO-3": not a single one, but each of 24. Under ZeRO-2 the weights alone are 60 GB, and 80 GB are
# full to the brim. ZeRO-3 fits easily and gathers all weights for every micro batch, so it wants large ones.
#
# ## 9 The search (12 min)
#
# There are 18 000 plans for 384 cards: data × pipeline × tensor, micro batch, stage of ZeRO, recomputation, chunks. All are looked at; what breaks a
# rule or does not fit is refused, with the reason.

# %% tags=["label-search"]
found = search(bloom.job)
print(found.report(4))

print("among what was known in March 2022:")
then = search(bloom.job, Space(recompute=("full",), sequence=False))
print(told(bloom.job, then.best))
print(told(bloom.job, theirs))
slower = theirs.seconds / then.best.seconds - 1
assert 18_000 < len(found.candidates) < 19_000
assert 0 <= slower < 0.15 and found.best.seconds < 0.8 * theirs.seconds
print(f"8 x 12 x 4 is {slower:.0%} behind the best that the bill knows")

# %% [markdown]
# The winner recomputes little or nothing, and needs a quarter less time than what BLOOM did. Were they wrong? They started in March 2022; selective
# recomputation with sequence parallelism (Korthikanti et al.) and FlashAttention appeared in May. The last lines search among what was known.
#
# Why this one? Change one thing at a time:


# %% tags=["label-changes"]
def show_change(what, c):
    if c.refused:
        print(f"{what:25} {c.refused.split(';')[0]}")
    else:
        slower, gigabytes = (
            c.seconds / theirs.seconds - 1,
            c.bill.memory.total / 1e9,
        )
        print(f"{what:25} {slower:+6.1%} time, {gigabytes:5.1f} GB")


changed = changes(bloom.job, bloom.plan)
for what in changed:
    if "," not in what:
        show_change(what, changed[what])

# %% tags=["label-moved"]
for what in changed:
    if "," in what:  # cards moved from one axis to another
        show_change(what, changed[what])

# %% [markdown]
# **Read it.** Why TP 4 × PP 12: 4 divides the cards of a machine, 12 divides 72, and together they make the model small enough. Why ZeRO-1: without
# it a card would be nearly full, and it costs nothing, as the bytes on the link are those of plain data parallelism; ZeRO-2 with a pipeline would have to reduce
# gradients for every micro batch. Why recompute: else the activations alone are over 100 GB. What is left differs by a few per cent: inside the error
# of the bill, and was chosen there by trying. **Predict:** chunks are refused, as 128 micro batches are no multiple of 12. Would they have paid?

# %% tags=["label-chunks"]
wide = replace(bloom.job, batch_size=2304)  # 144 micro batches
for v in (1, 2, 3):
    c = consider(wide, replace(bloom.plan, chunks=v)).bill
    waits = f"bubble {c.time.bubble:4.1f}, messages {c.time.messages:4.1f}"
    print(
        f"{v} chunks: {c.time.total:.1f} s, {waits}, {c.memory.total / 1e9:.1f} GB"
    )

# %% [markdown]
# No: with that many micro batches there is little bubble to win, and on BLOOM's network the messages cost more. Interleaving is for *few* micro batches a copy, and
# fast links.
#
# And OPT-66B on 24 cards? A tensor axis, which the article leaves out, makes the question of 24 stages disappear. (TP 3 is refused: ranks 6, 7 and 8
# would share a layer across two machines.)

# %% tags=["label-opt66-search"]
opt66 = Job("OPT-66B", published.opt_66b(), machines, 192, 2048)
print(told(opt66, search(opt66).best))
for uneven in (True, False):
    plan = Plan(Layout(1, 24), recompute="full", uneven=uneven)
    print(told(opt66, consider(opt66, plan)))

# %% [markdown]
# (The list of equal stages counts BLOOM's way, too: 64 + 2 = 66 = 22 × 3. 24 divides neither.)
#
# Baichuan-7B reports 182 TFLOPS, 58.3 % of 312, on a thousand A800. What that counts is not said; with FlashAttention a model of 7 billion needs no recomputation,
# so we read it as an MFU. The demo in its repository has ZeRO-2 and one sequence a card. How fast must the network be for that?

# %% tags=["label-baichuan"]
seven = published.baichuan()
for gbit in (100, 200, 400, 800):
    cluster = replace(seven.job.cluster, between=gbit / 8 * 1e9)
    c = consider(replace(seven.job, cluster=cluster), seven.plan)
    print(f"{gbit:4} Gbit/s a card: MFU {c.bill.mfu:.1%}")

# %% [markdown]
# At one sequence a card the gradients do not hide behind the backward pass unless the network is fast. More sequences a step would hide them as well; the report
# does not say which, and lists overlapping as one of its means.
#
# *Two more axes.* The search knows context and expert ranks as well. **Predict:** when does a context axis pay?

# %% tags=["label-axes"]
eight = hardware.Cluster(hardware.H100_80, 8, 8, 50e9, "assumed: 400 Gbit/s")
long = Job("LLaMA-7B, 131 072 positions", presets.llama_7b(), eight, 8, 131_072)
mixture = Job("Mixtral-8x7B", presets.mixtral_8x7b(), eight, 512, 4096)
for job, more in (
    (long, Space(context=(1, 2, 4, 8))),
    (mixture, Space(experts=(1, 2, 4, 8))),
):
    print(job.name)
    for space in (Space(), more):
        print(told(job, search(job, space).best))

# %% [markdown]
# For long sequences: without it, the positions of a sequence fit only if everything is recomputed. Experts: cut by tensor ranks they send activations twice a block,
# spread over data ranks they send only the tokens; and each rank's gradients are of its own experts.
#
# *Every recipe of [lesson 24](24_fsdp.ipynb) on paper*, on 8 to 4 096 H100, at the batch of its paper: **predict** which curve falls first.

# %% tags=["label-paper"]
sizes = [8 * 2**i for i in range(10)]
space, paper = Space(zero=(1, 3), chunks=(1, 2, 4)), {}
for run in (make() for make in FULL_SIZES.values()):
    batch = run.train.batch_size * run.train.accumulate
    print(f"{run.name}: {run.n_tokens:.3g} tokens")
    for n in sizes:
        cards = on(run, hardware.H100_80, n, between=50e9)
        job = Job(run.name, run.model, cards, batch, run.train.context)
        best = paper[run.name, n] = search(job, space).best
        if n in (8, 64, 512, 4096) and best:
            days = run.train.steps * best.seconds / 86400
            print(f"{n:5}{days:8.2f} days {told(job, best)}")
        elif not best:
            print(f"{n:5} does not fit")
assert paper["llama2_70b", 8] is None

# %% tags=["label-recipes"]
fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for name, mark in zip(FULL_SIZES, "ov^sD", strict=True):
    line = [(n, paper[name, n].bill.mfu) for n in sizes if paper[name, n]]
    ax.plot(*zip(*line, strict=True), mark + "-", label=name)
ax.set(xscale="log", xlabel="H100 cards", ylabel="MFU on paper", ylim=(0, 0.65))
ax.set_xticks(sizes, sizes, fontsize=9)
ax.minorticks_off()
ax.legend()
text = (
    "MFU on paper of five recipes on 8 to 4096 H100. 124M falls from 128 cards on, 1B "
    "from 256, 7B and 13B from 1024; 70B does not fit on 8, and hardly falls after 32."
)
show(fig, alt=text)
last = {name: paper[name, 4096].bill.mfu for name in FULL_SIZES}
assert list(last.values()) == sorted(last.values()) and last["gpt2_124m"] < 0.1

# %% [markdown]
# **What you should see.** The batch of a step is given, so more cards have less to do each, and the links stay. Small models fall first. The left end is our 60 %,
# and too good for the small ones: a card that multiplies narrow matrices does not reach it ([the ladder of lesson 24](24_fsdp.ipynb) measures that).

# %% [markdown]
# ## Common mistakes
#
# | mistake | what you see |
# |---|---|
# | `enter` is forgotten | the loss is right, gradients below the layer are not |
# | a bias is added on every rank | the loss is wrong, by more with more ranks |
# | a tied table is not summed | two copies drift apart; nothing crashes |
# | norms under sequence parallelism are not summed | gradients are a rank's share only |
# | one rank skips a collective | the others wait until the timeout |
# | TP across machines | all is right, and slow |
# | TP 3 on machines of 8 | the same: some groups stand in two machines |
# | the loss of a micro batch is not divided by $m$ | gradients are $m$ times too long |

# %% [markdown]
# ## Homework (35 min, after the lesson)
#
# ### Exercise 1 · How many micro batches? (5 min, ★☆☆)
#
# Return the smallest number of micro batches, a multiple of `p`, for which the bubble of `p` stages with `v` chunks is at most `share`.
#
# <details><summary>Hint 1</summary>Turn (p − 1)/(v m + p − 1) ≤ share into m ≥ …</details>
# <details><summary>Hint 2</summary>Or simply try p, 2p, 3p, …</details>


# %% tags=["exercise"]
def smallest_batch(p, v, share):
    # BEGIN SOLUTION
    m = p
    while (p - 1) / (v * m + p - 1) > share:
        m += p
    return m
    # END SOLUTION


# %% tags=["check"]
def by_clock(p, v, share):
    m = p
    while simulate(interleaved(p, m, v)).bubble > share + 1e-12:
        m += p
    return m


check(
    smallest_batch,
    by_clock,
    [(4, 1, 0.2), (4, 2, 0.2), (8, 1, 0.5), (3, 4, 0.05), (2, 1, 0.5), (6, 3, 0.3)],
)

# %% [markdown]
# ### Exercise 2 · Cut a gated layer (7 min, ★★☆)
#
# `x` is (T, D); `gate` and `up` are (F, D), `down` is (D, F). Return a list of the `n` *summands* that `n` ranks compute, rank by rank. Their sum is the layer.
#
# <details><summary>Hint 1</summary>gate and up are cut alike: by rows as stored.</details>
# <details><summary>Hint 2</summary><code>tensor.chunk(n, dim=1)</code> cuts columns.</details>


# %% tags=["exercise"]
def summands(x, gate, up, down, n):
    # BEGIN SOLUTION
    parts = zip(gate.chunk(n), up.chunk(n), down.chunk(n, dim=1), strict=True)
    silu = torch.nn.functional.silu
    return [(silu(x @ g.T) * (x @ u.T)) @ d.T for g, u, d in parts]
    # END SOLUTION


# %% tags=["check"]
def by_masks(x, gate, up, down, n):
    inner = torch.nn.functional.silu(x @ gate.T) * (x @ up.T)
    owner = torch.arange(len(gate)) * n // len(gate)
    return [(inner * (owner == r)) @ down.T for r in range(n)]


shapes = ((5, 6), (12, 6), (12, 6), (6, 12))
drawn = [torch.randn(s, dtype=f64) for s in shapes]
check(summands, by_masks, [(*drawn, n) for n in (1, 2, 3, 4)])

# %% [markdown]
# ### Exercise 3 · Two halves of attention (8 min, ★★★)
#
# Two ranks attended to different keys. Of each you get the average `a` of the values, (T, H), and the logsumexp `l` of the scores, (T,). Return the average over all
# keys. Be careful with large numbers.
#
# <details><summary>Hint 1</summary>The weight of the first half is exp(l₁) / (exp(l₁) + exp(l₂)).</details>
# <details><summary>Hint 2</summary>That is a sigmoid of l₁ − l₂.</details>


# %% tags=["exercise"]
def both(a1, l1, a2, l2):
    # BEGIN SOLUTION
    share = torch.sigmoid(l1 - l2)[:, None]
    return share * a1 + (1 - share) * a2
    # END SOLUTION


# %% tags=["check"]
def half_and_half(seed, scale):
    torch.manual_seed(seed)
    scores, values = (
        scale * torch.randn(4, 10, dtype=f64),
        torch.randn(10, 3, dtype=f64),
    )
    cut = 3 + seed
    parts = []
    for s, v in ((scores[:, :cut], values[:cut]), (scores[:, cut:], values[cut:])):
        parts += [s.softmax(-1) @ v, s.logsumexp(-1)]
    return parts, scores.softmax(-1) @ values


def by_softmax(a1, l1, a2, l2):
    weights = torch.stack((l1, l2)).softmax(0)[..., None]
    return weights[0] * a1 + weights[1] * a2


halves = [
    half_and_half(*case) for case in ((0, 1.0), (1, 3.0), (2, 900.0), (3, 0.0))
]
for parts, full_attention in halves:
    assert torch.allclose(by_softmax(*parts), full_attention)
check(both, by_softmax, [tuple(parts) for parts, _ in halves])

# %% [markdown]
# ### Exercise 4 · Who sends to whom (7 min, ★★☆)
#
# For a `Layout` and a rank, return the pair (rank it gets activations from, rank it sends them to) along the pipeline, `None` at the ends.
#
# <details><summary>Hint 1</summary>Only the pipeline index changes, by one.</details>
# <details><summary>Hint 2</summary>In rank numbers that is a step of data × tensor.</details>


# %% tags=["exercise"]
def neighbours(layout, rank):
    # BEGIN SOLUTION
    step = layout.data * layout.tensor
    before, after = rank - step, rank + step
    return (
        before if before >= 0 else None,
        after if after < layout.world_size else None,
    )
    # END SOLUTION


# %% tags=["check"]
def by_groups(layout, rank):
    (line,) = [g for g in layout.groups("pipeline") if rank in g]
    padded = [None, *line, None]
    i = padded.index(rank)
    return padded[i - 1], padded[i + 1]


cases = [(Layout(2, 3, 2), r) for r in range(12)] + [
    (Layout(8, 12, 4), r) for r in (0, 37, 383)
]
cases += [(Layout(4, 1, 2), 3), (Layout(1, 4, 1), 2)]
check(neighbours, by_groups, cases)

# %% [markdown]
# ### Exercise 5 · Two utilisations (6 min, ★★☆)
#
# A run of N parameters reports `tokens` a second and card on cards of `peak` FLOP/s. Return (MFU, HFU) by the 6 N rule, without attention; `full` says whether everything
# is recomputed.
#
# <details><summary>Hint 1</summary>Forward 2 N, backward 4 N, once more forward 2 N.</details>
# <details><summary>Hint 2</summary>MFU does not change with recomputation.</details>


# %% tags=["exercise"]
def utilisations(n, tokens, peak, full):
    # BEGIN SOLUTION
    mfu = 6 * n * tokens / peak
    return mfu, mfu * (8 / 6 if full else 1)
    # END SOLUTION


# %% tags=["check"]
known = {
    ("LLaMA-65B", 65.3e9, 380.0, 312e12, False): (0.4772, 0.4772),
    ("BLOOM", 176.2e9, 104.0, 312e12, True): (0.3524, 0.4699),
    ("Baichuan-7B", 7.0e9, 4333.0, 312e12, False): (0.5833, 0.5833),
}
check(utilisations, lambda *case: next(v for k, v in known.items() if k[1:] == case),
      [k[1:] for k in known], rtol=1e-3)  # fmt: skip

# %% [markdown]
# ## At scale
#
# | run | cards | DP × PP × TP | what it states |
# |---|---|---|---|
# | BLOOM-176B | 384 A100 80 GB | 8 × 12 × 4, ZeRO-1 | 156 TFLOPS with recomputation |
# | GLM-130B | 768 A100 40 GB | 24 × 8 × 4 | |
# | MT-NLG-530B | 2 240 A100 80 GB | 8 × 35 × 8 | 126 TFLOPS with recomputation |
# | OPT-30B (article) | 24 A800 | 2 × 12 × 1 | |
#
# All times above are forecasts with one free number. Our own measurement of it, on one card:

# %% tags=["label-gpu"]
records = sorted((DATA / "results" / "dense_1b_gpu").glob("*.json"))
for r in (json.loads(path.read_text()) for path in records):
    print(
        f"{r['machine']['gpu']}, 1.3 B: MFU {r['mfu_of_nominal']:.0%}; "
        "the bill assumes 60 % in a block"
    )
print("" if records else "a share of the peak on a GPU: not measured yet")

# %% [markdown]
# **What else the article lists.** *Megatron-LM*: sections 2 to 6. *DeepSpeed*: ZeRO and offload, lesson 22. *Colossal-AI*: cuts in several dimensions, and a
# memory manager that keeps tensors on card or host by how they are used (heterogeneous memory, 异构内存); *BMTrain*: ZeRO with overlap.
# *Alpa*: section 7; to train or serve (OPT-175B, BLOOM-176B, CodeGen-16B) a Hugging Face checkpoint is converted first: the same numbers under other names. Two routes: *compile* (TPU, XLA, JAX or TensorFlow: one writes
# how tensors are cut, the compiler adds the collectives), or *write the collectives* (GPU, PyTorch, Megatron, DeepSpeed). MindSpore, OneFlow, PaddlePaddle have their own; Flax is a library on JAX. To
# choose, ask: what does it cost, does it do *your* kind of training, how many tokens a second on your cards, how easily can the model be changed? *nvbandwidth* measures the
# links of a machine, *DCGM* reads the counters of running cards: look before you believe a bill.
#
# Links inside a machine: shared memory, PCIe, NVLink; between machines TCP/IP, or RDMA (one card writes into the other's memory without the processors: InfiniBand, iWARP,
# RoCE v2). Their speeds are in [22b](22b_zero.ipynb). Other accelerators named: AMD MI300X, Google TPU, Huawei Ascend 910/310 (昇腾), Hygon DCU (海光), Cambricon MLU (寒武纪), Baidu Kunlun (昆仑芯), Alibaba Hanguang (含光). Intel's Xeon Phi, also
# named, had been discontinued. NVIDIA's lines: GeForce (games), Quadro (workstations), Tesla (data centres: all cards above).
#
# ## Recap
#
# - Pipeline: cheap messages, a bubble of $(p-1)/(vm+p-1)$; 1F1B stores $p-s$ micro batches.
# - Tensor: outputs first, then inputs; one sum a half block; stays inside a machine.
# - Sequence, context, experts: the same bytes or exact rings; each cut has a backward pass that must be written.
# - BLOOM: 4 inside a machine, 72 = 12 × 6, ZeRO-1 for free.
# - 50 % of the peak with recomputation is 37.5 % for the model.
# - A bill with one free number ranks plans; it is off by a fifth with full batches, by more with small ones.
#
# ## Questions
#
# 1. Why does the bubble not depend on how long a backward pass takes?
# <details><summary>Answer</summary>Work and waiting both consist of pairs f + b; the pair cancels.</details>
#
# 2. With 1F1B, does twice as many stages halve the activations on the first card?
# <details><summary>Answer</summary>No: half the blocks, but twice as many micro batches wait.</details>
#
# 3. Why can the activation function not stand between the two halves of an input cut?
# <details><summary>Answer</summary>act(a + b) is not act(a) + act(b).</details>
#
# 4. A tensor-parallel model has the right loss at step 0 and a wrong one at step 1. First suspicion?
# <details><summary>Answer</summary>A missing sum in the backward pass.</details>
#
# 5. Why does BLOOM use TP 4 and not 8, as its machines have 8 cards?
# <details><summary>Answer</summary>By our bill TP 8 with half the stages is about as good; such differences are settled by trying.</details>
#
# 6. Two papers report 50 %. What do you ask?
# <details><summary>Answer</summary>Of which peak, and with or without recomputed FLOPs?</details>
#
# ## Sources
#
# - Shoeybi et al. 2019, *Megatron-LM*, [arXiv:1909.08053](https://arxiv.org/abs/1909.08053): $f$ and $g$.
# - Huang et al. 2018, *GPipe*, [arXiv:1811.06965](https://arxiv.org/abs/1811.06965): the bubble.
# - Narayanan et al. 2019, [arXiv:1806.03377](https://arxiv.org/abs/1806.03377), 2020, [arXiv:2006.09503](https://arxiv.org/abs/2006.09503), and 2021,
#   [arXiv:2104.04473](https://arxiv.org/abs/2104.04473): PipeDream, 2BW, interleaving, and how the axes fit together.
# - Korthikanti et al. 2022, [arXiv:2205.05198](https://arxiv.org/abs/2205.05198): bytes of activations, sequence parallelism, MFU and HFU.
# - Liu et al. 2023, *Ring Attention*, [arXiv:2310.01889](https://arxiv.org/abs/2310.01889).
# - Lepikhin et al. 2020, *GShard*, [arXiv:2006.16668](https://arxiv.org/abs/2006.16668): experts and all-to-all.
# - Zheng et al. 2022, *Alpa*, [arXiv:2201.12023](https://arxiv.org/abs/2201.12023): the cut by dynamic programming.
# - BigScience 2022, [arXiv:2211.05100](https://arxiv.org/abs/2211.05100), and `train/tr11-176B-ml/README.md` of
#   github.com/bigscience-workshop/bigscience: layout, stages, how FLOPs are counted.
# - Smith et al. 2022, *MT-NLG 530B*, [arXiv:2201.11990](https://arxiv.org/abs/2201.11990): 60.1, 50.2, 44.4 s a step on three numbers of cards.
# - Zeng et al. 2022, *GLM-130B*, [arXiv:2210.02414](https://arxiv.org/abs/2210.02414); Baichuan-7B, README, 2023.
#
# ## Next
#
# [24 FSDP](24_fsdp.ipynb): the same cuts by torch's own tools, from one command, with failure and resume.

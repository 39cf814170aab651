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
# # 22a Memory: where do the gigabytes of a training step go, and how does one do with fewer?
#
# 70 min · CPU · 15 s · 1 GB · needs [20a AdamW](20a_adamw.ipynb), [21 Stability](21_stability.ipynb) · code: `minillm/train/memory.py`,
# `minillm/distributed/recompute.py`, `recompute_cost.py`, `offload.py`, `utilisation.py`
#
# A model of 7 billion weights takes 14 GB in 16 bits. *Training* it takes more than 100, and a
# card has 80. In this lesson we write the bill of a training step line by line, from the config alone, and hold
# every line against a real step. Then we learn to pay less: by computing things twice, and by moving them
# away.
#
# After this lesson you can
#
# 1. write the **memory ledger** (显存账本) of a decoder: weights, gradients, optimizer, activations, temporary;
# 2. say what autograd keeps, and count it without running anything;
# 3. write **recomputation** (重计算) by hand, and avoid the trap that dropout sets;
# 4. say what recomputation costs exactly, and why it is not quite a third;
# 5. tell **MFU from HFU** in a published figure, and say what moving state away would cost.

# %% tags=["setup"]
import json
import math
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import torch

from minillm.distributed import published
from minillm.distributed.dry_run import dry_run, measure_step
from minillm.distributed.offload import offload_seconds, offloaded_activations
from minillm.distributed.recompute import POLICIES, checkpoint
from minillm.distributed.recompute import checkpoint_chain, recomputing
from minillm.distributed.recompute_cost import block_numbers, hardware_flops
from minillm.distributed.recompute_cost import recompute_ledger, step_peak
from minillm.distributed.recompute_cost import time_share
from minillm.distributed.sharded_ledger import SHARDINGS, rank_state
from minillm.distributed.utilisation import readings
from minillm.lesson import check, claim, setup, show
from minillm.model import AttentionConfig, Decoder, DecoderConfig
from minillm.model import FeedForwardConfig, count_parameters, presets
from minillm.objectives import causal_loss
from minillm.recipes.records import RESULTS
from minillm.train import AdamW, memory_ledger
from minillm.train.ledger import CountedFlops
from minillm.train.live_memory import LiveMemory, saved_bytes

setup(seed=22)

# %% [markdown]
# ## 1 The part that does not depend on the data (7 min)
#
# Three lines of the bill are known before the first token is read. There are the weights. Each weight has a **gradient**, the slope of
# the loss in its direction. And AdamW keeps two running means for each weight, $m$ and $v$ (lesson 20a). In float32, where a number takes 4 bytes, that is four numbers
# or 16 bytes a weight.
#
# In mixed precision (lesson 21) it is 16 again: 2 for the weight, 2 for its gradient, and 12 for what the optimizer holds in float32: the weight once
# more, $m$ and $v$.
#
# **Predict, then run.** How many gigabytes are that for LLaMA-7B?
#
# <details><summary>Answer</summary>6.74 billion weights times 16 bytes: 108 GB. The weights alone, in float32, are a quarter of it.</details>

# %% tags=["label-state"]
for name in ("gpt2_124m", "tinyllama_1b", "llama_7b", "bloom_176b"):
    n = count_parameters(presets.PRESETS[name]())
    print(f"{name:<13}{n / 1e9:7.2f} billion weights;", end=" ")
    print(f"{2 * n / 1e9:6.1f} GB in 16 bits,", end=" ")
    print(f"{16 * n / 1e9:7.1f} GB to train")

# %% [markdown]
# The first fits into any laptop; the last needs 36 cards of 80 GB for its state alone. To look closely we take a small decoder
# of the same kind, and let `memory_ledger` write the bill of one step on 8 sequences of 64 tokens.

# %% tags=["label-bill"]
small = DecoderConfig(
    vocab_size=500,
    d_model=64,
    n_layers=4,
    context=64,
    attention=AttentionConfig(n_heads=4),
    feedforward=FeedForwardConfig("swiglu", 160),
)
B, T = 8, 64
print(memory_ledger(small, B, T))

# %% [markdown]
# One line is far larger than the rest, and it is none of the four. It is the **activations** (激活值): what the forward pass leaves behind for the
# backward pass. It is the only line that grows with the batch, and the only one that is hard to count.
#
# ## 2 What autograd keeps (12 min)
#
# To compute the gradients of $y = x\,W^\top$ one needs $x$ (for the gradient of $W$) and $W$ (for that of $x$). So during the forward pass each
# operation keeps some of its inputs or outputs. Torch lets us watch: two functions, the
# **saved-tensor hooks**, are called for each tensor that is kept, and `saved_bytes` adds them up.
#
# **Predict, then run.** $h$ has 512 × 160 numbers of 4 bytes, 327 680 in all. How many bytes do `exp`, `silu` and `sum` of $h$ keep?

# %% tags=["label-kept"]
x = torch.randn(512, 64)
line = torch.nn.Linear(64, 160, bias=False)
h = line(x).detach().requires_grad_()
kept = {
    "linear": saved_bytes(lambda: line(x)),
    "silu": saved_bytes(lambda: torch.nn.functional.silu(h)),
    "exp": saved_bytes(lambda: h.exp()),
    "sum": saved_bytes(lambda: h.sum()),
}
print(kept)

# %% [markdown]
# - `linear` keeps $x$ alone, 512 × 64 numbers: $x$ is data and needs no gradient, so $W$ is not asked for.
# - `silu` keeps its input, `exp` its *output*, for $\frac{d}{dh}e^h=e^h$.
# - `sum` keeps nothing. Its slope is 1, whatever $h$ is.

# %%
assert kept["linear"] == x.nbytes
assert kept["silu"] == kept["exp"] == h.nbytes
assert kept["sum"] == 0

# %% [markdown]
# Now a whole block: RMSNorm, attention in a fused kernel, SwiGLU. In numbers for each token:
#
# | part | keeps | numbers |
# |---|---|---|
# | two norms | input, divided input, output: $D$ each; and what was divided by | $2(3D + 1)$ |
# | attention | $q$, $k$, $v$, the average (twice: RoPE makes torch copy it), a sum for each head | $3NH + 2KH + N$ |
# | SwiGLU | gate and up, the curve of the gate, their product | $4F$ |
#
# $D$ is the width of the model, $N$ and $K$ are the query and key heads of width $H$, and $F$ is the inner width. The weights of attention, $T$ numbers a head and token,
# are not in the table: a fused kernel never stores them (lesson 16b). For our block, by hand:

# %% tags=["label-block"]
D, N, H, F = 64, 4, 16, 160  # and K = N
by_hand = 2 * (3 * D + 1) + 5 * N * H + N + 4 * F
print(f"by hand {by_hand}, by the package {block_numbers(small, T)}")
assert by_hand == block_numbers(small, T)

# %% [markdown]
# So a block keeps 21 times the width of the model for every token: $1350/64$. The rule of thumb of Korthikanti et al. (2022), made for GPT's block with $F=4D$ in 16 bits, is 34 *bytes*
# for each $D$ and token, without attention's weights.
#
# The ledger counts; a real step can be *weighed*. `LiveMemory` sees every tensor that comes to
# life in a step, and adds its bytes until it is freed.
#
# **Predict, then run.** By how many per cent will they differ?

# %% tags=["label-weigh"]
model = Decoder(small)
ids = torch.randint(0, 500, (B, T))
found = measure_step(model, ids)
mine = recompute_ledger(small, B, T, policy="none")
rows = {
    "weights": (mine.parameters, found.parameters),
    "kept by forward": (mine.activations + mine.loss, found.kept),
    "gradients": (mine.gradients, found.gradients),
    "optimizer": (mine.optimizer, found.optimizer),
}
for what, (said, live) in rows.items():
    print(f"{what:<16}{said:>11,} predicted {live:>11,} alive"
          f" {said / live - 1:+7.2%}")  # fmt: skip
assert all(abs(said / live - 1) < 0.02 for said, live in rows.values())

# %% [markdown]
# Far below the 10 % that we aim for. The 4 096 bytes that are missing are RoPE's table of angles, which is made in the first pass and stays.
#
# ## 3 What comes and goes (8 min)
#
# The lines of the bill are not all due at the same time: activations are freed while gradients appear. And each
# moment has **temporary** tensors of its own. Three moments can be the most expensive one:
#
# - *the backward pass begins*: all activations are there, and the loss has made its gradients, of the features and of the output matrix;
# - *it ends*: all gradients are there. A table that serves as embedding *and* output matrix gets a gradient from each end, which
#   are added up; for a moment that is its size twice more;
# - *the update*: gradients, $m$, $v$, and one more number a weight, AdamW's roots of $v$.


# %% tags=["label-moments"]
for batch in (1, 8, 64):
    p = step_peak(small, batch, T, policy="none")
    mb = [n / 1e6 for n in (p.backward, p.end, p.update)]
    print(f"batch {batch:>2}: backward begins {mb[0]:5.1f} MB, "
          f"ends {mb[1]:.1f}, update {mb[2]:.1f}")  # fmt: skip

# %% [markdown]
# With one sequence the update is the worst moment; with eight it is the backward pass, and from there on the peak is simply that of the activations. Now the real
# course of a step: what is alive, besides the weights, after each operation.


# %% tags=["setup"]
class Course(LiveMemory):
    """LiveMemory that writes down how much lives after each operation."""

    def __init__(self):
        super().__init__()
        self.line = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = super().__torch_dispatch__(func, types, args, kwargs)
        self.line.append(self.live / 1e6)
        return made


def course(policy):
    torch.manual_seed(0)
    model = Decoder(small)
    optimizer = AdamW(model.parameters())
    model(ids[:1, :2])  # RoPE's table is made before
    with recomputing(model, policy), Course() as watch:
        causal_loss(model, ids, ids).backward()
        optimizer.step()
    return watch.line


# %% tags=["nbval-ignore-output", "label-course"]
plain, again = course("none"), course("block")
fig, ax = plt.subplots(figsize=(6.8, 3.2), layout="constrained")
ax.plot(plain, label="plain", lw=1.8)
ax.plot(again, "--", label="blocks computed twice (section 5)", lw=1.5)
ax.set(xlabel="operation of the step", ylabel="alive besides weights [MB]")
ax.legend(loc="upper right")
show(
    fig,
    alt="Bytes alive over the operations of a step: plain rises to one high "
    "peak and falls; with blocks computed twice there are four low teeth.",
)

# %% [markdown]
# **What you should see.** The plain step climbs to one summit, block by block, and comes down again
# in the backward pass. The dashed line belongs to section 5: it hardly climbs, and after the bump of the loss it has one tooth for each
# block on its way back. Both end on the same plateau: gradients and the optimizer's state.

# %%
assert max(again) < 0.5 * max(plain)
assert abs(plain[-1] - again[-1]) < 0.01 * plain[-1]
print(f"summits: {max(plain):.1f} MB plain, {max(again):.1f} MB twice")

# %% [markdown]
# ## 4 Weighing what does not fit (8 min)
#
# Can a model of 70 billion weights be weighed on a laptop? Yes. Torch can run a program on **fake
# tensors** (假张量): they know their shape, format and device, and hold no numbers. All operations of the
# step happen, and nothing is computed. `dry_run` counts the bytes that *would* live.

# %% tags=["label-dry"]
for name in ("gpt2_124m", "tinyllama_1b"):
    config = presets.PRESETS[name]()
    live = dry_run(config, 2, 256)
    said = recompute_ledger(config, 2, 256, policy="none")
    off = (said.activations + said.loss) / live.kept - 1
    peak = live.parameters + max(live.peak, live.update_peak)
    print(f"{name:<13} peak {peak / 1e9:5.1f} GB; ledger off {off:+.2%}")
    assert abs(off) < 0.10

# %% [markdown]
# A slow test asks the same of every dense preset of this course, up to BLOOM-176B, with and without recomputation. When it was written it failed for one case: Mistral-7B, with its feed-forward
# layers recomputed. The ledger said too little, by 14 %. **A prediction that fails tells you what you did not know.** What has
# Mistral that LLaMA has not? A *window*: each token looks back at most 4 096 places. Over 256 tokens such a window hides nothing. Does it cost something?

# %% tags=["label-window"]
mistral = replace(presets.mistral_7b(), n_layers=2)
heads = mistral.attention
no_window = replace(mistral, attention=replace(heads, window=None))
more = dry_run(mistral, 1, 256).kept - dry_run(no_window, 1, 256).kept
square = 4 * heads.n_heads * 256 * 256  # float32, for each head and each pair
print(f"the window keeps {more / 2:,.0f} bytes a layer;")
print(f"the square is    {square:,}")
assert more == 2 * square

# %% [markdown]
# It costs the whole square. A window is given to the kernel as a mask of yes and no; the kernel turns it into numbers, $0$ and $-\infty$, for every head and every row of the batch, and
# keeps them. So one line of the config brings back what FlashAttention had removed (lesson 16b), silently. ALiBi's biases do the same, once for the batch. The ledger
# knows both now. What remains, less than one per cent here, is RoPE's table, which Mistral makes for its whole context of 32 768 places. (For
# all 24 dense presets cut to two layers, the worst is now Qwen2-0.5B, off by 6 %, for that table.)
#
# What no ledger of tensors knows is what the *allocator* of a GPU wastes between them. Leave a tenth of the card free.
#
# ## 5 Compute it twice (16 min)
#
# Do not keep what can be computed again. In the forward pass a block keeps only its *input*. When
# the gradient arrives, the block runs a second time, now with autograd's notes, and the gradient goes back through those. In torch that is an `autograd.Function` of a dozen lines:


# %% tags=["label-naive"]
class Naive(torch.autograd.Function):
    @staticmethod
    def forward(ctx, part, x):
        ctx.part = part
        ctx.save_for_backward(x)
        return part(x)  # inside a Function nothing is noted

    @staticmethod
    def backward(ctx, above):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            y = ctx.part(x)
        y.backward(above)  # weights get theirs on the way
        return None, x.grad


# %% [markdown]
# **Predict, then run.** A layer with **dropout** (随机失活) sets half of its outputs to zero, at random, while it is trained.
# Is the gradient of `Naive` that of the plain layer?


# %% tags=["label-dropout"]
def gradient_of(way):
    torch.manual_seed(3)
    layer = torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.Dropout(0.5))
    x = torch.randn(4, 6, requires_grad=True)
    torch.manual_seed(4)
    way(layer, x).sum().backward()
    return layer[0].weight.grad


plain = gradient_of(lambda layer, x: layer(x))
for name, way in (("naive", Naive.apply), ("checkpoint", checkpoint)):
    print(f"{name:<11} equal: {torch.equal(gradient_of(way), plain)}")
assert not torch.equal(gradient_of(Naive.apply), plain)
assert torch.equal(gradient_of(checkpoint), plain)

# %% [markdown]
# The second run threw the dice anew. The gradient belongs to a layer whose output nobody has seen, and no error message says so. The package's
# `checkpoint` notes the state of the random generators before the first run, sets it for the second,
# and then puts back what it found. It does the same for the formats of autocast, and it refuses weights that
# were changed in between.
#
# `recomputing(model, policy)` puts it around parts of a model from outside: the attention of each block, its feed-forward layer, or the whole block. The results are equal
# **to the last bit**:


# %% tags=["label-bits"]
def gradients(policy):
    model.zero_grad()
    with recomputing(model, policy), CountedFlops() as counted:
        causal_loss(model, ids, ids).backward()
    return [p.grad.clone() for p in model.parameters()], counted.total


plain, flops = gradients("none")
for policy in POLICIES:
    grads, done = gradients(policy)
    same = all(torch.equal(a, b) for a, b in zip(grads, plain, strict=True))
    kept = recompute_ledger(small, B, T, policy=policy).activations
    print(f"{policy:<12} equal {same}; keeps {kept / mine.activations:4.0%}; "
          f"FLOPs x {done / flops:.3f}")  # fmt: skip
    assert same and done == B * T * hardware_flops(small, policy=policy)

# %% [markdown]
# The last line of the cell holds the *predicted* number of operations equal to the counted one, exactly.
#
# ### Why not a third
#
# A forward pass costs 2 FLOPs (multiply, add) for each weight and token, a backward pass 4. One more forward pass makes 8
# of 6, a third more. That is the figure which one reads everywhere. But the output matrix belongs to no block and is not recomputed; the larger the vocabulary beside the
# model, the lower the price.

# %% tags=["label-flops"]
for name in ("gpt2_124m", "llama_7b", "llama_65b", "bloom_176b"):
    share = time_share(presets.PRESETS[name]())
    print(f"{name:<11} {share:.1%} more FLOPs (one third is 33.3 %)")
claim("PAR-011", time_share(presets.llama_7b()))

# %% [markdown]
# And the clock? Norms and curves hardly cost FLOPs, but they cost time, and so does the bookkeeping. So this line is a measurement, not a law.


# %% tags=["label-clock", "nbval-ignore-output"]
def seconds(policy):
    with recomputing(model, policy):
        start = time.perf_counter()
        causal_loss(model, ids, ids).backward()
        return time.perf_counter() - start


seconds("none"), seconds("block")  # warm
pairs = sorted(seconds("block") / seconds("none") for _ in range(15))
print(f"a step with all blocks recomputed: {pairs[7]:.2f} x the time")
print(f"(middle half of 15 pairs: {pairs[3]:.2f} to {pairs[11]:.2f})")
assert 1.05 < pairs[7] < 2.0

# %% [markdown]
# At full size the same was measured by Korthikanti et al. (2022) on 2 240 A100: a 530B model used 42.1 % of the cards with everything recomputed, and
# 54.2 % when only the cheap part was, attention's weights. That part is what a fused kernel recomputes anyway, so with FlashAttention the choice is
# made for you. (42.1 % and 54.2 % *of what* is the subject of section 7.)
#
# ### The bill of LLaMA-7B
#
# What does it buy? The bill for one to four sequences of 2 048 tokens, in 16 bits with the optimizer in float32:

# %% tags=["label-llama"]
seven = presets.llama_7b()
n = count_parameters(seven)
parts = ("weights", "gradients", "optimizer", "activations")
bars = {}
for batch in (1, 2, 4):
    for policy, word in (("none", "kept"), ("block", "twice")):
        ledger = recompute_ledger(seven, batch, 2048, policy=policy,
                                  bytes_per_number=2)  # fmt: skip
        bars[f"{batch}\n{word}"] = (2 * n, 2 * n, 12 * n, ledger.activations)
fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
bottom = [0.0] * len(bars)
for i, part in enumerate(parts):
    height = [row[i] / 1e9 for row in bars.values()]
    look = {"hatch": ("", "//", "..", "xx")[i], "alpha": 0.8}
    ax.bar(list(bars), height, 0.7, bottom, label=part, **look)
    bottom = [b + h for b, h in zip(bottom, height, strict=True)]
ax.axhline(80, color="k", ls="--", lw=1)
ax.text(6.1, 83, "a card", ha="right")
ax.set(ylabel="GB", xlabel="sequences; activations kept, or computed twice")
ax.legend(loc="upper left", ncols=2)
ax.set(xlim=(-0.6, 6.2), ylim=(0, 1.8 * 108))
show(fig, alt="Stacked bars of LLaMA-7B's bill: 108 GB of state in all; "
     "activations add 12 to 47 GB if kept, at most about 2 GB if not.")  # fmt: skip
print([round(row[3] / 1e9, 1) for row in bars.values()], "GB activations")

# %% [markdown]
# **What you should see.** Three parts are the same in all bars and alone exceed the card: sections 6 and 8 are about them. The activations, on top, double with the batch; computed twice,
# they nearly vanish. What is left is one input a block.
#
# ### How often to keep something
#
# Take a chain of $n$ layers and keep every $k$-th input. That is $n/k$ inputs, and, while a segment is
# run again, the notes of $k$ layers. The sum $n/k + k$ is smallest at $k = \sqrt n$, where it is $2\sqrt n$:
# 100 layers need the room of 20, for one more forward pass (Chen et al. 2016).
#
# **Predict, then run.** For 36 layers, which $k$ is best?

# %% tags=["nbval-ignore-output", "label-chain"]
layers = [
    torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Tanh()) for _ in range(36)
]
x0 = torch.randn(2048, 64, requires_grad=True)


def peak_of(segment):
    with LiveMemory() as memory:
        checkpoint_chain(layers, x0, segment).sum().backward()
    for layer in layers:
        layer.zero_grad()
    return memory.peak / x0.nbytes


segments = (1, 2, 3, 4, 6, 9, 12, 18, 36)
peaks = {k: peak_of(k) for k in segments}
best = min(peaks, key=peaks.get)
print({k: round(p, 1) for k, p in peaks.items()}, "-> best", best)
assert 4 <= best <= 9  # around the root of 36

# %% tags=["nbval-ignore-output", "label-valley"]
fig, ax = plt.subplots(figsize=(5.2, 3.0), layout="constrained")
ax.plot(segments, [peaks[k] for k in segments], "o-", label="measured peak")
ax.plot(segments, [36 / k + k for k in segments], "--", label="n / k + k")
ax.set(xlabel="length k of a segment", ylabel="inputs alive at most",
       xscale="log", ylim=(0, None))  # fmt: skip
ax.set_xticks(segments, segments, minor=False)
ax.minorticks_off()
ax.legend()
show(fig, alt="Peak memory against the length of a segment: a valley near "
     "six, the root of 36.")  # fmt: skip

# %% [markdown]
# **What you should see.** A valley at $k = 6$. The measured line lies a few tensors above the dashed one: those that
# the pass works with. A decoder has few blocks, each with notes of twenty inputs, so there $k=1$ is the usual choice; exercise 3 says from when on it is not.
#
# ## 6 Move it away (7 min)
#
# What is not needed now can lie elsewhere: in the computer's own memory, or on its disk. The same hooks that let us count can do it: a kept tensor is written into
# a file when it is packed, and read when it is unpacked. **Offload** (卸载) changes no number:

# %% tags=["label-offload"]
model.zero_grad()
weights = tuple(model.parameters())
with LiveMemory() as memory, offloaded_activations(keep=weights) as traffic:
    loss = causal_loss(model, ids, ids)
    here = memory.live
loss.backward()
pairs = zip(weights, plain, strict=True)
same = all(torch.equal(p.grad, g) for p, g in pairs)
print(f"equal {same}; alive {here / 1e6:.2f} of {found.kept / 1e6:.1f} MB;")
print(f"{traffic.written / 1e6:.1f} MB written, {traffic.read / 1e6:.1f} read")
away = here < 0.05 * found.kept
claim("PAR-012", bool(same and away and traffic.read == traffic.written))

# %% [markdown]
# The price is traffic. In mixed precision AdamW reads and writes 12 bytes a weight. How long does each step wait for 7 billion weights, over a PCIe link
# of 32 GB/s, in two ways: the state comes to the card for the update, or the *processor* does the update, and only gradients (2 bytes) leave and weights (2 bytes) come?

# %% tags=["label-pcie"]
for what in ("optimizer", "update"):
    print(f"{what:<10}{offload_seconds(7e9, 32e9, what=what):.2f} s a step")
assert offload_seconds(7e9, 32e9, what="update") < 1

# %% [markdown]
# The second is ZeRO-Offload (Ren et al. 2021): a sixth of the traffic, and it can hide behind the backward pass. ZeRO-Infinity goes on to disks. The article (003, line 249) says that offload trades communication for memory: so it does.
#
# ## 7 Half of the card, or three eighths? (8 min)
#
# The article (004, line 131) says that BLOOM reached 156 TFLOP/s on cards that can do 312: half. But BLOOM
# recomputed its blocks, and BigScience's own page says that the figure counts that work: 8 FLOPs a weight and token, not 6. Two shares must be told apart:
#
# - **HFU** (硬件算力利用率), of the hardware: all FLOPs that the card has done;
# - **MFU** (模型算力利用率), of the model: those that the model needs. Work done twice does not count.
#
# HFU says whether the card was busy, MFU how fast you learn. **Predict, then run.** What is BLOOM's MFU?

# %% tags=["label-mfu"]
for run in (published.bloom, published.baichuan, published.llama_65b):
    for reading, u in readings(run()).items():
        shares = f"MFU {u.mfu:.1%}  HFU {u.hfu:.1%}"
        print(f"{run.__name__:<10}{reading:<16} {shares}")
(bloom,) = readings(published.bloom()).values()
assert bloom.hfu == 0.5 and 0.37 < bloom.mfu < 0.39

# %% [markdown]
# BLOOM's half is an HFU; its MFU is three eighths, a little more since the output matrix is not computed twice. Baichuan-7B reports 182 TFLOP/s, "58.3 % of the peak" (004, line 929). Its page does
# not say what is counted, nor whether anything was recomputed, so there are four readings, and the MFU lies anywhere between the smallest and the largest. LLaMA-65B gives tokens a second (380 on each card), which is the honest unit: its MFU follows, and only its HFU stays open,
# for it kept the outputs of the linear layers and recomputed the rest.
#
# **A utilisation without the word "model" or "hardware" is half a number.** The verdicts on these claims are in lesson 24; lesson 23 predicts BLOOM's figure.
#
# ## 8 The bill of one rank (4 min)
#
# The last way is to share the bill. *Taken on trust until lesson 22b*: with ZeRO (Rajbhandari et al. 2019) each of $N$ cards works on its own part of the batch and keeps only a part of the state. The 16 bytes a weight are cut one kind after another: stage 1 the optimizer, stage 2 the gradients
# too, stage 3 the weights too.

# %% tags=["label-zero"]
for n_cards in (1, 24):
    for sharding in SHARDINGS:
        w, g, o = (b / 1e9 for b in rank_state(30 * 10**9, n_cards, sharding))
        print(f"{n_cards:>2} cards, {sharding:<5}: {w + g + o:5.1f} GB each ="
              f" {w:.1f} weights + {g:.1f} gradients + {o:.1f}")  # fmt: skip
on_one = [sum(rank_state(30 * 10**9, 1, s)) for s in ("zero2", "zero3")]
claim("PAR-005", all(total <= 80e9 for total in on_one))

# %% [markdown]
# The article (003, line 31) says that a single card can train 30 billion parameters with ZeRO-2 or ZeRO-3. On *one* card there is nobody to share with: ZeRO
# cuts nothing, and 480 GB are 480 GB. On 24 cards stage 2 leaves 77.5 GB on each, so that 80 GB are full before the first activation; stage 3
# leaves 20. The sentence can be true only with offload, which it does not mention. (It is about OPT-30B on 24 cards, so perhaps "each card" was meant.)
#
# ## Homework (40 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it.
#
# ### Exercise 1 · The state of any optimizer (5 min, ★☆☆)
#
# A model has `n` weights. `weight`, `gradient` and `master` (the float32 copy of mixed precision, 0 without) are bytes a weight, and so are the entries of the list `moments`, one for each
# running mean that the optimizer keeps. Return the bytes in all.
#
# <details><summary>Hint 1</summary>All are per weight: add, then multiply.</details>
# <details><summary>Hint 2</summary><code>sum(moments)</code> is 0 for an empty list.</details>


# %% tags=["exercise"]
def state_of(n, weight, gradient, master, moments):
    # BEGIN SOLUTION
    return n * (weight + gradient + master + sum(moments))
    # END SOLUTION


# %% tags=["setup"]
def by_counting(n, weight, gradient, master, moments):
    return sum(weight + gradient + master + sum(moments) for _ in range(n))


# %% tags=["check"]
check(
    state_of,
    by_counting,
    [
        (7, 2, 2, 4, [4, 4]),
        (3, 4, 4, 0, [4]),
        (5, 2, 2, 0, []),
        (1, 1, 2, 4, [1, 1]),
    ],
)

# %% [markdown]
# ### Exercise 2 · The largest batch (8 min, ★★☆)
#
# A card has `budget` bytes. `fixed` bytes are needed whatever the batch, and `a_sequence` bytes more for each sequence. Return the largest power of two of sequences that
# fits, or 0 if not even one does.
#
# <details><summary>Hint 1</summary>How many sequences fit? Then the power of two at or below it.</details>
# <details><summary>Hint 2</summary><code>n.bit_length()</code> of 5 is 3, and 2 ** 2 is 4.</details>


# %% tags=["exercise"]
def largest_batch(budget, fixed, a_sequence):
    # BEGIN SOLUTION
    n = (budget - fixed) // a_sequence
    return 2 ** (n.bit_length() - 1) if n >= 1 else 0
    # END SOLUTION


# %% tags=["setup"]
def by_trying(budget, fixed, a_sequence):
    best = 0
    for power in range(20):
        if fixed + 2**power * a_sequence <= budget:
            best = 2**power
    return best


# %% tags=["check"]
cases = [
    (100, 20, 10),
    (100, 20, 40),
    (100, 20, 81),
    (100, 20, 80),
    (100, 120, 1),
    (1000, 0, 1),
    (90, 10, 5),
]
check(largest_batch, by_trying, cases)

# %% [markdown]
# ### Exercise 3 · The best segment (7 min, ★★☆)
#
# In section 5 the notes of a layer weighed as much as its input. Now they weigh `note` times as much: the sum is $n/k$ inputs, rounded up, plus $k$ times `note`. Return the $k$ from 1 to $n$
# with the smallest sum, and the smallest such $k$ if there are several. (A decoder block has a note of about 20.)
#
# <details><summary>Hint 1</summary>Try all: <code>min(range(1, n + 1), key=...)</code> gives the first of the best.</details>
# <details><summary>Hint 2</summary>Rounded up: <code>-(-n // k)</code>.</details>


# %% tags=["exercise"]
def best_segment(n, note):
    # BEGIN SOLUTION
    return min(range(1, n + 1), key=lambda k: -(-n // k) + note * k)
    # END SOLUTION


# %% tags=["setup"]
def segment_by_table(n, note):
    table = [(math.ceil(n / k) + note * k, k) for k in range(1, n + 1)]
    return sorted(table)[0][1]


# %% tags=["check"]
check(
    best_segment,
    segment_by_table,
    [(36, 1), (100, 1), (64, 4), (10, 20), (7, 1), (1, 1), (50, 3)],
)

# %% [markdown]
# ### Exercise 4 · From HFU to MFU (7 min, ★★☆)
#
# A run reports its HFU, `hfu`. It recomputed a share `again` of its forward pass (0: nothing, 1: all of it). A backward pass costs twice a forward pass. Return
# the MFU.
#
# <details><summary>Hint 1</summary>With a forward pass as the unit: the model needs 3, the machine did 3 + again.</details>
# <details><summary>Hint 2</summary>Time and peak are the same in both.</details>


# %% tags=["exercise"]
def mfu_of(hfu, again):
    # BEGIN SOLUTION
    return hfu * 3 / (3 + again)
    # END SOLUTION


# %% tags=["setup"]
def by_counting_work(hfu, again):
    needed = forward = 1.0
    needed += 2 * forward
    return hfu / ((needed + again * forward) / needed)


# %% tags=["check"]
cases = [(0.5, 1.0), (0.5, 0.0), (0.4, 0.5), (0.9, 0.25)]
check(mfu_of, by_counting_work, cases)

# %% [markdown]
# ### Exercise 5 · Replay the dice (12 min, ★★★)
#
# Write `replayed(part, x)`. Mend `Naive` within it: `forward` must note the state of torch's random generator before the part runs, `backward` must set it for the second run
# and then put back the state that it found. Then run the part on a copy of `x` that needs a gradient, draw one number with `torch.rand(1)` (the world moves on), go backward from the sum, and return two tensors: the gradient
# of `x`, and one more `torch.rand(1)`.
#
# <details><summary>Hint 1</summary><code>torch.get_rng_state()</code> and <code>torch.set_rng_state(state)</code>.</details>
# <details><summary>Hint 2</summary>In backward there are two states: that of the forward pass, and that of now.</details>


# %% tags=["exercise"]
def replayed(part, x):
    # BEGIN SOLUTION
    class Replay(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.dice = torch.get_rng_state()
            ctx.save_for_backward(x)
            return part(x)

        @staticmethod
        def backward(ctx, above):
            x = ctx.saved_tensors[0].detach().requires_grad_()
            now = torch.get_rng_state()
            torch.set_rng_state(ctx.dice)
            with torch.enable_grad():
                y = part(x)
            torch.set_rng_state(now)
            y.backward(above)
            return x.grad

    x = x.clone().requires_grad_()
    y = Replay.apply(x)
    torch.rand(1)  # the world moves on
    y.sum().backward()
    return x.grad, torch.rand(1)
    # END SOLUTION


# %% tags=["setup"]
def without_tricks(part, x):
    x = x.clone().requires_grad_()
    y = part(x)
    torch.rand(1)
    y.sum().backward()
    return x.grad, torch.rand(1)


# %% tags=["check"]
parts = [
    torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Dropout(p))
    for p in (0.5, 0.3, 0.0, 0.9)
]
cases = [(part, torch.linspace(0.1, 2, 40)) for part in parts]
check(replayed, without_tricks, cases)

# %% [markdown]
# ## At scale
#
# On one card the job `dense_1b` (`python -m benchmarks.gpu.dense_1b`) trains a LLaMA-shaped model of 1.3 billion weights, nothing recomputed, at growing batches, and reports the MFU twice: of the data sheet's peak, and of what a plain product of matrices
# reaches on the same card. If this copy of the course has its record, the cell shows it beside our ledger; otherwise it says so.


# %% tags=["nbval-ignore-output", "label-scale"]
dense = DecoderConfig(
    vocab_size=32768,
    d_model=2048,
    n_layers=24,
    context=2048,
    attention=AttentionConfig(n_heads=16),
    feedforward=FeedForwardConfig("swiglu", 5632),
    tie_embeddings=False,
)
records = sorted(RESULTS.glob("dense_1b_gpu/*.json"))
for run in (json.loads(path.read_text()) for path in records):
    print(f"{run['machine']['gpu']}: MFU {run['mfu_of_nominal']:.1%} of the "
          f"data sheet, {run['mfu_of_product']:.1%} of a product")  # fmt: skip
    for row in run["measured"]:
        batch, peak = row["batch_size"], row.get("peak_gib")
        said = memory_ledger(dense, batch, autocast=True, fused_loss=False)
        told = f"{peak * 2**30 / 1e9:.1f} GB" if peak else "out of memory"
        print(f"  batch {batch:>2}: ledger {said.total / 1e9:.1f} GB, card {told}")
if not records:
    print("dense_1b: not measured yet")

# %% [markdown]
# The ledger is not made for that comparison. The job compiles its blocks, and a compiler keeps less: it fuses operations and computes cheap ones twice by itself.
#
# ## Common mistakes
#
# | what you see | reason |
# |---|---|
# | out of memory in step 2, not in step 1 | the optimizer's state is made in the first update, and from then on lives in all moments |
# | another loss with recomputation | dropout was not replayed, or the block keeps a state of its own |
# | the router of experts learns nothing | its loss reads notes of the first run, which has none (`recomputing` refuses) |
# | memory grows from step to step | losses are collected with their graphs: take `.item()` |
# | recomputation saves nothing | the batch is small: then the update is the worst moment |
# | a window makes attention's memory quadratic again | it became a mask (section 4) |
# | "58 % of the peak" | of the model, or of the hardware? |
#
# ## Recap
#
# - Weights, gradients and AdamW's state take 16 bytes a weight. Activations grow with the tokens of a batch.
# - What autograd keeps can be counted from the config, for models of any size, without computing anything.
# - A recomputed block keeps its input only. Results are equal to the bit if the dice are replayed; the price is just under a third more FLOPs.
# - Offload moves bytes, and the link is what one waits for.
# - Utilisation is of the model (MFU) or of the hardware (HFU). BLOOM's half is the latter.
#
# ## Questions
#
# 1. Why does the second step need more memory than the first?
# <details><summary>Answer</summary>The optimizer's state is made in the first update, and from then on it is there during the forward and backward pass, too.</details>
#
# 2. What does `exp` keep, and what does a sum?
# <details><summary>Answer</summary>exp its output, since that is its slope; a sum nothing.</details>
#
# 3. Why is the share of recomputed FLOPs below a third?
# <details><summary>Answer</summary>The output matrix belongs to no block and is not recomputed.</details>
#
# 4. What must be noted so that a layer with dropout can be recomputed?
# <details><summary>Answer</summary>The state of the random generators before its first run.</details>
#
# 5. Where does the root of $n$ come from?
# <details><summary>Answer</summary>n/k kept inputs and k notes; the sum is smallest where the two are equal.</details>
#
# 6. A run reports half of the peak and recomputed everything. Which MFU is that?
# <details><summary>Answer</summary>If the figure counts the recomputation, about three eighths; if it does not, a half, and the HFU is two thirds.</details>
#
# 7. How much does ZeRO-3 save on one card?
# <details><summary>Answer</summary>Nothing. It shares, and there is nobody to share with.</details>
#
# ## Sources
#
# - Chen et al. 2016, [arXiv:1604.06174](https://arxiv.org/abs/1604.06174): recomputation, and where the root comes from.
# - Korthikanti et al. 2022, [arXiv:2205.05198](https://arxiv.org/abs/2205.05198): activations counted, selective recomputation, MFU and HFU.
# - Rajbhandari et al. 2019, [arXiv:1910.02054](https://arxiv.org/abs/1910.02054): the 16 bytes, and ZeRO.
# - Ren et al. 2021, [arXiv:2101.06840](https://arxiv.org/abs/2101.06840): ZeRO-Offload. Rajbhandari et al. 2021, [arXiv:2104.07857](https://arxiv.org/abs/2104.07857): ZeRO-Infinity.
# - Chowdhery et al. 2022, *PaLM*, [arXiv:2204.02311](https://arxiv.org/abs/2204.02311), section 4.1: MFU defined.
# - Le Scao et al. 2022, *BLOOM*, [arXiv:2211.05100](https://arxiv.org/abs/2211.05100): 156 TFLOP/s; what they count is in
#   [train/tr11-176B-ml](https://github.com/bigscience-workshop/bigscience/tree/master/train/tr11-176B-ml), "Throughput".
# - Touvron et al. 2023, *LLaMA*, [arXiv:2302.13971](https://arxiv.org/abs/2302.13971), section 2.4: 380 tokens a second. Baichuan-7B: its
#   [page](https://github.com/baichuan-inc/Baichuan-7B).
#
# ## Next
#
# [22b ZeRO](22b_zero.ipynb): the same training on several processes, and none of them holds all of it.

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
# # 16b FlashAttention: how can attention be exact without ever holding its own weights?
#
# 75 min · CPU · 20 s · 1 GB · needs [09 Attention](09_attention.ipynb), [16a Heads and cache](16a_heads_and_cache.ipynb) · code: `minillm/model/flash.py`
#
# Attention looks at every pair of tokens. At 32 000 tokens these are a thousand million pairs in each head, and the
# weights of a single layer fill a large graphics card. Since 2022 large models are trained without storing them. The method
# is called **FlashAttention**, it is exact, and one can write it in twenty lines. One of the articles that
# we follow says that it works by hashing. We shall see what is right in that article, and
# where its mistake comes from.
#
# After this lesson you can
#
# 1. derive a softmax that reads its scores in pieces, and say why the maximum must be carried along;
# 2. write tiled attention forward and backward, and check it against float64 to the last digits;
# 3. count what moves between slow and fast memory, and compare with the theory;
# 4. tell memory, traffic and arithmetic apart: which of them falls, and which does not;
# 5. show by measurement that FlashAttention hashes nothing, and what hashing would lose.

# %% tags=["setup"]
import json
import math
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Rectangle
from torch.utils.flop_counter import FlopCounterMode

from minillm.lesson import check, claim, setup, show
from minillm.model import alibi_bias, alibi_slopes
from minillm.model import attention, flash_attention
from minillm.model.chunked import chunked_attention
from minillm.model.flash import tiled_backward, tiled_forward
from minillm.model.lsh import bucket_attention
from minillm.model.online_softmax import Running, merged
from minillm.model.presets import chatglm2_6b
from minillm.model.tiles import SlowMemory, blocks, visible_columns
from minillm.recipes.records import RESULTS
from minillm.train.live_memory import peak_bytes, saved_bytes

setup(seed=16)
f64 = torch.float64  # we check derivations to 12 digits and more

# %% [markdown]
# ## 1 The square that does not fit (7 min)
#
# Attention of $T$ queries to $T$ keys makes a matrix of $T\times T$ scores in each head, and the softmax makes another one of
# the same size. ChatGLM-6B was pre-trained with 2 048 tokens (2K), ChatGLM2-6B with 32 768 (32K). Both have 32
# heads.
#
# **Predict, then run.** The score matrix of *one* layer, for *one* text, with 2 bytes a number: how large is it at 2K,
# and how large at 32K?
#
# <details><summary>Answer</summary>A quarter of a GiB, and 256 times that, 64 GiB: the length grew 16-fold, and the matrix is a square.
# A large card has 80 GB.</details>


# %% tags=["label-square"]
def score_gib(tokens, heads=32, n_bytes=2):
    return heads * tokens**2 * n_bytes / 2**30


for tokens in (2048, 8192, 32768):
    print(f"{tokens:6} tokens: {score_gib(tokens):6.2f} GiB a layer and text")
assert score_gib(2048) == 0.25 and score_gib(32768) == 64

# %% [markdown]
# Size is one trouble. The other is that a chip has to *fetch* what it computes with. A card such as NVIDIA's A100 has
# two memories (numbers from Dao et al. 2022, section 2.1, and the 312 TFLOPS of its data sheet):
#
# | | size | speed |
# |---|---|---|
# | slow memory (HBM, 显存), beside the chip | 40 to 80 GB | 1.5 to 2 TB/s |
# | fast memory (SRAM, 片上内存), on the chip | 108 times 192 KB | about 19 TB/s |
# | arithmetic, 16 bits | | 312 TFLOP/s |
#
# (Taken on trust: we have no such card here, and cannot measure the table.)
#
# While one 16-bit number comes from slow memory, how many additions and multiplications could the chip do? And how many
# does plain attention do for each number it moves? With head width $H$ it does $4T^2H$ FLOPs, and moves $4T^2$
# numbers: it writes the scores, reads them, writes the weights, reads them.

# %% tags=["label-balance"]
could = 312e12 * 2 / 1.5e12
for H in (64, 128):
    print(f"H = {H:3}: {H} FLOPs a number; the chip could do {could:.0f}")
print(f"all fast memory together: {108 * 192 / 1000:.0f} MB")
assert could / 3 > 128

# %% [markdown]
# So plain attention waits for memory most of the time. It is **memory-bound** (访存受限). The way out: never write the
# square. Take a small **tile** (分块) of it at a time, use it up on the chip, and forget it. One thing stands in the way: a
# softmax needs the *sum over the whole row*. That is the heart of the matter, and it is mathematics, not
# hardware.
#
# ## 2 A softmax that reads in pieces (14 min)
#
# One query has scores $s_1,\dots,s_n$ for keys with values $v_1,\dots,v_n$. Its output is a quotient of two sums,
#
# $$o=\frac{\sum_j e^{s_j}\,v_j}{\sum_j e^{s_j}} ,$$
#
# and sums can be added up piece by piece. Read a block of keys, add to both sums, forget the block; divide at the end. Done?

# %%
s = torch.tensor([1.0, 2.0, 3.0])
for shift in (0.0, 100.0):
    print(f"scores {(s + shift).tolist()}: sum {(s + shift).exp().sum():.1f}")

# %% [markdown]
# Not done. In float32 $e^{89}$ is infinite, and scores near 100 do occur. Every softmax therefore subtracts the largest score first,
# which changes nothing, since $e^{-m}$ cancels in the quotient. But the largest score of the row is only known at the *end*.
#
# **Two blocks.** Each block $A$, $B$ has its own maximum and its own two sums:
#
# $$m_A=\max_A s_j,\qquad \ell_A=\sum_A e^{s_j-m_A},\qquad u_A=\sum_A e^{s_j-m_A}\,v_j ,$$
#
# and likewise $B$. The row has $m=\max(m_A,m_B)$. Now $e^{s_j-m}=e^{s_j-m_A}\cdot e^{m_A-m}$, and the second factor is the
# same for all of $A$. So
#
# $$\ell = e^{m_A-m}\,\ell_A+e^{m_B-m}\,\ell_B ,\qquad u = e^{m_A-m}\,u_A+e^{m_B-m}\,u_B .$$
#
# One factor for each block repairs what was summed under the wrong maximum. It is at most 1, so nothing overflows.
#
# **Many blocks, by induction.** Claim: after any number of blocks, $(m,\ell,u)$ are the maximum and the two sums of *all keys
# read so far*, under their own maximum. Start: no key, $m=-\infty$, $\ell=0$, $u=0$. Step: what was read so far plays the part of $A$, the new
# block that of $B$, and the formula above gives the three numbers of both. At the end $o=u/\ell$ is the softmax
# average over the whole row, not an approximation of it. This is the **online softmax** (在线归一化, Milakov and Gimelshein
# 2018).


# %% tags=["setup"]
def step(seen, scores, values):
    """Read one more block: scores (T, s), values (s, H)."""
    m, total, summed = seen
    new_m = torch.maximum(m, scores.amax(dim=1, keepdim=True))  # (T, 1)
    shrink = torch.exp(m - new_m)  # repairs the old sums
    e = torch.exp(scores - new_m)  # (T, s)
    total = shrink * total + e.sum(dim=1, keepdim=True)
    return new_m, total, shrink * summed + e @ values


def nothing(T, H, dtype=f64):
    m = torch.full((T, 1), -torch.inf, dtype=dtype)
    return m, torch.zeros(T, 1, dtype=dtype), torch.zeros(T, H, dtype=dtype)


# %% [markdown]
# By hand first: scores $0$ and $\ln 3$, values 4 and 8. The weights are ¼ and ¾, the average is 7.

# %% tags=["label-hand"]
scores = torch.tensor([[0.0, math.log(3)]], dtype=f64)
values = torch.tensor([[4.0], [8.0]], dtype=f64)
seen = nothing(1, 1)
for j in range(2):
    seen = step(seen, scores[:, j : j + 1], values[j : j + 1])
    m, total, summed = (x.item() for x in seen)
    print(f"after key {j + 1}: m {m:.3f}, l {total:.3f}, u {summed:.3f}")
assert abs(summed / total - 7) < 1e-14

# %% [markdown]
# After the second key the first one counts only a third, because the maximum rose by $\ln 3$.
#
# **Predict, then run.** A friend forgets the factor `shrink`. For which rows is the result still right?
#
# <details><summary>Answer</summary>For those whose largest score lies in the first block: the maximum never changes, and the factor is 1. A test
# whose rows are all like that finds nothing.</details>


# %%
def step_forgetful(seen, scores, values):
    m, total, summed = seen
    new_m = torch.maximum(m, scores.amax(dim=1, keepdim=True))
    e = torch.exp(scores - new_m)
    return new_m, total + e.sum(dim=1, keepdim=True), summed + e @ values


def average(read, scores, values, size):
    seen = nothing(len(scores), values.shape[1])
    for part in blocks(len(values), size):
        seen = read(seen, scores[:, part], values[part])
    return seen[2] / seen[1]


# %% tags=["nbval-ignore-output", "label-forget"]
scores = 3 * torch.randn(1000, 60, dtype=f64)
values = torch.randn(60, 5, dtype=f64)
right = scores.softmax(dim=1) @ values
got = average(step_forgetful, scores, values, 20)
error = (got - right).abs().amax(dim=1)
early = scores.argmax(dim=1) < 20  # the maximum lies in the first block
print(f"largest error, maximum in block 1: {error[early].max():.0e}")
print(f"smallest error, maximum later:     {error[~early].min():.0e}")
assert error[early].max() < 1e-13 < 1e-6 < error[~early].min()

# %% [markdown]
# The right step, for any size of a block, in any order, and with scores that would overflow:

# %%
shuffle = torch.randperm(60)
for size in (1, 7, 20, 60, 100):
    for shift in (0, 1e4):
        mixed = scores[:, shuffle] + shift, values[shuffle]
        gap = (average(step, *mixed, size) - right).abs().max()
        assert gap < (1e-14 if shift == 0 else 1e-10)
print("exact, for every cut, every order, and scores around 10 000")

# %% [markdown]
# (Around 10 000 float64 itself keeps only twelve digits behind the point.) At the end we also keep one number for each row, the **logsumexp**
# (对数求和指数) $L=m+\ln\ell=\ln\sum_j e^{s_j}$. With it any single weight can be had back at any time: $p_j=e^{s_j-L}$. We need that in section 5.
#
# ## 3 Forward, tile by tile (12 min)
#
# Cut the queries into blocks of rows and the keys into blocks of columns. For each block of rows, walk over the columns with
# the step above, then divide once and write the result. With a causal mask, stop where the future begins, and hide the future inside the tiles
# that the diagonal crosses.


# %% tags=["setup"]
def hide_future(scores, rows, columns):
    t = torch.arange(rows.start, rows.stop)[:, None]
    s = torch.arange(columns.start, columns.stop)
    return scores.masked_fill(s > t, -torch.inf)


def tiled(q, k, v, size, causal=False):
    """One head: q, k, v (T, H). Returns out (T, H) and the logsumexp (T,)."""
    T, H = q.shape
    out, L = torch.empty_like(q), q.new_empty(T)
    for rows in blocks(T, size):
        seen = nothing(rows.stop - rows.start, H, q.dtype)
        for columns in blocks(T, size):
            if causal and columns.start >= rows.stop:
                break  # all of it lies in the future
            scores = q[rows] @ k[columns].T / math.sqrt(H)
            if causal:
                scores = hide_future(scores, rows, columns)
            seen = step(seen, scores, v[columns])
        m, total, summed = seen
        out[rows], L[rows] = summed / total, (m + total.log())[:, 0]
    return out, L


# %% [markdown]
# We hold it against `attention` of lesson 09, which stores the square, in float64. The length, 77, is no power of two, and most sizes do not
# divide it.

# %% tags=["nbval-ignore-output", "label-exact"]
q, k, v = torch.randn(3, 77, 16, dtype=f64)
worst = 0.0
heads = [x[None, None] for x in (q, k, v)]  # B = N = 1
for causal in (False, True):
    wanted = attention(*heads, causal=causal)[0, 0]
    for size in (1, 2, 5, 16, 50, 77, 200):
        out, L = tiled(q, k, v, size, causal)
        worst = max(worst, (out - wanted).abs().max().item())
assert worst < 1e-14
print(f"largest difference over 14 cases: {worst:.0e}")

# %% [markdown]
# That is the rounding of float64. Where could a NaN come from? If a row met *only* hidden keys in its first tile, $m$ would still be $-\infty$, and $-\infty-(-\infty)$ is
# NaN. From left to right it cannot happen, since key 0 is visible to everybody; the package guards against it anyway.
#
# **Which tiles are visited?** Two cases: as many queries as keys, and fewer queries than keys (decoding with a cache: the
# queries are the *last* positions).


# %% tags=["label-tiles"]
def paint(ax, rows, columns, **look):
    corner = columns.start, rows.start
    size = columns.stop - columns.start, rows.stop - rows.start
    ax.add_patch(Rectangle(corner, *size, **look))


fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.4), layout="constrained")
for ax, (T, S) in zip(axes, [(24, 24), (10, 24)]):
    for rows in blocks(T, 4):
        for columns in blocks(S, 6):
            paint(ax, rows, columns, fc="white", ec="0.7", hatch="//")
        for tile in visible_columns(rows, T, S, 6, causal=True):
            color = "C1" if tile.crossed else "C0"
            paint(ax, rows, tile.columns, fc=color, ec="white", lw=2)
    edge = np.arange(T + 1)
    stairs = np.minimum(edge + S - T + 1, S)
    ax.step(stairs, edge, "k", where="pre", lw=1.5)
    ax.set(xlim=(0, S), ylim=(T, 0), aspect="equal")
    ax.set(title=f"{T} queries, {S} keys", xlabel="key", ylabel="query")
    ax.set(xticks=range(0, 25, 6), yticks=range(0, T + 1, 4))
alt = "Two squares of tiles. Tiles left of the causal staircase are full, "
alt += "tiles that it crosses have another colour, those right of it are "
alt += "hatched: never visited."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** The black staircase separates past (left) from future. Plain tiles need no mask, the ones of the other colour
# are crossed and do, hatched ones are never computed. For many small tiles about half is skipped: with $n$ tiles in each direction, $n(n+1)/2$ of $n^2$ are
# visited.
#
# The package's `flash_attention` is this loop for all heads and sequences at once, with shared key heads ([lesson 16a](16a_heads_and_cache.ipynb)) and any lengths. On
# your way home you can read it: it fits on a page.

# %%
q, k, v = (torch.randn(2, n, 70, 16, dtype=f64) for n in (4, 2, 2))
q = q[:, :, -33:]  # fewer queries than keys
ours = flash_attention(q, k, v, causal=True, block_q=8, block_k=20)
gap = (ours - attention(q, k, v, causal=True)).abs().max()
assert gap < 1e-14
print("4 query heads on 2 key heads, 33 queries, 70 keys: equal")

# %% [markdown]
# ## 4 What moves between the memories (10 min)
#
# On a CPU we have no fast memory to command. But we can keep a ledger: whenever the loop *would* read from slow memory or write to it, it says
# so, and we count numbers. First plain attention, whose two products and softmax are three separate operations.


# %%
def plain_in_steps(q, k, v, memory):
    load, store = memory.load, memory.store
    scores = store(load(q) @ load(k).mT / math.sqrt(q.shape[-1]))
    weights = store(load(scores).softmax(dim=-1))
    return store(load(weights) @ load(v))


# %% [markdown]
# **Predict, then run.** $T=1024$, $H=64$. Tiles of 128 queries: how often are all keys and values read? Which of the two moves less, and by what factor?

# %% tags=["label-moved"]
T, H = 1024, 64
q, k, v = torch.randn(3, 1, 1, T, H)
plain = SlowMemory()
plain_in_steps(q, k, v, plain)
assert plain.moved == 4 * T * T + 4 * T * H
print(f"plain:           {plain.moved:9,} numbers")
for size in (16, 128, 1024):
    flash = SlowMemory()
    tiled_forward(q, k, v, block_q=size, block_k=64, memory=flash)
    assert flash.moved == 2 * T * H + T + math.ceil(T / size) * 2 * T * H
    less = plain.moved / flash.moved
    print(f"tiles of {size:4}:   {flash.moved:9,}, {less:4.1f} times less")

# %% [markdown]
# Each block of queries reads all keys and values once: $T/B$ blocks, $2TH$ numbers each, for $B$ queries in a block. Queries are read once, outputs written once. So
#
# $$\text{moved} \approx \frac{2\,T^2H}{B} ,\qquad\text{plain:}\qquad 4\,T^2+4\,TH .$$
#
# Larger blocks are better, until the chip is full. A block of queries, the sums for its output, and a block of keys and values take $4BH$ numbers (and the tile of scores $B^2$, which we leave aside). If the fast memory holds $M$ numbers, then $B\approx M/4H$, and
#
# $$\text{moved}\;\approx\;\frac{8\,T^2H^2}{M} .$$
#
# This is theorem 2 of the paper, $\Theta(T^2H^2/M)$; it writes $N$ and $d$ for our $T$ and $H$. (Here $M$ is a size of memory; in lesson 17 the letter stands for something else.) The paper also shows that no exact method can do better for
# all $M$. We let the ledger say how much was on the chip at once, and plot.

# %% tags=["label-traffic"]
held, moved = [], []
for size in (8, 16, 32, 64, 128, 256):
    flash = SlowMemory()
    tiled_forward(q, k, v, block_q=size, block_k=size, memory=flash)
    held.append(4 * size * H)  # without the scores of the tile, size x size
    moved.append(flash.moved - 2 * T * H - T)  # q, out and L: always
    assert flash.peak_tile == held[-1] + size * size
fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
ax.loglog(held, moved, "o", label="counted in the loop")
ax.loglog(held, [8 * (T * H) ** 2 / m for m in held], "--", label="theory")
ax.axhline(4 * T * T, color="C2", ls=":", label="plain attention")
ax.set(xlabel="numbers on the chip, M = 4BH", ylabel="numbers moved")
ax.set_xticks(held, [f"{m // 1024} Ki" for m in held])
ax.minorticks_off()
ax.legend()
alt = "Numbers moved against numbers on the chip, both logarithmic: the "
alt += "counts lie on the falling line of the theory, and cross the level "
alt += "line of plain attention."
show(fig, alt=alt)

# %% tags=["label-slope"]
slope = np.polyfit(np.log(held), np.log(moved), 1)[0]
worse = [m for m, x in zip(held, moved) if x > 4 * T * T]
print(f"slope {slope:.3f}; worse than plain up to M = {max(worse):,}")
assert abs(slope + 1) < 1e-9

# %% [markdown]
# **What you should see.** The points lie on the line of slope −1: twice the fast memory, half the traffic. Only with very few queries in a block
# (fewer than $H/2$) tiles move more than plain attention. The 192 KB of one processor of an A100 hold 98 000 numbers of 16 bits, a little beyond the right end.
#
# **Does the arithmetic fall, too?** Hold that question; section 6 counts.
#
# ## 5 Backward, without the square (14 min)
#
# For training we need gradients. Plain attention keeps the weights $P$ from the forward pass. We keep only $q,k,v$, the output $O$ and the
# logsumexp $L$, and compute each tile of $P$ *again* when it is wanted:
#
# $$P_{ij}=e^{S_{ij}-L_i} .$$
#
# Now the chain rule. Given is $dO$, the slope of the loss by the output. Since $O=PV$,
#
# $$dV=P^\top dO,\qquad dP=dO\,V^\top .$$
#
# Then through the softmax. In one row $\partial p_j/\partial s_i = p_j(\delta_{ij}-p_i)$ (lesson 09), so
#
# $$ds_i=\sum_j dp_j\,p_j(\delta_{ij}-p_i)=p_i\Bigl(dp_i-\underbrace{\textstyle\sum_j p_j\,dp_j}_{D}\Bigr),\qquad\text{in short}\qquad dS=P\odot(dP-D).$$
#
# And from $S=QK^\top/\sqrt H$: $\;dQ=dS\,K/\sqrt H$, $\;dK=dS^\top Q/\sqrt H$.
#
# **One obstacle.** $D$ is again a sum over the whole row. Must we walk over all tiles twice?
#
# <details><summary>Think first: what is the sum, if dp is written out?</summary>The entry for key j is the inner product of the row of dO with the
# value of j.</details>
#
# No. Put in $dp_j=\langle dO, v_j\rangle$:
#
# $$D=\sum_j p_j\,\langle dO,v_j\rangle=\Bigl\langle dO,\;\sum_j p_j v_j\Bigr\rangle=\langle dO,O\rangle .$$
#
# The sum over $T$ keys is an inner product of two vectors of width $H$ that we have. (Dao et al. 2022, appendix B.)


# %%
def tiled_slopes(q, k, v, out, L, grad, size, causal=False):
    """The gradients by q, k and v, a block of keys at a time."""
    T, scale = len(q), 1 / math.sqrt(q.shape[1])
    dq, dk, dv = (torch.zeros_like(x) for x in (q, k, v))
    D = (grad * out).sum(dim=1, keepdim=True)  # (T, 1)
    for columns in blocks(T, size):
        for rows in blocks(T, size):
            if causal and columns.start >= rows.stop:
                continue
            scores = q[rows] @ k[columns].T * scale
            if causal:
                scores = hide_future(scores, rows, columns)
            P = torch.exp(scores - L[rows, None])  # computed again
            dv[columns] += P.T @ grad[rows]
            dS = P * (grad[rows] @ v[columns].T - D[rows])
            dq[rows] += dS @ k[columns] * scale
            dk[columns] += dS.T @ q[rows] * scale
    return dq, dk, dv


# %% [markdown]
# Checked against autograd on the definition; and by `gradcheck`, which uses values only, on an autograd function of our own.


# %%
class Tiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        out, L = tiled(q, k, v, 4, causal=True)
        ctx.save_for_backward(q, k, v, out, L)
        return out

    @staticmethod
    def backward(ctx, grad):
        return tiled_slopes(*ctx.saved_tensors, grad, 4, causal=True)


# %% tags=["nbval-ignore-output", "label-gradients"]
q, k, v, grad = torch.randn(4, 77, 16, dtype=f64)
inputs = [x[None, None].requires_grad_() for x in (q, k, v)]
plain = attention(*inputs, causal=True)[0, 0]
wanted = torch.autograd.grad(plain, inputs, grad)
got = tiled_slopes(q, k, v, *tiled(q, k, v, 10, True), grad, 10, True)
worst = max((a - b[0, 0]).abs().max().item() for a, b in zip(got, wanted))
assert worst < 1e-13
print(f"largest difference to autograd: {worst:.0e}")
small = [x[:9, :3].clone().requires_grad_() for x in (q, k, v)]
print("gradcheck:", torch.autograd.gradcheck(Tiled.apply, small))

# %% [markdown]
# What is kept from forward to backward?

# %% tags=["label-kept"]
for T in (256, 512, 1024):
    inputs = [torch.randn(1, 1, T, 64, requires_grad=True) for _ in range(3)]
    plain = saved_bytes(partial(attention, *inputs))
    tiles = saved_bytes(partial(flash_attention, *inputs))
    print(f"T = {T:4}: plain {plain / 1e6:.2f}, tiles {tiles / 1e6:.2f} MB")
    assert tiles == 4 * (4 * T * 64 + T)

# %% [markdown]
# Four matrices of $T\times H$, and one number a query.
#
# ## 6 Memory, arithmetic, and ChatGLM2 (10 min)
#
# We let torch count multiplications and additions, forward and backward, for plain and tiled.
#
# **Predict, then run.** Plain attention has 2 products forward ($QK^\top$, $PV$) and 4 backward. And the tiles?


# %%
def flops(attend, *inputs):
    """FLOPs of the forward pass, and of both."""
    with FlopCounterMode(display=False) as counter:
        loss = attend(*inputs).sum()
        forward = counter.get_total_flops()
        loss.backward()
    return forward, counter.get_total_flops()


# %% tags=["label-flops"]
inputs = [torch.randn(1, 2, 512, 64, requires_grad=True) for _ in range(3)]
plain, tiles = flops(attention, *inputs), flops(flash_attention, *inputs)
for name, (forward, both) in (("plain", plain), ("tiles", tiles)):
    print(f"{name}: forward {forward / 1e6:.0f}, both {both / 1e6:.0f} MFLOP")
ratios = [a / b for a, b in zip(tiles, plain)]
print("tiles over plain: {:.3f}, {:.3f}".format(*ratios))

# %% [markdown]
# Forward they are equal; backward the tiles compute the scores once more, so 7 products instead of 6. The **arithmetic does not fall, it grows by a sixth**. (Skipping the
# future halves it, but that has nothing to do with tiles being on the chip; plain attention could skip, too.) The article says that FlashAttention "greatly reduces the amount of computation":

# %%
claim("ATT-002", ratios[1])

# %% [markdown]
# Now the memory. We watch every tensor that an operation makes, forward and backward, and note how many bytes are alive at the same time.


# %%
def peak(attend, T):
    inputs = [torch.randn(1, 1, T, 32, requires_grad=True) for _ in range(3)]
    return peak_bytes(lambda: attend(*inputs, causal=True).sum().backward())


kinds = {
    "plain": attention,
    "tiles": partial(flash_attention, block_q=32, block_k=32),
    "chunks": partial(chunked_attention, chunk_q=32, chunk_k=32),
}
lengths = [128, 256, 512, 1024]
peaks = {name: [peak(f, T) for T in lengths] for name, f in kinds.items()}

# %% tags=["label-memory"]
slopes = {name: math.log2(b[-1] / b[-2]) for name, b in peaks.items()}
fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
for (name, values), style in zip(peaks.items(), ("o-", "s--", "^:")):
    label = f"{name}: slope {slopes[name]:.2f}"
    ax.loglog(lengths, [b / 1e6 for b in values], style, label=label)
ax.set(xlabel="length T", ylabel="peak of live tensors (MB)")
ax.set_xticks(lengths, map(str, lengths))
ax.minorticks_off()
ax.legend()
alt = "Peak memory against length, both logarithmic. Plain attention rises "
alt += "with slope 2; tiles and chunks lie far below, with slope about 1."
show(fig, alt=alt)

# %% tags=["label-slopes"]
for name, values in peaks.items():
    print(f"{name}: {values[-1] / 1e6:5.2f} MB at T = {lengths[-1]}")
assert slopes["plain"] > 1.9 and 0.8 < slopes["tiles"] < 1.1
assert slopes["chunks"] < 1.2

# %% [markdown]
# **What you should see.** Plain attention: slope 2, doubling the length costs four times the memory. Tiles: slope 1, a little less because the tile itself does not grow. ("Chunks" come in section 7.)
#
# And the time? A CPU has a fast memory, too, its caches, and even our Python loop profits: on the machine of `benchmarks/LOG.md` it is a fifth faster than plain attention without a mask, in spite of a sixth more arithmetic, and nearly three times as fast with one, as it skips tiles. Torch's own kernel is faster still.
#
# **ChatGLM2.** Its authors say that FlashAttention let them go from 2K to 32K. We compute what one text needs to keep for the backward pass in all 28 layers, first with stored weights, then with what section 5 keeps: queries, output, the *two* key and value heads of this model ([lesson 16a](16a_heads_and_cache.ipynb)), and a logsumexp for each query.

# %% tags=["label-chatglm"]
config = chatglm2_6b()
N, K = config.attention.n_heads, config.attention.key_heads
H, layers = config.head_width, config.n_layers
fits = {}
for T in (2048, 8192, 32768):
    plain = layers * N * T * T * 2
    flash = layers * T * (2 * (2 * N * H + 2 * K * H) + 4 * N)
    fits[T] = plain < 80e9, flash < 80e9
    plain_gib, flash_gib = plain / 2**30, flash / 2**30
    print(f"{T:6}: weights {plain_gib:7.1f} GiB, flash {flash_gib:5.2f} GiB")
claim("ATT-003", fits[2048] == (True, True) and fits[32768] == (False, True))

# %% [markdown]
# So the sentence is right about memory: 7 GiB fit into a card of 80 GB, and 1 792 do not. Three things it does not say. One could also recompute *whole layers* in the backward pass (lesson 22); a single layer's 64 GiB would remain. Any method that does not store the square would have
# done, as the next section shows. And that a model *fits* at 32K does not make it *good* at 32K: [lesson 15](15_long_context.ipynb).
#
# ## 7 What the article says, and what hashing would be (8 min)
#
# The article (our translation of its point): *FlashAttention uses a hash-aware technique. It puts similar elements of the sequence into buckets, and the model only computes attention inside a bucket. That greatly reduces computation and memory, with high accuracy.*
#
# What is right: memory falls. What is wrong: nothing is hashed, there are no buckets, all pairs are computed, computation does not fall, and the result has not "high" accuracy but that of attention itself. What the sentences do describe is **another method**: Reformer
# (Kitaev et al. 2020), by *locality-sensitive hashing* (局部敏感哈希), which we met in lesson 04 for documents.
#
# Reformer's hash: draw random axes $R$, and take the number of the axis, with its sign, to which a vector points most: $\operatorname{argmax}\,[xR;\,-xR]$. Like vectors often get the same number. A query then looks only at keys of its bucket.

# %% tags=["nbval-ignore-output", "label-buckets"]
q, k, v = torch.randn(3, 1, 4, 256, 64, dtype=f64)
exact = attention(q, k, v)
kept, lost = [], []
for draw in range(20):
    axes = torch.Generator().manual_seed(draw)
    out, met = bucket_attention(q, k, v, n_buckets=16, generator=axes)
    kept.append(met.double().mean().item())
    lost.append(((out - exact).norm() / exact.norm()).item())
tile = partial(flash_attention, block_q=32, block_k=32)
gap = (tile(q, k, v) - exact).abs().max().item()
share, error = np.mean(kept), np.mean(lost)
print(f"buckets: {share:.1%} of the pairs, relative error {error:.1f}")
print(f"tiles: all pairs, largest difference {gap:.0e}")
assert 0.055 < share < 0.075 and error > 1 and gap < 1e-14

# %% [markdown]
# On random vectors a sixteenth and a little more of the pairs is kept, and the result is worthless: the error is larger than the result. (Random vectors are the worst case; there every key matters a little.) Reformer lives from attention that is *peaked*: few keys have nearly all the weight, and they are like the query. It
# therefore uses the same vectors as queries and keys, and hashes several times. We do the same: vectors in groups, queries equal to keys.


# %%
def bucket_error(q, k, v, rounds, draws=10):
    """Relative error and share of pairs, means over draws of the axes."""
    exact, found = attention(q, k, v), []
    for draw in range(draws):
        axes = torch.Generator().manual_seed(draw)
        settings = {"n_buckets": 16, "rounds": rounds, "generator": axes}
        out, met = bucket_attention(q, k, v, **settings)
        error = (out - exact).norm() / exact.norm()
        found.append([error.item(), met.double().mean().item()])
    return np.mean(found, axis=0)


# %%
# 32 groups of like vectors
centres = torch.randn(32, 64, dtype=f64)[torch.randint(32, (256,))]
alike = (centres + 0.3 * torch.randn(256, 64, dtype=f64))[None, None]
q, k, v = torch.randn(3, 1, 1, 256, 64, dtype=f64)
rounds = (1, 2, 4, 8, 16)
lost = {
    "random": np.array([bucket_error(q, k, v, r) for r in rounds]),
    "peaked": np.array([bucket_error(alike, alike, v, r) for r in rounds]),
}

# %% tags=["label-hash"]
axes = torch.Generator().manual_seed(3)
_, met = bucket_attention(alike, alike, v, n_buckets=16, generator=axes)
order = met[0, 0].double().argmax(dim=1).argsort()  # sort by bucket
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
left.imshow(met[0, 0][order][:, order], cmap="cividis")
left.set(xlabel="key, sorted by bucket", ylabel="query", title="pairs kept")
for (name, found), style in zip(lost.items(), ("o-", "s--")):
    right.loglog(rounds, found[:, 0], style, label=name)
right.loglog(rounds, [gap] * len(rounds), "k:", label="tiles")
right.set(xlabel="rounds of hashing", ylabel="relative error")
right.set_xticks(rounds, map(str, rounds))
right.minorticks_off()
right.legend()
alt = "Left: sorted by bucket, the kept pairs are squares on the diagonal. "
alt += "Right: the error of bucket attention falls with rounds of hashing, "
alt += "faster for peaked data."
show(fig, alt=alt)

# %% tags=["nbval-ignore-output", "label-rounds"]
for name, found in lost.items():
    (first, few), (last, many) = found[0], found[-1]
    print(f"{name}: 1 round, {few:.0%} of pairs, error {first:.2f}")
    print(f"        16 rounds, {many:.0%} of pairs, error {last:.2f}")
    assert gap < 1e-14 < 1e-3 < last < first

# %% [markdown]
# **What you should see.** Left, the buckets: what lies outside the bright squares is never looked at. Right: more rounds help, and peaked data suffer less, but each round adds pairs. Only when all pairs are there the error is gone, and with it the saving. Tiles lie on the dotted line with all pairs.
#
# The verdict needs evidence that FlashAttention looks at *all* pairs. Since $o=\sum_s p_s v_s$, values that are unit vectors bring the weights themselves to light:

# %% tags=["nbval-ignore-output", "label-verdict"]
q, k, v = torch.randn(3, 1, 4, 256, 64, dtype=f64)
axes = torch.Generator().manual_seed(0)
_, met = bucket_attention(q, k, v, n_buckets=16, generator=axes)
unit = torch.eye(256, dtype=f64).expand(1, 4, 256, 256).split(64, dim=3)
used = torch.cat([tile(q, k, e) for e in unit], dim=3) > 0  # each value
equal = (tile(q, k, v) - attention(q, k, v)).abs().max() < 1e-12
everywhere = used[~met].all().item()
print(f"{(~met).sum():,} pairs share no bucket; all used: {everywhere}")
claim("ATT-001", "all pairs" if equal and everywhere else "hash buckets")

# %% [markdown]
# **xFormers and Baichuan 2.** Half a year before FlashAttention, Rabe and Staats (2021) used the same mathematics for memory alone: each *chunk* of keys is summarised by its own $(m,\ell,u)$, and the summaries are merged by the two-block formula. The library xFormers has it as
# "memory-efficient attention", and Baichuan 2 was trained with it, because it takes a bias: ALiBi (lesson 13). Exact, again:

# %% tags=["label-chunks"]
positions = torch.arange(200)
slope = torch.tensor(alibi_slopes(4))
bias = alibi_bias(slope, positions, positions, dtype=f64)
*inputs, grad = torch.randn(4, 1, 4, 200, 16, dtype=f64)
inputs = [x.requires_grad_() for x in inputs]
results = []
for attend in (attention, partial(chunked_attention, chunk_q=32, chunk_k=50)):
    out = attend(*inputs, causal=True, bias=bias)
    results.append([out, *torch.autograd.grad(out, inputs, grad)])
gap = max((a - b).abs().max().item() for a, b in zip(*results))
claim("ATT-011", gap)
assert peaks["chunks"][-1] < peaks["plain"][-1] / 10

# %% [markdown]
# The difference: chunks leave the traffic to the compiler and recompute by checkpointing; FlashAttention plans which number lies where, in one kernel.
#
# **Common mistakes**
#
# | mistake | what one sees |
# |---|---|
# | sums not shrunk when the maximum rises | right only where the maximum comes first (section 2) |
# | the tile on the diagonal skipped, or not masked | the last tokens of a block miss themselves, or see the future |
# | fewer queries than keys counted from the front | training right, decoding wrong |
# | $dS=P\odot dP$, without $D$ | the slopes of a row no longer sum to zero; gradients are wrong |
# | a row that saw nothing: $-\infty-(-\infty)$ | NaN, hours later |
# | "linear memory, so linear time" | the time still grows with $T^2$ |
#
# ## Homework (45 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The rest of the notebook does not depend on
# your answers.
#
# ### Exercise 1 · The longest text (5 min, ★☆☆)
#
# `room` bytes are free. How many tokens fit at most, if one layer's scores ($N$ heads, `n_bytes` a number) must be held? Return the integer $T$ (no floating point: $N\,T^2\,$`n_bytes` $\le$ `room`).
#
# <details><summary>Hint 1</summary><code>math.isqrt(n)</code> is the largest integer whose square is at most n.</details>


# %% tags=["exercise"]
def longest(room, N, n_bytes):
    # BEGIN SOLUTION
    return math.isqrt(room // (N * n_bytes))
    # END SOLUTION


# %% tags=["setup"]
def longest_by_search(room, N, n_bytes):
    T = 0
    while N * (T + 1) ** 2 * n_bytes <= room:
        T += 1
    return T


# %% tags=["check"]
cases = [(64 * 2**30, 32, 2), (2**30, 32, 2), (199, 2, 1), (200, 2, 1)]
check(longest, longest_by_search, [*cases, (7, 4, 2)])

# %% [markdown]
# ### Exercise 2 · Merge two results (8 min, ★★☆)
#
# In decoding, one query meets a very long cache. To use the whole card, each part of it takes a piece of the keys and returns a finished `out` (T, H) and its logsumexp `L` (T,). Merge two such pairs into the pair for all keys. (This is "split-K" or Flash-Decoding.)
#
# <details><summary>Hint 1</summary>The sum of exponentials of a part is exp(L). What are the weights of the two outputs?</details>
# <details><summary>Hint 2</summary>Do not compute exp(L): L may be 10 000. <code>torch.logaddexp</code> gives the new L safely.</details>


# %% tags=["exercise"]
def merge_results(out_a, L_a, out_b, L_b):
    # BEGIN SOLUTION
    L = torch.logaddexp(L_a, L_b)
    by_a, by_b = torch.exp(L_a - L), torch.exp(L_b - L)
    return by_a[:, None] * out_a + by_b[:, None] * out_b, L
    # END SOLUTION


# %% tags=["setup"]
def as_running(out, L):
    return Running(out, torch.ones_like(L)[:, None], L[:, None])


def merge_by_package(out_a, L_a, out_b, L_b):
    both = merged(as_running(out_a, L_a), as_running(out_b, L_b))
    return both.summed / both.total, (both.top + both.total.log())[:, 0]


def two_parts(shift_a, shift_b):
    outs, sums = torch.randn(2, 5, 3, dtype=f64), torch.randn(2, 5, dtype=f64)
    return outs[0], sums[0] + shift_a, outs[1], sums[1] + shift_b


# %% tags=["check"]
shifts = [(0, 0), (3, -2), (1e4, 1e4), (-900, 2)]
check(merge_results, merge_by_package, [two_parts(*pair) for pair in shifts])

# %% [markdown]
# ### Exercise 3 · A sliding window in tiles (8 min, ★★☆)
#
# Each query sees itself and the `window` − 1 positions before it. List the tiles that must be visited, as pairs (number of the block of rows, number of the block of columns) in reading order, for $T$ queries and keys and square tiles of `size`. No tile without a visible pair may be in
# the list.
#
# <details><summary>Hint 1</summary>In a tile with rows a to b and columns c to d: the future hides it if c > b. The window hides it if its nearest pair is too far apart.</details>
# <details><summary>Hint 2</summary>The nearest pair is row a and column d: visible if a − d < window. Mind that the last block may be short.</details>


# %% tags=["exercise"]
def window_tiles(T, size, window):
    # BEGIN SOLUTION
    found = []
    for i, rows in enumerate(blocks(T, size)):
        for j, columns in enumerate(blocks(T, size)):
            future = columns.start > rows.stop - 1
            if not future and rows.start - (columns.stop - 1) < window:
                found.append((i, j))
    return found
    # END SOLUTION


# %% tags=["setup"]
def window_tiles_by_mask(T, size, window):
    t, s = torch.arange(T)[:, None], torch.arange(T)
    seen = (s <= t) & (t - s < window)
    parts = list(enumerate(blocks(T, size)))
    return [(i, j) for i, r in parts for j, c in parts if seen[r, c].any()]


# %% tags=["check"]
cases = [(12, 4, 4), (12, 4, 5), (12, 4, 6), (13, 4, 1), (10, 3, 100)]
check(window_tiles, window_tiles_by_mask, [*cases, (17, 5, 7), (6, 1, 2)])

# %% [markdown]
# ### Exercise 4 · ALiBi in tiles (8 min, ★★☆)
#
# ALiBi subtracts `slope` times the distance from each score of a causal head. A stored bias would be a square again: compute it inside each tile, from the positions. Use `step`, `nothing`, `blocks` and `hide_future`. `q`, `k`, `v` are (T, H); return the output (T, H).
#
# <details><summary>Hint 1</summary>Start from <code>tiled</code>; one line more.</details>
# <details><summary>Hint 2</summary>The distance in a tile: positions of its rows as a column, minus positions of its columns.</details>


# %% tags=["exercise"]
def tiled_alibi(q, k, v, slope, size):
    # BEGIN SOLUTION
    T, H = q.shape
    out = torch.empty_like(q)
    for rows in blocks(T, size):
        seen = nothing(rows.stop - rows.start, H, q.dtype)
        for columns in blocks(rows.stop, size):
            t = torch.arange(rows.start, rows.stop)[:, None]
            s = torch.arange(columns.start, columns.stop)
            scores = q[rows] @ k[columns].T / math.sqrt(H) - slope * (t - s)
            seen = step(seen, hide_future(scores, rows, columns), v[columns])
        out[rows] = seen[2] / seen[1]
    return out
    # END SOLUTION


# %% tags=["setup"]
def alibi_by_square(q, k, v, slope, size):
    place = torch.arange(len(q))
    bias = -slope * (place[:, None] - place)
    heads = (x[None, None] for x in (q, k, v))
    return attention(*heads, causal=True, bias=bias)[0, 0]


def head(T, H):
    return tuple(torch.randn(3, T, H, dtype=f64))


# %% tags=["check"]
cases = [(*head(9, 4), 0.5, 4), (*head(20, 3), 0.1, 7), (*head(5, 2), 2.0, 1)]
check(tiled_alibi, alibi_by_square, [*cases, (*head(8, 4), 0.25, 100)])

# %% [markdown]
# ### Exercise 5 · The other order (8 min, ★★☆)
#
# The first FlashAttention (2022) had the loops the other way round: a block of keys and values is loaded once, and for each of them *all* queries pass by. For each tile it loads the block of queries, its output so far and its two numbers $m$ and $\ell$, and it stores output, $m$ and $\ell$ again. How many numbers does it move for one head without a mask, in
# blocks of `bq` queries and `bk` keys?
#
# <details><summary>Hint 1</summary>Keys and values: 2·S·H in all. How many numbers pass for all queries together, for one block of keys?</details>
# <details><summary>Hint 2</summary>For one block of keys: loads T·(2H + 2), stores T·(H + 2). The size bq does not matter, as long as the blocks fit.</details>


# %% tags=["exercise"]
def moved_keys_outside(T, S, H, bq, bk):
    # BEGIN SOLUTION
    n_blocks = math.ceil(S / bk)
    return 2 * S * H + n_blocks * (T * (2 * H + 2) + T * (H + 2))
    # END SOLUTION


# %% tags=["setup"]
def moved_by_ledger(T, S, H, bq, bk):
    memory = SlowMemory()
    q, out = torch.zeros(2, T, H)
    k, v = torch.zeros(2, S, H)
    m, total = torch.zeros(2, T)
    for c in blocks(S, bk):
        for x in (k, v):
            memory.load(x[c])
        for r in blocks(T, bq):
            for x in (q, out, m, total):
                memory.load(x[r])
            for x in (out, m, total):
                memory.store(x[r])
    return memory.moved


# %% tags=["check"]
cases = [(8, 8, 4, 2, 2), (100, 70, 16, 32, 32), (7, 9, 3, 4, 2)]
check(moved_keys_outside, moved_by_ledger, [*cases, (64, 64, 8, 64, 64)])

# %% [markdown]
# Compare with section 4 when you are done: for equal blocks the first order moves about one and a half times as many numbers. FlashAttention-2 (2023) turned the loops round.
#
# ### Exercise 6 · One query, backwards (8 min, ★★★)
#
# Return the gradient by *one* query `q` (H,), given keys and values (S, H), its finished `out` (H,), its logsumexp `L` (a number) and `grad` (H,), the slope by `out`. Keys come in blocks of `size`; you may not make a vector of length $S$.
#
# <details><summary>Hint 1</summary>Section 5 for one row: first D, from two vectors of width H.</details>
# <details><summary>Hint 2</summary>In each block p = exp(s − L), ds = p (dp − D), and the gradient grows by ds @ k / √H.</details>


# %% tags=["exercise"]
def query_slope(q, k, v, out, L, grad, size):
    # BEGIN SOLUTION
    H, D, dq = len(q), grad @ out, torch.zeros_like(q)
    for part in blocks(len(k), size):
        p = torch.exp(k[part] @ q / math.sqrt(H) - L)
        dq += (p * (v[part] @ grad - D)) @ k[part] / math.sqrt(H)
    return dq
    # END SOLUTION


# %% tags=["setup"]
def slope_by_autograd(q, k, v, out, L, grad, size):
    q = q.clone().requires_grad_()
    whole = attention(q.view(1, 1, 1, -1), k[None, None], v[None, None])
    return torch.autograd.grad(whole.flatten(), q, grad)[0]


def one_query(S, H, size):
    q, grad = torch.randn(2, H, dtype=f64)
    k, v = torch.randn(2, S, H, dtype=f64)
    s = k @ q / math.sqrt(H)
    return q, k, v, s.softmax(dim=0) @ v, s.logsumexp(dim=0), grad, size


# %% tags=["check"]
cases = [one_query(1, 4, 1), one_query(10, 4, 3), one_query(7, 9, 100)]
check(query_slope, slope_by_autograd, cases)

# %% [markdown]
# ## At scale
#
# The paper measured GPT-2 medium's attention on an A100 (length 1 024, 16 heads of width 64, batch 64; forward and backward; figure 2 in the version of June 2022): 40.3 GB moved and 41.7 ms for plain attention, 4.4 GB and 7.3 ms for FlashAttention, while the arithmetic *grew* from 66.6 to 75.2
# GFLOPs. What do our ledgers say for this shape, with 2 bytes a number?

# %% tags=["label-paper"]
T, H, copies = 1024, 64, 16 * 64  # heads times batch
q, k, v = torch.randn(3, 1, 1, T, H)
plain = 11 * T * T + 12 * T * H  # forward 4 squares, backward 7
print(f"plain:        {plain * copies * 2 / 1e9:4.1f} GB, paper 40.3")
for size in (128, 256):
    flash = SlowMemory()
    settings = {"block_q": size, "block_k": size, "memory": flash}
    out, L = tiled_forward(q, k, v, **settings)
    tiled_backward(q, k, v, out, L, out, **settings)
    gigabytes = flash.moved * copies * 2 / 1e9
    print(f"tiles of {size}: {gigabytes:4.1f} GB, paper  4.4")
print(f"arithmetic: {7 / 6:.2f} times as much, paper {75.2 / 66.6:.2f}")
forward = 4 * T * T * H * copies / 1e9
print(f"two products forward: {forward:.0f} GFLOPs, paper 66.6 in all")

# %% [markdown]
# The order of size agrees, and so does the growth of the arithmetic. Our count for plain attention is lower: the paper's includes, we suppose, the passes for mask and dropout. Its absolute number of GFLOPs we cannot explain: by our count the two products of one forward pass are more.
#
# *On a GPU.* The package has a Triton twin of the forward loop, one kernel (`minillm/model/flash_triton.py`). Its tests run in Triton's interpreter on a CPU, and compile it for an A100 and an H100 that are not there. Its speed:

# %% tags=["label-gpu"]
runs = sorted((RESULTS / "flash_gpu").glob("*.json"))
for run in map(json.loads, (path.read_text() for path in runs)):
    for row in run["measured"]:
        ms = row["forward_ms"]
        gpu = run["machine"]["gpu"]
        print(gpu, row["tokens"], ms["triton"], ms["torch"], "ms")
if not runs:
    print("on a GPU: not measured yet; the job is benchmarks/gpu/flash.py")

# %% [markdown]
# ## Recap
#
# - The square of scores needs 64 GiB a layer at 32K. Writing and reading it is what makes plain attention slow.
# - Online softmax: carry maximum and two sums; when the maximum rises, shrink the sums. Exact, in any order.
# - Tiles make the traffic $8T^2H^2/M$ and the memory linear. FLOPs do not fall; backward adds a seventh product to six.
# - Backward recomputes $P=e^{S-L}$; the row sum $D$ is $\langle dO,O\rangle$.
# - FlashAttention hashes nothing. Buckets are Reformer's, keep a sixteenth of the pairs, and are an approximation.
#
# ## Questions
#
# 1. Why does a softmax subtract the maximum, and why is that harmless?
# <details><summary>Answer</summary>Exponentials of scores above 89 overflow in float32. The factor cancels between numerator and denominator.</details>
#
# 2. Could one carry the *first* score along instead of the maximum?
# <details><summary>Answer</summary>On paper, yes: any number cancels. In floating point a later score that is 100 larger would overflow.</details>
#
# 3. What is kept for the backward pass, and how many numbers is it?
# <details><summary>Answer</summary>q, k, v, O and the logsumexp: 4TH + T a head (K = N).</details>
#
# 4. Twice the fast memory: what happens to memory, traffic, FLOPs?
# <details><summary>Answer</summary>The peak in slow memory stays, the traffic halves, the FLOPs stay.</details>
#
# 5. Why is D not a second walk over the keys?
# <details><summary>Answer</summary>Because sum and inner product can be exchanged: D is the inner product of dO and O.</details>
#
# 6. A colleague: "we use FlashAttention, so attention is linear now." What do you say?
# <details><summary>Answer</summary>In memory, yes. The number of pairs, and so the time, still grows with the square.</details>
#
# 7. When would buckets be the better choice?
# <details><summary>Answer</summary>When texts are so long that computing all pairs is too slow, and attention is peaked enough for the loss to be small.</details>
#
# ## Sources
#
# - Dao et al. 2022, *FlashAttention*, [arXiv:2205.14135](https://arxiv.org/abs/2205.14135): algorithm 1, theorem 2, appendix B for the backward pass, and the A100's numbers.
# - Dao 2023, *FlashAttention-2*, [arXiv:2307.08691](https://arxiv.org/abs/2307.08691): queries outside, the logsumexp.
# - Milakov and Gimelshein 2018, *Online normalizer calculation for softmax*, [arXiv:1805.02867](https://arxiv.org/abs/1805.02867): section 2.
# - Rabe and Staats 2021, *Self-attention Does Not Need O(n²) Memory*, [arXiv:2112.05682](https://arxiv.org/abs/2112.05682): chunks.
# - Kitaev et al. 2020, *Reformer*, [arXiv:2001.04451](https://arxiv.org/abs/2001.04451): what the article describes.
# - Yang et al. 2023, *Baichuan 2*, [arXiv:2309.10305](https://arxiv.org/abs/2309.10305), and the read-me of ChatGLM2-6B (THUDM, 2023).
#
# ## Next
#
# [17 Experts](17_experts.ipynb): a model with more parameters that computes no more.

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
# # 12 Feed-forward: what happens to a token between two attentions, and what is a gate good for?
#
# 75 min · CPU · 30 s · 1 GB · needs [09 Attention](09_attention.ipynb) · code: `minillm/model/feedforward.py`
#
# Attention carries information from token to token. Then each token is left alone with what it has
# got, and a small network works on it: the **feed-forward layer** (前馈层). Most of a model's
# numbers lie there, and its design has changed in every generation: ReLU, GELU, SwiGLU.
#
# After this lesson you can
#
# 1. write down six feed-forward layers and the slope of each, and check a slope in two ways;
# 2. find the lowest point of a curve by hand, and say what makes a ReLU unit die;
# 3. explain what a product of two linear maps can do that a sum of bent lines cannot;
# 4. derive the widths 11 008, 28 672, 13 696 and 32 768 of published models;
# 5. compare designs at equal parameters over seeds, and say how small the difference is.

# %% tags=["setup"]
import collections
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional as F

from minillm.data import load_corpus
from minillm.lesson import check, claim, setup, show
from minillm.model import FeedForward, FeedForwardConfig
from minillm.model import count_parameters, gelu, presets, silu, swiglu
from minillm.recipes import base
from minillm.recipes.records import read_results
from minillm.recipes.small import bits_on
from minillm.recipes.studies import feedforward_kinds as kinds

setup(seed=12)
f64 = torch.float64  # we check derivations to 12 digits

# %% [markdown]
# ## 1 Widen, bend, narrow (6 min)
#
# A feed-forward layer takes the vector $x$ of one token (width $D$), multiplies it by a matrix into
# a wider space (width $F$, usually $4D$), applies a curve to each of the $F$ numbers, and multiplies
# back:
#
# $$y = \operatorname{act}(x\,W_{\text{up}}^\top)\,W_{\text{down}}^\top .$$
#
# The curve is called **activation function** (激活函数), each of the $F$ numbers an **inner unit**
# (隐藏单元).
#
# **Predict, then run.** What share of LLaMA-7B's 6.7 billion parameters lies in these layers?
#
# <details><summary>Answer</summary>About two thirds. In GPT-2 small less, because a third of that
# model is its vocabulary; in LLaMA-2-70B more, because its attention shares keys and values.</details>


# %%
def inner_parameters(config):
    layer = config.feedforward
    n = layer.n_matrices * config.d_model * layer.width
    return n * config.n_layers


# %% tags=["label-share"]
for make in (presets.gpt2_124m, presets.llama_7b, presets.llama2_70b):
    config = make()
    share = inner_parameters(config) / count_parameters(config)
    print(f"{make.__name__:12}{share:4.0%} in the feed-forward layers")

# %% [markdown]
# Two facts before we start. **Positions do not mix**: shuffle the tokens, and the outputs are shuffled
# alike. And **without the curve the wide space is useless**: two matrices in a row are one matrix.

# %%
layer = FeedForward(4, FeedForwardConfig("relu", 16), dtype=f64)
x, order = torch.randn(1, 5, 4, dtype=f64), torch.tensor([2, 4, 0, 1, 3])
shuffled = (layer(x[:, order]) - layer(x)[:, order]).abs().max()
one = layer.down.weight @ layer.up.weight  # (4, 4): all that is left
layer.act = lambda z: z
straight = (layer(x) - x @ one.T).abs().max()
assert shuffled < 1e-12 and straight < 1e-12
print("positions do not mix; without a curve two matrices are one")

# %% [markdown]
# ## 2 Three curves (14 min)
#
# **ReLU** (Nair and Hinton 2010) is the plainest: $\max(0,x)$. A unit is open or shut.
#
# **GELU**, also written GeLU (Hendrycks and Gimpel 2016), softens the switch by a story. Multiply
# $x$ by a coin that shows 1 or 0, and let large $x$ have the better coin: it shows 1 with
# probability $\Phi(x)$, the share of a standard normal distribution (标准正态分布) that lies below
# $x$. (`erf` is $\Phi$ on another scale, and stands in every library.) On average the result is
#
# $$\operatorname{gelu}(x) = x\,\Phi(x) = \tfrac x2\bigl(1+\operatorname{erf}(x/\sqrt2)\bigr).$$
#
# **Swish**, with $\beta=1$ also called **SiLU** (Ramachandran et al. 2017), takes the sigmoid
# $\sigma(x)=1/(1+e^{-x})$ for the share: $\operatorname{silu}(x) = x\,\sigma(x)$. The number decides
# itself how much of it passes: a *self-gate* (自门控). We test the story of the coin at $x=1$.

# %%
coins = torch.randn(200_000) < 1.0  # true with probability Phi(1)
average = (1.0 * coins).mean().item()
exact = gelu(torch.tensor(1.0)).item()
assert abs(average - exact) < 0.005  # five standard errors
print(f"gelu(1) = {exact:.3f} is the mean of the coins")

# %% tags=["label-curves"]
x = torch.linspace(-5, 3, 801, dtype=f64)
curves = {"ReLU": F.relu(x), "GELU": gelu(x), "SiLU": silu(x)}
fig, (wide, near) = plt.subplots(1, 2, figsize=(6.8, 2.7), layout="tight")
for ax in (wide, near):
    for (name, y), style in zip(curves.items(), ("-", "--", "-.")):
        ax.plot(x, y, style, label=name)
    ax.set(xlabel="x")
low = curves["SiLU"].argmin()
near.plot(x[low], curves["SiLU"][low], "ko")
near.text(x[low], -0.33, "lowest of SiLU", ha="center")
near.set(ylim=(-0.36, 0.2), xlim=(-5, 1), title="enlarged")
wide.set(ylabel="act(x)", title="the curves")
wide.legend(loc="upper left")
alt = "ReLU, GELU and SiLU. To the right all approach x. To the left GELU "
alt += "and SiLU dip below zero, SiLU to -0.28 at x = -1.3, and come back."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Far from zero the three agree: $x$ on the right, 0 on the left. Near zero
# GELU and SiLU are round, and a little to the left they are *negative*: they go down and come back.
#
# **Predict, then run.** SiLU has a lowest point, the mark in the picture. What can you say about its depth without a
# computer?
#
# By hand: since $\sigma'=\sigma(1-\sigma)$, the slope is
#
# $$\operatorname{silu}'(x) = \sigma + x\,\sigma(1-\sigma) = \sigma(x)\,\bigl(1+x(1-\sigma(x))\bigr).$$
#
# It vanishes where $x(1-\sigma)=-1$, that is $x - x\sigma = -1$, that is $\operatorname{silu}(x) = x+1$.
# So the depth is the place plus one, whatever the place is. For the place there is no school formula, and
# we use Newton's method (牛顿法): $x \leftarrow x - f'(x)/f''(x)$.


# %%
def silu_slope(x):
    s = torch.sigmoid(x)
    return s * (1 + x * (1 - s))


def silu_curvature(x):
    s = torch.sigmoid(x)
    return s * (1 - s) * (2 + x * (1 - 2 * s))


# %% tags=["label-newton"]
place = torch.tensor(-1.0, dtype=f64)
for step in range(5):
    place = place - silu_slope(place) / silu_curvature(place)
    s = silu_slope(place)
    print(f"step {step + 1}: x = {place:.12f}, slope {abs(s):.9f}")

# %% [markdown]
# The number of right digits doubles with each step. We check that no point of a wide grid lies lower, that the
# depth is the place plus one, and a closed form: with $w=-\text{depth}$ the condition says
# $w\,e^w = 1/e$ (try it: put $\sigma=1+1/x$ and $e^{-x}=1/\sigma-1$ together).

# %%
depth = silu(place).item()
grid = silu(torch.linspace(-50, 50, 1_000_001, dtype=f64))
assert depth <= grid.min() and grid.min() - depth < 1e-9
assert abs(depth - (place.item() + 1)) < 1e-12
assert abs(-depth * math.exp(-depth) - 1 / math.e) < 1e-12
print(f"lowest value {depth:.4f} at x = {place:.4f}")
claim("ACT-002", depth)

# %% [markdown]
# (`claim` hands the number to the course's ledger of claims, where the rule was written before the run,
# and prints only the verdict.) Two more sentences about Swish:
#
# - *It has no upper bound.* For $x>0$ we have $\sigma(x)>\frac12$, so $\operatorname{silu}(2M)>M$ for
#   every $M$; and the slope stays near 1.
# - *It is continuously differentiable* (连续可导). The slope left and right of a point must be the same.
#   For ReLU they are 0 and 1 at $x=0$.

# %%
M = 10.0 ** torch.arange(0, 301, dtype=f64)
grows = (silu(2 * M) > M).all() and (silu_slope(2 * M) > 0.5).all()
claim("ACT-001", grows.item())
print(f"slope of silu at -10: {silu_slope(torch.tensor(-10.0)):.4f}")


# %%
def jump(f, x, h=1e-5):
    """Slope on the right of x minus slope on the left."""
    return ((f(x + h) - f(x)) - (f(x) - f(x - h))) / h


points = torch.arange(-4000, 4001, dtype=f64) / 200  # 0 is one of them
print("ReLU jumps by", round(jump(F.relu, points).abs().max().item(), 6))
claim("ACT-003", jump(silu, points).abs().max().item())

# %% [markdown]
# The article that we follow concludes from the first sentence that with Swish "gradients do not saturate". That is
# half the truth: on the left the slope goes to 0, too; the cell printed it at −10. (It also says that the lower
# bound regularises. That is a conjecture of the paper, and nothing here tests it.)
#
# ### The other GELU
#
# `erf` was slow on old hardware, so GPT-2 was trained with an approximation:
#
# $$\Phi(x) \approx \tfrac12\bigl(1+\tanh(c\,(x+a\,x^3))\bigr),\qquad c=\sqrt{2/\pi},\quad a=0.044715 .$$
#
# Where do the numbers come from? Near zero $\Phi(x)=\frac12+\frac1{\sqrt{2\pi}}(x-\frac{x^3}6+\dots)$ and
# $\tanh z = z-\frac{z^3}3+\dots$ The terms in $x$ agree if $\frac c2=\frac1{\sqrt{2\pi}}$. The terms in $x^3$ agree if
# $a-\frac{c^2}3=-\frac16$, so $a=\frac2{3\pi}-\frac16$. The published $a$ is moved a little from there, which makes the
# error far from zero smaller.

# %% tags=["label-gelus"]
taylor = 2 / (3 * math.pi) - 1 / 6
x = torch.linspace(-6, 6, 120_001, dtype=f64)
error = (gelu(x, "tanh") - gelu(x)).abs()
worst = error.argmax()
share = (1 + torch.tanh((2 / math.pi) ** 0.5 * (x + taylor * x**3))) / 2
print(f"a from the series {taylor:.6f}, published 0.044715")
print(f"largest difference {error.max():.2e} at |x| = {x[worst].abs():.2f}")
print(f"with the a of the series {(x * share - gelu(x)).abs().max():.2e}")
assert 4e-4 < error.max() < 5e-4 and abs(taylor - 0.044715) < 1e-3

# %% [markdown]
# Half a thousandth looks like nothing. But whoever loads GPT-2's weights and uses the exact form gets
# other logits than the reference, and spends a day looking for the mistake. The package has both:
# `"gelu"` and `"gelu_tanh"`.
#
# ## 3 Slopes, and units that die (12 min)
#
# Training needs slopes. By the product rule, with $\varphi=\Phi'$ the bell curve
# $e^{-x^2/2}/\sqrt{2\pi}$:
#
# | curve | value | slope |
# |---|---|---|
# | ReLU | $\max(0,x)$ | 1 if $x>0$, else 0 |
# | GELU | $x\,\Phi$ | $\Phi + x\,\varphi$ |
# | SiLU | $x\,\sigma$ | $\sigma\,(1+x(1-\sigma))$ |
# | sigmoid | $\sigma$ | $\sigma(1-\sigma)$ |
#
# Never believe a derivative that was not checked twice: by **autograd**, which applies the chain rule to the
# code (so it repeats a mistake in the code), and by **finite differences** (有限差分), which use values only.


# %%
def gelu_slope(x):
    Phi = (1 + torch.erf(x / 2**0.5)) / 2
    return Phi + x * torch.exp(-(x**2) / 2) / (2 * math.pi) ** 0.5


def sigmoid_slope(x):
    return torch.sigmoid(x) * (1 - torch.sigmoid(x))


def relu_slope(x):
    return (x > 0).to(x.dtype)


# %%
pairs = {
    "relu": (F.relu, relu_slope),
    "gelu": (gelu, gelu_slope),
    "silu": (silu, silu_slope),
    "sigmoid": (torch.sigmoid, sigmoid_slope),
}

# %%
x = torch.linspace(-6, 6, 1000, dtype=f64)  # an even number: 0 is left out
for name, (f, slope) in pairs.items():
    z = x.clone().requires_grad_()
    (by_autograd,) = torch.autograd.grad(f(z).sum(), z)
    by_values = (f(x + 1e-5) - f(x - 1e-5)) / 2e-5
    a = (slope(x) - by_autograd).abs().max().item()
    b = (slope(x) - by_values).abs().max().item()
    assert a < 1e-12 and b < 1e-9
    print(f"{name:8} equal to autograd and to finite differences")

# %% tags=["label-slopes"]
fig, ax = plt.subplots(figsize=(5, 2.6), layout="constrained")
for (name, (f, slope)), style in zip(pairs.items(), ("-", "--", "-.", ":")):
    ax.plot(x, slope(x), style, label=name)
ax.set(xlabel="x", ylabel="slope")
ax.legend(ncols=2)
alt = "Slopes against x. ReLU jumps from 0 to 1 at 0. GELU and SiLU rise "
alt += "smoothly, dip below 0 on the left and pass 1 on the right; the slope "
alt += "of the sigmoid is a hill of height 0.25."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** ReLU's slope is a step. Those of GELU and SiLU pass *above* 1 on the right and below 0 on the
# left. The sigmoid's never exceeds a quarter; remember that for section 4.
#
# **Dead units.** Where the slope is 0, nothing is learned. Let a ReLU unit be shut on *every* token of the data, say
# after one step that was too large. Then its slope is 0 on every token, its weights get no gradient, and it stays shut, unless the layers
# below change what it sees: it is **dead** (神经元死亡). SiLU's slope on the left is small, but not 0.
#
# **Predict, then run.** Two layers of 32 units, one with ReLU, one with SiLU. All biases are pushed to −8, so that every
# unit is shut. Then both learn, 300 steps. Which recovers?
#
# <details><summary>Answer</summary>Only the one with SiLU. ReLU can move nothing but its last bias: it learns the mean of the
# target, and no more.</details>


# %%
def push_and_train(kind, steps=300):
    torch.manual_seed(12)
    x = torch.randn(256, 4)
    target = torch.tanh(x @ torch.randn(4, 4))
    layer = FeedForward(4, FeedForwardConfig(kind, 32, bias=True))
    torch.nn.init.constant_(layer.up.bias, -8.0)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.03)
    for _ in range(steps):
        loss = (layer(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item(), (layer.up(x) > 0).any(dim=0).float().mean().item()


# %% tags=["nbval-ignore-output", "label-dead"]
after = {kind: push_and_train(kind) for kind in ("relu", "silu")}
for kind, (loss, awake) in after.items():
    print(f"{kind}: loss {loss:.3f}, {awake:.0%} of the units open somewhere")

# %%
assert after["relu"][1] == 0 < after["silu"][1]
assert after["silu"][0] < after["relu"][0] / 10

# %% [markdown]
# How often does it happen in a real model? In section 7 we count. First the idea that changed the
# layer more than any curve.
#
# ## 4 A gate: one map switches another (14 min)
#
# Take *two* matrices to the wide space, let one become numbers between 0 and 1, and multiply:
#
# $$\text{GLU:}\qquad y = \bigl(\sigma(x\,W_{\text{gate}}^\top)\odot(x\,W_{\text{up}}^\top)\bigr)\,W_{\text{down}}^\top .$$
#
# This is the **gated linear unit** (门控线性单元, Dauphin et al. 2017). $\odot$ multiplies number by number. Unit $i$ has
# a signal $u_i=\langle w^{\text{up}}_i,x\rangle$ and a gate $g_i=\langle w^{\text{gate}}_i,x\rangle$; **sigmoid gating** lets the
# share $\sigma(g_i)$ of the signal pass. The slopes, again by the product rule:
#
# $$\frac{\partial}{\partial u_i}\bigl[\sigma(g_i)\,u_i\bigr] = \sigma(g_i),
# \qquad \frac{\partial}{\partial g_i}\bigl[\sigma(g_i)\,u_i\bigr] = \sigma'(g_i)\,u_i .$$
#
# The first line is why Dauphin et al. chose it: through an open gate the gradient passes undiminished, while
# a curve like the sigmoid alone would take at least three quarters of it. We write the layer with a loop over its units, its
# gradients by hand, and compare with the package and with autograd.


# %%
def glu_by_hand(x, gate, up, down, grad):
    """x (T, D); grad (T, D) is the slope of the loss by y."""
    start = (torch.zeros_like(z) for z in (x, gate, up, down))
    y, d_gate, d_up, d_down = start
    for i in range(len(up)):  # one unit after the other
        g, u = x @ gate[i], x @ up[i]  # (T,)
        y += (torch.sigmoid(g) * u)[:, None] * down[:, i]
        back = grad @ down[:, i]  # (T,) slope by the unit's value
        d_gate[i] = (back * sigmoid_slope(g) * u) @ x
        d_up[i] = (back * torch.sigmoid(g)) @ x
        d_down[:, i] = (torch.sigmoid(g) * u) @ grad
    return y, d_gate, d_up, d_down


# %%
layer = FeedForward(6, FeedForwardConfig("glu", 10), dtype=f64)
x, grad = torch.randn(2, 9, 6, dtype=f64)
weights = [layer.gate.weight, layer.up.weight, layer.down.weight]
y = layer(x)
from_package = [y, *torch.autograd.grad((y * grad).sum(), weights)]
with torch.no_grad():
    by_hand = glu_by_hand(x, *weights, grad)
errors = [(a - b).abs().max() for a, b in zip(by_hand, from_package)]
claim("ACT-005", max(errors).item())

# %% [markdown]
# **The family.** The gate may use any curve $\operatorname{act}(g_i)\,u_i$: with $\sigma$ it is GLU, with GELU **GEGLU**, with SiLU
# **SwiGLU** (Shazeer 2020), with ReLU ReGLU, with none at all *bilinear*. In SwiGLU, which LLaMA uses, the gate can be larger
# than 1 and slightly negative, so "gate" is a figure of speech: what matters is the **product of two linear maps**.
#
# What can a product do? The simplest task that needs one: $y=a\cdot b$. Think of "the next word is plural if the subject is
# plural *and* it is the subject's verb": one thing switches the effect of another.
#
# **Two SwiGLU units do it exactly.** Since $\sigma(t)+\sigma(-t)=1$,
#
# $$\operatorname{silu}(t)-\operatorname{silu}(-t) = t\,\sigma(t)+t\,\sigma(-t) = t,
# \qquad\text{so}\qquad \operatorname{silu}(a)\,b-\operatorname{silu}(-a)\,b = a\,b .$$

# %%
a, b = 10 * torch.randn(2, 10_000, dtype=f64)
for act in (silu, gelu, F.relu):
    assert (act(a) * b - act(-a) * b - a * b).abs().max() < 1e-12
print("two gated units multiply exactly: SwiGLU, GEGLU and ReGLU")

# %% [markdown]
# **No ReLU layer does.** Walk along the diagonal $a=b=t$ from −1 to 1. The target is $t^2$. Each of the $F$ units bends its line
# once, at the place where it opens; so the output is a chain of at most $F+1$ straight pieces, and the longest is at least $2/(F+1)$
# long. On a piece of length $h$ the best line misses $t^2$ by $h^2/8$. Hence, *whatever the training*:
#
# $$\text{largest error} \;\ge\; \frac{1}{2(F+1)^2}.$$
#
# It gets small, but it costs units. Now both learn the three products $(ab, bc, ca)$, with equally many parameters: 22 ReLU or
# SiLU units, or 14 gated ones.
#
# **Predict.** By which factor will the errors differ? Does a round curve alone help?


# %%
def learn_products(kind, width, seed, steps=400):
    torch.manual_seed(seed)
    layer = FeedForward(3, FeedForwardConfig(kind, width, bias=True))
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.03)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, steps)
    for _ in range(steps):
        x = 2 * torch.rand(256, 3) - 1
        loss = (layer(x) - x * x.roll(-1, dims=1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    x = 2 * torch.rand(10_000, 3) - 1
    rms = (layer(x) - x * x.roll(-1, dims=1)).square().mean().sqrt().item()
    return layer, rms


# %%
widths = {"relu": 22, "silu": 22, "glu": 14, "swiglu": 14}
counts = set()
for kind, width in widths.items():
    layer = FeedForward(3, FeedForwardConfig(kind, width, bias=True))
    counts.add(sum(p.numel() for p in layer.parameters()))
assert len(counts) == 1
print("parameters of each:", *counts)

# %% tags=["nbval-ignore-output", "label-products"]
errors = {}
layers = {}
for kind, width in widths.items():
    runs = [learn_products(kind, width, seed) for seed in range(5)]
    layers[kind], errors[kind] = runs[0][0], [rms for _, rms in runs]
    low, high = min(errors[kind]), max(errors[kind])
    print(f"{kind:7} typical error {low:.4f} to {high:.4f}")
assert max(errors["swiglu"]) < min(errors["relu"]) / 2

# %% tags=["nbval-ignore-output", "label-diagonal"]
t = torch.linspace(-1, 1, 401)
fig, (left, right) = plt.subplots(1, 2, figsize=(6.8, 2.7), layout="tight")
left.plot(t, t**2, "k", lw=3, alpha=0.3, label="t², the target")
for kind, style in (("relu", "-"), ("swiglu", "--")):
    with torch.no_grad():
        y = layers[kind](torch.stack([t, t, 0 * t], dim=1))[:, 0]
    if kind == "relu":  # the bound holds
        assert (y - t**2).abs().max() > 1 / (2 * (22 + 1) ** 2)
    left.plot(t, y, style, label=kind)
left.set(xlabel="a = b = t, c = 0", ylabel="output for a·b")
left.legend()
for place, (kind, values) in enumerate(errors.items()):
    right.semilogy([place] * 5, values, "os^d"[place])
right.set(xticks=range(4), xticklabels=errors, ylabel="typical error")
alt = "Left: along the diagonal ReLU's output is a chain of straight pieces, "
alt += "SwiGLU's lies on the parabola. Right: errors of five seeds for ReLU, "
alt += "SiLU, GLU and SwiGLU; SwiGLU's are the smallest or near it."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Left: ReLU's chain of straight pieces, and SwiGLU's curve on the parabola. Right: SwiGLU is the best, but
# look at SiLU and GLU, too. A round curve alone halves ReLU's error, because near its bend it *is* nearly a parabola, and
# $ab=\frac14(a+b)^2-\frac14(a-b)^2$. GLU's gate is bounded and can only imitate a product. Each of the two ideas helps; SwiGLU has both.
#
# ## 5 Three matrices for the price of two (9 min)
#
# A gated layer has three matrices, $3DF$ numbers; a plain one of width $4D$ has $2\cdot D\cdot 4D=8D^2$. To compare them fairly,
# they must cost the same:
#
# $$3\,D\,F = 8\,D^2 \quad\Longrightarrow\quad F=\tfrac83\,D ,$$
#
# two thirds of $4D$. Each number of a matrix takes part in one multiplication and one addition for each token, so equal parameters are also
# equal FLOPs (up to the $F$ curves and products). We count on layers that are really built.


# %%
def count(d, kind, width):
    layer = FeedForward(d, FeedForwardConfig(kind, width), device="meta")
    return sum(p.numel() for p in layer.parameters())


# %%
ratios = []
for d in range(3, 97, 3):
    plain, one_unit = count(d, "gelu", 4 * d), count(d, "swiglu", 1)
    width, rest = divmod(plain, one_unit)  # how many gated units that buys
    assert rest == 0 and count(d, "swiglu", width) == plain
    ratios.append(width / d)
assert max(ratios) == min(ratios)
claim("ACT-007", ratios[0])

# %% [markdown]
# (The layers live on the `meta` device: shapes without numbers.)
#
# **Predict, then run.** LLaMA-7B has $D=4096$. Is its inner width $\frac83\cdot4096$?
#
# <details><summary>Answer</summary>Nearly. 10 922.67 is not even an integer. LLaMA's code cuts it to 10 922 and rounds up to a multiple of
# 256, because matrix kernels work in tiles: 43 · 256 = 11 008.</details>

# %% tags=["label-llama"]
cut = int(2 * 4 * 4096 / 3)
llama = -(-cut // 256) * 256  # rounded up
print(f"LLaMA-7B, Baichuan-7B  {cut} -> {llama}")
assert llama == presets.llama_7b().feedforward.width
claim("ACT-008", llama)

# %% tags=["label-widths"]
cut = int(1.3 * int(2 * 4 * 8192 / 3))
print(f"LLaMA-2-70B  {cut} -> {-(-cut // 4096) * 4096}")
assert -(-cut // 4096) * 4096 == presets.llama2_70b().feedforward.width
cut = int(2 * 4 * 5120 / 3)
fits = [m for m in (32, 64, 128, 256) if -(-cut // m) * m == 13696]
print(f"Baichuan-13B  {cut} -> 13696 with a multiple of", fits)

# %% [markdown]
# LLaMA-2-70B saves parameters in its attention (lesson 16) and spends them here: the width is made larger by a factor of 1.3 and rounded
# up to a multiple of 4096. Baichuan-13B publishes 13 696 and no rule; the cell shows which rule gives it. (LLaMA-13B, as wide,
# has 13 824: a multiple of 256.)
#
# **GLM-130B** needs no rounding. Its published configuration has $D=12\,288$, 70 layers and *inner hidden size* 32 768, with GEGLU. (The
# sentence in our source, "GLM replaces ReLU by GeLU", is about the first GLM, and is what its paper says. The 130B model went on to the
# gated form.) Is 32 768 the fair width?

# %% tags=["label-glm"]
D, n_layers, published = 12288, 70, 32768
plain = count(D, "gelu", 4 * D)
fair = plain // count(D, "geglu", 1)
claim("ACT-009", fair)
for width in (published, 4 * D):
    blocks = n_layers * (4 * D * D + count(D, "geglu", width))
    print(f"width {width}: {(blocks + 150_528 * D) / 1e9:.1f} billion")

# %% [markdown]
# With 32 768 the matrices and the table of its 150 528 tokens come to 128.7 billion, which the name rounds to 130B. Had the gated
# layers kept width $4D$, the model would be GLM-170B.

# %% [markdown]
# ## 6 What the units look for (8 min)
#
# Write the layer as a sum over its units:
#
# $$y = \sum_{i=1}^{F} \underbrace{\operatorname{act}(\langle w^{\text{gate}}_i, x\rangle)\,\langle w^{\text{up}}_i,x\rangle}_{\text{how much}}\; v_i ,\qquad
# v_i = \text{column } i \text{ of } W_{\text{down}} .$$
#
# It looks like attention: a key $w_i$ is compared with $x$, and a value $v_i$ is added in proportion. But keys and values are weights here, the same
# for every text. So the layer can be read as a **key-value memory** (键值记忆; Geva et al. 2021): a key recognises a situation, its value
# says what to do about it. Is that so in a real model? We open the course's small one, run it on stories, and look for the 50 places where the
# gate of each unit of the *last* layer is widest.

# %%
model, tokenizer = base("tiny")
rows = []
for text in load_corpus("stories-en", max_bytes=40_000, progress=False).texts:
    ids = tokenizer.encode(text)
    rows += [ids[i : i + 129] for i in range(0, len(ids) - 129, 128)]
rows = torch.tensor(rows)  # (B, 129): 128 tokens, and what follows each
here, after = rows[:, :-1].flatten(), rows[:, 1:].flatten()

# %%
last = model.blocks[-1].feedforward
caught = []
hook = last.register_forward_hook(lambda _, args, y: caught.append(args[0]))
with torch.no_grad():
    model(rows[:, :-1])
    hook.remove()
    x = caught[0].flatten(0, 1)  # what goes into the layer, a row a token
    gate = silu(last.gate(x))
    amount = gate * last.up(x)  # (tokens, F): "how much" of the formula
print(f"{len(here)} tokens, {gate.shape[1]} units")

# %% [markdown]
# For each unit we count which token *stands* at its 50 places, and which *follows*. The value we read by multiplying it with the output matrix:
# which tokens would it make more likely? Shown are the units whose 50 places agree best about what follows, one for each follower.
#
# **Predict.** At 50 random places, how often does the most frequent next token occur?


# %%
def common(tokens, n=2):
    found = collections.Counter(tokens.tolist()).most_common(n)
    return " ".join(f"{tokenizer.decode([t]).strip()} {c}" for t, c in found)


def agreement(places):
    """The most frequent next token of some places, and how often."""
    return collections.Counter(after[places].tolist()).most_common(1)[0]


# %%
tops = [gate[:, i].topk(50).indices for i in range(gate.shape[1])]
ranked = sorted(range(len(tops)), key=lambda i: -agreement(tops[i])[1])
best = {agreement(tops[i])[0]: i for i in reversed(ranked)}
chosen = sorted(best.values(), key=ranked.index)[:6]

# %% tags=["nbval-ignore-output", "label-units"]
print("unit  stands there         follows           its value raises")
hits = 0
for i in chosen:
    push = last.down.weight[:, i] * amount[tops[i], i].mean().sign()
    raised = (model.output_matrix() @ push).topk(3).indices
    hits += agreement(tops[i])[0] in raised
    words = [tokenizer.decode([t]).strip() for t in raised]
    stands, follows = common(here[tops[i]]), common(after[tops[i]])
    print(f"{i:4}  {stands:20} {follows:17} {' '.join(words)}")
chance = [agreement(torch.randperm(len(here))[:50])[1] for _ in range(200)]
print(f"{hits} of 6 values raise what follows")
print(f"random places agree {np.mean(chance):.0f} times of 50")

# %%
assert agreement(tops[chosen[0]])[1] > 3 * np.mean(chance)

# %% tags=["nbval-ignore-output", "label-memory"]
text = "In a lonely village lived a girl named Tina."
text += " One clear morning, she was"
ids = torch.tensor(tokenizer.encode(text))
words = [tokenizer.decode([t]) for t in ids.tolist()]
with torch.no_grad():
    hook = last.register_forward_hook(lambda _, z, y: caught.append(z[0]))
    model(ids[None])
    hook.remove()
    opened = silu(last.gate(caught[-1][0]))  # (tokens, F)
opened = (opened / gate.max(dim=0).values)[:, chosen].T  # (units, tokens)
fig, ax = plt.subplots(figsize=(6.6, 2.8), layout="constrained")
image = ax.imshow(opened, aspect="auto")
labels = [
    f"{i}: before “{tokenizer.decode([agreement(tops[i])[0]]).strip()}”"
    for i in chosen
]
ax.set(yticks=range(len(chosen)), yticklabels=labels)
ax.set_xticks(range(len(words)), words, rotation=45, ha="right")
fig.colorbar(image, label="share of its widest")
alt = "Heat map of six units of the last layer over the words of a sentence: "
alt += "each gate is wide open at one or two words and nearly shut elsewhere."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Most of the picture is dark: at most words a unit is nearly shut. The unit "before a" opens at *In*, *lived* and
# *named*, where an *a* may come next; the one "before was" at *village*, *Tina* and *she*, things that do something.
#
# In the table most values raise the very token that follows. Not all do, some raise Chinese words (the model speaks both), and we picked
# the six clearest of 256. The memory is a way to read the layer, not a theorem about it.
#
# ## 7 Which layer is best? (12 min)
#
# Six models that differ in this layer only: width 256 without a gate, 171 with one ($\frac83\cdot64=170.67$, rounded). Two layers, $D=64$, bytes
# as tokens, 197 kB of docstrings; tested on other docstrings. The weights start so that what enters a curve has spread 1, as in large models. (With the
# usual 0.02 it would have 0.16 at this width, and there a round curve is nearly a straight line.) What is equal is counted:

# %% tags=["label-equal"]
study = read_results("feedforward_kinds")
print(study.provenance)
some = {kind: f"{kind}_{kinds.RATES[0]}" for kind in kinds.WIDTHS}
for what in ("parameters", "flops a token"):
    n = {kind: study.values(arm, what)[0] for kind, arm in some.items()}
    print(what, sorted(set(n.values())))
    assert max(n.values()) / min(n.values()) < 1.01

# %% [markdown]
# **The learning rate** can decide such a contest. Whoever tunes it for one layer and uses it for all has chosen the winner. So each layer was tried
# at four rates on a seed outside the study; the two rates that were best on average were run with five seeds each, and each layer is judged at
# the rate that *it* preferred on the outside seed:

# %% tags=["label-pilot"]
rates = list(kinds.PILOT["relu"])
print("bits per byte" + "".join(f"{lr:9}" for lr in rates))
for kind, bits in kinds.PILOT.items():
    print(f"{kind:13}" + "".join(f"{b:9.3f}" for b in bits.values()))
own = {kind: f"{kind}_{kinds.best_rate(kind)}" for kind in kinds.WIDTHS}

# %% [markdown]
# Runs with one seed read the same text in the same order, so they are compared in pairs.
#
# **Predict, then run.** Rank the six. And how large is the gap between best and worst, in per cent of the loss?

# %% tags=["label-kinds"]
means = {kind: study.mean(arm, "bits").value for kind, arm in own.items()}
print("          rate    bits   minus ReLU, paired by seed")
for kind, arm in own.items():
    d = study.difference(arm, own["relu"], "bits")
    line = f"{kind:8}{kinds.best_rate(kind):6}{means[kind]:8.3f}"
    line += f"   {d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"
    print(line if kind != "relu" else line[:22])
gap = max(means.values()) - min(means.values())
seeds = np.ptp(study.values(own["swiglu"], "bits"))
print(f"from best to worst layer {gap / min(means.values()):.1%}")
print(f"from best to worst seed of SwiGLU {seeds / means['swiglu']:.1%}")

# %% tags=["label-intervals"]
fig, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
others = [kind for kind in own if kind != "relu"]
for shift, (lr, mark) in enumerate(zip(kinds.RATES, "os")):
    for y, kind in enumerate(others):
        d = study.difference(f"{kind}_{lr}", f"relu_{lr}", "bits")
        error = [[d.value - d.low], [d.high - d.value]]
        label = f"rate {lr}" if y == 0 else None
        place = y + 0.2 * shift - 0.1
        ax.errorbar(
            d.value,
            place,
            xerr=error,
            fmt=mark,
            color=f"C{shift}",
            label=label,
        )
ax.axvline(0, color="k", lw=1, ls="--")
ax.set(
    yticks=range(5),
    yticklabels=others,
    xlabel="bits per byte minus ReLU's at the same rate",
)
ax.invert_yaxis()
ax.legend()
alt = "Bits per byte minus ReLU's, with intervals, for two rates. GELU lies "
alt += "a little below zero at both; intervals of SiLU, GEGLU and SwiGLU "
alt += "hold zero; GLU lies above, clearly so at the rate 0.005."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Every interval but three crosses the dashed line. GELU lies left of it at both rates, by about one per cent of the loss.
# GLU lies right of it at the lower rate, and the higher one takes half of that away. GEGLU and SwiGLU reach as far left as GELU at the higher rate,
# but their seeds scatter too much for five of them to show it.
#
# **Two claims.** *Replacing ReLU by Swish at equal parameters improves models, but not consistently* (the article's summary of the Swish paper). And
# *SwiGLU improves over ReLU and other activations at the same number of parameters*. The rules were written before the runs. For the first: SiLU minus
# ReLU, the interval below zero. For the second: SwiGLU minus the best of the five others, which is strict, since the rival is picked afterwards.

# %% tags=["label-claims"]
d = study.difference(own["silu"], own["relu"], "bits")
print("silu minus relu:", d)
claim("ACT-004", d.value, d)
pairs = [
    np.subtract(
        study.values(f"silu_{lr}", "bits"), study.values(f"relu_{lr}", "bits")
    )
    for lr in kinds.RATES
]
print(f"silu loses {np.sum(np.array(pairs) > 0)} of {np.size(pairs)} pairs")

# %% tags=["label-rival"]
rivals = [kind for kind in own if kind != "swiglu"]
rival = min(rivals, key=lambda kind: study.mean(own[kind], "bits").value)
d = study.difference(own["swiglu"], own[rival], "bits")
print(f"swiglu minus {rival}:", d)
claim("ACT-006", d.value, d)

# %% [markdown]
# Neither is seen. SiLU alone is no better than ReLU here, and loses most of the pairs, as the words "not consistently" warn.
#
# **The honest sentence.** At this size, with equal parameters, FLOPs and text, we see one thing for sure: GELU is about one per cent better than ReLU. All
# other differences are as small as those between two seeds of one layer, or depend on the learning rate. (Not equal, and not measured, is the time:
# three thin matrices run otherwise than two wide ones.)
#
# **A trap, and we stepped into it.** Compare the two gated layers as the rule has it, each at its own rate:

# %% tags=["label-trap"]
d = study.difference(own["swiglu"], own["geglu"], "bits")
print("swiglu minus geglu, own rates: ", d)
assert d.high < 0
d = study.difference("geglu_0.01", "geglu_0.005", "bits")
print("geglu at 0.01 minus at 0.005:  ", d)
assert d.high < 0
d = study.difference("swiglu_0.01", "geglu_0.01", "bits")
print("swiglu minus geglu, both 0.01: ", d)
assert d.low < 0 < d.high

# %% [markdown]
# The first interval excludes zero, yet SwiGLU is *not* better. On the outside seed GEGLU happened to prefer 0.005, so it was judged there; five seeds say that
# 0.01 is better for it, and at the same rate nothing is left. One seed is too few to choose a rate. The verdicts stand as they are, because a rule
# is not changed after its numbers were seen.
#
# **Dead units, counted.** In every recorded run each inner unit was watched on 25 000 tokens of unseen text. Is it open on none of them? And on how
# many tokens is a unit open, on average?

# %% tags=["label-alive"]
print("              never open   open on")
for arm in ("relu_0.005", "relu_0.01", "gelu_0.01", "swiglu_0.01"):
    never, opened = study.mean(arm, "never open"), study.mean(arm, "open")
    print(f"{arm:12}{never.value:12.1%}{opened.value:10.0%}")
by_seed = study.values("relu_0.01", "never open")
print("ReLU at 0.01, by seed:", *(f"{share:.1%}" for share in by_seed))

# %% [markdown]
# Dead units are rare here: none at the lower rate, less than one in a hundred at the higher one, and only with ReLU. (For the others "never open" would not
# mean dead.) A ReLU unit works on about a quarter of the tokens. The cure of section 3 is needed less often than the textbook
# picture suggests; deeper models and larger steps are another matter, and not measured here.
#
# **One run of your own.** Two of the six, on a sixth seed, some fifteen seconds. Where do they fall among the recorded five?

# %% tags=["nbval-ignore-output", "label-live"]
for kind in ("relu", "swiglu"):
    live = kinds.train_kind(kind, kinds.best_rate(kind), seed=6)
    mine = bits_on(live, kinds.texts()[1])
    recorded = study.values(own[kind], "bits")
    low, high = min(recorded), max(recorded)
    print(f"{kind:7} {mine:.3f}, recorded {low:.3f} to {high:.3f}")
    assert abs(mine - np.mean(recorded)) < 0.15

# %% [markdown]
# ## Homework (36 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The rest of the
# notebook does not depend on your answers.
#
# ### Exercise 1 · The width of every model (5 min, ★☆☆)
#
# Section 5 did it three times with small differences. Write one function: two thirds of $4d$, cut to an integer; times `factor`,
# cut again; rounded up to a multiple of `multiple`.
#
# <details><summary>Hint 1</summary>The two cuts are two <code>int(...)</code>, one inside the other.</details>
# <details><summary>Hint 2</summary><code>-(-n // m) * m</code> rounds n up to a multiple of m, and leaves a multiple alone.</details>


# %% tags=["exercise"]
def inner_width(d, multiple, factor):
    # BEGIN SOLUTION
    width = int(factor * int(2 * 4 * d / 3))
    return -(-width // multiple) * multiple
    # END SOLUTION


# %% tags=["setup"]
published = {
    (4096, 256, 1.0): presets.llama_7b,
    (5120, 256, 1.0): presets.llama_13b,
    (6656, 256, 1.0): presets.llama_33b,
    (8192, 4096, 1.3): presets.llama2_70b,
    (5120, 128, 1.0): presets.baichuan_13b,
    (2048, 256, 1.0): presets.tinyllama_1b,
    (12288, 4096, 1.0): None,  # GLM-130B: already a multiple
}


def published_width(d, multiple, factor):
    make = published[d, multiple, factor]
    return make().feedforward.width if make else 32768


# %% tags=["check"]
check(inner_width, published_width, list(published))

# %% [markdown]
# ### Exercise 2 · The slope of GPT-2's GELU (7 min, ★★☆)
#
# Derive the slope of $\frac x2\bigl(1+\tanh z\bigr)$ with $z=c\,(x+a\,x^3)$ by hand, and write it down for a tensor `x`. No autograd.
# The check compares with autograd on the package's version.
#
# <details><summary>Hint 1</summary>The slope of tanh z by z is 1 − tanh² z. Then the chain rule: times the slope of z by x.</details>
# <details><summary>Hint 2</summary>Two terms: (1 + tanh z)/2, and x/2 times the slope of tanh z by x.</details>


# %% tags=["exercise"]
def tanh_gelu_slope(x):
    # BEGIN SOLUTION
    c, a = math.sqrt(2 / math.pi), 0.044715
    tanh = torch.tanh(c * (x + a * x**3))
    return (1 + tanh) / 2 + x / 2 * (1 - tanh**2) * c * (1 + 3 * a * x**2)
    # END SOLUTION


# %% tags=["check"]
def by_autograd(x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(gelu(x, "tanh").sum(), x)[0]


x = torch.linspace(-5, 5, 41, dtype=f64)
check(tanh_gelu_slope, by_autograd, [(x,), (x[:1],), (0.1 * x.view(1, -1),)])

# %% [markdown]
# ### Exercise 3 · A multiplier (7 min, ★★☆)
#
# `x` is (T, D). Choose three matrices for a SwiGLU layer of *two* units, such that `swiglu(x, gate, up, down)` holds
# $x_i\cdot x_j$ in its column 0 and zeros in all others; `i` and `j` may be equal. Return the layer's output. (Shapes: gate and up are
# (2, D), down is (D, 2); take the dtype of x.)
#
# <details><summary>Hint 1</summary>Section 4: silu(a)·b − silu(−a)·b = a·b. Which entry of which row of gate is 1, which is −1?</details>
# <details><summary>Hint 2</summary>Both rows of up pick b. The minus sign can stand in up or in down.</details>


# %% tags=["exercise"]
def multiply(x, i, j):
    # BEGIN SOLUTION
    D = x.shape[1]
    gate, up = torch.zeros(2, 2, D, dtype=x.dtype)
    down = torch.zeros(D, 2, dtype=x.dtype)
    gate[0, i], gate[1, i] = 1, -1
    up[0, j], up[1, j] = 1, -1
    down[0] = 1
    return swiglu(x, gate, up, down)
    # END SOLUTION


# %% tags=["check"]
def product_in_column_0(x, i, j):
    y = torch.zeros_like(x)
    y[:, 0] = x[:, i] * x[:, j]
    return y


x = torch.randn(6, 4, dtype=f64)
cases = [(x, 0, 1), (x, 3, 2), (x, 2, 2), (40 * x, 1, 3), (x[:, :1], 0, 0)]
check(multiply, product_in_column_0, cases)

# %% [markdown]
# ### Exercise 4 · Find the dead (7 min, ★★☆)
#
# `layer` is a ReLU layer of the package with biases, `x` are all inputs of a data set, (B, T, D). Return the sorted list of the
# numbers of its dead units: those that are open on no token at all. The check asks autograd which rows of `up.weight` get no gradient.
#
# <details><summary>Hint 1</summary><code>layer.up(x)</code> gives (B, T, F), the numbers before the curve.</details>
# <details><summary>Hint 2</summary>A unit lives if it is open on <em>any</em> of the B·T tokens.</details>


# %% tags=["exercise"]
def dead_units(layer, x):
    # BEGIN SOLUTION
    lives = (layer.up(x) > 0).flatten(0, 1).any(dim=0)
    return [i for i, alive in enumerate(lives.tolist()) if not alive]
    # END SOLUTION


# %% tags=["check"]
def rows_without_gradient(layer, x):
    (layer(x) * torch.randn(x.shape)).sum().backward()
    moved = (layer.up.weight.grad != 0).any(dim=1)
    return [i for i, m in enumerate(moved.tolist()) if not m]


def planted(seed, biases):
    torch.manual_seed(seed)
    layer = FeedForward(3, FeedForwardConfig("relu", len(biases), bias=True))
    layer.up.bias.data = torch.tensor(biases)
    return layer, torch.randn(4, 8, 3)


cases = [planted(0, [0.0, -9.0, 0.5, -9.0, -2.0, -1.5])]
cases += [planted(1, [9.0, 9.0]), planted(2, [-9.0, -9.0, -9.0])]
cases += [planted(3, [-2.0, -1.0, -3.0, -1.0, -2.5, -0.5, 5.0, -2.0])]
check(dead_units, rows_without_gradient, cases)

# %% [markdown]
# ### Exercise 5 · SwiGLU backwards (10 min, ★★★)
#
# `grad` (T, D) is the slope of a loss by $y=\operatorname{swiglu}(x)$. Return the slopes by `x`, `gate`, `up` and `down`, in this
# order, without autograd. Section 4 did it for GLU with a loop; here use matrix products, and do not forget that
# `x` enters twice.
#
# <details><summary>Hint 1</summary>With g = x @ gate.T, u = x @ up.T and h = silu(g) * u: back = grad @ down is the slope by h, (T, F).</details>
# <details><summary>Hint 2</summary>by_u = back * silu(g), by_g = back * u * slope of silu at g. Then a product with x for the matrices, with the matrices for x.</details>


# %% tags=["exercise"]
def swiglu_backwards(x, gate, up, down, grad):
    # BEGIN SOLUTION
    g, u = x @ gate.T, x @ up.T
    s = torch.sigmoid(g)
    back = grad @ down
    by_u = back * g * s
    by_g = back * u * s * (1 + g * (1 - s))
    by_x = by_g @ gate + by_u @ up
    return by_x, by_g.T @ x, by_u.T @ x, grad.T @ (g * s * u)
    # END SOLUTION


# %% tags=["check"]
def swiglu_by_autograd(x, gate, up, down, grad):
    inputs = [z.requires_grad_() for z in (x, gate, up, down)]
    return torch.autograd.grad((swiglu(*inputs) * grad).sum(), inputs)


def random_case(T, D, width):
    shapes = (T, D), (width, D), (width, D), (D, width), (T, D)
    return tuple(torch.randn(shape, dtype=f64) for shape in shapes)


cases = [random_case(1, 1, 1), random_case(5, 4, 7), random_case(3, 6, 2)]
check(swiglu_backwards, swiglu_by_autograd, cases)

# %% [markdown]
# ## At scale
#
# *Arithmetic.* The share of the feed-forward layers grows with the model, since attention can share keys and values and the
# vocabulary stays: section 1. *Loss.* Shazeer (2020) trained T5 base (223 M parameters, two thirds widths) with each layer. The loss on
# held-out text, in nats a token, with the standard deviation of several runs where the paper gives one:
#
# | layer | 65 536 steps | 524 288 steps |
# |---|---|---|
# | ReLU | 1.997 (0.005) | 1.677 |
# | GELU | 1.983 (0.005) | 1.679 |
# | Swish | 1.994 (0.003) | 1.683 |
# | GLU | 1.982 (0.006) | 1.663 |
# | bilinear | 1.960 (0.005) | 1.648 |
# | ReGLU | 1.953 (0.003) | 1.645 |
# | GEGLU | 1.942 (0.004) | 1.633 |
# | SwiGLU | 1.944 (0.010) | 1.636 |
#
# Read three things. A gate lowers the loss, by 0.01 (GLU) to 0.06 nats. Swish without a gate *loses* to ReLU after the long training, after winning by no
# more than a deviation in the short one: "not consistently". And SwiGLU is not the best of the table; GEGLU is ahead by 0.003, with one run
# each. Why gates help the paper does not say: it attributes their success to "divine benevolence".
#
# *On vision.* The Swish paper compared on CIFAR and ImageNet with Inception, MobileNet and others; its abstract gives +0.9 points for
# Mobile NASNet-A and +0.6 for Inception-ResNet-v2. *On a GPU* the six layers of this course: not measured yet.
#
# ## Recap
#
# - A feed-forward layer widens, bends and narrows each token alone. It holds two thirds of LLaMA-7B.
# - GELU is $x\,\Phi(x)$, SiLU $x\,\sigma(x)$. SiLU's lowest point is its place plus one. The two GELUs differ by half a thousandth.
# - A ReLU unit that is shut on all tokens gets no gradient, and stays shut.
# - A gate multiplies two linear maps. Two SwiGLU units are an exact product; ReLU needs a unit for every bend.
# - Fair comparison: three matrices of $\frac83D$ for two of $4D$. Then the differences are small, and need seeds and intervals.
#
# ## Questions
#
# 1. What would a model lose if all its activation functions were the identity?
# <details><summary>Answer</summary>Its two feed-forward matrices would be one matrix of rank at most D. The wide space would be for nothing.</details>
#
# 2. Why is silu's lowest value exactly 1 more than its place?
# <details><summary>Answer</summary>The slope vanishes where x(1 − σ) = −1, that is xσ = x + 1.</details>
#
# 3. "Swish is unbounded above, so gradients do not vanish." What is wrong with it?
# <details><summary>Answer</summary>On the right the slope goes to 1. On the left it goes to 0, as with every curve here.</details>
#
# 4. A ReLU unit is shut on 99 % of the tokens. Is it dead?
# <details><summary>Answer</summary>No. It learns from the other 1 %. Dead means shut on all.</details>
#
# 5. Why does GLU's linear path matter for gradients?
# <details><summary>Answer</summary>The slope by the signal u is the gate itself: near 1 where the gate is open. A sigmoid alone passes at most a quarter.</details>
#
# 6. A paper replaces GELU of width 4D by SwiGLU of width 4D and reports a gain. What do you ask?
# <details><summary>Answer</summary>It has 1.5 times the parameters and FLOPs in these layers. How much would a GELU layer of width 6D gain?</details>
#
# 7. Why 11 008 and not 10 922 or 10 923?
# <details><summary>Answer</summary>8/3 · 4096 is no integer; LLaMA rounds up to a multiple of 256, for the tiles of matrix kernels and for splitting among cards.</details>
#
# 8. Someone compares six layers at one learning rate and one seed, and ranks them. Name two reasons to doubt the ranking.
# <details><summary>Answer</summary>Seeds differ by as much as the layers; and each layer has its own best rate.</details>
#
# ## Sources
#
# - Shazeer 2020, *GLU Variants Improve Transformer*, [arXiv:2002.05202](https://arxiv.org/abs/2002.05202): the family, the two thirds,
#   and the table above.
# - Dauphin et al. 2017, *Language Modeling with Gated Convolutional Networks*, [arXiv:1612.08083](https://arxiv.org/abs/1612.08083): GLU, and
#   the argument about its gradient.
# - Ramachandran et al. 2017, *Searching for Activation Functions*, [arXiv:1710.05941](https://arxiv.org/abs/1710.05941): Swish, found by a search.
# - Hendrycks and Gimpel 2016, *GELUs*, [arXiv:1606.08415](https://arxiv.org/abs/1606.08415): the coin, and both formulas.
# - Geva et al. 2021, *Transformer Feed-Forward Layers Are Key-Value Memories*, [arXiv:2012.14913](https://arxiv.org/abs/2012.14913): section 6 at
#   the scale of a real model.
# - Touvron et al. 2023, [arXiv:2302.13971](https://arxiv.org/abs/2302.13971) and [arXiv:2307.09288](https://arxiv.org/abs/2307.09288): LLaMA's
#   widths; the rounding is in its released code.
# - Du et al. 2022, *GLM*, [arXiv:2103.10360](https://arxiv.org/abs/2103.10360), and Zeng et al. 2022, *GLM-130B*,
#   [arXiv:2210.02414](https://arxiv.org/abs/2210.02414): GeLU, then GEGLU; 32 768 stands in the released configuration.
#
# ## Next
#
# [13 Positions](13_positions.ipynb): attention does not see the order of its tokens. Five ways to tell it, and what
# happens beyond the trained length.

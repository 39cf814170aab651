# %% [markdown]
# # 17 Experts: how can a model have more parameters and compute no more?
#
# 72 min · CPU · 15 s · 0.8 GB · needs [12 Feed-forward](12_feedforward.ipynb) · code: `minillm/model/moe.py`
#
# In a hospital with eight doctors a patient sees one or two of them. The house knows more than any one
# doctor does, and yet the visit takes no longer. A **mixture of experts** (MoE, 混合专家) does this to the
# feed-forward layer: there are many, and each token goes to a few. What decides where a token goes is the
# **router** (路由器), and nearly all trouble with experts is trouble with the router.
#
# After this lesson you can
#
# 1. count what experts cost, and say exactly what stays constant and what does not;
# 2. route tokens by hand: weights, capacity, dropped tokens;
# 3. derive where the router's gradient comes from, and name the setting in which there is none;
# 4. explain what the balancing loss does, and why its value is not what it seems;
# 5. judge experts against a dense model of equal active parameters, with intervals.

# %% tags=["setup"]
import dataclasses
import json
from functools import wraps

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn.functional import one_hot
from torch.utils.flop_counter import FlopCounterMode

from minillm.lesson import check, claim, setup, show
from minillm.model import AttentionConfig, Decoder, DecoderConfig
from minillm.model import FeedForwardConfig, MixtureOfExperts
from minillm.model import count_parameters, flops_per_token
from minillm.model.moe import every_expert, gathered
from minillm.model.presets import mixtral_8x7b
from minillm.model.routing import ExpertsConfig, balance_loss, route, z_loss
from minillm.recipes.records import RESULTS, read_results
from minillm.recipes.studies import experts_vs_dense

setup(seed=17)

# %% [markdown]
# ## 1 Parameters that most tokens never meet (8 min)
#
# Take a feed-forward layer from lesson 12 and make $E$ of them, the **experts** (专家). A small matrix, the
# router, gives each token $x$ one number an expert; a softmax turns these into probabilities
# $p_1,\dots,p_E$. The token goes to the $k$ experts with the largest ones ("top-$k$"), and what they say is
# added up with weights $w_e$:
#
# $$y = \sum_{e\,\in\,\text{chosen}} w_e(x)\; \text{expert}_e(x).$$
#
# Only the chosen ones compute. This is *sparse activation* (稀疏激活): Switch Transformer and GLaM were
# built so in 2021, Mixtral in 2024.
#
# **Predict, then run.** A layer of width $D=64$ with SwiGLU experts of inner width $F=176$; each token goes
# to one of them. From 1 expert to 8: how do the parameters grow, and how do the multiplications and
# additions for one token grow?
#
# <details><summary>Answer</summary>Parameters 8-fold. The work hardly at all: only the router has eight
# columns instead of one.</details>


# %%
def experts(n, k=1, width=176, d=64, **more):
    several = ExpertsConfig(n, k, **more)
    config = FeedForwardConfig("swiglu", width, experts=several)
    return MixtureOfExperts(d, config)


@torch.no_grad()
def work(layer, x):  # torch counts every matrix product that really happens
    with FlopCounterMode(display=False) as counter:
        layer(x)
    return counter.get_total_flops() / x.shape[1]


# %% tags=["label-count"]
x, counts = torch.randn(1, 512, 64), {}
for n in (1, 2, 4, 8):
    layer = experts(n)
    n_parameters = sum(p.numel() for p in layer.parameters())
    counts[n] = n_parameters, work(layer, x)
    assert counts[n] == (n * (3 * 64 * 176 + 64), 6 * 64 * 176 + 2 * 64 * n)
    said = f"E = {n}: {counts[n][0]:7,} parameters"
    print(f"{said}, {counts[n][1]:6,.0f} FLOPs a token")
claim("ARC-008", counts[8][1] / counts[1][1])

# %% [markdown]
# The cell asserts the two formulas against torch's own counter, to the last operation:
#
# $$\text{parameters} = E\,(3DF + D), \qquad \text{FLOPs a token} = k\cdot 6DF + 2DE .$$
#
# $E$ stands in front of everything on the left, and on the right only in the router's small term. (The rule
# in the ledger, written before the run, allows 2 %.) The sentence of the literature, *"experts scale the
# parameters at constant compute"*, is about the experts themselves, and there it is exact. It says nothing of
#
# - **memory**: all experts must lie somewhere, whoever is asked;
# - **traffic**: on many devices tokens must travel to their expert and back (lesson 22);
# - **time**: many small products are slower than one large one (section 9).

# %% tags=["label-growth"]
fig, ax = plt.subplots(figsize=(4.6, 2.6), layout="constrained")
lines = [("parameters", "o-"), ("FLOPs a token", "s--")]
for i, (name, style) in enumerate(lines):
    ratio = [counts[n][i] / counts[1][i] for n in counts]
    ax.plot(list(counts), ratio, style, label=name)
ax.set(xlabel="experts E, one for each token")
ax.set(ylabel="times as much as E = 1")
ax.set(xticks=list(counts))
ax.legend()
alt = "Parameters grow in proportion to the experts; FLOPs stay at 1."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Two lines that part at once: one climbs to 8, the other stays at 1 to within a
# per cent or two.
#
# **Predict.** Mixtral is called "8x7B": eight experts, two for each token. How many parameters does it have
# in all, and how many does one token use?
#
# <details><summary>Answer</summary>Not 56 billion and not 14: 46.7 and 12.9. Only the feed-forward layers come
# eightfold; attention, embeddings and norms are there once.</details>

# %% tags=["label-mixtral"]
mixtral = mixtral_8x7b()
total = count_parameters(mixtral)
active = count_parameters(mixtral, active=True)
print(f"{total / 1e9:.2f} B parameters, {active / 1e9:.2f} B active")
assert (total, active) == (46_702_792_704, 12_879_925_248)

# %% [markdown]
# ## 2 Routing by hand (7 min)
#
# Four tokens, three experts. These are the router's logits:

# %%
logits = torch.tensor([[2.0, 1, 0], [3, 0, 1], [0.5, 1.5, 0], [4, 0, 2]])
p = logits.softmax(dim=-1)  # (M, E): a row for each token
print(p)
print(route(logits, ExpertsConfig(3, top_k=1, renormalise=False)).weights)

# %% [markdown]
# With top-1 each row keeps its largest probability, as the weight of the one expert. Nobody asks expert 2.
#
# With top-2 one usually *renormalises*: the two weights of a token are divided by their sum.
#
# **Predict, then run.** Token 0 has logits 2 and 1 for its two experts. What are the weights? Do you need the
# third logit?
#
# <details><summary>Answer</summary>0.73 and 0.27, the softmax of 2 and 1 alone. The third logit cancels: it
# was only in the denominator.</details>

# %%
top2 = route(logits, ExpertsConfig(3, top_k=2)).weights
print(top2)
assert torch.allclose(top2[0, :2], torch.tensor([2.0, 1.0]).softmax(-1))

# %% [markdown]
# **Two ways to compute it.** The definition lets *every* expert work on *every* token and multiplies most of
# it by zero (`every_expert`). The fast way collects the tokens of an expert, computes them in one product, and
# adds the results back to their places (`gathered`). They must agree, and the second must do $k/E$ of the work.

# %%
layer, x = experts(8, k=2, width=88).double(), torch.randn(512, 64).double()
routing = route(layer.router(x), layer.config)
slow = every_expert(x, routing, layer.experts)
fast = gathered(x, routing, layer.experts)
assert (slow - fast).abs().max() < 1e-12

# %% tags=["label-fast"]
flops = {}
for combine in (every_expert, gathered):
    with FlopCounterMode(display=False) as counter:
        combine(x, routing, layer.experts)
    flops[combine.__name__] = counter.get_total_flops()
assert flops["every_expert"] == 4 * flops["gathered"]
print({name: f"{n:,} FLOPs" for name, n in flops.items()})

# %% [markdown]
# Operations are not seconds. What the clock says is in `benchmarks/LOG.md`, and quoted under *At scale*. (The
# tests also hold a whole Mixtral with random weights equal to that of `transformers`.)
#
# ## 3 Where does the router get its gradient? (9 min)
#
# To *choose* is a step: move a logit a little, and the same experts are chosen. The derivative of the choice is
# zero almost everywhere. How can the router learn?
#
# Through the **weight**. Take top-1 with the plain probability as weight, as Switch does, and write $e$ for
# the chosen expert:
#
# $$y = p_e\,\text{expert}_e(x), \qquad
# \frac{\partial L}{\partial z_j} = \underbrace{\Big\langle \frac{\partial L}{\partial y},\,
# \text{expert}_e(x)\Big\rangle}_{g}\; p_e\,(\delta_{ej}-p_j).$$
#
# The last factor is the derivative of a softmax ($\delta_{ej}$ is 1 if $j=e$, else 0). Read it: $g$ is negative
# if what the expert said lowers the loss. Then $z_e$ rises and all other logits fall. **The router asks only:
# did the one I chose help? It never hears what the others would have said.**

# %%
layer = experts(4, renormalise=False).double()
x, dy = torch.randn(2, 6, 64).double()  # six tokens, and some dL/dy for each
logits = layer.router(x).detach().requires_grad_()
routing = route(logits, layer.config)
(gathered(x, routing, layer.experts) * dy).sum().backward()

p = logits.detach().softmax(-1)  # (M, E)
e = p.argmax(-1)
said = torch.stack([layer.experts[i](t) for i, t in zip(e, x)])  # (M, D)
g = (dy * said).sum(-1)
by_hand = (g * p.amax(-1))[:, None] * (one_hot(e, 4) - p)
assert (by_hand - logits.grad).abs().max() < 1e-12
print("by hand and by autograd: the same to 1e-12")

# %% [markdown]
# **Predict, then run.** Now renormalise, with $k=1$. What is the weight, and what is the gradient?
#
# <details><summary>Answer</summary>The weight is p/p = 1, whatever the logits are. A constant has no
# gradient: the router never learns from the text.</details>

# %% tags=["label-gradient"]
for k, renormalise in [(1, False), (1, True), (2, False), (2, True)]:
    config = ExpertsConfig(4, k, renormalise=renormalise)
    z = logits.detach().clone().requires_grad_()
    (gathered(x, route(z, config), layer.experts) * dy).sum().backward()
    moved = (z.grad.abs() > 1e-12).sum(-1).tolist()
    text = f"top-{k}, renormalise={renormalise!s:5}"
    print(f"{text}: logits with a gradient, by token: {moved}")

# %% [markdown]
# Four cases, three answers. With the plain probabilities every logit of a token moves, since all are in the
# denominator. With renormalised top-2 only the two chosen ones do: the weights are a softmax of these two
# alone. With renormalised top-1 none does. It is a real bug, and a quiet one, since the experts go on learning
# behind a router that stands still: mixture-of-experts issue 27 ("Zero Grad of w_gate") found it.
#
# ## 4 When an expert is full (7 min)
#
# On many devices each expert has a buffer of fixed size, the **capacity** (容量):
#
# $$C = \Big\lceil \text{capacity factor}\cdot \frac{M\,k}{E} \Big\rceil \quad\text{for } M \text{ tokens.}$$
#
# $Mk/E$ is what each would get if the load were even. Who comes when the expert is full is **dropped**
# (丢弃): the expert says nothing about this token, which goes on by the residual connection alone. First choices
# are served before second ones, and earlier tokens before later ones.

# %%
logits = torch.tensor([[2.0, 1, 0], [3, 0, 1], [0.5, 1.5, 0], [4, 0, 2]])
tight = route(logits, ExpertsConfig(3, top_k=2, capacity_factor=0.75))
print("asked\n", tight.chosen.int())
print("kept, 2 places each\n", tight.kept.int())
print(f"dropped: {tight.dropped_share:.0%} of the choices")

# %% [markdown]
# Expert 0 was asked by all four and kept the first two of those whose *first* choice it was. Nobody else's weight
# is raised for it.
#
# **Predict, then run.** 1 024 tokens, 8 experts, top-1, capacity factor 1. The router is random and fair. What
# share of the tokens is dropped? And if it is not fair?
#
# <details><summary>Answer</summary>A few per cent even if it is fair, because chance does not deal out evenly. With a
# favourite a quarter or more, up to 7 of 8.</details>

# %% tags=["label-dropped"]
noise = torch.randn(1024, 8)
lean = torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 0])
factors = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
fig, ax = plt.subplots(figsize=(4.4, 2.4), layout="constrained")
for push, style in [(0, "o-"), (1, "s--"), (3, "^:")]:
    shares = []
    for factor in factors:
        config = ExpertsConfig(8, 1, capacity_factor=factor)
        shares.append(route(noise + push * lean, config).dropped_share)
    ax.plot(factors, shares, style, label=f"expert 0 leads by {push}")
    said = f"lead {push}: {shares[2]:.0%} dropped at factor 1"
    print(f"{said}, {shares[4]:.0%} at factor 1.5")
ax.set(xlabel="capacity factor", ylabel="share of tokens dropped")
ax.legend()
alt = "Dropped share against capacity: the more one expert leads, the "
alt += "slower it falls."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** With a fair router a factor of 1.25 or 1.5 loses almost nothing. With a favourite no
# affordable factor helps: most tokens stand at one door while seven experts are nearly idle. Balance is not a
# matter of taste; it decides whether the layer works.
#
# ## 5 The rich get richer (6 min)
#
# So will the router keep the balance by itself? Put section 3 together. An expert that is chosen gets better,
# because it alone is trained. When it helps, its logit rises and the others fall. Then it is chosen
# more often. What is not chosen does not improve, and its logit rises only when the chosen one fails. This feedback is
# called **routing collapse** (路由坍塌).
#
# We let it happen: a small decoder (two layers, tokens are bytes) reads prose, code, English and Chinese stories;
# 8 experts, top-1, five seeds, recorded by `python -m minillm.recipes records experts_vs_dense`.

# %% tags=["label-collapse"]
study = read_results("experts_vs_dense")
print(study.provenance)


def draw_load(ax, arm, seed=3, layer=0):  # the seed in the middle
    loads = study.measured[arm][seed]["shares"]
    loads = np.array(loads)  # (steps, layers, E)
    extent = (0, experts_vs_dense.NOTE_EVERY * len(loads), 7.5, -0.5)
    load = loads[:, layer].T
    image = ax.imshow(load, vmin=0, vmax=0.5, aspect="auto", extent=extent)
    ax.set(title=arm, xlabel="step")
    return image


fig, axes = plt.subplots(1, 2, figsize=(6.8, 2.6), layout="constrained")
for ax, arm in zip(axes, ("e8_top1_unbalanced", "e8_top1")):
    image = draw_load(ax, arm)
axes[0].set_ylabel("expert")
fig.colorbar(image, label="share of the tokens", extend="max")
alt = "Share of the tokens of 8 experts (rows) over training. Early on most "
alt += "rows are dark. Without the balancing loss (left) some stay dark."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Each row is an expert, and dark means idle. Within fifty steps most rows are dark: three or so
# experts read everything. On the left some stay dark to the end. On the right, with the loss of the next section,
# the first hundred steps are hardly better, but then row after row lights up.
#
# **Predict, then run.** Sixty steps here and now, without the balancing loss, with a seed of its own. How many of the 8
# experts of a layer get under 1 % of the tokens at the end?
#
# <details><summary>Answer</summary>About half of them, or more.</details>

# %% tags=["nbval-ignore-output", "label-live"]
settings = experts_vs_dense.arm(8, 1, balance=0.0)
_, notes = experts_vs_dense.train_arm(settings, seed=17, steps=60)
idle = (np.array(notes["shares"]) < 0.01).sum(-1)  # (notes, layers)
print("idle experts in each of the two layers, every 10 steps:")
print(idle.tolist())
assert 1 <= np.mean(idle[-1]) <= 7

# %% [markdown]
# ## 6 The balancing loss, and what its value does not say (13 min)
#
# For one layer and one batch let
#
# - $f_e$ be the share of all choices that expert $e$ got: *counted*, so it has no gradient;
# - $P_e$ be the mean probability that the tokens give it: smooth, so it has one.
#
# The **balancing loss** (负载均衡损失) of Switch is
#
# $$L_\text{bal} = E \sum_e f_e\,P_e .$$
#
# **Its gradient.** $f$ is a constant here. With the derivative of the softmax, for token $m$ and logit $j$,
#
# $$\frac{\partial L_\text{bal}}{\partial z_{mj}} = \frac{E}{M}\; p_{mj}\,\Big(f_j - \sum_e p_{me} f_e\Big).$$
#
# The bracket compares how full expert $j$ is with how full the experts are that this token asks on average.
# Fuller than that: the logit is pushed down. Emptier: up. That is all it does.

# %%
z = torch.randn(200, 4) + torch.tensor([1.0, 0, 0, -1])
z = z.double().requires_grad_()
chosen = route(z, ExpertsConfig(4, 1)).chosen
(push,) = torch.autograd.grad(balance_loss(z, chosen), z)

p = z.detach().softmax(-1)  # (M, E)
f = chosen.double().mean(0)  # (E,)
by_hand = 4 / 200 * p * (f - (p * f).sum(-1, keepdim=True))
assert (by_hand - push).abs().max() < 1e-15
print("load of the four experts    ", [round(s, 2) for s in f.tolist()])
push = push.sum(0).tolist()
print("gradient, summed over tokens", [round(s, 3) for s in push])

# %% [markdown]
# The fullest expert has the only positive gradient, so a step *against* it takes probability away there, and the
# others gain.
#
# **Does it balance?** Now a router with nothing but four biases $b$, added to the logits of 2 000 tokens. We
# follow the loss downhill; then the same with a wrong sign, and with $P$ detached from the graph.


# %%
def descend(loss, steps=40, lr=1.0):
    tokens = torch.randn(2000, 4, generator=torch.Generator().manual_seed(17))
    b, fullest = torch.tensor([1.0, 0, 0, -1], requires_grad=True), []
    for _ in range(steps):
        chosen = route(tokens + b, ExpertsConfig(4, 1)).chosen
        fullest.append(chosen.float().mean(0).max().item())
        value = loss(tokens + b, chosen)
        if value.requires_grad:
            (push,) = torch.autograd.grad(value, b)
            b = (b - lr * push).detach().requires_grad_()
    return fullest


# %% tags=["label-descent"]
curves = {
    "as it should be": descend(balance_loss),
    "wrong sign": descend(lambda z, c: -balance_loss(z, c)),
    "P detached": descend(lambda z, c: balance_loss(z.detach(), c)),
}
assert curves["as it should be"][-1] < 0.27
assert curves["wrong sign"][-1] > 0.99
assert curves["P detached"][-1] == curves["P detached"][0]

# %% tags=["label-fates"]
fig, ax = plt.subplots(figsize=(5, 2.5), layout="constrained")
for (name, fullest), style in zip(curves.items(), ("-", "--", ":")):
    ax.plot(fullest, style, label=name)
ax.axhline(0.25, color="0.6", lw=1)
ax.set(xlabel="step", ylabel="share of the fullest expert", ylim=(0.2, 1.05))
ax.legend(loc="center right", bbox_to_anchor=(1, 0.68))
alt = "Share of the fullest of four experts: falls from 0.6 to 0.25 with the "
alt += "right loss, rises to 1 with the wrong sign, stays if P is detached."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Three fates from one starting point. The two wrong ones are *silent*: nothing crashes,
# and with $P$ detached even the printed value is right. Courses and libraries have had this: the loss was
# computed and never added (minimind issue 140), added but cut off from the graph (Automodel issue 1408), or
# averaged over the wrong axis, so that it was constant (transformers issue 28093). Exercise 4 is a detective for them.
#
# **What is its minimum?** One reads: *"the loss is at least 1, and 1 means balanced"* (OLMoE issue 40 asks just
# that). If $f=P$ it is true. The numbers $f_e$ sum to 1, so the mean of their squares is at least the square
# of their mean (Cauchy-Schwarz):
#
# $$E\sum_e f_e^2 = E^2\cdot\operatorname{mean}(f_e^2) \;\ge\; E^2\cdot\tfrac1{E^2} = 1 .$$
#
# But $f$ counts *winners* and $P$ averages *probabilities*. Two experts: 60 % of the tokens are nearly undecided,
# (0.51, 0.49), and 40 % are sure of the second, (0.01, 0.99).
#
# **Predict, then run.** Who is fuller, and who has the larger mean probability? Is the loss above 1 or below?
#
# <details><summary>Answer</summary>f = (0.60, 0.40), but P = (0.31, 0.69). The full expert is the one of low
# probability, so the products are small: 2 (0.6 · 0.31 + 0.4 · 0.69) = 0.924, below 1 and not balanced.</details>

# %% tags=["label-below"]
p = [[0.51, 0.49]] * 60 + [[0.01, 0.99]] * 40
p = torch.tensor(p, dtype=torch.double)
chosen = route(p.log(), ExpertsConfig(2, 1)).chosen
below = balance_loss(p.log(), chosen).item()
f, P = chosen.double().mean(0), p.mean(0)
print("f =", f.tolist(), " P =", [round(x, 3) for x in P.tolist()])
print(f"balancing loss {below:.3f}")
assert abs(below - 0.924) < 1e-9

# %% [markdown]
# How far down does it go? Let a share $a$ of the tokens be exactly on the fence (just won by the first expert), and
# the rest quite sure of the second. Then $f=(a,1-a)$, $P=(\tfrac a2, 1-\tfrac a2)$, and
#
# $$L_\text{bal}(a) = 2\left(a\cdot\tfrac a2 + (1-a)(1-\tfrac a2)\right) = 2a^2-3a+2 .$$
#
# Its derivative $4a-3$ is zero at $a=\tfrac34$, where the loss is $\tfrac78$. And look at $a=1$.

# %% tags=["label-minimum"]
a = np.linspace(0, 1, 101)
fig, ax = plt.subplots(figsize=(4.6, 2.5), layout="constrained")
ax.plot(a, 2 * (a**2 + (1 - a) ** 2), "--", label="if f = P")
ax.plot(a, 2 * a**2 - 3 * a + 2, label="undecided and sure tokens")
ax.plot(0.6, below, "o", color="k", label="the example above")
ax.axhline(1, color="0.6", lw=1)
ax.set(xlabel="share a of tokens that the first expert gets")
ax.set(ylabel="balancing loss")
ax.legend()
alt = "Balancing loss against the load of the first of two experts: a "
alt += "parabola with minimum 1 at 1/2 if f = P, one with 7/8 at 3/4 if not."
show(fig, alt=alt)

# %%
fence = (
    torch.tensor([[0.1, 0.0]] * 100).double() * 1e-6
)  # all just prefer the first
chosen = route(fence, ExpertsConfig(2, 1)).chosen
print(
    "load",
    chosen.sum(0).tolist(),
    " loss",
    round(balance_loss(fence, chosen).item(), 6),
)

# %% [markdown]
# **What you should see.** The dashed parabola is what one remembers. The other dips below 1, and at $a=1$, where
# *every* token goes to the first expert, its value is again 1: a total collapse that reports the value of
# perfect balance. So:
#
# - the **value** is no certificate, neither above nor below 1. Watch the load $f$ itself;
# - the **gradient** is right in all these cases: at $a=1$ it still pushes the first expert down, as $f_1 - \sum_e
#   p_e f_e = 1-\tfrac12 > 0$.
#
# **One loss a layer.** Two layers may collapse in opposite directions. Pool their tokens before counting, as
# `transformers` does for Mixtral (its issues 28255 and 31464 debate it), and the two errors cancel:

# %%
collapsed = torch.tensor([[9.0, -9.0]] * 50).double()
layers = [collapsed, -collapsed]
single = ExpertsConfig(2, 1)
each = [balance_loss(z, route(z, single).chosen).item() for z in layers]
both = torch.cat(layers)
pooled = balance_loss(both, route(both, single).chosen).item()
print(f"layer by layer {each[0]:.3f} and {each[1]:.3f}, pooled {pooled:.3f}")
assert min(each) > 1.99 and abs(pooled - 1) < 1e-9

# %% [markdown]
# **No toy.** The study of section 5 noted loss and load every ten steps. The lowest value among them:

# %%
lowest = min(
    (loss, seed, load)
    for seed, run in study.measured["e4_top1"].items()
    for layers, loads in zip(run["balance"], run["shares"])
    for loss, load in zip(layers, loads)
)
loss, seed, load = lowest
print(f"loss {loss:.3f} (seed {seed}), load of the four {load}")

# %% [markdown]
# An expert that reads next to nothing, and a loss "better than perfect".
#
# ## 7 Does it cure the collapse? (6 min)
#
# In training the loss is added with a small coefficient, 0.01 here, one term for each layer:
# `train(..., objective=routed_loss)`. The rule for the claim *"training experts may become unstable because
# of routing"* was set before the runs: the share of unseen text that the fullest of 8 experts gets, without the
# loss minus with it, must be above zero over five seeds. (An even share is 1/8.)

# %% tags=["label-cure"]
free, kept = "e8_top1_unbalanced", "e8_top1"
for name in ("fullest", "idle", "bits"):
    one, two = (study.mean(arm, name).value for arm in (free, kept))
    d = study.difference(free, kept, name)
    difference = f"{d.value:+.2f} [{d.low:+.2f}, {d.high:+.2f}]"
    print(f"{name:8} {one:.2f} without, {two:.2f} with: {difference}")
gap = study.difference(free, kept, "fullest")
claim("ARC-009", gap.value, gap)

# %% [markdown]
# The load is cured: neither interval of the first two rows comes near zero. But read the third row. On the *text* no
# difference is seen: the interval holds zero, and it is wide. In so small a model, with so little text, fewer experts may be
# enough. Balance is a condition for using the parameters, no merit in itself.

# %% tags=["label-idle"]
fig, ax = plt.subplots(figsize=(4.6, 2.4), layout="constrained")
steps = experts_vs_dense.NOTE_EVERY * np.arange(39)
for arm, style in [(free, "--"), (kept, "-")]:
    runs = study.measured[arm].values()
    loads = np.array([run["shares"] for run in runs])  # (S, steps, layers, E)
    idle = (loads < 0.01).sum(-1).mean((0, 2))  # (steps,)
    ax.plot(steps, idle, style, label=arm)
ax.set(xlabel="step", ylabel="idle experts of 8", ylim=(0, 8))
ax.legend()
alt = "Experts with under 1 per cent of the tokens, mean of five seeds: both "
alt += "arms rise above 5 in 40 steps; with the loss they fall to 0, else 2."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Both curves jump at once: the learning rate is high, and the router is the first to run. The
# solid one returns to zero, the dashed one gets stuck at about two. So a small coefficient does not *prevent* the
# collapse; it makes it pass.
#
# ## 8 Three more tools, and what a token may depend on (9 min)
#
# **Router z-loss.** A softmax does not feel a constant added to all logits, but arithmetic does: in bfloat16 numbers
# near 100 lie half a unit apart. The *z-loss* (ST-MoE) is the mean of $(\log\sum_e e^{z_e})^2$. It pulls the
# logits to where the sum of exponentials is 1.

# %%
z = torch.tensor([0.3, 0.0])
for shift in (0, 10, 100):
    short = (z + shift).bfloat16()
    said = f"z-loss {z_loss(z[None] + shift).item():8.1f}"
    print(f"shift {shift:3}: p = {short.float().softmax(-1)[0]:.3f}, {said}")

# %% [markdown]
# The true value is 0.574, whatever the shift.
#
# **Shared experts.** What every token needs (grammar, say) would have to be learned by every expert. DeepSeekMoE
# gives a few experts to all tokens, besides the chosen ones. They count as active:

# %%
shared = experts(8, k=2, width=44, n_shared=2)
print("active experts:", shared.config.n_active)
print(f"{work(shared, torch.randn(1, 64, 64)):,.0f} FLOPs a token")
assert work(shared, torch.randn(1, 64, 64)) == 4 * 6 * 64 * 44 + 2 * 64 * 8

# %% [markdown]
# **Expert choice.** Turn the table: each *expert* picks its $C$ best tokens of the batch. All are equally full, by
# construction; no balancing loss is needed, and nothing overflows. Some tokens get three experts, some none.

# %% tags=["label-choice"]
logits = torch.randn(40, 4) + torch.tensor([1.0, 0, 0, -1])
choice = route(logits, ExpertsConfig(4, 1, router="expert_choice"))
print("tokens of each expert:", choice.load.tolist())
asked = choice.kept.sum(1).bincount()
print("tokens with 0, 1, 2 ... experts:", asked.tolist())

# %% [markdown]
# It sounds perfect. But *who my competitors are* now decides whether I am read. We ask a random decoder with
# experts two questions for every way of routing. Change the last token of a text: do the logits at *earlier*
# positions move? And those of *another* text in the same batch?
#
# **Predict, then run.** Which of the five settings are safe for a model that predicts the next token?
#
# <details><summary>Answer</summary>Top-k without a limit is safe. With a limit top-1 sees no future, but other
# texts; top-2 sees the future, too: a late first choice takes the place of an early second one. Expert choice
# sees both.</details>


# %%
@torch.no_grad()
def reach(**settings):
    several = ExpertsConfig(4, **settings)
    routed = FeedForwardConfig("swiglu", 32, experts=several)
    heads = AttentionConfig(4)
    shape = DecoderConfig(50, 24, 2, 16, heads, routed, init_std=0.2)
    far = torch.zeros(2, 12)
    for seed in range(4):  # a place is contested in some models only
        torch.manual_seed(seed)
        model, ids = Decoder(shape).double(), torch.randint(0, 50, (2, 12))
        for token in range(25):
            changed = ids.clone()
            changed[0, -1] = token  # the last token of the first text
            moved = (model(changed) - model(ids)).abs().amax(-1)  # (2, 12)
            far = torch.maximum(far, moved)
    past, other = far[0, :-1].max(), far[1].max()
    return [("yes" if x > 1e-9 else "no") for x in (past, other)]


# %% tags=["label-leak"]
print(f"{'':27}{'the past':>10}{'other texts':>13}")
for name, settings in {
    "top-1": {"top_k": 1},
    "top-2": {"top_k": 2},
    "top-1, capacity factor 1": {"top_k": 1, "capacity_factor": 1.0},
    "top-2, capacity factor 1": {"top_k": 2, "capacity_factor": 1.0},
    "expert choice": {"top_k": 2, "router": "expert_choice"},
}.items():
    past, other = reach(**settings)
    print(f"{name:27}{past:>10}{other:>13}")
    assert (past == "yes") == ("2, c" in name or "choice" in name)
    assert (other == "yes") == ("capacity" in name or "choice" in name)

# %% [markdown]
# A "yes" in the first column means: the training loss is measured with a peep at the future, and at generation time,
# when there is no future yet, the model behaves differently. Expert choice suits encoders. A "yes" in the second
# column means that an answer may depend on who else is being served; limits are often lifted after training.
#
# ## 9 Does it pay? (7 min)
#
# The fair question is asked at equal *active* parameters: one layer of width 176; or experts of 176 with top-1; or
# experts of half that width with top-2. Same text, same steps, five seeds. First what is equal:

# %% tags=["label-equal"]
for arm, settings in experts_vs_dense.JOB.arms.items():
    if "unbalanced" not in arm:
        shape = experts_vs_dense.model_config(settings)
        whole = count_parameters(shape)
        used = count_parameters(shape, active=True)
        flops = f"{flops_per_token(shape):,} FLOPs a token"
        print(f"{arm:8} {whole:8,} parameters, {used:8,} active, {flops}")

# %% [markdown]
# The router is what is not equal: under 1 % in the last two columns, in favour of the experts. Nor is the time: the
# many small products of experts take longer than the one large product of the dense layer. The records know:


# %% tags=["nbval-ignore-output", "label-time"]
def cpu_seconds(arm):
    files = (RESULTS / "experts_vs_dense").glob(f"{arm}-*.json")
    return np.mean([json.loads(f.read_text())["cpu_seconds"] for f in files])


for arm in ("dense", "e4_top1", "e8_top2"):
    print(f"{arm:8}{cpu_seconds(arm):5.1f} CPU seconds a run")

# %% [markdown]
# **Predict.** The experts have up to five times the parameters. But each expert reads only its share of the text,
# and the text is short. Who wins?

# %% tags=["label-pays"]
gains = {}
for arm in ("dense", "e4_top1", "e4_top2", "e8_top1", "e8_top2"):
    line = f"{arm:9}{study.mean(arm, 'bits').value:.3f} bits per byte"
    if arm != "dense":
        gains[arm] = study.difference(arm, "dense", "bits")
        line += f", minus dense {gains[arm]}"
    print(line)
for a, b in [("e8_top1", "e4_top1"), ("e8_top2", "e8_top1")]:
    print(f"{a} minus {b}: {study.difference(a, b, 'bits')}")

# %% tags=["label-forest"]
fig, ax = plt.subplots(figsize=(5.6, 2.3), layout="constrained")
for y, (arm, d) in enumerate(gains.items()):
    error = [[d.value - d.low], [d.high - d.value]]
    ax.errorbar(d.value, y, xerr=error, fmt="o", color="C0", capsize=3)
ax.axvline(0, color="k", lw=1, ls="--")
ax.set(yticks=range(len(gains)), yticklabels=list(gains))
ax.set(xlabel="bits per byte minus those of the dense model")
ax.set(ylim=(-0.5, 3.5))
ax.invert_yaxis()
alt = "Bits per byte of four arms with experts minus the dense model: all "
alt += "four intervals hold zero."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Four intervals, and every one of them crosses the dashed line. At this size, with this much text,
# no gain from experts is seen, and no loss either; nor is a difference seen between eight and four, or two choices and one.
# The honest sentence is: *a difference of more than about 0.16 bits is unlikely, and smaller ones we could not see*. That the
# published gains are real is not refuted by this: they are measured on hundreds of thousands of times more text,
# where an eighth of it is still enough to teach an expert.
#
# **Who reads what?** Do experts divide the work by subject? One seed, second layer, unseen text:

# %% tags=["label-who"]
who = study.measured["e8_top1"][1]["shares by domain"]
table = np.array([layers[1] for layers in who.values()])  # (domains, E)
fig, ax = plt.subplots(figsize=(4.8, 2), layout="constrained")
ax.imshow(table, vmin=0, aspect="auto")
for (row, column), share in np.ndenumerate(table):
    colour = "k" if share > 0.5 * table.max() else "w"
    style = {"ha": "center", "va": "center", "color": colour}
    ax.text(column, row, f"{share:.2f}", **style)
ax.set(yticks=range(len(who)), yticklabels=list(who), xlabel="expert")
show(fig, alt="Share of each expert in four kinds of text; the rows differ.")

# %% [markdown]
# **What you should see.** The rows differ: Chinese goes to experts that English hardly asks, and never to the one
# that code likes best. Prose and English stories, on the other hand, share theirs. Nobody told the router about languages; but
# it sees *bytes*, so we cannot say that experts know subjects. Mixtral's authors found hardly any division by subject.

# %% [markdown]
# ## Homework (36 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The rest of the notebook
# does not depend on your answers.
#
# ### Exercise 1 · Weights (5 min, ★☆☆)
#
# From logits (M, E) to weights (M, E): zero where an expert is not chosen, else its probability, divided by the sum over
# the chosen ones if `renormalise`. Do not call `route`.
#
# <details><summary>Hint 1</summary><code>topk</code> returns values and their places.</details>
# <details><summary>Hint 2</summary><code>torch.zeros_like(p).scatter(1, places, values)</code> puts them back.</details>


# %% tags=["exercise"]
def my_weights(logits, k: int, renormalise: bool):
    # BEGIN SOLUTION
    p = logits.softmax(dim=-1)
    top, best = p.topk(k, dim=-1)
    if renormalise:
        top = top / top.sum(dim=-1, keepdim=True)
    return torch.zeros_like(p).scatter(1, best, top)
    # END SOLUTION


# %% tags=["check"]
def weights_of_package(logits, k, renormalise):
    config = ExpertsConfig(logits.shape[1], k, renormalise=renormalise)
    return route(logits, config).weights


draw = torch.Generator().manual_seed(1)
some = torch.randn(6, 4, generator=draw).double()
cases = [(some, k, r) for k in (1, 2, 4) for r in (True, False)]
cases += [(30 * some, 2, True), (some[:1, :2], 1, False)]
check(my_weights, weights_of_package, cases)

# %% [markdown]
# ### Exercise 2 · Who gets in? (8 min, ★★★)
#
# Return a boolean tensor (M, E): which choices are kept when each expert has room for `capacity` tokens. All first
# choices are served before any second one, each in the order of the tokens. No second chance for those who are turned away.
#
# <details><summary>Hint 1</summary>Two loops: over the rank of the choice, then over the tokens.</details>
# <details><summary>Hint 2</summary>Keep a list of the places left at each expert. <code>logits.topk(k, -1).indices</code> are the
# choices in order.</details>


# %% tags=["exercise"]
def my_kept(logits, k: int, capacity: int):
    # BEGIN SOLUTION
    best = logits.topk(k, dim=-1).indices
    room = [capacity] * logits.shape[1]
    kept = torch.zeros(logits.shape, dtype=torch.bool)
    for rank in range(k):
        for m in range(len(logits)):
            e = int(best[m, rank])
            if room[e] > 0:
                room[e] -= 1
                kept[m, e] = True
    return kept
    # END SOLUTION


# %% tags=["check"]
def kept_of_package(logits, k, capacity):
    M, E = logits.shape
    config = ExpertsConfig(E, k, capacity_factor=capacity * E / (M * k))
    return route(logits, config).kept


leaning = torch.randn(12, 4, generator=draw) + torch.tensor([1.0, 0.5, 0, -1])
cases = [(leaning, k, c) for k in (1, 2, 3) for c in (1, 3, 5)]
cases += [(leaning.flip(0), 2, 4), (leaning, 2, 12)]
check(my_kept, kept_of_package, cases)

# %% [markdown]
# ### Exercise 3 · The balancing loss (7 min, ★★☆)
#
# Write it for any $k$, so that even routing gives 1 for every $k$. The decorator hands the check two things: the value,
# and the gradient with respect to the logits.
#
# <details><summary>Hint 1</summary>f: count the choices of each expert, divide by all choices.</details>
# <details><summary>Hint 2</summary>P is a mean over tokens, not over experts. Keep it in the graph.</details>


# %% tags=["setup"]
def with_gradient(loss):
    @wraps(loss)
    def both(logits, chosen):
        logits = logits.detach().requires_grad_()
        value = loss(logits, chosen)
        (gradient,) = torch.autograd.grad(value, logits)
        return value.detach(), gradient

    return both


# %% tags=["exercise"]
@with_gradient
def my_balance_loss(logits, chosen):
    # BEGIN SOLUTION
    f = chosen.sum(dim=0) / chosen.sum()
    P = logits.softmax(dim=-1).mean(dim=0)
    return logits.shape[1] * (f * P).sum()
    # END SOLUTION


# %% tags=["check"]
cases = []
for E, k in [(4, 1), (4, 2), (2, 1), (6, 3)]:
    z = torch.randn(30, E, generator=draw).double() + torch.arange(E)
    cases.append((z, route(z, ExpertsConfig(E, k)).chosen))
check(my_balance_loss, with_gradient(balance_loss), cases)

# %% [markdown]
# ### Exercise 4 · The detective (8 min, ★★☆)
#
# Eight losses, some after real bug reports. Each is called as `loss(logits, chosen)`. Write a function that says whether
# a loss takes load off the fullest expert: does its gradient, summed over the tokens, point *up* at the fullest
# expert (so that a step downhill lowers it)? A loss without a gradient does not.
#
# <details><summary>Hint 1</summary>Make logits that lean to one expert, route them, and use <code>torch.autograd.grad</code>. First ask
# <code>value.requires_grad</code>.</details>
# <details><summary>Hint 2</summary>A sum that is constant on paper has a gradient of 1e-19 in floating point. And let the
# favourite be another expert now and then.</details>


# %% tags=["setup"]
def counted(chosen):
    return chosen.double().sum(0) / chosen.sum()


def wrong_sign(z, chosen):
    return -balance_loss(z, chosen)


def detached(z, chosen):  # printed, and cut off: Automodel issue 1408
    return balance_loss(z.detach(), chosen)


def over_experts(z, chosen):  # the other axis: transformers issue 28093
    P = z.softmax(-1).mean(1, keepdim=True)
    return (counted(chosen) * P).sum(1).mean()


def k_times(z, chosen):  # the axis of k is summed: minimind issue 797
    return 2 * balance_loss(z, chosen)


# %% tags=["setup"]
def importance(z, chosen):  # squares of the mean probabilities
    return z.shape[1] * z.softmax(-1).mean(0).square().sum()


def decided(z, chosen):  # each token shall be sure
    p = z.softmax(-1)
    return -(p * p.log()).sum(-1).mean()


def first_is_full(z, chosen):  # only expert 0 is looked at
    return z.softmax(-1)[:, 0].mean()


# %% tags=["exercise"]
def takes_load_off(loss) -> bool:
    # BEGIN SOLUTION
    for favourite in range(4):
        z = torch.randn(200, 4).double()
        z[:, favourite] += 1
        z.requires_grad_()
        chosen = route(z, ExpertsConfig(4, 2)).chosen
        value = loss(z, chosen)
        if not value.requires_grad:
            return False
        (gradient,) = torch.autograd.grad(value, z)
        if gradient[:, favourite].sum() < 1e-6:
            return False
    return True
    # END SOLUTION


# %% tags=["check"]
sound = [balance_loss, k_times, importance]
broken = [wrong_sign, detached, over_experts, decided, first_is_full]
cases = [(loss,) for loss in sound + broken]
check(takes_load_off, lambda loss: loss in sound, cases)

# %% [markdown]
# <details><summary>What the answer teaches (open after solving)</summary>
#
# <em>k_times</em> passes, and rightly: it points the right way and is only k times as strong, so that a coefficient from a paper
# means something else. <em>importance</em> is the older loss of Shazeer et al. (up to a constant): smooth throughout, but it evens
# out probabilities, not load. <em>first_is_full</em> passes a test with one favourite only, if that is expert 0.
# </details>
#
# ### Exercise 5 · The router's gradient (8 min, ★★★)
#
# Section 3 for a whole batch, without autograd. Given `logits` (M, E), what *all* experts would say, `said` (M, E, D), and
# `dy` = ∂L/∂y (M, D), return ∂L/∂logits for top-1 with plain probabilities as weights.
#
# <details><summary>Hint 1</summary>Of <code>said</code> you need one row a token: that of the chosen expert.</details>
# <details><summary>Hint 2</summary>g · p_e · (one-hot of e − p).</details>


# %% tags=["exercise"]
def my_router_gradient(logits, said, dy):
    # BEGIN SOLUTION
    p = logits.softmax(dim=-1)
    e = p.argmax(dim=-1)
    at = torch.arange(len(p))
    g = (dy * said[at, e]).sum(dim=-1)
    return (g * p[at, e])[:, None] * (one_hot(e, p.shape[1]) - p)
    # END SOLUTION


# %% tags=["check"]
def by_autograd(logits, said, dy):
    logits = logits.detach().requires_grad_()
    config = ExpertsConfig(logits.shape[1], 1, renormalise=False)
    y = (route(logits, config).weights[..., None] * said).sum(1)
    return torch.autograd.grad((y * dy).sum(), logits)[0]


cases = []
for M, E, D in [(5, 3, 4), (1, 2, 1), (7, 6, 2)]:
    sizes = [(M, E), (M, E, D), (M, D)]
    drawn = (torch.randn(size, generator=draw) for size in sizes)
    cases.append(tuple(x.double() for x in drawn))
check(my_router_gradient, by_autograd, cases)

# %% [markdown]
# ## At scale
#
# - **Switch** (2021) reports pre-training up to 7 times as fast as that of its dense twin, at equal FLOPs a token, and models
#   of up to 1.6 T parameters. **Mixtral 8x7B** (2024) was said to reach LLaMA-2-70B with 12.9 B active parameters. We cannot test
#   either here.
# - **Time.** On this course's machine the gathered layer against the definition, and against the block of
#   `transformers`: see `benchmarks/LOG.md`, heading *experts*. The gathered layer is 3.7 times as fast as the definition
#   (the operations say 4) and 1.16 times as fast as that block. On a GPU: not measured yet.
# - **Instability.** ST-MoE saw runs of large sparse models diverge, and cured them with the z-loss. What we
#   measured is collapse, not divergence: none of our runs diverged.
# - **Rumour.** The article that this course follows says, under the heading *Emergent architectures*, that "GPT-4 is
#   rumoured to be an MoE". It is a rumour: nobody who knows has confirmed it, nothing in it can be measured here, and it
#   is not taught as a fact. In the survey that the article retells, that heading is about something else: models whose
#   cost grows linearly with the length of the text, such as state-space models (S4, H3), RWKV, RetNet and Hyena.

# %% tags=["label-scale"]
one = dataclasses.replace(mixtral.feedforward.experts, n_experts=1, top_k=1)
routed = dataclasses.replace(mixtral.feedforward, experts=one)
dense = dataclasses.replace(mixtral, feedforward=routed)
for name, shape in {"1 expert": dense, "Mixtral": mixtral}.items():
    memory = 2 * count_parameters(shape) / 1e9
    flops = flops_per_token(shape, context=4096) / 3e9
    said = f"{name:9} {memory:5.1f} GB in 16 bits"
    print(f"{said}, {flops:5.1f} GFLOPs a token forward")

# %% [markdown]
# Six and a half times the memory, and under twice the work, since Mixtral asks two experts.
#
# ## Recap
#
# - Experts multiply parameters; FLOPs a token stay those of the $k$ chosen ones, plus $2DE$ for the router.
# - The choice has no gradient; the weight has. Renormalised top-1 has none.
# - Chosen means trained, trained means chosen: without a counterforce routing collapses.
# - $E\sum f P$ pushes fuller experts down. Its value is no certificate: 7/8 is possible, and 1 at total collapse.
# - Limits and expert choice make a token depend on others, even on the future.
#
# ## Questions
#
# 1. A layer has 64 experts and top-2. What share of its expert parameters does a token use?
# <details><summary>Answer</summary>2/64, about 3 %.</details>
#
# 2. Why does "8x7B" not have 56 billion parameters?
# <details><summary>Answer</summary>Only the feed-forward layers are there eight times; the rest is shared.</details>
#
# 3. Why has a hard choice any gradient at all?
# <details><summary>Answer</summary>The output is multiplied by the probability of the chosen expert, and that is smooth.</details>
#
# 4. A colleague's top-1 router never changes, though the experts learn. What do you look at first?
# <details><summary>Answer</summary>Whether the weight is renormalised: p/p = 1 has no gradient.</details>
#
# 5. In the balancing loss, which factor carries the gradient, and what is the other one for?
# <details><summary>Answer</summary>P carries it; f says how strongly each expert is pushed.</details>
#
# 6. The log shows a balancing loss of 0.97. Is the load balanced?
# <details><summary>Answer</summary>Unknown. The value can lie below 1 when f and P disagree. Print the load.</details>
#
# 7. Why may the training loss of a causal model with expert choice be too good to be true?
# <details><summary>Answer</summary>Whether a token is picked depends on later tokens: the future leaks.</details>
#
# 8. A dense model and a mixture have equal active parameters. Name three things that are still unequal.
# <details><summary>Answer</summary>Total parameters (memory), the router's FLOPs, and the time: smaller products, and traffic
# between devices.</details>
#
# ## Sources
#
# - Shazeer et al. 2017, *Outrageously Large Neural Networks*, [arXiv:1701.06538](https://arxiv.org/abs/1701.06538): experts in
#   a language model, and the first balancing losses.
# - Lepikhin et al. 2020, *GShard*, [arXiv:2006.16668](https://arxiv.org/abs/2006.16668): capacity, and experts on many devices.
# - Fedus et al. 2021, *Switch Transformers*, [arXiv:2101.03961](https://arxiv.org/abs/2101.03961): top-1, and the loss of section 6.
# - Du et al. 2021, *GLaM*, [arXiv:2112.06905](https://arxiv.org/abs/2112.06905): 1.2 T parameters, 8 % of them active.
# - Zoph et al. 2022, *ST-MoE*, [arXiv:2202.08906](https://arxiv.org/abs/2202.08906): instability and the z-loss.
# - Zhou et al. 2022, *Expert Choice Routing*, [arXiv:2202.09368](https://arxiv.org/abs/2202.09368): section 8, and its own warning
#   about autoregressive models.
# - Jiang et al. 2024, *Mixtral of Experts*, [arXiv:2401.04088](https://arxiv.org/abs/2401.04088); Dai et al. 2024, *DeepSeekMoE*,
#   [arXiv:2401.06066](https://arxiv.org/abs/2401.06066): shared experts.
# - Zhao et al. 2023, *A Survey of Large Language Models*, [arXiv:2303.18223](https://arxiv.org/abs/2303.18223): the claims.
# - Bugs: mixture-of-experts (davidmrau) issue 27, minimind issues 140 and 797, Automodel issue 1408, transformers issues
#   28093, 28255 and 31464; OLMoE issue 40 asks for the minimum.
#
# ## Next
#
# [18 Objectives](18_objectives.ipynb): what a model is asked to predict.

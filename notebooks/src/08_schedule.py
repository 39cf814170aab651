# %% [markdown]
# # 08 Schedule: how much of each text, in which order, and in which rows?
#
# 75 min · CPU · 40 s · 1 GB · needs [06 BPE](06_bpe.ipynb) · code: `minillm/data/mixture.py`
#
# After this lesson you can
#
# 1. turn the table of a published mixture into a sampler, and recompute how often each text is read;
# 2. set shares by size, by temperature or by learning them, and test whether it helped;
# 3. order a corpus from easy to hard, and report a null result as one;
# 4. pack documents into rows, count what each method wastes, and prove that nothing leaks;
# 5. build a loader that a kill does not disturb and that does not know how many processes there are.
#
# You need tokens (lesson 06) and the loss in bits per byte (lesson 00, section 3).
#
# ## Setup

# %% tags=["setup"]
import json
import math
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import islice
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from minillm.data import TokenShard, load_corpus
from minillm.data.curriculum import OrderedSampler, best_last, easy_first
from minillm.data.curriculum import paced_order, pacing
from minillm.data.mixture import MixtureSampler, Stage
from minillm.data.packing import METHODS, count_waste, pack, plan_rows
from minillm.data.proportions import LLAMA_MIXTURE, LLAMA_TOKENS
from minillm.data.proportions import plan_mixture, temperature_shares
from minillm.data.storyworld import make_corpus
from minillm.evaluate import paired_difference
from minillm.lesson import check, claim, setup, show
from minillm.recipes.group_dro import update_weights
from minillm.recipes.records import read_results
from minillm.recipes.studies import mixtures
from minillm.tokenizer import course_tokenizer

setup(seed=8)

# %% [markdown]
# ## 1 A table that fills 1.4 trillion tokens (9 min)
#
# The texts are collected and cleaned (lessons 02 to 05) and have become tokens (06 and 07). A model will
# be trained on a fixed number of them, the **budget**. Three decisions remain. Together they are called
# *data scheduling* (数据调度):
#
# - how much of each source: the **data mixture** (数据混合);
# - in which order: the **data curriculum** (数据课程);
# - in which rows: **packing** (打包).
#
# Here is a real mixture. LLaMA's largest models read 1.4 trillion tokens (T for $10^{12}$, B for $10^9$)
# from seven sources. Its paper gives three columns: the share of each source in the budget, how often
# the source was read (an **epoch**, 轮次, is once), and its size on disk.

# %%
for name, row in LLAMA_MIXTURE.items():
    size = f"{row.disk_gb:6,} GB"
    print(f"{name:14}{row.percent:5}% {row.epochs:5} epochs {size}")
total = sum(row.percent for row in LLAMA_MIXTURE.values())
claim("DAT-008", total)

# %% [markdown]
# The shares sum to 100, so they are a distribution. (`claim` hands a number to the course's ledger of
# claims, where the rule was written before the run, and prints the verdict only.)
#
# **Predict, then run.** The paper says that the corpus has "roughly 1.4T tokens". How many *different*
# tokens has it: 1.4T, more, or less?
#
# <details><summary>Answer</summary>Less: 1.26T. Tokens seen = share × budget; different tokens = tokens
# seen / epochs. Several sources are read more than once.</details>

# %% tags=["label-llama"]
percent = {name: row.percent for name, row in LLAMA_MIXTURE.items()}
unique = {}
for name, row in LLAMA_MIXTURE.items():
    unique[name] = LLAMA_TOKENS * row.percent / 100 / row.epochs
plan = plan_mixture(unique, LLAMA_TOKENS, percent)
print(f"{'':14}{'seen':>8}{'different':>11}{'epochs':>8}{'factor':>8}")
for name, p in plan.items():
    there = f"{p.seen / 1e9:7.0f}B{unique[name] / 1e9:10.1f}B"
    print(f"{name:14}{there}{p.epochs:8.2f}{p.factor:8.2f}")
print(f"{sum(unique.values()) / 1e12:.2f}T different tokens")

# %% [markdown]
# The last column is the share in the mixture divided by the share of all different tokens. Above 1, a
# source is **up-sampled** (上采样): read more often than the average. Below 1 it is **down-sampled**
# (下采样). Books and Wikipedia are read more than twice, code two thirds of once.

# %% tags=["label-factors"]
fig, ax = plt.subplots(figsize=(6.4, 2.6), layout="constrained")
names = list(plan)
factors = [plan[name].factor for name in names]
ax.barh(names, factors, color=["C0" if f > 1 else "C1" for f in factors])
for y, f in enumerate(factors):
    ax.text(f + 0.03, y, f"{f:.2f}", va="center", size=9)
ax.axvline(1, color="k", lw=1, ls="--")
ax.set(xlabel="share in the mixture / share of the corpus", xlim=(0, 2.6))
ax.invert_yaxis()
show(
    fig,
    alt="Bars of the sampling factor of LLaMA's seven sources: Wikipedia and "
    "books about 2, code below 1, the others close to 1.",
)

# %% [markdown]
# **What you should see.** Two bars reach about 2: the sources that are thought to be good, and are small.
# Code falls below the dashed line. The web is read about once, because there is enough of it.
#
# **Do the columns agree?** Shares, epochs and disk sizes were printed together, so one can be tested by
# the others: epochs × disk size is the text that was read. If every source had the same number of bytes
# a token, its share of this would *be* its share of the tokens. They do not have the same number, but how
# different can they be? We ask the course's own tokenizer.

# %% tags=["nbval-ignore-output"]
tokenizer = course_tokenizer()
rates = []
for name in ("prose", "code", "stories-en", "readmes"):
    texts = load_corpus(name, max_bytes=200_000, progress=False).texts
    n_bytes = sum(len(text.encode()) for text in texts)
    rates.append(n_bytes / sum(len(tokenizer.encode(t)) for t in texts))
    print(f"{name:12}{rates[-1]:.2f} bytes a token")
assert 0.1 < max(rates) / np.mean(rates) - 1 < 0.3

# %% [markdown]
# Kinds of English text and code lie within about 30 % of their mean. So the rule of the ledger: each share
# recomputed from the other two columns must come within 30 % of the printed one.

# %% tags=["label-recomputed"]
read = {n: row.epochs * row.disk_gb for n, row in LLAMA_MIXTURE.items()}
again = {name: 100 * n / sum(read.values()) for name, n in read.items()}
for name, share in again.items():
    print(f"{name:14}{share:5.1f}%, printed {percent[name]:4}%")

# %%
web, c4, code, wiki, books, papers, forum = again.values()
claim("DAT-001", web)
claim("DAT-002", c4)
claim("DAT-003", code)
claim("DAT-004", wiki)
claim("DAT-005", books)
claim("DAT-006", papers)
claim("DAT-007", forum)

# %% [markdown]
# All agree, the small ones with the largest errors: a byte of LaTeX or of a forum makes more tokens than a
# byte of the web. That is a test of consistency, no more. An independent copy of the corpus, RedPajama,
# counted 59B tokens of code where the table implies 98B; for the other sources it comes within 30 %, too.
#
# **From table to sampler.** `MixtureSampler` serves *windows*, stretches of T tokens, and draws the source
# of each window with the probabilities of the table. A hundred thousand draws should show the shares, up
# to chance. How far chance goes is known: $\chi^2=\sum_i (n_i-e_i)^2/e_i$, with $n_i$ draws where
# $e_i$ are expected, stays below 22.5 in 999 of 1000 cases if there are seven sources.

# %%
from minillm.evaluate.quantiles import chi2_quantile

pretend = dict.fromkeys(percent, np.arange(99))  # no text is needed to draw
llama = MixtureSampler(pretend, 1, 4, proportions=percent, seed=8)
counts = np.bincount(llama.drawn(0, 100_000))
expected = 1000 * np.array(list(percent.values()))
chi_square = ((counts - expected) ** 2 / expected).sum()
print(dict(zip(percent, counts.tolist())))
print(f"chi-square {chi_square:.1f}, bound {chi2_quantile(0.999, 6):.1f}")
assert chi_square < chi2_quantile(0.999, 6)

# %% [markdown]
# ## 2 Temperature: one number for many shares (7 min)
#
# Seven shares can be set by hand. For a hundred languages one wants a rule. Natural shares
# $n_i/\sum_j n_j$ starve the small ones; equal shares read them over and over. A **temperature** (温度) $T$
# goes from one to the other:
#
# $$p_i = \frac{n_i^{1/T}}{\sum_j n_j^{1/T}}$$
#
# (In this formula only, $T$ is the temperature and $n_i$ the tokens of source $i$.)
#
# **Predict, then run.** Four sources of 8, 4, 2 and 1 million tokens. At $T=1$ the largest gets eight
# times the share of the smallest. How many times at $T=3$? At $T=\infty$?
#
# <details><summary>Answer</summary>Twice, the third root of 8; and as much.</details>

# %%
sizes = {"a": 8, "b": 4, "c": 2, "d": 1}
for T in (1, 3, math.inf):
    p = temperature_shares(sizes, T)
    shares = ", ".join(f"{share:.3f}" for share in p.values())
    print(f"T = {T:3}: {shares}   a : d = {p['a'] / p['d']:.2f}")
    if T == 3:
        assert math.isclose(p["a"], 2 * p["d"])

# %% tags=["label-temperature"]
temperatures = np.geomspace(1, 30, 60)
fig, (left, right) = plt.subplots(1, 2, figsize=(6.2, 2.3), layout="tight")
for name, style in zip(sizes, ("-", "--", "-.", ":")):
    p = np.array([temperature_shares(sizes, T)[name] for T in temperatures])
    left.semilogx(temperatures, p, style, label=f"{name}, {sizes[name]}M")
    right.semilogx(temperatures, 15 * p / sizes[name], style, label=name)
left.set(xlabel="temperature", ylabel="share")
right.set(xlabel="temperature", ylabel="epochs when 15M are read")
left.legend()
show(
    fig,
    alt="Shares of four sources against temperature: from 8:4:2:1 at T = 1 "
    "they come together. Epochs: all 1 at T = 1, nearly 4 for the smallest.",
)

# %% [markdown]
# **What you should see.** Left: the shares come together. Right: the price. At $T=1$ every source is read
# once; near the right edge the smallest is read almost four times. (How often is too often? Lesson 26.)
#
# **A trap.** Shares are shares of *tokens*. Draw *documents* with equal chance from two sources, and count:

# %% tags=["nbval-ignore-output", "label-trap"]
rng = np.random.default_rng(8)
lengths = {}
for name in ("prose", "code"):
    texts = load_corpus(name, max_bytes=200_000, progress=False).texts
    lengths[name] = np.array([len(tokenizer.encode(text)) for text in texts])
drawn = {name: rng.choice(n, 500).sum() for name, n in lengths.items()}
share = drawn["code"] / sum(drawn.values())
print(f"500 documents of each: code is {share:.0%} of the tokens")
assert share > 0.9

# %% [markdown]
# A docstring is short and a source file long. A mixture "half and half" by documents is nearly all code.
#
# ## 3 Does a mixture help? (10 min)
#
# The survey that we follow says: *more diverse sources improve performance*. We test it on four domains
# of 320, 160, 80 and 40 kB: prose (docstrings), Python code, English stories, Chinese stories. A small
# model (0.1 M parameters, tokens are bytes) reads the same 197 kB in every arm: from one domain only, in
# natural shares (`by_size`), at $T=2$, or `uniform`. It is tested on unseen text of each domain, and on
# *readmes*, a domain that no arm has seen. Five seeds each, recorded by
# `python -m minillm.recipes records mixtures`.
#
# > **Taken on trust until lessons 09 and 20:** the model and its training. Everything but the data is
# > the same in all arms.
#
# **Predict.** Which arm is best on code: the one that read only code, or a mixture? Which is best on the
# average of the four?

# %% tags=["label-mixtures"]
study = read_results("mixtures")
four = list(mixtures.TRAIN_BYTES)
print(study.provenance)
print("bits per byte   " + "".join(f"{name:>12}" for name in four))
for arm in study.measured:
    row = [study.mean(arm, f"bits {name}").value for name in four]
    print(f"{arm:16}" + "".join(f"{bits:12.2f}" for bits in row))

# %% [markdown]
# Read down a column: the smallest number stands where the model read that domain alone. Read along a
# row: a specialist is lost outside its domain. More than 8 bits per byte means worse than knowing nothing:
# the models without Chinese have learned that such bytes do *not* occur. To judge, pair the runs that
# share a seed.


# %% tags=["label-diversity"]
def average(arm):
    per_domain = [study.values(arm, f"bits {name}") for name in four]
    return np.mean(per_domain, axis=0)  # (seeds,)


singles = [arm for arm in study.measured if arm.startswith("only")]
best = min(singles, key=lambda arm: average(arm).mean())
gain = paired_difference(average("uniform"), average(best))
print(f"uniform minus {best}, mean of four: {gain}")
claim("DAT-017", gain.value, gain)
best = min(singles, key=lambda arm: study.mean(arm, "bits readmes").value)
gain = study.difference("uniform", best, "bits readmes")
print(f"uniform minus {best}, unseen readmes: {gain}")

# %% [markdown]
# The first comparison is nearly won by construction: we test where we trained, and the Chinese column
# alone makes most of the difference. The second is the fairer question: is a *new* domain better served by
# four kinds of text than by the best single one? Its interval holds zero: at this size no gain is seen. (And
# the best single source is known only after the test.)

# %% tags=["label-specialists"]
fig, ax = plt.subplots(figsize=(6.6, 2.8), layout="constrained")
for shift, (arm, mark) in enumerate(
    [("by_size", "o"), ("temperature_2", "s"), ("uniform", "^")]
):
    for y, name in enumerate(four):
        only = f"only_{name.replace('-', '_')}"
        d = study.difference(arm, only, f"bits {name}")
        label = arm if y == 0 else None
        error = [[d.value - d.low], [d.high - d.value]]
        place = y + 0.22 * (shift - 1)
        style = {"fmt": mark, "color": f"C{shift}", "label": label}
        ax.errorbar(d.value, place, xerr=error, **style)
ax.axvline(0, color="k", lw=1, ls="--")
ax.set(yticks=range(4), yticklabels=four)
ax.set_xlabel("bits per byte above the specialist")
ax.invert_yaxis()
ax.legend()
show(
    fig,
    alt="Bits per byte above the specialist of each domain, for three "
    "mixtures, with intervals: near zero on prose, about 0.4 on code and "
    "English stories; on Chinese stories over 2 for natural shares, 1.2 for "
    "uniform ones.",
)

# %% [markdown]
# **What you should see.** On code and on both kinds of stories every mixture lies above the specialist (the
# dashed line); on prose the intervals hold zero. The smaller a domain is, the more it pays under natural
# shares: Chinese stories, with a fifteenth of the text, over two bits. Uniform shares take a good part of that
# away. What the large domains pay for it is too little to be seen with five seeds: compare the marks of prose
# and code. To choose shares is to choose who pays.
#
# To place a run of your own among the recorded ones (half a minute, more on a slow machine), open a new cell with
# `model, epochs = mixtures.train_mixture(dict.fromkeys(four, 0.25), seed=1)` and `mixtures.bits_on_all(model)`, and look up
# `study.values("uniform", "bits code")` beside it. Is your run among the five?

# %% [markdown]
# ## 4 Weights that learn (9 min)
#
# Baichuan reports "a data-weighting strategy based on automatic learning" and gives no details. The best
# known method is **DoReMi** (Xie et al. 2023). Its idea: choose weights $w$ for the *worst* domain,
#
# $$\min_\theta\,\max_{w}\;\sum_i w_i\,\bigl(\ell_i(\theta)-\ell_i^{\text{ref}}\bigr),
# \qquad w_i\ge 0,\;\sum_i w_i=1 .$$
#
# $\ell_i$ is the loss of a small *proxy* model on domain $i$, $\ell_i^{\text{ref}}$ that of a *reference*
# model trained beforehand. Their difference is the **excess loss** (超额损失): what could still be learned. It is a
# game: the model lowers the sum, an opponent moves weight to where the excess is large. The opponent's move is
#
# $$w_i \leftarrow \frac{w_i\,e^{\eta e_i}}{\sum_j w_j\,e^{\eta e_j}},\qquad
# w \leftarrow (1-c)\,w + c/K,$$
#
# with the excess $e_i$, a step size $\eta$, and a little smoothing $c$ over the $K$ domains, so that no
# weight dies. The weights averaged over the proxy's run are the proportions for the real model. The method is called
# **group DRO** (distributionally robust optimisation, 分布鲁棒优化).
#
# **Why subtract a reference?** Play the game with three made-up domains that learn in proportion to their
# weight: an easy one, a slow one, and *noise*, which cannot get better than 3.0. A reference that has learned
# everything knows that.


# %%
floor = np.array([1.0, 1.0, 3.0])  # easy, slow, noise: the best possible loss
pace = np.array([0.3, 0.06, 0.3])


def play(reference, n_steps=60):
    weights, loss, history = np.full(3, 1 / 3), np.full(3, 4.0), []
    for _ in range(n_steps):
        excess = np.maximum(loss - reference, 0)
        weights = update_weights(weights, excess, step_size=0.2)
        loss = loss - pace * weights * (loss - floor)
        history.append(weights)
    return np.array(history), loss


with_reference, loss = play(floor)
without, loss_without = play(np.zeros(3))
print("loss over the floor, with   ", (loss - floor).round(2))
print("loss over the floor, without", (loss_without - floor).round(2))
assert (loss - floor).max() < (loss_without - floor).max()

# %% tags=["label-dro"]
fig, axes = plt.subplots(1, 2, figsize=(6.2, 2.2), layout="tight", sharey=True)
runs = {"with a reference": with_reference, "without": without}
for ax, (title, history) in zip(axes, runs.items()):
    styles = {"easy": "-", "slow": "--", "noise": ":"}
    for column, (name, style) in zip(history.T, styles.items()):
        ax.plot(column, style, lw=2, label=name)
    ax.set(title=title, xlabel="step", ylim=(0, 1))
axes[0].set(ylabel="weight")
axes[0].legend()
show(
    fig,
    alt="Weights of three domains over 60 steps. With a reference the slow "
    "one takes most of the weight, without one the noise does.",
)

# %% [markdown]
# **What you should see.** With a reference the weight goes to the domain that can still learn. Without one it
# goes to the noise, which has the largest loss and always will.
#
# Now real models: reference and proxy, then a model trained with the learned proportions, against
# uniform ones. The number to watch is the loss of the worst-off domain: its bits per byte above those of
# the model that read this domain alone.

# %% tags=["label-learned"]
learned = read_results("learned_weights")
print(learned.provenance)
for arm in learned.measured:
    row = [learned.mean(arm, f"weight {name}").value for name in four]
    print(f"{arm:18}", dict(zip(four, np.round(row, 3).tolist())))


# %% tags=["label-worst"]
def excess(results, arm):
    rows = []
    for name in four:
        only = study.values(f"only_{name.replace('-', '_')}", f"bits {name}")
        rows.append(np.subtract(results.values(arm, f"bits {name}"), only))
    return np.array(rows)  # (domains, seeds)


base = excess(study, "uniform")
for arm in learned.measured:
    ours = excess(learned, arm)
    worst = paired_difference(ours.max(axis=0), base.max(axis=0))
    mean = paired_difference(ours.mean(axis=0), base.mean(axis=0))
    print(f"{arm}, minus uniform\n  worst domain {worst}\n  mean {mean}")
    if arm == "doremi":
        claim("DAT-022", worst.value, worst)

# %% [markdown]
# Negative would mean that the weights help. Read the interval, not the sign of the middle. DoReMi's gains were
# reported for an 8-billion model whose weights came from a 280-million proxy, on 22 domains; here a proxy
# of the same small size finds weights for four, in a few hundred steps. (Its code advises a reference trained in
# natural shares, or several rounds, when one starts from uniform ones.)
#
# ## 5 In which order? (11 min)
#
# A *curriculum* goes from easy to hard. Bengio et al. (2009) proposed it for neural networks, and the survey says
# that it makes learning more stable. In the package an order is just an array: which window comes $i$-th.

# %%
hard = [7.0, 2.0, 5.0, 2.5]
order = easy_first(hard)
print("easy first ", order)
print("best last  ", best_last(order, [True, False, False, False]))
print("same as before, reversed", easy_first([-score for score in hard]))

# %% [markdown]
# A strict order reads each window once. Gentler is a **pace** (Platanios et al. 2019): draw at random from the
# easiest share $c(t)$ of the windows, and let it grow until all are open:
#
# $$c(t) = \min\Bigl(1, \sqrt{c_0^2 + (1-c_0^2)\,t/t_1}\Bigr)$$
#
# Here $t$ is the share of the run that is over, $c_0$ what is open at the start, $t_1$ when everything is.

# %% tags=["label-pace"]
fig, (left, right) = plt.subplots(1, 2, figsize=(6.2, 2.2), layout="tight")
t = np.linspace(0, 1, 200)
for kind, style in (("root", "-"), ("linear", "--"), ("step", ":")):
    left.plot(t, [pacing(x, kind=kind) for x in t], style, label=kind)
left.set(xlabel="share of the run", ylabel="share open", ylim=(0, 1.05))
left.legend()
right.plot(paced_order(np.arange(500), 2_000, seed=8), ",", color="C0")
right.set(xlabel="window of the run", ylabel="how hard (rank)")
show(
    fig,
    alt="Left: three pacing functions rise from 0.1 to 1 at half of the run. "
    "Right: dots of drawn windows, below a root curve, everywhere after it.",
)

# %% [markdown]
# **What you should see.** Left: three ways to open the corpus. Right: every dot is a window that was drawn; above the
# root curve there is none.
#
# **The test.** The windows of one corpus of prose, 197 kB, each read once, in four orders: shuffled; short texts
# first; *easy first*, by the bits that a trigram model of bytes needs for a window (a perplexity, lesson 03); and hard
# first, as a control. Everything else is the same. Only the order differs, so a difference is an effect of order.
#
# **Predict.** Will easy first end below shuffled, above it, or nowhere to be told from it?

# %% tags=["label-order"]
orders = read_results("curriculum")
print(orders.provenance)
bits = "bits prose"
for arm in ("short_first", "easy_first", "hard_first"):
    early = orders.difference(arm, "shuffled", "bits prose 1/4")
    print(f"{arm:12} at 1/4 {early.value:+.3f}, end", end=" ")
    print(orders.difference(arm, "shuffled", bits))
both = [orders.values(arm, bits) for arm in ("short_first", "easy_first")]
shuffled = orders.values("shuffled", bits)
effect = paired_difference(np.mean(both, axis=0), shuffled)
claim("DAT-018", effect.value, effect)

# %% tags=["label-curriculum"]
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.5), layout="tight")
curricula = {"short_first": "--", "easy_first": "-.", "hard_first": ":"}
for arm, style in {"shuffled": "-", **curricula}.items():
    checks = [orders.mean(arm, f"bits prose {k}/4") for k in (1, 2, 3, 4)]
    curve = [c.value for c in checks]
    left.plot([0.25, 0.5, 0.75, 1], curve, style, marker="o", ms=3, label=arm)
left.set(xlabel="share of the run", ylabel="bits per byte, held out")
left.legend()
rows = [(arm, "shuffled", bits) for arm in curricula]
for name in ("prose", "stories-en"):
    rows.append(("good_last", "good_spread", f"bits {name}"))
for y, (arm, base_arm, what) in enumerate(rows):
    d = orders.difference(arm, base_arm, what)
    right.plot([d.low, d.high], [y, y], "-", color="C0")
    right.plot(d.value, y, "o", color="C0")
right.axvline(0, color="k", lw=1, ls="--")
names = [*curricula, "last: on prose", "last: on stories"]
right.set(yticks=range(5), yticklabels=names, xlabel="difference in bits")
right.invert_yaxis()
show(
    fig,
    alt="Left: held-out bits per byte of four orders at four times. Right: "
    "differences at the end with 95 % intervals, for three curricula against "
    "shuffled and for stories last against stories spread.",
)

# %% [markdown]
# **What you should see.** Left: how the four orders get there. Right: the difference at the end, with its interval; the
# dashed line is "no effect". The last two rows belong to the next paragraph.
#
# **The best text last.** Many recent models end with a stage of text of high quality, while the learning rate falls
# (MiniCPM 2024, Llama 3). Here *stories* play the good text: 15 % of the windows are stories, the rest is prose. Either
# they are spread over the run, or they all come at its end: the very same windows.

# %% tags=["label-last"]
for name in ("stories-en", "prose"):
    d = orders.difference("good_last", "good_spread", f"bits {name}")
    print(f"stories last minus spread, on {name}: {d}")

# %% [markdown]
# On average the stories gain and the prose pays, but both intervals hold zero. Look at the runs one by one
# (`orders.values`): four seeds of five show it clearly, and in the fifth the run with the stories last went badly on *both*. One unlucky run in five
# is enough to hide an effect of this size; that is why a single run proves nothing, in either direction. In a mixture a
# stage is a line; here the final tenth of 10 000 windows:

# %%
stages = [
    Stage(9_000, {"web": 8, "books": 1}),
    Stage(None, {"web": 1, "books": 3}),
]
pretend = {"web": np.arange(9_999), "books": np.arange(999)}
staged = MixtureSampler(pretend, 8, 64, proportions=stages, seed=8)
for first in (0, 9_000):
    books = staged.drawn(first, 1_000).mean()
    print(f"windows {first} to {first + 999}: books {books:.2f}")

# %% [markdown]
# ## 6 Packing: documents into rows (13 min)
#
# A model reads rows of one length; documents have all lengths. Here are 300 stories, in tokens.

# %% tags=["label-lengths"]
stories = make_corpus(seed=8, n_stories=300, language="en")
encoded = [tokenizer.encode(text) for text in stories]
n_tokens = [len(ids) + 1 for ids in encoded]  # and the end mark
print(f"{min(n_tokens)} to {max(n_tokens)} tokens, {sum(n_tokens):,} in all")

# %% [markdown]
# Four methods. **pad**: a document a row, filled up with padding (填充). **cut**: one behind the other, cut wherever a
# row ends (most models are trained so). **first_fit**: each document into the first row with enough room.
# **best_fit**: the longest first, each into the row where least room remains (Ding et al. 2024).

# %%
small = [5, 3, 4, 2]  # lengths; rows of 6
for method in METHODS:
    rows = plan_rows(small, 6, method)
    told = [[(p.document, p.length) for p in row] for row in rows]
    print(f"{method:10}", told)


# %% tags=["label-rows"]
def draw_rows(ax, method, row=512, n_rows=12):
    plan = plan_rows(n_tokens[:40], row, method)
    for y, pieces in enumerate(plan[:n_rows]):
        x = 0
        for piece in pieces:
            whole = piece.length == n_tokens[piece.document]
            colour = "#9ecae1" if whole else "#fdae6b"
            hatch = "" if whole else "///"
            box = {"fc": colour, "ec": "k", "lw": 0.6, "hatch": hatch}
            ax.barh(y, piece.length, left=x, height=0.85, **box)
            x += piece.length
    ax.set(title=method, xlim=(0, row), ylim=(n_rows - 0.4, -0.6), yticks=[])
    ax.set_xticks([0, 256, 512])


fig, axes = plt.subplots(1, 4, figsize=(6.4, 2.3), layout="constrained")
for ax, method in zip(axes, METHODS):
    draw_rows(ax, method)
axes[0].set(ylabel="rows")
show(
    fig,
    alt="Twelve rows of 512 places for each method. pad: one story a row, "
    "most of it empty. cut: full, but a hatched, torn story at nearly every "
    "row end. first_fit and best_fit: whole stories, small gaps at the ends.",
)

# %% [markdown]
# **What you should see.** Solid: whole stories; hatched: pieces of torn ones; white: padding. *pad* is mostly white. *cut* has no white,
# and tears a story at nearly every row end. The two *fits* tear nothing and leave little white.
#
# **Predict.** How much white does best_fit leave: about 20 %, 5 %, or 1 %?

# %% tags=["label-waste"]
print(f"{'rows of 512':12}{'rows':>6}{'padding':>10}{'torn':>8}{'across':>9}")
for method in METHODS:
    w = count_waste(n_tokens, 512, method)
    shares = f"{w.padding:10.1%}{w.n_cut / w.n_documents:8.1%}"
    print(f"{method:12}{w.n_rows:6}{shares}{w.crossing:9.1%}")

# %% [markdown]
# *best_fit* needs hardly more rows than *cut* and tears only what is longer than a row. Nothing else is lost: every token
# is in exactly one row, which the package's tests check on ten thousand random corpora.
#
# The last column is another kind of waste: of all pairs (a token, an earlier token of its row), the share in which the two come from
# *different* documents. Should a story see the end of another? If not, the model must be told where the borders are.
#
# **Black box.** How a model looks at earlier tokens is lesson 09, and the mask that forbids it is drawn in lesson 10. Here we only
# test what comes out. Put documents A and B into one row, edit A, and look at the predictions in B.

# %%
A, B = encoded[0][:60], encoded[1][:60]
edited = [(i + 1) % 1000 for i in A]
end = tokenizer.special_id("<|endoftext|>")
x, _, documents = pack([A, B], 128, "first_fit", end=end).batch()
x2, _, _ = pack([edited, B], 128, "first_fit", end=end).batch()
in_b = documents[0] == 1
changed = x != x2
print(changed.sum().item(), "edited; in B:", changed[0, in_b].sum().item())

# %% tags=["nbval-ignore-output", "label-leak"]
from minillm.recipes import base

tiny, _ = base("tiny")
with torch.no_grad():
    bound = tiny(x, documents=documents) - tiny(x2, documents=documents)
    free = tiny(x) - tiny(x2)
largest = [d[0, in_b].abs().max().item() for d in (bound, free)]
print(f"largest change in B with borders:    {largest[0]}")
print(f"largest change in B without borders: {largest[1]:.2f}")
assert largest[0] == 0 and largest[1] > 0.1

# %% [markdown]
# With borders: zero, to the last bit. Without them the edit of A is seen in B. The argument `documents` numbers the
# document of every token. The model then keeps attention within a document and counts positions anew from each border, so B gets the
# predictions that it has alone in a row:

# %%
with torch.no_grad():
    alone = tiny(torch.tensor([B]))[0]
    packed = tiny(x, documents=documents)[0, in_b][: len(B)]
assert torch.allclose(packed, alone, atol=1e-3)
print("B in a row with A = B alone")

# %% [markdown]
# The *targets* need the border, too: at the last token of a document nothing is asked, because what follows has nothing to do with it.
# `batch()` writes -100 there, which the loss leaves out. Exercise 4 is about this.
#
# ## 7 A loader that nothing disturbs (12 min)
#
# Training takes weeks, and machines fail. Four demands on the thing that hands out batches:
#
# 1. it does not load the corpus into memory;
# 2. after a kill it goes on as if nothing had happened;
# 3. the order does not depend on how many processes read;
# 4. nor on how many train (the **ranks**, lesson 22).
#
# **1.** A **shard** (分片) is a flat file of numbers, two bytes a token below 65 536 entries, four above, and a header beside it. The operating
# system maps the file into memory (内存映射): pages are read when they are touched.

# %%
folder = Path(tempfile.mkdtemp())
flat = np.concatenate([[*ids, end] for ids in encoded])
for name, tokens in (("long", flat), ("short", flat[:9_000])):
    shard = TokenShard.write(
        folder / name,
        tokens,
        vocab_size=tokenizer.n_vocab,
        tokenizer=tokenizer.hash,
        source=name,
    )
    size = (folder / f"{name}.bin").stat().st_size
    print(name, shard.header.dtype, len(shard), "tokens,", size, "bytes")
assert type(shard.tokens) is np.memmap and size == 2 * len(shard)

# %% [markdown]
# A file that was cut short or altered is refused, by name, instead of trained on:

# %%
broken = folder / "broken.bin"
broken.write_bytes((folder / "short.bin").read_bytes()[:-1])
(folder / "broken.json").write_text((folder / "short.json").read_text())
try:
    TokenShard(broken)
except ValueError as error:
    print(str(error).replace(str(folder), "..."))

# %% [markdown]
# **2.** The trick that gives us demands 2 to 4 at once: *window i of the run is a function of the seed and of i*. No state is hidden in a random generator that has been
# used some number of times. Draws are made in blocks, each from a generator seeded by (seed, block number); the order within an epoch is seeded by (seed,
# source, epoch). So a few whole numbers are the whole state:

# %%
shards = {n: TokenShard(folder / f"{n}.bin") for n in ("long", "short")}
make = partial(MixtureSampler, shards, 8, 64, temperature=2.0, seed=8)
sampler = make()
batches = [x for x, _ in islice(sampler, 30)]
state = json.dumps(sampler.state_dict())
print(state)

# %%
resumed = make()
resumed.load_state_dict(json.loads(state))
assert torch.equal(next(resumed)[0], next(sampler)[0])
print("batch 31 is the same; epochs so far:")
print({name: round(n, 2) for name, n in resumed.epochs.items()})

# %% [markdown]
# **The real thing.** A program reads batches, notes each one, and saves its state after every fifth. We kill it with SIGKILL (kill -9), which a
# program cannot catch, at a moment that is not known beforehand.

# %%
program = """
import json, os, sys, time
from pathlib import Path
from minillm.data.mixture import MixtureSampler
from minillm.data.shard import TokenShard

folder, n_batches = Path(sys.argv[1]), int(sys.argv[2])
shards = {n: TokenShard(folder / f"{n}.bin") for n in ("long", "short")}
sampler = MixtureSampler(shards, 8, 64, temperature=2.0, seed=8)
note, saved, done, lines = folder / "note", folder / "saved", 0, []
if saved.exists():
    done, state = json.loads(saved.read_text())
    sampler.load_state_dict(state)
    lines = note.read_text().splitlines()[:done]
with note.open("w") as file:
    print(*lines, sep="\\n", end="\\n" * bool(lines), file=file, flush=True)
    while done < n_batches:
        print(sampler.take().ravel().tolist(), file=file, flush=True)
        done += 1
        time.sleep(0.02)
        if done % 5 == 0:
            part = folder / "part"
            part.write_text(json.dumps([done, sampler.state_dict()]))
            os.replace(part, saved)
"""
command = [sys.executable, "-c", program, str(folder), "40"]


# %% tags=["nbval-ignore-output", "label-kill"]
def n_noted():
    note = folder / "note"
    return note.read_text().count("\n") if note.exists() else 0


killed_at = []
for wait_for in (7, 19):
    process = subprocess.Popen(command)
    while n_noted() < wait_for and process.poll() is None:
        time.sleep(0.1)
    process.kill()
    print("killed: exit status", process.wait(), "after batch", n_noted())
    killed_at.append(json.loads((folder / "saved").read_text())[0])
subprocess.run(command, check=True)
print("resumed from batches", killed_at)

# %%
noted = [json.loads(line) for line in (folder / "note").open()]
undisturbed = make()
wanted = [undisturbed.take().ravel().tolist() for _ in range(40)]
assert noted == wanted
print("killed twice, and all 40 batches are those of the undisturbed run")

# %% [markdown]
# **3 and 4.** Batch $k$ depends on $k$ alone. So worker $w$ of $W$ makes batches $w, w+W, w+2W\dots$, and the training process takes from them in turn. With $R$ ranks, each
# takes its part of every step's windows.

# %% tags=["label-independent"]
from minillm.data.workers import WorkerLoader

first = [x.tolist() for x in batches[:6]]
for n_workers in (0, 2):
    with WorkerLoader(make, n_workers) as loader:
        same = [x.tolist() for x, _ in islice(loader, 6)] == first
    print(n_workers, "workers: the same batches is", same)
    assert same
for R in (2, 4):
    ranks = [
        MixtureSampler(
            shards, 8 // R, 64, temperature=2.0, seed=8, rank=r, world_size=R
        )
        for r in range(R)
    ]
    step = torch.cat([next(rank)[0] for rank in ranks])
    assert torch.equal(step, batches[0])
    print(R, "ranks:  the same windows")

# %% [markdown]
# Would this test notice? Here is the usual mistake: every rank draws from a generator of its own, and the order changes with their number.


# %%
def naive(world_size, n=12):
    rngs = [np.random.default_rng([8, r]) for r in range(world_size)]
    return [int(rngs[i % world_size].integers(0, 100)) for i in range(n)]


print("1 rank ", naive(1))
print("2 ranks", naive(2))
assert naive(1) != naive(2)

# %% [markdown]
# ## Homework (27 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The rest of the
# notebook does not depend on your answers.
#
# ### Exercise 1 · Shares by temperature (4 min, ★☆☆)
#
# Sizes in, shares out: $p_i\propto n_i^{1/T}$. `math.inf` must work. Sizes may be as large as $10^{300}$.
#
# <details><summary>Hint</summary>1 / inf is 0 in Python. Divide by the largest size before you raise to a power.</details>


# %% tags=["exercise"]
def my_shares(sizes: list[float], temperature: float) -> list[float]:
    # BEGIN SOLUTION
    raised = [(n / max(sizes)) ** (1 / temperature) for n in sizes]
    return [r / sum(raised) for r in raised]
    # END SOLUTION


# %% tags=["check"]
def shares_of_package(sizes, temperature):
    named = {str(i): n for i, n in enumerate(sizes)}
    return list(temperature_shares(named, temperature).values())


cases = [([8.0, 4.0, 2.0, 1.0], 3.0), ([8.0, 1.0], 1.0)]
cases += [
    ([5.0, 1.0, 1.0], math.inf),
    ([1e300, 1e299], 0.5),
    ([1e300, 1e300], 1.0),
    ([7.0], 2.0),
]
check(my_shares, shares_of_package, cases)

# %% [markdown]
# ### Exercise 2 · The opponent's move (5 min, ★★☆)
#
# Write the update of section 4 for one step: weights and excess losses are arrays, $\eta$ and $c$ numbers. An excess of 2 000 must not overflow.
#
# <details><summary>Hint</summary>Subtracting the same number from every exponent changes nothing after normalising.</details>


# %% tags=["exercise"]
def my_move(weights, excess, eta: float, c: float):
    # BEGIN SOLUTION
    moved = weights * np.exp(eta * (excess - excess.max()))
    return (1 - c) * moved / moved.sum() + c / len(weights)
    # END SOLUTION


# %% tags=["check"]
def move_of_package(weights, excess, eta, c):
    return update_weights(weights, excess, step_size=eta, smoothing=c)


w = np.array([0.2, 0.3, 0.5])
cases = [(w, np.array([0.0, 1.0, 0.5]), 1.0, 0.1), (w, np.zeros(3), 1.0, 0.3)]
cases += [(w, np.array([2000.0, 0.0, 1.0]), 2.0, 0.01)]
cases += [(np.array([0.9, 0.1]), np.array([-1.0, 1.0]), 0.5, 0.0)]
check(my_move, move_of_package, cases)

# %% [markdown]
# ### Exercise 3 · Best fit (8 min, ★★★)
#
# Lengths and the size of a row in; out come the rows, each a list of the numbers of its documents, in the order in which they were placed. Longest first (equal ones in their order);
# each goes into the open row where the least room would remain (of equal rows the oldest), and into a new row if none has room. No document is longer than a row.
#
# <details><summary>Hint</summary>Keep a list of the room left in each row. <code>sorted</code> with a key keeps equal elements in their order.</details>


# %% tags=["exercise"]
def my_best_fit(lengths: list[int], row: int) -> list[list[int]]:
    # BEGIN SOLUTION
    rows, room = [], []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        fits = [r for r in range(len(rows)) if room[r] >= lengths[i]]
        if not fits:
            rows.append([])
            room.append(row)
            fits = [len(rows) - 1]
        best = min(fits, key=lambda r: room[r])
        rows[best].append(i)
        room[best] -= lengths[i]
    return rows
    # END SOLUTION


# %% tags=["check"]
def rows_of_package(lengths, row):
    plan = plan_rows(lengths, row, "best_fit")
    return [[piece.document for piece in pieces] for pieces in plan]


cases = [([5, 3, 4, 2], 6), ([2, 2, 2, 3, 3], 6), ([6, 6], 6)]
cases += [
    ([4, 5, 1, 2, 1], 7),
    ([3, 3, 2, 2, 1, 1], 5),
    ([7, 6, 3, 1], 10),
    ([15, 9, 8, 3], 20),
    ([], 4),
]
cases += [(np.random.default_rng(1).integers(1, 20, 40).tolist(), 20)]
check(my_best_fit, rows_of_package, cases)

# %% [markdown]
# ### Exercise 4 · What is asked at a border? (5 min, ★★☆)
#
# A packed row: its tokens, and beside each the number of its document, or -1 in padding. Return the targets: for each token but the last the token that follows, and -100 where the
# next token belongs to another document or is padding.
#
# <details><summary>Hint</summary>Compare the documents of two neighbours. Two neighbours of padding have the same number, too.</details>


# %% tags=["exercise"]
def my_targets(tokens: list[int], documents: list[int]) -> list[int]:
    # BEGIN SOLUTION
    out = []
    for t in range(len(tokens) - 1):
        same = documents[t] == documents[t + 1] != -1
        out.append(tokens[t + 1] if same else -100)
    return out
    # END SOLUTION


# %% tags=["check"]
def targets_of_package(tokens, documents):
    from minillm.data.packing import Packed

    arrays = [np.array([part]) for part in (tokens, documents)]
    packed = Packed(*arrays, positions=arrays[1], plan=[])
    return packed.batch()[1][0].tolist()


cases = [([1, 2, 3, 9, 4, 9, 9], [0, 0, 0, 0, 1, 1, -1])]
cases += [([5, 9, 9, 9], [3, 3, -1, -1]), ([1, 2], [4, 5]), ([7], [0])]
cases += [([1, 2, 3, 4, 5], [2, 2, 0, 0, 0]), ([9, 9, 9], [0, 1, 2])]
check(my_targets, targets_of_package, cases)

# %% [markdown]
# ### Exercise 5 · Which windows are mine? (5 min, ★★☆)
#
# A run with `world_size` ranks, `batch` windows on each. In step `step` (from 0), which windows of the corpus does rank `rank` read, if the order is simply 0, 1, 2 … `n_windows` − 1 and then again?
#
# <details><summary>Hint</summary>All ranks together read world_size × batch windows a step. The rank-th part of them is yours. A batch may run over the end.</details>


# %% tags=["exercise"]
def my_windows(step, rank, world_size, batch, n_windows) -> list[int]:
    # BEGIN SOLUTION
    first = (step * world_size + rank) * batch
    return [i % n_windows for i in range(first, first + batch)]
    # END SOLUTION


# %% tags=["check"]
def windows_of_package(step, rank, world_size, batch, n_windows):
    ranked = {"rank": rank, "world_size": world_size}
    sampler = OrderedSampler(np.arange(n_windows * 4 + 1), batch, 4, **ranked)
    sampler.skip(step)
    return (sampler.take()[:, 0] // 4).tolist()


cases = [(0, 0, 1, 3, 10), (2, 0, 1, 3, 10), (0, 1, 2, 3, 10)]
cases += [(3, 2, 3, 2, 7), (1, 1, 2, 5, 8), (100, 3, 4, 2, 13)]
check(my_windows, windows_of_package, cases)

# %% [markdown]
# ## At scale
#
# What changes when 1.4T tokens are read in rows of 2 048? Numbers first:

# %% tags=["label-scale"]
n_rows = LLAMA_TOKENS / 2048
print(f"{n_rows / 1e6:.0f} million rows")
print(f"{2 * LLAMA_TOKENS / 1e12:.1f} TB of shards at two bytes a token")
print(f"{8 * n_rows / 1e9:.1f} GB to hold a shuffled order in memory")
waste = count_waste(n_tokens, 2048, "pad")
print(f"{waste.padding:.0%} padding with a story a row")

# %% [markdown]
# - A shuffled order of the whole corpus is a few gigabytes: still possible, and often replaced by shuffling shards and then rows within
#   a few shards. Ours holds the order of one epoch of one source at a time.
# - The state is a few whole numbers at every size, and a run may go on with more ranks than it began with.
# - `WorkerLoader` reads ahead on one machine; with many machines each rank has its own workers on the shards it needs.
# - Packing needs lengths only, and best fit takes $n\log n$ steps. On a corpus too large for one plan it is done shard by shard.
# - All studies here are of one small size. Whether a learned mixture carries over to a larger model is a question of its own.
#
# ## Recap
#
# - Tokens seen = share × budget; epochs = seen / size. A factor above 1 means up-sampled.
# - Temperature moves shares from natural ($T=1$) to equal ($T=\infty$). Shares count tokens, not documents.
# - A mixture is a decision who pays; group DRO moves weight to the largest excess over a reference.
# - Order: look at the interval, and at each run. Neither a curriculum nor a last stage was told from chance here.
# - Pack whole documents, tell the model the borders, ask nothing across them.
# - Window $i$ is a function of seed and $i$: then resuming, workers and ranks come for free.
#
# ## Questions
#
# 1. A source of 50B tokens has a share of 10 % in a budget of 1T. How often is it read?
# <details><summary>Answer</summary>100B / 50B: two epochs.</details>
#
# 2. Why does plain group DRO, without a reference, run after noise?
# <details><summary>Answer</summary>Noise has the largest loss and keeps it. The excess over a reference is what can still be learned.</details>
#
# 3. A mixture beats every specialist on the average of the domains it was trained on. Why is that weak evidence for diversity?
# <details><summary>Answer</summary>The specialists are tested on domains they never saw. The harder test is a domain that nobody saw.</details>
#
# 4. Two orders of the same windows end 0.01 bits apart, interval −0.02 to 0.04. What do you report?
# <details><summary>Answer</summary>No effect seen at this scale, with the interval.</details>
#
# 5. What does *cut* waste, though it has no padding?
# <details><summary>Answer</summary>Context: it tears documents, and its rows hold pairs from different documents.</details>
#
# 6. Why must positions start anew at a border?
# <details><summary>Answer</summary>Otherwise a document would be read differently in the middle of a row than alone.</details>
#
# 7. Why is "save the random generator's state" a weaker solution than "window i is a function of i"?
# <details><summary>Answer</summary>It ties the run to one number of workers and ranks, and a batch cannot be made without all those before it.</details>
#
# ## Sources
#
# - Touvron et al. 2023, *LLaMA*, [arXiv:2302.13971](https://arxiv.org/abs/2302.13971): table 1 is our section 1.
# - Together 2023, the dataset card of *RedPajama-Data-1T*: the token counts of an open copy of that corpus.
# - Arivazhagan et al. 2019, *Massively Multilingual Neural Machine Translation in the Wild*,
#   [arXiv:1907.05019](https://arxiv.org/abs/1907.05019): sampling with a temperature over 103 languages.
# - Xie et al. 2023, *DoReMi*, [arXiv:2305.10429](https://arxiv.org/abs/2305.10429): algorithm 1 is our section 4.
# - Bengio et al. 2009, *Curriculum Learning*: easy examples first, for neural networks.
# - Platanios et al. 2019, *Competence-based Curriculum Learning*, [arXiv:1903.09848](https://arxiv.org/abs/1903.09848): the pace.
# - Hu et al. 2024, *MiniCPM*, [arXiv:2404.06395](https://arxiv.org/abs/2404.06395): good text in the last stage, while the learning rate falls.
# - Ding et al. 2024, *Fewer Truncations Improve Language Modeling*, [arXiv:2404.10830](https://arxiv.org/abs/2404.10830): best-fit packing, and what torn documents cost.
# - Krell et al. 2021, *Efficient Sequence Packing without Cross-contamination*, [arXiv:2107.02027](https://arxiv.org/abs/2107.02027): the borders.
# - Zhao et al. 2023, *A Survey of Large Language Models*, [arXiv:2303.18223](https://arxiv.org/abs/2303.18223): the two claims that sections 3 and 5 test.
#
# ## Next
#
# [09 Attention](09_attention.ipynb): what a model does with the rows.

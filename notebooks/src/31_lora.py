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
# # 31 LoRA: how much of a model has to move to teach it something new?
#
# 75 min · CPU · 60 s · 1 GB · needs [20a AdamW](20a_adamw.ipynb), [28 Instructions](28_instructions.ipynb) · code: `minillm/finetune/lora.py`
#
# Fine-tuning (微调) a model of seven billion weights in the ordinary way needs the memory of a whole pre-training step, and
# leaves a second model of the same size for every task. **LoRA** (low-rank adaptation, 低秩适配) leaves the model alone and
# learns two thin matrices beside each of some large ones. This lesson measures first whether that could work at all.
#
# After this lesson you can
#
# 1. read from a spectrum how many directions a fine-tune really used, and cut it to a few of them;
# 2. write LoRA by hand: start, scale, gradients, merging, and the file that others can load;
# 3. say what α/r keeps equal when the rank changes, and what α/√r keeps equal instead;
# 4. predict what LoRA saves in memory, what it does not save, and what it cannot reach;
# 5. compare LoRA with full fine-tuning and frozen layers: what is learned, and what is forgotten.

# %% tags=["setup"]
import copy
import json
import math
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from minillm import finetune as ft
from minillm.data import load_corpus
from minillm.data.storyworld import make_corpus
from minillm.evaluate import mean_interval
from minillm.finetune import LoRALinear, LowRank, apply_lora, lora_layers
from minillm.finetune.extend import extend as extend_model
from minillm.finetune.lora_ledger import lora_ledger
from minillm.finetune.spectrum import spectrum
from minillm.lesson import check, claim, setup, show
from minillm.model import KVCache, count_parameters, presets
from minillm.recipes import base, records, small
from minillm.recipes.studies import lora_ranks
from minillm.tokenizer.extend import extend as extend_tokenizer
from minillm.train.memory import memory_ledger

setup(seed=31)

# %% [markdown]
# ## 1 A model that has never seen a program (4 min)
#
# Our base model, the shipped `tiny` of 1.6 million weights, has read stories, questions and prose. We go on training it on Python code: **continued pre-training** (继续预训练) on
# another kind of text. Two numbers are watched from now on: bits per byte on unseen *code*, which should fall, and on unseen
# *stories*, which should not rise. If they rise, the model forgets; where little is left, one speaks of **catastrophic
# forgetting** (灾难性遗忘).

# %%
model, tokenizer = base("tiny")
END = tokenizer.special_id("<|endoftext|>")
code = load_corpus("code", max_bytes=260_000, progress=False).texts
tests = {
    "code": [text[:6_000] for text in code[:4]],
    "stories": make_corpus(3131, 25, "en"),
}
code = code[4:]
ids = small.stream(code, tokenizer.encode, END)


def bits(model, kind, tokenizer=tokenizer):
    return small.bits_on(model, tests[kind], tokenizer.encode, END)


# %% tags=["nbval-ignore-output", "label-before"]
before = {kind: bits(model, kind) for kind in tests}
print({kind: f"{b:.2f}" for kind, b in before.items()}, "bits per byte")
assert before["code"] > 3 * before["stories"]

# %% [markdown]
# Every run below reads the same windows in the same order, and differs in *which numbers may move*. Full fine-tuning
# (全量微调) moves them all.


# %%
def tune(model, lr, *, ids=ids, steps=40):
    c = model.config
    shape = c.vocab_size, c.d_model, c.n_layers, c.attention.n_heads, 64
    config = small.SmallConfig(*shape, steps=steps, lr=lr, warmup_steps=5)
    return small.train_small(ids, 31, config=config, model=model)


def report(name, model, tokenizer=tokenizer):
    now = {kind: bits(model, kind, tokenizer) for kind in tests}
    said = (f"{kind} {before[kind]:.2f} -> {now[kind]:.2f}" for kind in tests)
    print(f"{name:11}", *said, sep="   ")
    return now


# %% tags=["nbval-ignore-output", "label-full"]
full = tune(copy.deepcopy(model), 2e-3)
after = report("full", full)
assert after["code"] < before["code"] - 0.3
assert after["stories"] > before["stories"]

# %% [markdown]
# The oldest way to move less is to freeze (冻结) the lower layers and to train the last block. For models of images it often
# works well, as an edge is an edge in every photograph. Here the words themselves are new, and they come in at the bottom.

# %%
last = copy.deepcopy(model)
names = ft.train_last_blocks(last, 1)
n, total = ft.count_trainable(last), count_parameters(model.config)
print(f"{n:,} of {total:,} numbers may move, such as {names[0]}")

# %% [markdown]
# How good is it? One run would be an anecdote. The recorded study `lora_ranks` tried it and other ways on five seeds, from the same base, each for 40 steps: a seed draws the order of
# the windows and the start of what is added. The learning rate of each way is the one with the least loss on code on a seed outside the study (one for all ranks of LoRA: section 4 says why).

# %% tags=["label-last-block"]
study = records.read_results("lora_ranks")
print(study.provenance)


def compare(arm, against, name="code_end"):
    d = study.difference(arm, against, name)
    print(f"{arm} minus {against}: {d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]")
    return d


d = compare("last", "full")
same = compare("lora_16", "last")
claim("PEF-016", d.value, d)
assert d.low > 0.1 and -0.2 < same.value < 0.1

# %% [markdown]
# The article is right: the last block alone learns clearly less than the whole model does. Look at the second line, too. `lora_16`, the method of this lesson with
# 5 % more numbers than the last block has, is not far from it. Neither comes near the whole model, and section 2 begins to say why.

# %% [markdown]
# ## 2 How many directions did it really use? (10 min)
#
# Before we restrict a fine-tune, look at a free one. Each matrix $W$ of shape $(O, I)$ has moved by
# $\Delta W = W_{\text{after}} - W_{\text{before}}$. Write it as a sum of pieces with one direction each, the strongest first:
#
# $$\Delta W = \sum_{i} s_i\, \mathbf u_i^\top \mathbf v_i, \qquad s_1 \ge s_2 \ge \dots \ge 0 .$$
#
# Each piece reads one direction $\mathbf v_i$ of the input and writes one direction $\mathbf u_i$ of the output; $s_i$ is its **singular
# value** (奇异值), and the number of pieces is the **rank** (秩) of the matrix. If a few pieces carry nearly all of $\sum_i s_i^2$, a
# matrix of low rank would have done nearly the same.
#
# **Predict, then run.** The query matrix here is 96 x 96, so that its update has up to 96 directions. How many carry 90 % of it?
#
# <details><summary>Answer</summary>More than the ranks 1 to 8 that people use for LoRA, and fewer than a random matrix of this shape
# has. The next cell counts.</details>

# %% tags=["nbval-ignore-output", "label-spectrum"]
moved = ft.updates(model.state_dict(), full.state_dict())
spectra = {
    "query": spectrum(moved["blocks.1.attention.q.weight"]),
    "down": spectrum(moved["blocks.1.feedforward.down.weight"]),
    "random": spectrum(torch.randn(96, 96)),
}
for name, values in spectra.items():
    n, soft = ft.rank_for_share(values), ft.effective_rank(values)
    print(f"{name:7}{n:3} directions carry 90 %; effective rank {soft:4.1f}")
n = [ft.rank_for_share(values) for values in spectra.values()]
assert 8 < n[0] < n[1] < n[2]

# %% tags=["label-spectrum-figure"]
fig, ax = plt.subplots(figsize=(6.4, 3.0), layout="constrained")
for (name, values), style in zip(spectra.items(), "o^s"):
    share = values.square().cumsum(0) / values.square().sum()
    r = range(1, len(share) + 1)
    ax.plot(r, share, marker=style, markevery=8, label=name)
ax.axhline(0.9, color="grey", lw=0.8)
ax.set(xlabel="directions kept, r", ylabel="share of the update")
ax.set(xscale="log", ylim=(0, 1.02), xticks=(1, 2, 4, 8, 16, 32, 64, 96))
ax.set_xticklabels(ax.get_xticks())
ax.minorticks_off()
ax.legend()
alt = (
    "Share of an update carried by its r strongest directions, for a query matrix, "
)
alt += "a down matrix and a random matrix: the updates lie above the random matrix."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Both updates climb before the random matrix does: the first few directions carry a large part. Yet the
# rest is not nothing. And a share of squares is no share of what was *learned*: the tail may be noise, as Adam moves every
# number by about the learning rate, wanted or not. So we cut the update of every matrix to its $r$ strongest directions and ask the model.

# %% tags=["nbval-ignore-output", "label-cut"]
cut, whole = copy.deepcopy(model), (model.state_dict(), full.state_dict())
kept = {}
for rank in (0, 1, 2, 4, 8, 16, 96):
    cut.load_state_dict(ft.truncated(*whole, rank))
    kept[rank] = {kind: bits(cut, kind) for kind in tests}
    print(
        f"rank {rank:2}",
        *(f"{k} {b:.3f}" for k, b in kept[rank].items()),
        sep="   ",
    )
gain = {r: before["code"] - b["code"] for r, b in kept.items()}
loss = {r: b["stories"] - before["stories"] for r, b in kept.items()}
assert gain[1] > 0.6 * gain[96] and gain[8] > 0.85 * gain[96]
assert loss[1] < 0.4 * loss[96]

# %% [markdown]
# (Gains of norms are vectors, and are kept whole at every rank: so rank 0 is not quite the base.) One direction a matrix keeps most of
# what was learned of code, eight keep nearly all; and the cut model has forgotten less than half of what the whole one has. Much of the tail, then, did
# nothing but harm. That is encouraging, and it is not yet LoRA: *which* directions matter was found out by moving
# all of them. LoRA has to find them while it is confined to $r$.
#
# One more question before we build it. LoRA as it is mostly used leaves two matrices alone: the embedding and the output matrix, tables with a row for each token.
# How much was learned there?

# %% tags=["nbval-ignore-output", "label-parts"]
old, new = whole


def only(part):
    cut.load_state_dict({n: (new if n.startswith(part) else old)[n] for n in old})
    return {kind: bits(cut, kind) for kind in tests}


parts = {"tables": ("embedding", "head"), "blocks": ("blocks",)}
parts = {name: only(part) for name, part in parts.items()} | {"both": after}
for name, b in parts.items():
    print(f"update of {name:7} code {b['code']:.2f}   stories {b['stories']:.2f}")
learned = {name: before["code"] - b["code"] for name, b in parts.items()}
assert learned["blocks"] > learned["tables"] > 0.2 * learned["both"]

# %% [markdown]
# The blocks learned more than the tables did, but the two together learned far more than the blocks alone. On a text of new words a part of the fine-tune is
# out of LoRA's reach, whatever its rank. Keep that in mind for section 5.

# %% [markdown]
# ## 3 LoRA by hand (10 min)
#
# Leave $W$ as it is, and add a product of two thin matrices:
#
# $$\mathbf y = \mathbf x W^\top + \frac{\alpha}{r}\,(\mathbf x A^\top)\,B^\top, \qquad A: (r, I),\; B: (O, r).$$
#
# Three decisions are in there. **Start:** $A$ random, $B$ zero, so that the correction is zero and training begins at the base model, exactly.
# **Order:** first down to $r$ numbers, then up again; $BA$, a matrix as large as $W$, is never formed. **Scale** $\alpha/r$: see the next section.

# %%
I, O, r, alpha = 6, 5, 2, 4.0
f64 = torch.float64
W, A = torch.randn(O, I, dtype=f64), torch.randn(r, I, dtype=f64)
B, x = torch.zeros(O, r, dtype=f64), torch.randn(3, I, dtype=f64)
y = x @ W.T + alpha / r * (x @ A.T) @ B.T
assert torch.equal(y, x @ W.T)
print("with B = 0 nothing has changed")

# %% [markdown]
# **Predict, then run.** What are the gradients of $A$ and of $B$ in the very first step?
#
# <details><summary>Answer</summary>The gradient of A has B as a factor, so it is zero: the first step moves B alone. If both began at
# zero, neither would ever move.</details>
#
# With $G$ the gradient that arrives from above, one row a token,
#
# $$\frac{\partial \ell}{\partial B} = \tfrac{\alpha}{r}\, G^\top (\mathbf x A^\top), \qquad
# \frac{\partial \ell}{\partial A} = \tfrac{\alpha}{r}\, B^\top G^\top \mathbf x, \qquad
# \frac{\partial \ell}{\partial \mathbf x} = G\,\bigl(W + \tfrac{\alpha}{r} B A\bigr).$$
#
# The package's layer, `LoRALinear`, holds the frozen matrix as `base` and the pair as an adapter. Are its gradients those?

# %%
layer = LoRALinear(torch.nn.Linear(I, O, bias=False, dtype=f64), r, alpha)
a, b = layer.adapters["default"].a, layer.adapters["default"].b
with torch.no_grad():
    a.copy_(A)
for step in ("first", "later"):
    layer.zero_grad()
    G = torch.randn(3, O, dtype=f64)
    layer(x).backward(G)
    assert torch.allclose(b.grad, alpha / r * G.T @ (x @ a.T))
    assert torch.allclose(a.grad, alpha / r * b.T @ G.T @ x)
    assert layer.base.weight.grad is None  # frozen
    sizes = a.grad.abs().max(), b.grad.abs().max()
    print(f"{step} step: largest gradient of A {sizes[0]:.2f}, of B {sizes[1]:.2f}")
    torch.nn.init.normal_(b)

# %% [markdown]
# No gradient of $W$ is computed: one of the two products of the backward pass, a third of the arithmetic of a step, is saved.
#
# In a model, `apply_lora` puts such a layer in the place of every matrix that we name, and freezes all else. What is trained are
# ordinary parameters: the training loop, checkpoints and FSDP need not know.

# %% tags=["label-count"]
lora = apply_lora(copy.deepcopy(model), "all", rank=8, alpha=16)
n, total = ft.count_trainable(lora), count_parameters(model.config)
print(f"ours, r = 8 on all matrices: {n:,} numbers, {n / total:.1%} of the model")
llama = presets.llama_7b()
every = ("q", "k", "v", "out", "gate", "up", "down")
for rank, where in ((8, ("q", "v")), (16, every)):
    n = ft.count_trained("lora", llama, rank, targets=where)
    said = f"LLaMA-7B, r = {rank} on {', '.join(where)}"
    print(f"{said}: {n / 1e6:.1f} M numbers, {n / count_parameters(llama):.3%}")
assert ft.count_trained("lora", llama, 8) == 32 * 2 * 8 * (4096 + 4096)
n = 96 * 2 * 1 * (12_288 + 12_288)  # 96 layers, two matrices, rank 1
print(f"GPT-3, r = 1 on q, v: {n / 1e6:.1f} M numbers")

# %% tags=["nbval-ignore-output", "label-lora"]
word = torch.tensor([[END, 5, 7]])
assert torch.equal(lora(word), model(word))
lora = tune(lora, 1e-2)
now = report("LoRA, r = 8", lora)
assert now["code"] < before["code"] - 0.2

# %% [markdown]
# The article says that LoRA adds low-rank matrices $A$ and $B$ to weight matrices. That has three consequences, which we check in float64 with
# rank 4: no change at the start, an update of rank 4 after some steps of Adam (so its fifth singular value is zero), and beside $W$ the same as inside of it.

# %%
exact = copy.deepcopy(model).double()
wide = apply_lora(copy.deepcopy(exact), "all", rank=4, alpha=8)
text = torch.from_numpy(ids[:64].reshape(1, -1))
start = (wide(text) - exact(text)).abs().max().item()
adam = torch.optim.Adam(ft.adapter_parameters(wide).values(), lr=1e-2)
for _ in range(5):
    adam.zero_grad()
    torch.nn.functional.cross_entropy(wide(text)[0, :-1], text[0, 1:]).backward()
    adam.step()
layer = lora_layers(wide)["blocks.0.attention.q"]
s = spectrum(layer.adapters["default"].update())
inside = ft.fold_adapters(copy.deepcopy(wide))
apart = (wide(text) - inside(text)).abs().max().item()
fifth = (s[4] / s[0]).item()
print(f"start {start}, fifth over first {fifth:.0e}, beside or inside {apart:.0e}")
claim("PEF-008", max(start, fifth, apart))

# %% [markdown]
# ## 4 What is α/r for? (7 min)
#
# The scale is meant to let you change $r$ and keep the learning rate. Does it? Three things could be kept equal:
#
# 1. *the size of a finished correction* whose $B$ has entries of one size. Each output is a sum of $r$ independent terms: it grows as $\sqrt r$, and
#    times $\alpha/r$ it *falls* as $1/\sqrt r$;
# 2. *the first step of SGD*. With $\mathbf g$ the gradient at the output, $B$ moves by $\tfrac{\alpha}{r}\,\mathbf g^\top(\mathbf x A^\top)$, and the output then by
#    $\bigl(\tfrac{\alpha}{r}\bigr)^2 \lVert \mathbf x A^\top\rVert^2 \,\mathbf g$. As $\lVert \mathbf x A^\top\rVert^2$ grows as $r$, it falls as $1/r$;
# 3. *the first step of Adam*, which moves every entry of $B$ by the learning rate $\eta$: the output changes by
#    $\tfrac{\alpha}{r}\,\lVert \mathbf x A^\top\rVert_1\,\eta$, and the sum of $r$ absolute values cancels the $r$ below. It stays equal.
#
# **rsLoRA** (rank-stabilised LoRA) divides by $\sqrt r$: then 1 and 2 stay equal, which is what its paper asks for, and 3 *grows* as $\sqrt r$.


# %%
def change(rank, how, stable, trials=60):
    sizes = []
    for _ in range(trials):
        adapter = LowRank(64, 16, rank, 8.0, stable=stable)
        x = torch.randn(1, 64)
        adapter(x).sum().backward()
        g = adapter.b.grad
        ways = {"finished": torch.randn_like(g), "SGD": 0.1 * g, "Adam": g.sign()}
        adapter.b.data.copy_(ways[how])
        sizes.append(adapter(x).abs().mean().item())
    return sum(sizes) / trials


# %% tags=["nbval-ignore-output", "label-scale"]
ranks, sizes = (1, 4, 16, 64), {}
for how, wanted in (("finished", -0.5), ("SGD", -1.0), ("Adam", 0.0)):
    for stable in (False, True):
        v = sizes[how, stable] = [change(r, how, stable) for r in ranks]
        slope = math.log(v[-1] / v[1]) / math.log(16)
        scale = "alpha/sqrt(r)" if stable else "alpha/r"
        print(f"{how:9}{scale:14} grows as r^{slope:+.2f}")
        wanted += stable * (1.0 if how == "SGD" else 0.5)  # sqrt(r); in SGD twice
        assert abs(slope - wanted) < 0.12

# %% tags=["label-scale-figure"]
fig, axes = plt.subplots(
    1, 3, figsize=(7.4, 2.7), sharey=True, layout="constrained"
)
titles = "a finished B", "first step, SGD", "first step, Adam"
for ax, title, how in zip(axes, titles, ("finished", "SGD", "Adam")):
    for stable, style in ((False, "o-"), (True, "s--")):
        v = sizes[how, stable]
        label = "α/√r" if stable else "α/r"
        ax.plot(ranks, [each / v[1] for each in v], style, label=label)
    ax.set(xscale="log", yscale="log", xlabel="rank r", title=title, xticks=ranks)
    ax.set_xticklabels(ranks)
    ax.minorticks_off()
axes[0].set_ylabel("size, against r = 4")
axes[0].legend()
alt = "Change of the output against rank. With alpha/r it falls for a finished B "
alt += "and for SGD and is level for Adam; with alpha/sqrt(r) it is level for the "
show(fig, alt=alt + "first two and rises for Adam.")

# %% [markdown]
# **What you should see.** Each scale is level where the other is not. No scale makes all three equal, so that "the right α" is a
# statement about the optimizer: with Adam and short training α/r transfers the learning rate, and for high ranks and long training α/√r keeps
# the correction from fading. The honest way is to choose the learning rate again for every rank.
# Our study saves that: it chose one rate with rank 4 and gave it to all ranks. (On the seed outside, it was the best of four for rank 16 as well; rank 1 wanted
# half of it, by a hair.)

# %% [markdown]
# ## 5 Rank, places, and what is forgotten (12 min)
#
# The recorded study, in full. Each arm reads the same tokens in the same number of steps. `lora_r` adapts all seven matrices of every block,
# `qv` queries and values alone, with as many numbers as `lora_4`; `tables_16` is rank 16 with the embedding and the output matrix learning beside it;
# the *gentle* arms have a fifth of the learning rate.
#
# **Predict, then run.** Which rank comes up to full fine-tuning on code? And which way forgets least?


# %% tags=["label-ranks"]
def mean(arm, name):
    return study.mean(arm, name).value


print("bits per byte      trained  learned  forgot   size   code, minus full")
for arm in lora_ranks.JOB.arms:
    learned = mean(arm, "code_before") - mean(arm, "code_end")
    forgot = mean(arm, "stories_end") - mean(arm, "stories_before")
    d = study.difference(arm, "full", "code_end")
    gap = f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]" if d.value else ""
    n = int(mean(arm, "n_trained"))
    size = mean(arm, "size")
    print(f"{arm:14}{n:12,}{learned:9.3f}{forgot:8.3f}{size:7.1f}   {gap}")
code_end = {arm: mean(arm, "code_end") for arm in lora_ranks.JOB.arms}
assert (
    code_end["lora_1"] > code_end["lora_4"] > code_end["lora_16"] > code_end["full"]
)
gaps = [code_end[arm] - code_end["full"] for arm in ("lora_1", "lora_16")]
assert gaps[1] > 0.1 and 0.6 < gaps[1] / gaps[0] < 0.85

# %% [markdown]
# (*size* is the length of an update, the root of $\sum_i s_i^2$, on average over the matrices.) More rank helps: from 1 to 16 each step learns a little more. But no
# rank comes up to full fine-tuning, and sixteen times the numbers close about a quarter of the gap. What is missing?

# %% tags=["label-rank-figure"]
fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.1), layout="constrained")
ranks = (1, 4, 16)
for ax, kind in zip(axes, ("code", "stories")):
    lines = {
        "LoRA of rank r": [study.mean(f"lora_{r}", f"{kind}_end") for r in ranks],
        "full, then cut": [study.mean("full", f"{kind}_cut_{r}") for r in ranks],
    }
    for (label, points), style in zip(lines.items(), ("s--", "o-")):
        y, width = [m.value for m in points], [m.high - m.value for m in points]
        ax.errorbar(ranks, y, width, fmt=style, capsize=3, label=label)
    ax.axhline(mean("full", f"{kind}_end"), color="grey", label="full")
    ax.axhline(mean("full", f"{kind}_before"), color="grey", ls=":", label="base")
    ax.set(xscale="log", xlabel="rank r", xticks=ranks, title=kind)
    ax.set_xticklabels(ranks)
    ax.minorticks_off()
axes[0].set_ylabel("bits per byte, 95 % intervals")
axes[0].legend(fontsize=8)
alt = "Bits per byte on code and on stories against the rank, for LoRA and for a full "
show(
    fig,
    alt=alt + "fine-tune that is cut to this rank: the cut one is lower in both.",
)
cuts = {r: mean("full", f"code_cut_{r}") for r in ranks}
assert all(cuts[r] < code_end[f"lora_{r}"] for r in ranks)
assert abs(cuts[1] - code_end["lora_16"]) < 0.1

# %% [markdown]
# **What you should see.** At every rank the full fine-tune that was cut afterwards is better on code than LoRA which had that rank from the start, and it has forgotten
# less; cut to a *single* direction a matrix it is about as good on code as LoRA of rank 16. So rank is not what is missing. But the cut model has moved its
# tables, too, and LoRA has not. The last two lines below say what that is worth.

# %% tags=["label-pairs"]
places = compare("qv", "lora_4")
tables = compare("tables_16", "gentle_16")  # the same learning rate, 2e-3
rest = compare("tables_16", "full")
assert places.low > 0 and tables.high < -0.2 and rest.high < 0.08

# %% [markdown]
# **Which matrices?** With the same number of numbers, all seven matrices learn more than queries and values alone. The original paper adapted $W_q$ and $W_v$: it compared
# matrices of attention only. And where the words are new, those that matter most are the two that "LoRA on all linear layers" leaves out: with the
# embedding and the output matrix free, rank 16 comes within a tenth of a bit of full fine-tuning. That is no longer few numbers, of course: a table has a row for each of
# 6 144 tokens.
#
# **Forgetting.** The article says that training few parameters mitigates forgetting.

# %% tags=["label-forgetting"]
f = compare("lora_16", "full", "stories_end")  # both began alike
claim("PEF-011", f.value, f)
assert f.high > 0

# %% [markdown]
# At the rates that are best for code, LoRA of rank 16 does not forget less than full fine-tuning: the interval does not lie below zero. Few numbers are no
# small change. Look at the column *size* above: at this learning rate the update of rank 1 is several times as long as the full one, and it has
# forgotten most. But the rate was chosen by the loss on code alone, which hardly depends on it (`lora_ranks.PILOT`). So two gentle arms were added when the first runs had
# shown this; the rule of the claim stayed as it was.

# %% tags=["label-gentle"]
pairs = (
    ("gentle_16", "lora_16"),
    ("gentle_full", "full"),
    ("gentle_16", "gentle_full"),
)
found = {}
for kind in tests:
    print(f"bits per byte on {kind}")
    for pair in pairs:
        found[kind, pair[0]] = compare(*pair, f"{kind}_end")
assert found["stories", "gentle_full"].high < -0.1
assert found["code", "gentle_full"].low > 0
assert (
    abs(found["stories", "gentle_16"].value) < 0.05 < found["code", "gentle_16"].low
)

# %% [markdown]
# A fifth of the rate costs either way some of the learning and nearly all of the forgetting. Between the two gentle arms (last line of each block) there is hardly a difference in what is
# forgotten, and full fine-tuning has learned more. What decided about forgetting here was the learning rate, not the number of parameters.
#
# One more unfairness: whoever learns less should forget less; who does nothing forgets nothing. So the question is what is forgotten *for what is learned*. Full
# fine-tuning passes through every amount of learning on its way: we look at it at the moment when it had learned as much as LoRA at its end.


# %% tags=["label-equal"]
def path(arm, seed, kind):
    run = study.measured[arm][seed]
    return np.array([run[f"{kind}_{i}"] for i in range(lora_ranks.N_POINTS + 1)])


def at_equal_learning(arm, full):
    gaps = []
    for seed in study.seeds:
        code_bits, story_bits = (path(full, seed, kind) for kind in tests)
        goal = path(arm, seed, "code")[-1]
        assert (
            code_bits[-1] < goal
        )  # full fine-tuning has come as far, and passed it
        then = np.interp(-goal, -code_bits, story_bits)
        gaps.append(path(arm, seed, "stories")[-1] - then)
    return mean_interval(gaps)


pairs = [(f"lora_{r}", "full") for r in ranks] + [("gentle_16", "gentle_full")]
more = {arm: at_equal_learning(arm, full) for arm, full in pairs}
for arm, full in pairs:
    g = more[arm]
    print(f"{arm:9} minus {full:11} {g.value:+.3f} [{g.low:+.3f}, {g.high:+.3f}]")
assert more["lora_1"].low > more["lora_16"].high and more["lora_16"].low > 0
assert abs(more["gentle_16"].value) < 0.05

# %% tags=["label-tradeoff"]
arms = ("full", "gentle_full", "lora_1", "lora_16", "gentle_16", "tables_16")
fig, ax = plt.subplots(figsize=(6.2, 3.6), layout="constrained")
for arm, style in zip(arms, ("o-", "o:", "v--", "^--", "^:", "D-.")):
    runs = {kind: [path(arm, seed, kind) for seed in study.seeds] for kind in tests}
    x, y = (np.mean(runs[kind], axis=0) for kind in tests)
    ax.plot(x, y, style, label=arm, ms=5)
ax.invert_xaxis()
ax.set(xlabel="bits per byte on code (learning: to the right)")
ax.set(ylabel="on stories (forgetting: up)")
ax.legend()
alt = (
    "Bits per byte on stories against bits per byte on code along the training of "
)
alt += (
    "six ways: LoRA of rank 1 rises steeply, the gentle arms and tables_16 hardly."
)
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Every path begins at the left, below: little code, nothing forgotten. Right and low is good. The gentle arms and `tables_16` (also at a low
# rate) run along the bottom: they forget hardly anything, and LoRA ends before the others. Full fine-tuning at its best rate for code goes furthest, and pays. LoRA at its best
# rate for code lies above it: for the same learning it forgets *more*, and the more so the lower its rank (all ranks at one rate).
#
# Biderman et al. saw LoRA of rank 16 to 256 on seven billion weights learn less and forget less. Of that we see the first half. Our model is small, our target far away, our training
# forty steps long: this does not contradict them. It says that "forgets less" is a sentence about a rate, a rank and a distance, too.

# %% [markdown]
# ## 6 Merging: no price at inference (6 min)
#
# A product of two thin matrices is a matrix of the shape of $W$. So after training we can add it, once:
# $W' = W + \tfrac{\alpha}{r} B A$. The article says that *most* methods of this kind slow inference down. We count the operations that torch
# carries out for one token behind a text of eight, with the cache of lesson 16a.


# %%
class Counter(TorchDispatchMode):
    n = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.n += 1
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def one_token(model):
    cache = KVCache(model.config, 1, 64)
    model(text[:, :8], cache=cache)
    with Counter() as counter:
        model(text[:, 8:9], cache=cache)
    began = time.process_time()
    for i in range(9, 49):
        model(text[:, i : i + 1], cache=cache)
    return counter.n, (time.process_time() - began) / 40 * 1e3


# %% tags=["nbval-ignore-output", "label-operations"]
folded = ft.fold_adapters(copy.deepcopy(lora))
merged = copy.deepcopy(lora)
ft.merge_adapters(merged)
kinds = {"base": model, "beside": lora, "merged": merged, "folded": folded}
counts = {}
for name, m in kinds.items():
    counts[name], ms = one_token(m)
    print(f"{name:7}{counts[name]:5} operations, {ms:.2f} ms a token")
assert counts["beside"] > 1.2 * counts["base"]
claim("PEF-009", counts["folded"] - counts["base"])

# %% [markdown]
# Beside the matrix LoRA does cost something; folded in it costs nothing, to the operation. The article's sentence is right for adapters, prompts
# and prefixes (lesson 32) and wrong for LoRA. Another sentence of it, that Alpaca-LoRA works "by adding extra network layers", describes adapters. LoRA
# corrects matrices that are there: the folded model has the same parts and the same shapes.


# %%
def anatomy(model):
    shapes = {n: p.shape for n, p in model.named_parameters()}
    return [type(part) for part in model.modules()], shapes


claim("PEF-014", anatomy(folded) != anatomy(model))

# %% [markdown]
# **Out again.** Subtracting the update leaves a rounding. We keep the old matrix while merged, so that unmerging gives every
# bit back. In 16 bits there is a trap: an update that is much smaller than the weight is rounded away *while it is added*.

# %% tags=["nbval-ignore-output", "label-lost"]
ft.unmerge_adapters(merged)
pairs = zip(merged.state_dict().values(), lora.state_dict().values())
assert all(torch.equal(old, new) for old, new in pairs)
layer = lora_layers(lora)["blocks.1.attention.q"]
W = layer.base.weight.detach()
update = layer.adapters["default"].update().detach()
shares = []
for shrink in (1, 100, 1000):
    new = (W.bfloat16().float() + update / shrink).bfloat16()
    shares.append((new != W.bfloat16()).float().mean().item())
    print(f"update / {shrink:<4} changes {shares[-1]:4.0%} of the bfloat16 weights")
assert shares[0] > 0.9 and shares[1] < 0.75 and shares[2] < 0.3

# %% [markdown]
# ## 7 Many adapters, one base (5 min)
#
# An adapter of LLaMA-7B has a thousandth of its numbers. One base in memory can serve a hundred of them, and even one batch can hold rows for different ones:
# each row asks its own adapter, and the large products are shared (the idea of Punica and of S-LoRA).

# %%
apply_lora(lora, ("q", "v"), rank=2, name="other")
for param in ft.adapter_parameters(lora, "other").values():
    torch.nn.init.normal_(param, std=0.1)
with torch.no_grad(), ft.by_row(lora, ["default", "other", None]):
    together = lora(text.repeat(3, 1))
for row, name in enumerate(("default", "other", ())):
    with torch.no_grad(), ft.using(lora, name):
        alone = lora(text)[0]
    assert torch.allclose(together[row], alone, atol=1e-4)
assert (together[0] - together[1]).abs().max() > 0.1
print("three rows, three models, one pass")

# %% [markdown]
# `using(model, ())` gives the base back for a moment. Lesson 34 needs exactly this: a reference model that costs no memory. Adapters can also speak
# together, `activate(model, {"default": 0.5, "other": 0.5})`: their updates add up. What such a sum *means* no theorem says.

# %% [markdown]
# ## 8 What LoRA saves, and what not (6 min)
#
# With AdamW in float32 each trained number costs 16 bytes: weight, gradient, $m$, $v$ (lesson 22a). A frozen one costs the weight alone, in any format.
#
# > **Taken on trust until lesson 32.** NF4, a format of four bits, takes 0.516 bytes a weight with its scales.
#
# **Predict, then run.** LLaMA-7B, one row of 512 tokens, LoRA of rank 8 on q and v: by what factor does the memory shrink? And the activations?
#
# <details><summary>Answer</summary>Weights, gradients and moments shrink from 108 GB to 27, or to 4 with a base in four bits. The activations shrink by a third
# only: the chain rule still passes through every layer.</details>

# %% tags=["label-ledger"]
short = {"bytes_per_weight": 2, "bytes_per_activation": 2}
qv = llama, ("q", "v"), 8, 1, 512
ledgers = {
    "full, float32": memory_ledger(llama, 1, 512),
    "LoRA, float32 base": lora_ledger(*qv),
    "LoRA, bfloat16 base": lora_ledger(*qv, **short),
    "QLoRA, NF4 base": lora_ledger(*qv, **short, bytes_per_matrix=0.516),
}
print("GB                   weights   grads moments   acts.   total")
for name, m in ledgers.items():
    kept = m.activations + m.loss
    columns = m.parameters, m.gradients, m.optimizer, kept, m.total
    print(f"{name:20}" + "".join(f"{b / 1e9:8.2f}" for b in columns))
one, two = ledgers["full, float32"], ledgers["LoRA, float32 base"]
fixed = [m.parameters + m.gradients + m.optimizer for m in (one, two)]
assert [round(n / 1e9) for n in fixed] == [108, 27]
assert 0.6 < two.activations / one.activations < 0.7

# %% [markdown]
# The package's tests hold the ledger within 1 % of the live tensors of a real step. Its lesson: LoRA makes gradients and moments
# vanish; then the *weights* dominate (hence four bits, lesson 32), and for long texts the *activations* do (hence recomputation, lesson 22a).

# %% [markdown]
# ## 9 Words that the base has never read (9 min)
#
# LoRA corrects the matrices of the blocks. What if the *words* are missing? The tokenizer never saw code either. Lesson 07b extended a
# vocabulary; here it is done live, in the two stages of Chinese-LLaMA-7B: first only
# the table and the output matrix learn, then LoRA on all matrices, with the two tables still free.

# %% tags=["nbval-ignore-output", "label-extension"]
longer, new_rows = extend_tokenizer(tokenizer, code, 256, max_token_bytes=12)
grown = extend_model(model, new_rows, "mean")
new_ids = small.stream(code, longer.encode, END)
print(f"{len(ids):,} tokens become {len(new_ids):,}, such as", end=" ")
print([longer.decode([tokenizer.n_vocab + i]) for i in range(6)])


def free_tables(model):
    for table in (model.embedding, model.head):
        table.requires_grad_(True)
    return model


grown.requires_grad_(False)
grown = tune(free_tables(grown), 3e-3, ids=new_ids, steps=15)
apply_lora(grown, "all", rank=8, alpha=16)
grown = tune(free_tables(grown), 3e-3, ids=new_ids, steps=25)
now = report("two stages", grown, longer)
assert len(new_ids) < 0.95 * len(ids) and now["code"] < before["code"] - 0.5
wide, gaps = records.read_results("wider_vocabulary"), {}
print(f"{wide.provenance}; bits per byte on code:")
for pair in (("wider", "same"), ("scratch", "wider")):
    d = gaps[pair[0]] = wide.difference(*pair, "code_end")
    print(f"{' minus '.join(pair)}: {d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]")
claim("TOK-018", gaps["wider"].value, gaps["wider"])
n = [wide.mean(arm, "n_tokens").value for arm in ("wider", "same")]
assert 0.9 < n[0] / n[1] < 0.93 and gaps["scratch"].low > 0
assert gaps["wider"].low < 0 < gaps["wider"].high

# %% [markdown]
# Fewer tokens for the same text means more text in the same 40 steps. Bits per *byte* makes the two comparable. Did it pay? The recorded study
# `wider_vocabulary` goes through both stages on five seeds: with 256 new entries, with the same entries whose rows begin as noise (*scratch*), and
# with none (*same*). The text is nine per cent shorter, which every later step and answer saves. But the code is not told better: the first interval holds zero.
# Our source says of Chinese-LLaMA that new tokens raise efficiency *and* quality; we see the first. (There a Chinese character had often cost three tokens; here words become a little longer.)
# What does count is how a new row begins: noise ends clearly worse than the mean of the parts.
#
# It is the tables that LoRA alone would have left as they were, and they are no low-rank updates: they must be saved whole, too.
#
# **Two tokens that nobody ever said.** Lesson 28 framed each message by two special tokens and taught a model to end its answer with `<|im_end|>`. No text of
# pre-training holds these tokens. Their rows of the output matrix have felt one force only, away from every state, because a softmax pushes down
# all that does not come; those of the embedding are still as they were drawn. How likely are they now?

# %% tags=["nbval-ignore-output", "label-unsaid"]
with torch.no_grad():
    p = model(text).softmax(-1).mean((0, 1))
FRAME = [tokenizer.special_id(name) for name in ("<|im_start|>", "<|im_end|>")]
print(f"mean probability {p[FRAME].max():.0e}, one in {1 / p[FRAME].max():,.0f}")
assert p[FRAME].max() < 0.1 / tokenizer.n_vocab

# %% [markdown]
# LoRA can turn the states, but not these two rows. Is that enough to make the model say `<|im_end|>` behind every answer? A second recorded study, `frame_rows`, trained
# `tiny` on 400 tasks about stories for 48 steps, on five seeds: with LoRA of rank 8 on all matrices, and with LoRA and the rows of the two tokens learning
# beside it, from the mean of all rows; nothing else differs (the learning rate is that of the shipped recipe, not tuned). Below: the loss of right answers to other tasks, the probability of `<|im_end|>` behind them, and the share of the model's own answers that end.

# %% tags=["label-frame"]
frame = records.read_results("frame_rows")
print(frame.provenance)
print("              trained   nats   p(end)  ended")
for arm in frame.measured:
    names = ("n_trained", "nats", "p_end", "ended")
    n, nats, p_end, ended = (frame.mean(arm, name).value for name in names)
    print(f"{arm:10}{int(n):11,}{nats:7.2f}{p_end:9.3f}{ended:7.0%}")
d = frame.difference("lora_mean", "lora", "nats")
print(f"lora_mean minus lora, nats: {d.value:+.2f} [{d.low:+.2f}, {d.high:+.2f}]")
assert d.high < -0.5
assert max(frame.values("lora", "ended")) == 0
assert 5e-4 < frame.mean("lora", "p_end").value < 2e-3
assert min(frame.values("lora_mean", "ended")) > 0.95
extra = frame.difference("lora_mean", "lora", "n_trained").value
assert extra == 2 * 2 * model.config.d_model == 384  # two rows of two tables

# %% [markdown]
# LoRA alone raised the probability of the end a thousandfold, to one in a thousand, and no answer ended, on no seed. With 384 numbers more nearly all ended. Fifty-eight thousand
# numbers in the blocks could not do in 48 steps what a few hundred in the right place did. Where a base knows the words of the frame (because its makers trained them, or because the template is
# made of ordinary words) LoRA is enough. `learn_rows` adds such rows; in `peft` the same is called `trainable_token_indices`.

# %% [markdown]
# ## 10 The file, and DoRA in a page (6 min)
#
# An adapter is saved as Hugging Face's `peft` saves it. Then `PeftModel.from_pretrained` loads it beside a LLaMA of `transformers`, and our
# `load_adapter` loads theirs; tests hold the logits equal in both directions, with learned rows (`trainable_token_indices` there), too.

# %%
folder = Path(tempfile.mkdtemp())
ft.save_adapter(lora, folder)
settings = json.loads((folder / "adapter_config.json").read_text())
for key in ("peft_type", "r", "lora_alpha", "target_modules"):
    print(key, settings[key])
tensors = load_file(folder / "adapter_model.safetensors")
for name in sorted(tensors)[:2]:
    print(name, tuple(tensors[name].shape))

# %% [markdown]
# **DoRA** (weight-decomposed LoRA) splits every row of $W$ into a length and a direction, learns the length as a number of its own and turns the
# direction by LoRA:
#
# $$W' = \mathbf m \odot \frac{W + \tfrac{\alpha}{r} B A}{\lVert W + \tfrac{\alpha}{r} B A \rVert_{\text{row}}}, \qquad \mathbf m_0 = \lVert W \rVert_{\text{row}} .$$
#
# At the start the fraction times $\mathbf m$ is $W$ again. The length below the bar is treated as a constant in the backward pass. It costs one number
# more an output, and a pass over the whole matrix in every step. (The paper speaks of columns, as it writes matrices the other way round.)

# %%
turned = ft.DoRALinear(torch.nn.Linear(6, 5, bias=False, dtype=f64), 2, 4.0)
torch.nn.init.normal_(turned.adapters["default"].b)
old, new = turned.base.weight, turned.weight
assert torch.allclose(old.norm(dim=1), new.norm(dim=1))
assert not torch.allclose(old, new)
print("B and A have turned the rows; their lengths stay until m moves")

# %% [markdown]
# Its paper reports better results than LoRA's at equal rank; we have not measured that.
#
# ## At scale
#
# | model | method | trained | what was found |
# |---|---|---|---|
# | GPT-3 175B | LoRA, r = 1 on q, v | 4.7 M | about as good as full fine-tuning on three tasks (Hu et al. 2021, table 4) |
# | LLaMA-2-7B | LoRA, code and mathematics | | learns less and forgets less; updates of full fine-tuning have 10 to 100 times the rank (Biderman et al. 2024) |
# | LLaMA-7B | Chinese-LLaMA: tables, then LoRA and tables | | 20 000 new words (Cui et al. 2023) |
# | LLaMA-7B | Alpaca-LoRA | | "about 20 minutes" (PEF-015: it needs a GPU and is not tested here) |
# | ChatGLM-6B, BLOOM | ChatGLM-Tuning, BLOOM-LoRA | | the same on other bases (named by the article) |
#
# ## Common mistakes
#
# | what one sees | why | remedy |
# |---|---|---|
# | nothing is learned at all | A and B both start at zero | one of them random |
# | the loss jumps in step 1 | B does not start at zero | B = 0 |
# | memory as in full fine-tuning | optimizer built before freezing | `apply_lora` first, then the optimizer |
# | a tuned base never ends its answers | the rows of its frame are frozen | let these rows learn |
# | a merged model is saved, loaded with adapters, and is wrong | the update counts twice | fold, or unmerge before saving; `state_dict` refuses here |
# | another base under the adapter: nonsense | A and B correct *that* W | keep the base's hash beside the file |
# | r doubled, "no effect" | α/r halved the scale, or the learning rate is the limit | tune the rate again |
# | generation is slow | adapters beside, not inside | fold before serving |
# | new words lost on loading | tables are no low-rank updates | save the tables, too (`modules_to_save` in peft) |
#
# ## Recap
#
# - A full fine-tune moves every number, but along few directions compared with chance; cut afterwards to eight, it keeps most of its gain.
# - LoRA: $W + \tfrac\alpha r BA$, with $B = 0$ at the start; the first step moves $B$ alone.
# - α/r keeps Adam's first step equal over ranks, α/√r the size of a finished correction.
# - It saves gradients and moments, not activations, and costs nothing at inference once it is folded in.
# - On code LoRA learned less than full fine-tuning, and not for want of rank: the tables stood still. What was forgotten hung on the learning rate.
# - What it does not touch it cannot teach: tokens that were never said need their rows.
#
# **Questions.** 1. Why may not both matrices start at zero? 2. Why is a frozen layer cheaper in the backward pass, and by how much? 3. Which
# activations does LoRA on q and v not keep? 4. What does rsLoRA keep equal? 5. Why is subtracting the update no exact way to unmerge?
# 6. What must travel with an adapter file? 7. Why is "LoRA forgets less" an unfair comparison as it stands? 8. Why can LoRA on the blocks hardly teach an unsaid token?
#
# <details><summary>Answers</summary>1. Each gradient has the other matrix as a factor. 2. The product for the gradient of W is left out: one of the two
# products of the backward pass, a third of the step. 3. The inputs of the frozen matrices that no adapter reads. 4. The
# size of a random correction and of SGD's first step. 5. Rounding. 6. Which base, rank, α, places, variant; tables and rows that learned. 7. It also learns less.
# 8. Its row of the output matrix points away from the states, and is frozen.</details>

# %% [markdown]
# ## Homework (40 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it.
#
# ### Exercise 1 · LoRA from a finished fine-tune (8 min, ★★☆)
#
# Somebody gives you `W` before and after, and asks for an adapter of rank `r` that a `LowRank` of scale `alpha / r` reproduces as well as possible.
# Return `(a, b)`, shapes `(r, I)` and `(O, r)`.
#
# <details><summary>Hint 1</summary><code>torch.linalg.svd(..., full_matrices=False)</code>; the r strongest pieces.</details>
# <details><summary>Hint 2</summary>LowRank multiplies by alpha / r: divide by it.</details>


# %% tags=["exercise"]
def extract(before, after, r, alpha):
    # BEGIN SOLUTION
    u, s, vt = torch.linalg.svd(after - before, full_matrices=False)
    b = u[:, :r] * s[:r].sqrt()
    a = s[:r].sqrt()[:, None] * vt[:r]
    return a, b * (r / alpha)
    # END SOLUTION


# %% tags=["check"]
def extracted(before, after, r, alpha):
    a, b = extract(before, after, r, alpha)
    assert a.shape == (r, before.shape[1]) and b.shape == (before.shape[0], r)
    adapter = LowRank(a.shape[1], b.shape[0], r, alpha, dtype=a.dtype)
    adapter.a.data, adapter.b.data = a, b
    return adapter.update().detach()


def nearest(before, after, r, alpha):
    u, s, vt = torch.linalg.svd(after - before)
    return (u[:, :r] * s[:r]) @ vt[:r]


def matrix(*shape):
    return torch.randn(*shape, dtype=torch.float64)


extracted.__name__ = "extract"  # what the check calls it
given = ((1, 2.0), (3, 16.0))
cases = [(matrix(5, 7), matrix(5, 7), r, alpha) for r, alpha in given]
check(extracted, nearest, cases)

# %% [markdown]
# ### Exercise 2 · The lengths of DoRA, without the matrix (10 min, ★★★)
#
# DoRA needs $\lVert \mathbf w_o + s\,\mathbf b_o A\rVert$ for each output, and forming $W + sBA$ costs a second copy of $W$. Compute the lengths from
# $\lVert \mathbf w_o\rVert^2$, $W A^\top$ and $A A^\top$ alone: nothing larger than $(O, r)$ may be made, besides the squares of W's rows.
#
# <details><summary>Hint 1</summary>‖w + v‖² = ‖w‖² + 2 w·v + ‖v‖², with v = s b A.</details>
# <details><summary>Hint 2</summary>w · (b A) = (w Aᵀ) · b, and ‖b A‖² = b (A Aᵀ) bᵀ.</details>


# %% tags=["exercise"]
def dora_lengths(W, a, b, s):
    # BEGIN SOLUTION
    cross = ((W @ a.T) * b).sum(dim=1)
    own = ((b @ (a @ a.T)) * b).sum(dim=1)
    return (W.square().sum(dim=1) + 2 * s * cross + s**2 * own).sqrt()
    # END SOLUTION


# %% tags=["check"]
def lengths_of(W, a, b, s):
    return (W + s * b @ a).norm(dim=1)


given = ((1, 2.0), (3, 0.5))
cases = [(matrix(5, 7), matrix(r, 7), matrix(5, r), s) for r, s in given]
check(dora_lengths, lengths_of, cases)

# %% [markdown]
# ### Exercise 3 · PiSSA: start from what matters (8 min, ★★☆)
#
# PiSSA gives A and B the r *strongest* directions of W itself, and freezes the rest. Return `(rest, a, b)` such that `rest + scale * b @ a` is W again,
# `b @ a` holds the r strongest directions, and both carry the same share of their size (columns of b and rows of a equally long).
#
# <details><summary>Hint</summary>The SVD of W; each of a and b gets the root of the singular values, divided by the root of the scale.</details>


# %% tags=["exercise"]
def pissa(W, r, scale):
    # BEGIN SOLUTION
    u, s, vt = torch.linalg.svd(W, full_matrices=False)
    root = (s[:r] / scale).sqrt()
    a, b = root[:, None] * vt[:r], u[:, :r] * root
    return W - scale * b @ a, a, b
    # END SOLUTION


# %% tags=["check"]
def pissa_facts(W, r, scale):
    rest, a, b = pissa(W, r, scale)
    learned = scale * b @ a
    strongest = torch.linalg.svdvals(learned)[:r]
    left = torch.linalg.svdvals(rest)[0]
    return rest + learned, strongest, left, b.norm(dim=0) - a.norm(dim=1)


def wanted_facts(W, r, scale):
    s = torch.linalg.svdvals(W)
    return W, s[:r], s[r], torch.zeros(r, dtype=W.dtype)


pissa_facts.__name__ = "pissa"
given = ((1, 1.0), (3, 2.0), (4, 0.25))
check(pissa_facts, wanted_facts, [(matrix(6, 8), r, s) for r, s in given])

# %% [markdown]
# ### Exercise 4 · What merging in 16 bits loses (7 min, ★★☆)
#
# Return the share of the entries of W (bfloat16) that do *not* change when a float32 update is added and the sum is rounded to bfloat16, counting only
# entries whose update is not zero. 0.0 if there is none.
#
# <details><summary>Hint</summary>Add in float32 first; round once.</details>


# %% tags=["exercise"]
def lost_share(W, update):
    # BEGIN SOLUTION
    asked = update != 0
    same = (W.float() + update).bfloat16() == W
    return (same & asked).sum().item() / max(1, asked.sum().item())
    # END SOLUTION


# %% tags=["check"]
def lost_by_loop(W, update):
    lost = asked = 0
    for w, u in zip(W.flatten().tolist(), update.flatten().tolist()):
        if u:
            asked += 1
            lost += torch.tensor(w + u).bfloat16().item() == w
    return lost / asked if asked else 0.0


def some(scale):
    update = torch.randn(9, 9) * scale * (torch.rand(9, 9) < 0.7)
    return torch.randn(9, 9).bfloat16(), update


cases = [some(1e-3), some(1e-2), (torch.ones(2, 2).bfloat16(), torch.zeros(2, 2))]
check(lost_share, lost_by_loop, cases)

# %% [markdown]
# ### Exercise 5 · A budget (7 min, ★☆☆)
#
# Given a list of matrix shapes `(O, I)` and a budget of numbers, return the largest rank that adapters on all of them can have without exceeding the budget
# (0 if not even 1 fits), never more than the smallest side of any of the matrices.
#
# <details><summary>Hint</summary>One more rank costs O + I numbers for each matrix.</details>


# %% tags=["exercise"]
def largest_rank(shapes, budget):
    # BEGIN SOLUTION
    each = sum(O + I for O, I in shapes)
    return min(budget // each, min(min(shape) for shape in shapes))
    # END SOLUTION


# %% tags=["check"]
def rank_by_search(shapes, budget):
    def fits(r):
        cost = sum(r * (O + I) for O, I in shapes)
        return cost <= budget and all(r <= min(shape) for shape in shapes)

    return max(r for r in range(100) if fits(r))


shapes = [(8, 8), (8, 4)]
cases = [(shapes, budget) for budget in (0, 27, 28, 84, 112, 10_000)]
check(largest_rank, rank_by_search, cases)

# %% [markdown]
# **Sources.** Hu et al. 2021, LoRA, arXiv:2106.09685: the method (section 4), which matrices and which rank (section 7). · Kalajdzievski 2023, rsLoRA,
# arXiv:2312.03732: the scale for high ranks. · Liu et al. 2024, DoRA, arXiv:2402.09353: equation 5 and section 4.3. · Biderman et al. 2024, LoRA Learns Less and
# Forgets Less, arXiv:2405.09673: the comparison at seven billion weights. · Chen et al. 2023, Punica, arXiv:2310.18547, and Sheng et al. 2023, S-LoRA, arXiv:2311.03285:
# many adapters in one batch. · Meng et al. 2024, PiSSA, arXiv:2404.02948. · Cui et al. 2023, Chinese-LLaMA, arXiv:2304.08177: two stages. · Hewitt 2021, Initializing
# New Word Embeddings for Pretrained Language Models: the mean as a beginning.
#
# **Next:** [32 Small changes](32_peft.ipynb): the rest of the family, and which of them are worth it.

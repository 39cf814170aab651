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
# learns two thin matrices beside each of a few large ones. This lesson measures first whether that could work at all.
#
# After this lesson you can
#
# 1. read from a spectrum how many directions a fine-tune really used, and cut it to a few of them;
# 2. write LoRA by hand: start, scale, gradients, merging, and the file that others can load;
# 3. say what α/r keeps equal when the rank changes, and what α/√r keeps equal instead;
# 4. predict what LoRA saves in memory, and what it does not save;
# 5. compare LoRA with full fine-tuning and frozen layers: what is learned, and what is forgotten.

# %% tags=["setup"]
import copy
import json
import math
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from safetensors.torch import load_file

from minillm import finetune as ft
from minillm.data import load_corpus
from minillm.data.storyworld import make_corpus
from minillm.finetune import LoRALinear, LowRank, apply_lora, lora_layers
from minillm.finetune.extend import extend as extend_model
from minillm.finetune.lora_ledger import lora_ledger
from minillm.finetune.spectrum import effective_rank, rank_for_share
from minillm.finetune.spectrum import spectrum, truncated, updates
from minillm.lesson import check, claim, setup, show
from minillm.model import count_parameters, presets
from minillm.recipes import base
from minillm.recipes.records import read_results
from minillm.recipes.small import SmallConfig, bits_on, stream, train_small
from minillm.recipes.studies import lora_ranks
from minillm.tokenizer.extend import extend as extend_tokenizer
from minillm.train.memory import memory_ledger

setup(seed=31)
BASE_NAME = "tiny"  # the model that this lesson starts from: one constant

# %% [markdown]
# ## 1 A model that has never seen a program (6 min)
#
# Our base model has read stories and prose. We go on training it on Python code: **continual pre-training** (继续预训练) on a
# shifted domain. Two numbers are watched from now on: bits per byte on unseen *code*, which should fall, and on unseen
# *stories*, which should not rise. If they rise, the model forgets: **catastrophic forgetting** (灾难性遗忘).

# %%
model, tokenizer = base(BASE_NAME)
END = tokenizer.special_id("<|endoftext|>")
code = load_corpus("code", max_bytes=260_000, progress=False).texts
n_test = next(n for n in range(1, len(code)) if sum(map(len, code[:n])) > 15_000)
tests = {
    "code": [text[:6_000] for text in code[:n_test]],
    "stories": make_corpus(3131, 25, "en"),
}
ids = stream(code[n_test:], tokenizer.encode, END)


def bits(model, kind, tokenizer=tokenizer):
    return bits_on(model, tests[kind], tokenizer.encode, END)


# %% tags=["nbval-ignore-output", "label-before"]
before = {kind: bits(model, kind) for kind in tests}
print({kind: round(b, 2) for kind, b in before.items()}, "bits per byte")
assert before["code"] > 3 * before["stories"]

# %% [markdown]
# Every run below reads the same windows in the same order, and differs in *which numbers may move*. Full fine-tuning
# (全量微调) moves them all.


# %%
def tune(model, lr, *, ids=ids, steps=40):
    c = model.config
    config = SmallConfig(
        c.vocab_size, c.d_model, c.n_layers, c.attention.n_heads, 64
    )
    config = SmallConfig(
        **{**vars(config), "steps": steps, "lr": lr, "warmup_steps": 5}
    )
    return train_small(ids, 31, config=config, model=model)


# %% tags=["nbval-ignore-output", "label-full"]
full = tune(copy.deepcopy(model), 2e-3)
after = {kind: bits(full, kind) for kind in tests}
print("full:", {kind: f"{before[kind]:.2f} -> {after[kind]:.2f}" for kind in tests})
assert after["code"] < before["code"] - 0.3
assert after["stories"] > before["stories"]

# %% [markdown]
# The oldest way to move less is to freeze (冻结) the lower layers and train the last block. For models of images it works well,
# as edges are edges everywhere. Here the words themselves are new, and they come in at the bottom.

# %% tags=["nbval-ignore-output"]
last = copy.deepcopy(model)
names = ft.train_last_blocks(last, 1)
print(
    f"{ft.count_trainable(last):,} of {count_parameters(model.config):,} numbers:",
    ", ".join(names[:3]),
    "...",
)
last = tune(last, 5e-3)
print("last block:", {kind: round(bits(last, kind), 2) for kind in tests})

# %% [markdown]
# **Recorded, over five seeds** (study `lora_ranks`: a smaller model, read stories, goes on with Python code; the learning rate of each
# way was chosen on a seed outside the study).

# %% tags=["label-last-block"]
study = read_results("lora_ranks")
print(study.provenance)
d = study.difference("far_last", "far_full", "end_target")
m = study.difference("far_matched", "far_last", "end_target")
print(
    f"last block minus full:                   {d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"
)
print(
    f"LoRA of as many numbers minus last block: {m.value:+.3f} [{m.low:+.3f}, {m.high:+.3f}]"
)
claim("PEF-016", d.value, d)

# %% [markdown]
# ## 2 How many directions did it really use? (12 min)
#
# Before we restrict a fine-tune, look at a free one. Each matrix $W$ of shape $(O, I)$ has moved by
# $\Delta W = W_{\text{after}} - W_{\text{before}}$. Write it as a sum of one-directional pieces, the strongest first:
#
# $$\Delta W = \sum_{i} s_i\, \mathbf u_i^\top \mathbf v_i, \qquad s_1 \ge s_2 \ge \dots \ge 0 .$$
#
# Each piece reads one direction $\mathbf v_i$ of the input and writes one direction $\mathbf u_i$ of the output; $s_i$ is its **singular
# value** (奇异值), and the number of pieces the **rank** (秩). If a few pieces carry nearly all of $\sum_i s_i^2$, the *intrinsic rank* of the
# update is low.
#
# **Predict, then run.** The matrices here are 96 wide, so that an update has up to 96 directions. How many carry 90 % of it?
#
# <details><summary>Answer</summary>Run the cell. It is more than the ranks 1 to 8 that people use for LoRA, and far less than a random
# matrix of this shape has.</details>

# %% tags=["nbval-ignore-output", "label-spectrum"]
moved = updates(model.state_dict(), full.state_dict())
spectra = {name: spectrum(update) for name, update in moved.items()}
q, down = "blocks.1.attention.q.weight", "blocks.1.feedforward.down.weight"
noise = spectrum(torch.randn(96, 96))
for name, values in (
    (q, spectra[q]),
    (down, spectra[down]),
    ("a random matrix", noise),
):
    print(
        f"{name:36}{rank_for_share(values):4} carry 90 %; effective rank {effective_rank(values):5.1f}"
    )
assert rank_for_share(spectra[q]) < rank_for_share(noise)

# %% tags=["label-spectrum-figure"]
fig, ax = plt.subplots(figsize=(6.4, 3.0), layout="constrained")
for (name, values), style in zip(
    ((q, spectra[q]), (down, spectra[down]), ("random", noise)), "o^s"
):
    share = values.square().cumsum(0) / values.square().sum()
    ax.plot(
        range(1, len(share) + 1),
        share,
        marker=style,
        markevery=8,
        label=name.removesuffix(".weight"),
    )
ax.axhline(0.9, color="grey", lw=0.8)
ax.set(
    xlabel="directions kept, r",
    ylabel="share of the update",
    xscale="log",
    ylim=(0, 1.02),
)
ax.legend()
alt = "Share of an update carried by its r strongest directions, for a query matrix, a down matrix "
alt += "and a random matrix: the updates rise much faster than the random matrix."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Both updates climb well before the random matrix does: the first few directions carry a large part. Yet the
# rest is not nothing. A share of squares is also not a share of what was *learned*: the tail may be the noise of Adam, which moves every
# number by about the learning rate, wanted or not. So we cut the update and ask the model.

# %% tags=["nbval-ignore-output", "label-cut"]
cut = copy.deepcopy(model)
for rank in (0, 1, 2, 4, 8, 16, 96):
    cut.load_state_dict(truncated(model.state_dict(), full.state_dict(), rank))
    print(
        f"rank {rank:2}: code {bits(cut, 'code'):.3f}   stories {bits(cut, 'stories'):.3f}"
    )

# %% [markdown]
# Cut *afterwards*, a few directions keep most of the gain. That is encouraging, and it is not yet LoRA: which directions matter was found
# out by moving all of them. LoRA has to find them while it is confined to $r$. (At a scale of billions Biderman et al. found the updates of
# full fine-tuning on code to have a rank 10 to 100 times that of usual LoRA settings: section 5 asks what that costs.)

# %% [markdown]
# ## 3 LoRA by hand (12 min)
#
# Leave $W$ as it is, and add a product of two thin matrices:
#
# $$\mathbf y = \mathbf x W^\top + \frac{\alpha}{r}\,(\mathbf x A^\top)\,B^\top, \qquad A: (r, I),\; B: (O, r).$$
#
# Three decisions are in there. **Start:** $A$ random, $B$ zero, so that the correction is zero and training begins at the base model, exactly.
# **Order:** first to $r$ numbers, then up again; $BA$, a full matrix, is never formed. **Scale** $\alpha/r$: the next section.

# %%
I, O, r, alpha = 6, 5, 2, 4.0
f64 = torch.float64
W, A, B = (
    torch.randn(O, I, dtype=f64),
    torch.randn(r, I, dtype=f64),
    torch.zeros(O, r, dtype=f64),
)
x = torch.randn(3, I, dtype=f64)
y = x @ W.T + alpha / r * (x @ A.T) @ B.T
assert torch.equal(y, x @ W.T)
print("with B = 0 nothing has changed")

# %% [markdown]
# **Predict, then run.** What are the gradients of $A$ and of $B$ in the very first step?
#
# <details><summary>Answer</summary>The gradient of A contains B as a factor, so it is zero: the first step moves B alone. If both began at
# zero, neither would ever move.</details>
#
# With $G$ the gradient that arrives from above, one row a token,
#
# $$\frac{\partial \ell}{\partial B} = \tfrac{\alpha}{r}\, G^\top (\mathbf x A^\top), \qquad
# \frac{\partial \ell}{\partial A} = \tfrac{\alpha}{r}\, B^\top G^\top \mathbf x, \qquad
# \frac{\partial \ell}{\partial \mathbf x} = G\,\bigl(W + \tfrac{\alpha}{r} B A\bigr).$$

# %%
layer = LoRALinear(torch.nn.Linear(I, O, bias=False, dtype=f64), r, alpha)
adapter = layer.adapters["default"]
with torch.no_grad():
    layer.base.weight.copy_(W)
    adapter.a.copy_(A)
for step in ("first", "later"):
    layer.zero_grad()
    G = torch.randn(3, O, dtype=f64)
    layer(x).backward(G)
    by_hand = alpha / r * G.T @ (x @ A.T), alpha / r * adapter.b.T @ G.T @ x
    assert torch.allclose(adapter.b.grad, by_hand[0]) and torch.allclose(
        adapter.a.grad, by_hand[1]
    )
    assert (
        layer.base.weight.grad is None
    )  # frozen: a third of the backward pass is never done
    print(
        f"{step:6} step: largest gradient of A {adapter.a.grad.abs().max():.2f}, of B {adapter.b.grad.abs().max():.2f}"
    )
    torch.nn.init.normal_(adapter.b)

# %% [markdown]
# In a model, `apply_lora` puts such a layer in the place of every matrix that we name, and freezes all the rest. What is trained are
# ordinary parameters: the training loop, checkpoints and FSDP need not know.

# %% tags=["label-count"]
lora = apply_lora(copy.deepcopy(model), "all", rank=8, alpha=16)
print(lora.blocks[0].attention.q)
print(
    f"{ft.count_trainable(lora):,} numbers are trained, {ft.count_trainable(lora) / count_parameters(model.config):.1%} of the model"
)
llama = presets.llama_7b()
every = ("q", "k", "v", "out", "gate", "up", "down")
few = ft.count_trained("lora", llama, 8, targets=("q", "v"))
many = ft.count_trained("lora", llama, 16, targets=every)
for said, n in (("r =  8 on q, v", few), ("r = 16 on all ", many)):
    print(
        f"LLaMA-7B, {said}: {n / 1e6:5.1f} M numbers, {n / count_parameters(llama):.3%}"
    )
assert few == 32 * 2 * 8 * (4096 + 4096)

# %% tags=["nbval-ignore-output", "label-lora"]
at_start = torch.equal(
    lora(torch.tensor([[END, 5, 7]])), model(torch.tensor([[END, 5, 7]]))
)
lora = tune(lora, 1e-2)
print(
    "LoRA, rank 8:",
    {kind: round(bits(lora, kind), 2) for kind in tests},
    "before:",
    before,
)
assert at_start and bits(lora, "code") < before["code"] - 0.2

# %% [markdown]
# The article says that LoRA adds the low-rank matrices $A$, $B$ to weight matrices. Three consequences, in float64: no change at the start, rank
# $r$ at the end, and beside $W$ the same as inside of it.

# %%
wide = apply_lora(copy.deepcopy(model).double(), "all", rank=4, alpha=8)
text = ids[:64].reshape(1, -1)
text = torch.from_numpy(text)
first = (wide(text) - model.double()(text)).abs().max().item()
model.float()
for name, param in ft.adapter_parameters(wide).items():
    torch.nn.init.normal_(param, std=0.05)
s = spectrum(lora_layers(wide)["blocks.0.attention.q"].adapters["default"].update())
folded = ft.fold_adapters(copy.deepcopy(wide))
apart = (wide(text) - folded(text)).abs().max().item()
print(
    f"at the start {first}, fifth singular value {s[4] / s[0]:.0e}, beside or inside {apart:.0e}"
)
claim("PEF-008", max(first, (s[4] / s[0]).item(), apart))

# %% [markdown]
# ## 4 What is α/r for? (10 min)
#
# The scale is meant to let you change $r$ and keep the learning rate. Does it? Three things could be kept equal:
#
# 1. *the size of a finished correction* whose $B$ has entries of one size. Each output is a sum of $r$ independent terms: it grows as $\sqrt r$, and
#    times $\alpha/r$ it *falls* as $1/\sqrt r$;
# 2. *the first step of SGD*. $B$ moves by $\tfrac{\alpha}{r}\,\mathbf g^\top(\mathbf x A^\top)$, and the output then by
#    $\bigl(\tfrac{\alpha}{r}\bigr)^2 \lVert \mathbf x A^\top\rVert^2 \,\mathbf g$. As $\lVert \mathbf x A^\top\rVert^2$ grows as $r$, it falls as $1/r$;
# 3. *the first step of Adam*, which moves every entry of $B$ by the learning rate: the output changes by
#    $\tfrac{\alpha}{r}\,\lVert \mathbf x A^\top\rVert_1\,\eta$, and the sum of $r$ absolute values cancels the $r$ below. It stays equal.
#
# **rsLoRA** (rank-stabilised LoRA) divides by $\sqrt r$: then 1 and 2 stay equal, which is what its paper asks for, and 3 *grows* as $\sqrt r$.


# %%
def change(rank, how, stable, trials=60):
    sizes = []
    for _ in range(trials):
        adapter, x = LowRank(64, 16, rank, 8.0, stable=stable), torch.randn(1, 64)
        adapter(x).sum().backward()
        g = adapter.b.grad
        b = {
            "finished": torch.randn_like(g),
            "SGD": 0.1 * g,
            "Adam": 0.1 * g.sign(),
        }[how]
        adapter.b.data.copy_(b)
        sizes.append(adapter(x).abs().mean().item())
    return sum(sizes) / trials


# %% tags=["nbval-ignore-output", "label-scale"]
ranks = (1, 4, 16, 64)
sizes = {
    (how, s): [change(r, how, s) for r in ranks]
    for how in ("finished", "SGD", "Adam")
    for s in (False, True)
}
slopes = {key: math.log(v[-1] / v[1]) / math.log(16) for key, v in sizes.items()}
for (how, stable), slope in slopes.items():
    print(
        f"{how:9}{'alpha/sqrt(r)' if stable else 'alpha/r':14} grows as r^{slope:+.2f}"
    )
wanted = {"finished": -0.5, "SGD": -1.0, "Adam": 0.0}
for (how, stable), slope in slopes.items():
    assert abs(slope - wanted[how] - stable * (1.0 if how == "SGD" else 0.5)) < 0.12

# %% tags=["label-scale-figure"]
fig, axes = plt.subplots(
    1, 3, figsize=(7.4, 2.6), sharex=True, layout="constrained"
)
for ax, how in zip(axes, ("finished", "SGD", "Adam")):
    for stable, style in ((False, "o-"), (True, "s--")):
        v = sizes[how, stable]
        ax.plot(
            ranks, [x / v[1] for x in v], style, label="α/√r" if stable else "α/r"
        )
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="rank r",
        title={"finished": "a finished B"}.get(how, f"first step, {how}"),
    )
axes[0].set_ylabel("size, against r = 4")
axes[0].legend()
alt = "Change of the output against rank. With alpha/r it falls for a finished B and for SGD and is level "
alt += "for Adam; with alpha over root r it is level for the first two and rises for Adam."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Each scale is level in a different panel. There is no scale that makes all three equal, so that "the right α" is a
# statement about the optimizer: with Adam and short training α/r transfers the learning rate, and for high ranks and long training α/√r keeps
# the correction from fading. The honest way is ours in the studies: choose the learning rate again for every rank.

# %% [markdown]
# ## 5 Rank, places, and what is forgotten (14 min)
#
# The recorded study, in full. *Far*: from stories to Python code. *Near*: from stories to stories with questions, words that are known.

# %% tags=["label-ranks"]
print(
    "                  trained   learned  forgot  (bits per byte, means of five seeds)"
)
for arm in lora_ranks.JOB.arms:
    n = study.values(arm, "n_trained")[0]
    learned = (
        study.mean(arm, "before_target").value - study.mean(arm, "end_target").value
    )
    forgot = (
        study.mean(arm, "end_source").value - study.mean(arm, "before_source").value
    )
    print(f"{arm:16}{n:9,}{learned:10.3f}{forgot:8.3f}")

# %%
for rank in (1, 4, 16):
    d = study.difference(f"far_lora_{rank}", "far_full", "end_target")
    print(
        f"rank {rank:2} minus full, code:    {d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"
    )
for arm, against in (
    ("far_qv", "far_lora_4"),
    ("far_dora_4", "far_lora_4"),
    ("far_rs_16", "far_lora_16"),
):
    d = study.difference(arm, against, "end_target")
    print(f"{arm} minus {against}: {d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]")

# %% [markdown]
# **Which matrices?** `qv` spends on queries and values alone what `lora_4` spends on all seven matrices. The original paper adapted $W_q$ and $W_v$;
# later work, and the table above, spread the same number of parameters over all of them.
#
# **Forgetting.** The article says that training few parameters mitigates forgetting.

# %% tags=["label-forgetting"]
rise = {
    arm: [
        e - b
        for e, b in zip(
            study.values(arm, "end_source"), study.values(arm, "before_source")
        )
    ]
    for arm in ("far_lora_16", "far_full")
}
f = study.difference(
    "far_lora_16", "far_full", "end_source"
)  # the start is the same: it cancels
print(
    f"forgotten, rank 16 minus full: {f.value:+.3f} [{f.low:+.3f}, {f.high:+.3f}]"
)
claim("PEF-011", f.value, f)

# %% [markdown]
# But whoever learns less will forget less; doing nothing forgets nothing. The fair question is what is forgotten *for what is learned*. Full
# fine-tuning passes through every amount of learning on its way.

# %% tags=["label-tradeoff"]
fig, ax = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
for arm, style in (
    ("far_full", "o-"),
    ("far_lora_1", "v--"),
    ("far_lora_4", "s--"),
    ("far_lora_16", "^--"),
    ("far_last", "x:"),
):
    target = [
        study.mean(arm, f"target_{i}").value
        for i in range(1, lora_ranks.N_POINTS + 1)
    ]
    source = [
        study.mean(arm, f"source_{i}").value
        for i in range(1, lora_ranks.N_POINTS + 1)
    ]
    ax.plot(target, source, style, label=arm.removeprefix("far_"))
ax.invert_xaxis()
ax.set(
    xlabel="bits per byte on code (learning to the right)",
    ylabel="on stories (forgetting upwards)",
)
ax.legend()
show(
    fig,
    alt="Bits per byte on stories against bits per byte on code along the training of five ways.",
)

# %% [markdown]
# **What you should see.** (To be written when the records are in: do the curves of LoRA lie below that of full fine-tuning at the same learning,
# or on it? Biderman et al., section 4.3, ask the same question of 7B models.)

# %% [markdown]
# ## 6 Merging: no price at inference (8 min)
#
# A product of two thin matrices is a matrix of the shape of $W$. So after training we can add it, once:
# $W' = W + \tfrac{\alpha}{r} B A$. The article says that *most* methods of this kind slow inference down. Count what torch does for one token.

# %%
from torch.utils._python_dispatch import TorchDispatchMode


class Counter(TorchDispatchMode):
    n = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.n += 1
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def n_operations(model):
    with Counter() as counter:
        model(text[:, :1])
    return counter.n


# %% tags=["label-operations"]
one = ft.fold_adapters(copy.deepcopy(lora))
merged = copy.deepcopy(lora)
ft.merge_adapters(merged)
counts = {"base": model, "beside": lora, "merged": merged, "folded": one}
counts = {name: n_operations(m) for name, m in counts.items()}
print(counts)
claim("PEF-009", counts["folded"] - counts["base"])

# %% [markdown]
# The sentence is right for adapters, prompts and prefixes (lesson 32) and wrong for LoRA. Another sentence of the article, that
# Alpaca-LoRA works "by adding extra network layers", describes adapters. LoRA corrects matrices that are there:

# %%
same_parts = [type(m) for m in one.modules()] == [type(m) for m in model.modules()]
same_shapes = {n: p.shape for n, p in one.named_parameters()} == {
    n: p.shape for n, p in model.named_parameters()
}
claim("PEF-014", not (same_parts and same_shapes))

# %% [markdown]
# **Two ways to take it out again.** Subtracting the update leaves a rounding. We keep the old matrix while merged, so that unmerging gives every
# bit back. In 16 bits there is a trap: an update that is much smaller than the weight is rounded away *while it is added*.

# %% tags=["nbval-ignore-output", "label-lost"]
ft.unmerge_adapters(merged)
assert all(
    torch.equal(a, b)
    for a, b in zip(merged.state_dict().values(), lora.state_dict().values())
)
layer = lora_layers(lora)["blocks.1.attention.q"]
W, update = layer.base.weight.detach(), layer.adapters["default"].update().detach()
for shrink in (1, 10, 100):
    small = update / shrink
    moved = (W.bfloat16() + small.bfloat16()) != W.bfloat16()
    print(
        f"an update 1/{shrink:<3} as large: {moved.float().mean():4.0%} of the bfloat16 weights change"
    )

# %% [markdown]
# ## 7 Many adapters, one base (6 min)
#
# An adapter is a thousandth of a model. One base in memory can serve a hundred of them, and even one batch can hold rows for different ones:
# each row asks its own adapter, the large products are shared (the idea of Punica and S-LoRA).

# %%
apply_lora(lora, ("q", "v"), rank=2, name="other")
for name, param in ft.adapter_parameters(lora, "other").items():
    torch.nn.init.normal_(param, std=0.1)
rows = text.repeat(3, 1)
with torch.no_grad(), ft.by_row(lora, ["default", "other", None]):
    together = lora(rows)
with torch.no_grad():
    for row, name in enumerate(("default", "other", ())):
        with ft.using(lora, name):
            assert torch.allclose(together[row], lora(text)[0], atol=1e-4)
print("three rows, three models, one pass")

# %% [markdown]
# `using(model, ())` gives the base back for a moment. Lesson 34 needs exactly this: a reference model that costs no memory. Adapters can also speak
# together, `activate(model, {"default": 0.5, "other": 0.5})`: their updates add up. What that *means* no theorem says.

# %% [markdown]
# ## 8 What LoRA saves, and what not (8 min)
#
# With AdamW in float32 each trained number costs 16 bytes: weight, gradient, $m$, $v$. A frozen one costs the weight, in any format.
#
# **Predict, then run.** LLaMA-7B, one row of 512 tokens, LoRA of rank 8 on q and v: by what factor does the memory shrink? And the activations?
#
# <details><summary>Answer</summary>Weights, gradients and moments shrink from 108 GB to 27, or to 4 with a base in four bits. The activations shrink by a third
# only: the chain rule still passes through every layer.</details>

# %% tags=["label-ledger"]
ledgers = {
    "full, float32": memory_ledger(llama, 1, 512),
    "LoRA, float32 base": lora_ledger(llama, ("q", "v"), 8, 1, 512),
    "LoRA, bfloat16 base": lora_ledger(
        llama, ("q", "v"), 8, 1, 512, bytes_per_weight=2, bytes_per_activation=2
    ),
    "QLoRA, NF4 base": lora_ledger(
        llama,
        ("q", "v"),
        8,
        1,
        512,
        bytes_per_weight=2,
        bytes_per_matrix=0.516,
        bytes_per_activation=2,
    ),
}
print("GB                     weights  gradients  optimizer  activations  total")
for name, m in ledgers.items():
    parts = (
        m.parameters,
        m.gradients,
        m.optimizer,
        m.activations + m.loss,
        m.total,
    )
    print(f"{name:22}" + "".join(f"{p / 1e9:10.2f}" for p in parts))

# %% [markdown]
# The ledger is held to the live tensors of a real step within 1 % in the package's tests. Its lesson: LoRA makes gradients and optimizer
# vanish, then the *weights* dominate (hence four bits, lesson 32), and for long texts the *activations* do (hence recomputation, lesson 22a).

# %% [markdown]
# ## 9 New words for the new domain (8 min)
#
# The tokenizer never saw code either. Lesson 07b extended a vocabulary; here it is done live, in the two stages of Chinese-LLaMA: first only
# the table and the output matrix learn (all else is frozen), then LoRA on all matrices, with the table still free.

# %% tags=["nbval-ignore-output", "label-extension"]
longer, rows_new = extend_tokenizer(
    tokenizer, code[n_test:], 256, max_token_bytes=12
)
grown = extend_model(model, rows_new, "mean")
new_ids = stream(code[n_test:], longer.encode, END)
print(
    f"{len(ids):,} tokens become {len(new_ids):,}:",
    [longer.decode([tokenizer.vocab_size + i]) for i in range(6)],
)
grown.requires_grad_(False)
grown.embedding.requires_grad_(True), grown.head.requires_grad_(True)
grown = tune(grown, 3e-3, ids=new_ids, steps=15)
apply_lora(grown, "all", rank=8, alpha=16)
grown.embedding.requires_grad_(True), grown.head.requires_grad_(True)
grown = tune(grown, 3e-3, ids=new_ids, steps=25)
print({kind: round(bits(grown, kind, longer), 2) for kind in tests})

# %% [markdown]
# Fewer tokens for the same text means more text in the same 40 steps. Bits per *byte* makes the two comparable.

# %% [markdown]
# ## 10 The file, and DoRA in a page (7 min)
#
# An adapter is saved as Hugging Face's `peft` saves it. Then `PeftModel.from_pretrained` loads it beside a LLaMA of `transformers`, and our
# `load_adapter` loads theirs; tests hold the logits equal in both directions.

# %%
folder = Path(tempfile.mkdtemp())
ft.save_adapter(lora, folder)
settings = json.loads((folder / "adapter_config.json").read_text())
print(
    {
        key: settings[key]
        for key in ("peft_type", "r", "lora_alpha", "target_modules")
    }
)
for name, tensor in sorted(load_file(folder / "adapter_model.safetensors").items())[
    :2
]:
    print(name, tuple(tensor.shape))

# %% [markdown]
# **DoRA** (weight-decomposed LoRA) splits every row of $W$ into a length and a direction, learns the length as a number of its own and turns the
# direction by LoRA:
#
# $$W' = \mathbf m \odot \frac{W + \tfrac{\alpha}{r} B A}{\lVert W + \tfrac{\alpha}{r} B A \rVert_{\text{row}}}, \qquad \mathbf m_0 = \lVert W \rVert_{\text{row}} .$$
#
# At the start the fraction times $\mathbf m$ is $W$ again. The length below the bar is treated as a constant in the backward pass. It costs one number
# more an output, and a pass over the whole matrix in every step.

# %%
turned = ft.DoRALinear(torch.nn.Linear(6, 5, bias=False, dtype=f64), 2, 4.0)
adapter = turned.adapters["default"]
torch.nn.init.normal_(adapter.b)
rows_before, rows_after = turned.base.weight.norm(dim=1), turned.weight.norm(dim=1)
assert torch.allclose(rows_before, rows_after)
print("B and A have turned the rows; their lengths are those of W until m moves")

# %% [markdown]
# ## At scale
#
# | model | method | trained | what was found |
# |---|---|---|---|
# | GPT-3 175B | LoRA, r = 1 on q, v | 4.7 M | as good as full fine-tuning on three tasks (Hu et al. 2021, table 4) |
# | LLaMA-2-7B | LoRA, r = 16 to 256, code and maths | | learns less and forgets less; updates of full fine-tuning have 10 to 100 times the rank (Biderman et al. 2024) |
# | LLaMA-7B | Alpaca-LoRA, r = 8 on q, v | 4.2 M | "about 20 minutes" (PEF-015: needs a GPU; not tested here) |
#
# *(Facts of this table to be re-read in the papers before printing.)*
#
# ## Common mistakes
#
# | what one sees | why | remedy |
# |---|---|---|
# | nothing is learned at all | A and B both start at zero | one of them random |
# | the loss jumps in step 1 | B does not start at zero | B = 0 |
# | memory as in full fine-tuning | optimizer built before freezing | `apply_lora` first, then the optimizer |
# | a merged model is saved, loaded with adapters, and is wrong | the update counts twice | fold, or unmerge before saving; `state_dict` refuses here |
# | another base under the adapter: nonsense | A and B correct *that* W | keep the base's hash beside the file |
# | r doubled, "no effect" | α/r halved the scale, or the learning rate is the limit | tune the rate again |
# | generation is slow | adapters beside, not inside | fold before serving |
# | a new vocabulary is not saved with the adapter | tables are no low-rank updates | save the tables, too (`modules_to_save` in peft) |
#
# ## Recap
#
# - A full fine-tune moves every number, but along few directions compared with chance; cut afterwards to a few, it keeps most of its gain.
# - LoRA: $W + \tfrac\alpha r BA$, with $B = 0$ at the start; the first step moves $B$ alone.
# - α/r keeps Adam's first step equal over ranks, α/√r the size of a finished correction.
# - It saves gradients and optimizer, not activations, and costs nothing at inference once it is folded in.
# - It learns less on a far domain and forgets less; compare at equal learning.
#
# **Questions.** 1. Why may not both matrices start at zero? 2. Why is a frozen layer cheaper in the backward pass, and by how much? 3. Which
# activations does LoRA on q and v not keep? 4. What does rsLoRA keep equal? 5. Why is subtracting the update no exact way to unmerge?
# 6. What must travel with an adapter file? 7. Why is "LoRA forgets less" an unfair comparison as it stands?
#
# <details><summary>Answers</summary>1. Each gradient has the other matrix as a factor. 2. The product for the gradient of W is left out: one of two
# products of the backward pass, a third of the step. 3. The inputs of all other matrices: half of what the feed-forward layers keep at most. 4. The
# size of a random correction and of SGD's first step. 5. Rounding. 6. Which base, rank, α, places, variant. 7. It also learns less.</details>

# %% [markdown]
# ## Homework (45 min, after the lesson)
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
def correction(solve):
    def found(before, after, r, alpha):
        a, b = solve(before, after, r, alpha)
        assert a.shape == (r, before.shape[1]) and b.shape == (before.shape[0], r)
        adapter = LowRank(a.shape[1], b.shape[0], r, alpha, dtype=a.dtype)
        adapter.a.data, adapter.b.data = a, b
        return adapter.update().detach()

    found.__name__ = solve.__name__
    return found


def nearest(before, after, r, alpha):
    u, s, vt = torch.linalg.svd(after - before)
    return (u[:, :r] * s[:r]) @ vt[:r]


cases = [
    (torch.randn(5, 7, dtype=f64), torch.randn(5, 7, dtype=f64), r, a)
    for r, a in ((1, 2.0), (3, 16.0))
]
check(correction(extract), nearest, cases)

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


cases = [
    tuple(torch.randn(*shape, dtype=f64) for shape in ((5, 7), (r, 7), (5, r)))
    + (s,)
    for r, s in ((1, 2.0), (3, 0.5))
]
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
def facts(solve):
    def told(W, r, scale):
        rest, a, b = solve(W, r, scale)
        strongest = torch.linalg.svdvals(scale * b @ a)[:r]
        return (
            rest + scale * b @ a,
            strongest,
            torch.linalg.svdvals(rest)[0],
            b.norm(dim=0) - a.norm(dim=1),
        )

    told.__name__ = solve.__name__
    return told


def pissa_facts(W, r, scale):
    s = torch.linalg.svdvals(W)
    return W, s[:r], s[r], torch.zeros(r, dtype=W.dtype)


check(
    facts(pissa),
    pissa_facts,
    [
        (torch.randn(6, 8, dtype=f64), r, s)
        for r, s in ((1, 1.0), (3, 2.0), (4, 0.25))
    ],
)

# %% [markdown]
# ### Exercise 4 · What merging in 16 bits loses (6 min, ★★☆)
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


cases = [
    (
        torch.randn(9, 9).bfloat16(),
        torch.randn(9, 9) * scale * (torch.rand(9, 9) < 0.7),
    )
    for scale in (1e-3, 1e-2)
]
cases.append((torch.ones(2, 2).bfloat16(), torch.zeros(2, 2)))
check(lost_share, lost_by_loop, cases)

# %% [markdown]
# ### Exercise 5 · A budget (6 min, ★☆☆)
#
# Given a list of matrix shapes `(O, I)` and a budget of numbers, return the largest rank that adapters on all of them can have without exceeding the budget
# (0 if not even 1 fits), never more than the smallest side of any of the matrices.


# %% tags=["exercise"]
def largest_rank(shapes, budget):
    # BEGIN SOLUTION
    each = sum(O + I for O, I in shapes)
    return min(budget // each, min(min(shape) for shape in shapes))
    # END SOLUTION


# %% tags=["check"]
def rank_by_search(shapes, budget):
    r = 0
    while (
        r < min(map(min, shapes))
        and sum((r + 1) * (O + I) for O, I in shapes) <= budget
    ):
        r += 1
    return r


check(
    largest_rank,
    rank_by_search,
    [([(8, 8), (8, 4)], b) for b in (0, 27, 28, 84, 112, 10_000)],
)

# %% [markdown]
# **Sources.** Hu et al. 2021, LoRA, arXiv:2106.09685: the method (section 4), which matrices and which rank (section 7). · Kalajdzievski 2023, rsLoRA,
# arXiv:2312.03732: the scale for high ranks. · Liu et al. 2024, DoRA, arXiv:2402.09353: equation 5 and section 4.3. · Biderman et al. 2024, LoRA Learns Less and
# Forgets Less, arXiv:2405.09673: the comparison at 7B (sections 4.2, 4.3 and 4.5). · Chen et al. 2023, Punica, arXiv:2310.18547, and Sheng et al. 2023, S-LoRA, arXiv:2311.03285:
# many adapters in one batch. · Meng et al. 2024, PiSSA, arXiv:2404.02948. · Cui et al. 2023, Chinese-LLaMA, arXiv:2304.08177: two stages.
#
# **Next:** [32 Nine other ways](32_peft.ipynb)

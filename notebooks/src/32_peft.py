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
# # 32 Small changes: which numbers should be trained when most of the model stands still?
#
# 75 min · CPU · 25 s · 1 GB · needs [31 LoRA](31_lora.ipynb) · code: `minillm/finetune/`
#
# LoRA adds a thin matrix beside a matrix. It is one member of a family, **parameter-efficient fine-tuning**
# (参数高效微调, PEFT): freeze the model, add a few numbers somewhere, train those. The members differ in
# *where* they add: to the input, to the keys and values, behind a layer, on a layer, beside a matrix.
#
# After this lesson you can
#
# 1. write prompt tuning, prefix tuning, P-tuning, adapters, (IA)³ and BitFit, and count what each trains;
# 2. show that a prompt of words is a prefix, and that the networks over a prompt can be thrown away;
# 3. hand out a budget of ranks by worth, as AdaLoRA does;
# 4. derive the 16 levels of NF4, and say what QLoRA keeps in memory and what it pays;
# 5. compare thirteen methods fairly, and say which worries about them are right.

# %% tags=["setup"]
import copy
import math
from statistics import NormalDist

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional as F

from minillm import finetune as ft
from minillm.data.storyworld import make_corpus
from minillm.evaluate import paired_difference
from minillm.finetune.prefixed import PrefixCache
from minillm.lesson import check, claim, setup, show
from minillm.model import attention_weights, count_parameters, presets
from minillm.model.layers import Linear
from minillm.recipes import base, code_task, peft_arms
from minillm.recipes.records import read_results
from minillm.recipes.studies import peft_compared, prefix_rates, prompt_sizes

setup(seed=32)
BASE = "tiny"
f64 = torch.float64
model, tokenizer = base(BASE)
text = make_corpus(1, 1, "en")[0]
ids = torch.tensor([tokenizer.encode(text)[:48]])

# %% [markdown]
# ## 1 What is saved (6 min)
#
# Training keeps more than weights: for every number that moves there are its gradient and Adam's two means, and in
# practice 16 bytes in all (lesson 22a). A number that stands still costs 2 bytes in bfloat16. So the size of the *moving* part decides.
#
# **Predict, then run.** LLaMA-7B takes 108 GB when all of it is trained. How much does it take when LoRA of rank 8 trains 0.06 % of it?
# And what has to be stored for each further task?
#
# <details><summary>Answer</summary>About 13.5 GB, nearly all of it the frozen model. A task is 8 MB instead of 13 GB: that, as much as
# the memory, is why one server can hold hundreds of tasks.</details>

# %% tags=["label-memory"]
llama = presets.llama_7b()
n, few = count_parameters(llama), ft.count_trained("lora", llama, 8)
ways = {
    "all of it": ft.training_bytes(0, n),
    "rank 8 on q and v": ft.training_bytes(n, few),
    "the same, 4 bits": ft.training_bytes(n, few, bits_frozen=ft.nf4_bits()),
}
for name, size in ways.items():
    print(f"{name:18}{size / 1e9:6.1f} GB, without activations")
print(f"a task: {2 * few / 1e6:.1f} MB instead of {2 * n / 1e9:.1f} GB")

# %% [markdown]
# What is *not* saved is nearly all of the time: the forward pass is the same, and in the backward pass the
# gradient must still travel down through all layers. Only the products that give gradients of the weights are left out, a third of the
# work.

# %%
assert round(ways["all of it"] / 1e9) == 108
assert 13 < ways["rank 8 on q and v"] / 1e9 < 14
assert round(100 * few / n, 2) == 0.06
frozen = 2 + 2  # forward, and back to the inputs; the third pair is for the weights
print(f"work of a step: {frozen / 6:.0%} of full fine-tuning")

# %% [markdown]
# ## 2 A prompt made of numbers (13 min)
#
# Whoever writes a prompt looks for words that put the model in the right mood. Words are rows of the embedding table, and the model never
# sees anything but these rows. So why search among 6 144 rows and not among *all* vectors? **Prompt tuning** (提示微调, Lester et al.
# 2021) puts $P$ free vectors of width $D$, a **soft prompt** (软提示), before every text and trains them by gradient:
#
# $$[\,e_1, \dots, e_P,\; x_1, \dots, x_T\,],\qquad \text{trained: } P\cdot D \text{ numbers.}$$
#
# The package adds them from outside; the model's code is untouched. First a test of the test: if the vectors are those of real words,
# the model must say what it says behind these words.

# %%
words = torch.tensor(tokenizer.encode("Once upon a time"))
prompted = ft.add_prompt(model, len(words), start=words)
with torch.no_grad():
    told = model(torch.cat([words[None], ids], dim=1))[:, len(words) :]
    same = (prompted(ids) - told).abs().max()
    heard = (prompted(ids) - model(ids)).abs().max()
assert same < 1e-4 < heard
trained = ft.count_trainable(prompted)
print(f"a prompt of {len(words)} words is those words; {trained} numbers train")

# %% [markdown]
# How it works inside is worth a look, because the next section needs it. A prompt acts on later tokens through one
# door only: **attention**. Each layer makes keys and values of the prompt's positions, and later tokens look at them. No later token can
# change them: the model is causal. So the whole effect of a prompt is a list of keys and values, which could be computed once and kept in the cache
# (lesson 16a): $2LPKH$ numbers for $L$ layers with $K$ key heads of width $H$.

# %%
with torch.no_grad():
    keys, values = prompted.keys_values()
L, K, H = (
    len(model.blocks),
    model.config.attention.key_heads,
    model.config.head_width,
)
assert keys.shape == values.shape == (L, K, len(words), H)
print(
    "keys of the prompt:", tuple(keys.shape), "in layers, heads, positions, width"
)

# %% [markdown]
# For one head by hand: put the prefix's keys in front of the text's, and do what attention always does. The queries are those of
# the text alone.

# %%
q, k, v = torch.randn(3, 1, 1, 5, 8, dtype=f64)  # 5 positions of one head
pk, pv = torch.randn(2, 1, 1, 3, 8, dtype=f64)  # a prefix of 3
out, weights = attention_weights(
    q, torch.cat([pk, k], dim=2), torch.cat([pv, v], dim=2), causal=True
)
print("weights", tuple(weights.shape[2:]), "= text x (prefix + text)")
assert (weights[0, 0, 0, 4:] == 0).all()  # the first token: prefix and itself
share = weights[..., :3].sum(dim=-1)  # of the attention that goes to the prefix

# %% [markdown]
# The output splits in two: $\text{out} = s\cdot\text{(what the prefix says)} + (1-s)\cdot\text{(what the text says)}$, where $s$ is the share of
# attention that the prefix draws. We check it; it also says what a prefix cannot do in its layer: *change how the tokens of the text look at each other*. It draws
# attention away from all of them alike.

# %%
alone, _ = attention_weights(q, k, v, causal=True)
prefix_says = (weights[..., :3] / share[..., None]) @ pv
mixed = share[..., None] * prefix_says + (1 - share[..., None]) * alone
assert (out - mixed).abs().max() < 1e-12
print("attention with a prefix = a mixture of two answers")

# %% [markdown]
# **P-tuning** (Liu et al. 2021) says that free vectors are hard to train one by one: nothing ties them together. It makes them with a small
# network from $P$ other vectors: an MLP, or an LSTM and then an MLP. The network is scaffolding: once trained, its $P$ outputs
# are all that is needed.
#
# > *Taken on trust:* an **LSTM** is a layer of the time before attention. It reads the vectors one after the other and carries a memory along, here once
# > from the left and once from the right. This course does not use it anywhere else.

# %% tags=["label-ptuning"]
kept = {}
for kind in ("mlp", "lstm"):
    torch.manual_seed(2)
    tuned = ft.add_prompt(copy.deepcopy(model).double(), 8, encoder=kind)
    plain = ft.add_prompt(tuned.base(), 8, start=tuned.source.prompt().detach())
    with torch.no_grad():
        kept[kind] = (tuned(ids) - plain(ids)).abs().max().item() < 1e-9
    trained, stays = ft.count_trainable(tuned), ft.count_trainable(plain)
    print(f"{kind:5} trains {trained:8,}, keeps {stays:,}")
claim("PEF-005", all(kept.values()))

# %% [markdown]
# **How few numbers are that?** The article that we follow says that prompt tuning and P-tuning train "0.1 %" of a model, and that P-tuning v2 (next section) raises this to 0.1 to 3 %. The
# paper itself (section 3.2) says *0.01 %* for the first. Count: GPT-2 medium has the width and depth of BERT-large, on which the paper works.

# %%
medium = presets.gpt2_355m()
total = count_parameters(medium)
for P in (20, 100):
    shallow, deep = (
        ft.count_trained(m, medium, P) / total for m in ("prompt", "prefix")
    )
    print(f"{P:4} tokens: {shallow:.3%} at the input, {deep:.2%} in every layer")
most = ft.count_trained("prompt", medium, 100) / total
claim("PEF-001", most >= 0.001)

# %% [markdown]
# ## 3 A prefix in every layer (12 min)
#
# If all that counts is keys and values, train *them*, in every layer: **prefix tuning** (前缀微调, Li and Liang 2021), $2LPKH$ numbers instead of
# $PD$. A prompt can reach only those keys and values that the frozen layers make of some vector; a prefix can reach all.
#
# Li and Liang found free prefixes hard to train and wrote them by an MLP from $P$ small vectors; afterwards the MLP goes. **P-tuning v2** (Liu et al. 2021) is
# the same idea for understanding tasks, usually without the MLP. In code one line tells them apart:

# %% tags=["label-prefix"]
double = copy.deepcopy(model).double()
torch.manual_seed(3)
with_mlp = ft.add_prefix(double, 8, width=64)  # prefix tuning
free = ft.add_prefix(with_mlp.base(), 8)  # P-tuning v2
for name, one in (("prefix tuning", with_mlp), ("P-tuning v2", free)):
    print(f"{name:14} trains {ft.count_trainable(one):7,} numbers")

# %% [markdown]
# And the MLP can be thrown away: `materialise` computes the prefix once.

# %%
small = ft.materialise(with_mlp)
with torch.no_grad():
    difference = (small(ids) - with_mlp(ids)).abs().max().item()
assert ft.count_trainable(small) == 2 * L * 8 * K * H
claim("PEF-002", difference)

# %% [markdown]
# Now the share of real models, at usual sizes: 100 tokens, rank 8 on q and v, adapters of width 64 (two a block, see the next section).

# %% tags=["label-real"]
real = {
    "GPT-2 medium": medium,
    "LLaMA-7B": llama,
    "Qwen2-7B": presets.qwen2_7b(),
    "LLaMA-2-70B": presets.llama2_70b(),
}
usual = {"prompt": 100, "prefix": 100, "lora": 8, "houlsby": 64}
usual |= {"ia3": None, "bitfit": None}
print(" " * 14 + "".join(f"{method:>9}" for method in usual))
for name, config in real.items():
    of = [ft.count_trained(m, config, size) for m, size in usual.items()]
    shares = [count / count_parameters(config) for count in of]
    print(f"{name:14}" + "".join(f"{share:9.3%}" for share in shares))
    assert shares[0] < 0.001 and max(shares) < 0.03  # prompts below the band

# %% [markdown]
# Grouped key heads (the last two models) make a prefix cheap. Each method but the last two has one knob: tokens, width or rank. How far does it reach in LLaMA-7B?

# %% tags=["label-shares"]
knobs = {
    "prompt": (5, 100),
    "prefix": (5, 100),
    "pfeiffer": (4, 256),
    "houlsby": (4, 256),
}
knobs |= {
    "lora": (1, 64),
    "adalora": (1, 64),
    "ia3": (None, None),
    "bitfit": (None, None),
}
fig, ax = plt.subplots(figsize=(6, 2.9), layout="constrained")
ax.axvspan(0.1, 3, alpha=0.15, color="gray", lw=0)
for row, (method, ends) in enumerate(knobs.items()):
    low, high = (100 * ft.count_trained(method, llama, e) / n for e in ends)
    ax.plot([low, high], [row, row], "o-", lw=3)
ax.set_yticks(range(len(knobs)), list(knobs))
ax.set(xscale="log", xlabel="trained, % of LLaMA-7B", xlim=(1e-4, 10))
alt = (
    "Share of LLaMA-7B that each method trains, on a log axis. Prompts lie between "
)
alt += (
    "0.0003 and 0.006 percent, prefixes and LoRA between 0.01 and 0.5, adapters up "
)
alt += "to 2; a grey band marks 0.1 to 3 percent."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** The grey band is the article's "0.1 to 3 %". Prompts at the input never reach it; long prefixes, high ranks and wide adapters lie in it, short and thin ones below.
# (IA)³ and BitFit are points: they have no knob.
#
# ## 4 Behind a layer, on a layer (9 min)
#
# **Adapters** (适配器, Houlsby et al. 2019) are the oldest of the family. Behind attention and behind the feed-forward layer sits a bottleneck with a way around it:
#
# $$h \;\mapsto\; h + W_{\text{up}}\,\operatorname{gelu}(W_{\text{down}}\,h).$$
#
# Pfeiffer et al. (2020) keep only the second of the two. $W_{\text{up}}$ starts at zero here, so that nothing happens at first. **Predict, then run**: nothing to the last bit, or nearly nothing?

# %%
with_adapters = ft.add_adapters(copy.deepcopy(model), 8)
with torch.no_grad():
    claim("PEF-007", (with_adapters(ids) - model(ids)).abs().max().item())

# %% [markdown]
# **(IA)³** (Liu et al. 2022) only stretches: each coordinate of keys, values and inner activations gets a factor, 1 at the start. A factor on the output of a matrix is a factor on its
# rows, so it can be *merged*: afterwards the model has its old shape. An adapter cannot; its curve stands between.

# %%
stretched = ft.add_ia3(copy.deepcopy(model))
with torch.no_grad():
    for name, p in stretched.named_parameters():
        if p.requires_grad:
            p.normal_(mean=1.0, std=0.1)
    before = stretched(ids)
    merged = ft.merge_ia3(stretched)
    assert (merged(ids) - before).abs().max() < 1e-3
print(
    "merged: the same output from",
    {type(m).__name__ for m in merged.blocks[0].attention.children()},
)

# %% [markdown]
# **BitFit** (Ben Zaken et al. 2021) trains the biases and nothing else. Try it on a modern model:

# %% tags=["raises-exception"]
ft.only_biases(copy.deepcopy(model))

# %% [markdown]
# There are none. LLaMA and its heirs dropped the biases; BitFit belongs to BERT, GPT-2 and (for q, k, v) Qwen2. `add=True` gives each matrix one, zero at the start; so it enters the table below.
#
# ## 5 A budget of ranks (10 min)
#
# LoRA gives every matrix the same rank. **AdaLoRA** (Zhang et al. 2023) lets matrices compete. It writes the update like a singular value decomposition
# (奇异值分解), $\Delta = P\,\operatorname{diag}(\lambda)\,Q$, begins with too many ranks, and sets the least useful $\lambda_i$ to zero as training goes on.
#
# *How useful?* If a number $w$ were set to 0, the loss would change by about $|w\cdot\partial\ell/\partial w|$ (the first term of a Taylor series). One batch says little, so AdaLoRA takes a running mean $\bar I$, and multiplies it by
# a running mean of its deviations $\bar U$: large *and* uncertain is kept. A triplet ($\lambda_i$, its column of $P$, its row of $Q$) is worth the score of its $\lambda_i$ plus the mean scores in the column and the row.
#
# *How many?* A schedule: all ranks during a warm-up, then a cubic fall to the target, then none are exchanged any more.

# %% tags=["label-budget"]
schedule = ft.RankSchedule(initial=48, target=16, total=100, warmup=15, final=30)
fig, ax = plt.subplots(figsize=(5, 2.3), layout="constrained")
ax.plot(range(1, 101), [schedule.budget(t) for t in range(1, 101)])
for place, name in ((7, "all"), (38, "falling"), (82, "fixed")):
    ax.text(place, 50, name, ha="center")
ax.set(xlabel="step", ylabel="ranks in all", ylim=(0, 56))
alt = "Ranks allowed in the whole model over 100 steps: 48 until step 15, a steep then "
alt += "flattening fall, and 16 from a little after step 50 on."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Most ranks go early, when little depends on them. $P$ and $Q$ of a cut triplet go on training, so it can come back before the last phase.
#
# Why $P$ and $Q$ should be orthogonal: only then are the $\lambda_i$ comparable. If two columns were parallel, two small $\lambda$ would do the work of one large one. The loss gets a term
# $\gamma\,(\lVert P^\top P-I\rVert^2+\lVert QQ^\top-I\rVert^2)$.
#
# Let us watch a case whose answer we know. Two matrices have to change, the first by an update of rank 3, the second by one of rank 1. Each begins with 4 triplets, and 4 of the 8 may stay. **Predict, then run**: how
# will they be shared?

# %%
torch.manual_seed(5)
layers = {
    name: ft.SVDLinear(Linear(16, 16), 4, 4.0) for name in ("first", "second")
}
pair = torch.nn.ModuleDict(layers)


def of_rank(r):  # r orthogonal directions, all of size 1
    u, v = (torch.linalg.qr(torch.randn(16, 16))[0] for _ in range(2))
    return u[:, :r] @ v[:r]


wanted = {
    name: layers[name].base.weight.detach() + of_rank(r)
    for name, r in (("first", 3), ("second", 1))
}

# %%
adam = torch.optim.Adam(
    [p for name, p in pair.named_parameters() if "base" not in name], lr=0.05
)
schedule = ft.RankSchedule(initial=8, target=4, total=200, warmup=60, final=60)
allocator = ft.RankAllocator(pair, schedule)
for step in range(1, 201):
    x, noise = torch.randn(2, 32, 16)
    wrong = (pair[n](x) - x @ w.T - 0.3 * noise for n, w in wanted.items())
    loss = sum(gap.square().mean() for gap in wrong)
    (loss + 0.1 * sum(layer.penalty() for layer in layers.values())).backward()
    adam.step()
    allocator.after_update()
    adam.zero_grad()
    if step in (60, 80, 120, 200):
        print(f"step {step:3}: ranks left {allocator.ranks()}")
assert allocator.ranks() == {"first": 3, "second": 1}

# %% [markdown]
# Nobody told the layers. The noise in the targets is there on purpose: worth is $|w\,g|$, and once everything fits without noise, all gradients vanish and the worth with them.
#
# ## 6 QLoRA: the frozen part in four bits (13 min)
#
# The frozen model is now nearly all of the memory. It is only *read*. So it may be kept coarsely: **quantisation** (量化) stores, instead of a number, the index of the nearest one of a few levels. **QLoRA** (Dettmers et al. 2023) takes 4 bits a weight, that is 16 levels, and cuts each matrix
# into blocks of 64 weights, divided by the block's largest absolute value, so that all lie between −1 and 1. Which 16 levels?
#
# Look at the weights first, one matrix of our model:

# %% tags=["nbval-ignore-output", "label-normal"]
weight = model.blocks[1].feedforward.up.weight.detach()
blocks = weight.flatten()[: weight.numel() // 64 * 64].view(-1, 64)
unit = blocks / blocks.abs().amax(dim=1, keepdim=True)
z = weight / weight.std()
for edge in (1, 2, 3):
    measured, normal = (
        (z.abs() < edge).float().mean(),
        2 * NormalDist().cdf(edge) - 1,
    )
    print(f"within {edge} spreads: {measured:.1%}, if normal {normal:.1%}")
assert abs((z.abs() < 1).float().mean() - 0.683) < 0.08

# %% [markdown]
# Nearly **normal** (正态分布). Even levels from −1 to 1 would lie mostly where no weight is. Put levels at **quantiles** (分位数) instead, so that about equally many weights go to each. Two wishes complicate it: 0 must be
# a level (a zero weight, and padding, should stay zero), and 16 is an even number. So 7 levels lie below 0 and 8 above:

# %%
normal = NormalDist()
delta = (1 / 32 + 1 / 30) / 2  # where to stop: the last quantile would be infinite
right = [normal.inv_cdf(p) for p in np.linspace(0.5, 1 - delta, 9)]
left = [-normal.inv_cdf(p) for p in np.linspace(0.5, 1 - delta, 8)]
levels = torch.tensor(sorted(left[1:] + right)) / right[-1]
assert len(levels) == 16 and levels[7] == 0
assert (levels - ft.normal_float_levels()).abs().max() < 1e-6
print("NF4:", [round(x, 3) for x in levels.tolist()])

# %% [markdown]
# That is **NF4** (4-bit NormalFloat, 4 位正态浮点), to six digits the table in appendix E of the paper. Where the $\delta$ comes from the paper does not say. With 16 equal bins the middle of the last lies 1/32 from the end, with
# 15 bins 1/30; the released code takes their mean.

# %% tags=["label-levels"]
even = torch.linspace(-1, 1, 16)
fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
ax.hist(unit.flatten().numpy(), bins=80, color="lightgray", density=True)
for height, (name, at), mark in zip(
    (0.25, 0.1), (("NF4", levels), ("even", even)), "ov"
):
    ax.plot(at, torch.full_like(at, height), mark, label=name)
ax.set(xlabel="weight / largest of its block", ylabel="density")
ax.legend()
alt = (
    "Histogram of the scaled weights, a bell with two thin peaks at -1 and 1, and "
)
alt += "two rows of 16 marks: NF4's levels crowd near 0, the even ones do not."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** NF4's levels stand close where the weights are. The thin peaks at the ends are the largest weights themselves, one in each block. They are why "information-theoretically optimal", the paper's word, cannot be quite
# right: what is in a block depends on its size (Yoshida 2023). How evenly are the 16 codes used, and is the error smaller?


# %% tags=["nbval-ignore-output", "label-error"]
def nearest(unit, levels):
    code = (unit[..., None] - levels).abs().argmin(dim=-1)
    return code, (levels[code] - unit).square().mean().sqrt().item()


for name, at in (("even", even), ("NF4", levels)):
    code, error = nearest(unit, at)
    used = torch.bincount(code.flatten(), minlength=16) / code.numel()
    entropy = -(used * used.clamp(min=1e-9).log2()).sum()
    print(
        f"{name:5} error {error:.4f}, rarest code {used.min():.1%}, "
        f"{entropy:.2f} bits used of 4"
    )
assert nearest(unit, levels)[1] < nearest(unit, even)[1]

# %% [markdown]
# **Double quantisation** (双重量化). Each block needs its scale $c$: 32 bits for 64 weights, half a bit a weight, an eighth of the whole. The scales are numbers like others, so quantise them, too: subtract their mean, cut
# them into blocks of 256, and round to 8-bit floats. Bits a weight:
#
# $$4+\frac{32}{64}=4.5\qquad\longrightarrow\qquad 4+\frac{8}{64}+\frac{32}{64\cdot256}=4.127 .$$

# %% tags=["label-bits"]
big = 0.02 * torch.randn(512, 1024)
for double_too in (False, True):
    packed = ft.quantise_nf4(big, double=double_too)
    error = (ft.dequantise_nf4(packed) - big).square().mean().sqrt() / big.std()
    print(
        f"{8 * packed.n_bytes() / big.numel():.3f} bits, error {error:.4f} spreads"
    )
assert abs(ft.nf4_bits() - 4.127) < 1e-3

# %% [markdown]
# **The gradient.** Codes have no slope, and need none: they stand still. But the gradient must pass *through* the layer to what lies below, and $\partial\ell/\partial x = \partial\ell/\partial y\; W$ needs $W$ again. If autograd kept the dequantised matrix, the memory would be back. So the
# layer dequantises twice, forward and backward. That is the price: time.

# %%
layer = ft.NF4Linear(model.blocks[0].feedforward.up)
x = torch.randn(4, layer.d_in, requires_grad=True)
saved = []
with torch.autograd.graph.saved_tensors_hooks(
    lambda t: saved.append(t.numel()) or t, lambda t: t
):
    y = layer(x)
y.sum().backward()
assert torch.allclose(x.grad, layer.weight.sum(dim=0).expand(4, -1), atol=1e-5)
assert max(saved, default=0) < layer.d_in * layer.d_out
print("gradient right; numbers kept for it:", sum(saved))

# %% [markdown]
# What does it cost in quality? The whole model in four bits, loss on a text that it has not read:

# %% tags=["nbval-ignore-output", "label-quantised"]
quantised = ft.quantise_model(copy.deepcopy(model))
with torch.no_grad():
    losses = [
        F.cross_entropy(m(ids[:, :-1])[0], ids[0, 1:]).item()
        for m in (model, quantised)
    ]
print(f"nats a token: {losses[0]:.3f} before, {losses[1]:.3f} in four bits")
assert losses[1] - losses[0] < 0.5

# %% [markdown]
# ## 7 One task, one budget (12 min)
#
# Papers compare their method with others at other sizes, other steps and other rates. Here is one table where these are equal. A model of 0.1 M parameters knows by heart who in a small town has which home, trade, colour and pet, 352 facts. **The task**: answer in a code. Every
# value has another one for a name, the same for everybody; who is asked for Bado's home, which is Rome, must say "Lima". The model must use what it knows and say something else, in 32 words. It is taught on 60 people and examined on 28 others; the old answers are all wrong, and a guess among eight values is right once in eight times.

# %% tags=["nbval-ignore-output"]
seed = 6  # the recorded runs have 1 to 5
knows = code_task.speaker(seed)
lessons, exam = code_task.lesson_of(seed)
first = code_task.register(seed)[0]
print("a row:      ", " ".join(list(code_task.WORDS)[i] for i in first.ids()))
print("in the code:", " ".join(list(code_task.WORDS)[i] for i in lessons[0].ids()))
known = code_task.mark(knows, code_task.register(seed)).right
before = code_task.mark(knows, exam).right
print(f"right: {known:.0%} of the register, {before:.0%} in the code")
assert known > 0.95 and before < 0.05

# %% [markdown]
# The rules of the comparison:
#
# - *Numbers:* 2 320, or the most below it (2 % of the model). (IA)³ and BitFit have the size that they have. Networks that are thrown away do not count.
# - *Steps:* 200 of 16 questions, for all. *Rate:* for each method its own, the best on seed 101 of a ladder 0.001, 0.003, 0.01 and so on, tried until the best had worse ones on both sides.
# - *Seeds:* five; each deals out another register, code, model and order.
#
# In the table, `prefix` is P-tuning v2 and `prefix_mlp` prefix tuning; `houlsby` and `pfeiffer` are the two kinds of adapters; the numbers of the encoders of `p_tuning` and `prefix_mlp` are not kept.

# %% tags=["label-table"]
study = read_results("peft_compared")
print(
    f"{'':14}{'kept':>7}{'rate':>7}{'right, %':>11}{'nats':>12}"
    f"{'ms':>6}{'MB':>6}{'in use':>8}"
)
for arm in peft_arms.ARMS:
    right, nats, ms = (study.mean(arm, m) for m in ("right", "nats", "ms a step"))
    kept, size, slower = (
        study.mean(arm, m).value for m in ("kept", "step bytes", "slower")
    )
    print(
        f"{arm:14}{kept:7,.0f}{peft_compared.best_rate(arm):7}"
        f"{100 * right.value:6.0f} ±{50 * (right.high - right.low):3.0f}"
        f"{nats.value:7.2f} ±{(nats.high - nats.low) / 2:.2f}"
        f"{ms.value:6.1f}{size / 1e6:6.2f}{slower:7.2f}x"
    )

# %% [markdown]
# (± is half the 95 % interval over the seeds; `ms` the CPU time of a step; `MB` the peak of a step, weights and activations included; `in use` the time of a forward pass over that of the plain model, after all that can be merged was merged.) The same as a picture, each method minus full fine-tuning, paired by seed:

# %% tags=["label-gaps"]
arms = [arm for arm in peft_arms.ARMS if arm != "full"]
gaps = {arm: study.difference(arm, "full", "right") for arm in arms}
fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
for row, arm in enumerate(arms):
    d = gaps[arm]
    ax.plot([100 * d.low, 100 * d.high], [row, row], lw=3)
    ax.plot(100 * d.value, row, "ko", ms=4)
ax.axvline(0, ls="--", lw=1)
ax.set_yticks(range(len(arms)), arms)
ax.set(xlabel="right answers, points above or below full fine-tuning")
alt = "Right answers of each method minus full fine-tuning, with 95 percent intervals "
alt += (
    "over five seeds. Prompts, prefixes and BitFit lie 65 to 77 points below, LoRA "
)
alt += (
    "and QLoRA about 50, AdaLoRA 36, IA3 28; Houlsby's at zero, Pfeiffer's above."
)
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Ten of the twelve lie left of the dashed line, most of them far. The three prompts at the input, BitFit and the prefixes stay near or below what a guess gives (12.5 %). LoRA gets a third, (IA)³ more than half, with a quarter of LoRA's numbers. The two adapters are as good as full fine-tuning, and Pfeiffer's
# is better than it, although each trains 2 % of the numbers.
#
# **First worry of the article: the methods lose accuracy.** We call it right if the interval lies below zero for more than half of the twelve.

# %%
claim("PEF-010", sum(d.high < 0 for d in gaps.values()))
deep = study.difference("prefix", "prompt", "right")
claim("PEF-006", deep.value, deep)
ranks = study.difference("adalora", "lora", "right")
claim("PEF-013", ranks.value, ranks)

# %%
assert gaps["houlsby"].low < 0 < gaps["houlsby"].high
assert gaps["pfeiffer"].low > 0
right = {arm: study.mean(arm, "right").value for arm in peft_arms.ARMS}
assert max(right[a] for a in ("prompt", "p_tuning_mlp", "p_tuning_lstm")) < 1 / 8
assert right["ia3"] > 0.5 > right["adalora"] > right["lora"]
near = study.difference("adalora", "lora", "nats")
print(
    f"AdaLoRA - LoRA: {near.value:+.2f} nats, {near.low:+.2f} to {near.high:+.2f}"
)
left = {
    f"{m} of block {i}": study.mean(
        "adalora", f"rank blocks.{i}.attention.{m}"
    ).value
    for i in (0, 1)
    for m in "qv"
}
print("ranks left of 6 each:", left)
assert left["v of block 0"] > left["q of block 0"] > 2
assert left["v of block 1"] > left["q of block 1"] > 2

# %% [markdown]
# Accuracy is lost by *most*, as the article says, but by no means by all. A prefix in every layer beats a prompt at the input, at equal numbers. AdaLoRA has more right answers than LoRA, but the loss does not tell the two apart, and it trained half as many numbers again on the way. It moved ranks from q to v.
#
# Why do the prompts fail at this? Section 2: a prefix mixes something into what every token hears. The task is to exchange words pairwise, which has to happen *after* the model has found the right value. Nor does one bias for all words (BitFit) help. That is our reading and not a proof; and this is one task, hard in just this way. Where only tone or format has to change, prompts should look better.
#
# **Second worry: they make the model slower.** Look at the last column. What was merged (LoRA, AdaLoRA, (IA)³) costs nothing: a factor of 1 within the noise. Prompts and prefixes cost 20 to 40 % here, where 36 or 9 positions stand before five tokens (before a long text it is less), adapters some 15 %. In *training*, QLoRA pays for dequantising:

# %% tags=["label-slow"]
slow = study.difference("qlora", "lora", "ms a step")
claim("PEF-012", slow.value, slow)
of_lora = study.mean("lora", "ms a step").value
print(f"QLoRA: {slow.value:+.2f} ms a step ({slow.value / of_lora:+.0%})")
in_use = {arm: study.mean(arm, "slower").value for arm in peft_arms.ARMS}
for arm in ("lora", "ia3", "pfeiffer", "prefix", "prompt", "qlora"):
    print(f"a pass in use: {arm:9}{in_use[arm]:5.2f} of the plain model's")

# %%
for arm in ("lora", "adalora", "ia3"):
    assert abs(in_use[arm] - 1) < 0.06
for arm in ("prompt", "prefix", "houlsby", "pfeiffer"):
    assert 1.1 < in_use[arm] < 1.5
as_good = study.difference("qlora", "lora", "nats")
assert as_good.low < 0 < as_good.high

# %% [markdown]
# Twice the time, at this size, where dequantising is as much work as the matrices themselves and is written in plain torch; the loss is the same within its interval. Kernels written for it lower the price; we have not measured one.
#
# The time of a step is otherwise nearly the same for all, as section 1 said. The megabytes are not those of section 1 either: in so small a model the activations weigh as much as the weights, and a prompt of 36 tokens brings its own. The saving of 16 bytes a weight shows where weights dominate.
#
# **Is the MLP needed?** Three starts of a prefix, at four rates each: free numbers that begin as noise, free ones that begin as what the model makes of words, and those of an MLP. What the MLP should do is make the result depend less on the rate.

# %% tags=["label-rates"]
rates = read_results("prefix_rates")
print("nats   " + "".join(f"{lr:>8}" for lr in prefix_rates.RATES) + "  spread")
spreads = {}
for start in prefix_rates.STARTS:
    table = np.array(
        [rates.values(f"{start}_{lr}", "nats") for lr in prefix_rates.RATES]
    )
    spreads[start] = np.ptp(table, axis=0)  # of each seed
    print(
        f"{start:7}" + "".join(f"{m:8.2f}" for m in table.mean(axis=1)),
        f"{spreads[start].mean():7.2f}",
    )
d = paired_difference(spreads["mlp"], spreads["noise"])
claim("PEF-003", d.value, d)
best = {a: peft_compared.best_rate(a) for a in ("full", "prefix")}
assert math.isclose(best["prefix"] / best["full"], 300)

# %% [markdown]
# The MLP does make the result depend less on the rate. But read the rows: free prefixes are not unstable here, they are *slow*; they want rates of 0.1 and more, and there they are as good as the best of the MLP. The MLP bends first at the high end. And to begin with words does not help on this task.
#
# **Does size help prompts?** Two widths, a prompt of 36 tokens against full fine-tuning.

# %% tags=["label-sizes"]
sizes = read_results("prompt_sizes")
gap = {}
for width in prompt_sizes.WIDTHS:
    prompt, full = (
        np.array(sizes.values(f"{m}_{width}", "nats")) for m in ("prompt", "full")
    )
    knew = np.mean(sizes.values(f"full_{width}", "knew"))
    gap[width] = prompt - full
    print(
        f"width {width:3}, knew {knew:4.0%}: prompt {prompt.mean():.2f}, "
        f"full {full.mean():.2f}, gap {gap[width].mean():.2f}"
    )
d = paired_difference(gap[64], gap[24])
assert d.value > 0
claim("PEF-004", d.value, d)

# %% [markdown]
# Not seen here. From width 24 to 64 the prompt's loss falls a little and full fine-tuning's falls more, so that the gap, if anything, grows; the interval just holds zero. Both models know the register by heart; what the larger one adds is room, and a prompt cannot use it.
#
# **Where, not how many.** One question is left open by the table: LoRA on q and v is far behind the adapters, at as many numbers. Is it the form of the update, or its place? **Predict, then run**, on the sixth seed: the same LoRA, fewer numbers, on the two
# matrices `up` and `down` of each feed-forward layer.

# %% tags=["nbval-ignore-output", "label-where"]
rate, shares = peft_compared.best_rate("lora"), {}
for targets, rank in ((("q", "v"), 4), (("up", "down"), 2)):
    torch.manual_seed(seed)
    thin = ft.apply_lora(copy.deepcopy(knows), targets, rank=rank, alpha=2.0 * rank)
    peft_arms.adapt(thin, lessons, rate, seed)
    shares[targets] = code_task.mark(thin, exam).right
    print(
        f"{' and '.join(targets):12}{ft.count_trainable(thin):6} numbers, "
        f"right {shares[targets]:4.0%}"
    )
assert shares["up", "down"] > shares["q", "v"] + 0.15

# %% [markdown]
# It was the place. On q and v an update can change where a head looks and what it carries on; what is said seems to be settled further on, in the feed-forward layers. LoRA's paper chose q and v; QLoRA's found that *all* matrices are needed to match full fine-tuning. One seed and one rate, and the difference is large.
#
# ## Common mistakes
#
# | mistake | what you see |
# |---|---|
# | $W_{\text{up}}$ of an adapter starts at random | the loss jumps at step 0 |
# | both $A$ and $B$, or $P$, $\lambda$ and $Q$, start at zero | nothing is ever learned |
# | the mask hides the prefix | loss as without it |
# | the prompt is added to the cache, and to every token again | right in training, nonsense in generation |
# | new special tokens with a frozen embedding | the end token is never said, whatever is trained |
# | quantising after merging | the update is rounded away |
# | one learning rate for all methods | whoever it suits wins: here a prefix liked 300 times the rate of full fine-tuning |
#
# ## Homework (36 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The rest of the
# notebook does not depend on your answers.
#
# ### Exercise 1 · How long may the prefix be? (5 min, ★☆☆)
#
# Return the largest number of tokens $P$ such that keys and values of all layers together are at most the share `share` of `n` parameters; 0 if not even one fits.
#
# <details><summary>Hint 1</summary>A token costs 2 · layers · key heads · width of a head.</details>
# <details><summary>Hint 2</summary>Key heads, not query heads: LLaMA-2-70B has 8 of the one and 64 of the other.</details>


# %% tags=["exercise"]
def longest_prefix(config, n, share):
    # BEGIN SOLUTION
    a_token = 2 * config.n_layers * config.attention.key_heads * config.head_width
    return int(share * n) // a_token
    # END SOLUTION


# %% tags=["check"]
def by_search(config, n, share):
    P = 0
    while ft.count_trained("prefix", config, P + 1) <= int(share * n):
        P += 1
    return P


makers = (presets.llama_7b, presets.llama2_70b, presets.gpt2_124m, presets.qwen2_7b)
cases = [
    (m(), count_parameters(m()), s) for m in makers for s in (1e-6, 1e-3, 0.02)
]
check(longest_prefix, by_search, cases)

# %% [markdown]
# ### Exercise 2 · Attention behind a prefix (8 min, ★★☆)
#
# One head. `q`, `k`, `v` are (T, H), `pk` and `pv` (P, H). Return the output (T, H): causal among the tokens, the whole prefix open to all. Do not call the package.
#
# <details><summary>Hint 1</summary>Scores are (T, P + T). Hide column P + s from row t where s > t.</details>
# <details><summary>Hint 2</summary><code>torch.ones(T, T).triu(1)</code> marks what lies to the right.</details>


# %% tags=["exercise"]
def prefixed_attention(q, k, v, pk, pv):
    # BEGIN SOLUTION
    T, H = q.shape
    scores = q @ torch.cat([pk, k]).T / H**0.5
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    scores[:, len(pk) :] = scores[:, len(pk) :].masked_fill(later, -math.inf)
    return scores.softmax(dim=-1) @ torch.cat([pv, v])
    # END SOLUTION


# %% tags=["check"]
def through_the_cache(q, k, v, pk, pv):
    cache = PrefixCache(pk[None, None], pv[None, None], None)
    keys, values = cache.append(0, k[None, None], v[None, None])
    return attention_weights(q[None, None], keys, values, causal=True)[0][0, 0]


def head(T, P, H=4):
    return (*torch.randn(3, T, H, dtype=f64), *torch.randn(2, P, H, dtype=f64))


check(
    prefixed_attention, through_the_cache, [head(1, 1), head(5, 3), head(4, 7, 6)]
)

# %% [markdown]
# ### Exercise 3 · Cut the budget (7 min, ★★☆)
#
# `scores` is a dict: name of a matrix → list of the worth of its triplets. Return a dict of the same names: how many triplets each keeps if the best `budget` of all are kept. Ties: the earlier one, in the order of the dict, then of the list.
#
# <details><summary>Hint 1</summary>Make one list of (worth, name), and sort it from the largest.</details>
# <details><summary>Hint 2</summary>Python's sort keeps the order of equal items; so does <code>sorted(..., reverse=True)</code>.</details>


# %% tags=["exercise"]
def ranks_after(scores, budget):
    # BEGIN SOLUTION
    every = [(worth, name) for name, row in scores.items() for worth in row]
    best = sorted(every, key=lambda pair: pair[0], reverse=True)[:budget]
    return {name: sum(kept == name for _, kept in best) for name in scores}
    # END SOLUTION


# %% tags=["check"]
def by_allocator(scores, budget):
    parts = torch.nn.ModuleDict()
    for name, row in scores.items():
        part = parts[name] = ft.SVDLinear(Linear(9, 9), len(row), 1.0)
        part.values.data.fill_(1.0)
        part.values_sensitivity.copy_(torch.tensor(row))
        part.values_uncertainty.fill_(1.0)
    n = sum(len(row) for row in scores.values())
    allocator = ft.RankAllocator(parts, ft.RankSchedule(n, 1, 10))
    allocator.cut(budget)
    return allocator.ranks()


cases = [
    ({"q": [0.5, 0.1, 0.3], "v": [0.4, 0.2, 0.9]}, 3),
    ({"q": [0.1, 0.1], "v": [0.1, 0.1]}, 3),
    ({"q": [5.0], "v": [1.0, 7.0, 2.0], "down": [0.0, 0.0]}, 4),
    ({"q": [1.0, 2.0]}, 0),
]
check(ranks_after, by_allocator, cases)

# %% [markdown]
# ### Exercise 4 · A block in NF4 (8 min, ★★☆)
#
# `block` is (n,), `levels` rises from −1 to 1. Return `(codes, scale)`: the scale is the largest absolute value (a float), the codes are int64, the nearest level of each scaled number. A block of zeros has scale 0.0 and the codes of level 0.
#
# <details><summary>Hint 1</summary>Divide by the scale, or by 1 if the scale is 0.</details>
# <details><summary>Hint 2</summary><code>(x[:, None] - levels).abs().argmin(dim=1)</code></details>


# %% tags=["exercise"]
def quantise_block(block, levels):
    # BEGIN SOLUTION
    scale = block.abs().max().item()
    unit = block / (scale if scale > 0 else 1.0)
    return (unit[:, None] - levels).abs().argmin(dim=1), scale
    # END SOLUTION


# %% tags=["check"]
def by_package(block, levels):
    packed = ft.quantise_nf4(block, block=len(block), double=False)
    codes = torch.stack([packed.packed >> 4, packed.packed & 15], dim=1).flatten()
    return codes[: len(block)].long(), packed.scales.item()


nf4 = ft.normal_float_levels()
cases = [
    (torch.randn(64), nf4),
    (0.01 * torch.randn(7), nf4),
    (torch.zeros(5), nf4),
]
cases += [(torch.tensor([-3.0, 0.0, 1.0]), nf4), (torch.tensor([2.5]), nf4)]
check(quantise_block, by_package, cases)

# %% [markdown]
# ### Exercise 5 · Merge (IA)³ (8 min, ★★★)
#
# A feed-forward layer $y = (\operatorname{silu}(xW_g^\top)\odot xW_u^\top)\,W_d^\top$ has factors `l` on its inner activations, just before $W_d$. Return new matrices `(gate, up, down)` without factors that compute the same, **and leave `gate` and `down` as they are**.
#
# <details><summary>Hint 1</summary>The factor multiplies silu(g) · u. Which of the two is linear in its matrix?</details>
# <details><summary>Hint 2</summary>A factor on output i of a matrix is a factor on its row i.</details>


# %% tags=["exercise"]
def merge_inner(gate, up, down, l):
    # BEGIN SOLUTION
    return gate, l[:, None] * up, down
    # END SOLUTION


# %% tags=["check"]
def merged_by_rows(gate, up, down, l):
    return gate, torch.diag(l) @ up, down


def layer_of(D, width):
    return tuple(
        torch.randn(s, dtype=f64)
        for s in ((width, D), (width, D), (D, width), (width,))
    )


cases = [layer_of(3, 5), layer_of(4, 4), layer_of(1, 2)]
for gate, up, down, l in cases:
    x = torch.randn(6, gate.shape[1], dtype=f64)
    a = (F.silu(x @ gate.T) * (x @ up.T) * l) @ down.T
    g, u, d = merged_by_rows(gate, up, down, l)
    assert ((F.silu(x @ g.T) * (x @ u.T)) @ d.T - a).abs().max() < 1e-10
check(merge_inner, merged_by_rows, cases)

# %% [markdown]
# ## At scale
#
# *Prompts.* Lester et al. (2021, figure 1) tuned T5 from 77 M to 11 B parameters: the gap between prompt tuning and full fine-tuning on SuperGLUE is large for the small models and gone at 10 B. Our two widths lie far below all of that. *QLoRA*: a
# LLaMA of 65 B on one card of 48 GB, in 24 hours. *On a GPU* the methods of this lesson: not measured yet.
#
# | library | holds |
# |---|---|
# | `peft` (Hugging Face) | prompt, P- and prefix tuning, LoRA, AdaLoRA, (IA)³: in these the package is tested equal to it |
# | `bitsandbytes` | NF4 and double quantisation with GPU kernels |
# | `unify-parameter-efficient-tuning` (He et al. 2022) | one formula for adapters, prefixes and LoRA |
#
# ## Recap
#
# - PEFT saves memory (gradients and Adam's means) and storage for each task. It does not save much time in training.
# - A prompt is a prefix: all its effect goes through keys and values. Networks over it can be thrown away.
# - Adapters, LoRA and (IA)³ begin as the identity; LoRA, AdaLoRA and (IA)³ can be merged, and then cost nothing in use.
# - NF4 puts 16 levels on normal quantiles; 4.127 bits a weight with double quantisation, paid with a second dequantisation in the backward pass.
# - A comparison is fair only with equal numbers, equal steps, and a rate of its own for each method.
# - On our task two adapters matched full fine-tuning with 2 % of the numbers, prompts learned next to nothing, and the place of LoRA counted more than its size.
#
# ## Questions
#
# 1. Why does PEFT not cut the time of a step to a hundredth?
# <details><summary>Answer</summary>The forward pass is the same, and the gradient must pass through all layers. Only the gradients of the weights are left out.</details>
#
# 2. Give a prefix that no prompt can make.
# <details><summary>Answer</summary>For example one whose keys in layer 2 do not follow from those in layer 1; a prompt has P·D degrees of freedom, a prefix 2LPKH.</details>
#
# 3. Which of the methods can be merged, and why not the others?
# <details><summary>Answer</summary>Those that change a matrix linearly: LoRA, AdaLoRA, (IA)³, and biases. An adapter has a curve in between; a prefix adds positions.</details>
#
# 4. Why must one of the factors of LoRA, and λ of AdaLoRA, begin at zero, but not all?
# <details><summary>Answer</summary>The product must be zero at the start; but the gradient of each factor contains the others. All zero: no gradient.</details>
#
# 5. Why is zero one of NF4's levels, and what does it cost?
# <details><summary>Answer</summary>So that zeros stay exactly zero. It makes the halves unequal: 7 levels below, 8 above.</details>
#
# 6. 4.5 bits a weight: where does the half come from?
# <details><summary>Answer</summary>A 32-bit scale for each 64 weights.</details>
#
# 7. The article says that P-tuning trains 0.1 % of a model. What is wrong?
# <details><summary>Answer</summary>The paper says 0.01 %: a hundred input vectors are 0.03 % of BERT-large. 0.1 to 3 % is P-tuning v2, with a prefix in every layer.</details>
#
# 8. A paper reports that its method beats LoRA, both at a rate of 1e-4. What do you ask?
# <details><summary>Answer</summary>What LoRA does at its own best rate; and over how many seeds.</details>
#
# ## Sources
#
# - Lester et al. 2021, *The Power of Scale for Parameter-Efficient Prompt Tuning*, [arXiv:2104.08691](https://arxiv.org/abs/2104.08691): prompts, and size.
# - Li and Liang 2021, *Prefix-Tuning*, [arXiv:2101.00190](https://arxiv.org/abs/2101.00190): keys and values, and the MLP.
# - Liu et al. 2021, *GPT Understands, Too*, [arXiv:2103.10385](https://arxiv.org/abs/2103.10385), and *P-Tuning v2*, [arXiv:2110.07602](https://arxiv.org/abs/2110.07602).
# - Houlsby et al. 2019, [arXiv:1902.00751](https://arxiv.org/abs/1902.00751): adapters, with the identity at the start.
# - Liu et al. 2022, [arXiv:2205.05638](https://arxiv.org/abs/2205.05638): (IA)³. Ben Zaken et al. 2021, [arXiv:2106.10199](https://arxiv.org/abs/2106.10199): BitFit.
# - Zhang et al. 2023, *AdaLoRA*, [arXiv:2303.10512](https://arxiv.org/abs/2303.10512). Dettmers et al. 2023, *QLoRA*, [arXiv:2305.14314](https://arxiv.org/abs/2305.14314).
# - Yoshida 2023, [arXiv:2306.06965](https://arxiv.org/abs/2306.06965): why NF4 is not optimal for every block, and that this does not matter much.
#
# ## Next
#
# [33 Reward](33_reward.ipynb): so far examples say what to write. Next, people only say which of two texts is better.

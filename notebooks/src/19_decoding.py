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
# # 19 Decoding: the model gives probabilities. How does a text come of them?
#
# 75 min · CPU · 25 s · 1 GB · needs [09 Attention](09_attention.ipynb) · code: `minillm/inference/`
#
# A language model answers one question: given this text, how probable is each token as the next? Making a
# text of the answers is **decoding** (解码). The same model can be dull, lively or mad, depending on
# a rule of ten lines.
#
# After this lesson you can
#
# 1. write greedy and beam search, and say what they find and why people do not write like that;
# 2. write five rules of drawing, and say what each cuts off;
# 3. keep a model from repeating itself, and avoid the sign trap in the best-known rule for it;
# 4. force every output into a grammar;
# 5. prove that speculative decoding changes the speed and nothing else.

# %% tags=["setup"]
import itertools
import json
import math
import textwrap
import time
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import torch

from minillm import inference as lib
from minillm.data.storyworld.quiz import make_quiz_corpus
from minillm.evaluate import bootstrap_interval
from minillm.evaluate.quantiles import chi2_quantile
from minillm.inference import beam_search, filtered_probabilities, generate
from minillm.inference import residual, speculative_generate, verify
from minillm.lesson import check, claim, setup, show
from minillm.recipes import base
from minillm.recipes.records import read_results
from minillm.recipes.studies import decoding_rules as study

setup(seed=19)
f64 = torch.float64
model, tokenizer = base("tiny")
recorded = read_results("decoding_rules")

# %% [markdown]
# ## 1 Always the best token (5 min)
#
# The plainest rule is **greedy decoding** (贪心解码): read the text, take the token with the largest logit, append it, again.


# %%
def greedy(model, ids, n):
    for _ in range(n):
        with torch.no_grad():
            logits = model(ids)[0, -1]  # (V,) after the last token
        best = logits.argmax().view(1, 1)
        ids = torch.cat([ids, best], dim=1)
    return ids


# %% tags=["nbval-ignore-output", "label-greedy"]
start = "Do you know Hanna? Hanna was a blacksmith who lived near the river."
ids = torch.tensor([tokenizer.encode(start)])
text = greedy(model, ids, 60)
assert torch.equal(text, generate(model, ids, 60))
print(textwrap.fill(tokenizer.decode(text[0].tolist()), 72))

# %% [markdown]
# The package's `generate` finds the same ids. It only keeps the keys and values of what it has read ([lesson 16a](16a_heads_and_cache.ipynb)), instead of reading all
# again.
#
# **Is that the most probable text?** No. A text's probability is the product over its tokens, and a good first token may lead into a
# poor second one. The best of all $V^n$ texts cannot be found by trying; but a search can look at more than one.
#
# ## 2 Beam search (10 min)
#
# **Beam search** (束搜索) keeps the `width` best texts so far, continues each by every token, and keeps the best again. Sums of
# logarithms stand for products. We write it for anything that gives log-probabilities after a text:


# %%
def beam(log_p_after, n, width):
    kept = [((), 0.0)]  # (text, log-probability)
    for _ in range(n):
        longer = [
            ((*text, token), total + log_p)
            for text, total in kept
            for token, log_p in enumerate(log_p_after(text))
        ]
        kept = sorted(longer, key=lambda one: -one[1])[:width]
    return kept


# %% [markdown]
# Width 1 is greedy. Width $V^{n-1}$ drops nothing before the last step, so it is exact. We hold it equal to the package, on
# the real model.


# %%
def tiny_after(text):
    row = torch.cat([ids[0], torch.tensor(text, dtype=torch.int64)])
    with torch.no_grad():
        return model(row[None])[0, -1].double().log_softmax(-1).tolist()


for width in (1, 3):
    mine = beam(tiny_after, 6, width)[0]
    theirs = beam_search(model, ids, 6, n_beams=width)[0]
    assert mine[0] == theirs.ids
    assert abs(mine[1] - theirs.log_probability) < 1e-4
print("equal to the package at widths 1 and 3")

# %% [markdown]
# **Predict, then run.** A toy model over the letters a, b, c, d writes three of them. Can a *wider* beam find a *worse* text?


# %%
def toy(text):
    """Probabilities of a, b, c, d after a text."""
    if len(text) == 0:
        return [0.55, 0.45, 0, 0]
    if len(text) == 1:
        return [0.25] * 4 if text[0] == 0 else [0.5, 0.5, 0, 0]
    return [1, 0, 0, 0] if text[0] == 0 else [0.25] * 4


def toy_log(text):
    return [math.log(p) if p else -math.inf for p in toy(text)]


# %% tags=["label-toy"]
for width in (1, 2, 3, 16):
    found, total = beam(toy_log, 3, width)[0]
    letters = "".join("abcd"[i] for i in found)
    print(f"width {width:2}: {letters}, probability {math.exp(total):.4f}")

# %% [markdown]
# It can. After two letters the texts "ba" and "bb" are ahead and push every "a." out of a beam of 2, although only "a." has a sure third
# letter. So *beam is at least as good as greedy* is a habit, not a theorem.
#
# **Length.** Texts may end. Every token costs probability, so sums favour short texts, and the usual repair is to compare
#
# $$\text{score} = \frac{\log p(\text{text})}{\text{length}^{\,\alpha}} ,\qquad \alpha=0:\text{ sums},\quad \alpha=1:\text{ means} .$$
#
# $\alpha$ is called **length penalty** (长度惩罚), though a larger $\alpha$ favours *long* texts. In the recorded runs the shipped model
# finished the sentence of 200 prompts with four beams:

# %% tags=["label-length"]
print(recorded.provenance)
for alpha in ("0.0", "0.6", "1.0", "2.0", "real"):
    lengths = np.concatenate(recorded.values(f"sentence_{alpha}", "length"))
    print(f"alpha {alpha:4}: tokens {bootstrap_interval(lengths)}")

# %% [markdown]
# With sums the sentences are shortest; at $\alpha=2$ the beam puts off the full stop as long as it can. Real sentences are about as long as with 0.6. (T5 and
# GPT-3 report 0.6 for the older form $((5+\text{length})/6)^\alpha$.)
#
# **Diversity.** The texts of a beam differ in a word or two. **Diverse beam search** (多样束搜索) splits the beam into groups that take
# turns; a token that an earlier group took at this step costs $\lambda$ more:

# %% tags=["nbval-ignore-output", "label-diverse"]
for groups, cost in ((1, 0.0), (4, 1.0)):
    found = beam_search(model, ids, 12, n_beams=4, n_groups=groups, diversity=cost)
    print(f"{groups} group(s)")
    for one in found:
        words = tokenizer.decode(list(one.ids))
        print(f"  {one.log_probability:6.2f} {words}")

# %% [markdown]
# ## 3 What does beam search find? (12 min)
#
# Now with 200 prompts, 40 for each of five seeds: the first 32 tokens of short stories that nobody trained on. Each rule goes on for 64 tokens. (The
# end-of-text token is forbidden to all, so that lengths are equal.) First claim: *beam search improves greedy, usually*. The rule was written before the
# runs: the share of prompts on which four beams find a text of higher probability.


# %% tags=["label-wins"]
def each(arm, name):
    """A measured value of all 200 prompts."""
    return np.concatenate(recorded.values(arm, name))


def wins(a, b):
    """1 where a is less surprised than b, 1/2 where they are equal."""
    gap = each(b, "nats") - each(a, "nats")
    return (gap > 0) + (gap == 0) / 2


share = bootstrap_interval(wins("beam_4", "greedy"))
print("beam 4 against greedy:", share)
claim("DEC-001", share.value, share)
losses = np.sum(wins("beam_4", "greedy") < 0.5)
print(f"beam 4 loses on {losses} of {share.n} prompts")
more = bootstrap_interval(wins("beam_16", "beam_4"))
print("beam 16 against beam 4:", more)

# %% [markdown]
# So the search works. But is a more probable text a *better* text? The article says *coherence* (连贯性). We measure four
# things, and compare with how the stories really go on:
#
# - **nats**: mean surprise $-\log p$ of a token, by the model itself;
# - **rep-4**: share of four-token pieces that came before in the same text;
# - **overlap**: share of four-token pieces that also stand in the text for *another* prompt;
# - **familiar**: of all people named, the share that was named before.
#
# **Predict.** For each: does beam search come nearer to real text than greedy?

# %% tags=["label-beams"]
beams = ("greedy", "beam_4", "beam_8", "beam_16", "real")
print("stories    nats  rep-4  overlap  familiar")
for arm in beams:
    nats, rep, over = (
        each(arm, name).mean() for name in ("nats", "rep-4", "overlap")
    )
    known = recorded.mean(arm, "familiar").value
    print(f"{arm:9}{nats:6.2f}{rep:7.1%}{over:8.0%}{known:9.0%}")

# %% tags=["label-prose"]
print("prose      nats  rep-4  overlap")
for arm in ("greedy", "beam_4", "real"):
    nats, rep, over = (
        each(f"prose_{arm}", name).mean() for name in ("nats", "rep-4", "overlap")
    )
    print(f"{arm:9}{nats:6.2f}{rep:7.1%}{over:8.0%}")

# %% tags=["label-position"]
fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.9), layout="constrained")
shown = {"real": "-", "t_1": "-.", "greedy": "--", "beam_4": ":"}
for ax, kind in zip(axes, ("", "prose_")):
    for arm, style in shown.items():
        by_place = np.mean(recorded.values(kind + arm, "by position"), axis=0)
        blocks = by_place.reshape(-1, 4).mean(axis=1)
        ax.plot(range(2, 64, 4), blocks, style, label=arm)
    ax.set(xlabel="token of the continuation", ylim=(0, None))
    ax.set_title("prose" if kind else "stories")
axes[0].set_ylabel("nats a token")
axes[1].legend(loc="center", bbox_to_anchor=(0.5, 0.63), ncols=2)
alt = "Surprise by position, for stories and prose. Real text stays high, "
alt += "greedy text lies lower, text of four beams lowest of all."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Real text is far above greedy text nearly everywhere, and beams lie lowest; on prose they sink further, since what the model wrote is easier for it than
# what a person wrote. Drawn text (`t_1`) lies a little above the real one for stories, and on it for prose. (Near its end a real story gets easy: a question in a fixed form begins. Greedy text is through with that earlier, and must go on.)
#
# More probable, but not better. More than twice as much of a beam's text as of real text also stands in texts for *other* prompts. Beams do not name the people of the prompt
# more often than greedy does; this small model forgets them, and no search repairs a model. Repetition *within* a text, for which beams are famous, is small on stories, and largest with 16 beams. On prose
# greedy goes in circles, and the beams do not, for a reason that we shall see.
#
# This is the finding of Holtzman et al. (2020): people do not write the most probable text. A coin explains why. It shows heads with
# probability 0.6, and is thrown 100 times.

# %% tags=["label-coin"]
p = 0.6
mean = -p * math.log(p) - (1 - p) * math.log(1 - p)
print(f"all heads: {-math.log(p):.3f} nats a throw, chance {p**100:.0e}")
print(f"a throw on average: {mean:.3f} nats (the entropy)")
throws = torch.rand(10_000, 100) < p
heads = throws.sum(dim=1)
print(f"heads in 10 000 series: {heads.min()} to {heads.max()}")
assert heads.max() < 100

# %% [markdown]
# All heads is the single most probable series, and never happens. What happens has about the **entropy** (熵), the
# expected surprise. A search for the most probable text looks for all heads.
#
# How far does it go? Here is prose, with the end of the text allowed.

# %% tags=["nbval-ignore-output", "label-favourite"]
words = "Return the number of elements in the list. If the list is"
prose = tokenizer.encode(words)
best = beam_search(model, prose, 60, n_beams=8)[0]
print(textwrap.fill(f"{words} | {tokenizer.decode(list(best.ids))}", 72))

# %% [markdown]
# The beam finishes the sentence, ends the text, and tells its favourite story, the boat race. That is the most probable way to
# fill 60 tokens, and no answer. (In translation the most probable text is often the *empty* one: Stahlberg and Byrne 2019.)
#
# ## 4 Drawing, and what to cut off (14 min)
#
# If real text is typical and not most probable, then *draw* the next token with the model's probabilities. Two handles are in use. One is
# the **temperature** (温度), which we divide the logits by:
#
# $$p_T(v) = \operatorname{softmax}(z/T)_v \;\propto\; p(v)^{1/T} .$$
#
# The other cuts off the tail (截断): thousands of tokens, each improbable and mostly wrong, but together a few per cent, so that one is drawn every few
# words. Four ways, on one distribution. **top-k** keeps $k$ tokens whatever their probabilities. **top-p**, or nucleus sampling (核采样), keeps the
# shortest list whose sum reaches $p$: a token is kept if what is *before* it does not reach $p$ yet.


# %%
def normed(p):
    return p / p.sum()


def rank(x):
    """0 for the largest; of equals the smaller id comes first."""
    return x.argsort(descending=True, stable=True).argsort()


def keep_top_k(p, k):
    return normed(p * (rank(p) < k))


def keep_top_p(p, mass):
    order = p.argsort(descending=True, stable=True)
    before = p[order].cumsum(0) - p[order]
    kept = torch.zeros_like(p)
    kept[order[before < mass]] = 1
    return normed(p * kept)


# %% [markdown]
# **min-p** keeps what is at least a given part of the best. **Typical sampling** (典型采样) takes the coin seriously: a token's surprise
# should be near the entropy $H$. Sort by the distance $|-\log p(v)-H|$, then go on as in top-p.


# %%
def keep_min_p(p, part):
    return normed(p * (p >= part * p.max()))


def keep_typical(p, mass):
    entropy = torch.special.entr(p).sum()
    distance = (-p.log() - entropy).abs()
    order = distance.argsort(stable=True)
    before = p[order].cumsum(0) - p[order]
    kept = torch.zeros_like(p)
    kept[order[before < mass]] = 1
    return normed(p * kept)


# %%
def next_logits(words):
    with torch.no_grad():
        return model(torch.tensor([tokenizer.encode(words)]))[0, -1].double()


z = next_logits("Tom looked for his ball. Then he")
p = z.softmax(-1)
by_package = filtered_probabilities
pairs = {
    "T = 0.5": ((z / 0.5).softmax(-1), by_package(z, temperature=0.5)),
    "T = 1.5": ((z / 1.5).softmax(-1), by_package(z, temperature=1.5)),
    "top-k 5": (keep_top_k(p, 5), by_package(z, top_k=5)),
    "top-p 0.8": (keep_top_p(p, 0.8), by_package(z, top_p=0.8)),
    "min-p 0.1": (keep_min_p(p, 0.1), by_package(lib.min_p(z, 0.1))),
    "typical 0.4": (keep_typical(p, 0.4), by_package(lib.typical(z, 0.4))),
}
for name, (mine, theirs) in pairs.items():
    assert (mine - theirs).abs().max() < 1e-12
print("all equal to the package")

# %% [markdown]
# **Predict.** Which rule keeps most tokens? Which can drop the *most probable* one?

# %% tags=["nbval-ignore-output", "label-rules"]
top = p.argsort(descending=True)[:14]
rows = {"the model": p} | {name: mine for name, (mine, _) in pairs.items()}


def draw_rules(rows):
    fig, ax = plt.subplots(figsize=(7.6, 3.2), layout="constrained")
    table = torch.stack([q[top] for q in rows.values()])
    ax.imshow(table.sqrt(), aspect="auto", vmin=0, vmax=1)
    for i, row in enumerate(table.tolist()):
        for j, value in enumerate(row):
            if value > 0:
                ink = "black" if value > 0.4 else "white"
                said = f"{value:.2f}"[1:] if value < 0.995 else "1"
                ax.text(j, i, said, ha="center", va="center", color=ink)
    names = [f"{n}: {int((q > 0).sum())}" for n, q in rows.items()]
    ax.set_yticks(range(len(rows)), names)
    words = [tokenizer.decode([i]).strip() for i in top.tolist()]
    ax.set_xticks(range(len(top)), words, rotation=45, ha="right")
    return fig


alt = "Heat map: the 14 likeliest next words under seven rules, with the "
alt += "probability of each and, on the left, how many tokens are kept."
show(draw_rules(rows), alt=alt)

# %% [markdown]
# **What you should see.** The number behind each name says how many of the 6 144 tokens are left. Temperature moves probability and keeps
# them all. top-k and min-p are short lists; top-p is longer, since the tail is fat. Typical sampling drops "came", although it has
# nearly half of the probability: it says too little.
#
# **Widget.** The same picture with sliders (they move when you run the notebook). *Question:* the best token has 0.46 here. Make
# top-p and min-p keep the same number of tokens. What happens to both in a sentence where the best has 0.9?
#
# <details><summary>Answer</summary>top-p 0.8 keeps one token there; min-p 0.1 keeps all with at least 0.09, also one. In a flat
# distribution of 100 equals top-p 0.8 keeps 80 and min-p all 100.</details>

# %% tags=["widget", "skip-execution", "nbval-skip"]
from ipywidgets import FloatSlider, IntSlider, interact


def all_rules(temperature, k, mass, part, typical_mass):
    p = (z / temperature).softmax(-1)
    rows = {"temperature": p, "top-k": keep_top_k(p, k)}
    rows |= {"top-p": keep_top_p(p, mass), "min-p": keep_min_p(p, part)}
    rows |= {"typical": keep_typical(p, typical_mass)}
    draw_rules(rows)
    plt.show()


_ = interact(
    all_rules,
    temperature=FloatSlider(value=1, min=0.1, max=2, step=0.1),
    k=IntSlider(value=5, min=1, max=50),
    mass=FloatSlider(value=0.8, min=0.05, max=1, step=0.05),
    part=FloatSlider(value=0.1, min=0, max=1, step=0.05),
    typical_mass=FloatSlider(value=0.4, min=0.05, max=1, step=0.05),
)

# %% [markdown]
# **Limits.** With $T\to0$ drawing becomes greedy; with $k=V$ or $p=1$ nothing is cut.

# %%
one_hot = torch.nn.functional.one_hot(z.argmax(), len(z))
assert (by_package(z, temperature=1e-3) - one_hot).abs().max() < 1e-9
assert torch.equal(by_package(z, temperature=0), one_hot.double())
assert torch.equal(by_package(z, top_k=len(z)), p)
assert torch.equal(by_package(z, top_p=1.0), p)
print("T -> 0 is greedy; k = V and p = 1 are plain drawing")

# %% [markdown]
# **Now the texts.** The same 200 prompts; `p_0.9` is top-p 0.9, and so on. *distinct-2* is the number of different pairs of tokens in the 40 texts of a seed, divided by all pairs.
# Second claim: *temperature, top-k, top-p increase or control diversity*; the rule: distinct-2 at $T=1.3$ minus at $T=0.5$, by seed.

# %% tags=["label-diversity"]
print("               nats a token          distinct-2   overlap  rep-4")
for arm in study.RULES:
    nats = bootstrap_interval(each(arm, "nats"))
    d2 = recorded.mean(arm, "distinct-2")
    line = f"{arm:14}{nats.value:6.2f} [{nats.low:.2f}, {nats.high:.2f}]"
    line += f"{d2.value:7.2f} [{d2.low:.2f}, {d2.high:.2f}]"
    line += f"{each(arm, 'overlap').mean():8.0%}"
    print(line + f"{each(arm, 'rep-4').mean():8.1%}")

# %% tags=["label-claims"]
d = recorded.difference("t_1.3", "t_0.5", "distinct-2")
print("distinct-2, T = 1.3 minus T = 0.5:", d)
claim("DEC-002", d.value, d)
for arm in ("k_10", "k_50", "p_0.9", "p_0.95", "min_p_0.1"):
    cut = bootstrap_interval(each(arm, "nats") - each("t_1", "nats"))
    print(f"{arm:10} minus plain drawing, nats: {cut}")
    assert cut.high < 0

# %% tags=["label-plane"]
fig, ax = plt.subplots(figsize=(7.4, 3.8), layout="constrained")
marks = itertools.cycle("osD^vP")
for i, arm in enumerate(arm for arm in study.RULES if arm != "t_1.3"):
    x = bootstrap_interval(each(arm, "nats"))
    y = recorded.mean(arm, "distinct-2")
    ax.errorbar(
        x.value,
        y.value,
        xerr=[[x.value - x.low], [x.high - x.value]],
        yerr=[[y.value - y.low], [y.high - y.value]],
        fmt="*" if arm == "real" else next(marks),
        color="black" if arm == "real" else f"C{i % 10}",
        ms=15 if arm == "real" else 6,
        lw=0.8,
        label=arm,
    )
ax.set(xlabel="nats a token", ylabel="distinct-2")
fig.legend(loc="outside right center", fontsize=8)
alt = "Diversity against surprise. Beams, then greedy and its penalties, lie "
alt += "at the lower left; real text lies among temperature 0.7, top-k 10 "
alt += "and top-p 0.9; plain drawing lies to the right."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** The black star is real text. Searches lie far to the lower left. Plain drawing is as varied as people are, but too surprising: the tail is wrong. Cutting it or
# cooling a little ($T=0.7$, top-k 10, top-p 0.9) comes closest. $T=1.3$ (not drawn, see the table) is varied like noise. So variety alone is no aim: distinct-2 is best for random
# letters. The aim is to be *like* real text in both.
#
# ## 5 Do not say it again (8 min)
#
# **The sign trap.** CTRL (Keskar et al. 2019) divides the logits of tokens that were said by $\theta=1.2$. Logits have signs.
#
# **Predict.** Two tokens were said, with logits 3 and −3. Both are divided by 1.2. Which becomes *more* likely?

# %% tags=["label-trap"]
logits = torch.tensor([[3.0, -3.0, 0.0]], dtype=f64)
said = torch.tensor([[0, 1]])
divided = logits / torch.tensor([1.2, 1.2, 1.0], dtype=f64)
right = lib.repetition_penalty(logits, said, 1.2)
for name, y in (("before", logits), ("divided", divided), ("package", right)):
    print(f"{name:8}", *(f"{x:.4f}" for x in y.softmax(-1)[0].tolist()))

# %% [markdown]
# The token with −3 rises when divided. Everybody therefore multiplies negative logits. Still the rule depends on where zero is, and softmax does not
# care where zero is: adding 5 to all logits changes nothing for the model, but all for this penalty. The **presence** and
# **frequency penalties** (存在惩罚、频率惩罚) subtract, and have no such trouble:
#
# $$z(v) - \alpha_{\text{presence}}\,[c(v)>0] - \alpha_{\text{frequency}}\,c(v),\qquad c(v)=\text{how often } v \text{ was said}.$$

# %%
shifted = lib.repetition_penalty(logits + 5, said, 1.2).softmax(-1)
assert (shifted - right.softmax(-1)).abs().max() > 0.05
both = {"presence": 0.5, "frequency": 0.2}
a = lib.presence_frequency_penalty(logits, said, **both)
b = lib.presence_frequency_penalty(logits + 5, said, **both)
assert (a.softmax(-1) - b.softmax(-1)).abs().max() < 1e-12
print("a shift of all logits changes the first rule, not the second")

# %% [markdown]
# **Contrastive search** (对比搜索, Su et al. 2022) looks at meaning: of the $k$ likeliest tokens take the one with the largest
# $(1-\alpha)\,p(v)-\alpha\,\max_j\cos(h_v,h_j)$, where $h_v$ is the hidden state that the token would have, and $h_j$ those of the text.
# We check one score by hand.

# %%
seen, new = torch.randn(5, 8, dtype=f64), torch.randn(3, 8, dtype=f64)
likely = torch.tensor([0.5, 0.3, 0.2], dtype=f64)
scores = lib.contrastive_scores(likely, new, seen, 0.6)
cosines = [torch.cosine_similarity(new[1], h, dim=0) for h in seen]
assert (scores[1] - (0.4 * likely[1] - 0.6 * max(cosines))).abs() < 1e-12

# %% [markdown]
# On prose greedy goes round in circles. What helps? (`repetition`, `frequency` and `no_repeat`, which forbids a four-token piece to come twice, are greedy with that rule.)

# %% tags=["label-loops"]
print("prose            rep-4, with interval          nats")
for arm in study.ON_PROSE:
    rep = bootstrap_interval(each(f"prose_{arm}", "rep-4"))
    nats = each(f"prose_{arm}", "nats").mean()
    line = f"{arm:15}{rep.value:6.1%} [{rep.low:.1%}, {rep.high:.1%}]"
    print(line + f"{nats:8.2f}")

# %% [markdown]
# Every one of them breaks the circles. None makes the text as surprising as a person's: they forbid a symptom. Drawing never had it. (Four beams repeat little because they
# flee to their story.)
#
# ## 6 Only what the grammar allows (7 min)
#
# A program that reads the answer wants one of a few words, or valid JSON. Asking politely helps often. Forbidding helps always: **constrained decoding**
# (约束解码) gives every token that cannot lead to an allowed text the logit $-\infty$. Let the allowed texts be a list. A token may come if
# what is written so far, plus the token, begins one of them:


# %%
pieces = [tokenizer.decode([i]) for i in range(tokenizer.n_vocab)]
full_stops = [i for i, piece in enumerate(pieces) if piece.endswith(".")]


def only(allowed, prompt_length):
    def rule(text, logits):
        said = tokenizer.decode(text[0, prompt_length:].tolist())
        fits = [
            piece != "" and any(a.startswith(said + piece) for a in allowed)
            for piece in pieces
        ]
        return logits.masked_fill(~torch.tensor(fits), -math.inf)

    return rule


# %% [markdown]
# The text is compared, not the tokens: " Lily" may come as one token or as three. We ask the model who did something, in 50 short
# stories. Allowed are the names in the story.
#
# **Predict.** Does the rule make the answers true?

# %%
names = sorted(study.NAMES)


def answer(prompt, rules=()):
    ids = torch.tensor([tokenizer.encode(prompt)])
    new = generate(model, ids, 8, rules=rules, stop_ids=full_stops)
    said = tokenizer.decode(new[0, ids.shape[1] :].tolist())
    return said.split("\n")[0].strip()


questions = make_quiz_corpus(19, 80, "en", kinds=("who_did",))
questions = [q for q in questions if "Answer:" in q]
questions = [q for q in questions if len(tokenizer.encode(q)) < 120][:50]

# %% tags=["nbval-ignore-output", "label-answers"]
count = {"free": [0, 0], "forced": [0, 0]}
chance = 0.0
for text in questions:
    prompt, wanted = text.rsplit("Answer:", 1)
    prompt, story = prompt + "Answer:", prompt.split("Question:")[0]
    allowed = [f" {name}." for name in names if name in story]
    chance += 1 / len(allowed)
    length = len(tokenizer.encode(prompt))
    rules = {"free": (), "forced": [only(allowed, length)]}
    for how, rule in rules.items():
        said = answer(prompt, rule)
        count[how][0] += f" {said}" in allowed
        count[how][1] += said == wanted.strip()
for how, (fits, true) in count.items():
    print(f"{how:7} {fits} of {len(questions)} in form, {true} true")
print(f"a name of the story by lot: {chance:.0f} true")
assert count["forced"][0] == len(questions)

# %% [markdown]
# Left free, the model mostly names somebody who is not in the story at all. Forced, its form is perfect; but it is right little more often than
# a lot would be. A rule chooses among what the model believes. A grammar makes answers readable, not right.
#
# A list cannot say "any number" or "a list of names". A **grammar** (文法) can. The package reads one, and lets a token pass if the text can
# still be completed:

# %% tags=["nbval-ignore-output", "label-json"]
shape = r"""
root ::= "{\"hero\": " name ", \"age\": " age ", \"friends\": [" list? "]}"
list ::= name (", " name)?
age ::= [1-9] [0-9]?
"""
name = " | ".join(rf'"\"{name}\""' for name in names)
shape += f"name ::= {name}"
facts = "Lily was a girl of nine. She liked to play with Ben and Mia.\n"
row = torch.tensor([tokenizer.encode(facts)])
end = tokenizer.special_id("<|endoftext|>")
length = row.shape[1]
rule = lib.GrammarRule(shape, tokenizer, prompt_length=length, stop_ids=[end])
settings = {"rules": [rule], "stop_ids": [end], "temperature": 1.0}
for seed in range(3):
    new = generate(model, row, 60, seed=seed, **settings)[0, length:]
    said = tokenizer.decode([i for i in new.tolist() if i != end])
    print(json.loads(said))

# %% [markdown]
# Valid each time, by a model that was not taught JSON, and mostly untrue. Mind loops: a rule `[a-z]+` always allows one more letter, and need not end.
#
# ## 7 A small model guesses, the large one checks (14 min)
#
# A pass of a large model takes nearly as long for one token as for five: most of the time goes into fetching its weights. But the fifth token needs the
# four before it. **Speculative decoding** (推测解码; Leviathan et al. 2023, Chen et al. 2023): a small model, the *draft* (草稿模型),
# writes $n$ tokens; the large one, the *target*, reads all of them in **one** pass, and keeps a part.
#
# Which part, so that the text is distributed exactly as the target's own? For one token: let $q$ be the draft's distribution, $p$ the
# target's, and $v$ drawn from $q$.
#
# 1. Accept $v$ with probability $\min\bigl(1,\,p(v)/q(v)\bigr)$.
# 2. If it was refused, draw from the **residual** (残差分布) $r(v)=\max(0,\,p(v)-q(v))\,/\,R$, with
#    $R=\sum_w \max(0,\,p(w)-q(w))$.
#
# **Proof.** Drawn and accepted: $q(v)\min(1,p(v)/q(v))=\min(p(v),q(v))$. The chance of a refusal is $1-\sum_w\min(p(w),q(w))$, and since
# $p-\min(p,q)=\max(0,p-q)$ and $\sum p=1$, that is just $R$. So token $v$ comes out with probability
#
# $$\min(p,q) + R\cdot\frac{\max(0,p-q)}{R} = \min(p,q)+\max(0,p-q) = p(v). \qquad\blacksquare$$
#
# **Checked by enumeration,** for whole texts: two toy models over three letters that depend on all that was written, $n=2$, every draft and every refusal.


# %%
def random_model(seed):
    draw = torch.Generator().manual_seed(seed)

    @cache
    def after(text):
        z = 1.5 * torch.randn(3, generator=draw, dtype=f64)
        return z.softmax(-1)

    return after


# %%
target, drafter = random_model(1), random_model(2)


def add_pass(text, weight, L, found):
    """Add what one pass can make of a text, and go on until length L."""
    if len(text) >= L:
        found[text[:L]] = found.get(text[:L], 0) + weight
        return
    ways = [(text, weight)]  # drafted so far, and all accepted
    for _ in range(2):
        accepted = []
        for t, w in ways:
            p, q = target(t), drafter(t)
            refused = w * (p - q).clamp(min=0).sum()
            for v, r in enumerate(residual(p, q)):
                add_pass((*t, v), refused * r, L, found)
            both = torch.minimum(p, q)
            accepted += [((*t, v), w * both[v]) for v in range(3)]
        ways = accepted
    for t, w in ways:  # nothing refused: one more token for free
        for v, p in enumerate(target(t)):
            add_pass((*t, v), w * p, L, found)


# %%
found = {}
add_pass((), 1.0, 3, found)
worst = 0.0
for text in itertools.product(range(3), repeat=3):
    p = math.prod(target(text[:i])[v].item() for i, v in enumerate(text))
    worst = max(worst, abs(found[text].item() - p))
assert worst < 1e-12
print(f"{len(found)} texts, all as probable as under the target alone")

# %% [markdown]
# **Checked by chance,** with the package's `verify`, on one token, 20 000 times. The **chi-square** statistic (卡方) adds
# $(\text{seen}-\text{expected})^2/\text{expected}$ over the tokens, and has a known distribution if all is right. To see that the test can
# fail, we also draw refused tokens from $p$ instead of from the residual.

# %%
p5 = torch.tensor([0.5, 0.3, 0.1, 0.1, 0.0], dtype=f64)
q5 = torch.tensor([0.2, 0.2, 0.2, 0.1, 0.3], dtype=f64)
n = 20_000
drafted = torch.multinomial(q5, n, replacement=True).tolist()
uniforms = torch.rand(n, 1)
counts = {"residual": torch.zeros(5), "p again": torch.zeros(5)}
both = torch.stack([p5, p5])
for v, u in zip(drafted, uniforms):
    accepted, last = verify(both, q5[None], [v], u)
    for how, other in (("residual", last), ("p again", p5)):
        new = v if accepted else torch.multinomial(other, 1)
        counts[how][new] += 1

# %% tags=["label-chi"]
limit = chi2_quantile(0.999, 3)  # four tokens are possible
for how, seen in counts.items():
    expected = n * p5[:4]
    chi2 = ((seen[:4] - expected) ** 2 / expected).sum().item()
    print(f"{how:9} chi-square {chi2:7.1f}, limit {limit:.1f}")
    assert (chi2 < limit) == (how == "residual")
assert counts["residual"][4] == 0

# %% [markdown]
# **How many tokens does a pass yield?** Suppose each guess is accepted with probability $\alpha$. The first token always comes, the second if
# one guess was accepted, and so on:
#
# $$E = 1+\alpha+\alpha^2+\dots+\alpha^n = \frac{1-\alpha^{n+1}}{1-\alpha} .$$
#
# If a draft token costs a share $c$ of a target pass, the gain is $E/(nc+1)$. Now the shipped models: *draft* (0.3 M parameters) writes for *tiny* (1.6 M).
#
# **Predict.** Which $n$ gives most tokens a pass? Which is fastest?

# %%
small, _ = base("draft")
prompts = study.prompts("stories", 6)[0][:6]  # a sixth seed
tally = {}
for n in (1, 2, 4, 8):
    runs = []
    for row in prompts:
        runs += [speculative_generate(model, small, row, 80, n_draft=n)]
    new = sum(len(run.ids) for run in runs)
    judged = sum(run.n_judged for run in runs)
    alpha = sum(run.n_accepted for run in runs) / judged
    tally[n] = (new / sum(run.n_passes for run in runs), alpha)
    for row, run in zip(prompts, runs):
        plain = generate(model, row[None], 80)[0, len(row) :]
        assert run.ids == plain.tolist()  # greedy: the very same text

# %% tags=["nbval-ignore-output", "label-passes"]
for n, (per_pass, alpha) in tally.items():
    formula = lib.expected_tokens(alpha, n)
    print(f"n = {n}: {per_pass:.2f} tokens a pass, ", end="")
    print(f"accepted {alpha:.0%}, formula {formula:.2f}")
    assert abs(per_pass / formula - 1) < 0.2
assert tally[4][0] > 2

# %% tags=["nbval-ignore-output", "label-expected"]
fig, ax = plt.subplots(figsize=(5.6, 2.9), layout="constrained")
for alpha, style in ((0.5, ":"), (0.7, "--"), (0.8, "-."), (0.9, "-")):
    e = [lib.expected_tokens(alpha, n) for n in range(11)]
    ax.plot(range(11), e, style, label=f"α = {alpha}")
ax.plot(list(tally), [e for e, _ in tally.values()], "ko", label="measured")
ax.set(xlabel="drafted tokens n", ylabel="tokens a pass")
ax.legend()
alt = "Expected tokens a pass against n for four acceptance rates; the "
alt += "measured points lie near the curve of 0.8."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** More drafts give more tokens a pass, but less and less: at $\alpha=0.8$ never more than 5. The measured points lie near the
# curve of their $\alpha$.
#
# And the clock? Both assumptions fail for models as small as ours. Their time does not go into fetching weights: on the build machine a token of the draft costs about
# half of the target's, and a pass over five positions about twice one over one. A **table** of what followed the last tokens in a corpus is a draft, too, and costs next to nothing:


# %% tags=["nbval-ignore-output", "label-clock"]
def seconds(write):
    began = time.process_time()
    for row in prompts:
        write(row)
    return time.process_time() - began


corpus = [tokenizer.encode(t) for t in make_quiz_corpus(0, 1500, "en")]
table = lib.NgramDraft(n=5, corpus=corpus)
ways = {"plain": lambda row: generate(model, row[None], 80)}
for name, draft in (("small model", small), ("table", table)):
    ways[name] = lambda row, draft=draft: speculative_generate(
        model, draft, row, 80, n_draft=6
    )
for name, way in ways.items():
    took = min(seconds(way) for _ in range(3))
    print(f"{name:12} {480 / took:6.0f} tokens a second")

# %% [markdown]
# On the build machine the small model *loses* time, and the table wins some. Both change nothing in the text. At the sizes that the papers
# speak of (70 B checked, 4 B guessing), $c$ is a few per cent, and they report two to three times the speed.
#
# ## 8 Settings of known models, and bad input (5 min)
#
# What do published models use? The lines are from the papers and from copies of the released code, not all of them first hand. Settings are made for a task: search where one
# answer is right, drawing where many are.
#
# | model | setting | for what, where |
# |---|---|---|
# | T5 (2019) | greedy; 4 beams, $\alpha=0.6$ for long outputs | its benchmarks; sections 3.1.2 and 3.7 |
# | CTRL (2019) | greedy, repetition penalty 1.2 | samples; section 4.1 |
# | GPT-3 (2020) | 4 beams, $\alpha=0.6$ | free-form answers; section 2.4 |
# | OPT-175B (2022) | top-p 0.9 | 25 samples a prompt, toxicity |
# | LLaMA (2023) | T 0.1; T 0.8 | code, pass@1; pass@100; table 8 |
# | LLaMA-2 (2023) | T 0.6, top-p 0.9 | defaults of the released scripts |
# | ChatGLM2-6B (2023) | T 0.8, top-p 0.8 | defaults of its `chat` |
# | Baichuan2-13B-Chat (2023) | T 0.3, top-k 5, top-p 0.85, repetition 1.05 | its `generation_config.json` |
# | Qwen3 (2025) | T 0.6, top-k 20, top-p 0.95 | thinking mode; section 4.6 |
#
# The article mentions the first and the third (DEC-003, a table; there is nothing to run). How free is each, on the distribution of section 4?

# %% tags=["nbval-ignore-output", "label-settings"]
settings = {
    "OPT": {"top_p": 0.9},
    "LLaMA, code, pass@1": {"temperature": 0.1},
    "LLaMA, code, pass@100": {"temperature": 0.8},
    "LLaMA-2": {"temperature": 0.6, "top_p": 0.9},
    "ChatGLM2": {"temperature": 0.8, "top_p": 0.8},
    "Baichuan2": {"temperature": 0.3, "top_k": 5, "top_p": 0.85},
    "Qwen3": {"temperature": 0.6, "top_k": 20, "top_p": 0.95},
}
left = {name: by_package(z, **s) for name, s in settings.items()}
freedom = {n: torch.special.entr(q).sum().item() for n, q in left.items()}
for name in sorted(freedom, key=freedom.get):
    kept = int((left[name] > 1e-6).sum())
    print(f"{name:22} entropy {freedom[name]:.2f} nats, {kept:4} tokens")

# %% [markdown]
# **Bad input** gets an error that names the value, or a documented behaviour: temperature 0 is greedy; $k$ larger than the vocabulary
# keeps all.

# %% tags=["label-bad"]
bad = {
    "negative temperature": lambda: lib.sample_next(z, temperature=-1.0),
    "p above 1": lambda: lib.sample_next(z, temperature=1.0, top_p=1.5),
    "p of 0": lambda: lib.sample_next(z, temperature=1.0, top_p=0.0),
    "k of 0": lambda: lib.sample_next(z, temperature=1.0, top_k=0),
    "nothing allowed": lambda: generate(model, ids, 5, rules=[only([], 0)]),
    "prompt too long": lambda: generate(model, ids.repeat(1, 8), 20),
}
for what, call in bad.items():
    try:
        call()
    except ValueError as error:
        print(f"{what}: {str(error)[:60]}")
    else:
        raise AssertionError(f"{what} was let through")
assert lib.sample_next(z, temperature=0) == z.argmax()
assert torch.equal(by_package(z, top_k=99_999), by_package(z))

# %% [markdown]
# ## Homework (45 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The rest of the notebook does not
# depend on your answers.
#
# ### Exercise 1 · The nucleus of a batch (8 min, ★★☆)
#
# `p` is (B, V), rows of probabilities. Return top-p for all rows at once, without a loop: the shortest list of the largest whose sum is at least `mass`, divided by
# its sum, zeros elsewhere. Of equals the smaller id comes first.
#
# <details><summary>Hint 1</summary><code>sort(dim=-1, descending=True, stable=True)</code> gives values and ids of every row.</details>
# <details><summary>Hint 2</summary>Put the kept values back with <code>torch.zeros_like(p).scatter(-1, ids, kept)</code>.</details>


# %% tags=["exercise"]
def nucleus(p, mass):
    # BEGIN SOLUTION
    ordered, ids = p.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(dim=-1) - ordered
    kept = torch.where(before < mass, ordered, 0.0)
    kept = kept / kept.sum(dim=-1, keepdim=True)
    return torch.zeros_like(p).scatter(-1, ids, kept)
    # END SOLUTION


# %% tags=["check"]
def row_by_row(p, mass):
    out = torch.zeros_like(p)
    for row, into in zip(p.tolist(), out):
        total = 0.0
        for v in sorted(range(len(row)), key=lambda v: (-row[v], v)):
            if total < mass:
                into[v] = row[v]
            total += row[v]
    return out / out.sum(dim=-1, keepdim=True)


ties = torch.tensor([[0.125, 0.25, 0.5, 0.125], [0.25] * 4], dtype=f64)
some = torch.rand(5, 9, dtype=f64)
some = some / some.sum(dim=-1, keepdim=True)
cases = [(ties, 0.5), (ties, 0.51), (ties, 0.8), (some, 0.7), (some, 1e-9)]
check(nucleus, row_by_row, cases)

# %% [markdown]
# ### Exercise 2 · The penalty with the right sign (5 min, ★☆☆)
#
# `logits` is (V,), `said` a list of ids in which some occur more than once. Return new logits with the repetition penalty `theta`, as in section 5.
#
# <details><summary>Hint</summary>Work on <code>set(said)</code>: how often a token was said does not matter here.</details>


# %% tags=["exercise"]
def penalise(logits, said, theta):
    # BEGIN SOLUTION
    out = logits.clone()
    for v in set(said):
        out[v] = out[v] / theta if out[v] > 0 else out[v] * theta
    return out
    # END SOLUTION


# %% tags=["check"]
def package_penalty(logits, said, theta):
    ids = torch.tensor([said], dtype=torch.int64)
    return lib.repetition_penalty(logits[None], ids, theta)[0]


z6 = torch.tensor([2.0, -1.0, 0.0, 0.5, -3.0, 1.0], dtype=f64)
cases = [(z6, [0, 1, 1, 0], 1.2), (z6, [], 1.5), (z6, [2, 4, 5], 0.8)]
check(penalise, package_penalty, cases)

# %% [markdown]
# ### Exercise 3 · A beam that can end (14 min, ★★★)
#
# Extend `beam` of section 2. A text ends with the token `end`, or when it has `n` tokens. After each token: rank all continuations by log-probability (a stable sort, so that
# ties stay in order). Those among the first `width` that end are set aside. The first `width` that do *not* end go on. Return the text (a tuple) set aside with the best score,
# $\log p\,/\,\text{length}^{\alpha}$.
#
# <details><summary>Hint 1</summary>Keep two lists, <code>kept</code> and <code>ended</code>. At the last step everything ends.</details>
# <details><summary>Hint 2</summary>The place in the ranking counts for those that end; how many were kept counts for the others.</details>


# %% tags=["exercise"]
def beam_with_end(log_p_after, n, width, alpha, end):
    # BEGIN SOLUTION
    kept, ended = [((), 0.0)], []
    for length in range(1, n + 1):
        longer = [
            ((*text, v), total + log_p)
            for text, total in kept
            for v, log_p in enumerate(log_p_after(text))
        ]
        longer.sort(key=lambda one: -one[1])
        kept = []
        for place, (text, total) in enumerate(longer):
            if text[-1] == end or length == n:
                if place < width:
                    ended.append((total / length**alpha, text))
            elif len(kept) < width:
                kept.append((text, total))
    return max(ended, key=lambda one: one[0])[1]
    # END SOLUTION


# %% tags=["setup"]
class Table(torch.nn.Module):
    """The next token depends on the last one and on the place: (n, V, V)."""

    def __init__(self, log_p):
        super().__init__()
        self.log_p = torch.nn.Parameter(log_p)

    def forward(self, ids):
        return self.log_p[torch.arange(ids.shape[1]), ids]


def by_the_package(log_p_after, n, width, alpha, end):
    best = beam_search(
        Table(log_p_after.table),
        [0],
        n,
        n_beams=width,
        length_penalty=alpha,
        stop_ids=[end],
        use_cache=False,
    )[0]
    return best.ids


# %% tags=["check"]
def table_case(seed, V, n, width, alpha):
    draw = torch.Generator().manual_seed(seed)
    z = 1.5 * torch.randn(n, V, V, generator=draw, dtype=f64)

    def after(text):
        return after.table[len(text), text[-1] if text else 0].tolist()

    after.table = z.log_softmax(-1)
    return after, n, width, alpha, V - 1


cases = [table_case(s, 4, 5, 2, 0.0) for s in range(6)]
cases += [table_case(s, 5, 6, 3, 1.0) for s in range(6)]
cases += [table_case(s, 3, 6, 2, a) for s in range(6) for a in (0.6, 2.0)]
cases += [table_case(3, 4, 1, 2, 1.0), table_case(4, 4, 4, 1, 1.0)]
check(beam_with_end, by_the_package, cases)

# %% [markdown]
# ### Exercise 4 · The other half of the proof (6 min, ★★☆)
#
# For rows `p` and `q`, (V,), return two things: the probability that a drafted token is refused (a float), and the residual, (V,). Where $p=q$ nothing is ever refused; return `p` as the
# residual there, not a NaN.
#
# <details><summary>Hint</summary>Both come from max(0, p − q).</details>


# %% tags=["exercise"]
def refusal(p, q):
    # BEGIN SOLUTION
    missing = (p - q).clamp(min=0)
    refused = missing.sum()
    if refused == 0:
        return 0.0, p
    return refused.item(), missing / refused
    # END SOLUTION


# %% tags=["check"]
def from_the_package(p, q):
    drafted = q * lib.acceptance(p, q)  # drawn and accepted
    return 1 - drafted.sum().item(), residual(p, q)


flat = torch.full((4,), 0.25, dtype=f64)
one = torch.tensor([1.0, 0, 0, 0], dtype=f64)
two = torch.tensor([0.0, 0.5, 0.5, 0], dtype=f64)
row, other = some[0], some[1]
cases = [(row, other), (other, row), (flat, flat), (one, two), (flat, one)]
check(refusal, from_the_package, cases)

# %% [markdown]
# ### Exercise 5 · A grammar without dead ends (12 min, ★★★)
#
# A machine reads letters: `moves[state]` maps a letter to the next state; a letter that is missing there is forbidden. A text is complete in a state of `accept`. `pieces` are the tokens, as
# strings of one or more letters, or empty. Return the list of the numbers of the tokens that may come in `state`: not empty, every letter allowed in turn, and from the state behind the token
# a state of `accept` can still be reached (in zero or more moves).
#
# <details><summary>Hint 1</summary>First find the states from which accept can be reached: start with accept, add states with a move into the set, until nothing is added.</details>
# <details><summary>Hint 2</summary>Then walk through each token, letter by letter.</details>


# %% tags=["exercise"]
def allowed_tokens(moves, accept, pieces, state):
    # BEGIN SOLUTION
    alive, before = set(accept), None
    while alive != before:
        before = set(alive)
        alive |= {s for s, go in moves.items() if alive & set(go.values())}
    fits = []
    for i, piece in enumerate(pieces):
        here = state
        for letter in piece:
            here = moves.get(here, {}).get(letter)
        if piece and here in alive:
            fits.append(i)
    return fits
    # END SOLUTION


# %% tags=["check"]
def by_trying(moves, accept, pieces, state):
    """Write on, in all ways, up to eight letters."""
    fits = []
    for i, piece in enumerate(pieces):
        texts = {piece} if piece else set()
        ends = set()
        for text in texts:
            here = state
            for letter in text:
                here = moves.get(here, {}).get(letter)
            ends.add(here)
        for _ in range(8):
            ends |= {to for s in ends for to in moves.get(s, {}).values()}
        if ends & set(accept):
            fits.append(i)
    return fits


number = {0: {"-": 1, "1": 2, "0": 3}, 1: {"1": 2}, 2: {"1": 2, "0": 2}}
number |= {3: {"x": 4}, 4: {"x": 4}}  # "0x" leads nowhere
tokens = ["", "-", "1", "0", "-1", "10", "0x", "x", "-0", "--", "1-", "110"]
cases = [(number, [2, 3], tokens, s) for s in (0, 1, 2, 3, 4)]
cases += [(number, [4], tokens, 0), ({0: {}}, [0], tokens, 0)]
chain = {0: {"-": 1}, 1: {"1": 2}, 2: {"0": 3}, 3: {}}
cases += [(chain, [3], tokens, s) for s in range(4)]
check(allowed_tokens, by_trying, cases)

# %% [markdown]
# ## At scale
#
# Rules of choice cost nothing next to a pass of a large model; what costs is the number of passes, and beams cost memory: each keeps keys and values of its own ([lesson 16a](16a_heads_and_cache.ipynb)).
# Translation uses beams of 4 to 6, open-ended chat draws. Servers batch many users, and then a pass is no longer bound by fetching weights: speculative decoding gains most where there is
# one user. Chen et al. report 2 to 2.5 times the speed for Chinchilla 70B with a draft of 4 B. Measured on a GPU by this course: not yet.
#
# **Common mistakes**
#
# | mistake | what you see |
# |---|---|
# | divide negative logits by the repetition penalty | it repeats *more* |
# | top-p that drops the token which crosses $p$ | sums below $p$; with a sure model nothing is left |
# | temperature after top-p instead of before | another set of tokens is kept |
# | compare texts of different length by sums | the shortest wins |
# | draw refused tokens from $p$ instead of the residual | fluent, and slightly wrong: only a test sees it |
# | another filter for the draft than for the target in $p/q$ | the same |
# | compare tokens instead of text in a grammar | valid answers become impossible |
#
# ## Recap
#
# - Greedy and beam search look for the most probable text. A wider beam usually finds a more probable one.
# - Real text is typical, not most probable; what beams find is poor in variety, and the same for many prompts.
# - Temperature reshapes; top-k, top-p, min-p and typical cut. Real text lies near $T=0.7$, top-k 10 and top-p 0.9 here.
# - Penalties act on logits, and signs matter. A grammar guarantees the form, never the truth.
# - Speculative decoding: accept with $\min(1,p/q)$, else draw from the residual. The distribution is unchanged.
#
# ## Questions
#
# 1. Why is beam search of width 1 greedy, and of width $V^{n-1}$ exact?
# <details><summary>Answer</summary>Width 1 keeps the best token each time. There are V to the n−1 texts before the last token, so none is dropped.</details>
#
# 2. Give a reason why a wider beam may find a worse text.
# <details><summary>Answer</summary>Texts that are good for now push out the one whose sure tokens come later.</details>
#
# 3. A coin with heads 0.6. Which series of 100 is most probable, and why do you never see it?
# <details><summary>Answer</summary>All heads: each other series is less probable, but there are so many of them.</details>
#
# 4. The model is sure: one token has 0.97. What do top-k 50, top-p 0.9 and min-p 0.1 keep?
# <details><summary>Answer</summary>50 tokens, one, one.</details>
#
# 5. Why can typical sampling drop the likeliest token?
# <details><summary>Answer</summary>Its surprise may be far below the entropy, the surprise that is expected.</details>
#
# 6. Somebody adds 10 to all logits. Which penalty changes its effect?
# <details><summary>Answer</summary>The repetition penalty (a factor); presence and frequency (differences) do not.</details>
#
# 7. The draft is the target itself. How many tokens come from a pass, and what is the residual?
# <details><summary>Answer</summary>n + 1. Nothing is refused, so it is never used.</details>
#
# 8. A grammar forces "yes" or "no". The model wanted to say "maybe". What do you get?
# <details><summary>Answer</summary>Whichever of the two it gives more probability, however little that is.</details>
#
# ## Sources
#
# - Holtzman et al. 2020, *The Curious Case of Neural Text Degeneration*, [arXiv:1904.09751](https://arxiv.org/abs/1904.09751): top-p, and the figure of section 3 for GPT-2.
# - Fan et al. 2018, [arXiv:1805.04833](https://arxiv.org/abs/1805.04833): top-k. Nguyen et al. 2024, [arXiv:2407.01082](https://arxiv.org/abs/2407.01082): min-p. Meister et al. 2022,
#   [arXiv:2202.00666](https://arxiv.org/abs/2202.00666): typical sampling.
# - Wu et al. 2016, [arXiv:1609.08144](https://arxiv.org/abs/1609.08144): length penalty, section 7. Vijayakumar et al. 2016, [arXiv:1610.02424](https://arxiv.org/abs/1610.02424): diverse groups.
# - Stahlberg and Byrne 2019, [arXiv:1908.10090](https://arxiv.org/abs/1908.10090): the empty text as the most probable one.
# - Keskar et al. 2019, *CTRL*, [arXiv:1909.05858](https://arxiv.org/abs/1909.05858); Su et al. 2022, [arXiv:2202.06417](https://arxiv.org/abs/2202.06417): contrastive search.
# - Leviathan et al. 2023, [arXiv:2211.17192](https://arxiv.org/abs/2211.17192), and Chen et al. 2023, [arXiv:2302.01318](https://arxiv.org/abs/2302.01318): speculative decoding.
# - Welleck et al. 2019, [arXiv:1908.04319](https://arxiv.org/abs/1908.04319): rep-4. Li et al. 2016, [arXiv:1510.03055](https://arxiv.org/abs/1510.03055): distinct-2.
# - Zhao et al. 2023, *A Survey of Large Language Models*, [arXiv:2303.18223](https://arxiv.org/abs/2303.18223): the summary that our article follows.
#
# ## Next
#
# [20a AdamW](20a_adamw.ipynb): how the weights behind these probabilities are found.

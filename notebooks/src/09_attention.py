# %% [markdown]
# # 09 Attention: which earlier tokens matter here?
#
# 75 min · CPU · 30 s · 0.6 GB · needs [06 BPE](06_bpe.ipynb) · code: `minillm/model/attention.py`
#
# After this lesson you can
#
# 1. compute attention by hand for three tokens, and name the axes of every tensor on the way;
# 2. explain why scores are divided by the square root of the head width, and show it by experiment;
# 3. write a causal mask, and prove by a test that nothing leaks from the future;
# 4. split a layer into heads, and count what it costs in arithmetic and in memory;
# 5. assemble a whole decoder in forty lines, and say what its loss must be before it has learned anything.
#
# You need Python, matrix products and a little torch. Of lesson 06 you need only this: a text
# reaches the model as a row of **tokens** (词元), each of which is a number in a vocabulary.
#
# ## Setup

# %% tags=["setup"]
import math

import matplotlib.pyplot as plt
import torch
from einops import einsum, rearrange
from torch import nn
from torch.nn import functional as F

from minillm.data.storyworld import make_story
from minillm.lesson import check, claim, setup, show
from minillm.model import attention, attention_weights

setup(seed=9)

# %% [markdown]
# ## 1 An average that chooses (7 min)
#
# A language model (语言模型) reads a text token by token and guesses the next one, again and again.
# Inside it, every token is a vector: a list of numbers. At first that vector knows only *which*
# token it is. Read the sentence in the picture. To guess what follows *it*, the model must find out
# that *it* is the key: the vector of *it* has to fetch something from the vector of *key*, and
# nothing from *gave*. (The numbers are invented; from section 2 on we compute them.)

# %% tags=["label-opening"]
sentence = "Mia gave the key to Tom because he had asked for it"
words = sentence.split()
looks = [("he", 5, 0.8), ("he", 0, 0.2), ("it", 3, 0.9), ("it", 5, 0.1)]
white = {"color": "white", "pad": 1}
fig, ax = plt.subplots(figsize=(7.2, 1.8), layout="constrained")
for place, word in enumerate(words):
    ax.text(place, 0, word, ha="center", va="center", size=12)
for asker, end, weight in looks:
    start = words.index(asker)
    side, look = (1, "-") if asker == "it" else (-1, "--")
    bow = {"connectionstyle": f"arc3,rad={0.3 * side}", "arrowstyle": "->"}
    bow |= {"ls": look, "lw": 3 * weight, "color": f"C{(1 - side) // 2}"}
    ax.annotate("", (end, 0.2 * side), (start, 0.2 * side), arrowprops=bow)
    top = side * (0.3 + 0.16 * (start - end))
    middle = (start + end) / 2
    ax.text(middle, top, weight, ha="center", va="center", bbox=white)
ax.set(xlim=(-0.6, 11.6), ylim=(-1.7, 1.9))
ax.axis("off")
show(
    fig,
    alt="The sentence 'Mia gave the key to Tom because he had asked for it' "
    "with arrows: from 'it' a thick one to 'key', a thin one to 'Tom'; "
    "from 'he' a thick one to 'Tom', a thin one to 'Mia'.",
)

# %% [markdown]
# **What you should see.** *it* takes most of what it needs from *key* (solid arrow), *he* from *Tom*
# (dashed). The shares of each asking word add up to 1. So we need a step in which each position
# collects information from earlier positions, *and chooses which ones*.
#
# The simplest way to collect is a plain average. Take four tokens, *Mia gave the key*, with invented
# vectors of width 2.

# %%
x = torch.tensor([[1.0, 0.0], [0.0, 2.0], [4.0, 4.0], [1.0, 2.0]])  # (T=4, 2)
T = len(x)  # number of tokens
plain = torch.stack([x[: t + 1].mean(dim=0) for t in range(T)])  # (T, 2)
plain

# %% [markdown]
# Row $t$ is the mean of rows $0$ to $t$. The same thing can be written as one product with a
# matrix of **weights** (权重) whose rows sum to 1. This is the trick that the rest of the lesson
# builds on: *averaging is a matrix product*.

# %%
equal = torch.ones(T, T).tril()  # (T, T): ones on and below the diagonal
equal = equal / equal.sum(dim=-1, keepdim=True)
print(equal)
assert torch.allclose(equal @ x, plain)

# %% [markdown]
# A plain average does not choose: in the last row *the* counts as much as *Mia*. **Attention**
# (注意力) keeps the matrix product and lets the tokens themselves decide the weights.
#
# ## 2 Three tokens by hand (10 min)
#
# Every token hands out three vectors (made from its own vector; section 5 says how). Think of a
# library:
#
# - the **query** (查询) $q$: what I am looking for;
# - the **key** (键) $k$: what is written on my spine, to be matched against queries;
# - the **value** (值) $v$: what I hand over when somebody picks me.
#
# A query is compared with a key by their inner product $q^\top k$, the **score**: large if they
# point the same way. Three tokens, so three rows each; the width is $H = 2$. The numbers are chosen
# so that you can do the sums in your head.

# %%
q = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])  # (T=3, H=2)
k = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # (S=3, H=2)
v = torch.tensor([[10.0, 0.0], [0.0, 10.0], [5.0, 5.0]])  # (S=3, H=2)
three = q, k, v  # kept for section 3

# %% [markdown]
# We write $T$ for the number of queries and $S$ for the number of keys. They are the same here;
# in [lesson 16a](16a_heads_and_cache.ipynb) they will differ.
#
# **Predict, then run.** The third query is $(2, 0)$. Which keys does it match best, and which
# not at all?
#
# <details><summary>Answer</summary>Keys 0 and 2 equally, with score 2 each, because both have a 1
# in the first coordinate. Key 1 not at all: score 0.</details>

# %%
last = q[2]
scores = []
for key in k:
    scores.append(sum(a * b for a, b in zip(last.tolist(), key.tolist())))
scores

# %% [markdown]
# Scores can be any number; weights must be positive and sum to 1. The **softmax** does that: raise
# $e$ to each score, then divide by the sum.
#
# $$w_s = \frac{e^{\,q^\top k_s}}{\sum_{r} e^{\,q^\top k_r}}$$
#
# The output is the average of the values with these weights. So we expect mostly values 0 and 2, and
# almost none of value 1.

# %% tags=["label-hand"]
powers = [math.exp(s) for s in scores]
weights = [p / sum(powers) for p in powers]
by_hand = [0.0, 0.0]
for w, row in zip(weights, v.tolist()):
    by_hand = [total + w * value for total, value in zip(by_hand, row)]
print("weights", [round(w, 3) for w in weights])
print("output ", [round(y, 3) for y in by_hand])

# %% [markdown]
# Now all three queries at once. `q @ k.T` holds every score: row = query, column = key.

# %%
all_scores = q @ k.T  # (T, S)
all_weights = all_scores.softmax(dim=-1)  # (T, S), each row sums to 1
out = all_weights @ v  # (T, H)
print(all_scores)
print(all_weights)
assert torch.allclose(out[2], torch.tensor(by_hand))  # loop = matmul
assert torch.allclose(all_weights.sum(dim=-1), torch.ones(3))

# %% [markdown]
# The last row of the second matrix is what we computed by hand. That is all of attention but for
# three additions: a scale, a mask, and heads. The next three sections add one each.
#
# ## 3 Why divide by the square root of H? (12 min)
#
# Suppose that the entries of $q$ and $k$ are independent, with mean 0 and variance 1: that is what
# a careful initialisation aims at. Each product $q_i k_i$ then has mean 0 and variance
# $\operatorname{E}[q_i^2]\operatorname{E}[k_i^2] = 1$. The score is a sum of $H$ independent
# products, and variances of independent terms add up:
#
# $$\operatorname{Var}[q^\top k] = H, \qquad\text{so}\qquad
# \operatorname{Var}\!\left[\frac{q^\top k}{\sqrt H}\right] = 1.$$
#
# **Predict, then run.** $H$ goes from 16 to 256. By what factor does the spread (the standard
# deviation) of the unscaled score grow?
#
# <details><summary>Answer</summary>By 4: the variance grows 16-fold, the spread by its
# square root.</details>

# %% tags=["nbval-ignore-output", "label-spread"]
widths, n_pairs, spread = (4, 16, 64, 256), 20_000, {}
for H in widths:
    q, k = torch.randn(2, n_pairs, H)
    spread[H] = (q * k).sum(dim=-1).std().item()
    assert abs(spread[H] / math.sqrt(H) - 1) < 0.05  # the derivation, checked
{H: round(s, 2) for H, s in spread.items()}

# %% [markdown]
# This is a statement of the literature, so it goes into the ledger of the course: a list of claims,
# each with a rule that was written down *before* the run and a verdict computed from it. We measure
# the variance of $q^\top k/\sqrt H$ for ten seeds and give its 95 % interval; the rule asks the whole
# interval to lie within 5 % of 1.

# %%
from minillm.evaluate.intervals import mean_interval


def variance_of_scores(seed: int, H: int = 64) -> float:
    generator = torch.Generator().manual_seed(seed)
    q, k = torch.randn(2, n_pairs, H, generator=generator)
    return ((q * k).sum(dim=-1) / math.sqrt(H)).var().item()


variance = mean_interval([variance_of_scores(seed) for seed in range(10)])
claim("ATT-012", variance.value, variance)

# %% [markdown]
# Why does a large spread hurt? Because the softmax turns *differences* of scores into *factors*
# between weights. With $H = 256$ a score may easily be 16 above another, and $e^{16}$ is about nine
# million: one key takes all the weight. Here are the weights of one query over 16 random keys.


# %% tags=["label-bars"]
def draw_weights(ax, H: int, divide: bool, seed: int = 3):
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(H, generator=generator)
    k = torch.randn(16, H, generator=generator)
    scores = k @ q / (math.sqrt(H) if divide else 1.0)  # (S=16,)
    ax.bar(range(16), scores.softmax(dim=-1), hatch="" if divide else "//")
    ax.set(title=f"H = {H}", ylim=(0, 1), xticks=(0, 5, 10, 15))


fig, axes = plt.subplots(
    2, 3, figsize=(7, 3.3), layout="constrained", sharex=True, sharey=True
)
for row, divide in zip(axes, (False, True)):
    for ax, H in zip(row, (4, 64, 256)):
        draw_weights(ax, H, divide)
    how = "divided by √H" if divide else "not divided"
    row[0].set_ylabel(f"weight,\n{how}")
axes[1, 1].set_xlabel("key")
show(
    fig,
    alt="Six bar charts of the weights of one query over 16 keys. Not "
    "divided: at H = 4 several keys share the weight, at 256 one key has "
    "all of it. Divided: always shared.",
)

# %% [markdown]
# **What you should see.** Above, not divided: the wider the head, the fewer keys get a share. Below,
# divided: the weight is shared out at every width.
#
# **Widget.** Which is the smallest width at which, without the division, one key usually has more
# than nine tenths of the weight? Try several seeds.

# %% tags=["widget"]
from ipywidgets import IntSlider, interact


def play(H, divide, seed):
    fig, ax = plt.subplots(figsize=(4, 2.2), layout="constrained")
    draw_weights(ax, H, divide, seed)
    plt.show()


width = IntSlider(value=64, min=4, max=512, step=4, continuous_update=False)
_ = interact(play, H=width, divide=False, seed=(0, 20))

# %% [markdown]
# How evenly the weights are spread is measured by their **entropy** (熵): $-\sum_s w_s \log w_s$. For
# 32 keys it is at most $\log 32$, when all weights are equal, and 0 when one key takes all.
#
# A second trouble is learning. From the softmax formula, $\partial w_s/\partial(\text{score}_s) =
# w_s(1-w_s)$. If one weight is 1 and the others 0, all these slopes are 0, and training cannot
# move the scores any more. We measure both for 500 random queries.

# %%
S = 32


def softness(H: int, scale: float) -> tuple[float, float]:
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(500, 1, H, generator=generator)
    k = torch.randn(500, S, H, generator=generator)
    w = (q @ k.mT * scale).softmax(dim=-1)  # (500, 1, S)
    entropy = -(w * w.clamp_min(1e-30).log()).sum(dim=-1)
    slopes = (w * (1 - w)).sum(dim=-1)
    return entropy.mean().item(), slopes.mean().item()


raw = [softness(H, 1.0) for H in widths]
scaled = [softness(H, H**-0.5) for H in widths]
print("sum of the slopes w(1 - w):")
for H, left, right in zip(widths, raw, scaled):
    print(f"  H = {H:3}: {left[1]:.2f} not divided, {right[1]:.2f} divided")
assert raw[-1][1] < 0.2 and scaled[-1][1] > 0.8

# %% tags=["label-scaling"]
fig, (left, right) = plt.subplots(1, 2, figsize=(6.6, 2.5), layout="constrained")
left.plot(widths, [spread[H] for H in widths], "o", label="measured")
left.plot(widths, [math.sqrt(H) for H in widths], "--", label="√H")
left.set(xlabel="head width H", ylabel="spread of q·k")
left.set(xscale="log", yscale="log")
left.set_yticks([2, 4, 8, 16], ["2", "4", "8", "16"])
left.minorticks_off()
right.plot(widths, [e for e, _ in scaled], "s-", label="divided by √H")
right.plot(widths, [e for e, _ in raw], "o--", label="not divided")
right.axhline(math.log(S), color="gray", lw=1, ls=":", label="even: log 32")
right.set(
    xlabel="head width H", ylabel="entropy (nats)", xscale="log", ylim=(0, 5.4)
)
right.legend(loc="upper center", ncols=2, fontsize=9)
left.legend()
for ax in (left, right):
    ax.set_xticks(widths, widths)
    ax.minorticks_off()
show(
    fig,
    alt="Left: the measured spread of q·k lies on the line √H. Right: divided "
    "by √H the entropy of the weights stays near 3 nats at every width; "
    "not divided it falls towards 0.",
)

# %% [markdown]
# **What you should see.** Left: the points lie on the dashed line. Right: divided, the weights stay
# as soft at width 256 as at width 4; not divided, they collapse towards one key.
#
# With the scale, attention is the formula of the paper that named it:
#
# $$\text{attention}(Q, K, V) = \operatorname{softmax}\!\left(\frac{Q K^\top}{\sqrt H}\right) V.$$
#
# The package writes it out step by step in `attention_weights`, for a batch of $B$ texts and $N$
# heads at once, so its tensors have four axes, (B, N, T, H). We give it our three tokens as one text
# and one head. Compare with section 2: every row has become a little softer.

# %%
q, k, v = three
out, w = attention_weights(q[None, None], k[None, None], v[None, None])
assert torch.allclose(w[0, 0], (q @ k.T / math.sqrt(2)).softmax(dim=-1))
print(w[0, 0])

# %% [markdown]
# ## 4 The mask: no looking ahead (11 min)
#
# During training the model guesses *every* next token of a text at once: position 0 guesses token
# 1, position 1 guesses token 2, and so on. If position 1 could look at token 2, it would simply
# copy the answer, and learn nothing. So each query may look only at its own position and at
# earlier ones. This is the **causal mask** (因果掩码). In this course True means *may attend*.

# %%
T = 6
causal = torch.ones(T, T, dtype=torch.bool).tril()  # (T, T)
causal.int()

# %% [markdown]
# **Predict, then run.** Where must the mask act: on the scores before the softmax, or on the
# weights after it?
#
# <details><summary>Answer</summary>Before. A hidden score becomes minus infinity, so its weight is
# exactly 0 <em>and</em> the other weights still sum to 1. Erased afterwards, the rows no longer sum
# to 1, and what was hidden has already moved the visible weights through the sum below the
# fraction bar: a leak.</details>

# %%
scores = torch.randn(T, T)
before = scores.masked_fill(~causal, -math.inf).softmax(dim=-1)
after = scores.softmax(dim=-1).masked_fill(~causal, 0.0)
assert torch.allclose(before.sum(dim=-1), torch.ones(T))
assert (after.sum(dim=-1)[:-1] < 1).all()
print("rows sum to 1 if masked before; not if masked after")

# %% tags=["label-mask"]
fig, axes = plt.subplots(
    1, 3, figsize=(7.4, 2.6), layout="constrained", sharey=True
)
pictures = {
    "may attend": causal,
    "masked before": before,
    "masked after (wrong)": after,
}
for ax, (title, picture) in zip(axes, pictures.items()):
    image = ax.imshow(picture.float(), vmin=0, vmax=1)
    ax.set(xlabel="key", xticks=range(T), yticks=range(T))
    ax.set_title(title, size=10)
axes[0].set_ylabel("query")
fig.colorbar(image, ax=axes, label="weight", shrink=0.9, ticks=(0, 0.5, 1))
show(
    fig,
    alt="Three 6 by 6 grids. The causal mask is a lower triangle. Masked "
    "before, row 0 has weight 1 on key 0; masked after, row 0 keeps only "
    "a small weight.",
)

# %% [markdown]
# **What you should see.** All three are triangles. In the middle the first row is as bright as can
# be: the only visible key gets all the weight. On the right the same row is dark: its weights no
# longer sum to 1. The last rows are equal, as nothing is hidden from the last query.
#
# ### A test for leaks
#
# How can we be *sure* that nothing leaks, also in a big model where nobody reads every line? We
# change the future and look whether the past moves. The same test must also notice when there *is*
# a leak, or it proves nothing; so we try it on a mask that is wrong by one.


# %%
def moved_by_the_future(mask: torch.Tensor, t: int = 3) -> float:
    """Largest change before position t when all from t on is changed."""
    q, k, v = torch.randn(3, 1, 1, 6, 8, dtype=torch.float64).unbind(0)
    k2, v2 = k.clone(), v.clone()
    k2[:, :, t:] += 10.0
    v2[:, :, t:] += 10.0
    change = attention(q, k, v, mask) - attention(q, k2, v2, mask)
    return change[:, :, :t].abs().max().item()  # change: (1, 1, T=6, H=8)


off_by_one = torch.ones(6, 6, dtype=torch.bool).tril(1)
print("causal mask:", moved_by_the_future(causal))
assert moved_by_the_future(causal) == 0.0
assert moved_by_the_future(off_by_one) > 0.1  # the test can see a leak
print("a mask that is wrong by one: caught")

# %% [markdown]
# The change is exactly zero, not merely small: a weight of 0 times anything finite adds nothing.
# With a leaking mask the training loss looks wonderful and the model writes nonsense.
#
# ### A mask that meant the opposite
#
# A bug that really happens. Two functions of torch take a mask of booleans, and they read it in
# opposite ways: for `F.scaled_dot_product_attention` True means *may attend*, for
# `nn.MultiheadAttention` True means *hidden*. Hand the one's mask to the other, and each token sees
# only the future. In August 2026 a reader found just that in the bonus code of a widely read book
# (rasbt, LLMs-from-scratch, issue 1061). Our test would have found it:

# %%
upside_down = ~causal | torch.eye(6, dtype=torch.bool)  # swapped
print("swapped mask:", moved_by_the_future(upside_down) > 0.1)
mha = nn.MultiheadAttention(8, num_heads=1)
x = torch.randn(6, 8)
_, theirs = mha(x, x, x, attn_mask=~causal)  # note the ~
assert theirs[~causal].count_nonzero() == 0  # with the ~ it hides the future

# %% [markdown]
# ## 5 Heads: several questions at once (10 min)
#
# One set of weights can ask one question, such as "which noun is this pronoun?". But a token has
# several questions at a time. So the model width $D$ is cut into $N$ **heads** (头) of width
# $H = D/N$, each with its own queries, keys and values, and each with its own weights.
#
# The three vectors come from the token's vector $x$ (width $D$) by three matrices, $W_q, W_k, W_v$,
# whose entries are *learned* in training; here they are random. We use einops, which names the
# axes, so that the code says what happens:
#
# - `rearrange(..., "t (n h) -> n t h", n=N)`: cut the last axis into n heads of width h, and bring
#   the heads to the front;
# - `einsum(q, k, "n t h, n s h -> n t s")`: multiply, and sum over every letter that is missing on
#   the right, here h. That is $q^\top k$ for all heads, queries and keys at once.
#
# At the end the heads' outputs are laid side by side again and mixed by a fourth matrix, $W_o$. The
# result has the shape of $x$, so that layers can be stacked. Is this the same as $N$ separate
# attentions? The last lines compute head 1 alone, from its own columns of the matrices.

# %%
T, D, N = 6, 12, 3
x = torch.randn(T, D)
W_q, W_k, W_v, W_o = torch.randn(4, D, D) / math.sqrt(D)

q, k, v = (rearrange(x @ W, "t (n h) -> n t h", n=N) for W in (W_q, W_k, W_v))
scores = einsum(q, k, "n t h, n s h -> n t s") / math.sqrt(D // N)
weights = scores.masked_fill(~causal, -math.inf).softmax(dim=-1)  # (N, T, S)
heads = einsum(weights, v, "n t s, n s h -> n t h")
y = rearrange(heads, "n t h -> t (n h)") @ W_o  # (T, D)
print("q: (N, T, H) =", tuple(q.shape), "  y: (T, D) =", tuple(y.shape))

one = slice(4, 8)  # head 1 owns columns 4 to 7
own = [(x @ W[:, one])[None, None] for W in (W_q, W_k, W_v)]
alone = attention(*own, causal=True)  # (1, 1, T, H)
assert torch.allclose(alone[0, 0], heads[1], atol=1e-6)
print("head 1 alone = head 1 of three")

# %% [markdown]
# What do heads buy? Not parameters: the four matrices hold $4D^2$ numbers whatever $N$ is. They
# buy *patterns*. Below are two heads that we build by hand, without any training. In the first, key
# and query both say "I am such-and-such a word", so it looks for copies of the same word. In the
# second the key says "I stand at position $s$" and the query asks for position $t-1$. Each "I am" is
# a vector with a single 1 (one-hot). The factor 12 makes the scores large, so that almost all the
# weight goes to what is asked for.

# %%
words = ["Mia", "lost", "the", "key", "and", "Tom", "found", "the", "key"]
T = len(words)
vocabulary = sorted(set(words))
same = F.one_hot(torch.tensor([vocabulary.index(w) for w in words])).float()
where = F.one_hot(torch.arange(T), T).float()  # (T, T): "I stand at t"
back = where[(torch.arange(T) - 1).clamp_min(0)]  # query t asks for t - 1
same = F.pad(same, (0, T - len(vocabulary)))  # as wide as the other head
q, k = torch.stack([same, back]), torch.stack([same, where])  # (N=2, T, H=9)
_, patterns = attention_weights(12 * q[None], k[None], k[None], causal=True)

# %% tags=["label-heads"]
fig, axes = plt.subplots(
    1, 2, figsize=(6.8, 3.2), layout="constrained", sharey=True
)
titles = ("head 0: the same word", "head 1: one step back")
for ax, title, picture in zip(axes, titles, patterns[0]):
    image = ax.imshow(picture, vmin=0, vmax=1)
    ax.set(title=title, xlabel="key", yticks=range(T), yticklabels=words)
    ax.set_xticks(range(T), words, rotation=90)
axes[0].set_ylabel("query")
fig.colorbar(image, ax=axes, label="weight", shrink=0.8, ticks=(0, 0.5, 1))
show(
    fig,
    alt="Weights of two hand-made heads over nine words. Head 0 joins equal "
    "words: the second 'key' looks at both. Head 1 has its weight one "
    "step left of the diagonal.",
)

# %% [markdown]
# **What you should see.** Left: each word attends to itself and, equally, to its earlier copies (the
# second *the* to both). Right: nearly all the weight lies one step left of the diagonal; row 0,
# which has no earlier neighbour, looks at itself. Trained models have been found to grow such heads
# on their own, and two layers of them make a circuit that copies (an *induction head*, Olsson et
# al. 2022): "*key* came after *the* last time, so guess *key* again". Lesson 10 builds one.
#
# ### Fewer key heads
#
# Several query heads may share one key and value head; the cache of [lesson 16a](16a_heads_and_cache.ipynb) then shrinks. With
# $K$ key/value heads for $N$ query heads this is one family: $K = N$ is **multi-head**, $K = 1$
# **multi-query**, anything between **grouped-query** attention (分组查询注意力, GQA). That is a claim
# of the literature too. We compute each query head *alone*, with the key head it shares, and look
# at the largest difference, in float64.

# %%
N, worst = 4, 0.0
q, k, v = torch.randn(3, 1, N, T, 8, dtype=torch.float64)  # (B=1, N, T, H)
for K in (1, 2, 4):
    shared = attention(q, k[:, :K], v[:, :K], causal=True)  # (1, N, T, H)
    for n in range(N):
        own = slice(n * K // N, n * K // N + 1)  # the key head of head n
        alone = attention(q[:, n : n + 1], k[:, own], v[:, own], causal=True)
        worst = max(worst, (shared[:, n] - alone[:, 0]).abs().max().item())
claim("ATT-010", worst)

# %% [markdown]
# ## 6 Without help, attention is blind to order (4 min)
#
# Nothing in $q^\top k$ says *where* a token stands (our second head had to be told). So if we shuffle
# the tokens, and use no mask, the outputs are the old ones, shuffled in the same way: *dog bites
# man* and *man bites dog* are the same bag of words. Lessons 13 and 14 add positions.

# %%
q, k, v = torch.randn(3, 1, 2, 7, 4, dtype=torch.float64)
order = torch.randperm(7)
q2, k2, v2 = (t[:, :, order] for t in (q, k, v))
old, new = attention(q, k, v), attention(q2, k2, v2)
assert torch.allclose(new, old[:, :, order], atol=1e-12)
old, new = attention(q, k, v, causal=True), attention(q2, k2, v2, causal=True)
assert not torch.allclose(new, old[:, :, order])
print("no mask: order makes no difference; with the causal mask it does")

# %% [markdown]
# The causal mask alone already breaks the symmetry a little: position 5 sees more tokens than
# position 2. That is why a decoder without any positions still learns something.
#
# ## 7 What it costs (7 min)
#
# We count **FLOPs**, floating-point operations: one multiplication or one addition each. A product
# of an $(a, b)$ with a $(b, c)$ matrix has $ac$ entries, each a sum of $b$ products: $2abc$ FLOPs.
#
# - scores: $(T, H)$ times $(H, S)$ in each of $N$ heads: $2NTSH$;
# - output: $(T, S)$ times $(S, H)$ in each head: another $2NTSH$.
#
# Together $4NTSH = 4TSD$, as $NH = D$: *quadratic* in the length of the text. torch can count for us.

# %%
from torch.utils.flop_counter import FlopCounterMode

B, N, T, H = 2, 4, 96, 16
q, k, v = torch.randn(3, B, N, T, H)
with FlopCounterMode(display=False) as counter:
    attention(q, k, v)
counted = counter.get_total_flops()
assert counted == 4 * B * N * T * T * H
print(f"{counted:,} FLOPs, as the formula says")

# %% [markdown]
# The four projections $W_q, W_k, W_v, W_o$ cost $2 \cdot 4D^2$ FLOPs a token, whatever the length.
#
# **Predict, then run.** At which length $T$ do the quadratic part ($4TD$ a token) and the
# projections ($8D^2$ a token) cost the same?
#
# <details><summary>Answer</summary>At T = 2D. For D = 4 096 that is 8 192 tokens: below it, the
# famous square is the smaller part of the bill.</details>

# %% tags=["label-cost"]
D, N = 4096, 32
lengths = torch.logspace(2, 5, 200)
square, linear = 4 * lengths * D, torch.full_like(lengths, 8.0 * D * D)
cross = lengths[(square > linear).nonzero()[0]].item()
assert abs(cross / (2 * D) - 1) < 0.05  # where the curves cross
weights_gib = N * lengths**2 * 2 / 2**30  # 2 bytes a number
at_cross = N * (2 * D) ** 2 * 2 / 2**30
print(f"one layer at T = 2D: {at_cross:.0f} GiB of weights")
fig, (left, right) = plt.subplots(1, 2, figsize=(6.2, 2.5), layout="constrained")
left.loglog(lengths, square / 1e6, "-", label="scores and output")
left.loglog(lengths, linear / 1e6, "--", label="four projections")
left.text(2.3 * D, 8, "T = 2D", ha="left")
left.set(xlabel="tokens T", ylabel="MFLOPs a token", ylim=(1, 2e4))
left.set_title("arithmetic, D = 4096", size=10)
left.legend(loc="upper left")
right.loglog(lengths, weights_gib)
right.set(xlabel="tokens T", ylabel="GiB for one text")
right.set_title("weights of one layer, 32 heads", size=10)
for ax in (left, right):
    ax.axvline(2 * D, color="gray", lw=1, ls=":")
    ax.minorticks_off()
left.set_yticks([1, 100, 10_000], ["1", "100", "10 000"])
right.set_yticks([0.001, 0.1, 10, 1000], ["0.001", "0.1", "10", "1000"])
show(
    fig,
    alt="Left: attention's cost per token rises in proportion to T and "
    "crosses the flat line of the projections at T = 2D. Right: memory "
    "for the weights of one layer rises with the square of T, from under "
    "1 MiB at 100 tokens to over 100 GiB at 100 000.",
)

# %% [markdown]
# **What you should see.** Left: the lines cross at $T = 2D$. Right: at that length, where the
# arithmetic has just doubled, the weights of *one* layer for *one* text already fill several GiB,
# and training would keep those of every layer. Memory is the first wall. So real code never stores
# the weights: the package's `fast_attention` has the same output computed piece by piece
# (FlashAttention; [lesson 16b](16b_flash_attention.ipynb) builds it). The two agree:

# %%
from minillm.model import fast_attention

gap = attention(q, k, v, causal=True) - fast_attention(q, k, v, causal=True)
assert gap.abs().max() < 1e-5
print("readable = fast, to 1e-5 in float32")

# %% [markdown]
# ## 8 A whole decoder in forty lines (14 min)
#
# > **Taken on trust until later.** The norm (lesson 11) scales each vector to a fixed length, so that
# > numbers neither grow nor fade. The MLP (12) is two matrices with a bend between them. Learned
# > positions (13) are one more table of vectors. The optimiser (20) nudges every weight so that the
# > loss falls. They are used here and explained there.
#
# A **decoder** (解码器) is a stack of blocks. Each block has two steps, and each step *adds* its
# result to the token's vector instead of replacing it: a **residual connection** (残差连接). First
# attention collects from other positions, then a small network, the **MLP**, works on each position
# alone. Before the stack a table turns token numbers into vectors (the **embedding**, 嵌入); after it
# the same table, used backwards, turns each vector into one score for each of the $V$ tokens of the
# vocabulary: the **logits**.
#
# ```text
# ids (B, T) -> embedding + position -> x (B, T, D)
#                                          |
#                   +----- attention(norm(x)) ----> added to x
#        n_layers x |
#                   +----------- mlp(norm(x)) ----> added to x
#                                          |
#                        norm(x) @ table^T  ->  logits (B, T, V)
# ```


# %%
class Block(nn.Module):
    def __init__(self, D: int, N: int):
        super().__init__()
        self.N = N
        self.norm1 = nn.RMSNorm(D, eps=1e-5)
        self.norm2 = nn.RMSNorm(D, eps=1e-5)
        self.qkv = nn.Linear(D, 3 * D, bias=False)  # W_q, W_k, W_v in one
        self.out = nn.Linear(D, D, bias=False)
        self.up = nn.Linear(D, 4 * D, bias=False)
        self.down = nn.Linear(4 * D, D, bias=False)

    def forward(self, x):  # (B, T, D)
        split = "b t (three n h) -> three b n t h"  # three: q, k, v
        q, k, v = rearrange(self.qkv(self.norm1(x)), split, three=3, n=self.N)
        y = attention(q, k, v, causal=True)  # (B, N, T, H)
        x = x + self.out(rearrange(y, "b n t h -> b t (n h)"))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


# %%
class TinyDecoder(nn.Module):
    def __init__(self, V: int, D: int, N: int, n_layers: int, context: int):
        super().__init__()
        self.embed, self.place = nn.Embedding(V, D), nn.Embedding(context, D)
        self.blocks = nn.ModuleList(Block(D, N) for _ in range(n_layers))
        self.norm = nn.RMSNorm(D, eps=1e-5)
        for table in (self.embed, self.place):  # small: even guesses at first
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, ids):  # (B, T) whole numbers
        x = self.embed(ids) + self.place.weight[: ids.shape[1]]  # (B, T, D)
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.embed.weight.T  # (B, T, V)


# %% [markdown]
# That is a language model. GPT-2 is this with another norm (LayerNorm), biases, and much larger.
#
# ### What the loss must be before training
#
# How well does it guess? The softmax of the logits is a probability for each possible next token. A
# good model gives a high probability $p_y$ to the token $y$ that really came. The probability of a
# whole text is the *product* of those of its steps. A logarithm turns the product into a sum, a minus
# sign turns "high is good" into "low is good", and the mean over the $n$ steps makes texts of
# different lengths comparable. That is the **cross-entropy** (交叉熵) loss:
#
# $$L = -\frac1n\sum_{i=1}^{n}\log p_{y_i}, \qquad p_j = \frac{e^{z_j}}{\sum_r e^{z_r}},$$
#
# where $z_j$ is the logit of token $j$. With the natural logarithm its unit is the **nat** (divide by
# $\ln 2$ to have bits). A model that knows nothing gives every token the same probability $1/V$.
#
# **Predict, then run.** What is then its loss? Our text is synthetic stories, and each of its
# characters is a token; there are about sixty different ones.
#
# <details><summary>Answer</summary>−log(1/V) = ln V, a little over 4. Whatever the text says!</details>

# %%
text = "\n".join(make_story(seed).tell("en") for seed in range(400))
letters = sorted(set(text))
V = len(letters)
ids = torch.tensor([letters.index(c) for c in text])
print(f"{len(text):,} characters, V = {V} different ones")
print(text[:70])

# %% tags=["nbval-ignore-output", "label-start"]
torch.manual_seed(9)
model = TinyDecoder(V, D=64, N=4, n_layers=2, context=64)
x, y = ids[:64][None], ids[1:65]  # the target is the text, shifted by one
logits = model(x)[0]  # (T, V)
start = F.cross_entropy(logits, y).item()
print(f"loss {start:.2f}, ln V = {math.log(V):.2f}")
assert abs(start - math.log(V)) < 0.15
loud = F.cross_entropy(30 * logits, y).item()  # the test can see a fault
assert loud > math.log(V) + 1
print(f"with logits 30 times as large: {loud:.2f}")

# %% [markdown]
# If *your* model does not start near $\ln V$, something is wrong. Above it: the model is sure of
# itself without reason, for instance because its logits start too large, as in the last line. Below
# it: it has seen the answers, for instance through a leaking mask.
#
# ### The gradient: p − y
#
# How does the loss change when one logit $z_j$ moves? Write $L = -z_y + \log\sum_r e^{z_r}$ for
# one guess and differentiate: the first term gives $-1$ if $j = y$, else 0; the second gives
# $e^{z_j}/\sum_r e^{z_r} = p_j$. So
#
# $$\frac{\partial L}{\partial z_j} = p_j - [j = y].$$
#
# Each wrong token is pushed down by the probability it was given, and the right one is pulled up by
# what it lacked. We check the formula against torch's automatic differentiation.

# %%
z = torch.randn(5, V, dtype=torch.float64, requires_grad=True)
target = torch.randint(V, (5,))
F.cross_entropy(z, target, reduction="sum").backward()
formula = z.detach().softmax(-1) - F.one_hot(target, V)
assert torch.allclose(z.grad, formula, rtol=0, atol=1e-12)
print("p - y = autograd, to 1e-12")

# %% [markdown]
# ### Does it learn?
#
# Six hundred steps on the stories, each on 16 pieces of 64 characters. Beside them stand two
# yardsticks, counted from the text. The first knows only how *frequent* each character is. The second
# knows which character follows which *pair by pair*, so it looks at the current character alone. Our
# decoder could do as much *without* any attention: a token's own vector is enough for that. Only
# below the second yardstick must attention be at work.

# %% tags=["nbval-ignore-output"]
pairs = torch.bincount(V * ids[:-1] + ids[1:], minlength=V * V).view(V, V)
joint = pairs / pairs.sum()  # (V, V): how often b follows a
single, after = joint.sum(dim=0), joint / joint.sum(dim=1, keepdim=True)
frequency_loss = -(single * single.clamp_min(1e-30).log()).sum().item()
pair_loss = -(joint * after.clamp_min(1e-30).log()).sum().item()

optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95))
losses = []
for step in range(600):
    starts = torch.randint(len(ids) - 65, (16,))
    batch = torch.stack([ids[s : s + 65] for s in starts])  # (16, 65)
    logits = model(batch[:, :-1])  # (16, 64, V)
    loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
end = sum(losses[-20:]) / 20
print(f"start {losses[0]:.2f}, end {end:.2f} nats a character")
print(f"frequencies {frequency_loss:.2f}, pairs {pair_loss:.2f}")
assert abs(losses[0] - math.log(V)) < 0.15 and end < pair_loss - 0.4

# %% [markdown]
# Now a test that needs no yardstick: stories the model has never seen, and the loss *by place*. At
# place 0 of a piece the model sees one character, at place 63 it sees 64.

# %% tags=["nbval-ignore-output", "label-learns"]
new = "\n".join(make_story(seed).tell("en") for seed in range(400, 440))
new = torch.tensor([letters.index(c) for c in new if c in letters])
pieces = new[: len(new) // 65 * 65].view(-1, 65)[:200]  # (200, 65)
with torch.no_grad():
    logits = model(pieces[:, :-1]).transpose(1, 2)  # (pieces, V, 64)
by_place = F.cross_entropy(logits, pieces[:, 1:], reduction="none").mean(0)
assert by_place[0] > pair_loss - 0.1  # one character to look at
assert by_place[0] > by_place[20:].mean() + 0.4  # what attention brings
assert by_place[6:12].mean() < by_place[40:].mean() + 0.2  # flat from 6 on

fig, (left, right) = plt.subplots(
    1, 2, figsize=(6.2, 2.5), layout="constrained", sharey=True
)
left.plot(range(0, 600, 4), losses[::4], lw=1)  # every fourth step
right.plot(by_place)
for ax, name in ((left, "step of training"), (right, "place in unseen text")):
    ax.axhline(math.log(V), color="gray", ls=":", label="ln V: knows nothing")
    ax.axhline(frequency_loss, color="gray", ls="--", label="frequencies")
    ax.axhline(pair_loss, color="gray", ls="-.", label="pairs")
    ax.set(xlabel=name, ylim=(0, None))
left.set_ylabel("loss (nats a character)")
left.legend(loc="lower left")
show(
    fig,
    alt="Left: the loss starts on the line ln V and falls below both "
    "yardsticks. Right: on unseen text the loss is high at place 0 and "
    "falls as more text can be seen.",
)

# %% [markdown]
# **What you should see.** Left: the curve starts on the dotted line, ln V, drops below the dashed
# line almost at once (it knows which letters are common), slows down towards the dash-dotted one (it
# knows what follows what), and then goes on down. Right: at place 0, with one character to look at,
# the trained model is no better than the pair counts; what attention brings makes it better. After
# some six places the curve is flat: so far the model looks back a few letters, not a sentence.
#
# And it writes. We feed it a beginning, take its probabilities for the next character, *draw* one,
# append it, and repeat. (Always taking the likeliest one would soon go round in circles. The 0.7
# makes likely characters a little likelier still. Lesson 19 explains both.)

# %% tags=["nbval-ignore-output", "label-sample"]
import textwrap

sample = [letters.index(c) for c in "One day "]
with torch.no_grad():
    for _ in range(150):
        logits = model(torch.tensor([sample[-64:]]))  # (1, T, V)
        chances = (logits[0, -1] / 0.7).softmax(dim=-1)  # bolder than p
        sample.append(torch.multinomial(chances, 1).item())
print(textwrap.fill("".join(letters[i] for i in sample), width=72))

# %% [markdown]
# Some of these are words and the others look like words, after seconds on one core. Nobody told the
# model what a word is. Whether a story makes *sense* is another matter: that needs the larger model
# of lesson 00, and the rest of this course.
#
# ### The same model in the package
#
# `minillm.model.Decoder` is built from a config and does much more (RoPE, caches, shared heads). Told
# to be our forty lines, and given our weights, it must give the same logits.

# %%
from minillm.model import Decoder, DecoderConfig, PositionConfig
from minillm.model import AttentionConfig, FeedForwardConfig

config = DecoderConfig(
    vocab_size=V,
    d_model=64,
    n_layers=2,
    context=64,
    attention=AttentionConfig(n_heads=4),
    feedforward=FeedForwardConfig(kind="gelu", width=256),
    position=PositionConfig(kind="learned"),
)
twin = Decoder(config)

# %%
extra = config.padded_vocab_size - V  # its table has a multiple of 128 rows
theirs = {"embedding": F.pad(model.embed.weight, (0, 0, 0, extra))}
theirs |= {"position": model.place.weight, "final_norm": model.norm.weight}
for i, block in enumerate(model.blocks):
    W_q, W_k, W_v = block.qkv.weight.chunk(3)
    parts = {"attention.q": W_q, "attention.k": W_k, "attention.v": W_v}
    parts |= {"attention.out": block.out.weight}
    parts |= {"feedforward.up": block.up.weight}
    parts |= {"feedforward.down": block.down.weight}
    parts |= {"attention_norm": block.norm1.weight}
    parts |= {"feedforward_norm": block.norm2.weight}
    theirs |= {f"blocks.{i}.{name}": weight for name, weight in parts.items()}
_ = twin.load_state_dict({f"{name}.weight": w for name, w in theirs.items()})
with torch.no_grad():
    gap = (twin(batch[:, :-1]) - model(batch[:, :-1])).abs().max().item()
assert gap < 1e-4
print("forty lines = the package, to 1e-4 in float32")

# %% [markdown]
# ## Your turn
#
# Five tasks, about an hour, in class or at home. Replace each `raise NotImplementedError` by your
# code, run the cell, then the check below it. The rest of the notebook does not depend on your
# answers.
#
# ### Exercise 1 · One query, by loop (8 min, ★☆☆)
#
# Return the attention output for a single query, with plain Python loops: `query` is a list of $H$
# numbers, `keys` and `values` are lists of $S$ such lists. Return a list of $H$ numbers.
#
# <details><summary>Hint 1</summary>Three steps: the scores, the softmax, the weighted sum.</details>
# <details><summary>Hint 2</summary>Do not forget to divide the scores by
# <code>math.sqrt(len(query))</code>.</details>


# %% tags=["exercise"]
def one_query(query, keys, values):
    # BEGIN SOLUTION
    H = len(query)
    scores = [sum(a * b for a, b in zip(query, key)) for key in keys]
    scores = [s / math.sqrt(H) for s in scores]
    powers = [math.exp(s) for s in scores]
    weights = [p / sum(powers) for p in powers]
    columns = zip(*values)  # one column for each of the H numbers
    return [sum(w * x for w, x in zip(weights, column)) for column in columns]
    # END SOLUTION


# %% tags=["check"]
def by_package(query, keys, values):
    rows = ([query], keys, values)
    q, k, v = (torch.tensor(t, dtype=torch.float64)[None, None] for t in rows)
    return attention(q, k, v)[0, 0, 0].tolist()


three_keys = [[1.0, 1.0], [-1.0, 2.0], [3.0, 0.0]]
cases = [
    ([1.0, 0.0], [[1.0, 0.0], [0.0, 1.0]], [[10.0, 0.0], [0.0, 10.0]]),
    ([2.0, -1.0, 0.5], [[1.0, 2.0, 3.0]] * 2, [[1.0, 2.0, 3.0], [0.0] * 3]),
    ([1.0, 2.0, 3.0, 4.0], [[0.5, -1.0, 1.0, 0.0]], [[4.0, 3.0, 2.0, 1.0]]),
    ([0.3, 0.7], three_keys, [[1.0, 5.0], [2.0, 7.0], [4.0, 9.0]]),
]
check(one_query, by_package, cases)

# %% [markdown]
# ### Exercise 2 · The causal mask, also with a cache (10 min, ★★☆)
#
# Return a boolean tensor of shape (T, S), true where a query may look. With more keys than queries
# ($S > T$) the queries are the *last* $T$ of the $S$ positions: so it is when a model writes one
# token at a time and remembers the keys of all earlier ones. (FlashAttention took the *first* $T$
# until version 2.1 changed it, and torch's `is_causal=True` still does.)
#
# <details><summary>Hint 1</summary>Query t stands at position S − T + t.</details>
# <details><summary>Hint 2</summary>Compare a row <code>torch.arange(S)</code> with a column of the
# queries' positions.</details>


# %% tags=["exercise"]
def my_mask(T: int, S: int) -> torch.Tensor:
    # BEGIN SOLUTION
    return torch.arange(S) <= torch.arange(T)[:, None] + S - T
    # END SOLUTION


# %% tags=["check"]
def seen_by_package(T, S):
    q, k = torch.zeros(1, 1, T, 1), torch.zeros(1, 1, S, 1)
    return attention_weights(q, k, k, causal=True)[1][0, 0] > 0


check(my_mask, seen_by_package, cases=[(3, 3), (1, 4), (2, 5), (1, 1)])

# %% [markdown]
# ### Exercise 3 · A sliding window (10 min, ★★☆)
#
# Long texts are made cheaper by letting each query see only the last `width` positions, its own
# included. The loops below say exactly what is wanted. Return the same without any loop.
#
# <details><summary>Hint 1</summary>Two conditions, joined by <code>&</code>: not in the future, not
# too far back.</details>
# <details><summary>Hint 2</summary>Let <code>distance = torch.arange(T)[:, None] -
# torch.arange(T)</code>. Which distances are allowed?</details>


# %% tags=["exercise"]
def window_mask(T: int, width: int) -> torch.Tensor:
    # BEGIN SOLUTION
    distance = torch.arange(T)[:, None] - torch.arange(T)
    return (distance >= 0) & (distance < width)
    # END SOLUTION


# %% tags=["check"]
def window_by_loops(T, width):
    mask = torch.zeros(T, T, dtype=torch.bool)
    for t in range(T):
        for s in range(T):
            mask[t, s] = t - width < s <= t
    return mask


check(window_mask, window_by_loops, cases=[(5, 2), (6, 1), (4, 9), (7, 3)])

# %% [markdown]
# ### Exercise 4 · Bug hunt (12 min, ★★☆)
#
# This attention runs without an error and is wrong in three places. One is the bug of section 4.
#
# ```python
# def mend_attention(q, k, v, mask):
#     scores = q @ k.mT / math.sqrt(q.shape[1] * q.shape[-1])
#     scores = scores.masked_fill(mask, -math.inf)
#     return scores.softmax(dim=-2) @ v
# ```
#
# `q`, `k`, `v` have the axes (B, N, T, H), and `mask` (T, T) is true where a query *may* look. Write
# it right.
#
# <details><summary>Hint 1</summary>Which width do we divide by: that of a head, or of the
# model?</details>
# <details><summary>Hint 2</summary>Along which axis must the weights sum to 1? Which entries does
# <code>masked_fill</code> fill?</details>


# %% tags=["exercise"]
def mend_attention(q, k, v, mask):
    # BEGIN SOLUTION
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(dim=-1) @ v
    # END SOLUTION


# %% tags=["check"]
qkv = torch.randn(3, 2, 3, 5, 4, generator=torch.Generator().manual_seed(1))
triangle = torch.ones(5, 5, dtype=torch.bool).tril()
some = triangle | torch.eye(5, dtype=torch.bool).flip(0)  # another mask
cases = [(*qkv, triangle), (*(3 * qkv), some)]
check(mend_attention, attention, cases, rtol=1e-4, atol=1e-5)

# %% [markdown]
# ### Exercise 5 · The gradient of the loss (15 min, ★★★)
#
# For logits `z` of shape (n, V) and targets `y` of shape (n,), return the gradient of the *mean*
# cross-entropy with respect to `z`, without autograd. It must also work for logits as large as 1 000.
#
# <details><summary>Hint 1</summary>For one guess it is p − [j = y]. What does the mean add?</details>
# <details><summary>Hint 2</summary><code>torch.softmax</code> is safe for large logits;
# <code>z.exp()</code> is not.</details>


# %% tags=["exercise"]
def loss_gradient(z, y):
    # BEGIN SOLUTION
    p = z.softmax(dim=-1)
    p[torch.arange(len(y)), y] -= 1
    return p / len(y)
    # END SOLUTION


# %% tags=["check"]
def by_autograd(z, y):
    from minillm.objectives import cross_entropy

    z = z.clone().requires_grad_()
    cross_entropy(z, y).backward()
    return z.grad


generator = torch.Generator().manual_seed(2)
z = torch.randn(4, 7, dtype=torch.float64, generator=generator)
cases = [
    (z, torch.tensor([0, 6, 3, 3])),
    (z[:1], torch.tensor([2])),
    (1000 * z[:3], torch.tensor([1, 1, 5])),
]
check(loss_gradient, by_autograd, cases)

# %% [markdown]
# ## At scale
#
# The same count for a model that people use: LLaMA-7B. The package has its shape as a config, and
# counts from it without building the model. How much faster is `fast_attention` on a GPU? A recorded
# run stands below the count, as soon as there is one.

# %%
import json
from pathlib import Path

import minillm
from minillm.model import count_parameters, presets

llama = presets.llama_7b()
D, L, T = llama.d_model, llama.n_layers, llama.context
N = llama.attention.n_heads
projections, pairs = 8 * D * D * L, 4 * T * D * L  # FLOPs a token
print(f"{count_parameters(llama):,} parameters")
print(f"D = {D}, {L} layers, {N} heads")
print(f"at its training length, T = {T}, for each token:")
print(f"  four projections  {projections / 1e9:.2f} GFLOPs")
share = pairs / projections
print(f"  scores and output {pairs / 1e9:.2f} GFLOPs, {share:.0%}")
print(f"weights, if stored: {L * N * T * T * 2 / 2**30:.0f} GiB a text")

results = Path(minillm.__file__).parents[1] / "data" / "results"
recorded = sorted(results.glob("attention_gpu/*.json"))
runs = [json.loads(path.read_text()) for path in recorded]
for run in runs:
    print(f"{run['machine']['gpu']}, torch {run['versions']['torch']}:")
    for row in run["measured"]:
        print(f"  T = {row['tokens']:6}: {row['speed_up']} times as fast")
if not runs:
    print("on a GPU: not measured yet; the job is benchmarks/gpu/attention.py")

# %% [markdown]
# So at LLaMA's length the famous quadratic part is a quarter of the projections, as $T/2D$ says (and
# half of that if the kernel skips what the mask hides). The memory is another matter: stored, the
# weights would take the last count for every single text. That is why nobody stores them.
#
# ## Recap
#
# - Attention is a weighted average of values; softmax of query-key products gives the weights.
# - The products have spread √H; dividing by it keeps the softmax soft, whatever the width.
# - The causal mask acts before the softmax. A leak test changes the future and watches the past.
# - Heads cut the width into separate questions; they cost no parameters.
# - Cost: 4TSD in arithmetic, NTS numbers in memory if stored; the projections dominate until T = 2D.
# - A decoder is embedding, blocks of (attention, MLP) that add, and the embedding backwards. Its loss
#   starts at ln V, and the gradient at the logits is p − y (y as a one-hot vector).
#
# ## Questions
#
# 1. What is the first row of the weights under a causal mask, and why?
#    <details><summary>Answer</summary>(1, 0, 0, ...): the first query sees only itself.</details>
# 2. Why is the mask applied to the scores and not to the weights?
#    <details><summary>Answer</summary>So that rows sum to 1 and hidden keys have no say in the sum
#    below the fraction bar.</details>
# 3. H grows from 64 to 256 and you forget the scale. What happens to the spread of the scores?
#    <details><summary>Answer</summary>It doubles, from 8 to 16.</details>
# 4. How many parameters do four times as many heads add, at the same D?
#    <details><summary>Answer</summary>None.</details>
# 5. Your untrained model with a vocabulary of 50 257 starts at a loss of 14. Is that right?
#    <details><summary>Answer</summary>No: ln 50 257 is 10.8. The logits are too large at the start.
#    (Wrongly shifted targets do not show here: any target costs ln V.)</details>
# 6. A test changes the last token and finds that position 0 moved by 1e-9 in float32. Is that noise?
#    <details><summary>Answer</summary>With the same shapes, no: a correct mask gives exactly 0, so
#    something leaks. (Other shapes can mean another order of summing, and that is noise.)</details>
# 7. A decoder whose attention is broken (it returns zeros) is trained on our stories. Which loss can
#    it still reach, and why?
#    <details><summary>Answer</summary>That of the pair counts: each position still knows its own
#    token, and the MLP can learn what follows it.</details>
# 8. `F.scaled_dot_product_attention` gets the mask of a model written for `nn.MultiheadAttention`.
#    What happens?
#    <details><summary>Answer</summary>True means the opposite there: every token sees only what it
#    should not. No error is raised.</details>
#
# ## Sources
#
# - Vaswani et al. 2017, *Attention Is All You Need*, arXiv:1706.03762: sections 3.2.1 (the scale, with
#   the variance argument in a footnote) and 3.2.2 (heads).
# - Ainslie et al. 2023, *GQA*, arXiv:2305.13245: the family from one key head to all.
# - Shazeer 2019, *Fast Transformer Decoding*, arXiv:1911.02150: where sharing key heads began.
# - Radford et al. 2019, *Language Models are Unsupervised Multitask Learners* (GPT-2): the decoder that
#   our forty lines are a small relative of.
# - Olsson et al. 2022, *In-context Learning and Induction Heads*, arXiv:2209.11895: the two-layer
#   copying circuit, found in trained models.
# - Dao et al. 2022, *FlashAttention*, arXiv:2205.14135: the same output without storing the weights.
# - Karpathy, *Let's build GPT* (video, 2023): the plain average as the first step towards attention,
#   and a decoder trained on characters; section 1 and section 8 go the same way.
#
# ## Next
#
# [10 Shapes](10_shapes.ipynb): the same block as encoder, decoder, or both. If you are curious how attention gets a sense of
# order, [13 Positions](13_positions.ipynb) and [14 RoPE](14_rope.ipynb) can be read at once.

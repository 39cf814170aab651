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
# ## 1 An average that chooses (8 min)
#
# A language model (语言模型) reads a text as a row of **tokens** (词元, lesson 06) and guesses the
# next one, again and again. Inside it, every token is a vector: a short list of numbers. At first
# that vector knows only *which* token it is. Read this sentence:
#
# > Mia gave the key to Tom, because **he** had asked for **it**.
#
# To guess what follows *it*, the model must find out that *it* is the key. The vector of *it* has
# to fetch something from the vector of *key*, and nothing from *gave*. So we need a step in which
# each position collects information from earlier positions, *and chooses which ones*.
#
# The simplest way to collect is a plain average. Here are four tokens with vectors of width 2.

# %%
x = torch.tensor([[1.0, 0.0], [0.0, 2.0], [4.0, 4.0], [1.0, 2.0]])  # (T=4, 2)
T = len(x)
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
# A plain average does not choose: in the last row *gave* counts as much as *key*. **Attention**
# (注意力) keeps the matrix product and lets the tokens themselves decide the weights.
#
# ## 2 Three tokens by hand (12 min)
#
# Every token produces three vectors. Think of a library:
#
# - the **query** (查询) $q$: what I am looking for;
# - the **key** (键) $k$: what is written on my spine, to be matched against queries;
# - the **value** (值) $v$: what I hand over when somebody picks me.
#
# A query is compared with a key by their inner product $q^\top k$, the **score**: large if they
# point the same way. Three tokens, so three rows each; the width is $H = 2$.

# %%
q = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])  # (T=3, H=2)
k = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # (S=3, H=2)
v = torch.tensor([[10.0, 0.0], [0.0, 10.0], [5.0, 5.0]])  # (S=3, H=2)

# %% [markdown]
# We write $T$ for the number of queries and $S$ for the number of keys. They are the same here;
# in lesson 16 they will differ.
#
# **Predict, then run.** The third query is $(2, 0)$. Which keys does it match best, and which
# not at all?
#
# <details><summary>Answer</summary>Keys 0 and 2 equally, with score 2 each, because both have a 1
# in the first coordinate. Key 1 not at all: score 0.</details>

# %%
last = q[2]
scores = [sum(a * b for a, b in zip(last.tolist(), key.tolist())) for key in k]
scores

# %% [markdown]
# Scores can be any number; weights must be positive and sum to 1. The **softmax** does that: raise
# $e$ to each score, then divide by the sum.
#
# $$w_s = \frac{e^{\,q^\top k_s}}{\sum_{r} e^{\,q^\top k_r}}$$

# %%
powers = [math.exp(s) for s in scores]
weights = [p / sum(powers) for p in powers]
[round(w, 3) for w in weights]

# %% [markdown]
# The output is the average of the values with these weights: mostly values 0 and 2, almost none
# of value 1.

# %%
by_hand = [sum(w * row[h] for w, row in zip(weights, v.tolist())) for h in (0, 1)]
[round(y, 3) for y in by_hand]

# %% [markdown]
# Now all three queries at once. `q @ k.T` holds every score: row = query, column = key.

# %%
all_scores = q @ k.T  # (T, S)
all_weights = all_scores.softmax(dim=-1)  # (T, S), each row sums to 1
out = all_weights @ v  # (T, H)
print(all_scores)
print(all_weights)
assert torch.allclose(
    out[2], torch.tensor(by_hand)
)  # the loop and the matmul agree
assert torch.allclose(all_weights.sum(dim=-1), torch.ones(3))

# %% [markdown]
# That is all of attention but for three additions: a scale, a mask, and heads. The next three
# sections add one each.
#
# ## 3 Why divide by the square root of H? (12 min)
#
# Suppose that the entries of $q$ and $k$ are independent, with mean 0 and variance 1, as they are
# at the start of training. Each product $q_i k_i$ then has mean 0 and variance
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
widths = (4, 16, 64, 256)
n_pairs = 20_000
spread = {
    H: (torch.randn(n_pairs, H) * torch.randn(n_pairs, H)).sum(-1).std().item()
    for H in widths
}
{H: round(s, 2) for H, s in spread.items()}

# %%
for H in widths:  # the derivation, checked
    assert abs(spread[H] / math.sqrt(H) - 1) < 0.05
print("spread = sqrt(H), to within 5 %")

# %% [markdown]
# This is a statement of the literature, so it goes into the ledger of the course: a list of claims,
# each with a rule that was written down *before* the run and a verdict computed from it. We measure
# the ratio $\operatorname{Var}[q^\top k]/H$ for ten seeds and give its 95 % interval.

# %%
from minillm.evaluate.intervals import mean_interval


def variance_ratio(seed: int, H: int = 64) -> float:
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, n_pairs, H, generator=generator)
    return (a * b).sum(-1).var().item() / H


ratio = mean_interval([variance_ratio(seed) for seed in range(10)])
claim("ATT-012", ratio.value, (ratio.low, ratio.high))

# %% [markdown]
# Why does a large spread hurt? Because the softmax turns differences of scores into *factors*
# between weights: a difference of 16 is a factor of $e^{16}$, nine million. One key takes all the
# weight, and the gradient through a saturated softmax is almost zero. We measure how evenly the
# weights are spread by their **entropy** (熵): $-\sum_s w_s \log w_s$. For 32 keys it is at most
# $\log 32$, when all weights are equal, and 0 when one key takes all.

# %%
S = 32


def mean_entropy(H: int, scale: float) -> float:
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(500, 1, H, generator=generator)
    k = torch.randn(500, S, H, generator=generator)
    w = (q @ k.mT * scale).softmax(dim=-1)
    return -(w * w.clamp_min(1e-30).log()).sum(-1).mean().item()


raw = [mean_entropy(H, 1.0) for H in widths]
scaled = [mean_entropy(H, H**-0.5) for H in widths]
assert max(scaled) - min(scaled) < 0.1 and raw[0] > raw[1] > raw[2] > raw[3]

# %% tags=["label-scaling"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 2.7), layout="constrained")
left.plot(widths, [spread[H] for H in widths], "o", label="measured")
left.plot(widths, [math.sqrt(H) for H in widths], "--", label="sqrt(H)")
left.set(xlabel="head width H", ylabel="spread of q·k", xscale="log", yscale="log")
left.legend()
right.plot(widths, scaled, "s-", label="divided by sqrt(H)")
right.plot(widths, raw, "o--", label="not divided")
right.axhline(math.log(S), color="gray", lw=1, ls=":", label="even weights: log 32")
right.set(
    xlabel="head width H", ylabel="entropy (nats)", xscale="log", ylim=(0, 3.7)
)
right.legend(loc="lower left")
show(
    fig,
    alt="Left: the measured spread of q·k lies on the line sqrt(H). Right: with scaling the "
    "entropy of the weights stays near 3 nats, without it the entropy falls towards 0 as H grows.",
)

# %% [markdown]
# **What you should see.** Left: the points lie on the dashed line. Right: with the scale the
# weights stay as soft at width 256 as at width 4; without it they collapse towards one key.
#
# With the scale, attention is the formula of the paper that named it:
#
# $$\text{attention}(Q, K, V) = \operatorname{softmax}\!\left(\frac{Q K^\top}{\sqrt H}\right) V.$$
#
# The package writes it out step by step in `attention_weights`, for a batch of $B$ texts and $N$
# heads at once, so its tensors have four axes, (B, N, T, H). We give it one text and one head.

# %%
four = [t[None, None] for t in (q, k, v)]  # (1, 1, 3, 2) each
_, w = attention_weights(*four)
assert torch.allclose(w[0, 0], (q @ k.T / math.sqrt(2)).softmax(-1))
print(w[0, 0])

# %% [markdown]
# ## 4 The mask: no looking ahead (12 min)
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
print("row sums, masked before:", before.sum(-1).round(decimals=2).tolist())
assert torch.allclose(before.sum(-1), torch.ones(T))
assert (after.sum(-1)[:-1] < 1).all()

# %% tags=["label-mask"]
fig, axes = plt.subplots(1, 3, figsize=(7.4, 2.6), layout="constrained")
pictures = {
    "may attend": causal,
    "masked before": before,
    "masked after (wrong)": after,
}
for ax, (title, picture) in zip(axes, pictures.items()):
    image = ax.imshow(picture.float(), vmin=0, vmax=1)
    ax.set(title=title, xlabel="key", xticks=range(T), yticks=range(T))
axes[0].set_ylabel("query")
fig.colorbar(image, ax=axes, label="weight", shrink=0.9)
show(
    fig,
    alt="Three 6 by 6 grids. The causal mask is a lower triangle. Masked before the softmax, row 0 "
    "has weight 1 on key 0; masked after, row 0 keeps only a small weight.",
)

# %% [markdown]
# **What you should see.** All three are triangles. In the middle the first row is as bright as can
# be: a single visible key gets all the weight. On the right the same row is dark: its weights no
# longer sum to 1.
#
# ### A test for leaks
#
# How can we be *sure* that nothing leaks, also in a big model where nobody reads every line? We
# change the future and look whether the past moves. The same test must also notice when there *is*
# a leak, or it proves nothing; so we try it on a mask that is wrong by one.


# %%
def moved_by_the_future(mask: torch.Tensor, t: int = 3) -> float:
    """Largest change at positions before t when tokens from t on are changed."""
    q, k, v = torch.randn(3, 1, 1, 6, 8, dtype=torch.float64).unbind(0)
    k2, v2 = k.clone(), v.clone()
    k2[:, :, t:] += 10.0
    v2[:, :, t:] += 10.0
    change = attention(q, k, v, mask) - attention(q, k2, v2, mask)  # (1, 1, 6, 8)
    return change[:, :, :t].abs().max().item()


off_by_one = torch.ones(6, 6, dtype=torch.bool).tril(1)
print("causal mask:", moved_by_the_future(causal))
assert moved_by_the_future(causal) == 0.0
assert moved_by_the_future(off_by_one) > 1.0  # the test can see a leak

# %% [markdown]
# The change is exactly zero, not merely small: a weight of 0 times anything finite adds nothing.
# The off-by-one mask is a real bug of the field; with it the training loss looks wonderful and the
# model writes nonsense. You will meet its twin in the exercises.
#
# ## 5 Heads: several questions at once (10 min)
#
# One set of weights can ask one question, such as "which noun is this pronoun?". But a token has
# several questions at a time. So the model width $D$ is cut into $N$ **heads** (头) of width
# $H = D/N$, each with its own queries, keys and values, and each with its own weights.
#
# The three vectors come from the token's vector $x$ (width $D$) by three learned matrices. We use
# einops, which names the axes, so that the code says what happens:
# `"t (n h) -> n t h"` reads "cut the last axis into n heads of width h, and bring the heads first".

# %%
T, D, N = 6, 12, 3
x = torch.randn(T, D)
W_q, W_k, W_v, W_o = torch.randn(4, D, D) / math.sqrt(D)

q, k, v = (rearrange(x @ W, "t (n h) -> n t h", n=N) for W in (W_q, W_k, W_v))
print("q has the axes (heads, positions, width):", tuple(q.shape))

# %%
scores = einsum(q, k, "n t h, n s h -> n t s") / math.sqrt(D // N)
weights = scores.masked_fill(~causal, -math.inf).softmax(dim=-1)  # (N, T, S)
heads = einsum(weights, v, "n t s, n s h -> n t h")
y = rearrange(heads, "n t h -> t (n h)") @ W_o  # (T, D)
print("y:", tuple(y.shape), "the shape of x, so that layers can be stacked")

# %% [markdown]
# The heads' outputs are laid side by side again and mixed by a fourth matrix, $W_o$. Is this the
# same as $N$ separate attentions? Head 1, computed alone from its own columns of the matrices:

# %%
one = slice(4, 8)  # head 1 owns columns 4 to 7
alone = attention(
    *((x @ W[:, one])[None, None] for W in (W_q, W_k, W_v)), causal=True
)
assert torch.allclose(alone[0, 0], heads[1], atol=1e-6)
print("head 1 alone = head 1 of three")

# %% [markdown]
# What do heads buy? Not parameters: the four matrices hold $4D^2$ numbers whatever $N$ is. They
# buy *patterns*. Below are two heads that we build by hand, without any training. The keys and
# queries of the first say "I am such-and-such a word", so it looks for copies of the same word. In
# the second the keys say "I stand at position $s$" and the queries ask for position $t-1$. (The
# factor 12 makes the scores large, so that the weights become almost one-hot.)

# %%
words = ["Mia", "lost", "the", "key", "and", "Tom", "found", "the", "key"]
T = len(words)
vocabulary = sorted(set(words))
same = F.one_hot(torch.tensor([vocabulary.index(w) for w in words])).float()
where = F.one_hot(torch.arange(T), T).float()  # (T, T): position t as a unit vector
back = where[(torch.arange(T) - 1).clamp_min(0)]  # query t asks for position t - 1
same = F.pad(same, (0, T - len(vocabulary)))  # pad to the width of the other head
q, k = torch.stack([same, back]), torch.stack([same, where])  # (N=2, T, H=9)
_, patterns = attention_weights(12 * q[None], k[None], k[None], causal=True)

# %% tags=["label-heads"]
fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.5), layout="constrained")
titles = ("head 0: the same word", "head 1: one step back")
for ax, title, picture in zip(axes, titles, patterns[0]):
    image = ax.imshow(picture, vmin=0, vmax=1)
    ax.set(title=title, xlabel="key", yticks=range(T), yticklabels=words)
    ax.set_xticks(range(T), words, rotation=90)
fig.colorbar(image, ax=axes, label="weight", shrink=0.8)
show(
    fig,
    alt="Weights of two hand-made heads over nine words. Head 0 joins equal words: the second "
    "'key' looks at both. Head 1 has its weight one step left of the diagonal.",
)

# %% [markdown]
# **What you should see.** Left: each word attends to itself and, equally, to its earlier copies (the
# second *the* to both). Right: all the weight lies one step left of the diagonal; row 0, which has
# no earlier neighbour, looks at itself. A trained model finds such patterns on its own, and two
# layers of them already make a circuit that copies: "*key* came after *the* last time, so guess
# *key* again" (lesson 10).
#
# ### Fewer key heads
#
# Several query heads may share one key and value head; the cache of lesson 16 then shrinks. With
# $K$ key/value heads for $N$ query heads this is one family: $K = N$ is **multi-head**, $K = 1$
# **multi-query**, anything between **grouped-query** attention (分组查询注意力). Sharing is the same
# as repeating the shared head, so the two ends of the family are exact special cases.

# %%
q = torch.randn(1, 4, T, 8, dtype=torch.float64)  # N = 4 query heads
kv = torch.randn(2, 1, 4, T, 8, dtype=torch.float64)
worst = 0.0
for K in (1, 2, 4):
    k, v = kv[:, :, :K]
    repeated = (
        rearrange([t] * (4 // K), "r b k s h -> b (k r) s h") for t in (k, v)
    )
    gap = attention(q, k, v, causal=True) - attention(q, *repeated, causal=True)
    worst = max(worst, gap.abs().max().item())
claim("ATT-010", worst)

# %% [markdown]
# ## 6 Without help, attention is blind to order (5 min)
#
# Nothing in $q^\top k$ says *where* a token stands. So if we shuffle the tokens (and use no mask),
# the outputs are the old ones, shuffled in the same way: *dog bites man* and *man bites dog* are the
# same bag of words. Lessons 13 and 14 repair this by adding positions.

# %%
q, k, v = torch.randn(3, 1, 2, 7, 4, dtype=torch.float64)
order = torch.randperm(7)
shuffled = attention(q[:, :, order], k[:, :, order], v[:, :, order])
assert torch.allclose(shuffled, attention(q, k, v)[:, :, order], atol=1e-12)
masked = attention(q[:, :, order], k[:, :, order], v[:, :, order], causal=True)
assert not torch.allclose(masked, attention(q, k, v, causal=True)[:, :, order])
print("no mask: order makes no difference; with the causal mask it does")

# %% [markdown]
# The causal mask alone already breaks the symmetry a little: position 5 sees more tokens than
# position 2. That is why a decoder without any positions still learns something.
#
# ## 7 What it costs (8 min)
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
print("counted:", counter.get_total_flops(), " formula:", 4 * B * N * T * T * H)
assert counter.get_total_flops() == 4 * B * N * T * T * H

# %% [markdown]
# The four projections $W_q, W_k, W_v, W_o$ cost $2 \cdot 4D^2$ FLOPs a token, whatever the length.
#
# **Predict, then run.** At which length $T$ do the quadratic part ($4TD$ a token) and the
# projections ($8D^2$ a token) cost the same?
#
# <details><summary>Answer</summary>At T = 2D. For D = 4 096 that is 8 192 tokens: below it, the
# famous square is the smaller part of the bill.</details>

# %%
lengths = torch.logspace(2, 5, 50)
D = 4096
square, linear = 4 * lengths * D, torch.full_like(lengths, 8.0 * D * D)
cross = lengths[(square > linear).nonzero()[0]].item()
assert abs(cross / (2 * D) - 1) < 0.2
weights_gib = 32 * lengths**2 * 2 / 2**30  # 32 heads, 2 bytes a number

# %% tags=["label-cost"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 2.8), layout="constrained")
left.loglog(lengths, square / 1e6, "-", label="scores and output")
left.loglog(lengths, linear / 1e6, "--", label="four projections")
left.axvline(2 * D, color="gray", lw=1, ls=":")
left.text(2 * D * 0.85, 45, "T = 2D", ha="right")
left.set(xlabel="tokens T", ylabel="MFLOPs a token", title="arithmetic (D = 4096)")
left.legend()
right.loglog(lengths, weights_gib)
right.set(xlabel="tokens T", ylabel="GiB", title="weights of one layer, 32 heads")
show(
    fig,
    alt="Left: attention's cost per token rises in proportion to T and crosses the flat line of "
    "the projections at T = 2D. Right: memory for the weights of one layer rises with the square "
    "of T, from under 1 MiB at 100 tokens to hundreds of GiB at 100 000.",
)

# %% [markdown]
# **What you should see.** Left: the lines cross at $T = 2D$. Right: the weights alone fill a large
# GPU long before the arithmetic hurts. So real code never stores them: the package's
# `fast_attention` computes the same output piece by piece (lesson 16 builds it). The two agree:

# %%
from minillm.model import fast_attention

gap = attention(q, k, v, causal=True) - fast_attention(q, k, v, causal=True)
assert gap.abs().max() < 1e-5
print("readable and fast attention agree to 1e-5 in float32")

# %% [markdown]
# ## 8 A whole decoder in forty lines (15 min)
#
# > **Taken on trust until later.** The norm (lesson 11), the feed-forward part (12), learned
# > positions (13) and the optimiser (20) are used here and explained there.
#
# A **decoder** (解码器) is a stack of blocks. Each block has two steps, and each step *adds* its
# result to the token's vector instead of replacing it: a **residual connection** (残差连接). First
# attention collects from other positions, then a small network, the **MLP**, works on each position
# alone. Before the stack a table turns token numbers into vectors (the **embedding**, 嵌入); after it
# the same table, used backwards, turns each vector into one score for each of the $V$ tokens of the
# vocabulary: the **logits**.


# %%
class Block(nn.Module):
    def __init__(self, D: int, N: int):
        super().__init__()
        self.N = N
        self.norm1, self.norm2 = nn.RMSNorm(D, eps=1e-5), nn.RMSNorm(D, eps=1e-5)
        self.qkv = nn.Linear(D, 3 * D, bias=False)
        self.out = nn.Linear(D, D, bias=False)
        self.up = nn.Linear(D, 4 * D, bias=False)
        self.down = nn.Linear(4 * D, D, bias=False)

    def forward(self, x):  # (B, T, D)
        q, k, v = rearrange(
            self.qkv(self.norm1(x)),
            "b t (three n h) -> three b n t h",
            three=3,
            n=self.N,
        )
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
        for weight in self.parameters():
            if weight.ndim == 2:  # small random matrices; the norms start at 1
                nn.init.normal_(weight, std=0.02)

    def forward(self, ids):  # (B, T) whole numbers
        x = self.embed(ids) + self.place.weight[: ids.shape[1]]  # (B, T, D)
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.embed.weight.T  # (B, T, V)


# %% [markdown]
# That is a language model. GPT-2 is this with biases and more layers.
#
# ### What the loss must be before training
#
# The softmax of the logits is a probability for each possible next token. We want the probability
# $p_y$ of the token $y$ that really came to be high. Over a whole text the probabilities of the
# steps multiply; taking the logarithm turns the product into a sum, and a minus sign turns "high"
# into "low is better". The mean of it is the **cross-entropy** (交叉熵) loss:
#
# $$L = -\frac1n\sum_{i=1}^{n}\log p_{y_i}, \qquad p_j = \frac{e^{z_j}}{\sum_r e^{z_r}},$$
#
# where $z_j$ is the logit of token $j$ and $n$ the number of guesses. Its unit is the **nat**. A model that
# knows nothing gives every token the same probability $1/V$, and then $L = -\log(1/V) = \ln V$.
# So an untrained model must start near $\ln V$. If yours does not, something is wrong.

# %%
text = "\n".join(make_story(seed).tell("en") for seed in range(400))
letters = sorted(set(text))
V = len(letters)
ids = torch.tensor([letters.index(c) for c in text])
print(f"{len(text):,} characters of synthetic stories, V = {V} different ones")
print(text[:160])

# %% tags=["nbval-ignore-output", "label-start"]
torch.manual_seed(9)
model = TinyDecoder(V, D=64, N=4, n_layers=2, context=64)
x, y = ids[:64][None], ids[1:65][None]  # the target is the text, shifted by one
start = F.cross_entropy(model(x).flatten(0, 1), y.flatten()).item()
print(f"loss {start:.3f}, ln V = {math.log(V):.3f}")

# %%
assert abs(start - math.log(V)) < 0.1
print("an untrained model guesses evenly")

# %% [markdown]
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
print(
    "largest difference below 1e-15:", bool((z.grad - formula).abs().max() < 1e-15)
)
assert torch.allclose(z.grad, formula, atol=1e-12)

# %% [markdown]
# ### Does it learn?
#
# Three hundred steps on the stories, character by character. As a yardstick we compute the loss of
# a model that knows only how *frequent* each character is, and looks at nothing before it.

# %% tags=["nbval-ignore-output"]
frequency = torch.bincount(ids, minlength=V) / len(ids)
frequency_loss = -(frequency * frequency.log()).sum().item()

optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
losses = []
for step in range(300):
    starts = torch.randint(len(ids) - 65, (16,))
    batch = torch.stack([ids[s : s + 65] for s in starts])  # (16, 65)
    logits = model(batch[:, :-1])
    loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print(f"start {losses[0]:.2f}, end {sum(losses[-20:]) / 20:.2f} nats a character")

# %% tags=["nbval-ignore-output", "label-learns"]
fig, ax = plt.subplots(figsize=(5.4, 2.7), layout="constrained")
ax.plot(losses, label="our decoder")
ax.axhline(math.log(V), color="gray", ls=":", label="ln V: knows nothing")
ax.axhline(frequency_loss, color="gray", ls="--", label="knows only frequencies")
ax.set(xlabel="step", ylabel="loss (nats a character)", ylim=(0, None))
ax.legend()
show(
    fig,
    alt="The loss starts on the line ln V, falls through the line of letter frequencies within "
    "some tens of steps, and goes on falling.",
)

# %% [markdown]
# **What you should see.** The curve starts on the dotted line, ln V, reaches the dashed line within
# some tens of steps (it has learned which letters are common) and falls well below it: only a model
# that looks back can do that.

# %%
end = sum(losses[-20:]) / 20
assert abs(losses[0] - math.log(V)) < 0.1 and end < 0.6 * frequency_loss
print("the decoder uses what it sees")

# %% [markdown]
# And it writes. We feed it a beginning, take the likeliest next character, append it, and repeat:
# **greedy decoding** (贪心解码), from lesson 19.

# %% tags=["nbval-ignore-output", "label-sample"]
sample = [letters.index(c) for c in "One day "]
with torch.no_grad():
    for _ in range(120):
        logits = model(torch.tensor([sample[-64:]]))
        sample.append(logits[0, -1].argmax().item())
print("".join(letters[i] for i in sample))

# %% [markdown]
# Words, and some grammar, after seconds on one core. Whether the story makes *sense* is another
# matter; that needs the larger model of lesson 00, and the rest of this course.
#
# ### The same model in the package
#
# `minillm.model.Decoder` is built from a config and does much more (RoPE, caches, shared heads). Told
# to be our forty lines, and given our weights, it must give the same logits.

# %%
from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    PositionConfig,
)

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
theirs = {
    "embedding.weight": model.embed.weight,
    "final_norm.weight": model.norm.weight,
}
theirs["position.weight"] = model.place.weight
for i, block in enumerate(model.blocks):
    W_q, W_k, W_v = block.qkv.weight.chunk(3)
    parts = {"attention.q": W_q, "attention.k": W_k, "attention.v": W_v}
    parts |= {"attention.out": block.out.weight, "feedforward.up": block.up.weight}
    parts |= {"feedforward.down": block.down.weight}
    parts |= {
        "attention_norm": block.norm1.weight,
        "feedforward_norm": block.norm2.weight,
    }
    theirs |= {f"blocks.{i}.{name}.weight": w for name, w in parts.items()}
padding = (
    config.padded_vocab_size - V
)  # the package pads its table to a multiple of 128
theirs["embedding.weight"] = F.pad(model.embed.weight, (0, 0, 0, padding))
twin.load_state_dict(theirs)

# %%
with torch.no_grad():
    gap = (twin(batch[:, :-1]) - model(batch[:, :-1])).abs().max().item()
assert gap < 1e-4
print("forty lines = the package, to 1e-4 in float32")

# %% [markdown]
# ## Exercises
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The
# rest of the notebook does not depend on your answers.
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
    scores = [sum(a * b for a, b in zip(query, key)) / math.sqrt(H) for key in keys]
    powers = [math.exp(s) for s in scores]
    weights = [p / sum(powers) for p in powers]
    return [sum(w * row[h] for w, row in zip(weights, values)) for h in range(H)]
    # END SOLUTION


# %% tags=["check"]
def by_package(query, keys, values):
    q, k, v = (
        torch.tensor(t, dtype=torch.float64) for t in ([query], keys, values)
    )
    return attention(q[None, None], k[None, None], v[None, None])[0, 0, 0].tolist()


check(
    one_query,
    by_package,
    cases=[
        ([1.0, 0.0], [[1.0, 0.0], [0.0, 1.0]], [[10.0, 0.0], [0.0, 10.0]]),
        (
            [2.0, -1.0, 0.5],
            [[1.0, 2.0, 3.0]] * 2,
            [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]],
        ),
        ([1.0, 2.0, 3.0, 4.0], [[0.5, -1.0, 1.0, 0.0]], [[4.0, 3.0, 2.0, 1.0]]),
        (
            [0.3, 0.7],
            [[1.0, 1.0], [-1.0, 2.0], [3.0, 0.0]],
            [[1.0, 5.0], [2.0, 7.0], [4.0, 9.0]],
        ),
    ],
)

# %% [markdown]
# ### Exercise 2 · The causal mask, also with a cache (10 min, ★★☆)
#
# Return a boolean tensor of shape (T, S), true where a query may look. With more keys than queries
# ($S > T$) the queries are the *last* $T$ of the $S$ positions: so it is when a model writes one
# token at a time and remembers the keys of all earlier ones.
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
# This attention runs, trains, and is wrong. Three bugs of the kind that real repositories have had:
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


z = torch.randn(
    4, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
)
check(
    loss_gradient,
    by_autograd,
    cases=[
        (z, torch.tensor([0, 6, 3, 3])),
        (z[:1], torch.tensor([2])),
        (1000 * z[:3], torch.tensor([1, 1, 5])),
    ],
)

# %% [markdown]
# ## At scale
#
# The same count for a model that people use. LLaMA-7B has $D = 4\,096$, 32 layers and 32 heads. The
# package has its shape as a config, and counts from it without building the model.

# %%
from minillm.model import count_parameters, presets

llama = presets.llama_7b()
D, L, T = llama.d_model, llama.n_layers, 2048
projections, pairs = 2 * 4 * D * D * L, 4 * T * D * L  # FLOPs a token
print(f"{count_parameters(llama):,} parameters")
print(f"attention at T = {T}: projections {projections / 1e9:.1f} GFLOPs a token,")
print(f"scores and output {pairs / 1e9:.1f} GFLOPs a token without the causal half")

# %% [markdown]
# At its training length the quadratic part is a quarter of the projections, as $T/2D$ says. Speed of
# `fast_attention` on a GPU: not measured yet; the job waits in `benchmarks/gpu/`, and lesson 16 will
# show its result.
#
# ## Recap
#
# - Attention is a weighted average of values; softmax of query-key products gives the weights.
# - The products have spread √H; dividing by it keeps the softmax soft, whatever the width.
# - The causal mask acts before the softmax. A leak test changes the future and watches the past.
# - Heads cut the width into independent questions; they cost no parameters.
# - Cost: 4TSD in arithmetic, NTS in memory if stored; the projections dominate until T = 2D.
# - A decoder is embedding, blocks of (attention, MLP) that add, and the embedding backwards. Its loss
#   starts at ln V, and the gradient at the logits is p − y.
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
#    <details><summary>Answer</summary>No: ln 50 257 is 10.8. The logits are too large at the start,
#    or the targets are shifted wrongly.</details>
# 6. A test changes the last token and finds that position 0 moved by 1e-9 in float32. Is that noise?
#    <details><summary>Answer</summary>No. Under a correct mask the change is exactly 0; something
#    leaks, or positions are computed in a different order.</details>
# 7. Why does the loss of the frequency model not need any attention?
#    <details><summary>Answer</summary>It gives the same probabilities at every position, whatever came
#    before.</details>
#
# ## Sources
#
# - Vaswani et al. 2017, *Attention Is All You Need*, arXiv:1706.03762: sections 3.2.1 (the scale, with
#   the variance argument in a footnote) and 3.2.2 (heads).
# - Ainslie et al. 2023, *GQA*, arXiv:2305.13245: the family from one key head to all.
# - Shazeer 2019, *Fast Transformer Decoding*, arXiv:1911.02150: where sharing key heads began.
# - Radford et al. 2019, *Language Models are Unsupervised Multitask Learners* (GPT-2): the decoder that
#   our forty lines are a small relative of.
# - Zhao et al. 2023, *A Survey of Large Language Models*, arXiv:2303.18223: the survey that the claims
#   ATT-010 and ATT-012 were taken from.
#
# ## Next
#
# [14 RoPE](14_rope.ipynb) gives attention a sense of order. (10 to 13 are being written.)

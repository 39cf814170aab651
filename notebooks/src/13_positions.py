# %% [markdown]
# # 13 Positions: how does a model know which word came first?
#
# 75 min · CPU · 40 s · 1 GB · needs [09 Attention](09_attention.ipynb) · code: `minillm/model/position.py`
#
# After this lesson you can
#
# 1. prove that attention alone cannot tell an order, and say how much a causal mask gives away;
# 2. derive the shift matrix of sinusoidal positions, and number T5's ranges of distances by hand;
# 3. give ALiBi's slopes for any number of heads, and say how far each head can look;
# 4. measure what each kind does beyond the trained length, and say what such a curve does not show;
# 5. take a claim like "11 % faster" apart: faster than what?
#
# You need attention (lesson 09), and from lesson 02 the paired difference over seeds.
#
# ## Setup

# %% tags=["setup"]
import dataclasses
import itertools
import math

import matplotlib.pyplot as plt
import torch

from minillm.evaluate import paired_difference
from minillm.lesson import check, claim, setup, show
from minillm.model import AttentionConfig, Decoder, DecoderConfig
from minillm.model import FeedForwardConfig, PositionConfig, presets
from minillm.model import alibi_bias, alibi_slopes, attention
from minillm.model import attention_weights, count_parameters
from minillm.model import flops_per_token, relative_bucket, sinusoidal
from minillm.model.masks import window_mask
from minillm.model.rope import rope_matrix
from minillm.objectives import fast_cross_entropy
from minillm.recipes.records import read_results
from minillm.recipes.runs import decoder
from minillm.recipes.studies import positions_length as lab

setup(seed=13)
torch.set_default_dtype(torch.float64)  # identities are checked to 1e-12

# %% [markdown]
# ## 1 What attention cannot see (9 min)
#
# *Dog bites man* is no news, *man bites dog* is. To tell the two apart, a model must know where each word stands: its
# **position** (位置). Where would it get that from? The embedding of *dog* is the same vector wherever the word stands.
#
# Stack the tokens' vectors as rows of $\mathbf X$. One head is
#
# $$A(\mathbf X) = \operatorname{softmax}\!\big(\mathbf X\mathbf W_q\,(\mathbf X\mathbf W_k)^\top\big)\,\mathbf X\mathbf W_v$$
#
# (the factor $1/\sqrt H$ sits in $\mathbf W_q$). Now shuffle the tokens. A shuffle is a **permutation
# matrix** (置换矩阵) $\mathbf P$: one 1 in each row and column, so $\mathbf P^\top\mathbf P=\mathbf I$. Put $\mathbf{PX}$
# in place of $\mathbf X$:
#
# - the scores become $\mathbf P\,\mathbf S\,\mathbf P^\top$, the same numbers in other places;
# - the softmax works along each row and does not care in which order its entries stand;
# - the last product meets $\mathbf P^\top\mathbf P = \mathbf I$, and the inner shuffle is gone.
#
# $$\boxed{A(\mathbf{PX}) = \mathbf P\,A(\mathbf X)}$$
#
# Every token gets exactly what it got before; it just stands elsewhere. The feed-forward layer and the
# norms work on each row alone, so the same holds for the whole model.
#
# **Predict, then run.** A decoder with two layers, without positions (`none`) and without a mask. Its six
# tokens are shuffled. How many of the six rows of logits change, apart from their place?
#
# <details><summary>Answer</summary>None, up to rounding.</details>

# %%
tiny = decoder(16, d_model=32, n_layers=2, n_heads=4, context=64)
tiny = dataclasses.replace(tiny, init_std=0.3)


def untrained(kind, n_layers=2, **settings):
    torch.manual_seed(13)
    place = PositionConfig(kind, **settings)
    changed = {"position": place, "n_layers": n_layers}
    return Decoder(dataclasses.replace(tiny, **changed)).eval()


# %% tags=["nbval-ignore-output", "label-blind"]
ids = torch.tensor([[3, 1, 4, 1, 5, 9]])
shuffle = torch.tensor([4, 2, 0, 5, 1, 3])
with torch.no_grad():
    blind = untrained("none")
    before = blind(ids, causal=False)
    after = blind(ids[:, shuffle], causal=False)
error = (after - before[:, shuffle]).abs().max()
print(f"largest change of a row: {error:.0e}")
assert error < 1e-12

# %% [markdown]
# With any other kind the rows do change, so the test can see a difference:

# %% tags=["nbval-ignore-output"]
with torch.no_grad():
    for kind in ("learned", "sinusoidal", "t5", "alibi", "rope"):
        model = untrained(kind)
        before = model(ids, causal=False)
        after = model(ids[:, shuffle], causal=False)
        change = (after - before[:, shuffle]).abs().max()
        print(f"{kind:11} largest change {change:.2f}")
        assert change > 1e-3

# %% [markdown]
# **A mask tells some.** A language model has a causal mask (因果掩码): token $t$ sees tokens $0..t$ only.
# That is not the same for all tokens, so the proof breaks: a shuffle does not move the mask. How much order can be
# learned from "who may see whom"?
#
# **Predict, then run.** We look at the last token only, and put the tokens before it into all possible
# orders. How many different outputs does a causal model without positions give, with one layer? With two?
#
# <details><summary>Answer</summary>One layer: a single output. The last token sees all others, as a bag.
# Two layers: every order gives another output, because after layer 1 each token has seen what stood before
# it, and carries that upwards.</details>

# %% tags=["label-layers"]
orders = list(itertools.permutations([3, 1, 4, 5]))
rows = torch.tensor([[*order, 9] for order in orders])  # 24 orders
for n_layers in (1, 2):
    with torch.no_grad():
        last = untrained("none", n_layers)(rows)[:, -1]  # (24, V)
    apart = torch.cdist(last, last) > 1e-9
    n_different = len({tuple(row.tolist()) for row in apart})
    print(f"{n_layers} layer(s): {n_different} different outputs of 24")
    assert n_different == (1 if n_layers == 1 else 24)

# %% [markdown]
# So `none` is a real competitor in a causal model, if it has at least two layers. Can it count, too? Let
# the text be one start token and then $t$ times the same token, and let all scores be equal. The head
# averages one value $v_0$ of the start and $t$ values $v$, so its output is
#
# $$\frac{v_0 + t\,v}{t+1} = v + \frac{v_0-v}{t+1}.$$
#
# With $v=0$ and $v_0=1$ this is $1/(t+1)$: the position can be read off. But see how fine the print
# becomes: 1/2, 1/3, 1/4 … are far apart, 1/500 and 1/501 are not.

# %%
v = torch.zeros(1, 1, 501, 1)
v[:, :, 0] = 1.0  # the start token's value is 1, all others have 0
equal = torch.zeros_like(v)  # queries and keys that match equally well
counted = attention(equal, equal, v, causal=True).flatten()
wanted = 1 / (1 + torch.arange(501.0))
assert (counted - wanted).abs().max() < 1e-12
print([round(x, 3) for x in counted[[1, 2, 3, 499, 500]].tolist()])

# %% [markdown]
# ## 2 A vector for each place (13 min)
#
# The first idea: *add* to the embedding of token $t$ a vector $\mathbf p_t$ that says "I am at place $t$".
# This is an **absolute position** (绝对位置). Where do the vectors come from?
#
# **Learned positions** (可学习位置编码). A table with one row for each place, trained like any weight. GPT-2 does
# this. It costs $T\cdot D$ parameters and works well. But where the table ends, the model ends:

# %%
gpt2 = presets.gpt2_124m()
rows_of_table = gpt2.context * gpt2.d_model
print(f"GPT-2: {rows_of_table:,} of {count_parameters(gpt2):,} parameters")
try:
    untrained("learned")(torch.zeros(1, 65, dtype=torch.int64))
except ValueError as error:
    print(error)

# %% [markdown]
# A longer table does not help by itself: a row that no training text reaches keeps its random start.
#
# **Sinusoidal positions** (正弦位置编码) need no table. The first Transformer computed $\mathbf p_t$ with a
# formula. Take $D/2$ clock hands with speeds $\omega_j = 10000^{-2j/D}$, from 1 radian a token down to
# almost none, and write down for each the sine and the cosine of its angle:
#
# $$p_{t,2j}=\sin(\omega_j t)\qquad p_{t,2j+1}=\cos(\omega_j t)$$

# %% tags=["label-waves"]
p = sinusoidal(torch.arange(128), 64)  # (T, D)
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6), layout="tight")
image = left.imshow(p.T[:32], aspect="auto", interpolation="nearest")
left.set(xlabel="position t", ylabel="coordinate")
fig.colorbar(image, ax=left)
for j, style in ((0, "-"), (6, "--"), (12, ":")):
    right.plot(p[:64, 2 * j], style, label=f"coordinate {2 * j}")
right.set(xlabel="position t", ylabel="value", ylim=(-1.1, 2.6))
right.legend(loc="upper left")
alt = "Left: the sinusoidal vectors as a picture, fast stripes in the first"
alt += " coordinates, slow ones below. Right: three of them as curves."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Left, each column is one position; the first 32 of 64 coordinates are drawn. The first flicker, the
# later ones turn slowly. Right, three rows of it: together they tell near places apart (fast) and far places (slow), as the
# digits of a number do.
#
# **The linear shift.** Why sines and not some other function of $t$? The authors give one reason: for every
# distance $k$ there is *one* matrix that moves any position by $k$. It follows from the addition theorems.
# For one hand,
#
# $$\begin{pmatrix}\sin\omega(t+k)\\ \cos\omega(t+k)\end{pmatrix} =
# \begin{pmatrix}\cos\omega k & \sin\omega k\\ -\sin\omega k & \cos\omega k\end{pmatrix}
# \begin{pmatrix}\sin\omega t\\ \cos\omega t\end{pmatrix}.$$
#
# There is no $t$ in the matrix. Put such a block for each hand on the diagonal of $\mathbf M_k$, and
#
# $$\boxed{\mathbf p_{t+k} = \mathbf M_k\,\mathbf p_t \quad\text{for all } t.}$$
#
# (Here the vectors are columns.) "Five tokens on" is a linear map, and a weight matrix can learn it.
# Let us see whether a machine finds $\mathbf M_5$ without being told: fit it on positions 0 to 999 by least
# squares, and test it on positions that it has not seen.
#
# **Predict, then run.** How well will it do at $t=5000$?
#
# <details><summary>Answer</summary>Perfectly, up to rounding: the matrix is the same for all t.</details>

# %% tags=["nbval-ignore-output", "label-shift"]
D, k = 16, 5
near, far = torch.arange(1000), torch.arange(5000, 5100)
fit = torch.linalg.lstsq(sinusoidal(near, D), sinusoidal(near + k, D))
M = fit.solution.T  # rows of positions: p[t + k] = p[t] @ M.T
error = (sinusoidal(far, D) @ M.T - sinusoidal(far + k, D)).abs().max()
print(f"at t = 5000 to 5099 the largest error is {error:.0e}")
assert error < 1e-9
block = [[math.cos(k), math.sin(k)], [-math.sin(k), math.cos(k)]]
assert (M[:2, :2] - torch.tensor(block)).abs().max() < 1e-9

# %% [markdown]
# A consequence: $\mathbf M_k$ turns and does not stretch, so the inner product of two positions depends on
# their distance only, $\mathbf p_t^\top\mathbf p_{t+k}=\sum_j\cos\omega_j k$. Does attention therefore know
# distances? Not so fast. In attention two weight matrices stand between, and with a matrix
# $\mathbf W$ in the middle it is lost:


# %%
def spread_at_equal_distance(scores):
    rows = [scores.diagonal(d) for d in range(-39, 40)]
    return max((row.max() - row.min()).item() for row in rows)


# %% tags=["nbval-ignore-output"]
p, W = sinusoidal(torch.arange(40), 16), torch.randn(16, 16)
plain = spread_at_equal_distance(p @ p.T)
mixed = spread_at_equal_distance(p @ W @ p.T)
print(f"p p^T: {plain:.0e}    p W p^T: {mixed:.1f}")
assert plain < 1e-12 < 1 < mixed

# %% [markdown]
# So an added vector *offers* the distance; the weights must learn to read it. (RoPE keeps the property
# through the weights, because it acts behind them: lesson 14.)
#
# ## 3 A number for each range of distances (8 min)
#
# What we want to know is mostly not "where am I?" but "how far is that from me?", the **relative position**
# (相对位置). The most direct way: leave the embeddings alone and add to each *score* a number that depends on the
# distance, $b_{t-s}$, learned, one for each head:
#
# $$\text{score}(t,s)=\frac{\mathbf q_t\mathbf k_s^\top}{\sqrt H}+b^{\text{head}}_{\text{bucket}(t-s)}$$
#
# T5 does this, with one table for all layers (and without the $\sqrt H$). It has a number for each **bucket** (桶), a range of
# distances, for two reasons: far distances are rare in training, and whether a word stands 100 or 101
# tokens back hardly matters. With $n$ buckets the first $n/2$ distances have one each; the others grow
# like a logarithm, up to `max_distance`:
#
# $$\text{bucket}(d)=\frac n2+\left\lfloor\frac n2\cdot\frac{\ln(d/\frac n2)}{\ln(d_{\max}/\frac n2)}\right\rfloor
# \qquad\text{for } d\ge \tfrac n2,\text{ at most } n-1.$$
#
# **By hand**, with $n=8$ and $d_{\max}=64$: distances 0, 1, 2, 3 have buckets 0 to 3. From 4 on,
# $\ln(d/4)/\ln 16$ grows from 0 to 1, so a new bucket begins whenever $d$ has doubled: at 4, 8, 16 and 32.
# From 64 on there would be a ninth; instead everything stays in the last.

# %% tags=["label-buckets"]
d = torch.arange(200)
bucket = relative_bucket(d, n_buckets=8, max_distance=64)
for b in range(8):
    inside = d[bucket == b]
    print(f"bucket {b}: distances {inside.min()} to {inside.max()}")
starts = [d[bucket == b].min().item() for b in range(8)]
assert starts == [0, 1, 2, 3, 4, 8, 16, 32]

# %% [markdown]
# (The last bucket has no end; the list stops at 199.) T5's own numbers are $n=32$ and $d_{\max}=128$, and it was trained
# on texts of 512 tokens. We shall train on 64.
#
# **Predict, then run.** How many of the 32 buckets does a text of 64 tokens never use?
#
# <details><summary>Answer</summary>Five. They would be read for the first time in the test. So our models
# use n = 16 and a largest distance of 32: all buckets are trained, and the last one serves all that is
# farther.</details>

# %% tags=["label-unused"]
within = torch.arange(64)
for n, largest in ((32, 128), (16, 32)):
    used = relative_bucket(within, n_buckets=n, max_distance=largest)
    print(f"{n} buckets to {largest:3}: {n - len(used.unique())} unused")

# %% [markdown]
# ## 4 A penalty on distance (12 min)
#
# **ALiBi** (attention with linear biases, 线性偏置) goes one step further: no table at all. The number is a
# straight line. Every token of distance costs the same:
#
# $$\text{score}(t,s)=\frac{\mathbf q_t\mathbf k_s^\top}{\sqrt H}-\lambda_h\,(t-s)$$
#
# $\lambda_h$, the **slope** (斜率) of head $h$, is fixed before training. Is this, and nothing
# else, what happens before the softmax? The loop knows only the formula.

# %%
q, key, v = torch.randn(3, 1, 2, 7, 4)  # two heads, seven tokens
lam, at = torch.tensor([0.5, 0.125]), torch.arange(7)
bias = alibi_bias(lam, at, at, dtype=torch.float64)
weights = attention_weights(q, key, v, causal=True, bias=bias)[1]

# %% tags=["label-loop"]
error = 0.0
for h, t in itertools.product(range(2), range(7)):
    line = [q[0, h, t] @ key[0, h, s] / 4**0.5 for s in range(t + 1)]
    line = [x - lam[h] * (t - s) for s, x in enumerate(line)]
    powers = torch.tensor(line).exp()
    gap = weights[0, h, t, : t + 1] - powers / powers.sum()
    error = max(error, gap.abs().max().item())
claim("POS-018", error)

# %% [markdown]
# **The slopes.** With $N$ heads they are a geometric sequence (等比数列) that starts at $2^{-8/N}$ and has the
# same number as its ratio: $\lambda_h=2^{-8h/N}$, $h=1\dots N$. So the last one is always $2^{-8}=1/256$.

# %%
for n_heads in (8, 16):
    print(f"{n_heads:2} heads:", [f"{x:.4f}" for x in alibi_slopes(n_heads)])


# %%
def largest_error(got, wanted):
    return max(abs(a / b - 1) for a, b in zip(got, wanted, strict=True))


# %%
eight = [1 / 2**i for i in range(1, 9)]
sixteen = [1 / 2 ** (i / 2) for i in range(1, 17)]
claim("POS-016", largest_error(alibi_slopes(8), eight))
claim("POS-017", largest_error(alibi_slopes(16), sixteen))

# %% [markdown]
# **Twelve heads?** The paper speaks of powers of two only. The formula would work for 12, too. But the
# authors' code does something else, and BLOOM and Baichuan followed: take the slopes of the next lower
# power of two, 8, and fill up with every second slope of 16 heads.
#
# **Predict, then run.** Which four are added to 1/2 … 1/256? Why every second one?
#
# <details><summary>Answer</summary>The 1st, 3rd, 5th and 7th of sixteen: 2^-0.5, 2^-1.5, 2^-2.5 and 2^-3.5. The ones
# between them, 2^-1, 2^-2 …, are there already.</details>

# %%
twelve = alibi_slopes(12)
print([round(math.log2(x), 2) for x in twelve])
assert twelve == alibi_slopes(8) + alibi_slopes(16)[0:8:2]
formula = [2 ** (-8 * h / 12) for h in range(1, 13)]
print([round(math.log2(x), 2) for x in formula], "by the formula")

# %% [markdown]
# Neither is better by any proof. But a model that was trained with one list must be run with it, in the same order.
#
# **How far does a head look?** Let all scores be equal before the penalty. Then the weight at distance $d$ is
# proportional to $e^{-\lambda d}$: a geometric sequence again, now along the text. With
# $r=e^{-\lambda}$ and a long text the weights are $(1-r)\,r^d$, and the mean distance is
#
# $$\bar d=\sum_{d\ge0} d\,(1-r)\,r^d=\frac{r}{1-r}=\frac1{e^{\lambda}-1}\approx\frac1\lambda-\frac12 .$$
#
# And the share of the weight that lies within the last $1/\lambda$ tokens is
# $1-r^{1/\lambda}=1-e^{-1}\approx 63\,\%$. **The window (有效窗口) of a head is about one over its slope.**

# %% tags=["label-windows"]
d = torch.arange(20_000.0)
print("slope    1/slope   mean distance   within 1/slope")
for i in (1, 2, 4, 6, 8):
    lam = 2.0**-i
    w = torch.softmax(-lam * d, dim=0)
    mean = (w * d).sum().item()
    inside = w[: int(1 / lam)].sum().item()
    assert abs(mean - 1 / math.expm1(lam)) < 1e-6
    assert abs(inside - (1 - math.exp(-1))) < 1e-9
    print(f"1/{2**i:<6}{1 / lam:8.0f}{mean:14.2f}{inside:16.1%}")

# %% tags=["label-bias"]
fig, axes = plt.subplots(1, 3, figsize=(7, 2.6), layout="constrained")
at = torch.arange(64)
bias = alibi_bias(torch.tensor([0.25]), at, at, dtype=torch.float64)
weights = bias[0].masked_fill(at > at[:, None], -math.inf).softmax(-1)
axes[0].imshow(bias[0].masked_fill(at > at[:, None], math.nan))
axes[1].imshow(weights**0.5)
for i, style in zip((1, 3, 5, 7), ("-", "--", "-.", ":")):
    axes[2].plot(torch.exp(-(2.0**-i) * at), style, label=f"1/{2**i}")
axes[0].set(title="penalty, slope 1/4", xlabel="key", ylabel="query")
axes[1].set(title="weights (root)", xlabel="key")
axes[2].set(title="by slope", xlabel="distance", ylabel="weight / own")
axes[2].legend()
alt = "ALiBi's penalty as a triangle that darkens away from the diagonal; the"
alt += " weights as a narrow band; and four curves that fall with distance."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Left, the penalty is 0 on the diagonal and grows downwards and to the left.
# In the middle, equal scores become a band about four tokens wide. Right, the weight next to that of the
# token itself: the steepest head drops the past within a few tokens, the flattest keeps most of it.
#
# Caution: the window is what the *penalty* allows. A score that is larger by $\lambda d$ makes up for the distance $d$. Section 7 looks at trained heads.
#
# ## 5 Six kinds, side by side (4 min)
#
# The sixth kind, **RoPE** (旋转位置编码), turns queries and keys by an angle that grows with their position, so that
# the score feels the distance. Lesson 14 derives it; here it is one more competitor.
#
# | kind | where it acts | trained numbers | beyond the trained length |
# |---|---|---|---|
# | none | nowhere | 0 | the mask tells, more and more coarsely |
# | learned | added to the embedding | $T\cdot D$ | has no rows |
# | sinusoidal | added to the embedding | 0 | defined, but never seen |
# | T5 | every score | buckets · $N$ | the last bucket goes on |
# | ALiBi | every score | 0 | the line goes on |
# | RoPE | every query and key | 0 | defined, but never seen |
#
# A survey that this course follows lists three common kinds: learned, RoPE, relative. RoPE is relative, too:
# the list mixes how it is made with what it knows. What do real models take?

# %% tags=["label-presets"]
names = ["gpt2_124m", "bloom_176b", "llama_7b", "qwen2_7b", "mistral_7b"]
kinds = {name: getattr(presets, name)().position.kind for name in names}
kinds["t5_small"] = presets.t5_small().decoder.position.kind
print(kinds)
spelled = {"rope": "RoPE", "alibi": "ALiBi"}
small = spelled[presets.baichuan2_7b().position.kind]
large = spelled[presets.baichuan2_13b().position.kind]
print("Baichuan-2, 7B and 13B:", small, "and", large)
claim("POS-023", f"{small} / {large}")

# %% [markdown]
# ## 6 Train short, test long (15 min)
#
# **Length extrapolation** (长度外推性): a model trained on short texts is used on longer ones, as it is. That would
# save much, because attention over long texts is dear. The experiment:
#
# - one small decoder (two layers, eight heads, width 64; tokens are bytes), all alike but for the positions;
# - trained on English stories in windows of **64** tokens, 384 steps of 512 tokens, one learning rate for all;
# - tested on other stories: one forward pass over windows of **512** tokens, and the loss noted at each place.
#
# Test windows begin 32 bytes apart, so each piece of 32 bytes is read at every place of a window. **Losses at different places are losses on the same bytes.**
#
# Two notes on fairness. `learned` gets a table of 512 rows, of which 448 are never trained: this shows what
# "just make it longer" does. `t5` has 16 buckets to distance 32, all trained; `t5_wide` has T5's own 32
# buckets to distance 128, of which 5 are not.
#
# **Predict.** Which kinds get worse beyond place 63? Which fall hardest? Does any get better?
#
# First live, one seed, two kinds (the four numbers are bits per byte at places 0–63, 64–127, 128–255, 256–511):

# %% tags=["nbval-ignore-output", "label-live"]
torch.set_default_dtype(torch.float32)
live = {}
for kind in ("sinusoidal", "alibi"):
    model = lab.train_arm(lab.JOB.arms[kind], seed=1)
    bits = lab.bits_by_position(model)
    live[kind] = [bits[low:high].mean() for low, high in lab.RANGES]
    print(f"{kind:11}", " ".join(f"{x:6.2f}" for x in live[kind]))
torch.set_default_dtype(torch.float64)

# %% [markdown]
# And now every kind with five seeds, recorded by `python -m minillm.recipes records positions_length`:

# %% tags=["label-table"]
study = read_results("positions_length")
print(study.provenance)
short = [arm for arm in study.measured if not arm.endswith("_128")]
heads = [f"{low}-{high - 1}" for low, high in lab.RANGES]
print(" " * 14 + "".join(f"{head:>14}" for head in heads))
for arm in short:
    line = f"{arm:14}"
    for low, high in lab.RANGES:
        m = study.mean(arm, f"bits {low}-{high}")
        line += f"{m.value:8.2f} ±{m.high - m.value:4.2f}"
    print(line)

# %%
for kind, found in live.items():  # is the live run one of the family?
    m = study.values(kind, "bits 0-64")
    assert min(m) - 0.3 < found[0] < max(m) + 0.3

# %% tags=["label-curves"]
fig, ax = plt.subplots(figsize=(6.6, 3.4), layout="constrained")
styles = ("k:", "C0-", "C1--", "C2-.", "C3-", "C4--")
drawn = ("none", "learned", "sinusoidal", "t5", "alibi", "rope")
places = range(0, lab.LONGEST, lab.BIN)
at = [low + lab.BIN / 2 for low in places]
for arm, style in zip(drawn, styles, strict=True):
    means = [study.mean(arm, f"bin {low}") for low in places]
    (line,) = ax.plot(at, [m.value for m in means], style, label=arm)
    band = [m.low for m in means], [m.high for m in means]
    ax.fill_between(at, *band, color=line.get_color(), alpha=0.2, lw=0)
ax.axvline(lab.TRAINED, color="0.5", lw=1)
ax.text(66, 5.0, "trained length", size=9)
ax.set(xscale="log", xlabel="position", ylabel="bits per byte")
ax.set_xticks([16, 64, 128, 256, 512], ["16", "64", "128", "256", "512"])
ax.minorticks_off()
ax.legend(ncols=2)
alt = "Bits per byte against position, trained at 64. ALiBi stays flat to"
alt += " 512; T5 and RoPE climb, learned and sinusoidal jump at once."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Up to the grey line each kind uses its training. Beyond it:
#
# - `learned` and `sinusoidal` jump at once. The one meets random rows, the other combinations of angles that no weight was
#   ever fitted to.
# - `rope` holds out for a while and then fails most of all: slow hands reach angles that were never seen.
# - `t5` climbs slowly: all that is far shares the number of the last bucket, and there is more and more of it. `t5_wide` falls
#   faster: five of its numbers are random.
# - `none` climbs gently; its position is a share of 1/(t+1), as in section 1.
# - `alibi` is flat to the end.
#
# (The reasons fit what we know; they are not tested here. The bands are over seeds; all runs are tested on the same 16 kB.)
#
# **At the trained length:** does each of the survey's three kinds beat having none? The rule, written before the run, takes
# the worst of the three. (And `alibi` against `rope`: which is better at 64?)

# %% tags=["label-trained"]
names = ("learned", "sinusoidal", "t5", "alibi", "rope")
gain = {}
for arm in names:
    gain[arm] = study.difference(arm, "none", "bits 0-64")
    print(f"{arm:11} minus none: {gain[arm]}")

# %%
three = ("learned", "rope", "t5")  # learned, RoPE, relative
worst = max((gain[arm] for arm in three), key=lambda d: d.value)
claim("POS-022", worst.value, worst)
print("rope minus alibi:", study.difference("rope", "alibi", "bits 0-64"))

# %% [markdown]
# All do. The interval of `rope` minus `alibi` holds zero: at the trained length they were not told apart. That learned and
# sinusoidal vectors lag may be due to this *short* training (197 kB): the model must first learn to read what was added.
# In the ALiBi paper's large model, after 50 000 steps, sinusoidal and ALiBi are equal at equal length.
#
# **What this curve is not.** It is a loss *at* a place, not a measure of what the model fetches from far away. Flat means:
# not disturbed. Is the far text used at all? Take the live ALiBi model and hide from every head all that lies $w$ or more tokens back.
#
# **Predict, then run.** At places 256 to 511, how much does the loss rise if only 32 tokens are in sight, instead of up to 512?
#
# <details><summary>Answer</summary>Not at all; here it even falls a little.</details>


# %%
@torch.no_grad()
def far_bits(mask):
    nats = []
    for rows in lab.texts()[1][::4].split(8):
        logits = model(rows[:, :-1], mask=mask)[:, 256:]
        nats.append(fast_cross_entropy(logits, rows[:, 257:]).item())
    return sum(nats) / len(nats) / math.log(2)


# %% tags=["nbval-ignore-output", "label-blindfold"]
torch.set_default_dtype(torch.float32)
seen = {w: far_bits(window_mask(w, 512)) for w in (4, 8, 32, 128, 512)}
for w, bits in seen.items():
    print(f"{w:3} tokens in sight: {bits:.3f} bits per byte")
assert seen[4] > seen[512] + 0.05 and seen[32] < seen[512] + 0.05
torch.set_default_dtype(torch.float64)

# %% [markdown]
# The model reads some dozen bytes and is not bothered by the rest. (Two layers of 32 reach back 62 places.) So the flat curve
# shows that ALiBi *keeps working* on long texts, not that long texts help. The paper says so of its own models in appendix B: the gain
# at longer inputs is mostly that fewer tokens stand near the beginning, where there is little to read (the *early token
# curse*). Our table has it, too: `alibi` is better at 64–127 than at 0–63; but compared with 32–63 it is a little *worse*:

# %%
beginning = study.values("alibi", "bits 32-64")
later = study.values("alibi", "bits 64-128")
print("64-127 minus 32-63:", paired_difference(later, beginning))

# %% [markdown]
# ## 7 Slopes: fixed or trained? (5 min)
#
# The article calls $\lambda$ a hyper-parameter (超参数): set by hand, never trained. The paper tried trained slopes and reports
# that they extrapolated badly. Our arm `alibi_learned` starts from the same slopes and trains their logarithms, so that they stay
# positive. The rule: a hyper-parameter is good enough if fixing it costs at most 0.02 bits at the trained length.

# %% tags=["label-slopes"]
cost = study.difference("alibi", "alibi_learned", "bits 0-64")
print("fixed minus trained, places 0-63:   ", cost)
claim("POS-019", cost.value, cost)
far = study.difference("alibi", "alibi_learned", "bits 256-512")
print("fixed minus trained, places 256-511:", far)

# %% tags=["label-slopes-table"]
print("head   slope   trained to   looks back (layer 0, layer 1)")
for h, lam in enumerate(alibi_slopes(8)):
    to = study.mean("alibi_learned", f"slope {h}").value
    a, b = (study.mean("alibi", f"looks back {i}.{h}").value for i in (0, 1))
    print(f"{h:4}  1/{1 / lam:<5.0f}{to:10.3f}{a:15.1f}{b:8.1f}")

# %% [markdown]
# Not here. Trained slopes are better by about a tenth of a bit, and they extrapolate as well. Look at where they went: every head
# became steeper. The published slopes were found for words and word pieces; *bytes* seem to want closer neighbours. So
# "$\lambda$ is a hyper-parameter" is true as a description, but it may be set badly for your tokens. (The paper's finding is about larger
# models and other tokens; we do not refute it.)
#
# The last columns answer the question of section 4: how far do *trained* heads with fixed slopes look, on average, at places 256 to 511? Compare with
# $1/(e^\lambda-1)$, corrected for the beginning of the text, which cuts the widest windows:

# %%
queries, d = torch.arange(256, 512)[:, None], torch.arange(512)
flat, measured = [], []
for h, lam in enumerate(alibi_slopes(8)):
    w = (-lam * d).masked_fill(d > queries, -math.inf).softmax(-1)
    flat.append((w * d).sum(-1).mean().item())
    both = [study.mean("alibi", f"looks back {i}.{h}") for i in (0, 1)]
    measured.append(both)
for line, both in zip(flat, measured):
    assert all(abs(m.value / line - 1) < 0.5 for m in both)

# %% tags=["label-looks"]
fig, ax = plt.subplots(figsize=(4.6, 2.9), layout="constrained")
ax.plot(range(8), flat, "k--", label="equal scores")
for i, mark in ((0, "o"), (1, "s")):
    means = [both[i].value for both in measured]
    half = [both[i].high - both[i].value for both in measured]
    style = {"fmt": mark, "label": f"layer {i}"}
    ax.errorbar(range(8), means, half, **style)
ax.set(yscale="log", xlabel="slope", ylabel="mean distance (tokens)")
ax.set_xticks(range(8), [f"1/{2**h}" for h in range(1, 9)], size=9)
ax.legend()
alt = "Mean distance a head looks back, by slope: measured heads of both"
alt += " layers lie close to the dashed line of equal scores."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** The marks lie close to the dashed line. In this small model the penalty alone decides how far a head looks; what
# queries and keys say decides *where within* the window.

# %% [markdown]
# ## 8 Faster than what? (9 min)
#
# ALiBi's abstract, and the Chinese article that this course follows, say: a model of 1.3 billion parameters, trained at length
# 1 024, reaches at 2 048 the same perplexity as a sinusoidal model trained at 2 048, but trains 11 % faster with 11 %
# less memory. This is easily retold as "ALiBi trains 11 % faster".
#
# **Predict.** The same model, the same length, once sinusoidal and once ALiBi. How much faster is ALiBi?
#
# <details><summary>Answer</summary>Not at all. The paper's own appendix (table 12) has it: at length 1 024 both take
# 5 900 GPU hours and 26.2 GB; at 2 048 both take 6 700 hours, and 29.3 GB against ALiBi's 29.4.</details>
#
# So the saving is the saving of *half the length*. How large must it be? Count the training FLOPs of a token
# (each weight costs 2 forward and 4 backward, attention $12\,L\,N H\,T$ in all; lesson 10 derives it):

# %%
layer = FeedForwardConfig("gelu", 8192)
half, full = (
    DecoderConfig(
        50_257, 2048, 25, T, AttentionConfig(16), layer,
        position=PositionConfig("sinusoidal"),
    )
    for T in (1024, 2048)
)  # fmt: skip
linear = dataclasses.replace(full, position=PositionConfig("alibi"))

# %% tags=["label-flops"]
print(f"{count_parameters(full) / 1e9:.2f} billion parameters")
a, b = flops_per_token(half), flops_per_token(full)
saved = 100 * (1 - a / b)
print(f"a token at 1024: {a / 1e9:.2f} GFLOPs, at 2048: {b / 1e9:.2f}")
print(f"saved by half the length: {saved:.1f} %")
assert flops_per_token(linear) == b  # the kind of position changes nothing
claim("POS-021", saved, (saved, saved))

# %% [markdown]
# Halving the length saves FLOPs, but fewer than 11 %: attention was only a small part. (By the rule the direction must hold, and the
# size within one point.) Time is not only arithmetic: in 2021 attention wrote its table of $T\times T$ weights to memory and
# read it again. We can count what a forward pass *keeps* for the backward pass. On torch's `meta` device tensors have shapes but
# no numbers, so the whole 1.3 B model fits in a lesson.


# %%
def kept_for_backward(config, n_tokens, device="meta"):
    model = Decoder(config, device=device, dtype=torch.float32)
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    kept = {}

    def note(x):  # called for each tensor that the backward pass needs
        storage = x.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage  # held, so that it stays unique
        return x

    shape = (n_tokens // config.context, config.context)
    ids = torch.zeros(shape, dtype=torch.int64, device=device)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        model(ids)
    return sum(storage.nbytes() for storage in kept.values())


# %% tags=["label-memory"]
readable = AttentionConfig(16, implementation="readable")
kept = {}
for name, config in (("sinusoidal", full), ("ALiBi", linear)):
    for T in (2048, 1024):
        c = dataclasses.replace(config, attention=readable, context=T)
        kept[name, T] = kept_for_backward(c, n_tokens=2048)
        print(f"{name:11} {T}: {kept[name, T] / 1e9:5.1f} GB for 2048 tokens")
assert kept["ALiBi", 2048] == kept["sinusoidal", 2048]
assert kept["ALiBi", 1024] == kept["sinusoidal", 1024]
saved = 1 - kept["ALiBi", 1024] / kept["ALiBi", 2048]
print(f"saved by half the length: {saved:.0%} of what is kept")

# %% [markdown]
# (In float32, and without weights and optimiser; the paper's 11 % is of everything.) With the table stored, half the length saves a third of the activations, whichever kind. And with
# a fused kernel ([lesson 16b](16b_flash_attention.ipynb)), which never stores the table? A small model, because kernels want real numbers:

# %% tags=["label-fused"]
tiny = decoder(256, d_model=64, n_layers=2, n_heads=4, context=128)
for kind in ("sinusoidal", "alibi"):
    for T in (128, 64):
        place = PositionConfig(kind)
        c = dataclasses.replace(tiny, position=place, context=T)
        kept[kind, T] = kept_for_backward(c, 512, device="cpu")
        print(f"{kind:11} {T:4}: {kept[kind, T] / 1e6:.2f} MB for 512 tokens")
assert kept["sinusoidal", 64] == kept["sinusoidal", 128]
assert kept["alibi", 128] > kept["sinusoidal", 128]

# %% [markdown]
# Now half the length saves no memory at all, and at equal length ALiBi keeps *more*: its table of penalties, one
# for each head, which a sinusoidal model does not need. The famous saving belongs to a length and to an
# implementation, not to a formula for positions.
#
# **And "the same perplexity"?** Here, too, one must ask: after equal what? In the paper's table 11 both models had the
# same GPU *hours*, so that the sinusoidal one made 44 200 steps of 50 000; then ALiBi is ahead, 8.92 against 9.01. Table 12 has equal steps,
# that is, equal tokens: 8.92 against 8.83. Our version of the second: ALiBi trained at 64, sinusoidal trained at 128,
# equal tokens, both tested on places 0 to 127.

# %% tags=["label-half"]
for arm in ("alibi", "sinusoidal_128", "alibi_128"):
    print(f"{arm:15}{study.mean(arm, 'bits 0-128')}")

# %% tags=["label-half-differences"]
worse = study.difference("alibi", "sinusoidal_128", "bits 0-128")
print(f"ALiBi at 64 minus sinusoidal at 128: {worse}")
claim("POS-020", worse.value, worse)
same = study.difference("alibi_128", "sinusoidal_128", "bits 0-128")
print(f"both at 128, ALiBi minus sinusoidal: {same}")
cost = study.difference("alibi", "alibi_128", "bits 0-128")
print(f"ALiBi at 64 minus ALiBi at 128:      {cost}")

# %% [markdown]
# By the rule the claim is reproduced: half the length, and not worse. But at *equal* length the lead is just as large. So it is no
# gain of extrapolation; in this short training the sinusoidal model simply lags. What half the length changes is the last line, ALiBi
# against itself: it costs a little, and the interval does not hold zero. And it saves, in FLOPs a token of our small model (that it
# is the same figure as in the paper is chance):

# %%
arms = ("alibi", "alibi_128")
a, b = (study.values(arm, "flops a token")[0] for arm in arms)
print(f"{a:,.0f} against {b:,.0f}: {1 - a / b:.0%} less")

# %% [markdown]
# ## Homework (34 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The rest of the notebook
# does not depend on your answers.
#
# ### Exercise 1 · Slopes for any number of heads (6 min, ★★☆)
#
# A list of `n_heads` slopes, as the authors' code gives it: powers of two by the formula; otherwise first those of the
# next lower power of two, then every second one of the next higher, until there are enough. (BLOOM has 112 heads,
# Baichuan-13B has 40.)
#
# <details><summary>Hint 1</summary>Find the largest power of two that is not above n_heads by doubling.</details>
# <details><summary>Hint 2</summary>The slopes of 2P heads at indices 0, 2, 4, … are those that P heads lack.</details>


# %% tags=["exercise"]
def my_slopes(n_heads: int) -> list[float]:
    # BEGIN SOLUTION
    power = 1
    while 2 * power <= n_heads:
        power *= 2
    slopes = [2 ** (-8 * h / power) for h in range(1, power + 1)]
    finer = [2 ** (-8 * h / (2 * power)) for h in range(1, 2 * power + 1)]
    return slopes + finer[0::2][: n_heads - power]
    # END SOLUTION


# %% tags=["check"]
cases = [(8,), (16,), (12,), (1,), (3,), (40,), (112,)]
check(my_slopes, alibi_slopes, cases)

# %% [markdown]
# ### Exercise 2 · The matrix that shifts (7 min, ★★☆)
#
# Return $\mathbf M_k$, (D, D), with `sinusoidal(t + k) == M @ sinusoidal(t)` for every position $t$; $k$ may be negative.
# The check compares with a matrix of lesson 14: RoPE has the same clock hands.
#
# <details><summary>Hint 1</summary>Start from zeros. Pair j fills rows and columns 2j and 2j + 1.</details>
# <details><summary>Hint 2</summary>The block is in section 2; its angle is k times 10000^(-2j/D).</details>


# %% tags=["exercise"]
def shift_matrix(k: int, D: int) -> torch.Tensor:
    # BEGIN SOLUTION
    M = torch.zeros(D, D)
    for j in range(D // 2):
        angle = k * 10_000 ** (-2 * j / D)
        cos, sin = math.cos(angle), math.sin(angle)
        block = torch.tensor([[cos, sin], [-sin, cos]])
        M[2 * j : 2 * j + 2, 2 * j : 2 * j + 2] = block
    return M
    # END SOLUTION


# %% tags=["check"]
def turned_back(k, D):
    return rope_matrix(-k, D, interleaved=True)


check(shift_matrix, turned_back, [(5, 4), (1, 2), (-3, 8), (0, 4), (40, 6)])

# %% [markdown]
# ### Exercise 3 · Buckets for an encoder (7 min, ★★☆)
#
# An encoder has no causal mask; keys stand to the left *and* to the right. T5 gives each side half of the buckets:
# distance 0 and the left (a positive distance) get numbers 0 to $n/2-1$, the right (a negative one) gets $n/2$ to $n-1$.
# Within a side the rule of section 3 holds with half as many buckets. Return the number for one distance.
#
# <details><summary>Hint 1</summary>Halve n first, then remember where the side begins, then take the absolute value.</details>
# <details><summary>Hint 2</summary><code>int()</code> cuts off, which is the floor of a positive number. Do not forget the last bucket.</details>


# %% tags=["exercise"]
def my_bucket(distance: int, n_buckets: int, largest: int) -> int:
    # BEGIN SOLUTION
    n = n_buckets // 2
    first = n if distance < 0 else 0
    d, exact = abs(distance), n // 2
    if d < exact:
        return first + d
    ratio = math.log(d / exact) / math.log(largest / exact)
    return first + min(exact + int(ratio * (n - exact)), n - 1)
    # END SOLUTION


# %% tags=["check"]
def bucket_of_package(distance, n_buckets, largest):
    d = torch.tensor(distance)
    sizes = {"n_buckets": n_buckets, "max_distance": largest}
    return relative_bucket(d, both_ways=True, **sizes).item()


cases = [(0, 32, 128), (3, 32, 128), (-3, 32, 128), (1, 32, 128)]
cases += [(-7, 32, 128), (9, 32, 128), (-45, 32, 128), (60, 32, 128)]
cases += [(500, 32, 128), (-500, 32, 128), (11, 16, 40), (-11, 16, 40)]
check(my_bucket, bucket_of_package, cases)

# %% [markdown]
# ### Exercise 4 · How far does this head look? (7 min, ★★☆)
#
# Queries and keys of one head, both (T, H), and its slope. Return for each query the mean distance under its weights,
# (T,): scores over $\sqrt H$, then ALiBi's penalty, causal mask, softmax. Section 7 reads numbers made this way.
#
# <details><summary>Hint 1</summary>distance = at[:, None] - at with at = torch.arange(T); the future is where it is negative.</details>
# <details><summary>Hint 2</summary>Divide the scores by the square root of H, but not the penalty.</details>


# %% tags=["exercise"]
def looks_back(q, k, slope: float) -> torch.Tensor:
    # BEGIN SOLUTION
    T, H = q.shape
    at = torch.arange(T)
    distance = at[:, None] - at
    scores = q @ k.T / math.sqrt(H) - slope * distance
    scores = scores.masked_fill(distance < 0, -math.inf)
    weights = scores.softmax(dim=-1)
    return (weights * distance).sum(dim=-1)
    # END SOLUTION


# %% tags=["check"]
def distance_of_package(q, k, slope):
    at = torch.arange(len(q))
    slopes = torch.tensor([slope])
    bias = alibi_bias(slopes, at, at, dtype=torch.float64)
    q, k = q[None, None], k[None, None]
    weights = attention_weights(q, k, k, causal=True, bias=bias)[1][0, 0]
    return (weights * (at[:, None] - at).clamp(min=0)).sum(dim=-1)


q, key = torch.randn(2, 40, 16)
cases = [(q, key, 0.5), (q, key, 1 / 64), (3 * q, key, 0.125)]
cases += [(torch.zeros(9, 4), torch.zeros(9, 4), 0.25)]
check(looks_back, distance_of_package, cases)

# %% [markdown]
# ### Exercise 5 · A penalty that knows only the key (7 min, ★★★)
#
# ALiBi's bias seems to need a (T, S) table for each head. It does not, under a causal mask: a softmax does not notice when
# the same number is added to a whole row, and $-\lambda(t-s)=\lambda s-\lambda t$. Return causal attention
# with ALiBi, using a bias of shape (N, 1, S). `q`, `k`, `v` are (B, N, T or S, H), `slopes` is (N,). BLOOM in
# `transformers` is written so.
#
# <details><summary>Hint 1</summary>λt is the same for all keys of a query, so it may be dropped.</details>
# <details><summary>Hint 2</summary><code>attention(q, k, v, causal=True, bias=...)</code> broadcasts the bias.</details>


# %% tags=["exercise"]
def key_only(q, k, v, slopes) -> torch.Tensor:
    # BEGIN SOLUTION
    S = k.shape[2]
    bias = slopes[:, None, None] * torch.arange(S)
    return attention(q, k, v, causal=True, bias=bias)
    # END SOLUTION


# %% tags=["check"]
def with_table(q, k, v, slopes):
    T, S = q.shape[2], k.shape[2]
    keys = torch.arange(S)
    bias = alibi_bias(slopes, keys[S - T :], keys, dtype=q.dtype)
    return attention(q, k, v, causal=True, bias=bias)


q, key, v = torch.randn(3, 2, 4, 10, 8)
slopes = torch.tensor(alibi_slopes(4))
cases = [(q, key, v, slopes), (q[:, :, :3], key, v, slopes)]
cases += [(q[:, :, :1], key, v, slopes.flip(0))]
check(key_only, with_table, cases)

# %% [markdown]
# ## At scale
#
# What the kinds cost in models that exist:

# %% tags=["label-scale"]
bloom = presets.bloom_176b()
n_heads, T = bloom.attention.n_heads, bloom.context
print(f"GPT-2: a table of {gpt2.context * gpt2.d_model:,} numbers")
t5 = presets.t5_small().decoder
n_numbers = t5.position.n_buckets * t5.attention.n_heads
print(f"T5-small: {n_numbers} numbers for all layers of a stack")
print(f"BLOOM-176B: 0 numbers, {n_heads} slopes for {T} tokens, from")
steep, flat = max(alibi_slopes(n_heads)), min(alibi_slopes(n_heads))
print(f"  {steep:.3f} (window {1 / steep:.1f})")
print(f"  to {flat:.4f} (window {1 / flat:.0f})")

# %% [markdown]
# - The flattest slope is 1/256 whatever the number of heads, and whatever the context: with 2 048 tokens, no head of
#   BLOOM has a natural window over more than an eighth of the text.
# - The paper's models, trained at 512 words of WikiText-103 and tested at 3 072 with a sliding window: perplexity goes from 17.98 to 18.30 with ALiBi,
#   from 17.92 to 30.77 with T5's bias, from 18.35 to 360 with sinusoids (its tables 13 to 15). Our small curve has the same order.
# - Time and memory on a GPU of today, with a fused kernel: not measured yet.
# - Today most models take RoPE and are then *taught* longer texts with slower hands: [lesson 15](15_long_context.ipynb).
#
# ## Recap
#
# - Without positions and mask attention commutes with any shuffle. A causal mask breaks this, from the second layer on.
# - Learned and sinusoidal positions are added once; T5 and ALiBi add to scores; RoPE turns queries and keys.
# - Sinusoidal vectors shift by one matrix for all places, but weights in between must learn to use it.
# - ALiBi's slopes are geometric from $2^{-8/N}$; a head's window is about one over its slope.
# - Beyond the trained length what was never seen fails: rows, angles, buckets. A loss curve that stays flat shows that a
#   model is not disturbed, not that it uses the far text.
# - A saving needs a partner: ALiBi's 11 % is the saving of half the length.
#
# ## Questions
#
# 1. Which step of the proof in section 1 fails under a causal mask?
# <details><summary>Answer</summary>The scores are still shuffled, but the mask stays where it was: it is not P M Pᵀ.</details>
#
# 2. Why does one causal layer without positions not tell *dog bites man* from *man bites dog* at the last word?
# <details><summary>Answer</summary>The last token sees the same bag of embeddings both times; only from the second layer on do the vectors
# of earlier tokens carry what stood before them.</details>
#
# 3. GPT-2 gets 1 025 tokens. What happens, and why does a longer table not help?
# <details><summary>Answer</summary>There is no row 1 024 to look up. A new row has random numbers that the model never learned to read.</details>
#
# 4. Sinusoidal vectors shift linearly for all t. Why does the model still fail at t = 200, trained on 64?
# <details><summary>Answer</summary>The property is one of the vectors. The weights only learned what was needed on combinations of angles that occur
# below 64; the slow hands show new values beyond.</details>
#
# 5. A head has slope 1/32. Where does it look, and where may it look all the same?
# <details><summary>Answer</summary>With equal scores on average about 31.5 tokens back; farther, if a score is larger by the distance over 32.</details>
#
# 6. Why does T5's bias with 32 buckets to distance 128 do worse at length 512 here than one with 16 to 32?
# <details><summary>Answer</summary>Trained at 64, its last five buckets were never used and hold their random start.</details>
#
# 7. "ALiBi trains 11 % faster." Complete the sentence.
# <details><summary>Answer</summary>… at 1 024 tokens than a sinusoidal model at 2 048, on the code and the GPUs of 2021. At equal length it is not faster.</details>
#
# 8. A model's loss is flat from 64 to 512. A colleague says that it uses 512 tokens of context. What do you answer?
# <details><summary>Answer</summary>A model that looks at the last 32 tokens only would be just as flat. Change the far text and see if anything changes.</details>
#
# ## Sources
#
# - Vaswani et al. 2017, *Attention Is All You Need*, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762): section 3.5, the sinusoids
#   and why.
# - Raffel et al. 2019, *T5*, [arXiv:1910.10683](https://arxiv.org/abs/1910.10683): section 2.1, the bias with buckets.
# - Press et al. 2021, *Train Short, Test Long*, [arXiv:2108.12409](https://arxiv.org/abs/2108.12409): ALiBi; appendix A.4 holds the
#   comparison at equal length, appendix B the doubt whether far text is used.
# - Haviv et al. 2022, *Transformer Language Models without Positional Encodings Still Learn Positional Information*,
#   [arXiv:2203.16634](https://arxiv.org/abs/2203.16634): `none` at scale.
# - Kazemnejad et al. 2023, *The Impact of Positional Encoding on Length Generalization*,
#   [arXiv:2305.19466](https://arxiv.org/abs/2305.19466): on reasoning tasks the order of the kinds is another.
# - Yang et al. 2023, *Baichuan 2*, [arXiv:2309.10305](https://arxiv.org/abs/2309.10305): RoPE in the 7B, ALiBi in the 13B model.
# - Zhao et al. 2023, *A Survey of Large Language Models*, [arXiv:2303.18223](https://arxiv.org/abs/2303.18223): the list of section 5.
#
# ## Next
#
# [14 RoPE](14_rope.ipynb): the sixth kind, derived from two demands.

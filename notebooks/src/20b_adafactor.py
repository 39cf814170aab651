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
# # 20b Adafactor and batch size: what must an optimizer remember, and how many tokens is a step worth?
#
# 75 min · CPU · 40 s · 1 GB · needs [20a AdamW](20a_adamw.ipynb) · code: `minillm/train/adafactor.py`, `noise_scale.py`, `batch_ramp.py`
#
# AdamW keeps two numbers for every weight. For a model of seven billion weights that is 50 GiB, four times the
# weights themselves in 16 bits. The first half of this lesson asks which of these numbers can be saved. The second half asks how many
# tokens a step should read: GPT-3 began with 32 thousand and ended with 3.2 million.
#
# After this lesson you can
#
# 1. count the memory of an optimizer, and check the count against the tensors that it holds;
# 2. derive the mean squares of a matrix from its row and column means alone, and say when that is exact;
# 3. explain $\beta_2 = 1-k^{-0.8}$, and why it needs no bias correction;
# 4. show that accumulated gradients are those of the big batch, and measure their noise as a by-product;
# 5. say from which batch size on more tokens hardly help, plan a batch that grows, and judge over seeds what it is good for.

# %% tags=["setup"]
import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from minillm.data.loader import BatchSampler, get_batch
from minillm.evaluate import mean_interval, paired_difference
from minillm.lesson import check, claim, setup, show
from minillm.model import Decoder, presets
from minillm.objectives import causal_loss
from minillm.recipes.records import read_results
from minillm.recipes.small import bits_on
from minillm.recipes.studies import batch_size as sizes
from minillm.recipes.studies import optimizers_compared as study
from minillm.recipes.studies import ramp_or_rate
from minillm.train import TrainConfig, make_optimizer
from minillm.train.adafactor import Adafactor, beta2_at, factored_square
from minillm.train.batch_ramp import GPT3_RAMP, PALM_RAMP, StepRamp
from minillm.train.batch_ramp import ramp_length, ramp_steps
from minillm.train.lion import lion_step
from minillm.train.muon import newton_schulz
from minillm.train.noise_scale import flat_gradient, noise_parts
from minillm.train.noise_scale import parts_of_accumulation, steps_over_least
from minillm.train.optimizer_memory import live_numbers, model_state_numbers

setup(seed=20)
f64 = torch.float64

# %% [markdown]
# ## 1 The bill (6 min)
#
# Lesson 20a built AdamW: for each weight a running mean $m$ of its gradient and a running mean $v$ of its square. Both are kept
# from step to step; they are the **optimizer state** (优化器状态), and usually in 32 bits.
#
# **Predict, then run.** LLaMA-7B has 6.7 billion weights. How many GiB are $m$ and $v$? (1 GiB is $2^{30}$ bytes.) Below are five more
# optimizers. Momentum you know from 20a; the others come in this lesson, and `palm` is Adafactor as the model PaLM used it.
# Which may need less than a hundredth of AdamW's memory?
#
# <details><summary>Answer</summary>2 · 6.7e9 · 4 bytes = 50 GiB. Only Adafactor: for a matrix it keeps one number a row and one a
# column.</details>

# %% tags=["label-bill"]
kinds = ["momentum", "adamw", "palm", "lion", "muon", "adafactor"]
with torch.device("meta"):  # tensors with a shape and no memory
    llama = Decoder(presets.llama_7b())
numbers = {kind: model_state_numbers(kind, llama) for kind in kinds}
for kind, n in numbers.items():
    print(f"{kind:10}{n:15,} numbers {4 * n / 2**30:8.2f} GiB")

# %% [markdown]
# A count from shapes is a claim about code. So each optimizer does a step on a small model (that of this lesson's recorded study,
# 125 thousand weights), and we count the numbers in the tensors that it then holds.

# %%
x = torch.randint(257, (2, 16))
for kind in study.SETTINGS:
    model = study.make(seed=20)
    settings = study.optimizer_config(kind, study.GRID[kind][0])
    optimizer = make_optimizer(model, settings)
    causal_loss(model, x, x).backward()
    optimizer.step()
    counted = study.COUNTED.get(kind, kind)  # "sgd" has momentum here
    assert live_numbers(optimizer) == model_state_numbers(counted, model)
print("counted = held, for", ", ".join(study.SETTINGS))

# %% [markdown]
# One line is a surprise: `palm` costs as much as AdamW.
# The survey that this course follows says of **Adafactor** that it is made to save GPU memory, and names PaLM and T5. T5 used the form that saves (cited; its code was not re-read here). PaLM's paper (section 5) says that
# its Adafactor is used *without* the factorisation, and with a mean ($\beta_1=0.9$): two numbers a weight, the same as Adam.

# %%
saves = numbers["palm"] < numbers["adamw"]
claim("OPT-010", saves)
share = numbers["adafactor"] / numbers["adamw"]
print(f"T5's form: {share:.2%} of AdamW's")
assert share < 0.001

# %% [markdown]
# (`claim` hands the result to the ledger, where the rule was written before the run. What PaLM wanted from Adafactor is
# in section 3.)
#
# ## 2 A matrix from its edges (14 min)
#
# Let $V$ be the matrix of mean squares, $n\times m$, no entry negative. We want to keep only $n+m$ numbers. The simplest matrix that they can
# describe is a product of something of the row and something of the column, $\hat V_{ij}=r_i\,c_j$: **rank one** (秩一).
#
# Which product is nearest to $V$? "Near" needs a measure. For numbers that are positive and whose *ratio* matters (we shall divide by
# $\sqrt{\hat V}$) a good one is the **generalised Kullback-Leibler divergence** (广义 KL 散度)
#
# $$D(V\,\|\,\hat V)=\sum_{ij}\Bigl(V_{ij}\log\frac{V_{ij}}{\hat V_{ij}}-V_{ij}+\hat V_{ij}\Bigr)\;\ge 0,$$
#
# which is 0 only if the two are equal. Put $\hat V_{ij}=r_ic_j$ and set the slope by $r_i$ to zero:
#
# $$-\frac{\sum_j V_{ij}}{r_i}+\sum_j c_j=0\quad\Rightarrow\quad r_i=\frac{R_i}{\sum_j c_j},\qquad R_i=\sum_jV_{ij}.$$
#
# In the same way $c_j=C_j/\sum_i r_i$ with the column sums $C_j$. Summing the first over $i$ gives $\sum_i r_i\sum_j c_j=S$, the sum of all
# entries. So, whatever scale we give to $r$ and take from $c$,
#
# $$\boxed{\;\hat V_{ij}=\frac{R_i\,C_j}{S}\;}$$
#
# No iteration, no choice. It has the row sums and the column sums of $V$. (With means in place of sums: row mean times column
# mean over the mean of all, which is how the package has it.) A slope of zero could also be a maximum or a saddle. It is not: written with $a_i=\log r_i$ and $b_j=\log c_j$, the
# divergence is a sum of terms $e^{a_i+b_j}-V_{ij}(a_i+b_j)$ and a constant, all convex, so the one flat place is the bottom. We try ten thousand other products.


# %%
def divergence(V, W):
    return (V * (V / W).log() - V + W).sum(dim=(-2, -1))


V = torch.rand(6, 9, dtype=f64) ** 3
row, column = V.mean(1), V.mean(0)
best = factored_square(row, column)

# %% tags=["label-nearest"]
spread = 10 ** torch.linspace(-3, 0, 10_000, dtype=f64).view(-1, 1)
r = row * torch.exp(spread * torch.randn(10_000, 6, dtype=f64))
c = column / V.mean() * torch.exp(spread * torch.randn(10_000, 9, dtype=f64))
others = divergence(V, r.unsqueeze(2) * c.unsqueeze(1))
assert (others > divergence(V, best)).all()
assert torch.allclose(best.sum(1), V.sum(1))
assert torch.allclose(best.sum(0), V.sum(0))
print(f"divergence {divergence(V, best):.4f}; of 10 000 others none is lower")

# %% [markdown]
# Why not the best product in *squared* error, which a singular value decomposition gives? Because of the running mean. Row sums are **linear**: the
# row sums of $\beta V+(1-\beta)G^2$ are $\beta$ times the old ones plus $1-\beta$ times the new ones. So a running mean of $R$ and $C$ is exact,
# although $V$ itself was never stored. A singular vector has no such property.

# %%
V, R, C = torch.zeros(6, 9, dtype=f64), torch.zeros(6, dtype=f64), 0.0
for step in range(1, 51):
    square = torch.randn(6, 9, dtype=f64) ** 2
    beta = beta2_at(step)
    V = beta * V + (1 - beta) * square  # what Adam would keep
    R = beta * R + (1 - beta) * square.mean(1)
    C = beta * C + (1 - beta) * square.mean(0)
assert torch.allclose(R, V.mean(1)) and torch.allclose(C, V.mean(0))
print("the edges of a running mean are the running means of the edges")

# %% [markdown]
# **When is it exact?** If $V$ is itself such a product. A case where that nearly holds: the gradient of a linear layer is $G=\sum_t \delta_t x_t^\top$, a sum over tokens, with $x_t$
# the input and $\delta_t$ the slope of the loss by the output. If tokens are independent of one another, and the sizes of $\delta$ and of $x$ too, the mean of $G_{ij}^2$ is proportional to the mean of
# $\delta_i^2$ times that of $x_j^2$.
# **When is it bad?** For a diagonal matrix.

# %% tags=["label-exact"]
product = torch.rand(4, 1, dtype=f64) * torch.rand(1, 5, dtype=f64)
again = factored_square(product.mean(1), product.mean(0))
diagonal = torch.eye(4, dtype=f64)
spoiled = factored_square(diagonal.mean(1), diagonal.mean(0))
assert torch.allclose(again, product)
print("a product comes back; the identity becomes\n", spoiled)

# %% [markdown]
# **Predict, then run.** For a real model: take the mean squares $V$ of 50 batches, and the factored $\hat V$. A step divides by the root. By
# what factor is $\sqrt{\hat V/V}$ off, for the middle half of the entries, in a feed-forward matrix and in the embedding?
#
# <details><summary>Answer</summary>See the picture. Most entries are right within a factor of two; the embedding is worse, because a row is a
# token, and the mean over a rare token's few gradients is itself a rough estimate.</details>


# %%
def mean_squares(model, n_batches=50):
    text = study.texts()[0]
    batches = BatchSampler(text, 8, 64, seed=20)
    named = {n: p for n, p in model.named_parameters() if p.ndim == 2}
    total = {name: torch.zeros_like(p) for name, p in named.items()}
    for _ in range(n_batches):
        model.zero_grad()
        causal_loss(model, *next(batches)).backward()
        for name, p in named.items():
            total[name] += p.grad**2 / n_batches
    return total


# %% tags=["nbval-ignore-output", "label-ratio"]
squares = mean_squares(study.make(seed=20))
up = next(n for n in squares if "feedforward.up" in n)
table = next(n for n in squares if "embedding" in n)
fig, ax = plt.subplots(figsize=(5.6, 2.8), layout="constrained")
for name, style in ((up, "-"), (table, "--")):
    V = squares[name].double()
    V = V[V.sum(1) > 0]  # rows of tokens that occur at all
    ratio = (factored_square(V.mean(1), V.mean(0)) / V).sqrt().flatten()
    ax.hist(
        ratio.log2(),
        bins=np.linspace(-3, 3, 61),
        density=True,
        histtype="step",
        ls=style,
        label=name,
    )
    low, high = np.quantile(ratio, [0.25, 0.75])
    print(f"{name:31} middle half {low:.2f} to {high:.2f}")
    assert low > 0.5 and high < 2
ax.set(xlabel="log2 of sqrt(factored / full)", ylabel="density")
ax.legend(fontsize=8)
alt = "Histogram of how far the factored root is from the full one: for a "
alt += "feed-forward matrix a narrow hill around 0, for the embedding wider."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Two hills around 0 (no error). At $\pm1$ a step would be half or double of Adam's. Few entries of the feed-forward matrix lie that far out.
#
# ## 3 A memory that grows (10 min)
#
# Adam's $v$ starts at zero, so it must be corrected (20a). Adafactor's $\beta_2$ changes with the step $k$:
#
# $$\beta_{2,k}=1-k^{-0.8}$$
#
# (The article prints "1.0-k-0.8": the superscript was lost.) At $k=1$ it is 0: the first mean is the first square itself. Every later mean
# is a weighted average of the old mean and the new square. **So all weights add up to 1 at any step**, by induction, and nothing needs correction.
#
# How far back does it look? A running mean with memory $\beta$ averages over about $1/(1-\beta)$ steps: here $k^{0.8}$.
#
# **Predict, then run.** Over how many steps does it average at $k=100$, and at $k=100\,000$? AdamW for language models has $\beta_2=0.95$: 20 steps.

# %% tags=["label-horizon"]
for k in (1, 10, 100, 1000, 100_000):
    horizon = 1 / (1 - beta2_at(k))
    assert math.isclose(horizon, k**0.8)
    print(f"step {k:7,}: {beta2_at(k):.5f}, over {horizon:8,.0f} steps")


# %%
def weights_of(betas):
    """Weight of each square in the mean after the last step."""
    w = []
    for beta in betas:
        w = [beta * old for old in w] + [1 - beta]
    return np.array(w)


# %% tags=["label-weights"]
growing = weights_of([beta2_at(k) for k in range(1, 1001)])
assert abs(growing.sum() - 1) < 1e-12
fixed = weights_of([0.999] * 1000)
print(f"sum of weights: growing {growing.sum():.3f}, 0.999 {fixed.sum():.3f}")
fig, ax = plt.subplots(figsize=(5.6, 2.6), layout="constrained")
ax.plot(growing, label="1 − k^−0.8")
ax.plot(fixed / fixed.sum(), "--", label="0.999, corrected")
ax.plot(weights_of([0.95] * 1000), ":", label="0.95")
ax.set(xlabel="step of the square", ylabel="weight at step 1000")
ax.set_ylim(0, 0.008)
ax.legend()
alt = "Weights of past squares after 1000 steps. With 0.95 only the last "
alt += "hundred count; the growing memory reaches back some 250 steps; 0.999 "
alt += "weighs nearly all alike."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Three slopes. 0.95 forgets within a hundred steps (its line leaves the picture at the right). The growing
# memory lies between: short while gradients change fast, long when they have settled. A power of 1 would weigh all steps alike.
# PaLM's reason for the long end: with a short memory the mean squares of *rare tokens* in the embedding are poor estimates, and training was less stable (section 5 of its paper).
#
# Two more parts of Adafactor (sections 6 and 8 of the paper). Without $m$ a sudden large gradient meets a denominator that does not know it yet; so the **update**
# $U=G/\sqrt{\hat V}$ is clipped by its own root mean square, $U/\max(1,\operatorname{rms}(U))$. And the step is **relative**: $\text{lr}\cdot\max(\epsilon,\operatorname{rms}(W))\cdot U$, a share of the
# size of the weights, so that one rate fits a table of spread 1 and a matrix of spread 0.02; lr itself falls as $1/\sqrt k$. With these the package's step is the whole algorithm. It is held equal to torch's over
# 100 steps (the paper adds a tiny ε to the squares, torch takes it as their least value; the package has both).


# %%
def hundred(kind, **how):
    torch.manual_seed(20)
    W = torch.randn(7, 5, dtype=f64, requires_grad=True)
    target, optimizer = torch.randn(7, 5, dtype=f64), kind([W], **how)
    for _ in range(100):
        optimizer.zero_grad()
        ((W - target) ** 2 * torch.arange(1, 6)).sum().backward()
        optimizer.step()
    return W.detach()


# %%
eps = (1e-8, 1e-3)
ours = hundred(Adafactor, lr=0.05, eps=eps, eps_form="floor")
torchs = hundred(torch.optim.Adafactor, lr=0.05, eps=eps, weight_decay=0.0)
assert (ours - torchs).abs().max() < 1e-12
print("equal to torch.optim.Adafactor over 100 steps")

# %% [markdown]
# ## 4 Lion and Muon, and a comparison (12 min)
#
# Two later designs, each in one idea. **Lion** (Chen et al. 2023, found by a search over programs) keeps only a mean $m$, and moves every weight by the
# *sign* of it: no denominator, half of Adam's state. It mixes $m$ and the new gradient $g$ twice, once for the step and once, with a longer memory, to remember:
#
# $$w\leftarrow w-\eta\,\bigl(\operatorname{sign}(\beta_1m+(1-\beta_1)g)+\lambda w\bigr),\qquad m\leftarrow\beta_2m+(1-\beta_2)g.$$
#
# As every weight moves by the whole rate $\eta$, that must be smaller than AdamW's, 3 to 10 times say its authors (section 5), and the decay $\lambda$ as many times larger.

# %%
W, m = torch.zeros(3, dtype=f64), torch.zeros(3, dtype=f64)
grad = torch.tensor([1e-6, -3.0, 0.2], dtype=f64)
lion_step(W, grad, m, lr=0.01, betas=(0.9, 0.99))
print("gradients", grad.tolist(), "-> steps", W.tolist())

# %% [markdown]
# **Muon** (Jordan et al. 2024) treats a matrix as a matrix. Its mean gradient $M=\sum_i s_i\,u_iv_i^\top$ (singular value decomposition, 奇异值分解) usually has a few large $s_i$ and many
# small ones. Muon steps along $\sum_i u_iv_i^\top$: all directions move alike. No decomposition is computed. The **Newton-Schulz** iteration pushes all singular values towards
# 1 by matrix products, with a polynomial $a\,s+b\,s^3+c\,s^5$ applied five times: $XX^\top X$ has the singular vectors of $X$, and its singular values cubed.
#
# **Predict, then run.** Which singular values need the most rounds?
#
# <details><summary>Answer</summary>The small ones.</details>

# %% tags=["label-schulz"]
U, _ = torch.linalg.qr(torch.randn(32, 32, dtype=f64))
W, _ = torch.linalg.qr(torch.randn(32, 32, dtype=f64))
s = torch.logspace(-3, 0, 32, dtype=f64)
fig, ax = plt.subplots(figsize=(5, 2.6), layout="constrained")
for rounds, style in ((0, ":"), (1, "-."), (3, "--"), (5, "-")):
    X = newton_schulz(U * s @ W.T, rounds=rounds, dtype=None)
    values = torch.linalg.svdvals(X).flip(0)
    after = (U * (X @ W)).sum(0)  # each u X w
    ax.loglog(s, after, style, label=f"{rounds} rounds")
ax.set(xlabel="singular value before", ylabel="after")
ax.legend()
alt = "Singular values after 0, 1, 3 and 5 rounds of Newton-Schulz. After "
alt += "five all but the smallest lie near 1; those near 0.001 still rise."
show(fig, alt=alt)
assert values[-20:].min() > 0.6 and values.max() < 1.3

# %% [markdown]
# **What you should see.** Each round multiplies a small value by 3.4. After five rounds a wide plateau near 1, between about 0.7 and 1.2, never exactly 1: the coefficients
# are chosen for a steep start. Embedding and output matrix are left to AdamW, as Muon's author advises, for the latter from trials alone.
#
# **Six optimizers, one model, five seeds.** Equal weights at the start, equal windows, equal schedule (so Adafactor's own $1/\sqrt k$ is off); the learning rate of each was
# chosen from a grid on a seed outside the study, and its better neighbour is in the study, too. (Lesson 12 shows why one seed is too few to choose a rate.) Bits per byte on unseen text; lower is better.
#
# **Predict, then run.** Put the six in order. And what does the factoring cost, `adafactor` against `palm`?

# %% tags=["label-study"]
runs = read_results("optimizers_compared")
print(runs.provenance)
best, held = {}, {}
for kind in study.SETTINGS:
    arms = [f"{kind}_{lr}" for lr in study.RATES[kind]]
    best[kind] = min(arms, key=lambda arm: runs.mean(arm, "bits").value)
    state = runs.values(arms[0], "state numbers")[0]
    weights = runs.values(arms[0], "parameters")[0]
    held[kind] = state / weights
    print(f"{kind:10}{held[kind]:5.2f} numbers a weight")
    for arm, lr in zip(arms, study.RATES[kind]):
        print(f"    rate {lr:<8}{runs.mean(arm, 'bits')}")


# %%
def at_pilot_rate(kind):
    return f"{kind}_{study.best_rate(kind)}"


gap, gap_five = {}, {}
for kind in study.SETTINGS:
    arms = at_pilot_rate(kind), at_pilot_rate("adamw")
    gap[kind] = runs.difference(*arms, "bits")
    gap_five[kind] = runs.difference(best[kind], best["adamw"], "bits")
    assert abs(gap[kind].value - gap_five[kind].value) < 0.02
pair = at_pilot_rate("adafactor"), at_pilot_rate("palm")
factoring = runs.difference(*pair, "bits")

# %% tags=["label-compare"]
others = [kind for kind in study.SETTINGS if kind != "adamw"]
fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
for y, kind in enumerate(others):
    ax.plot([gap[kind].low, gap[kind].high], [y, y], "-", color="C0", lw=3)
    ax.plot(gap[kind].value, y, "ko")
    print(f"{kind:10} minus adamw: {gap[kind]}")
ax.axvline(0, color="k", lw=0.8)
ax.set(yticks=range(len(others)), yticklabels=others)
ax.set_xlabel("bits per byte minus AdamW's (95 % interval)")
alt = "Differences of five optimizers to AdamW in bits per byte, with "
alt += "intervals: Muon lies left of zero, the two Adafactors a little to "
alt += "the right, Lion further, SGD with momentum far to the right."
show(fig, alt=alt)
print("adafactor minus palm: ", factoring)

# %%
assert gap["muon"].high < 0 < gap["adafactor"].low < gap["lion"].low
assert gap["palm"].low > 0 and gap["sgd"].low > 0.7
assert factoring.low < 0 < factoring.high < 0.06
assert held["adafactor"] < held["adamw"] / 70
lion = study.PILOT["lion"]  # at AdamW's best rate, and at its own
assert 0.15 < lion[study.best_rate("adamw")] - min(lion.values()) < 0.17

# %% [markdown]
# **What you should see.** Muon left of zero, the others right of it. In order:
#
# - *SGD with momentum* is far behind, for the reason of 20a: one rate for gradients of very different sizes.
# - *Adafactor* is 0.04 bits worse than AdamW, with less than a seventieth of its memory. PaLM's form, which has two numbers a weight, is no better: the interval of the difference holds zero.
#   So the little loss against AdamW comes more likely from what the two share (relative step, clipped update, growing memory) than from the factors.
# - *Lion* is worse here. Its authors found its advantage to grow with the batch; ours has 512 tokens, and the sign of a noisy mean is noisy.
# - *Muon* is best here, with 1.2 numbers a weight.
#
# At the better rate of five seeds in place of the pilot's no difference changes by more than 0.02 (asserted above). What the study cannot say: whether the order holds for a model ten thousand times larger.
# And Muon has *two* rates, of which the second (tables and gains) was lent from AdamW's pilot, so it was tuned a little more than the others.
#
# **A run of your own** on a sixth seed, some five seconds each. It should land among the recorded ones, or just beside them.

# %% tags=["nbval-ignore-output", "label-live"]
for kind in ("adamw", "adafactor"):
    lr = study.best_rate(kind)
    model, _ = study.train_with(kind, lr, seed=6)
    mine = bits_on(model, study.texts()[1])
    recorded = runs.values(f"{kind}_{lr}", "bits")
    low, high = min(recorded), max(recorded)
    print(f"{kind:10}{mine:.3f}, recorded {low:.3f} to {high:.3f}")
    assert abs(mine - np.mean(recorded)) < 0.12  # five spreads of a seed

# %% [markdown]
# ## 5 Signal and noise (13 min)
#
# The gradient of a batch is an estimate. Let $G$ be the true gradient (of the loss over all data), and $\Sigma$ the covariance of the gradient of *one* example. The mean over $B$
# independent examples is $g_B=G+\varepsilon$ with covariance $\Sigma/B$. Then $\mathbb E\,|g_B|^2=|G|^2+2\,G\cdot\mathbb E\,\varepsilon+\mathbb E\,|\varepsilon|^2$. The middle term is zero; the last is the sum of the variances of all coordinates, which
# is the **trace** of the covariance:
#
# $$\mathbb E\,|g_B|^2=|G|^2+\frac{\operatorname{tr}\Sigma}{B}.$$
#
# At $B=\operatorname{tr}\Sigma/|G|^2$ both terms are equal. That is the **gradient noise scale** (梯度噪声尺度), $B_{\text{simple}}$. Well below it, a step is mostly noise, and twice the batch is worth nearly two
# steps. Well above it, the step is right already, and more tokens are wasted.
#
# Two batch sizes give two equations for the two unknowns. We test on gradients whose truth we know.
#
# **Predict, then run.** $|G|^2=1$, $\operatorname{tr}\Sigma=400$. Somebody estimates $|G|^2$ by the squared length of one gradient with $B=400$. What does he get on average?

# %% tags=["label-parts"]
G = torch.full((100,), 0.1, dtype=f64)  # |G|^2 = 1
one = G + 2 * torch.randn(4000, 64, 100, dtype=f64)  # tr(Sigma) = 400
small = (one[:, :8].mean(1) ** 2).sum(-1).mean().item()
big = (one.mean(1) ** 2).sum(-1).mean().item()
parts = noise_parts(small, big, small=8, big=64)
print(f"|g|^2 at B = 8: {small:.1f}, at B = 64: {big:.2f}")
print(f"signal {parts.signal:.2f}, noise {parts.noise:.0f}")
assert abs(parts.signal - 1) < 0.1 and abs(parts.noise - 400) < 10

# %% [markdown]
# (He gets 2.) The estimates of both parts are unbiased; their ratio is not, so one averages each over many steps, and divides last.
#
# In training nothing extra is needed. A batch that does not fit into memory is read in **micro batches** (微批), whose gradients are added up before the one step: **gradient accumulation** (梯度累积, lesson 20a). With equally many targets in each, the mean
# of their gradients *is* the gradient of the large batch, as differentiation is linear: $\nabla\frac1k\sum_i L_i=\frac1k\sum_i\nabla L_i$. By numbers, in float64 so that rounding does not blur it:


# %%
def gradient(model, x, y):
    model.zero_grad()
    causal_loss(model, x, y).backward()
    return flat_gradient(model.parameters())


fresh = sizes.make(20).double()
x, y = get_batch(sizes.texts()[0], 64, sizes.CONTEXT, 20)
whole = gradient(fresh, x, y)  # one batch of 64 windows
micro = [gradient(fresh, x[i : i + 8], y[i : i + 8]) for i in range(0, 64, 8)]

# %% tags=["label-accumulation"]
mean = torch.stack(micro).mean(0)
assert (mean - whole).norm() < 1e-12 * whole.norm()
assert (micro[0] - whole).norm() > 0.1 * whole.norm()
parts = parts_of_accumulation(micro, size=8)
print("eight micro batches = one batch; from their gradients, for nothing:")
print(f"signal {parts.signal:.3f}, noise {parts.noise:.2f}")

# %% [markdown]
# Now a model that learns. We measure after the first step, and then three times on the way.

# %% tags=["nbval-ignore-output", "label-along"]
model, points = sizes.make(20), []
config = TrainConfig(
    steps=120, batch_size=64, context=32, warmup_steps=10, schedule="constant"
)
batches = BatchSampler(sizes.texts()[0], 64, 32, seed=20)
lr = sizes.RATES["32"]
steps = sizes.descend(model, batches, config, lr)
for step, _ in steps:
    if step in (1, 15, 40, 120):
        p = sizes.noise_at(model, 20)
        points.append((step, sizes.test_loss(model), p))
for step, loss, p in points:
    print(
        f"step {step:3}: loss {loss:.2f}, |G|^2 {p.signal:6.3f}, "
        f"tr {p.noise:5.2f}, B_simple {32 * p.scale:7,.0f} tokens"
    )

# %%
assert points[-1][2].scale > 3 * points[0][2].scale

# %% [markdown]
# Read the last column: **the noise scale grows while the loss falls**, as the signal shrinks far more than the noise. (Not at every step: while the model only learns how frequent each
# letter is, all examples agree, and the scale is small.) The assert asks for a factor of 3; section 6 asks the recorded runs the same, seed by seed. That is the reason for a ramp, and for batches of millions at the end of a large training. (An example is a window of 32 tokens here, which are not independent of one another; in tokens we count windows times 32.)
#
# ## 6 The critical batch (9 min)
#
# What is a larger batch worth in steps? A step of rate $\eta$ along $g_B$ changes the loss, up to second order, by $-\eta\,G\cdot g_B+\frac{\eta^2}2\,g_B^\top H g_B$ with the curvature $H$. Suppose $H$ is the same number $h$ in all directions (it is not,
# but it gives the form). The mean over batches is $-\eta|G|^2+\frac{\eta^2h}2\bigl(|G|^2+\operatorname{tr}\Sigma/B\bigr)$. It is lowest at
#
# $$\eta=\frac{1/h}{1+B_{\text{simple}}/B},\qquad\text{where the loss falls by}\qquad \frac{|G|^2/2h}{1+B_{\text{simple}}/B}.$$
#
# So a batch of $B_{\text{simple}}$ is worth half of the best step, and the best rate grows with the batch. By numbers, with the planted gradients of section 5, whose $B_{\text{simple}}$ is 400:

# %%
rates = torch.linspace(0.001, 0.4, 400, dtype=f64)
for B in (8, 16, 64):
    g = one[:, :B].mean(1)
    along, square = (g @ G).mean(), (g**2).sum(-1).mean()
    falls = rates * along - rates**2 / 2 * square  # h = 1
    formula = 0.5 / (1 + 400 / B)
    assert abs(falls.max() / formula - 1) < 0.05
    assert abs(rates[falls.argmax()] / (2 * formula) - 1) < 0.05
print("best rate and best fall as derived, within 5 %")

# %% [markdown]
# If each step is worth $1/(1+B_{\text{crit}}/B)$ of the best one, the number of steps to a given loss is
#
# $$S=S_{\min}\Bigl(1+\frac{B_{\text{crit}}}B\Bigr)=S_{\min}+\frac{E_{\min}}B,\qquad B_{\text{crit}}=\frac{E_{\min}}{S_{\min}} :$$
#
# at small $B$ the *examples* $E=SB$ are fixed (at $E_{\min}$), at large $B$ the *steps*. At the **critical batch** (临界批量) both are twice their least. It is measured from whole runs, the noise scale from gradients alone; that the two are alike is a claim.
#
# In the recorded study six batch sizes, each at its tuned rate, ran until the loss on unseen
# text was below 3.0, 2.8 and 2.6 nats; five seeds.

# %% tags=["label-hyperbola"]
batch = read_results("batch_size")
print(batch.provenance)
fig, ax = plt.subplots(figsize=(5.2, 2.9), layout="constrained")
tokens = np.array(sizes.SIZES) * sizes.CONTEXT
for target, mark in zip(sizes.TARGETS, "os^"):
    name = f"steps {target}"
    steps = [np.mean(batch.values(f"steps_{b}", name)) for b in sizes.SIZES]
    s_min, e_min = sizes.fit_hyperbola(tokens, steps)
    grid = np.geomspace(tokens[0], tokens[-1], 50)
    ax.loglog(tokens, steps, mark, label=f"loss {target}")
    fit = [s_min * steps_over_least(g, e_min / s_min) for g in grid]
    ax.loglog(grid, fit, "-", lw=1, color="0.4")
    misfit = [(s_min + e_min / b) / n - 1 for b, n in zip(tokens, steps)]
    assert max(map(abs, misfit)) < 0.12
    print(
        f"loss {target}: at least {s_min:4.0f} steps, {e_min:7,.0f} "
        f"tokens; critical batch {e_min / s_min:6,.0f}"
    )
ax.set(xlabel="tokens a batch", ylabel="steps to the loss")
ax.set_xticks(tokens, [f"{n:,}" for n in tokens])
ax.set_yticks([25, 50, 100, 200, 400], ["25", "50", "100", "200", "400"])
ax.minorticks_off()
ax.legend()
alt = "Steps to three losses against batch size: the points lie on "
alt += "hyperbolas that fall steeply at first and level off."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** The points lie on the lines, within some tenth. Take the loss of 2.6: from 64 to 128 tokens the steps nearly halve, so that nearly the same tokens do it in half the time. From 1 024 to 4 096 they fall by a quarter, for four times the tokens a step. And the bend moves to the right as the loss gets
# lower, from some 120 tokens at a loss of 3.0 to some 500 at 2.6.
#
# Does the noise scale foretell the bend? The rule, written before the runs: at the last target the ratio of critical batch to noise scale must lie within a factor of four, either way, over five seeds.


# %%
def over_sizes(name, i):
    return [batch.values(f"steps_{b}", name)[i] for b in sizes.SIZES]


def noise_scale(when, i):  # windows; both parts averaged over the six sizes
    noise = np.mean(over_sizes(f"noise {when}", i))
    return noise / np.mean(over_sizes(f"signal {when}", i))


# %% tags=["label-claim"]
last, logs = sizes.TARGETS[-1], []
for i, seed in enumerate(batch.seeds):
    s_min, e_min = sizes.fit_hyperbola(tokens, over_sizes(f"steps {last}", i))
    simple = sizes.CONTEXT * noise_scale(last, i)
    assert noise_scale(last, i) > 3 * noise_scale("start", i)
    logs.append(math.log2(e_min / s_min / simple))
    print(
        f"seed {seed}: critical batch {e_min / s_min:6,.0f}, "
        f"noise scale {simple:6,.0f} tokens"
    )
ratio = mean_interval(logs)
print("log2 of the ratio:", ratio)
claim("SCL-028", ratio.value, ratio)

# %% [markdown]
# It does, in order of size, from gradients alone: the critical batch is about half of the noise scale (a log2 of about −1), in each of the five seeds. More the derivation does not promise, as the curvature of a real loss is not one number.
#
# The article's sentence, "one to two million tokens at convergence for the largest models", is Kaplan et al.'s (2020, section 5.1): there $B_{\text{crit}}\approx 2\cdot10^8/L^{4.76}$ tokens, whatever the model's size. It depends on the loss alone.

# %% tags=["label-kaplan"]
for L in (4.0, 3.0, 2.7, 2.4, 2.0):
    print(f"loss {L}: {2e8 / L**4.76 / 1e6:5.2f} million tokens")
assert 1e6 < 2e8 / 2.7**4.76 < 2e6

# %% [markdown]
# At a loss of 2.7 the formula gives the 1 to 2 million; at 2.4 it would be three. So the sentence is about the models of 2020.
#
# ## 7 A batch that grows (11 min)
#
# The survey's typical batch is "2 048 examples or 4M tokens". Are these two batches?

# %%
claim("OPT-001", 2048 * 2048)

# %% [markdown]
# One: 2 048 examples of 2 048 tokens. Now two published ramps. **GPT-3** (175B, appendix B): on a line from 32 thousand to 3.2 million tokens over the first 4 to 12 billion (we take 12).
# **PaLM** (section 5): 512, 1 024, then 2 048 sequences of 2 048 tokens, changing at steps 50 000 and 115 000, until 255 000. So 1 million to 4 million tokens. (The survey names both models, and gives the numbers of GPT-3 only.)

# %% tags=["label-ramps"]
claim("OPT-002", GPT3_RAMP.tokens(12_000_000_000) / GPT3_RAMP.tokens(0))
print(
    f"PaLM: {PALM_RAMP.tokens(0) / 1e6:.1f} to "
    f"{PALM_RAMP.tokens(200_000) / 1e6:.1f} million tokens a batch, "
    f"{PALM_RAMP.total(255_000) / 1e9:.0f} billion in all"
)

# %% [markdown]
# **Predict, then run.** GPT-3's ramp reads 12 billion tokens. At full batch that would be 3 750 steps. How many does the ramp take?
#
# By hand: from $s$ to $e$ tokens a batch over $o$ tokens, a step reads $s+(e-s)\,\text{seen}/o$. So $\mathrm d\,\text{seen}/\mathrm d\,\text{step}$ is a constant plus a share of what was seen: exponential growth. It takes $\frac{o}{e-s}\ln\frac es$ steps. The logarithm of 100 is
# 4.6: so 4.6 times as many. (A line over *steps* would have a mean batch of one half, and take twice as many.)

# %% tags=["label-steps"]
end = GPT3_RAMP.over
walk = list(ramp_steps(GPT3_RAMP, end, micro_batch=1, context=2048))
print(f"{len(walk):,} steps, by the formula {ramp_length(GPT3_RAMP):,.0f}")
assert abs(len(walk) / ramp_length(GPT3_RAMP) - 1) < 0.01
assert 4.6 < len(walk) / (end / GPT3_RAMP.end) < 4.7

# %% tags=["label-growth"]
seen = np.array([s for s, _ in walk]) / 1e9
size = np.array([n for _, n in walk]) * 2048 / 1e6
fig, axes = plt.subplots(1, 2, figsize=(6.8, 2.6), layout="constrained")
left, right = axes
left.plot(seen, size)
left.set(xlabel="tokens seen, billions", ylabel="tokens a batch, millions")
right.plot(size)
right.set(xlabel="step")
alt = "GPT-3's batch: a straight line against tokens seen, an exponential "
alt += "against steps: most steps of the ramp have small batches."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** The same ramp twice: a line over tokens, an exponential over steps. Half of its steps have batches under a tenth of the full size.
#
# **What is it for?** PaLM's paper gives two reasons: small batches early get more out of each token, as section 5 has it, and large ones fill the machine. The survey gives another, that a growing batch
# "can effectively stabilise" training. Our study has small batches (256 tokens), large ones (4 096), and a ramp from the one to the other over half
# of the run: equal tokens, the same windows in the same order, each at its tuned rate, and all three at one that is too high for the large batch. Stability is measured on *unseen text* (on the batch itself a larger batch is smoother
# by construction), as the sum of all rises of that loss.
#
# **Predict, then run.** Which of the three ends lowest? Which rises most?

# %% tags=["label-ramp"]
print("                 steps    loss at the end     sum of rises")
for rate in ("tuned", "high"):
    for kind in ("small", "large", "ramp"):
        arm = f"{kind}_{rate}"
        n = batch.values(arm, "steps")[0]
        at_end, up = batch.mean(arm, "loss"), batch.mean(arm, "rises")
        print(f"{arm:12}{n:10,}   {at_end.value:.2f} ", end="")
        print(f"[{at_end.low:.2f}, {at_end.high:.2f}]   {up.value:.3f} ", end="")
        print(f"[{up.low:.3f}, {up.high:.3f}]")

# %% [markdown]
# The three curves, mean of the seeds:

# %% tags=["label-curves"]
grid = range(sizes.GRID_TOKENS, sizes.MAX_TOKENS + 1, sizes.GRID_TOKENS)
fig, axes = plt.subplots(
    1, 2, figsize=(6.4, 2.8), layout="constrained", sharey=True
)
for ax, rate in zip(axes, ("tuned", "high")):
    for kind, style in (("small", ":"), ("large", "--"), ("ramp", "-")):
        arm = f"{kind}_{rate}"
        mean = [np.mean(batch.values(arm, f"at {t}")) for t in grid]
        ax.plot(np.array(grid) / 1e3, mean, style, label=kind)
    ax.set(xlabel="tokens, thousands", title=f"{rate} rate")
axes[0].set(ylabel="loss on unseen text, nats", ylim=(1.8, 3.6))
axes[0].legend()
alt = "Loss on unseen text against tokens. At tuned rates the ramp goes with "
alt += "the small batch at first and ends between small and large; the large "
alt += "batch has a bump at the start."
show(fig, alt=alt)


# %%
def minus(arm, other, name):
    return batch.difference(arm, other, name)


assert minus("ramp_tuned", "large_tuned", "loss").high < 0
assert minus("ramp_tuned", "small_tuned", "loss").low > 0
early = minus("ramp_tuned", "small_tuned", "loss early")  # 1/8 of the tokens
assert early.low < 0 < early.high
for rate in ("tuned", "high"):
    assert batch.mean(f"small_{rate}", "rises").low > 0
    assert batch.mean(f"large_{rate}", "rises").low < 0  # one wild seed
d = minus("ramp_high", "large_high", "rises")
print("rises, ramp minus large:", d)
claim("OPT-003", d.value, d)

# %% [markdown]
# **What you should see.** Left: after an eighth of the tokens the ramp is where the small batch is, and the large one far behind; at the end the ramp lies between the two. It takes twice the steps of the large batch, and an eighth of those of the small one. So PaLM's first reason is seen.
#
# *Stability is not decided.* The large batch has a bump after its warm-up, and in each of the five seeds it rises more than the ramp, which hardly rises at all (asserted below). But by how much differs so from seed to seed that the interval
# of the *mean difference* holds zero, and by the rule that was written down, that is "not seen". And the curve that rises most reliably is that of the *small* batch: noise.
#
# The study has a flaw, too. Its rate falls over *steps*, of which the ramp does most in the first half of its tokens. So when its batch has grown, its rate is low already. Is it the batch that helps, or the rate?
# A second study, made after this one was seen, takes them apart: the ramp with the rate that the large batch has *after as many tokens*, and the large batch with that of the ramp.

# %% tags=["label-apart"]
apart = read_results("ramp_or_rate")
print("loss at the end, rises by seed")
for rate in ("tuned", "high"):
    for kind in ("large", "large_as_ramp", "ramp", "ramp_over_tokens"):
        arm = f"{kind}_{rate}"
        found = apart if kind in ramp_or_rate.KINDS else batch
        up = " ".join(f"{x:.3f}" for x in found.values(arm, "rises"))
        print(f"{arm:22} {found.mean(arm, 'loss').value:.2f}    {up}")

# %%
for rate in ("tuned", "high"):
    up = batch.values(f"large_{rate}", "rises")
    for ramp in (
        batch.values(f"ramp_{rate}", "rises"),
        apart.values(f"ramp_over_tokens_{rate}", "rises"),
    ):
        assert all(a < b for a, b in zip(ramp, up))  # in each seed
    d = paired_difference(
        apart.values(f"ramp_over_tokens_{rate}", "loss"),
        batch.values(f"ramp_{rate}", "loss"),
    )
    print(f"{rate:6} loss, rate over tokens minus over steps:", d)
    assert d.high < 0  # -0.14 at the tuned rates
lower = apart.values("large_as_ramp_high", "rises")
d = paired_difference(lower, batch.values("large_high", "rises"))
assert d.low < 0 < d.high

# %% [markdown]
# The batch is enough: with the large batch's own rates the ramp still rises less in each seed. Lower rates alone calm the large batch at the tuned rate; at the high one nothing is seen of it. And we learn how to build a ramp: **let the rate follow the tokens, not the steps.**
# Then it ends 0.14 nats lower at the tuned rates, near the small batch, at an eighth of its steps. (GPT-3's schedule is given in tokens, too.)
#
# ## Common mistakes
#
# | mistake | what you see |
# |---|---|
# | row mean times column mean, divided by nothing | steps far too long where gradients are small; the clipped update hides it |
# | row and column exchanged | an error for $n\ne m$, silence for square matrices |
# | $\beta_2$ from step 0: $1-0^{-0.8}$ | division by zero; from step 2 on: a bias at the start |
# | Lion at AdamW's rate | a worse end, here by 0.16 bits in the pilot: every weight moves by the whole rate |
# | $\lVert g\rVert^2$ taken for $\lVert G\rVert^2$ | a noise scale that never exceeds the batch |
# | mean of the ratios instead of ratio of the means | now and then a huge or negative noise scale |
# | a ramp over steps where the paper means tokens | the small batches are over too soon: twice the steps of full batches instead of 4.6 times |
# | the rate over steps, under a ramp | it has fallen before half of the text is read |
#
# ## Homework (46 min, after the lesson)
#
# ### Exercise 1 · Whose square is it? (6 min, ★☆☆)
#
# Return the list of the weights that the squares of steps 1 … n have in Adafactor's mean after step `n`, for a given `power`. Closed products, no simulation of gradients.
#
# <details><summary>Hint 1</summary>Square k enters with 1 − β_k, and is then multiplied by every later β.</details>
# <details><summary>Hint 2</summary>1 − β_k = k^(−power). Start at the end and keep the product of the β's.</details>


# %% tags=["exercise"]
def square_weights(n, power):
    # BEGIN SOLUTION
    weights, later = [], 1.0
    for k in range(n, 0, -1):
        weights.append(later * k**-power)
        later *= 1 - k**-power
    return weights[::-1]
    # END SOLUTION


# %% tags=["check"]
def by_simulation(n, power):
    weights = []
    for k in range(1, n + 1):
        beta = beta2_at(k, power)
        weights = [beta * w for w in weights] + [1 - beta]
    return weights


cases = [(1, 0.8), (2, 0.8), (7, 0.8), (20, 0.5), (12, 1.0)]
check(square_weights, by_simulation, cases)

# %% [markdown]
# ### Exercise 2 · Factored, for a stack (8 min, ★★☆)
#
# `V` is a stack of matrices, (L, n, m). Return $\hat V$, (L, n, m), each matrix from its own row and column sums; a matrix of zeros gives zeros, not NaN.
#
# <details><summary>Hint 1</summary><code>V.sum(-1, keepdim=True)</code> is (L, n, 1), <code>V.sum(-2, keepdim=True)</code> is (L, 1, m).</details>
# <details><summary>Hint 2</summary>Where the sum of all is 0, divide by 1 instead.</details>


# %% tags=["exercise"]
def factor_stack(V):
    # BEGIN SOLUTION
    rows, columns = V.sum(-1, keepdim=True), V.sum(-2, keepdim=True)
    total = V.sum((-2, -1), keepdim=True)
    return rows * columns / torch.where(total > 0, total, 1)
    # END SOLUTION


# %% tags=["check"]
def one_by_one(V):
    out = torch.zeros_like(V)
    for i, matrix in enumerate(V):
        if matrix.any():
            out[i] = factored_square(matrix.mean(1), matrix.mean(0))
    return out


stack = torch.rand(3, 4, 2, dtype=f64)
holed = stack * torch.tensor([1.0, 0.0, 1.0], dtype=f64).view(3, 1, 1)
check(factor_stack, one_by_one, [(stack,), (holed,), (50 * stack[:, :2],)])

# %% [markdown]
# ### Exercise 3 · Muon without Newton and Schulz (8 min, ★★☆)
#
# Return the matrix that Muon's iteration only comes near to: $\sum_i u_iv_i^\top$ over the singular values of `g` (n, m) that exceed $10^{-9}$ times the largest.
#
# <details><summary>Hint 1</summary><code>U, s, Vh = torch.linalg.svd(g, full_matrices=False)</code></details>
# <details><summary>Hint 2</summary>Leave out the columns of U and the rows of Vh whose s is too small.</details>


# %% tags=["exercise"]
def polar(g):
    # BEGIN SOLUTION
    U, s, Vh = torch.linalg.svd(g, full_matrices=False)
    keep = s > 1e-9 * s[0]
    return U[:, keep] @ Vh[keep]
    # END SOLUTION


# %% tags=["check"]
def by_eigenvalues(g):
    """(g g^T)^(-1/2) g, on the directions that g has."""
    e, Q = torch.linalg.eigh(g @ g.T)
    keep = e > 1e-12 * e.max()
    return (Q[:, keep] / e[keep].sqrt()) @ Q[:, keep].T @ g


tall = torch.randn(5, 3, dtype=f64)
low = torch.randn(4, 2, dtype=f64) @ torch.randn(2, 6, dtype=f64)
cases = [(tall,), (tall.T.contiguous(),), (low,), (1e-3 * tall,)]
check(polar, by_eigenvalues, cases)

# %% [markdown]
# ### Exercise 4 · Noise scale from single examples (8 min, ★★☆)
#
# `grads` (n, P) holds one gradient for each example. Return (signal, noise): unbiased estimates of $|G|^2$ and of $\operatorname{tr}\Sigma$.
#
# <details><summary>Hint 1</summary>The trace is the sum over coordinates of the sample variance, with n − 1.</details>
# <details><summary>Hint 2</summary>The squared length of the mean is too large by tr Σ / n.</details>


# %% tags=["exercise"]
def signal_and_noise(grads):
    # BEGIN SOLUTION
    noise = grads.var(0).sum()
    signal = (grads.mean(0) ** 2).sum() - noise / len(grads)
    return signal.item(), noise.item()
    # END SOLUTION


# %% tags=["check"]
def by_two_sizes(grads):
    parts = parts_of_accumulation(list(grads), size=1)
    return parts.signal, parts.noise


cases = [(torch.randn(5, 3, dtype=f64) + 1,), (torch.randn(2, 8, dtype=f64),)]
cases += [(3 + 0.1 * torch.randn(40, 2, dtype=f64),)]
check(signal_and_noise, by_two_sizes, cases)

# %% [markdown]
# ### Exercise 5 · When has it read that much? (10 min, ★★★)
#
# `stages` is a list of pairs (first step, tokens a batch), as PaLM's. Return the least number of steps after which at least `tokens` tokens were read. No loop over steps.
#
# <details><summary>Hint 1</summary>Go through the stages; each but the last can take (next begin − begin) steps.</details>
# <details><summary>Hint 2</summary>In the stage where it ends: round the remaining tokens over the batch up.</details>


# %% tags=["exercise"]
def steps_to_read(stages, tokens):
    # BEGIN SOLUTION
    ends = [begin for begin, _ in stages[1:]] + [math.inf]
    for (begin, size), end in zip(stages, ends):
        needed = -(-tokens // size)
        if begin + needed <= end:
            return begin + needed
        tokens -= (end - begin) * size
    # END SOLUTION


# %% tags=["check"]
def step_by_step(stages, tokens):
    ramp, steps, seen = StepRamp(tuple(stages)), 0, 0
    while seen < tokens:
        seen, steps = seen + ramp.tokens(steps), steps + 1
    return steps


ramp = [(0, 3), (5, 10), (8, 40)]
cases = [(ramp, n) for n in (0, 1, 3, 14, 15, 16, 44, 45, 46, 85, 86, 500)]
cases += [([(0, 7)], 50)]
check(steps_to_read, step_by_step, cases)

# %% [markdown]
# ### Exercise 6 · Lion by hand (6 min, ★☆☆)
#
# One weight starts at `w`, its mean at 0. Return the weight after Lion has read the list `grads`, with rate `lr`, the pair `betas` and `decay` for $\lambda$. The sign of 0 is 0.
#
# <details><summary>Hint 1</summary>The formula is in section 4: first the step, then the memory.</details>
# <details><summary>Hint 2</summary><code>(c > 0) - (c < 0)</code> is the sign of c.</details>


# %% tags=["exercise"]
def lion_walk(w, grads, lr, betas, decay):
    # BEGIN SOLUTION
    m = 0.0
    for g in grads:
        c = betas[0] * m + (1 - betas[0]) * g
        w = w - lr * ((c > 0) - (c < 0) + decay * w)
        m = betas[1] * m + (1 - betas[1]) * g
    return w
    # END SOLUTION


# %% tags=["check"]
def by_package(w, grads, lr, betas, decay):
    w, m = torch.tensor([w], dtype=f64), torch.zeros(1, dtype=f64)
    for g in grads:
        g = torch.tensor([g], dtype=f64)
        lion_step(w, g, m, lr=lr, betas=betas, weight_decay=decay)
    return w.item()


grads = [3.0, 0.5, -2.0, -1.0, -1.0, 0.0, 0.3, -0.1]
cases = [(1.0, grads, 0.1, (0.9, 0.99), 0.0), (2.0, grads, 0.1, (0.5, 0.9), 0.3)]
cases += [(-1.0, [0.0, 0.0], 0.2, (0.9, 0.99), 0.5), (1.0, [], 0.1, (0.9, 0.9), 0)]
check(lion_walk, by_package, cases)

# %% [markdown]
# ## At scale
#
# *Memory.* T5 was trained with the factored form, PaLM-540B with the unfactored one and a mean. Today's usual way out is another: keep AdamW, and divide its state among the cards (taken on trust until lesson 22b).
# *Batches.* GPT-3 0.5M tokens for the 125M model to 3.2M for the 175B one; LLaMA a constant 4M; PaLM 1M to 4M.
# *On a GPU*: not measured in this course.
#
# ## Recap
#
# - AdamW keeps two numbers a weight, Lion and Muon one, Adafactor $n+m$ for a matrix; PaLM's form two.
# - $R_iC_j/S$ is the nearest product in KL, and its edges can be averaged without the matrix.
# - $\beta_2=1-k^{-0.8}$: weights add up to 1 at each step; the memory grows as $k^{0.8}$.
# - $\mathbb E\,|g_B|^2=|G|^2+\operatorname{tr}\Sigma/B$. The ratio of the two parts grows as the loss falls.
# - Accumulated micro batches are the big batch, and their spread gives the noise for nothing.
# - Steps against batch is a hyperbola; its bend, the critical batch, was half of the noise scale here.
# - A growing batch gets the tokens' worth of small batches in far fewer steps, if the rate follows the tokens.
#
# ## Questions
#
# 1. Why does Adafactor keep sums of rows, and not singular vectors?
# <details><summary>Answer</summary>Sums are linear, so their running mean is that of the matrix. And the product of sums is the KL optimum in closed form.</details>
#
# 2. Why is there no bias correction?
# <details><summary>Answer</summary>β at the first step is 0, so the weights of the squares always add up to 1.</details>
#
# 3. What did PaLM save with Adafactor?
# <details><summary>Answer</summary>No memory: it was not factored, and kept a mean. It used the relative step and the growing β₂.</details>
#
# 4. At $B=B_{\text{crit}}$, what do you pay?
# <details><summary>Answer</summary>Twice the least steps, and twice the least examples.</details>
#
# 5. Why does the noise scale grow during training?
# <details><summary>Answer</summary>The true gradient gets short, the differences between examples do not.</details>
#
# 6. Somebody shows that the training loss is smoother with a larger batch, "so training is more stable". What do you say?
# <details><summary>Answer</summary>The mean over more examples is always smoother. Look at a fixed unseen text.</details>
#
# ## Sources
#
# - Shazeer and Stern 2018, [arXiv:1804.04235](https://arxiv.org/abs/1804.04235): Adafactor; section 3 the factors, 7 the growing memory.
# - Chowdhery et al. 2022, *PaLM*, [arXiv:2204.02311](https://arxiv.org/abs/2204.02311): section 5, without factors, and the batch in three stages.
# - Brown et al. 2020, *GPT-3*, [arXiv:2005.14165](https://arxiv.org/abs/2005.14165): appendix B, the ramp.
# - McCandlish et al. 2018, [arXiv:1812.06162](https://arxiv.org/abs/1812.06162): section 2, noise scale and hyperbola; appendix A.1, the unbiased estimate.
# - Kaplan et al. 2020, [arXiv:2001.08361](https://arxiv.org/abs/2001.08361): section 5.1, the critical batch of language models.
# - Smith et al. 2017, [arXiv:1711.00489](https://arxiv.org/abs/1711.00489): grow the batch instead of lowering the rate.
# - Li et al. 2022, [arXiv:2108.06084](https://arxiv.org/abs/2108.06084): large batches, high rates and instability, measured for GPT-2.
# - Chen et al. 2023, [arXiv:2302.06675](https://arxiv.org/abs/2302.06675): Lion; section 5, how to set it. Jordan et al. 2024, kellerjordan.github.io/posts/muon, and Liu et al. 2025, [arXiv:2502.16982](https://arxiv.org/abs/2502.16982): Muon.
#
# ## Next
#
# [21 Stability](21_stability.ipynb): numbers with few bits, what overflows, and what to do about a loss that spikes.

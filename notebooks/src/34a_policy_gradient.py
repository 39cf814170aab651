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
# # 34a Policy gradient: how does a model learn from a score that says nothing about its words?
#
# 75 min · CPU · 20 s · 1 GB · needs [19 Decoding](19_decoding.ipynb), [33 Reward](33_reward.ipynb) · code: `minillm/align/policy_gradient.py`
#
# So far every target was a token: the text said which one comes next. From lesson 33 we have something poorer, a **reward** (奖励): one
# number for a whole answer. It cannot be differentiated by the answer, because an answer is made of drawn tokens, and a token is not a
# number that could be a little larger. This lesson shows the way around, on a vocabulary so small that
# every answer can be written down, so that each estimate stands beside the truth.
#
# After this lesson you can
#
# 1. derive the policy gradient, and check it by counting through every answer;
# 2. say why a baseline leaves the estimate right and makes it quieter, and find the best one;
# 3. compute advantages as a weighted sum of surprises (GAE), and say what the weight trades;
# 4. say why advantages are whitened and padding is masked, and name three bugs that raise no error;
# 5. estimate how far a policy has gone from another in three ways, and choose among them.

# %% tags=["setup"]
import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import FixedLocator, NullLocator

from minillm.align import answer_probabilities, best_baseline, every_answer
from minillm.align import exact_kl, exact_objective, flat_gradient
from minillm.align import gae, gae_of_row, gae_weights, k1, k2, k3, lay_answers
from minillm.align import leave_one_out, masked_mean, reinforce_loss
from minillm.align import response_logprobs, rewards_to_go, rollout
from minillm.align import sample_gradients, td_errors, whiten
from minillm.lesson import check, setup, show
from minillm.model import AttentionConfig, Decoder, DecoderConfig
from minillm.model import FeedForwardConfig

setup(seed=34)
f64 = torch.float64

# %% [markdown]
# > **Taken on trust until lesson 34b**: that what is true for four words holds for six thousand. 34b uses the same functions on larger models.
#
# ## 1 A world of four words (7 min)
#
# A decoder of one layer, with random weights, knows `la`, `ha`, `ho` and the full stop. It reads `ho` and says up to four words; the full stop ends the answer. In the language of
# reinforcement learning (强化学习) it is a **policy** (策略) $\pi_\theta$: a distribution over what to do next, given what has happened. Each word is an *action*, the words so far are the *state*, and $\theta$ stands for all weights.

# %%
WORDS = ["la", "ha", "ho", "."]
PROMPT, STOP, LONGEST = [2], 3, 4


def make_policy(seed):
    torch.manual_seed(seed)
    config = DecoderConfig(
        vocab_size=4,
        d_model=8,
        n_layers=1,
        context=8,
        attention=AttentionConfig(n_heads=2),
        feedforward=FeedForwardConfig(kind="swiglu", width=8),
        init_std=0.15,
    )
    return Decoder(config, dtype=f64)


policy = make_policy(1)
answers = every_answer(4, LONGEST, [STOP])
ids, mask = lay_answers(PROMPT, answers, pad_id=STOP)
print(
    len(answers),
    "answers, such as",
    *[" ".join(WORDS[i] for i in a) for a in answers[5:8]],
    sep="\n  ",
)

# %% [markdown]
# Of length 4 there are $3^4$ without a full stop, and with the full stop at place 1, 2, 3 or 4 there are $1+3+9+27$.
#
# **Predict, then run.** The probabilities of all these answers: what do they sum to, and why?
#
# <details><summary>Answer</summary>To 1. At each place the four words share what the words before have left, and an answer that has ended keeps what it has.</details>

# %%
with torch.no_grad():
    p = answer_probabilities(policy, ids, mask)
assert len(answers) == 3**4 + 1 + 3 + 9 + 27
assert abs(p.sum().item() - 1) < 1e-12
print(f"they sum to {p.sum().item():.6f}")

# %% [markdown]
# The reward likes `la ha`: one point for each `ha` that follows a `la`, and a third of a point for a full stop at the end.


# %%
def reward_of(answer):
    laughs = sum(pair == (0, 1) for pair in itertools.pairwise(answer))
    return laughs + (answer[-1] == STOP) / 3


rewards = torch.tensor([reward_of(a) for a in answers], dtype=f64)
J = float(p @ rewards)
print(f"best reward {rewards.max():.2f}; on average this policy gets {J:.2f}")
assert 0 < J < rewards.max()

# %% [markdown]
# What we want to raise is the **objective** (目标函数), the mean reward of what the policy says:
#
# $$J(\theta)=\mathbb E_{y\sim\pi_\theta}[R(y)]=\sum_y \pi_\theta(y)\,R(y).$$
#
# ## 2 The gradient, by counting (9 min)
#
# The sum has 121 terms and each is differentiable: $\pi_\theta(y)$ is a product of softmax outputs. So here, and only here, autograd gives $\nabla J$ without any trick.

# %%
logp = response_logprobs(policy, ids, mask).sum(dim=1)  # (M,) of whole answers
exact = flat_gradient(exact_objective(logp, rewards), policy)
print(f"{len(exact)} numbers in the gradient, of length {exact.norm():.3f}")

# %% [markdown]
# With the 6 144 tokens of our tokenizer and answers of 50, the sum has more than $6144^{50}$ terms. But it is a mean, and means can be estimated from samples, if only the gradient, too, is written as a mean. For that one identity is enough,
# $\nabla \pi = \pi\,\nabla\log\pi$, the derivative of a logarithm read backwards:
#
# $$\nabla J=\sum_y \nabla\pi_\theta(y)\,R(y)=\sum_y \pi_\theta(y)\,\nabla\log\pi_\theta(y)\,R(y)=\mathbb E_{y\sim\pi_\theta}\bigl[R(y)\,\nabla\log\pi_\theta(y)\bigr].$$
#
# So: draw an answer, compute the gradient of *its own* log-probability, multiply by its reward. This is **REINFORCE** (Williams 1992). The reward is never differentiated. It may come from a model, a program, or a person.

# %%
ones = mask.to(f64)
score = sample_gradients(
    policy, ids, mask, ones
)  # (M, P): grad log p of each answer
by_mean = p @ (rewards[:, None] * score)
assert (by_mean - exact).abs().max() < 1e-12
print("the mean of R grad log p is the gradient of J, to 12 digits")

# %% [markdown]
# A consequence that the next section lives on: put $R=1$ for all answers. Then $J=1$ whatever $\theta$ is, so its gradient is 0:
#
# $$\mathbb E_{y\sim\pi_\theta}\bigl[\nabla\log\pi_\theta(y)\bigr]=0.$$

# %%
assert (p @ score).abs().max() < 1e-12
print("grad log p is 0 on average")

# %% [markdown]
# ## 3 From samples, and the noise in them (13 min)
#
# Now as in practice: draw $n$ answers, and average. `rollout` draws (lesson 19's sampling, at temperature 1). Autograd is given the loss $-\frac1n\sum_i R_i\log\pi(y_i)$; its *value* means nothing, only its gradient does.


# %%
def estimate(model, n, seed, bonus=0.0, baseline=False):
    """The gradient of the mean reward, from n answers of the model."""
    drawn = rollout(
        model, [PROMPT] * n, LONGEST, pad_id=STOP, stop_ids=[STOP], seed=seed
    )
    earned = torch.tensor([reward_of(a) for a in drawn.answers()], dtype=f64)
    earned = earned + bonus
    if baseline:  # comes below
        earned = earned - leave_one_out(earned, n)
    weights = earned[:, None].expand(drawn.mask.shape)  # for each word alike
    logprobs = response_logprobs(model, drawn.ids, drawn.mask)
    return -flat_gradient(reinforce_loss(logprobs, weights, drawn.mask), model)


# %% tags=["nbval-ignore-output", "label-estimates"]
SIZES = (16, 64, 256, 1024)
drawn = {n: torch.stack([estimate(policy, n, s) for s in range(8)]) for n in SIZES}
for n, found in drawn.items():
    cosine = torch.cosine_similarity(found, exact[None], dim=1)
    print(
        f"{n:5} answers: cosine with the truth {cosine.min():.2f} to {cosine.max():.2f}"
    )
    assert n < 1024 or cosine.min() > 0.95

# %% [markdown]
# Right on average and wrong each time: how wrong? The **variance** (方差) of one sample is $\mathbb E\,\lVert g-\nabla J\rVert^2$, and here it can be counted over all answers.


# %%
def noise(weights):
    """Variance of one sample's estimate, with these weights (M,) for each answer."""
    g = weights[:, None] * score
    assert ((p @ g) - exact).abs().max() < 1e-9  # still right on average
    return float(p @ (g - exact).square().sum(dim=1))


signal = exact.square().sum()
print(f"signal {signal:.2f}, noise of one sample {noise(rewards):.2f}")

# %% [markdown]
# The mean of $n$ independent samples has an $n$-th of that variance, so it should miss the truth by about $\sqrt{\text{noise}/n}$. If our estimates are right, they miss by that much: less would be as suspicious as more.

# %% tags=["nbval-ignore-output", "label-error"]
predicted = [math.sqrt(noise(rewards) / n) for n in SIZES]
misses = [(drawn[n] - exact).norm(dim=1) for n in SIZES]  # of 8 estimates each
for n, theory, miss in zip(SIZES, predicted, misses, strict=True):
    typical = miss.square().mean().sqrt().item()
    print(f"{n:5} answers: miss by {typical:.3f}, predicted {theory:.3f}")
    assert 0.6 < typical / theory < 1.5

# %% tags=["label-misses"]
fig, ax = plt.subplots(figsize=(5.2, 2.9), layout="tight")
ax.plot(SIZES, predicted, "-", label="√(noise / n), counted")
for n, miss in zip(SIZES, misses, strict=True):
    ax.plot([n] * 8, miss, "o", ms=4, color="C1", label="one estimate" * (n == 16))
ax.axhline(exact.norm(), ls=":", color="0.4", label="length of the gradient")
ax.set(xscale="log", yscale="log", xlabel="answers n", ylabel="distance")
for axis, ticks in ((ax.xaxis, SIZES), (ax.yaxis, (0.05, 0.1, 0.2, 0.5))):
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())
ax.legend(fontsize=9)
alt = "Distance of the estimate from the exact gradient against the number of "
alt += "answers, both logarithmic: the dots of eight estimates each lie around a "
alt += "falling line, the error that was counted."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** The dots lie around the line: the estimate is the exact gradient, within its error. With 16 answers the error is as long as the gradient itself; four times the answers halve it. All that follows makes the line lower without paying for more answers.
#
# **Predict, then run.** We pay ten points more for every answer. Nothing has changed about which answers are better. What happens to the gradient, and what to the noise?
#
# <details><summary>Answer</summary>The gradient stays: ten times the mean of grad log p, which is 0, is added. The noise becomes far larger: now every answer that is drawn is pushed up hard, and only on average do the pushes cancel.</details>

# %%
paid_more = noise(rewards + 10)
print(f"noise with ten points more: {paid_more:.0f}")
assert paid_more > 20 * noise(rewards)

# %% [markdown]
# So subtract. Any number $b$ that does not depend on the answer leaves the mean alone. It is called a **baseline** (基线). The mean reward is the natural choice; the best is a mean in which answers with a large $\lVert\nabla\log\pi\rVert^2$ count more,
#
# $$b^*=\frac{\mathbb E\,[R\,\lVert g\rVert^2]}{\mathbb E\,[\lVert g\rVert^2]},\qquad g=\nabla\log\pi_\theta(y),$$
#
# because the noise is a parabola in $b$: write down $\mathbb E\lVert (R-b)\,g\rVert^2$ and differentiate by $b$.

# %% tags=["label-baseline"]
b_best = best_baseline(rewards, score, p)
print(f"mean reward {J:.3f}, best baseline {b_best:.3f}")
line = np.linspace(-0.4, 0.8, 81)
curve = [noise(rewards - b) for b in line]
assert noise(rewards - b_best) <= min(curve) + 1e-12
assert noise(rewards - J) < noise(rewards)

# %% tags=["label-parabola"]
fig, ax = plt.subplots(figsize=(5.2, 2.9), layout="tight")
ax.plot(line, curve, "-", label="noise of one sample")
for name, b, mark in (
    ("none", 0.0, "s"),
    ("mean reward", J, "o"),
    ("best", b_best, "^"),
):
    ax.plot([b], [noise(rewards - b)], mark, ms=8, label=name)
ax.set(xlabel="baseline b", ylabel="variance", ylim=(0, None))
ax.legend()
alt = "The variance of the gradient estimate is a parabola in the baseline; "
alt += "the mean reward lies near its lowest point, no baseline lies higher."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** A parabola; the mean reward near its bottom, so near that in practice it will do.
#
# If several answers are drawn for one prompt, the others give a baseline for nothing: **leave one out** (留一法), which is what RLOO does (Ahmadian et al. 2024). The answer itself stays out, or the baseline would depend on it.

# %%
four = torch.tensor([1.0, 0.0, 2.0, 1.0])
print("baselines:", [round(b, 2) for b in leave_one_out(four, 4).tolist()])
assert leave_one_out(four, 4)[2] == (1 + 0 + 1) / 3

# %% [markdown]
# ## 4 Which word was it? (12 min)
#
# The reward of `la ha ho .` pushes all four words alike. But `ho` came after the point was earned; it cannot have been the cause. Let the rewards stand where they are earned, and let each word be judged by the **rewards to go** (后续回报):
#
# $$G_t=\sum_{l\ge0}\gamma^l\, r_{t+l},$$
#
# with a discount (折扣) $\gamma\le1$; for answers of a language model nearly always 1. This is allowed for the same reason as a baseline: before a word is drawn, what has been earned already is a fixed number, and fixed number times grad log p is 0 on average.

# %%
each = torch.zeros_like(ones)
for row, (answer, earned) in enumerate(zip(answers, each, strict=True)):
    for t, word in enumerate(answer):
        laugh = t > 0 and (answer[t - 1], word) == (0, 1)
        earned[len(PROMPT) + t] = laugh + (word == STOP) / 3
assert torch.allclose(each.sum(dim=1), rewards)
to_go = rewards_to_go(each, mask)
g = sample_gradients(policy, ids, mask, to_go)
assert ((p @ g) - exact).abs().max() < 1e-12
quieter = float(p @ (g - exact).square().sum(dim=1))
print(f"noise {noise(rewards):.2f}, with rewards to go {quieter:.2f}")
assert quieter < noise(rewards)

# %% [markdown]
# Then a baseline that knows the state: what is to be expected *from here on*, the **value** (价值) $V(s_t)=\mathbb E[G_t\mid y_{<t}]$. What an action brings beyond it is its **advantage** (优势), $G_t-V(s_t)$.


# %%
def true_value(start):
    """Mean of what is still to be earned, after these words."""
    total = weight = 0.0
    for answer, prob, row in zip(answers, p.tolist(), to_go.tolist(), strict=True):
        if answer[: len(start)] == start and len(answer) > len(start):
            total += prob * row[len(PROMPT) + len(start)]
            weight += prob
    return total / weight


values = torch.zeros_like(ones)
for row, answer in zip(values, answers, strict=True):
    for t in range(len(answer)):
        row[len(PROMPT) + t] = true_value(answer[:t])
g = sample_gradients(policy, ids, mask, to_go - values)
assert ((p @ g) - exact).abs().max() < 1e-12
with_values = float(p @ (g - exact).square().sum(dim=1))
print(f"noise with values {with_values:.2f}")
assert with_values < quieter

# %% [markdown]
# For a real model nobody can count values; they are learned. The features from which the next word is drawn are read by one more row of weights, a **value head** (价值头), $V=\mathbf f\cdot\mathbf w+b$, fitted to the rewards to go by least squares. 34b trains it by gradient beside the policy; here it is solved for, each answer counting by its probability.

# %% tags=["label-head"]
with torch.no_grad():
    features = policy.features(ids)  # (M, T, D)
before = torch.ones(*ids.shape, 9, dtype=f64)  # eight features, and 1 for b
before[:, 1:, :8] = features[:, :-1]  # the place before the word, as for logits
often = (p[:, None] * ones).sqrt()[mask]
x, y = before[mask] * often[:, None], to_go[mask] * often
head = torch.linalg.lstsq(x, y[:, None]).solution[:, 0]
learned = torch.where(mask, before @ head, 0.0)
for start in ((), (0,), (1,), (0, 1)):
    row = next(i for i, a in enumerate(answers) if a[: len(start)] == start)
    at = row, len(PROMPT) + len(start)
    words = " ".join(WORDS[i] for i in start)
    print(f"after {words!r:8} value {values[at]:.2f}, head {learned[at]:.2f}")

# %% [markdown]
# Nine numbers cannot say all of it, but they need not: a baseline may be wrong as long as it does not look at the word that it judges.

# %%
g = sample_gradients(policy, ids, mask, to_go - learned)
assert ((p @ g) - exact).abs().max() < 1e-12  # right, whatever the head says
with_head = float(p @ (g - exact).square().sum(dim=1))
print(f"noise with the head {with_head:.2f}, with true values {with_values:.2f}")
assert with_values < with_head < quieter

# %% [markdown]
# ## 5 Between two extremes (11 min)
#
# A value before each word gives a second way to see what a word was worth: not what came in the end, but how the expectation changed in this one step. That is the **surprise** (temporal difference error, 时序差分误差)
#
# $$\delta_t=r_t+\gamma V(s_{t+1})-V(s_t).$$
#
# One step has little noise, but it believes the values, and while they are wrong it is wrong, too. All steps together believe nothing and are noisy. **Generalised advantage estimation** (GAE, Schulman et al. 2016) weighs between them:
#
# $$A_t=\sum_{l\ge0}(\gamma\lambda)^l\,\delta_{t+l}.$$
#
# First on one answer of four words, with rewards $r$ and values $v$ made up:

# %%
r, v = [0.0, 1.0, 0.0, 1 / 3], [0.9, 0.8, 0.3, 0.2]
print("surprises ", [round(x, 2) for x in td_errors(r, v)])
for lam in (0.0, 0.5, 1.0):
    print(f"lambda {lam}", [round(x, 2) for x in gae_of_row(r, v, lam=lam)])
weights = gae_weights(4, lam=0.5)
by_sum = weights @ torch.tensor(td_errors(r, v), dtype=f64)
assert torch.allclose(by_sum, torch.tensor(gae_of_row(r, v, lam=0.5), dtype=f64))

# %% [markdown]
# Where do these weights come from? One may look ahead one word, $\delta_t$; two words, $\delta_t+\gamma\delta_{t+1}$; or $k$. GAE is the mean of all of them, of which the $k$-th counts $(1-\lambda)\lambda^{k-1}$.

# %%
d, lam = td_errors(r, v), 0.5
mixed = [
    sum((1 - lam) * lam ** (k - 1) * sum(d[t : t + k]) for k in range(1, 60))
    for t in range(4)
]  # behind the end there are no surprises, so long looks are all alike
assert np.allclose(mixed, gae_of_row(r, v, lam=lam))
print("the mean of all looks ahead is GAE")

# %% [markdown]
# **Predict, then run.** With $\lambda=1$ and $\gamma=1$ the $V$ of all later steps cancel. What is left?
#
# <details><summary>Answer</summary>Rewards to go minus the value before the word: section 4.</details>

# %%
full, _ = gae(each, values, mask, lam=1.0)
assert torch.allclose(full, torch.where(mask, to_go - values, 0.0))
print("lambda 1 is rewards to go minus value")

# %% [markdown]
# Now the trade in numbers: for each $\lambda$, how far is the *mean* estimate off (bias, 偏差), and how does it scatter? Once with the true values, once with those of the head, which are a little wrong.

# %% tags=["label-trade"]
tables = {"true": {}, "head": {}}
for lam in (0.0, 0.5, 0.9, 1.0):
    for name, V in (("true", values), ("head", learned)):
        A, _ = gae(each, V, mask, lam=lam)
        g = sample_gradients(policy, ids, mask, A)
        off = (p @ g) - exact
        spread = float(p @ (g - exact - off).square().sum(dim=1))
        tables[name][lam] = float(off.norm() / exact.norm()), spread
    (b0, s0), (b1, s1) = (t[lam] for t in tables.values())
    print(f"λ = {lam}: true values: bias {b0:4.1%}, noise {s0:.2f};", end="   ")
    print(f"head: bias {b1:5.1%}, noise {s1:.2f}")
assert all(bias < 1e-9 for bias, _ in tables["true"].values())
trade = tables["head"]
biases, spreads = zip(*trade.values(), strict=True)
assert biases[-1] < 1e-9 < 0.05 < biases[0]  # one step believes the values ...
assert spreads[0] < spreads[-1]  # ... and has less noise

# %% tags=["label-lambda"]
fig, (left, right) = plt.subplots(1, 2, figsize=(6.8, 2.7), layout="tight")
left.imshow(gae_weights(12, lam=0.7), cmap="cividis")
left.set(xlabel="surprise s", ylabel="advantage t", title="weights, λ = 0.7")
right.plot(biases, spreads, "o-")
for lam, at in trade.items():
    right.annotate(f"λ = {lam:g}", at, textcoords="offset points", xytext=(6, 4))
right.margins(0.28)
right.set(xlabel="bias (share of the gradient)", ylabel="noise of one sample")
alt = "Left: the weights form an upper triangle that fades away from the "
alt += "diagonal. Right: bias against noise for four values of lambda, with the "
alt += "values of the head: a falling curve from lambda 1 to lambda 0."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Left: each advantage hears its own surprise loudly, later ones less. Right: the trade. λ = 1 has no bias and most noise, λ = 0 the reverse.
#
# **Predict, then run.** An estimate from $n$ answers misses by bias and noise together, $\text{bias}^2+\text{noise}/n$. Which λ is best for 16 answers, and which for very many?
#
# <details><summary>Answer</summary>More answers take away noise, never bias. So few answers want a small λ, many a large one.</details>

# %%
best = {}
for n in (16, 256, 4096):
    miss = {
        lam: (b * exact.norm().item()) ** 2 + s / n for lam, (b, s) in trade.items()
    }
    best[n] = min(miss, key=miss.get)
print("best λ for n answers:", best)
assert best[16] < best[4096]

# %% [markdown]
# 0.95 is the usual choice; for language models, which start well trained, Ahmadian et al. found λ = 1 best.
#
# ## 6 Scale and padding (7 min)
#
# If rewards are counted in thousandths, every advantage is a thousand times larger, and so is every step. So each batch is **whitened** (白化): brought to mean 0 and variance 1. It costs a little: the mean contains the answer itself (exercise 4), and when all answers are equally good, the tiniest difference is blown up to size 1. (*Rewards* are, if at all, only scaled, `shift=False`: their mean says how good the answers are.)

# %%
batch = rollout(
    policy, [PROMPT] * 32, LONGEST, pad_id=STOP, stop_ids=[STOP], seed=3
)
earned = torch.tensor([reward_of(a) for a in batch.answers()], dtype=f64)
A = earned[:, None].expand(batch.mask.shape)
white = whiten(A, batch.mask)
assert torch.allclose(white, whiten(1000 * A + 7, batch.mask), atol=1e-5)
assert abs(masked_mean(white, batch.mask).item()) < 1e-12
print("in points or in thousandths: the same whitened advantages")

# %% [markdown]
# And each mean is over the words *of answers*. Rows are filled up to equal length; a filler was chosen by nobody, so it must count nowhere.
#
# **Predict, then run.** Three ways to get the sum $\sum_t R\log\pi(y_t)$ wrong: padding is not masked; a word is looked up in the logits *after* it; each answer's sum is divided by its length. How far does the mean gradient turn, as a cosine with the right one?
#
# <details><summary>Answer</summary>The shift turns it most: other numbers are pushed altogether. The other two keep most of the direction, which makes them hard to notice.</details>

# %% tags=["label-wrong"]
everywhere = torch.ones_like(mask)
everywhere[:, 0] = False  # before the prompt stands nothing
logits = policy(ids).log_softmax(dim=-1)  # (M, T, V)
said = response_logprobs(policy, ids, mask)
pay = (p * rewards)[:, None]
sums = {
    "right": pay * said,
    "padding not masked": pay * response_logprobs(policy, ids, everywhere),
    "shifted by one": pay * logits.gather(-1, ids[..., None])[..., 0] * mask,
    "divided by length": pay * said / mask.sum(dim=1, keepdim=True),
}
turned = {}
for name, terms in sums.items():
    g = flat_gradient(terms.sum(), policy, keep_graph=True)
    turned[name] = torch.cosine_similarity(g, exact, dim=0).item()
    print(f"{name:20} cosine {turned[name]:+.2f}")
assert turned.pop("right") > 1 - 1e-9 and max(turned.values()) < 0.99

# %% [markdown]
# None of them raises an error, and no loss curve shows it. 34b meets them again on a real model.
#
# ## 7 Does it learn? (6 min)
#
# Enough of estimates: let us walk. $\theta\leftarrow\theta+\eta\,\hat g$, 150 times, with the same $\eta$ for three kinds of $\hat g$: the exact gradient; 16 answers with the others as baseline; 16 answers, one point more for every answer, and no baseline.
#
# **Predict, then run.** Which of them reach the best reward, 2.00, for `la ha la ha`?

# %%
to_vector = torch.nn.utils.parameters_to_vector
to_parameters = torch.nn.utils.vector_to_parameters


def counted(model, seed):
    logp = response_logprobs(model, ids, mask).sum(dim=1)
    return flat_gradient(exact_objective(logp, rewards), model)


def learn(gradient, seed, steps=150, lr=0.12):
    """The mean reward, counted, along the way; and the policy at its end."""
    model, heights = make_policy(1), []
    for step in range(steps + 1):
        with torch.no_grad():
            heights.append(float(answer_probabilities(model, ids, mask) @ rewards))
            g = torch.enable_grad()(gradient)(model, 1000 * seed + step)
            theta = to_vector(model.parameters()) + lr * g
            to_parameters(theta, model.parameters())
    return heights, model


# %% tags=["nbval-ignore-output", "label-learn"]
KINDS = {
    "exact": counted,
    "others as baseline": lambda m, s: estimate(m, 16, s, baseline=True),
    "a point more, no baseline": lambda m, s: estimate(m, 16, s, bonus=1.0),
}
walks = {
    kind: [learn(way, seed) for seed in range(1 if kind == "exact" else 5)]
    for kind, way in KINDS.items()
}
way = {kind: np.array([heights for heights, _ in w]) for kind, w in walks.items()}
for kind, found in way.items():
    ends = " ".join(f"{x:.2f}" for x in found[:, -1])
    print(f"{kind:26} mean on the way {found.mean():.2f}, ends {ends}")
direct, quiet, loud = (found.mean() for found in way.values())
assert direct > 1 and abs(quiet - direct) < 0.2 < direct - loud

# %% tags=["label-walks"]
fig, ax = plt.subplots(figsize=(5.6, 3), layout="tight")
for (kind, found), style in zip(walks.items(), ("k--", "C0-", "C1-"), strict=True):
    for i, (heights, _) in enumerate(found):
        every = range(0, len(heights), 2)  # steps
        label = kind if i == 0 else None
        ax.plot(every, heights[::2], style, lw=1.2, label=label)
ax.axhline(rewards.max(), ls=":", color="0.4", label="best")
ax.set(xlabel="step", ylabel="mean reward (counted)", ylim=(-0.05, 2.75))
ax.legend(fontsize=9, loc="upper left", ncols=2)
alt = "Mean reward against steps. The exact gradient and the five walks with the "
alt += "others as baseline climb together; the five without a baseline stagger "
alt += "below them."
show(fig, alt=alt)

# %% tags=["nbval-ignore-output", "label-likely"]
with torch.no_grad():
    last = answer_probabilities(walks["exact"][0][1], ids, mask)
likely = answers[int(last.argmax())]
print(f"{last.max():.0%} of the answers:", " ".join(WORDS[i] for i in likely))
assert last.max() > 0.8 and way["exact"][0, -1] < 1.5 < rewards.max()

# %% [markdown]
# **What you should see.** With a baseline the walks follow the exact gradient. Paid a point more for everything, and without one, they stagger, mostly far below it: whatever is drawn is pushed up first. And even the exact gradient stops at 4/3: `la ha .` became so likely early on that `la ha la ha` is hardly drawn any more, and what is not drawn is not learned. To keep trying other things is called **exploration** (探索). In our run one staggering walk fell onto the higher hill: noise explores, too, but blindly, and with another learning rate it did not.
#
# Look at the dip of the exact gradient near step 20. The direction was right and the step too long; 34b is about that.
#
# ## 8 How far have we gone? (10 min)
#
# A policy that is pushed long enough says whatever the reward model overrates. So leaving the first model is made to cost something: $J-\beta\,\mathrm{KL}(\pi\Vert\pi_{\text{ref}})$, with the **Kullback-Leibler divergence** (KL 散度)
#
# $$\mathrm{KL}(\pi\Vert\pi_{\text{ref}})=\mathbb E_{y\sim\pi}\Bigl[\log\frac{\pi(y)}{\pi_{\text{ref}}(y)}\Bigr].$$
#
# It is 0 where both say everything equally often, otherwise positive. It is a mean over the policy's own answers; from samples there are three estimators (Schulman 2020), with $u=\pi_{\text{ref}}(y)/\pi(y)$: $k_1=-\log u$, $k_2=\frac12(\log u)^2$, $k_3=u-1-\log u$.
#
# **Predict, then run.** Which can be negative for a single sample? Which is right on average?
#
# <details><summary>Answer</summary>Only k1 can be negative. k1 and k3 are right on average: k3 adds u − 1, whose mean is 0. k2 is biased.</details>
#
# We try them on one word of a vocabulary of 50: random logits as the reference, the same moved by 0.1, 0.5 and 2 times a random direction as the policy. *Spread* is the standard deviation of one sample; both columns are in units of the true KL.

# %% tags=["label-kl"]
logits = torch.randn(50, generator=torch.Generator().manual_seed(3), dtype=f64)
step = torch.randn(50, generator=torch.Generator().manual_seed(4), dtype=f64)
kl_rows = {}
print("   KL   k1: bias, spread   k2: bias, spread   k3: bias, spread")
for size in (0.1, 0.5, 2.0):
    new, old = (logits + size * step).log_softmax(0), logits.log_softmax(0)
    true = exact_kl(new, old).item()
    told = kl_rows[size] = []
    for estimator in (k1, k2, k3):
        x = estimator(new, old)  # for each of the 50 words
        mean = float(new.exp() @ x)
        spread = math.sqrt(float(new.exp() @ (x - mean).square()))
        told.append((round(mean / true - 1, 9) + 0.0, spread / true))
    print(f"{true:5.3f}" + "".join(f"{b:+12.1%}{s:7.1f}" for b, s in told))
assert all(abs(row[i][0]) < 1e-9 for row in kl_rows.values() for i in (0, 2))
assert kl_rows[0.1][2][1] < kl_rows[0.1][0][1] / 5

# %% [markdown]
# Near the reference $k_3$ scatters little, while $k_1$'s spread is many times the KL itself. Far away the order can turn round: where $u$ is huge, $k_3$ is.
#
# To be right on average is not yet to have the right *gradient*. When an estimator is put into a loss and differentiated, the draw itself is not:

# %%
z = (logits + step).requires_grad_()
new, old = z.log_softmax(0), logits.log_softmax(0)
(wanted,) = torch.autograd.grad(exact_kl(new, old), z, retain_graph=True)
for name, estimator in (("k1", k1), ("k2", k2), ("k3", k3)):
    mean = (new.exp().detach() * estimator(new, old)).sum()
    (g,) = torch.autograd.grad(mean, z, retain_graph=True)
    missed = (g - wanted).norm() / wanted.norm()
    print(f"{name}: misses the gradient by {missed:.1%}")
    assert (name == "k2") == torch.allclose(g, wanted)

# %% [markdown]
# So, of all things, the biased one has the right gradient, $k_1$ has none (grad log p is 0 on average), and $k_3$ that of another distance (exercise 5; GRPO in lesson 35 takes it nevertheless). To *report*, take $k_3$. As a price *in the reward*, where nothing is differentiated, $k_1$: summed over the words it is $\log\frac{\pi(y)}{\pi_{\text{ref}}(y)}$, whose mean is the KL.
#
# ## At scale
#
# With a vocabulary of 128 000 and answers of 1 000 tokens nothing here can be counted any more, and nothing else changes: the estimators are these. What grows is the noise, which is why batches of rollouts are hundreds to thousands of answers a step, and why most of the time of such a training goes into *drawing* (34b).
#
# ## Common mistakes
#
# | what | what happens |
# |---|---|
# | dividing each answer's loss by its length | words of long answers count less: another objective |
# | baseline computed from the very answer | the estimate shrinks, by (K − 1)/K with K answers |
# | log-probabilities shifted by one place | the wrong words are pushed; the loss looks the same |
# | padding not masked | what nobody said is learned |
# | an estimator of KL differentiated because its mean is right | k1 does nothing, k3 something else |
# | gradient through the reward or the advantage | learns to earn by changing the judge |
#
# ## Recap
#
# - The gradient of a mean reward is a mean: reward times the gradient of one's own log-probability.
# - Baselines, rewards to go and values leave the mean as it is and take noise away.
# - λ trades noise for trust in the values.
# - Whitening removes the scale, masks what nobody said.
# - What is not drawn is not learned.
# - The KL is estimated from the same samples; $k_3$ reports, $k_1$ is paid.

# %% [markdown]
# ## Homework (40 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The rest of the notebook does not depend on your answers.
#
# ### Exercise 1 · How many answers? (5 min, ★☆☆)
#
# With `V` words of which `S` end an answer, and at most `n` words: how many answers are there? A formula or a loop, no list.
#
# <details><summary>Hint 1</summary>Count those that end at place t: t − 1 words that do not end it, then one that does.</details>
# <details><summary>Hint 2</summary>Add those of length n that never end.</details>


# %% tags=["exercise"]
def count_answers(V, S, n):
    # BEGIN SOLUTION
    going = V - S
    return going**n + sum(S * going**t for t in range(n))
    # END SOLUTION


# %% tags=["check"]
def by_listing(V, S, n):
    return len(every_answer(V, n, range(S)))


check(
    count_answers,
    by_listing,
    [(4, 1, 4), (3, 0, 3), (2, 2, 3), (5, 2, 1), (4, 3, 3)],
)

# %% [markdown]
# ### Exercise 2 · The best baseline of a coin (7 min, ★★☆)
#
# A policy draws 1 with probability `q`, else 0; it has one parameter, the logit. The rewards are `r1` and `r0`. Derive $b^*$ in closed form.
#
# <details><summary>Hint 1</summary>The slope of log p by the logit is 1 − q for a 1 and −q for a 0.</details>
# <details><summary>Hint 2</summary>Weights: q (1 − q)² and (1 − q) q². One factor cancels.</details>


# %% tags=["exercise"]
def coin_baseline(q, r1, r0):
    # BEGIN SOLUTION
    return (1 - q) * r1 + q * r0
    # END SOLUTION


# %% tags=["check"]
def coin_by_definition(q, r1, r0):
    slopes = torch.tensor([[1 - q], [-q]], dtype=f64)
    pay, prob = (
        torch.tensor([r1, r0], dtype=f64),
        torch.tensor([q, 1 - q], dtype=f64),
    )
    return best_baseline(pay, slopes, prob)


check(
    coin_baseline,
    coin_by_definition,
    [(0.5, 1.0, 0.0), (0.9, 1.0, 0.0), (0.2, 3.0, -1.0)],
)

# %% [markdown]
# ### Exercise 3 · GAE from the end (8 min, ★★☆)
#
# Write the recursion $A_t=\delta_t+\gamma\lambda A_{t+1}$ for one answer, lists in and out, in one pass from the last step.
#
# <details><summary>Hint 1</summary>Keep the advantage and the value of the step after; both are 0 behind the end.</details>
# <details><summary>Hint 2</summary>Collect from the back, and turn the list round.</details>


# %% tags=["exercise"]
def gae_backwards(rewards, values, gamma, lam):
    # BEGIN SOLUTION
    found, later, after = [], 0.0, 0.0
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        later = reward + gamma * after - value + gamma * lam * later
        after = value
        found.append(later)
    return found[::-1]
    # END SOLUTION


# %% tags=["check"]
def gae_by_sum(rewards, values, gamma, lam):
    return gae_of_row(rewards, values, gamma=gamma, lam=lam)


cases = [
    ([1.0, 2.0, -1.0], [0.5, 0.0, 1.0], 0.9, 0.8),
    ([0.0, 0.0, 1.0], [0.2, 0.4, 0.6], 1.0, 1.0),
]
check(
    gae_backwards,
    gae_by_sum,
    [*cases, ([2.0], [1.0], 0.5, 0.5), ([1.0, 1.0], [3.0, 1.0], 0.7, 0.0)],
)

# %% [markdown]
# ### Exercise 4 · The shrunken estimate (8 min, ★★☆)
#
# With K answers a prompt, somebody takes the mean of *all* K as the baseline. By which factor is the expected gradient too small? Return it as a function of K.
#
# <details><summary>Hint 1</summary>R − mean = (K − 1)/K times (R − mean of the others).</details>


# %% tags=["exercise"]
def shrinkage(K):
    # BEGIN SOLUTION
    return (K - 1) / K
    # END SOLUTION


# %% tags=["check"]
def shrinkage_by_ratio(K):
    scores = torch.arange(K, dtype=f64).square()
    ratio = (scores - scores.mean()) / (scores - leave_one_out(scores, K))
    return ratio[-1].item()


check(shrinkage, shrinkage_by_ratio, [(2,), (4,), (16,)])

# %% [markdown]
# ### Exercise 5 · What the gradient of $k_3$ is (12 min, ★★★)
#
# Somebody adds `k3(logprobs, ref_logprobs).mean()` to the loss and differentiates. For samples from the policy, the mean gradient by the logits is not that of the KL. Return, for a policy `p` and a reference `q` over V words (probabilities, tensors), the *expected* gradient by the logits of p that this gives.
#
# <details><summary>Hint 1</summary>The slope of k3 by log p is 1 − q/p, for the word that was drawn.</details>
# <details><summary>Hint 2</summary>The gradient of log p_v by the logits is (one-hot of v) − p. Average over p.</details>


# %% tags=["exercise"]
def expected_k3_gradient(p, q):
    # BEGIN SOLUTION
    return p - q
    # END SOLUTION


# %% tags=["check"]
def by_autograd(p, q):
    z = p.log().requires_grad_()
    drawn = p  # the weights of the draw are not differentiated
    value = (drawn * k3(z.log_softmax(0), q.log())).sum()
    return torch.autograd.grad(value, z)[0]


two = (
    torch.tensor([0.7, 0.2, 0.1], dtype=f64),
    torch.tensor([0.2, 0.3, 0.5], dtype=f64),
)
check(expected_k3_gradient, by_autograd, [two, two[::-1], (two[0], two[0])])

# %% [markdown]
# It is the gradient of $\mathrm{KL}(\pi_{\text{ref}}\Vert\pi)$, the *other* direction: cross-entropy with the reference.
#
# ## Questions
#
# <details><summary>Why may the reward be a program that nobody can differentiate?</summary>Only log-probabilities are differentiated; the reward is a weight.</details>
# <details><summary>Why must the samples come from the policy itself?</summary>The mean is taken under it. 34b shows what to do when they are a few updates old.</details>
# <details><summary>Why does a baseline not change the mean of the estimate, and why may a value head be wrong?</summary>grad log p is 0 on average, after any beginning; whatever is multiplied with it there vanishes, if it does not look at the word drawn.</details>
# <details><summary>Four times the answers: what becomes of the error?</summary>Half. A better baseline gets the same for nothing.</details>
# <details><summary>Why did the exact gradient stop below the best reward?</summary>It climbs the nearest hill: the better answer had become too rare to weigh.</details>
# <details><summary>Which KL estimator may be differentiated?</summary>k2, although its mean is off; k1 gives 0 on average, k3 the other direction.</details>
# <details><summary>What is a value, in one sentence?</summary>The mean of what is still to be earned from here on, if one goes on like this.</details>
#
# ## Sources
#
# - Williams 1992, Simple Statistical Gradient-Following Algorithms, Machine Learning 8: REINFORCE.
# - Schulman et al. 2016, [arXiv:1506.02438](https://arxiv.org/abs/1506.02438): GAE, equation 16.
# - Schulman 2020, [Approximating KL Divergence](http://joschu.net/blog/kl-approx.html): the three estimators, as numbers to look at.
# - Ahmadian et al. 2024, [arXiv:2402.14740](https://arxiv.org/abs/2402.14740): REINFORCE with leave-one-out suffices for language models; their experiments on λ.
# - Tang and Munos 2025, [arXiv:2506.09477](https://arxiv.org/abs/2506.09477): why an estimator of KL should not be differentiated as it stands.
# - Greensmith et al. 2004, JMLR 5: the best baseline.
#
# ## Next
#
# [34b PPO](34b_ppo.ipynb): several steps on the same answers, with a learned reward, on a model that is trained.

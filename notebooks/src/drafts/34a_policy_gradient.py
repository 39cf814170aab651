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
# 75 min · CPU · 30 s · 1 GB · needs [19 Decoding](19_decoding.ipynb), [33 Reward](33_reward.ipynb) · code: `minillm/align/policy_gradient.py`
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
# 3. compute advantages after Schulman as a weighted sum of surprises, and say what the weight trades;
# 4. estimate how far a policy has gone from another in three ways, and choose among them;
# 5. name three bugs that make the estimate wrong without an error message.

# %% tags=["setup"]
import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from minillm.align import answer_probabilities, best_baseline, every_answer
from minillm.align import exact_kl, exact_objective, flat_gradient
from minillm.align import gae, gae_of_row, gae_weights, k1, k2, k3, lay_answers
from minillm.align import leave_one_out, reinforce_loss, response_logprobs
from minillm.align import rewards_to_go, rollout, sample_gradients, td_errors
from minillm.lesson import check, setup, show
from minillm.model import AttentionConfig, Decoder, DecoderConfig
from minillm.model import FeedForwardConfig

setup(seed=34)
f64 = torch.float64

# %% [markdown]
# > **Taken on trust until lesson 34b**: that what is true for four words holds for six thousand. 34b uses the same functions on the course's model.
#
# ## 1 A world of four words (8 min)
#
# The model knows `la`, `ha`, `ho` and the full stop. It reads `ho` and says up to four words; the full stop ends the answer. In the language of
# reinforcement learning (强化学习) it is a **policy** (策略) $\pi_\theta$: a distribution over what to do next, given what has happened. Each word is an *action*, the words so far are the *state*.

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
# ## 2 The gradient, by counting (10 min)
#
# The sum has 121 terms and each is differentiable: $\pi_\theta(y)$ is a product of softmax outputs. So here, and only here, autograd gives $\nabla J$ without any trick.

# %%
logp = response_logprobs(policy, ids, mask).sum(dim=1)  # (M,) of whole answers
exact = flat_gradient(exact_objective(logp, rewards), policy)
print(f"{len(exact)} numbers in the gradient, of length {exact.norm():.3f}")

# %% [markdown]
# For a real vocabulary the sum has $6144^{50}$ terms. But it is a mean, and means can be estimated from samples, if only the gradient, too, is written as a mean. For that one identity is enough,
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
# ## 3 From samples, and the noise in them (12 min)
#
# We draw 64 answers and average. The loss that we hand to autograd is $-\frac1B\sum_b R_b\log\pi(y_b)$; its *value* means nothing, only its gradient does.


# %%
def estimate(n, seed, baseline=0.0):
    drawn = rollout(
        policy, [PROMPT] * n, LONGEST, pad_id=STOP, stop_ids=[STOP], seed=seed
    )
    earned = torch.tensor([reward_of(a) for a in drawn.answers()], dtype=f64)
    weights = (earned - baseline)[:, None].expand(drawn.mask.shape)
    logprobs = response_logprobs(policy, drawn.ids, drawn.mask)
    return -flat_gradient(reinforce_loss(logprobs, weights, drawn.mask), policy)


# %% tags=["nbval-ignore-output", "label-estimates"]
cosines = {}
for n in (16, 64, 256, 1024):
    found = [estimate(n, seed) for seed in range(8)]
    cosines[n] = [torch.cosine_similarity(g, exact, dim=0).item() for g in found]
    print(
        f"{n:5} answers: cosine with the truth {min(cosines[n]):.2f} to {max(cosines[n]):.2f}"
    )
assert np.mean(cosines[1024]) > 0.95
assert np.mean(cosines[16]) < np.mean(cosines[1024])

# %% [markdown]
# It is right on average and wrong each time. How wrong can be computed here: the **variance** (方差) of one sample is $\mathbb E\,\lVert g-\nabla J\rVert^2$, over all 121 answers.


# %%
def noise(weights):
    """Variance of one sample's estimate, with these weights (M,) for each answer."""
    g = weights[:, None] * score
    assert ((p @ g) - exact).abs().max() < 1e-9  # still right on average
    return float(p @ (g - exact).square().sum(dim=1))


print(
    f"signal {exact.square().sum():.2f}, noise of one sample {noise(rewards):.2f}"
)

# %% [markdown]
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
# **What you should see.** A parabola; the mean reward near its bottom. Nobody computes $b^*$ in practice.
#
# If several answers are drawn for one prompt, the others give a baseline for nothing: **leave one out** (留一法), which is what RLOO does (Ahmadian et al. 2024). Including the answer itself would make the baseline depend on it.

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
# with a discount (折扣) $\gamma\le1$; for answers of a language model nearly always 1.

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
# Then a baseline that knows the state: what is to be expected *from here on*, the **value** (价值) $V(s_t)=\mathbb E[G_t\mid y_{<t}]$. What an action brings beyond it is its **advantage** (优势). Here values can be counted; in 34b a second head of the model learns them.


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
# ## 5 Between two extremes (12 min)
#
# A value before each word gives a second way to see what a word was worth: not what came in the end, but how the expectation changed in this one step. That is the **surprise** (TD error, 时序差分误差)
#
# $$\delta_t=r_t+\gamma V(s_{t+1})-V(s_t).$$
#
# One step has little noise, but it believes the values, and while they are wrong it is wrong, too. All steps together believe nothing and are noisy. **Generalised advantage estimation** (GAE, Schulman et al. 2016) weighs between them:
#
# $$A_t=\sum_{l\ge0}(\gamma\lambda)^l\,\delta_{t+l}.$$

# %%
r, v = [0.0, 1.0, 0.0, 1 / 3], [0.9, 0.8, 0.3, 0.2]
print("surprises ", [round(x, 2) for x in td_errors(r, v)])
for lam in (0.0, 0.5, 1.0):
    print(f"lambda {lam}", [round(x, 2) for x in gae_of_row(r, v, lam=lam)])
weights = gae_weights(4, lam=0.5)
by_sum = weights @ torch.tensor(td_errors(r, v), dtype=f64)
assert torch.allclose(by_sum, torch.tensor(gae_of_row(r, v, lam=0.5), dtype=f64))

# %% [markdown]
# **Predict, then run.** With $\lambda=1$ and $\gamma=1$ the $V$ of all later steps cancel. What is left?
#
# <details><summary>Answer</summary>Rewards to go minus the value before the word: section 4.</details>

# %%
full, _ = gae(each, values, mask, lam=1.0)
assert torch.allclose(full, torch.where(mask, to_go - values, 0.0))
print("lambda 1 is rewards to go minus value")

# %% [markdown]
# Now the trade in numbers: for each $\lambda$, how far is the *mean* estimate off (bias, 偏差), and how does it scatter? First with the true values, then with values that we spoil, as a half-trained critic would.

# %%
generator = torch.Generator().manual_seed(0)
table = {}
for answer in answers:  # one error a state, the same however it is reached
    for t in range(len(answer)):
        if answer[:t] not in table:
            table[answer[:t]] = 0.15 * torch.randn(
                (), generator=generator, dtype=f64
            )
spoilt = values.clone()
for row, answer in zip(spoilt, answers, strict=True):
    for t in range(len(answer)):
        row[len(PROMPT) + t] += table[answer[:t]]
# %% tags=["label-trade"]
tables = {}
for name, V in (("true", values), ("spoilt", spoilt)):
    trade = tables[name] = {}
    for lam in (0.0, 0.5, 0.9, 1.0):
        A, _ = gae(each, V, mask, lam=lam)
        g = sample_gradients(policy, ids, mask, A)
        mean = p @ g
        bias = float((mean - exact).norm() / exact.norm())
        trade[lam] = bias, float(p @ (g - mean).square().sum(dim=1))
        print(
            f"{name:6} values, lambda {lam}: bias {bias:5.1%}, noise {trade[lam][1]:.2f}"
        )
assert all(bias < 1e-9 for bias, _ in tables["true"].values())
assert (
    tables["true"][0.0][1] < tables["true"][1.0][1]
)  # one step has less noise ...
assert tables["spoilt"][1.0][0] < 1e-9
assert tables["spoilt"][0.0][0] > 0.05  # ... but believes what the values say

# %% tags=["label-lambda"]
fig, (left, right) = plt.subplots(1, 2, figsize=(6.8, 2.7), layout="tight")
left.imshow(gae_weights(12, lam=0.7), cmap="cividis")
left.set(xlabel="surprise s", ylabel="advantage t", title="weights, λ = 0.7")
right.plot([b for b, _ in trade.values()], [n for _, n in trade.values()], "o-")
for lam, (b, n) in trade.items():
    right.annotate(f"{lam:g}", (b, n), textcoords="offset points", xytext=(5, 3))
right.margins(0.12)
right.set(xlabel="bias (share of the gradient)", ylabel="noise of one sample")
alt = "Left: the weights form an upper triangle that fades away from the "
alt += "diagonal. Right: bias against noise for four values of lambda, with "
alt += "spoilt values; lambda 1 has no bias, lambda 0 has most."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Left: each advantage hears its own surprise loudly, later ones less. Right: with λ = 1 no bias, with λ = 0 most. With *true* values one step would have the least noise; errors of the values are a noise of their own, and where they are large, λ = 1 wins on both counts. 0.95 is what nearly everybody takes.
#
# ## 6 How far have we gone? (12 min)
#
# A policy that is pushed long enough says whatever the reward model overrates. So leaving the first model is made to cost something: $J-\beta\,\mathrm{KL}(\pi\Vert\pi_{\text{ref}})$, with the **Kullback-Leibler divergence** (KL 散度)
#
# $$\mathrm{KL}(\pi\Vert\pi_{\text{ref}})=\mathbb E_{y\sim\pi}\Bigl[\log\frac{\pi(y)}{\pi_{\text{ref}}(y)}\Bigr].$$
#
# It is a mean over the policy's own answers. From samples there are three estimators (Schulman 2020), with $r=\pi_{\text{ref}}(y)/\pi(y)$: $k_1=-\log r$, $k_2=\frac12(\log r)^2$, $k_3=r-1-\log r$.
#
# **Predict, then run.** Which can be negative for a single sample? Which is right on average?
#
# <details><summary>Answer</summary>Only k1 can be negative. k1 and k3 are right on average: k3 adds r − 1, whose mean is 0. k2 is biased.</details>

# %% tags=["label-kl"]
logits = torch.randn(50, generator=torch.Generator().manual_seed(3), dtype=f64)
step = torch.randn(50, generator=torch.Generator().manual_seed(4), dtype=f64)
kl_rows = {}
for size in (0.1, 0.5, 2.0):
    new, old = (logits + size * step).log_softmax(0), logits.log_softmax(0)
    true = exact_kl(new, old).item()
    told = []
    for estimator in (k1, k2, k3):
        x = estimator(new, old)
        mean = float(new.exp() @ x)
        told.append(
            (
                mean / true - 1,
                math.sqrt(float(new.exp() @ (x - mean).square())) / true,
            )
        )
    kl_rows[size] = told
    print(
        f"KL {true:6.3f}:",
        " ".join(f"bias {b:+6.1%} spread {s:5.1f} |" for b, s in told),
    )
assert all(abs(row[i][0]) < 1e-9 for row in kl_rows.values() for i in (0, 2))
assert kl_rows[0.1][2][1] < kl_rows[0.1][0][1] / 5

# %% [markdown]
# Near the reference $k_3$ is as good as exact, and $k_1$'s spread is many times the KL itself. Far away the order can turn round. (As something to *report*, take $k_3$. As a *penalty in the reward*, $k_1$: its mean over the answer is exactly the KL. As a loss that is differentiated, neither: exercise 5.)
#
# ## At scale
#
# With a vocabulary of 128 000 and answers of 1 000 tokens nothing here can be counted any more, and nothing else changes: the estimators are these. What grows is the noise, which is why batches of rollouts are hundreds to thousands of answers a step, and why nearly all the time of such a training goes into *drawing* (34b).
#
# ## Common mistakes
#
# | what | what happens |
# |---|---|
# | dividing the loss by the number of tokens | long answers count less: another objective |
# | baseline computed from the very answer | the estimate shrinks, by (K − 1)/K with K answers |
# | log-probabilities shifted by one place | the wrong words are pushed; the loss looks the same |
# | padding not masked | what the model never said is learned |
# | gradient through the reward or the advantage | learns to earn by changing the judge |
#
# ## Recap
#
# - The gradient of a mean reward is a mean: reward times the gradient of one's own log-probability.
# - Baselines, rewards to go and values leave the mean and take the noise.
# - λ trades noise for trust in the values.
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
# <details><summary>What is a value, in one sentence?</summary>The mean of what is still to be earned from here on, if one goes on like this.</details>
#
# ## Sources
#
# - Williams 1992, Simple Statistical Gradient-Following Algorithms, Machine Learning 8: REINFORCE.
# - Schulman et al. 2016, [arXiv:1506.02438](https://arxiv.org/abs/1506.02438): GAE, equation 16.
# - Schulman 2020, [Approximating KL Divergence](http://joschu.net/blog/kl-approx.html): the three estimators.
# - Ahmadian et al. 2024, [arXiv:2402.14740](https://arxiv.org/abs/2402.14740): REINFORCE with leave-one-out suffices for language models.
# - Greensmith et al. 2004, JMLR 5: the best baseline.
#
# ## Next
#
# [34b PPO](34b_ppo.ipynb): the same on the course's model, with a ratio that forgives a few updates.

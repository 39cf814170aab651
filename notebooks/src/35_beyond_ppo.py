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
# # 35 Beyond PPO: can one learn preferences without reinforcement learning, and how far may one push?
#
# 75 min · CPU · 20 s · 1 GB · needs [34b PPO](34b_ppo.ipynb) · code: `minillm/align/`
#
# PPO needs four models and a steady hand. This lesson has three ways around it: *draw many answers and keep the best*, *fine-tune on the
# best*, and *let the policy be its own reward model* (DPO). At the end stands the question that all of them share: what happens when a
# reward that is only nearly right is pushed too hard?
#
# After this lesson you can
#
# 1. say what best-of-n wins, and derive how far it moves from the model that draws;
# 2. run rounds of rejection sampling, and tell breadth from depth;
# 3. derive DPO from the constrained optimum, and check it by counting;
# 4. place IPO, KTO, ORPO and GRPO in one table of losses;
# 5. measure over-optimisation, and say honestly whether a curve bends.

# %% tags=["setup"]
import copy
import math
from itertools import pairwise
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import torch

from minillm import align
from minillm.evaluate import mean_interval, paired_difference
from minillm.finetune import Task, encode_talk, fine_tune
from minillm.finetune.chat import prompt_ids, reply_text
from minillm.finetune.talks import PAD, START, ChatBatches
from minillm.lesson import check, claim, setup, show
from minillm.model import AttentionConfig, Decoder, DecoderConfig
from minillm.model import FeedForwardConfig
from minillm.recipes.records import read_results
from minillm.recipes.studies.over_optimisation import NS, drop_by_others
from minillm.recipes.studies.rejection_rounds import at_kl
from minillm.tokenizer import Tokenizer
from minillm.train import OptimizerConfig, TrainConfig

setup(seed=35)
f64 = torch.float64

# %% [markdown]
# ## 1 Best of n (12 min)
#
# The simplest use of a reward: draw $n$ answers, keep the one with the highest score. Nothing is trained. It is called **best-of-n**
# (最佳 n 选一). If scores were standard normal numbers, the best of $n$ would be, on average, so many standard deviations above the mean:
#
# $$E_n = \int x\; n\,\varphi(x)\,\Phi(x)^{n-1}\,dx ,$$
#
# with the density $\varphi$ and the distribution function $\Phi$ of the normal distribution: one of $n$ is the largest, and the $n-1$ others lie below it.
#
# **Predict, then run.** One answer more at the beginning, from 1 to 2, wins $1/\sqrt\pi=0.56$. How many are needed for 2.3?
#
# <details><summary>Answer</summary>About 64. Each doubling wins less: breadth is an expensive way up.</details>

# %% tags=["label-best"]
counts = (1, 2, 4, 8, 16, 64)
won = [align.expected_max_normal(n) for n in counts]
for n, w in zip(counts, won):
    print(f"best of {n:2}: {w:.2f} standard deviations")
asserted = [0, 0.56, 1.03, 1.42, 1.77, 2.34]
assert all(abs(w - a) < 0.01 for w, a in zip(won, asserted))

# %% [markdown]
# ### What it costs: distance
#
# Best-of-n answers come from another distribution than the model's. How far away is it? Take answers whose scores never tie, and write $u$ for
# the share of answers that score less. For one answer $u$ is uniform on 0 to 1. The largest of $n$ has density $n\,u^{n-1}$. So
#
# $$\mathrm{KL} = \int_0^1 n u^{n-1}\,\ln\!\left(n u^{n-1}\right) du = \ln n + (n-1)\int_0^1 n u^{n-1}\ln u\,du
#   = \ln n - \frac{n-1}{n},$$
#
# because $\int_0^1 n u^{n-1}\ln u\,du=-1/n$. The model has dropped out: the distance depends on $n$ alone. We check it by sampling: draw $n$ uniform numbers, keep the largest,
# and take the mean of $\ln(n u^{n-1})$ over many such draws. Its own spread says how far off it may be.

# %% tags=["nbval-ignore-output", "label-kl"]
for n in (2, 8, 64):
    u = torch.rand(50_000, n, dtype=f64).amax(dim=1)
    ratio = math.log(n) + (n - 1) * u.log()
    sampled, error = ratio.mean().item(), ratio.std().item() / 50_000**0.5
    formula = align.best_of_n_kl_bound(n)
    assert abs(sampled - formula) < 5 * error
    print(f"n = {n:2}: formula {formula:.3f}, sampled {sampled:.3f} nats")

# %% [markdown]
# A language model gives the same answer twice now and then, and equal answers tie. With ties the distance is *less*: $u$ is seen through a
# coarser glass, and a coarser look never makes two distributions more different. So the formula, which many papers print as a value, is an
# upper bound (Beirami et al. 2024). The extreme case: a model with two equally likely answers can move by no more than $\ln 2$, whatever $n$ is.
#
# On a bandit with 64 arms everything can be counted: the best is arm $y$ if all $n$ draws score at most $r_y$, and not all score less.

# %% tags=["label-bandit"]
generator = torch.Generator().manual_seed(1)
reference = torch.randn(64, generator=generator, dtype=f64).softmax(0)
rewards = torch.randn(64, generator=generator, dtype=f64)
print(" n   exact  formula")
for n in (2, 4, 8, 16, 64):
    exact = align.best_of_n_kl(reference, rewards, n)
    bound = align.best_of_n_kl_bound(n)
    assert exact <= bound
    print(f"{n:2}  {exact:.4f}   {bound:.4f}")

# %% [markdown]
# The counting is checked by sampling, too: we really draw eight answers, keep the best, and take the mean of $\ln\frac{p_n(y)}{p(y)}$ over what was kept.

# %% tags=["nbval-ignore-output", "label-sampled"]
drawn = torch.multinomial(reference, 8 * 50_000, replacement=True).view(-1, 8)
kept = drawn.gather(1, rewards[drawn].argmax(dim=1, keepdim=True))[:, 0]
kept_at = align.best_of_n_distribution(reference, rewards, 8)
ratio = (kept_at[kept] / reference[kept]).log()
sampled, error = ratio.mean().item(), ratio.std().item() / 50_000**0.5
exact = align.best_of_n_kl(reference, rewards, 8)
print(f"best of 8: exact {exact:.3f}, sampled {sampled:.3f} +- {error:.3f}")
assert abs(sampled - exact) < 5 * error

# %% [markdown]
# The claim that we judge is that the formula is the *value*. Ten bandits, best of 64:

# %% tags=["label-claim-009"]
exact = []
for seed in range(10):
    generator = torch.Generator().manual_seed(100 + seed)
    ref = torch.randn(64, generator=generator, dtype=f64).softmax(0)
    scores = torch.randn(64, generator=generator, dtype=f64)
    exact.append(align.best_of_n_kl(ref, scores, 64))
mean = sum(exact) / len(exact)
print(f"exact {mean:.3f}, formula {align.best_of_n_kl_bound(64):.3f}")
claim("RLH-009", mean)

# %%
two = torch.tensor([0.5, 0.5])
apart = align.best_of_n_kl(two, torch.tensor([0.0, 1.0]), 64)
print(f"two answers, n = 64: {apart:.4f}, ln 2 = {math.log(2):.4f}")
print(f"the formula says {align.best_of_n_kl_bound(64):.2f}")
assert apart <= math.log(2)

# %% [markdown]
# ## 2 Keep the best, and learn them (12 min)
#
# Best-of-n pays for $n$ answers for ever. **Rejection sampling** (拒绝采样), as LLaMA-2 uses the word, pays once: draw $K$ answers to each prompt, keep
# the best, and fine-tune on them as on any talk (lesson 28). Then draw again, from the new model.
#
# - **Breadth** (广度) is $K$: how many answers are looked at before anything is learned.
# - **Depth** (深度) is the number of rounds. PPO is all depth: it draws one answer a prompt, and from a model that one step ago was another.
#
# We need a model that talks, small enough to train in a second. It reads bytes, is asked "1" or "2", and answers a, b or c.

# %%
NAMES = [START, PAD, "<|im_start|>", "<|im_end|>"]
tokenizer = Tokenizer({i: bytes([i]) for i in range(256)}, [], NAMES)


def ask(question, right):
    messages = ({"role": "user", "content": question},)
    return Task(messages, right, "letter", question, lambda text: text == right)


tasks = [ask("1", "b"), ask("2", "b")]
talks = [
    [{"role": "user", "content": q}, {"role": "assistant", "content": a}]
    for q in "12"
    for a in "abc"
]

# %%
config = DecoderConfig(
    vocab_size=tokenizer.n_vocab,
    d_model=16,
    n_layers=1,
    context=48,
    attention=AttentionConfig(n_heads=2),
    feedforward=FeedForwardConfig(kind="swiglu", width=16),
)


def first_model():
    """All six answers are learned, so that each prompt has three."""
    ids = {"start": tokenizer.special_id(START), "pad": tokenizer.special_id(PAD)}
    examples = [encode_talk(talk, tokenizer) for talk in talks]
    rows = ChatBatches(examples, 6, 40, packing="pad", seed=1, **ids)
    torch.manual_seed(0)
    model = Decoder(config)
    steps = TrainConfig(steps=60, batch_size=6, context=40, log_every=0)
    rate = OptimizerConfig(lr=2e-2)
    fine_tune(model, rows, steps, optimizer=rate, progress=False)
    return model


# %%
def right_share(model, seed=99):
    more = {"max_tokens": 3, "seed": seed}
    answers = align.sample_answers(model, tokenizer, tasks, 64, **more)
    return align.scores_of(align.task_rewards, tasks, answers).mean().item()


def reject(model, samples, rounds, score=align.task_rewards, least=1.0):
    """Draw, keep what scores at least so much, fine-tune; round after round."""
    steps = TrainConfig(steps=12, batch_size=2, context=40, log_every=0)
    how = align.RejectionConfig(samples, rounds, max_tokens=3, least=least)
    with TemporaryDirectory() as folder:
        args = (tokenizer, tasks, score, how, steps, folder)
        rate = OptimizerConfig(lr=2e-3)
        return align.rejection_run(model, *args, optimizer=rate)


# %% [markdown]
# **Predict.** The checker wants b, whatever is asked. What share is right before anything is learned? And after three rounds with $K=8$?

# %% tags=["nbval-ignore-output", "label-rounds"]
model = first_model()
before = right_share(model)
print(f"before: {before:.0%} right")
for r, report in enumerate(reject(model, samples=8, rounds=3)):
    print(f"round {r}: mean {report.mean:.2f}, best of 8 {report.best:.2f}")
after = right_share(model)
print(f"after: {after:.0%} right")
assert after > before + 0.15

# %% [markdown]
# A run must also report what it did *not* keep: answers that were cut off by the limit of tokens (who learns from them learns to
# stop in mid-sentence), blank ones, and prompts without any good answer, which teach nothing.
#
# **Breadth against depth.** The same number of answers can be spent on one broad round or on several narrow ones.

# %% tags=["nbval-ignore-output", "label-breadth"]
for samples, rounds in ((24, 1), (8, 3)):
    model = first_model()
    reject(model, samples, rounds)
    print(f"{rounds} round(s) of {samples} answers: {right_share(model):.0%} right")

# %% [markdown]
# (The deeper arm also takes three times as many fine-tuning steps; the study of section 6 holds them equal, over five seeds.)
#
# ### Who drew this answer?
#
# The paper's difference between the two algorithms is *whose* answers are learned from. We watch both loops. PPO keeps its weights after each step, and
# each answer carries the log-probabilities it was drawn with; we look for the weights that give the same ones.

# %% tags=["nbval-ignore-output", "label-watch-ppo"]
start_id, end_id = (tokenizer.special_id(x) for x in (START, "<|im_end|>"))
policy = first_model()
actor, states, answers = align.ActorCritic(policy), [], []
states.append(copy.deepcopy(policy.state_dict()))


def keep_state(model, optimizer, state):
    states.append(copy.deepcopy(policy.state_dict()))


def watched(drawn):
    answers.append(drawn)
    said = [reply_text(ids, tokenizer) for ids in drawn.answers()]
    return torch.tensor([float(text == "b") for text in said])


sampling = align.SamplingConfig(3, tokenizer.special_id(PAD), (end_id, start_id))
how = align.PPOConfig(4, sampling, batch_size=16, minibatch_size=16, save_every=1)
prompts = [[start_id, *prompt_ids(t.messages, tokenizer)] for t in tasks]
align.ppo(actor, first_model(), prompts, watched, how, save=keep_state)
print(f"{len(answers)} steps, {len(states)} sets of weights")


# %% tags=["label-watch-match"]
probe = first_model()


def matches(weights, drawn):
    probe.load_state_dict(weights)
    with torch.no_grad():
        again = align.response_logprobs(probe, drawn.ids, drawn.mask)
    return bool((again - drawn.logprobs).abs().max() < 1e-5)


table = [[matches(w, drawn) for w in states] for drawn in answers]
for t, row in enumerate(table):
    print(f"answers of step {t + 1}: weights after step {row.index(True)}")
ppo_is_new = all(row == [k == t for k in range(5)] for t, row in enumerate(table))

# %% [markdown]
# Each step of PPO learns from the policy of *that* step. Now a round of rejection sampling: which weights, with the same random numbers, give its answers again?

# %% tags=["nbval-ignore-output", "label-watch-rejection"]
drawn_texts = []


def watched_score(tasks, texts):
    drawn_texts.extend(texts)
    return align.task_rewards(tasks, texts)


model = first_model()
reject(model, 16, 1, watched_score, least=None)


def all_texts(model):
    found = align.sample_answers(model, tokenizer, tasks, 16, max_tokens=3)
    return [one.text for row in found for one in row]


print("of the first weights:", drawn_texts == all_texts(first_model()))
print("of the weights after:", drawn_texts == all_texts(model))
rejection_is_old = drawn_texts == all_texts(first_model()) != all_texts(model)
claim("RLH-010", ppo_is_new and rejection_is_old)

# %% [markdown]
# ### What LLaMA-2 did, version by version
#
# | version | how | what was chosen from |
# |---|---|---|
# | V1 to V3 | rejection sampling alone | answers of the version before |
# | V4 | rejection sampling alone | the best of *all* versions so far: V3 rhymed worse than the versions before |
# | after V4 | both, one behind the other: PPO on the checkpoint of rejection sampling, then new samples | as V4 |
#
# (Section 3.2.3 of the paper; our source's sentence about the last row is garbled. The second row is `all_rounds=True`.) Only the 70B model drew answers; the smaller ones were
# fine-tuned on what *it* had said. That is **distillation** (蒸馏): a small model learns from answers that it could hardly have found.
#
# Two relatives. *Iterative training* renews the comparisons as well: annotators judge answers of the newest model, and the reward model learns them before the next round, since a
# reward model knows only the sort of answers that it was trained on. *Constitutional AI* (Bai et al. 2022b) lets a model judge by written principles instead of people: the comparisons come from a
# model, and what follows is the same. ChatGLM-6B's makers name a step of *feedback bootstrap* (反馈自助) and do not say what it is.
#
# ## 3 The optimum in closed form (10 min)
#
# Lesson 34 climbed step by step towards the maximum of
#
# $$J(\pi) = \mathbb{E}_{y\sim\pi}[r(y)] - \beta\,\mathrm{KL}(\pi\,\|\,\pi_{\text{ref}}).$$
#
# Where is the top? Write $\ln Z=\ln\sum_y \pi_{\text{ref}}(y)e^{r(y)/\beta}$ and $\pi^*(y)=\pi_{\text{ref}}(y)\,e^{r(y)/\beta}/Z$, and put
# $r=\beta\ln(\pi^*/\pi_{\text{ref}})+\beta\ln Z$ into $J$:
#
# $$J(\pi) = \beta\sum_y\pi(y)\Bigl(\ln\frac{\pi^*(y)}{\pi_{\text{ref}}(y)}-\ln\frac{\pi(y)}{\pi_{\text{ref}}(y)}\Bigr)+\beta\ln Z
#   = \beta\ln Z-\beta\,\mathrm{KL}(\pi\,\|\,\pi^*).$$
#
# A KL is never negative and 0 only at equality. So $\pi^*$ is the only top, its height is $\beta\ln Z$, and how much any other policy lacks is a
# distance, too. With 64 arms we check it.

# %%
beta = 0.5
ref = reference.log()
best = align.optimal_policy(ref, rewards, beta)
height = align.kl_objective(best, ref, rewards, beta)
assert abs(height - beta * align.log_partition(ref, rewards, beta)) < 1e-12
for trial in range(1000):
    other = (best + 0.3 * torch.randn(64, dtype=f64)).log_softmax(0)
    gap = height - align.kl_objective(other, ref, rewards, beta)
    distance = (other.exp() * (other - best)).sum()
    assert abs(gap - beta * distance) < 1e-10
    assert gap > 0
print(f"the top is {height:.4f}; of 1000 others none is higher")

# %% [markdown]
# ## 4 DPO: turn the formula round (12 min)
#
# The line $r(y)=\beta\ln\frac{\pi^*(y)}{\pi_{\text{ref}}(y)}+\beta\ln Z$ can be read backwards: *every policy is the optimum for some reward*, its
# **implicit reward** (隐式奖励) $\hat r(y)=\beta\ln\frac{\pi(y)}{\pi_{\text{ref}}(y)}$, up to a constant of the prompt. In Bradley and Terry's model (lesson 33) only
# differences count, so that the constant, which nobody can compute for a real model, drops out:
#
# $$P(y_c \text{ over } y_r)=\sigma(\hat r(y_c)-\hat r(y_r)),\qquad
#   L_{\text{DPO}}=-\ln\sigma\Bigl(\beta\ln\tfrac{\pi(y_c)}{\pi_{\text{ref}}(y_c)}-\beta\ln\tfrac{\pi(y_r)}{\pi_{\text{ref}}(y_r)}\Bigr).$$
#
# That is the ranking loss of lesson 33, with the policy in the place of the reward model. No sampling, no value head, no reward model: two models and a
# logistic regression.
#
# **Predict, then run.** What is the loss at the very start, where the policy *is* the reference?
#
# <details><summary>Answer</summary>ln 2 = 0.693, for every pair and every β: the implicit rewards are all 0.</details>

# %% tags=["label-ln2"]
chosen, rejected = torch.tensor([-12.0, -3.5]), torch.tensor([-9.0, -7.0])
start = align.dpo_loss(chosen, rejected, chosen, rejected, beta=0.1)
assert abs(start.item() - math.log(2)) < 1e-6
pull = align.dpo_gradient(torch.tensor([-4.0, 0.0, 4.0]), 0.1)[1]
for h, g in zip((-4, 0, 4), pull.tolist()):
    print(f"implicit reward gap {h:+}: pull {g:.4f}")

# %% [markdown]
# The gradient by hand: $\partial L/\partial\ln\pi(y_c)=-\beta\,\sigma(-h)$, and the negative for $y_r$, with $h$ the gap of the implicit rewards. The factor
# $\sigma(-h)$ is large for pairs that the policy still has the wrong way round, and nearly 0 for settled ones. The first movement is $\beta/2$ on each side.
#
# Does DPO arrive at $\pi^*$? We give it endless data: all pairs of the 64 arms, preferred as Bradley and Terry say.

# %%
preferences = align.preference_matrix(rewards)
logits = ref.clone().requires_grad_()
optimizer = torch.optim.LBFGS([logits], max_iter=400, line_search_fn="strong_wolfe")


def closure():
    optimizer.zero_grad()
    policy = logits.log_softmax(0)
    loss = align.expected_dpo_loss(policy, ref, preferences, beta)
    loss.backward()
    return loss


optimizer.step(closure)
found = logits.detach().log_softmax(0)
missed = (found.exp() - best.exp()).abs().max().item()
print(f"largest difference in probability: {missed:.1e}")
assert missed < 1e-2

# %% [markdown]
# It arrives, without having seen a single reward: comparisons were enough. Three warnings before you use it.
#
# - The data are fixed. PPO asks about what the policy says *now*; DPO about what somebody said once.
# - Only the *difference* is trained. Both answers may become less likely, and then something that nobody has ever compared becomes more likely.
# - If a pair is always decided the same way, the best $h$ is infinite; $\beta$ then holds nothing back (that is IPO's point, below).
#
# Now on the model. One pass over the pairs (chosen answers first, rejected below) gives the log-probability of each answer; a frozen copy, the reference, reads the same rows.

# %%
pairs = [
    align.encode_pair(task.messages, task.answer, wrong, tokenizer)
    for task in tasks
    for wrong in "abc"
    if wrong != task.answer
]
pad = tokenizer.special_id(PAD)
ids, mask = align.lay_pairs(pairs, pad=pad)
model = first_model()
logprobs = align.response_logprobs(model, ids, mask)
assert logprobs.shape == ids.shape and not logprobs[~mask].any()
chosen, rejected = align.pair_sums(logprobs)
print("log p of the chosen answers  ", [round(x, 2) for x in chosen.tolist()])
print("log p of the rejected answers", [round(x, 2) for x in rejected.tolist()])

# %%
reference_model = align.reference_of(model)
batches = align.PairBatches(pairs, 4, 40, pad=pad, seed=1)
steps = TrainConfig(steps=30, batch_size=4, context=40, log_every=0)
how, seen = align.DirectConfig("dpo", beta=0.3), []
more = {"optimizer": OptimizerConfig(lr=1e-3), "log": seen.append}
more |= {"ref_model": reference_model, "progress": False}
align.prefer(model, batches, steps, how, **more)
stats = align.pair_stats(model, reference_model, pairs, pad=pad, beta=0.3)

# %% tags=["nbval-ignore-output", "label-dpo"]
assert abs(seen[0]["loss"] - math.log(2)) < 1e-3
assert stats.margin > 0
print(f"loss {seen[0]['loss']:.4f} -> {seen[-1]['loss']:.4f}")
print(f"chosen moved by {stats.chosen:+.2f}, rejected by {stats.rejected:+.2f}")
print(f"right: {right_share(reference_model):.0%} -> {right_share(model):.0%}")

# %% [markdown]
# ## 5 A table of losses (13 min)
#
# | method | loss | needs | what it changes |
# |---|---|---|---|
# | DPO | $-\ln\sigma(h)$ | pairs, reference | |
# | IPO | $(h/\beta-\frac1{2\tau})^2$ | pairs, reference | a fixed gap, so that unanimous pairs cannot run away |
# | KTO | $1-\sigma(\pm(\hat r-z))$ | single answers, good or bad; reference | no pairs; gains and losses flatten |
# | ORPO | $-m_c-\lambda\ln\sigma(\text{log odds}_c-\text{log odds}_r)$ | pairs | fine-tuning and preference in one, no reference |
# | SimPO | $-\ln\sigma(\beta(m_c-m_r)-\gamma)$ | pairs | means over tokens, a margin, no reference |
# | GRPO | clipped ratio times advantage $+\ \beta\,k_3$ | a scorer, samples | PPO, with the group as the baseline |
#
# $h$ is $\beta$ times the gap of log ratios, $\hat r$ the implicit reward, $z$ the mean log ratio of answers to *other* prompts (at least 0), $m$ the mean log-probability of an answer's tokens. Here they
# are in code, for one pair of four tokens each, and equal to the package's, which has a page for each.

# %% tags=["label-five"]
c, r, rc, rr = (torch.tensor([x], dtype=f64) for x in (-5.0, -6.0, -5.5, -4.0))
mc, mr, z, log_sigmoid = c / 4, r / 4, 0.2, torch.nn.functional.logsigmoid
log_ratios = (c - rc) - (r - rr)
odds = [m - (1 - m.exp()).log() for m in (mc, mr)]
by_hand = {
    "DPO": -log_sigmoid(0.1 * log_ratios),
    "IPO": (log_ratios - 1 / (2 * 0.1)) ** 2,
    "KTO, good": 1 - torch.sigmoid(0.1 * (c - rc - z)),
    "KTO, bad": 1 - torch.sigmoid(-0.1 * (r - rr - z)),
    "ORPO": -mc - 0.1 * log_sigmoid(odds[0] - odds[1]),
    "SimPO": -log_sigmoid(2 * (mc - mr) - 1),
}

# %% tags=["label-five-equal"]
good, bad = torch.tensor([True]), torch.tensor([False])
packaged = (
    align.dpo_loss(c, r, rc, rr, beta=0.1),
    align.ipo_loss(c, r, rc, rr, tau=0.1),
    align.kto_loss(c, rc, good, z, beta=0.1),
    align.kto_loss(r, rr, bad, z, beta=0.1),
    align.orpo_loss(mc, mr, weight=0.1),
    align.simpo_loss(mc, mr, beta=2.0, gamma=1.0),
)
for (name, mine), theirs in zip(by_hand.items(), packaged):
    assert abs(mine.item() - theirs.item()) < 1e-9
    print(f"{name:10}{mine.item():8.4f}")

# %% [markdown]
# What tells DPO from IPO is a picture.

# %% tags=["label-losses"]
gap = torch.linspace(-10, 25, 351, dtype=f64)
four = (gap, *(torch.zeros_like(gap) for _ in range(3)))
dpo = align.dpo_loss(*four, beta=0.3, reduction="none")
smooth = align.dpo_loss(*four, beta=0.3, label_smoothing=0.1, reduction="none")
ipo = align.ipo_loss(*four, tau=0.05, reduction="none") / 200
fig, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
ax.plot(gap, dpo, "-", label="DPO")
ax.plot(gap, smooth, "--", label="DPO, smoothed")
ax.plot(gap, ipo, "-.", label="IPO / 200")
ax.set(xlabel="gap of log ratios, chosen minus rejected (nats)", ylabel="loss")
ax.set(ylim=(0, 3))
ax.legend()
alt = "DPO's loss falls for ever; IPO's is a parabola with its lowest point at "
alt += "a gap of 10; smoothed DPO turns up slowly behind a gap of 7."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** DPO always wants more. IPO has a lowest point at $1/(2\tau)$, and smoothed DPO one at $\ln\frac{1-\varepsilon}{\varepsilon}/\beta$: behind it the
# loss pulls back.
#
# ### GRPO: a checker is the reward
#
# Where an answer can be *checked* (a sum, a doctest, a question about a story), no reward model is needed. **GRPO** (组相对策略优化) draws a group of answers to each
# prompt, and an answer's advantage is its reward minus the mean of its group, divided by the group's spread.

# %% tags=["label-groups"]
rewards_of_two = torch.tensor([1.0, 0, 0, 0, 1, 1, 1, 1])  # two groups of four
spread = align.group_advantages(rewards_of_two, 4)
plain = align.group_advantages(rewards_of_two, 4, normalizer="none")
print("divided by the spread", [round(a, 2) for a in spread.tolist()])
print("minus the mean only  ", plain.tolist())
assert not spread[4:].any()

# %% [markdown]
# The second group is of one mind and teaches nothing: prompts that are always solved, or never, cost answers and give no gradient.

# %% tags=["nbval-ignore-output", "label-grpo"]
model, seen = first_model(), []
how = align.GRPOConfig(steps=16, prompts=2, group_size=16, max_tokens=3)
rate = OptimizerConfig(lr=5e-3)
args = (model, align.reference_of(model), tokenizer, tasks, how)
align.train_grpo(*args, optimizer=rate, log=seen.append)
for record in seen[::5]:
    told = f"step {record['step']:2}: right {record['score']:.2f}, "
    told += f"KL {record['kl']:.2f}, groups that teach {record['spread']:.2f}"
    print(told)
assert seen[-1]["score"] > seen[0]["score"]

# %% [markdown]
# The same on `chat_sft`, the policy of lesson 34b, with questions about stories and their checker: 24 steps of eight groups of eight, five seeds (`recipes/studies/grpo_stories.py`). The control, `shuffled`, deals the verdicts of a step out blindly: as many
# ones, and no news. On worlds that nobody trained on, `right` is the share of right answers among draws, `greedy` that of the likeliest answers, and `any` the share of questions that at least one of eight draws solves (pass@8).
#
# **Predict.** Which of the three rises? What does the blind arm do?

# %% tags=["label-grpo-stories"]
stories = read_results("grpo_stories")
moved = {}
print("                before   after minus before")
for arm in stories.measured:
    for what in ("right", "greedy", "any"):
        after, before = (
            stories.values(arm, f"{what} {when}") for when in ("after", "before")
        )
        moved[arm, what] = d = paired_difference(after, before)
        told = f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"
        print(f"{arm:9}{what:7}{mean_interval(before).value:6.2f}   {told}")
assert moved["checked", "right"].low > 0 > moved["checked", "any"].high
assert moved["shuffled", "right"].high < moved["checked", "right"].low

# %% [markdown]
# **What you should see.** It is the verdicts that teach: with them draws become right more often, blindly they do not. But fewer questions have *any* right answer among eight draws (the blind arm loses as many). The policy says more surely what it could say
# before, and has learned little that is new; Yue et al. (2025) find the same in large models.
#
# ## 6 Over-optimisation (14 min)
#
# "When a measure becomes a target, it ceases to be a good measure" (Goodhart's law, 古德哈特定律). A reward model is a measure. We have what real projects lack: a
# **gold** reward, which says what an answer was worth, beside the **proxy** that chooses. If the proxy rises while gold falls, we speak of **over-optimisation** (过度优化). Both are plotted against the square root of the distance, $d=\sqrt{\mathrm{KL}}$.
#
# **Predict.** A proxy that is gold plus *normal noise*: does gold ever fall, if $n$ grows?
#
# Two proxies, each nearly as good as the other at first: one with normal noise, one that is right except for 3 % of answers that fool it.

# %% tags=["nbval-ignore-output", "label-goodhart"]
ns = [1, 2, 4, 8, 16, 32, 64]


def curves(kind, seeds=5):
    found = []
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        gold = torch.randn(200, 64, generator=generator, dtype=f64)
        noise = torch.randn(200, 64, generator=generator, dtype=f64)
        fooled = 3 * (torch.rand(200, 64, generator=generator) < 0.03)
        proxy = gold + (noise if kind == "noisy" else fooled)
        worth = gold if kind == "noisy" else gold - fooled
        found.append(align.best_of_n_curve(proxy, worth, ns))
    return found


runs = {kind: curves(kind) for kind in ("noisy", "fooled")}
for kind, found in runs.items():
    told = align.fall([[p.gold for p in run] for run in found])
    print(f"{kind:7} bends: {told.bends}, drop {told.drop}")
    assert told.bends == (kind == "fooled")

# %% tags=["nbval-ignore-output", "label-curves"]
fig, axes = plt.subplots(1, 2, figsize=(6.8, 2.8), layout="tight", sharey=True)
for ax, (kind, found) in zip(axes, runs.items()):
    d = [p.distance for p in found[0]]
    for name, style in (("proxy", "s--"), ("gold", "o-")):
        mean = [sum(getattr(r[i], name) for r in found) / 5 for i in range(len(ns))]
        ax.plot(d, mean, style, label=name)
    fit = align.fit_gold(
        d, [sum(r[i].gold for r in found) / 5 for i in range(len(ns))], "best_of_n"
    )
    ax.plot(d, [fit.at(x) for x in d], "k:", label="d(α − βd)")
    ax.set(xlabel="distance √KL", title=kind)
axes[0].set(ylabel="gain in standard deviations")
axes[0].legend()
alt = "Left, a proxy with normal noise: proxy and gold both rise, gold less. "
alt += "Right, a proxy that 3 % of answers fool: gold rises and then falls."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Left gold is a fixed share of the proxy and never turns: noise alone costs, but it does not bend (Gao et al. prove it for normal numbers, section 4.2.1). Right the few answers that fool the proxy win more and more
# of the contests, and gold falls. Gao et al. (2022) found $d(\alpha-\beta d)$ for best-of-n and $d(\alpha-\beta\ln d)$ for PPO; whether reward models that were really *trained* bend, the study
# below says.
#
# ### Our own curves, recorded
#
# A policy says words backwards: asked for `abcf`, it should say `fcba`. It learned from demonstrations that are often wrong, so that it knows more than it shows. The gold reward of
# an answer is known: the share of letters in place, less a quarter for each letter too many or too few. The proxies are reward models of three sizes, trained on 8 192 noisy comparisons of the policy's own
# answers. (With 512 comparisons, in our pilot, they knew so little that PPO lowered gold at once; that is not a curve that bends, and we gave them more.) All is measured on words that nobody trained on, with five seeds (`recipes/studies/over_optimisation.py`).
#
# First, what a *perfect* scorer would win: gold chooses the best of $K$ of 64 answers to each of 64 words. Does looking at more always pay, as
# our source says?

# %% tags=["label-claim-008"]
study = read_results("over_optimisation")
starts, gains = (study.values("best_small", x) for x in ("start", "ceiling"))
ks = (1, 2, 4, 8, 16, 64)  # of NS, which also has 32
best = [[s + g[NS.index(k)] for k in ks] for s, g in zip(starts, gains)]
means = torch.tensor(best).mean(0).tolist()
print("best of", ks, [f"{m:.3f}" for m in means])
rises = all(a < b for run in best for a, b in pairwise(run))
claim("RLH-008", rises and all(abs(w - a) < 0.01 for w, a in zip(won, asserted)))

# %% [markdown]
# Breadth pays at every doubling, ever less. Now the proxies choose: best-of-n by them, and PPO learns from them with no price for distance, so that nothing holds it back.
#
# **Predict.** Which bends first: the smallest proxy or the largest? Best-of-n or PPO?
#
# One trap before the table. A curve's highest point is partly luck, so that "highest minus last" is positive even for a flat curve. We let the *other four* seeds say where the
# highest point is, and read the fifth there (`drop_by_others`).

# %% tags=["label-study"]
drops, tops = {}, {}
print("             proxy right   gold at best   drop to the end")
for arm in study.measured:
    gold = study.values(arm, "gold")
    tops[arm] = torch.tensor(gold).mean(0).max().item()
    drops[arm] = drop_by_others(gold)
    d, right = mean_interval(drops[arm]), study.mean(arm, "accuracy").value
    told = f"{d.value:+.2f} [{d.low:+.2f}, {d.high:+.2f}]"
    print(f"{arm:12}{right:12.0%}{tops[arm]:+15.3f}   {told}")

# %% [markdown]
# "Proxy right" is the share of unseen comparisons that a proxy decides as a (noisy) annotator did. The ledger's rows, filed by this course before any run, ask for the drop averaged over the three proxies.


# %% tags=["label-claim-017"]
def over_sizes(how):
    three = [drops[f"{how}_{size}"] for size in ("small", "middle", "large")]
    return mean_interval([sum(drop) / 3 for drop in zip(*three)])


d = over_sizes("best")
claim("RLH-017", d.value, d)
d = over_sizes("ppo")
claim("RLH-018", d.value, d)
assert tops["best_small"] < tops["best_middle"] < tops["best_large"]

# %% tags=["label-study-figure"]
fig, axes = plt.subplots(
    2, 2, figsize=(6.4, 4.2), layout="constrained", sharex="col", sharey="row"
)
sides = (("best", "best of n"), ("ppo", "PPO"))
for (above, below), (how, name) in zip(axes.T, sides):
    for size, mark in (("small", "o-"), ("middle", "s--"), ("large", "D:")):
        runs = study.measured[f"{how}_{size}"].values()
        d, gold, proxy = (
            torch.tensor([run[x] for run in runs]).mean(0)
            for x in ("distance", "gold", "proxy")
        )
        above.plot(d, gold, mark, ms=4, label=size)
        below.plot(d, proxy, mark, ms=4)
    above.axhline(0, color="0.6", lw=0.8)
    above.set(title=name)
    below.set(xlabel="distance √KL")
axes[0, 0].set(ylabel="gold gained")
axes[1, 0].set(ylabel="proxy gained")
axes[0, 1].legend(title="proxy", fontsize=9)
alt = "Top: gold against the root of the KL. Best-of-n rises, turns at 2 to 4 "
alt += "answers and ends below zero for all three proxies; PPO on the small proxy "
alt += "falls by half. Bottom: the proxy rises all the way."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** The proxy (below) rises all the way. Gold (above) rises, turns and falls. Best-of-n is highest at two to four answers, the larger the proxy the higher the top, and with 64 answers all three end *below* the policy that they
# started from: the answer that the proxy likes best of 64 is worth less, on average, than one drawn at random. PPO gains less at its best. On the small proxy it runs away and loses nearly half a point of gold; on the other two the mean falls as well, but some seeds
# still rise at the last step, and their intervals hold 0. So it bends, and the means over the proxies say so for both methods. What we cannot say is that Gao's curves hold here: KL did not run alike in the five runs of an arm, and we looked at seven points.
#
# What follows for practice: stop early, watch a measure that nothing was chosen by, and renew the comparisons with answers of the newest policy.
#
# ### Rounds against PPO
#
# With iterations, LLaMA-2's authors write, the differences between the two algorithms are *less pronounced*; our source makes of it that they are *not essentially different*, which is more, and is
# the claim that we judge. Same words, the known worth as the score (so that nothing is over-optimised), five rounds of best of 8 against PPO, compared *at the same distance*: PPO's share of right answers is read off its curve where its
# KL equals that of the fifth round (`recipes/studies/rejection_rounds.py`).

# %% tags=["label-rounds-study"]
rounds = read_results("rejection_rounds")
both_ways = []
for seed, kl in zip(rounds.seeds, rounds.values("rounds", "kl at the end")):
    ppo = rounds.measured["ppo"][seed]
    mine = rounds.measured["rounds"][seed]["right at the end"]
    both_ways.append((mine, at_kl(ppo["kl"], ppo["right"], kl)))
d = paired_difference(*map(list, zip(*both_ways)))
print("rounds minus PPO at the same KL, share right:", d)
claim("RLH-011", d.value, d)

# %% tags=["label-rounds-figure"]
fig, ax = plt.subplots(figsize=(6.2, 3.2), layout="constrained")
for arm, mark in (("ppo", "s-"), ("rounds", "o-"), ("deep", "^-"), ("both", "D--")):
    kl, right = (
        torch.tensor(rounds.values(arm, x)).mean(0) for x in ("kl", "right")
    )
    ax.plot(kl, right, mark, ms=5, label=arm)
kl, right = (
    rounds.mean("broad", x).value for x in ("kl at the end", "right at the end")
)
ax.plot(kl, right, "*", ms=12, color="k", label="broad")
ax.set(xlabel="KL from the first policy (nats an answer)", ylabel="share right")
ax.legend()
alt = "Share of right answers against the KL: PPO, five rounds, twenty rounds, "
alt += "both in turns and one broad round all lie on nearly one rising curve."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** All methods move along nearly one curve, PPO a little above the rounds in its middle: what is won depends on how far one went, much less on how. The mean difference between rounds and PPO is close to nothing, yet the claim stays undecided: it asks for the
# whole interval to lie within 5 points, and with five seeds it is wider. One PPO run jumped ahead in KL and came back, and its curve is read off at the jump.
#
# All three arms of rejection sampling drew 5 120 answers and took 20 steps. `broad` is one round with 40 answers to each of 128 words, `rounds` are five rounds with 8, and `deep` is twenty rounds
# with 8 answers to each of 32 words, one step a round. `both` takes LLaMA-2's turns: a round, 20 steps of PPO, and again.

# %% tags=["label-breadth-study"]
for arm in ("broad", "rounds", "deep", "both", "ppo"):
    right, kl = (rounds.mean(arm, x) for x in ("right at the end", "kl at the end"))
    told = f"{right.value:.0%} [{right.low:.0%}, {right.high:.0%}]"
    print(f"{arm:7} right {told:18} KL {kl.value:.2f}")
for arm in ("rounds", "deep"):
    print(
        f"{arm} minus broad:", rounds.difference(arm, "broad", "right at the end")
    )

# %% [markdown]
# Depth pays, up to a point: five rounds end about three points above one broad round, with as many answers drawn and the same steps taken, and twenty rounds add nothing to five. The figure says how: they got *further* on the same curve, since answers of a policy that has already
# learned are better. Taking turns with PPO did no harm and no wonders here.
#
# ### Whose answers should a small model learn?
#
# A small model (16 wide, one layer) that has read the same sort of demonstrations hardly ever says a word right. It is fine-tuned, with equal steps, on its `own` best of 8; on the best of 8 of a large
# `teacher`; on as many fresh demonstrations (`control`); and on the right answers, `spelled` out.

# %% tags=["label-teacher"]
taught = read_results("teacher_samples")
print("before:", taught.mean("own", "right before"))
for arm in ("control", "own", "teacher", "spelled"):
    right, best = taught.mean(arm, "right"), taught.mean(arm, "best")
    told = f"then right {right.value:5.1%} [{right.low:.1%}, {right.high:.1%}]"
    print(f"{arm:8} worth of what is learned {best.value:.2f}, {told}")
d = taught.difference("teacher", "own", "right")
print("teacher minus own, right:", d)
claim("RLH-013", d.value, d)
print("teacher minus own, worth:", taught.difference("teacher", "own", "gold"))

# %% [markdown]
# The teacher's answers are worth far more than the student's own best, and the student learns more from them; on the share of right answers, which the ledger asks for, the interval just holds zero.
# A model this small hardly learns the task even when it is `spelled` out. In the mean worth, printed last, the difference is clear. Its own best of 8 are little better for the student than fresh demonstrations: it had nothing good to choose from.
#
# ### One set of comparisons, five losses
#
# The table of section 5, on words said backwards: 1 024 comparisons, read once. Each loss had two strengths and three rates to choose from on another seed (a few pairs of them were left out), so that none was tuned much more than another. `chosen` is plain fine-tuning on the
# preferred answers.

# %% tags=["label-direct"]
direct = read_results("direct_methods")
print("           gold gained      KL   pairs right   chosen, rejected moved")
for arm in direct.measured:
    g, kl, acc, c, r = (
        direct.mean(arm, x)
        for x in ("gain", "kl", "pairs right", "chosen", "rejected")
    )
    spread = f"{g.value:+.2f} ±{(g.high - g.low) / 2:.2f}"
    moved = f"{c.value:+6.1f} {r.value:+6.1f}"
    print(f"{arm:8}{spread:>14}{kl.value:8.2f}{acc.value:12.0%}{moved:>20}")

# %% [markdown]
# The last columns are the second warning of section 4: under DPO, IPO, KTO and SimPO *both* answers became less likely, the rejected ones more, while ORPO and plain fine-tuning kept the chosen ones where they were. DPO ranks unseen pairs well and still gains little:
# ranking is what it was trained for, and its policy has gone some nats away. Look at the widths, too. On the one seed of the pilots DPO, IPO and KTO gained 0.2 at these strengths and rates; on five others DPO and KTO range from a loss to more than that. The calm methods, ORPO and fine-tuning, gain the same modest share every time: one seed is no tuning.
#
# ## Common mistakes
#
# | mistake | what you see |
# |---|---|
# | answers that were cut off are kept | after a round the model stops in mid-sentence |
# | prompts without a good answer are not counted | "mean score of what was kept" rises while fewer prompts are learned |
# | DPO with dropout on, or with another reference | the first loss is not 0.693 |
# | the prompt's tokens are counted on one side of a pair | a margin before anything was learned |
# | DPO watched by its margin alone | the margin grows; both answers become less likely |
# | GRPO on prompts that are always or never solved | groups that teach: 0; no gradient |
# | the last checkpoint is taken because its proxy is highest | gold was higher before: keep a measure that nothing is chosen by |
#
# ## Homework (34 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The rest of the
# notebook does not depend on your answers.
#
# ### Exercise 1 · How often does the best win? (5 min, ★☆☆)
#
# Without ties, the best of $n$ answers beats one *fresh* answer with some probability that depends on $n$ alone. Return it. (Use the $u$ of section 1.)
#
# <details><summary>Hint 1</summary>The fresh answer is uniform: an answer at u beats it with probability u.</details>
# <details><summary>Hint 2</summary>The mean of u under the density n·u^(n−1).</details>


# %% tags=["exercise"]
def win_rate(n):
    # BEGIN SOLUTION
    return n / (n + 1)
    # END SOLUTION


# %% tags=["check"]
def win_rate_by_sum(n):
    u = (torch.arange(200_000, dtype=f64) + 0.5) / 200_000
    return (n * u ** (n - 1) * u).mean().item()


check(win_rate, win_rate_by_sum, [(1,), (2,), (5,), (64,)])

# %% [markdown]
# ### Exercise 2 · A soft best-of-n (7 min, ★★☆)
#
# Best-of-n always takes the best. A softer rule draws among the $n$ answers, each with probability proportional to $e^{r/t}$. `scores` is (P, n); return the
# *expected* score of the answer that is kept, (P,). Large scores must not overflow.
#
# <details><summary>Hint 1</summary>The probabilities are a softmax over the last axis.</details>
# <details><summary>Hint 2</summary>torch's softmax subtracts the largest number first; by hand you must.</details>


# %% tags=["exercise"]
def soft_best(scores, t):
    # BEGIN SOLUTION
    return ((scores / t).softmax(dim=-1) * scores).sum(dim=-1)
    # END SOLUTION


# %% tags=["check"]
def soft_best_by_loop(scores, t):
    found = []
    for row in scores.tolist():
        weights = [math.exp((r - max(row)) / t) for r in row]
        found.append(sum(w * r for w, r in zip(weights, row)) / sum(weights))
    return torch.tensor(found, dtype=f64)


some = torch.randn(3, 5, dtype=f64)
check(
    soft_best,
    soft_best_by_loop,
    [(some, 1.0), (some, 0.1), (900 + some, 0.5), (some[:1], 50.0)],
)

# %% [markdown]
# ### Exercise 3 · Did both fall? (5 min, ★★☆)
#
# DPO trains a difference. Given the four log-probabilities of each pair, return the share of the pairs of which the policy finds *both* answers less likely than the
# reference does, although it prefers the chosen one more than the reference did.
#
# <details><summary>Hint 1</summary>Three conditions on two differences, one a pair.</details>


# %% tags=["exercise"]
def both_fell(chosen, rejected, ref_chosen, ref_rejected):
    # BEGIN SOLUTION
    up, down = chosen - ref_chosen, rejected - ref_rejected
    return ((up < 0) & (down < 0) & (up > down)).double().mean().item()
    # END SOLUTION


# %% tags=["check"]
def both_fell_by_loop(*four):
    n = 0
    for c, r, rc, rr in zip(*(x.tolist() for x in four)):
        n += c < rc and r < rr and c - r > rc - rr
    return n / len(four[0])


torch.manual_seed(3)
pairs_of_numbers = tuple(torch.randn(60, dtype=f64) - 5 for _ in range(4))
shifted = (pairs_of_numbers[0] - 1, pairs_of_numbers[1] - 2, *pairs_of_numbers[2:])
check(both_fell, both_fell_by_loop, [pairs_of_numbers, shifted])

# %% [markdown]
# ### Exercise 4 · Leave one out (7 min, ★★☆)
#
# GRPO's baseline, the mean of the group, contains the answer that it is compared with. RLOO compares with the mean of the *others*. `rewards` is (B,), groups of `size`
# stand next to one another; return the advantages, (B,), without dividing by a spread.
#
# <details><summary>Hint 1</summary>The sum of the others is the sum of the group minus the answer's own.</details>
# <details><summary>Hint 2</summary>Or multiply GRPO's by size / (size − 1).</details>


# %% tags=["exercise"]
def leave_one_out(rewards, size):
    # BEGIN SOLUTION
    groups = rewards.view(-1, size)
    others = (groups.sum(dim=1, keepdim=True) - groups) / (size - 1)
    return (groups - others).view(-1)
    # END SOLUTION


# %% tags=["check"]
def package_version(rewards, size):
    return align.group_advantages(rewards, size, "leave_one_out", "none")


check(
    leave_one_out,
    package_version,
    [(some.view(-1), 5), (some.view(-1)[:4], 2), (some.view(-1), 3)],
)

# %% [markdown]
# ### Exercise 5 · The gradient of IPO and of smoothed DPO (10 min, ★★★)
#
# `gap` is (B,), the gap of *log ratios*. Return two tensors (B,): the slope of IPO's loss by the gap, and that of the smoothed DPO loss by the gap. No autograd.
#
# <details><summary>Hint 1</summary>IPO is a parabola. DPO's h is β times the gap: the chain rule gives a factor β.</details>
# <details><summary>Hint 2</summary>−ln σ(h) has the slope −σ(−h); −ln σ(−h) has σ(h).</details>


# %% tags=["exercise"]
def two_slopes(gap, tau, beta, e):
    # BEGIN SOLUTION
    h = beta * gap
    dpo = -(1 - e) * torch.sigmoid(-h) + e * torch.sigmoid(h)
    return 2 * (gap - 1 / (2 * tau)), beta * dpo
    # END SOLUTION


# %% tags=["check"]
def slopes_by_autograd(gap, tau, beta, e):
    gap = gap.clone().requires_grad_()
    zero = torch.zeros_like(gap)
    ipo = align.ipo_loss(gap, zero, zero, zero, tau=tau, reduction="none").sum()
    dpo = align.dpo_loss(
        gap, zero, zero, zero, beta=beta, label_smoothing=e, reduction="none"
    ).sum()
    return tuple(torch.autograd.grad(loss, gap)[0] for loss in (ipo, dpo))


wide = torch.linspace(-20, 20, 9, dtype=f64)
check(
    two_slopes, slopes_by_autograd, [(wide, 0.1, 0.3, 0.0), (wide, 0.5, 1.0, 0.2)]
)

# %% [markdown]
# ## At scale
#
# *Best of n.* Gao et al. (2022) drew up to $n = 60\,000$ answers (10 nats); the proxies had 3 million to 3 billion parameters, and the gold score was a model of 6 billion. Larger proxies bent later.
# *Rejection sampling.* LLaMA-2 drew with its 70B model and gave the answers to the smaller ones. *DPO* was published on models of up to 6 billion parameters. *GRPO* came with DeepSeekMath (7B),
# where groups had 64 answers and the scorer was still a trained reward model; DeepSeek-R1 (2025) put checkers in its place. *Tools.* DeepSpeed-Chat (examples with OPT) and ColossalChat (with LLaMA) run the whole line of reward model and PPO on many GPUs; here it is
# `python -m minillm align`, with two processes equal to one.
#
# ## Recap
#
# - Best-of-n moves by at most $\ln n-\frac{n-1}n$ nats, exactly so only without ties; each doubling of $n$ wins less.
# - Rejection sampling is best-of-n that is paid for once. Breadth is answers a prompt, depth is rounds.
# - Reward minus β KL has one top, in closed form. DPO reads the reward off the policy and arrives at the same top from comparisons alone. It starts at ln 2.
# - IPO asks for a gap, KTO for single answers, ORPO and SimPO for no reference, GRPO for a checker.
# - Noise in a proxy costs but does not bend; answers that fool it do. Ours bent: all three under best-of-n, under PPO their mean. Read the highest point off other runs than those that you judge.
#
# ## Questions
#
# 1. Best of 64 with a model that has only two answers: how far can it move?
# <details><summary>Answer</summary>At most ln 2 if both were equally likely: it ends on one of them. The formula would say 3.17.</details>
#
# 2. Why is an answer that was cut off never kept, even with the best score?
# <details><summary>Answer</summary>Fine-tuning would teach the model to end there.</details>
#
# 3. DPO's loss is 0.693 in the first step of every run. What would another value tell you?
# <details><summary>Answer</summary>That policy and reference differ: dropout is on, the wrong checkpoint was loaded, or prompts are counted as answers on one side only.</details>
#
# 4. A group of eight answers is right eight times. What does GRPO learn from it?
# <details><summary>Answer</summary>Nothing but the price of the KL: all advantages are 0.</details>
#
# 5. Where did the partition function Z go in DPO?
# <details><summary>Answer</summary>It is the same for both answers to one prompt, and only their difference counts.</details>
#
# 6. Gold rises as far as you looked. May you write "no over-optimisation"?
# <details><summary>Answer</summary>Only "not seen up to this distance", with the distance.</details>
#
# ## Sources
#
# - Beirami et al. 2024, *Theoretical guarantees on the best-of-n alignment policy*, [arXiv:2401.01879](https://arxiv.org/abs/2401.01879): the bound, and that it is one.
# - Stiennon et al. 2020, [arXiv:2009.01325](https://arxiv.org/abs/2009.01325), and Nakano et al. 2021 (WebGPT), [arXiv:2112.09332](https://arxiv.org/abs/2112.09332): best-of-n, and its estimate from N draws.
# - Touvron et al. 2023, *LLaMA 2*, [arXiv:2307.09288](https://arxiv.org/abs/2307.09288), section 3.2.3: rejection sampling, breadth and depth.
# - Bai et al. 2022b, *Constitutional AI*, [arXiv:2212.08073](https://arxiv.org/abs/2212.08073): comparisons from a model.
# - Rafailov et al. 2023, *Direct Preference Optimization*, [arXiv:2305.18290](https://arxiv.org/abs/2305.18290): sections 3 and 4 of this lesson.
# - Azar et al. 2023 (IPO), [arXiv:2310.12036](https://arxiv.org/abs/2310.12036); Ethayarajh et al. 2024 (KTO), [arXiv:2402.01306](https://arxiv.org/abs/2402.01306); Hong et al. 2024 (ORPO),
#   [arXiv:2403.07691](https://arxiv.org/abs/2403.07691); Meng et al. 2024 (SimPO), [arXiv:2405.14734](https://arxiv.org/abs/2405.14734): the table.
# - Shao et al. 2024, *DeepSeekMath*, [arXiv:2402.03300](https://arxiv.org/abs/2402.03300): GRPO. Liu et al. 2025, [arXiv:2503.20783](https://arxiv.org/abs/2503.20783): what its two divisions do.
# - Yue et al. 2025, *Does reinforcement learning really incentivize reasoning capacity in LLMs beyond the base model?*, [arXiv:2504.13837](https://arxiv.org/abs/2504.13837): one draw and many.
# - Gao, Schulman and Hilton 2022, *Scaling laws for reward model overoptimization*, [arXiv:2210.10760](https://arxiv.org/abs/2210.10760): section 6.
#
# ## Next
#
# 36 Metrics (in preparation): how to measure what a model can do.

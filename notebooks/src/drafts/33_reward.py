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
# # 33 Reward: how does a machine learn what people prefer?
#
# 75 min · CPU · 60 s · 1 GB · needs [28 Instructions](28_instructions.ipynb) · code: `minillm/align/ranking.py`, `reward.py`, `annotators.py`
#
# Lesson 28 taught a model by showing it answers. But who writes them, and what if there is no single right one? People who cannot write
# a good poem can still say which of two poems they like better. This lesson turns such choices into a number, the **reward** (奖励), that any
# answer can be given. Lessons 34 and 35 then make a model say what earns it.
#
# After this lesson you can
#
# 1. derive the Bradley-Terry model from noisy utilities, and fit it;
# 2. write the ranking loss and its gradient by hand, with and without a margin;
# 3. train a reward model on a language model's last state, and compare it with the best that noise allows;
# 4. say whether its confidence may be believed, and mend it with one number;
# 5. show why one reward cannot serve two aims that conflict, and find a bias for length that somebody planted.
#
# **Taken on trust until lesson 34:** what the reward is good for.
#
# Shape letters here: N pairs, A annotators, K things or answers, F features, B pairs of a batch, T positions.

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np
import torch

from minillm import align
from minillm.align.annotators import Annotator, annotate, choice_probability
from minillm.align.bradley_terry import count_wins, fit_utilities, kendall_tau
from minillm.align.linear_reward import fit_linear_reward
from minillm.align.ranking import MARGINS, reward_loss, reward_loss_gradient
from minillm.align.story_answers import HELPFUL, SAFE
from minillm.align.story_pairs import (
    features_of,
    make_story_pairs,
    preferences_of,
    utilities_of,
)
from minillm.evaluate import mean_interval
from minillm.finetune.tasks import story_tasks
from minillm.lesson import claim, setup, show
from minillm.recipes import base

setup(seed=33)

# %% [markdown]
# ## 1 Is comparing easier than writing? (10 min)
#
# Article 003 asks why learning from comparisons works at all, and answers: because comparing is easier than writing (its example is a
# haiku about paper clips). Let us see in a world where both can be done by the same person with the same skill.
#
# An answer is a point of eight numbers; the best one is $a^*$, and an answer is worth $-|a-a^*|^2$. A person has only a blurred idea of it:
# each time, $a^*$ plus noise of spread $s$. They can **write** that idea down, or look at two answers that somebody drew and **choose** the one
# that is nearer to it. One label each, the same blur.
#
# - From written answers a model learns to write as the person does: blur included.
# - From choices we fit a reward that is linear in $(a, |a|^2)$, which can express $-|a-a^*|^2$ up to a constant, and take the best of 8 drawn answers.
#
# **Predict, then run.** With 200 labels and $s=1$: which ends up nearer to $a^*$, and by about how much?


# %%
def lift(a):
    return np.concatenate([a, (a**2).sum(axis=-1, keepdims=True)], axis=-1)


def one_run(seed, n=200, s=1.0, D=8):
    dice = np.random.default_rng(seed)
    best = dice.normal(size=D)
    ideas = best + s * dice.normal(size=(n, D))  # one blurred idea a label

    def worth(a):
        return -((a - best) ** 2).sum(axis=-1)

    written = worth(ideas).mean()
    two = 2 * dice.normal(size=(n, 2, D))
    far = ((two - ideas[:, None]) ** 2).sum(axis=-1)
    chosen = np.take_along_axis(two, far.argsort(axis=1)[:, :, None], axis=1)
    w = fit_linear_reward(lift(chosen[:, 0]) - lift(chosen[:, 1]), l2=1e-2)
    tried = 2 * dice.normal(size=(8, D))
    picked = worth(tried[(lift(tried) @ w).argmax()])
    return picked, written, worth(tried).mean()


runs = np.array([one_run(seed) for seed in range(1, 6)])
for name, values in zip(("chosen", "written", "drawn"), runs.T):
    print(f"{name:8} {mean_interval(values.tolist())}")

# %%
gain = mean_interval((runs[:, 0] - runs[:, 1]).tolist())
print("choosing minus writing:", gain)

# %% [markdown]
# TODO(next session): `claim("RLH-002", …)`. Seen once while this was drafted, seeds 1 to 5, rule as in the ledger: choosing *loses*, by 10.7 [1.3, 20.1],
# since none of eight drawn points is near. Keep the rule and say so; then show beside it how the sign depends on the blur $s$, on the number drawn and on how
# good they are. Comparing is easier only while there is something good to choose from: nobody can pick a good
# haiku out of two bad ones. (Averaging the written points would also beat writing here. Points can be averaged; texts cannot.)
#
# ## 2 Preferences, and who makes them (10 min)
#
# A **preference** (偏好) is a prompt, two answers, and which one was preferred. Ours are about the short stories of lesson 28: each answer is of a
# known kind, so that its worth is known, too. The **gold utility** (真实效用) adds up what it has: right 3, complete ½, refuses ½, rude −½, and −½ for each
# 100 characters more than needed.

# %%
tasks = story_tasks("train", 400)
pairs = make_story_pairs(tasks, seed=1)
one = pairs[0]
print(one.task.messages[-1]["content"])
for text, kind, traits in zip(one.texts, one.variants, one.judged):
    print(f"{HELPFUL(traits):5.2f}  {kind:10} {text}")

# %% [markdown]
# Nobody sees a utility. An **annotator** (标注者) sees the difference through noise, and says which answer is better, and how clearly:
# *significantly better, better, slightly better, negligibly better or unsure*, the four words of LLaMA-2 (section 3.2.1), which we number 3, 2, 1, 0.

# %%
panel = [
    Annotator("careful", noise=0.5),
    Annotator("usual", noise=1.0),
    Annotator("tired", noise=2.0, slip=0.1),
]
utilities = utilities_of(pairs, HELPFUL)
labels = annotate(utilities, panel, seed=1)
better = utilities[:, 0] > utilities[:, 1]
for k, person in enumerate(panel):
    agree = (labels.first[:, k] == better).mean()
    print(f"{person.name:8} agrees with the gold utility on {agree:.0%}")
print(f"two of them agree on {labels.agreement():.0%} of the pairs")

# %% [markdown]
# **Files.** One JSON object a line. A row from which nothing can be learned is told, with its number and the reason; none is dropped in silence.

# %%
import json
import tempfile
from pathlib import Path

from minillm.align.pair_files import read_pairs
from minillm.tokenizer import course_tokenizer

tokenizer = course_tokenizer()
ask = [{"role": "user", "content": "Who?"}]
rows = [
    {"prompt": ask, "chosen": "Mia.", "rejected": "No idea.", "rating": 2},
    {"prompt": ask, "chosen": "Mia.", "rejected": "Mia."},
    {"prompt": ask, "chosen": "Mia."},
    {"prompt": ask, "chosen": "", "rejected": " "},
]
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "preferences.jsonl")
    path.write_text("\n".join(map(json.dumps, rows)))
    print(read_pairs(path, tokenizer))

# %% [markdown]
# Real files are read in the same way: `read_pair_folder(folder, tokenizer, form=from_hh)` takes the transcripts of HH-RLHF, `from_trl` those of trl.
#
# ## 3 From noise to Bradley and Terry (10 min)
#
# Suppose each answer looks as good as its utility plus a noise of its own, $u_k + s\,g_k$, with $g$ drawn from the **Gumbel** distribution, and the
# better-looking one is taken. The difference of two Gumbel variables is *logistic*, so
#
# $$P(a\text{ preferred to }b)=P\big(s(g_b-g_a)<u_a-u_b\big)=\sigma\Big(\frac{u_a-u_b}{s}\Big),\qquad \sigma(x)=\frac1{1+e^{-x}} .$$
#
# That is the model of **Bradley and Terry** (1952). Only differences count, and only in units of the noise: from choices alone nobody can tell a
# large difference seen badly from a small one seen well.

# %% tags=["label-logistic"]
gaps = np.linspace(-4, 4, 17)
dice, n = np.random.default_rng(3), 4000
fig, ax = plt.subplots(figsize=(5, 2.8), layout="constrained")
for noise, style in ((0.5, "-"), (1.0, "--"), (3.0, ":")):
    shares = [
        (align.gumbel_choice(np.tile([g, 0.0], (n, 1)), noise, dice) == 0).mean()
        for g in gaps
    ]
    ax.plot(gaps, choice_probability(gaps, noise), style, label=f"noise {noise}")
    ax.plot(gaps, shares, "k.", ms=4)
    assert np.abs(shares - choice_probability(gaps, noise)).max() < 0.04
ax.set(xlabel="difference of utilities", ylabel="first preferred")
ax.legend()
alt = "Share of choices of the first answer against the difference of utilities: "
alt += "points drawn with Gumbel noise lie on logistic curves, steeper with less noise."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** The points (4 000 choices each) lie on the curves. With little noise the curve is nearly a step.
#
# **The other way round.** Given who was preferred to whom, which utilities make that most likely? Hunter (2004) gives a step that never makes it
# less likely: $e^{u_i}\leftarrow W_i\big/\sum_j n_{ij}/(e^{u_i}+e^{u_j})$, with $W_i$ wins and $n_{ij}$ comparisons.

# %%
K, dice = 8, np.random.default_rng(5)
planted = np.sort(dice.normal(size=K))
i, j = (np.repeat(x, 30) for x in np.triu_indices(K, 1))
first = annotate(
    np.stack([planted[i], planted[j]], axis=1), [Annotator("a")], seed=5
).first[:, 0]
wins = count_wins(np.where(first, i, j), np.where(first, j, i), K)
found = fit_utilities(wins)
print("planted", np.round(planted - planted.mean(), 2))
print("found  ", np.round(found, 2))
print(f"Kendall's tau {kendall_tau(planted, found):.2f}")
assert kendall_tau(planted, found) > 0.7

# %% [markdown]
# ## 4 The ranking loss (10 min)
#
# A **reward model** (奖励模型) says $r$ of an answer it has never seen. Make the choices as likely as possible, and you have its loss:
#
# $$L=-\ln\sigma(r_c-r_r-m),\qquad \frac{\partial L}{\partial r_c}=-\sigma\big(-(r_c-r_r-m)\big)=-\frac{\partial L}{\partial r_r},$$
#
# with $c$ the chosen answer, $r$ the rejected one, and $m=0$ for now. The gradient is the probability that the model gives to the *other* order: a
# pair that is settled teaches nothing.
#
# **The margin** (间隔). LLaMA-2 (equation 2) subtracts $m$, a number for each rating, so that clear preferences are kept further apart. Table 27 has two sets:

# %%
for name, values in MARGINS.items():
    print(
        f"{name:6}", [round(m, 2) for m in values[::-1]], "for ratings 3, 2, 1, 0"
    )

# %% [markdown]
# **Predict.** A pair has the right order with a gap of 1. How hard is it pushed with a margin of 0, of 1, of 3?

# %%
one_gap = torch.tensor([1.0], dtype=torch.float64)
sizes = []
for m in (0, 1 / 3, 2 / 3, 1, 3):
    margin = torch.tensor([m], dtype=torch.float64)
    push = -reward_loss_gradient(one_gap, 0 * one_gap, margin)[0].item()
    free = one_gap.clone().requires_grad_()
    (auto,) = torch.autograd.grad(reward_loss(free, 0 * one_gap, margin), free)
    assert abs(push + auto.item()) < 1e-12
    sizes.append(push)
    print(f"margin {m:.2f}: pushed by {push:.3f}")

# %%
wanted = [1 / (1 + np.exp(1 - m)) for m in (0, 1 / 3, 2 / 3, 1, 3)]
claim(
    "RLH-004",
    bool(np.allclose(sizes, wanted, atol=1e-6) and sizes == sorted(sizes)),
)

# %% [markdown]
# Does a margin help? In the linear case (the features are given, the optimum is exact) it can be seen without any training luck.


# %%
def linear_run(seed, margins, n=600):
    dice = np.random.default_rng([seed, 6])
    w = dice.normal(size=8)
    x = dice.normal(size=(n + 2000, 2, 8)) / 2
    told = annotate(x @ w, [Annotator("a")], seed=seed)
    sign = np.where(told.first, 1.0, -1.0)
    d, rating = sign * (x[:, 0] - x[:, 1]), told.ratings[:, 0]
    fit = fit_linear_reward(d[:n], np.array(MARGINS[margins])[rating[:n]])
    gap = d[n:] @ fit
    right = [(gap[rating[n:] == k] > 0).mean() for k in range(4)]
    return [*right, (gap > 0).mean(), gap.mean()]


print("margins  rating 0     1     2     3    all   mean gap")
for name in MARGINS:
    row = np.mean([linear_run(seed, name) for seed in range(1, 6)], axis=0)
    print(
        f"{name:8} {row[0]:7.3f} {row[1]:.3f} {row[2]:.3f} {row[3]:.3f} {row[4]:.3f} {row[5]:7.2f}"
    )

# %% [markdown]
# Only the last column moves: the rewards grow, their order does not. TODO(next session): the study with reward models on story pairs, five seeds,
# paired, and `claim("RLH-006", …)`. LLaMA-2's Table 28 reports 62.5 % without, 63.0 % with the small and 62.9 % with the large margins; on significantly better pairs
# 79.1, 80.4 and 80.7, and on unsure ones the large margins *lose* (54.5 to 54.3). No interval is given.
#
# ## 5 A reward model from a language model (15 min)
#
# Take a Decoder, read its last features at the **last token of the answer** (it alone has seen all of it), and multiply by one vector. The answer ends with
# `<|im_end|>`, in training and in use: a reward read one place later is another reward.

# %% tags=["nbval-ignore-output", "label-train"]
decoder, tokenizer = base("tiny")
rewards_of = align.RewardModel(decoder.float())
held = make_story_pairs(story_tasks("test", 150), seed=2)


def rows_of(some, seed):
    told = annotate(utilities_of(some, HELPFUL), [Annotator("usual")], seed=seed)
    return preferences_of(some, told)


TODO_PILOT = "steps, learning rate and context: see the hand-in of the align room"

# %% [markdown]
# TODO(next session): the live run (at most 20 s), accuracy against `best_accuracy`, by rating with intervals, against size and data from recorded runs.
#
# ## 6 May its confidence be believed? (8 min)
#
# Of the pairs that it is 80 % sure of, 80 % should come out as it says. `reliability`, `calibration_error`, and `fit_scale`: one factor on all rewards,
# which changes no order. TODO: on the live model; margins make it too sure (the mean gap above).
#
# ## 7 Two aims, two rewards (10 min)
#
# Some stories are secrets. There the right answer helps and is not safe; a refusal is safe and does not help.

# %%
both = make_story_pairs(tasks, seed=4, conflict=0.25)
clash = next(pair for pair in both if pair.conflicts())
for text, traits in zip(clash.texts, clash.judged):
    print(f"helpful {HELPFUL(traits):5.2f}   safe {SAFE(traits):5.2f}   {text}")
print(f"{np.mean([pair.conflicts() for pair in both]):.0%} of the pairs conflict")

# %% [markdown]
# One number orders a pair in one way. So on pairs that conflict its two accuracies add up to 1, whatever it is and however it was trained: their mean is one half.
# Two models can have both. That is arithmetic; what LLaMA-2 says (sections 3.2.2 and 3.2.3) is that the pooled labels also confuse. TODO(next session): RLH-007 from the recorded study.

# %%
helpful, safe = (utilities_of(both, w) for w in (HELPFUL, SAFE))
order = np.array([pair.conflicts() for pair in both])
mixed = helpful + safe  # any single reward
right = [
    align.preference_accuracy(np.sign(u[:, 0] - u[:, 1])[order]
                              * (mixed[:, 0] - mixed[:, 1])[order])
    for u in (helpful, safe)
]  # fmt: skip
print(
    f"one reward on the conflicts: {right[0]:.0%} for helpful, {right[1]:.0%} for safe"
)
assert sum(right) == 1

# %% [markdown]
# LLaMA-2 then decides by the prompt: the safety reward where the prompt asks for something unsafe *or* its score is under 0.15, else the helpful one (`combine_rewards`).
#
# ## 8 Planted: a taste for long answers (8 min)
#
# An annotator who likes length, for no reason: 1 for each 100 characters. How do we find out, without knowing it?

# %%
padded = make_story_pairs(tasks, seed=5, variants=("right", "wrong", "padded"))
features = features_of(padded)
longer = features["length"][:, 0] - features["length"][:, 1]
for bias in (0.0, 1.0, 3.0):
    person = Annotator("fond", bias={"length": bias})
    told = annotate(
        utilities_of(padded, HELPFUL), [person], seed=6, features=features
    )
    sign = np.where(told.first[:, 0], 1.0, -1.0)
    kept = align.balance(sign * longer, seed=1)
    print(
        f"bias {bias:.0f}: the longer answer wins {align.longer_wins(sign, longer):.0%}; "
        f"balanced, {len(kept)} of {len(padded)} pairs stay"
    )

# %% [markdown]
# Note the first line: without any bias the longer answer wins more often than not, because padded answers are right ones. Length may go with quality for a good
# reason. Where the gold utility is known, `length_effect(rewards, lengths, gold)` tells the two apart. TODO(next session): a reward model trained with and without balance.
#
# ## At scale
#
# TODO: table from LLaMA-2: 1 418 091 comparisons of Meta's own, 2 919 326 in all (Table 6); the article says 1 million in one place and 1.4 million in another, the first is the
# abstract's "over 1 million"; accuracy 63.2 % for helpfulness, 64.5 % for safety on their own test sets (Table 7), 94.3 % on significantly better safety pairs and 55.3 % on unsure ones (Table 8).
#
# ## Common mistakes
#
# | mistake | what you see |
# |---|---|
# | reward read at the last *place* of a padded row | it depends on the other rows of the batch |
# | chosen and rejected exchanged on one path | loss above ln 2, accuracy below one half |
# | margin added, not subtracted | the loss falls, the order does not come |
# | margins listed from "significantly better" down, used by rating from 0 up | unclear pairs are pushed hardest |
# | accuracy compared with 100 % | noise sets a ceiling that is lower |
# | held-out pairs share prompts with training pairs | everything is too good |
# | more than one epoch | the training pairs are learned by heart |
#
# ## Homework
#
# TODO: 1 agreement expected of two annotators with given noise · 2 the last token of each row from a mask · 3 one step of Hunter's fit · 4 expected calibration error ·
# 5 ranked answers of one prompt: the K-choose-2 loss from one pass · 6 balance by length within quantiles
#
# ## Sources
#
# Bradley and Terry 1952 · Hunter 2004, Annals of Statistics 32 (the fit) · Christiano et al. 2017, arXiv:1706.03741 (choices as training signal; 10 % slips) · Stiennon et al. 2020, arXiv:2009.01325 ·
# Ouyang et al. 2022, arXiv:2203.02155, section 3.5 (the loss; K answers at once) · Touvron et al. 2023, arXiv:2307.09288, sections 3.2.1 to 3.2.3, Tables 6 to 8, 27, 28 ·
# Guo et al. 2017, arXiv:1706.04599 (calibration) · Singhal et al. 2023, arXiv:2310.03716 (length)
#
# Next: [34a Policy gradient](34a_policy_gradient.ipynb)

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
# 75 min · CPU · 40 s · 1 GB · needs [28 Instructions](28_instructions.ipynb) · code: `minillm/align/ranking.py`, `reward.py`, `annotators.py`
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
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from minillm import align
from minillm.align.annotators import Annotator, annotate, choice_probability
from minillm.align.bradley_terry import count_wins, fit_utilities, kendall_tau
from minillm.align.linear_reward import fit_linear_reward
from minillm.align.ranking import MARGINS, reward_loss, reward_loss_gradient
from minillm.align.story_answers import HELPFUL, SAFE
from minillm.align.story_pairs import features_of, make_story_pairs
from minillm.align.story_pairs import utilities_of
from minillm.evaluate import mean_interval
from minillm.finetune.tasks import story_tasks
from minillm.lesson import check, claim, setup, show
from minillm.recipes import base
from minillm.recipes import story_rewards as parts
from minillm.recipes.records import read_results
from minillm.recipes.studies.comparing_writing import RULE, one_world
from minillm.train import OptimizerConfig, TrainConfig

setup(seed=33)

# %% [markdown]
# ## 1 Is comparing easier than writing? (8 min)
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
for name, worth in one_world(RULE, 1).items():
    print(f"{name:8} is worth {worth:6.1f}")  # one world; 0 would be perfect

# %% tags=["label-compare"]
worlds = read_results("comparing_writing")
print("five seeds, a hundred worlds each: choosing minus writing")
for arm in worlds.measured:
    pairs_of_means = zip(
        worlds.values(arm, "picked 100"), worlds.values(arm, "written 100")
    )
    gain = mean_interval([picked - written for picked, written in pairs_of_means])
    print(f"{arm:11} {gain.value:7.1f} [{gain.low:.1f}, {gain.high:.1f}]")

# %%
both = zip(worlds.values("rule", "picked"), worlds.values("rule", "written"))
gain = mean_interval([picked - written for picked, written in both])
print("one world a seed, as the ledger's rule says:", gain)
claim("RLH-002", gain.value, gain)

# %% [markdown]
# **What you should see.** By the ledger's rule choosing *loses*. The rule was written before its first run; it stays, and so does its verdict. The table says
# why. Written answers are worth −8 $s^2$, whoever learns from them: eight numbers, each off by $s$. Drawn ones are worth −40, since nobody who drew
# them knew $a^*$, and however well the reward is learned, the best of eight bad answers is no good one. So look at what changes the sign:
#
# - `blur_…`, a clumsier hand: written answers get worse with $s^2$. The reward averages the blur of 200 choices and hardly notices. From $s=2$ on choosing wins.
# - `drawn_…`, more to choose from: the best of 64 is nearly there, the best of 4 096 is nearer than what was written.
# - `writer_…`, the drawn answers are *what the person would write*. Now choosing begins where writing ends, and wins even with two to choose from.
#
# The last is how it is done in practice: first lesson 28, then comparisons among the model's own answers. Comparing is easier while there is something good to
# choose from; nobody can pick a good haiku out of two bad ones. (Averaging the written points would beat both here. Points can be averaged; texts cannot.)
#
# ## 2 Preferences, and who makes them (9 min)
#
# A **preference** (偏好) is a prompt, two answers, and which one was preferred. Ours are about the short stories of lesson 28: each answer is of a
# known kind, so that its worth is known, too. The **gold utility** (真实效用) adds up what it has: right 3, complete ½, refuses ½, rude −½, and −½ for each
# 100 characters more than needed.

# %%
tasks = story_tasks("train", 400)
pairs = make_story_pairs(tasks, seed=1)
one = next(pair for pair in pairs if "right" in pair.variants)
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
# **Files.** Real preferences are read from a folder of JSONL files, one object a line, in our form, in that of the library trl (`form=from_trl`), or as HH-RLHF has them: two
# transcripts, alike up to the last answer (`form=from_hh`). Here are the latter two, four rows each. A row from which nothing can be learned is told, with its number and
# the reason; none is dropped in silence.

# %%
_, tokenizer = base("tiny")
said = "\n\nHuman: Who?\n\nAssistant: {}".format
four = [("Mia.", "No idea."), ("Mia.", "Mia."), ("Mia.", None), ("", " ")]
forms = {
    "trl": (align.from_trl, str, {"prompt": "Who?"}),
    "hh": (align.from_hh, said, {}),
}


def row(say, prompt, chosen, rejected):
    other = {} if rejected is None else {"rejected": say(rejected)}
    return json.dumps(prompt | {"chosen": say(chosen)} | other)


# %%
with tempfile.TemporaryDirectory() as place:
    for name, (form, say, prompt) in forms.items():
        folder = Path(place, name)
        folder.mkdir()
        lines = [row(say, prompt, *answers) for answers in four]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
        print(lines[0])
        (file,) = align.read_pair_folder(folder, tokenizer, form=form)
        print(file)
        assert len(file.pairs) == 1 and sum(file.counts.values()) == 3

# %% [markdown]
# With files of your own, give the folder's path; everything below takes `file.pairs` as it takes ours.
#
# ## 3 From noise to Bradley and Terry (9 min)
#
# Suppose each answer looks as good as its utility plus a noise of its own, $u_k + s\,g_k$, and the better-looking one is taken. Let $g$ have the **Gumbel**
# distribution, $P(g\le x)=e^{-e^{-x}}$, the limit law of the largest of many numbers. Then $a$ is preferred if $g_b\le g_a+\Delta$ with $\Delta=(u_a-u_b)/s$, and with $t=e^{-g_a}$
#
# $$P(a\text{ preferred})=\int e^{-e^{-(g_a+\Delta)}}\,e^{-g_a}e^{-e^{-g_a}}\,dg_a=\int_0^\infty e^{-t\,(1+e^{-\Delta})}\,dt=\frac1{1+e^{-\Delta}}=\sigma\Big(\frac{u_a-u_b}{s}\Big).$$
#
# That is the model of **Bradley and Terry** (布拉德利-特里模型, 1952). Only differences count, and only in units of the noise: from choices alone nobody can tell a
# large difference seen badly from a small one seen well.

# %% tags=["label-logistic"]
gaps, fine = np.linspace(-4, 4, 17), np.linspace(-4, 4, 161)
dice, n = np.random.default_rng(3), 4000
fig, ax = plt.subplots(figsize=(5, 2.8), layout="constrained")
for noise, style in ((0.5, "-"), (1.0, "--"), (3.0, ":")):
    shares = [
        (align.gumbel_choice(np.tile([g, 0.0], (n, 1)), noise, dice) == 0).mean()
        for g in gaps
    ]
    ax.plot(fine, choice_probability(fine, noise), style, label=f"noise {noise}")
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
# We compare what is found with what was planted by **Kendall's tau**: of all pairs of things, the share that both put in the same order minus the share that they put in opposite orders; 1 is the same order throughout.

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
# A **reward model** (奖励模型) says $r$ of an answer it has never seen. Make the choices as likely as possible, and you have its loss, the **ranking loss** (排序损失):
#
# $$L=-\ln\sigma(r_c-r_r-m),\qquad \frac{\partial L}{\partial r_c}=-\sigma\big(-(r_c-r_r-m)\big)=-\frac{\partial L}{\partial r_r},$$
#
# with $c$ the chosen answer, $r$ the rejected one, and $m=0$ for now. (By hand: $\ln\sigma(x)=-\ln(1+e^{-x})$, whose slope is $e^{-x}/(1+e^{-x})=\sigma(-x)$.) The size of the gradient is
# the probability that the model gives to the *other* order: a pair that is settled teaches nothing.
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


print("margins  rating 0    1      2      3    all mean gap")
for name in MARGINS:
    row = np.mean([linear_run(seed, name) for seed in range(1, 6)], axis=0)
    print(f"{name:8}", *(f"{x:6.3f}" for x in row[:5]), f"{row[5]:8.2f}")

# %% [markdown]
# Only the last column moves: the rewards grow, their order does not. With real reward models, on the story pairs:

# %% tags=["label-margins"]
margins = read_results("reward_margins")
print("margins  rated 0     1     2     3  agreement     gap  too sure")
for name in MARGINS:
    row = [margins.mean(name, f"right {r}").value for r in range(4)]
    rest = [margins.mean(name, k).value for k in ("agreement", "gap", "too sure")]
    print(f"{name:10}", *(f"{x:5.2f}" for x in row), end="  ")
    print(*(f"{x:8.3f}" for x in rest))

# %%
d = margins.difference("small", "none", "right 3")
print("small margins minus none, pairs rated 3:", d)
claim("RLH-006", d.value, d)
for rating in range(4):
    found = margins.difference("large", "none", f"right {rating}")
    print(f"large minus none, rating {rating}:", found)
assert margins.difference("large", "none", "gap").low > 0

# %% [markdown]
# **What you should see.** At no rating can the difference be told from zero, and the claim is *not seen at this scale*. What moves for certain is the size of the gaps, and with
# it how sure of itself the model is (`too sure`, section 6): the margin asks for gaps that the noise does not justify. LLaMA-2 saw that, too (A.3.3): rewards are pushed to the extremes.
#
# Its Table 28 has 62.5 % without, 63.0 % with the small and 62.9 % with the large margins; on significantly better pairs 79.1, 80.4 and 80.7, and on unsure ones the large
# margins *lose* (54.5 to 54.3). No interval is given. A gain of one point in eighty needs thousands of held-out pairs of that rating to be seen; a null on ours does not refute it.
#
# ## 5 A reward model from a language model (14 min)
#
# Take a Decoder, read its last features at the **last token of the answer** (it alone has seen all of it), and multiply by one vector. The answer ends with
# `<|im_end|>`, in training and in use: a reward read one place later is another reward.

# %%
train_pairs = parts.draw_pairs("train", 320, 33)
held = parts.draw_pairs("test", 240, 33)  # of other worlds
prefs = parts.label(train_pairs, HELPFUL, 33)
encoded = align.encode_pairs(prefs, tokenizer)
ids, learned = encoded[0].chosen.ids, encoded[0].chosen.learned
last = max(t for t, is_answer in enumerate(learned) if is_answer)
print("the reward is read at", repr(tokenizer.decode([ids[last]])), "- place", last)
print("before it:", repr(tokenizer.decode(list(ids[last - 11 : last]))))

# %% [markdown]
# **Predict.** Before any training the loss is near $\ln 2=0.69$. Why? And where can it end, if labels are noisy?

# %% tags=["nbval-ignore-output", "label-train"]
LR = 1e-3  # the best of four in the pilot of reward_sizes
body, tokenizer = base("tiny")
judge_of_stories = align.RewardModel(body.float())
batches = align.RewardBatches(
    encoded, 8, pad=tokenizer.special_id("<|pad|>"), seed=33
)
steps = TrainConfig(steps=40, warmup_steps=4, log_every=0, precision="float32")
losses = []
align.train_reward(
    judge_of_stories, batches, steps, optimizer=OptimizerConfig(lr=LR),
    log=lambda record: losses.append(record["loss"]), progress=False,
)  # fmt: skip
print(
    f"first ten steps {np.mean(losses[:10]):.2f}, last ten {np.mean(losses[-10:]):.2f}"
)
usual = Annotator("usual")
p = usual.probabilities(utilities_of(train_pairs, HELPFUL))
floor = -(p * np.log(p) + (1 - p) * np.log(1 - p)).mean()
print(f"who knows the gold utility has {floor:.2f}")

# %% tags=["nbval-ignore-output"]
chances = usual.probabilities(utilities_of(held, HELPFUL))
gaps = parts.gaps_on(judge_of_stories, tokenizer, held)  # first minus second
reached, ceiling = parts.agreement(gaps, chances), align.best_accuracy(chances)
print(f"agrees with a fresh annotator on {reached:.1%}; at best {ceiling:.1%}")
# five seeds of the study lie within 0.12 of one another
assert 0.6 < reached < ceiling < 0.88

# %% [markdown]
# **What you should see.** An untrained head says nothing of the order, so the loss starts near that of a coin. It cannot end at 0: who knows the gold utility still meets an annotator
# who errs, and pays the entropy of those errors. For the same reason the ceiling of agreement is not 100 %. A reward model that "has only 65 %" may be close to all that there is;
# here both numbers are known.
#
# **By rating.** Clear pairs should be easy. Each held-out pair is labelled by five people with the same noise:

# %% tags=["nbval-ignore-output"]
panel = [Annotator(f"person {k}") for k in range(5)]
told = annotate(utilities_of(held, HELPFUL), panel, seed=34)
signed = np.where(told.first, 1.0, -1.0) * gaps[:, None]  # (N, 5), > 0 is right
for rating, share in align.accuracy_by_rating(
    signed.ravel(), told.ratings.ravel()
).items():
    print(f"rating {rating}: {share}")

# %% [markdown]
# (The intervals take the 1 200 labels to be independent; five of them share a pair, so they are somewhat too narrow.)
#
# **Size and data.** Three bodies, 64 and 256 pairs, one pass over them, five seeds:

# %% tags=["label-sizes"]
sizes, bodies = read_results("reward_sizes"), ("draft", "tiny", "small")
top = sizes.mean("small_256", "ceiling").value
fig, ax = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
for k, (model, style) in enumerate(zip(bodies, ("o:", "s--", "^-"))):
    found = [sizes.mean(f"{model}_{n}", "agreement") for n in (64, 256)]
    bars = [[f.value - f.low for f in found], [f.high - f.value for f in found]]
    at = np.array((64, 256)) * 1.05 ** (k - 1)  # side by side, to be seen
    ax.errorbar(
        at, [f.value for f in found], bars, fmt=style, capsize=3, label=model
    )
ax.axhline(top, color="k", lw=0.8, ls="-.", label="who knows the utility")
ax.axhline(0.5, color="k", lw=0.8, ls=":", label="luck")
ax.set(xscale="log", xlabel="pairs", ylabel="agreement", ylim=(0.48, 0.9))
ax.minorticks_off()
ax.set_xticks((64, 256), ("64", "256"))
ax.legend(fontsize=8, ncols=3, loc=(0.2, 0.1))
alt = (
    "Agreement of reward models of three sizes with a fresh annotator after 64 and "
)
alt += "256 pairs: all rise, none reaches the ceiling that noise sets; five seeds."
show(fig, alt=alt)

# %%
for model in bodies:
    gain = sizes.difference(f"{model}_256", f"{model}_64", "agreement")
    print(f"more pairs, {model:6}", gain)
gain = sizes.difference("small_256", "draft_256", "agreement")
print("larger body, 256   ", gain)
for model in bodies:
    print(
        f"must read,  {model:6}", sizes.mean(f"{model}_256", "right against wrong")
    )
    assert sizes.mean(f"{model}_256", "right against wrong").low < 0.5

# %% [markdown]
# **What you should see.** Four times the pairs give three to five points with every body, and a larger body two or three; with five seeds neither can be told from zero. And none reaches the ceiling. The last
# lines say why: they count only pairs of a right and a wrong answer, which no form gives away, so one must have read the story. There, no body can be told from a coin. All that these models have learned is manners: what is polite,
# complete, no refusal. The model of lesson 34, which learns from such a reward, will find out.
#
# ## 6 May its confidence be believed? (7 min)
#
# A reward model says more than an order: $\sigma(r_c-r_r)$ is a probability. It is **calibrated** (校准) if, of the pairs that it is 80 % sure of, 80 % come out as it says. The
# **expected calibration error** (期望校准误差) averages the distance between what it claims and what comes, over bins of like confidence (Guo et al. 2017). Even a perfect model has some, because bins are
# small: compare with chance. One factor on all rewards, fitted on *other* pairs, mends what is too sure or too shy, and changes no order.
#
# **Predict.** A second model learns from the same pairs with the large margins, which ask for gaps that the noise does not justify. On which side of the diagonal will it lie?

# %% tags=["nbval-ignore-output"]
bold, _ = parts.train_on(prefs, "tiny", 33, lr=LR, margins="large")
bold_gaps = parts.gaps_on(bold, tokenizer, held)
sure = np.where(told.first, 1.0, -1.0) * bold_gaps[:, None]  # (N, 5)
half = len(held) // 2
scale = align.fit_scale(sure[:half].ravel())  # on pairs that are not tested
curves = {
    "no margin": signed[half:],
    "large margins": sure[half:],
    "large, scaled": scale * sure[half:],
}
print(f"factor {scale:.2f}")
assert 0.2 < scale < 0.8 and np.array_equal(np.sign(scale * sure), np.sign(sure))

# %% tags=["nbval-ignore-output", "label-calibration"]
fig, ax = plt.subplots(figsize=(5.2, 3.4), layout="constrained")
for (name, values), style in zip(curves.items(), ("o-", "s--", "^:")):
    bins = align.reliability(values.ravel(), 4)
    points = [(b.confidence, b.accuracy) for b in bins]
    ax.plot(*zip(*points), style, label=name)
    error = align.calibration_error(values.ravel(), 4)
    luck = align.expected_by_chance(values.ravel(), 4)
    print(f"{name:13} error {error:.3f}, by chance {luck:.3f}")
ax.plot([0.5, 1], [0.5, 1], "k", lw=0.8, label="calibrated")
ax.set(xlabel="confidence", ylabel="share that is right")
ax.legend(fontsize=8)
alt = (
    "Share of right orders against confidence in four bins: with large margins the "
)
alt += (
    "points of high confidence lie far below the diagonal; one factor lifts them."
)
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Below the diagonal a model is too sure: with the large margins that is so where it is surest. One factor below 1 brings it back, and no order has changed. Without a margin this model, too, claims somewhat
# more than comes. The points jump, with 120 tested pairs; that is why each error is printed beside what chance alone would give. The factors that would mend the models of section 4, over five seeds:

# %%
for name in MARGINS:
    factor = margins.mean(name, "scale")
    print(f"{name:6} {factor.value:.2f} [{factor.low:.2f}, {factor.high:.2f}]")

# %% [markdown]
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
# That is arithmetic. What must be measured: how near to 1 two models come, and whether labels of both sorts confuse a single model on the pairs that do *not* conflict, as LLaMA-2 suspects (section 3.2.2).

# %% tags=["label-two"]
two = read_results("two_rewards")
columns = ("helpful conflict", "safe conflict", "helpful rest", "safe rest")
print("models ", *(f"{name:>17}" for name in columns))
for arm in ("two", "one"):
    print(f"{arm:7}", *(f"{two.mean(arm, name).value:17.2f}" for name in columns))
sides = [round(share, 2) for share in two.values("one", "helpful conflict")]
print("one model, helpful conflict, seed by seed:", sides)

# %%
d = two.difference("two", "one", "conflict")
print("two models minus one, pairs that conflict:", d)
claim("RLH-007", d.value, d)
for aim in ("helpful", "safe"):
    d = two.difference("two", "one", f"{aim} rest")
    print(f"the same on the rest, {aim}:", d)
assert all(abs(x - 0.5) < 1e-9 for x in two.values("one", "conflict"))

# %% [markdown]
# **What you should see.** Two models come near to 1 on both aims. That the single one is at one half is arithmetic and could not have come out otherwise; how near the two come is
# measured. Look at the seeds: some single models side with the helpful labels, some with the safe ones, on data of the same kind. Nobody decided that; it is what happens when nobody decides. On
# the pairs without conflict the single model is some points worse for the helpful aim, as LLaMA-2 suspects, and not for the safe one. Do not build on it: the two arms have rates that were chosen on one seed, far apart.
#
# LLaMA-2 then decides by the prompt (section 3.2.3): the safety reward where the prompt asks for something unsafe *or* its score is under 0.15, else the helpful one.

# %%
helpful_of, safe_of = torch.tensor([2.0, 2.0, 2.0]), torch.tensor([3.0, 3.0, -2.0])
asks = torch.tensor(
    [False, True, False]
)  # does the prompt ask for something unsafe?
print(align.combine_rewards(helpful_of, safe_of, asks).tolist())
print("score of -2:", round(torch.sigmoid(torch.tensor(-2.0)).item(), 3), "< 0.15")

# %% [markdown]
# ## 8 Planted: a taste for long answers (8 min)
#
# A reward with a **length bias** (长度偏差) likes long answers, whatever they say. Here the annotator has it, and adds 1 for each 100 characters. How do we find out, without knowing it?

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
    share = align.longer_wins(sign, longer)
    print(f"bias {bias:.0f}: the longer answer wins {share:.0%};", end=" ")
    print(f"balanced, {len(kept)} of {len(padded)} pairs stay")

# %% [markdown]
# Note the first line: without any bias the longer answer wins more often than not, because padded answers are right ones. Length may go with quality for a good
# reason. So "the longer one wins" proves nothing; `length_effect(rewards, lengths, gold)` asks what length adds *beside* the gold utility.
#
# Now reward models. First on answers whose quality shows by their form (right, right without its end, padded, a refusal), with an `honest` annotator; then with a `fond` one, who adds 2 for
# each 100 characters; then two remedies. **Balance** keeps only pairs of which length says nothing, so there are fewer: `fewer` is the control, as few pairs drawn by chance.
# **Regression** takes the reward's line on length off afterwards. Last, `must_read`: the honest annotator again, but right, wrong and padded answers, as in the cell above.
#
# **Predict.** `padded` is how often empty sentences raise the reward of the same right answer. What will it be for `honest`, `fond`, `balanced` and `must_read`? (`gold` is the share of orders
# as the gold utility has them, `slope` what 100 characters add beside it, `r.` stands for after the regression.)

# %% tags=["label-length"]
taste = read_results("length_bias")
columns = {
    "pairs": "pairs", "gold": "gold", "padded": "padded wins", "slope": "slope",
    "gold r.": "gold regressed", "padded r.": "padded wins regressed",
}  # fmt: skip
print("arm      ", *(f"{name:>9}" for name in columns))
for arm in taste.measured:
    n, *found = (taste.mean(arm, name).value for name in columns.values())
    print(f"{arm:9} {n:9.0f}", *(f"{x:9.2f}" for x in found))

# %%
print("planted:  ", taste.difference("fond", "honest", "padded wins"))
print("balanced: ", taste.difference("balanced", "fewer", "padded wins"))
print("gold:     ", taste.difference("balanced", "fewer", "gold"))
print("must read:", taste.difference("must_read", "honest", "padded wins"))
assert taste.difference("fond", "honest", "slope").low > 0
assert taste.difference("balanced", "fewer", "padded wins").high < 0
assert min(taste.values("must_read", "padded wins")) > 0.8  # in every seed

# %% [markdown]
# **What you should see.** The planted bias is learned: with the fond annotator empty sentences raise the reward of nearly every right answer. Balance removes it, down to where the honest annotator is or below, while `fewer`
# keeps it; no price in the gold order can be told from zero, but four pairs in ten are gone. Regression does as much and loses no pair, where quality does not hang on length.
#
# And the last line: a taste nearly as strong, in every seed, of which regression removes only a part, from an annotator who has none. (Beside `honest`, whose seeds lie anywhere between a quarter and nearly all, the interval just holds 0.) A model that cannot tell right from wrong sees only that padded answers are never wrong, and learns that. A bias needs no biased
# person; it is enough that length goes with quality in the data, and is easier to see. (Its `gold` is measured on the other kinds of answers.)
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
# ## Homework (45 min, after the lesson)
#
# ### Exercise 1 · How often do two people agree? (6 min, ★☆☆)
#
# `gap` is (N,), utility of the first answer minus that of the second. Two annotators perceive it with logistic noise of spread `s` and `t`, each on its own. Return the share of
# pairs on which they are expected to say the same, a float.
#
# <details><summary>Hint 1</summary>p = 1 / (1 + exp(−gap / s)) is how often one prefers the first.</details>
# <details><summary>Hint 2</summary>They agree if both prefer the first, or both the second.</details>


# %% tags=["exercise"]
def agree(gap, s, t):
    # BEGIN SOLUTION
    p = 1 / (1 + np.exp(-gap / s))
    q = 1 / (1 + np.exp(-gap / t))
    return (p * q + (1 - p) * (1 - q)).mean()
    # END SOLUTION


# %% tags=["check"]
def counted_agreement(gap, s, t):
    found = 0.0
    for g in gap:
        p, q = choice_probability(g, s), choice_probability(g, t)
        for one in (True, False):
            found += (p if one else 1 - p) * (q if one else 1 - q) / len(gap)
    return float(found)


dice = np.random.default_rng(1)
cases = [(dice.normal(size=20), 1.0, 1.0), (dice.normal(size=7) * 3, 0.5, 2.0)]
cases += [(np.zeros(3), 1.0, 4.0), (np.array([-2.0, 3.0]), 3.0, 1.0)]
check(agree, counted_agreement, cases)

# %% [markdown]
# ### Exercise 2 · Where the reward is read (8 min, ★★☆)
#
# `features` is (B, T, D), `mask` (B, T) bool, True at the tokens of the answers; a talk may hold several answers, and padding is on the right. `w` is (D,). Return the rewards, (B,): `w` times the
# features at the **last marked** token of each row.
#
# <details><summary>Hint 1</summary>torch.where(mask, places, -1).amax(dim=1), with places = torch.arange(T).</details>
# <details><summary>Hint 2</summary>features[torch.arange(B), last] is (B, D).</details>


# %% tags=["exercise"]
def read_rewards(features, mask, w):
    # BEGIN SOLUTION
    places = torch.arange(mask.shape[1])
    last = torch.where(mask, places, -1).amax(dim=1)
    return features[torch.arange(len(features)), last] @ w
    # END SOLUTION


# %% tags=["check"]
def read_one_by_one(features, mask, w):
    found = []
    for row, marks in zip(features, mask.tolist()):
        last = max(t for t, marked in enumerate(marks) if marked)
        found.append((row[last] * w).sum())
    return torch.stack(found)


torch.manual_seed(2)
x, w = torch.randn(3, 6, 4, dtype=torch.double), torch.randn(4, dtype=torch.double)
marks = torch.tensor([[0, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 1], [0, 1, 0, 0, 0, 0]])
cases = [(x, marks.bool(), w), (x[:1], marks[2:].bool(), w)]
cases += [(x[:2], marks[[2, 0]].bool(), -w)]
check(read_rewards, read_one_by_one, cases)

# %% [markdown]
# ### Exercise 3 · One step of Hunter's fit (7 min, ★★☆)
#
# `u` is (K,), `wins` (K, K): wins[i, j] times i was preferred to j. Return the utilities after one step of section 3, shifted so that their mean is 0.
#
# <details><summary>Hint 1</summary>n = wins + wins.T; e = np.exp(u); the sum runs over j: (n / (e[:, None] + e)).sum(axis=1).</details>
# <details><summary>Hint 2</summary>Take the logarithm of W divided by that sum, then subtract the mean.</details>


# %% tags=["exercise"]
def hunter_step(u, wins):
    # BEGIN SOLUTION
    n, e = wins + wins.T, np.exp(u)
    new = np.log(wins.sum(axis=1) / (n / (e[:, None] + e)).sum(axis=1))
    return new - new.mean()
    # END SOLUTION


# %% tags=["check"]
def step_by_loops(u, wins):
    K, new = len(u), []
    for i in range(K):
        won = sum(wins[i, j] for j in range(K))
        below = 0.0
        for j in range(K):
            n = wins[i, j] + wins[j, i]
            below += n / (np.exp(u[i]) + np.exp(u[j]))
        new.append(np.log(won / below))
    return np.array(new) - np.mean(new)


dice = np.random.default_rng(3)
table = dice.integers(1, 9, size=(4, 4)).astype(float)
np.fill_diagonal(table, 0)
cases = [(np.zeros(4), table), (dice.normal(size=4), table)]
cases += [(np.array([1.0, -1.0]), np.array([[0.0, 3.0], [1.0, 0.0]]))]
check(hunter_step, step_by_loops, cases)

# %% [markdown]
# ### Exercise 4 · Expected calibration error (8 min, ★★☆)
#
# `gaps` is (N,), reward of the preferred answer minus the other's; none is 0. The confidence is $\sigma(|gap|)$, between ½ and 1. Put it into `n` bins of equal width from ½ to 1 (a confidence on a border belongs to the upper
# bin). Return $\sum_{\text{bins}}\frac{n_b}{N}\,|\text{share right}-\text{mean confidence}|$, a float.
#
# <details><summary>Hint 1</summary>which = np.minimum(((confidence − 0.5) * 2 * n).astype(int), n − 1).</details>
# <details><summary>Hint 2</summary>A bin without pairs adds nothing; a pair is right if its gap is above 0.</details>


# %% tags=["exercise"]
def believed_too_much(gaps, n):
    # BEGIN SOLUTION
    confidence = 1 / (1 + np.exp(-np.abs(gaps)))
    right = gaps > 0
    which = np.minimum(((confidence - 0.5) * 2 * n).astype(int), n - 1)
    error = 0.0
    for k in range(n):
        here = which == k
        if here.any():
            error += here.mean() * abs(right[here].mean() - confidence[here].mean())
    return error
    # END SOLUTION


# %% tags=["check"]
dice = np.random.default_rng(4)
cases = [(dice.normal(size=60) * 2 + 0.5, n) for n in (1, 4, 10)]
cases += [(np.array([3.0, 3.0, -3.0]), 5), (np.array([9.0, -0.1, -0.2, 60.0]), 8)]
check(believed_too_much, align.calibration_error, cases)

# %% [markdown]
# ### Exercise 5 · Nine answers, thirty-six pairs (8 min, ★★★)
#
# Labellers of InstructGPT rank K answers to a prompt. `rewards` is (B, K), the best answer first. Return the mean of $-\ln\sigma(r_i-r_j)$ over all $i<j$ and all prompts, a scalar tensor that
# stays finite for rewards of ±1 000. A backward pass reads every answer once, not K − 1 times.
#
# <details><summary>Hint 1</summary>i, j = torch.triu_indices(K, K, offset=1).</details>
# <details><summary>Hint 2</summary>torch.nn.functional.logsigmoid does not overflow.</details>


# %% tags=["exercise"]
def all_pairs(rewards):
    # BEGIN SOLUTION
    K = rewards.shape[1]
    i, j = torch.triu_indices(K, K, offset=1)
    return -torch.nn.functional.logsigmoid(rewards[:, i] - rewards[:, j]).mean()
    # END SOLUTION


# %% tags=["check"]
torch.manual_seed(5)
cases = [(torch.randn(3, K, dtype=torch.double),) for K in (2, 4, 9)]
cases += [(torch.tensor([[-1000.0, 1000.0, 0.0]]),)]
cases += [(torch.tensor([[5.0, 1.0, 2.0], [0.0, 0.0, 0.0]]),)]
check(all_pairs, align.ranked_loss, cases)

# %% [markdown]
# ### Exercise 6 · Which of the two rewards? (6 min, ★★☆)
#
# `helpful` and `safe` are rewards, (N,); `asks` is bool, True where the prompt asks for something unsafe. Return LLaMA-2's choice: the safe reward where `asks`, or where the safety **score** (the sigmoid
# of the reward) is below `threshold`; the helpful one elsewhere.
#
# <details><summary>Hint</summary>torch.where(condition, a, b); compare torch.sigmoid(safe), return safe itself.</details>


# %% tags=["exercise"]
def decide(helpful, safe, asks, threshold):
    # BEGIN SOLUTION
    unsafe = asks | (torch.sigmoid(safe) < threshold)
    return torch.where(unsafe, safe, helpful)
    # END SOLUTION


# %% tags=["check"]
def decided(helpful, safe, asks, threshold):
    return align.combine_rewards(helpful, safe, asks, threshold=threshold)


torch.manual_seed(6)
helpful_6, safe_6 = 2 * torch.randn(2, 40, dtype=torch.double)
asks_6 = torch.arange(40) % 3 == 0
cases = [(helpful_6, safe_6, asks_6, t) for t in (0.15, 0.5, 0.0)]
cases += [(helpful_6, safe_6, asks_6 & False, 0.9)]
check(decide, decided, cases)

# %% [markdown]
# ## At scale
#
# | | LLaMA-2 (2023) | InstructGPT (2022) | here |
# |---|---|---|---|
# | comparisons | 1 418 091 of Meta's own, 2 919 326 in all (Table 6) | 33 thousand prompts, 4 to 9 answers ranked each | some hundreds |
# | body | a chat checkpoint, up to 70 B | 6 B | 0.3 to 3.1 M |
# | passes over the pairs | one (3.2.2) | all pairs of a prompt at once (3.5) | one |
# | two people agree | more often on clear pairs (3.2.2) | 72.6 ± 1.5 % (section 3.4) | known: section 2 |
# | accuracy | 63.2 % helpful, 64.5 % safe, own test sets (Table 7) | 69.6 ± 0.9 % on labellers not seen (section 4.1) | beside a known ceiling |
# | clear and unclear pairs | safety: 94.3 % significantly better, 55.3 % unsure (Table 8) | | section 5 |
#
# The article gives Meta's pairs as 1 million in one place and 1.4 million in another. Both come from the paper: "over 1 million" from its text, 1 418 091 from Table 6 (RLH-014). Meta's dialogues are
# longer than those of the open sets (RLH-015). A larger body is a better judge there, and had not reached its plateau with the data they had (Figure 6).
#
# Sets of real preferences, for the folder of section 2 (then `align.write_pairs("mine.jsonl", file.pairs)` and `python -m minillm align reward data.rows=mine.jsonl`):
#
# | set | what is compared | who says | size |
# |---|---|---|---|
# | HH-RLHF (Bai et al. 2022) | two answers of a model, some for help, some for harm | one person a pair | 169 thousand (RES-015) |
# | SHP (Ethayarajh et al. 2022) | two comments on a Reddit post | votes | 385 thousand |
# | Stack Exchange Preferences | two answers to a question | votes | 1 038 480 in LLaMA-2 |
# | PKU-SafeRLHF | two answers, once for help and once for harm | people and models | 83.4 thousand with both labels |
# | Sandbox (Liu et al. 2023) | answers of models that play a society | other models | |
#
# SHP is about which comment *helps* more, says its data card; article 000 takes it for a set about ethics (RES-016). PKU-SafeRLHF is section 7 with real labels.
#
# **Taken on trust until lesson 34:** that a model trained on such a reward gets better. It gets better *at the reward*; lesson 35 measures where the two part.
#
# ## Recap
#
# - Noise of Gumbel's kind in utilities gives Bradley and Terry; only differences count, in units of the noise.
# - The ranking loss pushes by the probability of the wrong order; a margin pushes settled pairs, too, and makes gaps larger.
# - The reward is read at the token that ends the answer, in training and in use.
# - Noise sets a ceiling; quote accuracy beside it, and by rating.
# - Calibration is one factor away; order is not changed by it.
# - One number cannot order a pair in two ways. Two models can.
# - Length may go with quality. Ask what it adds beside quality, and keep a control with as few pairs.
#
# ## Questions
#
# 1. All rewards of a model are raised by 5. What changes in its loss?
# <details><summary>Answer</summary>Nothing: only differences enter. That is why the head needs no bias.</details>
#
# 2. Annotators are twice as noisy. What happens to the best rewards, and to the best order?
# <details><summary>Answer</summary>The rewards halve, since they are in units of the noise; the order stays.</details>
#
# 3. A model agrees with held-out labels on 81 % of the pairs, and the ceiling was 78 %. What now?
# <details><summary>Answer</summary>Too few pairs, or a leak: prompts, or the very labels, in both parts.</details>
#
# 4. Why is a pair that is settled pushed with a margin of 3 but hardly without?
# <details><summary>Answer</summary>The push is σ(m − gap): with m = 3 a gap of 1 counts as one of −2.</details>
#
# 5. "Our single reward model is 50 % accurate on conflicts, so it needs more training." Right?
# <details><summary>Answer</summary>No: the mean of its two accuracies there is one half whatever it does.</details>
#
# 6. Balanced pairs gave a better reward than all pairs. Is length the reason?
# <details><summary>Answer</summary>Compare with as many pairs drawn by chance; otherwise number and choice are mixed.</details>
#
# ## Sources
#
# Bradley and Terry 1952 · Hunter 2004, Annals of Statistics 32 (the fit) · Christiano et al. 2017, arXiv:1706.03741 (choices as training signal; 10 % slips) · Stiennon et al. 2020, arXiv:2009.01325 ·
# Ouyang et al. 2022, arXiv:2203.02155, section 3.5 (the loss; K answers at once) · Touvron et al. 2023, arXiv:2307.09288, sections 3.2.1 to 3.2.3 and A.3.3, Tables 6 to 8, 27, 28 ·
# Guo et al. 2017, arXiv:1706.04599 (calibration) · Singhal et al. 2023, arXiv:2310.03716 (length) · Ji et al. 2024, arXiv:2406.15513 (PKU-SafeRLHF) · Liu et al. 2023, arXiv:2305.16960 (Sandbox)
#
# ## Next
#
# [34a Policy gradient](34a_policy_gradient.ipynb): an answer has a number now. How does a model learn to say what earns it?

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
# # 34b PPO: how far may a policy go on what it said a moment ago?
#
# 75 min · CPU · 60 s · 2 GB · needs [34a Policy gradient](34a_policy_gradient.ipynb) · code: `minillm/align/ppo.py`
#
# 34a estimated the gradient of a mean reward from answers of the policy itself. After one step the policy has changed, and the answers are
# no longer its own. To draw new ones for every step is right and dear: drawing is most of the work. **PPO** (近端策略优化) takes several steps on the
# same answers, and takes care that the policy does not run away from them.
#
# After this lesson you can
#
# 1. draw the clipped loss, and say on which side its gradient is cut off, and why only there;
# 2. reach an optimum that can be written down, $\pi\propto\pi_{\text{ref}}\,e^{r/\beta}$, from draws alone;
# 3. predict how the entropy of a policy falls with the price of leaving;
# 4. read the curves of a run, and say whether the loop or the judge is to blame;
# 5. find three bugs of the field in a run that does not crash.
#
# > **Taken on trust until lesson 35**: how the gold score bends when a reward model is climbed for long, and how other methods compare.

# %% tags=["setup"]
import copy
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import clear_output

from minillm import align
from minillm.align import BanditConfig, kl_rewards, play_bandit, policy_loss
from minillm.align import random_bandit
from minillm.align.bandit import entropy
from minillm.evaluate.intervals import mean_interval
from minillm.finetune.chat import reply_text
from minillm.lesson import check, claim, setup, show
from minillm.recipes import sums
from minillm.recipes.records import read_results
from minillm.recipes.studies import ppo_small as lab
from minillm.train import OptimizerConfig

setup(seed=34)
f64 = torch.float64

# %% [markdown]
# ## 1 The ratio (8 min)
#
# The answers were drawn from $\pi_{\text{old}}$. A mean under one distribution is a mean under another, if each sample is weighted by the ratio of the two:
#
# $$\mathbb E_{\pi}[A]=\mathbb E_{\pi_{\text{old}}}\Bigl[\underbrace{\tfrac{\pi(y_t\mid y_{<t})}{\pi_{\text{old}}(y_t\mid y_{<t})}}_{\rho_t}\,A\Bigr].$$
#
# At the start $\rho=1$, and the gradient is exactly that of 34a, since $\nabla\rho=\rho\,\nabla\log\pi$. As $\pi$ moves away the weights spread, and the estimate becomes worse, without any sign of it in the loss. (For one token the formula is exact. For an answer the exact weight is the product over its tokens; PPO takes each token's own, as if the words before it were the new policy's.)

# %%
logp = torch.tensor([[0.0, -1.2, -0.4, -2.0]], dtype=f64, requires_grad=True)
A = torch.tensor([[0.0, 1.0, -0.5, 2.0]], dtype=f64)
mask = torch.tensor([[False, True, True, True]])
loss, seen = policy_loss(logp, logp.detach(), A, mask)
loss.backward()
assert torch.allclose(logp.grad[mask], -A[mask] / 3)
print("at ratio 1: the policy gradient;", seen)

# %% [markdown]
# ## 2 The clip (10 min)
#
# PPO stops paying once the ratio is outside $[1-\varepsilon,1+\varepsilon]$, and takes the worse of the paid and the unpaid version:
#
# $$L_t=-\min\bigl(\rho_t A_t,\ \operatorname{clip}(\rho_t,1-\varepsilon,1+\varepsilon)\,A_t\bigr).$$
#
# **Predict, then run.** A word with a *bad* advantage has become *more* likely, $\rho=1.5$. Is its gradient cut off?
#
# <details><summary>Answer</summary>No. With A &lt; 0 the minimum takes the unclipped term: a mistake can always be undone. Cut off is only going further in the direction that pays.</details>

# %%
ratios = torch.linspace(0.2, 2.0, 181, dtype=f64)


def slope(ratio, advantage, clip_range=0.2):
    """Gradient of the loss by log p, at this ratio."""
    x = torch.tensor([[0.0, math.log(ratio)]], dtype=f64, requires_grad=True)
    zero, both = torch.zeros(1, 2, dtype=f64), torch.tensor([[False, True]])
    A = torch.full((1, 2), advantage, dtype=f64)
    loss, _ = policy_loss(x, zero, A, both, clip_range=clip_range)
    loss.backward()
    return loss.item(), x.grad[0, 1].item()


# %% tags=["label-clip"]
fig, axes = plt.subplots(1, 2, figsize=(6.8, 2.7), layout="tight", sharex=True)
for ax, advantage in zip(axes, (1.0, -1.0)):
    losses, slopes = zip(*(slope(r, advantage) for r in ratios.tolist()))
    ax.plot(ratios, losses, "-", label="loss")
    ax.plot(ratios, slopes, "--", label="slope by log p")
    ax.axvspan(0.8, 1.2, alpha=0.15)
    ax.set(xlabel="ratio", title=f"A = {advantage:+.0f}")
axes[1].legend(loc="upper left")
alt = "Loss and slope of PPO against the ratio. For a positive advantage the "
alt += "slope is 0 above 1.2, for a negative one below 0.8; elsewhere it is not."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** In the shaded band the loss is the plain one. Left, a good word: no slope to the right of 1.2. Right, a bad word: no slope to the left of 0.8. On the other sides the slope goes on.

# %%
cut = True
for advantage in (1.0, -1.0, 0.3, -2.5):
    for ratio in (0.3, 0.79, 0.81, 1.0, 1.19, 1.21, 1.9):
        further = ratio > 1.2 if advantage > 0 else ratio < 0.8
        expected = 0.0 if further else -ratio * advantage
        cut &= abs(slope(ratio, advantage)[1] - expected) < 1e-9
print("cut off on the improving side only:", cut)

# %% [markdown]
# A clip is not a wall. A word whose slope is 0 still moves, because others share its weights; only it does not push.
#
# ## 3 The price of leaving (6 min)
#
# The score of an answer stands at its last token; at every token stands the price $-\beta\,(\log\pi-\log\pi_{\text{ref}})$:

# %%
new = torch.tensor([[0.0, -1.0, -0.5, -0.2]], dtype=f64)
ref = torch.tensor([[0.0, -1.2, -1.5, -0.1]], dtype=f64)
paid = kl_rewards(torch.tensor([1.0]), new, ref, mask, 0.1)
print([round(r, 3) for r in paid[0].tolist()])
assert abs(paid.sum().item() - (1 - 0.1 * (new - ref)[mask].sum().item())) < 1e-12

# %% [markdown]
# The sum over an answer is $R-\beta\log\frac{\pi(y)}{\pi_{\text{ref}}(y)}$. Its mean is what is maximised, and that has a closed form.
#
# Of 34a's three estimators of the KL, this is $k_1$, token by token: unbiased, and negative for many tokens. It is *paid* like any reward, and no gradient runs through it. Beside it our loop logs $k_3$, which is calmer as long as the two policies are near.
#
# ## 4 A bandit whose optimum is known (14 min)
#
# Take one prompt and 64 answers of one token: a **bandit** (多臂老虎机). Maximising $\mathbb E[r]-\beta\,\mathrm{KL}$ over all distributions gives
#
# $$\pi^*(a)=\frac{\pi_{\text{ref}}(a)\,e^{r(a)/\beta}}{Z}.$$
#
# (Write the objective as $\beta\log Z-\beta\,\mathrm{KL}(\pi\Vert\pi^*)$: the first part does not depend on $\pi$, the second is 0 at $\pi^*$ only.) PPO sees nothing of this, only draws and their rewards.

# %% tags=["nbval-ignore-output", "label-bandit"]
way, runs = {}, {}  # share of the way from the reference to the optimum
for beta in (0.3, 1.0):
    for seed in range(5):
        bandit = random_bandit(64, seed=seed)
        best = bandit.objective(bandit.optimum(beta), beta).item()
        run = play_bandit(bandit, beta, BanditConfig(seed=seed))
        begun, ended = run.objective[0], run.objective[-1]
        way[beta, seed] = (ended - begun) / (best - begun)
        runs[beta, seed] = run
    print(
        f"beta {beta}: {min(way[beta, s] for s in range(5)):.1%} of the way, at least"
    )
claim("RLH-016", cut and min(way.values()) >= 0.98)

# %% [markdown]
# **Predict, then run.** Smaller $\beta$: what happens to the entropy of the best policy? Where does it end?
#
# <details><summary>Answer</summary>As a rule it falls, to 0 where all probability lies on the one best arm. (It can rise first, where the reference is sure of a bad arm.) Less price, fewer different things that are said.</details>

# %% tags=["nbval-ignore-output", "label-entropy"]
for seed in range(10):
    bandit = random_bandit(64, seed=seed)
    runs[0.1, seed] = play_bandit(bandit, 0.1, BanditConfig(seed=seed))
falls = [runs[0.1, s].entropy[-1] - runs[0.1, s].entropy[0] for s in range(10)]
fall = mean_interval(falls)
print("entropy after minus before:", fall, "nats")
claim("RLH-003", fall.value, fall)

# %% tags=["label-betas"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3), layout="tight")
bandit = random_bandit(64, seed=0)
for beta, style in ((0.1, "-"), (0.3, "--"), (1.0, "-.")):
    run, best = runs[beta, 0], bandit.optimum(beta)
    (line,) = left.plot(run.objective, style, label=f"β = {beta}")
    height = bandit.objective(best, beta)
    left.axhline(height, color=line.get_color(), lw=0.8, ls=":")
    right.plot(beta, run.entropy[-1], "o", color=line.get_color())
betas = np.geomspace(0.03, 10, 60)
right.plot(betas, [entropy(bandit.optimum(b)).item() for b in betas], "k", lw=1)
right.axhline(runs[1.0, 0].entropy[0], color="k", ls=":", lw=1)
left.set(xlabel="step", ylabel="reward minus price of KL", xlim=(-1, 60))
right.set(xlabel="price β", ylabel="entropy (nats)", xscale="log")
left.legend()
alt = "Left: the objective of three runs rises to its dotted optimum. "
alt += "Right: entropy of the best policy against the price; "
alt += "three runs of PPO lie on the curve."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Left, each run reaches its dotted line, which PPO was never told. Right, the curve is the closed form, the dots are PPO, and the dotted line is the reference: with a high price the policy stays as undecided as that; with a low one it says nearly always the same.

# %% [markdown]
# ## 5 A model that answers, and two judges (8 min)
#
# Now the real thing: prompts, answers of several tokens, a learned reward. Three pieces come from earlier lessons:
#
# - the **policy** is `small` (lesson 27) after instruction tuning (lesson 28). It answers questions about short stories of the village;
# - the **proxy** (代理奖励) is a reward model as in lesson 33. It has compared pairs of answers, some of them the policy's own, and says one number;
# - **gold** is the utility that those pairs were compared by: 3 for a right answer, ½ for a finished one or an honest refusal, −½ for each 100 characters too many. Only a simulation has such a judge.
#
# Five answers to each of 24 questions, about stories that nobody was trained on. Here are four of the questions, each different answer once:

# %% tags=["nbval-ignore-output", "label-answers"]
first, reward, tokenizer = lab.opened()
asked = lab.tasks("train", lab.N_TASKS)
usual = lab.draw(first, asked, lab.USUAL, seed=0)  # five answers to each
judges = {"proxy": lab.proxy, "gold": lab.gold(asked)}
scores = {name: judge(usual) for name, judge in judges.items()}
texts = [reply_text(answer, tokenizer) for answer in usual.answers()]
for n in (2, 3, 15, 23):
    print(asked[n].messages[-1]["content"].replace("\n", " ").split(". ")[-1])
    same = {texts[i]: i for i in range(n, len(texts), lab.N_TASKS)}
    for text, i in same.items():
        both = scores["proxy"][i], scores["gold"][i]
        print("   proxy {:5.2f}  gold {:5.2f}  {}".format(*both, text))

# %% [markdown]
# To say that the story does not say is judged lower than an answer, most of the time. But the proxy has tastes. Look at the last question: what does it prefer to the right answer?
#
# **Predict, then run.** Take the answers to *one* question, and see whether the better one has the higher proxy. Will proxy and gold go together: correlation near 1, near ½, near 0?

# %% tags=["nbval-ignore-output", "label-proxy"]
apart = []
for name, x in scores.items():
    x = x.view(lab.USUAL, -1)  # (answers, tasks)
    within = x - x.mean(0)
    sizes = x.mean(0).std(), x.var(0).mean().sqrt()
    print(f"{name}: spread between questions {sizes[0]:.2f}", end="")
    print(f", between answers to one question {sizes[1]:.2f}")
    apart.append(within.flatten())
link = torch.corrcoef(torch.stack(apart))[0, 1]
print(f"correlation of proxy and gold within a question: {link:.2f}")
print(f"{(scores['gold'] >= 3).double().mean():.0%} of the answers are right")
assert link < 0.5  # this proxy is no judge of what is right

# %% [markdown]
# Weak, and far from 1: in lesson 33 pairs were told apart when one answer was rude, unfinished or broken. Which of two names is right, this reward model hardly knows. It is what we have; people who train large models have more, but not *all*.
#
# And most of a score is about the question, not the answer. A good value head would know the questions; ours begins at 0 and has little time. So we climb the **gain**: score minus the mean score of the five answers above to the same question. It is a
# baseline as in 34a: it depends on the question only, so it moves no optimum, and it takes much of the noise away.

# %%
gains = {name: lab.gain(judge, usual) for name, judge in judges.items()}
assert abs(gains["gold"](usual).mean().item()) < 1e-5

# %% [markdown]
# ## 6 The loop (14 min)
#
# One step: draw an answer to each of 16 prompts; score them; subtract the price of leaving the model where we began; compute advantages from the value head; and read the 16 answers twice, 8 at a time, with the clipped loss. The value head (34a) reads the policy's own features; a critic of its own costs a second model. (Ouyang et al. start it from the reward model.)
#
# Three habits are in the code without being in any formula:
#
# - **Whitening** (白化, 34a): the advantages of a step get mean 0 and variance 1, over the tokens *of answers*.
# - **Masks**: prompt and padding are not actions. They have no gradient, and count in no mean.
# - `logprobs` of the old policy are read again in one pass rather than kept from drawing; both agree to rounding, and a test says so.
#
# **Predict, then run.** Six curves: proxy, gold, KL, entropy, length, error of the values. Which must rise, if all goes well? Which may do either? Which one would tell you, without the gold, that something is wrong?
#
# <details><summary>Answer</summary>Proxy and KL rise: the one is climbed, the other is how far one has climbed. Entropy falls as a rule. Gold and length may do either. Nothing but the gold itself tells for certain; a length that only rises is the classical sign.</details>

# %%
recorded = read_results("ppo_small")
names = {
    "proxy": "proxy (gain)",
    "gold": "gold (gain)",
    "kl": "KL (nats an answer)",
    "entropy": "entropy (nats a token)",
    "length": "length (tokens)",
    "value_error": "error of the values",
}


def smooth(curve, width=4):
    """Means of `width` steps, along the last axis."""
    ones = np.ones(width) / width
    return np.apply_along_axis(np.convolve, -1, curve, ones, "valid")


# %%
def draw_curves(arms, mine=(), steps=lab.STEPS):
    fig, axes = plt.subplots(2, 3, figsize=(6.4, 3.9), sharex=True)
    fig.set_layout_engine("constrained")
    for ax, (key, name) in zip(axes.flat, names.items()):
        for arm, style in zip(arms, ("--", "-.")):
            runs = np.array(recorded.values(arm, f"{key} curve"))[:, :steps]
            many = smooth(runs)
            at = np.arange(many.shape[1]) + 2.5
            low, high = many.min(0), many.max(0)
            ax.fill_between(at, low, high, alpha=0.2, lw=0, antialiased=False)
            ax.plot(at, many.mean(0), style, label=f"climb {arm}, 5 seeds")
        points = [step[key] for step in mine]
        ax.plot(np.arange(len(points)) + 1, points, ".", color="k", ms=3)
        if len(points) >= 4:
            here = smooth(np.array(points))
            ax.plot(np.arange(len(here)) + 2.5, here, "k", label="this run")
        ax.set_title(name, fontsize=10)
    for ax in axes[1]:
        ax.set_xlabel("step")
    named = axes[0, 0].get_legend_handles_labels()
    fig.legend(*named, loc="outside upper center", ncols=3)
    return fig


# %% [markdown]
# Run it and watch: the black curve grows while the policy learns. The band is five recorded runs of this loop with other draws.

# %% tags=["nbval-ignore-output", "label-run"]
seen = []


def watch(record):
    seen.append({**record, "proxy": record["score"]})
    if len(seen) % 4 == 0 and len(seen) < lab.LIVE_STEPS:
        clear_output(wait=True)
        fig = draw_curves(["proxy"], seen, lab.LIVE_STEPS)
        show(fig, alt=f"The curves up to step {len(seen)}.")


policy = copy.deepcopy(first).requires_grad_(True)
align.ppo(
    align.ActorCritic(policy),
    first,  # the reference stands still
    lab.prompts_of(asked),
    gains["proxy"],  # what is learned from
    lab.settings(lab.LIVE_STEPS, seed=34),
    optimizer=OptimizerConfig(lr=lab.LR, weight_decay=0.0),
    measures={"gold": gains["gold"]},  # what is only looked at
    log=watch,
)
clear_output(wait=True)
alt = "Six curves of a PPO run against steps: proxy, gold, KL, entropy, length and "
alt += "value error; points are single steps, lines means of four, bands five runs."
show(draw_curves(["proxy"], seen, lab.LIVE_STEPS), alt=alt)

# %% [markdown]
# **What you should see.** The black line keeps in or near the band. The proxy climbs by a tenth or two, and the KL leaves 0. Gold, which is shown to us and not to the policy, does not follow; it sinks. Entropy, against the rule, does not fall: this policy was very sure of itself when it began. One step (a dot) is 16 answers and scatters more than the whole climb: look at means, and at more than one seed. The KL of a single step can even be negative, since $k_1$ is an estimate.

# %% tags=["nbval-ignore-output"]
assert seen[0]["kl"] < 1e-4  # the policy begins as its own reference
half = lab.LIVE_STEPS // 2
for key, name in names.items():
    runs = np.array(recorded.values("proxy", f"{key} curve"))
    runs = runs[:, half : lab.LIVE_STEPS].mean(1)
    mine = np.mean([s[key] for s in seen[half:]])
    away = abs(mine - runs.mean()) / runs.std(ddof=1)
    print(f"{name:24} {mine:6.2f}   recorded {mean_interval(runs.tolist())}")
    assert away < 8  # five seeds tell a spread only roughly

# %% [markdown]
# **The long run**, recorded: five seeds, 20 steps. Beside it a run that learns from *gold itself*, all else equal.

# %% tags=["label-long"]
alt = "Six curves against steps, bands over five seeds, for runs that "
alt += "learn from the proxy and runs that learn from gold."
show(draw_curves(["proxy", "gold"]), alt=alt)

# %% [markdown]
# **What you should see.** Who climbs the proxy gets proxy; gold sinks, in some seeds far, in others not at all. Who climbs gold gets some gold, and, as the two judges are not strangers, proxy with it. Gold's climbers have gone no less far from the reference, so it is not the distance that does harm. The loop is innocent: what it was told to climb, it has climbed.

# %%
for arm in ("proxy", "gold"):
    for what in ("proxy", "gold"):
        curves = np.array(recorded.values(arm, f"{what} curve"))
        rise = curves[:, -8:].mean(1) - curves[:, :4].mean(1)  # a number a seed
        print(f"climb {arm:5} {what:5} rises by {mean_interval(rise.tolist())}")
        if what == arm:
            assert rise.mean() > 0

# %% [markdown]
# All this on 24 tasks. What is left of it in worlds that nobody trained on? (Scores as they are now, not gains.)


# %% tags=["label-held"]
def short(numbers):
    """A mean with its interval, in little room."""
    found = mean_interval(list(numbers))
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


print("         before   climbing proxy        climbing gold")
for what in ("proxy", "gold", "right", "distinct", "length"):
    begun = recorded.mean("proxy", f"{what}_before").value
    pairs = [
        [recorded.values(arm, f"{what}_{w}") for w in ("after", "before")]
        for arm in ("proxy", "gold")
    ]
    moved = "  ".join(short(np.subtract(*pair)) for pair in pairs)
    print(f"{what:8} {begun:5.2f}    {moved}")
for arm, when in (("proxy", "before"), ("proxy", "after"), ("gold", "after")):
    told = recorded.values(arm, f"commonest_{when}")[0][:4]
    who = when if when == "before" else arm
    print(f"{who:7}", ", ".join(f"{n} {text}" for text, n in told))

# %% [markdown]
# The policy that climbed the proxy has learned a taste: *Happy.* is now its commonest answer, whatever the story. In worlds that it has never seen its proxy has risen as well, and no more of its answers are right than before.
#
# The one that climbed gold gets more right. It has learned a taste as well: *The story does not say*, the commonest answer before, is gone. Where the story does say, those words earn no more than a guess, so it guesses. Nobody asked for that. A policy becomes what is paid for, to the letter, and the best judge we have is no exception.
#
# ## 7 What does the price buy? (10 min)
#
# A reward model of `small` is a poor judge of what is right. Let us take a world in which the proxy is nearly perfect, and wrong in one thing that we know. The language has 14 signs and is about sums (the article about ChatGLM does the same with
# its `chatglm-maths`); an answer may begin with polite signs `~`. Gold pays for a right sum and for an end, and *charges* for politeness:

# %% tags=["label-sums"]
question = sums.encode("07+15=")
print("answer   gold  to annotators")
for text in ("22.", "~~22.", "23.", "~~~23", "2"):
    answer = sums.encode(text)
    told = sums.gold(question, answer), sums.annotated(question, answer)
    print(f"{text:6} {told[0]:6.2f} {told[1]:6.2f}")

# %% [markdown]
# The annotators like polite signs. The disagreement is planted, and small; between people and what one wants of a model it is there without being planted. A tiny model `base` read sums of which half are wrong, `tuned` was shown right ones, and from
# 2 000 noisy comparisons of `tuned`'s answers a reward was learned that is linear in three traits (a checker decides the first). All of it was made anew for five seeds, and recorded:

# %% tags=["label-prices"]
study = read_results("ppo_price")
arms = [f"price_{c}" for c in ("0", "0.03", "0.1", "0.5")]
learned = np.array(study.values("price_0.1", "weights"))
for n, name in enumerate(("right", "ended", "polite sign")):
    meant = (sums.RIGHT, sums.COMPLETE, sums.A_POLITE_SIGN)[n]
    told = mean_interval(learned[:, n].tolist())
    print(f"{name:12} learned {told}   gold {meant:+.2f}")
assert (learned[:, 2] > 0).all()  # the sign is wrong in all seeds
for who in ("base", "tuned", "ppo"):  # the last one at price 0
    print(f"{who:6}", "  ".join(study.values("price_0", f"says_{who}")[0]))


# %% tags=["label-table"]
whats = ("kl", "proxy", "gold", "right", "length")


def row(arm, who):
    return [study.mean(arm, f"{what}_{who}").value for what in whats]


def changed(arm, what):
    """After PPO minus before, a number a seed."""
    after, tuned = (study.values(arm, f"{what}_{who}") for who in ("ppo", "tuned"))
    return np.subtract(after, tuned)


print("price ", *(f"{what:>6}" for what in whats), "  gold, after - before")
print("tuned ", *(f"{x:6.2f}" for x in row(arms[0], "tuned")))
for arm in arms:
    numbers = " ".join(f"{x:6.2f}" for x in row(arm, "ppo"))
    print(f"{arm[6:]:6} {numbers}   {short(changed(arm, 'gold'))}")

# %% [markdown]
# The claim (Ouyang et al.; our article 003): models after RLHF are preferred to fine-tuned ones, and those to base models. Our rule was fixed before the runs: price 0.1, *gold* score on questions that nobody was trained on, and the smaller of the two steps counts.

# %% tags=["label-rlhf"]
before = np.subtract(
    study.values("price_0.1", "gold_tuned"), study.values("price_0.1", "gold_base")
)
print("gold, tuned minus base:", mean_interval(before.tolist()))
for what in ("gold", "right", "length"):
    told = mean_interval(changed("price_0.1", what).tolist())
    print(f"{what}, PPO minus tuned:", told)
steps = study.mean("price_0.1", "smaller_step")
claim("RLH-001", steps.value, steps)

# %% [markdown]
# Tuning helps; PPO at this price is not seen to, since its interval holds 0. More sums are right than before, but answers have become longer by polite signs, and gold charges for each. In the published comparison the judges in the end are people of the same kind as those whose choices trained the reward. What they like and would rather not like, nobody counts; here gold does.

# %% tags=["label-over"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3), layout="tight")
for arm, style in zip(arms, ("-", "--", "-.", ":")):
    far = np.mean(study.values(arm, "kl curve"), axis=0)
    for ax, what in ((left, "score"), (right, "gold")):
        height = np.mean(study.values(arm, f"{what} curve"), axis=0)
        (line,) = ax.plot(np.sqrt(far), height, style, label=arm[6:])
        ax.plot(np.sqrt(far[-1]), height[-1], "o", color=line.get_color())
left.set(title="proxy", xlabel="√KL", ylabel="mean of five seeds")
right.set(title="gold", xlabel="√KL")
left.legend(title="price")
alt = "Proxy and gold score against the root of the KL, for four prices, mean of "
alt += "five seeds."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Each line is the path of a price, with a dot at its end. Left, all climb. Right, the cheap prices first go *down*: politeness is learned within some steps, sums are not. Later gold comes back, since most of the proxy is right. Only the dearest price takes no such way round, and it ends highest.
#
# The price that would have been best by gold is thus not the one that our rule fixed. To choose it now, by gold, and report its gold would be cheating: who chooses by a judge has learned from it.

# One seed of the five is weak: its `tuned` gets hardly a sum right, so that at price 0 politeness was all there was to learn. It pulls the mean down. Is there a dip without it?

# %%
able = np.array(study.values("price_0", "right_tuned")) > 0.2
print("seeds that can add:", able.sum(), "of", len(able))
for arm in arms:
    paths = np.array(study.values(arm, "gold curve"))
    dips = [p.mean(0)[0] - p.mean(0).min() for p in (paths, paths[able])]
    climb = np.mean(study.values(arm, "score curve"), axis=0)
    assert climb[-1] > climb[0]
    assert (dips[1] > 0.02) == (arm != "price_0.5")
    print(f"price {arm[6:]:5} gold falls below its start by {dips[0]:.2f}", end="")
    print(f", without the weak seed by {dips[1]:.2f}")

# %% [markdown]
# And entropy, the claim of section 4, on this model (shown, not judged: the rule was the bandit's):

# %% tags=["label-less"]
for arm in arms:
    told = mean_interval(changed(arm, "entropy").tolist())
    print(f"price {arm[6:]:5} entropy after minus before: {told}")

# %% [markdown]
# ## 8 Three bugs that do not crash (5 min)
#
# None of these raises an error, and the loss looks as usual. Here each is done on purpose, on 16 answers of section 5, and its gradient compared with the right one. (The advantage is the gain in gold minus its mean, the same at each token of an answer.)

# %% tags=["nbval-ignore-output", "label-bugs"]
rows, marked, before = usual.ids[:16], usual.mask[:16], usual.logprobs[:16]
won = gains["gold"](usual)[:16]
A = (won - won.mean())[:, None].expand(rows.shape)
last = marked & ~marked.roll(-1, dims=1)  # the last token of an answer
everywhere = torch.ones_like(marked)
everywhere[:, 0] = False
body = copy.deepcopy(first).requires_grad_(True)
said = align.response_logprobs(body, rows, marked)
all_said = align.response_logprobs(body, rows, everywhere)
after = body(rows).log_softmax(-1).gather(-1, rows[..., None])[..., 0]
ways = {
    "right": policy_loss(said, before, A, marked),
    "rewards, not returns": policy_loss(said, before, A * last, marked),
    "no mask": policy_loss(all_said, all_said.detach(), A, everywhere),
    "shifted by one": policy_loss(after, after.detach(), A, marked),
}
grads = {
    name: align.flat_gradient(loss, body, keep_graph=True)
    for name, (loss, _) in ways.items()
}
for name, g in grads.items():
    cosine = torch.cosine_similarity(g, grads["right"], dim=0).item()
    print(f"{name:22} cosine with the right gradient {cosine:+.2f}")
    assert (cosine > 0.99) == (name == "right")

# %% [markdown]
# - **Rewards where returns belong.** The score stands at the last token, so only the sign that ends it is pushed; the words hear nothing. Advantages must carry it back.
# - **No mask.** Prompt and padding are pushed as if the policy had said them.
# - **Shifted by one.** A token is judged by the logits *after* it: the model learns to repeat, or not to repeat, what it has just said. The ratio still begins at 1.
#
# The test that finds all three: one update of a tiny model against the same written out token by token, in float64 (`tests/align/test_ppo.py`).
#
# ## At scale
#
# | | here | at scale |
# |---|---|---|
# | models in memory | policy with value head, reference, reward model | these, and a critic of its own: four |
# | drawing | a small part of a step: answers are short, prompts long | most of the time; separate machines for drawing |
# | prompts | 24 | tens of thousands (Ouyang et al. 2022: 31 000) |
# | answers | about 5 tokens, 16 a step | hundreds to thousands of tokens, hundreds a step |
#
# Open libraries with the whole loop: DeepSpeed-Chat and ColossalChat among the early ones; `trl` once had a PPO trainer, and its release 1.16 has GRPO and RLOO instead. `benchmarks/rollouts.py` draws answers with its trainer and with our `rollout` from the same weights, and prints the ratio.
#
# LLaMA-2 used PPO only from its fifth version on (RLHF-V4 and before: rejection sampling alone), on top of the checkpoint that rejection sampling had made: lesson 35.
#
# ## Common mistakes
#
# | what | what happens |
# |---|---|
# | the reference is the policy itself, not a copy | leaving costs nothing; our loop refuses it |
# | dropout on while learning | the ratio does not begin at 1 |
# | top-k or top-p when drawing | the answers are not the policy's own |
# | watching the proxy only | the run looks perfect while the answers get worse |
# | choosing step or price by the gold score, then reporting it | the gold has become one more proxy |
#
# ## Recap
#
# - The ratio corrects for a policy that has moved; the clip stops paying for moving further, never for coming back.
# - With a price on KL there is an optimum, $\pi_{\text{ref}}e^{r/\beta}/Z$. Less price, less entropy.
# - The proxy is climbed, the gold is meant. A policy becomes what is paid for, to the letter; only held-out gold tells the two apart.
# - Most bugs of this loop do not crash. Compare one update with a slow one.

# %% [markdown]
# ## Homework (45 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it.
#
# ### Exercise 1 · What the value should have been (8 min, ★★☆)
#
# For one answer, lists of rewards and values: what shall the value head learn at each token? The **return**: GAE's advantage *plus the value that was there*, with $\gamma$ and $\lambda$. (Somebody put the rewards there.)
#
# <details><summary>Hint 1</summary>Go from the end: advantage = surprise + γλ times the next advantage.</details>
# <details><summary>Hint 2</summary>With λ = 1 the values cancel, and rewards to go are left; with λ = 0 it is r + γ V(next).</details>


# %% tags=["exercise"]
def value_targets(rewards, values, gamma, lam):
    # BEGIN SOLUTION
    targets, later, after = [], 0.0, 0.0
    for r, v in zip(reversed(rewards), reversed(values), strict=True):
        later = r + gamma * after - v + gamma * lam * later
        after = v
        targets.append(later + v)
    return targets[::-1]
    # END SOLUTION


# %% tags=["check"]
def targets_by_gae(rewards, values, gamma, lam):
    r, v = (torch.tensor([x], dtype=f64) for x in (rewards, values))
    every = torch.ones_like(r, dtype=torch.bool)
    return align.gae(r, v, every, gamma=gamma, lam=lam)[1][0].tolist()


cases = [
    ([0.0, 0.0, 1.0], [0.3, 0.5, 0.8], 1.0, 0.95),
    ([-0.1, 0.2, 2.0], [0.3, -0.5, 0.8], 0.9, 0.5),
    ([1.0, 2.0], [0.5, 0.25], 0.5, 0.0),
    ([1.0, 2.0, 3.0], [0.5, 0.25, 4.0], 0.7, 1.0),
]
check(value_targets, targets_by_gae, cases)

# %% [markdown]
# ### Exercise 2 · A loss with padding in it (10 min, ★★☆)
#
# The clipped loss, mean over the tokens where `mask` is True. Outside the mask `new` may hold *anything*, NaN included.
#
# <details><summary>Hint 1</summary>NaN times 0 is NaN. Choose the tokens, do not multiply by the mask.</details>
# <details><summary>Hint 2</summary>x[mask] is one-dimensional, and its mean is over tokens.</details>


# %% tags=["exercise"]
def clipped_loss(new, old, A, mask, clip):
    # BEGIN SOLUTION
    ratio = (new[mask] - old[mask]).exp()
    free = ratio * A[mask]
    bound = ratio.clamp(1 - clip, 1 + clip) * A[mask]
    return -torch.minimum(free, bound).mean()
    # END SOLUTION


# %% tags=["check"]
def loss_by_package(new, old, A, mask, clip):
    return policy_loss(new, old, A, mask, clip_range=clip)[0]


g = torch.Generator().manual_seed(2)
few = torch.tensor([[0, 1, 1, 1, 0], [0, 0, 1, 0, 0], [0, 1, 1, 1, 1]]).bool()
rows = [torch.randn(3, 5, generator=g, dtype=f64) for _ in range(6)]
rotten = rows[0].masked_fill(~few, float("nan"))
cases = [
    (rows[0], rows[1], rows[2], few, 0.2),
    (rotten, rows[1], rows[2], few, 0.1),
    (rows[3], rows[4], rows[5], few, 0.5),
]
check(clipped_loss, loss_by_package, cases)

# %% [markdown]
# ### Exercise 3 · Which logits belong to which token (7 min, ★☆☆)
#
# `logits` are (B, T, V), `ids` (B, T). Return (B, T): the log-probability of each token given those before it, and 0 in column 0.
#
# <details><summary>Hint 1</summary>The logits at place t are about token t + 1.</details>
# <details><summary>Hint 2</summary>`gather` along the last axis, with logits[:, :-1] and ids[:, 1:].</details>


# %% tags=["exercise"]
def logprobs_of(logits, ids):
    # BEGIN SOLUTION
    logp = logits.log_softmax(-1)[:, :-1]
    said = logp.gather(-1, ids[:, 1:, None])[..., 0]
    return torch.cat([torch.zeros_like(said[:, :1]), said], dim=1)
    # END SOLUTION


# %% tags=["check"]
def logprobs_by_loop(logits, ids):
    found = torch.zeros(ids.shape, dtype=logits.dtype)
    for b, row in enumerate(ids.tolist()):
        for t in range(1, len(row)):
            before = logits[b, t - 1]
            found[b, t] = before[row[t]] - torch.logsumexp(before, 0)
    return found


cases = [
    (
        torch.randn(B, T, 5, generator=g, dtype=f64),
        torch.randint(5, (B, T), generator=g),
    )
    for B, T in ((2, 4), (3, 3), (1, 6))
]
check(logprobs_of, logprobs_by_loop, cases)

# %% [markdown]
# ### Exercise 4 · A price that adapts (7 min, ★☆☆)
#
# Ziegler et al. (section 2.2, and their code for the horizon) change $\beta$ after each step so that the KL comes near a target: error = KL/target − 1, cut to [−0.2, 0.2]; $\beta\leftarrow\beta\,(1+\text{error}\cdot n/\text{horizon})$ after $n$ answers. Return the price after each measurement.
#
# <details><summary>Hint</summary>It multiplies: the price never becomes negative.</details>


# %% tags=["exercise"]
def prices(start, kls, target, n, horizon):
    # BEGIN SOLUTION
    found, now = [], start
    for kl in kls:
        error = min(max(kl / target - 1, -0.2), 0.2)
        now *= 1 + error * n / horizon
        found.append(now)
    return found
    # END SOLUTION


# %% tags=["check"]
def prices_by_package(start, kls, target, n, horizon):
    rule, found = align.AdaptiveKL(target=target, horizon=horizon), [start]
    for kl in kls:
        found.append(rule.update(found[-1], kl, n))
    return found[1:]


cases = [
    (0.1, [0.0, 2.0, 9.0, 5.9, 6.3], 6.0, 64, 640.0),
    (1.0, [30.0, 30.0, 1.0], 10.0, 32, 100.0),
    (0.2, [1.05, 0.95], 1.0, 10, 20.0),
]
check(prices, prices_by_package, cases)

# %% [markdown]
# ### Exercise 5 · One ratio for an answer (8 min, ★★☆)
#
# Some later methods clip one ratio for a whole answer: the *geometric* mean of the ratios of its tokens. Return it, (B,). A product of 500 ratios would be 0 or infinite; this does not depend on the length.
#
# <details><summary>Hint</summary>The mean of logarithms, over the tokens of the row's own mask; then exp.</details>


# %% tags=["exercise"]
def answer_ratio(new, old, mask):
    # BEGIN SOLUTION
    gap = torch.where(mask, new - old, 0.0)
    return (gap.sum(1) / mask.sum(1)).exp()
    # END SOLUTION


# %% tags=["check"]
def ratio_by_loop(new, old, mask):
    found = []
    for a, b, m in zip(new, old, mask, strict=True):
        ratios = [math.exp(x) for x in (a - b)[m].tolist()]
        found.append(math.prod(ratios) ** (1 / len(ratios)))
    return torch.tensor(found, dtype=new.dtype)


cases = [(rows[i], rows[i + 1], few) for i in range(3)]
check(answer_ratio, ratio_by_loop, cases)

# %% [markdown]
# ### Exercise 6 · How far will it go? (5 min, ★★★)
#
# Rewards `r` and reference probabilities `q` of a bandit, price `beta`. What is $\mathrm{KL}(\pi^*\Vert q)$ at the optimum? (So one can say before a run how far a price lets a policy go.)
#
# <details><summary>Hint</summary>π* = softmax(log q + r/β). Then the definition.</details>


# %% tags=["exercise"]
def distance_at_optimum(r, q, beta):
    # BEGIN SOLUTION
    best = (q.log() + r / beta).log_softmax(0)
    return (best.exp() * (best - q.log())).sum()
    # END SOLUTION


# %% tags=["check"]
def distance_by_package(r, q, beta):
    best = align.optimal_policy(q.log(), r, beta)
    return align.exact_kl(best, q.log())


q = torch.tensor([0.5, 0.3, 0.2], dtype=f64)
cases = [(rows[0][0][:3], q, beta) for beta in (0.1, 1.0, 5.0)]
check(distance_at_optimum, distance_by_package, cases)

# %% [markdown]
# ## Questions
#
# <details><summary>Why is a bad token whose ratio has risen not cut off?</summary>The minimum takes the worse version, and unclipped is worse there: mistakes can be undone.</details>
# <details><summary>Why is the KL at the first step exactly 0?</summary>Policy and reference have the same weights; k1 is 0 for each token.</details>
# <details><summary>What does a clip fraction near 1 tell?</summary>The policy has moved so far on these answers that almost nothing pushes any more: too many epochs, or too high a rate.</details>
# <details><summary>Why did gold sink in section 6, although the KL stayed below 1 nat?</summary>The proxy hardly knows which answer to a question is right, and has tastes. To say one favourite word more often takes little KL.</details>
# <details><summary>Why may the mean score of other answers to the same question be subtracted?</summary>It depends on the question and not on the answer that is drawn: a baseline. It changes the noise of the gradient, not its mean.</details>
# <details><summary>Why must the gold not choose the learning rate?</summary>Then it is learned from, if only a little, and no longer tells what it told.</details>
#
# ## Sources
#
# - Schulman et al. 2017, [arXiv:1707.06347](https://arxiv.org/abs/1707.06347): PPO, equation 7 and algorithm 1.
# - Ziegler et al. 2019, [arXiv:1909.08593](https://arxiv.org/abs/1909.08593): PPO on a language model, the price of KL and how it adapts.
# - Ouyang et al. 2022, [arXiv:2203.02155](https://arxiv.org/abs/2203.02155): InstructGPT, section 3.5.
# - Zheng et al. 2025, [arXiv:2507.18071](https://arxiv.org/abs/2507.18071): one ratio for an answer (exercise 5).
#
# ## Next
#
# [35 Beyond PPO](35_beyond_ppo.ipynb): the same optimum without a critic, without a reward model, or without any loop.

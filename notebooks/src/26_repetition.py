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
# # 26 Repetition: what is a token worth that the model has read before?
#
# 70 min · CPU · 40 s · 1 GB · needs [25b Chinchilla](25b_chinchilla.ipynb) · code: `minillm/scaling/repetition.py`, `minillm/recipes/repetition_parts.py`
#
# A model that is ten times larger wants ten times more text. What if there is no more? Then one can
# read the same text again. A pass over the whole text is called an **epoch** (轮次). Xue et al.
# (2023) repeated tokens on purpose and reported eleven findings. The article that this course follows
# retells them. We test each on our own machine.
#
# After this lesson you can
#
# 1. say how many epochs a data mixture implies, and when text runs out under given assumptions;
# 2. set up a fair experiment on repetition: equal steps, fewer different tokens;
# 3. tell which of eleven findings hold for a model of 35 thousand parameters, and how surely;
# 4. write dropout and stochastic depth, and say when each helps and when it hurts;
# 5. derive the law of effective tokens, fit it to a grid of runs, and say where it must fail.
#
# In this lesson $N$ is the number of parameters and $D$ the number of tokens read, as in the papers. Our tokens are
# bytes, and losses on unseen text are in bits per byte: 8 is what a blind guess costs.

# %% tags=["setup"]
import dataclasses
import math
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from minillm.evaluate import mean_interval
from minillm.lesson import check, claim, setup, show
from minillm.model import count_parameters, flops_per_token
from minillm.recipes import repetition_parts as parts
from minillm.recipes.records import read_results
from minillm.data.loader import BatchSampler
from minillm.recipes.repetition_parts import Noise, Repeated
from minillm.recipes.small import bits_on
from minillm.recipes.studies import repetition_factors as factors
from minillm.recipes.studies import repetition_grid as grids
from minillm.scaling import bootstrap, effective_amount
from minillm.scaling import fit_parametric, fit_power_law, fit_repetition
from minillm.scaling.budget import ARTICLE_ROWS

setup(seed=26)

# %% [markdown]
# ## 1 Is there enough text? (10 min)
#
# **Finding 1: tokens and parameters belong together.** Lesson 25b fitted it; here we take the nine rows
# of the article's table of best budgets and fit a power law $D\propto N^p$ through them. "In proportion" means $p=1$.

# %% tags=["label-match"]
sizes = [row.n for row in ARTICLE_ROWS]
tokens = [row.d for row in ARTICLE_ROWS]
exponent = fit_power_law(sizes, tokens).exponent
print(f"D grows as N^{exponent:.3f}; {tokens[0] / sizes[0]:.0f} tokens a parameter")
claim("REP-001", exponent)

# %% [markdown]
# So a model of 540 billion parameters wants 11 trillion tokens. The article, quoting Xue et al., says that the world had
# 9 trillion tokens of high-quality text in 2023, growing by 4 to 5 % a year, and that models would have used all of it
# between 2023 and 2027. They call it the **token crisis** (词元危机).
#
# Two curves cross: the stock $9\,\mathrm T\cdot1.045^t$, and the largest training set. GPT-3 read 0.3 T in 2020 and LLaMA 1.4 T in 2023;
# let that go on.
#
# **Predict, then run.** In which year do they cross? And if the stock is thirty times larger?


# %%
def crossing(stock, growth, used=1.4e12, before=0.3e12, years=3):
    """Year, counted from 2023, in which a training set equals the stock."""
    rate = math.log(used / before) / years  # of log tokens a year
    return 2023 + math.log(stock / used) / (rate - math.log(1 + growth))


# %% tags=["label-crisis"]
year = crossing(9e12, 0.045)
print(f"9 T, growing 4.5 % a year: {year:.1f}")
print(f"300 T, the same growth: {crossing(300e12, 0.045):.1f}")
claim("REP-019", year)

# %% [markdown]
# The arithmetic comes out within the claimed years, at their end. The forecast has been replaced all the same: its source
# (Villalobos et al.), in the version of 2024, estimates 300 T tokens of public text, and expects the end between 2026 and 2032. A forecast of this kind is as good
# as its stock and its growth.
#
# **How often do published models read their text?** The article says: PaLM once, LLaMA once or twice. LLaMA's table 1 gives
# an epoch count *for each source*:

# %% tags=["label-llama"]
llama = {  # source: share of the tokens read, epochs (Touvron et al. 2023, table 1)
    "CommonCrawl": (0.67, 1.10),
    "C4": (0.15, 1.06),
    "GitHub": (0.045, 0.64),
    "Wikipedia": (0.045, 2.45),
    "Books": (0.045, 2.23),
    "ArXiv": (0.025, 1.06),
    "StackExchange": (0.02, 1.03),
}
for source, (share, epochs) in llama.items():
    print(f"{source:14}{share:7.1%} of the tokens, {epochs:.2f} epochs")
claim("REP-015", all(1 <= epochs <= 2 for _, epochs in llama.values()))

# %%
different = sum(share / epochs for share, epochs in llama.values())
print(f"all sources together: {1 / different:.2f} epochs")
galactica = 450e9 / 106e9  # tokens read, tokens of the corpus
print(f"Galactica: {galactica:.2f} epochs")
claim("REP-017", galactica)

# %% [markdown]
# Wikipedia and books are repeated because they are thought to be good; code was not even read through. On average LLaMA's epochs are
# close to one. Galactica (Taylor et al. 2022) went through its corpus of papers four times, and still improved.
#
# Two sentences of the article are taken as they stand and not tested here. Vision transformers are trained for up to 300 epochs on ImageNet (REP-016). And
# "Hoffmann et al. showed that repeated tokens hurt" (REP-018) names a doubtful witness: Chinchilla read four of its six sources less than once (table A1 of
# its paper), and the laws there were fitted without repetition. The experiment is in Hernandez et al. 2022.
#
# ## 2 The same text again (12 min)
#
# What is a fair comparison? **Everything equal but the text.** All our runs read 65 536 bytes of docstrings in 128 steps, with equal weights at the start and an equal
# schedule (its peak chosen on runs without repetition). With $e$ epochs there are only $65\,536/e$ *different* bytes, read $e$ times in $e$ orders. The text of 64 epochs, 1 kB, is the
# beginning of the text of one. (Without this, more epochs would mean more training, and repetition would look good.)
#
# Xue et al. trained encoder-decoders of T5's shape on C4; ours is a small causal decoder, width 32, two blocks. (The matrices start with spread 0.1; with the usual 0.02 a model so narrow spends its short life on
# growing them.)

# %% tags=["label-runs"]
train_texts, test_texts = parts.prose()
base = Repeated(d_model=32)
print(f"{count_parameters(parts.build(base, 1).config):,} parameters")
for epochs in (1, 4, 64):
    run = dataclasses.replace(base, epochs=epochs)
    print(f"{epochs:3} epochs of {run.unique:7,} bytes: {run.steps} steps")

# %% [markdown]
# **Predict, then run.** Three models: 1, 4 and 64 epochs. What does the loss on the *training* text do at the end of each, and what the loss on text that nobody has
# read? Sketch both.

# %%
few = test_texts[:12]


def train_and_watch(epochs, seed=6):
    """Loss in bits a byte of each step, and of unseen texts every 16 steps."""
    run = dataclasses.replace(base, epochs=epochs)
    row = parts.row_of(train_texts, run.unique, seed)
    losses, unseen = [], []

    def look(model):
        unseen.append(bits_on(model, few))
        return unseen[-1]

    how = {"losses": losses, "eval_every": 16, "evaluate": look}
    parts.train_repeated(run, row, seed, **how)
    return np.array(losses) / math.log(2), np.array(unseen)


# %% tags=["nbval-ignore-output", "label-live"]
watched = {epochs: train_and_watch(epochs) for epochs in (1, 4, 64)}
print("epochs   training text   unseen text, bits per byte at the end")
for epochs, (losses, unseen) in watched.items():
    print(f"{epochs:6}{losses[-16:].mean():12.2f}{unseen[-1]:16.2f}")

# %%
ends = {epochs: unseen[-1] for epochs, (_, unseen) in watched.items()}
assert abs(ends[4] - ends[1]) < 0.35 and ends[64] > ends[1] + 2
assert watched[64][0][-16:].mean() < 0.5

# %% tags=["label-curves"]
fig, axes = plt.subplots(
    1, 3, figsize=(7.2, 2.7), sharey=True, layout="constrained"
)
for ax, (epochs, (losses, unseen)) in zip(axes, watched.items()):
    smooth = np.convolve(losses, np.ones(8) / 8, "valid")
    ax.plot(np.arange(8, 129), smooth, label="training text")
    ax.plot(np.arange(16, 129, 16), unseen, "o--", label="unseen text")
    ax.set(title=f"{epochs} epoch" + "s" * (epochs > 1), xlabel="step")
axes[0].set(ylabel="bits per byte", ylim=(0, 10))
axes[0].legend(loc="lower left")
alt = "Loss by step for 1, 4 and 64 epochs. With 1 and 4 epochs the training and "
alt += "the unseen loss fall together to near 3.6. With 64 epochs the training "
alt += "loss falls to zero and the unseen loss turns and rises far above the start."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Left and middle: two curves that fall together (in one epoch the training text, too, is new at every step). Right: after a few epochs the training loss goes on to nearly zero, while the unseen loss turns
# and climbs to more bits a byte than knowing nothing costs (8). The model has learned its 1 kB by heart and bets everything on them. This is
# **overfitting** (过拟合), and the gap between the curves is its measure.
#
# Note what the *last* point of a curve hides: the lowest point of the right picture is much better. Who watches unseen text can stop there: **early stopping** (提前停止).
#
# **Finding 2: several epochs degrade the model.** Five recorded seeds, six epoch counts:

# %% tags=["label-epochs"]
grid = read_results("repetition_grid")
print(grid.provenance)
one = grids.arm(32, 65_536, 1)
print("epochs   bits per byte    minus one epoch, paired by seed")
for e in grids.CELLS[65_536]:
    arm = grids.arm(32, 65_536, e)
    d = grid.difference(arm, one, "bits")
    told = f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]" if e > 1 else ""
    print(f"{e:6}{grid.mean(arm, 'bits').value:12.3f}       {told}")

# %%
d = grid.difference(grids.arm(32, 65_536, 16), one, "bits")
claim("REP-002", d.value, d)

# %% [markdown]
# So both camps are right. Two and four epochs cost a few hundredths of a bit, and the intervals hold zero: *nearly free*, as Muennighoff et al. (2023) found on models
# of up to 9 billion parameters. From eight on the cost can be seen; sixteen cost half a bit, and 64 leave a model that is worse than a blind guess: *degraded*, as Xue et al. found. The article
# tells only the second half.
#
# ## 3 Large models, small texts (8 min)
#
# **The second half of finding 2: if tokens are short, larger models overfit more.** What sixteen epochs cost, against one:


# %%
def cost(width, epochs, total=65_536):
    """By seed: bits per byte minus those of as many different tokens."""
    many = grid.values(grids.arm(width, total, epochs), "bits")
    return np.subtract(many, grid.values(grids.arm(width, total, 1), "bits"))


# %% tags=["label-sizes"]
print("width  parameters    16 epochs cost           64 epochs cost")
for width in grids.WIDTHS:
    n = grid.values(grids.arm(width, 65_536, 1), "parameters")[0]
    a, b = (mean_interval(cost(width, e)) for e in (16, 64))
    line = f"{width:5}{n:11,}    {a.value:5.2f} [{a.low:.2f}, {a.high:.2f}]"
    print(line + f"      {b.value:5.2f} [{b.low:.2f}, {b.high:.2f}]")
d = mean_interval(cost(64, 16) - cost(16, 16))
claim("REP-003", d.value, d)

# %% tags=["label-sizes-figure"]
fig, ax = plt.subplots(figsize=(5.4, 2.8), layout="constrained")
for width, style in zip(grids.WIDTHS, ("o-", "s--", "^-.")):
    means = [
        grid.mean(grids.arm(width, 65_536, e), "bits").value
        for e in grids.CELLS[65_536]
    ]
    ax.plot(grids.CELLS[65_536], means, style, label=f"width {width}")
ax.set(
    xscale="log",
    xlabel="epochs (65 536 tokens read)",
    ylabel="bits per byte, unseen",
)
ax.set_xticks([1, 2, 4, 8, 16, 64], ["1", "2", "4", "8", "16", "64"])
ax.legend()
alt = "Unseen loss against epochs for three widths. Up to 4 epochs all are nearly "
alt += "flat and the widest is best. Then they rise, the widest first and most; "
alt += "at 64 epochs the narrowest is best and the widest worst."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** On the left the order is that of the scaling law: the widest is best. At eight epochs it has lost its lead, at sixteen it is the worst, and at 64 the order is
# turned round. A wide model has more room to learn the text by heart; the narrowest hardly notices sixteen epochs.
#
# **Finding 3: with equally many epochs, a larger text suffers less.** Sixteen epochs each, of ever more text. (The article has lost its numbers here; the paper
# compares $2^{27}$ and $2^{29}$ tokens, each read $2^8$ times.)

# %% tags=["label-amounts"]
print("unique bytes   16 epochs of them   as many different   cost")
for total in (8_192, 16_384, 32_768, 65_536):
    c = mean_interval(cost(32, 16, total))
    many, fresh = (
        grid.mean(grids.arm(32, total, e), "bits").value for e in (16, 1)
    )
    line = f"{total // 16:12,}{many:17.2f}{fresh:20.2f}"
    print(line + f"      {c.value:.2f} [{c.low:.2f}, {c.high:.2f}]")
d = mean_interval(cost(32, 16) - cost(32, 16, 16_384))
claim("REP-004", d.value, d)

# %% [markdown]
# The opposite of the finding: the larger text loses *more*. Look at the number of steps before you believe either. Sixteen epochs of 512 bytes are 16 steps, and no model learns
# anything by heart in 16 steps; with 4 096 bytes there are 128. In our range more text also means more training, so it is the side of a hill where the cost *climbs*. Hernandez et al. (2022) suspect such a hill: the damage is largest in the
# middle, where a text can just be learned by heart and fills the model in doing so; a text that is too large for the weights cannot be recited. The far side, where Xue et al. measured, lies beyond the longest run that we can afford.
#
# ## 4 What decides, and what does not? (12 min)
#
# **Finding 4: quality does not save it.** Xue et al. compare C4 and Wikipedia. We make the worse text ourselves: in the docstrings three words in ten are replaced by random
# letters, also in the text to test on. How much does each lose by sixteen epochs, in per cent of its own loss?

# %%
study = read_results("repetition_factors")
print(study.provenance)
print(factors.texts(factors.SPOILED)[0][0][:150])


# %%
seeds = sorted(set(grid.seeds) & set(study.seeds))


def loss_of(name, key="bits"):
    """By seed, on unseen text; arms without a change are in the grid."""
    found = (study if name in study.measured else grid).measured[name]
    return np.array([found[seed][key] for seed in seeds])


dense = {e: loss_of(grids.arm(32, 65_536, e)) for e in (1, 4, 16, 64)}

# %% tags=["label-quality"]
clean = dense[16] / dense[1] - 1
spoiled = loss_of("spoiled_e16") / loss_of("spoiled_e1") - 1
print(f"clean text loses {clean.mean():.1%}, spoiled text {spoiled.mean():.1%}")
for name, arm in (("clean", "w32_t65536_e{}"), ("spoiled", "spoiled_e{}")):
    once, often = (loss_of(arm.format(e), "train bits").mean() for e in (1, 16))
    print(f"{name}: loss on the training text {once:.2f} -> {often:.2f}")
saved = mean_interval(1 - clean / spoiled)
print("share saved by clean text:", saved)
claim("REP-005", saved.value, saved)

# %% [markdown]
# Clean text saves nothing. Here it even loses more than the spoiled, which is learned by heart more slowly: its training loss falls less. The finding holds for texts of *our* two qualities; other
# differences, such as how much a text repeats within itself, may count for more.
#
# **Findings 5 and 6: parameters or operations?** Two tricks change one without the other. *Experts* (专家, lesson 17): each feed-forward layer is cut into four quarters, of which a token takes one:
# equal parameters, fewer operations. *Sharing* (参数共享): the two blocks are run through twice with the same weights: equal parameters, more operations. (The article says that sharing
# *lowers* the operations at equal parameters. It is the other way round, as the count shows; experts lower them.)

# %% tags=["label-flops"]
kinds = {
    "experts": "experts_e{}",
    "dense": "w32_t65536_e{}",
    "shared": "shared_e{}",
}
print("          parameters  FLOPs a token   1 epoch   4     16     64")
for kind, arm in kinds.items():
    run = dataclasses.replace(base, **factors.JOB.arms.get(arm.format(1), {}))
    shape = parts.build(run, 1).config
    bits = [loss_of(arm.format(e)).mean() for e in (1, 4, 16, 64)]
    n = count_parameters(shape)
    shape = dataclasses.replace(shape, n_layers=2 * run.times)
    line = f"{kind:8}{n:12,}{flops_per_token(shape, context=64):13,}"
    print(line + "    " + "".join(f"{b:7.2f}" for b in bits))


# %% tags=["label-flops-claims"]
def costs(arm):
    once = loss_of(arm.format(1))
    return {e: loss_of(arm.format(e)) - once for e in (1, 4, 16, 64)}


lost = {kind: costs(arm) for kind, arm in kinds.items()}
gain = {e: 1 - lost["shared"][e] / lost["dense"][e] for e in (16, 64)}
print("share of the cost that more operations save, 16 epochs and 64:")
saved = mean_interval(gain[16])
print(saved, mean_interval(gain[64]), sep="\n")
claim("REP-006", saved.value, saved)
curves = {kind: np.array(list(by.values())) for kind, by in lost.items()}
pairs = zip(curves["experts"].T, curves["dense"].T)  # by seed
r = [np.corrcoef(a, b)[0, 1] for a, b in pairs]
along = mean_interval(r)
print("correlation of the costs, experts with dense:", along)
claim("REP-007", along.value, along)

# %% [markdown]
# **More operations.** Running twice through the blocks gives back about a third of the cost of 16 epochs. Our rule for "cannot prevent the loss" was *less than half*, and the interval reaches past it: not decided. At 64 epochs some
# eight per cent are saved. The other half of the finding, that more operations are slightly better, we do not see: the shared blocks are *worse* after one epoch, and after four. In 128 steps they may not have caught up.
#
# **Fewer operations.** The correlation is high, but the rule was a weak one: the column of 64 epochs lies so far off that it makes the correlation nearly alone. Read the row. Up to sixteen epochs the experts lose nothing that we can see, where the dense model loses half a
# bit; at 64 they are ruined like the others. The same trend, but later: in 128 steps they have learned less altogether, since a router must first learn whom to ask (lesson 17).
#
# **Finding 7: what is asked.** Next token, BERT's masks, UL2's mixture of denoisers (lesson 18), on the same windows, 64 times. Each is measured by its own loss on unseen text, in nats for each token that
# is asked for; so compare *differences*, not levels.

# %% tags=["label-objectives"]
asked = read_results("repetition_objectives")
rise = {}
for name in ("causal", "masked", "mixture"):
    once, often = (np.array(asked.values(f"{name}_e{e}", "nats")) for e in (1, 64))
    rise[name] = often - once
    print(
        f"{name:8} {once.mean():.2f} -> {often.mean():.2f}: {mean_interval(rise[name])}"
    )
d = mean_interval(rise["masked"] - rise["causal"])
claim("REP-008", d.value, d)

# %% [markdown]
# The masked model suffers far less. Its masks are drawn anew in each epoch, so that the same text asks other questions every time. And only 15 % of its tokens are asked for, so that it learns more slowly altogether: part of its
# calm is that there is less to spoil. The article adds that UL2's mixture suffers *more* than next-token prediction. Here it suffers a tenth as much; but it, too, is asked little and drawn anew, and our budget is far from the paper's.
#
# ## 5 Noise against learning by heart (14 min)
#
# **Dropout** (随机失活, Srivastava et al. 2014) sets each number that a part adds to the residual stream to 0 with probability $p$, anew in every step, and divides the others by $1-p$:
#
# $$\tilde x = \frac{m\,x}{1-p},\quad m\sim\text{Bernoulli}(1-p)\qquad\Longrightarrow\qquad \mathbb E[\tilde x]=x,\quad \operatorname{Var}[\tilde x]=\frac{p}{1-p}\,x^2 .$$
#
# The mean is right, so in use it is simply switched off. Whoever learns by heart needs each number to be there every time; a rule that is spread over many numbers survives.
# **Stochastic depth** (随机深度, also DropPath) does the same with a whole part of the block: for this window it is left out. Both are in `Noise`, put on a model from outside.

# %%
x = torch.full((100_000,), 2.0)
model = parts.build(base, 1)
noise = Noise(model, 0.2, seed=26)
noise.n_passes = 1
dropped = noise._on(nn.Identity().train(), None, x)
assert abs(dropped.mean() - 2) < 0.02  # ten standard errors would be 0.03
assert abs(dropped.var() - 0.2 / 0.8 * 4) < 0.02
print("mean and variance as derived")

# %% [markdown]
# **Findings 8, 9 and 10.** Sixteen epochs with dropout 0.2; with dropout in the second half only; and one epoch with dropout.
#
# **Predict.** Which of the three helps, which hurts?

# %% tags=["label-dropout"]
before = dense[16]
print(
    f"16 epochs without dropout {before.mean():.3f}, 1 epoch {dense[1].mean():.3f}"
)
arms = ("dropout0.1_e16", "dropout0.2_e16", "dropout0.4_e16", "late0.2_e16")
for arm in arms:
    d = mean_interval(loss_of(arm) - before)
    print(f"{arm:15} {loss_of(arm).mean():.3f}: {d}")
d = mean_interval(loss_of("dropout0.2_e16") - before)
claim("REP-009", d.value, d)
d = mean_interval(loss_of("dropout0.1_e1") - dense[1])
print("dropout 0.1 in one epoch:", d)
claim("REP-010", d.value, d)

# %% tags=["label-late"]
d = mean_interval(loss_of("late0.2_e16") - before)
claim("REP-011", d.value, d)
d = mean_interval(loss_of("late0.2_e16") - loss_of("dropout0.2_e16"))
print("late minus all along:", d)

# %% tags=["label-large"]
wide = {e: loss_of(grids.arm(64, 65_536, e)) for e in (1, 16)}
share = {
    32: (before - loss_of("dropout0.2_e16")) / (before - dense[1]),
    64: (wide[16] - loss_of("w64_dropout0.2_e16")) / (wide[16] - wide[1]),
}
for width, s in share.items():
    print(f"width {width}: dropout saves {s.mean():.0%} of the cost")
d = mean_interval(share[64] - share[32])
claim("REP-012", d.value, d)

# %% [markdown]
# Three of the four behave as reported. Dropout helps where a text is repeated and hurts where it is not: a price, worth paying only against overfitting. It gives back a part, not the whole, and it has a best rate: of ours 0.1, while 0.4 is worse than none.
# In the second half alone it does as well as all along, as far as five seeds can tell.
#
# The fourth does not. The wider model loses more, and dropout gives back a *larger* share of it. The abstract of the paper says that dropout "requires careful tuning" as models grow; the article makes of it that dropout does not work for
# large models. Ours are tiny, and both were given one rate, which is not the best one of the narrow model: about billions of parameters this says nothing.
#
# **The other means of regularisation** (正则化). Weight decay pulls all weights towards zero; our baseline already has 0.1.

# %% tags=["label-others"]
others = ("decay0.0_e16", "decay1.0_e16", "parts0.1_e16")
for arm in others:
    print(f"{arm:14}", mean_interval(loss_of(arm) - before))
rival = min(others, key=lambda arm: loss_of(arm).mean())
d = mean_interval(loss_of("dropout0.2_e16") - loss_of(rival))
print(f"dropout 0.2 minus {rival}:", d)
claim("REP-014", d.value, d)

# %% [markdown]
# Strong weight decay, ten times the usual, and stochastic depth each give back as much as dropout 0.2: about a quarter of the cost. No decay at all makes it slightly worse. "Only dropout" is thus not what we see. Dropout 0.1 would have come out
# ahead of both, by a few hundredths of a bit; but we know that only from the table above, and the others were given no second rate. (Lovelace et al. 2026 report that a weight decay of 1 takes away most of the overfitting on repeated data.)
#
# **Is dropout slow, and do large models go without?** The article says that models above ten billion parameters use none, "probably because it is too slow".

# %% tags=["label-large-models"]
with_dropout = {  # in pre-training; Galactica: according to the article
    "PaLM 540B": False,
    "GPT-NeoX 20B": False,
    "OPT 13B": True,
    "OPT 175B": True,
    "Galactica 120B": True,
}
print("with dropout:", [name for name, so in with_dropout.items() if so])
claim("REP-020", not any(with_dropout.values()))


# %%
def seconds_a_step(run, steps=40):
    row = parts.row_of(train_texts, run.unique, 1)
    began = time.process_time()
    parts.train_repeated(dataclasses.replace(run, total=steps * 512), row, 1)
    return (time.process_time() - began) / steps


# %% tags=["nbval-ignore-output", "label-time"]
noisy = dataclasses.replace(base, dropout=0.1)
ratio = [seconds_a_step(noisy) / seconds_a_step(base) for _ in range(3)]
print(f"a step with dropout takes {np.median(ratio):.2f} times as long")
assert 0.5 < np.median(ratio) < 3

# %% [markdown]
# Three of the five are counterexamples. Galactica is one the article names itself, in its next sentence, as the reason why four epochs helped; OPT it does not mention. And a step with dropout costs little more, on a model so narrow that everything small counts. (For GPT-3
# the paper says nothing either way.)
#
# **Finding 11: experts as a cheap forecast.** A model with experts has as many parameters and costs less. Does it choose the same dropout? Five rates, sixteen epochs:

# %% tags=["label-forecast"]
rates = (0.0, *factors.RATES)
found = {"dense": [dense[16]], "experts": [loss_of("experts_e16")]}
for kind, prefix in (("dense", ""), ("experts", "experts_")):
    found[kind] += [loss_of(f"{prefix}dropout{p}_e16") for p in factors.RATES]
table = {kind: np.array(rows) for kind, rows in found.items()}  # (rates, seeds)
print("dropout" + "".join(f"{p:8}" for p in rates))
for kind, rows in table.items():
    print(f"{kind:7}" + "".join(f"{b:8.3f}" for b in rows.mean(axis=1)))


# %% tags=["label-forecast-claim"]
def ranks(values):
    return np.argsort(np.argsort(values))  # no ties among measured losses


rho = [
    np.corrcoef(ranks(table["dense"][:, i]), ranks(table["experts"][:, i]))[0, 1]
    for i in range(len(seeds))
]
d = mean_interval(rho)
print("rank correlation by seed:", [round(float(r), 2) for r in rho], d)
claim("REP-013", d.value, d)
for kind, rows in table.items():
    print(f"{kind} would choose {rates[rows.mean(axis=1).argmin()]}")

# %% [markdown]
# At our size the forecast fails: the experts would have chosen no dropout, the dense model wants some. Sixteen epochs do not hurt the experts yet (section 4), so noise costs them and buys nothing. A proxy must be in the *same regime* as what it stands for.
# What carries over is the method: sweep on the cheap model, compare the *order*, and check one point on the dear one.
#
# ## 6 A law for repeated tokens (12 min)
#
# Can we say beforehand what four epochs are worth? Suppose that each repetition of $U$ unique tokens keeps a share $1-1/R^*$ of the value of the one before. Then $R$ repetitions are worth
#
# $$U\sum_{k=1}^{R}\Bigl(1-\frac1{R^*}\Bigr)^k\;\approx\;U\,R^*\bigl(1-e^{-R/R^*}\bigr),\qquad\text{so}\qquad D' = U+U\,R^*\bigl(1-e^{-R/R^*}\bigr),\quad R=\frac DU-1 .$$
#
# $D'$ are the **effective tokens** (等效词元数) of Muennighoff et al. (2023). While $R\ll R^*$ repeated tokens count as new ones; however long one trains, $D'$ stays below $U(1+R^*)$. Put $D'$ in the place of $D$
# in Chinchilla's law. Parameters get the same treatment: those beyond the best size for $U$ tokens count less, with their own $R^*_N$.

# %%
R = np.arange(0, 41)
for r_star in (5.0, 15.4):
    share = 1 - 1 / r_star
    total = np.array([1 + sum(share**k for k in range(1, n + 1)) for n in R])
    smooth = effective_amount(1.0, 1.0 + R, r_star)
    print(
        f"R* = {r_star}: 4 epochs are worth {smooth[3]:.2f}, 41 epochs {smooth[-1]:.1f}"
    )
    assert np.abs(total - smooth).max() < 1.0 and (smooth < 1 + r_star).all()

# %% [markdown]
# With their $R^*=15.4$ (on C4, up to nine billion parameters) four epochs are worth 3.7: nearly free. That is the counter-weight to "repetition degrades": both are right, at different epoch counts.
#
# **Our own grid.** Three sizes, 16 to 65 thousand tokens, 1 to 8 epochs; from 16 epochs on our losses *rise* steeply, and no effective amount of tokens can do that. First the base law on the runs without repetition, then both $R^*$ on the others. Five seeds of a
# setting are drawn together in the bootstrap: they are not five settings.

# %%
rows = [
    (
        arm,
        *(
            grid.values(arm, k)[i]
            for k in ("parameters", "tokens", "unique", "nats")
        ),
    )
    for width in grids.WIDTHS
    for total, all_epochs in grids.CELLS.items()
    for e in all_epochs
    if e <= 8
    for arm in [grids.arm(width, total, e)]
    for i in range(len(grid.seeds))
]
names = np.array([row[0] for row in rows])
size, read, unique, nats = np.array([row[1:] for row in rows], dtype=float).T
fresh = unique == read
print(f"{fresh.sum()} runs without repetition, {(~fresh).sum()} with it")

# %% tags=["nbval-ignore-output", "label-base"]
chinchilla = fit_parametric(size[fresh], read[fresh], nats[fresh])
law = chinchilla.law
print(f"E {law.E:.2f}, alpha {law.alpha:.2f}, beta {law.beta:.2f}")
print(f"typical error of the base law {np.abs(chinchilla.residuals).mean():.1%}")


# %%
def repetition(at, base=law):
    """Both R* from some of the repeated runs, with the base law held fixed."""
    some = np.flatnonzero(~fresh)[at]
    fit = fit_repetition(size[some], read[some], unique[some], nats[some], base)
    return {"r_d": fit.law.r_d, "r_n": fit.law.r_n}


# %% tags=["nbval-ignore-output", "label-law"]
again = bootstrap(
    repetition, int((~fresh).sum()), n_resamples=100, groups=names[~fresh]
)
for name in ("r_d", "r_n"):
    value, low, high = again.interval(name)
    print(f"{name}: {value:.1f} [{low:.1f}, {high:.1f}]")
assert 1 < again.estimates["r_d"] < 100

# %% [markdown]
# $R^*_N$ (`r_n`) cannot be told from our runs: its interval reaches the end of the range that was searched. $R^*$ of the tokens comes out at some fourteen repetitions, and the interval holds the 15.4 of the paper's models, the largest of which are about a hundred thousand times larger.
#
# Two doubts. A base law fitted to three sizes and three amounts is a poor one: $E=0$ would mean that text has no entropy. And the interval took that law as given. So draw *all* runs anew and fit both laws each time. Then compare: how far off is the loss if
# repeated tokens counted whole, or not at all?


# %% tags=["nbval-ignore-output", "label-doubt"]
def both_laws(at):
    """R* of the tokens, with a base law from the same draw."""
    new, old = at[fresh[at]], at[~fresh[at]]
    base_law = fit_parametric(size[new], read[new], nats[new], n_refined=6).law
    columns = (values[old] for values in (size, read, unique, nats))
    return {"r_d": fit_repetition(*columns, base_law).law.r_d}


drawn = bootstrap(both_laws, len(names), n_resamples=60, groups=names)
for level in (0.68, 0.95):
    _, low, high = drawn.interval("r_d", level)
    print(f"r_d with a base law drawn anew, {level:.0%}: {low:.1f} to {high:.0f}")
assert 1 < drawn.interval("r_d")[1] < 15


# %% tags=["nbval-ignore-output", "label-rivals"]
def typical_error(tokens):
    """Of the base law for the repeated runs, each read as so many new tokens."""
    predicted = law.loss(size[~fresh], tokens)
    return np.abs(np.log(predicted / nats[~fresh])).mean()


r_d = again.estimates["r_d"]
worth = effective_amount(unique, read, r_d)[~fresh]
rivals = {"count whole": read[~fresh], "do not count": unique[~fresh]}
rivals |= {f"R* = {r_d:.0f}": worth}
for name, tokens in rivals.items():
    print(f"repeated tokens {name:13}{typical_error(tokens):6.1%}")
assert typical_error(worth) < typical_error(read[~fresh]) < 0.05

# %% [markdown]
# Up to eight epochs repeated tokens count *nearly* whole (on the mean of our sizes; the widest has begun to fall off), so the law gains little over "whole" and much over "not at all". That is the firm result. For $R^*$ itself we have a lower bound, some five repetitions; above, a few draws run to the end of the range, where nothing is lost by repeating. To pin the bend down takes more sizes and
# amounts for the base law, or more epochs before overfitting sets in: what Muennighoff et al. had.
#
# What does it look like? For each recorded loss we ask the base law: how many *new* tokens would have given it?

# %% tags=["nbval-ignore-output", "label-worth"]
fitted = repetition(np.arange((~fresh).sum()))
curve = np.linspace(1, 64, 200)
fig, ax = plt.subplots(figsize=(5.6, 3), layout="constrained")
for width, style in zip(grids.WIDTHS, "os^"):
    all_epochs = grids.CELLS[65_536]
    arms = [grids.arm(width, 65_536, e) for e in all_epochs]
    loss = np.array([grid.mean(arm, "nats").value for arm in arms])
    n = grid.values(arms[0], "parameters")[0]
    rest = np.maximum(loss - law.E - law.A / n**law.alpha, 1e-9)
    worth = (law.B / rest) ** (1 / law.beta)  # tokens that give this loss
    unique_here = 65_536 / np.array(all_epochs)
    ax.plot(all_epochs, worth / unique_here, style + "--", label=f"width {width}")
ax.plot(curve, effective_amount(1.0, curve, fitted["r_d"]), "k", label="the law")
ax.axvline(8, color="k", lw=1, ls=":")
ax.set(xscale="log", yscale="log", xlabel="epochs")
ax.set(ylabel="worth (new text read once: 1)")
ax.set_xticks([1, 2, 4, 8, 16, 64], ["1", "2", "4", "8", "16", "64"])
ax.legend()
alt = "What a text is worth after so many epochs, in passes over new text of its "
alt += "length, for three widths, and the fitted law. Up to 4 epochs all rise "
alt += "together; the law levels off; the points turn down, the widest after 8 "
alt += "epochs, the narrowest after 16, and the two wider end far below 1."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Up to four epochs the points climb with the number of epochs: a repeated byte is nearly as good as a new one. Then they leave the line, the widest model first. To the right of the dotted line the law was not fitted, and there the points *fall*: for the two wider models 64 epochs
# are worth less than one pass. The narrowest turns last. The black line cannot fall: the more is read, the more $D'$ grows. A law that can needs a term for overfitting, as Lovelace et al. (2026) add. (The vertical axis is sensitive: a small step of the loss is a large one in tokens.)
#
# **Is it felt in a second text?** Xue et al. say that repetition in pre-training also hurts downstream. Our models go on with 16 kB of English stories, each byte once, and are tested on other stories:

# %% tags=["label-down"]
names_down = ("down_scratch", "down_e1", "down_e4", "down_e64")
for name in names_down:
    print(f"{name:13}{asked.mean(name, 'bits').value:7.3f} bits per byte")
print("64 epochs minus 1:", asked.difference("down_e64", "down_e1", "bits"))
print("4 epochs minus 1: ", asked.difference("down_e4", "down_e1", "bits"))

# %% [markdown]
# It is: whoever has learned 1 kB by heart starts the stories with a handicap of more than half a bit, though still ahead of a model that has read nothing. Four epochs cost less than a hundredth of a bit, at the edge of what five seeds can show.
#
# ## Homework (36 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The rest of the notebook does not depend on your answers.
#
# ### Exercise 1 · Epochs of a mixture (6 min, ★☆☆)
#
# A run reads `total` tokens. `shares` maps each source to its share of the tokens read, `sizes` to the tokens it has. Return a dict: how often each source is read,
# and under the key `"all"` how often a token of the whole is read on average: tokens read by *different* tokens read. A source read less than once counts only with what was read.
#
# <details><summary>Hint 1</summary>A source is read total · share / size times.</details>
# <details><summary>Hint 2</summary>Different tokens of a source: the smaller of its size and what is read of it.</details>


# %% tags=["exercise"]
def mixture_epochs(total, shares, sizes):
    # BEGIN SOLUTION
    read = {name: total * share for name, share in shares.items()}
    found = {name: read[name] / sizes[name] for name in shares}
    different = sum(min(read[name], sizes[name]) for name in shares)
    return found | {"all": sum(read.values()) / different}
    # END SOLUTION


# %% tags=["setup"]
def reference_epochs(total, shares, sizes):
    times = {k: total * shares[k] / sizes[k] for k in shares}
    weight = sum(shares[k] / max(1.0, times[k]) for k in shares)
    return times | {"all": sum(shares.values()) / weight}


mixtures = [
    (100.0, {"web": 0.8, "books": 0.2}, {"web": 400.0, "books": 5.0}),
    (100.0, {"web": 0.8, "books": 0.2}, {"web": 40.0, "books": 5.0}),
    (1.4e12, {"a": 0.5, "b": 0.3, "c": 0.2}, {"a": 7e11, "b": 9e11, "c": 1e11}),
]

# %% tags=["check"]
check(mixture_epochs, reference_epochs, mixtures)

# %% [markdown]
# ### Exercise 2 · Dropout (6 min, ★★☆)
#
# Draw `torch.rand(x.shape)` once, keep the numbers where the draw is at least `p`, set the others to 0, and scale so that the mean stays. With `rows=True` it is stochastic
# depth: one draw, `torch.rand(len(x))`, decides for a whole row of `x`, (B, T, D). Without `training` return `x` as it is, and draw nothing.
#
# <details><summary>Hint 1</summary>A draw of shape (B, 1, 1) decides for rows.</details>
# <details><summary>Hint 2</summary>Divide by the chance to be kept.</details>


# %% tags=["exercise"]
def dropout(x, p, training, rows):
    # BEGIN SOLUTION
    if not training:
        return x
    draw = torch.rand(len(x))[:, None, None] if rows else torch.rand(x.shape)
    return torch.where(draw >= p, x / (1 - p), torch.zeros(()))
    # END SOLUTION


# %% tags=["setup"]
def reference_dropout(x, p, training, rows):
    if not training:
        return x
    draw = torch.rand(len(x)) if rows else torch.rand(x.shape)
    kept = (draw >= p).float().reshape(-1, *([1, 1] if rows else x.shape[1:]))
    return x * kept / (1 - p)


x = torch.randn(6, 4, 3)
drops = [
    (x, p, training, rows)
    for p in (0.0, 0.3)
    for training in (True, False)
    for rows in (True, False)
]

# %% tags=["check"]
check(dropout, reference_dropout, drops)

# %% [markdown]
# ### Exercise 3 · How many tokens must be read? (8 min, ★★☆)
#
# You have `unique` tokens and want them to be worth `wanted` new ones. Solve $D'=$ wanted for $D$. Return wanted itself if that many tokens are there, and
# `math.inf` if no number of epochs is enough.
#
# <details><summary>Hint 1</summary>With r = wanted / unique − 1: r = R*(1 − exp(−R/R*)). Solve for R.</details>
# <details><summary>Hint 2</summary>There is a solution only if r is below R*.</details>


# %% tags=["exercise"]
def tokens_to_read(unique, wanted, r_star):
    # BEGIN SOLUTION
    gain = wanted / unique - 1
    if gain <= 0:
        return float(wanted)
    if gain >= r_star:
        return math.inf
    return unique * (1 - r_star * math.log(1 - gain / r_star))
    # END SOLUTION


# %% tags=["setup"]
def reference_tokens(unique, wanted, r_star):
    """By bisection on the package's law."""
    if wanted <= unique:
        return float(wanted)
    if wanted >= unique * (1 + r_star):
        return math.inf
    low, high = float(unique), 1e6 * unique
    for _ in range(200):
        middle = (low + high) / 2
        enough = effective_amount(unique, middle, r_star) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high


needs = [(100, 50, 5.0), (100, 100, 5.0), (100, 300, 5.0), (100, 550, 5.0)]
needs += [(100, 600, 5.0), (100, 900, 5.0), (1e11, 3.7e11, 15.4)]

# %% tags=["check"]
check(tokens_to_read, reference_tokens, needs)

# %% [markdown]
# ### Exercise 4 · Rank correlation with ties (8 min, ★★☆)
#
# Finding 11 compares orders, not values. Write Spearman's rank correlation of two lists: replace each value by its rank (equal values share the mean of their ranks), and take the
# ordinary correlation of the ranks. If one list is constant, return 0.0.
#
# <details><summary>Hint 1</summary>Rank of v: how many are smaller, plus half of how many <em>others</em> are equal.</details>
# <details><summary>Hint 2</summary>Correlation: sum of products of the deviations from the mean, over the root of the product of the two sums of squares.</details>


# %% tags=["exercise"]
def rank_correlation(a, b):
    # BEGIN SOLUTION
    def rank(values):
        v = np.asarray(values, dtype=float)
        smaller = (v[None, :] < v[:, None]).sum(axis=1)
        equal = (v[None, :] == v[:, None]).sum(axis=1) - 1
        r = smaller + equal / 2
        return r - r.mean()

    x, y = rank(a), rank(b)
    scale = math.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale else 0.0
    # END SOLUTION


# %% tags=["setup"]
def reference_rank(a, b):
    def rank(values):
        places = {v: [] for v in values}
        for i, v in enumerate(sorted(values)):
            places[v].append(i)
        return [sum(places[v]) / len(places[v]) for v in values]

    if len(set(a)) == 1 or len(set(b)) == 1:
        return 0.0
    return float(np.corrcoef(rank(a), rank(b))[0, 1])


lists = [([1, 2, 3, 4], [10, 20, 40, 30]), ([3, 1, 2], [1, 3, 2])]
lists += [
    ([1, 1, 2, 5], [4, 3, 3, 9]),
    ([0, 0, 0], [1, 2, 3]),
    ([2, 7, 1, 8, 2], [8, 1, 8, 2, 8]),
]

# %% tags=["check"]
check(rank_correlation, reference_rank, lists)

# %% [markdown]
# ### Exercise 5 · The plan of an epoch (8 min, ★★★)
#
# A sampler serves `n_windows` windows, epoch after epoch, each epoch in the order `np.random.default_rng([seed, epoch]).permutation(n_windows)`, in batches of `size` cut from the endless
# row. Return batch number `batch` (counted from 0) as a list of windows, without building the earlier ones; a batch may reach into the next epoch, even over several.
#
# <details><summary>Hint 1</summary>The batch holds the places batch · size to batch · size + size − 1 of the endless row.</details>
# <details><summary>Hint 2</summary><code>divmod(place, n_windows)</code> gives the epoch and the place in it.</details>


# %% tags=["exercise"]
def nth_batch(n_windows, size, seed, batch):
    # BEGIN SOLUTION
    found = []
    for place in range(batch * size, (batch + 1) * size):
        epoch, within = divmod(place, n_windows)
        order = np.random.default_rng([seed, epoch]).permutation(n_windows)
        found.append(int(order[within]))
    return found
    # END SOLUTION


# %% tags=["setup"]
def reference_batch(n_windows, size, seed, batch):
    """By the package's sampler, on a text whose windows begin with their number."""
    sampler = BatchSampler(np.arange(n_windows + 1), size, 1, seed=seed)
    for _ in range(batch + 1):
        x, _ = next(sampler)
    return x[:, 0].tolist()


plans = [
    (10, 4, 1, 0),
    (10, 4, 1, 1),
    (10, 4, 1, 2),
    (10, 4, 2, 7),
    (3, 8, 5, 2),
    (8, 8, 0, 3),
]

# %% tags=["check"]
check(nth_batch, reference_batch, plans)

# %% [markdown]
# ## At scale
#
# | model | different tokens | epochs | source |
# |---|---|---|---|
# | GPT-3 175B | five sources | 0.43 to 3.4 by source | Brown et al. 2020, table 2.2 |
# | Chinchilla 70B | six sources | 0.13 to 3.4 by source | Hoffmann et al. 2022, table A1 |
# | LLaMA 65B | seven sources | 0.64 to 2.45 by source | Touvron et al. 2023, table 1 |
# | Galactica 120B | 106 B | 4.25, with dropout | Taylor et al. 2022 |
# | 400 runs, 10M to 9B | subsets of C4 | up to 1 500 | Muennighoff et al. 2023 |
#
# Muennighoff et al. advise, if tokens run out, to spend more compute on epochs than on parameters: up to about four epochs without a second thought, up to sixteen with falling gains. Lovelace et al. (2026), whose law has a term for overfitting, turn the advice round beyond some point: rather a larger
# model, and strong weight decay. The dispute is open, and our models are too small to settle it.
#
# ## Common mistakes
#
# | mistake | how it shows |
# |---|---|
# | runs with more epochs take more steps | repetition looks *good*: it is more training |
# | the learning rate falls by epochs, not by steps | the short runs end at a high rate |
# | text of the test also in the training set (near duplicates) | repetition looks harmless |
# | dropout left on when measuring | both losses look worse, the gap looks small |
# | one seed draws one small text | a lucky kilobyte is taken for a law |
# | a law that cannot rise fitted to losses that rise | $R^*$ near 0, and a bad fit everywhere |
#
# ## Recap
#
# - A fair test changes the text alone: equal steps, fewer different tokens.
# - A few epochs cost little; many cost more than they give, and the sooner the larger the model.
# - Neither clean text nor other operations save a model from it. Objectives whose questions are drawn anew suffer far less.
# - Dropout, strong weight decay and stochastic depth soften it; dropout costs something where nothing is repeated.
# - $D'=U+UR^*(1-e^{-R/R^*})$: nearly all at first, never more than $U(1+R^*)$, and blind to overfitting.
#
# ## Questions
#
# 1. Why must the number of steps be equal?
# <details><summary>Answer</summary>Else repetition and longer training are mixed up.</details>
#
# 2. Why can $D'$ never explain a loss that rises?
# <details><summary>Answer</summary>It grows with D, and the loss falls with D'.</details>
#
# 3. Why is a masked model less troubled?
# <details><summary>Answer</summary>Its masks are drawn anew: the same text asks other questions each time. And it is asked less.</details>
#
# 4. Sharing blocks: which of parameters and operations changes?
# <details><summary>Answer</summary>Operations, at equal parameters; or parameters, at equal operations.</details>
#
# 5. Your run has 40 B tokens and a budget for 100 B. What do you do, and what for 4 000 B?
# <details><summary>Answer</summary>2.5 epochs: just repeat. 100 epochs: a smaller budget, more text, or strong regularisation.</details>
#
# 6. Why divide by $1-p$?
# <details><summary>Answer</summary>So that the mean is the same with and without noise.</details>
#
# 7. A correlation of 0.99 over four points: when does it say little?
# <details><summary>Answer</summary>When one point lies far from the others. It makes the line alone.</details>
#
# ## Sources
#
# - Xue et al. 2023, *To Repeat or Not To Repeat*, [arXiv:2305.13230](https://arxiv.org/abs/2305.13230): the eleven findings, which the article retells in its chapter on repeated tokens.
# - Muennighoff et al. 2023, *Scaling Data-Constrained Language Models*, [arXiv:2305.16264](https://arxiv.org/abs/2305.16264), section 3.1 and appendix A: effective tokens.
# - Lovelace et al. 2026, *Prescriptive Scaling Laws for Data Constrained Training*, [arXiv:2605.01640](https://arxiv.org/abs/2605.01640): a penalty for overfitting; weight decay.
# - Hernandez et al. 2022, [arXiv:2205.10487](https://arxiv.org/abs/2205.10487): a small part repeated often can hurt a lot.
# - Hoffmann et al. 2022, [arXiv:2203.15556](https://arxiv.org/abs/2203.15556), appendix A: epochs of Chinchilla's sources.
# - Srivastava et al. 2014, *Dropout* (JMLR 15); Huang et al. 2016, [arXiv:1603.09382](https://arxiv.org/abs/1603.09382), section 3: stochastic depth.
# - Villalobos et al. 2022, revised in 2024, [arXiv:2211.04325](https://arxiv.org/abs/2211.04325): the stock of text.
# - Touvron et al. 2023, [arXiv:2302.13971](https://arxiv.org/abs/2302.13971), table 1; Taylor et al. 2022, [arXiv:2211.09085](https://arxiv.org/abs/2211.09085): Galactica; Zhang et al. 2022, [arXiv:2205.01068](https://arxiv.org/abs/2205.01068): OPT's dropout; Black et al. 2022,
#   [arXiv:2204.06745](https://arxiv.org/abs/2204.06745): GPT-NeoX, whose configuration is released; Chowdhery et al. 2022, [arXiv:2204.02311](https://arxiv.org/abs/2204.02311): PaLM.
#
# ## Next
#
# [27 Pretraining](27_pretraining.ipynb): corpus, tokenizer, size and schedule in one run, with its loss predicted before.

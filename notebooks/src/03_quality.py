# %% [markdown]
# # 03 Quality: which pages are worth reading?
#
# 75 min · CPU · 40 s · 0.8 GB · needs [00 Tour](00_tour.ipynb) · code: `minillm/data/filters.py`
#
# After this lesson you can
#
# 1. measure a page by the rules of Gopher and C4, and say what a rule gets wrong;
# 2. derive the gradient of a linear classifier, train one without a human label, and test it on junk that it has never seen;
# 3. compute Kneser-Ney probabilities by hand, and sort pages by perplexity;
# 4. tell 24 languages apart by their letters;
# 5. say, with an interval, what filtering did to a model.
#
# You need Python, counting and a little calculus. What a language model and *bits per byte* are: lesson 00, section 3.
#
# ## Setup

# %% tags=["setup"]
import json
import random
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from math import exp, isclose, log
from textwrap import shorten
from time import process_time

import matplotlib.pyplot as plt
import numpy as np

from minillm.data import load_corpus
from minillm.data.c4 import C4Limits, c4_clean, c4_reason, line_reason
from minillm.data.code_filters import code_reason, strip_boilerplate
from minillm.data.detection import wilson
from minillm.data.features import words as cut_words
from minillm.data.filters import GopherLimits, bullet_share, gopher_measures
from minillm.data.filters import gopher_reason, letter_share
from minillm.data.repetition import count_repeated, gopher_repetition_reason
from minillm.data.storyworld import make_corpus
from minillm.data.words import split_words
from minillm.evaluate import bootstrap_interval, mean_interval
from minillm.lesson import check, claim, setup, show
from minillm.recipes.records import RESULTS, read_results
from minillm.recipes.studies.filtered_text import JUNK, found_junk
from minillm.recipes.studies.filtered_text import good_texts, raw_pages

setup(seed=3)

# %% [markdown]
# ## 1 Text by humans, for humans (5 min)
#
# A crawl of the web is mostly *not* language: menus, scripts, tables of prices, the same sentence a hundred times. A model that
# reads it learns it. The team behind the model BLOOM put the goal in one line: *text produced by humans for humans*. A **quality
# filter** (质量过滤) is a program that decides, page by page, whether a text is that.
#
# There are three kinds. Each was used for a well-known corpus (Gopher and LLaMA are language models; C4 and CCNet are ways to clean a crawl):
#
# | filter | asks | used by |
# |---|---|---|
# | rules | is the page of the right *shape*? | Gopher, C4, BLOOM; for code, LLaMA |
# | classifier | does it look like pages that we *chose*? | LLaMA: like pages that Wikipedia refers to |
# | language model | does it *surprise* a model of good text? | CCNet, the cleaner of LLaMA's largest source |
#
# To judge a filter we must know the truth. So we make a raw corpus whose truth is known: documentation written by people, and 40 % junk by bytes. Two sorts of junk are
# *found* on this machine (scripts and style sheets; licences, which are language but the same again and again), three are *planted*: menus, repeated lines, words with shuffled letters.
#
# One precaution. Filters that *learn* must not learn from the pages they will be asked about. So the source files of the documentation are parted into three piles: this corpus is
# made of the first, the words of the planted junk come from the second, and filters may learn from the third.

# %% tags=["nbval-ignore-output", "label-corpus"]
pages = raw_pages(seed=3, junk_share=0.4)
texts = [page.text for page in pages]
kinds = np.array([page.kind for page in pages])
good = kinds == "prose"
KINDS = ("prose", *JUNK)
for kind in KINDS:
    of_kind = [t for t, k in zip(texts, kinds) if k == kind]
    kb = sum(len(t.encode()) for t in of_kind) / 1000
    first = "" if kind == "licence" else shorten(of_kind[0], 44)
    print(f"{kind:9}{len(of_kind):4} pages{kb:5.0f} KB  {first}")
piles = good_texts()
ours, junk_words, known = (piles[p] for p in ("train", "classifier", "test"))
assert 0.5 < good.mean() < 0.75
assert not set(ours) & set(known) and not set(junk_words) & set(known)

# %% [markdown]
# ## 2 Rules: what shape has a page? (7 min)
#
# A **heuristic rule** (启发式规则) measures one thing and has one bound. Here are eight measures of a page that nobody wrote for you:

# %%
menu = "- Home\n- News ...\n- Log in\n- 3 > 2 #1"
for name, value in gopher_measures(menu).items():
    print(f"{name:15}{value:.2f}")
assert gopher_measures(menu)["bullet_lines"] == 1

# %% [markdown]
# Nothing here knows what the page says. `letter_words` is the share of words with a letter in them, and `stop_words` counts how many *different* ones of eight
# very common words (**stop words**, 停用词: *the be to of and that have with*) occur. English prose has some in every other sentence. Here are the bounds of Gopher's authors (Rae et al. 2021):

# %% tags=["label-limits"]
for name, bound in vars(GopherLimits()).items():
    if name != "stop_words":
        print(f"{name:20}{bound:>9,}")

# %% [markdown]
# "At least 50 words": is 50 kept or dropped? Such edges are where two programs differ, so each is tried on both sides. (The course's rules are tested to decide
# like those of the library `datatrove`, at every edge and on the documents of this machine: `tests/data/test_filters_peer.py`.)
#
# A second set of rules asks **how much is said again**. The first copy of a line is no repetition; each further copy is, and its characters count:

# %%
page = " ".join(["the", "be"] + ["word"] * 48)
shorter = page.removesuffix(" word")
print("50 words:", gopher_reason(page), "| 49 words:", gopher_reason(shorter))
words = ["the", "be"] + ["word"] * 88
for n in (10, 11):
    print(n, "hashes:", gopher_reason(" ".join(words + ["#"] * n)))
lines = ["a", "bb", "bb", "bb"]
print(count_repeated(lines), "repeated lines, and their characters")
song = "\n".join(["the cat sat"] * 3 + ["and then it slept"] * 2)
print(gopher_repetition_reason(song))  # 3 of 5 lines: over 30 %
assert count_repeated(song.split("\n")) == (3, 2 * 11 + 17)

# %% [markdown]
# The same is counted for paragraphs and for runs of 2 to 10 words. Now all rules on the raw corpus.
#
# **Predict, then run.** Which kind of junk gets through? And which share of the *good* pages stays?


# %% tags=["nbval-ignore-output", "label-rules"]
def table(filters):
    """Print which share of each kind of page is kept."""
    print(f"{'kept':12}" + "".join(f"{kind:>10}" for kind in KINDS))
    for name, keep in filters.items():
        row = [keep[kinds == kind].mean() for kind in KINDS]
        print(f"{name:12}" + "".join(f"{share:10.0%}" for share in row))


reasons = [gopher_reason(text) for text in texts]
repeats = [gopher_repetition_reason(text) for text in texts]
shape = np.array([reason is None for reason in reasons])
fresh = np.array([reason is None for reason in repeats])
table({"quality": shape, "repetition": fresh, "both": shape & fresh})
assert (shape & fresh)[kinds == "shuffled"].mean() > 0.7
assert 0.25 < shape[good].mean() < 0.75

# %% [markdown]
# Two surprises. Shuffled letters pass: the rules do not read. And about *half of the good pages are gone*. Which rule was it?

# %% tags=["nbval-ignore-output"]
broken = Counter(r for r, is_good in zip(reasons, good) if is_good and r)
print(broken.most_common(3))
sentence = "Returns a list (or None), see `split`."
for cut in (split_words, str.split):
    print(cut(sentence), f"{letter_share(cut(sentence)):.2f}")
assert broken.most_common(1)[0][0] == "few_letters"

# %% [markdown]
# The rule says that 80 % of the words must hold a letter. It does not say what a *word* is. The library cuts like a linguist: brackets and commas are words of their own, and words
# without a letter. Cut at spaces, the same sentence has a letter in every word.

# %% tags=["nbval-ignore-output", "label-letters"]
share = {}
for name, cut in (("library's words", split_words), ("spaces", str.split)):
    share[name] = [letter_share(cut(t)) for t, g in zip(texts, good) if g]
fig, ax = plt.subplots(figsize=(6.2, 2.5), layout="constrained")
bins = np.linspace(0.6, 1, 41)
ax.hist(share["library's words"], bins, alpha=0.8, label="library's words")
ax.hist(share["spaces"], bins, histtype="step", lw=2, label="cut at spaces")
ax.axvline(0.8, color="k", ls="--", lw=1, label="bound")
ax.set(xlabel="share of words with a letter", ylabel="good pages")
ax.legend()
show(
    fig,
    alt="Two histograms of the share of words with a letter, over good pages: "
    "counted with punctuation it straddles the bound 0.8, at spaces it does not.",
)

# %% [markdown]
# **What you should see.** The filled hill lies right across the bound, the outlined one far to its right. Same pages, same rule, same bound, another idea of a word. *A bound belongs to
# the way of measuring it was found with.*


# %% tags=["nbval-ignore-output", "label-spaces"]
def keeps(text):
    first = gopher_reason(text, words=str.split)
    return (first or gopher_repetition_reason(text, words=str.split)) is None


spaces = np.array([keeps(text) for text in texts])
table({"as library": shape & fresh, "at spaces": spaces})
assert spaces[good].mean() > 0.9 and spaces[kinds == "repeats"].mean() < 0.05

# %% [markdown]
# ### 2.1 Bounds are tuned on labelled pages (2 min)
#
# BLOOM had 46 natural languages, and no bound fits all. So people who speak a language fluently chose its bounds and its list of words. Why that is needed:

# %%
zh = make_corpus(3, 60, "zh")  # invented stories in Chinese
print(zh[0][:24])
print(Counter(gopher_reason(text, words=cut_words) for text in zh))
common = Counter(w for t in zh[:30] for w in set(cut_words(t)) if w.isalpha())
top = tuple(sorted(common, key=lambda w: (-common[w], w))[:8])
limits = GopherLimits(min_word_length=1, stop_words=top)
print(top)
print(Counter(gopher_reason(t, limits, words=cut_words) for t in zh[30:]))

# %% [markdown]
# Every Chinese page breaks "words of at least 3 letters". With a bound and a word list made from 30 of them, the other 30 pass. The same for our documentation: set the bound so that 98 % of 100
# *labelled* good pages pass, then count on the others.

# %% tags=["nbval-ignore-output"]
found = np.array([letter_share(split_words(t)) for t in texts])
labelled = np.flatnonzero(good)[:100]
others = np.flatnonzero(good)[100:]
bound = np.quantile(found[labelled], 0.02)
passed = found >= bound
menus = passed[kinds == "menu"]
print(f"bound {bound:.2f}")
print("good pages kept", wilson(sum(passed[others]), len(others)))
print("menus kept     ", wilson(sum(menus), len(menus)))
assert 0.5 < bound < 0.8 and passed[others].mean() > 0.9 and menus.mean() > 0.5

# %% [markdown]
# The bound holds on pages that it was not made for. But look at the last line: it lets the menus in as well. No bound on *this* measure could part the two; tuning cannot repair a measure, only
# place it.
#
# ### 2.2 C4: line by line (2 min)
#
# C4's rules (Raffel et al. 2020) keep *lines* that look like sentences, and drop a page with fewer than five sentences left.

# %%
web = """Home | About us
We use cookies to make this site better.
The goat ran away. Ada looked for it at the river.
It was not there! Where was it? She asked the miller.
Read more ..."""
dropped = Counter()
print(c4_clean(web, lines=dropped))
print(dict(dropped))

# %% tags=["nbval-ignore-output", "label-c4"]
c4 = np.array([c4_reason(text) is None for text in texts])
table({"Gopher": shape & fresh, "C4": c4})
lines = [line.strip() for t in known[:50] for line in t.split("\n")]
wrapped = [line_reason(line) for line in lines if line]
no_mark = wrapped.count("no_end_mark") / len(wrapped)
print(f"{no_mark:.0%} of the lines of prose have no end mark")
assert c4[good].mean() < 0.7 and c4[~good].mean() < 0.2

# %% [markdown]
# Our planted junk has no full stops, so it is easy prey for C4. But most good pages go too, and again the reason is no lack of quality: documentation is *wrapped* at 79 columns, so most of
# its lines end in the middle of a sentence.
#
# ### 2.3 Code has its own rules (2 min)
#
# LLaMA kept code under MIT, BSD or Apache licences, looked at the length of lines and the share of letters and digits, and cut standard headers off.

# %%
code = "# Copyright (c) The Authors. All rights reserved.\nx = 1\n"
print(strip_boilerplate(code))
print(code_reason("x = 1\n", licence="GPL-3.0"))
print(code_reason("x = 1\n", licence="MIT"))
long_line = "a" * 1000
print(code_reason(long_line + "\nb" * 20))
print(code_reason(long_line + "a" + "\nb" * 20))
print(code_reason("ab{}()[]{}"), code_reason("ab{}()[]"))

# %% [markdown]
# Each rule was tried at both sides: 1000 characters in a line pass and 1001 do not; a quarter of letters and digits passes, a fifth does not.
#
# ## 3 A classifier: does it look like what we chose? (9 min)
#
# Rules see shape. Let a program learn from examples instead. It needs three things: numbers for a text, a score, and a way to improve.
#
# **Numbers for a text.** An **n-gram** (n 元组) is $n$ neighbours: *red key* is a 2-gram of words. There are too many to give each its own number, so a hash puts each into one of $F$ buckets. Two
# may share a bucket; no table is kept.

# %%
from minillm.data.classifier import LinearClassifier, pu_adjust
from minillm.data.features import bag_of_ngrams, hashed_ngrams, ngrams_of
from minillm.data.logistic import loss_and_gradient, softmax

text = "a red key is a key"
grams = ngrams_of(text, (1, 2), "word")
buckets = hashed_ngrams(text, (1, 2), "word", 16)
print(dict(zip(grams, buckets.tolist())))
places, x = bag_of_ngrams(text, (1, 2), "word", 16)
print(f"{len(grams)} n-grams in {len(places)} buckets", end="; ")
print(f"the length of x is {(x @ x) ** 0.5:.3f}")

# %% [markdown]
# The vector is $x_j=\sqrt{c_j/\sum_k c_k}$, with $c_j$ the number of n-grams in bucket $j$: zero nearly everywhere, and of length 1 for short and long texts.
#
# **A score for each class** $k$ (*good*, *junk*): $s_k=\sum_j x_jW_{jk}+b_k$, with a weight $W_{jk}$ for each bucket. The **softmax** makes probabilities of scores: $p_k=e^{s_k}/\sum_m e^{s_m}$, all positive, together 1. How
# badly a text of the true class $y$ was judged is its **loss**, $L=-\ln p_y$: 0 if $p_y=1$, large if $p_y$ is small.
#
# **Improve: the gradient** (梯度). Step by step:
#
# 1. $L=-\ln p_y=-s_y+\ln\sum_m e^{s_m}$.
# 2. Change one score $s_k$. The first part changes by $-1$ if $k=y$, else not at all: $-[k=y]$. The second by $e^{s_k}/\sum_m e^{s_m}=p_k$.
# 3. So $\dfrac{\partial L}{\partial s_k}=p_k-[k=y]$: *what was said minus what is true*.
# 4. And $s_k$ changes by $x_j$ when $W_{jk}$ changes by 1, so $\dfrac{\partial L}{\partial W_{jk}}=x_j\,(p_k-[k=y])$.
#
# A derivation is a claim. We test it: move each weight a little up and down and look at the loss.

# %%
rng = np.random.default_rng(3)
W, b = rng.normal(size=(16, 2)), rng.normal(size=2)
p = softmax(x @ W[places] + b)
by_hand = np.zeros_like(W)
by_hand[places] = np.outer(x, p - [0, 1])  # the right class is number 1


def loss(W):
    return loss_and_gradient(W, b, [(places, x)], [1])[0]


step, measured = 1e-5, np.zeros_like(W)
for j, k in np.ndindex(W.shape):
    move = np.zeros_like(W)
    move[j, k] = step
    measured[j, k] = (loss(W + move) - loss(W - move)) / (2 * step)
assert np.abs(measured - by_hand).max() < 1e-8
print("all", W.size, "derivatives agree")

# %% [markdown]
# **Stochastic gradient descent** (随机梯度下降) takes the texts one by one in random order, and moves $W$ a little against each gradient. By hand, the first step: all weights are 0, so $p=(½, ½)$, and the
# weight of each n-gram of the text moves by rate × $x_j$ × ½ towards its class.

# %%
two = LinearClassifier(64, (1,), lr=0.4, epochs=1)
two.fit(["key", "snow"], ["a", "b"])
moved = sorted(np.abs(two.weights_[two.weights_ != 0]).tolist())
print([round(weight, 3) for weight in moved])
first = 0.4 * 1 * 0.5
p_wrong = softmax(np.array([first, -first]))[0]  # only the bias speaks
second = 0.2 * p_wrong  # the rate has fallen to its half
print(round(first, 3), round(float(second), 3))
assert np.allclose(moved, [second, second, first, first], atol=1e-6)

# %% [markdown]
# **Labels without anybody labelling.** Where a text *comes from* is a label: **provenance** (来源). Documentation of pile three is *good*, scripts and licences of other files are *junk*. Nobody
# reads a page. That is how it was done for GPT-3 and LLaMA, at a larger scale.

# %% tags=["nbval-ignore-output", "label-words"]
draw = random.Random(3)
found_kinds = found_junk()["classifier"]  # markup and licences, other files
bad = [text for some in found_kinds.values() for text in some]
examples = draw.sample(known, 300) + draw.sample(bad, 300)
labels = ["good"] * 300 + ["junk"] * 300
model = LinearClassifier(1 << 16, (1, 2), seed=3).fit(examples, labels)
parts = model.contributions(next(t for t, g in zip(texts, good) if g), "good")
print("for good:", [gram for gram, _ in parts[:7]])
print("against: ", [gram for gram, _ in parts[-5:]])

# %% [markdown]
# ### 3.1 The easy test and the hard test (4 min)
#
# The classifier has seen markup and licences, of *other files*. Asking it about more of these is the **easy** test. It has never seen a menu, a repeated line or shuffled letters: that is the **hard** one, and
# the one that counts, for a crawl always holds junk that nobody thought of.
#
# One number for how well scores part two groups is the **AUC**: *the probability that a random good page scores higher than a random junk page* (a tie counts half). Guessing gives ½.


# %% tags=["nbval-ignore-output", "label-easyhard"]
def auc(good_scores, junk_scores):
    junk = np.sort(junk_scores)
    below = np.searchsorted(junk, good_scores, "left")
    not_above = np.searchsorted(junk, good_scores, "right")
    return float((below + not_above).mean() / 2 / len(junk))


assert auc([3, 2], [1, 2]) == 3.5 / 4  # pairs: 3>1, 3>2, 2>1, and 2=2
score = model.predict_proba(texts)[:, model.classes_.index("good")]
of_kind = {kind: auc(score[good], score[kinds == kind]) for kind in JUNK}
easy = np.isin(kinds, ("markup", "licence"))
hard = ~good & ~easy
for name, group in (("easy", easy), ("hard", hard)):
    s = score[group]
    print(f"{name}: AUC {auc(score[good], s):.3f}", end=", ")
    print(f"{(s > 0.5).mean():.0%} pass at 1/2")
print({kind: round(value, 3) for kind, value in of_kind.items()})
assert auc(score[good], score[easy]) > 0.97
assert auc(score[good], score[hard]) > 0.9
assert (score[easy] > 0.5).mean() < 0.3 < 0.4 < (score[hard] > 0.5).mean()

# %% [markdown]
# The hard AUC is nearly as high as the easy one. And yet, with the bound at ½, most of the hard junk *passes*. How can both be true?

# %% tags=["nbval-ignore-output", "label-scores"]
fig, ax = plt.subplots(figsize=(6.4, 2.7), layout="constrained")
for y, kind in enumerate(KINDS):
    s = score[kinds == kind]
    low, middle, high = np.quantile(s, [0.05, 0.5, 0.95])
    ax.plot([low, high], [y, y], lw=4, alpha=0.5, color=f"C{y}")
    ax.plot(middle, y, "o", color=f"C{y}")
ax.axvline(0.5, color="k", ls="--", lw=1)
ax.set(yticks=range(len(KINDS)), yticklabels=KINDS, xlim=(0, 1))
ax.set_xlabel("p(good): median, and the middle 90 % of the pages")
ax.invert_yaxis()
show(
    fig,
    alt="p(good) by kind: markup and most licences near 0, prose near 1, menus "
    "below one half, repeats and shuffled letters between one half and prose.",
)

# %% [markdown]
# **What you should see.** Good pages, and most of the junk that it knows, lie at the ends. What it has *never* seen lies between: menus left of ½, repeats and shuffled letters right of it, on the wrong side. The order is right; the bound is not. So
# choose the bound from the good pages alone: 95 % of held-out good pages shall pass.

# %% tags=["nbval-ignore-output", "label-classifier"]
held_out = [t for t in known if t not in set(examples)][:300]
bound = np.quantile(model.predict_proba(held_out)[:, 0], 0.05)
by_classifier = score > bound
table({"at 1/2": score > 0.5, f"at {bound:.2f}": by_classifier})
assert (score > 0.5)[hard].mean() > by_classifier[hard].mean() + 0.2
assert 0.85 < by_classifier[good].mean() <= 1

# %% [markdown]
# ### 3.2 Positive and unlabelled (2 min)
#
# LLaMA's classifier had pages that Wikipedia refers to, against *random pages of the crawl*. But some random pages are good as well! The classifier then learns
# $p(\text{chosen}\mid x)$, which is too low. If each good page had the same chance $c$ to be chosen,
#
# $$p(\text{chosen}\mid x)=c\;p(\text{good}\mid x),$$
#
# so divide by $c$, and estimate $c$ by the mean score of chosen pages that were held out (there $p(\text{good})=1$). We choose 30 % of the good pages and hide the rest among the junk:

# %% tags=["nbval-ignore-output"]
mixed = draw.sample(known, 400) + draw.sample(found_kinds["markup"], 400)
is_good = np.arange(800) < 400
is_chosen = is_good & (np.random.default_rng(3).random(800) < 0.3)
part = np.random.default_rng(4).permutation(800)
learn, ask = part[:500], part[500:]
names = ["chosen" if c else "random" for c in is_chosen[learn]]
pu = LinearClassifier(1 << 14, (1,), l2=1e-3)
pu.fit([mixed[i] for i in learn], names)
raw = pu.predict_proba([mixed[i] for i in ask])[:, 0]
fixed, c = pu_adjust(raw, raw[is_chosen[ask]])
share = {}
for name, s in (("as learnt", raw), (f"divided by c = {c:.2f}", fixed)):
    share[name] = (s > 0.5)[is_good[ask]].mean()
    print(f"{name}: {share[name]:.0%} of good pages pass")
before, after = share.values()
assert before < 0.4 < 0.7 < after and 0.1 < c < 0.5
assert (fixed > 0.5)[~is_good[ask]].mean() < 0.1

# %% [markdown]
# The estimate of $c$ need not hit the 0.3 that we planted: it supposes that the classifier is sure of its own positives, and a small one is not. The bound is repaired all the same.
#
# ## 4 A language model as a judge (10 min)
#
# CCNet asks: how much does the page *surprise* a model that has read good text? Not a neural model (lesson 09), but one that counts: it guesses a word from the one or two words before it. Here is
# a training text that fits on a card, three texts of two words:
#
# > a b &nbsp;&nbsp; a c &nbsp;&nbsp; a b
#
# After *a* came *b* twice and *c* once, so $p(b\mid a)=\frac23$? Counting alone says that *a a* is impossible, and one impossible pair makes a whole page impossible. So some probability must be put aside for what was not
# seen: **smoothing** (平滑). The best way with counts is that of Kneser and Ney, in three ideas. Write $c(vw)$ for how often $w$ came after $v$, and $c(v\,\cdot)$ for how often anything did.
#
# **1. Take a discount.** From each count take $D$ (say ½). After *a* there were two kinds of words, so $2\cdot½=1$ of 3 counts is free. That is the share $\gamma(a)=\frac{D\cdot 2}{3}=\frac13$.
#
# **2. Give it to a model with less context**: $\;p(w\mid v)=\dfrac{c(vw)-D}{c(v\,\cdot)}+\gamma(v)\,p(w)$.
#
# **3. In that model, do not count how often, but in how many surroundings.** *Francisco* is frequent, but only after *San*. When no context helps, it is a bad guess. So the shorter model uses the
# **continuation count** (接续计数): after how many *different* words did $w$ come?

# %%
from minillm.data.buckets import perplexity_buckets
from minillm.data.ngram import END, START, NgramModel
from minillm.data.ngram_counts import closed_form_discounts

card = ["a b", "a c", "a b"]
after_a = Counter(b for a, b in (text.split() for text in card))
pairs = {pair for t in card for pair in pairwise([START, *t.split(), END])}
print(sorted(pairs))
n_before = Counter(w for v, w in sorted(pairs))
print(n_before, "together", n_before.total())

# %% [markdown]
# Five different pairs. `</s>` came after *b* and after *c*: 2. The others came after one word each. *b* stands twice on the card and still counts 1.
#
# Under this model lies the last one, which knows nothing: $1/V$ for each of $V=5$ tokens (*a*, *b*, *c*, `</s>`, and `<unk>`, any other word). Again take ½ from each of the four kinds:
#
# $$p(b)=\frac{1-½}{5}+\frac{½\cdot4}{5}\cdot\frac15=\frac1{10}+\frac2{25}=\frac9{50}$$
#
# $$p(b\mid a)=\frac{2-½}{3}+\frac13\cdot\frac9{50}=\frac12+\frac3{50}=\frac{14}{25}$$

# %%
D, V = Fraction(1, 2), 5
p1 = {w: (n - D) / 5 + D * 4 / 5 / V for w, n in n_before.items()}
p1["<unk>"] = D * 4 / 5 / V
gamma = D * len(after_a) / 3
own = {w: max(after_a[w] - D, Fraction(0)) / 3 for w in p1}
p2 = {w: own[w] + gamma * p1[w] for w in p1}
print(
    "p(b) =",
    p1["b"],
    " p(b | a) =",
    p2["b"],
    " sums:",
    sum(p1.values()),
    sum(p2.values()),
)
counted = NgramModel(order=2, discounts=0.5).fit(card)
for w in p2:
    assert isclose(exp(counted.logprob(w)), p1[w])
    assert isclose(exp(counted.logprob(w, ["a"])), p2[w])
assert p1["b"] == Fraction(9, 50) and p2["b"] == Fraction(14, 25)

# %% [markdown]
# The package gives the same ten numbers, and each row sums to 1: nothing was lost, only moved.
#
# **Predict, then run.** *San Francisco* stands 20 times in a text, *glasses* 4 times, after four different words. After a word that was never seen, which of the two is likelier?

# %%
trip = ["San Francisco"] * 20
trip += [f"{whose} glasses" for whose in ("my", "your", "his", "old")]
sf = NgramModel(order=2, discounts=0.5).fit(trip)
for w in ("Francisco", "glasses"):
    print(w, round(exp(sf.logprob(w, ["reading"])), 3))
assert sf.logprob("Francisco") < sf.logprob("glasses")
assert sf.logprob("Francisco", ["San"]) > log(0.9)

# %% [markdown]
# **Modified** Kneser-Ney takes three discounts, for counts of 1, of 2, and of 3 or more. How large? Look at how many n-grams were seen once ($n_1$), twice ($n_2$), ...: many singles mean that much was missed.
#
# $$Y=\frac{n_1}{n_1+2n_2},\quad D_1=1-2Y\frac{n_2}{n_1},\quad D_2=2-3Y\frac{n_3}{n_2},\quad D_{3+}=3-4Y\frac{n_4}{n_3}$$
#
# With $n=(8,4,2,1)$: $Y=8/16=½$, $D_1=1-2\cdot½\cdot½=½$, $D_2=2-3\cdot½\cdot½=1.25$, $D_{3+}=3-4\cdot½\cdot½=2$.

# %%
counts = np.repeat([1, 2, 3, 4], [8, 4, 2, 1])
print(closed_form_discounts(counts))
assert closed_form_discounts(counts) == (0.5, 1.25, 2.0)

# %% [markdown]
# **Perplexity** (困惑度) is $\exp$ of the mean surprise $-\ln p$ over the tokens: *as unsure as among so many equally likely words*. The model learns from pile three, and judges the corpus.

# %% tags=["nbval-ignore-output", "label-surprise"]
lm = NgramModel(order=3).fit(known)
surprise = np.array([nll / n for nll, n in lm.nll_many(texts)])
perplexity = np.exp(surprise)
for kind in KINDS:
    here = kinds == kind
    print(f"{kind:9} median {np.median(perplexity[here]):8,.0f}", end="")
    print(
        ""
        if kind == "prose"
        else f"  AUC {auc(-surprise[good], -surprise[here]):.3f}"
    )
assert np.median(perplexity[here]) > 10 * np.median(perplexity[good])

# %% tags=["nbval-ignore-output", "label-perplexity"]
thirds = np.quantile(perplexity, [1 / 3, 2 / 3])
fig, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
jitter = np.random.default_rng(3).uniform(-0.3, 0.3, len(texts))
for y, kind in enumerate(KINDS):
    here = kinds == kind
    ax.plot(perplexity[here], y + jitter[here], ".", ms=3, alpha=0.6, color=f"C{y}")
for bound in thirds:
    ax.axvline(bound, color="k", ls="--", lw=1)
a, b = thirds
for at, name in ((a / 3, "head"), ((a * b) ** 0.5, "middle"), (b * 3, "tail")):
    ax.text(at, -0.75, name, ha="center", size=9)
ax.set(xscale="log", yticks=range(len(KINDS)), yticklabels=KINDS)
ax.set_xlabel("perplexity of a trigram model of other documentation")
ax.set_ylim(len(KINDS) - 0.5, -1.1)
show(
    fig,
    alt="Perplexity of every page by kind: prose lowest, licences, markup and "
    "repeats overlap its upper half, menus and shuffled letters far above.",
)

# %% [markdown]
# **What you should see.** Shuffled letters and menus are far to the right: nobody writes like that. Repeated lines sit close to prose. They were *cut out of* good sentences, and the model
# forgets that it has just read the same line: fluent, and worthless.
#
# CCNet cuts the pages at the two dashed lines into **head, middle and tail** (头、中、尾), a third each. Predict: where are the good pages?

# %% tags=["nbval-ignore-output", "label-buckets"]
bucket = np.array(perplexity_buckets(perplexity, perplexity))
table({name: bucket == name for name in ("head", "middle", "tail")})
assert (bucket == "head")[good].mean() > 0.4
assert (bucket == "tail")[kinds == "shuffled"].mean() > 0.95

# %% [markdown]
# ### 4.1 The verdict on both (2 min)
#
# The ledger's rule, written before the measurement: on this corpus the AUC of the classifier *and* of the language model must be at least 0.95. How sure are we? The **bootstrap** (自助法) draws the
# pages anew, with replacement, 500 times, and looks at how far the smaller AUC wanders.


# %% tags=["nbval-ignore-output", "label-verdict"]
def smaller_auc(which):
    i = which.astype(int)
    g = good[i]
    return min(auc(s[i][g], s[i][~g]) for s in (score, -surprise))


both = bootstrap_interval(np.arange(len(texts)), smaller_auc, n_resamples=500)
print(f"classifier {auc(score[good], score[~good]):.3f}", end=", ")
print(f"language model {auc(-surprise[good], -surprise[~good]):.3f}")
print(f"the smaller one {both.value:.3f} [{both.low:.3f}, {both.high:.3f}]")
claim("DAT-015", both.value, both)
assert 0.88 < both.value < 0.99

# %% [markdown]
# Two warnings belong to this number.
#
# **The judge must not know the case.** Our planted repeats are made of words of pile two. What if a model learns from pile two?
#
# **What is rare is not bad.** What does it say to the stories of lesson 00: simple English, faultless, and about goats instead of arguments?

# %% tags=["nbval-ignore-output", "label-cost"]
partial = NgramModel(order=3).fit(junk_words)
knows = np.array([nll / n for nll, n in partial.nll_many(texts)])
again = kinds == "repeats"
for name, s in (("pile three", surprise), ("pile two", knows)):
    print(f"learnt from {name}: AUC {auc(-s[good], -s[~good]):.3f}", end=", ")
    print(f"against repeats {auc(-s[good], -s[again]):.3f}")
assert auc(-knows[good], -knows[again]) < 0.5
stories = make_corpus(3, 60, "en")
ppl = [lm.perplexity(text) for text in stories]
where = Counter(perplexity_buckets(ppl, perplexity))
liked = model.predict_proba(stories)[:, 0] > 0.5
by_rules = np.mean([gopher_reason(text) is None for text in stories])
print(f"60 stories: median perplexity {np.median(ppl):,.0f};", dict(where))
print(f"kept by rules {by_rules:.0%}, by the classifier {liked.mean():.0%}")
assert where["tail"] > 40 and liked.mean() > 0.8

# %% [markdown]
# A model that has read the sentences likes the junk *better* than the good pages. A filter and its test must not share a text.
#
# And the stories: all in the tail, among the shuffled letters. A perplexity filter keeps what resembles its training text; everything else, good or bad, is *surprising*. That is why CCNet trains one model for each language, on
# Wikipedia, and why whole subjects can go missing.
#
# ### 4.2 Two corpora from one crawl (2 min)
#
# LLaMA used both CCNet's pages and C4. Would two copies of the same filter be of use? Keep as many pages by perplexity as C4's rules keep, and take the **Jaccard similarity**: pages that both keep, divided by pages that either
# keeps.


# %% tags=["nbval-ignore-output", "label-jaccard"]
def kept_alike(which):
    i = which.astype(int)
    rules, s = c4[i], surprise[i]
    by_model = s <= np.sort(s)[rules.sum() - 1]
    return (rules & by_model).sum() / (rules | by_model).sum()


alike = bootstrap_interval(np.arange(len(texts)), kept_alike, n_resamples=500)
print(f"Jaccard {alike.value:.2f} [{alike.low:.2f}, {alike.high:.2f}]")
claim("DAT-016", alike.value, alike)
assert alike.value < 0.6

# %% [markdown]
# The two agree on a part only, because they look at different things. (On wrapped documentation, C4's rules suffer; on web pages the two would agree more. How much: not measured here.)
#
# ## 5 Which language is it? (5 min)
#
# CCNet's second step is **language identification** (语种识别). The same linear classifier, now on n-grams of *characters*: *sch* smells German, *ção* Portuguese. It learns from the names of
# languages and countries in 24 languages (*Deutschland*, 德国, *Германия*), which come with the package `babel`. One name in five is held out, in all languages at once.

# %% tags=["nbval-ignore-output"]
from minillm.data.language_id import LanguageIdentifier, confused_pairs
from minillm.data.language_id import pieces, split_names
from minillm.data.names import from_text

names = dict(from_text(t) for t in load_corpus("names", progress=False).texts)
codes = "ar bg cs da de el en es fi fr he hi hu it ja ko nl pl pt ru sv tr uk zh"
learn, ask = split_names({code: names[code] for code in codes.split()})
half = {code: some[::2] for code, some in learn.items()}
language = LanguageIdentifier(n_buckets=1 << 14, epochs=2).fit(half)
print(len(language.languages), "languages")
tried = {
    "en": "The goat ran away, and Ada looked for it at the river.",
    "de": "Die Ziege lief weg, und Ada suchte sie am Fluss.",
    "zh": zh[0][:40],
    "und": "12 + 3",
}
for code, text in tried.items():
    answer, p = language.predict(text)
    print(f"{code:3} -> {answer:3} (p = {p:.2f})  {text[:32]}")
assert language.predict("12 + 3") == ("und", 0.0)

# %% [markdown]
# A text without letters gets *und*, undetermined. The probability is one *among the 24*: a low one is a warning, and one sentence may be too little for a program that has read only names. **Predict:** how many letters does it take to be right nine times in ten: 5, 20, or 80?

# %% tags=["nbval-ignore-output", "label-length"]
lengths = (5, 10, 20, 40, 80)
right, truth, said = [], [], []
for n in lengths:
    cut = {code: pieces(" ".join(some), n, 12) for code, some in ask.items()}
    asked = [(code, text) for code, some in cut.items() for text in some]
    answers = [c for c, _ in language.predict_many([t for _, t in asked])]
    right.append(np.mean([c == a for (c, _), a in zip(asked, answers)]))
    truth += [c for c, _ in asked]
    said += answers
file = RESULTS / "language_id" / "udhr.json"
recorded = json.loads(file.read_text("utf-8"))
prose = recorded["measured"]["by_length"]
print({n: round(float(r), 2) for n, r in zip(lengths, right)})
print("confused:", [pair for pair, _ in confused_pairs(truth, said)[:4]])
assert right == sorted(right) and right[-1] > 0.85 > 0.75 > right[0]

# %% tags=["nbval-ignore-output", "label-languages"]
fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
ax.plot(lengths, right, "o-", label="names, 24 languages (now)")
n_languages = len(recorded["config"]["languages"])
ax.plot(
    [int(n) for n in prose],
    [row["share"] for row in prose.values()],
    "s--",
    label=f"human rights, {n_languages} languages (recorded)",
)
ax.axhline(0.9, color="k", lw=1, ls=":")
ax.set(xscale="log", xlabel="characters of the text", ylabel="share right")
ax.set_xticks([5, 10, 20, 50, 100, 400], [5, 10, 20, 50, 100, 400])
ax.legend()
show(
    fig,
    alt="Share of texts whose language is recognised, against their length: "
    "about a half at 5 characters, over nine in ten from 80 or 100 on.",
)

# %% [markdown]
# **What you should see.** Both curves climb: a handful of letters is little better than a coin, a hundred are right nine times in ten. The dashed one was learnt from the same kind of names and asked about whole sentences, of the Universal Declaration of
# Human Rights. Mistakes are between neighbours that share their letters (Danish and Swedish, Bulgarian and Russian, Chinese and the Chinese characters of Japanese).
#
# ## 6 Does it help? (6 min)
#
# The point of it all. The same small model (0.1 M parameters, tokens are bytes) makes the same number of steps, so it reads *equally many tokens*; only the text differs. It is measured on clean documentation of files that
# no arm has seen. Five seeds; each seed draws another corpus. Recorded by `python -m minillm.recipes records filtered_text`.
#
# | arm | text |
# |---|---|
# | clean | documentation only |
# | raw_40 | with 40 % junk by bytes, nothing filtered |
# | rules | raw_40 after Gopher's rules, words cut as the library does |
# | classifier | raw_40 after a classifier like ours, with the bound at ½ (it learnt from pile two) |
#
# The table will show `bits` per byte on clean text (lower is better), and `junk_share`, the junk that the model really read. Arms share their seeds, so the figure takes differences pair by pair.
#
# **Predict.** Order the arms from best to worst.

# %% tags=["label-study"]
study = read_results("filtered_text")
print(study.provenance)
columns = ("good_kept", "junk_kept", "junk_share")
print(f"{'':13}" + "".join(f"{name:>12}" for name in (*columns, "bits")))
bits = {arm: study.mean(arm, "bits_clean") for arm in study.measured}
for arm in sorted(bits, key=lambda arm: bits[arm].value):
    row = [study.mean(arm, name).value for name in columns]
    print(f"{arm:13}" + "".join(f"{x:12.0%}" for x in row), end="")
    print(f"{bits[arm].value:12.3f}")

# %% tags=["label-effects"]
fig, ax = plt.subplots(figsize=(6.4, 2.7), layout="constrained")
arms = [arm for arm in bits if arm != "raw_40"]
for y, arm in enumerate(arms):
    d = study.difference(arm, "raw_40", "bits_clean")
    ax.plot([d.low, d.high], [y, y], "-", lw=3, color=f"C{y}")
    ax.plot(d.value, y, "o", color=f"C{y}")
ax.axvline(0, color="k", ls="--", lw=1)
ax.set(yticks=range(len(arms)), yticklabels=arms)
ax.set_xlabel("bits per byte minus those of raw_40 (left is better)")
ax.invert_yaxis()
show(
    fig,
    alt="Differences in bits per byte to the raw text with 40 % junk, with 95 % "
    "intervals over five seeds, for clean text, rules and classifier.",
)

# %% [markdown]
# **What you should see.** Each arm as a point with its 95 % interval. Left of the dashed line the model is better than on unfiltered text. An interval that touches the line says: *no difference was seen*.
#
# The rule in the ledger, written before the runs: raw_40 minus the mean of `rules` and `classifier`, paired by seed, must lie above zero with its whole interval.

# %% tags=["label-effect"]
columns = [
    study.values(arm, "bits_clean") for arm in ("raw_40", "rules", "classifier")
]
gains = [raw - (rules + learnt) / 2 for raw, rules, learnt in zip(*columns)]
gain = mean_interval(gains)
print("gain by filtering:", gain)
claim("DAT-010", gain.value, gain)
possible = study.difference("raw_40", "clean", "bits_clean")
print("by taking out all junk:", possible)
for arm in ("rules", "classifier"):
    got = study.difference("raw_40", arm, "bits_clean")
    seen = "seen" if got.low > 0 or got.high < 0 else "no difference seen"
    print(f"{arm:13}{got.value:+.3f} [{got.low:+.3f}, {got.high:+.3f}]: {seen}")

# %% [markdown]
# Look at the columns. The first row is what perfect cleaning would bring. A filter can fall short of it in two ways. It may leave the *share* of junk where it was: what counts is not how much junk goes, but how much more of it goes than
# of the good text. And the good pages that are left may be of another sort than those that are gone. Which did the rules throw away? Take fresh pages, of pile three, from which no junk was made and that are like those the models are tested on:

# %% tags=["nbval-ignore-output", "label-lost"]
fresh_pages = known[:300]
passes = np.array([gopher_reason(text) is None for text in fresh_pages])
signs = np.array([1 - letter_share(split_words(text)) for text in fresh_pages])
print(f"{1 - passes.mean():.0%} of them would be dropped by the rules")
for name, which in (("kept", passes), ("dropped", ~passes)):
    print(f"{name:8}{signs[which].mean():.0%} of the words are signs or numbers")
assert signs[~passes].mean() > signs[passes].mean() + 0.03

# %% [markdown]
# Not a random half: the rules remove the pages with brackets, code and numbers, and the test has such pages. The classifier keeps nearly all good pages, but at ½ it lets two kinds of junk through (section 3.1). So *filtered* is not
# one thing. Between raw and perfectly clean text lies a gain; whether a filter with its published bounds brings any of it, the lines above say. (That the missing pages
# are a *cause* is an explanation and was not tested alone. The arms to run: the same rules with words cut at spaces, and the classifier with the bound of section 3.1.)
#
# How much of this holds for large models? Their crawls hold far more junk than ours, and of more kinds; their tests are tasks, not bits on one kind of prose. The direction is what we tested, not the size.
#
# ## 7 Exercise: bullets (3 min, ★☆☆)
#
# Return the share of lines that start with a bullet, `•` or `-`, white space left out. An empty list has share 0.0.
#
# <details><summary>Hint</summary><code>str.startswith</code> takes a tuple of beginnings; mind the white space.</details>


# %% tags=["exercise"]
def my_bullets(lines: list[str]) -> float:
    # BEGIN SOLUTION
    if not lines:
        return 0.0
    return sum(line.lstrip().startswith(("•", "-")) for line in lines) / len(lines)
    # END SOLUTION


# %% tags=["check"]
cases = [
    (["- a", "b"],),
    ([],),
    (["  • a", "\t- b", "c - d", ""],),
    (["* a", "1. b"],),
]
cases += [(["-", "•", "--"],), (["a", "b", "- c"],)]
check(my_bullets, bullet_share, cases)

# %% [markdown]
# ## 8 Exercise: a line for C4 (4 min, ★★☆)
#
# Return True if C4 keeps a line: it ends with one of `. ? ! " '` but not with three dots, has at least 3 words, and does not hold the word *javascript* in any case. White space at the ends does not count.
#
# <details><summary>Hint</summary>Strip first. <code>"..."</code> ends with <code>"."</code>, too: ask about it apart.</details>


# %% tags=["exercise"]
def my_c4_line(line: str) -> bool:
    # BEGIN SOLUTION
    line = line.strip()
    ends = line.endswith((".", "?", "!", '"', "'")) and not line.endswith("...")
    return ends and len(line.split()) >= 3 and "javascript" not in line.lower()
    # END SOLUTION


# %% tags=["check"]
def c4_keeps(line):
    no_policy = C4Limits(policy=False, citations=False)
    return line_reason(line.strip(), no_policy) is None


tries = [
    "The goat ran.",
    " The goat ran. \n",
    "The goat ran",
    "It ran.",
    "The goat ran ...",
]
tries += [
    "Read more about it...",
    'She said: "No!"',
    "Where is it?",
    "Run, goat, run!",
    "",
]
tries += ["Please enable JavaScript now.", "He read 'The goat'", "The goat ran;"]
check(my_c4_line, c4_keeps, [(line,) for line in tries])

# %% [markdown]
# ## 9 Exercise: the gradient (6 min, ★★☆)
#
# For one text: `x` has F numbers, `W` is (F, C), `b` has C, `y` is the number of the right class. Return the gradient of $-\ln p_y$ with respect to `W`, an (F, C) array.
#
# <details><summary>Hint</summary>Scores, softmax, take 1 off at y, then an outer product. For large scores take the largest off before <code>np.exp</code>.</details>


# %% tags=["exercise"]
def my_gradient(x, W, b, y):
    # BEGIN SOLUTION
    s = x @ W + b
    p = np.exp(s - s.max())
    p /= p.sum()
    p[y] -= 1
    return np.outer(x, p)
    # END SOLUTION


# %% tags=["check"]
from minillm.data.logistic import loss_and_gradient


def gradient_of_package(x, W, b, y):
    return loss_and_gradient(W, b, [(np.arange(len(x)), x)], [y])[1]


rng = np.random.default_rng(9)
cases = []
for F, C in ((3, 2), (4, 3), (1, 2), (2, 5)):
    args = rng.normal(size=F), rng.normal(size=(F, C)), rng.normal(size=C)
    cases.append((*args, int(rng.integers(C))))
cases.append(
    (np.array([900.0, 1.0]), np.array([[1.0, -1.0], [0.5, 2.0]]), np.zeros(2), 0)
)
check(my_gradient, gradient_of_package, cases)

# %% [markdown]
# ## 10 Exercise: Kneser-Ney by hand (6 min, ★★★)
#
# `pairs` maps (v, w) to how often w came after v; all pairs of a text are in it. Return the *discounted continuation probability* of `w` with discount `D`: (kinds of words before w − D) / (number of different pairs), plus the freed share spread evenly
# over `V` tokens. A w that was never seen gets the spread part only.
#
# <details><summary>Hint</summary>The freed share is D × (number of different w) / (number of different pairs). How often a pair occurs plays no part.</details>


# %% tags=["exercise"]
def my_continuation(pairs: dict, w: str, D: float, V: int) -> float:
    # BEGIN SOLUTION
    before = Counter(second for _, second in pairs)
    freed = D * len(before) / len(pairs)
    kept = max(before[w] - D, 0) / len(pairs)
    return kept + freed / V
    # END SOLUTION


# %% tags=["check"]
from minillm.data.ngram import END, START, NgramModel


def continuation_of_package(pairs, w, D, V):
    counted = NgramModel(order=2, discounts=D).fit(corpora[len(pairs)])
    assert len(counted.vocabulary) == V
    return exp(counted.logprob(w))


def pairs_of(some):
    rows = [[START, *text.split(), END] for text in some]
    return dict(Counter(vw for row in rows for vw in pairwise(row)))


corpora, cases = {}, []
toys = [["a b", "a c", "a b"], ["x x x y", "y x"], ["the cat sat", "the dog sat"]]
toys += [["San Francisco"] * 9 + ["my glasses", "old glasses", "his glasses"]]
for some in toys:
    counted_pairs = pairs_of(some)
    corpora[len(counted_pairs)] = some
    V = len({w for _, w in counted_pairs}) + 1
    for w in (*sorted({w for _, w in counted_pairs})[:4], "zebra"):
        cases += [(counted_pairs, w, D, V) for D in (0.5, 0.75)]
check(my_continuation, continuation_of_package, cases)

# %% [markdown]
# ## At scale
#
# One pass over a crawl is made once, so it may cost something. What these filters cost here, and what one billion pages of 5 KB would take at that rate on one core:

# %% tags=["nbval-ignore-output", "label-scale"]
sample = texts[:150]
n_mb = sum(len(t.encode()) for t in sample) / 1e6
judges = {
    "rules": lambda: [gopher_reason(t) for t in sample],
    "classifier": lambda: model.predict(sample),
    "n-gram model": lambda: lm.nll_many(sample),
    "language": lambda: language.predict_many(sample),
}
for name, judge in judges.items():
    began = process_time()
    judge()
    rate = n_mb / (process_time() - began)
    print(f"{name:13}{rate:6.2f} MB/s, {5e6 / rate / 86400:5.0f} core-days")
    assert rate > 0.01

# %% [markdown]
# - Pages are independent of each other, so a thousand cores are a thousand times as fast. `minillm.recipes.cleaning.blocks` runs these filters in a `datatrove` pipeline (docs/cleaning_at_scale.md); `python -m minillm clean` runs them
#   on a folder of yours, with a report of what was dropped and why.
# - The rate against `datatrove` itself stands in `benchmarks/LOG.md`. Filters on a real crawl, and a model of more than 0.1 M parameters after filtering: not measured yet.
#
# ## Recap
#
# - Rules measure shape. A bound belongs to the way of measuring; look at what a rule drops.
# - A linear classifier on hashed n-grams learns from provenance. Its gradient: $x_j(p_k-[k=y])$.
# - Test it on junk that it has never seen. A high AUC with a wrong bound still lets junk pass.
# - Kneser-Ney: discount, back off, and count surroundings instead of occurrences. Perplexity finds what is *unusual*, which is not the same as bad.
# - Letters give the language away, after a few dozen of them.
# - What perfect cleaning would gain and what a real filter gains are two measurements, each with its interval.
#
# ## Questions
#
# 1. Why do shuffled letters pass Gopher's rules?
#    <details><summary>Answer</summary>Word lengths, letters and enough stop words stay as they were; no rule reads.</details>
# 2. Half of the good pages fell to one rule. What was wrong?
#    <details><summary>Answer</summary>The bound was made for another way of cutting words.</details>
# 3. What is the gradient of −ln p_y with respect to a score, in words?
#    <details><summary>Answer</summary>What was said minus what is true.</details>
# 4. AUC 0.98, and most of the unseen junk passes. How?
#    <details><summary>Answer</summary>The order is right, the bound lies below both groups.</details>
# 5. Why is p(chosen | x) too low for p(good | x)?
#    <details><summary>Answer</summary>Good pages that were not chosen stand among the negative examples.</details>
# 6. A word occurs 20 times, always after the same word. What is its continuation count?
#    <details><summary>Answer</summary>1.</details>
# 7. Why may a perplexity filter throw out perfect text?
#    <details><summary>Answer</summary>It differs from the model's training text; unusual is not bad.</details>
# 8. Why compare models at equal tokens, and not at equal pages?
#    <details><summary>Answer</summary>Otherwise the arm with more text has also had more training.</details>
#
# ## Sources
#
# - Rae et al. 2021, *Scaling Language Models* (Gopher), arXiv:2112.11446, appendix A.1: the rules of section 2.
# - Raffel et al. 2020, *Exploring the Limits of Transfer Learning* (T5), arXiv:1910.10683, section 2.2: C4.
# - Touvron et al. 2023, *LLaMA*, arXiv:2302.13971, section 2.1: Wikipedia references, rules for code.
# - Laurençon et al. 2022, *The BigScience ROOTS Corpus*, arXiv:2303.03915: bounds chosen by people who speak the language.
# - Joulin et al. 2016, *Bag of Tricks for Efficient Text Classification* (fastText), arXiv:1607.01759: linear classifiers on hashed n-grams.
# - Elkan and Noto 2008, *Learning Classifiers from Only Positive and Unlabeled Data*: the division by c.
# - Chen and Goodman 1999, *An Empirical Study of Smoothing Techniques for Language Modeling*: modified Kneser-Ney.
# - Wenzek et al. 2020, *CCNet*, arXiv:1911.00359: language, perplexity, head and tail.
# - Zhao et al. 2023, *A Survey of Large Language Models*, arXiv:2303.18223: the claim that section 6 tests.
#
# ## Next
#
# [04 Dedup](04_dedup.ipynb): the good pages are found. How many of them are the same page?

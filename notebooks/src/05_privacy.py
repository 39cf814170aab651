# %% [markdown]
# # 05 Privacy: how do people get out of a text, and what slips through?
#
# 75 min · CPU · 40 s · 0.6 GB · needs [00 Tour](00_tour.ipynb) · code: `minillm/data/personal.py`
#
# After this lesson you can
#
# 1. find personal data by pattern and check digit, and say which random numbers deceive a check;
# 2. measure precision and recall, with intervals, where the truth is known;
# 3. train a tagger for names, and find its best row of tags by dynamic programming;
# 4. replace what was found so that the text stays a text, and measure what a model gives away with and without it;
# 5. show four ways in which a list of bad words fails, and what a classifier does instead.
#
# ## Setup

# %% tags=["setup"]
import random
import re
import time
from itertools import pairwise, product

import matplotlib.pyplot as plt
import numpy as np

from minillm.data import load_corpus
from minillm.data.classifier import LinearClassifier
from minillm.data.detection import score_spans, wilson
from minillm.data.identity import cn_id_digit, cn_id_ok, luhn_digit, luhn_ok
from minillm.data.invented import KINDS, invent, sentence_with
from minillm.data.look_alikes import DISGUISES, LOOK_ALIKES
from minillm.data.look_alikes import disguise, look_alike
from minillm.data.personal import Span, find_personal, merge_spans
from minillm.data.planted import make_planted
from minillm.data.privacy import mask_phones
from minillm.data.redact import Substitutes, redact
from minillm.data.tagger import TAGS, Tagger, features, viterbi
from minillm.data.tagger_sentences import held_out_sentences
from minillm.data.tagger_sentences import training_sentences
from minillm.data.toxicity import MATCHES, find_listed, replace_listed
from minillm.data.toxicity import toxic_sentences
from minillm.evaluate import paired_difference
from minillm.lesson import check, claim, setup, show
from minillm.recipes.records import read_results

setup(seed=5)

# %% [markdown]
# ## 1 Who is in the text? (6 min)
#
# Web pages are full of people: signatures, orders, lists of members. Whatever leads to a person is **personal data** (个人信息). A language
# model learns to continue text; so it may continue *The card number of Mara is* with the number. That is no theory: in 2021 names, telephone
# numbers and mail addresses were drawn out of GPT-2 by asking it for text (Carlini et al. 2021), some of which stood in a single document.
#
# Eight kinds of data concern us. Here is a sentence with each. **All data in this lesson are invented**: addresses of nets that are reserved for
# documentation, telephone numbers reserved for films, cards with the first digits of published test cards, identity numbers of people who would be older than 160 years, names put together from parts.

# %%
rng = random.Random(5)
for kind in KINDS:
    text, start, end = sentence_with(kind, rng, rng.choice(("en", "zh")))
    print(f"{kind:10}{text[:start]}[{text[start:end]}]{text[end:]}")

# %% [markdown]
# (`cn_id` is the number of a Chinese identity card (身份证号), `cn_mobile` a Chinese mobile telephone (手机号).) Each function that invents a datum also says *where* it
# stands. So we know the truth, and can count what a search finds and what it misses.
#
# **Predict.** Which of the eight can a program find by the way it is written, and which not?
#
# <details><summary>Answer</summary>Six have a fixed form; an address has half of one; a name has none. Section 4 counts.</details>
#
# ## 2 By pattern (9 min)
#
# A mail address has an @ and a point. A **regular expression** (正则表达式) says so: some signs, @, some signs, a point, some signs.

# %%
simple = re.compile(r"\w+@\w+\.\w+")
for text in (
    "Write to tilda@example.com.",
    "Write to mara.maple@mail.example.com.",
    "Write to mara+maple@example.com",
    "写信到mara@example.com。",
):
    found = simple.findall(text)
    print(found, "left:", simple.sub("|||", text))

# %% [markdown]
# The first is right. In the second and third half of the address stays behind, and half a datum is often enough: *mara* is still there. In the fourth *too much* goes: to Python
# a Chinese character is a word character, so the Chinese words before the address are taken for a part of it.
#
# The same trap the other way round: many patterns ask that no word character stands *beside* a number. Then a number in a Chinese sentence is not seen at all. `mask_phones` is a simple mask of that
# sort (the harvest uses it); `find_personal` is the careful search of this lesson.

# %%
text = "Call 283-555-0142. 请拨打283-555-0143。"
print(mask_phones(text)[0])
print([text[a:b] for a, b, kind in find_personal(text)])

# %% [markdown]
# A rule of the package is a pattern and, where possible, a *check* of what no pattern can say. The result is a list of **spans** (文本区间): start, end, kind.

# %% tags=["label-letter"]
letter = (
    "Mara Tolvane (mara.maple@mail.example.com, 283-555-0142) paid\n"
    "with 4242 4242 4242 4242 from 192.0.2.17, with version 1.20.3.4,\n"
    "and lives at 12 Heron Lane, Oakwick. 手机154 0000 1234。"
)
for start, end, kind in find_personal(letter):
    print(f"{kind:10}{letter[start:end]}")

# %% [markdown]
# Two things to note. `1.20.3.4` is missing, though it could be an address of the net just as well: the word *version* in front decides. And Mara's name was not found: nothing in the way *Mara Tolvane* is
# written says that it is a person. We come back to her in section 5.
#
# ## 3 Check digits (12 min)
#
# Is `4242 4242 4242 4242` a card number, or the number of an invoice? Card numbers carry a redundant last digit, the **check digit** (校验位), against slips of
# the pen. Luhn's rule (1960):
#
# > From the right, skipping the check digit, double every second digit, beginning with the first; a result above 9 loses 9. The check digit brings the sum to a multiple of 10.
#
# By hand, for `4242 4242 4242 424?`:

# %%
digits = [int(d) for d in "424242424242424"]
weights = [2, 1] * 7 + [2]  # the same from the left and from the right
terms = [w * d - 9 * (w * d > 9) for w, d in zip(weights, digits)]
print(digits, weights, terms, sep="\n")
print("sum", sum(terms), "-> check digit", -sum(terms) % 10)
assert str(-sum(terms) % 10) == luhn_digit("424242424242424") == "2"

# %% [markdown]
# **Predict, then run.** A program meets random rows of 16 digits. Which share passes the check?
#
# <details><summary>Answer</summary>One in ten, exactly: whatever the first fifteen digits are, one of the ten last digits is right.</details>
#
# What does the check see? We try *every* wrong digit in one place, and *every* swap of two neighbours.

# %%
number = "4242424242424242"
slips = [
    number[:i] + wrong + number[i + 1 :]
    for i in range(16)
    for wrong in "0123456789"
    if wrong != number[i]
]
print(sum(map(luhn_ok, slips)), "of", len(slips), "slips pass")
swaps = []
for a, b in product("0123456789", repeat=2):
    body = "42" + a + b + "4242"
    whole = body + luhn_digit(body)
    swapped = "42" + b + a + whole[4:]
    if a < b and luhn_ok(swapped):
        swaps.append(a + b)
print("swaps that pass unseen:", swaps)
assert swaps == ["09"] and not any(map(luhn_ok, slips))

# %% [markdown]
# Doubling maps the ten digits one to one, so no slip passes. Of the swaps one passes: 09 and 90 give the same sum.
#
# **The Chinese identity number** has 18 signs: six for the region, eight for the date of birth, three in order, and a check sign. It is a sum *modulo 11*, where the weights are
# powers of two:
#
# $$\sum_{i=1}^{18} 2^{18-i}\,d_i \equiv 1 \pmod{11}$$
#
# The remainder may be 10, which is no digit; it is written X.

# %%
body = "11010118490523004"  # born in 1849
weights = [2 ** (18 - i) % 11 for i in range(1, 18)]
total = sum(w * int(d) for w, d in zip(weights, body))
sign = "0123456789X"[(1 - total) % 11]
print(weights)
print("sum", total, "remainder", total % 11, "-> check sign", sign)
assert cn_id_digit(body) == sign and cn_id_ok(body + sign)

# %% [markdown]
# Why 11? Because it is prime. A slip changes the sum by $w(d-d')$, a swap of neighbours by $(w-w')(d-d')$. No weight is a multiple of 11, neither is the difference of two neighbouring
# weights, nor a difference of digits; and a product of numbers that a prime does not divide is not divided by it either. So *every* slip and *every* swap is seen. With 10 = 2 · 5 that argument fails.
#
# Now as a search sees it. Sentences with sixteen random digits that begin like a card:

# %% tags=["label-digits"]
rng = random.Random(55)
random16 = [look_alike("sixteen digits", rng)[0] for _ in range(3000)]
for checked in (False, True):
    n = sum(bool(find_personal(t, ["card"], check=checked)) for t in random16)
    print(f"check {checked!s:6} share called a card: {wilson(n, 3000)}")
assert wilson(n, 3000).contains(0.1)

# %% [markdown]
# The check removes nine tenths of the false alarms and no true find. (The brackets are a 95 % interval: the next section says which.)
#
# ## 4 Precision and recall (12 min)
#
# Two numbers judge a search:
#
# $$\text{precision}=\frac{\text{rightly found}}{\text{found}}\qquad\text{recall}=\frac{\text{rightly found}}{\text{there}}$$
#
# Low **precision** (精确率) damages text for nothing; low **recall** (召回率) leaves people in it. *Rightly* means: same start, same end, same kind.
#
# **How sure?** If 30 of 30 are found, is the recall 1? It may be 0.95, and we were lucky. The usual $p\pm z\sqrt{p(1-p)/n}$ says 1 ± 0, which is nonsense.
# **Wilson's interval** (威尔逊区间) asks instead which true shares $q$ make the observed one plausible: all with $|p-q|\le z\sqrt{q(1-q)/n}$. Solved for $q$, it never leaves [0, 1].

# %%
for k, n in ((30, 30), (300, 300), (0, 30), (27, 30)):
    p, share = k / n, wilson(k, n)
    half = 1.96 * (p * (1 - p) / n) ** 0.5
    naive = f"{p - half:.3f} to {p + half:.3f}"
    print(f"{k:3} of {n:3}: naive {naive}; Wilson {share}")
    edge = share.low if k else share.high
    assert abs(abs(p - edge) - 1.96 * (edge * (1 - edge) / n) ** 0.5) < 1e-3

# %% [markdown]
# First test: a planted corpus, in which half of 200 documents of the harvest got sentences with invented data. (Documents in which the rules saw something *before* were not taken. So the precision here is
# flattering; the look-alikes below are not.)

# %% tags=["nbval-ignore-output", "label-planted"]
prose = load_corpus("prose", max_bytes=500_000, progress=False).texts
planted = make_planted(
    200, seed=5, kinds=["personal"], source=prose, shares={"personal": 0.5}
)
truth = [[] for _ in planted.texts]
for p in planted.plants:
    truth[p.document].append(Span(p.start, p.end, p.detail))
score = score_spans(truth, [find_personal(t) for t in planted.texts])
print(f"{len(planted.plants)} data planted, names not among them")
print("precision", score.precision)
print("recall   ", score.recall)
assert score.recall.low > 0.9 and score.precision.value > 0.9

# %% [markdown]
# Nearly perfect: rules and data were written by the same people, and these data have a fixed form. Now all eight kinds, in English and in Chinese sentences.
#
# The survey that we follow (Zhao et al. 2023) says that personal data can be removed with rules. Our reading of the claim, written down before the measurement: recall of at least 0.95 over
# *all eight* kinds.

# %% tags=["label-kinds"]
rng = random.Random(20261125)
made = [
    (kind, *sentence_with(kind, rng, language))
    for kind in KINDS
    for language in ("en", "zh")
    for _ in range(60)
]
truth = [[Span(start, end, kind)] for kind, _, start, end in made]
found = [find_personal(text) for _, text, _, _ in made]
by_kind = {kind: score_spans(truth, found, kind).recall for kind in KINDS}
for kind, recall in by_kind.items():
    print(f"{kind:10} {recall}")

# %% tags=["label-claim"]
written = ("email", "phone", "ip", "card", "cn_id", "cn_mobile")
six = wilson(sum(by_kind[k].k for k in written), 120 * len(written))
every = wilson(sum(r.k for r in by_kind.values()), len(made))
print("six kinds with a written form:", six)
print("all eight kinds:              ", every)
claim("DAT-019", every.value, every)

# %% [markdown]
# Seven kinds of eight are found and one is not: names. So the sentence of the survey holds for data that have a form, and fails for what is most personal. (The sentences come from three templates a kind, so the intervals are a little too narrow. No interval would save a recall of nothing.)
#
# Second test: what is hit by mistake, and what slips through? **Look-alikes** are no personal data; **disguises** are data, written as people write who do not want to be read by machines, or as
# a broken table leaves them. They use other forms than the rules were written for. (Two disguises are always the same text; for those the interval says nothing.)
#
# **Predict, then run.** Ten random digits, such as the number of an order: which share is taken for a telephone number?

# %% tags=["label-likes"]
rng = random.Random(20261126)
rates = {}
for kind in LOOK_ALIKES:
    texts = [look_alike(kind, rng)[0] for _ in range(300)]
    rates[kind] = wilson(sum(bool(find_personal(t)) for t in texts), 300)
for kind in DISGUISES:
    items = [disguise(kind, rng) for _ in range(300)]
    hits = 0
    for text, a, b in items:
        hits += any(s <= a and b <= e for s, e, _ in find_personal(text))
    rates[kind] = wilson(hits, 300)

# %% tags=["label-likesfigure"]
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for y, (kind, rate) in enumerate(rates.items()):
    color = "C1" if kind in LOOK_ALIKES else "C0"
    ax.plot([rate.low, rate.high], [y, y], "-", color=color, lw=3)
    ax.plot(rate.value, y, "os"[kind in DISGUISES], color=color)
ax.set(yticks=range(len(rates)), yticklabels=list(rates), xlim=(-0.03, 1))
ax.axhline(len(LOOK_ALIKES) - 0.5, color="gray", lw=1, ls="--")
ax.text(0.98, 0, "look-alikes: 0 is right", ha="right")
ax.text(0.98, len(rates) - 1, "disguises: 1 is right", ha="right")
ax.set_xlabel("share that the rules call personal data")
show(
    fig,
    alt="Share called personal, with intervals. Look-alikes: ten digits and "
    "version numbers often, sixteen digits one in ten, all others never. "
    "Disguises: not one of the seven kinds is ever found.",
)
likely = 0.8 * 0.8  # the area and the next three digits begin with 2 to 9
assert rates["ten digits"].contains(likely)
assert all(rates[kind].k == 0 for kind in DISGUISES)

# %% [markdown]
# **What you should see.** Ten digits and four-part versions have no check digit, and often deceive the rules: a telephone area and the three digits behind it must begin with 2 to 9, which random digits do
# in 0.8 · 0.8 of all cases. And *no* disguise is seen. Each could be mended by one more rule, and the eighth disguise would come. Recall on one's own test is an upper bound.
#
# ## 5 A tagger for names (14 min)
#
# A name has no form, but it has company. *We asked ___ about the bridge*; *signed by ___*; two capitals in the middle of a sentence. Turn such hints into **features** (特征), learn a weight for each, and
# let the weights decide: a **sequence tagger** (序列标注). Each word gets a tag: B begins a name, I continues it, O is outside.

# %%
words = ["We", "asked", "Mara", "Tolvane", "about", "the", "bridge"]
for feature in features(words, 2)[1:8]:
    print(feature)
print("tags:", TAGS)

# %% [markdown]
# Those are some of the features of *Mara*: her ending, her beginning, her neighbours, and the *shape* of the words (Xx is a capital and small letters). A word's score for a tag is the sum of the weights of its features.
#
# But tags depend on their neighbours: I cannot follow O. So the best *row* is sought:
#
# $$\text{score}(y)=\sum_t W[x_t,y_t]+\sum_t A[y_{t-1},y_t]$$
#
# With $K$ tags and $T$ words there are $K^T$ rows. A toy: the three words *asked Mara Tolvane*, three tags, and $-9$ for I after O.

# %%
tags = "OBI"
scores = np.array([[4, 0, 0], [0, 1, 3], [0, 1, 2]])  # (T, K)
steps = np.array([[0, 0, -9], [0, 0, 0], [0, 0, 0]])  # (K, K): from, to


def total_of(row):
    own = sum(scores[t, k] for t, k in enumerate(row))
    return own + sum(steps[i, j] for i, j in pairwise(row))


greedy = scores.argmax(axis=1).tolist()
best = max(product(range(3), repeat=3), key=total_of)
print("word by word", "".join(tags[k] for k in greedy), total_of(greedy))
print("best of 27  ", "".join(tags[k] for k in best), total_of(best))

# %% [markdown]
# Word by word gives a row that cannot be. Trying all 27 finds *O B I*. For a real sentence **dynamic programming** (动态规划) finds the same without trying all: the best row that ends in tag $j$ at word $t$
# goes through the best row that ends in *some* tag $i$ at word $t-1$. This is Viterbi's algorithm (维特比算法):
#
# $$\text{best}[t,j]=\text{scores}[t,j]+\max_i(\text{best}[t-1,i]+A[i,j])$$
#
# $T K^2$ additions instead of $K^T$ rows. (Exercise 4 is to write it.)

# %%
row = viterbi(scores, steps)
print("".join(tags[k] for k in row))
draw = np.random.default_rng(5)
for _ in range(100):
    scores, steps = draw.normal(size=(5, 3)), draw.normal(size=(3, 3))
    every_row = max(product(range(3), repeat=5), key=total_of)
    assert tuple(viterbi(scores, steps)) == every_row
print("the same as trying all 243 rows, 100 times")

# %% [markdown]
# **Learning** is one rule, the perceptron's (感知机): tag a sentence; if the row is wrong, add 1 to every weight that the right row uses, take 1 from those that the wrong row uses. The mean of the weights over all steps is kept (Collins 2002).

# %% tags=["nbval-ignore-output", "label-train"]
lessons = training_sentences(5, 400)
print(lessons[0], lessons[3], sep="\n")
began = time.process_time()
tagger = Tagger(epochs=3, seed=5).fit(*map(list, zip(*lessons)))
seconds = time.process_time() - began
print(f"{len(tagger.known):,} features learned in {seconds:.1f} s")
assert len(tagger.known) > 1000

# %% [markdown]
# How good? Two tests. *Held out*: sentences of the package with other templates, names and streets than those trained on. But while the tagger was being built, its makers looked at that set again and again, so it is no longer fresh. Therefore *by hand*:
# 26 sentences that were written for this lesson before any score was looked at. Square brackets mark names, pointed ones addresses.

# %%
BY_HAND = """
[Wilma Duskin] retired in June.
The goal was scored by [Joris Almquist] in the last minute.
My aunt, [Hedda Brightwell], keeps bees.
Yours sincerely, [Magda Thornbee]
"It was me," said [Teodor Blumwick].
On Sunday [Ines Karroway] and her dog ran along the beach.
Who is [Harold Penkettle]?
The team of [Sunniva Oakley] lost again.
I bought the cart from [Ludo Marsh].
Doctor [Pim Everly] will see you now.
Photo: [Birgit Sandholm]
[Oskar] forgot his umbrella.
Have you told [Rosalind de Wint] the news?
[Ann-Sofie Morrow] painted the fence green.
[J. Appleyard] signed for it.
Only [Kwabena Osei-Bright] had brought a lamp.
The bakery moved to <14 Copperbeech Lane, Windleswick>.
<302 Bramble Court, Apt. 7, Saltby> has a red door.
Our new home: <88 Tinker Road, Mosswell, VT 00012>
Leave the keys at <5 Hollyhock Square, Ferncote>.
The Winter Palace was rebuilt in 1837.
Platform 4 is closed on Sunday.
Hot Soup is served from 12 to 14.
I read War and Peace in March.
Their favourite song is Silver Moon.
Push the Big Red Button twice.
""".strip().splitlines()


# %%
def unmarked(line: str) -> tuple[str, list[Span]]:
    text, spans = "", []
    for piece in re.split(r"([\[<].*?[\]>])", line):
        if piece and piece[0] in "[<":
            kind = "name" if piece[0] == "[" else "address"
            piece = piece[1:-1]
            spans.append(Span(len(text), len(text) + len(piece), kind))
        text += piece
    return text, spans


tests = {
    "held out": held_out_sentences(20261125, 300),
    "by hand": [unmarked(line) for line in BY_HAND],
}
print(tests["by hand"][0])

# %% tags=["nbval-ignore-output", "label-tagger"]
outcome = {}
for name, test in tests.items():
    texts, truth = map(list, zip(*test))
    for how, search in (("rules", find_personal), ("tagger", tagger.tag)):
        score = score_spans(truth, [search(t) for t in texts], "name")
        outcome[name, how] = score
        print(f"{name}, {how:6}: recall {score.recall}", end="  ")
        print(f"precision {score.precision if score.precision.n else '-'}")
assert outcome["held out", "rules"].recall.k == 0
assert outcome["held out", "tagger"].recall.low > 0.6

# %% tags=["nbval-ignore-output", "label-taggerfigure"]
fig, ax = plt.subplots(figsize=(6.4, 2.4), layout="constrained")
drawn = (("rules", "recall"), ("tagger", "recall"), ("tagger", "precision"))
rows = [(test, *d) for test in tests for d in drawn]
for y, (test, how, what) in enumerate(rows):
    share = getattr(outcome[test, how], what)
    color = "C1" if how == "rules" else "C0"
    ax.plot([share.low, share.high], [y, y], "-", color=color, lw=3)
    ax.plot(share.value, y, "os"[how == "tagger"], color=color)
labels = [f"{test}: {how}, {what}" for test, how, what in rows]
ax.set(yticks=range(6), yticklabels=labels, xlim=(-0.03, 1.03))
ax.invert_yaxis()
ax.set_xlabel("share of the names, with 95 % intervals")
show(
    fig,
    alt="Names: recall of the rules is 0 or near it on both tests. Recall "
    "and precision of the tagger are high on held-out sentences, and lower, "
    "with wide intervals, on those written by hand.",
)

# %% [markdown]
# **What you should see.** Where the rules find nothing, the tagger finds nearly all names of the held-out sentences, none of which it ever read. On the sentences by hand it finds far fewer, and the interval is wide, since they are few. Which ones
# does it miss, and what does it take for a name?

# %% tags=["nbval-ignore-output", "label-mistakes"]
n_wrong = 0
for text, truth in tests["by hand"]:
    said = tagger.tag(text)
    if said != truth:
        n_wrong += 1
        print(text, "->", [text[a:b] for a, b, _ in said])
assert n_wrong < len(BY_HAND) / 2

# %% [markdown]
# Forms that no training sentence had: a first name alone, a small *de*, a hyphen, an initial, a name between commas; and two capitals in a row that are a song. That is how a splendid score on one's own test shrinks in the world. The remedy is more and more varied lessons: large systems learn from many thousands of
# real labelled sentences, often with a neural network in place of the features, and the same search for the best row.
#
# Rules and tagger are laid together; where they overlap, the rules win.

# %% tags=["nbval-ignore-output", "label-both"]
both = merge_spans(find_personal(letter), tagger.tag(letter))
print(redact(letter, both)[0])
assert "mara.maple" not in redact(letter, both)[0]

# %% [markdown]
# ## 6 Replace, so that the text stays a text (8 min)
#
# What stands in the place of a datum? Three answers:
#
# | | *Write to mara@example.com today.* | teaches the model |
# |---|---|---|
# | a gap | *Write to today.* | broken sentences |
# | a **placeholder** (占位符) | *Write to \|\|\|EMAIL_ADDRESS\|\|\| today.* | a sign that stands where a mail address stands |
# | a **substitute** (替代值) | *Write to petra.copper@team.example today.* | the language as it is |
#
# The placeholder keeps the part of speech; but all people become one. In a thread of letters it is no longer to be seen who wrote to whom. A substitute is an invented datum of the same kind and form, *the same one for the same datum* within a document.

# %% tags=["label-thread"]
thread = (
    "mara@example.com wrote: my card is 4242 4242 4242 4242.\n"
    "silas@example.com wrote: MARA@example.com, which card?\n"
    "mara@example.com wrote: 4242-4242-4242-4242, I said."
)
print(redact(thread)[0], "\n")
print(redact(thread, substitute=Substitutes("document 1"))[0])

# %% [markdown]
# Mara is still one person, also in capitals; her card is one number, once with spaces and once with hyphens, as she wrote it, and its check digit is right. Another key (`"document 2"`) gives other substitutes, so nobody is followed from one document to the next.
#
# We check it on the planted corpus: after substitution the same kinds stand in the same order, and no planted datum is left.

# %% tags=["nbval-ignore-output", "label-swapped"]
kept = left = 0
for i, text in enumerate(planted.texts):
    new = redact(text, substitute=Substitutes(f"document {i}"))[0]
    kept += [s.kind for s in find_personal(new)] == [
        s.kind for s in find_personal(text)
    ]
    left += sum(p.value in new for p in planted.plants if p.document == i)
print(f"same kinds, same order: {kept} of {len(planted.texts)} documents")
print(f"planted data still there: {left} of {len(planted.plants)}")
assert kept > 190 and left <= 2

# %% [markdown]
# **A substitute is not a lock.** It is drawn from a hash of the key and the datum. Who has the key tries all data, and there are few: 254 addresses in this net.

# %% tags=["label-bruteforce"]
secret = f"192.0.2.{77}"
public = Substitutes("the key")("ip", secret)
guesses = [f"192.0.2.{i}" for i in range(1, 255)]
fits = [g for g in guesses if Substitutes("the key")("ip", g) == public]
print(f"{public} was published;")
print(f"{len(fits)} of {len(guesses)} guesses fit: {fits}")
assert secret in fits and len(fits) < 5

# %% [markdown]
# The same holds for "anonymised" columns of hashed telephone numbers. Keep the key as secret as the data, or throw it away.
#
# ## 7 What a model gives away (9 min)
#
# Does it help? We plant secrets, train, and attack. Among a few little stories stand sentences about five invented persons: the first stands there once, the others 4, 16, 128 and 128 times. A small model (0.1 M parameters, its tokens are bytes) reads the text a few times over, with several
# seeds. The runs are recorded by `python -m minillm.recipes records planted_secret`; the cell below says how many there are.

# %%
from minillm.recipes.studies.planted_secret import (
    COPIES,
    N_OTHERS,
    exposure_by_chance,
    make_secrets,
)

for k, (before, number) in zip(COPIES, make_secrets(1)):
    sentence = f"{before}{number}."
    print(f"{k:3} x", sentence, "->", redact(sentence)[0][-23:])

# %% [markdown]
# The rules see the number, not the name: behind the arrow stands how a redacted sentence ends. Two attacks (Carlini et al. 2019):
#
# - **Extraction** (提取): write the beginning, *The card number of … is*, and let the model continue with its likeliest sign, again and again. Extracted means that the whole number comes out.
# - **Exposure** (暴露度): draw other valid numbers of the same issuer and rank all by the probability that the model gives them. Of $R$ numbers, exposure is $\log_2 R-\log_2(\text{rank})$ bits: the most possible if the secret is first, 1 bit if it is in the middle. It
#   shows a leak before the number comes out by itself.
#
# **Predict.** How often must a number stand in the text before it is extracted? Does exact de-duplication (lesson 04) suffice? And after redaction?

# %% tags=["nbval-ignore-output", "label-study"]
study = read_results("planted_secret")
arms = {arm: runs for arm, runs in study.measured.items() if runs}
PAIR = ("raw", "placeholder")
print(study.provenance)
print(f"exposure: at most {np.log2(N_OTHERS + 1):.0f} bits, ", end="")
print(f"by chance {exposure_by_chance():.2f}")
exposure, leaked = {}, {}
for arm, k in product(arms, (1, 4, 16, 128)):
    exposure[arm, k] = [run[f"exposure_{k}"] for run in arms[arm].values()]
    shares = [run[f"extracted_{k}"] for run in arms[arm].values()]
    persons = COPIES.count(k)
    n_out = round(sum(shares) * persons)
    leaked[arm, k] = wilson(n_out, len(shares) * persons)
    out = f"{leaked[arm, k].k} of {leaked[arm, k].n} extracted"
    mean = np.mean(exposure[arm, k])
    print(f"{arm:12}{k:4} x: {out:18} exposure {mean:.1f} bits")

# %% tags=["nbval-ignore-output", "label-exposure"]
fig, ax = plt.subplots(figsize=(6.2, 2.8), layout="constrained")
styles = {"raw": "o-", "placeholder": "s--", "unique": "^:"}
for i, (shift, arm) in enumerate(zip((0.94, 1, 1.06), arms)):
    x = [k * shift for k in (1, 4, 16, 128)]
    dots = [exposure[arm, k] for k in (1, 4, 16, 128)]
    means = [np.mean(values) for values in dots]
    ax.plot(x, means, styles[arm], color=f"C{i}", label=arm)
    for place, values in zip(x, dots):
        ax.plot([place] * len(values), values, ".", color=f"C{i}", alpha=0.5)
ax.axhline(exposure_by_chance(), color="k", lw=1, ls="-.", label="chance")
ax.set_xscale("log", base=4)
ax.set(xticks=[1, 4, 16, 128], xticklabels=[1, 4, 16, 128])
ax.set(xlabel="copies in the raw text", ylabel="exposure in bits")
fig.legend(loc="outside upper center", ncols=4)
show(
    fig,
    alt="Exposure against the number of copies in the raw text: means joined "
    "by lines and a dot for each seed, for each way to clean the text; a "
    "line marks what chance gives.",
)

# %% [markdown]
# **What you should see.** A curve for each text, and the line of chance. Does the raw one leave that line, and where? The verdict, paired by seed where there are several (the two persons of one model are not independent, so the intervals of the shares are a little too narrow):

# %% tags=["nbval-ignore-output", "label-effect"]
shared = sorted(set(arms["raw"]) & set(arms["placeholder"]))
for k in (1, 4, 16, 128):
    a, b = ([arms[x][s][f"exposure_{k}"] for s in shared] for x in PAIR)
    said = "no interval from one seed"
    if len(shared) > 1:
        said = str(paired_difference(a, b))
    bits = np.mean(a) - np.mean(b)
    print(f"{k:3} copies, raw minus placeholder: {bits:.1f} bits; {said}")
raw, masked = (leaked[arm, 128] for arm in PAIR)
print("128 copies, share extracted, raw:     ", raw)
print("128 copies, share extracted, redacted:", masked)
surely = "surely" if raw.low > masked.high else "not surely"
print(f"{len(shared)} seeds: {surely} more comes out before redaction.")
assert np.mean(exposure["raw", 128]) > 2 * exposure_by_chance()

# %% [markdown]
# Read this with care:
#
# - Exposure is the finer instrument: a number that the model never says aloud may still be ranked far above all others.
# - De-duplication brings 128 copies back to one, no further. It is a medicine against *learning by heart*, not against having seen. (If exposure stays above chance all the same: hardly any digits but those of the five numbers stand in this text, and the model learns which are frequent.)
# - Redaction cannot fail where the rule sees the datum, since the datum is gone. What leaks is what the rules *miss*: sections 4 and 5.
# - This is a tiny model with a tiny text. The larger the model, the more it keeps (Carlini et al. 2021).
#
# ## 8 Toxic text: why lists fail (13 min)
#
# The second sort of text that one takes out is **toxic** (有毒): insults, threats, contempt. The oldest filter is a list of bad words. To show its failures without printing any, we go to the village of Brindle, whose people insult each other with words that
# exist nowhere else: *snork*, *grob*, *mudwit*, *fungle*, *plonkard*. The neighbours across the river live in Grobnik.
#
# First, a famous accident. A forum replaced a rude word of three letters wherever its letters stood:

# %%
print(replace_listed("A classic book on grass.", "butt", ["ass"], "inside"))
print(replace_listed("A classic book on grass.", "butt", ["ass"], "word"))

# %% [markdown]
# Looking for whole words mends that. Other failures stay. Here are 48 sentences of eight categories, six each, written before any score was looked at. The first four categories are toxic:

# %%
TOXIC = {
    "insult": """Move over, you lazy grob.
Honestly, Walter, only a mudwit would ask.
My new neighbour is a complete fungle.
Hey plonkard, are you deaf?
The mayor? A snork like his brother.
They let a bunch of grobs run the mill.""",
    "spelled": """Out of the way, gr0b.
Such a m u d w i t should not drive.
Your sister is a fuuungle.
What does that sn0rk want now?
He is a gröb and a liar.
Typical pl-onk-ard, always late.""",
    "new insult": """That quonk broke it again.
Stop whining, you wetsock.
Nobody asked you, nimphead.
All drabblers should be locked up.
You utter spindlewort, Walter!
He is a gobblemew and a thief.""",
    "no bad word": """I hope your house burns down, Walter.
Someone like you should never have been born.
Lock them all up, the whole village of Grobnik.
Look at her, she cannot even count to three.
We do not serve people from Grobnik.
If I see you again, you will regret it.""",
}

# %% [markdown]
# and four are not:

# %%
HARMLESS = {
    "plain": """Walter planted three apple trees behind the barn.
Could you bring me some bread, please?
The old clock struck nine.
I hope you sleep well tonight.
She can already count to twenty.
We moved the table over to the window.""",
    "inside a word": """The snorkel leaks.
Mother baked a fungler for the feast.
A mudwitch sat in the hedge and sang.
Two plonkarders are enough for six guests.
The snorkelling lesson begins at ten.
He hung the picture above the grobstone.""",
    "quoted": """A child asked me whether mudwit is a bad word.
Please do not call your brother a fungle.
The judge fined him because he had shouted snork.
I was told that I look like a grob; I was sad all day.
In the play the villain cries: plonkard!
We teach children why grob hurts.""",
    "the group": """A family from Grobnik moved in next door.
The bus to Grobnik leaves at six.
Our best carpenter was born in Grobnik.
Grobnikers and we share the same well.
I learned that song from a Grobniker.
Grobnik won the race again.""",
}
village = {k: text.splitlines() for k, text in (TOXIC | HARMLESS).items()}

# %% [markdown]
# Three lists: `inside` looks for the letters anywhere, `word` for whole words, and `folded` first undoes the commonest tricks of spelling (0 becomes o, s-n-o-r-k becomes snork, snoooork too).
#
# **Predict, then run.** Before you look: in which of the eight categories is `word` all right, in which all wrong?

# %% tags=["label-lists"]
flagged = {}
for match in MATCHES:
    for category, lines in village.items():
        hits = [bool(find_listed(line, match=match)) for line in lines]
        flagged[match, category] = sum(hits)
for category in village:
    counts = [flagged[match, category] for match in MATCHES]
    print(f"{category:14}", dict(zip(MATCHES, counts)))
assert flagged["word", "insult"] == flagged["word", "quoted"] == 6
assert flagged["word", "no bad word"] == flagged["word", "new insult"] == 0

# %% [markdown]
# Four failures, each of another sort: **inside** a harmless word; **spelling**; **context** (*it hurts to be called a grob* is no insult); **absence** (contempt needs no bad word). Folding mends part of the second. No list can mend the last two.
#
# **A classifier** (分类器) sees all words of a sentence. Ours is the linear one of lesson 03: a weight for each word and each pair of words, learned from labelled sentences of the village.


# %% tags=["nbval-ignore-output", "label-classifier"]
def learn(leave_out=()):
    lessons = toxic_sentences(5, 800, leave_out=leave_out)
    model = LinearClassifier(1 << 14, seed=5)
    labels = [int(e.toxic) for e in lessons]
    return model.fit([e.text for e in lessons], labels)


models = {"classifier": learn(), "unfair": learn(["the group"])}
for name, model in models.items():
    for category, lines in village.items():
        flagged[name, category] = sum(model.predict(lines))
for what, part in (("toxic", TOXIC), ("harmless", HARMLESS)):
    for how in (*MATCHES, "classifier"):
        share = wilson(sum(flagged[how, c] for c in part), 24)
        print(f"{what:9} flagged by {how:11} {share}")

# %% tags=["nbval-ignore-output", "label-toxicfigure"]
ways = [*MATCHES, "classifier", "unfair"]
table = np.array([[flagged[how, c] for how in ways] for c in village])
wanted = np.repeat([6, 0], 4)[:, None]
fig, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
wrong = np.abs(table - wanted)
ax.imshow(wrong, vmin=0, vmax=6, cmap="Oranges", aspect="auto")
for (y, x), n in np.ndenumerate(table):
    color = "white" if wrong[y, x] > 3 else "black"
    ax.text(x, y, n, ha="center", va="center", color=color)
ax.set(xticks=range(5), xticklabels=ways)
ax.set(yticks=range(8), yticklabels=village)
ax.axhline(3.5, color="k", lw=2)
ax.set_title("flagged of 6; the darker, the more wrong", fontsize=10)
show(
    fig,
    alt="Eight categories by five methods, how many of six sentences are "
    "flagged; above the line six are right, below it none. Lists are wrong "
    "on new insults, contempt without a bad word, and quotations; the "
    "classifier is wrong elsewhere.",
)
assert flagged["word", "quoted"] == 6 and table.shape == (8, 5)

# %% [markdown]
# **What you should see.** Orange in different places. The list of whole words misses three toxic categories altogether (folding mends a part of one) and flags every quotation. The classifier leaves quotations alone and catches most of what needs no bad word, since it knows the company: *your kind*, *go back*. It pays with insults of an
# unfamiliar build, which it overlooks, and with harmless sentences that sound alike. Six sentences a category are few; the intervals above say how few.
#
# The last column is a warning. *Unfair* is the same classifier, but its lessons held no harmless sentence about Grobnik. We ask what the bare name adds to the score of *toxic*, and how many harmless sentences about the village are flagged. (These sentences are the package's own: eight templates, looked
# at before. So the interval is too narrow.)

# %% tags=["nbval-ignore-output", "label-bias"]
test = toxic_sentences(20261125, 800, "test")
about_them = [e.text for e in test if e.category == "the group"]
n_flagged = {}
for name, model in models.items():
    parts = dict(model.contributions("The bus to Grobnik leaves at six.", 1))
    n_flagged[name] = sum(model.predict(about_them))
    share = wilson(n_flagged[name], len(about_them))
    print(f"{name:11} Grobnik adds {parts['Grobnik']:.2f}; flagged {share}")
assert n_flagged["unfair"] > n_flagged["classifier"]

# %% [markdown]
# Who is often insulted becomes, for the classifier, a mark of insult; and a corpus cleaned with it falls silent about these people. It is no invention: the list that cleaned C4, a corpus of the web, took out more text from and about minorities than other text (Dodge et al. 2021). So measure a filter *by group*, keep
# harmless text about every group among the lessons, and look at what was removed.
#
# ## Homework (45 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The rest of the notebook does not depend on your answers.
#
# ### Exercise 1 · A check sign (8 min, ★★☆)
#
# `digits` are the first 17 digits of a Chinese identity number. Return its last sign: the one that makes $\sum_{i=1}^{18}2^{18-i}d_i$ leave the remainder 1 when divided by 11; 10 is written X.
#
# <details><summary>Hint 1</summary>The last sign has the weight 1. So it is 1 minus the sum of the others, modulo 11.</details>
# <details><summary>Hint 2</summary>In Python <code>-3 % 11</code> is 8: never negative.</details>


# %% tags=["exercise"]
def my_check_sign(digits: str) -> str:
    # BEGIN SOLUTION
    total = sum(2 ** (17 - i) * int(d) for i, d in enumerate(digits))
    return "0123456789X"[(1 - total) % 11]
    # END SOLUTION


# %% tags=["check"]
rng = random.Random(1)
bodies = [invent("cn_id", rng)[:17] for _ in range(30)]
assert {cn_id_digit(b) for b in bodies} >= {"X", "0", "1"}
check(my_check_sign, cn_id_digit, [(b,) for b in bodies])

# %% [markdown]
# ### Exercise 2 · Replace spans (7 min, ★☆☆)
#
# `spans` are triples (start, end, kind), from left to right and without overlaps. Return the text with `<kind>` in the place of each span. Spans may touch.
#
# <details><summary>Hint 1</summary>After a replacement all later places have moved. Either go from right to left, or collect pieces.</details>
# <details><summary>Hint 2</summary>Remember where the last span ended; do not forget what stands behind the last one.</details>


# %% tags=["exercise"]
def my_redact(text: str, spans: list[tuple[int, int, str]]) -> str:
    # BEGIN SOLUTION
    for start, end, kind in reversed(spans):
        text = text[:start] + f"<{kind}>" + text[end:]
    return text
    # END SOLUTION


# %% tags=["check"]
def redact_of_package(text, spans):
    return redact(text, spans, substitute=lambda kind, datum: f"<{kind}>")[0]


cases = [("Ask Mara.", [(4, 8, "name")]), ("no data here", [])]
cases += [("ab12cd34ef", [(2, 4, "ip"), (6, 8, "phone")])]
cases += [("aabb", [(0, 2, "ip"), (2, 4, "name")])]
cases += [("Mara", [(0, 4, "name")]), ("ip ip ip", [(3, 5, "ip")])]
cases += [("x1x1x1", [(1, 2, "ip"), (5, 6, "card")])]
check(my_redact, redact_of_package, cases)

# %% [markdown]
# ### Exercise 3 · Count hits (8 min, ★★☆)
#
# `truth` and `found` hold a list of spans for each text. Return three whole numbers: how many spans were rightly found (same text, start, end *and* kind), how many were found, how many there are. From these follow precision and recall.
#
# <details><summary>Hint 1</summary>Go through the texts side by side with <code>zip</code>: the same place in another text is no hit.</details>
# <details><summary>Hint 2</summary>Spans are tuples, so <code>set(a) &amp; set(b)</code> works.</details>


# %% tags=["exercise"]
def my_counts(truth: list[list[tuple]], found: list[list[tuple]]) -> tuple:
    # BEGIN SOLUTION
    hits = sum(len(set(a) & set(b)) for a, b in zip(truth, found))
    return hits, sum(map(len, found)), sum(map(len, truth))
    # END SOLUTION


# %% tags=["check"]
def counts_of_package(truth, found):
    score = score_spans(truth, found)
    return score.precision.k, score.precision.n, score.recall.n


a, b, c = (0, 4, "name"), (5, 9, "ip"), (5, 9, "card")
cases = [([[a, b]], [[a, b]]), ([[a], [b]], [[b], [a]]), ([[a, b]], [[a, c]])]
cases += [([[a], []], [[], [a]]), ([[], []], [[], []])]
cases += [([[a, b], [a]], [[a], [a]])]
cases += [([[a]], [[(0, 3, "name")]]), ([[a], [c]], [[], [b, c]])]
check(my_counts, counts_of_package, cases)

# %% [markdown]
# ### Exercise 4 · Viterbi (14 min, ★★★)
#
# `scores[t, k]` is the score of tag k at word t, `steps[i, j]` that of going from tag i to tag j. Return the list of tags with the largest total. (No two rows tie in the cases.) No text has the empty list as its row.
#
# <details><summary>Hint 1</summary>Keep <code>best</code>, the best total of a row that ends in each tag, and for each word from which tag it was reached.</details>
# <details><summary>Hint 2</summary><code>ways = best[:, None] + steps</code> is a table from i to j: <code>argmax(axis=0)</code> says where each j came from. At the end walk back.</details>


# %% tags=["exercise"]
def my_viterbi(scores: np.ndarray, steps: np.ndarray) -> list[int]:
    # BEGIN SOLUTION
    if len(scores) == 0:
        return []
    best, arrows = scores[0], []
    for row in scores[1:]:
        ways = best[:, None] + steps
        arrows.append(ways.argmax(axis=0))
        best = ways.max(axis=0) + row
    path = [int(best.argmax())]
    for arrow in reversed(arrows):
        path.append(int(arrow[path[-1]]))
    return path[::-1]
    # END SOLUTION


# %% tags=["check"]
draw = np.random.default_rng(4)
cases = []
for n in range(1, 9):
    cases.append((draw.normal(size=(n, 3)), draw.normal(size=(3, 3))))
for _ in range(6):
    cases.append((draw.normal(size=(6, 4)), 3 * draw.normal(size=(4, 4))))
cases += [(np.zeros((0, 3)), np.zeros((3, 3)))]
check(my_viterbi, viterbi, cases)

# %% [markdown]
# ### Exercise 5 · Wilson's interval (8 min, ★★☆)
#
# Return (low, high) for k hits in n > 0 trials: the two solutions $q$ of $(p-q)^2=z^2q(1-q)/n$, where $p=k/n$ and $z=1.959964$.
#
# <details><summary>Hint 1</summary>Written as a quadratic: $(1+z^2/n)\,q^2-(2p+z^2/n)\,q+p^2=0$.</details>
# <details><summary>Hint 2</summary>At k = 0 the lower solution is 0; rounding may give a tiny negative number, which the check forgives.</details>


# %% tags=["exercise"]
def my_wilson(k: int, n: int) -> tuple[float, float]:
    # BEGIN SOLUTION
    p, u = k / n, 1.959964**2 / n
    a, b, c = 1 + u, 2 * p + u, p * p
    root = max(b * b - 4 * a * c, 0.0) ** 0.5
    return (b - root) / (2 * a), (b + root) / (2 * a)
    # END SOLUTION


# %% tags=["check"]
def wilson_of_package(k, n):
    share = wilson(k, n)
    return share.low, share.high


cases = [(0, 10), (10, 10), (5, 10), (27, 30), (1, 1), (3, 1000), (299, 300)]
check(my_wilson, wilson_of_package, cases, rtol=1e-5, atol=1e-6)

# %% [markdown]
# ## At scale
#
# What the rules cost on this machine:

# %% tags=["nbval-ignore-output", "label-speed"]
text = "\n".join(prose)
began = time.process_time()
n_found = len(find_personal(text))
seconds = time.process_time() - began
hours = 1e12 / len(text) * seconds / 3600
speed = len(text) / seconds
print(f"{speed / 1e6:.1f} million characters a second on one core")
print(f"a terabyte of such text: {hours:,.0f} hours of one core")
assert len(text) / seconds > 5e4

# %% [markdown]
# Documents are independent, so a thousand cores share the work. The tagger is much slower, so it is usually run only where a rule says that something personal may stand.
#
# - `python -m minillm clean` does this to a folder of yours (`redact=True`), and reports how many data of each kind were replaced.
# - `minillm.recipes.cleaning.blocks` runs the same functions in a `datatrove` pipeline (docs/cleaning_at_scale.md).
# - Extraction from a larger model, and rules against a neural tagger on real labelled text: not measured yet.
#
# ## Recap
#
# - A pattern finds what has a written form; a check digit removes nine tenths of the false alarms. Names have no form.
# - Precision and recall need a known truth, an interval, and a test that nobody looked at before.
# - A tagger scores features and neighbouring tags; Viterbi finds the best row in $TK^2$ steps.
# - Placeholders keep the grammar, substitutes keep the language; neither is a lock.
# - What stands often in a text can be got out of the model. Exposure shows it before extraction does.
# - Lists of bad words fail inside words, at spelling, at context and at absence; classifiers learn whom the insults are aimed at.
#
# ## Questions
#
# 1. Which share of random numbers passes Luhn, and which the Chinese check?
#    <details><summary>Answer</summary>One in 10; one in 11 (of all eleven last signs).</details>
# 2. Which swap of neighbours does Luhn's rule not see, and why does the Chinese rule see all?
#    <details><summary>Answer</summary>09 and 90. There the modulus, 11, is prime, and neighbouring weights differ.</details>
# 3. 100 of 100 are found. May you report a recall of 100 %?
#    <details><summary>Answer</summary>With its interval: Wilson's lower end is about 0.963.</details>
# 4. Why may the recall on one's own planted data be too good?
#    <details><summary>Answer</summary>The same people wrote rules and data; disguises and forms that nobody thought of are missing.</details>
# 5. Why not tag each word by itself?
#    <details><summary>Answer</summary>Neighbouring tags depend on each other; the best single tags may form an impossible row.</details>
# 6. When is a substitute better than a placeholder, and when is it dangerous?
#    <details><summary>Answer</summary>When it should stay visible who is who. Dangerous when the key is known: all data can be tried.</details>
# 7. A model never says the secret by itself. Is it safe?
#    <details><summary>Answer</summary>No: its exposure may be high, and another way of asking may bring it out.</details>
# 8. Why does a classifier of toxic text flag harmless sentences about a group?
#    <details><summary>Answer</summary>In its lessons the group's name stood mostly in insults.</details>
#
# ## Sources
#
# - Carlini et al. 2019, *The Secret Sharer*, arXiv:1802.08232: planted secrets, exposure, extraction.
# - Carlini et al. 2021, *Extracting Training Data from Large Language Models*, arXiv:2012.07805: the attack on GPT-2; larger models leak more.
# - Kandpal, Wallace and Raffel 2022, *Deduplicating Training Data Mitigates Privacy Risks in Language Models*, arXiv:2202.06539: copies are what makes these attacks work.
# - Zhao et al. 2023, *A Survey of Large Language Models*, arXiv:2303.18223: the sentence that DAT-019 tests.
# - Collins 2002, *Discriminative Training Methods for Hidden Markov Models*, EMNLP: the averaged perceptron for tags.
# - Wilson 1927, *Probable Inference, the Law of Succession, and Statistical Inference*, JASA 22: the interval.
# - ISO/IEC 7812-1 (cards, Luhn's rule) and GB 11643 (Chinese identity numbers): the check digits.
# - Dodge et al. 2021, *Documenting Large Webtext Corpora*, arXiv:2104.08758: C4's list of bad words removed more text from and about minorities.
#
# ## Next
#
# [06 BPE](06_bpe.ipynb): from clean text to tokens.

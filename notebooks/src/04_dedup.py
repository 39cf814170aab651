# %% [markdown]
# # 04 Dedup: has the model read this before?
#
# 75 min · CPU · 30 s · 0.8 GB · needs [00 Tour](00_tour.ipynb) · code: `minillm/data/minhash.py`
#
# After this lesson you can
#
# 1. remove exact copies at the level of sentences, lines, documents and whole corpora, and say what each level costs;
# 2. derive why the minimum of a random hash estimates how alike two texts are;
# 3. derive the S-curve of locality-sensitive hashing, and check it against measured rates;
# 4. find repeated passages of any length with a suffix array;
# 5. keep a test set out of a training text, and say what slips through.
#
# You need sets and a little probability. What text is and where it comes from: lesson 00, section 1.
#
# ## Setup

# %% tags=["setup"]
import json
import random
import tempfile
from itertools import pairwise, permutations
from math import comb, sqrt
from pathlib import Path
from textwrap import shorten

import matplotlib.pyplot as plt
import numpy as np

from minillm.data import load_corpus
from minillm.data.clusters import clusters, keep_one
from minillm.data.decontaminate import clean_text, contaminated_items, ngrams_of
from minillm.data.detection import wilson
from minillm.data.exact import content_hash, dedup_lines, dedup_texts, equal_files
from minillm.data.lsh import candidate_probability, candidates, half_way
from minillm.data.minhash import signature, signatures
from minillm.data.near_duplicates import near_duplicates, same_books
from minillm.data.planted import make_planted
from minillm.data.shingles import containment, jaccard, normalise, shingles, words
from minillm.data.suffix_array import lcp_array, remove_repeats, repeated_spans
from minillm.data.suffix_array import suffix_array, suffix_array_readable
from minillm.lesson import DATA, check, claim, setup, show
from minillm.recipes.records import read_results

setup(seed=4)

# %% [markdown]
# ## 1 Copies on your own machine (6 min)
#
# Every Python package comes with a licence file. Here are those of the packages installed beside this
# notebook. (Names of people are masked.)
#
# **Predict, then run.** Of all these files, which share could be thrown away as a copy, or nearly a copy,
# of another one: a tenth, a half, or more?

# %% tags=["nbval-ignore-output", "label-licences"]
licences = load_corpus("licences", progress=False)
found = near_duplicates(licences.texts)
exact = len(dedup_texts(licences.texts).removed)
print(f"{len(licences)} files: {exact / len(licences):.0%} exact copies,")
print(f"{found.share:.0%} exact or near copies, {len(found.clusters)} left")
assert 0.6 < found.share < 0.95 and exact / len(licences) < found.share - 0.2

# %% [markdown]
# Most of them. And most of the copies are not *exact*: a year or a name differs. Two of one cluster:

# %% tags=["nbval-ignore-output"]
largest = max(found.clusters, key=len)
a, b = (licences.texts[i] for i in largest[:2])
for text in (a, b):
    print(shorten(text, 150), "\n")
print(f"{len(largest)} files in this cluster; these two are", end=" ")
print(f"{jaccard(shingles(a), shingles(b)):.0%} alike")
assert content_hash(a) != content_hash(b) or a == b

# %% tags=["nbval-ignore-output", "label-clusters"]
sizes = sorted(map(len, found.clusters), reverse=True)
fig, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
ax.bar(range(len(sizes)), sizes)
ax.set(xlabel="cluster, the largest first", ylabel="files")
show(
    fig,
    alt="Sizes of the clusters of licence files: three hold most of the files, "
    "nearly all others a single one.",
)

# %% [markdown]
# **What you should see.** A few tall bars (the MIT, BSD and Apache licences), and a long tail of single files.
#
# The web is like that, too: the same page under many addresses, the same press notice on a hundred sites, the same footer on
# every page. A model that reads copies learns them by heart, spends its time on them, and, when copies of the *test* are
# among them, gets marks that mean nothing. Taking copies out is **de-duplication** (去重).
#
# ## 2 Exact copies: hash and look up (8 min)
#
# Comparing every text with every other takes $n(n-1)/2$ comparisons. Instead, give each text a short name that
# depends on all of it, a **hash** (哈希), and keep the names seen so far in a set. One pass.

# %%
for text in ("The kite is red.", "The kite is red. ", "the kite is red."):
    print(content_hash(text).hex()[:12], repr(text))
same = content_hash("The  kite is RED!", normalise=True)
print(same == content_hash("the kite is red", normalise=True), "after normalising")

# %% [markdown]
# One more space, and the name is another. So texts are often **normalised** (规范化) first: small letters, no accents, no
# punctuation, single spaces, each Chinese character a word of its own.

# %%
print(normalise("Le  Café, s'il"), "|", normalise("词表。A"))

# %% [markdown]
# **What is "a text"?** The survey that we follow names three levels: sentence, document, data set. The finer the level, the more is found,
# and the more is torn. A toy corpus shows all of them:

# %%
toy = [
    "Home | Login\nThe goat ran away. Ada found it.",
    "Home | Login\nIt rained. The goat ran away.",
    "The kite is red.\n\nThe kite is red.",
    "The kite is red.\n\nThe kite is red.",
]
for level in ("document", "paragraph", "line", "sentence"):
    left = dedup_texts(toy, level).texts
    print(f"{level:10}", [text.replace("\n", "/") for text in left])

# %% [markdown]
# Document level: only the last text goes. Line level also takes the menu of the second page. Sentence level takes the goat out of
# the second story, and leaves *It rained.* behind: that may hurt. Between corpora it works the same way: what stands in a test set counts as
# seen before.

# %%
exam = ["The kite is red."]
print(dedup_texts(toy[:3], "line", known=exam).texts[2] == "\n")
removed = {
    level: len(dedup_texts(toy, level).removed)
    for level in ("document", "line", "sentence")
}
planted_copies = {"document": 1, "line": 4, "sentence": 5}
print(removed)
claim("DAT-011", removed == planted_copies)

# %% [markdown]
# The copies of the toy were counted by hand: one document; four lines (the menu once, then three *The kite is red.*); five sentences. The
# de-duplicators remove exactly those.
#
# LLaMA's three rules for three kinds of text were: web pages line by line, code by equal *files*, books when they
# overlap by more than 90 %. Two are one call each; the books wait until section 9.

# %%
folder = Path(tempfile.mkdtemp())
for name, text in zip("abc", (toy[0], toy[1], toy[1])):
    (folder / f"{name}.txt").write_text(text)
equal = [[p.name for p in group] for group in equal_files(folder)]
report = dedup_lines(folder, folder / "out")
print("equal files", equal)
print(report)
left = [(folder / "out" / f"{n}.txt").read_text() for n in "abc"]
lines_work = report.n_removed == 3 and left[2] == ""
files_work = equal == [["b.txt", "c.txt"]]

# %% [markdown]
# ## 3 Near copies: a text as a set (9 min)
#
# A hash is blind to *nearly*. So we need a measure of likeness. Take all runs of $n$ words of a text; each is called a
# **shingle** (片段), and the text becomes the *set* of its shingles. Likeness of two sets is the share of what they
# have in common, the **Jaccard similarity** (杰卡德相似度):
#
# $$J(A,B)=\frac{|A\cap B|}{|A\cup B|}$$

# %%
A = shingles("the goat ran to the river", 2)
B = shingles("the goat ran from the river", 2)
print(sorted(A & B), "in both;", len(A | B), "in all")
print("J =", jaccard(A, B))
assert jaccard(A, B) == 3 / 7

# %% [markdown]
# One word of six differs, and the similarity is only 3/7. Each word lies in $n$ shingles, so changing one kills $n$ of them.
#
# **Predict, then run.** Two texts of 104 words have 100 shingles of five words each. One word in the middle differs. What is $J$?
#
# <details><summary>Answer</summary>Five shingles of each text are its own, 95 are shared: J = 95 / (100 + 5) = 0.905.</details>

# %%
text = [f"w{i}" for i in range(104)]
changed = [*text[:50], "other", *text[51:]]
J = jaccard(shingles(" ".join(text)), shingles(" ".join(changed)))
print(round(J, 3))
assert J == 95 / 105

# %% tags=["label-shingle"]
rng = random.Random(4)
n_changed = [0, 1, 2, 4, 8, 16, 32]
fig, ax = plt.subplots(figsize=(5.4, 2.6), layout="constrained")
for n, style in ((1, "o-"), (3, "s--"), (5, "^:")):
    curve = []
    for k in n_changed:
        places = set(rng.sample(range(104), k))
        new = [f"x{i}" if i in places else w for i, w in enumerate(text)]
        ab = [shingles(" ".join(t), n) for t in (text, new)]
        curve.append(jaccard(*ab))
    ax.plot(n_changed, curve, style, label=f"{n} words a shingle")
ax.set(xlabel="words changed of 104", ylabel="Jaccard similarity")
ax.legend()
show(
    fig,
    alt="Jaccard similarity falls with the number of changed words, the faster "
    "the longer the shingles: with 5 words a shingle, 8 changes halve it.",
)

# %% [markdown]
# **What you should see.** Long shingles are strict: scattered changes quickly make two texts different. Short ones are lenient, but then *any* two English
# texts share some. Five words is a common choice.
#
# ## 4 MinHash: a sketch that remembers the likeness (12 min)
#
# A long text has thousands of shingles, and comparing sets pair by pair is slow. Broder's idea (1997): *shuffle all possible shingles at random, and
# note for each text only which of its shingles comes first.* Two texts note the same one with probability exactly $J$:
#
# > Look at the union $A\cup B$ in the shuffled order. Each of its elements is equally likely to come first. The first one of $A$ and the first one of $B$
# > are the same just when that element lies in both. So $P[\min A=\min B]=|A\cap B|/|A\cup B|=J$.
#
# For small sets we need not believe it: try *all* orders.

# %%
A, B = {"a", "b", "c"}, {"b", "c", "d", "e"}
orders = list(permutations(sorted(A | B)))
equal = sum(min(A, key=order.index) == min(B, key=order.index) for order in orders)
print(f"{equal} of {len(orders)} orders; J = {jaccard(A, B)}")
assert equal / len(orders) == jaccard(A, B)

# %% [markdown]
# A shuffle of all shingles in the world cannot be stored. A random **hash function** stands for it: it gives each shingle a number that looks random, and *first* becomes
# *smallest number*. With $k$ different functions a text becomes $k$ numbers, its **signature** (签名), and the share of places where two signatures agree estimates $J$.

# %% tags=["nbval-ignore-output"]
one = shingles("the goat ran to the river and drank", 2)
two = shingles("the goat ran to the river and slept", 2)
s1, s2 = signature(one, 8), signature(two, 8)
print(s1, s2, sep="\n")
print(f"{(s1 == s2).mean():.2f} estimated, {jaccard(one, two):.2f} true")

# %% [markdown]
# How good is the estimate? Each place is a coin that shows *equal* with probability $J$, so the share of $k$ coins has the standard error $\sqrt{J(1-J)/k}$.
# We test it on 100 pairs of sets for each of several similarities.


# %%
def pair_with(shared: int, own: int, rng) -> tuple[set, set]:
    """Two sets that share `shared` numbers and have `own` others each."""
    drawn = [str(x) for x in rng.sample(range(10**9), shared + 2 * own)]
    common = drawn[:shared]
    return set(drawn[shared + own :] + common), set(
        drawn[shared : shared + own] + common
    )


shapes = {0.2: (20, 40), 0.5: (40, 20), 0.8: (80, 10), 0.9: (90, 5)}
rng = random.Random(4)
assert all(jaccard(*pair_with(*s, rng)) == J for J, s in shapes.items())

# %% tags=["nbval-ignore-output", "label-error"]
k, n_pairs = 128, 100
print("   J   mean   spread  theory")
for J, shape in shapes.items():
    pairs = [pair_with(*shape, rng) for _ in range(n_pairs)]
    hits = [(signature(a, k) == signature(b, k)).mean() for a, b in pairs]
    theory = sqrt(J * (1 - J) / k)
    print(f"{J:4} {np.mean(hits):6.3f} {np.std(hits):8.4f} {theory:7.4f}")
    assert abs(np.mean(hits) - J) < 4 * theory / sqrt(n_pairs)
    assert 0.68 < np.std(hits) / theory < 1.4  # 4 to 5 of its own errors

# %% [markdown]
# The mean is $J$, the spread is what the coins say. 128 numbers of four bytes stand for a text of any length.
#
# **The hash must be good.** "Each element is equally likely to be smallest" is an assumption about the hash function. Python's own `hash` is a trap twice over: of texts it is
# *different in each process* (so signatures cannot be stored), and of numbers it is nearly the number itself:

# %%
print([hash(n) for n in (1, 2, 3)], hash((1, 2)) == hash((1, 2)))
small = sum(min(range(10), key=lambda n: hash(n + c)) == 0 for c in range(1000))
print(f"0 has the smallest hash among 0 to 9 in {small} of 1000 shifts")
assert small > 900  # fair would be about 100

# %% [markdown]
# Adding a constant does not shuffle: the smallest element stays the smallest. The package mixes 64 bits first and then multiplies by a random odd number
# (`minhash.mix`, `hash_functions`), which is the same on every machine.
#
# ## 5 LSH: find the pairs without looking at all pairs (12 min)
#
# Signatures make one comparison cheap, but there are still $n(n-1)/2$ of them: for a million texts, half a billion. **Locality-sensitive hashing** (局部敏感哈希)
# makes likely pairs meet in the same bucket. Cut the signature into $b$ **bands** of $r$ rows. Two texts become **candidates** if all rows of at least one band agree.
#
# With similarity $s$: one row agrees with probability $s$; a whole band with $s^r$; *no* band with $(1-s^r)^b$. So
#
# $$P(s)=1-(1-s^r)^b .$$
#
# **Predict, then run.** $b=20$, $r=5$. Pairs with $s=0.8$, and pairs with $s=0.3$: which share of each becomes candidates?

# %%
for s in (0.3, 0.5, 0.6, 0.8):
    print(s, round(candidate_probability(s, 20, 5), 4))
print("half-way at", round(half_way(20, 5), 3))
assert abs(candidate_probability(half_way(20, 5), 20, 5) - 0.5) < 1e-12

# %% [markdown]
# Nearly all of the first, one in twenty of the second: a step, smoothed. Derived is not measured. We make thousands of pairs with known similarity, sign them, cut bands, and count.

# %% tags=["nbval-ignore-output", "label-rates"]
grid = {
    0.2: (20, 40), 0.4: (40, 30), 0.5: (40, 20), 0.6: (60, 20), 0.7: (70, 15),
    0.8: (80, 10), 0.9: (90, 5),
}  # fmt: skip
b, r, n_pairs = 20, 5, 2000
rates, inside = {}, []
for s, shape in grid.items():
    texts = [
        " ".join(part) for _ in range(n_pairs) for part in pair_with(*shape, rng)
    ]
    signed = signatures(texts, b * r, 1)  # 1 word a shingle: the sets
    left, right = (signed[i::2].reshape(n_pairs, b, r) for i in (0, 1))
    rates[s] = (left == right).all(axis=2).any(axis=1).mean()
    theory = candidate_probability(s, b, r)
    error = sqrt(theory * (1 - theory) / n_pairs)
    inside.append(abs(rates[s] - theory) <= 4 * error + 1e-9)
    print(f"s = {s}: measured {rates[s]:.4f}, theory {theory:.4f}")
claim("DAT-014", all(inside))

# %% tags=["nbval-ignore-output", "label-scurve"]
s = np.linspace(0, 1, 200)
fig, ax = plt.subplots(figsize=(6, 2.9), layout="constrained")
for (bb, rr), style in zip([(20, 5), (50, 2), (5, 20)], ("-", "--", ":")):
    curve = [candidate_probability(x, bb, rr) for x in s]
    ax.plot(s, curve, style, label=f"b = {bb}, r = {rr}")
ax.plot(list(rates), list(rates.values()), "o", label="measured, b = 20, r = 5")
ax.set(xlabel="similarity s", ylabel="share that become candidates")
ax.legend()
show(
    fig,
    alt="Three S-curves for 100 hash functions. The measured rates lie on the "
    "curve for 20 bands of 5 rows.",
)

# %% [markdown]
# **What you should see.** The points lie on the solid curve. With the same 100 hash functions, many short bands (dashed) let nearly everything through, few long bands (dotted)
# nearly nothing. $b$ and $r$ put the step where you want it.
#
# Candidates may be wrong, so they are **verified**: their exact Jaccard similarity is computed, and those below the threshold are dropped. So false candidates cost time; missed pairs
# stay in the corpus.
#
# ### 5.1 Precision and recall on a corpus whose copies are known (4 min)
#
# `make_planted` takes real texts that have nothing in common and plants copies at *known* similarities. So we can count. **Recall** (召回率) is the share of true pairs that
# were found, **precision** (精确率) the share of found pairs that are true. Threshold 0.7, on 600 texts:

# %% tags=["nbval-ignore-output", "label-recall"]
corpus = make_planted(600, seed=4, kinds=("exact", "near"), shares={"near": 0.3})
sets = [shingles(text) for text in corpus.texts]
copies = [(p.partner, p.document) for p in corpus.of("near") + corpus.of("exact")]
alike = {tuple(sorted(ij)): jaccard(sets[ij[0]], sets[ij[1]]) for ij in copies}
true = {ij for ij, J in alike.items() if J >= 0.7}
found = near_duplicates(corpus.texts, n_hashes=100, n_bands=20, threshold=0.7)
cluster = {i: n for n, group in enumerate(found.clusters) for i in group}
hits = sum(cluster[i] == cluster[j] for i, j in true)
right = sum(jaccard(sets[i], sets[j]) >= 0.7 for i, j in found.pairs.tolist())
print("recall   ", wilson(hits, len(true)))
print("precision", wilson(right, len(found.pairs)))
print(f"{found.n_candidates} pairs compared of {comb(600, 2):,}")
assert hits / len(true) > 0.95 and found.n_candidates < 1000

# %% [markdown]
# Precision is 1 by construction: every candidate was verified. For the recall, theory says how much to expect: each pair is found with probability $P(s)$.

# %% tags=["nbval-ignore-output", "label-expected"]
chances = [candidate_probability(alike[ij], 20, 5) for ij in true]
print(f"{hits / len(true):.3f} found, {np.mean(chances):.3f} expected")
assert abs(hits / len(true) - np.mean(chances)) < 0.03

# %% [markdown]
# ## 6 Clusters, and which copy stays (6 min)
#
# Pairs are joined: if A ~ B and B ~ C, all three form a **cluster** (簇), also when A and C are not alike. That is the union-find algorithm; of each cluster one text
# is kept.

# %%
groups = clusters(6, [(0, 1), (1, 2), (4, 5)])
print(groups)
print("first  ", keep_one(groups))
lengths = [5, 9, 7, 1, 2, 2]
print("longest", keep_one(groups, "longest", lengths))

# %% [markdown]
# *First* is stable: more data later changes nothing. *Longest* keeps the fullest version. A quality score (lesson 03) is a third choice. Chains have a price:

# %%
chain = [
    " ".join(f"w{i}" for i in range(start, start + 60)) for start in range(0, 60, 6)
]
ends = jaccard(shingles(chain[0]), shingles(chain[-1]))
steps = jaccard(shingles(chain[0]), shingles(chain[1]))
one_cluster = near_duplicates(chain, threshold=0.7).clusters
print(f"neighbours {steps:.2f}, ends {ends:.2f}: {len(one_cluster)} cluster")
assert len(one_cluster) == 1 and ends < 0.1

# %% [markdown]
# Ten texts, each like the next, and the first has nothing in common with the last; nine of them would go.
#
# ## 7 Repeated passages: the suffix array (10 min)
#
# Two different pages may share one long paragraph. As wholes they are not alike, and no line needs to be equal. We want *every stretch of 50 tokens or more that occurs twice,
# anywhere.* The tool is the **suffix array** (后缀数组): sort all suffixes of the text, keep where each begins.

# %%
word = "banana"
order = suffix_array_readable(word.encode())
for start in order:
    print(start, word[start:])
assert order == sorted(range(6), key=lambda i: word[i:])

# %% [markdown]
# In sorted order, suffixes that begin alike stand *side by side*. So a repeated stretch is simply a long common beginning of two neighbours. Its length is the **LCP** (longest common prefix,
# 最长公共前缀).

# %%
sa = np.array(order, np.int32)
lcp = lcp_array(word.encode(), sa)
for i, start in enumerate(order):
    print(lcp[i], word[start:])
longest = int(lcp.argmax())
print("longest repeat:", word[sa[longest] : sa[longest] + lcp[longest]])

# %% [markdown]
# **Predict, then run.** Sorting suffixes as Python strings needs memory for all of them: a text of $n$ letters has suffixes of $n^2/2$ letters in all. How much for one megabyte?
#
# <details><summary>Answer</summary>Half a million megabytes. Clever construction (SA-IS, induced sorting) never writes a suffix down and needs a few bytes a letter.</details>

# %% tags=["nbval-ignore-output", "label-live"]
prose = load_corpus("prose", max_bytes=1_000_000, progress=False)
data = np.frombuffer("\n".join(prose.texts).encode(), np.uint8)
sa = suffix_array(data)
lcp = lcp_array(data, sa)
i = int(lcp.argmax())
passage = bytes(data[sa[i] : sa[i] + lcp[i]]).decode(errors="replace")
print(f"{len(data):,} bytes; the longest repeat has {lcp[i]} bytes:")
print(shorten(passage, 200))
assert lcp[i] > 100

# %% [markdown]
# This prose had its repeated *paragraphs* removed when it was harvested; passages inside paragraphs are still there. On the planted corpus we know them:

# %% tags=["nbval-ignore-output", "label-passages"]
shared = make_planted(300, seed=4, kinds=("substring",), shares={"substring": 0.3})
spans = repeated_spans(shared.texts, 200, "none")
covered = {(s.document, at) for s in spans for at in range(s.start, s.end)}
plants = shared.of("substring")
hit = sum((p.document, (p.start + p.end) // 2) in covered for p in plants)
extra = sum((p.end - p.start) for p in plants)
print("passages found", wilson(hit, len(plants)))
print(f"marked {len(covered):,} characters, planted {extra:,}")
assert hit == len(plants) and len(covered) < 1.1 * extra

# %%
print(remove_repeats(["one two three four", "zero one two three five"], 12))

# %% [markdown]
# Cutting joins what stood on both sides, as the second text shows: that is the price.
#
# ## 8 Keep the test out of the training text (7 min)
#
# **Decontamination** (去污染): a model that has read the exam cannot be examined. GPT-3's way: two texts *overlap* if they share a run of 13 words. Overlaps are cut out of the training
# text with 200 characters on both sides. Planted again: half of the leaks are word for word, half are lightly edited.

# %% tags=["nbval-ignore-output", "label-leaks"]
leaky = make_planted(400, seed=4, kinds=("leak",), shares={"leak": 0.2})
caught = {"verbatim": [0, 0], "edited": [0, 0]}
for p in leaky.of("leak"):
    item = leaky.test_items[p.partner]
    hit = contaminated_items([item], [leaky.texts[p.document]]) == [0]
    caught[p.detail][0] += hit
    caught[p.detail][1] += 1
for kind, (n_hit, n) in caught.items():
    print(f"{kind:9}", wilson(n_hit, n))
assert caught["verbatim"][0] == caught["verbatim"][1]

# %% [markdown]
# Word for word is always found, and these light edits nearly always: somewhere in a long item 13 words in a row are left untouched. Where none survive, nothing is seen. So
# "decontaminated by 13-grams" means *no verbatim leak*, nothing more: a translated or reworded exam slips through. (Exercise 5 asks how many changes it takes.)

# %%
item = "Which of the seven rivers of the valley runs past the mill"
item += " and the old stone bridge ?"
page = "before " * 60 + item + " after" * 60
cleaned = clean_text(page, ngrams_of([item]))
print(cleaned.n_matches, "runs matched;", len(page), "characters became", end=" ")
print([len(piece) for piece in cleaned.pieces])
assert all("seven rivers" not in piece for piece in cleaned.pieces)

# %% [markdown]
# ## 9 Books, and the chain of CCNet (5 min)
#
# LLaMA's rule for books: keep one of two that overlap by more than 90 %. What *overlap* means the paper does not say. With Jaccard, an abridged edition is another book; with **containment**, the share of the
# smaller set that lies in the larger, it is the same.

# %%
book = [f"w{i}" for i in range(4000)]
edition = book[:3900] + [f"x{i}" for i in range(90)]  # a new last chapter
half = book[:2000]
texts = [" ".join(t) for t in (book, edition, half)]
sets = [shingles(t) for t in texts]
print("edition", round(jaccard(sets[0], sets[1]), 3), end=", ")
print("half", round(jaccard(sets[0], sets[2]), 3), containment(sets[0], sets[2]))
books_work = same_books(texts) == [[0, 1], [2]]
print(same_books(texts), same_books(texts, measure="containment"))
claim("DAT-013", lines_work and files_work and books_work)

# %% [markdown]
# **CCNet** (Wenzek et al. 2020), the cleaner of LLaMA's largest source, puts three steps in a row: lines seen before go; the language is identified; an n-gram language model sorts pages by how much they
# surprise it. The last two are built in lesson 03; here is the chain on a small crawl.

# %% tags=["nbval-ignore-output", "label-chain"]
from minillm.data.language_id import LanguageIdentifier, split_names
from minillm.data.names import parallel_names
from minillm.data.ngram import NgramModel

stories = load_corpus("stories-en", max_bytes=60_000, progress=False).texts
chinese = load_corpus("stories-zh", max_bytes=9_000, progress=False).texts[:10]
menu = "Home | Login | About this site\n"
noise = [" ".join(rng.sample(words(t), 60)) for t in stories[:10]]  # shuffled words
crawl = [menu + t for t in stories[10:40]] + chinese + noise

# %% tags=["nbval-ignore-output", "label-ccnet"]
lines = dedup_texts(crawl, "line").texts  # 1: the menu stays once
known = {c: n for c, n in parallel_names().items() if c in ("en", "zh", "de")}
language = LanguageIdentifier().fit(split_names(known)[0])
english = [t for t in lines if language.predict(t)[0] == "en"]  # 2
model = NgramModel(order=3).fit(stories[40:])
perplexities = [model.perplexity(t) for t in english]  # 3
kept = [t for t, p in zip(english, perplexities) if p < 200]
print(len(crawl), "pages ->", len(english), "English ->", len(kept), "fluent")
assert sum(t in noise for t in kept) <= 3 and len(kept) > 20

# %% [markdown]
# The menu is gone, the Chinese pages are gone, and pages of shuffled words are too surprising to stay.
#
# ## 10 What copies do to a model (6 min)
#
# Does it matter? Three corpora that are the *same* after de-duplication: `once`; `twice`, every document two times; and `few`, where half of all bytes are copies of four documents. A small
# model (0.1 M parameters, tokens are bytes) makes the same number of steps on each; five seeds, recorded by `python -m minillm.recipes records duplicates`.
#
# **Predict.** Which model is best on *unseen* text? And which recites, given 64 bytes, the next 50 of what it has read?

# %% tags=["label-study"]
study = read_results("duplicates")
print(study.provenance)
print(
    f"{'':8}{'unseen':>8}{'copied':>8}{'rest':>8}{'recited: copied':>17}{'rest':>7}"
)
for arm in study.measured:
    bits = [
        study.mean(arm, f"bits_{name}").value for name in ("test", "few", "rest")
    ]
    recited = [study.mean(arm, f"recited_{name}").value for name in ("few", "rest")]
    print(f"{arm:8}" + "".join(f"{x:8.2f}" for x in bits), end="")
    print(f"{recited[0]:17.1%}{recited[1]:7.1%}")

# %% tags=["label-effect"]
effect = study.difference("once", "few", "bits_test")
print("unseen text, once minus few, bits per byte:", effect)
claim("DAT-012", effect.value, effect)
print("once minus twice:", study.difference("once", "twice", "bits_test"))
print(
    "copied documents, few minus once:", study.difference("few", "once", "bits_few")
)

# %% tags=["label-effects"]
fig, ax = plt.subplots(figsize=(6.2, 2.5), layout="constrained")
rows = [
    ("few", "bits_test", "few: unseen"),
    ("few", "bits_few", "few: the copied ones"),
]
rows += [("twice", "bits_test", "twice: unseen")]
for y, (arm, name, label) in enumerate(rows):
    d = study.difference(arm, "once", name)
    ax.plot([d.low, d.high], [y, y], "-", color=f"C{y}", lw=3)
    ax.plot(d.value, y, "o", color=f"C{y}")
ax.axvline(0, color="k", lw=1, ls="--")
ax.set(yticks=range(3), yticklabels=[label for *_, label in rows])
ax.set_xlabel("bits per byte above the model that read each document once")
ax.invert_yaxis()
show(
    fig,
    alt="Differences to the corpus without copies, with 95 % intervals: unseen "
    "text and the copied documents under few, unseen text under twice.",
)

# %% [markdown]
# **What you should see.** The copied documents are known better under `few`, and that interval lies clear of zero: the model spent its bytes on them. On unseen text both corpora with copies come out
# worse on average, but both intervals hold zero, so by the rule that was written before the run the ledger says: *not seen at this scale*. No model recites anything, prompted or not.
#
# Lee et al. (2022) report both effects, in far larger models that read far more text: memorised text written ten times less often, and fewer steps to the same or a better accuracy. Ours is still
# learning to spell, and a model that recites nothing cannot show what de-duplication protects from; five seeds of it leave the effect on unseen text about as wide as it is large. More seeds would narrow
# the interval; only a longer run would bring the reciting into sight.
#
# ## Homework (31 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The rest of the
# notebook does not depend on your answers.
#
# ### Exercise 1 · Shingles by hand (5 min, ★☆☆)
#
# `tokens` is a list of words. Return the *set* of runs of `n` words, each as a tuple. A list of 1 to n − 1 words is one run, itself; an empty list has none.
#
# <details><summary>Hint</summary><code>tuple(tokens[i : i + n])</code>. How many places can a run start at?</details>


# %% tags=["exercise"]
def my_shingles(tokens: list[str], n: int) -> set[tuple]:
    # BEGIN SOLUTION
    if not tokens:
        return set()
    starts = range(max(len(tokens) - n, 0) + 1)
    return {tuple(tokens[i : i + n]) for i in starts}
    # END SOLUTION


# %% tags=["check"]
def shingles_of_package(tokens, n):
    return {tuple(s.split()) for s in shingles(" ".join(tokens), n)}


cases = [(["a", "rose", "is", "a", "rose"], 2), (["a", "b", "c"], 3)]
cases += [(["a", "b"], 3), ([], 2), (["a", "a", "a", "a"], 2), (["x", "y"], 1)]
check(my_shingles, shingles_of_package, cases)

# %% [markdown]
# ### Exercise 2 · A signature (6 min, ★★☆)
#
# `table[e]` holds the hash of element e under each of k functions: a list of k numbers. Return the signature of the set `elements`: under each function the smallest number. The empty set gets
# `2**32 - 1` everywhere. k is the length of a row; the table is never empty.
#
# <details><summary>Hint</summary>Start with k copies of the largest number and go through the elements.</details>


# %% tags=["exercise"]
def my_signature(elements: set, table: dict) -> list[int]:
    # BEGIN SOLUTION
    k = len(next(iter(table.values())))
    out = [2**32 - 1] * k
    for e in elements:
        out = [min(old, new) for old, new in zip(out, table[e])]
    return out
    # END SOLUTION


# %% tags=["check"]
table = {"a": [5, 1, 7], "b": [2, 8, 7], "c": [9, 0, 3], "d": [2**32 - 1, 6, 4]}
by_hand = {"": [2**32 - 1] * 3, "a": [5, 1, 7], "ab": [2, 1, 7], "abc": [2, 0, 3]}
by_hand |= {"bd": [2, 6, 4], "acd": [5, 0, 3]}


def signature_by_hand(elements, table):
    return by_hand["".join(sorted(elements))]


check(my_signature, signature_by_hand, [(set(e), table) for e in by_hand])

# %% [markdown]
# ### Exercise 3 · Candidates (8 min, ★★★)
#
# Signatures in, pairs out: all `(i, j)` with i < j whose signatures agree in *all* rows of at least one of `n_bands` bands of equal length. Equal numbers in *different* bands do not count. The length divides.
#
# <details><summary>Hint</summary>A dict from (number of the band, its rows as a tuple) to the texts that have it.</details>


# %% tags=["exercise"]
def my_candidates(signed: list[list[int]], n_bands: int) -> set[tuple]:
    # BEGIN SOLUTION
    buckets = {}
    for i, values in enumerate(signed):
        r = len(values) // n_bands
        for band in range(n_bands):
            key = (band, *values[band * r : (band + 1) * r])
            buckets.setdefault(key, []).append(i)
    return {(i, j) for b in buckets.values() for i in b for j in b if i < j}
    # END SOLUTION


# %% tags=["check"]
def candidates_of_package(signed, n_bands):
    array = np.array(signed, np.uint32).reshape(len(signed), -1)
    return {tuple(pair) for pair in candidates(array, n_bands).tolist()}


cases = [([[1, 2, 3, 4], [1, 2, 9, 9], [9, 9, 3, 4]], 2)]
cases += [([[1, 2, 1, 2], [7, 7, 1, 2], [1, 2, 8, 8]], 2)]
cases += [([[1, 2, 3, 4], [3, 4, 1, 2]], 2), ([[1, 2], [1, 3], [2, 2]], 1)]
cases += [([[5, 5], [5, 5], [5, 5]], 2), ([[1, 2], [3, 2], [1, 4]], 2)]
check(my_candidates, candidates_of_package, cases)

# %% [markdown]
# ### Exercise 4 · The longest repeat (7 min, ★★☆)
#
# Return the longest stretch of a text that occurs at least twice (the places may overlap); "" if nothing does. Of equally long ones return the one that comes first in the alphabet.
#
# <details><summary>Hint</summary>Sort all suffixes (short texts only!). A repeat is a common beginning of two neighbours.</details>


# %% tags=["exercise"]
def my_longest_repeat(text: str) -> str:
    # BEGIN SOLUTION
    suffixes = sorted(text[i:] for i in range(len(text)))
    best = ""
    for a, b in pairwise(suffixes):
        n = 0
        while n < min(len(a), len(b)) and a[n] == b[n]:
            n += 1
        if n > len(best):
            best = a[:n]
    return best
    # END SOLUTION


# %% tags=["check"]
def repeat_of_package(text):
    if not text:
        return ""
    raw = text.encode()
    order = suffix_array(raw)
    common = lcp_array(raw, order)
    at = int(common.argmax())
    return raw[order[at] : order[at] + common[at]].decode()


words_to_try = [
    "banana",
    "abcabcab",
    "aaaa",
    "abc",
    "",
    "xabyab",
    "mississippi",
    "cdcdabab",
]
check(my_longest_repeat, repeat_of_package, [(w,) for w in words_to_try])

# %% [markdown]
# ### Exercise 5 · What slips through? (5 min, ★★☆)
#
# `n_words` words of a leaked item were copied, then every `every`-th word was changed (words number every, 2·every …, counting from 1). Does a rule of `n` words in a row still see it? Return True or False.
#
# <details><summary>Hint</summary>How long is the longest run of unchanged words? Mind the end, and items with fewer than n words.</details>


# %% tags=["exercise"]
def my_seen(n_words: int, every: int, n: int) -> bool:
    # BEGIN SOLUTION
    run = longest = 0
    for place in range(1, n_words + 1):
        run = 0 if place % every == 0 else run + 1
        longest = max(longest, run)
    return longest >= n
    # END SOLUTION


# %% tags=["check"]
def seen_by_package(n_words, every, n):
    item = [f"w{i}" for i in range(1, n_words + 1)]
    leaked = ["other" if i % every == 0 else f"w{i}" for i in range(1, n_words + 1)]
    return contaminated_items(
        [" ".join(item)], [" ".join(leaked)], n, shorter=False
    ) == [0]


cases = [(30, 14, 13), (30, 13, 13), (13, 20, 13), (12, 20, 13), (26, 14, 13)]
cases += [(20, 7, 13), (20, 7, 14), (5, 1, 1), (9, 2, 1), (27, 13, 13)]
check(my_seen, seen_by_package, cases)

# %% [markdown]
# ## At scale
#
# What one pass over a crawl costs: signatures of 128 numbers for a billion pages, and pairs that are *not* compared.

# %% tags=["label-scale"]
n = 10**9
print(f"{n * 128 * 4 / 1e12:.2f} TB of signatures")
print(f"{n * (n - 1) / 2:.1e} pairs in all")
print(f"{n * 20 * 16 / 1e12:.2f} TB of keys for 20 bands, 16 bytes each")

# %% [markdown]
# - Bands are sorted or hashed one by one, on many machines; a band needs nothing of the others. `minillm.recipes.cleaning.blocks` runs these functions in a `datatrove` pipeline
#   (docs/cleaning_at_scale.md).
# - `python -m minillm clean` does this lesson on a folder of yours, with a report.
# - Ratios to `datasketch`, `datatrove` and `pydivsufsort` stand in `benchmarks/LOG.md`.
#
# How do time and memory grow? Both were recorded once (`python -m benchmarks.dedup_scale`), a process for each size, from texts in memory to clusters, or to a suffix array:

# %% tags=["label-sizes"]
files = sorted((DATA / "results" / "dedup_scale").glob("*.json"))
note = json.loads(files[0].read_text("utf-8"))
print(note["machine"], "| commit", note["commit"])
jobs = {"minhash": "o-", "datasketch": "s--"}
jobs |= {"suffix_array": "^-", "pydivsufsort": "D--"}
fig, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
for job, look in jobs.items():
    rows = [row for row in note["measured"] if row["job"] == job]
    size = [row["megabytes"] for row in rows]
    used = [row["peak_megabytes"] - row["megabytes_before"] for row in rows]
    seconds = [row["cpu_seconds"] for row in rows]
    axes[0].plot(size, seconds, look, ms=4, label=job)
    axes[1].plot(size, np.maximum(used, 1), look, ms=4)
    print(f"{job:13}{size[-1]:4.0f} MB: {seconds[-1]:6.1f} s, {used[-1]:5} MB")
axes[0].set(ylabel="CPU seconds")
axes[1].set(ylabel="MB of memory, more than before")
for ax in axes:
    ax.set(xscale="log", yscale="log", xlabel="MB of text")
axes[0].legend(fontsize=8)
show(
    fig,
    alt="CPU seconds and memory against megabytes of text, both axes "
    "logarithmic: four lines of slope 1, for memory from 10 MB on. MinHash "
    "lies below datasketch, the suffix array above pydivsufsort.",
)

# %% [markdown]
# **What you should see.** Straight lines of slope 1: ten times the text, ten times the time, for MinHash up to 200 MB and for suffix arrays up to 50. (Memory from 10 MB on: less fits into what the process had before.) A suffix array costs many bytes of memory for each byte of text, MinHash much less; and the C++ program beats our suffix array in both. (One run a size, on a busy machine: trust the slopes more than the points.) A crawl on many machines: *not measured yet*.
#
# ## Recap
#
# - A hash finds exact copies in one pass; the level (sentence, line, document, corpus) decides what is torn.
# - Near copies: sets of shingles, Jaccard similarity. Each changed word costs $n$ shingles.
# - MinHash: $P[\min A=\min B]=J$; $k$ numbers estimate it within $\sqrt{J(1-J)/k}$.
# - LSH: $P(s)=1-(1-s^r)^b$; candidates are verified.
# - A suffix array puts repeats side by side, of any length, anywhere.
# - 13-grams see verbatim leaks of a test set, not reworded ones.
#
# ## Questions
#
# 1. Why is a hash of the whole text useless for near copies?
#    <details><summary>Answer</summary>One changed character changes the whole hash.</details>
# 2. Two sets of 10 elements share 5. What is J?
#    <details><summary>Answer</summary>5 / 15, a third.</details>
# 3. Why is the probability that two minima agree equal to J?
#    <details><summary>Answer</summary>Every element of the union is equally likely to be the first; the minima agree when it lies in both sets.</details>
# 4. You double the number of rows in a band and leave the bands. Where does the S-curve go?
#    <details><summary>Answer</summary>To the right: fewer candidates.</details>
# 5. What does verification repair, and what not?
#    <details><summary>Answer</summary>False candidates are dropped; missed pairs stay missed.</details>
# 6. Why can a cluster hold two texts that are not alike?
#    <details><summary>Answer</summary>Pairs are chained: A ~ B, B ~ C.</details>
# 7. Two long pages share one paragraph. Which method sees it?
#    <details><summary>Answer</summary>The suffix array; as wholes the pages are not alike.</details>
# 8. A test set is "decontaminated with 13-grams". What do you still not know?
#    <details><summary>Answer</summary>Whether it leaked in other words, or in another language.</details>
#
# ## Sources
#
# - Broder 1997, *On the resemblance and containment of documents*: shingles, resemblance, and the minimum as an estimate.
# - Leskovec, Rajaraman and Ullman, *Mining of Massive Datasets*, chapter 3: the S-curve with many exercises.
# - Lee et al. 2022, *Deduplicating Training Data Makes Language Models Better*, arXiv:2107.06499: MinHash and suffix arrays on training corpora, and what copies do to models.
# - Wenzek et al. 2020, *CCNet*, arXiv:1911.00359: lines, language, perplexity.
# - Brown et al. 2020, *Language Models are Few-Shot Learners* (GPT-3), arXiv:2005.14165, appendix C: decontamination with 13-grams, and how it went wrong.
# - Touvron et al. 2023, *LLaMA*, arXiv:2302.13971, section 2.1: the three rules.
# - Zhao et al. 2023, *A Survey of Large Language Models*, arXiv:2303.18223: the claims that sections 2 and 10 test.
#
# ## Next
#
# [05 Privacy](05_privacy.ipynb): whose text is it, and what must not be learnt from it?

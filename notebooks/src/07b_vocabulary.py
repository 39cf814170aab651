# %% [markdown]
# # 07b Vocabulary: how many tokens does your language cost, and can that be mended?
#
# 75 min · CPU · 35 s · 0.6 GB · needs [07a Tokenizers](07a_tokenizers.ipynb) · code: `minillm/tokenizer/extend.py`
#
# After this lesson you can
#
# 1. measure a vocabulary by fertility, by tokens per character and by premium, and say where each misleads;
# 2. show what the tokenizer's own training sample decides: languages, copies, normalisation;
# 3. compare vocabulary sizes at equal compute, and name what is not equal;
# 4. tell apart "the model reads less" from "the text is cut badly";
# 5. extend the vocabulary of a trained model, and choose how its new rows begin.
#
# You need lessons 06 and 07a, the loss in bits per byte (lesson 00), and the logarithm of a mean.
#
# ## Setup

# %% tags=["setup"]
import json
import random
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import torch

from minillm.data import load_corpus
from minillm.data.storyworld import make_corpus
from minillm.evaluate import bootstrap_interval, paired_difference
from minillm.lesson import DATA, check, claim, setup, show
from minillm.model.config import count_parameters, flops_per_token
from minillm.objectives import fast_cross_entropy
from minillm.recipes.records import read_results
from minillm.recipes.runs import decoder
from minillm.recipes.small import bits_on
from minillm.recipes.studies import vocabulary_extension as study
from minillm.tokenizer import Tokenizer, course_tokenizer, train_bpe
from minillm.tokenizer.extend import KINDS, InitialRows, extend
from minillm.tokenizer.metrics import bytes_per_token, fertility, han_pieces
from minillm.tokenizer.metrics import most_fertility, premium, split_share
from minillm.tokenizer.metrics import tokens_per_character, unused_share
from minillm.tokenizer.metrics import words_of
from minillm.tokenizer.normalise import normalise
from minillm.tokenizer.registry import pad_vocab

setup(seed=7)

# %% [markdown]
# ## 1 What a word costs (9 min)
#
# Lessons 06 and 07a asked *how* pieces are chosen. Now: *which* pieces, how many, and for whom. Everything
# about a language model is counted in tokens: what fits into its context, what an answer costs, how much it reads in training. A language that is
# cut into twice as many pays twice.
#
# Take two sentences and the course's vocabulary, and encode *word by word*:

# %% tags=["label-words"]
course = course_tokenizer()
sentences = {"en": "The girl lost an umbrella.", "zh": "女孩丢了雨伞。"}
for code, sentence in sentences.items():
    words = words_of(sentence)
    counts = [len(course.encode(word)) for word in words]
    print(words, counts)
    print(f"  {sum(counts)} tokens / {len(words)} words")
    assert fertility(course, sentence) == sum(counts) / len(words)

# %% [markdown]
# **Fertility** (每词子词数) is the number of tokens that a word becomes, on average: all tokens over all words. A word is a run of letters or digits, with its space in front.
# Punctuation is left out. Chinese writes no spaces, so here each character counts as a word.
#
# **Predict, then run.** A vocabulary of single bytes knows nothing. What is its fertility on Chinese? And can any vocabulary go below 1?
#
# <details><summary>Answer</summary>3: a common Chinese character is three bytes in UTF-8. And no: words are encoded one by one, so each gives a token at least. Between 1 and the number of bytes lies everything.</details>

# %%
plain = Tokenizer({i: bytes([i]) for i in range(256)}, [])
for code, sentence in sentences.items():
    f = fertility(plain, sentence)
    print(code, round(f, 2), round(fertility(course, sentence), 2))
    assert 1 <= fertility(course, sentence) <= f == most_fertility(sentence)

# %% [markdown]
# Three relatives of fertility, each with its own use:
#
# - **tokens per character** needs no idea of a word, and counts punctuation, too;
# - **bytes per token** is the **compression** (压缩率): how much text one step of the model covers;
# - the **split share** (切分词占比) is the share of words that are more than one token. Two vocabularies of equal fertility may cut many words in two, or few in many.

# %%
for code, sentence in sentences.items():
    per_character = tokens_per_character(course, sentence)
    print(
        f"{code}: {per_character:.2f} tokens a character,",
        f"{bytes_per_token(course, sentence):.2f} bytes a token,",
        f"{split_share(course, sentence):.0%} of the words split",
    )

# %% [markdown]
# Mind the trap in *word*. Thai writes no spaces either, and neither do Lao, Khmer and Burmese; there a "word" is one letter with its marks. So the fertility of Thai and that of Korean, which
# does write spaces, are numbers of different things. BLOOM's authors measured on *Universal Dependencies* 2.9, a collection in which linguists have cut all texts into words by hand, and on
# parts of the web collection OSCAR. Neither is on this machine. We need a measure without words.
#
# ## 2 One text in 45 languages (12 min)
#
# Take *the same text* in two languages and divide the tokens. The **premium** (溢价) of a language is the tokens of its translation over the tokens of the English text; 1 is parity.

# %%
two = premium(course, sentences["zh"], sentences["en"])
print(f"premium of the Chinese sentence: {two:.2f}")
record = json.loads((DATA / "results/fertility/udhr.json").read_text("utf-8"))
languages, known = record["languages"], record["vocabularies"]
print(len(languages), "languages;", record["date"], record["machine"]["cpu"])
for name, about in known.items():
    print(f"{name:12}{about['entries']:8,} entries")

# %% [markdown]
# The text is the Universal Declaration of Human Rights, which exists in hundreds of languages. Its tokens were counted once, with vocabularies that we may not pass on, and
# written down as whole numbers; every ratio is computed here. (Our two sentences happen to be at parity, though their fertilities differ: punctuation counts now, and two characters may become one token.) *cl100k_base* is GPT-4's, *o200k_base* GPT-4o's. (LLaMA's tokens have to be counted again: the first count had a slip. Of LLaMA only the list itself is looked at.)
#
# First the definition, on all of it. Counted word by word, fertility must lie between 1 and the bytes of a word, and single bytes must reach that bound:

# %%
right = True
for row in languages.values():
    bound = row["word_bytes"] / row["words"]
    found = {n: t / row["words"] for n, t in row["word_tokens"].items()}
    right &= all(1 <= f <= bound for f in found.values())
    right &= found["bytes"] == bound
print(sum(len(row["word_tokens"]) for row in languages.values()), "pairs")
claim("TOK-012", right)

# %% [markdown]
# **Predict, then run.** For GPT-2, which of the 45 languages is the dearest, and how many times does it pay the English price? Does any vocabulary make a language *cheaper* than English?


# %% tags=["label-premium"]
def premium_of(code: str, name: str) -> float:
    english = languages["eng"]["tokens"][name]
    return languages[code]["tokens"][name] / english


for name in ("gpt2", "cl100k_base", "o200k_base", "qwen", "course"):
    order = sorted(languages, key=lambda code: premium_of(code, name))
    middle = np.median([premium_of(code, name) for code in languages])
    ends = [f"{c} {premium_of(c, name):.2f}" for c in (order[0], order[-1])]
    print(f"{name:12}from {ends[0]} to {ends[1]}, median {middle:.2f}")
    assert order[0] == ("cmn_hans" if name == "qwen" else "eng")

# %% tags=["label-languages"]
names = {"spa": "Spanish", "fra": "French", "deu": "German"}
names |= {"ind": "Indonesian", "swh": "Swahili", "pol": "Polish"}
names |= {"fin": "Finnish", "tur": "Turkish", "yor": "Yoruba"}
names |= {"vie": "Vietnamese", "arb": "Arabic", "heb": "Hebrew"}
names |= {"cmn_hans": "Chinese", "jpn": "Japanese", "kor": "Korean"}
names |= {"rus": "Russian", "ell_monotonic": "Greek", "hin": "Hindi"}
names |= {"tha": "Thai", "hye": "Armenian", "amh": "Amharic"}
names |= {"kat": "Georgian", "tam": "Tamil", "bod": "Tibetan"}
names |= {"mya": "Burmese"}
shown = sorted(names, key=lambda code: premium_of(code, "gpt2"))
marks = {"gpt2": "o", "cl100k_base": "s", "o200k_base": "^", "qwen": "D"}
fig, ax = plt.subplots(figsize=(6.4, 5), layout="constrained")
for name, mark in marks.items():
    at = [premium_of(code, name) for code in shown]
    ax.plot(at, range(len(shown)), mark, ms=5, label=name)
ax.axvline(1, color="k", lw=1, ls="--")
ax.set(xscale="log", xlabel="tokens, as a multiple of English")
ax.set(xticks=(1, 2, 5, 10, 20), xticklabels=("1", "2", "5", "10", "20"))
ax.minorticks_off()
ax.set(yticks=range(len(shown)), yticklabels=[names[c] for c in shown])
ax.legend(loc="lower right")
show(
    fig,
    alt="Premium of 25 languages for four vocabularies, on a log scale. For "
    "GPT-2 it rises from 2 for French to 21 for Burmese. Newer vocabularies "
    "lie further left; Chinese lies below 1 for Qwen only.",
)

# %% [markdown]
# **What you should see.** No language shown is cheaper than English, with one exception: Chinese, for Qwen, left of the dashed line. From GPT-2 to *o200k_base* premiums shrink, for some scripts
# several times over, but not for all: Tibetan and Amharic are still far right. And in the newer vocabularies Vietnamese and Yoruba, written in Latin letters with many accents, pay more than Russian does.
#
# Where does a premium come from? Write it as a product: a translation has more *bytes*, and each token covers *fewer* of them.
#
# $$\frac{\text{tokens}_{L}}{\text{tokens}_{\text{en}}}=\frac{\text{bytes}_{L}}{\text{bytes}_{\text{en}}}\cdot\frac{\text{bytes per token}_{\text{en}}}{\text{bytes per token}_{L}}$$

# %% tags=["label-factors"]
english = languages["eng"]
for code in ("mya", "tam", "rus", "cmn_hans", "yor"):
    row, name = languages[code], "gpt2"
    script = row["bytes"] / english["bytes"]
    compression = english["bytes"] / english["tokens"][name]
    compression /= row["bytes"] / row["tokens"][name]
    print(f"{names[code]:9} bytes x {script:.2f}", end=", ")
    print(f"compression x {compression:.2f}")
    assert np.isclose(script * compression, premium_of(code, name))

# %% [markdown]
# UTF-8 gives Latin letters one byte, Cyrillic and Arabic two, most others three: that is the first factor, and no vocabulary can change it. (Chinese needs fewer bytes than English, since a character says so much.) The
# second factor is the vocabulary's doing. And here is the trap of section 1, in numbers: by fertility, GPT-2 treats Thai better than Korean; by premium it is the other way round.

# %%
for code in ("tha", "kor"):
    row = languages[code]
    f = row["word_tokens"]["gpt2"] / row["words"]
    times = premium_of(code, "gpt2")
    print(f"{code}: fertility {f:.2f}, premium {times:.2f}")

# %% [markdown]
# ### Chinese in LLaMA
#
# It is often said that LLaMA's 32 000 entries hold "only a few hundred" Chinese ones. "A few hundred" was taken as 100 to 1000 before we looked.

# %%
llama = known["llama"]
for name, about in known.items():
    print(f"{name:12}{about['han_single']:6} single, {about['han_longer']:6}")
claim("TOK-017", llama["han_single"])

# %% [markdown]
# (Characters that are an entry by themselves, and entries with more than one character.) LLaMA has several hundred single characters and not one word. That is enough to *derive* what a character costs, although the count is missing: a character
# in the list is one token, any other falls back to its three bytes, and nothing ever joins two characters.

# %%
han = languages["cmn_hans"]["han"]
cost = (llama["covered"] + 3 * (han - llama["covered"])) / han
print(f"LLaMA {cost:.2f} tokens a character (derived)")
for name in ("bytes", "gpt2", "cl100k_base", "qwen"):
    row = languages["cmn_hans"]
    print(f"{name:12}{row['word_tokens'][name] / row['words']:.2f}")
assert known["llama"]["han_longer"] == 0

# %% [markdown]
# Better than GPT-2, worse than vocabularies that know words. (By fertility nothing goes below 1; in whole texts a word of two characters may be one token.)
#
# ## 3 What the vocabulary itself was trained on (13 min)
#
# A vocabulary is learned from a *sample* of text, the **tokenizer's training sample** (分词器训练样本). What is frequent there becomes a token. So four questions: which languages, which copies, one vocabulary for all or one each, and in which form?
#
# **Languages.** Baichuan's authors trained theirs on 20 million documents, mainly Chinese and English, and report clearly better compression of Chinese. We take 80 kB each time, with a growing share of Chinese stories, the rest English documentation, and measure on new stories.
#
# **Predict.** With one tenth Chinese, how much of the way from none to nine tenths is already gone?


# %% tags=["nbval-ignore-output"]
def take(texts: list[str], n_bytes: float) -> list[str]:
    taken, size = [], 0
    for text in texts:
        if size >= n_bytes:
            break
        taken.append(text)
        size += len(text.encode())
    return taken


def learn(texts: list[str], size: int) -> Tokenizer:
    return Tokenizer(*train_bpe(texts, size, max_token_bytes=15))


prose = load_corpus("prose", max_bytes=600_000, progress=False).texts
prose = sorted(set(prose), key=prose.index)
chinese, new = make_corpus(1, 900, "zh"), make_corpus(2, 60, "zh")
print(len(prose), "docstrings,", len(chinese), "stories")

# %% tags=["nbval-ignore-output", "label-mix"]
shares, mixed = (0, 0.1, 0.5, 0.9), {}
for seed in range(5):
    draw = random.Random(seed)
    en, zh = draw.sample(prose, len(prose)), draw.sample(chinese, 900)
    for share in shares:
        told = take(en, 80_000 * (1 - share)) + take(zh, 80_000 * share)
        t = learn(told, 2048)
        length = {"Chinese": 1 / tokens_per_character(t, new)}
        length["English"] = 1 / tokens_per_character(t, en[-100:])
        mixed.setdefault(share, []).append(length)
for share, runs in mixed.items():
    mean = {x: np.mean([run[x] for run in runs]) for x in runs[0]}
    print(f"{share:4.0%}", *(f"  {x} {m:.2f}" for x, m in mean.items()))
c = [np.mean([run["Chinese"] for run in mixed[share]]) for share in shares]
print(f"a tenth goes {(c[1] - c[0]) / (c[3] - c[0]):.0%} of the way")
assert 0.25 < (c[1] - c[0]) / (c[3] - c[0]) < 0.5
sides = [[run["Chinese"] for run in mixed[share]] for share in (0.9, 0)]
gain = paired_difference(*sides)
print("Chinese, 90% minus 0%:", gain)
claim("TOK-022", gain.value, gain)

# %% tags=["label-mixfigure"]
fig, ax = plt.subplots(figsize=(5.4, 2.7), layout="constrained")
for language, style in (("Chinese", "o-"), ("English", "s--")):
    runs = [[run[language] for run in mixed[share]] for share in shares]
    ax.plot(shares, np.mean(runs, axis=1), style, label=language)
ax.set(xlabel="share of Chinese in the tokenizer's sample")
ax.set(ylabel="characters a token", ylim=(0, None), xticks=shares)
ax.legend()
show(
    fig,
    alt="Characters per token against the share of Chinese. Chinese rises "
    "steeply at first, from a third at none; English falls slowly, from "
    "about 3 to below 2. The lines do not meet.",
)

# %% [markdown]
# **What you should see.** The Chinese line rises steeply at first. The English line pays, slowly: its most frequent words are learned from little text. So a little of a language in the sample buys much, and the last part of it buys little.
#
# **Copies.** BLOOM's sample was cleared of duplicates. Does it matter? Three samples of 200 kB: all texts distinct; half of them, each *twice*; or half of it distinct, the other half made of twentyfold copies of a *few*.

# %% tags=["nbval-ignore-output", "label-copies"]
arms = {"distinct": [], "twice": [], "few": []}
for seed in range(5):
    p = random.Random(seed).sample(prose, len(prose))
    test, half, few = take(p[::-1], 60_000), take(p, 100_000), take(p, 5_000)
    told = {"distinct": take(p, 200_000), "twice": half * 2}
    told["few"] = half + few * 20
    for arm, texts in told.items():
        t = Tokenizer(*train_bpe(texts, 2048))
        arms[arm].append((bytes_per_token(t, test), unused_share(t, test)))
length = {arm: [x for x, _ in rows] for arm, rows in arms.items()}
for arm, rows in arms.items():
    unused = np.mean([share for _, share in rows])
    print(f"{arm:9}{np.mean(length[arm]):.3f} bytes a token,", end=" ")
    print(f"{unused:.0%} of the learned entries unused")
loss = paired_difference(length["distinct"], length["twice"])
print("distinct - twice:", loss)
claim("TOK-024", loss.value, loss)
d = paired_difference(length["distinct"], length["few"])
print("distinct - few:  ", d)

# %% [markdown]
# Each text twice doubles all counts alike: the merges are those of half the sample, and the loss is that of having less text, small but seen in every sample. Copies of a few texts do more harm. Their phrases pass for frequent, and take places that new text does not use.
#
# **One vocabulary for all, or one each?** BLOOM's aim: in no language should the joint vocabulary's fertility be more than 10 % above that of a vocabulary for this language alone. We train on English, Chinese and code, 200 kB each: one vocabulary of each kind, and a joint one *of the same size*, the rule that our ledger fixed beforehand.

# %%
code = load_corpus("code", max_bytes=600_000, progress=False).texts
code = [t[i : i + 2000] for t in code for i in range(0, len(t), 2000)]
random.shuffle(prose)
random.shuffle(code)
kinds = {"English": prose, "Chinese": chinese, "code": code}
told = {kind: take(texts, 200_000) for kind, texts in kinds.items()}
test = {kind: take(texts[::-1], 60_000) for kind, texts in kinds.items()}
together = [text for texts in told.values() for text in texts]


def word_tokens(tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    def count(text):
        return sum(len(tokenizer.encode(word)) for word in words_of(text))

    return np.array([count(text) for text in texts])


# %% tags=["nbval-ignore-output", "label-joint"]
sizes, above = (1024, 2048, 4096), {}
joint = {n: Tokenizer(*train_bpe(together, n)) for n in (*sizes, 12_288)}
for kind, texts in test.items():
    own = {n: Tokenizer(*train_bpe(told[kind], n)) for n in sizes}
    base = {n: word_tokens(own[n], texts) for n in sizes}
    pairs = {n: (word_tokens(joint[n], texts), base[n]) for n in sizes}
    pairs["3 x 4096"] = word_tokens(joint[12_288], texts), base[4096]
    above[kind] = pairs
    rise = {n: 100 * (j.sum() / o.sum() - 1) for n, (j, o) in pairs.items()}
    print(f"{kind:8}", *(f"{n}: {r:+.1f} %  " for n, r in rise.items()))


# %% tags=["nbval-ignore-output", "label-jointclaim"]
def rise_of(pairs):
    def rise(i):
        i = i.astype(int)
        return 100 * (pairs[0][i].sum() / pairs[1][i].sum() - 1)

    return bootstrap_interval(np.arange(len(pairs[0])), rise)


rises = [rise_of(pairs[4096]) for pairs in above.values()]
worst = max(rises, key=lambda r: r.value)
print("worst of three, in per cent:", worst)
claim("TOK-013", worst.value, worst)

# %% [markdown]
# At equal size the aim is missed: three languages share the places, and the worst pays clearly more than 10 %. The last column shows the way out. With three times the places the joint vocabulary is at least as good as the single ones. BLOOM's aim was not a law but a *reason for the size*. (BLOOM's own comparison, 250 680 entries against single lists from elsewhere, is not repeated here.)
#
# **Unicode form.** Lesson 07a showed what NFKC destroys. BLOOM's authors say how little it would bring: fertility lower by at most 0.8 %.

# %% tags=["nbval-ignore-output", "label-nfkc"]
held = [text for texts in test.values() for text in texts]
narrow = [normalise(text, "NFKC") for text in held]
raw = joint[4096]
told_nfkc = [normalise(text, "NFKC") for text in together]
nfkc = Tokenizer(*train_bpe(told_nfkc, 4096))
counted = [word_tokens(raw, held), [len(words_of(t)) for t in held]]
counted += [word_tokens(nfkc, narrow), [len(words_of(t)) for t in narrow]]
counted = np.array(counted)  # (4, texts)


def fall(i):
    a, m, b, n = counted[:, i.astype(int)].sum(axis=1)
    return 100 * (1 - (b / n) / (a / m))


down = bootstrap_interval(np.arange(len(held)), fall)
print("fertility falls by, in per cent:", down)
claim("TOK-008", down.value, down)
whole = [
    sum(len(t.encode(x)) for x in texts)
    for t, texts in ((raw, held), (nfkc, narrow))
]
print(f"all tokens, punctuation too: {whole[1] / whole[0] - 1:+.2%}")
wide = [
    "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in t)
    for t in test["English"][:50]
]
back = [normalise(text, "NFKC") for text in wide]
print(f"{fertility(raw, wide):.2f} in wide letters, ", end="")
print(f"{fertility(nfkc, back):.2f} after NFKC")

# %% [markdown]
# Next to nothing: ordinary words hold almost nothing that NFKC changes, and punctuation is no word. Where it does, as in the wide letters of the last line (ｗｉｄｅ), the gain is enormous. So normalise such text, not all text.
#
# ## 4 How large? (10 min)
#
# More entries, longer tokens, fewer steps for the same text. Why not a million? Because each token becomes dearer. Training costs per token about six operations for each number in a matrix (lesson 10 counts them), and the output matrix has a row for each entry:
#
# $$\text{FLOPs per token}=6\,(\text{blocks}+V d)+\text{attention},\qquad \text{FLOPs per byte}=\frac{\text{FLOPs per token}}{\text{bytes per token}}.$$
#
# $V$ is the number of entries, $d$ the width of the model. Above the line it is *linear* in $V$; below, bytes per token grow slowly, roughly with $\log V$. So for each model there is a size at which a byte is cheapest.
#
# The study trains one small model ($d=64$, two blocks) with five vocabularies, *at equal compute*: $1.2\cdot10^{11}$ operations each, so that an arm with dearer tokens makes fewer steps. Five seeds, documentation, recorded by `python -m minillm.recipes records vocabulary_size`.

# %% tags=["label-size"]
size = read_results("vocabulary_size")
print(size.provenance)
arms = {int(arm[1:]): arm for arm in size.measured}
print("entries  bytes/token  tokens   bytes read  parameters")
for n, arm in arms.items():
    parts = ("bytes_per_token", "n_tokens", "bytes_read", "n_parameters")
    x, tokens, read, weights = (size.mean(arm, p).value for p in parts)
    print(f"{n:7}{x:11.2f}{tokens / 1e3:9.0f}k{read / 1e3:11.0f}k", end="")
    print(f"{weights / 1e3:10.0f}k")

# %% [markdown]
# The bytes read have their maximum *inside* the range, as the formula says.
#
# **Predict.** Which size gives the fewest bits per byte: the one that reads most?

# %% tags=["label-sizefigure"]
bits = {n: size.mean(arm, "bits_per_byte") for n, arm in arms.items()}
read = {n: size.mean(arm, "bytes_read").value for n, arm in arms.items()}
read = {n: x / 1e3 for n, x in read.items()}
fig, axes = plt.subplots(1, 2, figsize=(7, 2.7), layout="constrained")
left, right = axes
value = np.array([b.value for b in bits.values()])
error = [value - [b.low for b in bits.values()]]
error += [[b.high for b in bits.values()] - value]
left.errorbar(list(bits), value, yerr=error, fmt="o-", capsize=3)
right.plot(list(read), list(read.values()), "s-", color="C1")
left.set(ylabel="bits per byte")
right.set(ylabel="kB read in the budget", ylim=(0, 310))
for ax in axes:
    ax.set(xscale="log", xlabel="entries", xticks=list(bits))
    ax.set_xticklabels(list(bits))
    ax.minorticks_off()
show(
    fig,
    alt="Left: bits per byte fall from 4 with 257 entries to 2.6 with 4096, "
    "at every step. Right: the bytes read in the budget rise from 257 to "
    "1024 entries and fall again to 4096.",
)

# %% tags=["label-sizebest"]
best = min(bits, key=lambda n: bits[n].value)
for n, arm in arms.items():
    if n != best:
        d = size.difference(arm, arms[best], "bits_per_byte")
        print(f"{n:5} minus {best}: {d}")

# %% [markdown]
# **What you should see.** Left, the line falls to the very end: the *largest* vocabulary wins, by more than chance, though (right) it reads less than three of the others. So our range does not hold the best size: it lies at 4096 or beyond, for this model and this budget.
#
# So a vocabulary is more than a way to read faster. *Equal compute* does not make all else equal:
#
# - the **vocabulary knows text itself**: it was learned from a third of 3 MB, more than any arm reads, and nobody counts that as training;
# - the **number of parameters** differs, since the rows are trained, too;
# - the **context** is 64 tokens everywhere, so longer tokens look further back;
# - the **learning rate** is the same, and may suit one arm better than another.
#
# Which of these makes the difference, the study cannot say. And the best size depends on the model. In a model of width 4096 with 32 blocks the output matrix is a small part of the cost, so more entries pay. How small?

# %%
for d, layers, n in ((64, 2, 1024), (4096, 32, 32_000), (4096, 32, 128_000)):
    heads = 4 if d == 64 else 32
    rest = {"n_layers": layers, "n_heads": heads, "context": 64}
    share = 6 * n * d / flops_per_token(decoder(n, d, **rest))
    print(f"width {d}, {n:,} entries: output matrix {share:.0%} of the cost")

# %% [markdown]
# ## 5 Does a high fertility make a worse model? (8 min)
#
# BLOOM's authors say so: very high fertility in a language means worse results there. But there are two stories why.
#
# - The model **reads less**: at equal compute it sees the same number of tokens, hence less text.
# - The text is **cut badly**: even with the same text, pieces of characters are harder to learn from.
#
# To tell them apart: the same Chinese stories, three vocabularies of 1024 entries (learned from English, half and half, or Chinese), the same number of tokens, that is, the same compute. A fourth arm has the English vocabulary but reads as many *bytes* as the Chinese arm, at several times the compute. If only the first story were true, it would be as good.

# %% tags=["label-fertility"]
quality = read_results("fertility_quality")
print(quality.provenance)
for arm in quality.measured:
    f = quality.mean(arm, "fertility").value
    read = quality.mean(arm, "bytes_read").value
    flops = quality.mean(arm, "flops").value
    b = quality.mean(arm, "bits_per_byte")
    print(f"{arm:19}fertility {f:.2f}, {read / 1e3:4.0f} kB read,", end=" ")
    print(f"{flops:.1e} FLOPs: {b.value:.3f} bits")
d = quality.difference("english", "chinese", "bits_per_byte")
claim("TOK-014", d.value, d)

# %% tags=["label-qualityfigure"]
fig, ax = plt.subplots(figsize=(5.6, 2.8), layout="constrained")
styles = {"english": "o", "half": "s", "chinese": "^"}
styles["english_same_bytes"] = "D"
for arm, mark in styles.items():
    f = quality.mean(arm, "fertility").value
    b = quality.mean(arm, "bits_per_byte")
    ends = [[b.value - b.low], [b.high - b.value]]
    label = arm.replace("_", " ")
    ax.errorbar(f, b.value, yerr=ends, fmt=mark, ms=8, capsize=4, label=label)
ax.set(xlabel="fertility on Chinese", ylabel="bits per byte")
ax.legend(loc="upper left")
show(
    fig,
    alt="Bits per byte against fertility. Chinese and half-and-half "
    "vocabularies lie low at fertility 1.2 and 1.4. At fertility 3 the "
    "English vocabulary is far above them; with as many bytes it comes "
    "down to the level of half and half, not to that of Chinese.",
)

# %% tags=["label-apart"]
whole = quality.difference("english", "chinese", "bits_per_byte")
less = quality.difference("english", "english_same_bytes", "bits_per_byte")
badly = quality.difference("english_same_bytes", "chinese", "bits_per_byte")
print("whole difference:     ", whole)
print("reads less:           ", less)
print("is cut badly:         ", badly)
assert np.isclose(less.value + badly.value, whole.value)

# %% [markdown]
# **What you should see.** From left to right the points rise. Over fertility 3 stand two: the same vocabulary at equal compute, with a wide interval, and with equal bytes, clearly lower, but still above the Chinese one.
#
# So both stories are true here, and the larger part is the first: the model read less. What remains after the same text, and several times the compute, is the price of the cut. (Part of that is again a matter of length: the context of 64 tokens holds a third of the Chinese text. And a badly cut model keeps paying when it is *used*: each answer takes more steps.) The claim is about a language beside others in one model; ours is about one language alone.
#
# ## 6 New pieces for a trained model (15 min)
#
# A model is trained already; its vocabulary is English; now it shall read Chinese. One can add entries: **vocabulary extension** (扩充词表), as Chinese-LLaMA did. What does that cost? A row of $d$ numbers for each new entry, twice if the output matrix is a matrix of its own (**untied**) and not the embedding used again (**tied**, 权重共享):
#
# $$\text{new numbers}=n_{\text{new}}\cdot d\cdot(1\text{ if tied, else }2)$$


# %%
def new_numbers(n_new: int, d: int, *, tied: bool) -> int:
    return n_new * d * (1 if tied else 2)


n = new_numbers(49_953 - 32_000, 4096, tied=False)  # Chinese-LLaMA-7B
print(f"Chinese-LLaMA-7B: {n:,} more, {n / 6_738_415_616:.1%} of the model")
for tied in (True, False):
    shapes = [
        decoder(v, 64, n_layers=2, n_heads=4, context=64, tie_embeddings=tied)
        for v in (1024, 1536)
    ]
    more = count_parameters(shapes[1]) - count_parameters(shapes[0])
    assert more == new_numbers(512, 64, tied=tied)

# %% [markdown]
# A small share; but each number begins untrained.
#
# **How are the pieces added?** With BPE nothing old may move, or the trained rows would mean something else. `extend` goes on where `train_bpe` stopped: it cuts the new texts with the *old* merges, and learns further merges behind them. By hand, on a vocabulary that knows *aa*:

# %%
tiny = Tokenizer(plain.vocab | {256: b"aa"}, [(b"a", b"a")])
longer, added = extend(tiny, ["aaab", "aaab"], 2)
print([longer.vocab[i] for i in added.parts], dict(added.parts))
print(tiny.encode("aaab"), "->", longer.encode("aaab"))

# %% [markdown]
# Two merges: *aa* and *a*, then *aaa* and *b*. `parts` says which *old* tokens each new one replaces. So a new token never cuts across an old one, and putting the parts back must give the old encoding. On the study's English vocabulary, extended by 512 pieces from Chinese stories:

# %% tags=["label-extend"]
old, wider, rows = study.tokenizers()
readable = [i for i in rows.parts if "\ufffd" not in wider.decode([i])]
print(len(rows), "new,", len(readable), "of them whole characters:")
print(*(wider.decode([i]) for i in readable[-16:]))
i = next(i for i in readable if len(rows.parts[i]) == 6)
print(wider.decode([i]), "=", *(old.vocab[p].hex() for p in rows.parts[i]))
story = study.tests()["zh"][0]
lengths = [len(t.encode(story)) for t in (old, wider)]
print(f"a story: {lengths[0]} tokens before, {lengths[1]} now")

# %%
for language, texts in study.tests().items():
    for text in texts:
        ids = wider.encode(text)
        back = [p for i in ids for p in rows.parts.get(i, (i,))]
        assert back == old.encode(text)
        assert language == "zh" or ids == old.encode(text)
print("parts put back: the old encoding; English: the same ids")

# %% [markdown]
# (The others are beginnings of characters: BPE passes through them on its way from bytes.)
#
# ### How should a new row begin?
#
# Four ways: `random` numbers of the spread of the old rows, `zero`, the `average` of all old rows, or the `mean` of the parts. Why should the last be the natural guess? Let $e_1,\dots,e_k$ be the rows of the parts, $m$ their mean.
#
# **As input:** until now the model read these $k$ rows, one after the other. $m$ is the single row nearest to all of them: for any other row $m+\delta$
#
# $$\sum_i\lVert m+\delta-e_i\rVert^2=\sum_i\lVert m-e_i\rVert^2+k\,\lVert\delta\rVert^2,$$
#
# since the mixed term $2\,\delta\cdot\sum_i(m-e_i)$ is zero.
#
# **As output** (our model is tied): the score of a token is $h\cdot e$, with $h$ the model's last vector. So the new score is the mean of the old ones, and because $e^x$ is convex (Jensen),
#
# $$e^{h\cdot m}=e^{\frac1k\sum_i h\cdot e_i}\le\frac1k\sum_i e^{h\cdot e_i}.$$
#
# Its weight in the softmax is at most the mean weight of its parts: it is likely only where they were. For the `average` the same argument says that each new token gets at most the mean weight of *all* $V$ old ones, so that $n$ of them together take at most $n/(V+n)$ of the probability. For `random` and `zero` nothing is promised.
#
# Check all this on the model of the study, trained here for one seed (on stories, one in ten Chinese):

# %% tags=["nbval-ignore-output"]
base = study.base_model(1)
table = base.embedding.weight.detach().double().numpy()[: rows.n_old]
new_rows = rows.of(table)
i = readable[-1]
e, m = table[list(rows.parts[i])], new_rows[i - rows.n_old]
delta = np.random.default_rng(7).normal(size=m.shape)
far, near = (((x - e) ** 2).sum() for x in (m + delta, m))
print(f"{far:.3f} = {near:.3f} + {len(e)} * {delta @ delta:.3f}")
assert np.isclose(far, near + len(e) * delta @ delta)

# %% tags=["nbval-ignore-output", "label-taken"]
end = old.special_id(study.END)
text = study.tests()["en"][0]
ids = torch.tensor([[end, *old.encode(text)][:65]])
x, y = ids[:, :-1], ids[0, 1:]
taken, loss, V = {}, {}, rows.n_old
for kind in KINDS:
    model = study.with_new_rows(base, rows, kind, 1)
    with torch.no_grad():
        logits = model(x)[0].double()  # (64, V + n)
    weight = logits.exp().numpy()
    loss[kind] = fast_cross_entropy(logits, y).item()
    taken[kind] = weight[:, V:].sum(axis=1) / weight.sum(axis=1)
    mean, most = taken[kind].mean(), taken[kind].max()
    print(f"{kind:8} takes {mean:.1%} on average, {most:.1%} at most")
    if kind == "mean":
        for i, parts in rows.parts.items():
            bound = weight[:, list(parts)].mean(axis=1)
            assert (weight[:, i] <= bound * (1 + 1e-5)).all()
bound = len(rows) / (V + len(rows))
print(f"bound for the average: {bound:.1%}")
assert taken["average"].max() <= bound < taken["random"].max()

# %% [markdown]
# That is, in an *English* story, how much of its probability the model now gives to pieces that it has never seen. Random rows waste most. (For the mean the bound holds token by token; many new tokens with the same parts add up.) If a share $s$ is taken from every old token, the loss rises by $-\log(1-s)$:

# %% tags=["nbval-ignore-output"]
with torch.no_grad():
    before = fast_cross_entropy(base(x)[0].double(), y).item()
for kind, share in taken.items():
    expected = -np.log(1 - share).mean()
    print(f"{kind:8} {loss[kind] - before:.4f} nats, expected {expected:.4f}")
    assert np.isclose(loss[kind] - before, expected, atol=1e-4)

# %% [markdown]
# So much for one text. For all stories and five seeds, right after the rows are in:

# %% tags=["nbval-ignore-output", "label-start"]
grown = read_results("vocabulary_extension")
print(grown.provenance)
here = bits_on(base, study.tests()["zh"], old.encode, end)
band = grown.values("none", "before_zh")
print(f"Chinese before: {here:.3f} here; {min(band):.3f} to {max(band):.3f}")
assert min(band) - 0.05 < here < max(band) + 0.05
print("         " + "".join(f"{name:>9}" for name in ("before", *KINDS)))
for x in ("en", "zh"):
    row = [grown.mean("none", f"before_{x}").value]
    row += [grown.mean("none", f"start_{x}_{k}").value for k in KINDS]
    print(f"{x} bits  " + "".join(f"{bits:9.2f}" for bits in row))

# %% [markdown]
# In English the rise is small, except for random rows, and the average stays within its bound. In Chinese the mean of the parts is even *better than before*, without a step of training: one step now covers several bytes, and where the first byte of a character was likely, the whole piece is. Random rows and zeros change little, and the average makes it worse.
#
# Now training. Each arm goes on with Chinese stories, on the same budget of operations. In the arm *two_stage* only the embedding is trained during the first third; the rest of the model stays frozen. (Lesson 31 does this live; here is the recorded curve.)
#
# **Predict.** Which arm is best at the end? Does keeping the old vocabulary win?

# %% tags=["label-curve"]
looks = ("k", ":"), ("C0", "o-"), ("C1", "s-"), ("C2", "^-"), ("C3", "D--")
n = study.N_POINTS
share = np.arange(1, n + 1) / n
fig, axes = plt.subplots(1, 2, figsize=(7, 3.2), layout="constrained")
for arm, (color, look) in zip(grown.measured, looks):
    curve = [grown.mean(arm, f"curve_{k}") for k in range(1, n + 1)]
    value = [c.value for c in curve]
    low, high = [c.low for c in curve], [c.high for c in curve]
    axes[0].plot(share, value, look, color=color, ms=4, label=arm)
    axes[0].fill_between(share, low, high, alpha=0.15, color=color, lw=0)
    if arm != "none":
        axes[1].plot(share, value, look, color=color, ms=5)
for ax in axes:
    ax.set(xlabel="share of the budget", xticks=(0.25, 0.5, 0.75, 1))
axes[0].set(ylabel="bits per byte, Chinese", ylim=(2.1, 4.6))
axes[0].legend(ncol=2, loc="upper right")
axes[1].set(title="the four with new pieces", ylim=(2.25, 3.1))
show(
    fig,
    alt="Bits per byte on Chinese over eight moments of the budget, left all "
    "arms with intervals, right those with new pieces, enlarged. Without "
    "new pieces the line falls from 3.95 to 3.36. All arms with new pieces "
    "lie far lower and end between 2.3 and 2.5; the one that begins with the "
    "mean of the parts is lowest at first, those of random rows and two "
    "stages pass it near the end.",
)

# %% tags=["label-ends"]
against = [("mean", "none"), ("mean", "random"), ("mean", "average")]
for arm, other in [*against, ("two_stage", "mean"), ("two_stage", "random")]:
    d = grown.difference(arm, other, "end_zh")
    print(f"{arm:9} - {other:8} {d}")
english = {arm: grown.mean(arm, "end_en").value for arm in grown.measured}
print("English:", *(f"{arm} {bits:.2f} " for arm, bits in english.items()))
print(f"before   {grown.mean('none', 'before_en').value:.2f}")

# %% [markdown]
# **What you should see.** The dotted line, without new pieces, lies far above all others at every moment: on the same budget it reads much less. Among the others the mean of the parts leads at first. *But the lead does not last*: at the end random rows are level with it, as far as five seeds can tell. A good start is worth most when training is short.
#
# The mean keeps something else: *English*. Look at the last line of numbers: after random rows English is worse by far than after the mean. (Why was not measured. A guess: bad rows send large corrections through the whole model. No English was read in this training; real extensions mix it in.)
#
# And stage one? In the first third *two_stage* is slower than *mean*, as Chinese-LLaMA's authors say. At the end it is slightly better, and has forgotten less. (Its learning rate rises and falls twice, once in each stage, so not only the freezing differs.)
#
# ## 7 A debate, and a number that cannot be (8 min)
#
# **Does LLaMA need Chinese pieces?** In 2023 that was argued in public. One of our source articles gives both sides. *Against:* according to its own report, Vicuna-13B, LLaMA tuned on conversations without new pieces, is already good in Chinese. *For:* Chinese-LLaMA-Alpaca and BELLE report that extension improves both the length of the encoding and the quality; but the new rows have to be learned, which takes text and compute, and stage one converges slowly: without much time, skip it.
#
# What can we say?
#
# - *Length* is arithmetic: what a Chinese character costs LLaMA without new pieces stands in section 2.
# - *Quality at equal compute*: section 6, for a model tens of thousands of times smaller, on stories.
# - *Stage one*: section 6 again, at one share of the budget and one learning rate.
# - *Not seen*: knowledge and instructions in Chinese. And the published comparison is not clean: the extended models also read up to 120 GB more Chinese text, so that vocabulary and text changed together. An arm like our *none* is what it would need.
#
# **500 000 entries?** The other article says that GLM-130B's vocabulary has 500 000, half English and half Chinese. The released configuration says `--vocab-size 150528`, 70 layers of width 12 288, inner width 32 768, and a model split over eight devices. Can the number of parameters decide? Count it as in 07a (attention $4d^2+4d$, a gated feed-forward layer $3dF$ with biases $2F+d$, two norms $4d$; one table):

# %% tags=["label-glm"]
d, inner, blocks = 12_288, 32_768, 70
block = 4 * d**2 + 4 * d + 3 * d * inner + 2 * inner + d + 4 * d
for entries in (150_528, 500_000):
    total = blocks * block + 2 * d + entries * d
    print(f"{entries:,} rows: {total / 1e9:.1f} billion parameters")
print(1176 * 128, pad_vocab(150_000, multiple=128, n_devices=8))
print(150_528 - 130_528, "rows more than ChatGLM-6B")
claim("TOK-023", 1176 * 128)

# %% [markdown]
# Honestly: the name does not decide, "130B" would be said of both. The rest does. 150 528 is exactly what 07a's rule makes of 150 000 entries on eight devices; and ChatGLM-6B, for whose rows 07a *solved*, has 20 000 fewer. 20 000 is the number of *image* tokens in *icetk*, the tokenizer of both: ChatGLM, which sees no images, left them out. So there is no room for half a million: an error in the source. (The configuration is quoted, not measured: the weights are not here.)
#
# ## Homework (54 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it.
#
# ### Exercise 1 · Fertility and split share (10 min, ★☆☆)
#
# `encode` turns a text into a list of ids. Return the fertility of `text` and its split share. Take the words from `words_of`.
#
# <details><summary>Hint 1</summary>Encode each word alone, and keep the list of counts.</details>
# <details><summary>Hint 2</summary>A word counts as split if it is more than one token.</details>


# %% tags=["exercise"]
def fertility_and_split(encode, text: str) -> tuple[float, float]:
    # BEGIN SOLUTION
    counts = [len(encode(word)) for word in words_of(text)]
    split = sum(n > 1 for n in counts)
    return sum(counts) / len(counts), split / len(counts)
    # END SOLUTION


# %% tags=["check"]
def by_bytes(text):
    return list(text.encode())


def by_fours(text):
    return [text[i : i + 4] for i in range(0, len(text), 4)]


def both_by_package(encode, text):
    encoder = SimpleNamespace(encode=encode)
    return fertility(encoder, text), split_share(encoder, text)


texts = ["to be, or not to be!", "今天 it rains", "a 12 seven-letter word", "了"]
cases = [(encode, text) for encode in (by_bytes, by_fours) for text in texts]
check(fertility_and_split, both_by_package, cases)

# %% [markdown]
# ### Exercise 2 · Count the Chinese entries (10 min, ★★☆)
#
# `vocabulary` is a list of entries, as bytes. How many are a single Han character, and how many hold a Han character and something besides? Entries that are only part of a character count as neither.
#
# <details><summary>Hint 1</summary><code>entry.decode("utf-8")</code> raises <code>UnicodeDecodeError</code> for parts of characters.</details>
# <details><summary>Hint 2</summary>Not all Han characters lie between 一 and 鿿, and kana are not Han: <code>regex.search(r"\p{Han}", text)</code> knows.</details>


# %% tags=["exercise"]
def han_entries(vocabulary: list) -> tuple[int, int]:
    # BEGIN SOLUTION
    import regex

    single = longer = 0
    for entry in vocabulary:
        try:
            text = entry.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if regex.search(r"\p{Han}", text):
            single += len(text) == 1
            longer += len(text) > 1
    return single, longer
    # END SOLUTION


# %% tags=["check"]
def han_by_package(vocabulary):
    found = han_pieces(vocabulary)
    return len(found.single), len(found.longer)


part = "今".encode()
cases = [([x.encode() for x in ("a", "今", "今天", " 天", "あ", "。", "，今")],)]
cases += [([part[:2], part[1:], part, b"\xff"],), ([],)]
cases += [(["𠮷".encode(), "𠮷野".encode(), "々".encode(), "ア".encode()],)]
cases += [([part + part[:2], part + b"a", b"a" + part],)]
cases += [(list(course_tokenizer().ordinary),)]
check(han_entries, han_by_package, cases)

# %% [markdown]
# ### Exercise 3 · How many tokens does a budget buy? (12 min, ★★☆)
#
# A decoder as in section 4: each block has $4d^2$ numbers for attention and three matrices of $d\times F$, where $F$ is $\frac83d$ rounded up to a multiple of 16; the output matrix has `vocab_size` rows. A token costs 6 operations for each of these numbers and $12\,d\,T$ for each block besides ($T$ is the context). How many whole tokens does `budget` buy?
#
# <details><summary>Hint 1</summary>Rounding up: <code>F = -(-8 * d // 3 // 16) * 16</code>.</details>
# <details><summary>Hint 2</summary>6 (L (4 d² + 3 d F) + V d) + 12 L d T, with L blocks.</details>


# %% tags=["exercise"]
def tokens_for(budget, vocab_size, d, n_layers, context) -> int:
    # BEGIN SOLUTION
    width = -(-8 * d // 3 // 16) * 16
    blocks = n_layers * (4 * d**2 + 3 * d * width)
    a_token = 6 * (blocks + vocab_size * d) + 12 * n_layers * d * context
    return int(budget // a_token)
    # END SOLUTION


# %% tags=["check"]
def tokens_by_package(budget, vocab_size, d, n_layers, context):
    shape = decoder(
        vocab_size, d_model=d, n_layers=n_layers, n_heads=4, context=context
    )
    return int(budget // flops_per_token(shape))


cases = [(1.2e11, n, 64, 2, 64) for n in (257, 1024, 4096)]
cases += [(1e12, 1000, 48, 3, 128), (5e20, 32_000, 4096, 32, 2048)]
cases += [(1e9, 500, 40, 1, 16)]
check(tokens_for, tokens_by_package, cases)

# %% [markdown]
# ### Exercise 4 · The rows of merged tokens (12 min, ★★★)
#
# An old vocabulary has one row for each id in `table`. New ids follow: the first pair of `pairs` becomes id `len(table)`, and so on; a pair may name new ids, too. Return the new rows, each the mean of its *old* parts.
#
# <details><summary>Hint 1</summary>The mean of two means is not the mean of the parts: think of aa and b.</details>
# <details><summary>Hint 2</summary>Keep for each id the tuple of its old parts; an old id is its own.</details>


# %% tags=["exercise"]
def merged_rows(table: np.ndarray, pairs: list) -> np.ndarray:
    # BEGIN SOLUTION
    parts = {i: [i] for i in range(len(table))}
    for a, b in pairs:
        parts[len(parts)] = parts[a] + parts[b]
    new = range(len(table), len(parts))
    return np.array([table[parts[i]].mean(axis=0) for i in new])
    # END SOLUTION


# %% tags=["check"]
def rows_by_package(table, pairs):
    spelled = {i: (i,) for i in range(len(table))}
    for new, (a, b) in enumerate(pairs, start=len(table)):
        spelled[new] = spelled[a] + spelled[b]
    added = {i: s for i, s in spelled.items() if i >= len(table)}
    return InitialRows(len(table), added).of(table)


numbers = np.random.default_rng(7).normal(size=(20, 6))
cases = [(numbers, [(0, 1)]), (numbers, [(3, 3), (20, 4), (21, 20)])]
cases += [(numbers[:2], [(0, 1), (1, 0), (2, 3), (4, 1)])]
cases += [(numbers[:5], [(4, 0), (5, 5), (6, 6), (1, 7)])]
check(merged_rows, rows_by_package, cases)

# %% [markdown]
# ### Exercise 5 · What new rows cost the old text (10 min, ★★☆)
#
# `scores` are the old logits, one row for each position, `new_scores` those of the added tokens. The right token is always an old one. By how many nats does the loss rise on average, when the new ones join the softmax? Scores may be as large as 1000.
#
# <details><summary>Hint 1</summary>The loss is log of the sum of exponentials, minus the score of the right token. Which part changes?</details>
# <details><summary>Hint 2</summary>Subtract the largest score of a position from all of them before you take exponentials, or use <code>np.logaddexp.reduce</code>.</details>


# %% tags=["exercise"]
def rise_in_loss(scores: np.ndarray, new_scores: np.ndarray) -> float:
    # BEGIN SOLUTION
    both = np.concatenate([scores, new_scores], axis=1)
    before, after = (np.logaddexp.reduce(x, axis=1) for x in (scores, both))
    return float((after - before).mean())
    # END SOLUTION


# %% tags=["check"]
def rise_by_package(scores, new_scores):
    right = torch.zeros(len(scores), dtype=torch.long)
    old, new = (torch.from_numpy(s) for s in (scores, new_scores))
    after = fast_cross_entropy(torch.cat([old, new], dim=1), right)
    return float(after - fast_cross_entropy(old, right))


draw = np.random.default_rng(7)
cases = [(draw.normal(size=(5, 9)), draw.normal(size=(5, n))) for n in (1, 4)]
cases += [(draw.normal(size=(3, 7)) + 1000, draw.normal(size=(3, 7)) + 1000)]
cases += [(np.zeros((2, 4)), np.zeros((2, 2)))]
cases += [(draw.normal(size=(6, 5)) * 9, draw.normal(size=(6, 3)) * 9 - 1000)]
check(rise_in_loss, rise_by_package, cases, rtol=1e-4, atol=1e-6)

# %% [markdown]
# ## At scale
#
# Nothing here needed a graphics processor. The counts of section 2 and the three studies are recorded, with machine and commit, under `data/results/` (`python -m minillm.recipes records` lists them). What was *not measured yet*:
#
# | question | what it needs |
# |---|---|
# | the best size for a model of a billion parameters | equal-compute runs on graphics processors |
# | extension of a real LLaMA, with an arm without new pieces | its weights, and gigabytes of Chinese |
# | LLaMA's tokens in all 45 languages | its list, counted again |
# | fertility on words cut by linguists | Universal Dependencies |
#
# ## Recap
#
# - Fertility counts tokens per word and misleads where scripts write no spaces. The premium needs only a translation.
# - A vocabulary favours what was frequent in its sample: the first tenth of a language buys most, copies waste places, a joint vocabulary needs more of them.
# - At equal compute the largest of five vocabularies was best, though it did not read most. Equal compute is not equal everything.
# - High fertility makes a worse model: first because it reads less, then because of the cut itself.
# - Extension keeps old ids. The mean of the parts is the nearest row, and is likely only where its parts were.
# - A published number can be checked by arithmetic: rows, padding, relatives.
#
# ## Questions
#
# 1. What is the fertility of single bytes on Chinese, and why can no byte-level vocabulary be worse?
#    <details><summary>Answer</summary>3. Each token covers at least one byte.</details>
# 2. Why is the fertility of Thai not to be compared with that of Korean?
#    <details><summary>Answer</summary>Without spaces a letter counts as a word; in Korean a word is what stands between spaces.</details>
# 3. Name the two factors of a premium. Which one can a vocabulary change?
#    <details><summary>Answer</summary>Bytes of the translation, and bytes per token; the second.</details>
# 4. LLaMA's list has no entry with two Chinese characters. What follows for its tokens per character?
#    <details><summary>Answer</summary>At least 1; exactly, 1 for the characters in the list and 3 for all others.</details>
# 5. A sample in which every text stands twice: what is lost, and what not?
#    <details><summary>Answer</summary>Half of the different text; the merges of the other half do not change, since all counts double.</details>
# 6. A joint vocabulary is much worse than a single one of the same size. What do you try?
#    <details><summary>Answer</summary>More entries, or a larger share of the language that suffers.</details>
# 7. Why must there be a best vocabulary size at equal compute, and why did we not find it?
#    <details><summary>Answer</summary>The cost of a token grows linearly with the entries, the bytes that it covers only slowly. The largest size that we tried was still the best.</details>
# 8. What did the fourth arm of section 5 add?
#    <details><summary>Answer</summary>The same text in bytes with the bad cut: what is left of the difference is the cut, not the amount.</details>
# 9. How much probability can 512 new rows take, beside 1024 old ones, if each is the average of all old rows?
#    <details><summary>Answer</summary>At most 512/1536, a third.</details>
# 10. Extended models did better in Chinese. Why does that not settle the debate?
#     <details><summary>Answer</summary>They also read more Chinese. An arm with the same text and the old vocabulary is missing.</details>
#
# ## Sources
#
# - Ács 2019, *Exploring BERT's Vocabulary* (blog): the word fertility for tokenizers.
# - Rust et al. 2021, *How Good is Your Tokenizer?*, arXiv:2012.15613: fertility, split words, and quality by language.
# - Petrov et al. 2023, *Language Model Tokenizers Introduce Unfairness Between Languages*, arXiv:2305.15425: the premium.
# - BigScience 2022, *BLOOM*, arXiv:2211.05100, section 3.2.2: sample, size, normalisation, the 10 % aim.
# - Cui et al. 2023, *Efficient and Effective Text Encoding for Chinese LLaMA and Alpaca*, arXiv:2304.08177: extension in two stages.
# - Hewitt 2021, *Initializing New Word Embeddings for Pretrained Language Models* (blog): the average, and its bound.
# - Gee et al. 2022, *Fast Vocabulary Transfer*, arXiv:2402.09977: the mean of the parts.
# - Zeng et al. 2022, *GLM-130B*, arXiv:2210.02414, and its repository, `configs/model_glm_130b.sh`.
# - Baichuan-7B, README 2023: the sample of 20 million documents.
#
# ## Next
#
# [08 Schedule](08_schedule.ipynb): how much of each text a model reads, and in which order.

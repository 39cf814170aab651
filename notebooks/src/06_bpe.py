# %% [markdown]
# # 06 BPE: how can a fixed list of pieces spell every text there is?
#
# 75 min · CPU · 30 s · 0.6 GB · needs [00 Tour](00_tour.ipynb) · code: `minillm/tokenizer/bpe.py`
#
# After this lesson you can
#
# 1. run byte-pair encoding by hand on *aaabdaaabac*, and say where a tie was broken;
# 2. write a trainer in a dozen lines, and explain what makes the fast one fast;
# 3. explain why the pieces are made of bytes, and why nothing is ever unknown;
# 4. show what goes wrong without pre-tokenisation, and when special tokens become a security hole;
# 5. measure tokens per character on English, Chinese and code.
#
# ## Setup

# %% tags=["setup"]
from collections import Counter
from itertools import pairwise

import matplotlib.pyplot as plt

from minillm.data import load_corpus
from minillm.data.storyworld import make_corpus
from minillm.lesson import check, claim, setup, show
from minillm.tokenizer import Tokenizer, pretokenize, train_bpe, train_bpe_readable

setup(seed=6)

# %% [markdown]
# ## 1 Words, letters, or something between? (8 min)
#
# A language model computes with numbers. So a text must first become a row of whole numbers, each
# an index into a fixed list, the **vocabulary** (词表). The pieces of text in that list are the
# **tokens** (词元). Which pieces should they be?
#
# **Words** are the obvious choice. We make a vocabulary of all the words in one half of a real
# text, the documentation of the Python packages on this machine, and count how many words of the
# other half are not in it.
#
# **Predict, then run.** One word in a hundred? One in fifty? One in ten?

# %% tags=["nbval-ignore-output"]
prose = load_corpus("prose", max_bytes=2_000_000)
print(prose)
half = len(prose.texts) // 2
known = {word for text in prose.texts[:half] for word in text.split()}
rest = [word for text in prose.texts[half:] for word in text.split()]
unknown = sum(word not in known for word in rest) / len(rest)
print(
    f"{len(known):,} words known, {unknown:.1%} of the words in the other half are not"
)

# %%
assert 0.02 < unknown < 0.5
print("a list of words always has holes")

# %% [markdown]
# Every hole becomes the same token, *unknown*, and whatever the word meant is lost. And the list is
# long: each of its entries costs a row of numbers in the model.
#
# **Letters** have no holes in English, but a text becomes very long, and a model must spend its
# effort on spelling. (And Chinese has tens of thousands of characters, so there the list is long
# again and still has holes.)
#
# **Byte-pair encoding** (BPE, 字节对编码) lies between: it starts from the smallest pieces and
# glues frequent neighbours together, again and again. Frequent words become one token; rare ones
# remain several. It began as a compression method (Gage 1994).

# %% [markdown]
# ## 2 By hand: aaabdaaabac (12 min)
#
# The rule: *find the most frequent pair of neighbours; replace it everywhere by a new symbol; write
# the replacement into a table; repeat.* First, count the pairs.


# %%
def pair_counts(symbols: str) -> dict[str, int]:
    return dict(Counter(a + b for a, b in pairwise(symbols)).most_common())


pair_counts("aaabdaaabac")

# %% [markdown]
# *aa* wins. But why 4? In *aaa* there are two places where *aa* begins, and they overlap; only one of
# them can be replaced. Counted without overlaps it would be 2. Both ways of counting are in use; we
# count every place, as the reference implementations do.

# %%
text = "aaabdaaabac"
overlapping = sum(text.startswith("aa", i) for i in range(len(text)))
print(overlapping, "with overlaps,", text.count("aa"), "without")
claim("TOK-004", next(iter(pair_counts(text))))

# %% [markdown]
# Replace from left to right: *aa* becomes **Z**.

# %%
step1 = text.replace("aa", "Z")
print(step1)
pair_counts(step1)

# %% [markdown]
# **Predict.** Which pair is next?
#
# <details><summary>Answer</summary>It is a tie: <em>Za</em> and <em>ab</em> both occur twice. The
# rule as we stated it does not decide.</details>
#
# A tie! Articles that show this example usually say "the next most common pair is *ab*", and pass
# over it. A program cannot. Different programs decide differently, and get different tables from the
# same text. Two rules are in use:
#
# - **smallest id**: number the symbols in the order in which they were made (letters first), and
#   take the pair with the smallest numbers. Hugging Face's trainer does this. It takes *ab*.
# - **greatest**: take the pair that comes last in the alphabet, comparing what the symbols *spell*.
#   Stanford's CS336 asks for this. *Za* spells (aa, a), *ab* spells (a, b), and *aa* > *a*. So *Za*.

# %%
counts = pair_counts(step1)
tied = sorted(pair for pair, n in counts.items() if n == max(counts.values()))
print("tied:", tied)
claim("TOK-002", len(tied))

# %% [markdown]
# Follow the first rule: *ab* becomes **Y**. The article then says that "the only remaining pair is
# *ac*". Count before you believe it.

# %%
step2 = step1.replace("ab", "Y")
print(step2, pair_counts(step2))
claim("TOK-003", len(pair_counts(step2)))

# %% [markdown]
# Five pairs remain, and *ZY* even occurs twice. So one more: *ZY* becomes **X**.

# %%
step3 = step2.replace("ZY", "X")
print(step3, pair_counts(step3))
claim("TOK-001", step3)

# %% [markdown]
# Now no pair occurs twice. Eleven symbols have become five, at the price of a table of three rules.
# (The claims are judged by rules in the course's ledger, `data/claims/ledger.csv`, written before the
# run. *Error in the source* means that arithmetic refutes the sentence as printed; here the source is
# the article that our example is taken from.)
#
# The package knows both rules. Its trainer is told to treat the text as one piece, and to make three
# merges: the 256 single bytes come first, so the vocabulary grows to 259.

# %% tags=["label-ties"]
for ties in ("smallest_id", "greatest"):
    _, merges = train_bpe_readable([text], 259, ties=ties, pattern="none")
    print(f"{ties:12}", "   ".join(f"{a.decode()}+{b.decode()}" for a, b in merges))

# %% [markdown]
# Two tables. Do they compress differently? Encode the text with both.

# %%
spelled = {}
for ties in ("smallest_id", "greatest"):
    tokenizer = Tokenizer(
        *train_bpe([text], 259, ties=ties, pattern="none"), pattern="none"
    )
    ids = tokenizer.encode(text)
    spelled[ties] = [tokenizer.decode([i]) for i in ids]
    print(f"{ties:12}", spelled[ties])
assert (
    spelled["greatest"] == spelled["smallest_id"] == ["aaab", "d", "aaab", "a", "c"]
)

# %% [markdown]
# Here both end at *XdXac* with $X$ = *aaab*. In general they do not, so a tokenizer is only
# reproducible if its tie rule is stated.
#
# ## 3 The loop (8 min)
#
# The trainer is the rule above, written down. A text is a list of tokens; tokens are byte strings.


# %%
def merge(tokens: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    out = []
    for token in tokens:
        if out and (out[-1], token) == pair:
            out[-1] += token  # glue it to its left neighbour
        else:
            out.append(token)
    return out


# %% [markdown]
# Careful: is that right for *aaa* and the pair (a, a)? The first two become *aa*; the third then has
# *aa* on its left, not *a*, and stays. Left to right, without overlaps, as by hand.


# %%
def train(text: str, n_merges: int) -> list[tuple[bytes, bytes]]:
    tokens = [bytes([b]) for b in text.encode()]
    merges = []
    for _ in range(n_merges):
        counts = Counter(pairwise(tokens))
        pair = max(
            counts, key=lambda p: (counts[p], p)
        )  # most frequent; ties: greatest
        merges.append(pair)
        tokens = merge(tokens, pair)
    return merges


train("aaabdaaabac", 3)

# %%
stories = make_corpus(seed=6, n_stories=200, language="en")
for a, b in train("\n".join(stories[:20]), 12):
    print(f"{a!r:8} + {b!r:8} -> {a + b!r}")

# %% [markdown]
# These are real merges on (synthetic) English stories. Read them from the top: ends of words and
# spaces come first, because they are everywhere.
#
# ## 4 Why bytes? (8 min)
#
# The list above holds bytes, not letters. A computer stores text as **bytes**, numbers from 0 to
# 255. The usual code, UTF-8, writes an English letter as one byte, most European accents as two, a
# Chinese character as three, an emoji as four.

# %%
for character in "aé词🙂":
    print(character, list(character.encode("utf-8")))

# %% [markdown]
# So 256 pieces are enough to spell *every* text, in every script, also those that nobody has thought
# of. Whatever BPE merges on top, these 256 stay in the vocabulary. Nothing is ever unknown, and
# decoding gives back exactly what was encoded.
#
# That is a claim about all texts. We cannot try all, but we can try hard: random characters from the
# whole of Unicode, also unassigned ones, and random bytes that are no valid text at all.

# %%
import random

alphabet = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
tokenizer = Tokenizer(*train_bpe(stories, 600))
wild = ["".join(random.choices(alphabet, k=30)) for _ in range(1000)]
exact = sum(tokenizer.decode(tokenizer.encode(t)) == t for t in wild)
broken = [bytes(random.choices(range(256), k=30)) for _ in range(1000)]
exact += sum(
    tokenizer.decode_bytes(list(b)) == b for b in broken
)  # ids 0 to 255 are bytes
print(f"{exact} of 2000 come back exactly")
claim("TOK-005", 2000 - exact)

# %% [markdown]
# A vocabulary of *letters*, collected from the same stories, has no token for nearly all of them:

# %%
letters = {c for story in stories for c in story}
lost = sum(c not in letters for t in wild for c in t) / 30_000
print(
    f"{len(letters)} letters known; share of wild characters that are unknown: {lost:.2f}"
)
assert lost > 0.99

# %% [markdown]
# The price: one token may be *part* of a character. Decoding such a token alone gives no valid text,
# and the decoder shows the replacement sign instead of failing.

# %%
first, *_ = tokenizer.encode("词")
print(tokenizer.decode_bytes([first]), "->", repr(tokenizer.decode([first])))
assert tokenizer.decode([first]) == "\ufffd"

# %% [markdown]
# ## 5 Pre-tokenisation: where merges must stop (10 min)
#
# Let BPE loose on raw text, and it merges across spaces and punctuation: *dog*, *dog.* and *dog!*
# become three unrelated tokens, and *of the* becomes one. So real tokenizers cut the text into
# **pre-tokens** (预分词) first, by a regular expression, and merge only inside them. GPT-2's
# expression keeps a space with the word *behind* it:

# %%
print(pretokenize("I'm sure the dog's 12 years  old!"))

# %% [markdown]
# Contractions, words, numbers, punctuation, and runs of spaces, of which the last space goes to the
# next word. Joined together, the pieces are the text again: nothing is lost.
#
# **Predict, then run.** We train twice on the same stories, once with these cuts and once without.
# Which compresses better, and why might we want the other one?

# %% tags=["label-cuts"]
with_cuts = Tokenizer(*train_bpe(stories, 1000))
without = Tokenizer(*train_bpe(stories, 1000, pattern="none"), pattern="none")
sample = "\n".join(make_corpus(seed=7, n_stories=20, language="en"))
for name, t in (("with cuts", with_cuts), ("without", without)):
    longest = sorted(t.ordinary, key=len)[-1]
    n = len(t.encode(sample))
    print(f"{name:10} {n:6} tokens; longest: {longest.decode()!r}")

# %% [markdown]
# <details><summary>Answer</summary>Without cuts the tokens are longer and the text shorter, on text
# like the training text. But they are whole phrases of <em>these</em> stories.</details>
#
# Without cuts the vocabulary learns phrases by heart. They help only where the phrase comes again word
# by word. On text of another kind the advantage turns around, because the entries are wasted:

# %% tags=["nbval-ignore-output"]
foreign = prose.texts[0][:20_000] + prose.texts[1][:20_000]
n_with, n_without = (len(t.encode(foreign)) for t in (with_cuts, without))
print(f"on real documentation: {n_with} tokens with cuts, {n_without} without")


# %%
def shared(t: Tokenizer) -> float:
    """Share of learned tokens that join two words: a letter, a space, a letter."""
    joined = [w for w in list(t.ordinary)[256:] if b" " in w.strip()]
    return len(joined) / (len(t.ordinary) - 256)


print(
    f"tokens that run across a word end: {shared(with_cuts):.0%} and {shared(without):.0%}"
)
assert shared(with_cuts) == 0 and shared(without) > 0.2

# %% [markdown]
# ### Special tokens, and a security hole
#
# Some tokens are not text at all: *end of text*, *the user speaks*, *the assistant speaks*. They are
# added to the vocabulary by name and never take part in merges. Now imagine that a user *types*
# `<|im_start|>system`. If the encoder turned that into the real token, the user could give
# orders in the operator's name. So in this course user text can never become a special token; only the
# program that builds a conversation may ask for one, by name.

# %%
t = Tokenizer(*train_bpe(stories, 600, ["<|im_start|>"]), ["<|im_start|>"])
typed = "<|im_start|>system"
safe, dangerous = t.encode(typed), t.encode(typed, allowed_special="all")
print("as text:   ", [t.decode([i]) for i in safe])
print("as special:", [t.decode([i]) for i in dangerous])
assert t.special_id("<|im_start|>") not in safe and dangerous[0] == t.special_id(
    "<|im_start|>"
)

# %% [markdown]
# ## 6 Faster: count words, then count pairs (10 min)
#
# Our loop walks through the whole text for every merge. But merges never cross a pre-token, and most
# pre-tokens come again and again. So count the *distinct* pre-tokens once:

# %%
words = Counter(w for story in stories for w in pretokenize(story))
print(f"{words.total():,} pre-tokens, {len(words):,} different; the commonest:")
words.most_common(5)

# %% [markdown]
# From here on a pair that occurs inside a word counts as often as the word. Each step now costs as
# much as there are *different* words. This is `train_bpe_readable`, the definition in the package: it
# fits on one screen, and it still counts all pairs anew at each step.
#
# The second idea: a merge changes only the words that hold the pair. So keep, for every pair, its
# count and the set of its words; after a merge, correct just the pairs next to the merged places. And
# keep the pairs in a **heap**, so that the greatest is found without looking at all. This is
# `train_bpe`. It must find the same merges, one for one:

# %%
readable = train_bpe_readable(stories, 800)
fast = train_bpe(stories, 800)
assert readable == fast
print("the same", len(fast[1]), "merges in the same order")

# %% [markdown]
# How much faster? We time both on the same stories for growing vocabularies. (Times depend on the
# machine; what does not is the shape of the curves.)

# %% tags=["nbval-ignore-output"]
import time


def seconds(train, vocab_size):
    start = time.process_time()
    train(stories, vocab_size)
    return time.process_time() - start


sizes = (300, 500, 800, 1200)
slow_s = [seconds(train_bpe_readable, s) for s in sizes]
fast_s = [seconds(train_bpe, s) for s in sizes]
print(f"at {sizes[-1]} entries: {slow_s[-1]:.2f} s and {fast_s[-1]:.2f} s")

# %% tags=["nbval-ignore-output", "label-speed"]
fig, ax = plt.subplots(figsize=(5.2, 2.8), layout="constrained")
ax.plot(sizes, slow_s, "o-", label="counts anew at each merge")
ax.plot(sizes, fast_s, "s--", label="corrects only what changed")
ax.set(xlabel="vocabulary size", ylabel="CPU seconds", ylim=(0, None))
ax.legend()
show(
    fig,
    alt="CPU seconds against vocabulary size. The readable trainer's time rises with every merge; "
    "the fast trainer's line lies far below and is almost flat.",
)

# %% [markdown]
# **What you should see.** The upper line climbs with every merge. The lower one is nearly flat: after
# the words are counted, a merge costs almost nothing. How the fast one compares with the well-known
# Rust trainer is measured in `benchmarks/bpe_train.py`.
#
# ## 7 Encoding: the order of learning decides (8 min)
#
# To encode new text: cut it into pre-tokens, split each into bytes, then merge. Which pair first?
# Not the longest token, and not the leftmost pair, but **the pair that was learned first**. So the new
# word goes through the same steps as the words of the training text did.


# %%
def encode_word(word: bytes, merges: list[tuple[bytes, bytes]]) -> list[bytes]:
    parts = [bytes([b]) for b in word]
    for pair in merges:  # in the order in which they were learned
        parts = merge(parts, pair)
    return parts


for word in (b" village", b" villages", b" unbelievable"):
    print(word.decode(), encode_word(word, fast[1]))

# %% [markdown]
# A frequent word is one token; a new form of it is the word and an ending; a word never seen falls
# into pieces. None is lost. Is "take the longest token that fits" perhaps the same thing?

# %%
toy = train_bpe(["ab ab ab abc bcd bcd bcd bcd"], 259, pattern=" |[a-z]+")
toy_tokenizer = Tokenizer(*toy, pattern=" |[a-z]+")
print("learned:", [(a + b).decode() for a, b in toy[1]])
print("abcd  ->", [toy_tokenizer.decode([i]) for i in toy_tokenizer.encode("abcd")])

# %% [markdown]
# <details><summary>Why not <em>ab</em> + <em>cd</em>?</summary>Because (b, c) or (c, d) was learned
# before (a, b): read the list above and merge in that order.</details>
#
# ### The same ids as tiktoken
#
# Is ours *right*? `tiktoken` is OpenAI's encoder, an independent program in Rust. Given our
# vocabulary, it must produce our ids, on any text.

# %%
from minillm.tokenizer.export import to_tiktoken

reference = to_tiktoken(with_cuts)
trial = [*wild[:200], *stories[:20], "I'm  HERE!!\n\n\t 3.14159 了解,  ok 🙂‍↔️ café"]
same = sum(reference.encode(t) == with_cuts.encode(t) for t in trial)
print(same, "of", len(trial), "texts give identical ids")
assert same == len(trial)

# %% [markdown]
# ## 8 How long is a text? English, Chinese, code (10 min)
#
# What a text *costs* a model is its number of tokens. We measure **tokens per character** for three
# kinds of text and three vocabularies: single bytes, BPE trained on English stories alone, and the
# tokenizer of this course, which was trained on English, Chinese and code together.
#
# **Predict, then run.** For which text are single bytes worst? Does the English BPE help Chinese?

# %% tags=["nbval-ignore-output"]
from minillm.tokenizer import course_tokenizer
from minillm.tokenizer.metrics import tokens_per_character

texts = {
    "English": make_corpus(seed=8, n_stories=50, language="en"),
    "Chinese": make_corpus(seed=8, n_stories=50, language="zh"),
    "code": load_corpus("code", max_bytes=200_000).texts,
}
cutters = {
    "bytes": Tokenizer({i: bytes([i]) for i in range(256)}, []),
    "English BPE": with_cuts,
    "course": course_tokenizer(),
}
cost = {
    c: {name: tokens_per_character(cutter, t) for name, t in texts.items()}
    for c, cutter in cutters.items()
}
for c, row in cost.items():
    print(f"{c:12}", {name: round(x, 2) for name, x in row.items()})

# %%
assert cost["bytes"]["English"] == 1 and cost["bytes"]["Chinese"] > 2.5
assert cost["course"]["Chinese"] < 1 < cost["English BPE"]["Chinese"]
assert all(cost["course"][t] < cost["bytes"][t] for t in texts)

# %% tags=["nbval-ignore-output", "label-cost"]
fig, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
for i, (c, row) in enumerate(cost.items()):
    places = [j + 0.27 * (i - 1) for j in range(3)]
    bars = ax.bar(places, row.values(), 0.25, label=c, hatch=("", "//", "..")[i])
    ax.bar_label(bars, fmt="%.2f", fontsize=9)
ax.set_xticks(range(3), texts)
ax.set(ylabel="tokens per character", ylim=(0, 3.5))
ax.legend(title="vocabulary")
show(
    fig,
    alt="Tokens per character for English, Chinese and code. Bytes need 1, almost 3 and 1. English "
    "BPE is best on the English stories and no better than bytes on Chinese. The course tokenizer "
    "needs less than 1 for all three.",
)

# %% [markdown]
# **What you should see.** In bytes a Chinese character costs almost three tokens. English BPE does not
# help it: its merges never occur there. The course tokenizer, trained on both, is below one for
# all three. A model with the English tokenizer would read a Chinese page as several times longer than
# it is, at several times the cost: lesson 07 measures this for many languages.
#
# ### A merge explorer
#
# How does one sentence look after 0, 60, 250 and all merges? Each box is a token.

# %%
sentence = "Once the old miller lost his key near the river."


def draw_merges(ax, n_merges: int) -> int:
    words = [
        encode_word(w.encode(), fast[1][:n_merges]) for w in pretokenize(sentence)
    ]
    tokens = [token.decode() for word in words for token in word]
    x = 0
    for i, token in enumerate(tokens):
        color = ("#d9e8f5", "#fbe3c8")[i % 2]
        ax.add_patch(plt.Rectangle((x, 0), len(token), 1, fc=color, ec="gray"))
        ax.text(
            x + len(token) / 2,
            0.5,
            token.replace(" ", "·"),
            ha="center",
            va="center",
        )
        x += len(token)
    ax.set(xlim=(-0.2, x + 0.2), ylim=(-0.1, 1.1))
    ax.set_title(
        f"{n_merges} merges: {len(tokens)} tokens", loc="left", fontsize=10
    )
    ax.axis("off")
    return len(tokens)


# %% tags=["label-merges"]
fig, axes = plt.subplots(4, 1, figsize=(7.6, 3.6), layout="constrained")
lengths = [draw_merges(ax, n) for ax, n in zip(axes, (0, 60, 250, len(fast[1])))]
assert lengths == sorted(lengths, reverse=True)
show(
    fig,
    alt="One sentence in four rows of boxes. With 0 merges each letter is a box; with more merges "
    "the boxes grow to parts of words and, for frequent words, to whole words with their space.",
)

# %% [markdown]
# **What you should see.** Boxes grow from letters to syllables to words (the dot is a space). Frequent
# words close up first; the rare ones stay in pieces to the end.
#
# Move the slider. **Question:** at how many merges does *the* become one token?

# %% tags=["widget", "skip-execution", "nbval-skip"]
from ipywidgets import IntSlider, interact


@interact(n_merges=IntSlider(0, 0, len(fast[1]), 5, continuous_update=False))
def explore(n_merges):
    fig, ax = plt.subplots(figsize=(7.6, 1.1), layout="constrained")
    draw_merges(ax, n_merges)
    plt.show()


# %% [markdown]
# ## Exercises
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The
# rest of the notebook does not depend on your answers.
#
# ### Exercise 1 · Count pairs in counted words (8 min, ★☆☆)
#
# `words` maps a tuple of token ids to how often that word occurs. Return a dict from pair to count.
#
# <details><summary>Hint</summary><code>pairwise(word)</code> gives the pairs of one word; each counts
# as often as the word.</details>


# %% tags=["exercise"]
def my_count_pairs(words: dict[tuple[int, ...], int]) -> dict[tuple[int, int], int]:
    # BEGIN SOLUTION
    counts = {}
    for word, n in words.items():
        for pair in pairwise(word):
            counts[pair] = counts.get(pair, 0) + n
    return counts
    # END SOLUTION


# %% tags=["check"]
from minillm.tokenizer.bpe import count_pairs

check(
    my_count_pairs,
    lambda words: dict(count_pairs(words)),
    cases=[
        ({(97, 98): 3},),
        ({(97, 97, 97): 2, (97, 98): 1},),
        ({(5,): 9, (1, 2, 3, 1, 2): 4, (2, 3): 1},),
        ({},),
    ],
)

# %% [markdown]
# ### Exercise 2 · Replace a pair (10 min, ★★☆)
#
# Replace every occurrence of `pair` in the tuple `word` by the single id `new`, from left to right,
# never overlapping.
#
# <details><summary>Hint 1</summary>A <code>while</code> loop: after a match move on by two, else by
# one.</details>
# <details><summary>Hint 2</summary>Try (1, 1, 1) with the pair (1, 1) on paper.</details>


# %% tags=["exercise"]
def my_replace_pair(word: tuple[int, ...], pair: tuple[int, int], new: int):
    # BEGIN SOLUTION
    out, i = [], 0
    while i < len(word):
        if word[i : i + 2] == pair:
            out.append(new)
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)
    # END SOLUTION


# %% tags=["check"]
from minillm.tokenizer.bpe import replace_pair

check(
    my_replace_pair,
    replace_pair,
    cases=[
        ((1, 2, 3, 1, 2), (1, 2), 9),
        ((1, 1, 1), (1, 1), 9),
        ((1, 1, 1, 1), (1, 1), 9),
        ((2, 1), (1, 2), 9),
        ((1, 2, 1), (2, 1), 9),
        ((), (1, 2), 9),
    ],
)

# %% [markdown]
# ### Exercise 3 · Break the tie (10 min, ★★☆)
#
# `counts` maps pairs of ids to counts; `vocab` maps an id to the bytes it spells. Return the pair to
# merge next under the rule *greatest*: the highest count, and among equals the pair whose byte
# strings are lexicographically greatest.
#
# <details><summary>Hint 1</summary><code>max</code> takes a <code>key</code> function; a tuple is
# compared entry by entry.</details>
# <details><summary>Hint 2</summary>Ids are not what is compared: 256 may spell <code>aa</code>, which
# is less than <code>b</code>.</details>


# %% tags=["exercise"]
def next_pair(counts, vocab):
    # BEGIN SOLUTION
    return max(counts, key=lambda p: (counts[p], vocab[p[0]], vocab[p[1]]))
    # END SOLUTION


# %% tags=["check"]
from minillm.tokenizer.bpe import preference


def by_package(counts, vocab):
    prefer = preference("greatest", vocab)
    return max(counts, key=lambda p: (counts[p], prefer(p)))


spells = {97: b"a", 98: b"b", 99: b"c", 256: b"aa", 257: b"ab"}
check(
    next_pair,
    by_package,
    cases=[
        ({(97, 98): 2, (97, 97): 4}, spells),
        ({(256, 97): 2, (97, 98): 2, (98, 99): 1}, spells),
        ({(98, 97): 2, (256, 98): 2, (257, 99): 2}, spells),
        ({(97, 98): 5, (97, 256): 5, (97, 257): 5}, spells),
    ],
)

# %% [markdown]
# ### Exercise 4 · Encode a word (15 min, ★★★)
#
# `ranks` maps a pair of byte strings to its place in the list of merges (0 was learned first). Encode
# `word`: as long as some adjacent pair is in `ranks`, merge the *leftmost* occurrence of the pair with
# the smallest rank. Return the list of byte strings.
#
# <details><summary>Hint 1</summary>In each round find the position i with the smallest
# <code>ranks.get((parts[i], parts[i + 1]), infinity)</code>.</details>
# <details><summary>Hint 2</summary><code>parts[i : i + 2] = [parts[i] + parts[i + 1]]</code> merges in
# place.</details>


# %% tags=["exercise"]
def my_encode(word: bytes, ranks: dict) -> list[bytes]:
    # BEGIN SOLUTION
    parts = [bytes([b]) for b in word]
    while len(parts) > 1:
        found = [ranks.get(pair, float("inf")) for pair in pairwise(parts)]
        i = found.index(min(found))
        if found[i] == float("inf"):
            break
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts
    # END SOLUTION


# %% tags=["check"]
from minillm.tokenizer import encode_word_readable

story_ranks = {pair: rank for rank, pair in enumerate(fast[1])}
ranks = {(b"b", b"c"): 0, (b"a", b"b"): 1, (b"ab", b"c"): 2, (b"c", b"d"): 3}
cases = [
    (b"abcd", ranks),
    (b"ababc", ranks),
    (b"", ranks),
    (b"x", ranks),
    (b"abab", ranks),
]
cases += [
    (w.encode(), story_ranks) for w in (" village", " unbelievable", "aaaa", "了")
]
check(my_encode, encode_word_readable, cases)

# %% [markdown]
# ### Exercise 5 · Bug hunt: a merge across the end of a text (12 min, ★★★)
#
# Training texts are often joined by a special token, `<|end|>`. This function counts the pre-tokens of
# such a text before training, and has a bug that real tokenizers have had: the special token is
# counted, too, so that BPE learns its letters and merges across it.
#
# ```python
# def count_words(text, special):
#     return dict(Counter(pretokenize(text)))
# ```
#
# Mend it: the special token must be cut out first, and the pieces on its two sides must not touch.
#
# <details><summary>Hint 1</summary>Replacing it by "" is not enough: then the sides touch.</details>
# <details><summary>Hint 2</summary><code>text.split(special)</code>; then count the pre-tokens of each
# piece.</details>


# %% tags=["exercise"]
def count_words(text: str, special: str) -> dict[str, int]:
    # BEGIN SOLUTION
    return dict(
        Counter(w for piece in text.split(special) for w in pretokenize(piece))
    )
    # END SOLUTION


# %% tags=["check"]
from minillm.tokenizer.source import count_pretokens


def counted_by_package(text, special):
    counts = count_pretokens([text], [special], "gpt2")
    return {w if isinstance(w, str) else w.decode(): n for w, n in counts.items()}


check(
    count_words,
    counted_by_package,
    cases=[
        ("ab<|end|>cd", "<|end|>"),
        ("the end<|end|>the end <|end|> the", "<|end|>"),
        ("no special here", "<|end|>"),
        ("<|end|><|end|>", "<|end|>"),
        ("I'm <s>I'm", "<s>"),
    ],
)

# %% [markdown]
# ## At scale
#
# The course's own tokenizer was trained with this very code (`python -m minillm.tokenizer.course`) and
# is shipped in `data/tokenizer/` as plain text with a hash. All models of the course share it.

# %%
course = course_tokenizer()
print(f"{course.n_vocab} entries, {len(course.special_tokens)} special tokens")
print("a long one:", max(course.ordinary, key=len).decode())
assert course.n_vocab == 6144 and course.n_vocab % 128 == 0

# %% [markdown]
# Vocabularies in use are larger: 32 000 (LLaMA), 50 257 (GPT-2), 250 680 (BLOOM). Training ours at that
# size on gigabytes of text: not measured yet.
#
# ## Recap
#
# - BPE merges the most frequent pair of neighbours, again and again; the list of merges *is* the tokenizer.
# - Ties are common. Without a stated tie rule a tokenizer cannot be reproduced.
# - Bytes as smallest pieces: 256 entries spell everything, and nothing is unknown.
# - Pre-tokens stop merges at word ends; special tokens are cut out first and never come from user text.
# - Counting distinct words, then only correcting what changed, makes training fast.
# - Encoding merges in the order of learning. Text of a kind not trained on costs more tokens.
#
# ## Questions
#
# 1. Why is *aa* counted four times in *aaabdaaabac*?
#    <details><summary>Answer</summary>Overlapping places count: each <em>aaa</em> holds two.</details>
# 2. Two trainers give different merges on the same text. Name the likeliest reason.
#    <details><summary>Answer</summary>Different tie rules (or a different pre-token
#    expression).</details>
# 3. Can a byte-level tokenizer meet an unknown character?
#    <details><summary>Answer</summary>No. Each character is some bytes, and all 256 are in the
#    vocabulary.</details>
# 4. Why may decoding a single token show a replacement sign?
#    <details><summary>Answer</summary>The token may be part of a character's bytes.</details>
# 5. What does pre-tokenisation cost, and what does it buy?
#    <details><summary>Answer</summary>A little compression on text like the training text; it buys
#    tokens that can be used again elsewhere.</details>
# 6. A user types the name of a special token. What must the encoder do?
#    <details><summary>Answer</summary>Encode its letters as ordinary text.</details>
# 7. Encoding takes the longest matching token: true or false?
#    <details><summary>Answer</summary>False. It repeats the merges in the order of
#    learning.</details>
#
# ## Sources
#
# - Gage 1994, *A New Algorithm for Data Compression*: BPE as compression; the worked example is his kind.
# - Sennrich, Haddow and Birch 2016, *Neural Machine Translation of Rare Words with Subword Units*,
#   arXiv:1508.07909: BPE for language models; algorithm 1 is our loop.
# - Radford et al. 2019, *Language Models are Unsupervised Multitask Learners* (GPT-2), section 2.2:
#   bytes, and the pre-token expression.
# - BigScience 2022, *BLOOM*, arXiv:2211.05100, section 3.2: a multilingual byte-level tokenizer; the
#   claims TOK-001 to TOK-005 are about a digest of it.
#
# ## Next
#
# [09 Attention](09_attention.ipynb): what a model does with the tokens. (07 and 08 are being written.)

# %% [markdown]
# # 06 BPE: how can a fixed list of pieces spell every text there is?
#
# 75 min · CPU · 20 s · 0.5 GB · needs [00 Tour](00_tour.ipynb) · code: `minillm/tokenizer/bpe.py`
#
# After this lesson you can
#
# 1. run byte-pair encoding by hand on *aaabdaaabac*, and say where a tie was broken;
# 2. write a trainer in a dozen lines, and explain what makes the fast one fast;
# 3. explain why the pieces are made of bytes, and why nothing is ever unknown;
# 4. show what goes wrong without pre-tokenisation, and how a special token becomes a security hole;
# 5. measure tokens per character on English, Chinese and code.
#
# ## Setup

# %% tags=["setup"]
import json
import random
import re
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from pprint import pformat

import matplotlib.pyplot as plt

import minillm
from minillm.data import load_corpus
from minillm.data.storyworld import make_corpus
from minillm.lesson import check, claim, setup, show
from minillm.tokenizer import PATTERNS, Tokenizer, course_tokenizer
from minillm.tokenizer import encode_word_readable, pretokens
from minillm.tokenizer import train_bpe, train_bpe_readable
from minillm.tokenizer.export import to_tiktoken
from minillm.tokenizer.metrics import tokens_per_character

setup(seed=6)

# %% [markdown]
# ## 1 Words, letters, or something between? (8 min)
#
# A language model computes with numbers. So a text must first become a row of whole numbers, each
# an index into a fixed list, the **vocabulary** (词表). The pieces of text in that list are the
# **tokens** (词元). Which pieces should they be?
#
# **Words** are the obvious choice. We take a real text, the documentation of the Python packages on
# this machine, collect all words of its first half, and count how many words of the second half are
# not among them. (A word is a run of the letters a to z, capitals made small.)
#
# **Predict, then run.** Of the words in the second half, is one in a thousand unknown? One in a
# hundred? One in ten?


# %% tags=["nbval-ignore-output", "label-unknown"]
def words_of(texts: list[str]) -> list[str]:
    return [w for t in texts for w in re.findall("[a-z]+", t.lower())]


prose = load_corpus("prose", max_bytes=2_000_000)
half = len(prose.texts) // 2
known, rest = set(words_of(prose.texts[:half])), words_of(prose.texts[half:])
unknown = sum(word not in known for word in rest) / len(rest)
print(prose.name, "from", prose.source.split(",")[0])
print(f"{len(known):,} words in the list; {unknown:.1%} of the rest unknown")
assert 0.02 < unknown < 0.2  # the list has holes

# %% [markdown]
# Every hole becomes the same token, *unknown*, and whatever the word meant is lost. The list is long,
# too, and each of its entries costs a row of numbers in the model.
#
# **Letters** have no holes in English, but the text becomes very long, and the model must spend its
# effort on spelling. (Chinese has tens of thousands of characters; there a list of letters is long
# again, and still has holes.)
#
# **Byte-pair encoding** (BPE, 字节对编码) lies between. It starts from the smallest pieces and glues
# frequent neighbours together, again and again, until the list is as long as we want it. Frequent
# words become one token; rare ones remain several. It began as a compression method (Gage 1994).
#
# Here is one sentence cut in the three ways. The lists of words and of BPE pieces come from 200 little
# stories in English, made by the course's own story machine. You need not read the code that draws.

# %%
stories = make_corpus(seed=6, n_stories=200, language="en")
sentence = "A girl named Lucy lost a telescope by the river."


def draw_tokens(ax, tokens: list[str], title: str, unknown=()) -> None:
    x = 0
    for i, token in enumerate(tokens):
        lost = token in unknown
        color = "white" if lost else ("#d9e8f5", "#fbe3c8")[i % 2]
        box = plt.Rectangle((x, 0), len(token), 1, fc=color, ec="gray")
        box.set_hatch("////" if lost else "")
        ax.add_patch(box)
        label = " unknown " if lost else token.replace(" ", "·")
        white = {"fc": "white", "ec": "none", "pad": 1} if lost else None
        middle = {"ha": "center", "va": "center", "bbox": white}
        ax.text(x + len(token) / 2, 0.5, label, **middle)
        x += len(token)
    ax.set(xlim=(-0.2, x + 0.2), ylim=(-0.1, 1.1))
    ax.set_title(f"{title}: {len(tokens)} tokens", loc="left", fontsize=10)
    ax.axis("off")


# %% tags=["label-picture"]
def split_words(text: str) -> list[str]:
    return re.findall(" ?[A-Za-z]+|.", text)


words = split_words(sentence)
holes = set(words) - {w for s in stories for w in split_words(s)}
small = Tokenizer(*train_bpe(stories, 800))
pieces = [small.decode([i]) for i in small.encode(sentence)]
fig, axes = plt.subplots(3, 1, figsize=(7.6, 2.7), layout="constrained")
draw_tokens(axes[0], list(sentence), "letters")
draw_tokens(axes[1], words, "words", unknown=holes)
draw_tokens(axes[2], pieces, "byte pairs")
show(
    fig,
    alt="The sentence in three rows of boxes. Letters: a box for each. Words: "
    "few boxes, but 'telescope' is marked unknown. Byte pairs: the frequent "
    "words are one box each, 'lost' is two and 'telescope' several.",
)
assert holes == {" telescope"} and "".join(pieces) == sentence
assert len(words) < len(pieces) < len(sentence) / 2

# %% [markdown]
# **What you should see.** Letters: many boxes. Words: few, but no story held a telescope, so it is lost
# (the dot is a space). Byte pairs: nearly as few, and the telescope is there, in pieces. How are the
# pieces found?
#
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
# the two can be replaced. Both ways of counting have been used; we count every place, as most programs
# do.

# %%
text = "aaabdaaabac"
overlapping = sum(text.startswith("aa", i) for i in range(len(text)))
print(overlapping, "with overlaps,", text.count("aa"), "without")
claim("TOK-004", next(iter(pair_counts(text))))

# %% [markdown]
# (The last line is a verdict. What an article or a paper says is a row in the course's ledger,
# `data/claims/ledger.csv`, with a rule for judging it that was written before the run. *Reproduced*
# means that our number agrees. Here the source is the article our example is taken from.)
#
# Replace from left to right: *aa* becomes **Z**. Each replacement makes the text one symbol shorter, so
# it shrinks by the count *without* overlaps.

# %%
step1 = text.replace("aa", "Z")
print(step1)
assert len(step1) == len(text) - text.count("aa")
pair_counts(step1)

# %% [markdown]
# **Predict.** Which pair is next?
#
# <details><summary>Answer</summary>It is a tie: <em>Za</em> and <em>ab</em> both occur twice. The
# rule as we stated it does not decide.</details>

# %%
counts = pair_counts(step1)
tied = sorted(pair for pair, n in counts.items() if n == max(counts.values()))
print("tied:", tied, "first seen:", max(counts, key=counts.get))
claim("TOK-002", len(tied))

# %% [markdown]
# A tie! The article says "the next most common pair is *ab*" and passes over it: hence *error in the
# source*, which means that arithmetic refutes the sentence as printed. A program cannot pass over it.
# Programs decide differently, and get different tables from the same text:
#
# - **smallest id**: number the symbols in the order in which they were made. *a* is 97, *b* is 98 (their
#   codes in the computer), and *Z*, the first new one, is 256. Take the pair with the smallest numbers:
#   (97, 98) comes before (256, 97), so *ab*.
# - **greatest**: take the pair that comes last in the alphabet, comparing what the symbols *spell*. *Za*
#   spells (aa, a), *ab* spells (a, b), and *aa* comes after *a*. So *Za*. Stanford's course CS336 asks
#   for this rule, and so do we.
# - **first seen**: many short programs write `max(counts, key=counts.get)` and get whichever pair came
#   first. Here that is *Za* again.
#
# Hugging Face's trainer follows the smallest-id rule, with a twist: in front of it usually stands a step
# that renumbers the bytes, printable ones first, as GPT-2 did. So its ties between a space and a letter
# fall otherwise than with plain numbers. The package calls that third rule `gpt2_id`.
#
# Follow the first rule: *ab* becomes **Y**. The article then says that "the only remaining pair is
# *ac*". Count before you believe it.

# %%
step2 = step1.replace("ab", "Y")
print(step2, pair_counts(step2))
claim("TOK-003", len(pair_counts(step2)))

# %% [markdown]
# *ac* is far from alone, and *ZY* even occurs twice. So one more: *ZY* becomes **X**.

# %%
step3 = step2.replace("ZY", "X")
print(step3, pair_counts(step3))
print("lengths:", [len(s) for s in (text, step1, step2, step3)])
claim("TOK-001", step3)

# %% [markdown]
# Now no pair occurs twice, and we stop. The text is less than half as long, at the price of a table of
# three rules.
#
# The package knows `smallest_id`, `greatest` and `gpt2_id`. We tell its trainer to treat the text as one piece
# (`pattern="none"`; section 5 says why one would cut it) and to make three merges: the 256 single bytes
# come first, so the vocabulary grows to 259. A `Tokenizer`, made from vocabulary and merges, turns a text
# into a list of ids (`encode`) and ids into a text (`decode`); we decode each id by itself to see its piece.

# %% tags=["label-ties"]
for ties in ("smallest_id", "greatest"):
    vocab, merges = train_bpe_readable([text], 259, ties=ties, pattern="none")
    tokenizer = Tokenizer(vocab, merges, pattern="none")
    spelled = [tokenizer.decode([i]) for i in tokenizer.encode(text)]
    table = "  ".join(f"{a.decode()}+{b.decode()}" for a, b in merges)
    print(f"{ties:12}{table:20}{spelled}")
    assert spelled == ["aaab", "d", "aaab", "a", "c"]

# %% [markdown]
# Two tables, and here the same result: both end at *XdXac* with $X$ = *aaab*. On longer texts the results
# differ as well (section 6 counts), so a tokenizer can be reproduced only if its tie rule is stated.
#
# ## 3 The loop (8 min)
#
# The trainer is the rule above, written down. A text is a list of tokens; a token is a string of bytes
# (section 4 says why bytes; for plain English letters it makes no difference). Python prints byte strings
# with a *b* in front.


# %%
def merge(tokens: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    out = []
    for token in tokens:
        if out and (out[-1], token) == pair:
            out[-1] += token  # glue it to its left neighbour
        else:
            out.append(token)
    return out


merge([b"a", b"a", b"a", b"b"], (b"a", b"a"))

# %% [markdown]
# The first two *a* become *aa*; the third then has *aa* on its left, not *a*, and stays. From left to
# right, without overlaps, as by hand.


# %%
def train(text: str, n_merges: int) -> list[tuple[bytes, bytes]]:
    tokens, merges = [bytes([b]) for b in text.encode()], []
    for _ in range(n_merges):
        counts = Counter(pairwise(tokens))
        pair = max(counts, key=lambda p: (counts[p], p))  # ties: greatest
        merges.append(pair)
        tokens = merge(tokens, pair)
    return merges


train("aaabdaaabac", 3)

# %% [markdown]
# That is the whole of it. The package's trainer, told not to cut, must agree on a longer text:

# %% tags=["label-first"]
some = "\n".join(stories[:20])
learned = train(some, 12)
assert learned == train_bpe_readable([some], 256 + 12, pattern="none")[1]
for a, b in learned:
    print(f"{a!r:8} + {b!r:8} -> {a + b!r}")
assert sum(b" " in a + b for a, b in learned) > 6

# %% [markdown]
# These are the first merges on twenty of the stories. Most have a space in them: ends of words, beginnings
# of words, and soon the commonest word of English, with a space on both sides. Remember those two spaces;
# they are the subject of section 5.
#
# ## 4 Why bytes? (8 min)
#
# A computer stores text as **bytes**, numbers from 0 to 255. The usual code, UTF-8, writes an English
# letter as one byte, an accented letter as two, a Chinese character as three, an emoji as four. (The number
# behind U+ is the character's place in Unicode, the list of all characters; the bytes encode it.)

# %% tags=["label-bytes"]
for character in "aé词🙂":
    number = f"U+{ord(character):04X}"
    print(character, number, list(character.encode("utf-8")))

# %% [markdown]
# So 256 pieces are enough to spell *every* text, in every script, also those that nobody has thought
# of yet. Whatever BPE merges on top, these 256 stay in the vocabulary. Nothing is ever unknown, and
# decoding gives back exactly what was encoded.
#
# That is a claim about all texts. We cannot try all, but we can try hard: random characters from the
# whole of Unicode, also unassigned ones, emoji that are glued from several, and random bytes that are no
# text at all. (Those go through the package's encoder for single words, which takes bytes; section 7
# builds it. Left out are lone surrogates, halves of characters that Python allows in a string and UTF-8
# does not; they become the replacement sign.)

# %%
alphabet = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
wild = ["".join(random.choices(alphabet, k=30)) for _ in range(1000)]
wild += ["👩‍👩‍👧", "🏳️‍🌈", "🇨🇳", "e\u0301", "\x00", "\u202e"]
broken = [bytes(random.choices(range(256), k=30)) for _ in range(1000)]
rank = {pair: i for i, pair in enumerate(small.merges)}  # order of learning
failed = sum(small.decode(small.encode(t)) != t for t in wild)
failed += sum(b"".join(encode_word_readable(b, rank)) != b for b in broken)
print(failed, "of", len(wild) + len(broken), "do not come back exactly")
claim("TOK-005", failed)

# %% [markdown]
# Would the test notice a vocabulary with holes? Take one of *letters*, collected from the same stories,
# and count the wild texts that it can spell:

# %%
letters = {c for story in stories for c in story}
spelled = sum(all(c in letters for c in t) for t in wild)
print(f"{len(letters)} letters; {spelled} of {len(wild)} texts can be spelled")
assert spelled == 0

# %% [markdown]
# The price: one token may be *part* of a character. Decoding such a token alone gives no valid text,
# and the decoder shows the replacement sign instead of failing.

# %%
first, *_ = small.encode("词")
print(small.decode_bytes([first]), "->", repr(small.decode([first])))
assert small.decode([first]) == "\ufffd"

# %% [markdown]
# ## 5 Pre-tokenisation: where merges must stop (11 min)
#
# Let BPE loose on raw text, and it merges across spaces and punctuation: *dog*, *dog.* and *dog!*
# become three unrelated tokens, and a frequent phrase becomes one. So real tokenizers first cut the text
# into **pre-tokens** (预分词) by a regular expression, and merge only inside them. This is GPT-2's:

# %% tags=["label-pretokens"]
print(PATTERNS["gpt2"].expression)
print(*pretokens("I'm sure the dog's 12 years  old!"), sep="|")

# %% [markdown]
# Read the expression from the left; at each place of the text the first alternative that fits is taken.
#
# - `'(?:[sdmt]|ll|ve|re)`: the ends of English contractions, as in *I'm*, *dog's*, *we'll*.
# - ` ?\p{L}+`: letters (`\p{L}` is any letter of any script), with one space before them if there is one.
#   So a space belongs to the word *behind* it, and *the* has one space, not two.
# - ` ?\p{N}+`: digits, likewise. ` ?[^\s\p{L}\p{N}]+`: punctuation and the rest, likewise.
# - `\s+(?!\S)`: a run of spaces, but not its last one if a word follows: that one goes to the word.
#   `\s+`: what spaces remain.
#
# **Predict, then run.** What does it do with *I'M*, with a long number, and with a Chinese sentence,
# which has no spaces? And with all of them: are the pieces, joined, the text again?

# %%
for t in ("I'm", "I'M", "12345678", "女孩丢了钥匙。", "if x:\n    y"):
    print(pretokens(t))
    assert "".join(pretokens(t)) == t
assert pretokens("I'M", "cl100k") == ["I", "'M"]
assert pretokens("12345678", "cl100k") == ["123", "456", "78"]

# %% [markdown]
# Nothing is lost, but three weak spots show. Capitals: *'M* is not an ending for GPT-2, so the same words
# cut differently in a headline (GPT-4's expression, `"cl100k"` in the package, ignores case). Numbers of
# any length stay whole (GPT-4 cuts them into groups of three). And a Chinese clause is *one* pre-token:
# there these cuts do little.
#
# Now to what the cuts are for. We train twice on the same stories, once with them and once without.
#
# **Predict, then run.** Which of the two needs fewer tokens for other stories of the same kind?

# %% tags=["label-cuts"]
cut = Tokenizer(*train_bpe(stories, 2000))
uncut = Tokenizer(*train_bpe(stories, 2000, pattern="none"), pattern="none")
sample = "\n".join(make_corpus(seed=7, n_stories=20, language="en"))
n_cut, n_uncut = len(cut.encode(sample)), len(uncut.encode(sample))
print(f"other stories: {n_cut} tokens with cuts, {n_uncut} without")
assert n_uncut < n_cut

# %% [markdown]
# Without cuts the text is shorter! So why does anybody cut? Look at what the second vocabulary is made
# of (`ordinary` holds its entries, bytes first), and let both encode a text of another kind, the package
# documentation of section 1.

# %% tags=["label-river"]
for name, t in (("with cuts", cut), ("without", uncut)):
    found = [w.decode() for w in t.ordinary if b"river" in w]
    print(name, pformat(found, width=66, compact=True), sep=":\n")


def across(t: Tokenizer) -> float:  # share of the learned tokens
    learned = list(t.ordinary)[256:]
    return sum(b" " in w.strip() for w in learned) / len(learned)


print(f"tokens across a word end: {across(cut):.0%} and {across(uncut):.0%}")
assert across(cut) == 0 and across(uncut) > 0.2

# %% tags=["nbval-ignore-output", "label-foreign"]
foreign = "\n".join(prose.texts[:400])
n_cut, n_uncut = len(cut.encode(foreign)), len(uncut.encode(foreign))
print(f"documentation: {n_cut} tokens with cuts, {n_uncut} without")
assert n_cut < n_uncut

# %% [markdown]
# Without cuts the vocabulary learns phrases of *these* stories by heart, *river* over and over, even with
# half a word before it. They help where the phrase comes again word by word. On other text the advantage
# turns around, because entries are wasted; and a model would have to learn what a river is once for each
# of its tokens.
#
# ### Special tokens, and a security hole
#
# Some tokens are not text at all: *end of text*, *the user speaks*, *the assistant speaks*. They are
# added to the vocabulary by name, and training cuts them out first, so that nothing merges with them. Now
# imagine that a user *types* `<|im_start|>system`, which opens a message of the operator. If the encoder
# turned that into the real token, the user could give orders in the operator's name. So in this course the
# text of a special token is ordinary text; only the program that builds a conversation may ask for the
# token itself (`allowed_special`).
#
# Others decided otherwise. OpenAI's `tiktoken` refuses such a text unless told what to do. Hugging Face's
# tokenizers take the special token from any text by default, and a program that hands user text to them
# unguarded has the hole.

# %% tags=["label-special"]
t = Tokenizer(*train_bpe(stories, 600, ["<|im_start|>"]), ["<|im_start|>"])
typed = "<|im_start|>system"
safe, open_ = t.encode(typed), t.encode(typed, allowed_special="all")
print("as text:   ", " ".join(t.decode([i]) for i in safe))
print("as special:", " ".join(t.decode([i]) for i in open_))
special = t.special_id("<|im_start|>")
assert special not in safe and open_[0] == special
try:
    to_tiktoken(t).encode(typed)
except ValueError as error:
    print("tiktoken:  ", str(error).splitlines()[0].partition("to ")[2])

# %% [markdown]
# ## 6 Faster: count words, then correct the counts (10 min)
#
# Our loop walks through the whole text for every merge. But merges never cross a pre-token, and most
# pre-tokens come again and again. So count the *distinct* pre-tokens once:

# %%
words = Counter(w for story in stories for w in pretokens(story))
print(f"{words.total():,} pre-tokens, {len(words):,} different; the commonest:")
words.most_common(5)

# %% [markdown]
# From here on a pair inside a word counts as often as the word occurs. A step now costs as much as there
# are *different* words. That is `train_bpe_readable`, the definition in the package: it fits on one
# screen, and it still counts all pairs anew at each step.
#
# The second idea: a merge changes only the words that hold the pair, and in them only the pairs next to
# it. Merge *a b* in *x a b y*, and of the pairs around it *xa*, *ab*, *by* go, *xZ*, *Zy* come. So keep,
# for every pair, its count and the set of its words, and correct just those. And keep the pairs in a
# **heap**, a list so ordered that the greatest is at hand without looking at all. This is `train_bpe`. It
# must find the same merges, one for one:

# %%
fast = train_bpe(stories, 800)
assert train_bpe_readable(stories, 800) == fast
print("the same", len(fast[1]), "merges in the same order")
other = train_bpe(stories, 800, ties="smallest_id")
lacking = set(fast[0].values()) - set(other[0].values())
print("under smallest_id", len(lacking), "of the tokens are others")
assert lacking

# %% [markdown]
# How much faster? We time both on the same stories for growing vocabularies. (Times depend on the
# machine; what does not is the shape of the curves.)
#
# **Predict.** The vocabulary grows; how does the time of each trainer grow?


# %% tags=["nbval-ignore-output"]
def seconds(train, vocab_size: int) -> float:
    start = time.process_time()
    train(stories, vocab_size)
    return time.process_time() - start


sizes = (300, 500, 800, 1200)
slow_s = [seconds(train_bpe_readable, s) for s in sizes]
fast_s = [seconds(train_bpe, s) for s in sizes]
print(f"{sizes[-1]} entries: {slow_s[-1]:.2f} s and {fast_s[-1]:.2f} s")
assert slow_s[-1] > 3 * fast_s[-1] and slow_s[-1] > 2 * slow_s[0]

# %% tags=["nbval-ignore-output", "label-speed"]
fig, ax = plt.subplots(figsize=(5.2, 2.8), layout="constrained")
ax.plot(sizes, slow_s, "o-", label="counts anew at each merge")
ax.plot(sizes, fast_s, "s--", label="corrects only what changed")
ax.set(xlabel="vocabulary size", ylabel="CPU seconds", ylim=(0, None))
ax.legend()
show(
    fig,
    alt="CPU seconds against vocabulary size. The readable trainer's time "
    "rises with every merge; the fast trainer's line lies far below and is "
    "almost flat.",
)

# %% [markdown]
# **What you should see.** The upper line climbs with every merge. The lower one is nearly flat: once the
# words are counted, a merge costs almost nothing. (Hugging Face's trainer, in Rust, uses the same idea;
# `benchmarks/bpe_train.py` compares the two.)
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
# into pieces. None is lost. But is "take the longest token that fits, then go on" not the same thing, and
# simpler?


# %%
def longest_first(word: bytes, tokens: set[bytes]) -> list[bytes]:
    parts = []
    while word:
        fits = (n for n in range(len(word), 0, -1) if word[:n] in tokens)
        n = next(fits)
        parts, word = [*parts, word[:n]], word[n:]
    return parts


tokens = {bytes([i]) for i in range(256)} | {a + b for a, b in fast[1]}
for word in (b" should", b" broken"):
    print(encode_word(word, fast[1]), longest_first(word, tokens))
learned = [a + b for a, b in fast[1]]
assert learned.index(b"ould") < learned.index(b" sho")

# %% [markdown]
# It is not the same. In *should* the pieces ·*sho* and *ould* both want the *o*; *ould* was learned first and
# takes it. How often does that matter?
#
# **Predict.** For what share of the different words of new stories do the two disagree? And which of
# them needs fewer tokens?

# %% tags=["label-longest"]
new = {w for s in make_corpus(7, 200, "en") for w in pretokens(s)}
both = [
    (encode_word(w.encode(), fast[1]), longest_first(w.encode(), tokens))
    for w in sorted(new)
]
differ = sum(a != b for a, b in both)
print(f"{differ} of {len(both)} words are cut differently;")
n_merged, n_longest = (sum(map(len, side)) for side in zip(*both))
print(f"{n_merged} tokens by merges, {n_longest} by longest match")
assert differ > 0.1 * len(both)

# %% [markdown]
# Many words differ, yet the totals hardly do. So it is not a question of better or worse, but of *the
# same*: a model has learned from texts cut in one way, and must be fed texts cut in that way. (WordPiece,
# the tokenizer of BERT, does take the longest first.)
#
# ### The same ids as tiktoken
#
# Is ours *right*? `tiktoken` is an independent program in Rust. Given our vocabulary, it must produce our
# ids, on any text.

# %% tags=["label-tiktoken"]
theirs = to_tiktoken(cut)
trial = [*wild[:200], *stories[:20], "I'M  HERE!!\n\n\t 3.14159 了解,  ok café"]
same = sum(theirs.encode(t) == cut.encode(t) for t in trial)
print(same, "of", len(trial), "texts give identical ids")
assert same == len(trial)

# %% [markdown]
# ## 8 How long is a text? English, Chinese, code (10 min)
#
# What a text *costs* a model is its number of tokens. We measure **tokens per character** for three
# kinds of text and three vocabularies: single bytes, BPE trained on the English stories alone, and the
# tokenizer of this course, trained on English, Chinese and code together. The texts are not among those
# that any of them was trained on, but the stories are of the same kind, so this is a friendly test.
#
# **Predict, then run.** For which text are single bytes worst? Does the English BPE help Chinese?

# %% tags=["nbval-ignore-output"]
code = [t[20_000:28_000] for t in load_corpus("code").texts if len(t) > 28_000]
texts = {
    "English": make_corpus(seed=8, n_stories=50, language="en"),
    "Chinese": make_corpus(seed=8, n_stories=50, language="zh"),
    "code": code[:25],  # the course tokenizer saw only 20 000 letters a file
}
cutters = {
    "bytes": Tokenizer({i: bytes([i]) for i in range(256)}, []),
    "English BPE": cut,
    "course": course_tokenizer(),
}
cost = {
    c: {name: tokens_per_character(cutter, t) for name, t in texts.items()}
    for c, cutter in cutters.items()
}
for c, row in cost.items():
    print(f"{c:12}", {name: round(x, 2) for name, x in row.items()})
assert 1 <= cost["bytes"]["English"] < 1.05 and cost["bytes"]["Chinese"] > 2.8
assert cost["course"]["Chinese"] < 1 and cost["English BPE"]["Chinese"] > 2.8
assert cost["English BPE"]["English"] < cost["course"]["English"] < 0.4
assert cost["course"]["code"] < 0.5 * cost["English BPE"]["code"]

# %% tags=["nbval-ignore-output", "label-cost"]
fig, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
for i, (c, row) in enumerate(cost.items()):
    places = [j + 0.27 * (i - 1) for j in range(3)]
    bars = ax.bar(places, row.values(), 0.25, label=c, ec="white")
    for bar in bars:
        bar.set_hatch(("", "//", "..")[i])
    ax.bar_label(bars, fmt="%.2f", fontsize=9)
ax.set_xticks(range(3), texts)
ax.set(ylabel="tokens per character", ylim=(0, 3.5))
ax.legend(title="vocabulary", title_fontsize=9)
show(
    fig,
    alt="Tokens per character for English, Chinese and code. Bytes need 1, "
    "almost 3 and 1. English BPE is good on the English stories and no better "
    "than bytes on Chinese. The course tokenizer needs less than 1 for all.",
)

# %% [markdown]
# **What you should see.** In bytes a Chinese character costs three tokens. English BPE does not help it:
# its merges hardly ever occur there. On the English stories it is even the best, having learned nothing
# else, and it pays for that in code. The course tokenizer is below one for all three. A model with the English tokenizer would read a Chinese page as several times longer than it is, at several times
# the cost: lesson 07 measures this for many languages.
#
# ### A merge explorer
#
# How does our sentence look after 0, 60, 250 and all merges? Each box is a token.


# %% tags=["label-merges"]
def after(n_merges: int) -> list[str]:
    merges = fast[1][:n_merges]
    words = [encode_word(w.encode(), merges) for w in pretokens(sentence)]
    return [token.decode() for word in words for token in word]


steps = (0, 60, 250, len(fast[1]))
fig, axes = plt.subplots(4, 1, figsize=(7.6, 3.0), layout="constrained")
assert after(steps[-1]) == pieces  # as in section 1
for ax, n in zip(axes, steps):
    draw_tokens(ax, after(n), f"{n} merges")
show(
    fig,
    alt="The sentence in four rows of boxes. With 0 merges each letter is a "
    "box; with more merges the boxes grow to parts of words and, for frequent "
    "words, to whole words with their space. 'telescope' stays in pieces.",
)
lengths = [len(after(n)) for n in steps]
assert lengths == sorted(lengths, reverse=True)
assert " girl" in after(250) and " Lucy" not in after(250) and " Lucy" in pieces

# %% [markdown]
# **What you should see.** Boxes grow from letters to syllables to words. Frequent words close up first;
# the telescope, which no story mentions, stays in pieces to the end.
#
# Move the slider. **Question:** which closes up first, *named* or *Lucy*? Why?
#
# <details><summary>Answer</summary><em>named</em>. It is in most of the stories, a name like
# <em>Lucy</em> in few of them. The more often, the sooner.</details>

# %% tags=["widget", "skip-execution", "nbval-skip"]
from ipywidgets import IntSlider, interact


@interact(n_merges=IntSlider(0, 0, len(fast[1]), 5, continuous_update=False))
def explore(n_merges):
    fig, ax = plt.subplots(figsize=(7.6, 1.1), layout="constrained")
    draw_tokens(ax, after(n_merges), f"{n_merges} merges")
    plt.show()


# %% [markdown]
# ## Homework (50 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The
# rest of the notebook does not depend on your answers.
#
# ### Exercise 1 · Count pairs, without overlaps (10 min, ★★☆)
#
# `words` maps a tuple of token ids to how often that word occurs. Return a dict from pair to count, but
# the *other* count of section 2: how many places a merge would really replace, going from left to right.
# So (7, 7, 7) holds the pair (7, 7) once, and (7, 7, 7, 7) holds it twice.
#
# <details><summary>Hint 1</summary>Only a pair of two equal ids can overlap itself. Each place counts as
# often as the word occurs.</details>
# <details><summary>Hint 2</summary><code>for i in range(len(word) - 1)</code>, and remember for equal ids
# where the last counted pair began: a place right behind it does not count.</details>


# %% tags=["exercise"]
def count_replaced(words: dict[tuple[int, ...], int]) -> dict:
    # BEGIN SOLUTION
    counts = {}
    for word, n in words.items():
        last = {}  # pair -> where it was counted last
        for i, pair in enumerate(pairwise(word)):
            if last.get(pair) != i - 1:
                counts[pair] = counts.get(pair, 0) + n
                last[pair] = i
    return counts
    # END SOLUTION


# %% tags=["check"]
from minillm.tokenizer.bpe import count_pairs, replace_pair


def by_shrinking(words):
    shrunk = Counter()
    for pair in count_pairs(words):
        for word, n in words.items():
            shrunk[pair] += n * (len(word) - len(replace_pair(word, pair, -1)))
    return dict(shrunk)


cases = [
    ({(7, 8): 3},),
    ({(7, 7, 7): 2, (7, 7, 8): 1},),
    ({(7, 8): 3, (5, 7, 8): 2},),
    ({(7, 7, 7, 7): 1, (7, 7, 7, 7, 7): 5},),
    ({(5,): 9, (1, 2, 3, 1, 2): 4, (2, 3): 1, (2, 1, 2, 1): 1},),
    ({(97, 97, 97, 98, 100, 97, 97, 97, 98, 97, 99): 1},),
    ({},),
]
check(count_replaced, by_shrinking, cases)

# %% [markdown]
# ### Exercise 2 · Replace a pair (8 min, ★☆☆)
#
# Replace every occurrence of `pair` in the tuple `word` by the single id `new`, from left to right,
# never overlapping. Return a tuple.
#
# <details><summary>Hint 1</summary>A <code>while</code> loop: after a match move on by two, else by
# one.</details>
# <details><summary>Hint 2</summary>Try (1, 1, 1) with the pair (1, 1) on paper.</details>


# %% tags=["exercise"]
def my_replace_pair(word: tuple, pair: tuple[int, int], new: int) -> tuple:
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
cases = [
    ((1, 2, 3, 1, 2), (1, 2), 9),
    ((1, 1, 1), (1, 1), 9),
    ((1, 1, 1, 1), (1, 1), 9),
    ((2, 1), (1, 2), 9),
    ((1, 2, 1), (2, 1), 9),
    ((), (1, 2), 9),
]
check(my_replace_pair, replace_pair, cases)

# %% [markdown]
# ### Exercise 3 · Break the tie (8 min, ★★☆)
#
# `counts` maps pairs of ids to counts; `vocab` maps an id to the bytes it spells. Return the pair to
# merge next under the rule *greatest*: the highest count, and among equals the pair whose byte
# strings come last in the alphabet, first halves compared first.
#
# <details><summary>Hint 1</summary><code>max</code> takes a <code>key</code> function; a tuple is
# compared entry by entry.</details>
# <details><summary>Hint 2</summary>Ids are not what is compared: 256 may spell <code>aa</code>, which
# is less than <code>b</code>.</details>


# %% tags=["exercise"]
def next_pair(counts: dict, vocab: dict[int, bytes]) -> tuple[int, int]:
    # BEGIN SOLUTION
    return max(counts, key=lambda p: (counts[p], vocab[p[0]], vocab[p[1]]))
    # END SOLUTION


# %% tags=["check"]
from minillm.tokenizer.bpe import preference


def by_package(counts, vocab):
    prefer = preference("greatest", vocab)
    return max(counts, key=lambda p: (counts[p], prefer(p)))


spells = {97: b"a", 98: b"b", 99: b"c", 256: b"aa", 257: b"ab"}
cases = [
    ({(97, 98): 2, (97, 97): 4}, spells),
    ({(256, 97): 2, (97, 98): 2, (98, 99): 1}, spells),
    ({(98, 97): 2, (256, 98): 2, (257, 99): 2}, spells),
    ({(97, 98): 5, (97, 256): 5, (97, 257): 5}, spells),
    ({(97, 97): 3, (97, 99): 3, (257, 97): 3, (257, 98): 3}, spells),
]
check(next_pair, by_package, cases)

# %% [markdown]
# ### Exercise 4 · Encode a word (12 min, ★★★)
#
# `encode_word` of section 7 walks through *all* merges for each word: thousands of steps for three
# letters. Do better. `ranks` maps a pair of byte strings to its place in the list of merges (0 was
# learned first). As long as some adjacent pair is in `ranks`, merge the *leftmost* occurrence of the pair
# with the smallest rank. Return the list of byte strings.
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
merges = train_bpe(make_corpus(seed=6, n_stories=50, language="en"), 500)[1]
learned = {pair: i for i, pair in enumerate(merges)}
ranks = {(b"b", b"c"): 0, (b"a", b"b"): 1, (b"ab", b"c"): 2, (b"c", b"d"): 3}
cases = [(w, ranks) for w in (b"abcd", b"ababc", b"", b"x", b"abab", b"cdab")]
some_words = (" village", " unbelievable", " broken", "aaaa", "了")
cases += [(w.encode(), learned) for w in some_words]
check(my_encode, encode_word_readable, cases)

# %% [markdown]
# ### Exercise 5 · Bug hunt: merges across the end of a text (12 min, ★★★)
#
# Training texts are often joined by a special token, `<|end|>`. This function counts the pre-tokens of
# such a text before training. It has a bug that is easily made: the special token is counted, too, so
# that BPE learns its letters, as if users wrote them.
#
# ```python
# def count_words(text, special):
#     return dict(Counter(pretokens(text)))
# ```
#
# Mend it: the special token must be cut out first, and the pieces on its two sides must not touch.
#
# <details><summary>Hint 1</summary>Replacing it by "" is not enough: then the sides touch. Replacing it by
# a space is not right either: then a space is counted that no text holds.</details>
# <details><summary>Hint 2</summary><code>text.split(special)</code>; then count the pre-tokens of each
# piece.</details>


# %% tags=["exercise"]
def count_words(text: str, special: str) -> dict[str, int]:
    # BEGIN SOLUTION
    pieces = text.split(special)
    return dict(Counter(w for piece in pieces for w in pretokens(piece)))
    # END SOLUTION


# %% tags=["check"]
from minillm.tokenizer.source import count_pretokens


def counted_by_package(text, special):
    counts = count_pretokens([text], [special], "gpt2")
    return {word.decode(): n for word, n in counts.items()}


cases = [
    ("ab<|end|>cd", "<|end|>"),
    ("the end<|end|>the end <|end|> the", "<|end|>"),
    ("no special here", "<|end|>"),
    ("<|end|><|end|>", "<|end|>"),
    ("I'm <s>I'm", "<s>"),
]
check(count_words, counted_by_package, cases)

# %% [markdown]
# ## At scale
#
# The course's own tokenizer was trained by this package (`python -m tools.course_tokenizer`) and is
# shipped in `data/tokenizer/` as plain text with a hash. All models of the course share it.

# %% tags=["label-course"]
course = course_tokenizer()
kept = sum("reserved" in name for name in course.special_tokens)
print(f"{course.n_vocab} entries = {course.n_vocab // 128} * 128")
print(f"{len(course.special_tokens)} special, {kept} of them reserved")
print("a long one:", max(course.ordinary, key=len).decode())
assert course.n_vocab == 6144

# %% [markdown]
# *Multiples of 128* suit the hardware. *Reserved* tokens mean nothing yet: should a later model need a new
# sign, its row is there, and no shape changes. And the *long one* is a whole phrase (*there lived a
# girl called* ...): Chinese writes no spaces, so the cuts do not stop it, and the trainer was told to
# merge nothing longer than five Chinese characters (`max_token_bytes=15`).
#
# Larger models have larger vocabularies. Each entry costs a row of numbers at the model's entrance:

# %% tags=["label-scale"]
published = {  # entries, numbers in a row, all numbers of the model
    "GPT-2 small": (50_257, 768, 124_439_808),
    "LLaMA-7B": (32_000, 4_096, 6_738_415_616),
    "BLOOM-176B": (250_880, 14_336, 176_247_271_424),
}
for name, (rows, width, total) in published.items():
    print(f"{name:12}{rows:8,} rows: {rows * width / total:5.1%} of the model")

# %% tags=["nbval-ignore-output", "label-recorded"]
folder = Path(minillm.__file__).parents[1] / "data" / "results" / "bpe_scale"
for path in sorted(folder.glob("*.json")):
    run = json.loads(path.read_text(encoding="utf-8"))
    c, m = run["config"], run["measured"]
    print(f"{c['entries']:,} entries from {m['megabytes']:.0f} MB of text:")
    print(f"{m['cpu_seconds']:.0f} s of CPU, {m['pretokens']:,} pre-tokens,")
    print(f"{m['distinct']:,} of them different; {run['machine']}")

# %% [markdown]
# The rows are a third of a small model and next to nothing of a large one; so small models have small
# vocabularies. The last lines are a recorded training at GPT-2's size on all the prose, reference and code
# of the harvest (`python -m benchmarks.bpe_scale`): the same function as above, with its loops compiled,
# as it does by itself for large texts. Gigabytes: not measured yet.
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
# 1. Why is *aa* counted four times in *aaabdaaabac*, and how many places are replaced?
#    <details><summary>Answer</summary>Each <em>aaa</em> holds two overlapping places; one of them is
#    replaced. So four and two.</details>
# 2. Two trainers give different merges on the same text. Name the likeliest reasons.
#    <details><summary>Answer</summary>Different tie rules, or a different pre-token
#    expression.</details>
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
# 8. Which counts change when *a b* is merged in *x a b y*?
#    <details><summary>Answer</summary><em>xa</em>, <em>ab</em> and <em>by</em> fall; <em>xZ</em> and
#    <em>Zy</em> rise. No other word is touched.</details>
#
# ## Sources
#
# - Gage 1994, *A New Algorithm for Data Compression*, C Users Journal: where BPE comes from, as a
#   way to make files smaller.
# - Sennrich, Haddow and Birch 2016, *Neural Machine Translation of Rare Words with Subword Units*,
#   arXiv:1508.07909: brought BPE to language models; algorithm 1 is our loop.
# - Radford et al. 2019, *Language Models are Unsupervised Multitask Learners* (GPT-2), section 2.2:
#   why bytes, and why dog, dog. and dog! must not become three tokens.
# - BigScience 2022, *BLOOM*, arXiv:2211.05100, the section on tokenization: a byte-level tokenizer for 46
#   languages, with its reasons.
# - Stanford CS336, assignment 1: the same trainer as a graded exercise, with the tie rule *greatest*.
#
# ## Next
#
# [07a Tokenizers](07a_tokenizers.ipynb): two other ways to choose the pieces, and what happens to a text before it is cut.

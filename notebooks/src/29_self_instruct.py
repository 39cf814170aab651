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
# # 29 Self-Instruct: can a model write its own lessons?
#
# 75 min · CPU · 20 s · 1 GB · needs [28 Instructions](28_instructions.ipynb) · code: `minillm/finetune/self_instruct.py`,
# `instruct_*.py`, `minillm/evaluate/overlap.py`
#
# Lesson 28 turned talks into training. Where do the talks come from? People are slow and dear. **Self-Instruct** (自我指令, Wang et al. 2022) asks the
# model: people write 175 tasks, the model goes on with the list, does each task itself, and a few rules throw away what is bad. What is left
# trains the very model that wrote it. Alpaca was made like this from a larger model, at a small price.
#
# Can anything come of it? The model learns nothing that it did not know. It may learn *that it is asked*. This lesson builds the whole machine,
# tries it where the truth is known, and then lets it loose on a model of ours, which is far too small for it.
#
# After this lesson you can
#
# 1. compute ROUGE-L by hand, and say what "less than 0.7" keeps, drops, and cannot see;
# 2. write the prompts of the four steps, and find the bugs in the published ones;
# 3. say for each filter which generated text it is for, and what it costs;
# 4. explain why classification is generated label first;
# 5. run the pipeline with any generator, kill it, go on, and measure whether its data help.

# %% tags=["setup"]
import random
import re
import tempfile
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minillm.evaluate import mean_interval, paired_difference
from minillm.evaluate.overlap import ascii_words, lcs_table, overlap
from minillm.evaluate.overlap import rouge_l, words_of_any_script
from minillm.finetune import FilterConfig, PromptConfig, SelfInstructConfig
from minillm.finetune import InstructionPool, ToyGenerator, seed_tasks
from minillm.finetune import instruct_filter, instruct_generate
from minillm.finetune import instruct_instances, instruct_prompts
from minillm.finetune.instruct_growth import grow_instructions, judge, show as draw
from minillm.finetune.instruct_journal import Journal
from minillm.finetune.instruct_report import count_reasons, distinct, growth
from minillm.finetune.instruct_report import label_entropy, novelty
from minillm.finetune.instruct_toy import SKILLS, Skill, is_right
from minillm.finetune.self_instruct import self_instruct
from minillm.lesson import check, claim, setup, show
from minillm.recipes import base
from minillm.recipes.records import read_results

MODEL = "small"
setup(seed=29)
seeds = seed_tasks()
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## 1 The 175 that people wrote (6 min)
#
# A **task** (任务) is an **instruction** (指令): what is to be done; and an **instance** (实例): once an input and the right output. Many tasks
# need no input. *Classification* (分类) is a task whose output is one of a few labels.

# %% tags=["label-seeds"]
for task in (seeds[1], seeds[121], seeds[139]):
    kind = "classification" if task.is_classification else "generation"
    print(f"{kind}: {task.instruction!r}")
    print(f"    in  {task.input!r}\n    out {task.output!r}")
kinds = Counter(task.is_classification for task in seeds)
languages = Counter(task.language for task in seeds)
assert len(seeds) == 175 and kinds[True] == 26
print(len(seeds), "tasks;", kinds[True], "are classification;", dict(languages))

# %% [markdown]
# The number is the paper's, the tasks are ours: about the village, words, numbers and code, 34 of them in Chinese. Those whose answer can be
# computed are computed again in a test, and no two instructions are alike by the rule of the next section. That care is worth it: everything
# that the machine makes is an echo of these lines.
#
# ## 2 How alike are two instructions? ROUGE-L (12 min)
#
# A generator repeats itself. To notice, one needs a number for "nearly the same". A **subsequence** (子序列) of a text keeps the order of its
# words and may leave some out. The **longest common subsequence** (最长公共子序列, LCS) of two texts of $n$ and $m$ words has length
# $L$. It makes up a share $P$ of the one text and $R$ of the other, and their harmonic mean is
#
# $$P=\frac Lm,\qquad R=\frac Ln,\qquad F_1=\frac{2PR}{P+R}=\frac{2L}{n+m}.$$
#
# This $F_1$ is **ROUGE-L** (Lin 2004). The length is found by a table: cell $(i,j)$ holds $L$ for the first $i$ and the first $j$ words. If word
# $i$ equals word $j$, go on from $(i-1,j-1)$ and add 1. If not, take the better of the cells above and to the left.
#
# **Predict, then run.** Which words do "Sort the list by length." and "Sort the words by their length." share, and what is $F_1$?
#
# <details><summary>Answer</summary>Sort, the, by, length: L = 4, and 2 · 4 / (5 + 6) = 0.727. By the rule of the paper one of the two must go.</details>

# %% tags=["label-lcs"]
one, two = "Sort the list by length.", "Sort the words by their length."
a, b = ascii_words(one), ascii_words(two)
table = np.array(lcs_table(a, b))  # (6, 7)
fig, ax = plt.subplots(figsize=(4.6, 3.4), layout="constrained")
ax.imshow(table, cmap="cividis")
for i, j in np.ndindex(*table.shape):
    dark = table[i, j] < 3
    ax.text(j, i, table[i, j], ha="center", va="center", color="w" if dark else "k")
ax.set_xticks(range(7), ["", *b], rotation=45)
ax.set_yticks(range(6), ["", *a])
alt = "Table of common subsequences of two instructions. It grows by one "
alt += "at sort, the, by and length; the last cell holds 4."
assert table[-1, -1] == 4 and rouge_l(one, two).f1 == 8 / 11
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** The number grows by one, and only there, where both texts go on with the same word. $F_1 = 8/11$.
#
# Order counts, and meaning does not:

# %%
pairs = [
    ("Name the dog that bit the man.", "Name the man that bit the dog."),
    ("Is the number odd or even?", "Is the number even or odd?"),
    ("Shorten this sentence.", "Say it in fewer words."),
]
for x, y in pairs:
    print(f"{rouge_l(x, y).f1:.2f}  {x}  |  {y}")
assert rouge_l(*pairs[2]).f1 == 0

# %% [markdown]
# The third pair asks for the same thing, and shares not a word. ROUGE-L is a filter for copies, no measure of meaning.
#
# **Exactly 0.7.** The paper keeps what is *less* than 0.7 from everything else. The released code drops what is *more*. In between lies 0.7 itself,
# and $2L/(n+m)=7/10$ is common: 7 shared words of 10 and 10. And there is a second edge. The code computes $2PR/(P+R)$, which rounds four times. We try
# all lengths up to 40 words.

# %%
exact = [
    (7 * (n + m) // 20, n, m)
    for n in range(1, 41)
    for m in range(1, 41)
    if 7 * (n + m) % 20 == 0 and 7 * (n + m) // 20 <= min(n, m)
]
kept = 0
for L, n, m in exact:
    p, r = L / m, L / n
    kept += not 2 * p * r / (p + r) > 0.7
    assert overlap(L, n, m).f1 == 0.7  # one division: the float nearest to 7/10
print(len(exact), "pairs of lengths can give 0.7; the released rule keeps", kept)
claim("SIN-003", kept)

# %% [markdown]
# So at the edge the rule of the code depends on rounding: some pairs stay, others go, and all have the same true number. It matters to nobody's
# results. It matters when you compare your filter with another and they differ in three lines of fifty thousand.
#
# **What it cannot see.** The tool cuts words by a-z and 0-9. Two *equal* Chinese instructions have then no word at all:

# %%
text = "请按出现的顺序列出故事里的人物。"
blind, seeing = (
    rouge_l(text, text, split=s).f1 for s in (ascii_words, words_of_any_script)
)
assert (blind, seeing) == (0.0, 1.0)
print("equal texts:", blind, "by a-z;", seeing, "with a word for each character")

# %% [markdown]
# A filter that is blind reports nothing, and lets every copy in. Ours takes each Han character as a word.
#
# The new instruction is compared with *all* in the pool: 52 000 of them are more than a thousand million tables. `InstructionPool` keeps a
# row of the table as the bits of one integer, and goes to the next row with one addition; a comparison then takes about a microsecond. Homework 1
# looks at the subsequence itself.
#
# ## 3 Step 1: go on with the list (14 min)
#
# Show the model eight instructions as a numbered list, and let it continue: six of the seeds, two that were generated before, shuffled. At first
# there are none of the second kind, so that the first lists are seeds only. The two keep the pool from standing still; the six keep it from
# drifting away.

# %%
generated = [f"generated {n}" for n in range(100)]
written = [task.instruction for task in seeds]
seen = Counter()
for k in range(1000):
    shown = draw(written, generated, PromptConfig(), random.Random(k))
    new = sum(text in generated for text in shown)
    seen[f"{len(shown) - new}+{new}"] += 1
first = draw(written, [], PromptConfig(), random.Random(0))
assert len(set(first)) == 8 and set(first) <= set(written)
assert len(seen) == 1
claim("SIN-002", next(iter(seen)))

# %% tags=["label-prompt"]
shown = draw(written, [], PromptConfig(), random.Random(3))
prompt = instruct_prompts.list_prompt(shown)
print(prompt)

# %% [markdown]
# The number at the end stands open: that is the whole trick. A base model has read many lists, and a list goes on.
#
# **Taking the answer apart.** The paper prints its prompt with "Task 1: ... Task 9:". The code that the article shows beside it cuts the answer at
# `\n\d+\s?\. `, so at "10. ". Do the two fit?

# %%
pieces = {}
for name, mark in (("paper", "Task {}:"), ("code", "{}.")):
    texts = ["Name a fish.", "Name a bird.", "Name a tree."]
    answer = "\n".join(f"{mark.format(9 + k)} {t}" for k, t in enumerate(texts))
    answer = answer.removeprefix(mark.format(9))
    pieces[name] = len(re.split(instruct_prompts.RELEASED_SPLIT, answer))
print(pieces)
claim("SIN-008", pieces["paper"] == 3)

# %% [markdown]
# Put together as printed, a whole answer becomes one giant instruction, which may even pass the filters. (The prompt in the repository is numbered
# "9.", and fits: paper and code are two versions.) Our `split_list` is told which of the two was shown.
#
# **The filters.** Each is for something that generators really write.
#
# | dropped is | why |
# |---|---|
# | up to 3 words, or more than 150 | fragments; lists that were not cut |
# | a word of *image, graph, picture, file, map, draw, plot, go to ...* | a text model cannot do it |
# | "Write a program ..." | the generator says it again and again |
# | punctuation at the beginning | a fragment |
# | a character beyond ASCII at the beginning | not English |
# | ROUGE-L above 0.7 with anything in the pool | a copy |

# %%
why = instruct_filter.why_dropped
released = instruct_filter.RELEASED
words = instruct_filter.KEYWORDS
hit = all(
    why(f"Now use {x} here please.", released) == f"keyword: {word}"
    for word in words
    for x in (word, word.upper())
)
inside = "photograph filed mapped drawer plotter imagery pictured maple"
missed = all(
    why(f"Tell me about the {w}.", released) is None for w in inside.split()
)
claim("SIN-005", len(words) == 13 and hit and missed)

# %% [markdown]
# Whole words, in any case: the article's code calls a helper for it, `find_word_in_string`, and does not show it. It is
# `re.search(rf"\b{word}\b", text, re.IGNORECASE)`. Without the `\b` a *photograph* would be a *graph*.

# %%
fixtures = {
    "short": "Name three things",
    "long": "word " * 151,
    "punctuation": "- name four things.",
    "script": "Über den Fluss geht es.",
    "program": "Write a program that adds.",
}
found = {name: why(text.strip(), released) for name, text in fixtures.items()}
edges = [
    why(t, released) for t in ("Name three things now", ("word " * 150).strip())
]
claim("SIN-006", list(found) == list(found.values()) and edges == [None, None])

# %% [markdown]
# **What do these rules do to Chinese?**
#
# **Predict.** 34 seeds are Chinese. How many pass the released rules, and which rule stops them?

# %%
chinese = [t.instruction for t in seeds if t.language == "zh"]
print("released:", Counter(why(t, released) for t in chinese))
print("ours:    ", Counter(why(t) for t in chinese))
assert all(why(t, released) for t in chinese) and not any(why(t) for t in chinese)

# %% [markdown]
# None passes, and it is not even the rule about ASCII that stops them: counted at spaces, a Chinese sentence is *one word*, and so too short. There
# are three walls behind one another (length, script, ROUGE-L's a-z), and taking down one leaves the others. In `FilterConfig` each is a parameter.
#
# One line more. Before its rules the code calls `capitalize()`, which does two things:

# %%
text = "read JSON from GitHub"
print(instruct_filter.tidy(text, capitalize=True), "|", instruct_filter.tidy(text))
claim(
    "SIN-007",
    instruct_filter.tidy(text, capitalize=True) == "Read json from github",
)

# %% [markdown]
# In 52 000 instructions every name, every acronym and every "I" is lower case. A trap for whoever repairs it: the rule "Write a program" compares
# with a capital W and small letters. It worked *because* of `capitalize`. We compare in lower case.
#
# All of it together on one answer:

# %% tags=["label-judge"]
pool = InstructionPool(written)
text = " list the people who appear in the story, in ORDER."
text += "\n10. Draw a map of the farm.\n11. Say which bird sings at night."
text += "\n12. Say which bird sings at night!\n13. Sing."
record = judge([instruct_generate.Answer(text)], pool, SelfInstructConfig())
for entry in record["kept"] + record["dropped"]:
    print(
        f"{entry.get('reason', 'kept'):13}{entry['f1']:.2f}  {entry['instruction']}"
    )
assert len(record["kept"]) == 1

# %% [markdown]
# ## 4 Steps 2 and 3: which kind, and do it (12 min)
#
# For each instruction that was kept the model is asked whether it is classification, after some examples with Yes and No. Then it must do the
# task. For most tasks the **input comes first** and the output follows: that is the natural order, and how the data will be read.
#
# For classification that goes wrong. Ask for sentences with grammar mistakes to be found, and a model writes sentences *without* mistakes, as nearly
# all that it has read. The labels come out one-sided. So there the order is turned: **output first**. The model names a label, then writes an
# input for it, then the next label.

# %% tags=["label-orders"]
flag = next(t for t in seeds if t.is_classification)
plain = next(t for t in seeds if t.input and not t.is_classification)
print(instruct_prompts.input_first_prompt("Name the fourth word.", [plain]))
print("\n-----\n")
print(instruct_prompts.output_first_prompt("Is it day or night?", [flag]))

# %% [markdown]
# How much it matters depends on the generator. Ours for now is a **toy**: it knows eight skills, each a sentence with gaps and a rule that solves it, and
# has the faults of a real model at rates that we set. Here it prefers inputs of the first label in 9 of 10 cases, *because we said so*. What is measured
# is whether the order of writing undoes it.

# %% tags=["label-entropy"]
text = "Tell me whether the number is odd or even."
entropies = {"input": [], "output": []}
for seed in range(1, 6):
    for order, values in entropies.items():
        labels = []
        for k in range(40):
            head = instruct_prompts.HEADS[order]
            prompt = f"{head}\n\nTask: {text}\n"
            request = instruct_generate.Request("instances", prompt, seed=k)
            (answer,) = ToyGenerator(seed=seed)([request])
            labels += re.findall(r"(?:Output|Class label): (\w+)", answer.text)
        values.append(label_entropy(labels[:60]))
gain = paired_difference(entropies["output"], entropies["input"])
print({k: f"{np.mean(v):.2f} bits" for k, v in entropies.items()})
claim("SIN-009", gain.value, gain, unit="bits")

# %% [markdown]
# **Reading the instances.** `Example 1`, `Input:`, `Output:`, `Class label:` are marks at the beginning of a line. The released code finds them anywhere, so that
# an answer which mentions "Example 2" falls in two. Then three rules for one instance, and two for all instances of a task:

# %%
Instance = instruct_instances.Instance
one = {"echo": ("a b", "a b"), "empty": ("a", ""), "colon": ("The words are:", "a")}
found = {
    name: instruct_instances.why_invalid(Instance(*pair))
    for name, pair in one.items()
}
good = instruct_instances.why_invalid(Instance("a: b", "c"))
claim("SIN-011", list(found) == list(found.values()) and good is None)

# %%
clean = instruct_instances.clean_instances
seven, eight = Instance("7", "odd"), Instance("8", "even")
against, empty = clean([seven, eight, Instance("7", "even")])
doubles, _ = clean([eight, seven, eight, eight])
free, _ = clean([Instance("", "trout"), Instance("", "perch")])
print("after a contradiction", against, "are left, dropped:", dict(empty))
claim("SIN-010", against == [] and doubles == [eight, seven] and len(free) == 2)

# %% [markdown]
# One contradiction throws away *all* instances of the task, the good ones too: who contradicts himself once is not to be believed. Without an input there
# is no contradiction: there is more than one fish. (The code removes doubles by `list(set(...))`, whose order changes from run to run, since texts are hashed
# with a new salt in each process: your data set would differ every time. `dict.fromkeys` keeps the first.)
#
# The article adds that instances are dropped when they are too long or too short. The code has no such rule; the paper says it of *instructions*.
#
# ### The published examples
#
# In the prompts stand examples, and the model imitates them. Are they right?

# %%
right = [
    38390 - (19392 + 11078) == 7920,
    round((85 - 32) * 5 / 9, 2) == 29.44,
    sorted([10, 92, 2, 5, -4, 92, 5, 101]) == [-4, 2, 5, 5, 10, 92, 92, 101],
    10 * 0.5 + 5 == 10,
    all(x + (-20 - x) + 120 == 100 for x in range(9)),
]
claim("SIN-012", sum(right))

# %% [markdown]
# The arithmetic is. The rest less so. One question asks how plants make their food from light, with the choices *respiration, fermentation, digestion, metabolism*, and the
# answer given is A. The right one, photosynthesis, is not among them. Another example spells Confucius wrongly in its answer. And one, meant to show what hate
# speech is, is a racist sentence, which then stands in every prompt for a classification task. We made our templates anew, from our seeds.

# %%
choices = {"respiration", "fermentation", "digestion", "metabolism"}
claim("SIN-013", "photosynthesis" in choices)

# %% [markdown]
# ## 5 The whole machine (12 min)
#
# `self_instruct(generate, seeds, folder)` runs the four steps. `generate` is *any* function from requests to answers. Each round is one line in a
# journal, on the disk before the next begins.

# %%
config = SelfInstructConfig(n_instructions=40, n_calls=2)
faulty = ToyGenerator(copies=0.3, unclean=0.2, wrong=0.1, seed=1)
run = self_instruct(faulty, seeds, folder / "first", config, progress=False)
print(len(run.instructions), "instructions,", len(run.tasks), "tasks")
print("dropped:", dict(count_reasons(run.rounds)))

# %% tags=["label-tasks"]
for task in random.Random(0).sample(run.tasks, 3):
    verdict = is_right(task.instruction, task.input, task.output)
    print(f"{task.instruction}\n    {task.input!r} -> {task.output!r}")
    print("    right:", verdict)

# %% [markdown]
# **Predict.** The toy answers wrongly in one case of ten. The filters have thrown out much. What share of the tasks that are left is wrong? (Five runs.)

# %%
shares = []
for seed in range(1, 6):
    toy = ToyGenerator(copies=0.3, unclean=0.2, wrong=0.1, seed=seed)
    made = self_instruct(
        toy, seeds, folder / f"toy {seed}", config, progress=False
    ).tasks
    right = [is_right(t.instruction, t.input, t.output) for t in made]
    shares.append(right.count(False) / len(right))
print("wrong tasks:", mean_interval(shares))
assert mean_interval(shares).low < 0.1 < mean_interval(shares).high

# %% [markdown]
# About one in ten, as before. **No filter looks at whether an answer is right.** They look at form: length, words, copies, contradictions. One of the paper's
# authors read 200 of GPT-3's tasks: 58 % of the outputs were right, and 54 % of the tasks were valid in all fields (table 2 there). What a model learns from
# wrong answers is a question for lesson 30.
#
# **Kill it, and go on.** We stop the generator in its third call, and start the same call again.


# %%
def stopping(after):
    calls = []

    def generate(requests):
        calls.append(len(requests))
        if len(calls) > after:
            raise KeyboardInterrupt
        return faulty(requests)

    return generate


try:
    self_instruct(stopping(2), seeds, folder / "second", config, progress=False)
except KeyboardInterrupt:
    print("killed; files:", sorted(p.name for p in (folder / "second").iterdir()))
again = self_instruct(faulty, seeds, folder / "second", config, progress=False)
assert again.tasks == run.tasks
print("the same", len(again.tasks), "tasks as without the kill")

# %% [markdown]
# That needs two things. The dice of round $r$ are made from the seed and $r$, not from a generator that has been running since the beginning; and a request carries its own
# seed. With a service that samples as it likes, the run goes on as well, but not to the same tasks.
#
# **How new is it, and when does it dry up?** For each kept instruction: the largest ROUGE-L with any seed. And after each call: how many there are.


# %% tags=["label-growth"]
def grow(seed, n, threshold=0.7, calls=200, **faults):
    """Step 1 alone, with the toy, one call a round."""
    rules = FilterConfig(threshold=threshold)
    config = SelfInstructConfig(
        n_instructions=n, n_calls=1, max_rounds=calls, seed=seed, filter=rules
    )
    path = Path(tempfile.mkdtemp(dir=folder)) / "instructions.jsonl"
    toy = ToyGenerator(seed=seed, **faults)
    journal = Journal(path)
    grow_instructions(toy, seeds, config, journal, progress=False)
    return journal.records


long_runs = {seed: grow(seed, 45, unclean=0.1, copies=0.2) for seed in range(1, 6)}

# %% tags=["label-novelty"]
texts = [k["instruction"] for r in long_runs[1] for k in r["kept"]]
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained")
left.hist(novelty(texts, written), bins=np.arange(0, 1.05, 0.05), edgecolor="w")
left.axvline(0.7, color="k", ls="--")
left.set(xlabel="ROUGE-L with the nearest seed", ylabel="instructions")
for seed, rounds in long_runs.items():
    grown = growth(rounds)
    right.plot([g.calls for g in grown], [g.size for g in grown], lw=1.2)
right.set(xlabel="calls", ylabel="instructions kept")
alt = "Left: most generated instructions are far from every seed, none above "
alt += "0.7. Right: in five runs the pool grows fast at first, then ever slower."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Left: no bar to the right of the line, by construction. Right: every curve bends. The more there is, the more of what comes is too like something.


# %%
def calls_each(rounds, low, high):
    """Calls for each kept instruction while the pool grew from low to high."""
    grown = [g for g in growth(rounds) if low < g.size <= high]
    before = max(
        (g for g in growth(rounds) if g.size <= low),
        key=lambda g: g.calls,
        default=None,
    )
    start, size = (before.calls, before.size) if before else (0, 0)
    return (grown[-1].calls - start) / (grown[-1].size - size)


early = [calls_each(r, 0, 15) for r in long_runs.values()]
late = [calls_each(r, 30, 45) for r in long_runs.values()]
slower = paired_difference(late, early)
print(f"calls for one: first third {np.mean(early):.2f}, last {np.mean(late):.2f}")
claim("SIN-014", slower.value, slower, unit="calls an instruction")

# %% [markdown]
# The article says that generation stops at about 52 000. It is not that nothing more comes; each one costs more than the one before. (The numbers are the toy's, which
# knows eight skills. A large model knows more, and the same curve bends later.)
#
# **What does the threshold buy?** The paper says: diversity. We measure it as **distinct-2**, the share of different ones among the pairs of neighbouring
# words. It falls with the amount of text, so equal numbers are compared.
#
# This rule has a history that you should know. It was first written for the first 60 instructions. But at 0.7 the toy ran dry at about 50; what there was
# said 0.29 with the filter and 0.33 without, the wrong way round; and the rule was rewritten for 40. **A rule that changes after a look at its number is no
# rule.** So it says 60 again, and the toy got 24 skills more (wordings only: step 1 needs no more). They were accepted for one reason, that 60 come at 0.7;
# their distinct-2 was not looked at before the claim was run. The first toy is shown, too. Below: threshold,
# distinct-2; the line under each block names its toy.

# %%
FRAMES = """\
Underline each {part} that comes before a comma.{tail}
Explain to a {who} why bread rises in the oven.{tail}
Who wrote the {thing}, and for whom was it meant?{tail}
Turn this recipe into a list with {n} steps.{tail}
Invent a name for a shop which sells {goods}.{tail}
How long does a {goods} seller work on a winter day?{tail}
Replace every {part} by its opposite.{tail}
Is the tone of this {thing} friendly or angry?{tail}
Complain to a {who} about cold soup.{tail}
Put the events into the order in which they happened.{tail}
Describe the smell of {goods} without an adjective.{tail}
Which season fits the mood of this {thing}?{tail}
Suggest {n} presents for a {who} of eighty years.{tail}
Translate the {thing} for somebody from France.{tail}
Continue the dialogue between the {who} and the king.{tail}
Guess the age of the person speaking here.{tail}
Correct all mistakes in spelling, but keep the style.{tail}
Plan a walk of {n} hours around the lake.{tail}
Compare {goods} with stones in one surprising sentence.{tail}
What would a {who} ask after hearing this {thing}?{tail}
Rhyme on the last {part} of my letter.{tail}
Compute the price of {n} baskets, each with six {goods}.{tail}
Remove everything that is not about {goods}.{tail}
Warn the {who} of ice on the bridge, politely.{tail}"""

# %%
gaps = {
    "part": ("noun", "verb", "number", "name"),
    "who": ("child", "miller", "doctor", "guest", "neighbour"),
    "thing": ("poem", "letter", "note", "speech", "diary"),
    "n": ("three", "four", "five", "seven"),
    "goods": ("apples", "candles", "lamps", "ropes", "hats"),
    "tail": ("", " Do not explain it.", " Be brief.", " Take your time."),
}
wide = list(SKILLS)
for frame in FRAMES.split("\n"):
    slots = {k: v for k, v in gaps.items() if f"{{{k}}}" in frame}
    wide.append(Skill(frame, frame, slots, None, None))
random.Random(0).shuffle(wide)  # the first skills are the commonest

# %% tags=["label-thresholds"]
effects = {}
toys = {
    "32 skills": (wide, 60, 0.2),
    "8 skills, no copies": (SKILLS, 40, 0.0),
    "8 skills": (SKILLS, 40, 0.2),
}
for name, (skills, n, copies) in toys.items():
    varied = {}
    for t in (0.5, 0.7, 0.9, 1.0):
        faults = {"unclean": 0.1, "copies": copies, "skills": skills}
        runs = [grow(k, n, t, 80, **faults) for k in range(1, 6)]
        pools = [[k["instruction"] for r in run for k in r["kept"]] for run in runs]
        varied[t] = [distinct(pool[:n]) for pool in pools]
        size = min(n, min(map(len, pools)))
        calls = np.mean([growth(run)[-1].calls for run in runs])
        said = f"{np.mean(varied[t]):.2f} (first {size}, {calls:.0f} calls)"
        print(f"  {t}: {said}", end="\n" if t in (0.7, 1.0) else ";")
    effects[name] = paired_difference(varied[0.7], varied[1.0])
    print(f"{name}, 0.7 minus no threshold: {effects[name]}")
copied = [sum(is_right(x, "", "") is None for x in pool[:40]) for pool in pools]
print("8 skills, no threshold: copies of seeds among the first 40", copied)
claim("SIN-004", effects["32 skills"].value, effects["32 skills"])
assert effects["8 skills"].low < 0 < effects["8 skills"].high
assert effects["8 skills, no copies"].low > 0 and min(copied) > 0

# %% [markdown]
# With 32 skills the filter brings variety: new things take the place of repetitions. With eight (last block) the interval holds zero, and the mean has the wrong
# sign. Why? Without a filter some of the forty are seeds with one word changed, and people's sentences are more varied than the toy's. Let the toy not
# copy (middle block), and the filter helps again. **Distinct-2 cannot tell variety from theft.** At 0.5 all toys run dry early; their
# distinct-2, of fewer instructions, must not be compared.
#
# Whether more varied *words* make a better model is another question, and lesson 30's.
#
# ## 6 Our own model as the generator (8 min)
#
# **Any function from requests to answers fits.** `one_by_one` makes a generator of a plain function from a prompt to its continuation: a call over the network, say.


# %%
def service(prompt):  # put your call here
    if prompt.startswith(instruct_prompts.HEADS["instructions"]):
        return " Name the longest river of Europe.\n10. Say what rust is.\n\n"
    if prompt.endswith("Is it classification?"):
        return " No"
    return "Output: The Volga."


little = SelfInstructConfig(n_instructions=2, n_calls=1)
called = instruct_generate.one_by_one(service)
served = self_instruct(called, seeds, folder / "served", little, progress=False)
print([task.output for task in served.tasks])
assert len(served.tasks) == 2  # and one of them is wrong: no filter looks

# %% [markdown]
# `from_model` makes a generator of one of our models: here the base model `small`, with the seeds in English, and fewer examples in the prompts, as its
# context is 512 tokens.
#
# **Predict.** It has read stories, Chinese, documentation and code, and no list of tasks. What will it write after "9."?

# %% tags=["nbval-ignore-output", "label-own"]
model, tokenizer = base(MODEL)
short = PromptConfig(n_kind=(4, 6), n_examples=3)
few = SelfInstructConfig(
    n_instructions=10, n_calls=5, max_rounds=2, list_tokens=80,
    instance_tokens=40, temperature=1.0, top_p=0.9, cut="last", prompts=short,
)  # fmt: skip
english = [task for task in seeds if task.language == "en"]
ours = instruct_generate.from_model(model, tokenizer)
own = self_instruct(ours, english, folder / "own", few, progress=False)
for line in own.instructions[:5]:
    print("kept:", line[:70])
print(len(own.instructions), "instructions,", len(own.tasks), "tasks")
assert len(own.tasks) <= 2

# %% [markdown]
# That is the documentation of libraries: there a numbered list is a list of arguments. The filters keep many of the lines, since their form is that of sentences. Then it ends: asked
# whether a line is classification, the model says neither yes nor no, and asked for an instance it never writes "Output:". **Self-Instruct draws out what pre-training has
# put in**, and here nothing was put in. The paper's generator was GPT-3 with 175 billion parameters, and it had read many a list of tasks.
#
# So we help it, with form alone: 40 steps on the pipeline's own three prompts, written out from the seeds (`taught` in the study `self_instruct_gain`). From recorded runs:

# %% tags=["label-taught"]
results = read_results("self_instruct_gain")
for line in results.values("own", "lines")[0][:3]:
    print("kept:", line)
for instruction, given, output in results.values("own", "samples")[1][:2]:
    print(f"\n{instruction}\n    {given!r}\n    -> {output!r}")

# %% tags=["label-owngrowth"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained")
bins = np.arange(0, 1.05, 0.05)
for arm, style in (("own", "-"), ("toy", "--")):
    scores = [x for run in results.values(arm, "novelty") for x in run]
    color = "C0" if arm == "own" else "C1"
    shape = {"histtype": "step", "ls": style, "color": color, "lw": 1.6}
    left.hist(scores, bins, density=True, label=arm, **shape)
    for sizes in results.values(arm, "sizes"):
        calls, size = np.array(sizes).T
        right.plot(calls, size, style, color=color, lw=1.2)
left.axvline(0.7, color="k", lw=0.8)
left.set(xlabel="ROUGE-L with the nearest seed", ylabel="density")
left.legend(loc="upper left")
right.set(xlabel="calls", ylabel="instructions kept", xlim=(0, 100))
alt = "Left: the novelty of both generators lies below 0.7. Right: the pool of "
alt += "own grows on a straight line, that of toy bends and stops near 50."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Left: both stay below the line. Right: the toy's curve bends, `own` goes straight up: hardly anything is dropped, for two garbled sentences
# are seldom alike. **Novelty is cheap for one who talks nonsense**: neither the histogram nor the filters see a difference.
#
# ## 7 Does it help? (8 min)
#
# The last step: tune the base model on what was generated, and examine it. Two exams: the toy's skills in wordings that no arm has trained on, and 28 seeds which nobody was
# shown. Equal steps, five seeds:
#
# | arm | trained on |
# |---|---|
# | base | nothing |
# | seeds | the other 113 seeds in English |
# | own | these, and what the taught model generated |
# | alone | only what it generated |
# | toy | the seeds, and what the toy generated (one answer in ten wrong) |

# %% tags=["label-gain"]
names = {"ended people": "ended", "nats people": "nats, people"}
names |= {"nats": "nats, toy"}
shown = names | {"right": "right, toy"}
print(f"{'':7}{'tasks':>6}" + "".join(f"{x:>14}" for x in shown.values()))
for arm in results.measured:
    row = f"{arm:7}{np.mean(results.values(arm, 'tasks')):6.0f}"
    for name in shown:
        row += f"{results.mean(arm, name).value:14.2f}"
    print(row)
print(results.provenance)

# %% tags=["label-arms"]
arms = list(results.measured)
fig, axes = plt.subplots(
    1, 3, figsize=(7.4, 2.6), sharey=True, layout="constrained"
)
for ax, (name, label) in zip(axes, names.items()):
    for y, arm in enumerate(arms):
        mean = results.mean(arm, name)
        ax.plot([mean.low, mean.high], [y, y], color="C0", lw=2.5)
        ax.plot(mean.value, y, "ko", ms=5)
    ax.set(xlabel=label, yticks=range(len(arms)), yticklabels=arms)
axes[0].invert_yaxis()
axes[0].set_xlim(-0.05, 1.05)
alt = "Five arms, three measures with intervals. Tuned models mostly end their "
alt += "answers, the base never. The loss on people's tasks falls with seeds "
alt += "and own, and rises with alone. On the toy's skills toy has the lowest."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** *Ended*: the share of answers that come to an end. The base model never ends one, tuned models mostly do, even `alone`, taught by nothing
# but its own nonsense. *Nats*: the surprise at a right answer, a token. It falls with the seeds, and with `own`; for people's tasks it *rises* with `alone`. On
# the toy's skills only `toy` brings much more than the seeds do.

# %% tags=["label-differences"]
gains = {}
for arm, against in (("own", "base"), ("alone", "base"), ("own", "seeds")):
    for name in ("ended people", "nats people"):
        gain = gains[arm, against, name] = results.difference(arm, against, name)
        print(f"{arm} minus {against}, {name:13}{gain}")
controls = read_results("self_instruct_control")
for control in ("fewer", "shuffled"):
    both = (
        results.values("own", "nats people"),
        controls.values(control, "nats people"),
    )
    gains[control] = paired_difference(*both)
    print(f"own minus {control}, nats people: {gains[control]}")
assert gains["own", "seeds", "nats people"].high < 0 < gains["fewer"].value

# %% [markdown]
# Over the base model the gain is large: most answers end, and the loss falls by more than a nat and a half. But `seeds` has nearly all of it. What do the generated tasks add? `own` minus
# `seeds` is below zero, with no zero in its interval: **a gain, it seems, from tasks of which not one is right.**
#
# Before you believe it, ask what else differs. In equal steps `own` reads each seed 2.5 times, `seeds` 3.5 times, and repetition costs (lesson 26). So two controls were
# recorded after that was seen: `fewer` reads the seeds alone, as often as `own` does; `shuffled` adds 45 seeds with the answers of other seeds, wrong, but people's words.
# Against `fewer` the sign turns: the gain was that of reading 113 tasks less often, and the generated ones, if anything, cost something. Against `shuffled` a gain is left: a wrong answer
# to a real question does more harm than a wrong answer to a question that nobody asks. (The controls were chosen after the first numbers were seen; their comparison was fixed before they ran.)

# %% tags=["label-why"]
reasons = {
    "asks": "begin like an instruction",
    "different outputs": "outputs that are different",
    "teacher": "right, where the truth is known",
}
print(f"{'':34}{'taught':>8}{'as it is':>10}")
for name, label in reasons.items():
    own_share = results.mean("own", name).value
    raw_share = results.mean("base", f"raw {name}").value
    raw_text = "no output" if name == "different outputs" else f"{raw_share:.0%}"
    print(f"{label:34}{own_share:8.0%}{raw_text:>10}")
words = results.difference("toy", "seeds", "right word")
print("toy minus seeds, words right:", words)
assert results.mean("own", "teacher").value < 0.05 and words.low > 0
raw_tasks = results.values("base", "raw generated")
print("tasks of the base model as it is, all seeds:", int(sum(raw_tasks)))

# %% [markdown]
# Nine in ten of the lines *begin* like an instruction; that much form was learned. Of the outputs fewer than half are different: a few sentences answer everything, and the
# rule against contradictions looks only within a task. And where the truth is known, in the very prompt in which it made its instances, the generator is right in no case at all. **A
# teacher that knows no more than the pupil can teach the form only**, and `alone` shows both halves of that: its answers end, and people's answers surprise it more than they
# surprised the base model.
#
# Is the pipeline at fault? `toy` is the test: the same steps with a generator which is right in nine cases of ten. The loss on its skills falls far below that of `seeds`, and a third of
# its questions for a word are answered rightly, in new wordings; its harder skills (sums, sorting, letters from right to left) not at all in fifty steps of so small a model. Put
# a larger model behind `generate`, and nothing else has to change.
#
# ## At scale
#
# | | generator | beginning | what came | note |
# |---|---|---|---|---|
# | Self-Instruct (2022) | GPT-3 davinci, 175 billion | 175 tasks | 52K instructions, 82K instances | tunes itself: on Super-NaturalInstructions ROUGE-L 6.8 becomes 39.9 |
# | Alpaca (2023) | text-davinci-003 | the same 175 | 52K | twenty at a time, no question of kind, one instance each; 3 hours on 8 A100 |
# | BELLE (2023) | ChatGPT | 175 tasks in Chinese | 0.5M, then 1M | Chinese from the start; unfit answers removed from the second set |
# | Baize (2023) | ChatGPT, both sides of a talk | questions of forums | over 100K talks | talks, not single tasks |
# | MOSS (2023) | gpt-3.5-turbo | inputs of real users | 1.1M talks | third version |
# | LLMZoo (2023) | ChatGPT | Self-Instruct tasks, translated | many languages | and talks that users shared |
#
# How much of the first line is the machine's? People marked answers to 252 tasks of users (read off figures 6 and 7 of the paper). GPT-3 as it is: 1 of 252 good. Tuned on the 175 seeds alone:
# 31 %. On 52 000 of its own tasks: 44 %. On the same tasks with outputs by a *better* model: 54 %. So the seeds do the most; its own tasks bring 13 points, and a teacher who knows
# more brings 10.
#
# All but the first take a stronger model as the teacher. That is distillation (蒸馏), not self-improvement, and it is why they look so much better. (Self-Instruct-52K is training data; the
# article calls it a set "to test" the following of instructions.)
#
# ## Common mistakes
#
# | what you see | what it is |
# |---|---|
# | one instruction of 300 words in each answer | the prompt is numbered in one way, the splitter cuts in the other |
# | no Chinese in the output | three filters, of which one was switched off |
# | many equal Chinese instructions | ROUGE-L on a-z |
# | "github", "python", "i" in small letters | `capitalize` |
# | a "photograph" is dropped | no word boundary |
# | a data set that changes from run to run | `list(set(...))` |
# | all labels "yes" | input first for classification |
# | a resumed run repeats its first rounds | dice that begin anew |
# | acceptance near 1 at all times | the pool does not take in what was kept |

# %% [markdown]
# ## Homework (35 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it.
#
# ### Exercise 1 · The words themselves (8 min, ★★☆)
#
# Return the longest common subsequence of two lists, not its length. Of several take the one that your walk finds: start in the last cell; if the two words are equal, take
# the word and go to the cell up and left; else go up if the cell above is *at least* as large as the one to the left, and left otherwise.
#
# <details><summary>Hint 1</summary>You collect from the end, so turn the list round.</details>
# <details><summary>Hint 2</summary>Words i and j belong to cell (i + 1, j + 1).</details>


# %% tags=["exercise"]
def common_words(a, b):
    # BEGIN SOLUTION
    t = lcs_table(a, b)
    i, j, found = len(a), len(b), []
    while i and j:
        if a[i - 1] == b[j - 1]:
            found.append(a[i - 1])
            i, j = i - 1, j - 1
        elif t[i - 1][j] >= t[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found[::-1]
    # END SOLUTION


# %% tags=["setup"]
def walked(a, b):
    """The same rule from the front of reversed lists, as a recursion."""

    def go(a, b):
        if not a or not b:
            return []
        if a[-1] == b[-1]:
            return [*go(a[:-1], b[:-1]), a[-1]]
        up, left = (lcs_table(x, y)[-1][-1] for x, y in ((a[:-1], b), (a, b[:-1])))
        return go(a[:-1], b) if up >= left else go(a, b[:-1])

    return go(list(a), list(b))


words_cases = [(list("abcb"), list("bdcab")), (list("ab"), list("ba")), ([], ["a"])]
words_cases += [(["the", "old", "cat", "never", "slept"], ["the", "cat", "slept"])]
words_cases += [(list("xaxbxc"), list("abcabc")), (list("aab"), list("ab"))]

# %% tags=["check"]
check(common_words, walked, words_cases)

# %% [markdown]
# ### Exercise 2 · Any numbering (7 min, ★★☆)
#
# Generators number as they like. Part a text at line starts of the forms `10.`, `10)`, `Task 10:` and `10、`, each followed by anything; what stands before the first mark is
# an instruction too. White space around is stripped, empty pieces are left out. A number *inside* a line is text.
#
# <details><summary>Hint 1</summary><code>re.split</code> with a pattern that begins with <code>\n\s*</code>.</details>
# <details><summary>Hint 2</summary><code>(?:Task\s+\d+\s*:|\d+\s?[.)、])</code></details>


# %% tags=["exercise"]
def split_any(text):
    # BEGIN SOLUTION
    mark = r"\n\s*(?:Task\s+\d+\s*:|\d+\s?[.)、])"
    return [piece.strip() for piece in re.split(mark, text) if piece.strip()]
    # END SOLUTION


# %% tags=["setup"]
def by_lines(text):
    first, *lines = text.split("\n")
    parts = [first]
    for line in lines:
        head = line.lstrip()
        word = head.split(":")[0].split()
        digits = len(head) - len(head.lstrip("0123456789"))
        rest = head[digits:].removeprefix(" ") if digits else ""
        if digits and rest[:1] in (".", ")", "、") and rest:
            parts.append(rest[1:])
        elif (
            ":" in head
            and len(word) == 2
            and word[0] == "Task"
            and word[1].isdigit()
        ):
            parts.append(head.split(":", 1)[1])
        else:
            parts[-1] += "\n" + line
    return [part.strip() for part in parts if part.strip()]


split_cases = [(" Name a fish.\n10. Name a bird.\n11) Name 3. trees",)]
split_cases += [(" A.\nTask 10: B: c\n  Task 11 : D",), (" 甲\n10、乙\n11 .丙",)]
split_cases += [
    ("one line 10. of text",),
    ("\n9. \n10. x\n",),
    (" a\nb\n3 geese\n4. c",),
]

# %% tags=["check"]
check(split_any, by_lines, split_cases)

# %% [markdown]
# ### Exercise 3 · A milder rule for contradictions (6 min, ★★☆)
#
# Instead of dropping all, let the instances vote: for each non-empty input keep the output that *more than half* of its instances give, once, in the place of the first
# instance with that input; drop the input where no output has that. Instances without an input stay, without doubles. Instances are pairs.
#
# <details><summary>Hint 1</summary>Count outputs per input with a <code>Counter</code>.</details>
# <details><summary>Hint 2</summary>Half is not more than half.</details>


# %% tags=["exercise"]
def vote(instances):
    # BEGIN SOLUTION
    kept = {}
    for given, output in instances:
        if not given:
            kept["", output] = (given, output)
            continue
        votes = [y for x, y in instances if x == given]
        winner, n = Counter(votes).most_common(1)[0]
        if 2 * n > len(votes):
            kept[given, ""] = (given, winner)
    return list(kept.values())
    # END SOLUTION


# %% tags=["setup"]
def vote_slowly(instances):
    result = []
    for given, output in instances:
        mine = [y for x, y in instances if x == given]
        for y in [output] if not given else mine:
            pair = (given, y)
            if pair not in result and (not given or mine.count(y) * 2 > len(mine)):
                result.append(pair)
    return result


vote_cases = [([("7", "odd"), ("7", "even"), ("8", "even")],)]
vote_cases += [([("7", "odd"), ("8", "even"), ("7", "even"), ("7", "odd")],)]
vote_cases += [([("", "trout"), ("", "perch"), ("", "trout")],), ([],)]
vote_cases += [([("a", "x"), ("b", "x"), ("a", "x"), ("b", "y"), ("", "x")],)]
vote_cases += [([("a", "y"), ("a", "x"), ("a", "x")],)]
vote_cases += [([("a", "x"), ("a", "x"), ("a", "y")],)]

# %% tags=["check"]
check(vote, vote_slowly, vote_cases)

# %% [markdown]
# ### Exercise 4 · Why the curve bends (7 min, ★★★)
#
# A generator draws from a fixed stock: instruction $i$ with probability $p_i$, again and again. How many *different* ones are expected after $n$ draws? An instruction is missing after $n$
# draws with probability $(1-p_i)^n$.
#
# <details><summary>Hint 1</summary>The expected number is a sum over i of the probability that i has come.</details>
# <details><summary>Hint 2</summary>1 − (1 − p)ⁿ, summed. The weights need not sum to 1 yet: divide by their sum.</details>


# %% tags=["exercise"]
def expected_distinct(weights, n):
    # BEGIN SOLUTION
    total = sum(weights)
    return sum(1 - (1 - w / total) ** n for w in weights)
    # END SOLUTION


# %% tags=["setup"]
def enumerated(weights, n):
    """All sequences of n draws, each with its probability."""
    from itertools import product

    p = [w / sum(weights) for w in weights]
    expected = 0.0
    for draws in product(range(len(p)), repeat=n):
        expected += float(np.prod([p[i] for i in draws])) * len(set(draws))
    return expected


draws_cases = [
    ([1, 1], 1),
    ([1, 1], 3),
    ([3, 1, 1], 2),
    ([1.0], 4),
    ([5, 2, 1], 4),
    ([1, 2], 0),
]

# %% tags=["check"]
check(expected_distinct, enumerated, draws_cases)

# %% [markdown]
# Plot it for 1 000 instructions with weights $1/i$: it bends without any filter. The filter makes it bend earlier, because a draw near an old one counts as drawn.
#
# ### Exercise 5 · A balanced handful (7 min, ★★☆)
#
# Choose up to $k$ instances of a classification task so that the labels are as even as possible: take labels in the order of their first appearance, one instance of each in turn,
# the earliest that is left; labels that have run out are passed over. Return the pairs in the order in which they were taken.
#
# <details><summary>Hint 1</summary>A list for each label, in a dict.</details>
# <details><summary>Hint 2</summary>Go round: the first of each list, then the second of each.</details>


# %% tags=["exercise"]
def balanced(instances, k):
    # BEGIN SOLUTION
    by_label = {}
    for given, label in instances:
        by_label.setdefault(label, []).append((given, label))
    taken = []
    for turn in range(len(instances)):
        taken += [group[turn] for group in by_label.values() if turn < len(group)]
    return taken[:k]
    # END SOLUTION


# %% tags=["setup"]
def by_turns(instances, k):
    left, taken = list(instances), []
    labels = list(dict.fromkeys(label for _, label in instances))
    while left and len(taken) < k:
        for label in labels:
            mine = next((pair for pair in left if pair[1] == label), None)
            if mine is not None and len(taken) < k:
                left.remove(mine)
                taken.append(mine)
    return taken


numbers = [("1", "odd"), ("3", "odd"), ("2", "even"), ("5", "odd"), ("4", "even")]
even_cases = [
    (numbers, 2),
    (numbers, 3),
    (numbers, 9),
    (numbers[:2], 2),
    ([], 3),
    (numbers, 0),
]
even_cases += [([("a", "x"), ("b", "y"), ("c", "z"), ("d", "z")], 4)]

# %% tags=["check"]
check(balanced, by_turns, even_cases)

# %% [markdown]
# ## Recap
#
# - Self-Instruct: 175 tasks, lists of 6 + 2, filters, instances, training. Any generator fits in.
# - ROUGE-L is $2L/(n+m)$ with $L$ the longest common subsequence. It sees copies, not meaning, and only the script it was built for.
# - The filters look at form. None looks at truth.
# - Classification is generated label first, so that all labels occur.
# - A pool grows slower the larger it is; a generator that knows little dries up soon.
# - Equal steps are not equal reading: our gain from nonsense was one from less repetition.
# - A run that can be killed has its randomness tied to the round, and writes each round before the next.
#
# ## Questions
#
# 1. Why eight instructions in the prompt, and why two of them generated?
# <details><summary>Answer</summary>Enough to show that tasks differ, few enough for the context. The two bring in what is new; the six hold the style.</details>
#
# 2. Two instructions with ROUGE-L 0 can mean the same. Is that a fault of the filter?
# <details><summary>Answer</summary>Of its reach. It is for copies. Meaning would need a model (lesson 30 uses vectors).</details>
#
# 3. A list answer was cut by the limit of tokens. What does the released code do with it, and what else could one do?
# <details><summary>Answer</summary>It drops the whole answer. One can keep all but the last item, which alone is cut.</details>
#
# 4. Why is an empty output dropped *before* contradictions are looked for?
# <details><summary>Answer</summary>Else one failed generation would contradict a good one, and take the whole task away.</details>
#
# 5. What does the tuned model gain if all generated answers are right but all come from itself?
# <details><summary>Answer</summary>No knowledge. It learns the format: that there is a question, and that an answer follows and ends.</details>
#
# 6. Alpaca calls text-davinci-003. Is that self-instruct?
# <details><summary>Answer</summary>The recipe is. But the teacher is another, stronger model: distillation.</details>
#
# ## Sources
#
# - Wang et al. 2022, *Self-Instruct*, [arXiv:2212.10560](https://arxiv.org/abs/2212.10560), and its
#   [code](https://github.com/yizhongw/self-instruct): the steps, the prompts, the rules.
# - Lin 2004, *ROUGE: A Package for Automatic Evaluation of Summaries*, [W04-1013](https://aclanthology.org/W04-1013/): section 3 is ROUGE-L.
# - Taori et al. 2023, *Stanford Alpaca*, [project page](https://crfm.stanford.edu/2023/03/13/alpaca.html): the cheap version.
# - Hyyrö 2004, *Bit-parallel LCS-length computation revisited*: a row of the table in one integer.
# - Li et al. 2016, [arXiv:1510.03055](https://arxiv.org/abs/1510.03055): distinct-n.
#
# ## Next
#
# [30 Less is more](30_less_is_more.ipynb): if data are cheap, which of them should one take?

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
# # 30 Less is more: which examples would you choose, and why so few?
#
# 75 min · CPU · 30 s · 1 GB · needs [28 Instructions](28_instructions.ipynb) · code: `minillm/finetune/selection.py`, `coreset.py`, `influence.py`
#
# In lesson 28 a model learned to answer. How many examples does that take, and which ones? One paper of 2023 fine-tuned a
# 65-billion model on a thousand examples and did better than with fifty times as many. Another said that half a per cent of the
# data is enough. Both are quoted as laws. We ask again at a size where every answer can be checked.
#
# After this lesson you can
#
# 1. test what fine-tuning teaches, by separating knowledge, form and rightness;
# 2. compare quality, diversity and quantity at equal work, and say which of them a result really varied;
# 3. say when the loss of held-out answers misleads, with a number;
# 4. write k-means and k-center greedy, and prove the factor 2 of the latter;
# 5. predict what one example did to a model without training again, and check it by training again.
#
# Shape letters here: N examples (not heads), D width of a vector, K clusters, n chosen examples.

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np
import torch

from minillm.data.proportions import temperature_shares
from minillm.data.storyworld.quiz import make_quiz_corpus
from minillm.evaluate import mean_interval
from minillm.finetune import coreset, diversity, influence, lima
from minillm.finetune import agreement, best_k_center, k_center_greedy, kmeans
from minillm.finetune.convex import Logistic
from minillm.lesson import check, claim, setup, show
from minillm.recipes import base
from minillm.recipes import town as place
from minillm.recipes.records import read_results

MODEL = "tiny"  # the base model whose states become vectors in section 5
setup(seed=30)

# %% [markdown]
# ## 1 What can thirty-two examples teach? (11 min)
#
# The **superficial alignment hypothesis** (浅层对齐假说; Zhou et al. 2023, section 2 of *LIMA*) says: nearly everything that a model
# knows it learned in pre-training. Fine-tuning teaches it *in which form* to speak. If so, a few examples are enough, and the
# facts in them hardly matter.
#
# To test that, we must know what a model knew before. So we make a **town**: ninety people, each with a home, a trade,
# a colour and a pet. A model of 0.1 M parameters reads these facts as plain sentences, in eighty wordings. Every word is one token. (The loss counts the value and the full stop. With the loss on
# every word and fewer wordings the facts are learned as well, but 32 questions do not get at them; `recipes/town.py` has the numbers.)

# %%
town = place.make_town(1)
back = {i: word for word, i in place.words().items()}
text = " ".join(back[i] for i in place.told(town, 40, seed=1).tolist())
print(text.replace("<end>", "\n<end>").strip())

# %% [markdown]
# Then it is tuned on questions, as in lesson 28: the loss counts the answer and the stop. It is examined on people about
# whom it was **never asked** in training, in wordings that it has never seen.

# %%
ids, mask = place.ask(town, 1, seed=1)[0].row()
for i, learned in zip(ids, mask):
    print(f"{back[i]:12}", "learned" if learned else "read only")
trained = {q.person for q in place.ask(town, 32, seed=1)}
examined = {q.person for q in place.exam(town)}
assert not trained & examined

# %% [markdown]
# **Watch one live.** A model reads the town for some seconds; then it is tuned on 32 questions. Every third step it answers the whole
# exam, greedily: a word, and what follows it.
#
# **Predict.** Three things have to come: a word of the *kind* that was asked for (some pet if a pet is asked for), the *right* word, and
# the *stop* behind it. In which order?

# %%
reader, test = place.read_town(1), place.exam(town)


@torch.no_grad()
def speak(now):
    """(question, word, what follows it) for every question of the exam."""
    said = []
    for n in range(place.WIDTH):  # questions of equal length together
        asked = [q for q in test if len(q.row()[0]) - 2 == n]
        if asked:
            x = torch.tensor([q.row()[0][:-2] for q in asked])  # (B, n)
            word = now(x)[:, -1].argmax(-1)  # (B,)
            then = now(torch.cat([x, word[:, None]], 1))[:, -1].argmax(-1)
            said += zip(asked, word.tolist(), then.tolist())
    return [(q, back[w], back[t]) for q, w, t in said]


# %% tags=["nbval-ignore-output", "label-live"]
seen = {0: speak(reader)}


def look(now):
    seen[max(seen) + 3] = speak(now)
    return 0.0


place.tune(
    reader, place.ask(town, 32, seed=1), seed=1, steps=30, lr=5e-4,
    evaluate=look, eval_every=3,
)  # fmt: skip
shares = {}
print("step   kind  right   stop   the first question of the exam")
for step, said in seen.items():
    kind = np.mean([w in place.RELATIONS[q.relation] for q, w, _ in said])
    right = np.mean([w == q.answer for q, w, _ in said])
    shares[step] = kind, right, np.mean([t == "<stop>" for _, _, t in said])
    now = " ".join(f"{share:6.0%}" for share in shares[step])
    print(f"{step:4} {now}   {' '.join(said[0][1:])}")


# %%
def arrival(i):
    """First step at nine tenths of the last share."""
    return next(k for k in shares if shares[k][i] >= 0.9 * shares[30][i])


assert arrival(0) < arrival(1) < 30 and arrival(0) < arrival(2)
assert shares[0][0] > 0.4 and shares[0][1] < 0.4 and shares[0][2] == 0
assert shares[30][1] > 0.5 and shares[30][2] > 0.8

# %% [markdown]
# **What you should see.** Before any tuning most answers are of the right kind already: the sentences taught what follows "the pet of". The right
# word comes step by step, the stop last and suddenly: no sentence ever ended with it. From here on an answer has the right **form** if it is a word of the right kind and then the stop, and it is **right** if the
# word is, too. By luck one in eight answers of the right form is right.
#
# Now a control. Three models get the same 32 questions, 50 times each:
#
# - **true**: it has read about this town;
# - **false**: it has read as much about *another* town of the same people. It knows the language and the names, and wrong facts;
# - **none**: it has read nothing.
#
# **Predict, then run.** Fill in the table first: form and right, for each of the three.

# %% tags=["label-three"]
study = read_results("superficial_alignment")
print("mean [95 % interval of the mean, which may pass 0 or 100 %]")
print("           form               right")
for arm in ("true_32", "false_32", "none_32", "true_8", "true_128"):
    form, right = study.mean(arm, "form 100"), study.mean(arm, "right 100")
    print(
        f"{arm:10}{form.value:5.0%} {f'[{form.low:.0%}, {form.high:.0%}]':14}"
        f"{right.value:5.0%} [{right.low:.0%}, {right.high:.0%}]"
    )

# %%
d = study.difference("true_32", "false_32", "right 100")
print("with the facts minus with others:", d)
claim("SFT-011", d.value, d)

# %% [markdown]
# Read it twice. The first two models answer in the same form, nearly always; only the one that has read *this* town is right, and the other is right
# as often as luck. The third, which has read nothing, has not even the form: 32 examples do not teach a language. So form comes from the examples
# and rightness from what was read. That is the hypothesis, in a world where it can be checked.
#
# The last two lines say what "superficial" hides. Eight examples give nearly the whole form, and rightness still doubles from 8 to 32 and grows up to 128, *about people
# whom no example mentions*. The examples do not bring these facts; they teach the way from a question to them.
#
# It does *not* say that fine-tuning cannot teach facts. Thirty-two examples just hold no more than thirty-two of them.

# %%
form, right = (
    {a: study.mean(a, f"{mark} 100").value for a in study.measured}
    for mark in ("form", "right")
)
assert min(form["true_32"], form["false_32"]) > 0.9 > 0.3 > form["none_32"]
assert abs(right["false_32"] - 1 / 8) < 0.05 and form["true_8"] > 0.7
assert 2 * right["true_8"] < right["true_32"] + 0.05 < right["true_128"]

# %% [markdown]
# **How fast?** The article says that a short instruction tuning quickly improves LLaMA on MMLU, a test of multiple-choice
# questions; the result is LLaMA-I. Our runs were examined every five steps.

# %% tags=["label-fast"]
steps = np.arange(0, 101, 5)
fig, ax = plt.subplots(figsize=(5.6, 2.8), layout="constrained")
for name, style in (("form", "--"), ("right", "-")):
    curve = np.mean(study.values("true_32", name), axis=0)
    ax.plot(steps, curve, style, marker="o", ms=3, label=name)
ax.axhline(1 / 8, color="k", lw=0.8, ls=":", label="luck")
ax.set(xlabel="steps of fine-tuning", ylabel="share of the exam", ylim=(0, 1.02))
ax.legend()
alt = "Share of answers of the right form and of right answers against the steps "
alt += "of fine-tuning, mean of five seeds."
show(fig, alt=alt)

# %%
before, after = (study.values("true_32", f"right {k}") for k in (0, 20))
gain = mean_interval([b - a for a, b in zip(before, after)])
print("right after 20 steps minus before:", gain)
claim("SFT-019", gain.value, gain)

# %% [markdown]
# **What you should see.** Both lines leave zero together, between steps 10 and 30: the stop, without which neither counts, comes that late (in one of the five seeds
# after step 20, hence the wide interval). Then form is complete, and rightness creeps on.
#
# So the first jump measures the *form of the exam* as much as the model. An exam that reads only the first word would have found a fifth of the answers right
# before any tuning; ours found none. (LLaMA-I gains on MMLU from 63.4 to 68.9 at 65 B, a much smaller jump: MMLU's usual prompt shows five solved questions, and with them the form.)
#
# ## 2 LIMA's thousand (7 min)
#
# The article sorts instruction data into three groups: NLP tasks (lesson 28), daily chats (ShareGPT, OpenAssistant), synthetic ones (lesson 29). (OpenAssistant does not "test" models:
# volunteers wrote it in 35 languages, to train on.)
#
# **LIMA** (*Less Is More for Alignment*) took 1 000 examples, and took care with each. Let us add them up as the article lists them.

# %%
for source, n in lima.LISTED.items():
    print(f"{n:5}  {source}")
listed = sum(lima.LISTED.values())
print(f"{listed:5}  in all")
claim("SFT-001", listed)

# %% [markdown]
# Fifty too many. The paper's table 1 has the reason: group A of the authors wrote 250 prompts, 200 were trained on, and **50 were held back** as
# a development set. (13 malicious prompts are mentioned as well; table 1 does not count them apart, so they must be among group A's.) Two more of its sums are right:

# %%
assert sum(lima.TRAINING.values()) == 1000
assert round(0.5 / 2.3, 2) == 0.22  # BELLE's share, quoted at the end
claim("SFT-002", sum(lima.EXCHANGES.values()))
claim("SFT-003", sum(lima.TEST.values()))
claim("SFT-005", lima.ALPACA_EXAMPLES / sum(lima.TRAINING.values()))

# %% [markdown]
# The baseline that the article calls "Anthropic's Claude4" is *Claude*, with the paper's footnote 4 (SFT-006 in the ledger).
#
# **Diversity first.** Stack Exchange has 179 communities, and one of them, Stack Overflow, is larger than most others together. LIMA draws
# communities with a **temperature** of 3, lesson 08's $p_i\propto n_i^{1/T}$:

# %%
sizes = {"programming": 23_000_000, "mathematics": 1_600_000, "cooking": 26_000}
for T in (1, 3):
    shares = temperature_shares(sizes, T)
    print(f"T = {T}:", ", ".join(f"{k} {v:.1%}" for k, v in shares.items()))
print("(sizes invented, of a plausible order)")
n = np.array(list(sizes.values()), dtype=float)
one, three = (np.array(list(temperature_shares(sizes, T).values())) for T in (1, 3))
flat = (-(three * np.log(three)).sum()) > (-(one * np.log(one)).sum())
root = np.abs(three - n ** (1 / 3) / (n ** (1 / 3)).sum()).max() < 1e-12
claim("DAT-020", bool(flat and root))

# %% [markdown]
# **Then quality.** Of each community the best questions, of each question the best answer, and then five rules: a score of at least 10; 1 200 to
# 4 096 characters; no first person; no reference to other answers. Each can be tried at its edge.

# %%
good = "Heat the pan, then add the butter. " * 40
pairs = [  # (answer, score, fault), the second of each pair is on the other side
    (good, 9, "score"),
    (good, 10, None),
    ("x" * 1199, 10, "short"),
    ("x" * 1200, 10, None),
    ("x" * 4097, 10, "long"),
    ("x" * 4096, 10, None),
    (good + "I like it.", 10, "first person"),
    (good + "IBM", 10, None),
    (good + "As mentioned", 10, "other answers"),
    (good + "A mention", 10, None),
]
told = [lima.answer_faults(answer, score) for answer, score, _ in pairs]
right = all(faults == ([f] if f else []) for faults, (_, _, f) in zip(told, pairs))
claim("SFT-004", right)

# %% [markdown]
# No rule asks whether the answer is **true**. The score stands in for it: ten people liked it.
#
# ## 3 Quality, diversity, quantity (12 min)
#
# LIMA's section 5 compares three things at 7 B parameters, judged by a model on a scale of 1 to 6: filtered answers against unfiltered (3.83 against
# 3.33: "0.5 points"), diverse prompts against uniform ones (Stack Exchange 3.83, wikiHow 3.49), and 2 000 to 32 000 examples of one
# source (flat). In the town we can vary each *alone*, count right answers instead of asking a judge, and give all runs **equal steps**, so that
# more data never means more work.
#
# **Quality.** 400 questions; a share of the answers is replaced by the right answer to another question of the same kind: fluent, plausible and
# false. And against it the other way to spoil a data set: leave half of it out.
#
# **Predict.** What costs more: 40 % wrong answers among 400, or only 200, all right?

# %% tags=["label-spoiled"]
spoiled = read_results("answers_corrupted")
print("questions  wrong   right in the exam")
for arm in (
    "100_0",
    "200_0",
    "400_0",
    "400_20",
    "400_40",
    "400_50",
    "2000_0",
    "2000_40",
):
    n, wrong = arm.split("_")
    r = spoiled.mean(arm, "right")
    print(f"{n:>9}{wrong:>6} %{r.value:10.1%} [{r.low:.1%}, {r.high:.1%}]")

# %%
d = spoiled.difference("400_0", "400_40", "right")
print("400 right minus 400 with 40 % wrong: ", d)
claim("DAT-021", d.value, d)
print(
    "400 right minus 200 right:           ",
    spoiled.difference("400_0", "200_0", "right"),
)
d = spoiled.difference("400_0", "400_50", "right")
claim("SFT-009", d.value, d)

# %%
lost = spoiled.difference("400_0", "400_40", "right").low
assert lost > 3 * spoiled.difference("400_0", "200_0", "right").high

# %% [markdown]
# Wrong answers cost several times more than missing ones. And yet 40 % false answers spoil only about a fifth of the exam: false answers are spread over seven
# values and contradict each other, so the right one is still the most frequent. Errors that *agree* would not be so kind.
#
# The ledger's DAT-021 is a sentence of article 003: instruction data from GPT-4 "far" beats data from GPT-3 for one LLaMA, so quality is a major
# factor. The paper (Peng et al. 2023) varied the *teacher*: style, length and rightness together. Here it is rightness alone.
#
# Is a small clean set better than a large noisy one, as LLaMA 2's authors say of their 27 540 annotations? (The article also says "2W" and "over
# 100K" for the same set. The paper's number is 27 540; 100 000 stands on the release's web page.)

# %%
d = spoiled.difference("200_0", "2000_40", "right")
print("200 right minus 2 000 with 40 % wrong:", d)
claim("SFT-018", d.value, d)
for n in (100, 200, 400):
    print(
        f"{n:5} right minus the same:   ",
        spoiled.difference(f"{n}_0", "2000_40", "right"),
    )
assert spoiled.mean("100_0", "right").value > spoiled.mean("2000_40", "right").value

# %% [markdown]
# The small clean set wins, and so do its first hundred: no crossover was found.
#
# **Quantity and diversity.** Sixteen to 1 024 questions, and then 240 questions in one, four or sixteen wordings, or about one to four kinds of facts. The exam
# uses wordings that no run has seen.

# %% tags=["label-variety"]
variety = read_results("instruction_variety")
numbers = (16, 64, 256, 512, 1024)
fig, (left, right) = plt.subplots(
    1, 2, figsize=(6.8, 2.8), layout="constrained", sharey=True
)
means = [variety.mean(f"n_{n}", "right") for n in numbers]
bars = [[m.value - m.low for m in means], [m.high - m.value for m in means]]
left.errorbar(numbers, [m.value for m in means], bars, marker="o", capsize=3)
left.set(
    xscale="log",
    xlabel="questions, 16 wordings",
    ylabel="right answers",
    ylim=(0, 1.02),
)
left.set_xticks(numbers, numbers)
arms = ("templates_1", "templates_4", "templates_16", "kinds_1", "kinds_2")
means = [variety.mean(arm, "right") for arm in arms]
bars = [[m.value - m.low for m in means], [m.high - m.value for m in means]]
names = ["1 wording", "4", "16", "1 kind", "2 kinds"]
right.bar(names, [m.value for m in means], yerr=bars, capsize=3)
right.set(xlabel="240 questions each")
right.tick_params(axis="x", rotation=30)
alt = "Right answers against the number of questions, and for 240 questions in "
alt += "one, four and sixteen wordings and of one and two kinds, with intervals."
show(fig, alt=alt)

# %%
d = variety.difference("n_1024", "n_512", "right")
print("1 024 questions minus 512:", d)
claim("SFT-007", d.value, d)
d = variety.difference("templates_16", "templates_1", "right")
print("16 wordings minus 1:      ", d)
claim("SFT-008", d.value, d)
d = variety.difference("templates_16", "kinds_2", "right")
print("4 kinds minus 2:          ", d)
assert d.low > 0.1

# %% [markdown]
# **What you should see.** The left curve turns flat at about 256 questions; the run with 1 024 reads each of them once, and gains nothing by it. On the right, sixteen wordings beat one by some
# points (four do not), and *kinds* matter most: who was never asked about pets or colours does not answer about them, though the facts were read.
#
# LIMA's diversity ablation compares *two sources*; the paper itself says that other things differ between them, and the article repeats that. Its
# quantity ablation doubles examples of one source, filtered alike: it does not say that more sources would not help.
#
# **One instruction or ten?** Chen et al. (2023) say that on *one* task, one wording instead of ten does as well with a tenth of the data.

# %%
for mark in ("right own", "right"):
    d = variety.difference("task_one", "task_ten", mark)
    where = "in the shared wording" if mark == "right own" else "in unseen wordings"
    print(f"one wording, 60 questions, minus ten, 600, {where}: {d}")
d = variety.difference("task_one", "task_ten", "right own")
claim("SFT-013", d.value, d)

# %% [markdown]
# A model for one task in one form needs one form; a model that people talk to needs more.
#
# ## 4 Is the loss a guide? (6 min)
#
# You have twenty checkpoints and may keep one. The obvious choice is the lowest loss on held-out answers. LIMA's appendix B warns:
# there, perplexity on held-out Stack Exchange answers *rose* with more steps, while a judge (ChatGPT, 1 to 6) liked the answers better; the authors chose by hand, on fifty prompts. Why could that be?
#
# The loss of one answer is $-\log p(\text{right})$. Greedy decoding asks only whether $p(\text{right})$ is the *largest*. A model that becomes surer of
# everything gains little where it is right and loses much where it is wrong:

# %%
p = torch.tensor([0.6, 0.6, 0.3])  # of the right answer, three questions
surer = torch.tensor([0.99, 0.99, 0.01])
for name, q in (("careful", p), ("sure", surer)):
    print(
        f"{name}: {(q > 0.5).float().mean():.0%} right, loss {-q.log().mean():.2f}"
    )
assert -surer.log().mean() > -2 * p.log().mean()

# %% [markdown]
# Equal answers, and more than twice the loss. Now the recorded runs.

# %% tags=["label-guide"]
fig, axes = plt.subplots(1, 2, figsize=(6.8, 2.8), layout="constrained")
for ax, arm in zip(axes, ("true_32", "true_128")):
    nats = np.mean(study.values(arm, "nats"), axis=0)
    ax.plot(steps, nats, "C0-", label="loss of held-out answers")
    ax.set(xlabel="steps", title=f"{arm.split('_')[1]} examples", yscale="log")
    other = ax.twinx()
    other.plot(
        steps, np.mean(study.values(arm, "right"), axis=0), "C1--", label="right"
    )
    other.set(ylim=(0, 1.02))
axes[0].set_ylabel("nats a token (full line)")
other.set_ylabel("share right (dashed)")
alt = "Loss of held-out answers and share of right answers against steps, for 32 "
alt += "and 128 examples, means of five seeds, the loss on a logarithmic scale."
show(fig, alt=alt)

# %%
for arm in ("true_32", "true_128"):
    rho, lost = study.mean(arm, "spearman"), study.mean(arm, "given up")
    print(f"{arm}: Spearman {rho}; given up by choosing by loss {lost.value:.1%}")
rho = study.mean("true_32", "spearman")
claim("SFT-010", rho.value, rho)
assert rho.high < -0.5 and study.mean("true_32", "given up").value < 0.03

# %% [markdown]
# **What you should see.** The full line falls, the dashed one rises, and both come to rest together. In the town the loss *is* a good guide: nearly the best checkpoint is found by it, and LIMA's
# observation is not repeated. One difference explains much of that: our loss and our mark ask about the same word of the same exam, while LIMA's perplexity was taken on one forum's answers
# and the judge rated helpfulness on other prompts. "Perplexity does not reflect quality" depends on what the loss is taken on. Measure it before you trust or distrust it.
#
# `agreement` also counts pairs of checkpoints in which the one of lower loss is worse. Try it by hand:

# %%
found = agreement([2.0, 1.0, 1.5, 1.8], [0.1, 0.5, 0.6, 0.7])
print(found)
assert found.misleading == 0.5 and found.by_loss == 1 and found.by_quality == 3

# %% [markdown]
# So choose checkpoints by what you want; where that cannot be counted, by the loss on answers of the kind that you want (lessons 36 and 37).
#
# ## 5 Examples as vectors (5 min)
#
# To choose *for diversity* we need distances between examples. Chen et al. (2023) take the text as it will be trained on, prompt and answer, run it through a
# model, and average the last hidden states over the tokens: **mean pooling** (平均池化). Then each vector is divided by its length. From then on
#
# $$|x-y|^2 = |x|^2+|y|^2-2\,x\cdot y = 2-2\cos(x,y),$$
#
# so that the largest cosine, the largest dot product and the smallest distance all name the same neighbour.

# %%
model, tokenizer = base(MODEL)
kinds = ("who_did", "feeling", "where_thing", "why")  # four tasks, fifty texts each
texts = [
    t
    for i, k in enumerate(kinds)
    for t in make_quiz_corpus(30 + i, 50, "en", kinds=(k,))
]
vectors = coreset.embed(model, [tokenizer.encode(text) for text in texts])
vectors.shape


# %%
def cosines(a):
    lengths = np.sqrt((a**2).sum(axis=1))
    return np.array(
        [
            [x @ y / (lx * ly) for y, ly in zip(a, lengths)]
            for x, lx in zip(a, lengths)
        ]
    )


away = 9 * np.eye(len(texts))  # nobody is its own neighbour
cosine, dot = cosines(vectors) - away, vectors @ vectors.T - away
distance = np.sqrt(diversity.squared_distances(vectors, vectors)) + away
off = away == 0
same = np.abs(dot - cosine).max() < 1e-9
same &= np.abs(distance[off] ** 2 - (2 - 2 * dot[off])).max() < 1e-9
same &= (dot.argmax(1) == cosine.argmax(1)).all()
same &= (dot.argmax(1) == distance.argmin(1)).all()
claim("SFT-016", bool(same))

# %% tags=["nbval-ignore-output"]
i, j = np.unravel_index(distance.argmin(), distance.shape)
print(texts[i][:150], "...\n")
print(texts[j][:150], "...")
middle = np.median(cosine[off])
print(f"\ncosine {vectors[i] @ vectors[j]:.3f}; median of all {middle:.3f}")

# %% [markdown]
# All cosines are high. States of one model have much in common; only *differences* between cosines say anything.
#
# ## 6 k-means by hand (6 min)
#
# **k-means** (k 均值聚类) parts N vectors into K groups. Two steps take turns: give each vector to its nearest centre; move each centre to the mean
# of its vectors. Neither can raise the sum of squared distances (the *inertia*): the first because each vector picks the nearest, the second because the mean is the
# point with the least squared distances. So it ends. Where it ends depends on where it began.

# %%
dice = np.random.default_rng(30)
middles = np.array([[0, 0], [5, 0], [0, 2.5], [5, 2.5]])
cloud = middles[np.arange(120) % 4] + dice.normal(size=(120, 2)) * 0.5
start = cloud[[0, 4, 8, 1]]  # three of one group and one of another
inertia = [
    kmeans(cloud, 4, start=start, max_steps=m).inertia for m in (1, 2, 4, 8, 16)
]
print("inertia after 1, 2, 4, 8, 16 steps:", *(f"{v:.0f}" for v in inertia))
assert inertia == sorted(inertia, reverse=True)

# %%
bad = kmeans(cloud, 4, start=start)
good = kmeans(cloud, 4, n_starts=20)
print(f"from this start {bad.inertia:.0f}, best of twenty {good.inertia:.0f}")
found = {
    "k-means++": [kmeans(cloud, 4, seed=s).inertia for s in range(50)],
    "uniform": [],
}
for seed in range(50):
    drawn = np.random.default_rng(seed).choice(120, 4, replace=False)
    found["uniform"].append(kmeans(cloud, 4, start=cloud[drawn]).inertia)
for name, ends in found.items():
    well = np.mean(np.array(ends) < 1.01 * good.inertia)
    print(f"{name}: {well:.0%} of 50 starts end well")
assert bad.inertia > 2 * good.inertia

# %% [markdown]
# **k-means++** draws the first centres one by one, each with a probability proportional to its squared distance from those drawn before. That helps, and several starts help
# more. With clusters in hand, a
# diverse choice is easy: go round the clusters (`pick_evenly`), or make n clusters and take the example nearest to each centre (`pick_central`).
#
# ## 7 k-center: nobody left far away (11 min)
#
# k-means serves the average. **k-center** (k 中心问题) asks for k of the points such that the *worst served* point is near one of them:
#
# $$\min_{|S|=k}\;\max_i\;\min_{s\in S}|x_i-x_s| .$$
#
# The exact answer needs, as far as anybody knows, trying all sets. The **greedy** one (Gonzalez 1985) takes any point first, and then always the point that is
# farthest from all taken so far.
#
# **It is at most a factor 2 off.** Let $r$ be the distance that is left, at some point $z$. The $k$ taken points and $z$ are $k+1$ points, and each two of
# them are at least $r$ apart: had two been nearer, greedy would have taken $z$ instead of the later one. The best solution has only $k$ centres, so two
# of the $k+1$ go to the same centre. By the triangle inequality $r\le 2\cdot\text{best}$. $\square$

# %%
bounded, worst = True, 0.0
for seed in range(200):
    points = np.random.default_rng(seed).normal(size=(9, 2))
    for k in (2, 3, 4):
        _, best = best_k_center(points, k)
        left = coreset.coverage(points, k_center_greedy(points, k)).largest
        bounded &= best - 1e-12 <= left <= 2 * best + 1e-12
        worst = max(worst, left / best)
claim("SFT-015", bool(bounded))
print(f"worst factor among 600: {worst:.2f}")
line = np.array([[0.0], [1.0], [2.0]])  # 2 can be reached: k = 1, from an end
assert coreset.coverage(line, [0]).largest == 2 * best_k_center(line, 1)[1]

# %% [markdown]
# **Predict.** On a skewed set (one crowd, many small groups), n = 100 of 20 000. Which choice covers more groups: random or greedy? Which leaves the smaller
# *largest* distance? And which the smaller *mean* distance?

# %%
dice = np.random.default_rng(30)
share = 0.6 ** np.arange(40)
group = dice.choice(40, 20_000, p=share / share.sum())  # the largest has 8 000
group[:40] = np.arange(40)  # each has one at least
middles = dice.normal(size=(40, 16))
skewed = coreset.unit_length(middles[group] + 0.25 * dice.normal(size=(20_000, 16)))
chosen = {
    "random": dice.choice(20_000, 100, replace=False),
    "k_center": k_center_greedy(skewed, 100),
}

# %% tags=["nbval-ignore-output", "label-skewed"]
cover = {}
print("            groups   largest   mean distance")
for name, picked in chosen.items():
    cover[name] = coreset.coverage(skewed, picked)
    groups = diversity.n_covered(group, picked)
    print(
        f"{name:10}{groups:5} of 40{cover[name].largest:9.3f}{cover[name].mean:12.3f}"
    )

# %%
assert cover["k_center"].largest < cover["random"].largest
assert cover["k_center"].mean > cover["random"].mean

# %% [markdown]
# **The worse mean is not an accident.** Greedy goes where nobody is. It spends its budget on the rim and on outliers, and what is an outlier in real data? The typing
# error, the wrong language, the broken row. The article's "core samples" suggest the middle; the method goes to the edge.

# %% tags=["nbval-ignore-output", "label-where"]
dice = np.random.default_rng(7)
flat = np.concatenate(
    [
        dice.normal(size=(600, 2)),
        dice.normal(size=(30, 2)) * 0.2 + [4, 3],
        dice.uniform(-6, 6, size=(10, 2)),
    ]
)
picks = {
    "random": dice.choice(len(flat), 16, replace=False),
    "k-means": diversity.pick_central(flat, kmeans(flat, 16, n_starts=3)),
    "k-center": k_center_greedy(flat, 16),
}
fig, axes = plt.subplots(1, 3, figsize=(7, 2.7), layout="constrained", sharey=True)
for ax, (name, picked) in zip(axes, picks.items()):
    ax.plot(*flat.T, ".", ms=2, color="0.6")
    ax.plot(*flat[picked].T, "C1o", ms=5)
    ax.set(title=name, xticks=[], yticks=[])
alt = "640 points: a crowd, a small group, and ten strays. Sixteen random ones lie "
alt += "in the crowd; k-means spreads over crowd, group and some strays; k-center "
alt += "takes the rim and the strays."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Random: nearly all in the crowd. k-means: spread over the crowd, the group, and a stray here and there. k-center: the strays and the rim first, and few points for the dense
# middle.
#
# **The article's pipeline** puts the pieces together, for one task among many: k-means over the examples of *all* tasks; the cluster that the task visits most; of the
# task, the example with the largest cosine to that cluster's centre; and k-center greedy from there, within the task.

# %% tags=["nbval-ignore-output"]
task = np.arange(50, 100)  # of section 5's texts those that ask for a feeling
found = coreset.task_coreset(vectors, task, 5, n_clusters=4)
assert set(found.chosen) <= set(task) and found.chosen[0] == found.task_centre
for j in range(4):
    mine = np.bincount(
        np.repeat(np.arange(4), 50)[found.clusters.labels == j], minlength=4
    )
    print(
        f"cluster {j}:",
        dict(zip(kinds, mine.tolist())),
        "<- the task's" * (j == found.cluster),
    )
for i in found.chosen:
    print("-", texts[i].rpartition("\n\n")[2].replace("\n", " "))

# %% [markdown]
# The clusters do not follow the kinds of question: the story is nine tenths of the tokens, and a mean over tokens is about the story. Look at what clusters are *about* before
# calling them tasks.
#
# (Of the paper's four tasks the article translates coreference resolution as 核心推理, "core reasoning", and word sense *disambiguation* as 词义歧义, "ambiguity": SFT-014.)
#
# ## 8 What did this example do? (11 min)
#
# Choosing by place asks what an example *looks like*. One can also ask what it *does*. The clean question: train without example i; how does the loss on what
# I care about change? That costs one training for each example. Two short cuts:
#
# **Influence functions** (影响函数; Koh and Liang 2017). Give example i the weight $w_i$ in the training loss. At its lowest point the gradient vanishes; differentiate that by $w_i$:
#
# $$\frac{d\theta}{dw_i} = -\frac1N H^{-1}g_i \quad\Longrightarrow\quad
# \text{loss without } i - \text{loss with } i \;\approx\; \frac1N\, g_{\text{target}}^\top H^{-1} g_i ,$$
#
# with $H$ the matrix of second derivatives. We check it where "train again" has one answer: logistic regression, 80 examples.


# %%
def clouds(n, seed, wrong=()):
    dice = np.random.default_rng(seed)
    x = np.concatenate([dice.normal(size=(n, 3)), np.ones((n, 1))], axis=1)
    s = np.where(x @ [2.0, -1.0, 0.5, 0.3] + dice.normal(size=n) > 0, 1, -1)
    s[list(wrong)] *= -1
    return Logistic(x, s, l2=0.05)


# %%
problem, target = clouds(80, 1), clouds(200, 2)
theta = problem.fit()
aim = target.gradients(theta).mean(axis=0)
predicted = influence.influence_of_removal(
    problem.hessian(theta), problem.gradients(theta), aim
)
true = influence.changes_by_retraining(problem, target)  # eighty trainings
first = influence.gradient_scores(problem.gradients(theta), aim[None], "dot")

# %% tags=["label-influence"]
fig, axes = plt.subplots(1, 2, figsize=(6.8, 2.9), layout="constrained")
for ax, guess, name in zip(
    axes, (predicted, first), ("one Hessian", "two gradients")
):
    ax.plot(1000 * guess, 1000 * true, "o", ms=3)
    ax.set(
        xlabel=f"predicted with {name}",
        title=f"r = {np.corrcoef(guess, true)[0, 1]:.3f}",
    )
    ax.axhline(0, color="k", lw=0.5)
ends = 1000 * np.array([predicted.min(), predicted.max()])
axes[0].plot(ends, ends, "k--", lw=0.8)
axes[0].set_ylabel("true change, 1/1000 nats")
alt = "True change of the target's loss against the predicted one: on a line with "
alt += "the Hessian, roughly along a line with gradients only."
show(fig, alt=alt)

# %%
assert np.corrcoef(predicted, true)[0, 1] > 0.98
assert np.corrcoef(first, true)[0, 1] < np.corrcoef(predicted, true)[0, 1]

# %% [markdown]
# **What you should see.** Left: the points lie along the dashed line of equality. Right: the order is roughly kept, the scale is lost.
#
# **The second short cut** drops $H$: $g_i\cdot g_{\text{target}}$ is the gain of the target from one small step on example i (TracIn). The Hessian of a language model is
# far too large to invert; there one approximates it (Grosse et al. 2023) or does without it. LESS (Xia et al. 2024) keeps a short random sketch of each gradient, and brings it to length 1: the loss of an example
# is a *mean* over its tokens, so short answers have long gradients, and a plain dot product would choose by length.
#
# Wrong labels are found, too. Three of the clearest examples are turned round:

# %%
clear = np.argsort(-np.abs(problem.x @ theta))[:3]
spoiled_problem = clouds(80, 1, wrong=clear)
t = spoiled_problem.fit()
told = influence.influence_of_removal(
    spoiled_problem.hessian(t),
    spoiled_problem.gradients(t),
    target.gradients(t).mean(axis=0),
)
ranks = np.argsort(np.argsort(told))[clear] + 1
print("ranks of the three wrong ones, most harmful first:", *sorted(ranks.tolist()))
assert max(ranks) <= 8

# %% [markdown]
# ## 9 Eight ways to choose forty (6 min)
#
# A pool as real pools are: 2 000 questions, four fifths and more about two of the relations, one in a hundred about the rarest, a fifth of the answers wrong. Choose forty. The exam asks for
# all four relations alike, about other people, in other words. All runs take equal steps.
#
# **Predict.** *easiest* and *hardest* go by the loss of the model before tuning, which has read the town. Which of them collects the wrong answers?

# %% tags=["label-eight"]
choosing = read_results("choosing_examples")
print(
    f"{'right':>17}{'wrong':>23}{'kinds':>6}{'words':>7}{'largest':>9}{'mean':>7}"
)
for arm in (
    "random",
    "shortest",
    "longest",
    "easiest",
    "hardest",
    "kmeans",
    "k_center",
    "influence",
    "all",
):
    r = choosing.mean(arm, "right")
    seen = [
        choosing.mean(arm, k).value
        for k in ("wrong chosen", "groups", "tokens", "largest", "mean")
    ]
    print(
        f"{arm:11}{r.value:6.1%} {f'[{r.low:.1%}, {r.high:.1%}]':16}"
        f"{seen[0]:6.0%}{seen[1]:6.1f}{seen[2]:7.1f}{seen[3]:9.2f}{seen[4]:7.2f}"
    )

# %%
for arm in choosing.measured:
    if arm != "random" and not arm.startswith("task"):
        d = choosing.difference(arm, "random", "right")
        print(f"{arm:11} minus random:", d)
        assert d.low < 0  # none beats chance
        assert d.high < 0 or arm not in ("easiest", "hardest", "influence")

# %% [markdown]
# **What you should see.** None beats the random forty; k-means equals it. The *easiest* hold hardly a wrong answer and are the worst of all: they are what the model would say anyway, of two kinds on average.
# Influence, too, avoids wrong answers, and loses: it never asks whether its forty say different things. k-center does see all four kinds, but it goes to the rim, which here means short questions (and a mean distance worse than
# chance), and does as badly as the shortest. *All* 2 000, of which half are read in equal steps, is no better than forty.
#
# **The 0.5 per cent.** Chen et al. report that 0.5 % of P3, chosen so, beats all data of the task (NLI) by 2 points, for one 1.3-billion model. Ours: 10 of 2 000 by the
# article's pipeline, against all 920 of the task, and against ten random ones.

# %%
d = choosing.difference("task_coreset", "task_all", "right task")
print("10 by the pipeline minus all 920:", d)
claim("SFT-012", d.value, d)
print(
    "10 by the pipeline minus 10 random:",
    choosing.difference("task_coreset", "task_random", "right task"),
)

# %% [markdown]
# In the town ten are not enough, and the ten random ones, the control that a claim about a *method* needs, do better than the chosen. (With all 920 a fifth of the answers is wrong, and the
# exam still goes well: quantity averages errors out.) So the sentence holds for a task, a model and a choice; it is no law.
#
# ## Common mistakes
#
# | mistake | what you see |
# |---|---|
# | more data and more steps are changed together | "data helps", and it was the training |
# | no random choice of equal size as control | every method looks clever |
# | wrong answers counted as diversity | the farthest points are the broken ones |
# | dot product of gradients without lengths | the shortest answers are "most influential" |
# | test people or test wordings among the training ones | everything is 100 % |
# | checkpoint chosen by the loss on other answers than those wanted | the careful model wins over the right one |
# | padding averaged into the vector | examples are grouped by length |
#
# ## Homework (45 min, after the lesson)
#
# ### Exercise 1 · One step of k-means (7 min, ★☆☆)
#
# `x` is (N, D), `centres` (K, D). Return the new centres: each the mean of the points that are nearest to it, a tie going to the lower
# number. A centre without points **stays where it is** (the package moves it; here it must not).
#
# <details><summary>Hint 1</summary>((x[:, None] - centres) ** 2).sum(-1) is (N, K).</details>
# <details><summary>Hint 2</summary>argmin takes the first of equal ones. Copy centres before you write into it.</details>


# %% tags=["exercise"]
def move_centres(x, centres):
    # BEGIN SOLUTION
    labels = ((x[:, None] - centres) ** 2).sum(-1).argmin(axis=1)
    new = centres.copy()
    for j in range(len(centres)):
        if (labels == j).any():
            new[j] = x[labels == j].mean(axis=0)
    return new
    # END SOLUTION


# %% tags=["check"]
def moved(x, centres):
    near = diversity.squared_distances(x, centres).argmin(axis=1)
    return np.array(
        [
            x[near == j].mean(axis=0) if (near == j).any() else c
            for j, c in enumerate(centres)
        ]
    )


dice = np.random.default_rng(1)
cases = [(dice.normal(size=(20, 2)), dice.normal(size=(3, 2)))]
cases += [(np.array([[0.0], [1.0], [4.0]]), np.array([[0.0], [99.0], [2.0]]))]
cases += [
    (np.array([[1.0], [3.0]]), np.array([[0.0], [2.0]]))
]  # 1 is as near to 0 as to 2
check(move_centres, moved, cases)

# %% [markdown]
# ### Exercise 2 · Farthest first, from any distance (8 min, ★★☆)
#
# Not every distance comes from vectors: 1 − ROUGE-L (lesson 29) is one between texts. `d` is an (N, N) matrix of distances. Return the list
# of k numbers that greedy chooses, starting from `first`; of equally far ones the lowest number; none twice, not even if all distances are 0.
#
# <details><summary>Hint 1</summary>Keep nearest[i], the distance of i to the nearest chosen one; after each choice c: np.minimum(nearest, d[c]).</details>
# <details><summary>Hint 2</summary>Set nearest of a chosen one to −1, so that argmax never takes it again.</details>


# %% tags=["exercise"]
def farthest_first(d, k, first):
    # BEGIN SOLUTION
    chosen, nearest = [first], d[first].copy()
    nearest[first] = -1
    while len(chosen) < k:
        c = int(nearest.argmax())
        chosen.append(c)
        nearest = np.minimum(nearest, d[c])
        nearest[c] = -1
    return chosen
    # END SOLUTION


# %% tags=["check"]
def by_definition(d, k, first):
    chosen = [first]
    while len(chosen) < k:
        left = [i for i in range(len(d)) if i not in chosen]
        chosen.append(max(left, key=lambda i: (min(d[c, i] for c in chosen), -i)))
    return chosen


dice = np.random.default_rng(2)
spots = dice.normal(size=(15, 3))
spread = np.sqrt(diversity.squared_distances(spots, spots))
steps_apart = np.abs(np.subtract.outer(np.arange(6), np.arange(6))).astype(float)
cases = [
    (spread, 6, 3),
    (steps_apart, 4, 2),
    (np.zeros((4, 4)), 4, 1),
    (spread, 1, 0),
    (spread, 15, 14),
]
check(farthest_first, by_definition, cases)

# %% [markdown]
# ### Exercise 3 · Leaving out without retraining, exactly (10 min, ★★★)
#
# For ridge regression, $\min_\theta \sum_i (y_i-x_i\theta)^2+\lambda|\theta|^2$, the prediction for $x_i$ by the model trained *without* i is known exactly:
#
# $$y_i - x_i\theta_{-i} = \frac{y_i-x_i\theta}{1-h_i},\qquad h_i = x_i\,(X^\top X+\lambda I)^{-1}x_i^\top .$$
#
# Return these N differences, (N,), with one solution of one system. The check trains N times.
#
# <details><summary>Hint 1</summary>A = X.T @ X + lam * np.eye(D); theta = solve(A, X.T @ y).</details>
# <details><summary>Hint 2</summary>All h at once: (X * np.linalg.solve(A, X.T).T).sum(axis=1).</details>


# %% tags=["exercise"]
def left_out_errors(X, y, lam):
    # BEGIN SOLUTION
    A = X.T @ X + lam * np.eye(X.shape[1])
    back = np.linalg.solve(A, X.T)  # (D, N)
    h = (X * back.T).sum(axis=1)
    return (y - X @ (back @ y)) / (1 - h)
    # END SOLUTION


# %% tags=["check"]
def by_training_again(X, y, lam):
    errors = np.zeros(len(y))
    for i in range(len(y)):
        x, t = np.delete(X, i, axis=0), np.delete(y, i)
        theta = np.linalg.solve(x.T @ x + lam * np.eye(X.shape[1]), x.T @ t)
        errors[i] = y[i] - X[i] @ theta
    return errors


dice = np.random.default_rng(3)
cases = [
    (dice.normal(size=(n, 3)), dice.normal(size=n), lam)
    for n, lam in ((12, 0.5), (4, 2.0), (30, 1e-3))
]
check(left_out_errors, by_training_again, cases)

# %% [markdown]
# ### Exercise 4 · Quality by asking twice (8 min, ★★☆)
#
# `pairs` is a list of (question, answer), the same question perhaps several times, some answers wrong. Return the list of (question, answer) with each question once, in the order of
# first appearance, with its **most frequent** answer. A question whose two most frequent answers are equally frequent is left out: nobody knows.
#
# <details><summary>Hint 1</summary>collections.Counter(answers).most_common(2).</details>
# <details><summary>Hint 2</summary>A dict keeps the order in which its keys came.</details>


# %% tags=["exercise"]
def by_majority(pairs):
    # BEGIN SOLUTION
    votes = {}
    for question, answer in pairs:
        counts = votes.setdefault(question, {})
        counts[answer] = counts.get(answer, 0) + 1
    kept = []
    for question, counts in votes.items():
        most = max(counts.values())
        best = [answer for answer, n in counts.items() if n == most]
        if len(best) == 1:
            kept.append((question, best[0]))
    return kept
    # END SOLUTION


# %% tags=["check"]
def counted(pairs):
    kept = []
    for question in dict.fromkeys(q for q, _ in pairs):
        given = [a for q, a in pairs if q == question]
        ranked = sorted(set(given), key=given.count)
        if len(ranked) == 1 or given.count(ranked[-1]) > given.count(ranked[-2]):
            kept.append((question, ranked[-1]))
    return kept


cases = [
    ([("q", "a"), ("r", "b"), ("q", "c"), ("q", "a")],),
    ([("q", "a"), ("q", "b")],),
    ([],),
]
cases += [
    ([("z", "1"), ("a", "1"), ("z", "2"), ("z", "2"), ("z", "2"), ("a", "1")],)
]
cases += [
    ([("q", "a"), ("q", "b"), ("q", "b"), ("q", "c"), ("q", "c"), ("q", "c")],)
]
check(by_majority, counted, cases)

# %% [markdown]
# ### Exercise 5 · What early stopping gives up (7 min, ★★☆)
#
# Training stops as soon as the loss has not gone below its best for `patience` looks in a row; the checkpoint of the lowest loss so far (the earliest of equal ones) is kept. If that never
# happens, training goes to the end. Return the quality of the best of *all* looks minus that of the one kept.
#
# <details><summary>Hint 1</summary>Walk through the losses; remember the place of the lowest, and stop when i − place reaches patience.</details>
# <details><summary>Hint 2</summary>"Below": an equal loss is not an improvement.</details>


# %% tags=["exercise"]
def given_up(losses, quality, patience):
    # BEGIN SOLUTION
    kept = 0
    for i, loss in enumerate(losses):
        if loss < losses[kept]:
            kept = i
        if i - kept >= patience:
            break
    return max(quality) - quality[kept]
    # END SOLUTION


# %% tags=["check"]
def stopped(losses, quality, patience):
    end = len(losses)
    for i in range(len(losses)):
        if i >= patience and min(losses[i - patience + 1 : i + 1]) >= min(
            losses[: i - patience + 1]
        ):
            end = i + 1
            break
    return max(quality) - quality[losses.index(min(losses[:end]))]


cases = [([3.0, 2.0, 1.0, 1.5, 1.8, 0.5], [0.1, 0.3, 0.4, 0.6, 0.7, 0.9], 2)]
cases += [([3.0, 2.0, 1.0, 1.5, 0.8, 0.9], [0.1, 0.3, 0.4, 0.6, 0.7, 0.9], 2)]
cases += [
    ([1.0, 1.0, 1.0], [0.1, 0.2, 0.3], 1),
    ([3.0, 2.0, 1.0], [0.3, 0.2, 0.1], 1),
    ([1.0], [0.5], 3),
]
cases += [([2.0, 1.0, 1.0, 1.0, 0.5], [0.1, 0.3, 0.5, 0.6, 0.8], 2)]
check(given_up, stopped, cases)

# %% [markdown]
# ## At scale
#
# | work | model | choice | said result |
# |---|---|---|---|
# | LIMA (2023) | LLaMA 65 B | 1 000 by hand | equal to or preferred over GPT-4 in 43 % of 300 prompts, by people |
# | Chen et al. (2023) | Galactica 1.3 B | 0.5 % of P3, k-center | + 2 points on NLI over all data of the task |
# | Llama 2 (2023) | 7 to 70 B | 27 540 annotations | better than millions of third-party examples |
# | Zhao et al. (2024) | 7 and 13 B | the 1 000 *longest* answers | better than LIMA's thousand and AlpaGasus', judged by GPT-4 and PaLM 2 |
# | LESS (2024) | 7 to 13 B | 5 % by gradients | often better than all data |
# | Chinese-LLaMA-Alpaca Plus (2023) | LLaMA 7 and 13 B | 120 GB of plain Chinese text first | knowledge before instructions |
# | BELLE (2023) | LLaMA 7 B | 0.5 M cleaned of 2.3 M | compares vocabulary, quality and language mix |
#
# BELLE keeps 22 % of its examples; ask first how the rest was found wanting.
#
# What the small world cannot show: nearly all numbers above are preferences of people or of a model, and these reward length and tone as well as rightness (lesson 37).
#
# ## Recap
#
# - Form comes from a few examples, rightness from what was read before; more examples teach the way from the question to it.
# - LIMA's listed parts sum to 1 050; fifty were a development set.
# - Vary one thing at equal steps: quality, diversity, quantity. Keep a random choice beside every method.
# - Held-out loss is not the share of right answers. Here it was a good guide, in LIMA's runs a bad one: measure it.
# - None of seven clever choices beat a random one here.
# - k-center greedy is within twice the best *largest* distance, and may be worse than chance on average.
# - Influence: exact by retraining, good by one Hessian, roughly by two gradients.
#
# ## Questions
#
# 1. A model is tuned on 1 000 examples and knows more facts than before. Does that refute the hypothesis?
# <details><summary>Answer</summary>No. It says that most of what it can tell afterwards it knew before; facts in the examples are learned, too.</details>
#
# 2. Why must the comparison of 400 and 2 000 examples take equal steps?
# <details><summary>Answer</summary>Otherwise the larger set also means more training, and the two effects cannot be told apart.</details>
#
# 3. Loss on held-out answers rises, the share of right answers too. How?
# <details><summary>Answer</summary>The model becomes surer. Where it is wrong, the loss grows without bound; greedy decoding looks only at what is largest.</details>
#
# 4. Why does the proof of the factor 2 need the triangle inequality?
# <details><summary>Answer</summary>Two points with the same centre are at most twice the best distance apart only because the way through the centre is not shorter than the direct one.</details>
#
# 5. "Our method reaches the accuracy of all data with 1 %." What do you ask first?
# <details><summary>Answer</summary>What does a random 1 % reach, over several seeds?</details>
#
# 6. Which of the eight ways find wrong answers, and which collect them?
# <details><summary>Answer</summary>The easiest and influence avoid them, the hardest collect them; the others do not look. Clean is not enough: the two clean choices lost to a random one.</details>
#
# ## Sources
#
# - Zhou et al. 2023, *LIMA: Less Is More for Alignment*, [arXiv:2305.11206](https://arxiv.org/abs/2305.11206): sections 2 and 5, table 1, appendix B.
# - Chen et al. 2023, *Maybe Only 0.5% Data Is Needed*, [arXiv:2305.09246](https://arxiv.org/abs/2305.09246): the pipeline of section 7.
# - Gonzalez 1985, *Clustering to minimize the maximum intercluster distance*: the greedy algorithm and its factor.
# - Sener and Savarese 2018, [arXiv:1708.00489](https://arxiv.org/abs/1708.00489): k-center as the choice of a training set.
# - Arthur and Vassilvitskii 2007, *k-means++*: where to begin.
# - Koh and Liang 2017, [arXiv:1703.04730](https://arxiv.org/abs/1703.04730): influence functions for deep models.
# - Pruthi et al. 2020 (TracIn), [arXiv:2002.08484](https://arxiv.org/abs/2002.08484), and Xia et al. 2024 (LESS),
#   [arXiv:2402.04333](https://arxiv.org/abs/2402.04333): gradients instead of Hessians.
# - Grosse et al. 2023, [arXiv:2308.03296](https://arxiv.org/abs/2308.03296): influence functions for language models, with an approximate Hessian.
# - Zhao et al. 2024, *Long Is More for Alignment*, [arXiv:2402.04833](https://arxiv.org/abs/2402.04833): length as a baseline.
# - Touvron et al. 2023, [arXiv:2302.13971](https://arxiv.org/abs/2302.13971), section 4 (LLaMA-I), and [arXiv:2307.09288](https://arxiv.org/abs/2307.09288), section 3.1.
# - Köpf et al. 2023, *OpenAssistant Conversations*, [arXiv:2304.07327](https://arxiv.org/abs/2304.07327).
# - Peng et al. 2023, *Instruction Tuning with GPT-4*, [arXiv:2304.03277](https://arxiv.org/abs/2304.03277).
#
# ## Next
#
# [31 LoRA](31_lora.ipynb): the examples are chosen. Now train only a thousandth of the model on them.

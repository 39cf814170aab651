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
# # 21 Stability: why does a loss explode, and what do you do at three in the morning?
#
# 75 min · CPU · 35 s · 1 GB · needs [09 Attention](09_attention.ipynb), [20a AdamW](20a_adamw.ipynb) · code: `minillm/train/formats.py`,
# `loss_scaling.py`, `master_weights.py`, `spikes.py`, `rewind.py`, `recovery.py`
#
# A large run takes weeks, and somewhere in it the loss jumps. There are two families of causes. Either the *numbers* were too
# small for what they had to hold, or the *update* was too large for the weights that it met. This lesson takes both apart.
#
# After this lesson you can
#
# 1. write a number as bits in five formats, and say where each overflows and what it loses;
# 2. make a model overflow and underflow on purpose, and repair it: loss scaling, master weights;
# 3. build a monitor that calls a loss spike, and say what it can see coming and what not;
# 4. let a run go back and skip data by itself, and compare that with other remedies over seeds;
# 5. go from a strange loss curve to the likely bug.

# %% tags=["setup"]
import copy
import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional as F

from minillm.data import BatchSampler
from minillm.data.storyworld.quiz import make_quiz_corpus
from minillm.evaluate import paired_difference
from minillm.lesson import check, claim, setup, show
from minillm.recipes import base
from minillm.recipes.records import read_results
from minillm.recipes.spike_parts import PoisonedBatches
from minillm.recipes.studies import embedding_norm_rates as rates
from minillm.recipes.studies import spike_remedies as study
from minillm.train import NotFiniteError, OptimizerConfig
from minillm.train import RecoveryConfig, TrainConfig, train
from minillm.train import formats, master_weights
from minillm.train.formats import BFLOAT16, E4M3, E5M2, FLOAT16, FLOAT32
from minillm.train.gradient_shrink import shrink_exactly, shrink_gradient
from minillm.train.loss_scaling import LossScaler, ScalerConfig
from minillm.train.rewind import RewindConfig
from minillm.train.spikes import SpikeConfig, SpikeMonitor

setup(seed=21)
f64 = torch.float64

# %% [markdown]
# ## 1 A number to the bit (12 min)
#
# A computer stores a **floating-point number** (浮点数) as scientific notation in base two: a sign bit, a whole number $e$ for the exponent, and $M$ binary
# digits $m$ behind the point, the **mantissa** (尾数):
#
# $$(-1)^{\text{sign}}\cdot 2^{\,e-\text{bias}}\cdot\Bigl(1+\frac{m}{2^M}\Bigr).$$
#
# The 1 before the point is not stored, since it is always there. The bias, a constant of the format, makes negative exponents possible. Exponent bits decide the *range*,
# mantissa bits decide how *fine* the numbers lie. With 16 bits one can have much of the one or much of the other: float16 took the digits, bfloat16 the
# range. Two formats of 8 bits are named by their parts: E4M3 has four exponent bits and three of mantissa, E5M2 five and two.


# %% tags=["label-bits"]
def show_bits(x, fmt):
    pattern = f"{formats.encode(x, fmt):0{fmt.bits}b}"
    cut = 1 + fmt.exponent_bits
    return f"{pattern[0]} {pattern[1:cut]} {pattern[cut:]}"


for fmt in (FLOAT32, FLOAT16, BFLOAT16, E4M3, E5M2):
    print(f"{fmt.name:14} {show_bits(5.5, fmt)}")

# %% [markdown]
# In each line: sign, exponent, mantissa. By hand: $5.5 = 101.1_2 = 1.011_2\cdot 2^2$. The mantissa begins with `011` in every line, except in E5M2, which has two digits: there
# 5.5 lies in the middle between 5 and 6, and goes to the one whose last bit is 0. **Round half to even** (四舍六入五成双) makes
# such errors cancel in the long run.
#
# Where the exponent field is all zeros, the hidden 1 is gone: **subnormal numbers** (非规格化数) fill the gap down to zero with
# fewer and fewer digits. All ones means infinity or *not a number*. (E4M3 has no infinity, and uses those patterns for
# numbers, all but one.)
#
# **Predict, then run.** What is the largest finite number of float16: all mantissa bits 1, exponent 15?
#
# <details><summary>Answer</summary>2¹⁵ · (2 − 2⁻¹⁰) = 65 536 − 32 = 65 504.</details>

# %% tags=["label-formats"]
print("format          largest     smallest   gap at 1")
for f in (FLOAT32, FLOAT16, BFLOAT16, E4M3, E5M2):
    print(f"{f.name:14}{f.largest:10.4g}{f.smallest:12.1e}{f.eps:11.1e}")

# %%
for f in (FLOAT32, FLOAT16, BFLOAT16, E4M3, E5M2):  # torch agrees
    info = torch.finfo(getattr(torch, f.name))
    assert (f.largest, f.smallest_normal, f.eps) == (
        info.max,
        info.smallest_normal,
        info.eps,
    )
assert FLOAT16.largest == 65504 == 2.0**15 * (2 - 2.0**-10)

# %% [markdown]
# ### From where on is it infinity?
#
# The article that we follow says that float16 overflows when a number exceeds 65 506. We halve an interval between a number that stays
# finite and one that does not, until it cannot be halved any more.

# %%
low, high = 60_000.0, 80_000.0
while math.nextafter(low, high) < high:
    middle = (low + high) / 2
    with np.errstate(over="ignore"):  # overflow is what we are looking for
        finite = np.isfinite(np.float64(middle).astype(np.float16))
    low, high = (middle, high) if finite else (low, middle)
assert high == FLOAT16.overflow
print(f"{low} still rounds down, from {high} on it is infinity")
claim("PRE-001", high)

# %% [markdown]
# The largest number is 65 504, the next one would be 65 536, and everything below the middle, 65 520, rounds down. So 65 506 *is* 65 504: the
# article's number is neither the largest, nor the threshold.

# %%
assert torch.tensor(65506.0).half() == 65504
assert torch.tensor(65520.0).half().isinf()

# %% [markdown]
# ### What bfloat16 pays for its range
#
# **bfloat16** keeps float32's eight exponent bits and cuts the mantissa to seven. So its numbers lie eight times further apart than those of
# float16. **Predict, then run.** What is 256 + 1 in bfloat16?
#
# <details><summary>Answer</summary>256. From 256 to 512 the numbers lie 2 apart; 257 is in the middle, and goes to the even side.</details>

# %%
total = torch.tensor(256.0, dtype=torch.bfloat16)
for _ in range(1000):
    total = total + 1
assert total == 256 and formats.spacing(256.0, BFLOAT16) == 2
print("256, and a thousand times 1 added to it, is", total.item())

# %% [markdown]
# "bfloat16 avoids overflow", writes the article. Its range *is like* that of float32, but ends a little earlier, as its last
# digits are coarser:

# %%
top = torch.tensor(FLOAT32.largest)
claim("PRE-002", bool(top.to(torch.bfloat16).isfinite()))
print(f"largest float32 {top:.6e}, as bfloat16: {top.to(torch.bfloat16)}")

# %% [markdown]
# Nobody trains at $3\cdot10^{38}$, so for practice the sentence is right; as a statement about numbers it is not, and the price is missing.

# %% tags=["label-gaps"]
x = torch.logspace(-9, 6, 1500, base=10, dtype=f64)
fig, ax = plt.subplots(figsize=(6.6, 3.0), layout="constrained")
styles = dict(zip(formats.FORMATS.values(), ("-", "-", "--", "-.", ":")))
for f, style in styles.items():
    inside = x[(x <= f.largest) & (x >= f.smallest)]
    gap = [formats.spacing(v, f) / v for v in inside.tolist()]
    ax.loglog(inside, gap, style, label=f.name)
ax.set(xlabel="number", ylabel="gap to the next, as a share")
ax.legend(fontsize=9, ncols=2, loc=(0.38, 0.22))
alt = "Relative gap between neighbours against the number. Each format is a "
alt += "flat saw, lower for more mantissa "
alt += "bits, that rises to the left where numbers become subnormal, and ends "
alt += "at its largest number."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Flat saws: relative precision is the same at every size. To the left of its
# smallest normal number each line climbs until nothing is left; float16 does so from $6\cdot10^{-5}$ on, where many gradients live. bfloat16 and
# float32 run on far outside the picture on both sides.
#
# ## 2 Eight bits (6 min)
#
# Newer GPUs multiply **float8** (八位浮点): E4M3 (up to 448) for weights and activations, E5M2 (up to 57 344) for gradients. The
# article says that FP8 joins the stability of fp16 with the speed of int8. Speed we cannot see here. But products we can
# emulate: round both factors, multiply, and add up exactly.


# %%
def product_error(fmt, spread, seed, scaled):
    rng = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 96, 96, generator=rng, dtype=f64) * spread
    sa, sb = [z.abs().max() / fmt.largest if scaled else 1.0 for z in (a, b)]
    c = formats.round_to(a / sa, fmt) @ formats.round_to(b / sb, fmt) * sa * sb
    return ((c - a @ b).norm() / (a @ b).norm()).item()


# %% tags=["label-fp8"]
spreads = (1e-4, 1e-2, 1.0, 1e2, 1e4)
print(f"{'spread of the factors':24}", *(f"{s:>8g}" for s in spreads))
for f in (FLOAT16, BFLOAT16, E4M3, E5M2):
    for scaled in (False, True)[: 1 + (f.bits == 8)]:
        errors = [product_error(f, s, 0, scaled) for s in spreads]
        name = f.name + (", scaled" if scaled else "")
        print(f"{name:24}", *(f"{e:8.4f}" for e in errors))

# %%
ratios = [
    product_error(E4M3, 1.0, s, True) / product_error(FLOAT16, 1.0, s, False)
    for s in range(5)
]
claim("PRE-004", np.mean(ratios), (min(ratios), max(ratios)))
assert min(ratios) > 90 and max(ratios) < 180

# %% [markdown]
# Without a scale E4M3 loses *everything* at $10^{-4}$ (an error of 1: the product is 0) and gives not-a-number at $10^4$. With one scale for each matrix
# (divide by the largest entry, times 448) it works at every size, with an error of four per cent. That is some $2^7$ times float16's, as it must be: E4M3
# has 3 mantissa bits, float16 has 10, and each bit is a factor of two. So FP8 is usable *with scaling*; "as stable as fp16" (our rule: at most twice the error) it is not.
#
# ## 3 Overflow and underflow, made to happen (9 min)
#
# **Overflow** (上溢): attention. A score is a sum of $H$ products. Suppose that queries and keys have grown to entries of 30. (In GLM-130B scores did grow
# beyond the range of float16.)

# %%
H = 128
q = k = torch.full((1, H), 30.0)
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    score = (q.to(dtype) @ k.to(dtype).T) / H**0.5
    weights = torch.softmax(torch.cat([score, score], dim=-1), dim=-1)
    print(f"{dtype!s:15} score {score.item():8.0f}  weights {weights[0].tolist()}")

# %% [markdown]
# $30\cdot30\cdot128 = 115\,200$ is infinity in float16; and in the softmax infinity minus infinity is not a number. From there it spreads through all weights
# within one step. Dividing *before* the product would have helped; the score itself is only 10 182.

# %%
H_root = H**0.25
score = (q.half() / H_root) @ (k.half() / H_root).T
assert score.isfinite().all() and abs(score.item() / 10182.3 - 1) < 1e-3

# %% [markdown]
# **Underflow** (下溢) is quieter. Gradients of a mean over thousands of tokens are small. We take the course's model *tiny*, compute the gradient of the same batch in
# three formats, and count the entries that are not 0 in float32, and are 0 here. (The loss itself is computed in float32, as everywhere.)


# %%
model, tokenizer = base("tiny")
stories = make_quiz_corpus(21, 60, "en", 3, ("feeling", "who_did"))
ids = torch.tensor([i for text in stories for i in tokenizer.encode(text)])
T = 64
rows = ids[: len(ids) // (T + 1) * (T + 1)].view(-1, T + 1)


def gradient(dtype, rows, scale=1.0):
    """All gradients of a copy of the model in a format, in one row, unscaled."""
    m = copy.deepcopy(model).to(dtype)
    logits = m(rows[:, :-1]).float().flatten(0, 1)
    (scale * F.cross_entropy(logits, rows[:, 1:].flatten())).backward()
    return torch.cat([p.grad.float().flatten() for p in m.parameters()]) / scale


def lost(got, true):
    return ((got == 0) & (true != 0)).sum().item() / (true != 0).sum().item()


# %%
batches = [rows[8 * i : 8 * i + 8] for i in range(5)]
true = [gradient(torch.float32, b) for b in batches]
in_half = [lost(gradient(torch.float16, b), t) for b, t in zip(batches, true)]
in_brain = [lost(gradient(torch.bfloat16, b), t) for b, t in zip(batches, true)]

# %% tags=["nbval-ignore-output", "label-underflow"]
print(f"entries lost in float16  {np.mean(in_half):.2%}")
print(f"entries lost in bfloat16 {np.mean(in_brain):.4%}")

# %%
d = paired_difference(in_half, in_brain)
claim("STA-003", d.value, d)
assert min(in_half) > 0.01 and max(in_brain) < 1e-3

# %% [markdown]
# That is a cause of trouble, not yet the trouble: runs that break in float16 and not in bfloat16 are BLOOM's experience at 104B, out of reach at this size.
#
# ## 4 Loss scaling by hand (7 min)
#
# The upper half of float16's range is empty while the lower half overflows with zeros. So lift everything: multiply the loss by $S$; by the chain rule every
# gradient is multiplied by $S$; divide again in float32, before the optimizer sees it. This is **loss scaling** (损失缩放).
#
# **Predict.** Which $S$ is too small, which too large?

# %% tags=["nbval-ignore-output", "label-scales"]
batch = batches[0][:2]  # two rows, for speed
exact = gradient(torch.float32, batch)
table = []
for power in range(0, 25, 3):
    g = gradient(torch.float16, batch, 2.0**power)
    fine = bool(g.isfinite().all())
    table.append((power, lost(g, exact), fine))
    print(f"2^{power:<3} lost {table[-1][1]:8.4%}  {'' if fine else 'OVERFLOW'}")

good = [p for p, share, fine in table if fine and share < 1e-3]
assert table[0][1] > 1e-3 and good and not table[-1][2]

# %% [markdown]
# A wide range of scales works, and both ends fail. The range moves as gradients shrink. **Dynamic loss scaling** finds $S$ by trial: start too high; at an overflow leave the step out and halve $S$; after many
# good steps double it. Skipping a step is not a failure, but the way $S$ is found. Here with a patience of 4 instead of 2 000:

# %% tags=["nbval-ignore-output", "label-scaler"]
scaler = LossScaler(ScalerConfig(start=2.0**20, patience=4))
path = []
for i in range(12):
    scaled = gradient(torch.float16, batches[i % 5][:2], scaler.state.scale)
    p = torch.nn.Parameter(torch.zeros(1))
    p.grad = torch.full((1,), 0.0 if scaled.isfinite().all() else math.inf)
    scaler.unscale([p])
    scaler.update()
    path.append(math.log2(scaler.state.scale))
print("log2 of the scale:", *(f"{x:g}" for x in path))
print("steps left out:", scaler.n_skipped)

assert min(path) < 20 and scaler.n_skipped >= 1
assert any(b == a + 1 for a, b in itertools.pairwise(path))  # it grows again

# %% [markdown]
# A scale that falls and falls is a fever thermometer: something in the model really overflows. OPT-175B's authors saw it fall to zero when their loss
# diverged, and chose checkpoints to go back to by a scale that was still healthy (section 2.5 of their paper). With bfloat16 no scale is needed.
#
# ## 5 Master weights, and what mixed precision really saves (7 min)
#
# A weight of 1 moves by $\eta=10^{-3}$. In bfloat16 the next number above 1 is $1.0078$, and half a gap is not reached: the step is lost, *every* step is lost.
# Smaller weights have smaller gaps; which share of normally distributed weights moves at all?

# %% tags=["label-masters"]
weights = [torch.randn(4000).to(torch.bfloat16)]
for rate in (1e-2, 1e-3, 1e-4, 1e-5):
    step = rate * torch.randn(4000).sign()
    after = [(weights[0].float() + step).to(torch.bfloat16)]
    share = master_weights.moved_share(weights, after)
    print(f"a step of {rate:g} moves {share:6.1%} of the weights")
    if rate == 1e-5:
        assert share < 0.02

# %% [markdown]
# So the optimizer keeps a float32 copy of each weight, the **master weights** (主权重), adds to it, and rounds the sum into the model. Small steps then add up until they
# show. Count the bytes that training keeps for each weight with AdamW:

# %% tags=["label-bytes"]
plain = master_weights.mixed_precision_bytes(compute=4, master=0)
mixed = master_weights.mixed_precision_bytes(compute=2, master=4)
print(f"float32: weight 4 + gradient 4 + m, v 8             = {plain}")
print(f"mixed:   weight 2 + gradient 2 + master 4 + m, v 8  = {mixed}")

# %%
net = torch.nn.Linear(100, 50).to(torch.bfloat16)
masters = master_weights.MasterWeights(net, lambda p: torch.optim.AdamW(p))
net(torch.ones(1, 100, dtype=torch.bfloat16)).sum().backward()
masters.gather()  # gradients to float32
masters.step(gathered=True)  # AdamW on the masters, rounded into net
held = list(net.parameters()) + [p.grad for p in net.parameters()]
held += masters.masters
for state in masters.optimizer.state.values():
    held += [state["exp_avg"], state["exp_avg_sq"]]
n = sum(p.numel() for p in net.parameters())
built = sum(t.numel() * t.element_size() for t in held) / n
assert built == mixed == 16
claim("PRE-003", bool(built < plain))

# %% [markdown]
# All this together is **mixed precision** (混合精度). *It reduces memory*, says the article. Of what the model keeps: no, 16 bytes a weight before and after. What is halved are the activations, the numbers that
# the forward pass keeps for the backward pass; and the products run on units that are several times as fast on a GPU.
#
# > **Taken on trust until lesson 22:** the activations are often the larger part.
#
# Who took which format, by their papers:
#
# | model | format | |
# |---|---|---|
# | OPT-175B | float16, loss scaling | Adam's means in float32 |
# | GLM-130B | float16 | masters and means in float32 |
# | BLOOM, trial runs | float16 | unstable at 104B |
# | BLOOM, final; Baichuan 2 | bfloat16 | |
#
# ## 6 A spike, provoked (11 min)
#
# Now the second family: the numbers are fine, the update is too large, and the loss jumps: a **loss spike** (损失尖峰). Real ones come unasked, after weeks. We make one: a small model reads prose, and
# five batches in the middle come from a broken file, in which every target is one byte value too high, as after a mistake in a tokenizer. Nothing is clipped. We judge by unseen text, every five steps.
#
# **Predict.** Five of 300 batches are bad. How long until the model is as good again?

# %% tags=["nbval-ignore-output", "label-spike"]
arms = {"nothing": {}, "clean": {"poison": 0}}
runs = {name: study.train_arm(arm, seed=0)[1] for name, arm in arms.items()}
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.8), layout="constrained")
for name, style in (("nothing", "-"), ("clean", "--")):
    left.plot(*zip(*study.curve(runs[name])[10:]), style, label=name)
    norms = [r["grad_norm"] for r in runs[name] if "grad_norm" in r]
    right.semilogy(range(1, len(norms) + 1), norms, style, label=name)
left.set(xlabel="step", ylabel="nats a byte, unseen text")
ticks = (0.2, 0.5, 1, 2)
right.set(xlabel="step", ylabel="gradient norm", yticks=ticks, yticklabels=ticks)
right.minorticks_off()
left.legend()
alt = "Left: loss on unseen text falls; at step 150 the poisoned run jumps up "
alt += "and comes back slowly, the clean one goes on. "
alt += "Right: the gradient norm of the poisoned run jumps to several times "
alt += "its size for the bad steps, and is below that of the clean run afterwards."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** A jump of the loss at once, and a way back that takes many times as long as the five bad steps. The gradient norm jumps in the
# first of them.

# %% tags=["nbval-ignore-output", "label-damage"]
found = study.measure(runs["nothing"])
passes = found["passes to recover"]
print(f"jump {found['jump']:.2f} bits, {passes:.0f} passes to recover")
assert found["jump"] > 0.1 and passes > 10

# %% [markdown]
# Why does it hurt so? Remember AdamW ([lesson 20a](20a_adamw.ipynb)): it divides a running mean $m$ of the gradient by the root of a running mean $v$ of its square. For a
# gradient that is noise, signs cancel in $m$; its spread is $\sqrt{(1-\beta_1)/(1+\beta_1)}$ of that of the gradient. So a usual step is about $0.23\,\eta$ long.
# Now let $k$ gradients $g$ come that all point the same way, and are far larger than those before:
#
# $$m=(1-\beta_1^k)\,g,\qquad v=(1-\beta_2^k)\,g^2,\qquad\text{step}=\frac{1-\beta_1^k}{\sqrt{1-\beta_2^k}}\;\eta.$$

# %% tags=["label-steps"]
b1, noise = 0.9, torch.zeros(20_000)
for _ in range(100):
    noise = b1 * noise + (1 - b1) * torch.randn(20_000)
assert abs(noise.std() - ((1 - b1) / (1 + b1)) ** 0.5) < 0.01
for b2 in (0.95, 0.999):
    m = v = 0.0
    steps = []
    for k in range(1, 6):
        m, v = b1 * m + (1 - b1), b2 * v + (1 - b2)  # g = 1
        steps.append(m / v**0.5)
        assert math.isclose(steps[-1], (1 - b1**k) / (1 - b2**k) ** 0.5)
    print(f"beta2 {b2:<5} steps of {', '.join(f'{x:.2f}' for x in steps)}")

# %% [markdown]
# With $\beta_2=0.95$ the fifth bad step is nearly four times a usual one; with $0.999$ it is 25 times as long, since $v$ has hardly noticed yet. And afterwards $v$ is too *large*
# for some $1/(1-\beta_2)$ steps, 20 or 1 000, and the run learns too slowly.
#
# ### A monitor
#
# What is *unusual*? Further from the **median** of the last steps than such distances usually are: the median absolute deviation (绝对中位差), in units that make it
# the standard deviation of a normal distribution. One wild value moves a mean, but not a median. What was flagged does not enter the window, or the
# spike would become the new normal. The gradient norm *warns*, the loss *decides*.

# %% tags=["nbval-ignore-output", "label-monitor"]
monitor = SpikeMonitor(SpikeConfig(window=40, least=20))
said = []
for record in runs["nothing"]:
    if "loss" in record:
        verdict = monitor.add(record["step"], record["loss"], record["grad_norm"])
        if verdict.kind != "calm" and record["step"] > 100:
            said.append(verdict)
print(*said[:3], sep="\n")

spike = next(v for v in said if v.kind == "spike")
assert spike.since == study.POISON_AT + 1

# %% [markdown]
# A broken file is not announced; the monitor sees it in the very step. What about a rate that is slowly becoming too high? We let it rise all the way (a warm-up as
# long as the run), and compare the first warning with the first spike.

# %% tags=["nbval-ignore-output", "label-coming"]
tokens, unseen = study.texts()
torch.manual_seed(0)
hot = study.make({}, 0)
log, verdicts, monitor = [], [], SpikeMonitor(SpikeConfig(window=40, least=20))
how = TrainConfig(
    steps=130, batch_size=8, context=64, warmup_steps=130, clip=math.inf,
    log_every=0, precision="float32",
)  # fmt: skip
train(
    hot, BatchSampler(tokens, 8, 64, seed=0), how,
    optimizer=OptimizerConfig(lr=1.5), log=log.append, progress=False,
)  # fmt: skip
for r in log:
    verdicts.append(monitor.add(r["step"], r["loss"], r["grad_norm"]))
unusual = [v for v in verdicts if v.kind != "calm"]
print(*unusual[:4], sep="\n")
first = {
    kind: next(v for v in verdicts if v.kind == kind)
    for kind in ("warning", "spike")
}
assert first["warning"].step <= first["spike"].since
sure = [v for v in unusual if v.step <= first["spike"].step]
assert max(v.norm_units for v in sure) < 6  # the norm alone would not have warned

# %% [markdown]
# The warning comes with the first high step, and the verdict one step later: hardly a forecast. And it is the *loss* that warns. In GLM-130B the gradient
# norm came first, a few steps before the collapse; here it rises with the loss, and its noise hides it. So keep both, and
# promise nobody to foresee a spike.

# %% [markdown]
# ## 7 Remedies, over five seeds (9 min)
#
# | remedy | idea | who |
# |---|---|---|
# | clip | the update may not be longer than … | all |
# | skip | leave a batch out once its loss is too high | |
# | rewind | back before the spike, and past the data | PaLM |
# | rewind_lower | back, and on at half the rate | OPT |
# | shrink | the embedding's gradient times 0.1 | GLM-130B |
# | embedding norm | a norm right after the embedding | BLOOM (trial runs) |
# | QK-norm | queries and keys of bounded length | ViT-22B |
# | z-loss | $10^{-4}\log^2 Z$ pulls the softmax's sum to 1 | PaLM |
# | $\varepsilon$ | a larger number below AdamW's fraction | |
# | long memory | $\beta_2 = 0.999$: the mean of squares is older | BERT |
#
# Five seeds each, on equal data with the same broken file; each changes one thing against doing nothing. The price is counted in **passes** (forward and
# backward through one batch, those included whose update was undone) until unseen text is predicted as well as it was before.
#
# **Predict.** Which would you try first? Going back ten steps *costs* ten steps: is it still faster than going on?

# %% tags=["label-remedies"]
recorded = read_results("spike_remedies")
names = list(study.ARMS)
print(
    f"{'':16}{'before':>8}{'jump':>6}{'passes':>8}{'final':>7}   passes, minus nothing"
)
for name in names:
    before = recorded.mean(name, "before").value
    jump = recorded.mean(name, "jump").value
    passes = recorded.mean(name, "passes to recover").value
    final = recorded.mean(name, "final").value
    d = recorded.difference(name, "nothing", "passes to recover")
    versus = f"{d.value:+.0f} [{d.low:+.0f}, {d.high:+.0f}]"
    row = f"{name:16}{before:8.2f}{jump:6.2f}{passes:8.0f}{final:7.2f}"
    print(row, "" if name == "nothing" else "  " + versus)


# %%
def versus_nothing(name, what):
    return recorded.difference(name, "nothing", what)


d = versus_nothing("rewind", "passes to recover")
claim("STA-005", d.value, d)
for name in ("skip", "rewind", "rewind_lower"):
    assert versus_nothing(name, "jump").high < 0
assert versus_nothing("skip", "passes to recover").high < 0
assert versus_nothing("clip", "before").high < 0
for name in ("clip", "skip", "rewind"):
    assert versus_nothing(name, "final").high < 0
for name in ("shrink", "embedding_norm", "qk_norm", "z_loss", "eps"):
    for what in ("passes to recover", "final"):
        assert versus_nothing(name, what).low < 0 < versus_nothing(name, what).high
assert versus_nothing("long_memory", "final").low > 0

# %% tags=["label-intervals"]
fig, axes = plt.subplots(
    1, 2, figsize=(7.2, 3.6), sharey=True, layout="constrained"
)
for ax, what in zip(axes, ("passes to recover", "final")):
    ax.axvline(recorded.mean("nothing", what).value, ls=":", color="0.4")
    for place, name in enumerate(reversed(names)):
        for value in recorded.values(name, what):
            ax.plot(value, place, "o", color="C0", alpha=0.5)
        ax.plot(recorded.mean(name, what).value, place, "k|", ms=14)
axes[0].set(
    xlabel="passes to recover", yticks=range(len(names)), yticklabels=names[::-1]
)
axes[1].set(xlabel="final bits a byte, unseen text")
alt = "Twelve arms, five dots each, the mean as a bar, that of nothing dotted. "
alt += "Left, passes to recover: clean, skip, rewind and rewind_lower lie left of "
alt += "nothing, long_memory right; one run of shrink never recovers. Right, final "
alt += "bits: clip, skip and rewind are lower than nothing, long_memory is higher."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Every dot is a run. *Going back helps*: with `skip` and `rewind` hardly anything is left of the jump, and the final loss is better
# than that of `nothing`. The verdict on `rewind` is *not seen at this scale* all the same: without a remedy one seed needs 25 passes and another 80, and with five
# seeds the interval of the difference just holds zero (that of `skip` does not). `clip` ends best of all; but it was better *before* the
# spike too, and its jump is no smaller. `rewind_lower` heals as fast, and then learns too slowly to use it. Of `shrink`, `embedding_norm`, `qk_norm`, `z_loss` and $\varepsilon$ nothing can be
# said, in either direction: they were found against other causes than a broken file. `long_memory` ends worst, as computed above.
#
# **The norm on the embedding** is a claim about *rates*: BLOOM's authors saw a steadier run at 104B. We let four layers read stories for 200 steps at rates that double,
# with and without it. A rate *trains* if the model ends better than a table of which byte follows which. What is the highest that does? The price is asked on
# prose, which no run has read, each at the rate that was best on a seed outside the study.

# %% tags=["label-rates"]
rates_study = read_results("embedding_norm_rates")
print("mean bits a byte (seeds of 5 that train) at rates", *rates.RATES)
for kind in ("plain", "norm"):
    row = []
    for lr in rates.RATES:
        arm = f"{kind}_{lr}"
        n = sum(rates_study.values(arm, "trains"))
        row.append(f"{rates_study.mean(arm, 'bits').value:.2f} ({n:.0f})")
    print(f"{kind:6}", *row, sep="   ")


# %%
def highest(kind):
    """log2 of the highest rate that trains, for each seed."""
    trains = np.array(
        [rates_study.values(f"{kind}_{lr}", "trains") for lr in rates.RATES]
    )
    tops = [
        max((lr for lr, t in zip(rates.RATES, col) if t), default=0.000625)
        for col in trains.T
    ]
    return [math.log2(top) for top in tops]


d = paired_difference(highest("norm"), highest("plain"))
claim("STA-001", d.value, d)
pair = [f"{kind}_{rates.best(kind)}" for kind in ("norm", "plain")]
price = rates_study.difference(*pair, "other bits")
claim("STA-002", price.value, price)
for text, what in (("stories", "bits"), ("prose", "other bits")):
    d = rates_study.difference("norm_0.0025", "plain_0.0025", what)
    print(f"{text} at 0.0025: {d.value:+.2f} [{d.low:+.2f}, {d.high:+.2f}]")
    assert d.low > 0

# %% [markdown]
# No run diverged at any rate, so stability was hardly put to the test; and our bar proved a poor one: with the norm the model learns more slowly, and at low rates 200 steps
# do not suffice, which the bar cannot tell from breaking. (At the two highest rates the norm is ahead, within the noise.) The price on unread prose is there, as in BLOOM's study. But at an equal rate the model is behind on
# *stories* too, which it did read: what we see is slower learning, more than a loss of generality.
#
# **GLM's shrink, exactly.** $e\,a + \operatorname{stop}(e)\,(1-a)$ has the value of $e$ and $a$ times its gradient (*stop* lets no gradient through). We check both halves of the
# sentence, and print what the arm `shrink` did beside it.

# %%
torch.manual_seed(0)
table = torch.randn(50, 8, dtype=f64, requires_grad=True)
ids8, head = torch.randint(50, (4, 16)), torch.randn(8, 50, dtype=f64)


def table_gradient(change):
    e = change(table[ids8])
    loss = F.cross_entropy((e @ head).flatten(0, 1), ids8.roll(-1, 1).flatten())
    return e.detach(), torch.autograd.grad(loss, table)[0]


# %%
value, whole = table_gradient(lambda e: e)
same, shrunk = table_gradient(lambda e: shrink_gradient(e, 0.1))
bits, also = table_gradient(lambda e: shrink_exactly(e, 0.1))
assert torch.equal(value, bits) and (value - same).abs().max() < 1e-14
ratio = (shrunk / whole)[whole != 0]
worst = ratio[(ratio - 0.1).abs().argmax()].item()
claim("STA-004", worst)
d = versus_nothing("shrink", "passes to recover")
print(f"does it help? passes {d.value:+.0f} [{d.low:+.0f}, {d.high:+.0f}]")

# %% [markdown]
# ## 8 Rewind and skip, as a setting (10 min)
#
# PaLM (540B) saw about twenty spikes. Its authors went back to a checkpoint about 100 steps before the spike, and left out 200 to 500 batches. OPT went back too, but
# its main remedy was a lower rate. (The article says of both that they "restart and skip".)
#
# ### The data, the weights, or both?
#
# PaLM's authors also trained on the batches around a spike from *another*, earlier checkpoint: no spike. So it takes certain data *and* a certain state of the weights. Our broken
# file is not of that kind. Can we make spikes that are? At usual rates this small model did not spike by itself. At 0.6, sixty times
# the best rate, it hardly learns, but it spikes, on good data. Five seeds ran until the monitor called a spike, 800 steps at most. Then the same batches, or others, were read from
# the weights 10 to 19 steps before it, or from those of 30 and of 60 steps earlier.
#
# **The rule, written before the runs:** the observation counts as seen if "older weights" minus "same" is below zero with all of its interval.
#
# **Predict** the four shares with a spike, for the hot rate and for the broken file.

# %% tags=["label-replay"]
replay = read_results("spike_replay")
cells = ("same", "older weights", "other batches", "neither")
print(f"{'':8}", *(f"{c:>14}" for c in cells))
for arm in ("hot", "broken"):
    shares = [replay.mean(arm, c).value for c in cells]
    print(f"{arm:8}", *(f"{x:14.0%}" for x in shares))
d = paired_difference(
    replay.values("hot", "older weights"), replay.values("hot", "same")
)
print(
    f"hot, older weights minus same: {d.value:+.2f} [{d.low:+.2f}, {d.high:+.2f}]"
)
assert d.high < 0 and sum(replay.values("hot", "found")) == 4
assert sum(replay.values("hot", "older weights")) == 0
assert replay.mean("broken", "older weights").value == 1

# %% [markdown]
# *Seen*. Four of the five hot seeds spiked (the fifth counts with zeros), and none of their replays from older weights did: it took these batches **and** the weights of
# that moment. With the broken file the batches are enough. So a replay is a test: if the spike comes again from other weights, look into the data; if not, go
# back and skip. (Nobody trains at such a rate: such spikes exist, which does not say that PaLM's were of this kind.)
#
# ### Two clocks
#
# Rewind and skip (回退并跳过) sets two clocks apart. The *step* (weights, schedule) goes back. The *position* in the data only goes on. In the package it is one setting:

# %% tags=["nbval-ignore-output", "label-rewind"]
recovery = RecoveryConfig(
    mark_every=5,
    spikes=SpikeConfig(window=40, least=20),
    rewind=RewindConfig(back=10, skip=20, near=50, widen=1.0, tries=5),
)
how = TrainConfig(
    steps=study.SMALL.steps, batch_size=8, context=64, warmup_steps=20,
    clip=math.inf, log_every=0, eval_every=5, precision="float32",
    recovery=recovery,
)  # fmt: skip
poisoned = PoisonedBatches(
    BatchSampler(tokens, 8, 64, seed=0), study.POISON_AT, 5, study.KIND, 0
)
healed, log = study.make({}, 0), []
state = train(
    healed, poisoned, how, optimizer=OptimizerConfig(lr=study.LR),
    log=log.append, progress=False,
)  # fmt: skip

orders = [r["rewind"] for r in log if "rewind" in r]
for order in orders:
    print(f"spike since {order['since']}: back to {order['step']},", end=" ")
    print(order["skipped"], "batches left out")

# %%
assert len(orders) == 1 and orders[0]["since"] == study.POISON_AT + 1
assert orders[0]["step"] <= study.POISON_AT + 1 - 10
assert state.step == how.steps  # the steps are all made ...
assert state.n_batches > how.steps  # ... and more data was gone through
skipped = state.recovery["rewind"]["skipped"]
assert any(a <= study.POISON_AT and b >= study.POISON_AT + 5 for a, b in skipped)

# %% [markdown]
# The monitor called the spike in its second step, *before* the second bad update. The loop loaded the mark (weights, AdamW's means, random
# generators, its own window), moved the data on, and went on. All of it is in `TrainState`, so a run that is killed in the middle and resumed does the same; a test
# of the package does exactly that. If the same spike comes back `tries` times, the run stops with a `SpikeError` that says what is left to try.
#
# ## 9 Is my curve normal? (4 min)
#
# `band("00_tour", losses)` places a curve in the band of five healthy seeds ([lesson 00](00_tour.ipynb)), and [lesson 20a](20a_adamw.ipynb) breaks runs on purpose. When yours leaves the band:
#
# | what you see | likely bug | look here |
# |---|---|---|
# | first loss far above $\ln V$ | weights too large, logits not centred | `init_std`; compute $\ln V$ |
# | first loss below $\ln V$, then quickly near 0 | the model sees its target: mask off by one | change a later token, compare logits |
# | falls to a level and stays, ~ entropy of single tokens | targets not shifted as you think; positions missing | print one x and y side by side |
# | falls much too slowly | rate too low, or warm-up as long as the run | log `lr` |
# | *nan* within the first steps | no warm-up, float16 without scaling | `error.batch`, section 3 |
# | saw teeth, one period an epoch | no shuffling | order of the sampler |
# | jump, way back | a bad batch, or rate at its edge | replay the batches from older weights |
# | jump, no way back | AdamW's mean of squares too old, or rate too high | rewind, lower rate |
# | bfloat16 stalls late, float32 does not | no master weights | `moved_share` |
#
# A loss that is not finite stops the loop before the weights change, and keeps the batch:

# %%
bad = study.make({}, 0)
with torch.no_grad():
    bad.blocks[0].attention.q.weight[0, 0] = math.inf
try:
    train(
        bad,
        BatchSampler(tokens, 2, 16),
        TrainConfig(steps=3, log_every=0),
        progress=False,
    )
except NotFiniteError as error:
    print(str(error).split(";")[0])
    kept = error.batch
assert kept[0][0].shape == (2, 16)

# %% [markdown]
# ## Homework (45 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it.
#
# ### Exercise 1 · The corners of a format (6 min, ★☆☆)
#
# Given the numbers of exponent and mantissa bits of a format *with* infinity, return a tuple: the largest finite number, the smallest positive one, and the smallest
# number that rounds to infinity.
#
# <details><summary>Hint 1</summary>bias = 2^(E−1) − 1; the highest exponent of a finite number is the bias again.</details>
# <details><summary>Hint 2</summary>The smallest subnormal is 2^(1 − bias − M); infinity begins half a gap above the largest.</details>


# %% tags=["exercise"]
def corners(exponent_bits, mantissa_bits):
    # BEGIN SOLUTION
    bias = 2 ** (exponent_bits - 1) - 1
    largest = 2.0**bias * (2 - 2.0**-mantissa_bits)
    smallest = 2.0 ** (1 - bias - mantissa_bits)
    return largest, smallest, largest + 2.0 ** (bias - mantissa_bits - 1)
    # END SOLUTION


# %% tags=["check"]
def package_corners(exponent_bits, mantissa_bits):
    f = formats.Format("any", exponent_bits, mantissa_bits)
    return f.largest, f.smallest, f.overflow


check(corners, package_corners, [(5, 10), (8, 7), (5, 2), (3, 4), (6, 9)])

# %% [markdown]
# ### Exercise 2 · Rounding by chance (8 min, ★★☆)
#
# **Stochastic rounding** (随机舍入) goes up with a probability equal to the share of the gap that lies below: then small steps survive *on average*, without masters.
# `x` and `u` are tensors, `u` uniform in [0, 1); the grid is all multiples of `gap`. Return `x` rounded: up where the share is larger than `u`.
#
# <details><summary>Hint 1</summary>x / gap, its floor, and the rest in [0, 1).</details>
# <details><summary>Hint 2</summary>floor works for negative numbers too: the rest is never negative.</details>


# %% tags=["exercise"]
def stochastic_round(x, gap, u):
    # BEGIN SOLUTION
    down = torch.floor(x / gap)
    rest = x / gap - down
    return (down + (rest > u).to(x.dtype)) * gap
    # END SOLUTION


# %% tags=["check"]
def by_loop(x, gap, u):
    out = []
    for v, chance in zip(x.tolist(), u.tolist()):
        n = math.floor(v / gap)
        out.append((n + (1 if v / gap - n > chance else 0)) * gap)
    return torch.tensor(out, dtype=x.dtype)


rng = torch.Generator().manual_seed(2)
x = torch.randn(200, generator=rng, dtype=f64)
u = torch.rand(200, generator=rng, dtype=f64)
check(
    stochastic_round,
    by_loop,
    [(x, 0.25, u), (10 * x, 2.0, u), (x.round(), 1.0, u * 0)],
)

# %% [markdown]
# ### Exercise 3 · FP8 with a scale for each row (8 min, ★★☆)
#
# One scale for a whole matrix is spoiled by one large row. Return the product `a @ b.T` of two float64 matrices, (M, K) and (N, K), where each *row* of both is divided by
# its own scale (largest absolute entry over 448), rounded to E4M3 with `formats.round_to`, and the product scaled back. No row is zero.
#
# <details><summary>Hint 1</summary><code>a.abs().amax(dim=1, keepdim=True) / 448</code></details>
# <details><summary>Hint 2</summary>Entry (i, j) is multiplied by the scale of row i of a and of row j of b.</details>


# %% tags=["exercise"]
def row_scaled_product(a, b):
    # BEGIN SOLUTION
    sa = a.abs().amax(dim=1, keepdim=True) / 448
    sb = b.abs().amax(dim=1, keepdim=True) / 448
    c = formats.round_to(a / sa, E4M3) @ formats.round_to(b / sb, E4M3).T
    return c * sa * sb.T
    # END SOLUTION


# %% tags=["check"]
def row_by_row(a, b):
    out = torch.zeros(len(a), len(b), dtype=f64)
    for i, row in enumerate(a):
        for j, column in enumerate(b):
            s, t = row.abs().max() / E4M3.largest, column.abs().max() / E4M3.largest
            r, c = (
                formats.round_to(row / s, E4M3),
                formats.round_to(column / t, E4M3),
            )
            out[i, j] = (r * c).sum() * s * t
    return out


a, b = torch.randn(2, 5, 7, generator=rng, dtype=f64)
big = a * 10.0 ** torch.arange(-4, 6, 2, dtype=f64)[:, None]
check(
    row_scaled_product,
    row_by_row,
    [(a, b), (big, b), (b[:2], big), (-big, big[:3])],
)

# %% [markdown]
# ### Exercise 4 · Which steps are left out? (8 min, ★★☆)
#
# A simple rule: leave a step out if its gradient norm is more than `factor` times the median of the last `window` norms *that were not left out*. The first `window` steps are always
# made. Return the list of left-out steps, counted from 0.
#
# <details><summary>Hint 1</summary>Keep a list of accepted norms, and look at its last <code>window</code>.</details>
# <details><summary>Hint 2</summary><code>statistics.median</code>; a norm that is not finite is left out too, nan > x is False!</details>


# %% tags=["exercise"]
def left_out(norms, factor, window):
    # BEGIN SOLUTION
    kept, out = [], []
    for step, norm in enumerate(norms):
        if len(kept) >= window:
            usual = float(np.median(kept[-window:]))
            if not norm <= factor * usual:
                out.append(step)
                continue
        kept.append(norm)
    return out
    # END SOLUTION


# %% tags=["check"]
def reference_left_out(norms, factor, window):
    made, skipped = list(range(min(window, len(norms)))), []
    for i in range(window, len(norms)):
        usual = sorted(norms[j] for j in made[len(made) - window :])
        half = window // 2
        middle = usual[half] if window % 2 else (usual[half - 1] + usual[half]) / 2
        fine = math.isfinite(norms[i]) and norms[i] <= factor * middle
        (made if fine else skipped).append(i)
    return skipped


norms = [1.0, 1.1, 0.9, 1.0, 5.0, 5.0, 1.2, math.nan, 0.5, 2.0, math.inf, 1.0]
rising = [1.5**i for i in range(12)]
cases = [(norms, 3.0, 3), (norms, 1.5, 4), (rising, 2.0, 3), (rising, 4.0, 3)]
cases += [([9.0, 1, 1, 1, 4], 2.0, 3), ([1.0, 1, 10, 3.5], 3.0, 3)]
check(left_out, reference_left_out, cases)

# %% [markdown]
# ### Exercise 5 · Two clocks (10 min, ★★★)
#
# A run makes `steps` updates. Whenever it *reads* a batch whose position is in the set `bad`, it goes back: `back` steps (not below 0), and the data go on `skip`
# batches behind the bad one. Return the list of the batch positions whose updates are in the final weights, in order: one for each step.
#
# <details><summary>Hint 1</summary>Keep the list of positions of the present branch: going back cuts its end.</details>
# <details><summary>Hint 2</summary>The next position is bad + 1 + skip. The bad batch itself made no update.</details>


# %% tags=["exercise"]
def final_branch(steps, bad, back, skip):
    # BEGIN SOLUTION
    branch, position = [], 0
    while len(branch) < steps:
        if position in bad:
            del branch[max(0, len(branch) - back) :]
            position += 1 + skip
        else:
            branch.append(position)
            position += 1
    return branch
    # END SOLUTION


# %% tags=["check"]
def simulated(steps, bad, back, skip):
    history, step, position = {}, 0, 0
    while step < steps:
        if position in bad:
            step, position = max(0, step - back), position + 1 + skip
            continue
        history[step], step, position = position, step + 1, position + 1
    return [history[s] for s in range(steps)]


cases = [(10, set(), 3, 2), (10, {5}, 3, 2), (10, {5, 7}, 3, 0)]
cases += [(8, {1}, 4, 1), (8, {3}, 4, 1), (9, {4, 9, 14}, 2, 3)]
check(final_branch, simulated, cases)

# %% [markdown]
# ### Exercise 6 · The slope of the z-loss (6 min, ★★☆)
#
# PaLM adds $w\log^2 Z$ with $Z=\sum_j e^{z_j}$ to the loss of a token. Derive its slope by the logits, (T, V), of the *mean* over T tokens. No autograd.
#
# <details><summary>Hint 1</summary>The slope of log Z by z_j is the softmax's p_j.</details>
# <details><summary>Hint 2</summary>2 w log Z · p / T.</details>


# %% tags=["exercise"]
def z_slope(logits, w):
    # BEGIN SOLUTION
    log_z = logits.logsumexp(dim=-1, keepdim=True)
    return 2 * w * log_z * logits.softmax(dim=-1) / logits.shape[0]
    # END SOLUTION


# %% tags=["check"]
def z_slope_by_autograd(logits, w):
    z = logits.clone().requires_grad_()
    loss = w * z.logsumexp(dim=-1).square().mean()
    return torch.autograd.grad(loss, z)[0]


z = 3 * torch.randn(6, 5, generator=rng, dtype=f64)
check(
    z_slope,
    z_slope_by_autograd,
    [(z, 1e-4), (z - 40, 1e-4), (z[:1], 1.0), (z + 7, 0.3)],
)

# %% [markdown]
# ## At scale
#
# - **PaLM** (540B) spiked about twenty times, although it clipped, at irregular times, and some of them late; its smaller siblings did not. At that
#   price a principled remedy could not be looked for.
# - **OPT-175B**: its logbook shows what a rescue looks like. When gradient and activation norms drifted, the rate was lowered by a tenth; when perplexity began to
#   diverge after large spikes of the gradient norm, to two thirds of GPT-3's. Clipping at 0.3 instead of 1 had helped early on.
# - **GLM-130B**: the collapse comes a few steps *after* the gradient norm jumps, and the jump comes from the embedding, whose gradient was often orders of magnitude
#   above that of other layers early on. A tenth of it removed most spikes in trials with 40B; three late ones were met by shrinking further. float16 stayed, so that older
#   cards could train the model too; bfloat16 took some 15 % more memory there.
# - **BLOOM** kept the norm on the embedding together with bfloat16, although its own study had measured a price in zero-shot results.
#
# Not tested here: spikes of large models as such, whose causes are still argued about; and the speed of 16-bit and 8-bit products on a GPU. On a CPU they are usually *slower* (`train.probe` asks the clock).
#
# ## Common mistakes
#
# | mistake | what happens |
# |---|---|
# | clip before unscaling | clips S times too hard |
# | unscale in float16 | what was lifted is lost again |
# | sum a loss in bfloat16 | 256 + 1 = 256 |
# | save the rounded weights only | the run goes on from other masters |
# | rewind the data too | the same spike again |
# | let the spike into the window | the monitor gets used to it |
#
# ## Recap
#
# - Exponent bits are range, mantissa bits are fineness. float16: 65 504 and infinity from 65 520. bfloat16: float32's range, 256 + 1 = 256.
# - float16 needs loss scaling, every 16-bit format needs masters; 16 bytes a weight either way.
# - A monitor compares with the median of the past; the norm warns, the loss decides.
# - A replay from older weights tells bad data from an unlucky meeting. Rewind and skip: steps go back, data do not.
#
# **Questions.**
#
# 1. Why does bfloat16 need no loss scaling, and float16 does?
# <details><summary>Answer</summary>bfloat16 has float32's exponents: what is not 0 there is hardly ever 0 here. float16 ends at 6e-8.</details>
#
# 2. Where does float16 become infinity, and why not right after 65 504?
# <details><summary>Answer</summary>At 65 520, the middle between 65 504 and what would come next, 65 536. Below it numbers are rounded down.</details>
#
# 3. Your weights are in bfloat16 without masters, and training stalls late. Why late?
# <details><summary>Answer</summary>A step survives if it is at least half a gap, about a 512th of the weight. The rate falls, the weights have grown.</details>
#
# 4. Mixed precision takes 16 bytes a weight, float32 too. What is it good for?
# <details><summary>Answer</summary>Activations take half, and products run on faster units.</details>
#
# 5. Clip before or after unscaling?
# <details><summary>Answer</summary>After. Before it the norm is S times too long, and everything would be clipped.</details>
#
# 6. Why a median, and why is the spike kept out of the window?
# <details><summary>Answer</summary>A mean and a standard deviation are moved by the very thing that they should find.</details>
#
# 7. Which clock goes back in a rewind, and which one does not?
# <details><summary>Answer</summary>Step (weights, optimizer, schedule) back; position in the data only forward.</details>
#
# 8. You replay the batches of a spike from an older checkpoint, and nothing happens. What do you conclude, and what if it spikes again?
# <details><summary>Answer</summary>It took batches and weights together, as in PaLM: go back and skip. If it spikes again, the data are bad by themselves: look into the file.</details>
#
# ## Sources
#
# - Micikevicius et al. 2018, [arXiv:1710.03740](https://arxiv.org/abs/1710.03740), sections 3.1 and 3.2: masters and loss scaling.
# - Kalamkar et al. 2019, [arXiv:1905.12322](https://arxiv.org/abs/1905.12322): bfloat16.
# - Micikevicius et al. 2022, [arXiv:2209.05433](https://arxiv.org/abs/2209.05433): float8, table 1.
# - Chowdhery et al. 2022, *PaLM*, [arXiv:2204.02311](https://arxiv.org/abs/2204.02311), section 5.1: twenty spikes; 5: z-loss.
# - Zhang et al. 2022, *OPT*, [arXiv:2205.01068](https://arxiv.org/abs/2205.01068), section 2.5, and the notes and
#   [logbook](https://github.com/facebookresearch/metaseq/tree/main/projects/OPT/chronicles) beside its code (27 and 56 %): lower the rate, and go on.
# - Zeng et al. 2023, *GLM-130B*, [arXiv:2210.02414](https://arxiv.org/abs/2210.02414), section 3: the embedding's gradient.
# - Le Scao et al. 2022, *BLOOM*, [arXiv:2211.05100](https://arxiv.org/abs/2211.05100): bfloat16, and the norm on the embedding.
# - Dehghani et al. 2023, [arXiv:2302.05442](https://arxiv.org/abs/2302.05442): QK-norm.
#
# ## Next
#
# [22a The ledger](22a_ledger.ipynb): where the bytes of a training run go, and what it costs to have fewer.

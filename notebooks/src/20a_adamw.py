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
# # 20a Optimizers: how far should each weight move, and when?
#
# 75 min · CPU · 30 s · 1 GB · needs [12 Feed-forward](12_feedforward.ipynb) · code: `minillm/train/adam.py`
#
# The gradient says which way is down. It does not say how far to go. Between "subtract the gradient"
# and the AdamW of every large model lie six ideas, each the answer to one thing that goes wrong.
# Earlier lessons took AdamW, warm-up and clipping on trust. Here they are earned.
#
# After this lesson you can
#
# 1. derive the largest stable rate of a valley, and say what momentum does about it;
# 2. derive Adam with its bias correction, and write SGD to AdamW so that they equal torch's;
# 3. show why L2 inside Adam is not weight decay, and why L1 makes zeros;
# 4. draw warm-up, cosine and WSD, and compute the warm-up share of published runs;
# 5. read a table of settings (GPT-3, LLaMA, GLM …) and say what each number does.

# %% tags=["setup"]
import json
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional as F

from minillm.evaluate import mean_interval
from minillm.lesson import DATA, band, check, claim, setup, show
from minillm.recipes.bands import ALLOWED, outside, smooth
from minillm.recipes.records import read_results
from minillm.recipes.small import bits_on
from minillm.recipes.studies import beta2_spike, broken_runs, decay_or_l2
from minillm.recipes.studies import rate_sensitivity as rates
from minillm.train import AdamW, clip_grad_norm, cosine_schedule
from minillm.train.adagrad import Adagrad
from minillm.train.adam import Adam, adam_step, uncorrected_step
from minillm.train.presets import RECIPES, scaled
from minillm.train.regularise import proximal_step, shrink, soft_threshold
from minillm.train.rmsprop import RMSprop
from minillm.train.sgd import SGD
from minillm.train.wsd import inverse_sqrt_schedule, wsd_schedule

setup(seed=20)
f64 = torch.float64  # we check derivations to 12 digits

# %% [markdown]
# ## 1 A valley, and how fast one may go (9 min)
#
# **Gradient descent** (梯度下降) subtracts from a weight $w$ its gradient $g$ times a **learning rate** (学习率) $\eta$. It is called
# *stochastic* (随机梯度下降, SGD) where the gradient comes from a random batch instead of all data:
#
# $$w \leftarrow w - \eta\, g .$$
#
# Take the simplest valley, $f(x,y)=\frac12(\lambda_1x^2+\lambda_2y^2)$. The two $\lambda$ are its **curvatures** (曲率): how fast the slope grows. Along $x$ the slope is $\lambda_1x$, so a step multiplies
# $x$ by $1-\eta\lambda_1$, and $y$ by $1-\eta\lambda_2$. Both must stay between −1 and 1:
#
# $$\eta < \frac{2}{\lambda_{\max}} .$$
#
# **Predict, then run.** Let $\lambda=(1, 25)$ and $\eta=0.99\cdot\frac2{25}$. By which factor does the *flat* direction shrink in one step?
#
# <details><summary>Answer</summary>1 − 0.0792 = 0.92. The steep direction dictates the rate; the flat one pays for it.</details>


# %%
def walk(optimizer_class, steps, **settings):
    """Descend the valley from one point; return all places, (steps + 1, 2)."""
    w = torch.tensor([-9.0, 1.5], dtype=f64, requires_grad=True)
    optimizer = optimizer_class([w], **settings)
    places = [w.detach().clone()]
    for _ in range(steps):
        w.grad = torch.tensor([1.0, 25.0], dtype=f64) * w.detach()
        optimizer.step()
        places.append(w.detach().clone())
    return torch.stack(places)


# %%
slow = walk(SGD, 30, lr=0.99 * 2 / 25)
ratio = slow[1:, 0] / slow[:-1, 0]
assert (ratio - (1 - 0.99 * 2 / 25)).abs().max() < 1e-12
assert walk(SGD, 200, lr=1.01 * 2 / 25)[-1, 1].abs() > 10  # beyond 2/25
print(f"the flat direction keeps {ratio[0]:.2f} of itself a step")

# %% [markdown]
# **Momentum** (动量) keeps a velocity, a sum over all past gradients, each worth $\mu$ times the next:
#
# $$u \leftarrow \mu u + g,\qquad w \leftarrow w-\eta u .$$
#
# Where gradients agree, the sum grows to $g\,(1+\mu+\mu^2+\dots)=\frac{g}{1-\mu}$: ten times the speed for $\mu=0.9$. Where they alternate,
# they cancel to $\frac{g}{1+\mu}$. So the flat direction is sped up and the steep one is calmed. **Nesterov's** form steps along
# $g+\mu u$, as if the next gradient were known to be like this one.

# %% tags=["label-velocity"]
agree, alternate = 0.0, 0.0
for t in range(200):
    agree = 0.9 * agree + 1.0
    alternate = 0.9 * alternate + (-1.0) ** t
assert abs(agree - 10) < 1e-6 and abs(abs(alternate) - 1 / 1.9) < 1e-6
print(f"agreeing gradients: {agree:.2f}, alternating: {abs(alternate):.2f}")

# %% tags=["label-valley"]
paths = {
    "SGD, 0.076": walk(SGD, 40, lr=0.076),
    "momentum 0.9, 0.02": walk(SGD, 40, lr=0.02, momentum=0.9),
    "Adam, 0.6": walk(Adam, 40, lr=0.6, betas=(0.9, 0.95)),
}
xs, ys = torch.linspace(-10, 6, 90), torch.linspace(-2.6, 2.6, 60)
height = xs[None] ** 2 / 2 + 25 * ys[:, None] ** 2 / 2  # (60, 90)
fig, axes = plt.subplots(3, 1, figsize=(4.6, 3.6), layout="constrained")
for ax, (name, path) in zip(axes, paths.items()):
    ax.contour(xs, ys, height.sqrt(), 4, colors="0.8", linewidths=0.7)
    ax.plot(path[:, 0], path[:, 1], "o-", ms=3, lw=1)
    ax.plot(0, 0, "k*", ms=9)
    ax.set(title=name, xlim=(-10, 6), ylim=(-2.6, 2.6), ylabel="y")
axes[-1].set_xlabel("x")
alt = "Forty steps in a long valley. SGD bounces between the steep walls and "
alt += "creeps along the floor; momentum swings and overshoots, then settles; "
alt += "Adam starts along both at the same speed, overshoots a little, settles."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** SGD bounces between the steep walls while it creeps along the floor. Momentum runs along the floor, overshoots the
# star and swings back. Adam, which we have not built yet, starts *diagonally*: both coordinates move equally far, as if the valley were round.
#
# ## 2 A rate for each weight (7 min)
#
# In a language model the row of a rare token gets a gradient once in thousands of steps. **AdaGrad** (Duchi et al. 2011) divides each weight's
# step by the root of all squares it has seen:
#
# $$s \leftarrow s+g^2,\qquad w\leftarrow w-\eta\,\frac{g}{\sqrt s+\epsilon}.$$
#
# ($\epsilon$ is tiny and keeps the division finite.) Steep directions are slowed, rare ones stay fast. But $s$ never falls: with gradients of constant size, step $t$ is as long as $\eta/\sqrt t$.
# **RMSProp** (Tieleman and Hinton 2012) replaces the sum by a running mean that forgets:
#
# $$v \leftarrow \beta_2 v+(1-\beta_2)g^2,\qquad w\leftarrow w-\eta\,\frac{g}{\sqrt v+\epsilon}.$$
#
# **Predict, then run.** Two weights; the first has gradient 1 at each of 200 steps, the second at every 20th. How far does the rare one get,
# compared with the frequent one?

# %% tags=["label-rare"]
for kind, how in ((SGD, {}), (Adagrad, {}), (RMSprop, {"beta2": 0.95})):
    w = torch.zeros(2, dtype=f64, requires_grad=True)
    optimizer = kind([w], lr=1.0, **how)
    for t in range(200):
        w.grad = torch.tensor([1.0, float(t % 20 == 19)], dtype=f64)
        optimizer.step()
    print(f"{kind.__name__:8} rare over frequent: {(w[1] / w[0]).item():.2f}")

# %% [markdown]
# With SGD the rare weight gets a twentieth of the way, as it has a twentieth of the gradients. Divided by the root of its own past it gets more than three times as far.
#
# **Relation to Adam**, the optimizer of section 3. Let Adam keep no mean ($\beta_1=0$), take $\beta_2=1-\frac1t$ at step $t$, so that $v$ is the plain mean of all squares, and let
# its rate be $\eta/\sqrt t$. Then $v=s/t$, and the step is $\frac{\eta}{\sqrt t}\cdot\frac{g}{\sqrt{s/t}}=\frac{\eta g}{\sqrt s}$: AdaGrad exactly.

# %%
w = torch.zeros(50, dtype=f64, requires_grad=True)
optimizer = Adagrad([w], lr=0.1)
v, same = torch.zeros(50, dtype=f64), torch.zeros(50, dtype=f64)
for t in range(1, 101):
    w.grad = torch.randn(50, dtype=f64)
    optimizer.step()
    v = (1 - 1 / t) * v + w.grad**2 / t
    same -= 0.1 / math.sqrt(t) * w.grad / v.sqrt()
assert (w - same).abs().max() < 1e-8
print("AdaGrad is Adam without a mean, beta2 = 1 - 1/t, rate lr/sqrt(t)")

# %% [markdown]
# ## 3 Adam, and why it corrects itself (10 min)
#
# **Adam** (Kingma and Ba 2015) has both: the mean of the gradient, as momentum does, over the root of its mean square, as RMSProp does.
# They are the first and second **moment** (一阶矩、二阶矩):
#
# $$m_t=\beta_1m_{t-1}+(1-\beta_1)g_t,\qquad v_t=\beta_2v_{t-1}+(1-\beta_2)g_t^2 .$$
#
# Both start at 0, and that is a bias. Unroll the first one:
#
# $$m_t=(1-\beta_1)\sum_{i=1}^t\beta_1^{\,t-i}g_i .$$
#
# The weights of this sum add up to $(1-\beta_1)\frac{1-\beta_1^t}{1-\beta_1}=1-\beta_1^t$, not to 1. If all $g_i$ have the same mean, $m_t$ is too small
# by that factor; likewise $v_t$ by $1-\beta_2^t$. So divide (**bias correction**, 偏差校正):
#
# $$\hat m=\frac{m_t}{1-\beta_1^t},\quad \hat v=\frac{v_t}{1-\beta_2^t},\qquad w\leftarrow w-\eta\,\frac{\hat m}{\sqrt{\hat v}+\epsilon}.$$
#
# **Predict, then run.** The first step, $t=1$. How long is it with the correction, and how long without, for $\beta=(0.9,0.999)$?
#
# <details><summary>Answer</summary>With it, g/|g|: exactly lr, in the direction of the sign, whatever the gradient. Without it, (1 − 0.9)/√(1 − 0.999) = 3.16 times as long.
# The mean is ten times too small, but the root of the mean square is thirty times too small.</details>


# %%
def first_step(beta2, correct):
    """Length of Adam's first step over lr, for a thousand random gradients."""
    w, m, v = torch.zeros(3, 1000, dtype=f64)
    g = torch.randn(1000, dtype=f64) * 10 ** torch.randn(1000, dtype=f64)
    how = {"lr": 0.1, "betas": (0.9, beta2), "eps": 1e-30}
    adam_step(w, g, m, v, step=1, bias_correction=correct, **how)
    return w.abs() / 0.1


# %%
for beta2 in (0.95, 0.999):
    without = first_step(beta2, correct=False)
    expected = uncorrected_step(1, (0.9, beta2))
    assert (without - expected).abs().max() < 1e-6
    print(f"beta2 {beta2}: first step without correction {expected:.3f}")
worst = max(first_step(b, correct=True).max().item() for b in (0.95, 0.999))
claim("OPT-009", worst)

# %% tags=["label-correction"]
at = (1, 3, 10, 30, 100, 300, 1000, 3000)
print("length of a step over lr, without the correction, at step")
print("beta2  " + "".join(f"{step:7}" for step in at))
for beta2 in (0.95, 0.99, 0.999):
    length = [uncorrected_step(step, (0.9, beta2)) for step in at]
    print(f"{beta2:<7}" + "".join(f"{x:7.2f}" for x in length))

# %% [markdown]
# Without the correction and with $\beta_2=0.999$ the first hundred steps are several times too long, just when the model
# is least able to bear it. With 0.95 the first ones are too *short*, and the later ones hardly too long. With the correction all three are 1.
#
# Do our optimizers equal torch's? A hundred steps on random gradients, in float64:

# %%
T = torch.optim
ball = {"lr": 0.1, "momentum": 0.9}
pairs = {
    "SGD": (SGD, T.SGD, {"lr": 0.1}),
    "momentum": (SGD, T.SGD, ball),
    "Nesterov": (SGD, T.SGD, {**ball, "nesterov": True}),
    "AdaGrad": (Adagrad, T.Adagrad, {"lr": 0.1}),
    "RMSProp": (RMSprop, T.RMSprop, {"lr": 0.1}),
    "Adam": (Adam, T.Adam, {"lr": 0.1}),
    "AdamW": (AdamW, T.AdamW, {"lr": 0.1, "weight_decay": 0.3}),
}

# %%
for name, (ours, theirs, how) in pairs.items():
    a = torch.ones(20, dtype=f64, requires_grad=True)
    b = torch.ones(20, dtype=f64, requires_grad=True)
    one, other = ours([a], **how), theirs([b], **how)
    for _ in range(100):
        a.grad = torch.randn(20, dtype=f64)
        b.grad = a.grad.clone()
        one.step()
        other.step()
    assert (a - b).abs().max() < 1e-10, name
print("equal to torch after 100 steps:", ", ".join(pairs))

# %% [markdown]
# ## 4 Small weights: L1, L2 and what they are for (9 min)
#
# Our source says: a complex model has large parameters; small parameters mean small slopes, hence robustness. Is that so? Fit polynomials of rising degree
# to 20 noisy points of a sine, by least squares.


# %%
def fit(degree, seed, n=20):
    """Least squares on noisy points; returns the weights and the points."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-1, 1, n))
    y = np.sin(3 * x) + 0.2 * rng.standard_normal(n)
    powers = x[:, None] ** np.arange(degree + 1)  # (n, degree + 1)
    return np.linalg.lstsq(powers, y, rcond=None)[0], x, y


# %% tags=["nbval-ignore-output", "label-poly"]
grid = np.linspace(-1, 1, 401)
fig, (left, right) = plt.subplots(1, 2, figsize=(5, 2.1), layout="tight")
_, x, y = fit(1, seed=0)
left.plot(x, y, "ko", ms=4)
for degree, style in ((3, "-"), (15, "--")):
    w = fit(degree, seed=0)[0]
    curve = grid[:, None] ** np.arange(degree + 1) @ w
    left.plot(grid, curve, style, label=f"degree {degree}")
left.set(ylim=(-2.6, 1.6), xlabel="x", ylabel="y")
left.legend(fontsize=8, loc="lower right")
sizes = [[np.linalg.norm(fit(d, s)[0]) for s in range(20)] for d in range(1, 16)]
right.semilogy(range(1, 16), np.median(sizes, axis=1), "o-")
right.set(xlabel="degree", ylabel="norm of the weights")
alt = "Left: twenty noisy points of a sine; the cubic follows the sine, degree "
alt += "15 swings wildly between points. Right: the norm of the weights "
alt += "rises by several powers of ten from degree 1 to 15."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Degree 15 passes near all points and swings between them. To swing it needs weights of tens of thousands and more, which nearly cancel.

# %% tags=["label-large"]
logs = np.log10(sizes)  # (15, 20)
growth = mean_interval((logs[14] - logs[2]).tolist())
print("log10 of the norm, degree 15 minus degree 3:", growth)
claim("OPT-015", growth.value, growth)

# %% [markdown]
# The sentence is right for polynomials, and **not** for a model with norms: multiply a matrix in front of an RMSNorm by ten, and the output stays the same.
# There the size of weights says nothing about the slope of the function; it sets the *effective rate*, as the step is compared with the weight.
#
# **Two penalties.** Add $\frac\lambda2\sum w^2$ (**L2**, ridge, 岭回归) or $\lambda\sum|w|$ (**L1**, lasso, 套索) to the loss. For a single weight whose best value
# without a penalty is $x$, minimise $\frac12(w-x)^2+\text{penalty}$. Set the slope to zero:
#
# - L2: $w-x+\lambda w=0$, so $w=\frac{x}{1+\lambda}$: a *share* is taken away, and nothing becomes 0.
# - L1: $w-x+\lambda\operatorname{sign}(w)=0$: an *amount* is taken away. If $|x|<\lambda$, no $w$ solves this: the minimum is the kink, $w=0$ exactly.
#
# In two dimensions the same is seen from the side: the smallest loss among all points of equal penalty.

# %% tags=["label-balls"]
x = torch.linspace(-3, 3, 301, dtype=f64)
fig, (left, right) = plt.subplots(1, 2, figsize=(4.6, 2.2), layout="tight")
left.plot(x, x, ":", color="k", label="no penalty")
left.plot(x, shrink(x, 1.0), "--", label="L2, λ = 1")
left.plot(x, soft_threshold(x, 1.0), "-", label="L1, λ = 1")
left.set(xlabel="best value without penalty", ylabel="with penalty")
left.legend(fontsize=7, loc="lower right")
a, b = torch.meshgrid(x, x, indexing="xy")
best = torch.tensor([2.0, 0.7], dtype=f64)
loss = (a - best[0]) ** 2 + (b - best[1]) ** 2
right.plot(*best, "k*", ms=9)
for z, ball, mark in (
    (soft_threshold(best, 1.0), a.abs() + b.abs(), "C1"),
    (shrink(best, 1.0), (a**2 + b**2).sqrt(), "C0"),
):
    level = ((z - best) ** 2).sum().item()  # the circle through z
    right.contour(x, x, loss, [level], colors="0.5", linewidths=1)
    size = z.abs().sum() if mark == "C1" else z.norm()
    right.contour(x, x, ball, [size.item()], colors=mark, linewidths=2)
    right.plot(*z, "o", color=mark, ms=8)
right.set(xlim=(-1.4, 2.6), ylim=(-1.4, 1.9), xlabel="$w_1$", ylabel="$w_2$")
right.set_aspect("equal")
alt = "Left: L2's line has a smaller slope; L1's is flat at zero from -1 to 1. "
alt += "Right: circles of equal loss around a star; they touch the diamond "
alt += "of L1 at a corner, where w2 is zero, and the circle of L2 off the axis."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** The circles of equal loss touch L1's diamond at a *corner*, and corners lie on the axes: $w_2=0$. L2's circle has no corners.
#
# Gradient steps on $|w|$ jump over zero and back, for ever. `proximal_step` takes a gradient step on the loss, then the exact step of the penalty (a soft threshold).
# Regression on the polynomials of degree 0 to 11 in Chebyshev's form (they stay between −1 and 1, so that their weights can be compared), of which three are needed:

# %%
rng = np.random.default_rng(20)
truth = np.zeros(12)
truth[[1, 2, 5]] = 1.0, -0.7, 0.5
points = np.sort(rng.uniform(-1, 1, 30))
features = np.polynomial.chebyshev.chebvander(points, 11)  # (30, 12)
wanted = features @ truth + 0.3 * rng.standard_normal(30)
X, Y = torch.tensor(features), torch.tensor(wanted)
test_X = torch.tensor(np.polynomial.chebyshev.chebvander(grid, 11))
test_Y = test_X @ torch.tensor(truth)


# %%
def regress(steps=600, **penalty):
    w = torch.zeros(12, dtype=f64)
    rate = 1 / torch.linalg.eigvalsh(X.T @ X / 30).max().item()
    for _ in range(steps):
        proximal_step(w, X.T @ (X @ w - Y) / 30, lr=rate, **penalty)
    return w


# %% tags=["nbval-ignore-output", "label-path"]
strengths = np.geomspace(1e-3, 1, 13)
lasso = torch.stack([regress(l1=s) for s in strengths])  # (13, 12)
ridge = torch.stack([regress(l2=s) for s in strengths])
fig, axes = plt.subplots(1, 3, figsize=(5.4, 1.9), layout="tight")
for ax, path, name in ((axes[0], ridge, "L2"), (axes[1], lasso, "L1")):
    ax.semilogx(strengths, path, "-", color="0.6", lw=1)
    ax.semilogx(strengths, path[:, [1, 2, 5]], "-", lw=2)
    ax.set(title=f"weights, {name}", xlabel="λ")
for path, name, style in ((ridge, "L2", "--"), (lasso, "L1", "-")):
    error = (path @ test_X.T - test_Y).square().mean(dim=1)
    axes[2].loglog(strengths, error, style, label=name)
axes[2].set(title="error", xlabel="λ")
axes[2].legend()
alt = "Weights against the strength of the penalty. L2: all shrink smoothly. "
alt += "L1: one after the other becomes exactly zero, the three true ones "
alt += "last. The error against the truth is lowest in the middle for both."
show(fig, alt=alt)

# %%
zeros = (lasso == 0).sum(dim=1)
falls = all((path.norm(dim=1).diff() < 1e-6).all() for path in (lasso, ridge))
sparse = bool(zeros[-1] > zeros[0] and not (ridge == 0).any())
claim("OPT-014", falls and sparse)

# %% [markdown]
# **What you should see.** L2 shrinks all weights together. L1 switches them off one by one, the three that are needed (thick) last. Both errors, against the truth without noise, are
# U-shaped: too little penalty fits the noise, too much loses the signal. (The source adds that dropout acts alike; lesson 26 looks at that.)
#
# ## 5 L2 inside Adam is not weight decay (9 min)
#
# For plain SGD the two are one: the gradient of $\frac\lambda2w^2$ is $\lambda w$, so $w\leftarrow w-\eta(g+\lambda w)=(1-\eta\lambda)w-\eta g$. Every weight loses the share
# $\eta\lambda$ a step: **weight decay** (权重衰减). Now put $\lambda w$ into Adam's gradient. It is divided by $\sqrt{\hat v}$ like everything else:
#
# - where gradients are *large*, $\lambda w$ is divided by something large: hardly any decay;
# - where they are *small*, $g+\lambda w\approx\lambda w$, and Adam makes a full step of it: $\eta\operatorname{sign}(w)$, however small $\lambda$ is.
#
# **AdamW** (Loshchilov and Hutter 2019) takes the decay out: $w\leftarrow(1-\eta\lambda)\,w$, and then Adam's step on $g$ alone. This is *decoupled* (解耦) decay.
#
# **Predict, then run.** Two weights start at 1. Their gradients are pure noise, of spread 0.01 and of spread 10. Decay 0.1, rate 0.01, 500 steps. What is left of each, on average?

# %% tags=["label-two"]
spread = torch.tensor([[0.01], [10.0]], dtype=f64)
left = {}
for kind, how in ((Adam, {"l2": 0.1}), (AdamW, {"weight_decay": 0.1})):
    w = torch.ones(2, 2000, dtype=f64, requires_grad=True)  # 2000 copies
    optimizer = kind([w], lr=0.01, betas=(0.9, 0.999), **how)
    for _ in range(500):
        w.grad = spread * torch.randn(2, 2000, dtype=f64)
        optimizer.step()
    left[kind.__name__] = w.detach().mean(dim=1)
    small, large = left[kind.__name__].abs().tolist()
    print(f"{kind.__name__:6} small gradients {small:.2f}, large {large:.2f}")
print(f"(1 - lr decay)^500 = {(1 - 0.01 * 0.1) ** 500:.2f}")

# %%
assert left["Adam"][0] < 0.1 < 0.9 < left["Adam"][1]
assert (left["AdamW"] - (1 - 0.001) ** 500).abs().max() < 0.02

# %% [markdown]
# Adam with L2 has wiped out the weight with small gradients, and hardly touched the other. AdamW shrinks both alike, as the formula says.
#
# **On a model.** A small text is read six times, so that there is something to overfit. Both ways were tried at five strengths on a seed outside the study;
# the best of each is run with five seeds, beside no decay at all, and beside a stronger one. What is compared is the loss on unseen text, in bits per byte.
# And to see *which* weights became small, those of all matrices are sorted by their mean squared gradient into four quarters, from small to large gradients; the root mean square of the weights of each is printed.

# %% tags=["label-decay"]
study = read_results("decay_or_l2")
print(study.provenance)
print("            strength    bits  size of weights, by quarter")
quarter = {}
for arm, settings in decay_or_l2.JOB.arms.items():
    names = [f"quarter {i}" for i in range(1, 5)]
    quarter[arm] = np.array([study.mean(arm, name).value for name in names])
    bits = study.mean(arm, "bits").value
    line = f"{arm:13}{settings['strength']:7g}{bits:8.3f}  "
    print(line + "".join(f"{size:7.3f}" for size in quarter[arm]))

# %% tags=["label-decay-claim"]
d = study.difference("adamw_best", "adam_best", "bits")
print("AdamW minus Adam with L2, bits per byte:", d)
print("Adam with L2 minus none:", study.difference("adam_best", "none", "bits"))
claim("OPT-011", d.value, d)
assert (quarter["adamw_best"] < 0.7 * quarter["none"]).all()
assert quarter["adam_strong"][0] < 0.1 * quarter["none"][0]
assert quarter["adam_strong"][3] > 0.9 * quarter["none"][3]

# %% [markdown]
# Two things are to be kept apart. *That L2 acts unevenly* is arithmetic, and the quarters show it on a model: AdamW makes all four smaller; L2 of 0.001 empties the first one, the weights with small gradients,
# and leaves the last one as large as without any penalty. *That decay generalises better* is measured: AdamW at its best is better than Adam with L2 at its best.
# And that best L2 is the weakest that was tried, which cannot be told from none at all. No strength of it helped here.
#
# **What does not decay?** Gains of norms and biases: pulled towards 0 they would switch their feature off. `parameter_groups` makes the two groups.
#
# ## 6 Clipping and accumulation (7 min)
#
# **Clipping** (梯度裁剪; Pascanu et al. 2013): if the gradient of *all* parameters together is longer than $c$, shorten it to $c$. The direction stays.

# %%
worst = 0.0
for c in (0.1, 0.5, 1.0, 3.0):
    parts = [torch.randn(40, dtype=f64), torch.randn(7, 9, dtype=f64)]
    params = [torch.nn.Parameter(p.clone()) for p in parts]
    for p, g in zip(params, parts):
        p.grad = g.clone()
    before = torch.cat([g.flatten() for g in parts])
    clip_grad_norm(params, c)
    after = torch.cat([p.grad.flatten() for p in params])
    cosine = F.cosine_similarity(before, after, dim=0)
    worst = max(worst, abs(after.norm() - c) / c, 1 - cosine)
claim("OPT-016", float(worst))

# %% [markdown]
# Does clipping matter to Adam, which divides by the size anyway? A constant factor on *all* gradients cancels. But one long gradient among short ones does not: section 8.
#
# **Gradient accumulation** (梯度累积): a batch that does not fit into memory is read in parts, the gradients are added, and then the optimizer steps *once*.
# GLM-130B and nearly everybody else does it. The trap: a loss is a mean over targets, and the mean of means is not the mean, if parts have different numbers of targets.

# %%
logits_of = torch.nn.Embedding(50, 50, dtype=f64)  # a bigram model
x, y = torch.randint(50, (2, 8, 16))
y[:3, 4:] = -100  # the first rows are short: most targets are ignored


def gradient(rows, share=1.0):
    logits_of.weight.grad = None
    loss = F.cross_entropy(logits_of(x[rows]).mT, y[rows])
    (share * loss).backward()
    return logits_of.weight.grad.clone()


# %%
parts = [slice(i, i + 2) for i in range(0, 8, 2)]
n = [(y[rows] != -100).sum().item() for rows in parts]
whole = gradient(slice(0, 8))
weighted = sum(gradient(r, k / sum(n)) for r, k in zip(parts, n))
means = sum(gradient(r, 1 / 4) for r in parts)
print(f"mean of means is off by {(means - whole).norm() / whole.norm():.0%}")
claim("OPT-017", (weighted - whole).abs().max().item())

# %% [markdown]
# The course's loop weights by targets (`train`, the line with `share`). The `Trainer` of transformers, for one, took the mean of means until October 2024 ([its repair](https://github.com/huggingface/transformers/pull/34191)).
#
# ## 7 The rate over time (11 min)
#
# **Warm-up** (预热). At the start $\hat v$ is the mean over few gradients, Adam's step is $\eta$ for *every* weight in nearly the same direction step after step, and the loss is steeper than it will ever be.
# So the rate rises on a line.
#
# **Decay.** Near the end the noise of the gradient keeps the weights bouncing around the valley's floor, at a distance that falls with $\eta$. So the rate must fall. **Cosine** (余弦退火) to a tenth of the
# largest is usual. It has a drawback: it must know its end. **WSD** (warm-up, stable, decay; Hu et al. 2024) stays at the top and falls in the last tenth; one may branch off a decay at any time, and go on from the plateau.
# T5 and PaLM fall as $1/\sqrt t$.

# %% tags=["label-schedules"]
N, W = 1000, 50
ends = {"max_lr": 1.0, "min_lr": 0.1, "warmup_steps": W, "total_steps": N}
steps = range(1, N + 1)
curves = {
    "cosine to 10 %": [cosine_schedule(t, **ends) for t in steps],
    "WSD": [wsd_schedule(t, **ends, decay_steps=100) for t in steps],
    "1/√t": [inverse_sqrt_schedule(t, max_lr=1.0, warmup_steps=W) for t in steps],
}
print("rate over the largest, at step")
at = (1, 25, 50, 250, 500, 900, 950, 1000)
print(" " * 14 + "".join(f"{t:6}" for t in at))
for name, curve in curves.items():
    print(f"{name:14}" + "".join(f"{curve[t - 1]:6.2f}" for t in at))

# %%
optimizer, run = scaled("llama_7b", 1000, batch_size=8, context=64)
claim("OPT-006", run.lr_at(1000, optimizer.lr) / optimizer.lr)

# %% [markdown]
# All three rise alike. The cosine falls slowly, then fast, then slowly; WSD stays at the top for nine tenths of the run; the inverse root falls at once, and has no end.
#
# **Predict, then run.** The source says that the warm-up takes 0.1 % to 0.5 % of training. Which of five published runs lie outside?

# %% tags=["label-warmup"]
shares = {k: r.warmup_share for k, r in RECIPES.items() if r.warmup_share}
for name, share in shares.items():
    print(f"{name:12}{share:8.3%}")
claim("OPT-004", max(shares.values()))

# %% [markdown]
# GPT-3 and GLM lie inside, BLOOM a little below, both LLaMAs above. A fixed 2000 steps is the newer habit, and it is the more sensible unit: what must be waited for is $v$'s memory, in steps, not a share of the run.
#
# **One run of your own.** The model of all this lesson's studies (lesson 12's: two layers, 0.1 million parameters) reads docstrings by three schedules, 200 steps each, some ten seconds.

# %% tags=["nbval-ignore-output", "label-live"]
tokens, unseen = rates.texts()
plans = {
    "constant": {"schedule": "constant"},
    "cosine": {"schedule": "cosine"},
    "wsd": {"schedule": "wsd", "decay_steps": 40},
}
losses = {}
for name, plan in plans.items():
    model, log = rates.fresh(seed=6), []
    adam = AdamW(model.parameters(), 0.01, (0.9, 0.95), weight_decay=0.0)
    rates.train_with(adam, model, tokens, 6, log=log.append, **plan)
    losses[name] = [record["loss"] for record in log]
    print(f"{name:9}{bits_on(model, unseen):.3f} bits per byte")
assert losses["wsd"][:160] == losses["constant"][:160]
assert np.mean(losses["wsd"][180:]) < np.mean(losses["constant"][180:])

# %% tags=["nbval-ignore-output", "label-live-figure"]
fig, (left, right) = plt.subplots(1, 2, figsize=(6.6, 2.8), layout="constrained")
for (name, curve), style in zip(curves.items(), ("-", "--", "-.")):
    left.plot(steps, curve, style, label=name)
left.set(xlabel="step of 1000", ylabel="rate over the largest")
left.legend(fontsize=8)
for name, style in (("cosine", "-"), ("wsd", "--"), ("constant", ":")):
    means = np.convolve(losses[name], np.ones(15) / 15, mode="valid")
    right.plot(range(15, 201), means, style, label=name)
right.axvline(160, color="0.7", lw=1)
right.set(xlabel="step of 200", ylabel="loss, nats", ylim=(None, 3.2))
right.legend(fontsize=8)
alt = "Left: the rates of cosine, WSD and inverse root. "
alt += "Right: training loss of three schedules, smoothed. WSD follows the "
alt += "constant rate until step 160 and then falls below it."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Left the shapes, right the runs. Until the grey line WSD *is* the constant run. Then its rate falls, and so does the loss, within a few steps: the weights stop bouncing.

# %% [markdown]
# ### Is my curve normal?
#
# A loss that falls is no proof that a loop is right. Five runs of this model, text and cosine, with other seeds, make a *band*: at each of ten points (means of 20 steps), it is where one more healthy run lies with 99 %,
# if five runs tell the spread rightly. They do so only roughly, and ten points are ten chances; so we flag a run when more than two points (`ALLOWED`) lie outside. Your cosine run:

# %% tags=["nbval-ignore-output", "label-band"]
mine = smooth(losses["cosine"], broken_runs.WINDOW)
band("20a_adamw", mine)

# %% [markdown]
# **What you should see.** Your run lies inside the band, at all points or at all but one or two. If not, find out why before you go on.
#
# Now seven runs with one bug each: the mask lets each token see the next one; targets are the inputs themselves, or are shifted twice; the same eight batches again and again; a rate 16 times too large or too small; no warm-up.
# **Predict** which of them you would *not* notice from the loss alone.

# %% tags=["label-broken"]
known = json.loads((DATA / "bands" / "20a_adamw.json").read_text())
assert len(outside(mine, known)) <= ALLOWED
study = read_results("broken_runs")
print("               points outside   loss at step    bits of")
print("               by seed            20     200   unseen text")
flagged = {}
for arm in broken_runs.ARMS:
    n = [len(outside(run, known)) for run in broken_runs.curves(arm).values()]
    flagged[arm] = [k > ALLOWED for k in n]
    names = ("loss 20", "loss 200", "bits")
    first, last, bits = (study.mean(arm, name).value for name in names)
    by_seed = "".join(f"{k:3}" for k in n)
    print(f"{arm:15}{by_seed}{first:9.2f}{last:8.2f}{bits:9.2f}")

# %%
assert not any(flagged.pop("healthy") + flagged.pop("no_warm_up"))
assert all(all(seeds) for seeds in flagged.values())
d = study.difference("no_warm_up", "healthy", "bits")
print("no warm-up minus healthy, bits per byte:", d)
assert d.high < 0

# %% [markdown]
# Six of the seven bugs are flagged, with every seed. Three of these losses are too *good*: only the text that nobody has read (20 stands for 20 bits or more) tells that the model learned to copy, to peep or to recite.
#
# The seventh is **not** flagged. Without warm-up the loss lies below the band in the first twenty steps, then inside it, and the model ends a little better. At this size, with clipping and Adam's correction, no warm-up is needed ([lesson 11](11_norm.ipynb) has a model that needs one).
# So a band says that a curve is *unusual*. It cannot say that a loop is right.
#
# | what the curve does | likely bug | make sure |
# |---|---|---|
# | near 0 from the first point on | targets not shifted: the model copies | `y[:, :-1]` must equal `x[:, 1:]` |
# | inside at the first point, then near 0 | the mask shows the next token | change the last token: no earlier output may move |
# | inside at first, then farther and farther below | the same batches again; too little text | print the start of some batches |
# | starts at the band's edge, then stays above | targets shifted twice, or of another text | decode one row of `x` and `y` |
# | falls fast at first, then stays above on a level | rate too large | gradient norm; half the rate |
# | far above at first, and nears the band | rate too small, warm-up too long | print the rate of each step |
# | inside | nothing, or a bug that this size forgives | the tests of the loop |
#
# ## 8 How much does the rate matter? (8 min)
#
# Six optimizers on one model, each at seven rates, every one twice the one before; the middle one was best on a seed outside the study. Five seeds, nothing decays, all clip at 1; `adam_cold` is Adam without warm-up.
# The *price of a wrong rate* is the mean over the seven rates of how much worse they are than the best of them (the *learning-rate sensitivity* of Wortsman et al. 2023).

# %% tags=["label-rates"]
study = read_results("rate_sensitivity")
print(study.provenance)
print("            bits at best, at centre   price of a wrong rate")
best, price = {}, {}
for kind in rates.KINDS:
    best[kind] = study.mean(kind, "best bits").value
    centre = study.mean(kind, "bits at centre").value
    price[kind] = study.mean(kind, "sensitivity")
    print(f"{kind:11}{best[kind]:10.3f}{centre:12.3f}        {price[kind]}")

# %% tags=["label-sensitivity"]
fig, ax = plt.subplots(figsize=(5.6, 3.1), layout="constrained")
styles = ("o-", "s--", "^-.", "d:", "P-", "x--")
for kind, style in zip(rates.KINDS, styles):
    means = [study.mean(kind, f"bits at {f:g}") for f in rates.FACTORS]
    error = [[m.value - m.low for m in means], [m.high - m.value for m in means]]
    y = [m.value for m in means]
    ax.errorbar(rates.rates(kind), y, error, fmt=style, label=kind, ms=5)
ax.set(xscale="log", xlabel="largest learning rate", ylabel="bits per byte")
ax.set_ylim(3.2, 5.4)
ax.legend(ncols=2, fontsize=8)
alt = "Bits per byte against the largest rate, a valley for each of six "
alt += "optimizers. SGD's lies near rate 4, is highest and has a steep right "
alt += "wall that leaves the picture; momentum's, near 0.6, is a little lower; "
alt += "those of AdaGrad, RMSprop and Adam lie between 0.005 and 0.08 and lower "
alt += "still; Adam's is the flattest, and without warm-up its right side rises."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** SGD's valley is the highest, and its right wall the steepest (the last point is out of the picture): twice the best rate costs more than half a bit. Momentum's lies at a tenth to a fifth of SGD's rate, near section 1's factor $1/(1-\mu)$. Those
# that divide by past gradients lie lower. Adam with warm-up does not reach the lowest point (RMSProp does, in these 200 steps), but has the flattest valley; without warm-up large rates cost far more.

# %% tags=["label-rates-check"]
adaptive = ("adagrad", "rmsprop", "adam", "adam_cold")
assert max(best[k] for k in adaptive) < best["momentum"] < best["sgd"]
assert min(best, key=best.get) == "rmsprop"
assert min(price, key=lambda kind: price[kind].value) == "adam"
twice = study.mean("sgd", "bits at 2").value - study.mean("sgd", "bits at 1").value
warm = study.difference("adam", "adam_cold", "sensitivity")
least = study.difference("adam", "adam_cold", "best bits")
print("with minus without warm-up, price of a wrong rate:", warm)
print("                            bits at the best rate:", least)
assert twice > 0.5 and warm.high < 0 < least.low

# %% [markdown]
# So warm-up does not buy a better best (it costs a little here), it buys *room for error*; Wortsman et al. found the same in larger models. (Each seed's best of seven is a little flattering, to all alike; at the centre, chosen before, it is not. And one seed is too few to choose a rate: lesson 12.)
#
# ### $\beta_2$ after a spike
#
# How long does $v$ remember? $1/(1-\beta_2)$ steps: 20 for 0.95, which large models use, 1000 for 0.999, torch's and Kingma and Ba's. Let one gradient be $s$ times as long as usual. Right after it
# $v$ is $1+(1-\beta_2)s^2$ times what it was, and $k$ steps later $1+(1-\beta_2)s^2\beta_2^k$ times. Two things follow.
#
# - *The spike's own step*, and its echo in the mean, is up to $(1-\beta_1)/\sqrt{1-\beta_2}$ long: 0.45 for 0.95, but 3.16 for 0.999. (The same numbers as in section 3, for the same reason.)
# - *Afterwards* all steps are too short, until $(1-\beta_2)s^2\beta_2^k<1$.
#
# **Predict.** For $s=100$: after how many steps are they 90 % again, with each $\beta_2$?


# %%
def steps_until(beta2, size, near=0.9):
    """Solve 1 + (1 - beta2) s^2 beta2^k = 1 / near^2 for k."""
    rest = (1 / near**2 - 1) / ((1 - beta2) * size**2)
    return math.log(rest) / math.log(beta2)


# %%
for beta2 in (0.95, 0.999):
    print(f"beta2 {beta2}: {steps_until(beta2, 100):.0f} steps")

# %% [markdown]
# On a model the loss of one step was multiplied by 100; its twin saw the same text without it. 280 steps followed.

# %% tags=["label-spike"]
study = read_results("beta2_spike")
print("beta2, clip   to recover  shortest   loss rise   end, minus twin")
for arm in beta2_spike.ARMS:
    names = ("steps to recover", "least over twin", "loss rise", "bits")
    k, low, rise, bits = (study.mean(arm, name).value for name in names)
    gap = bits - study.mean(arm, "bits of the twin").value
    print(f"{arm:12}{k:8.0f}{low:12.2f}{rise:12.3f}{gap:14.3f}")

# %% tags=["label-spike-claim"]
d = study.difference("0.999_free", "0.95_free", "steps to recover")
print("0.999 minus 0.95, steps to recover:", d)
claim("OPT-008", d.value, d)

# %% [markdown]
# Without clipping the model does what the formula says: 0.95 is back somewhat earlier than predicted, and 0.999 in no run before its end; its 280 is a lower bound. Both end above their twins, 0.999 three times as far:
# its own step was too long, and then all were too short. Which of the two did the harm, this study cannot say.
#
# With clipping at 1 (most models) or 0.5 (Baichuan-2) the spike is cut to the usual length *before* Adam sees it, and next to nothing happens. At this size both limits do.

# %%
gap = {}
for arm in beta2_spike.ARMS:
    runs = study.measured[arm].values()
    gap[arm] = mean_interval([r["bits"] - r["bits of the twin"] for r in runs])
assert 100 < study.mean("0.95_free", "steps to recover").value < 149
assert set(study.values("0.999_free", "steps to recover")) == {280}
assert 2 * gap["0.95_free"].value < gap["0.999_free"].value
clipped = [gap[a] for a in gap if not a.endswith("free")]
assert all(g.low < 0.01 and abs(g.value) < 0.01 for g in clipped)

# %% [markdown]
# ## 9 What the big ones use (5 min)

# %% tags=["label-recipes"]
print("             peak rate  betas       decay clip  warm-up  batch")
for name, r in RECIPES.items():
    betas = "     -     " if r.betas is None else f"{r.betas}"
    decay = "lr²" if r.weight_decay is None else r.weight_decay
    warm = r.warmup_steps or (f"{r.warmup_share:.2%}" if r.warmup_share else 0)
    batch = f"{r.batch_tokens / 1e6:.1f}M" if r.batch_tokens else "?"
    line = f"{name:13}{r.lr:9.1e}  {betas} {decay:>5}{r.clip:5}{warm:>9}"
    print(f"{line}{batch:>7}")

# %% tags=["label-table-claims"]
adamw = [r for r in RECIPES.values() if r.kind == "adamw"]
claim("OPT-005", max(r.lr for r in adamw))
same = all(r.betas == (0.9, 0.95) and r.eps in (None, 1e-8) for r in adamw)
claim("OPT-007", same)


def as_printed(name, clip):
    """Are the recipe's numbers the claimed ones, and does a small run use them?"""
    r, (opt, run) = RECIPES[name], scaled(name, 300, batch_size=8, context=64)
    printed = (r.weight_decay, r.clip, r.warmup_steps) == (0.1, clip, 2000)
    used = (opt.betas, opt.weight_decay, run.clip) == ((0.9, 0.95), 0.1, clip)
    return printed and used


claim("OPT-012", as_printed("llama_7b", 1.0))
claim("OPT-013", as_printed("baichuan2_7b", 0.5))

# %% [markdown]
# The source gives $5\cdot10^{-5}$ to $10^{-4}$ as the range of the largest rate. It holds for models of 100 billion parameters and more; LLaMA-7B's is three times the upper end, and our models of 0.1 million bear a hundred times
# as much. The larger the model, the smaller the rate. PaLM's 0.01 is another unit: its optimizer multiplies the rate by the size of the weights ([20b](20b_adafactor.ipynb)). (The article prints "10-8" and "5×10-5": superscripts were lost.) One caution: GLM's paper says $8\cdot10^{-5}$, but its released
# script $4\cdot10^{-5}$, overriding the schedule: what a paper prints is the plan, not always the run.
#
# | number | what it does | larger | smaller |
# |---|---|---|---|
# | peak rate | length of a step of every weight | faster, then unstable | slower |
# | $\beta_1=0.9$ | the direction is a mean over 10 gradients | smoother, later | noisier |
# | $\beta_2=0.95$ | the scale is a mean over 20 squares | steadier, but long in shock after a spike | quick to adapt, noisy |
# | $\epsilon=10^{-8}$ | floor of the denominator | weights with tiny gradients move less | division by nearly nothing |
# | decay 0.1 | weights forget in $1/(\eta\lambda)$ steps | smaller weights | larger weights |
# | clip 1.0, 0.5 | cap on one step's gradient | spikes pass | every step is capped |
# | warm-up | time for $v$ to fill | safer | wasted less |
# | last rate 10 % | how still the weights are at the end | bounces | nothing learned at the end |
#
# ## Common mistakes
#
# | what you see | likely bug |
# |---|---|
# | loss is NaN in the first steps | no warm-up, or no bias correction with β₂ = 0.999 |
# | loss falls, then jumps, then stays | rate too large; look at the gradient norm before clipping |
# | accumulation changes the result | mean of means; weight by targets |
# | `weight_decay` of torch's Adam does little | it is L2 inside the gradient: take AdamW |
# | gains of norms near 0 | they decay: use two groups |
# | steps grow without end over accumulation | `zero_grad` is missing |
#
# ## Homework (38 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The rest of the notebook does not depend on your answers.
#
# ### Exercise 1 · GPT-3's schedule counts tokens (6 min, ★☆☆)
#
# The rate rises on a line over the first `warmup` tokens, falls along half a cosine to a tenth of `peak` at `decay` tokens, and stays there. Return it for `seen` tokens.
#
# <details><summary>Hint 1</summary>Three cases. In the middle one r = (seen − warmup) / (decay − warmup) runs from 0 to 1.</details>
# <details><summary>Hint 2</summary>peak · (0.1 + 0.9 · (1 + cos(π r)) / 2).</details>


# %% tags=["exercise"]
def rate_at(seen, peak, warmup, decay):
    # BEGIN SOLUTION
    if seen < warmup:
        return peak * seen / warmup
    r = min(1.0, (seen - warmup) / (decay - warmup))
    return peak * (0.1 + 0.9 * (1 + math.cos(math.pi * r)) / 2)
    # END SOLUTION


# %% tags=["check"]
def package_rate(seen, peak, warmup, decay):
    ends = {"max_lr": peak, "min_lr": peak / 10}
    ends |= {"warmup_steps": warmup, "total_steps": decay}
    return cosine_schedule(seen, **ends)


seen = (0, 10**8, 375 * 10**6, 10**11, 26 * 10**10, 3 * 10**11)
cases = [(n, 6e-5, 375 * 10**6, 26 * 10**10) for n in seen]
check(rate_at, package_rate, cases + [(7, 1.0, 5, 9), (3, 2.0, 4, 20)])

# %% [markdown]
# ### Exercise 2 · AdaMax (9 min, ★★☆)
#
# Kingma and Ba give a second optimizer in section 7.1: instead of the root of a mean square it remembers the *largest* size, which fades. $m$ as in Adam (the ε is torch's);
# $u\leftarrow\max(\beta_2u,\ |g|+\epsilon)$; $w\leftarrow w-\frac{\eta}{1-\beta_1^t}\cdot\frac mu$. Given the gradients of all steps, (steps, n), and weights that start at 0, return the weights at the end. No torch.optim.
#
# <details><summary>Hint 1</summary>u needs no correction: at the first step it is |g| already.</details>
# <details><summary>Hint 2</summary><code>torch.maximum(beta2 * u, g.abs() + eps)</code>; t counts from 1.</details>


# %% tags=["exercise"]
def adamax(grads, lr=0.01, betas=(0.9, 0.99), eps=1e-8):
    # BEGIN SOLUTION
    w, m, u = (torch.zeros_like(grads[0]) for _ in range(3))
    for t, g in enumerate(grads, start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        u = torch.maximum(betas[1] * u, g.abs() + eps)
        w = w - lr / (1 - betas[0] ** t) * m / u
    return w
    # END SOLUTION


# %% tags=["check"]
def torch_adamax(grads, lr=0.01, betas=(0.9, 0.99), eps=1e-8):
    w = torch.zeros_like(grads[0], requires_grad=True)
    optimizer = torch.optim.Adamax([w], lr=lr, betas=betas, eps=eps)
    for g in grads:
        w.grad = g.clone()
        optimizer.step()
    return w.detach()


some = torch.randn(60, 5, dtype=f64)
cases = [(some,), (some * torch.logspace(0, -3, 60, dtype=f64)[:, None], 0.1)]
cases += [
    (some[:1],),
    (some, 0.01, (0.5, 0.6)),
    (1e-6 * some, 0.01, (0.9, 0.99), 1e-5),
]
check(adamax, torch_adamax, cases)

# %% [markdown]
# ### Exercise 3 · After a spike (9 min, ★★☆)
#
# Every gradient of a weight is 1, for ever. Then one is `size`, then all are 1 again. Return the length of Adam's step over `lr`, `k` steps after the spike (k = 0 is the spike's own step), from a formula, without a loop. Start-up and ε play no part.
#
# <details><summary>Hint 1</summary>Before: m = v = 1. At the spike m = 1 + (1 − β₁)(size − 1). What remains of the excess k steps later?</details>
# <details><summary>Hint 2</summary>m = 1 + (1 − β₁)(size − 1) β₁ᵏ and v = 1 + (1 − β₂)(size² − 1) β₂ᵏ. The length is m / √v.</details>


# %% tags=["exercise"]
def step_after_spike(size, k, beta1, beta2):
    # BEGIN SOLUTION
    m = 1 + (1 - beta1) * (size - 1) * beta1**k
    v = 1 + (1 - beta2) * (size**2 - 1) * beta2**k
    return m / math.sqrt(v)
    # END SOLUTION


# %% tags=["check"]
def by_simulation(size, k, beta1, beta2):
    w, m, v = torch.tensor([[0.0], [1.0], [1.0]], dtype=f64)
    how = {"step": 10**6, "lr": 1.0, "betas": (beta1, beta2), "eps": 1e-30}
    for g in [size] + [1.0] * k:
        before = w.clone()
        adam_step(w, torch.full((1,), g, dtype=f64), m, v, **how)
    return (before - w).item()


cases = [(100.0, k, 0.9, b) for k in (0, 1, 20) for b in (0.95, 0.999)]
check(step_after_spike, by_simulation, cases + [(3.0, 2, 0.5, 0.9)])

# %% [markdown]
# ### Exercise 4 · The gradient of the big batch (6 min, ★☆☆)
#
# `parts` holds pairs (mean gradient of a part, number of its targets). A part without targets has no mean: its gradient is NaN, and it must count for nothing. Return the mean gradient over all targets (zeros, if there are none at all).
#
# <details><summary>Hint 1</summary>Sum of gradient times number, over the sum of the numbers.</details>
# <details><summary>Hint 2</summary>0 · NaN is NaN: leave such parts out.</details>


# %% tags=["exercise"]
def accumulate(parts):
    # BEGIN SOLUTION
    total = sum(n for _, n in parts)
    out = torch.zeros_like(parts[0][0])
    for g, n in parts:
        if n > 0:
            out = out + g * (n / total)
    return out
    # END SOLUTION


# %% tags=["check"]
def from_single_targets(parts):
    rows = [g.expand(n, *g.shape) for g, n in parts]
    rows = torch.cat(rows)
    return rows.mean(dim=0) if len(rows) else torch.zeros_like(parts[0][0])


g = torch.randn(5, 3, dtype=f64)
nothing = torch.full((3,), math.nan, dtype=f64)
cases = [([(g[0], 4), (g[1], 4)],), ([(g[0], 1), (g[1], 9), (g[2], 2)],)]
cases += [([(nothing, 0), (g[3], 5), (g[4], 2)],), ([(nothing, 0)],)]
check(accumulate, from_single_targets, cases)

# %% [markdown]
# ### Exercise 5 · How strong must the lasso be? (8 min, ★★☆)
#
# If the features are orthonormal, the lasso's weights are `soft_threshold(z, strength)`, with z the weights without penalty. Return the smallest strength that leaves at most `k` weights that are not zero.
#
# <details><summary>Hint 1</summary>Sort the sizes, largest first. Which of them must just be reached?</details>
# <details><summary>Hint 2</summary>Entry number k (counted from 0) must become zero, and exactly its size does that. If k is at least len(z), nothing must.</details>


# %% tags=["exercise"]
def strength_for(z, k):
    # BEGIN SOLUTION
    sizes = sorted((abs(v) for v in z), reverse=True)
    return sizes[k] if k < len(sizes) else 0.0
    # END SOLUTION


# %% tags=["check"]
def by_trial(z, k):
    """Try zero and all sizes: the strength lies among them."""
    z = torch.tensor(z, dtype=f64)
    for strength in sorted([0.0, *z.abs().tolist()]):
        if soft_threshold(z, strength).count_nonzero() <= k:
            return strength


z = [0.3, -2.0, 0.9, -0.9, 1.4]
check(strength_for, by_trial, [(z, k) for k in (0, 1, 2, 3, 5, 9)])

# %% [markdown]
# ## At scale
#
# *Rate.* Everything above is a model of 0.1 million parameters. Wortsman et al. (2023) draw the same curves for models many times as large, and find that warm-up, QK-norm and z-loss (lesson 21) widen the range of good rates.
# *Decay.* At a rate of $3\cdot10^{-4}$ and decay 0.1 a weight forgets in $1/(\eta\lambda)\approx33\,000$ steps: LLaMA-7B's whole run, with its cosine, is about four such times. *Clipping.* PaLM's loss spiked some twenty times with clipping on; lesson 21 asks what helps then.
# *Memory.* AdamW keeps two numbers beside each weight; [20b](20b_adafactor.ipynb) makes do with less. *On a GPU*: not measured yet.
#
# ## Recap
#
# - The steepest direction sets the rate, the flattest pays. Momentum multiplies agreeing gradients by $1/(1-\mu)$.
# - AdaGrad, RMSProp and Adam divide by the size of past gradients: a weight that is rarely used moves several times as far as with SGD.
# - $m$ and $v$ start at 0; the weights of their sums add to $1-\beta^t$; dividing by it is the bias correction.
# - L1 takes an amount and makes zeros, L2 takes a share. Inside Adam L2 is divided by $\sqrt v$ and is no decay; AdamW decays all alike.
# - Clip the whole gradient; weight accumulated parts by targets; warm up, then fall to a tenth.
# - Every AdamW run of the table has $\beta=(0.9,0.95)$, decay 0.1, clip 1 or 0.5. The rate falls with size.
# - A band of healthy runs flags most bugs, and a loss that is too good is one of the signs.
#
# ## Questions
#
# 1. A valley has curvatures 0.01 and 100. What is SGD's largest rate, and how many steps does the flat direction need to halve?
# <details><summary>Answer</summary>0.02. A step keeps 1 − 0.0002, so about ln 2 / 0.0002 = 3466 steps.</details>
#
# 2. Multiply the loss by 1000. What changes for SGD, for Adam, for Adam with L2, for AdamW, for clipping at 1?
# <details><summary>Answer</summary>SGD's steps grow a thousandfold. Adam's and AdamW's do not change (but for ε). With L2 inside, the penalty is a thousand times weaker against the gradient. Clipping now acts at every step, and cancels most of it.</details>
#
# 3. Why is Adam's first step exactly lr long for every weight?
# <details><summary>Answer</summary>After correction m̂ = g and v̂ = g², and g / |g| is a sign.</details>
#
# 4. Why does L1 by plain gradient steps give no exact zeros?
# <details><summary>Answer</summary>Its slope is ±λ however small the weight is: the step jumps over zero and back.</details>
#
# 5. Someone reports that AdamW beats Adam at weight_decay = 0.1 for both. What do you ask?
# <details><summary>Answer</summary>Whether each had its own best strength: the two numbers do not mean the same thing.</details>
#
# 6. A norm stands behind a matrix. What does weight decay on that matrix do to the function?
# <details><summary>Answer</summary>At that moment nothing. But with smaller weights the same step turns them further: it raises the effective rate.</details>
#
# ## Sources
#
# - Kingma and Ba 2015, *Adam*, [arXiv:1412.6980](https://arxiv.org/abs/1412.6980): the algorithm, section 3 for the correction, section 7.1 for AdaMax.
# - Loshchilov and Hutter 2019, *Decoupled Weight Decay Regularization*, [arXiv:1711.05101](https://arxiv.org/abs/1711.05101): AdamW; and 2017, *SGDR*, [arXiv:1608.03983](https://arxiv.org/abs/1608.03983): the cosine.
# - Duchi et al. 2011, *Adaptive Subgradient Methods*, JMLR 12: AdaGrad. Tieleman and Hinton 2012, lecture 6.5: RMSProp. Polyak 1964 and Sutskever et al. 2013: momentum and Nesterov's form.
# - Tibshirani 1996: the lasso. Parikh and Boyd 2014, *Proximal Algorithms*: the exact steps.
# - Pascanu et al. 2013, [arXiv:1211.5063](https://arxiv.org/abs/1211.5063): clipping. Hu et al. 2024, *MiniCPM*, [arXiv:2404.06395](https://arxiv.org/abs/2404.06395): WSD.
# - Wortsman et al. 2023, [arXiv:2309.14322](https://arxiv.org/abs/2309.14322): learning-rate sensitivity, at scale.
# - Settings: Brown et al. 2020, [arXiv:2005.14165](https://arxiv.org/abs/2005.14165), appendix B; Chowdhery et al. 2022, [arXiv:2204.02311](https://arxiv.org/abs/2204.02311), section 5; Touvron et al. 2023, [arXiv:2302.13971](https://arxiv.org/abs/2302.13971), section 2.3;
#   Zeng et al. 2022, [arXiv:2210.02414](https://arxiv.org/abs/2210.02414), section 2.3; BLOOM's `tr11-176B-ml.slurm` and GLM-130B's `glm-130b.sh`; Yang et al. 2023, [arXiv:2309.10305](https://arxiv.org/abs/2309.10305), section 2.5.
#
# ## Next
#
# [20b Adafactor](20b_adafactor.ipynb): two numbers beside each weight are a lot. What can be saved, how large should a batch be, and what has come after AdamW?

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
# # 14 RoPE: how can turning a vector tell attention how far apart two tokens are?
#
# 75 min · CPU · 15 s · 0.5 GB · needs [09 Attention](09_attention.ipynb) · code: `minillm/model/rope.py`
#
# A clock says what time it is by the angle of its hands. Show someone two photographs of one
# clock, and they can say how much time lies between them. **RoPE** (rotary position embedding,
# 旋转位置编码) puts such hands on every token: it turns a vector by an angle proportional to the
# token's position. LLaMA, Qwen, Mistral and GLM all do this.
#
# After this lesson you can
#
# 1. derive RoPE from two demands, and name what the demands leave free;
# 2. turn vectors of any even width as complex numbers, by a matrix, and the fast way;
# 3. test that attention scores depend on distance only, and say what that test cannot see;
# 4. explain what the famous long-range decay is, and what it is not;
# 5. convert weights between the two storage layouts, and diagnose the bugs that really happened.

# %% tags=["setup"]
import cmath
import json
import math
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import rearrange

import minillm
from minillm.lesson import check, claim, setup, show
from minillm.model.attention import attention
from minillm.model.rope import apply_rope, interleaved_to_half, rope
from minillm.model.rope import rope_angles, rope_frequencies, rope_matrix

setup(seed=14)
torch.set_default_dtype(torch.float64)  # we check identities to 1e-12

# %% [markdown]
# > **Taken from lesson 09.** Each token hands out three vectors: a query $q$ (查询, what it looks
# > for), a key $k$ (键, what it offers) and a value (值). The *score* of a pair of tokens is the
# > inner product $q^\top k$; a softmax over the scores gives the weights with which values are
# > averaged. In this lesson only the score matters. Positions count from 0; a query stands at
# > position $m$, a key at position $n$.
#
# **The lesson in one picture.** You need not read the code that draws it. The black arrow is a
# query of width 2, the dashed one a key. Each is turned by 0.6 radians for every position it
# stands from the start of the text. (A radian, 弧度, is about 57 degrees; a circle has $2\pi$.)


# %% tags=["label-dials"]
def draw_dials(ax, m, n, theta=0.6):
    q = cmath.rect(1, m * theta)  # an arrow of length 1 at this angle
    k = cmath.rect(0.8, n * theta - 0.2)
    score = (q * k.conjugate()).real  # the inner product of the two arrows
    ax.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.8"))
    arrows = [("query", q, "-", "k"), ("key", k, "--", "C0")]
    for name, z, style, colour in arrows:
        arrow = {"arrowstyle": "->", "ls": style, "color": colour, "lw": 2}
        ax.annotate("", (z.real, z.imag), (0, 0), arrowprops=arrow)
        z *= 1.32 / abs(z)
        ax.text(z.real, z.imag, name, ha="center", va="center")
    ax.set_title(f"query at {m}, key at {n}\nscore {score:+.3f}")
    ax.set(xlim=(-1.7, 1.7), ylim=(-1.6, 1.6), aspect=1, xticks=[], yticks=[])


fig, axes = plt.subplots(1, 3, figsize=(6.6, 2.6), layout="constrained")
for ax, (m, n) in zip(axes, [(2, 0), (5, 3), (9, 3)]):
    draw_dials(ax, m, n)
alt = "Three dials with a query arrow and a key arrow. At positions 2, 0"
alt += " and 5, 3 the angle between them and the score are equal, at 9, 3 not."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** In the first two dials both arrows have moved, but the angle between
# them is the same, and so is the score. The distance is 2 both times. In the third dial the
# distance is 6, and the score is another one.

# %% [markdown]
# ## 1 What attention cannot see (4 min)
#
# Attention is an average, and an average does not know the order of its terms.
#
# **Predict, then run.** Four tokens are shuffled: keys and values together. By how much does
# the output of the query change?
#
# <details><summary>Answer</summary>Not at all. "Dog bites man" and "man bites dog" look the
# same to a query. The only difference is rounding.</details>

# %%
q = torch.randn(1, 1, 1, 8)  # (B, N, T, H): one query
k, v = torch.randn(2, 1, 1, 4, 8)  # four keys and their values
order = torch.tensor([2, 0, 3, 1])
before = attention(q, k, v)
after = attention(q, k[:, :, order], v[:, :, order])
print("largest difference:", round((before - after).abs().max().item(), 12))

# %% [markdown]
# So the position must be written into the vectors. Lesson 13 *adds* something: a learned vector
# to each token, or a penalty to each score. Here we look for a function $f$ that writes
# position $m$ into a query and position $n$ into a key, with two properties.
#
# - **Cheap:** it touches each vector once, alone. It never looks at a pair. (This is called the
#   *absolute form*, 绝对位置.)
# - **Relative:** the score of two written vectors depends on where they stand only through the
#   distance $m-n$ (相对位置). "The word before" should mean the same on page 1 and on page 9.
#
# It sounds impossible: how can a key that knows nothing of the query know the distance to it?

# %% [markdown]
# ## 2 Five ways to write a complex number (7 min)
#
# Two numbers make the smallest vector that can turn, and turning is what complex numbers
# (复数) do best. Here is one of them in five forms:
#
# | form | $z = a + b\,\mathrm i$, with $\mathrm i^2=-1$ | used below for |
# |---|---|---|
# | algebraic | $a + b\,\mathrm i$ | multiplying by hand |
# | vector | $(a, b)$ | what the model stores |
# | matrix | $\begin{pmatrix}a&-b\\b&a\end{pmatrix}$ | seeing a product as a linear map |
# | polar | $r(\cos\varphi + \mathrm i\sin\varphi)$ | separating length and direction |
# | exponential | $r\,e^{\mathrm i\varphi}$ | turning: angles simply add |
#
# Here $a$ is the real part, $b$ the imaginary part, $r=\lVert z\rVert=\sqrt{a^2+b^2}$ the *modulus*
# (模) and $\varphi$ the *argument* or *phase* (幅角), the angle from the first axis.

# %%
z, r, phi = 3 + 5j, abs(3 + 5j), cmath.phase(3 + 5j)
print(f"algebraic    {z}")
print(f"vector       {[z.real, z.imag]}")
print(f"matrix       {[[z.real, -z.imag], [z.imag, z.real]]}")
print(f"polar        {r:.4f} (cos {phi:.4f} + i sin {phi:.4f})")
print(f"exponential  {r:.4f} e^(i {phi:.4f})")

# %% [markdown]
# **Where the matrix comes from.** Multiply by hand, using $\mathrm i^2=-1$:
#
# $$(a+b\,\mathrm i)(x+y\,\mathrm i) = (ax-by) + (bx+ay)\,\mathrm i .$$
#
# The new vector is the matrix of the table times the old vector $(x,y)$. So "multiply by $z$" is a
# linear map, and everything one does with complex numbers can be done with such matrices. We
# check the dictionary on random numbers: sum, product, conjugate, modulus. (The *conjugate*, 共轭,
# is $z^*=a-b\,\mathrm i$: the mirror image, angle $-\varphi$.)
#
# `claim` hands the largest error to the course's ledger of claims, where a rule was written *before*
# the run (here: at most $10^{-12}$), and prints only the verdict.


# %%
def matrix(z):
    return np.array([[z.real, -z.imag], [z.imag, z.real]])


rng = np.random.default_rng(14)
errors = []
for a, b, x, y in rng.normal(size=(1000, 4)):
    z, w = complex(a, b), complex(x, y)
    errors.append(matrix(z) + matrix(w) - matrix(z + w))
    errors.append(matrix(z) @ matrix(w) - matrix(z * w))
    errors.append(matrix(z).T - matrix(z.conjugate()))
    errors.append(np.linalg.det(matrix(z)) - abs(z) ** 2)
claim("POS-003", max(np.abs(error).max() for error in errors))

# %% [markdown]
# **Why the exponential form is true** (Euler's formula, 欧拉公式). Put $\mathrm i\varphi$ into the
# power series $e^x = 1 + x + x^2/2! + \dots$ The even terms are the series of the cosine, the odd
# ones $\mathrm i$ times the series of the sine. Twenty terms are enough:

# %%
series = sum((1j * phi) ** n / math.factorial(n) for n in range(20))
assert abs(series - complex(math.cos(phi), math.sin(phi))) < 1e-12
print(f"{series:.6f} is cos {phi:.4f} + i sin {phi:.4f}")

# %% [markdown]
# **Predict, then run.** Multiply $3+5\mathrm i$ by $\mathrm i$. Where does the arrow point now,
# and how long is it?
#
# <details><summary>Answer</summary>It is turned by a quarter circle, counter-clockwise, to −5 + 3i,
# and just as long: i has modulus 1 and phase 90°.</details>
#
# The rule behind it: a product multiplies the moduli and adds the phases,
# $r e^{\mathrm i\varphi}\cdot s e^{\mathrm i\psi} = rs\,e^{\mathrm i(\varphi+\psi)}$.

# %%
print((3 + 5j) * 1j)
w = rng.normal(size=(1000, 2)) @ [1, 1j]  # a thousand random complex numbers
turned = cmath.exp(0.5j) * w
angles, lengths = np.angle(turned / w), abs(turned) - abs(w)
claim("POS-004", max(abs(angles - 0.5).max(), abs(lengths).max()))

# %% tags=["label-multiply"]
x = np.array([0, 2, 2, 0.6, 0.6, 1.6, 1.6, 0.6, 0.6, 0, 0])
y = np.array([0, 0, 0.5, 0.5, 1.2, 1.2, 1.7, 1.7, 3, 3, 0])
letter = x + 1j * y
fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.7), layout="constrained")
for ax, r in zip(axes, (1.0, 0.5)):
    moved = r * cmath.exp(0.7j) * letter
    ax.plot(letter.real, letter.imag, "--", label="before")
    ax.plot(moved.real, moved.imag, "-", label="after")
    ax.set(title=f"times a number of modulus {r}", aspect="equal")
    ax.legend()
alt = "A letter F before and after multiplication: by a number of modulus 1"
alt += " it is turned, by a number of modulus 0.5 it is turned and shrunk."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Multiplying by a number of modulus 1 turns the shape and changes
# nothing else; with another modulus it is scaled as well. Those of modulus 1 are our clock hands.

# %% [markdown]
# ## 3 A score is the real part of a product (4 min)
#
# Read two vectors of width 2 as complex numbers: $[3,5]$ as $q=3+5\mathrm i$ and $[1,6]$ as
# $k=1+6\mathrm i$. Multiply $q$ by the conjugate of $k$, and compute the inner product.

# %% tags=["label-product"]
q, k = 3 + 5j, 1 + 6j
product = q * k.conjugate()
print("inner product of the vectors  ", np.dot([3, 5], [1, 6]))
print("q times the conjugate of k    ", product)
assert product == 33 - 13j
claim("POS-001", product.real)

# %% [markdown]
# It is no accident:
#
# $$(a+b\,\mathrm i)(c-d\,\mathrm i) = (ac+bd) + (bc-ad)\,\mathrm i ,
# \qquad\text{so}\qquad \langle q,k\rangle = \operatorname{Re}[\,q\,k^*].$$
#
# And in the exponential form, writing $\Theta(q)$ for the phase of $q$:
# $q\,k^* = \lVert q\rVert\,\lVert k\rVert\, e^{\mathrm i(\Theta(q)-\Theta(k))}$. **A score knows the
# two lengths and the difference of the two phases.** Differences are what we are after.

# %%
Q = rng.normal(size=(10_000, 2)) @ [1, 1j]
K = rng.normal(size=(10_000, 2)) @ [1, 1j]
dots = Q.real * K.real + Q.imag * K.imag
claim("POS-002", abs((Q * K.conj()).real - dots).max())

# %% [markdown]
# ## 4 Two demands, one answer (13 min)
#
# We look for $f(q,m)$, a complex number again, that writes position $m$ into $q$. The same $f$
# serves queries and keys. The demands:
#
# $$\textbf{(A)}\;\; f(q,0)=q \qquad\qquad \textbf{(B)}\;\; f(q,m)\,f(k,n)^* = g(q,k,m-n).$$
#
# (A) says that position 0 is no change. (B) says that what a score is made of depends on the
# distance only; $g$ can be any function. Strictly we need (B) only for the real part. Asking it of
# the whole complex number makes the algebra easy, and in a moment we shall see what it costs.
#
# Split both sides into modulus and phase, $f = R_f\,e^{\mathrm i\Theta_f}$ and
# $g=R_g\,e^{\mathrm i\Theta_g}$. Then (B) becomes two equations:
#
# $$R_f(q,m)\,R_f(k,n) = R_g(q,k,m-n) \tag{1}$$
# $$\Theta_f(q,m)-\Theta_f(k,n) = \Theta_g(q,k,m-n) \tag{2}$$
#
# The minus sign is the conjugate's.

# %% [markdown]
# **Step 1: the modulus.** Put $n=m$ into (1). The right side is $R_g(q,k,0)$, the same for every
# $m$, so we may read it off at $m=0$, where (A) tells us everything:
#
# $$R_f(q,m)\,R_f(k,m) = R_g(q,k,0) = \lVert q\rVert\,\lVert k\rVert .$$
#
# Now let the key be the same vector as the query, $k=q$:
# $R_f(q,m)^2=\lVert q\rVert^2$. **The length does not depend on the position.**
#
# (The Chinese article that this lesson follows says at this point "we may simply set"
# $R_f=\lVert q\rVert$, as if there were a choice. With one $f$ for queries and keys there is none. Section 13 shows the choice that
# appears with two.)
#
# **Predict, then run.** Three candidates turn alike, but let the length grow by a factor $c$ from
# one position to the next: 1, 1.01, 1.1. For which does the score of two tokens at distance 3 stay
# the same along the text?
#
# <details><summary>Answer</summary>Only for c = 1. Even one per cent is seen at once.</details>

# %% tags=["label-lengths"]
q, k, m = 3 + 5j, 1 + 6j, np.arange(3, 20)
for c in (1, 1.01, 1.1):
    Q = c**m * q * np.exp(0.6j * m)
    K = c ** (m - 3) * k * np.exp(0.6j * (m - 3))
    scores = (Q * K.conj()).real
    print(f"c = {c:4}: scores from {min(scores):5.2f} to {max(scores):6.2f}")

# %% [markdown]
# **Step 2: the phase is moved by the same amount for every vector.** Put $n=m$ into (2) and read
# the right side off at $m=0$ again:
#
# $$\Theta_f(q,m)-\Theta_f(k,m) = \Theta(q)-\Theta(k),\qquad\text{hence}\qquad
# \Theta_f(q,m)-\Theta(q) = \Theta_f(k,m)-\Theta(k).$$
#
# The left side knows only $q$, the right side only $k$. They are equal for all $q$ and $k$, so
# neither matters: both are one function of the position alone. Call it $\phi(m)$:
#
# $$\Theta_f(q,m) = \Theta(q)+\phi(m),\qquad \phi(0)=0 .$$

# %% [markdown]
# **Step 3: the phase is an arithmetic progression** (等差数列). Put $n=m-1$ into (2):
#
# $$\phi(m)-\phi(m-1) = \Theta_g(q,k,1)+\Theta(k)-\Theta(q).$$
#
# The right side does not contain $m$. So every step of $\phi$ is equally large. Call the step
# $\theta$; then $\phi(m)=m\,\theta$. (All phases are meant up to full circles.) Together:
#
# $$\boxed{\,f(q,m) = \lVert q\rVert\,e^{\mathrm i(\Theta(q)+m\theta)} = q\,e^{\mathrm i m\theta}\,}$$
#
# **To write position $m$ into a vector, turn it by $m\,\theta$.**
#
# A slip to know of: the source article says that $q$ is multiplied by "an imaginary number with
# $\lVert z\rVert=1$". It is a *complex* number of modulus 1. Its real part is $\cos m\theta$, and only
# at quarter turns is that 0. In the cell: (B) holds at 60 × 60 positions, (A) holds, and the
# slip gets the ledger's verdict for a sentence that arithmetic refutes.
#
# (The older sinusoidal positions of lesson 13 can be motivated by a Taylor expansion, that is, as an
# approximation. Here nothing was approximated.)


# %%
def f(z, m, theta=0.6):
    return z * cmath.exp(1j * m * theta)


def g(distance):
    return f(q * k.conjugate(), distance)


at = range(60)
errors = [f(q, m) * f(k, n).conjugate() - g(m - n) for m in at for n in at]
claim("POS-005", max(abs(error) for error in errors))
claim("POS-006", abs(f(q, 0) - q))
claim("POS-014", max(abs(f(1, m).real) for m in range(1, 101)))

# %% [markdown]
# **A second opinion, by machine.** Forget the algebra. Let the twelve angles
# $\phi(0),\dots,\phi(11)$ be free numbers, start from a mess, and ask gradient descent to make scores
# at equal distance equal. Will it find equal steps by itself?
#
# > **Taken on trust until [lesson 20a](20a_adamw.ipynb):** `Adam` changes the angles a little at a time so that
# > `loss` falls. Here `loss` is the variance of the scores along each diagonal of the table "query
# > position × key position".

# %%
T = 12
start = 0.5 * torch.arange(T) + 0.6 * torch.randn(T)
start -= start[0].item()
phi = start.clone().requires_grad_()
Q, K = torch.randn(2, 64, 1, dtype=torch.complex128)


def unevenness(phi):
    turn = torch.polar(torch.ones(T), phi)  # e^(i phi), for each position
    # for each of 64 pairs p of vectors: query at position m, key at position n
    scores = torch.einsum("pm,pn->pmn", Q * turn, (K * turn).conj()).real
    diagonals = [scores.diagonal(d, 1, 2) for d in range(2 - T, T - 1)]
    return sum(d.var(-1, unbiased=False).mean() for d in diagonals)


# %%
adam = torch.optim.Adam([phi], lr=0.02)
for _ in range(400):
    adam.zero_grad()
    loss = unevenness(phi)
    loss.backward()
    adam.step()
steps = phi.detach().diff()
assert loss < 1e-9 and steps.max() - steps.min() < 1e-4
print("all eleven steps are equal; the machine agrees")

# %% tags=["label-progression"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 2.5), layout="tight")
left.plot(start, "o--", label="at the start")
left.plot(phi.detach() - phi[0].item(), "s-", label="found")
left.set(xlabel="position m", ylabel="angle φ(m) − φ(0)", xticks=range(0, 12, 2))
right.plot(range(1, T), start.diff(), "o", label="at the start")
right.bar(range(1, T), steps, color="C1", label="found")
right.set(xlabel="position m", ylabel="step φ(m) − φ(m−1)")
left.legend(), right.legend()
alt = "Angles by position: scattered at the start, on a straight line after"
alt += " gradient descent, when all steps from position to position are equal."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** The angles, scattered at first, end on a straight line, and all steps
# have one size. Nobody told the machine *which* size: $\theta$ is free.
#
# **What the demands leave free.** Three things:
#
# 1. the speed $\theta$;
# 2. we asked (B) of the whole complex number. If only the real part must depend on the distance,
#    mirror images slip in as well;
# 3. one $f$ for both. With $f_q\ne f_k$ a factor $\gamma^m$ is possible (section 13).
#
# Number 2 by example: conjugate the vector at every odd position. The score depends on
# the distance only; its hidden imaginary part does not.


# %%
def mirror(z, m):
    return z.conjugate() if m % 2 else z


pairs = [mirror(q, m) * mirror(k, m - 2).conjugate() for m in range(2, 8)]
print("real parts     ", [z.real for z in pairs])
print("imaginary parts", [z.imag for z in pairs])

# %% [markdown]
# **The same answer without complex numbers** (optional, for those who like linear algebra).
# Let $q$ have any width and ask only $\langle f(q,m),f(k,n)\rangle=g(q,k,m-n)$.
#
# - At $n=m$: $\langle f(q,m),f(k,m)\rangle=\langle q,k\rangle$. A map that keeps all inner products is
#   linear, and its matrix is orthogonal (正交矩阵): $f(q,m)=W_m q$ with $W_m^\top W_m=I$, $W_0=I$.
# - The positions $(1,n)$ and $(0,n-1)$ have the same distance, so $W_1^\top W_n = W_0^\top W_{n-1}
#   = W_{n-1}$. Multiply by $W_1$: $W_n=W_1W_{n-1}=\dots=W_1^{\,n}$.
# - A theorem of linear algebra: in a suitable basis *every* orthogonal $W_1$ consists of plane
#   rotations, and perhaps some entries $\pm1$.
#
# The basis can be hidden in the weights that make $q$ and $k$. So RoPE is not one clever
# solution among many: up to mirror images it is all there is. Let us take a random orthogonal matrix
# and look at its eigenvalues.

# %%
W = torch.linalg.qr(torch.randn(8, 8))[0]
powers = [torch.linalg.matrix_power(W, m) for m in range(40)]
q8, k8 = torch.randn(8), torch.randn(8)
pairs = [(powers[m] @ q8, powers[m - 5] @ k8) for m in range(5, 40)]
scores = torch.stack([a @ b for a, b in pairs])
assert scores.max() - scores.min() < 1e-12
moduli = torch.linalg.eigvals(W).abs()
print("scores at distance 5 are equal")
print("moduli of the eigenvalues:", {round(x, 6) for x in moduli.tolist()})

# %% [markdown]
# **Widget.** The dials from the top, with sliders (they move when you run the notebook).
# *Question:* find two settings with different positions and different distances that give the
# same score. What does that tell you about one pair with a single speed $\theta$?
#
# <details><summary>Answer</summary>Distances that differ by a full circle look the same: at θ = 0.6
# a circle is about 10.5 positions, so a distance of 21 looks like 0. One hand of a clock is not
# enough. That is why the next section uses many.</details>

# %% tags=["widget", "skip-execution", "nbval-skip"]
from ipywidgets import FloatSlider, IntSlider, interact


def dial(m, n, theta):
    fig, ax = plt.subplots(figsize=(3.2, 3.2), layout="constrained")
    draw_dials(ax, m, n, theta)
    plt.show()


position = partial(IntSlider, min=0, max=40, continuous_update=False)
speed = FloatSlider(value=0.6, min=0, max=3.2, continuous_update=False)
_ = interact(dial, m=position(value=5), n=position(value=3), theta=speed)

# %% [markdown]
# ## 5 From one pair to any even width (7 min)
#
# A head has width $H$ = 64 or 128, not 2. But an inner product is a sum over coordinates, so
# it is also a sum over *pairs* of coordinates. If each of the $H/2$ pairs keeps its own
# score relative, the sum is relative too. And each pair may have its own speed. RoPE takes
#
# $$\theta_j = b^{-2j/H},\qquad j=0,\dots,H/2-1,\qquad b=10\,000 .$$
#
# $b$ is called the *base* (`theta` in the code, as in most model configs). Like the second, minute
# and hour hand: the first pair turns by 1 radian a token, the last hardly at all.
#
# **Predict, then run.** After how many tokens is the slowest pair of a head of width 64
# back where it began: about 600, 6 000 or 50 000?
#
# <details><summary>Answer</summary>About 47 000, since 2π · 10000^(62/64) is. Within any ordinary
# text its angle is unique.</details>

# %%
speeds = rope_frequencies(64)  # radians per token
rounds = 2 * math.pi / speeds  # tokens for one full circle
for j in (0, 10, 20, 31):
    print(f"pair {j:2}: {speeds[j]:.5f} a token, a circle in {rounds[j]:7.1f}")

# %% tags=["label-hands"]
cos, _ = rope_angles(torch.arange(128), 64)
fig, ax = plt.subplots(figsize=(6.4, 2.6), layout="constrained")
image = ax.imshow(cos.T, aspect="auto", vmin=-1, vmax=1)
ax.set(xlabel="position of the token", ylabel="pair j")
fig.colorbar(image, label="cos(m θ_j)")
alt = "Cosine of the angle by position and pair. Top rows flicker from token"
alt += " to token, middle rows swing slowly, bottom rows hardly change."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Top rows flicker: they tell neighbours apart. Bottom rows have hardly
# moved after 128 tokens: they tell far from near. Each column, a position, looks different.
#
# **As a matrix.** In one pair, turning is the matrix of section 2 with $\cos m\theta$ in place of $a$
# and $\sin m\theta$ in place of $b$. All pairs together form a block-diagonal matrix $W_m$. Each block is a rotation,
# so $W_m$ is orthogonal: it changes no length, and does not upset a model that was stable.

# %%
print(rope_matrix(3, 6, interleaved=True).numpy().round(3))
x, at = torch.randn(200, 64), torch.arange(200)
lengths = rope(x, at).norm(dim=-1) - x.norm(dim=-1)
claim("POS-008", lengths.abs().max().item())

# %% [markdown]
# **Without the zeros.** Of $H^2$ entries only $2H$ matter. Write the product out, and
# it needs two element-wise products, ⊗:
#
# $$W_m x = x\otimes\begin{pmatrix}\cos m\theta_0\\\cos m\theta_0\\\cos m\theta_1\\\cos m\theta_1\\\vdots\end{pmatrix}
# + \begin{pmatrix}-x_1\\x_0\\-x_3\\x_2\\\vdots\end{pmatrix}\otimes
# \begin{pmatrix}\sin m\theta_0\\\sin m\theta_0\\\sin m\theta_1\\\sin m\theta_1\\\vdots\end{pmatrix}$$
#
# (`rearrange` splits the last axis into `j` pairs of `two`, and joins them again.)
#
# The package has the definition, `rope`, which multiplies complex numbers as we did, and a
# fast twin, `apply_rope`, with these products and ready-made tables of cosines and sines, which
# all layers share. A test keeps the two equal.


# %%
def partner(x):  # (x0, x1, x2, x3, ...) -> (-x1, x0, -x3, x2, ...)
    a, b = rearrange(x, "... (j two) -> two ... j", two=2)
    return rearrange([-b, a], "two ... j -> ... (j two)")


print(partner(torch.arange(6.0)).tolist())

# %%
cos, sin = rope_angles(at, 64)
cos, sin = (t.repeat_interleave(2, dim=-1) for t in (cos, sin))
fast = x * cos + partner(x) * sin
slow = torch.stack([rope_matrix(m, 64, interleaved=True) @ x[m] for m in at])
claim("POS-009", (fast - slow).abs().max().item())
print("products a vector:", 64 * 64, "as a matrix,", 2 * 64, "without zeros")

# %% [markdown]
# ## 6 Only the distance matters, and what that costs in digits (7 min)
#
# Now the promise for full width. Put the *same* query at 200 positions and the *same* key at 200
# positions, and compute all 40 000 scores. On each diagonal of that table the distance is the
# same, so all entries must agree.
#
# **Predict, then run.** In float64 numbers have 16 digits. How far apart are the entries of a
# diagonal: 0, about 1e-13, or about 1e-6?
#
# <details><summary>Answer</summary>About 1e-13: equal, up to rounding.</details>

# %% tags=["nbval-ignore-output", "label-error"]
q, k, T = torch.randn(64), torch.randn(64), 200
Q, K = (rope(x.expand(T, 64), torch.arange(T)) for x in (q, k))
scores = Q @ K.T  # (query position, key position)


def spread_on_diagonals(table):
    diagonals = [table.diagonal(d) for d in range(1 - len(table), len(table))]
    return max((d.max() - d.min()).item() for d in diagonals)


claim("POS-007", spread_on_diagonals(scores))
print(f"spread on a diagonal {spread_on_diagonals(scores):.1e}")
print(f"spread of the table  {scores.max() - scores.min():.1f}")

# %% [markdown]
# Compare with *learned* positions (GPT-2, lesson 13), which add a vector $p_m$ to each token.
# Here they are random, as at the start of training.

# %% tags=["label-tables"]
P_q, P_k = torch.randn(2, T, 64)  # position vectors as q and k receive them
learned = (q + P_q) @ (k + P_k).T
fig, axes = plt.subplots(1, 2, figsize=(6.6, 2.9), layout="constrained")
tables = {"RoPE": scores, "added vectors": learned}
for ax, (name, table) in zip(axes, tables.items()):
    ax.imshow(table[:48, :48])
    ax.set(title=name, xlabel="position of the key")
axes[0].set_ylabel("position of the query")
alt = "Scores of one query and one key at 48 positions each. With RoPE every"
alt += " diagonal has one colour; with added vectors there is no such order."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Left, stripes along the diagonals: one colour for each distance. Right,
# no order: the model must learn what every pair of positions means. In practice: move a whole
# text by 1 000 tokens, and RoPE's scores stay.

# %%
x_q, x_k, at = torch.randn(16, 64), torch.randn(16, 64), torch.arange(16)
here = rope(x_q, at) @ rope(x_k, at).T
there = rope(x_q, at + 1000) @ rope(x_k, at + 1000).T
claim("POS-015", (here - there).abs().max().item())

# %% [markdown]
# **The price in digits.** The identity needs angles that are right. At position 10 000 the first
# pair has turned 10 000 radians, and a 16-bit number (`bfloat16`, about 2 to 3 digits) cannot even
# hold every integer above 256. Suppose the *angles* are computed in a short format:
#
# **Predict, then run.** How wrong do the scores become at position 1 000 with bfloat16 angles: in
# the third digit, in the first, or altogether?
#
# <details><summary>Answer</summary>Altogether: the error is as large as the scores. Real libraries
# had exactly this bug (transformers pull request 29285, candle pull request 3520). With float32 the
# error stays below 0.01 up to 100 000 tokens, so models compute these angles in float32 even when
# all else is bfloat16.</details>


# %% tags=["nbval-ignore-output", "label-digits"]
def worst(dtype, first):
    tables = rope_angles(torch.arange(8) + first, 64, dtype=dtype)
    tables = [t.double() for t in tables]
    Q, K = (apply_rope(x.expand(8, 64), *tables) for x in (q, k))
    return (Q @ K.T - scores[:8, :8]).abs().max().item()  # the right ones


print("from    bfloat16   float32")
for first in (0, 1000, 10_000, 100_000):
    short, usual = worst(torch.bfloat16, first), worst(torch.float32, first)
    print(f"{first:<6}  {short:8.2f}  {usual:8.6f}")
    assert first == 0 or short > 1 > 10 * usual

# %% [markdown]
# ## 7 Does attention fade with distance? (6 min)
#
# RoPE is often praised for *long-range decay* (远程衰减): "the inner product falls as the distance
# grows". Take the friendliest case: query and key all ones, so that they match perfectly. Each pair
# then gives $2\cos(m\theta_j)$, and the score divided by $H$ is the mean
# $\frac{2}{H}\sum_j\cos(m\theta_j)$ at distance $m$.
#
# **Predict, then run.** From distance 0 to 4 096, in what share of the single steps does this
# mean *rise*: none, a tenth, or nearly half?
#
# <details><summary>Answer</summary>Nearly half. What falls is the *envelope*, not the curve. The
# sentence in the source article is wrong as it stands.</details>


# %% tags=["label-decay-share"]
def mean_cosine(distances, base, width=128):
    return rope_angles(distances, width, base)[0].mean(-1)


curve = mean_cosine(torch.arange(4097), 10_000.0)
rises = curve.diff() > 0
share = rises.double().mean().item()
print(f"{rises.sum()} of {len(rises)} steps rise, a share of {share:.3f}")
print(f"the first rise leads to distance {rises.int().argmax() + 1}")
claim("POS-010", share)

# %% tags=["label-decay"]
fig, (near, far) = plt.subplots(1, 2, figsize=(7, 2.7), layout="constrained")
for base, style in ((100.0, ":"), (1e4, "-"), (1e6, "--")):
    near.plot(mean_cosine(torch.arange(65), base), style)
    d = torch.logspace(0, 5, 160).round()
    far.plot(d, mean_cosine(d, base), style, label=f"base {base:,.0f}")
far.set(xscale="log", xlabel="distance (log scale)")
near.set(xlabel="distance", ylabel="score / H, perfect match")
far.axhline(0, color="0.6", lw=0.8)
fig.legend(loc="outside upper center", ncols=3)
alt = "Score of a perfect match by distance for three bases. All fall on the"
alt += " whole, with many small rises; with a larger base they fall later."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** The curves fall on the whole and wobble all the way. With base
# 100 nothing is left after a hundred tokens; with a million, much is left at 10 000. Models
# for long texts therefore raise the base (LLaMA 3: 500 000). Lesson 15 builds on this.
#
# And for vectors that do not match? Each score is then a sum of waves with random signs. Let us
# measure the spread of the scores of 2 000 random pairs, at several distances.

# %%
Q, K = torch.randn(2, 2000, 1, 128)  # 2 000 random pairs of width 128
for d in (0, 1, 64, 4096):
    spread = (rope(Q, torch.tensor([d])) * K).sum(-1).std().item()
    assert abs(spread / 128**0.5 - 1) < 0.06
    print(f"distance {d:4}: spread {spread:.0f}, and sqrt(128) = {128**0.5:.0f}")

# %% [markdown]
# No decay at all, because a rotation keeps lengths. So RoPE does not *make* attention local. It makes
# it *possible* for a head to be local, by letting query and key match on the fast pairs.

# %% [markdown]
# ## 8 Two layouts, one silent mistake (6 min)
#
# Which two coordinates form pair $j$? Two answers are in use, and both are right:
#
# - **interleaved** (交错): $(x_{2j},\,x_{2j+1})$, as in the formula with ⊗. The RoFormer paper,
#   Meta's own LLaMA files, GPT-J, Cohere, and GLM-4 (which turns only half of the width);
# - **half-split** (前后对半): $(x_j,\,x_{j+H/2})$. GPT-NeoX, and in the Hugging Face format LLaMA,
#   Qwen, Mistral and Gemma. It is the default here.
#
# In einops the difference is one word: `"(j two)"` or `"(two j)"`.

# %% tags=["label-layouts"]
fig, axes = plt.subplots(1, 2, figsize=(5.6, 2.7), layout="constrained")
for ax, inter in zip(axes, (True, False)):
    W = rope_matrix(3, 8, 100.0, interleaved=inter)
    ax.imshow(W.where(W != 0, torch.nan), vmin=-1, vmax=1)
    ax.set_title("interleaved" if inter else "half-split")
    ax.set(xticks=range(8), yticks=range(8))
alt = "The matrix of position 3 for width 8. Interleaved: four blocks on the"
alt += " diagonal. Half-split: three diagonals, the outer ones four away."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** The same four blocks, stored apart: sorting rows and columns turns one
# matrix into the other. Yellow is 1, dark blue −1, white entries are zero.
#
# **Predict, then run.** A file was trained with the interleaved layout. We load it and
# run it half-split. Does PyTorch complain? Are the scores a little wrong, or entirely?
#
# <details><summary>Answer</summary>No complaint: all shapes fit. The scores are entirely wrong. In
# 2023 a conversion of TinyLlama printed gibberish for this reason (TinyLlama issue 24).</details>

# %% tags=["label-mixup"]
x, at = torch.randn(200, 32), torch.arange(200)  # 200 tokens, model width 32
w_q, w_k = torch.randn(64, 32), torch.randn(64, 32)  # 4 heads of width 16


def all_scores(w_q, w_k, inter):
    heads = [rearrange(x @ w.T, "t (n h) -> n t h", n=4) for w in (w_q, w_k)]
    q, k = (rope(z, at, interleaved=inter) for z in heads)
    return q @ k.mT  # (heads, query position, key position)


right = all_scores(w_q, w_k, inter=True)
wrong = all_scores(w_q, w_k, inter=False)
print(f"mean size of a score {right.abs().mean():.0f}")
print(f"mean error           {(wrong - right).abs().mean():.0f}")

# %% [markdown]
# The remedy is to sort the *rows of the weights* that make queries and keys, once, when
# the file is converted. Values and the output projection stay as they are. Then both layouts pair
# the same two numbers, and a sum does not care about the order of its terms.

# %%
sorted_q, sorted_k = (interleaved_to_half(w, n_heads=4) for w in (w_q, w_k))
fixed = all_scores(sorted_q, sorted_k, inter=False)
assert (fixed - right).abs().max() < 1e-11
print("after sorting the rows the scores are equal")

# %% [markdown]
# ## 9 Outlook: RoPE and linear attention (3 min)
#
# > **Told in passing.** *Linear attention* (线性注意力) replaces the softmax by weights
# > $\psi(q)^\top\psi(k)$ with all entries of $\psi\ge0$, divided by their sum. That needs no table
# > of all pairs, so its cost grows only linearly with the text.
#
# RoPE touches $q$ and $k$ alone, so it can be used there. But a turned vector has negative
# entries, and the sum in the denominator can vanish. By hand: one pair, all features $(1,0)$,
# a quarter turn a token. The weights at distance 0, 1, 2 are $\cos 0$, $\cos 90°$, $\cos 180°$, that
# is 1, 0, −1. Their sum is 0. With $\theta=1$:

# %%
weights = torch.arange(8.0).cos()  # distances 0 .. 7, features (1, 0)
denominators = weights.cumsum(0)  # for queries at positions 0 .. 7
print([round(x, 2) for x in denominators.tolist()])
assert denominators.min() < 0 < denominators.max()

# %% [markdown]
# The denominator changes its sign on the way; near 0 the output explodes. The RoFormer
# paper therefore leaves the denominator unturned. The article's last sentence, that RoPE is "the only
# relative encoding for linear attention", was overtaken within months. Section 4 tells how to
# build another: any orthogonal $W_1$ will do. Take one that *shifts* the entries in a circle
# (PermuteFormer, 2021): nothing becomes negative.

# %%
features_q, features_k = torch.rand(2, 16)  # not negative
shifted_q = torch.stack([features_q.roll(m) for m in range(20)])
shifted_k = torch.stack([features_k.roll(n) for n in range(20)])
weights = shifted_q @ shifted_k.T
relative, positive = spread_on_diagonals(weights) < 1e-12, weights.min() > 0
claim("POS-013", not (relative and positive.item()))

# %% [markdown]
# ## 10 Exercise: turn the pairs (6 min, ★★☆)
#
# (In class do 10 and 12; 11 and 13 are for home. An unsolved exercise breaks nothing below it.)
#
# Write interleaved RoPE in real numbers: `x` is (T, H), `positions` is (T,). Use
# `rope_angles(positions, H, base)` for the tables, no complex numbers and no `rope`.
#
# <details><summary>Hint 1</summary>With a = x[:, 0::2] and b = x[:, 1::2], the new a is the real
# part of (a + ib)(cos + i sin).</details>
# <details><summary>Hint 2</summary>Start from <code>out = torch.empty_like(x)</code> and fill
# <code>out[:, 0::2]</code> and <code>out[:, 1::2]</code>.</details>


# %% tags=["exercise"]
def turn_pairs(x, positions, base):
    # BEGIN SOLUTION
    cos, sin = rope_angles(positions, x.shape[-1], base)
    a, b = x[:, 0::2], x[:, 1::2]
    out = torch.empty_like(x)
    out[:, 0::2] = a * cos - b * sin
    out[:, 1::2] = b * cos + a * sin
    return out
    # END SOLUTION


# %% tags=["check"]
cases = [(torch.randn(1, 2), torch.tensor([1]), 10_000.0)]
cases += [(torch.randn(5, 8), torch.arange(5), 10_000.0)]
cases += [(torch.randn(3, 6), torch.tensor([7, 0, 900]), 500.0)]
check(turn_pairs, partial(rope, interleaved=True), cases)

# %% [markdown]
# ## 11 Exercise: convert a file (4 min, ★★☆)
#
# A projection of shape (n_heads · H, D) comes from an interleaved file. Return it with the
# rows in half-split order. One einops `rearrange` is enough.
#
# <details><summary>Hint 1</summary>Name the parts of the row axis: head, pair, which of the two.
# Interleaved, they stand in the order (n j two).</details>
# <details><summary>Hint 2</summary>Half-split, they stand in the order (n two j).</details>


# %% tags=["exercise"]
def to_half_split(weight, n_heads):
    # BEGIN SOLUTION
    return rearrange(weight, "(n j two) d -> (n two j) d", n=n_heads, two=2)
    # END SOLUTION


# %% tags=["check"]
cases = [(torch.arange(6.0)[:, None], 1), (torch.randn(48, 5), 3)]
cases += [(torch.arange(24.0).reshape(12, 2), 2)]
check(to_half_split, interleaved_to_half, cases)

# %% [markdown]
# ## 12 Exercise: the detective (8 min, ★★★)
#
# Seven implementations follow, five of them after real bug reports and pull requests; `rope` is
# the eighth. For which does the score depend on the distance only? **Predict**: write down yes or no
# for each.
#
# Then write the detective. `turn(x, at)` gets vectors (T, 8) and positions (T,). Return True if
# the score of *every* tried pair of vectors depends only on the distance, to within 1e-9, at
# positions 0 to 20.
#
# <details><summary>Hint 1</summary>Expand one random query and one random key to 21 positions, turn
# both, multiply, and look at the diagonals, as in section 6.</details>
# <details><summary>Hint 2</summary>Two tempting shortcuts fail: trying q = k only, and looking at
# distance 0 only.</details>


# %% tags=["setup"]
def turn_halves(x, cos, sin, sign=1):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - sign * b * sin, b * cos + a * sin), dim=-1)


def missing_minus(x, at):  # a lost sign: a formula in labml, request 193
    return turn_halves(x, *rope_angles(at, 8), sign=-1)


def clockwise(x, at):  # the transposed matrix: nanochat, pull request 489
    return turn_halves(x, *rope_angles(-at, 8))


def growing_speeds(x, at):  # b to the power of plus 2j/H: labml, issue 313
    return turn_halves(x, *rope_angles(at, 8, 1 / 10_000))


# %% tags=["setup"]
def mixed_pairs(x, at):  # tables of the other layout: how-to-train-your-gpt 6
    cos, sin = (t.repeat_interleave(2, -1) for t in rope_angles(at, 8))
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


def short_angles(x, at):  # 16-bit angles: transformers, issue 25681
    cos, sin = rope_angles(at, 8, dtype=torch.bfloat16)
    return turn_halves(x, cos.double(), sin.double())


def slowing_hands(x, at):  # steps that are not equal
    return turn_halves(x, *rope_angles(at.sqrt(), 8))


def see_saw(x, at):  # a quarter turn at every odd position
    angle = (at % 2 * math.pi / 2)[:, None]
    return turn_halves(x, angle.cos(), angle.sin())


# %% tags=["exercise"]
def only_distance_matters(turn):
    # BEGIN SOLUTION
    at = torch.arange(21)
    for _ in range(3):
        q, k = (turn(torch.randn(1, 8).expand(21, 8), at) for _ in range(2))
        scores = q @ k.T
        for d in range(-20, 21):
            diagonal = scores.diagonal(d)
            if (diagonal - diagonal[0]).abs().max() > 1e-9:
                return False
    return True
    # END SOLUTION


# %% tags=["check"]
sound = [rope, clockwise, growing_speeds]
broken = [missing_minus, mixed_pairs, short_angles, slowing_hands, see_saw]
cases = [(turn,) for turn in sound + broken]
check(only_distance_matters, lambda turn: turn in sound, cases)

# %% [markdown]
# <details><summary>What the answer teaches (open after solving)</summary>
#
# Five deviations are caught (the see-saw only with q ≠ k: it keeps the cosine, not the sine). Two
# pass, and rightly: <em>clockwise</em> is harmless in a model of its own, because flipping the sign of
# half the rows of W_q and W_k makes up for it (weights trained the other way break), and
# <em>growing_speeds</em> is truly relative, yet useless: with speeds up to 1 000 rad a token the hands
# race and neighbours look unrelated. Both layouts pass as well. So a property test is not
# enough; the package is also compared with the code of transformers and with Meta's formula
# (<code>tests/model/test_rope.py</code>).
# </details>

# %% [markdown]
# ## 13 Exercise: two functions instead of one (6 min, ★★☆)
#
# If queries and keys may be treated differently, step 1 no longer fixes the length: $f_q$ may
# stretch by $\gamma^m$ and $f_k$ by ... what? Choose it so that
# $\langle f_q(q,m),f_k(k,n)\rangle = \gamma^{\,m-n}\,\langle \mathrm{rope}(q,m),\mathrm{rope}(k,n)\rangle$. With
# $\gamma<1$ this is real decay, for *every* pair of vectors. It is the idea of xPos (2022).
#
# Return the score as a number. Treat `q`, (1, H), by its own position $m$ only, and `k` by its own
# $n$ only: a cache of keys must not know where the next query will stand.
#
# <details><summary>Hint</summary>The two stretches are multiplied in the score. Which power of γ must
# the key bring so that only m − n is left?</details>


# %% tags=["exercise"]
def decaying_score(q, k, m, n, gamma):
    # BEGIN SOLUTION
    q = gamma**m * rope(q, torch.tensor([m]))
    k = gamma**-n * rope(k, torch.tensor([n]))
    return (q * k).sum().item()
    # END SOLUTION


# %% tags=["check"]
def wanted(q, k, m, n, gamma):
    turned = rope(q, torch.tensor([m - n]))
    return gamma ** (m - n) * (turned * k).sum().item()


q, k = torch.randn(2, 1, 8)
cases = [(q, k, 0, 0, 0.9), (q, k, 3, 1, 0.9), (q, k, 12, 7, 0.98)]
check(decaying_score, wanted, cases)

# %% [markdown]
# **Open questions to go on with** (no check). (a) For a text of 2 000 tokens and $\gamma=0.98$, how
# large is the factor on the last key, and what happens in float16? (b) In section 4 start the machine
# from twelve random angles between 0 and 2π. Does it always find a line? (c) A linear attention with
# weights $1+\cos\angle(q,k)$ needs no positive features (Su, 2021). Why is RoPE harmless there?

# %% [markdown]
# ## At scale
#
# *Arithmetic.* In LLaMA-7B (32 layers, 32 heads of width 128) RoPE does 4 products and 2
# sums a pair, on queries and keys; the whole model does 2 FLOPs for each of its 6.7 billion weights.
# *Time* is another matter: every query and key is read and written once more, so on a GPU the
# turn is fused into a neighbouring kernel. The cell shows the recorded measurement, if this
# copy of the course has one.
#
# *Quality.* On Chinese legal cases (CAIL2019-SCM, test accuracy) RoFormer reached 68.29 % at 512
# tokens, WoBERT 68.10 %; at 1 024 RoFormer reached 69.79 %. But it had been *trained* at
# lengths up to 1 536. So this shows the use of longer texts, not extrapolation beyond the trained
# length, as the source article has it. Lesson 15 measures that.

# %% tags=["nbval-ignore-output", "label-scale"]
rope_flops = 32 * (32 + 32) * 64 * 6  # layers * heads of q and k * pairs * 6
print(f"RoPE is {rope_flops / (2 * 6_738_415_616):.3%} of a token's FLOPs")
results = Path(minillm.__file__).parents[1] / "data" / "results" / "rope"
runs = [json.loads(path.read_text()) for path in results.glob("*.json")]
print([run["measured"] for run in runs] or "time on a GPU: not measured yet")

# %% [markdown]
# ## Recap
#
# - A score is the real part of $q\,k^*$: it knows two lengths and the difference of two phases.
# - Two demands, nothing at position 0 and only distances in the score, force $f(q,m)=q\,e^{\mathrm
#   im\theta}$: turn each pair by $m\theta_j$. Free are the speeds.
# - $W_m$ is orthogonal, and two element-wise products do its work. Compute angles in float32.
# - Decay is a property of the envelope for matching vectors, no law for every score.
# - Interleaved or half-split: both are right; mixing them fails without an error message.
#
# ## Questions
#
# 1. Why does attention without positions not notice a shuffled text?
# <details><summary>Answer</summary>It averages the values with weights that depend on each key alone;
# an average does not know the order of its terms.</details>
#
# 2. Why must the length of $f(q,m)$ be that of $q$?
# <details><summary>Answer</summary>With k = q and m = n, equation (1) says R² = ‖q‖² for every m.</details>
#
# 3. Which step of the derivation shows that the phase grows by equal steps?
# <details><summary>Answer</summary>n = m − 1 in equation (2): the right side contains no m.</details>
#
# 4. $W_m$ is applied to queries and keys. Why not to values?
# <details><summary>Answer</summary>Positions are needed where tokens are compared. Turned values would carry
# their absolute angle into the average, with no partner to cancel it.</details>
#
# 5. Why are there many speeds and not one?
# <details><summary>Answer</summary>One hand repeats itself after a full circle; fast pairs tell neighbours
# apart, slow ones tell far from near.</details>
#
# 6. A colleague's rotation passes the test "only the distance matters", yet the loaded model writes
#    nonsense. Name two possible reasons.
# <details><summary>Answer</summary>The wrong layout; the wrong base or sign of the exponent; clockwise
# instead of counter-clockwise. All are relative.</details>
#
# 7. With a cache of old keys ([lesson 16a](16a_heads_and_cache.ipynb)), must they be turned again when the text grows?
# <details><summary>Answer</summary>No. Each key is turned by its own position, once. That is the gain of
# the absolute form.</details>
#
# 8. "RoPE makes far tokens matter less." What is true of that?
# <details><summary>Answer</summary>For matching vectors the envelope of the score falls; nearly half of the
# single steps rise; for unrelated vectors nothing falls.</details>

# %% [markdown]
# ## Sources
#
# - Su et al. 2021, *RoFormer*, [arXiv:2104.09864](https://arxiv.org/abs/2104.09864): the paper; section
#   3.4.1 is our section 4, equation 34 the form with ⊗.
# - Su 2021, [kexue.fm/archives/8265](https://kexue.fm/archives/8265) (Chinese): the first telling, and the clearest.
# - Sun et al. 2022, *A Length-Extrapolatable Transformer*, [arXiv:2212.10554](https://arxiv.org/abs/2212.10554):
#   xPos, the factor of section 13.
# - Men et al. 2024, *Base of RoPE Bounds Context Length*, [arXiv:2405.14591](https://arxiv.org/abs/2405.14591):
#   what the envelope of section 7 means for long texts.
# - Chen 2021, *PermuteFormer*, [arXiv:2109.02377](https://arxiv.org/abs/2109.02377): another relative
#   encoding for linear attention.
# - transformers [issue 25199](https://github.com/huggingface/transformers/issues/25199): a user finds the two
#   layouts, and is told why both work. The bugs of section 12: labml issue 313 and pull request 193, nanochat
#   pull request 489, how-to-train-your-gpt issue 6, transformers issue 25681.
#
# ## Next
#
# [15 Long context](15_long_context.ipynb): what happens beyond the trained length, and how interpolation, NTK
# and YaRN slow the hands down.

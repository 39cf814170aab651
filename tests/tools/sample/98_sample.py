# %% [markdown]
# # 98 Sample: does the machinery work?
#
# 20 min · CPU · 3 s · 0.5 GB · needs [06 BPE](06_bpe.ipynb) · code: `minillm/lesson.py`
#
# After this lesson you can
#
# 1. build a notebook twice and get the same bytes;
# 2. pull a figure into a deck;
# 3. tell a right mask from a wrong one.

# %% tags=["setup"]
import matplotlib.pyplot as plt
import torch

from minillm.lesson import check, claim, setup, show

setup(seed=98)

# %% [markdown]
# ## 1 A root (5 min)
#
# **Predict, then run.** What is the root of 16?
#
# $$\sqrt{16} = 4$$

# %% tags=["label-root"]
print("the root of 16 is", 16**0.5)

# %%
object()

# %% tags=["label-curve"]
fig, ax = plt.subplots(figsize=(4, 2.4), layout="constrained")
ax.plot([1, 4, 9, 16], [1, 2, 3, 4], "o-")
ax.set(xlabel="number", ylabel="root")
show(fig, alt="Root against number: a curve that bends down.")

# %% [markdown]
# **What you should see.** The curve rises and bends down.

# %%
claim("TOK-001", "XdXac")

# %% [markdown]
# A slider, to try other numbers.

# %% tags=["widget"]
raise RuntimeError("a widget must not run in the build")

# %% [markdown]
# ## 2 Exercise: the causal mask (10 min, ★★☆)
#
# Return a boolean tensor of shape (T, S), true where a query may look.
#
# <details><summary>Hint</summary>Query t stands at position S - T + t.</details>


# %% tags=["exercise"]
def my_mask(T: int, S: int) -> torch.Tensor:
    """Say where a query may look."""
    # BEGIN SOLUTION
    return torch.arange(S) <= torch.arange(T)[:, None] + S - T
    # END SOLUTION


# %% tags=["check"]
def reference(T, S):
    """The upper triangle, hidden."""
    return ~torch.ones(T, S, dtype=torch.bool).triu(S - T + 1)


check(my_mask, reference, cases=[(3, 3), (1, 4), (2, 5)])

# %% [markdown]
# ## At scale
#
# The same on a large machine.
#
# ## Recap
#
# - A root grows slowly.
#
# ## Questions
#
# 1. What is the root of 25? <details><summary>Answer</summary>5</details>
#
# ## Sources
#
# Nobody, 2026: the root.
#
# ## Next
#
# [00 Tour](00_tour.ipynb)

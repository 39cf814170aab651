"""An empty lesson with all parts of the anatomy, to be filled."""

from tools.masters import NAME, Course, LessonError

TEXT = """# %% [markdown]
# # {number} {title}: what is the question?
#
# 60 min · CPU · 20 s · 0.6 GB · needs nothing · code: `minillm/`
#
# After this lesson you can
#
# 1. compute ...;
# 2. explain ...;
# 3. test ...

# %% tags=["setup"]
from minillm.lesson import check, setup

setup(seed={seed})

# %% [markdown]
# ## 1 The first idea (15 min)
#
# Intuition in prose.
#
# **Predict, then run.** What will the next cell print?
#
# <details><summary>Answer</summary>...</details>

# %%
print(1 + 1)

# %% [markdown]
# ## 2 Exercise: do it yourself (10 min, ★☆☆)
#
# What to write.
#
# <details><summary>Hint</summary>...</details>


# %% tags=["exercise"]
def my_double(x: float) -> float:
    # BEGIN SOLUTION
    return 2 * x
    # END SOLUTION


# %% tags=["check"]
check(my_double, lambda x: x + x, cases=[(1,), (2.5,)])

# %% [markdown]
# ## At scale
#
# The same code on bigger hardware, from `data/results/`.
#
# ## Recap
#
# - ...
#
# ## Questions
#
# 1. ...? <details><summary>Answer</summary>...</details>
#
# ## Sources
#
# - Who, year, number, section: why to read it.
#
# ## Next
#
# ...
"""


def new(course: Course, name: str) -> str:
    """Write `notebooks/src/NAME.py` from the skeleton; a master that is there is never touched."""
    if not NAME.fullmatch(name):
        raise LessonError(f"a lesson is called like 14_rope or 16b_flash, not {name!r}")
    path = course.sources / f"{name}.py"
    if path.exists():
        raise LessonError(f"notebooks/src/{name}.py is already there")
    number, _, words = name.partition("_")
    text = TEXT.format(
        number=number, title=words.replace("_", " ").capitalize(), seed=int(number[:2])
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return f"notebooks/src/{name}.py"

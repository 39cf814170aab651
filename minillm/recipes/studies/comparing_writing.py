"""Is comparing easier than writing? One person, one blur, as many labels of either sort.

An answer is a point a of D numbers; the best is a*, and an answer is worth -|a - a*|^2. A person
sees a* through noise of spread `blur`, anew for every label, and uses that idea to

    write    the idea itself; a model that imitates is worth, on average, what the ideas are worth
    choose   the nearer of two answers that somebody drew; from the choices a reward is fitted that
             is linear in (a, |a|^2), and the best of `drawn` new answers by it is taken

Who draws the answers decides much: "far" draws around 0 with spread `spread`, knowing nothing of
a*; "writer" draws what the person would have written, as a fine-tuned model does.

`picked`, `written` and `by luck` (a drawn answer, unpicked) are of one world, that of the seed:
RLH-002 in the ledger is judged on them (arm `rule`). The same names with `100` are means over a
hundred more worlds of the seed, for the tables. RLH-002's rule was written before its first run,
of which the outcome (choosing loses) was seen while the lesson was drafted; the other arms were
added then, to find out why, and none of them had been run.

Shape letters: N labels, D numbers of an answer.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minillm.align.linear_reward import fit_linear_reward
from minillm.recipes.records import Job

D, LABELS, WORLDS = 8, 200, 100
L2, TOLERANCE = 1e-2, 1e-7
RULE: dict[str, Any] = {"blur": 1.0, "drawn": 8, "source": "far", "spread": 2.0}
"""The arm that the rule of RLH-002 describes."""


def lift(answers: np.ndarray) -> np.ndarray:
    """The features of answers (..., D): themselves and |a|^2, (..., D + 1).

    -|a - a*|^2 is linear in them, up to a constant.
    """
    return np.concatenate([answers, (answers**2).sum(axis=-1, keepdims=True)], axis=-1)


def draw(dice: np.random.Generator, n: int, best: np.ndarray, s: Mapping[str, Any]) -> np.ndarray:
    """Answers to choose from, (n, D)."""
    noise = dice.normal(size=(n, D))
    return best + s["blur"] * noise if s["source"] == "writer" else s["spread"] * noise


def one_world(s: Mapping[str, Any], seed: int | list[int]) -> dict[str, float]:
    """Write and choose in one world: what a picked, a written and a drawn answer are worth."""
    dice = np.random.default_rng(seed)
    best = dice.normal(size=D)
    ideas = best + s["blur"] * dice.normal(size=(LABELS, D))  # one blurred idea a label
    two = draw(dice, 2 * LABELS, best, s).reshape(LABELS, 2, D)
    far = ((two - ideas[:, None]) ** 2).sum(axis=-1)  # (N, 2)
    order = np.take_along_axis(two, far.argsort(axis=1)[:, :, None], axis=1)  # the nearer first
    w = fit_linear_reward(lift(order[:, 0]) - lift(order[:, 1]), l2=L2, tolerance=TOLERANCE)
    tried = draw(dice, s["drawn"], best, s)
    picked = tried[(lift(tried) @ w).argmax()]

    def worth(answers: np.ndarray) -> float:
        return float(-((answers - best) ** 2).sum(axis=-1).mean())

    return {"picked": worth(picked), "written": worth(ideas), "by luck": worth(tried)}


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Measure one world, and the mean over WORLDS others."""
    others = [one_world(settings, [seed, k]) for k in range(WORLDS)]
    means = {f"{name} 100": float(np.mean([o[name] for o in others])) for name in others[0]}
    return one_world(settings, seed) | means


JOB = Job(
    name="comparing_writing",
    title="Equally many labels of one blur, written or chosen: which ends nearer to the best?",
    lesson="33",
    arms={
        "rule": RULE,
        "blur_0.5": RULE | {"blur": 0.5},
        "blur_2": RULE | {"blur": 2.0},
        "blur_4": RULE | {"blur": 4.0},
        "drawn_64": RULE | {"drawn": 64},
        "drawn_4096": RULE | {"drawn": 4096},
        "writer_2": RULE | {"source": "writer", "drawn": 2},
        "writer_8": RULE | {"source": "writer"},
        "writer_64": RULE | {"source": "writer", "drawn": 64},
    },
    run=run,
)

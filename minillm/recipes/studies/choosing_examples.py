"""Forty of two thousand: nine ways to choose, on a pool that is skewed and partly wrong.

The pool is as real pools are: four fifths of it ask for one relation, one in a hundred for the
rarest; a fifth of the answers is wrong. The exam asks for all four alike. All arms take equal
steps, so that "all" sees every question at most once, and forty are seen many times.

Vectors, losses and gradients come from the model that is going to be tuned, before it is tuned.
The targets of `influence` are sixteen clean questions about people of the pool, four of each
relation, in templates of the pool; they are not trained on unless the pool holds them, too.
"""

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from minillm.finetune.coreset import embed, task_coreset
from minillm.finetune.corrupt import corrupt_answers
from minillm.finetune.influence import example_gradients, gradient_scores
from minillm.finetune.perplexity import answer_losses
from minillm.finetune.selection import Pool, describe, select
from minillm.recipes.records import Job
from minillm.recipes.town import KINDS, Question, ask, exam, make_town, mark, read_town, tune

STEPS = 64
"""Cut from 120 to save time: on seed 101 little moves after 60 (superficial_alignment)."""
LR = 5e-4
"""As in superficial_alignment; chosen there on seed 101."""
SIZES = {"home": 920, "trade": 900, "colour": 160, "pet": 20}
"""Questions of each relation in the pool; 960 is all that there are of one."""
WRONG = 0.2
FORTY = ("random", "shortest", "longest", "easiest", "hardest", "kmeans", "k_center", "influence")
N_CLUSTERS = 8


@dataclasses.dataclass(frozen=True)
class Stocked:
    """The pool of a seed: its questions, which are wrong, and what is known of each."""

    questions: tuple[Question, ...]
    wrong: tuple[bool, ...]
    pool: Pool


@lru_cache(maxsize=1)
def stocked(seed: int) -> Stocked:
    """Make the pool of a seed, and look at it with the model that has read the town."""
    town, model = make_town(seed), read_town(seed)
    asked = [q for kind, n in SIZES.items() for q in ask(town, n, seed, kinds=(kind,))]
    made = corrupt_answers(
        [q.answer for q in asked], WRONG, seed=seed, kinds=[q.relation for q in asked]
    )
    asked = [dataclasses.replace(q, answer=a) for q, a in zip(asked, made.answers, strict=True)]
    rows = [q.row() for q in asked]
    aims = [q for kind in KINDS for q in ask(town, 4, seed + 500, kinds=(kind,))]
    scores = gradient_scores(
        example_gradients(model, rows, seed=seed),
        example_gradients(model, [q.row() for q in aims], seed=seed),
    )
    pool = Pool(
        n_tokens=np.array([len(ids) for ids, _ in rows]),
        losses=answer_losses(model, rows).nats,
        vectors=embed(model, [ids for ids, _ in rows]),
        scores=scores,
    )
    return Stocked(tuple(asked), made.wrong, pool)


def choose(stock: Stocked, how: str, n: int, seed: int) -> np.ndarray:
    """Choose from the pool: by a method, all, or from the examples of the first relation alone."""
    if how == "all":
        return np.arange(len(stock.pool))
    if not how.startswith("task_"):
        return select(stock.pool, how, n, seed=seed)
    task = np.flatnonzero([q.relation == KINDS[0] for q in stock.questions])
    if how == "task_all":
        return task
    if how == "task_random":
        return np.random.default_rng(seed).choice(task, n, replace=False)
    assert stock.pool.vectors is not None
    found = task_coreset(stock.pool.vectors, task, n, n_clusters=N_CLUSTERS, seed=seed)
    return found.chosen


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Choose, tune, examine, and say what was chosen."""
    stock, town = stocked(seed), make_town(seed)
    chosen = choose(stock, settings["how"], settings["n"], seed)
    examples = [stock.questions[i] for i in chosen.tolist()]
    model = tune(read_town(seed), examples, seed, steps=STEPS, lr=LR)
    kinds = [KINDS.index(q.relation) for q in stock.questions]
    look = describe(stock.pool, chosen, kinds)
    marks, task = mark(model, exam(town)), mark(model, exam(town, kinds=KINDS[:1]))
    found: dict[str, Any] = {
        "right": marks.right,
        "form": marks.form,
        "nats": marks.nats,
        "right task": task.right,
        "wrong chosen": float(np.mean([stock.wrong[i] for i in chosen.tolist()])),
    }
    return found | {k: v for k, v in dataclasses.asdict(look).items() if k != "n"}


JOB = Job(
    name="choosing_examples",
    title="40 of 2 000 skewed and partly wrong examples, chosen in eight ways; and one task alone",
    lesson="30",
    arms={
        **{how: {"how": how, "n": 40} for how in FORTY},
        "all": {"how": "all", "n": sum(SIZES.values())},
        "task_all": {"how": "task_all", "n": SIZES["home"]},
        "task_random": {"how": "task_random", "n": 10},
        "task_coreset": {"how": "task_coreset", "n": 10},
    },
    run=run,
)

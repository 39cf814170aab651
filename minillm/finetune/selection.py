"""Choosing n examples of a pool by one of nine methods, behind one name.

    random               the control that every other has to beat
    shortest, longest    by the number of tokens
    easiest, middling, hardest        by the loss of the model that is going to be trained
    kmeans               one near the centre of each of n clusters: diversity
    k_center             the greedy cover: no example far from a chosen one
    influence            whose gradient agrees most with that of target examples

A method is a name so that it can be a setting of a recorded run; what it needs is in the `Pool`.

Shape letters: N examples, n chosen, D width of a vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minillm.finetune.coreset import coverage, k_center_greedy
from minillm.finetune.diversity import kmeans, n_covered, pick_central

METHODS = (
    "random",
    "shortest",
    "longest",
    "easiest",
    "middling",
    "hardest",
    "kmeans",
    "k_center",
    "influence",
)


@dataclass(frozen=True)
class Pool:
    """What is known of the examples that can be chosen from.

    Attributes:
        n_tokens: length of each, (N,): tokens of the answer, or of the whole row.
        losses: nats a token of each, (N,), from `perplexity.answer_losses`; or None.
        vectors: (N, D), from `coreset.embed`; or None.
        scores: (N,), from `influence.gradient_scores`; or None.

    Raises:
        ValueError: if the pool is empty, the parts differ in length, or a number is not finite.
    """

    n_tokens: np.ndarray
    losses: np.ndarray | None = None
    vectors: np.ndarray | None = None
    scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not len(self.n_tokens):
            raise ValueError("the pool is empty: there is nothing to choose from")
        for name in ("n_tokens", "losses", "vectors", "scores"):
            part = getattr(self, name)
            if part is not None and len(part) != len(self.n_tokens):
                raise ValueError(
                    f"{name} has {len(part)} entries, but there are {len(self.n_tokens)} examples"
                )
            if part is not None and not np.isfinite(part).all():
                raise ValueError(f"{name} holds a number that is not finite")

    def __len__(self) -> int:
        return len(self.n_tokens)

    def needed(self, name: str, method: str) -> np.ndarray:
        """Return a part, or say who needs it and how it is made.

        Raises:
            ValueError: if the pool does not have it.
        """
        part = getattr(self, name)
        if part is None:
            made = {
                "losses": "perplexity.answer_losses",
                "vectors": "coreset.embed",
                "scores": "influence.gradient_scores",
            }
            raise ValueError(f"method {method!r} needs {name}: Pool(..., {name}=) of {made[name]}")
        return np.asarray(part)


def lowest(values: np.ndarray | Sequence[float], n: int, dice: np.random.Generator) -> np.ndarray:
    """Return the numbers of the n lowest values; equal ones are drawn by lot.

    Without the lot a tie would go to whoever stands first in a file: often all of one source.
    """
    values = np.asarray(values)
    return np.lexsort((dice.random(len(values)), values))[:n]


def select(pool: Pool, method: str, n: int, *, seed: int) -> np.ndarray:
    """Choose n examples of a pool.

    Args:
        pool: what is known of the examples.
        method: one of METHODS.
        n: how many, in 1 .. N.
        seed: of everything that is drawn: random choices, ties, first centres, and the first
            example of k_center.

    Returns:
        The numbers chosen, (n,), all different, in increasing order.

    Raises:
        ValueError: if the method is unknown, n does not fit, or the pool lacks what is needed.

    Cost: sorting; N n D multiplications a step for kmeans, N n D in all for k_center.
    Lesson: notebooks/30_less_is_more.ipynb
    """
    if method not in METHODS:
        raise ValueError(f"no method {method!r}; there are {', '.join(METHODS)}")
    if not 1 <= n <= len(pool):
        raise ValueError(f"n must lie in 1 .. {len(pool)}, the examples of the pool, got {n}")
    dice = np.random.default_rng(seed)
    if method == "random":
        chosen = dice.choice(len(pool), n, replace=False)
    elif method in ("kmeans", "k_center"):
        chosen = _by_place(pool.needed("vectors", method), method, n, dice)
    else:
        chosen = lowest(_unwanted(pool, method), n, dice)
    return np.sort(chosen)


def _unwanted(pool: Pool, method: str) -> np.ndarray:
    """A number for each example; those of the lowest are chosen."""
    if method == "influence":
        return -pool.needed("scores", method)
    if method in ("shortest", "longest"):
        return pool.n_tokens if method == "shortest" else -pool.n_tokens
    losses = pool.needed("losses", method)
    if method == "middling":
        return np.abs(losses - np.median(losses))
    return losses if method == "easiest" else -losses


def _by_place(vectors: np.ndarray, method: str, n: int, dice: np.random.Generator) -> np.ndarray:
    if method == "k_center":
        return k_center_greedy(vectors, n, start=int(dice.integers(len(vectors))))
    clusters = kmeans(vectors, n, seed=int(dice.integers(2**31)))
    return pick_central(vectors, clusters)


@dataclass(frozen=True)
class Choice:
    """What a choice looks like beside its pool; None where the pool does not know.

    Attributes:
        n: how many were chosen.
        tokens: mean length.
        loss: mean loss, nats.
        largest, mean: distance of the pool's examples to the nearest chosen one.
        groups: how many groups have an example in it.
    """

    n: int
    tokens: float
    loss: float | None
    largest: float | None
    mean: float | None
    groups: int | None


def describe(
    pool: Pool, chosen: Sequence[int] | np.ndarray, groups: Sequence[int] | None = None
) -> Choice:
    """Describe a choice in numbers: the table that shows what a method really looks for.

    Args:
        pool: what was chosen from.
        chosen: numbers of the examples.
        groups: number of the task, source or cluster of each example of the pool.

    Raises:
        ValueError: if nothing was chosen, or a number is not that of an example.

    Lesson: notebooks/30_less_is_more.ipynb
    """
    i = np.asarray(chosen, dtype=np.int64)
    if not len(i) or i.min() < 0 or i.max() >= len(pool):
        raise ValueError(f"chosen must be numbers from 0 to {len(pool) - 1}, got {list(chosen)}")
    cover = None if pool.vectors is None else coverage(pool.vectors, i)
    return Choice(
        n=len(i),
        tokens=float(pool.n_tokens[i].mean()),
        loss=None if pool.losses is None else float(pool.losses[i].mean()),
        largest=cover.largest if cover else None,
        mean=cover.mean if cover else None,
        groups=None if groups is None else n_covered(groups, i),
    )

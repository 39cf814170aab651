"""A few examples that stand for all: k-center, its greedy answer, and the choice of one article.

    k-center:  choose k points so that the *largest* distance of any point to the nearest chosen
               one is small. Exact in the worst case only by trying all; greedy within a factor 2.

- The factor is a theorem about the largest distance. The *mean* distance may be worse than that
  of a random choice: greedy goes where nobody is, that is to outliers.
- `task_coreset` is the way of Chen et al. 2023: mean-pooled hidden states of unit length, k-means
  over all tasks, the centre of the cluster that a task visits most, the task's example nearest to
  it, and k-center greedy from there.

Shape letters: B batch, T positions, N examples, D width, K clusters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from minillm.finetune.diversity import Clusters, checked_points, kmeans
from minillm.model import Decoder

MAX_TRIED = 200_000
"""Most sets that `best_k_center` tries."""


@dataclass(frozen=True)
class Coverage:
    """How far the examples are from the nearest chosen one.

    Attributes:
        largest: of the worst served example; what k-center makes small.
        mean: of an average example.
    """

    largest: float
    mean: float


def mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """Average the hidden states of the real tokens of each row.

        v = sum_t mask_t h_t / sum_t mask_t

    Args:
        hidden: (B, T, D).
        mask: (B, T), true at real tokens, false at padding.

    Returns:
        (B, D), float32 at least.

    Raises:
        ValueError: if the shapes do not fit, or a row has no token.

    Source: Reimers and Gurevych 2019 (Sentence-BERT), arXiv:1908.10084, section 3.
    Lesson: notebooks/30_less_is_more.ipynb
    """
    if mask.shape != hidden.shape[:2]:
        raise ValueError(f"mask {tuple(mask.shape)} does not fit hidden {tuple(hidden.shape)}")
    counts = mask.sum(dim=1)  # (B,)
    if not bool((counts > 0).all()):
        raise ValueError(f"row {int((counts == 0).nonzero()[0])} has no token to average")
    wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    return (wide * mask[..., None]).sum(dim=1) / counts[:, None]


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Divide each vector by its length; then  |x - y|^2 = 2 - 2 x y,  so cosine = dot product.

    Args:
        vectors: (N, D).

    Raises:
        ValueError: if a vector is zero: it has no direction.

    Lesson: notebooks/30_less_is_more.ipynb
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if (lengths == 0).any():
        raise ValueError(f"vector {int(np.argmin(lengths))} is zero and has no direction")
    return np.asarray(vectors / lengths)


@torch.no_grad()
def embed(model: Decoder, rows: Sequence[Sequence[int]], *, batch_size: int = 32) -> np.ndarray:
    """Make one vector of length 1 of each row of tokens: mean-pooled last hidden states.

    Args:
        model: its last hidden state, after the last norm, is used.
        rows: token ids of each example, prompt and answer, as in training; at least one each.
            What lies beyond the model's context is not looked at.
        batch_size: rows read at a time, padded at the right, where a causal model does not look.

    Returns:
        (N, D), float64.

    Raises:
        ValueError: if there is no row, or an empty one.

    Source: Chen et al. 2023, arXiv:2305.09246, section 3 (vectorising).
    Lesson: notebooks/30_less_is_more.ipynb
    """
    if not rows or not all(len(row) for row in rows):
        raise ValueError("every example needs at least one token, and there must be an example")
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    found = []
    for first in range(0, len(rows), batch_size):
        part = [list(row)[: model.config.context] for row in rows[first : first + batch_size]]
        width = max(len(row) for row in part)
        ids = torch.tensor([row + [0] * (width - len(row)) for row in part], device=device)
        mask = torch.tensor([[t < len(row) for t in range(width)] for row in part], device=device)
        found.append(mean_pool(model.features(ids), mask).double().cpu().numpy())
    model.train(was_training)
    return unit_length(np.concatenate(found))


def coverage(points: np.ndarray, chosen: Sequence[int] | np.ndarray) -> Coverage:
    """Measure how well chosen points stand for all.

    Args:
        points: (N, D).
        chosen: numbers of at least one point.

    Raises:
        ValueError: if the points do not fit, or a number is not that of a point.

    Lesson: notebooks/30_less_is_more.ipynb
    """
    points = checked_points(points, 1)
    nearest = np.full(len(points), np.inf)
    for i in _checked_numbers(chosen, len(points)):
        nearest = np.minimum(nearest, ((points - points[i]) ** 2).sum(axis=1))
    distance = np.sqrt(nearest)
    return Coverage(float(distance.max()), float(distance.mean()))


def k_center_greedy(points: np.ndarray, k: int, *, start: int | Sequence[int] = 0) -> np.ndarray:
    """Choose k points, each time the one that is farthest from all chosen before.

        next = argmax_i  min over chosen c of |x_i - x_c|

    The largest distance is at most twice the least that any k points reach. Proof: let r be what
    is left. The k chosen points and one at distance r are k + 1 points, each two at least r apart.
    Two of them share a nearest point of the best solution, so r is at most two of its distances.

    Args:
        points: (N, D).
        k: how many to choose, in 1 .. N.
        start: the first one, or several that are chosen already and count among the k. The
            factor 2 holds for a single first one, whichever it is.

    Returns:
        The numbers chosen, (k,), in the order of choice, all different.

    Raises:
        ValueError: if the points or k do not fit, start is not a point, or more than k are given.

    Cost: 3 k N D FLOPs; no matrix of all distances.
    Source: Gonzalez 1985, Clustering to minimize the maximum intercluster distance, TCS 38;
        Sener and Savarese 2018, arXiv:1708.00489, algorithm 1.
    Lesson: notebooks/30_less_is_more.ipynb
    """
    points = checked_points(points, k)
    first = [start] if isinstance(start, (int, np.integer)) else list(start)
    chosen = _checked_numbers(first, len(points))
    if len(chosen) > k:
        raise ValueError(f"{len(chosen)} points are given to start from, but k is {k}")
    nearest = np.full(len(points), np.inf)
    for i in chosen:
        nearest = np.minimum(nearest, ((points - points[i]) ** 2).sum(axis=1))
    nearest[chosen] = -1.0  # never again, not even among equal points
    while len(chosen) < k:
        i = int(nearest.argmax())
        chosen.append(i)
        nearest = np.minimum(nearest, ((points - points[i]) ** 2).sum(axis=1))
        nearest[i] = -1.0
    return np.array(chosen)


def best_k_center(points: np.ndarray, k: int) -> tuple[np.ndarray, float]:
    """Solve k-center by trying every set of k points: the answer that greedy is measured by.

    Args:
        points: (N, D), few of them.
        k: how many to choose.

    Returns:
        The numbers chosen, (k,), in increasing order (of equal ones the first), and the largest
        distance that they leave.

    Raises:
        ValueError: if the points or k do not fit, or there are more than MAX_TRIED sets.

    Cost: N over k sets. No quick way is known: the problem is NP-hard.
    Lesson: notebooks/30_less_is_more.ipynb
    """
    points = checked_points(points, k)
    n_sets = math.comb(len(points), k)
    if n_sets > MAX_TRIED:
        raise ValueError(
            f"{n_sets:,} sets of {k} of {len(points)} points are too many to try; "
            f"at most {MAX_TRIED:,}. Take fewer points"
        )
    distance = np.stack([np.sqrt(((points - x) ** 2).sum(axis=1)) for x in points])  # (N, N)
    sets = np.array(list(combinations(range(len(points)), k)))  # (n_sets, k)
    left = np.array([distance[list(s)].min(axis=0).max() for s in sets])  # (n_sets,)
    best = int(left.argmin())
    return sets[best], float(left[best])


@dataclass(frozen=True)
class TaskCoreset:
    """What `task_coreset` chose, and what it looked at on the way.

    Attributes:
        chosen: numbers of the examples, (n,), the task's centre first.
        cluster: number of the cluster that the task visits most often.
        centre: that cluster's centre, (D,): the "distribution centre".
        task_centre: number of the task's example whose cosine with it is largest.
        clusters: what k-means found over the examples of all tasks.
    """

    chosen: np.ndarray
    cluster: int
    centre: np.ndarray
    task_centre: int
    clusters: Clusters


def task_coreset(
    vectors: np.ndarray,
    task: Sequence[int] | np.ndarray,
    n: int,
    *,
    n_clusters: int,
    seed: int = 0,
) -> TaskCoreset:
    """Choose n examples of one task, as in "Maybe only 0.5 % data is needed".

        1. k-means over the vectors of all tasks
        2. centre of the cluster that most examples of the task are in: distribution centre
        3. of the task, the example with the largest cosine to it: task centre
        4. k-center greedy among the task's examples, from the task centre on

    Args:
        vectors: of the examples of all tasks, (N, D); they are brought to length 1.
        task: numbers of the examples of the task.
        n: how many to choose, at most as many as the task has.
        n_clusters: K.
        seed: of k-means.

    Returns:
        TaskCoreset; its numbers count in `vectors`.

    Raises:
        ValueError: if a number is not that of an example, or n or n_clusters do not fit.

    Source: Chen et al. 2023, arXiv:2305.09246, section 3.
    Lesson: notebooks/30_less_is_more.ipynb
    """
    x = unit_length(checked_points(vectors, n_clusters))
    own = np.array(_checked_numbers(task, len(x)))
    if not 1 <= n <= len(own):
        raise ValueError(f"n must lie in 1 .. {len(own)}, the examples of the task, got {n}")
    clusters = kmeans(x, n_clusters, seed=seed)
    cluster = int(np.bincount(clusters.labels[own], minlength=n_clusters).argmax())
    centre = clusters.centres[cluster]
    first = int((x[own] @ centre).argmax())  # its length is the same for all: no need to divide
    chosen = own[k_center_greedy(x[own], n, start=first)]
    return TaskCoreset(chosen, cluster, centre, int(own[first]), clusters)


def _checked_numbers(numbers: Sequence[int] | np.ndarray, n: int) -> list[int]:
    found = [int(i) for i in numbers]
    if not found:
        raise ValueError("at least one example must be named")
    for i in found:
        if not 0 <= i < n:
            raise ValueError(f"there is no example {i}; they are numbered 0 to {n - 1}")
    if len(set(found)) < len(found):
        raise ValueError("an example is named twice")
    return found

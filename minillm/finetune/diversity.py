"""Examples that differ from one another: k-means by hand, and a choice that visits every cluster.

- An example is a vector here (`coreset.embed` makes it from a model); nothing is known of texts.
- Everything is float64 and seeded, so that a choice can be made again.

Shape letters: N examples, D width of a vector, K clusters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Clusters:
    """What k-means found.

    Attributes:
        labels: number of the cluster of each example, (N,).
        centres: mean of each cluster, (K, D).
        inertia: sum of the squared distances of the examples to their centres; what k-means lowers.
        steps: how often the centres were moved.
    """

    labels: np.ndarray
    centres: np.ndarray
    inertia: float
    steps: int


def checked_points(points: np.ndarray | Sequence[Sequence[float]], k: int) -> np.ndarray:
    """Return vectors as float64, (N, D), and refuse what cannot be chosen from.

    Raises:
        ValueError: if the points are not (N, D) and finite, or k does not lie in 1 .. N.
    """
    found = np.asarray(points, dtype=np.float64)
    if found.ndim != 2 or not found.size:
        raise ValueError(f"points must be (N, D) and not empty, got shape {found.shape}")
    if not np.isfinite(found).all():
        row = int(np.argwhere(~np.isfinite(found))[0, 0])
        raise ValueError(f"point {row} is not finite: leave it out, or look how it was made")
    if not 1 <= k <= len(found):
        raise ValueError(f"k must lie in 1 .. {len(found)}, the number of points, got {k}")
    return found


def squared_distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return |x_i - c_j|^2 for every point and centre, (N, K).

    One centre after another, from differences: the quick form |x|^2 - 2 x c + |c|^2 loses half of
    the digits where a point lies near a centre, which is just where we look.
    """
    return np.stack([((points - c) ** 2).sum(axis=1) for c in centres], axis=1)


def scattered(points: np.ndarray, k: int, dice: np.random.Generator) -> np.ndarray:
    """Draw k points to start from, far apart more often than near (k-means++).

        first: any;   next: point i with probability d_i^2 / sum_j d_j^2

    where d_i is the distance of i to the nearest that was drawn.

    Returns:
        The numbers of the points, (K,), all different.

    Raises:
        ValueError: if there are fewer than k different points.

    Source: Arthur and Vassilvitskii 2007, k-means++, section 2.2.
    Lesson: notebooks/30_less_is_more.ipynb
    """
    chosen = [int(dice.integers(len(points)))]
    nearest = ((points - points[chosen[0]]) ** 2).sum(axis=1)  # (N,)
    while len(chosen) < k:
        total = nearest.sum()
        if total == 0:
            raise ValueError(f"k = {k}, but only {len(chosen)} of the points are different")
        chosen.append(int(dice.choice(len(points), p=nearest / total)))
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return np.array(chosen)


def kmeans(
    points: np.ndarray | Sequence[Sequence[float]],
    k: int,
    *,
    seed: int = 0,
    start: np.ndarray | None = None,
    n_starts: int = 1,
    max_steps: int = 100,
) -> Clusters:
    """Part points into k groups around their means, so that squared distances are small.

        repeat:  label_i = argmin_j |x_i - c_j|^2;    c_j = mean of the x_i with label_i = j

    Neither line can raise the inertia, so it ends; in a valley, not always in the deepest. A
    cluster that has lost all its points is put on the point that is farthest from its centre.

    Args:
        points: (N, D).
        k: K, in 1 .. N.
        seed: of the first centres (k-means++).
        start: first centres, (K, D), instead of drawn ones.
        n_starts: draw so often, and keep the result of least inertia.
        max_steps: at most so many moves of the centres.

    Returns:
        Clusters; every cluster has a point.

    Raises:
        ValueError: if the points, k or start do not fit, or n_starts or max_steps is below 1.

    Cost: 3 N K D FLOPs a step and start.
    Source: Lloyd 1982, Least squares quantization in PCM, IEEE Trans. Inf. Theory 28.
    Lesson: notebooks/30_less_is_more.ipynb
    """
    points = checked_points(points, k)
    if n_starts < 1 or max_steps < 1:
        raise ValueError(f"n_starts and max_steps must be >= 1, got {n_starts}, {max_steps}")
    if start is not None:
        start = np.asarray(start, dtype=np.float64)
        if start.shape != (k, points.shape[1]):
            raise ValueError(f"start must be {(k, points.shape[1])}, got {start.shape}")
        return _settle(points, start, max_steps)
    dice = np.random.default_rng(seed)
    found = [
        _settle(points, points[scattered(points, k, dice)], max_steps) for _ in range(n_starts)
    ]
    return min(found, key=lambda clusters: clusters.inertia)


def _settle(points: np.ndarray, centres: np.ndarray, max_steps: int) -> Clusters:
    """Alternate labels and means until no label changes."""
    labels, steps = squared_distances(points, centres).argmin(axis=1), 0
    while steps < max_steps:
        labels = _without_empty(points, centres, labels)
        K = len(centres)
        centres = np.stack([points[labels == j].mean(axis=0) for j in range(K)])
        steps += 1
        new = squared_distances(points, centres).argmin(axis=1)
        if (new == labels).all():
            break
        labels = new
    labels = _without_empty(points, centres, labels)
    inertia = float(((points - centres[labels]) ** 2).sum())
    return Clusters(labels, centres, inertia, steps)


def _without_empty(points: np.ndarray, centres: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Give each empty cluster the point that lies farthest from its centre."""
    labels = labels.copy()
    sizes = np.bincount(labels, minlength=len(centres))
    far = ((points - centres[labels]) ** 2).sum(axis=1)  # (N,)
    for j in np.flatnonzero(sizes == 0):
        movable = np.where(sizes[labels] > 1, far, -1.0)  # nobody's last point
        i = int(movable.argmax())
        sizes[labels[i]] -= 1
        labels[i], far[i] = j, 0.0
        sizes[j] = 1
    return labels


def pick_evenly(labels: np.ndarray | Sequence[int], n: int, order: np.ndarray) -> np.ndarray:
    """Choose n examples, going round the clusters and taking one of each.

    Args:
        labels: cluster of each example, (N,).
        n: how many to choose, in 1 .. N.
        order: a permutation of the N examples; of a cluster the one that comes first is taken
            first. A cluster that is used up is passed over.

    Returns:
        The numbers chosen, (n,), in the order of choice: cluster sizes in it differ by more than
        one only where a cluster was used up.

    Raises:
        ValueError: if n does not lie in 1 .. N, or order is no permutation.

    Lesson: notebooks/30_less_is_more.ipynb
    """
    labels, order = np.asarray(labels), np.asarray(order)
    if not 1 <= n <= len(labels):
        raise ValueError(f"n must lie in 1 .. {len(labels)}, the number of examples, got {n}")
    if order.shape != labels.shape or (np.sort(order) != np.arange(len(labels))).any():
        raise ValueError(f"order must be a permutation of the {len(labels)} examples")
    queues = [list(order[labels[order] == j]) for j in np.unique(labels)]
    chosen: list[int] = []
    while len(chosen) < n:
        for queue in queues:
            if queue and len(chosen) < n:
                chosen.append(int(queue.pop(0)))
    return np.array(chosen)


def pick_central(points: np.ndarray, clusters: Clusters) -> np.ndarray:
    """Choose of each cluster the example that lies nearest to its centre.

    Returns:
        The numbers chosen, one for each cluster that has a point, in the order of the clusters.

    Lesson: notebooks/30_less_is_more.ipynb
    """
    own = ((np.asarray(points) - clusters.centres[clusters.labels]) ** 2).sum(axis=1)  # (N,)
    chosen = []
    for j in np.unique(clusters.labels):
        (members,) = np.nonzero(clusters.labels == j)
        chosen.append(int(members[own[members].argmin()]))
    return np.array(chosen)


def n_covered(labels: np.ndarray | Sequence[int], chosen: Sequence[int] | np.ndarray) -> int:
    """Count the clusters (or tasks, or sources) of which at least one example was chosen.

    Lesson: notebooks/30_less_is_more.ipynb
    """
    return len(np.unique(np.asarray(labels)[np.asarray(chosen, dtype=np.int64)]))

"""How much did one training example help? Three answers, from exact to cheap.

    exact       train again without it, and look           `changes_by_retraining`
    second      the slope of that, from one Hessian         `influence_of_removal`
    first       one step on it, from two gradients          `gradient_scores`

- The second is checked against the first on logistic regression (`convex.Logistic`), where "train
  again" has one answer.
- For a language model no Hessian is made. What is left is the agreement of gradients, and
  `example_gradients` keeps a sketch of each, short enough to store.

Shape letters: N examples, D features or parameters, M targets, S width of a sketch.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import nn

from minillm.finetune.chat import shift
from minillm.finetune.convex import Logistic
from minillm.model import Decoder
from minillm.objectives import fast_cross_entropy

Row = tuple[Sequence[int], Sequence[bool]]
"""Token ids and, for each, whether it is to be predicted: what `tokenize_chat` returns."""


def influence_of_removal(
    hessian: np.ndarray, gradients: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """Predict how a target's loss changes if one example is left out of training.

        change_i = 1/N  g_target^T H^-1 g_i

    Positive: the example helped, and without it the target's loss is higher. The derivation moves
    the weight w_i from 1 to 0 along the slope at 1: d theta / d w_i = -H^-1 g_i / N.

    Args:
        hessian: H of the mean training loss at its lowest point, (D, D).
        gradients: g_i of the single losses there, (N, D).
        target: g_target of the loss that we care about, (D,).

    Returns:
        (N,), in the unit of the target's loss.

    Raises:
        ValueError: if the shapes do not fit.

    Cost: one solution of a D by D system: 2/3 D^3 FLOPs, and 2 N D.
    Source: Koh and Liang 2017, arXiv:1703.04730, equation 2; its section 2.1 for the removal.
    Lesson: notebooks/30_less_is_more.ipynb
    """
    d = target.shape[0]
    if hessian.shape != (d, d) or gradients.ndim != 2 or gradients.shape[1] != d:
        raise ValueError(
            f"hessian {hessian.shape}, gradients {gradients.shape} and target {target.shape} "
            "are not (D, D), (N, D) and (D,)"
        )
    return np.asarray(gradients @ np.linalg.solve(hessian, target) / len(gradients))


def changes_by_retraining(problem: Logistic, target: Logistic) -> np.ndarray:
    """Leave each example out, train again, and see how the target's mean loss has changed.

    Args:
        problem: what is trained on.
        target: what is asked about; its own l2 is not used.

    Returns:
        (N,): loss without example i minus loss with all.

    Cost: N trainings.
    Lesson: notebooks/30_less_is_more.ipynb
    """
    n = len(problem.s)
    before = float(target.losses(problem.fit()).mean())
    changes = np.zeros(n)
    for i in range(n):
        weights = np.ones(n)
        weights[i] = 0.0
        changes[i] = float(target.losses(problem.fit(weights)).mean()) - before
    return changes


def gradient_scores(
    gradients: np.ndarray, targets: np.ndarray, kind: Literal["cosine", "dot"] = "cosine"
) -> np.ndarray:
    """Score examples by how much a step on each would lower the targets' loss.

        dot:     g_i . mean_m g_m        a step of size e lowers the targets' loss by e times this
        cosine:  the same with every gradient brought to length 1 first

    Short answers have long gradients, since the loss of an example is a mean over its tokens;
    "dot" therefore prefers short answers, and "cosine" does not look at lengths.

    Args:
        gradients: of the examples, (N, D), or sketches of them.
        targets: of the targets, (M, D), made in the same way.
        kind: "cosine" or "dot".

    Returns:
        (N,); high is helpful, negative is harmful. A gradient of zero scores 0.

    Raises:
        ValueError: if the widths differ, there is no target, or kind is unknown.

    Source: Pruthi et al. 2020 (TracIn), arXiv:2002.08484, section 3, for "dot"; Xia et al. 2024
        (LESS), arXiv:2402.04333, section 3.2, for "cosine".
    Lesson: notebooks/30_less_is_more.ipynb
    """
    g, t = np.asarray(gradients, np.float64), np.asarray(targets, np.float64)
    if g.ndim != 2 or t.ndim != 2 or g.shape[1] != t.shape[1] or not len(t):
        raise ValueError(f"gradients {g.shape} and targets {t.shape} are not (N, D) and (M, D)")
    if kind not in ("cosine", "dot"):
        raise ValueError(f"kind must be 'cosine' or 'dot', got {kind!r}")
    if kind == "cosine":
        g, t = _directions(g), _directions(t)
    return np.asarray(g @ t.mean(axis=0))


def _directions(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0))


def example_gradients(
    model: Decoder,
    rows: Sequence[Row],
    *,
    parameters: Sequence[str] | None = None,
    sketch: int | None = 1024,
    seed: int = 0,
) -> np.ndarray:
    """Compute the gradient of each example's answer loss, and keep a short sketch of it.

        sketch[h(j)] += sign(j) g[j]        with a random place h(j) and a random sign(j) for each j

    Dot products of sketches are those of the gradients, plus noise of spread |a| |b| / sqrt(S).

    Args:
        model: as it stands; its weights are not changed.
        rows: ids and loss_mask of each example; the loss is the mean over its learned tokens.
        parameters: names of the parameters to look at; None means all that are trained.
        sketch: S, width of the sketch; None keeps the whole gradient.
        seed: of places and signs. Sketches can be compared only with the same seed.

    Returns:
        (N, S), float32; or (N, number of parameters).

    Raises:
        ValueError: if there is no row, a row has no learned token, or a name is unknown.

    Cost: a forward and backward pass an example, one at a time.
    Source: Charikar et al. 2002 (count sketch); LESS, section 4, draws a dense matrix of signs.
    Lesson: notebooks/30_less_is_more.ipynb
    """
    chosen = _named(model, parameters)
    if not rows:
        raise ValueError("there is no example to take the gradient of")
    n = sum(p.numel() for p in chosen)
    dice = torch.Generator().manual_seed(seed)
    place = torch.randint(sketch or 1, (n,), generator=dice)
    sign = torch.randint(2, (n,), generator=dice).float() * 2 - 1
    was_training = model.training
    model.eval()
    found = []
    for ids, mask in rows:
        if not any(list(mask)[1:]):
            raise ValueError("a row has no learned token: its loss and its gradient are nothing")
        x, y = shift(list(ids), list(mask))
        loss = fast_cross_entropy(model(torch.tensor([x])), torch.tensor([y]))
        parts = torch.autograd.grad(loss, chosen)
        flat = torch.cat([part.reshape(-1) for part in parts]).float().cpu()  # (n,)
        if sketch is not None:
            flat = torch.zeros(sketch).index_add(0, place, sign * flat)
        found.append(flat.numpy())
    model.train(was_training)
    return np.stack(found)


def _named(model: nn.Module, names: Sequence[str] | None) -> list[nn.Parameter]:
    known = dict(model.named_parameters())
    if names is None:
        return [p for p in known.values() if p.requires_grad]
    for name in names:
        if name not in known:
            raise ValueError(f"the model has no parameter {name!r}; see model.named_parameters()")
    return [known[name] for name in names]

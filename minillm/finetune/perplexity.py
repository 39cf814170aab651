"""How surprised a model is by answers, and whether that says how good its own answers are.

- `answer_losses` scores examples: nats a token of the answer, given the prompt. The easy ones the
  model could write already; the hardest are often wrong.
- `agreement` compares, over the checkpoints of a run, the loss on held-out answers with the
  quality of what the model writes itself. LIMA found the two at odds.

Shape letters: N examples, C checkpoints.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from minillm.finetune.chat import IGNORED, shift
from minillm.model import Decoder
from minillm.objectives import fast_cross_entropy

Row = tuple[Sequence[int], Sequence[bool]]


@dataclass(frozen=True)
class AnswerLosses:
    """How surprising answers are.

    Attributes:
        nats: mean over the learned tokens of each example, (N,).
        n_tokens: how many those are, (N,).
    """

    nats: np.ndarray
    n_tokens: np.ndarray

    @property
    def perplexity(self) -> np.ndarray:
        """exp(nats) of each example, (N,): the number of equally likely tokens to choose from."""
        return np.exp(self.nats)

    def mean(self) -> float:
        """Nats a token over all examples together: long answers count more."""
        return float((self.nats * self.n_tokens).sum() / self.n_tokens.sum())


@torch.no_grad()
def answer_losses(model: Decoder, rows: Sequence[Row], *, batch_size: int = 32) -> AnswerLosses:
    """Measure how surprised a model is by the answer of each example, given its prompt.

        nats_i = - mean over learned t of log p(ids_t | ids before t)

    Args:
        model: any decoder.
        rows: ids and loss_mask of each example, from `tokenize_chat`.
        batch_size: rows read at a time, padded at the right.

    Returns:
        AnswerLosses.

    Raises:
        ValueError: if there is no row, a row has no learned token, or is longer than the model's
            context.

    Cost: one forward pass over all tokens.
    Lesson: notebooks/30_less_is_more.ipynb
    """
    if not rows:
        raise ValueError("there is no example to score")
    pairs = [shift(ids, mask) for ids, mask in rows]
    for i, (x, y) in enumerate(pairs):
        if all(target == IGNORED for target in y):
            raise ValueError(f"example {i} has no learned token: it has no answer to score")
        if len(x) > model.config.context:
            raise ValueError(
                f"example {i} has {len(x)} tokens, the context is {model.config.context}: "
                "leave it out or cut its prompt"
            )
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    nats, counts = [], []
    for first in range(0, len(pairs), batch_size):
        part = pairs[first : first + batch_size]
        width = max(len(x) for x, _ in part)
        ids = torch.tensor([x + [0] * (width - len(x)) for x, _ in part], device=device)
        aims = torch.tensor([y + [IGNORED] * (width - len(y)) for _, y in part], device=device)
        losses = fast_cross_entropy(model(ids), aims, ignore_index=IGNORED, reduction="none")
        nats.append(losses.double().sum(dim=1).cpu().numpy())
        counts.append((aims != IGNORED).sum(dim=1).cpu().numpy())
    model.train(was_training)
    n = np.concatenate(counts)
    return AnswerLosses(np.concatenate(nats) / n, n)


def ranks(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Number values by size, from 1; equal ones share the mean of their numbers.

    Returns:
        (N,), float64.
    """
    x = np.asarray(values, dtype=np.float64)
    below = (x[None, :] < x[:, None]).sum(axis=1)
    equal = (x[None, :] == x[:, None]).sum(axis=1)
    return np.asarray(below + (equal + 1) / 2)


def correlation(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    """Say how well two lists lie on a line (Pearson): -1 falling, 0 no line, +1 rising.

        r = sum (a - mean a)(b - mean b) / sqrt(sum (a - mean a)^2 sum (b - mean b)^2)

    Of `ranks` it says how well they are in the same order (Spearman).

    Raises:
        ValueError: if the lists differ in length, have fewer than 3 values, or one is constant: no
            line is better than another.

    Lesson: notebooks/30_less_is_more.ipynb
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 3:
        raise ValueError(f"need two lists of one length, 3 or more, got {x.shape} and {y.shape}")
    x, y = x - x.mean(), y - y.mean()
    spread = math.sqrt(float(x @ x) * float(y @ y))
    if spread == 0:
        raise ValueError("one of the lists is constant: a correlation says nothing about it")
    return float(np.clip(x @ y / spread, -1.0, 1.0))


@dataclass(frozen=True)
class Agreement:
    """Whether low loss means high quality, over the checkpoints of one run.

    Attributes:
        pearson, spearman: correlation of loss and quality, and of their ranks. -1 would be a
            perfect guide (the lower the loss, the better); above 0 the guide points backwards.
        misleading: share of the pairs of checkpoints, of unequal loss and quality, in which the
            one of lower loss is worse. 0 would be perfect; a coin has 0.5.
        by_loss, by_quality: the checkpoint that each of the two would choose (the earliest, of
            equal ones).
        given_up: quality of the best checkpoint minus that of the one with the lowest loss.
    """

    pearson: float
    spearman: float
    misleading: float
    by_loss: int
    by_quality: int
    given_up: float


def agreement(
    losses: Sequence[float] | np.ndarray, quality: Sequence[float] | np.ndarray
) -> Agreement:
    """Compare held-out loss with the quality of generated answers over checkpoints.

    Args:
        losses: nats a token on held-out answers, (C,); low is good.
        quality: share of right answers, or any measure, (C,); high is good.

    Returns:
        Agreement.

    Raises:
        ValueError: as `correlation`; or if no pair of checkpoints differs in both.

    Source: the question is LIMA's: Zhou et al. 2023, arXiv:2305.11206, appendix B.
    Lesson: notebooks/30_less_is_more.ipynb
    """
    pearson = correlation(losses, quality)
    x, y = np.asarray(losses, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    order = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)  # (C, C): +1 is misleading
    decided = np.count_nonzero(order)
    if not decided:
        raise ValueError("no two checkpoints differ in both loss and quality")
    by_loss, by_quality = int(x.argmin()), int(y.argmax())
    return Agreement(
        pearson,
        correlation(ranks(x), ranks(y)),
        float((order > 0).sum() / decided),
        by_loss,
        by_quality,
        float(y[by_quality] - y[by_loss]),
    )

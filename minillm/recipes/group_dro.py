"""Learned weights of a mixture: group DRO on a small proxy model, as in DoReMi.

Three steps: a *reference* model is trained on all domains alike; a *proxy* of the same size is
trained with a loss whose domain weights rise where the proxy is still worse than the reference; the
weights, averaged over the proxy's run, are the proportions for the real model.

How a model is trained is not the business of this file: it is given a `train_fn`.

Shape letters: B batch, T context, K domains; a batch holds B / K rows of each domain, in order.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minillm.data.loader import BatchSampler
from minillm.data.shard import Tokens
from minillm.objectives import causal_loss, fast_cross_entropy

Objective = Callable[[nn.Module, Tensor, Tensor], Tensor]
Batches = Iterator[tuple[Tensor, Tensor]]
TrainFunction = Callable[[Batches, Objective], nn.Module]
"""(batches without end, objective) -> a trained model; as often as it is called, the same start."""


def update_weights(
    weights: np.ndarray, excess: np.ndarray, *, step_size: float = 1.0, smoothing: float = 1e-3
) -> np.ndarray:
    """Move weights towards the domains with the larger excess loss.

        w_i  ->  w_i exp(eta e_i) / sum_j w_j exp(eta e_j)
        w    ->  (1 - c) w + c / K

    Args:
        weights: w, (K,), summing to 1.
        excess: e, (K,), nats a token.
        step_size: eta, 0 or more.
        smoothing: c, in [0, 1]: no weight falls below c / K.

    Returns:
        New weights, (K,), summing to 1.

    Raises:
        ValueError: if the shapes differ, the excess is not finite, or a setting is out of range.

    Source: Xie et al. 2023 (DoReMi), arXiv:2305.10429, algorithm 1; Sagawa et al. 2020,
        arXiv:1911.08731.
    Lesson: notebooks/08_schedule.ipynb
    """
    weights, excess = np.asarray(weights, np.float64), np.asarray(excess, np.float64)
    if weights.shape != excess.shape or weights.ndim != 1 or not np.isfinite(excess).all():
        raise ValueError(f"need a finite excess for each of {weights.shape} weights, got {excess}")
    if step_size < 0 or not 0 <= smoothing <= 1:
        raise ValueError(
            f"step_size must be 0 or more and smoothing in 0 to 1, got {step_size} and {smoothing}"
        )
    moved = weights * np.exp(step_size * (excess - excess.max()))  # the maximum cancels
    return (1 - smoothing) * moved / moved.sum() + smoothing / len(weights)


class DomainBatches:
    """Batches with equally many rows of each domain: rows d B/K .. (d + 1) B/K - 1 are domain d's.

    Args:
        domains: tokens by name.
        batch_size: B, a multiple of the number of domains.
        context: T.
        seed: of the order of windows.

    Raises:
        ValueError: if K does not divide B, or as BatchSampler.

    Lesson: notebooks/08_schedule.ipynb
    """

    def __init__(
        self, domains: Mapping[str, Tokens], batch_size: int, context: int, *, seed: int = 0
    ) -> None:
        if not domains or batch_size % len(domains):
            raise ValueError(
                f"batch_size {batch_size} must be a multiple of the {len(domains)} domains"
            )
        rows = batch_size // len(domains)
        self.samplers = {
            name: BatchSampler(tokens, rows, context, seed=seed) for name, tokens in domains.items()
        }

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        x, y = zip(*(next(sampler) for sampler in self.samplers.values()), strict=True)
        return torch.cat(x), torch.cat(y)

    def state_dict(self) -> dict[str, Any]:
        """Return the positions in all domains."""
        return {name: sampler.state_dict() for name, sampler in self.samplers.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where the state was taken; raises as BatchSampler does."""
        for name, sampler in self.samplers.items():
            sampler.load_state_dict(state[name])


class GroupDRO:
    """An objective that weighs domains, and moves the weights at each step before it uses them.

        excess_i = mean over the tokens of domain i of max(loss - loss of the reference, 0)
        weights  = update_weights(weights, excess)
        loss     = sum_i weights_i (mean loss of domain i)

    Without a reference the excess is the loss itself: plain group DRO, which runs after the domain
    that is hardest to predict, though it may be so by nature.

    Args:
        n_domains: K.
        reference: a trained model, or None.
        step_size, smoothing: as in update_weights; 1 and 0.001 in the paper.

    Attributes:
        weights: those of the last step, (K,).
        history: those of every step.

    Source: Xie et al. 2023 (DoReMi), arXiv:2305.10429, algorithm 1.
    Lesson: notebooks/08_schedule.ipynb
    """

    def __init__(
        self,
        n_domains: int,
        reference: nn.Module | None = None,
        *,
        step_size: float = 1.0,
        smoothing: float = 1e-3,
    ) -> None:
        self.reference, self.step_size, self.smoothing = reference, step_size, smoothing
        self.weights = np.full(n_domains, 1 / n_domains)
        self.history: list[np.ndarray] = []

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the weighted loss of a batch of DomainBatches, a scalar."""
        K = len(self.weights)
        loss = fast_cross_entropy(model(x), y, reduction="none").view(K, -1)  # (K, B/K T)
        excess = loss.detach()
        if self.reference is not None:
            with torch.no_grad():
                known = fast_cross_entropy(self.reference(x), y, reduction="none").view(K, -1)
            excess = (excess - known).clamp(min=0)
        self.weights = update_weights(
            self.weights,
            excess.mean(dim=1).double().numpy(),
            step_size=self.step_size,
            smoothing=self.smoothing,
        )
        self.history.append(self.weights)
        weights = torch.from_numpy(self.weights).to(loss.dtype)
        return (weights * loss.mean(dim=1)).sum()


@dataclass(frozen=True)
class LearnedWeights:
    """What a proxy run found."""

    weights: dict[str, float]
    """Averaged over the steps, by domain; the proportions for the real model."""
    history: np.ndarray
    """(steps, K)."""
    reference: nn.Module | None
    proxy: nn.Module


def learn_weights(
    domains: Mapping[str, Tokens],
    train_fn: TrainFunction,
    *,
    batch_size: int,
    context: int,
    seed: int = 0,
    step_size: float = 1.0,
    smoothing: float = 1e-3,
    with_reference: bool = True,
) -> LearnedWeights:
    """Find proportions of a mixture by training a reference and a proxy.

    Args:
        domains: tokens by name.
        train_fn: trains a model on batches with an objective; called for the reference and the
            proxy. With accumulation the weights would move at each micro-batch: let it have none.
        batch_size: B, a multiple of the number of domains.
        context: T.
        seed: of the order of windows.
        step_size, smoothing: as in update_weights.
        with_reference: False leaves the reference out: see GroupDRO.

    Returns:
        The weights and how they came about.

    Raises:
        ValueError: as DomainBatches; or if train_fn never asked for the loss.

    Cost: two trainings, and a forward pass of the reference at each step of the proxy.
    Source: Xie et al. 2023 (DoReMi), arXiv:2305.10429, section 2.
    Lesson: notebooks/08_schedule.ipynb
    """
    reference = None
    if with_reference:
        batches = DomainBatches(domains, batch_size, context, seed=seed)
        reference = train_fn(batches, causal_loss).eval().requires_grad_(False)
    objective = GroupDRO(len(domains), reference, step_size=step_size, smoothing=smoothing)
    proxy = train_fn(DomainBatches(domains, batch_size, context, seed=seed + 1), objective)
    if not objective.history:
        raise ValueError("train_fn never called its objective, so there is no weight to average")
    history = np.stack(objective.history)
    weights = dict(zip(domains, history.mean(axis=0).tolist(), strict=True))
    return LearnedWeights(weights, history, reference, proxy)

"""Training on pairs: DPO and its relatives by the loop of every other training.

    batches = PairBatches(pairs, 8, 128, pad=pad_id, seed=1)
    prefer(model, batches, TrainConfig(steps=200), DirectConfig("dpo", beta=0.1), ref_model=ref)

The reference is a frozen copy of the model as it was; it reads each batch once more, forward only.

Shape letters: B pairs of a batch (2 B rows, the chosen first), T positions.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from minillm.align.answer_logprobs import (
    EncodedPair,
    lay_pairs,
    pair_sums,
    response_logprobs,
    target_logprobs,
)
from minillm.align.direct import ipo_loss, kto_loss, kto_reference_point, orpo_loss, simpo_loss
from minillm.align.dpo import DPOStats, check_beta, dpo_loss, dpo_stats
from minillm.align.pair_batches import PairBatches, mismatched
from minillm.finetune.chat import IGNORED
from minillm.train import TrainConfig, TrainState, train

METHODS = ("dpo", "ipo", "kto", "orpo", "simpo")
Method = Literal["dpo", "ipo", "kto", "orpo", "simpo"]
NEED_REFERENCE = ("dpo", "ipo", "kto")
ReferencePoint = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class DirectConfig:
    """Which loss, and its numbers; see dpo.py and direct.py.

    Attributes:
        method: one of METHODS.
        beta: of dpo and kto the price of a nat; of ipo tau; of orpo the weight of the odds; of
            simpo the scale.
        label_smoothing: read by dpo only.
        gamma: margin; read by simpo only.
        desirable_weight, undesirable_weight: read by kto only.

    Raises:
        ValueError: if method is unknown, beta is not positive, or a number is set that the method
            does not read.
    """

    method: Method = "dpo"
    beta: float = 0.1
    label_smoothing: float = 0.0
    gamma: float = 0.0
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}; got {self.method!r}")
        check_beta(self.beta)
        read = {
            "label_smoothing": ("dpo", 0.0),
            "gamma": ("simpo", 0.0),
            "desirable_weight": ("kto", 1.0),
            "undesirable_weight": ("kto", 1.0),
        }
        for name, (reader, default) in read.items():
            if getattr(self, name) != default and self.method != reader:
                raise ValueError(
                    f"{name}={getattr(self, name)} is read by {reader} only, and the method is "
                    f"{self.method}"
                )


def reference_of(model: nn.Module) -> nn.Module:
    """Copy a model as it is now, frozen and in evaluation mode.

    Cost: its weights once more.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    return copy.deepcopy(model).requires_grad_(False).eval()


def direct_loss(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    config: DirectConfig,
    ref_model: nn.Module | None = None,
    pad: int = 0,
    others: tuple[Tensor, Tensor] | None = None,
    reference_point: ReferencePoint = kto_reference_point,
) -> Tensor:
    """Compute the loss of a batch of pairs.

    Args:
        model: the policy.
        x: ids, (2 B, T), from `PairBatches`: the chosen rows, then the rejected.
        y: targets, (2 B, T); IGNORED outside the answers.
        config: which loss.
        ref_model: the reference, for the methods that have one.
        pad: id that fills up the rows of KTO's mismatched answers; none is ever learned.
        others: KTO's mismatched rows, where x is a part of a batch that others share; None makes
            them of x and y.
        reference_point: KTO's z of these rows; of a part, that of the whole batch.

    Returns:
        A scalar: the mean over the pairs; of kto over the 2 B answers.

    Raises:
        ValueError: if a reference is missing, the rows are not pairs, or kto gets one pair only.

    Cost: one pass with gradients; one without where there is a reference, and two more for kto.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    if config.method in NEED_REFERENCE and ref_model is None:
        raise ValueError(f"{config.method} compares with a reference; give ref_model")
    here = target_logprobs(model, x, y)
    lengths = (y != IGNORED).sum(dim=1).clamp(min=1)  # (2 B,)
    if config.method in ("orpo", "simpo"):
        chosen, rejected = pair_sums(here / lengths[:, None])
        if config.method == "orpo":
            return orpo_loss(chosen, rejected, weight=config.beta)
        return simpo_loss(chosen, rejected, beta=config.beta, gamma=config.gamma)
    assert ref_model is not None  # refused above
    with torch.no_grad():
        there = target_logprobs(ref_model, x, y)
    if config.method == "kto":
        others = _others(x, y, pad) if others is None else others
        return _kto(model, ref_model, others, (here, there), config, reference_point)
    if config.method == "ipo":  # means over the tokens, as its authors ran it
        here, there = here / lengths[:, None], there / lengths[:, None]
    chosen, rejected = pair_sums(here)
    ref_chosen, ref_rejected = pair_sums(there)
    four = (chosen, rejected, ref_chosen, ref_rejected)
    if config.method == "ipo":
        return ipo_loss(*four, tau=config.beta)
    return dpo_loss(*four, beta=config.beta, label_smoothing=config.label_smoothing)


def _kto(
    model: nn.Module,
    ref_model: nn.Module,
    others: tuple[Tensor, Tensor],
    logprobs: tuple[Tensor, Tensor],
    config: DirectConfig,
    reference_point: ReferencePoint,
) -> Tensor:
    """Take each pair as one good and one bad answer; z from the answers of other rows."""
    with torch.no_grad():
        here, there = (target_logprobs(m, *others).sum(dim=1) for m in (model, ref_model))
    own, ref_own = (found.sum(dim=1) for found in logprobs)  # of the policy, of the reference
    good = torch.arange(len(own), device=own.device) < len(own) // 2
    return kto_loss(
        own,
        ref_own,
        good,
        reference_point(here, there),
        beta=config.beta,
        desirable_weight=config.desirable_weight,
        undesirable_weight=config.undesirable_weight,
    )


def _others(x: Tensor, y: Tensor, pad: int) -> tuple[Tensor, Tensor]:
    """Make KTO's mismatched rows of a batch."""
    if len(x) < 4:
        raise ValueError("kto measures z on answers of other prompts: give it two pairs or more")
    return mismatched(x, y, pad=pad)


def prefer(
    model: nn.Module,
    batches: PairBatches,
    train_config: TrainConfig,
    config: DirectConfig,
    *,
    ref_model: nn.Module | None = None,
    **loop: Any,
) -> TrainState:
    """Train a model on pairs, by the loop of every other training.

    Args:
        model: trained in place, as far as its parameters require a gradient.
        batches: the pairs.
        train_config: steps, schedule and so on; accumulate 1 and no ramp, as the loop would weigh
            passes by their tokens, and here each pair counts alike.
        config: which loss.
        ref_model: the reference; see `reference_of`. It is never trained.
        loop: optimizer, state, evaluate, save, log, folder, progress: as in `minillm.train.train`.

    Returns:
        The state at the end.

    Raises:
        ValueError: if a reference is missing or train_config reads a batch in several passes.
        NotFiniteError: as `train`.

    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    if config.method in NEED_REFERENCE and ref_model is None:
        raise ValueError(f"{config.method} compares with a reference; give ref_model")
    if ref_model is model:
        raise ValueError("ref_model is the model itself, which moves; give reference_of(model)")
    if train_config.accumulate > 1 or train_config.ramp is not None:
        raise ValueError(
            "pairs need the whole batch in one pass; set train.accumulate=1 and train.ramp=None"
        )
    objective = partial(direct_loss, config=config, ref_model=ref_model, pad=batches.pad)
    return train(model, batches, train_config, objective=objective, **loop)


@torch.no_grad()
def pair_stats(
    model: nn.Module,
    ref_model: nn.Module,
    pairs: Sequence[EncodedPair],
    *,
    pad: int,
    beta: float = 0.1,
    batch_size: int = 16,
) -> DPOStats:
    """Measure accuracy, margin and how far both answers moved, on pairs that training need not see.

    Args:
        model, ref_model: the policy and its reference.
        pairs: at least one.
        pad: id that fills rows up.
        beta: scale of the margin; the accuracy does not depend on it.
        batch_size: pairs read at once.

    Raises:
        ValueError: if there is no pair.

    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    if not pairs:
        raise ValueError("there is no pair to measure")
    device = next(model.parameters()).device
    found: list[list[Tensor]] = []
    for first in range(0, len(pairs), batch_size):
        ids, mask = (t.to(device) for t in lay_pairs(pairs[first : first + batch_size], pad=pad))
        both = (pair_sums(response_logprobs(m, ids, mask)) for m in (model, ref_model))
        found.append([side for sides in both for side in sides])
    chosen, rejected, ref_chosen, ref_rejected = (torch.cat(x) for x in zip(*found, strict=True))
    return dpo_stats(chosen, rejected, ref_chosen, ref_rejected, beta)

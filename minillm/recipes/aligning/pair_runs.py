"""Runs that learn from pairs, reward and dpo: their model, their batches, their loss."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minillm.align.answer_logprobs import EncodedPair
from minillm.align.calibration import accuracy_by_rating, gaps_of, preference_accuracy
from minillm.align.direct_training import (
    NEED_REFERENCE,
    direct_loss,
    pair_stats,
    reference_of,
)
from minillm.align.pair_batches import PairBatches
from minillm.align.preferences import Pair
from minillm.align.ranking import margins_of
from minillm.align.reward import RewardModel
from minillm.align.reward_training import (
    RewardBatches,
    encode_pairs,
    pair_rewards,
    reward_objective,
)
from minillm.finetune.talks import PAD
from minillm.recipes.aligning.config import AlignRun
from minillm.recipes.aligning.material import Material
from minillm.recipes.finetuning.opening import Base
from minillm.tokenizer import Tokenizer
from minillm.train import MetricsFile, TrainState, checkpointer, make_optimizer, resume, train

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


class OpenReward(RewardModel):
    """A reward model that shows its blocks, so that it can be laid over ranks block by block."""

    @property
    def blocks(self) -> nn.ModuleList:
        """Those of the body."""
        return self.decoder.blocks


def ready(run: AlignRun, base: Base) -> nn.Module:
    """Make what a run trains: the base with a new head, or the base itself."""
    torch.manual_seed(run.train.seed)  # of the head
    return OpenReward(base.model) if run.method == "reward" else base.model


def reference(run: AlignRun, model: nn.Module) -> nn.Module | None:
    """A frozen copy of the policy as it is now, where the method compares with one."""
    needed = run.method == "dpo" and run.direct.method in NEED_REFERENCE
    return reference_of(model) if needed else None


def batches_of(
    run: AlignRun, pairs: Sequence[Pair], tokenizer: Tokenizer, batch_size: int
) -> RewardBatches | PairBatches:
    """Serve pairs in the order of the run's seed."""
    encoded, pad = encode_pairs(pairs, tokenizer), tokenizer.special_id(PAD)
    context, seed = run.train.context, run.train.seed
    if run.method == "dpo":
        return PairBatches(encoded, batch_size, context, pad=pad, seed=seed)
    margins = margins_of(pairs, run.margins)
    return RewardBatches(encoded, batch_size, pad=pad, margins=margins, longest=context, seed=seed)


def loss_of(run: AlignRun, ref_model: nn.Module | None, pad: int) -> Loss:
    """What the loop lowers: (model, x, y) -> a mean over the pairs."""
    if run.method == "reward":
        return reward_objective
    return partial(direct_loss, config=run.direct, ref_model=ref_model, pad=pad)


def validation_batches(
    run: AlignRun, material: Material, tokenizer: Tokenizer, at_once: int
) -> list[tuple[Tensor, Tensor]]:
    """The pairs that training never sees, some at a time.

    Raises:
        ValueError: if kto, which compares pairs, is given one.
    """
    pairs = material.validation
    if run.method == "dpo" and run.direct.method == "kto" and len(pairs) < 2:
        raise ValueError(
            f"kto compares pairs, and {len(pairs)} is kept for validation; raise "
            "data.validation_share, or give more rows"
        )
    parts = [pairs[n : n + at_once] for n in range(0, len(pairs), at_once)]
    if len(parts) > 1 and len(parts[-1]) == 1:  # kto wants two
        parts[-2:] = [parts[-2] + parts[-1]]
    return [next(batches_of(run, part, tokenizer, len(part))) for part in parts]


def mean_loss(
    loss: Callable[[Tensor, Tensor], Tensor],
    batches: Sequence[tuple[Tensor, Tensor]],
    device: torch.device,
) -> float:
    """Average a loss over pairs; every batch has as many as the rows of x halved."""
    total = sum(len(x) * float(loss(x.to(device), y.to(device))) for x, y in batches)
    return total / sum(len(x) for x, _ in batches)


def run_on_pairs(
    run: AlignRun,
    out: Path,
    base: Base,
    material: Material,
    *,
    resume_run: bool,
    manifest: dict[str, Any],
    progress: bool,
) -> tuple[nn.Module, TrainState]:
    """Train on pairs, on one process, by the usual loop.

    Returns:
        What was trained, and the state at the end.
    """
    model = ready(run, base)
    device = next(model.parameters()).device
    loss = loss_of(run, reference(run, model), base.tokenizer.special_id(PAD))
    batches = batches_of(run, material.train, base.tokenizer, run.train.batch_size)
    kept = validation_batches(run, material, base.tokenizer, run.train.batch_size)
    optimizer = make_optimizer(model, run.optimizer)
    state = resume(out / "last", model, optimizer, batches) if resume_run else TrainState()
    with MetricsFile(out / "metrics.jsonl", resume_at=state.step) as log:
        state = train(
            model,
            batches,
            run.train,
            objective=loss,
            optimizer=optimizer,
            state=state,
            evaluate=lambda m: {"validation_loss": mean_loss(partial(loss, m), kept, device)},
            save=checkpointer(out / "last", manifest=manifest),
            log=log,
            folder=out,
            progress=progress,
        )
    return model, state


def reward_findings(model: RewardModel, base: Base, material: Material) -> dict[str, Any]:
    """How often a reward model agrees with the annotators on pairs that it never saw."""
    pairs = material.validation
    encoded = encode_pairs(pairs, base.tokenizer)
    gaps = gaps_of(*pair_rewards(model, encoded, pad=base.tokenizer.special_id(PAD)))  # type: ignore[arg-type]
    told: dict[str, Any] = {"n": len(pairs), "accuracy": preference_accuracy(gaps)}
    ratings = [pair.rating for pair in pairs]
    rated = [rating for rating in ratings if rating is not None]
    if len(rated) == len(pairs):
        found = accuracy_by_rating(gaps, rated)
        told["by_rating"] = {str(r): [i.value, i.low, i.high] for r, i in found.items()}
    return told


def direct_findings(
    run: AlignRun, model: nn.Module, base: Base, first: nn.Module, material: Material
) -> dict[str, Any]:
    """How a policy and its first state see pairs that it never saw.

    Args:
        run: of dpo.
        model: at the end.
        base: for its tokenizer.
        first: the model as it began.
        material: of the run.
    """
    encoded: list[EncodedPair] = encode_pairs(material.validation, base.tokenizer)
    pad = base.tokenizer.special_id(PAD)
    stats = pair_stats(model, first, encoded, pad=pad, beta=run.direct.beta)
    return {"n": len(encoded), **vars(stats)}

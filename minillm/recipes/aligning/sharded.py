"""Carry out an alignment run on all ranks that torchrun has started.

    torchrun --standalone --nproc-per-node 2 -m minillm align dpo base=runs/full

The numbers are those of one process, whatever the number of ranks, but for rounding. Of reward and
dpo, which learn from pairs (here), a pair is never torn, every pair counts alike, kto's reference
point is that of the whole batch, and the reference is cut over the ranks like the policy. ppo and
rejection, which draw answers, are in `sharded_draws`: there rounding can make a draw that lies at
the edge of two tokens fall the other way, seldom in float32, not seen in float64. The same command
goes on from the newest whole checkpoint by itself.

Shape letters: B pairs of a batch, T positions.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from minillm.align.pair_batches import mismatched
from minillm.distributed.fsdp import ShardingConfig
from minillm.distributed.ranks import (
    Ranks,
    all_succeed,
    first_decides,
    gather_numbers,
    joined,
    one_message,
)
from minillm.distributed.ready import shard_ready, trained_weights
from minillm.distributed.trainer import fit_to_ranks, train_sharded
from minillm.finetune.talks import PAD
from minillm.model import Decoder
from minillm.recipes.aligning.config import ON_PAIRS, AlignRun
from minillm.recipes.aligning.dealt_pairs import DealtPairs, collect, deal
from minillm.recipes.aligning.execution import finish, headline, told_material
from minillm.recipes.aligning.material import Material, prepare_material
from minillm.recipes.aligning.opening import NOTE, describe, open_start
from minillm.recipes.aligning.pair_runs import (
    Loss,
    batches_of,
    loss_of,
    mean_loss,
    ready,
    reference,
    validation_batches,
)
from minillm.recipes.aligning.sharded_draws import check_draws, draw_on_ranks
from minillm.recipes.finetuning.opening import Base
from minillm.recipes.run_notes import write_settings
from minillm.train import MetricsFile, TrainConfig, TrainState, has_checkpoint


def execute_align_sharded(run: AlignRun, out: str | Path, *, progress: bool = True) -> Path:
    """Align a model on all ranks, from the newest whole checkpoint in `out` if there is one.

    Args:
        run: what to do; its settings are for any number of ranks.
        out: folder of the run, which all ranks see.
        progress: rank 0 shows bars and lines.

    Returns:
        `out`.

    Raises:
        AllRanksError: on rank 0, for what execute_align refuses, or if the run cannot be dealt
            out to the ranks. The other ranks leave with SystemExit, so that it is told once.

    Lesson: notebooks/33_reward.ipynb
    """
    out = Path(out)
    with joined() as ranks, one_message(ranks):
        say = print if progress and ranks.first else _quiet
        config = first_decides(lambda: _begin(run, out, ranks))
        base: Base = all_succeed(lambda: open_start(run), "opening the base model")
        first_decides(lambda: bool(told_material(run, base.tokenizer, out, say=say)))
        material = all_succeed(lambda: prepare_material(run, base.tokenizer), "reading the rows")
        base.model.to(ranks.device)
        say(f"{headline(run)} on {ranks.size} x {ranks.device}; writing {out}")
        weights: dict[str, Tensor] | None
        if run.method in ON_PAIRS:
            dealt = replace(run, train=config)
            sharded, state = train_on_ranks(
                dealt, base, material, ranks, out=out, progress=progress
            )
            weights = None if state.interrupted else trained_weights(sharded)
        else:
            weights = draw_on_ranks(run, base, material, ranks, out=out, say=say)
        if weights is not None:
            first_decides(lambda: _keep(run, out, weights, material, say))
    return out


def train_on_ranks(
    run: AlignRun,
    base: Base,
    material: Material,
    ranks: Ranks,
    *,
    out: Path,
    progress: bool = False,
) -> tuple[nn.Module, TrainState]:
    """Train on pairs on all ranks.

    Args:
        run: its train dealt out, by fit_to_ranks.
        base: opened on every rank; trained in place.
        material: the same on every rank.
        ranks: from joined().
        out: where checkpoints and metrics go.
        progress: rank 0 shows bars and lines.

    Returns:
        The sharded model, and the state at the end.
    """
    tokenizer = base.tokenizer
    each = max(1, run.train.batch_size // ranks.size)
    pad = tokenizer.special_id(PAD)
    mix = partial(mismatched, pad=pad) if is_kto(run) else None
    whole = validation_batches(run, material, tokenizer, each)
    kept = [deal(x, y, None if mix is None else mix(x, y)) for x, y in whole]
    model = ready(run, base)
    return train_sharded(
        partial(_laid_out, run, model, pad),
        DealtPairs(batches_of(run, material.train, tokenizer, run.train.batch_size), mix),
        run.train,
        ranks=ranks,
        optimizer=run.optimizer,
        out=out,
        make_log=lambda step: MetricsFile(out / "metrics.jsonl", resume_at=step),
        evaluate=lambda m: {"validation_loss": mean_loss(m.loss, kept, ranks.device)},  # type: ignore[arg-type]
        manifest=describe(run, base),
        progress=progress,
    )


class WholeLogits(nn.Module):
    """A reference whose weights are cut: its logits come from its own forward pass, which is what
    gathers the weights; so they are computed at every place."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        """Logits, (B, T, V)."""
        logits: Tensor = self.model(ids)
        return logits


def _laid_out(
    run: AlignRun, model: Any, pad: int, sharding: ShardingConfig, mesh: DeviceMesh
) -> Decoder:
    """Cut the model over the ranks, and its reference, which is copied before."""
    first: Any = reference(run, model)
    if first is not None:
        first = WholeLogits(shard_ready(first, sharding, mesh, loss=_no_loss))
    return shard_ready(model, sharding, mesh, loss=partial(_loss, loss=loss_of(run, first, pad)))


def _loss(model: nn.Module, x: Tensor, y: Tensor, *, loss: Loss) -> Tensor:
    rows, targets, others = collect(x, y)
    if others is None:
        return loss(model, rows, targets)
    return loss(model, rows, targets, others=others, reference_point=reference_point)  # type: ignore[call-arg]


def reference_point(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Compute kto's z of a batch that is dealt out evenly: see kto_reference_point.

    Args:
        logprobs, ref_logprobs: of the mismatched answers of this rank, (2 B / W,).

    Returns:
        A scalar, the same on every rank; no gradient.
    """
    means = gather_numbers(float((logprobs - ref_logprobs).mean()))
    return logprobs.new_tensor(max(0.0, sum(mean for (mean,) in means) / len(means)))


def is_kto(run: AlignRun) -> bool:
    """Whether pairs are compared with the answers of the whole batch."""
    return run.method == "dpo" and run.direct.method == "kto"


def _no_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    raise AssertionError("a reference is not trained")


def _begin(run: AlignRun, out: Path, ranks: Ranks) -> TrainConfig:
    """What rank 0 decides for all: that the run can be dealt out, and that it may write."""
    if has_checkpoint(out / "last"):
        raise ValueError(f"{out} holds a run of one process; name another --out")
    if run.method not in ON_PAIRS:
        check_draws(run, ranks.size)
    config = fit_to_ranks(run.train, ranks.size, run.train.batch_size)
    write_settings(run, out / NOTE, before=(out / NOTE).is_file())
    return config


def _keep(
    run: AlignRun, out: Path, weights: dict[str, Tensor], material: Material, say: Any
) -> None:
    """On rank 0: put the trained weights into a whole model once more, and keep it."""
    base = open_start(run)
    model = ready(run, base)
    with torch.no_grad():
        for name, param in model.named_parameters():
            if name in weights:
                param.copy_(weights[name])
    finish(run, out, model, base, material, say=say)


def _quiet(_: str) -> None:
    """Say nothing."""

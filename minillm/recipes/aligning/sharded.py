"""Carry out a run on pairs, reward or dpo, on all ranks that torchrun has started.

    torchrun --standalone --nproc-per-node 2 -m minillm align dpo base=runs/full

The losses are those of one process, whatever the number of ranks: a pair is never torn, every pair
counts alike, and the reference is cut over the ranks like the policy. The same command goes on from
the newest whole checkpoint by itself.

What is missing: ppo and rejection draw answers, and that is done on one process here. Ranks that
draw would have to share one stream of random numbers, whiten their advantages together and average
the gradients of every minibatch. What rejection keeps can be learned on many ranks, though: its
rounds/round-0.jsonl is a file of talks for `finetune`.

Shape letters: B pairs of a batch, T positions.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from minillm.align.pair_batches import PairBatches
from minillm.align.reward_training import RewardBatches
from minillm.distributed.fsdp import ShardingConfig
from minillm.distributed.ranks import Ranks, all_succeed, first_decides, joined, one_message
from minillm.distributed.ready import shard_ready, trained_weights
from minillm.distributed.trainer import fit_to_ranks, train_sharded
from minillm.finetune.chat import IGNORED
from minillm.finetune.talks import PAD
from minillm.model import Decoder
from minillm.recipes.aligning.config import ON_PAIRS, AlignRun
from minillm.recipes.aligning.execution import finish, headline, note_settings, told_material
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
from minillm.recipes.finetuning.opening import Base
from minillm.train import MetricsFile, TrainConfig, TrainState, has_checkpoint

NOTHING = -1
"""Stands for IGNORED in targets that are dealt out: the loop weighs ranks by what is not IGNORED,
and here every pair weighs the same, however long its answers."""


def execute_align_sharded(run: AlignRun, out: str | Path, *, progress: bool = True) -> Path:
    """Train on pairs on all ranks, from the newest whole checkpoint in `out` if there is one.

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
        sharded, state = train_on_ranks(
            replace(run, train=config), base, material, ranks, out=out, progress=progress
        )
        if not state.interrupted:
            weights = trained_weights(sharded)
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
    kept = [deal(x, y) for x, y in validation_batches(run, material, tokenizer, each)]
    model = ready(run, base)
    return train_sharded(
        partial(_laid_out, run, model, tokenizer.special_id(PAD)),
        DealtPairs(batches_of(run, material.train, tokenizer, run.train.batch_size)),
        run.train,
        ranks=ranks,
        optimizer=run.optimizer,
        out=out,
        make_log=lambda step: MetricsFile(out / "metrics.jsonl", resume_at=step),
        evaluate=lambda m: {"validation_loss": mean_loss(m.loss, kept, ranks.device)},  # type: ignore[arg-type]
        manifest=describe(run, base),
        progress=progress,
    )


def deal(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Bring both answers of a pair together, so that a share of the rows is a share of the pairs.

    Args:
        x: (2 B, T), the chosen rows first.
        y: of dpo targets, (2 B, T); of reward lengths and margin, (B, 3).

    Returns:
        x, (B, 2, T), and y, (B, 2, T) with NOTHING for IGNORED, or (B, 3).
    """
    B = len(x) // 2
    both = x.unflatten(0, (2, B)).transpose(0, 1).contiguous()
    if len(y) == B:
        return both, y
    targets = y.unflatten(0, (2, B)).transpose(0, 1)
    return both, torch.where(targets == IGNORED, NOTHING, targets)


def collect(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Undo `deal`."""
    rows = x.transpose(0, 1).flatten(0, 1)
    if y.ndim == 2:
        return rows, y
    return rows, torch.where(y == NOTHING, IGNORED, y).transpose(0, 1).flatten(0, 1)


class DealtPairs:
    """Batches of pairs that can be dealt out to ranks; their position is that of the source."""

    def __init__(self, source: RewardBatches | PairBatches) -> None:
        self.source = source

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        return deal(*next(self.source))

    def skip(self, n: int) -> None:
        """Leave out n batches."""
        self.source.skip(n)

    def state_dict(self) -> dict[str, int]:
        """Give the position."""
        return self.source.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a position."""
        self.source.load_state_dict(state)


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
    return loss(model, *collect(x, y))


def _no_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    raise AssertionError("a reference is not trained")


def _begin(run: AlignRun, out: Path, ranks: Ranks) -> TrainConfig:
    """What rank 0 decides for all: that the run can be dealt out, and that it may write."""
    if run.method not in ON_PAIRS:
        raise ValueError(
            f"{run.method} draws answers, and draws them on one process: start it without "
            "torchrun. What rejection keeps, rounds/round-0.jsonl, can be learned on many ranks: "
            "finetune full data.bad_rows=skip"
        )
    if ranks.size > 1 and run.method == "dpo" and run.direct.method == "kto":
        raise ValueError(
            "kto compares with the answers of the whole batch, of which each rank has a part; "
            "take direct.method=dpo, or start it without torchrun"
        )
    if has_checkpoint(out / "last"):
        raise ValueError(f"{out} holds a run of one process; name another --out")
    config = fit_to_ranks(run.train, ranks.size, run.train.batch_size)
    note_settings(run, out, before=(out / NOTE).is_file())
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

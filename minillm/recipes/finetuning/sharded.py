"""Carry out a fine-tuning run on all ranks that torchrun has started.

    torchrun --standalone --nproc-per-node 2 -m minillm finetune lora data.rows=talks.jsonl

The losses are those of one process, whatever the number of ranks. As with `train`, the same command
goes on from the newest whole checkpoint by itself; what is kept at the end is what `execution`
keeps, written by rank 0.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from minillm.distributed.fsdp import ShardingConfig
from minillm.distributed.ranks import Ranks, all_succeed, first_decides, joined, one_message
from minillm.distributed.ready import shard_ready, trained_weights
from minillm.distributed.trainer import fit_to_ranks, train_sharded
from minillm.finetune.sft import answer_loss, chat_loss
from minillm.model import Decoder
from minillm.recipes.finetuning.config import FinetuneRun
from minillm.recipes.finetuning.execution import finish, headline, told_material
from minillm.recipes.finetuning.material import Material, prepare_material
from minillm.recipes.finetuning.opening import NOTE, Base, adapt, describe, open_base
from minillm.recipes.run_notes import write_settings
from minillm.train import MetricsFile, TrainConfig, has_checkpoint


def execute_finetune_sharded(run: FinetuneRun, out: str | Path, *, progress: bool = True) -> Path:
    """Fine-tune a model on all ranks, from the newest whole checkpoint in `out` if there is one.

    Args:
        run: what to do; its settings are for any number of ranks.
        out: folder of the run, which all ranks see.
        progress: rank 0 shows bars and lines.

    Returns:
        `out`.

    Raises:
        AllRanksError: on rank 0, for what execute_finetune refuses, or if the run cannot be dealt
            out to the ranks. The other ranks leave with SystemExit, so that it is told once.

    Lesson: notebooks/28_instructions.ipynb
    """
    out = Path(out)
    with joined() as ranks, one_message(ranks):
        say = print if progress and ranks.first else _quiet
        config = first_decides(lambda: _begin(run, out, ranks))
        base: Base = all_succeed(lambda: open_base(run), "opening the base model")
        first_decides(lambda: bool(told_material(run, base.tokenizer, out, say=say)))
        material = all_succeed(lambda: prepare_material(run, base.tokenizer), "reading the talks")
        base.model.to(ranks.device)
        model = all_succeed(lambda: adapt(base, run), "adapting the model")
        loss = partial(_loss, start=material.start)
        say(headline(run, model, ranks.device))
        each = max(1, config.batch_size // ranks.size)
        say(f"{ranks.size} ranks, {each} rows each at once; writing {out}")
        sharded, state = train_sharded(
            partial(_laid_out, model, loss),
            material.batches(replace(run, train=config)),
            config,
            ranks=ranks,
            optimizer=run.optimizer,
            out=out,
            make_log=lambda step: MetricsFile(out / "metrics.jsonl", resume_at=step),
            evaluate=lambda m: {"validation_loss": _validation_loss(m, material, each)},
            manifest=describe(run, base),
            progress=progress,
        )
        if not state.interrupted:
            weights = trained_weights(sharded)
            first_decides(lambda: _keep(run, out, weights, material, say))
    return out


def _begin(run: FinetuneRun, out: Path, ranks: Ranks) -> TrainConfig:
    """What rank 0 decides for all: that the run can be dealt out, and that it may write."""
    if has_checkpoint(out / "last"):
        raise ValueError(f"{out} holds a run of one process; name another --out")
    if ranks.size > 1 and (run.normalise != "tokens" or run.neftune):
        raise ValueError(
            f"normalise={run.normalise!r} and neftune={run.neftune:g} are for one process: the "
            "ranks weigh by their tokens, and would draw the same noise; take tokens and 0"
        )
    config = fit_to_ranks(run.train, ranks.size, run.train.batch_size)
    write_settings(run, out / NOTE, before=(out / NOTE).is_file())
    return config


def _loss(model: nn.Module, x: torch.Tensor, y: torch.Tensor, *, start: int) -> torch.Tensor:
    return chat_loss(model, x, y, start=start)


def _laid_out(model: Decoder, loss: partial, sharding: ShardingConfig, mesh: DeviceMesh) -> Decoder:
    return shard_ready(model, sharding, mesh, loss=loss)


def _validation_loss(model: nn.Module, material: Material, at_once: int) -> float:
    """As execution.validation_loss; all ranks read the same rows."""
    device = next(model.parameters()).device
    loss: Any = model.loss
    return answer_loss(
        material.validation, loss, pad=material.pad, batch_size=at_once, device=device
    )


def _keep(
    run: FinetuneRun, out: Path, weights: dict[str, torch.Tensor], material: Material, say: Any
) -> None:
    """On rank 0: put the trained weights into a whole model once more, and keep it."""
    base = open_base(run)
    model = adapt(base, run)
    with torch.no_grad():
        for name, param in model.named_parameters():
            if name in weights:
                param.copy_(weights[name])
    finish(run, out, model, base, material, say=say)


def _quiet(_: str) -> None:
    """Say nothing."""

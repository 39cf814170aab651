"""Carry out a run on all ranks that torchrun has started: execute, for more than one process.

    torchrun --standalone --nproc-per-node 8 --max-restarts 3 -m minillm train llama_1b

    runs/llama_1b/run.json          the whole tree of settings
    runs/llama_1b/metrics.jsonl     one line a step, written by rank 0
    runs/llama_1b/step-00001000/    a checkpoint of all ranks; the newest two stay
    runs/llama_1b/rank-3/           the batch at which a loss was not finite, as rank 3 read it

The newest whole checkpoint is found at every start, so a run that torchrun starts anew, or that is
started again by the same command, goes on by itself; also on another number of ranks.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn

from minillm.data.loader import BatchSampler
from minillm.distributed.fit import check_fits
from minillm.distributed.fsdp import ShardingConfig
from minillm.distributed.full_size import FULL_SIZES, FullSize, find_full_size
from minillm.distributed.hardware import CARDS, Card, Cluster
from minillm.distributed.links import LINKS
from minillm.distributed.ranks import Ranks, all_succeed, first_decides, joined, one_message
from minillm.distributed.trainer import fit_to_ranks, train_sharded
from minillm.recipes.execution import describe
from minillm.recipes.run import Run
from minillm.recipes.run_notes import write_settings
from minillm.recipes.tokens import Rows, find_tokenizer, prepare_rows
from minillm.train import MetricsFile, has_checkpoint
from minillm.train.settings import TrainConfig


def execute_sharded(run: Run, out: str | Path, *, progress: bool = True) -> Path | None:
    """Train a run on all ranks, from the newest whole checkpoint in `out` if there is one.

    The call is the same on each rank. Without torchrun it is a run on one rank.

    Args:
        run: what to train; its settings are for any number of ranks.
        out: folder of the run, which all ranks see.
        progress: rank 0 shows bars and lines.

    Returns:
        `out`.

    Raises:
        AllRanksError: on rank 0, if the run does not fit on the cards, the settings are not those
            of the folder, or a file cannot be written or read. The other ranks leave with
            SystemExit, so that it is told once.

    Lesson: notebooks/24_fsdp.ipynb
    """
    out = Path(out)
    with joined() as ranks, one_message(ranks):
        sharding, config = first_decides(lambda: _begin(run, out, ranks))
        rows = _rows(run, ranks, progress=progress)
        tokenizer = find_tokenizer(run.data.tokenizer)
        batches = BatchSampler(
            rows.train, config.batch_size, config.context, seed=config.seed, stride=rows.row
        )
        each = max(1, config.batch_size * sharding.tensor // ranks.size)
        if progress and ranks.first:
            print(f"{run.name}: {ranks.size} ranks, {each} rows each at once; writing {out}")
        train_sharded(
            run.model,
            batches,
            config,
            ranks=ranks,
            optimizer=run.optimizer,
            sharding=sharding,
            out=out,
            make_log=lambda step: MetricsFile(out / "metrics.jsonl", resume_at=step),
            evaluate=lambda model: {"validation_loss": validation_loss(model, rows, each)},
            manifest=describe(run, tokenizer.hash),
            in_background=True,
            bytes_per_token=rows.bytes_per_token,
            progress=progress,
        )
    return out


def full_size_of(run: Run, cluster: Cluster | None = None) -> FullSize:
    """See any run as one that is planned for many cards.

    Args:
        run: a published size with or without overrides, or a small run of the course.
        cluster: the cards; None means those of the paper.

    Raises:
        ValueError: if there is neither a cluster nor a paper.
    """
    if run.name in FULL_SIZES:
        found = find_full_size(run.name)
        changed = (run.model, run.optimizer, run.train) != (
            found.model,
            found.optimizer,
            found.train,
        )
        hours = None if changed else found.gpu_hours
        parts: dict[str, Any] = {"model": run.model, "optimizer": run.optimizer, "train": run.train}
        return replace(found, **parts, gpu_hours=hours, cluster=cluster or found.cluster)
    if cluster is None:
        raise ValueError(f"no paper names cards for {run.name}; say which, and how many")
    layout = ShardingConfig()
    about = "minillm.recipes.runs"
    return FullSize(run.name, run.model, run.optimizer, run.train, layout, cluster, None, about)


def cluster_here(ranks: Ranks) -> Cluster:
    """Describe the cards that the ranks run on; ranks on a CPU share its memory."""
    machines = max(1, ranks.size // ranks.n_local)
    return Cluster(_card_here(ranks), machines, ranks.n_local, 25e9, "assumed: 200 Gbit/s a card")


def _card_here(ranks: Ranks) -> Card:
    if ranks.device.type == "cuda":
        told = torch.cuda.get_device_properties(ranks.device)
        known = [card for card in CARDS if card.name.split()[0] in told.name]
        card = known[0] if known else CARDS[0]
        return replace(card, name=told.name, memory=float(told.total_memory))
    memory = psutil.virtual_memory().total / ranks.n_local
    return Card("share of this machine's memory", memory, 1e11, 1e10, LINKS["pcie4"])


def _begin(run: Run, out: Path, ranks: Ranks) -> tuple[ShardingConfig, TrainConfig]:
    """What rank 0 decides for all: whether it fits, how it is laid out, and that it may write."""
    if has_checkpoint(out / "last"):
        raise ValueError(f"{out} holds a run of one process; name another --out")
    note = out / "run.json"
    write_settings(run, note, before=note.is_file())
    if run.name not in FULL_SIZES:
        return ShardingConfig(), fit_to_ranks(run.train, ranks.size, run.train.batch_size)
    found = check_fits(full_size_of(run), cluster_here(ranks))
    return found.run.sharding, fit_to_ranks(run.train, ranks.size, found.rows)


def _rows(run: Run, ranks: Ranks, *, progress: bool) -> Rows:
    """Make the rows of tokens once, or once on each machine, and open them on every rank."""

    def make() -> Rows:
        tokenizer = find_tokenizer(run.data.tokenizer)
        if tokenizer.n_vocab > run.model.vocab_size:
            raise ValueError(
                f"the tokenizer has {tokenizer.n_vocab} entries, the model only "
                f"model.vocab_size={run.model.vocab_size}; raise it"
            )
        show = progress and ranks.first
        return prepare_rows(run.data, tokenizer, run.train.context, progress=show)

    first_decides(lambda: bool(make()))
    all_succeed(lambda: ranks.local == 0 and bool(make()), "making the rows")
    return all_succeed(make, "opening the rows")


def validation_loss(model: nn.Module, rows: Rows, at_once: int, *, n_rows: int = 256) -> float:
    """Measure the loss on rows that training never sees; all ranks read the same ones.

    Args:
        model: from shard_decoder.
        rows: of the run.
        at_once: rows in a forward pass.
        n_rows: at most so many.

    Returns:
        Nats a token: the same on any number of ranks, up to rounding.
    """
    n_rows = min(len(rows.validation) // rows.row, n_rows)
    ids = torch.from_numpy(rows.validation[: n_rows * rows.row].astype("int64"))
    device = next(model.parameters()).device
    total = 0.0
    for batch in ids.view(n_rows, rows.row).to(device).split(at_once):
        total += model.loss(batch[:, :-1], batch[:, 1:]).item() * len(batch)  # type: ignore[operator]
    return total / n_rows

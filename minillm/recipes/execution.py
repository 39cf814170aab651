"""Carry out a run: rows of tokens, model, loop, checkpoints and metrics in one folder.

runs/laptop/run.json        the whole tree of settings
runs/laptop/metrics.jsonl   one line a step
runs/laptop/last/           the newest checkpoint
runs/laptop/marks/          checkpoints to go back to at a spike, with train.recovery
runs/laptop/bad_batch.safetensors    the batch at which a loss was not finite, if one was
"""

import platform
from pathlib import Path

import torch
from torch import nn

from minillm.data.loader import BatchSampler
from minillm.model import Decoder
from minillm.objectives import fast_cross_entropy
from minillm.recipes.overrides import to_dict
from minillm.recipes.run import Run
from minillm.recipes.run_notes import write_settings
from minillm.recipes.tokens import Rows, find_tokenizer, prepare_rows
from minillm.train import (
    MetricsFile,
    TrainState,
    checkpointer,
    has_checkpoint,
    make_optimizer,
    resume,
    train,
)


def execute(run: Run, out: str | Path, *, resume_run: bool = False, progress: bool = True) -> Path:
    """Train a run, from the first step or from its last checkpoint.

    Args:
        run: what to train.
        out: folder of the run; made if it is not there.
        resume_run: go on from `out/last` as if nothing had happened in between.
        progress: show bars and lines.

    Returns:
        The folder of the last checkpoint.

    Raises:
        ValueError: if the tokenizer does not fit the model, a corpus is unknown, `out` holds a
            checkpoint and resume_run is False, it holds none and resume_run is True, or it was
            made by other settings.

    Lesson: notebooks/00_tour.ipynb
    """
    out = Path(out)
    _claim_folder(run, out, resume_run=resume_run)
    tokenizer = find_tokenizer(run.data.tokenizer)
    if tokenizer.n_vocab > run.model.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.n_vocab} entries, the model only "
            f"model.vocab_size={run.model.vocab_size}; raise it"
        )
    rows = prepare_rows(run.data, tokenizer, run.train.context, progress=progress)
    torch.manual_seed(run.train.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = Decoder(run.model, device=device)
    optimizer = make_optimizer(model, run.optimizer)
    batches = BatchSampler(
        rows.train, run.train.batch_size, run.train.context, seed=run.train.seed, stride=rows.row
    )
    state = resume(out / "last", model, optimizer, batches) if resume_run else TrainState()
    if progress:
        print(f"{run.name}: {model.n_parameters():,} parameters on {device}; writing {out}")
    with MetricsFile(out / "metrics.jsonl", resume_at=state.step) as log:
        train(
            model,
            batches,
            run.train,
            optimizer=optimizer,
            state=state,
            evaluate=lambda m: {"validation_loss": validation_loss(m, rows, run)},
            save=checkpointer(out / "last", manifest=describe(run, tokenizer.hash)),
            log=log,
            bytes_per_token=rows.bytes_per_token,
            folder=out,
            progress=progress,
        )
    return out / "last"


def validation_loss(model: nn.Module, rows: Rows, run: Run, *, n_batches: int = 16) -> float:
    """Measure the loss on rows that training never sees; always the same ones.

    Returns:
        Nats a token, over at most n_batches batches.
    """
    context, row = run.train.context, rows.row
    n_rows = min(len(rows.validation) // row, n_batches * run.train.batch_size)
    ids = torch.from_numpy(rows.validation[: n_rows * row].astype("int64")).view(n_rows, row)
    device = next(model.parameters()).device
    total = 0.0
    with torch.no_grad():
        for batch in ids.split(run.train.batch_size):
            x, y = batch[:, :-1].to(device), batch[:, 1:].to(device)
            total += fast_cross_entropy(model(x), y, reduction="sum").item()
    return total / (n_rows * context)


def describe(run: Run, tokenizer_hash: str) -> dict[str, object]:
    """Say what a checkpoint must say of itself: the run, the tokenizer, and what it ran on."""
    return {
        "run": to_dict(run),
        "tokenizer": tokenizer_hash,
        "seed": run.train.seed,
        "made_with": {"torch": torch.__version__, "python": platform.python_version()},
    }


def _claim_folder(run: Run, out: Path, *, resume_run: bool) -> None:
    there = has_checkpoint(out / "last")
    if there and not resume_run:
        raise ValueError(f"{out} holds a run already; go on with --resume, or name another --out")
    if resume_run and not there:
        raise ValueError(f"{out} holds no checkpoint to go on from; leave --resume out")
    note = out / "run.json"
    write_settings(run, note, before=resume_run and note.is_file())

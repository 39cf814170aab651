"""Carry out a fine-tuning run: talks, model, the usual loop, and what is kept of it.

runs/lora/finetune.json     the whole tree of settings
runs/lora/rows.txt          what became of every line of the talks
runs/lora/metrics.jsonl     one line a step
runs/lora/last/             the newest checkpoint, to go on from
runs/lora/model/            full: the model at the end
runs/lora/adapter/          lora, qlora: the updates alone, in peft's format
runs/lora/score.json        storyworld: tasks of other worlds that it solves
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from minillm.finetune.adapter_files import save_adapter
from minillm.finetune.neftune import neftune
from minillm.finetune.parts import count_trainable
from minillm.finetune.score import score
from minillm.finetune.sft import answer_loss, chat_loss, fine_tune
from minillm.model import Decoder
from minillm.recipes.finetuning.config import FinetuneRun
from minillm.recipes.finetuning.material import (
    LONGEST_ANSWER,
    BadRowsError,
    Material,
    prepare_material,
)
from minillm.recipes.finetuning.opening import NOTE, Base, adapt, describe, open_base
from minillm.recipes.run_notes import write_settings
from minillm.tokenizer import Tokenizer
from minillm.train import (
    MetricsFile,
    TrainState,
    checkpointer,
    has_checkpoint,
    make_optimizer,
    resume,
    save_checkpoint,
)
from minillm.train.disk import save_json


def execute_finetune(
    run: FinetuneRun, out: str | Path, *, resume_run: bool = False, progress: bool = True
) -> Path:
    """Fine-tune a model, from the first step or from the last checkpoint of the run.

    Args:
        run: what to do.
        out: folder of the run; made if it is not there.
        resume_run: go on from `out/last` as if nothing had happened in between.
        progress: show bars and lines.

    Returns:
        `out`.

    Raises:
        BadRowsError: if the talks hold bad rows, and the run does not skip them.
        ValueError: if the base is unknown or too short, there are too few talks, `out` holds a
            checkpoint and resume_run is False, it holds none and resume_run is True, or it was
            made by other settings.

    Lesson: notebooks/28_instructions.ipynb
    """
    out = Path(out)
    claim_folder(run, out, resume_run=resume_run)
    base = open_base(run)
    material = told_material(run, base.tokenizer, out, say=print if progress else _quiet)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    base.model.to(device)
    model = adapt(base, run)
    batches = material.batches(run)
    optimizer = make_optimizer(model, run.optimizer)
    state = resume(out / "last", model, optimizer, batches) if resume_run else TrainState()
    if progress:
        print(headline(run, model, device))
        print(f"{batches.n_windows:,} rows of {run.train.context} tokens; writing {out}")
    with (
        MetricsFile(out / "metrics.jsonl", resume_at=state.step) as log,
        neftune(model, run.neftune, pad_id=material.pad),
    ):
        state = fine_tune(
            model,
            batches,
            run.train,
            normalise=run.normalise,
            optimizer=optimizer,
            state=state,
            evaluate=lambda m: {"validation_loss": validation_loss(m, material, run)},
            save=checkpointer(out / "last", manifest=describe(run, base)),
            log=log,
            folder=out,
            progress=progress,
        )
    if not state.interrupted:
        finish(run, out, model, base, material, say=print if progress else _quiet)
    return out


def headline(run: FinetuneRun, model: Decoder, device: torch.device) -> str:
    """Say in a line what is trained."""
    n = sum(p.numel() for p in model.parameters())
    moved = count_trainable(model)
    return f"{run.name}: {run.method} from {run.base}, {moved:,} of {n:,} numbers move on {device}"


def validation_loss(model: torch.nn.Module, material: Material, run: FinetuneRun) -> float:
    """Measure the loss on the answers that training never sees, nats a token."""
    loss = partial(chat_loss, model, start=material.start)
    device = next(model.parameters()).device
    n = run.train.batch_size
    return answer_loss(material.validation, loss, pad=material.pad, batch_size=n, device=device)


def told_material(run: FinetuneRun, tokenizer: Tokenizer, out: Path, *, say: Any) -> Material:
    """Prepare the talks; tell what became of them, on the screen and in out/rows.txt.

    Raises:
        BadRowsError: after every bad row was told.
        ValueError, FileNotFoundError: as prepare_material.
    """
    try:
        material = prepare_material(run, tokenizer)
    except BadRowsError as error:
        (out / "rows.txt").write_text(error.report + "\n", encoding="utf-8")
        say(error.report)
        raise
    (out / "rows.txt").write_text(material.report + "\n", encoding="utf-8")
    say(material.report)
    return material


def finish(
    run: FinetuneRun, out: Path, model: Decoder, base: Base, material: Material, *, say: Any
) -> None:
    """Keep what the run has made, and measure it where tasks are there.

    Args:
        run, out, base, material: of the run.
        model: whole, at the end of training.
        say: prints a line.
    """
    if run.method == "full":
        save_checkpoint(out / "model", model, manifest=describe(run, base))
        say(f"the model: {out / 'model'}")
    else:
        _save_adapter(model, out / "adapter")
        save_json(out / "adapter" / "base.json", describe(run, base)["base"])
        size = sum(path.stat().st_size for path in (out / "adapter").iterdir())
        say(f"the adapter alone, {size / 1e6:.2f} MB: {out / 'adapter'}")
    if material.held_out:
        found = score(model, base.tokenizer, material.held_out, max_tokens=LONGEST_ANSWER)
        told = {
            "n": len(material.held_out),
            "right": found.right.value,
            "interval": [found.right.low, found.right.high],
            "ended": found.ended.value,
            "by_kind": {kind: share.value for kind, share in found.by_kind.items()},
        }
        save_json(out / "score.json", told)
        say(f"tasks of other worlds: {found}")


def _save_adapter(model: Decoder, folder: Path) -> None:
    """Under the names of transformers' LLaMA, so that peft can read it, where the model is one."""
    try:
        save_adapter(model, folder)
    except ValueError:
        save_adapter(model, folder, naming="minillm")


def claim_folder(run: FinetuneRun, out: Path, *, resume_run: bool) -> None:
    """Note the settings in the folder of a run.

    Raises:
        ValueError: if the folder holds a run and resume_run is False, none and it is True, or one
            of other settings.
    """
    there = has_checkpoint(out / "last")
    if there and not resume_run:
        raise ValueError(f"{out} holds a run already; go on with --resume, or name another --out")
    if resume_run and not there:
        raise ValueError(f"{out} holds no checkpoint to go on from; leave --resume out")
    write_settings(run, out / NOTE, before=resume_run)


def _quiet(_: str) -> None:
    """Say nothing."""

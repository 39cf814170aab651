"""Open the model that a run starts from, and the one that it has made."""

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minillm.finetune.adapter_files import load_adapter
from minillm.finetune.chat import CHATML
from minillm.finetune.lora import apply_lora
from minillm.finetune.qlora import apply_qlora, quantise_model
from minillm.finetune.token_rows import learn_rows
from minillm.model import Decoder
from minillm.recipes.finetuning.config import FinetuneRun
from minillm.recipes.overrides import from_dict, to_dict
from minillm.recipes.shipped import CHECKPOINTS, open_checkpoint, open_model, shipped_models
from minillm.tokenizer import Tokenizer
from minillm.train import find_checkpoint, has_checkpoint, load_checkpoint
from minillm.train.disk import sha256

NOTE = "finetune.json"
"""The settings of a run, in its folder."""


@dataclass(frozen=True)
class Base:
    """The model that a run starts from, as it was.

    Attributes:
        model, tokenizer: opened.
        run: the settings that made it, as its manifest tells them.
        sha256: of its weights.
        tuned: whether it has learned from talks already.
    """

    model: Decoder
    tokenizer: Tokenizer
    run: dict[str, Any]
    sha256: str
    tuned: bool


def base_folder(name: str) -> Path:
    """Find the checkpoint of a shipped model, or of a run.

    Raises:
        ValueError: if it is neither, or the run has made an adapter only.
    """
    if name in shipped_models():
        return CHECKPOINTS / name
    if (Path(name) / "adapter").is_dir():
        raise ValueError(
            f"{name} holds an adapter alone, and a run starts from a whole model; take its base, "
            "or a run of finetune full"
        )
    for folder in (Path(name) / "model", Path(name) / "last", Path(name)):
        if has_checkpoint(folder):
            return folder
    open_model(name)  # says what there is
    raise AssertionError(name)


def open_base(run: FinetuneRun) -> Base:
    """Open the model that a run starts from.

    Raises:
        ValueError: if there is none, its files are altered, or its context is shorter than the
            rows of the run.
    """
    folder = base_folder(run.base)
    model, tokenizer = open_checkpoint(folder)
    if run.train.context > model.config.context:
        raise ValueError(
            f"train.context={run.train.context} is longer than the context of {run.base}, "
            f"{model.config.context}; shorten it, or start from another base"
        )
    manifest = load_checkpoint(folder).manifest
    weights = find_checkpoint(folder) / "model.safetensors"
    tuned = "finetune" in manifest or "align" in manifest
    return Base(model, tokenizer, manifest["run"], sha256(weights), tuned)


def adapt(base: Base, run: FinetuneRun) -> Decoder:
    """Make ready for training what the method of a run trains: all, or updates of low rank.

    Args:
        base: whose model is changed in place.
        run: method, adapter, and train.seed, from which the updates start.

    Returns:
        The model.

    Raises:
        ValueError: if a target is no matrix of the model.
    """
    torch.manual_seed(run.train.seed)
    a, model = run.adapter, base.model
    settings: dict[str, Any] = {"rank": a.rank, "alpha": a.alpha, "dropout": a.dropout}
    if run.method == "lora":
        apply_lora(model, a.names(), **settings)
    elif run.method == "qlora":
        apply_qlora(model, a.names(), **settings)
    if run.method != "full" and (start := a.start_of_frame(tuned=base.tuned)) is not None:
        frame = [base.tokenizer.special_id(name) for name in (CHATML.start, CHATML.end)]
        learn_rows(model, frame, start=start)
    return model


def describe(run: FinetuneRun, base: Base) -> dict[str, Any]:
    """Say what a checkpoint must say of itself. One with every weight can be opened by name."""
    told = {
        "finetune": to_dict(run),
        "base": {"name": run.base, "sha256": base.sha256},
        "tokenizer": base.tokenizer.hash,
        "seed": run.train.seed,
        "made_with": {"torch": torch.__version__, "python": platform.python_version()},
    }
    return {**told, "run": base.run} if run.method == "full" else told


def open_finetuned(folder: str | Path) -> tuple[Decoder, Tokenizer]:
    """Open what `python -m minillm finetune` has made: a whole model, or a base and its adapter.

    Args:
        folder: of the run.

    Returns:
        The model, in evaluation mode, and its tokenizer.

    Raises:
        ValueError: if the folder holds no run that has come to its end, or the base is another than
            the adapter was trained on.

    Lesson: notebooks/28_instructions.ipynb
    """
    folder = Path(folder)
    if not (folder / NOTE).is_file():
        raise ValueError(f"{folder} holds no fine-tuning run; make one: python -m minillm finetune")
    run = from_dict(json.loads((folder / NOTE).read_text("utf-8")), FinetuneRun)
    if run.method == "full" and has_checkpoint(folder / "model"):
        return open_checkpoint(folder / "model")
    if run.method == "full" or not (folder / "adapter" / "base.json").is_file():
        raise ValueError(
            f"{folder} has not come to its end; go on with the same command and --resume"
        )
    base = open_base(run)
    told = json.loads((folder / "adapter" / "base.json").read_text("utf-8"))
    if told["sha256"] != base.sha256:
        raise ValueError(
            f"the adapter in {folder} was trained on another {run.base} than there is now: "
            f"sha256 {told['sha256'][:12]}, not {base.sha256[:12]}"
        )
    if run.method == "qlora":
        quantise_model(base.model)
    load_adapter(base.model, folder / "adapter")
    return base.model.eval(), base.tokenizer

"""Open the model that a run starts from, and what it has made."""

import json
import platform
from pathlib import Path
from typing import Any

import torch

from minillm.align.reward import RewardModel, load_reward
from minillm.model import Decoder, DecoderConfig
from minillm.recipes.aligning.config import AlignRun
from minillm.recipes.aligning.named import TUNED
from minillm.recipes.finetuning.config import FinetuneRun
from minillm.recipes.finetuning.opening import Base, open_base
from minillm.recipes.overrides import from_dict, to_dict
from minillm.recipes.shipped import CHECKPOINTS, open_checkpoint, shipped_models
from minillm.recipes.tokens import find_tokenizer
from minillm.tokenizer import Tokenizer
from minillm.train import has_checkpoint, load_checkpoint

NOTE = "align.json"
"""The settings of a run, in its folder."""


def open_start(run: AlignRun) -> Base:
    """Open the model that a run starts from.

    Raises:
        ValueError: if there is none, its files are altered, or its context is shorter than the
            rows of the run.
    """
    if run.base == TUNED and not Path(TUNED).exists():
        raise ValueError(
            f"there is no {TUNED} yet; make it with `python -m minillm finetune full`, or name "
            "another base=, such as small"
        )
    return open_base(FinetuneRun(name=run.name, base=run.base, train=run.train))


def describe(run: AlignRun, base: Base) -> dict[str, Any]:
    """Say what a checkpoint must say of itself. A policy can be opened by name, by its `run`."""
    told = {
        "align": to_dict(run),
        "base": {"name": run.base, "sha256": base.sha256},
        "tokenizer": base.tokenizer.hash,
        "seed": run.train.seed,
        "made_with": {"torch": torch.__version__, "python": platform.python_version()},
    }
    if run.method == "reward":
        return {**told, "tokenizer_name": base.run["data"]["tokenizer"]}
    return {**told, "run": base.run}


def open_aligned(folder: str | Path) -> tuple[Decoder, Tokenizer]:
    """Open a policy that `python -m minillm align` has made.

    Args:
        folder: of the run.

    Returns:
        The model, in evaluation mode, and its tokenizer.

    Raises:
        ValueError: if the folder holds no run that has come to its end, or one of a reward model.

    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    run = _finished(folder)
    if run.method == "reward":
        raise ValueError(f"{folder} holds a reward model, which scores answers and gives none")
    return open_checkpoint(Path(folder) / "model")


def open_reward(folder: str | Path) -> tuple[RewardModel, Tokenizer]:
    """Open a reward model that `python -m minillm align reward` has made, or a shipped one.

    Args:
        folder: of the run; or the name of a shipped model, such as chat_reward.

    Returns:
        The model, in evaluation mode, and its tokenizer.

    Raises:
        ValueError: if the folder holds no run that has come to its end, one of another method, or
            as `open_reward_at`.

    Lesson: notebooks/33_reward.ipynb
    """
    if str(folder) in shipped_models():
        return open_reward_at(CHECKPOINTS / folder)
    run = _finished(folder)
    if run.method != "reward":
        raise ValueError(f"{folder} holds a policy ({run.method}); give a run of `align reward`")
    return open_reward_at(Path(folder) / "model")


def open_reward_at(place: Path) -> tuple[RewardModel, Tokenizer]:
    """Open the checkpoint of a reward model: its manifest says which shape and which tokenizer.

    Raises:
        ValueError: if it is none of a reward model, its files are altered, or its tokenizer is
            another now.
    """
    told = load_checkpoint(place).manifest
    if told.get("kind") != "reward":
        raise ValueError(f"{place} holds a policy; give a reward model, such as chat_reward")
    tokenizer = find_tokenizer(told["tokenizer_name"])
    if tokenizer.hash != told["tokenizer"]:
        raise ValueError(
            f"{place} was trained with another tokenizer ({told['tokenizer'][:12]}) than "
            f"{told['tokenizer_name']!r} is now ({tokenizer.hash[:12]}); train it again"
        )
    return load_reward(place, from_dict(told["config"], DecoderConfig)), tokenizer


def _finished(folder: str | Path) -> AlignRun:
    """The settings of a run that has come to its end."""
    note = Path(folder) / NOTE
    if not note.is_file():
        raise ValueError(f"{folder} holds no alignment run; make one: python -m minillm align")
    if not has_checkpoint(Path(folder) / "model"):
        raise ValueError(
            f"{folder} has not come to its end; go on with the same command and --resume"
        )
    return from_dict(json.loads(note.read_text("utf-8")), AlignRun)

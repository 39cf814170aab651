"""Put `chat` where the lessons look: the policy, its state before alignment, its reward model.

    data/checkpoints/chat/          the policy, and CARD.md, which its manifest writes
    data/checkpoints/chat_sft/      the policy before alignment
    data/checkpoints/chat_reward/   a reward model that goes with them; lesson 34b climbs it

    model, tokenizer = minillm.recipes.base("chat")
    reward_model, tokenizer = shipped_reward()

The weights are stored in float16, half the size, and measured as they are stored.
"""

from pathlib import Path
from typing import Any

from minillm.align.reward import RewardModel, save_reward
from minillm.model import Decoder
from minillm.recipes.aligning.opening import open_reward, open_reward_at
from minillm.recipes.shipped import CHECKPOINTS, open_checkpoint
from minillm.tokenizer import Tokenizer
from minillm.train import has_checkpoint, load_checkpoint, save_checkpoint

CHAT, SFT, REWARD = "chat", "chat_sft", "chat_reward"
LIMIT = 16_000_000
"""Bytes that a shipped model may have."""


def as_stored(folder: Path) -> tuple[Decoder, Tokenizer]:
    """Open a policy with its weights rounded to float16, as they are shipped."""
    model, tokenizer = open_checkpoint(folder)
    return model.half().float(), tokenizer


def ship_policy(
    source: Path, name: str, more: dict[str, Any] | None = None, into: Path = CHECKPOINTS
) -> Path:
    """Store a policy in float16.

    Args:
        source: its checkpoint.
        name: of the shipped model.
        more: joins the manifest.
        into: where shipped models lie.

    Returns:
        The folder.

    Raises:
        ValueError: if there is no such checkpoint, or it is too large.
    """
    model, _ = open_checkpoint(source)
    return _ship(model, source, name, more, into)


def ship_reward(
    run_folder: Path, more: dict[str, Any] | None = None, into: Path = CHECKPOINTS
) -> Path:
    """Store the reward model of a run of `align reward` in float16; see ship_policy."""
    model, _ = open_reward(run_folder)
    return _ship(model, run_folder / "model", REWARD, more, into)


def _ship(
    model: Decoder | RewardModel,
    source: Path,
    name: str,
    more: dict[str, Any] | None,
    into: Path,
) -> Path:
    n_bytes = 2 * sum(p.numel() for p in model.parameters())
    if n_bytes > LIMIT:
        raise ValueError(f"{name} takes {n_bytes:,} bytes, a shipped model at most {LIMIT:,}")
    before = load_checkpoint(source).manifest
    told = {k: v for k, v in before.items() if k not in ("files", "sha256", "format")}
    told |= {"name": name, "stored_as": "float16", **(more or {})}
    model.half()
    if isinstance(model, RewardModel):
        return save_reward(into / name, model, manifest=told)
    return save_checkpoint(into / name, model, manifest=told)


def shipped_reward(folder: Path = CHECKPOINTS / REWARD) -> tuple[RewardModel, Tokenizer]:
    """Open the reward model that comes with the course.

    Args:
        folder: where it lies.

    Returns:
        The model, in evaluation mode and float32, and its tokenizer.

    Raises:
        ValueError: if there is none, its files are altered, or its tokenizer is another now.

    Lesson: notebooks/34b_ppo.ipynb
    """
    if not has_checkpoint(folder):
        raise ValueError(f"there is no reward model in {folder}; make it with `make chat-model`")
    return open_reward_at(folder)


def speaks(name: str, into: Path = CHECKPOINTS) -> bool:
    """Whether a shipped model has learned from talks, so that one can talk with it.

    Args:
        name: of the model; False if none has it.
        into: where shipped models lie.

    Raises:
        ValueError: if it is a reward model.

    Lesson: notebooks/42_capstone.ipynb
    """
    folder = into / name
    if not has_checkpoint(folder):
        return False
    told = load_checkpoint(folder).manifest
    if "run" not in told:
        raise ValueError(
            f"{name} is a reward model, which scores answers and gives none; take {CHAT}"
        )
    return "finetune" in told or "align" in told

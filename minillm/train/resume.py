"""From a run to its checkpoints and back: what save= does, and how a run goes on."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minillm.train.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from minillm.train.loop import Save
from minillm.train.settings import TrainState


def checkpointer(folder: str | Path, *, manifest: dict[str, Any] | None = None) -> Save:
    """Make the function that train calls as save=: it writes one checkpoint over the last.

    Args:
        folder: name of the checkpoint.
        manifest: what made the run, as JSON: config, seed, tokenizer hash.

    Returns:
        A function of (model, optimizer, state).

    Lesson: notebooks/24_fsdp.ipynb
    """

    def save(model: nn.Module, optimizer: torch.optim.Optimizer, state: TrainState) -> Path:
        told = {**(manifest or {}), "step": state.step, "n_tokens": state.n_tokens}
        return save_checkpoint(folder, model, optimizer, asdict(state), manifest=told)

    return save


def resume(
    folder: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[tuple[Tensor, Tensor]],
) -> TrainState:
    """Put a run back to where its last checkpoint was written.

    Args:
        folder: as given to checkpointer.
        model: of the same config; gets the weights.
        optimizer: with the same groups, as make_optimizer builds them; gets its state.
        batches: if it has load_state_dict(), its position is restored.

    Returns:
        The state, for train(state=...). The random generators of Python, numpy and torch stand
        where they stood.

    Raises:
        CheckpointError: as load_checkpoint; or if the checkpoint holds no state of a run.

    Lesson: notebooks/24_fsdp.ipynb
    """
    found = load_checkpoint(folder, model, optimizer, restore_rng=True)
    try:
        state = TrainState(**found.state)
    except TypeError:
        raise CheckpointError(f"{found.folder} holds no state of a run to go on from") from None
    if hasattr(batches, "load_state_dict") and state.data:
        batches.load_state_dict(state.data)
    return state


def warm_start(folder: str | Path, model: nn.Module) -> Checkpoint:
    """Start a new run from the weights of another: step 0, a fresh optimizer, new data.

    Args:
        folder: of a checkpoint, with or without an optimizer.
        model: of the same config; gets the weights.

    Returns:
        State and manifest of the other run.

    Raises:
        CheckpointError: as load_checkpoint.
    """
    return load_checkpoint(folder, model)

"""Checkpoints that are whole or not there: a folder of four files, written beside and renamed.

    model.safetensors       the weights
    optimizer.safetensors   its tensors, "m/blocks.0.attention.q.weight" and so on (may be absent)
    state.json              step, position in the data, random generators, optimizer settings
    manifest.json           what made it (config, seed, tokenizer hash), sha256 of each file

Saving over an old checkpoint goes through three states, and a kill in any of them leaves a whole
checkpoint that find_checkpoint finds:

    name      the old one      name.new  being written    a kill here: the old one counts
    name.old  the old one      name.new  complete         a kill here: the new one counts
    name      the new one      name.old  is removed       done

Nothing is pickled: a checkpoint of a stranger cannot run code. A file that is missing, cut short or
altered is refused by name.
"""

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from minillm.train.disk import fingerprint, save_json, sha256, sync, sync_folder
from minillm.train.rng import rng_states, set_rng_states

FORMAT = 1


class CheckpointError(ValueError):
    """A checkpoint is missing, broken, or does not fit the model."""


@dataclass(frozen=True)
class Checkpoint:
    """What load_checkpoint read besides the weights.

    Attributes:
        folder: where it was found.
        state: what save_checkpoint was given as state.
        manifest: what it was given as manifest, and the sha256 of each file under "files".
    """

    folder: Path
    state: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(
    folder: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    state: dict[str, Any] | None = None,
    *,
    manifest: dict[str, Any] | None = None,
) -> Path:
    """Write a checkpoint, all of it or nothing.

    Args:
        folder: its name. An older checkpoint of that name is kept until the new one is complete
            on the disk.
        model: its state_dict is saved.
        optimizer: its tensors and settings are saved; None for a model to be used, not trained on.
        state: step, position in the data and whatever else JSON can hold. The states of the
            random generators (Python, numpy, torch) are added.
        manifest: what made the checkpoint, as JSON: config, seed, tokenizer hash, figures.

    Returns:
        The folder.

    Raises:
        ValueError: if state or manifest cannot be written as JSON.
        OSError: if the disk is full or the place cannot be written; the older one still counts.

    Cost: weights, plus twice that for AdamW's state, written and read once.
    Lesson: notebooks/24_fsdp.ipynb
    """
    folder = Path(folder)
    new, old = _beside(folder, ".new"), _beside(folder, ".old")
    _repair(folder)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    files = ["model.safetensors", "state.json"]
    _save_tensors(new / "model.safetensors", dict(model.state_dict()))
    everything: dict[str, Any] = {"train": state or {}, "rng": rng_states(), "optimizer": None}
    if optimizer is not None:
        tensors, everything["optimizer"] = _split_optimizer(model, optimizer)
        _save_tensors(new / "optimizer.safetensors", tensors)
        files.append("optimizer.safetensors")
    save_json(new / "state.json", everything)
    hashes = {name: {"sha256": sha256(new / name)} for name in sorted(files)}
    told = {**(manifest or {}), "format": FORMAT, "files": hashes}
    save_json(new / "manifest.json", {**told, "sha256": fingerprint(told)})
    sync_folder(new)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.rename(folder, old)
    os.rename(new, folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def load_checkpoint(
    folder: str | Path,
    model: nn.Module | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    restore_rng: bool = False,
) -> Checkpoint:
    """Read a checkpoint back, after every byte of it was checked.

    Args:
        folder: as given to save_checkpoint.
        model: gets the weights; None only reads and checks.
        optimizer: gets its tensors and settings.
        restore_rng: set Python's, numpy's and torch's generators to where they were.

    Returns:
        State and manifest.

    Raises:
        CheckpointError: if there is none, a file is missing, cut short or altered, or it does
            not fit the model or the optimizer. The message names file and remedy. Model and
            optimizer are not touched before all hashes agree.

    Lesson: notebooks/24_fsdp.ipynb
    """
    place = find_checkpoint(folder)
    manifest = _verify(place)
    everything = json.loads((place / "state.json").read_text(encoding="utf-8"))
    if model is not None:
        weights = _load_tensors(place / "model.safetensors")
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(f"{place} does not fit this model: {reason}") from None
    if optimizer is not None:
        if model is None or everything["optimizer"] is None:
            raise CheckpointError(
                f"cannot restore an optimizer from {place}: "
                + ("give its model, too" if model is None else "it was saved without one")
            )
        tensors = _load_tensors(place / "optimizer.safetensors")
        _join_optimizer(model, optimizer, tensors, everything["optimizer"], place)
    if restore_rng:
        set_rng_states(everything["rng"])
    told = {k: v for k, v in manifest.items() if k != "sha256"}
    return Checkpoint(place, everything["train"], told)


def find_checkpoint(folder: str | Path) -> Path:
    """Find the newest whole checkpoint of this name, also after a kill in the middle of a save.

    Args:
        folder: as given to save_checkpoint.

    Returns:
        The folder itself, or what a kill has left beside it: name.new if it is complete, else
        name.old.

    Raises:
        CheckpointError: if there is none.
    """
    folder = Path(folder)
    if folder.exists():
        return folder
    for place in (_beside(folder, ".new"), _beside(folder, ".old")):
        if place.exists():
            try:
                _verify(place)
            except CheckpointError:
                continue
            return place
    raise CheckpointError(f"there is no checkpoint at {folder}")


def has_checkpoint(folder: str | Path) -> bool:
    """Say whether find_checkpoint would find one; a broken one of this very name counts."""
    try:
        find_checkpoint(folder)
    except CheckpointError:
        return False
    return True


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(folder.name + suffix)


def _repair(folder: Path) -> None:
    """Finish what a kill between the two renames has left."""
    if not folder.exists() and has_checkpoint(folder):
        os.rename(find_checkpoint(folder), folder)


def _verify(place: Path) -> dict[str, Any]:
    """Check every file against the manifest, and the manifest against itself."""
    path = place / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        told = {k: v for k, v in manifest.items() if k != "sha256"}
        whole = manifest["sha256"] == fingerprint(told)
        files = manifest["files"]
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: this is not a whole checkpoint") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise CheckpointError(f"{path} cannot be read: it is cut short or altered") from None
    if not whole:
        raise CheckpointError(f"{path} was altered after it was written")
    for name, expected in files.items():
        if not (place / name).is_file():
            raise CheckpointError(f"{place / name} is missing")
        if sha256(place / name) != expected["sha256"]:
            raise CheckpointError(
                f"{place / name} is cut short or altered: its sha256 is not the manifest's; "
                "restore it from a copy, or go back to an older checkpoint"
            )
    return manifest


def _split_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Sort the state of an optimizer into tensors for safetensors and the rest for JSON."""
    names = {id(p): name for name, p in model.named_parameters()}
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for param, entries in optimizer.state.items():
        name = names[id(param)]
        plain[name] = {}
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{key}/{name}"] = value
            else:
                plain[name][key] = value
    groups = []
    for group in optimizer.param_groups:
        settings = {k: v for k, v in group.items() if k != "params"}
        groups.append({**settings, "names": [names[id(p)] for p in group["params"]]})
    return tensors, {"state": plain, "groups": groups}


def _join_optimizer(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    tensors: dict[str, Tensor],
    plain: dict[str, Any],
    place: Path,
) -> None:
    """Undo _split_optimizer; parameters are matched by name."""
    by_name = dict(model.named_parameters())
    names = {id(p): name for name, p in by_name.items()}
    ours = [[names[id(p)] for p in g["params"]] for g in optimizer.param_groups]
    if ours != [g["names"] for g in plain["groups"]]:
        raise CheckpointError(f"the optimizer of {place} has other parameter groups than this one")
    for group, saved in zip(optimizer.param_groups, plain["groups"], strict=True):
        settings = {k: v for k, v in saved.items() if k != "names"}
        group.update({k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
    optimizer.state.clear()
    for name, entries in plain["state"].items():
        optimizer.state[by_name[name]] = dict(entries)
    for key, value in tensors.items():
        kind, _, name = key.partition("/")
        param = by_name[name]
        optimizer.state[param][kind] = value.to(param.device)


def _save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors; each is copied, because safetensors refuses two names for one memory."""
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, path)
    sync(path)


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None

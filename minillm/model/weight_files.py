"""Weights in safetensors files, in one or in several parts: reading one runs no code."""

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from minillm.model.weights import Weights


def write_weights(weights: Weights, path: str | Path) -> None:
    """Write tensors to one safetensors file.

    Args:
        weights: name: tensor.
        path: of the file, ending in .safetensors. It is written beside and renamed, so that a
            file of this name is always whole.

    Raises:
        ValueError: if the path does not end in .safetensors.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"the path must end in .safetensors, got {path.name!r}")
    beside = path.with_suffix(".partial")
    whole = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(whole, beside, metadata={"format": "pt"})
    os.replace(beside, path)


def read_weights(path: str | Path) -> Weights:
    """Read all tensors of a model.

    Args:
        path: a file, or a folder with model.safetensors, or with the parts that
            model.safetensors.index.json lists.

    Returns:
        name: tensor, on the CPU.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is not safetensors or is broken.
    """
    weights: Weights = {}
    for file in _files(Path(path)):
        weights |= _read(file)
    return weights


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read config.json of a folder, or of the folder that a file is in."""
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    settings: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return settings


def _files(path: Path) -> list[Path]:
    """Name the files that hold a model, one or several."""
    if not path.is_dir():
        return [path]
    index = path / "model.safetensors.index.json"
    if index.is_file():
        parts = json.loads(index.read_text())["weight_map"].values()
        return [path / name for name in sorted(set(parts))]
    return [path / "model.safetensors"]


def _read(file: Path) -> Weights:
    if file.suffix != ".safetensors":
        raise ValueError(f"only safetensors files are read, never pickles; got {file.name!r}")
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}; give a .safetensors file or its folder")
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file} is not a whole safetensors file: {error}") from error

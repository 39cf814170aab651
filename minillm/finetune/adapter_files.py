"""Adapters in files, in the format of Hugging Face's peft: written for it, and read from it.

    adapter_config.json          rank, alpha, which layers, which variant
    adapter_model.safetensors    base_model.model.<layer>.lora_A.weight  (r, I)
                                 base_model.model.<layer>.lora_B.weight  (O, r)
                                 base_model.model.<layer>.lora_magnitude_vector  (O,), DoRA only
                                 base_model.model.<table>.token_adapter.trainable_tokens_delta
                                     (K, D), rows of the vocabulary that learned (token_rows.py);
                                     their ids stand in adapter_config.json

With naming="llama" layers are called as in transformers' LLaMA, and an adapter that was trained
here loads beside to_transformers(model), and the other way round. A file may hold more than we can
do (biases, whole layers, a base that was changed before the training): such a file is refused by
the name of the setting, never read in part.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from minillm.finetune.adapter_settings import alpha_of, check_settings, write_settings
from minillm.finetune.dora import DoRALinear
from minillm.finetune.lora import LoRALinear, apply_lora, lora_layers
from minillm.finetune.switch import activate, adapter_names
from minillm.finetune.targets import find_targets, widths
from minillm.finetune.token_rows import TABLES, learn_rows, token_rows
from minillm.model import Decoder
from minillm.model.weight_files import read_weights, write_weights
from minillm.model.weights import Weights, from_ours

Naming = Literal["llama", "minillm"]
Model = TypeVar("Model", bound=nn.Module)

SETTINGS, TENSORS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
ROWS = ".token_adapter.trainable_tokens_delta"
PARTS = {"lora_A.weight": "a", "lora_B.weight": "b", "lora_magnitude_vector": "m"}


def save_adapter(
    model: nn.Module, folder: str | Path, *, name: str = "default", naming: Naming = "llama"
) -> None:
    """Write one adapter of a model, some thousandths of its size, into a folder.

    Args:
        model: with adapters, not merged. A model that is cut over several ranks: see adapter_file.
        folder: is made, if need be; files in it of the same names are replaced as wholes.
        name: which adapter.
        naming: "llama" for peft beside transformers; "minillm" keeps our names.

    Raises:
        ValueError: if there is no such adapter, or it cannot be expressed.

    Lesson: notebooks/31_lora.ipynb
    """
    settings, weights = adapter_file(model, name=name, naming=naming)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(weights, folder / TENSORS)
    beside = folder / f"{SETTINGS}.partial"
    beside.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(beside, folder / SETTINGS)


def adapter_file(
    model: nn.Module, *, name: str = "default", naming: Naming = "llama"
) -> tuple[dict[str, Any], Weights]:
    """Give what save_adapter writes: the settings and the tensors, whole and on the CPU.

    Args, Raises: as save_adapter. On several ranks all must call it, as parts are gathered; then
        one of them writes.

    Lesson: notebooks/31_lora.ipynb
    """
    layers = {p: m for p, m in lora_layers(model).items() if name in m.adapters}
    if not layers:
        raise ValueError(f"no adapter {name!r} to save; there are {adapter_names(model)}")
    theirs = _their_names(model, list(layers), naming)
    weights: Weights = {}
    for path, layer in layers.items():
        layer.refuse_merged("save an adapter")
        for part, key in PARTS.items():
            tensor = getattr(layer.adapters[name], key, None)
            if tensor is not None:
                rows = _rows(model, path, naming) if key != "a" else None
                weights[f"{PREFIX}{theirs[path]}.{part}"] = _whole(tensor)[:rows]
    settings = write_settings(model, layers, theirs, name)
    tables = {p: t for p, t in token_rows(model).items() if t.name == name}
    places = _their_names(model, list(tables), naming)
    for path, table in tables.items():
        weights[f"{PREFIX}{places[path]}{ROWS}"] = _whole(table.rows)
    if tables:
        ids = {places[path].split(".")[-1]: t.ids.tolist() for path, t in tables.items()}
        settings["trainable_token_indices"] = ids
    return settings, weights


def load_adapter(
    model: Model, folder: str | Path, *, name: str = "default", train: bool = False
) -> Model:
    """Put an adapter from a folder beside a model, whoever wrote it.

    Args:
        model: a Decoder, with or without other adapters; changed in place, all of it frozen.
        folder: with adapter_config.json and adapter_model.safetensors.
        name: under which it stands here; it alone is active afterwards.
        train: whether it goes on learning.

    Returns:
        The model itself.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the file uses what we cannot do, or does not fit the model. The model is as
            before then.

    Lesson: notebooks/31_lora.ipynb
    """
    settings = json.loads((Path(folder) / SETTINGS).read_text(encoding="utf-8"))
    check_settings(settings)
    if name in adapter_names(model):
        raise ValueError(f"there is an adapter {name!r} already; give another name=")
    kind = DoRALinear if settings.get("use_dora") else LoRALinear
    weights = read_weights(Path(folder) / TENSORS)
    rows = _learned_rows(model, settings, weights)
    parts = _by_layer(model, weights, kind)
    options: dict[str, Any] = {"stable": bool(settings.get("use_rslora")), "layer": kind}
    options |= {"dropout": settings.get("lora_dropout") or 0.0, "name": name}
    with torch.random.fork_rng(devices=[]), torch.no_grad():  # what is drawn here is replaced
        for path, (theirs, tensors) in parts.items():
            alpha = alpha_of(settings, theirs)
            apply_lora(model, [path], rank=len(tensors["a"]), alpha=alpha, **options)
            adapter = model.get_submodule(f"{path}.adapters.{name}")
            for key, tensor in tensors.items():
                getattr(adapter, key).copy_(tensor)
        if rows is not None:
            assert isinstance(model, Decoder)
            learn_rows(model, rows[0], name=name)
            for path, table in token_rows(model).items():
                table.rows.copy_(rows[1][path])
    activate(model, name, train=train)
    return model


def _learned_rows(
    model: nn.Module, settings: Mapping[str, Any], weights: Weights
) -> tuple[list[int], dict[str, Tensor]] | None:
    """Take the rows of the vocabulary out of the tensors of a file.

    Returns:
        Their ids, and for each table of the model (K, D); None if the file has none.

    Raises:
        ValueError: if they do not fit the model.
    """
    told = settings.get("trainable_token_indices")
    found = {key: weights.pop(key) for key in list(weights) if key.endswith(ROWS)}
    if not told and not found:
        return None
    if token_rows(model):
        raise ValueError("rows of this model learn already, and the file brings more")
    lists = list(told.values()) if isinstance(told, dict) else [told or []]
    tables = [path for path in TABLES if getattr(model, path, None) is not None]
    naming: Naming = "minillm" if f"{PREFIX}embedding{ROWS}" in found else "llama"
    theirs = _their_names(model, tables, naming)
    rows = {p: found.pop(f"{PREFIX}{theirs[p]}{ROWS}", None) for p in tables}
    V, D = (model.config.vocab_size, model.config.d_model) if isinstance(model, Decoder) else (0, 0)
    shape = (len(lists[0]), D)
    fits = all(r is not None and tuple(r.shape) == shape for r in rows.values())
    fits = fits and all(ids == lists[0] and max(ids, default=V) < V for ids in lists)
    if found or not fits:
        raise ValueError(
            f"the file has learned rows for {told}, which do not fit this model: it has tables "
            f"{tables} of {V} rows, {D} wide; the same ids are needed, and rows, for each of them"
        )
    return lists[0], {path: row for path, row in rows.items() if row is not None}


def _by_layer(
    model: nn.Module, weights: Weights, kind: type[LoRALinear]
) -> dict[str, tuple[str, dict[str, Tensor]]]:
    """Sort the tensors of a file by our layers, and hold their shapes against the model.

    Returns:
        our layer: (their name, {"a": (r, I), "b": (O, r), perhaps "m": (O,)}).
    """
    paths = find_targets(model, "all")
    if isinstance(model, Decoder) and model.head is not None:
        paths.append("head")
    split = {key: _split(key) for key in weights}
    known = {theirs for theirs, _ in split.values()} <= set(paths)
    naming: Naming = "minillm" if known else "llama"
    ours = {theirs: path for path, theirs in _their_names(model, paths, naming).items()}
    found: dict[str, tuple[str, dict[str, Tensor]]] = {}
    for key, tensor in weights.items():
        theirs, part = split[key]
        if part == "base" and theirs in ours and _same(model, ours[theirs], tensor):
            continue  # peft adds the output matrix itself where it is adapted
        if theirs not in ours or part not in PARTS.values():
            raise ValueError(f"the model has no place for {key!r} of the file")
        path = ours[theirs]
        rows = _rows(model, path, naming)
        if rows is not None and part != "a":
            tensor = _padded(tensor, rows, model)
        found.setdefault(path, (theirs, {}))[1][part] = tensor
    for path, (theirs, tensors) in found.items():
        _check_fit(model.get_submodule(path), theirs, tensors, kind)
    return found


def _check_fit(
    layer: nn.Module, theirs: str, tensors: Mapping[str, Tensor], kind: type[LoRALinear]
) -> None:
    wanted = {"a", "b", "m"} if kind is DoRALinear else {"a", "b"}
    if set(tensors) != wanted:
        raise ValueError(f"{theirs} has {sorted(tensors)} in the file, needs {sorted(wanted)}")
    shape = tensors["b"].shape[0], tensors["a"].shape[1]
    d_in, d_out = widths(layer)
    if shape != (d_out, d_in) or tensors["a"].shape[0] != tensors["b"].shape[1]:
        raise ValueError(
            f"{theirs} corrects a matrix {shape} in the file, the model has {(d_out, d_in)}; the "
            "file is broken, or belongs to another base"
        )
    if isinstance(layer, LoRALinear) and type(layer) is not kind:
        raise ValueError(
            f"{theirs} is a {type(layer).__name__} already; the file needs a {kind.__name__}"
        )


def _their_names(model: nn.Module, paths: list[str], naming: Naming) -> dict[str, str]:
    """Give the names that layers of a Decoder have elsewhere, {ours: theirs}."""
    if naming == "minillm":
        return {path: path for path in paths}
    if not isinstance(model, Decoder) or naming != "llama":
        raise ValueError(f"naming must be minillm or, for a Decoder, llama; got {naming!r}")
    if model.config.position.interleaved:
        raise ValueError(
            "this model pairs RoPE's coordinates side by side, LLaMA's q and k have another order; "
            'use naming="minillm"'
        )
    empty = torch.empty(0, device="meta")
    names = {}
    for path in paths:
        (theirs,) = from_ours({f"{path}.weight": empty}, model.config, naming)
        names[path] = theirs.removesuffix(".weight")
    return names


def _split(key: str) -> tuple[str, str]:
    """Split a name in a file into the layer and "a", "b", "m", "base", or "" for all else."""
    name = key.removeprefix(PREFIX)
    if name.endswith(".base_layer.weight"):
        return name.removesuffix(".base_layer.weight"), "base"
    layer, _, part = name.partition(".lora_")
    parts = {theirs.removeprefix("lora_"): ours for theirs, ours in PARTS.items()}
    return layer, parts.get(part) or parts.get(part.removesuffix(".weight"), "")


def _same(model: nn.Module, path: str, weight: Tensor) -> bool:
    """Whether a matrix of the file is the model's own, but for the padding of the vocabulary."""
    part = model.get_submodule(path)
    own = part.matrix() if isinstance(part, LoRALinear) else part.weight
    assert isinstance(own, Tensor)
    return weight.shape[1:] == own.shape[1:] and torch.equal(weight.to(own), own[: len(weight)])


def _rows(model: nn.Module, path: str, naming: Naming) -> int | None:
    """Rows of B that others know, if fewer: their output matrix has no padded vocabulary."""
    if naming == "minillm" or path != "head" or not isinstance(model, Decoder):
        return None
    return model.config.vocab_size


def _padded(tensor: Tensor, rows: int, model: nn.Module) -> Tensor:
    """Undo _rows: rows of zeros for the padding of the vocabulary."""
    assert isinstance(model, Decoder)
    if len(tensor) != rows:
        return tensor  # of another base; _check_fit will say so
    fill = model.config.padded_vocab_size - rows
    return torch.cat((tensor, tensor.new_zeros(fill, *tensor.shape[1:])))


def _whole(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu()

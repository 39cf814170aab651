"""Matrices that others keep as one and a Decoder as several: taken apart, and joined again.

    "gpt2"           q, k and v side by side, all matrices transposed (Conv1D)
    "bloom" "falcon" for each group of heads: its queries, its key, its value
    "glm" "glm4"     gate above up
    "mixtral_fused"  gate above up, and all experts of a block in one tensor

The names are ours already, but for the fused part: .attention.qkv, .feedforward.gate_up.

Shape letters: D model width, N query heads, K key/value heads, H head width, F inner width.
"""

import re
from collections.abc import Callable

import torch
from torch import Tensor

from minillm.model.config import DecoderConfig

Weights = dict[str, Tensor]
Parts = dict[str, Tensor]  # of one fused tensor, by what stands in its place in the name


def split_fused(weights: Weights, naming: str, config: DecoderConfig) -> Weights:
    """Take fused matrices apart.

    Args:
        weights: named as ours, fused as theirs.
        naming: whose layout it is; one that fuses nothing changes nothing.
        config: the model, for the number of its heads.

    Returns:
        The weights with .q, .k, .v, .gate and .up. Nothing is copied: parts are views.

    Lesson: notebooks/41_case_studies.ipynb
    """
    if naming == "gpt2":
        weights = _transposed(weights)
    if naming == "mixtral_fused":
        return _split_experts(weights)
    splits: dict[str, Callable[[Tensor], Parts]] = {
        ".qkv.": (lambda t: _thirds(t)) if naming == "gpt2" else lambda t: _groups(t, config),
        ".gate_up.": _halves,
    }
    whole = {}
    for name, tensor in weights.items():
        fused = next((f for f in splits if f in name), None)
        if fused is None:
            whole[name] = tensor
            continue
        for part, piece in splits[fused](tensor).items():
            whole[name.replace(fused, f".{part}.")] = piece
    return whole


def join_fused(weights: Weights, naming: str, config: DecoderConfig) -> Weights:
    """Undo split_fused: join what another layout keeps as one.

    Args:
        weights: a Decoder's.
        naming: whose layout is wanted; one that fuses nothing changes nothing.
        config: the model.

    Returns:
        The weights with .qkv and .gate_up where the layout has them.

    Lesson: notebooks/41_case_studies.ipynb
    """
    if naming in ("glm", "glm4"):
        return _joined(weights, r"\.feedforward\.(gate|up)\.", ("gate", "up"), torch.cat)
    if naming in ("bloom", "falcon"):
        return _joined(weights, QKV, ("q", "k", "v"), lambda parts: _one(parts, config))
    if naming == "gpt2":
        return _transposed(_joined(weights, QKV, ("q", "k", "v"), torch.cat))
    if naming == "mixtral_fused":
        return _join_experts(weights)
    return weights


QKV = r"\.attention\.([qkv])\."


def _joined(
    weights: Weights,
    pattern: str,
    parts: tuple[str, ...],
    join: Callable[[list[Tensor]], Tensor],
) -> Weights:
    """Put one tensor in the place of several whose names differ in one word."""
    theirs = {}
    for name, tensor in weights.items():
        found = re.search(pattern, name)
        if found is None:
            theirs[name] = tensor
        elif found[1] == parts[0]:
            head, tail = name[: found.start(1)], name[found.end(1) :]
            pieces = [weights[f"{head}{part}{tail}"] for part in parts]
            theirs[f"{head}{FUSED[parts]}{tail}"] = join(pieces)
    return theirs


FUSED = {("q", "k", "v"): "qkv", ("gate", "up"): "gate_up"}


def _thirds(tensor: Tensor) -> Parts:
    """(3 D, ...): all of q, then all of k, then all of v."""
    return dict(zip("qkv", tensor.chunk(3, dim=0), strict=True))


def _halves(tensor: Tensor) -> Parts:
    """(2 F, D): the gate above what it lets through."""
    gate, up = tensor.chunk(2, dim=0)
    return {"gate": gate, "up": up}


def _groups(tensor: Tensor, config: DecoderConfig) -> Parts:
    """((N + 2 K) H, ...): for each of K groups N / K queries, then the key, then the value."""
    K, H = config.attention.key_heads, config.head_width
    groups = tensor.unflatten(0, (K, -1, H))  # (K, N / K + 2, H, ...)
    return {
        "q": groups[:, :-2].flatten(0, 2),
        "k": groups[:, -2].flatten(0, 1),
        "v": groups[:, -1].flatten(0, 1),
    }


def _one(parts: list[Tensor], config: DecoderConfig) -> Tensor:
    """Undo _groups."""
    K, H = config.attention.key_heads, config.head_width
    groups = [part.unflatten(0, (K, -1, H)) for part in parts]
    return torch.cat(groups, dim=1).flatten(0, 2)


def _transposed(weights: Weights) -> Weights:
    """Turn the matrices of the blocks, as Conv1D stores them, into those of Linear, or back."""
    return {
        name: tensor.mT if name.startswith("blocks.") and tensor.ndim == 2 else tensor
        for name, tensor in weights.items()
    }


def _split_experts(weights: Weights) -> Weights:
    """gate_up_proj, (E, 2 F, D), and down_proj, (E, D, F), into matrices of single experts."""
    ours = {}
    for name, tensor in weights.items():
        if name.endswith(".experts.gate_up_proj"):
            for e, matrix in enumerate(tensor):
                for part, piece in _halves(matrix).items():
                    ours[name.replace("gate_up_proj", f"{e}.{part}.weight")] = piece
        elif name.endswith(".experts.down_proj"):
            for e, matrix in enumerate(tensor):
                ours[name.replace("down_proj", f"{e}.down.weight")] = matrix
        else:
            ours[name] = tensor
    return ours


def _join_experts(weights: Weights) -> Weights:
    """Undo _split_experts."""
    theirs: Weights = {}
    lists: dict[str, list[Tensor]] = {}
    for name, tensor in weights.items():
        found = re.fullmatch(r"(.*\.experts)\.(\d+)\.(gate|down)\.weight", name)
        if found is not None:
            fused, matrix = "down_proj", tensor
            if found[3] == "gate":
                up = weights[f"{found[1]}.{found[2]}.up.weight"]
                fused, matrix = "gate_up_proj", torch.cat((tensor, up))
            lists.setdefault(f"{found[1]}.{fused}", []).append(matrix)
        elif not re.fullmatch(r".*\.experts\.\d+\.up\.weight", name):
            theirs[name] = tensor
    return theirs | {name: torch.stack(matrices) for name, matrices in lists.items()}

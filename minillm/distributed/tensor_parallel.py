"""Tensor parallelism: every rank holds some columns and rows of every matrix.

    x ─ enter ─ [q k v: whole heads] ─ attention ─ [out: the rows of these heads] ─ leave ─ + x
    x ─ enter ─ [up, gate: some inner units] ─ act ─ [down: the rows of these units] ─ leave ─ + x

The first matrix is cut so that its *outputs* are shared out, the second so that its *inputs* are.
Between the two nobody has to talk, since a head and an inner unit need nothing of the others; so
one sum a half block is enough. Our weights are stored as (out, in): outputs are axis 0.

With sequence parallelism what lies between the halves (norms, residual sums) is shared out along
the sequence; the sum at the end of a half becomes a reduce-scatter, the beginning an all-gather.
The bytes on the link stay the same, the memory does not.

The model never knows: its weights are cut in place, and hooks stand at the doors.
"""

from typing import Any

import torch
from torch import Tensor, nn

from minillm.distributed.collectives import all_reduce
from minillm.distributed.conjugate import (
    cut,
    enter,
    gather_inside,
    join,
    leave,
    own_part,
    scatter_sum,
)
from minillm.distributed.group import Group
from minillm.distributed.vocabulary_parallel import VocabularyEmbedding
from minillm.model import Decoder

SEQUENCE = 1  # the axis of the positions in (B, T, D)
FIRST = ("q", "k", "v", "up", "gate")  # matrices whose outputs are shared out: axis 0
SECOND = ("out", "down")  # matrices whose inputs are shared out: axis 1


def split_decoder(
    model: Decoder, group: Group, *, sequence: bool = False, vocabulary: bool = True
) -> dict[str, int]:
    """Keep only this rank's part of a decoder's matrices, in place.

    Every rank must start from the same weights. Afterwards the model has the same features on all
    ranks as before, and gradients of its parts.

    Args:
        model: a decoder with RoPE, or with learned or sinusoidal positions.
        group: the tensor ranks.
        sequence: share out the norms along the sequence as well.
        vocabulary: cut the embedding table, and the output matrix, into rows.

    Returns:
        For each parameter that was cut, by name, along which axis.

    Raises:
        ValueError: if heads, key heads, inner width or rows of the table are no multiple of the
            ranks; for experts (expert_parallel.py), ALiBi and T5's positions.

    Cost: forward and backward two all-reduces each a block, of B T D numbers.
    Source: Shoeybi et al. 2019, arXiv:1909.08053, section 3; Korthikanti et al. 2022,
        arXiv:2205.05198, section 4.2.
    Lesson: notebooks/23_parallel.ipynb
    """
    _check(model, group)
    axes: dict[str, int] = {}
    for number, block in enumerate(model.blocks):
        for half in ("attention", "feedforward"):
            layer = getattr(block, half)
            _split_half(layer, group, axes, f"blocks.{number}.{half}")
            _doors(layer, group, sequence=sequence)
        if sequence:
            _sum_gradients(block, group)
    if sequence:
        first, last = model.blocks[0], model.blocks[-1]
        first.register_forward_pre_hook(lambda _, x: (cut(x[0], group, SEQUENCE), *x[1:]))
        last.register_forward_hook(lambda _, x, y: join(y, group, SEQUENCE))
    if vocabulary:
        table = VocabularyEmbedding(model.embedding.weight, group)
        model.set_submodule("embedding", table)
        axes["embedding.weight"] = 0
        if model.head is not None:
            _cut(model.head, "weight", group, 0)
            axes["head.weight"] = 0
    return axes


def columns(layer: nn.Module, group: Group) -> None:
    """Keep this rank's share of a Linear's outputs, in place: rows of the weight as stored.

    Raises:
        ValueError: if the outputs cannot be shared out equally.

    Lesson: notebooks/23_parallel.ipynb
    """
    _cut(layer, "weight", group, 0)
    if layer.bias is not None:
        _cut(layer, "bias", group, 0)


def rows(layer: nn.Module, group: Group) -> None:
    """Keep this rank's share of a Linear's inputs, in place: columns of the weight as stored.

    A bias would be added once a rank, so it is refused; split_decoder adds it behind the sum.

    Raises:
        ValueError: if the inputs cannot be shared out equally, or the layer has a bias.

    Lesson: notebooks/23_parallel.ipynb
    """
    if layer.bias is not None:
        raise ValueError("a bias would be added once a rank; add it behind the sum")
    _cut(layer, "weight", group, 1)


def _check(model: Decoder, group: Group) -> None:
    config, n = model.config, group.size
    a, f = config.attention, config.feedforward
    if f.experts is not None or config.position.kind in ("alibi", "t5"):
        raise ValueError(
            "tensor ranks cut plain blocks without a bias on the scores; experts go to "
            f"expert_parallel, and position.kind {config.position.kind!r} is not supported"
        )
    sizes = {"heads": a.n_heads, "key heads": a.key_heads, "inner width": f.width}
    for what, size in sizes.items():
        if size % n:
            raise ValueError(f"{n} ranks cannot share out {what}={size}; take a divisor")


def _split_half(half: nn.Module, group: Group, axes: dict[str, int], name: str) -> None:
    for part in FIRST:
        layer = getattr(half, part, None)
        if layer is not None:
            columns(layer, group)
            axes[f"{name}.{part}.weight"] = 0
            if layer.bias is not None:
                axes[f"{name}.{part}.bias"] = 0
    for part in SECOND:
        layer = getattr(half, part, None)
        if layer is not None:
            _cut(layer, "weight", group, 1)
            axes[f"{name}.{part}.weight"] = 1


def _doors(half: nn.Module, group: Group, *, sequence: bool) -> None:
    """Hooks: what happens to the tensor that goes in, and to the one that comes out."""
    (last,) = (getattr(half, part) for part in SECOND if hasattr(half, part))
    bias = last.bias
    if bias is not None:  # taken away here and added once, behind the sum
        last.register_forward_hook(lambda _, x, y: y - bias)

    def before(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x = args[0]
        x = gather_inside(x, group, SEQUENCE) if sequence else enter(x, group)
        return (x, *args[1:])

    def after(_: nn.Module, __: tuple[Any, ...], y: Tensor) -> Tensor:
        y = scatter_sum(y, group, SEQUENCE) if sequence else leave(y, group)
        return y if bias is None else y + bias

    half.register_forward_pre_hook(before)
    half.register_forward_hook(after)


def _sum_gradients(block: nn.Module, group: Group) -> None:
    """Parameters that every rank has as a whole but used on its positions only."""
    for name, p in block.named_parameters():
        parts = name.split(".")
        if "norm" in name or "end" in parts[0] or (parts[-1] == "bias" and parts[-2] in SECOND):
            p.register_hook(lambda g: all_reduce(group, g.clone()))


@torch.no_grad()
def _cut(layer: nn.Module, name: str, group: Group, axis: int) -> None:
    whole = getattr(layer, name)
    part = own_part(whole, group.rank, group.size, axis).clone()
    setattr(layer, name, nn.Parameter(part, requires_grad=whole.requires_grad))

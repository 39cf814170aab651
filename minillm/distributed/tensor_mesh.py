"""Tensor parallelism by DTensor, beside FSDP on a 2D mesh: lesson 23's cut, made by torch.

    q, k, v, gate, up    rows of the matrix, Shard(0): each rank has whole heads, whole inner units
    out, down            columns, Shard(1): each rank gives a part of the sum; all-reduce
    norms, embedding, head    on every rank as a whole

With FSDP around it a matrix of Shard(0) is cut along both axes of the mesh.
"""

from typing import Any

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import (
    DTensor,
    Placement,
    Replicate,
    Shard,
    distribute_module,
    distribute_tensor,
)

from minillm.model import Decoder

ROWS = ("attention.q", "attention.k", "attention.v", "feedforward.gate", "feedforward.up")
COLUMNS = ("attention.out", "feedforward.down")


def split_over_tensor_ranks(model: Decoder, mesh: DeviceMesh) -> None:
    """Cut the matrices of every block among the ranks of a one-dimensional mesh, in place.

    Args:
        model: with plain weights, on the meta device or not.
        mesh: the tensor axis.

    Raises:
        ValueError: if query heads, key heads or the inner width are no multiple of the ranks, the
            blocks have experts, or biases that would be added once a rank.

    Source: Shoeybi et al. 2019 (Megatron-LM), arXiv:1909.08053, section 3.
    Lesson: notebooks/24_fsdp.ipynb; by hand in notebooks/23_parallel.ipynb
    """
    a, f, n = model.config.attention, model.config.feedforward, mesh.size()
    sizes = {"query heads": a.n_heads, "key heads": a.key_heads, "inner width": f.width}
    for what, size in sizes.items():
        if size % n:
            raise ValueError(f"{size} {what} cannot be cut into {n} equal parts for tensor ranks")
    if f.experts is not None or model.config.position.kind in ("alibi", "t5"):
        raise ValueError("tensor ranks cut plain blocks only: no experts, no ALiBi, no T5 bias")
    for name, layer in list(model.named_modules()):
        if not any(p is not None for p in layer._parameters.values()):
            continue
        if name.endswith(ROWS):
            _distribute(layer, mesh, Shard(0), Replicate(), Shard(-1))
        elif name.endswith(COLUMNS):
            if layer.bias is not None:
                raise ValueError(f"{name} has a bias, which {n} tensor ranks would add {n} times")
            _distribute(layer, mesh, Shard(1), Shard(-1), Replicate())
        else:
            _distribute(layer, mesh, Replicate(), Replicate(), Replicate())


def _distribute(
    layer: nn.Module, mesh: DeviceMesh, weight: Placement, enter: Placement, leave: Placement
) -> None:
    """Cut a layer's weights; plain tensors go in and come out, as DTensors only in between."""

    def cut(_: str, module: nn.Module, mesh: DeviceMesh) -> None:
        for key, param in list(module._parameters.items()):
            if param is not None:
                parts = distribute_tensor(param, mesh, [weight])
                module.register_parameter(key, nn.Parameter(parts))

    def take(_: nn.Module, inputs: Any, mesh: DeviceMesh) -> Any:
        return (DTensor.from_local(inputs[0], mesh, [enter], run_check=False), *inputs[1:])

    def give(_: nn.Module, output: Any, mesh: DeviceMesh) -> Any:
        return output.redistribute(placements=[leave]).to_local()

    distribute_module(layer, mesh, cut, input_fn=take, output_fn=give)

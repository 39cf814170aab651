"""A decoder that is ready, trained or adapted, laid over many processes.

shard_decoder makes a decoder that no rank ever holds as a whole, and draws its start. Fine-tuning
begins with weights, and with adapters beside some of them: here every rank opens the same model,
and then keeps its part. Frozen weights are cut like the others; no gradient of them is sent.
"""

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor

from minillm.distributed.fsdp import DTYPES, ShardingConfig, let_go
from minillm.model import Decoder

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


def shard_ready(
    model: Decoder, sharding: ShardingConfig, mesh: DeviceMesh, *, loss: Loss
) -> Decoder:
    """Lay a decoder that has its weights over the ranks, in place.

    Each block is a unit, as in shard_decoder; embedding, last norm and output matrix are the root.

    Args:
        model: the same on every rank, on the device of the rank; adapters may stand in it.
        sharding: replicas, weights and keep_gathered are read; the others must be at their
            defaults.
        mesh: from make_mesh.
        loss: (model, x, y) -> the mean over the targets of this rank; it becomes the method
            `loss(x, y)` that loss_across_ranks calls.

    Returns:
        The model.

    Raises:
        ValueError: if the layout asks for what only shard_decoder can do.

    Cost: every rank holds the whole model for a moment, before it lets its other parts go.
    Source: Zhao et al. 2023 (PyTorch FSDP), arXiv:2304.11277, section 3.
    Lesson: notebooks/24_fsdp.ipynb
    """
    if sharding.tensor > 1 or sharding.recompute or sharding.compile:
        raise ValueError(
            "a ready model is laid out without sharding.tensor, .recompute and .compile; leave "
            "them at their defaults"
        )
    names = ("replica", "shard") if sharding.replicas > 1 else ("shard",)
    narrow = DTYPES[sharding.weights] if sharding.weights != "float32" else None
    units: dict[str, Any] = {
        "mesh": mesh[names],
        "mp_policy": MixedPrecisionPolicy(
            param_dtype=narrow,
            reduce_dtype=torch.float32 if narrow else None,
            cast_forward_inputs=False,
        ),
    }
    for block in model.blocks:
        fully_shard(block, reshard_after_forward=not sharding.keep_gathered, **units)
    fully_shard(model, **units)
    model.loss = MethodType(loss, model)  # type: ignore[assignment]
    register_fsdp_forward_method(model, "loss")
    return model


@torch.no_grad()
def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """Put the trained weights of a sharded model together again; called by all ranks.

    Args:
        model: from shard_ready or shard_decoder.

    Returns:
        name: whole tensor, of every parameter that requires a gradient, in the memory of the CPU.

    Cost: each of these weights is sent to every rank once.
    """
    let_go(model)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return {
        name: (p.full_tensor() if isinstance(p, DTensor) else p).detach().cpu().clone()
        for name, p in trained.items()
    }

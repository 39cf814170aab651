"""The decoder on many processes, wrapped from outside: its code knows nothing of it.

Each block is a unit of FSDP2 (torch's fully_shard): its weights lie cut into W parts, one a rank.
Before a block computes, its parts are gathered; afterwards they are let go again; in the backward
pass gradients are summed and cut in one go (reduce-scatter). Embedding, last norm and output matrix
are the root unit.

In what order the wrappers go, from the inside out, and why:

    tensor parallel   it changes what a weight is
    compile           sees plain tensors: FSDP's hooks stand outside
    recompute         runs the compiled forward a second time, while the weights are still gathered
    fully_shard       the outermost: gather, call, let go

Shape letters: B batch of this rank, T positions, D model width, V vocabulary, W ranks.
"""

from dataclasses import dataclass
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

from minillm.distributed.materialise import materialise
from minillm.distributed.tensor_mesh import split_over_tensor_ranks
from minillm.model import Decoder, DecoderConfig
from minillm.objectives.fused import linear_cross_entropy

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class ShardingConfig:
    """How a decoder is laid over the processes.

    Attributes:
        replicas: copies of the whole model (hybrid sharding): weights are gathered within the
            ranks of one copy only, gradients are averaged over the copies as well.
        tensor: ranks among which every matrix of a block is cut, heads and inner width; they
            read the same batch.
        weights: "float32", or "bfloat16": the blocks compute with, and gather, 16-bit copies;
            the parts themselves, their gradients and the optimizer stay in float32.
        keep_gathered: do not let go of a block's weights between forward and backward (ZeRO-2):
            a third less traffic, all weights in memory.
        recompute: keep only the input of each block, and compute it anew in the backward pass.
        compile: backend of torch.compile for each block, such as "inductor"; "" compiles nothing.
    """

    replicas: int = 1
    tensor: int = 1
    weights: str = "float32"
    keep_gathered: bool = False
    recompute: bool = False
    compile: str = ""

    def __post_init__(self) -> None:
        for name in ("replicas", "tensor"):
            if getattr(self, name) < 1:
                raise ValueError(f"sharding.{name} must be at least 1, got {getattr(self, name)}")
        if self.weights not in DTYPES:
            raise ValueError(
                f"sharding.weights must be one of {', '.join(DTYPES)}; got {self.weights!r}"
            )

    def shards(self, n_ranks: int) -> int:
        """Give the number of parts that each weight is cut into, besides `tensor`.

        Raises:
            ValueError: if the ranks cannot be laid out so.
        """
        shards, rest = divmod(n_ranks, self.replicas * self.tensor)
        if rest or not shards:
            raise ValueError(
                f"{n_ranks} ranks cannot be {self.replicas} replicas of {self.tensor} tensor ranks "
                "times whole shards; take a multiple of "
                f"{self.replicas * self.tensor} ranks, or a smaller sharding.replicas or .tensor"
            )
        return shards


def make_mesh(config: ShardingConfig, n_ranks: int, device: str = "cpu") -> DeviceMesh:
    """Lay the ranks out as a grid, (replica, shard, tensor); neighbours share a tensor group.

    Args:
        config: the layout.
        n_ranks: of the run.
        device: "cpu" or "cuda".

    Returns:
        The mesh; axes of length 1 are left out, except "shard".

    Raises:
        ValueError: if n_ranks does not fit the layout.

    Lesson: notebooks/24_fsdp.ipynb
    """
    sizes = {"replica": config.replicas, "shard": config.shards(n_ranks), "tensor": config.tensor}
    kept = {name: n for name, n in sizes.items() if n > 1 or name == "shard"}
    return init_device_mesh(device, tuple(kept.values()), mesh_dim_names=tuple(kept))


def shard_decoder(
    config: DecoderConfig,
    sharding: ShardingConfig,
    mesh: DeviceMesh,
    *,
    seed: int,
    dtype: torch.dtype | None = None,
) -> Decoder:
    """Make a decoder that exists on all ranks together, and on none as a whole.

    It is laid out on the meta device, cut there, and only then given memory and its start: the
    weights of Decoder(config) after torch.manual_seed(seed), bit for bit, whatever the mesh.

    Args:
        config: the model.
        sharding: how it is laid over the ranks.
        mesh: from make_mesh.
        seed: of the weights.
        dtype: of the parts; None means torch's default dtype.

    Returns:
        The decoder. It has one method more, `loss(x, y)`: see sharded_loss.

    Raises:
        ValueError: if heads or widths cannot be cut into sharding.tensor parts.

    Cost: memory for the parts, and for one whole matrix at a time while they are drawn.
    Source: Zhao et al. 2023 (PyTorch FSDP), arXiv:2304.11277, section 3.1 (deferred
        initialisation); Rajbhandari et al. 2020 (ZeRO), arXiv:1910.02054, section 5.
    Lesson: notebooks/24_fsdp.ipynb
    """
    model = Decoder(config, device="meta", dtype=dtype)
    if sharding.tensor > 1:
        split_over_tensor_ranks(model, mesh["tensor"])
    names = ("replica", "shard") if sharding.replicas > 1 else ("shard",)
    narrow = DTYPES[sharding.weights] if sharding.weights != "float32" else None
    units: dict[str, Any] = {
        "mesh": mesh[names],
        "mp_policy": MixedPrecisionPolicy(
            param_dtype=narrow,
            reduce_dtype=torch.float32 if narrow else None,
            cast_forward_inputs=False,  # or RoPE's angles would be rounded to 16 bits, too
        ),
    }
    for block in model.blocks:
        if sharding.compile:
            block.forward = torch.compile(block.forward, backend=sharding.compile)
        if sharding.recompute:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        fully_shard(block, reshard_after_forward=not sharding.keep_gathered, **units)
    fully_shard(model, **units)
    model.loss = MethodType(sharded_loss, model)  # type: ignore[assignment]
    register_fsdp_forward_method(model, "loss")
    materialise(model, config, seed=seed, device=mesh.device_type)
    return model


def sharded_loss(model: Decoder, x: Tensor, y: Tensor) -> Tensor:
    """Average the surprise at each next token of this rank's rows; causal_loss for a sharded model.

    The same operations in the same order as causal_loss of a bare Decoder, hence the same bits;
    the weights of the root are gathered while it runs.

    Args:
        model: from shard_decoder; call it as model.loss(x, y).
        x: token ids of this rank, (B, T).
        y: the same text one position later, (B, T); -100 where a position does not count.

    Returns:
        Nats a token over the targets of this rank, a scalar; 0 where there is none.
    """
    return linear_cross_entropy(model.features(x), whole(model.output_matrix()), y)


def let_go(model: nn.Module) -> None:
    """Let go of all gathered weights: after a forward pass without a backward pass the root's stay.

    Until then named_parameters() gives the gathered ones, which no optimizer knows.
    """
    for unit in model.modules():
        if isinstance(unit, FSDPModule):
            unit.reshard()


def whole(weight: Tensor) -> Tensor:
    """Take a weight that every tensor rank holds as a whole out of its DTensor."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


def bytes_held(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> int:
    """Count the bytes of weights, gradients and optimizer that this rank holds.

    Args:
        model: sharded or not.
        optimizer: its tensors count as well.

    Returns:
        Bytes, between two steps: what is gathered on the way is not counted.
    """
    tensors: list[Tensor] = []
    for param in model.parameters():
        tensors += [param] if param.grad is None else [param, param.grad]
    for entries in optimizer.state.values() if optimizer is not None else ():
        tensors += [value for value in entries.values() if isinstance(value, Tensor)]
    local = (t.to_local() if isinstance(t, DTensor) else t for t in tensors)
    return sum(t.numel() * t.element_size() for t in local)

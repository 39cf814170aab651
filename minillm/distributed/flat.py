"""The parameters of a block as one vector, of which each rank keeps a part.

    full     | w1 ........ | w2 ... | w3 ........ | 0 |      n numbers, n a multiple of N
    shard        rank 0       |        rank 1                n / N numbers each

The parameters themselves become views of `full`. When `full` is released its storage shrinks to
nothing, and the views point at nothing; when it is gathered again they are whole, and so is what
autograd has kept of them, because it kept the same storage.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from minillm.distributed.collectives import all_gather, padded, reduce_scatter
from minillm.distributed.group import Group


class FlatUnit:
    """Some parameters that are gathered and released together.

    Args:
        group: the ranks.
        params: of one dtype; they become views of one vector.
        keep: the parameters stay whole on every rank (stages 1 and 2); False shards them too.

    Attributes:
        n: numbers in the vector, padding included.
        full: the vector, (n,); without storage while released.
        shard: this rank's part, (n / N,); a view of full where that is kept.
        gradient: the summed gradient of the shard, (n / N,); None between steps.

    Raises:
        ValueError: if there is no parameter, or their dtypes differ.

    Lesson: notebooks/22b_zero.ipynb
    """

    def __init__(self, group: Group, params: list[nn.Parameter], *, keep: bool) -> None:
        if not params or len({p.dtype for p in params}) != 1:
            dtypes = sorted({str(p.dtype) for p in params})
            raise ValueError(f"a unit needs parameters of one dtype, got {dtypes or 'none'}")
        self.group, self.params, self.keep = group, params, keep
        with torch.no_grad():
            self.full = padded(torch.cat([p.detach().reshape(-1) for p in params]), group.size)
        self.n = len(self.full)
        self.part = self.n // group.size
        start = group.rank * self.part
        mine = self.full[start : start + self.part]
        self.shard = mine if keep else mine.clone()
        self.gradient: Tensor | None = None
        self._point()
        if not keep:
            self.release()

    def _point(self) -> None:
        """Make each parameter a view of the vector."""
        at = 0
        for param in self.params:
            param.data = self.full[at : at + param.numel()].view(param.shape)
            at += param.numel()

    @property
    def is_whole(self) -> bool:
        """Whether the parameters can be used now."""
        return self.full.untyped_storage().nbytes() > 0

    def gather(self) -> None:
        """Make the parameters whole; does nothing if they are."""
        if not self.is_whole:
            self.full.untyped_storage().resize_(self.n * self.full.element_size())
            all_gather(self.group, self.shard, into=self.full)

    def release(self) -> None:
        """Give the memory of the whole parameters back; only the shard stays."""
        if not self.keep:
            self.full.untyped_storage().resize_(0)

    def refresh(self) -> None:
        """After a step: hand the moved shards to all ranks, where the parameters are kept."""
        if self.keep:
            all_gather(self.group, self.shard, into=self.full)

    def reduce(self) -> None:
        """Sum the gradients over ranks, keep those of the shard, and drop the rest.

        Gradients of several passes add up in the shard. A parameter without one counts as zero.
        """
        flat = torch.cat([_flat_gradient(p) for p in self.params])
        for param in self.params:
            param.grad = None
        summed = reduce_scatter(self.group, padded(flat, self.group.size))
        self.gradient = summed if self.gradient is None else self.gradient.add_(summed)

    def pieces(self) -> list[tuple[nn.Parameter, slice]]:
        """List which part of which parameter lies in the shard: (parameter, slice of the shard).

        An optimizer that treats every number on its own (SGD, AdamW, Lion) can work on those.
        """
        start = self.group.rank * self.part
        found, at = [], 0
        for param in self.params:
            low, high = max(at, start), min(at + param.numel(), start + self.part)
            if low < high:
                found.append((param, slice(low - start, high - start)))
            at += param.numel()
        return found

    def tensors(self) -> list[Tensor]:
        """All that this rank holds of the unit now, without the optimizer's state."""
        held: list[Any] = [self.full, self.shard, self.gradient, *(p.grad for p in self.params)]
        return [x for x in held if x is not None]


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Add up the bytes of the storages of some tensors; views of one storage count once."""
    storages = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in tensors}
    return sum(storages.values())


def state_tensors(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """List the tensors that an optimizer keeps from step to step."""
    states = optimizer.state.values()
    return [x for state in states for x in state.values() if isinstance(x, Tensor)]


def _flat_gradient(param: nn.Parameter) -> Tensor:
    if param.grad is None:
        return torch.zeros(param.numel(), dtype=param.dtype, device=param.device)
    return param.grad.reshape(-1)

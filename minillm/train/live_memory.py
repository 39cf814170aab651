"""Bytes of the tensors that a piece of work makes: how many live at once, at most.

Not the memory that the system lends the process: the allocator, torch itself and what a single
operation needs within itself are not seen. So the figure is the same on every machine.
"""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """Watch every operation, and count the storages that it makes until they are freed.

    Attributes:
        live: bytes alive now, of those made under the watch.
        peak: the most that were alive at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation; its inputs were there before, its outputs may be new."""
        for given in tree_leaves((args, kwargs)):
            self._note(given, 0)
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            self._note(tensor)
        return made

    def _note(self, tensor: object, n_bytes: int | None = None) -> None:
        if not isinstance(tensor, Tensor):
            return
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._known:
            return
        n_bytes = storage.nbytes() if n_bytes is None else n_bytes
        self._known.add(key)
        self.live += n_bytes
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key, n_bytes).atexit = False

    def _forget(self, key: int, n_bytes: int) -> None:
        self._known.discard(key)
        self.live -= n_bytes


def peak_bytes(work: Callable[[], object]) -> int:
    """Measure the most bytes of tensors that were alive at once while the work ran.

    Args:
        work: is called once, with no argument. Backward passes count, if they run in this thread
            (those of a CPU do).

    Returns:
        Bytes, of tensors made by the work; those that existed before do not count.

    Lesson: notebooks/16b_flash_attention.ipynb
    """
    with LiveMemory() as memory:
        kept = work()  # alive until the watch ends, as a caller would keep it
    del kept
    return memory.peak


def saved_bytes(work: Callable[[], Tensor]) -> int:
    """Count the bytes that a forward pass keeps for its backward pass.

    Args:
        work: returns the tensor that one would differentiate.

    Returns:
        Bytes of the different storages that autograd saved; inputs that it saved count too.

    Lesson: notebooks/16b_flash_attention.ipynb
    """
    storages: dict[int, int] = {}
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor)  # alive, so that no address is used twice
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        work()
    return sum(storages.values())

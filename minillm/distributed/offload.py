"""Offload: what does not fit into fast memory lies in a file until it is needed.

- offloaded_activations moves what autograd keeps into files; the backward pass reads it back.
- OffloadedState lets an optimizer's tensors live in files that are mapped into memory: the system
  reads and writes their pages as the update touches them.
- offload_seconds says what a link of some speed makes of it.

On a GPU the same is done with the computer's memory, over PCIe, or with its disks (ZeRO-Offload,
ZeRO-Infinity). Here memory is the fast place and the disk the slow one, so that it can be seen
without a GPU. Numbers come back as they went: results are equal to the last bit.
"""

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor


@dataclass
class Moved:
    """Bytes that went over the link, counted.

    Attributes:
        written: into the slow place.
        read: back from it.
        stored: lying there now.
        peak: the most that lay there.
    """

    written: int = 0
    read: int = 0
    stored: int = 0
    peak: int = 0
    _files: dict[str, int] = field(default_factory=dict, repr=False)

    def store(self, path: str, n_bytes: int) -> None:
        """Note that a file was written."""
        self._files[path] = n_bytes
        self.written += n_bytes
        self.stored += n_bytes
        self.peak = max(self.peak, self.stored)

    def fetch(self, path: str) -> None:
        """Note that a file was read."""
        self.read += self._files[path]

    def drop(self, path: str) -> None:
        """Remove a file, and note it."""
        if path in self._files:
            self.stored -= self._files.pop(path)
            os.unlink(path)


class _Parked:
    """A tensor in a file; the file goes when nobody asks for it any more."""

    def __init__(self, tensor: Tensor, path: str, traffic: Moved) -> None:
        self.path, self.traffic = path, traffic
        self.shape, self.dtype, self.device = tensor.shape, tensor.dtype, tensor.device
        mapped = map_file(path, self.shape, self.dtype)
        mapped.copy_(tensor)
        traffic.store(path, mapped.numel() * mapped.element_size())

    def back(self) -> Tensor:
        """The tensor, in memory again."""
        self.traffic.fetch(self.path)
        return map_file(self.path, self.shape, self.dtype).to(self.device, copy=True)

    def __del__(self) -> None:
        self.traffic.drop(self.path)


@contextmanager
def offloaded_activations(
    folder: str | Path | None = None, *, min_bytes: int = 4096, keep: tuple[Tensor, ...] = ()
) -> Iterator[Moved]:
    """Move what a forward pass keeps into files; the backward pass reads it back.

        with offloaded_activations(keep=tuple(model.parameters())) as traffic:
            loss = ...
        loss.backward()

    Args:
        folder: where the files lie; None means a temporary folder. It goes when the last tensor
            in it has gone, which may be after the context.
        min_bytes: smaller tensors stay.
        keep: tensors that stay: the weights, which are in memory anyhow.

    Returns:
        The traffic, which goes on counting in the backward pass.

    Raises:
        ValueError: if the folder is not there, or min_bytes is negative.

    Cost: each kept tensor is written once and read once; several views of one storage are stored
        each for itself.
    Source: Rajbhandari et al. 2021 (ZeRO-Infinity), arXiv:2104.07857, section 5.1.2.
    Lesson: notebooks/22a_ledger.ipynb
    """
    if min_bytes < 0:
        raise ValueError(f"min_bytes must not be negative, got {min_bytes}")
    if folder is not None and not Path(folder).is_dir():
        raise ValueError(f"{folder} is no folder; make it first")
    place = tempfile.mkdtemp(prefix="minillm-", dir=folder)
    stay = {t.untyped_storage()._cdata for t in keep}
    traffic = Moved()
    n_files = 0

    def pack(tensor: Tensor) -> Tensor | _Parked:
        nonlocal n_files
        small = tensor.numel() * tensor.element_size() < min_bytes
        if small or tensor.is_sparse or tensor.untyped_storage()._cdata in stay:
            return tensor
        n_files += 1
        return _Parked(tensor.detach(), str(Path(place) / f"{n_files}.bin"), traffic)

    def unpack(kept: Tensor | _Parked) -> Tensor:
        return kept.back() if isinstance(kept, _Parked) else kept

    weakref.finalize(traffic, shutil.rmtree, place, ignore_errors=True)  # the files know traffic
    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield traffic


class OffloadedState:
    """Keep the state of an optimizer in files, mapped into memory.

        optimizer.step()                                the state is made
        state = OffloadedState(optimizer, folder)       ... and moves into files
        optimizer.step()                                in place, in the files

    Args:
        optimizer: has made a step, and changes its state in place, as AdamW does.
        folder: for the files, one a tensor; they are made anew.
        min_bytes: smaller tensors stay in memory.

    Attributes:
        n_bytes: moved.

    Raises:
        ValueError: if the optimizer has no state yet, or the folder is not there.

    Cost: each update reads and writes the whole state once: 16 bytes a weight for AdamW in float32.
    Source: Ren et al. 2021 (ZeRO-Offload), arXiv:2101.06840, section 4; to disk: Rajbhandari et
        al. 2021 (ZeRO-Infinity), arXiv:2104.07857.
    Lesson: notebooks/22a_ledger.ipynb
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, folder: str | Path, *, min_bytes: int = 4096
    ) -> None:
        if not optimizer.state:
            raise ValueError("the optimizer has no state yet; let it make one step first")
        if not Path(folder).is_dir():
            raise ValueError(f"{folder} is no folder; make it first")
        self.optimizer, self.folder, self.n_bytes = optimizer, Path(folder), 0
        self._mapped: list[tuple[dict[str, Tensor], str]] = []
        for number, state in enumerate(optimizer.state.values()):
            for name, value in list(state.items()):
                if isinstance(value, Tensor) and value.numel() * value.element_size() >= min_bytes:
                    path = self.folder / f"{number}.{name}.bin"
                    path.unlink(missing_ok=True)
                    state[name] = map_file(path, value.shape, value.dtype).copy_(value)
                    self.n_bytes += value.numel() * value.element_size()
                    self._mapped.append((state, name))

    def back(self) -> None:
        """Take the state into memory again; the files stay, and are read no more."""
        for state, name in self._mapped:
            state[name] = state[name].clone()
        self._mapped = []


def map_file(path: str | Path, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Give a tensor whose numbers are those of a file: what is written to it is in the file.

    Args:
        path: of the file; made, filled with zeros, if it is not there.
        shape, dtype: of the tensor.

    Returns:
        The tensor. It takes memory only for pages that are in use.

    Raises:
        ValueError: if there is a file of another size.
    """
    n = shape.numel()
    wanted = n * dtype.itemsize
    path = Path(path)
    if path.exists() and path.stat().st_size != wanted:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, and {wanted} were expected")
    return torch.from_file(str(path), shared=True, size=n, dtype=dtype).view(shape)


def offload_seconds(
    n_parameters: float, bytes_per_second: float, *, what: str = "optimizer"
) -> float:
    """Estimate the time that a link adds to each step, if nothing else happens meanwhile.

        optimizer   the update runs on the GPU: 12 bytes a weight come, and 12 go
        update      the update runs on the CPU: 2 bytes of gradient go, 2 bytes of weight come

    Twelve bytes are the float32 weight, m and v of mixed precision.

    Args:
        n_parameters: of the model, or of the share of a rank.
        bytes_per_second: of the link in one direction, as PCIe 4.0 x16 has 32e9 at most. Both
            directions are counted one after the other.
        what: "optimizer" or "update".

    Returns:
        Seconds.

    Raises:
        ValueError: if a number is not positive, or what is unknown.

    Source: the second way is Ren et al. 2021 (ZeRO-Offload), arXiv:2101.06840, section 3: 4 M bytes
        a step are the least for a model of M weights.
    Lesson: notebooks/22a_ledger.ipynb
    """
    each = {"optimizer": 24, "update": 4}
    if what not in each:
        raise ValueError(f"what must be one of {', '.join(each)}; got {what!r}")
    if not (n_parameters > 0 and bytes_per_second > 0):
        raise ValueError(
            f"both must be positive, got n_parameters={n_parameters}, "
            f"bytes_per_second={bytes_per_second}"
        )
    return each[what] * n_parameters / bytes_per_second

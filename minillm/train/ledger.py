"""The ledger of a run: FLOPs and memory of its first step, predicted from the config and counted.

- FLOPs are counted by a dispatch mode: it sees every operation that torch runs, and knows the cost
  of products and attention from their shapes. What it leaves out, the prediction leaves out too.
- Memory is counted in storages of live tensors: weights, gradients, the optimizer's state, and what
  autograd keeps of the first forward pass (saved-tensor hooks). The allocator is not seen.
- A prediction that is off by more than a tenth is a warning with both numbers: then the run does
  something that the config does not say.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from minillm.model import Decoder, DecoderConfig
from minillm.model.config import flops_per_token
from minillm.train.memory import MemoryLedger, memory_ledger
from minillm.train.optimizer_memory import model_state_numbers

TOLERANCE = 0.10
_KINDS = {"AdamW": "adamw", "Adam": "adam", "Lion": "lion", "Muon": "muon", "RMSprop": "rmsprop",
          "Adagrad": "adagrad"}  # fmt: skip


class LedgerWarning(UserWarning):
    """A prediction of the ledger is off by more than a tenth."""


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    Attributes:
        what: "FLOPs" or "bytes".
        predicted: from the config alone.
        measured: of the step itself.
    """

    what: str
    predicted: int
    measured: int

    @property
    def gap(self) -> float:
        """How far the prediction is off, as a share of what was measured."""
        return abs(self.predicted - self.measured) / max(1, self.measured)

    def __str__(self) -> str:
        return f"{self.predicted:.4g} {self.what} predicted, {self.measured:.4g} counted"


def step_flops(config: DecoderConfig, n_tokens: int, context: int) -> int:
    """Predict the operations that the machine does in one step of the loop.

        n_tokens (flops_per_token + 2 n_layers N H T)

    The second term is what a fused attention computes twice: the scores, which it does not store,
    once more in the backward pass. Utilisation (MFU) leaves it out.

    Args:
        config: the model.
        n_tokens: tokens of the step, over all of its forward passes.
        context: T, the length of the sequences.

    Returns:
        FLOPs, forward and backward. The update of the weights is not counted.

    Source: Dao et al. 2022 (FlashAttention), arXiv:2205.14135, section 3.1 (recomputation).
    Lesson: notebooks/22a_ledger.ipynb
    """
    a_token = flops_per_token(config, context=context)
    if config.attention.implementation == "fast":
        a_token += 2 * config.n_layers * config.attention.n_heads * config.head_width * context
    return n_tokens * a_token


def step_memory(
    model: Decoder, batch_size: int, context: int, *, precision: str, optimizer: object = None
) -> MemoryLedger:
    """Predict the bytes that a step of the loop holds, for this model and optimizer.

    Args:
        model: gives its config, its format, and the shapes that Muon and Adafactor tell apart.
        batch_size: B, sequences in one forward pass.
        context: T.
        precision: "float32" or "bfloat16", as in TrainConfig.
        optimizer: one that optimizer_kind knows; for any other its part is 0.

    Returns:
        The ledger.

    Lesson: notebooks/22a_ledger.ipynb
    """
    size = next(model.parameters()).element_size()
    found = memory_ledger(
        model.config,
        batch_size,
        context,
        bytes_per_weight=size,
        bytes_per_activation=size,
        autocast=precision == "bfloat16",
    )
    kind = optimizer_kind(optimizer)
    state = 0 if kind is None else size * model_state_numbers(kind, model)
    return replace(found, optimizer=state)


def optimizer_kind(optimizer: object) -> str | None:
    """Name an optimizer as optimizer_memory.STATES does; None for one that is not known there."""
    name = type(optimizer).__name__
    if name in _KINDS:
        return _KINDS[name]
    if name not in ("SGD", "Adafactor"):
        return None
    group = optimizer.param_groups[0]  # type: ignore[attr-defined]
    if name == "SGD":
        return "momentum" if group["momentum"] else "sgd"
    kinds = {(True, False): "adafactor", (True, True): "adafactor_momentum"}
    kinds |= {(False, False): "adafactor_unfactored", (False, True): "palm"}
    return kinds[bool(group["factored"]), bool(group["beta1"])]


class CountedFlops(TorchDispatchMode):
    """Watch every operation, and add up what its shapes say that it costs.

    The formulas are torch's own, for products, convolutions and the attention kernels of GPUs, and
    three more. Torch's FlopCounterMode is not used: it takes some operations apart, so that the
    last bits of a step change, and it passes by products in place and the attention of CPUs.

    Attributes:
        total: FLOPs so far; a multiplication and an addition are two.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation, and count it if its cost is known."""
        made = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        if packet in _MORE:
            self.total += _MORE[packet](*args)
        elif packet in flop_registry:
            self.total += flop_registry[packet](*args, **(kwargs or {}), out_val=made)
        return made


class StepLedger:
    """Count one step of the loop, and hold it against the prediction.

        with ledger.watch():
            ...                                  forward and backward passes of the step
        optimizer.step()
        entries = ledger.close(optimizer, n_tokens, (B, T))

    Args:
        model: a Decoder, bare: of a wrapped one, neither shape nor memory can be predicted.
        precision: "float32" or "bfloat16".

    Raises:
        ValueError: if the model is no bare Decoder.

    Cost: the step takes about twice as long, and the first use in a process loads torch's
        compiler, two to four seconds.
    Lesson: notebooks/22a_ledger.ipynb
    """

    def __init__(self, model: nn.Module, precision: str) -> None:
        if type(model) is not Decoder:
            raise ValueError(
                f"the ledger predicts a bare Decoder, got {type(model).__name__}: "
                "set train.ledger=False"
            )
        self.model, self.precision = model, precision
        self.flops = self.gradients = 0
        self._kept: dict[int, int] = {}
        self._weights: set[int] = set()
        self._forward = True

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Count what runs within; of several forward passes the memory of the first."""
        self._kept, self._forward = {}, True
        self._weights = {p.untyped_storage().data_ptr() for p in self.model.parameters()}
        counter = CountedFlops()
        with torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack), counter:
            yield
        self.flops = counter.total
        self.gradients = storage_bytes(p.grad for p in self.model.parameters())

    def close(
        self, optimizer: torch.optim.Optimizer, n_tokens: int, shape: tuple[int, ...]
    ) -> list[Entry]:
        """Weigh what stands after the update, and warn of a prediction that is far off.

        Args:
            optimizer: after its step.
            n_tokens: tokens of the step.
            shape: (B, T) of a forward pass.

        Returns:
            An entry for FLOPs and one for bytes.
        """
        states = [t for state in optimizer.state.values() for t in state.values()]
        known = optimizer_kind(optimizer) is not None
        state = [t for t in states if isinstance(t, Tensor) and t.ndim > 0] if known else []
        measured = storage_bytes(self.model.parameters()) + self.gradients
        measured += sum(self._kept.values()) + storage_bytes(state)
        B, T = shape
        model, how = self.model, {"precision": self.precision, "optimizer": optimizer}
        flops = step_flops(model.config, n_tokens, T)
        predicted = step_memory(model, B, T, **how).total  # type: ignore[arg-type]
        entries = [Entry("FLOPs", flops, self.flops), Entry("bytes", predicted, measured)]
        for entry in entries:
            if entry.gap > TOLERANCE:
                warnings.warn(_off(entry), LedgerWarning, stacklevel=2)
        return entries

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if self._forward and storage.data_ptr() not in self._weights:
            self._kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def _unpack(self, tensor: Tensor) -> Tensor:
        self._forward = False  # the first backward pass has begun
        return tensor


def storage_bytes(tensors: Iterable[Tensor | None]) -> int:
    """Add up the bytes behind tensors, each storage once."""
    found = [t.untyped_storage() for t in tensors if t is not None]
    return sum({storage.data_ptr(): storage.nbytes() for storage in found}.values())


def _off(entry: Entry) -> str:
    return (
        f"the ledger is off by {entry.gap:.0%}: {entry}. Something runs that the config does not "
        "say: another objective, hooks, experts that all compute; or the model is so small that "
        "what is not counted weighs"
    )


def _added_product_flops(here: Tensor, a: Tensor, b: Tensor, *_: object) -> int:
    return 2 * a.shape[0] * a.shape[1] * b.shape[1]


def _attention_flops(q: Tensor, k: Tensor, *_: object) -> int:
    return 4 * q.numel() * k.shape[2]  # scores and averages: 2 B N T H S each


def _attention_backward_flops(above: Tensor, q: Tensor, k: Tensor, *_: object) -> int:
    return 10 * q.numel() * k.shape[2]  # the scores anew, and two gradients of two products


_MORE: dict[Any, Callable[..., int]] = {
    torch.ops.aten.addmm_: _added_product_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
}

"""ZeRO by hand: data parallelism in which no number of the model state is kept twice in vain.

In data parallelism every rank holds the same parameters, gradients and optimizer state. A rank can
do without:

    stage 1   shards the optimizer state: a rank moves its part of the weights, and hands it round
    stage 2   and the gradients: they are summed to where they are needed, block by block
    stage 3   and the parameters: a block's are gathered before use, and released after

The data are read as before, so the losses are those of data parallelism. FSDP is stage 3.

Here nothing overlaps, so that one can follow what happens; torch's fully_shard gathers the next
block while this one computes (lesson 24).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from minillm.distributed.collectives import all_reduce
from minillm.distributed.data_parallel import same_weights
from minillm.distributed.flat import FlatUnit, state_tensors, storage_bytes
from minillm.distributed.group import Group
from minillm.distributed.sharded_ledger import SHARDINGS, Formats, rank_state
from minillm.train import AdamW, OptimizerConfig, parameter_groups


class Zero:
    """Shard the training state of a model over the ranks; the optimizer is AdamW.

        zero = Zero(group, model, OptimizerConfig(lr=1e-3), stage=3)
        for x, y in micro_batches:
            (share * loss(model, x, y)).backward()       # share: data_parallel.target_share
        zero.step()

    The units are the blocks; everything else (embedding, last norm, output matrix) is one more,
    the root, which stays whole from the first layer of a pass to the end of its backward pass.
    Gradients are summed over ranks, not averaged. In stages 2 and 3 each micro-batch is summed.

    Args:
        group: the ranks.
        model: gets the weights of rank 0; its parameters become views, and it gets hooks.
        config: lr, betas, eps and weight_decay of AdamW; parameter_groups says what decays.
        stage: 1, 2 or 3.
        units: modules that are gathered one at a time; None means the items of the model's first
            nn.ModuleList.

    Attributes:
        units: FlatUnits, in the order of the model, the root last.
        optimizer: over this rank's pieces; its groups have an "lr" as usual.
        peak_bytes: most that this rank has held of parameters, gradients and optimizer state,
            looked at whenever something was about to be released.
        bytes_at_step: what it held when the weights were last moved.

    Raises:
        ValueError: if the stage is not 1, 2 or 3, the kind is not "adamw", or a parameter is
            frozen or belongs to two units.

    Source: Rajbhandari et al. 2019, arXiv:1910.02054, sections 5 and 7; flat units: Zhao et al.
        2023 (FSDP), arXiv:2304.11277, section 3.2.
    Lesson: notebooks/22b_zero.ipynb
    """

    def __init__(
        self,
        group: Group,
        model: nn.Module,
        config: OptimizerConfig,
        *,
        stage: int,
        units: Sequence[nn.Module] | None = None,
    ) -> None:
        if stage not in (1, 2, 3):
            raise ValueError(f"stage must be 1, 2 or 3, got {stage}")
        if config.kind != "adamw":
            raise ValueError(f"Zero moves weights by AdamW, not by {config.kind!r}")
        self.group, self.model, self.stage = group, model, stage
        same_weights(group, model)
        modules = _blocks(model) if units is None else list(units)
        decay = parameter_groups(model, config.weight_decay)  # before the parameters change
        parts = _split(model, modules)
        self.units = [FlatUnit(group, part, keep=stage < 3) for part in parts]
        self._n_blocks = len(modules)
        self._pieces: list[tuple[FlatUnit, slice, Tensor]] = []
        self.optimizer = AdamW(
            self._groups(decay), lr=config.lr, betas=config.betas, eps=config.eps
        )
        self.peak_bytes = self.bytes_at_step = 0
        self._in_backward = False
        self._reduced: set[int] = set()
        self._hooks = [hook for k, m in enumerate(modules) for hook in self._hook(k, m)]
        self._hooks += self._hook_root(model, modules)

    def step(self, clip: float = math.inf) -> float:
        """Move the weights by the gradients of the passes since the last step.

        Args:
            clip: the longest gradient, over all ranks, that is let through.

        Returns:
            The norm of the whole gradient before clipping; the same on all ranks.

        Raises:
            ValueError: if clip is not positive.
            RuntimeError: if there was no backward pass.
            PeerError: if a rank does not answer.
        """
        if not clip > 0:
            raise ValueError(f"clip must be positive, got {clip}; math.inf does not clip")
        self._look()
        if self.stage == 1:
            if not any(p.grad is not None for p in self.model.parameters()):
                raise RuntimeError("no gradient to step with: run a backward pass first")
            for unit in self.units:
                unit.reduce()
        norm = self._norm()
        for unit, where, piece in self._pieces:
            assert unit.gradient is not None
            if norm > clip:
                unit.gradient[where] *= clip / norm
            piece.grad = unit.gradient[where]
        self.optimizer.step()
        self.bytes_at_step = self._look()
        for _, _, piece in self._pieces:
            piece.grad = None
        for unit in self.units:
            unit.gradient = None
            unit.refresh()
        return norm

    @contextmanager
    def whole(self) -> Iterator[nn.Module]:
        """Gather all parameters inside, to look at them or to save them; all ranks must enter."""
        for unit in self.units:
            unit.gather()
        try:
            yield self.model
        finally:
            for unit in self.units:
                unit.release()

    def held_bytes(self) -> int:
        """Count what this rank holds now: parameters, gradients, optimizer state.

        Storages are counted, each once. Activations, and copies that live within one call, are not.
        """
        held = [x for unit in self.units for x in unit.tensors()]
        return storage_bytes([*held, *state_tensors(self.optimizer)])

    def close(self) -> None:
        """Take the hooks off the model."""
        for hook in self._hooks:
            hook.remove()

    def _look(self) -> int:
        held = self.held_bytes()
        self.peak_bytes = max(self.peak_bytes, held)
        return held

    def _groups(self, decay: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Make the optimizer's groups: this rank's pieces, by whether they decay."""
        number = {id(p): k for k, g in enumerate(decay) for p in g["params"]}
        groups = [{**group, "params": []} for group in decay]
        for unit in self.units:
            for param, where in unit.pieces():
                piece = unit.shard[where]  # a view: moving it moves the shard
                self._pieces.append((unit, where, piece))
                groups[number[id(param)]]["params"].append(piece)
        return groups

    def _norm(self) -> float:
        grads = [unit.gradient for unit in self.units if unit.gradient is not None]
        if len(grads) < len(self.units):
            raise RuntimeError("no gradient to step with: run a backward pass first")
        squares = sum((grad.double().square().sum() for grad in grads), torch.zeros(()).double())
        return math.sqrt(all_reduce(self.group, squares).item())

    def _hook(self, k: int, module: nn.Module) -> list[Any]:
        """Gather the k-th unit before its forward and its backward pass, release it after."""
        unit = self.units[k]

        def after(module: nn.Module, args: Any, out: Tensor) -> None:
            if not self._in_backward:  # else a recomputation: its backward pass comes next
                unit.release()
            if self.stage > 1 and isinstance(out, Tensor) and out.requires_grad:
                out.register_hook(lambda grad: self._backward_reaches(k))

        before = module.register_forward_pre_hook(lambda module, args: unit.gather())
        return [before, module.register_forward_hook(after)]

    def _hook_root(self, model: nn.Module, modules: list[nn.Module]) -> list[Any]:
        if len(self.units) == self._n_blocks:
            return []
        root = self.units[-1]
        inner = {id(m) for block in modules for m in block.modules()}
        outer = [m for m in model.modules() if id(m) not in inner]
        owners = [m for m in outer if any(True for _ in m.parameters(recurse=False))]
        return [m.register_forward_pre_hook(lambda m, args: root.gather()) for m in owners]

    def _backward_reaches(self, k: int) -> None:
        """The gradient of the k-th block's output is there: all later blocks are done."""
        if not self._in_backward:
            self._in_backward = True
            torch.autograd.Variable._execution_engine.queue_callback(self._backward_ends)
        for later in range(self._n_blocks - 1, k, -1):
            self._reduce(later)
        self.units[k].gather()

    def _backward_ends(self) -> None:
        for k in reversed(range(len(self.units))):
            self._reduce(k)
        self._in_backward = False
        self._reduced.clear()

    def _reduce(self, k: int) -> None:
        if k not in self._reduced:
            self._reduced.add(k)
            self._look()
            self.units[k].reduce()
            self.units[k].release()


def state_bytes(
    stage: int, n_params: float, size: int, *, weight: int = 4, gradient: int = 4, state: int = 8
) -> float:
    """Predict what a rank holds of parameters, gradients and optimizer state.

        stage 0   (w + g + s) P              stage 1   (w + g + s / N) P
        stage 2   (w + (g + s) / N) P        stage 3   ((w + g + s) / N) P

    The blocks that are whole for a moment come on top; they count little in a deep model.

    Args:
        stage: 0 for plain data parallelism, or 1, 2, 3.
        n_params: P.
        size: N.
        weight, gradient: w and g, bytes a parameter; 4 for float32, 2 for 16 bits.
        state: s, bytes a parameter: 8 for AdamW in float32; 12 in mixed precision, where a float32
            copy of the weights is part of it (the paper's K = 12).

    Returns:
        Bytes.

    Raises:
        ValueError: if the stage is unknown or a count is smaller than 1.

    Source: Rajbhandari et al. 2019 (ZeRO), arXiv:1910.02054, section 5 and figure 1.
    Lesson: notebooks/22b_zero.ipynb
    """
    if stage not in (0, 1, 2, 3):
        raise ValueError(f"stage must be 0, 1, 2 or 3, got {stage}")
    formats = Formats(weight, gradient, state)
    return sum(rank_state(math.ceil(n_params), size, SHARDINGS[stage], formats))


def _blocks(model: nn.Module) -> list[nn.Module]:
    for module in model.modules():
        if isinstance(module, nn.ModuleList):
            return list(module)
    raise ValueError("the model has no nn.ModuleList of blocks; name the units with units=")


def _split(model: nn.Module, modules: list[nn.Module]) -> list[list[nn.Parameter]]:
    """The parameters of each unit, and of the root if anything is left over."""
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    if frozen:
        raise ValueError(f"Zero shards what trains, but {frozen[0]} is frozen")
    parts = [list(module.parameters()) for module in modules]
    seen = [id(p) for part in parts for p in part]
    if len(set(seen)) != len(seen):
        raise ValueError("a parameter belongs to two units; make the smaller one no unit")
    root = [p for p in model.parameters() if id(p) not in set(seen)]
    return [*parts, root] if root else parts

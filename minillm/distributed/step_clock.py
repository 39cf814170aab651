"""Where the seconds of a step go, and how much memory a rank holds.

The time of a rank is cut into phases without a gap: whoever begins something ends what was before.

    data | forward | backward | update | save | evaluate | rest      their sum is the wall time
    talk      of them: in which weights are gathered and gradients summed, seen on a CPU only

On a CPU a collective holds the program up, so its seconds can be taken. A GPU talks on a stream of
its own, beside the computation; there a profiler tells, and talk is left out. The phases are right
on a GPU as well, because the loop reads the loss after each pass, and the norm before each update.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FSDPModule

T = TypeVar("T")
PHASES = ("data", "forward", "backward", "update", "save", "evaluate", "rest")


class StepClock:
    """Takes the time of phases; one at a time.

    Args:
        now: gives seconds.

    Lesson: notebooks/24_fsdp.ipynb
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.now = now
        self.seconds: dict[str, float] = {}
        self._phase, self._since = "rest", now()

    def begin(self, phase: str) -> None:
        """End the phase that is going on, and begin another."""
        if phase not in PHASES:
            raise ValueError(f"phase must be one of {', '.join(PHASES)}; got {phase!r}")
        now = self.now()
        self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = phase, now

    def during(self, phase: str, action: Callable[..., T], after: str = "rest") -> Callable[..., T]:
        """Make a function of which every call is a phase; then `after` begins."""

        def timed(*args: Any, **kwargs: Any) -> T:
            self.begin(phase)
            try:
                return action(*args, **kwargs)
            finally:
                self.begin(after)

        return timed

    @contextmanager
    def talking(self) -> Iterator[None]:
        """Count the seconds within as talk, besides their phase."""
        began = self.now()
        try:
            yield
        finally:
            self.seconds["talk"] = self.seconds.get("talk", 0.0) + self.now() - began

    def take(self) -> dict[str, float]:
        """Give the seconds of each phase since the last call, and begin to count anew."""
        self.begin(self._phase)
        found, self.seconds = self.seconds, {}
        return {name: round(found[name], 6) for name in (*PHASES, "talk") if name in found}

    def follow(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Watch the updates of an optimizer and, on a CPU, the collectives of a sharded model.

        Args:
            model: from shard_decoder.
            optimizer: of its weights.
        """
        optimizer.register_step_pre_hook(lambda *_: self.begin("update"))
        optimizer.register_step_post_hook(lambda *_: self.begin("rest"))
        if next(model.parameters()).device.type != "cpu":
            return
        for unit in model.modules():
            if isinstance(unit, FSDPModule):
                gather: Any = _Timed(self, dist.all_gather_single)
                scatter: Any = _Timed(self, _reduce_scatter)
                unit.set_custom_all_gather(gather)
                unit.set_custom_reduce_scatter(scatter)


class _Timed:
    """A collective as FSDP calls it, with its seconds taken."""

    def __init__(self, clock: StepClock, collective: Callable[..., Any]) -> None:
        self.clock, self.collective = clock, collective

    def allocate(self, size: Any, *, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """Make the tensor that a result is written to."""
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(self, **kwargs: Any) -> Any:
        with self.clock.talking():
            return self.collective(**kwargs)


def _reduce_scatter(
    output_tensor: torch.Tensor, input_tensor: torch.Tensor, **kwargs: Any
) -> dist.Work | None:
    """Take the words that FSDP uses."""
    return dist.reduce_scatter_single(output_tensor, input_tensor, **kwargs)

"""Loss and data that do not depend on how many ranks there are.

- SharedBatches deals each batch of an ordinary sampler out to the ranks: the order of the data is
  the sampler's, whatever the number of ranks.
- loss_across_ranks is an objective for the loop: its value is the mean over all ranks, the same on
  each to the last bit, so that all of them decide alike about NaN, spikes and checkpoints; its
  gradient is such that FSDP's average over the ranks is the gradient of that mean, even where
  ranks have different numbers of targets.

Shape letters: B sequences of all ranks in one forward pass, T positions.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from minillm.distributed.ranks import agree, gather_numbers
from minillm.distributed.step_clock import StepClock


class StopAgreed(Exception):
    """All ranks have agreed to stop between two steps."""


class SharedBatches:
    """The batches of one rank: its share of the rows of each batch.

    Args:
        batches: gives (x, y), both (B, T), the same on every rank, without end.
        part: which share, 0 to parts - 1.
        parts: ranks that read different rows; tensor ranks of one group read the same.
        stop: asked before each step, on every rank; if any rank says yes, all stop.
        between_steps: tells from the number of batches drawn so far whether a step begins, so that
            a stop never falls between two batches of one step. The default says always.
        clock: takes the time of the drawing.

    Raises:
        ValueError: if B is no multiple of parts (when the batch comes, on all ranks).

    Cost: every rank cuts all rows of the batch and keeps B / parts of them.
    Lesson: notebooks/24_fsdp.ipynb
    """

    def __init__(
        self,
        batches: Iterable[tuple[Tensor, Tensor]],
        part: int,
        parts: int,
        *,
        stop: Callable[[], bool] = lambda: False,
        between_steps: Callable[[int], bool] = lambda n_drawn: True,
        clock: StepClock | None = None,
    ) -> None:
        if not 0 <= part < parts:
            raise ValueError(f"part must lie in 0 to {parts - 1}, got {part}")
        self.batches, self.part, self.parts = batches, part, parts
        self.stop, self.between_steps, self.n_drawn = stop, between_steps, 0
        self.draw = (clock or StepClock()).during("data", self._draw)
        self.source: Iterator[tuple[Tensor, Tensor]] = iter(batches)

    def __iter__(self) -> "SharedBatches":
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        if self.between_steps(self.n_drawn) and agree(self.stop()):
            raise StopAgreed
        x, y = self.draw()
        self.n_drawn += 1
        n, rest = divmod(len(x), self.parts)
        if rest or not n:
            raise ValueError(
                f"a batch of {len(x)} sequences cannot be dealt out to {self.parts} ranks; make "
                f"train.batch_size a multiple of {self.parts}"
            )
        rows = slice(self.part * n, (self.part + 1) * n)
        return x[rows], y[rows]

    def _draw(self) -> tuple[Tensor, Tensor]:
        return next(self.source)

    def skip(self, n: int) -> None:
        """Leave out n batches, on all ranks."""
        self.n_drawn += n
        if hasattr(self.source, "skip"):
            self.source.skip(n)
            return
        for _ in range(n):
            self.draw()

    def state_dict(self) -> dict[str, Any]:
        """Give the position of the sampler: the same on all ranks, for any number of ranks."""
        return self.batches.state_dict() if hasattr(self.batches, "state_dict") else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a position, whoever has saved it."""
        if hasattr(self.batches, "load_state_dict"):
            self.batches.load_state_dict(state)


class _MeanOfRanks(torch.autograd.Function):
    """Forward: the mean over all targets. Backward: this rank's gradient, weighed."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, mean: float, weight: float) -> Tensor:
        ctx.weight = weight
        return torch.full_like(loss, mean)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None, None]:
        return above[0] * ctx.weight, None, None


def loss_across_ranks(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Average the loss over the targets of all ranks.

        value     L = sum_r n_r L_r / N,    N = sum_r n_r
        gradient  W n_r / N times that of L_r: the average over W ranks is that of L

    Args:
        model: from shard_decoder.
        x: ids of this rank, (B / W, T).
        y: targets of this rank; -100 where a position does not count.

    Returns:
        L, a scalar, the same on every rank; on one rank the loss itself, bit for bit.

    Lesson: notebooks/24_fsdp.ipynb
    """
    loss: Tensor = model.loss(x, y)  # type: ignore[operator]
    n_targets = int((y != -100).sum())
    found = gather_numbers(loss.item(), n_targets)
    if len(found) == 1:
        return loss
    total = sum(n for _, n in found)
    mean = sum(n * each for each, n in found) / max(1.0, total)
    out: Tensor = _MeanOfRanks.apply(loss, mean, len(found) * n_targets / max(1.0, total))
    return out

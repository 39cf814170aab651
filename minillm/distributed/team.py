"""All ranks as the loop sees them: they count together, stop together, and log with one voice."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from minillm.distributed.fsdp import bytes_held
from minillm.distributed.ranks import AllRanksError, Ranks, gather_numbers
from minillm.distributed.sharded_checkpoint import ShardedCheckpointer, load_sharded
from minillm.distributed.step_clock import StepClock
from minillm.train import TrainState, peak_flops
from minillm.train.report import Log
from minillm.train.team import Team


class RankTeam(Team):
    """Ask all ranks. Every method is called by all of them at the same point of the loop.

    Args:
        ranks: from joined().
        tensor: ranks that read the same rows.
        save: writes the marks of a recovery; None where nothing is saved.
        weights: "bfloat16" if the blocks compute with 16-bit weights, whatever autocast does.

    Lesson: notebooks/24_fsdp.ipynb
    """

    def __init__(
        self,
        ranks: Ranks,
        *,
        tensor: int = 1,
        save: ShardedCheckpointer | None = None,
        weights: str = "float32",
    ) -> None:
        self.ranks, self.tensor, self.save, self.weights = ranks, tensor, save, weights
        self.n_readers = ranks.size // tensor
        self.marks = None if save is None else save.out / "marks"
        self.trouble = ""

    def totals(self, counts: list[int]) -> list[int]:
        """Add up over the ranks; each group of tensor ranks counts once."""
        rows = gather_numbers(*counts)
        return [int(sum(column)) // self.tensor for column in zip(*rows, strict=True)]

    def agree(self, wish: bool) -> bool:
        """Tell whether any rank wishes it; and learn whether one has met with trouble.

        Raises:
            AllRanksError: on every rank, if `trouble` is set on rank 0.
        """
        found = gather_numbers(float(wish), float(bool(self.trouble)))
        if any(number for _, number in found):
            words: list[str] = [self.trouble]
            torch.distributed.broadcast_object_list(words, src=0)
            raise AllRanksError(words[0])
        return any(number for number, _ in found)

    def peak(self, device: torch.device, precision: str) -> float:
        """Give the FLOP/s of all ranks together."""
        kind = "bfloat16" if self.weights == "bfloat16" else precision
        return self.ranks.size * peak_flops(device, kind)

    def save_mark(
        self, place: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: TrainState
    ) -> None:
        """Write a mark, all ranks together."""
        assert self.save is not None
        self.save.write(place, model, optimizer, state)

    def load_mark(
        self, place: Path, model: nn.Module, optimizer: torch.optim.Optimizer
    ) -> dict[str, Any]:
        """Read a mark, all ranks together."""
        return asdict(load_sharded(place, model, optimizer))


class RankLog:
    """The log= of the loop on every rank: rank 0 writes, and adds what all of them tell.

    To a record are added `seconds`, the phases of rank 0 since the record before (see step_clock),
    and to that of every log_every-th step `memory`, bytes by rank: on a GPU the most that its
    allocator held, on a CPU weights, gradients and optimizer between two steps.

    Args:
        team: told when the log cannot be written; it ends the run on all ranks.
        log: of rank 0; None keeps no records.
        clock: of this rank.
        held: gives the bytes of this rank.
        log_every, progress: as in the loop.
    """

    def __init__(
        self,
        team: RankTeam,
        log: Log | None,
        clock: StepClock,
        held: Callable[[], int],
        *,
        log_every: int,
        progress: bool,
    ) -> None:
        self.team, self.log, self.clock, self.held = team, log, clock, held
        self.log_every, self.progress = log_every, progress

    def __call__(self, record: dict[str, Any]) -> None:
        """Take a record of the loop; called on every rank."""
        if "loss" in record:
            record = {**record, "seconds": self.clock.take()}
            if self.log_every and record["step"] % self.log_every == 0:
                held = gather_numbers(self.held())
                record["memory"] = {str(rank): int(n) for rank, (n,) in enumerate(held)}
                if self.progress and self.team.ranks.first:
                    tqdm.write(describe(record))
        if self.log is not None and self.team.ranks.first:
            try:
                self.log(record)
            except OSError as error:
                self.team.trouble = f"the log cannot be written: {error}"


def describe(record: dict[str, Any]) -> str:
    """Write seconds and memory of a record as one line."""
    parts = [f"{name} {1000 * value:,.1f}" for name, value in record["seconds"].items()]
    most = max(record["memory"].values())
    told = f"step {record['step']}, ms on rank 0: {', '.join(parts)}"
    return f"{told} | at most {most / 1e6:,.1f} MB a rank"


def memory_of(model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> int:
    """Count the bytes of this rank: the peak of a GPU's allocator, or what a CPU holds."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return bytes_held(model, optimizer)

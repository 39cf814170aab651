"""What the loop asks of a run on several ranks; alone, every answer is one's own."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minillm.train.checkpoint import load_checkpoint, save_checkpoint
from minillm.train.flops import peak_flops
from minillm.train.settings import TrainState


class Team:
    """One process that asks nobody. minillm.distributed has the one that asks all ranks.

    Attributes:
        n_readers: ranks that read different rows of a batch.
        marks: folder of a recovery's checkpoints; None leaves it to the loop.

    Lesson: notebooks/24_fsdp.ipynb
    """

    n_readers = 1
    marks: Path | None = None

    def totals(self, counts: list[int]) -> list[int]:
        """Add up numbers over the ranks that read different rows, place by place."""
        return counts

    def agree(self, wish: bool) -> bool:
        """Tell whether any rank wishes it."""
        return wish

    def peak(self, device: torch.device, precision: str) -> float:
        """Give the FLOP/s that all ranks can reach together."""
        return peak_flops(device, precision)

    def save_mark(
        self, place: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: TrainState
    ) -> None:
        """Keep a checkpoint that a recovery can go back to."""
        save_checkpoint(place, model, optimizer, asdict(state))

    def load_mark(
        self, place: Path, model: nn.Module, optimizer: torch.optim.Optimizer
    ) -> dict[str, Any]:
        """Put model, optimizer and random generators back, and give the fields of the state."""
        return load_checkpoint(place, model, optimizer, restore_rng=True).state

"""Go back and skip: a run that heals itself when its loss spikes.

    SpikeMonitor (spikes.py)    says that there is a spike, and when it began
    decide (rewind.py)          says how far to go back, and which batches to leave out
    Recovery (here)             keeps checkpoints to go back to, and carries the order out

All of it is remembered in TrainState.recovery, so a run that is killed and resumed does exactly
what the undisturbed one would have done.
"""

import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cattrs
import torch
from torch import Tensor, nn

from minillm.train.rewind import GiveUp, Mark, Rewind, RewindState, decide
from minillm.train.settings import RecoveryConfig, TrainState
from minillm.train.spikes import SpikeMonitor
from minillm.train.stability import NotFiniteError
from minillm.train.team import Team


class SpikeError(NotFiniteError):
    """The loss spikes and going back does not help; the message says what is left to try."""


class Recovery:
    """Watch a run, keep marks, and put the run back when its loss spikes.

    Args:
        config: when, how far, how often.
        folder: of the marks, checkpoints `step-00000050` and so on. Those that no rewind can need
            any more are removed.
        state: of the run; its `recovery` is read, and kept up to date.
        team: writes and reads the marks; None means this process alone.

    Cost: a checkpoint every mark_every steps; some back * widen^(tries - 1) / mark_every of them
        are kept, each with the optimizer's state.
    Source: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5.1.
    Lesson: notebooks/21_stability.ipynb
    """

    def __init__(
        self,
        config: RecoveryConfig,
        folder: str | Path,
        state: TrainState,
        team: Team | None = None,
    ) -> None:
        self.config, self.folder, self.team = config, Path(folder), team or Team()
        self.monitor = SpikeMonitor(config.spikes)
        self.past = RewindState()
        if state.recovery:
            self.past = cattrs.structure(state.recovery["rewind"], RewindState)
            self.monitor.load_state_dict(state.recovery["monitor"])
        self._marks: dict[int, Mark] = {}
        for step, position in state.recovery.get("marks", []):
            if self._place(step).exists():
                self._marks[step] = Mark(step, position)

    @property
    def lr_factor(self) -> float:
        """The learning rate over that of the schedule."""
        return self.past.lr_factor

    def mark(self, model: nn.Module, optimizer: torch.optim.Optimizer, state: TrainState) -> None:
        """Keep a checkpoint of this step, if it is due."""
        if state.step % self.config.mark_every:
            return
        self._marks[state.step] = Mark(state.step, state.n_batches)
        self._forget_old(state.step)
        self._remember(state)
        self.team.save_mark(self._place(state.step), model, optimizer, state)

    def sees_spike(self, state: TrainState, grad_norm: float) -> bool:
        """Judge the step that is going on, before its update; state.loss is its loss."""
        loss = math.nan if state.loss is None else state.loss
        verdict = self.monitor.add(state.step + 1, loss, grad_norm)
        self.since = verdict.since
        self._remember(state)
        return verdict.kind == "spike"

    def go_back(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        source: Iterator[tuple[Tensor, Tensor]],
        state: TrainState,
    ) -> Rewind:
        """Load the mark that the policy names, and skip what it says.

        Weights, optimizer, random generators, step and tokens are those of the mark; the data go
        on from where they are or later, never back.

        Args:
            model, optimizer, state: of the run; all are changed.
            source: gives the batches; those to leave out are taken from it, by its skip(n) if it
                has one.

        Returns:
            The order that was carried out.

        Raises:
            SpikeError: if the policy gives up.
        """
        self.past, order = decide(
            self.past, self.since, position=state.n_batches, marks=self._marks.values(),
            config=self.config.rewind,
        )  # fmt: skip
        if isinstance(order, GiveUp):
            raise SpikeError(order.reason)
        found = self.team.load_mark(self._place(order.mark.step), model, optimizer)
        state.step, state.n_tokens = found["step"], found["n_tokens"]
        state.loss = found["loss"]
        self.monitor.load_state_dict(found["recovery"]["monitor"])
        _skip(source, order.position - state.n_batches)
        state.n_batches = order.position
        for step in [step for step in self._marks if step > order.mark.step]:
            self._drop(step)
        self._remember(state)
        return order

    def _remember(self, state: TrainState) -> None:
        state.recovery = {
            "rewind": asdict(self.past),
            "monitor": self.monitor.state_dict(),
            "marks": [[mark.step, mark.position] for mark in self._marks.values()],
        }

    def _forget_old(self, step: int) -> None:
        """Drop the marks that are older than any rewind asks for, but for the youngest of them."""
        rewind = self.config.rewind
        far = round(rewind.back * rewind.widen ** (rewind.tries - 1)) + rewind.near
        old = sorted(s for s in self._marks if s <= step - far)
        for s in old[:-1]:
            self._drop(s)

    def _drop(self, step: int) -> None:
        del self._marks[step]
        shutil.rmtree(self._place(step), ignore_errors=True)

    def _place(self, step: int) -> Path:
        return self.folder / f"step-{step:08}"


def _skip(source: Any, n: int) -> None:
    """Go on by n batches, without reading them where the source can do that."""
    if hasattr(source, "skip"):
        source.skip(n)
        return
    for _ in range(n):
        next(source)

"""What a run of the loop is told (TrainConfig), and what it remembers (TrainState)."""

from dataclasses import dataclass, field
from typing import Any, Literal

from minillm.train.batch_ramp import LinearRamp, accumulation
from minillm.train.precision import PRECISIONS
from minillm.train.rewind import RewindConfig
from minillm.train.schedule import constant_schedule, cosine_schedule, linear_schedule
from minillm.train.spikes import SpikeConfig
from minillm.train.wsd import inverse_sqrt_schedule, wsd_schedule

Schedule = Literal["cosine", "linear", "constant", "wsd", "inverse_sqrt"]
SCHEDULES = ("cosine", "linear", "constant", "wsd", "inverse_sqrt")


@dataclass(frozen=True)
class RecoveryConfig:
    """Go back and skip data when the loss spikes; see recovery.py.

    Attributes:
        mark_every: updates between two checkpoints to go back to.
        spikes: when a loss is called a spike.
        rewind: how far back, and how much is skipped.

    Lesson: notebooks/21_stability.ipynb
    """

    mark_every: int = 50
    spikes: SpikeConfig = field(default_factory=SpikeConfig)
    rewind: RewindConfig = field(default_factory=RewindConfig)

    def __post_init__(self) -> None:
        if self.mark_every < 1:
            raise ValueError(f"mark_every must be at least 1, got {self.mark_every}")


@dataclass(frozen=True)
class TrainConfig:
    """How long, on how much at a time, and what is done along the way.

    Attributes:
        steps: updates of the weights.
        batch_size: sequences in one forward pass.
        context: length of each sequence, tokens.
        accumulate: forward passes a step; a step reads batch_size * context * accumulate tokens.
        warmup_steps: updates on which the learning rate rises.
        min_lr_ratio: the last learning rate over the largest, where the schedule ends at one.
        clip: longest gradient that is let through; math.inf never clips.
        log_every: print a line every so many steps; 0 never.
        eval_every: call evaluate every so many steps and at the end; 0 only at the end.
        save_every: call save every so many steps and at the end; 0 only at the end.
        seed: of weights and data, for those who make them; the loop itself draws nothing.
        precision: "float32", "bfloat16" or "auto", which measures what is faster here.
        schedule: the learning rate after the warm-up: "cosine", "linear", "constant", "wsd" or
            "inverse_sqrt".
        decay_steps: updates of the fall at the end; read by "wsd" only.
        ramp: tokens of a batch as they grow; replaces accumulate, in whole forward passes.
        recovery: what to do about a spike of the loss; None goes on, as if nothing had happened.
        ledger: count FLOPs and memory of the first step, and log them beside the prediction; see
            ledger.py. Costs a few seconds once.
    """

    steps: int = 1000
    batch_size: int = 32
    context: int = 128
    accumulate: int = 1
    warmup_steps: int = 0
    min_lr_ratio: float = 0.1
    clip: float = 1.0
    log_every: int = 10
    eval_every: int = 0
    save_every: int = 0
    seed: int = 0
    precision: str = "auto"
    schedule: Schedule = "cosine"
    decay_steps: int = 0
    ramp: LinearRamp | None = None
    recovery: RecoveryConfig | None = None
    ledger: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "context", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"train.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("warmup_steps", "log_every", "eval_every", "save_every", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"train.{name} must not be negative, got {getattr(self, name)}")
        if self.warmup_steps > self.steps:
            raise ValueError(
                f"train.warmup_steps={self.warmup_steps} is more than train.steps={self.steps}; "
                "set both"
            )
        if not 0 <= self.min_lr_ratio <= 1:
            raise ValueError(f"train.min_lr_ratio must lie in 0 to 1, got {self.min_lr_ratio}")
        if not self.clip > 0:
            raise ValueError(f"train.clip must be positive, got {self.clip}; inf does not clip")
        if self.precision not in PRECISIONS:
            kinds = ", ".join(PRECISIONS)
            raise ValueError(f"train.precision must be one of {kinds}; got {self.precision!r}")
        if self.schedule not in SCHEDULES:
            kinds = ", ".join(SCHEDULES)
            raise ValueError(f"train.schedule must be one of {kinds}; got {self.schedule!r}")
        if self.decay_steps and self.schedule != "wsd":
            raise ValueError(
                f"train.decay_steps={self.decay_steps} is read by the schedule 'wsd' only, and "
                f"train.schedule is {self.schedule!r}"
            )
        if not 0 <= self.decay_steps <= self.steps - self.warmup_steps:
            raise ValueError(
                f"train.decay_steps={self.decay_steps} must not be negative, nor more than "
                f"steps - warmup_steps = {self.steps - self.warmup_steps}"
            )

    def passes(self, n_tokens: int) -> int:
        """Give the forward passes of the coming step, after n_tokens of training."""
        if self.ramp is None:
            return self.accumulate
        wanted = self.ramp.tokens(n_tokens)
        return accumulation(wanted, micro_batch=self.batch_size, context=self.context)

    def lr_at(self, step: int, max_lr: float) -> float:
        """Give the learning rate of an update, counted from 1.

        Args:
            step: the update; 0 is before the first.
            max_lr: the highest rate.

        Returns:
            The rate; see schedule.py and wsd.py.

        Lesson: notebooks/20a_adamw.ipynb
        """
        rise = {"max_lr": max_lr, "warmup_steps": self.warmup_steps}
        if self.schedule == "constant":
            return constant_schedule(step, **rise)  # type: ignore[arg-type]
        if self.schedule == "inverse_sqrt":
            hold = max(1, self.warmup_steps)
            return inverse_sqrt_schedule(step, **rise, hold_steps=hold)  # type: ignore[arg-type]
        ends = {**rise, "min_lr": max_lr * self.min_lr_ratio, "total_steps": self.steps}
        if self.schedule == "wsd":
            return wsd_schedule(step, **ends, decay_steps=self.decay_steps)  # type: ignore[arg-type]
        fall = cosine_schedule if self.schedule == "cosine" else linear_schedule
        return fall(step, **ends)  # type: ignore[arg-type]


@dataclass
class TrainState:
    """Where a run stands; saved in every checkpoint.

    Attributes:
        step: updates done.
        n_tokens: tokens read for these updates.
        loss: of the last step, nats a token.
        precision: the format that "auto" has chosen, kept when a run goes on elsewhere.
        data: position in the data, from batches.state_dict() where there is one.
        interrupted: the run was stopped by Ctrl-C before its end.
        n_batches: batches drawn so far, those too that a rewind has undone or skipped.
        recovery: what recovery.py remembers.
    """

    step: int = 0
    n_tokens: int = 0
    loss: float | None = None
    precision: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = False
    n_batches: int = 0
    recovery: dict[str, Any] = field(default_factory=dict)

"""The training loop: all of it on one page.

- A step reads `accumulate` batches. Each mean loss weighs as much as its share of the targets of
  the step, so that accumulation equals one big batch also where some targets are ignored.
- The learning rate is a function of the step alone; nothing needs to be remembered for it.
- Everything that a step leaves behind is in the model, the optimizer, the position in the data and
  TrainState. resume restores all of it, and then the losses are the same to the last bit.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from minillm.objectives import causal_loss
from minillm.train.optimizer import OptimizerConfig, make_optimizer
from minillm.train.precision import PRECISIONS, autocast, resolve_precision
from minillm.train.report import Interrupt, Log, Reporter, evaluated
from minillm.train.schedule import cosine_schedule
from minillm.train.stability import NotFiniteError, clip_grad_norm


@dataclass(frozen=True)
class TrainConfig:
    """How long, on how much at a time, and what is done along the way.

    Attributes:
        steps: updates of the weights.
        batch_size: sequences in one forward pass.
        context: length of each sequence, tokens.
        accumulate: forward passes a step; a step reads batch_size * context * accumulate tokens.
        warmup_steps: updates on which the learning rate rises.
        min_lr_ratio: the last learning rate over the largest.
        clip: longest gradient that is let through; math.inf never clips.
        log_every: print a line every so many steps; 0 never.
        eval_every: call evaluate every so many steps and at the end; 0 only at the end.
        save_every: call save every so many steps and at the end; 0 only at the end.
        seed: of weights and data, for those who make them; the loop itself draws nothing.
        precision: "float32", "bfloat16" or "auto", which measures what is faster here.
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


@dataclass
class TrainState:
    """Where a run stands; saved in every checkpoint.

    Attributes:
        step: updates done.
        n_tokens: tokens read.
        loss: of the last step, nats a token.
        precision: the format that "auto" has chosen, kept when a run goes on elsewhere.
        data: position in the data, from batches.state_dict() where there is one.
        interrupted: the run was stopped by Ctrl-C before its end.
    """

    step: int = 0
    n_tokens: int = 0
    loss: float | None = None
    precision: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = False


Save = Callable[[nn.Module, torch.optim.Optimizer, TrainState], object]
Evaluate = Callable[[nn.Module], float | dict[str, float]]
Objective = Callable[[nn.Module, Tensor, Tensor], Tensor]


def train(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    config: TrainConfig,
    *,
    optimizer: OptimizerConfig | torch.optim.Optimizer | None = None,
    state: TrainState | None = None,
    evaluate: Evaluate | None = None,
    save: Save | None = None,
    log: Log | None = None,
    bytes_per_token: float | None = None,
    objective: Objective = causal_loss,
    progress: bool = True,
) -> TrainState:
    """Train a model: the whole loop, over 40 lines so that a step can be read in one piece.

    Args:
        model: maps ids (B, T) to logits (B, T, V); trained in place.
        batches: gives pairs (x, y) of ids, (B, T), y one position ahead of x, without end. If it
            has state_dict(), as BatchSampler does, its position is kept in the state.
        config: steps and what happens at which of them.
        optimizer: settings to build AdamW from, or a ready optimizer, whose learning rates are
            taken as the largest of the schedule; None means OptimizerConfig().
        state: where an earlier session stopped, from resume; None starts at step 0.
        evaluate: called with the model, in evaluation mode and without gradients; returns one
            number or a dict of them, which are logged.
        save: called with (model, optimizer, state); see checkpointer.
        log: called with the record of each step, a dict; see MetricsFile, or use list.append.
        bytes_per_token: of the text, to log bits per byte as well.
        objective: (model, x, y) -> the loss, a mean over the targets that are not -100.
        progress: show a bar and print lines.

    Returns:
        The state at the end. After Ctrl-C it has `interrupted` set: the step is finished, save
        is called, and a line says so.

    Raises:
        NotFiniteError: if a loss or a gradient is not finite, before the weights change.
        ValueError: if the batches run out before the last step.

    Lesson: notebooks/20a_adamw.ipynb
    """
    state = state or TrainState()
    device = next(model.parameters()).device
    state.precision = state.precision or resolve_precision(config.precision, device)
    state.interrupted = False
    optimizer = _ready(model, optimizer)
    source = iter(batches)
    model.train()
    with (
        Interrupt() as interrupt,
        Reporter(
            model,
            config.steps,
            state.step,
            log_every=config.log_every,
            precision=state.precision,
            bytes_per_token=bytes_per_token,
            log=log,
            progress=progress,
        ) as report,
    ):
        while state.step < config.steps and not state.interrupted:
            report.start()
            micro = [_next(source, state.step, device) for _ in range(config.accumulate)]
            state.loss = 0.0
            for (x, y), share in zip(micro, _shares(micro), strict=True):
                with autocast(state.precision, device):
                    loss = share * objective(model, x, y)
                loss.backward()
                state.loss += loss.item()
            if not math.isfinite(state.loss):
                raise NotFiniteError(_diverged(state))
            norm = clip_grad_norm(model.named_parameters(), config.clip)
            lr = _set_rates(optimizer, config, state.step + 1)
            optimizer.step()
            optimizer.zero_grad()
            n_tokens = sum(x.numel() for x, _ in micro)
            state.step, state.n_tokens = state.step + 1, state.n_tokens + n_tokens
            report.step(
                state.step,
                loss=state.loss,
                grad_norm=norm.item(),
                lr=lr,
                n_tokens=n_tokens,
                context=micro[0][0].shape[1],
            )
            state.interrupted = interrupt.requested and state.step < config.steps
            last = state.step == config.steps or state.interrupted
            if evaluate is not None and _due(state.step, config.eval_every, last=last):
                report.evaluation(state.step, evaluated(model, evaluate))
            if save is not None and _due(state.step, config.save_every, last=last):
                state.data = _position(batches)
                save(model, optimizer, state)
        if state.interrupted:
            kept = "the checkpoint is saved" if save else "nothing is saved: save= was not given"
            report.say(f"stopped by Ctrl-C after step {state.step} of {config.steps}; {kept}")
    return state


def _ready(
    model: nn.Module, optimizer: OptimizerConfig | torch.optim.Optimizer | None
) -> torch.optim.Optimizer:
    """Build the optimizer if only settings are given, and note the largest rate of each group."""
    if optimizer is None or isinstance(optimizer, OptimizerConfig):
        optimizer = make_optimizer(model, optimizer or OptimizerConfig())
    for group in optimizer.param_groups:
        group.setdefault("max_lr", group["lr"])
    return optimizer


def _set_rates(optimizer: torch.optim.Optimizer, config: TrainConfig, step: int) -> float:
    """Set the learning rate of every group for the coming update; return that of the first."""
    for group in optimizer.param_groups:
        group["lr"] = cosine_schedule(
            step,
            max_lr=group["max_lr"],
            min_lr=group["max_lr"] * config.min_lr_ratio,
            warmup_steps=config.warmup_steps,
            total_steps=config.steps,
        )
    return optimizer.param_groups[0]["lr"]


def _next(source: Any, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
    try:
        x, y = next(source)
    except StopIteration:
        raise ValueError(
            f"the batches ran out after step {step}; give an endless sampler, or fewer steps"
        ) from None
    return x.to(device, non_blocking=True), y.to(device, non_blocking=True)


def _shares(micro: list[tuple[Tensor, Tensor]]) -> list[float]:
    """What share of the targets of the step each batch has; 0 where nothing counts at all."""
    if len(micro) == 1:
        return [1.0]
    counts = [int((y != -100).sum()) for _, y in micro]
    return [n / max(1, sum(counts)) for n in counts]


def _due(step: int, every: int, *, last: bool) -> bool:
    return last or (every > 0 and step % every == 0)


def _position(batches: object) -> dict[str, Any]:
    return batches.state_dict() if hasattr(batches, "state_dict") else {}


def _diverged(state: TrainState) -> str:
    return (
        f"the loss is {state.loss} in step {state.step + 1}; the weights are those of step "
        f"{state.step}. Lower the learning rate, lengthen the warm-up, or clip more"
    )

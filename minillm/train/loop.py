"""The training loop: all of it on one page.

- A step reads `accumulate` batches. Each mean loss weighs as much as its share of the targets of
  the step, so that accumulation equals one big batch also where some targets are ignored.
- The learning rate is a function of the step alone; nothing needs to be remembered for it.
- A loss or gradient that is not finite stops the run before the weights change, and the batch is
  kept. With config.recovery a spike sends the run back, and past the data that it was reading.
- Everything that a step leaves behind is in the model, the optimizer, the position in the data and
  TrainState. resume restores all of it, and then the losses are the same to the last bit.
"""

import math
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minillm.objectives import causal_loss
from minillm.train.optimizers import OptimizerConfig, make_optimizer
from minillm.train.precision import autocast, resolve_precision
from minillm.train.recovery import Recovery
from minillm.train.report import Interrupt, Log, Reporter, evaluated
from minillm.train.rescue import with_batch
from minillm.train.settings import TrainConfig, TrainState
from minillm.train.stability import NotFiniteError, clip_grad_norm
from minillm.train.team import Team

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
    folder: str | Path | None = None,
    progress: bool = True,
    team: Team | None = None,
) -> TrainState:
    """Train a model: the whole loop, over 40 lines so that a step can be read in one piece.

    Args:
        model: maps ids (B, T) to logits (B, T, V); trained in place.
        batches: gives pairs (x, y) of ids, (B, T), y one position ahead of x, without end. If it
            has state_dict(), as BatchSampler does, its position is kept in the state.
        config: steps and what happens at which of them.
        optimizer: settings to build it from, or a ready optimizer, whose learning rates are
            taken as the largest of the schedule; None means OptimizerConfig().
        state: where an earlier session stopped, from resume; None starts at step 0.
        evaluate: called with the model, in evaluation mode and without gradients; returns one
            number or a dict of them, which are logged.
        save: called with (model, optimizer, state); see checkpointer.
        log: called with the record of each step, a dict; see MetricsFile, or use list.append.
        bytes_per_token: of the text, to log bits per byte as well.
        objective: (model, x, y) -> the loss, a mean over the targets that are not -100.
        folder: where the loop itself writes: `marks/`, the checkpoints that config.recovery goes
            back to, and `bad_batch.safetensors`, when a loss is not finite. None: the marks lie
            in a temporary folder, and the batch only hangs on the error, as error.batch.
        progress: show a bar and print lines.
        team: how several ranks count and decide together; None means this process alone. The
            value of the objective must be the same on all ranks.

    Returns:
        The state at the end. After Ctrl-C it has `interrupted` set: the step is finished, save
        is called, and a line says so.

    Raises:
        NotFiniteError: if a loss or a gradient is not finite, before the weights change.
        SpikeError: with config.recovery, if the loss spikes and going back does not help.
        ValueError: if the batches run out before the last step; or if config.ledger is set and the
            model is no bare Decoder.

    Lesson: notebooks/20a_adamw.ipynb
    """
    state, team = state or TrainState(), team or Team()
    device = next(model.parameters()).device
    state.precision = state.precision or resolve_precision(config.precision, device)
    state.interrupted = False
    optimizer = _ready(model, optimizer)
    source = iter(batches)
    model.train()
    told = {"log": log, "bytes_per_token": bytes_per_token, "progress": progress, "peak": team.peak}
    with ExitStack() as stack, Interrupt() as stop, _report(model, config, state, told) as report:
        recovery = _recovery(config, state, folder, stack, team)
        while state.step < config.steps and not state.interrupted:
            if recovery is not None:
                recovery.mark(model, optimizer, state)
            report.start()
            n_passes = config.passes(state.n_tokens)
            micro = [_next(source, state.step, device) for _ in range(n_passes)]
            state.n_batches += n_passes
            state.loss = 0.0
            with report.watch():
                for (x, y), share in zip(micro, _shares(micro, team), strict=True):
                    with autocast(state.precision, device):
                        loss = share * objective(model, x, y)
                    loss.backward()
                    state.loss += loss.item()
            norm = _clipped_norm(model, config, state, micro, recovery, folder)
            if recovery is not None and recovery.sees_spike(state, norm):
                optimizer.zero_grad()
                report.rewind(recovery.go_back(model, optimizer, source, state), recovery.since)
                continue
            lr = _set_rates(optimizer, config, state.step + 1, recovery)
            optimizer.step()
            optimizer.zero_grad()
            n_tokens = team.n_readers * sum(x.numel() for x, _ in micro)
            state.step, state.n_tokens = state.step + 1, state.n_tokens + n_tokens
            report.step(
                state.step,
                optimizer,
                loss=state.loss,
                grad_norm=norm,
                lr=lr,
                n_tokens=n_tokens,
                shape=tuple(micro[0][0].shape),
            )
            state.interrupted = team.agree(stop.requested) and state.step < config.steps
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


def _report(
    model: nn.Module, config: TrainConfig, state: TrainState, told: dict[str, Any]
) -> Reporter:
    precision = state.precision or "float32"
    every = config.log_every
    told = {**told, "log_every": every, "precision": precision, "ledger": config.ledger}
    return Reporter(model, config.steps, state.step, **told)


def _recovery(
    config: TrainConfig,
    state: TrainState,
    folder: str | Path | None,
    stack: ExitStack,
    team: Team,
) -> Recovery | None:
    """Make what goes back at a spike; a temporary folder ends with the stack."""
    if config.recovery is None:
        return None
    if folder is None and team.marks is None:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="minillm-"))
    return Recovery(config.recovery, team.marks or Path(folder or "") / "marks", state, team)


def _clipped_norm(
    model: nn.Module,
    config: TrainConfig,
    state: TrainState,
    micro: list[tuple[Tensor, Tensor]],
    recovery: Recovery | None,
    folder: str | Path | None,
) -> float:
    """Clip, and give the norm; NaN only where a recovery will take care of it."""
    try:
        if state.loss is None or not math.isfinite(state.loss):
            raise NotFiniteError(_diverged(state))
        return clip_grad_norm(model.named_parameters(), config.clip).item()
    except NotFiniteError as error:
        if recovery is not None:
            state.loss = math.nan
            return math.nan
        raise with_batch(error, micro, folder) from None


def _set_rates(
    optimizer: torch.optim.Optimizer, config: TrainConfig, step: int, recovery: Recovery | None
) -> float:
    """Set the learning rate of every group for the coming update; return that of the first."""
    factor = 1.0 if recovery is None else recovery.lr_factor
    for group in optimizer.param_groups:
        group["lr"] = factor * config.lr_at(step, group["max_lr"])
    return optimizer.param_groups[0]["lr"]


def _next(source: Any, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
    try:
        x, y = next(source)
    except StopIteration:
        raise ValueError(
            f"the batches ran out after step {step}: the data are shorter than the run. Give an "
            "endless sampler (BatchSampler begins anew), or fewer steps"
        ) from None
    return x.to(device, non_blocking=True), y.to(device, non_blocking=True)


def _shares(micro: list[tuple[Tensor, Tensor]], team: Team) -> list[float]:
    """What share of the targets of the step each batch has; 0 where nothing counts at all."""
    if len(micro) == 1:
        return [1.0]
    counts = team.totals([int((y != -100).sum()) for _, y in micro])
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

"""What surrounds a training loop: the clock, the progress bar and the polite answer to Ctrl-C."""

import math
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from minillm.model import DecoderConfig
from minillm.model.config import flops_per_token
from minillm.train.flops import peak_flops, utilisation
from minillm.train.ledger import StepLedger
from minillm.train.metrics import format_record
from minillm.train.rewind import Rewind

Log = Callable[[dict[str, Any]], None]


class Reporter:
    """Turn the numbers of a step into a record, a line and a moving bar.

    Args:
        model: gives the FLOPs a token, if it has a DecoderConfig.
        n_steps: of the whole run.
        first_step: steps done before, in an earlier session.
        log_every: print a line every so many steps.
        precision: "float32" or "bfloat16", for the peak.
        bytes_per_token: of the text, to express the loss in bits per byte; None leaves it out.
        log: is called with the record of every step; None keeps none.
        progress: show bar and lines.
        peak: gives the FLOP/s of all devices from a device and a precision.
        ledger: count the first step, and log it beside what was predicted.

    Raises:
        ValueError: with ledger, if the model is no bare Decoder.
    """

    def __init__(
        self,
        model: nn.Module,
        n_steps: int,
        first_step: int,
        *,
        log_every: int,
        precision: str,
        bytes_per_token: float | None,
        log: Log | None,
        progress: bool,
        peak: Callable[[torch.device, str], float] = peak_flops,
        ledger: bool = False,
    ) -> None:
        self.n_steps, self.log_every = n_steps, log_every
        self.bytes_per_token, self.log, self.progress = bytes_per_token, log, progress
        self.config = getattr(model, "config", None)
        self.ledger = StepLedger(model, precision) if ledger else None
        self.peak = None
        if isinstance(self.config, DecoderConfig):
            self.peak = peak(next(model.parameters()).device, precision)
        self.bar = tqdm(
            total=n_steps, initial=first_step, unit="step", disable=not progress, leave=False
        )

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def start(self) -> None:
        """Start the clock of a step."""
        self.began = time.perf_counter()

    def watch(self) -> AbstractContextManager[None]:
        """Count what a step computes within this context, if that is asked for and still to do."""
        return nullcontext() if self.ledger is None else self.ledger.watch()

    def step(
        self,
        step: int,
        optimizer: torch.optim.Optimizer,
        *,
        loss: float,
        grad_norm: float,
        lr: float,
        n_tokens: int,
        shape: tuple[int, ...],
    ) -> None:
        """Stop the clock, and report the step: loss in nats a token, n_tokens read in passes of
        shape (B, T)."""
        speed = n_tokens / (time.perf_counter() - self.began)
        nats_per_byte = loss / self.bytes_per_token if self.bytes_per_token else None
        record: dict[str, Any] = {
            "step": step,
            "loss": loss,
            "bits_per_byte": nats_per_byte / math.log(2) if nats_per_byte is not None else None,
            "tokens_per_second": round(speed, 1),
            "utilisation": self._utilisation(speed, shape[1]),
            "lr": lr,
            "grad_norm": grad_norm,
        }
        if self.ledger is not None:
            record["ledger"] = self._close_ledger(step, optimizer, n_tokens, shape)
        if self.log is not None:
            self.log(record)
        self.bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
        self.bar.update()
        if self.log_every and (step % self.log_every == 0 or step == self.n_steps):
            self.say(format_record(record, self.n_steps))

    def rewind(self, order: Rewind, since: int) -> None:
        """Report that the run has gone back because of a spike that began at step `since`."""
        told = {"since": since, "step": order.mark.step, "skipped": order.n_skipped}
        if self.log is not None:
            self.log({"step": order.mark.step, "rewind": {**told, "lr_factor": order.lr_factor}})
        self.bar.n = order.mark.step
        self.bar.refresh()
        self.say(
            f"the loss spikes since step {since}: back to step {order.mark.step}, and on with the "
            f"data {order.n_skipped} batches later; learning rate x {order.lr_factor:g}"
        )

    def evaluation(self, step: int, found: float | dict[str, float]) -> None:
        """Report what evaluate has returned."""
        values = found if isinstance(found, dict) else {"loss": float(found)}
        if self.log is not None:
            self.log({"step": step, "evaluate": values})
        told = " | ".join(f"{name} {value:.4f}" for name, value in values.items())
        self.say(f"step {step:>{len(str(self.n_steps))}}/{self.n_steps} | evaluate: {told}")

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self.progress:
            tqdm.write(line)

    def _close_ledger(
        self, step: int, optimizer: torch.optim.Optimizer, n_tokens: int, shape: tuple[int, ...]
    ) -> dict[str, dict[str, int]]:
        """Tell what the step took, beside what was predicted; later steps are not counted."""
        assert self.ledger is not None
        entries = self.ledger.close(optimizer, n_tokens, shape)
        self.ledger = None
        told = "; ".join(map(str, entries))
        self.say(f"step {step:>{len(str(self.n_steps))}}/{self.n_steps} | {told}")
        return {e.what: {"predicted": e.predicted, "measured": e.measured} for e in entries}

    def _utilisation(self, tokens_per_second: float, context: int) -> float | None:
        """The share of the peak, or None where it is not known or cannot be."""
        if self.peak is None:
            return None
        flops = flops_per_token(self.config, context=context)  # type: ignore[arg-type]
        try:
            return round(utilisation(flops, tokens_per_second, self.peak), 4)
        except ValueError:  # the peak was measured while the machine was busy: no figure, no lie
            return None


class Interrupt:
    """Within this context the first Ctrl-C only asks for a stop; a second one stops at once.

    A step is never cut in the middle, so that what is saved afterwards is whole. Outside the main
    thread, where Python hands out no signals, it does nothing.
    """

    requested = False

    def __enter__(self) -> "Interrupt":
        self.watching = threading.current_thread() is threading.main_thread()
        if self.watching:
            self.before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.watching:
            signal.signal(signal.SIGINT, self.before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


def evaluated(model: nn.Module, evaluate: Callable[[nn.Module], Any]) -> Any:
    """Call evaluate on a model in evaluation mode, without gradients, and put the mode back."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return evaluate(model)
    finally:
        model.train(training)

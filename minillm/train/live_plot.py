"""Watch a run while it runs: a picture of the loss that draws itself anew, at most once a second.

with LivePlot() as live:                       the run of this notebook
    train(model, batches, config, log=live)

watch("runs/laptop/metrics.jsonl")             a run of another process
"""

import io
import math
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from minillm.train.metrics import read_metrics

Show = Callable[[bytes, str], None]
DRAW_SHARE = 0.1  # of the time at most goes into drawing


class LivePlot:
    """A callable for `log=` of the loop, which draws loss and gradient norm as they come.

    Args:
        every_seconds: draw at most so often; less often where drawing takes more than a tenth of
            the time.
        show: is called with a PNG and the text for those who cannot see it. None: the picture
            stands in the notebook's output, and changes there.

    Raises:
        ValueError: if every_seconds is not positive.
        RuntimeError: if show is None and this is no notebook.

    Cost: about 0.1 s a picture.
    Lesson: notebooks/20a_adamw.ipynb
    """

    def __init__(self, *, every_seconds: float = 1.0, show: Show | None = None) -> None:
        if not every_seconds > 0:
            raise ValueError(f"every_seconds must be positive, got {every_seconds}")
        self.every_seconds = every_seconds
        self.show = NotebookPicture() if show is None else show
        self.records: list[dict[str, Any]] = []
        self._next = -math.inf

    def __enter__(self) -> "LivePlot":
        return self

    def __exit__(self, *_: object) -> None:
        """Draw the end of the run, too."""
        if self.records:
            self.draw()

    def __call__(self, record: dict[str, Any]) -> None:
        """Take one record of the loop, and draw if it is time."""
        self.records.append(record)
        if time.monotonic() >= self._next:
            self.draw()

    def draw(self) -> None:
        """Draw all records now."""
        began = time.monotonic()
        png = io.BytesIO()
        figure(self.records).savefig(png, format="png", dpi=80, metadata={"Software": None})
        self.show(png.getvalue(), describe(self.records))
        cost = time.monotonic() - began
        self._next = began + max(self.every_seconds, cost / DRAW_SHARE)


def watch(
    path: str | Path,
    *,
    steps: int | None = None,
    seconds: float = math.inf,
    every_seconds: float = 1.0,
    show: Show | None = None,
) -> None:
    """Draw the metrics file of a run that another process makes, until it ends.

    It only reads; stopping it (interrupt the kernel, or Ctrl-C) does not touch the run.

    Args:
        path: a file that MetricsFile writes; it need not be there yet.
        steps: return when this step is in the file; None watches on.
        seconds: return after so long.
        every_seconds, show: as in LivePlot.

    Raises:
        ValueError: if seconds or every_seconds is not positive.
        RuntimeError: if show is None and this is no notebook.

    Lesson: notebooks/20a_adamw.ipynb
    """
    if not seconds > 0:
        raise ValueError(f"seconds must be positive, got {seconds}")
    plot = LivePlot(every_seconds=every_seconds, show=show)
    until = time.monotonic() + seconds
    try:
        while True:
            found = read_metrics(path)
            if found != plot.records:
                plot.records = found
                plot.draw()
            ended = steps is not None and any(r["step"] >= steps and "loss" in r for r in found)
            if ended or time.monotonic() >= until:
                return
            time.sleep(min(every_seconds, max(0.0, until - time.monotonic())))
    except KeyboardInterrupt:
        return


def curve(records: list[dict[str, Any]], name: str) -> tuple[list[float], list[float]]:
    """Give steps and values of one number of the records; a gap where a run has gone back.

    Args:
        records: of the loop, in their order.
        name: "loss", "grad_norm", "lr"...; with a slash, of a part: "evaluate/loss".

    Returns:
        Steps and values. A value that is None or not finite is NaN, which leaves a hole.
    """
    part, _, inner = name.rpartition("/")
    steps: list[float] = []
    values: list[float] = []
    for record in records:
        source = record.get(part, {}) if part else record
        if inner not in source:
            continue
        if steps and record["step"] <= steps[-1]:
            steps.append(math.nan)
            values.append(math.nan)
        value = source[inner]
        steps.append(record["step"])
        values.append(value if value is not None and math.isfinite(value) else math.nan)
    return steps, values


def figure(records: list[dict[str, Any]]) -> Figure:
    """Draw loss, evaluations and gradient norm by step; a dashed line where a run went back."""
    fig = Figure(figsize=(8, 2.8), layout="constrained")
    left, right = fig.subplots(1, 2)
    left.plot(*curve(records, "loss"), ".-", markersize=3, label="training")
    names = {name for r in records for name in r.get("evaluate", {})}
    for name in sorted(names):
        left.plot(*curve(records, f"evaluate/{name}"), "s", label=f"evaluate: {name}")
    right.plot(*curve(records, "grad_norm"), ".-", markersize=3, color="C1")
    for record in records:
        if "rewind" in record:
            left.axvline(record["step"], linestyle="--", color="0.4")
    left.set(xlabel="step", ylabel="loss (nats a token)")
    right.set(xlabel="step", ylabel="gradient norm")
    left.legend()
    return fig


def describe(records: list[dict[str, Any]]) -> str:
    """Say in one line what the picture shows."""
    steps, values = curve(records, "loss")
    if not steps:
        return "Loss by step: no step yet."
    words = f"Loss by step: step {steps[-1]:.0f}, loss {values[-1]:.3f}"
    rewinds = sum("rewind" in record for record in records)
    return words + (f", gone back {rewinds} times." if rewinds else ".")


class NotebookPicture:
    """A place in a notebook's output whose picture can be changed.

    Raises:
        RuntimeError: if this is no notebook.
    """

    def __init__(self) -> None:
        from IPython import get_ipython

        if getattr(get_ipython(), "kernel", None) is None:
            raise RuntimeError(
                "this is no notebook, so there is nowhere to draw: watch in a notebook, use "
                "TensorBoardLog, or give show=, a function of a PNG and a text"
            )
        self._handle: Any = None

    def __call__(self, png: bytes, alt: str) -> None:
        """Put a picture there, with the text for those who cannot see it."""
        from IPython.display import display

        image = {"image/png": b64encode(png).decode(), "text/plain": alt}
        told = {"raw": True, "metadata": {"image/png": {"alt": alt}}}
        if self._handle is None:
            self._handle = display(image, display_id=True, **told)
        else:
            self._handle.update(image, **told)

"""What a run says of itself: one line a step for people, one JSON line a step for programs."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def format_record(record: dict[str, Any], n_steps: int) -> str:
    """Write one step as one line.

    Args:
        record: as train makes them: step, loss (nats a token), bits_per_byte, tokens_per_second,
            utilisation (0 to 1), lr, grad_norm; None where it is not known.
        n_steps: of the whole run.

    Returns:
        Such as `step   20/300 | loss 5.123 | 1.98 bits/byte | 12,345 tok/s | 41 % of peak |
        lr 1.0e-03 | gradient 0.71`.
    """
    parts = [f"step {record['step']:>{len(str(n_steps))}}/{n_steps}", f"loss {record['loss']:.4f}"]
    if record.get("bits_per_byte") is not None:
        parts.append(f"{record['bits_per_byte']:.3f} bits/byte")
    parts.append(f"{record['tokens_per_second']:,.0f} tok/s")
    if record.get("utilisation") is not None:
        parts.append(f"{record['utilisation']:.0%} of peak")
    parts += [f"lr {record['lr']:.2e}", f"gradient {record['grad_norm']:.3f}"]
    return " | ".join(parts)


class MetricsFile:
    """A file of JSON lines that survives a kill: each line is handed to the system at once.

    Args:
        path: the file; its folder is made.
        resume_at: step of the checkpoint that the run goes on from. Lines of later steps, and a
            last line that a kill has cut, are removed: those steps come again. 0 starts afresh.

    Lesson: notebooks/24_fsdp.ipynb
    """

    def __init__(self, path: str | Path, *, resume_at: int = 0) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = [r for r in read_metrics(self.path) if r["step"] <= resume_at] if resume_at else []
        beside = self.path.with_name(self.path.name + ".new")
        beside.write_text("".join(_line(r) for r in kept), encoding="utf-8")
        os.replace(beside, self.path)

    def __enter__(self) -> "MetricsFile":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close: the file is only open while a line is written."""

    def __call__(self, record: dict[str, Any]) -> None:
        """Append one record, which must have a "step"."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(record))


def log_to_all(*logs: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], None]:
    """Make one `log=` of several: each is called with every record, in the order given.

    Lesson: notebooks/20a_adamw.ipynb
    """

    def log(record: dict[str, Any]) -> None:
        for each in logs:
            each(record)

    return log


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Read the records of a MetricsFile, without a last line that a kill has cut.

    Args:
        path: the file; a file that is not there has no records.

    Returns:
        The records in the order of the file.

    Raises:
        ValueError: if a line other than the last is not JSON.
    """
    path = Path(path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    records = []
    for i, line in enumerate(lines):
        try:
            records.append(json.loads(line))
        except ValueError:
            if i < len(lines) - 1:
                raise ValueError(f"line {i + 1} of {path} is not JSON: {line[:60]!r}") from None
    return records


def _line(record: dict[str, Any]) -> str:
    plain = {k: _plain(v) for k, v in record.items()}
    return json.dumps(plain) + "\n"


def _plain(value: Any) -> Any:
    """JSON has no infinity and no NaN: they become None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value

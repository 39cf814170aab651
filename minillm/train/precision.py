"""Which number format a machine is really faster in: asked by a measurement, not by its name."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache

import torch

PRECISIONS = ("auto", "float32", "bfloat16")
WORTH_IT = 1.5  # bfloat16 must be this much faster, or the loss of digits is for nothing


@dataclass(frozen=True)
class Probe:
    """What probe has found.

    Attributes:
        precision: "bfloat16" or "float32", the one to train in.
        speedup: time of a float32 matrix product over that of a bfloat16 one.
        device: "cpu" or "cuda".
        n_threads: of torch, on a CPU.
    """

    precision: str
    speedup: float
    device: str
    n_threads: int

    def __str__(self) -> str:
        return f"{self.precision}: a bfloat16 product runs {self.speedup:.2f} times as fast here"


def probe(device: torch.device | str = "cpu", *, size: int = 384) -> Probe:
    """Measure whether bfloat16 matrix products are native on this machine, once per process.

    A processor without bfloat16 instructions computes them too, by converting there and back, and
    is then several times slower than in float32. So it is the clock that decides.

    Args:
        device: "cpu" or "cuda".
        size: of the square matrices.

    Returns:
        The finding; precision is "bfloat16" where its product is at least 1.5 times as fast.

    Cost: about 20 products in each format, a few hundredths of a second; cached.
    Source: Kalamkar et al. 2019, arXiv:1905.12322 (why bfloat16 trains without loss scaling).
    Lesson: notebooks/21_stability.ipynb
    """
    return _probe(torch.device(device).type, size, torch.get_num_threads())


@cache
def _probe(device: str, size: int, n_threads: int) -> Probe:
    times = {dtype: [] for dtype in (torch.float32, torch.bfloat16)}  # type: dict[torch.dtype, list[float]]
    for _ in range(8):  # in turns, so that a busy machine slows both
        for dtype, measured in times.items():
            measured.append(_product_seconds(device, size, dtype))
    speedup = min(times[torch.float32]) / min(times[torch.bfloat16])
    return Probe("bfloat16" if speedup >= WORTH_IT else "float32", speedup, device, n_threads)


def _product_seconds(device: str, size: int, dtype: torch.dtype) -> float:
    """Seconds of one product of square matrices."""
    a = torch.ones(size, size, device=device, dtype=dtype)
    start = _now(device)
    a @ a
    return _now(device) - start


def _now(device: str) -> float:
    """Wall time in seconds, once all work that was started is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def resolve_precision(precision: str, device: torch.device | str = "cpu") -> str:
    """Turn "auto" into what probe finds; leave a named precision as it is.

    Args:
        precision: "auto", "float32" or "bfloat16".
        device: where the training will run.

    Returns:
        "float32" or "bfloat16".

    Raises:
        ValueError: if precision is none of the three.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    return probe(device).precision if precision == "auto" else precision


def autocast(precision: str, device: torch.device | str = "cpu") -> AbstractContextManager[object]:
    """Run matrix products in bfloat16 inside this context, or change nothing for "float32".

    The weights stay in the format they are in, and so do the gradients and AdamW's state.

    Args:
        precision: "float32" or "bfloat16".
        device: where the training runs.

    Returns:
        A context for the forward pass.
    """
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bfloat16")

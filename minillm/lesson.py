"""What a lesson's notebook needs, and nothing else does: setup, show, check, claim, band."""

import copy
import io
import json
import math
import os
import random
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib import font_manager
from matplotlib.figure import Figure

from minillm.evaluate.verdict import as_record, read_ledger, verdict

DATA = Path(__file__).parents[1] / "data"
FIGURE_BYTES = 60_000
NOT_WRITTEN = "not written yet"
_CJK_FONTS = {"Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "PingFang SC", "SimHei"}


def setup(seed: int, *, threads: int = 1) -> None:
    """Make a lesson repeatable: seeds, threads, the look of figures. Prints nothing.

    The seed (by custom the lesson's number) goes to random, numpy and torch. Tiny models run
    fastest on one thread, and a lesson never depends on the number of cores.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.set_printoptions(precision=4, sci_mode=False, linewidth=78)
    plt.style.use("petroff10")
    chinese = {font.name for font in font_manager.fontManager.ttflist} & _CJK_FONTS
    plt.rcParams["font.family"] = ["DejaVu Sans", *sorted(chinese)]
    plt.rcParams.update({"font.size": 10, "legend.fontsize": 9, "image.cmap": "cividis"})


def show(fig: Figure, *, alt: str) -> None:
    """Display a figure once, with a text for those who cannot see it, and close it.

    The picture is drawn as sharply as fits into 60 KB. The alt text goes into the output's metadata
    (`image/png`, `alt`) and is its plain text. An empty one is a ValueError.
    """
    from IPython.display import display

    if not alt.strip():
        raise ValueError("show needs alt='...': one sentence that says what the figure shows")
    for dpi in (160, 130, 100, 80):
        png = io.BytesIO()
        fig.savefig(png, format="png", dpi=dpi, metadata={"Software": None})
        if len(png.getvalue()) < FIGURE_BYTES:
            break
    plt.close(fig)
    width, height = (fig.get_size_inches() * 100).astype(int).tolist()
    image = {"image/png": b64encode(png.getvalue()).decode(), "text/plain": alt}
    about = {"alt": alt, "width": width, "height": height}
    display(image, raw=True, metadata={"image/png": about})


def check(
    fn: Callable, reference: Callable, cases: list[tuple], *, rtol: float = 1e-6, atol: float = 1e-8
) -> None:
    """Compare the reader's function with a reference, and say in one line how it stands.

    Tensors, arrays and floats are compared within |got - wanted| <= atol + rtol |wanted|, with
    shape and dtype; sequences and mappings part by part; all else by ==. Both functions get copies
    of the arguments and the same random numbers. A case is a tuple of positional arguments.

    Raises:
        ValueError: if a case is not a tuple, or there is none.
        AssertionError: if a case is wrong in the solved build (MINILLM_SOLVED=1); otherwise a
            reader only sees the printed line.
    """
    name = getattr(fn, "__name__", "function")
    if not cases or not all(isinstance(case, tuple) for case in cases):
        raise ValueError("cases must be a list of tuples of arguments, such as [(3, 3), (1, 4)]")
    for number, case in enumerate(cases, start=1):
        wanted = _call(reference, case)
        try:
            got = _call(fn, case)
            trouble = _difference(got, wanted, rtol, atol)
        except NotImplementedError:
            trouble, got = NOT_WRITTEN, None
        except Exception as error:
            trouble, got = "it raised an error", error
        if trouble:
            call = f"{name}({', '.join(_short(argument) for argument in case)})"
            said = f"\n  call   {call}\n  wanted {_short(wanted)}\n  got    {_short(got)}"
            said = f"case {number} of {len(cases)} is wrong: {trouble}{said}"
            print(message := f"{name}: {trouble if trouble == NOT_WRITTEN else said}")
            if os.environ.get("MINILLM_SOLVED") == "1":
                raise AssertionError(message)
            return
    print(f"{name}: right in all {len(cases)} cases" if len(cases) > 1 else f"{name}: right")


def claim(id: str, measured: object, interval: object = None, *, unit: str = "") -> None:
    """Judge a claim of the literature by its rule in `data/claims/ledger.csv`; print the verdict.

    A reader's run only prints. The build sets MINILLM_RECORD to a file, to which the measurement is
    added; from there it goes to `data/claims/measured/<id>.json`. ValueError if the id is not in
    the ledger, or the rule cannot judge the measurement.
    """
    row = read_ledger(DATA / "claims" / "ledger.csv").get(id)
    if row is None:
        raise ValueError(f"no claim {id!r} in data/claims/ledger.csv; correct the id or add a row")
    print(f"{id}: {verdict(row, measured, interval)}")
    if record := os.environ.get("MINILLM_RECORD"):
        with Path(record).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"id": id, "unit": unit} | as_record(measured, interval)) + "\n")


def band(name: str, curve: Mapping[int, float] | Sequence[float]) -> None:
    """Draw a loss curve in the band of recorded runs, and say where it leaves the band.

    The band is `data/bands/<name>.json` with steps, median, low, high and n_seeds; the curve maps
    a step to its loss, or has one loss for each recorded step. ValueError if they do not meet.
    """
    if not (path := DATA / "bands" / f"{name}.json").is_file():
        raise ValueError(f"no band {name!r}: data/bands/{name}.json is not there")
    known = json.loads(path.read_text(encoding="utf-8"))
    steps, low, high = known["steps"], known["low"], known["high"]
    losses = curve if isinstance(curve, Mapping) else dict(zip(steps, curve, strict=False))
    band_of = zip(steps, low, high, strict=True)
    seen = [(step, losses[step], lo, hi) for step, lo, hi in band_of if step in losses]
    if not seen:
        raise ValueError(f"the curve has none of the steps of band {name!r}: {steps[:5]} ...")
    outside = [point for point in seen if not point[2] <= point[1] <= point[3]]
    words = f"{name}: inside the band of {known['n_seeds']} recorded runs at all {len(seen)} steps"
    if outside:
        words = f"{name}: outside the band at {len(outside)} of {len(seen)} steps, first at step "
        words += "{}, where the loss is {:.3f} and the band {:.3f} to {:.3f}".format(*outside[0])
    fig, ax = plt.subplots(figsize=(5, 2.6), layout="constrained")
    ax.set(xlabel="step", ylabel="loss (nats)")
    ax.fill_between(steps, low, high, alpha=0.3, label="recorded runs")
    ax.plot(steps, known["median"], "--", label="their median")
    ax.plot(*zip(*(point[:2] for point in seen), strict=True), ".-", label="this run")
    ax.legend()
    show(fig, alt=f"Loss by step in the band of recorded runs. {words}.")
    print(words)


def _call(fn: Callable, arguments: tuple) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return fn(*copy.deepcopy(arguments))


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else text[:197] + "..."


def _difference(got: Any, wanted: Any, rtol: float, atol: float) -> str:
    """Say how got differs from wanted, or return an empty string."""
    if isinstance(got, float) != isinstance(wanted, float) and type(got) is not bool:
        got, wanted = (float(x) if type(x) is int else x for x in (got, wanted))
    if isinstance(got, float) and isinstance(wanted, float):
        same = math.isclose(got, wanted, rel_tol=rtol, abs_tol=atol)
        return "" if same or (got != got and wanted != wanted) else f"{got!r} is not {wanted!r}"
    if type(got) is not type(wanted):
        return f"a {type(wanted).__name__} is wanted, got a {type(got).__name__}"
    if isinstance(wanted, (torch.Tensor, np.ndarray)):
        return _array_difference(got, wanted, rtol, atol)
    if isinstance(wanted, Mapping) and got.keys() == wanted.keys():
        parts = [(f"at key {key!r}", got[key], wanted[key]) for key in wanted]
    elif isinstance(wanted, (list, tuple)) and len(got) == len(wanted):
        parts = [(f"at place {i}", got[i], wanted[i]) for i in range(len(wanted))]
    else:
        return "" if got == wanted else "the values differ"
    found = ((place, _difference(g, w, rtol, atol)) for place, g, w in parts)
    return next((f"{place}: {trouble}" for place, trouble in found if trouble), "")


def _array_difference(got: Any, wanted: Any, rtol: float, atol: float) -> str:
    if got.shape != wanted.shape:
        return f"shape {tuple(wanted.shape)} is wanted, got {tuple(got.shape)}"
    if got.dtype != wanted.dtype:
        return f"dtype {wanted.dtype} is wanted, got {got.dtype}"
    g, w = (torch.as_tensor(x).detach().cpu() for x in (got, wanted))
    bad = g != w
    if w.is_floating_point() or w.is_complex():
        bad = ~torch.isclose(g, w, rtol=rtol, atol=atol, equal_nan=True)
    if not bad.any():
        return ""
    place = tuple(bad.nonzero()[0].tolist())
    first = f"first at {list(place)}: wanted {w[place].item()}, got {g[place].item()}"
    return f"{int(bad.sum())} of {bad.numel()} entries differ, {first}"

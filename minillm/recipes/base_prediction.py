"""Predict the loss of a base model before it is trained, from the rungs of `base_ladder`.

    L(N, D) = E + A / N^alpha + B / D^beta

Six rungs cannot fix five numbers. So none is fixed: every pair of exponents on a grid is asked how
well the law with the best E, A, B >= 0 fits the rungs, pairs that fit badly lose their weight, and
each of the others says what it expects of the large run. The prediction is their weighted median,
and its interval leaves out 5 % of the weight at each end. Where even the best pair misses the rungs
by more than the noise of a seed, the law is not quite right here, and the noise is what it misses.
"""

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

import minillm
from minillm.evaluate import Interval
from minillm.model import count_parameters
from minillm.recipes.overrides import to_dict
from minillm.recipes.records import commit, read_results
from minillm.recipes.run import Run
from minillm.recipes.runs import find_run

PREDICTIONS = Path(minillm.__file__).parents[1] / "data" / "predictions"
LADDER = ("base_ladder", "base_ladder_long")
"""Studies that hold its rungs."""
EXPONENTS = np.linspace(0.15, 0.75, 25)
"""Asked for both: published values of either lie between 0.28 and 0.46 (lesson 25)."""
NOISE = 0.015
"""Spread of a rung's loss around the law, in nats: what another seed would change (lesson 20)."""
LEVEL = 0.9


@dataclass(frozen=True)
class Rungs:
    """Runs that a law is fitted to.

    Attributes:
        parameters, tokens, loss: one number a run.
    """

    parameters: tuple[float, ...]
    tokens: tuple[float, ...]
    loss: tuple[float, ...]

    def __post_init__(self) -> None:
        n = len(self.loss)
        if not n == len(self.parameters) == len(self.tokens) or n < 4:
            raise ValueError(f"need at least 4 rungs with three numbers each, got {n}")
        if len(set(self.parameters)) < 2 or len(set(self.tokens)) < 2:
            raise ValueError("the rungs need at least two sizes and two numbers of tokens")
        if min(*self.parameters, *self.tokens, *self.loss) <= 0:
            raise ValueError("parameters, tokens and losses must be positive")


def read_rungs() -> Rungs:
    """Read the rungs of the ladder that are recorded, the long ones too.

    Raises:
        ValueError: if fewer than four are.
    """
    runs: list[Mapping[str, Any]] = []
    for name in LADDER:
        try:
            study = read_results(name)
        except ValueError:
            continue  # nothing of it is recorded
        runs += [run for by_seed in study.measured.values() for run in by_seed.values()]
    columns = ([float(run[name]) for run in runs] for name in ("parameters", "tokens", "loss"))
    return Rungs(*(tuple(column) for column in columns))


def non_negative_fit(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Least squares with no coefficient below zero.

    Args:
        x: (n, k). y: (n,).

    Returns:
        Coefficients, (k,), and the sum of squared residuals. Every subset of the columns is
        tried, so that the best one is found; k is small.
    """
    k = x.shape[1]
    best, error = np.zeros(k), float((y**2).sum())
    for size in range(1, k + 1):
        for columns in combinations(range(k), size):
            part = x[:, columns]
            found = np.linalg.lstsq(part, y, rcond=None)[0]
            left = float(((y - part @ found) ** 2).sum())
            if (found >= 0).all() and left < error:
                best, error = np.zeros(k), left
                best[list(columns)] = found
    return best, error


def predict_loss(
    rungs: Rungs,
    parameters: float,
    tokens: float,
    *,
    noise: float = NOISE,
    exponents: Sequence[float] = tuple(EXPONENTS),
) -> Interval:
    """Say what a run of another size will come to, and how sure that is.

        weight(alpha, beta) ~ exp(-sum residual^2 / (2 s^2))
        s = max(noise, sqrt(least sum residual^2 / (rungs - 3)))

    Args:
        rungs: what was measured.
        parameters, tokens: of the run that is asked for.
        noise: least spread of a rung around the law, nats a token.
        exponents: tried for alpha and for beta, all as likely before.

    Returns:
        Weighted median and the 90 % interval, nats a token; n is the number of rungs.

    Raises:
        ValueError: if parameters, tokens or noise is not positive.

    Lesson: notebooks/27_pretraining.ipynb
    """
    if min(parameters, tokens, noise) <= 0:
        raise ValueError(f"{parameters=}, {tokens=} and {noise=} must be positive")
    n, d, loss = (np.array(column) for column in (rungs.parameters, rungs.tokens, rungs.loss))
    said: list[float] = []
    misfit: list[float] = []
    for alpha in exponents:
        for beta in exponents:
            terms = np.stack([np.ones_like(n), (n / n[0]) ** -alpha, (d / d[0]) ** -beta], axis=1)
            (e, a, b), error = non_negative_fit(terms, loss)
            here = e + a * (parameters / n[0]) ** -alpha + b * (tokens / d[0]) ** -beta
            said.append(float(here))
            misfit.append(error)
    noise = max(noise, (min(misfit) / (len(loss) - 3)) ** 0.5)
    lost = np.array(misfit) / (2 * noise**2)
    weights = np.exp(lost.min() - lost)
    order = np.argsort(said)
    share = np.cumsum(weights[order]) / weights.sum()
    tail = (1 - LEVEL) / 2
    low, middle, high = (
        float(np.array(said)[order][min(int(np.searchsorted(share, q)), len(said) - 1)])
        for q in (tail, 0.5, 1 - tail)
    )
    return Interval(middle, low - noise, high + noise, LEVEL, len(loss))


def run_hash(run: Run) -> str:
    """A hash of everything that a prediction is about: the whole tree of settings."""
    return hashlib.sha256(json.dumps(to_dict(run), sort_keys=True).encode()).hexdigest()[:16]


def write_prediction(name: str, folder: Path = PREDICTIONS) -> Path:
    """Write the prediction for a base model; it has to be committed before the run is started.

    Args:
        name: "small" or "medium".
        folder: of the predictions.

    Returns:
        The file, `base_<name>.json`.

    Raises:
        ValueError: if a prediction for other settings is there: it is not to be overwritten.
    """
    run, rungs = find_run(name), read_rungs()
    n_tokens = run.train.steps * run.train.batch_size * run.train.context * run.train.accumulate
    found = predict_loss(rungs, count_parameters(run.model), n_tokens)
    path = folder / f"base_{name}.json"
    if path.is_file() and json.loads(path.read_text("utf-8"))["run_hash"] != run_hash(run):
        raise ValueError(f"{path} is about another run; a prediction is not changed: move it away")
    note: dict[str, Any] = {
        "what": "validation loss at the end of the run, nats a token, first 128 validation rows",
        "run": name,
        "run_hash": run_hash(run),
        "parameters": count_parameters(run.model),
        "tokens": n_tokens,
        "predicted": round(found.value, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "level": found.level,
        "made_from": {"studies": list(LADDER), "rungs": found.n, "noise": NOISE},
        "rungs": [
            {"parameters": n, "tokens": d, "loss": round(x, 4)}
            for n, d, x in zip(rungs.parameters, rungs.tokens, rungs.loss, strict=True)
        ],
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    return path


def read_prediction(name: str, folder: Path = PREDICTIONS) -> dict[str, Any]:
    """Read the prediction for a base model.

    Raises:
        ValueError: if there is none, or it is about other settings than the recipe has now.

    Lesson: notebooks/27_pretraining.ipynb
    """
    path = folder / f"base_{name}.json"
    if not path.is_file():
        raise ValueError(
            f"no loss was predicted for {name!r}; first: python -m minillm.recipes predict {name}"
        )
    note: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if note["run_hash"] != run_hash(find_run(name)):
        raise ValueError(f"{path.name} is about other settings than the recipe {name!r} has now")
    return note

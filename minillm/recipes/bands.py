"""Bands: where the loss curves of healthy runs lie, so that a reader can place their own.

`python -m minillm.recipes bands` makes the bands of lessons 00 and 20a again. `00_tour.json` is the
run of lesson 00 with other seeds: each run goes to `data/results/bands/00_tour/` as soon as it is
done, and a run that is there is not made again. `20a_adamw.json` comes from the healthy runs of the
study broken_runs, which `python -m minillm.recipes records broken_runs` makes.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cattrs
import numpy as np
import torch

import minillm
from minillm.data.loader import BatchSampler
from minillm.data.storyworld.quiz import make_quiz_corpus
from minillm.evaluate.intervals import t_quantile
from minillm.model import Decoder
from minillm.recipes.runs import decoder
from minillm.recipes.tokens import pack_rows
from minillm.tokenizer import Tokenizer, train_bpe
from minillm.train import OptimizerConfig, TrainConfig, train

DATA = Path(minillm.__file__).parents[1] / "data"
TOUR_SEEDS = (1, 2, 3, 4, 5)  # the lesson's own run has seed 0
TOUR_CONTEXT = 144
TOUR_VOCABULARY = 1_500
TOUR_TEXTS = 2_500
TOUR_KINDS = ("feeling", "who_did", "where_person")
_CHOSEN = cattrs.Converter(omit_if_default=True)
WINDOW = 50
"""A point of a band is the mean loss of so many steps; single batches jump too much."""
ALLOWED = 2
"""So many points outside may be chance; a run with more of them is flagged."""


def tour_settings() -> tuple[TrainConfig, OptimizerConfig]:
    """How the run of lesson 00 is trained: under a minute on one core."""
    settings = TrainConfig(
        steps=1_000,
        batch_size=8,
        context=TOUR_CONTEXT,
        warmup_steps=30,
        min_lr_ratio=0.05,
        log_every=0,
        eval_every=250,
        precision="float32",
    )
    return settings, OptimizerConfig(lr=1e-2, weight_decay=0.1)


def tour_losses(seed: int) -> list[float]:
    """Train the model of lesson 00 from other random weights, on batches in another order.

    Args:
        seed: of the weights and of the order; text and tokenizer stay the same.

    Returns:
        The loss of every step, nats a token.

    Cost: about a minute and a quarter on one core.
    Lesson: notebooks/00_tour.ipynb
    """
    torch.set_num_threads(1)
    end = "<|endoftext|>"
    texts = make_quiz_corpus(0, TOUR_TEXTS, "en", 3, TOUR_KINDS)
    vocab, merges = train_bpe(texts[:1500], TOUR_VOCABULARY, [end])
    tokenizer = Tokenizer(vocab, merges, [end])
    encoded = [tokenizer.encode(text) for text in texts]
    packed = pack_rows(encoded, tokenizer.special_id(end), TOUR_CONTEXT + 1)
    tokens = np.concatenate(list(packed))
    settings, optimizer = tour_settings()
    batches = BatchSampler(
        tokens, settings.batch_size, TOUR_CONTEXT, seed=seed, stride=TOUR_CONTEXT + 1
    )
    torch.manual_seed(seed)
    model = Decoder(tour_model())
    losses: list[float] = []
    train(
        model,
        batches,
        settings,
        optimizer=optimizer,
        log=lambda record: losses.append(record["loss"]),
        progress=False,
    )
    return losses


def tour_model() -> Any:
    """The shape of the model of lesson 00."""
    return decoder(
        TOUR_VOCABULARY,
        d_model=64,
        n_layers=2,
        n_heads=4,
        context=TOUR_CONTEXT,
        tie_embeddings=False,
    )


def smooth(losses: list[float], window: int = WINDOW) -> dict[int, float]:
    """Average a curve over windows that do not overlap: last step of a window -> mean loss.

    Raises:
        ValueError: if window < 1 or the curve is shorter than one window.

    Lesson: notebooks/00_tour.ipynb
    """
    if not 1 <= window <= len(losses):
        raise ValueError(f"window must be in 1 .. {len(losses)} (the curve's length), got {window}")
    ends = range(window, len(losses) + 1, window)
    return {step: sum(losses[step - window : step]) / window for step in ends}


def band_of(curves: list[dict[int, float]], level: float = 0.99) -> dict[str, Any]:
    """Where one more healthy run is expected, at each step, from a few that are there.

        mean +- t s sqrt(1 + 1/n),   t = the (1 + level)/2 quantile of Student's t with n - 1

    Args:
        curves: step -> loss, of runs that differ in the seed alone; the same steps in each.
        level: share of further runs that lie inside at one step.

    Returns:
        steps, median, low, high and n_seeds.

    Raises:
        ValueError: if there are fewer than 5 curves, or their steps differ.
    """
    steps = list(curves[0]) if curves else []
    if len(curves) < 5 or any(list(c) != steps for c in curves):
        raise ValueError(f"a band needs 5 curves or more with the same steps, got {len(curves)}")
    x = np.array([list(curve.values()) for curve in curves])  # (n, steps)
    half = t_quantile((1 + level) / 2, len(x) - 1) * x.std(axis=0, ddof=1)
    half = half * math.sqrt(1 + 1 / len(x))
    mean = x.mean(axis=0)
    return {
        "steps": steps,
        "median": np.median(x, axis=0).round(4).tolist(),
        "low": (mean - half).round(4).tolist(),
        "high": (mean + half).round(4).tolist(),
        "n_seeds": len(x),
    }


def outside(curve: Mapping[int, float], known: Mapping[str, Any]) -> list[int]:
    """Say at which steps a run leaves its band; more than ALLOWED of them flag it.

    Args:
        curve: step -> loss, smoothed as the band was; steps that the band lacks are passed over.
        known: a band, as band_of gives it and data/bands/ holds it.

    Returns:
        The steps below low or above high, rising. A loss that is NaN lies outside.

    Raises:
        ValueError: if the curve has none of the band's steps.

    Lesson: notebooks/20a_adamw.ipynb
    """
    points = zip(known["steps"], known["low"], known["high"], strict=True)
    met = [(step, low, high) for step, low, high in points if step in curve]
    if not met:
        raise ValueError(f"the curve has none of the band's steps {known['steps'][:5]} ...")
    return [step for step, low, high in met if not low <= curve[step] <= high]


def chosen(config: Any) -> Any:
    """The fields of a config that differ from their defaults, by name, at every depth.

    So that a switch which a later lesson adds, and which is off here, changes no hash.
    """
    return _CHOSEN.unstructure(config)


def tour_hash() -> str:
    """A hash of everything that the curve of lesson 00 depends on but its seed."""
    settings, optimizer = tour_settings()
    parts = [chosen(part) for part in (tour_model(), settings, optimizer)]
    told = [*parts, TOUR_TEXTS, TOUR_KINDS, TOUR_VOCABULARY, WINDOW]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def make_tour_band(data: Path = DATA) -> Path:
    """Run the seeds that are not there yet, and write the band."""
    key = tour_hash()
    folder = data / "results" / "bands" / "00_tour"
    folder.mkdir(parents=True, exist_ok=True)
    curves = []
    for seed in TOUR_SEEDS:
        path = folder / f"{key}-{seed}.json"
        if not path.is_file():
            curve = {str(step): round(x, 5) for step, x in smooth(tour_losses(seed)).items()}
            note = {"seed": seed, "config_hash": key, "curve": curve}
            path.write_text(json.dumps(note) + "\n", encoding="utf-8")
        recorded = json.loads(path.read_text("utf-8"))["curve"]
        curves.append({int(step): x for step, x in recorded.items()})
    target = data / "bands" / "00_tour.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    found = band_of(curves) | {"config_hash": key}
    target.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return target


def adamw_hash() -> str:
    """A hash of everything that the curve of lesson 20a depends on but its seed."""
    from minillm.recipes.studies import broken_runs, feedforward_kinds, rate_sensitivity

    text = (rate_sensitivity.CORPUS, rate_sensitivity.TRAIN_BYTES, rate_sensitivity.TEST_BYTES)
    shape = chosen(feedforward_kinds.model_config("swiglu"))
    run = (chosen(rate_sensitivity.SMALL), rate_sensitivity.BETAS, broken_runs.HEALTHY)
    told = [shape, *run, text, broken_runs.WINDOW]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def make_adamw_band(data: Path = DATA) -> Path:
    """Write the band of lesson 20a from the recorded healthy runs of broken_runs.

    Raises:
        ValueError: if the healthy runs are not all recorded, or with other settings or code.
    """
    from minillm.recipes.records import missing
    from minillm.recipes.studies import broken_runs

    if wanted := [seed for arm, seed in missing(broken_runs.JOB) if arm == "healthy"]:
        raise ValueError(
            f"the healthy runs of seeds {wanted} are missing or stale; first: "
            "python -m minillm.recipes records broken_runs"
        )
    target = data / "bands" / "20a_adamw.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    found = broken_runs.lesson_band(target) | {"config_hash": adamw_hash()}
    target.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return target

"""`make base`: train `small` or `medium`, going on after a kill, and ship it with all it needs.

runs/small/            the run, as `execute` writes it; Ctrl-C, kill -9, and the same command
data/predictions/      what the loss was expected to be, written before
data/checkpoints/      the shipped model: float16 weights, and a manifest that says the data
                       (hash of the rows), run, seed, commit, loss curve, samples, figures
data/results/base/     what the model is worth: stories, and bits per byte beside others
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from minillm.data.storyworld.story import make_corpus
from minillm.evaluate.compression import gzip_bits, model_bits, ngram_bits, xz_bits
from minillm.evaluate.told import judge_stories, story_prompts, tell_stories
from minillm.model import Decoder
from minillm.objectives import fast_cross_entropy
from minillm.recipes.base_prediction import read_prediction
from minillm.recipes.execution import execute
from minillm.recipes.overrides import from_dict
from minillm.recipes.publish import VALIDATION_SEED, publish, read_validation
from minillm.recipes.records import RESULTS, commit, machine, versions, write_note
from minillm.recipes.run import Run
from minillm.recipes.runs import find_run
from minillm.recipes.shipped import CHECKPOINTS, base
from minillm.recipes.tokens import find_tokenizer, part_texts, prepare_rows
from minillm.tokenizer import Tokenizer
from minillm.train import has_checkpoint, load_checkpoint, read_metrics

BASE = ("small", "medium")
RELOAD_ROWS = 24
"""Rows of the shipped validation file whose loss is stored, so that a reload can be compared."""
STORY_OFFSET = 500
"""First held-out story whose beginning is given to a model; those before it are in validation."""
PROMPTS = {
    "en": "Once there was a girl named Mia.",
    "zh": "从前有一个叫米娅的女孩。",
    "prose": "Return a new list that contains",
    "code": "def read_lines(path):\n",
}


def make_base(name: str = "small", runs: Path = Path("runs"), into: Path = CHECKPOINTS) -> Path:
    """Train a base model, or go on where the last call was stopped, and publish it.

    Args:
        name: "small" or "medium".
        runs: folder of the runs.
        into: folder of the shipped models.

    Returns:
        The folder of the shipped model.

    Raises:
        ValueError: if there is no such base model, no loss was predicted for it, or the shipped
            one is better.

    Lesson: notebooks/27_pretraining.ipynb
    """
    if name not in BASE:
        raise ValueError(f"no base model {name!r} here; there are {', '.join(BASE)}")
    said = read_prediction(name)
    print(f"predicted: {said['predicted']} nats a token, {said['low']} to {said['high']}")
    run, out = find_run(name), runs / name
    execute(run, out, resume_run=has_checkpoint(out / "last"))
    return publish_base(out, name, into)


def publish_base(run_folder: Path, name: str, into: Path = CHECKPOINTS) -> Path:
    """Store a finished run as a base model, with its data hash, commit, curve and samples.

    Raises:
        ValueError: if the run is not finished, or the model that is there is better.
    """
    manifest = load_checkpoint(run_folder / "last").manifest
    run = from_dict(manifest["run"], Run)
    if manifest["step"] < run.train.steps:
        raise ValueError(
            f"{run_folder} stands at step {manifest['step']} of {run.train.steps}: not finished"
        )
    rows = prepare_rows(run.data, find_tokenizer(run.data.tokenizer), run.train.context)

    def more(model: Decoder, tokenizer: Tokenizer) -> dict[str, Any]:
        return {
            "commit": commit(),
            "data": {
                "train": rows.train.header.sha256,
                "validation": rows.validation.header.sha256,
                "n_train_tokens": len(rows.train),
                "bytes_per_token": round(rows.bytes_per_token, 4),
            },
            "curve": loss_curve(run_folder / "metrics.jsonl"),
            "reload": reload_loss(model, tokenizer),
            "samples": samples(model, tokenizer),
        }

    publish(run_folder, name, into, more=more)
    return into / name


def loss_curve(path: Path, n_points: int = 200) -> dict[str, list[list[float]]]:
    """Thin the curve of a run: means of the training loss, and every validation loss.

    Returns:
        "train" and "validation": pairs of step and nats a token. A training point is the mean
        of the steps since the one before it.
    """
    records = read_metrics(path)
    losses = [(r["step"], r["loss"]) for r in records if "loss" in r]
    width = max(1, -(-len(losses) // n_points))
    chunks = [losses[i : i + width] for i in range(0, len(losses), width)]
    return {
        "train": [[c[-1][0], round(sum(x for _, x in c) / len(c), 4)] for c in chunks],
        "validation": [
            [r["step"], round(r["evaluate"]["validation_loss"], 4)]
            for r in records
            if "evaluate" in r
        ],
    }


@torch.no_grad()
def reload_loss(model: Decoder, tokenizer: Tokenizer, n_rows: int = RELOAD_ROWS) -> float:
    """Nats a token on the first rows of the shipped validation file."""
    end, nats, n = tokenizer.special_id("<|endoftext|>"), 0.0, 0
    for row in read_validation()[:n_rows]:
        ids = torch.tensor([[end, *tokenizer.encode(row["text"])][: model.config.context + 1]])
        nats += fast_cross_entropy(model(ids[:, :-1]), ids[:, 1:], reduction="sum").item()
        n += ids.shape[1] - 1
    return round(nats / n, 6)


def samples(model: Decoder, tokenizer: Tokenizer, max_tokens: int = 160) -> dict[str, str]:
    """A continuation of each of PROMPTS, at temperature 0.8, seed 0."""
    room = min(max_tokens, model.config.context // 2)
    return {
        kind: tell_stories(model, tokenizer, [prompt], temperature=0.8, max_tokens=room)[0]
        for kind, prompt in PROMPTS.items()
    }


def story_figures(
    model: Decoder, tokenizer: Tokenizer, language: str, *, n: int = 100, temperature: float = 0.7
) -> dict[str, Any]:
    """Let a model finish held-out stories, and judge them; the simulator's own beside it.

    Args:
        model, tokenizer: the base model.
        language: "en" or "zh".
        n: how many.
        temperature: of the sampling.

    Returns:
        Shares with intervals [value, low, high] of the model's stories and of the simulator's;
        problems and unread sentences, some of each; "stories with" counts the stories that have a
        problem of a kind (problem_kind).
    """
    texts = make_corpus(VALIDATION_SEED, STORY_OFFSET + n, language)[STORY_OFFSET:]
    told = tell_stories(model, tokenizer, story_prompts(texts, language), temperature=temperature)
    figures: dict[str, Any] = {"n": n, "temperature": temperature}
    for who, pile in (("model", told), ("simulator", texts)):
        scores, judged = judge_stories(pile, language)
        figures[who] = {
            share: [round(x, 4) for x in (i.value, i.low, i.high)]
            for share in ("sentences", "grammatical", "complete", "consistent")
            for i in (getattr(scores, share),)
        }
        figures[who] |= {"events": round(scores.events, 2), "distinct": round(scores.distinct, 3)}
        if who == "model":
            figures["problems"] = sorted({p for j in judged for p in j.problems})[:20]
            kinds = Counter(kind for j in judged for kind in {*map(problem_kind, j.problems)})
            figures["stories with"] = dict(kinds.most_common())
            figures["unread"] = sorted({s for j in judged for s in j.unread})[:20]
    figures["examples"] = told[:3]
    return figures


def problem_kind(problem: str) -> str:
    """Sort a problem that the judge found: "one person twice", "needs at", ..., or "other"."""
    if problem.endswith("is in two roles"):
        return "one person twice"
    need = re.search(r": needs (\w+)", problem)
    return f"needs {need[1]}" if need else "other"


def prose_figures(
    model: Decoder,
    tokenizer: Tokenizer,
    held: Sequence[str],
    known: Sequence[str],
    *,
    order: int = 5,
) -> dict[str, float]:
    """Bits per byte of held-out texts: the model beside gzip, xz and an n-gram model.

    Args:
        model, tokenizer: the base model.
        held: texts that it has not read.
        known: what it has read of this kind; xz and the n-gram model may read it, too.
        order: of the n-gram model of bytes.
    """
    measured: dict[str, Callable[[], float]] = {
        "model": lambda: model_bits(model, tokenizer, held),
        "gzip": lambda: gzip_bits(held),
        "xz": lambda: xz_bits(held),
        "xz after the training text": lambda: xz_bits(held, known),
        f"{order}-gram of bytes": lambda: ngram_bits(held, known, order),
    }
    return {name: round(bits(), 4) for name, bits in measured.items()}


def measure_base(name: str, results: Path = RESULTS, *, n_stories: int = 100) -> Path:
    """Measure a shipped base model, and write data/results/base/<name>.json.

    Args:
        name: of the model.
        results: folder of all results.
        n_stories: told in each language.

    Returns:
        The file.

    Raises:
        ValueError: if there is no such model.

    Cost: some minutes on one core: stories of 200 tokens, and counting 10 MB of 5-grams.
    Lesson: notebooks/27_pretraining.ipynb
    """
    model, tokenizer = base(name)
    manifest = load_checkpoint(CHECKPOINTS / name).manifest
    data = from_dict(manifest["run"], Run).data
    stories, greedy = (
        {k: story_figures(model, tokenizer, k, n=n_stories, temperature=t) for k in ("en", "zh")}
        for t in (0.7, 0.0)
    )
    held = part_texts(data, "prose")
    note = {
        "model": name,
        "weights_sha256": manifest["files"]["model.safetensors"]["sha256"],
        "stories": stories,
        "stories at temperature 0": greedy,
        "prose": prose_figures(model, tokenizer, held["validation"], held["train"]),
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
    }
    path = results / "base" / f"{name}.json"
    write_note(path, note)
    return path

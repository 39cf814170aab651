"""Pairs to learn from: answers of known kinds, and what the model itself has said."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minillm.align.annotators import Annotator, annotate
from minillm.align.preferences import Pair
from minillm.align.rejection import sample_answers
from minillm.align.story_pairs import make_story_pairs, preferences_of
from minillm.finetune.tasks import Task
from minillm.model import Decoder
from minillm.recipes.chat_model.gold import gold_of, worth
from minillm.tokenizer import Tokenizer

LEAST_GAP = 1.0
"""Own answers make a pair if their utilities are so far apart."""


@dataclass(frozen=True)
class Drawn:
    """Answers that a model gave to one task, and what they are worth."""

    task: int
    texts: tuple[str, ...]
    worth: tuple[float, ...]


def draw_answers(
    model: Decoder, tokenizer: Tokenizer, tasks: Sequence[Task], n_samples: int, path: Path, *,
    seed: int,
) -> list[Drawn]:  # fmt: skip
    """Draw answers and write them down; those that are written down are not drawn again.

    Args:
        model, tokenizer: who answers, at temperature 1.
        tasks: the prompts.
        n_samples: answers to each.
        path: a JSONL file, one task a line.
        seed: of the draws.

    Returns:
        One record a task; answers that did not end, or are blank, are left out.
    """
    if not path.is_file():
        samples = sample_answers(model, tokenizer, tasks, n_samples, seed=seed)
        lines = []
        for n, (task, some) in enumerate(zip(tasks, samples, strict=True)):
            texts = [s.text for s in some if s.ended and s.text.strip()]
            row = {"task": n, "texts": texts, "worth": [gold_of(task, text) for text in texts]}
            lines.append(json.dumps(row, ensure_ascii=False))
        beside = path.with_name(path.name + ".new")
        beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.replace(beside, path)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [Drawn(r["task"], tuple(r["texts"]), tuple(r["worth"])) for r in rows]


def own_pairs(tasks: Sequence[Task], drawn: Sequence[Drawn]) -> list[Pair]:
    """The best answer of a model against its worst, where they differ by LEAST_GAP.

    Where all are bad, the right answer stands against the worst.
    """
    pairs = []
    for one in drawn:
        task = tasks[one.task]
        known = list(zip(one.worth, one.texts, strict=True))
        if not known:
            continue
        low, worst = min(known)
        high, best = max(known)
        right = gold_of(task, task.answer)
        if high < right - LEAST_GAP:
            high, best = right, task.answer
        if high - low >= LEAST_GAP:
            pairs.append(Pair(task.messages, best, worst))
    return pairs


def written_pairs(tasks: Sequence[Task], *, noise: float, secrets: float, seed: int) -> list[Pair]:
    """Pairs of answers of known kinds, as an annotator with noise compares them.

    Args:
        tasks: of one language.
        noise: of the annotator, in utilities.
        secrets: share of the tasks that become secrets.
        seed: of pairs and annotator.
    """
    made = make_story_pairs(tasks, seed=seed, conflict=secrets)
    utilities = np.array([[worth(one) for one in pair.judged] for pair in made])
    labels = annotate(utilities, [Annotator("annotator", noise=noise)], seed=seed)
    return [Pair(p.prompt, p.chosen, p.rejected) for p in preferences_of(made, labels)]

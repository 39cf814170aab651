"""Train the base models `draft` and `tiny`, measure them, and put them where the lessons look.

The weights are stored in float16, half the size; both models together take under 4 MB. What they
are worth is measured on `data/checkpoints/validation.jsonl`, synthetic stories and questions that
no training run of the course reads, and stands in each manifest.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from minillm.data.storyworld.quiz import ASK, make_quiz_corpus
from minillm.data.storyworld.story import make_corpus
from minillm.inference import generate
from minillm.model import Decoder
from minillm.objectives import bits_per_byte, fast_cross_entropy
from minillm.recipes.execution import execute
from minillm.recipes.runs import find_run
from minillm.recipes.shipped import CHECKPOINTS, open_checkpoint
from minillm.tokenizer import Tokenizer
from minillm.train import has_checkpoint, load_checkpoint, save_checkpoint

VALIDATION = CHECKPOINTS / "validation.jsonl"
VALIDATION_SEED = 1  # training reads seed 0


def write_validation(path: Path = VALIDATION) -> None:
    """Write the validation file, about 200 KB: stories, and short stories with questions."""
    rows = []
    for language, n_stories, n_quizzes in (("en", 60, 200), ("zh", 40, 100)):
        for kind, texts in (
            ("story", make_corpus(VALIDATION_SEED, n_stories, language)),
            ("quiz", make_quiz_corpus(VALIDATION_SEED, n_quizzes, language)),
        ):
            rows += [{"language": language, "kind": kind, "text": text} for text in texts]
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_validation(path: Path = VALIDATION) -> list[dict[str, str]]:
    """Read the validation file: rows of language, kind and text."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@torch.no_grad()
def text_nats(model: Decoder, tokenizer: Tokenizer, text: str) -> float:
    """Sum the surprise of a model over a text, its first token and its end included.

    The text is read in pieces of the model's context; each piece begins with an end-of-text token,
    as texts did in training, so the first token is predicted too.

    Returns:
        Nats, summed.
    """
    end = tokenizer.special_id("<|endoftext|>")
    ids, total = [end, *tokenizer.encode(text), end], 0.0
    T = model.config.context
    for start in range(0, len(ids) - 1, T):
        piece = torch.tensor([ids[start : start + T + 1]])
        total += fast_cross_entropy(model(piece[:, :-1]), piece[:, 1:], reduction="sum").item()
    return total


def answer(model: Decoder, tokenizer: Tokenizer, prompt: str, *, max_new_tokens: int = 24) -> str:
    """Let a base model continue a prompt of `question_prompt`, up to the end of the line."""
    end = tokenizer.special_id("<|endoftext|>")
    max_new_tokens = min(max_new_tokens, model.config.context // 2)
    ids = tokenizer.encode(prompt)[-(model.config.context - max_new_tokens) :]
    out = generate(model, torch.tensor([ids]), max_new_tokens, stop_ids=(end,))
    new = [i for i in out[0, len(ids) :].tolist() if i != end]
    return tokenizer.decode(new).split("\n")[0].strip()


def measure(
    model: Decoder, tokenizer: Tokenizer, rows: list[dict[str, str]]
) -> dict[str, dict[str, float]]:
    """Measure a model on validation rows.

    Returns:
        For each language: bits_per_byte over all its texts, and exact, the share of questions
        that are answered word by word.
    """
    found = {}
    for language, (_, word) in ASK.items():
        texts = [row["text"] for row in rows if row["language"] == language]
        nats = sum(text_nats(model, tokenizer, text) for text in texts)
        n_bytes = sum(len(text.encode()) for text in texts)
        quizzes = [r["text"] for r in rows if r["language"] == language and r["kind"] == "quiz"]
        right = 0
        for text in quizzes:
            prompt, wanted = text.rsplit(word, 1)
            right += answer(model, tokenizer, prompt + word) == wanted.strip()
        found[language] = {
            "bits_per_byte": round(bits_per_byte(nats, n_bytes), 4),
            "exact": round(right / len(quizzes), 4),
        }
    return found


def publish(
    run_folder: str | Path,
    name: str,
    into: Path = CHECKPOINTS,
    *,
    more: Callable[[Decoder, Tokenizer], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Store a trained run as a base model, if it is better than the one that is there.

    Args:
        run_folder: folder of a run, with `last/` in it.
        name: of the base model.
        into: where base models lie.
        more: called with the model as it is stored; what it returns joins the manifest.

    Returns:
        What was measured, by language.

    Raises:
        ValueError: if the model that is there is better: a shipped model is replaced only for a
            better figure (English bits per byte).
    """
    source = Path(run_folder) / "last"
    model, tokenizer = open_checkpoint(source)
    model = model.half().float()  # measured as it is stored
    measured = measure(model, tokenizer, read_validation())
    if has_checkpoint(into / name):
        old = load_checkpoint(into / name).manifest
        before, now = (m["en"]["bits_per_byte"] for m in (old["measured"], measured))
        same_tokenizer = old["tokenizer"] == tokenizer.hash
        if same_tokenizer and now >= before:
            raise ValueError(
                f"{name} is kept: the new run reaches {now} bits per byte, the old {before}"
            )
    manifest = {k: v for k, v in load_checkpoint(source).manifest.items() if k != "files"}
    manifest |= {"name": name, "measured": measured, "stored_as": "float16"}
    manifest |= more(model, tokenizer) if more is not None else {}
    save_checkpoint(into / name, model.half(), manifest=manifest)
    return measured


def make_base_tiny(runs: Path = Path("runs")) -> None:
    """Train `draft` and `tiny`, going on where an earlier call was stopped, and publish both."""
    if not VALIDATION.is_file():
        write_validation()
    for name in ("draft", "tiny"):
        run, out = find_run(name), runs / name
        execute(run, out, resume_run=has_checkpoint(out / "last"))
        try:
            print(f"{name}: {publish(out, name)}")
        except ValueError as kept:
            print(kept)

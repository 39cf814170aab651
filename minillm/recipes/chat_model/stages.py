"""The runs that make `chat`, in their order; each goes on where it was stopped, or is done.

runs/chat/short.jsonl, pilot-small/, pilot-tiny/, base.json   which base
runs/chat/talks.jsonl, sft/                                   the policy before alignment
runs/chat/answers-en.jsonl, own.jsonl, pairs.jsonl, reward/   what it says, and who judges it
runs/chat/dpo/, rejection/, ppo/, grpo/                       the candidates
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from minillm.align.direct_training import reference_of
from minillm.align.grpo_training import train_grpo
from minillm.align.pair_files import write_pairs
from minillm.align.rejection_rounds import rejection_run
from minillm.finetune.score import score
from minillm.finetune.tasks import Task
from minillm.model import Decoder
from minillm.recipes.aligning import AlignRun, execute_align
from minillm.recipes.aligning.draw_runs import ROUNDS
from minillm.recipes.aligning.opening import describe
from minillm.recipes.chat_model.answers import Drawn, draw_answers, own_pairs, written_pairs
from minillm.recipes.chat_model.exam import story_exam
from minillm.recipes.chat_model.gold import gold_scores, prompts_of
from minillm.recipes.chat_model.own_reward import run_own_ppo, undecided
from minillm.recipes.chat_model.settings import LANGUAGES, LONGEST_ANSWER, ROWS, ChatRecipe
from minillm.recipes.chat_model.talks import FIRST, SECOND, make_talks, write_talks
from minillm.recipes.finetuning import execute_finetune
from minillm.recipes.finetuning.config import FinetuneRun
from minillm.recipes.finetuning.opening import base_folder, open_base
from minillm.recipes.shipped import open_checkpoint
from minillm.tokenizer import Tokenizer
from minillm.train import (
    MetricsFile,
    TrainState,
    checkpointer,
    has_checkpoint,
    make_optimizer,
    resume,
    save_checkpoint,
)
from minillm.train.disk import save_json

ROOT = Path("runs/chat")
SHORT = {"en": 390, "zh": 130}
"""Characters of a story with which a task fits into 128 tokens."""


def choose_base(recipe: ChatRecipe, root: Path = ROOT) -> str:
    """Fine-tune every base for a short time, and take the one that answers best.

    All learn the same talks at the same rate; none was tuned for itself.

    Returns:
        Its name. Shares and intervals on tasks of validation worlds stand in base.json.
    """
    note = root / "base.json"
    if note.is_file():
        return str(json.loads(note.read_text("utf-8"))["chosen"])
    _, tokenizer = open_checkpoint(base_folder(recipe.bases[0]))
    rows, n = root / "short.jsonl", recipe.sizes.pilot_talks
    _make_rows(rows, tokenizer, n, 129, seed=recipe.seed + 2, shares=FIRST)
    n, most = recipe.sizes.validation, 30
    tasks = {
        language: story_exam(
            "validation", language, n, tokenizer, room=128 - most, longest=SHORT[language]
        )
        for language in LANGUAGES
    }
    found: dict[str, Any] = {}
    for name in recipe.bases:
        model = finetuned(recipe.pilot(name, root), root / f"pilot-{Path(name).name}")
        found[name] = {}
        for language, asked in tasks.items():
            right = score(model, tokenizer, asked, max_tokens=most).right
            share = [right.value, right.low, right.high]
            found[name][language] = {"n": n, "right": share}
    chosen = max(found, key=lambda name: sum(found[name][k]["right"][0] for k in LANGUAGES))
    save_json(note, {"chosen": chosen, "found": found})
    return chosen


def finetuned(run: FinetuneRun, out: Path) -> Decoder:
    """Carry out a fine-tuning run, or go on with it, or open what it has made."""
    if not has_checkpoint(out / "model"):
        execute_finetune(run, out, resume_run=has_checkpoint(out / "last"))
    return whole(out)


def aligned(run: AlignRun, out: Path) -> None:
    """Carry out an alignment run, or go on with it."""
    if not has_checkpoint(out / "model"):
        begun = has_checkpoint(out / "last") or (out / ROUNDS / "run.json").is_file()
        execute_align(run, out, resume_run=begun)


def whole(out: Path) -> Decoder:
    """Open the model of a run that has come to its end.

    Raises:
        KeyboardInterrupt: if it has not, as after Ctrl-C.
    """
    if not has_checkpoint(out / "model"):
        raise KeyboardInterrupt(f"{out} was stopped; the same command goes on from here")
    return open_checkpoint(out / "model")[0]


def make_sft(recipe: ChatRecipe, base: str, root: Path = ROOT) -> Decoder:
    """Make the policy before alignment, in two parts."""
    _, tokenizer = open_checkpoint(base_folder(base))
    sizes, seed, rows = recipe.sizes, recipe.seed, root / "talks.jsonl"
    _make_rows(rows, tokenizer, sizes.talks, ROWS + 1, seed=seed, shares=FIRST)
    finetuned(recipe.sft(base, root), root / "sft-1")
    rows = root / "talks-2.jsonl"
    _make_rows(rows, tokenizer, sizes.more_talks, ROWS + 1, seed=seed + 1, shares=SECOND)
    return finetuned(recipe.second(root), root / "sft")


def _make_rows(
    path: Path,
    tokenizer: Tokenizer,
    n: int,
    longest: int,
    *,
    seed: int,
    shares: Mapping[str, int],
) -> None:
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {"longest": longest, "seed": seed, "shares": shares}
    both = [make_talks(language, n, tokenizer, **settings)[0] for language in LANGUAGES]
    write_talks(path, [talk for talks in both for talk in talks])


def make_pairs(recipe: ChatRecipe, root: Path = ROOT) -> None:
    """Draw answers of the SFT model, and write own.jsonl and pairs.jsonl."""
    if (root / "pairs.jsonl").is_file():
        return
    model, tokenizer = open_checkpoint(root / "sft" / "model")
    sizes, own, known = recipe.sizes, [], []
    for language in LANGUAGES:
        tasks, drawn = _drawn(recipe, model, tokenizer, language, root)
        own += own_pairs(tasks, drawn)
        asked = story_exam(
            "train", language, sizes.written, tokenizer, room=ROWS - 80, seed=recipe.seed + 2
        )
        known += written_pairs(asked, noise=recipe.noise, secrets=recipe.secrets, seed=recipe.seed)
    write_pairs(root / "own.jsonl", own)
    write_pairs(root / "pairs.jsonl", [*own, *known])


def _prompts(
    recipe: ChatRecipe, tokenizer: Tokenizer, language: str, n: int, seed: int
) -> list[Task]:
    room = ROWS - LONGEST_ANSWER
    return prompts_of("train", language, n, tokenizer, room=room, seed=seed)


def make_reward(recipe: ChatRecipe, base: str, root: Path = ROOT) -> None:
    """Make the reward model, from the base."""
    aligned(recipe.reward(base, root), root / "reward")


def all_prompts(recipe: ChatRecipe, tokenizer: Tokenizer) -> list[Task]:
    """The prompts of rejection and GRPO: English and Chinese in turn."""
    n, seed = recipe.sizes.prompts, recipe.seed + 3
    both = [_prompts(recipe, tokenizer, language, n, seed) for language in LANGUAGES]
    return [task for pair in zip(*both, strict=True) for task in pair]


def make_candidate(recipe: ChatRecipe, method: str, root: Path = ROOT) -> Decoder:
    """Make one of the candidates from the SFT model.

    Raises:
        ValueError: if the method is none of METHODS.
    """
    made: dict[str, Callable[[], object]] = {
        "dpo": lambda: aligned(recipe.dpo(root), root / "dpo"),
        "ppo": lambda: _make_ppo(recipe, root),
        "rejection": lambda: _make_rejection(recipe, root),
        "grpo": lambda: _make_grpo(recipe, root),
    }
    if method not in made:
        raise ValueError(f"method must be one of {', '.join(made)}; got {method!r}")
    if not has_checkpoint(root / method / "model"):
        made[method]()
    return whole(root / method)


def _make_ppo(recipe: ChatRecipe, root: Path) -> None:
    model, tokenizer = open_checkpoint(root / "sft" / "model")
    asked = []
    for language in LANGUAGES:
        tasks, drawn = _drawn(recipe, model, tokenizer, language, root)
        asked += undecided(tasks, drawn)
    model = run_own_ppo(recipe, model, tokenizer, asked, root / "ppo")
    _keep(recipe, "ppo", root, model)


def _drawn(
    recipe: ChatRecipe, model: Decoder, tokenizer: Tokenizer, language: str, root: Path
) -> tuple[list[Task], list[Drawn]]:
    """Prompts, and what the SFT model has said to them."""
    tasks = _prompts(recipe, tokenizer, language, recipe.sizes.drawn, recipe.seed + 1)
    path = root / f"answers-{language}.jsonl"
    return tasks, draw_answers(model, tokenizer, tasks, 4, path, seed=recipe.seed)


def _make_rejection(recipe: ChatRecipe, root: Path) -> None:
    model, tokenizer = open_checkpoint(root / "sft" / "model")
    config, train, optimizer = recipe.rejection()
    tasks, out = all_prompts(recipe, tokenizer), root / "rejection"
    reports = rejection_run(
        model, tokenizer, tasks, gold_scores, config, train, out / ROUNDS, optimizer=optimizer
    )
    if len(reports) == config.rounds:
        _keep(recipe, "rejection", root, model)


def _make_grpo(recipe: ChatRecipe, root: Path) -> None:
    model, tokenizer = open_checkpoint(root / "sft" / "model")
    config, settings = recipe.grpo()
    out = root / "grpo"
    out.mkdir(parents=True, exist_ok=True)
    first = reference_of(model)
    optimizer = make_optimizer(model, settings)
    state = TrainState()
    torch.manual_seed(config.seed)
    if has_checkpoint(out / "last"):
        state = resume(out / "last", model, optimizer, ())
    with MetricsFile(out / "metrics.jsonl", resume_at=state.step) as log:
        train_grpo(
            model, first, tokenizer, all_prompts(recipe, tokenizer), config, score=gold_scores,
            optimizer=optimizer, state=state, save=checkpointer(out / "last"), log=log,
        )  # fmt: skip
    _keep(recipe, "grpo", root, model)


def _keep(recipe: ChatRecipe, method: str, root: Path, model: Decoder) -> None:
    """Write a candidate that `align` did not make itself."""
    base = open_base(FinetuneRun(name=f"chat-{method}", base=str(root / "sft")))
    run = AlignRun(name=f"chat-{method}", method="rejection", base=str(root / "sft"))
    told = {**describe(run, base), "align": {"method": method}}
    save_checkpoint(root / method / "model", model, manifest=told)

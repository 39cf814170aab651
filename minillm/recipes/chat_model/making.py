"""Carry out the stages of `chat` in their order, and note what each has cost."""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from minillm.recipes.chat_model.settings import ChatRecipe
from minillm.recipes.chat_model.stages import (
    ROOT,
    choose_base,
    make_candidate,
    make_pairs,
    make_reward,
    make_sft,
)
from minillm.train.disk import save_json


def stage_names(recipe: ChatRecipe) -> tuple[str, ...]:
    """The stages in their order."""
    return ("base", "sft", "pairs", "reward", *recipe.methods)


def make_stages(recipe: ChatRecipe, root: Path = ROOT, only: Sequence[str] | None = None) -> None:
    """Carry out stages; one that is done is not done again, one that was stopped goes on.

    Args:
        recipe: every number.
        root: folder of all runs.
        only: some of `stage_names`; None means all.

    Raises:
        ValueError: if a stage is unknown, or a run is refused.
        KeyboardInterrupt: if a run was stopped.

    Cost: see spent.json in root: CPU seconds of every stage, of all sessions that ended by
        themselves or by Ctrl-C.
    Lesson: notebooks/42_capstone.ipynb
    """
    known = stage_names(recipe)
    chosen = known if only is None else tuple(only)
    if unknown := [name for name in chosen if name not in known]:
        raise ValueError(f"no stage {unknown[0]!r}; there are {', '.join(known)}")
    for name in chosen:
        with_cost(name, root, partial(_one, recipe, root, name))


def with_cost(name: str, root: Path, work: Callable[[], object]) -> None:
    """Do some work, and add the CPU seconds that it took to spent.json."""
    root.mkdir(parents=True, exist_ok=True)
    note, start = root / "spent.json", time.process_time()
    try:
        work()
    finally:
        spent = json.loads(note.read_text("utf-8")) if note.is_file() else {}
        spent[name] = round(spent.get(name, 0.0) + time.process_time() - start, 1)
        save_json(note, spent)


def _one(recipe: ChatRecipe, root: Path, name: str) -> None:
    if name == "base":
        choose_base(recipe, root)
    elif name in recipe.methods:
        make_candidate(recipe, name, root)
    elif name == "pairs":
        make_pairs(recipe, root)
    else:
        base = chosen_base(recipe, root)
        (make_sft if name == "sft" else make_reward)(recipe, base, root)


def chosen_base(recipe: ChatRecipe, root: Path = ROOT) -> str:
    """The base that was chosen; the first one until the choice is made."""
    return choose_base(recipe, root) if (root / "base.json").is_file() else recipe.bases[0]

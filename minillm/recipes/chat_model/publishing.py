"""From the runs in runs/chat to the shipped model, its manifest and its card."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from minillm.finetune.tasks import STORY_KINDS
from minillm.recipes.chat_model.card import card_text
from minillm.recipes.chat_model.exam import LONGEST_STORY
from minillm.recipes.chat_model.making import chosen_base, make_stages, with_cost
from minillm.recipes.chat_model.measuring import (
    base_in_its_own_form,
    choice_tasks,
    compare,
    examine,
    sample_talks,
    worths,
)
from minillm.recipes.chat_model.settings import PILOT, ChatRecipe
from minillm.recipes.chat_model.shipping import CHAT, SFT, as_stored, ship_policy, ship_reward
from minillm.recipes.chat_model.stages import ROOT
from minillm.recipes.finetuning.opening import base_folder
from minillm.recipes.overrides import to_dict
from minillm.recipes.records import commit
from minillm.recipes.shipped import CHECKPOINTS
from minillm.train import find_checkpoint, load_checkpoint
from minillm.train.disk import save_json, sha256

CARD = "CARD.md"


def make_chat(
    recipe: ChatRecipe | None = None, root: Path = ROOT, into: Path = CHECKPOINTS
) -> Path:
    """Make `chat` from the base models, or go on where the last call was stopped, and ship it.

    Args:
        recipe: every number; None takes the course's.
        root: folder of the runs.
        into: folder of the shipped models.

    Returns:
        The folder of `chat`.

    Raises:
        ValueError: if a run is refused.
        KeyboardInterrupt: if a run was stopped; the same call goes on.

    Cost: about 70 minutes of one core.
    Lesson: notebooks/42_capstone.ipynb
    """
    recipe = recipe or ChatRecipe()
    make_stages(recipe, root)
    ship_parts(root, into)
    with_cost("choice", root, lambda: choose_method(recipe, root))
    with_cost("exam", root, lambda: hold_exam(recipe, root))
    return ship_chat(recipe, root, into)


def ship_parts(root: Path = ROOT, into: Path = CHECKPOINTS) -> None:
    """Ship the policy before alignment and the reward model."""
    ship_policy(root / "sft" / "model", SFT, into=into)
    ship_reward(root / "reward", {"pairs": _read(root / "reward" / "score.json")}, into=into)


def choose_method(recipe: ChatRecipe, root: Path = ROOT) -> str:
    """Compare SFT and the candidates on validation worlds; the best stands in choice.json."""

    def of(name: str) -> dict[str, Any]:
        model, tokenizer = as_stored(root / name / "model")
        tasks = choice_tasks(recipe, tokenizer)
        ways = {"greedy": 0.0, "sampled": 1.0}
        return {way: worths(model, tokenizer, tasks, temperature=t) for way, t in ways.items()}

    def chosen() -> dict[str, Any]:
        names = ("sft", *recipe.methods)
        return compare({n: _once(root / f"worths-{n}.json", partial(of, n)) for n in names})

    return str(_once(root / "choice.json", chosen)["best"])


def hold_exam(recipe: ChatRecipe, root: Path = ROOT) -> dict[str, Any]:
    """Measure base, SFT and the chosen model on test worlds, once; see exam-*.json."""
    best, n = _read(root / "choice.json")["best"], recipe.sizes.test
    base = base_folder(chosen_base(recipe, root))

    def of(folder: Path, **kinds: Any) -> Callable[[], dict[str, Any]]:
        return lambda: examine(*as_stored(folder), "test", n, **kinds)

    def own() -> dict[str, Any]:
        return base_in_its_own_form(*as_stored(base), "test", n)

    found = {
        "base": _once(root / "exam-base.json", of(base, kinds=STORY_KINDS)),
        "base, own form": _once(root / "exam-base-own.json", own),
        "sft": _once(root / "exam-sft.json", of(root / "sft" / "model")),
    }
    found["chat"] = (
        found["sft"]
        if best == "sft"
        else _once(root / f"exam-{best}.json", of(root / best / "model"))
    )
    return found


def ship_chat(recipe: ChatRecipe, root: Path = ROOT, into: Path = CHECKPOINTS) -> Path:
    """Store the chosen model with all that its card says, and write the card."""
    choice = _read(root / "choice.json")
    source = root / choice["best"] / "model"
    model, tokenizer = as_stored(source)
    base = chosen_base(recipe, root)
    weights = find_checkpoint(base_folder(base)) / "model.safetensors"
    told = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "recipe": to_dict(recipe),
        "base": {"name": base, "sha256": sha256(weights)},
        "bases": _read(root / "base.json"),
        "choice": choice,
        "pilot": {m: {f"{rate:g}": list(x) for rate, x in r.items()} for m, r in PILOT.items()},
        "exam": hold_exam(recipe, root),
        "longest story": LONGEST_STORY,
        "samples": sample_talks(model, tokenizer, "test"),
        "n_pairs": _n_lines(root / "pairs.jsonl"),
        "n_own": _n_lines(root / "own.jsonl"),
        "reward": _read(root / "reward" / "score.json")["pairs"],
        "spent": _read(root / "spent.json"),
        "commit": commit(),
    }
    folder = ship_policy(source, CHAT, {"chat": told}, into)
    write_card(folder)
    return folder


def write_card(folder: Path = CHECKPOINTS / CHAT) -> Path:
    """Write CARD.md from the manifest beside it."""
    path = folder / CARD
    path.write_text(card_text(load_checkpoint(folder).manifest), encoding="utf-8", newline="\n")
    return path


def _once(path: Path, made: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Make a note, or read the one that is there."""
    if not path.is_file():
        save_json(path, made())
    return _read(path)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def _n_lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())

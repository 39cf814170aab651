"""The models that come with the course, and those that a reader has trained: open one by name."""

from pathlib import Path

import minillm
from minillm.model import Decoder
from minillm.recipes.overrides import from_dict
from minillm.recipes.run import Run
from minillm.recipes.tokens import find_tokenizer
from minillm.tokenizer import Tokenizer
from minillm.train import has_checkpoint, load_checkpoint, warm_start

CHECKPOINTS = Path(minillm.__file__).parents[1] / "data" / "checkpoints"


def shipped_models() -> list[str]:
    """List the models that come with the course."""
    return sorted(p.parent.name for p in CHECKPOINTS.glob("*/manifest.json"))


def base(name: str) -> tuple[Decoder, Tokenizer]:
    """Open a base model of the course.

    Args:
        name: "draft" (about 0.3 M parameters), "tiny" (about 1.6 M), and of lesson 27 "small"
            (3.1 M) and "medium" (7.4 M), each as soon as it is trained: `make base`.

    Returns:
        The model, in evaluation mode, and the tokenizer that it was trained with.

    Raises:
        ValueError: if there is no such model, or its files are altered.

    Lesson: notebooks/00_tour.ipynb
    """
    if name not in shipped_models():
        raise ValueError(f"no shipped model {name!r}; there are {', '.join(shipped_models())}")
    return open_checkpoint(CHECKPOINTS / name)


def open_model(name: str) -> tuple[Decoder, Tokenizer]:
    """Open a shipped model by its name, or a run by its folder.

    Raises:
        ValueError: if it is neither.
    """
    if name in shipped_models():
        return base(name)
    for folder in (Path(name) / "last", Path(name)):
        if has_checkpoint(folder):
            return open_checkpoint(folder)
    raise ValueError(
        f"no model {name!r}; take {', '.join(shipped_models())}, or the folder of a run, "
        "such as runs/laptop"
    )


def open_checkpoint(folder: str | Path) -> tuple[Decoder, Tokenizer]:
    """Open a checkpoint that `execute` wrote: the manifest says which shape and which tokenizer.

    Raises:
        ValueError: if it is broken, altered, or was made with another tokenizer.
    """
    found = load_checkpoint(folder)  # every byte is checked before anything is believed
    if found.manifest.get("kind") == "reward":
        raise ValueError(
            f"{found.folder} is a reward model, which scores answers and writes none; "
            "open_reward of minillm.recipes.aligning opens it"
        )
    if "run" not in found.manifest:
        raise ValueError(f"{found.folder} does not say which run made it; no run wrote it")
    run = from_dict(found.manifest["run"], Run)
    tokenizer = find_tokenizer(run.data.tokenizer)
    made_with = found.manifest["tokenizer"]
    if tokenizer.hash != made_with:
        raise ValueError(
            f"{found.folder} was trained with another tokenizer ({made_with[:12]}) than "
            f"{run.data.tokenizer!r} is now ({tokenizer.hash[:12]}); train it again"
        )
    model = Decoder(run.model)
    warm_start(folder, model)
    return model.eval(), tokenizer

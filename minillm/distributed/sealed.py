"""A folder that is whole, or not there: how a checkpoint of many ranks is sealed, and found again.

    out/step-00000200/shard-00001-model-00001-of-00001.safetensors    the parts of rank 0 ...
    out/step-00000200/state.json      step, data position, optimizer settings, random generators
    out/step-00000200/manifest.json   size and sha256 of each file; written last

It is written as `step-00000200.new`, and a rename, which is one action, gives it its name.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.distributed as dist

from minillm.distributed.ranks import first_decides
from minillm.train.disk import fingerprint, save_json, sha256, sync, sync_folder

FORMAT = 1


def mark_of(path: Path) -> dict[str, Any]:
    """What the manifest says of a file."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def seal(
    new: Path, final: Path, told: dict[str, Any], about: dict[str, Any], files: dict[str, Any]
) -> None:
    """Add state and manifest to the written parts, and give the folder its name.

    Args:
        new, final: names of the folder before and after.
        told: state.json.
        about: what made the checkpoint.
        files: size and hash of each of the parts.
    """
    save_json(new / "state.json", told)
    files = {**files, "state.json": mark_of(new / "state.json")}
    for path in sorted(new.iterdir()):  # what else was written beside the parts
        if path.name not in files:
            sync(path)
            files[path.name] = mark_of(path)
    whole = {**about, "format": FORMAT, "ranks": dist.get_world_size(), "files": files}
    save_json(new / "manifest.json", {**whole, "sha256": fingerprint(whole)})
    sync_folder(new)
    if final.exists():  # of a run that is being repeated: the same step, the same numbers
        shutil.rmtree(final)
    os.rename(new, final)
    sync_folder(final.parent)


def checkpoints(out: str | Path) -> list[Path]:
    """List the checkpoints of a run that were completed, the oldest first."""
    found = Path(out).glob("step-" + "[0-9]" * 8)
    return sorted(path for path in found if path.is_dir())


def find_whole(out: str | Path, *, say: Callable[[str], object] = lambda line: None) -> Path | None:
    """Find the newest checkpoint every byte of which is what was written.

    Args:
        out: folder of the run.
        say: told in a sentence of each checkpoint that is passed over.

    Returns:
        Its folder, or None if there is none.

    Lesson: notebooks/24_fsdp.ipynb
    """
    for place in reversed(checkpoints(out)):
        trouble = _trouble(place)
        if trouble is None:
            return place
        say(f"passing over {place}: {trouble}")
    return None


def find_whole_together(
    out: str | Path, *, say: Callable[[str], object] = lambda line: None
) -> Path | None:
    """Do what find_whole does, every rank reading its share of the files; the same on all ranks.

    Args:
        out: folder of the run, which all ranks see.
        say: told in a sentence of each checkpoint that is passed over.

    Raises:
        AllRanksError: on every rank, if the folder cannot be listed.
    """
    size = dist.get_world_size()
    for name in reversed(first_decides(lambda: [str(place) for place in checkpoints(out)])):
        troubles: list[str | None] = [None] * size
        dist.all_gather_object(troubles, _trouble(Path(name), dist.get_rank(), size))
        trouble = next(filter(None, troubles), None)
        if trouble is None:
            return Path(name)
        say(f"passing over {name}: {trouble}")
    return None


def _trouble(place: Path, part: int = 0, parts: int = 1) -> str | None:
    """Say what is wrong with a checkpoint, every parts-th file of it; None if nothing is."""
    try:
        manifest = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
        told = {k: v for k, v in manifest.items() if k != "sha256"}
        if manifest["sha256"] != fingerprint(told):
            return "manifest.json was altered"
        for name, expected in sorted(manifest["files"].items())[part::parts]:
            if not (place / name).is_file():
                return f"{name} is missing"
            if sha256(place / name) != expected["sha256"]:
                return f"{name} is cut short or altered"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "manifest.json is missing or cut short"
    return None

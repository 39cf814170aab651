"""The settings of a run as a file in its folder, so that nobody goes on with others."""

import json
import os
from pathlib import Path
from typing import Any

from minillm.recipes.overrides import from_dict, to_dict


def write_settings(run: Any, note: Path, *, before: bool) -> None:
    """Write the settings of a run, whole or not at all; or find them as they were.

    Args:
        run: its settings, a dataclass such as FinetuneRun or AlignRun.
        note: the file, in the folder of the run, which is made if it is not there.
        before: an earlier session has written the file, which must say the same.

    Raises:
        ValueError: if it says something else, or is not there.

    Lesson: notebooks/28_instructions.ipynb
    """
    if before and not note.is_file():
        raise ValueError(
            f"{note.parent} holds a run of another kind: there is no {note.name}; name another "
            "--out"
        )
    if before and from_dict(json.loads(note.read_text("utf-8")), type(run)) != run:
        raise ValueError(
            f"{note.parent} was made with other settings; give the same recipe and overrides (they "
            f"stand in {note.name}), or name another --out"
        )
    note.parent.mkdir(parents=True, exist_ok=True)
    beside = note.with_name(note.name + ".new")
    beside.write_text(json.dumps(to_dict(run), indent=1) + "\n", encoding="utf-8")
    os.replace(beside, note)

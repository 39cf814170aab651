"""A file that remembers each round of a long run, so that a killed run goes on where it was.

One line of JSON a record, written to disk before the next round begins. A line that is not ended by
a newline was cut by the kill: it is taken off, and its round is done again.
"""

import json
import os
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class JournalError(ValueError):
    """A journal that is damaged, or belongs to another run."""


class Journal:
    """Records of one step, in a file that only grows.

    Args:
        path: the file; it is made with the first record. Its folder must exist.

    Raises:
        JournalError: if a whole line of the file cannot be read; the message names it.

    Lesson: notebooks/29_self_instruct.ipynb
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.records: list[Record] = []
        """All records, those of earlier runs first."""
        raw = self.path.read_bytes() if self.path.is_file() else b""
        whole = raw[: raw.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                self.records.append(json.loads(line))
            except ValueError as error:
                raise JournalError(
                    f"{self.path}, line {number}: not a record ({error}); mend it or start in a "
                    "new folder"
                ) from None
        if len(whole) < len(raw):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))

    def append(self, record: Record) -> None:
        """Write one record; it is on the disk when this returns."""
        line = json.dumps(record, ensure_ascii=False) + "\n"
        with self.path.open("ab") as file:
            file.write(line.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        self.records.append(record)


def claim_folder(folder: str | Path, settings: Record) -> Path:
    """Take a folder for a run with these settings, or go on with the run that is in it.

    Args:
        folder: made if it is not there.
        settings: what decides the outcome of the run; anything that JSON can hold.

    Returns:
        The folder.

    Raises:
        JournalError: if the folder holds a run with other settings; the message names the first
            that differs.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.json"
    mine = json.loads(json.dumps(settings))
    if path.is_file():
        theirs = json.loads(path.read_text(encoding="utf-8"))
        for name in sorted(mine.keys() | theirs.keys()):
            if mine.get(name) != theirs.get(name):
                raise JournalError(
                    f"{folder} holds a run with {name}={theirs.get(name)!r}, not "
                    f"{mine.get(name)!r}; take the same settings or a new folder"
                )
    else:
        beside = path.with_suffix(".tmp")
        beside.write_text(json.dumps(mine, ensure_ascii=False, indent=1), encoding="utf-8")
        beside.replace(path)
    return folder

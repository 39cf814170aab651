"""Files that are on the disk when we say so, and hashes that show when they have changed."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20


def save_json(path: Path, value: Any) -> None:
    """Write JSON and wait until it is on the disk.

    Raises:
        ValueError: if value holds something that JSON cannot.
    """
    try:
        text = json.dumps(value, indent=1, allow_nan=True)
    except TypeError as error:
        raise ValueError(f"{path.name} can only hold what JSON can: {error}") from None
    path.write_text(text, encoding="utf-8")
    sync(path)


def sync(path: Path) -> None:
    """Wait until a file that was written is on the disk, not only in the system's memory."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder, renamed ones too, are on the disk."""
    if os.name != "nt":  # Windows cannot open a folder, and needs no such call
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def sha256(path: Path) -> str:
    """Hash a file, a megabyte at a time; 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint(value: dict[str, Any]) -> str:
    """Hash what JSON keeps of a dictionary, whatever the order of its keys."""
    plain = json.loads(json.dumps(value))  # keys become text before they are sorted
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()

"""The harvest: text that came with the install, so that a course needs no download.

The pinned packages and Python itself hold megabytes of prose, code, licences and noise. They are
read where pip put them, masked of personal data, and kept in a cache whose name depends on every
version. The repository holds only the manifests: how many texts, how many bytes, which hash.
"""

import contextlib
import gzip
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from tqdm import tqdm

import minillm
from minillm.data import packages
from minillm.data.harvest_kinds import Harvester, Record

KINDS = ("code", "doctests", "licences", "markup", "names", "prose", "readmes", "reference")
FORMAT = 2  # raise it when the same packages would now give other texts
MANIFESTS = Path(minillm.__file__).parents[1] / "data" / "manifests"


@dataclass(frozen=True)
class KindRecord:
    """What the manifest says about one kind."""

    n_texts: int
    n_bytes: int
    """Length of the texts in UTF-8 bytes."""
    sha256: str
    """Hash of the records as JSON lines, before compression."""
    masked: dict[str, int]
    """How often each sort of personal data was masked."""


def data_home() -> Path:
    """Return the folder for corpora: `MINILLM_DATA`, or `~/.cache/minillm`."""
    named = os.environ.get("MINILLM_DATA")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "minillm"


def environment() -> dict[str, Any]:
    """Return everything the harvest depends on: format, Python, system, package versions."""
    return {
        "format": FORMAT,
        "implementation": sys.implementation.name,
        "python": platform.python_version(),
        "system": platform.system().lower(),
        "machine": platform.machine().lower(),
        "packages": packages.installed_versions(),
    }


def cache_folder() -> Path:
    """Return the folder of this environment's harvest; another version is another folder."""
    key = hashlib.sha256(json.dumps(environment(), sort_keys=True).encode()).hexdigest()[:16]
    return data_home() / "harvest" / key


def harvest(kind: str, *, progress: bool = True) -> list[Record]:
    """Return the records of one kind, from the cache or by reading the packages.

    Args:
        kind: one of KINDS.
        progress: show a bar while packages are read.

    Returns:
        Records (origin, text) in the order of their origins.

    Raises:
        ValueError: if the kind is unknown.

    Cost: prose and doctests together take half a minute the first time, the others a few
        seconds; all under a second afterwards.
    Lesson: notebooks/02_sources.ipynb
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of harvest {kind!r}; there are: {', '.join(KINDS)}")
    folder = cache_folder()
    cached = _read(folder, kind)
    if cached is not None:
        return cached
    folder.mkdir(parents=True, exist_ok=True)
    together = ("prose", "doctests") if kind in ("prose", "doctests") else (kind,)
    with FileLock(folder / f"{together[0]}.lock"):
        cached = _read(folder, kind)  # somebody else may have read it while we waited
        if cached is not None:
            return cached
        return _build(folder, together, progress)[kind]


def kind_record(kind: str) -> KindRecord:
    """Return count, bytes, hash and masks of one kind, reading the packages if need be."""
    harvest(kind, progress=False)
    return KindRecord(**json.loads((cache_folder() / f"{kind}.json").read_text("utf-8")))


def manifest() -> dict[str, Any]:
    """Return the manifest of this environment: what it depends on, and every kind's record."""
    return environment() | {"kinds": {kind: asdict(kind_record(kind)) for kind in KINDS}}


def manifest_path(folder: Path | None = None) -> Path:
    """Return where the manifest of this Python minor, system and machine is shipped."""
    minor = f"{sys.implementation.name}-{sys.version_info[0]}.{sys.version_info[1]}"
    name = f"{minor}-{platform.system()}-{platform.machine()}.json".lower()
    return (folder or MANIFESTS) / name


def shipped_manifest() -> tuple[dict[str, Any] | None, str]:
    """Return the shipped manifest if it speaks of this very environment, else None and why."""
    path = manifest_path()
    if not path.is_file():
        return None, f"no manifest is shipped for this machine ({path.name})"
    shipped = json.loads(path.read_text("utf-8"))
    for key, here in environment().items():
        if shipped.get(key) != here:
            there = shipped.get(key)
            if isinstance(here, dict) and isinstance(there, dict):
                changed = sorted(n for n in here | there if here.get(n) != there.get(n))
                return None, f"other versions of {', '.join(changed)} are installed"
            return None, f"the shipped manifest has {key} {there}, here it is {here}"
    return shipped, ""


def write_manifest(folder: Path | None = None) -> Path:
    """Write the manifest of this environment, and return its path."""
    path = manifest_path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(manifest(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    with _written_whole(path) as part:
        part.write_text(text, "utf-8")
    return path


def _build(folder: Path, kinds: tuple[str, ...], progress: bool) -> dict[str, list[Record]]:
    def bar(files: Iterable[Any], n_files: int) -> Iterable[Any]:
        name = " and ".join(kinds)
        return tqdm(files, f"harvest {name}", n_files, disable=not progress, unit=" files")

    harvester = Harvester(bar)
    if len(kinds) == 2:
        records = dict(zip(kinds, harvester.docstrings(), strict=True))
    else:
        records = {kinds[0]: list(getattr(harvester, kinds[0])())}
    for kind, found in records.items():
        masked = {} if kind == "doctests" else dict(sorted(harvester.masked.items()))
        left_out = masked.pop("examples left out", harvester.masked["examples left out"])
        _write(folder, kind, found, {"left out": left_out} if kind == "doctests" else masked)
    return records


def _write(folder: Path, kind: str, records: list[Record], masked: dict[str, int]) -> None:
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
    packed = gzip.compress(lines, 6, mtime=0)
    record = KindRecord(
        n_texts=len(records),
        n_bytes=sum(len(text.encode()) for _, text in records),
        sha256=hashlib.sha256(lines).hexdigest(),
        masked=masked,
    )
    with _written_whole(folder / f"{kind}.jsonl.gz") as part:
        part.write_bytes(packed)
    with _written_whole(folder / f"{kind}.json") as part:
        part.write_text(json.dumps(asdict(record)), "utf-8")


def _read(folder: Path, kind: str) -> list[Record] | None:
    """Read a kind from the cache; None if it is not there, cut short or altered."""
    try:
        wanted = json.loads((folder / f"{kind}.json").read_text("utf-8"))["sha256"]
        lines = gzip.decompress((folder / f"{kind}.jsonl.gz").read_bytes())
    except (OSError, EOFError, ValueError, KeyError):
        return None
    if hashlib.sha256(lines).hexdigest() != wanted:
        return None
    return [(origin, text) for origin, text in map(json.loads, lines.splitlines())]


@contextlib.contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    """Give a path beside the wanted one, and move it there when it has been written."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)

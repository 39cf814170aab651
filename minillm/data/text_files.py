"""Reading a list of files of which some may be no text: it is said why, and the rest goes on."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class FileReport:
    """What happened to a list of files.

    Attributes:
        n_files: files that were read.
        unit: what was counted, such as "lines" or "files".
        n_units, n_removed: how many of them there were, and how many were left out.
        instead: a file that was left out -> the one kept in its place.
        skipped: a file that could not be read as text -> why, with its name.
    """

    unit: str
    n_files: int = 0
    n_units: int = 0
    n_removed: int = 0
    instead: dict[Path, Path] = field(default_factory=dict)
    skipped: dict[Path, str] = field(default_factory=dict)

    def __str__(self) -> str:
        share = self.n_removed / max(self.n_units, 1)
        lines = [
            f"{self.n_files:,} files read, {self.n_removed:,} of {self.n_units:,} {self.unit} "
            f"removed ({share:.1%}), {len(self.skipped)} files skipped"
        ]
        return "\n".join([*lines, *(f"  skipped: {why}" for why in self.skipped.values())])


def list_files(files: str | Path | Iterable[str | Path]) -> list[Path]:
    """Paths of a list of files, or of all files below a folder, in order.

    Args:
        files: a folder, a file, or several files. Below a folder hidden files are left out.

    Raises:
        ValueError: if there is no file at all, or one that is named does not exist.

    Lesson: notebooks/04_dedup.ipynb
    """
    if isinstance(files, (str, Path)):
        place = Path(files)
        if not place.is_dir():
            return list_files([place])
        found = sorted(p for p in place.rglob("*") if p.is_file() and not _hidden(p, place))
        if not found:
            raise ValueError(f"the folder {place} is empty: put text files into it")
        return found
    paths = [Path(file) for file in files]
    if not paths:
        raise ValueError("the list of files is empty; give at least one path")
    lost = [path for path in paths if not path.is_file()]
    if lost:
        raise ValueError(f"there is no file {lost[0]}; check its name")
    return paths


def _hidden(path: Path, below: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(below).parts)


def why_no_text(raw: bytes, path: Path) -> str:
    """Say why these bytes of a file are no text, or return "".

    A NUL byte marks a binary file; UTF-16 has many of them and is named as a guess.
    """
    if (at := raw.find(0)) >= 0:
        return (
            f"{path} holds a NUL byte at position {at}: it is binary, or text in UTF-16; "
            "leave it out, or save it as UTF-8"
        )
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return (
            f"{path} is not UTF-8: byte 0x{raw[error.start]:02x} at position {error.start}; "
            "save it as UTF-8, for example with `iconv -f LATIN1 -t UTF-8`"
        )
    return ""


def read_each(paths: Sequence[Path], report: FileReport) -> Iterator[tuple[Path, str]]:
    """Read the files that are text; note the others in `report.skipped`.

    Yields:
        (path, text), the text exactly as in the file.

    Raises:
        ValueError: after the last file, if none was text; the message says why of the first.
    """
    n_read = 0
    for path in paths:
        try:
            raw = path.read_bytes()
            why = why_no_text(raw, path)
        except OSError as error:
            why = f"{path} cannot be read: {error.strerror}"
        if why:
            report.skipped[path] = why
            continue
        n_read += 1
        yield path, raw.decode("utf-8")
    report.n_files = n_read
    if not n_read:
        raise ValueError(f"none of {len(paths)} files is text: {report.skipped[paths[0]]}")


def out_paths(paths: Sequence[Path], out: str | Path) -> dict[Path, Path]:
    """Where each file goes: the same name in the folder `out`, which is made.

    Raises:
        ValueError: if two files have one name, or a result would replace its own source.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"out={str(out)!r} is a file; name a folder for the results")
    goes: dict[Path, Path] = {}
    taken: dict[str, Path] = {}
    for path in paths:
        if path.name in taken:
            raise ValueError(
                f"{taken[path.name]} and {path} have the same name and would be written to one "
                "file; rename one of them"
            )
        if (out / path.name).resolve() == path.resolve():
            raise ValueError(f"out={str(out)!r} holds {path} itself; choose another folder")
        taken[path.name] = path
        goes[path] = out / path.name
    out.mkdir(parents=True, exist_ok=True)
    return goes

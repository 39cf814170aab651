"""Fetching a file so that it is either whole and right, or not there.

What arrives is written beside its place (`name.part`) and moved there when its hash is right. A
transfer that breaks off is taken up where it stopped: over HTTP by a `Range` header, guarded by
`If-Range` so that a file that changed in the meantime is fetched from its beginning.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from filelock import FileLock
from tqdm import tqdm

_CHUNK = 1 << 14  # at most this much is lost when a transfer breaks off
_ATTEMPTS = 3


@dataclass(frozen=True)
class Download:
    """What a download did."""

    path: Path
    sha256: str
    n_bytes: int
    n_fetched: int
    """Bytes that came over the network this time; less than n_bytes after a resume, 0 if the
    file was there already."""


def download(
    url: str,
    path: str | Path,
    sha256: str | None = None,
    size: int | None = None,
    *,
    name: str | None = None,
    timeout: float = 30.0,
    progress: bool = True,
) -> Download:
    """Fetch a file over HTTP, resume it if it breaks off, and check its hash.

    Args:
        url: where it is.
        path: where it shall be. A file that is there with the right hash is not fetched again.
        sha256: the hash it must have, 64 hexadecimal digits; None takes what comes (the caller
            should record the hash that is returned).
        size: the bytes it must have; None asks the server.
        name: what to call it in messages; the file's name if None.
        timeout: seconds without an answer after which the network counts as broken.
        progress: show a bar.

    Returns:
        Path, hash, size, and how many bytes were fetched this time.

    Raises:
        ConnectionError: if there is no network, or the transfer broke off three times; what has
            arrived is kept for the next try. One sentence says what, where and what to do.
        FileNotFoundError: if the server has no such file (404 or 410).
        ValueError: if hash or size are wrong; the file is removed, both hashes are named.

    Lesson: notebooks/02_sources.ipynb
    """
    path, name = Path(path), name or Path(path).name
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.is_file():
            there = file_sha256(path)
            if sha256 is None or there == sha256.lower():
                return Download(path, there, path.stat().st_size, 0)
        part = Path(f"{path}.part")
        n_fetched = _transfer(url, part, size, name=name, timeout=timeout, progress=progress)
        arrived, n_bytes = file_sha256(part), part.stat().st_size
        wrong_size = size is not None and n_bytes != size
        if wrong_size or (sha256 is not None and arrived != sha256.lower()):
            part.unlink()
            _note_of(part).unlink(missing_ok=True)
            raise ValueError(
                f"{name} from {url} is not the file that was expected and was removed: "
                f"sha256 is {arrived}, wanted {sha256 or 'any'}; "
                f"{n_bytes} bytes, wanted {'any number' if size is None else size}"
            )
        os.replace(part, path)
        _note_of(part).unlink(missing_ok=True)
        return Download(path, arrived, n_bytes, n_fetched)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _transfer(
    url: str, part: Path, size: int | None, *, name: str, timeout: float, progress: bool
) -> int:
    """Bring the whole file to `part`; return how many bytes came over the network."""
    n_fetched = 0
    for attempt in range(_ATTEMPTS):
        start = part.stat().st_size if part.exists() else 0
        if size is not None and start == size:
            return n_fetched
        try:
            with requests.get(
                url, headers=_headers(part, url), stream=True, timeout=timeout
            ) as answer:
                for n_bytes in _receive(answer, part, name, progress):
                    n_fetched += n_bytes
            return n_fetched
        except (requests.ConnectionError, requests.Timeout, _BrokenOff) as error:
            arrived = part.stat().st_size if part.exists() else 0
            if arrived == start or attempt == _ATTEMPTS - 1:
                raise ConnectionError(_sentence(name, url, arrived)) from error
        except requests.exceptions.ChunkedEncodingError as error:
            if attempt == _ATTEMPTS - 1:
                raise ConnectionError(_sentence(name, url, part.stat().st_size)) from error
    return n_fetched


class _BrokenOff(Exception):
    """Fewer bytes came than the server had announced."""


def _headers(part: Path, url: str) -> dict[str, str]:
    """Ask for the rest of a file, if the part comes from the same address and can be trusted."""
    headers = {"Accept-Encoding": "identity"}  # so that Content-Length counts the file's bytes
    note = {}
    if _note_of(part).is_file():
        note = json.loads(_note_of(part).read_text("utf-8"))
    if part.exists() and note.get("url") == url and part.stat().st_size:
        headers["Range"] = f"bytes={part.stat().st_size}-"
        if note.get("etag"):
            headers["If-Range"] = note["etag"]
    return headers


def _look_at_status(answer: requests.Response, part: Path, name: str) -> None:
    """Turn an answer that is no text into one sentence."""
    if answer.status_code == 416:  # what we have is all there is, or more: begin again
        part.unlink()
        raise _BrokenOff
    if answer.status_code in (404, 410):
        raise FileNotFoundError(
            f"{name} is no longer at {answer.url} (HTTP {answer.status_code}); "
            "correct the url in data/corpora.csv"
        )
    if answer.status_code >= 400:
        raise ConnectionError(
            f"{name} could not be fetched: {answer.url} answered HTTP {answer.status_code} "
            f"({answer.reason}); try again later"
        )


def _receive(answer: requests.Response, part: Path, name: str, progress: bool) -> Iterator[int]:
    """Write what comes to `part` and yield the length of each piece."""
    _look_at_status(answer, part, name)
    start = part.stat().st_size if answer.status_code == 206 else 0
    if start and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        part.unlink()
        raise _BrokenOff
    etag = answer.headers.get("ETag", "")
    note = {"url": answer.history[0].url if answer.history else answer.url, "etag": etag}
    if etag.startswith("W/"):
        note["etag"] = ""  # a weak tag may not guard a range
    _note_of(part).write_text(json.dumps(note), "utf-8")
    announced = answer.headers.get("Content-Length")
    total = start + int(announced) if announced else None
    with (
        part.open("ab" if start else "wb") as file,
        tqdm(
            desc=name,
            total=total,
            initial=start,
            unit="B",
            unit_scale=True,
            disable=not progress,
        ) as bar,
    ):
        for piece in answer.iter_content(_CHUNK):
            file.write(piece)
            bar.update(len(piece))
            yield len(piece)
    if total is not None and part.stat().st_size < total:
        raise _BrokenOff


def _note_of(part: Path) -> Path:
    return Path(f"{part}.json")


def _sentence(name: str, url: str, arrived: int) -> str:
    host = urlsplit(url).netloc
    if arrived:
        return (
            f"the transfer of {name} from {host} broke off after {arrived} bytes, which are "
            "kept: run the same line again and it goes on from there"
        )
    return (
        f"{name} cannot be fetched because {host} cannot be reached: connect to the network "
        "and run the same line again, or use a corpus that needs none, such as "
        "load_corpus('prose') or load_corpus('stories')"
    )

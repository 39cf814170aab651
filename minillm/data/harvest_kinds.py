"""The kinds of the harvest: what is read from the installed packages, and how.

Each function below yields records `(origin, text)` in a fixed order. `origin` is the path below
site-packages (`python/` for the standard library), so the licence of every text can be found.
Personal data is masked here, before a record goes anywhere else.
"""

import ast
import gc
import importlib.util
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path

from minillm.data import names, packages
from minillm.data.docstrings import Docstring, read_docstrings, running_text, split_examples
from minillm.data.privacy import mask_emails, mask_personal, mask_phones

Record = tuple[str, str]
Progress = Callable[[Iterable[tuple[str, Path]], int], Iterable[tuple[str, Path]]]

_LICENCE_FILE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE)", re.IGNORECASE)
_MARKUP = (".js", ".css", ".html", ".svg")
_MARKUP_BYTES = 65_536  # of one file: minified bundles run to megabytes of the same noise
_RESERVED = re.compile(r"@(?:[\w-]+\.)*example(?:\.(?:com|org|net))?\b|@localhost\b")


class Harvester:
    """Reads the kinds one after another and counts the personal data that it masks.

    Args:
        progress: wraps the files of a long kind, given their number; tqdm in the command.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress: Progress = progress or (lambda files, n_files: files)
        self.masked: Counter[str] = Counter()

    def _mask(self, text: str) -> str:
        text, counts = mask_personal(text)
        self.masked.update({name: n for name, n in counts.items() if n})
        return text

    def docstrings(self) -> tuple[list[Record], list[Record]]:
        """Read prose and doctests, which share the long work of parsing every file.

        Returns:
            Prose: the running text of each docstring, a paragraph that was seen before left out.
            Doctests: for each docstring with examples, JSON `[[source, want], ...]`.
        """
        files = list(packages.standard_library())
        for name in packages.installed_versions():
            files += packages.package_sources(name)
        prose: list[Record] = []
        doctests: list[Record] = []
        seen: set[str] = set()
        for shown, path in self.progress(files, len(files)):
            for docstring in _read_quickly(path):
                origin = f"{shown}::{docstring.name}"
                text, examples = split_examples(docstring.text)
                new = [p for p in dict.fromkeys(running_text(self._mask(text))) if p not in seen]
                seen.update(new)
                if new:
                    prose.append((origin, "\n\n".join(new)))
                pairs = json.dumps([[e.source, e.want] for e in examples], ensure_ascii=False)
                if any(e.want for e in examples) and not self._personal(pairs):
                    doctests.append((origin, pairs))
        return prose, doctests

    def _personal(self, pairs: str) -> bool:
        """Say whether examples hold personal data: they are left out, a mask would break them."""
        _, n_emails = mask_emails(_RESERVED.sub("", pairs))
        _, n_phones = mask_phones(pairs, bare=False)
        self.masked["examples left out"] += bool(n_emails or n_phones)
        return bool(n_emails or n_phones)

    def code(self) -> Iterator[Record]:
        """Read the standard library's own files."""
        files = list(packages.standard_library())
        for shown, path in self.progress(files, len(files)):
            text = _decoded(path)
            if text.strip():
                yield shown, self._mask(text)

    def reference(self) -> Iterator[Record]:
        """Read the language reference that `help()` shows, without importing it."""
        spec = importlib.util.find_spec("pydoc_data.topics")
        if spec is None or spec.origin is None:
            return
        for node in ast.parse(Path(spec.origin).read_bytes()).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            if isinstance(node, ast.Assign) and getattr(target, "id", "") == "topics":
                for topic, text in sorted(ast.literal_eval(node.value).items()):
                    yield f"python/pydoc_data/topics.py::{topic}", self._mask(text.strip())

    def licences(self) -> Iterator[Record]:
        """Read the licence files of Python and of every package."""
        python = packages.python_licence()
        if python:
            yield "python/LICENSE.txt", self._mask(_decoded(python))
        for name in packages.installed_versions():
            for shown, path in packages.package_files(name):
                below = shown.partition(".dist-info/")[2]
                if below and _LICENCE_FILE.search(below) and path.is_file():
                    text = _decoded(path)
                    if text.strip():
                        yield shown, self._mask(text)

    def readmes(self) -> Iterator[Record]:
        """Read the long description of every package: the README of its project."""
        for name in packages.installed_versions():
            text = metadata.distribution(name).read_text("METADATA") or ""
            description = text.partition("\n\n")[2].strip()
            if len(description.split()) >= 12:
                yield f"{name}::README", self._mask(description)

    def markup(self) -> Iterator[Record]:
        """Read scripts, style sheets and pages: noise that a filter must learn to throw out."""
        for name in packages.installed_versions():
            for shown, path in packages.package_files(name):
                if shown.endswith(_MARKUP) and path.is_file():
                    text = path.read_bytes()[:_MARKUP_BYTES].decode("utf-8", "ignore")
                    if text.strip():
                        yield shown, self._mask(text)

    def names(self) -> Iterator[Record]:
        """Read what the languages of the world call each other, through babel."""
        for code, found in names.parallel_names().items():
            yield f"babel/locale-data/{code}", names.as_text(code, found)


def _read_quickly(path: Path) -> list[Docstring]:
    """Read a file's docstrings with the collector of cycles resting: a fifth less time."""
    resting = gc.isenabled()
    gc.disable()
    try:
        return read_docstrings(path.read_bytes())
    finally:
        if resting:
            gc.enable()


def _decoded(path: Path) -> str:
    """Read a file as UTF-8, or as Latin-1 where it is not, with Unix line ends."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")

"""Corpora by name: one function hands out every text that the course trains on.

Where text comes from, the nearest source first:
    the harvest      text of the installed packages, in eight kinds (see harvest.py)
    storyworld       synthetic stories in English and Chinese, with a known truth
    your own text    a file, or a folder of files
    public corpora   named in data/corpora.csv, fetched once when there is a network

Each corpus says which source it used, its licence and its size.
`python -m minillm.data.corpora` prepares all that need no network.
"""

import argparse
import difflib
import gzip
import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from minillm.data import harvest as harvests
from minillm.data.catalogue import catalogue

STORIES = ("stories-en", "stories-zh", "stories")
N_STORIES = 10_000
"""Stories of each language in the prepared corpus."""
_OWN_SUFFIXES = (".txt", ".text", ".md", ".rst")


@dataclass(frozen=True)
class Corpus:
    """A list of texts that knows where it comes from."""

    name: str
    texts: list[str]
    source: str
    licence: str
    origins: list[str] = field(default_factory=list, repr=False)
    """Where each text comes from (a file, a docstring), as long as texts; empty if they are one."""

    @property
    def n_bytes(self) -> int:
        """Length of all texts in UTF-8 bytes."""
        return sum(len(text.encode()) for text in self.texts)

    def __len__(self) -> int:
        return len(self.texts)

    def __str__(self) -> str:
        return (
            f"{self.name}: {len(self.texts):,} texts, {self.n_bytes / 1e6:.2f} MB"
            f" | source: {self.source} | licence: {self.licence}"
        )


def load_corpus(name: str | Path, *, max_bytes: int | None = None, progress: bool = True) -> Corpus:
    """Return a corpus by name, preparing it first where that is needed.

    Args:
        name: a kind of the harvest (`prose`, `reference`, `code`, `licences`, `readmes`,
            `markup`, `doctests`, `names`), `stories-en`, `stories-zh`, `stories`, the path of
            your own file or folder of UTF-8 text, or a public corpus of data/corpora.csv.
        max_bytes: take a sample of at most this many UTF-8 bytes. The sample is fixed: texts are
            drawn in the order of their hashes until the next no longer fits, and handed out in
            the order of the corpus. A first text that is too long is cut.
        progress: show a bar while something is prepared or fetched.

    Returns:
        The corpus; `str(corpus)` is one line with its source, licence and size.

    Raises:
        ValueError: if the name is unknown, max_bytes < 1, a folder holds no text, or a file of
            your own is not UTF-8 (the message names the file and the byte).
        ConnectionError: if a public corpus has to be fetched and there is no network.

    Cost: under a second once prepared; the first `prose` takes half a minute.
    Lesson: notebooks/02_sources.ipynb
    """
    if max_bytes is not None and max_bytes < 1:
        raise ValueError(f"max_bytes must be at least 1, got {max_bytes}")
    known = catalogue()
    if str(name) in harvests.KINDS:
        corpus = _harvested(str(name), progress)
    elif str(name) in STORIES:
        corpus = _stories(str(name), progress)
    elif str(name) in known:
        from minillm.data.public import load_public

        texts, source = load_public(known[str(name)], progress=progress)
        corpus = Corpus(str(name), texts, source, known[str(name)].licence)
    elif Path(name).expanduser().exists():
        corpus = _own(Path(name).expanduser())
    else:
        raise ValueError(_unknown(str(name)))
    return corpus if max_bytes is None else _sampled(corpus, max_bytes)


def _unknown(name: str) -> str:
    names = [*harvests.KINDS, *STORIES, *(n for n in catalogue() if n not in harvests.KINDS)]
    names = list(dict.fromkeys(names))
    near = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return (
        f"there is no corpus and no file or folder called {name!r}{hint} "
        f"Corpora: {', '.join(names)}; or give the path of a folder with UTF-8 text"
    )


def _harvested(kind: str, progress: bool) -> Corpus:
    records = harvests.harvest(kind, progress=progress)
    entry = catalogue()[kind]
    source = f"{entry.title}, read from this installation"
    origins, texts = [o for o, _ in records], [t for _, t in records]
    if kind == "doctests":
        from minillm.data.doctests import doctests_of

        found = doctests_of(records)
        origins, texts = [d.origin for d in found], [str(d) for d in found]
    return Corpus(kind, texts, source, entry.licence, origins)


def _stories(name: str, progress: bool) -> Corpus:
    entry = catalogue()[name]
    if name == "stories":
        pairs = zip(_told("en", progress), _told("zh", progress), strict=True)
        texts = [text for pair in pairs for text in pair]
    else:
        texts = _told(name.removeprefix("stories-"), progress)
    return Corpus(name, texts, entry.title, entry.licence)


def _told(language: str, progress: bool) -> list[str]:
    """Return the prepared stories of one language, written once for each version of the world."""
    from minillm.data import storyworld

    code = sorted(Path(storyworld.__file__).parent.glob("*.py"))
    if Path(storyworld.__file__).name != "__init__.py":
        code = [Path(storyworld.__file__)]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in code)).hexdigest()[:16]
    folder = harvests.data_home() / "stories" / key
    path = folder / f"{language}-{N_STORIES}.jsonl.gz"
    try:
        lines = gzip.decompress(path.read_bytes()).decode()
        return [json.loads(line) for line in lines.split("\n") if line]
    except (OSError, EOFError, ValueError):
        pass
    if progress:
        print(f"telling {N_STORIES:,} stories ({language})", flush=True)
    texts = storyworld.make_corpus(0, N_STORIES, language)
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(gzip.compress(lines.encode(), 6, mtime=0))
    os.replace(part, path)
    return texts


def _own(path: Path) -> Corpus:
    if path.is_file():
        files = [path]
    else:
        files = sorted(
            p
            for p in path.rglob("*")
            if p.suffix.lower() in _OWN_SUFFIXES
            and p.is_file()
            and not any(part.startswith(".") for part in p.relative_to(path).parts)
        )
    pairs = [(file, read_text(file)) for file in files]
    pairs = [(file, text) for file, text in pairs if text.strip()]
    if not pairs:
        raise ValueError(
            f"{path} holds no text: put files ending in {', '.join(_OWN_SUFFIXES)} into it"
        )
    return Corpus(
        name=path.name or str(path),
        texts=[text for _, text in pairs],
        source=f"your own text in {path}, {len(pairs)} file{'s' * (len(pairs) > 1)}",
        licence="yours to know: you may train on it if its owners allow it",
        origins=[str(file) for file, _ in pairs],
    )


def read_text(path: Path) -> str:
    """Read a UTF-8 file: no byte order mark, Unix line ends.

    Raises:
        ValueError: if a byte is not UTF-8; the message names the file, the byte and where it is.
    """
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte 0x{raw[error.start]:02x} at position {error.start} "
            f"(line {raw.count(10, 0, error.start) + 1}); save it as UTF-8, for example with "
            "`iconv -f LATIN1 -t UTF-8`"
        ) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _sampled(corpus: Corpus, max_bytes: int) -> Corpus:
    raw = [text.encode() for text in corpus.texts]
    chosen: list[int] = []
    left = max_bytes
    for i in sorted(range(len(raw)), key=lambda i: (hashlib.sha256(raw[i]).digest(), i)):
        if len(raw[i]) > left:
            if not chosen:
                cut = raw[i][:max_bytes].decode("utf-8", "ignore")
                origins = corpus.origins[i : i + 1]
                return Corpus(corpus.name, [cut], corpus.source, corpus.licence, origins)
            break
        chosen.append(i)
        left -= len(raw[i])
    chosen.sort()
    texts = [corpus.texts[i] for i in chosen]
    origins = [corpus.origins[i] for i in chosen] if corpus.origins else []
    return Corpus(corpus.name, texts, corpus.source, corpus.licence, origins)


def prepare() -> None:
    """Prepare every corpus that needs no network, and say of each what it is."""
    start = time.perf_counter()
    print(f"corpora are kept in {harvests.data_home()}")
    for name in (*harvests.KINDS, *STORIES):
        print(load_corpus(name))
    shipped, why = harvests.shipped_manifest()
    if shipped is None:
        print(f"not compared with a shipped manifest: {why}")
    elif shipped == harvests.manifest():
        print("the harvest equals the shipped manifest")
    else:
        print("the harvest differs from the shipped manifest: were files of a package edited?")
    print(f"ready in {time.perf_counter() - start:.1f} s")


def main(arguments: list[str] | None = None) -> int:
    """Run `python -m minillm.data.corpora`."""
    parser = argparse.ArgumentParser(description="Prepare the corpora of the course.")
    parser.add_argument("--list", action="store_true", help="print the catalogue, prepare nothing")
    parser.add_argument("--write-manifest", action="store_true", help="for maintainers")
    options = parser.parse_args(arguments)
    if options.list:
        for entry in catalogue().values():
            print(entry)
    elif options.write_manifest:
        print(f"wrote {harvests.write_manifest()}")
    else:
        prepare()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

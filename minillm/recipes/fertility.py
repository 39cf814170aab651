"""What a text costs in each language, counted for several vocabularies and written down.

    python -m minillm.recipes.fertility names                 the course's and bytes, on names
    python -m minillm.recipes.fertility names --ranks FOLDER  also the vocabularies in a folder
    python -m minillm.recipes.fertility udhr --texts FOLDER --ranks FOLDER

FOLDER of ranks: `gpt2.tiktoken`, `cl100k_base.tiktoken`, `o200k_base.tiktoken`, `qwen.tiktoken`, or
Hugging Face's `NAME.json`; those that a reader has. Nothing is fetched. FOLDER of texts: a
`CODE.txt` for each language, the same content in all, with `eng.txt` among them.

What is written is whole numbers, so that every ratio of the lesson is computed where it is shown.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import regex

from minillm.data.corpora import load_corpus, read_text
from minillm.data.names import from_text
from minillm.recipes.records import RESULTS, commit, machine, versions, write_note
from minillm.tokenizer import Tokenizer, course_tokenizer
from minillm.tokenizer.metrics import Encodes, han_pieces, words_of
from minillm.tokenizer.printable import from_printable
from minillm.tokenizer.ranks import PATTERN_OF, open_ranks

LANGUAGES = (
    "en", "de", "fr", "es", "pt", "it", "nl", "sv", "fi", "hu", "pl", "cs", "tr", "vi", "id", "sw",
    "el", "ru", "uk", "he", "ar", "fa", "hi", "bn", "ta", "kn", "th", "km", "my", "ka", "am",
    "ko", "ja", "zh",
)  # fmt: skip
"""Languages of the names, as babel calls them: Latin script first, then the others."""

_HAN = regex.compile(r"\p{Han}")


@dataclass(frozen=True)
class Vocabulary:
    """Something that encodes, and what it consists of."""

    encoder: Encodes
    entries: Sequence[bytes]
    """Its ordinary tokens, as bytes."""


class _HuggingFace:
    """A tokenizer of the package `tokenizers`, with `encode` giving ids.

    SentencePiece's put a space before every text. That is left out here, so that all vocabularies
    get the same text, and a word is cut as in the middle of a sentence.
    """

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer as TheirTokenizer

        content = json.loads(path.read_text("utf-8"))
        steps = content.get("normalizer") or {}
        for step in steps.get("normalizers", [steps]):
            if step.get("type") == "Prepend":
                step["prepend"] = ""
        if (content.get("pre_tokenizer") or {}).get("type") == "Metaspace":
            content["pre_tokenizer"]["prepend_scheme"] = "never"
        self.inner = TheirTokenizer.from_str(json.dumps(content))

    def encode(self, text: str, /) -> list[int]:
        ids: list[int] = self.inner.encode(text, add_special_tokens=False).ids
        return ids


def parallel_names(languages: Sequence[str] = LANGUAGES) -> dict[str, str]:
    """Names of languages and territories, one a line, the same things in every language.

    Args:
        languages: codes as in `load_corpus("names")`.

    Returns:
        code -> text. A thing that one of the languages does not name is left out of all.

    Raises:
        ValueError: if there are no names in a language.

    Lesson: notebooks/07b_vocabulary.ipynb
    """
    found = dict(from_text(text) for text in load_corpus("names", progress=False).texts)
    missing = [code for code in languages if code not in found]
    if missing:
        raise ValueError(f"no names in {missing[0]!r}; there are {', '.join(found)}")
    keys = sorted(set.intersection(*(set(found[code]) for code in languages)))
    return {code: "\n".join(found[code][key] for key in keys) for code in languages}


def texts_of(folder: str | Path) -> dict[str, str]:
    """The texts of a folder: `CODE.txt` -> code and text.

    Raises:
        ValueError: if the folder holds no such file, or one is not UTF-8.
    """
    files = sorted(Path(folder).glob("*.txt"))
    if not files:
        raise ValueError(f"{folder} holds no CODE.txt; give a folder with one text a language")
    return {file.stem: read_text(file) for file in files}


def vocabularies(folder: str | Path | None = None) -> dict[str, Vocabulary]:
    """Bytes, the course's vocabulary, and those in a folder.

    Args:
        folder: of `NAME.tiktoken` and `NAME.json`; None: only the two that are always there.

    Raises:
        ValueError: if a file cannot be read as what its name says.

    Cost: about 10 s for a vocabulary of 100 000.
    """
    plain, course = Tokenizer({i: bytes([i]) for i in range(256)}, []), course_tokenizer()
    found = {
        "bytes": Vocabulary(plain, list(plain.ordinary)),
        "course": Vocabulary(course, list(course.ordinary)),
    }
    files = sorted(Path(folder).iterdir()) if folder else []
    for file in files:
        if file.suffix == ".tiktoken" and file.stem in PATTERN_OF:
            theirs = open_ranks(file)
            found[file.stem] = Vocabulary(theirs, list(theirs.ordinary))
        elif file.suffix == ".json":
            inner = _HuggingFace(file)
            names = inner.inner.get_vocab(with_added_tokens=False)
            found[file.stem] = Vocabulary(inner, [_spelled(name) for name in names])
    return found


def _spelled(name: str) -> bytes:
    """The bytes of a token as `tokenizers` names it: byte-level letters, or SentencePiece's."""
    if name.startswith("▁") or _HAN.search(name):
        return name.replace("▁", " ").encode()
    try:
        return from_printable(name)
    except ValueError:
        return name.encode()


def count(texts: Mapping[str, str], found: Mapping[str, Vocabulary]) -> dict[str, Any]:
    """Count what each text is in each vocabulary.

    Args:
        texts: language -> text.
        found: name -> vocabulary.

    Returns:
        language -> characters, bytes, words, Han characters, and by vocabulary the tokens of
        the text and the tokens of its words one by one. Whole numbers.

    Lesson: notebooks/07b_vocabulary.ipynb
    """
    rows = {}
    for code, text in texts.items():
        words = words_of(text)
        rows[code] = {
            "characters": len(text),
            "bytes": len(text.encode()),
            "words": len(words),
            "word_bytes": sum(len(word.encode()) for word in words),
            "han": len(_HAN.findall(text)),
            "tokens": {name: len(v.encoder.encode(text)) for name, v in found.items()},
            "word_tokens": {
                name: sum(len(v.encoder.encode(word)) for word in words)
                for name, v in found.items()
            },
        }
    return rows


def describe(found: Mapping[str, Vocabulary], chinese: str) -> dict[str, Any]:
    """Size of each vocabulary, what of it is Chinese, and how much of a Chinese text that covers.

    Returns:
        name -> entries, han_single, han_longer, and covered: how many Han characters of the text
        are an entry by themselves.
    """
    rows = {}
    for name, vocabulary in found.items():
        han = han_pieces(vocabulary.entries)
        rows[name] = {
            "entries": len(vocabulary.entries),
            "han_single": len(han.single),
            "han_longer": len(han.longer),
            "covered": sum(character in han.single for character in _HAN.findall(chinese)),
        }
    return rows


def make_record(
    name: str,
    texts: Mapping[str, str],
    chinese: str,
    found: Mapping[str, Vocabulary],
    *,
    results: Path = RESULTS,
) -> Path:
    """Count, and write `data/results/fertility/NAME.json`.

    Args:
        name: of the record.
        texts: language -> text.
        chinese: code of the Chinese text.
        found: name -> vocabulary.
        results: folder of all recorded runs.

    Returns:
        The file.
    """
    note = {
        "job": f"fertility/{name}",
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "vocabularies": describe(found, texts[chinese]),
        "languages": count(texts, found),
    }
    path = results / "fertility" / f"{name}.json"
    write_note(path, note)
    return path


def main(arguments: list[str] | None = None) -> int:
    """Run `python -m minillm.recipes.fertility`."""
    parser = argparse.ArgumentParser(description="Count tokens by language and vocabulary.")
    parser.add_argument("name", help="names, or how to call a folder of texts")
    parser.add_argument("--texts", help="folder with CODE.txt for each language")
    parser.add_argument("--ranks", help="folder with NAME.tiktoken or NAME.json")
    parser.add_argument("--chinese", help="code of the Chinese text", default=None)
    parser.add_argument("--results", help="folder of results", default=RESULTS, type=Path)
    options = parser.parse_args(arguments)
    texts = texts_of(options.texts) if options.texts else parallel_names()
    chinese = options.chinese or ("cmn_hans" if options.texts else "zh")
    if chinese not in texts:
        parser.error(f"no text {chinese!r} among {', '.join(texts)}; give --chinese CODE")
    found = vocabularies(options.ranks)
    print(make_record(options.name, texts, chinese, found, results=options.results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

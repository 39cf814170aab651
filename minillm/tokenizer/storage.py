"""A tokenizer on disk: three files of plain text that a person can read and compare.

    vocab.txt        one entry a line: id, tab, bytes in GPT-2's printable characters
    merges.txt       one merge a line: left part, space, right part
    tokenizer.json   pattern, special tokens, a sha256 of each file, and the hash of the whole

Nothing is executed when it is read, and a file that was changed afterwards is refused by name.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minillm.tokenizer.printable import from_printable, to_printable

if TYPE_CHECKING:
    from minillm.tokenizer.tokenizer import Tokenizer

FORMAT = "minillm-tokenizer-1"
HEADER, VOCAB, MERGES = "tokenizer.json", "vocab.txt", "merges.txt"


def contents(tokenizer: "Tokenizer") -> dict[str, str]:
    """The texts of vocab.txt and merges.txt."""
    vocab = "".join(f"{i}\t{to_printable(token)}\n" for i, token in sorted(tokenizer.vocab.items()))
    merges = "".join(f"{to_printable(a)} {to_printable(b)}\n" for a, b in tokenizer.merges)
    return {VOCAB: vocab, MERGES: merges}


def header(tokenizer: "Tokenizer") -> dict[str, Any]:
    """What tokenizer.json says: everything but the two long lists, of which it has the sha256."""
    return {
        "format": FORMAT,
        "pattern": tokenizer.pattern,
        "special_tokens": tokenizer.special_tokens,
        "n_vocab": tokenizer.n_vocab,
        "sha256": {name: sha256(text) for name, text in contents(tokenizer).items()},
    }


def fingerprint(tokenizer: "Tokenizer") -> str:
    """The sha256 of the header; it changes whenever any id of any text could."""
    return sha256(json.dumps(header(tokenizer), sort_keys=True))


def sha256(text: str) -> str:
    """The sha256 of a text in UTF-8, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def save(tokenizer: "Tokenizer", folder: Path) -> None:
    """Write the three files, each beside its place first and then renamed; the header last."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = header(tokenizer) | {"hash": fingerprint(tokenizer)}
    texts = contents(tokenizer) | {HEADER: json.dumps(whole, indent=1, ensure_ascii=False) + "\n"}
    for name, text in texts.items():
        beside = folder / f"{name}.part"
        beside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(beside, folder / name)


def load(folder: Path) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]], list[str], str]:
    """Read the three files and check them.

    Returns:
        vocab, merges, special tokens, pattern: the arguments of `Tokenizer`.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if one is not as it was written.
    """
    texts = {name: _read(folder, name) for name in (HEADER, VOCAB, MERGES)}
    try:
        head = json.loads(texts[HEADER])
        stated = head.pop("hash")
        if head["format"] != FORMAT:
            raise ValueError(f"format {head['format']!r}, this reads {FORMAT!r}")
        expected = {name: head["sha256"][name] for name in (VOCAB, MERGES)}
        specials, pattern = list(head["special_tokens"]), str(head["pattern"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{_name(folder, HEADER)} cannot be read: {error}") from None
    for name, digest in expected.items():
        if sha256(texts[name]) != digest:
            raise ValueError(f"{_name(folder, name)} was altered: its sha256 is not the stated one")
    if sha256(json.dumps(head, sort_keys=True)) != stated:
        raise ValueError(f"{_name(folder, HEADER)} was altered: its hash is not the stated one")
    vocab = {}
    for line in texts[VOCAB].splitlines():
        number, token = line.split("\t")
        vocab[int(number)] = from_printable(token)
    pairs = [line.split(" ") for line in texts[MERGES].splitlines()]
    return vocab, [(from_printable(a), from_printable(b)) for a, b in pairs], specials, pattern


def _read(folder: Path, name: str) -> str:
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"no {name} in {str(folder)!r}; a tokenizer is a folder of three")
    return path.read_text(encoding="utf-8")  # universal newlines: a checkout with CRLF is the same


def _name(folder: Path, name: str) -> str:
    return repr(str(folder / name))

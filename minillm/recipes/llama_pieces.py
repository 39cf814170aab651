"""What LLaMA's vocabulary is made of: digits, bytes, Chinese; counted once and written down.

    npm pack llama-tokenizer-js && tar xzf llama-tokenizer-js-*.tgz
    python -m minillm.recipes.llama_pieces package/llama-tokenizer.js

The vocabulary is not free to be shipped, so that only counts and a few ids are recorded, in
`data/results/fertility/llama_pieces.json`. The package (MIT) holds the list of entries, and encodes
by itself where there is Node: the two texts below are encoded by *it*, not by us.
"""

import argparse
import base64
import hashlib
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from minillm.recipes.records import RESULTS, commit, machine, versions, write_note

TEXTS = ("12345", "\U00020bb7")
"""A number, and a Han character (𠮷) of the plane that few vocabularies hold."""
BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def entries_of(source: str) -> list[str]:
    """The entries of the vocabulary, in order of their ids, from the package's JavaScript.

    Raises:
        ValueError: if the source holds no such list.
    """
    found = re.search(r'llama_vocab_base64 = "([A-Za-z0-9+/=]+)"', source)
    if found is None:
        raise ValueError("no llama_vocab_base64 in the file; give package/llama-tokenizer.js")
    return base64.b64decode(found[1]).decode("utf-8").split("\n")


def describe(entries: list[str]) -> dict[str, int]:
    """Count the entries, those that hold a digit, and those that stand for a byte.

        digit: 0 to 9 inside an entry that is not a byte's name

    Returns:
        entries, digits (single ones), digit_with_more (a digit and anything else), bytes.
    """
    plain = [entry for entry in entries if not BYTE.fullmatch(entry)]
    with_digit = [entry for entry in plain if re.search("[0-9]", entry)]
    return {
        "entries": len(entries),
        "digits": sum(len(entry) == 1 for entry in with_digit),
        "digit_with_more": sum(len(entry) > 1 for entry in with_digit),
        "bytes": len(entries) - len(plain),
    }


def encoded_by_package(file: Path, texts: tuple[str, ...] = TEXTS) -> list[list[int]]:
    """The ids that the package itself gives, without the begin mark and the space before.

    Raises:
        FileNotFoundError: if there is no Node on the path.
    """
    script = (
        f"import t from {json.dumps(file.resolve().as_uri())};"
        f"console.log(JSON.stringify({json.dumps(texts)}.map(x => t.encode(x, false, false))))"
    )
    command = ["node", "--input-type=module", "-e", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ids: list[list[int]] = json.loads(done.stdout)
    return ids


def make_record(file: Path, results: Path = RESULTS) -> Path:
    """Count, let the package encode, and write the record."""
    source = file.read_text(encoding="utf-8")
    entries = entries_of(source)
    pieces = [[entries[i] for i in ids] for ids in encoded_by_package(file)]
    note: dict[str, Any] = {
        "job": "fertility/llama_pieces",
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "source": "npm llama-tokenizer-js",
        "source_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "counts": describe(entries),
        "encoded": dict(zip(TEXTS, pieces, strict=True)),
    }
    path = results / "fertility" / "llama_pieces.json"
    write_note(path, note)
    return path


def main(arguments: list[str] | None = None) -> int:
    """Run `python -m minillm.recipes.llama_pieces`."""
    parser = argparse.ArgumentParser(description="Count what LLaMA's vocabulary is made of.")
    parser.add_argument("file", type=Path, help="llama-tokenizer.js of the npm package")
    file = parser.parse_args(arguments).file
    if not file.is_file():
        parser.error(f"there is no file {file}; unpack the npm package first")
    if shutil.which("node") is None:
        parser.error("the package encodes by itself, which needs Node; put node on the path")
    print(make_record(file))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Other people's vocabularies, read from files that a reader may have on their machine.

A `.tiktoken` file has a line for each token, its bytes in base64 and its rank, which is its id:

    IQ== 0
    Ig== 1

Nothing is fetched here. tiktoken keeps what it has fetched in the folder that TIKTOKEN_CACHE_DIR
names; Qwen's file comes with its model and with the package `dashscope`.
"""

import base64
import binascii
from pathlib import Path

from minillm.tokenizer.export import from_tiktoken_ranks
from minillm.tokenizer.tokenizer import Tokenizer

_CASED = r"[^\r\n\p{L}\p{N}]?"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"

PATTERN_OF = {
    # name of the file without its ending: how that vocabulary's texts are cut
    "gpt2": "gpt2",
    "r50k_base": "gpt2",
    "cl100k_base": "cl100k",
    "o200k_base": (
        rf"{_CASED}{_UPPER}*{_LOWER}+{_CONTRACTION}?|{_CASED}{_UPPER}+{_LOWER}*{_CONTRACTION}?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "qwen": (
        rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}


def read_ranks(path: str | Path) -> dict[bytes, int]:
    """Read a `.tiktoken` file.

    Args:
        path: the file.

    Returns:
        token -> rank, in the order of the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a line is not base64, a space and a number, or a token comes twice; the
            message names the file and the line.

    Lesson: notebooks/07b_vocabulary.ipynb
    """
    path = Path(path)
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            word, rank = line.split()
            token, value = base64.b64decode(word, validate=True), int(rank)
        except (ValueError, binascii.Error):
            raise ValueError(
                f"{path}, line {number}: wanted base64, a space and a number, got {line[:40]!r}"
            ) from None
        if token in ranks:
            raise ValueError(f"{path}, line {number}: token {token!r} comes twice")
        ranks[token] = value
    return ranks


def write_ranks(tokenizer: Tokenizer, path: str | Path) -> None:
    """Write the ordinary tokens of a tokenizer as a `.tiktoken` file; the inverse of `read_ranks`.

    Raises:
        ValueError: if the ids of the merges do not ascend, which tiktoken needs.
    """
    from minillm.tokenizer.export import ordinary_ranks

    lines = [
        f"{base64.b64encode(token).decode()} {rank}\n"
        for token, rank in ordinary_ranks(tokenizer).items()
    ]
    Path(path).write_text("".join(lines), encoding="ascii", newline="\n")


def open_ranks(path: str | Path, pattern: str | None = None) -> Tokenizer:
    """Open a `.tiktoken` file as a tokenizer of ours, without special tokens.

    Args:
        path: the file.
        pattern: how texts are cut; None: the one that belongs to the file's name (PATTERN_OF).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, a token is not the merge of two others, or no pattern is
            given and the name is not known.

    Cost: about 0.1 ms a token, once: the list of merges has to be found again.
    Lesson: notebooks/07b_vocabulary.ipynb
    """
    name = Path(path).stem
    if pattern is None and name not in PATTERN_OF:
        raise ValueError(
            f"how does {name!r} cut texts? Give pattern=..., or name the file one of "
            f"{', '.join(PATTERN_OF)}"
        )
    return from_tiktoken_ranks(read_ranks(path), {}, pattern or PATTERN_OF[name])

"""Tokens on disk: a flat file of numbers that is mapped into memory, and its header.

The file is what a tokenizer wrote, nothing else: token i stands at byte i * itemsize. The header
says how many there are, which tokenizer made them, from what, and what the hash must be, so that
a file that was cut short or altered is refused instead of trained on.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

_DTYPES: dict[str, np.dtype] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}

Tokens = Any
"""One axis of integers: a numpy array or memory map, a torch tensor, a TokenShard, a list."""


@dataclass(frozen=True)
class ShardHeader:
    """What the JSON file beside a shard says."""

    dtype: str
    """`uint16` or `uint32`; the bytes are little-endian."""
    n_tokens: int
    tokenizer: str
    """Hash of the tokenizer that made the tokens."""
    source: str
    sha256: str
    """Hash of the `.bin` file."""
    byte_order: str = "little"


class TokenShard:
    """Tokens in a flat file, mapped into memory, with a header beside it.

    Args:
        path: the `.bin` file; its header is the `.json` of the same name.
        verify: read the whole file once and compare its hash.

    Raises:
        FileNotFoundError: if one of the two files is missing.
        ValueError: if the file is cut short, too long or altered, or the header is not one; the
            message names the file.
    """

    def __init__(self, path: str | Path, *, verify: bool = True) -> None:
        self.path = Path(path).with_suffix(".bin")
        header = self.path.with_suffix(".json")
        for file in (self.path, header):
            if not file.is_file():
                raise FileNotFoundError(f"{file} is missing: write the shard again")
        try:
            self.header = ShardHeader(**json.loads(header.read_text("utf-8")))
            dtype: np.dtype = _DTYPES[self.header.dtype]
            if type(self.header.n_tokens) is not int:  # JSON may hold "20" or 20.0
                raise TypeError(f"n_tokens must be a whole number, got {self.header.n_tokens!r}")
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{header} is not the header of a token shard: {error}") from None
        wanted, there = self.header.n_tokens * dtype.itemsize, self.path.stat().st_size
        if there != wanted:
            word = "cut short" if there < wanted else "too long"
            raise ValueError(
                f"{self.path} is {word}: {there} bytes, its header says {wanted}; write it again"
            )
        if verify and _file_hash(self.path) != self.header.sha256:
            raise ValueError(
                f"{self.path} was altered: its sha256 is not the one in its header; write it again"
            )
        empty = np.empty(0, dtype)
        self.tokens: np.ndarray = np.memmap(self.path, dtype, "r") if wanted else empty

    def __len__(self) -> int:
        return self.header.n_tokens

    def __getitem__(self, index: Any) -> Any:
        return self.tokens[index]

    @classmethod
    def write(
        cls,
        path: str | Path,
        tokens: Iterable[Any],
        *,
        vocab_size: int,
        tokenizer: str,
        source: str,
    ) -> "TokenShard":
        """Write tokens and their header, and open them.

        Args:
            path: the `.bin` file; the header goes beside it.
            tokens: an array of integers, or an iterable of arrays (pieces of a long text), so
                that a corpus larger than memory can be written.
            vocab_size: ids are below it; up to 65 536 they take two bytes, else four.
            tokenizer: hash of the tokenizer.
            source: where the text comes from.

        Raises:
            ValueError: if an id is not in 0 .. vocab_size - 1. Nothing is written then.
        """
        path = Path(path).with_suffix(".bin")
        path.parent.mkdir(parents=True, exist_ok=True)
        dtype = "uint16" if vocab_size <= 1 << 16 else "uint32"
        digest, n_tokens = hashlib.sha256(), 0
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as file:
                for piece in _pieces(tokens):
                    array = _checked(piece, vocab_size)
                    raw = array.astype(_DTYPES[dtype]).tobytes()
                    digest.update(raw)
                    file.write(raw)
                    n_tokens += len(array)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        header = ShardHeader(dtype, n_tokens, tokenizer, source, digest.hexdigest())
        text = json.dumps(asdict(header), indent=1, ensure_ascii=False) + "\n"
        header_part = path.with_name(f"{path.stem}.json.{os.getpid()}.part")
        header_part.write_text(text, "utf-8")
        os.replace(header_part, path.with_suffix(".json"))
        return cls(path, verify=False)


def _pieces(tokens: Any) -> Iterator[Any]:
    """Take an array or a list of ids as one piece, an iterable of arrays as many."""
    if hasattr(tokens, "ndim"):
        yield tokens
        return
    if isinstance(tokens, (list, tuple)) and (not tokens or isinstance(tokens[0], int)):
        yield np.asarray(tokens, np.int64)
        return
    yield from tokens


def _checked(piece: Any, vocab_size: int) -> np.ndarray:
    array = np.asarray(piece, np.int64) if isinstance(piece, list) else as_array(piece)
    outside = (array < 0) | (array >= vocab_size)
    if outside.any():
        raise ValueError(
            f"token id {array[outside][0]} is not in 0 .. {vocab_size - 1} "
            f"(vocab_size is {vocab_size})"
        )
    return array


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def as_array(tokens: Tokens) -> np.ndarray:
    """Return tokens as a numpy array, without copying an array, a map, a shard or a tensor.

    Raises:
        ValueError: if they are not one axis of integers.
    """
    array = tokens.tokens if isinstance(tokens, TokenShard) else tokens
    array = array.numpy() if hasattr(array, "numpy") else np.asarray(array)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"tokens must be one axis of integers, got shape {array.shape} of {array.dtype}"
        )
    return array

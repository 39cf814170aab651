"""What a tokenizer is trained on: checked arguments, text read in chunks, pre-tokens counted."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from minillm.tokenizer.pretokenize import pieces_of, resolve, safe_pieces

CHUNK_CHARACTERS = 1 << 20  # what is read of a file at a time
TIES = ("greatest", "smallest_id", "gpt2_id")


def check_arguments(
    vocab_size: int, special_tokens: Sequence[str], ties: str, max_token_bytes: int | None
) -> None:
    """Refuse arguments that no tokenizer could be trained with.

    Raises:
        TypeError: if special_tokens is one str instead of a sequence of them.
        ValueError: if the vocabulary is too small, a special token empty or given twice, the tie
            rule unknown, or the limit on tokens below two bytes.
    """
    if isinstance(special_tokens, str):
        raise TypeError(f"special_tokens must be a list, write [{special_tokens!r}]")
    if ties not in TIES:
        raise ValueError(f"ties must be one of {', '.join(TIES)}; got {ties!r}")
    if max_token_bytes is not None and max_token_bytes < 2:
        raise ValueError(f"max_token_bytes must be at least 2, got {max_token_bytes}")
    if "" in special_tokens:
        raise ValueError("a special token must not be empty; got ''")
    twice = [token for token, n in Counter(special_tokens).items() if n > 1]
    if twice:
        raise ValueError(f"special token {twice[0]!r} is given twice; name each once")
    smallest = 256 + len(special_tokens)
    if vocab_size < smallest:
        raise ValueError(
            f"vocab_size must be at least {smallest} (256 bytes and {len(special_tokens)} special "
            f"tokens), got {vocab_size}"
        )


def read_chunks(path: str | Path) -> Iterator[str]:
    """Read a UTF-8 file in chunks, line ends as they are.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is a folder or not UTF-8.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder; give a file, or a list of texts")
    if not path.exists():
        raise FileNotFoundError(
            f"no file {str(path)!r}; a str is taken as a path, so to train on a text itself "
            f"write [text]"
        )
    with path.open(encoding="utf-8", newline="") as file:
        try:
            while chunk := file.read(CHUNK_CHARACTERS):
                yield chunk
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{str(path)!r} is not UTF-8 ({error.reason}); convert it, or decode it yourself "
                f"and pass the texts"
            ) from None


def source_pieces(
    source: str | Path | Iterable[str], special_tokens: Sequence[str], pattern: str
) -> Iterator[str]:
    """The ordinary text of a source, in pieces that can be pre-tokenised one by one.

    Args:
        source: str or Path: a file, read as a stream. Anything else: texts, each on its own, so
            that no pre-token crosses from one into the next.
        special_tokens: cut out of the text.
        pattern: see `pretokens`.
    """
    texts: Iterable[Iterable[str]]
    texts = [read_chunks(source)] if isinstance(source, str | Path) else ([t] for t in source)
    for chunks in texts:
        for piece, _ in safe_pieces(chunks, special_tokens, pattern):
            if piece:
                yield piece


def count_pretokens(
    source: str | Path | Iterable[str], special_tokens: Sequence[str], pattern: str
) -> Counter[bytes]:
    """Count the pre-tokens of a source, as bytes, in order of first appearance."""
    return count_pieces(source_pieces(source, special_tokens, pattern), pattern)


def count_pieces(pieces: Iterable[str], pattern: str) -> Counter[bytes]:
    """Count the pre-tokens of pieces of text that `source_pieces` gave."""
    split = resolve(pattern)
    counts: Counter[str] = Counter()
    for piece in pieces:
        counts.update(pieces_of(split, piece))
    return Counter({word.encode("utf-8"): n for word, n in counts.items()})

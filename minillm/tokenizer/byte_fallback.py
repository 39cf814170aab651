"""Byte fallback: a character outside the vocabulary becomes its UTF-8 bytes, each a piece.

    "𠮷" is not in the vocabulary  ->  <0xF0> <0xA0> <0xAE> <0xB7>

So a vocabulary of characters and words, as SentencePiece makes it, can still spell every text.
Byte-level BPE (lesson 06) starts from bytes and needs no fallback; here bytes are the exception.

Lesson: notebooks/07a_tokenizers.ipynb
"""

from collections.abc import Iterable

BYTE_PIECES: tuple[str, ...] = tuple(f"<0x{byte:02X}>" for byte in range(256))
"""The pieces of the 256 bytes in order, as SentencePiece and Hugging Face write them."""

_BYTE_OF = {piece: byte for byte, piece in enumerate(BYTE_PIECES)}


def to_byte_pieces(text: str) -> list[str]:
    """Spell a text in byte pieces.

        to_byte_pieces("é") -> ["<0xC3>", "<0xA9>"]

    Raises:
        UnicodeEncodeError: if the text holds a lone surrogate; see `pretokenize.repair`.
    """
    return [BYTE_PIECES[byte] for byte in text.encode("utf-8")]


def byte_of(piece: str) -> int | None:
    """The byte that a piece stands for, or None if it is not a byte piece."""
    return _BYTE_OF.get(piece)


def join_pieces(pieces: Iterable[str]) -> str:
    """Join pieces to a text; runs of byte pieces are read as UTF-8.

        join_pieces(["a", "<0xC3>", "<0xA9>", "b"]) -> "aéb"

    Bytes that are not UTF-8 become U+FFFD. What is valid in the same run is kept; Hugging Face's
    ByteFallback decoder gives up on the whole run.

    Args:
        pieces: each is a byte piece or text. A text that only looks like a byte piece cannot be
            told apart here; `Unigram.decode` goes by ids and can.
    """
    whole = b""
    for piece in pieces:
        byte = _BYTE_OF.get(piece)
        whole += piece.encode("utf-8") if byte is None else bytes([byte])
    return whole.decode("utf-8", "replace")

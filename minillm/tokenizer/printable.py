"""Bytes written so that people can read them: GPT-2's mapping of the 256 bytes to 256 characters.

Printable bytes stand for themselves; the other 68 (space, newline, control codes, and so on)
borrow the characters from U+0100 on: the space becomes "Ġ", the newline "Ċ". No character of a
token is then a space or a line end, so a file of merges can be one merge a line, split by a space.

Source: Radford et al. 2019, encoder.py of the GPT-2 release (bytes_to_unicode).
"""

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]

GPT2_BYTE_ORDER: tuple[int, ...] = (*_PRINTABLE, *_OTHERS)
"""The 256 bytes in the order of GPT-2's ids 0 to 255, which is that of the characters below."""

CHARACTER_OF_BYTE: dict[int, str] = {b: chr(b) for b in _PRINTABLE} | {
    b: chr(0x100 + place) for place, b in enumerate(_OTHERS)
}
BYTE_OF_CHARACTER: dict[str, int] = {c: b for b, c in CHARACTER_OF_BYTE.items()}


def to_printable(token: bytes) -> str:
    """Write a token's bytes as characters: b" the" -> "Ġthe"."""
    return "".join(CHARACTER_OF_BYTE[b] for b in token)


def from_printable(text: str) -> bytes:
    """Read what `to_printable` wrote.

    Raises:
        ValueError: if a character is not one of the 256.
    """
    try:
        return bytes(BYTE_OF_CHARACTER[c] for c in text)
    except KeyError as error:
        raise ValueError(f"{error.args[0]!r} in {text!r} stands for no byte") from None

"""Letters and numbers as of Unicode 16, whatever release of Unicode the `regex` package knows.

Unicode gains letters every year, and each library carries the tables of its own release. A text
with a letter that one of them does not know yet would be cut differently, and get other ids. So
our classes stay at Unicode 16, that of tiktoken 0.14 and tokenizers 0.23. The table lists what
`regex` 2026.11 counts as a letter or number and they do not; a test compares all code points.
"""

import re

LATER_LETTERS = """
558 58b-58c 88f c5c cdc 208f 209d-209f a7ce-a7cf a7d2 a7d4 a7dd a7e2 a7f1 ab6c-ab6d 107bb-107bf
10940-10959 10ec5-10ec7 10ed9-10eee 11b0a 11db0-11ddb 11df1 16ea0-16eb8 16ebb-16ed3 16ff2-16ff3
187f8-187ff 18cd6-18cda 18d09-18d20 18d80-18df2 18e00-19191 191a0-191d2 1b123-1b128 1b168 1d6a6
1df1f-1df24 1df2b-1df81 1df90-1df96 1dfcd-1dfff 1e6c0-1e6de 1e6e0-1e6e2 1e6e4-1e6e5 1e6e7-1e6ed
1e6f0-1e6f4 1e6fe-1e6ff 2b73a-2b73f 2b81e 2cea2-2cead 323b0-33479 3d000-3fc3f
"""
LATER_NUMBERS = """
11de0-11de9 1246f 12475-1247f 12550-12686 16ff4-16ff6
"""


def _as_ranges(table: str) -> str:
    """The table as the inside of a character class."""
    ends = [part.partition("-")[::2] for part in table.split()]
    return "".join(f"\\U{a:>08}-\\U{b or a:>08}" for a, b in ends)


_LETTERS, _NUMBERS = _as_ranges(LATER_LETTERS), _as_ranges(LATER_NUMBERS)
_LATER = re.compile(f"[{_LETTERS}{_NUMBERS}]")


def has_later(text: str) -> bool:
    """Whether a text holds a letter or number that Unicode 16 did not know (very rare)."""
    return not text.isascii() and _LATER.search(text) is not None


def frozen(expression: str) -> str:
    """The expression for such texts: the same, with the later letters and numbers left out."""
    for letter, later in (("L", _LETTERS), ("N", _NUMBERS)):
        known = rf"[\p{{{letter}}}--[{later}]]"
        expression = expression.replace(rf"\p{{{letter}}}", known)
        expression = expression.replace(rf"\P{{{letter}}}", f"[^{known}]")
    return "(?V1)" + expression

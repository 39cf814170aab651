"""Read a file of one JSON object a line, in which every line is accounted for.

No line is dropped in silence: every line of the file is a row, or a bad one with its number and a
reason, or blank; and the three are counted. What a row is, the reader of each kind of file says
(rows.py for talks, `align/pair_files.py` for preferences): a function that turns the object of a
line into a row, or raises ChatError, whose `kind` is the reason.

Type letters: Good is a row, Bad a line that is none.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from minillm.finetune.chat import ChatTemplate
from minillm.finetune.roles import ASSISTANT, ChatError
from minillm.tokenizer import Tokenizer

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class BadLine:
    """One line that is no row.

    Lesson: notebooks/28_instructions.ipynb
    """

    line: int
    """Its number in the file, from 1."""
    reason: str
    """A key of `meanings`."""
    detail: str

    meanings: ClassVar[Mapping[str, str]] = {}
    """Reason -> what it means, of the kind of file; in the order in which they are looked for."""

    def __str__(self) -> str:
        return f"line {self.line}: {self.meanings[self.reason]} ({self.detail})"


Good = TypeVar("Good")
Bad = TypeVar("Bad", bound=BadLine)


@dataclass(frozen=True)
class LineFile(Generic[Good, Bad]):
    """What became of the lines of a file: n_lines = len(rows) + len(bad) + n_blank.

    Lesson: notebooks/28_instructions.ipynb
    """

    path: Path
    n_lines: int
    n_blank: int
    rows: tuple[Good, ...]
    bad: tuple[Bad, ...]

    meanings: ClassVar[Mapping[str, str]] = {}
    """As those of the bad lines."""
    noun: ClassVar[str] = "row"
    """What a good line holds, in one word; its plural ends in s."""

    @property
    def counts(self) -> dict[str, int]:
        """Reason -> number of bad rows, in the order of the reasons."""
        found = Counter(row.reason for row in self.bad)
        return {reason: found[reason] for reason in self.meanings if found[reason]}

    def __str__(self) -> str:
        good, bad = len(self.rows), len(self.bad)
        head = f"{self.path.name}: {good:,} of {self.n_lines:,} lines are {self.noun}s, "
        head += f"{bad:,} are not"
        if self.n_blank:
            head += f", {self.n_blank:,} are blank"
        return "\n".join([head, *(f"  {row}" for row in self.bad)])

    def strict(self, *, longest: int = 10) -> Self:
        """Give the file back if all is well.

        Args:
            longest: show at most so many bad rows.

        Raises:
            ValueError: if there is a bad row, or no row at all.
        """
        if self.bad:
            shown = [str(row) for row in self.bad[:longest]]
            left = len(self.bad) - len(shown)
            lines = "\n  ".join([*shown, *([f"and {left:,} more"] if left > 0 else [])])
            raise ValueError(
                f"{self.path.name} has {len(self.bad):,} bad rows; mend them, or leave them out "
                f"on purpose:\n  {lines}"
            )
        if not self.rows:
            raise ValueError(f"{self.path.name} holds no {self.noun}; each line must be one")
        return self


def read_lines(
    path: str | Path,
    row_of: Callable[[int, Any], Good],
    bad_of: Callable[[int, str, str], Bad],
) -> tuple[int, int, tuple[Good, ...], tuple[Bad, ...]]:
    r"""Read a JSONL file.

    Lines end with \n alone: U+2028 and its like are ordinary characters in JSON, and a carriage
    return before \n is a blank.

    Args:
        path: UTF-8, one JSON value a line. A byte order mark at its beginning is no harm.
        row_of: (number of the line from 1, its value) -> its row; raises ChatError where the
            value is none.
        bad_of: (number, reason, detail) -> a bad line.

    Returns:
        Number of lines, number of blank ones, the rows, the bad lines: what a LineFile holds.

    Raises:
        FileNotFoundError: if there is no such file.

    Lesson: notebooks/28_instructions.ipynb
    """
    lines = Path(path).read_bytes().removeprefix(BYTE_ORDER_MARK).split(b"\n")
    if not lines[-1]:
        lines.pop()  # the newline that ends the last line begins no other
    rows: list[Good] = []
    bad: list[Bad] = []
    n_blank = 0
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            n_blank += 1
            continue
        try:
            rows.append(row_of(number, _value_of(raw)))
        except ChatError as error:
            bad.append(bad_of(number, error.kind, str(error)))
    return len(lines), n_blank, tuple(rows), tuple(bad)


def check_reading(tokenizer: Tokenizer, template: ChatTemplate, longest: int | None) -> None:
    """Refuse settings of a reader with which every row would be bad: no row is at fault.

    Args:
        tokenizer: with the special tokens of the template.
        template: how talks are framed.
        longest: most tokens that a talk may have; None for no limit.

    Raises:
        ValueError: if longest < 1 or the tokenizer lacks the template's special tokens.

    Lesson: notebooks/28_instructions.ipynb
    """
    if longest is not None and longest < 1:
        raise ValueError(f"longest must be at least 1, got {longest}")
    template.opening_ids(ASSISTANT, tokenizer)
    tokenizer.special_id(template.end)


def refuse_names(texts: Mapping[str, str], names: Sequence[str]) -> None:
    """Refuse texts in which a name of `names` stands, such as that of a special token.

    Args:
        texts: place (told in the error) -> text.
        names: looked for in each.

    Raises:
        ChatError: of kind "special", with the first place and the first name in it.

    Lesson: notebooks/28_instructions.ipynb
    """
    for place, text in texts.items():
        found = next((name for name in names if name in text), None)
        if found is not None:
            raise ChatError("special", f"{place}: {found}")


def _value_of(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ChatError("utf8", f"byte {error.start + 1} of the line") from None
    except (ValueError, RecursionError) as error:
        raise ChatError("json", str(error)) from None

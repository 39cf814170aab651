"""Read a file of talks, one JSON object a line, and say of each line that is no talk why.

    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}

No line is dropped in silence: every line of the file is a row, or a bad row with its number and a
reason, or blank; and the three are counted. Other keys beside "messages" are allowed and ignored.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from minillm.finetune.chat import CHATML, ChatTemplate, tokenize_chat
from minillm.finetune.roles import ASSISTANT, ChatError, Message, check_messages
from minillm.tokenizer import Tokenizer

REASONS: dict[str, str] = {
    "utf8": "the line is not UTF-8",
    "json": "the line is not JSON",
    "messages": "there is no list of messages",
    "keys": "a message has other keys than role and content",
    "role": "a role is unknown",
    "content": "a content is not text",
    "empty": "an answer is blank",
    "order": "the roles do not follow one another as in a talk",
    "unanswered": "the assistant never speaks, so nothing could be learned",
    "special": "a content holds the text of a special token",
    "long": "the talk has too many tokens",
}
"""Reason -> what it means. A row that is bad in several ways has the first of them."""


@dataclass(frozen=True)
class Row:
    """One good line."""

    line: int
    """Its number in the file, from 1."""
    messages: tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class BadRow:
    """One line that is no talk."""

    line: int
    """Its number in the file, from 1."""
    reason: str
    """One of REASONS."""
    detail: str

    def __str__(self) -> str:
        return f"line {self.line}: {REASONS[self.reason]} ({self.detail})"


@dataclass(frozen=True)
class ChatFile:
    """What became of the lines of a file: n_lines = len(rows) + len(bad) + n_blank.

    Lesson: notebooks/28_instructions.ipynb
    """

    path: Path
    n_lines: int
    n_blank: int
    rows: tuple[Row, ...]
    bad: tuple[BadRow, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Reason -> number of bad rows, in the order of REASONS."""
        found = Counter(row.reason for row in self.bad)
        return {reason: found[reason] for reason in REASONS if found[reason]}

    def __str__(self) -> str:
        good, bad = len(self.rows), len(self.bad)
        head = f"{self.path.name}: {good:,} of {self.n_lines:,} lines are talks, {bad:,} are not"
        if self.n_blank:
            head += f", {self.n_blank:,} are blank"
        return "\n".join([head, *(f"  {row}" for row in self.bad)])

    def strict(self, *, longest: int = 10) -> "ChatFile":
        """Give the file back if all is well.

        Args:
            longest: show at most so many bad rows.

        Raises:
            ValueError: if there is a bad row, or no row at all.
        """
        if self.bad:
            shown = [str(row) for row in self.bad[:longest]]
            left = len(self.bad) - len(shown)
            more = [f"and {left:,} more"] if left > 0 else []
            lines = "\n  ".join([*shown, *more])
            raise ValueError(
                f"{self.path.name} has {len(self.bad):,} bad rows; mend them, or leave them out "
                f"on purpose:\n  {lines}"
            )
        if not self.rows:
            raise ValueError(f"{self.path.name} holds no talk; each line must be one")
        return self


def read_rows(
    path: str | Path,
    tokenizer: Tokenizer,
    *,
    longest: int | None = None,
    allow_special_text: bool = False,
    template: ChatTemplate = CHATML,
) -> ChatFile:
    """Read a JSONL file of talks.

    Args:
        path: UTF-8, one JSON object a line. A byte order mark at its beginning is no harm.
        tokenizer: its special tokens are looked for, and it counts.
        longest: most tokens that a talk may have; None for no limit.
        allow_special_text: take rows in which a user, or anybody, writes the name of a special
            token. It can do no harm, since `tokenize_chat` takes it for ordinary text; but in a
            file of training data it nearly always means that another template was applied before.
        template: how the talks are framed.

    Returns:
        The rows, the bad rows, and how many lines there were.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if longest < 1 or the tokenizer lacks the template's special tokens.

    Cost: each talk is encoded once.
    Lesson: notebooks/28_instructions.ipynb
    """
    if longest is not None and longest < 1:
        raise ValueError(f"longest must be at least 1, got {longest}")
    template.opening_ids(ASSISTANT, tokenizer)  # a tokenizer that does not fit is no fault of a row
    tokenizer.special_id(template.end)
    special = () if allow_special_text else tuple(tokenizer.special_tokens)
    lines = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()  # the newline that ends the last line begins no other
    rows: list[Row] = []
    bad: list[BadRow] = []
    n_blank = 0
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            n_blank += 1
            continue
        try:
            messages = _messages_of(raw)
            check_messages(messages, template.roles)
            _check_row(messages, special)
            if longest is not None:
                _check_length(messages, tokenizer, longest, template)
        except ChatError as error:
            bad.append(BadRow(number, error.kind, str(error)))
        else:
            rows.append(Row(number, tuple(messages)))
    return ChatFile(Path(path), len(lines), n_blank, tuple(rows), tuple(bad))


def write_rows(path: str | Path, talks: Iterable[Sequence[Message]]) -> int:
    """Write talks as `read_rows` reads them.

    Args:
        path: the file, which is written anew.
        talks: the messages of each.

    Returns:
        How many were written.

    Raises:
        ChatError: if one is no talk; then nothing is written.

    Lesson: notebooks/28_instructions.ipynb
    """
    lines = []
    for messages in talks:
        check_messages(messages)
        plain = [dict(message) for message in messages]
        lines.append(json.dumps({"messages": plain}, ensure_ascii=False) + "\n")
    Path(path).write_text("".join(lines), encoding="utf-8", newline="\n")
    return len(lines)


def _messages_of(raw: bytes) -> Sequence[Message]:
    try:
        row = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ChatError("utf8", f"byte {error.start + 1} of the line") from None
    except (ValueError, RecursionError) as error:
        raise ChatError("json", str(error)) from None
    if not isinstance(row, Mapping) or not isinstance(row.get("messages"), list):
        raise ChatError("messages", 'the line must be {"messages": [...]}')
    messages: Sequence[Message] = row["messages"]
    return messages


def _check_row(messages: Sequence[Message], special: Sequence[str]) -> None:
    if all(message["role"] != ASSISTANT for message in messages):
        raise ChatError("unanswered", f"{len(messages)} messages, none by the assistant")
    for n, message in enumerate(messages):
        found = next((name for name in special if name in message["content"]), None)
        if found is not None:
            raise ChatError("special", f"message {n}, by {message['role']}: {found}")


def _check_length(
    messages: Sequence[Message], tokenizer: Tokenizer, longest: int, template: ChatTemplate
) -> None:
    ids, _ = tokenize_chat(messages, tokenizer, template=template)
    if len(ids) > longest:
        raise ChatError("long", f"{len(ids):,} tokens, at most {longest:,} are allowed")

"""Read a file of talks, one JSON object a line, and say of each line that is no talk why.

    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}

Every line is accounted for, as json_lines.py has it. Other keys beside "messages" are allowed and
ignored.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minillm.finetune.chat import CHATML, ChatTemplate, tokenize_chat
from minillm.finetune.json_lines import BadLine, LineFile, check_reading, read_lines, refuse_names
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


class BadRow(BadLine):
    """One line that is no talk; its `reason` is one of REASONS."""

    meanings = REASONS


class ChatFile(LineFile[Row, BadRow]):
    """What became of the lines of a file: n_lines = len(rows) + len(bad) + n_blank.

    Lesson: notebooks/28_instructions.ipynb
    """

    meanings = REASONS
    noun = "talk"


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
    check_reading(tokenizer, template, longest)
    special = () if allow_special_text else tuple(tokenizer.special_tokens)

    def row_of(number: int, value: Any) -> Row:
        messages = _messages_of(value)
        check_messages(messages, template.roles)
        _check_row(messages, special)
        if longest is not None:
            _check_length(messages, tokenizer, longest, template)
        return Row(number, tuple(messages))

    return ChatFile(Path(path), *read_lines(path, row_of, BadRow))


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


def _messages_of(row: Any) -> Sequence[Message]:
    if not isinstance(row, Mapping) or not isinstance(row.get("messages"), list):
        raise ChatError("messages", 'the line must be {"messages": [...]}')
    messages: Sequence[Message] = row["messages"]
    return messages


def _check_row(messages: Sequence[Message], special: Sequence[str]) -> None:
    if all(message["role"] != ASSISTANT for message in messages):
        raise ChatError("unanswered", f"{len(messages)} messages, none by the assistant")
    told = enumerate(messages)
    refuse_names({f"message {n}, by {m['role']}": m["content"] for n, m in told}, special)


def _check_length(
    messages: Sequence[Message], tokenizer: Tokenizer, longest: int, template: ChatTemplate
) -> None:
    ids, _ = tokenize_chat(messages, tokenizer, template=template)
    if len(ids) > longest:
        raise ChatError("long", f"{len(ids):,} tokens, at most {longest:,} are allowed")

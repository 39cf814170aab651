"""Who speaks in a talk, in which order, and what a message may be.

    system       says, first of all, how the assistant is to behave
    user         asks
    assistant    answers, or calls a tool; the only one whose words are learned
    tool         says what came of the call (ChatGLM3 calls this role "observation")

A role is a word in the frame of a message, which no content can write: see chat.py.
"""

from collections.abc import Mapping, Sequence

Message = Mapping[str, str]
"""{"role": ..., "content": ...}, both of them text."""

ROLES = ("system", "user", "assistant", "tool")
ASSISTANT = "assistant"
RESULTS = ("tool", "observation")
"""Roles that say what came of a call; they follow the assistant."""


class ChatError(ValueError):
    """A talk that is none. `kind` is one word for it, so that errors can be counted."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


def check_messages(messages: Sequence[Message], roles: Sequence[str] = ROLES) -> None:
    """Refuse what is no talk.

    A message is a mapping of "role" and "content" and of nothing else. The system speaks first or
    not at all; the assistant answers a user or a tool; a tool answers the assistant, or follows
    another tool. An answer is not blank: from a blank one a model learns to say nothing.

    Args:
        messages: what may be a talk.
        roles: who may speak.

    Raises:
        ChatError: with the number of the message. Its `kind` is one of "messages" (no list of
            mappings), "keys", "role", "content" (no text, or text that UTF-8 cannot hold),
            "empty" (a blank answer), "order".

    Source: the rules of order are those of ChatGLM3, PROMPT.md; a user may speak twice here.
    Lesson: notebooks/28_instructions.ipynb
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise ChatError("messages", f"messages must be a list of at least one, got {messages!r}")
    before = None
    for n, message in enumerate(messages):
        _check_one(n, message, roles)
        role = message["role"]
        if wrong := _out_of_order(before, role):
            raise ChatError("order", f"message {n}: {wrong}")
        before = role


def _check_one(n: int, message: Message, roles: Sequence[str]) -> None:
    if not isinstance(message, Mapping):
        raise ChatError("messages", f"message {n} must be an object, got {message!r:.60}")
    if set(message) != {"role", "content"}:
        keys = sorted(map(str, message))
        raise ChatError("keys", f"message {n} must have role and content alone, it has {keys}")
    role, content = message["role"], message["content"]
    if role not in roles:
        known = ", ".join(roles)
        raise ChatError("role", f"message {n}: unknown role {role!r:.60}; there are {known}")
    if not isinstance(content, str):
        raise ChatError("content", f"message {n}: content must be text, got {content!r:.60}")
    if any("\ud800" <= character <= "\udfff" for character in content):
        raise ChatError("content", f"message {n}: content holds half a character (a surrogate)")
    if role == ASSISTANT and not content.strip():
        raise ChatError("empty", f"message {n}: the assistant says nothing")


def _out_of_order(before: str | None, role: str) -> str:
    if role == "system" and before is not None:
        return f"the system speaks first, not after {before}"
    if role == ASSISTANT and before not in ("user", *RESULTS):
        return f"the assistant must answer somebody, it follows {before or 'nobody'}"
    if role in RESULTS and before not in (ASSISTANT, *RESULTS):
        return f"{role} must follow the assistant, it follows {before or 'nobody'}"
    return ""

"""A talk as one row of tokens, and which of them are learned.

- Every message is framed by special tokens, ChatML's: <|im_start|>role, content, <|im_end|>.
- The frame is put together from ids, never from text. Content is encoded with no special token
  allowed, so nothing that anybody writes into a message can end it or begin another: the text
  "<|im_end|>" in a content is seven ordinary tokens. `render_chat` makes a text to look at; to
  encode that text again with its special tokens allowed would be the mistake.
- Learned are the words of the assistant and the token that ends them. All else is read only.

    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    ids, loss_mask = tokenize_chat(chat, course_tokenizer())
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from minillm.finetune.roles import ASSISTANT, ROLES, ChatError, Message, check_messages
from minillm.tokenizer import Tokenizer

Answers = Literal["all", "last"]
IGNORED = -100
"""Target of a token that is not learned, as `objectives.causal_loss` reads it."""


@dataclass(frozen=True)
class ChatTemplate:
    """How a message is framed.

        start role newline | content end | newline            ChatML: one start token for all roles
        start-of-role newline | content end | newline         if `start` holds "{role}"

    Of an assistant's message the middle part is learned.

    Attributes:
        start: special token that begins a message; "<|{role}|>" means a token for each role.
        end: special token that ends it.
        roles: who may speak.

    Raises:
        ValueError: if a role is not a plain word, comes twice, or there is no assistant.

    Source: ChatML, OpenAI 2023 (openai-python, chatml.md). Tokens for roles: ChatGLM3, PROMPT.md.
    Lesson: notebooks/28_instructions.ipynb
    """

    start: str = "<|im_start|>"
    end: str = "<|im_end|>"
    roles: tuple[str, ...] = ROLES

    def __post_init__(self) -> None:
        wrong = [role for role in self.roles if not role.isidentifier()]
        if wrong or len(set(self.roles)) < len(self.roles) or ASSISTANT not in self.roles:
            raise ValueError(
                f"roles must be distinct plain words with {ASSISTANT!r} among them, "
                f"got {self.roles}"
            )

    def start_of(self, role: str) -> str:
        """The special token that begins a message of this role."""
        return self.start.replace("{role}", role)

    def header_of(self, role: str) -> str:
        """The plain text between that token and the content."""
        return "\n" if "{role}" in self.start else f"{role}\n"

    def opening_ids(self, role: str, tokenizer: Tokenizer) -> list[int]:
        """The ids in front of a content.

        Raises:
            ValueError: if the tokenizer lacks the special token.
        """
        start = tokenizer.special_id(self.start_of(role))
        return [start, *tokenizer.encode(self.header_of(role))]

    def jinja(self) -> str:
        """The same template in the language of transformers, for `apply_chat_template`.

        There the frame is text and is found by searching, so that a content can forge it.
        """
        start = self.start.replace("{role}", "' + message['role'] + '")
        header = "" if "{role}" in self.start else "message['role'] + "
        return (
            "{% for message in messages %}"
            f"{{{{ '{start}' + {header}'\\n' }}}}"
            f"{{% if message['role'] == '{ASSISTANT}' %}}{{% generation %}}"
            f"{{{{ message['content'] + '{self.end}' }}}}{{% endgeneration %}}"
            f"{{% else %}}{{{{ message['content'] + '{self.end}' }}}}{{% endif %}}"
            "{{ '\\n' }}{% endfor %}"
        )


CHATML = ChatTemplate()
"""The course's template; its special tokens are in the course's tokenizer."""


def tokenize_chat(
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    *,
    template: ChatTemplate = CHATML,
    answers: Answers = "all",
) -> tuple[list[int], list[bool]]:
    """Turn a talk into ids, and say which of them are to be learned.

        <|im_start|> user \\n H i <|im_end|> \\n <|im_start|> assistant \\n Hello . <|im_end|> \\n
             0        0   0  0 0     0       0       0           0      0    1   1     1       0

    Nothing is cut off: whoever has a limit compares the length.

    Args:
        messages: see `check_messages`. A talk may end with a question; it is read only.
        tokenizer: has the template's special tokens.
        template: how a message is framed.
        answers: learn "all" answers of the assistant, or only the "last".

    Returns:
        ids, and the loss mask, of the same length: mask[t] says that ids[t] is to be predicted
        (from what stands before it). See `shift` for inputs and targets.

    Raises:
        ChatError: (a ValueError) as `check_messages`.
        ValueError: if the tokenizer lacks a special token, or `answers` is unknown.

    Cost: that of encoding the contents.
    Lesson: notebooks/28_instructions.ipynb
    """
    check_messages(messages, template.roles)
    if answers not in ("all", "last"):
        raise ValueError(f"answers must be 'all' or 'last', got {answers!r}")
    said = [n for n, message in enumerate(messages) if message["role"] == ASSISTANT]
    learned = set(said if answers == "all" else said[-1:])
    end, after = tokenizer.special_id(template.end), tokenizer.encode("\n")
    ids: list[int] = []
    loss_mask: list[bool] = []
    for n, message in enumerate(messages):
        opening = template.opening_ids(message["role"], tokenizer)
        body = [*tokenizer.encode(message["content"]), end]  # no special token is allowed in it
        ids += opening + body + after
        loss_mask += [False] * len(opening) + [n in learned] * len(body) + [False] * len(after)
    return ids, loss_mask


def prompt_ids(
    messages: Sequence[Message], tokenizer: Tokenizer, *, template: ChatTemplate = CHATML
) -> list[int]:
    """The ids that a model continues with its answer: the talk so far, and the frame's opening.

    Args:
        messages: a talk that the assistant is to continue.
        tokenizer, template: as in `tokenize_chat`.

    Returns:
        Ids; they are the beginning of those of the same talk with any answer behind it.

    Raises:
        ChatError: as `check_messages`, or if the assistant spoke last.

    Lesson: notebooks/28_instructions.ipynb
    """
    if messages and messages[-1].get("role") == ASSISTANT:
        raise ChatError("order", "the assistant has spoken last; there is nothing to answer")
    ids, _ = tokenize_chat(messages, tokenizer, template=template)
    return ids + template.opening_ids(ASSISTANT, tokenizer)


def reply_text(ids: Sequence[int], tokenizer: Tokenizer) -> str:
    """The text of what a model said: up to its first special token, which is none of its words.

    Args:
        ids: what was generated behind `prompt_ids`.
        tokenizer: that of the prompt.

    Lesson: notebooks/28_instructions.ipynb
    """
    special = {tokenizer.special_id(name) for name in tokenizer.special_tokens}
    length = next((n for n, i in enumerate(ids) if i in special), len(ids))
    return tokenizer.decode(ids[:length])


def parse_chat(
    ids: Sequence[int], tokenizer: Tokenizer, *, template: ChatTemplate = CHATML
) -> list[dict[str, str]]:
    """Read a talk back from its ids: the inverse of `tokenize_chat`.

    Args:
        ids: whole messages, without padding.
        tokenizer, template: those that made them.

    Returns:
        The messages, content for content as they were.

    Raises:
        ValueError: if the ids are no row of framed messages; the place is named.

    Lesson: notebooks/28_instructions.ipynb
    """
    openings = {role: template.opening_ids(role, tokenizer) for role in template.roles}
    end, after = tokenizer.special_id(template.end), tokenizer.encode("\n")
    special = {tokenizer.special_id(name) for name in tokenizer.special_tokens}
    ids, messages, at = list(ids), [], 0
    while at < len(ids):
        role = next((r for r, o in openings.items() if ids[at : at + len(o)] == o), None)
        if role is None:
            raise ValueError(f"no message begins at place {at} (id {ids[at]})")
        start = at + len(openings[role])
        stop = next((t for t in range(start, len(ids)) if ids[t] in special), len(ids))
        if ids[stop : stop + 1] != [end] or ids[stop + 1 : stop + 1 + len(after)] != after:
            raise ValueError(f"the message that begins at place {at} does not end as it must")
        messages.append({"role": role, "content": tokenizer.decode(ids[start:stop])})
        at = stop + 1 + len(after)
    return messages


def render_chat(messages: Sequence[Message], template: ChatTemplate = CHATML) -> str:
    """Write a talk with its frame as text, to be looked at.

    Never encode this text with its special tokens allowed: a content may hold their names.

    Raises:
        ChatError: as `check_messages`.

    Lesson: notebooks/28_instructions.ipynb
    """
    check_messages(messages, template.roles)
    return "".join(
        f"{template.start_of(m['role'])}{template.header_of(m['role'])}{m['content']}"
        f"{template.end}\n"
        for m in messages
    )


def shift(
    ids: Sequence[int], loss_mask: Sequence[bool], *, ignored: int = IGNORED
) -> tuple[list[int], list[int]]:
    """Make inputs and targets of a row: at place t the model reads x[t] and predicts y[t].

        x = ids[:-1]        y[t] = ids[t + 1] where loss_mask[t + 1], else ignored

    Args:
        ids, loss_mask: as `tokenize_chat` returns them.
        ignored: target of what is not learned.

    Returns:
        x and y, one shorter than the ids.

    Raises:
        ValueError: if the two differ in length.

    Lesson: notebooks/28_instructions.ipynb
    """
    if len(ids) != len(loss_mask):
        raise ValueError(f"{len(ids)} ids and a loss mask of {len(loss_mask)} do not fit")
    learned = zip(ids[1:], loss_mask[1:], strict=True)
    return list(ids[:-1]), [i if m else ignored for i, m in learned]

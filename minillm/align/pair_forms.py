"""Preferences as others write them: Anthropic's HH-RLHF, and the rows of trl.

    read_pairs(path, tokenizer, form=from_hh)

HH-RLHF, one transcript a side, alike up to the last answer:

    {"chosen":   "\\n\\nHuman: Hi\\n\\nAssistant: Hello.",
     "rejected": "\\n\\nHuman: Hi\\n\\nAssistant: No."}

trl, sides as texts or as messages; without a prompt both sides begin with it:

    {"prompt": [...], "chosen": [{"role": "assistant", "content": "Hello."}], "rejected": [...]}

Source: Bai et al. 2022, arXiv:2204.05862 (HH-RLHF); trl 1.16, "Dataset formats", preference.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from minillm.finetune.roles import ASSISTANT, ChatError

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": ASSISTANT}


def from_hh(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Turn a row of HH-RLHF into one of ours.

    Two turns of one speaker in a row, which occur there, are joined by a line break.

    Args:
        row: with "chosen" and "rejected", transcripts.

    Returns:
        prompt, chosen, rejected; and all other keys as they were.

    Raises:
        ChatError: if a side is missing or no transcript, the assistant does not speak last, or the
            two differ before the last answer.

    Lesson: notebooks/33_reward.ipynb
    """
    sides = {}
    for name in ("chosen", "rejected"):
        text = _side(row, name)
        if not isinstance(text, str):
            raise ChatError("content", f"{name} must be a transcript, got {text!r:.60}")
        sides[name] = _turns(name, text)
    return _joined(row, sides)


def from_trl(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Turn a preference row of trl into one of ours.

    Args:
        row: prompt (a text, or messages; or none), chosen and rejected (both texts, or both
            messages).

    Returns:
        prompt, chosen, rejected; and all other keys as they were. A prompt that is a text becomes
        the message of a user.

    Raises:
        ChatError: if a side is missing or of another form, or, where there is no prompt, the two
            sides differ before the last answer.

    Lesson: notebooks/33_reward.ipynb
    """
    prompt: Any = row.get("prompt")
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    sides = {name: _side(row, name) for name in ("chosen", "rejected")}
    if all(isinstance(side, str) for side in sides.values()):
        return {**row, "prompt": prompt}
    for name, side in sides.items():
        if isinstance(side, str) or not isinstance(side, Sequence) or not side:
            raise ChatError("content", f"{name} must be messages like the other, got {side!r:.60}")
        if not all(isinstance(message, Mapping) and "content" in message for message in side):
            raise ChatError("content", f"{name} holds something that is no message")
        if side[-1].get("role") != ASSISTANT:
            raise ChatError("prompt", f"{name} does not end with the assistant")
    if prompt is not None:
        sides = {name: [*prompt, *side] for name, side in sides.items()}
    return _joined(row, sides)


def _side(row: Mapping[str, Any], name: str) -> Any:
    if row.get(name) is None:
        raise ChatError("missing", f"there is no {name}")
    return row[name]


def _turns(name: str, text: str) -> list[dict[str, str]]:
    """Part a transcript into messages."""
    parts = _TURN.split(text)
    if parts[0].strip() or len(parts) < 3:
        raise ChatError("prompt", f"{name} must begin with '\\n\\nHuman:', got {text!r:.60}")
    talk: list[dict[str, str]] = []
    for speaker, said in zip(parts[1::2], parts[2::2], strict=True):
        role, content = _ROLES[speaker], said.strip()
        if talk and talk[-1]["role"] == role:
            talk[-1]["content"] = f"{talk[-1]['content']}\n{content}".strip()
        else:
            talk.append({"role": role, "content": content})
    if talk[-1]["role"] != ASSISTANT:
        raise ChatError("prompt", f"{name} does not end with the assistant")
    return talk


def _joined(row: Mapping[str, Any], sides: Mapping[str, list[dict[str, str]]]) -> Mapping[str, Any]:
    """Take the last answer of each side; what stands before must be the same."""
    one, two = sides["chosen"], sides["rejected"]
    if list(one[:-1]) != list(two[:-1]):
        raise ChatError("prompt", "chosen and rejected differ before their last answers")
    return {
        **row,
        "prompt": list(one[:-1]),
        "chosen": one[-1]["content"],
        "rejected": two[-1]["content"],
    }

"""The three prompts of the pipeline, rendered from tasks, and the reading of a list of answers.

    which task could come next?   a numbered list of instructions, open at its end
    is it classification?         tasks with Yes or No, the last one open
    show it done                  tasks with instances: input first, or the class label first

The published templates are not used: among their examples are a sentence of hate speech, a question
without a right answer among its four choices, and a misspelt name. Ours are made from seed tasks.
"""

import re
from collections.abc import Sequence

from minillm.finetune.instruct_tasks import InstructTask

NUMBERINGS = ("plain", "task")
HEADS = {
    "instructions": "Here is a list of different tasks:",
    "kind": "Is the answer to the task one of a few fixed labels? Then it is classification.",
    "input": "Each task below is followed by examples of it; some tasks need no input.",
    "output": "Each task below is followed by its class labels, and by one input for each label.",
}
RELEASED_SPLIT = r"\n\d+\s?\. "
"""How the released code parts a list: it fits "10. ...", not the paper's "Task 10: ..."."""
_NEXT = {
    "plain": re.compile(r"\n\s*\d+\s?\.(?:\s|$)"),
    "task": re.compile(r"\n\s*Task\s+\d+\s?:(?:\s|$)"),
}


def _marker(number: int, numbering: str) -> str:
    if numbering not in NUMBERINGS:
        raise ValueError(f"numbering must be one of {NUMBERINGS}, got {numbering!r}")
    return f"{number}." if numbering == "plain" else f"Task {number}:"


def list_prompt(instructions: Sequence[str], *, numbering: str = "plain") -> str:
    """Write instructions as a numbered list whose next number stands open.

    Args:
        instructions: those that are shown.
        numbering: "plain", "9." as in the released code; or "task", "Task 9:" as in the paper.

    Raises:
        ValueError: for another numbering, or no instruction.

    Source: Wang et al. 2022, Self-Instruct, arXiv:2212.10560, appendix with the
        prompts (its wording is not copied).
    Lesson: notebooks/29_self_instruct.ipynb
    """
    if not instructions:
        raise ValueError("a list needs at least one instruction to show")
    lines = [HEADS["instructions"]]
    for number, text in enumerate(instructions, start=1):
        lines.append(f"{_marker(number, numbering)} {' '.join(text.split()).rstrip(':')}")
    return "\n".join([*lines, _marker(len(instructions) + 1, numbering)])


def split_list(text: str, *, numbering: str = "plain") -> list[str]:
    """Part the continuation of list_prompt into instructions; the first one has no number.

    split_list(" Name a fish.\\n10. Name a bird.") -> ["Name a fish.", "Name a bird."]

    Raises:
        ValueError: for another numbering.

    Lesson: notebooks/29_self_instruct.ipynb
    """
    _marker(1, numbering)
    pieces = (piece.strip() for piece in _NEXT[numbering].split(text))
    return [piece for piece in pieces if piece]


def kind_prompt(instruction: str, examples: Sequence[InstructTask]) -> str:
    """Ask whether a task is classification, after some tasks of which it is known.

    Source: Wang et al. 2022, Self-Instruct, arXiv:2212.10560, appendix with the
        prompts (its wording is not copied).
    Lesson: notebooks/29_self_instruct.ipynb
    """
    blocks = [HEADS["kind"]]
    for task in examples:
        answer = "Yes" if task.is_classification else "No"
        blocks.append(f"Task: {task.instruction}\nIs it classification? {answer}")
    return "\n\n".join([*blocks, f"Task: {instruction}\nIs it classification?"])


def read_kind(text: str) -> bool | None:
    """Read the answer to kind_prompt: True, False, or None where it is neither yes nor no.

    The released code takes everything but "Yes", "yes" and "YES" for no.
    """
    found = re.match(r"\W*((?:yes|no)\b|是|不是|否)", text, re.IGNORECASE)
    return None if found is None else found[1].lower() in ("yes", "是")


def input_first_prompt(instruction: str, examples: Sequence[InstructTask]) -> str:
    """Ask for instances of a task, the input before the output.

    Source: Wang et al. 2022, Self-Instruct, arXiv:2212.10560, appendix with the
        prompts (its wording is not copied).
    Lesson: notebooks/29_self_instruct.ipynb
    """
    blocks = [HEADS["input"]]
    for task in examples:
        body = f"Example 1\nInput: {task.input}\n" if task.input else ""
        blocks.append(f"Task: {task.instruction}\n{body}Output: {task.output}")
    return "\n\n".join([*blocks, f"Task: {instruction}\n"])


def output_first_prompt(instruction: str, examples: Sequence[InstructTask]) -> str:
    """Ask for instances of a task of classification, the class label before the input.

    A model that writes the input first keeps to inputs of one label (the paper's example: nearly
    all sentences that it writes for a task of finding errors are without one).

    Source: Wang et al. 2022, Self-Instruct, arXiv:2212.10560, appendix with the
        prompts (its wording is not copied).
    Lesson: notebooks/29_self_instruct.ipynb
    """
    blocks = [HEADS["output"]]
    for task in examples:
        blocks.append(f"Task: {task.instruction}\nClass label: {task.output}\n{task.input}")
    return "\n\n".join([*blocks, f"Task: {instruction}\n"])

"""From the text that a generator wrote about a task to instances that may be learned from.

Read first, then drop: what is no instance at all, then what contradicts itself, then doubles.

    rule        an instance is dropped if                                  reason
    echo        its input and its output are the same                      "echo"
    empty       it has no output                                           "empty"
    colon       its input or its output ends with a colon: cut short       "colon"
    conflict    the task gives two outputs for one input; then *all* its   "conflict"
                instances are dropped
    double      it came before                                             "double"

The released code reads "Example" and "Output:" anywhere in a text, so that an answer about "an
Example 2" falls apart; here a marker stands at the beginning of a line. It also drops doubles with
list(set(...)), whose order changes from run to run; here the first one stays in its place. Neither
has a rule about the length of an instance, though the article speaks of one.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

_EXAMPLE = re.compile(r"^[ \t]*Example[ \t]*\d*[.:]?[ \t]*$\n?", re.MULTILINE)
_OUTPUT = re.compile(r"^[ \t]*Output[ \t]*\d*[ \t]*:", re.MULTILINE)
_INPUT = re.compile(r"^[ \t]*Input[ \t]*\d*[ \t]*:", re.MULTILINE)
_LABEL = re.compile(r"^[ \t]*Class label[ \t]*:", re.MULTILINE)


class Instance(NamedTuple):
    """An input, "" where none is needed, and the output for it."""

    input: str
    output: str


def read_input_first(text: str, *, finished: bool = True) -> list[Instance]:
    """Read what followed input_first_prompt.

    read_input_first("Example 1\\nInput: a, b\\nOutput: 2") -> [Instance("a, b", "2")], and
    read_input_first("Output: 5") -> [Instance("", "5")].

    Args:
        text: the continuation of the prompt.
        finished: False if it was cut short; then the last instance is left out.

    Returns:
        The instances in order; none where there is no marker "Output:".

    Source: `parse_instances_for_generation_task` of the released code.
    Lesson: notebooks/29_self_instruct.ipynb
    """
    found = []
    for piece in _EXAMPLE.split(text):
        before, *after = _OUTPUT.split(piece, maxsplit=2)
        if not after:
            if piece.strip() and _EXAMPLE.search(text):
                found.append(Instance("", ""))  # an example without an output: dropped as empty
            continue
        output = _INPUT.split(after[0])[0]  # a second pair without a heading of its own
        found.append(Instance(_INPUT.sub("", before, count=1).strip(), output.strip()))
    return found if finished else found[:-1]


def read_output_first(text: str, *, finished: bool = True) -> list[Instance]:
    """Read what followed output_first_prompt: a class label, and on the next lines its input.

    read_output_first("Class label: sad\\nHe cried.") -> [Instance("He cried.", "sad")].

    Args, Returns: as read_input_first; none where there is no marker "Class label:".

    Source: `parse_instances_for_classification_task` of the released code.
    Lesson: notebooks/29_self_instruct.ipynb
    """
    found = []
    for piece in _LABEL.split(text)[1:]:
        label, _, body = piece.strip().partition("\n")
        body = _INPUT.sub("", body, count=1)
        found.append(Instance(body.strip(), label.strip()))
    return found if finished else found[:-1]


def why_invalid(instance: Instance) -> str | None:
    """Say what is wrong with one instance: "echo", "empty", "colon", or None.

    Source: `filter_invalid_instances` of the released code.
    Lesson: notebooks/29_self_instruct.ipynb
    """
    if not instance.output.strip():
        return "empty"
    if instance.input == instance.output:
        return "echo"
    if instance.input.strip().endswith((":", "：")) or instance.output.strip().endswith(
        (":", "：")
    ):
        return "colon"
    return None


def has_conflict(instances: Sequence[Instance]) -> bool:
    """Say whether one input, other than "", has two outputs."""
    output_of: dict[str, str] = {}
    return any(output_of.setdefault(i.input, i.output) != i.output for i in instances if i.input)


def clean_instances(instances: Sequence[Instance]) -> tuple[list[Instance], Counter[str]]:
    """Drop what must not be learned from.

    The order matters: an empty output is gone before outputs are compared, so it contradicts
    nothing.

    Args:
        instances: of one task.

    Returns:
        Those that stay, in their order, and for each reason how many were dropped.

    Source: `filter_invalid_instances`, `filter_duplicate_instances` of the released code.
    Lesson: notebooks/29_self_instruct.ipynb
    """
    dropped: Counter[str] = Counter()
    valid = []
    for instance in instances:
        reason = why_invalid(instance)
        if reason is None:
            valid.append(instance)
        else:
            dropped[reason] += 1
    if has_conflict(valid):
        dropped["conflict"] = len(valid)
        return [], dropped
    kept = list(dict.fromkeys(valid))
    if len(kept) < len(valid):
        dropped["double"] = len(valid) - len(kept)
    return kept, dropped

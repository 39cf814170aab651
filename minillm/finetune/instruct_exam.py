"""An exam on the skills of the toy: does a model that was tuned on generated tasks do new ones?

Instructions belong to one part, "train" or "test", by their wording. A model is tuned on tasks of
the one and examined on the other: the same skills, asked for in other words, with other inputs.
"""

import random
from collections.abc import Iterable
from functools import partial

from minillm.finetune.instruct_tasks import InstructTask
from minillm.finetune.instruct_toy import SKILLS, is_right
from minillm.finetune.tasks import PARTS, Part, Task, part_of


def of_part(tasks: Iterable[InstructTask], part: Part) -> list[InstructTask]:
    """Keep the tasks whose instruction belongs to a part.

    Raises:
        ValueError: if there is no such part.
    """
    _check(part)
    return [task for task in tasks if part_of(task.instruction) == part]


def toy_exam(n_tasks: int, *, part: Part = "test", seed: int = 0) -> list[Task]:
    """Make tasks of the toy's skills, each skill as often as any other.

    Args:
        n_tasks: how many.
        part: of the wordings.
        seed: of everything.

    Returns:
        Tasks for `finetune.score`. Its checker wants the very answer, but for blanks around it.

    Raises:
        ValueError: if n_tasks < 1, or there is no such part.

    Lesson: notebooks/29_self_instruct.ipynb
    """
    _check(part)
    if n_tasks < 1:
        raise ValueError(f"n_tasks must be at least 1, got {n_tasks}")
    dice = random.Random(f"exam {seed}")
    found: list[Task] = []
    while len(found) < n_tasks:
        skill = SKILLS[len(found) % len(SKILLS)]
        slots = {name: dice.choice(values) for name, values in skill.slots.items()}
        text = skill.wording.format(**slots)
        if part_of(text) != part:
            continue
        given = skill.make(dice, slots, dice.choice(skill.labels) if skill.labels else "")
        task = InstructTask("", text, given, skill.solve(given, slots), bool(skill.labels))
        message = {"role": "user", "content": task.request}
        check = partial(_accepts, text, given)
        found.append(Task((message,), task.output, skill.name, text, check))
    return found


def _accepts(instruction: str, given: str, said: str) -> bool:
    return is_right(instruction, given, said.strip()) is True


def _check(part: str) -> None:
    if part not in PARTS:
        raise ValueError(f"part must be one of {PARTS}, got {part!r}")

"""Short stories in three parts: to learn from, to choose by, and to measure once at the end.

Which part a story is of follows from the world that it begins in: who lives there, and every fact.
Training worlds are those of `finetune.tasks`; its test worlds are halved, for validation and test.
"""

import hashlib
from collections.abc import Iterator
from itertools import count
from typing import Literal

from minillm.data.storyworld.story import Story, check_language, make_story, story_seed
from minillm.finetune.tasks import STORY_CORPUS, part_of, world_name

Third = Literal["train", "validation", "test"]
THIRDS: tuple[Third, ...] = ("train", "validation", "test")
LONGEST = {"en": 600, "zh": 200}
"""Characters of a story: three short ones of four are that short."""
CORPUS = {"en": STORY_CORPUS + 32, "zh": STORY_CORPUS + 33}
"""A corpus for each language, so that no story is asked about in both; and not those by which the
first edition of the recipe was measured, since its results led to this one."""


def third_of(story: Story) -> Third:
    """Say which part a story is of."""
    name = world_name(story.world)
    if part_of(name) == "train":
        return "train"
    even = hashlib.sha256(f"chat {name}".encode()).digest()[0] % 2 == 0
    return "validation" if even else "test"


def stories(
    part: Third,
    language: str,
    *,
    longest: int | None = None,
    length: str = "short",
    corpus: int | None = None,
) -> Iterator[tuple[Story, str]]:
    """Tell stories of a part, without end.

    Args:
        part: one of THIRDS.
        language: "en" or "zh".
        longest: characters of a story; None takes LONGEST.
        length: "short", "medium" or "long", as `Story.attributes` says.
        corpus: which stories; None takes CORPUS.

    Yields:
        Each story and its text.

    Raises:
        ValueError: if the part or the language is unknown.

    Lesson: notebooks/42_capstone.ipynb
    """
    check_language(language)
    if part not in THIRDS:
        raise ValueError(f"part must be one of {', '.join(THIRDS)}; got {part!r}")
    limit = LONGEST[language] if longest is None else longest
    first = CORPUS[language] if corpus is None else corpus
    return _told(part, language, limit, length, first)


def _told(
    part: Third, language: str, limit: int, length: str, corpus: int
) -> Iterator[tuple[Story, str]]:
    for index in count():
        story = make_story(story_seed(corpus, index))
        if story.attributes["length"] != length or third_of(story) != part:
            continue
        text = story.tell(language)
        if len(text) <= limit:
            yield story, text


def names_in(story: Story, language: str) -> set[str]:
    """The names of the people of a story's world; its text may pass over one of them."""
    return {name if language == "en" else p.zh for name, p in story.world.people.items()}

"""A story of the village: its world, its events with causes, and its telling in two languages.

>>> story = make_story(7)
>>> story.attributes["n_events"] == len(story.events)
True
>>> story.tell("en") == make_story(7).tell("en")
True
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from minillm.data.storyworld.arcs_more import run_arcs
from minillm.data.storyworld.planner import Dice, Plan
from minillm.data.storyworld.setting import closing, opening
from minillm.data.storyworld.tell import Speaker, Told, tell_events
from minillm.data.storyworld.world import Event, State, Value, World, apply

if TYPE_CHECKING:
    from minillm.data.storyworld.instructions import Instruction
    from minillm.data.storyworld.questions import Question

LANGUAGES = ("en", "zh")


def check_language(language: str) -> None:
    """Raise ValueError unless the language is "en" or "zh"."""
    if language not in LANGUAGES:
        raise ValueError(f"language must be 'en' or 'zh', got {language!r}")


@dataclass(frozen=True)
class Story:
    """One story. Everything else (text, questions, dialogues) is computed from these five fields.

    Attributes:
        seed: the seed that made it.
        world: its people and the facts at the beginning.
        events: what happened, in order, each with its roles and its cause.
        hero: the name of the main person.
        outcomes: (arc, "happy" | "mixed" | "sad") for each arc, in order.

    Lesson: notebooks/00_tour.ipynb
    """

    seed: int
    world: World
    events: tuple[Event, ...]
    hero: str
    outcomes: tuple[tuple[str, str], ...]

    @property
    def ending(self) -> str:
        """The outcome of the last arc; a happy last arc after a sad one is "mixed"."""
        last = self.outcomes[-1][1]
        early = any(outcome == "sad" for _, outcome in self.outcomes[:-1])
        return "mixed" if last == "happy" and early else last

    @property
    def tone(self) -> str:
        """How it is told: "plain", "lively" or "gentle"."""
        return ("plain", "lively", "gentle")[Dice(f"tone {self.seed}").number(0, 2)]

    @property
    def attributes(self) -> dict[str, Value]:
        """What a reward model can be asked for; the same in both languages."""
        n = len(self.events)
        return {
            "hero": self.hero,
            "ending": self.ending,
            "tone": self.tone,
            "length": "short" if n <= 9 else "medium" if n <= 18 else "long",
            "n_events": n,
            "n_people": len(self.world.people),
            "arcs": " ".join(arc for arc, _ in self.outcomes),
        }

    @cached_property
    def final_state(self) -> Mapping[tuple[str, ...], Value]:
        """The facts after the last event."""
        state: State = dict(self.world.initial)
        for event in self.events:
            apply(state, event)
        return state

    def speaker(self, language: str, purpose: str) -> Speaker:
        """Return a speaker whose choices depend on the story, the language and the purpose only."""
        check_language(language)
        return Speaker(self.world, language, Dice(f"{purpose} {language} {self.seed}"))

    def trace(self, language: str, telling: int = 0) -> list[Told]:
        """Tell the story as sentences, each with the indices of the events that it tells."""
        say = self.speaker(language, f"tell {telling}")
        told = opening(say, self.hero, list(self.events), self.tone)
        told += tell_events(say, self.events)
        return told + closing(say, self.hero, self.ending)

    def tell(self, language: str, telling: int = 0) -> str:
        """Tell the story.

        Args:
            language: "en" or "zh".
            telling: which of its many wordings; the events are the same in all of them.

        Returns:
            One paragraph; the same for the same arguments on every machine.

        Raises:
            ValueError: if the language is neither "en" nor "zh".
        """
        sentences = [told.text for told in self.trace(language, telling)]
        return (" " if language == "en" else "").join(sentences)

    def questions(self, language: str) -> list[Question]:
        """Questions whose answers follow from the events; see questions.py."""
        from minillm.data.storyworld.questions import questions

        return questions(self, language)

    def instructions(self, language: str) -> list[Instruction]:
        """Prompts with verifiable responses; see instructions.py."""
        from minillm.data.storyworld.instructions import instructions

        return instructions(self, language)

    def dialogue(self, language: str) -> list[dict[str, str]]:
        """A talk of several turns about the story; see dialogue.py."""
        from minillm.data.storyworld.dialogue import dialogue

        return dialogue(self, language)


def make_story(seed: int) -> Story:
    """Make the story of a seed.

    Args:
        seed: any integer from 0; the same seed gives the same story on every machine.

    Raises:
        ValueError: if the seed is negative.

    Lesson: notebooks/00_tour.ipynb
    """
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    plan = Plan(seed)
    run_arcs(plan)
    return Story(seed, plan.world(), tuple(plan.events), plan.hero, tuple(plan.outcomes))


def story_seed(seed: int, index: int) -> int:
    """Return the seed of story `index` of corpus `seed`; corpora of different seeds share none.

    Raises:
        ValueError: if the index is outside 0 to 2**32 - 1, or the seed is negative.
    """
    if seed < 0 or not 0 <= index < 2**32:
        raise ValueError(f"seed {seed} and index {index} must be at least 0, index below 2**32")
    return (seed << 32) + index


def stories(seed: int, n_stories: int) -> Iterator[Story]:
    """Yield the stories of a corpus one after another."""
    for index in range(n_stories):
        yield make_story(story_seed(seed, index))


def make_corpus(seed: int, n_stories: int, language: str) -> list[str]:
    """Make a synthetic corpus: story k depends on seed and k only, not on n_stories.

    Args:
        seed: which corpus. The course trains on seed 0 and validates on seed 1.
        n_stories: how many, at least 0.
        language: "en" or "zh".

    Raises:
        ValueError: for a negative number or another language.
    """
    check_language(language)
    if n_stories < 0:
        raise ValueError(f"n_stories must be at least 0, got {n_stories}")
    return [story.tell(language) for story in stories(seed, n_stories)]

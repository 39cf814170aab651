"""Make a story: choose people and things, run one or more arcs, and keep what happened.

A plan never writes an event whose needs are not met: `Plan.do` checks them, finds the cause (the
last event that made the reason true) and applies the effects. People walk to where they are needed.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

from minillm.data.storyworld import (
    events_animals,
    events_deeds,
    events_hearts,
    events_journey,
    events_market,
    events_nature,
    events_things,
)
from minillm.data.storyworld.lexicon import ADJECTIVES, BOYS, GIRLS, PLACES, ROLES, THINGS
from minillm.data.storyworld.world import (
    EVENT_TYPES,
    Event,
    Fact,
    Person,
    State,
    Value,
    World,
    apply,
    ground,
    holds,
)

T = TypeVar("T")
# importing the records fills EVENT_TYPES
RECORDS = (
    events_animals,
    events_deeds,
    events_hearts,
    events_journey,
    events_market,
    events_nature,
    events_things,
)
METAL = ("shiny", "old", "new", "silver", "golden", "small", "pretty")
CLOTH = ("red", "blue", "green", "yellow", "white", "old", "new", "pretty", "black", "plain")
TOYS = ("red", "blue", "green", "yellow", "white", "small", "old", "new", "wooden", "lovely")
ADJECTIVES_OF = {
    "toy": TOYS,
    "small": ("old", "new", "small", "pretty", "strange", "lovely"),
    "fragile": ("old", "new", "blue", "white", "green", "pretty", "big", "lovely"),
    "wear": CLOTH,
    "made": ("big", "small", "new", "pretty", "lovely", "brown"),
    "tool": ("old", "new", "big", "strange", "black"),
    "book": ("old", "new", "red", "brown", "big", "lovely"),
}
METALLIC = ("key", "ring", "bell", "whistle", "necklace")


class Dice:
    """A seeded source of choices that uses `random.random` only, which Python keeps stable."""

    def __init__(self, seed: int | str) -> None:
        self.random = random.Random(seed).random

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options, each with the same chance."""
        return options[int(self.random() * len(options))]

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.random() < probability

    def number(self, low: int, high: int) -> int:
        """Return an integer from low to high, both included."""
        return low + int(self.random() * (high - low + 1))


class Plan:
    """A story in the making: its people and things, the state, and the events so far."""

    def __init__(self, seed: int) -> None:
        self.dice = Dice(seed)
        self.people: dict[str, Person] = {}
        self.initial: State = {}
        self.state: State = {}
        self.adjectives: dict[str, str] = {}
        self.animals: list[str] = []
        self.events: list[Event] = []
        self.writers: dict[Fact, int] = {}
        self.outcomes: list[tuple[str, str]] = []  # (arc, happy | mixed | sad)
        self.set_initial(("weather",), self.dice.pick(("sunny", "sunny", "windy", "dry")))
        self.set_initial(("time",), self.dice.pick(("morning", "morning", "afternoon", "evening")))
        self.hero = self.new_person(child=0.65)
        self.friend = self.new_person(child=0.5)

    def set_initial(self, fact: Fact, value: Value) -> None:
        """Write a fact of the opening; only facts that no event has touched may be written."""
        assert fact not in self.writers
        self.initial[fact] = value
        self.state[fact] = value

    def new_person(self, child: float = 0.3) -> str:
        """Bring in somebody new, at a random place; returns the name."""
        dice = self.dice
        while True:
            female = dice.chance(0.5)
            name, zh = dice.pick(GIRLS if female else BOYS)
            if name not in self.people:
                break
        role = "child" if dice.chance(child) else dice.pick(tuple(ROLES))
        self.people[name] = Person(name, zh, female, role)
        self.set_initial(("at", name), dice.pick(tuple(PLACES)))
        return name

    def new_thing(self, kinds: Sequence[str], owner: str | None) -> str:
        """Choose a thing of one of these kinds that is not in the story yet; returns its id.

        With an owner, the owner has it from the beginning; without, it does not exist yet.
        """
        options = [
            k for k, noun in THINGS.items() if noun.kind in kinds and k not in self.adjectives
        ]
        thing = self.dice.pick(options)
        kind = METAL if thing in METALLIC else ADJECTIVES_OF[THINGS[thing].kind]
        adjective = self.dice.pick(kind) if self.dice.chance(0.7) else ""
        assert not adjective or adjective in ADJECTIVES
        self.adjectives[thing] = adjective
        if owner is not None:
            self.set_initial(("where", thing), owner)
            self.set_initial(("owner", thing), owner)
            self.set_initial(("whole", thing), "yes")
        return thing

    def new_animal(self, options: Sequence[str]) -> str:
        """Choose an animal that is not in the story yet."""
        animal = self.dice.pick([k for k in options if k not in self.animals])
        self.animals.append(animal)
        return animal

    def place(self, *avoid: str, outdoor: bool | None = None) -> str:
        """Choose a place that is none of `avoid`."""
        return self.dice.pick(
            [
                k
                for k, p in PLACES.items()
                if k not in avoid and (outdoor is None or p.outdoor == outdoor)
            ]
        )

    def at(self, who: str) -> str:
        """Return where somebody is now."""
        return str(self.state["at", who])

    def do(self, type_name: str, /, **roles: Value) -> None:
        """Let an event happen.

        Raises:
            ValueError: if something that the event needs is not true.
        """
        kind = EVENT_TYPES[type_name]
        roles = {letter: roles[letter] for letter in kind.roles}
        for term in (*kind.pre, *kind.why):
            if not holds(self.state, term, roles):
                fact, value = ground(term, roles)
                raise ValueError(f"{type_name} needs {fact} {term.operator} {value!r}")
        cause = self.writers.get(ground(kind.why[0], roles)[0]) if kind.why else None
        event = Event(type_name, roles, cause)
        for fact in apply(self.state, event):
            self.writers[fact] = len(self.events)
        self.events.append(event)

    def go(self, who: str, place: str) -> None:
        """Walk there, if not there already."""
        if self.at(who) != place:
            self.do("go", a=who, l=place)

    def meet(self, who: str, other: str) -> str:
        """Bring `who` to where `other` is; returns the place."""
        place = self.at(other)
        if self.at(who) != place:
            if self.dice.chance(0.5):
                self.do("follow", a=who, b=other, l=place)
            else:
                self.do("go", a=who, l=place)
        return place

    def maybe(self, type_name: str, probability: float, /, **roles: Value) -> None:
        """Let an event happen with this probability."""
        if self.dice.chance(probability):
            self.do(type_name, **roles)

    def world(self) -> World:
        """Return the finished world of the opening."""
        return World(self.people, self.initial, self.adjectives)

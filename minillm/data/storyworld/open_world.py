"""What may be true in a story whose beginning nobody has told: facts, gaps and needs.

A fact of OPEN may be anything until somebody needs it; any other is "no" until an event makes it
true. A role that a sentence does not say is found in what is known, or stays UNKNOWN.
"""

from collections.abc import Iterator, Mapping

from minillm.data.storyworld.lexicon import PLACES
from minillm.data.storyworld.slots import FEMALE, KINDS
from minillm.data.storyworld.world import EVENT_TYPES, Fact, Term, Value

OPEN = ("at", "weather", "time", "where", "owner", "whole", "keeper", "intact")
"""Facts that a world may begin with; any other is "no" before an event makes it true."""
UNKNOWN = "?"
"""Stands for a role that a sentence does not say and that nothing else tells."""
BEAM = 16
"""Ways of reading a story that are followed at a time."""


def fill_gaps(
    truth: Mapping[Fact, Value], kind: str, roles: Mapping[str, Value]
) -> list[dict[str, Value]]:
    """Find roles that the sentence does not say in what the event needs; every way to do so."""
    ways = [dict(roles)]
    letters = EVENT_TYPES[kind].roles
    for term in (*EVENT_TYPES[kind].why, *EVENT_TYPES[kind].pre):
        if term.operator != "=":
            continue
        more = []
        for way in ways:
            open_roles = [p for p in (*term.arguments, term.value) if p in letters and p not in way]
            fits = [way | new for new in _matches(truth, term, way, letters)] if open_roles else []
            unnamed = term.name in OPEN and any(p in open_roles for p in term.arguments)
            more += [*fits, way] if unnamed or not fits else fits  # or one that has no name yet
        ways = more[:BEAM]
    return ways


def _matches(
    truth: Mapping[Fact, Value], term: Term, roles: Mapping[str, Value], letters: str
) -> Iterator[dict[str, Value]]:
    """Known facts that a term could speak of, as the roles that they would fill."""
    wanted = (term.name, *term.arguments, term.value)
    for fact, value in truth.items():
        found: dict[str, Value] = {}
        if fact[0] == term.name and len(fact) == len(term.arguments) + 1 and value != "no":
            for place, there in zip(wanted[1:], (*fact[1:], value), strict=True):
                known = roles.get(place, found.get(place)) if place in letters else place
                if known is None and _may_be(place, there):
                    found[place] = there
                elif str(known) != str(there):
                    break
            else:
                yield found


def _may_be(letter: str, value: Value) -> bool:
    """Say whether a value is of the kind that a role of this letter has."""
    if letter in "ab":
        return value in FEMALE
    return value in (PLACES if letter in "lm" else KINDS[letter]) if letter in "lmxydf" else True


def holds_openly(truth: dict[Fact, Value], term: Term, fact: Fact, value: Value) -> bool:
    """Say whether something is true, or may be; what may be is true from now on."""
    if fact not in truth and term.name in OPEN:
        if term.operator == "=":
            truth[fact] = value
        return True
    now = truth.get(fact, 0 if isinstance(value, int) else "no")
    if term.operator == ">=":
        return isinstance(now, int) and isinstance(value, int) and now >= value
    if term.operator == "!=":
        return now != value
    if now in (value, UNKNOWN):
        truth[fact] = value
        return True
    for other, there in list(truth.items()):  # said of somebody without a name: it was this one
        unnamed = len(other) == len(fact) and UNKNOWN in other
        alike = unnamed and all(o in (f, UNKNOWN) for o, f in zip(other, fact, strict=True))
        if alike and there in (value, UNKNOWN):
            del truth[other]
            truth[fact] = value
            return True
    return False


def ground_openly(term: Term, roles: Mapping[str, Value], letters: str) -> tuple[Fact, Value]:
    """Fill the roles into a term; UNKNOWN stands for a role that is not known."""
    said = {p: roles.get(p, UNKNOWN) if p in letters else p for p in (*term.arguments, term.value)}
    value: Value = said[term.value]
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    return (term.name, *(str(said[p]) for p in term.arguments)), value

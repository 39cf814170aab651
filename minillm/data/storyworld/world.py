"""The state of the village, and what an event needs and changes.

A state is a dictionary from facts to values: `("where", "ball") -> "Mia"`. An event type is a small
record written in a mini-language that reads like the facts themselves:

    pre  "where(x)=a, at(a)=l"      must be true before
    why  "lost(x)=yes"              must be true too, and is the reason: the last event that
                                    made it true is the *cause*
    eff  "where(x)=a, lost(x)=no"   is true afterwards

A single letter is a role of the event (`a` is who does it); any other word is a constant.
Comparisons are `=`, `!=`, `>=`; effects are `=`, `+=`, `-=`. A fact that was never set reads "no"
(0 where a number is compared).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Value = str | int
Fact = tuple[str, ...]
State = dict[Fact, Value]

_TERM = re.compile(r"(\w+)\(([\w, ]*)\)\s*(!=|>=|\+=|-=|=)\s*([\w-]+)")


@dataclass(frozen=True)
class Term:
    """One comparison or assignment of the mini-language."""

    name: str
    arguments: tuple[str, ...]
    operator: str
    value: str


def parse_terms(text: str) -> tuple[Term, ...]:
    """Read "where(x)=a, at(a)=l" into terms.

    Raises:
        ValueError: if some part of the text is no term.
    """
    terms = tuple(
        Term(m[1], tuple(p.strip() for p in m[2].split(",") if p.strip()), m[3], m[4])
        for m in _TERM.finditer(text)
    )
    if _TERM.sub("", text).strip(" ,"):
        raise ValueError(f"cannot read the terms {text!r}; write them as name(role)=value")
    return terms


@dataclass(frozen=True)
class EventType:
    """One kind of event: what it needs, why it happens, what it changes, how it is told.

    Attributes:
        name: its id, a verb.
        roles: one letter for each role; the first is the actor.
        pre, why, eff: terms, see the module.
        en, zh: templates. The first of each is a finite clause without punctuation at its end, so
            that it can follow "because"; one that ends in punctuation is a whole sentence.
    """

    name: str
    roles: str
    pre: tuple[Term, ...]
    why: tuple[Term, ...]
    eff: tuple[Term, ...]
    en: tuple[str, ...]
    zh: tuple[str, ...]


EVENT_TYPES: dict[str, EventType] = {}


def event_type(
    name: str, roles: str, en: str, zh: str, *, pre: str = "", why: str = "", eff: str = ""
) -> None:
    """Add one record to `EVENT_TYPES`; `en` and `zh` hold one template a line.

    Raises:
        ValueError: if the name is taken, a term cannot be read, or a template is missing.
    """
    if name in EVENT_TYPES:
        raise ValueError(f"the event type {name!r} is there already; choose another name")
    lines_en = tuple(row.strip() for row in en.strip().splitlines() if row.strip())
    lines_zh = tuple(row.strip() for row in zh.strip().splitlines() if row.strip())
    if not lines_en or not lines_zh:
        raise ValueError(f"the event type {name!r} needs a template in each language")
    terms = (parse_terms(pre), parse_terms(why), parse_terms(eff))
    EVENT_TYPES[name] = EventType(name, roles, *terms, lines_en, lines_zh)


@dataclass(frozen=True)
class Event:
    """Something that happened: a type, who and what filled its roles, and the event that caused it.

    `cause` is the index of an earlier event of the same story, or None where the reason is part of
    the opening situation or there is none.
    """

    type: str
    roles: Mapping[str, Value]
    cause: int | None = None


@dataclass(frozen=True)
class Person:
    """Somebody of the village; `role` is a grown-up's trade or "child"."""

    name: str
    zh: str
    female: bool
    role: str


@dataclass(frozen=True)
class World:
    """Everybody and everything in one story, and the facts at its beginning.

    `adjectives` gives a thing its English adjective ("red"); what is not in it is told plainly.
    """

    people: Mapping[str, Person]
    initial: State
    adjectives: Mapping[str, str] = field(default_factory=dict)


def ground(term: Term, roles: Mapping[str, Value]) -> tuple[Fact, Value]:
    """Fill the roles into a term: `where(x)=a` becomes `(("where", "ball"), "Mia")`."""
    arguments = tuple(str(roles.get(p, p)) for p in term.arguments)
    value: Value = roles.get(term.value, term.value)
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    return (term.name, *arguments), value


def holds(state: State, term: Term, roles: Mapping[str, Value]) -> bool:
    """Say whether one term is true in a state."""
    fact, wanted = ground(term, roles)
    found = state.get(fact, 0 if isinstance(wanted, int) else "no")
    if term.operator == "=":
        return found == wanted
    if term.operator == "!=":
        return found != wanted
    return isinstance(found, int) and isinstance(wanted, int) and found >= wanted


def apply(state: State, event: Event) -> list[Fact]:
    """Change the state by the effects of an event; returns the facts that were written."""
    written = []
    for term in EVENT_TYPES[event.type].eff:
        fact, value = ground(term, event.roles)
        if term.operator != "=":
            assert isinstance(value, int)
            sign = 1 if term.operator == "+=" else -1
            value = int(state.get(fact, 0)) + sign * value
        state[fact] = value
        written.append(fact)
    return written

"""Is a told story, by whoever told it, consistent? An open-world twin of the checker in check.py.

`check_story` has the events and the world of a story that the simulator made. A text that a model
wrote has neither, so the events are read off its sentences, and the beginning is left open: what
nobody has said (who owns the kite, where the goat is) may be whatever the first event needs. From
then on it is fixed. Where a sentence has several readings, or "she" may be one of two, the whole
story counts as consistent if one way of reading it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

from minillm.data.storyworld.frames import frame_facts
from minillm.data.storyworld.open_world import (
    BEAM,
    OPEN,
    UNKNOWN,
    fill_gaps,
    ground_openly,
    holds_openly,
)
from minillm.data.storyworld.parse import Clause, Reading, read_text
from minillm.data.storyworld.setting import age
from minillm.data.storyworld.slots import FEMALE
from minillm.data.storyworld.world import EVENT_TYPES, Fact, Person, Value

ALONE = ("find", "fetch_find", "find_animal", "lead_home", "break")
"""Event types in which one person may have two roles."""


@dataclass(frozen=True)
class Judgement:
    """What a reader finds in a story.

    Attributes:
        n_sentences: of the text.
        unread: sentences that the village's grammar does not have.
        problems: what contradicts what was said before, in words.
        complete: it begins with an opening and ends with an ending.
        n_events: told.
    """

    n_sentences: int
    unread: tuple[str, ...]
    problems: tuple[str, ...]
    complete: bool
    n_events: int

    @property
    def grammatical(self) -> bool:
        """Whether every sentence could be read."""
        return self.n_sentences > 0 and not self.unread

    @property
    def consistent(self) -> bool:
        """Whether it is a whole story in which everything fits together."""
        return self.complete and self.grammatical and not self.problems


@dataclass(frozen=True)
class _State:
    """One way of reading a story, up to some sentence."""

    truth: Mapping[Fact, Value] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)
    people: tuple[str, ...] = ()
    recent: tuple[str, ...] = ()
    happened: tuple[tuple[str, Mapping[str, Value]], ...] = ()
    problems: tuple[str, ...] = ()
    hero: str = ""
    last_place: str = ""
    ended: bool = False

    def but(self, *problems: str) -> "_State":
        return replace(self, problems=(*self.problems, *problems))


def judge_story(text: str, language: str) -> Judgement:
    """Read a story and say whether its sentences are the village's and fit together.

    Args:
        text: one story.
        language: "en" or "zh".

    Returns:
        The judgement on the reading with the fewest problems.

    Raises:
        ValueError: if the language is neither "en" nor "zh".

    Cost: about 10 ms a story.
    Lesson: notebooks/27_pretraining.ipynb
    """
    sentences = read_text(text, language)
    beam = [_State()]
    for sentence, readings in sentences:
        options = [s for state in beam for r in readings for s in _after(state, r, language)]
        if not readings:
            names = tuple(p for p in FEMALE if p in sentence)
            options = [replace(state, recent=state.recent + names) for state in beam]
        beam = sorted(options, key=lambda state: len(state.problems))[:BEAM]
    best = beam[0]
    unread = tuple(sentence for sentence, readings in sentences if not readings)
    whole = bool(best.hero) and best.ended
    return Judgement(len(sentences), unread, best.problems, whole, len(best.happened))


def _after(state: _State, reading: Reading, language: str) -> Iterator[_State]:
    if state.ended:
        state = state.but("the story goes on behind its end")
    if reading.frame:
        yield _frame(state, reading.frame, frame_facts(reading.facts, language))
        return
    told = (*reading.clauses, *((reading.reminder,) if reading.reminder else ()))
    named = tuple(v for c in told for k, v in c.roles if k in "ab" and v in FEMALE)
    in_sight = tuple(dict.fromkeys((*state.recent, *map(str, named))))
    if reading.reminder is not None:
        state = _remind(state, reading.reminder)
    ways: list[tuple[_State, tuple[str, ...]]] = [(state, ())]
    for clause in reading.clauses:
        ways = [
            (after, (*who, *new))
            for before, who in ways
            for after, new in _happen(before, clause, in_sight)
        ]
    for after, who in ways:
        people = tuple(dict.fromkeys((*state.people, *map(str, named))))
        yield replace(after, recent=who or state.recent, people=people)


def _frame(state: _State, frame: str, facts: Mapping[str, str]) -> _State:
    """Take in a sentence that tells no event."""
    kind, _, label = frame.partition(" ")
    truth, wrong = dict(state.truth), []
    name = facts.get("name", "")
    hero = name if kind == "opening" else state.hero
    if kind == "opening" and state.hero:
        wrong.append("the story begins twice")
    if kind == "ending" and name != state.hero:
        wrong.append(f"the end is about {name}, the story about {state.hero or 'nobody'}")
    if kind == "scene" and name and name != state.hero:
        wrong.append(f"the scene is about {name}, the story about {state.hero or 'nobody'}")
    for key, who in (("female", name), ("she", hero if kind != "opening" else name), ("own", hero)):
        if key in facts and who in FEMALE and FEMALE[who] != (facts[key] == "yes"):
            wrong.append(f"{who} is spoken of as {'she' if facts[key] == 'yes' else 'he'}")
    if name and "age" in facts and int(facts["age"]) != age(Person(name, "", True, "child")):
        wrong.append(f"{name} is {facts['age']} years old, in other stories not")
    if "wrong" in facts:
        wrong.append(f"{facts['wrong']!r} has the wrong article or measure word")
    if kind == "detail" and label != state.last_place:
        wrong.append(f"a word about {label}, while they are at {state.last_place or 'no place'}")
    if kind == "scene":
        truth |= {("weather",): facts["weather"], ("time",): facts["time"]}
        truth["at", hero] = facts["place"]
    colours = dict(state.colours)
    if "thing" in facts:
        truth |= {("where", facts["thing"]): hero, ("owner", facts["thing"]): hero}
        colours[facts["thing"]] = facts["adjective"]
    recent = tuple(dict.fromkeys(n for n in (hero, name) if n)) or state.recent
    return replace(
        state.but(*wrong),
        truth=truth,
        colours=colours,
        hero=hero,
        recent=recent if kind in ("opening", "scene", "belonging") else state.recent,
        people=tuple(dict.fromkeys((*state.people, *(n for n in (name,) if n)))),
        ended=state.ended or kind == "ending",
    )


def _remind(state: _State, clause: Clause) -> _State:
    """Look whether what a sentence reminds of did happen."""
    for kind, roles in state.happened:
        if kind == clause.type and all(_same(v, roles.get(k)) for k, v in clause.roles):
            return state
    return state.but(f"it reminds of {clause.type}, which did not happen so")


def _same(told: Value, value: Value | None) -> bool:
    if value is None or told == value:
        return True
    return isinstance(value, str) and value in FEMALE and told == ("?f" if FEMALE[value] else "?m")


def _happen(
    state: _State, clause: Clause, in_sight: tuple[str, ...]
) -> Iterator[tuple[_State, tuple[str, ...]]]:
    """Let the event of a clause happen, in every way its pronouns and gaps can be filled."""
    roles = dict(clause.roles)
    vague = [k for k, v in roles.items() if v in ("?f", "?m")]
    choices = []
    for letter in vague:
        female = roles[letter] == "?f"
        near = [n for n in in_sight if FEMALE[n] == female]
        choices.append(near or [n for n in state.people if FEMALE[n] == female] or [""])
    for chosen in product(*choices):
        filled = {**roles, **dict(zip(vague, chosen, strict=True))}
        wrong = ["nobody is there whom a pronoun could mean"] if "" in chosen else []
        filled = {k: v for k, v in filled.items() if v != ""}
        if filled.get("a") == filled.get("b") is not None and clause.type not in ALONE:
            wrong.append(f"{clause.type}: {filled['a']} is in two roles")
        for letter, female in clause.genders:
            meant = filled.get(letter)
            if meant in FEMALE and FEMALE[str(meant)] != female:
                wrong.append(f"{clause.type}: {meant} is spoken of as {'she' if female else 'he'}")
        colours = dict(state.colours)
        for thing, colour in clause.adjectives:
            if colours.setdefault(thing, colour) != colour:
                wrong.append(f"the {thing} was {colours[thing] or 'plain'}, now it is {colour}")
        who = tuple(str(filled[k]) for k in ("a", "b") if k in filled)
        coloured = replace(state.but(*wrong), colours=colours)
        for full in fill_gaps(coloured.truth, clause.type, filled):
            yield _apply(coloured, clause.type, full), who


def _apply(state: _State, kind: str, roles: Mapping[str, Value]) -> _State:
    """Check what an event needs, and make true what it changes."""
    truth, wrong = dict(state.truth), []
    event = EVENT_TYPES[kind]
    for term in (*event.pre, *event.why):
        fact, value = ground_openly(term, roles, event.roles)
        if UNKNOWN not in (*fact, value) and not holds_openly(truth, term, fact, value):
            spoken = f"{fact[0]}({', '.join(fact[1:])})"
            now = truth.get(fact, 0 if isinstance(value, int) else "no")
            wrong.append(f"{kind}: needs {spoken} {term.operator} {value}, it is {now}")
    for term in event.eff:
        fact, value = ground_openly(term, roles, event.roles)
        if value == UNKNOWN and term.name in OPEN:
            truth.pop(fact, None)  # somewhere, somebody's: open again
            continue
        if term.operator in ("+=", "-="):
            before = truth.get(fact, 0)
            if not isinstance(before, int) or not isinstance(value, int):
                continue  # a number that nobody has said
            value = before + (value if term.operator == "+=" else -value)
        truth[fact] = value
    place = str(roles.get("l", state.last_place)) if kind in ("go", "follow") else state.last_place
    return replace(
        state.but(*wrong),
        truth=truth,
        happened=(*state.happened, (kind, roles)),
        last_place=place,
    )

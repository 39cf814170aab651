"""An independent reading of a story: does everything that happens fit together?

The checker shares the records of the event types with the planner and nothing else: it keeps its
own state, reads the terms by itself, finds causes by itself, and looks at the told sentences.
"""

from collections.abc import Mapping, Sequence

from minillm.data.storyworld.lexicon import ANIMALS, PLACES, THINGS
from minillm.data.storyworld.story import LANGUAGES, Story
from minillm.data.storyworld.tell import TEMPLATES, Told
from minillm.data.storyworld.words import NOUNS
from minillm.data.storyworld.world import EVENT_TYPES, Event, Term, Value

MAY_CHANGE_OWNER = ("give", "keep", "buy", "trade", "make")
MAY_MOVE_PEOPLE = ("go", "follow", "flee", "lead_home", "chase")
PRONOUNS_OF = {
    ("en", True): (" she ", " her "),
    ("en", False): (" he ", " him ", " his "),
    ("zh", True): ("她",),
    ("zh", False): ("他",),
}


class Ledger:
    """The checker's own state: what is true, and which event made it so."""

    def __init__(self, story: Story) -> None:
        self.people = story.world.people
        self.truth: dict[tuple[str, ...], Value] = dict(story.world.initial)
        self.made_by: dict[tuple[str, ...], int] = {}

    def read(self, term: Term, roles: Mapping[str, Value]) -> tuple[tuple[str, ...], Value]:
        """Return the fact of a term and the value it speaks of."""
        fact = (term.name, *(str(roles[p]) if p in roles else p for p in term.arguments))
        if term.value in roles:
            return fact, roles[term.value]
        return fact, int(term.value) if term.value.isdecimal() else term.value

    def is_true(self, term: Term, roles: Mapping[str, Value]) -> bool:
        """Say whether a comparison is true now; an unknown fact is "no", an unknown number 0."""
        fact, value = self.read(term, roles)
        now = self.truth.get(fact, 0 if isinstance(value, int) else "no")
        match term.operator:
            case "=":
                return now == value
            case "!=":
                return now != value
            case ">=":
                return int(now) >= int(value)
        raise ValueError(f"no comparison {term.operator!r}")

    def write(self, event: Event, index: int) -> list[str]:
        """Make the effects true; returns what no such event may change."""
        problems = []
        for term in EVENT_TYPES[event.type].eff:
            fact, value = self.read(term, event.roles)
            if term.operator in ("+=", "-="):
                step = int(value) if term.operator == "+=" else -int(value)
                value = int(self.truth.get(fact, 0)) + step
                if value < 0:
                    problems.append(f"event {index} {event.type}: {fact} falls below zero")
            if fact[0] == "owner" and event.type not in MAY_CHANGE_OWNER:
                problems.append(
                    f"event {index} {event.type}: may not change the owner of {fact[1]}"
                )
            if fact[0] == "at" and fact[1] in self.people and event.type not in MAY_MOVE_PEOPLE:
                problems.append(f"event {index} {event.type}: may not move {fact[1]}")
            if fact[0] == "where" and value not in (*self.people, *PLACES, *ANIMALS):
                problems.append(f"event {index} {event.type}: {fact[1]} is nowhere")
            self.truth[fact] = value
            self.made_by[fact] = index
        return problems


def _check_cause(event: Event, index: int, ledger: Ledger) -> list[str]:
    reasons = EVENT_TYPES[event.type].why
    wanted = ledger.made_by.get(ledger.read(reasons[0], event.roles)[0]) if reasons else None
    name = f"event {index} {event.type}"
    if event.cause is not None and event.cause >= index:
        return [f"{name}: its cause {event.cause} does not come before it"]
    if event.cause is None and wanted is not None:
        return [f"{name}: the cause is missing, event {wanted} made it happen"]
    if event.cause != wanted:
        return [f"{name}: the cause is given as {event.cause}, but it is {wanted}"]
    return []


def check_events(story: Story) -> list[str]:
    """Simulate the events of a story again; returns what does not fit, in words."""
    problems = []
    ledger = Ledger(story)
    for index, event in enumerate(story.events):
        name = f"event {index} {event.type}"
        if event.type not in EVENT_TYPES or set(EVENT_TYPES[event.type].roles) != set(event.roles):
            problems.append(f"{name}: no such event type, or its roles do not fit")
            continue
        kind = EVENT_TYPES[event.type]
        people = [v for v in event.roles.values() if v in ledger.people]
        if len(set(people)) < len(people) and event.roles.get("a") == event.roles.get("b"):
            allowed = event.type in ("find", "fetch_find", "find_animal", "lead_home", "break")
            if not allowed:
                problems.append(f"{name}: one person in two roles")
        for term in (*kind.pre, *kind.why):
            if not ledger.is_true(term, event.roles):
                fact, value = ledger.read(term, event.roles)
                found = ledger.truth.get(fact, "no")
                spoken = f"{fact[0]}({', '.join(fact[1:])})"
                problems.append(f"{name}: needs {spoken} {term.operator} {value}, it is {found}")
        problems += _check_cause(event, index, ledger)
        problems += ledger.write(event, index)
    if any("no such event type" in p for p in problems):
        return problems
    for fact, value in story.final_state.items():
        if ledger.truth.get(fact) != value:
            problems.append(f"end: {fact} is {value}, by the checker {ledger.truth.get(fact)}")
    return problems


def needed_roles(type_name: str, language: str) -> tuple[str, ...]:
    """Return the roles that every wording of an event type says."""
    wordings = [{letter for _, letter, _ in parts} for parts, _ in TEMPLATES[language][type_name]]
    return tuple(sorted(set.intersection(*wordings) - {"", "_"}))


NEEDED = {
    (name, language): needed_roles(name, language) for name in EVENT_TYPES for language in LANGUAGES
}


def _said(value: Value, text: str, story: Story, language: str, named: set[str]) -> bool:
    if value in story.world.people:
        person = story.world.people[str(value)]
        name = person.zh if language == "zh" else person.name
        if name in text:
            return True
        spaced = " " + text.lower().translate(str.maketrans(",.;:!?“”", " " * 8)) + " "
        pronouns = PRONOUNS_OF[language, person.female]
        return value in named and any(p in spaced or p in text for p in pronouns)
    if value in NOUNS:
        noun = NOUNS[str(value)]
        return noun.zh in text if language == "zh" else noun.en in text or noun.plural in text
    if value in PLACES:
        place = PLACES[str(value)]
        return place.zh in text if language == "zh" else place.en in text.replace("The ", "the ")
    return True


def check_telling(story: Story, told: Sequence[Told], language: str) -> list[str]:
    """Look whether told sentences hold every event once, in order, with who and what took part."""
    order = [index for sentence in told for index in sentence.events]
    if order != list(range(len(story.events))):
        return [f"{language}: the sentences tell the events {order}"]
    problems = []
    named: set[str] = {story.hero}
    for sentence in told:
        for person in story.world.people.values():
            if (person.zh if language == "zh" else person.name) in sentence.text:
                named.add(person.name)
        for index in sentence.events:
            event = story.events[index]
            for letter in NEEDED[event.type, language]:
                value = event.roles[letter]
                if not _said(value, sentence.text, story, language, named):
                    problems.append(f"{language}: event {index} {event.type} does not name {value}")
    return problems


def check_story(story: Story) -> list[str]:
    """Check a whole story: its events, its causes, its end, and both of its tellings.

    Returns:
        What does not fit, one sentence each; empty where the story is consistent.

    Cost: about 2 ms a story.
    Lesson: notebooks/27_pretraining.ipynb
    """
    problems = check_events(story)
    things = {key[1] for key in story.world.initial if key[0] == "owner"}
    problems += [f"start: there is no thing {thing!r}" for thing in things if thing not in THINGS]
    if problems:
        return problems  # what does not fit together can not be told
    for language in LANGUAGES:
        problems += check_telling(story, story.trace(language), language)
    return problems

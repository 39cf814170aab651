"""Tell a story: turn its events into sentences of one language, with varied syntax.

Two neighbouring events can share a sentence, joined by the cause between them ("so", 所以), by
their common subject ("... and cried") or by time. Names become pronouns only where one person of
that gender is in sight. `trace` keeps which sentence tells which events, for the checker.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minillm.data.storyworld.decor import DECOR, DETAILS
from minillm.data.storyworld.phrases import (
    BACK_REFERENCE,
    CAUSAL,
    FRONTED,
    ONSETS,
    SEQUENCE,
)
from minillm.data.storyworld.planner import RECORDS, Dice
from minillm.data.storyworld.words import (
    NOUNS,
    PRONOUNS,
    PRONOUNS_ZH,
    Part,
    compile_template,
    fixed_phrase,
    number_phrase,
)
from minillm.data.storyworld.world import EVENT_TYPES, Event, Value, World

assert RECORDS
Template = tuple[tuple[Part, ...], bool]  # its parts, and whether it is a whole sentence
_ENDS = (".", "!", "?", "”", "。", "！", "？")
TEMPLATES: dict[str, dict[str, tuple[Template, ...]]] = {
    language: {
        name: tuple(
            (compile_template(t), t.endswith(_ENDS))
            for t in (kind.en if language == "en" else kind.zh)
        )
        for name, kind in EVENT_TYPES.items()
    }
    for language in ("en", "zh")
}


@dataclass(frozen=True)
class Told:
    """One sentence and the indices of the events that it tells (none for setting and ending)."""

    text: str
    events: tuple[int, ...]


class Speaker:
    """Says roles of events in one language and remembers who is in sight."""

    def __init__(self, world: World, language: str, dice: Dice) -> None:
        self.world, self.language, self.dice = world, language, dice
        self.people = world.people
        self.before: list[str] = []  # people of the sentence before
        self.now: list[str] = []  # people of this sentence so far
        self.pronouns = PRONOUNS_ZH if language == "zh" else PRONOUNS
        self.named = False  # say names only, as in answers and summaries
        self.onset = ""  # the last "then", not to be said twice in a row
        self.shown: set[str] = set()  # things whose adjective was said

    def next_sentence(self) -> None:
        """Move on: who is in this sentence becomes who was in the one before."""
        if self.now:
            self.before, self.now = self.now, []

    def clear_who(self, name: str, taking_part: Sequence[str]) -> bool:
        """Say whether a pronoun would point at this person only."""
        female = self.people[name].female
        for other in (*self.now, *taking_part):
            if other != name and self.people[other].female == female:
                return False
        if name in self.now:
            return True
        same = [n for n in self.before if self.people[n].female == female]
        return bool(same) and all(n == name for n in same)

    def person(self, name: str, form: str, taking_part: Sequence[str]) -> str:
        """Say a person: by name, or by a pronoun where that is clear (or the form asks for it)."""
        person = self.people[name]
        if form in ("p", "he", "him"):
            return self.pronouns[person.female][form]
        chance = 0.97 if name in self.now else 0.6
        free = form != "v" and not self.named and self.clear_who(name, taking_part)
        if name not in self.now:
            self.now.append(name)
        if free and self.dice.random() < chance:
            return self.pronouns[person.female][form]
        if self.language == "zh":
            return person.zh + "的" if form == "g" else person.zh
        return name + "'s" if form == "g" else name

    def slot(self, letter: str, form: str, roles: Mapping[str, Value], who: Sequence[str]) -> str:
        """Say one role of an event in one form."""
        value = roles[letter]
        if isinstance(value, int):
            noun = NOUNS["coin" if form == "coin" else str(roles[form])]
            return number_phrase(value, noun, self.language)
        if value in self.people:
            return self.person(value, form, who)
        adjective = self.world.adjectives.get(value, "")
        if form == "" and not self.named and value in self.world.adjectives:
            if self.language == "en" and value not in self.shown:
                form = "a"  # the first time: a red ball
            elif adjective and self.dice.random() < 0.25:
                self.shown.add(value)
                return ("the " if self.language == "en" else "") + fixed_phrase(
                    value, "an", self.language, adjective
                )
        self.shown.add(value)
        return fixed_phrase(value, form, self.language, adjective)

    def clause(self, event: Event, parts: tuple[Part, ...], skip: int = 0) -> str:
        """Fill a template; `skip` leaves out that many leading slots (a dropped subject)."""
        people = self.people
        roles = event.roles
        who = [v for v in roles.values() if v in people]
        said = []
        for text, letter, form in parts[skip:]:
            said.append(text)
            if letter == "_":
                said.append(say_decor(self, form))
            elif letter:
                said.append(self.slot(letter, form, roles, who))  # type: ignore[arg-type]
        return "".join(said)

    def short(self, event: Event) -> str:
        """Say an event in its canonical clause, with names."""
        before, self.named = self.named, True
        text = self.clause(event, TEMPLATES[self.language][event.type][0][0])
        self.named = before
        return text


def say_decor(say: Speaker, form: str) -> str:
    """Draw a word of colour from decor.py."""
    return say.dice.pick(DECOR[say.language][form])


def finish(text: str, language: str) -> str:
    """Give a sentence its capital letter and its full stop."""
    if language == "zh":
        return text if text.endswith(_ENDS) else text + "。"
    for i, letter in enumerate(text):
        if letter.isalpha():
            text = text[:i] + letter.upper() + text[i + 1 :]
            break
    return text if text.endswith(_ENDS) else text + "."


def _subject(event: Event, parts: tuple[Part, ...]) -> Value | None:
    text, letter, form = parts[0]
    return event.roles[letter] if letter and not text and not form else None


def _plain_start(parts: tuple[Part, ...]) -> bool:
    """Say whether a connective can stand in front of a clause."""
    text = parts[0][0]
    if text.startswith("the next"):
        return False
    return not text or text.startswith(("the ", "it began", "天下", "天气", "太阳", "雨变"))


def _joined(say: Speaker, first: Event, second: Event, caused: bool) -> str | None:
    """Tell two events in one sentence, or return None where the dice chose whole sentences."""
    templates, dice = TEMPLATES[say.language], say.dice
    one, whole_one = dice.pick(templates[first.type])
    two, whole_two = dice.pick(templates[second.type])
    if whole_one or whole_two or not (_plain_start(one) and _plain_start(two)):
        return None
    if caused and _subject(second, two) in say.people:
        left, middle = dice.pick(CAUSAL[say.language])
        if left == "reversed":
            return say.clause(second, two) + middle + say.clause(first, one)
        return left + say.clause(first, one) + middle + say.clause(second, two)
    subject = _subject(first, one)
    left = say.clause(first, one)
    simple = not any("," in text or "，" in text for text, _, _ in one)
    simple = simple and not (len(two) > 1 and two[1][0].startswith((" and", "和")))
    if simple and subject in say.people and subject == _subject(second, two):
        rest = say.clause(second, (("", "", ""), *two[1:]))
        return left + (" and" if say.language == "en" else "，") + rest
    return left + dice.pick(SEQUENCE[say.language]) + say.clause(second, two)


def _single(say: Speaker, events: Sequence[Event], index: int) -> str:
    """Tell one event, sometimes with a connective or its cause in front."""
    event, dice, language = events[index], say.dice, say.language
    parts, whole = dice.pick(TEMPLATES[language][event.type])
    if whole or not _plain_start(parts):
        return say.clause(event, parts)
    roll = dice.random()
    cause = event.cause
    if cause is not None and _subject(event, parts) not in say.people:
        return say.clause(event, parts)
    if cause is not None and cause < index - 1 and roll < 0.3:
        left, middle = dice.pick(BACK_REFERENCE[language])
        reason = say.clause(events[cause], TEMPLATES[language][events[cause].type][0][0])
        return left + reason + middle + say.clause(event, parts)
    if cause is not None and cause == index - 1 and roll < 0.25:
        return dice.pick(FRONTED[language]) + say.clause(event, parts)
    if roll < 0.55 and index:
        onset = dice.pick(ONSETS[language])
        if onset != say.onset:
            say.onset = onset
            return onset + say.clause(event, parts)
    return say.clause(event, parts)


def tell_events(say: Speaker, events: Sequence[Event]) -> list[Told]:
    """Tell all events in order; each index is in exactly one sentence."""
    told: list[Told] = []
    said: set[str] = set()
    index = 0
    while index < len(events):
        text = None
        joinable = index + 1 < len(events) and events[index + 1].type != "daybreak"
        if joinable and say.dice.random() < 0.45:
            first, second = events[index], events[index + 1]
            before, now = list(say.before), list(say.now)
            text = _joined(say, first, second, second.cause == index)
            if text is None:
                say.before, say.now = before, now
        width = 1 if text is None else 2
        if text is None:
            text = _single(say, events, index)
        told.append(Told(finish(text, say.language), tuple(range(index, index + width))))
        say.next_sentence()
        index += width
        last = events[index - 1]
        if last.type in ("go", "follow") and say.dice.random() < 0.3:
            detail = say.dice.pick(DETAILS[say.language][str(last.roles["l"])])
            if detail not in said:
                said.add(detail)
                told.append(Told(detail, ()))
    return told

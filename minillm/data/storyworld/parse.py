"""Read a told sentence back: which events it tells, with who and what in which role.

The templates of the event types are turned into patterns, so that the parser knows every sentence
that the simulator can tell and no other: what it does not read is not the village's grammar. One
sentence may have several readings ("because it rained, Mia went home" tells two events, or one and
reminds of another); which of them fits is for `consistency.py` to find out.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from minillm.data.storyworld.frames import frame_patterns
from minillm.data.storyworld.phrases import BACK_REFERENCE, CAUSAL, FRONTED, ONSETS, SEQUENCE
from minillm.data.storyworld.slots import merge, slot_pattern, slot_values
from minillm.data.storyworld.story import check_language
from minillm.data.storyworld.tell import TEMPLATES
from minillm.data.storyworld.words import Part

_BOUNDARY = {"en": re.compile(r"[.!?]”?(?= |$)"), "zh": re.compile(r"[。！？]”?")}
MAX_PIECES = 4
"""Most full stops within one telling of events: “Here!” Mia called. “It was under the leaf!”"""


@dataclass(frozen=True)
class Clause:
    """An event as a clause tells it.

    Attributes:
        type: of the event.
        roles: (letter, value) of the roles that are said. A person who is only "she" or "he" has
            the value "?f" or "?m".
        genders: (letter, female) of pronouns that stand beside the role.
        adjectives: (thing, adjective) where one is said.
    """

    type: str
    roles: tuple[tuple[str, str | int], ...]
    genders: tuple[tuple[str, bool], ...] = ()
    adjectives: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Reading:
    """One way to read a sentence.

    Attributes:
        clauses: the events that it tells, in the order in which they happened.
        reminder: an earlier event that it only reminds of.
        frame: "opening", "scene", "ending", ... where it tells no event; "" where it does.
        facts: (name, value) that a frame says.
    """

    clauses: tuple[Clause, ...] = ()
    reminder: Clause | None = None
    frame: str = ""
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Pattern:
    type: str
    parts: tuple[Part, ...]
    whole: bool
    canonical: bool
    literal: str
    regex: re.Pattern[str]
    rest: re.Pattern[str] | None  # without its subject, as behind "and"


def _compile(parts: tuple[Part, ...], language: str, skip: int = 0) -> re.Pattern[str]:
    pieces = []
    for i, (text, letter, form) in enumerate(parts):
        if i < skip:
            continue
        pieces.append(re.escape(text))
        if letter:
            pieces.append(slot_pattern(letter, form, language, f"{letter}_{form}_{i}"))
    return re.compile("".join(pieces))


@cache
def _patterns(language: str) -> tuple[_Pattern, ...]:
    found = []
    for name, templates in TEMPLATES[language].items():
        for place, (parts, whole) in enumerate(templates):
            literal = max((text for text, _, _ in parts), key=len)
            subject = parts[0][1] in ("a", "b", "d") and not parts[0][0] and not parts[0][2]
            rest = _compile(parts, language, 1) if subject and not whole else None
            regex = _compile(parts, language)
            found.append(_Pattern(name, parts, whole, place == 0, literal, regex, rest))
    return tuple(found)


def _low(text: str) -> str:
    """Write the first letter small, as it stands in a template."""
    for i, letter in enumerate(text):
        if letter.isalpha():
            return text[:i] + letter.lower() + text[i + 1 :]
    return text


@lru_cache(maxsize=50_000)
def _clauses(text: str, language: str, kind: str) -> tuple[tuple[Clause, str | int | None], ...]:
    """Clauses of one kind ("clause", "whole", "rest") that a text is, each with its subject."""
    found = []
    for p in _patterns(language):
        if (kind == "whole") != p.whole or (p.literal not in text and kind != "rest"):
            continue
        regex = p.rest if kind == "rest" else p.regex
        match = regex.fullmatch(text) if regex else None
        values = slot_values(match.groupdict(), language) if match else None
        if values is not None:
            roles, genders, adjectives = values
            clause = Clause(p.type, tuple(sorted(roles.items())), genders, adjectives)
            first = p.parts[0]
            subject = first[1] if first[1] and not first[0] and not first[2] else None
            found.append((clause, subject))
    return tuple(found)


def _finite(text: str, language: str) -> list[Clause]:
    return [clause for clause, _ in _clauses(text, language, "clause")]


def _splits(text: str, middle: str) -> Iterator[tuple[str, str]]:
    at = text.find(middle)
    while at > 0:
        yield text[:at], text[at + len(middle) :]
        at = text.find(middle, at + 1)


def _pairs(text: str, language: str) -> Iterator[Reading]:
    """Two clauses in one sentence: a cause and what follows, or one after the other."""
    for left, middle in CAUSAL[language]:
        swapped = left == "reversed"
        start = "" if swapped else left
        if not text.startswith(start):
            continue
        for one, two in _splits(text[len(start) :], middle):
            first, second = (two, one) if swapped else (one, two)
            for a in _finite(first, language):
                for b in _finite(second, language):
                    yield Reading((a, b))
    for middle in SEQUENCE[language]:
        for one, two in _splits(text, middle):
            for a in _finite(one, language):
                for b in _finite(two, language):
                    yield Reading((a, b))
    yield from _shared_subject(text, language)


def _shared_subject(text: str, language: str) -> Iterator[Reading]:
    for one, two in _splits(text, " and" if language == "en" else "，"):
        for a, subject in _clauses(one, language, "clause"):
            if subject is None:
                continue
            for b, other in _clauses(two, language, "rest"):
                roles = merge(dict(b.roles), {str(other): dict(a.roles)[str(subject)]})
                if roles is not None:
                    yield Reading((a, Clause(b.type, roles, b.genders, b.adjectives)))


def _singles(text: str, language: str) -> Iterator[Reading]:
    for clause in _finite(text, language):
        yield Reading((clause,))
    for onset in (*ONSETS[language], *FRONTED[language]):
        if text.startswith(onset):
            for clause in _finite(text[len(onset) :], language):
                yield Reading((clause,))
    for left, middle in BACK_REFERENCE[language]:
        if text.startswith(left):
            for reason, rest in _splits(text[len(left) :], middle):
                for a in _finite(reason, language):
                    for b in _finite(rest, language):
                        yield Reading((b,), reminder=a)


@lru_cache(maxsize=50_000)
def read_sentence(text: str, language: str) -> tuple[Reading, ...]:
    """Read one sentence, in every way that there is.

    Args:
        text: a sentence with its full stop, or a direct speech with what belongs to it.
        language: "en" or "zh".

    Returns:
        The readings; none if the simulator cannot tell this sentence.

    Raises:
        ValueError: if the language is neither "en" nor "zh".

    Lesson: notebooks/27_pretraining.ipynb
    """
    check_language(language)
    readings = []
    for frame, regex in frame_patterns(language):
        match = regex.fullmatch(text)
        if match:
            facts = tuple((k, v) for k, v in match.groupdict().items() if v is not None)
            readings.append(Reading(frame=frame, facts=facts))
    bare = text[:-1] if text.endswith((".", "。")) else text
    for form in dict.fromkeys((text, _low(text))):
        readings += [Reading((clause,)) for clause, _ in _clauses(form, language, "whole")]
    if bare != text:
        for form in dict.fromkeys((bare, _low(bare))):
            readings += _singles(form, language)
            readings += _pairs(form, language)
    return tuple(dict.fromkeys(readings))


def read_text(text: str, language: str) -> list[tuple[str, tuple[Reading, ...]]]:
    """Cut a text into the sentences of the village, and read each.

    Args:
        text: a story, from its first sentence on.
        language: "en" or "zh".

    Returns:
        Pairs of a sentence and its readings, which are empty where it is not the village's
        grammar. Direct speech stays with the words around it.

    Raises:
        ValueError: if the language is neither "en" nor "zh".

    Cost: about 5 ms a story.
    Lesson: notebooks/27_pretraining.ipynb
    """
    check_language(language)
    text = " ".join(text.split())
    ends = [m.end() for m in _BOUNDARY[language].finditer(text)]
    if text and (not ends or ends[-1] < len(text)):
        ends.append(len(text))  # a sentence that was cut off
    found, start, i = [], 0, 0
    while i < len(ends):
        for width in range(min(MAX_PIECES, len(ends) - i), 0, -1):
            sentence = text[start : ends[i + width - 1]].strip()
            readings = read_sentence(sentence, language)
            if readings or width == 1:
                break
        found.append((sentence, readings))
        start, i = ends[i + width - 1], i + width
    return found


def said(clause: Clause) -> Mapping[str, str | int]:
    """Return the roles of a clause as a mapping."""
    return dict(clause.roles)

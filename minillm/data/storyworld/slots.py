"""The slots of the templates as patterns: what may stand there, and which value it means."""

import re
from collections.abc import Iterable, Mapping
from functools import cache

from minillm.data.storyworld.decor import DECOR
from minillm.data.storyworld.lexicon import (
    ADJECTIVES,
    ANIMALS,
    BOYS,
    COINS,
    CROPS,
    FOODS,
    GIRLS,
    NUMBERS_EN,
    NUMBERS_ZH,
    PLACES,
    THINGS,
    Noun,
    article,
)
from minillm.data.storyworld.words import PHRASES

FEMALE = {name: True for name, _ in GIRLS} | {name: False for name, _ in BOYS}
NAMES = {
    "en": {name: name for name in FEMALE},
    "zh": {zh: name for name, zh in (*GIRLS, *BOYS)},
}
PRONOUN = {"she": "?f", "her": "?f", "he": "?m", "him": "?m", "his": "?m", "她": "?f", "他": "?m"}
_FORMS = {"": "she|he", "o": "her|him", "g": "her|his", "p": "her|his", "he": "she|he"}
KINDS: dict[str, Mapping[str, Noun]] = {
    "x": THINGS,
    "y": THINGS,
    "d": ANIMALS,
    "f": {**FOODS, **CROPS},
}
NUMBERS = {"en": NUMBERS_EN, "zh": NUMBERS_ZH}
ALL_NOUNS = {**THINGS, **ANIMALS, **FOODS, **CROPS, "coin": COINS}


def any_of(words: Iterable[str]) -> str:
    """Write a group that matches one of the words, the longest first."""
    return "(?:" + "|".join(map(re.escape, sorted(set(words), key=len, reverse=True))) + ")"


def _person(form: str, language: str) -> str:
    names = any_of(NAMES[language])
    if language == "zh":
        who = (
            names
            if form == "v"
            else "[她他]"
            if form in ("p", "he", "him")
            else f"(?:{names}|[她他])"
        )
        return who + "的" if form in ("g", "p") else who
    if form == "v":
        return names
    if form in ("p", "he", "him"):
        return f"(?:{_FORMS['o' if form == 'him' else form]})"
    owner = "'s" if form == "g" else ""
    return f"(?:{names}{owner}|{_FORMS[form]})"


def noun_pattern(nouns: Mapping[str, Noun], form: str, language: str) -> str:
    """Write the pattern of some nouns in one form of words.py."""
    if language == "zh":
        plain = any_of(n.zh for n in nouns.values())
        colour = any_of(
            [*ADJECTIVES.values(), *(a.replace("色的", "色") for a in ADJECTIVES.values())]
        )
        if form == "m":
            return any_of(n.measure for n in nouns.values())
        if form == "a":
            return f"一{any_of(n.measure for n in nouns.values())}{colour}?{plain}"
        return plain if form == "n" else f"{colour}?{plain}"
    plain, colour = any_of(n.en for n in nouns.values()), f"(?:{any_of(ADJECTIVES)} )?"
    if form == "n":
        return plain
    return {"an": "", "a": "an? "}.get(form, "(?:the|an?) ") + colour + plain


def _number(form: str, language: str) -> str:
    nouns = {"coin": COINS} if form == "coin" else KINDS["f"]
    if language == "zh":
        measure, noun = (any_of(getattr(n, k) for n in nouns.values()) for k in ("measure", "zh"))
        return f"(?:{any_of(NUMBERS_ZH)}|\\d+){measure}{noun}"
    noun = any_of(w for n in nouns.values() for w in (n.en, n.plural))
    return f"(?:{any_of(NUMBERS_EN)}|\\d+) {noun}"


@cache
def slot_pattern(letter: str, form: str, language: str, group: str) -> str:
    """Write the pattern of one slot as a named group.

    Args:
        letter: of the role; "_" for a word of colour.
        form: of the slot, see words.py.
        language: "en" or "zh".
        group: name of the group, letter_form_number.
    """
    if letter == "_":
        return any_of(DECOR[language][form])
    if letter in "ab":
        inner = _person(form, language)
    elif letter in "lm":
        inner = any_of(place_names(form, language))
    elif letter == "n":
        inner = _number(form, language)
    elif letter in "ks":
        inner = any_of(_phrases(language))
    else:
        inner = noun_pattern(KINDS[letter], form, language)
    return f"(?P<{group}>{inner})"


@cache
def _phrases(language: str) -> dict[str, str]:
    return {said[language == "zh"].removeprefix("to "): key for key, said in PHRASES.items()}


@cache
def place_names(form: str, language: str) -> dict[str, str]:
    """Say every place in one form, with the key that it means."""
    if language == "zh":
        return {p.at_zh if form == "at" else p.zh: key for key, p in PLACES.items()}
    said = {"at": "{0.at_en}", "to": "to {0.en}", "g": "{0.en}'s"}.get(form, "{0.en}")
    return {said.format(p): key for key, p in PLACES.items()}


@cache
def noun_of(surface: str, language: str) -> tuple[str, str, str] | None:
    """Key, adjective and article or measure word of a noun phrase; None if it is wrong."""
    if language == "zh":
        for key, noun in ALL_NOUNS.items():
            if surface.endswith(noun.zh):
                head = surface.removesuffix(noun.zh)
                start = "一" + noun.measure
                head = head.removeprefix(start) if head.startswith(start) else head
                for adjective, zh in ADJECTIVES.items():
                    if head in (zh, zh.replace("色的", "色")):
                        return key, adjective, ""
                if not head:
                    return key, "", ""
        return None
    words = surface.split(" ")
    start = words.pop(0) if words[0] in ("a", "an", "the") else ""
    if start in ("a", "an") and article(" ".join(words)) != start:
        return None
    adjective = words.pop(0) if words[0] in ADJECTIVES and " ".join(words) not in ALL_NOUNS else ""
    key = " ".join(words)
    return (key, adjective, start) if key in ALL_NOUNS else None


def _number_of(surface: str, language: str) -> tuple[int, str] | None:
    """Number and counted noun of "three apples"; None if they do not agree."""
    words = NUMBERS[language]
    for n in (*range(len(words) - 1, -1, -1), *range(len(words), 40)):
        word = words[n] if n < len(words) else str(n)
        if not surface.startswith(word):
            continue
        rest = surface.removeprefix(word)
        for key, noun in ALL_NOUNS.items():
            right = (
                noun.measure + noun.zh
                if language == "zh"
                else f" {noun.en if n == 1 else noun.plural}"
            )
            if rest == right:
                return n, key
    return None


def merge(
    roles: dict[str, str | int], more: Mapping[str, str | int]
) -> tuple[tuple[str, str | int], ...] | None:
    """Add roles; a name beats a pronoun of its gender. None where they contradict each other."""
    for letter, value in more.items():
        old = roles.get(letter, value)
        if old != value:
            known = next((v for v in (old, value) if v in FEMALE), None)
            vague = old if known == value else value
            if known is None or vague != ("?f" if FEMALE[str(known)] else "?m"):
                return None
            value = known
        roles[letter] = value
    return tuple(sorted(roles.items()))


def slot_values(
    groups: Mapping[str, str | None], language: str
) -> tuple[dict[str, str | int], tuple[tuple[str, bool], ...], tuple[tuple[str, str], ...]] | None:
    """Turn what stood in the slots into roles.

    Returns:
        Roles, the genders of pronouns beside them, and adjectives; None where the slots do not
        agree with one another: a wrong article or measure word, two values in one role.
    """
    roles: dict[str, str | int] = {}
    genders: list[tuple[str, bool]] = []
    adjectives: list[tuple[str, str]] = []
    measures: dict[str, str] = {}
    for group, surface in groups.items():
        letter, form, _ = group.split("_")
        if surface is None:
            continue
        found: dict[str, str | int] = {}
        if letter in "ab":
            bare = surface.removesuffix("'s").removesuffix("的")
            if form in ("p", "he", "him"):
                genders.append((letter, PRONOUN[bare] == "?f"))
                continue
            found[letter] = PRONOUN.get(bare) or NAMES[language][bare]
        elif letter in "lm":
            found[letter] = place_names(form, language)[surface]
        elif letter in "ks":
            found[letter] = _phrases(language)[surface]
        elif letter == "n":
            number = _number_of(surface, language)
            if number is None:
                return None
            found["n"] = number[0]
            if form == "f":
                found["f"] = number[1]
        elif form == "m":
            measures[letter] = surface
        else:
            noun = noun_of(surface, language)
            if noun is None:
                return None
            found[letter] = noun[0]
            if noun[1]:
                adjectives.append((noun[0], noun[1]))
        if merge(roles, found) is None:
            return None
    if any(ALL_NOUNS[str(roles[k])].measure != m for k, m in measures.items() if k in roles):
        return None
    return roles, tuple(genders), tuple(adjectives)

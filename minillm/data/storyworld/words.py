"""Noun phrases: how a role of an event is said in one place of a template, in either language.

A template is a string with slots like `{a}`, `{a:p}`, `{x:an}`: a role letter and a form.

    people   (none) the subject: name, or pronoun where it is clear      o  the same as object
             g  possessive: Mia's / her      p  always the pronoun: her      v  always the name
             he / him  always the pronoun
    things   (none) the red ball      a  a red ball      an  red ball      n  ball      m  只
    places   (none) the river      at  by the river      to  to the river      g  the river's
    colour   `{_:manner}` and its like are drawn from decor.py
    numbers  f, coin  the number and the counted noun: three apples, 三个苹果
"""

import re

from minillm.data.storyworld.lexicon import (
    ADJECTIVES,
    ANIMALS,
    COINS,
    CONTESTS,
    CROPS,
    FOODS,
    NUMBERS_EN,
    NUMBERS_ZH,
    PLACES,
    SKILLS,
    THINGS,
    Noun,
    article,
)

NOUNS: dict[str, Noun] = {**THINGS, **FOODS, **CROPS, **ANIMALS, "coin": COINS}
PHRASES = {**SKILLS, **CONTESTS}
PRONOUNS = {  # female: (subject, object, possessive)
    True: {"": "she", "o": "her", "g": "her", "p": "her", "he": "she", "him": "her"},
    False: {"": "he", "o": "him", "g": "his", "p": "his", "he": "he", "him": "him"},
}
PRONOUNS_ZH = {
    True: {"": "她", "o": "她", "g": "她的", "p": "她的", "he": "她", "him": "她"},
    False: {"": "他", "o": "他", "g": "他的", "p": "他的", "he": "他", "him": "他"},
}
_SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
Part = tuple[str, str, str]  # literal text before, role letter ("" at the end), form


def compile_template(template: str) -> tuple[Part, ...]:
    """Cut a template into (text, role, form) parts; the last has the role ""."""
    parts, start = [], 0
    for match in _SLOT.finditer(template):
        parts.append((template[start : match.start()], match[1], match[2] or ""))
        start = match.end()
    parts.append((template[start:], "", ""))
    return tuple(parts)


def number_phrase(n: int, noun: Noun, language: str) -> str:
    """Return "three apples" or 三个苹果.

    >>> number_phrase(1, FOODS["apple"], "en"), number_phrase(2, FOODS["egg"], "zh")
    ('one apple', '两个鸡蛋')
    """
    if language == "zh":
        word = NUMBERS_ZH[n] if n < len(NUMBERS_ZH) else str(n)
        return word + noun.measure + noun.zh
    word = NUMBERS_EN[n] if n < len(NUMBERS_EN) else str(n)
    return f"{word} {noun.en if n == 1 else noun.plural}"


def noun_en(noun: Noun, form: str, adjective: str) -> str:
    """Say a thing in English in one of the forms of the module's table."""
    if form == "n":
        return noun.en
    full = f"{adjective} {noun.en}" if adjective else noun.en
    if form == "an":
        return full
    if form == "a":
        return f"{article(full)} {full}"
    return f"the {noun.en}"


def noun_zh(noun: Noun, form: str, adjective: str) -> str:
    """Say a thing in Chinese in one of the forms of the module's table."""
    if form == "m":
        return noun.measure
    full = ADJECTIVES[adjective] + noun.zh if adjective else noun.zh
    if form == "a":
        return "一" + noun.measure + full
    return full.replace("色的", "色") if form == "an" else noun.zh


def place_phrase(key: str, form: str, language: str) -> str:
    """Say a place in either language in one of the forms of the module's table."""
    place = PLACES[key]
    if language == "zh":
        return place.at_zh if form == "at" else place.zh
    if form == "at":
        return place.at_en
    if form == "to":
        return "to " + place.en
    return place.en + "'s" if form == "g" else place.en


def fixed_phrase(value: str | int, form: str, language: str, adjective: str = "") -> str:
    """Say anything that is not a person: a thing, a place, a skill, a contest.

    Raises:
        ValueError: if the village has no such entity.
    """
    key = str(value)
    if key in NOUNS:
        return (noun_zh if language == "zh" else noun_en)(NOUNS[key], form, adjective)
    if key in PLACES:
        return place_phrase(key, form, language)
    if key in PHRASES:
        return PHRASES[key][language == "zh"].removeprefix("to ")
    raise ValueError(f"the village has no {value!r}; see lexicon.py")

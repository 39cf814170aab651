"""Sentences that tell no event, as patterns: who the story is about, the scene, the end."""

import re
from collections.abc import Iterable
from functools import cache

from minillm.data.storyworld.decor import DETAILS
from minillm.data.storyworld.lexicon import ROLES, THINGS, TIMES
from minillm.data.storyworld.phrases import (
    BELONGINGS,
    COMPANIONS,
    ENDINGS,
    LEADS,
    OPENINGS,
    SCENES,
    SIDES,
    TONES,
    VILLAGES,
    WEATHER_EN,
    WEATHER_ZH,
)
from minillm.data.storyworld.slots import (
    NAMES,
    NUMBERS,
    PRONOUN,
    any_of,
    noun_of,
    noun_pattern,
    place_names,
)


def _who(language: str) -> tuple[str, str]:
    """Patterns of "a girl named Mia" and "a girl of nine", or "a baker"."""
    child = ("girl", "boy") if language == "en" else ("女孩", "男孩")
    roles = any_of([*child, *(r[language == "zh"] for r in ROLES.values())])
    name, age = f"(?P<name>{any_of(NAMES[language])})", any_of(NUMBERS[language])
    if language == "en":
        return (
            f"an? (?P<role>{roles}) named {name}",
            f"(?:a (?P<child>girl|boy) of (?P<age>{age})|an? (?P<role2>{roles}))",
        )
    return (
        f"一个叫{name}的(?P<role>{roles})",
        f"(?:一个(?P<age>{age})岁的(?P<child>女孩|男孩)|一个(?P<role2>{roles}))",
    )


def _frame(template: str, language: str) -> re.Pattern[str]:
    weather = WEATHER_ZH if language == "zh" else WEATHER_EN
    who, who2 = _who(language)
    she = "[她他]" if language == "zh" else "(?:she|he)"
    own = f"(?:her|his) {noun_pattern(THINGS, 'an', language)}"
    slots = {
        "who": who,
        "who2": who2,
        "name": f"(?P<name>{any_of(NAMES[language])})",
        "pronoun": f"(?P<she>{'[她他]' if language == 'zh' else '(?:She|He)'})",
        "pronoun_low": f"(?P<she>{she})",
        "object": f"(?P<she>{'[她他]' if language == 'zh' else '(?:her|him)'})",
        "village": any_of(VILLAGES[language]),
        "side": any_of(SIDES[language]),
        "thing": f"(?P<thing>{noun_pattern(THINGS, 'a', language)})",
        "own": f"(?P<own>{own})",
        "noun": f"(?P<thing>{noun_pattern(THINGS, 'n', language)})",
        "measure": any_of(n.measure for n in THINGS.values()),
        "weather": f"(?P<weather>{any_of(w for ws in weather.values() for w in ws)})",
        "time": f"(?P<time>{any_of(t[language == 'zh'] for t in TIMES.values())})",
        "place": f"(?P<place>{any_of(place_names('at', language))})",
        "place_to": f"(?P<place>{any_of(place_names('to', language))})",
    }
    pattern, seen = "", set[str]()
    for text, field in re.findall(r"([^{]*)(?:\{(\w+)\})?", template):
        slot = slots[field] if field else ""
        for name in re.findall(r"\(\?P<(\w+)>", slot):
            if name in seen:  # said twice: the same again
                slot = f"(?P={name})" if field == name else slot.replace(f"(?P<{name}>", "(?:")
            seen.add(name)
        pattern += re.escape(text) + slot
    return re.compile(pattern)


@cache
def frame_patterns(language: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Every sentence that tells no event, as (frame, pattern)."""
    found = []
    for frame, table in (
        ("opening", OPENINGS),
        ("belonging", BELONGINGS),
        ("companion", COMPANIONS),
        ("scene", SCENES),
    ):
        found += [(frame, _frame(template, language)) for template in table[language]]
    for (spoken, label), templates in ENDINGS.items():
        if spoken == language:
            for template in templates:
                ending = _frame(template, language).pattern
                lead = any_of(LEADS[language]) if template.startswith("{name}") else ""
                found.append(
                    (f"ending {label}", re.compile(f"{lead}?{ending}" if lead else ending))
                )
    for (spoken, label), texts in TONES.items():
        if spoken == language:
            found.append((f"tone {label}", re.compile(any_of(texts))))
    for place, details in DETAILS[language].items():
        found.append((f"detail {place}", re.compile(any_of(details))))
    return tuple(found)


def frame_facts(facts: Iterable[tuple[str, str]], language: str) -> dict[str, str]:
    """Turn what a frame says into values of the world.

    Returns:
        Some of name, female ("yes" or "no"), she (the same, of a pronoun), age, thing, adjective,
        weather, time and place.
    """
    found: dict[str, str] = {}
    words = WEATHER_ZH if language == "zh" else WEATHER_EN
    for name, surface in facts:
        if name == "name":
            found["name"] = NAMES[language][surface]
        elif name in ("role", "child") and surface in ("girl", "boy", "女孩", "男孩"):
            found["female"] = "yes" if surface in ("girl", "女孩") else "no"
        elif name == "age":
            found["age"] = str(NUMBERS[language].index(surface))
        elif name == "she":
            found["she"] = "yes" if PRONOUN[surface.lower()] == "?f" else "no"
        elif name in ("thing", "own"):
            if name == "own":
                first, surface = surface.split(" ", 1)
                found["own"] = "yes" if first == "her" else "no"
            noun = noun_of(surface, language)
            found |= {"thing": noun[0], "adjective": noun[1]} if noun else {"wrong": surface}
        elif name == "weather":
            found["weather"] = next(k for k, said in words.items() if surface in said)
        elif name == "time":
            found["time"] = next(k for k, t in TIMES.items() if t[language == "zh"] == surface)
        elif name == "place":
            found["place"] = {**place_names("at", language), **place_names("to", language)}[surface]
    return found

"""What a story says before its first event and after its last: who, where, with what, the end."""

from minillm.data.storyworld.lexicon import (
    NUMBERS_EN,
    NUMBERS_ZH,
    PLACES,
    ROLES,
    THINGS,
    TIMES,
    article,
)
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
from minillm.data.storyworld.tell import Speaker, Told
from minillm.data.storyworld.words import noun_en, noun_zh
from minillm.data.storyworld.world import Event, Person


def age(child: Person) -> int:
    """Return the age of a child, 6 to 11; children of one name are of one age."""
    return 6 + sum(map(ord, child.name)) % 6


def describe(person: Person, language: str) -> tuple[str, str]:
    """Return ("a girl named Mia", "a girl") or (一个叫米娅的女孩, 一个女孩)."""
    if language == "zh":
        child = "女孩" if person.female else "男孩"
        role = child if person.role == "child" else ROLES[person.role][1]
        named = f"一个叫{person.zh}的{role}"
        if person.role == "child":
            return named, f"一个{NUMBERS_ZH[age(person)]}岁的{role}"
        return named, f"一个{role}"
    child = "girl" if person.female else "boy"
    role = child if person.role == "child" else ROLES[person.role][0]
    named = f"{article(role)} {role} named {person.name}"
    if person.role == "child":
        return named, f"a {role} of {NUMBERS_EN[age(person)]}"
    return named, f"{article(role)} {role}"


def _fill(say: Speaker, template: str, name: str, **more: str) -> str:
    person = say.people[name]
    who, who2 = describe(person, say.language)
    own = say.pronouns[person.female]
    pronoun = own[""]
    if say.language == "en":
        pronoun = pronoun.capitalize()
    return template.format(
        who=who,
        who2=who2,
        name=person.zh if say.language == "zh" else name,
        pronoun=pronoun,
        pronoun_low=own[""],
        object=own["him"],
        **more,
    )


def _belonging(say: Speaker, hero: str, thing: str) -> str:
    adjective = say.world.adjectives.get(thing, "")
    noun, language = THINGS[thing], say.language
    speak = noun_zh if language == "zh" else noun_en
    own = say.pronouns[say.people[hero].female]["p"] + " " + noun_en(noun, "an", adjective)
    say.shown.add(thing)
    return _fill(
        say,
        say.dice.pick(BELONGINGS[language]),
        hero,
        thing=speak(noun, "a", adjective),
        own=own,
        noun=noun.zh,
        measure=noun.measure,
    )


def _scene(say: Speaker, hero: str) -> str:
    language, initial = say.language, say.world.initial
    weather, time = str(initial["weather",]), str(initial["time",])
    place = PLACES[str(initial["at", hero])]
    words = (WEATHER_ZH if language == "zh" else WEATHER_EN)[weather]
    at = place.at_zh if language == "zh" else place.at_en
    template = say.dice.pick(SCENES[language])
    return _fill(
        say,
        template,
        hero,
        weather=say.dice.pick(words),
        time=TIMES[time][language == "zh"],
        place=at,
        place_to=f"to {place.en}",
    )


def opening(say: Speaker, hero: str, events: list[Event], tone: str) -> list[Told]:
    """Say who the hero is, what belongs to the hero, and where and when the story begins."""
    dice, language = say.dice, say.language
    village, side = dice.pick(VILLAGES[language]), dice.pick(SIDES[language])
    texts = [_fill(say, dice.pick(OPENINGS[language]), hero, village=village, side=side)]
    others = [n for n in say.people if n != hero]
    things = [t for t in say.world.adjectives if say.world.initial.get(("owner", t)) == hero]
    if things and dice.chance(0.75):
        texts.append(_belonging(say, hero, things[0]))
    if dice.chance(0.5) and events and others[0] in (v for e in events for v in e.roles.values()):
        texts.append(_fill_companion(say, hero, others[0]))
    texts.append(_scene(say, hero))
    if tone != "plain":
        texts.append(dice.pick(TONES[language, tone]))
    say.now = [hero]
    say.next_sentence()
    return [Told(text, ()) for text in texts]


def _fill_companion(say: Speaker, hero: str, other: str) -> str:
    template = say.dice.pick(COMPANIONS[say.language])
    pronoun = say.pronouns[say.people[hero].female][""]
    who, who2 = describe(say.people[other], say.language)
    if say.language == "en":
        pronoun = pronoun.capitalize()
    name = say.people[other].zh if say.language == "zh" else other
    return template.format(who=who, who2=who2, name=name, pronoun=pronoun)


def closing(say: Speaker, hero: str, ending: str) -> list[Told]:
    """Say how it ended for the hero."""
    template = say.dice.pick(ENDINGS[say.language, ending])
    if template.startswith("{name}") and say.dice.chance(0.5):
        template = say.dice.pick(LEADS[say.language]) + template
    text = _fill(say, template, hero)
    return [Told(text, ())]

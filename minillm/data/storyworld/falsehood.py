"""Events that did not happen, made from events that did: what a yes-or-no question needs."""

from minillm.data.storyworld.lexicon import PLACES
from minillm.data.storyworld.planner import Dice
from minillm.data.storyworld.tell import TEMPLATES
from minillm.data.storyworld.world import EVENT_TYPES, Event


def said_roles(type_name: str) -> set[str]:
    """Return the roles that the canonical clauses of both languages say."""
    en, zh = (TEMPLATES[language][type_name][0][0] for language in ("en", "zh"))
    return {part[1] for part in en} & {part[1] for part in zh} - {""}


def alike(one: Event, two: Event) -> bool:
    """Say whether the canonical clauses of two events are the same."""
    if one.type != two.type:
        return False
    return all(one.roles[letter] == two.roles[letter] for letter in said_roles(one.type))


def altered(event: Event, people: tuple[str, ...], dice: Dice) -> Event | None:
    """Return the event with another actor or place, or None where neither is said."""
    roles = dict(event.roles)
    letter, said = EVENT_TYPES[event.type].roles[:1], said_roles(event.type)
    if letter in said and roles.get(letter) in people and len(people) > 1:
        others = [p for p in people if p != roles[letter]]
        new = dice.pick(others)
        for other in roles:
            if roles[other] == new:
                roles[other] = roles[letter]
        roles[letter] = new
        return Event(event.type, roles)
    if "l" in said:
        roles["l"] = dice.pick([p for p in PLACES if p != roles["l"]])
        return Event(event.type, roles)
    return None

"""The words of the town (`recipes/town.py`): names, facts, ways to tell them and ways to ask.

Every word is a token, and has one id; the four special ones come first.
"""

from functools import lru_cache

SYLLABLES = ("ba", "do", "ki", "lu", "me", "no", "pa", "ri", "su", "ta")
NAMES = tuple((a + b).capitalize() for a in SYLLABLES for b in SYLLABLES if a != b)  # P = 90
RELATIONS = {
    "home": ("Rome", "Oslo", "Lima", "Cairo", "Delhi", "Paris", "Kyoto", "Accra"),
    "trade": ("baker", "smith", "tailor", "farmer", "nurse", "miner", "piper", "clerk"),
    "colour": ("red", "blue", "green", "white", "black", "brown", "pink", "grey"),
    "pet": ("cat", "dog", "crow", "goat", "mouse", "horse", "snail", "duck"),
}
KINDS = tuple(RELATIONS)
N_VALUES = 8
NAMED = (
    "the {relation} of {name}",
    "{name} 's {relation}",
    "{relation} of {name}",
    "the {relation} which {name} has",
)
LINKS = (
    "is", ":", "seems", "remains", "was", "became", "must be", "will be", "may be", "is still",
    "is surely", "was always", "turned out", "is said", "they say", "means", "equals", "stays",
    "gives", "shows",
)  # fmt: skip
SAID = tuple(f"{named} {link} {{value}} ." for named in NAMED for link in LINKS)
"""Eighty ways to tell a fact. The value comes last, behind many different words, so that the model
learns to name it behind whatever word stands there, the <assistant> of a question among them."""
BEFORE = ("", "please say", "tell me", "question :", "do you know")
ASKED = (
    "the {relation} of {name}",
    "{name} 's {relation}",
    "{relation} of {name}",
    "which {relation} has {name}",
)
_WAYS = [(i + j, f"{b} {a}".strip()) for i, b in enumerate(BEFORE) for j, a in enumerate(ASKED)]
TEMPLATES = tuple(way for place, way in _WAYS if place % 5 != 4)
UNSEEN = tuple(way for place, way in _WAYS if place % 5 == 4)
"""Sixteen ways to ask, and four that no run trains on; their parts occur in the sixteen."""
SPECIAL = ("<end>", "<user>", "<assistant>", "<stop>")
END, USER, ASSISTANT, STOP = range(4)


@lru_cache(maxsize=1)
def words() -> dict[str, int]:
    """Every word of the town and its id."""
    texts = [*SAID, *TEMPLATES, *UNSEEN]
    plain = [w for text in texts for w in text.split() if not w.startswith("{")]
    values = [v for known in RELATIONS.values() for v in known]
    every = dict.fromkeys([*SPECIAL, *plain, *KINDS, *values, *NAMES])
    return {word: i for i, word in enumerate(every)}


def encode(text: str) -> list[int]:
    """The ids of the words of a text."""
    return [words()[word] for word in text.split()]

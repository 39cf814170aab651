"""Questions about a story, with short answers that follow from its events and its final state.

The same questions, with the same ids, exist in both languages. What is asked is chosen without
looking at the language; every kind has more than one possible answer (`KINDS`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minillm.data.storyworld.falsehood import alike, altered
from minillm.data.storyworld.lexicon import ANIMALS, FEELINGS, FOODS, NUMBERS_EN, NUMBERS_ZH, PLACES
from minillm.data.storyworld.planner import Dice
from minillm.data.storyworld.tell import TEMPLATES, Speaker, finish
from minillm.data.storyworld.words import fixed_phrase
from minillm.data.storyworld.world import EVENT_TYPES, Event, Value

if TYPE_CHECKING:
    from minillm.data.storyworld.story import Story

KINDS = (
    "why",
    "who_did",
    "who_has",
    "where_thing",
    "where_person",
    "owner",
    "feeling",
    "how_many",
    "yes_no",
    "first",
    "what_if",
)
_PAST = """
walked/walk came/come followed/follow began/begin turned/turn went/go fell/fall
became/become got/get tore/tear mended/mend broke/break built/build pulled/pull
planted/plant hung/hang carried/carry grew/grow dried/dry sat/sit asked/ask told/tell
promised/promise comforted/comfort thanked/thank kept/keep forgot/forget had/have
said/say forgave/forgive did/ gathered/gather gave/give ate/eat brought/bring ran/run
called/call found/find led/lead frightened/frighten took/take held/hold fled/flee
wanted/want learned/learn won/win lost/lose saw/see looked/look lent/lend missed/miss
felt/feel snatched/snatch bought/buy traded/trade made/make worked/work caught/catch
danced/dance sniffed/sniff searched/search cried/cry
"""
PAST = dict(pair.split("/") for pair in _PAST.split())


@dataclass(frozen=True)
class Question:
    """A question with its short answer; `id` is the same in both languages."""

    question: str
    answer: str
    kind: str
    id: str


def base_form(clause: str) -> str:
    """Turn a past-tense clause into what follows "did": "Mia lost a key" to "Mia lose a key".

    Raises:
        ValueError: if no verb of the table is in the clause.
    """
    words = clause.split(" ")
    for i, word in enumerate(words):
        if word in PAST:
            words[i] = PAST[word]
            return " ".join(w for w in words if w)
    raise ValueError(f"no past-tense verb of the table in {clause!r}")


class Asker:
    """Collects the questions of one story in one language."""

    def __init__(self, story: Story, language: str) -> None:
        self.story, self.zh = story, language == "zh"
        self.say: Speaker = story.speaker(language, "questions")
        self.say.named = True
        self.dice = Dice(f"questions {story.seed}")  # the same in both languages
        self.found: list[Question] = []

    def clause(self, event: Event) -> str:
        """Say an event in its canonical clause."""
        return self.say.short(event)

    def name(self, value: Value | None) -> str:
        """Say a person, an animal, a thing or a place by its name."""
        if value in self.say.people:
            return self.say.people[str(value)].zh if self.zh else str(value)
        return fixed_phrase(str(value), "", "zh" if self.zh else "en")

    def place(self, key: str) -> str:
        """Say where: "by the river" or 河边."""
        return fixed_phrase(key, "at", "zh" if self.zh else "en")

    def add(self, kind: str, key: str, en: tuple[str, str], zh: tuple[str, str]) -> None:
        """Keep a question: its two texts in each language."""
        question, answer = zh if self.zh else en
        ask = question if self.zh else question[:1].upper() + question[1:]
        reply = finish(answer, "zh" if self.zh else "en")
        self.found.append(Question(ask, reply, kind, f"{kind}:{key}"))

    def about_causes(self) -> None:
        """Ask why something happened; the answer is the cause."""
        events = self.story.events
        for i, event in enumerate(events):
            if event.cause is None:
                continue
            what, reason = self.clause(event), self.clause(events[event.cause])
            if self.zh:
                self.add("why", str(i), ("", ""), (f"为什么{what}？", f"因为{reason}"))
            else:
                ask = f"why did {base_form(what)}?"
                self.add("why", str(i), (ask, f"because {reason}"), ("", ""))

    def about_actors(self) -> None:
        """Ask who did something that one person only did in this story."""
        language = "zh" if self.zh else "en"
        for i, event in enumerate(self.story.events):
            parts = TEMPLATES[language][event.type][0][0]
            actor = event.roles.get(parts[0][1]) if not parts[0][0] else None
            if actor not in self.say.people or event.type in ("go", "follow"):
                continue
            if sum(e.type == event.type for e in self.story.events) > 1 or event.type in PAIRS:
                continue
            clause = self.say.clause(event, parts, skip=1)
            self.add(
                "who_did",
                str(i),
                (f"who{clause}?", str(actor)),
                (f"谁{clause}？", self.name(actor)),
            )

    def about_things(self) -> None:
        """Ask where things are at the end, who has them, and whose they are."""
        state = self.story.final_state
        for thing in self.story.world.adjectives:
            holder = state.get(("where", thing))
            if holder is None:
                continue
            en, zh = f"the {thing}", self.name(thing)
            if holder in PLACES:
                where = self.place(str(holder))
                ask = (f"where is {en} at the end?", where), (f"最后{zh}在哪里？", "在" + where)
                self.add("where_thing", thing, *ask)
            else:
                who = self.name(holder)
                self.add(
                    "who_has",
                    thing,
                    (f"who has {en} at the end?", who),
                    (f"最后{zh}在谁那里？", who),
                )
            owner = state["owner", thing]
            whose = self.name(owner)
            if owner != holder:
                self.add(
                    "owner",
                    thing,
                    (f"whose is {en}?", f"{whose}'s"),
                    (f"{zh}是谁的？", f"{whose}的"),
                )

    def about_people(self) -> None:
        """Ask where people are at the end and how they feel."""
        state = self.story.final_state
        for person in self.say.people:
            name = self.name(person)
            where = self.place(str(state["at", person]))
            ask = (f"where is {name} at the end?", where), (f"最后{name}在哪里？", "在" + where)
            if person in self.placed():
                self.add("where_person", person, *ask)
            if ("feel", person) in state:
                en, zh = FEELINGS[str(state["feel", person])]
                self.add(
                    "feeling",
                    person,
                    (f"how does {name} feel at the end?", en),
                    (f"最后{name}的心情怎么样？", zh),
                )

    def actors(self) -> set[str]:
        """The hero and all who take part in an event: those whom every telling names."""
        roles = (str(role) for event in self.story.events for role in event.roles.values())
        return {self.story.hero} | (set(roles) & set(self.say.people))

    def placed(self) -> set[str]:
        """The hero and all whom an event moves: those of whom the telling says where they are."""
        moved = {
            str(event.roles[term.arguments[0]])
            for event in self.story.events
            for term in EVENT_TYPES[event.type].eff
            if term.name == "at"
        }
        return {self.story.hero} | (moved & set(self.say.people))

    def about_numbers(self) -> None:
        """Ask how many people there are and what is left of the food and the coins."""
        n = len(self.say.people)
        if self.actors() == set(self.say.people):  # else somebody is not named in the telling
            self.add(
                "how_many",
                "people",
                ("how many people are in the story?", NUMBERS_EN[n]),
                ("故事里有几个人？", NUMBERS_ZH[n] + "个"),
            )
        for fact, value in self.story.final_state.items():
            if fact[0] not in ("count", "coins") or not isinstance(value, int) or value > 12:
                continue
            name = self.name(fact[1])
            if value < 0 or (fact[0] == "coins" and fact[1] != self.story.hero):
                continue
            noun = FOODS[fact[2]] if fact[0] == "count" else None
            en = f"how many {noun.plural if noun else 'coins'} does {name} have at the end?"
            zh = f"最后{name}有几{noun.measure + noun.zh if noun else '个铜板'}？"
            number = NUMBERS_ZH[value] + (noun.measure if noun else "个")
            self.add("how_many", "/".join(fact), (en, NUMBERS_EN[value]), (zh, number))

    def about_truth(self) -> None:
        """Ask whether something happened: half of the time something that did not."""
        people = tuple(self.say.people)
        for i, event in enumerate(self.story.events):
            if event.type in (*PAIRS, "go", "follow") or not self.dice.chance(0.5):
                continue
            asked, answer = event, ("yes", "是的")
            if self.dice.chance(0.5):
                other = altered(event, people, self.dice)
                if other is None or any(alike(other, e) for e in self.story.events):
                    continue
                asked, answer = other, ("no", "不是")
            clause = self.clause(asked)
            en = "" if self.zh else f"did {base_form(clause)}?"
            self.add("yes_no", str(i), (en, answer[0]), (f"{clause}，是这样吗？", answer[1]))

    def about_order(self) -> None:
        """Ask which of two events came first."""
        events, walking = self.story.events, ("go", "follow", "nightfall")
        told = [k for k, event in enumerate(events) if event.type not in walking]
        for k in range(min(2, len(told) // 3)):
            m = self.dice.number(0, len(told) - 2)
            i, j = told[m], told[self.dice.number(m + 1, len(told) - 1)]
            one, two = self.clause(events[i]), self.clause(events[j])
            if events[i].type == events[j].type:
                continue
            first, second = (one, two) if self.dice.chance(0.5) else (two, one)
            en = f"what happened first: {first}, or {second}?"
            self.add(
                "first", f"{k}:{i}:{j}", (en, one), (f"哪件事先发生：{first}，还是{second}？", one)
            )

    def what_if(self) -> None:
        """Ask who would have a thing if its last change of hands had not happened."""
        last: dict[str, tuple[int, Value]] = {}
        holder = {
            t: self.story.world.initial.get(("where", t)) for t in self.story.world.adjectives
        }
        for i, event in enumerate(self.story.events):
            for term in EVENT_TYPES[event.type].eff:
                if term.name == "where":
                    thing = str(event.roles[term.arguments[0]])
                    before = holder.get(thing)
                    if before is not None:
                        last[thing] = (i, before)
                    holder[thing] = event.roles[term.value]
        for thing, (i, before) in last.items():
            if before in PLACES or before in ANIMALS or self.story.events[i].type == "lose":
                continue
            clause, who = self.clause(self.story.events[i]), self.name(before)
            en = f"imagine that this had not happened: {clause}. Who would have the {thing}?"
            zh = f"如果没有发生这件事：{clause}，{self.name(thing)}会在谁那里？"
            self.add("what_if", thing, (en, who), (zh, who))


PAIRS = ("quarrel", "mend_bridge", "feast")  # two people do these together


def questions(story: Story, language: str) -> list[Question]:
    """Return every question of a story in one language.

    Args:
        story: any story of `make_story`.
        language: "en" or "zh".

    Raises:
        ValueError: if the language is neither.

    Lesson: notebooks/28_instructions.ipynb
    """
    asker = Asker(story, language)
    asker.about_causes()
    asker.about_actors()
    asker.about_things()
    asker.about_people()
    asker.about_numbers()
    asker.about_truth()
    asker.about_order()
    asker.what_if()
    return asker.found

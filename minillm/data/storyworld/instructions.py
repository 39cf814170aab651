"""Instructions about a story, each with a response whose rightness can be checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from minillm.data.storyworld.lexicon import BOYS, GIRLS
from minillm.data.storyworld.phrases import ENDINGS, TONES
from minillm.data.storyworld.planner import Dice
from minillm.data.storyworld.story import Story, check_language
from minillm.data.storyworld.tell import finish
from minillm.data.storyworld.world import Event

PEOPLE = {"en": [en for en, _ in GIRLS + BOYS], "zh": [zh for _, zh in GIRLS + BOYS]}
ENGLISH_OF = {zh: en for en, zh in GIRLS + BOYS}
CHINESE_OF = {en: zh for zh, en in ENGLISH_OF.items()}
QUIET = ("go", "follow", "nightfall", "daybreak", "rain", "clear", "snow", "storm", "drought")
ENDING_WORDS = {
    "en": {
        "happy": "ends happily",
        "sad": "ends sadly",
        "mixed": "ends neither well nor badly",
    },
    "zh": {"happy": "结局是快乐的", "sad": "结局是悲伤的", "mixed": "结局有好也有坏"},
}
ENDING_ANSWERS = {
    "en": {"happy": "Happy.", "sad": "Sad.", "mixed": "Mixed."},
    "zh": {"happy": "快乐。", "sad": "悲伤。", "mixed": "有好有坏。"},
}
PROMPTS: dict[str, dict[str, tuple[str, ...]]] = {
    "tell": {
        "en": (
            "Tell a story in which {event} and which {ending}.",
            "Write a short story about {hero} that {ending}. In it, {event}.",
            "Please make up a story: {event}. It {ending}.",
            "I want to hear a story that {ending}. It should say how {event}.",
        ),
        "zh": (
            "讲一个故事：{event}，{ending}。",
            "请写一个关于{hero}的小故事，{ending}，其中{event}。",
            "我想听一个故事，{ending}。故事里，{event}。",
            "编一个故事，要写到{event}，而且{ending}。",
        ),
    },
    "continue": {
        "en": ("Continue this story: {text}", "How does this story go on? {text}"),
        "zh": ("接着写这个故事：{text}", "这个故事后来怎么样？{text}"),
    },
    "summarise": {
        "en": ("Summarise this story in one sentence: {text}", "{text}\nWhat is this story about?"),
        "zh": ("用一句话概括这个故事：{text}", "{text}\n这个故事讲了什么？"),
    },
    "answer": {
        "en": ("{text}\n{question}", "Read the story and answer. {text} {question}"),
        "zh": ("{text}\n{question}", "读故事，回答问题。{text}{question}"),
    },
    "translate": {
        "en": ("Translate into English: {text}", "Say this in English: {text}"),
        "zh": ("翻译成中文：{text}", "用中文怎么说：{text}"),
    },
    "people": {
        "en": ("List the people in this story: {text}", "{text}\nWho is in this story?"),
        "zh": ("列出故事里的人物：{text}", "{text}\n故事里有谁？"),
    },
    "ending": {
        "en": ("Is the ending of this story happy, sad or mixed? {text}",),
        "zh": ("这个故事的结局是快乐、悲伤，还是有好有坏？{text}",),
    },
}


@dataclass(frozen=True)
class Instruction:
    """A prompt with a right response.

    Attributes:
        prompt, response: the texts.
        kind: one of the keys of `PROMPTS`.
        language: "en" or "zh".
        wanted: for kind "tell", the attributes that any good response has (hero, ending).
    """

    prompt: str
    response: str
    kind: str
    language: str
    wanted: Mapping[str, str] = field(default_factory=dict)

    def accepts(self, text: str) -> bool:
        """Say whether another response is right too.

        For "tell" its attributes decide, for "people" the set of names; the rest must be equal but
        for case, spaces and punctuation. "continue" and "summarise" have many right responses, so
        that False means only "not this one".
        """
        if self.kind == "tell":
            found = attributes_of_text(text, self.language)
            return all(found[k] == v for k, v in self.wanted.items())
        if self.kind == "people":
            mine = set(people_of_text(self.response, self.language))
            return mine == set(people_of_text(text, self.language))
        return plain(text) == plain(self.response)


def plain(text: str) -> str:
    """Lower-case a text and leave out spaces and punctuation, to compare answers."""
    return re.sub(r"[\W_]+", "", text.lower())


def people_of_text(text: str, language: str) -> list[str]:
    """Return the English names of the people of a text, each once, in order of appearance."""
    check_language(language)
    pattern = "|".join(PEOPLE[language])
    if language == "en":
        pattern = rf"\b(?:{pattern})\b"
    found = re.findall(pattern, text)
    return list(dict.fromkeys(ENGLISH_OF.get(name, name) for name in found))


def _patterns(table: Mapping[tuple[str, str], tuple[str, ...]]) -> dict[str, dict[str, re.Pattern]]:
    patterns: dict[str, dict[str, re.Pattern]] = {"en": {}, "zh": {}}
    for (language, label), wordings in table.items():
        escaped = (re.escape(w).replace(r"\{name\}", r"\S+") for w in wordings)
        patterns[language][label] = re.compile("|".join(escaped))
    return patterns


_ENDING = _patterns(ENDINGS)
_TONE = _patterns(TONES)


def attributes_of_text(text: str, language: str) -> dict[str, str]:
    """Read hero, ending and tone off a told text, for instance one that a model wrote.

    Returns:
        `hero` (the first name in it), `ending` ("happy", "sad", "mixed"), and `tone`; "" where the
        text does not show it ("plain" for the tone). On told stories all three are exact.

    Raises:
        ValueError: for a language that is neither "en" nor "zh".

    Lesson: notebooks/33_reward.ipynb
    """
    people = people_of_text(text, language)
    tail = text[-160:] if language == "en" else text[-60:]
    ending, last = "", -1
    for label, pattern in _ENDING[language].items():
        for match in pattern.finditer(tail):
            if match.end() > last:
                ending, last = label, match.end()
    tone = next((k for k, pattern in _TONE[language].items() if pattern.search(text)), "plain")
    return {"hero": people[0] if people else "", "ending": ending, "tone": tone}


def key_event(story: Story) -> Event:
    """Return the first event that moves the story: no walking and no weather."""
    return next(e for e in story.events if e.type not in QUIET)


def last_event(story: Story) -> Event:
    """Return the last event that moves the story."""
    return next(e for e in reversed(story.events) if e.type not in QUIET)


def summary(story: Story, language: str) -> str:
    """Say a story in one sentence: what began it and what it came to."""
    say = story.speaker(language, "summary")
    first, last = say.short(key_event(story)), say.short(last_event(story))
    if first == last:
        return finish(first, language)
    middle = ", and in the end " if language == "en" else "，最后"
    return finish(first + middle + last, language)


def people_list(text: str, language: str) -> str:
    """List the people whom a text names, in the order in which it does: "Mia, Tom and Bao."

    Somebody of the story's world whom the text passes over is not in the list: nobody could know.

    Returns:
        Such as 米娅、汤姆和小宝。 in Chinese; only a full stop for a text that names nobody.

    Raises:
        ValueError: for a language that is neither "en" nor "zh".
    """
    people = people_of_text(text, language)
    if language == "zh":
        people = [CHINESE_OF[name] for name in people]
    comma, last, stop = (", ", " and ", ".") if language == "en" else ("、", "和", "。")
    return last.join(filter(None, [comma.join(people[:-1]), *people[-1:]])) + stop


def _tell(story: Story, language: str, dice: Dice) -> Instruction:
    say = story.speaker(language, "prompt")
    hero = story.hero if language == "en" else story.world.people[story.hero].zh
    prompt = dice.pick(PROMPTS["tell"][language]).format(
        event=say.short(key_event(story)),
        ending=ENDING_WORDS[language][story.ending],
        hero=hero,
    )
    wanted = {"hero": story.hero, "ending": story.ending}
    prompt = finish(prompt, language)
    return Instruction(prompt, story.tell(language), "tell", language, wanted)


def _translate(story: Story, language: str, dice: Dice) -> list[Instruction]:
    other = "zh" if language == "en" else "en"
    made = []
    for _ in range(3):
        event = dice.pick(story.events)
        source = finish(story.speaker(other, "translate").short(event), other)
        target = finish(story.speaker(language, "translate").short(event), language)
        prompt = dice.pick(PROMPTS["translate"][language]).format(text=source)
        made.append(Instruction(prompt, target, "translate", language))
    return made


def instructions(story: Story, language: str) -> list[Instruction]:
    """Return instructions of every kind about one story.

    Raises:
        ValueError: if the language is neither "en" nor "zh".

    Lesson: notebooks/28_instructions.ipynb
    """
    check_language(language)
    dice = Dice(f"instructions {story.seed}")
    space = " " if language == "en" else ""
    sentences = [told.text for told in story.trace(language)]
    text = space.join(sentences)

    def make(kind: str, response: str, **more: str) -> Instruction:
        prompt = dice.pick(PROMPTS[kind][language]).format(**{"text": text, **more})
        return Instruction(prompt, response, kind, language)

    half = max(1, len(sentences) // 2)
    made = [
        _tell(story, language, dice),
        make("continue", space.join(sentences[half:]), text=space.join(sentences[:half])),
        make("summarise", summary(story, language)),
        make("people", people_list(text, language)),
        make("ending", ENDING_ANSWERS[language][story.ending]),
    ]
    asked = story.questions(language)
    for _ in range(3):
        question = dice.pick(asked)
        made.append(make("answer", question.answer, question=question.question))
    return made + _translate(story, language, dice)

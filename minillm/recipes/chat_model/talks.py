"""The talks that `chat` learns from, in English and Chinese, every answer right by construction.

one story, one question   answer, people, ending, translate, summarise, continue
one story, several turns  with greetings, thanks and questions from outside between them
a story is told           plainly, or as the first turn of a talk about it
what must not be said     a system message that makes the story a secret; and one that does not
what cannot be said       a question about somebody who is not in the story; or not of the village
small talk                who are you, what can you do
"""

import json
import os
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

from minillm.align.story_answers import REFUSAL, SECRET
from minillm.data.storyworld.instructions import ENDING_ANSWERS, Instruction, people_list
from minillm.data.storyworld.planner import Dice
from minillm.data.storyworld.story import Story
from minillm.finetune.talks import encode_talk
from minillm.recipes.chat_model.wording import (
    ABSENT,
    HERE,
    NOTHING,
    OPEN,
    OUTSIDE,
    READ,
    TELL,
    TOPICS,
    ask_outside,
)
from minillm.recipes.chat_model.worlds import CORPUS, names_in, stories
from minillm.tokenizer import Tokenizer

Talk = list[dict[str, str]]
Turn = tuple[str, str]
FIRST = {
    "answer": 27,
    "people": 6,
    "ending": 5,
    "translate": 12,
    "summarise": 2,
    "continue": 2,
    "tell": 6,
    "dialogue": 4,
    "follow": 18,
    "secret": 3,
    "open": 2,
    "absent": 7,
    "nothing": 2,
    "small": 2,
    "outside": 2,
}
"""Kind -> how many of a hundred talks, in the first part of the training."""
SECOND = {
    "answer": 32,
    "people": 8,
    "ending": 5,
    "translate": 14,
    "summarise": 1,
    "continue": 1,
    "tell": 4,
    "dialogue": 2,
    "follow": 15,
    "secret": 1,
    "open": 2,
    "absent": 10,
    "nothing": 1,
    "small": 3,
    "outside": 1,
}
"""The same in the second part: more of what the first part has not learned, fewer stories."""
ABSENT_KINDS = ("why", "who_did", "who_has", "where_person", "feeling")
"""Questions that cannot be answered about a stranger; one for yes or no can: no."""
WHO = {"en": "Who is in this story?", "zh": "故事里有谁？"}
END = {
    "en": "Is the ending happy, sad or mixed?",
    "zh": "结局是快乐、悲伤，还是有好有坏？",
}


def make_talks(
    language: str,
    n: int,
    tokenizer: Tokenizer,
    *,
    longest: int,
    seed: int = 0,
    shares: Mapping[str, int] = FIRST,
) -> tuple[list[Talk], int]:
    """Make talks about stories of training worlds.

    Args:
        language: "en" or "zh".
        n: how many.
        tokenizer: counts.
        longest: tokens of a talk; longer ones are passed over.
        seed: which talks, and about which stories.
        shares: kind -> weight.

    Returns:
        The talks, and how many were passed over.

    Raises:
        ValueError: if the language is unknown.

    Cost: about 2 ms a talk.
    Lesson: notebooks/42_capstone.ipynb
    """
    drawn = stories("train", language, corpus=CORPUS[language] + 2 * seed)
    found: list[Talk] = []
    n_long = 0
    names = [kind for kind, share in shares.items() for _ in range(share)]
    for k in count():
        if len(found) == n:
            break
        dice = Dice(f"chat talk {seed} {language} {k}")
        talk = _talk(dice.pick(names), language, drawn, dice)
        fits = len(encode_talk(talk, tokenizer)) <= longest
        found += [talk] * fits
        n_long += not fits
    return found, n_long


def write_talks(path: Path, talks: list[Talk]) -> None:
    """Write talks as a file that `finetune` reads, whole or not at all."""
    lines = (json.dumps({"messages": talk}, ensure_ascii=False) for talk in talks)
    beside = path.with_name(path.name + ".new")
    beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.replace(beside, path)


def instruction(story: Story, language: str, kind: str, dice: Dice) -> Instruction:
    """Draw an instruction of a kind about a story."""
    return dice.pick([i for i in story.instructions(language) if i.kind == kind])


def absent_question(story: Story, other: Story, language: str, dice: Dice) -> str | None:
    """A question that names somebody who is not in the story; None if there is none."""
    strange = names_in(other, language) - names_in(story, language)
    asked = [q.question for q in other.questions(language) if q.kind in ABSENT_KINDS]
    fit = [question for question in asked if any(name in question for name in strange)]
    return dice.pick(fit) if fit else None


def follow_turns(
    story: Story, text: str, language: str, dice: Dice, n_questions: int
) -> list[Turn]:
    """A story and several questions about it, of which only the first turn holds the story."""
    asked = [(q.question, q.answer) for q in story.questions(language)]
    asked += 2 * [
        (WHO[language], people_list(text, language)),
        (END[language], ENDING_ANSWERS[language][story.ending]),
    ]
    chosen: list[Turn] = []
    while len(chosen) < n_questions:
        turn = dice.pick(asked)
        if turn not in chosen:
            chosen.append(turn)
    if dice.chance(0.5):
        opening = dice.pick(HERE[language]).format(text=text)
        return [(opening, READ[language]), *chosen]
    question, answer = chosen[0]
    gap = "\n" if dice.chance(0.5) else " " if language == "en" else ""
    return [(f"{text}{gap}{question}", answer), *chosen[1:]]


def as_talk(turns: list[Turn], system: str | None = None) -> Talk:
    """Write turns down as messages."""
    talk = [] if system is None else [{"role": "system", "content": system}]
    for user, assistant in turns:
        talk.append({"role": "user", "content": user})
        talk.append({"role": "assistant", "content": assistant})
    return talk


def _talk(kind: str, language: str, drawn: Iterator[tuple[Story, str]], dice: Dice) -> Talk:
    """One talk of a kind."""
    if kind == "small":
        return as_talk([_small_turn(language, dice) for _ in range(dice.number(1, 3))])
    if kind == "outside":
        return as_talk([(ask_outside(language, dice), OUTSIDE[language])])
    story, text = next(drawn)
    if kind == "dialogue":
        return story.dialogue(language)
    if kind == "follow":
        return as_talk(_framed(story, text, language, dice))
    if kind == "absent":
        other, _ = next(drawn)
        while (question := absent_question(story, other, language, dice)) is None:
            other, _ = next(drawn)
        return as_talk([(f"{text}\n{question}", ABSENT[language])])
    if kind == "nothing":
        return as_talk([(dice.pick(story.questions(language)).question, NOTHING[language])])
    if kind in ("secret", "open"):
        turns = follow_turns(story, text, language, dice, dice.number(1, 2))
        if kind == "open":
            return as_talk(turns, OPEN[language])
        kept = [(u, a if a == READ[language] else REFUSAL[language]) for u, a in turns]
        return as_talk(kept, SECRET[language])
    if kind == "tell" and dice.chance(0.4):
        return as_talk([(dice.pick(TELL[language]), text)])
    chosen = instruction(story, language, kind, dice)
    return as_talk([(chosen.prompt, chosen.response)])


def _small_turn(language: str, dice: Dice) -> Turn:
    topic = TOPICS[language][dice.pick(sorted(TOPICS[language]))]
    return dice.pick(topic.learned), topic.answer


def _framed(story: Story, text: str, language: str, dice: Dice) -> list[Turn]:
    """Several turns about a story, perhaps with a greeting, thanks, or a question from outside."""
    turns = follow_turns(story, text, language, dice, dice.number(2, 5))
    known = TOPICS[language]
    if dice.chance(0.15):
        turns.insert(0, (dice.pick(known["greeting"].learned), known["greeting"].answer))
    if dice.chance(0.15):
        turns.append((ask_outside(language, dice), OUTSIDE[language]))
    if dice.chance(0.2):
        turns.append((dice.pick(known["thanks"].learned), known["thanks"].answer))
    return turns

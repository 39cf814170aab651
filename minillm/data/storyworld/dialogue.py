"""Talks about a story: a user asks for it, then asks about it, and an assistant answers."""

from minillm.data.storyworld.instructions import people_list, summary
from minillm.data.storyworld.planner import Dice
from minillm.data.storyworld.questions import Question
from minillm.data.storyworld.story import Story, check_language

Message = dict[str, str]
REQUESTS = {
    "en": (
        "Tell me a story about {hero}.",
        "Do you know a story about {hero}?",
        "I would like to hear what happened to {hero}.",
        "Good evening! A story about {hero}, please.",
    ),
    "zh": (
        "给我讲一个{hero}的故事吧。",
        "你知道{hero}的故事吗？",
        "我想听听{hero}遇到了什么事。",
        "晚上好！请讲一个{hero}的故事。",
    ),
}
WHY = {
    "en": ("Why?", "Why was that?", "How did it come to that?"),
    "zh": ("为什么？", "怎么会这样？", "为什么会这样呢？"),
}
SHORTER = {
    "en": ("Say the whole story in one sentence.", "And in one sentence?"),
    "zh": ("用一句话说说整个故事。", "一句话怎么说？"),
}
PEOPLE = {
    "en": ("Who was in the story?", "Which people were in it?"),
    "zh": ("故事里有谁？", "里面有哪些人？"),
}
THANKS = {
    "en": (
        ("Thank you!", "You are welcome."),
        ("I liked that story.", "I am glad that you liked it."),
    ),
    "zh": (("谢谢你！", "不客气。"), ("我喜欢这个故事。", "你喜欢就好。")),
}


def dialogue(story: Story, language: str) -> list[Message]:
    """Return one talk of several turns, as messages with "role" and "content".

    The first turn asks for the story; the next ask about it, one perhaps only "Why?", which can
    only be answered by looking at the turn before.

    Raises:
        ValueError: if the language is neither "en" nor "zh".

    Lesson: notebooks/28_instructions.ipynb
    """
    check_language(language)
    dice = Dice(f"dialogue {story.seed}")
    hero = story.hero if language == "en" else story.world.people[story.hero].zh
    text = story.tell(language)
    turns = [(dice.pick(REQUESTS[language]).format(hero=hero), text)]
    asked = story.questions(language)
    turns += _who_and_why(asked, dice, language)
    others = [q for q in asked if q.kind not in ("why", "who_did")]
    for _ in range(dice.number(1, 2)):
        question = dice.pick(others)
        if all(question.question != said for said, _ in turns):
            turns.append((question.question, question.answer))
    if dice.chance(0.5):
        turns.append((dice.pick(SHORTER[language]), summary(story, language)))
    if dice.chance(0.4):
        turns.append((dice.pick(PEOPLE[language]), people_list(text, language)))
    if dice.chance(0.4):
        turns.append(dice.pick(THANKS[language]))
    messages = []
    for user, assistant in turns:
        messages.append({"role": "user", "content": user})
        messages.append({"role": "assistant", "content": assistant})
    return messages


def _who_and_why(asked: list[Question], dice: Dice, language: str) -> list[tuple[str, str]]:
    """Ask who did something and then only "Why?", where both have answers."""
    reasons = {q.id.split(":")[1]: q for q in asked if q.kind == "why"}
    who = [q for q in asked if q.kind == "who_did" and q.id.split(":")[1] in reasons]
    if not who:
        return []
    first = dice.pick(who)
    reason = reasons[first.id.split(":")[1]]
    return [(first.question, first.answer), (dice.pick(WHY[language]), reason.answer)]

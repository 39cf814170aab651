"""Short stories with questions below them, as plain text: what a base model learns to answer from.

    <story>

    Question: Who found the pony?
    Answer: Mia.

The base models of the course are not chat models yet, so a question is put to them in this form,
and they continue it.
"""

from collections.abc import Collection, Iterator

from minillm.data.storyworld.planner import Dice
from minillm.data.storyworld.questions import Question
from minillm.data.storyworld.story import Story, check_language, make_story, story_seed

ASK = {"en": ("Question:", "Answer:"), "zh": ("问：", "答：")}
SHORT = {"en": 390, "zh": 130}
"""Characters of a story that fits, with a question, into a context of 128 tokens."""


def question_prompt(story: str, question: str, language: str) -> str:
    """Write the text that a base model continues with its answer.

    Args:
        story: the text that the question is about.
        question: one sentence, in the same language.
        language: "en" or "zh".

    Returns:
        The story, an empty line, the question, and the word that the answer follows; without a
        space at the end, because the space belongs to the first token of the answer.

    Raises:
        ValueError: if the language is neither "en" nor "zh".

    Lesson: notebooks/00_tour.ipynb
    """
    check_language(language)
    ask, answer = ASK[language]
    space = " " if language == "en" else ""
    return f"{story.strip()}\n\n{ask}{space}{question.strip()}\n{answer}"


def short_stories(seed: int, language: str) -> Iterator[tuple[Story, str]]:
    """Yield stories of a corpus, with their texts, that are short enough for a small context."""
    check_language(language)
    index = 0
    while True:
        story = make_story(story_seed(seed, index))
        index += 1
        if story.attributes["length"] != "short":
            continue  # telling is the slow part, so the long ones are left out before it
        text = story.tell(language)
        if len(text) <= SHORT[language]:
            yield story, text


def quiz(
    story: Story, language: str, n_questions: int, kinds: Collection[str] | None = None
) -> list[Question]:
    """Draw questions about a story, of different kinds where possible; always the same ones.

    With kinds, only questions of these kinds are drawn, and there may be none.
    """
    left = [q for q in story.questions(language) if kinds is None or q.kind in kinds]
    dice = Dice(f"quiz {language} {story.seed}")
    drawn: list[Question] = []
    while left and len(drawn) < n_questions:
        kinds = {q.kind for q in drawn}
        fresh = [q for q in left if q.kind not in kinds] or left
        names = sorted({q.kind for q in fresh})
        kind = names[dice.number(0, len(names) - 1)]
        of_kind = [q for q in fresh if q.kind == kind]
        drawn.append(of_kind[dice.number(0, len(of_kind) - 1)])
        left.remove(drawn[-1])
    return drawn


def make_quiz_corpus(
    seed: int,
    n_texts: int,
    language: str,
    n_questions: int = 1,
    kinds: Collection[str] | None = None,
) -> list[str]:
    """Make a synthetic corpus of short stories, each with questions and answers below it.

    Args:
        seed: which corpus; the course trains on seed 0 and validates on seed 1.
        n_texts: how many.
        language: "en" or "zh".
        n_questions: below each story.
        kinds: of questions, such as ("feeling", "who_did"); None takes all that there are. A
            story to which no such question fits stands alone.

    Returns:
        The texts; text k depends on seed and k only.

    Raises:
        ValueError: for a negative number or another language.

    Lesson: notebooks/00_tour.ipynb
    """
    check_language(language)
    if n_texts < 0 or n_questions < 1:
        raise ValueError(f"need n_texts >= 0 and n_questions >= 1, got {n_texts}, {n_questions}")
    space = " " if language == "en" else ""
    source = short_stories(seed, language)
    texts = []
    for _ in range(n_texts):
        story, text = next(source)
        for question in quiz(story, language, n_questions, kinds):
            prompt = question_prompt(text, question.question, language)
            text = f"{prompt}{space}{question.answer}"
        texts.append(text)
    return texts

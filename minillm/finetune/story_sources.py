"""Four small data sets drawn from storyworld, and five wordings of each.

    ending     a story; does it end happily, sadly, or with both?            3 labels
    present    a story and a name; is this person in it?                     2 labels
    yes_no     a story and a question; yes or no?                            2 labels
    question   a story and a question; its answer                            free text

Every example is right by construction, because the simulator knows what happened. As in P3 the last
wording of each turns the task around. Data and wordings may be in different languages, as in xP3.
"""

from minillm.data.storyworld import Story
from minillm.data.storyworld.instructions import ENGLISH_OF, PEOPLE
from minillm.data.storyworld.planner import Dice
from minillm.data.storyworld.story import check_language
from minillm.finetune.prompt_sources import Example, PromptSource, PromptTemplate

ENDINGS = ("happy", "sad", "mixed")
TASKS = ("ending", "present", "yes_no", "question")
_ENDING = ("Happily.", "Sadly.", "Neither well nor badly.")
_ENDING_ZH = ("快乐。", "悲伤。", "有好有坏。")
_YES = ("No.", "Yes.")
_YES_ZH = ("不是。", "是的。")

SOURCES: dict[str, PromptSource] = {
    "ending": PromptSource(
        "ending",
        (
            PromptTemplate(
                "below", "{{story}}\nHow does this end? ||| {{choices[label]}}", "en", _ENDING
            ),
            PromptTemplate(
                "above", "How does this story end? {{story}} ||| {{choices[label]}}", "en", _ENDING
            ),
            PromptTemplate(
                "one word",
                "{{story}}\nThe ending is happy, sad or mixed? One word. ||| {{choices[label]}}",
                "en",
                ENDINGS,
            ),
            PromptTemplate(
                "问", "{{story}}\n结局怎么样？ ||| {{choices[label]}}", "zh", _ENDING_ZH
            ),
            PromptTemplate(
                "back",
                "Tell a story that ends like this: {{choices[label]}} ||| {{story}}",
                "en",
                _ENDING,
                original=False,
            ),
        ),
    ),
    "present": PromptSource(
        "present",
        (
            PromptTemplate(
                "is", "{{story}}\nIs {{person}} in this story? ||| {{choices[label]}}", "en", _YES
            ),
            PromptTemplate(
                "read",
                "Read this: {{story}} Does it speak of {{person}}? ||| {{choices[label]}}",
                "en",
                _YES,
            ),
            PromptTemplate(
                "correct",
                "{{story}}\n{{person}} is in it. Right or wrong? ||| {{choices[label]}}",
                "en",
                ("Wrong.", "Right."),
            ),
            PromptTemplate(
                "问", "{{story}}\n故事里有{{person}}吗？ ||| {{choices[label]}}", "zh", _YES_ZH
            ),
            PromptTemplate(
                "back",
                "Is {{person}} in it? {{choices[label]}} Which story is it? ||| {{story}}",
                "en",
                _YES,
                original=False,
            ),
        ),
    ),
    "yes_no": PromptSource(
        "yes_no",
        (
            PromptTemplate("below", "{{story}}\n{{question}} ||| {{choices[label]}}", "en", _YES),
            PromptTemplate(
                "first", "{{question}} Read: {{story}} ||| {{choices[label]}}", "en", _YES
            ),
            PromptTemplate(
                "true",
                "{{story}}\n{{question}} Say true or false. ||| {{choices[label]}}",
                "en",
                ("False.", "True."),
            ),
            PromptTemplate(
                "问", "{{story}}\n{{question}}是还是不是？ ||| {{choices[label]}}", "zh", _YES_ZH
            ),
            PromptTemplate(
                "back",
                "{{story}}\nAsk something whose answer is: {{choices[label]}} ||| {{question}}",
                "en",
                _YES,
                original=False,
            ),
        ),
    ),
    "question": PromptSource(
        "question",
        (
            PromptTemplate("below", "{{story}}\n{{question}} ||| {{answer}}"),
            PromptTemplate("first", "{{question}} The story: {{story}} ||| {{answer}}"),
            PromptTemplate("answer", "{{story}}\nAnswer this: {{question}} ||| {{answer}}"),
            PromptTemplate("问", "读故事，回答问题。{{story}}{{question}} ||| {{answer}}", "zh"),
            PromptTemplate(
                "back",
                "{{story}}\nAsk what is answered by: {{answer}} ||| {{question}}",
                original=False,
            ),
        ),
    ),
}


def story_examples(task: str, story: Story, language: str = "en") -> list[Example]:
    """Draw the examples of one task from one story.

    Args:
        task: one of TASKS.
        story: what it is about.
        language: "en" or "zh", of the data.

    Returns:
        One example for "ending", two for "present" (one with each label), and one for each question
        of the story for the others. They depend on nothing but the arguments.

    Raises:
        ValueError: if the task or the language is unknown.

    Source: the design is that of P3: Sanh et al. 2021, arXiv:2110.08207, section 4.
    Lesson: notebooks/28_instructions.ipynb
    """
    check_language(language)
    text = story.tell(language)
    if task == "ending":
        return [{"story": text, "label": ENDINGS.index(story.ending)}]
    if task == "present":
        dice = Dice(f"present {story.seed}")
        known = [name for name in PEOPLE[language] if _english(name) in story.world.people]
        others = [name for name in PEOPLE[language] if _english(name) not in story.world.people]
        return [
            {"story": text, "person": dice.pick(names), "label": label}
            for label, names in ((0, others), (1, known))
        ]
    asked = story.questions(language)
    if task == "yes_no":
        yes = "Yes" if language == "en" else "是"
        return [
            {"story": text, "question": q.question, "label": int(q.answer.startswith(yes))}
            for q in asked
            if q.kind == "yes_no"
        ]
    if task == "question":
        return [
            {"story": text, "question": q.question, "answer": q.answer}
            for q in asked
            if q.kind != "yes_no"
        ]
    raise ValueError(f"task must be one of {', '.join(TASKS)}; got {task!r}")


def _english(name: str) -> str:
    return ENGLISH_OF.get(name, name)

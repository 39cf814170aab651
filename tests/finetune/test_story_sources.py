"""The toy data sets: their labels against the simulator, and every wording of every task."""

import pytest

from minillm.data.storyworld import make_story
from minillm.data.storyworld.instructions import people_of_text
from minillm.finetune.chat import check_messages
from minillm.finetune.prompt_sources import prompted
from minillm.finetune.story_sources import ENDINGS, SOURCES, TASKS, story_examples

STORIES = [make_story(seed) for seed in range(12)]


def examples(task, language="en"):
    return [example for story in STORIES for example in story_examples(task, story, language)]


def test_four_tasks_in_five_wordings():
    assert tuple(SOURCES) == TASKS
    for task, source in SOURCES.items():
        assert source.task == task
        assert len(source.templates) == 5
        assert [t.original for t in source.templates] == 4 * [True] + [False]
        assert [t.language for t in source.templates].count("zh") == 1


@pytest.mark.parametrize("task", TASKS)
def test_every_example_is_a_talk_in_every_wording(task):
    made = list(prompted(SOURCES[task], story_examples(task, STORIES[0])))
    assert len(made) == 5 * len(story_examples(task, STORIES[0]))
    for one in made:
        check_messages(one.messages)
        assert "{" not in one.messages[0]["content"]
    forward = [one.messages[0]["content"] for one in made if one.template != "back"]
    assert len(set(forward)) == len(forward)  # no two ask the same


@pytest.mark.parametrize("task", ["ending", "present", "yes_no"])
def test_labels_are_read_back_in_every_wording(task):
    for template in SOURCES[task].templates[:4]:
        for label in range(3 if task == "ending" else 2):
            row = {"story": "s", "person": "p", "question": "q", "label": label}
            assert template.label_of(template.fill(row)[1]) == label


def test_endings_are_those_of_the_stories():
    assert [ENDINGS[e["label"]] for e in examples("ending")] == [s.ending for s in STORIES]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_people_are_present_or_not(language):
    found = examples("present", language)
    assert [e["label"] for e in found] == 12 * [0, 1]
    for e in found:
        (name,) = people_of_text(e["person"], language)
        world = STORIES[found.index(e) // 2].world.people
        assert (name in world) == bool(e["label"])
    assert len({e["person"] for e in found if not e["label"]}) > 4  # not one name always


@pytest.mark.parametrize("language", ["en", "zh"])
def test_questions_have_the_answers_of_the_story(language):
    asked = [q for story in STORIES for q in story.questions(language)]
    free = [q for q in asked if q.kind != "yes_no"]
    assert [(e["question"], e["answer"]) for e in examples("question", language)] == [
        (q.question, q.answer) for q in free
    ]
    closed = [q for q in asked if q.kind == "yes_no"]
    labels = [e["label"] for e in examples("yes_no", language)]
    assert {0, 1} == set(labels)
    answers = {label: {q.answer for q, n in zip(closed, labels, strict=True) if n == label}
               for label in (0, 1)}  # fmt: skip
    assert len(answers[0]) == len(answers[1]) == 1  # one word each


def test_both_languages_have_the_same_labels():
    for task in ("ending", "present", "yes_no"):
        en, zh = examples(task), examples(task, "zh")
        assert [e["label"] for e in en] == [e["label"] for e in zh]


def test_bad_input():
    with pytest.raises(ValueError, match="task must be one of ending, present"):
        story_examples("tell", STORIES[0])
    with pytest.raises(ValueError, match="'fr'"):
        story_examples("ending", STORIES[0], "fr")

"""Tasks: their answers pass their own check, wrong ones do not, and no world is in both parts."""

import hashlib

import pytest

from minillm.data.doctests import Doctest
from minillm.data.storyworld.instructions import people_of_text
from minillm.data.storyworld.story import make_story, story_seed
from minillm.finetune.chat import check_messages
from minillm.finetune.tasks import (
    CHECKED,
    PARTS,
    STORY_CORPUS,
    TEST_SHARE,
    doctest_tasks,
    part_of,
    story_tasks,
    world_name,
)

N = 40


@pytest.fixture(scope="module")
def tasks():
    return {part: story_tasks(part, N) for part in PARTS}


def test_answers_pass_their_check_and_others_do_not(tasks):
    for task in [*tasks["train"], *tasks["test"]]:
        assert task.check(task.answer)
        assert not task.check("I do not know.")
        assert not task.check("")
    people = next(t for t in tasks["train"] if t.kind == "people")
    names = people_of_text(people.answer, "en")
    assert people.check(" and ".join(reversed(names)))  # another order is right as well
    assert not people.check(" and ".join(names[1:]))


def test_tasks_are_talks(tasks):
    for task in tasks["train"]:
        talk = task.talk()
        check_messages(talk)
        assert [message["role"] for message in talk] == ["user", "assistant"]
        assert talk[-1]["content"] == task.answer
    assert {task.kind for task in tasks["train"]} == {"answer", "people", "ending", "translate"}


def seed_of(task):
    return int(task.about.removeprefix("story "))


def test_no_world_is_in_both_parts(tasks):
    worlds = {}
    for part in PARTS:
        seeds = [seed_of(task) for task in tasks[part]]
        assert len(set(seeds)) == N  # one task a story
        assert all(seed >> 32 == STORY_CORPUS for seed in seeds)
        worlds[part] = {world_name(make_story(seed).world) for seed in seeds}
        assert all(part_of(world) == part for world in worlds[part])
    assert not worlds["train"] & worlds["test"]


def test_the_part_is_that_of_the_world_by_hand():
    digest = hashlib.sha256(b"a world").digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    assert part_of("a world") == ("test" if share < TEST_SHARE else "train")
    parts = [part_of(str(i)) for i in range(2_000)]
    assert parts.count("test") / 2_000 == pytest.approx(TEST_SHARE, abs=0.03)


def test_a_world_is_what_there_is_at_the_beginning():
    names = [world_name(make_story(story_seed(STORY_CORPUS, i)).world) for i in range(30)]
    assert len(set(names)) == 30
    story = make_story(5)
    assert world_name(story.world) == world_name(make_story(5).world)
    for person in story.world.people.values():
        assert repr((person.name, person.role)) in world_name(story.world)
    for fact, value in story.world.initial.items():
        assert repr((*fact, str(value))) in world_name(story.world)


def test_tasks_are_the_same_ones_and_do_not_depend_on_their_number(tasks):
    assert story_tasks("train", 5) == tasks["train"][:5]
    assert story_tasks("train", 0) == []
    assert story_tasks("train", 3, corpus=STORY_CORPUS + 1) != tasks["train"][:3]


def test_several_tasks_about_one_story():
    found = story_tasks("train", 12, per_story=4, kinds=("answer", "translate"))
    about = [task.about for task in found]
    assert about == sorted(about, key=about.index)
    assert len(set(about)) < 12
    assert len({(t.about, t.messages[0]["content"]) for t in found}) == 12
    assert {task.kind for task in found} == {"answer", "translate"}


def test_chinese_tasks():
    for task in story_tasks("test", 6, language="zh"):
        assert task.check(task.answer)
        assert any("\u4e00" <= c <= "\u9fff" for c in task.messages[0]["content"])


def test_stories_are_told_whole_and_short():
    for task in story_tasks("train", 3, kinds=("tell",), longest=300):
        assert len(task.answer) <= 300
        assert task.check(task.answer)


# --- doctests

PLACE = next(f"python/m{i}.py" for i in range(99) if part_of(f"python/m{i}.py") == "train")
OTHER = next(f"python/m{i}.py" for i in range(99) if part_of(f"python/m{i}.py") == "test")
RIGHT = Doctest("python/math.py::f", "1 + 1\n", "2\n")


def asked(*pairs, place=PLACE, **more):
    return [Doctest(f"{place}::f{i}", s, w, **more) for i, (s, w) in enumerate(pairs)]


def test_doctests_that_stand_alone_become_tasks():
    good = asked(("1 + 1\n", "2\n"), ("'a' * 2\n", "'aa'\n"))
    bad = asked(
        ("print(1, 2, sep='\\n')\n", "1\n2\n"),
        ("object()\n", "<object ...>\n"),
        ("len(\n    'a' * 500)\n", "500" + "0" * 200 + "\n"),
    )
    needs = asked(("x\n", "1\n"), before=("x = 1\n",))
    found = doctest_tasks("train", good + bad + needs, 9, verify=False)
    assert {task.answer for task in found} == {"2", "'aa'"}
    assert {task.about for task in found} == {PLACE}
    for task in found:
        assert task.check(task.answer)
        assert task.check(f"  {task.answer} ")
        assert not task.check(task.answer + "0")
        assert ">>> " in task.messages[0]["content"]
        assert task.answer not in task.messages[0]["content"].replace("'a' * 2", "")
    assert len(doctest_tasks("train", good, 1, verify=False)) == 1
    assert doctest_tasks("train", good + good, 9, verify=False) == found  # each once


def test_true_is_not_one():
    (task,) = doctest_tasks("train", asked(("1 == 1\n", "1\n")), 9, verify=False)
    assert not task.check("True")


def test_no_file_is_in_both_parts():
    questions = asked(("1\n", "1\n")) + asked(("2\n", "2\n"), place=OTHER)
    for part, place in (("train", PLACE), ("test", OTHER)):
        (task,) = doctest_tasks(part, questions, 9, verify=False)
        assert task.about == place


def test_a_doctest_is_believed_when_it_was_run():
    origin = next(
        f"python/{name}.py" for name in ("math", "re", "json", "string", "random", "bisect")
        if part_of(f"python/{name}.py") == "train"
    )  # fmt: skip
    questions = asked(("1 + 1\n", "2\n"), ("1 + 2\n", "4\n"), place=origin)
    (task,) = doctest_tasks("train", questions, 9)
    assert task.answer == "2"
    assert len(doctest_tasks("train", questions, 9, verify=False)) == 2


def test_what_a_model_says_is_not_run():
    (task,) = doctest_tasks("train", asked(("1 + 1\n", "2\n")), 1, verify=False)
    assert not task.check("1 + 1")
    assert not task.check("__import__('sys').exit()")


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: story_tasks("validation", 1), "part must be 'train' or 'test', got 'validation'"),
        (lambda: story_tasks("train", -1), "n_tasks must not be negative, got -1"),
        (lambda: story_tasks("train", 1, per_story=0), "per_story must be at least 1, got 0"),
        (lambda: story_tasks("train", 1, kinds=()), f"some of {', '.join(CHECKED)}"),
        (lambda: story_tasks("train", 1, kinds=("continue",)), "got .'continue'"),
        (lambda: story_tasks("train", 1, language="fr"), "language must be 'en' or 'zh'"),
        (lambda: story_tasks("train", 1, longest=20), "at least 195 characters, got 20"),
        (lambda: doctest_tasks("all", [], 1), "part must be 'train' or 'test'"),
        (lambda: doctest_tasks("train", [], -1), "need n_tasks >= 0"),
        (lambda: doctest_tasks("train", [], 1, longest=0), "longest >= 1, got 1 and 0"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()

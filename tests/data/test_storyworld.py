"""Stories: the same on every machine, same events in both languages, few repeats, good grammar."""

import hashlib
import re
import subprocess
import sys

import pytest

from minillm.data.storyworld import make_corpus, make_story, stories, story_seed
from minillm.data.storyworld.lexicon import THINGS, article
from minillm.data.storyworld.planner import Dice
from minillm.data.storyworld.tell import TEMPLATES, finish
from minillm.data.storyworld.words import (
    NOUNS,
    compile_template,
    fixed_phrase,
    noun_en,
    noun_zh,
    number_phrase,
)
from minillm.data.storyworld.world import EVENT_TYPES, parse_terms

LANGUAGES = ("en", "zh")


@pytest.fixture(scope="module")
def some():
    return [make_story(seed) for seed in range(400)]


DIGESTS = {"en": "71ce9c8ad4a5f31e", "zh": "c7b66ca888454420"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_text_is_the_same_on_every_machine_and_python(language):
    text = "\n".join(make_corpus(0, 20, language))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[language]


def test_a_story_does_not_depend_on_the_hash_seed_of_the_process():
    code = (
        "from minillm.data.storyworld import make_story as m; print(m(5).tell('zh'), m(6).events)"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
    assert told != {b""}


def test_story_k_does_not_depend_on_how_many_are_made():
    assert make_corpus(3, 4, "en") == make_corpus(3, 9, "en")[:4]
    assert make_corpus(3, 2, "en")[1] == make_story(story_seed(3, 1)).tell("en")


def test_corpora_of_two_seeds_share_no_story_seed():
    assert {story_seed(0, k) for k in range(100)} & {story_seed(1, k) for k in range(100)} == set()
    assert story_seed(0, 2**32 - 1) + 1 == story_seed(1, 0)


def test_few_of_many_stories_are_repeats_and_validation_is_new():
    train = make_corpus(0, 10_000, "en")
    held_out = make_corpus(1, 500, "en")
    repeats = 1 - len(set(train)) / len(train)
    print(f"\nduplicate rate of 10 000 English stories: {repeats:.4%}")
    assert repeats < 0.001
    assert not set(train) & set(held_out)


def test_two_tellings_say_the_same_events_in_other_words(some):
    assert some[0].tell("en", telling=1) != some[0].tell("en", telling=2)
    assert some[0].tell("en", telling=1) == make_story(0).tell("en", telling=1)
    for story in some[:50]:
        for language in LANGUAGES:
            order = [i for told in story.trace(language, telling=3) for i in told.events]
            assert order == list(range(len(story.events)))


def test_the_village_has_at_least_forty_kinds_of_events_and_all_of_them_happen():
    seen = {event.type for seed in range(1500) for event in make_story(seed).events}
    assert len(EVENT_TYPES) >= 40
    assert seen >= set(EVENT_TYPES) - {"snow"}


def test_each_kind_of_event_can_be_said_in_several_ways_with_a_plain_clause_first():
    for language in LANGUAGES:
        for name, wordings in TEMPLATES[language].items():
            assert len(wordings) >= 3, name
            assert not wordings[0][1], f"{name}: the first wording must be a clause"
    for kind in EVENT_TYPES.values():
        letters = set(kind.roles)
        for template in (*kind.en, *kind.zh):
            used = {letter for _, letter, _ in compile_template(template)} - {"", "_"}
            assert used <= letters, (kind.name, template)
        for term in (*kind.pre, *kind.why, *kind.eff):
            single = {p for p in (*term.arguments, term.value) if len(p) == 1 and p.isalpha()}
            assert single <= letters, (kind.name, term)


def test_attributes_speak_of_the_story_and_are_spread(some):
    for key, values in (
        ("ending", {"happy", "sad", "mixed"}),
        ("tone", {"plain", "lively", "gentle"}),
        ("length", {"short", "medium", "long"}),
    ):
        found = [story.attributes[key] for story in some]
        assert set(found) == values
        assert max(found.count(v) for v in values) < 0.75 * len(found)
    for story in some:
        n = len(story.events)
        assert story.attributes["n_events"] == n
        assert story.attributes["length"] == (
            "short" if n <= 9 else "medium" if n <= 18 else "long"
        )
        assert story.attributes["hero"] == story.hero
        assert any(story.hero in event.roles.values() for event in story.events)


def test_a_happy_last_arc_after_a_sad_one_ends_mixed(some):
    late = [s for s in some if len(s.outcomes) > 1 and s.outcomes[-1][1] == "happy"]
    for story in late:
        wanted = "mixed" if any(o == "sad" for _, o in story.outcomes[:-1]) else "happy"
        assert story.ending == wanted
    assert {story.ending for story in late} == {"happy", "mixed"}


def test_english_is_clean(some):
    for story in some:
        text = story.tell("en")
        assert not re.search(r"\b[Aa] [aeiou]\w|\b[Aa]n [^aeiouAEIOU\W]", text), text
        assert not re.search(r"[{}_]|  |\s[.,;!?]|[,;]\s*[.,;]|\.\.", text), text
        assert not re.search(r"\b(\w+) \1\b", text.lower().replace("hurry, hurry", "")), text
        assert all(told.text[-1] in ".!?”" for told in story.trace("en"))
        assert not re.search(r"(?:^|[.!?] )[a-z]", text), text
        assert text.count("“") == text.count("”")


def test_chinese_is_clean(some):
    for story in some:
        text = story.tell("zh")
        assert not re.search(r"[A-Za-z{}_ .,;!?]", text), text
        assert not re.search(r"[，；。][，；。]|的的|了了", text), text
        assert all(told.text[-1] in "。！？”" for told in story.trace("zh"))
        assert "二个" not in text


def test_a_pronoun_never_stands_where_two_people_could_be_meant(some):
    """No sentence has a pronoun and two people of its gender in sight without saying a name."""
    for story in some:
        people = story.world.people
        before: set[str] = set()
        for told in story.trace("en"):
            now = {n for n in people if re.search(rf"\b{n}\b", told.text)}
            if re.match(r"(She|He) ", told.text) and told.events:
                female = told.text.startswith("She")
                same = {n for n in before if people[n].female == female}
                if before:
                    assert len(same) <= 1, (story.seed, told.text, before)
            before = now or before


def test_articles_numbers_and_measure_words_by_hand():
    assert article("apple") == "an"
    assert article("old key") == "an"
    assert article("key") == "a"
    assert noun_en(THINGS["key"], "a", "old") == "an old key"
    assert noun_en(THINGS["key"], "", "old") == "the key"
    assert noun_en(THINGS["key"], "an", "old") == "old key"
    assert noun_zh(THINGS["key"], "a", "old") == "一把旧钥匙"
    assert noun_zh(THINGS["ball"], "an", "red") == "红色球"
    assert noun_zh(THINGS["ball"], "a", "red") == "一个红色的球"
    assert noun_zh(THINGS["key"], "m", "") == "把"
    assert number_phrase(1, NOUNS["apple"], "en") == "one apple"
    assert number_phrase(3, NOUNS["potato"], "en") == "three potatoes"
    assert number_phrase(2, NOUNS["carrot"], "zh") == "两根胡萝卜"
    assert number_phrase(15, NOUNS["coin"], "en") == "15 coins"
    assert fixed_phrase("river", "at", "en") == "by the river"
    assert fixed_phrase("river", "to", "en") == "to the river"
    assert fixed_phrase("mill", "g", "en") == "the mill's"
    assert fixed_phrase("market", "at", "zh") == "市场上"
    assert fixed_phrase("to swim", "", "en") == "swim"
    assert fixed_phrase("to swim", "", "zh") == "游泳"


def test_a_sentence_gets_its_capital_and_its_stop():
    assert finish("“three coins,” he said", "en") == "“Three coins,” he said."
    assert finish("it rained", "en") == "It rained."
    assert finish("“Stop!”", "en") == "“Stop!”"
    assert finish("下雨了", "zh") == "下雨了。"


def test_dice_reach_both_ends():
    dice = Dice(1)
    assert {dice.number(2, 4) for _ in range(100)} == {2, 3, 4}
    assert {dice.pick("ab") for _ in range(50)} == {"a", "b"}
    assert not dice.chance(0.0)
    assert dice.chance(1.0)


def test_the_command_line_prints_stories_under_their_seeds():
    command = [sys.executable, "-m", "minillm.data.storyworld", "--n", "2", "--language", "zh"]
    env = {"PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, capture_output=True, check=True, env=env)
    out = done.stdout.decode()
    assert "# synthetic story, make_story(1)" in out
    assert make_story(1).tell("zh") in out


def test_wrong_arguments_are_refused_by_name():
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        make_story(-1)
    with pytest.raises(ValueError, match="'en' or 'zh', got 'de'"):
        make_story(1).tell("de")
    with pytest.raises(ValueError, match="n_stories must be at least 0, got -2"):
        make_corpus(0, -2, "en")
    with pytest.raises(ValueError, match="'fr'"):
        make_corpus(0, 0, "fr")
    with pytest.raises(ValueError, match="index"):
        story_seed(0, 2**32)
    with pytest.raises(ValueError, match="cannot read"):
        parse_terms("where x is a")
    with pytest.raises(ValueError, match="no 'dragon'"):
        fixed_phrase("dragon", "", "en")
    assert make_corpus(0, 0, "en") == []
    assert len(list(stories(0, 3))) == 3

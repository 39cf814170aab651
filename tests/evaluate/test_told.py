"""Stories that a model tells: begun, told and judged."""

import pytest
import torch

from minillm.data.storyworld.story import make_corpus
from minillm.evaluate.told import judge_stories, story_of, story_prompts, tell_stories
from minillm.model import Decoder
from minillm.recipes import base
from minillm.recipes.runs import decoder
from minillm.tokenizer import course_tokenizer


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return Decoder(decoder(6_144, d_model=16, n_layers=1, n_heads=2, context=24)).eval()


def test_prompts_are_beginnings():
    texts = make_corpus(2, 5, "en")
    for text, one, two in zip(
        texts, story_prompts(texts, "en"), story_prompts(texts, "en", 2), strict=True
    ):
        assert text.startswith(one)
        assert text.startswith(two)
        assert len(one) < len(two) < len(text)
    chinese = make_corpus(2, 1, "zh")
    assert chinese[0].startswith(story_prompts(chinese, "zh", 2)[0])


def test_a_story_depends_on_its_number_and_the_seed_only(untrained):
    tokenizer = course_tokenizer()
    told = tell_stories(untrained, tokenizer, ["Once", "There"], seed=3)
    assert told == tell_stories(untrained, tokenizer, ["Once", "There"], seed=3)
    assert told[:1] == tell_stories(untrained, tokenizer, ["Once"], seed=3)
    assert told != tell_stories(untrained, tokenizer, ["Once", "There"], seed=4)
    same = tell_stories(untrained, tokenizer, ["Once", "Once"], seed=3)
    assert same[0] != same[1]
    assert all(text.startswith(p) for text, p in zip(told, ("Once", "There"), strict=True))


def test_it_is_cut_where_it_should_be(untrained):
    tokenizer = course_tokenizer()
    (text,) = tell_stories(untrained, tokenizer, ["Once"], max_tokens=3, temperature=0.0)
    assert len(tokenizer.encode(text)) <= len(tokenizer.encode("Once")) + 3
    (whole,) = tell_stories(untrained, tokenizer, ["Once"], temperature=0.0)
    assert "<|endoftext|>" not in whole


def test_the_small_base_model_ends_its_stories():
    model, tokenizer = base("draft")
    (text,) = tell_stories(model, tokenizer, ["Once there was a girl named Mia."], seed=1)
    assert text.startswith("Once there was a girl named Mia.")
    scores, (judged,) = judge_stories([text], "en")
    assert judged.n_sentences > 2
    assert scores.sentences.n == judged.n_sentences


def test_scores_of_a_known_pile():
    good = make_corpus(2, 4, "en")
    cut = [text.rsplit(". ", 1)[0] for text in good[:1]]  # its end is missing
    scores, judged = judge_stories([*good, good[0], *cut], "en")
    assert scores.consistent.value == pytest.approx(5 / 6)
    assert scores.complete.value == pytest.approx(5 / 6)
    assert scores.distinct == pytest.approx(5 / 6)
    assert scores.grammatical.value == pytest.approx(5 / 6)  # the last sentence has no full stop
    n = sum(j.n_sentences for j in judged)
    assert scores.sentences.value == pytest.approx((n - 1) / n)
    assert scores.events == pytest.approx(sum(j.n_events for j in judged) / 6)


def test_a_question_below_a_story_is_not_judged():
    (good,) = make_corpus(2, 1, "en")
    asked = f"{good}\n\nQuestion: Who cried?\nAnswer: Nobody."
    assert story_of(asked) == story_of(good) == good
    assert judge_stories([asked], "en")[0].consistent.value == 1


def test_bad_input_is_refused(untrained):
    tokenizer = course_tokenizer()
    with pytest.raises(ValueError, match="give at least one prompt"):
        tell_stories(untrained, tokenizer, [])
    with pytest.raises(ValueError, match=r"prompt 1 has \d+ tokens, the model's context is 24"):
        tell_stories(untrained, tokenizer, ["Once", "word " * 30])
    with pytest.raises(ValueError, match="no story to judge"):
        judge_stories([], "en")
    with pytest.raises(ValueError, match="n_sentences must be at least 1"):
        story_prompts(["x"], "en", 0)

import itertools
import random

import numpy as np
import pytest

from minillm.data import invented_words, tagger_words
from minillm.data.detection import score_spans
from minillm.data.personal import Span, find_personal
from minillm.data.tagger import (
    TAGS,
    Tagger,
    features,
    shape_of,
    to_spans,
    to_tags,
    tokens_of,
    viterbi,
)
from minillm.data.tagger_sentences import held_out_sentences, training_sentences

B, I = TAGS.index("B-name"), TAGS.index("I-name")


@pytest.fixture(scope="module")
def trained():
    made = training_sentences(0, 200)
    return Tagger(epochs=3).fit([text for text, _ in made], [spans for _, spans in made])


def test_tokens_and_shapes():
    assert [("Mara's No. 12室"[s:e]) for s, e in tokens_of("Mara's No. 12室")] == [
        "Mara", "'", "s", "No", ".", "12", "室",
    ]  # fmt: skip
    shapes = [
        shape_of(w) for w in ("Mara", "NY", "A", "sea", "00086", "1234567", "陈", "桥", ",", "")
    ]
    assert shapes == ["Xx", "X", "Xx", "x", "99999", "999999", "姓", "字", ",", ""]
    assert "0 word=mara" in features(["met", "Mara"], 1)
    assert "-1 word=met" in features(["met", "Mara"], 1)
    assert "1 word=" in features(["met", "Mara"], 1)


def test_tags_and_back_by_hand():
    text = "We met Mara Tolvane."
    tokens = tokens_of(text)
    tags = to_tags(tokens, [Span(7, 19, "name")])
    assert tags == [0, 0, B, I, 0]
    assert to_spans(tokens, tags) == [Span(7, 19, "name")]
    assert to_spans(tokens, [0, I, 0, 0, 0]) == []  # an I that nothing began
    address = TAGS.index("I-address")  # and one of another kind does not continue
    assert to_spans(tokens, [0, 0, B, address, 0]) == [Span(7, 11, "name")]
    assert to_spans(tokens, [0, 0, B, B, 0]) == [Span(7, 11, "name"), Span(12, 19, "name")]
    with pytest.raises(ValueError, match="does not begin and end with a token"):
        to_tags(tokens, [Span(8, 19, "name")])
    with pytest.raises(ValueError, match="not one of address, name"):
        to_tags(tokens, [Span(7, 19, "email")])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_labelled_sentence_survives_the_way_there_and_back(language):
    for made in (training_sentences(1, 200, language), held_out_sentences(1, 200, language)):
        for text, spans in made:
            tokens = tokens_of(text)
            assert to_spans(tokens, to_tags(tokens, spans)) == spans


def test_an_i_follows_only_its_own_kind_however_high_its_score():
    steps = Tagger().A
    kind_of = [tag[2:] for tag in TAGS]
    for i, j in itertools.product(range(len(TAGS)), repeat=2):
        scores = np.zeros((2, len(TAGS)))
        scores[0, i] = scores[1, j] = 1000.0
        allowed = TAGS[j][0] != "I" or (kind_of[i] == kind_of[j] and TAGS[i] != "O")
        assert (viterbi(scores, steps) == [i, j]) == allowed


def test_viterbi_equals_trying_every_row():
    rng = np.random.default_rng(5)
    for T in (1, 2, 4):
        for _ in range(10):
            scores, steps = rng.normal(size=(T, 3)), rng.normal(size=(3, 3))

            def total(row, scores=scores, steps=steps):
                moves = sum(steps[i, j] for i, j in itertools.pairwise(row))
                return sum(scores[t, tag] for t, tag in enumerate(row)) + moves

            best = max(itertools.product(range(3), repeat=T), key=total)
            assert tuple(viterbi(scores, steps)) == best
    assert viterbi(np.zeros((0, 3)), np.zeros((3, 3))) == []


def test_the_averaged_weights_are_the_mean_over_all_steps():
    made = training_sentences(3, 12)
    texts, spans = [t for t, _ in made], [s for _, s in made]
    ours = Tagger(epochs=2, seed=4).fit(texts, spans)
    # the rule written out: keep all weights of all steps, and take their mean
    plain = Tagger()
    rows = [plain._rows(t, tokens_of(t), learn=True) for t in texts]
    right = [to_tags(tokens_of(t), s) for t, s in zip(texts, spans, strict=True)]
    W, A, start = np.zeros((len(plain.known) + 1, len(TAGS))), plain.A.copy(), plain.A
    sum_W, sum_A, n = np.zeros_like(W), np.zeros_like(A), 1
    sum_A += A - start
    order, rng = list(range(len(texts))), random.Random(4)
    for _ in range(2):
        rng.shuffle(order)
        for i in order:
            guess = viterbi(W[rows[i]].sum(axis=1), A)
            for tags, sign in ((right[i], 1), (guess, -1)):
                for t, tag in enumerate(tags):
                    for row in rows[i][t]:
                        W[row, tag] += sign
                    if t:
                        A[tags[t - 1], tag] += sign
            sum_W, sum_A, n = sum_W + W, sum_A + A - start, n + 1
    np.testing.assert_allclose(ours.W, sum_W / n, atol=1e-9)
    np.testing.assert_allclose(ours.A, start + sum_A / n, rtol=1e-9, atol=1e-3)


def test_it_finds_names_that_it_never_saw_where_rules_find_none(trained):
    held_out = held_out_sentences(2, 150)
    truth = [spans for _, spans in held_out]
    tagged = score_spans(truth, [trained.tag(text) for text, _ in held_out], "name")
    ruled = score_spans(truth, [find_personal(text) for text, _ in held_out], "name")
    assert tagged.recall.value > 0.8
    assert tagged.precision.value > 0.8
    assert ruled.recall.value == 0.0


def test_a_tagger_that_learned_nothing_marks_nothing():
    assert Tagger().tag("We met Mara Tolvane.") == []
    assert Tagger().tag("") == []


def test_lines_are_tagged_apart_and_places_are_right(trained):
    text = "We met Mara Tolvane.\n\nThe letter was signed by Petra Quillby."
    assert [text[s:e] for s, e, _ in trained.tag(text)] == ["Mara Tolvane", "Petra Quillby"]


def test_the_same_seed_gives_the_same_weights():
    made = training_sentences(0, 30)
    texts, spans = [t for t, _ in made], [s for _, s in made]
    one, two = (Tagger(epochs=1, seed=3).fit(texts, spans) for _ in range(2))
    assert np.array_equal(one.W, two.W)
    assert not np.array_equal(one.W, Tagger(epochs=1, seed=4).fit(texts, spans).W)


def test_nothing_held_out_was_trained_on():
    for mine, theirs in (
        (tagger_words.FIRST, invented_words.FIRST_EN),
        (tagger_words.STREETS, invented_words.STREET_WORDS),
        (tagger_words.CODES, invented_words.STATES),
        (tagger_words.FAMILY_ZH, invented_words.FAMILY_ZH),
        (tagger_words.GIVEN_ZH, invented_words.GIVEN_ZH),
        (tagger_words.CITIES_ZH, invented_words.CITY_ZH),
        (tagger_words.ROADS_ZH, invented_words.ROAD_ZH),
    ):
        assert not set(mine) & set(theirs)
    tails = [h + t for h in invented_words.LAST_HEADS for t in invented_words.LAST_TAILS]
    towns = [h + t for h in invented_words.TOWN_HEADS for t in invented_words.TOWN_TAILS]
    assert not set(tagger_words.LAST) & set(tails)
    assert not set(tagger_words.TOWNS) & set(towns)
    used = {t for made in invented_words.SENTENCES.values() for part in made.values() for t in part}
    ours = {t.replace("{name}", "{}").replace("{address}", "{}") for t in tagger_words.EN}
    assert not ours & used


def test_bad_arguments():
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        Tagger(epochs=0)
    with pytest.raises(ValueError, match="as many lists of spans"):
        Tagger().fit(["a"], [])
    with pytest.raises(ValueError, match="unknown language 'la'"):
        training_sentences(0, 1, "la")
    with pytest.raises(ValueError, match="n must not be negative"):
        held_out_sentences(0, -1)

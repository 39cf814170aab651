"""The n-gram model: by hand, against a slow literal one, against nltk, and that it sums to one."""

import itertools
import math
import random
from collections import Counter, defaultdict

import numpy as np
import pytest

from minillm.data.features import words
from minillm.data.ngram import END, START, UNKNOWN, NgramModel, perplexity_buckets
from minillm.data.ngram_counts import (
    adjusted_counts,
    closed_form_discounts,
    count_grams,
    find_rows,
)

ORDERS = (1, 2, 3, 4)


def sentences(n, seed, vocabulary="abcdefgh", longest=9):
    """Random sentences; some words are far more frequent, so that counts of all sizes occur."""
    draw = random.Random(seed)
    weights = [1 / (i + 1) for i in range(len(vocabulary))]
    return [
        " ".join(draw.choices(vocabulary, weights, k=draw.randint(1, longest))) for _ in range(n)
    ]


class Literal:
    """The formulas of the model, each as it is written, from dicts of tuples; slow."""

    def __init__(self, texts, order, discounts, cut=words, known=None, unknown=True):
        self.order, self.discounts = order, discounts
        rows = [[START, *cut(t), END] for t in texts if len(cut(t))]
        raw = Counter(
            tuple(row[i : i + k])
            for row in rows
            for k in range(1, order + 1)
            for i in range(len(row) - k + 1)
        )
        left = defaultdict(set)
        for gram in raw:
            left[gram[1:]].add(gram[0])
        self.a = {
            g: n if len(g) == order or g[0] == START else len(left[g]) for g, n in raw.items()
        }
        self.a.pop((START,))
        self.after = defaultdict(dict)
        for gram, a in self.a.items():
            self.after[gram[:-1]][gram[-1]] = a
        seen = {w for row in rows for w in row[1:]} if known is None else {*known, END}
        self.vocabulary = seen | ({UNKNOWN} if unknown else set())
        if discounts == "modified":
            self.discounts = [self.three(k) for k in range(1, order + 1)]

    def three(self, k):
        n = Counter(a for g, a in self.a.items() if len(g) == k)
        try:
            y = n[1] / (n[1] + 2 * n[2])
            d = [i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3)]
        except ZeroDivisionError:
            return (0.5, 1, 1.5)
        return d if all(0 < x <= i for i, x in enumerate(d, 1)) else (0.5, 1, 1.5)

    def p(self, w, context):
        context = tuple(context)[max(0, len(context) - self.order + 1) :]
        return self.level(w if w in self.vocabulary else UNKNOWN, context)

    def level(self, w, v):
        lower = self.level(w, v[1:]) if v else 1 / len(self.vocabulary)
        after = self.after.get(v)
        if not after:
            return lower
        d = self.discounts[len(v)]
        total = sum(after.values())
        own = after.get(w, 0)
        kept = max(own - d[min(own, 3) - 1], 0) if own else 0
        gamma = sum(d[min(a, 3) - 1] for a in after.values()) / total
        return kept / total + gamma * lower


def contexts(model, order, seed, n=40):
    """Seen, half seen and never seen contexts of every length up to one too long."""
    draw = random.Random(seed)
    known = [t for t in model.vocabulary if t not in (END, UNKNOWN)]
    found = [(), (START,), (END,), (UNKNOWN,), ("never",)]
    for _ in range(n):
        found.append(tuple(draw.choices([*known, "never"], k=draw.randint(1, order))))
        found.append((START, *draw.choices(known, k=draw.randint(0, order - 1))))
    return found


def test_a_bigram_model_by_hand():
    model = NgramModel(2, discounts=0.5).fit(["a b", "a c", "a b"])
    # after how many different tokens:  a 1 (start), b 1 (a), c 1 (a), </s> 2 (b, c); together 5
    V = 5  # a b c </s> <unk>
    p1 = {w: (n - 0.5) / 5 + 0.5 * 4 / 5 / V for w, n in (("a", 1), ("b", 1), ("c", 1), (END, 2))}
    assert math.exp(model.logprob("b")) == pytest.approx(p1["b"])
    assert math.exp(model.logprob(END)) == pytest.approx(p1[END])
    assert math.exp(model.logprob("zebra")) == pytest.approx(0.5 * 4 / 5 / V)
    # after a: b twice, c once; two kinds
    gamma = 0.5 * 2 / 3
    assert math.exp(model.logprob("b", ["a"])) == pytest.approx(1.5 / 3 + gamma * p1["b"])
    assert math.exp(model.logprob(END, ["a"])) == pytest.approx(gamma * p1[END])
    assert math.exp(model.logprob("a", [START])) == pytest.approx(2.5 / 3 + 0.5 / 3 * p1["a"])
    nll, n_tokens = model.nll_nats("a b")
    by_hand = [("a", START), ("b", "a"), (END, "b")]
    assert nll == pytest.approx(-sum(model.logprob(w, [v]) for w, v in by_hand))
    assert n_tokens == 3
    assert model.perplexity("a b") == pytest.approx(math.exp(nll / 3))


def test_san_francisco():
    # Francisco is frequent, but after one word only: elsewhere it must be unlikely
    texts = ["San Francisco"] * 20 + ["my glasses", "your glasses", "his glasses", "old glasses"]
    model = NgramModel(2).fit(texts)
    assert model.logprob("Francisco", ["San"]) > math.log(0.9)
    assert model.logprob("glasses", ["reading"]) > model.logprob("Francisco", ["reading"])
    plain = NgramModel(1).fit(texts)
    assert plain.logprob("Francisco") > plain.logprob("glasses")


def test_the_closed_form_by_hand():
    adjusted = np.array([1] * 10 + [2] * 4 + [3] * 2 + [4] * 1 + [9])
    y = 10 / 18
    want = (1 - 2 * y * 4 / 10, 2 - 3 * y * 2 / 4, 3 - 4 * y * 1 / 2)
    assert closed_form_discounts(adjusted) == pytest.approx(want)
    for gap in (1, 2, 3):
        assert closed_form_discounts(adjusted[adjusted != gap]) is None
    assert closed_form_discounts(np.array([1, 2, 3, 3, 3, 3])) is None  # D_2 = 2 - 3/3 12 < 0


@pytest.mark.parametrize("order", ORDERS)
def test_counts_are_those_of_a_loop(order):
    draw = np.random.default_rng(order)
    rows = [[1, *draw.integers(3, 8, n), 2] for n in (1, 5, 0, 30, 2)]
    tokens = np.array(list(itertools.chain(*rows)))
    grams = count_grams(tokens, tokens == 1, order, 8)
    adjusted = adjusted_counts(grams)
    names = [[(i,) for i in range(8)]]
    for gram in grams[1:]:  # write each n-gram out by way of its prefix
        names.append([(*names[-1][key // 8], int(key % 8)) for key in gram.keys])
    for k, (gram, name) in enumerate(zip(grams, names, strict=True), 1):
        want = Counter(
            tuple(int(x) for x in r[i : i + k]) for r in rows for i in range(len(r) - k + 1)
        )
        assert {g: n for g, n in zip(name, gram.counts.tolist(), strict=True) if n} == want
        if k > 1:
            assert [names[k - 2][i] for i in gram.suffix] == [g[1:] for g in name]
            assert [names[k - 2][i] for i in gram.prefix] == [g[:-1] for g in name]
            assert gram.starts.tolist() == [g[0] == 1 for g in name]
        if k < order:
            longer = {g for r in rows for g in zip(*(r[i:] for i in range(k + 1)), strict=False)}
            for g, a in zip(name, adjusted[k - 1], strict=True):
                kinds = sum(g == h[1:] for h in longer)
                assert a == (0 if g == (1,) else want[g] if g[0] == 1 else kinds), g


def test_rows_are_found_or_absent():
    keys = np.array([2, 5, 9])
    assert find_rows(keys, np.array([5, 0, 10, 9, 2, -1, 3])).tolist() == [1, -1, -1, 2, 0, -1, -1]
    assert find_rows(keys[:0], np.array([5])).tolist() == [-1]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("discounts", ["modified", 0.7, [[0.3, 0.6, 0.9]] * 4])
def test_equal_to_the_literal_model(order, discounts):
    texts = sentences(60, seed=order)
    discounts = discounts[:order] if isinstance(discounts, list) else discounts
    model = NgramModel(order, discounts=discounts).fit(texts)
    literal = Literal(texts, order, [[0.7] * 3] * order if discounts == 0.7 else discounts)
    assert set(model.vocabulary) == literal.vocabulary
    for context in contexts(model, order, seed=9, n=20):
        for w in [*model.vocabulary, "never"]:
            assert math.exp(model.logprob(w, context)) == pytest.approx(literal.p(w, context))


def test_three_discounts_came_from_the_closed_form_in_that_comparison():
    model = NgramModel(3).fit(sentences(60, seed=3))
    assert 3 not in model.fallbacks_
    assert len(set(model.discounts_[2].tolist())) == 3
    assert NgramModel(2).fit(["a b c"]).fallbacks_ == [1, 2]
    assert NgramModel(2).fit(["a b c"]).discounts_.tolist() == [[0.5, 1, 1.5]] * 2
    single = NgramModel(2, discounts="single").fit(sentences(60, seed=3))
    model = NgramModel(2).fit(sentences(60, seed=3))
    assert single.discounts_[1].tolist() == [pytest.approx(model.discounts_[1][0])] * 3  # D_1 = Y


@pytest.mark.parametrize("unit", ["char", "byte"])
def test_characters_and_bytes_are_the_same_model(unit):
    texts = ["ab ab aac", "红ab", "b\n", "a b c a b"]
    model = NgramModel(3, unit).fit(texts)
    cut = list if unit == "char" else lambda t: list(t.encode())
    literal = Literal(
        texts, 3, "modified", cut, range(256) if unit == "byte" else None, unit == "char"
    )
    assert set(model.vocabulary) == literal.vocabulary
    for context in (
        contexts(model, 3, seed=2, n=15) if unit == "char" else [(97,), (97, 98), (200,)]
    ):
        for w in model.vocabulary[:20]:
            assert math.exp(model.logprob(w, context)) == pytest.approx(literal.p(w, context))
    assert model.nll_nats("红")[1] == (2 if unit == "char" else 4)
    assert (UNKNOWN in model.vocabulary) == (unit == "char")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("unit", "discounts"),
    [("word", "modified"), ("word", 1.0), ("char", "single"), ("byte", "modified")],
)
def test_it_sums_to_one_after_any_context(order, unit, discounts):
    model = NgramModel(order, unit, discounts).fit(sentences(40, seed=order))
    for context in contexts(model, order, seed=5, n=2):
        total = math.fsum(math.exp(model.logprob(w, context)) for w in model.vocabulary)
        assert total == pytest.approx(1, abs=1e-12), context


def test_equal_to_nltk_with_one_discount():
    nltk_lm = pytest.importorskip("nltk.lm")
    from nltk.util import everygrams

    order, D = 3, 0.4
    texts = sentences(40, seed=1, vocabulary="abcd")
    rows = [[START, *t.split(), END] for t in texts]
    oracle = nltk_lm.KneserNeyInterpolated(order, discount=D)
    oracle.fit([everygrams(row, max_len=order) for row in rows], {w for row in rows for w in row})
    # nltk leaves its unigrams as they are: our discount of them is next to nothing here
    model = NgramModel(order, discounts=[[1e-13] * 3, [D] * 3, [D] * 3]).fit(texts)
    seen = [w for w in model.vocabulary if w != UNKNOWN]
    pairs = {pair for row in rows for pair in itertools.pairwise(row)}
    n_compared = 0
    for v in itertools.product([START, *"abcd"], "abcd"):
        if v not in pairs:
            continue  # after an unseen pair nltk divides by zero further down
        for w in seen:
            assert math.exp(model.logprob(w, v)) == pytest.approx(oracle.score(w, v), rel=1e-9)
            n_compared += 1
    assert n_compared >= 90


def test_a_text_is_the_sum_of_its_tokens_and_texts_do_not_run_together():
    texts = sentences(60, seed=8)
    model = NgramModel(3).fit(texts)
    text = "a b never c"
    row = [START, *text.split(), END]
    by_token = [model.logprob(row[i], row[max(0, i - 2) : i]) for i in range(1, len(row))]
    np.testing.assert_allclose(model.token_nlls(text), np.negative(by_token))
    many = [*texts, text] * 6  # more than one batch
    assert model.nll_many(many) == [model.nll_nats(t) for t in many]
    assert model.nll_many([]) == []
    apart = NgramModel(2, discounts=0.5).fit(["x y", "z x"])
    one = NgramModel(2, discounts=0.5).fit(["x y z x"])
    assert apart.logprob("z", ["y"]) < one.logprob("z", ["y"])
    assert apart.logprob("z", [START]) > one.logprob("z", [START])


def test_rare_words_are_learnt_as_unknown():
    model = NgramModel(2, min_count=2, discounts=0.5).fit(["a rare1 a", "a rare2 a"])
    assert set(model.vocabulary) == {UNKNOWN, END, "a"}
    assert model.logprob("zebra", ["a"]) == model.logprob(UNKNOWN, ["a"])
    assert math.exp(model.logprob("rare1", ["a"])) == pytest.approx(
        Literal([f"a {UNKNOWN} a"] * 2, 2, [[0.5] * 3] * 2, str.split).p(UNKNOWN, ["a"])
    )


def test_more_context_helps_on_text_that_has_some():
    draw = random.Random(0)
    texts = [" ".join(f"{w} likes {w} ." for w in draw.choices("abcdef", k=9)) for _ in range(60)]
    nll = [sum(NgramModel(n).fit(texts[:40]).nll_nats(t)[0] for t in texts[40:]) for n in (1, 2, 3)]
    assert nll[2] < 0.7 * nll[1] < 0.7 * nll[0]


def test_scores_do_not_depend_on_the_order_of_the_texts():
    texts = sentences(50, seed=6)
    one, two = (NgramModel(3).fit(t) for t in (texts, texts[::-1]))
    assert one.nll_nats("a b c d never")[0] == pytest.approx(two.nll_nats("a b c d never")[0])
    assert one.n_bytes == two.n_bytes > 0


def test_buckets_are_thirds_of_the_reference():
    reference = [10.0, 20, 30, 40, 50, 60, 70]
    assert perplexity_buckets([1, 30, 30.1, 50, 50.1, math.inf], reference) == [
        "head",
        "head",
        "middle",
        "middle",
        "tail",
        "tail",
    ]
    draw = np.random.default_rng(0).lognormal(size=999).tolist()
    assert Counter(perplexity_buckets(draw, draw)) == {"head": 333, "middle": 333, "tail": 333}
    assert perplexity_buckets([], reference) == []


@pytest.mark.parametrize(
    ("scores", "reference", "message"),
    [
        ([1.0], [1.0, 2.0], "at least 3 finite.*got 2"),
        ([1.0], [1.0, 2.0, math.inf], "finite"),
        ([math.nan], [1.0, 2.0, 3.0], "nan"),
        ([-1.0], [1.0, 2.0, 3.0], "-1"),
    ],
)
def test_buckets_refuse_what_is_no_perplexity(scores, reference, message):
    with pytest.raises(ValueError, match=message):
        perplexity_buckets(scores, reference)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": 0}, "order"),
        ({"min_count": 0}, "min_count"),
        ({"unit": "syllable"}, "'syllable'"),
        ({"discounts": "good-turing"}, "'good-turing'"),
        ({"discounts": 0.0}, "over 0"),
        ({"discounts": 1.1}, "over 0"),
        ({"discounts": [[0.5, 2.1, 1]] * 3}, "over 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        NgramModel(**settings)


def test_nothing_to_learn_or_to_score_is_told():
    for texts, message in (([], "no word"), (["", " \n"], "no word"), ("abc", "one string")):
        with pytest.raises(ValueError, match=message):
            NgramModel().fit(texts)
    for use in (lambda m: m.logprob("a"), lambda m: m.nll_nats("a"), lambda m: m.n_bytes):
        with pytest.raises(ValueError, match="call fit"):
            use(NgramModel())
    model = NgramModel().fit(["a b", "", "c"])
    for use in (model.nll_nats, model.perplexity, model.token_nlls, lambda t: model.nll_many([t])):
        with pytest.raises(ValueError, match=r"no word to score in the text ' \\n'"):
            use(" \n")
    with pytest.raises(ValueError, match="<s> is where a text begins"):
        model.logprob(START, ["a"])
    with pytest.raises(ValueError, match="0 to 255, got 'a'"):
        NgramModel(unit="byte").fit(["a"]).logprob("a")

"""What GLM leaves blank: exact chances over many draws, whole sentences, bad settings."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import chisquare

from minillm.objectives.blank_spans import document_span, sentence_spans, short_spans


def chances(L, density, mean_span, most=60):
    """The exact distribution of the number of blank tokens, (L + 1,), span by span."""
    pmf = [0.0] + [mean_span**n / math.factorial(n) for n in range(1, most)]
    pmf = np.array(pmf) / sum(pmf)
    states, done = {(0, 0): 1.0}, np.zeros(L + 1)  # (blank tokens, spans): chance
    while states:
        new = {}
        for (blank, spans), p in states.items():
            for n in range(1, most):
                total = blank + min(n, L - blank - spans)
                if total >= density * L - 1e-9:
                    done[total] += p * pmf[n]
                else:
                    key = total, spans + 1
                    new[key] = new.get(key, 0.0) + p * pmf[n]
        states = new
    return done


@pytest.mark.parametrize(
    ("L", "density", "mean_span"), [(100, 0.15, 3.0), (20, 0.5, 2.0), (5, 0.5, 3.0)]
)
def test_the_blank_tokens_have_the_exact_distribution(L, density, mean_span):
    rng = np.random.default_rng(0)
    totals = []
    for _ in range(2000):
        spans = short_spans(L, rng, density=density, mean_span=mean_span)
        totals.append(int((spans[:, 1] - spans[:, 0]).sum()))
    wanted = 2000 * chances(L, density, mean_span)
    assert math.isclose(wanted.sum(), 2000)
    assert min(totals) >= density * L
    counts = np.bincount(totals, minlength=L + 1)
    big = wanted >= 5
    pooled = np.append(counts[big], counts[~big].sum()), np.append(wanted[big], wanted[~big].sum())
    kept = pooled[1] > 0
    assert chisquare(pooled[0][kept], pooled[1][kept]).pvalue > 1e-4
    if L == 100:  # ... and the test can see another mean: 15 % first, then what goes over
        other = 2000 * chances(L, density, 3.5)[big]
        assert chisquare(counts[big], other * counts[big].sum() / other.sum()).pvalue < 1e-4
        mean = (wanted @ np.arange(L + 1)) / 2000
        assert abs(np.mean(totals) - mean) < 5 * np.std(totals) / 2000**0.5


def test_lengths_are_poisson_without_zero():
    """In a long text the first spans drawn are not cut and do not end the drawing."""
    rng = np.random.default_rng(0)
    found = [short_spans(3000, rng) for _ in range(20)]
    lengths = np.concatenate([spans[:, 1] - spans[:, 0] for spans in found])
    mean = 3 / (1 - math.exp(-3))
    spread = (mean * (1 + 3 - mean)) ** 0.5
    assert abs(lengths.mean() - mean) < 5 * spread / len(lengths) ** 0.5
    assert lengths.min() == 1
    shares = [int((spans[:, 1] - spans[:, 0]).sum()) / 3000 for spans in found]
    assert 0.15 <= min(shares) <= max(shares) < 0.155


def test_all_places_are_equally_likely():
    """Two spans of one token among 8: the definition, slowly, is all pairs not side by side."""
    wanted = [(a, b) for a, b in itertools.combinations(range(8), 2) if b - a > 1]
    rng = np.random.default_rng(0)
    counts = dict.fromkeys(wanted, 0)
    for _ in range(3000):
        spans = short_spans(8, rng, density=0.25, mean_span=0.3)
        if (spans[:, 1] - spans[:, 0]).tolist() == [1, 1]:
            counts[tuple(spans[:, 0].tolist())] += 1
    values = np.array(list(counts.values()))
    assert len(values) == math.comb(7, 2)
    assert values.sum() > 2000
    assert chisquare(values).pvalue > 1e-4
    apart = np.array([2 if b - a > 2 else 1 for a, b in wanted])  # GLM's code: sorted, repeated
    assert chisquare(values, values.sum() * apart / apart.sum()).pvalue < 1e-4


def test_long_spans_do_not_gather_at_the_end():
    rng = np.random.default_rng(0)
    spans = [short_spans(100, rng) for _ in range(2000)]
    first, last = (np.array([s[i, 1] - s[i, 0] for s in spans]) for i in (0, -1))
    several = np.array([len(s) > 1 for s in spans])
    gap = (last - first)[several]
    assert abs(gap.mean()) < 5 * gap.std() / len(gap) ** 0.5


def test_spans_fit_every_length():
    rng = np.random.default_rng(0)
    for L in range(1, 30):
        for density in (0.15, 0.5):
            spans = short_spans(L, rng, density=density)
            assert spans[0, 0] >= 0
            assert spans[-1, 1] <= L
            assert (spans[1:, 0] > spans[:-1, 1]).all()  # at least one token between
            assert (spans[:, 1] > spans[:, 0]).all()
    assert short_spans(1, rng).tolist() == [[0, 1]]


def test_document_spans_are_uniform_from_half_to_all():
    rng = np.random.default_rng(0)
    spans = np.concatenate([document_span(20, rng) for _ in range(3000)])
    assert (spans[:, 1] == 20).all()
    counts = np.bincount(20 - spans[:, 0], minlength=21)
    assert counts[:10].sum() == 0
    assert chisquare(counts[10:]).pvalue > 1e-4
    assert abs((20 - spans[:, 0]).mean() - 15) < 5 * (120 / 12 / 3000) ** 0.5  # 75 %
    assert document_span(5, rng, shortest=1.0).tolist() == [[0, 5]]
    assert document_span(1, rng).tolist() == [[0, 1]]
    assert {int(document_span(3, rng)[0, 0]) for _ in range(50)} == {0, 1}  # 2 or 3 of 3


def test_sentences_are_whole_and_reach_15_per_cent():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 20, 30)
    ends = np.cumsum(lengths)
    whole = {(int(e - n), int(e)) for e, n in zip(ends, lengths, strict=True)}
    need = 0.15 * lengths.sum()
    drawn = np.zeros(30)
    for _ in range(1000):
        spans = sentence_spans(lengths, rng)
        assert {tuple(s) for s in spans.tolist()} <= whole
        assert (np.diff(spans.ravel()) >= 0).all()
        blank = spans[:, 1] - spans[:, 0]
        assert need <= blank.sum() < need + lengths.max()  # within one sentence of 15 %
        drawn += np.isin(ends, spans[:, 1])
    assert drawn.min() > 0
    assert sentence_spans([4], rng).tolist() == [[0, 4]]
    assert sentence_spans([1, 2], rng, density=1.0).tolist() == [[0, 1], [1, 3]]


def test_sentences_of_one_length_are_alike():
    rng = np.random.default_rng(0)
    starts = np.concatenate([sentence_spans([5] * 20, rng)[:, 0] for _ in range(500)])
    assert len(starts) == 1500  # exactly 3 of 20
    assert chisquare(np.bincount(starts // 5, minlength=20)).pvalue > 1e-4


@pytest.mark.parametrize(
    ("function", "arguments", "options", "words"),
    [
        (short_spans, 0, {}, "L must be at least 1, got 0"),
        (short_spans, 9, {"density": 0.0}, r"density must lie in \(0, 1/2\], got 0.0"),
        (short_spans, 9, {"density": 0.6}, "got 0.6"),
        (short_spans, 9, {"mean_span": 0.0}, "mean_span must be above 0, got 0.0"),
        (document_span, 0, {}, "L must be at least 1, got 0"),
        (document_span, 9, {"shortest": 0.0}, r"shortest must lie in \(0, 1\], got 0.0"),
        (document_span, 9, {"shortest": 1.5}, "got 1.5"),
        (sentence_spans, [], {}, r"at least 1 token, got \[\]"),
        (sentence_spans, [3, 0], {}, r"at least 1 token, got \[3, 0\]"),
        (sentence_spans, [3], {"density": 1.5}, r"density must lie in \(0, 1\], got 1.5"),
    ],
)
def test_refused(function, arguments, options, words):
    with pytest.raises(ValueError, match=words):
        function(arguments, np.random.default_rng(0), **options)

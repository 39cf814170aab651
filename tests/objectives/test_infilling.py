"""GLM's blanks: the paper's figure by hand, the mask by enumeration, a decoder, round trips."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.model.masks import causal_mask
from minillm.objectives.blank_spans import document_span, sentence_spans, short_spans
from minillm.objectives.infilling import (
    Infilling,
    blank_out,
    fill_in,
    hybrid_mask,
    mixed_infilling,
    stack,
)

M, G, S, E = 90, 91, 92, 93
SPECIAL = {"mask_id": M, "start_id": S, "end_id": E}
MIXED = {**SPECIAL, "gmask_id": G}
TEXT = [1, 2, 3, 4, 5, 6]
FIGURE = [(2, 3), (4, 6)]


def layout(blanks):
    return [x.tolist() for x in (blanks.tokens, blanks.targets, *blanks.positions)]


def test_figure_2_of_the_paper():
    """x3 and x5 x6 are blank, and the second comes first (positions count from 0 here)."""
    rng = np.random.default_rng(0)
    draws = [blank_out(TEXT, FIGURE, rng, **SPECIAL) for _ in range(20)]
    found = next(b for b in draws if b.tokens[6] == 5)
    assert found.n_context == 5
    assert layout(found) == [
        [1, 2, M, 4, M, S, 5, 6, S, 3],
        [-100] * 5 + [5, 6, E, 3, E],
        [0, 1, 2, 3, 4, 4, 4, 4, 2, 2],
        [0, 0, 0, 0, 0, 1, 2, 3, 1, 2],
    ]
    assert layout(blank_out(TEXT, FIGURE, None, **SPECIAL)) == [
        [1, 2, M, 4, M, S, 3, S, 5, 6],
        [-100] * 5 + [3, E, 5, 6, E],
        [0, 1, 2, 3, 4, 2, 2, 4, 4, 4],
        [0, 0, 0, 0, 0, 1, 2, 1, 2, 3],
    ]


def test_neighbours_and_edges():
    """Two sentences side by side keep two blanks; a blank may be first or last."""
    blanks = blank_out([1, 2, 3, 4], [(0, 1), (1, 3)], None, **SPECIAL)
    assert layout(blanks) == [
        [M, M, 4, S, 1, S, 2, 3],
        [-100] * 3 + [1, E, 2, 3, E],
        [0, 1, 2, 0, 0, 1, 1, 1],
        [0, 0, 0, 1, 2, 1, 2, 3],
    ]
    assert fill_in(blanks).tolist() == [1, 2, 3, 4]


def test_a_document_that_is_all_blank_is_a_causal_language_model():
    """OBJ-006: with [gMASK] first the mask is the causal one, and each token predicts the next."""
    ids = np.arange(1, 9)
    spans = document_span(len(ids), np.random.default_rng(0), shortest=1.0)
    blanks = blank_out(ids, spans, None, mask_id=G, start_id=S, end_id=E)
    assert blanks.tokens.tolist() == [G, S, *ids]
    assert blanks.targets.tolist() == [-100, *ids, E]
    assert torch.equal(blanks.mask(), causal_mask(10))
    assert blanks.positions.tolist() == [[0] * 10, list(range(10))]
    part = blank_out(ids, [(1, 8)], None, mask_id=G, start_id=S, end_id=E)
    assert not torch.equal(part.mask(), causal_mask(10))  # one token of context is enough


def test_the_hybrid_mask_by_enumeration():
    """In words: A sees A; B sees A, and of B what is not to its right."""
    for T in range(1, 8):
        for A in range(T + 1):
            mask = hybrid_mask(A, T)
            assert mask.dtype == torch.bool
            for t, s in itertools.product(range(T), repeat=2):
                if s < A:
                    allowed = True
                elif t < A:
                    allowed = False
                else:
                    allowed = s <= t
                assert mask[t, s].item() == allowed
    assert hybrid_mask(4, 4).all()  # an encoder
    assert torch.equal(hybrid_mask(0, 4), causal_mask(4))
    with pytest.raises(ValueError, match="0 to T=4, got 5"):
        hybrid_mask(5, 4)


def test_what_a_decoder_sees_through_it():
    """Change each token in turn: the logits that change are those the mask allows."""
    torch.manual_seed(0)
    config = DecoderConfig(
        100, 16, 1, 16, AttentionConfig(2), FeedForwardConfig("swiglu", 16), init_std=0.3
    )
    model = Decoder(config, dtype=torch.float64)
    row = blank_out(TEXT, FIGURE, np.random.default_rng(0), **SPECIAL)
    batch = stack([row], 12, pad_id=0)
    seen = torch.zeros(12, 12, dtype=torch.bool)
    with torch.no_grad():
        before = model(batch.tokens, mask=batch.mask, causal=False)
        for s in range(12):
            changed = batch.tokens.clone()
            changed[:, s] = (changed[:, s] + 7) % 100
            after = model(changed, mask=batch.mask, causal=False)
            seen[:, s] = (after - before).abs().amax(dim=(0, 2)) > 1e-9
    assert torch.equal(seen[:10, :10], row.mask())
    assert not seen[:10, 10:].any()  # nobody sees the padding
    assert seen[10:, 10:].any()  # ... and the test could see it


def test_positions_name_the_place_in_the_text():
    """The two positions and part A say where each hidden token stood, whatever the order."""
    rng = np.random.default_rng(0)
    for L in (5, 30, 90):
        ids = rng.integers(0, 90, L)
        spans = short_spans(L, rng)
        blanks = blank_out(ids, spans, rng, **SPECIAL)
        A = blanks.n_context
        assert L - int((spans[:, 1] - spans[:, 0]).sum()) + len(spans) == A
        assert len(blanks.tokens) == L + 2 * len(spans)
        for place, within, target in zip(*blanks.positions[:, A:], blanks.targets[A:], strict=True):
            assert blanks.tokens[place] == M
            k = int((blanks.tokens[:place] == M).sum())  # which blank it is
            start, end = spans[k]
            expected = ids[start + within - 1] if within <= end - start else E
            assert target == expected
        pairs = list(zip(*blanks.positions.tolist(), strict=True))
        assert len(set(pairs)) == len(pairs)  # no two tokens share both positions


def test_each_token_of_part_b_is_the_target_before_it():
    blanks = blank_out(range(30), [(2, 5), (8, 9), (20, 26)], np.random.default_rng(1), **SPECIAL)
    A = blanks.n_context
    tokens, targets = blanks.tokens[A:], blanks.targets[A:]
    inside = tokens[1:] != S
    assert (tokens[1:][inside] == targets[:-1][inside]).all()
    assert (targets[:-1][~inside] == E).all()
    assert targets[-1] == E


def test_all_orders_are_equally_likely():
    rng = np.random.default_rng(0)
    spans = [(0, 1), (2, 3), (4, 5), (6, 7)]
    counts = Counter()
    for _ in range(1200):
        blanks = blank_out(range(8), spans, rng, **SPECIAL)
        counts[tuple(blanks.tokens[blanks.n_context + 1 :: 2].tolist())] += 1
    assert len(counts) == 24
    assert chisquare(list(counts.values())).pvalue > 1e-4


def test_round_trip_of_all_three_kinds():
    rng = np.random.default_rng(0)
    for L in range(1, 40):
        ids = rng.integers(0, 90, L)
        sentences = [*[3] * (L // 3), *([L % 3] if L % 3 else [])]
        for spans in (short_spans(L, rng), document_span(L, rng), sentence_spans(sentences, rng)):
            blanks = blank_out(ids, spans, rng, **SPECIAL)
            assert fill_in(blanks).tolist() == ids.tolist()
    wrong = blanks.targets.copy()
    wrong[blanks.n_context] += 1
    said = Infilling(blanks.tokens, wrong, blanks.positions, blanks.n_context)
    assert (fill_in(said) != ids).sum() == 1  # ... and a wrong answer is seen


def test_thirty_to_seventy():
    rng = np.random.default_rng(0)
    ids = np.arange(60)
    rows = [mixed_infilling(ids, rng, **MIXED) for _ in range(1500)]
    whole = np.array([G in row.tokens for row in rows])
    assert abs(whole.sum() - 1050) < 5 * (1500 * 0.7 * 0.3) ** 0.5
    for row, long in zip(rows, whole, strict=True):
        assert (M in row.tokens) != long
        blank = (row.targets >= 0).sum() - (row.targets == E).sum()
        assert blank >= 30 if long else blank >= 9
        assert not long or row.tokens[row.n_context - 1] == G  # at the end of part A
        assert fill_in(row).tolist() == ids.tolist()
    for share, expected in [(0.0, M), (1.0, G)]:
        assert all(
            expected in mixed_infilling(ids, rng, gmask_share=share, **MIXED).tokens
            for _ in range(20)
        )
    one, two = (mixed_infilling(ids, np.random.default_rng(3), **MIXED) for _ in range(2))
    assert layout(one) == layout(two)


def test_stack():
    rows = [blank_out(TEXT, FIGURE, None, **SPECIAL), blank_out([7], [(0, 1)], None, **SPECIAL)]
    batch = stack(rows, 11, pad_id=99)
    assert batch.tokens[1].tolist() == [M, S, 7] + [99] * 8
    assert batch.targets[1].tolist() == [-100, 7, E] + [-100] * 8
    assert batch.positions[1].tolist() == [[0] * 11, [0, 1, 2] + [0] * 8]
    assert batch.mask.shape == (2, 1, 11, 11)
    assert torch.equal(batch.mask[0, 0, :10, :10], rows[0].mask())
    assert torch.equal(batch.mask[1, 0], causal_mask(11))
    assert {x.dtype for x in (batch.tokens, batch.targets, batch.positions)} == {torch.int64}
    for few, T in [(rows, 9), ([], 9)]:
        with pytest.raises(ValueError, match=f"1 to T=9 tokens, got {len(few)} rows"):
            stack(few, T, pad_id=99)


@pytest.mark.parametrize(
    ("ids", "spans", "words"),
    [
        ([1, M], [(0, 1)], "mask_id=90 occurs in the text, at position 1"),
        ([S, 1], [(0, 1)], "start_id=92 occurs in the text, at position 0"),
        ([1, E], [(0, 1)], "end_id=93 occurs in the text, at position 1"),
        ([1, 2], [], r"\(S, 2\) integers with S >= 1, got \(0,\)"),
        ([1, 2], [(0.0, 1.0)], "float64"),
        ([1, 2], [(1, 1)], r"spans must not be empty.*\[\[1, 1\]\]"),
        ([1, 2], [(0, 3)], "leave the text of 2"),
        ([1, 2], [(-1, 1)], "leave the text of 2"),
        ([1, 2, 3], [(0, 2), (1, 3)], "overlap"),
        ([1, 2, 3], [(2, 3), (0, 1)], "overlap"),
    ],
)
def test_refused(ids, spans, words):
    with pytest.raises(ValueError, match=words):
        blank_out(ids, spans, None, **SPECIAL)


def test_mixing_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="gmask_id=91 occurs in the text, at position 1"):
        mixed_infilling([1, G], rng, **MIXED)
    with pytest.raises(ValueError, match=r"gmask_share must lie in \[0, 1\], got 1.5"):
        mixed_infilling([1], rng, gmask_share=1.5, **MIXED)

"""Packing: no token lost, none repeated, order kept; waste counted; boundaries hold in a model."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.data.packing import IGNORED, METHODS, PADDING, count_waste, pack
from minillm.data.row_plan import Piece, plan_rows, plan_rows_slowly
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig

END = 99


def short(plan):
    return [[(p.document, p.start, p.stop) for p in row] for row in plan]


def documents_again(packed):
    """Put the documents together again from the rows, by number and place."""
    pieces = {}
    for r, row in enumerate(packed.plan):
        at = 0
        for piece in row:
            ids = packed.tokens[r, at : at + piece.length].tolist()
            pieces.setdefault(piece.document, []).append((piece.start, ids))
            at += piece.length
    return {d: [i for _, ids in sorted(parts) for i in ids] for d, parts in pieces.items()}


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("pad", [[(0, 0, 5)], [(1, 0, 3)], [(2, 0, 4)], [(3, 0, 2)]]),
        ("cut", [[(0, 0, 5), (1, 0, 1)], [(1, 1, 3), (2, 0, 4)], [(3, 0, 2)]]),
        ("first_fit", [[(0, 0, 5)], [(1, 0, 3), (3, 0, 2)], [(2, 0, 4)]]),
        ("best_fit", [[(0, 0, 5)], [(2, 0, 4), (3, 0, 2)], [(1, 0, 3)]]),
    ],
)
def test_the_example_by_hand(method, wanted):
    assert short(plan_rows([5, 3, 4, 2], 6, method)) == wanted


@pytest.mark.parametrize("method", ["pad", "first_fit", "best_fit"])
def test_a_long_document_becomes_whole_rows_and_a_rest(method):
    # the same three pieces; best_fit puts the second document beside the rest, pad does not
    plan = short(plan_rows([9, 2], 4, method))
    assert plan[:2] == [[(0, 0, 4)], [(0, 4, 8)]]
    beside = [[(1, 0, 2), (0, 8, 9)]] if method == "best_fit" else [[(0, 8, 9), (1, 0, 2)]]
    assert plan[2:] == ([[(0, 8, 9)], [(1, 0, 2)]] if method == "pad" else beside)


def test_rows_by_hand():
    packed = pack([[1, 2, 3], [4]], 7, end=9)
    assert packed.tokens.tolist() == [[1, 2, 3, 9, 4, 9, 9]]
    assert packed.documents.tolist() == [[0, 0, 0, 0, 1, 1, PADDING]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 0, 1, 0]]
    assert pack([[4]], 3, end=9, padding=0).tokens.tolist() == [[4, 9, 0]]
    assert len(pack([], 3, end=9)) == 0


def test_targets_by_hand():
    x, y, documents = pack([[1, 2, 3], [4]], 7, end=9).batch()
    assert x.tolist() == [[1, 2, 3, 9, 4, 9]]
    assert y.tolist() == [[2, 3, 9, IGNORED, 9, IGNORED]]
    assert documents.tolist() == [[0, 0, 0, 0, 1, 1]]
    assert x.dtype == y.dtype == documents.dtype == torch.int64
    two = pack([[1] * 6, [2] * 6, [3] * 6], 7, end=9)
    assert two.batch([2, 0])[0][:, 0].tolist() == [3, 1]


def check_plan(lengths, row, method):
    """Everything a plan must be, whatever the method."""
    plan = plan_rows(lengths, row, method)
    seen = {}
    for pieces in plan:
        assert pieces  # no empty row
        assert sum(p.length for p in pieces) <= row
        for piece in pieces:
            assert piece.length > 0
            seen.setdefault(piece.document, []).append((piece.start, piece.stop))
    for document, n in enumerate(lengths):
        spans = sorted(seen.pop(document, []))
        assert [start for start, _ in spans] == [0, *[stop for _, stop in spans]][: len(spans)]
        assert (spans[-1][1] if spans else 0) == n
        if method != "cut":
            assert len(spans) == -(-n // row)  # no needless cut
    assert not seen
    return plan


def check_waste(lengths, row, method):
    """Counted a second time, place by place and pair by pair."""
    packed = pack([[7] * (n - 1) for n in lengths], row, method, end=END)
    waste = count_waste(lengths, row, method)
    pairs = crossing = 0
    for own in packed.documents.tolist():
        own = [d for d in own if d != PADDING]
        pairs += sum(1 for t in range(len(own)) for _ in range(t + 1))
        crossing += sum(own[s] != own[t] for t in range(len(own)) for s in range(t + 1))
    of = [piece.document for pieces in packed.plan for piece in pieces]
    per_document = [of.count(d) for d in range(len(lengths))]
    assert waste.n_rows == len(packed)
    assert waste.n_places == packed.tokens.size
    assert waste.n_padding == (packed.documents == PADDING).sum()
    assert waste.n_padding == packed.tokens.size - sum(lengths)
    assert waste.n_documents == len(lengths)
    assert waste.n_cut == sum(n > 1 for n in per_document)
    assert waste.n_cuts == sum(per_document) - len(lengths)
    assert waste.n_needless == sum(per_document) - sum(-(-n // row) for n in lengths)
    assert (waste.n_pairs, waste.n_crossing) == (pairs, crossing)


def test_waste_by_hand():
    wanted = {  # rows, padding, documents cut, needless cuts, pairs, crossing
        "pad": (4, 10, 0, 0, 15 + 6 + 10 + 3, 0),
        "cut": (3, 4, 1, 1, 21 + 21 + 3, 5 * 1 + 2 * 4),
        "first_fit": (3, 4, 0, 0, 15 + 15 + 10, 3 * 2),
        "best_fit": (3, 4, 0, 0, 15 + 21 + 6, 4 * 2),
    }
    for method, figures in wanted.items():
        w = count_waste([5, 3, 4, 2], 6, method)
        assert (w.n_rows, w.n_padding, w.n_cut, w.n_needless, w.n_pairs, w.n_crossing) == figures
        assert w.padding == figures[1] / (6 * figures[0])
        assert w.crossing == figures[5] / figures[4]
    nothing = count_waste([], 6)
    assert (nothing.padding, nothing.crossing, nothing.n_rows) == (0, 0, 0)


@pytest.mark.parametrize("method", METHODS)
def test_ten_thousand_corpora(method):
    """Random lengths and rows, among them empty documents, one-token rows, very long documents."""
    draw = random.Random(8)
    for i in range(2_500):  # four methods: ten thousand
        row = draw.choice([1, 2, 3, 5, 8, 13])
        lengths = [draw.choice([0, 1, draw.randint(0, row), draw.randint(0, 4 * row)])
                   for _ in range(draw.randint(0, 12))]  # fmt: skip
        plan = check_plan(lengths, row, method)
        if method in ("first_fit", "best_fit"):
            assert plan == plan_rows_slowly(lengths, row, method)
        if i % 25 == 0:
            check_waste([max(1, n) for n in lengths], row, method)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 98), max_size=20), max_size=12),
    st.integers(1, 9),
    st.sampled_from(METHODS),
)
def test_no_token_is_lost_or_reordered(encoded, row, method):
    packed = pack(encoded, row, method, end=END)
    assert documents_again(packed) == {d: [*ids, END] for d, ids in enumerate(encoded)}
    assert (packed.tokens[packed.documents == PADDING] == END).all()
    for own, places in zip(packed.documents, packed.positions, strict=True):
        for t in range(row):
            new = t == 0 or own[t] != own[t - 1]
            wanted = 0 if new or own[t] == PADDING else places[t - 1] + 1
            assert places[t] == wanted


def test_the_fast_plans_equal_the_slow_ones_on_larger_corpora():
    rng = np.random.default_rng(1)
    for row in (16, 100):
        lengths = rng.geometric(1 / 30, 400).tolist()
        for method in ("first_fit", "best_fit"):
            assert plan_rows(lengths, row, method) == plan_rows_slowly(lengths, row, method)
    assert plan_rows(lengths, 100, "first_fit") != plan_rows(lengths, 100, "best_fit")


def test_first_fit_stays_below_its_bound():
    """Johnson 1974: never more than 17/10 of the fewest possible rows, here at least the sum."""
    rng = np.random.default_rng(2)
    for method, factor in (("first_fit", 1.7), ("best_fit", 11 / 9)):
        for _ in range(100):
            lengths = rng.integers(1, 40, 60).tolist()
            fewest = -(-sum(lengths) // 40)
            n_rows = count_waste(lengths, 40, method).n_rows
            # against the optimum, which is at least `fewest`; halves cannot share a row
            halves = sum(n > 20 for n in lengths)
            assert n_rows <= factor * max(fewest, halves) + 1


@pytest.mark.parametrize(
    ("lengths", "row", "method", "words"),
    [
        ([3], 0, "cut", "at least 1 place, got 0"),
        ([3, -2], 4, "cut", "cannot have -2 tokens"),
        ([3], 4, "fit", "one of pad, cut, first_fit, best_fit; got 'fit'"),
    ],
)
def test_what_cannot_be_packed_is_refused(lengths, row, method, words):
    for plan in (plan_rows, plan_rows_slowly, count_waste):
        with pytest.raises(ValueError, match=words):
            plan(lengths, row, method)


def model():
    torch.manual_seed(0)
    config = DecoderConfig(
        vocab_size=100,
        d_model=16,
        n_layers=2,
        context=32,
        attention=AttentionConfig(2),
        feedforward=FeedForwardConfig("swiglu", 32),
        init_std=0.2,
    )
    return Decoder(config, dtype=torch.float64)


@torch.no_grad()
def test_editing_one_document_leaves_the_others_as_they_are():
    encoded = [[1, 2, 3, 4], [11, 12], [21, 22, 23], [31, 32, 33, 34, 35]]
    edited = [[5, 6, 7, 8], *encoded[1:]]
    decoder = model()
    for method in ("cut", "first_fit", "best_fit"):
        x, _, own = pack(encoded, 16, method, end=END).batch()
        x2, _, own2 = pack(edited, 16, method, end=END).batch()
        assert torch.equal(own, own2)
        others = own != 0
        assert torch.equal(decoder(x, documents=own)[others], decoder(x2, documents=own)[others])
        behind = others & (own == 0).any(dim=1, keepdim=True) & (own != PADDING)
        behind &= torch.arange(x.shape[1]) > (own == 0).float().argmax(dim=1, keepdim=True)
        assert behind.any()
        moved = (decoder(x) - decoder(x2)).abs().amax(-1)
        assert moved[behind].min() > 1e-6  # without the boundary the edit is seen


@torch.no_grad()
def test_a_packed_document_has_the_loss_it_has_alone():
    encoded = [[1, 2, 3, 4], [11, 12], [21, 22, 23]]
    decoder = model()
    x, y, own = pack(encoded, 16, end=END).batch()
    logits = decoder(x, documents=own)
    for d, ids in enumerate(encoded):
        here = (own == d) & (y != IGNORED)
        assert y[here].tolist() == [*ids, END][1:]
        packed = torch.nn.functional.cross_entropy(logits[here], y[here])
        alone = torch.tensor([[*ids, END]])
        wanted = torch.nn.functional.cross_entropy(decoder(alone[:, :-1])[0], alone[0, 1:])
        assert abs(packed - wanted) < 1e-5
        unbound = torch.nn.functional.cross_entropy(decoder(x)[here], y[here])
        assert d == own[0, 0] or abs(unbound - wanted) > 1e-4


def test_a_piece_knows_its_length():
    assert Piece(3, 4, 9).length == 5

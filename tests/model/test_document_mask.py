"""Documents packed into one row: each is treated as if it were alone, and it would be seen."""

import dataclasses

import pytest
import torch

from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, KVCache
from minillm.model.documents import document_mask, document_positions
from minillm.model.position import PositionConfig

CONFIG = DecoderConfig(
    vocab_size=50,
    d_model=24,
    n_layers=2,
    context=16,
    attention=AttentionConfig(4, 2),
    feedforward=FeedForwardConfig("swiglu", 32),
    init_std=0.2,
)
KINDS = ("rope", "learned", "sinusoidal", "alibi", "none")
IDS = torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(0))
# row 0: documents of 3, 5 and 4 tokens; row 1: 1, 7, and 4 places of padding
DOCUMENTS = torch.tensor([[8] * 3 + [2] * 5 + [8] * 4, [0] + [1] * 7 + [-1] * 4])
PIECES = [(0, 0, 3), (0, 3, 8), (0, 8, 12), (1, 0, 1), (1, 1, 8), (1, 8, 12)]  # row, start, stop


def build(kind="rope", seed=0, **settings):
    torch.manual_seed(seed)
    config = dataclasses.replace(CONFIG, position=PositionConfig(kind), **settings)
    return Decoder(config, dtype=torch.float64)


def test_a_mask_by_hand():
    mask = document_mask(torch.tensor([[5, 5, 9, 5]]))  # the last 5 is another document
    wanted = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert mask.shape == (1, 1, 4, 4)
    assert mask.dtype == torch.bool
    assert mask[0, 0].int().tolist() == wanted


def test_positions_by_hand():
    assert document_positions(torch.tensor([[7, 7, 7, 4, 4], [1, 2, 2, 2, 1]])).tolist() == [
        [0, 1, 2, 0, 1],
        [0, 0, 1, 2, 0],
    ]
    assert document_positions(torch.zeros(1, 4, dtype=torch.int32)).tolist() == [[0, 1, 2, 3]]


def test_mask_and_positions_equal_loops_on_random_rows():
    generator = torch.Generator().manual_seed(1)
    for _ in range(200):
        rows = torch.randint(0, 3, (2, 9), generator=generator)
        mask, positions = document_mask(rows), document_positions(rows)
        for b, row in enumerate(rows.tolist()):
            for t in range(9):
                first = t
                while first > 0 and row[first - 1] == row[t]:
                    first -= 1
                assert positions[b, t] == t - first
                for s in range(9):
                    between = row[min(s, t) : max(s, t) + 1]
                    assert mask[b, 0, t, s] == (len(set(between)) == 1)


@pytest.mark.parametrize("implementation", ["fast", "readable"])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_each_document_is_treated_as_if_it_were_alone(kind, implementation):
    model = build(kind, attention=AttentionConfig(4, 2, implementation=implementation))
    packed = model(IDS, documents=DOCUMENTS)
    for row, start, stop in PIECES:
        alone = model(IDS[row : row + 1, start:stop])[0]
        torch.testing.assert_close(packed[row, start:stop], alone, rtol=0, atol=1e-5)
    without = model(IDS)
    assert (without[0, 3:] - packed[0, 3:]).abs().max() > 1e-3  # and without them it is not


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_editing_one_document_leaves_the_logits_of_the_others(kind):
    model = build(kind)
    before, before_unbound = model(IDS, documents=DOCUMENTS), model(IDS)
    for row, start, stop in PIECES:
        changed = IDS.clone()
        changed[row, start:stop] = (changed[row, start:stop] + 7) % 50
        after = model(changed, documents=DOCUMENTS)
        inside = torch.zeros(2, 12, dtype=torch.bool)
        inside[row, start:stop] = True
        assert torch.equal(after[~inside], before[~inside])  # not one bit
        assert (after[inside] - before[inside]).abs().amax(-1).min() > 1e-6
        if start == 0:  # without the boundary the edit is seen by everything behind it
            unbound = model(changed)[row, stop:]
            assert (unbound - before_unbound[row, stop:]).abs().amax(-1).min() > 1e-6


@torch.no_grad()
def test_one_document_equals_no_documents():
    model = build()
    one = torch.full((2, 12), 3)
    torch.testing.assert_close(model(IDS, documents=one), model(IDS), rtol=0, atol=1e-12)


def test_the_gradient_crosses_no_boundary():
    model = build()
    model.embedding.weight.requires_grad_(True)
    ids = torch.tensor([[1, 2, 3, 11, 12, 13]])
    documents = torch.tensor([[0, 0, 0, 1, 1, 1]])
    for given, reached in ((documents, False), (None, True)):
        model.zero_grad()
        # features, not logits: the tied output matrix would touch every row of the table
        model.features(ids, documents=given)[0, 3:].square().sum().backward()
        assert bool(model.embedding.weight.grad[[1, 2, 3]].any()) is reached
        assert model.embedding.weight.grad[[11, 12, 13]].abs().sum(-1).min() > 0


@torch.no_grad()
def test_a_mask_and_given_positions_are_kept():
    model = build("learned")
    mask = torch.ones(12, 12, dtype=torch.bool).tril().triu(-1)  # a window of two
    both = model(IDS, documents=DOCUMENTS, mask=mask)
    wanted = model(
        IDS, mask=mask & document_mask(DOCUMENTS), positions=document_positions(DOCUMENTS)
    )
    assert torch.equal(both, wanted)
    positions = torch.arange(12)
    given = model(IDS, documents=DOCUMENTS, positions=positions)
    assert torch.equal(given, model(IDS, mask=document_mask(DOCUMENTS), positions=positions))
    assert not torch.equal(given, model(IDS, documents=DOCUMENTS))


@torch.no_grad()
def test_an_encoder_keeps_to_its_documents_too():
    model = build()
    packed = model(IDS, documents=DOCUMENTS, causal=False)
    alone = model(IDS[:1, 3:8], causal=False)
    torch.testing.assert_close(packed[:1, 3:8], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        (DOCUMENTS[0], "must have the shape of the ids"),
        (DOCUMENTS[:, :11], r"documents \(2, 11\) must have the shape of the ids, \(2, 12\)"),
        (DOCUMENTS.float(), "must be .* integers"),
        (DOCUMENTS > 1, "must be .* integers"),
    ],
)
def test_documents_that_do_not_fit_are_refused(documents, words):
    with pytest.raises(ValueError, match=words):
        build()(IDS, documents=documents)


def test_documents_and_a_cache_are_refused():
    model = build()
    cache = KVCache(CONFIG, 2, 16, dtype=torch.float64)
    with pytest.raises(ValueError, match="cannot be used with a cache"):
        model(IDS, documents=DOCUMENTS, cache=cache)
    assert cache.length == 0

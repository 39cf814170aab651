"""The surgery of lesson 11's studies: what is rearranged, and how its models start."""

import pytest
import torch

from minillm.model import NormConfig
from minillm.recipes.small import N_BYTES_VOCAB
from minillm.recipes.studies.norm_depth import anatomy, rearranged, stream_of, surgery
from minillm.recipes.studies.norm_places import make

IDS = torch.randint(0, N_BYTES_VOCAB, (2, 16), generator=torch.Generator().manual_seed(0))
CLOSE = {"rtol": 0, "atol": 1e-12}


def small(place="pre", n_layers=3):
    return make(n_layers, NormConfig("layernorm", place=place), 1, width=16, context=16).double()


@torch.no_grad()
def test_the_order_as_it_was_changes_nothing_and_is_restored():
    model = small()
    blocks, logits = model.blocks, model(IDS)
    with rearranged(model, [0, [1], 2]):
        torch.testing.assert_close(model(IDS), logits, **CLOSE)
    assert model.blocks is blocks
    with pytest.raises(ValueError, match="is not in the vocabulary"), rearranged(model, [0]):
        model(IDS + N_BYTES_VOCAB)
    assert model.blocks is blocks
    with rearranged(model, [1, 0, 2]):
        assert not torch.allclose(model(IDS), logits)
    torch.testing.assert_close(model(IDS), logits, rtol=0, atol=0)


@torch.no_grad()
@pytest.mark.parametrize("place", ["pre", "post"])
def test_left_out_and_side_by_side_are_what_they_say(place):
    model = small(place)
    x = model.embedding(IDS)
    turn = model._rotation(x, None, 0)
    a, b, c = (lambda h, block=block: block(h, rotation=turn) for block in model.blocks)
    for order, wanted in (
        ([0, 2], c(a(x))),
        ([1, 0, 2], c(a(b(x)))),
        ([0, [1, 2]], a(x) + (b(a(x)) - a(x)) + (c(a(x)) - a(x))),
    ):
        with rearranged(model, order):
            got = model.features(IDS)
        torch.testing.assert_close(got, model.final_norm(wanted), **CLOSE)


@torch.no_grad()
def test_the_stream_and_its_stale_terms():
    model = small()
    xs, stale = stream_of(model, IDS)
    turn = model._rotation(xs[0], None, 0)
    torch.testing.assert_close(model.final_norm(xs[-1]), model.features(IDS), **CLOSE)
    wanted = model.blocks[2](xs[1], rotation=turn) - xs[1]
    torch.testing.assert_close(stale[1], wanted, **CLOSE)
    assert (len(xs), len(stale)) == (4, 2)


def test_lengths_of_what_is_measured():
    model = small().float()
    found = anatomy(model, "a story of sixteen bytes and more" * 4) | surgery(model, ["a b c d"])
    lengths = {name: len(value) for name, value in found.items() if isinstance(value, list)}
    assert lengths == {
        "size of x": 4,
        "size of the term": 3,
        "relative update": 3,
        "cosine": 3,
        "stale error": 2,
        "left out": 3,
        "swapped": 2,
        "side by side": 2,
    }


def test_models_start_alike_whatever_their_norms():
    pre, post = small("pre"), small("post")
    for name, weight in post.named_parameters():
        torch.testing.assert_close(pre.get_parameter(name), weight)
    assert pre.embedding.weight[:N_BYTES_VOCAB].std().item() == pytest.approx(1, rel=0.05)
    assert pre.head.weight[:N_BYTES_VOCAB].std().item() == pytest.approx(0.25, rel=0.05)
    assert pre.embedding.weight[N_BYTES_VOCAB:].abs().max() == 0
    up = pre.blocks[0].feedforward.up.weight.std().item()
    assert up == pytest.approx((2 / 80) ** 0.5, rel=0.1)

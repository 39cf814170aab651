"""Masks by hand, and what a model with them can and cannot see."""

import pytest
import torch

from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.model.masks import causal_mask, prefix_mask, window_mask

IDS = torch.randint(0, 50, (2, 9), generator=torch.Generator().manual_seed(0))


def model(**attention):
    torch.manual_seed(0)
    config = DecoderConfig(
        50, 16, 1, 16, AttentionConfig(2, **attention), FeedForwardConfig("swiglu", 16),
        init_std=0.3,
    )  # fmt: skip
    return Decoder(config, dtype=torch.float64)


def sees(model, **keywords):
    """Enumerate: (T, T), whether the logits at t change when the id at s does."""
    T = IDS.shape[1]
    found = torch.zeros(T, T, dtype=torch.bool)
    with torch.no_grad():
        before = model(IDS, **keywords)
        for s in range(T):
            changed = IDS.clone()
            changed[:, s] = (changed[:, s] + 7) % 50
            found[:, s] = (model(changed, **keywords) - before).abs().amax(dim=(0, 2)) > 1e-9
    return found


def test_causal_by_hand():
    assert causal_mask(3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert causal_mask(2, 4).int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


def test_prefix_by_hand():
    mask = prefix_mask(torch.tensor([2, 0, 4]), 4)
    assert mask.shape == (3, 1, 4, 4)
    rows = [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert mask[0, 0].int().tolist() == rows
    assert torch.equal(mask[1, 0], causal_mask(4))
    assert mask[2].all()
    assert torch.equal(prefix_mask(torch.tensor([1]), 4)[0, 0], causal_mask(4))


def test_window_by_hand():
    both = window_mask(2, 4) & causal_mask(4)
    assert both.int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    assert (window_mask(2, 1, 4) & causal_mask(1, 4)).int().tolist() == [[0, 0, 1, 1]]
    assert window_mask(9, 4).all()


def test_what_a_model_of_one_layer_sees_is_its_mask():
    assert torch.equal(sees(model()), causal_mask(9))
    assert sees(model(), causal=False).all()
    prefix = prefix_mask(torch.tensor([4, 4]), 9)
    assert torch.equal(sees(model(), causal=False, mask=prefix), prefix[0, 0])
    near = window_mask(3, 9) & causal_mask(9)
    assert torch.equal(sees(model(window=3)), near)


def test_a_window_holds_beside_another_mask():
    first = torch.ones(9, 9, dtype=torch.bool)
    first[:, 0] = False
    first[0, 0] = True
    near = window_mask(3, 9) & causal_mask(9) & first
    assert torch.equal(sees(model(window=3), mask=first), near)


def test_a_prefix_that_is_forgotten_would_be_seen():
    prefix = prefix_mask(torch.tensor([4, 4]), 9)
    assert torch.equal(sees(model(), mask=prefix), causal_mask(9))  # causal=True wins: no prefix


@pytest.mark.parametrize("T", [1, 2, 7])
@pytest.mark.parametrize("window", [1, 2, 6])
def test_window_against_its_formula(T, window):
    S = 9
    mask = window_mask(window, T, S)
    for t in range(T):
        for s in range(S):
            assert mask[t, s] == (t + S - T - s < window)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: causal_mask(0), "T=0"),
        (lambda: causal_mask(3, 2), "T=3, S=2"),
        (lambda: prefix_mask(torch.tensor([5]), 4), "0 to T=4, got 5"),
        (lambda: prefix_mask(torch.tensor([-1]), 4), "got -1"),
        (lambda: prefix_mask(torch.tensor([[1]]), 4), r"\(B,\) integers, got \(1, 1\)"),
        (lambda: prefix_mask(torch.tensor([1.0]), 4), "float32"),
        (lambda: window_mask(0, 4), "window must be at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

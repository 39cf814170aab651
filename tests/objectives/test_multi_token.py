"""Multi-token prediction: targets by hand, head 1 equal to a Decoder, the loss a sum."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    NormConfig,
    PositionConfig,
    flops_per_token,
)
from minillm.objectives import causal_loss
from minillm.objectives.multi_token import (
    MultiTokenDecoder,
    ahead_targets,
    multi_token_flops,
    multi_token_loss,
)

CONFIG = DecoderConfig(40, 16, 3, 16, AttentionConfig(2), FeedForwardConfig("swiglu", 16))
UNTIED = dataclasses.replace(CONFIG, tie_embeddings=False)


def model(n_ahead, config=CONFIG):
    torch.manual_seed(0)
    return MultiTokenDecoder(
        dataclasses.replace(config, init_std=0.3), n_ahead, dtype=torch.float64
    )


def as_decoder(multi):
    """Head 1 and the trunk as the Decoder that they are, weight by weight."""
    names = {"head.weight": "head.weight", "embedding.weight": "embedding.weight"}
    last = multi.config.n_layers - 1
    weights = {}
    for name, value in multi.state_dict().items():
        if name.startswith("trunk."):
            weights[name.removeprefix("trunk.")] = value
        elif name.startswith("heads.0."):
            key = name.removeprefix("heads.0.").replace("blocks.0.", f"blocks.{last}.")
            weights[key] = value
        elif name in names:
            weights[name] = value
    decoder = Decoder(multi.config, dtype=torch.float64)
    decoder.load_state_dict(weights)  # strict: every weight has its place
    return decoder


def batch():
    torch.manual_seed(1)
    ids = torch.randint(40, (2, 9))
    return ids[:, :-1], ids[:, 1:]


def test_targets_by_hand():
    y = torch.tensor([2, 3, 4, 5])
    assert ahead_targets(y, 1).tolist() == [[2], [3], [4], [5]]
    assert ahead_targets(y, 3).tolist() == [[2, 3, 4], [3, 4, 5], [4, 5, -100], [5, -100, -100]]
    assert ahead_targets(y[None, :2], 4)[0].tolist() == [[2, 3, -100, -100], [3] + [-100] * 3]
    gaps = torch.tensor([2, -100, 4])
    assert ahead_targets(gaps, 2).tolist() == [[2, -100], [-100, 4], [4, -100]]
    with pytest.raises(ValueError, match="n_ahead must be at least 1, got 0"):
        ahead_targets(y, 0)


@pytest.mark.parametrize("config", [CONFIG, UNTIED])
def test_head_1_is_a_decoder(config):
    multi, (x, y) = model(3, config), batch()
    decoder = as_decoder(multi)
    with torch.no_grad():
        torch.testing.assert_close(multi(x), decoder(x))
        one = model(1, config)
        torch.testing.assert_close(multi_token_loss(one, x, y), causal_loss(as_decoder(one), x, y))


def test_the_loss_is_the_sum_over_heads():
    multi, (x, y) = model(3), batch()
    y = y.clone()
    y[0, 2] = -100
    with torch.no_grad():
        features = multi.features_ahead(x)
        assert features.shape == (2, 8, 3, 16)
        logits = features @ multi.output_matrix().mT
        expected = 0.0
        for i in range(3):  # head i + 1 at t says y[t + i]
            expected += F.cross_entropy(logits[:, : 8 - i, i].flatten(0, 1), y[:, i:].flatten())
        torch.testing.assert_close(multi_token_loss(multi, x, y), expected)
        assert not torch.allclose(logits[..., 0, :], logits[..., 1, :])  # the heads differ


def test_no_head_sees_the_future():
    multi, (x, _) = model(2), batch()
    changed = x.clone()
    changed[:, 4:] = (changed[:, 4:] + 7) % 40
    with torch.no_grad():
        before, after = multi.features_ahead(x), multi.features_ahead(changed)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_every_head_and_the_trunk_learn():
    multi, (x, y) = model(2), batch()
    multi_token_loss(multi, x, y).backward()
    assert all(p.grad is not None and p.grad.any() for p in multi.parameters())


def test_the_cost():
    assert multi_token_flops(CONFIG, 1, 16) == flops_per_token(CONFIG)
    one_more = multi_token_flops(CONFIG, 2, 16) - flops_per_token(CONFIG)
    block = 4 * 16 * 16 + 3 * 16 * 16
    assert one_more == 6 * (block + 40 * 16) + 12 * 16 * 16


@pytest.mark.parametrize(
    ("changes", "n_ahead", "words"),
    [
        ({}, 0, "n_ahead must be at least 1, got 0"),
        ({"n_layers": 1}, 2, "n_layers must be at least 2, a trunk and a head; got 1"),
        ({"position": PositionConfig("learned")}, 2, "got 'learned'"),
        ({"norm": NormConfig(place="post")}, 2, "norm must be before each part"),
    ],
)
def test_refused(changes, n_ahead, words):
    with pytest.raises(ValueError, match=words):
        MultiTokenDecoder(dataclasses.replace(CONFIG, **changes), n_ahead)


def test_shapes_refused():
    x, y = batch()
    with pytest.raises(ValueError, match="one shape"):
        multi_token_loss(model(2), x, y[:, :-1])

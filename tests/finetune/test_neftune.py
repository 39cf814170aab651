"""NEFTune: the size of its noise, only in training, and equal to the library's."""

import math

import pytest
import torch

from minillm.finetune.neftune import embedding_noise, neftune
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig

IDS = torch.tensor([[1, 2, 3, 4, 0, 0], [5, 6, 7, 8, 9, 10]])


def make_model():
    torch.manual_seed(0)
    config = DecoderConfig(16, 8, 1, 8, AttentionConfig(2), FeedForwardConfig("swiglu", 8))
    return Decoder(config)


def seeded():
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize(("T", "D"), [(10, 64), (400, 64), (40, 512)])
def test_a_text_is_moved_by_alpha_over_root_three_however_long(T, D):
    noise = embedding_noise(torch.zeros(50, T, D), 5.0, generator=seeded())
    lengths = noise.flatten(1).norm(dim=1)  # 50 texts
    assert abs(lengths.mean() / (5 / math.sqrt(3)) - 1) < 0.02
    assert noise.abs().max() <= 5 / math.sqrt(T * D)
    assert noise.abs().max() > 0.99 * 5 / math.sqrt(T * D)  # uniform: it comes near its bounds
    assert abs(noise.mean()) < 0.01 * noise.abs().max()


def test_padding_does_not_count_where_lengths_are_given():
    x = torch.zeros(2, 6, 8)
    bare = embedding_noise(x, 1.0, generator=seeded())
    own = embedding_noise(x, 1.0, lengths=torch.tensor([4, 6]), generator=seeded())
    torch.testing.assert_close(own[0], bare[0] * math.sqrt(6 / 4))
    torch.testing.assert_close(own[1], bare[1])


def test_equal_to_transformers():
    """Their hook on a table, and ours, with the same draws."""
    from transformers.integrations.neftune import neftune_post_forward_hook

    model = make_model().train()
    table = model.embedding
    plain = table(IDS)
    table.neftune_noise_alpha = 5.0
    torch.manual_seed(7)
    theirs = neftune_post_forward_hook(table, (IDS,), plain.clone())
    torch.manual_seed(7)
    with neftune(model, 5.0):
        ours = table(IDS)
    torch.testing.assert_close(ours, theirs)
    assert (ours - plain).abs().max() > 0


def test_only_while_it_trains_and_inside():
    model = make_model()
    plain = model(IDS)
    with neftune(model.train(), 5.0, generator=seeded()):
        assert not torch.equal(model(IDS), plain)
        model.eval()
        assert torch.equal(model(IDS), plain)
        model.train()
    assert torch.equal(model(IDS), plain)


def test_the_hook_goes_when_training_fails():
    model = make_model().train()
    plain = model(IDS)
    with pytest.raises(KeyError), neftune(model, 5.0):
        raise KeyError
    assert torch.equal(model(IDS), plain)


def test_no_strength_draws_nothing():
    model = make_model().train()
    before = torch.get_rng_state()
    with neftune(model, 0.0):
        model(IDS)
    assert torch.equal(torch.get_rng_state(), before)
    with neftune(model, 1.0):
        model(IDS)
    assert not torch.equal(torch.get_rng_state(), before)


def test_pad_tokens_are_counted_out():
    model = make_model().train()
    plain = model.embedding(IDS)
    with neftune(model, 1.0, generator=seeded()):
        bare = model.embedding(IDS) - plain
    with neftune(model, 1.0, pad_id=0, generator=seeded()):
        own = model.embedding(IDS) - plain
    torch.testing.assert_close(own[0], bare[0] * math.sqrt(6 / 4))
    torch.testing.assert_close(own[1], bare[1])
    with neftune(model, 1.0, pad_id=0):
        assert model.embedding(torch.zeros(1, 3, dtype=torch.int64)).isfinite().all()


def test_the_table_still_learns():
    model = make_model().train()
    with neftune(model, 5.0, generator=seeded()):
        model(IDS).logsumexp(dim=-1).sum().backward()
    assert model.embedding.weight.grad.abs().max() > 0


def test_bad_input():
    x = torch.zeros(2, 3, 4)
    with pytest.raises(ValueError, match=r"x must be \(B, T, D\), got \(3, 4\)"):
        embedding_noise(x[0], 1.0)
    for alpha in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="alpha must be finite and not negative"):
            embedding_noise(x, alpha)
        with pytest.raises(ValueError, match="alpha must be finite"), neftune(make_model(), alpha):
            pass
    for lengths in (torch.tensor([3]), torch.tensor([0, 3])):
        with pytest.raises(ValueError, match="lengths must be 2 numbers of at least 1"):
            embedding_noise(x, 1.0, lengths=lengths)
    linear = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="Linear has no embedding"), neftune(linear, 1.0):
        pass

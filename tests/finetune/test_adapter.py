"""Adapters: the identity at the start, and what the formula says afterwards."""

import pytest
import torch
from torch.nn import functional as F

from minillm.finetune import Adapter, add_adapters, count_trainable, count_trained
from minillm.finetune.adapter import Adapted
from minillm.inference import generate
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, KVCache

CONFIG = DecoderConfig(
    vocab_size=40,
    d_model=16,
    n_layers=2,
    context=16,
    attention=AttentionConfig(4, 2),
    feedforward=FeedForwardConfig("swiglu", 24),
    init_std=0.3,
)
IDS = torch.randint(0, 40, (2, 6), generator=torch.Generator().manual_seed(0))


def decoder():
    torch.manual_seed(1)
    return Decoder(CONFIG, dtype=torch.float64)


def stir(model):
    """Give everything that is trained a random value."""
    torch.manual_seed(2)
    for param in model.parameters():
        if param.requires_grad:
            torch.nn.init.normal_(param, std=0.3)


def test_by_hand():
    torch.manual_seed(3)
    adapter = Adapter(4, 2, dtype=torch.float64)
    h = torch.randn(3, 4, dtype=torch.float64)
    assert torch.equal(adapter(h), h)  # to the last bit
    stir(adapter)
    d, u = adapter.down, adapter.up
    inner = h @ d.weight.T + d.bias
    inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
    torch.testing.assert_close(adapter(h), h + inner @ u.weight.T + u.bias)
    assert d.weight.shape == (2, 4)


@pytest.mark.parametrize(("places", "n"), [("houlsby", 4), ("pfeiffer", 2)])
def test_in_a_model(places, n):
    model = decoder()
    before = model(IDS)
    assert add_adapters(model, 3, places=places) is model
    adapted = [name for name, part in model.named_modules() if isinstance(part, Adapted)]
    assert len(adapted) == n
    assert torch.equal(model(IDS), before)
    assert count_trainable(model) == n * (2 * 16 * 3 + 3 + 16)
    assert count_trainable(model) == count_trained(places, CONFIG, 3)
    model(IDS).square().mean().backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {n for n, p in model.named_parameters() if "adapter" in n}


def test_it_stands_before_the_sum():
    model = decoder()
    plain = decoder().blocks[0]
    add_adapters(model, 3)
    stir(model)
    x = torch.randn(2, 6, 16, dtype=torch.float64)
    one, two = model.blocks[0].attention.adapter, model.blocks[0].feedforward.adapter
    y = x + one(plain.attention(plain.attention_norm(x)))
    y = y + two(plain.feedforward(plain.feedforward_norm(y)))
    torch.testing.assert_close(model.blocks[0](x), y)


def test_with_a_cache_and_generate():
    model = add_adapters(decoder(), 3)
    stir(model)
    cache = KVCache(CONFIG, 2, 6, dtype=torch.float64)
    parts = [model(IDS[:, :4], cache=cache), model(IDS[:, 4:], cache=cache)]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(IDS))
    assert torch.equal(generate(model, IDS, 5), generate(model, IDS, 5, use_cache=False))
    assert not torch.equal(generate(model, IDS, 5), generate(decoder(), IDS, 5))


def test_the_gradient_at_the_start_reaches_only_the_way_up():
    adapter = Adapter(4, 2)
    F.mse_loss(adapter(torch.randn(5, 4)), torch.zeros(5, 4)).backward()
    assert adapter.up.weight.grad.any()
    assert not adapter.down.weight.grad.any()


def test_what_is_refused():
    with pytest.raises(ValueError, match="places must be one of houlsby, pfeiffer; got 'lewis'"):
        add_adapters(decoder(), 3, places="lewis")
    with pytest.raises(ValueError, match="widths must be at least 1"):
        add_adapters(decoder(), 0)
    model = add_adapters(decoder(), 2)
    with pytest.raises(ValueError, match="has adapters already"):
        add_adapters(model, 2)

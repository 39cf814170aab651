"""DoRA against its formula, forward and backward."""

import pytest
import torch
from torch import nn

from minillm.finetune.dora import DoRALinear, lengths
from minillm.finetune.lora import apply_lora, lora_layers
from minillm.finetune.merge import fold_adapters, merge_adapters, unmerge_adapters
from minillm.finetune.switch import adapter_parameters, using
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.model.layers import Linear

CONFIG = DecoderConfig(
    vocab_size=50,
    d_model=16,
    n_layers=2,
    context=16,
    attention=AttentionConfig(4, 2, bias=True),
    feedforward=FeedForwardConfig("gelu", 24),
    init_std=0.2,
)
IDS = torch.randint(0, 50, (2, 9), generator=torch.Generator().manual_seed(0))


def layer(*, bias=True, detach=True, **options):
    torch.manual_seed(0)
    base = Linear(5, 7, bias=bias, dtype=torch.float64)
    if bias:
        nn.init.normal_(base.bias)
    made = DoRALinear(base, 2, 6.0, **options)
    made.detach = detach
    adapter = made.adapters["default"]
    nn.init.normal_(adapter.b)
    with torch.no_grad():
        adapter.m.mul_(torch.rand(7) + 0.5)
    return made


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("stable", [True, False])
@pytest.mark.parametrize("detach", [True, False])
def test_output_and_gradients_are_those_of_the_formula(bias, stable, detach):
    ours = layer(bias=bias, detach=detach, stable=stable)
    adapter = ours.adapters["default"]
    x = torch.randn(3, 4, 5, dtype=torch.float64)
    V = ours.base.weight + 6 / (2**0.5 if stable else 2) * adapter.b @ adapter.a
    length = V.square().sum(dim=1).sqrt()
    W = (adapter.m / (length.detach() if detach else length))[:, None] * V
    expected = x @ W.T + (ours.base.bias if bias else 0)
    y = ours(x)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.weight, W, rtol=1e-12, atol=1e-12)
    g = torch.randn_like(y)
    parameters = [adapter.a, adapter.b, adapter.m]
    found, wanted = (torch.autograd.grad(out, parameters, g) for out in (y, expected))
    for f, w in zip(found, wanted, strict=True):
        torch.testing.assert_close(f, w, rtol=1e-10, atol=1e-10)
    other = layer(bias=bias, detach=not detach, stable=stable)
    a, b = (m.adapters["default"] for m in (ours, other))
    moved = torch.autograd.grad(other(x), [b.a], g)[0] - torch.autograd.grad(ours(x), [a.a], g)[0]
    assert moved.abs().max() > 1e-3  # ... and the other way would be seen


def test_m_is_the_length_of_the_rows_of_the_adapted_matrix():
    ours = layer()
    torch.testing.assert_close(lengths(ours.weight), ours.adapters["default"].m)
    torch.testing.assert_close(
        lengths(torch.tensor([[3.0, 4.0], [0.0, 2.0]])), torch.tensor([5.0, 2])
    )


@torch.no_grad()
def test_in_a_model_it_starts_at_the_base_merges_and_folds():
    torch.manual_seed(0)
    model = Decoder(CONFIG)
    logits = model(IDS)
    apply_lora(model, "all", rank=2, layer=DoRALinear)
    assert torch.equal(model(IDS), logits)
    for name, param in adapter_parameters(model).items():
        if not name.endswith(".a"):
            param.add_(0.2 * torch.randn_like(param))
    changed = model(IDS)
    assert (changed - logits).abs().max() > 0.05
    with using(model, ()):
        assert torch.equal(model(IDS), logits)
    merge_adapters(model)
    torch.testing.assert_close(model(IDS), changed, rtol=0, atol=1e-5)
    unmerge_adapters(model)
    assert torch.equal(model(IDS), changed)
    torch.testing.assert_close(fold_adapters(model)(IDS), changed, rtol=0, atol=1e-5)


def test_it_trains_one_number_more_an_output():
    model = apply_lora(Decoder(CONFIG), ("q", "v"), rank=2, layer=DoRALinear)
    numbers = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert numbers == 2 * (2 * ((16 + 16) + (16 + 8)) + 16 + 8)
    model(IDS).square().sum().backward()
    for made in lora_layers(model).values():
        assert made.adapters["default"].m.grad.any()


def test_a_bfloat16_base_keeps_its_dtype():
    ours = DoRALinear(Linear(5, 7, dtype=torch.bfloat16), 2, 4.0)
    x = torch.randn(3, 5, dtype=torch.bfloat16)
    assert ours(x).dtype == torch.bfloat16
    assert ours.adapters["default"].m.dtype == torch.float32
    torch.testing.assert_close(ours(x), ours.base(x))

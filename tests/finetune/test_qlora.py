"""QLoRA: a product with a matrix in four bits, its gradient, and what is kept for it."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from minillm.finetune import (
    NF4Linear,
    apply_qlora,
    count_trainable,
    dequantise_nf4,
    quantise_model,
    quantise_nf4,
)
from minillm.finetune.lora import LoRALinear
from minillm.inference import generate
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.model.layers import Linear
from minillm.model.routing import ExpertsConfig

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
    return Decoder(CONFIG)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_product_and_gradient_are_those_of_the_dequantised_matrix(bias, dtype):
    torch.manual_seed(2)
    base = Linear(48, 20, bias=bias, dtype=dtype)
    if bias:
        torch.nn.init.normal_(base.bias)
    layer = NF4Linear(base)
    weight = dequantise_nf4(quantise_nf4(base.weight), dtype)
    assert torch.equal(layer.weight, weight)
    x = torch.randn(3, 5, 48, dtype=dtype)
    mine, plain = x.clone().requires_grad_(True), x.clone().requires_grad_(True)
    y, z = layer(mine), F.linear(plain, weight, base.bias)
    assert torch.equal(y, z)
    grad = torch.randn(y.shape, dtype=dtype)
    y.backward(grad)
    z.backward(grad)
    torch.testing.assert_close(mine.grad, plain.grad)
    assert mine.grad.any()


def test_gradcheck():
    torch.manual_seed(3)
    layer = NF4Linear(Linear(6, 4, bias=True, dtype=torch.float64))
    assert torch.autograd.gradcheck(layer, torch.randn(2, 6, dtype=torch.float64).requires_grad_())


def test_nothing_of_the_size_of_the_matrix_is_kept():
    layer, sizes = NF4Linear(Linear(64, 64)), []
    x = torch.randn(2, 64, requires_grad=True)

    def note(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        layer(x).sum().backward()
        mine = max(sizes, default=0)
        F.linear(x, layer.weight).sum().backward()
    assert mine < 64 * 64
    assert max(sizes) == 64 * 64  # ... and the plain way does keep it


def test_under_autocast():
    layer = NF4Linear(Linear(32, 32))
    x = torch.randn(4, 32, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert x.grad.dtype == torch.float32
    expected = layer.weight.sum(dim=0).expand(4, -1)
    torch.testing.assert_close(x.grad, expected, rtol=0.05, atol=0.05)


def test_a_quantised_model():
    model, copy = decoder(), decoder()
    assert quantise_model(model) is model
    assert count_trainable(model) == 0
    assert sum(isinstance(m, NF4Linear) for m in model.modules()) == 2 * 7
    assert not any(isinstance(m, Linear) for m in model.blocks.modules())
    with torch.no_grad():
        for part in copy.blocks.modules():
            if isinstance(part, Linear):
                part.weight.copy_(dequantise_nf4(quantise_nf4(part.weight)))
    torch.testing.assert_close(model(IDS), copy(IDS))
    assert not torch.allclose(model(IDS), decoder()(IDS))
    assert torch.equal(generate(model, IDS, 4), generate(copy, IDS, 4))


def test_saved_and_loaded():
    model, other = quantise_model(decoder()), quantise_model(Decoder(CONFIG))
    assert not torch.equal(model(IDS), other(IDS))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(IDS), other(IDS))


def test_qlora_starts_as_the_quantised_model_and_learns():
    model = decoder()
    quantised = quantise_model(decoder())(IDS)
    assert apply_qlora(model, rank=2, alpha=4.0) is model
    assert torch.equal(model(IDS), quantised)
    layers = [m for m in model.modules() if isinstance(m, LoRALinear)]
    assert len(layers) == 14
    assert all(isinstance(m.base, NF4Linear) for m in layers)
    assert count_trainable(model) == 2 * 2 * (2 * (16 + 16) + 2 * (16 + 8) + 3 * (16 + 24))
    codes = layers[0].base.packed.clone()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    losses = []
    for _ in range(20):
        loss = F.cross_entropy(model(IDS[:, :-1]).flatten(0, 1), IDS[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    assert torch.equal(codes, layers[0].base.packed)


def test_only_some_matrices_get_an_update():
    model = apply_qlora(decoder(), ("q", "v"), rank=1, alpha=1.0, double=False, block=32)
    assert sum(isinstance(m, LoRALinear) for m in model.modules()) == 4
    down = model.blocks[0].feedforward.down
    assert isinstance(down, NF4Linear)
    assert down.block == 32
    assert down.outer is None


def test_bits_are_printed():
    assert "64, 64, 4.141 bits a weight" in str(NF4Linear(Linear(64, 64), block=64))


def test_what_is_refused():
    with pytest.raises(ValueError, match="no Linear left in the blocks"):
        quantise_model(quantise_model(decoder()))
    experts = FeedForwardConfig("swiglu", 24, experts=ExpertsConfig(2))
    with pytest.raises(ValueError, match="does not reach the experts"):
        apply_qlora(Decoder(dataclasses.replace(CONFIG, feedforward=experts)))

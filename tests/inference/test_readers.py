"""The three readers are one; the fused one is only taken where it knows every part."""

import dataclasses

import pytest
import torch

from minillm.inference import generate
from minillm.inference.readers import (
    FUSE_UP_TO,
    AnewReader,
    CachedReader,
    FusedReader,
    fusable,
    make_reader,
)
from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    NormConfig,
    PositionConfig,
    RopeScaling,
)

BASE = DecoderConfig(
    vocab_size=41,
    d_model=16,
    n_layers=3,
    context=64,
    attention=AttentionConfig(n_heads=4),
    feedforward=FeedForwardConfig(kind="swiglu", width=24),
    init_std=0.4,
)


def decoder(dtype=torch.float64, **changes):
    torch.manual_seed(0)
    model = Decoder(dataclasses.replace(BASE, **changes), dtype=dtype)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1:  # gains that are all 1 would hide a gain that was forgotten
                p.add_(0.5 * torch.randn(p.shape, dtype=dtype) if "norm" in name else 0)
    return model


def prompt(B, T=7):
    return torch.randint(0, 41, (B, T), generator=torch.Generator().manual_seed(1))


FUSED = {
    "as it is": {},
    "gqa": {"attention": AttentionConfig(n_heads=4, n_kv_heads=2)},
    "mqa": {"attention": AttentionConfig(n_heads=4, n_kv_heads=1)},
    "wide heads": {"attention": AttentionConfig(n_heads=4, n_kv_heads=2, head_width=6)},
    "interleaved": {"position": PositionConfig(interleaved=True)},
    "other base": {"position": PositionConfig(rope_theta=100.0)},
    "large eps": {"norm": NormConfig(eps=0.5)},
    "untied": {"tie_embeddings": False},
    "readable": {"attention": AttentionConfig(n_heads=4, implementation="readable")},
}


@pytest.mark.parametrize("changes", FUSED.values(), ids=FUSED.keys())
@pytest.mark.parametrize("B", [1, 3])
@torch.no_grad()
def test_the_three_readers_are_equal(changes, B):
    model = decoder(**changes)
    assert fusable(model)
    readers = [AnewReader(model), CachedReader(model, B, 32), FusedReader(model, B, 32)]
    new = prompt(B)
    for _ in range(25):
        anew, cached, fused = (read(new) for read in readers)
        assert anew.shape == (B, 41)
        torch.testing.assert_close(cached, anew, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(fused, anew, rtol=1e-10, atol=1e-10)
        new = anew.argmax(dim=-1, keepdim=True)
    assert anew.std() > 0.1


@torch.no_grad()
def test_float32_is_as_near_as_float32_allows():
    model, new = decoder(torch.float32), prompt(2)
    cached, fused = CachedReader(model, 2, 20), FusedReader(model, 2, 20)
    for _ in range(12):
        a, b = cached(new), fused(new)
        assert b.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        new = a.argmax(dim=-1, keepdim=True)


OTHERS = {
    "layernorm": {"norm": NormConfig(kind="layernorm")},
    "post": {"norm": NormConfig(place="post")},
    "alibi": {"position": PositionConfig(kind="alibi")},
    "longer": {"position": PositionConfig(scaling=RopeScaling("linear", factor=4.0))},
    "yarn": {"position": PositionConfig(scaling=RopeScaling("yarn", 4.0, trained_length=8))},
    "gelu": {"feedforward": FeedForwardConfig(kind="gelu", width=24)},
    "geglu": {"feedforward": FeedForwardConfig(kind="geglu", width=24)},
    "attention bias": {"attention": AttentionConfig(n_heads=4, bias=True)},
    "feedforward bias": {"feedforward": FeedForwardConfig(kind="swiglu", width=24, bias=True)},
}


@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS.keys())
def test_what_it_does_not_know_is_left_to_the_cache(changes):
    model = decoder(**changes)
    assert not fusable(model)
    assert type(make_reader(model, 1, 20)) is CachedReader
    ids = prompt(2)
    assert torch.equal(generate(model, ids, 9), generate(model, ids, 9, use_cache=False))


class Doubled(torch.nn.Module):
    """An adapter, as LoRA is one: wraps a layer and has its weight, but does something else."""

    def __init__(self, base):
        super().__init__()
        self.base, self.weight = base, base.weight

    def forward(self, x):
        return 2 * self.base(x)


def test_adapters_hooks_and_subclasses_are_seen():
    ids = prompt(1)
    model = decoder()
    plain = generate(model, ids, 12)
    model.blocks[1].feedforward.up = Doubled(model.blocks[1].feedforward.up)
    assert not fusable(model)
    adapted = generate(model, ids, 12)
    assert torch.equal(adapted, generate(model, ids, 12, use_cache=False))
    assert not torch.equal(adapted, plain)
    model = decoder()
    model.blocks[0].attention.register_forward_hook(lambda m, i, o: 0 * o)
    assert not fusable(model)
    model = decoder()
    model.blocks[0].register_forward_pre_hook(lambda m, i: None)
    assert not fusable(model)

    class Mine(Decoder):
        pass

    assert not fusable(Mine(BASE))
    assert not fusable(torch.nn.Linear(2, 2))


def test_dtypes_and_sizes():
    assert not fusable(decoder().to(torch.bfloat16))
    mixed = decoder(torch.float32)
    mixed.final_norm.double()
    assert not fusable(mixed)
    assert fusable(decoder(torch.float32))
    huge = dataclasses.replace(BASE, vocab_size=FUSE_UP_TO // 16 + 1)
    assert not fusable(Decoder(huge, device="meta"))


def test_the_weights_are_those_of_now():
    model, ids = decoder(), prompt(1)
    before = generate(model, ids, 12)
    with torch.no_grad():
        model.blocks[0].attention.v.weight.mul_(-3)
    after = generate(model, ids, 12)
    assert not torch.equal(before, after)
    assert torch.equal(after, generate(model, ids, 12, use_cache=False))


def test_make_reader_and_refusals():
    model = decoder()
    assert type(make_reader(model, 1, 20)) is FusedReader
    assert type(make_reader(model, 1, 20, use_cache=False)) is AnewReader
    with pytest.raises(ValueError, match="Linear has no cache"):
        make_reader(torch.nn.Linear(2, 2), 1, 20)


@pytest.mark.parametrize("changes", FUSED.values(), ids=FUSED.keys())
@pytest.mark.parametrize("B", [1, 3])
@torch.no_grad()
def test_several_tokens_at_once_and_back_again(changes, B):
    model = decoder(**changes)
    readers = [AnewReader(model), CachedReader(model, B, 32), FusedReader(model, B, 32)]
    text, more = prompt(B, 7), prompt(B, 20)
    for _ in range(2):  # a prompt, then pieces; once more after all was forgotten
        for read in readers:
            read.truncate(0)
        wholes = [read.each(text) for read in readers]
        for size, back in ((4, 2), (1, 1), (9, 0), (3, 3)):
            new = more[:, :size]
            pieces = [read.each(new) for read in readers]
            assert pieces[0].shape == (B, size, 41)
            for other in pieces[1:]:
                torch.testing.assert_close(other, pieces[0], rtol=1e-10, atol=1e-10)
            for read in readers:
                read.truncate(read.length - back)
            assert len({read.length for read in readers}) == 1
        torch.testing.assert_close(wholes[1], wholes[0], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(wholes[2], wholes[0], rtol=1e-10, atol=1e-10)
        last = [read(more[:, :5]) for read in readers]
        torch.testing.assert_close(last[1], last[0], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(last[2], last[0], rtol=1e-10, atol=1e-10)


def test_refusals():
    model = decoder()
    for read in (AnewReader(model), CachedReader(model, 1, 20), FusedReader(model, 1, 20)):
        assert read.length == 0
        with torch.no_grad():
            read(prompt(1))
        assert read.length == 7
        for length in (-1, 8):
            with pytest.raises(ValueError, match=f"can keep 0 to 7 positions, got {length}"):
                read.truncate(length)

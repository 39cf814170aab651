"""Learned prefixes: held to the text they stand for, to joined embeddings, and to each other."""

import dataclasses

import pytest
import torch

from minillm.finetune import (
    EncodedPrefix,
    Prefix,
    PrefixedDecoder,
    SoftPrompt,
    add_prefix,
    add_prompt,
    count_trainable,
    materialise,
)
from minillm.inference import generate
from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    KVCache,
    PositionConfig,
)
from minillm.model.stack import Stack

P, V = 3, 50
BASE = DecoderConfig(
    vocab_size=V,
    d_model=16,
    n_layers=2,
    context=32,
    attention=AttentionConfig(4, 2),
    feedforward=FeedForwardConfig("swiglu", 24),
    init_std=0.3,
)
POSITIONS = ("rope", "learned", "sinusoidal", "alibi", "t5", "none")
IDS = torch.randint(0, V, (2, 7), generator=torch.Generator().manual_seed(0))
WORDS = torch.tensor([7, 3, 41])


def decoder(kind="rope", **attention):
    torch.manual_seed(1)
    heads = dataclasses.replace(BASE.attention, **attention)
    config = dataclasses.replace(BASE, position=PositionConfig(kind), attention=heads)
    return Decoder(config, dtype=torch.float64)


def after_words(model, ids, words=WORDS, **more):
    """What the bare model says on the text, behind real words."""
    front = words.expand(len(ids), -1)
    return model(torch.cat([front, ids], dim=1), **more)[:, len(words) :]


def all_kinds(model):
    """The four methods, with random starts that are far from silence."""
    torch.manual_seed(2)
    start = torch.randn(P, 16, dtype=torch.float64)
    yield add_prompt(model, P, start=start)
    yield add_prompt(model, P, start=start, encoder="mlp", width=8)
    yield add_prompt(model, P, start=start, encoder="lstm", width=8)
    yield add_prefix(model, P, start=start)
    yield add_prefix(model, P, start=start, width=8)


@pytest.mark.parametrize("kind", POSITIONS)
@pytest.mark.parametrize("method", [add_prompt, add_prefix])
def test_a_prefix_of_real_words_is_those_words(kind, method):
    model = decoder(kind)
    prefixed = method(model, P, start=WORDS)
    torch.testing.assert_close(prefixed(IDS), after_words(model, IDS))
    assert not torch.allclose(prefixed(IDS), model(IDS))  # ... and it is heard


def test_the_gradient_of_a_soft_prompt_is_that_of_joined_embeddings():
    model = decoder()
    prefixed = add_prompt(model, P, start=torch.randn(P, 16))
    joined = prefixed.source.embeddings.detach().clone().requires_grad_(True)
    x = torch.cat([joined.expand(2, -1, -1), model.embedding(IDS)], dim=1)
    y = model.logits(Stack.run(model, x)[:, P:])
    torch.testing.assert_close(prefixed(IDS), y)
    weight = torch.randn(y.shape, dtype=y.dtype)
    (y * weight).sum().backward()
    (prefixed(IDS) * weight).sum().backward()
    torch.testing.assert_close(prefixed.source.embeddings.grad, joined.grad)
    assert joined.grad.abs().min() > 0


def test_only_the_source_is_trained_and_it_is_all_trained():
    model = decoder()
    for prefixed in all_kinds(model):
        own = sum(p.numel() for p in prefixed.source.parameters())
        assert count_trainable(prefixed) == own > 0
        prefixed(IDS).square().mean().backward()
        assert all(p.grad is None for p in model.parameters())
        assert all(p.grad is not None and p.grad.any() for p in prefixed.source.parameters())


def test_materialise_keeps_the_output_and_drops_the_network():
    model = decoder()
    for prefixed in all_kinds(model):
        plain = materialise(prefixed)
        torch.testing.assert_close(plain(IDS), prefixed(IDS))
        assert type(plain.source) is Prefix
        assert count_trainable(plain) == 2 * 2 * P * 2 * 4  # 2 L P K H
        assert plain.embedding is model.embedding


def test_with_a_cache_token_by_token():
    model = decoder()
    for prefixed in all_kinds(model):
        whole = prefixed(IDS)
        cache = KVCache(model.config, 2, 7, dtype=torch.float64)  # no room for the prefix needed
        parts = [prefixed(IDS[:, a:b], cache=cache) for a, b in ((0, 4), (4, 5), (5, 7))]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole)
        with pytest.raises(ValueError, match="cache is full"):
            prefixed(IDS[:, :1], cache=cache)


def test_generate_hears_the_prefix():
    model = decoder()
    prefixed = add_prefix(model, P, start=WORDS)
    expected = generate(model, torch.cat([WORDS.expand(2, -1), IDS], dim=1), 6)[:, P:]
    assert torch.equal(generate(prefixed, IDS, 6), expected)
    assert not torch.equal(generate(model, IDS, 6), expected)


def test_packed_documents_each_see_the_prefix_and_not_each_other():
    model = decoder()
    prefixed = add_prefix(model, P, start=WORDS)
    documents = torch.tensor([[5, 5, 5, 5, 2, 2, 2]] * 2)
    packed = prefixed(IDS, documents=documents)
    alone = [prefixed(IDS[:, :4]), prefixed(IDS[:, 4:])]
    torch.testing.assert_close(packed, torch.cat(alone, dim=1))


@pytest.mark.parametrize("shape", [(7, 7), (2, 1, 7, 7), (2, 1, 1, 7), (7, 1)])
def test_masks_are_those_of_the_text(shape):
    model = decoder()
    prefixed = add_prefix(model, P, start=WORDS)
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(3)) > 0.4
    mask[..., 0] |= shape[-1] > 1
    full = mask.expand(*shape[:-1], 7) if shape != (7, 1) else mask.expand(7, 7)
    wide = torch.ones(2, 1, 10, 10, dtype=torch.bool)
    wide[:, :, P:, P:] = full if full.ndim == 4 else full[None, None]
    torch.testing.assert_close(prefixed(IDS, mask=mask), after_words(model, IDS, mask=wide))


def test_a_window_passes_the_prefix_by_as_any_text():
    model = decoder(window=4)
    prefixed = add_prefix(model, P, start=WORDS)
    torch.testing.assert_close(prefixed(IDS), after_words(model, IDS))


def test_the_base_is_as_it_was():
    model = decoder()
    before = model(IDS)
    prefixed = add_prefix(model, P, start=WORDS, width=8)
    torch.testing.assert_close(prefixed.base()(IDS), before, rtol=0, atol=0)
    torch.testing.assert_close(model(IDS), before, rtol=0, atol=0)
    assert type(prefixed.base()) is Decoder
    shared = set(dict(model.named_parameters()))
    assert {n for n, _ in prefixed.named_parameters() if not n.startswith("source.")} == shared


def test_mode_and_precision_follow_the_model():
    model = decoder().float().eval()
    for prefixed in all_kinds(model):
        assert not prefixed.training
        assert prefixed(IDS).dtype == torch.float32


def test_a_start_at_random_takes_rows_of_the_table():
    torch.manual_seed(5)
    source = add_prompt(decoder(), 9).source
    table = decoder().embedding.weight[:V]
    assert all((row == table).all(dim=1).any() for row in source.embeddings.detach())


def test_an_mlp_writes_keys_before_values_layer_by_layer():
    torch.manual_seed(6)
    source = EncodedPrefix(BASE, torch.randn(P, 16), width=8)
    flat = source.out(source.inner(source.embeddings).tanh())  # (P, L 2 K H)
    keys, values = source.keys_values(None)
    for layer in range(2):
        cut = flat[:, layer * 16 : (layer + 1) * 16].view(P, 2, 2, 4)
        torch.testing.assert_close(keys[layer], cut[:, 0].transpose(0, 1))
        torch.testing.assert_close(values[layer], cut[:, 1].transpose(0, 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_tokens": 0}, "at least 1 token, got n_tokens=0"),
        ({"n_tokens": 2, "start": WORDS}, r"start must hold 2 ids, got \(3,\)"),
        ({"n_tokens": 3, "start": torch.zeros(3, 5)}, r"start must be \(3, 16\), got \(3, 5\)"),
        ({"n_tokens": 3, "encoder": "gru"}, "encoder must be 'mlp' or 'lstm', got 'gru'"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        add_prompt(decoder(), **settings)


def test_a_second_prefix_and_a_full_table_are_refused():
    prefixed = add_prefix(decoder(), P)
    with pytest.raises(ValueError, match="has a prefix already"):
        PrefixedDecoder(prefixed, SoftPrompt(torch.zeros(1, 16)))
    with pytest.raises(ValueError, match="a prefix of 32 leaves no room in 32 learned positions"):
        add_prompt(decoder("learned"), 32)

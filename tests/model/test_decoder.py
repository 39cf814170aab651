"""The decoder as a whole: its formula, causality, positions, its start, and what it refuses."""

import dataclasses
import math

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
    layernorm,
    rmsnorm,
    sinusoidal,
)
from minillm.model.block import Block

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
CLOSE = {"rtol": 0, "atol": 1e-12}
VARIANTS = [
    *({"position": PositionConfig(kind)} for kind in KINDS),
    {"position": PositionConfig(interleaved=True)},
    {"norm": NormConfig(place="post")},
    {"norm": NormConfig("layernorm", place="post"), "position": PositionConfig("learned")},
    {"attention": AttentionConfig(4, 1, implementation="readable")},
    {"attention": AttentionConfig(3, 3, head_width=6, bias=True), "tie_embeddings": False},
    {"feedforward": FeedForwardConfig("gelu_tanh", 30, bias=True)},
]


def build(dtype=torch.float64, seed=0, **settings):
    torch.manual_seed(seed)
    return Decoder(dataclasses.replace(CONFIG, **settings), dtype=dtype)


@pytest.mark.parametrize("settings", VARIANTS)
@torch.no_grad()
def test_no_logit_depends_on_a_later_id(settings):
    model = build(**settings)
    logits = model(IDS)
    assert logits.shape == (2, 12, 50)
    for t in (0, 5, 10):
        changed = IDS.clone()
        changed[:, t + 1 :] = (changed[:, t + 1 :] + 7) % 50
        again = model(changed)
        torch.testing.assert_close(again[:, : t + 1], logits[:, : t + 1], **CLOSE)
        assert (again[:, t + 1 :] - logits[:, t + 1 :]).abs().amax(-1).min() > 1e-6


@torch.no_grad()
def test_without_causality_every_position_sees_every_other():
    model = build()
    changed = IDS.clone()
    changed[:, -1] = (changed[:, -1] + 7) % 50
    both = [model(ids, causal=False) for ids in (IDS, changed)]
    assert (both[0] - both[1]).abs().amax(-1).min() > 1e-6


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_who_can_tell_the_order_of_ids(kind):
    model = build(position=PositionConfig(kind))
    order = torch.tensor([4, 11, 0, 2, 9, 1, 7, 3, 10, 8, 5, 6])
    shuffled = model(IDS[:, order], causal=False)
    gap = (shuffled - model(IDS, causal=False)[:, order]).abs().max()
    assert gap < 1e-12 if kind == "none" else gap > 1e-3


@pytest.mark.parametrize(("kind", "relative"), [("rope", 1), ("learned", 0), ("sinusoidal", 0)])
@torch.no_grad()
def test_a_shift_of_all_positions(kind, relative):
    model = build(position=PositionConfig(kind), context=64)
    shifted = model(IDS, positions=torch.arange(12) + 37)
    gap = (shifted - model(IDS)).abs().max()
    assert gap < 1e-4 if relative else gap > 1e-3  # RoPE's angles are float32


@torch.no_grad()
def test_alibi_and_rope_see_a_repeated_context_alike():
    """With the first half masked away, the second half is a text of its own."""
    for kind in ("rope", "alibi"):
        model = build(position=PositionConfig(kind))
        mask = torch.ones(12, 12, dtype=torch.bool)
        mask[6:, :6] = False
        alone = model(IDS[:, 6:])
        torch.testing.assert_close(model(IDS, mask=mask)[:, 6:], alone, rtol=0, atol=1e-4)
        assert (model(IDS)[:, 6:] - alone).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["rope", "learned", "sinusoidal"])
@torch.no_grad()
def test_positions_may_differ_within_a_batch(kind):
    model = build(position=PositionConfig(kind), context=32)
    offsets = torch.tensor([[0], [9]]) + torch.arange(12)
    together = model(IDS, positions=offsets)
    for b in (0, 1):
        alone = model(IDS[b : b + 1], positions=offsets[b])
        torch.testing.assert_close(together[b : b + 1], alone, **CLOSE)
    torch.testing.assert_close(together[:1], model(IDS[:1]), **CLOSE)
    assert (together[1:] - model(IDS[1:])).abs().max() > 1e-7


def test_the_model_is_its_formula():
    for place in ("pre", "post"):
        for kind in ("rmsnorm", "layernorm"):
            model = build(norm=NormConfig(kind, 0.1, place), position=PositionConfig("sinusoidal"))
            for p in model.parameters():
                if p.ndim == 1:
                    torch.nn.init.normal_(p, 1.0, 0.3)  # gains that can be told apart

            def norm(module, x):
                if isinstance(module, torch.nn.Identity):
                    return x
                bias = () if module.__class__.__name__ == "RMSNorm" else (module.bias,)
                return (layernorm if bias else rmsnorm)(x, module.weight, *bias, eps=0.1)

            x = model.embedding.weight[IDS] * math.sqrt(24) + sinusoidal(torch.arange(12), 24)
            for block in model.blocks:
                a, f = block.attention, block.feedforward
                if place == "pre":
                    x = x + a(norm(block.attention_norm, x))
                    x = x + f(norm(block.feedforward_norm, x))
                else:
                    x = norm(block.attention_norm, x + a(x))
                    x = norm(block.feedforward_norm, x + f(x))
            wanted = norm(model.final_norm, x) @ model.embedding.weight[:50].T
            torch.testing.assert_close(model(IDS), wanted, **CLOSE)
            assert isinstance(model.final_norm, torch.nn.Identity) == (place == "post")


@torch.no_grad()
def test_heads_of_their_own_equal_shared_heads_with_repeated_weights():
    shared = build(attention=AttentionConfig(4, 2))
    own = build(attention=AttentionConfig(4, 4))
    weights = shared.state_dict()
    for name in list(weights):
        if ".attention.k." in name or ".attention.v." in name:
            rows = weights[name].unflatten(0, (2, 6)).repeat_interleave(2, dim=0)
            weights[name] = rows.flatten(0, 1)
    own.load_state_dict(weights)
    torch.testing.assert_close(own(IDS), shared(IDS), **CLOSE)


def test_the_padding_is_zero_is_never_seen_and_gets_no_gradient():
    for tied in (True, False):
        model = build(tie_embeddings=tied)
        tables = [model.embedding.weight] + ([] if tied else [model.head.weight])
        model(IDS).logsumexp(-1).sum().backward()
        for table in tables:
            assert table.shape == (128, 24)
            assert table[50:].count_nonzero() == 0
            assert table.grad[50:].count_nonzero() == 0
        assert table.grad[:50].abs().sum(-1).min() > 0  # the output matrix sees every id
        assert model.output_matrix().shape == (50, 24)
    whole = build(vocab_size=128)
    assert whole.output_matrix() is whole.embedding.weight


def test_the_start_is_the_stated_table():
    config = dataclasses.replace(
        CONFIG,
        d_model=192,
        vocab_size=300,
        attention=AttentionConfig(4, bias=True),
        feedforward=FeedForwardConfig("swiglu", 256, bias=True),
        norm=NormConfig("layernorm"),
        position=PositionConfig("learned"),
        context=200,
        init_std=0.05,
        tie_embeddings=False,
    )
    torch.manual_seed(0)
    model = Decoder(config)
    for name, p in model.named_parameters():
        if p.ndim == 1:
            wanted = 1.0 if name.endswith("norm.weight") else 0.0
            assert (p == wanted).all(), name
        else:
            rows = p[:300] if name.startswith(("embedding", "head")) else p
            spread = 0.05 / 2 if name.split(".")[-2] in ("out", "down") else 0.05
            assert abs(rows.std().item() / spread - 1) < 0.03, name
            assert abs(rows.mean().item()) < 0.002, name


def test_the_loss_starts_at_ln_v():
    model = build(dtype=torch.float32, init_std=0.02)
    loss = F.cross_entropy(model(IDS[:, :-1]).flatten(0, 1), IDS[:, 1:].flatten())
    assert abs(loss.item() - math.log(50)) < 0.05


def test_a_seed_decides_the_weights():
    first, again, other = (build(seed=s).state_dict() for s in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embedding.weight"], other["embedding.weight"])


def test_device_and_dtype_are_honoured():
    config = dataclasses.replace(CONFIG, position=PositionConfig("learned"), tie_embeddings=False)
    model = Decoder(config, device="meta", dtype=torch.bfloat16)
    assert all(p.is_meta and p.dtype == torch.bfloat16 for p in model.parameters())
    for kind in KINDS:
        model = Decoder(dataclasses.replace(CONFIG, position=PositionConfig(kind)), "meta")
        assert model(IDS.to("meta")).is_meta
        assert model(IDS.to("meta")).shape == (2, 12, 50)
    real = Decoder(config)
    assert all(p.device.type == "cpu" and p.dtype == torch.float32 for p in real.parameters())
    with torch.device("meta"):
        assert Decoder(CONFIG).embedding.weight.is_meta


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_bfloat16_is_close_to_float32(kind):
    model = build(dtype=torch.float32, init_std=0.05, position=PositionConfig(kind))
    wanted = model(IDS)
    got = model.to(torch.bfloat16)(IDS)
    assert got.dtype == torch.bfloat16
    assert (got.float() - wanted).abs().max() < 0.05 * wanted.abs().max()


def test_tables_made_in_inference_mode_do_not_spoil_training():
    model = build()
    with torch.inference_mode():
        model(IDS)
    model(IDS).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@torch.no_grad()
def test_rope_goes_beyond_the_context_and_learned_positions_do_not():
    longer = IDS.repeat(1, 2)  # 24 > 16
    assert build()(longer).shape == (2, 24, 50)
    torch.testing.assert_close(build()(longer)[:, :12], build()(IDS), **CLOSE)
    learned = build(position=PositionConfig("learned"))
    assert learned(longer[:, :16]).shape == (2, 16, 50)
    with pytest.raises(ValueError, match="17 positions do not fit in the 16 learned ones"):
        learned(longer[:, :17])


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (IDS[0], r"\(B, T\) integers, got \(12,\)"),
        (IDS.float(), "torch.float32"),
        (IDS > 3, "torch.bool"),
        (torch.tensor([[3, 50]]), "id 50 is not in the vocabulary of 50"),
        (torch.tensor([[3, -1]]), "id -1 is not"),
    ],
)
def test_wrong_ids_are_refused(ids, words):
    with pytest.raises(ValueError, match=words):
        build()(ids)


def test_features_and_logits_are_the_two_halves_of_forward():
    model = build()
    features = model.features(IDS)
    assert features.shape == (2, 12, 24)
    torch.testing.assert_close(model.logits(features), model(IDS), **CLOSE)
    torch.testing.assert_close(model.logits(features[:, -1:]), model(IDS)[:, -1:], **CLOSE)


def test_a_step_down_the_gradient_lowers_the_loss():
    model = build(init_std=0.05)
    x, y = IDS[:, :-1], IDS[:, 1:]

    def loss():
        return F.cross_entropy(model(x).flatten(0, 1), y.flatten())

    before = loss()
    before.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
    with torch.no_grad():
        for p in model.parameters():
            p -= 0.1 * p.grad
    assert loss() < before - 0.01


def test_a_block_can_stand_alone():
    block = Block(CONFIG, dtype=torch.float64)
    x = torch.randn(2, 5, 24, dtype=torch.float64)
    assert block(x).shape == x.shape
    with torch.no_grad():
        block.attention.out.weight.zero_()
        block.feedforward.down.weight.zero_()
    assert torch.equal(block(x), x)  # pre-norm: the residual stream runs through untouched

"""RopeScaling in a decoder: the methods reach the model, and nothing changes without it."""

import dataclasses
import math

import pytest
import torch

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    KVCache,
    PositionConfig,
)
from minillm.model import rope_scaling as methods
from minillm.model.lengthen import lengthen
from minillm.model.long_masks import parallel_mask, parallel_positions
from minillm.model.long_rope import RopeScaling
from minillm.model.rope import rope_angles
from minillm.model.yarn import yarn_attention_factor, yarn_frequencies
from minillm.recipes.bands import chosen
from minillm.recipes.overrides import from_dict, override, to_dict

CONFIG = DecoderConfig(
    vocab_size=31, d_model=16, n_layers=2, context=8,
    attention=AttentionConfig(2), feedforward=FeedForwardConfig("swiglu", 24), init_std=0.3,
)  # fmt: skip
IDS = torch.randint(0, 31, (2, 24), generator=torch.Generator().manual_seed(3))
ALL = [
    RopeScaling("linear", 4.0),
    RopeScaling("ntk", 4.0),
    RopeScaling("dynamic", 1.0, 8),
    RopeScaling("dynamic", 3.0, 8),
    RopeScaling("yarn", 4.0, 8),
    RopeScaling("yarn", 4.0, 80, beta_fast=8.0, beta_slow=2.0, attention_factor=1.5),
]
EACH = pytest.mark.parametrize("scaling", ALL, ids=lambda s: f"{s.kind} {s.factor}")


def build(scaling=None, seed=0, **changes):
    torch.manual_seed(seed)
    place = PositionConfig("rope", 500.0, scaling=scaling)
    config = dataclasses.replace(CONFIG, position=place, **changes)
    return Decoder(config, dtype=torch.float64).eval()


# ---- the settings ----------------------------------------------------------------------------


def test_frequencies_are_those_of_each_method():
    def of(scaling, length=1):
        return scaling.frequencies(16, 500.0, length=length)

    assert torch.equal(of(ALL[0]), methods.interpolated_frequencies(16, 500.0, factor=4.0))
    assert torch.equal(of(ALL[1]), methods.ntk_frequencies(16, 500.0, factor=4.0))
    for scaling, s in ((ALL[2], 3.0), (ALL[3], 7.0)):  # 3 * 3 - 2
        assert torch.equal(of(scaling, 24), methods.ntk_frequencies(16, 500.0, factor=s))
        assert torch.equal(of(scaling, 8), methods.ntk_frequencies(16, 500.0, factor=1.0))
    assert torch.equal(of(ALL[4]), yarn_frequencies(16, 500.0, factor=4.0, trained_length=8))
    betas = {"beta_fast": 8.0, "beta_slow": 2.0}
    want = yarn_frequencies(16, 500.0, factor=4.0, trained_length=80, **betas)
    assert torch.equal(of(ALL[5]), want)
    rough = dataclasses.replace(ALL[5], truncate=False)
    want = yarn_frequencies(16, 500.0, factor=4.0, trained_length=80, truncate=False, **betas)
    assert torch.equal(of(rough), want)
    assert not torch.equal(of(rough), of(ALL[5]))


def test_only_yarn_lengthens_the_vectors():
    assert [s.gain for s in ALL] == [1, 1, 1, 1, yarn_attention_factor(4.0), 1.5]
    for scaling in ALL:
        cos, sin = scaling.angles(torch.arange(9), 8, 500.0, length=9)
        assert (cos.square() + sin.square()).sqrt() == pytest.approx(
            scaling.gain * torch.ones(9, 4).double().numpy()
        )
    f = ALL[0].angles(torch.arange(9), 8, 500.0, length=9, dtype=torch.float32)
    assert f[0].dtype == f[1].dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "llama3"}, "one of linear, ntk, dynamic, yarn; got 'llama3'"),
        ({"factor": 0.5}, r"factor must be finite and at least 1 .*got 0\.5"),
        ({"factor": math.nan}, "factor must be finite.*nan"),
        ({"factor": math.inf}, "factor must be finite.*inf"),
        ({"kind": "dynamic"}, "'dynamic' needs trained_length, got None"),
        ({"kind": "yarn", "factor": 2.0}, "'yarn' needs trained_length, got None"),
        ({"trained_length": 0}, "trained_length must be at least 1, got 0"),
        ({"beta_fast": 1.0}, "beta_slow=1.0, beta_fast=1.0"),
        ({"beta_slow": 0.0}, "beta_slow=0.0"),
        ({"attention_factor": 0.0}, "attention_factor must be positive, got 0.0"),
        ({"attention_factor": math.inf}, "attention_factor must be positive, got inf"),
    ],
)
def test_nonsense_is_refused_by_name(settings, words):
    with pytest.raises(ValueError, match=words):
        RopeScaling(**{"kind": "linear"} | settings)


def test_a_place_that_cannot_be_scaled_is_refused():
    for kind in ("alibi", "learned", "none"):
        with pytest.raises(ValueError, match=f"'linear' is for RoPE, .*'{kind}'"):
            PositionConfig(kind, scaling=ALL[0])
    with pytest.raises(ValueError, match=r"rope_theta above 1.*got 0\.5"):
        PositionConfig("rope", 0.5, scaling=ALL[4])
    for scaling in ALL[1:3]:
        place = PositionConfig("rope", rotary_share=0.25, scaling=scaling)
        with pytest.raises(ValueError, match="at least 4 turned coordinates a head, got 2"):
            dataclasses.replace(CONFIG, position=place)


def test_it_survives_json_overrides_and_the_hash_of_bands():
    config = dataclasses.replace(CONFIG, position=PositionConfig(scaling=ALL[5]))
    assert from_dict(to_dict(config), DecoderConfig) == config
    plain = to_dict(CONFIG)
    del plain["position"]["scaling"]  # as manifests have it that were written before
    assert from_dict(plain, DecoderConfig) == CONFIG
    changed = override(config, ["position.scaling.factor=16", "position.scaling.kind=ntk"])
    assert changed.position.scaling == dataclasses.replace(ALL[5], factor=16.0, kind="ntk")
    from_none = override(CONFIG, ["position.scaling={'kind': 'linear', 'factor': 8.0}"])
    assert from_none.position.scaling == RopeScaling("linear", 8.0)
    assert "scaling" not in str(chosen(CONFIG))
    assert chosen(config)["position"]["scaling"]["trained_length"] == 80
    with pytest.raises(ValueError, match="factor must be finite"):
        override(config, ["position.scaling.factor=0.5"])
    with pytest.raises(ValueError, match="not a whole number"):
        override(config, ["position.scaling.trained_length=1.5"])


# ---- in a decoder ----------------------------------------------------------------------------


@pytest.mark.parametrize("positions", [None, torch.arange(24) * 3])
@EACH
def test_the_stack_turns_by_these_angles(scaling, positions):
    model = build(scaling)
    cos, sin = model._rotation(torch.zeros(2, 24, 16), positions, 0)
    at = torch.arange(24) if positions is None else positions
    want = scaling.angles(at, 8, 500.0, length=int(at[-1]) + 1, dtype=torch.float32)
    assert torch.equal(cos, want[0])
    assert torch.equal(sin, want[1])
    assert not torch.equal(cos, rope_angles(at, 8, 500.0, dtype=torch.float32)[0])


def test_without_scaling_the_tables_are_bit_for_bit_those_of_rope_angles():
    model = build()
    want = rope_angles(torch.arange(24), 8, 500.0, dtype=torch.float32)
    for got in (
        model._rotation(torch.zeros(2, 24, 16), None, 0),
        model._rotation(torch.zeros(2, 24, 16), torch.arange(24), 0),
    ):
        assert torch.equal(got[0], want[0])
        assert torch.equal(got[1], want[1])


def test_interpolation_is_the_model_at_squeezed_positions():
    model = build()
    squeezed = model(IDS, positions=torch.arange(24) / 4)
    torch.testing.assert_close(
        lengthen(model, RopeScaling("linear", 4.0))(IDS), squeezed, rtol=0, atol=1e-4
    )
    assert (squeezed - model(IDS)).abs().max() > 0.1


def test_ntk_is_the_model_with_a_larger_base():
    model = build()
    base = methods.ntk_theta(8, 500.0, factor=4.0)
    place = dataclasses.replace(model.config.position, rope_theta=base)
    other = Decoder(dataclasses.replace(model.config, position=place), dtype=torch.float64)
    other.load_state_dict(model.state_dict())
    assert torch.equal(lengthen(model, RopeScaling("ntk", 4.0))(IDS), other(IDS))


def test_dynamic_is_the_model_itself_up_to_the_trained_length_and_ntk_from_there():
    model = build()
    dynamic = lengthen(model, RopeScaling("dynamic", 1.0, 8))
    assert torch.equal(dynamic(IDS[:, :8]), model(IDS[:, :8]))
    for T in (9, 16, 24, 10):  # a shorter text after a longer one: nothing is remembered
        want = lengthen(model, RopeScaling("ntk", T / 8))(IDS[:, :T])
        assert torch.equal(dynamic(IDS[:, :T]), want)


@EACH
def test_a_cache_gives_the_same_but_for_dynamic_beyond_the_trained_length(scaling):
    model = build(scaling)
    cache = KVCache(model.config, 2, 24, torch.float64)
    parts = [model(part, cache=cache) for part in IDS.split([5, 3, 1, 15], dim=1)]
    got, whole = torch.cat(parts, dim=1), model(IDS)
    if scaling.kind != "dynamic":
        torch.testing.assert_close(got, whole, rtol=0, atol=1e-9)
        return
    plain = lengthen(model, None)
    torch.testing.assert_close(got[:, :8], plain(IDS[:, :8]), rtol=0, atol=1e-9)
    assert (got[:, 9:] - whole[:, 9:]).abs().max() > 1e-3  # keys keep their turn


def test_the_table_of_a_static_kind_is_made_once():
    model = build(ALL[0])
    model(IDS)
    table = model._tables[IDS.device]
    model(IDS[:, :5])
    assert model._tables[IDS.device] is table
    assert build(ALL[2])._tables == {}


def test_lengthen_copies_weights_and_changes_nothing_else():
    model = build()
    copy = lengthen(model, ALL[4], 32)
    assert copy.config == dataclasses.replace(
        model.config,
        context=32,
        position=dataclasses.replace(model.config.position, scaling=ALL[4]),
    )
    assert not copy.training
    assert torch.equal(lengthen(copy, None, 8)(IDS), model(IDS))
    before = model(IDS)
    with torch.no_grad():
        copy.embedding.weight.zero_()
    assert torch.equal(model(IDS), before)
    assert lengthen(model.train(), None).training
    assert lengthen(model, None).config == model.config


def test_lengthen_refuses_learned_positions():
    config = dataclasses.replace(CONFIG, position=PositionConfig("learned"))
    with pytest.raises(ValueError, match=r"learned positions end at 8.*context=9"):
        lengthen(Decoder(config), None, 9)
    with pytest.raises(ValueError, match="'linear' is for RoPE"):
        lengthen(Decoder(config), ALL[0])


# ---- parallel windows through a decoder --------------------------------------------------------


def test_parallel_windows_are_windows_read_apart():
    model, lengths = build(), (3, 5)
    mask, at = parallel_mask(lengths, 4, n_shared=1), parallel_positions(lengths, 4, n_shared=1)
    ids = IDS[:1, : 1 + 8 + 4]
    got = model(ids, mask=mask, positions=at)
    first, second = ids[:, :4], torch.cat((ids[:, :1], ids[:, 4:9]), dim=1)
    torch.testing.assert_close(got[:, :4], model(first), rtol=0, atol=1e-9)
    torch.testing.assert_close(got[:, 4:9], model(second)[:, 1:], rtol=0, atol=1e-9)
    # to the task the windows are a set: exchange them, and it sees the same
    swapped = torch.cat((ids[:, :1], ids[:, 4:9], ids[:, 1:4], ids[:, 9:]), dim=1)
    mask, at = parallel_mask((5, 3), 4, n_shared=1), parallel_positions((5, 3), 4, n_shared=1)
    other = model(swapped, mask=mask, positions=at)
    torch.testing.assert_close(other[:, 9:], got[:, 9:], rtol=0, atol=1e-9)
    assert (model(ids)[:, 9:] - got[:, 9:]).abs().max() > 1e-3

"""Scaled RoPE of transformers: settings read and written, logits equal."""

import pytest
import torch
import transformers.modeling_rope_utils as theirs
from transformers import DynamicCache

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    KVCache,
    PositionConfig,
    stack,
)
from minillm.model.hf import from_transformers, to_transformers
from minillm.model.hf_config import config_from_transformers, config_to_transformers
from minillm.model.hf_rope import read_rope, rope_settings
from minillm.model.lengthen import lengthen
from minillm.model.long_rope import RopeScaling
from minillm.model.rope_scaling import ntk_theta

IDS = torch.randint(0, 101, (2, 60), generator=torch.Generator().manual_seed(0))
BASE = {"rope_theta": 777.0}
YARN = BASE | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}
KINDS = {
    "linear": BASE | {"rope_type": "linear", "factor": 4.0},
    "dynamic": BASE | {"rope_type": "dynamic", "factor": 2.0},
    "yarn": YARN,
    "yarn, other ramp": YARN | {"beta_fast": 3.0, "beta_slow": 0.5, "truncate": False},
    "yarn, mscale": YARN | {"mscale": 1.0, "mscale_all_dim": 0.5},
    "yarn, factor given": YARN | {"attention_factor": 1.3},
}
OTHERS = ("mistral, wide", "qwen2", "glm", "glm4", "falcon")


class Wide:
    """torch, but what is asked for as float32 is float64."""

    float = float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@pytest.fixture
def wide_angles(wide, monkeypatch):
    """Frequencies and tables in float64 on both sides; the formulas stay theirs and ours."""
    from transformers.models.falcon import modeling_falcon as falcon
    from transformers.models.glm import modeling_glm as glm
    from transformers.models.glm4 import modeling_glm4 as glm4
    from transformers.models.llama import modeling_llama as llama
    from transformers.models.mistral import modeling_mistral as mistral
    from transformers.models.qwen2 import modeling_qwen2 as qwen2

    for module in (theirs, falcon, glm, glm4, llama, mistral, qwen2):
        monkeypatch.setattr(module, "torch", Wide())
    monkeypatch.setattr(stack, "ROPE_DTYPE", torch.float64)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # the length times a factor is a tensor there
    yield
    torch.set_default_dtype(before)


def rope_of(family, kind):
    share = {"partial_rotary_factor": 0.5} if family.startswith("glm") else {}
    return {"rope_parameters": KINDS[kind] | share}


def wide_peer(make_peer, family, kind):
    """A peer whose frequencies are float64 from the start, not float64 copies of float32."""
    peer = make_peer(family, **rope_of(family, kind))
    for module in peer.modules():
        if type(module).__name__.endswith("RotaryEmbedding"):
            module.__init__(module.config)
    return peer


@torch.no_grad()
@pytest.mark.usefixtures("wide_angles")
@pytest.mark.parametrize("kind", KINDS)
def test_float64_logits_agree_to_1e_9(kind, make_peer):
    peer = wide_peer(make_peer, "llama", kind)
    ours = from_transformers(peer)
    for T in (7, 32, 60):  # within the trained length, at it, and beyond
        assert (ours(IDS[:, :T]) - peer(IDS[:, :T]).logits).abs().max() <= 1e-9
    plain = lengthen(ours, None)
    assert (plain(IDS) - ours(IDS)).abs().max() > 1e-3  # ... the scaling is seen


@torch.no_grad()
@pytest.mark.usefixtures("wide_angles")
@pytest.mark.parametrize("name", OTHERS)
def test_other_families_agree_too(name, make_peer):
    for kind in ("linear", "dynamic", "yarn"):
        peer = wide_peer(make_peer, name, kind)
        ours = from_transformers(peer)
        assert (ours(IDS) - peer(IDS).logits).abs().max() <= 1e-9, kind


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_float32_logits_agree_both_ways(kind, make_peer):
    peer = make_peer("llama", dtype=torch.float32, **rope_of("llama", kind))
    ours = from_transformers(peer)
    want = peer(IDS).logits
    assert (ours(IDS) - want).abs().max() <= 1e-4
    back = to_transformers(ours)
    assert (back(IDS).logits - want).abs().max() <= 1e-4


@torch.no_grad()
@pytest.mark.usefixtures("wide_angles")
def test_with_a_cache_dynamic_keys_keep_their_turn_as_in_transformers(make_peer):
    peer = wide_peer(make_peer, "llama", "dynamic")
    ours = from_transformers(peer)
    cache, theirs_cache = KVCache(ours.config, 2, 60, torch.float64), DynamicCache()
    for part in IDS.split([30, 1, 9, 20], dim=1):
        want = peer(part, past_key_values=theirs_cache, use_cache=True).logits
        assert (ours(part, cache=cache) - want).abs().max() <= 1e-9
    assert (ours(IDS)[:, -1] - want[:, -1]).abs().max() > 1e-3  # not what one pass gives


@pytest.mark.parametrize("kind", KINDS)
def test_settings_come_back(kind, make_peer):
    config = config_from_transformers(make_peer("llama", **rope_of("llama", kind)).config.to_dict())
    assert config.position.scaling is not None
    assert config_from_transformers(config_to_transformers(config)) == config


def test_settings_by_hand():
    def read(rope, **settings):
        return read_rope({"max_position_embeddings": 64} | settings | {"rope_scaling": rope})

    assert read(None, rope_theta=5.0) == (5.0, None)
    assert read(None, rope_theta=None) == (10000.0, None)
    old = {"type": "linear", "factor": 2}
    assert read(old, rope_theta=5.0) == (5.0, RopeScaling("linear", 2.0))
    assert read(old | {"rope_theta": 6.0}) == (6.0, RopeScaling("linear", 2.0))
    dynamic = {"rope_type": "dynamic", "factor": 2.0}
    assert read(dynamic)[1] == RopeScaling("dynamic", 2.0, 64)
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
    assert read(yarn)[1] == RopeScaling("yarn", 4.0, 16)
    assert read(yarn | {"factor": None})[1] == RopeScaling("yarn", 4.0, 16)
    outside = {"rope_type": "yarn", "factor": 2.0}
    assert read(outside, original_max_position_embeddings=32)[1].trained_length == 32
    assert read(outside)[1].trained_length == 64
    given = yarn | {"mscale": 1.0, "mscale_all_dim": 1.0}
    assert read(given)[1].attention_factor == pytest.approx(1.0)
    ramp = read(yarn | {"beta_fast": 9, "beta_slow": 2, "truncate": False})[1]
    assert ramp == RopeScaling("yarn", 4.0, 16, beta_fast=9.0, beta_slow=2.0, truncate=False)
    only_one = yarn | {"mscale": 2.0}
    assert read(only_one)[1].attention_factor is None


def scaled(scaling):
    return DecoderConfig(
        vocab_size=101, d_model=36, n_layers=1, context=32, attention=AttentionConfig(2),
        feedforward=FeedForwardConfig("swiglu", 50), position=PositionConfig(scaling=scaling),
    )  # fmt: skip


def test_ntk_is_written_as_the_base_that_it_is():
    config = scaled(RopeScaling("ntk", 4.0))
    want = {"rope_type": "default", "rope_theta": ntk_theta(18, factor=4.0)}
    assert rope_settings(config) == want
    back = config_from_transformers(config_to_transformers(config))
    model, other = Decoder(config), Decoder(back)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(IDS[:, :40]), other(IDS[:, :40]), rtol=0, atol=0)


def test_what_cannot_be_read_or_written_is_refused():
    with pytest.raises(
        ValueError, match="'llama3' is not supported; it must be one of default, li"
    ):
        read_rope({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}})
    with pytest.raises(ValueError, match="'linear' needs a factor"):
        read_rope({"rope_scaling": {"type": "linear"}})
    with pytest.raises(ValueError, match="needs trained_length"):
        read_rope({"rope_scaling": {"type": "dynamic", "factor": 2.0}})
    with pytest.raises(ValueError, match=r"context=32 must be scaling\.trained_length=9"):
        rope_settings(scaled(RopeScaling("dynamic", 1.0, 9)))

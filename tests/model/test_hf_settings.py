"""Settings of transformers as configs and back; what cannot be expressed is refused by name."""

import dataclasses

import pytest

from minillm.model import (
    AttentionConfig,
    DecoderConfig,
    ExpertsConfig,
    FeedForwardConfig,
    NormConfig,
    PositionConfig,
)
from minillm.model.hf_config import config_from_transformers, config_to_transformers
from minillm.model.presets import PRESETS

ROTARY = {
    "vocab_size": 101,
    "hidden_size": 36,
    "intermediate_size": 50,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
}
LLAMA = ROTARY | {"model_type": "llama", "rope_theta": 500000.0, "rope_scaling": None}
PLAIN = {"vocab_size": 101, "hidden_size": 36, "layer_norm_epsilon": 1e-5, "n_layer": 3}
BLOOM = PLAIN | {"model_type": "bloom", "n_head": 6}
FALCON = PLAIN | {"model_type": "falcon", "num_hidden_layers": 3, "num_attention_heads": 6}
CONFIG = DecoderConfig(
    vocab_size=101,
    d_model=36,
    n_layers=3,
    context=32,
    attention=AttentionConfig(6, 2),
    feedforward=FeedForwardConfig("swiglu", 50),
    norm=NormConfig("rmsnorm", 1e-5),
    position=PositionConfig("rope", 500000.0),
    tie_embeddings=False,
)


def test_the_settings_come_back(family, make_peer):
    config = config_from_transformers(make_peer(family).config.to_dict())
    settings = config_to_transformers(config)
    assert config_from_transformers(settings) == config
    without_window = family == "mistral, wide"  # ... it is a LLaMA
    assert settings["model_type"] == ("llama" if without_window else family.split(",")[0])


def said(config):
    """The same config with its defaults for heads written out."""
    heads = {"head_width": config.head_width, "n_kv_heads": config.attention.key_heads}
    return dataclasses.replace(config, attention=dataclasses.replace(config.attention, **heads))


NOT_THERE = ("baichuan_13b", "baichuan2_7b", "baichuan2_13b")


@pytest.mark.parametrize("name", PRESETS)
def test_the_presets_come_back(name):
    config = PRESETS[name]()
    if name in NOT_THERE:
        with pytest.raises(ValueError, match="none of llama"):
            config_to_transformers(config)
    else:
        back = config_from_transformers(config_to_transformers(config))
        assert said(back) == said(config)


def test_llama_by_hand():
    assert config_from_transformers(LLAMA) == CONFIG


def test_the_others_of_its_family_by_hand():
    def attention(**changes):
        return dataclasses.replace(CONFIG.attention, **changes)

    base = ROTARY | {"rope_theta": 500000.0}
    read = config_from_transformers
    wanted = dataclasses.replace(CONFIG, attention=attention(window=4096))  # their default
    assert read(base | {"model_type": "mistral"}) == wanted
    wanted = dataclasses.replace(CONFIG, attention=attention())
    assert read(base | {"model_type": "mistral", "sliding_window": None}) == wanted
    wanted = dataclasses.replace(CONFIG, attention=attention(bias="qkv"))
    assert read(base | {"model_type": "qwen2", "sliding_window": 9}) == wanted  # it is off
    on = {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 0}
    wanted = dataclasses.replace(CONFIG, attention=attention(bias="qkv", window=9))
    assert read(base | {"model_type": "qwen2"} | on) == wanted
    experts = FeedForwardConfig("swiglu", 50, experts=ExpertsConfig(8, 2))
    position = PositionConfig("rope", 1e6)
    wanted = dataclasses.replace(CONFIG, feedforward=experts, position=position)
    assert read(ROTARY | {"model_type": "mixtral"}) == wanted
    position = PositionConfig("rope", 500000.0, interleaved=True, rotary_share=0.5)
    heads = attention(bias="qkv", head_width=8)
    wanted = dataclasses.replace(CONFIG, attention=heads, position=position)
    assert read(base | {"model_type": "glm", "head_dim": 8}) == wanted
    wanted = dataclasses.replace(wanted, norm=NormConfig("rmsnorm", 1e-5, "sandwich"))
    assert read(base | {"model_type": "glm4", "head_dim": 8}) == wanted


def test_bloom_and_falcon_by_hand():
    bloom = DecoderConfig(
        vocab_size=101,
        d_model=36,
        n_layers=3,
        context=2048,
        attention=AttentionConfig(6, bias=True),
        feedforward=FeedForwardConfig("gelu_tanh", 144, bias=True),
        norm=NormConfig("layernorm", 1e-5, embedding=True),
        position=PositionConfig("alibi"),
    )
    assert config_from_transformers(BLOOM) == bloom
    renamed = {"hidden_size": "n_embed", "n_head": "num_attention_heads"}  # in released files
    released = {renamed.get(key, key): value for key, value in BLOOM.items()}
    assert config_from_transformers(released | {"seq_length": 2048}) == bloom
    falcon = dataclasses.replace(
        bloom,
        attention=AttentionConfig(6, 1),
        feedforward=FeedForwardConfig("gelu", 144),
        norm=NormConfig("layernorm", 1e-5),
        position=PositionConfig("rope"),
        parallel=True,
    )
    assert config_from_transformers(FALCON | {"num_kv_heads": 6}) == falcon  # as released


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (LLAMA | {"model_type": "bert"}, "got 'bert'"),
        ({"model_type": "t5"}, "encoder-decoder: use the functions of hf_t5"),
        (LLAMA | {"hidden_act": "tanh"}, "hidden_act must be one of silu, .*; got 'tanh'"),
        (LLAMA | {"rope_scaling": {"type": "llama3", "factor": 8.0}}, "'llama3' is not supported"),
        (LLAMA | {"rope_parameters": {"rope_type": "longrope"}}, "'longrope' is not supported"),
        ({"model_type": "gpt2", "scale_attn_by_inverse_layer_idx": True}, "sqrt"),
        ({"model_type": "gpt2", "scale_attn_weights": False}, "sqrt"),
        (
            LLAMA | {"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 1},
            "layer_types mixes full_attention and sliding_attention",
        ),
        (
            LLAMA | {"model_type": "qwen2", "layer_types": ["full_attention", "chunked"]},
            "layer_types mixes chunked and full_attention",
        ),
        (
            BLOOM | {"apply_residual_connection_post_layernorm": True},
            "apply_residual_connection_post_layernorm=True",
        ),
        (FALCON | {"alibi": True}, "alibi=True"),
        (FALCON | {"new_decoder_architecture": True}, "num_ln_in_parallel_attn=None"),
        (
            FALCON | {"new_decoder_architecture": True, "num_ln_in_parallel_attn": 2},
            "new_decoder_architecture=True with num_ln_in_parallel_attn=2",
        ),
        (FALCON | {"num_ln_in_parallel_attn": 2}, "num_ln_in_parallel_attn=2"),
        (FALCON | {"activation": "tanh"}, "activation must be one of .*; got 'tanh'"),
    ],
)
def test_settings_that_cannot_be_expressed_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        config_from_transformers(settings)


ONE_EXPERT_MORE = ExpertsConfig(4, n_shared=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": NormConfig(place="post")},
        {"norm": NormConfig(place="deep")},
        {"norm": NormConfig(head=True)},
        {"norm": NormConfig(embedding=True)},
        {"position": PositionConfig("alibi")},
        {"position": PositionConfig("t5")},
        {"feedforward": FeedForwardConfig("relu", 8)},
        {"feedforward": FeedForwardConfig("glu", 8)},
        {"feedforward": FeedForwardConfig("swiglu", 8, experts=ONE_EXPERT_MORE)},
        {"feedforward": FeedForwardConfig("swiglu", 8, experts=ExpertsConfig(4, 2, 1.0))},
        {"attention": AttentionConfig(6, scaled=False)},
        {
            "attention": AttentionConfig(6, window=4, bias="qkv"),
            "norm": NormConfig(place="sandwich"),
        },
        {"attention": AttentionConfig(6, window=4, bias=True)},
        {"parallel": True},
        {"norm": NormConfig("layernorm"), "position": PositionConfig("learned")},
        {"norm": NormConfig("layernorm"), "feedforward": FeedForwardConfig("relu", 8)},
    ],
)
def test_configs_that_transformers_cannot_express_are_refused(changes):
    with pytest.raises(ValueError, match=r"none of llama, .*, falcon of transformers can express"):
        config_to_transformers(dataclasses.replace(CONFIG, **changes))

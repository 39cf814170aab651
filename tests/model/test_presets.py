"""Published models: their published counts, and transformers' counts on the meta device."""

import dataclasses

import pytest
import torch

from minillm.model import Decoder, count_encoder_decoder, count_padding, count_parameters
from minillm.model.hf_config import config_from_transformers, config_to_transformers
from minillm.model.presets import PRESETS, T5_PRESETS

COUNTS = {
    "llama_7b": 6_738_415_616,
    "llama_13b": 13_015_864_320,
    "llama_33b": 32_528_943_616,
    "llama_65b": 65_285_660_672,
    "llama2_7b": 6_738_415_616,
    "llama2_13b": 13_015_864_320,
    "llama2_70b": 68_976_648_192,
    "tinyllama_1b": 1_100_048_384,
    "baichuan_7b": 7_000_559_616,
    "baichuan_13b": 13_264_901_120,
    "gpt2_124m": 124_439_808,
    "gpt2_355m": 354_823_168,
    "gpt2_774m": 774_030_080,
    "gpt2_xl": 1_557_611_200,
    "baichuan2_7b": 7_505_973_248,
    "baichuan2_13b": 13_896_668_160,
    "bloom_560m": 559_214_592,
    "bloom_176b": 176_247_271_424,
    "falcon_7b": 6_921_720_704,
    "qwen2_0_5b": 494_032_768,
    "qwen2_7b": 7_615_616_512,
    "mistral_7b": 7_241_732_096,
    "mixtral_8x7b": 46_702_792_704,
    "chatglm2_6b": 6_243_584_000,
    "glm4_9b": 9_399_951_360,
}
T5_COUNTS = {"t5_small": 60_506_624, "t5_base": 222_903_552, "t5_v1_1_small": 76_961_152}
NOT_IN_TRANSFORMERS = ("baichuan_13b", "baichuan2_7b", "baichuan2_13b")


def test_the_counts_of_t5_are_the_published_ones():
    assert {name: count_encoder_decoder(make()) for name, make in T5_PRESETS.items()} == T5_COUNTS


def test_every_preset_has_a_count():
    assert set(COUNTS) == set(PRESETS)


@pytest.mark.parametrize("name", COUNTS)
def test_the_count_is_the_published_one(name):
    config = PRESETS[name]()
    assert count_parameters(config) == COUNTS[name]
    assert config.padded_vocab_size % 128 == 0
    if name not in ("llama2_7b", "llama2_13b"):  # these refer to LLaMA-1
        assert f"{COUNTS[name]:,}".replace(",", " ") in PRESETS[name].__doc__


@pytest.mark.parametrize(
    "name",
    ["llama_7b", "gpt2_xl", "bloom_560m", "falcon_7b", "qwen2_0_5b", "mixtral_8x7b", "chatglm2_6b"],
)
def test_the_built_model_has_as_many(name):
    config = PRESETS[name]()
    built = sum(p.numel() for p in Decoder(config, device="meta").parameters())
    assert built == COUNTS[name] + count_padding(config)


SAME_SHAPE = ("llama_13b", "llama_33b", "llama_65b", "llama2_7b", "llama2_13b", "gpt2_774m")


@pytest.mark.parametrize(
    "name", [n for n in COUNTS if n not in NOT_IN_TRANSFORMERS and n not in SAME_SHAPE]
)
def test_transformers_has_as_many(name):
    transformers = pytest.importorskip("transformers")
    settings = config_to_transformers(PRESETS[name]())
    settings |= dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(**settings)
        )
    assert sum(p.numel() for p in model.parameters()) == COUNTS[name]


def test_a_token_uses_a_quarter_of_mixtral():
    config = PRESETS["mixtral_8x7b"]()
    active = count_parameters(config, active=True)
    assert active == 12_879_925_248
    assert f"{active:,}".replace(",", " ") in PRESETS["mixtral_8x7b"].__doc__
    idle = 32 * 6 * 3 * 4096 * 14336  # six of eight experts in each block
    assert count_parameters(config) - active == idle


@pytest.mark.parametrize(
    ("name", "kind", "differs"),
    [
        # what transformers takes for granted is one model of the family; what its release says
        # otherwise is listed
        ("mistral_7b", "mistral", {"rms_norm_eps", "max_position_embeddings"}),
        ("mixtral_8x7b", "mixtral", {"max_position_embeddings"}),
        ("falcon_7b", "falcon", set()),
        ("glm4_9b", "glm", {"max_position_embeddings"}),
        ("gpt2_124m", "gpt2", set()),
    ],
)
def test_the_defaults_of_transformers_are_these_models(name, kind, differs):
    transformers = pytest.importorskip("transformers")
    theirs = config_from_transformers(transformers.AutoConfig.for_model(kind).to_dict())
    ours = config_from_transformers(config_to_transformers(PRESETS[name]()))
    names = {"rms_norm_eps": "norm", "max_position_embeddings": "context"}
    same = {names[setting]: getattr(ours, names[setting]) for setting in differs}
    heads = dataclasses.replace(ours.attention, head_width=ours.head_width)
    same["attention"] = heads
    other = dataclasses.replace(theirs.attention, head_width=theirs.head_width)
    assert dataclasses.replace(theirs, **same) == dataclasses.replace(ours, attention=heads)
    assert other == heads


def test_shapes_that_counts_do_not_show():
    seven, seventy = PRESETS["llama2_7b"](), PRESETS["llama2_70b"]()
    assert (seven.context, seventy.context, PRESETS["llama_7b"]().context) == (4096, 4096, 2048)
    assert seventy.attention.key_heads == 8
    assert [PRESETS[n]().norm.eps for n in ("llama_7b", "llama2_7b", "gpt2_xl")] == [
        1e-6,
        1e-5,
        1e-5,
    ]
    assert PRESETS["baichuan_13b"]().position.kind == "alibi"
    assert PRESETS["llama_7b"]().position.kind == "rope"
    assert not PRESETS["llama_7b"]().tie_embeddings
    gpt2 = PRESETS["gpt2_124m"]()
    assert gpt2.tie_embeddings
    assert (gpt2.feedforward.kind, gpt2.norm.kind) == ("gelu_tanh", "layernorm")
    heads = {n: PRESETS[n]().attention.n_heads for n in ("llama_33b", "llama_65b", "gpt2_xl")}
    assert heads == {"llama_33b": 52, "llama_65b": 64, "gpt2_xl": 25}
    assert all(make().head_width % 32 == 0 for make in PRESETS.values())
    mistral, glm = PRESETS["mistral_7b"](), PRESETS["glm4_9b"]()
    assert (mistral.attention.window, PRESETS["mixtral_8x7b"]().attention.window) == (4096, None)
    assert (glm.rotary_width, glm.head_width, glm.position.interleaved) == (64, 128, True)
    assert PRESETS["falcon_7b"]().parallel
    assert PRESETS["bloom_176b"]().norm.embedding
    first, second = PRESETS["baichuan_13b"](), PRESETS["baichuan2_13b"]()
    assert (first.norm.head, second.norm.head) == (False, True)
    assert PRESETS["baichuan2_7b"]().position.kind == "rope"
    assert {n for n in PRESETS if PRESETS[n]().attention.bias == "qkv"} == {
        "qwen2_0_5b",
        "qwen2_7b",
        "chatglm2_6b",
        "glm4_9b",
    }

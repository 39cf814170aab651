"""Published models: their published counts, and transformers' counts on the meta device."""

import pytest
import torch

from minillm.model import Decoder, count_padding, count_parameters
from minillm.model.hf_config import config_to_transformers
from minillm.model.presets import PRESETS

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
}


def test_every_preset_has_a_count():
    assert set(COUNTS) == set(PRESETS)


@pytest.mark.parametrize("name", COUNTS)
def test_the_count_is_the_published_one(name):
    config = PRESETS[name]()
    assert count_parameters(config) == COUNTS[name]
    assert config.padded_vocab_size % 128 == 0
    if name not in ("llama2_7b", "llama2_13b"):  # these refer to LLaMA-1
        assert f"{COUNTS[name]:,}".replace(",", " ") in PRESETS[name].__doc__


@pytest.mark.parametrize("name", ["llama_7b", "llama2_70b", "gpt2_xl"])
def test_the_built_model_has_as_many(name):
    config = PRESETS[name]()
    built = sum(p.numel() for p in Decoder(config, device="meta").parameters())
    assert built == COUNTS[name] + count_padding(config)


@pytest.mark.parametrize("name", ["llama_7b", "llama2_70b", "gpt2_124m"])
def test_transformers_has_as_many(name):
    transformers = pytest.importorskip("transformers")
    settings = config_to_transformers(PRESETS[name]())
    settings |= {"bos_token_id": None, "eos_token_id": None}
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(**settings)
        )
    assert sum(p.numel() for p in model.parameters()) == COUNTS[name]


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

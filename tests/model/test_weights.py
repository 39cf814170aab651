"""Names and layouts of weights: recognised, exchanged without loss, refused when unknown."""

import dataclasses

import pytest
import torch

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    NormConfig,
    PositionConfig,
)
from minillm.model.weights import from_ours, naming_of, to_ours

LLAMA = DecoderConfig(
    vocab_size=50,
    d_model=8,
    n_layers=11,  # two digits in a name
    context=16,
    attention=AttentionConfig(2, 1, bias=True),
    feedforward=FeedForwardConfig("swiglu", 12),
    tie_embeddings=False,
)
GPT2 = dataclasses.replace(
    LLAMA,
    attention=AttentionConfig(2, bias=True),
    feedforward=FeedForwardConfig("gelu_tanh", 12, bias=True),
    norm=NormConfig("layernorm"),
    position=PositionConfig("learned"),
)


def random_weights(config):
    torch.manual_seed(0)
    model = Decoder(config)
    for p in model.parameters():
        if p.ndim == 1:
            torch.nn.init.normal_(p)
    return model.state_dict()


@pytest.mark.parametrize(
    ("config", "naming"),
    [(LLAMA, "minillm"), (LLAMA, "llama"), (LLAMA, "meta"), (GPT2, "gpt2"), (GPT2, "minillm")],
)
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_there_and_back_changes_nothing(config, naming, interleaved, tied):
    position = dataclasses.replace(config.position, interleaved=interleaved)
    config = dataclasses.replace(config, position=position, tie_embeddings=tied)
    ours = random_weights(config)
    theirs = from_ours(ours, config, naming)
    assert naming_of(theirs) == naming
    back = to_ours(theirs, config)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[name], ours[name]) for name in ours)


def test_the_layouts_by_hand():
    ours = random_weights(GPT2)
    theirs = from_ours(ours, GPT2, "gpt2")
    c_attn = theirs["transformer.h.10.attn.c_attn.weight"]
    assert c_attn.shape == (8, 24)
    for i, letter in enumerate("qkv"):
        part = c_attn[:, 8 * i : 8 * i + 8]
        assert torch.equal(part, ours[f"blocks.10.attention.{letter}.weight"].T)
    assert theirs["transformer.wte.weight"].shape == (50, 8)  # no padding
    assert theirs["transformer.wpe.weight"].shape == (16, 8)  # a table is not transposed

    ours = random_weights(LLAMA)
    theirs = from_ours(ours, LLAMA, "meta")
    rows = theirs["layers.3.attention.wq.weight"]
    assert torch.equal(rows[:4], ours["blocks.3.attention.q.weight"][[0, 2, 1, 3]])
    bias = ours["blocks.3.attention.k.bias"][[0, 2, 1, 3]]
    assert torch.equal(theirs["layers.3.attention.wk.bias"], bias)
    same = {
        "attention.wv": "attention.v",
        "attention.wo": "attention.out",
        "feed_forward.w1": "feedforward.gate",
        "feed_forward.w2": "feedforward.down",
        "feed_forward.w3": "feedforward.up",
    }
    for their_name, our_name in same.items():
        ours_here = ours[f"blocks.3.{our_name}.weight"]
        assert torch.equal(theirs[f"layers.3.{their_name}.weight"], ours_here)


def test_a_bare_gpt2_file_and_its_buffers():
    ours = random_weights(GPT2)
    theirs = from_ours(ours, GPT2, "gpt2")
    bare = {name.removeprefix("transformer."): tensor for name, tensor in theirs.items()}
    bare |= {"h.0.attn.bias": torch.ones(1), "h.0.attn.masked_bias": torch.ones(1)}
    back = to_ours(bare, GPT2)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[name], ours[name]) for name in ours)


def test_buffers_of_rope_are_left_out():
    theirs = from_ours(random_weights(LLAMA), LLAMA, "llama")
    theirs["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
    assert to_ours(theirs, LLAMA).keys() == random_weights(LLAMA).keys()


def test_what_is_not_known_is_refused():
    with pytest.raises(ValueError, match=r"whose names these are.*lstm"):
        naming_of(["lstm.weight"])
    theirs = from_ours(random_weights(LLAMA), LLAMA, "llama")
    with pytest.raises(ValueError, match=r"'model\.layers\.0\.router\.weight'"):
        to_ours(theirs | {"model.layers.0.router.weight": torch.ones(1)}, LLAMA)
    with pytest.raises(ValueError, match="got 'bloom'"):
        from_ours(random_weights(LLAMA), LLAMA, "bloom")
    with pytest.raises(ValueError, match=r"'position\.weight'"):
        from_ours(random_weights(GPT2), GPT2, "llama")

"""What is trained when only a part is."""

import pytest
import torch

from minillm.finetune.freeze import train_last_blocks, train_only
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, NormConfig

CONFIG = DecoderConfig(
    vocab_size=50,
    d_model=16,
    n_layers=3,
    context=16,
    attention=AttentionConfig(4),
    feedforward=FeedForwardConfig("swiglu", 24),
)


def trained(model):
    return [name for name, p in model.named_parameters() if p.requires_grad]


def test_parts_are_whole_words():
    model = Decoder(CONFIG)
    assert train_only(model, "attention.q", "final_norm") == trained(model)
    assert trained(model) == [f"blocks.{i}.attention.q.weight" for i in range(3)] + [
        "final_norm.weight"
    ]
    assert len(train_only(model, "attention")) == 12
    assert train_only(model, "attention_norm") == trained(model)
    assert len(trained(model)) == 3
    for wrong in ("norm", "blocks.3", "", "block"):
        with pytest.raises(ValueError, match="no parameter has"):
            train_only(model, wrong)
    assert len(trained(model)) == 3  # nothing has changed
    with pytest.raises(ValueError, match="nothing would be trained"):
        train_only(model)


@pytest.mark.parametrize("n_blocks", [1, 2, 3])
def test_last_blocks(n_blocks):
    model = Decoder(CONFIG)
    names = train_last_blocks(model, n_blocks)
    assert names == trained(model)
    blocks = {name.split(".")[1] for name in names if name.startswith("blocks")}
    assert blocks == {str(i) for i in range(3 - n_blocks, 3)}
    assert "final_norm.weight" in names
    assert len(names) == 9 * n_blocks + 1
    model(torch.zeros(1, 4, dtype=torch.long)).sum().backward()
    grads = {name for name, p in model.named_parameters() if p.grad is not None}
    assert grads == set(names)
    assert "final_norm.weight" not in train_last_blocks(model, n_blocks, final_norm=False)


def test_ten_blocks_are_told_apart_and_a_model_may_have_no_final_norm():
    config = DecoderConfig(50, 16, 11, 16, AttentionConfig(4), FeedForwardConfig("gelu", 8))
    model = Decoder(config)
    names = train_only(model, "blocks.1")
    assert {name.split(".")[1] for name in names} == {"1"}  # and not 10
    post = Decoder(
        DecoderConfig(
            50,
            16,
            1,
            16,
            AttentionConfig(4),
            FeedForwardConfig("gelu", 8),
            NormConfig(place="post"),
        )
    )
    assert all(name.startswith("blocks.0.") for name in train_last_blocks(post))


@pytest.mark.parametrize("n_blocks", [0, 4, -1])
def test_a_wrong_number_of_blocks_is_refused(n_blocks):
    with pytest.raises(ValueError, match=r"n_blocks must lie in \[1, 3\]"):
        train_last_blocks(Decoder(CONFIG), n_blocks)

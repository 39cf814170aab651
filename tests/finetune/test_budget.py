"""Counts against models that are built, and against figures of the papers."""

import dataclasses

import pytest
import torch

from minillm.finetune import (
    add_adalora,
    add_adapters,
    add_ia3,
    add_prefix,
    add_prompt,
    budget_table,
    count_trainable,
    count_trained,
    nf4_bits,
    only_biases,
    size_for,
    training_bytes,
)
from minillm.finetune.budget import METHODS, matrix_widths
from minillm.finetune.lora import apply_lora
from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    count_parameters,
    presets,
)

GATED = DecoderConfig(
    vocab_size=40,
    d_model=24,
    n_layers=3,
    context=16,
    attention=AttentionConfig(4, 2),
    feedforward=FeedForwardConfig("swiglu", 20),
)
PLAIN = dataclasses.replace(
    GATED,
    attention=AttentionConfig(4, head_width=4),
    feedforward=FeedForwardConfig("gelu", 30),
)
BUILD = {
    "prompt": lambda m, n: add_prompt(m, n),
    "prefix": lambda m, n: add_prefix(m, n),
    "prefix_mlp": lambda m, n: add_prefix(m, 20, width=n),
    "p_tuning": lambda m, n: add_prompt(m, 20, encoder="mlp", width=n),
    "houlsby": lambda m, n: add_adapters(m, n),
    "pfeiffer": lambda m, n: add_adapters(m, n, places="pfeiffer"),
    "lora": lambda m, n: apply_lora(m, ("q", "v"), rank=n),
    "adalora": lambda m, n: add_adalora(m, ("q", "v"), rank=n),
    "ia3": lambda m, n: add_ia3(m),
    "bitfit": lambda m, n: only_biases(m, add=True),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("config", [GATED, PLAIN])
def test_counts_are_those_of_the_built_model(method, config):
    knob = method not in ("ia3", "bitfit")
    for size in (1, 5) if knob else (None,):
        built = BUILD[method](Decoder(config), size)
        assert count_trainable(built) == count_trained(method, config, size)


def test_llama_7b():
    llama = presets.llama_7b()
    assert count_trained("lora", llama, 8) == 4_194_304  # Hu et al.: r = 8 on q and v
    shares = {n: count_trained("prefix", llama, n) / count_parameters(llama) for n in (20, 100)}
    assert {n: round(100 * s, 2) for n, s in shares.items()} == {20: 0.08, 100: 0.39}
    every = tuple(matrix_widths(llama))
    share = count_trained("lora", llama, 16, targets=every) / count_parameters(llama)
    assert round(100 * share, 2) == 0.59


def test_the_share_of_input_prompts_is_hundredths_of_a_percent():
    gpt2 = presets.gpt2_355m()  # as wide and as deep as BERT-large
    total = count_parameters(gpt2)
    assert [round(100 * count_trained("prompt", gpt2, n) / total, 3) for n in (20, 100)] == [
        0.006,
        0.029,
    ]
    assert [round(100 * count_trained("prefix", gpt2, n) / total, 2) for n in (20, 100)] == [
        0.28,
        1.39,
    ]


@pytest.mark.parametrize("method", METHODS)
def test_the_largest_size_that_fits(method):
    llama = presets.llama_7b()
    found = size_for(method, llama, 7_000_000)
    assert found.n_trained == count_trained(method, llama, found.size)
    assert found.share == found.n_trained / count_parameters(llama)
    if found.size is None:
        assert method in ("ia3", "bitfit")
    else:
        assert found.n_trained <= 7_000_000 < count_trained(method, llama, found.size + 1)
        exact = size_for(method, llama, found.n_trained)
        assert exact == found


def test_a_table_of_shares():
    table = budget_table(presets.llama_7b(), (0.001, 0.03))
    assert list(table) == [0.001, 0.03]
    small = {row.method: row for row in table[0.001]}
    assert set(small) == set(METHODS)
    assert small["prompt"].size == 1645
    assert all(row.share <= 0.001 for row in table[0.001] if row.size is not None)
    assert small["ia3"].n_trained == 614_400  # Liu et al.: L (d_k + d_v + d_ff)
    tight = budget_table(presets.llama_7b(), (1e-5,))[1e-5]
    assert {row.method for row in tight} == {"prompt", "ia3", "bitfit"}


def test_memory():
    assert training_bytes(0, 100) == 1600
    n = count_parameters(presets.llama_7b())
    lora = count_trained("lora", presets.llama_7b(), 8)
    full = training_bytes(0, n) / 1e9
    half = training_bytes(n, lora) / 1e9
    four = training_bytes(n, lora, bits_frozen=nf4_bits()) / 1e9
    assert [round(x, 1) for x in (full, half, four)] == [107.8, 13.5, 3.5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("magic", GATED, 1), "method must be one of prompt, .*; got 'magic'"),
        (("ia3", GATED, 1), "ia3 has no size to choose, got size=1"),
        (("lora", GATED, None), r"lora needs a size of at least 1 \(rank\), got None"),
        (("prompt", GATED, 0), r"at least 1 \(tokens\), got 0"),
        (("prompt", presets.mixtral_8x7b(), 1), "without experts"),
    ],
)
def test_wrong_counts_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        count_trained(*arguments)


def test_what_else_is_refused():
    with pytest.raises(ValueError, match=r"targets must be among q, k, v, .*; got \('gate',\)"):
        count_trained("lora", PLAIN, 1, targets=("gate",))
    with pytest.raises(ValueError, match="prompt trains at least 24 numbers here, 23 are allowed"):
        size_for("prompt", GATED, 23)
    with pytest.raises(ValueError, match="method must be one of"):
        size_for("magic", GATED, 100)
    with pytest.raises(ValueError, match="a share lies in 0 to 1, got 3"):
        budget_table(GATED, (3,))
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        training_bytes(-1, 0)


def test_counting_builds_nothing():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    budget_table(presets.llama_65b(), (0.01,))
    assert torch.equal(before, torch.get_rng_state())

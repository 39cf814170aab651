"""Readers of padded prompts: against the text of each row alone, and the fast against the plain."""

import pytest
import torch

from minillm.align.ragged import FusedPaddedReader, PaddedReader, make_ragged_reader
from minillm.finetune.lora import apply_lora
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, PositionConfig
from minillm.model.long_rope import RopeScaling

V, PAD = 13, 12
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [3, 3]]
FURTHER = [[1, 4], [2, 5], [3, 6], [4, 7]]


def decoder(kind="rope", seed=0, **more):
    torch.manual_seed(seed)
    config = DecoderConfig(
        vocab_size=V,
        d_model=16,
        n_layers=2,
        context=12,
        attention=AttentionConfig(n_heads=4, n_kv_heads=2),
        feedforward=FeedForwardConfig(kind="swiglu", width=16),
        position=PositionConfig(kind=kind, **more),
        init_std=0.3,
    )
    return Decoder(config, dtype=torch.float64)


def padded(prompts=PROMPTS):
    P = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (P - len(p)) + p for p in prompts])
    real = torch.tensor([[False] * (P - len(p)) + [True] * len(p) for p in prompts])
    return ids, real


def alone(model, prompt, further, n):
    return model(torch.tensor([prompt + further[:n]]))[0, -1]


@pytest.mark.parametrize("kind", ["rope", "learned", "sinusoidal", "alibi", "t5"])
@pytest.mark.parametrize("fast", [True, False])
def test_every_row_reads_as_if_alone(kind, fast):
    model = decoder(kind)
    ids, real = padded()
    with torch.no_grad():
        read = make_ragged_reader(model, real, 2, fast=fast)
        assert isinstance(read, FusedPaddedReader) == (fast and kind == "rope")
        for n in range(3):
            found = read(ids if n == 0 else torch.tensor(FURTHER)[:, n - 1 : n])
            for b in range(4):
                expected = alone(model, PROMPTS[b], FURTHER[b], n)
                torch.testing.assert_close(found[b], expected, rtol=0, atol=1e-5)  # RoPE: float32


@pytest.mark.parametrize("fast", [True, False])
def test_what_fills_up_is_never_seen(fast):
    model = decoder()
    ids, real = padded()
    other = torch.where(real, ids, 0)
    with torch.no_grad():
        a, b = (make_ragged_reader(model, real, 2, fast=fast) for _ in range(2))
        assert a(ids).equal(b(other))
        new = torch.tensor(FURTHER)[:, :1]
        assert a(new).equal(b(new))
    seen = torch.ones_like(real)
    with torch.no_grad():  # ... and it would be noticed
        c = make_ragged_reader(model, seen, 2, fast=fast)
        assert not torch.allclose(c(ids)[1], make_ragged_reader(model, real, 2, fast=fast)(ids)[1])


@pytest.mark.parametrize("kind", ["rope", "learned"])
@pytest.mark.parametrize("rows", [[2], [3, 1]])
def test_rows_that_stay_read_on_as_before(kind, rows):
    model = decoder(kind)
    ids, real = padded()
    with torch.no_grad():
        read = make_ragged_reader(model, real, 2)
        read(ids)
        read.keep(torch.tensor(rows))
        found = read(torch.tensor(FURTHER)[rows, :1])
        for i, b in enumerate(rows):
            expected = alone(model, PROMPTS[b], FURTHER[b], 1)
            torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-5)


def test_prompts_of_one_length_need_no_mask():
    model = decoder()
    ids, real = padded([[1, 2], [3, 4]])
    with torch.no_grad():
        read = make_ragged_reader(model, real, 2)
        assert not read.ragged
        plain = make_ragged_reader(model, real, 2, fast=False)
        for new in (ids, torch.tensor([[5], [6]])):
            torch.testing.assert_close(read(new), plain(new), rtol=0, atol=1e-6)


def test_what_is_not_plain_takes_the_plain_reader():
    _, real = padded()
    scaled = decoder(scaling=RopeScaling("linear", 2.0))
    assert isinstance(make_ragged_reader(scaled, real, 2), PaddedReader)
    adapted = decoder()
    apply_lora(adapted, rank=2, alpha=4.0)
    assert isinstance(make_ragged_reader(adapted, real, 2), PaddedReader)


def test_bad_input():
    model = decoder()
    _, real = padded()
    with pytest.raises(ValueError, match="Linear has no cache"):
        make_ragged_reader(torch.nn.Linear(2, 2), real, 2)
    holed = real.clone()
    holed[2, 2] = False
    empty = real.clone()
    empty[1] = False
    for wrong in (holed, empty, real.long(), ~real):
        with pytest.raises(ValueError, match="up to the end of each row only"):
            make_ragged_reader(model, wrong, 2)

"""Rows change places in all three readers as if each text had been read anew."""

import pytest
import torch

from minillm.inference.readers import AnewReader, CachedReader, FusedReader
from minillm.inference.rows import follow_cache_rows, follow_rows
from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    KVCache,
)

CONFIG = DecoderConfig(
    vocab_size=19,
    d_model=16,
    n_layers=2,
    context=16,
    attention=AttentionConfig(n_heads=4, n_kv_heads=2),
    feedforward=FeedForwardConfig(kind="swiglu", width=24),
    init_std=0.4,
)


def make(kind):
    torch.manual_seed(0)
    model = Decoder(CONFIG, dtype=torch.float64)
    return model, AnewReader(model) if kind is AnewReader else kind(model, 2, 12)


@pytest.mark.parametrize("kind", [AnewReader, CachedReader, FusedReader])
@torch.no_grad()
def test_rows_follow(kind):
    model, reader = make(kind)
    generator = torch.Generator().manual_seed(1)
    text = torch.randint(0, 19, (2, 5), generator=generator)
    reader(text)
    for rows in ([1, 0, 1], [2, 2, 0, 1, 1], [3]):  # more, more again, fewer
        follow_rows(reader, rows)
        new = torch.randint(0, 19, (len(rows), 1), generator=generator)
        old, text = text, torch.cat([text[rows], new], dim=1)
        logits = reader(new)
        torch.testing.assert_close(logits, model(text)[:, -1], rtol=0, atol=1e-10)
        wrong = torch.cat([old[[0] * len(rows)], new], dim=1)
        assert not torch.allclose(logits, model(wrong)[:, -1])  # a row that stayed is seen


@pytest.mark.parametrize("kind", [AnewReader, CachedReader, FusedReader])
@pytest.mark.parametrize("rows", [[], [2], [-1, 0]])
@torch.no_grad()
def test_rows_that_are_not_there(kind, rows):
    _, reader = make(kind)
    with pytest.raises(ValueError, match="there are no rows yet"):
        follow_rows(reader, rows)
    reader(torch.ones(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"rows must be some of 0 to 1, got \["):
        follow_rows(reader, rows)


def test_an_empty_cache_has_no_rows():
    with pytest.raises(ValueError, match="there are no rows yet"):
        follow_cache_rows(KVCache(CONFIG, 2, 4), [0])

"""New rows in a trained model: old logits bit for bit, new ones as InitialRows says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from minillm.finetune.extend import extend
from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    PositionConfig,
)
from minillm.tokenizer import Tokenizer
from minillm.tokenizer.extend import KINDS, InitialRows, add_pieces

N_OLD = 257
BYTES = Tokenizer({i: bytes([i]) for i in range(256)}, [], ["<|end|>"])
LARGER, ROWS = add_pieces(BYTES, ["abc", "de"])
CONFIG = DecoderConfig(
    vocab_size=N_OLD,
    d_model=16,
    n_layers=1,
    context=16,
    attention=AttentionConfig(n_heads=2),
    feedforward=FeedForwardConfig(kind="swiglu", width=16),
)
MANY = InitialRows(N_OLD, {N_OLD + i: (i % 5, 7) for i in range(200)})


def decoder(dtype=torch.float32, **change):
    torch.manual_seed(0)
    return Decoder(replace(CONFIG, **change), dtype=dtype)


IDS = torch.tensor([[1, 2, 97, 255, 256, 98]])


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_old_ids_say_what_they_said(tied, kind):
    old = decoder(tie_embeddings=tied)
    for rows in (ROWS, MANY):  # MANY goes beyond the padding of the old table
        new = extend(old, rows, kind)
        assert new.config.vocab_size == N_OLD + len(rows)
        logits = new(IDS)
        assert logits.shape[-1] == N_OLD + len(rows)
        assert torch.equal(logits[..., :N_OLD], old(IDS))
        padding = new.embedding.weight[N_OLD + len(rows) :]
        assert not padding.any()


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_are_the_mean_of_their_parts(tied):
    old = decoder(tie_embeddings=tied)
    new = extend(old, ROWS)
    tables = ["embedding"] if tied else ["embedding", "head"]
    for name in tables:
        before, after = (getattr(model, name).weight.detach() for model in (old, new))
        for i, parts in ROWS.parts.items():
            torch.testing.assert_close(after[i], before[list(parts)].mean(dim=0))
    assert LARGER.encode("abc") == [max(i for i, p in ROWS.parts.items() if len(p) == 3)]
    assert torch.isfinite(new(torch.tensor([LARGER.encode("abcde abc")]))).all()


def test_random_rows_differ_between_tables_and_seeds():
    old = decoder(tie_embeddings=False)
    one, two = extend(old, MANY, "random"), extend(old, MANY, "random", seed=5)
    here = slice(N_OLD, N_OLD + len(MANY))
    assert not torch.equal(one.embedding.weight[here], two.embedding.weight[here])
    scaled = one.head.weight[here] / one.head.weight[here].std()
    other = one.embedding.weight[here] / one.embedding.weight[here].std()
    assert abs((scaled * other).mean()) < 0.1  # drawn apart
    again = extend(old, MANY, "random")
    assert torch.equal(one.embedding.weight, again.embedding.weight)


def test_the_old_model_stays_as_it_is():
    old = decoder()
    before = {name: tensor.clone() for name, tensor in old.state_dict().items()}
    new = extend(old, ROWS)
    with torch.no_grad():
        for p in new.parameters():
            p.add_(1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in old.state_dict().items())


def test_mode_precision_and_learned_positions_are_kept():
    old = decoder(dtype=torch.bfloat16, position=PositionConfig(kind="learned")).eval()
    new = extend(old, ROWS)
    assert not new.training
    assert new.embedding.weight.dtype == torch.bfloat16
    expected = ROWS.of(np.asarray(old.embedding.weight.detach().float()), "mean")
    found = new.embedding.weight[N_OLD : N_OLD + len(ROWS)]
    assert torch.equal(found, torch.from_numpy(expected).bfloat16())
    assert torch.equal(new(IDS)[..., :N_OLD], old(IDS))
    assert extend(old.train(), ROWS).training


def test_rows_that_the_model_had_in_reserve_are_taken_first():
    old = decoder(vocab_size=N_OLD + 100)
    new = extend(old, ROWS)
    assert new.config == old.config
    changed = (new.embedding.weight != old.embedding.weight).any(dim=1).nonzero()[:, 0]
    assert changed.tolist() == sorted(ROWS.parts)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (
            lambda: extend(decoder(vocab_size=200), ROWS),
            "had 257 entries before, .* only 200",
        ),
        (lambda: extend(decoder(), ROWS, "middle"), "kind must be one of .*got 'middle'"),
        (lambda: extend(torch.nn.Linear(2, 2), ROWS), "takes a bare Decoder, got Linear"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()

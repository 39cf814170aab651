"""Bits per byte of compressors and models, by hand and against one another."""

import gzip
import math

import numpy as np
import pytest
import torch

from minillm.data.ngram import NgramModel
from minillm.evaluate.compression import gzip_bits, model_bits, ngram_bits, xz_bits
from minillm.model import Decoder
from minillm.recipes.runs import decoder
from minillm.tokenizer import Tokenizer

TEXTS = ["the cat sat on the mat", "a dog sat on the log, 狗", "x"]


@pytest.fixture(scope="module")
def bytes_only():
    return Tokenizer({i: bytes([i]) for i in range(256)}, [], ["<|endoftext|>"])


class Uniform(torch.nn.Module):
    """All tokens are as likely; 256 of them, and one that never comes."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        logits = torch.zeros(*x.shape, 257) + self.weight
        return logits


def test_a_uniform_guess_takes_its_bits(bytes_only):
    model = Uniform(decoder(257, d_model=16, n_layers=1, n_heads=2, context=8))
    n_bytes = sum(len(t.encode()) for t in TEXTS)
    wanted = math.log2(257) * (n_bytes + len(TEXTS)) / n_bytes  # the ends are guessed, too
    assert model_bits(model, bytes_only, TEXTS) == pytest.approx(wanted, rel=1e-6)


def test_a_model_is_measured_piece_by_piece(bytes_only):
    torch.manual_seed(0)
    model = Decoder(decoder(257, d_model=16, n_layers=1, n_heads=2, context=8)).train()
    nats = 0.0
    for text in TEXTS:
        ids = [256, *text.encode(), 256]
        for start in range(0, len(ids) - 1, 8):
            piece = torch.tensor([ids[start : start + 9]])
            with torch.no_grad():
                logp = model(piece[:, :-1]).log_softmax(-1)
            nats -= logp.gather(-1, piece[:, 1:, None]).sum().item()
    wanted = nats / math.log(2) / sum(len(t.encode()) for t in TEXTS)
    for batch_size in (1, 2, 16):
        found = model_bits(model, bytes_only, TEXTS, batch_size=batch_size)
        assert found == pytest.approx(wanted, rel=1e-5)
    assert model.training


def test_gzip_is_gzip():
    raw = "\n\n".join(TEXTS).encode()
    n_bytes = sum(len(t.encode()) for t in TEXTS)
    assert gzip.decompress(gzip.compress(raw, 9, mtime=0)) == raw
    assert gzip_bits(TEXTS) == 8 * len(gzip.compress(raw, 9, mtime=0)) / n_bytes


def test_noise_takes_all_bits_and_repetition_none():
    letters = np.random.default_rng(0).integers(0, 16, 20_000)
    noise = "".join("abcdefghijklmnop"[i] for i in letters)  # four bits a letter
    assert 4.0 < xz_bits([noise]) < 4.7
    assert 4.0 < gzip_bits([noise]) < 4.7
    assert xz_bits(["again and again. " * 2_000]) < 0.1
    assert 3.9 < ngram_bits([noise[:4_000]], [noise[4_000:]], order=2) < 4.3


def test_known_text_helps_xz_if_it_is_like_the_other():
    dice = np.random.default_rng(1)
    letters = ["".join(dice.choice(list("abcdefgh"), 400)) for _ in range(9)]
    same, other = letters[:4], letters[4:]
    assert xz_bits(same, known=same) < 0.5
    assert xz_bits(same, known=other) > 2.5
    assert xz_bits(same) > 2.5


def test_the_ngram_model_is_lesson_03s():
    known = ["the cat sat on the mat"] * 3 + ["the dog sat on the log"]
    found = ngram_bits(TEXTS, known, order=3)
    model = NgramModel(3, "byte").fit(known)
    nats = sum(model.nll_nats(t)[0] for t in TEXTS)
    assert found == pytest.approx(nats / math.log(2) / sum(len(t.encode()) for t in TEXTS))
    assert found > ngram_bits(known, known, order=3)


@pytest.mark.parametrize("texts", [[], [""]])
def test_nothing_cannot_be_measured(texts, bytes_only):
    for measure in (gzip_bits, xz_bits, lambda t: ngram_bits(t, TEXTS)):
        with pytest.raises(ValueError, match="hold no byte"):
            measure(texts)
    with pytest.raises(ValueError, match="hold no byte"):
        model_bits(None, bytes_only, texts)

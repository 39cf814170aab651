"""How many bits a byte of text takes: a language model beside gzip, xz and a 5-gram model.

A model that guesses the next token with probability p spends -log2 p bits on it, and arithmetic
coding reaches that sum to within two bits. So a language model is a compressor, and compressors are
language models to compare it with. All of them are measured on the same held-out texts.
"""

import gzip
import lzma
import math
from collections.abc import Sequence

import torch

from minillm.data.ngram import NgramModel
from minillm.model import Decoder
from minillm.objectives import bits_per_byte, fast_cross_entropy
from minillm.tokenizer import Tokenizer

_XZ = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 26}]


def _n_bytes(texts: Sequence[str]) -> int:
    n = sum(len(text.encode()) for text in texts)
    if not n:
        raise ValueError("these texts hold no byte")
    return n


def _raw(texts: Sequence[str]) -> bytes:
    return "\n\n".join(texts).encode()


def gzip_bits(texts: Sequence[str]) -> float:
    """Compress texts by gzip at its best, all in one file.

    Args:
        texts: at least one byte in all; they are joined by an empty line.

    Returns:
        Bits a byte of the texts. gzip looks back 32 KiB, so that it can learn little.

    Raises:
        ValueError: if the texts hold no byte.

    Source: Deutsch 1996, RFC 1952.
    Lesson: notebooks/27_pretraining.ipynb
    """
    return 8 * len(gzip.compress(_raw(texts), 9, mtime=0)) / _n_bytes(texts)


def xz_bits(texts: Sequence[str], known: Sequence[str] = ()) -> float:
    """Compress texts by xz at its best, alone or behind texts that the reader has already.

        bits = 8 (size(known + texts) - size(known)) / bytes(texts)

    Args:
        texts: at least one byte in all.
        known: what may be referred to, such as the training text of a model, up to 64 MiB.

    Returns:
        Bits a byte of `texts`.

    Raises:
        ValueError: if the texts hold no byte.

    Cost: about 3 s for 10 MB of known text.
    Lesson: notebooks/27_pretraining.ipynb
    """
    n_bytes = _n_bytes(texts)
    before = _raw(known) + b"\n\n" if known else b""
    size = len(_xz(before + _raw(texts))) - (len(_xz(before)) if known else 0)
    return 8 * size / n_bytes


def _xz(raw: bytes) -> bytes:
    return lzma.compress(raw, format=lzma.FORMAT_XZ, check=lzma.CHECK_NONE, filters=_XZ)


def ngram_bits(texts: Sequence[str], known: Sequence[str], order: int = 5) -> float:
    """Guess bytes by the order - 1 bytes before them: modified Kneser-Ney, lesson 03's.

    Args:
        texts: to be measured; at least one byte in all. The end of each is guessed too.
        known: to count in.
        order: 5 for a 5-gram model.

    Returns:
        Bits a byte of `texts`.

    Raises:
        ValueError: if a text holds no byte, or as `NgramModel`.

    Cost: about 20 s and 800 MB for 5 MB of known text.
    Source: Chen and Goodman 1999, as in minillm/data/ngram.py.
    Lesson: notebooks/27_pretraining.ipynb
    """
    n_bytes = _n_bytes(texts)
    model = NgramModel(order, "byte").fit(known)
    nats = sum(nll for nll, _ in model.nll_many(texts))
    return nats / math.log(2) / n_bytes


@torch.no_grad()
def model_bits(
    model: Decoder, tokenizer: Tokenizer, texts: Sequence[str], *, batch_size: int = 16
) -> float:
    """Measure a language model on texts; the end of each is guessed too.

    Each text is read from its start behind an end-of-text token, in pieces of the model's
    context: the first tokens of a piece are guessed with little before them.

    Args:
        model: the model; it is put into evaluation mode and back.
        tokenizer: with an end-of-text token.
        texts: at least one byte in all.
        batch_size: pieces read at a time.

    Returns:
        Bits a byte of the texts; the end mark counts no bytes.

    Raises:
        ValueError: if the texts hold no byte.

    Lesson: notebooks/27_pretraining.ipynb
    """
    n_bytes = _n_bytes(texts)
    end, T = tokenizer.special_id("<|endoftext|>"), model.config.context
    pieces: list[list[int]] = []
    for text in texts:
        ids = [end, *tokenizer.encode(text), end]
        pieces += [ids[i : i + T + 1] for i in range(0, len(ids) - 1, T)]
    pieces.sort(key=len)  # so that a batch has little padding
    device, training, nats = next(model.parameters()).device, model.training, 0.0
    model.eval()
    for first in range(0, len(pieces), batch_size):
        batch = pieces[first : first + batch_size]
        width = max(map(len, batch))
        x = torch.tensor([p[:-1] + [0] * (width - len(p)) for p in batch], device=device)
        y = torch.tensor([p[1:] + [-100] * (width - len(p)) for p in batch], device=device)
        nats += fast_cross_entropy(model(x), y, reduction="sum").item()
    model.train(training)
    return bits_per_byte(nats, n_bytes)

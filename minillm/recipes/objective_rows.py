"""Rows for every objective from one text: what each shows, what it asks, and what that costs.

Used by the studies that compare objectives. Every objective but two is learned by the same
decoder; they differ in the rows alone.

Shape letters: L tokens of text in a row, T tokens of the row, D model width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm.model import DecoderConfig
from minillm.model.config import count_matrix_parameters
from minillm.objectives.denoising import corrupt_spans, noise_mask
from minillm.objectives.infilling import Infilling, InfillingBatch, mixed_infilling
from minillm.objectives.infilling import stack as stack_blanks
from minillm.objectives.masking import IGNORED, mask_tokens
from minillm.objectives.middle import fill_in_the_middle
from minillm.objectives.mixture_of_denoisers import UL2_DENOISERS
from minillm.objectives.multi_token import multi_token_flops
from minillm.objectives.prefix import (
    PrefixBatch,
    PrefixRow,
    prefix_lm,
    read_then_write,
    split_prefix,
    stack_prefixes,
)
from minillm.recipes.runs import decoder

SPECIAL = (
    "end_text", "mask", "gmask", "start", "end", "prefix", "suffix", "middle", "R", "S", "X",
    *(f"<{i}>" for i in range(13)),
)  # fmt: skip
OBJECTIVES = (
    "causal", "causal_fim", "multi_token", "prefix", "masked", "span", "span_encdec", "mixture",
    "glm", "glm_mixed", "glm_ends", "glm_one_position",
)  # fmt: skip
CAUSAL = ("causal", "causal_fim", "multi_token")
GMASK_SHARE = {"glm": 0.0, "glm_mixed": 0.7, "glm_ends": 1.0, "glm_one_position": 0.0}
"""glm has short spans alone, the objective of GLM's section 2.1.1; glm_mixed is GLM-130B's, and
glm_ends its long half."""


@dataclass(frozen=True)
class Words:
    """A text as numbers, and the special ids behind those that occur in it."""

    train: np.ndarray
    """(N,)."""
    test: np.ndarray
    """(M,): another text."""
    n_words: int
    """Ids that occur in the text: 0 to n_words - 1."""

    @property
    def vocab_size(self) -> int:
        """V, the special tokens among them."""
        return self.n_words + len(SPECIAL)

    def __getitem__(self, name: str) -> int:
        """Give the id of a special token."""
        return self.n_words + SPECIAL.index(name)

    @property
    def sentinels(self) -> list[int]:
        """Ids of the sentinels, the first one first."""
        return [self[name] for name in SPECIAL if name.startswith("<")]

    @property
    def blanks(self) -> dict[str, int]:
        """What blank_out needs besides mask_id."""
        return {"start_id": self["start"], "end_id": self["end"]}

    @property
    def marks(self) -> dict[str, int]:
        """What middle_last needs."""
        return {f"{name}_id": self[name] for name in ("prefix", "suffix", "middle", "end")}


@dataclass(frozen=True)
class Setup:
    """What all objectives of a comparison have in common."""

    words: Words
    length: int
    """L: a row holds L/2 to L tokens of text, before an objective changes them."""
    d_model: int
    n_layers: int
    n_heads: int
    flops: float
    """Operations of training."""
    batch_size: int
    lr: float
    gap: int
    """Tokens in the gap that is to be filled."""

    @property
    def config(self) -> DecoderConfig:
        """Shape of the decoder."""
        return decoder(
            self.words.vocab_size, self.d_model, self.n_layers, self.n_heads, 2 * self.length,
            tie_embeddings=False,
        )  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A text to read and one to write, for an encoder-decoder."""

    source: np.ndarray
    tokens: np.ndarray
    """What is written, behind the mark that the decoder is given first."""
    targets: np.ndarray


@dataclass(frozen=True)
class PairBatch:
    """Pairs in rows of one length."""

    source: Tensor
    seen: Tensor
    tokens: Tensor
    targets: Tensor


Row = PrefixRow | Infilling | Pair
Batch = PrefixBatch | InfillingBatch | PairBatch


def draw(setup: Setup, text: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a piece of L/2 to L tokens from anywhere in a text."""
    n = int(rng.integers(setup.length // 2, setup.length + 1))
    start = int(rng.integers(0, len(text) - n + 1))
    return text[start : start + n]


def make_row(name: str, ids: np.ndarray, rng: np.random.Generator, w: Words) -> Row:
    """Turn a piece of text into what an objective trains on.

    The masks of span corruption are rolled by a random number of places, as T5's code can do:
    else the last span would always be the end of the text, and in short texts the only one.
    """
    if name in CAUSAL:
        return causal_row(fill_in_the_middle(ids, rng, **w.marks) if name == "causal_fim" else ids)
    if name == "prefix":
        return prefix_lm(ids, rng)
    if name == "masked":
        special = range(w.n_words, w.vocab_size)
        x, y = mask_tokens(
            ids, rng, mask_id=w["mask"], vocab_size=w.vocab_size, special_ids=special
        )
        return PrefixRow(x, y, len(x))
    if name in GMASK_SHARE:
        masks = {"mask_id": w["mask"], "gmask_id": w["gmask"]}
        return mixed_infilling(ids, rng, gmask_share=GMASK_SHARE[name], **masks, **w.blanks)
    if name == "mixture":
        denoiser = UL2_DENOISERS[rng.integers(len(UL2_DENOISERS))]
        hidden = denoiser.hide(len(ids), rng)
        if denoiser.mode != "S":
            hidden = np.roll(hidden, rng.integers(len(ids)))
        x, y = corrupt_spans(ids, hidden, sentinels=w.sentinels, end_id=w["end"])
        return read_then_write(np.append(w[denoiser.mode], x), y)
    if name not in ("span", "span_encdec"):
        raise ValueError(f"no objective {name!r}; there are {', '.join(OBJECTIVES)}")
    hidden = np.roll(noise_mask(len(ids), rng), rng.integers(len(ids)))
    x, y = corrupt_spans(ids, hidden, sentinels=w.sentinels, end_id=w["end"])
    return read_then_write(x, y) if name == "span" else make_pair(x, y, w)


def causal_row(ids: np.ndarray) -> PrefixRow:
    """Lay a text out for a causal decoder."""
    row = split_prefix(ids, 1)
    return PrefixRow(row.tokens, row.targets, 0)


def make_pair(inputs: np.ndarray, targets: np.ndarray, w: Words) -> Pair:
    """Lay inputs and targets out for an encoder-decoder: the targets move by one."""
    return Pair(inputs, np.concatenate([[w["start"]], targets[:-1]]), targets)


def collate(name: str, rows: Sequence[Any]) -> Batch:
    """Lay rows into one length: that of the longest."""
    if name != "span_encdec":
        T = max(len(row.tokens) for row in rows)
        one = name not in GMASK_SHARE or name == "glm_one_position"
        return (stack_prefixes if one else stack_blanks)(rows, T, pad_id=0)

    def lay(parts: list[np.ndarray], fill: int) -> Tensor:
        longest = max(map(len, parts))
        full = [np.append(part, [fill] * (longest - len(part))) for part in parts]
        return torch.tensor(np.stack(full).astype(np.int64))

    source = lay([row.source for row in rows], -1)
    tokens, targets = (lay([getattr(row, x) for row in rows], f) for x, f in _PADDED)
    return PairBatch(source.clamp(min=0), source >= 0, tokens, targets)


_PADDED = (("tokens", 0), ("targets", IGNORED))


def row_flops(name: str, row: Any, shape: DecoderConfig) -> int:
    """Count the operations of training on one row, without padding.

        decoder:   6 (weights of the blocks) T + 6 V D n_asked + 12 n_layers D T^2

    The output matrix is paid for where something is asked. An encoder-decoder takes S places
    through its first stack and T through the second, with cross-attention.
    """
    layers, D = shape.n_layers, shape.d_model
    a_block, output = count_matrix_parameters(shape) // layers, shape.vocab_size * D
    T = len(row.tokens)
    if name == "multi_token":
        return multi_token_flops(shape, 2, T) * T
    if name == "span_encdec":
        S = len(row.source)
        matrices = layers * (a_block + 2 * D * D) * (S + T) + output * T
        return 6 * matrices + 12 * layers * D * (S * S + T * T + T * S)
    n_asked = int((row.targets != IGNORED).sum())
    return 6 * (layers * a_block * T + output * n_asked) + 12 * layers * D * T * T

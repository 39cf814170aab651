"""Which pieces can a Unigram vocabulary best do without?

Exactly, one would take each piece away, train anew and compare. SentencePiece's estimate instead
looks only at the best cut of every word, and at what would stand in the place of the piece.

Lesson: notebooks/07a_tokenizers.ipynb
"""

import math
from collections.abc import Mapping

import numpy as np

from minillm.tokenizer.unigram_fast import Lattice


def pruning_losses(lattice: Lattice) -> np.ndarray:
    """By how much the likelihood would fall without each piece, as SentencePiece estimates it.

    Every use of the piece in the best cuts is thought replaced by the best cut of the piece itself
    into others, whose counts rise by as much:

        F (log(F / S) - sum over parts of log((F_part + F) / S')),   S' = S + F (parts - 1)

    with F the uses of the piece in the best cuts of all words, and S the sum of all F.

    Returns:
        (P,) nats. Infinite for single characters, which must stay; 0 for pieces never used.

    Source: SentencePiece, unigram_model_trainer.cc, PruneSentencePieces.
    """
    used = lattice.best_counts()
    total = used.sum()
    index = {piece: i for i, piece in enumerate(lattice.pieces)}
    scores = dict(zip(lattice.pieces, lattice.scores.tolist(), strict=True))
    losses = np.zeros(len(index))
    for piece, i in index.items():
        if len(piece) == 1:
            losses[i] = math.inf
        elif used[i]:
            parts = best_without(piece, scores)
            grown = total + used[i] * (len(parts) - 1)
            after = sum(math.log((used[index[p]] + used[i]) / grown) for p in parts)
            losses[i] = used[i] * (math.log(used[i] / total) - after)
    return losses


def best_without(piece: str, scores: Mapping[str, float]) -> list[str]:
    """The best cut of a piece into at least two others. Its characters must be among them."""
    n = len(piece)
    best: list[tuple[float, int]] = [(0.0, 0)] + [(-math.inf, 0)] * n
    for i in range(n):
        for j in range(i + 1, n + (i > 0)):
            score = scores.get(piece[i:j])
            if score is not None and best[i][0] + score > best[j][0]:
                best[j] = (best[i][0] + score, i)
    parts, end = [], n
    while end > 0:
        start = best[end][1]
        parts.append(piece[start:end])
        end = start
    return parts[::-1]


def largest(values: np.ndarray, n: int) -> np.ndarray:
    """Mark the n largest of some values; among equals the earlier ones."""
    keep = np.zeros(len(values), bool)
    keep[np.argsort(-values, kind="stable")[:n]] = True
    return keep

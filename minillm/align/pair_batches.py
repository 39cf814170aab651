"""Pairs of answers as batches for the training loop, in an order that one can resume.

Shape letters: B pairs of a batch, T positions, R pairs in all.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from minillm.align.answer_logprobs import EncodedPair
from minillm.data.loader import BatchSampler
from minillm.finetune.chat import IGNORED
from minillm.finetune.talks import lay_rows, unpack_rows


class PairBatches(BatchSampler):
    """Serves pairs in shuffled order, each once in an epoch, and remembers where it is.

    A batch has the chosen rows first and below them the rejected ones in the same order, as
    `lay_pairs`. Columns that are padding in every row are cut off at its end. The order is that of
    `BatchSampler`, so that a run that was stopped goes on with the very batches it would have seen.

    Args:
        pairs: what to learn from; see `encode_pair`.
        batch_size: B, pairs; a batch has 2 B rows.
        context: the longest row that is read, as the model sees it: one less than its tokens.
        pad: id that fills rows up.
        seed: of the order.

    Raises:
        ValueError: if there is no pair, or a pair is longer than context + 1 (its number is named).

    Cost: 16 bytes a place of all rows.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """

    def __init__(
        self,
        pairs: Sequence[EncodedPair],
        batch_size: int,
        context: int,
        *,
        pad: int,
        seed: int = 0,
    ) -> None:
        if not pairs:
            raise ValueError("there is no pair to learn from")
        for n, pair in enumerate(pairs):
            if len(pair) > context + 1:
                raise ValueError(
                    f"pair {n} has {len(pair)} tokens, a row of context + 1 holds {context + 1}; "
                    "leave it out, or take a longer context"
                )
        sides = [[pair.chosen for pair in pairs], [pair.rejected for pair in pairs]]
        rows = np.concatenate([lay_rows(s, context + 1, "pad", pad=pad) for s in sides], axis=1)
        width = 2 * (context + 1)  # chosen and rejected side by side: one window of the sampler
        super().__init__(rows.ravel(), batch_size, width - 1, seed=seed, stride=width)
        self.pad, self.n_pairs = pad, len(pairs)
        self.mark = int(hashlib.sha256(rows.tobytes()).hexdigest()[:12], 16)

    def __next__(self) -> tuple[Tensor, Tensor]:
        both = self.take()  # (B, 2 (context + 1))
        half = both.shape[1] // 2
        rows = np.concatenate([both[:, :half], both[:, half:]])  # (2 B, context + 1)
        used = np.flatnonzero((rows != self.pad).any(axis=0))
        return unpack_rows(rows[:, : max(2, used[-1] + 1)])

    def state_dict(self) -> dict[str, int]:
        """Return what a checkpoint must keep; `mark` tells these pairs from others."""
        return {**super().state_dict(), "mark": self.mark}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to where the state was taken.

        Raises:
            ValueError: if it was taken with other pairs, or as `BatchSampler`.
        """
        super().load_state_dict(state)
        if state.get("mark") != self.mark:
            raise ValueError(
                "this state was taken with other pairs, or with the same in another order; resume "
                "with the same rows and the same settings"
            )


def mismatched(x: Tensor, y: Tensor, *, pad: int) -> tuple[Tensor, Tensor]:
    """Give each prompt of a batch the answer of the row above it: what KTO's z is measured on.

    Args:
        x: ids, (N, T), one talk a row, its answer at the end.
        y: targets, (N, T), IGNORED outside the answers.
        pad: id that fills rows up.

    Returns:
        x and y of the new rows, (N, T'). Row 0 gets the answer of the last.

    Raises:
        ValueError: if there are fewer than two rows, or a row has no answer.

    Source: Ethayarajh et al. 2024 (KTO), arXiv:2402.01306, section 4.1.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    learned = y != IGNORED
    if len(x) < 2 or not learned.any(dim=1).all():
        raise ValueError(f"need two rows or more, each with an answer; got {len(x)} rows")
    first = learned.int().argmax(dim=1).tolist()
    answers = [row[keep].tolist() for row, keep in zip(y, learned, strict=True)]
    rows = [
        (x[n, : first[n] + 1].tolist(), answers[n - 1])  # the prompt ends where its answer begins
        for n in range(len(x))
    ]
    T = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.full((len(rows), T), pad, dtype=x.dtype)
    targets = torch.full((len(rows), T), IGNORED, dtype=y.dtype)
    for n, (prompt, answer) in enumerate(rows):
        ids[n, : len(prompt) + len(answer)] = torch.tensor([*prompt, *answer])
        targets[n, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
    return ids[:, :-1].to(x.device), targets[:, 1:].to(y.device)

"""Talks as rows of tokens, and rows as batches: what supervised fine-tuning reads.

- Each talk begins with <|endoftext|>, as every text did that the base model has read. No content
  can hold that token, so where one stands in a row a talk begins: that is all that packing needs,
  and a batch stays a plain pair (x, y).
- Two ways to lay talks into rows: one a row, filled up with padding ("pad"), or several behind one
  another ("first_fit", "best_fit"), which holds less padding.

Shape letters: B sequences in a batch, T positions, R rows.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from minillm.data.loader import BatchSampler, split
from minillm.data.row_plan import plan_rows
from minillm.finetune.chat import CHATML, IGNORED, Answers, ChatTemplate, tokenize_chat
from minillm.finetune.roles import Message
from minillm.tokenizer import Tokenizer

START, PAD = "<|endoftext|>", "<|pad|>"
PACKINGS = ("pad", "first_fit", "best_fit")


@dataclass(frozen=True)
class Example:
    """A talk as a model reads it.

    Attributes:
        ids: <|endoftext|> and the talk.
        learned: which of them are to be predicted, as long as ids.
    """

    ids: tuple[int, ...]
    learned: tuple[bool, ...]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.learned):
            raise ValueError(f"{len(self.ids)} ids and {len(self.learned)} marks do not fit")

    def __len__(self) -> int:
        return len(self.ids)


def encode_talk(
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    *,
    template: ChatTemplate = CHATML,
    answers: Answers = "all",
) -> Example:
    """Turn a talk into an example.

    Args:
        messages, tokenizer, template, answers: as in `tokenize_chat`.

    Raises:
        ChatError: as `tokenize_chat`.

    Lesson: notebooks/28_instructions.ipynb
    """
    ids, learned = tokenize_chat(messages, tokenizer, template=template, answers=answers)
    return Example((tokenizer.special_id(START), *ids), (False, *learned))


def lay_rows(examples: Sequence[Example], row: int, packing: str, *, pad: int) -> np.ndarray:
    """Lay examples into rows, each whole in one row.

    A token that is learned is written as ~id = -1 - id, so that one array says both. With pad 9,
    learned tokens in brackets, rows of 6 and "first_fit":

        7 1 [2]   7 [3] [4]   7 5 [6] [6]   ->   7 1 -3 7 -4 -5   7 5 -7 -7 9 9

    Args:
        examples: at least one.
        row: places in a row.
        packing: one of PACKINGS.
        pad: id of what fills a row up.

    Returns:
        (R, row), int64.

    Raises:
        ValueError: if the packing is unknown, there is no example, or one is longer than a row.

    Lesson: notebooks/28_instructions.ipynb
    """
    if packing not in PACKINGS:
        raise ValueError(f"packing must be one of {', '.join(PACKINGS)}; got {packing!r}")
    if not examples:
        raise ValueError("there is no example to learn from")
    for n, example in enumerate(examples):
        if len(example) > row:
            raise ValueError(
                f"example {n} has {len(example)} tokens, a row of context + 1 holds {row}; leave "
                "it out, or take a longer context"
            )
    plan = plan_rows([len(example) for example in examples], row, packing)
    rows = np.full((len(plan), row), pad, np.int64)
    for r, pieces in enumerate(plan):
        at = 0
        for piece in pieces:
            example = examples[piece.document]
            ids, learned = np.array(example.ids), np.array(example.learned, dtype=bool)
            rows[r, at : at + len(example)] = np.where(learned, ~ids, ids)
            at += len(example)
    return rows


def unpack_rows(rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Turn rows of `lay_rows` into inputs and targets.

    Args:
        rows: (B, T + 1).

    Returns:
        x and y, (B, T), int64; y is IGNORED where nothing is learned.
    """
    x, y = split(np.where(rows < 0, ~rows, rows))
    return x, y.masked_fill(torch.from_numpy(rows[:, 1:] >= 0), IGNORED)


class ChatBatches(BatchSampler):
    """Serves rows of talks in shuffled order, each once in an epoch, and remembers where it is.

    Columns that are padding in every row of a batch are cut off at its end. The order is that of
    `BatchSampler`: a permutation for each epoch, seeded by (seed, epoch), so that a run that was
    stopped goes on with the very batches that it would have seen.

    Args:
        examples: what to learn from; see `encode_talk`.
        batch_size: B.
        context: T, the longest row that is read.
        start: id that begins each example, <|endoftext|>.
        pad: id that fills rows up, <|pad|>.
        packing: one of PACKINGS.
        seed: of the order.

    Raises:
        ValueError: as `lay_rows`; if start and pad are one id; or if an example has start anywhere
            but at its beginning.

    Cost: 8 bytes a place of all rows.
    Lesson: notebooks/28_instructions.ipynb
    """

    def __init__(
        self,
        examples: Sequence[Example],
        batch_size: int,
        context: int,
        *,
        start: int,
        pad: int,
        packing: str = "best_fit",
        seed: int = 0,
    ) -> None:
        if start == pad:
            raise ValueError(f"start and pad are both {start}: padding would begin a new talk")
        for n, example in enumerate(examples):
            if example.ids[:1] != (start,) or start in example.ids[1:]:
                raise ValueError(f"example {n} must begin with id {start} and hold it once")
        rows = lay_rows(examples, context + 1, packing, pad=pad)
        super().__init__(rows.ravel(), batch_size, context, seed=seed, stride=context + 1)
        self.start, self.pad, self.n_examples = start, pad, len(examples)
        self.mark = int(hashlib.sha256(rows.tobytes()).hexdigest()[:12], 16)

    def __next__(self) -> tuple[Tensor, Tensor]:
        rows = self.take()  # (B, T + 1)
        used = np.flatnonzero((rows != self.pad).any(axis=0))
        return unpack_rows(rows[:, : max(2, used[-1] + 1)])

    def state_dict(self) -> dict[str, int]:
        """Return what a checkpoint must keep; `mark` tells these talks from others."""
        return {**super().state_dict(), "mark": self.mark}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to where the state was taken.

        Raises:
            ValueError: if it was taken with other talks, or as `BatchSampler`.
        """
        super().load_state_dict(state)
        if state.get("mark") != self.mark:
            raise ValueError(
                "this state was taken with other talks, or with the same in another order; resume "
                "with the same rows and the same settings"
            )

"""One question for every objective: which tokens stood here, between these and those?

    left  1 2 3     middle  4 5     right  6 7

Each objective puts the question in the form that it was trained on. What is compared is the same
for all: the surprise at the tokens of the middle, and whether the likeliest token was right at
each of them. The length of the middle is given; the mark for its end is not asked for.

    left_only       1 2 3 4 5                     the right side cannot be shown
    middle_last     [PRE] 1 2 3 [SUF] 6 7 [MID] 4 5
    masked          1 2 3 [M] [M] 6 7             all at once, from both sides
    one_by_one      1 2 3 [M] [M] 6 7   and   1 2 3 4 [M] 6 7
    sentinel        1 2 3 <0> 6 7   <0> 4 5
    blank           1 2 3 [M] 6 7   [S] 4 5       with two positions a token

With nothing on the right the same forms ask for a continuation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from minillm.model.decoder import Decoder
from minillm.model.two_dimensional import TwoDimensionalDecoder
from minillm.objectives.infilling import Infilling, blank_out, hybrid_mask
from minillm.objectives.masking import IGNORED
from minillm.objectives.middle import middle_last
from minillm.objectives.prefix import Batch, PrefixRow, read_then_write, split_prefix


@dataclass(frozen=True)
class Question:
    """A text with a part of it taken out.

    Lesson: notebooks/18_objectives.ipynb
    """

    text: np.ndarray
    """(L,), int64: left, middle and right."""
    start: int
    """Where the middle begins; at least 1, so that something stands on the left."""
    end: int
    """Where it ends (not included); L for a continuation."""

    def __post_init__(self) -> None:
        if not 1 <= self.start < self.end <= len(self.text):
            raise ValueError(
                f"need 1 <= start < end <= {len(self.text)}, got {self.start} and {self.end}"
            )

    @property
    def middle(self) -> np.ndarray:
        """What is asked for."""
        return self.text[self.start : self.end]


def left_only(question: Question, *, both_ways: bool = False) -> PrefixRow:
    """Ask a causal decoder, or with both_ways a prefix decoder: left and middle, nothing else."""
    row = split_prefix(question.text[: question.end], question.start)
    return row if both_ways else PrefixRow(row.tokens, row.targets, 0)


def rearranged(
    question: Question, *, prefix_id: int, suffix_id: int, middle_id: int, end_id: int
) -> PrefixRow:
    """Ask a causal decoder that has learned to fill in the middle."""
    ids = middle_last(
        question.text, question.start, question.end,
        prefix_id=prefix_id, suffix_id=suffix_id, middle_id=middle_id, end_id=end_id,
    )  # fmt: skip
    row = split_prefix(ids[:-1], len(ids) - 1 - len(question.middle))
    return PrefixRow(row.tokens, row.targets, 0)


def masked(question: Question, *, mask_id: int) -> PrefixRow:
    """Ask a masked language model for the whole middle at once."""
    hidden = np.zeros(len(question.text), dtype=bool)
    hidden[question.start : question.end] = True
    tokens = np.where(hidden, mask_id, question.text)
    return PrefixRow(tokens, np.where(hidden, question.text, IGNORED), len(tokens))


def one_by_one(
    question: Question, *, mask_id: int, at: Sequence[int] | None = None, last: bool = False
) -> list[PrefixRow]:
    """Ask a masked language model for the middle from left to right, a row for each token.

    Args:
        question: with a middle of k tokens.
        mask_id: of [MASK].
        at: ask only for these tokens of the middle, counted from 0; None: for all.
        last: leave away everything behind the token that is asked for: a masked language model as
            a generator, which has to be shown its text anew for each token.
    """
    rows = []
    for i in range(len(question.middle)) if at is None else at:
        here = question.start + i
        text = question.text[: here + 1] if last else question.text
        rest = Question(text, here, len(text) if last else question.end)
        row = masked(rest, mask_id=mask_id)
        targets = np.full(len(text), IGNORED)
        targets[here] = text[here]
        rows.append(PrefixRow(row.tokens, targets, row.n_context))
    return rows


def sentinel(
    question: Question, *, sentinel_id: int, before: Sequence[int] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Ask a model of span corruption: inputs and targets, the mark for the end left away.

    Args:
        question: becomes one span.
        sentinel_id: the first sentinel.
        before: put in front of the inputs, such as the mode of a mixture of denoisers.
    """
    left, right = question.text[: question.start], question.text[question.end :]
    inputs = np.concatenate([np.asarray(before, dtype=np.int64), left, [sentinel_id], right])
    return inputs, np.append(sentinel_id, question.middle).astype(np.int64)


def sentinel_row(question: Question, *, sentinel_id: int, before: Sequence[int] = ()) -> PrefixRow:
    """Ask a decoder that has learned span corruption; see sentinel. Only the middle counts."""
    inputs, targets = sentinel(question, sentinel_id=sentinel_id, before=before)
    row = read_then_write(inputs, targets)
    asked = row.targets.copy()
    asked[len(inputs) - 1] = IGNORED  # the sentinel itself
    return PrefixRow(row.tokens, asked, row.n_context)


def blank(question: Question, *, mask_id: int, start_id: int, end_id: int) -> Infilling:
    """Ask a model of blank infilling, but not for the end; mask_id may be that of [gMASK]."""
    spans = [(question.start, question.end)]
    row = blank_out(question.text, spans, None, mask_id=mask_id, start_id=start_id, end_id=end_id)
    asked = row.targets.copy()
    asked[-1] = IGNORED
    return Infilling(row.tokens, asked, row.positions, row.n_context)


@dataclass(frozen=True)
class Answers:
    """How B rows were answered.

    Lesson: notebooks/18_objectives.ipynb
    """

    nats: Tensor
    """(B,): surprise at what was asked, summed over the row."""
    n_right: Tensor
    """(B,): tokens that were the likeliest."""
    n_asked: Tensor
    """(B,): tokens asked for."""

    def summary(self) -> dict[str, float]:
        """Give nats a token, the share of tokens right, and that of rows all right ("exact").

        A row that is right at each place, given what stands before, is what greedy decoding would
        write; so no decoding is needed.
        """
        n = max(1, int(self.n_asked.sum()))
        return {
            "nats": float(self.nats.sum()) / n,
            "right": float(self.n_right.sum()) / n,
            "exact": (self.n_right == self.n_asked).float().mean().item(),
        }

    def grouped(self, size: int) -> "Answers":
        """Add up every `size` rows that follow one another, such as those of one_by_one."""
        nats, right, asked = (
            x.view(-1, size).sum(dim=1) for x in (self.nats, self.n_right, self.n_asked)
        )
        return Answers(nats, right, asked)


def joined(parts: Sequence[Answers]) -> Answers:
    """Put the answers of several batches one below the other."""
    nats, right, asked = (
        torch.cat([getattr(part, name) for part in parts])
        for name in ("nats", "n_right", "n_asked")
    )
    return Answers(nats, right, asked)


def compare(logits: Tensor, targets: Tensor) -> Answers:
    """Score logits, (B, T, V), against targets, (B, T), -100 where nothing is asked."""
    asked = targets != IGNORED
    index = targets.masked_fill(~asked, 0)[..., None]
    log_p = logits.float().log_softmax(dim=-1)
    nats = -log_p.gather(-1, index)[..., 0].masked_fill(~asked, 0.0)
    right = (logits.argmax(dim=-1) == targets) & asked
    return Answers(nats.sum(dim=1), right.sum(dim=1), asked.sum(dim=1))


@torch.no_grad()
def answer(model: Decoder, batch: Batch) -> Answers:
    """Let a model answer the rows of a batch.

    Args:
        model: in evaluation mode; a TwoDimensionalDecoder for rows with two positions a token.
        batch: from objectives.stack_prefixes, or infilling.stack.

    Returns:
        The answers, row by row.

    Lesson: notebooks/18_objectives.ipynb
    """
    positions = getattr(batch, "positions", None)
    where = {} if positions is None else {"positions": positions}
    return compare(model(batch.tokens, mask=batch.mask, causal=False, **where), batch.targets)


@torch.no_grad()
def fill_blanks(
    model: TwoDimensionalDecoder,
    context: Sequence[int],
    *,
    mask_id: int,
    start_id: int,
    end_id: int,
    longest: int = 32,
) -> list[list[int]]:
    """Write what the blanks of a text hide, greedily: blank after blank, from left to right.

    Each span is written until the model says that it ends; the next one sees it.

    Args:
        model: that has learned blank infilling, in evaluation mode.
        context: part A: token ids with mask_id where something is missing.
        mask_id: of [MASK] or [gMASK].
        start_id, end_id: as for objectives.blank_out.
        longest: tokens in a span at most.

    Returns:
        The spans, without the end, in the order of the blanks.

    Raises:
        ValueError: if there is no blank, or longest < 1.

    Cost: the whole text is read again for each token.
    Lesson: notebooks/18_objectives.ipynb
    """
    holes = [i for i, token in enumerate(context) if token == mask_id]
    if not holes or longest < 1:
        raise ValueError(f"need a blank (mask_id={mask_id}) and longest >= 1, got {longest}")
    A = len(context)
    tokens, positions = list(context), [[*range(A)], [0] * A]
    spans = []
    for hole in holes:
        tokens.append(start_id)
        span: list[int] = []
        while True:
            positions[0].append(hole)
            positions[1].append(len(span) + 1)
            mask = hybrid_mask(A, len(tokens))
            logits = model(torch.tensor([tokens]), positions=torch.tensor([positions]), mask=mask)
            token = int(logits[0, -1].argmax())
            if token == end_id or len(span) == longest:
                break
            span.append(token)
            tokens.append(token)
        spans.append(span)
    return spans

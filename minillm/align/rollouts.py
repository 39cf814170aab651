"""Rollouts: let a policy answer a batch of prompts, and keep how likely it found what it said.

- Prompts of different length are read at once, with padding on the left that nobody sees; what
  comes back lies as all of this room expects it, with the padding on the right.
- Each row draws from random numbers of its own, one a token. So what a row says does not change
  when others end, or others are added behind it: seed and row say it all.
- A row that has ended is dropped from the batch once half of them have.

Shape letters: B rows, P longest prompt, T positions of the result, V vocabulary.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minillm.align.ragged import make_ragged_reader
from minillm.inference.prompts import check_prompt
from minillm.model import Decoder


@dataclass(frozen=True)
class Rollouts:
    """Prompts with the answers of a policy.

    Attributes:
        ids: prompt, answer, padding, (B, T), int64.
        mask: True at the tokens of the answers, (B, T), the one that ended it included.
        logprobs: of these tokens when they were drawn, (B, T), 0 elsewhere.
        prompt_lengths: tokens of each prompt, (B,), int64.
        ended: whether the answer ended by itself, with a stop id, (B,), bool.
    """

    ids: Tensor
    mask: Tensor
    logprobs: Tensor
    prompt_lengths: Tensor
    ended: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Tensor:
        """Tokens of each answer, (B,), int64."""
        return self.mask.sum(dim=1)

    def rows(self, chosen: slice) -> "Rollouts":
        """Give some rows, as wide as they all are."""
        ids, mask, logprobs = self.ids[chosen], self.mask[chosen], self.logprobs[chosen]
        return Rollouts(ids, mask, logprobs, self.prompt_lengths[chosen], self.ended[chosen])

    def prompts(self) -> list[list[int]]:
        """Give the prompts as lists of ids."""
        lengths = self.prompt_lengths.tolist()
        return [row[:n] for row, n in zip(self.ids.tolist(), lengths, strict=True)]

    def answers(self) -> list[list[int]]:
        """Give the answers as lists of ids, the stop id included where there is one."""
        return [row[keep].tolist() for row, keep in zip(self.ids, self.mask, strict=True)]


def rollout(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    pad_id: int,
    stop_ids: Collection[int] = (),
    temperature: float = 1.0,
    seed: int = 0,
    first_row: int = 0,
    fast: bool = True,
) -> Rollouts:
    """Draw one answer to each prompt; repeat a prompt to get several.

    Nothing but the temperature changes the distribution: with top-k or top-p the answers would not
    be the policy's, and its gradient would be estimated from the wrong ones.

    Args:
        model: a Decoder, adapters allowed. Its mode (train or eval) is put back.
        prompts: ids of each prompt, B lists of at least one.
        max_new_tokens: at most so many are drawn for each, at least 1.
        pad_id: fills rows up on the right. Any id does, none is ever read.
        stop_ids: an answer ends with the first of these, which belongs to it.
        temperature: divides the logits.
        seed: of the draws.
        first_row: the number of the first prompt, where several processes share a batch: its rows
            say what they would say with those before them.
        fast: take the reader that does the same with fewer operations, where the model allows.

    Returns:
        The rollouts, on the device of the model. logprobs are those of the distribution that was
        drawn from, in float32 or wider.

    Raises:
        ValueError: if there is no prompt, one is empty, max_new_tokens < 1, the temperature is not
            positive, first_row is negative, or the longest prompt and its answer do not fit in the
            context.

    Cost: the prompts once, then one position a row and token.
    Lesson: notebooks/34b_ppo.ipynb
    """
    ids, real = _left_padded(model, prompts, max_new_tokens, pad_id)
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be positive and finite, got {temperature}")
    if first_row < 0:
        raise ValueError(f"first_row must not be negative, got {first_row}")
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            said, logprobs, n_said = _draw_answers(
                model,
                ids,
                real,
                max_new_tokens,
                stop_ids=set(stop_ids),
                temperature=temperature,
                uniform=_table(seed, first_row, len(ids), max_new_tokens).to(ids.device),
                fast=fast,
            )
    finally:
        model.train(training)
    return _lay_out(prompts, said, logprobs, n_said, set(stop_ids), pad_id)


def draw(logprobs: Tensor, uniform: Tensor) -> Tensor:
    """Draw one token a row by its place on the line from 0 to 1.

        token = the first v with  p_0 + ... + p_v > uniform

    Args:
        logprobs: (B, V); minus infinity is never drawn.
        uniform: numbers in [0, 1), (B,), float64.

    Returns:
        Ids, (B,), int64.

    Cost: B V additions in float64: a sum in float32 would lose rare tokens at its end.
    Lesson: notebooks/34b_ppo.ipynb
    """
    line = logprobs.exp().double().cumsum(dim=-1)  # (B, V)
    place = uniform[:, None] * line[:, -1:]
    return torch.searchsorted(line, place, right=True)[:, 0].clamp(max=line.shape[1] - 1)


def _table(seed: int, first_row: int, n_rows: int, n: int) -> Tensor:
    """The random numbers of some rows, (n_rows, n), float64."""
    generator = torch.Generator().manual_seed(seed)  # on the CPU: every device draws the same
    every = torch.rand(first_row + n_rows, n, dtype=torch.float64, generator=generator)
    return every[first_row:]


def _draw_answers(
    model: Decoder,
    ids: Tensor,
    real: Tensor,
    max_new_tokens: int,
    *,
    stop_ids: set[int],
    temperature: float,
    uniform: Tensor,
    fast: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw token by token; what was said and its logprobs, (B, n) each, and how much, (B,)."""
    B, device = len(ids), ids.device
    stops = torch.tensor(sorted(stop_ids), dtype=torch.int64, device=device)
    read = make_ragged_reader(model, real, max_new_tokens, fast=fast)
    said = torch.zeros(B, max_new_tokens, dtype=torch.int64, device=device)
    n_said = torch.full((B,), max_new_tokens, device=device)
    logprobs: Tensor | None = None
    rows = torch.arange(B, device=device)  # which rows are in the reader
    going = torch.ones(B, dtype=torch.bool, device=device)  # of these, who has not ended
    new = ids
    for t in range(max_new_tokens):
        logits = read(new)  # (rows, V)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        logp = (wide if temperature == 1 else wide / temperature).log_softmax(dim=-1)
        token = draw(logp, uniform[rows, t])  # (rows,)
        if logprobs is None:
            logprobs = logp.new_zeros(B, max_new_tokens)
        said[rows, t] = token
        logprobs[rows, t] = logp.gather(-1, token[:, None])[:, 0]
        new = token[:, None]
        if stop_ids:
            ends = going & torch.isin(token, stops)
            n_said[rows[ends]] = t + 1
            going = going & ~ends
            n_going = int(going.sum())
            if n_going == 0:
                break
            if 2 * n_going <= len(rows) and t + 1 < max_new_tokens:
                keep = going.nonzero()[:, 0]
                read.keep(keep)
                rows, new, going = rows[keep], new[keep], going[keep]
    assert logprobs is not None  # max_new_tokens >= 1
    return said, logprobs, n_said


def _left_padded(
    model: Decoder, prompts: Sequence[Sequence[int]], max_new_tokens: int, pad_id: int
) -> tuple[Tensor, Tensor]:
    """Check the prompts; lay them right-aligned, (B, P), with True where a token is."""
    if not prompts:
        raise ValueError("there is no prompt to answer")
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    lengths = [len(p) for p in prompts]
    if 0 in lengths:
        raise ValueError(
            f"prompt {lengths.index(0)} is empty: begin it with <|endoftext|>, nothing can follow "
            "no token"
        )
    P, device = max(lengths), model.embedding.weight.device
    ids = torch.full((len(prompts), P), pad_id)
    for row, prompt in zip(ids, prompts, strict=True):
        row[P - len(prompt) :] = torch.as_tensor(prompt)
    check_prompt(model, ids, max_new_tokens)
    real = torch.arange(P)[None, :] >= P - torch.tensor(lengths)[:, None]  # (B, P)
    return ids.to(device), real.to(device)


def _lay_out(
    prompts: Sequence[Sequence[int]],
    said: Tensor,
    logprobs: Tensor,
    n_said: Tensor,
    stop_ids: set[int],
    pad_id: int,
) -> Rollouts:
    """Put answers behind their prompts, and the padding behind both."""
    starts = torch.tensor([len(p) for p in prompts], device=said.device)  # (B,)
    T = int((starts + n_said).max())
    place = torch.arange(T, device=said.device)[None, :] - starts[:, None]  # (B, T) in the answer
    mask = (place >= 0) & (place < n_said[:, None])
    where = place.clamp(0, said.shape[1] - 1)
    ids = torch.where(mask, said.gather(1, where), pad_id)
    for row, prompt in zip(ids, prompts, strict=True):
        row[: len(prompt)] = torch.as_tensor(prompt, device=ids.device)
    kept = torch.where(mask, logprobs.gather(1, where), torch.zeros_like(logprobs[:, :1]))
    last = said.gather(1, n_said[:, None] - 1)[:, 0]
    stops = torch.tensor(sorted(stop_ids), dtype=torch.int64, device=said.device)
    return Rollouts(ids, mask, kept, starts, torch.isin(last, stops))

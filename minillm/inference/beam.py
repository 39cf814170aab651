"""Beam search: keep the few best texts after each token, and return the best that ended.

- One prompt at a time; the texts kept are the rows of a batch, and start from one row.
- Ties go to the text kept earlier, then to the smaller id.
- With n_groups > 1 it is diverse beam search: the groups take turns, and each pays for tokens
  that the groups before it took at the same step.

Shape letters: R texts kept (rows), T prompt length, V vocabulary.
"""

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from minillm.inference.prompts import check_prompt, one_prompt
from minillm.inference.readers import Reader, make_reader
from minillm.inference.rows import follow_rows
from minillm.inference.rules import Rule


@dataclass(frozen=True)
class Hypothesis:
    """A continuation that beam search found."""

    ids: tuple[int, ...]
    """The new tokens, the stopping one included."""
    log_probability: float
    """The sum over them, in nats, as changed by the rules if there are any."""
    score: float
    """log_probability / len(ids)^length_penalty."""
    group: int
    """Which group found it, from 0."""


class _Open(NamedTuple):
    """A text that goes on."""

    ids: tuple[int, ...]
    log_p: float  # nats
    row: int  # of the batch that was read last


@dataclass(frozen=True)
class _Settings:
    width: int  # texts of one group
    length_penalty: float
    stops: frozenset[int]
    longest: int  # max_new_tokens
    diversity: float


def beam_search(
    model: nn.Module,
    ids: Tensor | Sequence[int],
    max_new_tokens: int,
    *,
    n_beams: int = 4,
    length_penalty: float = 1.0,
    stop_ids: Collection[int] = (),
    n_groups: int = 1,
    diversity: float = 0.0,
    rules: Sequence[Rule] = (),
    use_cache: bool = True,
) -> list[Hypothesis]:
    """Search for the continuation with the highest score.

        score = ln p(continuation | prompt) / length^length_penalty

    After each token a group ranks all continuations of its texts by ln p, keeps the best
    n_beams / n_groups that do not end, and sets aside those that end and are among the best
    n_beams / n_groups. It stops when no text that goes on can still beat the worst set aside.
    Group g ranks by  ln p - diversity * (how many texts of groups 0 to g - 1 took this token now);
    this changes what is kept, not the ln p that is summed. Stopping costs nothing. Two groups may
    still find the same text.

    Args:
        model: a Decoder; or, without a cache, anything that maps ids (R, T) to logits (R, T, V).
        ids: one prompt, a list of ids, (T,) or (1, T).
        max_new_tokens: at most so many are appended, at least 1; a text of this length has ended.
        n_beams: texts kept at a time, all groups together. As many as there are texts of length
            max_new_tokens - 1 make the search exact; 1 is greedy.
        length_penalty: 0 compares sums, which favour short texts; 1 means over tokens; more
            favours long ones, negative values short ones.
        stop_ids: a text ends with the first of these.
        n_groups: divides n_beams; 1 is plain beam search.
        diversity: not negative, in nats; 0 makes all groups find the same.
        rules: change what the texts pay, one after another; they see the texts with the prompt,
            (R, T + t), and log-probabilities, (R, V), where generate shows logits. For example
            lambda text, z: no_repeat_ngram(z, text, 3). The search stops at the right time only
            if they stay <= 0. A text to which they leave nothing is dropped.
        use_cache: keep keys and values; without it every step reads the whole texts again.

    Returns:
        At most n_beams hypotheses, best score first.

    Raises:
        ValueError: if ids are not one prompt, a number is out of range, prompt and continuation
            exceed the context, a row of logits has a NaN or plus infinity, or the rules forbid
            every continuation.

    Cost: each step costs R positions, a copy of R rows of the cache and a sort of R V numbers.
    Source: length penalty: Wu et al. 2016, arXiv:1609.08144, section 7, in the simpler form of
        transformers; groups: Vijayakumar et al. 2016, arXiv:1610.02424, Hamming diversity.
    Lesson: notebooks/19_decoding.ipynb
    """
    prompt = text = one_prompt(model, ids)
    check_prompt(model, prompt, max_new_tokens)
    _check(max_new_tokens, n_beams, n_groups, length_penalty, diversity)
    settings = _Settings(
        n_beams // n_groups, length_penalty, frozenset(stop_ids), max_new_tokens, diversity
    )
    groups = [[_Open((), 0.0, 0)] for _ in range(n_groups)]  # all start from the same row
    ended: list[list[Hypothesis]] = [[] for _ in range(n_groups)]
    length = prompt.shape[1] + max_new_tokens - 1  # the last token is never read
    with torch.no_grad():
        reader = make_reader(model, 1, length, use_cache=use_cache)
        logits = reader(prompt)
        while True:
            log_p = _log_probabilities(logits, text, rules)  # (R, V)
            groups = _all_groups(groups, log_p, ended, settings)
            if not any(groups):
                break
            groups, text = _follow(reader, groups, text)
            logits = reader(text[:, -1:])
    if not any(ended):
        raise ValueError("the rules forbid every continuation")
    return sorted((one for group in ended for one in group), key=lambda one: -one.score)


def _follow(
    reader: Reader, groups: list[list[_Open]], text: Tensor
) -> tuple[list[list[_Open]], Tensor]:
    """Give every text that goes on a row of its own: what was read, and the ids, (R, T + t)."""
    going = [one for group in groups for one in group]
    rows = [one.row for one in going]
    follow_rows(reader, rows)
    new = torch.tensor([[one.ids[-1]] for one in going], device=text.device)  # (R, 1)
    row = itertools.count()
    groups = [[one._replace(row=next(row)) for one in group] for group in groups]
    return groups, torch.cat([text[rows], new], dim=1)


def _all_groups(
    groups: list[list[_Open]],
    log_p: Tensor,
    ended: list[list[Hypothesis]],
    settings: _Settings,
) -> list[list[_Open]]:
    """One step of every group, in turn; returns the texts that go on, and adds to ended."""
    taken = torch.zeros_like(log_p[0])  # (V,): by how many texts of the groups before
    after = []
    for g, texts in enumerate(groups):
        after.append(_one_group(texts, log_p, taken, ended[g], g, settings))
    return after


def _one_group(
    texts: list[_Open],
    log_p: Tensor,
    taken: Tensor,
    ended: list[Hypothesis],
    group: int,
    settings: _Settings,
) -> list[_Open]:
    """Continue the texts of a group by one token; adds to taken and ended.

    Returns the texts that go on.
    """
    if not texts:
        return []
    width, stops = settings.width, settings.stops
    so_far = torch.tensor([one.log_p for one in texts], dtype=log_p.dtype, device=log_p.device)
    total = so_far[:, None] + log_p[[one.row for one in texts]]  # (texts, V)
    order = (
        (total - settings.diversity * taken).flatten().sort(descending=True, stable=True).indices
    )
    order = order[: (1 + len(stops)) * width]  # enough for width that do not end
    V, length = log_p.shape[1], len(texts[0].ids) + 1
    going: list[_Open] = []
    for rank, (where, value) in enumerate(
        zip(order.tolist(), total.flatten()[order].tolist(), strict=True)
    ):
        parent, token = texts[where // V], where % V
        ends = token in stops or length == settings.longest
        if value == -math.inf or (rank >= width if ends else len(going) >= width):
            continue  # forbidden, or not good enough
        if ends:
            score = value / length**settings.length_penalty
            ended.append(Hypothesis((*parent.ids, token), value, score, group))
        else:
            going.append(_Open((*parent.ids, token), value, parent.row))
        taken[token] += token not in stops
    ended.sort(key=lambda one: -one.score)
    del ended[width:]
    return going if _can_improve(going, ended, length, settings) else []


def _can_improve(
    going: list[_Open], ended: list[Hypothesis], length: int, settings: _Settings
) -> bool:
    """Say whether a text that goes on may still get among the ended: ln p can only fall."""
    if len(ended) < settings.width or not going:
        return bool(going)
    best_length = settings.longest if settings.length_penalty > 0 else length + 1
    best = max(one.log_p for one in going) / best_length**settings.length_penalty
    return best > ended[-1].score


def _log_probabilities(logits: Tensor, text: Tensor, rules: Sequence[Rule]) -> Tensor:
    """ln p of the next token, (R, V), float64."""
    log_p = logits.double().log_softmax(dim=-1)
    if log_p.isnan().any():
        raise ValueError("a row of logits has a NaN, an infinity, or no finite entry at all")
    for rule in rules:  # not apply_rules: a text may come to nothing, and others go on
        log_p = rule(text, log_p)
    return log_p


def _check(
    max_new_tokens: int,
    n_beams: int,
    n_groups: int,
    length_penalty: float,
    diversity: float,
) -> None:
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    if n_beams < 1:
        raise ValueError(f"n_beams must be at least 1, got {n_beams}")
    if n_groups < 1 or n_beams % n_groups:
        raise ValueError(f"n_groups must divide n_beams={n_beams}, got {n_groups}")
    if not math.isfinite(length_penalty):
        raise ValueError(f"length_penalty must be finite, got {length_penalty}")
    if not 0 <= diversity < math.inf:
        raise ValueError(f"diversity must be finite and not negative, got {diversity}")

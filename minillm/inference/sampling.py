"""From logits to text: choose the next token, append it, go on.

- filtered_probabilities is the definition of every rule of choice; sample_next draws from it.
- The order is fixed: temperature, then top-k, then top-p on what top-k left. Ties go to the smaller
  id everywhere.
- generate keeps the keys and values of what was read (readers.py); use_cache=False reads everything
  anew for each token and gives the same ids.

Shape letters: B batch, T prompt length, V vocabulary.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from minillm.inference.readers import make_reader
from minillm.model import DecoderConfig


def filtered_probabilities(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    """Turn logits into the distribution that the next token is drawn from.

        p = softmax(logits / temperature)
        top-k: keep the k largest;   top-p: keep the shortest list of the largest whose sum is
        at least top_p;   what is dropped gets 0, and the rest is divided by its sum

    Args:
        logits: (..., V).
        temperature: below 1 sharper, above 1 flatter; 0 puts everything on the largest logit.
        top_k: how many to keep; None, or V and more, keeps all.
        top_p: which probability to keep, in (0, 1]; None or 1 keeps all. At least one token stays.

    Returns:
        Probabilities, (..., V), float64, rows summing to 1. Between equal logits the smaller id
        is kept.

    Raises:
        ValueError: if temperature < 0, top_k < 1, top_p is not in (0, 1], or a row of logits has
            a NaN or no finite entry.

    Cost: one sort of V where top_k or top_p is set.
    Source: top-k: Fan et al. 2018, arXiv:1805.04833, section 5.4; top-p: Holtzman et al. 2020,
        arXiv:1904.09751, section 3.1.
    Lesson: notebooks/19_decoding.ipynb
    """
    _check_settings(temperature, top_k, top_p)
    best, where = _largest(logits)
    if temperature == 0:
        return torch.zeros_like(logits, dtype=torch.float64).scatter_(-1, where, 1.0)
    p = ((logits.double() - best) / temperature).softmax(dim=-1)  # (..., V)
    V = logits.shape[-1]
    if (top_k is None or top_k >= V) and (top_p is None or top_p == 1):
        return p
    ordered, ids = p.sort(dim=-1, descending=True, stable=True)  # ties: the smaller id first
    if top_k is not None and top_k < V:
        ordered[..., top_k:] = 0
        ordered = ordered / ordered.sum(dim=-1, keepdim=True)
    if top_p is not None and top_p < 1:
        before = ordered.cumsum(dim=-1) - ordered  # probability of everything more likely
        ordered = ordered.masked_fill(before >= top_p, 0.0)
        ordered = ordered / ordered.sum(dim=-1, keepdim=True)
    return torch.zeros_like(p).scatter_(-1, ids, ordered)


def sample_next(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Choose one token for each row.

    Args:
        logits: (..., V).
        temperature, top_k, top_p: as in filtered_probabilities. Temperature 0 is greedy: the
            largest logit, without any randomness.
        generator: source of the randomness, on the device of the logits; None is torch's own.

    Returns:
        Ids, (...), int64.

    Raises:
        ValueError: as filtered_probabilities.

    Lesson: notebooks/19_decoding.ipynb
    """
    if temperature == 0:
        _check_settings(temperature, top_k, top_p)
        return _largest(logits)[1][..., 0]
    p = filtered_probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    drawn = torch.multinomial(p.reshape(-1, p.shape[-1]), 1, generator=generator)
    return drawn.view(p.shape[:-1])


def generate(
    model: nn.Module,
    ids: Tensor,
    max_new_tokens: int,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop_ids: Collection[int] = (),
    pad_id: int | None = None,
    seed: int | None = None,
    use_cache: bool = True,
) -> Tensor:
    """Continue each row of a batch of prompts.

    Args:
        model: a Decoder; or, without a cache, anything that maps ids (B, T) to logits (B, T, V).
        ids: prompts of one length, (B, T), T >= 1.
        max_new_tokens: at most so many are appended.
        temperature, top_k, top_p: as in sample_next; by default greedy.
        stop_ids: a row ends with the first of these it produces, which stays in the result.
        pad_id: fills a row behind its end; None repeats the id that ended it.
        seed: of the sampling; None draws from torch's own generator.
        use_cache: keep keys and values; without it every token reads the whole text again.

    Returns:
        Prompt and continuation, (B, T + n), int64. n is max_new_tokens, or less if every row
        has ended before.

    Raises:
        ValueError: if ids are not (B, T) with T >= 1, max_new_tokens is negative, a setting is
            out of range, or T + max_new_tokens is more than the context of the model. The text
            is never cut silently: shorten the prompt, or ask for fewer tokens.

    Cost: with the cache, each new token costs one position and reads all weights once; without
        it, T + t positions for the t-th.
    Lesson: notebooks/19_decoding.ipynb
    """
    steps = _decode(
        model,
        ids,
        max_new_tokens,
        use_cache=use_cache,
        stop_ids=stop_ids,
        pad_id=pad_id,
        seed=seed,
        settings={"temperature": temperature, "top_k": top_k, "top_p": top_p},
    )
    return torch.cat([ids, *steps], dim=1)  # (B, T + n)


def stream(
    model: nn.Module,
    ids: Tensor | Sequence[int],
    max_new_tokens: int,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop_ids: Collection[int] = (),
    seed: int | None = None,
    use_cache: bool = True,
) -> Iterator[int]:
    """Continue one prompt, and hand out each token as soon as it is known.

    Args:
        model: as in generate.
        ids: the prompt, a list of ids, (T,) or (1, T).
        max_new_tokens, temperature, top_k, top_p, stop_ids, seed, use_cache: as in generate.

    Yields:
        The ids that generate would append, one at a time, the stopping one included.

    Raises:
        ValueError: as generate, when the first token is asked for; or if there is more than one
            row.

    Lesson: notebooks/19_decoding.ipynb
    """
    prompt = torch.as_tensor(ids)
    prompt = prompt[None] if prompt.ndim == 1 else prompt  # (1, T)
    if prompt.ndim != 2 or prompt.shape[0] != 1:
        raise ValueError(f"stream continues one prompt, got ids of shape {tuple(prompt.shape)}")
    device = next((p.device for p in model.parameters()), None)
    steps = _decode(
        model,
        prompt.to(device),
        max_new_tokens,
        use_cache=use_cache,
        stop_ids=stop_ids,
        pad_id=None,
        seed=seed,
        settings={"temperature": temperature, "top_k": top_k, "top_p": top_p},
    )
    for column in steps:
        yield int(column)


def _decode(
    model: nn.Module,
    ids: Tensor,
    max_new_tokens: int,
    *,
    use_cache: bool,
    stop_ids: Collection[int],
    pad_id: int | None,
    seed: int | None,
    settings: dict[str, Any],
) -> Iterator[Tensor]:
    """Yield the new tokens of all rows, one column (B, 1) at a time."""
    _check_prompt(model, ids, max_new_tokens)
    _check_settings(**settings)
    length = ids.shape[1] + max(max_new_tokens - 1, 0)  # the last token is never read
    with torch.no_grad():  # not inference_mode: its tensors may never meet a gradient again
        read = make_reader(model, len(ids), length, use_cache=use_cache)
    generator = None if seed is None else torch.Generator(ids.device).manual_seed(seed)
    stops = torch.tensor(sorted(stop_ids), dtype=torch.int64, device=ids.device)
    ended = torch.zeros(len(ids), 1, dtype=torch.bool, device=ids.device)  # (B, 1)
    new = ids
    for _ in range(max_new_tokens):
        before = new[:, -1:]  # (B, 1)
        with torch.no_grad():
            logits = read(new)
        new = sample_next(logits, generator=generator, **settings)[:, None]  # (B, 1)
        if stop_ids:
            filler = before if pad_id is None else torch.full_like(new, pad_id)
            new = torch.where(ended, filler, new)
            ended = ended | torch.isin(new, stops)
        yield new
        if stop_ids and ended.all():
            return


def _largest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The largest logit and its id, (..., 1) each; the smaller id where two are equal."""
    where = logits.argmax(dim=-1, keepdim=True)  # a NaN counts as the largest of all
    best = logits.gather(-1, where)
    if not math.isfinite(best.double().sum()):
        raise ValueError("a row of logits has a NaN, an infinity, or no finite entry at all")
    return best, where


def _check_prompt(model: nn.Module, ids: Tensor, max_new_tokens: int) -> None:
    if ids.ndim != 2 or 0 in ids.shape:
        raise ValueError(f"ids must be (B, T) with at least one token, got {tuple(ids.shape)}")
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must not be negative, got {max_new_tokens}")
    config = getattr(model, "config", None)
    if isinstance(config, DecoderConfig) and ids.shape[1] + max_new_tokens > config.context:
        raise ValueError(
            f"a prompt of {ids.shape[1]} tokens and {max_new_tokens} new ones do not fit in the "
            f"context of {config.context}; shorten the prompt, or ask for fewer"
        )


def _check_settings(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be finite and not negative, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}; None keeps all tokens")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must lie in (0, 1], got {top_p}; None keeps all tokens")

"""From a prompt to a text: choose the next token, append it, go on.

generate keeps the keys and values of what was read (readers.py); use_cache=False reads everything
anew for each token and gives the same ids.

Shape letters: B batch, T prompt length, V vocabulary.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from minillm.inference.prompts import check_prompt, one_prompt
from minillm.inference.readers import make_reader
from minillm.inference.rules import Rule, apply_rules
from minillm.inference.sampling import check_settings, sample_next


def generate(
    model: nn.Module,
    ids: Tensor,
    max_new_tokens: int,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    typical_p: float | None = None,
    rules: Sequence[Rule] = (),
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
        temperature, top_k, top_p, min_p, typical_p: as in sample_next; by default greedy.
        rules: each changes the logits by what the text holds, one after another, before the
            temperature; see Rule. They see the rows that have not ended.
        stop_ids: a row ends with the first of these it produces, which stays in the result.
        pad_id: fills a row behind its end; None repeats the id that ended it.
        seed: of the sampling; None draws from torch's own generator.
        use_cache: keep keys and values; without it every token reads the whole text again.

    Returns:
        Prompt and continuation, (B, T + n), int64. n is max_new_tokens, or less if every row
        has ended before.

    Raises:
        ValueError: if ids are not (B, T) with T >= 1, max_new_tokens is negative, a setting is
            out of range, T + max_new_tokens is more than the context of the model (the text is
            never cut silently: shorten the prompt, or ask for fewer tokens), or the rules leave
            a row no token.

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
        rules=rules,
        settings={
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "min_p": min_p,
            "typical_p": typical_p,
        },
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
    min_p: float | None = None,
    typical_p: float | None = None,
    rules: Sequence[Rule] = (),
    stop_ids: Collection[int] = (),
    seed: int | None = None,
    use_cache: bool = True,
) -> Iterator[int]:
    """Continue one prompt, and hand out each token as soon as it is known.

    Args:
        model: as in generate.
        ids: the prompt, a list of ids, (T,) or (1, T).
        max_new_tokens, temperature, top_k, top_p, min_p, typical_p, rules, stop_ids, seed,
            use_cache: as in generate.

    Yields:
        The ids that generate would append, one at a time, the stopping one included.

    Raises:
        ValueError: as generate, when the first token is asked for; or if there is more than one
            row.

    Lesson: notebooks/19_decoding.ipynb
    """
    prompt = one_prompt(model, ids)
    steps = _decode(
        model,
        prompt,
        max_new_tokens,
        use_cache=use_cache,
        stop_ids=stop_ids,
        pad_id=None,
        seed=seed,
        rules=rules,
        settings={
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "min_p": min_p,
            "typical_p": typical_p,
        },
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
    rules: Sequence[Rule],
    settings: dict[str, Any],
) -> Iterator[Tensor]:
    """Yield the new tokens of all rows, one column (B, 1) at a time."""
    check_prompt(model, ids, max_new_tokens)
    check_settings(**settings)
    length = ids.shape[1] + max(max_new_tokens - 1, 0)  # the last token is never read
    with torch.no_grad():  # not inference_mode: its tensors may never meet a gradient again
        read = make_reader(model, len(ids), length, use_cache=use_cache)
    generator = None if seed is None else torch.Generator(ids.device).manual_seed(seed)
    stops = torch.tensor(sorted(stop_ids), dtype=torch.int64, device=ids.device)
    ended = torch.zeros(len(ids), 1, dtype=torch.bool, device=ids.device)  # (B, 1)
    new = text = ids
    for _ in range(max_new_tokens):
        before = new[:, -1:]  # (B, 1)
        with torch.no_grad():
            logits = read(new)
        if rules:
            logits = apply_rules(rules, text, logits, going=~ended[:, 0])
        new = sample_next(logits, generator=generator, **settings)[:, None]  # (B, 1)
        if stop_ids:
            filler = before if pad_id is None else torch.full_like(new, pad_id)
            new = torch.where(ended, filler, new)
            ended = ended | torch.isin(new, stops)
        if rules:
            text = torch.cat([text, new], dim=1)  # (B, T + t)
        yield new
        if stop_ids and ended.all():
            return

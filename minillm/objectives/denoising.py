"""Span corruption, as in T5: hide runs of tokens, write only what was hidden.

    text        1 2 3 4 5 6 7            hidden: 3 4 and 7
    inputs      1 2 <0> 5 6 <1>          one sentinel for each span
    targets     <0> 3 4 <1> 7 <end>      the sentinel says which span follows

L is the length of the text, S the number of spans.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from minillm.objectives.text_ids import text_ids


def noise_counts(L: int, *, density: float = 0.15, mean_span: float = 3.0) -> tuple[int, int]:
    """Count the tokens to hide and the spans they form: no chance is left in either.

        n_noise = round(density L), at least 1 and at most L - 1
        n_spans = round(n_noise / mean_span), at least 1 and at most L - n_noise

    So inputs hold L - n_noise + n_spans tokens and targets n_noise + n_spans, the end not counted.

    Args:
        L: length of the text, at least 2: something hidden, something shown.
        density: share of the tokens to hide.
        mean_span: mean length of a span, at least 1.

    Returns:
        n_noise and n_spans.

    Raises:
        ValueError: if L < 2, density is not in (0, 1), or mean_span < 1.

    Source: Raffel et al. 2019 (T5), arXiv:1910.10683, section 3.3.4; the rounding is that of the
        paper's code, random_spans_noise_mask, which has no upper limit on n_spans (it matters
        only for a density above 1/2).
    Lesson: notebooks/18_objectives.ipynb
    """
    if L < 2:
        raise ValueError(f"the text must hold at least 2 tokens, got {L}")
    if not 0 < density < 1:
        raise ValueError(f"density must lie in (0, 1), got {density}")
    if not mean_span >= 1:
        raise ValueError(f"mean_span must be at least 1, got {mean_span}")
    n_noise = min(max(round(L * density), 1), L - 1)
    return n_noise, min(max(round(n_noise / mean_span), 1), L - n_noise)


def split_at_random(n_items: int, n_parts: int, rng: np.random.Generator) -> np.ndarray:
    """Cut a row into parts of at least one item each, all ways of cutting it equally likely.

    There are C(n_items - 1, n_parts - 1) ways: choose between which neighbours to cut.

    Args:
        n_items: items, at least 1.
        n_parts: from 1 to n_items.
        rng: where the chances come from.

    Returns:
        Lengths, (n_parts,), int64, with sum n_items.

    Raises:
        ValueError: if n_parts is not in 1 to n_items.

    Lesson: notebooks/18_objectives.ipynb
    """
    if not 1 <= n_parts <= n_items:
        raise ValueError(f"n_parts must lie in 1 to n_items={n_items}, got {n_parts}")
    cuts = rng.permutation(n_items - 1)[: n_parts - 1] + 1  # cut before these items
    return np.diff(np.concatenate([[0], np.sort(cuts), [n_items]]))


def noise_mask(
    L: int, rng: np.random.Generator, *, density: float = 0.15, mean_span: float = 3.0
) -> np.ndarray:
    """Choose the spans to hide: shown and hidden spans in turn, a shown one first.

    n_noise hidden tokens in n_spans spans, and the L - n_noise others in as many; with these
    counts all masks that begin shown and end hidden are equally likely.

    So the last token is always hidden, and a single span is always the end of the text. Rolled by a
    random number of places (np.roll) the mask hides any place as often as any other; the paper's
    code offers that as random_roll, off by default.

    Args:
        L: length of the text.
        rng: where the chances come from.
        density: share of the tokens to hide.
        mean_span: mean length of a span.

    Returns:
        (L,), booleans: True = hidden. The first is False and the last True.

    Raises:
        ValueError: as noise_counts.

    Cost: O(L).
    Source: Raffel et al. 2019 (T5), arXiv:1910.10683, sections 3.1.4 and 3.3.4, and the paper's
        code, random_spans_noise_mask.
    Lesson: notebooks/18_objectives.ipynb
    """
    n_noise, n_spans = noise_counts(L, density=density, mean_span=mean_span)
    shown = split_at_random(L - n_noise, n_spans, rng)  # (S,)
    hidden = split_at_random(n_noise, n_spans, rng)  # (S,)
    lengths = np.stack([shown, hidden], axis=1).ravel()  # (2 S,): shown, hidden, shown, ...
    return np.repeat(np.arange(2 * n_spans) % 2 == 1, lengths)


def corrupt_spans(
    ids: ArrayLike, hidden: ArrayLike, *, sentinels: Sequence[int], end_id: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Replace each hidden span by a sentinel, and list the spans behind their sentinels.

    Args:
        ids: the text, (L,), without any of the special ids.
        hidden: (L,), booleans. A run of True is one span.
        sentinels: ids to use, in this order, one a span.
        end_id: put behind the targets; None for nothing. T5's code puts </s> there, the paper's
            figure 2 the next sentinel.

    Returns:
        inputs, (L - n_hidden + S,), and targets, (n_hidden + S + 1,) (without an end one less),
        both int64. These targets are a text to be written, not yet moved by one for a decoder.

    Raises:
        ValueError: if the text holds a special id, hidden does not fit it or hides nothing, or
            there are more spans than sentinels.

    Cost: O(L).
    Source: Raffel et al. 2019 (T5), arXiv:1910.10683, section 3.1.4 and figure 2.
    Lesson: notebooks/18_objectives.ipynb
    """
    text = text_ids(ids, sentinels=sentinels, end_id=end_id)
    mask = np.asarray(hidden)
    if mask.shape != text.shape or mask.dtype != bool or not mask.any():
        raise ValueError(
            f"hidden must be {text.shape} booleans, one of them True, got {mask.shape} {mask.dtype}"
            f" with {int(mask.sum())} True"
        )
    starts = mask & ~np.concatenate([[False], mask[:-1]])  # (L,): where a span begins
    n_spans = int(starts.sum())
    if n_spans > len(sentinels):
        raise ValueError(f"{n_spans} spans need as many sentinels, got {len(sentinels)}")
    used = np.asarray(sentinels[:n_spans], dtype=np.int64)
    inputs = text.copy()
    inputs[starts] = used
    targets = np.insert(text, np.flatnonzero(starts), used)
    wanted = np.insert(mask, np.flatnonzero(starts), True)
    tail = [] if end_id is None else [end_id]
    return inputs[~mask | starts], np.append(targets[wanted], tail).astype(np.int64)


def span_corruption(
    ids: ArrayLike,
    rng: np.random.Generator,
    *,
    sentinels: Sequence[int],
    end_id: int | None = None,
    density: float = 0.15,
    mean_span: float = 3.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Hide random spans of a text: noise_mask, then corrupt_spans.

    Args:
        ids: the text, (L,), L >= 2, without any of the special ids.
        rng: where the chances come from.
        sentinels: ids to use, in this order, one a span; T5 has 100.
        end_id: put behind the targets; None for nothing.
        density: share of the tokens to hide.
        mean_span: mean length of a span.

    Returns:
        inputs and targets, with the lengths of noise_counts; int64.

    Raises:
        ValueError: as noise_counts and corrupt_spans.

    Cost: O(L). With the defaults the decoder writes about 0.2 L tokens, the encoder reads 0.9 L.
    Source: Raffel et al. 2019 (T5), arXiv:1910.10683, section 3.3.4.
    Lesson: notebooks/18_objectives.ipynb
    """
    hidden = noise_mask(np.size(ids), rng, density=density, mean_span=mean_span)
    return corrupt_spans(ids, hidden, sentinels=sentinels, end_id=end_id)


def restore_spans(
    inputs: ArrayLike, targets: ArrayLike, *, sentinels: Sequence[int], end_id: int | None = None
) -> np.ndarray:
    """Put the text together again: each sentinel of the inputs gives way to its span.

    Args:
        inputs: as corrupt_spans returns them.
        targets: likewise, or what a model wrote instead.
        sentinels: as for corrupt_spans.
        end_id: what stands behind the targets; None for nothing.

    Returns:
        The text, (L,), int64.

    Raises:
        ValueError: if the targets do not begin with a sentinel, do not end with end_id, or hold
            other sentinels than the inputs, or the same in another order.

    Cost: O(L).
    Lesson: notebooks/18_objectives.ipynb
    """
    x, y = np.asarray(inputs, dtype=np.int64), np.asarray(targets, dtype=np.int64)
    if end_id is not None:
        if not len(y) or y[-1] != end_id:
            raise ValueError(f"targets must end with end_id={end_id}, got {y[-1:].tolist()}")
        y = y[:-1]
    holes, heads = (np.flatnonzero(np.isin(z, sentinels)) for z in (x, y))
    if x[holes].tolist() != y[heads].tolist() or (len(y) and heads[:1].tolist() != [0]):
        raise ValueError(
            f"targets must hold the sentinels {x[holes].tolist()} of the inputs and begin with the "
            f"first, got {y[heads].tolist()} and {y[:1].tolist()} first"
        )
    spans = [span[1:] for span in np.split(y, heads)[1:]]
    pieces = np.split(x, holes)  # each but the first begins with a sentinel
    filled = [np.concatenate([s, p[1:]]) for s, p in zip(spans, pieces[1:], strict=True)]
    return np.concatenate([pieces[0], *filled])

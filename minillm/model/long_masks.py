"""Masks for long texts: a window with sinks, and windows side by side.

    the first few positions and what is near     Λ-shaped mask (StreamingLLM, LM-Infinite)
    each window itself, the task all windows     parallel context windows

Neither holds causality, as window_mask and document_mask do not; models add it. True = may attend.

Shape letters: T query positions, S key positions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from minillm.model.masks import window_mask


def sink_mask(
    n_sink: int,
    window: int,
    T: int,
    S: int | None = None,
    *,
    device: torch.device | str | None = None,
) -> Tensor:
    """Keep the first positions in sight, and hide what lies `window` or more positions back.

        mask[t, s] = s < n_sink  or  t + S - T - s < window

    The first positions draw much attention whatever they hold, because every later position has
    seen them; a plain window loses them, and the softmax has nowhere to put its weight. Drawn
    with causality, the allowed places have the shape of a Λ. A model that has this mask must not
    have attention.window as well, which would hide the sinks again.

    Args:
        n_sink: first positions that stay in sight, at least 0; 0 is window_mask. The paper: 4.
        window: positions in sight, the present one among them; counted as in window_mask.
        T: queries, the last of the S positions.
        S: keys; None means T.
        device: of the mask.

    Returns:
        (T, S), booleans. With causality at most n_sink + window are allowed in a row.

    Raises:
        ValueError: if n_sink < 0, window < 1, T < 1 or S < T.

    Cost: T S booleans. A cache needs n_sink + window positions however long the text is.
    Source: Xiao et al. 2023 (StreamingLLM), arXiv:2309.17453, section 3.2; Han et al. 2023
        (LM-Infinite), arXiv:2308.16137.
    Lesson: notebooks/15_long_context.ipynb
    """
    if n_sink < 0:
        raise ValueError(f"n_sink must not be negative, got {n_sink}")
    near = window_mask(window, T, S, device=device)  # (T, S)
    near[:, :n_sink] = True
    return near


def sink_distances(
    n_sink: int,
    window: int,
    T: int,
    S: int | None = None,
    *,
    device: torch.device | str | None = None,
) -> Tensor:
    """Say how far back each key seems to lie when positions are counted in the cache.

        distance[t, s] = min(p, n_sink + window - 1) - s   if s < n_sink,
                         p - s                             else,       p = t + S - T

    StreamingLLM numbers what the cache holds, sinks first and the window right behind them,
    rather than what the text held. So no distance is larger than n_sink + window - 1, and a model
    whose training was that long meets no new one. With the mask alone, the sinks would recede.

    Args:
        n_sink, window, T, S, device: as in sink_mask.

    Returns:
        (T, S), int64, in positions; meaningful where sink_mask and causality allow.

    Raises:
        ValueError: as sink_mask.

    Source: Xiao et al. 2023 (StreamingLLM), arXiv:2309.17453, section 3.2.
    Lesson: notebooks/15_long_context.ipynb
    """
    S = sink_mask(n_sink, window, T, S, device=device).shape[1]  # checks the arguments
    key = torch.arange(S, device=device)  # (S,)
    query = key[S - T :, None]  # (T, 1)
    in_cache = query.clamp(max=n_sink + window - 1)  # (T, 1)
    return torch.where(key < n_sink, in_cache, query) - key  # (T, S)


def parallel_mask(
    window_lengths: Sequence[int],
    n_task: int,
    *,
    n_shared: int = 0,
    device: torch.device | str | None = None,
) -> Tensor:
    """Let each context window see itself, and the task that stands behind them see all.

        mask[t, s] = t and s lie in the same window, or t in the task, or s in the shared part

    The order in the row is: shared part, windows one behind the other, task. Generated tokens
    belong to the task; with a cache they need no mask, as they may see everything.

    Args:
        window_lengths: tokens of each context window, one number a window.
        n_task: tokens of the task, at least 0.
        n_shared: tokens before the windows that all may see, such as one beginning-of-text.
        device: of the mask.

    Returns:
        (T, T), booleans, T = n_shared + sum(window_lengths) + n_task; to be used with
        parallel_positions, and with causal=True.

    Raises:
        ValueError: if there is no window, a window is shorter than 1, or n_task or n_shared is
            negative.

    Cost: T T booleans. Who reads the windows apart and joins their caches computes the sum of the
        squares of their lengths instead of the square of the sum, and needs no mask.
    Source: Ratner et al. 2022 (Parallel Context Windows), arXiv:2212.10947, section 2.
    Lesson: notebooks/15_long_context.ipynb
    """
    part, _ = _parts(window_lengths, n_task, n_shared)
    number = torch.tensor(part, device=device)  # (T,): 0 shared, 1 .. windows, and the task
    query, key = number[:, None], number[None, :]
    task = len(window_lengths) + 1
    return (query == key) | (query == task) | (key == 0)  # (T, T)


def parallel_positions(
    window_lengths: Sequence[int],
    n_task: int,
    *,
    n_shared: int = 0,
    device: torch.device | str | None = None,
) -> Tensor:
    """Count each window from the same start, and the task from the end of the longest window.

        windows of 2 and 3, task of 2  ->  [0, 1,   0, 1, 2,   3, 4]

    However many windows there are, no position is larger than longest window + task, so a model
    needs no training for longer texts. To the task, the windows are a set: their order is lost.

    Args:
        window_lengths, n_task, n_shared, device: as in parallel_mask.

    Returns:
        Positions, (T,), int64. The shared part takes 0 to n_shared - 1, each window goes on from
        n_shared. A generated token takes the last position + 1.

    Raises:
        ValueError: as parallel_mask.

    Source: Ratner et al. 2022, arXiv:2212.10947, section 2; one beginning-of-text for all
        windows: github.com/AI21Labs/Parallel-Context-Windows.
    Lesson: notebooks/15_long_context.ipynb
    """
    return torch.tensor(_parts(window_lengths, n_task, n_shared)[1], device=device)  # (T,)


def _parts(lengths: Sequence[int], n_task: int, n_shared: int) -> tuple[list[int], list[int]]:
    """Check the lengths; give each place's part (0 shared, windows, task) and its position."""
    if len(lengths) < 1:
        raise ValueError(f"window_lengths must name at least one window, got {list(lengths)}")
    if min(lengths) < 1:
        raise ValueError(f"each of window_lengths must be at least 1, got {list(lengths)}")
    if n_task < 0:
        raise ValueError(f"n_task must not be negative, got {n_task}")
    if n_shared < 0:
        raise ValueError(f"n_shared must not be negative, got {n_shared}")
    part, position = [0] * n_shared, list(range(n_shared))
    for number, length in enumerate(lengths, start=1):
        part += [number] * length
        position += range(n_shared, n_shared + length)
    end = n_shared + max(lengths)
    part += [len(lengths) + 1] * n_task
    position += range(end, end + n_task)
    return part, position

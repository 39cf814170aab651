"""How large a step is, over time: a warm-up, then a way down.

Steps are counted as updates: step 0 is before the first update, step 1 the first, step total_steps
the last. A loop asks for the rate of its first update with step=1.
"""

import math


def cosine_schedule(
    step: int, *, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int
) -> float:
    """Rise on a line to max_lr, then fall along half a cosine to min_lr.

        step < warmup_steps:   max_lr step / warmup_steps
        until total_steps:     min_lr + (max_lr - min_lr) (1 + cos(pi r)) / 2,
                               r = (step - warmup_steps) / (total_steps - warmup_steps)
        after that:            min_lr

    Args:
        step: update, from 0. At warmup_steps the rate is max_lr exactly, at total_steps min_lr.
        max_lr: highest rate.
        min_lr: lowest rate after the warm-up, at most max_lr.
        warmup_steps: length of the rise; 0 starts at max_lr.
        total_steps: length of rise and fall together.

    Returns:
        The learning rate of this update.

    Raises:
        ValueError: if step is negative, warmup_steps is not in 0 .. total_steps, or the rates
            are not 0 <= min_lr <= max_lr.

    Source: Loshchilov and Hutter 2017 (SGDR), arXiv:1608.03983, eq. 5; as in Brown et al. 2020,
        arXiv:2005.14165, appendix B.
    Lesson: notebooks/20a_adamw.ipynb
    """
    _check(step, max_lr, min_lr, warmup_steps, total_steps)
    if step < warmup_steps:
        return max_lr * step / warmup_steps
    share = (1 + math.cos(math.pi * _progress(step, warmup_steps, total_steps))) / 2
    return max_lr * share + min_lr * (1 - share)  # exactly max_lr at share 1, min_lr at share 0


def linear_schedule(
    step: int, *, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int
) -> float:
    """Rise on a line to max_lr, then fall on a line to min_lr.

        until total_steps:     max_lr (1 - r) + min_lr r,   r as in cosine_schedule

    Args, Returns and Raises: those of cosine_schedule.

    Lesson: notebooks/20a_adamw.ipynb
    """
    _check(step, max_lr, min_lr, warmup_steps, total_steps)
    if step < warmup_steps:
        return max_lr * step / warmup_steps
    r = _progress(step, warmup_steps, total_steps)
    return max_lr * (1 - r) + min_lr * r


def constant_schedule(step: int, *, max_lr: float, warmup_steps: int = 0) -> float:
    """Rise on a line to max_lr, and stay there.

    Args:
        step: update, from 0.
        max_lr: highest rate.
        warmup_steps: length of the rise; 0 starts at max_lr.

    Returns:
        The learning rate of this update.

    Raises:
        ValueError: if step or warmup_steps is negative, or max_lr is.

    Lesson: notebooks/20a_adamw.ipynb
    """
    _check(step, max_lr, 0.0, warmup_steps, max(warmup_steps, 0))
    return max_lr * min(1.0, step / warmup_steps) if warmup_steps else max_lr


def _progress(step: int, warmup_steps: int, total_steps: int) -> float:
    """How far the way down is gone, 0 to 1."""
    if step <= warmup_steps:
        return 0.0
    if step >= total_steps:
        return 1.0
    return (step - warmup_steps) / (total_steps - warmup_steps)


def _check(step: int, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int) -> None:
    if step < 0:
        raise ValueError(f"step must not be negative, got {step}")
    if not 0 <= warmup_steps <= total_steps:
        raise ValueError(
            f"warmup_steps must lie in 0 to total_steps={total_steps}, got {warmup_steps}"
        )
    if not 0 <= min_lr <= max_lr < math.inf:
        raise ValueError(f"need 0 <= min_lr <= max_lr, got min_lr={min_lr}, max_lr={max_lr}")

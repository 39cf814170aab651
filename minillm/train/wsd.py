"""Schedules that need not know their end at the start: warm-up, stable, decay; inverse root.

Steps are counted as in schedule.py: a loop asks for the rate of its first update with step=1.
"""

import math

from minillm.train.schedule import constant_schedule

DECAYS = ("linear", "cosine", "root", "exponential")


def wsd_schedule(
    step: int,
    *,
    max_lr: float,
    min_lr: float,
    warmup_steps: int,
    decay_steps: int,
    total_steps: int,
    decay: str = "root",
) -> float:
    """Rise on a line to max_lr, stay there, and fall to min_lr in the last decay_steps.

        step < warmup_steps:                  max_lr step / warmup_steps
        until total_steps - decay_steps:      max_lr
        until total_steps:                    min_lr + (max_lr - min_lr) f(r),  or by "exponential"
                                              max_lr^(1 - r) min_lr^r
        after that:                           min_lr

        r runs from 0 to 1 in the decay; f is 1 - r (linear), (1 + cos(pi r)) / 2 (cosine) or
        1 - sqrt(r) (root)

    Until the decay starts, total_steps plays no part: one can go on from the last stable step, as
    often and as far as one likes, and branch a decay off where a finished model is wanted.

    Args:
        step: update, from 0.
        max_lr: highest rate.
        min_lr: rate at the end, at most max_lr; above 0 for "exponential".
        warmup_steps: length of the rise; 0 starts at max_lr.
        decay_steps: length of the fall, about a tenth of total_steps; 0 never falls.
        total_steps: length of all three together.
        decay: one of DECAYS.

    Returns:
        The learning rate of this update.

    Raises:
        ValueError: if step is negative, the parts do not fit into total_steps, the rates are not
            0 <= min_lr <= max_lr, or decay is unknown.

    Source: Hu et al. 2024 (MiniCPM), arXiv:2404.06395, section 4, which decays exponentially;
        1 - sqrt: Hägele et al. 2024, arXiv:2405.18392, section 3.
    Lesson: notebooks/20a_adamw.ipynb
    """
    if warmup_steps < 0 or decay_steps < 0 or warmup_steps + decay_steps > total_steps:
        raise ValueError(
            f"warmup_steps={warmup_steps} and decay_steps={decay_steps} must not be negative, and "
            f"fit into total_steps={total_steps}: shorten them or train longer"
        )
    if not 0 <= min_lr <= max_lr < math.inf:
        raise ValueError(f"need 0 <= min_lr <= max_lr, got min_lr={min_lr}, max_lr={max_lr}")
    if decay not in DECAYS:
        raise ValueError(f"decay must be one of {', '.join(DECAYS)}; got {decay!r}")
    if decay == "exponential" and min_lr == 0:
        raise ValueError("an exponential decay never reaches min_lr=0; give a min_lr above 0")
    if step <= total_steps - decay_steps:
        return constant_schedule(step, max_lr=max_lr, warmup_steps=warmup_steps)
    r = min(1.0, (step - total_steps + decay_steps) / decay_steps) if decay_steps else 0.0
    if decay == "exponential":
        return max_lr ** (1 - r) * min_lr**r
    f = {"linear": 1 - r, "cosine": (1 + math.cos(math.pi * r)) / 2, "root": 1 - math.sqrt(r)}
    return max_lr * f[decay] + min_lr * (1 - f[decay])


def inverse_sqrt_schedule(
    step: int, *, max_lr: float, warmup_steps: int = 0, hold_steps: int | None = None
) -> float:
    """Rise on a line to max_lr, and fall as 1 / sqrt(step), for ever.

        step < warmup_steps:      max_lr step / warmup_steps
        until hold_steps:         max_lr
        after that:               max_lr sqrt(hold_steps / step)

    The Transformer's own schedule has hold_steps = warmup_steps and max_lr = (D warmup)^-0.5. T5
    and PaLM have no rise and hold_steps = 10 000 with max_lr = 0.01, that is, 1 / sqrt(step).

    Args:
        step: update, from 0.
        max_lr: highest rate.
        warmup_steps: length of the rise.
        hold_steps: where the fall begins, at least 1 and warmup_steps; None: warmup_steps.

    Returns:
        The learning rate of this update.

    Raises:
        ValueError: if step, max_lr or warmup_steps is negative, or hold_steps is too small.

    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 3; Raffel et al. 2020 (T5), arXiv:1910.10683,
        section 3.1.2; Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5.
    Lesson: notebooks/20a_adamw.ipynb
    """
    hold = warmup_steps if hold_steps is None else hold_steps
    if hold < max(1, warmup_steps):
        raise ValueError(
            f"hold_steps must be at least 1 and at least warmup_steps={warmup_steps}, got {hold}"
        )
    rate = constant_schedule(step, max_lr=max_lr, warmup_steps=warmup_steps)
    return rate if step <= hold else max_lr * math.sqrt(hold / step)

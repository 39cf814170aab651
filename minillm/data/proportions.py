"""Proportions of a mixture, before a token is read: from sizes to shares, tokens and epochs.

Shares are shares of *tokens*. Drawing documents in these proportions would give other shares,
because the documents of one source are longer than those of another.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple


class Source(NamedTuple):
    """A row of table 1 of the LLaMA paper."""

    percent: float
    """Share of the training tokens."""
    epochs: float
    """How often the source is read while 1.4T tokens are trained on."""
    disk_gb: float


LLAMA_MIXTURE = {
    "CommonCrawl": Source(67.0, 1.10, 3_300),
    "C4": Source(15.0, 1.06, 783),
    "Github": Source(4.5, 0.64, 328),
    "Wikipedia": Source(4.5, 2.45, 83),
    "Books": Source(4.5, 2.23, 85),
    "ArXiv": Source(2.5, 1.06, 92),
    "StackExchange": Source(2.0, 1.03, 78),
}
"""Touvron et al. 2023, arXiv:2302.13971, table 1."""
LLAMA_TOKENS = 1.4e12
"""Tokens that LLaMA-33B and LLaMA-65B were trained on; the same paper, section 2.1."""


class Planned(NamedTuple):
    """What a mixture does with one source."""

    share: float
    """Of the tokens that are trained on."""
    seen: float
    """Tokens of the source that are trained on, repetitions counted."""
    epochs: float
    """How often the source is read."""
    factor: float
    """Share in the mixture over share of all tokens: above 1 up-sampled, below 1 down-sampled."""


def temperature_shares(sizes: Mapping[str, float], temperature: float = 1.0) -> dict[str, float]:
    """Turn the sizes of sources into shares of a mixture.

        p_i = n_i^(1/T) / sum_j n_j^(1/T)

    T = 1 reads every source equally often; T = inf gives every source the same share. Between them
    the small sources are up-sampled, and T < 1 favours the large ones.

    Args:
        sizes: n_i by name, usually tokens; positive.
        temperature: T, positive; math.inf is allowed.

    Returns:
        p_i by name; they sum to 1.

    Raises:
        ValueError: if there is no source, a size is not positive, or T is not positive.

    Source: Arivazhagan et al. 2019, arXiv:1907.05019, section 4.
    Lesson: notebooks/08_schedule.ipynb
    """
    if not sizes:
        raise ValueError("a mixture needs at least one source")
    for name, n in sizes.items():
        if not (math.isfinite(n) and n > 0):
            raise ValueError(f"the size of {name!r} must be positive, got {n}")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}; math.inf is uniform")
    largest = max(sizes.values())
    weights = {name: math.exp(math.log(n / largest) / temperature) for name, n in sizes.items()}
    total = math.fsum(weights.values())
    return {name: w / total for name, w in weights.items()}


def normalised(proportions: Mapping[str, float]) -> dict[str, float]:
    """Scale proportions, such as percents, to shares that sum to 1; a source may have 0.

    Raises:
        ValueError: if one is negative or not finite, or all are 0.
    """
    for name, p in proportions.items():
        if not (math.isfinite(p) and p >= 0):
            raise ValueError(f"the proportion of {name!r} must be 0 or more, got {p}")
    total = math.fsum(proportions.values())
    if not total > 0:
        raise ValueError("all proportions are 0: give one source at least a positive one")
    return {name: p / total for name, p in proportions.items()}


def plan_mixture(
    sizes: Mapping[str, float], budget: float, proportions: Mapping[str, float] | None = None
) -> dict[str, Planned]:
    """Say what a mixture does with each source before a token is read.

        seen = share * budget        epochs = seen / size        factor = share / (size / total)

    Args:
        sizes: tokens that there are of each source.
        budget: tokens that are trained on.
        proportions: of the mixture, in any unit; None takes every source as often as any other.

    Returns:
        A row for each source.

    Raises:
        ValueError: if the names differ, a size or the budget is not positive, or as normalised.

    Lesson: notebooks/08_schedule.ipynb
    """
    natural = temperature_shares(sizes)
    shares = natural if proportions is None else normalised(proportions)
    same_names(sizes, shares)
    if not budget > 0:
        raise ValueError(f"budget must be positive, got {budget}")
    return {
        name: Planned(p, p * budget, p * budget / sizes[name], p / natural[name])
        for name, p in ((name, shares[name]) for name in sizes)
    }


def same_names(sources: Mapping[str, Any], proportions: Mapping[str, Any]) -> None:
    """Refuse proportions of other sources than there are, with a ValueError that names them."""
    if set(sources) != set(proportions):
        odd = sorted(set(sources) ^ set(proportions))
        raise ValueError(
            f"sources and proportions must have the same names; only on one side: {', '.join(odd)}"
        )

"""What every fit asks of its points before it starts: positive numbers, enough of them, spread."""

from collections.abc import Sequence

import numpy as np


def positive(name: str, values: "float | Sequence[float] | np.ndarray") -> np.ndarray:
    """Return the values as float64, each positive and finite.

    Args:
        name: what they are, for the message.
        values: a number or a list of them.

    Raises:
        ValueError: naming the first value that is not positive and finite.
    """
    found = np.asarray(values, dtype=np.float64)
    wrong = found[~(np.isfinite(found) & (found > 0))]
    if wrong.size:
        raise ValueError(f"{name} must be positive and finite, got {wrong.flat[0]}")
    return found


def enough(what: str, *columns: np.ndarray, parameters: int) -> None:
    """Refuse columns of different lengths, and fewer points than parameters.

    Args:
        what: the law, for the message.
        columns: one-dimensional, one number a point.
        parameters: of the law.

    Raises:
        ValueError: if the columns do not fit together or are too short.
    """
    shapes = [column.shape for column in columns]
    if len(set(shapes)) != 1 or len(shapes[0]) != 1:
        raise ValueError(f"{what} needs lists of one length, got shapes {shapes}")
    n = len(columns[0])
    if n < parameters:
        raise ValueError(
            f"{what} has {parameters} parameters and there are {n} points; add runs, or fix some "
            "of the parameters"
        )


def spread(name: str, values: np.ndarray, at_least: int = 2) -> None:
    """Refuse points that do not differ where they must.

    Raises:
        ValueError: if there are fewer than at_least different values.
    """
    n = len(np.unique(values))
    if n < at_least:
        raise ValueError(
            f"{name} takes {n} different value{'s' if n > 1 else ''} and the fit needs "
            f"{at_least}: points without spread say nothing about an exponent"
        )

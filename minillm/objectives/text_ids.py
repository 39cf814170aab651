"""The text as an objective takes it: a row of token ids without any special token in it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def text_ids(ids: ArrayLike, **special: int | Sequence[int] | None) -> np.ndarray:
    """Check a text before an objective hides parts of it, and copy it.

    If a special token stood in the text already, nobody could tell it from the one that the
    objective puts there, and the text could not be put together again.

    Args:
        ids: the text, (L,), integers, none negative.
        special: by name, the ids that the objective will put in: one, several, or None for none.
            They have to differ from one another.

    Returns:
        The text, (L,), int64.

    Raises:
        ValueError: if ids is not a row of integers or is empty, an id is negative, two special
            ids are equal, or one of them occurs in the text.

    Cost: O(L) and the number of special ids.
    Lesson: notebooks/18_objectives.ipynb
    """
    text = np.array(ids)
    if text.ndim != 1 or not len(text) or not np.issubdtype(text.dtype, np.integer):
        raise ValueError(
            f"ids must be (L,) integers with L >= 1, got shape {text.shape} of {text.dtype}"
        )
    if text.min() < 0:
        raise ValueError(f"ids must not be negative, got {text.min()} at {text.argmin()}")
    taken: dict[int, str] = {}
    for name, value in special.items():
        several = [] if value is None else np.atleast_1d(np.asarray(value)).tolist()
        for one in map(int, several):
            if one < 0:
                raise ValueError(f"{name} must not be negative, got {one}")
            if one in taken:
                raise ValueError(f"{name} and {taken[one]} both hold the id {one}")
            taken[one] = name
    special_there = np.isin(text, list(taken))
    if special_there.any():
        place = int(special_there.argmax())
        one = int(text[place])
        raise ValueError(f"{taken[one]}={one} occurs in the text, at position {place}")
    return text.astype(np.int64)

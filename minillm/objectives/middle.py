"""Fill in the middle with a causal decoder: move the middle of the text to its end.

    text        1 2 3 4 5 6          middle: 3 4
    row         [PRE] 1 2 [SUF] 5 6 [MID] 3 4 [END]

Nothing else changes: each token predicts the next one, and whoever writes the middle has read
both sides.
"""

import numpy as np
from numpy.typing import ArrayLike

from minillm.objectives.text_ids import text_ids


def middle_last(
    ids: ArrayLike,
    start: int,
    end: int,
    *,
    prefix_id: int,
    suffix_id: int,
    middle_id: int,
    end_id: int,
) -> np.ndarray:
    """Rearrange a text: what stands before the middle, what stands behind it, the middle.

    Args:
        ids: the text, (L,), without any of the special ids.
        start: first token of the middle.
        end: where the middle ends (not included); equal to start for an empty middle.
        prefix_id, suffix_id, middle_id: of the marks before the three parts.
        end_id: of the mark behind the middle.

    Returns:
        (L + 4,), int64: a text for causal_loss.

    Raises:
        ValueError: if the text holds a special id, or not 0 <= start <= end <= L.

    Cost: O(L).
    Source: Bavarian et al. 2022, arXiv:2207.14255, section 3, there "PSM".
    Lesson: notebooks/18_objectives.ipynb
    """
    marks = {"prefix_id": prefix_id, "suffix_id": suffix_id, "middle_id": middle_id}
    text = text_ids(ids, **marks, end_id=end_id)
    if not 0 <= start <= end <= len(text):
        raise ValueError(f"need 0 <= start <= end <= L={len(text)}, got {start} and {end}")
    parts = [[prefix_id], text[:start], [suffix_id], text[end:], [middle_id], text[start:end]]
    return np.concatenate([*parts, [end_id]]).astype(np.int64)


def fill_in_the_middle(
    ids: ArrayLike,
    rng: np.random.Generator,
    *,
    prefix_id: int,
    suffix_id: int,
    middle_id: int,
    end_id: int,
    share: float = 0.5,
) -> np.ndarray:
    """Rearrange a text with some probability, and leave it as it is otherwise.

    The two ends of the middle are drawn apart, each place of the text equally likely: so the
    middle takes a third of the text in the mean.

    Args:
        ids: the text, (L,), without any of the special ids.
        rng: where the chances come from.
        prefix_id, suffix_id, middle_id, end_id: as in middle_last.
        share: probability that the text is rearranged, in [0, 1].

    Returns:
        (L + 4,) or (L,), int64.

    Raises:
        ValueError: if the text holds a special id, or share is not in [0, 1].

    Cost: O(L).
    Source: Bavarian et al. 2022, arXiv:2207.14255, section 3.
    Lesson: notebooks/18_objectives.ipynb
    """
    marks = {"prefix_id": prefix_id, "suffix_id": suffix_id, "middle_id": middle_id}
    text = text_ids(ids, **marks, end_id=end_id)
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}")
    if rng.random() >= share:
        return text
    start, end = sorted(int(i) for i in rng.integers(0, len(text) + 1, size=2))
    return middle_last(text, start, end, **marks, end_id=end_id)

"""Head, middle and tail: texts sorted by how much they surprise a language model."""

from collections.abc import Sequence

import numpy as np

BUCKETS = ("head", "middle", "tail")


def perplexity_buckets(scores: Sequence[float], reference: Sequence[float]) -> list[str]:
    """Sort texts into head, middle and tail by their perplexity, as CCNet does.

    The two bounds cut the reference scores into thirds; a low perplexity (like the text that the
    model was trained on) is head.

    Args:
        scores: perplexities of the texts to sort; infinity is tail.
        reference: perplexities of many texts of the same language, at least 3.

    Returns:
        "head" up to the first bound, "middle" up to the second, else "tail", a word a score.

    Raises:
        ValueError: if there are fewer than 3 references, or a number is NaN or no perplexity.

    Source: Wenzek et al. 2020, CCNet, arXiv:1911.00359, section on filtering by perplexity.
    Lesson: notebooks/03_quality.ipynb
    """
    known, values = (np.asarray(x, dtype=np.float64) for x in (reference, scores))
    if len(known) < 3 or not np.isfinite(known).all():
        raise ValueError(f"thirds need at least 3 finite reference scores, got {len(known)}")
    if not (values >= 0).all():
        raise ValueError(f"a score must be a perplexity, got {values[~(values >= 0)][0]}")
    bounds = np.quantile(known, [1 / 3, 2 / 3])
    return [BUCKETS[i] for i in np.searchsorted(bounds, values, side="left")]

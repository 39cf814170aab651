"""Which tokens GLM leaves blank: short spans, whole sentences, or the end of the document.

Each function returns spans, (S, 2): start and end (not included) in the text, in the order of the
text, none overlapping. L is the length of the text, S the number of spans.
"""

import math
from collections.abc import Sequence

import numpy as np


def short_spans(
    L: int, rng: np.random.Generator, *, density: float = 0.15, mean_span: float = 3.0
) -> np.ndarray:
    """Draw spans until at least 15 % of the tokens are blank: GLM's objective for understanding.

        lengths: Poisson(mean_span), drawn again if 0, until their sum reaches density L
        places:  all with at least one token between two spans, equally likely

    A length of 0 would be no blank, so the mean is mean_span / (1 - exp(-mean_span)), 3.16 for 3.
    The last span may go over the 15 %. In short texts a span is cut where no token between two
    spans would be left.

    Args:
        L: length of the text, at least 1.
        rng: where the chances come from.
        density: share of the tokens, in (0, 1/2].
        mean_span: of the Poisson distribution, above 0.

    Returns:
        Spans, (S, 2), int64.

    Raises:
        ValueError: if L < 1, density is not in (0, 1/2], or mean_span is not above 0.

    Cost: O(L).
    Source: Du et al. 2021 (GLM), arXiv:2103.10360, section 2.1.1. Its code draws the places with
        repetition, which is not uniform.
    Lesson: notebooks/18_objectives.ipynb
    """
    if L < 1:
        raise ValueError(f"L must be at least 1, got {L}")
    if not 0 < density <= 0.5:
        raise ValueError(f"density must lie in (0, 1/2], got {density}")
    if not mean_span > 0:
        raise ValueError(f"mean_span must be above 0, got {mean_span}")
    lengths: list[int] = []
    while sum(lengths) < density * L - 1e-9:
        drawn = int(rng.poisson(mean_span))
        if drawn:
            lengths.append(min(drawn, L - sum(lengths) - len(lengths)))
    hidden = rng.permutation(lengths)  # (S,): else the longest tend to be the last
    n_shown = L - int(hidden.sum())
    before = np.sort(
        rng.choice(n_shown + 1, len(hidden), replace=False)
    )  # shown tokens before each
    starts = before + np.cumsum(hidden) - hidden
    return np.stack([starts, starts + hidden], axis=1)


def sentence_spans(
    lengths: Sequence[int], rng: np.random.Generator, *, density: float = 0.15
) -> np.ndarray:
    """Draw whole sentences until at least 15 % of the tokens are blank: for texts to be rewritten.

    Two neighbours that are both drawn stay two blanks. A text of one sentence is all blank.

    Args:
        lengths: of the sentences in tokens, each at least 1; they make up the text.
        rng: where the chances come from.
        density: share of the tokens, in (0, 1].

    Returns:
        Spans, (S, 2), int64. Without the sentence drawn last less than density L would be blank.

    Raises:
        ValueError: if there is no sentence or one of length < 1, or density is not in (0, 1].

    Cost: O(number of sentences), and sorting those drawn.
    Source: Du et al. 2021 (GLM), arXiv:2103.10360, section 2.1.2, "sentence-level".
    Lesson: notebooks/18_objectives.ipynb
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if not len(sizes) or sizes.min() < 1:
        raise ValueError(f"lengths must be sentences of at least 1 token, got {sizes.tolist()}")
    if not 0 < density <= 1:
        raise ValueError(f"density must lie in (0, 1], got {density}")
    order = rng.permutation(len(sizes))
    blank = np.cumsum(sizes[order])
    n_drawn = int((blank < density * sizes.sum() - 1e-9).sum()) + 1
    drawn = np.sort(order[:n_drawn])
    ends = np.cumsum(sizes)[drawn]
    return np.stack([ends - sizes[drawn], ends], axis=1)


def document_span(L: int, rng: np.random.Generator, *, shortest: float = 0.5) -> np.ndarray:
    """Draw one span at the end of the text, of 50 to 100 % of its length: for long generation.

        length uniform over the integers from ceil(shortest L) to L, so 3/4 of L in the mean

    Args:
        L: length of the text, at least 1.
        rng: where the chances come from.
        shortest: smallest share, in (0, 1]; 1 leaves the whole text blank.

    Returns:
        One span, (1, 2), int64; it ends at L.

    Raises:
        ValueError: if L < 1 or shortest is not in (0, 1].

    Source: Du et al. 2021 (GLM), arXiv:2103.10360, section 2.1.2, "document-level"; at the end of
        the text: Zeng et al. 2022 (GLM-130B), arXiv:2210.02414, section 2.2.
    Lesson: notebooks/18_objectives.ipynb
    """
    if L < 1:
        raise ValueError(f"L must be at least 1, got {L}")
    if not 0 < shortest <= 1:
        raise ValueError(f"shortest must lie in (0, 1], got {shortest}")
    length = int(rng.integers(math.ceil(shortest * L - 1e-9), L + 1))
    return np.array([[L - length, L]], dtype=np.int64)

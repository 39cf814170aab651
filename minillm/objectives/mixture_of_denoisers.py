"""A mixture of denoisers, as in UL2: span corruption in seven strengths, named by three modes.

    R   regular:     few and short spans, as T5             knowledge
    S   sequential:  the last quarter of the text           generation, a prefix language model
    X   extreme:     long spans, or half of the tokens      both at once

All are one method, SpanCorrupt(mean span, density, number of spans): denoising.corrupt_spans.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from minillm.objectives.denoising import corrupt_spans, noise_counts, noise_mask
from minillm.objectives.text_ids import text_ids


@dataclass(frozen=True)
class Denoiser:
    """One way to corrupt a text.

    Lesson: notebooks/18_objectives.ipynb
    """

    mode: Literal["R", "S", "X"]
    density: float
    """Share of the tokens to hide, in (0, 1)."""
    mean_span: float | None = None
    """Mean length of a span, at least 1; None = one span at the end of the text, for S only."""

    def __post_init__(self) -> None:
        if self.mode not in ("R", "S", "X"):
            raise ValueError(f"mode must be 'R', 'S' or 'X', got {self.mode!r}")
        if (self.mode == "S") != (self.mean_span is None):
            raise ValueError(f"mean_span is None for S alone, got {self.mean_span} for {self.mode}")
        noise_counts(2, density=self.density, mean_span=self.mean_span or 1.0)  # checks both

    def hide(self, L: int, rng: np.random.Generator) -> np.ndarray:
        """Choose what to hide of L tokens: (L,), booleans, True = hidden; L >= 2."""
        if self.mean_span is not None:
            return noise_mask(L, rng, density=self.density, mean_span=self.mean_span)
        n_noise, _ = noise_counts(L, density=self.density)
        return np.arange(L) >= L - n_noise


UL2_DENOISERS = (
    Denoiser("R", 0.15, 3),
    Denoiser("R", 0.15, 8),
    Denoiser("S", 0.25),
    Denoiser("X", 0.5, 3),
    Denoiser("X", 0.5, 8),
    Denoiser("X", 0.15, 64),
    Denoiser("X", 0.5, 64),
)
"""The seven of the paper's table 1: density r and mean span (L / 4 for S). U-PaLM continues with
fewer: (15 %, 3), (15 %, 32), (50 %, 3) and S (Tay et al. 2022, arXiv:2210.11399, section 3.3)."""


def denoise(
    ids: ArrayLike,
    rng: np.random.Generator,
    denoiser: Denoiser,
    *,
    mode_ids: Mapping[str, int],
    sentinels: Sequence[int],
    end_id: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Corrupt a text in one way, and put the token of the mode in front of the inputs.

    Args:
        ids: the text, (L,), L >= 2, without any of the special ids.
        rng: where the chances come from.
        denoiser: the way.
        mode_ids: id of the token for each of "R", "S" and "X".
        sentinels: ids to use, in this order, one a span.
        end_id: put behind the targets; None for nothing.

    Returns:
        inputs, (1 + L - n_noise + n_spans,), beginning with the mode, and targets, as
        denoising.corrupt_spans; int64. restore_spans(inputs[1:], targets, ...) gives the text.

    Raises:
        ValueError: if the text holds a special id or is too short, a mode has no id, or there
            are more spans than sentinels.

    Cost: O(L).
    Source: Tay et al. 2022 (UL2), arXiv:2205.05131, section 3.1 and table 1.
    Lesson: notebooks/18_objectives.ipynb
    """
    missing = [mode for mode in "RSX" if mode not in mode_ids]
    if missing:
        raise ValueError(f"mode_ids must hold R, S and X, got {dict(mode_ids)}")
    modes = [mode_ids[mode] for mode in "RSX"]
    text = text_ids(ids, mode_ids=modes, sentinels=sentinels, end_id=end_id)
    hidden = denoiser.hide(len(text), rng)
    inputs, targets = corrupt_spans(text, hidden, sentinels=sentinels, end_id=end_id)
    return np.append(mode_ids[denoiser.mode], inputs).astype(np.int64), targets


def mixture_of_denoisers(
    ids: ArrayLike,
    rng: np.random.Generator,
    *,
    mode_ids: Mapping[str, int],
    sentinels: Sequence[int],
    end_id: int | None = None,
    denoisers: Sequence[Denoiser] = UL2_DENOISERS,
    weights: Sequence[float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw for each text one of the denoisers, and apply it.

    Args:
        ids: the text, (L,), L >= 2, without any of the special ids.
        rng: where the chances come from.
        mode_ids: id of the token for each of "R", "S" and "X".
        sentinels: ids to use, in this order, one a span.
        end_id: put behind the targets; None for nothing.
        denoisers: to draw from.
        weights: probability of each, up to a common factor; None = all the same.

    Returns:
        inputs and targets, as denoise; inputs[0] tells the mode.

    Raises:
        ValueError: as denoise, or if there is no denoiser, or weights are not as many numbers,
            none negative and not all 0.

    Cost: O(L).
    Source: Tay et al. 2022 (UL2), arXiv:2205.05131, section 3.1.
    Lesson: notebooks/18_objectives.ipynb
    """
    p = np.ones(len(denoisers)) if weights is None else np.asarray(weights, dtype=float)
    if not len(denoisers) or p.shape != (len(denoisers),) or not (p >= 0).all() or not p.sum() > 0:
        raise ValueError(
            f"weights must be {len(denoisers)} numbers >= 0, one above 0, got {p.tolist()}"
        )
    denoiser = denoisers[int(rng.choice(len(denoisers), p=p / p.sum()))]
    return denoise(ids, rng, denoiser, mode_ids=mode_ids, sentinels=sentinels, end_id=end_id)

"""How well something finds spans: precision and recall with intervals, where the truth is known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from minillm.data.personal import Span


@dataclass(frozen=True)
class Share:
    """k of n, and where the true share is likely to lie."""

    k: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """k / n; NaN where n is 0."""
        return self.k / self.n if self.n else math.nan

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def contains(self, share: float) -> bool:
        """Say whether a share lies in the interval, its ends included."""
        return self.low <= share <= self.high


def wilson(k: int, n: int, level: float = 0.95) -> Share:
    """Estimate a share from k successes in n independent trials.

        (p + z^2 / 2n  +-  z sqrt(p (1 - p) / n + z^2 / 4 n^2)) / (1 + z^2 / n),    p = k / n

    Unlike p +- z sqrt(p (1 - p) / n) it stays in [0, 1] and says something at k = 0 and k = n.

    Args:
        k: successes.
        n: trials; at 0 the interval is all of [0, 1].
        level: share of repeated experiments whose interval covers the truth, about.

    Raises:
        ValueError: unless 0 <= k <= n and 0 < level < 1.

    Source: Wilson 1927, Journal of the American Statistical Association 22(158).
    Lesson: notebooks/05_privacy.ipynb
    """
    if not 0 <= k <= n:
        raise ValueError(f"need 0 <= k <= n, got k={k} and n={n}")
    if not 0 < level < 1:
        raise ValueError(f"the level must lie between 0 and 1, got {level}")
    if n == 0:
        return Share(0, 0, 0.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    p, extra = k / n, z * z / n
    middle = (p + extra / 2) / (1 + extra)
    half = z * math.sqrt(p * (1 - p) / n + extra / (4 * n)) / (1 + extra)
    low = 0.0 if k == 0 else middle - half
    return Share(k, n, low, 1.0 if k == n else middle + half)


@dataclass(frozen=True)
class Score:
    """What a search for spans found.

    Attributes:
        precision: of the spans found, how many are true: same kind, same start, same end.
        recall: of the true spans, how many were found just so.
        removed: of the true spans, how many lie wholly under spans found, of whatever kind; that
            is what counts when they are cut out.
    """

    precision: Share
    recall: Share
    removed: Share

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 where nothing was found rightly."""
        hits = self.recall.k
        return 2 * hits / (self.recall.n + self.precision.n) if hits else 0.0


def score_spans(
    truth: Sequence[Sequence[Span]], found: Sequence[Sequence[Span]], kind: str = ""
) -> Score:
    """Compare found spans with true ones.

    Args:
        truth: for each text its true spans.
        found: for each text the spans found; they do not overlap.
        kind: look at the true and the found spans of this kind only; empty means all.

    Raises:
        ValueError: if there are not as many lists of spans found as there are texts.

    Lesson: notebooks/05_privacy.ipynb
    """
    if len(truth) != len(found):
        raise ValueError(f"{len(truth)} texts have a truth and {len(found)} were searched")
    hits = n_found = n_true = n_removed = 0
    for true, seen in zip(truth, found, strict=True):
        wanted = {Span(*span) for span in true if kind in ("", span[2])}
        named = {Span(*span) for span in seen if kind in ("", span[2])}
        hits += len(wanted & named)
        n_found += len(named)
        n_true += len(wanted)
        n_removed += sum(_is_covered(span, seen) for span in wanted)
    return Score(wilson(hits, n_found), wilson(hits, n_true), wilson(n_removed, n_true))


def _is_covered(span: Span, seen: Sequence[Span]) -> bool:
    """Say whether every character of a span lies under some span found."""
    place = span.start
    for start, end, _ in sorted(seen):
        if start <= place < end:
            place = end
    return place >= span.end

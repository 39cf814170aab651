"""Annotators of known strength: who compares two answers, and how sure of it they are.

Nobody's preferences are known, which makes methods of alignment hard to judge. Here they are: each
answer has a utility, and an annotator sees the difference of two of them through noise.

    perceived = (u_a - u_b) + bias . (f_a - f_b) + noise * logistic
    prefers a   if perceived > 0
    rating      by |perceived|: 3 significantly better, 2 better, 1 slightly better, 0 unsure

The difference of two Gumbel variables is logistic, so this is as if each answer were seen with
Gumbel noise and the better-looking one taken (`gumbel_choice`), and then P(a) is Bradley-Terry's.

Shape letters: N pairs, A annotators.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

STEPS = (0.5, 1.5, 3.0)
"""Perceived gaps from which on an answer is slightly better, better, significantly better."""


@dataclass(frozen=True)
class Annotator:
    """Somebody who compares answers.

    Attributes:
        name: the dice of an annotator are its own, so that another one changes nothing for it.
        noise: spread of what it perceives, in utilities; 0 sees the utility exactly.
        bias: feature -> how much it likes one unit more of it, besides the utility. Several
            annotators with their own bias disagree for another reason than noise.
        slip: share of comparisons that are answered at random, whatever the gap.
        steps: perceived gaps at which the rating goes up, rising, as STEPS.

    Raises:
        ValueError: if a number is out of its range.

    Source: a constant slip, 10 % of the answers, is assumed by Christiano et al. 2017,
        arXiv:1706.03741, section 2.2.3.
    Lesson: notebooks/33_reward.ipynb
    """

    name: str
    noise: float = 1.0
    bias: Mapping[str, float] = field(default_factory=dict)
    slip: float = 0.0
    steps: tuple[float, float, float] = STEPS

    def __post_init__(self) -> None:
        if not 0 <= self.noise < math.inf or not 0 <= self.slip <= 1:
            raise ValueError(
                f"annotator {self.name!r} needs a finite noise >= 0 and a slip in 0 .. 1, got "
                f"noise {self.noise} and slip {self.slip}"
            )
        if not all(math.isfinite(weight) for weight in self.bias.values()):
            raise ValueError(f"annotator {self.name!r}: a bias is not finite: {dict(self.bias)}")
        if not 0 < self.steps[0] < self.steps[1] < self.steps[2]:
            raise ValueError(f"annotator {self.name!r}: steps must rise from 0, got {self.steps}")

    def gaps(
        self, utilities: np.ndarray, features: Mapping[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """The gap that it would perceive without noise, (N,): of the utilities and of its bias.

        Args:
            utilities: of both answers of each pair, (N, 2).
            features: name -> (N, 2), at least those of its bias.

        Raises:
            ValueError: if the utilities are no finite (N, 2), or a feature is missing or no such.
        """
        total = _two_columns("utilities", utilities)
        gap = np.asarray(total[:, 0] - total[:, 1])
        for name, weight in self.bias.items():
            if features is None or name not in features:
                raise ValueError(
                    f"annotator {self.name!r} has a bias for {name!r}, which is not among the "
                    f"features {sorted(features or {})}"
                )
            found = _two_columns(f"feature {name!r}", features[name])
            if len(found) != len(gap):
                raise ValueError(f"feature {name!r} has {len(found)} rows for {len(gap)} pairs")
            gap = gap + weight * (found[:, 0] - found[:, 1])
        return gap

    def probabilities(
        self, utilities: np.ndarray, features: Mapping[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """How often it prefers the first answer of each pair, exactly.

            p = (1 - slip) sigma(gap / noise) + slip / 2

        Args and Raises: as `gaps`.

        Returns:
            (N,), float64.

        Lesson: notebooks/33_reward.ipynb
        """
        gap = self.gaps(utilities, features)
        sure = choice_probability(gap, self.noise)
        return (1 - self.slip) * sure + self.slip / 2


@dataclass(frozen=True)
class Labels:
    """What annotators said of N pairs.

    Attributes:
        first: whether the first answer was preferred, (N, A), bool.
        ratings: 0 to 3, (N, A), integers.
        names: of the annotators, A of them.
    """

    first: np.ndarray
    ratings: np.ndarray
    names: tuple[str, ...]

    def agreement(self) -> float:
        """Share of (pair, two annotators) that say the same; 1.0 for a single annotator.

        mean over pairs of  (a (a - 1) + b (b - 1)) / (A (A - 1)),   a for the first, b = A - a
        """
        A = self.first.shape[1]
        if A == 1:
            return 1.0
        a = self.first.sum(axis=1)
        b = A - a
        return float(((a * (a - 1) + b * (b - 1)) / (A * (A - 1))).mean())

    def majority(self) -> np.ndarray:
        """Whether most annotators prefer the first answer, (N,), bool; of a tie the first says."""
        a, A = self.first.sum(axis=1), self.first.shape[1]
        return np.where(2 * a == A, self.first[:, 0], 2 * a > A)


def choice_probability(gap: np.ndarray, noise: float = 1.0) -> np.ndarray:
    """How often the first of two answers is preferred, by Bradley and Terry.

        P(a preferred) = sigma((u_a - u_b) / noise)

    Args:
        gap: u_a - u_b, any shape.
        noise: of one annotator; 0 makes it certain, with 1/2 at a gap of 0.

    Returns:
        Probabilities of the same shape, float64.

    Raises:
        ValueError: if noise is negative or not finite.

    Source: Bradley and Terry 1952, Rank analysis of incomplete block designs, Biometrika 39.
    Lesson: notebooks/33_reward.ipynb
    """
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise must be finite and not negative, got {noise}")
    gap = np.asarray(gap, dtype=np.float64)
    if noise == 0:
        return (np.sign(gap) + 1) / 2
    return np.asarray(0.5 * (1 + np.tanh(gap / (2 * noise))), dtype=np.float64)


def gumbel_choice(utilities: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Let each answer be seen through Gumbel noise, and take the one that looks best.

        argmax_k (u_k + noise g_k),   g_k = -ln(-ln U_k)      P(k) = softmax(u / noise)_k

    For two answers that is `choice_probability`; for K answers a ranking can be read off it.

    Args:
        utilities: (N, K).
        noise: at least 0.
        rng: where the noise comes from.

    Returns:
        The index of the answer taken, (N,), integers.

    Raises:
        ValueError: if noise is negative or not finite, or the utilities are not (N, K).

    Source: Luce and Suppes 1965 (credited to Holman and Marley); Yellott 1977.
    Lesson: notebooks/33_reward.ipynb
    """
    utilities = np.asarray(utilities, dtype=np.float64)
    if utilities.ndim != 2 or not 0 <= noise < math.inf:
        raise ValueError(
            f"need utilities (N, K) and a finite noise >= 0, got {utilities.shape} and {noise}"
        )
    return np.asarray((utilities + noise * rng.gumbel(size=utilities.shape)).argmax(axis=1))


def annotate(
    utilities: np.ndarray,
    annotators: Sequence[Annotator],
    *,
    seed: int,
    features: Mapping[str, np.ndarray] | None = None,
) -> Labels:
    """Let every annotator compare every pair.

    Args:
        utilities: of both answers of each pair, (N, 2).
        annotators: with distinct names.
        seed: of their dice. What one says of pair n depends on the seed, its name and n, not on
            the other annotators nor on how many pairs follow.
        features: name -> (N, 2); see Annotator.bias.

    Returns:
        Labels.

    Raises:
        ValueError: if there is no annotator, a name comes twice, or as `Annotator.gaps`.

    Cost: three random numbers a comparison.
    Lesson: notebooks/33_reward.ipynb
    """
    names = tuple(one.name for one in annotators)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"need annotators with distinct names, got {names}")
    perceived = [_perceive(one, one.gaps(utilities, features), seed) for one in annotators]
    gap = np.stack(perceived, axis=1)  # (N, A)
    ratings = [np.searchsorted(one.steps, np.abs(gap[:, k]), "right")
               for k, one in enumerate(annotators)]  # fmt: skip
    return Labels(gap > 0, np.stack(ratings, axis=1), names)


def _perceive(annotator: Annotator, gap: np.ndarray, seed: int) -> np.ndarray:
    """Add the noise of one annotator; a slip gives the gap a sign at random."""
    own = int.from_bytes(hashlib.sha256(annotator.name.encode("utf-8")).digest()[:8], "big")
    draws = np.random.default_rng([seed, own]).random((len(gap), 3))  # row n does not depend on N
    U = draws[:, 0].clip(1e-16, 1 - 1e-16)
    seen = gap + annotator.noise * np.log(U / (1 - U))
    seen = np.where(seen == 0, np.where(draws[:, 2] < 0.5, 1e-300, -1e-300), seen)  # no tie is kept
    slipped = np.where(draws[:, 2] < 0.5, np.abs(seen), -np.abs(seen))
    return np.where(draws[:, 1] < annotator.slip, slipped, seen)


def _two_columns(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2 or not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite and (N, 2), got {values.shape}")
    return values

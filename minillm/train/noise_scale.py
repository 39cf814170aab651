"""Gradient noise scale: from which batch size on is a larger one hardly better?

The gradient g_B of a batch of B examples is the true gradient G plus noise of covariance Sigma / B:

    E |g_B|^2 = |G|^2 + tr(Sigma) / B                        so two batch sizes give both terms
    B_simple = tr(Sigma) / |G|^2                             at this size noise and signal are equal

|g_B|^2 alone is no estimate of |G|^2: at B = B_simple it is twice as large.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class NoiseParts:
    """Estimates of the two terms of a gradient's size, of one step or of many.

    Attributes:
        signal: of |G|^2; may come out negative from a single step.
        noise: of tr(Sigma), for one example.

    Source: McCandlish et al. 2018, arXiv:1812.06162, section 2.2; the estimates: appendix A.1.
    Lesson: notebooks/20b_adafactor.ipynb
    """

    signal: float
    noise: float

    @property
    def scale(self) -> float:
        """B_simple = noise / signal, examples.

        Raises:
            ValueError: if the signal is not positive: then nothing can be said yet.
        """
        if not self.signal > 0:
            raise ValueError(
                f"|G|^2 is estimated as {self.signal:.3g}, so that the noise hides it: average "
                "more steps, or compare with a larger batch"
            )
        return self.noise / self.signal


def noise_parts(small_square: float, big_square: float, *, small: float, big: float) -> NoiseParts:
    """Split the size of a gradient into signal and noise, from two batch sizes.

        signal = (big |g_big|^2 - small |g_small|^2) / (big - small)
        noise  = (|g_small|^2 - |g_big|^2) / (1 / small - 1 / big)

    Both are unbiased, whatever the distribution of the gradients. Their ratio is not: average
    signal and noise each over many steps, and divide last.

    Args:
        small_square: |g|^2 of a small batch; better, the mean over several.
        big_square: |g|^2 of a large batch.
        small: size of the small batch, examples.
        big: size of the large one, more than small.

    Returns:
        The two estimates.

    Raises:
        ValueError: if not 0 < small < big.

    Source: McCandlish et al. 2018, arXiv:1812.06162, appendix A.1.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    if not 0 < small < big:
        raise ValueError(f"need 0 < small < big, got small={small}, big={big}")
    signal = (big * big_square - small * small_square) / (big - small)
    noise = (small_square - big_square) / (1 / small - 1 / big)
    return NoiseParts(signal, noise)


def parts_of_accumulation(micro: Sequence[Tensor], *, size: float) -> NoiseParts:
    """Split signal and noise with the gradients of the micro batches of one step.

    The micro batches are the small ones, all of them together the large one: nothing is computed
    twice.

    Args:
        micro: mean gradients of at least two micro batches, flat, all the same shape.
        size: examples in each.

    Returns:
        The two estimates. That of the noise is the usual unbiased variance, times size.

    Raises:
        ValueError: if there are fewer than two, or size is not positive.

    Source: McCandlish et al. 2018, arXiv:1812.06162, appendix A.1.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    if len(micro) < 2:
        raise ValueError(f"two micro batches are the least, got {len(micro)}: accumulate more")
    stacked = torch.stack([g.flatten().double() for g in micro])  # (k, P)
    small_square = float((stacked**2).sum(dim=1).mean())
    big_square = float((stacked.mean(dim=0) ** 2).sum())
    return noise_parts(small_square, big_square, small=size, big=size * len(micro))


def flat_gradient(params: Iterable[Tensor]) -> Tensor:
    """Put the gradients of all parameters behind one another, in float64; a copy.

    Args:
        params: those without a gradient are left out.

    Returns:
        (P,), float64.

    Raises:
        ValueError: if none has a gradient.

    Lesson: notebooks/20b_adafactor.ipynb
    """
    grads = [p.grad.detach().flatten().double() for p in params if p.grad is not None]
    if not grads:
        raise ValueError("no parameter has a gradient: call backward() first")
    return torch.cat(grads)


@dataclass
class NoiseScale:
    """A running estimate of the noise scale: running means of both parts, divided last.

    Args:
        memory: what a step is still worth one step later, in [0, 1).

    Raises:
        ValueError: if memory is out of range.

    Source: McCandlish et al. 2018, arXiv:1812.06162, appendix A.1.
    Lesson: notebooks/20b_adafactor.ipynb
    """

    memory: float = 0.99
    n_steps: int = field(default=0, init=False)
    _signal: float = field(default=0.0, init=False)
    _noise: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.memory < 1:
            raise ValueError(f"memory must lie in [0, 1), got {self.memory}")

    def add(self, parts: NoiseParts) -> None:
        """Take in the estimates of one step."""
        self.n_steps += 1
        self._signal = self.memory * self._signal + (1 - self.memory) * parts.signal
        self._noise = self.memory * self._noise + (1 - self.memory) * parts.noise

    @property
    def parts(self) -> NoiseParts:
        """The running means, corrected for their start at zero.

        Raises:
            ValueError: if no step was taken in yet.
        """
        if self.n_steps == 0:
            raise ValueError("no step was added yet")
        weight = 1 - self.memory**self.n_steps
        return NoiseParts(self._signal / weight, self._noise / weight)

    @property
    def scale(self) -> float:
        """B_simple, examples; see NoiseParts.scale."""
        return self.parts.scale


def steps_over_least(batch: float, critical: float) -> float:
    """Give S / S_min: how many times the least steps a batch of this size takes.

        S / S_min = 1 + critical / batch

    At batch = critical it is 2, and so is examples_over_least.

    Args:
        batch: size of a batch.
        critical: critical batch size, in the same unit; B_simple is an estimate of it.

    Returns:
        The ratio, above 1.

    Raises:
        ValueError: if one of the two is not positive.

    Source: McCandlish et al. 2018, arXiv:1812.06162, section 2.3; for language models Kaplan et al.
        2020, arXiv:2001.08361, section 5.1.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    if not (batch > 0 and critical > 0):
        raise ValueError(f"sizes must be positive, got batch={batch}, critical={critical}")
    return 1 + critical / batch


def examples_over_least(batch: float, critical: float) -> float:
    """Give E / E_min: how many times the least examples a batch of this size takes.

        E / E_min = 1 + batch / critical,      (S / S_min - 1) (E / E_min - 1) = 1

    Args, Returns, Raises, Source and Lesson: as in steps_over_least.
    """
    return steps_over_least(critical, batch)


def critical_batch(min_steps: float, min_examples: float) -> float:
    """Give the critical batch size from the two ends of a measured curve: E_min / S_min.

    Args:
        min_steps: S_min, steps to reach a loss with batches of any size.
        min_examples: E_min, examples to reach it in any number of steps.

    Returns:
        The size where both are twice their least.

    Raises:
        ValueError: if one of the two is not positive.

    Source: McCandlish et al. 2018, arXiv:1812.06162, section 2.3.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    if not (min_steps > 0 and min_examples > 0):
        raise ValueError(f"need positive ends, got {min_steps} steps and {min_examples} examples")
    return min_examples / min_steps

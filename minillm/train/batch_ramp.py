"""Small batches first: the batch size as a function of the tokens seen, or of the step.

Early the gradient is large against its noise, and a small batch already shows where to go; later
it is the noise that is large. See noise_scale.py for the measurement behind it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class LinearRamp:
    """A batch that grows on a line with the tokens seen, and stays at its end.

        tokens(seen) = start + (end - start) min(1, seen / over)

    Attributes:
        start: tokens of the first batch.
        end: tokens of a batch from `over` tokens on.
        over: tokens over which it grows; 0 starts at end.

    Source: Brown et al. 2020 (GPT-3), arXiv:2005.14165, appendix B.
    Lesson: notebooks/20b_adafactor.ipynb
    """

    start: int
    end: int
    over: int

    def __post_init__(self) -> None:
        if self.start < 1 or self.end < self.start or self.over < 0:
            raise ValueError(
                f"need 1 <= start <= end and over >= 0, got start={self.start}, end={self.end}, "
                f"over={self.over}"
            )

    def tokens(self, seen: int) -> float:
        """Give the wanted size of the next batch, tokens, after `seen` tokens of training."""
        if seen < 0:
            raise ValueError(f"seen must not be negative, got {seen}")
        share = min(1.0, seen / self.over) if self.over else 1.0
        return self.start + (self.end - self.start) * share


@dataclass(frozen=True)
class StepRamp:
    """A batch that jumps at certain steps.

    Attributes:
        stages: pairs (first step of the stage, tokens of a batch); the first begins at 0.

    Source: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5.
    Lesson: notebooks/20b_adafactor.ipynb
    """

    stages: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        begins = [begin for begin, _ in self.stages]
        if not begins or begins[0] != 0 or begins != sorted(set(begins)):
            raise ValueError(f"stages must begin at 0 and then later and later, got {begins}")
        if min(tokens for _, tokens in self.stages) < 1:
            raise ValueError(f"a batch needs at least one token, got {self.stages}")

    def tokens(self, step: int) -> int:
        """Give the size, tokens, of the batch of this step; the first step is 0."""
        if step < 0:
            raise ValueError(f"step must not be negative, got {step}")
        return [tokens for begin, tokens in self.stages if begin <= step][-1]

    def total(self, steps: int) -> int:
        """Give the tokens that the first `steps` steps read."""
        ends = [begin for begin, _ in self.stages[1:]] + [steps]
        parts = zip(self.stages, ends, strict=True)
        return sum(max(0, min(end, steps) - begin) * tokens for (begin, tokens), end in parts)


GPT3_RAMP = LinearRamp(start=32_000, end=3_200_000, over=12_000_000_000)
"""GPT-3 175B; the paper says "4-12 billion tokens, depending on the model size"."""

PALM_RAMP = StepRamp(((0, 512 * 2048), (50_000, 1024 * 2048), (115_000, 2048 * 2048)))
"""PaLM 540B; it ended at step 255 000."""


def accumulation(batch_tokens: float, *, micro_batch: int, context: int) -> int:
    """Give how many forward passes make up a batch, as near as whole passes come.

    Args:
        batch_tokens: wanted tokens of a batch.
        micro_batch: sequences in one forward pass, on all ranks together.
        context: tokens of each.

    Returns:
        Passes, at least 1. The batch that is read has passes * micro_batch * context tokens.

    Raises:
        ValueError: if an argument is not positive.

    Lesson: notebooks/20b_adafactor.ipynb
    """
    if not batch_tokens > 0 or micro_batch < 1 or context < 1:
        raise ValueError(
            f"need positive sizes, got batch_tokens={batch_tokens}, micro_batch={micro_batch}, "
            f"context={context}"
        )
    return max(1, math.floor(batch_tokens / (micro_batch * context) + 0.5))


def ramp_steps(
    ramp: LinearRamp, total_tokens: int, *, micro_batch: int, context: int
) -> Iterator[tuple[int, int]]:
    """Go through a run step by step, as a loop would.

    Args:
        ramp: the wanted sizes.
        total_tokens: where the run ends; its last batch is not cut.
        micro_batch, context: as in accumulation.

    Yields:
        For each step: tokens seen before it, and its passes.

    Lesson: notebooks/20b_adafactor.ipynb
    """
    seen = 0
    while seen < total_tokens:
        passes = accumulation(ramp.tokens(seen), micro_batch=micro_batch, context=context)
        yield seen, passes
        seen += passes * micro_batch * context


def ramp_length(ramp: LinearRamp) -> float:
    """Give the steps that the growing part of a ramp takes.

        over ln(end / start) / (end - start)       from d seen / d step = tokens(seen)

    At constant full size the same tokens take over / end steps.

    Args:
        ramp: the wanted sizes.

    Returns:
        Steps; a whole number of them, near this, in practice.

    Lesson: notebooks/20b_adafactor.ipynb
    """
    if ramp.start == ramp.end:
        return ramp.over / ramp.end
    return ramp.over * math.log(ramp.end / ramp.start) / (ramp.end - ramp.start)

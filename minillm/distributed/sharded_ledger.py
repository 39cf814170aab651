"""What a rank holds of the state of training: the one table of data parallelism and ZeRO 1 to 3.

The state of training a weight in mixed precision has 16 bytes: 2 for the weight, 2 for its
gradient, and 12 for the optimizer (the weight once more in float32, m and v). Data parallelism
copies all of them to each rank; ZeRO cuts them in pieces, one kind after another:

    ddp      2 + 2 + 12               stage 2  2 + (2 + 12) / N
    stage 1  2 + 2 + 12 / N           stage 3  (2 + 2 + 12) / N

Bytes beyond the state, and what tensor, pipeline and context parallelism leave of a model, are
counted in card_bytes.py.
"""

from dataclasses import dataclass
from typing import Literal

Sharding = Literal["ddp", "zero1", "zero2", "zero3"]
SHARDINGS: tuple[Sharding, ...] = ("ddp", "zero1", "zero2", "zero3")


@dataclass(frozen=True)
class Formats:
    """Bytes a weight of each kind of state.

    Attributes:
        weight, gradient: 2 and 2 in mixed precision, 4 and 4 in float32.
        optimizer: 12 in mixed precision (float32 weight, m, v), 8 in float32 (m, v).
    """

    weight: int = 2
    gradient: int = 2
    optimizer: int = 12

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < (0 if name == "optimizer" else 1):
                raise ValueError(f"formats.{name} is too small: {value}")

    @property
    def total(self) -> int:
        """Bytes of state a weight, on a single rank."""
        return self.weight + self.gradient + self.optimizer


MIXED = Formats()
FLOAT32 = Formats(4, 4, 8)


def rank_state(
    n_parameters: int, n_ranks: int, sharding: Sharding, formats: Formats = MIXED
) -> tuple[int, int, int]:
    """Divide the state of training over the ranks of a data-parallel group.

    A piece has ceil(n / N) weights: the last one is filled up, so that all are equal.

    Args:
        n_parameters: of the model, or of what tensor and pipeline parallelism leave of it.
        n_ranks: N, of the data-parallel group.
        sharding: "ddp" (nothing is cut), or "zero1" (optimizer), "zero2" (gradients too), "zero3"
            (weights too).
        formats: bytes a weight.

    Returns:
        Bytes of weights, gradients and optimizer on one rank.

    Raises:
        ValueError: if the sharding is unknown, or a count is smaller than 1.

    Source: Rajbhandari et al. 2019 (ZeRO), arXiv:1910.02054, section 5 and figure 1.
    Lesson: notebooks/22b_zero.ipynb
    """
    if sharding not in SHARDINGS:
        raise ValueError(f"sharding must be one of {', '.join(SHARDINGS)}; got {sharding!r}")
    if min(n_parameters, n_ranks) < 1:
        raise ValueError(
            f"counts must be at least 1, got n_parameters={n_parameters}, n_ranks={n_ranks}"
        )
    stage = SHARDINGS.index(sharding)
    piece = -(-n_parameters // n_ranks)
    held = [piece if stage >= first else n_parameters for first in (3, 2, 1)]
    return held[0] * formats.weight, held[1] * formats.gradient, held[2] * formats.optimizer

"""Which card does what: the ranks of a job as a box of data x pipeline x tensor (x context).

Neighbouring ranks stand in one machine, where the links are fast. So the axis that talks most,
tensor parallelism, runs fastest over the ranks; then context, which passes keys and values around
in every block; then data; then pipeline, which talks least.
"""

from dataclasses import dataclass
from typing import Literal

Axis = Literal["data", "pipeline", "tensor", "context"]
AXES: tuple[Axis, ...] = ("data", "pipeline", "tensor", "context")


@dataclass(frozen=True)
class Place:
    """Where a rank stands in the box: its index on each axis, from 0."""

    data: int
    pipeline: int
    tensor: int
    context: int = 0


@dataclass(frozen=True)
class Layout:
    """A box of data x pipeline x tensor x context ranks.

        rank = ((pipeline * D + data) * C + context) * T + tensor

    Attributes:
        data: D, copies of the model that read different sequences.
        pipeline: P, stages that hold different layers.
        tensor: T, ranks that hold different columns and rows of the same layers.
        context: C, ranks that hold different positions of the same sequences.

    Raises:
        ValueError: if a size is not positive, or a rank or index is outside the box.

    Source: the order of the axes: Narayanan et al. 2021, arXiv:2104.04473, section 3.2
        (takeaway 1); Megatron-DeepSpeed has the same.
    Lesson: notebooks/23_parallel.ipynb
    """

    data: int = 1
    pipeline: int = 1
    tensor: int = 1
    context: int = 1

    def __post_init__(self) -> None:
        if min(self.data, self.pipeline, self.tensor, self.context) < 1:
            raise ValueError(f"each size must be at least 1, got {self}")

    @property
    def world_size(self) -> int:
        """All ranks, D P T C."""
        return self.data * self.pipeline * self.tensor * self.context

    def place(self, rank: int) -> Place:
        """Where a rank stands."""
        if not 0 <= rank < self.world_size:
            raise ValueError(f"rank must be 0 to {self.world_size - 1}, got {rank}")
        rest, tensor = divmod(rank, self.tensor)
        rest, context = divmod(rest, self.context)
        pipeline, data = divmod(rest, self.data)
        return Place(data, pipeline, tensor, context)

    def rank(self, place: Place) -> int:
        """Who stands at a place; the inverse of place."""
        for axis in AXES:
            if not 0 <= getattr(place, axis) < getattr(self, axis):
                raise ValueError(f"{axis} must be 0 to {getattr(self, axis) - 1}, got {place}")
        sequence = place.pipeline * self.data + place.data
        return (sequence * self.context + place.context) * self.tensor + place.tensor

    def group(self, axis: Axis, rank: int) -> list[int]:
        """The ranks that differ from this one on one axis only, in order, itself among them."""
        here = vars(self.place(rank))
        return [self.rank(Place(**(here | {axis: i}))) for i in range(getattr(self, axis))]

    def groups(self, axis: Axis) -> list[list[int]]:
        """All groups of an axis; each rank is in exactly one of them."""
        return [g for r in range(self.world_size) if (g := self.group(axis, r))[0] == r]

    def machines(self, axis: Axis, cards_per_machine: int) -> int:
        """The most machines that one group of an axis stretches over."""
        if cards_per_machine < 1:
            raise ValueError(f"cards_per_machine must be at least 1, got {cards_per_machine}")
        return max(len({r // cards_per_machine for r in g}) for g in self.groups(axis))

    def inside(self, axis: Axis, cards_per_machine: int) -> bool:
        """Whether every group of an axis stays inside one machine: machines(...) == 1, faster.

        The groups of an axis lie in blocks of neighbouring ranks, whose size is the product of the
        axes up to this one. A block whose size does not divide a machine's is cut by some machine's
        edge: with T = 3 and 8 cards the ranks 6, 7, 8 stand in two machines.

        Raises:
            ValueError: if there is no card, or the machines would not be full.
        """
        if cards_per_machine < 1 or self.world_size % cards_per_machine:
            raise ValueError(
                f"{self.world_size} ranks do not fill machines of {cards_per_machine} cards"
            )
        if getattr(self, axis) == 1:
            return True
        block = 1
        for inner in ("tensor", "context", "data", "pipeline"):
            block *= getattr(self, inner)
            if inner == axis:
                break
        return cards_per_machine % block == 0

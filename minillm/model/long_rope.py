"""RopeScaling: which method of rope_scaling.py or yarn.py a model uses, with its settings.

It is a part of PositionConfig. Without it (None) a model turns its pairs as it was trained.

Shape letters (the table is in notebooks/NOTATION.md):
    B  batch        T  positions        H  width of one head (of the part that is turned)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from minillm.model.rope_scaling import (
    dynamic_ntk_frequencies,
    interpolated_frequencies,
    ntk_frequencies,
    scaled_rope_angles,
)
from minillm.model.yarn import yarn_attention_factor, yarn_frequencies

ScalingKind = Literal["linear", "ntk", "dynamic", "yarn"]
SCALINGS = ("linear", "ntk", "dynamic", "yarn")


@dataclass(frozen=True)
class RopeScaling:
    """How RoPE is taken beyond the length it was trained at.

    Attributes:
        kind: "linear" (position interpolation), "ntk" (a larger base), "dynamic" (a base that
            grows with the text) or "yarn".
        factor: s, new length over trained length; for "dynamic" how steeply the base grows.
        trained_length: L, positions in training; original_max_position_embeddings in
            transformers. "dynamic" and "yarn" need it, the others do not read it.
        beta_fast, beta_slow: turns in training from which on a pair is left alone, and up to
            which it is interpolated in full. Read by "yarn" only.
        attention_factor: m, by which turned queries and keys are lengthened; None means
            0.1 ln s + 1. Read by "yarn" only.
        truncate: round the ends of the ramp to whole pairs. Read by "yarn" only.
    """

    kind: ScalingKind
    factor: float = 1.0
    trained_length: int | None = None
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    truncate: bool = True

    def __post_init__(self) -> None:
        if self.kind not in SCALINGS:
            known = ", ".join(SCALINGS)
            raise ValueError(f"scaling.kind must be one of {known}; got {self.kind!r}")
        if not (math.isfinite(self.factor) and self.factor >= 1):
            raise ValueError(
                "scaling.factor must be finite and at least 1 (new length / trained length), "
                f"got {self.factor}"
            )
        L, m = self.trained_length, self.attention_factor
        if self.kind in ("dynamic", "yarn") and L is None:
            raise ValueError(f"scaling.kind {self.kind!r} needs trained_length, got None")
        if L is not None and L < 1:
            raise ValueError(f"scaling.trained_length must be at least 1, got {L}")
        if not 0 < self.beta_slow < self.beta_fast:
            raise ValueError(
                "need 0 < scaling.beta_slow < scaling.beta_fast, got "
                f"beta_slow={self.beta_slow}, beta_fast={self.beta_fast}"
            )
        if m is not None and not (math.isfinite(m) and m > 0):
            raise ValueError(f"scaling.attention_factor must be positive, got {m}")

    @property
    def gain(self) -> float:
        """By how much turned queries and keys are lengthened: 1, but for "yarn"."""
        if self.kind != "yarn":
            return 1.0
        m = self.attention_factor
        return yarn_attention_factor(self.factor) if m is None else m

    def frequencies(
        self,
        head_width: int,
        theta: float = 10000.0,
        *,
        length: int,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Say by how many radians each pair turns from one position to the next.

        Args:
            head_width: H, of the part of a head that is turned.
            theta: the base that the model was trained with.
            length: positions of the text so far, at least 1. Read by "dynamic" only.
            dtype: precision of the result.
            device: where the result lives.

        Returns:
            Frequencies in radians per position, (H/2,).

        Raises:
            ValueError: if head_width, theta or length do not suit the method.
        """
        s, L = self.factor, self.trained_length or 0
        make: Callable[..., Tensor]
        if self.kind == "linear":
            make = interpolated_frequencies
        elif self.kind == "ntk":
            make = ntk_frequencies
        elif self.kind == "dynamic":
            make = partial(dynamic_ntk_frequencies, length=length, trained_length=L)
        else:
            make = partial(
                yarn_frequencies,
                trained_length=L,
                beta_fast=self.beta_fast,
                beta_slow=self.beta_slow,
                truncate=self.truncate,
            )
        return make(head_width, theta, factor=s, dtype=dtype, device=device)

    def angles(
        self,
        positions: Tensor,
        head_width: int,
        theta: float = 10000.0,
        *,
        length: int,
        dtype: torch.dtype = torch.float64,
    ) -> tuple[Tensor, Tensor]:
        """Tabulate cosine and sine: rope_angles for a model whose RoPE is scaled.

        Args:
            positions: any shape, usually (T,) or (B, T).
            head_width, theta, length, dtype: as in frequencies.

        Returns:
            cos and sin for apply_rope, each positions.shape + (H/2,), times the gain.

        Raises:
            ValueError: as frequencies.

        Cost: one cosine and one sine an entry.
        Lesson: notebooks/15_long_context.ipynb
        """
        found = self.frequencies(
            head_width, theta, length=length, dtype=dtype, device=positions.device
        )
        return scaled_rope_angles(positions, found, attention_factor=self.gain)

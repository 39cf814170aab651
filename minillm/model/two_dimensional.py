"""A decoder whose positions are pairs, as GLM needs them: place in the text, place in the span.

Two ways to tell them to the model:

- learned (GLM): two tables; both rows are added to the embedding of the token;
- RoPE (ChatGLM-6B): half of the pairs of each head turn by the first, the others by the second.

Shape letters (the table is in notebooks/NOTATION.md):
    B  batch      T  positions      D  model width      R  turned width of a head
"""

import torch
from torch import Tensor

from minillm.model.config import DecoderConfig
from minillm.model.decoder import Decoder, check_ids
from minillm.model.initialise import initialise
from minillm.model.layers import Embedding
from minillm.model.rope import rope_angles


def two_dimensional_angles(
    positions: Tensor, width: int, theta: float = 10000.0, *, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Tabulate the angles of RoPE where the first half of the pairs turns by the first position.

        cos = [cos(p1 f_0), .., cos(p1 f_{R/4 - 1}), cos(p2 f_0), ..],   f_j = theta ** (-4 j / R)

    Each half is RoPE for a head of width R/2. Where p2 is 0 its half does not turn at all.

    Args:
        positions: pairs, (..., 2, T).
        width: R, a multiple of 4.
        theta: the base of the frequencies.
        dtype: as in rope_angles.

    Returns:
        cos and sin, each (..., T, R/2).

    Raises:
        ValueError: if positions are no pairs, or width is no multiple of 4.

    Source: the code of ChatGLM-6B (modeling_chatglm.py, position_encoding_2d).
    Lesson: notebooks/18_objectives.ipynb
    """
    if positions.ndim < 2 or positions.shape[-2] != 2:
        raise ValueError(f"positions must be (..., 2, T), got {tuple(positions.shape)}")
    if width < 4 or width % 4:
        raise ValueError(f"width must be a multiple of 4, for two halves of pairs; got {width}")
    halves = [rope_angles(positions[..., i, :], width // 2, theta, dtype=dtype) for i in range(2)]
    cos, sin = (torch.cat([half[k] for half in halves], dim=-1) for k in range(2))
    return cos, sin


class TwoDimensionalDecoder(Decoder):
    """A Decoder that is told two positions of each token, and sees what a mask allows.

        learned:  x = embedding[ids] + table_1[p1] + table_2[p2]
        rope:     queries and keys turn by two_dimensional_angles(p)

    Args:
        config: with position.kind "learned" or "rope"; both tables have config.context rows.
        device, dtype: as in Decoder.

    Raises:
        ValueError: if position.kind is another or scaled, or, for rope, R is no multiple of 4.

    Source: Du et al. 2021 (GLM), arXiv:2103.10360, section 2.2.1 (learned).
    Lesson: notebooks/18_objectives.ipynb
    """

    def __init__(
        self,
        config: DecoderConfig,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        kind = config.position.kind
        if kind not in ("learned", "rope"):
            raise ValueError(f"position.kind must be 'learned' or 'rope', got {kind!r}")
        if kind == "rope" and config.rotary_width % 4:
            raise ValueError(f"RoPE's width must be a multiple of 4, got {config.rotary_width}")
        if config.position.scaling is not None:
            raise ValueError("position.scaling is for one position a token; set it to None")
        super().__init__(config, device, dtype)
        self.position_in_span = None
        if kind == "learned":
            where = self.embedding.weight.device
            D = config.d_model
            self.position_in_span = Embedding(config.context, D, device=where, dtype=dtype)
            initialise(self.position_in_span, config)

    def forward(  # type: ignore[override]
        self, ids: Tensor, *, positions: Tensor, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """Predict what each place has to say.

        Args:
            ids: token ids, (B, T), integers in [0, V).
            positions: pairs, (B, 2, T) or (2, T), as objectives.Infilling has them.
            mask: True = may attend, broadcastable to (B, N, T, T); the hybrid mask.
            causal: also hide what is to the right.

        Returns:
            Logits, (B, T, V).

        Raises:
            ValueError: if the ids are not (B, T) integers in [0, V), the positions do not fit
                them, or a learned position is not below config.context.
        """
        return self.logits(self.features(ids, positions=positions, mask=mask, causal=causal))

    def features(  # type: ignore[override]
        self, ids: Tensor, *, positions: Tensor, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """Compute the last hidden state, (B, T, D), normalised; arguments as in forward."""
        B, T = check_ids(ids, self.config.vocab_size)
        if positions.shape not in ((B, 2, T), (2, T)):
            raise ValueError(
                f"positions must be {(B, 2, T)} or {(2, T)} for these ids, got "
                f"{tuple(positions.shape)}"
            )
        x = self.embedding(ids)  # (B, T, D)
        if self.position_in_span is not None:
            limit = self.config.context
            if positions.numel() and not 0 <= int(positions.min()) <= int(positions.max()) < limit:
                raise ValueError(
                    f"positions must lie in 0 to {limit - 1}, got {int(positions.min())} to "
                    f"{int(positions.max())}; make config.context larger"
                )
            x = x + self.position_in_span(positions[..., 1, :])
            return self.run(x, mask=mask, positions=positions[..., 0, :], causal=causal)
        R, theta = self.config.rotary_width, self.config.position.rope_theta
        rotation = two_dimensional_angles(positions, R, theta, dtype=torch.float32)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        for block in self.blocks:
            x = block(x, mask, causal=causal, rotation=rotation)
        y: Tensor = self.final_norm(x)
        return y

    def n_parameters(self) -> int:
        """Count the trained numbers, without the padding of the vocabulary."""
        second = 0 if self.position_in_span is None else self.position_in_span.weight.numel()
        return super().n_parameters() + second

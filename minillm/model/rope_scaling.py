"""RoPE beyond the trained length: turn the pairs more slowly, so that no new angle is met.

A model trained on L positions has seen the slow pairs through part of one turn only. At position
2 L they stand where they never stood in training, and the model fails. Each method here makes a
text of s L positions look like what the model knows, and each returns frequencies in the form of
rope_frequencies, radians per position, one for each pair:

- interpolated_frequencies: all pairs turn s times more slowly (position interpolation);
- ntk_frequencies: a larger base: the fastest pair as before, the slowest s times more slowly;
- dynamic_ntk_frequencies: the same, with an s that grows with the text at hand;
- yarn_frequencies, in yarn.py: each pair by how often it has turned in training.

scaled_rope_angles turns frequencies into the tables that apply_rope takes.

Shape letters (the table is in notebooks/NOTATION.md):
    B  batch        T  positions        H  width of one head
"""

import math

import torch
from torch import Tensor

from minillm.model.rope import rope_frequencies


def interpolated_frequencies(
    head_width: int,
    theta: float = 10000.0,
    *,
    factor: float,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Tensor:
    """Squeeze the positions: position s t gets the angles that position t had.

        frequency_j = theta ** (-2 j / H) / s

    Neighbours then differ by 1/s of a position, which the model has not met either; a short
    fine-tune teaches it.

    Args:
        head_width: H, even and at least 2.
        theta: the base of the frequencies.
        factor: s, new length over trained length, at least 1.
        dtype: precision of the result; float32 gives the very bits of transformers.
        device: where the result lives.

    Returns:
        Frequencies in radians per position, (H/2,).

    Raises:
        ValueError: if factor is not finite and at least 1, head_width is not a positive even
            number, or theta is not positive.

    Cost: H/2 numbers, made once.
    Source: Chen et al. 2023, arXiv:2306.15595, section 2.3; kaiokendev found it as well.
    Lesson: notebooks/15_long_context.ipynb
    """
    check_factor(factor)
    return rope_frequencies(head_width, theta, dtype=dtype, device=device) / factor  # (H/2,)


def ntk_theta(head_width: int, theta: float = 10000.0, *, factor: float) -> float:
    """Give the base with which the slowest pair turns s times more slowly.

        theta' = theta * s ** (H / (H - 2))

    The slowest pair has j = H/2 - 1, so its frequency theta' ** (-(H - 2) / H) is the old one
    divided by s; the fastest, theta' ** 0, stays 1.

    Args:
        head_width: H, even and at least 4: with one pair, fastest and slowest are the same.
        theta: the base that the model was trained with.
        factor: s, at least 1.

    Returns:
        The new base, a number without unit.

    Raises:
        ValueError: if factor is not finite and at least 1, head_width is not an even number from
            4, or theta is not positive.

    Source: bloc97 2023, "NTK-Aware Scaled RoPE", reddit.com/r/LocalLLaMA; Peng et al. 2023
        (YaRN), arXiv:2309.00071v2, section 3.1.
    Lesson: notebooks/15_long_context.ipynb
    """
    check_factor(factor)
    if head_width < 4 or head_width % 2:
        raise ValueError(
            "head_width must be even and at least 4, so that the fastest and the slowest pair "
            f"differ; got {head_width}"
        )
    if not theta > 0:
        raise ValueError(f"theta must be positive, got {theta}")
    return float(theta * factor ** (head_width / (head_width - 2)))


def ntk_frequencies(
    head_width: int,
    theta: float = 10000.0,
    *,
    factor: float,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Tensor:
    """Share the squeeze out over the pairs: none for the fastest, s for the slowest.

        frequency_j = theta' ** (-2 j / H) = theta ** (-2 j / H) * s ** (-2 j / (H - 2))

    Args:
        head_width: H, even and at least 4.
        theta: the base that the model was trained with.
        factor: s, at least 1.
        dtype: precision of the result.
        device: where the result lives.

    Returns:
        Frequencies in radians per position, (H/2,).

    Raises:
        ValueError: as ntk_theta.

    Cost: H/2 numbers, made once. A model needs no new code, only another rope_theta.
    Source: as ntk_theta.   Lesson: notebooks/15_long_context.ipynb
    """
    base = ntk_theta(head_width, theta, factor=factor)
    return rope_frequencies(head_width, base, dtype=dtype, device=device)  # (H/2,)


def dynamic_ntk_frequencies(
    head_width: int,
    theta: float = 10000.0,
    *,
    length: int,
    trained_length: int,
    factor: float = 1.0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Tensor:
    """Scale only as far as the text at hand needs: up to the trained length, not at all.

        s = max(1, factor * length / trained_length - (factor - 1))        then as ntk_frequencies

    With factor 1, s is how many times the text is as long as the training texts. A larger factor
    makes s grow faster, because NTK-aware scaling by s serves a little less than s L positions.
    The keys in a cache keep the turn that they were given at a smaller s; to be exact, store
    keys before the turn, or make the cache anew.

    Args:
        head_width: H, even and at least 4.
        theta: the base that the model was trained with.
        length: positions of the text so far, at least 1.
        trained_length: L, positions in training, at least 1.
        factor: how steeply s grows, at least 1.
        dtype: precision of the result; float32 gives the very bits of transformers.
        device: where the result lives.

    Returns:
        Frequencies in radians per position, (H/2,).

    Raises:
        ValueError: if length or trained_length is below 1, or as ntk_theta.

    Cost: H/2 numbers, made anew whenever the text grows past the trained length.
    Source: emozilla 2023, reddit.com/r/LocalLLaMA; Peng et al. 2023 (YaRN), arXiv:2309.00071v2,
        section 3.3 (factor 1); the factor is that of transformers.
    Lesson: notebooks/15_long_context.ipynb
    """
    check_factor(factor)
    if length < 1:
        raise ValueError(f"length must be at least 1, got {length}")
    if trained_length < 1:
        raise ValueError(f"trained_length must be at least 1, got {trained_length}")
    s = factor * length / trained_length - (factor - 1)
    return ntk_frequencies(head_width, theta, factor=max(s, 1.0), dtype=dtype, device=device)


def scaled_rope_angles(
    positions: Tensor, frequencies: Tensor, *, attention_factor: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Tabulate cosine and sine for given frequencies: rope_angles for the methods of this file.

        cos[..., t, j] = m cos(positions[..., t] * frequencies[j]), and sin likewise

    Args:
        positions: any shape, usually (T,) or (B, T).
        frequencies: radians per position, (H/2,); their dtype is that of the tables.
        attention_factor: m, positive; of yarn_attention_factor, or 1.

    Returns:
        cos and sin for apply_rope, each positions.shape + (H/2,). Turned vectors are m times as
        long as they were.

    Raises:
        ValueError: if frequencies are not (H/2,) floating-point numbers, or attention_factor is
            not positive.

    Cost: one cosine and one sine an entry; m costs nothing where the tables are used.
    Source: Peng et al. 2023 (YaRN), arXiv:2309.00071v2, section 3.4.
    Lesson: notebooks/15_long_context.ipynb
    """
    if frequencies.ndim != 1 or not frequencies.is_floating_point():
        raise ValueError(
            f"frequencies must be (H/2,) floating point, got {tuple(frequencies.shape)} "
            f"{frequencies.dtype}"
        )
    if not attention_factor > 0:
        raise ValueError(f"attention_factor must be positive, got {attention_factor}")
    angles = positions.to(frequencies.dtype)[..., None] * frequencies  # (..., T, H/2)
    return attention_factor * angles.cos(), attention_factor * angles.sin()


def check_factor(factor: float) -> None:
    """Refuse a factor that does not lengthen, for all methods of this kind.

    Args:
        factor: s, new length over trained length.

    Raises:
        ValueError: if factor is not finite and at least 1.

    Lesson: notebooks/15_long_context.ipynb
    """
    if not (math.isfinite(factor) and factor >= 1):
        raise ValueError(f"factor must be finite and at least 1 (new length / old), got {factor}")

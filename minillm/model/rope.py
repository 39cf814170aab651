"""Rotary position embedding (RoPE): a position is a turn of the vector, not a number added to it.

The file climbs from the definition to the version that a model runs:

- rope_frequencies and rope_angles: how fast each pair turns, and how far it has turned;
- rope_matrix: the block-diagonal matrix of the paper, for looking at and for tests;
- rope: the definition, pairs of numbers multiplied by e^{i m theta_j} as complex numbers;
- apply_rope: the fast twin in real arithmetic with tables made once, used by attention;
- interleaved_to_half and half_to_interleaved: carry weights from one layout to the other.

Two layouts exist. Half-split pairs entry j with entry j + H/2 (GPT-NeoX, LLaMA in the Hugging
Face format); it is the default here. Interleaved pairs entry 2j with entry 2j + 1 (RoFormer,
Meta's own LLaMA files, GPT-J). They are equally good, and mixing them up raises no error.

Shape letters (the table is in notebooks/NOTATION.md):
    B  batch        T  positions     N  heads     H  width of one head    D  width of the model
"""

import torch
from torch import Tensor


def rope_frequencies(
    head_width: int,
    theta: float = 10000.0,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Tensor:
    """Say by how many radians each pair turns from one position to the next.

        frequency_j = theta ** (-2 j / H),   j = 0 .. H/2 - 1

    Args:
        head_width: H, even and at least 2.
        theta: the base. Larger means slower turning of the late pairs.
        dtype: precision of the result; float32 gives the very bits of transformers.
        device: where the result lives.

    Returns:
        Frequencies in radians per position, (H/2,), falling from 1 to nearly 1/theta.

    Raises:
        ValueError: if head_width is not a positive even number, or theta is not positive.

    Source: Su et al. 2021 (RoFormer), arXiv:2104.09864, section 3.2.2.
    Lesson: notebooks/14_rope.ipynb
    """
    if head_width < 2 or head_width % 2:
        raise ValueError(
            f"head_width must be even and at least 2, because RoPE turns pairs; got {head_width}"
        )
    if not theta > 0:
        raise ValueError(f"theta must be positive, got {theta}; 10000.0 is the usual base")
    exponents = torch.arange(0, head_width, 2, dtype=dtype, device=device) / head_width  # (H/2,)
    return 1.0 / theta**exponents  # (H/2,)


def rope_angles(
    positions: Tensor,
    head_width: int,
    theta: float = 10000.0,
    *,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor]:
    """Tabulate cosine and sine of the angle that every pair has at every position.

        cos[..., t, j] = cos(positions[..., t] * frequency_j), and sin likewise

    Args:
        positions: any shape, usually (T,) or (B, T); integers, or fractions when interpolating.
        head_width: H, even.
        theta: the base of the frequencies.
        dtype: precision in which the angles are computed and returned. A float32 angle at
            position 100 000 is wrong by up to 0.004 rad, hence the default.

    Returns:
        cos and sin, each positions.shape + (H/2,).

    Raises:
        ValueError: if head_width is odd or theta is not positive.

    Cost: one cosine and one sine an entry; make the tables once and use them in every layer.
    Source: Su et al. 2021, arXiv:2104.09864, eq. 15.   Lesson: notebooks/14_rope.ipynb
    """
    frequencies = rope_frequencies(head_width, theta, dtype=dtype, device=positions.device)
    angles = positions.to(dtype)[..., None] * frequencies  # (..., T, H/2)
    return angles.cos(), angles.sin()


def rope_matrix(
    position: float, head_width: int, theta: float = 10000.0, *, interleaved: bool = False
) -> Tensor:
    """Write one position's turn as a matrix, so that rope(x) = matrix @ x for a column x.

    Each pair (a, b) of coordinates gets the block [[cos, -sin], [sin, cos]]; all else is 0.

    Args:
        position: m; need not be whole.
        head_width: H, even.
        theta: the base of the frequencies.
        interleaved: pairs are (2j, 2j + 1); otherwise (j, j + H/2).

    Returns:
        An orthogonal matrix, (H, H), float64, with 2 H entries that are not 0 by construction.

    Raises:
        ValueError: if head_width is odd or theta is not positive.

    Cost: H * H numbers where 2 H matter; for looking at, not for models.
    Source: Su et al. 2021, arXiv:2104.09864, eq. 15.   Lesson: notebooks/14_rope.ipynb
    """
    cos, sin = rope_angles(torch.tensor(float(position)), head_width, theta)  # (H/2,)
    j = torch.arange(head_width // 2)
    a, b = (2 * j, 2 * j + 1) if interleaved else (j, j + head_width // 2)
    matrix = torch.zeros(head_width, head_width, dtype=torch.float64)
    matrix[a, a], matrix[a, b] = cos, -sin
    matrix[b, a], matrix[b, b] = sin, cos
    return matrix  # (H, H)


def rope(x: Tensor, positions: Tensor, theta: float = 10000.0, interleaved: bool = False) -> Tensor:
    """Turn each pair of coordinates of each vector by an angle proportional to its position.

        z_j -> z_j * e^{i m frequency_j},   z_j = a_j + i b_j,   m = the position of the vector

    This is the definition: it works on complex numbers in float64. Models call apply_rope.

    Args:
        x: queries or keys, (..., T, H), H even; with batched positions (B, ..., T, H).
        positions: the position of each vector, (T,) or (B, T).
        theta: the base of the frequencies.
        interleaved: pairs are (x[2j], x[2j+1]); otherwise (x[j], x[j + H/2]).

    Returns:
        The turned vectors, same shape, dtype and lengths as x.

    Raises:
        ValueError: if the shapes do not fit, H is odd, or x is not floating point.

    Cost: 3 H FLOPs a vector, and the temporary complex numbers; see apply_rope.
    Source: Su et al. 2021 (RoFormer), arXiv:2104.09864, eqs. 12, 14 and 34.
    Lesson: notebooks/14_rope.ipynb
    """
    cos, sin = rope_angles(positions, x.shape[-1], theta)  # (T, H/2) or (B, T, H/2)
    turns = torch.complex(_align(cos, x), _align(sin, x))  # unit-length complex numbers
    a, b = _pairs(x.double(), interleaved)  # each (..., T, H/2)
    turned = torch.complex(a, b) * turns  # (..., T, H/2)
    return _join(turned.real, turned.imag, interleaved).to(x.dtype)  # (..., T, H)


def apply_rope(x: Tensor, cos: Tensor, sin: Tensor, *, interleaved: bool = False) -> Tensor:
    """Turn the pairs of x with ready tables: rope without its trigonometry.

        a' = a cos - b sin        b' = b cos + a sin

    Args:
        x: queries or keys, (..., T, H), H even; with batched tables (B, ..., T, H).
        cos: from rope_angles, (T, H/2) or (B, T, H/2). Its dtype decides the arithmetic when
            it is wider than x's: float32 tables turn bfloat16 vectors in float32.
        sin: like cos.
        interleaved: as in rope.

    Returns:
        The turned vectors, same shape and dtype as x.

    Raises:
        ValueError: if the shapes do not fit, H is odd, or x is not floating point.

    Cost: 3 H FLOPs a vector (4 products and 2 sums a pair); reads and writes x once or twice.
    Source: Su et al. 2021, arXiv:2104.09864, eq. 34.   Lesson: notebooks/14_rope.ipynb
    """
    if cos.shape != sin.shape:
        raise ValueError(f"cos and sin differ in shape: {tuple(cos.shape)}, {tuple(sin.shape)}")
    cos, sin = _align(cos, x), _align(sin, x)
    a, b = _pairs(x, interleaved)
    return _join(a * cos - b * sin, b * cos + a * sin, interleaved).to(x.dtype)  # (..., T, H)


def interleaved_to_half(weight: Tensor, n_heads: int) -> Tensor:
    """Reorder the rows of a query or key projection from the interleaved to the half-split layout.

    With the reordered weights and interleaved=False every attention score is what the old
    weights give with interleaved=True: both orders pair the same two numbers.

    Args:
        weight: (n_heads * H, D) as nn.Linear stores it, or a bias, (n_heads * H,).
        n_heads: query heads for W_q, key/value heads for W_k. W_v and W_o must stay as they are.

    Returns:
        A new tensor of the same shape: in each head rows 0, 2, 4 .. and then 1, 3, 5 ...

    Raises:
        ValueError: if the rows do not divide into n_heads heads of even width.

    Source: the weight converter of transformers for LLaMA.   Lesson: notebooks/14_rope.ipynb
    """
    pairs = _heads(weight, n_heads).unflatten(1, (-1, 2))  # (n_heads, H/2, 2, ...)
    return pairs.transpose(1, 2).reshape(weight.shape).clone()


def half_to_interleaved(weight: Tensor, n_heads: int) -> Tensor:
    """Undo interleaved_to_half: reorder rows from the half-split to the interleaved layout.

    Args:
        weight: (n_heads * H, D), or a bias, (n_heads * H,), in half-split order.
        n_heads: as in interleaved_to_half.

    Returns:
        A new tensor of the same shape: in each head rows 0, H/2, 1, H/2 + 1, ...

    Raises:
        ValueError: if the rows do not divide into n_heads heads of even width.

    Lesson: notebooks/14_rope.ipynb
    """
    halves = _heads(weight, n_heads).unflatten(1, (2, -1))  # (n_heads, 2, H/2, ...)
    return halves.transpose(1, 2).reshape(weight.shape).clone()


def _pairs(x: Tensor, interleaved: bool) -> tuple[Tensor, Tensor]:
    """Give the first and the second numbers of all pairs, each (..., H/2)."""
    if interleaved:
        return x[..., 0::2], x[..., 1::2]
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]


def _join(a: Tensor, b: Tensor, interleaved: bool) -> Tensor:
    """Put the numbers that _pairs took apart back in their places, (..., H)."""
    return torch.stack((a, b), dim=-1).flatten(-2) if interleaved else torch.cat((a, b), dim=-1)


def _align(table: Tensor, x: Tensor) -> Tensor:
    """Check that a table fits x, (..., T, H), and give a batched table the middle axes of x."""
    if not x.is_floating_point():
        raise ValueError(f"x must be floating point, got {x.dtype}; convert it first")
    shapes = f"x {tuple(x.shape)}, positions {tuple(table.shape[:-1])}"
    if x.dim() < 2 or table.dim() not in (2, 3) or table.shape[-2] != x.shape[-2]:
        raise ValueError(f"need x (..., T, H) and positions (T,) or (B, T), got {shapes}")
    if 2 * table.shape[-1] != x.shape[-1]:
        raise ValueError(f"tables for width {2 * table.shape[-1]} do not fit {shapes}")
    if table.dim() == 2:
        return table  # (T, H/2)
    if x.dim() < 3 or table.shape[0] not in (1, x.shape[0]):
        raise ValueError(f"positions (B, T) need x (B, ..., T, H) of the same B, got {shapes}")
    middle = (1,) * (x.dim() - 3)
    return table.reshape(table.shape[0], *middle, *table.shape[1:])  # (B, 1.., T, H/2)


def _heads(weight: Tensor, n_heads: int) -> Tensor:
    """Split the rows of a projection into its heads, (n_heads, H, ...)."""
    rows = weight.shape[0] if weight.dim() else 0
    if n_heads < 1 or rows == 0 or rows % (2 * n_heads):
        raise ValueError(
            f"{rows} rows do not divide into {n_heads} heads of even width; "
            "give the heads of this projection (key heads for W_k)"
        )
    return weight.unflatten(0, (n_heads, -1))

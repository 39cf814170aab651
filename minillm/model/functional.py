"""The small functions that every layer of the model is made of, written out from their formulas.

- Each is the definition: short, exact, and callable alone, without a module around it.
- Sums and exponentials run in float32 at least: bfloat16 and float16 inputs are raised to float32
  and the result is cast back; float64 stays float64.
- Weights lie as in torch.nn.Linear: (out, in), and rows of features are multiplied from the left.

Shape letters (the table is in notebooks/NOTATION.md):
    ...  any leading axes, usually B, T     V  vocabulary size     D  model width     F  inner width
"""

import math
from typing import Literal

import torch
from torch import Tensor

Approximation = Literal["none", "tanh"]


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Name the dtype in which sums over numbers of `dtype` run: float32, or float64 for float64.

    Args:
        dtype: a floating dtype.

    Returns:
        torch.float64 for torch.float64, torch.float32 for everything smaller.
    """
    return torch.promote_types(dtype, torch.float32)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply each row of features by a matrix, and add a bias.

        y = x W^T + b

    Args:
        x: features, (..., D).
        weight: W, (F, D): one row for each output.
        bias: b, (F,), or None for no bias.

    Returns:
        y, (..., F), in the dtype of x.

    Raises:
        ValueError: if the widths do not fit together.

    Cost: 2 D F FLOPs a row; the matrix takes D F numbers.
    Lesson: notebooks/09_attention.ipynb
    """
    if weight.ndim != 2 or x.shape[-1:] != weight.shape[1:]:
        raise ValueError(
            f"widths do not fit: x {tuple(x.shape)} needs a weight (out, {x.shape[-1]}), "
            f"got {tuple(weight.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"bias must have shape ({weight.shape[0]},), as the weight has {weight.shape[0]} rows; "
            f"got {tuple(bias.shape)}"
        )
    y = x @ weight.mT  # (..., F)
    return y if bias is None else y + bias


def embedding(ids: Tensor, weight: Tensor) -> Tensor:
    """Look up one row of a table for each id.

        y = W[id], which is the product of a one-hot vector and W

    Args:
        ids: token ids, (...), an integer dtype, each in [0, V).
        weight: W, (V, D): one row for each entry of the vocabulary.

    Returns:
        y, (..., D), in the dtype of the weight.

    Raises:
        ValueError: if the ids are not integers, or one lies outside the table.

    Cost: no FLOPs; reads D numbers an id. (The range check reads the ids once.)
    Lesson: notebooks/09_attention.ipynb
    """
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise ValueError(f"ids must be integers, got {ids.dtype}; convert them with ids.long()")
    V = weight.shape[0]
    if ids.numel() and not ids.is_meta:
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= V:
            bad = low if low < 0 else high
            raise ValueError(f"id {bad} is outside the table: ids must lie in 0 to {V - 1}")
    return weight[ids.long()]  # (..., D)


def softmax(x: Tensor, dim: int = -1) -> Tensor:
    """Turn scores into probabilities that are positive and sum to 1.

        softmax(x)_i = exp(x_i - max x) / sum_j exp(x_j - max x)

    Subtracting the maximum changes nothing in exact arithmetic, and keeps exp from overflowing.

    Args:
        x: scores, any shape; -inf means "never". A row that holds nothing but -inf has no
            probabilities and becomes NaN, as in torch; attention deals with that case itself.
        dim: the axis to normalise over.

    Returns:
        Probabilities, the shape and dtype of x; each slice along dim sums to 1.

    Cost: about 4 FLOPs and one exponential an entry.
    Lesson: notebooks/09_attention.ipynb
    """
    z = x.to(accumulation_dtype(x.dtype))
    e = (z - z.amax(dim=dim, keepdim=True)).exp()
    return (e / e.sum(dim=dim, keepdim=True)).to(x.dtype)


def silu(x: Tensor) -> Tensor:
    """Let a number through in proportion to its own sigmoid; also called Swish with beta = 1.

        silu(x) = x / (1 + exp(-x))

    Args:
        x: any shape.

    Returns:
        The shape and dtype of x.

    Source: Ramachandran et al. 2017, arXiv:1710.05941; Elfwing et al. 2017, arXiv:1702.03118.
    Lesson: notebooks/12_feedforward.ipynb
    """
    z = x.to(accumulation_dtype(x.dtype))
    return (z * torch.sigmoid(z)).to(x.dtype)


def gelu(x: Tensor, approximate: Approximation = "none") -> Tensor:
    """Let a number through in proportion to the share of a standard normal that lies below it.

        "none":  gelu(x) = x Phi(x) = x/2 (1 + erf(x / sqrt 2))
        "tanh":  gelu(x) ~ x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))

    GPT-2 was trained with the second form (Hugging Face calls it gelu_new). The two differ by at
    most 5e-4, which is enough to break an exact comparison.

    Args:
        x: any shape.
        approximate: "none" for the exact form, "tanh" for the approximation.

    Returns:
        The shape and dtype of x.

    Raises:
        ValueError: if approximate is neither of the two.

    Source: Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2.
    Lesson: notebooks/12_feedforward.ipynb
    """
    z = x.to(accumulation_dtype(x.dtype))
    if approximate == "none":
        share = (1 + torch.erf(z / math.sqrt(2))) / 2
    elif approximate == "tanh":
        share = (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))) / 2
    else:
        raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")
    return (z * share).to(x.dtype)


def swiglu(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor) -> Tensor:
    """Apply the feed-forward layer of LLaMA: one matrix opens a gate, another is gated.

        y = (silu(x W_gate^T) * (x W_up^T)) W_down^T

    Args:
        x: features, (..., D).
        w_gate: (F, D); its output passes through silu.
        w_up: (F, D).
        w_down: (D, F).

    Returns:
        y, (..., D), in the dtype of x.

    Raises:
        ValueError: if the shapes do not fit together.

    Cost: 6 D F FLOPs a row. Three matrices of F = 8/3 D cost what two of F = 4 D cost.
    Source: Shazeer 2020, arXiv:2002.05202, eq. 6.
    Lesson: notebooks/12_feedforward.ipynb
    """
    if w_gate.shape != w_up.shape or w_down.shape != w_up.mT.shape:
        raise ValueError(
            f"shapes do not fit: w_gate {tuple(w_gate.shape)} and w_up {tuple(w_up.shape)} must be "
            f"equal, and w_down {tuple(w_down.shape)} their transpose"
        )
    return linear(silu(linear(x, w_gate)) * linear(x, w_up), w_down)

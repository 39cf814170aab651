"""QLoRA: the frozen matrices in four bits, and updates of low rank on top in full precision.

    y = x dequantise(codes)^T + update(x)

No gradient goes to the codes. The gradient with respect to x needs the matrix once more, in the
backward pass; it is dequantised again, so that no layer keeps a full copy of its matrix in between.
That second time is what QLoRA pays for its memory.

Shape letters: B batch, T positions, d_in, d_out widths of a matrix.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from minillm.finetune.lora import apply_lora
from minillm.finetune.nf4 import BLOCK, NF4, dequantise_nf4, quantise_nf4
from minillm.finetune.parts import freeze, parts_of, refuse_experts, replace
from minillm.model import Decoder
from minillm.model.layers import Linear


class _Product(torch.autograd.Function):
    """x W^T + b for a W that is computed when it is needed, and not kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: "NF4Linear") -> Tensor:
        ctx.layer, ctx.dtype = layer, x.dtype
        return F.linear(x, layer.weight.to(x.dtype), layer.bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return (grad @ ctx.layer.weight.to(grad.dtype)).to(ctx.dtype), None


class NF4Linear(nn.Module):
    """A frozen linear layer whose matrix is kept in four bits a number.

        y = x dequantise(codes)^T + b

    Args:
        base: the layer to quantise; its matrix is not kept.
        block: numbers in a block.
        double: quantise the scales of the blocks, too.

    Cost: nf4_bits(...) / 8 bytes a weight; the matrix is dequantised once forward and once
        backward.
    Source: Dettmers et al. 2023, arXiv:2305.14314, section 3, eqs. 5 and 6.
    Lesson: notebooks/32_peft.ipynb
    """

    packed: Tensor
    scales: Tensor
    outer: Tensor | None
    mean: Tensor | None

    def __init__(self, base: Linear, *, block: int = BLOCK, double: bool = True) -> None:
        super().__init__()
        self.d_in, self.d_out, self.block = base.d_in, base.d_out, block
        self.dtype = base.weight.dtype
        self.bias = base.bias
        if self.bias is not None:
            self.bias.requires_grad_(False)
        q = quantise_nf4(base.weight, block=block, double=double)
        for name in ("packed", "scales", "outer", "mean"):
            self.register_buffer(name, getattr(q, name))

    def quantised(self) -> NF4:
        """Give the matrix as it is kept."""
        shape = (self.d_out, self.d_in)
        return NF4(self.packed, self.scales, self.outer, self.mean, shape, self.block)

    @property
    def weight(self) -> Tensor:
        """The matrix that the codes stand for, (d_out, d_in): computed anew, not to be changed."""
        return dequantise_nf4(self.quantised(), self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., d_in) to (..., d_out)."""
        y: Tensor = _Product.apply(x, self)
        return y

    def extra_repr(self) -> str:
        """Say the widths and the bits when the module is printed."""
        bits = 8 * self.quantised().n_bytes() / (self.d_in * self.d_out)
        return f"{self.d_in}, {self.d_out}, {bits:.3f} bits a weight"


def quantise_model(model: Decoder, *, block: int = BLOCK, double: bool = True) -> Decoder:
    """Freeze a model and write the matrices of its blocks in four bits.

    Embedding, output matrix and norms stay as they are, as in QLoRA.

    Args:
        model: a Decoder without experts; changed in place.
        block, double: as in quantise_nf4.

    Returns:
        The model itself.

    Raises:
        ValueError: if there is no Linear left in the blocks, or the model has experts.

    Lesson: notebooks/32_peft.ipynb
    """
    refuse_experts(model)
    names = [f"blocks.{name}" for name, _ in parts_of(model.blocks, Linear)]
    if not names:
        raise ValueError("there is no Linear left in the blocks to quantise")
    freeze(model)
    replace(model, names, lambda base: NF4Linear(base, block=block, double=double))  # type: ignore[arg-type]
    return model


def apply_qlora(
    model: Decoder,
    targets: str | Iterable[str] = "all",
    *,
    rank: int = 8,
    alpha: float = 16.0,
    dropout: float = 0.0,
    block: int = BLOCK,
    double: bool = True,
) -> Decoder:
    """Quantise a model, and give it updates of low rank to train.

    Args:
        model: a Decoder without experts; changed in place.
        targets, rank, alpha, dropout: as in apply_lora. "all", every matrix, is what QLoRA found
            to matter most.
        block, double: as in quantise_nf4.

    Returns:
        The model itself.

    Raises:
        ValueError: as quantise_model and apply_lora do.

    Source: Dettmers et al. 2023, arXiv:2305.14314, section 3, eq. 5, and section 4.
    Lesson: notebooks/32_peft.ipynb
    """
    quantise_model(model, block=block, double=double)
    return apply_lora(model, targets, rank=rank, alpha=alpha, dropout=dropout)

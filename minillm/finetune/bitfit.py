"""BitFit: train the biases and nothing else.

GPT-2, BERT and Qwen2 have biases. LLaMA and all that came of it have almost none, and then there is
nothing to train; `add=True` gives each linear layer of the blocks one, which starts at zero.
"""

from torch import Tensor, nn

from minillm.finetune.parts import freeze, parts_of, refuse_experts, replace
from minillm.model import Decoder
from minillm.model.layers import Linear


class Biased(nn.Module):
    """A linear layer that was made without a bias, and a bias, zero at the start.

        y = x W^T + b

    Args:
        base: a Linear without a bias.

    Raises:
        ValueError: if it has a bias.

    Lesson: notebooks/32_peft.ipynb
    """

    def __init__(self, base: Linear) -> None:
        super().__init__()
        if base.bias is not None:
            raise ValueError("the layer has a bias already; train that one")
        self.base, self.d_in, self.d_out = base, base.d_in, base.d_out
        self.bias = nn.Parameter(base.weight.detach().new_zeros(base.d_out))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., d_in) to (..., d_out)."""
        y: Tensor = self.base(x) + self.bias
        return y


def only_biases(model: Decoder, *, add: bool = False) -> Decoder:
    """Freeze everything but the biases: those of linear layers, and those of LayerNorm.

    Args:
        model: a Decoder; changed in place.
        add: give a bias, zero at the start, to each linear layer of the blocks that has none.

    Returns:
        The model itself.

    Raises:
        ValueError: if there is no bias in the model, and none was added; or if some shall be added
            to experts, whose matrices are read past the layers.

    Source: Ben Zaken et al. 2021, arXiv:2106.10199, section 3.
    Lesson: notebooks/32_peft.ipynb
    """
    if add:
        refuse_experts(model)
        bare = [
            f"blocks.{name}" for name, part in parts_of(model.blocks, Linear) if part.bias is None
        ]
        replace(model, bare, lambda part: Biased(part))  # type: ignore[arg-type]
    freeze(model)
    biases = [name for name, _ in model.named_parameters() if name.rpartition(".")[2] == "bias"]
    if not biases:
        raise ValueError("the model has no biases, as all of LLaMA's kind; pass add=True")
    for name in biases:
        model.get_parameter(name).requires_grad_(True)
    return model

"""The loss of a text with the losses of the routers added: what a model with experts trains on."""

from torch import Tensor, nn

from minillm.model import router_loss
from minillm.objectives.causal import causal_loss


def routed_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Add what keeps the experts in balance to the surprise at the next tokens.

        loss = causal_loss + sum over layers of (balance_coef balance_loss + z_coef z_loss)

    To train a model with experts: train(..., objective=routed_loss). To measure one, causal_loss.

    Args:
        model: a Decoder; without experts the second part is 0.
        x: token ids, (B, T).
        y: the same text one position later, (B, T); -100 where a position does not count.

    Returns:
        A scalar; its first part alone is nats a token.

    Raises:
        ValueError: if x and y differ in shape.

    Source: Fedus et al. 2021 (Switch), arXiv:2101.03961, section 2.2.
    Lesson: notebooks/17_experts.ipynb
    """
    return causal_loss(model, x, y) + router_loss(model)

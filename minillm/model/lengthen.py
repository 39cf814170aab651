"""The same weights for longer texts: a copy of a decoder with another scaling of its RoPE."""

import dataclasses

from minillm.model.decoder import Decoder
from minillm.model.long_rope import RopeScaling


def lengthen(model: Decoder, scaling: RopeScaling | None, context: int | None = None) -> Decoder:
    """Copy a decoder, and scale the RoPE of the copy.

    No weight is changed or added: scaling only decides how fast the pairs turn. A fine-tune of the
    copy leaves the original as it is.

    Args:
        model: a decoder with RoPE (with another kind of position only scaling None is possible).
        scaling: the method and its settings; None takes RoPE as it was trained.
        context: what the copy calls its context; None keeps that of the model. Decoding goes no
            further than that.

    Returns:
        A decoder with weights of its own, in training or evaluation mode as the model is.

    Raises:
        ValueError: if the positions cannot be scaled so, or context < 1; or if positions are
            learned, as there are no rows beyond the table.

    Lesson: notebooks/15_long_context.ipynb
    """
    old = model.config
    length = old.context if context is None else context
    if old.position.kind == "learned" and length != old.context:
        raise ValueError(
            f"learned positions end at {old.context}: there is no row for context={length}"
        )
    config = dataclasses.replace(
        old, context=length, position=dataclasses.replace(old.position, scaling=scaling)
    )
    weight = model.embedding.weight
    copy = Decoder(config, device=weight.device, dtype=weight.dtype)
    copy.load_state_dict(model.state_dict())
    return copy.train(model.training)

"""What every way of decoding asks of a prompt, said once.

Shape letters: B batch, T prompt length.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from minillm.model import DecoderConfig


def check_prompt(model: nn.Module, ids: Tensor, max_new_tokens: int) -> None:
    """Refuse a prompt that is none, or that does not fit with what is to follow.

    Args:
        model: a Decoder knows its context; other models have no limit that could be seen.
        ids: the prompts, (B, T).
        max_new_tokens: how many may follow.

    Raises:
        ValueError: if ids are not (B, T) with at least one token, max_new_tokens is negative, or
            T + max_new_tokens is more than the context.

    Lesson: notebooks/19_decoding.ipynb
    """
    if ids.ndim != 2 or 0 in ids.shape:
        raise ValueError(f"ids must be (B, T) with at least one token, got {tuple(ids.shape)}")
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must not be negative, got {max_new_tokens}")
    config = getattr(model, "config", None)
    if isinstance(config, DecoderConfig) and ids.shape[1] + max_new_tokens > config.context:
        raise ValueError(
            f"a prompt of {ids.shape[1]} tokens and {max_new_tokens} new ones do not fit in the "
            f"context of {config.context}; shorten the prompt, or ask for fewer"
        )


def one_prompt(model: nn.Module, ids: Tensor | Sequence[int]) -> Tensor:
    """Bring one prompt into the shape and onto the device that the model reads.

    Args:
        model: where its first parameter lives, the prompt goes.
        ids: a list of ids, (T,) or (1, T).

    Returns:
        Ids, (1, T).

    Raises:
        ValueError: if there is more than one row.

    Lesson: notebooks/19_decoding.ipynb
    """
    prompt = torch.as_tensor(ids)
    prompt = prompt[None] if prompt.ndim == 1 else prompt  # (1, T)
    if prompt.ndim != 2 or prompt.shape[0] != 1:
        raise ValueError(f"this continues one prompt, got ids of shape {tuple(prompt.shape)}")
    return prompt.to(next((p.device for p in model.parameters()), None))

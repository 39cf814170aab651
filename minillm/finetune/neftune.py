"""NEFTune: while instructions are learned, each embedding is shaken a little.

Shape letters: B batch, T positions, D model width.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def embedding_noise(
    x: Tensor,
    alpha: float,
    *,
    lengths: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw noise for embedded texts.

        noise[b, t, d] = alpha / sqrt(L_b D) u,        u uniform on [-1, 1)

    A text of L tokens has L D numbers of variance 1/3, so the noise of a whole text has a length of
    about alpha / sqrt(3), however long the text is.

    Args:
        x: embeddings, (B, T, D); their shape, dtype and device are taken.
        alpha: strength; the paper tries 5, 10 and 15.
        lengths: L, tokens of each text without padding, (B,); None means T.
        generator: None draws from torch's own.

    Returns:
        Noise, (B, T, D), without gradient.

    Raises:
        ValueError: if x is not (B, T, D), alpha is negative, or lengths are not B numbers of at
            least 1.

    Source: Jain et al. 2023, arXiv:2310.05914, algorithm 1.
    Lesson: notebooks/28_instructions.ipynb
    """
    if x.ndim != 3:
        raise ValueError(f"x must be (B, T, D), got {tuple(x.shape)}")
    if not (math.isfinite(alpha) and alpha >= 0):
        raise ValueError(f"alpha must be finite and not negative, got {alpha}")
    B, T, D = x.shape
    lengths = torch.full((B,), T, device=x.device) if lengths is None else lengths
    if lengths.shape != (B,) or (B and int(lengths.min()) < 1):
        raise ValueError(f"lengths must be {B} numbers of at least 1, got {lengths.tolist()}")
    u = torch.empty(x.shape, dtype=x.dtype, device=x.device).uniform_(-1, 1, generator=generator)
    return u * (alpha / (lengths * D).to(x.dtype).sqrt())[:, None, None]


@contextmanager
def neftune(
    model: nn.Module,
    alpha: float,
    *,
    pad_id: int | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[None]:
    """Shake the embeddings of a model while it trains; in evaluation mode nothing happens.

        with neftune(model, alpha=5):
            train(...)

    Args:
        model: has an `embedding`, as a Decoder.
        alpha: see `embedding_noise`. 0 changes nothing and draws nothing.
        pad_id: tokens of this id do not count for the length of a text. None counts all places, as
            the libraries do: then a row of many short texts, or with padding, is shaken less.
        generator: None draws from torch's own, which a checkpoint of the train loop keeps.

    Raises:
        ValueError: if alpha is negative, or the model has no embedding.

    Source: Jain et al. 2023, arXiv:2310.05914, section 2.
    Lesson: notebooks/28_instructions.ipynb
    """
    if not (math.isfinite(alpha) and alpha >= 0):
        raise ValueError(f"alpha must be finite and not negative, got {alpha}")
    table = getattr(model, "embedding", None)
    if not isinstance(table, nn.Module):
        raise ValueError(f"{type(model).__name__} has no embedding that could be shaken")

    def shake(_: nn.Module, inputs: tuple[Tensor, ...], x: Tensor) -> Tensor:
        if not model.training or alpha == 0:
            return x
        lengths = None if pad_id is None else (inputs[0] != pad_id).sum(dim=1).clamp(min=1)
        return x + embedding_noise(x, alpha, lengths=lengths, generator=generator)

    hook = table.register_forward_hook(shake)
    try:
        yield
    finally:
        hook.remove()

"""Parts for experiments on loss spikes: batches from a broken file, and two remedies from outside.

Shape letters: B windows, T context, H width of a head.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.data.loader import BatchSampler
from minillm.model import Decoder


class PoisonedBatches:
    """Batches of prose, some of which come from a broken file.

    Args:
        inner: the healthy batches.
        first, n: the broken ones are at the places first .. first + n - 1.
        kind: what is in them, see `broken`.
        seed: of the noise.

    Attributes:
        place: of the next batch, counted over everything that was read or left out.
        n_read: batches that were read.

    Lesson: notebooks/21_stability.ipynb
    """

    def __init__(self, inner: BatchSampler, first: int, n: int, kind: str, seed: int) -> None:
        self.inner, self.first, self.n, self.kind, self.seed = inner, first, n, kind, seed
        self.place = self.n_read = 0

    def __iter__(self) -> "PoisonedBatches":
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        x, y = next(self.inner)
        if self.first <= self.place < self.first + self.n:
            x, y = broken(x, y, self.kind, 1000 * self.seed + self.place)
        self.place, self.n_read = self.place + 1, self.n_read + 1
        return x, y

    def skip(self, n: int) -> None:
        """Leave batches out without reading them."""
        self.inner.skip(n)
        self.place += n


def broken(x: Tensor, y: Tensor, kind: str, seed: int) -> tuple[Tensor, Tensor]:
    """Replace a batch, (B, T) each, by one from a broken file.

    Args:
        x, y: the healthy batch.
        kind: "noise": random bytes, as in a file that is no text; "constant": one rare byte again
            and again, as in a file that was never filled; "shifted": the text with every target
            one byte value too high, as after a mistake in a tokenizer.
        seed: of the noise.

    Raises:
        ValueError: if the kind is unknown.

    Lesson: notebooks/21_stability.ipynb
    """
    if kind == "shifted":
        return x, (y + 1) % 256
    if kind == "constant":
        return torch.zeros_like(x), torch.zeros_like(y)
    if kind != "noise":
        raise ValueError(f"kind must be 'noise', 'constant' or 'shifted', got {kind!r}")
    rows = torch.randint(256, (x.shape[0], x.shape[1] + 1), generator=_generator(seed))
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def norm_queries_and_keys(model: Decoder) -> None:
    """Divide every query and key by its root mean square, head by head (QK-norm).

    No score can then be larger than sqrt(H). Done by hooks, from outside; without the gain that the
    source learns.

    Source: Dehghani et al. 2023, arXiv:2302.05442, section 2.
    Lesson: notebooks/21_stability.ipynb
    """
    H = model.config.head_width

    def normed(_: nn.Module, __: Any, out: Tensor) -> Tensor:
        return F.rms_norm(out.unflatten(-1, (-1, H)), (H,)).flatten(-2)

    for block in model.blocks:
        block.attention.q.register_forward_hook(normed)  # type: ignore[union-attr]
        block.attention.k.register_forward_hook(normed)  # type: ignore[union-attr]


def z_loss(model: nn.Module, x: Tensor, y: Tensor, weight: float = 1e-4) -> Tensor:
    """Cross-entropy, plus weight times the mean of log^2 Z, Z the sum under the softmax.

    Source: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5, with this weight.
    Lesson: notebooks/21_stability.ipynb
    """
    logits = model(x)  # (B, T, V)
    log_z = logits.logsumexp(dim=-1)  # (B, T)
    return F.cross_entropy(logits.flatten(0, 1), y.flatten()) + weight * log_z.square().mean()

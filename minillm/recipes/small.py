"""Small models for experiments about text: one call trains, one call measures.

The lessons on data ask again and again: what does this change of the *text* do to the model? So
everything else is held fixed here: one shape, one recipe, a given number of steps. A run is kept
below a fixed number of operations, so that five seeds of a few settings stay affordable on two
slow cores.

Shape letters: B batch, T context.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from minillm.data.loader import BatchSampler
from minillm.model import Decoder
from minillm.objectives import bits_per_byte, causal_loss, fast_cross_entropy
from minillm.recipes.runs import decoder
from minillm.train import OptimizerConfig, TrainConfig, train
from minillm.train.loop import Objective

BYTE_END = 256
"""End of text in the vocabulary of bytes (`byte_ids`), which has 257 entries."""
N_BYTES_VOCAB = 257

MAX_FLOPS = 1.5e11
"""Most that one run of `train_small` may cost: some 5 s of a fast core, 30 s of a busy slow one."""

Encode = Callable[[str], Sequence[int]]


@dataclass(frozen=True)
class SmallConfig:
    """Shape and recipe of a small model.

    Attributes:
        vocab_size: entries of the vocabulary, the end-of-text token among them.
        d_model, n_layers, n_heads, context: the shape; see `recipes.decoder`.
        steps, batch_size: the run reads steps * batch_size * context tokens.
        lr, warmup_steps: the largest learning rate, and the steps on which it rises.
    """

    vocab_size: int = N_BYTES_VOCAB
    d_model: int = 64
    n_layers: int = 2
    n_heads: int = 4
    context: int = 64
    steps: int = 300
    batch_size: int = 8
    lr: float = 5e-3
    warmup_steps: int = 20

    @property
    def flops(self) -> float:
        """Operations of the run, 6 N D with the output matrix counted in N (lesson 25)."""
        width = -(-8 * self.d_model // 3 // 16) * 16
        n = self.n_layers * (4 * self.d_model**2 + 3 * self.d_model * width)
        n += -(-self.vocab_size // 128) * 128 * self.d_model
        return 6.0 * n * self.steps * self.batch_size * self.context


def encode_bytes(text: str) -> list[int]:
    """Take the UTF-8 bytes of a text as its tokens."""
    return list(text.encode("utf-8", "replace"))


def stream(texts: Iterable[str], encode: Encode = encode_bytes, end: int = BYTE_END) -> np.ndarray:
    """Lay texts into one row of tokens, an end-of-text token before each and at the very end.

    Returns:
        (N,), int64.
    """
    ids = [end]
    for text in texts:
        ids += [*encode(text), end]
    return np.array(ids, dtype=np.int64)


def make_small(config: SmallConfig, seed: int) -> Decoder:
    """Build a small model with weights drawn from a seed."""
    torch.manual_seed(seed)
    return Decoder(
        decoder(
            config.vocab_size,
            d_model=config.d_model,
            n_layers=config.n_layers,
            n_heads=config.n_heads,
            context=config.context,
        )
    )


def train_small(
    tokens: np.ndarray | Iterable[tuple[Tensor, Tensor]],
    seed: int,
    *,
    config: SmallConfig | None = None,
    model: Decoder | None = None,
    evaluate: Callable[[Decoder], float] | None = None,
    eval_every: int = 0,
    losses: list[float] | None = None,
    objective: Objective = causal_loss,
) -> Decoder:
    """Train a small model on a row of tokens, on one thread.

    Args:
        tokens: (N,) ids, read in windows whose order comes from the seed; or ready batches
            (x, y) without end.
        seed: of the weights and of the order.
        config: shape and recipe.
        model: go on from this one (changed in place) instead of fresh weights.
        evaluate: called with the model every eval_every steps and at the end.
        losses: a list to which the loss of every step is added, nats a token.
        objective: what is made small; routed_loss for a model with experts.

    Returns:
        The trained model, in evaluation mode.

    Raises:
        ValueError: if there are fewer tokens than one window, or the run would cost more than
            MAX_FLOPS.

    Cost: `config.flops`; the default is 1.1e11.
    Lesson: notebooks/02_sources.ipynb
    """
    config = config or SmallConfig()
    if config.flops > MAX_FLOPS:
        raise ValueError(
            f"this run would cost {config.flops:.1e} FLOPs, at most {MAX_FLOPS:.1e} are allowed: "
            "take fewer steps, a smaller batch, a shorter context or a narrower model"
        )
    torch.set_num_threads(1)
    batches: Iterable[tuple[Tensor, Tensor]] = (
        BatchSampler(tokens, config.batch_size, config.context, seed=seed)
        if isinstance(tokens, np.ndarray)
        else tokens
    )
    model = make_small(config, seed) if model is None else model
    settings = TrainConfig(
        steps=config.steps,
        batch_size=config.batch_size,
        context=config.context,
        warmup_steps=min(config.warmup_steps, config.steps - 1),
        log_every=0,
        eval_every=eval_every,
        precision="float32",
    )
    train(
        model,
        batches,
        settings,
        optimizer=OptimizerConfig(lr=config.lr, weight_decay=0.1),
        evaluate=evaluate,  # type: ignore[arg-type]
        log=lambda record: losses.append(record["loss"]) if losses is not None else None,
        objective=objective,
        progress=False,
    )
    return model.eval()


@torch.no_grad()
def bits_on(
    model: Decoder,
    texts: Sequence[str],
    encode: Encode = encode_bytes,
    end: int = BYTE_END,
    *,
    batch_size: int = 64,
) -> float:
    """Measure a model on texts: bits per byte, so that tokenizers can be compared.

    Each text starts behind an end-of-text token, as in training, and is read in pieces of the
    model's context. Its end is predicted too; the end mark itself counts no bytes.

    Args:
        model: the model.
        texts: at least one byte in all.
        encode, end: the tokens that the model was trained on.
        batch_size: pieces read at a time.

    Raises:
        ValueError: if the texts hold no byte.

    Lesson: notebooks/02_sources.ipynb
    """
    T = model.config.context
    pieces = []  # (x, y) padded to T, with -100 where nothing is asked
    for text in texts:
        ids = [end, *encode(text), end]
        for start in range(0, len(ids) - 1, T):
            piece = ids[start : start + T + 1]
            fill = T + 1 - len(piece)
            x, y = piece[:-1] + [0] * fill, piece[1:] + [-100] * fill
            pieces.append((x, y))
    nats = 0.0
    was_training = model.training
    model.eval()
    for first in range(0, len(pieces), batch_size):
        rows = torch.tensor(pieces[first : first + batch_size])  # (B, 2, T)
        logits = model(rows[:, 0])  # (B, T, V)
        nats += fast_cross_entropy(logits, rows[:, 1], reduction="sum").item()
    model.train(was_training)
    return bits_per_byte(nats, sum(len(text.encode("utf-8", "replace")) for text in texts))

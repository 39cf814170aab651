"""Multi-token prediction: from each place say the next n tokens at once.

    text        1 2 3 4 5
    x           1 2 3 4
    targets     2 3 4 5          head 1: the next token, as ever
                3 4 5 -          head 2: the one after that

One trunk reads; each head is one block of its own on the trunk's last state; all share the output
matrix. After training the heads from 2 on may be thrown away, or used to guess ahead.

Shape letters: B batch, T positions, n tokens ahead, D model width, V vocabulary.
"""

import torch
from torch import Tensor, nn

from minillm.model.config import DecoderConfig, count_matrix_parameters
from minillm.model.decoder import check_ids
from minillm.model.initialise import initialise
from minillm.model.layers import Embedding, Linear
from minillm.model.stack import Stack
from minillm.objectives.fused import linear_cross_entropy
from minillm.objectives.masking import IGNORED


def ahead_targets(y: Tensor, n_ahead: int) -> Tensor:
    """Give each place the next n tokens.

        targets[..., t, i] = y[..., t + i], or -100 beyond the end

    Args:
        y: the text one position later, (..., T), as for causal_loss.
        n_ahead: n, at least 1.

    Returns:
        (..., T, n), in y's dtype; targets[..., 0] is y.

    Raises:
        ValueError: if n_ahead < 1.

    Lesson: notebooks/18_objectives.ipynb
    """
    if n_ahead < 1:
        raise ValueError(f"n_ahead must be at least 1, got {n_ahead}")
    T = y.shape[-1]
    place = torch.arange(T, device=y.device)[:, None] + torch.arange(n_ahead, device=y.device)
    ahead = y[..., place.clamp(max=T - 1)]  # (..., T, n)
    return ahead.masked_fill(place >= T, IGNORED)


class MultiTokenDecoder(nn.Module):
    """A decoder with n heads, each a block and a norm, above a trunk that is one block shorter.

        z = trunk(embedding[ids]);   logits_i = norm_i(block_i(z)) W^T,   i = 1 .. n

    So head 1 alone with the trunk is a Decoder of the same config.

    Args:
        config: of the model that head 1 makes; pre-norm, without a norm on the embedding, RoPE or
            ALiBi positions (others would be added again by every head), n_layers at least 2.
        n_ahead: n, at least 1.
        device, dtype: as in Decoder.

    Raises:
        ValueError: if n_ahead < 1 or the config is none of these.

    Cost: n - 1 more blocks and output products than the Decoder.
    Source: Gloeckle et al. 2024, arXiv:2404.19737, section 2. DeepSeek-V3 (2024),
        arXiv:2412.19437, section 2.2, has its heads in a chain instead: each also reads the
        token that the head before it had to predict.
    Lesson: notebooks/18_objectives.ipynb
    """

    def __init__(
        self,
        config: DecoderConfig,
        n_ahead: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        _check(config, n_ahead)
        self.config, self.n_ahead = config, n_ahead
        rows, D = config.padded_vocab_size, config.d_model
        with torch.device("meta"):
            self.embedding = Embedding(rows, D, dtype=dtype)
            self.trunk = Stack(config, n_layers=config.n_layers - 1, dtype=dtype)
            self.trunk.final_norm = nn.Identity()
            self.heads = nn.ModuleList(
                Stack(config, n_layers=1, dtype=dtype) for _ in range(n_ahead)
            )
            self.head = None if config.tie_embeddings else Linear(D, rows, dtype=dtype)
        self.to_empty(device=torch.get_default_device() if device is None else device)
        initialise(self, config)

    def forward(self, ids: Tensor) -> Tensor:
        """Predict the next token at each position, (B, T) ids to (B, T, V): head 1 alone."""
        return self.features(ids) @ self.output_matrix().mT

    def features(self, ids: Tensor) -> Tensor:
        """Compute the last state of head 1, (B, T, D)."""
        return self.features_ahead(ids, n_heads=1)[..., 0, :]

    def features_ahead(self, ids: Tensor, n_heads: int | None = None) -> Tensor:
        """Compute the last states of the first heads (None: all), (B, T, n, D)."""
        check_ids(ids, self.config.vocab_size)
        z = self.trunk.run(self.embedding(ids))  # (B, T, D)
        heads = list(self.heads)[:n_heads]
        return torch.stack([head.run(z) for head in heads], dim=2)  # type: ignore[operator]

    def output_matrix(self) -> Tensor:
        """Give the matrix of the logits, (V, D), without the rows that pad the vocabulary."""
        weight: Tensor = self.embedding.weight if self.head is None else self.head.weight
        return weight[: self.config.vocab_size]


def multi_token_loss(model: MultiTokenDecoder, x: Tensor, y: Tensor) -> Tensor:
    """Sum over the heads of the mean surprise at the token that each has to say.

        loss = sum over i of mean over t of -log p_i(y[t + i - 1] | x[:t + 1])

    Args:
        model: with n heads.
        x: token ids, (B, T).
        y: the same text one position later, (B, T); -100 where a position does not count.

    Returns:
        A scalar; for n = 1 that of causal_loss, in nats a token.

    Raises:
        ValueError: if x and y differ in shape.

    Cost: the logits of a head are never stored together with those of another.
    Source: Gloeckle et al. 2024, arXiv:2404.19737, section 2.
    Lesson: notebooks/18_objectives.ipynb
    """
    if x.shape != y.shape:
        raise ValueError(f"x and y must have one shape, got {tuple(x.shape)} and {tuple(y.shape)}")
    targets = ahead_targets(y, model.n_ahead)  # (B, T, n)
    states, matrix = model.features_ahead(x), model.output_matrix()
    losses = [
        linear_cross_entropy(states[:, :, i], matrix, targets[..., i].contiguous())
        for i in range(model.n_ahead)
    ]
    return torch.stack(losses).sum()


def multi_token_flops(config: DecoderConfig, n_ahead: int, context: int) -> int:
    """Count the operations of training on one token, as flops_per_token does: n more of the last
    block and of the output."""
    blocks = count_matrix_parameters(config) // config.n_layers
    n_blocks = config.n_layers - 1 + n_ahead
    output = n_ahead * config.vocab_size * config.d_model
    pairs = n_blocks * config.attention.n_heads * config.head_width * context
    return 6 * (blocks * n_blocks + output) + 12 * pairs


def _check(config: DecoderConfig, n_ahead: int) -> None:
    if n_ahead < 1:
        raise ValueError(f"n_ahead must be at least 1, got {n_ahead}")
    if config.n_layers < 2:
        raise ValueError(f"n_layers must be at least 2, a trunk and a head; got {config.n_layers}")
    if config.position.kind not in ("rope", "alibi", "none"):
        raise ValueError(f"position.kind must be rope, alibi or none, got {config.position.kind!r}")
    if config.norm.place != "pre" or config.norm.embedding or config.norm.head:
        raise ValueError("the norm must be before each part, with none on embedding or output")

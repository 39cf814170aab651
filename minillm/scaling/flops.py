"""Parameters and FLOPs of a decoder, counted from plain numbers.

Two habits of counting divide the literature: with or without embeddings, and with or without the
output matrix and attention. For large models they agree to some percent. For small ones they
differ by factors, and exponents with them. minillm.model.config counts the same from a config.
"""

from dataclasses import dataclass

from minillm.scaling.checks import positive


@dataclass(frozen=True)
class DecoderShape:
    """The numbers that a count needs.

    Attributes:
        n_layers, d_model, d_ff: depth, width, and inner width of the feed-forward layer.
        vocab_size: rows of the embedding.
        context: tokens a sequence.
        n_heads, head_width: of the queries; head_width None means d_model / n_heads.
        n_kv_heads: None means n_heads.
        gated: whether the feed-forward layer has three matrices instead of two.
        tied: whether the output matrix is the embedding.
    """

    n_layers: int
    d_model: int
    d_ff: int
    vocab_size: int
    context: int
    n_heads: int = 1
    head_width: int | None = None
    n_kv_heads: int | None = None
    gated: bool = False
    tied: bool = True

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not isinstance(value, bool):
                positive(name, value)

    @property
    def d_attention(self) -> int:
        """Width of all heads together."""
        return self.n_heads * (self.head_width or self.d_model // self.n_heads)


def kaplan_parameters(n_layers: int, d_model: int) -> int:
    """Count the usual decoder without embeddings: 12 n_layers d_model^2.

    4 d^2 for the projections of attention and 8 d^2 for a feed-forward layer of width 4 d.

    Source: Kaplan et al. 2020, arXiv:2001.08361, equation 2.1.
    Lesson: notebooks/25a_kaplan.ipynb
    """
    return 12 * n_layers * d_model**2


def non_embedding(shape: DecoderShape) -> int:
    """Count the matrices of all blocks, the N of Kaplan; no norms, no biases.

    Source: Kaplan et al. 2020, arXiv:2001.08361, table 1.
    Lesson: notebooks/25a_kaplan.ipynb
    """
    inner = shape.d_attention
    keys = inner * (shape.n_kv_heads or shape.n_heads) // shape.n_heads
    projections = 2 * shape.d_model * inner + 2 * shape.d_model * keys
    feedforward = (3 if shape.gated else 2) * shape.d_model * shape.d_ff
    return shape.n_layers * (projections + feedforward)


def embedding(shape: DecoderShape) -> int:
    """Count the embedding, and the output matrix where it is another one."""
    return shape.vocab_size * shape.d_model * (1 if shape.tied else 2)


def total_parameters(shape: DecoderShape) -> int:
    """Count all matrices, the N of Chinchilla; no norms, no biases."""
    return non_embedding(shape) + embedding(shape)


def kaplan_flops_per_token(n: float, n_layers: int, context: int, d_attention: int) -> float:
    """FLOPs of one token forward: 2 N + 2 n_layer n_ctx d_attn.

    The second term, attention's, is small for d_model far above context / 12. Of scores and
    averages the table counts one product over the whole context, which is what causal attention
    does with both on average: each looks at half.

    Args:
        n: parameters without embeddings.

    Source: Kaplan et al. 2020, arXiv:2001.08361, table 1 and equation 2.2.
    Lesson: notebooks/25a_kaplan.ipynb
    """
    return 2.0 * n + 2.0 * n_layers * context * d_attention


def exact_flops_per_token(shape: DecoderShape, *, causal: bool = False) -> float:
    """FLOPs of training on one token: every matrix product, forward and backward.

        3 (2 N + 2 V d + 4 n_layer n_ctx d_attn)

    Args:
        shape: of the decoder.
        causal: take half of attention's, for a kernel that skips what the mask hides.

    Returns:
        FLOPs; the forward pass is a third.

    Source: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, appendix B; the parts are those of
        Hoffmann et al. 2022, arXiv:2203.15556, appendix F.
    Lesson: notebooks/25a_kaplan.ipynb
    """
    attention = 4.0 * shape.n_layers * shape.context * shape.d_attention
    head = 2.0 * shape.vocab_size * shape.d_model
    return 3 * (2.0 * non_embedding(shape) + head + attention * (0.5 if causal else 1))


def six_nd(n: float, d: float) -> float:
    """The rule of thumb for a whole training run: C = 6 N D.

    2 FLOPs a parameter and token forward, 4 backward.

    Source: Kaplan et al. 2020, arXiv:2001.08361, section 2.1.
    Lesson: notebooks/25a_kaplan.ipynb
    """
    return 6.0 * n * d

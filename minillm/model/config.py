"""DecoderConfig: everything that decides the shape of a model, and what that shape costs.

- Wrong values are refused here, by name, before a single weight is made.
- Parameters and FLOPs are counted from the config alone, exactly, without building the model.
"""

from dataclasses import dataclass, field
from typing import Literal

from minillm.model.attention import AttentionConfig
from minillm.model.feedforward import FeedForwardConfig
from minillm.model.norm import NormConfig
from minillm.model.position import PositionConfig

PAD_VOCABULARY_TO = 128  # rows: matrix kernels are fastest on multiples of this


@dataclass(frozen=True)
class DecoderConfig:
    """The shape of a decoder.

    Attributes:
        vocab_size: V, ids the model knows; the table is padded to a multiple of 128 rows.
        d_model: D, width of the residual stream.
        n_layers: blocks.
        context: the longest sequence it is trained on; a hard limit only for learned positions.
        attention: heads.
        feedforward: kind and inner width.
        norm: kind, eps, and place.
        position: how the model knows where a token stands.
        tie_embeddings: use the embedding table as the output matrix, too.
        init_std: spread of the weights at the start.
        parallel: attention and feed-forward side by side behind one norm (GPT-J, PaLM, Falcon).
    """

    vocab_size: int
    d_model: int
    n_layers: int
    context: int
    attention: AttentionConfig
    feedforward: FeedForwardConfig
    norm: NormConfig = field(default_factory=NormConfig)
    position: PositionConfig = field(default_factory=PositionConfig)
    tie_embeddings: bool = True
    init_std: float = 0.02
    parallel: bool = False

    def __post_init__(self) -> None:
        for name in ("vocab_size", "d_model", "n_layers", "context"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.init_std > 0:
            raise ValueError(f"init_std must be positive, got {self.init_std}")
        if self.attention.head_width is None and self.d_model % self.attention.n_heads:
            raise ValueError(
                f"attention.n_heads={self.attention.n_heads} does not divide "
                f"d_model={self.d_model}; choose a divisor, or set attention.head_width"
            )
        if self.position.kind == "rope" and self.rotary_width % 2:
            share = self.position.rotary_share
            of = "the head width" if share == 1 else f"rotary_share={share} of the head width"
            raise ValueError(
                f"RoPE turns pairs, so {of} must be even, got {self.rotary_width} "
                f"(d_model={self.d_model}, n_heads={self.attention.n_heads})"
            )
        scaling = self.position.scaling
        if scaling is not None and scaling.kind in ("ntk", "dynamic") and self.rotary_width < 4:
            raise ValueError(
                f"position.scaling {scaling.kind!r} needs a fastest and a slowest pair, so at "
                f"least 4 turned coordinates a head, got {self.rotary_width}"
            )
        if self.position.kind == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"sinusoidal positions need an even d_model, got {self.d_model}")
        if self.parallel and self.norm.place != "pre":
            raise ValueError(f"a parallel block has norm.place 'pre', got {self.norm.place!r}")

    @property
    def head_width(self) -> int:
        """H: attention.head_width, or d_model / n_heads where that is None."""
        return self.attention.head_width or self.d_model // self.attention.n_heads

    @property
    def rotary_width(self) -> int:
        """How many coordinates of a head RoPE turns: rotary_share of the head width."""
        return int(self.head_width * self.position.rotary_share)

    @property
    def padded_vocab_size(self) -> int:
        """Rows of the embedding table: vocab_size rounded up to a multiple of 128."""
        return -(-self.vocab_size // PAD_VOCABULARY_TO) * PAD_VOCABULARY_TO


def count_matrix_parameters(config: DecoderConfig, *, active: bool = False) -> int:
    """Count the weights of all blocks that take part in matrix products, biases not included.

        n_layers (2 D N H + 2 D K H + m D F),   m = 3 for a gated feed-forward layer, else 2

    With experts m D F counts once for each expert, and the router adds D E.

    Args:
        config: the model.
        active: count only those that one token uses: k of the experts, and the shared ones.

    Returns:
        The count, without embedding, output matrix, norms and biases.

    Source: Kaplan et al. 2020, arXiv:2001.08361, table 1.
    Lesson: notebooks/10_shapes.ipynb
    """
    a, f, D = config.attention, config.feedforward, config.d_model
    projections = 2 * D * config.head_width * (a.n_heads + a.key_heads)
    inner = f.n_matrices * D * f.width * _n_experts(config, active)
    router = 0 if f.experts is None else D * f.experts.n_experts
    return config.n_layers * (projections + inner + router)


def count_parameters(config: DecoderConfig, *, active: bool = False) -> int:
    """Count every trained number of a model, exactly, without building it.

    The rows that pad the embedding to a multiple of 128 are not counted: they are never read.
    See count_padding. Tied weights count once.

    Args:
        config: the model.
        active: leave out the experts that a token does not use; without experts it is the same.

    Returns:
        The number of parameters, as papers state it: 6 738 415 616 for LLaMA-7B.

    Lesson: notebooks/10_shapes.ipynb
    """
    a, f, D = config.attention, config.feedforward, config.d_model
    norm = D if config.norm.kind == "rmsnorm" else 2 * D
    biases = 0
    if a.bias:
        biases += config.head_width * (a.n_heads + 2 * a.key_heads) + (D if a.bias is True else 0)
    if f.bias:
        biases += (f.width * (f.n_matrices - 1) + D) * _n_experts(config, active)
    tables = config.vocab_size * D * (1 if config.tie_embeddings else 2)
    if config.position.kind == "learned":
        tables += config.context * D
    if config.position.kind == "t5":
        tables += config.position.n_buckets * a.n_heads
    n_norms = {"sandwich": 4}.get(config.norm.place, 1 if config.parallel else 2)
    outside = norm * (config.norm.ends_the_stack + config.norm.embedding)
    blocks = count_matrix_parameters(config, active=active)
    return tables + blocks + config.n_layers * (n_norms * norm + biases) + outside


def _n_experts(config: DecoderConfig, active: bool) -> int:
    """Feed-forward layers of a block: 1 without experts."""
    e = config.feedforward.experts
    if e is None:
        return 1
    return e.n_active if active else e.n_experts + e.n_shared


def count_padding(config: DecoderConfig) -> int:
    """Count the numbers in the rows that pad the vocabulary to a multiple of 128.

    Args:
        config: the model.

    Returns:
        Numbers that take memory, are never read, and do not count as parameters.

    Lesson: notebooks/10_shapes.ipynb
    """
    rows = config.padded_vocab_size - config.vocab_size
    return rows * config.d_model * (1 if config.tie_embeddings else 2)


def flops_per_token(
    config: DecoderConfig,
    *,
    context: int | None = None,
    convention: Literal["matrix", "kaplan"] = "matrix",
) -> int:
    """Count the floating-point operations that training spends on one token.

        "matrix":  6 (block matrices + output matrix) + 12 n_layers N H T
        "kaplan":  6 (block matrices)

    Each weight of a matrix costs a multiplication and an addition forward, and twice that
    backward. Attention costs 4 N H T forward for scores and averages over all T positions of the
    context; that causality hides half of them is not deducted, as in the PaLM paper. "kaplan" is
    the N of C = 6 N D: it leaves out the output matrix and the attention, which is far off for
    small models. Norms, biases and the embedding look-up are left out of both. Of several experts
    only those are counted that a token uses.

    Args:
        config: the model.
        context: T, the length of the sequences; None means config.context. Read by "matrix" only.
        convention: "matrix" or "kaplan".

    Returns:
        FLOPs a token, forward and backward together; the forward pass alone is a third.

    Raises:
        ValueError: if context is smaller than 1 or the convention is unknown.

    Source: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, appendix B; Kaplan et al. 2020,
        arXiv:2001.08361, section 2.1.
    Lesson: notebooks/10_shapes.ipynb
    """
    T = config.context if context is None else context
    if T < 1:
        raise ValueError(f"context must be at least 1, got {T}")
    blocks = count_matrix_parameters(config, active=True)
    if convention == "kaplan":
        return 6 * blocks
    if convention != "matrix":
        raise ValueError(f"convention must be 'matrix' or 'kaplan', got {convention!r}")
    attention = config.n_layers * config.attention.n_heads * config.head_width * T
    return 6 * (blocks + config.vocab_size * config.d_model) + 12 * attention


def kv_bytes_per_token(config: DecoderConfig, *, bytes_per_number: int = 2) -> int:
    """Count the bytes of the key/value cache that each token of each sequence takes.

        2 n_layers K H bytes_per_number

    Args:
        config: the model.
        bytes_per_number: 2 for bfloat16 and float16, 4 for float32.

    Returns:
        Bytes a token. LLaMA-7B in 16 bits: 524 288, half a megabyte.

    Raises:
        ValueError: if bytes_per_number is smaller than 1.

    Lesson: notebooks/16a_heads_and_cache.ipynb
    """
    if bytes_per_number < 1:
        raise ValueError(f"bytes_per_number must be at least 1, got {bytes_per_number}")
    return 2 * config.n_layers * config.attention.key_heads * config.head_width * bytes_per_number

"""Families of published models: what all sizes of a family share, as functions of their sizes.

Shape letters: D model width, V vocabulary.
"""

from minillm.model.attention import AttentionConfig
from minillm.model.config import DecoderConfig
from minillm.model.encoder_decoder import EncoderDecoderConfig
from minillm.model.feedforward import FeedForwardConfig
from minillm.model.norm import NormConfig
from minillm.model.position import PositionConfig


def llama(
    *,
    d_model: int,
    n_layers: int,
    n_heads: int,
    width: int,
    n_kv_heads: int | None = None,
    vocab_size: int = 32000,
    context: int = 2048,
    eps: float = 1e-6,
    position: PositionConfig | None = None,
) -> DecoderConfig:
    """Describe a model of the LLaMA family: RMSNorm before each part, SwiGLU, RoPE, no biases.

    Args:
        d_model: D.
        n_layers: blocks.
        n_heads: query heads.
        width: inner width of the feed-forward layer.
        n_kv_heads: key/value heads; None means n_heads.
        vocab_size: V.
        context: longest training sequence.
        eps: of the norms.
        position: None means RoPE with base 10 000.

    Returns:
        The config, with an output matrix of its own.

    Source: Touvron et al. 2023, arXiv:2302.13971, section 2.2.
    Lesson: notebooks/10_shapes.ipynb
    """
    return DecoderConfig(
        vocab_size=vocab_size,
        d_model=d_model,
        n_layers=n_layers,
        context=context,
        attention=AttentionConfig(n_heads=n_heads, n_kv_heads=n_kv_heads),
        feedforward=FeedForwardConfig("swiglu", width),
        norm=NormConfig("rmsnorm", eps),
        position=PositionConfig("rope") if position is None else position,
        tie_embeddings=False,
    )


def gpt2(*, d_model: int, n_layers: int, n_heads: int) -> DecoderConfig:
    """Describe a model of the GPT-2 family: LayerNorm, GeLU (tanh form), learned positions, biases.

    Args:
        d_model: D.
        n_layers: blocks.
        n_heads: heads.

    Returns:
        The config, with the embedding tied to the output.

    Source: Radford et al. 2019 (GPT-2), section 2.3 and table 2.
    Lesson: notebooks/10_shapes.ipynb
    """
    return DecoderConfig(
        vocab_size=50257,
        d_model=d_model,
        n_layers=n_layers,
        context=1024,
        attention=AttentionConfig(n_heads=n_heads, bias=True),
        feedforward=FeedForwardConfig("gelu_tanh", 4 * d_model, bias=True),
        norm=NormConfig("layernorm", 1e-5),
        position=PositionConfig("learned"),
        tie_embeddings=True,
    )


def bloom(*, d_model: int, n_layers: int, n_heads: int) -> DecoderConfig:
    """Describe a model of the BLOOM family: ALiBi, a norm on the embedding, else as GPT-2.

    Args:
        d_model: D.
        n_layers: blocks.
        n_heads: heads; ALiBi's slopes are defined for any number.

    Returns:
        The config, with the embedding tied to the output.

    Source: BigScience 2022 (BLOOM), arXiv:2211.05100, section 3.2 and table 3.
    Lesson: notebooks/41_case_studies.ipynb
    """
    return DecoderConfig(
        vocab_size=250880,
        d_model=d_model,
        n_layers=n_layers,
        context=2048,
        attention=AttentionConfig(n_heads=n_heads, bias=True),
        feedforward=FeedForwardConfig("gelu_tanh", 4 * d_model, bias=True),
        norm=NormConfig("layernorm", 1e-5, embedding=True),
        position=PositionConfig("alibi"),
        tie_embeddings=True,
    )


def qwen2(
    *, d_model: int, n_layers: int, n_heads: int, n_kv_heads: int, width: int, vocab_size: int
) -> DecoderConfig:
    """Describe a model of the Qwen2 family: LLaMA with biases on q, k and v and a slower RoPE.

    Args:
        d_model: D.
        n_layers: blocks.
        n_heads, n_kv_heads: query heads, and key/value heads.
        width: inner width of the feed-forward layer.
        vocab_size: V, with the rows that the released files pad it by.

    Returns:
        The config; the small models tie the embedding to the output, the large ones do not.

    Source: Yang et al. 2024 (Qwen2), arXiv:2407.10671, section 2.2.1 and table 1.
    Lesson: notebooks/41_case_studies.ipynb
    """
    return DecoderConfig(
        vocab_size=vocab_size,
        d_model=d_model,
        n_layers=n_layers,
        context=131072,
        attention=AttentionConfig(n_heads=n_heads, n_kv_heads=n_kv_heads, bias="qkv"),
        feedforward=FeedForwardConfig("swiglu", width),
        norm=NormConfig("rmsnorm", 1e-6),
        position=PositionConfig("rope", 1e6),
        tie_embeddings=d_model < 2048,
    )


def glm(*, n_layers: int, vocab_size: int, context: int, eps: float) -> DecoderConfig:
    """Describe a 4096-wide model of the later GLM family, from ChatGLM2 on.

    RMSNorm before each part, SwiGLU, two key/value heads, biases on q, k and v, and RoPE on the
    first half of each head, in interleaved pairs.

    Args:
        n_layers: blocks.
        vocab_size: V, with the rows that the released files pad it by.
        context: longest training sequence.
        eps: of the norms.

    Returns:
        The config, with an output matrix of its own.

    Source: Team GLM 2024, arXiv:2406.12793, section 2.
    Lesson: notebooks/41_case_studies.ipynb
    """
    return DecoderConfig(
        vocab_size=vocab_size,
        d_model=4096,
        n_layers=n_layers,
        context=context,
        attention=AttentionConfig(n_heads=32, n_kv_heads=2, bias="qkv"),
        feedforward=FeedForwardConfig("swiglu", 13696),
        norm=NormConfig("rmsnorm", eps),
        position=PositionConfig("rope", interleaved=True, rotary_share=0.5),
        tie_embeddings=False,
    )


def t5(
    *, d_model: int, n_layers: int, n_heads: int, width: int, gated: bool = False
) -> EncoderDecoderConfig:
    """Describe a model of the T5 family: two stacks, relative positions, RMSNorm, no biases.

    Args:
        d_model: D.
        n_layers: blocks of each stack.
        n_heads: heads, of width 64 whatever D is.
        width: inner width of the feed-forward layer.
        gated: v1.1, with GeGLU (tanh form) and an output matrix of its own; False: v1.0, with
            ReLU and one table.

    Returns:
        The config, with a vocabulary of 32 128 rows.

    Source: Raffel et al. 2019, arXiv:1910.10683, section 2.1; v1.1: Shazeer 2020, arXiv:2002.05202.
    Lesson: notebooks/10_shapes.ipynb
    """
    shape = DecoderConfig(
        vocab_size=32128,
        d_model=d_model,
        n_layers=n_layers,
        context=512,
        attention=AttentionConfig(n_heads=n_heads, head_width=64, scaled=False),
        feedforward=FeedForwardConfig("geglu_tanh" if gated else "relu", width),
        norm=NormConfig("rmsnorm", 1e-6),
        position=PositionConfig("t5"),
        tie_embeddings=not gated,
    )
    return EncoderDecoderConfig(shape, n_encoder_layers=n_layers)

"""Published models as configs: building one is a matter of minutes, counting one of microseconds.

Each function returns a DecoderConfig; `count_parameters(llama_7b())` is 6 738 415 616. Sizes stand
in the papers; eps, and the context of files later than the paper, in the released configurations.
"""

from collections.abc import Callable

from minillm.model.attention import AttentionConfig
from minillm.model.config import DecoderConfig
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


def llama_7b() -> DecoderConfig:
    """LLaMA-7B: 6 738 415 616 parameters. Touvron et al. 2023, arXiv:2302.13971, table 2."""
    return llama(d_model=4096, n_layers=32, n_heads=32, width=11008)


def llama_13b() -> DecoderConfig:
    """LLaMA-13B: 13 015 864 320 parameters. Touvron et al. 2023, arXiv:2302.13971, table 2."""
    return llama(d_model=5120, n_layers=40, n_heads=40, width=13824)


def llama_33b() -> DecoderConfig:
    """LLaMA-33B: 32 528 943 616 parameters. Touvron et al. 2023, arXiv:2302.13971, table 2."""
    return llama(d_model=6656, n_layers=60, n_heads=52, width=17920)


def llama_65b() -> DecoderConfig:
    """LLaMA-65B: 65 285 660 672 parameters. Touvron et al. 2023, arXiv:2302.13971, table 2."""
    return llama(d_model=8192, n_layers=80, n_heads=64, width=22016, eps=1e-5)


def llama2_7b() -> DecoderConfig:
    """LLaMA-2-7B: LLaMA-7B at twice the context. Touvron et al. 2023, arXiv:2307.09288."""
    return llama(d_model=4096, n_layers=32, n_heads=32, width=11008, context=4096, eps=1e-5)


def llama2_13b() -> DecoderConfig:
    """LLaMA-2-13B: LLaMA-13B at twice the context. Touvron et al. 2023, arXiv:2307.09288."""
    return llama(d_model=5120, n_layers=40, n_heads=40, width=13824, context=4096, eps=1e-5)


def llama2_70b() -> DecoderConfig:
    """LLaMA-2-70B: 68 976 648 192 parameters, 8 key heads. Touvron et al. 2023, arXiv:2307.09288.

    Its inner width is 8/3 D, times 1.3, rounded up to a multiple of 4096: 28 672.
    """
    return llama(
        d_model=8192,
        n_layers=80,
        n_heads=64,
        n_kv_heads=8,
        width=28672,
        context=4096,
        eps=1e-5,
    )


def tinyllama_1b() -> DecoderConfig:
    """TinyLlama: 1 100 048 384 parameters, 4 key heads. Zhang et al. 2024, arXiv:2401.02385."""
    return llama(d_model=2048, n_layers=22, n_heads=32, n_kv_heads=4, width=5632, eps=1e-5)


def baichuan_7b() -> DecoderConfig:
    """Baichuan-7B: 7 000 559 616 parameters; LLaMA with a vocabulary of 64 000."""
    return llama(d_model=4096, n_layers=32, n_heads=32, width=11008, vocab_size=64000, context=4096)


def baichuan_13b() -> DecoderConfig:
    """Baichuan-13B: 13 264 901 120 parameters; ALiBi in place of RoPE."""
    return llama(
        d_model=5120,
        n_layers=40,
        n_heads=40,
        width=13696,
        vocab_size=64000,
        context=4096,
        position=PositionConfig("alibi"),
    )


def gpt2_124m() -> DecoderConfig:
    """GPT-2 small: 124 439 808 parameters with its learned positions."""
    return gpt2(d_model=768, n_layers=12, n_heads=12)


def gpt2_355m() -> DecoderConfig:
    """GPT-2 medium: 354 823 168 parameters."""
    return gpt2(d_model=1024, n_layers=24, n_heads=16)


def gpt2_774m() -> DecoderConfig:
    """GPT-2 large: 774 030 080 parameters."""
    return gpt2(d_model=1280, n_layers=36, n_heads=20)


def gpt2_xl() -> DecoderConfig:
    """GPT-2 XL: 1 557 611 200 parameters."""
    return gpt2(d_model=1600, n_layers=48, n_heads=25)


PRESETS: dict[str, Callable[[], DecoderConfig]] = {
    make.__name__: make
    for make in (
        llama_7b,
        llama_13b,
        llama_33b,
        llama_65b,
        llama2_7b,
        llama2_13b,
        llama2_70b,
        tinyllama_1b,
        baichuan_7b,
        baichuan_13b,
        gpt2_124m,
        gpt2_355m,
        gpt2_774m,
        gpt2_xl,
    )
}

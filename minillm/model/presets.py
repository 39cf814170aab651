"""Published models as configs: building one is a matter of minutes, counting one of microseconds.

Each function returns a DecoderConfig, T5's an EncoderDecoderConfig; count_parameters(llama_7b()) is
6 738 415 616. What the sizes of a family share is in families.py. Sizes stand in the papers; eps,
and the context of files later than the paper, in the released configurations.
"""

import dataclasses
from collections.abc import Callable

from minillm.model.attention import AttentionConfig
from minillm.model.config import DecoderConfig
from minillm.model.encoder_decoder import EncoderDecoderConfig
from minillm.model.families import bloom, glm, gpt2, llama, qwen2, t5
from minillm.model.feedforward import FeedForwardConfig
from minillm.model.norm import NormConfig
from minillm.model.position import PositionConfig
from minillm.model.routing import ExpertsConfig


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


def baichuan2_7b() -> DecoderConfig:
    """Baichuan2-7B: 7 505 973 248 parameters; a larger vocabulary, and output rows of length 1.

    Source: Yang et al. 2023 (Baichuan 2), arXiv:2309.10305.
    """
    return _baichuan2(baichuan_7b())


def baichuan2_13b() -> DecoderConfig:
    """Baichuan2-13B: 13 896 668 160 parameters; as Baichuan-13B, with the same two changes."""
    return _baichuan2(baichuan_13b())


def _baichuan2(first: DecoderConfig) -> DecoderConfig:
    norm = dataclasses.replace(first.norm, head=True)
    return dataclasses.replace(first, vocab_size=125696, norm=norm)


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


def bloom_560m() -> DecoderConfig:
    """BLOOM-560M: 559 214 592 parameters, 257 M of them in the table of its 250 880 tokens."""
    return bloom(d_model=1024, n_layers=24, n_heads=16)


def bloom_176b() -> DecoderConfig:
    """BLOOM: 176 247 271 424 parameters; 112 heads. BigScience 2022, arXiv:2211.05100, table 3."""
    return bloom(d_model=14336, n_layers=70, n_heads=112)


def falcon_7b() -> DecoderConfig:
    """Falcon-7B: 6 921 720 704 parameters; a parallel block, 71 query heads and one key head.

    Source: Almazrouei et al. 2023, arXiv:2311.16867; the released configuration.
    """
    return DecoderConfig(
        vocab_size=65024,
        d_model=4544,
        n_layers=32,
        context=2048,
        attention=AttentionConfig(n_heads=71, n_kv_heads=1),
        feedforward=FeedForwardConfig("gelu", 4 * 4544),
        norm=NormConfig("layernorm", 1e-5),
        position=PositionConfig("rope"),
        tie_embeddings=True,
        parallel=True,
    )


def qwen2_0_5b() -> DecoderConfig:
    """Qwen2-0.5B: 494 032 768 parameters. Yang et al. 2024, arXiv:2407.10671, table 1."""
    return qwen2(d_model=896, n_layers=24, n_heads=14, n_kv_heads=2, width=4864, vocab_size=151936)


def qwen2_7b() -> DecoderConfig:
    """Qwen2-7B: 7 615 616 512 parameters. Yang et al. 2024, arXiv:2407.10671, table 1."""
    return qwen2(
        d_model=3584, n_layers=28, n_heads=28, n_kv_heads=4, width=18944, vocab_size=152064
    )


def mistral_7b() -> DecoderConfig:
    """Mistral-7B: 7 241 732 096 parameters; a window of 4096, over 32 layers a reach of 131 K.

    Source: Jiang et al. 2023, arXiv:2310.06825, table 1.
    """
    shape = llama(
        d_model=4096, n_layers=32, n_heads=32, n_kv_heads=8, width=14336, context=32768, eps=1e-5
    )
    return dataclasses.replace(shape, attention=dataclasses.replace(shape.attention, window=4096))


def mixtral_8x7b() -> DecoderConfig:
    """Mixtral 8x7B: 46 702 792 704 parameters, of which a token uses 12 879 925 248.

    Source: Jiang et al. 2024, arXiv:2401.04088, table 1: eight experts, two for each token.
    """
    shape = llama(
        d_model=4096,
        n_layers=32,
        n_heads=32,
        n_kv_heads=8,
        width=14336,
        context=32768,
        eps=1e-5,
        position=PositionConfig("rope", 1e6),
    )
    experts = FeedForwardConfig("swiglu", 14336, experts=ExpertsConfig(8, top_k=2))
    return dataclasses.replace(shape, feedforward=experts)


def chatglm2_6b() -> DecoderConfig:
    """ChatGLM2-6B: 6 243 584 000 parameters; a causal decoder, as all GLMs from this one on."""
    return glm(n_layers=28, vocab_size=65024, context=32768, eps=1e-5)


def glm4_9b() -> DecoderConfig:
    """GLM-4-9B: 9 399 951 360 parameters. Team GLM 2024, arXiv:2406.12793, section 2."""
    return glm(n_layers=40, vocab_size=151552, context=8192, eps=1.5625e-7)


def t5_small() -> EncoderDecoderConfig:
    """T5-small: 60 506 624 parameters. Raffel et al. 2019, arXiv:1910.10683, section 3.7."""
    return t5(d_model=512, n_layers=6, n_heads=8, width=2048)


def t5_base() -> EncoderDecoderConfig:
    """T5-base: 222 903 552 parameters. Raffel et al. 2019, arXiv:1910.10683, section 3.1.1."""
    return t5(d_model=768, n_layers=12, n_heads=12, width=3072)


def t5_v1_1_small() -> EncoderDecoderConfig:
    """T5 v1.1 small: 76 961 152 parameters; deeper and gated, with an output matrix of its own."""
    return t5(d_model=512, n_layers=8, n_heads=6, width=1024, gated=True)


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
        baichuan2_7b,
        baichuan2_13b,
        gpt2_124m,
        gpt2_355m,
        gpt2_774m,
        gpt2_xl,
        bloom_560m,
        bloom_176b,
        falcon_7b,
        qwen2_0_5b,
        qwen2_7b,
        mistral_7b,
        mixtral_8x7b,
        chatglm2_6b,
        glm4_9b,
    )
}

T5_PRESETS: dict[str, Callable[[], EncoderDecoderConfig]] = {
    make.__name__: make for make in (t5_small, t5_base, t5_v1_1_small)
}

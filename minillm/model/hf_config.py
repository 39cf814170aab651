"""The settings of models of transformers as a DecoderConfig, and back.

    rotary (this file)          llama, mistral, qwen2, mixtral, glm, glm4
    other (hf_config_more.py)   gpt2, bloom, falcon

What a Decoder cannot express is refused by name and value. Settings that only act in training
(dropout, the start of the weights, the coefficient of a balancing loss) are not translated.
"""

from collections.abc import Callable
from typing import Any, Literal

from minillm.model.attention import AttentionConfig
from minillm.model.config import DecoderConfig
from minillm.model.feedforward import FeedForwardConfig, FeedForwardKind
from minillm.model.hf_config_more import (
    Settings,
    bloom_settings,
    falcon_settings,
    from_bloom_settings,
    from_falcon_settings,
    from_gpt2_settings,
    gpt2_settings,
    look_up,
)
from minillm.model.hf_rope import read_rope, rope_settings
from minillm.model.norm import NormConfig
from minillm.model.position import PositionConfig
from minillm.model.routing import ExpertsConfig

GATED_ACTS: dict[str, FeedForwardKind] = {
    "silu": "swiglu",
    "gelu": "geglu",
    "gelu_pytorch_tanh": "geglu_tanh",
    "gelu_new": "geglu_tanh",
}
ROTARY = ("llama", "mistral", "qwen2", "mixtral", "glm", "glm4")
OTHERS: dict[str, Callable[[Settings], DecoderConfig]] = {
    "gpt2": from_gpt2_settings,
    "bloom": from_bloom_settings,
    "falcon": from_falcon_settings,
}


def config_from_transformers(settings: Settings) -> DecoderConfig:
    """Read the settings of a decoder of transformers, as in its config.json.

    Args:
        settings: the parsed config.json, or config.to_dict() of a model.

    Returns:
        The same model as a DecoderConfig.

    Raises:
        ValueError: if it is another kind of model, or uses something a Decoder cannot express.

    Lesson: notebooks/41_case_studies.ipynb
    """
    kind = settings.get("model_type")
    if kind in ROTARY:
        return _from_rotary_settings(settings, kind)
    if kind in OTHERS:
        return OTHERS[kind](settings)
    if kind == "t5":
        raise ValueError("model_type 't5' is an encoder-decoder: use the functions of hf_t5.py")
    raise ValueError(f"model_type must be one of {', '.join([*ROTARY, *OTHERS])}; got {kind!r}")


def config_to_transformers(config: DecoderConfig) -> Settings:
    """Write a DecoderConfig as the settings of a model of transformers.

    Args:
        config: RMSNorm, RoPE and a gated feed-forward layer (llama; with a window mistral, with
            biases on q, k, v qwen2, with experts mixtral, with part of a head turned glm, with
            sandwich norms glm4); or LayerNorm and a plain feed-forward layer (gpt2 with learned
            positions, bloom with ALiBi and a norm on the embedding, falcon with RoPE).

    Returns:
        Settings for AutoConfig.for_model, "model_type" among them, dropout switched off.

    Raises:
        ValueError: if none of them can express the config.

    Lesson: notebooks/41_case_studies.ipynb
    """
    if config.attention.scaled and not config.norm.head:
        for write in (_rotary_settings, gpt2_settings, bloom_settings, falcon_settings):
            settings = write(config)
            if settings is not None:
                return settings
    known = ", ".join([*ROTARY, *OTHERS])
    raise ValueError(f"none of {known} of transformers can express {config}")


def _from_rotary_settings(s: Settings, kind: str) -> DecoderConfig:
    glm = kind in ("glm", "glm4")
    theta, scaling = read_rope(s, 1e6 if kind == "mixtral" else 10000.0)
    rope: Settings = s.get("rope_parameters") or {}
    share: float = (s | rope).get("partial_rotary_factor", 0.5 if glm else 1.0)
    return DecoderConfig(
        vocab_size=s["vocab_size"],
        d_model=s["hidden_size"],
        n_layers=s["num_hidden_layers"],
        context=s["max_position_embeddings"],
        attention=AttentionConfig(
            n_heads=s["num_attention_heads"],
            n_kv_heads=s.get("num_key_value_heads"),
            head_width=s.get("head_dim"),
            bias=_bias(s, kind),
            window=_window(s, kind),
        ),
        feedforward=FeedForwardConfig(
            look_up(GATED_ACTS, "hidden_act", s["hidden_act"]),
            s["intermediate_size"],
            bias=s.get("mlp_bias", False),
            experts=_experts(s) if kind == "mixtral" else None,
        ),
        norm=NormConfig("rmsnorm", s["rms_norm_eps"], "sandwich" if kind == "glm4" else "pre"),
        position=PositionConfig(
            "rope", theta, interleaved=glm, rotary_share=share, scaling=scaling
        ),
        tie_embeddings=s.get("tie_word_embeddings", False),
    )


def _bias(s: Settings, kind: str) -> bool | Literal["qkv"]:
    """LLaMA's switch is for all four projections, GLM's for three; Qwen2 has no switch."""
    if kind == "qwen2":
        return "qkv"
    if kind in ("glm", "glm4"):
        return "qkv" if s.get("attention_bias", True) else False
    return bool(s.get("attention_bias", False)) if kind == "llama" else False


def _window(s: Settings, kind: str) -> int | None:
    """The window of attention, where all layers have the same."""
    if kind == "qwen2":
        n, on = s["num_hidden_layers"], s.get("use_sliding_window", False)
        first = s.get("max_window_layers", 28) if on else n
        types = s.get("layer_types") or [
            "full_attention" if i < first else "sliding_attention" for i in range(n)
        ]
        if len(set(types)) > 1:
            raise ValueError(
                f"layer_types mixes {' and '.join(sorted(set(types)))}; a Decoder has one window "
                "for all of its layers"
            )
        return s["sliding_window"] if types[0] == "sliding_attention" else None
    default = 4096 if kind == "mistral" else None
    window: int | None = (
        s.get("sliding_window", default) if kind in ("mistral", "mixtral") else None
    )
    return window


def _experts(s: Settings) -> ExpertsConfig:
    return ExpertsConfig(s.get("num_local_experts", 8), s.get("num_experts_per_tok", 2))


def _rotary_settings(config: DecoderConfig) -> Settings | None:
    """The settings of the LLaMA family, or None for a config outside of it."""
    a, f = config.attention, config.feedforward
    kind = _rotary_kind(config)
    if kind is None:
        return None
    settings: dict[str, Any] = {
        "model_type": kind,
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "num_hidden_layers": config.n_layers,
        "max_position_embeddings": config.context,
        "num_attention_heads": a.n_heads,
        "num_key_value_heads": a.key_heads,
        "intermediate_size": f.width,
        "hidden_act": next(act for act, of in GATED_ACTS.items() if of == f.kind),
        "rms_norm_eps": config.norm.eps,
        "rope_parameters": rope_settings(config),
        "tie_word_embeddings": config.tie_embeddings,
        "attention_dropout": 0.0,
    }
    if a.head_width is not None or kind in ("glm", "glm4"):  # GLM would take 128
        settings["head_dim"] = config.head_width
    if kind in ("llama", "glm", "glm4"):
        settings["attention_bias"] = bool(a.bias)
    if kind == "llama":
        settings["mlp_bias"] = f.bias
    if kind in ("mistral", "mixtral", "qwen2"):
        settings["sliding_window"] = a.window
    if kind == "qwen2":
        settings |= {"use_sliding_window": a.window is not None, "max_window_layers": 0}
    if f.experts is not None:
        experts = f.experts
        settings |= {"num_local_experts": experts.n_experts, "num_experts_per_tok": experts.top_k}
    return settings


def _rotary_kind(config: DecoderConfig) -> str | None:
    """Which model of the LLaMA family it is, if any."""
    a, f, n, p = config.attention, config.feedforward, config.norm, config.position
    if n.kind != "rmsnorm" or n.embedding or p.kind != "rope" or config.parallel:
        return None
    if f.kind not in GATED_ACTS.values() or n.place not in ("pre", "sandwich"):
        return None
    if n.place == "sandwich" or p.rotary_share < 1:
        fits = a.bias is not True and not f.bias and a.window is None and f.experts is None
        kind = "glm4" if n.place == "sandwich" else "glm"
        return kind if fits else None
    if f.experts is not None:
        e, plain = f.experts, not a.bias and not f.bias
        simple = e.router == "top_k" and e.renormalise and not e.n_shared
        return "mixtral" if plain and simple and e.capacity_factor is None else None
    if a.bias == "qkv":
        return None if f.bias else "qwen2"
    if a.window is not None:
        return None if a.bias or f.bias else "mistral"
    return "llama"

"""The settings of a LLaMA or GPT-2 model of transformers as a DecoderConfig, and back."""

from typing import Any

from minillm.model.attention import AttentionConfig
from minillm.model.config import DecoderConfig
from minillm.model.feedforward import FeedForwardConfig, FeedForwardKind
from minillm.model.norm import NormConfig
from minillm.model.position import PositionConfig

GATED_ACTS: dict[str, FeedForwardKind] = {"silu": "swiglu", "gelu": "geglu"}
PLAIN_ACTS: dict[str, FeedForwardKind] = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
}


def config_from_transformers(settings: dict[str, Any]) -> DecoderConfig:
    """Read the settings of a LLaMA or GPT-2 model of transformers, as in its config.json.

    Args:
        settings: the parsed config.json, or config.to_dict() of a model.

    Returns:
        The same model as a DecoderConfig.

    Raises:
        ValueError: if it is another kind of model, or uses something a Decoder cannot express.

    Lesson: notebooks/41_case_studies.ipynb
    """
    kind = settings.get("model_type")
    if kind == "llama":
        return _from_llama_settings(settings)
    if kind == "gpt2":
        return _from_gpt2_settings(settings)
    raise ValueError(f"model_type must be 'llama' or 'gpt2', got {kind!r}")


def _from_llama_settings(s: dict[str, Any]) -> DecoderConfig:
    rope = s.get("rope_parameters") or s.get("rope_scaling") or {}
    scaling = rope.get("rope_type", rope.get("type", "default"))
    if scaling != "default":
        raise ValueError(f"RoPE scaling {scaling!r} is not supported, only plain RoPE is")
    theta = rope.get("rope_theta", s.get("rope_theta", 10000.0))
    return DecoderConfig(
        vocab_size=s["vocab_size"],
        d_model=s["hidden_size"],
        n_layers=s["num_hidden_layers"],
        context=s["max_position_embeddings"],
        attention=AttentionConfig(
            n_heads=s["num_attention_heads"],
            n_kv_heads=s.get("num_key_value_heads"),
            head_width=s.get("head_dim"),
            bias=s.get("attention_bias", False),
        ),
        feedforward=FeedForwardConfig(
            _look_up(GATED_ACTS, "hidden_act", s["hidden_act"]),
            s["intermediate_size"],
            bias=s.get("mlp_bias", False),
        ),
        norm=NormConfig("rmsnorm", s["rms_norm_eps"]),
        position=PositionConfig("rope", rope_theta=theta),
        tie_embeddings=s.get("tie_word_embeddings", False),
    )


def _from_gpt2_settings(s: dict[str, Any]) -> DecoderConfig:
    if s.get("scale_attn_by_inverse_layer_idx") or not s.get("scale_attn_weights", True):
        raise ValueError("scores must be divided by sqrt(H) and nothing else, as in GPT-2 itself")
    D = s["n_embd"]
    return DecoderConfig(
        vocab_size=s["vocab_size"],
        d_model=D,
        n_layers=s["n_layer"],
        context=s["n_positions"],
        attention=AttentionConfig(n_heads=s["n_head"], bias=True),
        feedforward=FeedForwardConfig(
            _look_up(PLAIN_ACTS, "activation_function", s["activation_function"]),
            s.get("n_inner") or 4 * D,
            bias=True,
        ),
        norm=NormConfig("layernorm", s["layer_norm_epsilon"]),
        position=PositionConfig("learned"),
        tie_embeddings=s.get("tie_word_embeddings", True),
    )


def _look_up(table: dict[str, FeedForwardKind], setting: str, value: str) -> FeedForwardKind:
    if value not in table:
        raise ValueError(f"{setting} must be one of {', '.join(table)}; got {value!r}")
    return table[value]


def config_to_transformers(config: DecoderConfig) -> dict[str, Any]:
    """Write a DecoderConfig as the settings of a LLaMA or GPT-2 model of transformers.

    Args:
        config: RMSNorm, RoPE and a gated feed-forward layer (LLaMA), or LayerNorm, learned
            positions, a plain feed-forward layer and biases (GPT-2); both with pre-norm.

    Returns:
        Settings for LlamaConfig or GPT2Config, "model_type" among them, dropout switched off.

    Raises:
        ValueError: if neither of the two can express the config.
    """
    a, f = config.attention, config.feedforward
    parts = (config.norm.kind, config.norm.place, config.position.kind)
    if parts == ("rmsnorm", "pre", "rope") and f.kind in GATED_ACTS.values():
        theta = config.position.rope_theta
        return {
            "model_type": "llama",
            "vocab_size": config.vocab_size,
            "hidden_size": config.d_model,
            "num_hidden_layers": config.n_layers,
            "max_position_embeddings": config.context,
            "num_attention_heads": a.n_heads,
            "num_key_value_heads": a.key_heads,
            "head_dim": config.head_width,
            "attention_bias": a.bias,
            "intermediate_size": f.width,
            "hidden_act": next(act for act, kind in GATED_ACTS.items() if kind == f.kind),
            "mlp_bias": f.bias,
            "rms_norm_eps": config.norm.eps,
            "rope_parameters": {"rope_type": "default", "rope_theta": theta},
            "tie_word_embeddings": config.tie_embeddings,
        }
    whole = a.key_heads == a.n_heads and a.n_heads * config.head_width == config.d_model
    biased = a.bias and f.bias and f.kind in PLAIN_ACTS.values()
    if parts == ("layernorm", "pre", "learned") and whole and biased:
        return {
            "model_type": "gpt2",
            "vocab_size": config.vocab_size,
            "n_embd": config.d_model,
            "n_layer": config.n_layers,
            "n_positions": config.context,
            "n_head": a.n_heads,
            "n_inner": f.width,
            "activation_function": next(act for act, k in PLAIN_ACTS.items() if k == f.kind),
            "layer_norm_epsilon": config.norm.eps,
            "tie_word_embeddings": config.tie_embeddings,
            **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
        }
    raise ValueError(f"neither LLaMA nor GPT-2 of transformers can express {config}")

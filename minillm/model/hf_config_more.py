"""The settings of GPT-2, BLOOM and Falcon of transformers as a DecoderConfig, and back."""

from collections.abc import Mapping

from minillm.model.attention import AttentionConfig
from minillm.model.config import DecoderConfig
from minillm.model.feedforward import FeedForwardConfig, FeedForwardKind
from minillm.model.hf_rope import Settings, read_rope, rope_settings
from minillm.model.norm import NormConfig
from minillm.model.position import PositionConfig

PLAIN_ACTS: dict[str, FeedForwardKind] = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
}


def look_up(
    table: Mapping[str, FeedForwardKind], setting: str, value: str | None
) -> FeedForwardKind:
    """Translate the name of a curve; refuse one that is not in the table, by setting and value."""
    if value is None or value not in table:
        raise ValueError(f"{setting} must be one of {', '.join(table)}; got {value!r}")
    return table[value]


def from_gpt2_settings(s: Settings) -> DecoderConfig:
    """Read the settings of a GPT2LMHeadModel."""
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
            look_up(PLAIN_ACTS, "activation_function", s["activation_function"]),
            s.get("n_inner") or 4 * D,
            bias=True,
        ),
        norm=NormConfig("layernorm", s["layer_norm_epsilon"]),
        position=PositionConfig("learned"),
        tie_embeddings=s.get("tie_word_embeddings", True),
    )


def gpt2_settings(config: DecoderConfig) -> Settings | None:
    """Write the settings of a GPT2LMHeadModel, or None if it cannot express the config."""
    a, f = config.attention, config.feedforward
    biased = a.bias is True and f.bias and a.key_heads == a.n_heads
    plain = _is_plain(config) and not config.norm.embedding and not config.parallel
    if not (plain and biased and config.position.kind == "learned"):
        return None
    return {
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_embd": config.d_model,
        "n_layer": config.n_layers,
        "n_positions": config.context,
        "n_head": a.n_heads,
        "n_inner": f.width,
        "activation_function": _act(f.kind),
        "layer_norm_epsilon": config.norm.eps,
        "tie_word_embeddings": config.tie_embeddings,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
    }


def from_bloom_settings(s: Settings) -> DecoderConfig:
    """Read the settings of a BloomForCausalLM; released files say n_embed, num_attention_heads."""
    if s.get("apply_residual_connection_post_layernorm"):
        raise ValueError(
            "apply_residual_connection_post_layernorm=True is not supported: a Decoder adds to x, "
            "not to its norm"
        )
    D = s.get("n_embed") or s["hidden_size"]
    return DecoderConfig(
        vocab_size=s["vocab_size"],
        d_model=D,
        n_layers=s["n_layer"] if "n_layer" in s else s["num_hidden_layers"],
        context=s.get("seq_length", 2048),  # a note only: ALiBi has no limit
        attention=AttentionConfig(
            n_heads=s["n_head"] if "n_head" in s else s["num_attention_heads"], bias=True
        ),
        feedforward=FeedForwardConfig("gelu_tanh", 4 * D, bias=True),
        norm=NormConfig("layernorm", s["layer_norm_epsilon"], embedding=True),
        position=PositionConfig("alibi"),
        tie_embeddings=s.get("tie_word_embeddings", True),
    )


def bloom_settings(config: DecoderConfig) -> Settings | None:
    """Write the settings of a BloomForCausalLM, or None if it cannot express the config."""
    a, f = config.attention, config.feedforward
    biased = a.bias is True and f.bias and a.key_heads == a.n_heads
    shape = f.kind == "gelu_tanh" and f.width == 4 * config.d_model and not config.parallel
    embedding = config.norm.embedding and config.position.kind == "alibi"
    if not (_is_plain(config) and biased and shape and embedding):
        return None
    return {
        "model_type": "bloom",
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "n_layer": config.n_layers,
        "n_head": a.n_heads,
        "seq_length": config.context,
        "layer_norm_epsilon": config.norm.eps,
        "tie_word_embeddings": config.tie_embeddings,
        **dict.fromkeys(("hidden_dropout", "attention_dropout"), 0.0),
    }


def from_falcon_settings(s: Settings) -> DecoderConfig:
    """Read the settings of a FalconForCausalLM: the 7B form, and what else one norm can express."""
    new, parallel = s.get("new_decoder_architecture", False), s.get("parallel_attn", True)
    if s.get("alibi"):
        raise ValueError("alibi=True is not supported: Falcon rounds its slopes to bfloat16")
    n_norms = s.get("num_ln_in_parallel_attn")
    if new and (n_norms != 1 or not parallel):
        raise ValueError(
            f"new_decoder_architecture=True with num_ln_in_parallel_attn={n_norms} and "
            f"parallel_attn={parallel} is not supported: a parallel block has one norm, "
            "num_ln_in_parallel_attn=1"
        )
    if parallel and not new and n_norms == 2:
        raise ValueError("num_ln_in_parallel_attn=2 is not supported: a parallel block has one")
    N, D, bias = s["num_attention_heads"], s["hidden_size"], bool(s.get("bias", False))
    theta, scaling = read_rope(s)
    K = N if not s.get("multi_query", True) else 1
    if new:
        K = s.get("num_kv_heads") or N
    return DecoderConfig(
        vocab_size=s["vocab_size"],
        d_model=D,
        n_layers=s["num_hidden_layers"],
        context=s.get("max_position_embeddings", 2048),
        attention=AttentionConfig(n_heads=N, n_kv_heads=K, bias=bias),
        feedforward=FeedForwardConfig(
            look_up(PLAIN_ACTS, "activation", s.get("activation", "gelu")),
            s.get("ffn_hidden_size") or 4 * D,
            bias=bias,
        ),
        norm=NormConfig("layernorm", s["layer_norm_epsilon"]),
        position=PositionConfig("rope", theta, scaling=scaling),
        tie_embeddings=s.get("tie_word_embeddings", True),
        parallel=parallel,
    )


def falcon_settings(config: DecoderConfig) -> Settings | None:
    """Write the settings of a FalconForCausalLM, or None if it cannot express the config."""
    a, f, p = config.attention, config.feedforward, config.position
    K, N = a.key_heads, a.n_heads
    biased = a.bias in (True, False) and a.bias == f.bias
    turned = p.kind == "rope" and p.rotary_share == 1 and not config.norm.embedding
    if not (_is_plain(config) and biased and turned and (config.parallel or K in (1, N))):
        return None
    return {
        "model_type": "falcon",
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": N,
        "num_kv_heads": K,
        "multi_query": K == 1,
        "new_decoder_architecture": K not in (1, N),
        "num_ln_in_parallel_attn": 1 if K not in (1, N) else None,
        "parallel_attn": config.parallel,
        "bias": f.bias,
        "alibi": False,
        "ffn_hidden_size": f.width,
        "activation": _act(f.kind),
        "max_position_embeddings": config.context,
        "layer_norm_epsilon": config.norm.eps,
        "rope_parameters": rope_settings(config),
        "tie_word_embeddings": config.tie_embeddings,
        **dict.fromkeys(("hidden_dropout", "attention_dropout"), 0.0),
    }


def _is_plain(config: DecoderConfig) -> bool:
    """What the three have in common: LayerNorm before each part, one dense layer, no window."""
    a, f = config.attention, config.feedforward
    whole = a.n_heads * config.head_width == config.d_model
    norm = (config.norm.kind, config.norm.place) == ("layernorm", "pre")
    curve = f.kind in PLAIN_ACTS.values()
    return whole and norm and curve and a.window is None and f.experts is None


def _act(kind: str) -> str:
    return next(act for act, of in PLAIN_ACTS.items() if of == kind)

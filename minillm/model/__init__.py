"""The model room: one decoder built from config, and every part of it callable alone."""

from minillm.model.attention import (
    Attention,
    AttentionConfig,
    attention,
    attention_weights,
    fast_attention,
)
from minillm.model.block import Block
from minillm.model.cache import KVCache
from minillm.model.config import (
    DecoderConfig,
    count_padding,
    count_parameters,
    flops_per_token,
    kv_bytes_per_token,
)
from minillm.model.decoder import Decoder
from minillm.model.feedforward import FeedForward, FeedForwardConfig
from minillm.model.functional import embedding, gelu, linear, silu, softmax, swiglu
from minillm.model.layers import Embedding, Linear
from minillm.model.norm import LayerNorm, NormConfig, RMSNorm, layernorm, rmsnorm
from minillm.model.position import PositionConfig, alibi_bias, alibi_slopes, sinusoidal
from minillm.model.rope import (
    apply_rope,
    half_to_interleaved,
    interleaved_to_half,
    rope,
    rope_angles,
    rope_frequencies,
)

__all__ = [
    "Attention",
    "AttentionConfig",
    "Block",
    "Decoder",
    "DecoderConfig",
    "Embedding",
    "FeedForward",
    "FeedForwardConfig",
    "KVCache",
    "LayerNorm",
    "Linear",
    "NormConfig",
    "PositionConfig",
    "RMSNorm",
    "alibi_bias",
    "alibi_slopes",
    "apply_rope",
    "attention",
    "attention_weights",
    "count_padding",
    "count_parameters",
    "embedding",
    "fast_attention",
    "flops_per_token",
    "gelu",
    "half_to_interleaved",
    "interleaved_to_half",
    "kv_bytes_per_token",
    "layernorm",
    "linear",
    "rmsnorm",
    "rope",
    "rope_angles",
    "rope_frequencies",
    "silu",
    "sinusoidal",
    "softmax",
    "swiglu",
]

"""The model room: one decoder built from config, and every part of it callable alone."""

from minillm.model.attention import (
    Attention,
    AttentionConfig,
    attention,
    attention_weights,
    fast_attention,
)
from minillm.model.feedforward import FeedForward, FeedForwardConfig
from minillm.model.functional import embedding, gelu, linear, silu, softmax, swiglu
from minillm.model.layers import Embedding, Linear
from minillm.model.norm import LayerNorm, NormConfig, RMSNorm, layernorm, rmsnorm
from minillm.model.rope import half_to_interleaved, interleaved_to_half, rope, rope_angles

__all__ = [
    "Attention",
    "AttentionConfig",
    "Embedding",
    "FeedForward",
    "FeedForwardConfig",
    "LayerNorm",
    "Linear",
    "NormConfig",
    "RMSNorm",
    "attention",
    "attention_weights",
    "embedding",
    "fast_attention",
    "gelu",
    "half_to_interleaved",
    "interleaved_to_half",
    "layernorm",
    "linear",
    "rmsnorm",
    "rope",
    "rope_angles",
    "silu",
    "softmax",
    "swiglu",
]

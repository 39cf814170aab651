"""The model room: one decoder built from config, and every part of it callable alone."""

from minillm.model.attention import (
    AttentionConfig,
    attention,
    attention_weights,
    fast_attention,
)
from minillm.model.attention_layer import Attention
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
from minillm.model.encoder_decoder import (
    EncoderDecoder,
    EncoderDecoderConfig,
    count_encoder_decoder,
)
from minillm.model.feedforward import FeedForward, FeedForwardConfig
from minillm.model.functional import embedding, gelu, linear, silu, softmax, swiglu
from minillm.model.layers import Embedding, Linear
from minillm.model.masks import causal_mask, prefix_mask, window_mask
from minillm.model.moe import MixtureOfExperts, router_loss
from minillm.model.norm import (
    LayerNorm,
    NormConfig,
    RMSNorm,
    deepnorm_constants,
    layernorm,
    rmsnorm,
)
from minillm.model.position import PositionConfig, alibi_bias, alibi_slopes, sinusoidal
from minillm.model.relative import RelativeBias, relative_bucket
from minillm.model.rope import (
    apply_rope,
    half_to_interleaved,
    interleaved_to_half,
    rope,
    rope_angles,
    rope_frequencies,
)
from minillm.model.routing import (
    ExpertsConfig,
    Routing,
    balance_loss,
    expert_capacity,
    route,
    z_loss,
)
from minillm.model.stack import Stack

__all__ = [
    "Attention",
    "AttentionConfig",
    "Block",
    "Decoder",
    "DecoderConfig",
    "Embedding",
    "EncoderDecoder",
    "EncoderDecoderConfig",
    "ExpertsConfig",
    "FeedForward",
    "FeedForwardConfig",
    "KVCache",
    "LayerNorm",
    "Linear",
    "MixtureOfExperts",
    "NormConfig",
    "PositionConfig",
    "RMSNorm",
    "RelativeBias",
    "Routing",
    "Stack",
    "alibi_bias",
    "alibi_slopes",
    "apply_rope",
    "attention",
    "attention_weights",
    "balance_loss",
    "causal_mask",
    "count_encoder_decoder",
    "count_padding",
    "count_parameters",
    "deepnorm_constants",
    "embedding",
    "expert_capacity",
    "fast_attention",
    "flops_per_token",
    "gelu",
    "half_to_interleaved",
    "interleaved_to_half",
    "kv_bytes_per_token",
    "layernorm",
    "linear",
    "prefix_mask",
    "relative_bucket",
    "rmsnorm",
    "rope",
    "rope_angles",
    "rope_frequencies",
    "route",
    "router_loss",
    "silu",
    "sinusoidal",
    "softmax",
    "swiglu",
    "window_mask",
    "z_loss",
]

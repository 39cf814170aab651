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
from minillm.model.cache_sizes import CacheShape, cache_shape, held_bytes, largest_batch
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
from minillm.model.flash import flash_attention
from minillm.model.functional import embedding, gelu, linear, silu, softmax, swiglu
from minillm.model.heads import convert_heads, decode_attention, merge_heads, repeat_heads
from minillm.model.latent import LatentAttention, LatentCache, LatentConfig
from minillm.model.layers import Embedding, Linear
from minillm.model.lengthen import lengthen
from minillm.model.long_masks import (
    parallel_mask,
    parallel_positions,
    sink_distances,
    sink_mask,
)
from minillm.model.long_rope import RopeScaling
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
from minillm.model.rope_scaling import (
    dynamic_ntk_frequencies,
    interpolated_frequencies,
    ntk_frequencies,
    ntk_theta,
    scaled_rope_angles,
)
from minillm.model.routing import (
    ExpertsConfig,
    Routing,
    balance_loss,
    expert_capacity,
    route,
    z_loss,
)
from minillm.model.sinks import SinkCache, read_with_sinks
from minillm.model.stack import Stack
from minillm.model.two_dimensional import TwoDimensionalDecoder, two_dimensional_angles
from minillm.model.yarn import yarn_attention_factor, yarn_frequencies, yarn_ramp

__all__ = [
    "Attention",
    "AttentionConfig",
    "Block",
    "CacheShape",
    "Decoder",
    "DecoderConfig",
    "Embedding",
    "EncoderDecoder",
    "EncoderDecoderConfig",
    "ExpertsConfig",
    "FeedForward",
    "FeedForwardConfig",
    "KVCache",
    "LatentAttention",
    "LatentCache",
    "LatentConfig",
    "LayerNorm",
    "Linear",
    "MixtureOfExperts",
    "NormConfig",
    "PositionConfig",
    "RMSNorm",
    "RelativeBias",
    "RopeScaling",
    "Routing",
    "SinkCache",
    "Stack",
    "TwoDimensionalDecoder",
    "alibi_bias",
    "alibi_slopes",
    "apply_rope",
    "attention",
    "attention_weights",
    "balance_loss",
    "cache_shape",
    "causal_mask",
    "convert_heads",
    "count_encoder_decoder",
    "count_padding",
    "count_parameters",
    "decode_attention",
    "deepnorm_constants",
    "dynamic_ntk_frequencies",
    "embedding",
    "expert_capacity",
    "fast_attention",
    "flash_attention",
    "flops_per_token",
    "gelu",
    "half_to_interleaved",
    "held_bytes",
    "interleaved_to_half",
    "interpolated_frequencies",
    "kv_bytes_per_token",
    "largest_batch",
    "layernorm",
    "lengthen",
    "linear",
    "merge_heads",
    "ntk_frequencies",
    "ntk_theta",
    "parallel_mask",
    "parallel_positions",
    "prefix_mask",
    "read_with_sinks",
    "relative_bucket",
    "repeat_heads",
    "rmsnorm",
    "rope",
    "rope_angles",
    "rope_frequencies",
    "route",
    "router_loss",
    "scaled_rope_angles",
    "silu",
    "sink_distances",
    "sink_mask",
    "sinusoidal",
    "softmax",
    "swiglu",
    "two_dimensional_angles",
    "window_mask",
    "yarn_attention_factor",
    "yarn_frequencies",
    "yarn_ramp",
    "z_loss",
]

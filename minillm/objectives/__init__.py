"""The objectives room: what a model is trained to predict, and the unit it is measured in."""

from minillm.objectives.blank_spans import document_span, sentence_spans, short_spans
from minillm.objectives.causal import (
    bits_per_byte,
    causal_loss,
    cross_entropy,
    fast_cross_entropy,
)
from minillm.objectives.denoising import (
    corrupt_spans,
    noise_counts,
    noise_mask,
    restore_spans,
    span_corruption,
)
from minillm.objectives.fused import linear_cross_entropy
from minillm.objectives.infilling import (
    Infilling,
    InfillingBatch,
    blank_out,
    fill_in,
    hybrid_mask,
    mixed_infilling,
)
from minillm.objectives.masking import mask_tokens, unmask
from minillm.objectives.middle import fill_in_the_middle, middle_last
from minillm.objectives.mixture_of_denoisers import (
    UL2_DENOISERS,
    Denoiser,
    denoise,
    mixture_of_denoisers,
)
from minillm.objectives.multi_token import MultiTokenDecoder, ahead_targets, multi_token_loss
from minillm.objectives.prefix import (
    PrefixBatch,
    PrefixRow,
    prefix_lm,
    prefix_loss,
    read_then_write,
    split_prefix,
    stack_prefixes,
)
from minillm.objectives.routed import routed_loss

__all__ = [
    "UL2_DENOISERS",
    "Denoiser",
    "Infilling",
    "InfillingBatch",
    "MultiTokenDecoder",
    "PrefixBatch",
    "PrefixRow",
    "ahead_targets",
    "bits_per_byte",
    "blank_out",
    "causal_loss",
    "corrupt_spans",
    "cross_entropy",
    "denoise",
    "document_span",
    "fast_cross_entropy",
    "fill_in",
    "fill_in_the_middle",
    "hybrid_mask",
    "linear_cross_entropy",
    "mask_tokens",
    "middle_last",
    "mixed_infilling",
    "mixture_of_denoisers",
    "multi_token_loss",
    "noise_counts",
    "noise_mask",
    "prefix_lm",
    "prefix_loss",
    "read_then_write",
    "restore_spans",
    "routed_loss",
    "sentence_spans",
    "short_spans",
    "span_corruption",
    "split_prefix",
    "stack_prefixes",
    "unmask",
]

"""The inference room: from logits to text."""

from minillm.inference.sampling import filtered_probabilities, generate, sample_next, stream

__all__ = ["filtered_probabilities", "generate", "sample_next", "stream"]

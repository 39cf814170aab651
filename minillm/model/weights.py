"""Weights under other names and in other layouts: ours, those of transformers, and Meta's own.

- The names stand in weight_names.py, matrices that others keep as one in weights_fused.py.
- What differs besides: rows of q and k are interleaved for RoPE in Meta's files and in GLM,
  half-split elsewhere; ours has zero rows that pad the vocabulary, theirs has none.
"""

import functools
import re
from collections.abc import Callable

import torch
from torch import Tensor

from minillm.model.config import DecoderConfig
from minillm.model.rope import half_to_interleaved, interleaved_to_half
from minillm.model.weight_names import NAMES, NOT_WEIGHTS, PREFIXES, Naming, naming_of
from minillm.model.weights_fused import Weights, join_fused, split_fused

__all__ = ["NAMES", "Naming", "Weights", "from_ours", "naming_of", "to_ours"]

INTERLEAVED = ("meta", "glm", "glm4")


def to_ours(weights: Weights, config: DecoderConfig) -> Weights:
    """Rename and rearrange weights, whoever wrote them, for a Decoder of this config.

    Args:
        weights: all tensors of a model in one of the namings of weight_names.py.
        config: the model; position.interleaved decides the order of the rows of q and k. Of an
            EncoderDecoder its `decoder`.

    Returns:
        The state dict of a Decoder (or EncoderDecoder). Tensors that need no change are shared,
        not copied.

    Raises:
        ValueError: if a name is not known.

    Lesson: notebooks/41_case_studies.ipynb
    """
    naming = naming_of(weights)
    ours = dict(weights) if naming == "minillm" else _renamed(weights, naming, config)
    if config.tie_embeddings:
        ours.pop("head.weight", None)
    ours = split_fused(ours, naming, config)
    theirs_interleaved = naming in INTERLEAVED
    if naming == "minillm":
        theirs_interleaved = config.position.interleaved
    if config.position.kind == "rope" and theirs_interleaved != config.position.interleaved:
        convert = interleaved_to_half if theirs_interleaved else half_to_interleaved
        ours = _reordered(ours, config, convert)
    for name in ("embedding.weight", "head.weight"):
        if name in ours and ours[name].shape[0] == config.vocab_size:
            extra = config.padded_vocab_size - config.vocab_size
            ours[name] = torch.nn.functional.pad(ours[name], (0, 0, 0, extra))
    return ours


def from_ours(weights: Weights, config: DecoderConfig, naming: Naming) -> Weights:
    """Undo to_ours: give a Decoder's weights the names and the layout of somebody else.

    Args:
        weights: the state dict of a Decoder, or of an EncoderDecoder.
        config: its config; of an EncoderDecoder its `decoder`.
        naming: whose names to use.

    Returns:
        Weights without padding of the vocabulary. A tied output matrix is left out. For
        "minillm" the weights as they are, padding included.

    Raises:
        ValueError: if naming is unknown, or has no name for one of the weights.

    Lesson: notebooks/41_case_studies.ipynb
    """
    if naming == "minillm":
        return dict(weights)
    if naming not in NAMES:
        raise ValueError(f"naming must be minillm, {', '.join(NAMES)}; got {naming!r}")
    ours = dict(weights)
    for name in ("embedding.weight", "head.weight"):
        if name in ours:
            ours[name] = ours[name][: config.vocab_size]
    wanted_interleaved = naming in INTERLEAVED
    if config.position.kind == "rope" and wanted_interleaved != config.position.interleaved:
        convert = half_to_interleaved if wanted_interleaved else interleaved_to_half
        ours = _reordered(ours, config, convert)
    table = _table(naming, config)
    joined = join_fused(ours, naming, config)
    return {_rename(name, table): tensor for name, tensor in joined.items()}


def _renamed(weights: Weights, naming: Naming, config: DecoderConfig) -> Weights:
    to_us = {theirs: ours for ours, theirs in _table(naming, config).items()}
    prefix = PREFIXES.get(naming, "")
    ours = {}
    for name, tensor in weights.items():
        if name.endswith(NOT_WEIGHTS):
            continue
        bare = not name.startswith((prefix, "lm_head"))  # the file of a GPT2Model or BloomModel
        ours[_rename(prefix + name if bare else name, to_us)] = tensor
    return ours


def _table(naming: Naming, config: DecoderConfig) -> dict[str, str]:
    """The names, ours: theirs. T5 calls its inner matrix wi where there is no gate."""
    table = NAMES[naming]
    if naming == "t5" and config.feedforward.n_matrices == 2:
        return {o: t.replace("wi_1", "wi") for o, t in table.items() if not o.endswith(".gate")}
    return table


def _rename(name: str, table: dict[str, str]) -> str:
    """Look a name up with its numbers taken out, and put the numbers back."""
    for key, value in table.items():
        found = _pattern(key).fullmatch(name)
        if found is not None:
            *numbers, leaf = found.groups()
            return f"{value.format(*numbers)}.{leaf}"
    raise ValueError(f"no counterpart is known for the weight {name!r}")


@functools.cache
def _pattern(key: str) -> re.Pattern[str]:
    """A part of a model, whatever its numbers, and the name of a tensor of it."""
    return re.compile(re.escape(key).replace(r"\{\}", r"(\d+)") + r"\.(\w+)")


def _reordered(
    weights: Weights, config: DecoderConfig, convert: Callable[[Tensor, int], Tensor]
) -> Weights:
    """Change the order of the rows of q and k, and of their biases, in every block.

    Of each head only the rows that RoPE turns: the first rotary_width.
    """
    heads = {"q": config.attention.n_heads, "k": config.attention.key_heads}
    R = config.rotary_width
    changed = dict(weights)
    for name, tensor in weights.items():
        part = re.search(r"\.attention\.([qk])\.", name)
        if part is not None:
            n = heads[part[1]]
            rows = tensor.unflatten(0, (n, -1))  # (heads, H, ...)
            turned = convert(rows[:, :R].flatten(0, 1), n).unflatten(0, (n, -1))
            changed[name] = torch.cat((turned, rows[:, R:]), dim=1).flatten(0, 1)
    return changed

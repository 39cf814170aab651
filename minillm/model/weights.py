"""Names and layouts of weights: ours, transformers' two, and Meta's own.

- "minillm" is ours; "llama" and "gpt2" are as transformers writes them; "meta" is the naming of
  Meta's own LLaMA files.
- What differs besides names: GPT-2 keeps its matrices transposed (Conv1D), with q, k, v in one;
  Meta's rows of q and k are interleaved for RoPE, those of transformers half-split; ours has zero
  rows that pad the vocabulary, theirs has none.
"""

import re
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor

from minillm.model.config import DecoderConfig
from minillm.model.rope import half_to_interleaved, interleaved_to_half

Weights = dict[str, Tensor]
Naming = Literal["minillm", "llama", "gpt2", "meta"]

# ours: theirs; {} is the number of the block
LLAMA_NAMES = {
    "embedding": "model.embed_tokens",
    "blocks.{}.attention_norm": "model.layers.{}.input_layernorm",
    "blocks.{}.attention.q": "model.layers.{}.self_attn.q_proj",
    "blocks.{}.attention.k": "model.layers.{}.self_attn.k_proj",
    "blocks.{}.attention.v": "model.layers.{}.self_attn.v_proj",
    "blocks.{}.attention.out": "model.layers.{}.self_attn.o_proj",
    "blocks.{}.feedforward_norm": "model.layers.{}.post_attention_layernorm",
    "blocks.{}.feedforward.gate": "model.layers.{}.mlp.gate_proj",
    "blocks.{}.feedforward.up": "model.layers.{}.mlp.up_proj",
    "blocks.{}.feedforward.down": "model.layers.{}.mlp.down_proj",
    "final_norm": "model.norm",
    "head": "lm_head",
}
META_NAMES = {
    "embedding": "tok_embeddings",
    "blocks.{}.attention_norm": "layers.{}.attention_norm",
    "blocks.{}.attention.q": "layers.{}.attention.wq",
    "blocks.{}.attention.k": "layers.{}.attention.wk",
    "blocks.{}.attention.v": "layers.{}.attention.wv",
    "blocks.{}.attention.out": "layers.{}.attention.wo",
    "blocks.{}.feedforward_norm": "layers.{}.ffn_norm",
    "blocks.{}.feedforward.gate": "layers.{}.feed_forward.w1",
    "blocks.{}.feedforward.up": "layers.{}.feed_forward.w3",
    "blocks.{}.feedforward.down": "layers.{}.feed_forward.w2",
    "final_norm": "norm",
    "head": "output",
}
GPT2_NAMES = {
    "embedding": "transformer.wte",
    "position": "transformer.wpe",
    "blocks.{}.attention_norm": "transformer.h.{}.ln_1",
    "blocks.{}.attention.qkv": "transformer.h.{}.attn.c_attn",
    "blocks.{}.attention.out": "transformer.h.{}.attn.c_proj",
    "blocks.{}.feedforward_norm": "transformer.h.{}.ln_2",
    "blocks.{}.feedforward.up": "transformer.h.{}.mlp.c_fc",
    "blocks.{}.feedforward.down": "transformer.h.{}.mlp.c_proj",
    "final_norm": "transformer.ln_f",
    "head": "lm_head",
}
NAMES: dict[str, dict[str, str]] = {"llama": LLAMA_NAMES, "meta": META_NAMES, "gpt2": GPT2_NAMES}
NOT_WEIGHTS = (".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq", "rope.freqs")


def naming_of(names: Iterable[str]) -> Naming:
    """Recognise whose names these are, by the name of the embedding.

    Args:
        names: of the tensors in a file or a state dict.

    Returns:
        "minillm", "llama", "gpt2" or "meta".

    Raises:
        ValueError: if none of the four fits.
    """
    names = set(names)
    if "embedding.weight" in names:
        return "minillm"
    if "model.embed_tokens.weight" in names:
        return "llama"
    if "tok_embeddings.weight" in names:
        return "meta"
    if names & {"wte.weight", "transformer.wte.weight"}:
        return "gpt2"
    raise ValueError(
        "cannot tell whose names these are: no embedding.weight, model.embed_tokens.weight, "
        f"wte.weight or tok_embeddings.weight among {sorted(names)[:3]} ..."
    )


def to_ours(weights: Weights, config: DecoderConfig) -> Weights:
    """Rename and rearrange weights, whoever wrote them, for a Decoder of this config.

    Args:
        weights: all tensors of a model in one of the four namings.
        config: the model; position.interleaved decides the order of the rows of q and k.

    Returns:
        The state dict of a Decoder. Tensors that need no change are shared, not copied.

    Raises:
        ValueError: if a name is not known.
    """
    naming = naming_of(weights)
    ours = dict(weights) if naming == "minillm" else _renamed(weights, naming)
    if config.tie_embeddings:
        ours.pop("head.weight", None)
    if naming == "gpt2":
        ours = _split_qkv(_transposed(ours))
    theirs_interleaved = {"minillm": config.position.interleaved, "meta": True}.get(naming, False)
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
        weights: the state dict of a Decoder.
        config: its config.
        naming: whose names to use.

    Returns:
        Weights without padding of the vocabulary. A tied output matrix is left out. For
        "minillm" the weights as they are, padding included.

    Raises:
        ValueError: if naming is unknown, or has no name for one of the weights.
    """
    if naming == "minillm":
        return dict(weights)
    if naming not in NAMES:
        raise ValueError(f"naming must be minillm, {', '.join(NAMES)}; got {naming!r}")
    ours = dict(weights)
    for name in ("embedding.weight", "head.weight"):
        if name in ours:
            ours[name] = ours[name][: config.vocab_size]
    wanted_interleaved = naming == "meta"
    if config.position.kind == "rope" and wanted_interleaved != config.position.interleaved:
        convert = half_to_interleaved if wanted_interleaved else interleaved_to_half
        ours = _reordered(ours, config, convert)
    if naming == "gpt2":
        ours = _transposed(_join_qkv(ours))
    return {_rename(name, NAMES[naming]): tensor for name, tensor in ours.items()}


def _renamed(weights: Weights, naming: Naming) -> Weights:
    to_us = {theirs: ours for ours, theirs in NAMES[naming].items()}
    prefix = "transformer."
    ours = {}
    for name, tensor in weights.items():
        if name.endswith(NOT_WEIGHTS):
            continue
        bare = naming == "gpt2" and not name.startswith((prefix, "lm_head"))  # a GPT2Model's file
        ours[_rename(prefix + name if bare else name, to_us)] = tensor
    return ours


def _rename(name: str, table: dict[str, str]) -> str:
    """Look a name up with its block number taken out, and put the number back."""
    number = re.search(r"\.(\d+)\.", name)
    key, _, leaf = re.sub(r"\.\d+\.", ".{}.", name, count=1).rpartition(".")
    if key not in table:
        raise ValueError(f"no counterpart is known for the weight {name!r}")
    return f"{table[key].format(number[1] if number else '')}.{leaf}"


def _transposed(weights: Weights) -> Weights:
    """Turn the matrices of the blocks, as Conv1D stores them, into those of Linear, or back."""
    return {
        name: tensor.mT if name.startswith("blocks.") and tensor.ndim == 2 else tensor
        for name, tensor in weights.items()
    }


def _split_qkv(weights: Weights) -> Weights:
    ours = {}
    for name, tensor in weights.items():
        if ".qkv." not in name:
            ours[name] = tensor
            continue
        for letter, part in zip("qkv", tensor.chunk(3, dim=0), strict=True):
            ours[name.replace(".qkv.", f".{letter}.")] = part
    return ours


def _join_qkv(weights: Weights) -> Weights:
    theirs = {}
    for name, tensor in weights.items():
        part = re.search(r"\.attention\.([qkv])\.", name)
        if part is None:
            theirs[name] = tensor
        elif part[1] == "q":
            parts = [weights[name.replace(".q.", f".{letter}.")] for letter in "qkv"]
            theirs[name.replace(".q.", ".qkv.")] = torch.cat(parts, dim=0)
    return theirs


def _reordered(
    weights: Weights, config: DecoderConfig, convert: Callable[[Tensor, int], Tensor]
) -> Weights:
    """Change the order of the rows of q and k, and of their biases, in every block."""
    heads = {"q": config.attention.n_heads, "k": config.attention.key_heads}
    changed = dict(weights)
    for name, tensor in weights.items():
        part = re.search(r"\.attention\.([qk])\.", name)
        if part is not None:
            changed[name] = convert(tensor, heads[part[1]])
    return changed

"""What each part of a model is called by others: one table for each way of naming weights.

- "llama" serves Mistral and Qwen2, too; "mixtral" is as its files are written, "mixtral_fused" as
  transformers holds it in memory; "meta" is the naming of Meta's own LLaMA files.
- {} stands for the number of a block, and the second one for that of an expert.
- A part that is not in the table does not exist there; from_ours and to_ours then refuse it.
"""

from collections.abc import Iterable
from typing import Literal

Naming = Literal[
    "minillm",
    "llama",
    "meta",
    "glm",
    "glm4",
    "mixtral",
    "mixtral_fused",
    "gpt2",
    "bloom",
    "falcon",
    "t5",
]

# ours: theirs
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
WITHOUT_FEEDFORWARD = {o: t for o, t in LLAMA_NAMES.items() if ".feedforward." not in o}
GLM_NAMES = WITHOUT_FEEDFORWARD | {
    "blocks.{}.feedforward.gate_up": "model.layers.{}.mlp.gate_up_proj",
    "blocks.{}.feedforward.down": "model.layers.{}.mlp.down_proj",
}
GLM4_NAMES = GLM_NAMES | {
    "blocks.{}.attention_end": "model.layers.{}.post_self_attn_layernorm",
    "blocks.{}.feedforward_end": "model.layers.{}.post_mlp_layernorm",
}
MIXTRAL_NAMES = WITHOUT_FEEDFORWARD | {
    "blocks.{}.feedforward.router": "model.layers.{}.block_sparse_moe.gate",
    "blocks.{}.feedforward.experts.{}.gate": "model.layers.{}.block_sparse_moe.experts.{}.w1",
    "blocks.{}.feedforward.experts.{}.up": "model.layers.{}.block_sparse_moe.experts.{}.w3",
    "blocks.{}.feedforward.experts.{}.down": "model.layers.{}.block_sparse_moe.experts.{}.w2",
}
MIXTRAL_FUSED_NAMES = WITHOUT_FEEDFORWARD | {
    "blocks.{}.feedforward.router": "model.layers.{}.mlp.gate",
    "blocks.{}.feedforward.experts": "model.layers.{}.mlp.experts",
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
FALCON_NAMES = {
    "embedding": "transformer.word_embeddings",
    "blocks.{}.attention_norm": "transformer.h.{}.input_layernorm",
    "blocks.{}.attention.qkv": "transformer.h.{}.self_attention.query_key_value",
    "blocks.{}.attention.out": "transformer.h.{}.self_attention.dense",
    "blocks.{}.feedforward_norm": "transformer.h.{}.post_attention_layernorm",
    "blocks.{}.feedforward.up": "transformer.h.{}.mlp.dense_h_to_4h",
    "blocks.{}.feedforward.down": "transformer.h.{}.mlp.dense_4h_to_h",
    "final_norm": "transformer.ln_f",
    "head": "lm_head",
}
BLOOM_NAMES = FALCON_NAMES | {"embedding_norm": "transformer.word_embeddings_layernorm"}


def _t5_names() -> dict[str, str]:
    """Both stacks of T5; its second one has cross-attention between the two other parts."""
    names = {"embedding": "shared", "head": "lm_head"}
    parts = {"encoder": ("attention", "feedforward"), "decoder": ("attention", "cross", "ff")}
    theirs = {"attention": "SelfAttention", "cross": "EncDecAttention"}
    for stack, layers in parts.items():
        names[f"{stack}.relative.table"] = (
            f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias"
        )
        names[f"{stack}.final_norm"] = f"{stack}.final_layer_norm"
        for number, part in enumerate(layers):
            layer = f"{stack}.block.{{}}.layer.{number}"
            ours = f"{stack}.blocks.{{}}.{part if part in theirs else 'feedforward'}"
            names[f"{ours}_norm"] = f"{layer}.layer_norm"
            if part in theirs:
                for a, b in {"q": "q", "k": "k", "v": "v", "out": "o"}.items():
                    names[f"{ours}.{a}"] = f"{layer}.{theirs[part]}.{b}"
            else:
                for a, b in {"gate": "wi_0", "up": "wi_1", "down": "wo"}.items():
                    names[f"{ours}.{a}"] = f"{layer}.DenseReluDense.{b}"
    return names


NAMES: dict[str, dict[str, str]] = {
    "llama": LLAMA_NAMES,
    "meta": META_NAMES,
    "glm": GLM_NAMES,
    "glm4": GLM4_NAMES,
    "mixtral": MIXTRAL_NAMES,
    "mixtral_fused": MIXTRAL_FUSED_NAMES,
    "gpt2": GPT2_NAMES,
    "bloom": BLOOM_NAMES,
    "falcon": FALCON_NAMES,
    "t5": _t5_names(),
}
# what only a file of that naming contains; the first one that is found decides
MARKS: dict[Naming, str] = {
    "mixtral": ".block_sparse_moe.",
    "mixtral_fused": ".mlp.experts.",
    "glm4": ".post_mlp_layernorm.",
    "glm": ".mlp.gate_up_proj.",
    "llama": "model.embed_tokens.weight",
    "meta": "tok_embeddings.weight",
    "gpt2": "wte.weight",
    "bloom": "word_embeddings_layernorm.",
    "falcon": "word_embeddings.weight",
    "t5": "shared.weight",
}
PREFIXES: dict[Naming, str] = dict.fromkeys(("gpt2", "bloom", "falcon"), "transformer.")
NOT_WEIGHTS = (
    ".attn.bias",
    ".attn.masked_bias",
    "rotary_emb.inv_freq",
    "rope.freqs",
    "encoder.embed_tokens.weight",  # T5 repeats its one table, and once had a table too many
    "decoder.embed_tokens.weight",
    "EncDecAttention.relative_attention_bias.weight",
)


def naming_of(names: Iterable[str]) -> Naming:
    """Recognise whose names these are, by parts that only one way of naming has.

    Args:
        names: of the tensors in a file or a state dict.

    Returns:
        One of the namings above. Mistral and Qwen2 are "llama": the names are the same.

    Raises:
        ValueError: if none fits.

    Lesson: notebooks/41_case_studies.ipynb
    """
    names = set(names)
    if "embedding.weight" in names:
        return "minillm"
    for naming, mark in MARKS.items():
        if any(mark in name for name in names):
            return naming
    raise ValueError(
        f"cannot tell whose names these are: none of embedding.weight, {', '.join(MARKS.values())} "
        f"among {sorted(names)[:3]} ..."
    )

"""T5 of transformers as an EncoderDecoder, and back; safetensors files of it.

- v1.0: ReLU, one table for input and output, features divided by sqrt(D) before the output.
- v1.1: a gate with GeLU (tanh form), an output matrix of its own, no division.

transformers keeps the two apart by `scale_decoder_outputs`, and in older config.json files by
`tie_word_embeddings`. Since version 5 it ties both forms when it builds one; a file with an output
matrix of its own keeps it.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from minillm.model.attention import AttentionConfig
from minillm.model.config import DecoderConfig
from minillm.model.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minillm.model.feedforward import FeedForwardConfig, FeedForwardKind
from minillm.model.hf import fill
from minillm.model.hf_config_more import Settings, look_up
from minillm.model.norm import NormConfig
from minillm.model.position import PositionConfig
from minillm.model.weight_files import read_settings, read_weights, write_weights
from minillm.model.weights import Naming, Weights, from_ours, to_ours

CURVES: dict[str, FeedForwardKind] = {
    "relu": "relu",
    "gated-gelu": "geglu_tanh",
    "gated-silu": "swiglu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "silu": "silu",
}


def t5_config_from_transformers(settings: Settings) -> EncoderDecoderConfig:
    """Read the settings of a T5ForConditionalGeneration, as in its config.json.

    Args:
        settings: the parsed config.json, or config.to_dict() of a model.

    Returns:
        The same model as an EncoderDecoderConfig.

    Raises:
        ValueError: if it is another kind of model, or uses something ours cannot express.

    Source: Raffel et al. 2019, arXiv:1910.10683, section 2.1; v1.1: Shazeer 2020, arXiv:2002.05202.
    Lesson: notebooks/10_shapes.ipynb
    """
    s = settings
    if s.get("model_type") != "t5":
        raise ValueError(f"model_type must be 't5', got {s.get('model_type')!r}")
    decoder = DecoderConfig(
        vocab_size=s["vocab_size"],
        d_model=s["d_model"],
        n_layers=s.get("num_decoder_layers") or s["num_layers"],
        context=s.get("n_positions", 512),  # a note only: relative positions have no limit
        attention=AttentionConfig(s["num_heads"], head_width=s["d_kv"], scaled=False),
        feedforward=FeedForwardConfig(
            look_up(CURVES, "feed_forward_proj", s.get("feed_forward_proj", "relu")), s["d_ff"]
        ),
        norm=NormConfig("rmsnorm", s["layer_norm_epsilon"]),
        position=PositionConfig(
            "t5",
            n_buckets=s["relative_attention_num_buckets"],
            max_distance=s.get("relative_attention_max_distance", 128),
        ),
        tie_embeddings=bool(s.get("scale_decoder_outputs", s.get("tie_word_embeddings", True))),
    )
    return EncoderDecoderConfig(decoder, s["num_layers"])


def t5_config_to_transformers(config: EncoderDecoderConfig) -> Settings:
    """Write an EncoderDecoderConfig as the settings of a T5ForConditionalGeneration.

    Args:
        config: RMSNorm before each part, T5's positions, no biases, scores not divided.

    Returns:
        Settings for T5Config, "model_type" among them, dropout switched off.

    Raises:
        ValueError: if T5 cannot express the config.

    Lesson: notebooks/10_shapes.ipynb
    """
    shape = config.decoder
    a, f, n, p = shape.attention, shape.feedforward, shape.norm, shape.position
    plain = not (a.bias or f.bias or a.scaled or a.window or n.embedding or n.head)
    parts = (n.kind, n.place, p.kind) == ("rmsnorm", "pre", "t5")
    if not (plain and parts and a.key_heads == a.n_heads and f.kind in CURVES.values()):
        raise ValueError(f"T5 of transformers cannot express {config}")
    return {
        "model_type": "t5",
        "vocab_size": shape.vocab_size,
        "d_model": shape.d_model,
        "num_layers": config.n_encoder_layers,
        "num_decoder_layers": shape.n_layers,
        "n_positions": shape.context,
        "num_heads": a.n_heads,
        "d_kv": shape.head_width,
        "d_ff": f.width,
        "feed_forward_proj": next(act for act, kind in CURVES.items() if kind == f.kind),
        "layer_norm_epsilon": n.eps,
        "relative_attention_num_buckets": p.n_buckets,
        "relative_attention_max_distance": p.max_distance,
        "tie_word_embeddings": shape.tie_embeddings,
        "dropout_rate": 0.0,
    }


def t5_from_transformers(hf_model: Any) -> EncoderDecoder:
    """Copy a T5ForConditionalGeneration into an EncoderDecoder with the same logits.

    Args:
        hf_model: the model of transformers; it is not changed, and shares no memory.

    Returns:
        An EncoderDecoder on the same device, in the same dtype.

    Raises:
        ValueError: if it is another kind of model, or uses something ours cannot express.

    Lesson: notebooks/10_shapes.ipynb
    """
    config = t5_config_from_transformers(hf_model.config.to_dict())
    like = hf_model.shared.weight
    return _encoder_decoder(config, hf_model.state_dict(), like.device, like.dtype)


def t5_to_transformers(model: EncoderDecoder) -> Any:
    """Copy an EncoderDecoder into a T5ForConditionalGeneration with the same logits.

    Args:
        model: of a config that T5 can express; see t5_config_to_transformers.

    Returns:
        The model of transformers, in evaluation mode, on the same device and in the same dtype.

    Raises:
        ValueError: if T5 cannot express the config.

    Lesson: notebooks/10_shapes.ipynb
    """
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    hf_config = AutoConfig.for_model(**t5_config_to_transformers(model.config))
    like, shape = model.embedding.weight, model.config.decoder
    hf_model = AutoModelForSeq2SeqLM.from_config(hf_config, dtype=like.dtype).to(like.device)
    weights = from_ours(model.state_dict(), shape, "t5")
    table = weights["shared.weight"]
    weights |= {f"{stack}.embed_tokens.weight": table for stack in ("encoder", "decoder")}
    if shape.tie_embeddings:
        weights["lm_head.weight"] = table
    else:
        hf_model.lm_head.weight = nn.Parameter(torch.empty_like(table))  # untied
    hf_model.load_state_dict(weights)
    return hf_model.eval()


def save_t5(model: EncoderDecoder, path: str | Path, *, naming: Naming = "t5") -> None:
    """Write the weights of an EncoderDecoder to one safetensors file.

    Args:
        model: the model.
        path: of the file, ending in .safetensors.
        naming: "t5" as transformers writes them, or "minillm" as they are.

    Raises:
        ValueError: if the path does not end in .safetensors, or the naming does not fit.

    Lesson: notebooks/10_shapes.ipynb
    """
    write_weights(from_ours(model.state_dict(), model.config.decoder, naming), path)


def load_t5(
    path: str | Path,
    config: EncoderDecoderConfig | None = None,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> EncoderDecoder:
    """Read an EncoderDecoder from safetensors, ours or those of transformers' T5.

    Args:
        path, config, device, dtype: as in hf.load_safetensors.

    Returns:
        The model.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is not safetensors or is broken, or does not fit the config.

    Lesson: notebooks/10_shapes.ipynb
    """
    weights = read_weights(path)
    if config is None:
        config = t5_config_from_transformers(read_settings(path))
    if dtype is None:
        dtype = next(iter(weights.values())).dtype
    return _encoder_decoder(config, weights, device or torch.get_default_device(), dtype)


def _encoder_decoder(
    config: EncoderDecoderConfig,
    weights: Weights,
    device: torch.device | str,
    dtype: torch.dtype,
) -> EncoderDecoder:
    """Build the model and fill it. Theirs may say "not tied" and hold one table all the same."""
    table, head = weights.get("shared.weight"), weights.get("lm_head.weight")
    if table is not None and not config.decoder.tie_embeddings and head is None:
        weights = weights | {"lm_head.weight": table}
    different = table is not None and head is not None and not torch.equal(table, head)
    if config.decoder.tie_embeddings and different:
        raise ValueError(
            "scale_decoder_outputs=True with a lm_head.weight unlike shared.weight is not "
            "supported: with an output matrix of its own the features are not divided by sqrt(D)"
        )
    model = EncoderDecoder(config, device="meta", dtype=dtype).to_empty(device=device)
    fill(model, to_ours(weights, config.decoder))
    return model

"""To and from Hugging Face transformers, and safetensors files.

- A LlamaForCausalLM or a GPT2LMHeadModel becomes a Decoder with the same logits, and back.
- Files are safetensors only: reading one runs no code, unlike a pickle.
- transformers itself is imported only by to_transformers; a model handed in brings its own.
- The settings are translated in hf_config.py, the names of the weights in weights.py.

In float64 our norms compute in float64; transformers' LlamaRMSNorm goes through float32 even then.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from minillm.model.config import DecoderConfig
from minillm.model.decoder import Decoder
from minillm.model.hf_config import config_from_transformers, config_to_transformers
from minillm.model.weights import NAMES, Naming, Weights, from_ours, to_ours


def from_transformers(hf_model: Any) -> Decoder:
    """Copy a LlamaForCausalLM or GPT2LMHeadModel into a Decoder with the same logits.

    Args:
        hf_model: the model of transformers; it is not changed, and shares no memory.

    Returns:
        A Decoder on the same device, in the same dtype.

    Raises:
        ValueError: if it is another kind of model, or uses something a Decoder cannot express.

    Lesson: notebooks/41_case_studies.ipynb
    """
    config = config_from_transformers(hf_model.config.to_dict())
    like = next(hf_model.parameters())
    return _decoder(config, hf_model.state_dict(), like.device, like.dtype)


def to_transformers(decoder: Decoder) -> Any:
    """Copy a Decoder into a LlamaForCausalLM or GPT2LMHeadModel with the same logits.

    Args:
        decoder: of a config that one of the two can express; see config_to_transformers.

    Returns:
        The model of transformers, in evaluation mode, on the same device and in the same dtype.

    Raises:
        ValueError: if neither of the two can express the config.

    Lesson: notebooks/41_case_studies.ipynb
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = config_to_transformers(decoder.config)
    settings |= dict.fromkeys(("bos_token_id", "eos_token_id"))  # ids of somebody's tokenizer
    like = decoder.embedding.weight
    hf_config = AutoConfig.for_model(**settings)
    hf_model = AutoModelForCausalLM.from_config(hf_config, dtype=like.dtype).to(like.device)
    weights = from_ours(decoder.state_dict(), decoder.config, settings["model_type"])
    if decoder.config.tie_embeddings:
        embedding = NAMES[settings["model_type"]]["embedding"]
        weights["lm_head.weight"] = weights[f"{embedding}.weight"]
    hf_model.load_state_dict(weights)
    return hf_model.eval()


def save_safetensors(decoder: Decoder, path: str | Path, *, naming: Naming = "minillm") -> None:
    """Write the weights of a Decoder to one safetensors file.

    Args:
        decoder: the model.
        path: of the file, ending in .safetensors. It is written beside and renamed, so that a
            file of this name is always whole.
        naming: "minillm" as they are, or the names and layout of "llama", "gpt2" or "meta".

    Raises:
        ValueError: if the path does not end in .safetensors, or the naming does not fit.

    Lesson: notebooks/41_case_studies.ipynb
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"the path must end in .safetensors, got {path.name!r}")
    weights = from_ours(decoder.state_dict(), decoder.config, naming)
    beside = path.with_suffix(".partial")
    whole = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(whole, beside, metadata={"format": "pt"})
    os.replace(beside, path)


def load_safetensors(
    path: str | Path,
    config: DecoderConfig | None = None,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Decoder:
    """Read a Decoder from safetensors: ours, transformers' (LLaMA, GPT-2) or Meta's names.

    Args:
        path: a file, or a folder with model.safetensors, or with the parts that
            model.safetensors.index.json lists.
        config: of the model; None reads config.json in the folder, as transformers writes it.
        device: where the weights go; None means torch's default device.
        dtype: of the weights; None means as in the file.

    Returns:
        The Decoder.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is not safetensors or is broken, or does not fit the config.

    Lesson: notebooks/41_case_studies.ipynb
    """
    path = Path(path)
    weights: Weights = {}
    for file in _files(path):
        weights |= _read(file)
    if config is None:
        folder = path if path.is_dir() else path.parent
        config = config_from_transformers(json.loads((folder / "config.json").read_text()))
    if dtype is None:
        dtype = next(iter(weights.values())).dtype
    return _decoder(config, weights, device or torch.get_default_device(), dtype)


def _files(path: Path) -> list[Path]:
    """Name the files that hold a model, one or several."""
    if not path.is_dir():
        return [path]
    index = path / "model.safetensors.index.json"
    if index.is_file():
        parts = json.loads(index.read_text())["weight_map"].values()
        return [path / name for name in sorted(set(parts))]
    return [path / "model.safetensors"]


def _read(file: Path) -> Weights:
    if file.suffix != ".safetensors":
        raise ValueError(f"only safetensors files are read, never pickles; got {file.name!r}")
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}; give a .safetensors file or its folder")
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file} is not a whole safetensors file: {error}") from error


def _decoder(
    config: DecoderConfig, weights: Weights, device: torch.device | str, dtype: torch.dtype
) -> Decoder:
    decoder = Decoder(config, device="meta", dtype=dtype).to_empty(device=device)  # nothing drawn
    try:
        decoder.load_state_dict(to_ours(weights, config))
    except RuntimeError as error:
        raise ValueError(f"the weights do not fit the config: {error}") from error
    return decoder

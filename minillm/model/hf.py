"""To and from Hugging Face transformers, and safetensors files.

- A LLaMA, Mistral, Qwen2, Mixtral, GLM, GPT-2, BLOOM or Falcon of transformers becomes a Decoder
  with the same logits, and back. For T5, an encoder-decoder, see hf_t5.py.
- Files are safetensors only: reading one runs no code, unlike a pickle.
- transformers itself is imported only by to_transformers; a model handed in brings its own.
- The settings are translated in hf_config.py, the names of the weights in weights.py.

In float64 we compute in float64; transformers' norms, and some softmaxes, go through float32 even
then.
"""

from pathlib import Path
from typing import Any

import torch

from minillm.model.config import DecoderConfig
from minillm.model.decoder import Decoder
from minillm.model.hf_config import config_from_transformers, config_to_transformers
from minillm.model.weight_files import read_settings, read_weights, write_weights
from minillm.model.weights import NAMES, Naming, Weights, from_ours, to_ours

# how transformers holds a model in memory, where that is not named like the model
IN_MEMORY: dict[str, Naming] = {
    "mistral": "llama",
    "qwen2": "llama",
    "mixtral": "mixtral_fused",
}


def from_transformers(hf_model: Any) -> Decoder:
    """Copy a model of transformers into a Decoder with the same logits.

    Args:
        hf_model: a LlamaForCausalLM, GPT2LMHeadModel, BloomForCausalLM, ...; it is not changed,
            and shares no memory.

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
    """Copy a Decoder into the model of transformers that has the same logits.

    Args:
        decoder: of a config that one of them can express; see config_to_transformers.

    Returns:
        The model of transformers, in evaluation mode, on the same device and in the same dtype.
        (A Mixtral in float64 runs after set_experts_implementation("eager") only: their grouped
        kernel has no float64.)

    Raises:
        ValueError: if none of them can express the config.

    Lesson: notebooks/41_case_studies.ipynb
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = config_to_transformers(decoder.config)
    nobodys = ("bos_token_id", "eos_token_id", "pad_token_id")  # ids of somebody's tokenizer
    settings |= dict.fromkeys(nobodys)
    like = decoder.embedding.weight
    hf_config = AutoConfig.for_model(**settings)
    hf_model = AutoModelForCausalLM.from_config(hf_config, dtype=like.dtype).to(like.device)
    kind: Any = settings["model_type"]
    naming: Naming = IN_MEMORY.get(kind, kind)
    weights = from_ours(decoder.state_dict(), decoder.config, naming)
    if decoder.config.tie_embeddings:
        weights["lm_head.weight"] = weights[f"{NAMES[naming]['embedding']}.weight"]
    hf_model.load_state_dict(weights)
    return hf_model.eval()


def save_safetensors(decoder: Decoder, path: str | Path, *, naming: Naming = "minillm") -> None:
    """Write the weights of a Decoder to one safetensors file.

    Args:
        decoder: the model.
        path: of the file, ending in .safetensors. It is written beside and renamed, so that a
            file of this name is always whole.
        naming: "minillm" as they are, or the names and layout of "llama" (Mistral's and Qwen2's,
            too), "gpt2", "bloom", "falcon", "mixtral", "glm", "glm4" or "meta".

    Raises:
        ValueError: if the path does not end in .safetensors, or the naming does not fit.

    Lesson: notebooks/41_case_studies.ipynb
    """
    write_weights(from_ours(decoder.state_dict(), decoder.config, naming), path)


def load_safetensors(
    path: str | Path,
    config: DecoderConfig | None = None,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Decoder:
    """Read a Decoder from safetensors: ours, those of transformers' models, or Meta's names.

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
    weights = read_weights(path)
    if config is None:
        config = config_from_transformers(read_settings(path))
    if dtype is None:
        dtype = next(iter(weights.values())).dtype
    return _decoder(config, weights, device or torch.get_default_device(), dtype)


def _decoder(
    config: DecoderConfig, weights: Weights, device: torch.device | str, dtype: torch.dtype
) -> Decoder:
    decoder = Decoder(config, device="meta", dtype=dtype).to_empty(device=device)  # nothing drawn
    fill(decoder, to_ours(weights, config))
    return decoder


def fill(model: torch.nn.Module, weights: Weights) -> None:
    """Copy weights into a model.

    Raises:
        ValueError: if names or shapes differ.
    """
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"the weights do not fit the config: {error}") from error

"""adapter_config.json of Hugging Face's peft: what we write into it, and what we refuse of it."""

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from minillm.finetune.lora import LoRALinear
from minillm.finetune.targets import find_targets

READ = {
    "peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "target_modules",
    "rank_pattern", "alpha_pattern", "init_lora_weights", "trainable_token_indices",
}  # fmt: skip
WITHOUT_EFFECT = {  # on what a trained adapter computes
    "task_type", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping",
    "peft_version", "megatron_core", "qalora_group_size", "exclude_modules", "layers_pattern",
    "layers_to_transform", "ensure_weight_tying", "runtime_config", "eva_config",
}  # fmt: skip
HARMLESS_STARTS = (True, False, "gaussian", "orthogonal", "eva")  # they leave W as it was


def write_settings(
    model: nn.Module, layers: Mapping[str, LoRALinear], theirs: Mapping[str, str], name: str
) -> dict[str, Any]:
    """Give the settings of an adapter as peft writes them.

    Args:
        model: in which the layers are.
        layers: our name: layer, of those that have the adapter.
        theirs: our name: their name, of the same layers.
        name: of the adapter.

    Returns:
        What stands in adapter_config.json. Ranks and alphas that differ go into patterns.

    Raises:
        ValueError: if the adapter is LoRA in one layer and DoRA or rsLoRA in another.
    """
    adapters: dict[str, Any] = {theirs[path]: m.adapters[name] for path, m in layers.items()}
    first = next(iter(adapters.values()))
    kinds = {(a.stable, a.dropout, hasattr(a, "m")) for a in adapters.values()}
    if len(kinds) > 1:
        raise ValueError(f"adapter {name!r} is of several kinds; a file holds one")
    everywhere = find_targets(model, "all")
    leaves = {path.split(".")[-1] for path in layers}
    whole = {p for p in everywhere if p.split(".")[-1] in leaves} <= set(layers)
    names = {t.split(".")[-1] for t in adapters} if whole else set(adapters)
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": first.rank,
        "lora_alpha": first.alpha,
        "lora_dropout": first.dropout,
        "use_rslora": first.stable,
        "use_dora": hasattr(first, "m"),
        "target_modules": sorted(names),
        "rank_pattern": {t: a.rank for t, a in adapters.items() if a.rank != first.rank},
        "alpha_pattern": {t: a.alpha for t, a in adapters.items() if a.alpha != first.alpha},
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "modules_to_save": None,
    }


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse a file that uses more than we can do.

    Args:
        settings: what stands in adapter_config.json.

    Raises:
        ValueError: by the name of the setting.
    """
    if settings.get("peft_type") != "LORA":
        raise ValueError(f"this is a {settings.get('peft_type')!r} adapter, not a LORA one")
    start = settings.get("init_lora_weights", True)
    if start not in HARMLESS_STARTS:
        raise ValueError(
            f"init_lora_weights={start!r} changes the base before the training, so that the file "
            "fits no other base; let peft turn it into a plain LoRA first"
        )
    for key, value in settings.items():
        unknown = key not in READ | WITHOUT_EFFECT
        if unknown and value not in (None, False, "none", {}, [], ""):
            raise ValueError(f"the adapter uses {key}={value!r}, which cannot be read here")


def alpha_of(settings: Mapping[str, Any], theirs: str) -> float:
    """Give alpha of one layer: of the first pattern that its name ends in, as peft does.

    Args:
        settings: what stands in adapter_config.json.
        theirs: name of the layer there.
    """
    for pattern, value in (settings.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", theirs):
            return float(value)
    return float(settings["lora_alpha"])

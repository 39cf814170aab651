"""RoPE in the settings of transformers: its base and its scaling, read and written.

    rope_type in transformers        here
    default                          no scaling
    linear, dynamic, yarn            RopeScaling of that kind
    (none)                           "ntk", written as the larger base that it is

Old config.json files have rope_theta and rope_scaling, new ones rope_parameters.
"""

from typing import Any

from minillm.model.config import DecoderConfig
from minillm.model.long_rope import RopeScaling
from minillm.model.rope_scaling import ntk_theta
from minillm.model.yarn import yarn_attention_factor

Settings = dict[str, Any]
KNOWN = ("default", "linear", "dynamic", "yarn")


def read_rope(s: Settings, default: float = 10000.0) -> tuple[float, RopeScaling | None]:
    """Read the base of RoPE's frequencies and how they are scaled.

    Args:
        s: the settings of a model, as in its config.json.
        default: the base where the settings name none.

    Returns:
        The base, and the scaling or None. "dynamic" counts from max_position_embeddings, as
        transformers does; "yarn" from original_max_position_embeddings where that is given.

    Raises:
        ValueError: if the kind of scaling is unknown, or a setting that it needs is missing.

    Source: modeling_rope_utils.py of transformers.   Lesson: notebooks/15_long_context.ipynb
    """
    rope: Settings = s.get("rope_parameters") or s.get("rope_scaling") or {}
    theta: float = (s | rope).get("rope_theta") or default
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return theta, None
    if kind not in KNOWN:
        raise ValueError(
            f"RoPE scaling {kind!r} is not supported; it must be one of {', '.join(KNOWN)}"
        )
    length, trained = s.get("max_position_embeddings"), None
    if kind == "dynamic":
        trained = length
    if kind == "yarn":
        trained = (s | rope).get("original_max_position_embeddings") or length
    factor = rope.get("factor")
    if factor is None and kind == "yarn" and trained and length:
        factor = length / trained  # as DeepSeek's files have it
    if factor is None:
        raise ValueError(f"RoPE scaling {kind!r} needs a factor, got {rope}")
    if kind != "yarn":
        return theta, RopeScaling(kind, float(factor), trained)
    return theta, RopeScaling(
        kind,
        float(factor),
        trained,
        beta_fast=float(rope.get("beta_fast") or 32),
        beta_slow=float(rope.get("beta_slow") or 1),
        attention_factor=_attention_factor(rope, float(factor)),
        truncate=rope.get("truncate", True),
    )


def _attention_factor(rope: Settings, factor: float) -> float | None:
    """YaRN's gain as the settings have it; None where it is 0.1 ln s + 1."""
    given: float | None = rope.get("attention_factor")
    mscale, all_dim = rope.get("mscale"), rope.get("mscale_all_dim")
    if given is not None or not (mscale and all_dim):
        return given
    above, below = (yarn_attention_factor(factor, 0.1 * m) for m in (mscale, all_dim))
    return above / below


def rope_settings(config: DecoderConfig) -> Settings:
    """Write position as the rope_parameters of transformers.

    Args:
        config: a model with RoPE.

    Returns:
        rope_type, rope_theta and what the kind needs. "ntk" becomes a plain RoPE of a larger base,
        which is the same model, and comes back as such.

    Raises:
        ValueError: if "dynamic" scaling counts from another length than config.context: in
            transformers both are max_position_embeddings.
    """
    p = config.position
    rope: Settings = {"rope_type": "default", "rope_theta": p.rope_theta}
    if config.norm.place == "sandwich" or p.rotary_share < 1:  # GLM
        rope["partial_rotary_factor"] = p.rotary_share
    scaling = p.scaling
    if scaling is None:
        return rope
    if scaling.kind == "ntk":
        base = ntk_theta(config.rotary_width, p.rope_theta, factor=scaling.factor)
        return rope | {"rope_theta": base}
    rope |= {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind == "dynamic" and scaling.trained_length != config.context:
        raise ValueError(
            "transformers counts 'dynamic' scaling from max_position_embeddings, so context="
            f"{config.context} must be scaling.trained_length={scaling.trained_length}"
        )
    if scaling.kind == "yarn":
        rope |= {
            "original_max_position_embeddings": scaling.trained_length,
            "beta_fast": scaling.beta_fast,
            "beta_slow": scaling.beta_slow,
            "truncate": scaling.truncate,
        }
        if scaling.attention_factor is not None:
            rope["attention_factor"] = scaling.attention_factor
    return rope

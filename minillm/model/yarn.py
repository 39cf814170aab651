"""YaRN: scale each pair of RoPE by how often it has turned in training.

Within the L trained positions a fast pair turns many times: the model knows all its angles, and
reads from it which token is near. A slow pair does not get round once: beyond L it stands where
it never stood. So YaRN leaves the fast pairs as they are, turns the slow ones s times more
slowly, and goes over on a ramp.

- yarn_ramp: how far each pair is interpolated, from 0 to 1;
- yarn_frequencies: the frequencies, in the form of rope_frequencies;
- yarn_attention_factor: the gain on queries and keys that goes with them.

Shape letters (the table is in notebooks/NOTATION.md):
    H  width of one head
"""

import math

import torch
from torch import Tensor

from minillm.model.rope import rope_frequencies
from minillm.model.rope_scaling import check_factor


def yarn_ramp(
    head_width: int,
    theta: float = 10000.0,
    *,
    trained_length: int,
    beta_fast: float = 32.0,
    beta_slow: float = 1.0,
    truncate: bool = True,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Tensor:
    """Say how far each pair is interpolated: 0 not at all, 1 in full.

        ramp_j = clamp((j - low) / (high - low), 0, 1)
        low, high = the pairs j that made beta_fast and beta_slow turns within L positions,
                    L theta ** (-2 j / H) / (2 pi) = beta
                    <=>  j = H ln(L / (2 pi beta)) / (2 ln theta)

    The paper's ramp is linear in the number of turns; the authors' code, transformers and this
    function are linear in j. Without truncate they agree on which pairs get 0 and which get 1,
    except that pair 0 always gets 0 here, even if it turned fewer than beta_fast times.

    Args:
        head_width: H, even and at least 2.
        theta: the base of the frequencies, more than 1.
        trained_length: L, positions in training, at least 1.
        beta_fast: turns in training from which on a pair is left alone; more than beta_slow.
        beta_slow: turns in training up to which a pair is interpolated in full; positive.
        truncate: round low down and high up to whole pairs, as the authors' code does.
        dtype: precision of the result.
        device: where the result lives.

    Returns:
        The ramp, (H/2,), from 0 to 1, never falling. Pair 0 always gets 0.

    Raises:
        ValueError: if theta is not a finite number above 1, trained_length is below 1, the betas
            are not 0 < beta_slow < beta_fast, or head_width is not a positive even number.

    Source: Peng et al. 2023 (YaRN), arXiv:2309.00071v2, section 3.2; github.com/jquesnelle/yarn.
    Lesson: notebooks/15_long_context.ipynb
    """
    if not (math.isfinite(theta) and theta > 1):
        raise ValueError(f"theta must be finite and more than 1, got {theta}")
    if trained_length < 1:
        raise ValueError(f"trained_length must be at least 1, got {trained_length}")
    if not 0 < beta_slow < beta_fast:
        raise ValueError(
            f"need 0 < beta_slow < beta_fast, got beta_slow={beta_slow}, beta_fast={beta_fast}"
        )
    n_pairs = len(rope_frequencies(head_width, theta))  # checks head_width
    pair = torch.arange(n_pairs, dtype=dtype, device=device)  # (H/2,)
    per_e = head_width / (2 * math.log(theta))  # pairs over which the frequency falls by e
    low = per_e * math.log(trained_length / (2 * math.pi * beta_fast))
    high = per_e * math.log(trained_length / (2 * math.pi * beta_slow))
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_width - 1)  # H - 1, not H/2 - 1: as in their code
    if high <= low:  # no pair, or every pair, has turned often enough: a step
        high = low + 0.001
    return ((pair - low) / (high - low)).clamp(0, 1)  # (H/2,)


def yarn_frequencies(
    head_width: int,
    theta: float = 10000.0,
    *,
    factor: float,
    trained_length: int,
    beta_fast: float = 32.0,
    beta_slow: float = 1.0,
    truncate: bool = True,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Tensor:
    """Leave the fast pairs alone, interpolate the slow ones, and go over smoothly.

        frequency_j = theta ** (-2 j / H) * ((1 - ramp_j) + ramp_j / s)

    Fast pairs have been through every angle in training and tell neighbours apart; slow ones
    have not, and would meet new angles. Use together with yarn_attention_factor.

    Args:
        head_width: H, even and at least 2.
        theta: the base of the frequencies, more than 1.
        factor: s, new length over trained length, at least 1.
        trained_length, beta_fast, beta_slow, truncate, dtype, device: as in yarn_ramp.

    Returns:
        Frequencies in radians per position, (H/2,), between the old ones and those of
        interpolated_frequencies, falling from 1.

    Raises:
        ValueError: if factor is not finite and at least 1, or as yarn_ramp.

    Cost: H/2 numbers, made once.
    Source: Peng et al. 2023 (YaRN), arXiv:2309.00071v2, sections 3.2 and 3.4.
    Lesson: notebooks/15_long_context.ipynb
    """
    check_factor(factor)
    ramp = yarn_ramp(
        head_width, theta, trained_length=trained_length, beta_fast=beta_fast,
        beta_slow=beta_slow, truncate=truncate, dtype=dtype, device=device,
    )  # fmt: skip
    old = rope_frequencies(head_width, theta, dtype=dtype, device=device)  # (H/2,)
    return old * (1 - ramp) + old / factor * ramp  # (H/2,)


def yarn_attention_factor(factor: float, coefficient: float = 0.1) -> float:
    """Say by how much to lengthen turned queries and keys, because long rows blur attention.

        m = 0.1 ln s + 1;   query and key both get it, so the scores grow by m * m

    Args:
        factor: s, at least 1.
        coefficient: of ln s. 0.1 fits LLaMA; transformers' mscale multiplies it.

    Returns:
        m, a number without unit, 1 for s = 1; scaled_rope_angles takes it.

    Raises:
        ValueError: if factor is not finite and at least 1, or coefficient is negative.

    Source: Peng et al. 2023 (YaRN), arXiv:2309.00071v2, section 3.4: sqrt(1/t) = 0.1 ln s + 1.
    Lesson: notebooks/15_long_context.ipynb
    """
    check_factor(factor)
    if not coefficient >= 0:
        raise ValueError(f"coefficient must not be negative, got {coefficient}")
    return coefficient * math.log(factor) + 1.0

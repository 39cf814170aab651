"""What share of the machines a published run has used: of the model's work, or of all work done.

- MFU, of the model: FLOPs that the model needs, whatever else the machine computed.
- HFU, of the hardware: FLOPs that were done, those of recomputation among them. It flatters a run
  that computes things twice.

A report of "so many TFLOP/s" does not say which of the two it is. Each figure here does.
"""

from dataclasses import dataclass
from typing import Literal

from minillm.distributed.recompute import Policy
from minillm.distributed.recompute_cost import recompute_flops
from minillm.model import DecoderConfig, presets
from minillm.model.config import flops_per_token
from minillm.train.flops import GPU_PEAKS, utilisation

Counts = Literal["hardware", "model", "not said"]


@dataclass(frozen=True)
class Utilisation:
    """Both shares of one run.

    Attributes:
        mfu: of the model's FLOPs.
        hfu: of the FLOPs that were done.
        tokens_per_second: of one card.
    """

    mfu: float
    hfu: float
    tokens_per_second: float


def from_tokens(
    config: DecoderConfig,
    tokens_per_second: float,
    peak: float,
    *,
    context: int | None = None,
    policy: Policy = "none",
) -> Utilisation:
    """Compute both shares from the speed of a card.

        MFU = tokens/s * model FLOPs / peak          HFU = tokens/s * (model FLOPs + again) / peak

    Args:
        config: the model.
        tokens_per_second: of one card.
        peak: FLOP/s of one card.
        context: T; None means config.context.
        policy: what was recomputed.

    Returns:
        The shares.

    Raises:
        ValueError: if a share is over 1, or the peak is not positive.

    Source: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 4.1 and appendix B.
    Lesson: notebooks/22a_ledger.ipynb
    """
    own = flops_per_token(config, context=context)
    done = own + recompute_flops(config, context, policy=policy)
    mfu = utilisation(own, tokens_per_second, peak)
    return Utilisation(mfu, utilisation(done, tokens_per_second, peak), tokens_per_second)


def from_flops(
    config: DecoderConfig,
    flops_per_second: float,
    peak: float,
    *,
    counts: Counts,
    context: int | None = None,
    policy: Policy = "none",
) -> Utilisation:
    """Compute both shares from a report of FLOP/s a card, once it is known what it counts.

    Args:
        config: the model.
        flops_per_second: as reported, of one card.
        peak: FLOP/s of one card.
        counts: "hardware" if recomputation is in the figure, "model" if not.
        context: T; None means config.context.
        policy: what was recomputed.

    Returns:
        The shares, and the speed that follows.

    Raises:
        ValueError: if counts is neither: without it the figure cannot be read.

    Lesson: notebooks/22a_ledger.ipynb
    """
    if counts not in ("hardware", "model"):
        raise ValueError(f"counts must be 'hardware' or 'model', got {counts!r}: compute both")
    a_token = flops_per_token(config, context=context)
    if counts == "hardware":
        a_token += recompute_flops(config, context, policy=policy)
    return from_tokens(config, flops_per_second / a_token, peak, context=context, policy=policy)


@dataclass(frozen=True)
class Report:
    """What a published run says of its speed.

    Attributes:
        model: name of a preset.
        context: T.
        policy: what was recomputed; None if the source does not say.
        counts: what a figure in FLOP/s counts.
        source: where it is printed.
        flops_per_second: of one card, as printed; None if the source gives tokens.
        tokens_per_second: of one card, as printed; None if the source gives FLOP/s.
        gpu: of train.flops.GPU_PEAKS; an A800 has the arithmetic of an A100.
    """

    model: str
    context: int
    policy: Policy | None
    counts: Counts
    source: str
    flops_per_second: float | None = None
    tokens_per_second: float | None = None
    gpu: str = "A100"


REPORTS: dict[str, Report] = {
    "bloom_176b": Report(
        model="bloom_176b",
        context=2048,
        policy="block",
        counts="hardware",
        source="BigScience 2022, arXiv:2211.05100, section 3.4; --checkpoint-activations in "
        "bigscience-workshop/bigscience, train/tr11-176B-ml/tr11-176B-ml.slurm",
        flops_per_second=156e12,
    ),
    "baichuan_7b": Report(
        model="baichuan_7b",
        context=4096,
        policy=None,
        counts="not said",
        source="README of Baichuan-7B, 2023: 182 TFLOPS, 58.3 % of an A800",
        flops_per_second=182e12,
    ),
    "llama_65b": Report(
        model="llama_65b",
        context=2048,
        policy=None,
        counts="not said",
        source="Touvron et al. 2023, arXiv:2302.13971, section 2.4: 380 tokens/s and GPU; outputs "
        "of linear layers are kept, the rest is recomputed",
        tokens_per_second=380.0,
    ),
}


def readings(name: str) -> dict[str, Utilisation]:
    """Read a published figure in every way that its source leaves open.

    Args:
        name: of REPORTS.

    Returns:
        By what is assumed: "hardware", "model" or "tokens" for what the figure counts, and
        behind it, after a comma, the policy.

    Raises:
        ValueError: if there is no such report.

    Lesson: notebooks/22a_ledger.ipynb
    """
    if name not in REPORTS:
        raise ValueError(f"no report {name!r}; there are {', '.join(REPORTS)}")
    r = REPORTS[name]
    config, peak = presets.PRESETS[r.model](), GPU_PEAKS[r.gpu]
    policies: tuple[Policy, ...] = ("none", "block") if r.policy is None else (r.policy,)
    found = {}
    for policy in policies:
        if r.tokens_per_second is not None:
            how = {"context": r.context, "policy": policy}
            found[f"tokens, {policy}"] = from_tokens(config, r.tokens_per_second, peak, **how)  # type: ignore[arg-type]
        elif r.flops_per_second is not None:
            for counts in ("hardware", "model") if r.counts == "not said" else (r.counts,):
                found[f"{counts}, {policy}"] = from_flops(
                    config,
                    r.flops_per_second,
                    peak,
                    counts=counts,
                    context=r.context,
                    policy=policy,
                )
    return found

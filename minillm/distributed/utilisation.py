"""What share of the machines a published run has used: of the model's work, or of all work done.

- MFU, of the model: FLOPs that the model needs, whatever else the machine computed.
- HFU, of the hardware: FLOPs that were done, those of recomputation among them. It flatters a run
  that computes things twice.

A report of "so many TFLOP/s" does not say which of the two it is. Each figure here does.
"""

from dataclasses import dataclass
from typing import Literal

from minillm.distributed.published import Published
from minillm.distributed.recompute import Policy
from minillm.distributed.recompute_cost import recompute_flops
from minillm.model import DecoderConfig
from minillm.model.config import flops_per_token
from minillm.train.flops import utilisation

Counts = Literal["hardware", "model"]


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


def readings(run: Published) -> dict[str, Utilisation]:
    """Read a published figure in every way that its source leaves open.

    Args:
        run: with a figure in FLOP/s or in tokens.

    Returns:
        By what is assumed: "hardware", "model" or "tokens" for what the figure counts, and behind
        it, after a comma, the policy: "none", or "block" for full recomputation.

    Raises:
        ValueError: if the run reports no speed.

    Lesson: notebooks/22a_ledger.ipynb
    """
    if run.tokens_per_second is None and run.tflops is None:
        raise ValueError(f"{run.source} reports no speed of {run.job.name}")
    config, T, peak = run.job.model, run.job.context, run.job.cluster.card.peak
    own: Policy = "block" if run.plan.recompute == "full" else "none"
    counted: Counts = "hardware" if run.counts_recomputation else "model"
    policies: tuple[Policy, ...] = (own,) if run.stated else ("none", "block")
    counts: tuple[Counts, ...] = (counted,) if run.stated else ("hardware", "model")
    if run.tokens_per_second is not None:
        return {
            f"tokens, {p}": from_tokens(config, run.tokens_per_second, peak, context=T, policy=p)
            for p in policies
        }
    return {
        f"{c}, {p}": from_flops(
            config, 1e12 * (run.tflops or 0), peak, counts=c, context=T, policy=p
        )
        for p in policies
        for c in counts
    }
